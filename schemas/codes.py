"""What a code, an id, a time, a number and a duration may look like, and how each is read without losing anything.

Everything here is strict and bounded: the same text means the same value to every reader, and no input, however
hostile, costs more than its own length. Each parser raises ValueError with "expected ..., got ..." and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import Final

# What could not be used, contract section 7. These are stored in dead letters: never rename one.
NOT_JSON: Final = "not_json"
NOT_AN_OBJECT: Final = "not_an_object"
UNKNOWN_TYPE: Final = "unknown_type"
UNSUPPORTED_VERSION: Final = "unsupported_version"
MISSING_FIELD: Final = "missing_field"
BAD_VALUE: Final = "bad_value"
TOO_LARGE: Final = "too_large"
UNKNOWN_ITEM: Final = "unknown_item"
UNKNOWN_LOCATION: Final = "unknown_location"
UNKNOWN_CHANNEL: Final = "unknown_channel"
UNKNOWN_UOM: Final = "unknown_uom"
QUANTITY_NOT_EXACT: Final = "quantity_not_exact"
NOT_ALLOWED: Final = "not_allowed"
UNKNOWN_ALIAS: Final = "unknown_alias"
LATE: Final = "late"
IN_THE_FUTURE: Final = "in_the_future"
CONFLICT: Final = "conflict"

REFUSAL_CODES: Final = (
    NOT_JSON,
    NOT_AN_OBJECT,
    UNKNOWN_TYPE,
    UNSUPPORTED_VERSION,
    MISSING_FIELD,
    BAD_VALUE,
    TOO_LARGE,
    UNKNOWN_ITEM,
    UNKNOWN_LOCATION,
    UNKNOWN_CHANNEL,
    UNKNOWN_UOM,
    QUANTITY_NOT_EXACT,
    NOT_ALLOWED,
    UNKNOWN_ALIAS,
    LATE,
    IN_THE_FUTURE,
    CONFLICT,
)

#: Quantities stay below this in absolute value, so that a reader in any language (JSON's doubles) sees them exactly.
QUANTITY_LIMIT: Final = 2**53
#: An order line costs a unit; a thousand keeps the largest message inside one batch.
LINES_MAX: Final = 1000
SCHEMA_VERSION: Final = 1
#: Digits a number may have on either side of its point. Far above what 2**53 and six decimals need, and small enough
#: that no arithmetic on it is ever slow ("1e999999999" is eleven characters and a gigabyte of digits).
NUMBER_DIGITS_MAX: Final = 64
#: How deep arrays and objects may lie in each other. Ours are three deep; the limit is ours and not the interpreter's,
#: so that a message gets the same verdict whatever calls the reader.
NESTING_MAX: Final = 100

CODE_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$"
ID_PATTERN: Final = r"^[!-~]{1,128}$"
ID_LENGTH_MAX: Final = 128
NUMBER_PATTERN: Final = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"

CODE_EXPECTED: Final = "a code of 1 to 64 characters of A-Z a-z 0-9 . _ - / that begins with a letter or digit"
ID_EXPECTED: Final = "an id of 1 to 128 printable ASCII characters without spaces"
TIME_EXPECTED: Final = "an RFC 3339 time with an offset, such as 2025-01-31T12:00:00Z"
DATE_EXPECTED: Final = "a date of the calendar as YYYY-MM-DD, such as 2025-01-31"
NUMBER_EXPECTED: Final = f"an integer, or a decimal as number or string, of at most {NUMBER_DIGITS_MAX} digits a side"
TEXT_EXPECTED: Final = "text of Unicode characters"
JSON_EXPECTED: Final = "JSON in UTF-8"
DURATION_EXPECTED: Final = 'a duration such as "24h", "5m", "50ms", "7d" or a number of seconds'

# fullmatch, not match with "$": in Python "$" also matches before a final line feed.
_is_code = re.compile(CODE_PATTERN[1:-1]).fullmatch
_number = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?").fullmatch
_time = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
).fullmatch
_is_date = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_has_surrogate = re.compile("[\ud800-\udfff]").search
# Possessive, and content with text that never ends: else hostile quotes would make it start over at each of them.
_bracket_or_text = re.compile(r'"(?:[^"\\]+|\\.)*+"?|[\[\]{}]', re.DOTALL).finditer
_duration = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,18}))?(ms|s|m|h|d)?").fullmatch

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_TIME_MIN = (datetime(1, 1, 1) - _EPOCH_NAIVE) // _MICROSECOND
_TIME_MAX = (datetime.max - _EPOCH_NAIVE) // _MICROSECOND
_DAY = 86_400_000_000
_UNIT_MICROSECONDS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": _DAY, None: 1_000_000}
#: A hundred years: longer is a typing error, and it keeps every sum of times inside 64 bits.
_DURATION_MAX = 36_525 * _DAY

_SHOWN_MAX = 80


class JsonNumber:
    """A JSON number kept as its text, where a Python int or float would lose digits or time."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"JsonNumber({self.text[:_SHOWN_MAX]!r})"


def show(value: object) -> str:
    """What came, for an error message: one short line of printable ASCII, whatever was sent."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, JsonNumber):
        text = value.text
    elif isinstance(value, str):
        # Cut before quoting: a message must not cost the length of a megabyte of text.
        text = json.dumps(value[: _SHOWN_MAX + 1])
    elif isinstance(value, int):
        text = str(value) if value.bit_length() < 512 else "an integer of more than 150 digits"
    elif isinstance(value, (float, Decimal)):
        text = str(value)
    elif isinstance(value, dict):
        return "an object"
    elif isinstance(value, (list, tuple)):
        return "an array"
    else:
        return f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "..."


def mismatch(expected: str, got: object) -> ValueError:
    """The one form in which a wrong value is reported; the caller puts the field's name in front."""
    return ValueError(f"expected {expected}, got {show(got)}")


def near_match(word: str, known: Iterable[str]) -> str:
    """A hint to append to an error message, or nothing: what the writer probably meant."""
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


#: As is_code, by its truth; without a Python call in between, where microseconds count.
match_code: Final = _is_code


def is_code(value: str) -> bool:
    return _is_code(value) is not None


def is_id(value: str) -> bool:
    return 0 < len(value) <= ID_LENGTH_MAX and value.isascii() and value.isprintable() and " " not in value


def parse_code(value: object) -> str:
    if type(value) is str and _is_code(value) is not None:
        return value
    raise mismatch(CODE_EXPECTED, value)


def parse_id(value: object) -> str:
    if type(value) is str and is_id(value):
        return value
    raise mismatch(ID_EXPECTED, value)


def parse_text(value: object) -> str:
    """Text that can be written again: JSON's escapes can also spell half a character, which no encoding can."""
    if type(value) is str and (value.isascii() or not _has_surrogate(value)):
        return value
    raise mismatch(TEXT_EXPECTED, value)


def parse_time(text: object) -> int:
    """UTC microseconds since 1970 of an RFC 3339 time; digits beyond the microsecond are cut off.

    A time without an offset is refused: it would mean another instant in every time zone.
    """
    if type(text) is not str:
        raise mismatch(TIME_EXPECTED, text)
    # The usual shape first (0.4 us against 1.6 us). fromisoformat alone accepts more than RFC 3339 (weeks, basic
    # format, commas); with these marks in these places nothing else is left.
    utc = text if text[-1:] == "Z" else text[:-6] + "Z" if text[-6:] == "+00:00" else ""
    marks = utc[4:20:3]
    if (marks == "--T::." and len(utc) in (27, 24)) or (marks == "--T::Z" and len(utc) == 20):
        try:
            since = datetime.fromisoformat(utc) - _EPOCH
        except ValueError:
            pass  # a leap second, or wrong: the full parser tells
        else:
            return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return _parse_time_fully(text)


def _parse_time_fully(text: str) -> int:
    parts = _time(text)
    if parts is None:
        raise mismatch(TIME_EXPECTED, text)
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = parts.groups()
    # RFC 3339 allows 23:59:60 UTC; like POSIX we count it as the second that follows.
    is_leap = second == "60"
    try:
        naive = datetime(int(year), int(month), int(day), int(hour), int(minute), 59 if is_leap else int(second))
    except ValueError:
        raise mismatch(TIME_EXPECTED, text) from None
    instant = (naive - _EPOCH_NAIVE) // _MICROSECOND
    if sign is not None:
        if int(offset_hours) > 23 or int(offset_minutes) > 59:
            raise mismatch(TIME_EXPECTED, text)
        offset = (int(offset_hours) * 60 + int(offset_minutes)) * 60_000_000
        instant += offset if sign == "-" else -offset
    if is_leap:
        instant += 1_000_000
        if instant % _DAY:
            raise mismatch(TIME_EXPECTED, text)
    if fraction is not None:
        instant += int(fraction[:6].ljust(6, "0"))
    if not _TIME_MIN <= instant <= _TIME_MAX:
        raise mismatch(TIME_EXPECTED, text)
    return instant


def parse_date(text: object) -> int:
    """Days since 1970-01-01 of a date; only as YYYY-MM-DD, for fromisoformat also reads weeks and basic format."""
    if type(text) is str and _is_date(text) is not None:
        try:
            return date.fromisoformat(text).toordinal() - _EPOCH_DAY
        except ValueError:
            pass  # no such day
    raise mismatch(DATE_EXPECTED, text)


def parse_number(value: object) -> int | str:
    """The exact value of a number as sent: an int where it is whole (5, 5.0, "5", 50e-1), else its plain decimal text.

    Text must follow JSON's number grammar. A bool is not a number. Costs no more than reading the text once.
    """
    if type(value) is int:
        if value.bit_length() > 212:  # 10**64 has 213 bits
            raise mismatch(NUMBER_EXPECTED, value)
        return value
    if type(value) is JsonNumber:
        text = value.text
    elif type(value) is str:
        text = value
    elif isinstance(value, (float, Decimal)):
        text = str(value)  # inf and nan fail the grammar
    else:
        raise mismatch(NUMBER_EXPECTED, value)
    parts = _number(text)
    if parts is None:
        raise mismatch(NUMBER_EXPECTED, value)
    sign, whole, fraction, exponent_sign, exponent_text = parts.groups()
    fraction = fraction or ""
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return 0  # also 0e999999999
    exponent_text = (exponent_text or "0").lstrip("0") or "0"
    if len(exponent_text) > 7:  # beyond what 1 MiB of digits could bring back to a usable size
        raise mismatch(NUMBER_EXPECTED, value)
    exponent = int(exponent_text)
    point = (-exponent if exponent_sign == "-" else exponent) - len(fraction)
    significant = digits.rstrip("0")
    point += len(digits) - len(significant)
    # The number is now significant * 10**point, without a zero at either end.
    if len(significant) + point > NUMBER_DIGITS_MAX or -point > NUMBER_DIGITS_MAX:
        raise mismatch(NUMBER_EXPECTED, value)
    if point >= 0:
        return int(sign + significant + "0" * point)
    padded = significant.rjust(1 - point, "0")
    return f"{sign}{padded[:point]}.{padded[point:]}"


def is_negative(number: int | str) -> bool:
    """Of a number as parse_number gives it, whose text is never zero."""
    return number[0] == "-" if isinstance(number, str) else number < 0


def exceeds(left: int | str, right: int | str) -> bool:
    """Of two numbers as parse_number gives them."""
    if isinstance(left, int) and isinstance(right, int):
        return left > right
    return Decimal(left) > Decimal(right)


def parse_decimal(value: object) -> Decimal:
    """As parse_number, as a Decimal."""
    return Decimal(parse_number(value))


def parse_integer(value: object) -> int:
    """As parse_number, for what must be whole."""
    number = parse_number(value)
    if type(number) is int:
        return number
    raise mismatch("an integer", value)


def parse_json(value: bytes) -> object:
    """What a strict reader makes of the bytes: fractions and long integers stay text, the last repeated key counts.

    Refused: what is not UTF-8, a byte order mark, NaN and Infinity, nesting beyond NESTING_MAX.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"expected {JSON_EXPECTED}, got bytes that are not UTF-8 at byte {error.start}") from None
    # Nothing can be nested deeper than it has brackets; counting them is a hundred times cheaper than following them.
    if text.count("{") + text.count("[") > NESTING_MAX:
        _refuse_depth(text)
    try:
        return _read_json(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"expected {JSON_EXPECTED}, got other text: {error.msg} at character {error.pos}") from None


def _refuse_depth(text: str) -> None:
    depth = 0
    for match in _bracket_or_text(text):
        mark = match[0]
        if mark in "[{":
            depth += 1
            if depth > NESTING_MAX:
                raise ValueError(f"expected {JSON_EXPECTED}, got more than {NESTING_MAX} levels of nesting")
        elif mark in "]}":
            depth -= 1


def _json_integer(text: str) -> int | JsonNumber:
    # Turning digits into an int takes quadratic time, and Python refuses more than 4,300 of them.
    return int(text) if len(text) <= NUMBER_DIGITS_MAX else JsonNumber(text)


def _json_constant(text: str) -> object:
    raise ValueError(f"expected {JSON_EXPECTED}, got {text}")


_read_json = json.JSONDecoder(parse_float=JsonNumber, parse_int=_json_integer, parse_constant=_json_constant).decode


def parse_duration(value: object) -> int:
    """Microseconds of "24h", "5m", "50ms", "2s", "7d", or of a number (or its text) of seconds. Never negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise mismatch(DURATION_EXPECTED, value)
    text = value.strip() if isinstance(value, str) else show(value)
    parts = _duration(text)
    if parts is None:
        raise mismatch(DURATION_EXPECTED, value)
    whole, fraction, unit = parts.groups()
    size = _UNIT_MICROSECONDS[unit]
    microseconds = int(whole) * size
    if fraction is not None:
        part, rest = divmod(int(fraction) * size, 10 ** len(fraction))
        if rest:
            raise mismatch("a duration of whole microseconds", value)
        microseconds += part
    if microseconds > _DURATION_MAX:
        raise mismatch("a duration of at most 100 years", value)
    return microseconds
