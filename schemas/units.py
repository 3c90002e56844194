"""What decoding hands to the shards: one unit a (source, event_id, line_id, item), and what was refused."""

from __future__ import annotations

from enum import IntEnum

import msgspec


class EventType(IntEnum):
    """The event types of the contract, section 2. The numbers are stored in state: never reuse one."""

    STOCK_RECEIVED = 1
    STOCK_ADJUSTED = 2
    STOCK_COUNTED = 3
    STOCK_STATUS_CHANGED = 4
    LOT_HELD = 5
    LOT_RELEASED = 6
    TRANSFER_SHIPPED = 7
    TRANSFER_CLOSED = 8
    PICK_CONFIRMED = 9
    SHIPMENT_CONFIRMED = 10
    RETURN_RECEIVED = 11
    ORDER_PLACED = 20
    ORDER_ALLOCATED = 21
    ORDER_RELEASED = 22
    ORDER_CANCELLED = 23
    RECEIPT_EXPECTED = 30
    RECEIPT_CANCELLED = 31


class Origin(msgspec.Struct, array_like=True, gc=False):
    """Where a message came from, and its bytes: what a dead letter must keep."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    attempts: int = 1
    #: replayed: the units of it that may be late, as `unit_name` gives them, each proved never to have been applied
    late_accepted: tuple[str, ...] = ()


def unit_name(line_id: str, item: str) -> str:
    """Name one unit within its event. No code or id can hold the separator."""
    return f"{line_id}\x1f{item}"


class Refusal(msgspec.Struct, array_like=True, gc=False):
    """A message, or one line of it, that could not be used: `code` is one of the contract's section 7.

    `source`, `type`: who said it and what, as far as that could be read.
    """

    origin: Origin
    code: str
    message: str
    line_id: str | None = None
    source: str = ""
    type: str = ""


class Unit(msgspec.Struct, array_like=True, gc=False):
    """One applicable fact about one item. Times are UTC microseconds; an absent string is empty.

    `quantity` and `quarantined` are as sent and not yet converted: an int, or the exact decimal as text
    (the shard knows the item's units of measure). `verdict` is a refusal of the whole event that stands
    behind the checks only the shard can make (unknown_item, unknown_uom, quantity): (code, message).
    """

    type: int
    item: str
    source: str
    event_id: str
    line_id: str
    occurred_at: int
    recorded_at: int
    origin: Origin
    quantity: int | str | None = None
    location: str = ""
    lot: str = ""
    uom: str = ""
    #: available | quarantined; for stock_status_changed the status moved to
    status: str = ""
    order_id: str = ""
    transfer_id: str = ""
    receipt_id: str = ""
    to_location: str = ""
    channel: str = ""
    quarantined: int | str | None = None
    eta: int | None = None
    expires_at: int | None = None
    requested_at: int | None = None
    correlation_id: str = ""
    verdict: tuple[str, str] | None = None
