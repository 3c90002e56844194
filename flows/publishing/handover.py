"""Hands what the dataflow's thread says over to the writer's, and lets it wait until that is written.

What waits is bounded, by entries and by bytes: who hands over waits then. A failure of the writer is raised by whoever
hands over or waits next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from flows.publishing.errors import PublisherError
from schemas.messages import Outcome, Outgoing
from schemas.units import Refusal

#: Outcomes that may wait before the dataflow is made to wait: a bound on memory while Redis is away.
INBOX_MAX = 20_000
#: Bytes of refused messages that may wait to be written before the dataflow is made to wait: a bound on memory while
#: Kafka is away or slow.
REFUSED_BYTES_MAX = 64 * 1024 * 1024


class Opening(NamedTuple):
    """What the last run's snapshot kept of a shard."""

    shard: int
    state: bytes | None


class Said(NamedTuple):
    """What a shard said."""

    shard: int
    outcome: Outcome


class Refusals(NamedTuple):
    """What could not be used, and how many bytes its messages have."""

    size: int
    refusals: list[Refusal]


Entry = Said | Refusals | Opening


class Handover:
    """What two threads share, under one condition."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inbox: list[Entry] = []
        self._refused_bytes = 0
        self._is_barrier_wanted = False
        self._has_ended = False
        self._is_clean = True
        self._is_closing = False
        self._failure: BaseException | None = None
        self._waiting: dict[int, list[Outgoing]] = {}

    def __len__(self) -> int:
        return len(self._inbox)

    # --- the dataflow's side -----------------------------------------------------------------------------------------

    def post(self, entry: Entry) -> None:
        """Hand over; waits while too much is there."""
        with self._condition:
            while len(self._inbox) >= INBOX_MAX and self._failure is None:
                self._condition.wait(1.0)
            self._raise_failure()
            self._is_clean = False
            self._inbox.append(entry)
            self._condition.notify_all()

    def take_bytes(self, size: int) -> None:
        """Count bytes of what is refused; waits while too many wait to be written."""
        with self._condition:
            while self._refused_bytes > REFUSED_BYTES_MAX and self._failure is None:
                self._condition.wait(1.0)
            self._refused_bytes += size

    def prepare(self) -> None:
        """Begin to write all that was handed over: it will be waited for soon."""
        with self._condition:
            if not self._is_clean:
                self._is_barrier_wanted = True
                self._condition.notify_all()

    @contextmanager
    def settled(self) -> Iterator[dict[int, list[Outgoing]]]:
        """Wait until all that was handed over is written, and keep it so; give what still waits for Kafka, by shard."""
        with self._condition:
            while not self._is_clean:
                self._raise_failure()
                self._is_barrier_wanted = True
                self._condition.notify_all()
                self._condition.wait(1.0)
            self._raise_failure()
            yield self._waiting

    def end_input(self) -> None:
        """Note that nothing more will come."""
        with self._condition:
            self._has_ended = True

    def close(self) -> None:
        """Let the writer end when it has written everything."""
        with self._condition:
            self._is_closing = True
            self._condition.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise PublisherError(str(self._failure)) from self._failure

    # --- the writer's side -------------------------------------------------------------------------------------------

    @property
    def has_ended(self) -> bool:
        """Will nothing more come?"""
        return self._has_ended

    @property
    def is_barrier_wanted(self) -> bool:
        """Does somebody wait until everything is written?"""
        return self._is_barrier_wanted

    def wait(self, patience_s: Callable[[], float]) -> bool:
        """Wait for something to do, as long as `patience_s` says at most; false: it is time to end."""
        with self._condition:
            if not (self._inbox or self._is_barrier_wanted or self._is_closing):
                self._condition.wait(patience_s())
            return not self._is_closing or bool(self._inbox) or self._is_barrier_wanted

    def take(self) -> list[Entry]:
        """Take what was handed over since."""
        if not self._inbox:
            return []
        with self._condition:
            entries, self._inbox = self._inbox, []
            if len(entries) >= INBOX_MAX:
                self._condition.notify_all()
        return entries

    def free_bytes(self, size: int) -> None:
        """Note that so many bytes of what was refused are written."""
        with self._condition:
            self._refused_bytes -= size
            self._condition.notify_all()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change what a snapshot sees, and let none be taken before it is written."""
        with self._condition:
            yield
            self._is_clean = False

    def settle(self, waiting: dict[int, list[Outgoing]]) -> None:
        """Let those go on who wait: all is written, but for what waits for Kafka by design."""
        with self._condition:
            self._waiting = waiting
            self._is_barrier_wanted = False
            self._is_clean = not self._inbox
            self._condition.notify_all()

    def fail(self, error: BaseException) -> None:
        """Hand the writer's end to the dataflow's thread."""
        with self._condition:
            self._failure = error
            self._condition.notify_all()
