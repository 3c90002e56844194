"""Reads what topics hold at the call, forward or from the newest back, for commands. Commits nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.kafka.clients import CONNECT_TIMEOUT_S, KafkaProblem, consumer_config, partitions_of, span_of
from schemas.settings import Settings

SILENCE_S = 20.0
POLL_MAX = 1000

Place = tuple[str, int, int]
"""(full topic name, partition, offset)"""
Part = tuple[str, int]
"""(full topic name, partition)"""
Span = tuple[int, int]
"""(first offset, end)"""


def bounds(settings: Settings, names: list[str]) -> dict[Part, Span]:
    """Map each partition of the topics to its first offset and its end."""
    consumer = Consumer(consumer_config(settings, log_level=0))
    found = {}
    try:
        for topic, count in partitions_of(settings, names).items():
            for partition in range(count):
                found[topic, partition] = span_of(consumer, TopicPartition(topic, partition))
    except KafkaException as error:
        raise KafkaProblem(f"Kafka does not tell what {', '.join(names)} hold: {error}") from error
    finally:
        consumer.close()
    return found


def read_topics(settings: Settings, names: list[str], tell: Callable[[int], None] = lambda _: None) -> Iterator[Any]:
    """Give every message that topics hold at the call, by partition in order of offset; `tell`: how many more."""
    with TopicReader(settings) as reader:
        yield from reader.read(bounds(settings, names), tell)


class TopicReader:
    """One consumer for one read after another."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        more = {"group.id": f"{settings.kafka.group}-dead-letters", "auto.offset.reset": "error", "log_level": 0}
        self._consumer = Consumer(consumer_config(settings, **more))

    def __enter__(self) -> TopicReader:
        """Be closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of Kafka."""
        self._consumer.close()

    def since(self, parts: dict[Part, Span], moment_ms: int) -> dict[Part, Span]:
        """Begin each span no earlier than with what was logged at that moment."""
        places = [TopicPartition(*part, moment_ms) for part, (low, end) in parts.items() if low < end]
        try:
            found = self._consumer.offsets_for_times(places, timeout=CONNECT_TIMEOUT_S) if places else []
        except KafkaException as error:
            raise KafkaProblem(f"Kafka does not tell what was logged when: {error}") from error
        spans = dict(parts)
        for place in found:
            low, end = spans[place.topic, place.partition]
            spans[place.topic, place.partition] = (max(low, place.offset if place.offset >= 0 else end), end)
        return spans

    def read(self, spans: dict[Part, Span], tell: Callable[[int], None] = lambda _: None) -> Iterator[Any]:
        """Give the messages of spans, by partition in order of offset."""
        unread = {place: end for place, (low, end) in spans.items() if low < end}
        self._consumer.assign([TopicPartition(*place, spans[place][0]) for place in unread])
        heard_at = time.monotonic()
        while unread:
            messages: list[Any] = self._consumer.consume(POLL_MAX, 0.2)
            for message in messages:
                place = (message.topic(), message.partition())
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        unread.pop(place, None)
                    elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                        raise KafkaProblem(
                            f"{place[0]}/{place[1]} lost its oldest messages while it was read: try again"
                        )
                    continue
                heard_at = time.monotonic()
                if place not in unread:
                    continue
                if message.offset() < unread[place]:
                    yield message
                if message.offset() + 1 >= unread[place]:
                    del unread[place]
            tell(len(messages))
            if time.monotonic() - heard_at > SILENCE_S:
                raise KafkaProblem(f"{', '.join(sorted({t for t, _ in unread}))} could not be read: Kafka is silent")

    def read_back(
        self, spans: dict[Part, Span], chunk: int, tell: Callable[[int], None] = lambda _: None
    ) -> Iterator[dict[Part, list[Any]]]:
        """Give the messages of spans from the newest back, a chunk of each partition at a time, newest first.

        What is taken out of `spans` between two chunks is read no further.
        """
        while spans:
            step = {part: (max(low, end - chunk), end) for part, (low, end) in spans.items() if low < end}
            for part in [part for part in spans if part not in step]:
                del spans[part]
            found: dict[Part, list[Any]] = {part: [] for part in step}
            for message in self.read(step, tell):
                found[message.topic(), message.partition()].append(message)
            for part, (begin, _) in step.items():
                found[part].reverse()
                spans[part] = (spans[part][0], begin)
            if found:
                yield found

    def follow(self, starts: dict[Part, int]) -> Iterator[Any]:
        """Give every message from these offsets on, for ever."""
        self._consumer.assign([TopicPartition(*part, offset) for part, offset in starts.items()])
        while True:
            for message in self._consumer.consume(POLL_MAX, 0.2):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() != KafkaError._PARTITION_EOF and error.fatal():
                    raise KafkaProblem(f"{message.topic()}: {error.str()}")
