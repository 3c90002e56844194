"""What each event must say: its fields, their ranges, and what would contradict itself (contract section 2).

These models are the source of truth for shape. What needs reference data, a clock or a source's rights (known codes,
units of measure, lateness) is decided later. A field that is null is absent; a field that is unknown is ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter, WithJsonSchema, model_validator

from schemas.codes import (
    CODE_PATTERN,
    ID_PATTERN,
    LINES_MAX,
    SCHEMA_VERSION,
    JsonNumber,
    exceeds,
    mismatch,
    parse_code,
    parse_date,
    parse_id,
    parse_integer,
    parse_text,
    parse_time,
)
from schemas.event_values import Change, NoLot, NoReversal, NoReversalOfLine, NotNegative, Positive, Reversal

STATUSES: Final = ("available", "quarantined")


def parse_status(value: object) -> str:
    if isinstance(value, str) and value in STATUSES:
        return value
    raise mismatch("available or quarantined", value)


def parse_version(value: object) -> int:
    """The number of a schema version, also of one that we do not support. A JSON number: text is not a version."""
    if type(value) is int or type(value) is float or type(value) is JsonNumber:
        try:
            version = parse_integer(value)
        except ValueError:
            version = 0
        if version >= 1:
            return version
    raise mismatch("an integer of 1 or more", value)


def parse_lines(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise mismatch(f"an array of 1 to {LINES_MAX} lines", value)
    if not 1 <= len(value) <= LINES_MAX:
        raise ValueError(f"expected 1 to {LINES_MAX} lines, got {len(value)}")
    return value


def _parse_supported_version(value: object) -> int:
    version = parse_version(value)
    if version > SCHEMA_VERSION:
        raise mismatch(f"a version of at most {SCHEMA_VERSION}", value)
    return version


def _text_schema(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


Code = Annotated[str, PlainValidator(parse_code), _text_schema(CODE_PATTERN)]
Id = Annotated[str, PlainValidator(parse_id), _text_schema(ID_PATTERN)]
Text = Annotated[str, PlainValidator(parse_text), WithJsonSchema({"type": "string"})]
#: UTC microseconds since 1970
Time = Annotated[int, PlainValidator(parse_time), WithJsonSchema({"type": "string", "format": "date-time"})]
Version = Annotated[
    int,
    PlainValidator(_parse_supported_version),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": SCHEMA_VERSION}),
]
#: days since 1970-01-01
Date = Annotated[int, PlainValidator(parse_date), WithJsonSchema({"type": "string", "format": "date"})]
Status = Annotated[str, PlainValidator(parse_status), WithJsonSchema({"enum": list(STATUSES)})]
AnyLines = Annotated[list[Any], PlainValidator(parse_lines)]


class Shape(BaseModel):
    """A JSON object of which nulls are absent and unknown fields do not matter."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: object) -> object:
        if isinstance(value, dict) and None in value.values():
            return {name: given for name, given in value.items() if given is not None}
        return value


class Event(Shape):
    """What every event says."""

    event_id: Id
    type: str
    source: Code
    occurred_at: Time
    schema_version: Version = SCHEMA_VERSION
    correlation_id: Id | None = None
    uom: Code | None = None
    reason: Text | None = None
    #: a type that may be one has a field of its own
    reversal: NoReversal = False


class WarehouseEvent(Event):
    item: Code
    lot: Code | None = None


class StockReceived(WarehouseEvent):
    type: Literal["stock_received"]
    location: Code
    quantity: Positive
    status: Status = "available"
    receipt_id: Id | None = None
    transfer_id: Id | None = None
    reversal: Reversal = False

    @model_validator(mode="after")
    def _comes_from_one(self) -> StockReceived:
        if self.receipt_id is not None and self.transfer_id is not None:
            raise mismatch_of("transfer_id", "nothing beside a receipt_id", self.transfer_id)
        return self


class StockAdjusted(WarehouseEvent):
    type: Literal["stock_adjusted"]
    location: Code
    quantity: Change
    status: Status = "available"


class StockCounted(WarehouseEvent):
    type: Literal["stock_counted"]
    location: Code
    quantity: NotNegative
    quarantined: NotNegative | None = None

    @model_validator(mode="after")
    def _part_of_the_whole(self) -> StockCounted:
        if self.quarantined is not None and exceeds(self.quarantined, self.quantity):
            raise mismatch_of("quarantined", f"at most the counted quantity {self.quantity}", self.quarantined)
        return self


class StockStatusChanged(WarehouseEvent):
    type: Literal["stock_status_changed"]
    location: Code
    quantity: Positive
    from_status: Status
    to_status: Status

    @model_validator(mode="after")
    def _changes(self) -> StockStatusChanged:
        if self.from_status == self.to_status:
            raise mismatch_of("to_status", "another status than from_status", self.to_status)
        return self


class LotWord(WarehouseEvent):
    lot: Code
    location: Code | None = None


class LotHeld(LotWord):
    type: Literal["lot_held"]


class LotReleased(LotWord):
    type: Literal["lot_released"]


class TransferShipped(WarehouseEvent):
    type: Literal["transfer_shipped"]
    transfer_id: Id
    location: Code
    to_location: Code
    quantity: Positive
    status: Status = "available"
    eta: Time | None = None
    reversal: Reversal = False

    @model_validator(mode="after")
    def _goes_elsewhere(self) -> TransferShipped:
        if self.to_location == self.location:
            raise mismatch_of("to_location", "another location than location", self.to_location)
        return self


class TransferClosed(WarehouseEvent):
    """`location` is the destination."""

    type: Literal["transfer_closed"]
    transfer_id: Id
    location: Code


class Handling(WarehouseEvent):
    order_id: Id
    line_id: Id
    location: Code
    quantity: Positive
    reversal: Reversal = False


class PickConfirmed(Handling):
    type: Literal["pick_confirmed"]


class ShipmentConfirmed(Handling):
    type: Literal["shipment_confirmed"]


class ReturnReceived(WarehouseEvent):
    type: Literal["return_received"]
    location: Code
    quantity: Positive
    status: Status = "available"
    order_id: Id | None = None
    reversal: Reversal = False


class LotDated(WarehouseEvent):
    """The last day on which the lot may be sold, wherever it is; without one it has none from now on."""

    type: Literal["lot_dated"]
    lot: Code
    best_before: Date | None = None


class StockWithheld(Event):
    """So much at a location is not promised: the newest word of its source stands."""

    type: Literal["stock_withheld"]
    item: Code
    location: Code
    quantity: NotNegative
    lot: NoLot = None


class OrderLine(Shape):
    """One line; its quantity, where its order has one, is in its own uom, else the event's, else the item's base."""

    line_id: Id
    item: Code
    location: Code | None = None
    uom: Code | None = None
    reversal: NoReversalOfLine = False


class PlacedLine(OrderLine):
    quantity: NotNegative
    expires_at: Time | None = None
    requested_at: Time | None = None


class AllocatedLine(OrderLine):
    location: Code
    quantity: Positive


class CancelledLine(OrderLine):
    """So much less is wanted; without a quantity the line is cancelled."""

    quantity: Positive | None = None


class OrderHead(Event):
    """An order event without a judgment on its lines, so that one bad line does not refuse the others."""

    order_id: Id
    channel: Code | None = None
    lines: AnyLines


class PlacedHead(OrderHead):
    channel: Code
    expires_at: Time | None = None
    requested_at: Time | None = None


class AllocatedHead(OrderHead):
    reversal: Reversal = False


class OrderPlaced(PlacedHead):
    type: Literal["order_placed"]
    lines: Annotated[list[PlacedLine], Field(min_length=1, max_length=LINES_MAX)]


class OrderAllocated(AllocatedHead):
    type: Literal["order_allocated"]
    lines: Annotated[list[AllocatedLine], Field(min_length=1, max_length=LINES_MAX)]


class OrderReleased(AllocatedHead):
    type: Literal["order_released"]
    lines: Annotated[list[AllocatedLine], Field(min_length=1, max_length=LINES_MAX)]


class OrderCancelled(OrderHead):
    type: Literal["order_cancelled"]
    lines: Annotated[list[CancelledLine], Field(min_length=1, max_length=LINES_MAX)]


class OrderReopened(OrderHead):
    """It has no quantity: what is wanted again is what was wanted."""

    type: Literal["order_reopened"]
    lines: Annotated[list[OrderLine], Field(min_length=1, max_length=LINES_MAX)]


class SupplyEvent(Event):
    receipt_id: Id
    item: Code
    location: Code


class ReceiptExpected(SupplyEvent):
    type: Literal["receipt_expected"]
    quantity: NotNegative
    eta: Time
    part_of: Id | None = None

    @model_validator(mode="after")
    def _is_not_its_own_part(self) -> ReceiptExpected:
        if self.part_of == self.receipt_id:
            raise mismatch_of("part_of", "another receipt than receipt_id", self.part_of)
        return self


class ReceiptCancelled(SupplyEvent):
    type: Literal["receipt_cancelled"]


def mismatch_of(field: str, expected: str, got: object) -> ValueError:
    """A contradiction between fields: the one that is named is the one to look at."""
    return ValueError(f"{field}: {mismatch(expected, got)}")


AnyEvent = Annotated[
    StockReceived
    | StockAdjusted
    | StockCounted
    | StockStatusChanged
    | LotHeld
    | LotReleased
    | TransferShipped
    | TransferClosed
    | PickConfirmed
    | ShipmentConfirmed
    | ReturnReceived
    | LotDated
    | StockWithheld
    | OrderPlaced
    | OrderAllocated
    | OrderReleased
    | OrderCancelled
    | OrderReopened
    | ReceiptExpected
    | ReceiptCancelled,
    Field(discriminator="type"),
]
#: Reads any event from what schemas.codes.parse_json gives.
ANY_EVENT: Final[TypeAdapter[Any]] = TypeAdapter(AnyEvent)
