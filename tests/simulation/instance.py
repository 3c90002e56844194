"""One run of the engine in the simulation: the production shards and publisher, a step at a time, in a thread that can
be held at any of its words to Redis or Kafka."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from flows.publishing.publisher import Publisher
from flows.publishing.writer import SLICE_FIELDS
from flows.readmodel.port import Fenced
from flows.runtime.clock import Clock
from flows.runtime.progress import PartProgress
from flows.runtime.run import Run, Shared
from operators.route import shard_of
from operators.shard import Shard
from schemas.messages import Inbound, ItemRecord, Outcome, TopologyRecord, UnitBatch
from tests.simulation.servers import Away, MemoryKafka, MemoryStore

if TYPE_CHECKING:
    from tests.simulation.explorer import World

#: A step takes far less than a millisecond, and seconds where the machine has much else to do.
PATIENCE_S = 60.0


class Killed(BaseException):
    """SIGKILL: nothing runs after it."""


class Silence:
    """Takes any call and says nothing: metrics."""

    snapshot_bytes = redis_losses = redis_retries = 0

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_, **__: None


class WorldClock(Clock):
    """The world's time, which a sleep passes."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> int:
        return self._world.now

    def monotonic(self) -> float:
        return self._world.now / 1e6

    def sleep(self, seconds: float) -> None:
        self._world.now += int(seconds * 1e6)


class Parts(NamedTuple):
    """What a run is made of; a part may lack what it is to be seen to need."""

    publisher: type[Publisher] = Publisher
    store: type[MemoryStore] = MemoryStore
    kafka: type[MemoryKafka] = MemoryKafka


class Snapshot:
    """What one committed epoch holds."""

    def __init__(self, positions: dict[str, int], shards: dict[int, bytes], sinks: dict[int, bytes]) -> None:
        self.positions, self.shards, self.sinks = positions, shards, sinks


class Instance:
    """From a claim of the token to its end: by a kill, by the fence, or with the simulation."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number = world, number
        self.is_over = False
        self.is_held = False
        self.is_fenced = False
        self.failure: BaseException | None = None
        self.kafka: MemoryKafka | None = None
        #: 0 until it has claimed one
        self.token = 0
        self._is_doomed = False
        self._job: Callable[[], None] | None = None
        # Plain locks, each released by the other side: a semaphore of Python's own costs four times as much.
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()

    # --- the explorer's side -----------------------------------------------------------------------------------------

    def do(self, job: Callable[[], None]) -> None:
        """Run until it is done, held or over."""
        self._job = job
        self._turn()

    def wake(self) -> None:
        """Let it go on where it was held."""
        self.is_held = False
        self._turn()

    def kill(self) -> None:
        """End it where it is."""
        if not self.is_over:
            self._is_doomed = True
            self.is_held = False
            self._job = self._job or (lambda: None)
            self._turn()

    def _turn(self) -> None:
        self._go.release()
        assert self._back.acquire(timeout=PATIENCE_S), "a step of the simulation does not end"

    # --- its own thread ----------------------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            while True:
                self._go.acquire()
                if self._is_doomed:
                    return
                assert self._job is not None
                self._job()
                self._job = None
                self._back.release()
        except Killed:
            pass
        except Fenced:
            self.is_fenced = True
        except BaseException as error:
            self.failure = error
        finally:
            # What the client had sent already arrives; the rest died with it.
            self.deliver(self.world.dice.randrange(4))
            self.is_over = True
            self._back.release()

    def deliver(self, most: int) -> None:
        """Let some of what Kafka's client holds arrive."""
        if self.kafka is not None:
            self.kafka.deliver(most)

    def fault(self, moment: str) -> None:
        """Be killed, be held, or find the network gone, if the explorer wants it so."""
        what = self.world.fault_now(self, moment)
        if what == "kill":
            raise Killed
        if what == "away":
            raise Away(f"gone {moment}")
        if what == "hold":
            self.is_held = True
            self._back.release()
            self._go.acquire()
            if self._is_doomed:
                raise Killed

    # --- the engine's life -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take a token and resume from the newest snapshot, as a supervisor and its worker do."""
        world = self.world
        claimer = MemoryStore(world.redis, self.fault, "", 0, "0")
        token = self._patiently(lambda: claimer.claim(world.token_on_disk))
        world.token_on_disk = max(world.token_on_disk, token)
        self.token = token
        self.run = Run(world.settings, token, ends={part: len(log) for part, log in world.logs.items()})
        shared = Shared(self.run)
        self.progress, self.mailbox = shared.progress, shared.mailbox
        self.progress.expect(world.logs)
        shared.known.update(world.topology)
        parts = world.parts
        kafka = self.kafka = parts.kafka(world.kafka, self.fault, world.dice.randrange)
        self.publisher = parts.publisher(
            shared, Silence(),
            connect=lambda _, prefix, of=0, writer="reader": parts.store(world.redis, self.fault, prefix, of, writer),
            kafka=lambda *_: kafka,
            read_tail=world.kafka.tail,
            newest_run=lambda: world.token_on_disk,
            clock=WorldClock(world),
            after_epoch=lambda: None,
            # Mostly an item a slice, so that several are on their way together.
            slice_fields=1 if world.seed % 3 else SLICE_FIELDS,
            has_thread=False,  # the explorer says when it works
        )  # fmt: skip
        self.publisher.join()
        resumed = world.snapshot
        self.positions = dict(resumed.positions)
        self._sinks = resumed.sinks
        self._opened: set[int] = set()
        self.shards: dict[int, Shard] = {}
        for number in range(world.settings.shards):
            raw = resumed.shards.get(number)
            shard = Shard(number, world.shard_config, world.segments, world.clock, self.progress, raw)
            shard.replay(self.publisher.published(number))
            self.shards[number] = shard
            records: list[Inbound] = [TopologyRecord(world.tables, number)]
            if raw is None:
                records += [ItemRecord(item, "", world.facts) for item in world.items if self._home(item) == number]
            self._say(number, shard.process(records))
        self.epoch()  # the first: reference data alone, no event is read before it is through

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        while True:
            try:
                return ask()
            except Away:
                continue

    def _home(self, item: str) -> int:
        return shard_of(item, self.world.settings.shards)

    def _say(self, number: int, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        if number not in self._opened:
            self._opened.add(number)
            self.publisher.open(number, self._sinks.get(number))
        self.publisher.take(number, outcome)

    def read(self, part: str, most: int) -> None:
        """Take some records of a partition, and what was asked of the shards."""
        for asked in self.mailbox.take():
            self._say(asked.shard, self.shards[asked.shard].process([asked.request]))
        log, start = self.world.logs[part], self.positions[part]
        batches: dict[int, UnitBatch] = {}
        for offset in range(start, min(start + most, len(log))):
            unit = log[offset]
            batch = batches.setdefault(self._home(unit.item), UnitBatch(part, offset, []))
            batch.units.append(unit)
            batch.last_offset = offset
            self.positions[part] = offset + 1
        for number, batch in batches.items():
            self._say(number, self.shards[number].process([batch]))

    def pass_time(self) -> None:
        """Let shards do what is due."""
        for number, shard in self.shards.items():
            due = shard.next_wake()
            if due is not None and (due <= self.world.now or shard.is_sweeping):
                self._say(number, shard.wake())

    def work(self) -> None:
        """Let the writer write what there is."""
        self.publisher.work()

    def epoch(self) -> None:
        """End an epoch: the barrier, then the snapshots, then, if it lives that long, the commit."""
        self.publisher.work()
        self.publisher.barrier()
        shards = {number: shard.snapshot() for number, shard in self.shards.items()}
        sinks = {number: self.publisher.snapshot(number) for number in self._opened}
        self.fault("before commit")
        if not self.is_newest():
            raise Killed  # the state directory is locked: an older run cannot commit to what a newer one reads
        self.world.snapshot = Snapshot(dict(self.positions), shards, {**self._sinks, **sinks})
        self.world.commits += 1
        self.fault("after commit")
        for part, position in self.positions.items():
            is_at_end = position == len(self.world.logs[part])
            self.progress.note(part, PartProgress(position, self.world.now, is_at_end))

    def is_newest(self) -> bool:
        """Does no later run exist?"""
        return self is self.world.instances[-1]
