"""The whole path on real servers: events in, numbers in Redis and on Kafka."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.processes import supervisor


def at(seconds_ago: float = 60) -> str:
    """Give a time in the recent past, as events carry it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat().replace("+00:00", "Z")


def shop(world: Any, items: int = 1, **channel: Any) -> None:
    """Make topics, two locations, one channel and some items."""
    world.create_topics()
    for location in ("EAST", "WEST"):
        world.send("inventory.locations", {"location": location}, key=location)
    facts = {"channel": "web", "locations": ["EAST", "WEST"], **channel}
    world.send("inventory.channels", facts, key="web")
    for number in range(items):
        code = f"RETRO-CLOCK-{number}"
        world.send("inventory.items", {"item": code}, key=code)
    world.flush()


def received(number: int, quantity: int, event: str, location: str = "EAST", ago: float = 60) -> dict[str, Any]:
    """Goods came in."""
    return {
        "event_id": event,
        "type": "stock_received",
        "source": "wms",
        "occurred_at": at(ago),
        "item": f"RETRO-CLOCK-{number}",
        "location": location,
        "quantity": quantity,
    }


def updates(world: Any) -> list[dict[str, Any]]:
    """Every number sent to Kafka, of all lanes."""
    lanes = ("critical", "high", "normal", "bulk")
    return [record.json() for lane in lanes for record in world.read(f"atp.updates.{lane}")]


def last_updates(world: Any) -> dict[str, dict[str, Any]]:
    """What a reader of all lanes ends up with: the highest version of each item and channel."""
    newest: dict[str, dict[str, Any]] = {}
    for update in sorted(updates(world), key=lambda update: update["version"]):
        newest[f"{update['item']}:{update['channel']}"] = update
    return newest


def catch_up(world: Any, **overrides: Any) -> None:
    """Run the engine until it has published the effect of everything."""
    assert supervisor.run(world.settings(**overrides), until_caught_up=True) == 0


def test_goods_received_can_be_promised(world: Any) -> None:
    shop(world)
    world.send("inventory.warehouse", received(0, 7, "e1"))
    world.flush()
    started = time.monotonic()
    catch_up(world)
    assert time.monotonic() - started < 20
    assert world.redis.hget(f"{world.redis_prefix}atp:RETRO-CLOCK-0", "web") == "7"
    assert world.redis.hget(f"{world.redis_prefix}position:RETRO-CLOCK-0", "EAST:on_hand") == "7"
    newest = last_updates(world)["RETRO-CLOCK-0:web"]
    assert newest["atp"] == 7
    assert newest["version"] == int(world.redis.hget(f"{world.redis_prefix}atp:RETRO-CLOCK-0", "_version"))
    [position] = [record.json() for record in world.read("inventory.positions")][-1:]
    assert position["locations"]["EAST"]["on_hand"] == 7


def test_every_update_says_what_was_sent_before_it(world: Any) -> None:
    shop(world)
    for number in range(5):
        world.send("inventory.warehouse", received(0, 3, f"e{number}"))
        world.flush()
        catch_up(world)
    sent = sorted(updates(world), key=lambda update: update["version"])
    assert [(update["previous"], update["atp"]) for update in sent] == list(
        zip([None, *(update["atp"] for update in sent)], [update["atp"] for update in sent], strict=False)
    )
    assert sent[-1]["atp"] == 15


def test_garbage_is_kept_with_its_bytes_and_changes_nothing(world: Any) -> None:
    shop(world)
    good = received(0, 5, "good")
    # One key, so one partition: of two that contradict each other the first in Kafka stands.
    world.send("inventory.warehouse", b'{"half": ', key="K1")
    world.send("inventory.warehouse", good, key="K1")
    world.send("inventory.warehouse", good, key="K1")  # a repeat: dropped, not dead
    world.send("inventory.warehouse", {**good, "quantity": 6}, key="K1")
    world.send("inventory.warehouse", {**good, "event_id": "e2", "item": "NO-SUCH"}, key="K1")
    world.send("inventory.warehouse", {**good, "event_id": "e3", "location": "NO-SUCH"}, key="K1")
    world.send("inventory.warehouse", {**good, "event_id": "e4", "occurred_at": at(48 * 3600)}, key="K1")
    world.flush()
    catch_up(world)
    dead = world.read("inventory.dead_letters")
    assert sorted(letter.headers["code"] for letter in dead) == [
        "conflict",
        "late",
        "not_json",
        "unknown_item",
        "unknown_location",
    ]
    [broken] = [letter for letter in dead if letter.headers["code"] == "not_json"]
    assert (broken.value, broken.key) == (b'{"half": ', b"K1")
    assert world.redis.hget(f"{world.redis_prefix}atp:RETRO-CLOCK-0", "web") == "5"


def test_a_second_run_goes_on_where_the_first_ended(world: Any) -> None:
    shop(world, items=3)
    for number in range(3):
        world.send("inventory.warehouse", received(number, 10, f"first-{number}"))
    world.flush()
    catch_up(world)
    before = len(updates(world))
    for number in range(3):
        world.send("inventory.warehouse", received(number, 10, f"first-{number}"))
    world.flush()
    catch_up(world)
    assert len(updates(world)) == before, "repeats were published"
    world.send("inventory.warehouse", received(1, 1, "second"))
    world.flush()
    catch_up(world)
    assert world.redis.hget(f"{world.redis_prefix}atp:RETRO-CLOCK-1", "web") == "11"
