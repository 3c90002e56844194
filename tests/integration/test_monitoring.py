"""What an operator sees: a real Prometheus scrapes a running engine; every query answers, every alert fires once."""

from __future__ import annotations

import functools
import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from flows.embedded.child import free_port
from flows.traffic import sending as load
from flows.traffic.profile import Profile
from tests.documents import x12
from tests.integration.test_identity import admin
from tests.integration.test_translator import SETTINGS, open_office, send_alias, send_raw
from tests.prometheus import IS_HERE, OF_STATEMENTS, OF_TRANSLATION, Prometheus, alert_rules, queries
from tests.running import START_SECONDS_MAX, Engine, frozen, until
from tests.shop import ago, clock, event, open_shop, placed, received, take_in, wait_for

#: The window of a dashboard at its finest zoom; here scrapes come every second.
RATE_INTERVAL = "30s"
SLOW = {"channel": "slow", "locations": ["EAST"]}


def ask(port: int, path: str) -> tuple[int, str]:
    """Ask an engine's endpoint; 0 where nothing answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def health(port: int, path: str = "/readyz") -> tuple[int, dict[str, Any]]:
    """Ask for health."""
    status, text = ask(port, path)
    return status, json.loads(text) if status else {}


def wait_until_ready(port: int, engine: Engine) -> None:
    until(lambda: health(port)[0] == 200, START_SECONDS_MAX, lambda: f"ready: {health(port)}\n{engine.text()}")


def command(world: Any, *arguments: str, **overrides: object) -> subprocess.CompletedProcess[str]:
    """Run `atp health`."""
    line, env = world.command("health", *arguments), world.env(**overrides)
    return subprocess.run(line, env=env, capture_output=True, text=True, check=False)


def value(port: int, name: str, **labels: str) -> float:
    """Add up a metric's samples that have those labels."""
    total = 0.0
    for line in ask(port, "/metrics")[1].splitlines():
        if line.startswith((f"{name}{{", f"{name} ")) and all(
            f'{key}="{text}"' in line for key, text in labels.items()
        ):
            total += float(line.rsplit(" ", 1)[1])
    return total


def redis_process(world: Any) -> psutil.Process:
    return psutil.Process(world.servers._redis.process.pid)


def kafka_process(world: Any) -> psutil.Process:
    return psutil.Process(world.servers._kafka.process.pid)


# --- health ----------------------------------------------------------------------------------------------------------


def test_health_tells_starting_from_ready_from_waiting_for_redis_from_gone(world: Any) -> None:
    open_shop(world)
    port = free_port()
    with Engine(world, metrics__port=port, workers=2) as engine:
        until(lambda: health(port)[0] == 503, START_SECONDS_MAX, lambda: f"an answer while it starts\n{engine.text()}")
        assert health(port)[1]["ready"] is False
        wait_until_ready(port, engine)
        take_in(world, 0, 3)
        wait_for(world, 3)
        assert health(port) == (
            200,
            {
                "ready": True,
                "reasons": [],
                "checks": {"workers": True, "topics": True, "caught_up": True, "writing": True, "not_fenced": True},
            },
        )
        with frozen(redis_process(world)):
            take_in(world, 0, 1)
            until(lambda: health(port)[0] == 503, 30, lambda: f"not ready: {health(port)}")
            assert any("redis has not taken" in reason for reason in health(port)[1]["reasons"]), health(port)
            assert health(port, "/healthz")[0] == 200, "a restart would not help"
        wait_until_ready(port, engine)
        asked = command(world, "--ready", metrics__port=port)
        assert (asked.returncode, json.loads(asked.stdout)["ready"]) == (0, True)
        assert ask(port, "/elsewhere")[0] == 404
        [worker, _] = engine.wait_for_workers(2)
        with frozen(worker):
            status, said = health(port)
            assert status == 503 and "no answer from worker" in said["reasons"][0], said
        assert engine.stop() == 0, engine.text()
    assert ask(port, "/healthz")[0] == 0
    gone = command(world, metrics__port=port)
    assert gone.returncode == 1 and "nothing answers" in gone.stdout
    off = command(world)
    assert off.returncode == 2 and "metrics.port" in off.stderr


def test_a_taken_port_costs_the_metrics_and_not_the_numbers_until_it_is_free(world: Any) -> None:
    import socket

    open_shop(world)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        engine = Engine(world, metrics__port=port)
        with engine:
            take_in(world, 0, 3)
            wait_for(world, 3)
            assert f"metrics.port: 127.0.0.1:{port} cannot be used" in engine.text()
            other.close()
            wait_until_ready(port, engine)
            assert engine.stop() == 0


def test_open_exceptions_are_known_again_after_a_crash(world: Any) -> None:
    world.config.write_text('[sources.erp]\nstale_after = "1s"\n')
    open_shop(world, items=2)
    port = free_port()

    def numbers() -> tuple[float, ...]:
        wanted = ("negative_on_hand", "oversold", "stale_source")
        return tuple(value(port, "atp_exceptions_open", code=code) for code in wanted)

    with Engine(world, metrics__port=port) as engine:
        for number in range(2):
            take_in(world, number, 5)
            world.send("inventory.warehouse", event("stock_adjusted", item=clock(number), location="EAST", quantity=-9))
        world.flush()
        until(lambda: numbers() == (2, 2, 1), 30, lambda: f"(2, 2, 1), got {numbers()}\n{engine.text()}")
        engine.wait_until_it_reads(world, world.settings())
        engine.kill_everything()
    with Engine(world, metrics__port=port) as engine:
        wait_until_ready(port, engine)
        until(lambda: numbers() == (2, 2, 1), 30, lambda: f"(2, 2, 1), got {numbers()}\n{engine.text()}")
        take_in(world, 0, 9)
        until(lambda: numbers()[:2] == (1, 1), 30, lambda: f"one less, got {numbers()}")
        assert value(port, "atp_source_stale", source="erp") == 1


# --- Prometheus ------------------------------------------------------------------------------------------------------


def more_comes_than_a_budget_lets_through(world: Any) -> None:
    """Send some rises. Again and again: the first ones may still be under the channel's larger, older budget."""
    for number in range(10, 30):
        world.send("inventory.warehouse", received(number, 1))
    world.flush()
    time.sleep(0.2)


@contextmanager
def an_older_engine_that_sleeps(world: Any) -> Iterator[Callable[[], None]]:
    """One that ran before; gives what wakes it."""
    with Engine(world, state__dir=world.folder / "older") as older:
        take_in(world, 0, 10)
        wait_for(world, 10)
        [worker] = older.wait_for_workers()
        os.kill(older.process.pid, signal.SIGSTOP)
        worker.suspend()

        def wake() -> None:
            worker.resume()
            os.kill(older.process.pid, signal.SIGCONT)
            assert older.wait(30) == 2, older.text()

        yield wake


@pytest.mark.timeout(600)
@pytest.mark.skipif(not IS_HERE, reason="needs Debian's prometheus, see tests/needs.txt")
def test_every_query_of_the_dashboard_answers_and_every_alert_fires_when_its_fault_is_made(world: Any) -> None:
    world.config.write_text('[sources.wms]\nstale_after = "4s"\n')
    open_shop(world, items=40, partitions=4)
    world.create_topics(kafka__partitions=4, trail__enabled=True)
    world.send("inventory.channels", SLOW, key="slow")
    world.flush()
    port = free_port()
    fired: set[str] = set()
    apart = re.compile(f"{OF_STATEMENTS.pattern}|{OF_TRANSLATION.pattern}")  # faults of their own, not made here
    unmade = {name for name, rule in alert_rules() if not apart.search(rule)}

    def fires(*names: str) -> None:
        prometheus.wait_until_it_fires(*names)
        fired.update(names)

    with an_older_engine_that_sleeps(world) as wake, Prometheus(world.folder / "prometheus", port) as prometheus:
        fires("AtpDown")
        more = {"state__remote": str(world.folder / "remote"), "state__remote_every": "1s", "trail__enabled": True}
        with Engine(world, "--from-scratch", metrics__port=port, workers=2, lanes__max_wait="200ms", **more) as engine:
            wait_until_ready(port, engine)

            def is_quiet() -> bool:
                take_in(world, 39, 1)  # well is who is heard: a watched source that says nothing is an alert
                time.sleep(0.5)
                return not prometheus.firing()

            until(is_quiet, 120, lambda: f"quiet while all is well: {prometheus.firing()}")

            # under load: every query of the dashboard answers
            settings = world.settings(kafka__partitions=4)
            profile = Profile(events=2500, items=200, locations=3, channels=3, seed=5, invalid=0.01, duplicates=0.05)
            sender = threading.Thread(target=load.send, args=(settings, profile, 300))
            sender.start()
            unanswered = [one for one in queries() if not apart.search(one[1])]

            def answer() -> bool:
                unanswered[:] = [one for one in unanswered if not prometheus.query(_zoomed(one[1]))]
                return not unanswered

            until(answer, 120, lambda: f"data for {unanswered}\n{ask(port, '/metrics')[1][:3000]}")
            sender.join()

            # no copy of the state
            (world.folder / "remote").rename(world.folder / "remote-before")
            (world.folder / "remote").write_text("a file, where the folder was")
            fires("AtpStateNotCopied")

            # wrong numbers
            wake()
            world.send("inventory.warehouse", event("stock_adjusted", item=clock(0), location="EAST", quantity=-99))
            world.send("inventory.orders", placed(1, 1))
            nowhere = event("stock_received", item=clock(1), location="NOWHERE", quantity=3)
            world.send("inventory.warehouse", nowhere)
            world.send("inventory.channels", {**SLOW, "max_updates_per_second": 0.5}, key="slow")
            world.flush()
            fires("AtpFenced", "AtpNegativeStock", "AtpOversold", "AtpDeadLetters", "AtpStaleSource")

            def budget_holds_up() -> bool:
                more_comes_than_a_budget_lets_through(world)
                return "AtpUpdatesOverdue" in prometheus.firing()

            until(budget_holds_up, 120, lambda: f"AtpUpdatesOverdue: {prometheus.firing()}")
            fired.add("AtpUpdatesOverdue")

            # old numbers
            with frozen(redis_process(world)):
                take_in(world, 2, 3)
                for number in range(10, 30):
                    fall = event("stock_adjusted", item=clock(number), location="EAST", quantity=-1)
                    world.send("inventory.warehouse", fall)
                world.flush()
                fires("AtpRedisAway", "AtpNotReady", "AtpLag")
            fires("AtpSlowToRedis")
            with frozen(kafka_process(world)):
                fires("AtpKafkaAway")
            world.servers.kill_redis()
            world.servers.restart_redis(empty=True)
            fires("AtpRedisLostData")

            # a worker that dies again and again
            def has_died(times: int) -> bool:
                engine.wait_for_workers(2)[0].kill()
                time.sleep(1)  # a process that still waits to be told what to run dies without being counted
                return value(port, "atp_worker_restarts_total") >= times

            for times in range(1, 5):
                until(lambda times=times: has_died(times), START_SECONDS_MAX, f"restart {times}")
            fires("AtpWorkersRestart")
        with Engine(world, metrics__port=port, memory_limit="400MB") as engine:
            fires("AtpMemory")
            assert "memory: a worker takes" not in engine.text(), "the rule is impatient here, the engine is not"
            # a source of events that is gone
            orders = world.topic("inventory.orders")
            admin(world).delete_topics([orders])[orders].result(20)
            fires("AtpTopicLost")
        fires("AtpDown")
    assert fired == unmade, f"never fired: {unmade - fired}"


@pytest.mark.timeout(300)
@pytest.mark.skipif(not IS_HERE, reason="needs Debian's prometheus, see tests/needs.txt")
def test_what_stands_in_variances_is_on_the_dashboard_and_its_alerts_fire(world: Any) -> None:
    world.config.write_text(
        'dedup_window = "10d"\n[reconciliation]\nhold_alert = "1s"\n'
        '[sources.erp]\nsettle = "1s"\nstatement_every = "2s"\n'
    )
    open_shop(world, items=2)
    world.send("inventory.items", {"item": clock(0), "unit_value": 2}, key=clock(0))
    rules = {"source": "erp", "actions": {"on_hand": "hold"}, "max_rows_in_variance_percent": 100}
    world.send("inventory.reconciliation", rules, key="erp")
    for number in range(2):
        world.send("inventory.warehouse", received(number, 10, occurred_at=ago(4 * 86_400)))
    world.flush()

    def state(statement: str, as_of: str, rows: int, *on_hand: int) -> None:
        head = {"source": "erp", "statement_id": statement, "occurred_at": as_of}

        def say(kind: str, name: str, **fields: Any) -> None:
            told = head | {"event_id": f"{statement}:{kind}:{name}", "type": kind} | fields
            world.send("inventory.statements", told)

        say("statement_started", "")
        for number, quantity in enumerate(on_hand):
            say("stock_stated", str(number), item=clock(number), location="EAST", on_hand=quantity)
        say("statement_ended", "", rows=rows)
        world.flush()

    port = free_port()
    with (
        Engine(world, metrics__port=port) as engine,
        Prometheus(world.folder / "prometheus", port) as prometheus,
    ):
        wait_until_ready(port, engine)
        state("night-1", ago(3 * 86_400), 2, 7, 10)
        unanswered = [one for one in queries() if OF_STATEMENTS.search(one[1])]
        assert unanswered

        def answer() -> bool:
            unanswered[:] = [one for one in unanswered if not prometheus.query(_zoomed(one[1]))]
            return not unanswered

        until(answer, 90, lambda: f"data for {unanswered}\n{ask(port, '/metrics')[1][:3000]}")
        state("night-2", ago(2 * 86_400), 5, 7)
        names = [name for name, rule in alert_rules() if OF_STATEMENTS.search(rule)]
        assert len(names) == 4
        prometheus.wait_until_it_fires(*names)
        raised = [record.json() for record in world.read("inventory.exceptions")]
        assert [one["quantities"] for one in raised if one["code"] == "held_too_long"] == [{"held": 3}]
        assert "a statement of source erp was rejected: rows_missing" in engine.text()
        assert "has fallen silent" not in engine.text()


@pytest.mark.timeout(300)
@pytest.mark.skipif(not IS_HERE, reason="needs Debian's prometheus, see tests/needs.txt")
def test_what_is_translated_is_on_the_dashboard_and_its_alerts_fire(world: Any) -> None:
    open_office(world, settings=SETTINGS + 'document_every = "10s"\n')
    numbers = itertools.count(1)

    def receive(item: str) -> None:
        text = f"944\nW17*F*20240115*WR-{next(numbers)}*TR-1*SHIP-1\nN1*WH*North*92*DC1\nW07*40*EA**VN*{item}\n"
        send_raw(world, x12(text))

    port = free_port()
    with (
        Engine(world, command="translate", translator__metrics_port=port) as translator,
        Prometheus(world.folder / "prometheus", port) as prometheus,
    ):
        until(lambda: ask(port, "/healthz")[0] == 200, 2 * START_SECONDS_MAX, translator.text)
        for item in ("SHOVEL", "SPOON", "LADLE"):
            receive(item)
        until(lambda: "atp_translate_lines_total{" in ask(port, "/metrics")[1], START_SECONDS_MAX, translator.text)
        # One of the two that nobody knows gets its alias: its document is tried again by itself.
        send_alias(world, "SPOON", "SPOON-1")
        world.flush()
        unanswered = [one for one in queries() if OF_TRANSLATION.search(one[1])]
        assert unanswered
        due = time.monotonic()

        def answer() -> bool:
            nonlocal due
            if time.monotonic() >= due:
                # Again and again: what grew only before the first scrape has not grown in Prometheus' eyes.
                receive("LADLE")
                due = time.monotonic() + 3
            unanswered[:] = [one for one in unanswered if not prometheus.query(_zoomed(one[1]))]
            return not unanswered

        until(answer, 90, lambda: f"data for {unanswered}\n{ask(port, '/metrics')[1][:3000]}")
        grown = 'increase(atp_translate_lines_total{fate="refused"}[1m])'
        until(lambda: answer() and any(value > 0 for _, value in prometheus.query(grown)), 90, "refused lines grow")
        names = [name for name, rule in alert_rules() if OF_TRANSLATION.search(rule)]
        assert len(names) == 3
        # Nothing comes any more: that is the third.
        prometheus.wait_until_it_fires(*names)
        assert translator.stop() == 0, translator.text()


def _zoomed(expression: str) -> str:
    return expression.replace("$job", "atp").replace("$__rate_interval", RATE_INTERVAL)


def test_two_workers_that_die_while_nothing_comes_in_are_ready_again(world: Any) -> None:
    """Without events it is its own first word alone that wakes a shard's part of the sink."""
    open_shop(world, items=40, partitions=4)
    port = free_port()
    with Engine(world, metrics__port=port, workers=2) as engine:
        wait_until_ready(port, engine)
        take_in(world, 39, 1)
        wait_for(world, 1, 39)
        for deaths in range(1, 3):
            engine.wait_for_workers(2)[0].kill()
            has_restarted = functools.partial(lambda wanted: value(port, "atp_worker_restarts_total") >= wanted, deaths)
            until(has_restarted, 30, "the restart")
            wait_until_ready(port, engine)
        take_in(world, 7, 2)
        wait_for(world, 2, 7)
        assert engine.stop() == 0
