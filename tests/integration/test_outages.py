"""Redis and Kafka go away and come back, empty or not, and older runs wake up: nothing is lost, nothing stays wrong."""

from __future__ import annotations

import os
import shutil
import signal
from typing import Any

import psutil

from schemas.topics import LANES, POSITIONS
from tests.judging import Watcher, hashes, sequence
from tests.running import Engine, frozen, until
from tests.shop import clock, open_shop, promised, received, take_in, wait_for
from tests.trading import trade


def told_by(fields: dict[str, str]) -> dict[str, str]:
    """What a hash says but for when it was written. An absent figure is 0."""
    return {
        name: text
        for name, text in fields.items()
        if name not in ("_version", "_published_at") and not (":" in name and text == "0")
    }


def redis_process(world: Any) -> psutil.Process:
    return psutil.Process(world.servers._redis.process.pid)


# --- Redis -----------------------------------------------------------------------------------------------------------


def test_a_redis_that_comes_back_empty_is_filled_again_without_a_restart(world: Any) -> None:
    with trade(world, seed=11) as engine:
        [worker] = engine.wait_for_workers()
        until(lambda: len(hashes(world, "position")) > 8, 20, "numbers")
        world.servers.kill_redis()
        world.servers.restart_redis(empty=True)
        until(lambda: len(hashes(world, "position")) > 8, 20, lambda: f"numbers again\n{engine.text()}")
    assert engine.workers() == [] and worker.pid in engine._seen
    assert len(engine._seen) == 1, "it was restarted"
    assert "a worker died" not in engine.text()


def test_a_redis_emptied_while_nothing_happens_is_noticed_and_filled_with_every_field(world: Any) -> None:
    open_shop(world, items=30, horizon_days=2)
    for number in range(30):
        world.send("inventory.warehouse", received(number, 5 + number))
    world.flush()
    with Engine(world) as engine:
        wait_for(world, 34, number=29)
        until(lambda: len(hashes(world, "position")) == 30, 10, "all positions")
        before = {kind: hashes(world, kind) for kind in ("atp", "position")}
        sent = sum(map(len, sequence(world).by_key.values()))
        world.servers.restart_redis(empty=True)
        until(lambda: len(hashes(world, "position")) == 30 and promised(world, 29) == 34, 10, engine.text)
        until(lambda: len(hashes(world, "atp")) == 30, 10, "all items")
        after = {kind: hashes(world, kind) for kind in ("atp", "position")}
        take_in(world, 0, 1)
        wait_for(world, 6, seconds=5)
        assert engine.stop() == 0, engine.text()
    for kind, items in before.items():
        for item, fields in items.items():
            refilled = after[kind][item]
            assert told_by(refilled) == told_by(fields), f"{kind}:{item}"
            assert int(refilled["_version"]) > int(fields["_version"])
    assert sum(map(len, sequence(world).by_key.values())) == sent + 1, "Kafka was told again what it had"


def test_a_redis_that_is_away_for_some_seconds_costs_nothing_but_time(world: Any) -> None:
    def times_told() -> int:
        return engine.text().count("waiting, with everything kept")

    with Watcher(world) as watcher:
        with trade(world, seed=12) as engine:
            with frozen(redis_process(world)):
                until(lambda: times_told() == 1, 15, engine.text)
            until(lambda: "Redis is back" in engine.text(), 10, engine.text)
            world.servers.kill_redis()
            until(lambda: times_told() == 2, 15, engine.text)
            world.servers.restart_redis(empty=False)
        assert "a worker died" not in engine.text()
    assert not watcher.went_back, watcher.went_back[:5]


# --- Kafka -----------------------------------------------------------------------------------------------------------


def test_a_kafka_that_dies_and_comes_back_is_waited_for(world: Any) -> None:
    with Watcher(world) as watcher, trade(world, seed=13) as engine:
        world.servers.kill_kafka()
        world.servers.restart_kafka()
        engine.still_runs()
    assert not watcher.went_back, watcher.went_back[:5]


# --- older runs ------------------------------------------------------------------------------------------------------


def test_an_older_run_that_wakes_up_writes_nothing_any_more(world: Any) -> None:
    open_shop(world, items=2)
    take_in(world, 0, 10)
    with Engine(world) as older:
        wait_for(world, 10)
        [worker] = older.wait_for_workers()
        copy = world.folder / "copy"
        os.kill(older.process.pid, signal.SIGSTOP)  # or it would see its worker stopped, and that is another story
        with frozen(worker):
            shutil.copytree(world.state_dir, copy)
            with Engine(world, state__dir=copy) as newer:
                take_in(world, 0, 5)
                wait_for(world, 15)
                take_in(world, 1, 1)
                wait_for(world, 1, number=1)
                assert newer.stop() == 0
            before = {kind: hashes(world, kind) for kind in ("atp", "position")}
            newest = int(before["position"][clock(1)]["_version"])
            sent = everything_sent(world)
            take_in(world, 1, 7)
        os.kill(older.process.pid, signal.SIGCONT)
        assert older.wait(20) == 2, older.text()
        assert "a newer run of the engine has taken over" in older.text()
    assert {kind: hashes(world, kind) for kind in ("atp", "position")} == before
    late = [update for update in everything_sent(world) if update not in sent]
    # What was on its way to Kafka when it froze may arrive; readers keep the highest version.
    assert all(update["version"] < newest for update in late), late
    assert not [update for update in late if update.get("atp") in (16, 8, 7)], f"it went on: {late}"


def everything_sent(world: Any) -> list[dict[str, Any]]:
    topics = [*(f"atp.updates.{lane}" for lane in LANES), POSITIONS]
    return [record.json() for topic in topics for record in world.read(topic)]
