"""The fast shapes: what a plainly good message looks like, read in one pass of compiled code.

These accept less than schemas.events on purpose, and never more: no nulls, no fractions, no numbers as text. Whoever
reads with them treats a failure as "look closer", never as a verdict. An absent text is empty; one that was sent
empty fails, because the models would refuse it.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from schemas.codes import ID_LENGTH_MAX, LINES_MAX, NESTING_MAX, QUANTITY_LIMIT, SCHEMA_VERSION, parse_time
from schemas.events import STATUSES
from schemas.units import EventType, Unit

Short = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Long = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_LENGTH_MAX)]
Whole = Annotated[int, msgspec.Meta(gt=-QUANTITY_LIMIT, lt=QUANTITY_LIMIT)]
#: A sign that no quantity was sent, outside the range of Whole: one comparison tells, where None would cost a union.
ABSENT: Final = QUANTITY_LIMIT
#: What is shorter and yet has all that every event needs (over 80 bytes) has no room for NESTING_MAX pairs of brackets.
#: Counting them would take a tenth of the time of a message of the usual 150 to 250 bytes.
SHALLOW_BYTES: Final = 2 * NESTING_MAX + 80


class SingleEvent(msgspec.Struct, gc=False):
    """A warehouse or supply event."""

    event_id: Long
    type: str
    source: Short
    occurred_at: str
    item: Short
    location: Short = ""
    quantity: Whole = ABSENT
    uom: Short = ""
    lot: Short = ""
    status: Short = ""
    order_id: Long = ""
    line_id: Long = ""
    transfer_id: Long = ""
    receipt_id: Long = ""
    to_location: Short = ""
    eta: Short = ""
    quarantined: Whole = ABSENT
    from_status: Short = ""
    to_status: Short = ""
    correlation_id: Long = ""
    reason: str = ""
    schema_version: Annotated[int, msgspec.Meta(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)] = SCHEMA_VERSION


class Line(msgspec.Struct, gc=False):
    """A line of an order event."""

    line_id: Long
    item: Short
    quantity: Whole = ABSENT
    location: Short = ""
    uom: Short = ""
    expires_at: Short = ""
    requested_at: Short = ""


class OrderEvent(msgspec.Struct, gc=False):
    """An event of inventory.orders."""

    event_id: Long
    type: str
    source: Short
    occurred_at: str
    order_id: Long
    lines: Annotated[list[Line], msgspec.Meta(min_length=1, max_length=LINES_MAX)]
    channel: Short = ""
    uom: Short = ""
    expires_at: Short = ""
    requested_at: Short = ""
    correlation_id: Long = ""
    reason: str = ""
    schema_version: Annotated[int, msgspec.Meta(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)] = SCHEMA_VERSION


read_single: Final = msgspec.json.Decoder(SingleEvent).decode
read_order: Final = msgspec.json.Decoder(OrderEvent).decode


def are_ids(joined: str) -> bool:
    """Of several ids in a row at once; their lengths were checked when they were read."""
    return joined.isascii() and joined.isprintable() and " " not in joined


def _fill_received(unit: Unit, event: SingleEvent, locations: Container[str]) -> bool:
    receipt_id, transfer_id = event.receipt_id, event.transfer_id
    if receipt_id or transfer_id:
        if (receipt_id and transfer_id) or not are_ids(receipt_id + transfer_id):
            return False
        unit.receipt_id, unit.transfer_id = receipt_id, transfer_id
    return _fill_moved(unit, event)


def _fill_moved(unit: Unit, event: SingleEvent) -> bool:
    unit.quantity = event.quantity
    unit.status = event.status or "available"
    return 0 < event.quantity < ABSENT and unit.status in STATUSES


def _fill_returned(unit: Unit, event: SingleEvent, locations: Container[str]) -> bool:
    unit.order_id = event.order_id
    return are_ids(event.order_id) and _fill_moved(unit, event)


def _fill_adjusted(unit: Unit, event: SingleEvent, locations: Container[str]) -> bool:
    unit.quantity = event.quantity
    unit.status = event.status or "available"
    return event.quantity != 0 and event.quantity != ABSENT and unit.status in STATUSES


def _fill_counted(unit: Unit, event: SingleEvent, locations: Container[str]) -> bool:
    unit.quantity = event.quantity
    if event.quarantined != ABSENT:
        if not 0 <= event.quarantined <= event.quantity:
            return False
        unit.quarantined = event.quarantined
    return 0 <= event.quantity < ABSENT


def _fill_status_changed(unit: Unit, event: SingleEvent, locations: Container[str]) -> bool:
    unit.quantity = event.quantity
    unit.status = event.to_status
    if event.from_status == event.to_status or event.from_status not in STATUSES:
        return False
    return 0 < event.quantity < ABSENT and event.to_status in STATUSES


def _fill_lot(unit: Unit, event: SingleEvent, locations: Container[str]) -> bool:
    return event.lot != ""


def _fill_shipped(unit: Unit, event: SingleEvent, locations: Container[str]) -> bool:
    unit.transfer_id, unit.to_location = event.transfer_id, event.to_location
    if not event.transfer_id or event.to_location not in locations or event.to_location == event.location:
        return False
    if event.eta:
        unit.eta = parse_time(event.eta)
    return are_ids(event.transfer_id) and _fill_moved(unit, event)


def _fill_closed(unit: Unit, event: SingleEvent, locations: Container[str]) -> bool:
    unit.transfer_id = event.transfer_id
    return event.transfer_id != "" and are_ids(event.transfer_id)


def _fill_handled(unit: Unit, event: SingleEvent, locations: Container[str]) -> bool:
    unit.order_id, unit.line_id, unit.quantity = event.order_id, event.line_id, event.quantity
    if not event.order_id or not event.line_id or not 0 < event.quantity < ABSENT:
        return False
    return are_ids(event.order_id + event.line_id)


def _fill_expected(unit: Unit, event: SingleEvent, locations: Container[str]) -> bool:
    unit.receipt_id, unit.quantity = event.receipt_id, event.quantity
    if not event.receipt_id or not event.eta or not 0 <= event.quantity < ABSENT:
        return False
    unit.eta = parse_time(event.eta)
    return are_ids(event.receipt_id)


def _fill_receipt_cancelled(unit: Unit, event: SingleEvent, locations: Container[str]) -> bool:
    unit.receipt_id = event.receipt_id
    return event.receipt_id != "" and are_ids(event.receipt_id)


def _fill_nothing(unit: Unit, event: SingleEvent, locations: Container[str]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class FastType:
    """One event type on the fast path."""

    type: int
    #: fills in the unit of a single event what only this type has; False: look closer
    fill: Callable[[Unit, SingleEvent, Container[str]], bool] = _fill_nothing
    #: no location means every location
    anywhere: bool = False
    #: supply has no lots: there the field is unknown, and ignored
    has_lot: bool = True
    #: of an order's lines
    is_placed: bool = False
    needs_quantity: bool = False
    needs_location: bool = False


FAST: Final[dict[str, FastType]] = {
    "stock_received": FastType(EventType.STOCK_RECEIVED, _fill_received),
    "stock_adjusted": FastType(EventType.STOCK_ADJUSTED, _fill_adjusted),
    "stock_counted": FastType(EventType.STOCK_COUNTED, _fill_counted),
    "stock_status_changed": FastType(EventType.STOCK_STATUS_CHANGED, _fill_status_changed),
    "lot_held": FastType(EventType.LOT_HELD, _fill_lot, anywhere=True),
    "lot_released": FastType(EventType.LOT_RELEASED, _fill_lot, anywhere=True),
    "transfer_shipped": FastType(EventType.TRANSFER_SHIPPED, _fill_shipped),
    "transfer_closed": FastType(EventType.TRANSFER_CLOSED, _fill_closed),
    "pick_confirmed": FastType(EventType.PICK_CONFIRMED, _fill_handled),
    "shipment_confirmed": FastType(EventType.SHIPMENT_CONFIRMED, _fill_handled),
    "return_received": FastType(EventType.RETURN_RECEIVED, _fill_returned),
    "order_placed": FastType(EventType.ORDER_PLACED, is_placed=True, needs_quantity=True),
    "order_allocated": FastType(EventType.ORDER_ALLOCATED, needs_quantity=True, needs_location=True),
    "order_released": FastType(EventType.ORDER_RELEASED, needs_quantity=True, needs_location=True),
    "order_cancelled": FastType(EventType.ORDER_CANCELLED),
    "receipt_expected": FastType(EventType.RECEIPT_EXPECTED, _fill_expected, has_lot=False),
    "receipt_cancelled": FastType(EventType.RECEIPT_CANCELLED, _fill_receipt_cancelled, has_lot=False),
}
