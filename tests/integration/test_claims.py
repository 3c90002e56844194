"""Whose is it: what order lines claim is read from Redis, follows a crash, and leaves with what it spoke of."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

from tests.judging import hashes
from tests.running import Engine, until
from tests.shop import clock, event, open_shop, placed, take_in, wait_for


def read(world: Any, *more: str) -> str:
    """Ask as an operator would."""
    done = subprocess.run(
        world.command("get", clock(0), "--claims", *more),
        env=world.env(),
        cwd=world.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def lines(world: Any) -> list[tuple[str, int, dict[str, int]]]:
    return [(claim["order_id"], claim["soft"], claim["hard"]) for claim in json.loads(read(world, "--json"))["claims"]]


def allocated(order_id: str, quantity: int) -> dict[str, Any]:
    line = {"line_id": "1", "item": clock(0), "quantity": quantity, "location": "EAST"}
    return event("order_allocated", order_id=order_id, lines=[line], source="oms")


def test_claims_are_listed_oldest_first_and_are_right_after_a_crash(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 20)
    with Engine(world) as engine:
        wait_for(world, 20)
        for order_id, quantity in (("SO-A", 5), ("SO-B", 3)):
            world.send("inventory.orders", placed(0, quantity, order_id=order_id))
        world.send("inventory.orders", allocated("SO-A", 2))
        wait_for(world, 12)
        until(lambda: lines(world) == [("SO-A", 3, {"EAST": 2}), ("SO-B", 3, {})], 20, lambda: str(lines(world)))
        assert (
            json.loads(read(world, "web", "--json"))["claims"]
            and not json.loads(read(world, "shop", "--json"))["claims"]
        )
        world.redis.hset(f"{world.redis_prefix}claims:{clock(0)}", "somebody", "elses")
        assert len(lines(world)) == 2
        table = read(world)
        assert table.index("SO-A") < table.index("SO-B") and "EAST" in table and "web" in table
        engine.kill_everything()
    cancelled = event("order_cancelled", order_id="SO-B", lines=[{"line_id": "1", "item": clock(0)}], source="oms")
    world.send("inventory.orders", cancelled)
    world.flush()
    with Engine(world):
        wait_for(world, 15)
        until(lambda: lines(world) == [("SO-A", 3, {"EAST": 2})], 20, lambda: str(lines(world)))
        world.redis.delete(f"{world.redis_prefix}claims:{clock(0)}")
        redo = ["republish", "--item", clock(0)]
        subprocess.run(world.command(*redo), env=world.env(), cwd=world.folder, check=True, capture_output=True)
        until(lambda: lines(world) == [("SO-A", 3, {"EAST": 2})], 20, lambda: str(lines(world)))
        world.send("inventory.items", None, key=clock(0))
        world.flush()
        until(lambda: not hashes(world, "claims"), 20, lambda: str(hashes(world, "claims")))


def test_a_start_from_scratch_removes_claims_of_what_is_not_known_any_more(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 20)
    world.send("inventory.orders", placed(0, 5, order_id="SO-A"))
    world.flush()
    with Engine(world, "--until-caught-up") as engine:
        assert engine.wait(60) == 0, engine.text()
    assert set(hashes(world, "claims")) == {clock(0)}
    stale = f"{world.redis_prefix}claims:FORGOTTEN"
    world.redis.hset(stale, "SO-9 1", '{"soft":1,"hard":{}}')
    shutil.rmtree(world.state_dir)
    with Engine(world, "--from-scratch", "--until-caught-up") as engine:
        assert engine.wait(60) == 0, engine.text()
    assert set(hashes(world, "claims")) == {clock(0)}
    assert lines(world) == [("SO-A", 5, {})]


def test_switched_off_nothing_of_them_is_written_and_switched_on_all_are(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 20)
    world.send("inventory.orders", placed(0, 5, order_id="SO-A"))
    world.flush()
    with Engine(world, "--until-caught-up", updates__claims=False) as engine:
        assert engine.wait(60) == 0, engine.text()
    assert hashes(world, "claims") == {}
    with Engine(world, "--until-caught-up") as engine:
        assert engine.wait(60) == 0, engine.text()
    assert lines(world) == [("SO-A", 5, {})]
