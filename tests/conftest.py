"""Gives tests a real Kafka and a real Valkey, one pair a session, and each test a world of its own in them.

A world has its own prefix for topics, for Redis keys and for the consumer group, and its own state folder, so that
tests never see each other's data and need no cleaning up to be right; what they leave is removed to keep Kafka small.

The servers are always our own. Settings in the environment are forgotten here before anything reads them: whoever has
followed the front page has the address of a real Kafka there, whose topics and numbers tests would remove.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import redis as redis_client
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from flows.embedded import Servers
from flows.kafka.clients import span_of
from flows.readmodel.connecting import pool
from operators import scan

if TYPE_CHECKING:
    from schemas.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
READ_SECONDS_MAX = 30.0
#: What may stand in the environment of a test run, beyond what the project does not read.
FOR_TESTS = "ATP_TEST_"
FLUSH_SECONDS_MAX = 30.0

for _name in [name for name in os.environ if name.startswith("ATP_") and not name.startswith(FOR_TESTS)]:
    del os.environ[_name]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts what it puts into the background so, and every process below would inherit it:
    # those that tests end as Ctrl-C does would not end.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Record(NamedTuple):
    """A record as Kafka holds it; the headers as text."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, str]
    partition: int
    offset: int

    def json(self) -> Any:
        """Give the value, parsed."""
        assert self.value is not None, f"a tombstone has no JSON: {self}"
        return json.loads(self.value)


class World:
    """What one test sees of Kafka, Redis and the disk. Topic names are given without the prefix."""

    def __init__(self, servers: Servers, name: str, folder: Path) -> None:
        unique = f"{re.sub(r'[^A-Za-z0-9]+', '-', name)[:60].strip('-')}-{uuid.uuid4().hex[:8]}"
        self.servers = servers
        self.topic_prefix = f"{unique}."
        self.redis_prefix = f"{unique}:"
        self.group = unique
        self.folder = folder
        self.state_dir = folder / "state"
        self.config = folder / "atp.toml"  # empty, so that no file of the checkout has a say; a test may write it
        self.config.touch()
        self.redis = redis_client.Redis.from_pool(pool(servers.redis_url, decode_responses=True))
        self._producer: Producer | None = None
        self._undelivered: list[str] = []

    def overrides(self, **overrides: object) -> dict[str, object]:
        """Give the settings of this world by their dotted names; `kafka__partitions=2` is `kafka.partitions`."""
        given = {name.replace("__", "."): value for name, value in overrides.items()}
        return {
            "kafka.bootstrap_servers": self.servers.bootstrap_servers,
            "kafka.group": self.group,
            "kafka.partitions": 2,
            "redis.url": self.servers.redis_url,
            "redis.prefix": self.redis_prefix,
            "topics.prefix": self.topic_prefix,
            "state.dir": str(self.state_dir),
            "state.epoch_interval": "50ms",
            "metrics.port": 0,
            "translator.metrics_port": 0,
            **given,
        }

    def settings(self, **overrides: object) -> Settings:
        """Give the settings of this world, changed by `overrides`."""
        from flows.settings import load_settings

        return load_settings(self.config, self.overrides(**overrides))

    def env(self, **overrides: object) -> dict[str, str]:
        """Give the environment for a process that runs `python -m flows.cli` in this world."""
        ours = {f"ATP_{name.replace('.', '__').upper()}": str(v) for name, v in self.overrides(**overrides).items()}
        others = {name: value for name, value in os.environ.items() if not name.startswith("ATP_")}
        return {**others, **ours, "ATP_CONFIG": str(self.config), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    def command(self, *arguments: str) -> list[str]:
        """Give the command line of `atp` with this interpreter."""
        return [sys.executable, "-m", "flows.cli", *arguments]

    def concerns(self, key: bytes | str) -> bool:
        """Say whether the judge looks at what has that key: an item's code or what begins with it. Here at all."""
        return True

    def topic(self, name: str) -> str:
        """Give a topic's full name."""
        return f"{self.topic_prefix}{name}"

    def create_topics(self, **overrides: object) -> None:
        """Make all topics, as `atp topics create` does."""
        from flows.kafka import topics

        topics.create(self.settings(**overrides))

    def send(
        self,
        topic: str,
        value: Mapping[str, Any] | bytes | None,
        key: str | bytes | None = None,
        partition: int | None = None,
    ) -> None:
        """Hand a record to the producer; None is a tombstone. `flush` makes sure that Kafka has it."""
        if self._producer is None:
            self._producer = Producer(
                {
                    "bootstrap.servers": self.servers.bootstrap_servers,
                    "message.max.bytes": 4_000_000,
                    # What is sent again after a refusal must not overtake: tests count offsets.
                    "enable.idempotence": True,
                    "log_level": 0,
                }
            )
        raw = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
        place = -1 if partition is None else partition
        while True:
            try:
                self._producer.produce(self.topic(topic), raw, key, place, on_delivery=self._delivered)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._producer.poll(0)

    def flush(self, seconds: float = FLUSH_SECONDS_MAX) -> None:
        """Wait until Kafka has acknowledged all that was sent; fail the test if it did not."""
        left = self._producer.flush(seconds) if self._producer is not None else 0
        assert not left, f"{left} records not acknowledged within {seconds:g} s"
        assert not self._undelivered, f"Kafka refused {len(self._undelivered)} records: {self._undelivered[:5]}"

    def read(self, topic: str) -> list[Record]:
        """Give all that the topic holds now, by partition and offset."""
        full = self.topic(topic)
        consumer = Consumer(
            {
                "bootstrap.servers": self.servers.bootstrap_servers,
                "group.id": f"{self.group}-reader",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "log_level": 0,
            }
        )
        try:
            metadata = consumer.list_topics(full, timeout=10).topics[full]
            assert metadata.error is None, f"{full}: {metadata.error}"
            spans = {
                partition: span_of(consumer, TopicPartition(full, partition))  # just made, it may have no leader yet
                for partition in metadata.partitions
            }
            starts = [TopicPartition(full, partition, low) for partition, (low, high) in spans.items() if low < high]
            waiting = {start.partition for start in starts}
            records: list[Record] = []
            consumer.assign(starts)
            deadline = time.monotonic() + READ_SECONDS_MAX
            while waiting:
                assert time.monotonic() < deadline, f"{full} not read to its end within {READ_SECONDS_MAX:g} s"
                for message in consumer.consume(1000, timeout=0.2):
                    error = message.error()
                    if error is not None and error.code() != KafkaError._PARTITION_EOF:
                        raise AssertionError(f"{full}: {error}")
                    if error is None and self.concerns(message.key() or b""):
                        records.append(_record(message))
                # Positions, not the last message: markers of transactions and compaction leave offsets without one.
                for place in consumer.position(starts):
                    if place.offset >= spans[place.partition][1]:
                        waiting.discard(place.partition)
        finally:
            consumer.close()
        at_call = [record for record in records if record.offset < spans[record.partition][1]]
        return sorted(at_call, key=lambda record: (record.partition, record.offset))

    def close(self) -> None:
        """Remove what the test left behind."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(5)
        admin = AdminClient({"bootstrap.servers": self.servers.bootstrap_servers, "log_level": 0})
        ours = [name for name in admin.list_topics(timeout=10).topics if name.startswith(self.topic_prefix)]
        if ours:
            for done in admin.delete_topics(ours, operation_timeout=10).values():
                done.result(15)
        for key in self.redis.scan_iter(f"{self.redis_prefix}*", count=1000):
            self.redis.unlink(key)
        self.redis.close()

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._undelivered.append(f"{message.topic()}: {error}")


def _record(message: Message) -> Record:
    partition, offset = message.partition(), message.offset()
    assert partition is not None and offset is not None, "a record that was read has a place"
    headers = {str(name): _text(value) for name, value in list(message.headers() or [])}
    return Record(message.key(), message.value(), headers, partition, offset)


def _text(value: object) -> str:
    assert isinstance(value, bytes), f"a header without a value: {value!r}"
    return value.decode()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave mistakes to be planted to the run that has no compiled modules; `make test` makes both."""
    if not config.pluginmanager.has_plugin("tests.uncompiled") and scan.IS_COMPILED:
        planted = [item for item in items if item.get_closest_marker("uncompiled")]
        config.hook.pytest_deselected(items=planted)
        items[:] = [item for item in items if item not in set(planted)]


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """One Kafka and one Valkey for all tests; fetched at the first run on a machine, which takes some seconds."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(sentence: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{sentence}", flush=True)

    with Servers(tmp_path_factory.mktemp("servers"), progress=say) as both:
        yield both


def revived(servers: Any, make: Callable[[], World]) -> Iterator[World]:
    """Give a world for one test. Servers that the test ended and left so are started again after it."""
    servers.revive()
    one = make()
    yield one
    servers.revive()
    one.close()


@pytest.fixture
def world(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[World]:
    """A world of its own for one test."""
    yield from revived(servers, lambda: World(servers, request.node.name, tmp_path))
