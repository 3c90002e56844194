"""Sends raw messages again, with what their lines became: the translator then tries those that are asked for.

The message is the same bytes on the same topic; a header says where the first one lies, so that dead letters and
accounts are about that one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from flows.kafka.reading import TopicReader, bounds
from flows.kafka.sending import Sender
from operators.adapters.retelling import REPLAY, Again
from schemas.documents import AGAIN_HEADER, BECAME_HEADER, PLACE_HEADER
from schemas.settings import Settings
from schemas.topics import DOCUMENTS

GROUP = "-translate-again"
#: Documents are read from many partitions, and again for their raw messages, a message at a time.
OWN_HEADERS = frozenset({AGAIN_HEADER, BECAME_HEADER})


class Place(msgspec.Struct):
    """Where a raw message lies, as JSON in a header of its account."""

    topic: str
    partition: int
    offset: int
    timestamp: int


class Kept(NamedTuple):
    """An account that is asked for."""

    place: Place
    became: bytes
    lines: int


_place = msgspec.json.Decoder(Place)


def accounts(settings: Settings, does: str, source: str | None, code: str | None) -> Iterator[Kept]:
    """Give the accounts of messages of which a line would be tried, oldest first."""
    newest: dict[bytes, Any] = {}
    with TopicReader(settings, GROUP) as reader:
        for message in reader.read(bounds(settings, [DOCUMENTS])):
            if message.value() is None:
                newest.pop(message.key(), None)
            else:
                newest[message.key()] = message
    for message in sorted(newest.values(), key=lambda one: one.timestamp()[1]):
        said = dict(message.headers() or ())
        try:
            record = json.loads(message.value())
            place = _place.decode(said[PLACE_HEADER])
            tried = {**record["refused"], **record["ignored"]} if does == REPLAY else {"": record["lines"]}
        except (ValueError, KeyError, TypeError, msgspec.DecodeError):
            continue  # somebody else's
        lines = sum(count for reason, count in tried.items() if does != REPLAY or code in (None, reason))
        if does != REPLAY and code is not None and code not in record["refused"] and code not in record["ignored"]:
            continue
        if lines and source in (None, record.get("source")):
            yield Kept(place, said.get(BECAME_HEADER) or b"", lines)


class RawReader:
    """Finds raw messages by their places."""

    def __init__(self, settings: Settings) -> None:
        self._reader = TopicReader(settings, GROUP)

    def at(self, place: Place) -> Any | None:
        """Give the message that lies there; None if it is gone, or another one lies there now."""
        part = (place.topic, place.partition)
        for message in self._reader.read({part: (place.offset, place.offset + 1)}):
            if message.offset() == place.offset and message.timestamp()[1] == place.timestamp:
                return message
        return None

    def close(self) -> None:
        """Let go of Kafka."""
        self._reader.__exit__()


def send_again(
    settings: Settings,
    sender: Sender,
    message: Any,
    place: Place,
    became: bytes,
    does: str,
    code: str | None,
) -> None:
    """Hand the message over once more."""
    again = Again(does, place.topic, place.partition, place.offset, place.timestamp, code)
    headers = [(name, value) for name, value in message.headers() or () if name not in OWN_HEADERS]
    headers += [(AGAIN_HEADER, msgspec.json.encode(again)), (BECAME_HEADER, became)]
    topic = place.topic.removeprefix(settings.topics.prefix)
    sender.send(topic, message.key(), message.value(), place.partition, headers)
