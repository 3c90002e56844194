"""The route step: which shard each unit goes to, and at which desk the refusals of a message meet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from zlib import crc32

from operators.rules import native
from schemas.messages import UnitBatch
from schemas.units import Origin, Refusal, Unit

#: Places where dead letters are written, spread over the workers. All refusals of a message meet at one, whichever
#: shards and workers they come from: only so is it known whether a letter with the message's bytes is there already.
DESKS: Final = 16


def shard_of(item: str, shards: int) -> int:
    """Give the item's shard. A storage format: a change would send events to shards without the item's state."""
    number = native.checksum(item)
    return number % shards


def split(units: list[Unit], part: str, shards: int) -> dict[int, UnitBatch]:
    """Give a batch for each shard that units of one input partition, in the order of their offsets, go to."""
    batches: dict[int, UnitBatch] = {}
    lists: dict[int, list[Unit]] = {}
    for unit in units:
        shard = shard_of(unit.item, shards)
        found = lists.get(shard)
        if found is None:
            found = lists[shard] = []
        found.append(unit)
    for shard, found in lists.items():
        batches[shard] = UnitBatch(part, found[-1].origin.offset, found)
    return batches


def desk_of(origin: Origin) -> int:
    """Give the desk at which all refusals of a message meet."""
    return crc32(f"{origin.topic}/{origin.partition}/{origin.offset}".encode()) % DESKS


def by_desk(refusals: Iterable[Refusal]) -> dict[int, list[Refusal]]:
    """Give the refusals for each desk, in their order."""
    found: dict[int, list[Refusal]] = {}
    last: Origin | None = None
    desk = 0
    for refusal in refusals:
        if refusal.origin is not last:
            last = refusal.origin
            desk = desk_of(last)
        found.setdefault(desk, []).append(refusal)
    return found
