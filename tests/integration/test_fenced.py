"""An engine that a newer one took over from ends within a moment, also where nothing comes that it would write.

It ends as where a setting is wrong: with 2, after which a service manager leaves it alone.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from contextlib import closing
from typing import Any

import psutil
import pytest

from flows.embedded.child import free_port
from flows.readmodel.store import Store
from flows.runtime.run import now
from flows.settings import redis_address
from schemas.codes import parse_time
from tests.running import Engine, frozen, until
from tests.shop import open_shop, promised, take_in, wait_for

#: The mark, from the newer run's claim to the end of the last process; the supervisor asks the fence twice a second.
ENDS_WITHIN_S = 2.0
#: A machine that others share is slow: 1.4 s in all were seen at a load of 14 on two cores.
GRACE_S = 2.0
SENTENCE = "a newer run of the engine has taken over"


def claim(world: Any) -> None:
    """Take over, as a newer run does at its start."""
    settings = world.settings()
    store = Store(redis_address(settings.redis), settings.redis.prefix)
    store.claim(0)
    store.close()


def turned_away(world: Any) -> int:
    """How many writes the fence has turned away since that."""
    settings = world.settings()
    with closing(Store(redis_address(settings.redis), settings.redis.prefix)) as store:
        return store.rejected()


def waits_for_kafka(port: int) -> bool:
    """Does a worker say that Kafka has not taken what it wrote?"""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        found = re.findall(r"^atp_kafka_waiting_seconds\{.*\} (\S+)$", answer.read().decode(), re.MULTILINE)
    return any(float(seconds) > 0 for seconds in found)


def ended_well(engine: Engine, seconds: float, before: str = "") -> None:
    """It ended by itself, said so in one sentence, and no other error came behind what it had said `before`."""
    assert engine.wait(seconds) == 2, engine.text()
    lines = engine.text()[len(before) :].splitlines()
    said = [line for line in lines if SENTENCE in line]
    assert len(said) == 1 and json.loads(said[0])["next"], engine.text()
    errors = [line for line in lines if not line.startswith("{") or json.loads(line)["level"] == "error"]
    assert errors == said, engine.text()
    assert "traceback" not in engine.text().lower() and "panicked" not in engine.text(), engine.text()
    until(lambda: not engine.workers(), 5, "its workers' end")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_idle_engine_that_a_newer_run_took_over_from_ends(world: Any, workers: int) -> None:
    open_shop(world)
    take_in(world, 0, 10)
    with Engine(world, workers=workers) as engine:
        wait_for(world, 10)
        before = engine.text()
        claim(world)
        began, told = time.monotonic(), now()
        ended_well(engine, ENDS_WITHIN_S + GRACE_S, before)
        assert turned_away(world) >= 1, "the newer run's operator is told of it too"
        took = time.monotonic() - began
        said = json.loads(engine.text().splitlines()[-1])["timestamp"]
        print(f"{workers} workers: said {(parse_time(said) - told) / 1e6:.2f} s after the claim, ended {took:.2f} s")


def test_a_busy_engine_that_a_newer_run_took_over_from_ends_in_the_same_words(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 1)
    with Engine(world) as engine:
        wait_for(world, 1)
        claim(world)
        until(lambda: take_in(world, 0, 1) or engine.process.poll() is not None, 10, "its end")
        ended_well(engine, 1)


def test_an_engine_that_waits_for_kafka_ends_when_it_is_taken_over_from(world: Any) -> None:
    open_shop(world)
    port = free_port()
    # What it says stays out of Kafka for some seconds: until there is none to say it to.
    slow = {"lanes__linger_normal": "30s", "lanes__max_wait": "60s", "state__epoch_interval": "4s"}
    with Engine(world, metrics__port=port, **slow) as engine:
        engine.wait_until_it_reads(world, world.settings())
        take_in(world, 0, 10)
        wait_for(world, 10)
        world.servers.kill_kafka()
        until(lambda: waits_for_kafka(port), 30, engine.text)
        before = engine.text()
        claim(world)
        ended_well(engine, ENDS_WITHIN_S + GRACE_S, before)


def test_an_engine_whose_worker_dies_does_not_take_over_from_a_newer_run(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 10)
    with Engine(world) as engine:
        wait_for(world, 10)
        [worker] = engine.wait_for_workers()
        with frozen(psutil.Process(engine.process.pid)), frozen(worker):
            claim(world)
            worker.kill()
        ended_well(engine, ENDS_WITHIN_S + GRACE_S)
        fence = world.redis.hgetall(f"{world.redis_prefix}engine:fence")
        assert json.loads(engine.text().splitlines()[-2])["kind"] == "fenced", engine.text()
        assert f"from run {int(fence['token']) - 1}:" in engine.text(), "it took the token back"


def test_an_engine_that_slept_while_it_was_taken_over_from_ends_when_it_wakes(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 10)
    with Engine(world) as engine:
        wait_for(world, 10)
        [worker] = engine.wait_for_workers()
        with frozen(psutil.Process(engine.process.pid)), frozen(worker):
            claim(world)
            take_in(world, 0, 1)
        ended_well(engine, ENDS_WITHIN_S + GRACE_S)
    assert promised(world) == 10


def test_an_engine_that_was_taken_over_from_while_redis_was_away_ends_when_it_is_back(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 10)
    with Engine(world) as engine:
        wait_for(world, 10)
        [worker] = engine.wait_for_workers()
        with frozen(worker):
            claim(world)
            world.redis.bgrewriteaof() if world.redis.info()["aof_enabled"] else world.redis.save()
            world.servers.kill_redis()
        until(lambda: "waiting, with everything kept" in engine.text(), 20, engine.text)
        world.servers.restart_redis(empty=False)
        ended_well(engine, ENDS_WITHIN_S + GRACE_S)


def test_a_worker_whose_writer_died_while_nothing_happens_ends_and_is_started_again(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 10)
    with Engine(world, workers=2) as engine:
        wait_for(world, 10)
        settings = world.settings()
        store = Store(redis_address(settings.redis), settings.redis.prefix)
        # Of another worker's progress the writer reads with its heartbeat; this one it cannot read.
        store.put(store.progress_key(), {"elsewhere/0": b"\xc1"})
        until(lambda: "MessagePack" in engine.text(), 8, engine.text)
        until(lambda: "a worker died" in engine.text(), 8, engine.text)  # the other one reads on until it is ended
        store.ask("DEL", store.progress_key())
        store.close()
        take_in(world, 0, 5)
        wait_for(world, 15)
        assert "panicked" not in engine.text(), engine.text()
        assert engine.stop() == 0, engine.text()
