"""What became of messages that were sent: whether an engine has judged them, and which of them it refused.

An engine commits the positions that went through all of its sinks, of event and of reference topics, about once a
second (flows.sources.events, flows.sources.reference). So what lies before them is judged, and whatever of it was
refused is in the dead letters by then, with its place. What is not there was applied, or was known already; which of
the two only the engine's counters tell, where its endpoint can be reached from here and counts just as many as were
sent.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

from flows.adapters.files.places import Places
from flows.kafka.clients import CONNECT_TIMEOUT_S, consumer_config
from flows.kafka.reading import TopicReader, bounds
from flows.kafka.topics import text_of
from flows.monitoring.health_client import read_metrics
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS

#: An engine at work commits every second, or with its epochs: so long without a step, and nobody reads.
QUIET_S = 10.0
QUIET_EPOCHS = 5
#: However well it goes on: longer than this nobody waits.
WAIT_S_MAX = 600.0
ASK_EVERY_S = 0.2
READ_S_MAX = 30.0
#: The engine's counters are a moment behind what it commits.
COUNTERS_S_MAX = 3.0

Where = tuple[str, int]
_sample = re.compile(r"^atp_units_total\{([^}]*)\} ([0-9.e+]+)$", re.MULTILINE)
_label = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Refused(NamedTuple):
    """One message that the engine refused: its code and sentence, and the line that it was made of."""

    code: str
    sentence: str
    line: str


class Verdicts(NamedTuple):
    """What became of what was sent."""

    #: messages that no engine has judged yet
    unjudged: int
    #: how many were refused, by code, and the first of each
    refused: Counter[str]
    examples: dict[str, Refused]
    #: units applied, and known already; None where only their sum is known
    applied: int | None
    duplicate: int | None
    waited_s: float
    #: why it cannot be told whether an engine reads; empty where it can
    problem: str


class Court:
    """Made before the first message is sent: what was refused and counted before is not of these."""

    def __init__(self, settings: Settings, source: str) -> None:
        self._settings, self._source = settings, source
        self._consumer = Consumer(consumer_config(settings, log_level=0))
        self._letters = self._ends_of_letters()
        self._counted = self._counters()
        self._quiet_s = max(QUIET_S, QUIET_EPOCHS * settings.state.epoch_interval / 1e6)
        #: whether it was seen that no engine reads
        self.is_empty = False
        self._problem = ""

    def close(self) -> None:
        """Let go of Kafka."""
        self._consumer.close()

    def wait(self, sent: Places, advance: Callable[[int], None]) -> tuple[int, float]:
        """Wait until all of it is judged, or nothing goes on; gives how much is not, and the seconds waited."""
        started = heard_at = time.monotonic()
        left = sent.count
        before: dict[Where, int] | None = None
        while True:
            positions = self._positions(sent)
            now_left = sent.beyond(positions)
            advance(left - now_left)
            left, moment = now_left, time.monotonic()
            if before is not None and positions != before:
                heard_at = moment
                self.is_empty = False
            elif moment - heard_at > self._quiet_s:
                self.is_empty = True
            before = positions
            if not left or self.is_empty or moment - started > WAIT_S_MAX:
                return left, moment - started
            time.sleep(ASK_EVERY_S)

    def verdicts(self, sent: Places, unjudged: int, waited_s: float, units: int) -> Verdicts:
        """Find out what became of what was judged; `units`: how many the messages hold."""
        refused: Counter[str] = Counter()
        examples: dict[str, Refused] = {}
        for message in self._read_letters():
            said = {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers() or ()}
            with contextlib.suppress(KeyError, ValueError):  # somebody else's
                if sent.has(said["topic"], int(said["partition"]), int(said["offset"])):
                    code = said["code"]
                    refused[code] += 1
                    examples.setdefault(code, Refused(code, said["message"], _line(message.value())))
        applied = duplicate = None
        if not unjudged:
            applied, duplicate = self._tallies(units, refused.total()) if units else (0, 0)
        return Verdicts(unjudged, refused, examples, applied, duplicate, waited_s, self._problem)

    def _positions(self, sent: Places) -> dict[Where, int]:
        places = [TopicPartition(*where) for where in sent.ends()]
        try:
            found = self._consumer.committed(places, timeout=CONNECT_TIMEOUT_S)
        except KafkaException as error:
            self._problem = (
                f"Kafka does not tell what the group {self._settings.kafka.group} has read: {text_of(error)}"
            )
            return {}  # an outage is no verdict; if it lasts, nothing goes on
        self._problem = ""
        return {(place.topic, place.partition): place.offset for place in found if place.offset >= 0}

    def _ends_of_letters(self) -> dict[Where, int]:
        return {part: end for part, (_, end) in bounds(self._settings, [DEAD_LETTERS]).items()}

    def _read_letters(self) -> list[Any]:
        """Give what was added to the dead letters since this was made."""
        spans = {part: (self._letters.get(part, 0), end) for part, end in self._ends_of_letters().items()}
        with TopicReader(self._settings, group="", silence_s=READ_S_MAX) as reader:
            return list(reader.read(spans))

    def _counters(self) -> Counter[str] | None:
        """Give what the engine here has judged of this source, by outcome; None where there is none to ask."""
        text = read_metrics(self._settings)
        if text is None:
            return None
        found: Counter[str] = Counter()
        for labels, value in _sample.findall(text):
            named = dict(_label.findall(labels))
            if named.get("source") == self._source:
                found[named.get("outcome", "")] += int(float(value))
        return found

    def _tallies(self, units: int, refused: int) -> tuple[int | None, int | None]:
        """Give (applied, duplicate) where the engine's counters grew by just what was sent: else they are of others."""
        deadline = time.monotonic() + COUNTERS_S_MAX
        while self._counted is not None:
            now = self._counters()
            if now is None:
                break
            grown = {name: now[name] - self._counted[name] for name in {*now, *self._counted}}
            applied, duplicate = grown.get("applied", 0), grown.get("duplicate", 0)
            if (
                sum(grown.values()) == units
                and applied + duplicate == units - refused
                and min(grown.values(), default=0) >= 0
            ):
                return applied, duplicate
            if time.monotonic() > deadline:
                break
            time.sleep(ASK_EVERY_S)
        return None, None


def _line(value: bytes | None) -> str:
    """Give the file and line that a message was made of; the importer says so in it."""
    try:
        said = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return ""
    origin = said.get("correlation_id") if isinstance(said, dict) else None
    file, _, line = str(origin or "").rpartition(":")
    return f"{file}, line {line}" if file else ""
