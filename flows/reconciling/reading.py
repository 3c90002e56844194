"""Reads what the engine says of variances and statements: the newest word of each key of the compacted topics."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import msgspec

from flows.kafka.reading import read_topics
from flows.progress_line import ProgressLine
from schemas.settings import Settings
from schemas.topics import STATUSES, VARIANCES

#: Of these somebody still has to do or to know something.
UNSETTLED = ("open", "held")


class Evidence(msgspec.Struct, frozen=True):
    """A record in Kafka that explains a variance."""

    topic: str
    partition: int
    offset: int
    source: str
    event_id: str
    line_id: str | None = None


class Variance(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest word on a variance; figures in base UoM x 10^scale, as its topic has them."""

    id: str
    source: str
    statement_id: str
    item: str
    measure: str
    as_of: str
    ours: int
    theirs: int
    difference: int
    cause: str
    state: str
    first_seen: str
    last_seen: str
    location: str | None = None
    channel: str | None = None
    lot: str | None = None
    evidence: tuple[Evidence, ...] = ()
    action: str | None = None
    decided_by: str | None = None
    reason: str | None = None

    @property
    def place(self) -> str:
        """Give the location, of a promise the channel."""
        return self.location or self.channel or ""


class Status(msgspec.Struct, frozen=True):
    """The newest word on a statement."""

    source: str
    statement_id: str
    as_of: str | None
    rows: int | None
    seen: int
    agreed: int
    in_variance: int
    not_compared: int
    refused: int
    absent: int
    duplicates: int
    conflicts: int
    causes: dict[str, dict[str, int]]
    units: str
    started: str | None
    ended: str | None
    verdict: str
    reasons: list[str]
    explained_percent: float

    @property
    def key(self) -> str:
        """Give its key in the topic."""
        return f"{self.source}:{self.statement_id}"


class Wanted(NamedTuple):
    """Which variances somebody asks for; None: whichever."""

    source: str | None = None
    item: str | None = None
    place: str | None = None
    measure: str | None = None
    cause: str | None = None
    states: tuple[str, ...] = UNSETTLED
    statement_id: str | None = None
    id: str | None = None

    def has(self, one: Variance) -> bool:
        """Is this one of them?"""
        return (
            one.state in self.states
            and self.source in (None, one.source)
            and self.item in (None, one.item)
            and self.place in (None, one.place)
            and self.measure in (None, one.measure)
            and self.cause in (None, one.cause)
            and self.statement_id in (None, one.statement_id)
            and self.id in (None, one.id)
        )


Word = TypeVar("Word", Variance, Status)
_variance = msgspec.json.Decoder(Variance).decode
_status = msgspec.json.Decoder(Status).decode


def variances(settings: Settings, wanted: Callable[[Variance], bool] = lambda _: True) -> dict[str, Variance]:
    """Give the newest word of each key that is wanted; what is not is not kept, so that memory goes by the answer."""
    return dict(_newest(settings, VARIANCES, _variance, wanted))


def statuses(settings: Settings, wanted: Callable[[Status], bool] = lambda _: True) -> dict[str, Status]:
    """Give the newest word on each statement that is wanted."""
    return dict(_newest(settings, STATUSES, _status, wanted))


def read_variance(value: bytes) -> Variance:
    """Read one message of inventory.variances; ValueError if it is none."""
    return _variance(value)


def read_status(value: bytes) -> Status:
    """Read one message of inventory.statements.status; ValueError if it is none."""
    return _status(value)


def _newest(
    settings: Settings, topic: str, read: Callable[[bytes], Word], wanted: Callable[[Word], bool]
) -> Iterator[tuple[str, Word]]:
    """Keys are hashed to partitions, so that the last of a key in its partition is its newest."""
    found: dict[str, Word] = {}
    strange = 0
    line = ProgressLine(f"reading {settings.topic(topic)}")
    try:
        for message in read_topics(settings, [topic], line.add):
            key, value = (message.key() or b"").decode("utf-8", "replace"), message.value()
            found.pop(key, None)
            if value is None:
                continue
            try:
                word = read(value)
            except (msgspec.DecodeError, UnicodeDecodeError):
                strange += 1
                continue
            if wanted(word):
                found[key] = word
    finally:
        line.end()
    if strange:
        plural = "s are none of the engine's and were" if strange > 1 else " is none of the engine's and was"
        print(f"atp: {strange} message{plural} left out of {settings.topic(topic)}", file=sys.stderr)
    yield from found.items()


def facts(key: str, one: Variance) -> dict[str, Any]:
    """Give a variance for a script: its key, and all that the topic says of it."""
    said: dict[str, Any] = {"key": key, **msgspec.to_builtins(one)}
    return said
