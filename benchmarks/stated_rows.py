"""What a row of a statement costs without servers, by step: microseconds of processor time a row, and a variance.

    python -m benchmarks.stated_rows [--rows 100000] [--items 20000] [--profile]

A row is read twice if it waits in Kafka until it is due; then it is admitted, and judged in the shard of its item,
beside the stock that a warehouse has told of. 95 of 100 agree. Of the others it is found out whether units are wanted,
a cause is named, with the one unit of each, and the verdict is applied.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import pstats
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.in_process import Recorded
from flows.runtime.run import now
from operators.coordinator import Coordinator, CoordinatorConfig
from operators.decode import CodeSets, Decoder, DecoderConfig
from operators.reference import ReferenceTables, unpack_topology
from operators.route import shard_of
from operators.rules.admission import Windows
from operators.rules.statements import due_at
from operators.shard import Shard, ShardConfig
from operators.statement_decode import StatementDecoder
from schemas.messages import Inbound, TopologyRecord, UnitBatch
from schemas.reconciled import CloseStatement, Rows, UnitsFound, VerdictFell
from schemas.stated import Stated
from schemas.times import time_text
from schemas.units import Origin, Refusal, Unit

SHARDS = 64
#: as flows.sources.statements takes them
SLICE = 250
HOUR = 3_600_000_000
LOCATIONS = ("DC-1", "DC-2", "DC-3", "DC-4", "DC-5")
#: of 100 rows so many differ
DIFFERING = 5
ON_HAND = 100


CODE, STATEMENT = "SKU-", ("erp", "night")


def code_of(number: int) -> str:
    """Name an item."""
    return f"{CODE}{number:06d}"


def rows(count: int, items: int, as_of: str, statement: str = "night", source: str = "erp") -> Iterator[bytes]:
    """Give the rows of a statement, each of an item at a location, as a system would write them."""
    for number in range(count):
        theirs = ON_HAND - (1 + number % 7 if number % 100 < DIFFERING else 0)
        yield (
            f'{{"event_id":"{statement}:{number}","type":"stock_stated","source":"{source}","occurred_at":"{as_of}",'
            f'"statement_id":"{statement}","item":"{code_of(number % items)}",'
            f'"location":"{LOCATIONS[number // items % len(LOCATIONS)]}","on_hand":{theirs}}}'
        ).encode()


class Estate:
    """Shards that know items, locations and stock."""

    def __init__(self, items: int, places: int) -> None:
        self.moment = now()
        config = ShardConfig(SHARDS, 24 * HOUR)
        self.shards = [Shard(n, config, None, now, Recorded()) for n in range(SHARDS)]  # type: ignore[arg-type]
        tables = ReferenceTables()
        told = [("locations", code, {"location": code}) for code in LOCATIONS]
        told += [("channels", "web", {"channel": "web", "locations": list(LOCATIONS)})]
        told += [("items", code_of(number), {"item": code_of(number)}) for number in range(items)]
        records = [
            (kind, Origin(f"inventory.{kind}", 0, offset, 0, key.encode(), json.dumps(value).encode()))
            for offset, (kind, key, value) in enumerate(told)
        ]
        accepted, refused, _ = tables.accept(records, self.moment, 0)
        assert not refused, refused[0].message
        inbound: list[list[Inbound]] = [[TopologyRecord(tables.pack(), n)] for n in range(SHARDS)]
        for record in accepted:
            inbound[shard_of(record.item, SHARDS)].append(record)
        topology = unpack_topology(tables.pack())
        known = CodeSets(frozenset(topology.locations), frozenset(topology.channels))
        kinds = {"inventory.warehouse": "warehouse"}
        decoder = Decoder(DecoderConfig(kinds), known)
        self._units = decoder
        self.decoder = StatementDecoder(DecoderConfig(kinds), known)
        units: list[Unit] = []
        refusals: list[Refusal] = []
        for number in range(items):
            for location in LOCATIONS[:places]:
                value = self._received(number, location)
                origin = Origin("inventory.warehouse", 0, number, self.moment // 1000, None, value)
                decoder.decode(origin, self.moment, units, refusals, True)
        assert not refusals, refusals[0].message
        for unit in units:
            inbound[shard_of(unit.item, SHARDS)].append(UnitBatch("", 0, [unit]))
        for shard, some in zip(self.shards, inbound, strict=True):
            shard.process(some)
        windows = Windows(24 * HOUR, {})
        self.coordinator = Coordinator(CoordinatorConfig(SHARDS, windows, 600_000_000), now, 1)

    def _received(self, number: int, location: str) -> bytes:
        return (
            f'{{"event_id":"r{number}{location}","type":"stock_received","source":"wms","item":"{code_of(number)}",'
            f'"occurred_at":"{time_text(self.moment - HOUR)}","location":"{location}","quantity":{ON_HAND}}}'
        ).encode()

    def decode(self, slices: list[list[bytes]], *, is_again: bool) -> list[list[Stated]]:
        """Read rows; at the first time, note that they wait."""
        found = []
        for number, values in enumerate(slices):
            some = []
            for index, value in enumerate(values):
                origin = Origin("inventory.statements", 0, number * SLICE + index, self.moment // 1000, b"k", value)
                said = self.decoder.decode(origin, self.moment, is_again)
                assert isinstance(said, Stated), said
                due_at(self.moment, said.as_of, 600_000_000)
                self.coordinator.wait_for(said.source, said.statement_id, said.as_of, -1 if is_again else 1)
                some.append(said)
            found.append(some if is_again else [])
        return found

    def split(self, slices: list[list[Stated]]) -> list[dict[int, Rows]]:
        """Admit rows, by shard."""
        found = []
        for some in slices:
            by_shard: dict[int, Rows] = {}
            for row in some:
                if self.coordinator.admits(row):
                    own = by_shard.setdefault(shard_of(row.item, SHARDS), Rows([], []))
                    own.rows.append(row)
                    own.born.append(self.coordinator.born(row))
            found.append(by_shard)
        return found

    def judge(self, slices: list[dict[int, Rows]]) -> float:
        """Judge rows; give how long the slowest slice took, in seconds of processor time."""
        longest = 0.0
        for by_shard in slices:
            began = time.thread_time()
            for number, some in by_shard.items():
                self.shards[number].process([some])
            longest = max(longest, time.thread_time() - began)
        return longest

    def units(self, codes: list[str], places: int) -> dict[int, UnitsFound]:
        """Give the units of items as they are read again, by shard."""
        units: list[Unit] = []
        for code in codes:
            for location in LOCATIONS[:places]:
                value = self._received(int(code.removeprefix(CODE)), location)
                origin = Origin("inventory.warehouse", 0, 0, self.moment // 1000, None, value)
                self._units.decode(origin, self.moment, units, [], True)
        found = {number: UnitsFound(*STATEMENT, [], False) for number in range(SHARDS)}
        for unit in units:
            unit.origin = unit.origin.without_bytes()
            found[shard_of(unit.item, SHARDS)].units.append(unit.values())
        return found

    def follow(self, places: int) -> dict[str, float]:
        """Close the statement, name causes, let the verdict fall: seconds of processor time by step."""
        born = next(iter(self.shards[0].reconciler.desk.open.values())).born
        took: dict[str, float] = {}

        def tell(name: str, words: list[Any]) -> None:
            began = time.thread_time()
            for shard, word in zip(self.shards, words, strict=True):
                shard.process([word])
                shard.reconciler.work_off()
            took[name] = took.get(name, 0.0) + time.thread_time() - began

        closing = CloseStatement(*STATEMENT, self.moment, self.moment, None, False, 1, born)
        tell("search", [closing] * SHARDS)
        tallies = [shard.reconciler.desk.open[STATEMENT].tally for shard in self.shards]
        units = self.units([code for tally in tallies for code in tally.wanted], places)
        tell("take_units", list(units.values()))
        tell("cause", [UnitsFound(*STATEMENT, [], True)] * SHARDS)
        tell("verdict", [VerdictFell(*STATEMENT, self.moment, True)] * SHARDS)
        return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--profile", action="store_true", help="by function, which costs a lot itself")
    told = parser.parse_args()
    places = min(len(LOCATIONS), -(-told.rows // told.items))
    estate = Estate(told.items, places)
    values = list(rows(told.rows, told.items, time_text(estate.moment)))
    slices = [values[at : at + SLICE] for at in range(0, len(values), SLICE)]
    gc.collect()
    gc.disable()
    profiler = cProfile.Profile() if told.profile else None
    if profiler is not None:
        profiler.enable()
    marks = [time.thread_time()]
    result: dict[str, Any] = {}
    estate.decode(slices, is_again=False)
    marks.append(time.thread_time())
    decoded = estate.decode(slices, is_again=True)
    marks.append(time.thread_time())
    admitted = estate.split(decoded)
    marks.append(time.thread_time())
    longest = estate.judge(admitted)
    marks.append(time.thread_time())
    tallies = [found.tally for shard in estate.shards for found in shard.reconciler.desk.open.values()]
    in_variance = sum(tally.in_variance for tally in tallies)
    assert sum(tally.agreed for tally in tallies) + in_variance == told.rows
    followed = estate.follow(places)
    if profiler is not None:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(35)
    for name, begin, end in zip(("read", "read_again", "admit", "judge"), marks, marks[1:], strict=False):
        result[name] = round((end - begin) / told.rows * 1e6, 2)
    result["us_a_row"] = round((marks[-1] - marks[0]) / told.rows * 1e6, 2)
    result["slowest_slice_ms"] = round(longest * 1000, 2)
    result |= {name: round(took / max(1, in_variance) * 1e6, 2) for name, took in followed.items()}
    result["us_a_variance"] = round(sum(followed.values()) / max(1, in_variance) * 1e6, 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
