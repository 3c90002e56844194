"""Makes events of rows as a mapping says: which rule a row answers to, each field read, what the row is known by.

A row is whatever gives a value for a name: a line of a CSV file, an object of a JSON document, a row of a database.
What it gives is text, a number, true or false, or None where there is nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Protocol

from operators.adapters.account import Refused
from operators.adapters.checking import check
from operators.adapters.context import Context
from operators.adapters.json_reading import instant_of_text, is_below_zero, opposite
from operators.adapters.mapping import (
    MEASURES,
    NUMBERS,
    OF_THE_ORDER,
    PROMISED,
    STATED,
    TIME_FORMS,
    TIMES,
    Rule,
    Take,
)
from operators.adapters.values import id_of, moment, number_of, plain, utc_text
from schemas.codes import BAD_VALUE, MISSING_FIELD, JsonNumber, show
from schemas.event_table import EVENTS, REVERSIBLE

_EPOCH: Final = datetime(1970, 1, 1)
_whole = re.compile(r"-?[0-9]{1,20}").fullmatch
#: of a size that anybody would send: its digits can be written out
_scientific = re.compile(r"-?[0-9]{1,64}(?:\.[0-9]{1,64})?[eE][+-]?[0-9]{1,2}").fullmatch
_has_time = re.compile(r"%[HIMSfTRXcrs]").search
#: beyond any time that a document tells, and small enough to be added
_MICROS_MAX: Final = 10**17


class Row(Protocol):
    """What a mapping looks into."""

    def get(self, name: str) -> object:
        """The value that stands there, or None; Refused where it cannot be known."""


class Numbers(Protocol):
    """How a file writes numbers."""

    @property
    def decimal(self) -> str:
        """What stands before decimals."""

    @property
    def thousands(self) -> str:
        """What stands between thousands."""


def answers(rule: Rule, row: Row) -> bool:
    """Does the row have what the rule's `when` says?"""
    for name, wanted in rule.when.items():
        choices = wanted if isinstance(wanted, tuple) else (wanted,)
        if _bare(row.get(name), name) not in {_bare(choice, name) for choice in choices}:
            return False
    return True


def values_of(row: Row, names: Sequence[str]) -> list[str]:
    """Give what stands at these names as text."""
    return [_bare(row.get(name), name) for name in names]


def body_of(rule: Rule, row: Row, context: Context, numbers: Numbers) -> dict[str, Any] | None:
    """Give the event of a row without its event_id, or a statement's row; None for a quantity of 0 that is no event.

    Below 0, what can be taken back is a reversal. Raises Refused.
    """
    kind = str(rule.becomes)
    fields: dict[str, Any] = {}
    for name, take in rule.fields.items():
        value = _field(name, take, row, context, numbers)
        if value is not None:
            fields[name] = value
    quantity = fields.get("quantity")
    if quantity == 0 and kind not in _MAY_BE_ZERO:
        return None
    for name in ("location", "to_location", "channel"):
        if name not in fields and _needs(kind, name):
            fields[name] = _of_the_source(context, name)
    if kind in (STATED, PROMISED):
        if "item" not in fields:
            raise Refused(MISSING_FIELD, "item: expected an item, got nothing")
        if not measures_in(fields):
            raise Refused(MISSING_FIELD, f"expected one of {', '.join(MEASURES)}, atp, got none")
        for name, number in measures_in(fields).items():
            if name not in _MAY_BE_BELOW_ZERO and is_below_zero(number):
                raise Refused(BAD_VALUE, f"{name}: expected a number of 0 or more, got {number}")
        return fields
    spec = EVENTS[kind]
    if quantity is not None and kind not in _MAY_BE_ZERO:
        if is_below_zero(quantity) and kind != "stock_adjusted":
            if kind not in REVERSIBLE:
                raise Refused(BAD_VALUE, f"quantity: expected a number above 0, got {quantity}")
            fields["quantity"] = opposite(quantity)
            fields["reversal"] = not fields.get("reversal", False)
    elif quantity is not None and is_below_zero(quantity):
        raise Refused(BAD_VALUE, f"quantity: expected a number of 0 or more, got {quantity}")
    head = {"type": kind, "source": context.source}
    if spec.line is None:
        return _checked(head | fields)
    in_head = {name for name in fields if name in OF_THE_ORDER or name in spec.head.model_fields}
    in_head -= set(spec.line.model_fields) - {"reversal"}
    line = {name: value for name, value in fields.items() if name not in in_head}
    return _checked(head | {name: fields[name] for name in fields if name in in_head} | {"lines": [line]})


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    check(body)
    return body


#: measures of a statement
_MAY_BE_BELOW_ZERO: Final = frozenset({"on_hand", "available"})
#: what 0 is a word of its own for
_MAY_BE_ZERO: Final = frozenset({"order_placed", "receipt_expected", "stock_counted", "stock_withheld"})


def _needs(kind: str, name: str) -> bool:
    if kind == STATED:
        return name == "location"
    if kind == PROMISED:
        return name == "channel"
    spec = EVENTS[kind]
    models = [spec.model] if spec.line is None else [spec.head, spec.line]
    return any(name in model.model_fields and model.model_fields[name].is_required() for model in models)


def _of_the_source(context: Context, name: str) -> str:
    value: str | None = getattr(context, name)
    if value is None:
        raise Refused(
            MISSING_FIELD,
            f"{name}: expected a code, got nothing: neither the row nor sources.{context.source}.{name} has one",
        )
    return value


def _field(name: str, take: Take, row: Row, context: Context, numbers: Numbers) -> Any:
    """Read one field; None where nothing stands there."""
    if take.sum:
        return _sum(name, take, row, numbers)
    value = _given(take, row)
    if name in NUMBERS and value is not None:
        number = _number(name, take, value, numbers)
        return opposite(number) if take.sign == "negate" else _absolute(number) if take.sign == "absolute" else number
    if name in TIMES:
        return None if value is None or value == "" else time_of(take, value, context, name)
    text = _bare(value, name)
    text = take.map.get(text, text).removeprefix(take.remove_prefix)
    if not text:
        return None
    return _coded(name, take.prefix + text, context)


def _coded(name: str, text: str, context: Context) -> Any:
    match name:
        case "item" | "uom" | "lot" | "channel":
            return context.ours(name, text, name)
        case "location" | "to_location":
            return context.ours("location", text, name)
        case "status" | "from_status" | "to_status":
            return context.ours("status", text, name)
        case "best_before":
            return instant_of_text(context, text, name)[:10] if "T" in text else text
        case "reversal":
            if text not in ("true", "false"):
                raise Refused(BAD_VALUE, f"reversal: expected true or false, got {show(text)}")
            return text == "true"
        case "reason":
            return text
        case _:
            return id_of(text, name)


def _given(take: Take, row: Row) -> object:
    if take.value is not None:
        return take.value
    for name in take.from_:
        value = row.get(name)
        if value is not None and value != "":
            return value
    return take.default


def _bare(value: object, name: str) -> str:
    """Give what stands there as text: what an id, a code or a condition is compared by."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, JsonNumber):
        return value.text
    if isinstance(value, int):
        return str(value)
    raise Refused(BAD_VALUE, f"{name}: expected text or a number, got {show(value)}")


def _sum(name: str, take: Take, row: Row, numbers: Numbers) -> int | str:
    total, found = Decimal(0), False
    for column in take.sum:
        value = row.get(column)
        if value is not None and value != "":
            total += Decimal(_number(column, take, value, numbers))
            found = True
    if not found:
        raise Refused(MISSING_FIELD, f"{name}: expected a number in {', '.join(take.sum)}, got nothing")
    return number_of(str(plain(total)), name)


def _number(name: str, take: Take, value: object, numbers: Numbers) -> int | str:
    if isinstance(value, dict):  # Debezium's decimal of any scale
        return _decoded(name, value.get("value"), value.get("scale"))
    if isinstance(value, str):
        if take.scale is not None:
            return _decoded(name, value, take.scale)
        text = value.strip()
        if numbers.thousands:
            text = text.replace(numbers.thousands, "")
        return number_of(text, name, numbers.decimal)
    return number_of(_plain_digits(_bare(value, name)), name)


def _plain_digits(text: str) -> str:
    """Give a JSON number without an exponent, where it has one of a size that anybody would send."""
    if "e" not in text and "E" not in text:
        return text
    if not _scientific(text):
        return text  # number_of says what is wrong with it
    return format(Decimal(text), "f")


def _absolute(number: int | str) -> int | str:
    return opposite(number) if is_below_zero(number) else number


def _decoded(name: str, value: object, scale: object) -> int | str:
    """Give a decimal that came as base64 of its unscaled value, big-endian in two's complement."""
    try:
        if not isinstance(value, str) or not isinstance(scale, int) or not -64 <= scale <= 64 or len(value) > 64:
            raise ValueError
        unscaled = int.from_bytes(base64.b64decode(value, validate=True), "big", signed=True)
    except (binascii.Error, ValueError):
        raise Refused(BAD_VALUE, f"{name}: expected a decimal in base64 and its scale, got {show(value)}") from None
    return number_of(str(plain(Decimal(unscaled).scaleb(-scale))), name)


def time_of(take: Take, value: object, context: Context, name: str) -> str:
    """Give RFC 3339 in UTC of a field, read as its `time` says."""
    text = _bare(value, name)
    # A column whose type says what its numbers mean, unless the mapping knows better.
    form = take.time if take.time != "text" else getattr(value, "form", "text")
    if form == "text":
        return instant_of_text(context, text, name)
    if "%" in form:
        return _formatted(form, text, context, name)
    if not _whole(text):
        raise Refused(BAD_VALUE, f"{name}: expected a whole number of {form}, got {show(text)}")
    if form == "days":
        days = int(text)
        if abs(days) > 3_000_000:
            raise Refused(BAD_VALUE, f"{name}: expected days since 1970, got {show(text)}")
        micros: int = days * 86_400_000_000
        at = _at(micros, name, text)
        return moment(context, name, at.year, at.month, at.day)
    unit = TIME_FORMS[form]
    micros = int(text) * unit if unit > 0 else int(text) // -unit
    at = _at(micros, name, text)
    if not form.startswith("local_"):
        return utc_text(at)
    return moment(context, name, at.year, at.month, at.day, micros % 86_400_000_000)


def _at(micros: int, name: str, text: str) -> datetime:
    if abs(micros) > _MICROS_MAX:
        raise Refused(BAD_VALUE, f"{name}: expected a time of this age, got {show(text)}")
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        raise Refused(BAD_VALUE, f"{name}: expected a time of this age, got {show(text)}") from None


def _formatted(form: str, text: str, context: Context, name: str) -> str:
    try:
        at = datetime.strptime(text, form)
        if at.tzinfo is not None:
            return utc_text(at.astimezone(UTC))
    except (ValueError, OverflowError):
        raise Refused(BAD_VALUE, f"{name}: expected a time like {form}, got {show(text)}") from None
    time_us = None
    if _has_time(form):
        time_us = ((at.hour * 60 + at.minute) * 60 + at.second) * 1_000_000 + at.microsecond
    return moment(context, name, at.year, at.month, at.day, time_us)


def measures_in(body: dict[str, Any]) -> dict[str, int | str]:
    """Give the numbers of a statement's row."""
    return {name: body[name] for name in (*MEASURES, "atp") if name in body}
