"""Kills an engine in the middle of statements: what it wrote stays written, and it goes on from its last epoch."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, replace
from typing import Any

import orjson

from operators.coordinator import Coordinator
from operators.reference import ReferenceTables
from operators.shard import Shard
from schemas.messages import TopologyRecord
from schemas.units import Refusal
from tests.engine import Code
from tests.reconciling.engine_side import OWN, EngineSide
from tests.reconciling.story import Action
from tests.reconciling_engine import Reconciling

WAREHOUSE = "inventory.warehouse"
#: what readers of Redis and Kafka saw, and what a run finds there when it starts again
READERS = ("numbers", "figures", "claims", "raised")


class Killed(Exception):
    """The engine is no more."""


@dataclass
class Epoch:
    """What is safe: the state of all parts, and how far the inputs were read."""

    shard: bytes
    coordinator: bytes
    tables: bytes
    reconciliation: bytes
    rows: list[Any]
    segments: dict[str, list[bytes]]
    readers: dict[str, Any]
    told: int
    own: int
    #: how much Kafka held of units and promises
    kept: tuple[int, int]


class MortalEngine(Reconciling):
    """Dies now and then: behind anything that it took, before the end of an epoch."""

    def __init__(self, *settings: Any) -> None:
        self.chances = random.Random(0)
        #: one in so many times; 0: never
        self.kill_every = 0
        #: how many actions, and events of its own, are applied
        self.told = self.own = 0
        self.safe: Epoch | None = None
        super().__init__(*settings)

    def _perhaps(self) -> None:
        if self.kill_every and not self.chances.randrange(self.kill_every):
            raise Killed

    def _take(self, messages: Any) -> list[Refusal]:
        refusals = super()._take(messages)
        self._perhaps()
        return refusals

    def event(self, topic: str, value: bytes, recorded_at_us: int) -> list[Code]:
        codes = super().event(topic, value, recorded_at_us)
        self.own += OWN in value
        return codes

    def end_epoch(self) -> None:
        self._perhaps()
        shard, coordinator = self.shard.snapshot(), self.coordinator.snapshot()
        self.safe = Epoch(
            shard,
            coordinator,
            self.tables.pack(),
            self.tables.pack_reconciliation(),
            list(self.rows),
            {name: list(layers) for name, layers in self.segments.files.items()},
            {name: copy.deepcopy(getattr(self, name)) for name in READERS},
            self.told,
            self.own,
            (len(self.units), len(self.promised)),
        )
        self.coordinator.epoch_finished()


class KilledSide(EngineSide):
    """An engine that dies once in `kill_every` times, and is started again."""

    engine: MortalEngine

    def __init__(self, seed: int, kill_every: int, *settings: Any) -> None:
        super().__init__(*settings)
        self.chances = self.engine.chances = random.Random(seed)
        self.log: list[Action] = []
        self.kills = 0
        self.kill_every = kill_every
        self.engine.end_epoch()
        self.engine.kill_every = kill_every

    def _engine(self, *settings: Any) -> Reconciling:
        return MortalEngine(*settings)

    def tell(self, action: Action) -> None:
        """Take one action, however often that takes a new start."""
        before = len(self.log)
        while len(self.log) == before:
            try:
                super().tell(action)
            except Killed:
                self._start_again()

    def _hear(self, action: Action) -> None:
        self.log.append(action)
        self.engine.told += 1
        super()._hear(action)

    def kill(self) -> None:
        """Kill it now."""
        self._start_again()

    def _start_again(self) -> None:
        """Forget what is not safe; go on from there. Events are read to their end before a row is judged again."""
        engine, safe = self.engine, self.engine.safe
        assert safe is not None
        self.kills += 1
        engine.kill_every = 0
        if self.chances.random() < 0.5:  # what was about to be written was, or was not
            engine.sent += [orjson.loads(reported.value) for reported in engine.written]
        engine.segments.files = {name: list(layers) for name, layers in safe.segments.items()}
        for name, kept in safe.readers.items():
            setattr(engine, name, copy.deepcopy(kept))
        engine.written, engine.tallied, engine.rows = [], [], list(safe.rows)
        engine.config = replace(engine.config, run=self.kills)
        engine.shard = Shard(0, engine.config, engine.segments, lambda: engine.clock, engine, safe.shard)
        engine.tables = ReferenceTables(safe.tables, safe.reconciliation)
        rules = engine.coordinator.rules
        engine.coordinator = Coordinator(engine.coordinating, lambda: engine.clock, self.kills, safe.coordinator)
        engine.coordinator.rules = rules
        engine._take([TopologyRecord(engine.tables.pack(), 0)])
        engine.own = safe.own
        # They are read again below; Kafka holds each once.
        del engine.units[safe.kept[0] :], engine.promised[safe.kept[1] :]
        lost = self.log[safe.told :]
        for kind, what in lost:
            if kind == "reference":
                engine.reference(*what)
        events = [what for kind, what in lost if kind == "event"]
        written = [(WAREHOUSE, orjson.dumps(event), engine.clock) for event in engine.sent[safe.own :]]
        for event in self.chances.choice((events + written, written + events)):
            engine.event(*event)
        for kind, what in lost:
            if kind == "statement":
                engine.stated(*what)
        engine.judge(engine.clock)
        self._look_at_letters()
        engine.kill_every = self.kill_every
