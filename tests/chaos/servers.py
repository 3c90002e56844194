"""The real servers behind a network that can be broken, with disks that can be filled and copies to go back to."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flows.embedded.child import HOST, Progress, free_port
from flows.embedded.servers import KafkaServer, Servers, ValkeyServer
from tests.chaos.proxy import Proxy

#: A broker that was killed looks through its logs first, on a machine that others share.
START_SECONDS_MAX = 300.0


class _KafkaBehind(KafkaServer):
    """Kafka with a second listener, whose clients are sent through the proxy."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        super().__init__(folder, progress)
        self.inner, self.outer = free_port(), free_port()

    def command(self) -> list[str]:
        command = super().command()
        properties = Path(command[-1])
        text = properties.read_text()
        for name, port in (("listeners", self.inner), ("advertised.listeners", self.outer)):
            text = text.replace(f"\n{name}=", f"\n{name}=CHAOS://{HOST}:{port},", 1)
        text = text.replace("protocol.map=", "protocol.map=CHAOS:PLAINTEXT,", 1)
        properties.write_text(text)
        return command


class ChaosServers(Servers):
    """Kafka and Valkey, and the proxies through which the engine reaches them. The harness has straight ways."""

    def __init__(self, folder: Path, **more: Any) -> None:
        super().__init__(folder, **more)
        # Servers that somebody gave are not ours to break: these are always our own.
        self._given_kafka = self._given_redis = None
        self.kafka_server = self._kafka = _KafkaBehind(folder.resolve() / "kafka", self._progress)
        self.redis_server = self._redis = ValkeyServer(folder.resolve() / "valkey", self._progress)
        self.kafka_server.start_seconds_max = self.redis_server.start_seconds_max = START_SECONDS_MAX
        self._stack = contextlib.ExitStack()
        self._older = folder.resolve() / "older"

    def __enter__(self) -> Self:
        super().__enter__()
        kafka = self.kafka_server
        self.to_kafka = self._stack.enter_context(Proxy(kafka.outer, kafka.inner))
        self.to_redis = self._stack.enter_context(Proxy(free_port(), self.redis_server.port))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()
        super().__exit__(kind, error, at)

    def mend(self) -> None:
        """Start what has ended, and let the network pass everything."""
        for proxy in (self.to_kafka, self.to_redis):
            proxy.say("pass")
        self.revive()

    def keep_redis(self) -> None:
        """Take a copy of Redis' data, to go back to."""
        process = self.redis_server.process
        assert process is not None
        shutil.rmtree(self._older, ignore_errors=True)
        os.kill(process.pid, signal.SIGSTOP)
        try:
            shutil.copytree(self.redis_server.folder / "appendonlydir", self._older)
        finally:
            os.kill(process.pid, signal.SIGCONT)

    def bring_back_redis(self) -> None:
        """Start Redis with the copy in the place of its data."""
        self.kill_redis()
        self.redis_server.forget()
        shutil.copytree(self._older, self.redis_server.folder / "appendonlydir")
        self.restart_redis(empty=False)

    def fill_kafkas_disk(self) -> None:
        """Let Kafka write not one byte more to any file, as on a full disk; until it is started again."""
        process = self.kafka_server.process
        assert process is not None
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, hard))

    @contextlib.contextmanager
    def stopped(self, server: str) -> Iterator[None]:
        """Freeze a server's process."""
        process = getattr(self, f"{server}_server").process
        os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process.pid, signal.SIGCONT)
