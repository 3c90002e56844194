"""Statements through the engine's own rules on an injected clock, without servers: what the dataflow does.

    stated(value) ─ decoder ─ waits until J ─► shard ─ tallies ─► coordinator ─ close, verdict ─► shard ─► what it says

What it withholds and corrects comes back as events, as it would through Kafka.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from operators.coordinator import Coordinator, CoordinatorConfig, named_in
from operators.decisions import read_decision
from operators.decode import DecoderConfig
from operators.reference import unpack_reconciliation
from operators.rules.admission import Windows
from operators.rules.statements import due_at
from operators.statement_decode import StatementDecoder
from schemas.messages import Inbound, Outcome, UnitBatch
from schemas.reconciled import Decided, Reported, Rows, Rules, Tally, UnitsFound
from schemas.stated import Stated
from schemas.units import Origin, Refusal, Unit
from tests.engine import Code, Engine

SECOND = 1_000_000
SETTLE = 600 * SECOND


class Reconciling(Engine):
    """An engine that hears statements as well."""

    def __init__(
        self,
        dedup_window_us: int,
        max_clock_skew_us: int,
        sources: dict[str, dict[str, Any]] | None = None,
        time_zone: str = "UTC",
        settle_us: int = SETTLE,
        settles: dict[str, int] | None = None,
    ) -> None:
        self.written: list[Reported] = []
        self.letters: list[Refusal] = []
        #: codes of what it wrote itself and then did not take
        self.refused: list[Code] = []
        self.tallied: list[Reported] = []
        #: every unit that ever came, as Kafka keeps it
        self.units: list[Unit] = []
        #: is all of it read again where it is asked for?
        self.is_whole = True
        #: every promise that was sent: item, channel, atp, the one before, when
        self.promised: list[tuple[str, str, int, int | None, int]] = []
        super().__init__(dedup_window_us, max_clock_skew_us, sources, time_zone, settle_us, settles)
        windows = Windows(dedup_window_us, self.config.source_windows)
        self.settles = settles or {}
        self.coordinating = CoordinatorConfig(1, windows, settle_us, self.settles, tell_every=0)
        self.coordinator = Coordinator(self.coordinating, lambda: self.clock, 0)
        config: DecoderConfig = self.decoder.config
        self.statements = StatementDecoder(config, self.known)
        #: rows that wait: (J, row)
        self.rows: list[tuple[int, Stated]] = []
        #: what was written, newest by key
        self.variances: dict[str, dict[str, Any]] = {}
        self.statuses: dict[str, dict[str, Any]] = {}
        self.sent: list[dict[str, Any]] = []
        self.history: list[tuple[str, dict[str, Any]]] = []

    # --- what goes in ------------------------------------------------------------------------------------------------

    def reference(self, topic: str, key: bytes, value: bytes | None) -> list[str]:
        refused = super().reference(topic, key, value)
        if self.tables.has_new_reconciliation:
            self.tables.has_new_reconciliation = False
            packed = self.tables.pack_reconciliation()
            self.coordinator.rules = unpack_reconciliation(packed)
            self._take([Rules(packed)])
        return refused

    def stated(self, value: bytes, recorded_at_us: int) -> str | None:
        """Hear a message of a statement; gives the code under which it was refused at once."""
        self.clock = max(self.clock, recorded_at_us)
        origin = Origin("inventory.statements", 0, next(self.offsets), recorded_at_us // 1000, None, value)
        said = self.statements.decode(origin, recorded_at_us, True)
        assert said is not None
        if isinstance(said, Refusal):
            self.coordinator.refuse(said, *named_in(value, str(origin.offset)))
            self.letters.append(said)
            return said.code
        if not said.is_row:
            self.coordinator.hear(said)
            return None
        settle = self.settles.get(said.source, self.coordinating.settle)
        due = recorded_at_us if said.verdict is not None else due_at(recorded_at_us, said.as_of, settle)
        self.rows.append((due, said))
        self.coordinator.wait_for(said.source, said.statement_id, said.as_of)
        return None

    def decide(self, value: dict[str, Any]) -> str | None:
        """Hear what a person decided; gives the code under which it was refused."""
        raw = msgspec.json.encode(value)
        said = read_decision(Origin("inventory.decisions", 0, next(self.offsets), self.clock // 1000, None, raw))
        if not isinstance(said, Decided):
            return said.code
        codes = self._take([said])
        self.settle()
        return codes[0].code if codes else None

    # --- time --------------------------------------------------------------------------------------------------------

    def judge(self, now_us: int) -> None:
        """Let the clock run, judge what is due, and let all follow that follows from it."""
        self.pass_time(now_us)
        due = [row for at, row in self.rows if at <= now_us]
        self.rows = [(at, row) for at, row in self.rows if at > now_us]
        for row in due:
            self.coordinator.wait_for(row.source, row.statement_id, row.as_of, -1)
        admitted = [row for row in due if self.coordinator.admits(row)]
        if admitted:
            self._take([Rows(admitted, [self.coordinator.born(row) for row in admitted])])
        self.settle()

    def settle(self) -> None:
        """Let words go round until nothing is said any more."""
        for _ in range(1000):
            self.end_epoch()
            words = self.coordinator.step(self.clock)
            self.letters += words.refusals
            self._heard(words.reported)
            messages: list[Inbound] = list(words.to_shards)
            together: dict[tuple[tuple[str, str], ...], list[Any]] = {}
            for unit in self.units:
                asking = [
                    (search.source, search.statement_id)
                    for search in words.searches
                    if unit.item in search.items and search.since < unit.occurred_at <= search.until
                ]
                if asking:
                    together.setdefault(tuple(asking), []).append(unit.values())
            for (first_asking, *also), values in together.items():
                messages.append(UnitsFound(*first_asking, values, False, also=also))
            for search in words.searches:
                sent = [
                    one for one in self.promised if f"{one[0]}:{one[1]}" in search.promises and one[4] <= self.clock
                ]
                anew: dict[tuple[str, str], int] = {}
                for code, channel, _, _, at in self.promised:
                    if search.anew_since is not None and at > search.anew_since:
                        anew[code, channel] = min(at, anew.get((code, channel), at))
                first = [(*name, at) for name, at in anew.items()]
                messages.append(UnitsFound(search.source, search.statement_id, [], True, sent, first, self.is_whole))
            self._said(Outcome(0, {}, [], [], words.notes))
            if messages:
                self._take(messages)
            self.pass_time(self.clock)
            while self.shard.reconciler.is_busy:
                self._said(self.shard.wake())
            tallied, self.tallied = self.tallied, []
            for reported in tallied:
                self.coordinator.tally(msgspec.msgpack.decode(reported.value, type=Tally))
            written, self.written = self.written, []
            for reported in written:
                self.sent.append(json.loads(reported.value))
                self.refused += self.event("inventory.warehouse", reported.value, self.clock)
            if not (words or tallied or written or self.coordinator.is_busy):
                return
        raise AssertionError("words that never end")

    def end_epoch(self) -> None:
        """All that was taken until now is safe."""
        self.coordinator.snapshot()
        self.coordinator.epoch_finished()

    def resume(self) -> None:
        raw = self.coordinator.snapshot()
        super().resume()
        rules = self.coordinator.rules
        self.coordinator = Coordinator(self.coordinating, lambda: self.clock, 0, raw)
        self.coordinator.rules = rules

    def _take(self, messages: list[Inbound]) -> list[Refusal]:
        for message in messages:
            if isinstance(message, UnitBatch):
                self.units += message.units
        return super()._take(messages)

    def _said(self, outcome: Outcome | None) -> list[Refusal]:
        refusals = super()._said(outcome)
        if outcome is not None:
            for update in outcome.updates:
                for change in update.channels:
                    if change.atp != change.previous:
                        self.promised.append((update.item, change.channel, change.atp, change.previous, self.clock))
            self._heard(outcome.reconciled)
            self.letters += refusals
        return refusals

    def _heard(self, reported: list[Reported]) -> None:
        for one in reported:
            if one.topic == "inventory.variances":
                self.variances[one.key] = json.loads(one.value)
                self.history.append((one.key, json.loads(one.value)))
            elif one.topic == "inventory.statements.status":
                self.statuses[one.key] = json.loads(one.value)
            elif one.topic == "inventory.warehouse":
                self.written.append(one)
            else:
                assert one.topic == "inventory.statements.tallies", one.topic
                self.tallied.append(one)
