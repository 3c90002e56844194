"""What each reference record must say: items, locations, channels, a channel's word on one item (contract section 2).

A record is judged alone here; whether what it names exists, and whether an item may still change its scale, is decided
where the other records are known. A null is an absent field, also inside a map. Numbers stay exact.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final

from pydantic import Field, PlainValidator, ValidationError, WithJsonSchema, model_validator

from schemas.codes import (
    BAD_VALUE,
    CODE_PATTERN,
    NUMBER_PATTERN,
    QUANTITY_LIMIT,
    mismatch,
    near_match,
    parse_code,
    parse_decimal,
    parse_integer,
    parse_json,
    show,
)
from schemas.events import Code, Shape, mismatch_of
from schemas.variances import Actions

#: As many decimals as any item's scale has: what a record may use before the item's own scale is known.
SCALE_MAX: Final = 6
#: Half a year of days: every evaluation of a channel costs as many steps.
HORIZON_DAYS_MAX: Final = 180
PRIORITY_MAX: Final = 1_000_000
#: In a map by location: each location that the map does not name.
EVERYWHERE: Final = "*"
DEDUCTS_AT: Final = ("first", "pick", "shipment")
ROUNDING: Final = ("refuse", "safe")
LISTING: Final = ("all", "explicit")
#: How many days a lot must still be good for when it is sold: as many as a quantity may be.
DAYS_LEFT_MAX: Final = QUANTITY_LIMIT - 1
#: A millionth of a millionth: what a screw costs in any currency, and short enough to be multiplied by any quantity.
UNIT_VALUE_DECIMALS_MAX: Final = 12
RATIO_PATTERN: Final = r"^[1-9][0-9]{0,15}/[1-9][0-9]{0,15}$"

_ratio = re.compile(RATIO_PATTERN[1:-1]).fullmatch


class ReferenceError(ValueError):
    """A record that cannot be used; the text names the field, what was expected and what came."""

    def __init__(self, message: str, code: str = BAD_VALUE) -> None:
        super().__init__(message)
        self.code = code


def _parse_quantity(value: object) -> Decimal:
    if type(value) is int and 0 <= value < QUANTITY_LIMIT:
        return Decimal(value)
    number = parse_decimal(value)
    if not 0 <= number < QUANTITY_LIMIT:
        raise mismatch(f"a quantity of 0 or more, below {QUANTITY_LIMIT}", value)
    if int(number.as_tuple().exponent) < -SCALE_MAX:
        raise mismatch(f"a quantity of at most {SCALE_MAX} decimals", value)
    return number


def _parse_whole_quantity(value: object) -> int:
    number = _parse_quantity(value)
    if number != int(number):
        raise mismatch("a whole quantity (a channel's stand for items of every scale)", value)
    return int(number)


def _parse_percent(value: object) -> Decimal:
    number = parse_decimal(value)
    if not 0 <= number <= 100:
        raise mismatch("a percentage of 0 to 100", value)
    return number


def _parse_above_zero(value: object) -> Decimal:
    number = parse_decimal(value)
    if not 0 < number < QUANTITY_LIMIT:
        raise mismatch(f"a number above 0, below {QUANTITY_LIMIT}", value)
    return number


def _parse_worth(value: object) -> Decimal | Fraction:
    """How many base units another unit is worth: a number, or a ratio where no decimal is exact ("1/12")."""
    if not isinstance(value, str) or "/" not in value:
        return _parse_above_zero(value)
    if _ratio(value):
        numerator, denominator = (int(part) for part in value.split("/"))
        if max(numerator, denominator) < QUANTITY_LIMIT:
            return Fraction(numerator, denominator)
    raise mismatch(f'a ratio "n/d" of two whole numbers of 1 or more, below {QUANTITY_LIMIT}', value)


def _parse_unit_value(value: object) -> Decimal:
    number = parse_decimal(value)
    if not 0 <= number < QUANTITY_LIMIT:
        raise mismatch(f"a number of 0 or more, below {QUANTITY_LIMIT}", value)
    if int(number.as_tuple().exponent) < -UNIT_VALUE_DECIMALS_MAX:
        raise mismatch(f"a number of at most {UNIT_VALUE_DECIMALS_MAX} decimals", value)
    return number


def _parse_switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise mismatch("true or false", value)
    return value


def _one_of(words: tuple[str, ...]) -> PlainValidator:
    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            hint = near_match(value[:64], words) if isinstance(value, str) else ""
            raise ValueError(f"{mismatch(', '.join(words[:-1]) + ' or ' + words[-1], value)}{hint}")
        return value

    return PlainValidator(parse)


def _parse_locations(value: object) -> list[str]:
    if not isinstance(value, list):
        raise mismatch("an array of location codes", value)
    return list(dict.fromkeys(parse_code(code) for code in value))


def _parse_place(value: str) -> str:
    return value if value == EVERYWHERE else parse_code(value)


def _map(
    parse_name: Callable[[str], str], parse: Callable[[object], Decimal | Fraction], expected: str
) -> PlainValidator:
    def parse_map(value: object) -> dict[str, Decimal | Fraction]:
        if not isinstance(value, dict):
            raise mismatch(f"an object of {expected}", value)
        read: dict[str, Decimal | Fraction] = {}
        for name, given in value.items():
            if given is None:
                continue
            try:
                read[parse_name(name)] = parse(given)
            except ValueError as error:
                raise ValueError(f"{error}, at {show(name)}") from None
        return read

    return PlainValidator(parse_map)


def _integer_of(least: int, most: int) -> PlainValidator:
    def parse(value: object) -> int:
        try:
            number = parse_integer(value)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise mismatch(f"an integer of {least} to {most}", value)
        return number

    return PlainValidator(parse)


def _number(**bounds: int) -> dict[str, Any]:
    return {"anyOf": [{"type": "number", **bounds}, {"type": "string", "pattern": NUMBER_PATTERN}]}


def _integer_schema(least: int, most: int) -> WithJsonSchema:
    return WithJsonSchema(_number(minimum=least, maximum=most, multipleOf=1))


_QUANTITY_SCHEMA = _number(minimum=0, exclusiveMaximum=QUANTITY_LIMIT)
_PLACE_SCHEMA = {"anyOf": [{"const": EVERYWHERE}, {"pattern": CODE_PATTERN}]}

Quantity = Annotated[Decimal, PlainValidator(_parse_quantity), WithJsonSchema(_QUANTITY_SCHEMA)]
WholeQuantity = Annotated[
    int, PlainValidator(_parse_whole_quantity), WithJsonSchema({**_number(minimum=0, multipleOf=1)})
]
Percent = Annotated[Decimal, PlainValidator(_parse_percent), WithJsonSchema(_number(minimum=0, maximum=100))]
AboveZero = Annotated[Decimal, PlainValidator(_parse_above_zero), WithJsonSchema(_number(exclusiveMinimum=0))]
Switch = Annotated[bool, PlainValidator(_parse_switch), WithJsonSchema({"type": "boolean"})]
UnitValue = Annotated[
    Decimal,
    PlainValidator(_parse_unit_value),
    WithJsonSchema(_number(minimum=0, exclusiveMaximum=QUANTITY_LIMIT)),
]
DeductsAt = Annotated[str, _one_of(DEDUCTS_AT), WithJsonSchema({"enum": list(DEDUCTS_AT)})]
Rounding = Annotated[str, _one_of(ROUNDING), WithJsonSchema({"enum": list(ROUNDING)})]
ListingRule = Annotated[str, _one_of(LISTING), WithJsonSchema({"enum": list(LISTING)})]
Locations = Annotated[
    list[str],
    PlainValidator(_parse_locations),
    WithJsonSchema({"type": "array", "items": {"type": "string", "pattern": CODE_PATTERN}}),
]
Conversions = Annotated[
    dict[str, Decimal | Fraction],
    _map(parse_code, _parse_worth, "units of measure, each with how many base units it is"),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": CODE_PATTERN},
            "additionalProperties": {
                "anyOf": [*_number(exclusiveMinimum=0)["anyOf"], {"type": "string", "pattern": RATIO_PATTERN}]
            },
        }
    ),
]
SafetyStock = Annotated[
    dict[str, Decimal],
    _map(_parse_place, _parse_quantity, "locations, each with a quantity"),
    WithJsonSchema({"type": "object", "propertyNames": _PLACE_SCHEMA, "additionalProperties": _QUANTITY_SCHEMA}),
]


#: An empty map: made anew by a function, for pydantic copies a default deeply, which takes longer than all the rest.
NONE: Final[Any] = Field(default_factory=dict, json_schema_extra={"default": {}})


class Item(Shape):
    """inventory.items: how an item is measured, and what of it is never promised. Quantities in base UoM."""

    item: Code
    base_uom: Code = "each"
    scale: Annotated[int, _integer_of(0, SCALE_MAX), _integer_schema(0, SCALE_MAX)] = 0
    #: unit of measure -> how many base units it is
    conversions: Conversions = NONE
    #: what becomes of a quantity that is not exact in the item's scale
    rounding: Rounding = "refuse"
    #: location, or "*" for each that is not named -> quantity
    safety_stock: SafetyStock = NONE
    low_stock_threshold: Quantity | None = None
    #: money a base unit, for reports alone
    unit_value: UnitValue | None = None

    @model_validator(mode="after")
    def _is_exact(self) -> Item:
        for code, quantity in self.safety_stock.items():
            self._check_exact("safety_stock", quantity, code)
        if self.low_stock_threshold is not None:
            self._check_exact("low_stock_threshold", self.low_stock_threshold)
        worth = self.conversions.get(self.base_uom, Decimal(1))
        if worth != 1:
            got = worth if isinstance(worth, Decimal) else str(worth)
            raise mismatch_of("conversions", f"1 or nothing for the base unit of measure {self.base_uom}", got)
        return self

    def _check_exact(self, name: str, quantity: Decimal, code: str = "") -> None:
        scaled = quantity * 10**self.scale
        if scaled == int(scaled) and scaled < QUANTITY_LIMIT:
            return
        if code:
            name = f"{name}, at {show(code)}"
        if scaled != int(scaled):
            raise mismatch_of(name, f"a quantity of at most {self.scale} decimals (the item's scale)", quantity)
        raise mismatch_of(name, f"less than {QUANTITY_LIMIT} after scaling by 10^{self.scale}", quantity)


class Location(Shape):
    """inventory.locations: its place in the tree, whether it sells, and when goods leave its on_hand."""

    location: Code
    parent: Code | None = None
    sellable: Switch = True
    deducts_at: DeductsAt = "first"


class _Policy(Shape):
    @model_validator(mode="after")
    def _leaves_something(self) -> _Policy:
        cap, minimum = getattr(self, "cap", None), getattr(self, "minimum", None)
        if cap is not None and minimum is not None and minimum > cap:
            raise mismatch_of("minimum", f"at most the cap of {cap}", minimum)
        return self


class Channel(_Policy):
    """inventory.channels: where a channel sells from, and its policy for all items. Quantities in base UoM."""

    channel: Code
    locations: Locations
    #: 1 is highest
    priority: Annotated[int, _integer_of(1, PRIORITY_MAX), _integer_schema(1, PRIORITY_MAX)] = 100
    buffer_quantity: WholeQuantity | None = None
    buffer_percent: Percent | None = None
    cap: WholeQuantity | None = None
    minimum: WholeQuantity | None = None
    low_stock_threshold: WholeQuantity = 0
    horizon_days: Annotated[int, _integer_of(0, HORIZON_DAYS_MAX), _integer_schema(0, HORIZON_DAYS_MAX)] = 0
    promise_in_transit: Switch = False
    protected_quantity: WholeQuantity | None = None
    max_updates_per_second: AboveZero | None = None
    #: which items it lists that no record of inventory.channel_items speaks of
    listing: ListingRule = "all"
    #: days that a lot must still be good for on the day it is promised
    min_days_left: Annotated[int, _integer_of(0, DAYS_LEFT_MAX), _integer_schema(0, DAYS_LEFT_MAX)] = 0


class ChannelItem(_Policy):
    """inventory.channel_items: what a channel says of one item, in place of its own and the item's general word."""

    channel: Code
    item: Code
    buffer_quantity: Quantity | None = None
    buffer_percent: Percent | None = None
    cap: Quantity | None = None
    minimum: Quantity | None = None
    low_stock_threshold: Quantity | None = None
    protected_quantity: Quantity | None = None
    safety_stock: SafetyStock | None = None
    #: a channel with `listing: explicit` takes a true that is in the record, and never this default
    listed: Switch = True


class Reconciliation(Shape):
    """inventory.reconciliation: what is done where a source's statements differ from what the engine has."""

    source: Code
    #: so much may differ, in base UoM; and so many percent of what the engine has: the greater counts
    tolerance: Quantity = Decimal(0)
    tolerance_percent: Percent = Decimal(0)
    #: measure -> report | hold | correct | ask; report where none is given
    actions: Actions = Field(default={})
    #: where more than a report is done, each with all beneath it; everywhere if absent
    locations: Locations | None = None
    #: with more rows in variance a statement is rejected
    max_rows_in_variance_percent: Percent = Decimal(5)
    #: with fewer rows than the last one, of items `all`, had: too
    min_rows_percent_of_last: Percent = Decimal(90)


Record = Item | Location | Channel | ChannelItem | Reconciliation

#: Kind (the topic's name without "inventory.") -> its model, and the fields that make its key.
KINDS: Final[dict[str, tuple[type[Record], tuple[str, ...]]]] = {
    "items": (Item, ("item",)),
    "locations": (Location, ("location",)),
    "channels": (Channel, ("channel",)),
    "channel_items": (ChannelItem, ("channel", "item")),
    "reconciliation": (Reconciliation, ("source",)),
}


def parse_reference(kind: str, key: bytes | None, value: bytes) -> Record:
    """The record of one message of `inventory.<kind>`; ReferenceError if it is wrong in itself."""
    model, key_fields = KINDS[kind]
    try:
        fields = parse_json(value)
    except ValueError as error:
        raise ReferenceError(f"value: {error}") from None
    if not isinstance(fields, dict):
        raise ReferenceError(f"value: {mismatch('an object', fields)}")
    try:
        record = model.model_validate(fields)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise ReferenceError(_sentence(problem)) from None
    expected = ":".join(getattr(record, field) for field in key_fields)
    if key != expected.encode():
        came = None if key is None else key.decode("utf-8", "replace")
        raise ReferenceError(f"key: {mismatch(f'{expected}, as the value says', came)}")
    return record


def _sentence(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    told = mismatch("a value", None) if problem["type"] == "missing" else problem["ctx"]["error"]
    return f"{name}: {told}" if name else str(told)
