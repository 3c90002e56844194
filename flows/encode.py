"""What goes out, as bytes: arguments for the read model's slices, JSON for Kafka (contract section 7)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from flows.store import Argument
from operators.lane_queue import Outgoing
from operators.rules.lanes import LANES
from schemas.messages import ExceptionNote, ItemUpdate
from schemas.state import POSITION_FIELDS
from schemas.units import Refusal

DAY_S = 86_400
#: what an item's hash says beside its channels
META = ("_version", "_published_at", "_as_of", "_day0", "_scale")


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def time_text(moment: int) -> str:
    """Give UTC microseconds as RFC 3339."""
    return f"{_second(moment // 1_000_000)}.{moment % 1_000_000:06d}Z"


def day_text(day: int) -> str:
    """Give days since 1970 as a date."""
    return _second(day * DAY_S)[:10]


def slice_arguments(
    updates: Iterable[ItemUpdate], prefix: str, version: int, published_at: int
) -> tuple[list[str], list[Argument]]:
    """Give the keys of a slice and, for each, its values and the fields to delete."""
    keys: list[str] = []
    arguments: list[Argument] = []
    published_ms = published_at // 1000
    for update in updates:
        if update.channels or update.day0 >= 0:
            keys.append(f"{prefix}atp:{update.item}")
            _atp_arguments(update, arguments, version, published_ms)
        if update.fields:
            keys.append(f"{prefix}position:{update.item}")
            _position_arguments(update, arguments, version)
    return keys, arguments


def _count(values: list[Argument], is_whole: bool) -> int:
    """Give how many values follow; below zero where they are all there is, and absent figures are 0."""
    return -len(values) // 2 if is_whole else len(values) // 2


def _position_arguments(update: ItemUpdate, arguments: list[Argument], version: int) -> None:
    values: list[Argument] = []
    gone: list[Argument] = []
    if update.is_gone:
        gone = [*update.fields, "_version", "_as_of"]
    else:
        for name, quantity in update.fields.items():
            if quantity is None:
                gone.append(name)
            elif quantity or not update.is_whole:
                values += (name, quantity)
        values += ("_version", version)
        if update.as_of >= 0:
            values += ("_as_of", update.as_of // 1000)
    arguments.append(_count(values, update.is_whole))
    arguments += values
    arguments.append(len(gone))
    arguments += gone


def _atp_arguments(update: ItemUpdate, arguments: list[Argument], version: int, published_ms: int) -> None:
    values: list[Argument] = []
    gone: list[Argument] = []
    for change in update.channels:
        channel = change.channel
        if change.removed:
            gone += (channel, f"{channel}:by_day")
            continue
        values += (channel, change.atp)
        if change.by_day is not None:
            values += (f"{channel}:by_day", orjson.dumps(change.by_day))
        elif change.previous_by_day is not None or change.forced:
            gone.append(f"{channel}:by_day")
    if update.is_gone:
        arguments += (0, len(gone) + len(META), *gone, *META)
        return
    values += ("_version", version, "_published_at", published_ms)
    if update.as_of >= 0:
        values += ("_as_of", update.as_of // 1000)
    if update.day0 >= 0:
        values += ("_day0", day_text(update.day0))
    else:
        gone.append("_day0")
    if update.scale:
        values += ("_scale", update.scale)
    else:
        gone.append("_scale")
    arguments.append(_count(values, update.is_whole))
    arguments += values
    arguments.append(len(gone))
    arguments += gone


def update_json(update: Outgoing) -> bytes:
    """Give one number for one channel, as sent to atp.updates.*."""
    change = update.change
    message: dict[str, Any] = {
        "item": update.item,
        "channel": change.channel,
        "atp": change.atp,
        "previous": change.previous,
        "lane": LANES[change.lane],
        "cause": change.cause,
        "as_of": time_text(update.as_of) if update.as_of >= 0 else None,
        "processed_at": time_text(update.processed_at),
        "version": update.version,
    }
    if update.correlation_id:
        message["correlation_id"] = update.correlation_id
    if change.by_day is not None:
        message["by_day"] = change.by_day
    if change.breakdown is not None:
        message["breakdown"] = orjson.Fragment(change.breakdown)
    return orjson.dumps(message)


#: A place of a position as JSON. Codes need no escaping: letters, digits and . _ - / alone.
_PLACE = '"%s":{' + ",".join(f'"{name}":%d' for name in POSITION_FIELDS) + "}"


def position_json(update: ItemUpdate, version: int, processed_at: int) -> bytes:
    """Give an item's whole position, as sent to inventory.positions."""
    assert update.places is not None
    places = ",".join([_PLACE % (code, *figures) for code, figures in update.places])
    message: dict[str, Any] = {
        "item": update.item,
        "version": version,
        "as_of": time_text(update.as_of) if update.as_of >= 0 else None,
        "processed_at": time_text(processed_at),
        "scale": update.scale,
        "locations": orjson.Fragment(f"{{{places}}}"),
        "unlocated": {"soft_allocated": update.unlocated},
    }
    return orjson.dumps(message)


def exception_json(note: ExceptionNote) -> bytes:
    """Give an exception raised or over, as sent to inventory.exceptions."""
    message: dict[str, Any] = {"code": note.code, "state": "open" if note.is_open else "closed"}
    for name, value in (
        ("item", note.item),
        ("location", note.location),
        ("source", note.source),
        ("reference", note.reference),
    ):
        if value:
            message[name] = value
    message["quantities"] = note.quantities
    message["first_seen"] = time_text(note.first_seen)
    message["last_seen"] = time_text(note.last_seen)
    return orjson.dumps(message)


def dead_letter_headers(refusal: Refusal) -> list[tuple[str, bytes]]:
    """Give the headers under which the original bytes are kept."""
    origin = refusal.origin
    headers = {
        "code": refusal.code,
        "message": refusal.message,
        "topic": origin.topic,
        "partition": str(origin.partition),
        "offset": str(origin.offset),
        "timestamp": str(origin.timestamp_ms),
        "attempts": str(origin.attempts),
    }
    if refusal.line_id is not None:
        headers["line_id"] = refusal.line_id
    return [(name, text.encode("utf-8", "replace")) for name, text in headers.items()]
