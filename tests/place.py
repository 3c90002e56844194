"""Gives the tests of the pages Kafka and Redis as the pages have them: without any prefix, for one engine at a time."""

from __future__ import annotations

import sys
from pathlib import Path

import redis
from confluent_kafka.admin import AdminClient

from flows.embedded import Servers
from flows.embedded.child import HOST, free_port
from tests.snippets import Reader


class Place:
    """Kafka and Redis without any prefix, as the pages use them; one engine at a time."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self.servers = servers
        self.folder = folder
        self.port = free_port()
        self.variables = {
            "ATP_KAFKA__BOOTSTRAP_SERVERS": servers.bootstrap_servers,
            "ATP_REDIS__URL": servers.redis_url,
            "ATP_METRICS__PORT": str(self.port),
            "ATP_KAFKA__PARTITIONS": "2",
            "KAFKA": servers.bootstrap_servers,
            "REDIS": servers.redis_url,
        }

    def reader(self, name: str, **replaced: str) -> Reader:
        here = {
            "localhost:9092": self.servers.bootstrap_servers,
            "localhost:9464": f"{HOST}:{self.port}",
            "make install\n": "true\n",
            ". .venv/bin/activate\n": "true\n",
            **replaced,
        }
        return Reader(self.folder / name, here, self.variables)

    # What tests.running.Engine asks of a world.
    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "flows.cli", *arguments]

    def env(self, **overrides: object) -> dict[str, str]:
        return {**self.reader("engine").env, "ATP_STATE__EPOCH_INTERVAL": "100ms"}

    def tidy(self) -> None:
        """Remove what stands without a prefix: other tests have theirs."""
        admin = AdminClient({"bootstrap.servers": self.servers.bootstrap_servers, "log_level": 0})
        there = [name for name in admin.list_topics(timeout=10).topics if name.startswith(("inventory.", "atp."))]
        if there:
            for done in admin.delete_topics(there, operation_timeout=10).values():
                done.result(15)
        with redis.Redis.from_url(self.servers.redis_url) as client:
            for pattern in ("atp:*", "position:*", "claims:*", "order:*", "engine:*"):
                for key in client.scan_iter(pattern, count=1000):
                    client.unlink(key)
