"""Reads what topics hold, to their ends and no longer than Kafka goes on giving; forward, or from the newest back.

For commands, and for what the engine asks once at its start. Commits nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from flows.kafka.clients import (
    CONNECT_TIMEOUT_S,
    NO_LEADER,
    NOT_KNOWN_YET,
    KafkaProblem,
    consumer_config,
    partitions_of,
    span_of,
)
from schemas.settings import Settings

#: How long Kafka may give nothing before a command stops waiting for the rest.
SILENCE_S = 20.0
POLL_MAX = 1000
#: A poll waits for as many messages as it may give: at the end of a topic, for this long.
POLL_S = 0.02
#: How long one look of whoever follows may take.
FOLLOW_S = 0.2
NAMED_MAX = 3

Place = tuple[str, int, int]
"""(full topic name, partition, offset)"""
Part = tuple[str, int]
"""(full topic name, partition)"""
Span = tuple[int, int]
"""(first offset, end)"""
WHOLE: Span = (OFFSET_BEGINNING, 2**63 - 1)
"""From the first message to wherever the end is when it is reached."""


class ReadProblem(KafkaProblem):
    """Kafka did not give all that was asked for; the text says of which partitions, and why."""

    def __init__(self, parts: Iterable[Part], why: str) -> None:
        self.parts = sorted(parts)
        named = ", ".join(f"{topic}/{partition}" for topic, partition in self.parts[:NAMED_MAX])
        more = len(self.parts) - NAMED_MAX
        super().__init__(f"{named}{f' and {more} more' if more > 0 else ''} {why}")


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
    """One consumer for one read after another.

    `group`: its name behind the engine's own; `silence_s`: how long Kafka may give nothing; `more`: of the client.
    """

    def __init__(
        self, settings: Settings, group: str = "-dead-letters", silence_s: float = SILENCE_S, **more: Any
    ) -> None:
        self._silence_s = silence_s
        own = {"group.id": f"{settings.kafka.group}{group}", "auto.offset.reset": "error", "log_level": 0}
        self._consumer = Consumer(consumer_config(settings, **own | more))

    def __enter__(self) -> TopicReader:
        """Be closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of Kafka."""
        self._consumer.close()

    def span(self, part: Part) -> Span:
        """Give a partition's first offset and its end; (0, 0) where there is no such partition."""
        try:
            return span_of(self._consumer, TopicPartition(*part), is_there=False)
        except KafkaException as error:
            if error.args[0].code() in (KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART):
                return (0, 0)
            raise KafkaProblem(f"Kafka does not tell what {part[0]}/{part[1]} holds: {error}") from error

    def since(self, parts: dict[Part, Span], moment_ms: int) -> dict[Part, Span]:
        """Begin each span no earlier than with what was logged at that moment."""
        places = [TopicPartition(*part, moment_ms) for part, (low, end) in parts.items() if low < end]
        found = self._logged_since(places) if places else []
        spans = dict(parts)
        for place in found:
            low, end = spans[place.topic, place.partition]
            spans[place.topic, place.partition] = (max(low, place.offset if place.offset >= 0 else end), end)
        return spans

    def _logged_since(self, places: list[TopicPartition]) -> list[TopicPartition]:
        """Ask Kafka, again where this client does not know the partitions yet: it has not asked for them before."""
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        while True:
            try:
                found: list[TopicPartition] = self._consumer.offsets_for_times(places, timeout=CONNECT_TIMEOUT_S)
                return found
            except KafkaException as error:
                if error.args[0].code() not in NO_LEADER | NOT_KNOWN_YET or time.monotonic() > deadline:
                    raise KafkaProblem(f"Kafka does not tell what was logged when: {error}") from error
                time.sleep(0.1)

    def read(self, spans: dict[Part, Span], tell: Callable[[int], None] = lambda _: None) -> Iterator[Any]:
        """Give the messages of spans, by partition in order of offset; ReadProblem where Kafka does not give all.

        What Kafka gives is given first: the problem is of the rest. Where the oldest messages went while it was read,
        it is raised at once.
        """
        unread = {part: end for part, (low, end) in spans.items() if low < end}
        refused: dict[Part, str] = {}
        self._consumer.assign([TopicPartition(*part, spans[part][0]) for part in unread])
        heard_at = time.monotonic()
        while unread.keys() - refused.keys():
            messages = self._poll(unread)
            for message in messages:
                part = (message.topic(), message.partition())
                end = unread.get(part)
                if end is None:
                    continue
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        del unread[part]
                    elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                        raise ReadProblem([part], "lost its oldest messages while it was read: try again")
                    elif error.code() not in NO_LEADER:  # that passes, or ends in silence
                        refused[part] = error.str()
                    continue
                if refused:
                    refused.pop(part, None)
                offset = message.offset()
                if offset < end:
                    yield message
                if offset + 1 >= end:
                    del unread[part]
            if any(message.error() is None for message in messages):
                heard_at = time.monotonic()
            tell(len(messages))
            if time.monotonic() - heard_at > self._silence_s:
                raise ReadProblem(unread, f"could not be read to the end: Kafka is silent for {self._silence_s:g} s")
        if unread:
            raise ReadProblem(unread, f"cannot be read: {', '.join(sorted({refused[part] for part in unread}))}")

    def _poll(self, unread: dict[Part, int]) -> list[Any]:
        try:
            return self._consumer.consume(POLL_MAX, POLL_S)
        except KafkaException as error:
            raise ReadProblem(unread, f"cannot be read: {error}") from error

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

    def follow(self, starts: dict[Part, int], is_over: Callable[[], bool] = lambda: False) -> Iterator[Any]:
        """Give every message from these offsets on, until `is_over`, which is asked several times a second."""
        self._consumer.assign([TopicPartition(*part, offset) for part, offset in starts.items()])
        while not is_over():
            for message in self._consumer.consume(POLL_MAX, FOLLOW_S):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() != KafkaError._PARTITION_EOF and error.fatal():
                    raise KafkaProblem(f"{message.topic()}: {error.str()}")
