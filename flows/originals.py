"""Finds the bytes of dead letters that have none: another letter of the same message has them, or the message itself.

Of an event of several lines one letter has key and value (flows/letters.py); (topic, partition, offset) says whose
letters belong together. Where that one is gone, the input topic is asked at that offset.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from flows.kafka import CONNECT_TIMEOUT_S, KafkaProblem, consumer_config
from schemas.settings import Settings

if TYPE_CHECKING:
    from flows.dead_letters import DeadLetter, Place

#: How long Kafka may take to give one message; it took no longer than 20 ms where it was there.
PATIENCE_S = 10.0


def with_bytes(settings: Settings, letters: list[DeadLetter]) -> list[DeadLetter]:
    """Give the letters, each with the key and value of its message where these are to be had, in their order.

    KafkaProblem: Kafka could not be asked. What is nowhere any more keeps its empty value.
    """
    bytes_of = {letter.origin: (letter.key, letter.value) for letter in letters if letter.value != b""}
    lost = {letter.origin for letter in letters} - bytes_of.keys()
    if lost:
        bytes_of |= _ask(settings, lost)
    return [
        msgspec.structs.replace(letter, key=bytes_of[letter.origin][0], value=bytes_of[letter.origin][1], is_light=True)
        if letter.value == b"" and letter.origin in bytes_of
        else letter
        for letter in letters
    ]


def _ask(settings: Settings, places: Iterable[Place]) -> dict[Place, tuple[bytes | None, bytes | None]]:
    """Read messages where they were read first; what is not there any more is left out."""
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
