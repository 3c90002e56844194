"""Says in the log what somebody looks for first: that the engine starts, and on what; ready; stopping; stopped."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from flows.log import get_log, is_json
from flows.monitoring.health import Check
from flows.runtime.machines import machines_of
from flows.storage.facts import ENGINE, StateRefused
from schemas.setting_values import mask_url
from schemas.settings import Settings

log = get_log(__name__)

#: How often it is asked whether the engine is ready by now.
ASK_EVERY_S = 0.25


class Diary:
    """One line at each turn of an engine's life. For the supervisor's main thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._began = time.monotonic()
        self._stops_at: float | None = None
        self._waiter: _Waiter | None = None
        #: what says that it starts, until it is known that it can: a start that is refused is one line
        self._start: Callable[[], None] | None = None
        self._is_refused = False

    def starts(self, until_caught_up: bool, found: str) -> None:
        """The engine starts; `begins` says so. `found`: what state it found, and where."""
        ours = self._settings
        port = f"{ours.metrics.host}:{ours.metrics.port}" if ours.metrics.port else "none"
        workers = f"{ours.workers} worker{'s' if ours.workers > 1 else ''}"
        machines = machines_of(ours)
        if machines is not None:
            workers += f" on {machines.called(machines.this)} of {len(machines.names)}"
        redis = mask_url(ours.redis.url)
        state = found or f"state in {ours.state.dir.absolute()}"

        def say() -> None:
            log.info(
                f"atp-engine {ENGINE} starts: Kafka {ours.kafka.bootstrap_servers}, Redis {redis}, "
                f"{state}, port {port}, {workers}{', until caught up' if until_caught_up else ''}",
                kind="starting",
                version=ENGINE,
                kafka=ours.kafka.bootstrap_servers,
                group=ours.kafka.group,
                topics_prefix=ours.topics.prefix,
                redis=redis,
                redis_prefix=ours.redis.prefix,
                state=str(ours.state.dir.absolute()),
                port=port,
                workers=ours.workers,
            )

        self._start = say

    def begins(self) -> None:
        """Kafka, Redis and the state are there, or are waited for; said once."""
        if self._start is not None:
            self._start()
            self._start = None

    def awaits(self, ready: Callable[[], list[Check]] | None) -> None:
        """Workers run: say when all checks are good, once. None: they do not run any more."""
        if self._waiter is not None:
            self._waiter.gives_up.set()
            self._waiter = None
        if ready is not None:
            self._waiter = _Waiter(ready)
            self._waiter.start()

    def stopping(self, signal: str) -> None:
        """The end was asked for, by an operator and not by what workers are started again for; said once."""
        if self._stops_at is not None:
            return
        self._stops_at = time.monotonic()
        log.info(f"stopping: {signal or 'the end was asked for'}", kind="stopping", signal=signal)

    def refuses(self, error: Exception) -> None:
        """It cannot start, or not go on; the error's text says why and what would do."""
        self._is_refused, self._start = self._start is not None, None
        if not is_json(self._settings):
            print(error, file=sys.stderr)
        elif isinstance(error, StateRefused):
            log.error(error.seen, kind="state_refused", next=error.remedy)
        else:
            log.error(str(error), kind="refused_start", next="do what the sentence says, then start it again")

    def breaks(self, error: Exception) -> None:
        """Something happened that nobody thought of."""
        log.critical(
            f"the supervisor failed: {error}",
            kind="uncaught",
            exc_info=error,
            next="this is a fault of the engine: keep the log and the state directory, and report it",
        )

    def stopped(self, code: int, signal: str) -> None:
        """It has ended; `signal`: what asked for it, if anything did. Not said of what never began."""
        if self._is_refused:
            return
        self.begins()
        if signal:
            self.stopping(signal)  # while no worker ran
        moment = time.monotonic()
        up_s = round(moment - self._began, 1)
        took_s = None if self._stops_at is None else round(moment - self._stops_at, 1)
        took = "" if took_s is None else f", {took_s:.1f} s after it was asked to"
        log.info(
            f"stopped after {up_s:.1f} s{took}: exit code {code}",
            kind="stopped",
            exit_code=code,
            up_s=up_s,
            stopping_s=took_s,
        )


class _Waiter(threading.Thread):
    """Asks until all is good, or nobody wants to know any more. Beside the watch: an answer may take seconds."""

    def __init__(self, ready: Callable[[], list[Check]]) -> None:
        super().__init__(name="ready", daemon=True)
        self._ready = ready
        self._began = time.monotonic()
        self.gives_up = threading.Event()

    def run(self) -> None:
        """Ask."""
        while not self.gives_up.wait(ASK_EVERY_S):
            if all(check.is_ok for check in self._ready()) and not self.gives_up.is_set():
                seconds = time.monotonic() - self._began
                log.info(f"ready: {seconds:.1f} s after the workers began", kind="ready", seconds=round(seconds, 1))
                return
