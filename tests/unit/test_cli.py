"""The command line: what is misused ends with 2 and a sentence, what fails with 1, and help is quick."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import redis
import typer
from confluent_kafka import KafkaError, KafkaException
from rich.console import Console
from typer.testing import CliRunner

from flows.adapters.files.rows import ImportProblem
from flows.cli.app import app
from flows.cli.options import reporting
from flows.embedded.child import ServerError
from flows.errors import PlainError
from flows.inspection.check import own_words, running
from flows.inspection.finding import Finding
from flows.inspection.follow import lines_of
from flows.inspection.kafka_findings import kept, replicated
from flows.inspection.lookup import LookupProblem
from flows.kafka.clients import KafkaProblem
from flows.kafka.sending import SendError
from flows.kafka.topics import acknowledged, plan
from flows.processes.party import StartError
from flows.readmodel.port import StoreError
from flows.recovery.accepting import AcceptProblem
from flows.settings import load_settings
from flows.storage.folder import Busy
from flows.tables import table
from schemas.settings import Settings
from schemas.topics import DECISIONS, INPUTS, REFERENCE, STATEMENTS, STATUSES, VARIANCES

ROOT = Path(__file__).resolve().parent.parent.parent
NOWHERE = "redis://127.0.0.1:9/0"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a settings file, and an environment without settings."""
    for name in [name for name in os.environ if name.startswith("ATP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["run", "--no-such-flag"],
        ["run", "--workers", "many"],
        ["run", "--set", "workers"],
        ["run", "--set", "=2"],
        ["load", "--zipf", "0.5"],
        ["load", "--zipf", "1.2"],
        ["load", "--events", "0"],
        ["load", "--rate", "-1"],
        ["load", "--events", "10", "--seconds", "10"],
        ["load", "--seconds", "10", "--rate", "0"],
        ["watch", "--lane", "urgent"],
        ["get"],
        ["demo", "--seconds", "5"],
        ["topics", "destroy"],
    ],
)
def test_wrong_usage_ends_with_2(here: Path, arguments: list[str]) -> None:
    code, _, told = invoke(*arguments)
    assert code == 2
    assert told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--workers", "0"], ["workers", "0"]),
        (["run", "--set", "wrokers=2"], ["wrokers", "workers"]),
        (["run", "--set", "kafka.partitons=2"], ["kafka.partitons", "partitions"]),
        (["topics", "create", "--set", "dedup_window=yesterday"], ["dedup_window", "yesterday", "24h"]),
        (["check", "--redis", "localhost:6379"], ["redis.url", "redis://", "localhost:6379"]),
        (["get", "SKU-1", "--config", "missing.toml"], ["missing.toml"]),
        (["load", "--config", "broken.toml"], ["broken.toml", "TOML"]),
    ],
)
def test_a_wrong_setting_names_itself_and_what_would_do(here: Path, arguments: list[str], words: list[str]) -> None:
    (here / "broken.toml").write_text("kafka = [")
    code, _, told = invoke(*arguments)
    assert code == 2
    for word in words:
        assert word in told


def test_a_wrong_setting_in_the_environment_ends_with_2(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATP_SHARDS", "0")
    code, _, told = invoke("check")
    assert code == 2
    assert "shards" in told


def test_a_flag_of_its_own_wins_over_set(here: Path) -> None:
    from flows.cli.options import load

    settings = load(workers=3, settings=["workers=2", "topics.prefix=t."], kafka="one:1")
    assert (settings.workers, settings.topics.prefix, settings.kafka.bootstrap_servers) == (3, "t.", "one:1")


def test_a_redis_that_is_not_there_is_said_in_a_sentence(here: Path) -> None:
    code, _, told = invoke("get", "SKU-1", "--redis", NOWHERE)
    assert code == 1
    assert "does not answer" in told
    assert "redis.url" in told
    assert "Traceback" not in told


@pytest.mark.timeout(60)
def test_a_kafka_that_is_not_there_is_said_in_a_sentence_within_ten_seconds(here: Path) -> None:
    import time

    started = time.monotonic()
    code, _, told = invoke("topics", "create", "--kafka", "127.0.0.1:9")
    assert time.monotonic() - started < 10
    assert code == 1
    assert "127.0.0.1:9" in told
    assert "kafka.bootstrap_servers" in told


@pytest.mark.timeout(60)
def test_check_tells_each_thing_that_is_wrong(here: Path) -> None:
    code, told, _ = invoke("check", "--json", "--kafka", "127.0.0.1:9", "--redis", NOWHERE, "--state-dir", "new/state")
    assert code == 1
    answer = json.loads(told)
    assert answer["ok"] is False
    by_subject = {finding["subject"]: finding for finding in answer["findings"]}
    assert by_subject["configuration"]["ok"] and by_subject["state directory"]["ok"]
    assert not by_subject["kafka"]["ok"] and by_subject["kafka"]["remedy"]
    assert not by_subject["redis"]["ok"] and by_subject["redis"]["remedy"]
    assert not (here / "new").exists()


def test_any_error_that_is_meant_for_people_is_a_sentence_and_not_a_stack(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NewError(PlainError):
        """Of a module that the command line has never heard of."""

    def fails(*_: object) -> int:
        raise NewError("the moon is in the way: wait")

    monkeypatch.setattr("flows.inspection.lookup.show", fails)
    assert invoke("get", "SKU-1") == (1, "", "atp: the moon is in the way: wait\n")


@pytest.mark.parametrize(
    ("error", "told"),
    [(KafkaException(KafkaError(KafkaError._TIMED_OUT)), "Kafka"), (redis.exceptions.ResponseError("no"), "Redis")],
)
def test_what_a_client_raises_is_no_stack_either(
    capsys: pytest.CaptureFixture[str], error: Exception, told: str
) -> None:
    with pytest.raises(typer.Exit) as end, reporting():
        raise error
    assert end.value.exit_code == 1 and capsys.readouterr().err.startswith(f"atp: {told} cannot be used")
    with pytest.raises(ZeroDivisionError), reporting():
        raise ZeroDivisionError  # a fault of ours shows its stack


def test_the_errors_of_the_clients_are_meant_for_people() -> None:
    clients = (KafkaProblem, StoreError, SendError, ImportProblem, LookupProblem, ServerError)
    for error in (*clients, StartError, Busy, AcceptProblem):
        assert issubclass(error, PlainError), error


def test_a_topic_that_cannot_be_accepted_is_said_in_a_sentence(here: Path) -> None:
    code, shown, told = invoke("topics", "accept", "orders", "--state-dir", "state")
    assert (code, shown) == (1, "")
    assert told.startswith("atp: orders is not a topic that the engine reads: expected one of ")


@pytest.mark.parametrize(("is_view", "code"), [(True, 0), (False, 1)])
def test_a_reader_that_goes_away_has_seen_enough_of_what_is_shown_and_cuts_short_what_is_done(
    monkeypatch: pytest.MonkeyPatch, is_view: bool, code: int
) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # given back after it
    with pytest.raises(typer.Exit) as end, reporting(is_view=is_view):
        raise BrokenPipeError
    assert end.value.exit_code == code


class _Closed(io.StringIO):
    """An output whose reader has gone."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


class _Shelf:
    """A Redis with one item, or one that does not let its user look further."""

    may_look = True

    def zrangebylex(self, *_: object) -> list[str]:
        return ["HOE"]

    def hget(self, *_: object) -> str:
        if not self.may_look:
            raise redis.exceptions.NoPermissionError("no right to shop:engine:fence")
        return "whole"

    def close(self) -> None:
        pass


@pytest.fixture
def one_item(monkeypatch: pytest.MonkeyPatch) -> _Shelf:
    shelf = _Shelf()
    monkeypatch.setattr("flows.inspection.items.client", lambda *_, **__: shelf)
    return shelf


@pytest.mark.parametrize(
    "command", [["schema"], ["schema", "order_placed"], ["health"], ["check", "--kafka", "127.0.0.1:9"], ["items"]]
)
def test_a_command_that_only_shows_is_content_when_its_reader_goes_away(
    here: Path, monkeypatch: pytest.MonkeyPatch, one_item: _Shelf, command: list[str]
) -> None:
    settings = ["--set", "metrics.port=9"] if command == ["health"] else []
    monkeypatch.setattr(sys, "stdout", _Closed())
    with pytest.raises(SystemExit) as end:
        app(args=[*command, *settings], prog_name="atp")
    assert not end.value.code


def test_items_without_the_right_to_the_fence_are_listed_and_it_is_said_what_is_not_known(
    here: Path, one_item: _Shelf
) -> None:
    assert invoke("items") == (0, "HOE\n", "")
    one_item.may_look = False
    code, shown, told = invoke("items")
    assert (code, shown) == (0, "HOE\n")
    assert told.startswith("atp: it is not known whether the set of all items is complete")


def test_it_says_its_version(here: Path) -> None:
    from importlib.metadata import version

    assert invoke("--version") == (0, f"atp-engine {version('atp-engine')}\n", "")


@pytest.mark.parametrize(
    "command", [[], ["run"], ["topics"], ["topics", "create"], ["import"], ["dead-letters", "list"]]
)
def test_h_is_help_everywhere(here: Path, command: list[str]) -> None:
    code, short, _ = invoke(*command, "-h")
    assert (code, short) == (0, invoke(*command, "--help")[1])
    assert "Usage" in short


def test_a_shell_is_told_what_there_is() -> None:
    asked = {"_ATP_COMPLETE": "complete_bash", "COMP_WORDS": "atp to", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli"],
        cwd=ROOT,
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["topics"]
    assert "--install-completion" in invoke("--help")[1] and "--show-completion" in invoke("--help")[1]


PROMISES = {"web": "9", "web:by_day": "[9, 12, 12]", "shop": "7", "_version": "3", "_as_of": "0", "_day0": "2026-03-01"}
POSITION = {
    "EAST:on_hand": "1200",
    "EAST:soft_allocated": "0",
    "EAST:hard_reserved": "30",
    "EAST:available": "1170",
    "A-LOCATION-WITH-A-LONG-NAME:on_hand": "5",
    "_version": "3",
}
ITEMS = {"HOE": (PROMISES, POSITION), "AXE": ({"web": "1"}, {}), "web": ({"shop": "2"}, {})}


@pytest.fixture
def shelf(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis holds a few items."""
    monkeypatch.setattr(
        "flows.inspection.lookup.read", lambda _, items: {item: ITEMS.get(item, ({}, {})) for item in items}
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["HOE", "web"], 0, ["9"]),
        (["HOE", "--channel", "web"], 0, ["9"]),
        (["HOE", "AXE", "--channel", "web"], 0, ["HOE 9", "AXE 1"]),
        (["HOE", "AXE", "web", "--channel", "shop"], 1, ["HOE 7", "web 2"]),
        (["HOE", "nowhere"], 1, []),
        (["NOTHING", "nowhere"], 1, []),
    ],
)
def test_get_reads_one_number_or_a_channels_numbers_of_several_items(
    shelf: None, arguments: list[str], code: int, said: list[str]
) -> None:
    found, told, _ = invoke("get", *arguments)
    assert (found, told.splitlines()) == (code, said)


def test_get_reads_several_items(shelf: None) -> None:
    code, told, _ = invoke("get", "HOE", "AXE")
    assert code == 0 and "HOE" in told and "AXE" in told and "1200" in told
    code, told, error = invoke("get", "HOE", "AXE", "SPADE", "--json")
    assert code == 1 and "SPADE" in error
    answers = [json.loads(line) for line in told.splitlines()]
    assert [answer["item"] for answer in answers] == ["HOE", "AXE"]
    assert answers[0]["atp"]["web:by_day"] == [9, 12, 12]


@pytest.mark.parametrize("width", [20, 120])
def test_nothing_in_a_table_is_obeyed_by_a_terminal(width: int) -> None:
    console = Console(width=width, highlight=False, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(table(console, ("item", "reason"), [("HOE", "\x1b[31m[red]\r\x07gone")], "a title"))
    told = captured.get()
    assert "\x1b[31m" not in told and "\r" not in told and "\x07" not in told
    assert "\\x1b[31m[red]\\r\\x07gone" in "".join(re.split(r"[\s│]+", told))


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_table_fits_the_terminal_without_a_cut_head_and_leaves_out_what_is_all_0(
    shelf: None, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    code, told, _ = invoke("get", "HOE")
    assert code == 0
    assert max(map(len, told.splitlines())) <= width, told
    assert "…" not in told and "..." not in told
    words = set(re.findall(r"[\w-]+", told))
    assert {"location", "hand", "reserved", "available", "A-LOCATION-WITH-A-LONG-NAME", "1170"} - words <= (
        {"location"} if width == 40 else set()
    ), told
    for absent in ("quarantined", "transit", "expected", "allocated", "withheld"):
        assert absent not in words


UPDATE = {
    "processed_at": "2026-03-01T06:00:00.123456Z",
    "lane": "critical",
    "item": "RETRO-CLOCK-1234",
    "channel": "marketplace",
    "previous": None,
    "atp": 1234,
    "cause": "order_placed",
}


@pytest.mark.parametrize(("width", "lines"), [(40, 2), (80, 1), (120, 1)])
def test_what_is_watched_fits_the_terminal(width: int, lines: int) -> None:
    shown = [line.plain for line in lines_of(UPDATE, width)]
    assert len(shown) == lines
    for word in ("critical", "RETRO-CLOCK-1234", "marketplace", "new -> 1234", "order_placed"):
        assert word in " ".join(shown)
    if width > 40:
        assert max(map(len, shown)) <= width


def configs(**changed: str) -> dict[str, dict[str, str]]:
    plain = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    return {name: {**plain, **changed} for name in INPUTS}


def test_check_warns_where_kafka_deletes_events_or_holds_one_copy_of_them() -> None:
    (well,) = kept(Settings(), configs())
    assert well.is_ok and not well.is_warning
    (week,) = kept(Settings(), configs(**{"retention.ms": "604800000"}))
    assert week.is_ok and week.is_warning and "7d" in week.seen and "retention.ms=-1" in week.remedy
    (full,) = kept(Settings(), configs(**{"retention.bytes": "1000000"}))
    assert full.is_warning and "1,000,000 bytes" in full.seen
    (wrong,) = kept(Settings(), configs(**{"cleanup.policy": "compact,delete"}))
    assert not wrong.is_ok


def test_check_warns_of_topics_that_the_loss_of_one_broker_would_harm() -> None:
    def told(copies: dict[str, int], brokers: int, **changed: str) -> Finding:
        safe = {"min.insync.replicas": "2", "unclean.leader.election.enable": "false"}
        named = {name.replace("_", "."): value for name, value in changed.items()}
        (finding,) = replicated(copies, brokers, {"a": safe | named, "b": safe})
        assert finding.is_ok
        return finding

    alone = told({"a": 1, "b": 3}, 3)
    assert alone.is_warning and ": a." in alone.seen
    assert not told({"a": 1, "b": 1}, 1).is_warning
    assert not told({"a": 3, "b": 3}, 3).is_warning
    hasty = told({"a": 3, "b": 3}, 3, min_insync_replicas="1")
    assert hasty.is_warning and ": a." in hasty.seen and "min.insync.replicas=2" in hasty.remedy
    assert not told({"a": 2, "b": 3}, 3, min_insync_replicas="1").is_warning, "two of two would stand still without one"
    unclean = told({"a": 3, "b": 3}, 3, unclean_leader_election_enable="true")
    assert unclean.is_warning and ": a." in unclean.seen and "unclean.leader.election" in unclean.remedy


def test_topics_of_three_copies_and_more_are_made_so_that_most_of_them_acknowledge() -> None:
    assert [acknowledged(copies).get("min.insync.replicas") for copies in (1, 2, 3, 4, 5)] == [
        None,
        None,
        "2",
        "3",
        "3",
    ]


def test_topics_that_are_made_keep_their_events_for_ever() -> None:
    made = plan(Settings())
    for name in (*INPUTS, STATEMENTS, DECISIONS):
        assert {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}.items() <= made[name][
            1
        ].items()
    assert made[STATEMENTS][1]["message.timestamp.type"] == made[DECISIONS][1]["message.timestamp.type"]
    assert made[STATEMENTS][1]["message.timestamp.type"] == "LogAppendTime"
    for name in (*REFERENCE, VARIANCES, STATUSES):
        assert made[name][1]["cleanup.policy"] == "compact"


def test_check_says_whether_an_engine_runs_here_and_leaves_the_folder_as_it_was(here: Path) -> None:
    settings = load_settings(None, {"state.dir": str(here / "state"), "redis.url": NOWHERE})
    assert running(settings).seen == f"none runs on {here / 'state'}"
    assert not (here / "state").exists()
    (here / "state").mkdir()
    with (here / "state" / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert running(settings).seen == f"one runs on {here / 'state'}"
        with pytest.MonkeyPatch.context() as patch:
            said = {"at": "1", "behind_ms": "1500", "ready": "1", "version": "0.2.0", "run": "7"}
            patch.setattr("flows.inspection.check.read_alive", lambda _: (said, ""))
            assert running(settings).seen == f"one 0.2.0 runs on {here / 'state'}: ready, 1.5 s behind"
    assert running(settings).seen.startswith("none runs")


def test_check_warns_where_the_engine_would_refuse_what_it_writes_because_of_statements(here: Path) -> None:
    def told(text: str, **overrides: str) -> list[tuple[str, str]]:
        Path("atp.toml").write_text(text)
        found = list(own_words(load_settings(Path("atp.toml"), overrides)))
        assert all(finding.is_ok and finding.is_warning for finding in found)
        return [(finding.seen, finding.remedy) for finding in found]

    assert told('[sources.wms]\nmay_send = ["stock_received"]\nlocations = ["DC1"]') == []
    assert told('[sources.reconciliation]\nmay_send = ["stock_withheld", "stock_counted"]') == []
    [(seen, remedy)] = told('[sources.reconciliation]\nmay_send = ["stock_withheld"]')
    assert "leaves out stock_counted: the engine would refuse its own holds and corrections as not_allowed" in seen
    assert remedy == "take may_send out of [sources.reconciliation], or add stock_counted to it"
    [(seen, remedy)] = told('[sources.reconciliation]\nlocations = ["DC2", "DC1"]')
    assert "locations names DC1, DC2: elsewhere" in seen and "take locations out of" in remedy
    assert told("[reconciliation]\nenabled = false\n[sources.reconciliation]\nlocations = []") == []


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, flows.cli.app; print([n for n in ('confluent_kafka', 'bytewax', 'redis', 'pydantic',"
            " 'flows.demo', 'flows.traffic', 'flows.embedded', 'flows.audit') if n in sys.modules])",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert told.stdout.strip() == "[]"


def test_runs_as_a_module() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "flows.cli", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    for command in ("run", "topics", "check", "schema", "load", "get", "watch", "demo"):
        assert command in told.stdout


@pytest.mark.parametrize("command", [["run"], ["check"], ["topics", "create"]])
def test_options_that_librdkafka_refuses_are_a_wrong_setting(here: Path, command: list[str]) -> None:
    for option, told in (
        ("security.protocl=SSL", "security.protocl"),
        ("ssl.ca.location=/nowhere.pem", "ssl.ca.location"),
    ):
        given = [f"--set=kafka.options.{option}", "--set=kafka.options.security.protocol=SSL"]
        code, _, said = invoke(*command, *given)
        assert code == 2, said
        assert "kafka.options: expected settings of librdkafka" in said and told in said, said


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["get", "SPADE", "--redis", "redis://:hidden@127.0.0.1:9/0"], "redis.url"),
        (["get", "SPADE", "--redis", "redis://atp:hidden@127.0.0.1:9/0"], "redis.url"),
        (["get", "SPADE", "--set", "redis.url=redis://127.0.0.1:9/0?password=hidden"], "redis.url"),
        (["get", "SPADE", "--redis", NOWHERE, "--set", "redis.password=hidden"], "redis.password"),
        (["topics", "create", "--set", "kafka.options.sasl.password=hidden"], "kafka.options.sasl.password"),
        (["get", "SPADE", "--redis", NOWHERE], ""),
        (["get", "SPADE", "--redis", "redis://atp@127.0.0.1:9/0", "--set", "redis.password_file=nowhere"], ""),
    ],
)
def test_a_password_on_the_command_line_is_warned_of(here: Path, arguments: list[str], named: str) -> None:
    _, _, told = invoke(*arguments)
    assert "hidden" not in told
    if named:
        assert told.startswith(f"atp: {named} was given with a password on the command line"), told
        assert "redis.password_file" in told
    else:
        assert "on the command line" not in told
