"""How urgent a change is (contract section 6): by harm, a number that falls is worth more than one that rises."""

from __future__ import annotations

CRITICAL, HIGH, NORMAL, BULK = range(4)
LANES = ("critical", "high", "normal", "bulk")

#: Causes of an item's evaluation that hurry nobody: rises and first values go to the bulk lane.
UNHURRIED_CAUSES = frozenset({"reference", "day_turn", "republish", "refill"})
#: The same of a change of one channel, which may also be that it no longer lists the item.
UNHURRIED_CHANGES = UNHURRIED_CAUSES | {"unlisted"}

Days = tuple[int, ...] | None


def lane(before: tuple[int, Days] | None, atp: int, by_day: Days, low_stock_threshold: int, unhurried: bool) -> int:
    """Judge a change against what Redis had before (None: nothing).

    `unhurried`: caused by reference data, a day's turn or republishing, so that rises and first values are bulk.
    """
    if before is None:
        return BULK if unhurried else NORMAL
    previous, previous_by_day = before
    if atp < previous:
        return CRITICAL if atp == 0 or previous > low_stock_threshold >= atp else HIGH
    if atp > previous:
        if unhurried:
            return BULK
        return HIGH if previous == 0 else NORMAL
    return HIGH if by_day and previous_by_day and _any_falls(previous_by_day, by_day) else NORMAL


def _any_falls(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    return any(new < old for new, old in zip(after, before, strict=False))
