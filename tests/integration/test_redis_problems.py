"""What keeps the engine out of Redis is told apart, with a remedy of its own, in the same words by every command."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.embedded.child import HOST, free_port
from flows.embedded.servers import ValkeyServer
from flows.inspection.check import examine
from flows.kafka.clients import KafkaProblem, partitions_of
from flows.processes import supervisor
from flows.readmodel.port import Outage
from flows.readmodel.store import Store
from schemas.settings import Settings
from schemas.topics import INPUTS
from tests.guarded import Papers, _TlsFront

pytestmark = pytest.mark.timeout(120)

CAUSES = ("password", "no password", "database", "no TLS here", "no TLS there", "certificate", "name", "port")


class _Locked(ValkeyServer):
    """A Valkey that asks for a password."""

    def command(self) -> list[str]:
        return [*super().command(), "--requirepass", "right"]

    def answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), 1):
                return True
        except OSError:
            return False


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """By what is wrong: a URL that has just that fault."""
    folder = tmp_path_factory.mktemp("locked")
    papers = Papers(folder / "papers")
    (folder / "valkey").mkdir()
    server = _Locked(folder / "valkey", lambda _: None)
    server.start_first()
    front = _TlsFront(papers, server.port)
    try:
        yield {
            "password": f"redis://:wrong-secret@{HOST}:{server.port}/0",
            "no password": f"redis://{HOST}:{server.port}/0",
            "database": f"redis://:right@{HOST}:{server.port}/99",
            "no TLS here": f"redis://:right@{HOST}:{front.port}/0",
            "no TLS there": f"rediss://:right@{HOST}:{server.port}/0",
            "certificate": f"rediss://:right@{HOST}:{front.port}/0",
            "name": "redis://:right@no-such-host.invalid:6379/0",
            "port": f"redis://:right@{HOST}:{free_port()}/0",
        }
    finally:
        front.close()
        server.stop()


def test_check_get_and_the_start_say_the_same_and_each_cause_has_words_of_its_own(
    world: Any, urls: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    world.create_topics()
    told: dict[str, tuple[str, str]] = {}
    for cause in CAUSES:
        settings = world.settings(redis__url=urls[cause], log__format="text")
        found = {finding.subject: finding for finding in examine(settings)}["redis"]
        assert not found.is_ok and found.remedy, cause
        told[cause] = (found.seen, found.remedy)
        said = []
        for command in (["get", "SPADE"], ["items"], ["republish", "--all"], ["status", "--json"]):
            done = CliRunner().invoke(app, command, env=world.env(redis__url=urls[cause]))
            assert done.exit_code == 1, (cause, command, done.output)
            said.append(done.output)
        capfd.readouterr()
        assert supervisor.run(settings, worker=("sleep", "60")) == 1
        said.append(capfd.readouterr().err)
        for output in said:
            assert f"{found.seen}: {found.remedy}" in output.replace("\n", " "), (cause, output)
            assert "wrong-secret" not in output and "Traceback" not in output
    remedies = {remedy for _, remedy in told.values()}
    assert len(remedies) == len(CAUSES), told
    for cause, word in {
        "password": "password_file",
        "database": "/0 is always there",
        "no TLS here": "rediss://",
        "no TLS there": "redis://",
        "certificate": "redis.tls_ca_file",
        "name": "DNS",
        "port": "start Redis",
    }.items():
        assert word in told[cause][1], told[cause]


def test_a_socket_of_the_file_system_works_too(world: Any, tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    server = ValkeyServer(tmp_path, lambda _: None)
    plain = server.command
    server.command = lambda: [*plain(), "--unixsocket", str(path)]  # type: ignore[method-assign]
    server.start_first()
    try:
        store = Store(f"unix://{path}", "x:")
        assert store.claim(0) == 1
        store.close()
    finally:
        server.stop()
    with pytest.raises(Outage):
        Store(f"unix://{path}", "x:").claim(0)


def test_what_keeps_it_out_of_kafka_is_told_apart_as_well(world: Any, tmp_path: Path) -> None:
    broker = world.servers.bootstrap_servers
    front = _TlsFront(Papers(tmp_path / "papers"), int(broker.rpartition(":")[2]))
    tls = '[kafka.options]\n"security.protocol" = "SSL"\n'
    sasl = '[kafka.options]\n"security.protocol" = "SASL_PLAINTEXT"\n"sasl.mechanism" = "PLAIN"\n'
    cases = {
        "port": (f"{HOST}:{free_port()}", "", "nothing listens there"),
        "name": ("no-such-host.invalid:9092", "", "DNS"),
        "no TLS here": (f"{HOST}:{front.port}", "", "set security.protocol to SSL"),
        "no TLS there": (broker, tls, "leave SSL out of security.protocol"),
        "certificate": (f"{HOST}:{front.port}", tls, "ssl.ca.location"),
        "password": (broker, f'{sasl}"sasl.username" = "a"\n"sasl.password" = "wrong-secret"\n', "sasl.password"),
    }
    settings = []
    for servers, options, _ in cases.values():
        world.config.write_text(options)
        settings.append(world.settings(kafka__bootstrap_servers=servers))

    def sentence(one: Settings) -> str:
        with pytest.raises(KafkaProblem) as caught:
            partitions_of(one, INPUTS)
        return str(caught.value)

    try:
        with ThreadPoolExecutor() as pool:  # each waits for its timeout
            sentences = list(pool.map(sentence, settings))
    finally:
        front.close()
    for (cause, (_, _, told)), said in zip(cases.items(), sentences, strict=True):
        assert told in said and "wrong-secret" not in said, (cause, said)
    assert len({said.rpartition("): ")[2] for said in sentences}) == len(cases)
