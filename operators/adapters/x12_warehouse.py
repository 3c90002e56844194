"""X12 with a warehouse: 940 ship this, 945 shipped, 943 on its way to you, 944 received, 947 changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from operators.adapters.account import Fact, Refused
from operators.adapters.values import id_of, line_keys, make_id, not_negative, number_of, plain, positive, sub_id
from operators.adapters.x12_parts import (
    Part,
    Reading,
    before,
    date_time,
    each_line,
    element,
    g62,
    group_moment,
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
from schemas.codes import BAD_VALUE, MISSING_FIELD, show

#: W0501: what it asks for; others are refused
_ORIGINAL, _CANCEL, _CHANGE, _INFORMATION = "original", "cancel", "change", "information"
_ORDER_STATUS: Final = {
    "N": _ORIGINAL, "T": _ORIGINAL, "B": _ORIGINAL, "S": _ORIGINAL, "F": _CANCEL, "D": _CANCEL,
    "R": _CHANGE, "L": _CHANGE, "A": _INFORMATION, "C": _INFORMATION, "E": _INFORMATION, "G": _INFORMATION,
    "X": _INFORMATION,
}  # fmt: skip
#: G6201 of a 940: when it was issued or made; else the group's date; else when it is to be shipped
_ISSUED: Final = ("85", "09", "04", "07")
_TO_BE_SHIPPED: Final = ("10", "37", "38", "02")
_SHIPPED: Final = ("11", "86")
_ARRIVES: Final = ("17", "02")
#: N901 and REF01 of an order's number, and of the number of a line of it
_ORDER_NUMBERS: Final = ("CO", "OQ", "PO", "SO", "ON")
_LINE_NUMBERS: Final = ("LI", "KK")


def read_940(reading: Reading) -> None:
    """Warehouse shipping order: `order_allocated` at the warehouse; a cancelled one is released."""
    parts = parts_of(reading.whole.segments, "W01")
    try:
        head = reading.header("W05", "W01")
        asked = _ORDER_STATUS.get(element(head, 1))
        if asked is None:
            raise Refused(BAD_VALUE, f"W0501: expected one of {', '.join(_ORDER_STATUS)}, got {show(element(head, 1))}")
        order_id = id_of(required(head, 2, "the depositor's order number"), "W0502")
        purpose = "N" if asked == _ORIGINAL else element(head, 1)
        identity = make_id("940", order_id, purpose)
        reading.account.document(identity)
        if asked == _INFORMATION:
            _ignore(reading, parts, "W01", "W05", "for_information")
            return
        front = before(reading.whole.segments, "W01")
        occurred_at = g62(reading, front, _ISSUED) or group_moment(reading) or g62(reading, front, _TO_BE_SHIPPED)
        if not occurred_at:
            raise Refused(MISSING_FIELD, "G62: expected the document's date, or a group's, got nothing")
        location = reading.context.place(party(front, reading.mapping.warehouse), "N1*WH")
        if not parts and asked != _CANCEL:
            raise Refused(MISSING_FIELD, "W01: expected lines, got none")
    except Refused as refusal:
        _refuse(reading, parts, "W01", "W05", refusal)
        return
    does = {_ORIGINAL: "allocate", _CANCEL: "release", _CHANGE: "reallocate"}[asked]
    keys = _keys(parts, lambda part: pairs_of(part.head, 4, 2), 1)

    def line(place: int, part: Part) -> dict[str, Any]:
        item = item_of(reading, pairs_of(part.head, 4, 2), "W0105", element(part.head, 3))
        step: dict[str, Any] = {
            "does": does,
            "line_key": keys[place],
            "line_id": id_of(keys[place], "LX01"),
            "item": item,
        }
        quantity = positive if does != "reallocate" else not_negative
        step["quantity"] = quantity(element(part.head, 1), "W0101")
        return {**step, **uom_of(reading, element(part.head, 2), "W0102"), "location": location}

    if parts:
        lines = each_line(reading, parts, "W01", line)
    else:
        step = {"does": "release_all", "line_key": "all", "line_id": "", "item": ""}
        lines = [(reading.open(0, "W05"), step)]
    _remember(reading, order_id, identity, occurred_at, lines)


def read_945(reading: Reading) -> None:
    """Warehouse shipping advice: `shipment_confirmed`, and `order_released` of what was short.

    It names items and lots, and seldom the order's line: its REF*LI says it, else the 940 that was read before, else
    LX.
    """
    parts = parts_of(reading.whole.segments, "W12")
    try:
        head = reading.header("W06", "W12")
        front = before(reading.whole.segments, "W12")
        theirs = element(head, 2) or element(head, 6) or _reference(front, _ORDER_NUMBERS)
        if not theirs:
            raise Refused(MISSING_FIELD, "W0602: expected an order's number there, in W0606 or in N9, got nothing")
        order_id = id_of(theirs, "W0602")
        shipment = element(head, 4) or element(head, 5) or element(head, 3)
        identity = make_id("945", order_id, shipment)
        reading.account.document(identity)
        occurred_at = g62(reading, front, _SHIPPED) or _date(reading, head, 3) or group_moment(reading)
        if not occurred_at:
            raise Refused(MISSING_FIELD, "W0603: expected the date of the shipment, got nothing")
        location = reading.context.place(party(front, reading.mapping.warehouse), "N1*WH")
        if not parts:
            raise Refused(MISSING_FIELD, "W12: expected lines, got none")
    except Refused as refusal:
        _refuse(reading, parts, "W12", "W06", refusal)
        return
    keys = _keys(parts, lambda part: (*pairs_of(part.head, 7, 1), element(part.head, 9)), 3)
    short = _short(parts)

    def line(place: int, part: Part) -> dict[str, Any]:
        segment = part.head
        pairs = pairs_of(segment, 7, 1)
        item = item_of(reading, pairs, "W1208", element(segment, 6))
        step: dict[str, Any] = {"does": "ship", "line_key": keys[place], "item": item}
        own = _reference(part.segments, _LINE_NUMBERS)
        if own:
            step["line_id"] = id_of(own, "REF*LI")
        step["otherwise"] = id_of(part.number or keys[place], "LX01")
        step["quantity"] = not_negative(element(segment, 3), "W1203")
        if isinstance(short[place], Refused):
            raise short[place]
        step["short"] = short[place]
        if lot := lot_of(reading, pairs, part.segments, element(segment, 9)):
            step["lot"] = lot
        return {**step, **uom_of(reading, element(segment, 5), "W1205"), "location": location}

    _remember(reading, order_id, identity, occurred_at, each_line(reading, parts, "W12", line))


def _short(parts: Sequence[Part]) -> list[Any]:
    """By line, what was ordered and not shipped: W1204, else W1202 less all that was shipped of it, at its last line.

    Several lots of one order line stand behind one LX, each with all that was ordered.
    """
    short: list[Any] = [0] * len(parts)
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for place, part in enumerate(parts):
        groups[part.number or place, pairs_of(part.head, 7, 1), element(part.head, 6)].append(place)
    for group in groups.values():
        try:
            given = [element(parts[place].head, 4) for place in group]
            if any(given):
                for place, text in zip(group, given, strict=True):
                    short[place] = not_negative(text, "W1204") if text else 0
                continue
            ordered = [
                Decimal(not_negative(text, "W1202")) for place in group if (text := element(parts[place].head, 2))
            ]
            shipped = sum(Decimal(not_negative(element(parts[place].head, 3), "W1203")) for place in group)
            missing = max(ordered, default=Decimal(0)) - shipped
            short[group[-1]] = plain(missing) if missing > 0 else 0
        except Refused as refusal:
            for place in group:
                short[place] = refusal
    return short


def read_943(reading: Reading) -> None:
    """Stock transfer shipment advice: `transfer_shipped`, from where it was sent to the warehouse."""
    parts = parts_of(reading.whole.segments, "W04")
    try:
        head = reading.header("W06", "W04")
        front = before(reading.whole.segments, "W04")
        transfer_id = id_of(element(head, 2) or element(head, 4) or element(head, 6), "W0602")
        identity = make_id("943", transfer_id, element(head, 4))
        reading.account.document(identity)
        occurred_at = g62(reading, front, _SHIPPED) or _date(reading, head, 3) or group_moment(reading)
        if not occurred_at:
            raise Refused(MISSING_FIELD, "W0603: expected the date of the shipment, got nothing")
        location, to_location = from_to(reading, front)
        eta = g62(reading, front, _ARRIVES)
        if not parts:
            raise Refused(MISSING_FIELD, "W04: expected lines, got none")
    except Refused as refusal:
        _refuse(reading, parts, "W04", "W06", refusal)
        return
    keys = _keys(parts, lambda part: (*pairs_of(part.head, 4, 2), _lots(reading, part.segments)), 1)

    def line(place: int, part: Part) -> dict[str, Any]:
        pairs = pairs_of(part.head, 4, 2)
        body = {
            "source": reading.source,
            "occurred_at": occurred_at,
            "event_id": sub_id(identity, keys[place]),
            "type": "transfer_shipped",
            "transfer_id": transfer_id,
            "item": item_of(reading, pairs, "W0405", element(part.head, 3)),
            "location": location,
            "to_location": to_location,
            "quantity": positive(element(part.head, 1), "W0401"),
            **uom_of(reading, element(part.head, 2), "W0402"),
        }
        if lot := lot_of(reading, pairs, part.segments):
            body["lot"] = lot
        if eta:
            body["eta"] = eta
        return body

    for number, body in each_line(reading, parts, "W04", line):
        reading.account.say(body, number)


def read_944(reading: Reading) -> None:
    """Stock transfer receipt advice: `stock_received`; what came in a bad condition is quarantined."""
    parts = parts_of(reading.whole.segments, "W07")
    try:
        head = reading.header("W17", "W07")
        front = before(reading.whole.segments, "W07")
        receipt = required(head, 3, "the warehouse's receipt number")
        identity = make_id("944", receipt)
        reading.account.document(identity)
        occurred_at = _date(reading, head, 2) or group_moment(reading)
        if not occurred_at:
            raise Refused(MISSING_FIELD, "W1702: expected the date of the receipt, got nothing")
        location = reading.context.place(party(front, reading.mapping.warehouse), "N1*WH")
        of = "transfer_id" if reading.mapping.received_as == "transfers" else "receipt_id"
        numbers = (element(head, 4), element(head, 5)) if of == "transfer_id" else (element(head, 5), element(head, 4))
        reference = {of: id_of(next((one for one in numbers if one), receipt), "W1704")}
        if not parts:
            raise Refused(MISSING_FIELD, "W07: expected lines, got none")
    except Refused as refusal:
        _refuse(reading, parts, "W07", "W17", refusal)
        return
    keys = _keys(parts, lambda part: (*pairs_of(part.head, 4, 2), _lots(reading, part.segments)), 1)
    base = {"source": reading.source, "occurred_at": occurred_at, "type": "stock_received", "location": location}

    def line(place: int, part: Part) -> list[dict[str, Any]]:
        segment = part.head
        pairs = pairs_of(segment, 4, 2)
        body = {**base, **reference, "item": item_of(reading, pairs, "W0705", element(segment, 3))}
        body.update(uom_of(reading, element(segment, 2), "W0702"))
        if lot := lot_of(reading, pairs, part.segments, element(segment, 8)):
            body["lot"] = lot
        received, quarantined = _received(reading, part)
        told = []
        if received - quarantined > 0:
            told.append({**body, "event_id": sub_id(identity, keys[place]), "quantity": plain(received - quarantined)})
        if quarantined:
            event_id = sub_id(identity, keys[place], "quarantined")
            told.append({**body, "event_id": event_id, "quantity": plain(quarantined), "status": "quarantined"})
        return told

    for number, bodies in each_line(reading, parts, "W07", line):
        for body in bodies:
            reading.account.say(body, number)
        if not bodies:
            reading.account.ignore(number, "no_quantity")


def _received(reading: Reading, part: Part) -> tuple[Decimal, Decimal]:
    """What came of a line, and how much of that is not to be sold: W13 parts W07's quantity by its condition."""
    received, quarantined = Decimal(not_negative(element(part.head, 1), "W0701")), Decimal(0)
    for segment in part.segments:
        if segment[0] != "W13":
            continue
        condition = reading.mapping.conditions.get(element(segment, 3))
        if condition is None:
            known = ", ".join(reading.mapping.conditions)
            raise Refused(BAD_VALUE, f"W1303: expected one of {known}, got {show(element(segment, 3))}")
        if condition == "quarantined":
            quarantined += Decimal(not_negative(element(segment, 1), "W1301"))
    if quarantined > received:
        raise Refused(BAD_VALUE, f"W1301: expected at most the {received} that were received, got {quarantined}")
    return received, quarantined


def read_947(reading: Reading) -> None:
    """Inventory adjustment advice: `stock_adjusted`, or `stock_status_changed` for a hold and its end."""
    parts = parts_of(reading.whole.segments, "W19")
    try:
        head = reading.header("W15", "W19")
        front = before(reading.whole.segments, "W19")
        own = element(head, 2) or element(head, 3)
        if not own:
            raise Refused(MISSING_FIELD, "W1502: expected the adjustment's number, got nothing")
        identity = make_id("947", own)
        reading.account.document(identity)
        occurred_at = _date(reading, head, 1) or group_moment(reading)
        if not occurred_at:
            raise Refused(MISSING_FIELD, "W1501: expected the adjustment's date, got nothing")
        location = reading.context.place(party(front, reading.mapping.warehouse), "N1*WH")
        if not parts:
            raise Refused(MISSING_FIELD, "W19: expected lines, got none")
    except Refused as refusal:
        _refuse(reading, parts, "W19", "W15", refusal)
        return
    keys = _keys(parts, lambda part: (element(part.head, 1), *pairs_of(part.head, 5, 2), element(part.head, 9)), 2)

    def line(place: int, part: Part) -> dict[str, Any] | None:
        segment, reason = part.head, element(part.head, 1)
        pairs = pairs_of(segment, 5, 2)
        change = number_of(element(segment, 2), "W1902")
        body = {
            "source": reading.source,
            "occurred_at": occurred_at,
            "event_id": sub_id(identity, keys[place]),
            "item": item_of(reading, pairs, "W1906", element(segment, 4)),
            "location": location,
            **({"reason": reason} if reason else {}),
            **uom_of(reading, element(segment, 3), "W1903"),
        }
        if lot := lot_of(reading, pairs, part.segments, element(segment, 9)):
            body["lot"] = lot
        if change == 0:
            return None
        statuses = ("available", "quarantined")
        if reason in reading.mapping.holds or reason in reading.mapping.releases:
            size = str(change).lstrip("-")
            quantity: int | str = int(size) if isinstance(change, int) else size
            old, new = statuses if reason in reading.mapping.holds else statuses[::-1]
            return {**body, "type": "stock_status_changed", "quantity": quantity, "from_status": old, "to_status": new}
        status = {"status": "quarantined"} if reason in reading.mapping.quarantined_reasons else {}
        return {**body, "type": "stock_adjusted", "quantity": change, **status}

    for number, told in each_line(reading, parts, "W19", line):
        if told is None:
            reading.account.ignore(number, "no_quantity")
        else:
            reading.account.say(told, number)


def from_to(reading: Reading, front: Sequence[Segment]) -> tuple[str, str]:
    """Where goods come from and where they go, each named by the set or by the source's settings."""
    context, mapping = reading.context, reading.mapping
    to = party(front, [one for one in mapping.ship_to if one not in mapping.ship_from] or mapping.ship_to)
    to = to or party(front, mapping.ship_to)
    location = context.place(party(front, mapping.ship_from), "N1*SF")
    if to:
        to_location = context.ours("location", to, "N1*ST")
    elif context.to_location is not None:
        to_location = context.to_location
    else:
        raise Refused(
            MISSING_FIELD,
            f"N1*ST: expected where it goes, got nothing: the set names no place, and "
            f"sources.{reading.source}.to_location is not set",
        )
    if to_location == location:
        raise Refused(BAD_VALUE, f"N1*ST: expected another location than {location}, got the same")
    return location, to_location


def _date(reading: Reading, segment: Segment, number: int) -> str:
    text = element(segment, number)
    return date_time(reading, text, "", f"{segment[0]}{number:02d}") if text else ""


def _reference(segments: Sequence[Segment], qualifiers: Sequence[str]) -> str:
    for segment in segments:
        if segment[0] in ("N9", "REF") and element(segment, 1) in qualifiers and element(segment, 2):
            return element(segment, 2)
    return ""


def _lots(reading: Reading, segments: Sequence[Segment]) -> str:
    """What its REF and N9 say of the lot, as it stands there."""
    return _reference(segments, reading.mapping.lot_qualifiers)


def _keys(parts: Sequence[Part], content: Any, quantity_at: int) -> list[str]:
    return line_keys(
        [part.number for part in parts],
        [content(part) for part in parts],
        [element(part.head, quantity_at) for part in parts],
    )


def _refuse(reading: Reading, parts: Sequence[Part], tag: str, head_tag: str, refusal: Refused) -> None:
    """The head cannot be used, and so no line; a set without lines is one."""
    if parts:
        refuse_all(reading, parts, tag, refusal)
    else:
        reading.account.refuse(reading.open(0, head_tag), refusal.code, str(refusal))


def _ignore(reading: Reading, parts: Sequence[Part], tag: str, head_tag: str, reason: str) -> None:
    for part in parts:
        reading.account.ignore(reading.open(part.at, tag), reason)
    if not parts:
        reading.account.ignore(reading.open(0, head_tag), reason)


def _remember(
    reading: Reading, order_id: str, identity: str, occurred_at: str, lines: list[tuple[int, dict[str, Any]]]
) -> None:
    if lines:
        head = {"source": reading.source, "occurred_at": occurred_at, "order_id": order_id}
        data = {"head": head, "steps": [step for _, step in lines]}
        numbers = tuple(number for number, _ in lines)
        reading.account.remember(Fact("order", order_id, occurred_at.removesuffix("Z"), identity, data, numbers))
