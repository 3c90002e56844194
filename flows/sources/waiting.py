"""What waits of statements, as ranges of offsets: rows that are not due, one range for all of a partition and a second.

So a statement of a million rows that were stated as of one moment costs a range; sources with other times to settle, as
of other moments, cost one each, and none waits for another.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

SECOND = 1_000_000
#: What is due within the same second.
Bucket = int


class Range(msgspec.Struct, array_like=True):
    """Offsets of a partition that hold rows that wait; others may stand between them."""

    part: str
    first: int
    last: int
    due: Bucket
    #: the largest Kafka timestamp of the partition before `first`
    clock: int
    rows: int = 0
    #: it waits for a location or channel that may be on its way
    is_grace: bool = False


class Waiting:
    """All that waits. Due times are UTC microseconds."""

    def __init__(self, ranges: Iterable[Range]) -> None:
        self._rows: dict[tuple[str, Bucket], Range] = {}
        #: messages that wait for a location or channel, each alone
        self._alone: list[Range] = []
        for one in ranges:
            if one.is_grace:
                self._alone.append(one)
            else:
                self._rows[one.part, one.due] = one

    def __bool__(self) -> bool:
        return bool(self._rows or self._alone)

    def ranges(self) -> list[Range]:
        """Give all of it, for a snapshot."""
        return [*self._rows.values(), *self._alone]

    def add(self, part: str, offset: int, due: int, clock: int) -> None:
        """Let a row wait."""
        bucket = bucket_of(due)
        known = self._rows.get((part, bucket))
        if known is None:
            known = self._rows[part, bucket] = Range(part, offset, offset, bucket, clock)
        known.last = max(known.last, offset)
        known.rows += 1

    def add_alone(self, part: str, offset: int, due: int, clock: int) -> None:
        """Let a message wait for a code that may be on its way."""
        self._alone.append(Range(part, offset, offset, due, clock, 1, True))

    def is_due(self, since: int, until: int) -> bool:
        """Is anything due after a moment, up to another?"""
        return any(since < one.due <= until for one in (*self._rows.values(), *self._alone))

    def first_due(self, until: int) -> Range | None:
        """Give what is due first, if anything is by then."""
        ready = [one for one in (*self._rows.values(), *self._alone) if one.due <= until]
        return min(ready, key=lambda one: (one.due, one.part, one.first), default=None)

    def remove(self, done: Range) -> None:
        """Forget a range that was read."""
        if done.is_grace:
            self._alone.remove(done)
        else:
            self._rows.pop((done.part, done.due))


def bucket_of(due: int) -> Bucket:
    """Round up to the second."""
    return -(-due // SECOND) * SECOND
