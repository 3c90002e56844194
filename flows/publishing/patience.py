"""Waits out an outage of Redis, and says so once, in the log and in the metrics; at the process' end it gives up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flows.log import get_log
from flows.monitoring.metrics import Metrics
from flows.publishing.kafka_writer import LAST_WAIT_S
from flows.readmodel.port import Outage
from flows.runtime.clock import Clock
from flows.runtime.run import Stop

log = get_log(__name__)

REDIS_HELP = "see whether Redis runs and takes writes (memory, disk, primary): atp check; nothing is lost meanwhile"
#: Between two tries: twice as long each time.
PAUSE_S, PAUSE_MAX_S = 0.02, 1.0

Answer = TypeVar("Answer")


class Patience:
    """Of one process; each wait is an object of its own."""

    def __init__(self, metrics: Metrics, stop: Stop, clock: Clock) -> None:
        self.metrics, self.stop, self.clock = metrics, stop, clock

    def ask(self, ask: Callable[..., Answer], *arguments: object) -> Answer:
        """Ask until there is an answer."""
        wait = Wait(self)
        while True:
            wait.tries()
            try:
                answer = ask(*arguments)
                wait.ends()
                return answer
            except Outage as error:
                wait.goes_on(error)


class Wait:
    """One wait, from its first try to its success."""

    __slots__ = ("_is_told", "_patience", "_pause_s", "_since")

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._pause_s, self._since = PAUSE_S, patience.clock.monotonic()
        self._is_told = False

    def tries(self) -> None:
        """Note a try. From the first one on: a Redis that hangs is known to hang before the answer's time is out."""
        self._patience.metrics.redis_waits_since = self._since

    def ends(self) -> None:
        """Note that it came through."""
        self._patience.metrics.redis_waits_since = None
        if self._is_told:
            log.info(f"Redis is back after {self._patience.clock.monotonic() - self._since:.1f} s", kind="redis_back")

    def goes_on(self, error: Outage) -> None:
        """Pause before the next try; raises the error where the process has waited long enough for its end."""
        if not self._is_told:
            log.warning(f"{error}; waiting, with everything kept", kind="redis_away", next=REDIS_HELP)
            self._is_told = True
        stop, clock = self._patience.stop, self._patience.clock
        if stop.is_set() and clock.monotonic() - stop.since > LAST_WAIT_S:
            raise error
        clock.sleep(self._pause_s)
        self._pause_s = min(PAUSE_MAX_S, self._pause_s * 2)
