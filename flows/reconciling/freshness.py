"""Finds out for how long a channel has shown a number that was replaced: what it states, what was published when.

Every update that Kafka still has is looked at. Compaction leaves the newest of each lane, so that of a long time ago
less is known; what is not known is not said.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import msgspec

from flows.kafka.reading import read_topics
from flows.progress_line import ProgressLine
from flows.reconciling.reading import Variance
from schemas.codes import parse_time
from schemas.settings import Settings
from schemas.topics import UPDATES


class Update(msgspec.Struct, frozen=True, order=True):
    """A number that was published; the highest version is the newest."""

    version: int
    processed_at: str
    atp: int


class Delay(NamedTuple):
    """A channel shows the number that was replaced at this moment, so many seconds before the moment it speaks of."""

    replaced_at: str
    seconds: float


_read = msgspec.json.Decoder(Update).decode


def delay_of(settings: Settings, one: Variance) -> Delay | None:
    """Say for how long a channel had shown an old number; None where it is not that, or not known any more."""
    key = f"{one.item}:{one.channel}".encode()
    line = ProgressLine("reading what was published")
    try:
        found = [
            _read(message.value())
            for message in read_topics(settings, list(UPDATES), line.add)
            if message.key() == key and message.value() is not None
        ]
    finally:
        line.end()
    return behind(found, one.theirs, one.as_of)


def behind(updates: list[Update], shown: int, as_of: str) -> Delay | None:
    """Decide it: the last number like the one that is shown, and when the next took its place."""
    moment = parse_time(as_of)
    known = [update for update in sorted(updates) if parse_time(update.processed_at) <= moment]
    for older, newer in reversed(list(pairwise(known))):
        if older.atp == shown:
            return Delay(newer.processed_at, (moment - parse_time(newer.processed_at)) / 1e6)
    return None
