"""Finds the bytes of dead letters that have none: another letter of the same message has them, or the message itself.

Of an event of several lines one letter has key and value (flows/publishing/letters.py). Where that one is gone, the
input topic is asked at the message's offset. A topic that was made again has other messages at its offsets: what lies
there is the one that is meant if it was logged at the same moment.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from flows.kafka.clients import CONNECT_TIMEOUT_S, KafkaProblem, consumer_config
from flows.kafka.reading import Place
from schemas.settings import Settings

Original = tuple[Place, int]
"""(place, when Kafka logged what lay there, UTC milliseconds; 0: not known)"""

#: How long Kafka may take to give one message; it took no longer than 20 ms where it was there.
PATIENCE_S = 10.0


def ask(settings: Settings, originals: Iterable[Original]) -> Iterator[tuple[Original, bytes | None, bytes | None]]:
    """Give key and value of each that is there, one at a time; not what is gone. KafkaProblem: no answer."""
    wanted: dict[Place, list[Original]] = defaultdict(list)
    for original in originals:
        wanted[original[0]].append(original)
    consumer = Consumer(
        consumer_config(settings, **{"group.id": f"{settings.kafka.group}-dead-letters", "auto.offset.reset": "error"})
    )
    try:
        for place in sorted(wanted):
            message = _message_at(consumer, place)
            for original in wanted[place] if message is not None else ():
                if original[1] in (0, message.timestamp()[1]):
                    yield original, message.key(), message.value()
    except KafkaException as error:
        raise KafkaProblem(f"Kafka does not give the messages that dead letters are of: {error}") from error
    finally:
        consumer.close()


def _message_at(consumer: Consumer, place: Place) -> Any:
    topic, partition, offset = place
    facts = consumer.list_topics(topic, timeout=CONNECT_TIMEOUT_S).topics.get(topic)
    if facts is None or partition not in facts.partitions:
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
