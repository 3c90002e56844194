"""How far each input partition has come: what forgetting waits for, and what lets held-back numbers go.

An entry speaks of the partition's last *finished* epoch: everything before `position` went through every sink.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import msgspec


class PartProgress(msgspec.Struct, array_like=True, gc=False):
    """One input partition: the next offset, its clock (UTC microseconds), and whether its end was reached."""

    position: int
    clock: int
    caught_up: bool


class Progress:
    """The table of one process; other processes' rows arrive through the read model."""

    def __init__(self) -> None:
        self._rows: dict[str, PartProgress] = {}
        #: parts that this process reads
        self._own: set[str] = set()
        self._parts: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def expect(self, parts: Iterable[str]) -> None:
        """Name all input partitions there are; rows of others are ignored."""
        self._parts = frozenset(parts)

    def note(self, part: str, row: PartProgress) -> None:
        """Take a row of a partition that this process reads; one that is behind what is known is old news."""
        with self._lock:
            self._own.add(part)
            self._take(part, row)

    def hear(self, part: str, row: PartProgress) -> None:
        """Take a row that another process told."""
        with self._lock:
            self._take(part, row)

    def _take(self, part: str, row: PartProgress) -> None:
        known = self._rows.get(part)
        if known is None or (row.position, row.clock) >= (known.position, known.clock):
            self._rows[part] = row

    def own_rows(self) -> dict[str, PartProgress]:
        """Give the rows of partitions that this process reads: others' would be told as they were a second ago."""
        with self._lock:
            return {part: self._rows[part] for part in self._own}

    def rows(self) -> dict[str, PartProgress]:
        """Give a copy of all rows."""
        with self._lock:
            return dict(self._rows)

    def recorded(self) -> int | None:
        """Give the clock of the slowest partition; None while one has not spoken yet."""
        with self._lock:
            if not self._parts or any(part not in self._rows for part in self._parts):
                return None
            return min(self._rows[part].clock for part in self._parts)

    def has_passed(self, part: str, offset: int) -> bool:
        """Is nothing up to `offset` still to come from the partition: passed, at its end, or gone?"""
        if self._parts and part not in self._parts:
            return True
        row = self._rows.get(part)
        return row is not None and (row.position > offset or row.caught_up)
