"""Running it: starting and refusing to start, ending, changes while it runs, time that passes, rubbish that comes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest

from flows.embedded.child import free_port
from flows.processes import supervisor
from flows.storage import folder as state_folder
from schemas.outputs import InventoryException, Update
from tests.running import Engine, committed, ends, until
from tests.shop import ago, clock, event, open_shop, placed, promised, received, send_channel, take_in, wait_for


@contextmanager
def open_and_running(world: Any, items: int = 1, quantity: int = 10, **overrides: object) -> Iterator[Engine]:
    """A shop with goods, and an engine that has published them."""
    open_shop(world, items)
    for number in range(items):
        world.send("inventory.warehouse", received(number, quantity))
    world.flush()
    with Engine(world, **overrides) as engine:
        wait_for(world, quantity, items - 1)
        yield engine


def lane_of(world: Any, item: str) -> list[tuple[str, int, str]]:
    """Give (lane, atp, cause) of everything sent of an item, in order of version."""
    updates = [
        record.json() for lane in ("critical", "high", "normal", "bulk") for record in world.read(f"atp.updates.{lane}")
    ]
    updates = sorted((update for update in updates if update["item"] == item), key=lambda update: update["version"])
    return [(update["lane"], update["atp"], update["cause"]) for update in updates]


# --- ending ----------------------------------------------------------------------------------------------------------


def test_sigterm_ends_it_in_good_order_and_the_next_run_goes_on(world: Any) -> None:
    with open_and_running(world) as engine:
        began = time.monotonic()
        assert engine.stop(seconds=10) == 0, engine.text()
        assert time.monotonic() - began < 10
    take_in(world, 0, 5)
    with Engine(world) as engine:
        wait_for(world, 15)
        assert engine.stop() == 0, engine.text()
    assert [atp for _, atp, _ in lane_of(world, clock(0))][-2:] == [10, 15]
    assert "Traceback" not in engine.text()


def test_sigterm_at_its_first_moment_is_no_failure_either(world: Any) -> None:
    open_shop(world)
    with Engine(world) as engine:
        engine.wait_for_workers()
        assert engine.stop() == 0, engine.text()


def test_sigterm_under_load_loses_nothing(world: Any) -> None:
    with open_and_running(world) as engine:
        for number in range(20_000):
            world.send("inventory.warehouse", received(0, 1))
            if number == 10_000:
                engine.process.terminate()
        world.flush()
        assert engine.wait(10) == 0, engine.text()
    with Engine(world, "--until-caught-up") as engine:
        assert engine.wait(40) == 0, engine.text()
    assert promised(world) == 20_010


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_catching_up_that_is_interrupted_while_it_waits_to_start_ends_with_1(
    world: Any, number: signal.Signals
) -> None:
    with Engine(world, "--until-caught-up", "--wait", kafka__bootstrap_servers="127.0.0.1:9") as engine:
        until(lambda: "trying again" in engine.text(), 60, engine.text)
        engine.process.send_signal(number)
        assert engine.wait(30) == 1
        assert "ended before it had caught up" in engine.text()


def test_catching_up_that_is_interrupted_while_its_workers_run_ends_with_1(world: Any) -> None:
    open_shop(world)
    for _ in range(3000):
        world.send("inventory.warehouse", received(0, 1))
    world.flush()
    with Engine(world, "--until-caught-up") as engine:
        engine.wait_for_workers()
        engine.process.send_signal(signal.SIGTERM)
        assert engine.wait(60) == 1


def test_catching_up_goes_on_where_somebody_else_ends_a_worker(world: Any) -> None:
    open_shop(world)
    for _ in range(3000):
        world.send("inventory.warehouse", received(0, 1))
    world.flush()
    with Engine(world, "--until-caught-up") as engine:
        (worker,) = engine.wait_for_workers()
        worker.terminate()
        assert engine.wait(90) == 0, engine.text()
    assert promised(world) == 3000, "a worker that ends well has not caught up for that"


def test_kafkas_own_tools_see_how_far_it_is(world: Any) -> None:
    settings = world.settings()
    with open_and_running(world) as engine:
        until(lambda: committed(settings) == ends(settings), 10, lambda: f"{committed(settings)} of {ends(settings)}")
        take_in(world, 0, 5)
        until(lambda: committed(settings) == ends(settings), 10, lambda: f"{committed(settings)} of {ends(settings)}")
        assert engine.stop() == 0
    take_in(world, 0, 5)
    behind = {part: end - committed(settings)[part] for part, end in ends(settings).items()}
    assert sum(behind.values()) == 1, "the lag of a stopped engine is what came since"


# --- changes while it runs, and time ---------------------------------------------------------------------------------


def test_reference_data_changed_while_it_runs_acts_within_seconds(world: Any) -> None:
    with open_and_running(world) as engine:
        send_channel(world, buffer_quantity=3)
        wait_for(world, 7, seconds=5)
        world.send("inventory.items", {"item": clock(0), "safety_stock": {"EAST": 2}}, key=clock(0))
        world.flush()
        wait_for(world, 5, seconds=5)
        send_channel(world, locations=["WEST"])
        wait_for(world, 0, seconds=5)
        world.send("inventory.items", {"item": clock(7)}, key=clock(7))
        world.flush()
        take_in(world, 7, 4)
        until(lambda: promised(world, 7) == 0, 5, "an item that is new")
        send_channel(world)
        wait_for(world, 4, 7, seconds=5)
        unlisted = {"channel": "web", "item": clock(0), "listed": False}
        world.send("inventory.channel_items", unlisted, key=f"web:{clock(0)}")
        world.flush()
        wait_for(world, None, seconds=5)
        assert engine.stop() == 0, engine.text()  # Kafka hears it a moment after Redis
    causes = [cause for _, _, cause in lane_of(world, clock(0))]
    *changes, last = causes[causes.index("stock_received") + 1 :]
    assert (set(changes), last) == ({"reference"}, "unlisted")


def test_an_event_may_come_a_moment_before_what_it_names(world: Any) -> None:
    with open_and_running(world):
        world.send("inventory.warehouse", received(8, 6))
        world.send("inventory.warehouse", received(0, 6) | {"location": "NORTH"})
        world.flush()
        world.send("inventory.items", {"item": clock(8)}, key=clock(8))
        world.send("inventory.locations", {"location": "NORTH"}, key="NORTH")
        send_channel(world, locations=["EAST", "NORTH"])
        wait_for(world, 6, 8, seconds=5)
        wait_for(world, 16, 0, seconds=5)
    assert not world.read("inventory.dead_letters")


def test_a_claim_that_lapses_is_released_within_a_second_without_any_event(world: Any) -> None:
    def claim() -> float:
        lapses = time.time() + 6
        world.send("inventory.orders", placed(0, 4, expires_at=ago(-6)))
        world.flush()
        wait_for(world, 6, seconds=5)
        return lapses

    with open_and_running(world) as engine:
        lapses = claim()
        wait_for(world, 10, seconds=10)
        assert time.time() - lapses < 2  # one second is the promise; a busy test machine gets as much again
        released = ("normal", 10, "expiry")
        until(lambda: lane_of(world, clock(0))[-1] == released, 5, "the release on Kafka")
        lapses = claim()
        assert engine.stop() == 0
    assert next(told for told in lane_of(world, clock(0)) if told[1] == 6) == ("high", 6, "order_placed")
    until(lambda: time.time() > lapses, 10, "the time")
    with Engine(world):
        wait_for(world, 10)  # at the next start, if it did not run


def test_a_source_that_falls_silent_is_reported_until_it_speaks(world: Any) -> None:
    world.config.write_text('[sources.wms]\nstale_after = "2s"\n')

    def told() -> list[InventoryException]:
        return [InventoryException.model_validate_json(r.value) for r in world.read("inventory.exceptions")]

    with open_and_running(world):
        until(lambda: [note.state for note in told()] == ["open"], 10, lambda: f"a silent source: {told()}")
        take_in(world, 0, 1)
        until(lambda: [note.state for note in told()][:2] == ["open", "closed"], 10, lambda: f"its end: {told()}")
    first, second = told()[:2]
    assert (first.code, first.source, first.item) == ("stale_source", "wms", None)
    assert second.first_seen == first.first_seen


def test_breakdown_and_pubsub_say_the_same_as_kafka(world: Any) -> None:
    listener = world.redis.pubsub()
    listener.psubscribe(f"{world.redis_prefix}atp.*")
    heard: dict[int, dict[str, Any]] = {}

    def hear() -> bool:
        while (message := listener.get_message(ignore_subscribe_messages=True)) is not None:
            update = orjson.loads(message["data"])
            assert message["channel"] == f"{world.redis_prefix}atp.{update['lane']}"
            heard[update["version"]] = update
        return any(update["atp"] == 8 for update in heard.values())

    with open_and_running(world, updates__breakdown=True, updates__pubsub=True) as engine:
        world.send("inventory.orders", placed(0, 2, correlation_id="trace-7"))
        world.flush()
        until(hear, 10, "the number on Pub/Sub")
        assert engine.stop() == 0, engine.text()  # Kafka is told at the same time and hears it a moment later
    listener.close()
    everything = [Update.model_validate_json(record.value) for record in world.read("atp.updates.high")]
    [sent] = [update for update in everything if update.atp == 8]
    assert sent == Update.model_validate(heard[sent.version])
    assert (sent.atp, sent.previous, sent.correlation_id) == (8, 10, "trace-7")
    assert sent.breakdown is not None
    assert (sent.breakdown.available, sent.breakdown.open, sent.breakdown.atp) == (
        {"EAST": [10], "WEST": [0]},
        [8],
        [8],
    )


# --- rubbish ---------------------------------------------------------------------------------------------------------


def test_rubbish_at_full_speed_costs_neither_memory_nor_the_good_events(world: Any) -> None:
    rubbish = [
        b'{"event_id":"torn","type":"stock_rec',
        b"\xff\xfe\x00" * 300,
        b"[" * 20_000,
        b'"' + b"x" * 5_000 + b'"',
        orjson.dumps({**received(0, 1), "type": "stock_teleported"}),
        orjson.dumps({**received(0, 1), "item": "NO SUCH"}),
        orjson.dumps({**received(0, 1), "location": "NOWHERE"}),
        orjson.dumps({**received(0, 1), "item": "NOTHING"}),
        orjson.dumps({**received(0, 1), "quantity": 1e300}),
    ]
    with open_and_running(world) as engine:
        [worker] = engine.wait_for_workers()
        sizes, latencies = [], []
        for wave in range(30):
            for number in range(1_500):
                world.send("inventory.warehouse", rubbish[number % len(rubbish)], partition=number % 2)
            began = time.monotonic()
            take_in(world, 0, 1)
            wait_for(world, 11 + wave, seconds=10)
            latencies.append(time.monotonic() - began)
            sizes.append(worker.memory_info().rss)
        until(lambda: len(world.read("inventory.dead_letters")) == 45_000, 20, "all of it in the dead letters")
    assert sorted(latencies)[15] < 1.0, latencies
    # 90 MB went by since the tenth wave; what clients buffer in advance is bounded by 32 MB.
    assert sizes[-1] - sizes[9] < 40_000_000, sizes


# --- refusing to start -----------------------------------------------------------------------------------------------


def test_a_second_engine_on_the_same_state_is_refused(
    world: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(state_folder, "LOCK_WAIT_S", 0.5)
    with open_and_running(world):
        assert supervisor.run(world.settings()) == 1
        said = capsys.readouterr().err
        assert f"state.dir {world.state_dir} is in use by another engine: stop it first" in said
        take_in(world, 0, 1)
        wait_for(world, 11, seconds=3)  # the first one does not mind


def test_another_number_of_shards_is_refused_as_wrong_configuration(world: Any) -> None:
    with open_and_running(world, shards=16) as engine:
        assert engine.stop() == 0
    with Engine(world, shards=32) as engine:
        assert engine.wait(20) == 2
    assert "shards: 32" in engine.text() and "set shards=16" in engine.text(), engine.text()
    assert "Traceback" not in engine.text()


def test_wrong_settings_are_refused_before_anything_is_touched(world: Any) -> None:
    with Engine(world, dedup_window="soon") as engine:
        assert engine.wait(20) == 2
    assert "dedup_window" in engine.text() and "soon" in engine.text(), engine.text()
    assert not world.state_dir.exists()


@pytest.mark.parametrize("missing", ["Kafka", "Redis"])
def test_without_its_servers_it_says_what_is_missing_and_ends(world: Any, missing: str) -> None:
    world.create_topics()
    address = f"127.0.0.1:{free_port()}"
    away = {"Kafka": {"kafka__bootstrap_servers": address}, "Redis": {"redis__url": f"redis://{address}/0"}}[missing]
    with Engine(world, **away) as engine:
        assert engine.wait(20) == 1  # ten are promised; a busy test machine gets as many again
    (line,) = engine.text().splitlines()  # no terminal, so the log is JSON, and a refused start one line of it
    assert json.loads(line)["event"].startswith(f"{missing} at ") and address in line, engine.text()
    assert "Traceback" not in engine.text()


def test_missing_topics_are_named_with_what_would_make_them(world: Any) -> None:
    with Engine(world) as engine:
        assert engine.wait(10) == 1
    assert "does not exist: run `atp topics create`" in engine.text(), engine.text()


def test_told_to_wait_it_keeps_trying_until_its_servers_are_there(world: Any) -> None:
    open_shop(world)
    world.send("inventory.warehouse", event("stock_received", item=clock(0), location="WEST", quantity=3))
    world.flush()
    world.servers.kill_redis()
    with Engine(world, "--wait") as engine:
        until(lambda: engine.text().count("trying again") > 1, 20, engine.text)
        engine.still_runs()
        world.servers.restart_redis(empty=False)
        wait_for(world, 3)
        assert engine.stop() == 0


def test_a_worker_whose_supervisor_ends_before_its_errand_ends_silently() -> None:
    """Workers load what they need while the supervisor still finds out what to run; that may be nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.processes.worker"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
