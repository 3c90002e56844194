"""Kafka clients: their common settings, what partitions there are, and where they end."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.settings import Settings, SettingsError
from schemas.topics import ALL, INPUTS, REFERENCE

#: A broker that runs answers in milliseconds; whoever waits for the sentence waits for Python's start as well, and
#: should have it within 10 s also on a busy machine.
CONNECT_TIMEOUT_S = 5.0


#: What a partition answers while it has no leader.
NO_LEADER = frozenset(
    {KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART}
)


class KafkaProblem(RuntimeError):
    """Kafka cannot be used as configured; the text says why and what would do."""


class Reasons:
    """Keeps what a client says of its connections: a refused password or certificate else looks like a lost network."""

    def __init__(self) -> None:
        self.refused = ""

    def __call__(self, error: KafkaError) -> None:
        """Take what librdkafka calls back with, which may be anything."""
        if error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
            self.refused = error.str()

    def unreachable(self, settings: Settings, client: Any, error: KafkaException) -> KafkaProblem:
        """Give the sentence for a Kafka that does not answer this client."""
        client.poll(0)  # lets librdkafka call back
        servers = settings.kafka.bootstrap_servers
        if self.refused:
            return KafkaProblem(
                f"Kafka at {servers} does not let us in ({self.refused}): set its security in kafka.options, and what "
                "is secret in kafka.option_files"
            )
        return KafkaProblem(
            f"Kafka at {servers} does not answer ({_text(error)}): start it, or set kafka.bootstrap_servers"
        )


class Complaints:
    """What a consumer says of a place is logged once, and not at every poll, until something comes from there again."""

    def __init__(self) -> None:
        self._made: set[tuple[Any, int]] = set()

    def is_new(self, place: Any, error: KafkaError) -> bool:
        """Was that not said yet?"""
        made = (place, error.code())
        is_new = made not in self._made
        self._made.add(made)
        return is_new

    def forget(self, place: Any) -> None:
        """It can be read again."""
        if self._made:
            self._made = {made for made in self._made if made[0] != place}


def client_config(settings: Settings, **more: Any) -> dict[str, Any]:
    """Give the settings all clients share, then the user's own (security), then `more`.

    SettingsError if librdkafka cannot use the user's own.
    """
    options = settings.kafka.client_options()
    if options:
        _try(tuple(options.items()))
    return {
        "bootstrap.servers": settings.kafka.bootstrap_servers,
        "client.id": "atp-engine",
        "log.connection.close": False,
        "socket.nagle.disable": True,
        **options,
        **more,
    }


@lru_cache(maxsize=8)
def _try(options: tuple[tuple[str, str], ...]) -> None:
    """Let librdkafka judge names, values and files, which it does when a client is made."""
    try:
        Consumer({**dict(options), "group.id": "atp-engine", "log_level": 0}).close()
    except KafkaException as error:
        raise SettingsError(
            f"kafka.options: expected settings of librdkafka that fit together, got what it refuses: {_text(error)}"
        ) from None


def consumer_config(settings: Settings, **more: Any) -> dict[str, Any]:
    """Give the settings of consumers whose positions are kept by recovery and not by Kafka."""
    return client_config(
        settings,
        **{
            "group.id": settings.kafka.group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            # What librdkafka may hold in advance of us; 32 MB keep a worker busy for longer than a fetch takes.
            "queued.max.messages.kbytes": 32768,
            "fetch.wait.max.ms": 20,
            "fetch.queue.backoff.ms": 5,
            "fetch.message.max.bytes": 2_097_152,
        }
        | more,
    )


def partitions_of(settings: Settings, names: Iterable[str]) -> dict[str, int]:
    """Map each full topic name to its number of partitions; KafkaProblem if a topic or Kafka is missing."""
    reasons = Reasons()
    consumer = Consumer(consumer_config(settings, log_level=0, error_cb=reasons))  # what fails is said once, by us
    try:
        known = consumer.list_topics(timeout=CONNECT_TIMEOUT_S).topics
    except KafkaException as error:
        raise reasons.unreachable(settings, consumer, error) from error
    finally:
        consumer.close()
    found = {}
    for name in names:
        topic = known.get(settings.topic(name))
        if topic is None or topic.error is not None:
            raise KafkaProblem(f"topic {settings.topic(name)} does not exist: run `atp topics create`")
        found[settings.topic(name)] = len(topic.partitions)
    return found


def input_ends(settings: Settings) -> dict[str, int]:
    """Map every input partition "topic/partition" to its end offset now; KafkaProblem also if an output is missing."""
    counts = partitions_of(settings, ALL)
    parts = {name: counts[name] for name in map(settings.topic, INPUTS)}
    for name, count in counts.items():
        if count != 1 and name in map(settings.topic, REFERENCE):
            raise KafkaProblem(
                f"topic {name} has {count} partitions, expected 1 (reference data is ordered by offset): create it "
                "again with one"
            )
    ends = {}
    consumer = Consumer(consumer_config(settings, log_level=0))
    try:
        for name, count in parts.items():
            for partition in range(count):
                ends[f"{name}/{partition}"] = _end_of(consumer, TopicPartition(name, partition))
    except KafkaException as error:
        raise KafkaProblem(
            f"Kafka does not tell where {settings.topics.prefix}inventory.* end ({_text(error)})"
        ) from error
    finally:
        consumer.close()
    return dict(sorted(ends.items()))


def _end_of(consumer: Consumer, place: TopicPartition) -> int:
    """Ask for a partition's end, again where it just has no leader: it was made this moment, or leaders change."""
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    while True:
        try:
            end: int = consumer.get_watermark_offsets(place, timeout=CONNECT_TIMEOUT_S)[1]
            return end
        except KafkaException as error:
            if error.args[0].code() not in NO_LEADER or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def resume_points(settings: Settings) -> list[tuple[str, int, int]]:
    """Give, of each input partition with a committed position, ("topic/partition", that position, oldest offset)."""
    places = [
        TopicPartition(name, partition)
        for name, count in partitions_of(settings, INPUTS).items()
        for partition in range(count)
    ]
    consumer = Consumer(consumer_config(settings, log_level=0))
    try:
        found = []
        for place in consumer.committed(places, timeout=CONNECT_TIMEOUT_S):
            if place.offset >= 0:
                oldest, _ = consumer.get_watermark_offsets(place, timeout=CONNECT_TIMEOUT_S)
                found.append((f"{place.topic}/{place.partition}", place.offset, oldest))
        return found
    except KafkaException as error:
        raise KafkaProblem(
            f"Kafka does not tell what the group {settings.kafka.group} has read: {_text(error)}"
        ) from error
    finally:
        consumer.close()


def _text(error: KafkaException) -> str:
    inner = error.args[0] if error.args else error
    return inner.str() if isinstance(inner, KafkaError) else str(inner)
