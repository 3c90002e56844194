"""Decides whether a unit counts, and counts once: by when it happened and what was applied (contract section 3).

Rule 1: a unit's age goes by Kafka's clock, recorded_at, never by ours: a record that is read again has the same age.
Rule 2: both bounds belong to what is accepted: exactly as old as the window is not late.
Rule 3: an id is known for as long as a repeat of its unit would not be late. So a repeat is known, or late, for ever.

Times and durations are UTC microseconds. Who asks what *would* become of an event gives the time at which it would be
recorded.
"""

from __future__ import annotations

from collections.abc import Mapping

#: What a unit is, beside what was applied before it.
NEW, DUPLICATE, CONFLICT = 0, 1, 2
#: When the id of a unit that was accepted late may be forgotten: never.
FOREVER = 1 << 62


class Windows:
    """How late an event may be: `dedup_window`, or the source's own where it has one."""

    __slots__ = ("by_source", "common")

    def __init__(self, common: int, by_source: Mapping[str, int]) -> None:
        self.common = common
        self.by_source = dict(by_source)

    def of(self, source: str) -> int:
        """Give the window of one source."""
        if not self.by_source:
            return self.common
        window: int = self.by_source.get(source, self.common)
        return window

    def widest(self) -> int:
        """Give how late any event may be."""
        return max(self.common, *self.by_source.values(), 0)


def is_late(occurred_at: int, recorded_at: int, window: int) -> bool:
    """Did it happen longer before it was recorded than its source's window allows?"""
    return recorded_at - occurred_at > window


def is_in_the_future(occurred_at: int, recorded_at: int, skew: int) -> bool:
    """Did it happen further after it was recorded than clocks may differ (`max_clock_skew`)?"""
    return occurred_at - recorded_at > skew


def is_in_time(occurred_at: int, recorded_at: int, window: int, skew: int) -> bool:
    """Is it neither late nor in the future? Both rules in one call, for the fast path."""
    return not is_late(occurred_at, recorded_at, window) and not is_in_the_future(occurred_at, recorded_at, skew)


def may_be_accepted_late(kind: str) -> bool:
    """May late units of this type count, where it is proved that they were never applied? A count may not.

    What happened after a late count is forgotten by then, so that nothing could be added to it.
    """
    return kind != "stock_counted"


def first_recorded(occurred_at: int, skew: int) -> int:
    """Give when what happened then was recorded at the earliest, if it was accepted."""
    return occurred_at - skew


def known_until(occurred_at: int, recorded_at: int, window: int, accepts_late: bool) -> int:
    """Give when the id of an applied unit may be forgotten: as soon as all that repeats it is late.

    `accepts_late`: it came with a proof that it is new. Where it was late, its repeats are too, and only its id tells
    them from new ones.
    """
    return FOREVER if accepts_late and is_late(occurred_at, recorded_at, window) else occurred_at + window


def repeat_of(first: int, content: int) -> int:
    """Say what a unit is that was applied before, by the fingerprints of what it said then and says now."""
    return DUPLICATE if first == content else CONFLICT
