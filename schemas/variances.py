"""What comes out of comparing: variances, what became of each statement, and what people decide (contract section 9).

Models of what is written, as in schemas/outputs.py; a decision is also read, and judged like an event.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator

from schemas.codes import CODE_PATTERN, ID_PATTERN, mismatch, near_match, show
from schemas.events import Code as SentCode
from schemas.events import Id as SentId
from schemas.events import Shape, Text, Time
from schemas.statements import ACTIONABLE, MEASURES, PROMISE

#: What each measure is compared as, a promise's among them.
ALL_MEASURES: Final = (*MEASURES, PROMISE)
#: In the order in which they are tried: the first that fits is named.
VARIANCE_CAUSES: Final = (
    "unit",
    "sign",
    "lots",
    "statuses",
    "locations",
    "in_flight",
    "absent",
    "doubled",
    "missing_there",
    "missing_here",
    "stale",
    "unknown",
)
STATES: Final = ("open", "held", "corrected", "accepted", "rejected", "resolved")
ACTIONS: Final = ("report", "hold", "correct", "ask")
VERDICTS: Final = ("pending", "accepted", "rejected")
#: Why a statement was rejected.
REASONS: Final = (
    "not_started",
    "not_ended",
    "rows_missing",
    "rows_too_many",
    "contradicts_itself",
    "empty",
    "fewer_than_last",
    "too_many_in_variance",
)
#: What a person may decide about a variance; `undo` takes a correction back.
DECISIONS: Final = ("accept", "correct", "reject", "undo")
EVIDENCE_MAX: Final = 8
#: Who writes what the engine does about variances: the source of its events.
OWN_SOURCE: Final = "reconciliation"
#: What stands in `decided_by` where a rule decided.
BY_RULE: Final = "rule"
ID_DIGITS: Final = 32
NAME_MAX: Final = 128
ID_HEX_PATTERN: Final = r"^[0-9a-f]{32}$"
_UNITS_PATTERN: Final = r"^(0|[1-9][0-9]*)(\.[0-9]+)?$"

Code = Annotated[str, Field(pattern=CODE_PATTERN)]
Id = Annotated[str, Field(pattern=ID_PATTERN)]
UtcTime = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$",
        json_schema_extra={"format": "date-time"},
    ),
]
Count = Annotated[int, Field(ge=0)]
Measure = Literal[
    "on_hand",
    "quarantined",
    "hard_reserved",
    "soft_allocated",
    "in_transit",
    "expected",
    "withheld",
    "available",
    "atp",
]
Cause = Literal[
    "unit",
    "sign",
    "lots",
    "statuses",
    "locations",
    "in_flight",
    "absent",
    "doubled",
    "missing_there",
    "missing_here",
    "stale",
    "unknown",
]
Reason = Literal[
    "not_started",
    "not_ended",
    "rows_missing",
    "rows_too_many",
    "contradicts_itself",
    "empty",
    "fewer_than_last",
    "too_many_in_variance",
]


def _parse_actions(value: object) -> dict[str, str]:
    """Of each measure what is done; whoever states what they do not own may be heard, and not more."""
    if not isinstance(value, dict):
        raise mismatch("an object of measures, each with an action", value)
    read = {}
    for measure, action in value.items():
        if action is None:
            continue
        if measure not in ALL_MEASURES:
            expected = f"measures ({', '.join(ALL_MEASURES)})"
            raise ValueError(f"{mismatch(expected, measure)}{near_match(measure[:64], ALL_MEASURES)}")
        if not isinstance(action, str) or action not in ACTIONS:
            hint = near_match(action[:64], ACTIONS) if isinstance(action, str) else ""
            raise ValueError(f"{mismatch('report, hold, correct or ask', action)}, at {show(measure)}{hint}")
        if action != "report" and measure not in ACTIONABLE:
            told = mismatch(f"report (only {' and '.join(ACTIONABLE)} are held or corrected)", action)
            raise ValueError(f"{told}, at {show(measure)}")
        read[measure] = action
    return read


Actions = Annotated[
    dict[str, str],
    PlainValidator(_parse_actions),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                measure: {"enum": list(ACTIONS if measure in ACTIONABLE else ACTIONS[:1])} for measure in ALL_MEASURES
            },
            "additionalProperties": False,
        }
    ),
]


class _Output(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Evidence(_Output):
    """A record in Kafka that explains a variance."""

    topic: str
    partition: Count
    offset: Count
    source: Code
    event_id: Id
    line_id: Id | None = None


class Variance(_Output):
    """A measure in which a statement and the engine differ (inventory.variances, key as `variance_key` gives it).

    Figures are in base UoM x 10^scale, as in positions.
    """

    #: of the row: of all its measures
    id: Annotated[str, Field(pattern=ID_HEX_PATTERN)]
    source: Code
    statement_id: Id
    item: Code
    #: of goods; of what a channel shows: `channel`
    location: Code | None = None
    channel: Code | None = None
    lot: Code | None = None
    measure: Measure
    as_of: UtcTime
    ours: int
    theirs: int
    #: theirs - ours
    difference: int
    cause: Cause
    evidence: Annotated[list[Evidence], Field(max_length=EVIDENCE_MAX)]
    #: what was done; null where nothing may be: its statement was rejected
    action: Literal["report", "hold", "correct", "ask"] | None = None
    state: Literal["open", "held", "corrected", "accepted", "rejected", "resolved"]
    #: `rule`, or who
    decided_by: Annotated[str, Field(min_length=1)] | None = None
    reason: str | None = None
    #: as_of of the first and of the last statement with it, since it was last resolved
    first_seen: UtcTime
    last_seen: UtcTime

    @model_validator(mode="after")
    def _agrees(self) -> Variance:
        if self.difference != self.theirs - self.ours:
            raise ValueError(f"difference: expected {self.theirs - self.ours}, got {self.difference}")
        if (self.location is None) == (self.channel is None):
            raise ValueError("location: expected a location or a channel, got both or neither")
        if (self.channel is not None) != (self.measure == PROMISE):
            raise ValueError(f"measure: expected {PROMISE} of a channel and no other, got {self.measure}")
        return self


class StatementStatus(_Output):
    """What became of a statement (inventory.statements.status, key `source:statement_id`)."""

    source: Code
    statement_id: Id
    #: of its start; null while that is not there
    as_of: UtcTime | None
    #: as its start or its end says; null while neither does
    rows: Count | None
    #: agreed + in_variance + not_compared + refused
    seen: Count
    agreed: Count
    in_variance: Count
    not_compared: Count
    refused: Count
    #: rows that were not sent, of items `all`
    absent: Count
    duplicates: Count
    conflicts: Count
    #: measure -> cause -> rows
    causes: dict[Measure, dict[Cause, Count]]
    #: the sum of |difference| in base UoM, a decimal as text
    units: Annotated[str, Field(pattern=_UNITS_PATTERN)]
    #: when Kafka logged its start and its end; null while it has not
    started: UtcTime | None
    ended: UtcTime | None
    verdict: Literal["pending", "accepted", "rejected"]
    reasons: list[Reason]
    #: of units, those of a cause other than unknown; one decimal, rounded down; 100 where nothing differs
    explained_percent: Annotated[float, Field(ge=0, le=100)]


def _parse_decision(value: object) -> str:
    if isinstance(value, str) and value in DECISIONS:
        return value
    hint = near_match(value[:64], DECISIONS) if isinstance(value, str) else ""
    raise ValueError(f"{mismatch('accept, correct, reject or undo', value)}{hint}")


def _parse_hex(value: object) -> str:
    if isinstance(value, str) and len(value) == ID_DIGITS and set(value) <= set("0123456789abcdef"):
        return value
    raise mismatch(f"the id of a variance, {ID_DIGITS} hex digits", value)


def _parse_key(value: object) -> str:
    if isinstance(value, str) and split_key(value) is not None:
        return value
    raise mismatch("the key of a variance, source:item:location:lot:measure", value)


def _parse_name(value: object) -> str:
    if isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= NAME_MAX:
        return value
    raise mismatch(f"who decides, 1 to {NAME_MAX} printable characters", value)


class Decision(Shape):
    """What a person decides about a variance (inventory.decisions, key: the variance's): read, and kept for ever."""

    #: which variance
    key: Annotated[str, PlainValidator(_parse_key), WithJsonSchema({"type": "string"})]
    #: as it was when it was decided about: a later one is another question
    id: Annotated[str, PlainValidator(_parse_hex), WithJsonSchema({"type": "string", "pattern": ID_HEX_PATTERN})]
    decision: Annotated[str, PlainValidator(_parse_decision), WithJsonSchema({"enum": list(DECISIONS)})]
    decided_by: Annotated[str, PlainValidator(_parse_name), WithJsonSchema({"type": "string", "minLength": 1})]
    decided_at: Time
    #: the same again is the same decision
    decision_id: SentId
    reason: Text | None = None
    #: who says so to Kafka: a person at a command has none
    source: SentCode | None = None


def variance_key(source: str, item: str, place: str, lot: str, measure: str) -> str:
    """Give the key in inventory.variances; `place` is the location or channel, an absent lot is empty."""
    return f"{source}:{item}:{place}:{lot}:{measure}"


def split_key(key: str) -> tuple[str, str, str, str, str] | None:
    """Give source, item, place, lot and measure of a key; nothing where it is none."""
    parts = key.split(":")
    if len(parts) != 5 or not all((*parts[:3], parts[4])) or parts[4] not in ALL_MEASURES:
        return None
    source, item, place, lot, measure = parts
    return source, item, place, lot, measure


def row_id(source: str, statement_id: str, item: str, place: str, lot: str) -> str:
    """Give a row's id, and so that of its variances: the first 32 hex digits of SHA-256 (contract section 9)."""
    named = f"{source}:{statement_id}:{item}:{place}:{lot}"
    return hashlib.sha256(named.encode()).hexdigest()[:ID_DIGITS]


def units_text(units: Any) -> str:
    """Give a sum of quantities in base UoM, a Decimal, as text without an exponent and without zeros at its end."""
    plain = f"{units:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
