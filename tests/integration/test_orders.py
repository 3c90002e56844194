"""`atp orders`: how an order stands, over its items, through a crash, a start from scratch, and when switched off."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from flows.inspection.orders import Order, order
from tests.integration.test_looking import atp
from tests.running import Engine, until
from tests.shop import clock, event, open_shop, take_in, wait_for

pytestmark = pytest.mark.timeout(300)


def line(number: int, quantity: int, **more: Any) -> dict[str, Any]:
    return {"line_id": str(number + 1), "item": clock(number), "quantity": quantity, **more}


def said(world: Any, order_id: str) -> Order | None:
    return order(world.settings(), order_id)


def states(world: Any, order_id: str) -> dict[str, str]:
    found = said(world, order_id)
    return {} if found is None else {one.item: one.state for one in found.lines}


def test_an_order_is_found_with_all_of_its_lines_and_follows_a_crash_and_a_start_from_scratch(world: Any) -> None:
    open_shop(world, items=3)
    for number in range(3):
        take_in(world, number, 20)
    with Engine(world) as engine:
        wait_for(world, 20)
        placed = event("order_placed", order_id="SO-1", channel="web", source="oms", event_id="O-1")
        world.send("inventory.orders", placed | {"lines": [line(0, 5), line(1, 2), line(2, 1)]})
        world.send(
            "inventory.orders",
            event("order_allocated", order_id="SO-1", source="oms", lines=[line(0, 3, location="EAST")]),
        )
        shipped = event("shipment_confirmed", order_id="SO-1", line_id="2", item=clock(1), location="EAST", quantity=2)
        world.send("inventory.warehouse", shipped)
        gone = {name: value for name, value in line(2, 1).items() if name != "quantity"}
        world.send("inventory.orders", event("order_cancelled", order_id="SO-1", source="oms", lines=[gone]))
        world.flush()
        wanted = {clock(0): "open", clock(1): "delivered", clock(2): "cancelled"}
        until(lambda: states(world, "SO-1") == wanted, 60, lambda: str(said(world, "SO-1")))
        engine.kill_everything()
    done = atp(world, "orders", "SO-1", "--json")
    first, second, third = json.loads(done.stdout)["lines"]
    assert (first["ordered"], first["allocated"], first["hard"], first["soft"]) == (5, {"EAST": 3}, {"EAST": 3}, 2)
    assert first["placed"]["event_id"] == "O-1" and first["channel"] == "web"
    assert second["delivered"] == {"EAST": 2} and not second["hard"]
    assert third["cancelled"] is not None
    table = atp(world, "orders", "SO-1")
    assert table.returncode == 0 and "delivered" in table.stdout
    for unknown in ("SO-9", "<script>"):
        none = atp(world, "orders", unknown)
        assert (none.returncode, none.stdout) == (1, "") and unknown in none.stderr

    # Redis is emptied of it, and a line that nobody knows any more is there: a start from scratch puts both right.
    world.redis.delete(f"{world.redis_prefix}order:SO-1")
    world.redis.hset(f"{world.redis_prefix}order:SO-0", f"1 {clock(0)}", '{"run":1,"state":"open"}')
    shutil.rmtree(world.state_dir)
    with Engine(world, "--from-scratch", "--until-caught-up") as engine:
        assert engine.wait(90) == 0, engine.text()
    assert states(world, "SO-1") == wanted
    assert not world.redis.exists(f"{world.redis_prefix}order:SO-0")
    off = atp(world, "orders", "SO-1", updates__orders="false")
    assert off.returncode == 1 and "updates.orders" in off.stderr


def test_switched_off_nothing_of_orders_is_written_and_switched_on_all_are(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 20)
    world.send(
        "inventory.orders", event("order_placed", order_id="SO-1", channel="web", source="oms", lines=[line(0, 5)])
    )
    world.flush()
    with Engine(world, "--until-caught-up", updates__orders=False) as engine:
        assert engine.wait(60) == 0, engine.text()
    assert said(world, "SO-1") is None
    with Engine(world, "--until-caught-up") as engine:
        assert engine.wait(60) == 0, engine.text()
    assert states(world, "SO-1") == {clock(0): "open"}
