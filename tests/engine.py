"""The engine's own rules behind the naive model's questions: decoder, reference tables and one shard, no servers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from operators.decode import CodeSets, Decoder, DecoderConfig
from operators.reference import ReferenceTables, unpack_topology
from operators.shard import Shard, ShardConfig
from schemas.messages import Inbound, ItemUpdate, Outcome, TopologyRecord, UnitBatch
from schemas.units import Origin, Refusal, Unit

FOREVER = 1 << 62
Code = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is published of one item and channel."""

    atp: int
    by_day: list[int] | None


class _Ticket:
    """A segment that becomes safe only when it is asked for the second time, as a slow disk would have it."""

    def __init__(self, segment: tuple[str, int, int]) -> None:
        self._segment = segment
        self._asked = 0

    def result(self) -> tuple[str, int, int] | None:
        self._asked += 1
        return self._segment if self._asked > 1 else None


class MemorySegments:
    """Layers in memory; what was retired is gone, so that a snapshot that still names it fails."""

    def __init__(self) -> None:
        self.files: dict[str, list[bytes]] = {}
        #: those that are not sealed, by where they lie
        self.kept: dict[tuple[str, int, int, int], bytes] = {}
        self._numbers = itertools.count()

    def keep(self, layer: bytes) -> tuple[str, int, int, int]:
        kept = ("kept", next(self._numbers), len(layer), 0)
        self.kept[kept] = layer
        return kept

    def read_kept(self, kept: tuple[str, int, int, int]) -> bytes:
        return self.kept[kept]

    def is_recent(self, kept: tuple[str, int, int, int]) -> bool:
        return kept in self.kept

    def use(self, shard: int, kept: Iterable[tuple[str, int, int, int]]) -> None:
        """A snapshot may be taken up again by a test at any time: nothing is forgotten."""

    def seal(self, shard: int, layers: list[bytes]) -> _Ticket:
        name = f"{next(self._numbers)}"
        self.files[name] = list(layers)
        return _Ticket((name, len(layers), 0))

    def merge(self, shard: int, segments: list[tuple[str, int, int]], ids_floor: int, is_oldest: bool) -> _Ticket:
        from flows.storage.segments import merge_layers

        layers = [layer for name, _, _ in segments for layer in self.files[name]]
        return self.seal(shard, [merge_layers(layers, ids_floor, is_oldest)])

    def read(self, shard: int, segment: tuple[str, int, int]) -> list[bytes]:
        return self.files[segment[0]]

    def retire(self, shard: int, segments: Iterable[tuple[str, int, int]]) -> None:
        for name, _, _ in segments:
            del self.files[name]

    def keep_only(self, shard: int, segments: Iterable[tuple[str, int, int]]) -> None:
        named = {name for name, _, _ in segments}
        self.files = {name: layer for name, layer in self.files.items() if name in named}


class Engine:
    """Judges events and reference records, and keeps what a reader of Redis would see."""

    def __init__(
        self,
        dedup_window_us: int,
        max_clock_skew_us: int,
        sources: dict[str, dict[str, Any]] | None = None,
        time_zone: str = "UTC",
        settle_us: int = 0,
        settles: dict[str, int] | None = None,
    ) -> None:
        sources = sources or {}
        windows = {name: told["dedup_window_us"] for name, told in sources.items() if "dedup_window_us" in told}
        self.config = ShardConfig(
            shards=1,
            dedup_window=dedup_window_us,
            source_windows=windows,
            reference_grace=0,
            time_zone=time_zone,
            has_claims=True,
            settle=settle_us,
            settles=settles or {},
        )
        self.known = CodeSets(frozenset(), frozenset())
        kinds = ("warehouse", "orders", "supply")
        self.decoder = Decoder(
            DecoderConfig(
                topic_kinds={f"inventory.{kind}": kind for kind in kinds},
                max_clock_skew=max_clock_skew_us,
                dedup_window=dedup_window_us,
                source_windows=windows,
                may_send={name: frozenset(told["may_send"]) for name, told in sources.items() if "may_send" in told},
                source_locations={
                    name: frozenset(told["locations"]) for name, told in sources.items() if "locations" in told
                },
            ),
            self.known,
        )
        self.clock = 0
        self.slowest = 0
        self.segments = MemorySegments()
        self.tables = ReferenceTables()
        self.shard = Shard(0, self.config, self.segments, lambda: self.clock, self)
        self.offsets = itertools.count()
        #: what Redis would hold
        self.numbers: dict[tuple[str, str], Answer] = {}
        self.figures: dict[str, dict[str, int]] = {}
        #: item -> order line -> what Redis would hold of its claims
        self.claims: dict[str, dict[str, str]] = {}
        self.raised: set[tuple[str, str, str, str]] = set()
        self.duplicates = 0
        self._take([TopologyRecord(self.tables.pack(), 0)])

    def recorded(self) -> int:
        """The slowest partition's clock."""
        return self.slowest

    def has_passed(self, part: str, offset: int) -> bool:
        """Nothing is passed here without being seen."""
        return False

    # --- what goes in ------------------------------------------------------------------------------------------------

    def reference(self, topic: str, key: bytes, value: bytes | None) -> list[str]:
        origin = Origin(topic, 0, next(self.offsets), 0, key, value)
        kind = topic.removeprefix("inventory.")
        accepted, refused, changed = self.tables.accept([(kind, origin)], self.clock, 0)
        messages: list[Inbound] = []
        if changed:
            messages.append(TopologyRecord(self.tables.pack(), 0))
            topology = unpack_topology(self.tables.pack())
            self.known.locations, self.known.channels = frozenset(topology.locations), frozenset(topology.channels)
        messages.extend(accepted)
        return [code for code, _ in self._codes([*refused, *self._take(messages)])]

    def event(self, topic: str, value: bytes, recorded_at_us: int) -> list[Code]:
        self.clock = max(self.clock, recorded_at_us)
        self.slowest = max(self.slowest, recorded_at_us)
        offset = next(self.offsets)
        origin = Origin(topic, 0, offset, recorded_at_us // 1000, None, value)
        units: list[Unit] = []
        refusals: list[Refusal] = []
        assert self.decoder.decode(origin, recorded_at_us, units, refusals, True)
        refusals.extend(self._take([UnitBatch(f"{topic}/0", offset, units)]))
        return self._codes(refusals)

    # --- what comes out ----------------------------------------------------------------------------------------------

    def promise(self, item: str, channel: str, now_us: int) -> Answer | None:
        self.pass_time(now_us)
        return self.numbers.get((item, channel))

    def position(self, item: str, now_us: int) -> dict[str, dict[str, int]]:
        self.pass_time(now_us)
        found: dict[str, dict[str, int]] = {}
        for field, quantity in self.figures.get(item, {}).items():
            location, _, name = field.rpartition(":")
            found.setdefault(location, {})[name] = quantity
        return found

    def exceptions(self, item: str, now_us: int) -> set[tuple[str, str, str]]:
        self.pass_time(now_us)
        return {key[1:] for key in self.raised if key[0] == item}

    # --- time, crashes -----------------------------------------------------------------------------------------------

    def pass_time(self, now_us: int) -> None:
        """Let the clock run and do what is due, as the dataflow's timer would."""
        self.clock = max(self.clock, now_us)
        for _ in range(10_000):
            due = self.shard.next_wake()
            if due is None or (due > self.clock and not self.shard.is_sweeping):
                return
            self._said(self.shard.wake())
        raise AssertionError("a shard that always wants to be woken")

    def resume(self) -> None:
        """Take a snapshot, forget everything else, and go on from it."""
        raw = self.shard.snapshot()
        self.shard = Shard(0, self.config, self.segments, lambda: self.clock, self, raw)
        self.tables = ReferenceTables(self.tables.pack())
        self._take([TopologyRecord(self.tables.pack(), 0)])

    def _take(self, messages: list[Inbound]) -> list[Refusal]:
        return self._said(self.shard.process(messages))

    def _said(self, outcome: Outcome | None) -> list[Refusal]:
        if outcome is None:
            return []
        for (verdict, _, _), count in outcome.counts.items():
            if verdict == "duplicate":
                self.duplicates += count
        for update in outcome.updates:
            for change in update.channels:
                key = (update.item, change.channel)
                before = self.numbers.get(key)
                assert change.atp >= 0, f"a negative promise: {change}"
                assert change.previous == (before.atp if before is not None else None), f"previous {change} {before}"
                after = Answer(change.atp, list(change.by_day) if change.by_day is not None else None)
                assert change.removed or change.forced or after != before, f"unchanged: {change}"
                if change.removed:
                    del self.numbers[key]
                else:
                    self.numbers[key] = after
            self._claimed(update)
            figures = self.figures.setdefault(update.item, {})
            for field, quantity in update.fields.items():
                if quantity is None:
                    figures.pop(field, None)
                else:
                    figures[field] = quantity
        for note in outcome.exceptions:
            if note.code == "conflict":
                continue
            exception = (note.item, note.code, note.location, note.reference)
            if note.is_open:
                assert exception not in self.raised, f"raised twice: {note}"
                self.raised.add(exception)
            else:
                self.raised.remove(exception)
        return outcome.refusals

    def _claimed(self, update: ItemUpdate) -> None:
        if update.claims is None:
            return
        held = {} if update.has_all_claims else self.claims.get(update.item, {})
        for line, text in update.claims.items():
            if text is None:
                held.pop(line, None)
            else:
                held[line] = text
        self.claims[update.item] = held

    @staticmethod
    def _codes(refusals: Iterable[Refusal]) -> list[Code]:
        return [(refusal.code, refusal.line_id) for refusal in refusals]
