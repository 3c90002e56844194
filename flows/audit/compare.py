"""Decides whether the engine was right: recomputes every number from Kafka alone and compares it with Redis.

Reads the input topics (not the generator), judges and adds up with `intake` and `model`, which share nothing with the
engine. One number that differs fails the audit.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import redis
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from flows.audit import model
from flows.audit.intake import Book, Record, Verdicts, judge
from flows.errors import PlainError
from flows.kafka.clients import consumer_config, partitions_of
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, INPUTS, LANES, REFERENCE, UPDATES

SHOWN_MAX = 10
READ_SECONDS_MAX = 60.0
PROMPT = ("critical", "high")


class AuditError(PlainError):
    """The audit could not be made."""


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
    book, records, updates, letters = _gather(settings)
    verdicts = judge(
        records,
        book,
        may_send,
        settings.dedup_window,
        settings.max_clock_skew,
        settings.max_message_bytes,
    )
    report = Report(events=len(records), duplicates=verdicts.duplicates)
    report.dropped.update(verdicts.refusals.values())
    _compare_redis(settings, book, verdicts, now, report)
    _compare_dead_letters(verdicts, letters, report)
    _measure(records, updates, killed_ms, back_ms, report)
    return report


def _compare_redis(settings: Settings, book: Book, verdicts: Verdicts, now: int, report: Report) -> None:
    store = redis.Redis.from_url(settings.redis.url, decode_responses=True, socket_timeout=10)
    pipeline = store.pipeline(transaction=False)
    prefix = settings.redis.prefix
    for item in book.items:
        pipeline.hgetall(f"{prefix}atp:{item}")
        pipeline.hgetall(f"{prefix}position:{item}")
    answers = pipeline.execute()
    store.close()
    for index, item in enumerate(book.items):
        at = model.position(verdicts.units.get(item, []), book, now)
        report.oversold += at.oversold()
        compare_promises(item, at, book, now, answers[2 * index], report.promises)
        compare_position(item, at, answers[2 * index + 1], report.positions)


def compare_promises(item: str, at: model.Position, book: Book, now: int, fields: dict[str, str], tally: Tally) -> None:
    """Compare an item's hash atp:<item> with what the model promises; a number too many is as wrong as one missing."""
    expected: dict[str, object] = {}
    for channel in book.channels:
        if not model.is_listed(item, channel, book):
            continue
        days = model.promise(item, channel, at, book, now)
        expected[channel] = days[0]
        if book.channels[channel].get("horizon_days", 0):
            expected[f"{channel}:by_day"] = days
    found = {name: json.loads(value) for name, value in fields.items() if not name.startswith("_")}
    for channel in book.channels:
        names = (channel, f"{channel}:by_day")
        tally.compare(
            f"{item} {channel}", [expected.get(name) for name in names], [found.pop(name, None) for name in names]
        )
    for name, value in found.items():
        tally.compare(f"{item} {name}", None, value)


def compare_position(item: str, at: model.Position, fields: dict[str, str], tally: Tally) -> None:
    """Compare an item's hash position:<item>, figure by figure; an absent one is 0."""
    expected = {
        f"{location}:{name}": figure
        for location, place in at.places.items()
        for name, figure in place.figures().items()
    }
    expected["*:soft_allocated"] = sum(q for claims in at.unlocated.values() for _, q in claims)
    found = {
        name: int(value)
        for name, value in fields.items()
        if not name.startswith("_") and not name.endswith(":available")  # less safety stock: a promise's step
    }
    for name in sorted(expected.keys() | found.keys()):
        tally.compare(f"{item} {name}", expected.get(name, 0), found.get(name, 0))


def _compare_dead_letters(verdicts: Verdicts, letters: dict[tuple[str, int, int, str], str], report: Report) -> None:
    for place in sorted(verdicts.refusals.keys() | letters.keys()):
        name = f"dead letter of {place[0]}/{place[1]}@{place[2]} line {place[3] or '-'}"
        report.dead_letters.compare(name, verdicts.refusals.get(place), letters.get(place))


def _measure(
    records: list[Record], updates: list[tuple[str, int, str]], killed_ms: int, back_ms: int, report: Report
) -> None:
    """Latency of the updates that leave at once, each against the event that it names as its cause."""
    appended: dict[str, int] = {}
    for record in records:
        name = _correlation(record.value)
        if name:
            appended[name] = min(appended.get(name, record.timestamp_ms), record.timestamp_ms)
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


def _gather(
    settings: Settings,
) -> tuple[Book, list[Record], list[tuple[str, int, str]], dict[tuple[str, int, int, str], str]]:
    """Read the topics from end to end."""
    book = Book()
    for name in ("inventory.locations", "inventory.channels", "inventory.items", "inventory.channel_items"):
        for message in read(settings, name):
            book.take(name.removeprefix("inventory."), (message.key() or b"").decode(), message.value())
    assert set(REFERENCE) == {f"inventory.{kind}" for kind in ("items", "locations", "channels", "channel_items")}
    records = [
        Record(name.removeprefix("inventory."), *_place(message), message.timestamp()[1], message.value() or b"")
        for name in INPUTS
        for message in read(settings, name)
    ]
    updates: list[tuple[str, int, str]] = []
    for name, lane in zip(UPDATES, LANES, strict=True):
        for message in read(settings, name):
            update: dict[str, Any] = json.loads(message.value() or b"{}")
            updates.append((lane, message.timestamp()[1], update.get("correlation_id") or ""))
    letters: dict[tuple[str, int, int, str], str] = {}
    for message in read(settings, DEAD_LETTERS):
        headers = headers_of(message)
        topic = headers["topic"].removeprefix(settings.topics.prefix).removeprefix("inventory.")
        letters[topic, int(headers["partition"]), int(headers["offset"]), headers.get("line_id", "")] = headers["code"]
    return book, records, updates, letters


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
    """All messages that the topic holds now, by partition and offset."""
    ((topic, count),) = partitions_of(settings, [name]).items()
    consumer = Consumer(
        consumer_config(settings, **{"group.id": f"{settings.kafka.group}-audit", "auto.offset.reset": "error"})
    )
    found: list[Message] = []
    try:
        starts = []
        for partition in range(count):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            if low < high:
                starts.append(TopicPartition(topic, partition, low))
        waiting = {start.partition for start in starts}
        consumer.assign(starts)
        deadline = time.monotonic() + READ_SECONDS_MAX
        while waiting:
            if time.monotonic() > deadline:
                raise AuditError(f"{topic} was not read to its end within {READ_SECONDS_MAX:.0f} s")
            for message in consumer.consume(1000, 0.1):
                error = message.error()
                if error is None:
                    found.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    waiting.discard(message.partition())
                else:
                    raise AuditError(f"{topic}: {error.str()}")
    finally:
        consumer.close()
    return sorted(found, key=_place)
