"""How ids, times and numbers of other systems' documents are read: exactly, or refused with a sentence.

Ids come from the business document alone: its kind, number, version, line. So the same document again is the same
event.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from operators.adapters.account import Refused
from operators.adapters.context import Context
from schemas.codes import BAD_VALUE, ID_LENGTH_MAX, MISSING_FIELD, NUMBER_DIGITS_MAX, QUANTITY_LIMIT, is_negative, show

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
#: digits that are below 2^53 whatever they are
_PLAIN_DIGITS: Final = 15
_plain = re.compile(r"[!-9;-~]+").fullmatch
_number = re.compile(r"([+-]?)0*([0-9]*)(?:[.]([0-9]*))?").fullmatch


def make_id(*parts: str) -> str:
    """An id of these parts, told apart by colons: the same parts give the same id, others another.

    What may not stand in an id, and a colon of a part's own, are written as `%` and its UTF-8 bytes. An id that would
    be too long keeps its beginning and ends in 32 digits of its SHA-256.
    """
    text = ":".join([part if _plain(part) else _quoted(part) for part in parts])
    if len(text) <= ID_LENGTH_MAX:
        return text
    return f"{text[: ID_LENGTH_MAX - 33]}~{digest(text)}"


def sub_id(identity: str, *parts: str) -> str:
    """An id within a document's: its identity as it stands, and these parts behind it."""
    text = f"{identity}:{make_id(*parts)}"
    return text if len(text) <= ID_LENGTH_MAX else f"{text[: ID_LENGTH_MAX - 33]}~{digest(text)}"


def _quoted(part: str) -> str:
    return "".join(
        char if _plain(char) else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
        for char in part
    )


def id_of(text: str, what: str) -> str:
    """A document's own number as an id (an order_id, a receipt_id): itself where it may be one, else quoted."""
    stripped = text.strip()
    if not stripped:
        raise Refused(MISSING_FIELD, f"{what}: expected a number or name, got nothing")
    if len(stripped) <= ID_LENGTH_MAX and stripped.isascii() and stripped.isprintable() and " " not in stripped:
        return stripped
    return make_id(stripped)


def digest(text: str) -> str:
    """The first 32 hex digits of a text's SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def line_keys(numbers: Sequence[str], contents: Sequence[Hashable], details: Sequence[str] | None = None) -> list[str]:
    """What each line of a document is known by, in their order.

    Its own number; where it has none, or another line has the same, its content and how many equal lines stand before
    it. `details`: what else the lines say; equal lines are counted in its order and not in the document's, so that
    these too may be shuffled, while a document that says something else of the same line is a conflict and no new
    line.
    """
    repeated = Counter(numbers)
    keys = list(numbers)
    alike: dict[tuple[str, Hashable], list[int]] = {}
    for index, number in enumerate(numbers):
        if not number or repeated[number] > 1:
            alike.setdefault((number, contents[index]), []).append(index)
    for (number, content), indexes in alike.items():
        own = digest(repr(content))[:16]
        if details is not None:
            indexes.sort(key=details.__getitem__)
        for count, index in enumerate(indexes, 1):
            keys[index] = f"{number}~{own}.{count}"
    return keys


def number_of(text: str, what: str, mark: str = ".") -> int | str:
    """A number as a quantity: an int where it is whole, else its decimal text; Refused says what came.

    `mark`: what stands before decimals. Zeros in front and a bare `.5` are read, as EDI has them.
    """
    if text.isascii() and text.isdecimal() and len(text) <= _PLAIN_DIGITS:
        return int(text)  # nearly all are: no need to look closer
    stripped = text.strip()
    if not stripped:
        raise Refused(MISSING_FIELD, f"{what}: expected a number, got nothing")
    if mark != ".":
        stripped = stripped.replace(mark, ".") if "." not in stripped else stripped
    found = _number(stripped) if len(stripped) <= 2 * NUMBER_DIGITS_MAX else None
    if found is None or not (found[2] or found[3] or "0" in stripped):
        raise Refused(BAD_VALUE, f"{what}: expected a number, got {show(text)}")
    sign, whole, fraction = found.groups()
    decimals = (fraction or "").rstrip("0")
    if len(whole) > 16 or len(decimals) > NUMBER_DIGITS_MAX or int(whole or 0) >= QUANTITY_LIMIT:
        raise Refused(BAD_VALUE, f"{what}: expected a number below 2^53, got {show(text)}")
    minus = "-" if sign == "-" else ""
    return f"{minus}{whole or '0'}.{decimals}" if decimals else int(f"{minus}{whole or '0'}")


def positive(text: str, what: str, mark: str = ".") -> int | str:
    """As number_of, above zero."""
    number = number_of(text, what, mark)
    if number == 0 or is_negative(number):
        raise Refused(BAD_VALUE, f"{what}: expected a number above 0, got {show(text)}")
    return number


def not_negative(text: str, what: str, mark: str = ".") -> int | str:
    """As number_of, 0 or above."""
    number = number_of(text, what, mark)
    if is_negative(number):
        raise Refused(BAD_VALUE, f"{what}: expected a number of 0 or more, got {show(text)}")
    return number


def plain(number: Decimal) -> int | str:
    """A Decimal as number_of writes it."""
    whole = int(number)
    if number == whole:
        return whole
    return format(number.normalize(), "f")


def moment(
    context: Context,
    what: str,
    year: int,
    month: int,
    day: int,
    time_us: int | None = None,
    offset_s: int | None = None,
) -> str:
    """RFC 3339 in UTC of a document's date and time.

    `time_us`: microseconds after midnight, or None where the document gives no time: then the source's time_of_day,
    else missing_field. `offset_s`: seconds east of UTC, or None: then the source's time_zone, else missing_field. A
    time that a zone has twice is its first; one that it leaves out is that of the offset before.
    """
    if time_us is None:
        time_us = context.time_of_day
        if time_us is None:
            raise Refused(
                MISSING_FIELD,
                f"{what}: expected a time, got a date alone: sources.{context.source}.time_of_day says which is meant",
            )
    try:
        at = datetime(year, month, day) + timedelta(microseconds=time_us)
    except (ValueError, OverflowError):
        raise Refused(BAD_VALUE, f"{what}: expected a date of the calendar, got {year}-{month}-{day}") from None
    if offset_s is None:
        if context.time_zone is None:
            raise Refused(
                MISSING_FIELD,
                f"{what}: expected a time with its offset, got {at.isoformat()}: sources.{context.source}.time_zone "
                "says whose clock it is",
            )
        aware = at.replace(tzinfo=context.time_zone)
        offset = aware.utcoffset() or timedelta(0)
    else:
        offset = timedelta(seconds=offset_s)
    try:
        return utc_text(at - offset)
    except (ValueError, OverflowError):
        raise Refused(BAD_VALUE, f"{what}: expected a time of the years 1 to 9999, got {at.isoformat()}") from None


def utc_text(at: datetime) -> str:
    """A moment of UTC as RFC 3339, with microseconds only where there are some."""
    return at.replace(tzinfo=None).isoformat() + "Z"
