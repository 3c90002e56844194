"""The prioritize step: what waits to be written to the read model, merged by item, most urgent first.

Rule 1: of one item only the newest numbers leave, under the most urgent of the lanes that waited.
Rule 2: a number that came back to what is published is not written.
Rule 3: `reached`, the input offsets that the numbers of a shard include, leaves with or before the first of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from schemas.messages import ChannelUpdate, ItemUpdate, replace

#: the lanes, and behind them what changes figures but no promise
RANKS = 5
ONLY_FIGURES = 4


def rank(update: ItemUpdate) -> int:
    """Give the most urgent lane of an item's changes."""
    urgency = ONLY_FIGURES
    for change in update.channels:
        if change.lane < urgency:
            urgency = change.lane
    return urgency


def merge_channels(old: ChannelUpdate, new: ChannelUpdate) -> ChannelUpdate:
    """Give what leaves of two waiting changes of one item and channel: the newer, against what was before both."""
    if new.previous is None:  # listed again: a first value, over a number and days that may still stand
        return replace(
            new,
            lane=min(old.lane, new.lane),
            previous_by_day=old.previous_by_day or new.previous_by_day,
            forced=new.forced or old.forced or old.removed,
        )
    return ChannelUpdate(
        new.channel,
        new.atp,
        old.previous,
        new.by_day,
        min(old.lane, new.lane),
        new.cause,
        new.removed,
        new.breakdown,
        old.previous_by_day,
        new.low_stock_threshold,
        old.forced or new.forced,
    )


def is_moot(change: ChannelUpdate) -> bool:
    """Did the number come back to what was there before, be it nothing?"""
    return not change.forced and (is_unchanged(change) or (change.removed and change.previous is None))


def is_unchanged(change: ChannelUpdate) -> bool:
    """Is the number what it was?"""
    return not change.removed and change.previous == change.atp and change.previous_by_day == change.by_day


def merge(old: ItemUpdate, new: ItemUpdate) -> ItemUpdate:
    """Merge two updates of one item that both wait."""
    channels = {change.channel: change for change in old.channels}
    for change in new.channels:
        waiting = channels.get(change.channel)
        channels[change.channel] = change if waiting is None else merge_channels(waiting, change)
    is_whole = old.is_whole or new.is_whole
    left = [change for change in channels.values() if not is_moot(change)]
    if is_whole:  # it takes the place of all that is there: a number that came back to its old self has to be in it
        left += [replace(one, forced=True) for one in channels.values() if is_moot(one) and not one.removed]
    return ItemUpdate(
        new.item,
        new.as_of,
        new.scale,
        new.day0,
        new.correlation_id,
        left,
        old.fields | new.fields,
        new.places if new.places is not None else old.places,
        new.unlocated,
        new.is_gone,
        min(old.recorded_at, new.recorded_at) or old.recorded_at or new.recorded_at,
        is_whole,
        old.is_first or new.is_first,
        _merge_claims(old.claims, new.claims, new.has_all_claims),
        old.has_all_claims or new.has_all_claims,
    )


def _merge_claims(
    old: dict[str, str | None] | None, new: dict[str, str | None] | None, has_all: bool
) -> dict[str, str | None] | None:
    """Give what of claims leaves. `has_all`: the newer name every line that claims something."""
    if old is None or has_all:
        return new
    return old if new is None else old | new


def size(update: ItemUpdate) -> int:
    """Give how many hash fields the update writes, by day or not: what a slice is measured in."""
    fields = 0
    for change in update.channels:
        fields += 1 if change.by_day is None else 2
    if update.channels or update.day0 >= 0 or update.is_first:
        fields += 3
    if update.claims:
        fields += len(update.claims)
    return fields + len(update.fields) + 2 if update.fields else fields


class Outbox:
    """What waits to be written, of all shards of a process."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[int, ItemUpdate]] = {}
        #: by rank, in order of arrival; an item that rose to a more urgent rank is found there first, and skipped later
        self._ranks: list[deque[str]] = [deque() for _ in range(RANKS)]
        self._reached: dict[int, dict[str, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, shard: int, updates: Iterable[ItemUpdate], reached: dict[str, int] | None) -> None:
        """Take what a shard has to say; `reached`: the offsets its state includes now."""
        waiting, ranks = self._waiting, self._ranks
        for update in updates:
            item = update.item
            entry = (shard, update)
            known = waiting.setdefault(item, entry)
            if known is entry:
                ranks[rank(update)].append(item)
                continue
            update = merge(known[1], update)
            waiting[item] = (shard, update)
            urgency = rank(update)
            if urgency < rank(known[1]):
                ranks[urgency].append(item)
        if reached is not None:
            self._reached[shard] = reached

    def slice(self, fields_max: int) -> tuple[list[tuple[int, ItemUpdate]], dict[int, dict[str, int]]]:
        """Take the most urgent items, up to `fields_max` fields but at least one item, and what goes with them."""
        taken: list[tuple[int, ItemUpdate]] = []
        fields = 0
        waiting = self._waiting
        for items in self._ranks:
            while items:
                item = items.popleft()
                entry = waiting.pop(item, None)
                if entry is None:
                    continue
                fields += size(entry[1])
                if taken and fields > fields_max:
                    waiting[item] = entry
                    items.appendleft(item)
                    return taken, self._take_reached()
                taken.append(entry)
        return taken, self._take_reached()

    def _take_reached(self) -> dict[int, dict[str, int]]:
        reached, self._reached = self._reached, {}
        return reached
