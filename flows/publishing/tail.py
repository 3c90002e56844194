"""What Kafka already has of the updates sent after a crashed run's last snapshot: so that `previous` is true."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, TopicPartition

from flows.kafka.clients import CONNECT_TIMEOUT_S, consumer_config, partitions_of
from flows.log import get_log
from operators.holdback import Value
from schemas.settings import Settings
from schemas.topics import POSITIONS, UPDATES

log = get_log(__name__)

#: Clocks of producer and snapshot may differ by this.
MARGIN_MS = 5_000
SILENCE_S = 10.0
#: A poll waits for as many messages as it may give: at the end of a topic, for this long.
POLL_S = 0.02


#: (item, channel) -> version and value of the newest update; None: unlisted
Tail = dict[tuple[str, str], tuple[int, Value | None]]


def updates_since(settings: Settings, moment: int) -> Tail:
    """Map (item, channel) to the newest update sent since `moment` (UTC microseconds)."""
    newest: Tail = {}

    def take(message: Any) -> None:
        update = orjson.loads(message.value())
        key = (update["item"], update["channel"])
        if key not in newest or update["version"] >= newest[key][0]:
            days = update.get("by_day")
            value = (update["atp"], tuple(days) if days is not None else None)
            newest[key] = (update["version"], None if update["cause"] == "unlisted" else value)

    _read_since(settings, UPDATES, moment, take)
    return newest


def items_with_positions(settings: Settings) -> set[str]:
    """Give the items of which the newest position in Kafka has a location."""
    newest: dict[str, tuple[int, bool]] = {}

    def take(message: Any) -> None:
        position = orjson.loads(message.value())
        item, version = position["item"], position["version"]
        if version >= newest.get(item, (0, False))[0]:
            newest[item] = (version, bool(position["locations"]))

    _read_since(settings, (POSITIONS,), 0, take)
    return {item for item, (_, has_places) in newest.items() if has_places}


def _read_since(settings: Settings, topics: Sequence[str], moment: int, take: Callable[[Any], None]) -> None:
    """Hand over every message of some topics since `moment`, in each partition's order."""
    since_ms = max(0, moment // 1000 - MARGIN_MS)
    consumer = Consumer(consumer_config(settings, **{"auto.offset.reset": "earliest"}))
    try:
        starts = consumer.offsets_for_times(
            [
                TopicPartition(topic, partition, since_ms)
                for topic, count in partitions_of(settings, topics).items()
                for partition in range(count)
            ],
            timeout=CONNECT_TIMEOUT_S,
        )
        # A negative offset: nothing was sent since.
        starts = [start for start in starts if start.offset >= 0]
        unread = {(start.topic, start.partition) for start in starts}
        consumer.assign(starts)
        deadline = time.monotonic() + SILENCE_S
        while unread and time.monotonic() < deadline:
            messages: list[Any] = consumer.consume(1000, POLL_S)
            for message in messages:
                if message.error() is not None:
                    if message.error().code() == KafkaError._PARTITION_EOF:
                        unread.discard((message.topic(), message.partition()))
                    continue
                deadline = time.monotonic() + SILENCE_S
                if message.value() is not None:
                    take(message)
        if unread:
            log.warning(
                f"the tail of {len(unread)} output partitions could not be read; `previous` may be one number old",
                kind="tail",
                next="nothing, unless a reader depends on `previous`; see whether all brokers run",
            )
    finally:
        consumer.close()
