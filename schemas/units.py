"""What decoding hands to the shards: one unit a (source, event_id, line_id, item), and what was refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any

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
    LOT_DATED = 12
    STOCK_WITHHELD = 13
    ORDER_PLACED = 20
    ORDER_ALLOCATED = 21
    ORDER_RELEASED = 22
    ORDER_CANCELLED = 23
    ORDER_REOPENED = 24
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
    #: of how many lines the event is: as many dead letters may speak of it
    lines: int = 1

    @property
    def place(self) -> tuple[str, int, int]:
        """Give what tells a message from all others."""
        return (self.topic, self.partition, self.offset)

    @property
    def size(self) -> int:
        """Give the bytes of key and value."""
        return len(self.key or b"") + len(self.value or b"")

    def without_bytes(self) -> Origin:
        """Give it as it is kept beside another of the same message, which has key and value."""
        return Origin(
            self.topic,
            self.partition,
            self.offset,
            self.timestamp_ms,
            None,
            None,
            self.attempts,
            self.late_accepted,
            self.lines,
        )


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


class Unit:
    """One applicable fact about one item. Times are UTC microseconds; an absent string is empty.

    `quantity` and `quarantined` are as sent and not yet converted: an int, or the exact decimal as text
    (the shard knows the item's units of measure). `verdict` is a refusal of the whole event that stands
    behind the checks only the shard can make (unknown_item, unknown_uom, quantity): (code, message).
    A cancellation with a quantity is of a part of what is wanted, one without of the whole line.
    """

    __slots__ = (
        "type",
        "item",
        "source",
        "event_id",
        "line_id",
        "occurred_at",
        "recorded_at",
        "origin",
        "quantity",
        "location",
        "lot",
        "uom",
        "status",
        "order_id",
        "transfer_id",
        "receipt_id",
        "to_location",
        "channel",
        "quarantined",
        "eta",
        "expires_at",
        "requested_at",
        "correlation_id",
        "verdict",
        "reversal",
        "part_of",
        "best_before",
    )

    def __init__(
        self,
        type: int,
        item: str,
        source: str,
        event_id: str,
        line_id: str,
        occurred_at: int,
        recorded_at: int,
        origin: Origin,
        quantity: int | str | None = None,
        location: str = "",
        lot: str = "",
        uom: str = "",
        status: str = "",
        order_id: str = "",
        transfer_id: str = "",
        receipt_id: str = "",
        to_location: str = "",
        channel: str = "",
        quarantined: int | str | None = None,
        eta: int | None = None,
        expires_at: int | None = None,
        requested_at: int | None = None,
        correlation_id: str = "",
        verdict: tuple[str, str] | None = None,
        reversal: bool = False,
        part_of: str = "",
        best_before: int | None = None,
    ) -> None:
        self.type = type
        self.item = item
        self.source = source
        self.event_id = event_id
        self.line_id = line_id
        self.occurred_at = occurred_at
        self.recorded_at = recorded_at
        self.origin = origin
        self.quantity = quantity
        self.location = location
        self.lot = lot
        self.uom = uom
        #: available | quarantined; for stock_status_changed the status moved to
        self.status = status
        self.order_id = order_id
        self.transfer_id = transfer_id
        self.receipt_id = receipt_id
        self.to_location = to_location
        self.channel = channel
        self.quarantined = quarantined
        self.eta = eta
        self.expires_at = expires_at
        self.requested_at = requested_at
        self.correlation_id = correlation_id
        self.verdict = verdict
        #: takes back as much: `quantity` is positive all the same
        self.reversal = reversal
        #: of a receipt: the receipt_id that it is a part of
        self.part_of = part_of
        #: of a lot: days since 1970-01-01
        self.best_before = best_before

    def values(self) -> tuple[Any, ...]:
        """Give all fields in their order: a storage format, and what another worker is sent."""
        return tuple([_in_64_bits(getattr(self, name)) for name in UNIT_FIELDS])

    def __reduce__(self) -> tuple[Any, ...]:
        return Unit, self.values()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unit) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash((self.source, self.event_id, self.line_id, self.item))

    def __repr__(self) -> str:
        return f"Unit{self.values()!r}"


def plain_unit(
    type: int, item: str, source: str, event_id: str, line_id: str, occurred_at: int, recorded_at: int, origin: Origin
) -> Unit:
    """As `Unit(...)` of these alone: compiled without a look at 27 arguments, which costs more than all that is set."""
    unit: Unit = Unit.__new__(Unit)
    unit.type = type
    unit.item = item
    unit.source = source
    unit.event_id = event_id
    unit.line_id = line_id
    unit.occurred_at = occurred_at
    unit.recorded_at = recorded_at
    unit.origin = origin
    unit.quantity = None
    unit.location = ""
    unit.lot = ""
    unit.uom = ""
    unit.status = ""
    unit.order_id = ""
    unit.transfer_id = ""
    unit.receipt_id = ""
    unit.to_location = ""
    unit.channel = ""
    unit.quarantined = None
    unit.eta = None
    unit.expires_at = None
    unit.requested_at = None
    unit.correlation_id = ""
    unit.verdict = None
    unit.reversal = False
    unit.part_of = ""
    unit.best_before = None
    return unit


def _in_64_bits(value: Any) -> Any:
    """Give a value, but a whole number that MessagePack cannot hold as text: the shard refuses it either way."""
    return str(value) if type(value) is int and not -(1 << 63) <= value < 1 << 63 else value


UNIT_FIELDS: tuple[str, ...] = tuple(Unit.__slots__)
#: where among them these two stand
ORIGIN, VERDICT = UNIT_FIELDS.index("origin"), UNIT_FIELDS.index("verdict")


def unit_from(values: Sequence[Any]) -> Unit:
    """Build a unit from what `values` gave, after it was MessagePack; what a shorter one lacks has its default."""
    fields = list(values)
    fields[ORIGIN] = msgspec.convert(fields[ORIGIN], Origin)
    if len(fields) > VERDICT and fields[VERDICT] is not None:
        fields[VERDICT] = tuple(fields[VERDICT])
    return Unit(*fields)


def values_of(units: Iterable[Unit]) -> list[tuple[Any, ...]]:
    """Give the values of each, the bytes of a message once: with the first of its units that follow each other."""
    last: Origin | None = None
    light: Origin | None = None
    found = []
    for unit in units:
        values = unit.values()
        if unit.origin is last:
            values = (*values[:ORIGIN], light, *values[ORIGIN + 1 :])
        else:
            last = unit.origin
            light = last.without_bytes()
        found.append(values)
    return found


def units_from(rows: Iterable[Sequence[Any]]) -> list[Unit]:
    """Build units from what `values_of` gave, or each from its `values`; those of one message share its origin."""
    last: Origin | None = None
    found = []
    for values in rows:
        unit = unit_from(values)
        if last is not None and unit.origin.place == last.place:
            unit.origin = last
        else:
            last = unit.origin
        found.append(unit)
    return found
