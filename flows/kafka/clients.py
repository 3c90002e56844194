"""Kafka clients: their common settings, what partitions there are, and where they end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # not in its list of exports

from flows.errors import PlainError
from flows.log import Foreign
from flows.probe import speaks_tls
from flows.settings import client_options
from schemas.settings import Settings, SettingsError
from schemas.topics import ALL, INPUTS, REFERENCE

#: A broker that runs answers in milliseconds; whoever waits for the sentence waits for Python's start as well, and
#: should have it within 10 s also on a busy machine.
CONNECT_TIMEOUT_S = 5.0


#: What a partition answers while it has no leader.
NO_LEADER = frozenset(
    {KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART}
)
#: What a client says of a partition that is there, and of which it has not heard yet.
NOT_KNOWN_YET = frozenset({KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC})

_log = logging.getLogger("librdkafka")
_log.addFilter(
    Foreign(
        "kafka_client", "the client goes on trying by itself; if this stays, see whether the brokers run: atp check"
    )
)


class KafkaProblem(PlainError):
    """Kafka cannot be used as configured; the text says why and what would do."""


class Unreachable(KafkaProblem):
    """Kafka does not answer, or does not let us in."""

    def __init__(self, seen: str, remedy: str) -> None:
        super().__init__(f"{seen}: {remedy}")
        self.seen, self.remedy = seen, remedy


class Reasons:
    """Keeps what a client says of its connections: a refused password or certificate else looks like a lost network."""

    def __init__(self) -> None:
        #: kind -> librdkafka's first words of that kind
        self._said: dict[str, str] = {}

    def __call__(self, error: KafkaError) -> None:
        """Take what librdkafka calls back with, which may be anything."""
        text = error.str()
        if "PLAINTEXT broker listener" in text:
            kind = "plain"
        elif error.code() == KafkaError._AUTHENTICATION:
            kind = "authentication"
        elif error.code() == KafkaError._SSL:
            kind = "tls"
        elif error.code() == KafkaError._RESOLVE:
            kind = "name"
        elif "Connection refused" in text:
            kind = "port"
        else:
            return
        self._said.setdefault(kind, text)

    def unreachable(self, settings: Settings, client: Any, error: KafkaException) -> Unreachable:
        """Give the sentence for a Kafka that does not answer this client. May ask a broker once more what it speaks."""
        client.poll(0)  # lets librdkafka call back
        where = f"Kafka at {settings.kafka.bootstrap_servers}"
        for kind, seen, remedy in _UNREACHABLE:
            if kind in self._said:
                return Unreachable(f"{where} {seen} ({self._said[kind]})", remedy)
        if "ssl" not in client_options(settings.kafka).get("security.protocol", "").lower():
            for host, port in _places(settings.kafka.bootstrap_servers):
                if speaks_tls(host, port):
                    return Unreachable(
                        f"{where} speaks TLS, and we are not told to ({_text(error)})",
                        "set security.protocol to SSL or SASL_SSL in kafka.options, with ssl.ca.location",
                    )
        return Unreachable(f"{where} does not answer ({_text(error)})", "start it, or set kafka.bootstrap_servers")


#: What librdkafka says of a connection, as it weighs: some brokers of a cluster may be away while one refuses us.
_UNREACHABLE = (
    (
        "authentication",
        "does not let us in",
        "set sasl.mechanism and sasl.username in kafka.options, and sasl.password in kafka.option_files",
    ),
    (
        "plain",
        "answers without TLS, and we are told to use it",
        "leave SSL out of security.protocol in kafka.options, or name a port with TLS in kafka.bootstrap_servers",
    ),
    (
        "tls",
        "and we do not agree about certificates",
        "set ssl.ca.location (and ssl.certificate.location, where it wants one of ours) in kafka.options, the key in "
        "kafka.option_files",
    ),
    ("port", "does not answer: nothing listens there", "start it, or set kafka.bootstrap_servers to where it runs"),
    (
        "name",
        "has a name that cannot be resolved",
        "correct it in kafka.bootstrap_servers, or have this machine's DNS know it",
    ),
)


def _places(servers: str) -> list[tuple[str, int]]:
    """Give host and port of each server that is named; its scheme, which librdkafka allows, is left out."""
    places = []
    for server in servers.split(","):
        host, _, port = server.strip().rpartition("://")[2].rpartition(":")
        if host and port.isdigit():
            places.append((host.strip("[]"), int(port)))
    return places


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
    options = client_options(settings.kafka)
    if options:
        _try(tuple(options.items()))
    return {
        "bootstrap.servers": settings.kafka.bootstrap_servers,
        "client.id": "atp-engine",
        # Its lines are lines of our log, in our form, and not of standard error.
        "logger": _log,
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
    return Directory(settings).partitions(names)


class Directory:
    """What Kafka says of topics, asked as an administrator asks: over one connection, of all at once.

    5 ms where a new consumer's `list_topics` waits for 50 ms at least (measured with librdkafka 2.16 on loopback).
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._reasons = settings, Reasons()
        # What fails is said once, by us.
        self._client = AdminClient(client_config(settings, log_level=0, error_cb=self._reasons))

    def partitions(self, names: Iterable[str]) -> dict[str, int]:
        """Map each full topic name to its number of partitions; KafkaProblem if a topic or Kafka is missing."""
        wanted = list(dict.fromkeys(map(self._settings.topic, names)))
        if not wanted:
            return {}
        found: dict[str, int] = {}
        answers = self._client.describe_topics(TopicCollection(wanted), request_timeout=CONNECT_TIMEOUT_S)
        for name, described in answers.items():
            try:
                found[name] = len(described.result().partitions)
            except KafkaException as error:
                if error.args[0].code() in _OF_TOPIC:
                    raise KafkaProblem(f"topic {name} does not exist: run `atp topics create`") from error
                raise self._reasons.unreachable(self._settings, self._client, error) from error
        return {name: found[name] for name in wanted}

    def spans(self, parts: Iterable[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int]]:
        """Map each (full topic name, partition) to its first offset and its end; KafkaProblem where it is not told."""
        places = [TopicPartition(*part) for part in parts]
        asked = [
            self._client.list_offsets(
                dict.fromkeys(places, spec),
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=CONNECT_TIMEOUT_S,
            )
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
        ]
        try:
            lows, ends = (
                {(place.topic, place.partition): answer.result().offset for place, answer in answers.items()}
                for answers in asked
            )
            return {part: (low, ends[part]) for part, low in lows.items()}
        except KafkaException as error:
            raise KafkaProblem(f"Kafka does not tell what topics hold ({_text(error)})") from error


#: What Kafka answers of a topic that is not there, or that we may not see.
_OF_TOPIC = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
    }
)


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
                ends[f"{name}/{partition}"] = span_of(consumer, TopicPartition(name, partition))[1]
    except KafkaException as error:
        raise KafkaProblem(
            f"Kafka does not tell where {settings.topics.prefix}inventory.* end ({_text(error)})"
        ) from error
    finally:
        consumer.close()
    return dict(sorted(ends.items()))


def has_messages(settings: Settings, names: Iterable[str]) -> bool:
    """Was anything ever written to one of the topics? KafkaProblem if Kafka does not say."""
    counts = partitions_of(settings, names)
    consumer = Consumer(consumer_config(settings, log_level=0))
    try:
        return any(
            span_of(consumer, TopicPartition(name, number))[1] > 0
            for name, count in counts.items()
            for number in range(count)
        )
    except KafkaException as error:
        raise KafkaProblem(f"Kafka does not tell where {', '.join(counts)} end ({_text(error)})") from error
    finally:
        consumer.close()


def span_of(consumer: Consumer, place: TopicPartition, is_there: bool = True) -> tuple[int, int]:
    """Ask for a partition's first offset and end, again where it just has no leader: it is new, or leaders change.

    `is_there`: it is known to be: a client that never asked for it before may say for a moment that it is not.
    """
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    passing = NO_LEADER | NOT_KNOWN_YET if is_there else NO_LEADER
    while True:
        try:
            span: tuple[int, int] = consumer.get_watermark_offsets(place, timeout=CONNECT_TIMEOUT_S)
            return span
        except KafkaException as error:
            if error.args[0].code() not in passing or time.monotonic() > deadline:
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
