"""The command line: what is misused ends with 2 and a sentence, what fails with 1, and help is quick."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app

ROOT = Path(__file__).resolve().parent.parent.parent
NOWHERE = "redis://127.0.0.1:9/0"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a settings file, and an environment without settings."""
    import os

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
    from flows.cli import load

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


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, flows.cli; print([n for n in ('confluent_kafka', 'bytewax', 'redis', 'pydantic')"
            " if n in sys.modules])",
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
