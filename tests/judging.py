"""Holds what the engine published against the naive model: every number in Redis, every promise about the sequence."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson
import redis as redis_client
from confluent_kafka import Consumer, KafkaError, TopicPartition

from flows.audit.model import Model
from flows.audit.reading import Place, Record
from flows.audit.records import REFERENCE_ORDER
from flows.readmodel.connecting import pool
from schemas.topics import DEAD_LETTERS, INPUTS, LANES, POSITIONS
from tests.invariants import claimed

HOUR = 3_600_000_000
FIGURES = (
    *("on_hand", "quarantined", "soft_allocated", "hard_reserved", "in_transit", "expected", "withheld"),
    "available",
)
READ_SECONDS_MAX = 30.0
WATCH_EVERY_S = 0.03


def now_us() -> int:
    return time.time_ns() // 1000


def read_in_order(world: Any, topic: str) -> list[Record]:
    """Give all records of a topic that concern the world, by partition and offset, with the times that Kafka gave."""
    full = world.topic(topic)
    consumer = Consumer(
        {
            "bootstrap.servers": world.servers.bootstrap_servers,
            "group.id": f"{world.group}-judge",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }
    )
    told: list[Record] = []
    try:
        unread = set(consumer.list_topics(full, timeout=10).topics[full].partitions)
        consumer.assign([TopicPartition(full, partition, 0) for partition in unread])
        deadline = time.monotonic() + READ_SECONDS_MAX
        while unread:
            assert time.monotonic() < deadline, f"{full} not read to its end within {READ_SECONDS_MAX:g} s"
            for message in consumer.consume(1000, 0.02):  # it waits for all thousand of them
                if message.error() is not None:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    unread.discard(message.partition())
                    continue
                if not world.concerns(message.key() or b""):
                    continue
                place = (topic, message.partition(), message.offset())
                told.append(Record(place, message.timestamp()[1] * 1000, message.key() or b"", message.value()))
    finally:
        consumer.close()
    return sorted(told)


class Judge(Model):
    """The model, fed with what the input topics hold."""

    def __init__(self, world: Any, window_us: int = 24 * HOUR, skew_us: int = 300_000_000, **more: Any) -> None:
        super().__init__(window_us, skew_us, **more)
        reference, events = (
            [told for topic in topics for told in read_in_order(world, topic)] for topics in (REFERENCE_ORDER, INPUTS)
        )
        #: where -> the refusals, (code, line_id) each
        self.refused = self.accept_all(reference, events)


def hashes(world: Any, kind: str) -> dict[str, dict[str, str]]:
    """Give each item's hash, `kind` being atp or position."""
    start = f"{world.redis_prefix}{kind}:"
    found = sorted(world.redis.scan_iter(f"{start}*", count=1000))
    keys = [key for key in found if world.concerns(key.removeprefix(start))]
    pipeline = world.redis.pipeline(transaction=False)
    for key in keys:
        pipeline.hgetall(key)
    return {key.removeprefix(start): held for key, held in zip(keys, pipeline.execute(), strict=True)}


def unlisted_items(world: Any) -> set[str]:
    """Give the items that have an `atp:` hash and are not in the set of all items, or the other way round."""
    start = f"{world.redis_prefix}atp:"
    there = {key.removeprefix(start) for key in world.redis.scan_iter(f"{start}*", count=1000)}
    return there ^ set(world.redis.zrange(f"{world.redis_prefix}engine:items", 0, -1))


def differences(world: Any, judge: Judge, moments: tuple[int, ...]) -> list[str]:
    """Say where Redis and the model differ; `moments`: the numbers may be those of any of them (UTC microseconds)."""
    promises, positions, claims = (hashes(world, kind) for kind in ("atp", "position", "claims"))
    wrong = [f"atp:{item}: not an item" for item in promises if item not in judge.items]
    for item in judge.items:
        ours = promises.get(item, {})
        numbers = {name: text for name, text in ours.items() if not name.startswith("_")}
        # The last is mostly the right one, and each answer costs as much as the item's history is long.
        if not any(numbers == _promised(judge, item, moment) for moment in reversed(moments)):
            wrong.append(f"atp:{item}: {numbers}, expected {_promised(judge, item, moments[-1])}")
        as_of = judge.as_of(item)
        # Of the hash's own last write: an event that changed no number writes nothing.
        if int(ours.get("_as_of", -1)) > (-1 if as_of is None else as_of // 1000):
            wrong.append(f"atp:{item}: _as_of {ours.get('_as_of')}, expected at most {as_of}")
        figures = {
            name: int(text)
            for name, text in positions.get(item, {}).items()
            if not name.startswith("_") and int(text) != 0
        }
        if not any(figures == _figures(judge, item, moment) for moment in reversed(moments)):
            wrong.append(f"position:{item}: {figures}, expected {_figures(judge, item, moments[-1])}")
        ours_claimed = claimed(claims.get(item, {}))
        said = {name: q for name, q in figures.items() if name.endswith((":hard_reserved", ":soft_allocated"))}
        if ours_claimed != said:
            wrong.append(f"claims:{item}: {ours_claimed}, the position says {said}")
    return wrong


def _promised(judge: Judge, item: str, moment: int) -> dict[str, str]:
    numbers = {}
    for channel in judge.channels:
        promise = judge.promise(item, channel, moment)
        if promise is not None:
            numbers[channel] = str(promise.atp)
            if promise.by_day is not None:
                numbers[f"{channel}:by_day"] = orjson.dumps(promise.by_day).decode()
    return numbers


def _figures(judge: Judge, item: str, moment: int) -> dict[str, int]:
    return {
        f"{location}:{name}": quantity
        for location, figures in judge.position(item, moment).items()
        for name, quantity in figures.items()
        if quantity
    }


@dataclass
class Sequence:
    """What a reader of Kafka saw of the numbers: in order of version, each version once."""

    by_key: dict[str, list[dict[str, Any]]]
    #: where within one lane topic a version of a key fell, or one version said two things
    fell: list[str] = field(default_factory=list)

    def set_back(self) -> list[str]:
        """Say where a newer version knew less: the latest occurred_at applied to an item can only grow."""
        return [
            f"{key}: {after} after {before}"
            for key, updates in self.by_key.items()
            for before, after in pairwise(updates)
            if (after["as_of"] or "") < (before["as_of"] or "")
        ]

    def broken_chains(self) -> list[str]:
        """Say where `previous` is not what was sent before."""
        broken = []
        for key, updates in self.by_key.items():
            before: dict[str, Any] | None = None
            for update in updates:
                expected = None if before is None or before["cause"] == "unlisted" else before["atp"]
                if update["previous"] != expected:
                    broken.append(f"{key}: previous {update['previous']} after {before}: {update}")
                before = update
        return broken


def sequence(world: Any) -> Sequence:
    """Read all lanes."""
    by_key: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    fell: list[str] = []
    for lane in LANES:
        newest: dict[str, int] = {}
        for told in read_in_order(world, f"atp.updates.{lane}"):
            assert told.value is not None
            update, key = orjson.loads(told.value), told.key.decode()
            version = update["version"]
            if version < newest.get(key, 0):
                fell.append(f"{lane} {key}: version {newest[key]} was followed by {version}")
            newest[key] = max(version, newest.get(key, 0))
            known = by_key[key].setdefault(version, update)
            if (known["atp"], known.get("by_day")) != (update["atp"], update.get("by_day")):
                fell.append(f"{key}: version {version} says {known} and {update}")
    ordered = {key: [versions[version] for version in sorted(versions)] for key, versions in by_key.items()}
    return Sequence(ordered, fell)


def check_outputs(world: Any, judge: Judge) -> Sequence:
    """Check that Redis is what the newest message of each kind says, and that no refusal is lost or made up."""
    told = sequence(world)
    assert not told.fell, f"{len(told.fell)} times: {told.fell[:5]}"
    assert not told.set_back(), f"{len(told.set_back())} times: {told.set_back()[:5]}"
    from_kafka = {
        key: (str(updates[-1]["atp"]), updates[-1].get("by_day"))
        for key, updates in told.by_key.items()
        if updates[-1]["cause"] != "unlisted"
    }
    from_redis = {}
    for item, numbers in hashes(world, "atp").items():
        for channel, text in numbers.items():
            if not channel.startswith("_") and ":" not in channel:
                days = numbers.get(f"{channel}:by_day")
                from_redis[f"{item}:{channel}"] = (text, None if days is None else orjson.loads(days))
    assert from_redis == from_kafka, [
        f"{key}: Redis {from_redis.get(key)}, Kafka {from_kafka.get(key)}"
        for key in from_redis | from_kafka
        if from_redis.get(key) != from_kafka.get(key)
    ][:5]
    wrong = unlisted_items(world)
    assert not wrong, f"engine:items is not the set of what has an atp: hash: {sorted(wrong)[:5]}"
    check_positions(world)
    check_dead_letters(world, judge)
    return told


def check_positions(world: Any) -> None:
    """The newest whole position on Kafka says what Redis says."""
    newest: dict[str, dict[str, Any]] = {}
    for record in world.read(POSITIONS):
        position = record.json()
        if position["version"] >= newest.get(position["item"], {"version": 0})["version"]:
            newest[position["item"]] = position
    for item, fields in hashes(world, "position").items():
        ours = {name: int(text) for name, text in fields.items() if not name.startswith("_") and int(text)}
        position = newest[item]
        theirs = {
            f"{location}:{name}": quantity
            for location, figures in position["locations"].items()
            for name, quantity in figures.items()
            if quantity
        }
        if position["unlocated"]["soft_allocated"]:
            theirs["*:soft_allocated"] = position["unlocated"]["soft_allocated"]
        assert ours == theirs, f"{item}: Redis {ours}, Kafka {theirs}"


def _place_of(world: Any, headers: dict[str, str]) -> Place:
    return headers["topic"].removeprefix(world.topic_prefix), int(headers["partition"]), int(headers["offset"])


def without_dead_letter(world: Any, judge: Judge) -> set[Place]:
    """What the model refuses and no dead letter speaks of yet: an unknown code is waited for, for a second."""
    return judge.refused.keys() - {_place_of(world, letter.headers) for letter in world.read(DEAD_LETTERS)}


def check_dead_letters(world: Any, judge: Judge) -> None:
    """Every refusal of the model has its dead letter, with the original bytes; nothing else is dead."""
    letters: dict[Place, set[tuple[str, str | None]]] = defaultdict(set)
    whole: set[Place] = set()
    originals = {told.place: told for topic in (*INPUTS, *REFERENCE_ORDER) for told in read_in_order(world, topic)}
    for letter in world.read(DEAD_LETTERS):
        headers, place = letter.headers, _place_of(world, letter.headers)
        if (letter.key or b"", letter.value) == (originals[place].key, originals[place].value):
            whole.add(place)
        else:  # of an event of several lines one letter has the bytes
            assert (letter.key in (None, originals[place].key), letter.value) == (True, b""), place
        letters[place].add((headers["code"], headers.get("line_id")))
    assert whole == letters.keys(), f"no letter has the bytes of {letters.keys() - whole}"
    lost = judge.refused.keys() - letters.keys()
    assert not lost, f"{len(lost)} refusals without a dead letter: {[(p, judge.refused[p]) for p in lost][:5]}"
    made_up = letters.keys() - judge.refused.keys()
    assert not made_up, f"{len(made_up)} dead letters too many: {[(p, letters[p]) for p in made_up][:5]}"
    for place, codes in letters.items():
        right = judge.refused[place]
        # What is wrong twice over may be refused for either reason, but it is the same line; or all of the event, where
        # that is one of the reasons.
        ours, theirs = {line for _, line in codes}, {line for _, line in right}
        assert ours == theirs or None in ours | theirs, f"{place}: {codes}, expected {right}"


class Watcher(threading.Thread):
    """Reads Redis all the time, as a channel would; notes what went back. A context manager.

    A hash's _version only grows, and so does its _as_of: an engine that published a state from before a crash once
    more, under a new version, would be told by it.
    """

    def __init__(self, world: Any) -> None:
        super().__init__(name="watcher", daemon=True)
        self._prefix = world.redis_prefix
        self._redis = redis_client.Redis.from_pool(pool(world.servers.redis_url, decode_responses=True))
        self._ended = threading.Event()
        self._newest: dict[str, tuple[int, int]] = {}
        self.looks = 0
        self.went_back: list[str] = []

    def run(self) -> None:
        while not self._ended.wait(WATCH_EVERY_S):
            try:
                keys = [key for kind in ("atp", "position") for key in self._keys(kind)]
                pipeline = self._redis.pipeline(transaction=True)
                pipeline.hgetall(f"{self._prefix}engine:alive")
                for key in keys:
                    pipeline.hmget(key, "_version", "_as_of")
                alive, *answers = pipeline.execute()
            except redis_client.RedisError:
                continue  # it is away: tests do that
            if not self._trusts(alive):
                continue
            for key, (version, as_of) in zip(keys, answers, strict=True):
                now, before = (int(version or 0), int(as_of or -1)), self._newest.get(key, (0, -1))
                if now[0] < before[0] or now[1] < before[1]:
                    self.went_back.append(f"{key}: {now} after {before}")
                self._newest[key] = now
            self.looks += 1

    def _trusts(self, alive: dict[str, str]) -> bool:
        """Does it take the numbers that stand beside this `engine:alive` for true? Here it always does."""
        return True

    def _keys(self, kind: str) -> list[str]:
        return list(self._redis.scan_iter(f"{self._prefix}{kind}:*", count=1000))

    def __enter__(self) -> Watcher:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join(10)
        self._redis.close()
