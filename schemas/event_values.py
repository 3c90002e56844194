"""The values of events that have rules of their own: how much, and whether it is taken back.

Each is read from what schemas.codes.parse_json gives; what is wrong is a ValueError, "expected ..., got ...".
"""

from __future__ import annotations

from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

from schemas.codes import NUMBER_PATTERN, is_negative, mismatch, parse_number


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


def parse_reversal(value: object) -> bool:
    if type(value) is bool:
        return value
    raise mismatch("true or false", value)


def parse_no_reversal(value: object) -> bool:
    """Of what nothing takes back: false says no more than nothing does."""
    if value is False:
        return False
    raise mismatch("nothing or false (this type has no reversal)" if value is True else "true or false", value)


def parse_no_reversal_of_line(value: object) -> bool:
    if value is False:
        return False
    raise mismatch("nothing or false (a reversal stands on the event, for all its lines)", value)


def parse_no_lot(value: object) -> None:
    raise mismatch("nothing (what is withheld is of a location, not of a lot)", value)


def _number_schema(**bounds: int) -> WithJsonSchema:
    text = {"type": "string", "pattern": NUMBER_PATTERN}
    return WithJsonSchema({"anyOf": [{"type": "number", **bounds}, text]})


#: Quantities as sent, in the event's unit of measure: an int, or the exact decimal as text.
Positive = Annotated[int | str, PlainValidator(parse_positive), _number_schema(exclusiveMinimum=0)]
NotNegative = Annotated[int | str, PlainValidator(parse_not_negative), _number_schema(minimum=0)]
Change = Annotated[int | str, PlainValidator(parse_change), _number_schema()]
Reversal = Annotated[bool, PlainValidator(parse_reversal), WithJsonSchema({"type": "boolean"})]
NoReversal = Annotated[bool, PlainValidator(parse_no_reversal), WithJsonSchema({"const": False})]
NoReversalOfLine = Annotated[bool, PlainValidator(parse_no_reversal_of_line), WithJsonSchema({"const": False})]
NoLot = Annotated[None, PlainValidator(parse_no_lot), WithJsonSchema({"type": "null"})]
