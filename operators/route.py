"""The route step: which shard each unit goes to."""

from __future__ import annotations

from zlib import crc32

from schemas.messages import UnitBatch
from schemas.units import Unit


def shard_of(item: str, shards: int) -> int:
    """Give the item's shard. A storage format: a change would send events to shards without the item's state."""
    return crc32(item.encode()) % shards


def split(units: list[Unit], part: str, shards: int) -> dict[int, UnitBatch]:
    """Give a batch for each shard that units of one input partition, in the order of their offsets, go to."""
    batches: dict[int, UnitBatch] = {}
    lists: dict[int, list[Unit]] = {}
    for unit in units:
        shard = crc32(unit.item.encode()) % shards  # shard_of, without the call
        found = lists.get(shard)
        if found is None:
            found = lists[shard] = []
        found.append(unit)
    for shard, found in lists.items():
        batches[shard] = UnitBatch(part, found[-1].origin.offset, found)
    return batches
