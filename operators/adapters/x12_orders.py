"""X12 purchase orders: 850 says what is wanted, 860 and 865 what changed of it, 855 what a seller says to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from operators.adapters.account import Fact, Refused
from operators.adapters.values import id_of, line_keys, make_id, not_negative
from operators.adapters.x12_parts import (
    Part,
    Reading,
    before,
    date_time,
    dtm,
    each_line,
    element,
    group_moment,
    item_of,
    pairs_of,
    parts_of,
    party,
    refuse_all,
    required,
)
from operators.adapters.x12_syntax import Segment
from schemas.codes import BAD_VALUE, MISSING_FIELD, show

#: BEG01 and BCH01; beside them the order itself, again
CANCELLATION, CHANGE, REPLACE = "01", "04", "05"
_SAME_AS_ORIGINAL: Final = frozenset({"", "00", "06", "07", "15", "18"})
_PURPOSES: Final = _SAME_AS_ORIGINAL | {CANCELLATION, CHANGE, REPLACE}
#: POC02: the quantity that the line has from now on; a difference (and its sign); none
_NEW_QUANTITY: Final = frozenset({"", "AI", "CA", "PQ", "RA", "RE", "RQ", "RZ"})
_DIFFERENCE: Final = {"QI": 1, "QD": -1}
_NOTHING: Final = frozenset({"CB", "CC", "CE", "CT", "NC", "OC", "PC", "PR", "RM", "RS"})
#: ACK01 of an 855: what becomes of the line, where it is more than accepted
_BACK_ORDERED: Final = frozenset({"IB", "BP", "IS"})
_REJECTED: Final = frozenset({"IR", "R1", "R2", "R3", "R4", "R5", "R6", "ID"})


class _Order(NamedTuple):
    """What the head of an order's document says."""

    identity: str
    order_id: str
    purpose: str
    head: dict[str, Any]
    #: where its lines are to be served, if the mapping says so
    place: dict[str, str]

    @property
    def order(self) -> str:
        """Its place among the documents of the order."""
        return str(self.head["occurred_at"]).removesuffix("Z")


def read_850(reading: Reading) -> None:
    """Purchase order: `order_placed`; purpose 01 cancels, 05 replaces and cancels what it leaves out."""
    parts = parts_of(reading.whole.segments, "PO1")
    if not parts:
        _without_lines(reading, "BEG")
        return
    try:
        order = _head(reading, "BEG", "PO1")
    except Refused as refusal:
        refuse_all(reading, parts, "PO1", refusal)
        return
    does = "cancel" if order.purpose == CANCELLATION else "place"
    pairs = [pairs_of(part.head, 6) for part in parts]
    keys = _keys(parts, pairs, 2)

    def line(place: int, part: Part) -> dict[str, Any]:
        return _step(reading, part.head, "PO1", does, keys[place], pairs[place], order.place)

    _remember(reading, order, each_line(reading, parts, "PO1", line))


def read_change(reading: Reading) -> None:
    """860, a buyer's change; 865, a seller's: what changed, line by line. A bare acknowledgment changes nothing."""
    tag = "BCH" if reading.whole.code == "860" else "BCA"
    parts = parts_of(reading.whole.segments, "POC")
    if not parts:
        _without_lines(reading, tag)
        return
    try:
        reason = _acknowledged(reading.header(tag, "POC"))
        order = _head(reading, tag, "POC")
    except Refused as refusal:
        refuse_all(reading, parts, "POC", refusal)
        return
    lines = []
    # A price that changes beside a quantity is a second POC of the line: it must not take the line's number from it.
    told = [part for part in parts if not _is_nothing(order, part)]
    products = [pairs_of(part.head, 8) for part in told]
    known = dict(zip((part.at for part in told), zip(_keys(told, products, 3), products, strict=True), strict=True))
    for part in parts:
        number, change = reading.open(part.at, "POC"), element(part.head, 2)
        if reason is not None:
            reading.account.ignore(number, reason)
        elif part.at not in known:
            reading.account.ignore(number, "price_change" if change in ("PC", "PR") else "no_quantity_change")
        else:
            try:
                lines.append((number, _changed(reading, part.head, change, order, *known[part.at])))
            except Refused as refusal:
                reading.account.refuse(number, refusal.code, str(refusal))
    _remember(reading, order, lines)


def _is_nothing(order: _Order, part: Part) -> bool:
    """Does this POC leave the line's quantity as it is?"""
    return order.purpose != CANCELLATION and element(part.head, 2) in _NOTHING


def read_855(reading: Reading) -> None:
    """Acknowledgment: what a seller says of each line; no quantity moves, so each is ignored under what it says."""
    parts = parts_of(reading.whole.segments, "PO1")
    bak = next((segment for segment in reading.whole.segments if segment[0] == "BAK"), [])
    reading.account.document(make_id("855", element(bak, 3), element(bak, 8), element(bak, 1)))
    if not parts:
        reading.account.ignore(reading.open(0, "BAK"), "acknowledged")
    for part in parts:
        codes = {element(segment, 1) for segment in part.segments if segment[0] == "ACK"}
        reason = "back_ordered" if codes & _BACK_ORDERED else "rejected" if codes & _REJECTED else "acknowledged"
        reading.account.ignore(reading.open(part.at, "PO1"), reason)


def _acknowledged(segment: Segment) -> str | None:
    """Why an 865 changes nothing: it answers an 860 that was told already."""
    if segment[0] != "BCA" or element(segment, 2) in ("", "AC", "AE", "RA"):
        return None
    return "rejected" if element(segment, 2) in ("RD", "RJ") else "acknowledged"


def _head(reading: Reading, tag: str, line_tag: str) -> _Order:
    segment = reading.header(tag, line_tag)
    number, release, purpose = required(segment, 3, "an order's number"), element(segment, 4), element(segment, 1)
    date_at, version = 5, ""
    if tag != "BEG":
        date_at = 11 if element(segment, 11) else 6
        version = element(segment, 5)
        version = version.zfill(6) if version.isdecimal() else version
    if purpose not in _PURPOSES:
        raise Refused(BAD_VALUE, f"{tag}01: expected one of {', '.join(sorted(_PURPOSES - {''}))}, got {show(purpose)}")
    if tag == "BEG" and purpose in _SAME_AS_ORIGINAL:
        purpose = "00"
    order_id = id_of(f"{number}-{release}" if release else number, f"{tag}03")
    # Changes of one day are told apart by their ids: the version stands where it sorts.
    identity = make_id(reading.whole.code, order_id, *([version] if version else []), purpose)
    reading.account.document(identity)
    date = element(segment, date_at)
    occurred_at = date_time(reading, date, "", f"{tag}{date_at:02d}") if date else group_moment(reading)
    if not occurred_at:
        raise Refused(MISSING_FIELD, f"{tag}{date_at:02d}: expected the document's date, got nothing")
    head = {
        "source": reading.source,
        "occurred_at": occurred_at,
        "order_id": order_id,
        "channel": reading.channel(),
    }
    front = before(reading.whole.segments, line_tag)
    if requested := dtm(reading, front, reading.mapping.requested_dates):
        head["requested_at"] = requested
    place = {}
    theirs = party(front, reading.mapping.ship_to)
    if reading.mapping.order_location and (theirs or tag == "BEG"):
        place["location"] = reading.context.place(theirs, "N1*ST")
    return _Order(identity, order_id, purpose, head, place)


def _keys(parts: Sequence[Part], products: Sequence[tuple[str, ...]], quantity_at: int) -> list[str]:
    """What each line is known by: PO101, else the product and how many lines of it stand before."""
    return line_keys(
        [element(part.head, 1) for part in parts],
        products,
        [element(part.head, quantity_at) for part in parts],
    )


def _step(
    reading: Reading, segment: Segment, tag: str, does: str, key: str, pairs: tuple[str, ...], place: Mapping[str, str]
) -> dict[str, Any]:
    pairs_at, quantity_at, uom_at = (6, 2, 3) if tag == "PO1" else (8, 3, 5)
    step: dict[str, Any] = {"does": does, "line_key": key, "line_id": id_of(key, f"{tag}01")}
    step["item"] = item_of(reading, pairs, f"{tag}{pairs_at + 1:02d}")
    if does != "cancel":
        step["quantity"] = not_negative(element(segment, quantity_at), f"{tag}{quantity_at:02d}")
        if unit := element(segment, uom_at):
            step["uom"] = reading.context.ours("uom", unit.split(reading.whole.component)[0], f"{tag}{uom_at:02d}")
        step.update(place)
    return step


def _changed(
    reading: Reading, segment: Segment, change: str, order: _Order, key: str, pairs: tuple[str, ...]
) -> dict[str, Any]:
    if change == "DI" or order.purpose == CANCELLATION:
        return _step(reading, segment, "POC", "cancel", key, pairs, {})
    if change in _NEW_QUANTITY:
        return _step(reading, segment, "POC", "place", key, pairs, order.place)
    if change in _DIFFERENCE:
        step = _step(reading, segment, "POC", "change", key, pairs, order.place)
        quantity = step.pop("quantity")
        step["by"] = quantity if _DIFFERENCE[change] > 0 else f"-{quantity}"
        return step
    raise Refused(BAD_VALUE, f"POC02: expected a change such as AI, CA, DI, QD or QI, got {show(change)}")


def _remember(reading: Reading, order: _Order, lines: list[tuple[int, dict[str, Any]]]) -> None:
    if not lines:
        return
    data: dict[str, Any] = {"head": order.head, "steps": [step for _, step in lines]}
    if order.purpose == REPLACE:
        data["replaces"] = True
    numbers = tuple(number for number, _ in lines)
    reading.account.remember(Fact("order", order.order_id, order.order, order.identity, data, numbers))


def _without_lines(reading: Reading, tag: str) -> None:
    """A cancellation without lines is of the whole order; anything else without lines says nothing that can be used."""
    number = reading.open(0, tag)
    try:
        if (reason := _acknowledged(reading.header(tag))) is not None:
            reading.account.ignore(number, reason)
            return
        order = _head(reading, tag, "")
        if order.purpose != CANCELLATION:
            raise Refused(MISSING_FIELD, f"{tag}: expected lines behind it, got none")
    except Refused as refusal:
        reading.account.refuse(number, refusal.code, str(refusal))
        return
    _remember(reading, order, [(number, {"does": "cancel_all", "line_key": "all", "line_id": "", "item": ""})])
