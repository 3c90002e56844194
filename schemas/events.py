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
    NUMBER_PATTERN,
    SCHEMA_VERSION,
    JsonNumber,
    exceeds,
    is_negative,
    mismatch,
    parse_code,
    parse_id,
    parse_integer,
    parse_number,
    parse_text,
    parse_time,
)

STATUSES: Final = ("available", "quarantined")


def parse_positive(value: object) -> int | str:
    number = parse_number(value)
    if number == 0 or is_negative(number):
        raise mismatch("a quantity above 0", value)
    return number


def parse_not_negative(value: object) -> int | str:
    number = parse_number(value)
    if is_negative(number):
        raise mismatch("a quantity of 0 or more", value)
    return number


def parse_change(value: object) -> int | str:
    number = parse_number(value)
    if number == 0:
        raise mismatch("a quantity other than 0", value)
    return number


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


def _number_schema(**bounds: int) -> WithJsonSchema:
    text = {"type": "string", "pattern": NUMBER_PATTERN}
    return WithJsonSchema({"anyOf": [{"type": "number", **bounds}, text]})


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
Status = Annotated[str, PlainValidator(parse_status), WithJsonSchema({"enum": list(STATUSES)})]
#: Quantities as sent, in the event's unit of measure: an int, or the exact decimal as text.
Positive = Annotated[int | str, PlainValidator(parse_positive), _number_schema(exclusiveMinimum=0)]
NotNegative = Annotated[int | str, PlainValidator(parse_not_negative), _number_schema(minimum=0)]
Change = Annotated[int | str, PlainValidator(parse_change), _number_schema()]
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


class OrderLine(Shape):
    """One line; its quantity, where its order has one, is in its own uom, else the event's, else the item's base."""

    line_id: Id
    item: Code
    location: Code | None = None
    uom: Code | None = None


class PlacedLine(OrderLine):
    quantity: NotNegative
    expires_at: Time | None = None
    requested_at: Time | None = None


class AllocatedLine(OrderLine):
    location: Code
    quantity: Positive


class OrderHead(Event):
    """An order event without a judgment on its lines, so that one bad line does not refuse the others."""

    order_id: Id
    channel: Code | None = None
    lines: AnyLines


class PlacedHead(OrderHead):
    channel: Code
    expires_at: Time | None = None
    requested_at: Time | None = None


class OrderPlaced(PlacedHead):
    type: Literal["order_placed"]
    lines: Annotated[list[PlacedLine], Field(min_length=1, max_length=LINES_MAX)]


class OrderAllocated(OrderHead):
    type: Literal["order_allocated"]
    lines: Annotated[list[AllocatedLine], Field(min_length=1, max_length=LINES_MAX)]


class OrderReleased(OrderHead):
    type: Literal["order_released"]
    lines: Annotated[list[AllocatedLine], Field(min_length=1, max_length=LINES_MAX)]


class OrderCancelled(OrderHead):
    type: Literal["order_cancelled"]
    lines: Annotated[list[OrderLine], Field(min_length=1, max_length=LINES_MAX)]


class SupplyEvent(Event):
    receipt_id: Id
    item: Code
    location: Code


class ReceiptExpected(SupplyEvent):
    type: Literal["receipt_expected"]
    quantity: NotNegative
    eta: Time


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
    | OrderPlaced
    | OrderAllocated
    | OrderReleased
    | OrderCancelled
    | ReceiptExpected
    | ReceiptCancelled,
    Field(discriminator="type"),
]
#: Reads any event from what schemas.codes.parse_json gives.
ANY_EVENT: Final[TypeAdapter[Any]] = TypeAdapter(AnyEvent)
