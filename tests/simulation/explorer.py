"""The explorer: plays a schedule drawn from a seed, breaks it where the dice say, and checks every number on the way.

Every event of an item moves its stock by another power of two, with a sign of its own: from any number that is seen
one can tell which events are in it. So "lost", "twice" and "backwards" are read off each single write.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import structlog

from flows.settings import load_settings
from operators.reference import ReferenceTables, unpack_topology
from operators.shard import ShardConfig
from schemas.units import EventType, Origin, Unit
from tests.engine import MemorySegments
from tests.simulation.instance import Instance, Parts, Snapshot
from tests.simulation.servers import Log, MemoryRedis

ITEMS = ("A", "B", "C", "D")
#: and what each keeps back: one of the two may change alone
CHANNELS = {"web": 0, "edi": 3}
EVENTS_MAX = 18
START = 1_800_000_000_000_000
STEPS = 70
#: How likely a copy of Redis is made at a step, that may be brought back.
COPIES = 0.05
QUIET_ROUNDS = 60
PRODUCTION = Parts()


class Broken(AssertionError):
    """A promise was broken; the text names the seed."""


class World:
    """What outlives a run: Redis, Kafka, the disk, the clock; and the oracle."""

    def __init__(self, seed: int, faults: Faults, parts: Parts = PRODUCTION, **redis: bool) -> None:
        self.seed, self.faults, self.parts = seed, faults, parts
        self.dice = random.Random(seed)
        self.now = START
        self.settings, self.tables, self.facts = _common()
        self.topology = unpack_topology(self.tables)
        #: layers of state: the snapshot that names them is taken in the same moment
        self.segments = MemorySegments()
        self.shard_config = ShardConfig(shards=self.settings.shards, dedup_window=10**15, reference_grace=0)
        self.items = ITEMS
        self.redis = MemoryRedis(**redis)
        self.redis.watch = self._look
        self.kafka = Log(self.clock, seed % 2 == 0, lambda: self.token_on_disk)
        self.logs: dict[str, list[Unit]] = {"inventory.warehouse/0": [], "inventory.warehouse/1": []}
        self.snapshot = Snapshot(dict.fromkeys(self.logs, 0), {}, {})
        self.token_on_disk = 0
        self.commits = 0
        self.instances: list[Instance] = []
        self.happened: Counter[str] = Counter()
        self.is_calm = False
        self._signs = {item: [self.dice.choice((-1, 1)) for _ in range(EVENTS_MAX)] for item in ITEMS}
        self._told: dict[str, int] = dict.fromkeys(ITEMS, 0)
        #: item -> the events seen in its last number in Redis, and that number's version
        self._seen: dict[str, tuple[frozenset[int], int]] = {}
        self._older: list[dict[str, dict[str, str]]] = []
        self.lost_redis = False
        #: token -> how often its run had begun to write slices when it was held, and once more
        self._may_pass: dict[int, int] = {}

    def clock(self) -> int:
        """Give the time, UTC microseconds."""
        return self.now

    # --- faults ------------------------------------------------------------------------------------------------------

    def fault_now(self, instance: Instance, moment: str) -> str:
        """Say what happens to an instance at one of its steps."""
        self.now += int(self.dice.random() * 200)
        if self.is_calm:
            return ""
        draw = self.dice.random()
        for what, chance in self.faults.chances.items():
            if what == "away" and "redis" not in moment:
                continue
            if what == "hold" and (not instance.token or not instance.is_newest() or "commit" in moment):
                continue
            if draw < chance:
                self.happened[f"{what} {moment}"] += 1
                if what == "hold":
                    self._may_pass[instance.token] = self.redis.writes.get(instance.token, 0) + ("redis" not in moment)
                return what
            draw -= chance
        return ""

    def _break_redis(self) -> None:
        what = self.dice.choice(("empty", "older", "flush functions"))
        if what == "flush functions":
            self.redis.has_library = False
        else:
            # Where many copies are made, the last one counts: little is lost then, and hard to notice.
            older = self._older[-1:] if self.faults.copies > COPIES else self._older
            self.redis.hashes = {} if what == "empty" or not older else self.dice.choice(older)
            self.redis.hashes = self.redis.copy()
            self.lost_redis = True
        self.happened[f"redis {what}"] += 1
        self._seen = {item: (self._events_in(item), self._version(item)) for item in ITEMS}

    # --- the story ---------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Play a schedule to its end; Broken if a promise was."""
        self._start()
        for _ in range(STEPS):
            self.now += self.dice.randrange(100_000)
            self._step()
            self._check_failures()
        self.is_calm = True
        for instance in self.instances[:-1]:
            self._wake(instance)
        if self.instances[-1].is_held:
            self._wake(self.instances[-1])
        self._finish()

    def _step(self) -> None:
        current = self.instances[-1]
        held = [instance for instance in self.instances if instance.is_held]
        if self.faults.redis and self.dice.random() < self.faults.redis:
            self._break_redis()
        if current.is_over or (current.is_held and self.dice.random() < 0.5):
            self._start()
            return
        if held and self.dice.random() < 0.15:
            self._wake(self.dice.choice(held))
            return
        if current.is_held:
            return
        if self.dice.random() < self.faults.copies:
            self._older.append(self.redis.copy())
        what = self.dice.choices(("tell", "read", "work", "epoch", "time"), (4, 6, 6, 3, 2))[0]
        if what == "tell":
            self._tell()
        elif what == "read":
            part, most = self.dice.choice(list(self.logs)), self.dice.randrange(1, 5)
            current.do(lambda: current.read(part, most))
        elif what == "work":
            current.do(current.work)
        elif what == "epoch":
            current.do(current.epoch)
        else:
            self.now += self.dice.randrange(2_000_000)
            current.do(current.pass_time)

    def _start(self) -> None:
        for instance in self.instances:
            if not instance.is_held:
                instance.kill()
        one = Instance(self, len(self.instances))
        self.instances.append(one)
        one.do(one.start)

    def _wake(self, instance: Instance) -> None:
        """Let a held run go on to its next step; what it had given to Kafka's client leaves too."""
        if not instance.is_held:
            return
        if not instance.is_newest():
            instance.deliver(self.dice.randrange(3))
        instance.wake()
        if not instance.is_newest() and not instance.is_over and not instance.is_held:
            instance.do(instance.work)

    def _tell(self) -> None:
        item = self.dice.choice(ITEMS)
        number = self._told[item]
        if number >= EVENTS_MAX:
            return
        self._told[item] += 1
        part = self.dice.choice(list(self.logs))
        unit = self._unit(item, number, part)
        self.logs[part].append(unit)
        if self.dice.random() < 0.2:  # and again, anywhere
            self.logs[self.dice.choice(list(self.logs))].append(unit)

    def _unit(self, item: str, number: int, part: str) -> Unit:
        origin = Origin("inventory.warehouse", 0, 0, self.now // 1000, None, b"")
        quantity = self._signs[item][number] * (1 << number)
        kind = int(EventType.STOCK_ADJUSTED)
        return Unit(
            kind, item, "wms", f"{item}{number}", "", self.now, self.now, origin, quantity, "EAST", status="available"
        )

    def _finish(self) -> None:
        """No more faults: whoever is newest has to bring everything up to date."""
        current = self.instances[-1]
        if current.is_over or current.is_held:
            self._start()
            current = self.instances[-1]
        quiet = 0
        for _ in range(QUIET_ROUNDS):
            for part in self.logs:
                current.do(lambda part=part: current.read(part, 1000))
            self.now += 1_100_000
            for job in (current.pass_time, current.work, current.epoch):
                current.do(job)
            self._check_failures()
            if current.is_over:
                raise Broken(f"seed {self.seed}: the last run ended: fenced {current.is_fenced}")
            quiet = quiet + 1 if self._is_quiet(current) else 0
            if quiet == 4:  # two heartbeats, should Redis have changed a moment ago
                break
        current.do(current.epoch)
        self._check_end()
        for instance in self.instances:
            instance.kill()

    def _is_quiet(self, instance: Instance) -> bool:
        publisher = instance.publisher
        return not (
            publisher.waiting()
            or publisher.held_shards()
            or publisher.filling_shards()
            or any(shard.is_sweeping for shard in instance.shards.values())
            or len(instance.mailbox)
        )

    # --- the oracle --------------------------------------------------------------------------------------------------

    def _events_in(self, item: str) -> frozenset[int]:
        fields = self.redis.hashes.get(f"position:{item}", {})
        return self._decode(item, int(fields.get("EAST:on_hand", "0")))

    def _version(self, item: str) -> int:
        return int(self.redis.hashes.get(f"position:{item}", {}).get("_version", "0"))

    def _decode(self, item: str, number: int) -> frozenset[int]:
        found, rest = set(), number
        for bit in range(EVENTS_MAX):
            if rest & 1:
                found.add(bit)
                rest -= self._signs[item][bit]
            rest >>= 1
        if rest or not found <= set(range(self._told[item])):
            raise Broken(f"seed {self.seed}: {item} at {number}: no set of its events sums to that: one counts twice")
        return frozenset(found)

    def _look(self, key: str) -> None:
        """After each write: no number knows less than the one before it, no version falls."""
        kind, _, item = key.partition(":")
        if kind == "atp" and "web" in self.redis.hashes.get(key, {}):
            number = int(self.redis.hashes[key]["web"])
            on_hand = int(self.redis.hashes.get(f"position:{item}", {}).get("EAST:on_hand", "0"))
            if number != max(0, on_hand):
                raise Broken(f"seed {self.seed}: atp of {item} is {number} with {on_hand} on hand")
        listed = set(self.redis.hashes.get("engine:items", {}))
        if listed != {name.removeprefix("atp:") for name in self.redis.hashes if name.startswith("atp:")}:
            raise Broken(f"seed {self.seed}: engine:items has {sorted(listed)}, Redis {sorted(self.redis.hashes)}")
        if kind != "position":
            return
        token = self.redis.writing_token
        if token < self.token_on_disk and self.lost_redis and self.redis.writes[token] <= self._may_pass.get(token, 0):
            return  # what a frozen run was about to write passes in a Redis of its time: a limit, documented
        now, version = self._events_in(item), self._version(item)
        before, older = self._seen.get(item, (frozenset(), 0))
        if not before <= now:
            raise Broken(f"seed {self.seed}: {item} went back: {sorted(before - now)} are gone again in {version}")
        # The same slice may be written again, where its answer was lost and the functions went with it.
        if older and (version < older or (version == older and now != before)):
            raise Broken(f"seed {self.seed}: {item}: version {version} after {older}")
        self._seen[item] = (now, version)

    def _check_failures(self) -> None:
        for instance in self.instances:
            if instance.failure is not None:
                raise instance.failure
            if instance.is_fenced and instance.is_newest():
                raise Broken(f"seed {self.seed}: the newest run was fenced off")

    def _check_end(self) -> None:
        for item in ITEMS:
            lost = set(range(self._told[item])) - self._events_in(item)
            if lost:
                raise Broken(f"seed {self.seed}: {item}: {sorted(lost)} never reached Redis")
        by_key: dict[tuple[str, str], dict[int, Any]] = {(item, to): {} for item in ITEMS for to in CHANNELS}
        newest: dict[tuple[int, str, str], int] = {}
        has_zombies = any("hold" in what for what in self.happened)
        for _, lane, update in self.kafka.entries:
            first = by_key[update.item, update.change.channel].setdefault(update.version, update)
            if first.change.atp != update.change.atp:
                raise Broken(f"seed {self.seed}: {update.item}: version {update.version} says two things")
            if not has_zombies and update.version < newest.get((lane, update.item, update.change.channel), 0):
                raise Broken(f"seed {self.seed}: {update.item}: version fell to {update.version} in its lane")
            newest[lane, update.item, update.change.channel] = update.version
        for (item, channel), versions in by_key.items():
            ordered = [versions[version] for version in sorted(versions)]
            number = int(self.redis.hashes.get(f"atp:{item}", {}).get(channel, "-1"))
            if not ordered or ordered[-1].change.atp != number:
                said = ordered[-1].change.atp if ordered else "nothing"
                raise Broken(f"seed {self.seed}: {item} for {channel}: Kafka ends with {said}, Redis with {number}")
            known: frozenset[int] = frozenset()
            for update in ordered:
                if self.lost_redis and update.version in self.kafka.late:
                    continue  # known to nobody but a run that was frozen with it in Kafka's client: a limit, documented
                if update.change.atp:  # 0 stands for any number below it too
                    events = self._decode(item, update.change.atp + CHANNELS[channel])
                    if not known <= events:
                        gone = sorted(known - events)
                        raise Broken(f"seed {self.seed}: {item} went back in Kafka: {gone} gone in {update.version}")
                    known = events
            if has_zombies or self.lost_redis or not self.kafka.is_in_order:
                continue  # a number that died with its producer, or that a held one sent late, breaks the chain
            before = None
            for update in ordered:
                if update.change.previous != before:
                    said = f"previous {update.change.previous} after {before} in {update.version}"
                    raise Broken(f"seed {self.seed}: {item}: {said}")
                before = update.change.atp


class Faults:
    """How likely what is at each step."""

    def __init__(
        self,
        kill: float = 0.012,
        hold: float = 0.004,
        away: float = 0.02,
        redis: float = 0.0,
        copies: float = COPIES,
    ) -> None:
        self.chances = {"kill": kill, "hold": hold, "away": away}
        self.redis, self.copies = redis, copies


def explore(seed: int, faults: Faults, parts: Parts = PRODUCTION, **redis: bool) -> World:
    """Play one schedule."""
    world = World(seed, faults, parts, **redis)
    try:
        world.play()
    except AssertionError as error:
        if isinstance(error, Broken):
            raise
        raise Broken(f"seed {seed}: {error}") from error
    finally:
        for instance in world.instances:
            instance.kill()
    return world


def silence() -> None:
    """No log: a warning a fault, thousands of faults. `structlog.reset_defaults` gives it back."""

    def drop(*_: object) -> NoReturn:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])


_made: list[Any] = []


def _common() -> tuple[Any, bytes, bytes]:
    """Give settings, topology and an item's facts: one location, two channels, two shards."""
    if not _made:
        import json
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "atp.toml"
            config.touch()
            settings = load_settings(config, {"shards": 2, "lanes.linger_normal": "1ms", "lanes.linger_bulk": "20ms"})
        tables = ReferenceTables()
        records = [
            ("locations", "EAST", {"location": "EAST"}),
            *(
                ("channels", name, {"channel": name, "locations": ["EAST"], "buffer_quantity": buffer})
                for name, buffer in CHANNELS.items()
            ),
            ("items", "A", {"item": "A"}),
        ]
        facts = b""
        for kind, key, value in records:
            origin = Origin(f"inventory.{kind}", 0, 0, 0, key.encode(), json.dumps(value).encode())
            accepted, refused, _ = tables.accept([(kind, origin)], START, 0)
            assert not refused, refused
            for record in accepted:
                facts = record.facts or b""
        _made.extend((settings, tables.pack(), facts))
    return _made[0], _made[1], _made[2]
