"""Reads the dead letters, and finds those somebody asks for. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.kafka import CONNECT_TIMEOUT_S, KafkaProblem, consumer_config, partitions_of
from flows.originals import with_bytes
from schemas.codes import parse_json
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS

SILENCE_S = 20.0
POLL_MAX = 1000

Place = tuple[str, int, int]
"""(full topic name, partition, offset)"""


class DeadLetter(msgspec.Struct, frozen=True):
    """One dead letter: where it lies, what it says, and the original bytes."""

    partition: int
    offset: int
    #: when it was written, UTC milliseconds
    written_ms: int
    code: str
    message: str
    origin: Place
    line_id: str | None
    attempts: int
    key: bytes | None
    value: bytes | None
    #: its bytes are kept in another letter of the same message, and were found there
    is_light: bool = False

    @property
    def name(self) -> str:
        """Give the name under which `show` and `replay` find it."""
        return f"{self.partition}:{self.offset}"

    def items(self) -> set[str]:
        """Give the items that the original names, as far as it can be read."""
        found = {self.key.decode("utf-8", "replace").rpartition(":")[2]} if self.key else set()
        return found | items_in(self.value or b"")


@lru_cache(maxsize=16)
def items_in(value: bytes) -> frozenset[str]:
    """Give the items that an event names. A thousand letters of one order share its bytes, and are asked in a row."""
    found: set[str] = set()
    try:
        event = parse_json(value)
    except ValueError:
        return frozenset()
    if isinstance(event, dict):
        lines = event.get("lines")
        for part in (event, *(lines if isinstance(lines, list) else ())):
            if isinstance(part, dict) and isinstance(part.get("item"), str):
                found.add(part["item"])
    return frozenset(found)


class Wanted(msgspec.Struct, frozen=True):
    """Which dead letters are asked for; what is not given is any."""

    names: frozenset[str] = frozenset()
    code: str | None = None
    item: str | None = None
    #: written at or after, UTC milliseconds
    since_ms: int = 0

    def has(self, letter: DeadLetter) -> bool:
        """Is it one of those?"""
        return (
            (not self.names or letter.name in self.names)
            and self.code in (None, letter.code)
            and letter.written_ms >= self.since_ms
            and (self.item is None or self.item in letter.items())
        )


def read(settings: Settings) -> list[DeadLetter]:
    """Give all dead letters there are, oldest first, each with its message's bytes."""
    letters = [letter for message in read_topics(settings, [DEAD_LETTERS]) if (letter := _letter(message)) is not None]
    return with_bytes(settings, sorted(letters, key=lambda one: (one.written_ms, one.partition, one.offset)))


def _letter(message: Any) -> DeadLetter | None:
    try:
        said = {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers() or ()}
        return DeadLetter(
            message.partition(),
            message.offset(),
            message.timestamp()[1],
            said["code"],
            said["message"],
            (said["topic"], int(said["partition"]), int(said["offset"])),
            said.get("line_id"),
            int(said.get("attempts", "1")),
            message.key(),
            message.value(),
        )
    except (KeyError, ValueError):
        return None  # somebody else's


def bounds(settings: Settings, names: list[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """Map each partition of the topics to its first offset and its end."""
    consumer = Consumer(consumer_config(settings, log_level=0))
    found = {}
    try:
        for topic, count in partitions_of(settings, names).items():
            for partition in range(count):
                place = TopicPartition(topic, partition)
                found[topic, partition] = consumer.get_watermark_offsets(place, timeout=CONNECT_TIMEOUT_S)
    except KafkaException as error:
        raise KafkaProblem(f"Kafka does not tell what {', '.join(names)} hold: {error}") from error
    finally:
        consumer.close()
    return found


def read_topics(settings: Settings, names: list[str]) -> Iterator[Any]:
    """Give every message that topics hold at the call, by partition in order of offset."""
    spans = bounds(settings, names)
    unread = {place: end for place, (low, end) in spans.items() if low < end}
    consumer = Consumer(
        consumer_config(settings, **{"group.id": f"{settings.kafka.group}-dead-letters", "auto.offset.reset": "error"})
    )
    try:
        consumer.assign([TopicPartition(*place, spans[place][0]) for place in unread])
        heard_at = time.monotonic()
        while unread:
            messages: list[Any] = consumer.consume(POLL_MAX, 0.2)
            for message in messages:
                place = (message.topic(), message.partition())
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        unread.pop(place, None)
                        continue
                    if error.code() == KafkaError._AUTO_OFFSET_RESET:
                        raise KafkaProblem(
                            f"{place[0]}/{place[1]} lost its oldest messages while it was read: try again"
                        )
                    continue
                heard_at = time.monotonic()
                if place in unread and message.offset() < unread[place]:
                    yield message
                    if message.offset() + 1 >= unread[place]:
                        del unread[place]
                else:
                    unread.pop(place, None)
            if time.monotonic() - heard_at > SILENCE_S:
                raise KafkaProblem(f"{', '.join(names)} could not be read to their ends: Kafka is silent")
    finally:
        consumer.close()
