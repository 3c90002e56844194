"""An engine that stands by: it keeps the newest copy of the state at hand, and takes over when nobody runs.

1. Whether somebody runs is what `engine:alive` in Redis says: who beats is left alone, however slow it is.
2. It takes over when there was no beat for `state.standby_after`, measured by its own clock from the last change that
   it saw; clocks of two machines are never compared.
3. That a run which comes back cannot write is not decided here: the token it takes over with fences that out.
4. It stands by for an older version, whose state it takes up, and for a newer one, as long as it can read what that
   writes; where it cannot, it ends with a sentence: it could not take over.
"""

from __future__ import annotations

import random
import threading
import time

from flows.log import get_log
from flows.monitoring.monitor import Monitor
from flows.readmodel.port import StoreError
from flows.readmodel.store import Store
from flows.remote.objects import RemoteProblem, open_objects
from flows.remote.taking_up import gather
from flows.runtime.stop_signals import StopSignals
from flows.settings import redis_address
from flows.storage.facts import ENGINE, StateRefused
from flows.storage.folder import StateFolder
from schemas.settings import Settings

log = get_log(__name__)

LOOK_EVERY_S = 0.25
#: Two that stand by find out at once that nobody runs; the second to look again finds the first one's beat.
STAGGER_S = 0.5


class Standby:
    """Waits, for the supervisor's thread."""

    def __init__(self, settings: Settings, folder: StateFolder, asked: StopSignals, monitor: Monitor) -> None:
        self._settings, self._folder, self._asked, self._monitor = settings, folder, asked, monitor
        self._patience_s = settings.state.standby_after / 1e6

    def wait(self) -> bool:
        """Wait until nobody runs; False where the end was asked for before.

        StateRefused where the engine that runs writes what this version cannot read.
        """
        beats = _Beats(self._settings)
        gathering = _Gathering(self._settings, self._folder)
        told = ""
        try:
            while not self._asked.is_set():
                silent_s = beats.silent_s()
                if silent_s is None:
                    self._monitor.waits("it stands by; Redis does not say whether an engine runs")
                elif silent_s >= self._patience_s:
                    self._asked.wait(random.uniform(0, STAGGER_S))
                    again_s = beats.silent_s()
                    if again_s is not None and again_s >= self._patience_s:
                        self._take_over(beats)
                        return not self._asked.is_set()
                elif beats.has_seen:
                    self._monitor.stands_by(f"it stands by for run {beats.run}", gathering.is_up_to_date)
                    if told != beats.run:
                        told = beats.run
                        log.info(f"stands by: run {beats.run} is alive{beats.of_another_version()}", kind="standby")
                gathering.refuses()
                if beats.has_seen:
                    gathering.start()
                self._asked.wait(LOOK_EVERY_S)
            return False
        finally:
            gathering.close()
            beats.close()

    def _take_over(self, beats: _Beats) -> None:
        self._monitor.waits("it takes over")
        if beats.has_seen:
            log.warning(
                f"nothing was heard of run {beats.run} for {self._patience_s:g} s: taking over",
                kind="standby",
                next="see what became of its machine; an engine that is started there with --standby waits in turn",
            )


class _Beats:
    """What Redis says of who runs."""

    def __init__(self, settings: Settings) -> None:
        self._store = Store(redis_address(settings.redis), settings.redis.prefix, 0, "standby")
        self._last: tuple[str, str] | None = None
        self._changed_at = time.monotonic()
        self.run = self._version = ""

    @property
    def has_seen(self) -> bool:
        """Was there ever a beat?"""
        return self._last is not None

    def silent_s(self) -> float | None:
        """Give for how long nothing was heard, in seconds; None where Redis does not answer."""
        try:
            fields = self._store.all_of(self._store.alive_key())
        except StoreError:
            # While Redis is away nobody can beat: the silence begins when it is back.
            self._changed_at = time.monotonic()
            return None
        moment = time.monotonic()
        if not fields:
            return moment - self._changed_at if self.has_seen else float("inf")
        word = (fields.get(b"run", b"").decode(), fields.get(b"at", b"").decode())
        if word != self._last:
            self._last, self._changed_at, self.run = word, moment, word[0]
            self._version = fields.get(b"version", b"").decode()
        return moment - self._changed_at

    def of_another_version(self) -> str:
        """Say which versions the two are of, where they differ."""
        if self._version in ("", ENGINE):
            return ""
        return f"; it is atp-engine {self._version}, and this is {ENGINE}, which takes over if it ends"

    def close(self) -> None:
        """Let go of Redis."""
        self._store.close()


class _Gathering:
    """Brings each newest copy to this machine while another engine runs: a thread, for it may take a while."""

    def __init__(self, settings: Settings, folder: StateFolder) -> None:
        self._settings, self._folder = settings, folder
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gathering", daemon=True)
        #: the newest copy is here; where there is no place to gather from, what is here is all there is
        self.is_up_to_date = settings.state.remote is None
        self._refusal: StateRefused | None = None

    def start(self) -> None:
        """Begin, once, where there is a place to gather from."""
        if self._settings.state.remote is not None and not self._thread.is_alive() and not self._ended.is_set():
            self._thread.start()

    def refuses(self) -> None:
        """Raise what keeps this version from ever taking the copies up, if anything does."""
        if self._refusal is not None:
            raise self._refusal

    def close(self) -> None:
        """End; what was begun is waited for: what comes next uses the same folder."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        is_away = False
        while not self._ended.is_set():
            try:
                gather(open_objects(self._settings), self._folder.path)
                is_away, self.is_up_to_date = False, True
            except StateRefused as error:
                self.is_up_to_date, self._refusal = False, error
                return
            except (RemoteProblem, OSError) as error:
                self.is_up_to_date = False
                if not is_away:
                    is_away = True
                    log.warning(f"the newest copy of the state was not fetched: {error}; trying again", kind="standby")
            self._ended.wait(self._settings.state.remote_every / 2e6)
