"""Keeps in memory which values were published lately, by item and channel, in a ring of fixed size.

Limit: `POINTS_MAX` updates of all items together, some 60 MB; the oldest make room. How far it reaches back is told.
A point knows the one of its key before it, so that a key's points are found without looking at others'.
"""

from __future__ import annotations

import time
from array import array
from typing import Final, NamedTuple

POINTS_MAX: Final = 500_000
HOUR_MS: Final = 3_600_000
#: There was no value before.
NEW: Final = -1


class Point(NamedTuple):
    """A value from a moment on; `at_ms`: UTC milliseconds."""

    at_ms: int
    atp: int


class Past(NamedTuple):
    """What is known of a key's values within a window."""

    #: the oldest first; the first may lie before the window
    points: list[Point]
    #: from when on all of them are known, UTC milliseconds
    since_ms: int


class History:
    """The values of the last updates. One writer; any number of readers, who may miss what is just written."""

    def __init__(self, size: int = POINTS_MAX, now_ms: int | None = None) -> None:
        self._size = size
        self._at = array("q", bytes(8 * size))
        self._atp = array("q", bytes(8 * size))
        self._previous = array("q", bytes(8 * size))
        self._before = array("q", bytes(8 * size))
        self._keys: list[bytes | None] = [None] * size
        self._newest: dict[bytes, int] = {}
        self._next = 0
        self.started_ms = int(time.time() * 1000) if now_ms is None else now_ms

    def add(self, key: bytes, at_ms: int, atp: int, previous: int | None) -> None:
        """Take an update of `item:channel`."""
        number = self._next
        slot = number % self._size
        forgotten = self._keys[slot]
        if forgotten is not None and self._newest.get(forgotten) == number - self._size:
            del self._newest[forgotten]
        self._at[slot], self._atp[slot] = at_ms, atp
        self._previous[slot] = NEW if previous is None else previous
        self._before[slot] = self._newest.get(key, -1)
        self._keys[slot] = key
        self._newest[key] = number
        self._next = number + 1

    @property
    def since_ms(self) -> int:
        """Say from when on every update is here."""
        return self.started_ms if self._next <= self._size else self._at[self._next % self._size]

    def past(self, item: str, channel: str, now: int | None, now_ms: int) -> Past:
        """Give the values of the last hour; `now`: what Redis has, for a key that did not change; None: nothing."""
        start = now_ms - HOUR_MS
        since = max(start, self.since_ms)
        points: list[Point] = []
        number = self._newest.get(f"{item}:{channel}".encode(), -1)
        oldest = max(0, self._next - self._size)
        while number >= oldest:
            slot = number % self._size
            points.append(Point(self._at[slot], self._atp[slot]))
            if self._at[slot] <= since:
                break
            before = self._before[slot]
            if before < oldest:
                if self._previous[slot] != NEW:
                    points.append(Point(since, self._previous[slot]))
                break
            number = before
        points.reverse()
        if not points and now is not None:
            points = [Point(since, now)]
        return Past(points, since)
