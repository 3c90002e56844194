"""The dataflow's own steps under Bytewax itself, without servers: order, snapshots, resume, ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import AbortExecution, FixedPartitionedSource, StatefulSourcePartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, TestingSource, run_main

from flows.dataflow.steps import Listener, ShardStep, SourcesStep
from flows.monitoring.metrics import Metrics
from flows.runtime.early_layers import EarlyLayers
from flows.runtime.epoch_end import EpochEnd
from flows.runtime.run import KnownCodes, Run, shard_key
from flows.storage.segments import SegmentFiles
from operators.decode import CodeSets, Decoder, DecoderConfig
from operators.reference import ReferenceTables, unpack_topology
from operators.route import shard_of
from operators.shard import ShardConfig
from schemas.messages import Outcome, Republish, SourcesSeen, TopologyRecord, UnitBatch
from schemas.units import Origin, Refusal, Unit
from tests.shop import clock, event, placed, received

HOUR = 3_600_000_000
SHARDS = 4
PART = "inventory.warehouse/0"
Word = tuple[str, Any]


class Floor:
    """What reaches the shards of a small shop, in Bytewax's terms, and the steps that take it."""

    def __init__(self, folder: Path, run: Run | None = None) -> None:
        self.folder = folder
        self.runs = 0  # each begins files of its own
        self.run = run or Run(None, until_caught_up=True)  # type: ignore[arg-type]  # the steps ask for one flag
        self.config = ShardConfig(shards=SHARDS, dedup_window=24 * HOUR)
        self.tables = ReferenceTables()
        self.published: dict[int, dict[str, int]] = {}
        self._offset = 0

    def reference(self, items: int = 2) -> Iterator[Word]:
        """The first words to every shard: the topology, then its items."""
        records = [("locations", "EAST", {"location": "EAST"})]
        records += [("channels", "web", {"channel": "web", "locations": ["EAST"]})]
        records += [("items", clock(number), {"item": clock(number)}) for number in range(items)]
        origins = [
            (kind, Origin(f"inventory.{kind}", 0, number, 0, key.encode(), json.dumps(value).encode()))
            for number, (kind, key, value) in enumerate(records)
        ]
        accepted, refused, _ = self.tables.accept(origins, time.time_ns() // 1000, 0)
        assert not refused
        for shard in range(SHARDS):
            yield shard_key(shard), TopologyRecord(self.tables.pack(), shard)
        for record in accepted:
            yield shard_key(shard_of(record.item, SHARDS)), record

    def batch(self, *events: dict[str, Any]) -> Iterator[Word]:
        """What one poll of a partition gives, split by shard."""
        topology = unpack_topology(self.tables.pack())
        kinds = {"inventory.warehouse": "warehouse", "inventory.orders": "orders"}
        config = DecoderConfig(topic_kinds=kinds, max_clock_skew=300_000_000, dedup_window=24 * HOUR)
        decoder = Decoder(config, CodeSets(frozenset(topology.locations), frozenset(topology.channels)))
        batches: dict[str, UnitBatch] = {}
        for one in events:
            topic = "inventory.orders" if one["type"].startswith("order_") else "inventory.warehouse"
            origin = Origin(topic, 0, self._offset, 0, None, json.dumps(one).encode())
            units: list[Unit] = []
            refusals: list[Refusal] = []
            assert decoder.decode(origin, time.time_ns() // 1000, units, refusals, True) and not refusals, refusals
            for unit in units:
                key = shard_key(shard_of(unit.item, SHARDS))
                batch = batches.setdefault(key, UnitBatch(PART, 0, []))
                batch.units.append(unit)
                batch.last_offset = self._offset
            self._offset += 1
        yield from batches.items()

    def topology(self) -> list[Word]:
        """What every start begins with."""
        return [(shard_key(shard), TopologyRecord(self.tables.pack(), shard)) for shard in range(SHARDS)]

    def flow(self, words: list[Any], said: list[tuple[str, Outcome]]) -> Dataflow:
        """The shard step between a source and a sink of Bytewax's own."""
        flow = Dataflow("test")
        up = op.input("inputs", flow, Story(self.topology(), words))
        self.runs += 1
        segments = SegmentFiles(self.folder / "segments", self.runs)
        epoch_end = EpochEnd(segments.sync)
        outcomes = op.stateful_batch(
            "shard",
            up,
            lambda resume: ShardStep(
                self.run,
                self.config,
                segments,
                NowhereYet(),
                lambda shard: self.published.get(shard, {}),
                Metrics(),
                EarlyLayers(1_000_000),
                epoch_end,
                resume,
            ),
        )
        op.output("out", outcomes, TestingSink(said))
        return flow


class Story(FixedPartitionedSource[Word, int]):
    """As the engine's own source: the topology at every start, then one word after the other from where it was."""

    def __init__(self, topology: list[Word], words: list[Any]) -> None:
        self.topology, self.words = topology, words

    def list_parts(self) -> list[str]:
        return ["story"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> StoryPart:
        return StoryPart(self, resume_state or 0)


class StoryPart(StatefulSourcePartition[Word, int]):
    def __init__(self, story: Story, position: int) -> None:
        self._story, self._position, self._is_first = story, position, True

    def next_batch(self) -> list[Word]:
        words = self._story.words
        if self._is_first:
            self._is_first = False
            return self._story.topology
        if self._position >= len(words):
            raise StopIteration
        word = words[self._position]
        if word is CRASH:
            words[self._position] = None  # once
            raise AbortExecution
        if callable(word) and not word():
            return []  # a thing to wait for
        self._position += 1
        if word is END:
            raise StopIteration
        return [] if word is None or callable(word) else [word]

    def snapshot(self) -> int:
        return self._position


CRASH, END = object(), object()


class NowhereYet:
    """A horizon that has not moved: nothing may be forgotten."""

    def recorded(self) -> int | None:
        return None

    def has_passed(self, part: str, offset: int) -> bool:
        return False


def numbers(said: list[tuple[str, Outcome]]) -> dict[tuple[str, str], int]:
    """What a reader ends up with."""
    return {
        (update.item, change.channel): change.atp
        for _, outcome in said
        for update in outcome.updates
        for change in update.channels
    }


def counted(said: list[tuple[str, Outcome]], verdict: str) -> int:
    return sum(count for _, outcome in said for (what, _, _), count in outcome.counts.items() if what == verdict)


@pytest.fixture
def recovery(tmp_path: Path) -> RecoveryConfig:
    folder = tmp_path / "recovery"
    folder.mkdir()
    init_db_dir(folder, 1)
    return RecoveryConfig(folder, timedelta(0))


def test_events_become_numbers_by_shard(tmp_path: Path) -> None:
    floor, said = Floor(tmp_path), []
    words = [*floor.reference(), *floor.batch(received(0, 7), received(1, 4), placed(1, 1))]
    run_main(floor.flow(words, said))
    assert numbers(said) == {(clock(0), "web"): 7, (clock(1), "web"): 3}
    for key, outcome in said:
        assert int(key) == outcome.shard
        assert all(shard_of(update.item, SHARDS) == outcome.shard for update in outcome.updates)


def test_every_shard_speaks_once_and_says_when_its_input_has_ended(tmp_path: Path) -> None:
    floor, said = Floor(tmp_path), []
    run_main(floor.flow([*floor.reference(items=1)], said))
    assert {key for key, _ in said} == {shard_key(shard) for shard in range(SHARDS)}
    assert {key for key, outcome in said if outcome.ended} == {shard_key(shard) for shard in range(SHARDS)}


def test_a_stop_is_no_end_of_input(tmp_path: Path) -> None:
    floor, said = Floor(tmp_path, Run(None, until_caught_up=False)), []  # type: ignore[arg-type]
    run_main(floor.flow([*floor.reference(), *floor.batch(received(0, 7))], said))
    assert not any(outcome.ended for _, outcome in said)
    assert numbers(said)[clock(0), "web"] == 7


def test_a_run_goes_on_where_the_last_one_ended(tmp_path: Path, recovery: RecoveryConfig) -> None:
    floor = Floor(tmp_path)
    first = received(0, 7)
    words: list[Any] = [*floor.reference(), *floor.batch(first), END]
    words += [*floor.batch(first), *floor.batch(received(0, 5))]
    before: list[Any] = []
    run_main(floor.flow(words, before), epoch_interval=timedelta(0), recovery_config=recovery)
    after: list[Any] = []
    run_main(floor.flow(words, after), epoch_interval=timedelta(0), recovery_config=recovery)
    assert numbers(before)[clock(0), "web"] == 7
    assert numbers(after)[clock(0), "web"] == 12, "state was lost, or a repeat applied"
    assert counted(after, "duplicate") == 1
    [change] = [change for _, outcome in after for update in outcome.updates for change in update.channels]
    assert change.previous == 7


@pytest.mark.parametrize("epoch_interval", [timedelta(0), timedelta(seconds=10)], ids=["each batch", "none yet"])
def test_a_crash_repeats_input_and_not_its_effect(
    tmp_path: Path, recovery: RecoveryConfig, epoch_interval: timedelta
) -> None:
    floor = Floor(tmp_path)
    words: list[Any] = list(floor.reference())
    for number in range(20):
        words += floor.batch(received(0, 1), placed(1, 1), received(1, 2))
        if number in (5, 6, 13):
            words.append(CRASH)
    said: list[Any] = []
    runs = 0
    while not any(outcome.ended for _, outcome in said):
        runs += 1
        run_main(floor.flow(words, said), epoch_interval=epoch_interval, recovery_config=recovery)
    assert runs == 4
    assert numbers(said) == {(clock(0), "web"): 20, (clock(1), "web"): 20}


def test_behind_what_is_published_a_shard_speaks_of_all_it_touches(tmp_path: Path) -> None:
    """A number that came back to its old self during the replay would otherwise not be said, and stay wrong."""
    floor, said = Floor(tmp_path), []
    shard = shard_of(clock(0), SHARDS)
    words = [*floor.reference(), *floor.batch(received(0, 7))]
    words += [*floor.batch(event("stock_adjusted", item=clock(0), location="EAST", quantity=-3))]
    words += [*floor.batch(event("stock_adjusted", item=clock(0), location="EAST", quantity=3))]
    floor.published[shard] = {PART: 1}
    run_main(floor.flow(words, said))
    spoken = [
        (change.atp, change.forced) for _, outcome in said for update in outcome.updates for change in update.channels
    ]
    assert spoken[-1][0] == 7
    assert numbers(said)[clock(0), "web"] == 7


def test_asked_to_publish_again_a_shard_says_all_it_knows(tmp_path: Path) -> None:
    floor, said = Floor(tmp_path), []
    words = [*floor.reference(), *floor.batch(received(0, 7), received(1, 4))]
    words += [(shard_key(shard), Republish(cause="refill")) for shard in range(SHARDS)]
    run_main(floor.flow(words, said))
    again = [
        (update.item, change.atp, update.fields["EAST:on_hand"])
        for _, outcome in said
        for update in outcome.updates
        for change in update.channels
        if change.cause == "refill"
    ]
    assert sorted(again) == [(clock(0), 7, 7), (clock(1), 4, 4)]


def test_a_listener_learns_the_newest_codes_and_keeps_nothing(tmp_path: Path) -> None:
    floor, known, said = Floor(tmp_path), KnownCodes(), []
    list(floor.reference())
    flow = Dataflow("test")
    up = op.input("inputs", flow, TestingSource([("listener1", TopologyRecord(floor.tables.pack()))]))
    op.output("out", op.stateful_batch("listener", up, lambda _: Listener(known)), TestingSink(said))
    run_main(flow)
    assert (known.locations, known.channels) == (frozenset({"EAST"}), frozenset({"web"}))
    assert said == []


def test_a_silent_source_is_raised_and_closed_across_a_restart(tmp_path: Path, recovery: RecoveryConfig) -> None:
    said: list[Any] = []
    later = time.time_ns() // 1000 + HOUR
    words = [lambda: bool(said), END, ("sources", SourcesSeen({"wms": later}))]

    def flow() -> Dataflow:
        flow = Dataflow("test")
        up = op.input("inputs", flow, Story([("sources", SourcesSeen({}))], words))
        quiet = op.stateful_batch("sources", up, lambda resume: SourcesStep({"wms": 100_000}, resume))
        op.output("out", quiet, TestingSink(said))
        return flow

    def notes() -> list[tuple[str, str, bool]]:
        return [(note.code, note.source, note.is_open) for _, outcome in said for note in outcome.exceptions]

    run_main(flow(), epoch_interval=timedelta(0), recovery_config=recovery)
    assert notes() == [("stale_source", "wms", True)]
    run_main(flow(), epoch_interval=timedelta(0), recovery_config=recovery)
    assert notes() == [("stale_source", "wms", True), ("stale_source", "wms", False)]
    raised, closed = [note for _, outcome in said for note in outcome.exceptions]
    assert raised.first_seen == closed.first_seen


def test_whoever_watches_for_silence_waits_for_its_first_word_after_a_resume() -> None:
    """Bytewax wakes what it resumes before the sink has its own state: what is said then would be lost."""
    first = SourcesStep({"wms": 1}, None)
    first.on_batch([SourcesSeen({})])
    assert first.notify_at() is not None
    again = SourcesStep({"wms": 1}, first.snapshot())
    assert again.notify_at() is None
    again.on_batch([SourcesSeen({})])
    assert again.notify_at() is not None
