"""Decides for the naive model what a message says: objects, codes, times and exact numbers, or why they cannot be used.

Rule 1: nothing is imported but Python's own, so that a mistake of the engine cannot also be a mistake of its judge.
Rule 2: no number passes through a float. Rule 3: a field that is null is a field that is absent.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LIMIT = 2**53
"""Quantities stay below it, so that they are exact in every JSON reader."""

CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")
IDENTIFIER = re.compile(r"[\x21-\x7e]{1,128}")
STATUS = re.compile(r"available|quarantined")
TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
#: The end of a time in UTC, behind its minute, which is 16 characters long.
SECONDS = re.compile(r":([0-5]\d)(?:\.(\d+))?[Zz]", re.ASCII)
MINUTE_LENGTH = 16
DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"-?(?:0|[1-9]\d{0,17})", re.ASCII)
"""A number that needs no fraction; longer ones may be larger than a quantity can be, and are read the long way."""
RATIO = re.compile(r"([1-9]\d{0,59})/([1-9]\d{0,59})", re.ASCII)
"""No longer than a number may be: Python does not read a text of any length as an integer."""

IDENTIFIERS = {
    *("event_id", "order_id", "line_id", "transfer_id", "receipt_id", "part_of", "correlation_id"),
    "statement_id",
}
TIMES = {"occurred_at", "eta", "expires_at", "requested_at"}
DATES = {"best_before"}

DAY_US = 86_400_000_000
#: what Python can write as a local time, whatever the zone
FIRST_US, LAST_US = -62_135_000_000_000_000, 253_402_000_000_000_000

Fields = dict[str, Any]
"""What a JSON object says, without the fields that are null."""
Place = tuple[str, int, int]
"""(topic without prefix, partition, offset)"""


class Record(NamedTuple):
    """A message as a topic holds it; records of one topic sort by partition and offset."""

    place: Place
    timestamp_us: int
    key: bytes
    value: bytes | None


class Refused(Exception):
    """A unit or a reference record that a rule said no to; the code is the contract's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class TooFine(Refused):
    """A number that is not 0, and nearer to it than any quantity can be; all that is left of it is on which side."""

    def __init__(self, is_negative: bool) -> None:
        super().__init__("quantity_not_exact")
        self.is_negative = is_negative


class Number(NamedTuple):
    """A JSON number as it was written: no float in between, no limit on its digits."""

    text: str


def _no_constant(text: str) -> NoReturn:
    """NaN and the infinities are no JSON."""
    raise ValueError(text)


_decoder: Any = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_no_constant)
_scan = _decoder.scan_once


def read_object(value: bytes) -> Fields:
    """Read a JSON object; what is null in it is left out."""
    try:
        text = value.decode().strip(" \t\n\r")
        said, end = _scan(text, 0)
    except (ValueError, StopIteration, RecursionError):
        raise Refused("not_json") from None
    if end != len(text):
        raise Refused("not_json")
    if not isinstance(said, dict):
        raise Refused("not_an_object")
    return without_nulls(said)


def without_nulls(said: Fields) -> Fields:
    """Leave out what is null."""
    return {name: entry for name, entry in said.items() if entry is not None} if None in said.values() else said


def number(value: object) -> Fraction:
    """Read an integer or decimal, a JSON number or in a string."""
    text = value.text if isinstance(value, Number) else value
    if not isinstance(text, str) or not NUMBER.fullmatch(text):
        raise Refused("bad_value")
    try:
        decimal = Decimal(text)
    except InvalidOperation:
        raise Refused("bad_value") from None
    if decimal and decimal.adjusted() > 60:
        raise Refused("bad_value")
    if decimal and decimal.adjusted() < -60:
        raise TooFine(decimal < 0)
    return Fraction(decimal) if decimal else Fraction(0)


def exact(value: object) -> Fraction | int:
    """Read the same; what is written as a whole number is one."""
    text = value.text if isinstance(value, Number) else value
    return int(text) if isinstance(text, str) and WHOLE.fullmatch(text) else number(value)


def factor(value: object) -> Fraction | int:
    """Read how many base units a unit is worth: a number, or a text "n/d" of two whole numbers of at least 1."""
    ratio = RATIO.fullmatch(value) if isinstance(value, str) else None
    worth = Fraction(int(ratio[1]), int(ratio[2])) if ratio else number(value)
    if worth <= 0:
        raise Refused("bad_value")
    return worth.numerator if worth.denominator == 1 else worth


def instant(text: object) -> int:
    """Give the UTC microseconds of an RFC 3339 time with an offset; digits beyond the microsecond are cut off."""
    # Most are in UTC, and many in one minute: a minute is read once.
    end = SECONDS.fullmatch(text, MINUTE_LENGTH) if isinstance(text, str) else None
    if end is None:
        return _instant(text)
    second, fraction = end.groups()
    return _minute(end.string[:MINUTE_LENGTH]) + int(second) * 1_000_000 + int((fraction or "")[:6].ljust(6, "0"))


@lru_cache(maxsize=65_536)
def _minute(text: str) -> int:
    return _instant(f"{text}:00Z")


def _instant(text: object) -> int:
    match = TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise Refused("bad_value")
    *parts, fraction, sign, hours, minutes = match.groups()
    year, month, day, hour, minute, second = map(int, parts)
    try:
        since = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC) - EPOCH
    except ValueError:
        raise Refused("bad_value") from None
    ahead = (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1) if sign else 0
    seconds = since.days * 86_400 + since.seconds - ahead * 60 + max(0, second - 59)
    # RFC 3339 has a second 60 at the end of a UTC day only; as in POSIX it is the second that follows.
    if second > 59 and (second > 60 or seconds % 86_400):
        raise Refused("bad_value")
    return seconds * 1_000_000 + int((fraction or "")[:6].ljust(6, "0"))


def calendar_day(text: object) -> int:
    """Give the days from 1970-01-01 to a date that the calendar has."""
    if not isinstance(text, str) or not DATE.fullmatch(text):
        raise Refused("bad_value")
    try:
        return (date.fromisoformat(text) - EPOCH.date()).days
    except ValueError:
        raise Refused("bad_value") from None


def day_of(moment_us: int, zone: tzinfo) -> int:
    """Give the day that a moment falls on there, in days since 1970-01-01 by that place's own calendar."""
    # At the two ends of time the offset is that of the last moment that has one.
    known = EPOCH + timedelta(microseconds=min(max(moment_us, FIRST_US), LAST_US))
    ahead = known.astimezone(zone).utcoffset() or timedelta()
    return (moment_us + ahead // timedelta(microseconds=1)) // DAY_US


def take(said: Fields, name: str, required: bool = False) -> Any:
    """Give a field in its own form: code, identifier, status, time or date; None if it is absent."""
    if name not in said:
        if required:
            raise Refused("missing_field")
        return None
    value = said[name]
    if name in TIMES:
        return instant(value)
    if name in DATES:
        return calendar_day(value)
    if not isinstance(value, str):
        raise Refused("bad_value")
    if name in IDENTIFIERS:
        if not IDENTIFIER.fullmatch(value):
            raise Refused("bad_value")
        return value
    return _status(value) if name.endswith("status") else _code(value)


@lru_cache(maxsize=65_536)
def _code(text: str) -> str:
    """Give a code, one text for all that say the same: there are few, and they are said often."""
    if not CODE.fullmatch(text):
        raise Refused("bad_value")
    return text


@lru_cache(maxsize=16)
def _status(text: str) -> str:
    if not STATUS.fullmatch(text):
        raise Refused("bad_value")
    return text


def integer(said: Fields, name: str, default: int, low: int, high: int = LIMIT - 1) -> int:
    """Give a whole number within bounds, written as a number and not in a string; the default is within them."""
    if name not in said:
        return default
    value = exact(said[name])
    if value.denominator != 1 or not low <= value <= high or isinstance(said[name], str):
        raise Refused("bad_value")
    return int(value)


def flag(said: Fields, name: str, default: bool) -> bool:
    """Give what is true or false."""
    value = said.get(name, default)
    if not isinstance(value, bool):
        raise Refused("bad_value")
    return value
