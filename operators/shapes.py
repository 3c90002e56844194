"""What each type of event needs of a plainly good message, and what it puts into its unit.

Rule 1: these say "good" or "look closer", never "wrong". Rule 2: the event's codes and ids are well formed already.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Final

from operators.scan import Event
from schemas import wire
from schemas.codes import parse_date, parse_time
from schemas.events import STATUSES
from schemas.units import EventType, Unit

# Plain numbers once compiled, as names that are imported are not.
ABSENT = wire.ABSENT
PICK_CONFIRMED, SHIPMENT_CONFIRMED = int(EventType.PICK_CONFIRMED), int(EventType.SHIPMENT_CONFIRMED)


def _fill_received(unit: Unit, event: Event, locations: Container[str]) -> bool:
    receipt_id, transfer_id = event.receipt_id, event.transfer_id
    if receipt_id or transfer_id:
        if receipt_id and transfer_id:
            return False
        unit.receipt_id, unit.transfer_id = receipt_id, transfer_id
    return _fill_moved(unit, event, locations)


def _fill_moved(unit: Unit, event: Event, locations: Container[str]) -> bool:
    unit.quantity = event.quantity
    unit.status = event.status or "available"
    return 0 < event.quantity < ABSENT and unit.status in STATUSES


def _fill_returned(unit: Unit, event: Event, locations: Container[str]) -> bool:
    unit.order_id = event.order_id
    return _fill_moved(unit, event, locations)


def _fill_adjusted(unit: Unit, event: Event, locations: Container[str]) -> bool:
    unit.quantity = event.quantity
    unit.status = event.status or "available"
    return event.quantity != 0 and event.quantity != ABSENT and unit.status in STATUSES


def _fill_counted(unit: Unit, event: Event, locations: Container[str]) -> bool:
    unit.quantity = event.quantity
    if event.quarantined != ABSENT:
        if not 0 <= event.quarantined <= event.quantity:
            return False
        unit.quarantined = event.quarantined
    return 0 <= event.quantity < ABSENT


def _fill_status_changed(unit: Unit, event: Event, locations: Container[str]) -> bool:
    unit.quantity = event.quantity
    unit.status = event.to_status
    if event.from_status == event.to_status or event.from_status not in STATUSES:
        return False
    return 0 < event.quantity < ABSENT and event.to_status in STATUSES


def _fill_lot(unit: Unit, event: Event, locations: Container[str]) -> bool:
    return event.lot != ""


def _fill_dated(unit: Unit, event: Event, locations: Container[str]) -> bool:
    if event.best_before:
        unit.best_before = parse_date(event.best_before)
    return event.lot != "" and event.location == ""


def _fill_withheld(unit: Unit, event: Event, locations: Container[str]) -> bool:
    unit.quantity = event.quantity
    return event.lot == "" and 0 <= event.quantity < ABSENT


def _fill_shipped(unit: Unit, event: Event, locations: Container[str]) -> bool:
    unit.transfer_id, unit.to_location = event.transfer_id, event.to_location
    if not event.transfer_id or event.to_location not in locations or event.to_location == event.location:
        return False
    if event.eta:
        unit.eta = parse_time(event.eta)
    return _fill_moved(unit, event, locations)


def _fill_closed(unit: Unit, event: Event, locations: Container[str]) -> bool:
    unit.transfer_id = event.transfer_id
    return event.transfer_id != ""


def _fill_handled(unit: Unit, event: Event, locations: Container[str]) -> bool:
    unit.order_id, unit.line_id, unit.quantity = event.order_id, event.line_id, event.quantity
    return event.order_id != "" and event.line_id != "" and 0 < event.quantity < ABSENT


def _fill_expected(unit: Unit, event: Event, locations: Container[str]) -> bool:
    unit.receipt_id, unit.quantity = event.receipt_id, event.quantity
    if not event.receipt_id or not event.eta or not 0 <= event.quantity < ABSENT:
        return False
    unit.eta = parse_time(event.eta)
    unit.part_of = event.part_of
    return event.part_of != event.receipt_id


def _fill_receipt_cancelled(unit: Unit, event: Event, locations: Container[str]) -> bool:
    unit.receipt_id = event.receipt_id
    return event.receipt_id != ""


def _fill_nothing(unit: Unit, event: Event, locations: Container[str]) -> bool:
    return True


class FastType:
    """One event type on the fast path."""

    __slots__ = ("anywhere", "fill", "has_lot", "is_placed", "needs_location", "needs_quantity", "type")

    def __init__(
        self,
        type: int,
        fill: Callable[[Unit, Event, Container[str]], bool] = _fill_nothing,
        anywhere: bool = False,
        has_lot: bool = True,
        is_placed: bool = False,
        needs_quantity: bool = False,
        needs_location: bool = False,
    ) -> None:
        self.type = int(type)
        #: fills in the unit of a single event what only this type has; False: look closer
        self.fill = fill
        #: no location means every location
        self.anywhere = anywhere
        #: supply has no lots: there the field is unknown, and ignored
        self.has_lot = has_lot
        # of an order's lines
        self.is_placed = is_placed
        self.needs_quantity = needs_quantity
        self.needs_location = needs_location


def fill_unit(fast: FastType, unit: Unit, event: Event, locations: Container[str]) -> bool:
    """Fill in what only this type has; False: look closer."""
    # Most are of these; compiled, a call of what an object holds costs more than what it does.
    if fast.type in (PICK_CONFIRMED, SHIPMENT_CONFIRMED):
        return _fill_handled(unit, event, locations)
    return fast.fill(unit, event, locations)


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
    "lot_dated": FastType(EventType.LOT_DATED, _fill_dated, anywhere=True),
    "stock_withheld": FastType(EventType.STOCK_WITHHELD, _fill_withheld),
    "order_placed": FastType(EventType.ORDER_PLACED, is_placed=True, needs_quantity=True),
    "order_allocated": FastType(EventType.ORDER_ALLOCATED, needs_quantity=True, needs_location=True),
    "order_released": FastType(EventType.ORDER_RELEASED, needs_quantity=True, needs_location=True),
    "order_cancelled": FastType(EventType.ORDER_CANCELLED),
    "order_reopened": FastType(EventType.ORDER_REOPENED),
    "receipt_expected": FastType(EventType.RECEIPT_EXPECTED, _fill_expected, has_lot=False),
    "receipt_cancelled": FastType(EventType.RECEIPT_CANCELLED, _fill_receipt_cancelled, has_lot=False),
}
