"""`atp receive`, `atp pick-up` and `atp poll` as processes that are killed again and again, with a real Kafka."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest
from confluent_kafka.admin import AdminClient

from flows.embedded.child import HOST, free_port
from tests.running import until

#: Several starts of a process, and of Kafka, each.
pytestmark = pytest.mark.timeout(300)

SECRET = "shop-secret"
START_SECONDS_MAX = 120.0
END_SECONDS_MAX = 90.0
#: A few in each run of the tests, a hundred in the long one: minutes, and several times that on a busy machine.
LONG_SECONDS_MAX = 4 * 3600
KILLS = pytest.mark.parametrize(
    "kills", [4, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(LONG_SECONDS_MAX)])]
)


class Command:
    """One of the commands as a process."""

    count = 0

    def __init__(self, world: Any, *arguments: str, **overrides: object) -> None:
        Command.count += 1
        self.log = Path(world.folder, f"command-{Command.count}.log")
        given = {"log__format": "json", "receive__metrics_port": 0, "pick_up__metrics_port": 0, "poll__metrics_port": 0}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                world.command(*arguments),
                env={**world.env(**(given | overrides)), "SHOP_SECRET": SECRET},
                cwd=world.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
        if error is not None:
            error.add_note(f"it said:\n{self.text()[-4000:]}")

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL it."""
        self.process.kill()
        self.process.wait(END_SECONDS_MAX)

    def stop(self) -> int:
        """Ask for its end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(END_SECONDS_MAX)

    def ends(self) -> int:
        return self.process.wait(START_SECONDS_MAX)


def signed(body: bytes) -> dict[str, str]:
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).digest()
    return {"X-Shopify-Hmac-Sha256": base64.b64encode(digest).decode(), "X-Shopify-Topic": "orders/create"}


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str]]:
    """Ask once; status 0 where nobody answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): said for name, said in answer.getheaders()}
    except (OSError, http.client.HTTPException):
        return 0, {}
    finally:
        connection.close()


def send(port: int, body: bytes) -> int:
    return ask(port, "POST", "/shop", body, **signed(body))[0]


@pytest.fixture
def receiving(world: Any) -> Any:
    """A world whose shop may send."""
    world.config.write_text('[sources.shop.receive]\nsignature = "shopify"\nsecret_variables = ["SHOP_SECRET"]\n')
    world.port = free_port()
    return world


def receive(world: Any, **overrides: object) -> Command:
    command = Command(world, "receive", "--port", str(world.port), **overrides)
    try:
        until(lambda: ask(world.port, "GET", "/readyz")[0] == 200, START_SECONDS_MAX, command.text)
    except BaseException:
        command.kill()
        raise
    return command


@KILLS
def test_what_was_acknowledged_is_there_byte_for_byte_however_often_it_is_killed(receiving: Any, kills: int) -> None:
    world = receiving
    acknowledged: list[bytes] = []
    is_over = threading.Event()
    numbers = iter(range(10**9))

    def shop() -> None:
        while not is_over.is_set():
            body = b'{ "id": %d, "note": "caf\\u00e9 \\/" }\n' % next(numbers)
            if send(world.port, body) == 200:
                acknowledged.append(body)
            else:
                time.sleep(0.1)  # nobody is there: who starts needs the processor

    senders = [threading.Thread(target=shop) for _ in range(4)]
    draw = random.Random(7)
    try:
        for turn in range(kills):
            before = len(acknowledged)
            with receive(world) as command:
                if not turn:
                    for sender in senders:
                        sender.start()
                more = draw.randrange(5, 60)
                until(lambda: len(acknowledged) > before + more, START_SECONDS_MAX, command.text)  # noqa: B023
                command.kill()
    finally:
        is_over.set()
        for sender in senders:
            sender.join()
    found = Counter(record.value for record in world.read("inventory.raw.shop"))
    assert set(acknowledged) <= set(found) and len(acknowledged) > 20
    assert set(found.values()) == {1}, "nobody sent one of them twice"
    headers = world.read("inventory.raw.shop")[0].headers
    assert headers["x-shopify-topic"] == "orders/create" and headers["received_at"].endswith("Z")


def test_who_waits_is_answered_before_it_ends(receiving: Any) -> None:
    world = receiving
    answers: list[int] = []
    with receive(world) as command:
        slow = http.client.HTTPConnection(HOST, world.port, timeout=20)
        body = b'{"slow": true}'
        slow.putrequest("POST", "/shop")
        for name, said in {**signed(body), "Content-Length": str(len(body))}.items():
            slow.putheader(name, said)
        slow.endheaders(body[:5])
        until(lambda: send(world.port, b"another") == 200, 20, command.text)
        command.process.send_signal(signal.SIGTERM)
        until(lambda: ask(world.port, "GET", "/healthz")[0] == 0, 20, "it takes no more connections")
        slow.send(body[5:])
        answers.append(slow.getresponse().status)
        assert command.ends() == 0, command.text()
    assert answers == [200]
    assert {record.value for record in world.read("inventory.raw.shop")} == {b"another", body}


def test_while_kafka_is_away_senders_are_told_to_come_again_and_it_starts_without_kafka_too(receiving: Any) -> None:
    world = receiving
    with receive(world, receive__kafka_timeout="500ms") as command:
        world.servers.kill_kafka()
        status, headers = ask(world.port, "POST", "/shop", b"lost?", **signed(b"lost?"))
        assert (status, headers["retry-after"]) == (503, "5")
        until(lambda: ask(world.port, "GET", "/readyz")[0] == 503, 30, command.text)
        assert ask(world.port, "GET", "/healthz")[0] == 200
        with Command(world, "receive", "--port", str(other := free_port())) as second:
            until(lambda: ask(other, "POST", "/shop", b"x", **signed(b"x"))[0] == 503, START_SECONDS_MAX, second.text)
            world.servers.restart_kafka()
            until(lambda: send(other, b"to the second") == 200, 60, second.text)
            assert second.stop() == 0
        until(lambda: send(world.port, b"again") == 200, 60, command.text)
        assert command.stop() == 0
    assert {b"again", b"to the second"} <= {record.value for record in world.read("inventory.raw.shop")}


@KILLS
def test_files_are_all_there_however_often_it_is_killed(world: Any, kills: int) -> None:
    folder = world.folder / "in"
    folder.mkdir()
    contents = {f"order-{number}.json": b'{"order": %d}' % number for number in range(10 * kills)}
    large = b"item,quantity\n" + b"".join(b"LAMP-%d,%d\n" % (row, row) for row in range(3000))
    draw = random.Random(3)
    waiting = {**contents, "stock.csv": large}
    for name, content in waiting.items():
        (folder / f"{name}.part").write_bytes(content)
        (folder / f"{name}.part").rename(folder / name)
    arguments = ("pick-up", str(folder), "--source", "acme", "--set", "pick_up.settle=0s")
    done = folder / "done"
    for _ in range(kills):
        before = len(list(done.iterdir())) if done.exists() else 0
        with Command(world, *arguments, max_message_bytes=10_000) as command:
            most = min(before + draw.randrange(1, 6), len(waiting))
            until(lambda: done.exists() and len(list(done.iterdir())) >= most, START_SECONDS_MAX, command.text)  # noqa: B023
            command.kill()
    with Command(world, *arguments, "--once", max_message_bytes=10_000) as command:
        assert command.ends() == 0, command.text()
    assert sorted(path.name for path in done.iterdir()) == sorted(waiting)
    assert all((done / name).read_bytes() == content for name, content in waiting.items())
    records = world.read("inventory.raw.acme")
    whole = {record.value for record in records if "part" not in record.headers}
    assert whole == set(contents.values())
    parts = {int(one.headers["part"]): one for one in records if "part" in one.headers}
    assert list(sorted(parts)) == list(range(1, int(parts[1].headers["parts"]) + 1))
    assert b"".join(parts[n].value[int(parts[n].headers["heading"]) :] for n in sorted(parts)) == large


def test_files_and_pages_wait_while_kafka_is_away(world: Any) -> None:
    folder = world.folder / "in"
    folder.mkdir()
    erp = Erp(pages=1)
    world.config.write_text(f'[sources.erp.poll]\nurl = "{erp.url}"\nevery = "100ms"\n')
    arguments = ("pick-up", str(folder), "--source", "acme", "--set", "pick_up.settle=0s")
    port = free_port()
    try:
        with Command(world, *arguments, pick_up__metrics_port=port) as files, Command(world, "poll") as pages:
            (folder / "first.csv").write_bytes(b"first")
            until((folder / "done" / "first.csv").exists, START_SECONDS_MAX, files.text)
            # Asked for is not written yet: what is killed then never brings this page, for the next one differs.
            until(
                lambda: "asking erp" in pages.text() and world.read("inventory.raw.erp"), START_SECONDS_MAX, pages.text
            )
            world.servers.kill_kafka()
            until(lambda: is_up(port) == 0, 90, files.text)
            (folder / "second.csv").write_bytes(b"second")
            erp.pages = 2  # its page says something new: that there is another
            until(lambda: not (folder / "second.csv").exists(), 90, files.text)
            assert not (folder / "done" / "second.csv").exists()
            world.servers.restart_kafka()
            until((folder / "done" / "second.csv").exists, 90, files.text)
            until(lambda: is_up(port) == 1, 90, files.text)
            until(lambda: len({record.value for record in world.read("inventory.raw.erp")}) == 2, 90, pages.text)
            assert (files.stop(), pages.stop()) == (0, 0)
    finally:
        erp.close()
    assert {record.value for record in world.read("inventory.raw.acme")} == {b"first", b"second"}


def is_up(port: int) -> float:
    """Ask a process whether Kafka answers it; -1 while it does not say."""
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return -1.0
    finally:
        connection.close()
    (line,) = [line for line in text.splitlines() if line.startswith("atp_intake_kafka_up{")]
    return float(line.rpartition(" ")[2])


def test_files_of_a_source_are_read_in_the_order_in_which_they_came(world: Any) -> None:
    folder = world.folder / "in"
    folder.mkdir()
    said = [f"item,quantity\nLAMP,{number}\n".encode() for number in range(20)]
    for number, text in enumerate(said):
        (folder / f"{number:02d}.csv").write_bytes(text)
        os.utime(folder / f"{number:02d}.csv", (number, number))
    with Command(world, "pick-up", str(folder), "--source", "acme", "--once", "--set", "pick_up.settle=0") as command:
        assert command.ends() == 0, command.text()
    records = world.read("inventory.raw.acme")
    assert [record.value for record in records] == said
    assert len({record.partition for record in records}) == 1


def test_the_same_file_under_another_name_is_the_same_raw_message(world: Any) -> None:
    folder = world.folder / "in"
    folder.mkdir()
    for name in ("monday.csv", "tuesday.csv"):
        (folder / name).write_bytes(b"item,quantity\nLAMP,1\n")
        with Command(
            world, "pick-up", str(folder), "--source", "acme", "--once", "--set", "pick_up.settle=0"
        ) as command:
            assert command.ends() == 0, command.text()
    records = world.read("inventory.raw.acme")
    assert [record.value for record in records] == [b"item,quantity\nLAMP,1\n"] * 2
    assert {record.headers["name"] for record in records} == {"monday.csv", "tuesday.csv"}


class Erp:
    """A system with pages of orders by cursor, which is throttled and stumbles now and then.

    It answers no request beyond the `answers_max`-th before that is raised: who is to be killed in the midst of its
    pages must not come to their end meanwhile, however long the one who kills takes.
    """

    def __init__(self, pages: int) -> None:
        erp = self
        self.asked = 0
        self.answers_max = 10**9
        self.pages = pages
        self.lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):  # who asked was killed
                    self.answer()

            def answer(self) -> None:
                with erp.lock:
                    erp.asked += 1
                    asked = erp.asked
                while asked > erp.answers_max:
                    time.sleep(0.02)
                number = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
                if asked % 23 == 0:
                    self.send_response(503)
                    self.send_header("Retry-After", "0")
                    self.end_headers()
                    return
                body = json.dumps({"next": number + 1 if number + 1 < erp.pages else None, "page": number}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server.server_address[1]}/orders"


@KILLS
def test_pages_are_all_there_however_often_it_is_killed(world: Any, kills: int) -> None:
    erp = Erp(pages=15 * kills)
    world.config.write_text(
        f'[sources.erp.poll]\nurl = "{erp.url}"\nthrottle = 0\nevery = "1h"\n'
        'next = "next"\ncursor_parameter = "cursor"\n'
    )
    draw = random.Random(5)
    for _ in range(kills):
        before = erp.asked
        more = draw.randrange(2, 9)
        erp.answers_max = before + more + draw.randrange(5)
        with Command(world, "poll") as command:
            until(lambda: erp.asked >= before + more, START_SECONDS_MAX, command.text)  # noqa: B023
            command.kill()
    erp.answers_max = 10**9
    with Command(world, "poll", "--once") as command:
        # Each stumble costs it up to a second, as Retry-After asks.
        assert command.process.wait(START_SECONDS_MAX + erp.pages) == 0, command.text()
    records = world.read("inventory.raw.erp")
    found = Counter(json.loads(record.value or b"")["page"] for record in records)
    assert set(found) == set(range(erp.pages))
    assert sum(found.values()) <= erp.pages + kills, "a kill costs one page that goes twice, and no more"
    asked = erp.asked
    with Command(world, "poll", "--once") as command:
        assert command.process.wait(START_SECONDS_MAX + erp.pages) == 0, command.text()
    assert erp.asked > asked
    erp.close()


@pytest.mark.parametrize(
    ("arguments", "config", "told"),
    [
        (("receive",), "", "expected at least one source with [sources.<name>.receive]"),
        (
            ("receive",),
            '[sources.a.receive]\nsignature = "hmac"\nsecret_files = ["none"]',
            "expected a file that can be read",
        ),
        (("poll",), "", "expected at least one source with [sources.<name>.poll]"),
        (("poll", "--source", "er"), '[sources.erp.poll]\nurl = "http://h/"', "got er; did you mean erp?"),
        (("pick-up", ".", "--source", "a b"), "", "--source: expected a source's code"),
        (("pick-up", ".", "--source", "a/b"), "", "with whose name Kafka can call a topic"),
    ],
)
def test_what_is_wrong_with_the_command_ends_with_2(
    tmp_path: Path, world: Any, arguments: tuple[str, ...], config: str, told: str
) -> None:
    world.config.write_text(config)
    with Command(world, *arguments) as command:
        assert command.ends() == 2
        assert told in command.text()


def test_a_folder_that_is_not_there_and_a_port_that_is_taken_end_with_1(receiving: Any) -> None:
    world = receiving
    with Command(world, "pick-up", str(world.folder / "none"), "--source", "acme") as command:
        assert command.ends() == 1
        assert "expected a folder" in command.text()
    with receive(world), Command(world, "receive", "--port", str(world.port)) as second:
        assert second.ends() == 1
        assert "cannot be listened on" in second.text()


def test_topics_are_made_with_the_form_of_inputs_and_metrics_are_served(receiving: Any) -> None:
    world = receiving
    port = free_port()
    with receive(world, receive__metrics_port=port) as command:
        assert send(world.port, b"counted") == 200
        connection = http.client.HTTPConnection(HOST, port, timeout=20)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        assert 'atp_intake_messages_total{source="shop",way="receive"} 1.0' in text
        assert 'atp_intake_kafka_up{way="receive"} 1.0' in text
        assert command.stop() == 0
    admin = AdminClient({"bootstrap.servers": world.servers.bootstrap_servers, "log_level": 0})
    assert len(admin.list_topics(timeout=10).topics[world.topic("inventory.raw.shop")].partitions) == 2
