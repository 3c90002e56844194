"""What Kafka already has of the updates sent after a crashed run's last snapshot: so that `previous` is true."""

from __future__ import annotations

import time
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, TopicPartition

from flows.kafka import CONNECT_TIMEOUT_S, consumer_config, partitions_of
from flows.log import get_log
from operators.holdback import Value
from schemas.settings import Settings
from schemas.topics import UPDATES

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
    since_ms = max(0, moment // 1000 - MARGIN_MS)
    newest: Tail = {}
    consumer = Consumer(consumer_config(settings, **{"auto.offset.reset": "earliest"}))
    try:
        starts = consumer.offsets_for_times(
            [
                TopicPartition(topic, partition, since_ms)
                for topic, count in partitions_of(settings, UPDATES).items()
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
                update = orjson.loads(message.value())
                key = (update["item"], update["channel"])
                if key not in newest or update["version"] >= newest[key][0]:
                    days = update.get("by_day")
                    value = (update["atp"], tuple(days) if days is not None else None)
                    newest[key] = (update["version"], None if update["cause"] == "unlisted" else value)
        if unread:
            log.warning(
                f"the tail of {len(unread)} update partitions could not be read; `previous` may be one number old",
                kind="tail",
                next="nothing, unless a reader depends on `previous`; see whether all brokers run",
            )
    finally:
        consumer.close()
    return newest
