"""What the pages say of topics, log lines, exit codes and commands is what code, unit and compose file say."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.catalog import SCENARIOS
from flows.cli import metrics_page
from flows.kafka import topics
from flows.monitoring import health
from flows.settings import load_settings
from schemas.settings import Settings
from schemas.topics import REFERENCE
from tests.conftest import ROOT
from tests.prometheus import RULES

PAGES = {path.name: path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
FLOWS = {
    path.relative_to(ROOT / "flows").as_posix(): path.read_text("utf-8")
    for path in sorted((ROOT / "flows").rglob("*.py"))
}
#: Bytewax's own runner starts from here; `atp run`, of which the pages speak, never comes by.
NOT_OF_RUN = "availability.py"


def flat(text: str) -> str:
    """Give a page as one line, wherever its lines end."""
    return " ".join(text.split())


@pytest.fixture
def defaults(tmp_path: Path) -> Settings:
    """The settings of somebody who set none; an atp.toml that lies in the checkout has no say."""
    (tmp_path / "atp.toml").touch()
    return load_settings(tmp_path / "atp.toml")


def test_no_setting_of_whoever_starts_the_tests_reaches_them() -> None:
    given = {"ATP_KAFKA__BOOTSTRAP_SERVERS": "kafka.example:9092", "ATP_REDIS__URL": "redis://redis.example:6379/0"}
    program = "import os, tests.conftest; print(*sorted(name for name in os.environ if name.startswith('ATP_')))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **given, "ATP_TEST_SEED": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ATP_TEST_SEED" in done.stdout.split()
    assert not set(done.stdout.split()) & set(given)


@pytest.mark.parametrize("page", ["operations.md", "runbook.md"])
def test_a_log_line_of_a_kind_that_a_page_names_is_one_that_a_run_writes(page: str) -> None:
    written = {kind for name, text in FLOWS.items() if name != NOT_OF_RUN for kind in re.findall(r'kind="(\w+)"', text)}
    named = re.findall(r"\bkinds? (?:is )?\(?((?:`\w+`(?:,| and )? ?)+)", flat(PAGES[page]))
    kinds = {kind for group in named for kind in re.findall(r"`(\w+)`", group)}
    assert kinds >= {"starting"}
    for kind in kinds:
        assert (
            kind in written
            or any(one.startswith(kind) for one in written)
            or f'kind=f"{kind}.' in FLOWS["processes/worker_output.py"]
        ), f"{page}: nothing in a run writes a line of kind {kind}"


def test_every_topic_stands_where_operators_look_for_it(defaults: Settings) -> None:
    retention = PAGES["operations.md"].partition("## Retention")[2].partition("\n## ")[0]
    where = PAGES["operations.md"].partition("## What is where")[2].partition("\n## ")[0]
    for name in topics.plan(defaults):
        for section in (where, retention):
            family = name.rpartition(".")[0]
            short = f"`.{name.rpartition('.')[2]}`"
            is_there = f"`{name}`" in section or f"`{family}.*`" in section or short in section
            is_reference = section is retention and name in REFERENCE and "| reference |" in section
            assert is_there or is_reference, f"{name} is missing in:\n{section}"


def test_how_marks_of_what_was_sent_again_are_kept_is_what_the_page_says(defaults: Settings) -> None:
    partitions, config = topics.plan_of_replays(defaults)["inventory.replays"]
    (row,) = re.findall(r"^\| `inventory\.replays` \|.*$", PAGES["operations.md"], re.M)
    days = int(config["retention.ms"]) // 86_400_000
    assert partitions == 1 and "one partition" in row
    assert f"{days} days" in row and f"`{config['cleanup.policy']}`" in row


def test_what_starts_again_after_a_stop_for_memory_is_not_said_to_stay_down() -> None:
    unit = (ROOT / "packaging" / "atp-engine.service").read_text("utf-8")
    compose = (ROOT / "docker" / "compose.yaml").read_text("utf-8")
    assert "\nRestart=on-failure\n" in unit and "restart: on-failure" in compose
    for text in (*PAGES.values(), RULES.read_text("utf-8")):
        assert not re.search(r"does not (start again|restart) by itself", flat(text))
    assert "after 2 as well" in PAGES["docker.md"] and "\nRestartPreventExitStatus=2\n" in unit


def test_a_limit_that_the_unit_leaves_out_is_not_said_to_be_in_force() -> None:
    assert "\n#MemoryMax=" in (ROOT / "packaging" / "atp-engine.service").read_text("utf-8")
    assert "`MemoryMax` in the unit is commented out" in PAGES["operations.md"]


def test_a_reference_topic_made_again_is_said_to_lose_nothing_by_itself() -> None:
    made_again = flat(PAGES["operations.md"].partition("## A topic that was made again")[2].partition("\n## ")[0])
    assert "stays as it was until a tombstone deletes it" in made_again
    assert "stays as it was until a tombstone deletes it" in flat(PAGES["runbook.md"])


def test_no_page_puts_a_password_on_a_command_line() -> None:
    for name, text in PAGES.items():
        assert not re.search(r"-u <redis\.url>|redis-cli (-a|--pass|-u)\b", text), name


def test_every_module_and_scenario_that_a_page_runs_is_there() -> None:
    for name, text in PAGES.items():
        for module, word in re.findall(r"python -m (benchmarks[.\w]*|tests[.\w]*|flows[.\w]*) ?([\w-]*)", flat(text)):
            assert importlib.util.find_spec(module.rstrip(".")) is not None, f"{name}: {module}"
            if module == "benchmarks" and re.match(r"[a-z]", word):
                assert word in SCENARIOS, f"{name}: python -m benchmarks {word}"


def test_every_file_of_ours_in_the_table_of_guarantees_is_there() -> None:
    table = PAGES["guarantees.md"].partition("## The protocol")[0]
    for name in re.findall(r"`((?:flows|operators)/[\w/]+\.\w+)`", table):
        assert (ROOT / name).is_file(), name
    (row,) = re.findall(r"^\| G5 .*$", table, re.M)
    assert "`flows/publishing/letters.py`" in row, "it decides what of a message is kept"


def test_the_changelog_says_once_which_functions_are_loaded_in_redis() -> None:
    library = (ROOT / "flows" / "readmodel" / "library.lua").read_text("utf-8")
    (version,) = re.findall(r"^local VERSION = '(\d+)'", library, re.M)
    unreleased = flat((ROOT / "CHANGELOG.md").read_text("utf-8").partition("## Unreleased")[2].partition("\n## ")[0])
    assert re.findall(r"functions in Redis are version (\d+)", unreleased) == [version]


def test_every_check_of_readiness_is_named_where_metrics_and_alerts_are_explained() -> None:
    checks = [check.name for check in health.ready(health.Facts(phase="starting"))]
    page = flat(metrics_page.page())
    assert f"`/readyz` ({', '.join(checks).replace('_', ' ')})" in page
    section = PAGES["runbook.md"].partition("## AtpNotReady")[2].partition("\n## ")[0]
    assert set(checks) <= set(re.findall(r"`(\w+)`", section))
    assert "`atp_epoch_ending_seconds`" in section
