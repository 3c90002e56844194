"""Judges rows that are due: each once, as of its as_of (contract section 9, In and ours).

Of a row that agrees only its fingerprint stays. One that differs is kept until the verdict, and so is one that agrees
where a variance stands, for the verdict resolves that.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, floor
from sys import intern

from operators import ours
from operators.evaluate import measure_of
from operators.ids import RememberedIds, content_fingerprint, unit_fingerprint
from operators.reconciling.desk import Desk, Open, encode
from operators.reconciling.names import (
    PROMISE_STATED,
    STOCK_STATED,
    is_known,
    lots_name_of,
    named_fingerprint,
    row_name,
)
from operators.rules.admission import CONFLICT, DUPLICATE
from operators.rules.quantities import QuantityError, UnitsOfMeasure
from operators.rules.reconciliation import agrees
from schemas.reconciled import ATP, Judged, Rows
from schemas.state import Item
from schemas.stated import Stated
from schemas.statements import MEASURES
from schemas.units import Refusal
from schemas.variances import variance_key

#: Rounded down where the item's rounding is safe; the other measures are rounded up.
ROUNDED_DOWN = frozenset({"on_hand", "available", "in_transit", "expected", ATP})

GOODS_MEASURES, PROMISE_MEASURES = MEASURES, (ATP,)
# Names that other modules import are objects, and these are plain numbers once compiled.
_DUPLICATE, _CONFLICT = DUPLICATE, CONFLICT


class RowJudge:
    """One a shard."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._shard = desk, desk.shard

    def take(self, message: Rows) -> None:
        """Judge rows that are due, which as a rule are of one statement."""
        desk = self._desk
        ids, now = self._shard.ids, self._shard.clock()
        source, statement_id, known_born = "", "", -1
        found: Open | None = None
        for row, born in zip(message.rows, message.born, strict=True):
            if found is None or row.statement_id != statement_id or row.source != source or born != known_born:
                source, statement_id, known_born = row.source, row.statement_id, born
                key = (source, statement_id)
                found = desk.open_statement(key, born)
                desk.untold.add(key)
                name, lots_name = row_name(source, born), lots_name_of(source, born)
            self._take_row(found, row, name, lots_name, ids, now)

    def _take_row(self, found: Open, row: Stated, name: str, lots_name: str, ids: RememberedIds, now: int) -> None:
        place, lot = row.place, row.lot
        identity = named_fingerprint(name, row.statement_id, row.item, place, lot, row.type)
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
            code, message = row.verdict
            return self._refuse(found, identity, row, code, message)
        content = content_fingerprint(encode((row.as_of, sorted(theirs.items()))))
        known = ids.recognize(identity, content)
        if known == _DUPLICATE:
            found.tally.duplicates += 1
            return None
        if known == _CONFLICT:
            found.tally.conflicts += 1
            message = (
                f"row: expected what was first said of {row.item} at {place} in {row.statement_id}, got other "
                "content: the first stands, and the statement contradicts itself"
            )
            return self._refused(row, "conflict", message)
        until = row.as_of + self._shard._windows.of(row.source)
        self._desk.remember(found, identity, content, until)
        if lot:
            marker = unit_fingerprint(lots_name, row.statement_id, place, row.item)
            if not is_known(ids, marker):
                self._desk.remember(found, marker, 0, until)
        if found.refused:
            found.refused.discard(identity)
        return self._judge(found, item, measure, row, theirs, now)

    def _refuse(self, found: Open, identity: int, row: Stated, code: str, message: str) -> None:
        found.refused.add(identity)
        self._refused(row, code, message)

    def _refused(self, row: Stated, code: str, message: str) -> None:
        self._desk.refuse(Refusal(row.origin, code, message, None, row.source, row.type))
        key = (code, row.type, row.source)
        self._shard.counts[key] = self._shard.counts.get(key, 0) + 1

    def _judge(
        self, found: Open, item: Item, measure: UnitsOfMeasure, row: Stated, theirs: dict[str, int], now: int
    ) -> None:
        desk = self._desk
        place, lot, as_of = row.place, row.lot, row.as_of
        compared: dict[str, int] = {}
        differing: list[str] = []
        for name, quantity in theirs.items():
            known = desk.ours(item, place, lot, name, as_of)
            if known is None:
                continue
            compared[name] = known
            if known != quantity and not agrees(desk.rules_of(row.source), known, quantity, measure.scale):
                differing.append(name)
        tally = found.tally
        if not found.judged_at:
            found.judged_at = now
        if differing:
            tally.in_variance += 1
        elif compared:
            tally.agreed += 1
            if row.type == PROMISE_STATED:
                tally.promised = max(tally.promised, as_of)
        else:
            tally.not_compared += 1
        if differing or (item.rare is not None and _is_known_here(item, row, compared)):
            stated = {name: theirs[name] for name in compared}
            # The statement's own texts, and the location's: those of the row are its own, and there may be a million.
            judged = Judged(
                tally.source,
                tally.statement_id,
                intern(place),
                intern(lot),
                row.as_of,
                row.recorded_at,
                stated,
                compared,
                differing,
                judged_at=now,
            )
            desk.keep(found, item, judged)


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
    found: dict[str, int] = {}
    names = PROMISE_MEASURES if row.type == PROMISE_STATED else GOODS_MEASURES
    number = 0
    for quantity in row.figures:
        name = names[number]
        number += 1
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
