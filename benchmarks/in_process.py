"""What decoding, shards, snapshots and counting for metrics cost without servers: microseconds a unit, by step.

python -m benchmarks.in_process --events 200000 --items 100000
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from itertools import islice
from pathlib import Path

from flows.monitoring.metrics import Metrics
from flows.runtime.run import now
from flows.storage.segments import SegmentFiles
from flows.traffic import day as traffic
from flows.traffic.profile import Profile, reference
from operators.decode import CodeSets, Decoder, DecoderConfig
from operators.reference import ReferenceTables, unpack_topology
from operators.route import shard_of
from operators.shard import Shard, ShardConfig
from schemas.messages import Inbound, Outgoing, TopologyRecord, UnitBatch
from schemas.units import Origin, Refusal, Unit

SHARDS = 64
POLL = 1000


class Recorded:
    """A clock that never lets anything be forgotten."""

    def recorded(self) -> int | None:
        """Nothing has passed."""
        return None

    def has_passed(self, part: str, offset: int) -> bool:
        """Nothing has passed."""
        return False


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--epoch-polls", type=int, default=30, help="polls between snapshots")
    parser.add_argument("--trail", action="store_true", help="write down what touched each item (trail.enabled)")
    told = parser.parse_args()
    gc.disable()
    profile = Profile(items=told.items, events=told.events)
    with tempfile.TemporaryDirectory() as name:
        segments = SegmentFiles(Path(name), 1)
        config = ShardConfig(SHARDS, 86_400_000_000, has_trail=told.trail)
        shards = [Shard(n, config, segments, now, Recorded()) for n in range(SHARDS)]
        tables = ReferenceTables()
        records = [
            (topic.removeprefix("inventory."), Origin(topic, 0, offset, 0, key, value))
            for offset, (topic, key, value) in enumerate(reference(profile))
        ]
        started = time.thread_time()
        accepted, _, _ = tables.accept(records, now(), 0)
        judged = time.thread_time()
        inbound: list[list[Inbound]] = [[TopologyRecord(tables.pack(), n)] for n in range(SHARDS)]
        for record in accepted:
            inbound[shard_of(record.item, SHARDS)].append(record)
        for shard, some in zip(shards, inbound, strict=True):
            shard.process(some)
        print(f"reference: judge {judged - started:.2f} s, shards {time.thread_time() - judged:.2f} s")
        topology = unpack_topology(tables.pack())
        known = CodeSets(frozenset(topology.locations), frozenset(topology.channels))
        kinds = {f"inventory.{kind}": kind for kind in ("warehouse", "orders", "supply")}
        decoder = Decoder(DecoderConfig(kinds), known)
        messages = traffic.events(profile, now())
        spent = dict.fromkeys(("decode", "split", "process", "snapshot", "metrics"), 0.0)
        metrics = Metrics()
        units_in_all = polls = size = trail_size = 0
        while chunk := list(islice(messages, POLL)):
            polls += 1
            moment = now()
            t0 = time.thread_time()
            units: list[Unit] = []
            refusals: list[Refusal] = []
            for offset, (topic, key, value) in enumerate(chunk):
                decoder.decode(
                    Origin(topic, 0, polls * POLL + offset, moment // 1000, key, value), moment, units, refusals, True
                )
            t1 = time.thread_time()
            batches: dict[int, UnitBatch] = {}
            for unit in units:
                batch = batches.get(shard_of(unit.item, SHARDS))
                if batch is None:
                    batches[shard_of(unit.item, SHARDS)] = UnitBatch("t/0", unit.origin.offset, [unit])
                else:
                    batch.units.append(unit)
            t2 = time.thread_time()
            outcomes = [shards[number].process([batch]) for number, batch in batches.items()]
            t3 = time.thread_time()
            if polls % told.epoch_polls == 0:
                size += sum(len(shard.snapshot()) for shard in shards)
            t4 = time.thread_time()
            said = [outcome for outcome in outcomes if outcome is not None]
            trail_size += sum(len(one.value) for outcome in said for one in outcome.reconciled)
            written = [[(outcome.shard, update) for update in outcome.updates] for outcome in said]
            sent = [
                [
                    Outgoing(shard, update.item, change, update.as_of, "", 1, moment, moment)
                    for shard, update in some
                    for change in update.channels
                ]
                for some in written
            ]
            t5 = time.thread_time()
            for outcome, some, updates in zip(said, written, sent, strict=True):
                metrics.count(outcome)
                metrics.wrote(some, moment, 0.001)
                metrics.sent(updates, moment)
            t6 = time.thread_time()
            units_in_all += len(units)
            for step, seconds in zip(spent, (t1 - t0, t2 - t1, t3 - t2, t4 - t3, t6 - t5), strict=True):
                spent[step] += seconds
        result = {step: round(seconds / units_in_all * 1e6, 2) for step, seconds in spent.items()}
        result |= {"units": units_in_all, "us_a_unit": round(sum(spent.values()) / units_in_all * 1e6, 2)}
        result["trail_bytes_a_unit"] = round(trail_size / units_in_all)
        result["units_per_s"] = round(units_in_all / sum(spent.values()))
        segments.close()
        print(json.dumps(result))


if __name__ == "__main__":
    main()
