"""Reads the reference topics from beginning to end, as they are now."""

from __future__ import annotations

import time
from collections.abc import Iterator

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from flows.kafka.clients import KafkaProblem, consumer_config, partitions_of
from schemas.settings import Settings
from schemas.topics import REFERENCE

READ_MAX = 5000
SILENCE_S_MAX = 30.0

Record = tuple[bytes | None, bytes | None]


def read_reference(settings: Settings) -> Iterator[tuple[str, list[Record]]]:
    """Give (kind, records) of each topic in the order in which they name each other; KafkaProblem if it cannot."""
    partitions_of(settings, REFERENCE)
    consumer = Consumer(
        consumer_config(
            settings, **{"auto.offset.reset": "earliest", "group.id": f"{settings.kafka.group}-import", "log_level": 0}
        )
    )
    try:
        for kind in ("locations", "channels", "items", "channel_items"):
            yield kind, _read(consumer, settings.topic(f"inventory.{kind}"))
    finally:
        consumer.close()


def _read(consumer: Consumer, topic: str) -> list[Record]:
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    records: list[Record] = []
    silent_since = time.monotonic()
    while True:
        try:
            messages = consumer.consume(READ_MAX, 0.2)
        except KafkaException as problem:
            raise KafkaProblem(f"{topic} cannot be read: {problem}") from problem
        for message in messages:
            error = message.error()
            if error is None:
                records.append((message.key(), message.value()))
            elif error.code() == KafkaError._PARTITION_EOF:
                return records
            elif not error.retriable():
                raise KafkaProblem(f"{topic} cannot be read: {error.str()}")
        if messages:
            silent_since = time.monotonic()
        elif time.monotonic() - silent_since > SILENCE_S_MAX:
            raise KafkaProblem(f"{topic} could not be read to its end: Kafka is silent")
