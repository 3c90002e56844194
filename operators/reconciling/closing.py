"""Closes a statement in a shard: what was not stated is a row of 0, and what may explain the rest is gathered.

1. Is everything that is in scope stated? What is not is a row of 0, where items are `all`.
2. Of which items units are wanted: of those with rows that figures alone do not explain. The tally says which.
3. Those units come back, read again in Kafka, and what was sent of promises. Then causes are named, item by item.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from operators.effects import Applied
from operators.evaluate import measure_of
from operators.ids import unit_fingerprint
from operators.reconciling.desk import Desk, Open
from operators.reconciling.names import (
    PROMISE_STATED,
    SPACE,
    STOCK_STATED,
    Key,
    anew_marker,
    fingerprint_of,
    is_known,
    lots_marker,
)
from operators.reconciling.naming import Gathered, Namer
from operators.rules.quantities import QuantityError
from operators.rules.reconciliation import agrees
from operators.rules.rounding import round_safely
from operators.rules.topology import children, expand
from schemas.reconciled import ATP, CloseStatement, Judged, UnitsFound
from schemas.state import Item
from schemas.units import Unit, unit_from


class Closing:
    """One a shard."""

    def __init__(self, desk: Desk, namer: Namer) -> None:
        self._desk, self._shard, self._namer = desk, desk.shard, namer
        self._refused_of: CloseStatement | None = None
        self._refused_names: frozenset[str] = frozenset()

    def begin(self, message: CloseStatement) -> None:
        """All rows are judged: begin to close, perhaps once more."""
        key = (message.source, message.statement_id)
        found = self._desk.open_statement(key, message.born)
        if found.verdict is not None:
            return
        tally = found.tally
        tally.round, tally.is_closed = 0, False
        self._namer.gathered[key] = Gathered(message)
        if message.is_whole:
            self._desk.work.extend(("absent", key, code) for code in list(self._shard.items))
        self._desk.work.append(("begin", key, ""))

    def finish(self, key: Key, _: str = "") -> None:
        """Every row in variance has its causes."""
        self._namer.gathered.pop(key, None)
        self._desk.open[key].tally.is_closed = True
        self._desk.answer(key)

    # --- what was not stated -----------------------------------------------------------------------------------------

    def find_absent(self, key: Key, code: str) -> None:
        """Keep rows of 0 for what is in scope of an item and was not stated."""
        item, gathered = self._shard.find(code), self._namer.gathered.get(key)
        if gathered is None or item is None or item.policy is None:
            return
        message = gathered.message
        if self._refused_of is not message:
            self._refused_of, self._refused_names = message, frozenset(message.refused)
        for before in [row for row in self._desk.rows_of(item, key) if row.is_absent]:
            self._desk.drop(item, before)
        for judged in self._absent_rows(item, message):
            self._desk.keep(self._desk.open[key], item, judged)

    def _absent_rows(self, item: Item, message: CloseStatement) -> Iterable[Judged]:
        scope = self._scope(message.locations)
        facts = self._desk.rules_of(message.source)
        scale = measure_of(item).scale
        for location, place in item.places.items():
            if (scope is not None and location not in scope) or self._has_row(message, item.code, location, ""):
                continue
            marker = lots_marker(message.source, message.statement_id, message.born, item.code, location)
            names = list(place.lots or ()) if is_known(self._shard.ids, marker) else [""]
            for lot in names:
                if lot and self._has_row(message, item.code, location, lot):
                    continue
                known = self._desk.ours(item, location, lot, "on_hand", message.as_of)
                if known is None or agrees(facts, known, 0, scale):
                    continue
                yield Judged(
                    message.source,
                    message.statement_id,
                    location,
                    lot,
                    message.as_of,
                    message.ended_at,
                    {"on_hand": 0},
                    {"on_hand": known},
                    ["on_hand"],
                    True,
                )

    def _has_row(self, message: CloseStatement, item: str, location: str, lot: str) -> bool:
        """Was it stated? A refused row counts as one that is there."""
        named = (message.source, message.statement_id, message.born, item, location, lot, STOCK_STATED)
        identity = fingerprint_of(*named)
        if is_known(self._shard.ids, identity):
            return True
        refused = self._desk.open[message.source, message.statement_id].refused
        return identity in refused or SPACE.join((item, location, lot)) in self._refused_names

    def _scope(self, named: Iterable[str] | None) -> set[str] | None:
        if named is None:
            return None
        return expand(tuple(named), children(self._shard.policies.topology.locations))

    # --- what is wanted ----------------------------------------------------------------------------------------------

    def begin_search(self, key: Key, _: str = "") -> None:
        """Find out of which items units are wanted: of those that figures alone do not explain."""
        tally = self._desk.open[key].tally
        tally.wanted, tally.promises, tally.span = [], [], (0, 0)
        self._desk.work.extend(("search", key, code) for code in sorted(self._desk.open[key].items))
        self._desk.work.append(("searched", key, ""))

    def search(self, key: Key, code: str) -> None:
        """Note whether units of an item are wanted, and around which moments."""
        item, tally = self._shard.find(code), self._desk.open[key].tally
        if item is None:
            return
        rows = [row for row in self._desk.rows_of(item, key) if row.differing]
        asked = [row for row in rows if self._namer.is_open_question(item, row, rows)]
        if not asked:
            return
        first, last = tally.span
        moments = [row.as_of for row in asked]
        tally.span = (min(moments) if not last else min(first, *moments), max(last, *moments))
        tally.promises += [f"{code}:{row.place}" for row in asked if ATP in row.differing]
        if any(ATP not in row.differing for row in asked):
            tally.wanted.append(code)

    def finish_search(self, key: Key, _: str = "") -> None:
        """Answer with what is wanted."""
        gathered = self._namer.gathered.get(key)
        if gathered is not None:
            self._desk.open[key].tally.round = gathered.message.round
            self._desk.answer(key)

    # --- what was read again -----------------------------------------------------------------------------------------

    def take_units(self, message: UnitsFound) -> None:
        """Take units that were read again, and what was sent of promises; with the last of them name causes."""
        key = (message.source, message.statement_id)
        self._take_units(message.units, [key, *message.also])
        gathered = self._namer.gathered.get(key)
        found = self._desk.open.get(key)
        if gathered is None or found is None or found.verdict is not None:
            return
        for code, channel, atp, before, at in message.sent:
            gathered.sent.setdefault((code, channel), []).append((at, atp, before))
        for code, channel, at in message.anew:
            self._note_sent_anew(found, code, channel, at)
        if message.is_last:
            gathered.is_whole = message.is_whole
            tally = found.tally
            tally.absent, tally.causes, tally.units, tally.explained = 0, {}, "0", "0"
            tally.wanted, tally.promises = [], []
            self._namer.begin()
            self._desk.work.extend(("cause", key, code) for code in sorted(found.items))
            self._desk.work.append(("closed", key, ""))

    def _take_units(self, units: list[Any], keys: list[Key]) -> None:
        """Have each once, for all statements that ask for it: with a million of them what each takes is memory."""
        gathered = [self._namer.gathered.get(key) for key in keys]
        asking = [one.units for one in gathered if one is not None]
        if not asking:
            return
        for values in units:
            unit = unit_from(values)
            applied = self._applied(unit)
            if applied is not None:
                for own in asking:
                    own.setdefault(unit.item, []).append(applied)

    def _applied(self, unit: Unit) -> Applied | None:
        """Give a unit that was read again with its quantities converted; None where it was not applied."""
        item = self._shard.find(unit.item)
        if item is None or item.policy is None or unit.verdict is not None:
            return None
        measure = measure_of(item)
        try:
            quantity = measure.convert(unit.quantity, unit.uom, "quantity") if unit.quantity is not None else 0
            second = measure.convert(unit.quarantined, unit.uom, "") if unit.quarantined is not None else None
        except QuantityError as error:
            if error.code != "quantity_not_exact" or not measure.is_safe:
                return None
            quantity, second = round_safely(unit, measure)
        identity = unit_fingerprint(unit.source, unit.event_id, unit.line_id, unit.item)
        return (unit, quantity, second) if is_known(self._shard.ids, identity) else None

    def _note_sent_anew(self, found: Open, code: str, channel: str, at: int) -> None:
        """A promise that agrees was first sent later than its as_of - settle: then it is not compared after all.

        Of what agrees only fingerprints are kept. So it goes by the last as_of of the statement's promises, and by when
        its first row was judged: who states all as of one moment, at once, gets what each row's own would give.
        """
        tally = found.tally
        if at > found.judged_at:
            return
        own = (tally.source, tally.statement_id, found.born)
        item = self._shard.find(code)
        if item is None or not is_known(self._shard.ids, fingerprint_of(*own, code, channel, "", PROMISE_STATED)):
            return
        for row in self._desk.rows_of(item, own[:2]):
            if row.place == channel and ATP in row.theirs:
                if row.differing:
                    return
                self._desk.drop(item, row)
        marker = anew_marker(*own, code, channel)
        if not is_known(self._shard.ids, marker):
            self._desk.remember(found, marker, 0, tally.promised + self._shard._windows.of(tally.source))
            tally.agreed -= 1
            tally.not_compared += 1
