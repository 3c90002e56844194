"""The statements' side of a shard: judges rows of its items, keeps what differs, withholds and corrects. Without IO.

Rule 1: a row is judged once, as of its as_of; of one that agrees only its fingerprint stays, among the shard's ids.
Rule 2: nothing is written of a statement before its verdict. What is written then follows from what is kept.
Rule 3: what is withheld is compared with what the item's own state says is withheld, and asked for until both are
        equal: so no crash leaves a hold behind, nor one out.
Work on a whole statement goes item by item, some at each of the shard's turns: numbers are not to wait for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor
from typing import Any, Protocol

import msgspec

from operators import ours, position
from operators.effects import Applied, Claims, ItemUnits, Lazily, StillToCome, effects_of
from operators.evaluate import measure_of
from operators.ids import RememberedIds, content_fingerprint, unit_fingerprint
from operators.reconciled_json import count_event, hold_event, variance_json
from operators.reference import unpack_reconciliation
from operators.rules import causes, holds, lots, variances
from operators.rules.admission import CONFLICT, DUPLICATE, Windows
from operators.rules.days import Days
from operators.rules.quantities import QuantityError, UnitsOfMeasure
from operators.rules.reconciliation import DEFAULTS, ReconciliationFacts, action_at, agrees
from operators.rules.rounding import round_safely
from operators.rules.statements import added_causes
from operators.rules.topology import children, expand
from schemas.messages import ExceptionNote
from schemas.reconciled import (
    ATP,
    CloseStatement,
    Decided,
    Judged,
    Reported,
    Rows,
    Rules,
    Standing,
    Tally,
    UnitsFound,
    VerdictFell,
)
from schemas.state import Item
from schemas.stated import Stated
from schemas.statements import MEASURES
from schemas.topics import TALLIES, VARIANCES, WAREHOUSE
from schemas.units import Refusal, Unit, unit_from
from schemas.variances import OWN_SOURCE, row_id, variance_key

#: Items of a statement that a shard looks at in one turn: about 2 ms.
ITEMS_AT_ONCE = 20
#: An item of which more units are read again has its rows looked at one a turn: a unit takes some microseconds a row.
UNITS_AT_ONCE = 500
#: Rounded down where the item's rounding is safe; the other measures are rounded up.
ROUNDED_DOWN = frozenset({"on_hand", "available", "in_transit", "expected", ATP})
STOCK_STATED, PROMISE_STATED = "stock_stated", "promise_stated"
#: between the names of a row of an open statement; no code or id holds it
SPACE = " "


class Host(Protocol):
    """What of the shard is used here."""

    number: int
    config: Any
    clock: Any
    items: dict[str, Any]
    ids: RememberedIds
    policies: Any
    counts: dict[tuple[str, str, str], int]
    _windows: Windows
    _days: Days
    _journal_horizon: int
    _refusals: list[Refusal]
    _notes: list[ExceptionNote]

    def find(self, code: str) -> Item | None: ...
    def _note(self, item: Item) -> None: ...


class Open(msgspec.Struct, array_like=True):
    """One statement in one shard, until its verdict."""

    tally: Tally
    #: what tells it from one of before with the same id
    born: int
    #: fingerprints of rows that were refused and did not come again
    refused: set[int] = set()
    #: items with rows in variance
    items: set[str] = set()
    #: the verdict, while it is being applied
    verdict: VerdictFell | None = None
    #: when its first row was judged here
    judged_at: int = 0


class Saved(msgspec.Struct, array_like=True):
    """What a snapshot keeps beside the items' own records."""

    open: list[Open]
    #: (item, location) -> what was last asked to be withheld, and when that was first more than 0
    asked: list[tuple[str, str, int]]
    held: list[tuple[str, str, int, int]]
    rules: bytes = b""


_saved = msgspec.msgpack.Decoder(Saved)
_encode = msgspec.msgpack.Encoder().encode

#: one step of work on a statement: what is done, the statement, the item
Step = tuple[str, tuple[str, str], str]


class Naming:
    """An item whose rows get their causes: what all of them are looked at with, and which are left."""

    def __init__(self, step: tuple[tuple[str, str], str], item: Item, rows: list[Judged], units: list[Applied]) -> None:
        self.step, self.item = step, item
        self.differing = rows
        self.left = deque(rows)
        self.units = ItemUnits(units)
        self.claims = Claims(item)


class Reconciler:
    """One a shard; the shard hands it what concerns statements, and writes its words with its own."""

    def __init__(self, shard: Host, resume: bytes | None = None) -> None:
        self._shard = shard
        self._rules: dict[str, ReconciliationFacts] = {}
        self._packed_rules = b""
        self._open: dict[tuple[str, str], Open] = {}
        #: of this run alone: statements of which a tally is to be told, and whether somebody waits for it
        self._untold: set[tuple[str, str]] = set()
        self._is_waited_for = False
        self._told_at = 0
        self._closing: dict[tuple[str, str], CloseStatement] = {}
        #: units of items in variance of statements that are being closed
        self._units: dict[tuple[str, str], dict[str, list[Applied]]] = {}
        #: of promises in variance: (when, atp, the one before) of what was sent
        self._sent: dict[tuple[str, str], dict[tuple[str, str], list[tuple[int, int, int | None]]]] = {}
        self._refused_of: CloseStatement | None = None
        self._refused_names: frozenset[str] = frozenset()
        self._work: deque[Step] = deque()
        self._naming: Naming | None = None
        self._asked: dict[tuple[str, str], int] = {}
        #: (item, location) -> since when something is withheld, and when that was reported (0: not yet)
        self._held: dict[tuple[str, str], tuple[int, int]] = {}
        #: (since, item, location) of what was not reported yet, the oldest first; some may be over
        self._alerts: deque[tuple[int, str, str]] = deque()
        self._said: list[Reported] = []
        self.run = 0
        if resume is not None:
            self._resume(resume)

    # --- what comes in -----------------------------------------------------------------------------------------------

    def take(self, message: Any) -> None:
        """Take a word that concerns statements."""
        if type(message) is Rows:
            for row, born in zip(message.rows, message.born, strict=True):
                self._take_row(row, born)
        elif type(message) is Rules:
            self._packed_rules = message.packed
            self._rules = unpack_reconciliation(message.packed)
        elif type(message) is CloseStatement:
            self._begin_close(message)
        elif type(message) is UnitsFound:
            self._take_units(message)
        elif type(message) is VerdictFell:
            self._begin_verdict(message)
        elif type(message) is Decided:
            self._decide(message)

    def work(self, most: int = ITEMS_AT_ONCE) -> None:
        """Go on with statements that are closed or decided: so many items at most."""
        while self._work and most > 0:
            kind, key, code = self._work.popleft()
            most -= 1
            if key not in self._open:
                continue
            if kind == "absent":
                self._find_absent(key, code)
            elif kind == "begin":
                self._begin_search(key)
            elif kind == "search":
                self._search(key, code)
            elif kind == "searched":
                self._finish_search(key)
            elif kind == "cause":
                if self._name_causes(key, code):
                    most = 0
            elif kind == "closed":
                self._finish_close(key)
            elif kind == "apply":
                self._apply_verdict(key, code)
            else:
                self._open.pop(key)

    @property
    def is_busy(self) -> bool:
        """Is there work on a statement left?"""
        return bool(self._work)

    def next_alert(self) -> int | None:
        """When the next hold is too long, or something is to be told, in UTC microseconds."""
        alert: int | None = self._alerts[0][0] + self._shard.config.hold_alert if self._alerts else None
        if not self._untold:
            return alert
        told: int = self._told_at + self._shard.config.tell_every
        return told if alert is None else min(alert, told)

    def pass_time(self, now: int) -> None:
        """Report what is held for too long."""
        while self._alerts and self._alerts[0][0] + self._shard.config.hold_alert <= now:
            since, code, location = self._alerts.popleft()
            if self._held.get((code, location)) == (since, 0):
                self._held[code, location] = (since, now)
                self._complain(code, location, since, now, True)

    def _complain(self, code: str, location: str, since: int, now: int, is_open: bool) -> None:
        item = self._shard.find(code)
        there = ours.own_hold(item, location)[0] if item is not None else 0
        held = {"held": self._asked.get((code, location), there)}
        self._shard._notes.append(ExceptionNote("held_too_long", code, location, "", held, since, now, is_open))

    def said(self) -> list[Reported]:
        """Take what is to be written since this was last asked."""
        if self._is_telling:
            for key in self._untold:
                found = self._open.get(key)
                if found is not None:
                    self._tell(found)
            self._untold.clear()
            self._is_waited_for, self._told_at = False, self._shard.clock()
        said, self._said = self._said, []
        return said

    @property
    def has_news(self) -> bool:
        """Is there anything to say?"""
        return bool(self._said) or self._is_telling

    @property
    def _is_telling(self) -> bool:
        """Are tallies told now? Rows come by few: a tally of each few of them would cost more than they do."""
        if not self._untold:
            return False
        since = self._shard.clock() - self._told_at
        return self._is_waited_for or not 0 <= since < self._shard.config.tell_every

    def _answer(self, key: tuple[str, str]) -> None:
        """Tell at once: the coordinator asked."""
        self._untold.add(key)
        self._is_waited_for = True

    def _tell(self, found: Open) -> None:
        tally = found.tally
        tally.run, tally.refused = self.run, len(found.refused)
        key = f"{tally.source}:{tally.statement_id}"
        self._said.append(Reported(TALLIES, key, _encode(tally)))

    def begin(self, run: int) -> None:
        """Tell a new run's coordinator all that is known: it believes no word of the run before."""
        if self.run != run:
            self.run = run
            self._untold.update(self._open)
            self._is_waited_for = True

    # --- rows --------------------------------------------------------------------------------------------------------

    def _take_row(self, row: Stated, born: int) -> None:
        key = (row.source, row.statement_id)
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = Open(Tally(self.run, self._shard.number, *key), born)
        self._untold.add(key)
        tally = found.tally
        identity = fingerprint_of(row.source, row.statement_id, born, row.item, row.place, row.lot, row.type)
        item = self._shard.find(row.item)
        if item is None or item.policy is None:
            message = f"item: expected an item of inventory.items, got {row.item}"
            return self._refuse(found, identity, row, "unknown_item", message)
        measure = measure_of(item)
        try:
            theirs = _converted(row, measure)
        except QuantityError as error:
            return self._refuse(found, identity, row, error.code, str(error))
        if row.verdict is not None:
            return self._refuse(found, identity, row, *row.verdict)
        content = content_fingerprint(_encode((row.as_of, sorted(theirs.items()))))
        known = self._shard.ids.recognize(identity, content)
        if known == DUPLICATE:
            tally.duplicates += 1
            return None
        if known == CONFLICT:
            tally.conflicts += 1
            message = (
                f"row: expected what was first said of {row.item} at {row.place} in {row.statement_id}, got other "
                "content: the first stands, and the statement contradicts itself"
            )
            return self._refused(row, "conflict", message)
        until = row.as_of + self._shard._windows.of(row.source)
        self._shard.ids.remember(identity, content, until)
        if row.lot:
            marker = lots_marker(row.source, row.statement_id, born, row.item, row.place)
            if self._shard.ids.recognize(marker, 0) not in (DUPLICATE, CONFLICT):
                self._shard.ids.remember(marker, 0, until)
        found.refused.discard(identity)
        return self._judge(found, item, row, theirs)

    def _refuse(self, found: Open, identity: int, row: Stated, code: str, message: str) -> None:
        found.refused.add(identity)
        self._refused(row, code, message)

    def _refused(self, row: Stated, code: str, message: str) -> None:
        self._shard._refusals.append(Refusal(row.origin, code, message, None, row.source, row.type))
        key = (code, row.type, row.source)
        self._shard.counts[key] = self._shard.counts.get(key, 0) + 1

    def _judge(self, found: Open, item: Item, row: Stated, theirs: dict[str, int]) -> None:
        facts = self._rules.get(row.source, DEFAULTS)
        scale = measure_of(item).scale
        compared: dict[str, int] = {}
        differing: list[str] = []
        for name, quantity in theirs.items():
            known = self._ours(item, row.place, row.lot, name, row.as_of)
            if known is None:
                continue
            compared[name] = known
            if known != quantity and not agrees(facts, known, quantity, scale):
                differing.append(name)
        tally = found.tally
        now = self._shard.clock()
        found.judged_at = found.judged_at or now
        if differing:
            tally.in_variance += 1
        elif compared:
            tally.agreed += 1
            if row.type == PROMISE_STATED:
                tally.promised = max(tally.promised, row.as_of)
        else:
            tally.not_compared += 1
        if differing or (item.rare is not None and _is_known_here(item, row, compared)):
            stated = {name: theirs[name] for name in compared}
            judged = Judged(
                row.source,
                row.statement_id,
                row.place,
                row.lot,
                row.as_of,
                row.recorded_at,
                stated,
                compared,
                differing,
                judged_at=now,
            )
            self._keep(found, item, judged)

    def _keep(self, found: Open, item: Item, judged: Judged) -> None:
        key = judged_key(judged)
        position.rare_of(item).judged[key] = judged
        position.mark(item, "p", key, "")
        self._shard._note(item)
        found.items.add(item.code)

    def _ours(self, item: Item, place: str, lot: str, measure: str, as_of: int) -> int | None:
        if measure == ATP:
            published = item.published.get(place)
            return published[0] if published is not None else 0
        horizon = self._shard._journal_horizon
        return ours.ours_of(item, place, lot, measure, as_of, horizon, self._shard._days)

    # --- closing -----------------------------------------------------------------------------------------------------

    def _begin_close(self, message: CloseStatement) -> None:
        key = (message.source, message.statement_id)
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = Open(Tally(self.run, self._shard.number, *key), message.born)
        if found.verdict is not None:
            return
        tally = found.tally
        tally.round, tally.is_closed = 0, False
        self._closing[key] = message
        self._units[key] = {}
        self._sent[key] = {}
        if message.is_whole:
            self._work.extend(("absent", key, code) for code in list(self._shard.items))
        self._work.append(("begin", key, ""))

    def _find_absent(self, key: tuple[str, str], code: str) -> None:
        item, message, found = self._shard.find(code), self._closing.get(key), self._open[key]
        if message is None or item is None or item.policy is None:
            return
        if self._refused_of is not message:
            self._refused_of, self._refused_names = message, frozenset(message.refused)
        for before in [row for row in self._rows_of(item, key) if row.is_absent]:
            self._drop(item, before)
        for judged in self._absent_rows(item, message):
            self._keep(found, item, judged)

    def _begin_search(self, key: tuple[str, str]) -> None:
        """Find out of which items units are wanted: of those that figures alone do not explain."""
        tally = self._open[key].tally
        tally.wanted, tally.promises, tally.span = [], [], (0, 0)
        self._work.extend(("search", key, code) for code in sorted(self._open[key].items))
        self._work.append(("searched", key, ""))

    def _search(self, key: tuple[str, str], code: str) -> None:
        item, tally = self._shard.find(code), self._open[key].tally
        if item is None:
            return
        rows = [row for row in self._rows_of(item, key) if row.differing]
        asked = [row for row in rows if self._is_open_question(item, row, rows)]
        if not asked:
            return
        first, last = tally.span
        moments = [row.as_of for row in asked]
        tally.span = (min(moments) if not last else min(first, *moments), max(last, *moments))
        tally.promises += [f"{code}:{row.place}" for row in asked if ATP in row.differing]
        if any(ATP not in row.differing for row in asked):
            tally.wanted.append(code)

    def _finish_search(self, key: tuple[str, str]) -> None:
        if key in self._closing:
            self._open[key].tally.round = self._closing[key].round
            self._answer(key)

    def _is_open_question(self, item: Item, row: Judged, rows: list[Judged]) -> bool:
        facts = self._rules.get(row.source, DEFAULTS)
        return any(
            name in (*causes.PHYSICAL, ATP)
            and causes.cause_of(row, name, self._surroundings(item, row, name, rows, facts))[0] not in causes.BY_FIGURES
            for name in row.differing
        )

    def _take_units(self, message: UnitsFound) -> None:
        key = (message.source, message.statement_id)
        units = self._units.get(key)
        found = self._open.get(key)
        if units is None or found is None or found.verdict is not None:
            return
        for values in message.units:
            unit = unit_from(values)
            applied = self._applied(unit)
            if applied is not None:
                units.setdefault(unit.item, []).append(applied)
        for code, channel, atp, before, at in message.sent:
            self._sent[key].setdefault((code, channel), []).append((at, atp, before))
        for code, channel, at in message.anew:
            self._note_sent_anew(found, code, channel, at)
        if message.is_last:
            tally = found.tally
            tally.absent, tally.causes, tally.units, tally.explained = 0, {}, "0", "0"
            tally.wanted, tally.promises = [], []
            self._naming = None
            self._work.extend(("cause", key, code) for code in sorted(found.items))
            self._work.append(("closed", key, ""))

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
        for row in self._rows_of(item, own[:2]):
            if row.place == channel and ATP in row.theirs:
                if row.differing:
                    return
                self._drop(item, row)
        marker = unit_fingerprint(f"anew {tally.source} {found.born}", tally.statement_id, channel, code)
        if not is_known(self._shard.ids, marker):
            self._shard.ids.remember(marker, 0, tally.promised + self._shard._windows.of(tally.source))
            tally.agreed -= 1
            tally.not_compared += 1

    def _drop(self, item: Item, row: Judged) -> None:
        position.rare_of(item).judged.pop(judged_key(row))
        position.mark(item, "p", judged_key(row), "")
        self._shard._note(item)

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

    def _absent_rows(self, item: Item, message: CloseStatement) -> Iterable[Judged]:
        scope = self._scope(message.locations)
        facts = self._rules.get(message.source, DEFAULTS)
        scale = measure_of(item).scale
        for location, place in item.places.items():
            if (scope is not None and location not in scope) or self._has_row(message, item.code, location, ""):
                continue
            marker = lots_marker(message.source, message.statement_id, message.born, item.code, location)
            names = list(place.lots or ()) if is_known(self._shard.ids, marker) else [""]
            for lot in names:
                if lot and self._has_row(message, item.code, location, lot):
                    continue
                known = self._ours(item, location, lot, "on_hand", message.as_of)
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
        refused = self._open[message.source, message.statement_id].refused
        return identity in refused or SPACE.join((item, location, lot)) in self._refused_names

    def _scope(self, named: Iterable[str] | None) -> set[str] | None:
        if named is None:
            return None
        return expand(tuple(named), children(self._shard.policies.topology.locations))

    def _name_causes(self, key: tuple[str, str], code: str) -> bool:
        """Name the causes of an item's rows, or where it has many units of one of them; true where that took a turn."""
        item, found = self._shard.find(code), self._open[key]
        assert item is not None
        naming = self._naming
        if naming is None or naming.step != (key, code) or naming.item is not item:
            rows = [row for row in self._rows_of(item, key) if not self._is_newly_sent(item, row, found.tally)]
            units = self._units.get(key, {}).get(code, [])
            naming = self._naming = Naming((key, code), item, [row for row in rows if row.differing], units)
        is_heavy = len(naming.units) > UNITS_AT_ONCE
        while naming.left:
            self._name_causes_of(naming, naming.left.popleft(), found.tally)
            if is_heavy and naming.left:
                self._work.appendleft(("cause", key, code))
                return True
        self._naming = None
        return is_heavy

    def _name_causes_of(self, naming: Naming, row: Judged, tally: Tally) -> None:
        item = naming.item
        facts = self._rules.get(row.source, DEFAULTS)
        for name in row.differing:
            row.causes[name], row.evidence[name] = self._cause_of(naming, row, name, facts)
            added_causes(tally.causes, {name: {row.causes[name]: 1}})
            size = Fraction(abs(row.theirs[name] - row.ours[name]), 10 ** measure_of(item).scale)
            tally.units = str(Fraction(tally.units) + size)
            if row.causes[name] != causes.UNKNOWN:
                tally.explained = str(Fraction(tally.explained) + size)
        tally.absent += row.is_absent
        position.mark(item, "p", judged_key(row), "")
        self._shard._note(item)

    def _cause_of(self, naming: Naming, row: Judged, name: str, facts: ReconciliationFacts) -> causes.Cause:
        around = self._surroundings(naming.item, row, name, naming.differing, facts)
        found = causes.cause_of(row, name, around)
        if name not in causes.PHYSICAL or found[0] in causes.BY_FIGURES:
            return found  # no unit is asked
        item, units = naming.item, naming.units
        horizon, days = self._shard._journal_horizon, self._shard._days
        effects = effects_of(item, row, name, units.at(row.place), horizon, days)
        around = replace(around, effects=effects, was=Lazily(lambda: self._was(item, row, name, units, effects)))
        if name == "on_hand":
            around = replace(around, coming=StillToCome(item, row.place, row.as_of, units, naming.claims))
        return causes.cause_of(row, name, around)

    def _rows_of(self, item: Item, key: tuple[str, str]) -> list[Judged]:
        if item.rare is None:
            return []
        return [row for row in item.rare.judged.values() if (row.source, row.statement_id) == key]

    def _surroundings(
        self, item: Item, row: Judged, name: str, siblings: list[Judged], facts: ReconciliationFacts
    ) -> causes.Surroundings:
        """Give what figures alone say."""
        measure = measure_of(item)
        return causes.Surroundings(
            conversions=[factor / 10**measure.scale for uom, factor in measure.factors.items() if uom != measure.base],
            siblings=siblings,
            now=self._ours(item, row.place, row.lot, name, row.as_of) if name in causes.PHYSICAL else None,
            is_before_last=name == ATP and self._is_before_last(item, row),
            facts=facts,
            scale=measure.scale,
        )

    def _is_before_last(self, item: Item, row: Judged) -> bool:
        """Is theirs the promise that was sent before the last one?"""
        sent = self._sent_until(item, row)
        return bool(sent) and max(sent)[2] == row.theirs[ATP]

    def _sent_until(self, item: Item, row: Judged) -> list[tuple[int, int, int | None]]:
        """What was sent until the row was judged."""
        sent = self._sent.get((row.source, row.statement_id), {}).get((item.code, row.place), [])
        return [one for one in sent if not row.judged_at or one[0] <= row.judged_at]

    def _is_newly_sent(self, item: Item, row: Judged, tally: Tally) -> bool:
        """Was a promise sent later than as_of - settle, or did a newer one wait? Then it is not compared after all."""
        if ATP not in row.differing:
            return False
        sent = self._sent_until(item, row)
        settle = self._shard.config.settle_of(row.source)
        # Where all that Kafka still has is newer, it is compacted, and what was sent before is not known.
        is_gone = not sent and (item.code, row.place) in self._sent.get((row.source, row.statement_id), {})
        if not is_gone and (not sent or (max(sent)[0] <= row.as_of - settle and max(sent)[1] == row.ours[ATP])):
            return False
        tally.in_variance -= 1
        tally.not_compared += 1
        self._drop(item, row)
        return True

    def _was(
        self, item: Item, row: Judged, name: str, units: ItemUnits, effects: Sequence[causes.Effect]
    ) -> dict[int, int]:
        """What ours was a day before, and after each unit of that day: quantity -> the last such moment."""
        if not (units or effects):
            return {}
        begin = row.as_of - causes.DAY
        moments = sorted({begin, *(moment for moment in units.moments() if begin < moment <= row.as_of)})
        if name == "on_hand":
            quantities = ours.on_hands(item, row.place, row.lot, moments, self._shard._journal_horizon)
        else:
            quantities = [self._ours(item, row.place, row.lot, name, moment) for moment in moments]
        if quantities[0] is None:
            # Journals need not reach back so far: walked back, over what the day's units did.
            latest = self._ours(item, row.place, row.lot, name, row.as_of)
            day = sum([one.change for one in effects if begin < one.occurred_at <= row.as_of])
            quantities[0] = None if latest is None else latest - day
        return {known: moment for moment, known in zip(moments, quantities, strict=True) if known is not None}

    def _finish_close(self, key: tuple[str, str]) -> None:
        self._closing.pop(key, None)
        self._units.pop(key, None)
        self._sent.pop(key, None)
        self._open[key].tally.is_closed = True
        self._answer(key)

    # --- the verdict -------------------------------------------------------------------------------------------------

    def _begin_verdict(self, message: VerdictFell) -> None:
        key = (message.source, message.statement_id)
        found = self._open.get(key)
        if found is None:
            return
        found.verdict = message
        self._closing.pop(key, None)
        self._units.pop(key, None)
        self._sent.pop(key, None)
        self._work.extend(("apply", key, code) for code in sorted(found.items))
        self._work.append(("end", key, ""))

    def _apply_verdict(self, key: tuple[str, str], code: str) -> None:
        item, found = self._shard.find(code), self._open[key]
        found.items.discard(code)
        if item is None or item.rare is None:
            return
        assert found.verdict is not None
        changed: list[Standing] = []
        rows = self._rows_of(item, key)
        for row in rows:
            item.rare.judged.pop(judged_key(row))
            position.mark(item, "p", judged_key(row), "")
            changed += self._stand(item, row, found.verdict)
        self._write(item, changed)
        self._shard._note(item)

    def _stand(self, item: Item, row: Judged, verdict: VerdictFell) -> list[Standing]:
        """Give what the verdict makes of a row, each a new word under its key."""
        facts = self._rules.get(row.source, DEFAULTS)
        rare = position.rare_of(item)
        found: list[Standing] = []
        identity = row_id(row.source, row.statement_id, item.code, row.place, row.lot)
        # A run that died behind this verdict had written its correction, and that has come: ours is as it was judged.
        is_counted = verdict.is_accepted and self._is_corrected(item, identity)
        for name, theirs in row.theirs.items():
            key = variance_key(row.source, item.code, row.place, row.lot, name)
            known = rare.variances.get(key)
            if name not in row.differing:
                if known is not None and verdict.is_accepted:
                    resolved = variances.by_agreeing(known, verdict.as_of, row.statement_id)
                    if resolved is not None:
                        found.append(self._put(item, key, resolved))
                continue
            now = None if is_counted else self._ours(item, row.place, row.lot, name, row.as_of)
            new = Standing(
                identity,
                row.source,
                row.statement_id,
                row.place,
                row.lot,
                name,
                row.as_of,
                row.ours[name] if now is None else now,
                theirs,
                row.causes.get(name, causes.UNKNOWN),
                row.evidence.get(name, []),
                self._action(item, row, name, facts) if verdict.is_accepted else "",
                variances.OPEN,
                "",
                "",
                verdict.as_of,
                verdict.as_of,
                str(facts.tolerance),
                str(facts.tolerance_percent),
            )
            if not verdict.is_accepted:
                added = variances.by_rejected(known, new)
                if added is None:
                    continue
                new = added
            else:
                new = variances.by_accepted(known, new)
            found.append(self._put(item, key, self._followed(item, new)))
        if verdict.is_accepted:
            found += self._correct_row(item, found, row.theirs, row.ours if is_counted else {})
        return found

    def _is_corrected(self, item: Item, identity: str) -> bool:
        """Was the count that corrects a row applied?"""
        return is_known(self._shard.ids, unit_fingerprint(OWN_SOURCE, identity, "", item.code))

    def _put(self, item: Item, key: str, standing: Standing) -> Standing:
        position.rare_of(item).variances[key] = standing
        position.mark(item, "v", key, "")
        return standing

    def _action(self, item: Item, row: Judged, name: str, facts: ReconciliationFacts) -> str:
        action = action_at(facts, name, row.place, self._shard.policies.topology.locations)
        if action != "report" and not row.lot and self._has_lot_rows(row, item):
            return "report"
        return action

    def _has_lot_rows(self, row: Judged, item: Item) -> bool:
        born = self._open[row.source, row.statement_id].born
        return is_known(self._shard.ids, lots_marker(row.source, row.statement_id, born, item.code, row.place))

    def _correct_row(
        self, item: Item, standing: list[Standing], stated: Mapping[str, int], judged: Mapping[str, int]
    ) -> list[Standing]:
        """Correct what the rules say of one row; what they do not let pass acts as `ask`. Gives what changed.

        `stated`: all that the row says, also what agrees. `judged`: what ours was, by measure,
        where that is not what is known now.
        """
        wanted = [one for one in standing if one.action == "correct" and one.state == variances.OPEN]
        if not wanted:
            return []
        count = self._count_of(item, standing, {one.measure for one in wanted}, judged, stated, by_person=False)
        changed = []
        for one in wanted:
            key = key_of(item, one)
            if count is not None and one.measure in count.measures:
                state = variances.after(one.state, "correct")
                assert state is not None
                changed.append(self._put(item, key, replaced(one, state=state, decided_by="rule")))
            else:
                changed.append(self._put(item, key, replaced(one, action="ask")))
        if count is not None:
            self._say_count(item, wanted[0], count, wanted[0].id, wanted[0].as_of, "")
        return changed

    def _count_of(
        self,
        item: Item,
        row: list[Standing],
        wanted: set[str],
        judged: Mapping[str, int],
        stated: Mapping[str, int],
        *,
        by_person: bool,
    ) -> holds.Count | None:
        first = row[0]
        place, lot, as_of = first.place, first.lot, first.as_of
        on_hand = judged.get("on_hand", self._ours(item, place, lot, "on_hand", as_of))
        quarantined = judged.get("quarantined", self._ours(item, place, lot, "quarantined", as_of))
        if on_hand is None or quarantined is None:
            return None
        window = self._shard._windows.of(OWN_SOURCE)
        horizon = self._shard._journal_horizon
        differing = {one.measure: one.cause for one in row if one.state not in ("resolved", "corrected", "accepted")}
        correctable = holds.Correctable(
            on_hand,
            quarantined,
            stated,
            {name: cause for name, cause in differing.items() if name in causes.PHYSICAL},
            frozenset(wanted),
            bool(lot) and lots.was_held(item, lot, place, as_of),
            not lot and ours.has_lots(item, place, as_of, horizon),
            self._shard.clock() - as_of > window,
        )
        return holds.correction(correctable, by_person)

    def _say_count(
        self, item: Item, one: Standing, count: holds.Count, event_id: str, occurred_at: int, reason: str
    ) -> None:
        event = count_event(item.code, one, count, event_id, occurred_at, reason, measure_of(item).scale)
        self._said.append(Reported(WAREHOUSE, item.code, event))

    # --- what becomes known later ------------------------------------------------------------------------------------

    def look(self, item: Item) -> None:
        """An item changed: its open variances say ours as it is known now."""
        assert item.rare is not None
        changed = []
        for key, standing in item.rare.variances.items():
            if standing.is_live:
                followed = self._followed(item, standing)
                if followed != standing:
                    changed.append((key, followed))
        for key, followed in changed:
            self._put(item, key, followed)
        own = any(OWN_SOURCE in known.words for known in item.rare.withheld.values())
        if changed or own:
            self._write(item, [followed for _, followed in changed])

    def _followed(self, item: Item, standing: Standing) -> Standing:
        """Give a live variance with ours as it is known now: resolved where it agrees, or was counted since."""
        if not standing.is_live or self._awaits_decision(item, standing):
            return standing
        now = self._ours(item, standing.place, standing.lot, standing.measure, standing.as_of)
        if now is not None and now != standing.ours and standing.measure != ATP:
            standing = replaced(standing, ours=now)
        step = None
        if agrees(
            _within(standing.tolerance, standing.tolerance_percent),
            standing.ours,
            standing.theirs,
            measure_of(item).scale,
        ):
            step = "becomes_equal"
        elif standing.measure in causes.PHYSICAL and ours.is_counted_since(
            item, standing.place, standing.lot, standing.measure, standing.as_of, self._shard._journal_horizon
        ):
            step = "is_counted_since"
        if step is None:
            return standing
        state = variances.after(standing.state, step)
        assert state is not None
        return replaced(standing, state=state, decided_by="rule", held_since=0)

    def _awaits_decision(self, item: Item, standing: Standing) -> bool:
        """Has its own correction come, and not yet who decided it? So it is after a crash, until that is read."""
        if not self._is_corrected(item, standing.id):
            return False
        row = [one for one in position.rare_of(item).variances.values() if one.id == standing.id]
        return all(one.state != variances.CORRECTED for one in row)

    def _write(self, item: Item, changed: list[Standing]) -> None:
        """Bring what is withheld up to the variances, and write those that changed."""
        keys = {key_of(item, one) for one in changed}
        rare = position.rare_of(item)
        rows: dict[tuple[str, str], list[tuple[str, Standing]]] = {}
        for key, one in rare.variances.items():
            if one.is_live:
                rows.setdefault((one.id, one.place), []).append((key, one))
        at: dict[str, list[tuple[str, int]]] = {}
        for (_, place), row in rows.items():
            held = holds.held_of_row(
                {one.measure: (one.ours, one.theirs) for _, one in row if one.action in holds.HOLDING}
            )
            at.setdefault(place, []).append((row[0][1].source, held))
            for key, one in row:
                takes = held > 0 and one.action in holds.HOLDING and holds.takes_part(one.measure, one.difference)
                state = variances.after(one.state, "holds" if takes else "holds_nothing")
                if state is not None and state != one.state:
                    self._put(item, key, replaced(one, state=state, decided_by="rule" if takes else ""))
                    keys.add(key)
        for place in at.keys() | rare.withheld.keys():
            self._hold(item, place, holds.withheld_at(at.get(place, ())))
        for key in sorted(keys):
            self._said.append(Reported(VARIANCES, key, variance_json(item.code, rare.variances[key])))

    def _hold(self, item: Item, location: str, wanted: int) -> None:
        """Ask for what is to be withheld at a location, unless that is there or on its way."""
        key = (item.code, location)
        there, word_at = ours.own_hold(item, location)
        asked = self._asked.get(key)
        if asked is not None and asked == there:
            self._asked.pop(key)
            asked = None
        if wanted == (there if asked is None else asked):
            return
        now = max(self._shard.clock(), word_at + 1)
        self._asked[key] = wanted
        self._said.append(
            Reported(WAREHOUSE, item.code, hold_event(item.code, location, wanted, now, measure_of(item).scale))
        )
        if wanted and key not in self._held:
            self._held[key] = (now, 0)
            self._alerts.append((now, *key))
        elif not wanted and key in self._held:
            since, told = self._held.pop(key)
            if told:
                self._complain(item.code, location, since, now, False)

    # --- what people decide ------------------------------------------------------------------------------------------

    def _decide(self, said: Decided) -> None:
        item = self._shard.find(said.item)
        known = item.rare.variances.get(said.key) if item is not None and item.rare is not None else None
        if item is None or known is None:
            return self._refuse_decision(said, "bad_value", f"key: expected a variance, got {said.key}")
        if known.id != said.id:
            text = f"id: expected {known.id}, the variance that stands there now, got {said.id}"
            return self._refuse_decision(said, "conflict", text)
        state = variances.after(known.state, said.decision)
        if state is None:
            text = f"decision: expected one that a variance that is {known.state} can take, got {said.decision}"
            return self._refuse_decision(said, "conflict", text)
        if said.decision in ("correct", "undo"):
            refusal = self._count_by_person(item, known, said)
            if refusal is not None:
                return self._refuse_decision(said, *refusal)
        decided = replaced(known, state=state, decided_by=said.decided_by, reason=said.reason, held_since=0)
        self._put(item, said.key, decided)
        self._write(item, [decided])
        self._shard._note(item)
        return None

    def _refuse_decision(self, said: Decided, code: str, message: str) -> None:
        self._shard._refusals.append(Refusal(said.origin, code, message, None, said.decided_by, said.decision))

    def _count_by_person(self, item: Item, known: Standing, said: Decided) -> tuple[str, str] | None:
        """Write the count that a person decided on; (code, sentence) where it cannot be."""
        if known.measure not in causes.PHYSICAL:
            return (
                "bad_value",
                f"key: expected one of on_hand or quarantined, which can be counted, got {known.measure}",
            )
        window = self._shard._windows.of(OWN_SOURCE)
        if self._shard.clock() - known.as_of > window:
            return "late", (
                "as_of: the count would be late, and refused: count what is there now, and send a stock_counted"
            )
        row = [one for one in position.rare_of(item).variances.values() if one.id == known.id]
        judged = {one.measure: one.ours for one in row} if self._is_corrected(item, known.id) else {}
        if said.decision == "undo":
            return self._undo(item, known, row, said.reason)
        stated = {one.measure: one.theirs for one in row}
        found = self._count_of(item, row, {known.measure}, judged, stated, by_person=True)
        if found is None:
            return "bad_value", (
                "key: what was stated cannot be counted: below 0, quarantined above on hand, a held lot, stock of lots "
                "without their names, or an on_hand that differs too and is to be corrected first"
            )
        done = any(one.state == variances.CORRECTED and one.id == known.id for one in row)
        event_id = f"{known.id}.{known.measure}" if done else known.id
        self._say_count(item, known, found, event_id, known.as_of, said.reason)
        return None

    def _undo(self, item: Item, known: Standing, row: list[Standing], reason: str) -> tuple[str, str] | None:
        """Count what ours was, 1 us later. Of two counts of that moment the greater id stands: the second has it."""
        moment = known.as_of + 1
        is_second = any(one.state == variances.REJECTED for one in row if one.measure != known.measure)
        there = self._ours(item, known.place, known.lot, "on_hand", moment) or 0
        count = holds.Count(
            known.ours if known.measure == "on_hand" else there,
            known.ours if known.measure == "quarantined" else None,
            frozenset({known.measure}),
        )
        if count.quantity < 0 or not 0 <= (count.quarantined or 0) <= count.quantity:
            return "bad_value", (
                "key: expected an ours that can be counted, at least 0 and quarantined at most on_hand, got on_hand "
                f"{count.quantity}, quarantined {count.quarantined or 0}: send a stock_adjusted, or count what is there"
            )
        event_id = f"{known.id}.undo.2" if is_second else f"{known.id}.undo"
        self._say_count(item, known, count, event_id, moment, reason)
        return None

    # --- snapshot and resume -----------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Give what is kept beside the items' records; b"" where there is nothing."""
        if not (self._open or self._asked or self._held or self._packed_rules):
            return b""
        asked = [(*key, quantity) for key, quantity in self._asked.items()]
        held = [(*key, *since) for key, since in self._held.items()]
        return _encode(Saved(list(self._open.values()), asked, held, self._packed_rules))

    def _resume(self, raw: bytes) -> None:
        saved = _saved.decode(raw)
        self._packed_rules = saved.rules
        self._rules = unpack_reconciliation(saved.rules) if saved.rules else {}
        self._asked = {(item, location): quantity for item, location, quantity in saved.asked}
        self._held = {(item, location): (since, told) for item, location, since, told in saved.held}
        self._alerts = deque(sorted((since, *key) for key, (since, told) in self._held.items() if not told))
        for found in saved.open:
            key = (found.tally.source, found.tally.statement_id)
            self._open[key] = found
            # Closing begins anew: what is told of it now would be taken for an answer to what is asked then.
            found.tally.round, found.tally.is_closed = 0, False
            if found.verdict is not None:
                self._begin_verdict(found.verdict)


@lru_cache
def _within(tolerance: str, tolerance_percent: str) -> ReconciliationFacts:
    """Give what agrees, from how it is kept: an item with open variances is held against them at each of its events."""
    return ReconciliationFacts(Fraction(tolerance), Fraction(tolerance_percent))


def replaced(standing: Standing, **fields: Any) -> Standing:
    """Give a copy with other values for some fields."""
    return msgspec.structs.replace(standing, **fields)


def key_of(item: Item, standing: Standing) -> str:
    """Give the key under which a variance of an item stands."""
    return variance_key(standing.source, item.code, standing.place, standing.lot, standing.measure)


def judged_key(row: Judged) -> str:
    """Name a row of an open statement within its item."""
    kind = ATP if ATP in row.theirs else ""
    return SPACE.join((row.source, row.statement_id, row.place, row.lot, kind))


def fingerprint_of(source: str, statement_id: str, born: int, item: str, place: str, lot: str, kind: str) -> int:
    """60 bits of a row's identity, beside those of units."""
    measured = ATP if kind == PROMISE_STATED else ""
    return unit_fingerprint(f"row {source} {born}", statement_id, f"{place} {lot} {measured}", item)


def lots_marker(source: str, statement_id: str, born: int, item: str, place: str) -> int:
    """60 bits that say: the statement has a row with a lot of the item there."""
    return unit_fingerprint(f"lots {source} {born}", statement_id, place, item)


def is_known(ids: RememberedIds, identity: int) -> bool:
    """Is a fingerprint remembered, whatever was said with it?"""
    return ids.recognize(identity, 0) in (DUPLICATE, CONFLICT)


def _is_known_here(item: Item, row: Stated, compared: Iterable[str]) -> bool:
    """Does a verdict that a row agrees change anything of the item?"""
    assert item.rare is not None
    for one in item.rare.judged.values():
        if (one.source, one.place, one.lot) == (row.source, row.place, row.lot):
            return True
    standing = item.rare.variances
    for name in compared:
        known = standing.get(variance_key(row.source, item.code, row.place, row.lot, name))
        if known is not None and known.state != "resolved":
            return True
    # What is withheld though no variance is known, as after a start from scratch, ends with the verdict, too.
    return row.type == STOCK_STATED and ours.own_hold(item, row.place)[0] > 0


def _converted(row: Stated, measure: UnitsOfMeasure) -> dict[str, int]:
    """Give the measures of a row in base UoM x 10^scale; QuantityError where one is not exact."""
    found = {}
    names = (ATP,) if row.type == PROMISE_STATED else MEASURES
    for name, quantity in zip(names, row.figures, strict=False):
        if quantity is None:
            continue
        try:
            found[name] = measure.convert(quantity, row.uom, name)
        except QuantityError as error:
            if error.code != "quantity_not_exact" or not measure.is_safe:
                raise
            exact = measure.exact(quantity, row.uom)
            rounded = floor(exact) if name in ROUNDED_DOWN else ceil(exact)
            found[name] = measure.limited(rounded, quantity, row.uom, name)
    return found
