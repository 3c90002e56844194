"""What each message of a statement must say: what a system has, at a moment (contract section 9).

A statement begins, states rows, and ends. Nothing of it is counted. The models say what is wrong in the same words as
those of events, and each message's `occurred_at` is the moment that it speaks of.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from schemas.codes import (
    CODE_PATTERN,
    NUMBER_PATTERN,
    QUANTITY_LIMIT,
    mismatch,
    near_match,
    parse_code,
    parse_integer,
    parse_number,
)
from schemas.event_values import NotNegative
from schemas.events import Code, Event, Id

#: What a row of goods may state, in the order in which all of them are kept.
MEASURES: Final = (
    "on_hand",
    "quarantined",
    "hard_reserved",
    "soft_allocated",
    "in_transit",
    "expected",
    "withheld",
    "available",
)
#: What a row of a channel states.
PROMISE: Final = "atp"
#: Those on which something may be held or corrected.
ACTIONABLE: Final = ("on_hand", "quarantined")
ITEMS: Final = ("stated", "all")


def _parse_scope(value: object) -> list[str]:
    if not isinstance(value, list) or not value:
        raise mismatch("an array of 1 or more location codes (nothing: all locations)", value)
    return list(dict.fromkeys(parse_code(code) for code in value))


def _parse_items(value: object) -> str:
    if isinstance(value, str) and value in ITEMS:
        return value
    raise ValueError(
        f"{mismatch('stated or all', value)}{near_match(value[:64], ITEMS) if isinstance(value, str) else ''}"
    )


def _parse_rows(value: object) -> int:
    try:
        number = parse_integer(value)
    except ValueError:
        number = -1
    if not 0 <= number < QUANTITY_LIMIT:
        raise mismatch("a whole number of rows, 0 or more", value)
    return number


_NUMBER = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": NUMBER_PATTERN}]}

Scope = Annotated[
    list[str],
    PlainValidator(_parse_scope),
    WithJsonSchema({"type": "array", "minItems": 1, "items": {"type": "string", "pattern": CODE_PATTERN}}),
]
Items = Annotated[str, PlainValidator(_parse_items), WithJsonSchema({"enum": list(ITEMS)})]
Rows = Annotated[int, PlainValidator(_parse_rows), WithJsonSchema({"type": "integer", "minimum": 0})]
#: A quantity of any sign, as sent: an int, or the exact decimal as text.
Figure = Annotated[int | str, PlainValidator(parse_number), WithJsonSchema(_NUMBER)]


class StatementMessage(Event):
    """What every message of a statement says: whose it is (`source`) and which (`statement_id`)."""

    statement_id: Id


class StatementStarted(StatementMessage):
    """Its `occurred_at` is the statement's as_of. What it is about: these locations and all beneath them, or all."""

    type: Literal["statement_started"]
    locations: Scope | None = None
    #: all: what is in scope and not stated is stated as 0
    items: Items = "stated"
    rows: Rows | None = None


class StockStated(StatementMessage):
    """A row: measures of an item at one location, of one lot or of all together."""

    type: Literal["stock_stated"]
    item: Code
    location: Code
    lot: Code | None = None
    on_hand: Figure | None = None
    quarantined: NotNegative | None = None
    hard_reserved: NotNegative | None = None
    soft_allocated: NotNegative | None = None
    in_transit: NotNegative | None = None
    expected: NotNegative | None = None
    withheld: NotNegative | None = None
    available: Figure | None = None

    @model_validator(mode="after")
    def _states_something(self) -> StockStated:
        if all(getattr(self, name) is None for name in MEASURES):
            expected = f"at least one measure of {', '.join(MEASURES)}"
            raise PydanticCustomError("missing", "{told}", {"told": f"on_hand: {mismatch(expected, None)}"})
        return self


class PromiseStated(StatementMessage):
    """A row: what a channel shows of an item."""

    type: Literal["promise_stated"]
    item: Code
    channel: Code
    atp: NotNegative


class StatementEnded(StatementMessage):
    """How many rows were sent."""

    type: Literal["statement_ended"]
    rows: Rows


_MODELS: tuple[tuple[str, type[StatementMessage]], ...] = (
    ("statement_started", StatementStarted),
    ("stock_stated", StockStated),
    ("promise_stated", PromiseStated),
    ("statement_ended", StatementEnded),
)
#: Type -> its model.
STATEMENT_TYPES: Final[dict[str, type[Any]]] = dict(_MODELS)
