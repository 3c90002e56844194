"""What a mapping says: which rows of somebody's table, file or JSON become which events, field by field.

A mapping is data, and checked when it is read: a rule that could not make a valid event is refused by name before any
message is. CSV files, JSON documents and Debezium's rows share it; operators/adapters/row_events.py carries it out.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from schemas.codes import near_match
from schemas.event_table import EVENTS, REVERSIBLE

STATED: Final = "stock_stated"
PROMISED: Final = "promise_stated"
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
#: fields of an order event that are the whole order's
OF_THE_ORDER: Final = ("order_id", "channel")
TIMES: Final = ("occurred_at", "eta", "expires_at", "requested_at")
NUMBERS: Final = ("quantity", "atp", *MEASURES)
#: of every event; the translation fills them in
_OURS: Final = frozenset({"event_id", "type", "source", "schema_version", "lines"})
#: what the source's settings may say instead
_OF_THE_SOURCE: Final = frozenset({"location", "to_location", "channel"})


class Form(BaseModel):
    """Frozen, and without fields that nobody reads: a typing error is no setting."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Take(Form):
    """Where a field's value comes from, and how it is read. In a mapping a text alone stands for `from`."""

    #: a column or a path; of several the first that is not empty
    from_: Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)] = (
        Field(default=(), alias="from")
    )
    #: always this
    value: str | int | None = None
    #: numbers of these columns, added up; an empty one is 0, and at least one has to be there
    sum: tuple[str, ...] = ()
    #: theirs in place of what stands there; what is not named stays
    map: dict[str, str] = Field(default_factory=dict)
    #: if nothing stands there
    default: str | int | None = None
    remove_prefix: str = ""
    prefix: str = ""
    sign: Literal["as_is", "negate", "absolute"] = "as_is"
    #: text, an epoch in a unit (UTC), the same of a local clock, days since 1970, or a format of strptime
    time: str = "text"
    #: digits after the point of a decimal that Debezium sends as base64 without its schema
    scale: int | None = Field(default=None, ge=0, le=64)

    @model_validator(mode="after")
    def _says_one_thing(self) -> Take:
        if sum((bool(self.from_), self.value is not None, bool(self.sum))) != 1:
            raise ValueError("expected one of from, value and sum")
        if "%" not in self.time and self.time not in TIME_FORMS:
            raise ValueError(f"time: expected {', '.join(TIME_FORMS)} or a format with %, got {self.time!r}")
        return self


TIME_FORMS: Final = {
    "text": 0,
    "seconds": 1_000_000,
    "millis": 1_000,
    "micros": 1,
    "nanos": -1_000,
    "local_seconds": 1_000_000,
    "local_millis": 1_000,
    "local_micros": 1,
    "local_nanos": -1_000,
    "days": 0,
}

_Taken = Annotated[Take, BeforeValidator(lambda value: {"from": value} if isinstance(value, str) else value)]
_Scalar = str | int | bool


class Rule(Form):
    """Rows that answer to `when` become an event, a row of a statement, or nothing for a reason."""

    #: column or path: the value, or one of the values, that it has to have; "" is an empty or absent one
    when: dict[str, _Scalar | tuple[_Scalar, ...]] = Field(default_factory=dict)
    becomes: str | None = None
    ignore: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]{0,63}$")
    #: columns that tell the row from all others, and its version from other versions; none: the document, its
    #: content, how many equal rows stand before it
    id: tuple[str, ...] = ()
    fields: dict[str, _Taken] = Field(default_factory=dict)
    #: `quantity` is how much there has been in all: the row is remembered by `id`, with all that its other rules
    #: say, and only what is new is said; `order` names the column that is greater in a newer document
    cumulative: bool = False
    order: str | None = None
    #: of Debezium: rows that a snapshot shows for the first time are said, or only remembered
    snapshot: Literal["said", "remembered"] | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Rule:
        if (self.becomes is None) == (self.ignore is None):
            raise ValueError("expected one of becomes and ignore")
        if self.cumulative and not (self.id and self.order):
            raise ValueError("cumulative: expected id (what is counted) and order (which document is newer) beside it")
        if self.cumulative and (self.becomes not in REVERSIBLE or self.becomes.startswith("order_")):
            raise ValueError(f"cumulative: expected what goods do and a reversal takes back, got {self.becomes}")
        if self.becomes is not None:
            _check(self.becomes, self.fields)
        return self


def _check(becomes: str, fields: dict[str, Take]) -> None:
    known, required = _fields_of(becomes)
    for name in fields:
        if name not in known:
            raise ValueError(f"fields.{name}: {becomes} has no such field{near_match(name, known)}")
    missing = sorted(required - set(fields) - _OF_THE_SOURCE)
    if missing:
        raise ValueError(f"fields: {becomes} also needs {', '.join(missing)}")
    if becomes == STATED and not any(name in MEASURES for name in fields):
        raise ValueError(f"fields: {STATED} also needs one of {', '.join(MEASURES)}")


def _fields_of(becomes: str) -> tuple[set[str], set[str]]:
    """Give the fields that a rule may name, and those that it must."""
    if becomes == STATED:
        return {"item", "location", "lot", "uom", *MEASURES}, {"item"}
    if becomes == PROMISED:
        return {"item", "channel", "uom", "atp"}, {"item", "atp"}
    spec = EVENTS.get(becomes)
    if spec is None:
        names = [*EVENTS, STATED, PROMISED]
        raise ValueError(f"becomes: expected a type of event or statement, got {becomes!r}{near_match(becomes, names)}")
    models: list[type[BaseModel]] = [spec.model] if spec.line is None else [spec.head, spec.line]
    known = {name for model in models for name in model.model_fields} - _OURS
    required = {name for model in models for name, field in model.model_fields.items() if field.is_required()} - _OURS
    return known, required


class Statement(Form):
    """Of rows that become a statement."""

    #: when all of it was true; of the first row, or of the document (`$.path`, `@header`)
    as_of: _Taken
    #: every item of the locations is in it: what is not, is 0
    is_all: bool = False
    #: codes of ours that it is about; none: those of its rows
    locations: tuple[str, ...] = ()


class RowMapping(Form):
    """What CSV and JSON share."""

    #: columns or paths whose values, of the first row, name the document; none: the SHA-256 of its bytes
    document: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = Field(min_length=1)
    #: what becomes of a row that answers to no rule
    otherwise: Literal["refuse", "ignore"] = "refuse"
    statement: Statement | None = None
    #: what stands before decimals, and between thousands
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""

    @model_validator(mode="after")
    def _has_what_its_rules_need(self) -> RowMapping:
        is_stated = any(rule.becomes in (STATED, PROMISED) for rule in self.rules)
        if is_stated and self.statement is None:
            raise ValueError("statement: expected its as_of, for rows become a statement")
        if self.thousands == self.decimal:
            raise ValueError(f"thousands: expected another mark than decimal, got {self.thousands!r}")
        for number, rule in enumerate(self.rules):
            if rule.becomes not in (None, STATED, PROMISED) and "occurred_at" not in rule.fields:
                raise ValueError(f"rules.{number}: fields: {rule.becomes} also needs occurred_at")
        return self


def model_of(mapping: Any, expected: type[BaseModel]) -> Any:
    """The mapping of a context as its adapter expects it; anything else is a mistake of the caller."""
    if not isinstance(mapping, expected):
        raise TypeError(f"expected a {expected.__name__}, got {type(mapping).__name__}")
    return mapping
