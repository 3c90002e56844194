"""Every event type by its name: its number, the topic that carries it, and how it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.events import (
    AllocatedHead,
    AllocatedLine,
    CancelledLine,
    Event,
    LotDated,
    LotHeld,
    LotReleased,
    OrderAllocated,
    OrderCancelled,
    OrderHead,
    OrderLine,
    OrderPlaced,
    OrderReleased,
    OrderReopened,
    PickConfirmed,
    PlacedHead,
    PlacedLine,
    ReceiptCancelled,
    ReceiptExpected,
    ReturnReceived,
    ShipmentConfirmed,
    StockAdjusted,
    StockCounted,
    StockReceived,
    StockStatusChanged,
    StockWithheld,
    TransferClosed,
    TransferShipped,
)
from schemas.units import EventType


@dataclass(frozen=True, slots=True)
class EventSpec:
    """One event type: its model, the topic that carries it, and for orders how to read the event apart from a line."""

    number: EventType
    kind: str
    model: type[Event]
    head: type[Event]
    line: type[OrderLine] | None = None

    @property
    def name(self) -> str:
        """As it stands in `type`."""
        return self.number.name.lower()

    @property
    def is_order(self) -> bool:
        """Is it about lines of an order?"""
        return self.line is not None


_ORDER_TYPES = (
    (EventType.ORDER_PLACED, OrderPlaced, PlacedHead, PlacedLine),
    (EventType.ORDER_ALLOCATED, OrderAllocated, AllocatedHead, AllocatedLine),
    (EventType.ORDER_RELEASED, OrderReleased, AllocatedHead, AllocatedLine),
    (EventType.ORDER_CANCELLED, OrderCancelled, OrderHead, CancelledLine),
    (EventType.ORDER_REOPENED, OrderReopened, OrderHead, OrderLine),
)
_SINGLE_TYPES: tuple[tuple[EventType, str, type[Event]], ...] = (
    (EventType.STOCK_RECEIVED, "warehouse", StockReceived),
    (EventType.STOCK_ADJUSTED, "warehouse", StockAdjusted),
    (EventType.STOCK_COUNTED, "warehouse", StockCounted),
    (EventType.STOCK_STATUS_CHANGED, "warehouse", StockStatusChanged),
    (EventType.LOT_HELD, "warehouse", LotHeld),
    (EventType.LOT_RELEASED, "warehouse", LotReleased),
    (EventType.TRANSFER_SHIPPED, "warehouse", TransferShipped),
    (EventType.TRANSFER_CLOSED, "warehouse", TransferClosed),
    (EventType.PICK_CONFIRMED, "warehouse", PickConfirmed),
    (EventType.SHIPMENT_CONFIRMED, "warehouse", ShipmentConfirmed),
    (EventType.RETURN_RECEIVED, "warehouse", ReturnReceived),
    (EventType.LOT_DATED, "warehouse", LotDated),
    (EventType.STOCK_WITHHELD, "warehouse", StockWithheld),
    (EventType.RECEIPT_EXPECTED, "supply", ReceiptExpected),
    (EventType.RECEIPT_CANCELLED, "supply", ReceiptCancelled),
)
_SPECS = (
    *(EventSpec(number, kind, model, model) for number, kind, model in _SINGLE_TYPES),
    *(EventSpec(number, "orders", model, head, line) for number, model, head, line in _ORDER_TYPES),
)
#: Event type name -> what it is.
EVENTS: Final[dict[str, EventSpec]] = {spec.name: spec for spec in _SPECS}
#: Those of which an event may be a reversal.
REVERSIBLE: Final = frozenset(
    {
        "stock_received",
        "transfer_shipped",
        "return_received",
        "pick_confirmed",
        "shipment_confirmed",
        "order_allocated",
        "order_released",
    }
)
