"""Reads JSON that others send: numbers exact, ids of any length, and every wrong value refused by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from operators.adapters.account import Refused
from operators.adapters.context import Context
from operators.adapters.values import moment, number_of, utc_text
from schemas.codes import BAD_VALUE, MISSING_FIELD, NOT_JSON, JsonNumber, mismatch, parse_json, parse_number, parse_time

Object = Mapping[str, Any]

_EPOCH: Final = datetime(1970, 1, 1)
_BOM: Final = b"\xef\xbb\xbf"
_local = re.compile(
    r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})(?:[Tt ]([0-9]{1,2}):?([0-9]{2})(?::?([0-9]{2})(?:[.,]([0-9]{1,9}))?)?)?"
).fullmatch
_odd_offset = re.compile(r"(.*[0-9])([+-])([0-9]{2}):?([0-9]{2})?").fullmatch


def read_json(raw: bytes) -> object:
    """A document, with or without a byte order mark; Refused with not_json where it is none, cut off ones too."""
    try:
        return parse_json(raw.removeprefix(_BOM))
    except ValueError as error:
        raise Refused(NOT_JSON, str(error)) from None


def object_of(value: object, what: str) -> Object:
    """The object that has to stand here."""
    if value is None:
        raise Refused(MISSING_FIELD, f"{what}: expected an object, got nothing")
    if not isinstance(value, dict):
        raise Refused(BAD_VALUE, f"{what}: {mismatch('an object', value)}")
    return value


def array_of(value: object, what: str) -> list[Any]:
    """The array that stands here; null and absent are an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise Refused(BAD_VALUE, f"{what}: {mismatch('an array', value)}")
    return value


def text_of(value: object, what: str) -> str:
    """A text, or a number as it is written: an id may be either. Nothing for null and absent."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, JsonNumber):
        return value.text
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Refused(BAD_VALUE, f"{what}: {mismatch('text or a number', value)}")


def quantity_of(value: object, what: str) -> int | str:
    """A number of any sign, or its text; Refused with missing_field for null: null is never 0."""
    if value is None or value == "":
        raise Refused(MISSING_FIELD, f"{what}: expected a number, got nothing")
    try:
        number = parse_number(value.strip() if isinstance(value, str) else value)
    except ValueError as error:
        raise Refused(BAD_VALUE, f"{what}: {error}") from None
    return number_of(str(number), what)


def count_of(value: object, what: str) -> int | str:
    """As quantity_of, of 0 or more."""
    number = quantity_of(value, what)
    if is_below_zero(number):
        raise Refused(BAD_VALUE, f"{what}: {mismatch('a number of 0 or more', value)}")
    return number


def is_below_zero(number: int | str) -> bool:
    """Of a number as quantity_of gives it."""
    return number < 0 if isinstance(number, int) else number.startswith("-")


def opposite(number: int | str) -> int | str:
    """The number with the other sign."""
    if isinstance(number, int):
        return -number
    return number[1:] if number.startswith("-") else f"-{number}"


def instant_of(context: Context, value: object, what: str) -> str:
    """RFC 3339 in UTC of a time as text; what it leaves open, the source's time_zone and time_of_day say."""
    text = text_of(value, what)
    if not text:
        raise Refused(MISSING_FIELD, f"{what}: expected a time, got nothing")
    return instant_of_text(context, text, what)


def instant_of_text(context: Context, text: str, what: str) -> str:
    """As instant_of."""
    try:
        return shortest(parse_time(text))
    except ValueError as error:
        reason = str(error)
    offset: int | None = None
    local = text
    if text[-1:] in "zZ":
        local, offset = text[:-1], 0
    else:
        odd = _odd_offset(text)
        if odd is not None and ":" in odd[1]:
            local = odd[1]
            hours, minutes = int(odd[3]), int(odd[4] or 0)
            if hours > 23 or minutes > 59:
                raise Refused(BAD_VALUE, f"{what}: {reason}")
            offset = (hours * 60 + minutes) * 60 * (-1 if odd[2] == "-" else 1)
    parts = _local(local)
    if parts is None:
        raise Refused(BAD_VALUE, f"{what}: {reason}")
    year, month, day, hour, minute, second, fraction = parts.groups()
    time_us = None
    if hour is not None:
        if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 59:
            raise Refused(BAD_VALUE, f"{what}: {reason}")
        time_us = ((int(hour) * 60 + int(minute)) * 60 + int(second or 0)) * 1_000_000
        time_us += int((fraction or "")[:6].ljust(6, "0"))
    elif offset is not None:
        raise Refused(BAD_VALUE, f"{what}: {reason}")
    return moment(context, what, int(year), int(month), int(day), time_us, offset)


def shortest(moment_us: int) -> str:
    """UTC microseconds as RFC 3339, with a fraction only where there is one; a year always has four digits."""
    return utc_text(_EPOCH + timedelta(microseconds=moment_us))


def compact(moment_text: str) -> str:
    """A moment as an id has it: without the colons and dashes that an id would have to quote."""
    return moment_text.replace(":", "").replace("-", "")
