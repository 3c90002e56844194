"""Finds out whether what a refused message named, and nobody knew, has become known: it may be sent again then.

What is judged is the code of the refusal alone. Something else may be wrong with the message as well: then it is
refused again, for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from flows.kafka.reading import TopicReader, bounds
from flows.progress_line import ProgressLine
from schemas import codes
from schemas.codes import parse_json
from schemas.settings import Settings

#: What is known under a code of a reference topic, and what under a unit of measure of an item.
ITEMS, LOCATIONS, CHANNELS, UNITS = "items", "locations", "channels", "units"

Need = tuple[str, str]
"""(ITEMS, LOCATIONS or CHANNELS, code), or (UNITS, "item unit of measure")"""

_KINDS = {codes.UNKNOWN_ITEM: ITEMS, codes.UNKNOWN_LOCATION: LOCATIONS, codes.UNKNOWN_CHANNEL: CHANNELS}
UNKNOWN = frozenset({*_KINDS, codes.UNKNOWN_UOM})
_FIELDS = {
    codes.UNKNOWN_ITEM: ("item",),
    codes.UNKNOWN_LOCATION: ("location", "to_location", "parent"),
    codes.UNKNOWN_CHANNEL: ("channel",),
}


def needs_of(code: str, topic: str, line_id: str | None, value: bytes | None) -> tuple[Need, ...]:
    """Give what must be known before a message is worth another try; nothing where the code is of another kind."""
    if code not in UNKNOWN:
        return ()
    try:
        message = parse_json(value or b"")
    except ValueError:
        return ()
    return tuple(dict.fromkeys(_named(code, list(_parts(message, line_id)))))


def _parts(message: object, line_id: str | None) -> Iterator[dict[str, Any]]:
    """Give the message itself, and of its lines the one that is meant, or all."""
    if not isinstance(message, dict):
        return
    yield message
    lines = message.get("lines")
    for line in lines if isinstance(lines, list) else ():
        if isinstance(line, dict) and line_id in (None, line.get("line_id")):
            yield line


def _named(code: str, parts: list[dict[str, Any]]) -> Iterator[Need]:
    for part in parts:
        if code == codes.UNKNOWN_UOM:
            if isinstance(part.get("uom"), str) and isinstance(part.get("item"), str):
                yield UNITS, f"{part['item']} {part['uom']}"
            continue
        for field in _FIELDS[code]:
            if isinstance(part.get(field), str):
                yield _KINDS[code], part[field]
        if code == codes.UNKNOWN_LOCATION:
            for field in ("locations", "safety_stock"):  # of a channel, of an item
                named = part.get(field)
                for place in named if isinstance(named, (list, dict)) else ():
                    if isinstance(place, str) and place != "*":
                        yield LOCATIONS, place


def known_now(settings: Settings, needs: Iterable[Need]) -> set[Need]:
    """Give which of these the reference topics hold. Reads a topic whole where something of it is asked for."""
    wanted = set(needs)
    kinds = {ITEMS if kind == UNITS else kind for kind, _ in wanted}
    if not kinds:
        return set()
    with_units = {name.partition(" ")[0] for kind, name in wanted if kind == UNITS}
    known: set[Need] = set()
    of_topic = {settings.topic(f"inventory.{kind}"): kind for kind in kinds}
    spans = bounds(settings, [f"inventory.{kind}" for kind in sorted(kinds)])
    line = ProgressLine("reading reference data", sum(end - low for low, end in spans.values()))
    try:
        with TopicReader(settings) as reader:
            for message in reader.read(spans, line.add):
                kind, code = of_topic[message.topic()], (message.key() or b"").decode("utf-8", "replace")
                if (kind, code) in wanted:
                    (known.add if message.value() else known.discard)((kind, code))
                if kind == ITEMS and code in with_units:
                    known -= {need for need in known if need[0] == UNITS and need[1].startswith(f"{code} ")}
                    known |= wanted & {(UNITS, f"{code} {unit}") for unit in _units(message.value())}
    finally:
        line.end()
    return known


def _units(value: bytes | None) -> set[str]:
    """Give the units of measure of an item's record."""
    try:
        record = parse_json(value or b"")
    except ValueError:
        return set()
    if not isinstance(record, dict):
        return set()
    conversions = record.get("conversions")
    named = {name for name in (conversions if isinstance(conversions, dict) else ()) if isinstance(name, str)}
    base = record.get("base_uom")
    return named | {base if isinstance(base, str) else "each"}
