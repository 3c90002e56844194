"""Finds out which exceptions are open: what is wrong with numbers now, since when, and with which figures.

The engine says an exception when it begins and again when it is over; of each the newest word counts. A conflict is
never over: it is given while its topic has it.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import NamedTuple

import msgspec

from flows.kafka.reading import Part, TopicReader, bounds
from flows.progress_line import ProgressLine
from schemas.settings import Settings
from schemas.topics import EXCEPTIONS

Key = tuple[str, str, str, str, str]
#: what each code means, in a few words
MEANINGS = {
    "negative_on_hand": "a count below zero: a receipt is missing, or something was sent twice",
    "oversold": "more is claimed than there is: someone has to be told",
    "stale_source": "a source is silent for longer than it should be",
    "conflict": "an id came twice with different content; the first stands",
    "over_received": "more was received than was ordered",
    "allocated_without_stock": "reserved is more than there is",
    "claims_above_demand": "more is reserved for a line than is still wanted",
    "demand_after_cancellation": "an order line was placed again after it was cancelled",
    "lot_below_zero": "a lot's count is below zero",
    "statement_rejected": "another system's statement was not believed",
    "held_too_long": "goods are held back because of a difference nobody has decided",
}


class OpenException(msgspec.Struct, frozen=True):
    """An exception as its topic has it; figures in base UoM x 10^scale."""

    code: str
    state: str
    first_seen: str
    last_seen: str
    quantities: dict[str, int] = {}
    item: str | None = None
    location: str | None = None
    source: str | None = None
    reference: str | None = None
    reasons: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """Give what tells one from another."""
        return self.code, self.item or "", self.location or "", self.source or "", self.reference or ""

    def age_s(self, now_s: float) -> float:
        """Give for how long it has been open."""
        return max(0.0, now_s - datetime.fromisoformat(self.first_seen).timestamp())


class Wanted(NamedTuple):
    """Which exceptions somebody asks for; None: whichever. `older_s`: open for at least so long."""

    code: str | None = None
    item: str | None = None
    location: str | None = None
    source: str | None = None
    older_s: float = 0.0

    def has(self, one: OpenException, now_s: float) -> bool:
        """Is this one of them?"""
        return (
            self.code in (None, one.code)
            and self.item in (None, one.item)
            and self.location in (None, one.location)
            and self.source in (None, one.source)
            and (not self.older_s or one.age_s(now_s) >= self.older_s)
        )


ALL = Wanted()
_read = msgspec.json.Decoder(OpenException).decode


class OpenNow:
    """What is open by all that was told so far."""

    def __init__(self) -> None:
        self._open: dict[Key, OpenException] = {}
        #: messages that are none of the engine's
        self.strange = 0

    def tell(self, value: bytes | None) -> bool:
        """Take one message; did what is open change?"""
        try:
            one = _read(value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.strange += 1
            return False
        before = self._open.get(one.key)
        if one.state == "closed":
            self._open.pop(one.key, None)
            return before is not None
        # What is said again after a crash began when it was said first.
        if before is not None and before.first_seen < one.first_seen and one.code != "conflict":
            one = msgspec.structs.replace(one, first_seen=before.first_seen)
        self._open[one.key] = one
        return one != before

    def those(self, wanted: Wanted, now_s: float) -> list[OpenException]:
        """Give what is wanted of it, the longest open first."""
        found = [one for one in self._open.values() if wanted.has(one, now_s)]
        return sorted(found, key=lambda one: (one.first_seen, one.key))


def open_exceptions(settings: Settings, wanted: Wanted = ALL) -> list[OpenException]:
    """Give what is open now, the longest open first; KafkaProblem where the topic cannot be read."""
    with TopicReader(settings, "-exceptions") as reader:
        return _read_all(settings, reader)[0].those(wanted, time.time())


class Following:
    """Looks again and again at what is open: the topic is read once, then what comes to it. Closed by `with`."""

    def __init__(self, settings: Settings, wanted: Wanted = ALL) -> None:
        self._settings, self._wanted = settings, wanted
        self._reader: TopicReader | None = None
        self._known = OpenNow()
        self._ends: dict[Part, int] = {}

    def __enter__(self) -> Following:
        """Be closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of Kafka."""
        if self._reader is not None:
            self._reader.__exit__()

    def look(self) -> list[OpenException]:
        """Give what is open now, the longest open first; KafkaProblem where Kafka is away, and the next look may do."""
        if self._reader is None:
            reader = TopicReader(self._settings, "-exceptions")
            try:
                self._known, self._ends = _read_all(self._settings, reader)
            except BaseException:
                reader.__exit__()
                raise
            self._reader = reader
        else:
            spans = bounds(self._settings, [EXCEPTIONS])
            if any(end < self._ends.get(part, 0) for part, (_, end) in spans.items()):
                self._reader.__exit__()  # the topic was made again: from its beginning
                self._reader = None
                return self.look()
            new = {part: (self._ends.get(part, low), end) for part, (low, end) in spans.items()}
            for message in self._reader.read({part: span for part, span in new.items() if span[0] < span[1]}):
                self._known.tell(message.value())
            self._ends = {part: end for part, (_, end) in spans.items()}
        return self._known.those(self._wanted, time.time())


def _read_all(settings: Settings, reader: TopicReader) -> tuple[OpenNow, dict[Part, int]]:
    """Tell what is open by all that the topic holds, and where it ended."""
    known = OpenNow()
    spans = bounds(settings, [EXCEPTIONS])
    line = ProgressLine(f"reading {settings.topic(EXCEPTIONS)}")
    try:
        for message in reader.read(spans, line.add):
            known.tell(message.value())
    finally:
        line.end()
    return known, {part: end for part, (_, end) in spans.items()}
