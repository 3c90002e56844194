"""Finds out which lines of raw messages are refused no more: an alias came, or they were replayed.

The translator writes a message's account anew when it has tried it again: the newest one says it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from flows.kafka.clients import KafkaProblem, partitions_of
from flows.kafka.reading import Place, TopicReader, bounds
from flows.letters.reading import DeadLetter
from operators.adapters.account import REFUSED
from operators.adapters.retelling import unpack_became
from schemas.codes import CONFLICT
from schemas.documents import BECAME_HEADER, PLACE_HEADER
from schemas.settings import Settings
from schemas.topics import DOCUMENTS, INPUTS, RAW


class _RawPlace(msgspec.Struct):
    """As the header of an account has it."""

    topic: str
    partition: int
    offset: int
    timestamp: int


_place = msgspec.json.Decoder(_RawPlace)


def used_since(settings: Settings, letters: Iterable[DeadLetter]) -> frozenset[str]:
    """Give the names of the letters whose lines were used since, or are ignored now.

    A conflict stays: a line that a redo could not take back is in its account as what it became.
    """
    prefix = settings.topic(f"{RAW}.")
    ours = [one for one in letters if one.origin[0].startswith(prefix) and one.code != CONFLICT and one.line_id]
    if not ours:
        return frozenset()
    refused = _refused_lines(settings, {letter.origin for letter in ours})
    found = set()
    for letter in ours:
        logged_ms, places = refused.get(letter.origin, (0, None))
        if places is not None and letter.may_be_of(logged_ms) and letter.line_id not in places:
            found.add(letter.name)
    return frozenset(found)


def _refused_lines(settings: Settings, wanted: set[Place]) -> dict[Place, tuple[int, set[str] | None]]:
    """Map each message to when it was logged and its lines that are refused, by its newest account that can be read."""
    try:
        spans = bounds(settings, [DOCUMENTS])
    except KafkaProblem:
        partitions_of(settings, INPUTS)  # a Kafka without a translator; what else is wrong is said
        return {}
    found: dict[Place, tuple[int, set[str] | None]] = {}
    with TopicReader(settings) as reader:
        for message in reader.read(spans):
            headers: dict[str, Any] = dict(message.headers() or ())
            try:
                raw = _place.decode(headers[PLACE_HEADER])
            except (KeyError, TypeError, msgspec.DecodeError):
                continue  # somebody else's
            place = (raw.topic, raw.partition, raw.offset)
            if place in wanted:
                became = unpack_became(headers.get(BECAME_HEADER) or b"")
                lines = None if became is None else {line.place for line in became.lines if line.fate == REFUSED}
                found[place] = (raw.timestamp, lines)
    return found
