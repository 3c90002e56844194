"""Decides how a number of a resumed shard goes out to Kafka: against what readers had, so that `previous` is true.

A shard that was held back says numbers that readers may have already, or never got. What they had is, in this order:
what Kafka's tail has since the snapshot, and what the state knew then. Where Redis said what Kafka never got, the dead
run's message may still be on its way: the next number goes out above it even if Kafka has that one already.
"""

from __future__ import annotations

from flows.publishing.shards import Shards
from flows.publishing.tail import KnownTail
from flows.readmodel.port import Published
from operators.holdback import Value, restate
from operators.rules.lanes import BULK, CRITICAL
from schemas.messages import ChannelUpdate, ItemUpdate, replace


class Restating:
    """Of one process. Used by the writer's thread alone."""

    def __init__(self, shards: Shards, tail: KnownTail) -> None:
        self._shards, self._tail = shards, tail
        #: items whose next numbers are compared with what readers had
        self.items: set[str] = set()
        #: (item, channel) of which Redis said what Kafka never got
        self._doubtful: set[tuple[str, str]] = set()

    def changes(self, shard: int, update: ItemUpdate, version: int) -> list[ChannelUpdate]:
        """Give what goes to Kafka of an update of one of these items, or of a shard of which Redis cannot tell."""
        is_unsure = shard in self._shards.unsure
        restated = []
        for change in update.channels:
            one = self._restated(shard, update.item, change, is_unsure)
            if one is not None:
                restated.append(one)
                value = None if one.removed else (one.atp, one.by_day)
                self._tail.updates()[update.item, one.channel] = (version, value)
        return restated

    def _restated(self, shard: int, item: str, change: ChannelUpdate, is_unsure: bool) -> ChannelUpdate | None:
        key = (item, change.channel)
        before = self._before(shard, item, change)
        restated = restate(change, before)
        if restated is None:
            # Of a Redis that lost numbers nobody knows what an older run still has on its way to Kafka: what stands
            # goes out above it, once.
            is_owed = is_unsure and change.forced and not change.removed
            if not is_owed and key not in self._doubtful:
                return None
            previous, days = before or (None, None)
            restated = replace(change, previous=previous, previous_by_day=days, lane=BULK, forced=True)
        self._doubtful.discard(key)
        return restated

    def _before(self, shard: int, item: str, change: ChannelUpdate) -> Value | None:
        """Give what readers had before a resumed shard's change."""
        known = self._shards[shard]
        sent = self._tail.updates().get((item, change.channel))
        # An older one was sent by a run before the snapshot, however late it arrived: the state knows better.
        if sent is not None and sent[0] > known.saved_version:
            return sent[1]
        if not known.is_resumed or change.previous is None:
            return None  # of a shard without a snapshot the tail holds everything
        return (change.previous, change.previous_by_day)

    def compared(self, shard: int, update: ItemUpdate, there: Published) -> ItemUpdate:
        """Compare an update with what Redis has of its item; if it speaks in full, unlist what is there besides."""
        if not update.channels:
            return update
        tail, saved_version = self._tail.updates(), self._shards[shard].saved_version
        written = max(there.version, saved_version)
        for change in update.channels:
            key = (update.item, change.channel)
            value = there.numbers.get(change.channel)
            # Written after the snapshot, and what Kafka has is another one: that may be on its way.
            is_on_its_way = written > max(saved_version, tail.get(key, (0, None))[0])
            is_another = value is not None and self._before(shard, update.item, change) != value
            if is_on_its_way or is_another or shard in self._shards.unsure:
                self._doubtful.add(key)
        leftovers = _leftovers(update, there) if update.is_whole else []
        return replace(update, channels=[*update.channels, *leftovers]) if leftovers else update


def _leftovers(update: ItemUpdate, there: Published) -> list[ChannelUpdate]:
    """Give the last numbers for channels that the read model has of an item, and that are not spoken of any more."""
    spoken = {change.channel for change in update.channels}
    return [
        ChannelUpdate(channel, 0, atp, None, CRITICAL, "unlisted", True)
        for channel, (atp, _) in there.numbers.items()
        if channel not in spoken
    ]
