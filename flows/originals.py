"""Finds the bytes of dead letters that have none: another letter of the same message has them, or the message itself.

Of an event of several lines one letter has key and value (flows/letters.py); (topic, partition, offset) says whose
letters belong together. Where that one is gone, the input topic is asked at that offset.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from flows.kafka import CONNECT_TIMEOUT_S, KafkaProblem, consumer_config
from schemas.settings import Settings

if TYPE_CHECKING:
    from flows.topic_reader import Place

#: How long Kafka may take to give one message; it took no longer than 20 ms where it was there.
PATIENCE_S = 10.0


def ask(settings: Settings, places: Iterable[Place]) -> dict[Place, tuple[bytes | None, bytes | None]]:
    """Map places to key and value of what is there; what is not there any more is left out. KafkaProblem: no answer."""
    found: dict[Place, tuple[bytes | None, bytes | None]] = {}
    consumer = Consumer(
        consumer_config(settings, **{"group.id": f"{settings.kafka.group}-dead-letters", "auto.offset.reset": "error"})
    )
    try:
        for place in sorted(places):
            message = _message_at(consumer, place)
            if message is not None:
                found[place] = (message.key(), message.value())
    except KafkaException as error:
        raise KafkaProblem(f"Kafka does not give the messages that dead letters are of: {error}") from error
    finally:
        consumer.close()
    return found


def _message_at(consumer: Consumer, place: Place) -> Any:
    topic, partition, offset = place
    if topic not in consumer.list_topics(topic, timeout=CONNECT_TIMEOUT_S).topics:
        return None
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=CONNECT_TIMEOUT_S)
    if not low <= offset < high:
        return None
    consumer.assign([TopicPartition(topic, partition, offset)])
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None:
            return message if message.error() is None and message.offset() == offset else None
    return None
