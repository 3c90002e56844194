"""What goes to Kafka, as bytes: updates, positions, exceptions and the headers of dead letters (contract section 7)."""

from __future__ import annotations

from typing import Any

import orjson

from flows.publishing import native
from operators.rules.lanes import LANES
from schemas.messages import ExceptionNote, ItemUpdate, Outgoing
from schemas.times import time_text
from schemas.units import Refusal


def _quoted(text: str) -> str:
    """Give printable ASCII as JSON."""
    return f'"{text}"' if '"' not in text and "\\" not in text else orjson.dumps(text).decode()


def update_json(update: Outgoing) -> str:
    """Give one number for one channel, as sent to atp.updates.*."""
    change = update.change
    more = ""
    if update.correlation_id:
        more = f',"correlation_id":{_quoted(update.correlation_id)}'
    if change.by_day is not None:
        more += f',"by_day":{orjson.dumps(change.by_day).decode()}'
    if change.breakdown is not None:
        more += f',"breakdown":{change.breakdown.decode()}'
    return native.update_text(update, LANES[change.lane], more)


def address(update: Outgoing) -> tuple[int, str]:
    """Give the lane in which a number goes to Kafka, and its key there."""
    change = update.change
    return change.lane, f"{update.item}:{change.channel}"


def position_json(update: ItemUpdate, version: int, processed_at: int) -> str:
    """Give an item's whole position, as sent to inventory.positions."""
    return native.position_text(update, version, processed_at)


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
    if note.reasons:
        message["reasons"] = note.reasons
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
