"""Reads from Redis how an order stands: its lines with their items, what became of them, and what they still claim."""

from __future__ import annotations

from typing import Any

import msgspec

from flows.errors import PlainError
from flows.inspection.claims import claims_in
from flows.inspection.lookup import hashes
from schemas.settings import Settings


class NoOrders(PlainError):
    """How orders stand is not published; the text says what would do."""


class LineEvent(msgspec.Struct, frozen=True):
    """An event that says how a line stands."""

    at: str
    event_id: str
    source: str


class _Told(msgspec.Struct, frozen=True):
    state: str
    last_at: str
    ordered: int | None = None
    given_up: int = 0
    placed: LineEvent | None = None
    cancelled: LineEvent | None = None
    reopened: LineEvent | None = None
    allocated: dict[str, int] = {}
    delivered: dict[str, int] = {}


class OrderLine(msgspec.Struct, frozen=True):
    """A line of an order; quantities in base UoM x 10^scale. `soft` is claimed from `location`, or from none yet."""

    line_id: str
    item: str
    state: str
    ordered: int | None
    #: how much of it was given up since
    given_up: int
    allocated: dict[str, int]
    delivered: dict[str, int]
    hard: dict[str, int]
    soft: int
    location: str | None
    channel: str | None
    requested_day: str | None
    expires_at: str | None
    #: occurred_at of its newest event
    last_at: str
    #: the events that say what is wanted, and that it is cancelled or taken up again
    placed: LineEvent | None
    cancelled: LineEvent | None
    reopened: LineEvent | None
    scale: int


class Order(msgspec.Struct, frozen=True):
    """All lines of an order that the engine knows; of a finished one as long as `closed_line_retention`."""

    order_id: str
    lines: tuple[OrderLine, ...]


_read = msgspec.json.Decoder(_Told).decode


def order(settings: Settings, order_id: str) -> Order | None:
    """Give how an order stands; None where nothing of it is published.

    NoOrders where orders are not published, LookupProblem if Redis does not answer.
    """
    if not (settings.updates.orders and settings.updates.claims):
        raise NoOrders(
            "updates.orders, updates.claims: expected true, for how orders stand is published only then, got false"
        )
    [fields] = hashes(settings, [f"order:{order_id}"])
    told: dict[tuple[str, str], _Told] = {}
    for name, text in fields.items():
        line_id, _, item = name.partition(" ")
        try:
            told[line_id, item] = _read(text)
        except msgspec.DecodeError:
            continue  # none of the engine's
    if not told:
        return None
    lines: dict[str, list[str]] = {}
    for line_id, item in sorted(told):
        lines.setdefault(item, []).append(f"{order_id} {line_id}")
    items = sorted(lines)
    # Of an item in a flash sale ten thousand other lines claim some.
    only = {f"claims:{item}": names for item, names in lines.items()} | {f"atp:{item}": ["_scale"] for item in items}
    answers = hashes(settings, [f"{kind}:{item}" for item in items for kind in ("claims", "atp")], only=only)
    claims = {
        (claim["line_id"], item): claim
        for item, found in zip(items, answers[::2], strict=True)
        for claim in claims_in(found)
    }
    scales = {item: int(found.get("_scale", "0")) for item, found in zip(items, answers[1::2], strict=True)}
    return Order(order_id, tuple(_line(*key, told[key], claims.get(key, {}), scales[key[1]]) for key in sorted(told)))


def _line(line_id: str, item: str, told: _Told, claim: dict[str, Any], scale: int) -> OrderLine:
    said: dict[str, Any] = {
        "line_id": line_id,
        "item": item,
        "scale": scale,
        "hard": claim.get("hard", {}),
        "soft": claim.get("soft", 0),
        **{name: claim.get(name) for name in ("location", "channel", "requested_day", "expires_at")},
        **msgspec.structs.asdict(told),
    }
    return OrderLine(**said)
