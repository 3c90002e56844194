"""EDIFACT about goods: DESADV on their way, RECADV received, INVRPT there (a statement, never a count)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from operators.adapters.account import Refused, Row
from operators.adapters.edifact_parts import (
    Part,
    Reading,
    before,
    dtm,
    each_line,
    header,
    ids_of,
    item_of,
    lot_of,
    needed,
    parts_of,
    party,
    quantities,
    reference,
    refuse_all,
    uom_of,
    value,
)
from operators.adapters.edifact_syntax import Segment
from operators.adapters.statement import say_statement
from operators.adapters.values import (
    id_of,
    line_keys,
    make_id,
    not_negative,
    number_of,
    plain,
    positive,
    sub_id,
    utc_text,
)
from schemas.codes import BAD_VALUE, MISSING_FIELD, show

#: DTM: when it arrives (estimated, scheduled, requested); when it left
_ARRIVES, _LEFT = ("17", "132", "358", "69", "2"), ("11", "186")
_CANCELLATION: Final = "1"
_SAME_AS_ORIGINAL: Final = ("", "7", "9", "31", "43")
_PURPOSES: Final = (*_SAME_AS_ORIGINAL, "1", "4", "5")


class _Head(NamedTuple):
    identity: str
    number: str
    purpose: str
    occurred_at: str
    front: Sequence[Segment]


class _Shipped(NamedTuple):
    """A line of a despatch, and what decides which others it is one receipt with."""

    item: str
    lot: str
    order: str
    uom: dict[str, str]
    quantity: int | str


def _head(reading: Reading, dates: Sequence[str]) -> _Head:
    segment = header(reading)
    front = before(reading.whole.segments)
    purpose = value(segment, 3)
    if purpose not in _PURPOSES:
        raise Refused(BAD_VALUE, f"BGM03: expected 1, 4, 5, 7 or 9, got {show(purpose)}")
    purpose = "9" if purpose in _SAME_AS_ORIGINAL else purpose
    number = value(segment, 2)
    identity = make_id(reading.whole.kind, number, purpose)
    reading.account.document(identity)
    occurred_at = needed(dtm(reading, front, dates), f"DTM+{dates[0]}", "the document's date")
    return _Head(identity, number, purpose, occurred_at, front)


def read_desadv(reading: Reading) -> None:
    """Despatch advice: `receipt_expected`, a part of the order it names; between sites of ours `transfer_shipped`."""
    parts = parts_of(reading.whole.segments)
    is_transfer = reading.mapping.shipments == "transfers"
    try:
        head = _head(reading, ("137", "11"))
        eta = dtm(reading, head.front, _ARRIVES)
        if not eta and reading.mapping.transit_days is not None:
            left = dtm(reading, head.front, _LEFT) or head.occurred_at
            eta = utc_text(datetime.fromisoformat(left) + timedelta(days=reading.mapping.transit_days))
        if not eta and not is_transfer and head.purpose != _CANCELLATION:
            told = "DTM+17: expected when it arrives, got nothing: a mapping's transit_days counts from leaving"
            raise Refused(MISSING_FIELD, told)
        base = {"source": reading.source, "occurred_at": head.occurred_at}
        base |= _way(reading, head) if is_transfer else {"location": _place(reading, head.front)}
        if (eta and head.purpose != _CANCELLATION) or (eta and is_transfer):
            base["eta"] = eta
        if not parts:
            raise Refused(MISSING_FIELD, "LIN: expected lines, got none")
    except Refused as refusal:
        refuse_all(reading, parts, refusal)
        return
    order = reference(head.front, ("ON",))

    def line(_: int, part: Part) -> _Shipped:
        number, unit = quantities(part.segments).get("12", ("", ""))
        return _Shipped(
            item_of(reading, ids_of(part)),
            lot_of(reading, part.segments) if is_transfer else "",
            reference(part.segments, ("ON",)) or order,
            uom_of(reading, unit),
            positive(number, "QTY+12", reading.whole.decimal),
        )

    lines = each_line(reading, parts, line)
    (_say_transfers if is_transfer else _say_receipts)(reading, head, base, lines)


def _place(reading: Reading, segments: Sequence[Segment]) -> str:
    return reading.context.place(party(segments, reading.mapping.places), "NAD+ST")


def _way(reading: Reading, head: _Head) -> dict[str, str]:
    to = party(head.front, reading.mapping.places)
    to_location = reading.context.ours("location", to, "NAD+ST") if to else reading.context.to_location
    if to_location is None:
        told = f"NAD+ST: expected where it goes, got nothing, and sources.{reading.source}.to_location is not set"
        raise Refused(MISSING_FIELD, told)
    location = reading.context.place(party(head.front, reading.mapping.from_places), "NAD+SF")
    if location == to_location:
        raise Refused(BAD_VALUE, f"NAD+ST: expected another location than {location}, got the same")
    return {"location": location, "to_location": to_location}


def _say_receipts(reading: Reading, head: _Head, base: dict[str, str], lines: list[tuple[int, _Shipped]]) -> None:
    """A receipt is (despatch, item, location): lines of it add up. What comes for two orders is two receipts."""
    together: dict[tuple[str, str], list[tuple[int, _Shipped]]] = defaultdict(list)
    orders: dict[str, set[str]] = defaultdict(set)
    for number, line in lines:
        together[line.item, line.order].append((number, line))
        orders[line.item].add(line.order)
    for (item, order), rows in together.items():
        uom = rows[0][1].uom
        alike = [(number, line) for number, line in rows if line.uom == uom]
        for number, line in rows:
            if line.uom != uom:
                told = f"QTY+12: expected {uom.get('uom')} as in another line of the item, got {line.uom.get('uom')}"
                reading.account.refuse(number, BAD_VALUE, told)
        receipt = id_of(f"{head.number}/{order}" if len(orders[item]) > 1 and order else head.number, "BGM02")
        body: dict[str, Any] = {
            **base,
            "event_id": sub_id(head.identity, item, order),
            "receipt_id": receipt,
            "item": item,
        }
        if head.purpose == _CANCELLATION:
            body["type"] = "receipt_cancelled"
        else:
            body |= {"type": "receipt_expected", **uom}
            body["quantity"] = plain(sum((Decimal(line.quantity) for _, line in alike), Decimal(0)))
            if order and id_of(order, "RFF+ON") != receipt:
                body["part_of"] = id_of(order, "RFF+ON")
        reading.account.say(body, *(number for number, _ in alike))


def _say_transfers(reading: Reading, head: _Head, base: dict[str, str], lines: list[tuple[int, _Shipped]]) -> None:
    """Lines of one item and lot add up; a cancellation takes back what was said to have left."""
    together: dict[tuple[str, str, str], list[tuple[int, _Shipped]]] = defaultdict(list)
    for number, line in lines:
        together[line.item, line.lot, line.uom.get("uom", "")].append((number, line))
    for (item, lot, uom), rows in together.items():
        body: dict[str, Any] = {
            **base,
            "event_id": sub_id(head.identity, item, lot, uom),
            "type": "transfer_shipped",
            "transfer_id": id_of(head.number, "BGM02"),
            "item": item,
            "quantity": plain(sum((Decimal(line.quantity) for _, line in rows), Decimal(0))),
            **({"uom": uom} if uom else {}),
            **({"lot": lot} if lot else {}),
            **({"reversal": True} if head.purpose == _CANCELLATION else {}),
        }
        reading.account.say(body, *(number for number, _ in rows))


def read_recadv(reading: Reading) -> None:
    """Receiving advice: `stock_received`; what is damaged or was not accepted is quarantined."""
    parts = parts_of(reading.whole.segments)
    try:
        head = _head(reading, ("50", "137"))
        if head.purpose not in ("9", _CANCELLATION):
            raise Refused(BAD_VALUE, f"BGM03: expected 9, or 1 to take it back, got {show(head.purpose)}")
        location = _place(reading, head.front)
        if not parts:
            raise Refused(MISSING_FIELD, "LIN: expected lines, got none")
    except Refused as refusal:
        refuse_all(reading, parts, refusal)
        return
    of = "transfer_id" if reading.mapping.received_as == "transfers" else "receipt_id"
    common = reference(head.front, reading.mapping.receipt_references) or head.number
    keys = line_keys(
        [value(part.head, 1) for part in parts],
        [(ids_of(part), reference(part.segments, reading.mapping.lot_qualifiers)) for part in parts],
        [repr(quantities(part.segments)) for part in parts],
    )
    base = {"source": reading.source, "occurred_at": head.occurred_at, "type": "stock_received", "location": location}

    def line(place: int, part: Part) -> list[dict[str, Any]]:
        found = reference(part.segments, reading.mapping.receipt_references) or common
        body: dict[str, Any] = {**base, of: id_of(found, "RFF"), "item": item_of(reading, ids_of(part))}
        available, quarantined, unit = _received(reading, part)
        body |= uom_of(reading, unit)
        if lot := lot_of(reading, part.segments):
            body["lot"] = lot
        if head.purpose == _CANCELLATION:
            body["reversal"] = True
        told = []
        if available:
            told.append({**body, "event_id": sub_id(head.identity, keys[place]), "quantity": plain(available)})
        if quarantined:
            event_id = sub_id(head.identity, keys[place], "quarantined")
            told.append({**body, "event_id": event_id, "quantity": plain(quarantined), "status": "quarantined"})
        return told

    for number, bodies in each_line(reading, parts, line):
        for body in bodies:
            reading.account.say(body, number)
        if not bodies:
            reading.account.ignore(number, "no_quantity")


def _received(reading: Reading, part: Part) -> tuple[Decimal, Decimal, str]:
    """(to be sold, not to be sold, unit): QTY+194 was accepted; else what is not to be sold is a part of QTY+48."""
    found = quantities(part.segments)
    mark = reading.whole.decimal
    bad = sum(
        (
            Decimal(not_negative(found[one][0], f"QTY+{one}", mark))
            for one in reading.mapping.quarantined_quantities
            if one in found
        ),
        Decimal(0),
    )
    unit = next((found[one][1] for one in ("194", "48", *found) if one in found and found[one][1]), "")
    if "194" in found:
        return Decimal(not_negative(found["194"][0], "QTY+194", mark)), bad, unit
    if "48" not in found:
        if bad:
            return Decimal(0), bad, unit
        raise Refused(MISSING_FIELD, "QTY+48: expected the quantity received there or in QTY+194, got nothing")
    received = Decimal(not_negative(found["48"][0], "QTY+48", mark))
    if bad > received:
        raise Refused(BAD_VALUE, f"QTY: expected at most the {received} that were received, got {bad} not to be sold")
    return received - bad, bad, unit


def read_invrpt(reading: Reading) -> None:
    """Inventory report: a row of a statement for each line that measures something that is mapped."""
    parts = parts_of(reading.whole.segments)
    try:
        head = _head(reading, ("366", "94", "137"))
        if not parts:
            raise Refused(MISSING_FIELD, "LIN: expected lines, got none")
    except Refused as refusal:
        refuse_all(reading, parts, refusal)
        return
    common = party(head.front, reading.mapping.places)
    read = each_line(reading, parts, lambda _, part: _stated(reading, part, common))
    rows = []
    for number, stated in read:
        if stated is None:
            reading.account.ignore(number, "no_measure")
        else:
            rows.append(Row(number, *stated))
    is_all = reading.mapping.inventory_is_all and len(read) == len(parts)
    places = sorted({row.key["location"] for row in rows}) if is_all else None
    say_statement(
        reading.account, reading.source, head.identity, head.occurred_at, rows, locations=places, is_all=is_all
    )


def _stated(reading: Reading, part: Part, common: str) -> tuple[dict[str, str], dict[str, int | str]] | None:
    measures: dict[str, Decimal] = {}
    units: set[str] = set()
    for segment in part.segments:
        measure = reading.mapping.measures.get(value(segment, 1, 1)) if segment[0][0] == "QTY" else None
        if measure is None:
            continue
        amount = Decimal(number_of(value(segment, 1, 2), "QTY", reading.whole.decimal))
        if amount < 0 and measure not in ("on_hand", "available"):
            raise Refused(BAD_VALUE, f"QTY: expected {measure} of 0 or more, got {amount}")
        measures[measure] = measures.get(measure, Decimal(0)) + amount
        units.add(value(segment, 1, 3))
    if not measures:
        return None
    if len(units) > 1:
        raise Refused(BAD_VALUE, f"QTY: expected one unit a line, got {' and '.join(sorted(units))}")
    near = party(part.segments, reading.mapping.places) or common
    key = {"item": item_of(reading, ids_of(part)), "location": reading.context.place(near, "NAD+WH")}
    key |= uom_of(reading, units.pop())
    if lot := lot_of(reading, part.segments):
        key["lot"] = lot
    return key, {name: plain(amount) for name, amount in measures.items()}
