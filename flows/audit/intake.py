"""Decides, for the audit, what of the input topics counts: reads every message as the contract says, section 1 to 3.

Nothing here comes from the engine: a mistake of the engine must not be a mistake of its judge as well. It judges with
all reference data known and unchanging in scale, conversions and `deducts_at`, which holds for the demo's day.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

# Kinds of values: (c)ode, (i)d, (t)ime, (s)tatus, quantities above 0 (+), of 0 or more (0), other than 0 (~).
# A capital or a doubled sign means required.
_MOVE = {"item": "C", "location": "C", "lot": "c", "status": "s"}
_HANDLE = {"order_id": "I", "line_id": "I", "item": "C", "location": "C", "lot": "c", "quantity": "++"}
TYPES: dict[str, tuple[str, dict[str, str]]] = {
    "stock_received": ("warehouse", {**_MOVE, "quantity": "++", "receipt_id": "i", "transfer_id": "i"}),
    "stock_adjusted": ("warehouse", {**_MOVE, "quantity": "~~"}),
    "stock_counted": ("warehouse", {"item": "C", "location": "C", "lot": "c", "quantity": "00", "quarantined": "0"}),
    "stock_status_changed": (
        "warehouse",
        {"item": "C", "location": "C", "lot": "c", "quantity": "++", "from_status": "S", "to_status": "S"},
    ),
    "lot_held": ("warehouse", {"item": "C", "lot": "C", "location": "c"}),
    "lot_released": ("warehouse", {"item": "C", "lot": "C", "location": "c"}),
    "transfer_shipped": (
        "warehouse",
        {**_MOVE, "transfer_id": "I", "to_location": "C", "quantity": "++", "eta": "t"},
    ),
    "transfer_closed": ("warehouse", {"item": "C", "transfer_id": "I", "location": "C"}),
    "pick_confirmed": ("warehouse", _HANDLE),
    "shipment_confirmed": ("warehouse", _HANDLE),
    "return_received": ("warehouse", {**_MOVE, "quantity": "++", "order_id": "i"}),
    "receipt_expected": (
        "supply",
        {"receipt_id": "I", "item": "C", "location": "C", "quantity": "00", "eta": "T"},
    ),
    "receipt_cancelled": ("supply", {"receipt_id": "I", "item": "C", "location": "C"}),
}
_LINE = {"line_id": "I", "item": "C", "location": "c"}
LINES: dict[str, dict[str, str]] = {
    "order_placed": {**_LINE, "quantity": "00", "expires_at": "t", "requested_at": "t"},
    "order_allocated": {**_LINE, "location": "C", "quantity": "++"},
    "order_released": {**_LINE, "location": "C", "quantity": "++"},
    "order_cancelled": _LINE,
}
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}").fullmatch
_ID = re.compile(r"[!-~]{1,128}").fullmatch
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LIMIT = 2**53


class Refused(Exception):
    """A message or a line that may not count; the code is the contract's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Record:
    """A message as Kafka holds it; `topic` is warehouse, orders or supply."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Unit:
    """One fact about one item; quantities in base UoM x 10^scale, times in UTC microseconds."""

    type: str
    item: str
    source: str
    event_id: str
    line_id: str
    at: int
    quantity: int
    facts: dict[str, Any]

    @property
    def rank(self) -> tuple[int, str, str]:
        """The greatest is the newest."""
        return (self.at, self.event_id, self.source)

    def get(self, name: str) -> Any:
        """One of its other fields, None if absent."""
        return self.facts.get(name)


@dataclass(slots=True)
class Book:
    """Reference data in force, by code; channel_items by "channel:item"."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    locations: dict[str, dict[str, Any]] = field(default_factory=dict)
    channels: dict[str, dict[str, Any]] = field(default_factory=dict)
    channel_items: dict[str, dict[str, Any]] = field(default_factory=dict)

    def take(self, kind: str, key: str, value: bytes | None) -> None:
        """The newest record of a key stands; a tombstone deletes."""
        table: dict[str, dict[str, Any]] = getattr(self, kind)
        if value is None:
            table.pop(key, None)
        else:
            table[key] = {k: v for k, v in json.loads(value, parse_float=Decimal).items() if v is not None}


@dataclass(slots=True)
class Verdicts:
    """What became of all records."""

    units: dict[str, list[Unit]] = field(default_factory=dict)
    #: (topic, partition, offset, line_id or "") -> code
    refusals: dict[tuple[str, int, int, str], str] = field(default_factory=dict)
    duplicates: int = 0


def judge(
    records: Iterable[Record],
    book: Book,
    may_send: Mapping[str, frozenset[str]],
    dedup_window: int,
    max_clock_skew: int,
    max_bytes: int,
) -> Verdicts:
    """Read all records in the order in which they were logged."""
    verdicts = Verdicts()
    known: dict[tuple[str, str, str, str], tuple[object, ...]] = {}
    for record, recorded_at in _by_time(records):
        place = (record.topic, record.partition, record.offset)
        try:
            if len(record.value) > max_bytes:
                raise Refused("too_large")
            event = _read(record)
            parts = list(_parts(event, book))
            sender = may_send.get(event["source"])
            at = event["occurred_at"]
            whole = ""
            if sender is not None and event["type"] not in sender:
                whole = "not_allowed"
            elif recorded_at - at > dedup_window:
                whole = "late"
            elif at - recorded_at > max_clock_skew:
                whole = "in_the_future"
        except Refused as refusal:
            verdicts.refusals[*place, ""] = refusal.code
            continue
        for line_id, part in parts:
            if isinstance(part, Refused):
                verdicts.refusals[*place, line_id] = part.code
            elif whole:
                verdicts.refusals[*place, ""] = whole
            else:
                _admit(part, (*place, line_id), known, verdicts)
    return verdicts


def _admit(
    unit: Unit, place: tuple[str, int, int, str], known: dict[Any, tuple[object, ...]], verdicts: Verdicts
) -> None:
    identity = (unit.source, unit.event_id, unit.line_id, unit.item)
    kept = {k: v for k, v in unit.facts.items() if not (k == "order_id" and unit.type == "return_received")}
    content = (unit.type, unit.at, unit.quantity, tuple(sorted(kept.items())))
    first = known.setdefault(identity, content)
    if first is content:
        verdicts.units.setdefault(unit.item, []).append(unit)
    elif first == content:
        verdicts.duplicates += 1
    else:
        line_id = place[3]
        verdicts.refusals[place[0], place[1], place[2], line_id] = "conflict"


def _by_time(records: Iterable[Record]) -> Iterator[tuple[Record, int]]:
    """In order of logging, each with its recorded_at: the largest timestamp so far in its partition."""
    clocks: dict[tuple[str, int], int] = {}
    timed = []
    for record in sorted(records, key=lambda r: (r.topic, r.partition, r.offset)):
        where = (record.topic, record.partition)
        clocks[where] = max(clocks.get(where, 0), record.timestamp_ms * 1000)
        timed.append((clocks[where], record))
    timed.sort(key=lambda pair: (pair[0], pair[1].topic, pair[1].partition, pair[1].offset))
    return ((record, clock) for clock, record in timed)


def _read(record: Record) -> dict[str, Any]:
    """The event with its common fields checked; the rest as sent, nulls dropped."""
    try:
        event = json.loads(record.value.decode("utf-8"), parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused("not_json") from None
    if not isinstance(event, dict):
        raise Refused("not_an_object")
    event = {name: value for name, value in event.items() if value is not None}
    version = event.get("schema_version", 1)
    if not isinstance(version, int) or version < 1:
        raise Refused("bad_value")
    if version > 1:
        raise Refused("unsupported_version")
    if "type" not in event:
        raise Refused("missing_field")
    kind = event["type"]
    topic = "orders" if kind in LINES else TYPES.get(kind, ("",))[0] if isinstance(kind, str) else ""
    if topic != record.topic:
        raise Refused("unknown_type")
    heads = {"event_id": "I", "source": "C", "occurred_at": "T", "correlation_id": "i", "uom": "c"}
    if topic == "orders":
        heads |= {"order_id": "I", "channel": "C" if kind == "order_placed" else "c"}
        heads |= {"expires_at": "t", "requested_at": "t"} if kind == "order_placed" else {}
    return event | _fields(event, heads)


def _no_constant(_: str) -> None:
    raise ValueError("NaN and Infinity are no JSON")


def _parts(event: dict[str, Any], book: Book) -> Iterator[tuple[str, Unit | Refused]]:
    """Each line of an order, or the event itself: a unit, or why it is none."""
    kind = event["type"]
    if kind not in LINES:
        yield "", _unit(event, event, TYPES[kind][1], book)
        return
    if "channel" in event and event["channel"] not in book.channels:
        raise Refused("unknown_channel")
    lines = event.get("lines")
    if lines is None:
        raise Refused("missing_field")
    if not isinstance(lines, list) or not 1 <= len(lines) <= 1000:
        raise Refused("bad_value")
    for line in lines:
        if not isinstance(line, dict):
            yield "", Refused("bad_value")
            continue
        line = {name: value for name, value in line.items() if value is not None}
        try:
            yield line.get("line_id", ""), _unit(event, line, LINES[kind], book)
        except Refused as refusal:
            yield line.get("line_id", ""), refusal


def _unit(event: dict[str, Any], part: dict[str, Any], fields: dict[str, str], book: Book) -> Unit:
    facts = _fields(part, fields)
    for name in ("location", "to_location"):
        if name in facts and facts[name] not in book.locations:
            raise Refused("unknown_location")
    if facts.get("to_location", "") == facts.get("location") or ("receipt_id" in facts and "transfer_id" in facts):
        raise Refused("bad_value")
    if "from_status" in facts and facts["from_status"] == facts["to_status"]:
        raise Refused("bad_value")
    if "status" in fields:
        facts.setdefault("status", "available")
    if facts["item"] not in book.items:
        raise Refused("unknown_item")
    item = book.items[facts.pop("item")]
    uom = part.get("uom", event.get("uom"))
    for name in ("quantity", "quarantined"):
        if name in facts:
            facts[name] = _scaled(facts[name], uom, item)
    if "quarantined" in facts and facts["quarantined"] > facts["quantity"]:
        raise Refused("bad_value")
    for name in ("channel", "order_id", "expires_at", "requested_at"):
        if name in event and event["type"] in LINES:
            facts.setdefault(name, event[name])
    line_id = facts.pop("line_id", "")
    quantity = facts.pop("quantity", 0)
    return Unit(
        event["type"], part["item"], event["source"], event["event_id"], line_id, event["occurred_at"], quantity, facts
    )


def _fields(given: dict[str, Any], kinds: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, kind in kinds.items():
        is_required = kind.isupper() or len(kind) == 2
        if name in given:
            found[name] = _value(given[name], kind[0].lower())
        elif is_required:
            raise Refused("missing_field")
    return found


def _value(value: Any, kind: str) -> Any:
    if kind in "ci":
        if isinstance(value, str) and (_CODE if kind == "c" else _ID)(value):
            return value
    elif kind == "s":
        if value in ("available", "quarantined"):
            return value
    elif kind == "t":
        return _time(value)
    else:
        quantity = _number(value)
        if (kind == "+" and quantity > 0) or (kind == "0" and quantity >= 0) or (kind == "~" and quantity):
            return quantity
    raise Refused("bad_value")


def _time(value: Any) -> int:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Refused("bad_value") from None
    if moment.tzinfo is None:
        raise Refused("bad_value")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _number(value: Any) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        raise Refused("bad_value")
    try:
        return Fraction(Decimal(value))
    except (ArithmeticError, ValueError, OverflowError):
        raise Refused("bad_value") from None


def _scaled(quantity: Fraction, uom: str | None, item: dict[str, Any]) -> int:
    if uom is not None and uom != item.get("base_uom", "each"):
        if uom not in item.get("conversions", {}):
            raise Refused("unknown_uom")
        quantity *= Fraction(item["conversions"][uom])
    quantity *= 10 ** int(item.get("scale", 0))
    if quantity.denominator != 1 or abs(quantity) >= _LIMIT:
        raise Refused("quantity_not_exact" if quantity.denominator != 1 else "bad_value")
    return int(quantity)
