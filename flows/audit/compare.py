"""Decides whether the engine was right: recomputes every number from Kafka alone and compares it with Redis.

Reads the input topics (not the generator), judges and adds up with the naive model, which shares nothing with the
engine. One number that differs fails the audit.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Message

from flows.audit.intake import Refusal
from flows.audit.model import Model
from flows.audit.quantities import oversold
from flows.audit.reading import Place, Record
from flows.audit.records import REFERENCE_ORDER
from flows.kafka.reading import TopicReader, bounds
from flows.readmodel.connecting import client
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, INPUTS, LANES, UPDATES

SHOWN_MAX = 10
SILENCE_S = 60.0
PROMPT = ("critical", "high")

Letters = dict[tuple[Place, str], str]
"""(place of the message, line_id or empty) -> code"""


@dataclass(slots=True)
class Tally:
    """How many of how many agree, and what does not."""

    agree: int = 0
    total: int = 0
    differences: list[str] = field(default_factory=list)

    def compare(self, what: str, expected: object, found: object) -> None:
        """Count one comparison."""
        self.total += 1
        if expected == found:
            self.agree += 1
        else:
            self.differences.append(f"{what}: expected {expected}, found {found}")


@dataclass(slots=True)
class Report:
    """What the audit found. Latencies in ms: from an event's log-append time to its update handed to Kafka."""

    promises: Tally = field(default_factory=Tally)
    positions: Tally = field(default_factory=Tally)
    dead_letters: Tally = field(default_factory=Tally)
    events: int = 0
    duplicates: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    lanes: Counter[str] = field(default_factory=Counter)
    oversold: int = 0
    latencies: list[int] = field(default_factory=list)
    outage_latencies: list[int] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Not one number differs, not one unit is oversold."""
        tallies = (self.promises, self.positions, self.dead_letters)
        return all(t.agree == t.total and t.total > 0 for t in tallies) and self.oversold == 0


def audit(
    settings: Settings,
    may_send: Mapping[str, frozenset[str]],
    now: int,
    killed_ms: int = 0,
    back_ms: int = 0,
) -> Report:
    """Compare everything. `now`: when the engine's last number was made; `killed_ms`..`back_ms`: the outage."""
    reference, events, updates, letters = _gather(settings)
    sources = {name: {"may_send": types} for name, types in may_send.items()}
    model = Model(
        settings.dedup_window, settings.max_clock_skew, sources, settings.max_message_bytes, settings.time_zone
    )
    refused = model.accept_all(reference, events)
    report = Report(events=len(events), duplicates=model.duplicates)
    report.dropped.update(code for refusals in refused.values() for code, _ in refusals)
    _compare_redis(settings, model, now, report)
    compare_dead_letters(refused, letters, report.dead_letters)
    _measure(events, updates, killed_ms, back_ms, report)
    return report


def _compare_redis(settings: Settings, model: Model, now: int, report: Report) -> None:
    store = client(settings, 10, decode_responses=True)
    pipeline = store.pipeline(transaction=False)
    prefix = settings.redis.prefix
    for item in model.items:
        pipeline.hgetall(f"{prefix}atp:{item}")
        pipeline.hgetall(f"{prefix}position:{item}")
    answers = pipeline.execute()
    store.close()
    for index, item in enumerate(model.items):
        position = model.position(item, now)
        report.oversold += oversold(position)
        compare_promises(item, model, now, answers[2 * index], report.promises)
        compare_position(item, position, answers[2 * index + 1], report.positions)


def compare_promises(item: str, model: Model, now: int, fields: dict[str, str], tally: Tally) -> None:
    """Compare an item's hash atp:<item> with what the model promises; a number too many is as wrong as one missing."""
    found = {name: json.loads(value) for name, value in fields.items() if not name.startswith("_")}
    for channel in model.channels:
        names = (channel, f"{channel}:by_day")
        promise = model.promise(item, channel, now)
        expected = [None, None] if promise is None else [promise.atp, promise.by_day]
        tally.compare(f"{item} {channel}", expected, [found.pop(name, None) for name in names])
    for name, value in found.items():
        tally.compare(f"{item} {name}", None, value)


def compare_position(
    item: str, position: Mapping[str, Mapping[str, int]], fields: dict[str, str], tally: Tally
) -> None:
    """Compare an item's hash position:<item>, figure by figure; an absent one is 0.

    What is available follows from the other figures: it is compared where it is shown.
    """
    found = {name: int(value) for name, value in fields.items() if not name.startswith("_")}
    expected = {
        f"{location}:{name}": figure
        for location, figures in position.items()
        for name, figure in figures.items()
        if name != "available" or f"{location}:{name}" in found
    }
    for name in sorted(expected.keys() | found.keys()):
        tally.compare(f"{item} {name}", expected.get(name, 0), found.get(name, 0))


def compare_dead_letters(refused: Mapping[Place, list[Refusal]], letters: Letters, tally: Tally) -> None:
    """Compare what the model refuses with what has a dead letter: each refusal has one, and nothing else does."""
    expected = {(place, line_id or ""): code for place, refusals in refused.items() for code, line_id in refusals}
    for at in sorted(expected.keys() | letters.keys()):
        (topic, partition, offset), line_id = at
        name = f"dead letter of {topic.removeprefix('inventory.')}/{partition}@{offset} line {line_id or '-'}"
        tally.compare(name, expected.get(at), letters.get(at))


def _measure(
    events: list[Record], updates: list[tuple[str, int, str]], killed_ms: int, back_ms: int, report: Report
) -> None:
    """Latency of the updates that leave at once, each against the event that it names as its cause."""
    appended: dict[str, int] = {}
    for event in events:
        name = _correlation(event.value or b"")
        if name:
            logged_ms = event.timestamp_us // 1000
            appended[name] = min(appended.get(name, logged_ms), logged_ms)
    first: dict[tuple[str, str], int] = {}
    for lane, sent_ms, name in updates:
        report.lanes[lane] += 1
        if lane in PROMPT and name in appended:
            first[lane, name] = min(first.get((lane, name), sent_ms), sent_ms)
    for (_, name), sent_ms in first.items():
        is_outage = appended[name] <= back_ms and sent_ms >= killed_ms > 0
        target = report.outage_latencies if is_outage else report.latencies
        target.append(max(0, sent_ms - appended[name]))
    report.latencies.sort()
    report.outage_latencies.sort()


def _correlation(value: bytes) -> str:
    try:
        event = json.loads(value)
    except ValueError:
        return ""  # not one that can have had an effect
    name = event.get("correlation_id") if isinstance(event, dict) else None
    return name if isinstance(name, str) else ""


def percentile(ordered: list[int], share: float) -> int:
    """The nearest-rank percentile of sorted numbers; 0 of none."""
    if not ordered:
        return 0
    return ordered[min(len(ordered) - 1, max(0, -(-int(len(ordered) * share * 1000) // 1000) - 1))]


def _gather(settings: Settings) -> tuple[list[Record], list[Record], list[tuple[str, int, str]], Letters]:
    """Read the topics from end to end: reference data, events, (lane, when it was sent, its cause), dead letters."""
    reference, events = (
        [_record(name, message) for name in names for message in read(settings, name)]
        for names in (REFERENCE_ORDER, INPUTS)
    )
    updates: list[tuple[str, int, str]] = []
    for name, lane in zip(UPDATES, LANES, strict=True):
        for message in read(settings, name):
            update: dict[str, Any] = json.loads(message.value() or b"{}")
            updates.append((lane, message.timestamp()[1], update.get("correlation_id") or ""))
    letters: Letters = {}
    for message in read(settings, DEAD_LETTERS):
        headers = headers_of(message)
        topic = headers["topic"].removeprefix(settings.topics.prefix)
        place = (topic, int(headers["partition"]), int(headers["offset"]))
        letters[place, headers.get("line_id", "")] = headers["code"]
    return reference, events, updates, letters


def _record(name: str, message: Message) -> Record:
    return Record((name, *_place(message)), message.timestamp()[1] * 1000, message.key() or b"", message.value())


def headers_of(message: Message) -> dict[str, str]:
    """A message's headers as text."""
    found = {}
    for header in list(message.headers() or []):
        name, value = header
        found[str(name)] = value.decode() if isinstance(value, bytes) else str(value)
    return found


def _place(message: Message) -> tuple[int, int]:
    partition, offset = message.partition(), message.offset()
    assert partition is not None and offset is not None, "a message that was read has a place"
    return partition, offset


def read(settings: Settings, name: str) -> list[Message]:
    """Give all messages that the topic holds now, by partition and offset; KafkaProblem where it does not give them."""
    with TopicReader(settings, group="-audit", silence_s=SILENCE_S, log_level=6) as reader:
        return sorted(reader.read(bounds(settings, [name])), key=_place)
