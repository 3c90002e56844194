"""Small stories about statements, as data: what is told when, and what must have come of it in the end.

A story is told to whoever keeps to the contract: to the naive model, and to the engine. The numbers are worked out by
hand. Times are of one day, "11:58", or of the day before it, "-1 11:58"; what is told is logged in this order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.desk import HOUR, MINUTE, at, instant

Action = tuple[str, Any]
#: by source: how long a statement waits for what is still on its way, where it is not the 10 minutes of the default
SETTLES = {"slow": 30 * MINUTE}
SOURCES: dict[str, dict[str, Any]] = {
    "bound": {
        "locations": frozenset({"DC1"}),
        "may_send": frozenset({"statement_started", "statement_ended", "stock_stated"}),
    },
    "brief": {"dedup_window_us": 2 * HOUR},
}
ITEMS: dict[str, dict[str, Any]] = {
    "SHOVEL": {"conversions": {"case": 12}, "safety_stock": {"*": 2}},
    "ROPE": {"scale": 1, "base_uom": "m", "conversions": {"third": "1/3"}, "rounding": "safe"},
    "SAND": {"scale": 1, "base_uom": "kg"},
}


def moment(text: str) -> int:
    """A time of a story, in microseconds."""
    day, _, clock = text.rpartition(" ")
    return instant(at(clock, int(day or 0)))


def utc(text: str) -> str:
    """A time of a story as messages carry it."""
    day, _, clock = text.rpartition(" ")
    return at(clock, int(day or 0))


@dataclass(frozen=True)
class Story:
    """One sentence of the contract, told.

    `statuses`: by "source:statement_id" what its status says, as far as it is named. `variances`: by key what it says,
    as far as it is named; of each key whose variance is not mentioned there must be none, unless the story does not
    speak of variances at all (None). `withheld`: by "item:location" what source reconciliation withholds in the end,
    0 where it is not named. `corrections`: the counts that were written, in any order. `refused`: the code by position
    in `told` (-1 is the last); nothing else is refused. `complaints`: the open statement_rejected exceptions. `alerts`:
    where something is held too long, as "item:location".
    """

    sentence: str
    told: tuple[Action, ...]
    statuses: dict[str, dict[str, Any]] = field(default_factory=dict)
    variances: dict[str, dict[str, Any]] | None = None
    withheld: dict[str, int] | None = None
    corrections: list[dict[str, Any]] | None = None
    refused: dict[int, str] = field(default_factory=dict)
    complaints: set[str] | None = None
    alerts: set[str] | None = None

    def __str__(self) -> str:
        return self.sentence.replace(" ", "_")


def world() -> Iterator[Action]:
    """What every story takes for granted."""
    for location, parent in (("DC1", None), ("DC2", None), ("EAST", None), ("EAST-1", "EAST"), ("EAST-2", "EAST")):
        yield record("locations", location=location, parent=parent)
    for item, more in ITEMS.items():
        yield record("items", item=item, **more)
    yield record("channels", channel="web", locations=["DC1"])


def record(topic: str, **fields: Any) -> Action:
    """A reference record that comes into force now."""
    key = (
        f"{fields['channel']}:{fields['item']}"
        if topic == "channel_items"
        else fields.get("source") or fields[topic[:-1]]
    )
    return ("reference", (f"inventory.{topic}", key.encode(), json.dumps(fields).encode()))


def rule(source: str = "erp", **fields: Any) -> Action:
    """What is done about a source's statements. Most stories have few rows, and let all of them differ."""
    return record("reconciliation", **{"source": source, "max_rows_in_variance_percent": 100, **fields})


def did(
    happened: str, kind: str, quantity: Any = None, location: str | None = "DC1", logged: str = "", **fields: Any
) -> Action:
    """An event, logged when it happened unless it is said otherwise."""
    event: dict[str, Any] = {"item": "SHOVEL", "location": location, "quantity": quantity, **fields}
    return _event(happened, kind, logged, event)


def ordered(
    happened: str, kind: str, quantity: Any = None, location: str | None = None, logged: str = "", **fields: Any
) -> Action:
    """An event of order SO-1, line 1, that names another one if it is told so."""
    line = {"line_id": "1", "item": "SHOVEL", "quantity": quantity, "location": location}
    return _event(happened, kind, logged, {"order_id": "SO-1", "channel": "web", "lines": [line], **fields})


def _event(happened: str, kind: str, logged: str, fields: dict[str, Any]) -> Action:
    topic = "orders" if kind.startswith("order_") else "supply" if kind.startswith("receipt_") else "warehouse"
    own = {
        "event_id": f"{kind}@{happened.replace(' ', '_')}",
        "source": "wms",
        "type": kind,
        "occurred_at": utc(happened),
    }
    return ("event", (f"inventory.{topic}", json.dumps({**own, **fields}).encode(), moment(logged or happened)))


def message(kind: str, as_of: str, logged: str, statement_id: str, source: str = "erp", **fields: Any) -> Action:
    """One message of a statement."""
    own = {"type": kind, "source": source, "occurred_at": utc(as_of), "statement_id": statement_id}
    own["event_id"] = "-".join([statement_id, kind, *(str(value) for value in fields.values())]).replace(" ", "")[:128]
    return ("statement", (json.dumps({**own, **fields}).encode(), moment(logged)))


def row(as_of: str, logged: str, statement_id: str = "S1", source: str = "erp", **fields: Any) -> Action:
    """What there is of an item at a location, shovels in DC1 unless it is told otherwise."""
    where = {"item": "SHOVEL", "location": "DC1"}
    return message("stock_stated", as_of, logged, statement_id, source, **{**where, **fields})


def shown(as_of: str, logged: str, atp: int, statement_id: str = "S1", source: str = "shop", **fields: Any) -> Action:
    """What channel web shows of shovels."""
    return message(
        "promise_stated",
        as_of,
        logged,
        statement_id,
        source,
        **{"item": "SHOVEL", "channel": "web", "atp": atp, **fields},
    )


def started(as_of: str, logged: str, statement_id: str = "S1", source: str = "erp", **fields: Any) -> Action:
    """The start of a statement."""
    return message("statement_started", as_of, logged, statement_id, source, **fields)


def ended(as_of: str, logged: str, rows: int, statement_id: str = "S1", source: str = "erp") -> Action:
    """The end of a statement."""
    return message("statement_ended", as_of, logged, statement_id, source, rows=rows)


def stated(
    as_of: str, logged: str, *rows: dict[str, Any], statement_id: str = "S1", source: str = "erp", **start: Any
) -> tuple[Action, ...]:
    """A whole statement, logged at once, and read until it is due (half an hour and a minute later)."""
    told = [started(as_of, logged, statement_id, source, **start)]
    told += [row(as_of, logged, statement_id, source, **fields) for fields in rows]
    told.append(ended(as_of, logged, len(rows), statement_id, source))
    return (*told, ("time", moment(logged) + 31 * MINUTE))


def time(clock: str) -> Action:
    """Time that passes."""
    return ("time", moment(clock))


def decided(clock: str, decision: str, key: str, identity: str = "", who: str = "ann", reason: str = "seen") -> Action:
    """What a person decides about a variance; `identity`: another id than the one it has."""
    return ("decide", (key, decision, identity, who, reason, moment(clock)))


def count(
    quantity: int, as_of: str = "12:00", quarantined: int | None = None, lot: str | None = None
) -> dict[str, Any]:
    """A correction of shovels in DC1."""
    own = {"item": "SHOVEL", "location": "DC1", "lot": lot, "quantity": quantity, "quarantined": quarantined}
    return {**own, "occurred_at": moment(as_of)}
