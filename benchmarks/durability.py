"""What an epoch's commit costs by three designs of durability, against the size of the state.

    python -m benchmarks.durability --sizes 2000 20000 200000

Each epoch takes the same traffic; then its state is made safe
- whole: every shard that changed writes all of its items, as Bytewax's own recovery of a plain stateful step does;
- changelog: each item that changed is a record for a compacted Kafka topic, waited for (as Kafka Streams does);
- layers: each shard says what changed since the last time, in one file that is synced (this engine's; segments are
  sealed and merged by another thread meanwhile);
- ahead: the same, but nine tenths of the epoch's events went into a layer before its end, as the engine does where its
  input leaves pauses.
Prints a line of JSON a size: milliseconds and bytes an epoch. Ids: 24 bytes each in all three, new ones alone.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # not in its list of exports

from benchmarks.memory import SHARDS, stocked
from flows.embedded import Servers
from flows.runtime.run import now
from flows.storage.segments import SegmentFiles
from flows.traffic import day as traffic
from operators.decode import CodeSets, Decoder, DecoderConfig
from operators.ledger import records_of
from operators.route import split
from operators.shard import Shard
from schemas.state import Item
from schemas.units import Origin, Refusal, Unit

TOPIC = "changelog"
#: of an epoch's events, the share that is written ahead; and how long the other thread has for sealing before its end
AHEAD, SEALING_S = 0.9, 0.2
_encode = msgspec.msgpack.encode
Kept = dict[str, bytes]


class Traffic:
    """The same events for every design, an epoch's worth at a time."""

    def __init__(self, items: int, epoch: int) -> None:
        self._epoch = epoch
        profile = traffic.Profile(events=1 << 30, items=items)
        self._messages = traffic.events(profile, now())
        locations = frozenset(traffic.location_code(number) for number in range(profile.locations))
        channels = frozenset(traffic.channel_code(number) for number in range(profile.channels))
        kinds = {f"inventory.{kind}": kind for kind in ("warehouse", "orders", "supply")}
        self._decoder = Decoder(DecoderConfig(kinds), CodeSets(locations, channels))
        self._offset = 0

    def flow(self, shards: list[Shard], share: float = 1.0) -> None:
        """Let an epoch's events, or a share of them, reach the shards."""
        units: list[Unit] = []
        refusals: list[Refusal] = []
        moment = now()
        for topic, key, value in islice(self._messages, round(share * self._epoch)):
            self._offset += 1
            origin = Origin(topic, 0, self._offset, moment // 1000, key, value)
            self._decoder.decode(origin, moment, units, refusals, True)
        for number, batch in split(units, "t/0", SHARDS).items():
            shards[number].process([batch])


def changed(shard: Shard) -> tuple[Kept, dict[int, bytes]]:
    """Take what changed of a shard, as its layers hold it."""
    kept: Kept = {}
    for item in shard._dirty:
        item.is_noted = False
        kept[item.code] = records_of(item)
    shard._dirty = []
    return kept, shard.ids.news()


def everything(shard: Shard) -> tuple[Kept, dict[int, bytes]]:
    """Take all that a shard holds."""
    changed(shard)  # what is new of the ids
    kept: Kept = {}
    for item in shard.items.values():
        assert isinstance(item, Item)
        item.is_dirty = item.has_new_policies = True
        for place in item.places.values():
            place.is_dirty = True
        item.dirty = {("l", *key) for key in item.lines} or None
        kept[item.code] = records_of(item)
    return kept, {}


def synced(file: Any, content: bytes) -> None:
    """Write and wait for the disk."""
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def measure(items: int, epochs: int, epoch: int, servers: Servers, folder: Path) -> dict[str, Any]:
    """Measure the designs on one state."""
    segments = SegmentFiles(folder / "segments", 1)
    shards = stocked(items, 5, segments)
    events = Traffic(items, epoch)
    admin = AdminClient({"bootstrap.servers": servers.bootstrap_servers})
    topic = f"{TOPIC}-{items}"
    admin.create_topics([NewTopic(topic, 4, 1, config={"cleanup.policy": "compact"})])[topic].result()
    producer = Producer(
        {
            "bootstrap.servers": servers.bootstrap_servers, "acks": "all", "enable.idempotence": True,
            "compression.type": "lz4", "linger.ms": 2, "queue.buffering.max.messages": 2_000_000,
        }
    )  # fmt: skip
    took: dict[str, list[tuple[float, float]]] = {"whole": [], "changelog": [], "layers": [], "ahead": []}
    with (folder / f"state-{items}").open("ab") as file:
        for number in range(epochs * 4):
            # Layers for several epochs in a row, so that sealing and merging run as they do; then the other two.
            design = ("layers", "ahead", "changelog", "whole")[number // epochs]
            if design == "ahead":
                events.flow(shards, AHEAD)
                for shard in shards:
                    shard.write_ahead()
                time.sleep(SEALING_S)
            events.flow(shards, 1 - AHEAD if design == "ahead" else 1.0)
            gc.collect()
            gc.freeze()
            size = 0
            began = time.perf_counter()
            if design in ("layers", "ahead"):
                content = b"".join([shard.snapshot() for shard in shards])
                synced(file, content)
                size = len(content)
            elif design == "whole":
                for shard in shards:
                    content = _encode(everything(shard))
                    size += len(content)
                    file.write(content)
                synced(file, b"")
            else:
                for shard in shards:
                    kept, ids = changed(shard)
                    for code, records in kept.items():
                        size += len(records)
                        producer.produce(topic, records, code)
                    value = _encode(ids)
                    size += len(value)
                    producer.produce(topic, value, str(shard.number))
                    producer.poll(0)
                assert producer.flush(60) == 0
            took[design].append((time.perf_counter() - began, size))
    segments.close()
    result: dict[str, Any] = {"items": items, "item_locations": items * 5, "events_an_epoch": epoch, "epochs": epochs}
    for design, some in took.items():
        result[f"{design}_ms"] = round(statistics.median(seconds for seconds, _ in some) * 1000, 1)
        result[f"{design}_ms_max"] = round(max(seconds for seconds, _ in some) * 1000, 1)
        result[f"{design}_mb"] = round(statistics.median(size for _, size in some) / 1e6, 2)
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 20_000, 200_000], help="items, at 5 locations")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--epoch", type=int, default=20_000, help="events an epoch")
    told = parser.parse_args()
    gc.disable()
    with tempfile.TemporaryDirectory() as name, Servers(Path(name) / "servers") as servers:
        for items in told.sizes:
            print(json.dumps(measure(items, told.epochs, told.epoch, servers, Path(name))), flush=True)


if __name__ == "__main__":
    main()
