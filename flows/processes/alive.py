"""Says in Redis, twice a second, how fresh the numbers are: the hash `engine:alive` (contract section 7).

Rule 1: it is written whatever else stands still: no worker, no Kafka and no scrape is waited for. What is known of the
workers is found out beside it, and counts for a few seconds.
Rule 2: it says ready only while that is known, and never for a run that is over: it lapses by itself.
Rule 3: a run whose token is not the newest writes nothing. The supervisor is told: a worker that waits for Kafka does
not see it.

Beside it the set of all items is completed where an engine that did not keep it was here before
(flows/readmodel/item_walk.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from flows.log import get_log
from flows.monitoring.monitor import PATIENCE_S, Freshness, Monitor
from flows.readmodel.item_walk import ItemWalk
from flows.readmodel.port import Behind, Fenced, StoreError
from flows.readmodel.store import Store
from flows.settings import redis_address
from flows.storage.facts import ENGINE
from schemas.settings import Settings

log = get_log(__name__)

#: The contract says once a second at least.
EVERY_S = 0.5
#: Asking the workers makes each of them gather its metrics: half a millisecond.
ASK_EVERY_S = 1.0
#: What was found out longer ago says nothing of now: an answer may take PATIENCE_S.
KNOWN_FOR_S = ASK_EVERY_S + PATIENCE_S + 1.0
LAPSES_MS = 10_000
#: Between two slices of the walk: others want to be served as well.
WALK_PAUSE_S = 0.002
#: Nothing is known of the workers (yet): of which run it was asked, when, and the answer.
NEVER = (0, float("-inf"), Freshness(False, 0))
#: How long the engine's end waits for the last word.
END_PATIENCE_S = 1.0


class Alive:
    """Told by the supervisor's thread which run there is; writes from a thread of its own."""

    def __init__(self, settings: Settings, monitor: Monitor, connect: Callable[..., Store] = Store) -> None:
        self._monitor = monitor
        self._version = ENGINE
        self._store = connect(redis_address(settings.redis), settings.redis.prefix, 0, "alive")
        self._walk = ItemWalk(self._store)
        self._token = 0
        #: the run that a newer one was found to have followed
        self._fenced = 0
        #: the run that one with a higher token follows, as the fence itself says
        self._followed = 0
        self._freshness = NEVER
        self._is_away = False
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (("alive", self._write), ("freshness", self._ask))
        ]

    def begins(self, token: int) -> None:
        """The workers of a run have been started: nothing is known of them, whatever was known of those before."""
        self._token = token
        if not self._ended.is_set() and not self._threads[0].is_alive():
            for thread in self._threads:
                thread.start()

    def is_followed(self, token: int) -> bool:
        """Does Redis hold the token of a run that is newer than this one? As of the last word, half a second ago."""
        return self._followed == token

    def close(self) -> None:
        """Say that nobody keeps the numbers fresh any more, and end."""
        self._ended.set()
        if self._threads[0].is_alive():
            self._threads[0].join(END_PATIENCE_S)

    def _ask(self) -> None:
        while not self._ended.is_set():
            # From before it was asked: what it says may be as old as that, and of the run that there was then.
            token, asked_at = self._token, time.monotonic()
            try:
                freshness = self._monitor.freshness()
            except RuntimeError:  # it asks nobody any more
                if self._ended.is_set():
                    return
                raise
            self._freshness = (token, asked_at, freshness)
            self._ended.wait(ASK_EVERY_S)

    def _write(self) -> None:
        pause_s = 0.0
        while not self._ended.wait(pause_s):
            pause_s = self._beat()
        self._beat(is_last=True)
        self._store.close()

    def _beat(self, is_last: bool = False) -> float:
        """Write once, and use the time until the next; gives how long to wait for that."""
        due = time.monotonic() + EVERY_S
        token = self._store.token = self._token  # the next run may begin meanwhile
        if self._fenced == token:
            return EVERY_S
        of, asked_at, freshness = self._freshness
        is_of_now = of == token and time.monotonic() - asked_at < KNOWN_FOR_S
        is_known = is_of_now and self._monitor.has_workers
        is_ready = freshness.is_ready and is_known and not is_last
        try:
            word = self._store.beat(
                time.time_ns() // 1_000_000, freshness.behind_ms, is_ready, self._version, LAPSES_MS
            )
            if self._is_away:
                self._is_away = False
                log.info("engine:alive is written again", kind="alive")
            if not is_last:
                self._walk_on(word, due)
        except Fenced:
            self._note_fenced(token)
        except Behind:
            # Redis lost the functions or the token, and perhaps numbers: the writer sees it within a second, and fills
            # it again. What was known of the workers was known before that.
            self._freshness = NEVER
        except StoreError as error:
            self._freshness = NEVER
            self._tell(error)
        return max(0.0, due - time.monotonic())

    def _note_fenced(self, token: int) -> None:
        with suppress(StoreError):  # the next word finds it out
            # The word alone may be left of a run that Redis knows no more: then this one is the newest all the same.
            if self._store.held_token() > token:
                self._followed = token
            self._fenced = token

    def _walk_on(self, word: str, due: float) -> None:
        while time.monotonic() < due and not self._ended.is_set() and self._walk.goes_on(word):
            word = self._walk.slice(word)
            self._ended.wait(WALK_PAUSE_S)

    def _tell(self, error: StoreError) -> None:
        if not self._is_away and not self._ended.is_set():
            self._is_away = True
            log.warning(
                f"engine:alive cannot be written ({error}): trying again",
                kind="alive",
                next="see whether Redis runs and takes writes: atp check; readers see that numbers may be stale",
            )
