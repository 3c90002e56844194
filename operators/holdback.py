"""No published number goes back in time (guarantee G3): after a resume a shard replays silently.

Redis keeps, by shard, which input offsets its numbers include. Until a resumed shard's state is at least that far, or
its input has passed there, what it says is held back and merged. Then it is compared with what readers really have,
so that `previous` is true and nothing unchanged is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from operators.outbox import merge
from operators.rules import lanes
from schemas.messages import ChannelUpdate, ItemUpdate, replace

#: what a reader has of one item and channel: atp, by_day
Value = tuple[int, tuple[int, ...] | None]


class HeldShard:
    """What one resumed shard says while its state is behind what is published."""

    def __init__(self, until: dict[str, int], reached: dict[str, int], updates: Iterable[ItemUpdate] = ()) -> None:
        #: input partition -> the offset that the published numbers include
        self.until: dict[str, int] = {}
        self.hold(until, reached)
        self.updates: dict[str, ItemUpdate] = {}
        self.add(updates)

    def hold(self, until: dict[str, int], reached: dict[str, int]) -> None:
        """Hold back until the state, which is at `reached`, includes these offsets."""
        self.until = {part: offset for part, offset in until.items() if reached.get(part, -1) < offset}

    def add(self, updates: Iterable[ItemUpdate]) -> None:
        """Hold updates back, merged by item."""
        for update in updates:
            # Kept even where a number came back to its old self: what is published may be another one.
            update = _forced(update)
            known = self.updates.get(update.item)
            self.updates[update.item] = update if known is None else merge(known, update)

    def note(self, reached: dict[str, int]) -> None:
        """Take what reached the shard since."""
        for part, offset in reached.items():
            if part in self.until and self.until[part] <= offset:
                del self.until[part]

    def is_through(self, has_passed: Callable[[str, int], bool]) -> bool:
        """Is the state at least as far as what is published?"""
        return all(has_passed(part, offset) for part, offset in self.until.items())


def _forced(update: ItemUpdate) -> ItemUpdate:
    changes = [replace(change, forced=True) for change in update.channels]
    return replace(update, channels=changes)


def restate(change: ChannelUpdate, before: Value | None) -> ChannelUpdate | None:
    """Give the change as it stands against what readers have, with a true lane and `previous`; None if they have it."""
    if change.removed:
        if before is None:
            return None
        lane = lanes.CRITICAL if before[0] else lanes.NORMAL
    elif before == (change.atp, change.by_day):
        return None
    else:
        unhurried = change.cause in lanes.UNHURRIED_CHANGES
        lane = lanes.lane(before, change.atp, change.by_day, change.low_stock_threshold, unhurried)
    previous, previous_by_day = before if before is not None else (None, None)
    return replace(change, previous=previous, previous_by_day=previous_by_day, lane=lane, forced=False)
