"""A Kafka of three real brokers that are controllers too, each of which can be killed and started again."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its list of exports
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from flows.embedded.child import HOST, Progress, ServerError
from flows.embedded.servers import KafkaServer, Servers
from tests.conftest import World
from tests.running import until

BROKERS = 3
#: Three Java runtimes start at once, and share two processors with whatever else is tested.
START_SECONDS_MAX = 180.0

# Half of the memory of the one that tests share: these hold the few messages of a test. How soon a broker that is gone
# is found out, and what it leads goes to another, is Kafka's own default.
_MEMORY = "-Xmx256m"
_OF_A_CLUSTER = """\
node.id={node}
controller.quorum.voters={voters}
offsets.topic.replication.factor={brokers}
transaction.state.log.replication.factor={brokers}
share.coordinator.state.topic.replication.factor={brokers}
default.replication.factor={brokers}
broker.session.timeout.ms=9000
broker.heartbeat.interval.ms=2000
"""


class Broker(KafkaServer):
    """One of them."""

    start_seconds_max = START_SECONDS_MAX

    def __init__(self, folder: Path, progress: Progress, node: int) -> None:
        super().__init__(folder / f"kafka-{node}", progress)
        self.name = f"Kafka {node}"
        self.node = node
        self.voters = ""

    @property
    def voter(self) -> str:
        """Say where it votes."""
        return f"{self.node}@{HOST}:{self._controller_port}"

    def begin(self) -> None:
        """Start it; the others need not be there yet, and without them it does not answer."""
        self.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.launch(self.command())

    def command(self) -> list[str]:
        command = super().command()
        self._join(self.folder / "server.properties")
        return [_MEMORY if word.startswith("-Xmx") else word for word in command]

    def _format(self, properties: Path) -> None:
        self._join(properties)
        super()._format(properties)

    def _join(self, properties: Path) -> None:
        ours = _OF_A_CLUSTER.format(node=self.node, voters=self.voters, brokers=BROKERS)
        named = {line.partition("=")[0] for line in ours.splitlines()}
        kept = [line for line in properties.read_text().splitlines() if line.partition("=")[0] not in named]
        properties.write_text("\n".join(kept) + "\n" + ours)


class Brokers(Servers):
    """Three brokers, and the Valkey that every test has. All are our own."""

    def __init__(self, folder: Path, progress: Progress = lambda _: None) -> None:
        super().__init__(folder, kafka=False, progress=progress)
        self._given_redis = None
        self._admin: AdminClient | None = None
        self.brokers = [Broker(self._folder, progress, node + 1) for node in range(BROKERS)]

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"{HOST}:{broker.port}" for broker in self.brokers)

    def start(self) -> Self:
        super().start()
        try:
            for broker in self.brokers:
                broker.prepare()
                broker.choose_ports()
                broker.cluster = self.brokers[0].cluster
            for broker in self.brokers:
                broker.voters = ",".join(one.voter for one in self.brokers)
                broker.begin()
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        for broker in self.brokers:
            broker.kill()
        super().stop()

    def revive(self) -> None:
        super().revive()
        for broker in self.brokers:
            if not broker.runs():
                broker.begin()
        self._wait()

    def kill(self, *numbers: int) -> None:
        """SIGKILL brokers, by their place."""
        for number in numbers:
            process = self.brokers[number].process
            assert process is not None
            process.kill()
        for number in numbers:
            self.brokers[number].kill()

    def bring_back(self, *numbers: int) -> None:
        """Start brokers with what they have on disk, and wait until every copy of every partition is in sync."""
        for number in numbers:
            self.brokers[number].begin()
        self._wait()

    @property
    def admin(self) -> AdminClient:
        """Give a client that knows all three."""
        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        return self._admin

    def topics(self, prefix: str = "") -> dict[str, Any]:
        """Give the topics that begin so, as Kafka describes them."""
        found = self.admin.list_topics(timeout=5).topics
        return {name: topic for name, topic in found.items() if name.startswith(prefix)}

    def fewest_in_sync(self) -> int:
        """Give how many copies the partition has that has the fewest in sync; 0: one has no leader, or nobody says."""
        with contextlib.suppress(KafkaException):
            parts = [part for topic in self.topics().values() for part in topic.partitions.values()]
            return min((0 if part.error or part.leader < 0 else len(part.isrs) for part in parts), default=BROKERS)
        return 0

    def want_in_sync(self, topics: list[str], count: int) -> None:
        """Have Kafka acknowledge what so many copies have, and refuse what fewer could have."""
        entry = ConfigEntry("min.insync.replicas", str(count), incremental_operation=AlterConfigOpType.SET)
        wanted = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry]) for name in topics]
        for done in self.admin.incremental_alter_configs(wanted).values():
            done.result(30)

    def _wait(self) -> None:
        def are_there() -> bool:
            for broker in self.brokers:
                if not broker.runs():
                    raise ServerError(f"{broker.name} ended.{broker.log_tail()}")
            # Each is asked by itself: one that was left alone tells of the others as they were.
            if not all(broker.answers() for broker in self.brokers):
                return False
            with contextlib.suppress(KafkaException):
                return len(self.admin.list_topics(timeout=5).brokers) == self.fewest_in_sync() == BROKERS
            return False

        until(are_there, START_SECONDS_MAX, lambda: f"all copies in sync; the fewest: {self.fewest_in_sync()}")


class ReplicatedWorld(World):
    """A world whose topics have three copies, of which two have to be in sync."""

    def overrides(self, **overrides: object) -> dict[str, object]:
        return super().overrides(**{"kafka__replication_factor": BROKERS, **overrides})
