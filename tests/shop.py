"""A small shop in a world of real servers: two locations, one channel, a few items, and the events that fill it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.running import until

_numbers = itertools.count(1)


def ago(seconds: float = 60) -> str:
    """Give a time in the recent past (or, below 0, to come), as events carry it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def clock(number: int) -> str:
    """Name an item."""
    return f"RETRO-CLOCK-{number}"


def open_shop(world: Any, items: int = 1, partitions: int = 2, **channel: Any) -> None:
    """Make topics, two locations, the channel `web` and some items."""
    world.create_topics(kafka__partitions=partitions)
    for location in ("EAST", "WEST"):
        world.send("inventory.locations", {"location": location}, key=location)
    send_channel(world, **channel)
    for number in range(items):
        world.send("inventory.items", {"item": clock(number)}, key=clock(number))
    world.flush()


def send_channel(world: Any, **channel: Any) -> None:
    """Say what the channel `web` may promise."""
    world.send("inventory.channels", {"channel": "web", "locations": ["EAST", "WEST"], **channel}, key="web")
    world.flush()


def event(kind: str, **fields: Any) -> dict[str, Any]:
    """Give an event with an id of its own."""
    head = {"event_id": f"e{next(_numbers)}", "type": kind, "source": "wms", "occurred_at": ago()}
    return head | fields


def received(number: int, quantity: int, **fields: Any) -> dict[str, Any]:
    """Goods came in."""
    return event("stock_received", item=clock(number), location="EAST", quantity=quantity, **fields)


def placed(number: int, quantity: int, **fields: Any) -> dict[str, Any]:
    """An order wants goods from anywhere."""
    line = {"line_id": "1", "item": clock(number), "quantity": quantity}
    head = {"order_id": f"SO-{next(_numbers)}", "channel": "web", "lines": [line], "source": "oms"}
    return event("order_placed", **head | fields)


def take_in(world: Any, number: int, quantity: int, **fields: Any) -> None:
    """Send a receipt, and wait for Kafka."""
    world.send("inventory.warehouse", received(number, quantity, **fields))
    world.flush()


def promised(world: Any, number: int = 0, channel: str = "web") -> int | None:
    """Read what the channel may promise, as it would."""
    text = world.redis.hget(f"{world.redis_prefix}atp:{clock(number)}", channel)
    return None if text is None else int(text)


def wait_for(world: Any, quantity: int | None, number: int = 0, seconds: float = 40.0) -> None:
    """Wait until the channel reads that number."""
    until(
        lambda: promised(world, number) == quantity,
        seconds,
        lambda: f"{clock(number)} at {quantity}, is at {promised(world, number)}",
    )
