"""A policy that contradicts itself goes to the dead letters, and the older one stays in force, also after a restart."""

from __future__ import annotations

import json
from typing import Any

from tests.running import Engine, until
from tests.shop import clock, open_shop, promised, send_channel, take_in, wait_for

#: topic, record, and what of it the message has to name
WRONG: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("channels", {"channel": "web", "locations": ["EAST", "WEST"], "cap": 5, "minimum": 6}, "minimum"),
    ("channels", {"channel": "web", "locations": ["EAST", "ATLANTIS"]}, "ATLANTIS"),
    ("channels", {"channel": "web", "locations": ["EAST", "WEST"], "buffer_quantity": -1}, "buffer_quantity"),
    ("channels", {"channel": "web", "locations": ["EAST", "WEST"], "buffer_percent": 101}, "buffer_percent"),
    ("channels", {"channel": "web", "locations": ["EAST", "WEST"], "horizon_days": 181}, "horizon_days"),
    ("locations", {"location": "WEST", "parent": "EAST"}, "parent"),
    ("items", {"item": clock(0), "base_uom": "kg"}, "base_uom"),
    ("items", {"item": clock(0), "safety_stock": {"EAST": -3}}, "safety_stock"),
    ("channel_items", {"channel": "web", "item": clock(0), "cap": 1, "minimum": 2}, "minimum"),
    ("channel_items", {"channel": "kiosk", "item": clock(0), "cap": 1}, "kiosk"),
)


def test_a_policy_that_contradicts_itself_leaves_the_older_one_in_force(world: Any) -> None:
    open_shop(world)
    world.send("inventory.locations", {"location": "EAST", "parent": "WEST"}, key="EAST")
    send_channel(world, buffer_quantity=1, cap=50)
    take_in(world, 0, 10)
    with Engine(world) as engine:
        wait_for(world, 9)
        for topic, record, _ in WRONG:
            key = f"{record['channel']}:{record['item']}" if topic == "channel_items" else record[topic[:-1]]
            world.send(f"inventory.{topic}", record, key=key)
        world.flush()
        until(
            lambda: len(world.read("inventory.dead_letters")) >= len(WRONG),
            40,
            lambda: f"{len(WRONG)} dead letters: {world.read('inventory.dead_letters')}",
        )
        take_in(world, 0, 5)
        wait_for(world, 14)
        engine.kill_everything()
    letters = {letter.value: letter.headers for letter in world.read("inventory.dead_letters")}
    assert len(letters) == len(WRONG)
    for topic, record, named in WRONG:
        headers = letters[json.dumps(record).encode()]
        assert headers["code"] == "bad_value" and named in headers["message"], headers
        assert headers["topic"] == world.topic(f"inventory.{topic}")
    with Engine(world) as engine:
        take_in(world, 0, 20)
        wait_for(world, 34)
        send_channel(world, buffer_quantity=2, cap=30)
        wait_for(world, 30)
        assert engine.stop() == 0
    assert promised(world) == 30
