"""Readers as channels and systems have them: one polls Redis, one follows Kafka; each value is held against the events.

A value tells which events are in it (see load.py). Later ones have to hold all that earlier ones held; versions only
grow; a version says one thing.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import Any

import orjson
import redis
from confluent_kafka import Consumer, TopicPartition

from schemas.topics import LANES
from tests.chaos.load import BOTH_CHANNEL, EAST, EAST_CHANNEL, PREFIX, WEST, Load, Pump, Twice

LOOK_EVERY_S = 0.04
ITEMS_A_LOOK = 150
FAULTS_KEPT = 20


class Faults:
    """What was found wrong, by kind; the first of each kind in words."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: list[str] = []
        self._lock = threading.Lock()

    def note(self, kind: str, sentence: str) -> None:
        """Keep one."""
        with self._lock:
            self.counts[kind] += 1
            if self.counts[kind] <= FAULTS_KEPT:
                self.examples.append(f"{kind}: {sentence}")


class RedisReader(threading.Thread):
    """Polls what changed a moment ago, and some of the rest."""

    def __init__(self, url: str, prefix: str, load: Load, pump: Pump, faults: Faults, seed: int) -> None:
        super().__init__(name="redis reader", daemon=True)
        self._redis: redis.Redis = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=2, socket_connect_timeout=2
        )
        self._prefix, self._load, self._pump, self._faults = prefix, load, pump, faults
        self._dice = random.Random(seed)
        self._ended = threading.Event()
        #: item -> (events in its number, version of its promise, version of its position)
        self._seen: dict[int, tuple[int, int, int]] = {}
        self._lock = threading.Lock()
        self._age = 0
        self._is_filling = False
        self.looks = self.values = 0

    def run(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            recent = list(self._pump.recent)
            some = {*recent[-ITEMS_A_LOOK:], *(self._dice.randrange(self._load.items) for _ in range(50))}
            try:
                self.look(list(some))
            except redis.RedisError:
                continue  # it is away: that is what is tried here

    def look(self, numbers: list[int]) -> None:
        """Read items and judge what they say."""
        age = self._age
        answers = self._read(numbers)
        with self._lock:
            if age != self._age:
                return  # Redis was taken away or set back while this was read
            for number, promised, position in zip(numbers, answers[::2], answers[1::2], strict=True):
                self._judge(number, promised, position)
            self.looks += 1

    def torn(self) -> list[str]:
        """Name the items that are not there, or of which promise and position do not fit together."""
        found = []
        for begin in range(0, self._load.items, 1000):
            numbers = list(range(begin, min(begin + 1000, self._load.items)))
            answers = self._read(numbers)
            for number, promised, position in zip(numbers, answers[::2], answers[1::2], strict=True):
                both, at_east, _ = promised
                east, west, _ = (int(text or 0) for text in position)
                if both is None or at_east is None or (int(both), int(at_east)) != (east + west, east):
                    found.append(f"{self._load.code(number)}: {promised}, {position}")
        return found

    def _read(self, numbers: list[int]) -> list[list[str | None]]:
        pipeline = self._redis.pipeline(transaction=True)
        for number in numbers:
            code = self._load.code(number)
            pipeline.hmget(f"{self._prefix}atp:{code}", BOTH_CHANNEL, EAST_CHANNEL, "_version")
            pipeline.hmget(f"{self._prefix}position:{code}", f"{EAST}:on_hand", f"{WEST}:on_hand", "_version")
        answers: list[list[str | None]] = pipeline.execute()
        return answers

    def _judge(self, number: int, promised: list[str | None], position: list[str | None]) -> None:
        both, at_east, version = promised
        east, west, position_version = position
        before, older, position_older = self._seen.get(number, (0, 0, 0))
        code = self._load.code(number)
        if both is None or at_east is None or position_version is None:
            if older:
                self._faults.note("backwards", f"Redis: {code} is gone, it was at version {older}")
            return
        self.values += 1
        if self._is_filling:  # what has not moved since is missing or old, field by field: this number is whole
            digits = self._load.events_in_or_none(number, int(both))
            at_east = east = str(self._load.sum_of(number, (digits or 0) & self._load.at_east(number)))
            west = str(int(both) - int(at_east))
        quantity = int(east or 0) + int(west or 0)
        if (int(both), int(at_east)) != (quantity, int(east or 0)):
            self._faults.note(
                "wrong", f"Redis: {code} promises {both} and {at_east}, {east} and {west} are on hand, at {version}"
            )
        try:
            events = self._load.events_in(number, quantity)
            if self._load.events_in(number, int(east or 0), True) != events & self._load.at_east(number):
                raise Twice(f"{code}: an event is at another location")
        except Twice as error:
            self._faults.note("twice", f"Redis: {error}, version {version}")
            return
        now, position_now = int(version or 0), int(position_version)
        if before & ~events:
            self._faults.note("backwards", f"Redis: {code} lost events {before & ~events:x} from {older} to {now}")
        if now < older or position_now < position_older or (now == older and events != before):
            self._faults.note("backwards", f"Redis: {code} at version {now} after {older}")
        self._seen[number] = (events, now, position_now)

    def holds(self, number: int, digits: int) -> bool:
        """Say whether an item's number is that sum now."""
        fields = self._redis.hmget(f"{self._prefix}atp:{self._load.code(number)}", BOTH_CHANNEL)
        try:
            return fields[0] is not None and self._load.events_in(number, int(fields[0])) == digits
        except Twice:
            return False

    def redis_is_set_back(self) -> None:
        """Know that Redis is emptied or goes back by our doing: what follows has nothing to be held against."""
        with self._lock:
            self._seen.clear()
            self._age += 1
            self._is_filling = True

    def redis_is_filled(self) -> None:
        """Know that all is as it was before Redis was set back."""
        with self._lock:
            self._age += 1
            self._is_filling = False

    def look_at_everything(self) -> None:
        """Read each item once, for the end."""
        for begin in range(0, self._load.items, 1000):
            self.look(list(range(begin, min(begin + 1000, self._load.items))))

    def seen(self, number: int) -> tuple[int, int]:
        """Give the events in the last number of an item, and its version."""
        events, version, _ = self._seen.get(number, (0, 0, 0))
        return events, version

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        if self.is_alive():
            self.join(20)


class KafkaFollower(threading.Thread):
    """Follows all lanes from their beginning on."""

    def __init__(self, bootstrap_servers: str, topics: dict[str, int], load: Load, faults: Faults) -> None:
        super().__init__(name="kafka follower", daemon=True)
        self._load, self._faults = load, faults
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "chaos-follower",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "log_level": 0,
            }
        )
        self._consumer.assign(
            [TopicPartition(name, part, 0) for name, count in topics.items() for part in range(count)]
        )
        self._lane_of = {name: next(lane for lane in LANES if name.endswith(lane)) for name in topics}
        self._ended = threading.Event()
        #: key -> (version, number, events in it) of the highest version
        self.newest: dict[str, tuple[int, int, int]] = {}
        self._in_lane: dict[tuple[str, str], int] = {}
        self.updates = 0
        #: a run was frozen and has woken: what it had given to its client may arrive now, under its old versions
        self.had_zombies = False
        self.late_from_zombies = 0
        #: the highest token that was seen, and when it was first
        self.token, self.token_at = 0, 0.0
        self.offsets: dict[tuple[str, int], int] = {}

    def run(self) -> None:
        while not self._ended.is_set():
            for message in self._consumer.consume(2000, 0.1):
                if message.error() is not None:
                    continue
                where = (message.topic(), message.partition())
                if message.offset() < self.offsets.get(where, 0):
                    continue
                self.offsets[where] = message.offset() + 1
                key = message.key().decode()
                if key.startswith(PREFIX):
                    self._judge(self._lane_of[message.topic()], key, orjson.loads(message.value()))
        self._consumer.close()

    def _judge(self, lane: str, key: str, update: dict[str, Any]) -> None:
        self.updates += 1
        version, quantity, channel = update["version"], update["atp"], update["channel"]
        if version >> 32 > self.token:
            self.token, self.token_at = version >> 32, time.monotonic()
        number = int(update["item"][len(PREFIX) :])
        if channel not in (BOTH_CHANNEL, EAST_CHANNEL):
            if quantity:
                self._faults.note("wrong", f"Kafka: {key} promises {quantity} where nothing is sold: {update}")
            return
        try:
            events = self._load.events_in(number, quantity, channel == EAST_CHANNEL)
        except Twice as error:
            self._faults.note("twice", f"Kafka: {error}: {update}")
            return
        in_lane = self._in_lane.get((lane, key), 0)
        if version < in_lane:
            if self.had_zombies:
                self.late_from_zombies += 1
            else:
                self._faults.note("backwards", f"Kafka: {lane} {key}: version {version} after {in_lane}")
        self._in_lane[lane, key] = max(version, in_lane)
        newest, known, before = self.newest.get(key, (0, 0, 0))
        if version == newest and quantity != known:
            self._faults.note("two contents", f"Kafka: {key}: version {version} says {known} and {quantity}")
        elif version > newest:
            if before & ~events:
                self._faults.note(
                    "backwards", f"Kafka: {key} lost events {before & ~events:x} from {newest} to {version}: {update}"
                )
            self.newest[key] = (version, quantity, events)
        elif events & ~before:
            self._faults.note(
                "backwards", f"Kafka: {key}: {newest} lacks events {events & ~before:x} of {version} before it"
            )

    def close(self) -> None:
        """Follow no more."""
        self._ended.set()
        if self.is_alive():
            self.join(20)
