"""Finds out why nothing is published of an item: deleted, waiting for its record, not published yet, or never seen.

What is published is answered without this: it looks into Kafka's records and events, which takes a moment.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from flows.inspection.items import find, nearest
from flows.kafka.reading import Part, Span, TopicReader, bounds
from flows.progress_line import ProgressLine
from schemas.codes import is_code
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, INPUTS

ITEMS = "inventory.items"
NEAR_MAX = 5
#: Of what came last and of what was refused last so much is looked through: some seconds of reading.
SEARCH_MAX = 200_000
CHUNK = 20_000
PUBLISHED, TOMBSTONED, PARKED, UNPUBLISHED, NEVER_SEEN = (
    "published",
    "tombstoned",
    "parked",
    "unpublished",
    "never_seen",
)


class Standing(msgspec.Struct, frozen=True):
    """What is known of an item. `near`: published items whose codes begin as this one does, if it is none of them."""

    item: str
    state: str
    sentence: str
    near: tuple[str, ...] = ()


def standing(settings: Settings, item: str) -> Standing:
    """Say what is known of an item; LookupProblem or KafkaProblem where Redis or Kafka does not answer."""
    near = near_matches(settings, item)
    if item in near:
        return Standing(item, PUBLISHED, f"{item} is published")
    if not is_code(item):
        said = f"{shown(item)} is no item: expected 1 to 64 characters of A-Z a-z 0-9 . _ - /"
        return Standing(item, NEVER_SEEN, said, near)
    is_known, is_deleted = _record(settings, item)
    if is_known:
        said = f"{item} has a record in {ITEMS}, and nothing of it is published: does an engine run? atp status"
        return Standing(item, UNPUBLISHED, said, near)
    if _has_events(settings, item):
        said = (
            f"events name {item}, and it has no record in {ITEMS}: they wait for one, and are refused as unknown_item "
            f"after {settings.reference_grace / 1e6:g} s: send it, then atp dead-letters replay --known"
        )
        return Standing(item, PARKED, said, near)
    if is_deleted:
        return Standing(item, TOMBSTONED, f"{item} was deleted: its newest record in {ITEMS} is a tombstone", near)
    return Standing(item, NEVER_SEEN, f"{item} was never seen: no record and none of the newest events names it", near)


def near_matches(settings: Settings, item: str) -> tuple[str, ...]:
    """Give the item itself if it is published, else some whose codes share the longest beginning with it."""
    found = nearest(item, lambda prefix: find(settings, prefix, NEAR_MAX))
    return (item,) if item in found else tuple(found)


def shown(text: str) -> str:
    """Give text that somebody typed as it may be printed: nothing in it is obeyed by a terminal."""
    return text if text.isascii() and text.isprintable() and len(text) <= 128 else f"{text[:128]!r}"


def _record(settings: Settings, item: str) -> tuple[bool, bool]:
    """(has a record in force, was deleted) by the newest record of the item that the topic still has."""
    key, value, is_there = item.encode(), None, False
    line = ProgressLine(f"looking for {item} in {settings.topic(ITEMS)}")
    try:
        with TopicReader(settings, "-standing") as reader:
            for message in reader.read(bounds(settings, [ITEMS]), line.add):
                if message.key() == key:
                    is_there, value = True, message.value()
    finally:
        line.end()
    return is_there and value is not None, is_there and value is None


def _has_events(settings: Settings, item: str) -> bool:
    """Does one of the newest events wait for the item's record, or was one refused for want of it?"""
    since_ms = int(time.time() * 1000) - settings.reference_grace // 1000 - 1000
    with TopicReader(settings, "-standing") as reader:
        waiting = reader.since(bounds(settings, list(INPUTS)), since_ms)
        if _finds(reader, waiting, lambda message: names(message.value(), item)):
            return True
        refused = bounds(settings, [DEAD_LETTERS])
        return _finds(
            reader,
            refused,
            lambda message: ("code", b"unknown_item") in (message.headers() or ()) and names(message.value(), item),
        )


def _finds(reader: TopicReader, spans: dict[Part, Span], is_it: Any) -> bool:
    read = 0
    for chunks in reader.read_back(spans, CHUNK):
        for messages in chunks.values():
            if any(is_it(message) for message in messages):
                return True
            read += len(messages)
        if read >= SEARCH_MAX:
            break
    return False


class _Line(msgspec.Struct):
    item: Any = None


class _Event(msgspec.Struct):
    item: Any = None
    lines: Any = None


_read = msgspec.json.Decoder(_Event).decode


def names(value: bytes | None, item: str) -> bool:
    """Does an event name the item, itself or in one of its lines?"""
    if value is None or item.encode() not in value.replace(b"\\/", b"/"):
        return False
    try:
        event = _read(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    lines = event.lines if isinstance(event.lines, list) else []
    return event.item == item or any(isinstance(line, dict) and line.get("item") == item for line in lines)
