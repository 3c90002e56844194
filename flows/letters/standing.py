"""Finds the event that stands where another one with its id and other content was refused as a conflict.

The input topics are searched from the newest back, in all partitions at once, no further than an id is remembered and
no more than `SEARCH_MAX` messages. What a dead letter refuses does not stand; of what repeats, any will do.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import msgspec

from flows.kafka.reading import TopicReader, bounds
from flows.letters.reading import DeadLetter, Place
from flows.progress_line import ProgressLine
from flows.runtime.configs import windows_of
from operators.rules.admission import first_recorded
from schemas import codes
from schemas.codes import parse_json, parse_number, parse_time
from schemas.settings import Settings
from schemas.topics import INPUTS

#: A minute of reading; what is further back is rarely what anybody looks for.
SEARCH_MAX = 5_000_000
CHUNK = 20_000
#: Clocks of brokers differ.
MARGIN_MS = 60_000
#: What may differ in a repeat.
FREE = frozenset({"reason", "correlation_id", "schema_version", "lines"})
_TIMES = frozenset({"occurred_at", "expires_at", "requested_at", "eta"})
_DEFAULTS = {"status": "available"}


class StandingEvent(NamedTuple):
    """The event that stands, and field by field what it says and what came."""

    place: Place
    logged_ms: int
    differences: list[tuple[str, Any, Any]]


class _Ids(msgspec.Struct):
    source: str = ""
    event_id: str = ""


_read_ids = msgspec.json.Decoder(_Ids).decode


def find_standing(settings: Settings, letter: DeadLetter, letters: list[DeadLetter]) -> StandingEvent | None:
    """Search for the event that stands; None where it is not within reach. `letters`: all there are."""
    ours = _unit(letter.value, letter.line_id)
    if letter.code != codes.CONFLICT or ours is None:
        return None
    refused: dict[Place, list[DeadLetter]] = defaultdict(list)
    for other in (letter, *letters):
        if letter.speaks_of(other.line_id):
            refused[other.origin].append(other)
    ids = (ours["source"], ours["event_id"])
    line = ProgressLine("looking for the event that stands, from the newest back")
    read = 0
    try:
        with TopicReader(settings) as reader:
            spans = reader.since(bounds(settings, list(INPUTS)), _oldest_ms(settings, letter, str(ours["source"])))
            topic, partition, offset = letter.origin
            if (topic, partition) in spans:
                low, end = spans[topic, partition]
                spans[topic, partition] = (min(low, offset), min(end, offset))
            for chunks in reader.read_back(spans, CHUNK, line.add):
                for messages in chunks.values():
                    read += len(messages)
                    for message in messages:
                        if not _has_ids(message.value(), ids):
                            continue
                        place, logged_ms = (
                            (message.topic(), message.partition(), message.offset()),
                            message.timestamp()[1],
                        )
                        if any(other.may_be_of(logged_ms) for other in refused.get(place, ())):
                            continue
                        theirs = _unit(message.value(), letter.line_id)
                        if theirs is not None and theirs["item"] == ours["item"]:
                            return StandingEvent(place, logged_ms, _differences(theirs, ours))
                if read >= SEARCH_MAX:
                    return None
    finally:
        line.end()
    return None


def _oldest_ms(settings: Settings, letter: DeadLetter, source: str) -> int:
    """Give when the one that stands was logged at the earliest, for its id still to be remembered."""
    logged_ms = letter.logged_ms or letter.written_ms
    occurred_at = logged_ms * 1000 - windows_of(settings).of(source)
    return max(0, first_recorded(occurred_at, settings.max_clock_skew) // 1000 - MARGIN_MS)


def _has_ids(value: bytes | None, ids: tuple[Any, Any]) -> bool:
    try:
        head = _read_ids(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return (head.source, head.event_id) == ids


def _unit(value: bytes | None, line_id: str | None) -> dict[str, Any] | None:
    """Give what an event says of one line, its own fields among them; None where it says nothing of it."""
    try:
        event = parse_json(value or b"")
    except ValueError:
        return None
    if not isinstance(event, dict) or not {"source", "event_id"} <= event.keys():
        return None
    lines = event.get("lines")
    if isinstance(lines, list):
        same = [one for one in lines if isinstance(one, dict) and line_id in (None, one.get("line_id"))]
        if not same:
            return None
        event = event | same[0]
    return event if isinstance(event.get("item"), str) else None


def _differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    names = [name for name in dict.fromkeys((*theirs, *ours)) if name not in FREE]
    found = []
    for name in names:
        pair = tuple(_meaning(name, one.get(name, _DEFAULTS.get(name))) for one in (theirs, ours))
        if pair[0] != pair[1]:
            found.append((name, _shown(theirs.get(name)), _shown(ours.get(name))))
    return found


def _meaning(name: str, value: Any) -> Any:
    """Give a value so that two spellings of the same are equal."""
    try:
        if name in _TIMES:
            return parse_time(value)
        if name.endswith("quantity") or isinstance(value, codes.JsonNumber):
            return str(parse_number(value))
    except ValueError:
        pass
    return _shown(value)


def _shown(value: Any) -> Any:
    """Give a value as JSON takes it."""
    return value.text if isinstance(value, codes.JsonNumber) else value
