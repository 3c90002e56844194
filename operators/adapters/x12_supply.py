"""X12 856, a shipment notice: from a supplier what is expected, between sites of ours a transfer that has left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from operators.adapters.account import Refused
from operators.adapters.values import id_of, make_id, plain, positive, sub_id, utc_text
from operators.adapters.x12_parts import (
    Part,
    Reading,
    before,
    date_time,
    dtm,
    each_line,
    element,
    item_of,
    lot_of,
    pairs_of,
    parts_of,
    party,
    refuse_all,
    required,
    uom_of,
)
from operators.adapters.x12_syntax import Segment
from operators.adapters.x12_warehouse import from_to
from schemas.codes import BAD_VALUE, MISSING_FIELD, show

#: DTM01: when it arrives (estimated, scheduled, requested); when it left
_ARRIVES, _LEFT = ("017", "371", "067", "063", "002"), ("011", "370")
_CANCELLATION = "01"
_SAME_AS_ORIGINAL = ("", "00", "06", "07", "14", "18")
_PURPOSES = (*_SAME_AS_ORIGINAL, "01", "04", "05")


class _Head(NamedTuple):
    identity: str
    shipment: str
    purpose: str
    occurred_at: str
    eta: str
    front: Sequence[Segment]


class _Item(NamedTuple):
    """A line, and what decides which others it is one receipt with."""

    item: str
    location: str
    #: of a transfer
    to_location: str
    order: str
    uom: dict[str, str]
    lot: str
    quantity: int | str


def read_856(reading: Reading) -> None:
    """Ship notice: `receipt_expected`, a part of the order it names; between sites of ours `transfer_shipped`."""
    levels = parts_of(reading.whole.segments, "HL")
    parts = [part for part in levels if any(segment[0] == "SN1" for segment in part.segments)]
    try:
        head = _head(reading, levels)
        is_transfer = reading.mapping.shipments == "transfers"
        if not is_transfer and head.purpose != _CANCELLATION and not head.eta:
            raise Refused(
                MISSING_FIELD,
                "DTM*017: expected when it arrives, got nothing: a mapping's transit_days counts from leaving",
            )
        above = _above(levels)
        ways = _ways(reading, head, levels, above, is_transfer)
        if not parts:
            raise Refused(MISSING_FIELD, "SN1: expected lines, got none")
    except Refused as refusal:
        if parts:
            refuse_all(reading, parts, "HL", refusal)
        else:
            reading.account.refuse(reading.open(0, "BSN"), refusal.code, str(refusal))
        return

    orders = {level.at: next((element(one, 1) for one in level.segments if one[0] == "PRF"), "") for level in levels}

    def line(_: int, part: Part) -> _Item:
        ids = next((segment for segment in part.segments if segment[0] == "LIN"), [])
        counted = next(segment for segment in part.segments if segment[0] == "SN1")
        pairs = pairs_of(ids, 2)
        way = ways[part.at]
        if isinstance(way, Refused):
            raise way
        order = next((orders[level.at] for level in above[part.at] if orders[level.at]), "")
        return _Item(
            item_of(reading, pairs, "LIN03"),
            *way,
            order,
            uom_of(reading, element(counted, 3), "SN103"),
            lot_of(reading, pairs, part.segments) if is_transfer else "",
            positive(element(counted, 2), "SN102"),
        )

    (_say_transfers if is_transfer else _say_receipts)(reading, head, each_line(reading, parts, "HL", line))


def _head(reading: Reading, levels: Sequence[Part]) -> _Head:
    segment = reading.header("BSN", "HL")
    purpose = element(segment, 1)
    if purpose not in _PURPOSES:
        raise Refused(BAD_VALUE, f"BSN01: expected 00, 01, 04, 05, 06, 07, 14 or 18, got {show(purpose)}")
    shipment = id_of(required(segment, 2, "a shipment's number"), "BSN02")
    purpose = "00" if purpose in _SAME_AS_ORIGINAL else purpose
    identity = make_id("856", shipment, purpose)
    reading.account.document(identity)
    date = required(segment, 3, "the document's date")
    occurred_at = date_time(reading, date, element(segment, 4), "BSN03")
    front = [*before(reading.whole.segments, "HL"), *(levels[0].segments if levels else ())]
    eta = dtm(reading, front, _ARRIVES)
    if not eta and reading.mapping.transit_days is not None:
        left = dtm(reading, front, _LEFT) or occurred_at
        eta = utc_text(datetime.fromisoformat(left) + timedelta(days=reading.mapping.transit_days))
    return _Head(identity, shipment, purpose, occurred_at, eta, front)


def _above(levels: Sequence[Part]) -> dict[int, list[Part]]:
    """By HL: it, the HL that it belongs to, and so on up; a circle or an unknown parent ends it."""
    by_number = {element(level.head, 1): level for level in levels}
    above: dict[int, list[Part]] = {}
    for level in levels:
        chain = [level]
        parent = by_number.get(element(level.head, 2))
        # shipment, order, tare, pack, item: five levels are all there are; more would be a circle
        while parent is not None and len(chain) < 8:
            chain.append(parent)
            parent = by_number.get(element(parent.head, 2)) if element(parent.head, 2) else None
        above[level.at] = chain
    return above


def _ways(
    reading: Reading, head: _Head, levels: Sequence[Part], above: Mapping[int, Sequence[Part]], is_transfer: bool
) -> dict[int, tuple[str, str] | Refused]:
    """By HL: (where it arrives, "") of a receipt, (from, to) of a transfer; the nearest level that names a party tells.

    Each level is looked through once, however many lines stand beneath it.
    """
    ship_to = reading.mapping.ship_to
    own = {level.at: party(level.segments, ship_to) for level in levels}
    segments = {level.at: level.segments for level in levels}
    told: dict[int, tuple[str, str] | Refused] = {}
    common = party(head.front, ship_to)
    # Of each party the first alone: a head may be long, and it is looked at for many levels.
    qualifiers = {*ship_to, *reading.mapping.ship_from}
    parties = [one for one in head.front if one[0] == "N1" and element(one, 1) in qualifiers]
    front = list({element(one, 1): one for one in reversed(parties)}.values())
    for level in levels:
        near = next((one.at for one in above[level.at] if own[one.at]), -1)
        if near not in told:
            try:
                if is_transfer:
                    told[near] = from_to(reading, [*segments.get(near, ()), *front])
                else:
                    told[near] = reading.context.place(own.get(near) or common, "N1*ST"), ""
            except Refused as refusal:
                told[near] = refusal
        told[level.at] = told[near]
    return told


def _say_receipts(reading: Reading, head: _Head, lines: list[tuple[int, _Item]]) -> None:
    """A receipt is (shipment, item, location): lines of it add up. What comes for two orders is two receipts."""
    together: dict[tuple[str, str, str], list[tuple[int, _Item]]] = defaultdict(list)
    for number, line in lines:
        together[line.item, line.location, line.order].append((number, line))
    orders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for item, location, order in together:
        orders[item, location].add(order)
    for (item, location, order), rows in together.items():
        several = len(orders[item, location]) > 1
        receipt = id_of(f"{head.shipment}/{order}", "BSN02") if several and order else head.shipment
        uom = rows[0][1].uom
        alike = [(number, line) for number, line in rows if line.uom == uom]
        for number, line in rows:
            if line.uom != uom:
                told = f"SN103: expected {uom.get('uom')} as in another line of the item, got {line.uom.get('uom')}"
                reading.account.refuse(number, BAD_VALUE, told)
        body: dict[str, Any] = {
            "source": reading.source,
            "occurred_at": head.occurred_at,
            "event_id": sub_id(head.identity, item, location, order),
            "receipt_id": receipt,
            "item": item,
            "location": location,
        }
        if head.purpose == _CANCELLATION:
            body["type"] = "receipt_cancelled"
        else:
            body |= {"type": "receipt_expected", **uom, "eta": head.eta}
            body["quantity"] = plain(sum((Decimal(line.quantity) for _, line in alike), Decimal(0)))
            if order and id_of(order, "PRF01") != receipt:
                body["part_of"] = id_of(order, "PRF01")
        reading.account.say(body, *(number for number, _ in alike))


def _say_transfers(reading: Reading, head: _Head, lines: list[tuple[int, _Item]]) -> None:
    """Lines of one item, lot and way add up; a cancellation takes back what was said to have left."""
    together: dict[tuple[str, ...], list[tuple[int, _Item]]] = defaultdict(list)
    for number, line in lines:
        key = (line.item, line.lot, line.uom.get("uom", ""), line.location, line.to_location)
        together[key].append((number, line))
    for (item, lot, uom, location, to_location), rows in together.items():
        body: dict[str, Any] = {
            "source": reading.source,
            "occurred_at": head.occurred_at,
            "event_id": sub_id(head.identity, item, lot, uom, location, to_location),
            "type": "transfer_shipped",
            "transfer_id": head.shipment,
            "item": item,
            "location": location,
            "to_location": to_location,
            "quantity": plain(sum((Decimal(line.quantity) for _, line in rows), Decimal(0))),
        }
        if uom:
            body["uom"] = uom
        if lot:
            body["lot"] = lot
        if head.eta:
            body["eta"] = head.eta
        if head.purpose == _CANCELLATION:
            body["reversal"] = True
        reading.account.say(body, *(number for number, _ in rows))
