"""`atp items` and `atp status` beside a real engine, and beside none."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.embedded.child import free_port
from flows.readmodel.store import Store
from flows.settings import redis_address
from flows.storage.recovery_store import committed_epoch
from tests.integration.test_freshness import alive, is_ready, wait_until_ready
from tests.running import START_SECONDS_MAX, Engine, until
from tests.shop import clock, open_shop, take_in, wait_for


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


pytestmark = pytest.mark.timeout(300)


def atp(world: Any, *arguments: str, **overrides: object) -> Done:
    """Run a command in this process, which spares it a start."""
    done = CliRunner().invoke(app, arguments, env=world.env(**overrides))
    return Done(done.exit_code, done.stdout, done.stderr)


def status(world: Any, **overrides: object) -> tuple[int, dict[str, Any]]:
    done = atp(world, "status", "--json", **overrides)
    assert "Traceback" not in done.stderr, done.stderr
    [line] = done.stdout.splitlines()
    return done.returncode, json.loads(line)


def test_status_and_items_say_what_runs_and_what_is_published(world: Any) -> None:
    port = free_port()
    open_shop(world, items=12)
    with Engine(world, metrics__port=port) as engine:
        said = wait_until_ready(world, engine)
        take_in(world, 0, 5)
        wait_for(world, 5)
        code, found = status(world, metrics__port=port)
        assert (code, found["runs"], str(found["run"]), found["notes"]) == (0, True, said["run"], [])
        assert found["workers"] == {"up": 1, "of": 1, "restarts": 0}
        assert found["items"] == 12
        assert found["rates"].keys() == {"events_per_s", "updates_per_s", "dead_letters_per_s"}
        assert found["redis_prefix"] == world.redis_prefix
        shown = atp(world, "status", metrics__port=port)
        assert shown.returncode == 0
        assert f"run {said['run']}" in shown.stdout

        code, found = status(world)  # with metrics.port 0: as from another machine
        assert (code, found["runs"], str(found["run"])) == (0, True, said["run"])
        assert "lag" not in found

        everything = sorted(clock(number) for number in range(12))
        assert atp(world, "items").stdout.split() == everything
        listed = atp(world, "items", clock(1), "--json")
        assert [json.loads(line) for line in listed.stdout.splitlines()] == [
            {"item": item} for item in (clock(1), clock(10), clock(11))
        ]
        first = atp(world, "items", "--limit", "2")
        assert first.stdout.split() == everything[:2]
        assert "there are more" in first.stderr
        none = atp(world, "items", "NO-SUCH")
        assert (none.returncode, none.stdout) == (1, "")
        assert "begins with NO-SUCH" in none.stderr
        engine.kill_everything()
    until(lambda: status(world, metrics__port=port)[0] == 1, START_SECONDS_MAX, "nothing runs")
    shown = atp(world, "status", metrics__port=port)
    assert "nothing runs here" in shown.stdout
    assert f"nothing answers at 127.0.0.1:{port}" in shown.stdout


def test_a_watched_status_ends_with_ctrl_c(world: Any) -> None:
    with subprocess.Popen(
        world.command("status", "--watch", "--json"),
        env=world.env(),
        cwd=world.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None and watching.stderr is not None
        for _ in range(2):
            assert json.loads(watching.stdout.readline())["runs"] is False
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 0
        assert watching.stderr.read() == ""


def test_a_set_that_is_not_complete_is_said(world: Any) -> None:
    world.redis.zadd(f"{world.redis_prefix}engine:items", {"HOE": 0})
    listed = atp(world, "items", "H")
    assert (listed.returncode, listed.stdout) == (0, "HOE\n")
    assert "not complete" in listed.stderr


@contextmanager
def bytewaxs_own_runner(world: Any) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The engine as Bytewax runs it, when its numbers can be trusted; and the file with all that it says."""
    command = [sys.executable, "-m", "bytewax.run", "flows.availability:flow"]
    options = ["-r", str(world.state_dir / "recovery"), "-s", "1", "-b", "0"]
    log = Path(world.folder / "bytewax.log")
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [*command, *options], env=world.env(), cwd=world.folder, stdout=out, stderr=subprocess.STDOUT
        ) as runner,
    ):
        try:
            until(lambda: is_ready(world), START_SECONDS_MAX, lambda: f"{alive(world)}\n{log.read_text()}")
            yield runner, log
        finally:
            runner.kill()
            runner.wait()


@pytest.mark.timeout(180)
def test_bytewaxs_own_runner_ends_with_a_sentence_when_a_newer_run_takes_over_and_nothing_comes(world: Any) -> None:
    open_shop(world)
    settings = world.settings()
    with bytewaxs_own_runner(world) as (runner, log):
        facts = world.state_dir / "engine.json"
        until(lambda: not json.loads(facts.read_bytes()).get("is_first"), 30, "the first epoch is noted")
        assert committed_epoch(world.state_dir / "recovery") is not None
        with closing(Store(redis_address(settings.redis), settings.redis.prefix)) as newer:
            newer.claim(0)
        assert runner.wait(20) == 2, log.read_text()
    said = log.read_text()
    assert said.count("a newer run of the engine has taken over") == 1 and "Traceback" not in said, said


@pytest.mark.timeout(180)
def test_bytewaxs_own_runner_says_how_fresh_it_is_too(world: Any) -> None:
    open_shop(world)
    with bytewaxs_own_runner(world):
        take_in(world, 0, 5)
        wait_for(world, 5)
        assert alive(world)["run"] == world.redis.hget(f"{world.redis_prefix}engine:fence", "token")
        before = int(alive(world)["at"])
        until(lambda: int(alive(world)["at"]) > before, 10, "again")
    killed_at = time.monotonic()
    until(lambda: not alive(world), 12, lambda: f"{alive(world)}")
    assert time.monotonic() - killed_at <= 11
