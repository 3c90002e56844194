"""Decides for the naive model what a statement's message says, or why it cannot be used (contract, section 9).

Rule 1: a statement counts for nothing. What is read here is kept beside the units and never among them.
Rule 2: quantities are ints in base UoM times 10^scale, times ints in UTC microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Any

from flows.audit.intake import MAX_BYTES, Refusal
from flows.audit.model import Model
from flows.audit.reading import LIMIT, Fields, Refused, TooFine, flag, integer, number, read_object, take

STATEMENTS = "inventory.statements"
RECONCILER = "reconciliation"
"""The source in whose name the engine itself withholds and corrects."""

COUNTED = ("on_hand", "quarantined")
"""What is known as of any moment; every other measure only while nothing later is known."""
MEASURES = (*COUNTED, "hard_reserved", "soft_allocated", "in_transit", "expected", "withheld", "available")
PROMISE = "atp"
MAY_BE_NEGATIVE = ("on_hand", "available")
ROUNDED_DOWN = ("on_hand", "available", "in_transit", "expected", PROMISE)
"""Where an item is rounded safely; the other measures are rounded up."""
KINDS = ("statement_started", "stock_stated", "promise_stated", "statement_ended")

RowKey = tuple[str, str, str | None]
"""(item, location or channel, lot); one statement says each of them once."""


@dataclass(frozen=True)
class Stated:
    """One message of a statement as it was understood. `measures`: quantities after conversion, by name."""

    kind: str
    source: str
    statement_id: str
    as_of: int
    item: str = ""
    place: str = ""
    lot: str | None = None
    measures: dict[str, int] = field(default_factory=dict)
    locations: tuple[str, ...] | None = None
    items: str = "stated"
    rows: int | None = None

    @property
    def key(self) -> RowKey:
        """Give which row of its statement it is."""
        return self.item, self.place, self.lot


@dataclass(frozen=True)
class Misstated:
    """A message that was refused, and what can be read of whose it was."""

    refusal: Refusal
    kind: str | None
    source: str | None
    statement_id: str | None
    #: what makes it one row, as it was written; None where not even that can be read
    row: tuple[str, ...] | None


def understand(value: bytes, recorded_at: int, model: Model) -> Stated | Misstated:
    """Judge a message by the reference data in force; `recorded_at`: the clock of its partition."""
    record: Fields = {}
    try:
        if len(value) > MAX_BYTES:
            raise Refused("too_large")
        record = read_object(value)
        stated = _understood(record, model)
        check_rights(model, stated)
        model._check_time(stated.source, stated.as_of, recorded_at)
    except Refused as refused:
        return _misstated(refused.code, record)
    return stated


def _understood(record: Fields, model: Model) -> Stated:
    if integer(record, "schema_version", 1, 1) > 1:
        raise Refused("unsupported_version")
    kind = record.get("type")
    if kind is None:
        raise Refused("missing_field")
    if kind not in KINDS:
        raise Refused("unknown_type")
    take(record, "event_id", required=True)
    source = take(record, "source", required=True)
    as_of = take(record, "occurred_at", required=True)
    statement_id = take(record, "statement_id", required=True)
    take(record, "correlation_id")
    uom = take(record, "uom")
    if flag(record, "reversal", False):  # what was stated is not taken back: the next statement says it anew
        raise Refused("bad_value")
    if kind == "statement_started":
        return Stated(kind, source, statement_id, as_of, **_scope(record, model), rows=_rows(record))
    if kind == "statement_ended":
        if "rows" not in record:
            raise Refused("missing_field")
        return Stated(kind, source, statement_id, as_of, rows=_rows(record))
    item, lot = take(record, "item", required=True), take(record, "lot")
    names: tuple[str, ...] = MEASURES
    if kind == "promise_stated":
        names, lot, place = (PROMISE,), None, take(record, "channel", required=True)
    else:
        place = take(record, "location", required=True)
    if not any(name in record for name in names):
        raise Refused("missing_field")
    if item not in model.items:
        raise Refused("unknown_item")
    if kind == "promise_stated" and place not in model.channels:
        raise Refused("unknown_channel")
    if kind == "stock_stated" and place not in model.locations:
        raise Refused("unknown_location")
    measures = {name: _measured(name, record[name], uom, model.items[item]) for name in names if name in record}
    return Stated(kind, source, statement_id, as_of, item, place, lot, measures)


def _rows(record: Fields) -> int | None:
    if "rows" not in record:
        return None
    rows = number(record["rows"])
    if rows.denominator != 1 or not 0 <= rows < LIMIT:
        raise Refused("bad_value")
    return int(rows)


def _scope(record: Fields, model: Model) -> dict[str, Any]:
    items = record.get("items", "stated")
    if items not in ("stated", "all"):
        raise Refused("bad_value")
    if "locations" not in record:
        return {"items": items, "locations": None}
    named = record["locations"]
    if not isinstance(named, list) or not named or not all(isinstance(name, str) for name in named):
        raise Refused("bad_value")
    for name in named:
        if take({"location": name}, "location", required=True) not in model.locations:
            raise Refused("unknown_location")
    return {"items": items, "locations": tuple(sorted(set(named)))}


def _measured(name: str, said: object, uom: str | None, item: Fields) -> int:
    """A measure in base UoM times 10^scale. Its sign is judged before it is rounded."""
    base, scale = item["measure"]
    worth = item["conversions"].get(uom or base)
    if worth is None:
        raise Refused("unknown_uom")
    try:
        exact = number(said) * worth * 10**scale
    except TooFine as fine:
        if item["rounding"] != "safe":
            raise
        exact = Fraction(-1 if fine.is_negative else 1, LIMIT)
    if abs(exact) >= LIMIT or (exact < 0 and name not in MAY_BE_NEGATIVE):
        raise Refused("bad_value")
    if exact.denominator != 1 and item["rounding"] != "safe":
        raise Refused("quantity_not_exact")
    rounded: int = floor(exact) if name in ROUNDED_DOWN else ceil(exact)
    if abs(rounded) >= LIMIT:
        raise Refused("bad_value")
    return rounded


def check_rights(model: Model, stated: Stated) -> None:
    """What binds a source's events binds its statements: types, and locations where stock is stated or a scope named.

    Who may not speak of every location cannot state all items of all of them.
    """
    bounds = model.sources.get(stated.source, {})
    if bounds.get("may_send") is not None and stated.kind not in bounds["may_send"]:
        raise Refused("not_allowed")
    own = bounds.get("locations")
    if own is None:
        return
    if stated.kind == "stock_stated" and stated.place not in own:
        raise Refused("not_allowed")
    if stated.kind == "statement_started":
        of_all = stated.locations is None and stated.items == "all"
        if of_all or any(location not in own for location in stated.locations or ()):
            raise Refused("not_allowed")


def _misstated(code: str, record: Fields) -> Misstated:
    def text(name: str) -> str | None:
        value = record.get(name)
        return value if isinstance(value, str) else None

    kind = text("type")
    place = text("channel" if kind == "promise_stated" else "location")
    item, lot = text("item"), text("lot")
    row = (item, place, lot or "") if item is not None and place is not None else None
    return Misstated((code, None), kind, text("source"), text("statement_id"), row)
