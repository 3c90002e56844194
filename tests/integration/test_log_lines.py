"""What stands in the log of a whole life: where somebody looks first, nothing that says nothing, all of it JSON."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from flows.embedded.child import HOST, free_port
from flows.log import BURST
from tests.running import START_SECONDS_MAX, Engine, until
from tests.shop import open_shop, received, take_in, wait_for

#: Engines are started again and again, and a Kafka of its own is stopped.
pytestmark = pytest.mark.timeout(300)


def lines(engine: Engine) -> list[dict[str, Any]]:
    """Give every line of standard output and error: each has to be one JSON object."""
    text = engine.text()
    complete = text[: text.rfind("\n") + 1].splitlines()
    found = []
    for line in complete:
        try:
            told = json.loads(line)
        except ValueError:
            raise AssertionError(f"no JSON: {line!r} among\n{text}") from None
        assert isinstance(told, dict) and told["event"] and told["level"] and told["timestamp"], line
        found.append(told)
    return found


def kinds(engine: Engine) -> list[str]:
    return [line.get("kind", line["event"]) for line in lines(engine)]


def wait_for_kind(engine: Engine, kind: str, count: int = 1) -> dict[str, Any]:
    until(lambda: kinds(engine).count(kind) >= count, START_SECONDS_MAX, lambda: f"{kind}:\n{engine.text()}")
    return [line for line in lines(engine) if line.get("kind") == kind][count - 1]


def test_a_healthy_life_is_four_lines(world: Any) -> None:
    open_shop(world, items=2)
    port = free_port()
    with Engine(world, log__format="json", metrics__port=port, workers=2) as engine:
        wait_for_kind(engine, "ready")
        take_in(world, 0, 5)
        wait_for(world, 5)
        assert engine.stop() == 0
    start, ready, stopping, stopped = lines(engine)
    assert [one["kind"] for one in (start, ready, stopping, stopped)] == ["starting", "ready", "stopping", "stopped"]
    servers = world.servers
    for word in ("atp-engine ", servers.bootstrap_servers, servers.redis_url, str(world.state_dir), f":{port}", "2 w"):
        assert word in start["event"], start
    assert (start["workers"], start["state"], start["version"]) == (2, str(world.state_dir), start["version"])
    assert ready["seconds"] >= 0
    assert stopping["signal"] == "SIGTERM" and "SIGTERM" in stopping["event"]
    assert stopped["exit_code"] == 0 and stopped["up_s"] >= stopped["stopping_s"] >= 0


def test_ready_is_what_the_endpoint_says(world: Any) -> None:
    open_shop(world)
    with Engine(world, log__format="json") as engine:  # without a port nobody else says it
        wait_for_kind(engine, "ready")
        engine.process.send_signal(signal.SIGINT)
        assert engine.wait(30) == 0
    assert lines(engine)[-2]["signal"] == "SIGINT"


def test_a_resume_is_one_line_and_not_one_a_shard(world: Any) -> None:
    open_shop(world, items=40)
    for number in range(40):
        world.send("inventory.warehouse", received(number, 5))
    world.flush()
    with Engine(world) as engine:
        wait_for(world, 5, 39)
        engine.kill_everything()
    take_in(world, 0, 2)
    with Engine(world, log__format="json") as engine:
        wait_for(world, 7)
        wait_for_kind(engine, "ready")
        assert engine.stop() == 0
    through = [line for line in lines(engine) if line.get("kind") == "caught_up"]
    assert len(through) == 1 and through[0]["shards"] > 1, engine.text()
    assert len(lines(engine)) <= 5 + kinds(engine).count("redis_lost"), engine.text()


def test_it_is_json_while_kafka_is_away_and_when_a_worker_dies(world: Any) -> None:
    open_shop(world)
    with Engine(world, log__format="json") as engine:
        wait_for_kind(engine, "ready")
        engine.wait_for_workers()[0].send_signal(signal.SIGABRT)  # a death with words of its own, none of them ours
        assert "worker-0.stderr" in wait_for_kind(engine, "restart")["next"], "where its words are"
        wait_for_kind(engine, "ready", 2)
        world.servers.kill_kafka()
        assert wait_for_kind(engine, "kafka_client")["next"]
        engine.stop()
    assert kinds(engine)[-1] == "stopped"
    assert kinds(engine).count("kafka_client") <= 2 * BURST


@pytest.mark.parametrize("fault", ["redis", "state"])
def test_what_keeps_it_from_starting_is_json_too(world: Any, fault: str) -> None:
    open_shop(world)
    wrong: dict[str, object] = {"redis__url": f"redis://{HOST}:{free_port()}/0"}
    if fault == "state":
        (world.folder / "file").touch()
        wrong = {"shards": 7, "workers": 7}
    with Engine(world, log__format="json", **wrong) as engine:
        assert engine.wait(60) == (1 if fault == "redis" else 2)
    (refused,) = lines(engine)
    assert refused["kind"] == "refused_start"
    assert ("redis.url" if fault == "redis" else "workers") in refused["event"]


def test_what_is_no_json_becomes_json_and_what_was_said_in_one_breath_stays_together(world: Any) -> None:
    # The child goes on when its last breath was passed on: no machine is too slow for this test, or too fast.
    program = (
        "import os\n"
        'print(\'{"event": "ours", "level": "info", "timestamp": "now"}\', flush=True)\n'
        "os.write(2, b'worker 1:\\terror connecting to worker 0: Connection refused (os error 111); retrying\\n')\n"
        "os.write(2, b'%3|1700000000.1|FAIL|atp-engine#producer-1| [thrd:x]: it is away\\n')\n"
        "os.write(2, b'thread panicked at src/x.rs\\n   0: somewhere\\n   1: else\\n')\n"
        "os.read(0, 1)\n"
        "os.write(2, b'killed in the middle of')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    reader = (
        "import contextlib, subprocess, sys, pathlib\n"
        "from flows.log import configure\n"
        "from flows.processes.worker_output import WorkerOutput\n"
        "from flows.settings import load_settings\n"
        f"configure(load_settings(pathlib.Path({str(world.config)!r}), {{'log.format': 'json'}}))\n"
        f"command = [sys.executable, '-c', {program!r}]\n"
        "pipe = subprocess.PIPE\n"
        "one = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, bufsize=0)\n"
        "class Listener(WorkerOutput):\n"
        "    def _say_loose(self):\n"
        "        had = bool(self._loose)\n"
        "        super()._say_loose()\n"
        "        with contextlib.suppress(BrokenPipeError):\n"
        "            one.stdin.write(b'.' * had)\n"
        "output = Listener(one)\n"
        "one.wait()\n"
        "output.join(5)\n"
        "import warnings\n"
        "warnings.warn('mind this')\n"
        "raise RuntimeError('nobody catches it')\n"
    )
    done = subprocess.run([sys.executable, "-c", reader], capture_output=True, text=True, env=world.env(), check=False)
    told = [json.loads(line) for line in (done.stdout + done.stderr).splitlines()]
    assert [(one.get("kind"), one["level"]) for one in told] == [
        (None, "info"),
        ("kafka_client.fail", "error"),
        ("worker_output", "warning"),
        ("worker_output", "warning"),
        (None, "warning"),
        ("uncaught", "critical"),
    ], done.stderr
    assert told[1]["event"] == "[thrd:x]: it is away"
    assert told[2]["event"].count("\n") == 2
    assert told[3]["event"] == "killed in the middle of"
    assert "mind this" in told[4]["event"] and "nobody catches it" in told[5]["exception"]
