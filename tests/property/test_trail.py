"""What the trail says of an item after each activation is what the engine published: any history, days, crashes.

Its terms are the parts of the naive model, and at any moment of the past it has the number that was published then.
"""

from __future__ import annotations

import dataclasses
import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
import pytest
from confluent_kafka import KafkaError, TopicPartition

from flows.audit.model import Model, Promise
from flows.inspection import trail, trailed
from flows.inspection.explaining import explain
from flows.inspection.replayed import Replayed
from flows.inspection.trail import TrailEnds, TrailReader, group_of, standing_at
from flows.kafka.topics import TRAIL_KEPT_MS
from flows.settings import load_settings
from operators.evaluate import Policies
from operators.explaining import Term, explained
from operators.reference import unpack_topology
from operators.rules.days import days_in
from operators.shard import Shard
from operators.trail import HEAD
from schemas.messages import Outcome, TopologyRecord
from schemas.settings import Settings
from schemas.topics import TRAIL
from schemas.units import Refusal
from tests import playing
from tests.engine import Engine
from tests.histories import CHANNELS, DAY, ITEMS, History

#: A moment of the engine's, and those of the groups that it wrote in it, which have a microsecond each.
MOMENT = 1_000


class TrailedEngine(Engine):
    """An engine whose trail is read after each of its words, and compared with what readers have."""

    compared = 0
    #: each that was made, the newest last
    made: ClassVar[list[TrailedEngine]] = []

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.config = dataclasses.replace(self.config, has_trail=True)
        self.shard = Shard(0, self.config, self.segments, lambda: self.clock, self)
        self.groups: dict[str, list[Any]] = {}
        self.topologies: dict[int, bytes] = {}
        #: the topic: (logged at, in ms; value)
        self.written: list[tuple[int, bytes]] = []
        #: where the trail of an item begins, as Redis would have it
        self.heads: dict[str, int] = {}
        #: item -> (moment, its numbers by channel from then on)
        self.published: dict[str, list[tuple[int, dict[str, int]]]] = {}
        self._take([TopologyRecord(self.tables.pack(), 0)])
        TrailedEngine.made.append(self)

    def pass_time(self, now_us: int) -> None:
        """Each timer is seen to when it is due: who sleeps while a day begins writes its frames when it wakes."""
        for _ in range(10_000):
            due = self.shard.next_wake()
            if due is None or due >= now_us:
                return super().pass_time(now_us)
            super().pass_time(due)
        raise AssertionError("a shard that always wants to be woken")

    def resume(self) -> None:
        """A start takes a while."""
        self.clock += MOMENT
        super().resume()

    def _said(self, outcome: Outcome | None) -> list[Refusal]:
        refusals = super()._said(outcome)
        if outcome is None or not hasattr(self, "groups"):
            return refusals
        for said in outcome.reconciled:
            if said.topic == TRAIL:
                self.written.append((self.clock // 1000, said.value))
                _, run, at, body = msgspec.msgpack.decode(said.value)
                if isinstance(body, bytes):
                    self.topologies[at] = body
                for values in body if isinstance(body, list) else ():
                    self.groups.setdefault(values[0], []).append(group_of(values, run))
        for update in outcome.updates:
            head = self.figures[update.item].pop(HEAD, None)
            numbers = {channel: one.atp for (code, channel), one in self.numbers.items() if code == update.item}
            self.published.setdefault(update.item, []).append((self.clock, numbers))
            self.heads.pop(update.item, None)
            if not update.is_gone:
                assert head is not None
                self.heads[update.item] = head
                assert head == self.groups[update.item][-1].at
                self._compare(update.item)
        return refusals

    def told(self, item: str) -> Replayed:
        """Tell the item anew from its newest frame with records, and from there on what moved it."""
        groups = self.groups[item]
        first = max(number for number, group in enumerate(groups) if group.records is not None)
        assert len(groups) - first <= 1 + 16 + len(self.figures[item])
        replayed = Replayed(item, "")
        for group in groups[first:]:
            replayed.take(group)
        return replayed

    def trees(self, item: str, channel: str, horizon: int) -> Iterator[Term | None]:
        """Give the tree of each day that a channel promises."""
        replayed = self.told(item)
        standing, dated = replayed.item()
        days = days_in(self.config.time_zone)
        policies = Policies(unpack_topology(self.topologies[replayed.topology[1]]), days)
        for day in range(horizon):
            yield explained(standing, channel, policies, days.day_of(self.clock), dated, day)

    def has_newest_topology(self, item: str) -> bool:
        """Were its groups written under the channels in force? What left its numbers as they were wrote none."""
        assert self.shard.policies is not None
        return self.told(item).topology[0] == self.shard.policies.topology.version

    def _compare(self, item: str) -> None:
        """Compare what is told anew with what Redis would have."""
        replayed = self.told(item)
        shown = {name: value for name, value in self.figures[item].items() if value and ":available" not in name}
        assert replayed.figures() == shown
        published = {channel: number.atp for (code, channel), number in self.numbers.items() if code == item}
        assert replayed.published == published
        if self.shard.is_sweeping:
            return  # until a change is through, an item that was touched without effect stands under the one before
        for channel, atp in published.items():
            numbers = self.numbers[item, channel].by_day or [atp]
            for number, tree in zip(numbers, self.trees(item, channel, len(numbers)), strict=True):
                assert tree is not None and tree.value == number and tree.adds_up(), (channel, number, tree)
                TrailedEngine.compared += 1


def tell(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playing, "Engine", TrailedEngine)
    before = TrailedEngine.compared
    playing.play(playing.tale_of(History(seed)))
    assert TrailedEngine.compared > before


@pytest.mark.long
def test_in_many_histories_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(12, 400):
        tell(seed, monkeypatch)


@pytest.mark.parametrize("seed", range(12))
def test_the_trail_tells_every_number_and_figure_anew(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(seed, monkeypatch)


# --- the terms and the naive model's parts ---------------------------------------------------------------------------


def parts_of(term: Term) -> dict[tuple[str, str], int]:
    """Give the terms of a tree by what they are and whose."""
    found = {(term.name, term.of): term.value}
    for child in term.children:
        found |= parts_of(child)
    return found


def compare_parts(engine: TrailedEngine, model: Model, now: int) -> int:
    """Compare each term that the model has a name for; give how many trees were compared."""
    compared = 0
    for item in ITEMS:
        for channel in CHANNELS:
            promise = model.promise(item, channel, now)
            if promise is None or item not in engine.heads or not engine.has_newest_topology(item):
                continue
            horizon = len(promise.by_day or (0,))
            for day, tree in enumerate(engine.trees(item, channel, horizon)):
                assert tree is not None and tree.adds_up()
                terms = parts_of(tree)
                assert terms["atp", channel] == (promise.by_day or [promise.atp])[day], (item, channel, day)
                assert terms["free", ""] == promise.free[day], (item, channel, day)
                assert terms["promise", ""] == promise.promise[day], (item, channel, day)
                assert terms.get(("protected_for_others", ""), 0) == -promise.withheld[day], (item, channel, day)
                if promise.open[day] == promise.promise[day]:  # else it is of a later day
                    _compare_places(terms, promise, day, (item, channel, day))
                if horizon == 1 and not promise.by_day:
                    _compare_figures(terms, model, item, channel, now)
                compared += 1
    return compared


def _compare_places(terms: dict[tuple[str, str], int], promise: Promise, day: int, where: object) -> None:
    for location, by_day in promise.available.items():
        assert terms.get(("available", location), 0) == by_day[day], (where, location)


def _compare_figures(terms: dict[tuple[str, str], int], model: Model, item: str, channel: str, now: int) -> None:
    for location, figures in model.position(item, now).items():
        if ("available", location) not in terms:
            continue
        assert terms["on_hand", location] == figures["on_hand"]
        for name in ("quarantined", "hard_reserved", "soft_allocated", "withheld"):
            assert terms.get((name, location), 0) == -figures[name], (item, channel, location, name)
        kept = model.safety_stock(item, location, channel)
        assert terms.get(("safety_stock", location), 0) == -kept, (item, channel, location)


def tell_parts(seed: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Play a history in which the parts are compared wherever numbers are."""
    compared = 0
    of_numbers = playing.compare

    def compare(engine: Any, model: Any, now: int, where: str) -> None:
        nonlocal compared
        of_numbers(engine, model, now, where)
        compared += compare_parts(engine, model, now)

    with monkeypatch.context() as patched:
        patched.setattr(playing, "Engine", TrailedEngine)
        patched.setattr(playing, "compare", compare)
        playing.play(playing.tale_of(History(seed)))
    TrailedEngine.made.clear()
    return compared


@pytest.mark.parametrize("seed", range(100, 104))
def test_the_terms_are_the_naive_models_parts(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tell_parts(seed, monkeypatch)


@pytest.mark.long
def test_the_terms_are_the_naive_models_parts_in_a_thousand_histories(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = sum(tell_parts(seed, monkeypatch) for seed in range(1_000, 2_000))
    print(f"{compared} trees compared")


# --- any moment ------------------------------------------------------------------------------------------------------


class _End:
    """What Kafka's client says at the end of a partition, once."""

    def error(self) -> Any:
        return KafkaError(KafkaError._PARTITION_EOF)


class _Record:
    """A record of the trail."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def error(self) -> None:
        return None

    def key(self) -> bytes:
        return b"0"

    def value(self) -> bytes:
        return self._value


class Partition:
    """A topic of one partition, in place of Kafka's client."""

    def __init__(self, written: list[tuple[int, bytes]]) -> None:
        self._written = written
        self._times = [logged for logged, _ in written]
        self._next = 0
        self._is_over = False

    def offsets_for_times(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        [place] = places
        first = bisect_left(self._times, place.offset)
        return [TopicPartition(place.topic, place.partition, first if first < len(self._times) else -1)]

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        return 0, len(self._written)

    def assign(self, places: list[TopicPartition]) -> None:
        self._next, self._is_over = places[0].offset, False

    def poll(self, timeout: float) -> Any:
        if self._next < len(self._written):
            self._next += 1
            return _Record(self._written[self._next - 1][1])
        is_over, self._is_over = self._is_over, True
        return None if is_over else _End()

    def close(self) -> None:
        """There is nothing to let go."""


def trailed_engine(seed: int, monkeypatch: pytest.MonkeyPatch) -> TrailedEngine:
    """Play a history, and give who wrote its trail."""
    with monkeypatch.context() as patched:
        patched.setattr(playing, "Engine", TrailedEngine)
        playing.play(playing.tale_of(History(seed)))
    engine = TrailedEngine.made[-1]
    TrailedEngine.made.clear()
    return engine


def in_place_of_kafka(engine: TrailedEngine, since: int, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Have what the engine wrote of its trail since a moment read in place of a topic."""
    written = [(logged, value) for logged, value in engine.written if logged * 1000 >= since]
    monkeypatch.setattr(trail, "Consumer", lambda _: Partition(written))
    monkeypatch.setattr(trail, "consumer_config", lambda *_, **__: {})
    monkeypatch.setattr(trail, "partitions_of", lambda of, names: {of.topic(name): 1 for name in names})
    return load_settings(None, {"shards": 1, "trail.enabled": True, "time_zone": engine.config.time_zone})


def ask_moments(seed: int, pairs: int, monkeypatch: pytest.MonkeyPatch, is_forgotten: bool = False) -> int:
    """Play a history, then explain random items at random moments by look-ups; each has the number of the recording.

    `is_forgotten`: what the topic keeps no longer is gone, and moments are of the last day.
    """
    engine = trailed_engine(seed, monkeypatch)
    since = engine.clock - TRAIL_KEPT_MS * 1000 if is_forgotten else 0
    earliest = engine.clock - DAY if is_forgotten else 0
    settings = in_place_of_kafka(engine, since, monkeypatch)

    def hashes(_: Any, keys: list[str], steady: int) -> list[dict[str, str]]:
        item = keys[0].removeprefix("atp:")
        return [{}, {HEAD: str(engine.heads[item])}, {}, {}]

    monkeypatch.setattr(trailed, "hashes", hashes)
    dice = random.Random(seed)
    asked = 0
    while asked < pairs and engine.heads:
        item, channel = dice.choice(sorted(engine.heads)), dice.choice(CHANNELS)
        recorded = engine.published[item]
        moment = dice.randint(max(recorded[0][0], earliest), max(recorded[-1][0], earliest)) + MOMENT
        if dice.random() < 0.5:  # just before something was published, or just after
            moment = dice.choice(recorded)[0] + dice.choice((-1, MOMENT))
        if moment < earliest:
            continue
        before = bisect_right(recorded, moment, key=lambda entry: entry[0]) - 1
        if before < 0 or recorded[before][0] > moment - MOMENT:
            continue  # before all, or in the middle of an activation
        said = explain(settings, item, channel, at=moment)
        assert said.published == recorded[before][1].get(channel), (seed, item, channel, moment, said)
        assert said.tree is None or said.tree.adds_up()
        asked += 1
    return asked


@pytest.mark.parametrize("seed", range(200, 203))
def test_any_moment_has_the_number_that_was_published_then(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask_moments(seed, 40, monkeypatch) == 40


@pytest.mark.parametrize("seed", range(210, 214))
def test_any_moment_of_the_last_day_needs_no_more_than_the_topic_keeps(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask_moments(seed, 40, monkeypatch, is_forgotten=True) == 40


def test_look_ups_read_no_more_than_one_sum_of_records_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = trailed_engine(200, monkeypatch)
    settings = in_place_of_kafka(engine, 0, monkeypatch)

    def read(item: str, *bound: int) -> TrailReader:
        with TrailReader(settings, item) as reader:
            reader.records_max, reader.bytes_max = bound or (None, None)
            standing_at(reader, reader.group(engine.heads[item]))
        return reader

    item = max(engine.heads, key=lambda item: read(item).records_read)
    records, size = read(item).records_read, read(item).bytes_read
    assert records > 1
    read(item, records, size)
    with pytest.raises(TrailEnds, match=f"^{records - 1} records of it were read"):
        read(item, records - 1, size)
    with pytest.raises(TrailEnds, match=r"^\d+ bytes of it were read"):
        read(item, records, size // 2)


@pytest.mark.parametrize("seed", range(220, 226))
def test_what_stands_now_is_told_however_little_may_be_read(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = trailed_engine(seed, monkeypatch)
    settings = in_place_of_kafka(engine, 0, monkeypatch)
    monkeypatch.setattr(trailed, "reads_at_most", lambda _: (0, 0))
    monkeypatch.setattr(trailed, "NOW_BYTES_MAX", 1 << 30)
    monkeypatch.setattr(trailed, "BACK_S", 1e9)

    def hashes(_: Any, keys: list[str], steady: int) -> list[dict[str, str]]:
        item = keys[0].removeprefix("atp:")
        promises = {channel: str(one.atp) for (code, channel), one in engine.numbers.items() if code == item}
        by_day = {
            f"{channel}:by_day": msgspec.json.encode(one.by_day).decode()
            for (code, channel), one in engine.numbers.items()
            if code == item and one.by_day
        }
        position = {name: str(value) for name, value in engine.figures[item].items()}
        return [promises | by_day, position | {HEAD: str(engine.heads[item])}, {}, {"ready": "1"}]

    monkeypatch.setattr(trailed, "hashes", hashes)

    def told(item: str, channel: str, most: int) -> tuple[Any, list[Any]]:
        monkeypatch.setattr(trailed, "NOW_RECORDS_MAX", most)
        said = trailed.explain_by_trail(settings, item, channel, 0, None)
        assert said.records_read <= most
        return said, [(move.at, move.figures, move.before, move.after) for move in said.moved]

    cut = 0
    for item in sorted(engine.heads):
        for channel in CHANNELS:
            whole, moved = told(item, channel, 1_000_000)
            for most in range(trail.FORCE_RECORDS + 1, trail.FORCE_RECORDS + 12):
                said, last = told(item, channel, most)
                assert (said.published, said.tree and said.tree.value) == (
                    whole.published,
                    whole.tree and whole.tree.value,
                )
                assert said.agrees == whole.agrees and last == moved[: len(last)], (item, channel, most)
                cut += said.reach > whole.reach
    assert cut > 0


@pytest.mark.long
def test_ten_thousand_moments_have_the_numbers_that_were_published_then(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    seed = 3_000
    while asked < 10_000:
        asked += ask_moments(seed, min(50, 10_000 - asked), monkeypatch, is_forgotten=seed % 2 == 1)
        seed += 1
    print(f"{asked} moments of {seed - 3_000} histories")
