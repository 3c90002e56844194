"""EDIFACT orders: ORDERS says what is wanted, ORDCHG what changed of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from operators.adapters.account import Fact, Refused
from operators.adapters.edifact_parts import (
    Part,
    Reading,
    before,
    dtm,
    each_line,
    header,
    ids_of,
    item_of,
    needed,
    parts_of,
    party,
    quantities,
    reference,
    refuse_all,
    uom_of,
    value,
)
from operators.adapters.values import id_of, line_keys, make_id, not_negative
from schemas.codes import BAD_VALUE, MISSING_FIELD, show

#: BGM03; beside them the order itself, again
CANCELLATION, CHANGE, REPLACE = "1", "4", "5"
_SAME_AS_ORIGINAL: Final = frozenset({"", "7", "9", "31", "43"})
_PURPOSES: Final = _SAME_AS_ORIGINAL | {CANCELLATION, "2", "3", CHANGE, REPLACE}
#: LIN02 of an ORDCHG
_DELETED, _UNCHANGED = "2", frozenset({"4", "5", "7", "27"})
_SET: Final = frozenset({"", "1", "3", "6"})


class _Order(NamedTuple):
    identity: str
    order_id: str
    purpose: str
    head: dict[str, Any]
    place: dict[str, str]

    @property
    def order(self) -> str:
        return str(self.head["occurred_at"]).removesuffix("Z")


def read_orders(reading: Reading) -> None:
    """ORDERS: `order_placed`; function 1 cancels, 5 replaces and cancels what it leaves out."""
    _read(reading, is_change=False)


def read_ordchg(reading: Reading) -> None:
    """ORDCHG: what changed of the order that its RFF+ON names, line by line."""
    _read(reading, is_change=True)


def _read(reading: Reading, is_change: bool) -> None:
    parts = parts_of(reading.whole.segments)
    try:
        order = _head(reading, is_change)
        if not parts and order.purpose != CANCELLATION:
            raise Refused(MISSING_FIELD, "LIN: expected lines, got none")
    except Refused as refusal:
        refuse_all(reading, parts, refusal)
        return
    if not parts:
        step = {"does": "cancel_all", "line_key": "all", "line_id": "", "item": ""}
        _remember(reading, order, [(reading.open(-1, "UNH"), step)])
        return
    keys = _keys(parts)

    def line(place: int, part: Part) -> dict[str, Any] | None:
        action = value(part.head, 2) if is_change else ""
        if action in _UNCHANGED:
            return None
        if action not in _SET | {_DELETED}:
            raise Refused(BAD_VALUE, f"LIN02: expected 1, 2, 3, 4 or 5, got {show(action)}")
        key = keys[place]
        does = "cancel" if action == _DELETED or order.purpose == CANCELLATION else "place"
        step: dict[str, Any] = {"does": does, "line_key": key, "line_id": id_of(key, "LIN01")}
        step["item"] = item_of(reading, ids_of(part))
        if does == "place":
            # QTY+59 is what is in a pack: beside what is ordered it says nothing.
            number, unit = quantities(part.segments).get("21", ("", ""))
            step["quantity"] = not_negative(number, "QTY+21", reading.whole.decimal)
            step |= uom_of(reading, unit) | order.place
        return step

    lines = each_line(reading, parts, line)
    for number, step in lines:
        if step is None:
            reading.account.ignore(number, "no_quantity_change")
    _remember(reading, order, [(number, step) for number, step in lines if step is not None])


def _head(reading: Reading, is_change: bool) -> _Order:
    segment = header(reading)
    front = before(reading.whole.segments)
    number, purpose = value(segment, 2), value(segment, 3)
    if purpose not in _PURPOSES:
        raise Refused(BAD_VALUE, f"BGM03: expected 1, 4, 5, 7 or 9, got {show(purpose)}")
    if not is_change and purpose in _SAME_AS_ORIGINAL:
        purpose = "9"
    order_id = id_of(reference(front, ("ON",)) or number if is_change else number, "BGM02")
    kind = reading.whole.kind
    identity = make_id(kind, order_id, number, purpose) if is_change else make_id(kind, order_id, purpose)
    reading.account.document(identity)
    occurred_at = needed(dtm(reading, front, ("137", "4", "171")), "DTM+137", "the document's date")
    head = {
        "source": reading.source,
        "occurred_at": occurred_at,
        "order_id": order_id,
        "channel": reading.channel(),
    }
    if requested := dtm(reading, front, reading.mapping.requested_dates):
        head["requested_at"] = requested
    place = {}
    theirs = party(front, reading.mapping.places)
    if reading.mapping.order_location and (theirs or not is_change):
        place["location"] = reading.context.place(theirs, "NAD+DP")
    return _Order(identity, order_id, purpose, head, place)


def _keys(parts: Sequence[Part]) -> list[str]:
    return line_keys(
        [value(part.head, 1) for part in parts],
        [ids_of(part) for part in parts],
        [repr(quantities(part.segments).get("21", "")) for part in parts],
    )


def _remember(reading: Reading, order: _Order, lines: list[tuple[int, dict[str, Any]]]) -> None:
    if not lines:
        return
    data: dict[str, Any] = {"head": order.head, "steps": [step for _, step in lines]}
    if order.purpose == REPLACE and reading.whole.kind == "ORDERS":
        data["replaces"] = True
    numbers = tuple(number for number, _ in lines)
    reading.account.remember(Fact("order", order.order_id, order.order, order.identity, data, numbers))
