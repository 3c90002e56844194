"""What each output says, field by field (contract section 7), and the JSON Schema of every shape, in and out.

These models are the documentation of what is written, and what tests hold the written bytes against. The writers build
the bytes without them: validating our own output would cost more than making it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.codes import CODE_PATTERN, ID_LENGTH_MAX, ID_PATTERN, QUANTITY_LIMIT, REFUSAL_CODES
from schemas.documents import Alias, DocumentRecord
from schemas.event_table import EVENTS
from schemas.reference import HORIZON_DAYS_MAX, KINDS, SCALE_MAX
from schemas.settings import Settings
from schemas.statements import STATEMENT_TYPES
from schemas.topics import ALIASES, DEAD_LETTERS, DECISIONS, DOCUMENTS, EXCEPTIONS, POSITIONS, STATUSES, VARIANCES
from schemas.units import EventType
from schemas.variances import Decision, Reason, StatementStatus, Variance

#: Why a number was published: the event applied last, or what else changed it.
CAUSES: Final = (
    *(kind.name.lower() for kind in EventType),
    "expiry",
    "reference",
    "day_turn",
    "republish",
    "refill",
    "unlisted",
)
EXCEPTION_CODES: Final = (
    "negative_on_hand",
    "oversold",
    "stale_source",
    "conflict",
    "over_received",
    "allocated_without_stock",
    "claims_above_demand",
    "demand_after_cancellation",
    "lot_below_zero",
    "statement_rejected",
    "held_too_long",
)
#: Those of which no item is told: they are about a source.
OF_SOURCES: Final = frozenset({"stale_source", "statement_rejected"})
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
#: Text of an integer, as Redis and Kafka headers carry it.
INTEGER_PATTERN: Final = r"^-?(0|[1-9][0-9]*)$"
_CODE: Final = CODE_PATTERN[1:-1]
_ID: Final = ID_PATTERN[1:-1]

Code = Annotated[str, Field(pattern=CODE_PATTERN)]
Id = Annotated[str, Field(pattern=ID_PATTERN)]
#: UTC, RFC 3339 with microseconds and Z: text of equal length, so that it sorts as the times do.
UtcTime = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$",
        json_schema_extra={"format": "date-time"},
    ),
]
#: In base UoM x 10^scale. What is sent stays below 2^53; a sum of it may be beyond, where readers with doubles round.
Figure = int
Promise = Annotated[int, Field(ge=0)]
Days = Annotated[list[Figure], Field(min_length=1, max_length=HORIZON_DAYS_MAX)]
Version = Annotated[int, Field(ge=1, lt=QUANTITY_LIMIT)]
Natural = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]*)$")]
Lane = Literal["critical", "high", "normal", "bulk"]


class _Output(BaseModel):
    """Strict, and without room for a field that is not documented."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Breakdown(_Output):
    """The steps of section 5 behind an update, by day; one day where the channel has no horizon."""

    available: dict[Code, Days]
    open: Days
    promise: Days
    withheld: Days
    withheld_above: Days
    free: Days
    atp: Days


class Update(_Output):
    """A number for one channel (atp.updates.<lane>, key item:channel; and Pub/Sub). The highest version counts."""

    item: Code
    channel: Code
    #: what may be promised now
    atp: Promise
    #: the number that was sent before; null at first
    previous: Promise | None
    lane: Lane
    cause: Annotated[str, Field(json_schema_extra={"enum": list(CAUSES)})]
    #: latest occurred_at applied to the item; null while no event was
    as_of: UtcTime | None
    processed_at: UtcTime
    version: Version
    correlation_id: Id | None = None
    #: by day, today (in `time_zone`) first, where the channel has a horizon
    by_day: Annotated[list[Promise], Field(min_length=1, max_length=HORIZON_DAYS_MAX)] | None = None
    breakdown: Breakdown | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Update:
        if self.cause not in CAUSES:
            raise ValueError(f"cause: expected one of {', '.join(CAUSES)}, got {self.cause}")
        if self.by_day is not None and self.by_day[0] != self.atp:
            raise ValueError(f"by_day: expected to begin with atp {self.atp}, got {self.by_day[0]}")
        return self


class LocationFigures(_Output):
    """What is kept of an item at a location; integers in base UoM x 10^scale, all of them possibly negative."""

    on_hand: Figure
    quarantined: Figure
    soft_allocated: Figure
    hard_reserved: Figure
    in_transit: Figure
    expected: Figure
    #: what sources say is not to be promised
    withheld: Figure
    #: on_hand - quarantined - lots past their day - soft_allocated - hard_reserved - withheld - the item's safety stock
    available: Figure


class Unlocated(_Output):
    """Claims that name no location yet."""

    soft_allocated: Figure


class Position(_Output):
    """An item's whole position (inventory.positions, key item). A location that is absent has seven zeros."""

    item: Code
    version: Version
    as_of: UtcTime | None
    processed_at: UtcTime
    scale: Annotated[int, Field(ge=0, le=SCALE_MAX)]
    locations: dict[Code, LocationFigures]
    unlocated: Unlocated


class Claim(_Output):
    """What an order line claims of an item (a field of claims:<item>)."""

    #: from `location`, or from none yet
    soft: Annotated[Figure, Field(ge=0)]
    #: by location
    hard: dict[Code, Annotated[Figure, Field(gt=0)]]
    location: Code | None = None
    channel: Code | None = None
    #: when the line was placed, or else last heard of
    since: UtcTime
    #: the day (in `time_zone`) for which it is requested
    requested_day: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None
    expires_at: UtcTime | None = None


class LineEvent(_Output):
    """An event that says how an order line stands."""

    at: UtcTime
    event_id: Id
    source: Code


class OrderLine(_Output):
    """How a line of an order stands (a field of order:<order_id>); what it claims stands in claims:<item>."""

    #: which run of the engine said it
    run: Annotated[int, Field(ge=0)]
    state: Literal["open", "delivered", "cancelled", "lapsed", "unplaced"]
    #: occurred_at of the newest event of the line
    last_at: UtcTime
    #: what its newest order_placed wants; absent while none has come
    ordered: Annotated[Figure, Field(ge=0)] | None = None
    placed: LineEvent | None = None
    #: how much of it was cancelled since
    given_up: Annotated[Figure, Field(gt=0)] | None = None
    #: the newest cancellation or reopening of the whole line, whichever stands
    cancelled: LineEvent | None = None
    reopened: LineEvent | None = None
    #: allocated less released, and what was taken from on hand, by location
    allocated: dict[Code, Figure] | None = None
    delivered: dict[Code, Figure] | None = None


class InventoryException(_Output):
    """Something is wrong with numbers, or is over (inventory.exceptions). A conflict is never over."""

    code: Annotated[str, Field(json_schema_extra={"enum": list(EXCEPTION_CODES)})]
    state: Literal["open", "closed"]
    item: Code | None = None
    #: `*`: of claims that name no location
    location: Annotated[str, Field(pattern=rf"^(\*|{_CODE})$")] | None = None
    source: Code | None = None
    #: the transfer, receipt, event or lot it is about, or order_id and line_id, or source and statement_id, with a
    #: space between
    reference: Annotated[str, Field(pattern=rf"^{_ID}( {_ID})?$")] | None = None
    #: the figures that show it, by name; empty once it is over
    quantities: dict[str, Figure]
    #: why a statement was rejected
    reasons: list[Reason] | None = None
    first_seen: UtcTime
    last_seen: UtcTime

    @model_validator(mode="after")
    def _is_about_something(self) -> InventoryException:
        if self.code not in EXCEPTION_CODES:
            raise ValueError(f"code: expected one of {', '.join(EXCEPTION_CODES)}, got {self.code}")
        if (self.item is None) != (self.code in OF_SOURCES):
            raise ValueError(
                f"item: expected for each code but {', '.join(sorted(OF_SOURCES))}, got {self.item} for {self.code}"
            )
        if self.code in OF_SOURCES and self.source is None:
            raise ValueError(f"source: expected for {self.code}, got nothing")
        if self.reasons is not None and self.code != "statement_rejected":
            raise ValueError(f"reasons: expected for statement_rejected, got some for {self.code}")
        if self.code == "conflict" and self.state == "closed":
            raise ValueError("state: expected open for a conflict, got closed")
        return self


class DeadLetterHeaders(_Output):
    """The headers of a dead letter, UTF-8 text each; key and value are the original's, unchanged.

    Of an event of several lines one letter has them; the others have an empty value and may have no key: topic,
    partition and offset say whose they are. Together with line_id they tell a repeat of the same letter.
    """

    code: Annotated[str, Field(json_schema_extra={"enum": list(REFUSAL_CODES)})]
    message: Annotated[str, Field(min_length=1)]
    topic: Annotated[str, Field(min_length=1)]
    partition: Natural
    offset: Natural
    #: Kafka's timestamp of the original, milliseconds since 1970
    timestamp: Annotated[str, Field(pattern=INTEGER_PATTERN)]
    line_id: Annotated[str, Field(min_length=1, max_length=ID_LENGTH_MAX)] | None = None
    #: how often it was tried: 1, and 1 more for each replay
    attempts: Annotated[str, Field(pattern=r"^[1-9][0-9]*$")]

    @model_validator(mode="after")
    def _has_a_code(self) -> DeadLetterHeaders:
        if self.code not in REFUSAL_CODES:
            raise ValueError(f"code: expected one of {', '.join(REFUSAL_CODES)}, got {self.code}")
        return self


def _text(pattern: str, description: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern, "description": description}


_VERSION = _text(r"^[1-9][0-9]*$", "the item's version at this hash's last write; never repeated")
_AS_OF = _text(INTEGER_PATTERN, "latest occurred_at applied to the item, ms since 1970, rounded down")

#: The hash `<redis.prefix>atp:<item>`, which channels read. Redis keeps every value as text.
REDIS_ATP: Final[dict[str, Any]] = {
    "title": "atp:<item>",
    "description": "A Redis hash: what each channel may promise of the item. Every value is text.",
    "type": "object",
    "properties": {
        "_version": _VERSION,
        "_as_of": _AS_OF,
        "_published_at": _text(INTEGER_PATTERN, "when this hash was last written, ms since 1970"),
        "_day0": _text(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "the date (in `time_zone`) of each by_day[0]"),
        "_scale": _text("^[1-6]$", "quantities are in base UoM x 10^_scale; absent: 0"),
    },
    "patternProperties": {
        f"^{_CODE}$": _text(r"^(0|[1-9][0-9]*)$", "<channel>: what it may promise now"),
        f"^{_CODE}:by_day$": _text(
            r"^\[(0|[1-9][0-9]*)(,(0|[1-9][0-9]*))*\]$", "<channel>:by_day: a JSON array, where it has a horizon"
        ),
    },
    "required": ["_version", "_published_at"],
    "additionalProperties": False,
}

#: The hash `<redis.prefix>position:<item>`. An absent figure is 0.
REDIS_POSITION: Final[dict[str, Any]] = {
    "title": "position:<item>",
    "description": "A Redis hash: the item's figures by location; an absent one is 0. Every value is text.",
    "type": "object",
    "properties": {
        "_version": _VERSION,
        "_as_of": _AS_OF,
        "*:soft_allocated": _text(INTEGER_PATTERN, "claims that name no location yet"),
    },
    "patternProperties": {
        f"^{_CODE}:({'|'.join(LocationFigures.model_fields)})$": _text(INTEGER_PATTERN, "<location>:<figure>"),
    },
    "required": ["_version"],
    "additionalProperties": False,
}

#: The hash `<redis.prefix>engine:alive`. Absent: nobody keeps the numbers fresh.
REDIS_CLAIMS: Final[dict[str, Any]] = {
    "title": "claims:<item>",
    "description": "A Redis hash, if updates.claims is on: what each order line claims. Every value is text.",
    "type": "object",
    "patternProperties": {
        f"^{_ID} {_ID}$": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": Claim.model_json_schema(),
            "description": "<order_id> <line_id>: what the line claims, as JSON",
        }
    },
    "additionalProperties": False,
}
REDIS_ORDER: Final[dict[str, Any]] = {
    "title": "order:<order_id>",
    "description": "A Redis hash, if updates.orders is on: how each line of the order stands. Every value is text.",
    "type": "object",
    "patternProperties": {
        f"^{_ID} {_CODE}$": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": OrderLine.model_json_schema(),
            "description": "<line_id> <item>: how the line stands, as JSON",
        }
    },
    "additionalProperties": False,
}
REDIS_ALIVE: Final[dict[str, Any]] = {
    "title": "engine:alive",
    "description": "A Redis hash: how fresh all numbers are. It lapses 10 s after the last write. Every value is text.",
    "type": "object",
    "properties": {
        "at": _text(r"^[1-9][0-9]*$", "when this was written, ms since 1970; at least once a second"),
        "behind_ms": _text(r"^(0|[1-9][0-9]*)$", "for how long all that was logged is in the numbers; 0: all of it"),
        "ready": _text("^[01]$", "1: what is published can be trusted now, as /readyz says"),
        "version": _text("^.+$", "the engine's version"),
        "run": _text(r"^[1-9][0-9]*$", "the run's token: a later run has a greater one"),
    },
    "required": ["at", "behind_ms", "ready", "version", "run"],
    "additionalProperties": False,
}

#: Name -> what stands there, for outputs.
OUTPUTS: Final[dict[str, type[BaseModel]]] = {
    "atp.updates": Update,
    POSITIONS: Position,
    EXCEPTIONS: InventoryException,
    DEAD_LETTERS: DeadLetterHeaders,
    VARIANCES: Variance,
    STATUSES: StatementStatus,
}


def all_schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of every shape by name: what comes in, reference topics, outputs, Redis hashes, settings."""
    schemas: dict[str, dict[str, Any]] = {name: spec.model.model_json_schema() for name, spec in EVENTS.items()}
    schemas |= {name: model.model_json_schema() for name, model in STATEMENT_TYPES.items()}
    schemas[DECISIONS] = Decision.model_json_schema()
    schemas |= {f"inventory.{kind}": model.model_json_schema() for kind, (model, _) in KINDS.items()}
    schemas |= {name: model.model_json_schema() for name, model in OUTPUTS.items()}
    schemas |= {ALIASES: Alias.model_json_schema(), DOCUMENTS: DocumentRecord.model_json_schema()}
    schemas |= {"redis.atp": REDIS_ATP, "redis.position": REDIS_POSITION, "redis.claims": REDIS_CLAIMS}
    schemas |= {"redis.order": REDIS_ORDER, "redis.alive": REDIS_ALIVE}
    # As written again: durations as text, as the file has them, and not in microseconds.
    schemas["settings"] = Settings.model_json_schema(mode="serialization")
    return {name: {"$schema": DIALECT, **schema} for name, schema in schemas.items()}
