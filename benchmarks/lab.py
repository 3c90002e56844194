"""Servers, topics and settings of one measurement, and what went through the servers, read from outside.

Everything is new for each run: no run inherits another's page cache of topics, its state or its keys.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import redis
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from flows.embedded import KAFKA_ENV, REDIS_ENV, Servers
from flows.kafka import topics
from flows.processes.addresses import free_ports
from flows.settings import load_settings
from flows.traffic import sending as load
from flows.traffic.profile import Message, Profile
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, EXCEPTIONS, INPUTS, POSITIONS, UPDATES

ROOT = Path(__file__).resolve().parent.parent
TOPICS_PREFIX, REDIS_PREFIX = "bench.", "bench:"
OUTPUTS = (*UPDATES, POSITIONS, EXCEPTIONS, DEAD_LETTERS)
ANSWER_S = 20.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went out so far: messages and bytes of the output topics, bytes that Redis was sent."""

    kafka_messages: int
    kafka_bytes: int | None
    redis_bytes: int

    def since(self, before: Traffic) -> Traffic:
        """Give what came after `before`."""
        is_known = self.kafka_bytes is not None and before.kafka_bytes is not None
        return Traffic(
            self.kafka_messages - before.kafka_messages,
            self.kafka_bytes - before.kafka_bytes if is_known else None,  # type: ignore[operator]
            self.redis_bytes - before.redis_bytes,
        )


class Lab:
    """Kafka, Valkey, topics and a state folder for one run; a context manager."""

    def __init__(self, workers: int = 1, more: dict[str, object] | None = None) -> None:
        self._stack = contextlib.ExitStack()
        self._workers = workers
        self._more = more or {}

    def __enter__(self) -> Self:
        try:
            self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="atp-bench-")))
            self.servers = self._stack.enter_context(Servers(self.folder / "servers"))
            self.metrics_port = free_ports(1)[0]
            self.overrides: dict[str, object] = {
                "kafka.bootstrap_servers": self.servers.bootstrap_servers,
                "redis.url": self.servers.redis_url,
                "state.dir": str(self.folder / "state"),
                "metrics.port": self.metrics_port,
                "workers": self._workers,
                "topics.prefix": TOPICS_PREFIX,
                "redis.prefix": REDIS_PREFIX,
                **self._more,
            }
            self.settings: Settings = load_settings(None, self.overrides)
            topics.create(self.settings)
            self.redis = redis.Redis.from_url(self.servers.redis_url)
            self._stack.callback(self.redis.close)
            self._admin = AdminClient({"bootstrap.servers": self.servers.bootstrap_servers, "log_level": 0})
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def environment(self, **more: object) -> dict[str, str]:
        """Give the settings as the environment of a child process."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ATP_")}
        ours = {f"ATP_{name.replace('.', '__').upper()}": str(v) for name, v in {**self.overrides, **more}.items()}
        return {**clean, **ours, "PYTHONPATH": str(ROOT), "ATP_CONFIG": ""}

    # --- what goes in ------------------------------------------------------------------------------------------------

    def preload(self, profile: Profile, reference: bool = False) -> int:
        """Send the profile's events at once; with its reference data first, where asked for. Give their number."""
        return load.send(self.settings, profile, rate=0, with_reference=reference).events

    def send(self, messages: Iterable[Message]) -> int:
        """Send any messages at once; give their number."""
        sender = load.Sender(self.settings)
        count = 0
        for topic, key, value in messages:
            sender.send(topic, key, value)
            count += 1
            if count % 1000 == 0:
                sender.poll()
        sender.flush()
        return count

    # --- what is seen from outside -----------------------------------------------------------------------------------

    def lag(self) -> int:
        """Count what lies in the input topics beyond the offsets that the engine has committed."""
        ends = self._ends(INPUTS)
        ask = ConsumerGroupTopicPartitions(self.settings.kafka.group, [TopicPartition(*part) for part in ends])
        answers = self._admin.list_consumer_group_offsets([ask], request_timeout=ANSWER_S)
        committed = next(iter(answers.values())).result().topic_partitions
        done = sum(max(0, part.offset) for part in committed)
        return sum(ends.values()) - done

    def unpublished(self) -> int:
        """Count what lies in the input topics beyond what Redis' numbers include: a lag without the rhythm of epochs.

        Redis knows it by shard; the furthest shard tells how far a partition was read.
        """
        reached: dict[str, int] = {}
        for field, raw in self.redis.hgetall(f"{REDIS_PREFIX}engine:reached").items():
            if field.isdigit():  # a shard's; others are marks
                for part, offset in msgspec.msgpack.decode(raw)[0].items():
                    reached[part] = max(reached.get(part, -1), offset)
        ends = self._ends(INPUTS)
        return sum(max(0, end - 1 - reached.get(f"{topic}/{number}", -1)) for (topic, number), end in ends.items())

    def traffic(self) -> Traffic:
        """Read what went out so far."""
        known = self.redis.info("stats")
        return Traffic(sum(self._ends(OUTPUTS).values()), self._log_bytes(), known["total_net_input_bytes"])

    def _ends(self, names: Iterable[str]) -> dict[tuple[str, int], int]:
        wanted = {
            TopicPartition(self.settings.topic(name), number): OffsetSpec.latest()
            for name in names
            for number in range(self.settings.kafka.partitions)
        }
        answers = self._admin.list_offsets(wanted, request_timeout=ANSWER_S)
        return {(part.topic, part.partition): done.result().offset for part, done in answers.items()}

    def _log_bytes(self) -> int | None:
        """Sum the output topics' logs on disk, as compressed by the engine; unknown on a broker of somebody else's."""
        if KAFKA_ENV in os.environ:
            return None
        total = 0
        for name in OUTPUTS:
            for log in (self.folder / "servers/kafka/data").glob(f"{self.settings.topic(name)}-*/*.log"):
                with contextlib.suppress(FileNotFoundError):
                    total += log.stat().st_size
        return total


def servers_in_use() -> str:
    """Say whose servers are measured."""
    given = [name for name in (KAFKA_ENV, REDIS_ENV) if name in os.environ]
    return f"given by {' and '.join(given)}" if given else "Kafka and Valkey on this machine, sharing its cores"
