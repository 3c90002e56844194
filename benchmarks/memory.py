"""What a worker's state takes: a million item/locations and a million remembered ids, without servers.

    python -m benchmarks.memory --items 200000 --locations 5

Prints one line of JSON: resident memory, and bytes for each item/location with its share of everything.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
from pathlib import Path

import psutil

from benchmarks.in_process import SHARDS, Recorded
from flows.runtime.run import now
from flows.storage.segments import SegmentFiles
from flows.traffic.profile import Profile, item_code, location_code, reference
from operators.ids import RememberedIds
from operators.reference import ReferenceTables
from operators.route import shard_of
from operators.shard import Shard, ShardConfig
from schemas.messages import Inbound, TopologyRecord, UnitBatch
from schemas.units import EventType, Origin, Unit

EPOCH_EVERY = 50_000


def stocked(items: int, locations: int, segments: SegmentFiles) -> list[Shard]:
    """Give shards that know so many items, each with ten pieces at every location; all of it in snapshots already."""
    shards = [Shard(n, ShardConfig(SHARDS, 86_400_000_000), segments, now, Recorded()) for n in range(SHARDS)]
    tables = ReferenceTables()
    profile = Profile(events=0, items=items, locations=locations)
    records = [
        (topic.removeprefix("inventory."), Origin(topic, 0, offset, 0, key, value))
        for offset, (topic, key, value) in enumerate(reference(profile))
    ]
    accepted, _, _ = tables.accept(records, now(), 0)
    inbound: list[list[Inbound]] = [[TopologyRecord(tables.pack(), n)] for n in range(SHARDS)]
    for record in accepted:
        inbound[shard_of(record.item, SHARDS)].append(record)
    for shard, some in zip(shards, inbound, strict=True):
        shard.process(some)
    origin = Origin("inventory.warehouse", 0, 0, 0, None, b"")
    moment = now()
    count = 0
    for number in range(items):
        item = item_code(number)
        units = [
            Unit(
                int(EventType.STOCK_RECEIVED), item, "wms", f"event-{number}-{place}", "", moment, moment, origin,
                quantity=10, location=location_code(place), status="available",
            )
            for place in range(locations)
        ]  # fmt: skip
        shards[shard_of(item, SHARDS)].process([UnitBatch("inventory.warehouse/0", count, units)])
        count += locations
        if count % EPOCH_EVERY == 0:
            for each in shards:
                each.snapshot()
    return shards


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--locations", type=int, default=5)
    told = parser.parse_args()
    gc.disable()
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as name:
        before = process.memory_info().rss
        segments = SegmentFiles(Path(name), 1)
        shards = stocked(told.items, told.locations, segments)
        count = told.items * told.locations
        moment = now()
        segments.close()
        gc.collect()
        rss = process.memory_info().rss
        ids = RememberedIds()
        empty = process.memory_info().rss
        for number in range(1_000_000):  # spread over all 60 bits as hashes are: the table goes by the highest
            ids.remember((number * 0x9E3779B97F4A7C15 >> 4) & ((1 << 60) - 1), number, moment)
        print(
            json.dumps(
                {
                    "item_locations": count,
                    "remembered_ids": sum(len(shard.ids) for shard in shards),
                    "rss_mb": rss // 1_000_000,
                    "bytes_an_item_location": (rss - before) // count,
                    "bytes_a_remembered_id": (process.memory_info().rss - empty) // 1_000_000,
                }
            )
        )


if __name__ == "__main__":
    main()
