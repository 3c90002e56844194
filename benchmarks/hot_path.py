"""The engine's hot path in process, without servers, and a fixed loop to measure it against.

    python -m benchmarks.hot_path            # the ratio now, and the one that the guard compares with
    python -m benchmarks.hot_path --record   # this ratio from now on

The ratio of processor times hardly depends on how fast or how busy the machine is: both are measured in turns, and
the least of each counts. A change that makes the engine slower makes the ratio larger.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from flows.readmodel.slices import pack_slice
from flows.runtime.run import now
from flows.traffic import day as traffic
from flows.traffic.profile import Message, reference
from operators.decode import CodeSets, Decoder, DecoderConfig
from operators.reference import ReferenceTables, unpack_topology
from operators.route import shard_of
from operators.scan import IS_COMPILED
from operators.shard import Shard, ShardConfig
from schemas.messages import Inbound, TopologyRecord, UnitBatch
from schemas.units import Origin, Refusal, Unit

STORED = Path(__file__).resolve().parent / "hot_path.json"
SHARDS = 16
POLL = 500
PROFILE = traffic.Profile(events=4_000, items=400, duplicates=0.05)
ROUNDS = 12
#: How much worse than recorded still passes: more than a busy machine, another processor or Python makes of it.
TOLERANCE = 1.6


class _Clock:
    """Lets nothing be forgotten."""

    def recorded(self) -> int | None:
        return None

    def has_passed(self, part: str, offset: int) -> bool:
        return False


class _NoSegments:
    """For shards that never take a snapshot."""


class HotPath:
    """Fresh shards that know the catalog; `run` takes the same messages through them."""

    def __init__(self, messages: list[Message]) -> None:
        self._messages = messages
        config = ShardConfig(SHARDS, 86_400_000_000)
        self._shards = [Shard(n, config, _NoSegments(), now, _Clock()) for n in range(SHARDS)]  # type: ignore[arg-type]
        tables = ReferenceTables()
        records = [
            (topic.removeprefix("inventory."), Origin(topic, 0, offset, 0, key, value))
            for offset, (topic, key, value) in enumerate(reference(PROFILE))
        ]
        accepted, _, _ = tables.accept(records, now(), 0)
        inbound: list[list[Inbound]] = [[TopologyRecord(tables.pack(), n)] for n in range(SHARDS)]
        for record in accepted:
            inbound[shard_of(record.item, SHARDS)].append(record)
        for shard, some in zip(self._shards, inbound, strict=True):
            shard.process(some)
        topology = unpack_topology(tables.pack())
        known = CodeSets(frozenset(topology.locations), frozenset(topology.channels))
        kinds = {f"inventory.{kind}": kind for kind in ("warehouse", "orders", "supply")}
        self._decoder = Decoder(DecoderConfig(kinds), known)

    def run(self) -> int:
        """Decode, count, promise, and write out for Redis; give how many fields that made."""
        fields = polls = 0
        messages = iter(self._messages)
        while chunk := list(islice(messages, POLL)):
            polls += 1
            moment = now()
            units: list[Unit] = []
            refusals: list[Refusal] = []
            for offset, (topic, key, value) in enumerate(chunk):
                origin = Origin(topic, 0, polls * POLL + offset, moment // 1000, key, value)
                self._decoder.decode(origin, moment, units, refusals, True)
            batches: dict[int, UnitBatch] = {}
            for unit in units:
                number = shard_of(unit.item, SHARDS)
                if number in batches:
                    batches[number].units.append(unit)
                else:
                    batches[number] = UnitBatch("t/0", unit.origin.offset, [unit])
            for number, batch in batches.items():
                outcome = self._shards[number].process([batch])
                if outcome is not None:
                    fields += pack_slice(outcome.updates, "", polls, moment).word_count
        return fields


class _Shelf:
    __slots__ = ("lots", "name", "quantity")

    def __init__(self, name: str) -> None:
        self.name, self.quantity, self.lots = name, 0, [0, 0, 0]


def reference_loop(count: int = 25_000) -> int:
    """The fixed loop: JSON, dicts, small objects and text, as the hot path has them. Never change it."""
    text = '{"event_id":"1-17","item":"SKU-000042","location":"DC-2","quantity":3,"lines":[1,2,3]}'
    shelves: dict[str, _Shelf] = {}
    total = 0
    for number in range(count):
        event = json.loads(text) if number % 8 == 0 else event  # noqa: F821 - the first one is read
        name = f"{event['item']}:{number % 997}"
        shelf = shelves.get(name)
        if shelf is None:
            shelf = shelves[name] = _Shelf(name)
        shelf.quantity += event["quantity"]
        shelf.lots[number % 3] = max(0, shelf.quantity - 5 - shelf.lots[(number + 1) % 3])
        total += min(shelf.lots) + len(shelf.name)
    return total


def ratio(rounds: int = ROUNDS) -> float:
    """Measure processor time of the hot path by that of the loop."""
    messages = list(traffic.events(PROFILE, now()))
    hot, loop = [], []
    was_enabled = gc.isenabled()
    try:
        for _ in range(rounds):
            path = HotPath(messages)
            gc.collect()
            gc.disable()
            loop.append(_spent(reference_loop))
            hot.append(_spent(path.run))
            gc.enable()
    finally:
        (gc.enable if was_enabled else gc.disable)()
    return min(hot) / min(loop)


def recorded() -> float:
    """Give what the guard compares with: of this Python in this form, or else the slowest one known."""
    known: dict[str, float] = json.loads(STORED.read_text())
    return known.get(_python(), max(known.values()))


def _python() -> str:
    version = ".".join(platform.python_version_tuple()[:2])
    return version if IS_COMPILED else f"{version} uncompiled"


def _spent(work: Callable[[], int]) -> float:
    started = time.process_time()
    assert work() > 0
    return time.process_time() - started


def main() -> None:
    """Measure and print, or record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true")
    now_ = ratio()
    if parser.parse_args().record:
        known = json.loads(STORED.read_text()) if STORED.exists() else {}
        STORED.write_text(json.dumps({**known, _python(): round(now_, 2)}, indent=1) + "\n")
    print(f"{now_:.2f} times the reference loop; recorded: {recorded():.2f}; fails beyond {TOLERANCE * recorded():.2f}")


if __name__ == "__main__":
    main()
