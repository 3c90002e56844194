"""What one message may cost: in dead letters, and in the time of others. The bounds stand in docs/tuning.md."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import Any

import pytest

from tests.running import Engine, until
from tests.shop import clock, event, open_shop, promised, received, wait_for

LINES = 1_000
#: What all dead letters of a message may take, as a multiple of it.
TIMES_MAX = 8


def order(items: list[str], padding: int = 0, line: dict[str, Any] | None = None) -> bytes:
    """Give an order of a line for each item, as short as JSON can be, each line longer by so many bytes."""
    more = {"note": "x" * padding} if padding else {}
    lines = [{"line_id": str(n), "item": item, "quantity": 1, **more, **(line or {})} for n, item in enumerate(items)]
    whole = event("order_placed", source="oms", order_id="SO-big", channel="web", lines=lines)
    return json.dumps(whole, separators=(",", ":")).encode()


def cost(letters: list[Any]) -> int:
    """Give the bytes of key, value and headers."""
    return sum(
        len(letter.key or b"")
        + len(letter.value or b"")
        + sum(len(name) + len(text.encode()) for name, text in letter.headers.items())
        for letter in letters
    )


UNKNOWN = ["X"] * LINES
SCATTERED = [f"X{number}" for number in range(LINES)]
#: what is sent: the value, the key, and how many of its lines have letters of their own
MESSAGES = {
    "long lines": (order(UNKNOWN, 900), b"SO-big", LINES),
    "long lines of many items": (order(SCATTERED, 900), b"SO-big", LINES),
    "short lines": (order(UNKNOWN), b"SO-big", LINES),
    "short lines of many items": (order(SCATTERED), None, LINES),
    "a large key": (order(SCATTERED), b"k" * 100_000, LINES),
    "bad lines": (order(UNKNOWN, line={"quantity": "a lot"}), b"SO-big", LINES),
    # Letters of their own would be larger than eight times such a line.
    "empty lines": (order([]).replace(b'"lines":[]', b'"lines":[' + b",".join([b"{}"] * LINES) + b"]"), None, 0),
    "two lines": (order(UNKNOWN[:2]), b"SO-2", 2),
    "an event": (json.dumps(event("stock_received", item="X", quantity=1)).encode(), b"X", 0),
}


@pytest.mark.parametrize("workers", [1, 2])
def test_all_letters_of_a_message_take_at_most_eight_times_its_size(world: Any, workers: int) -> None:
    open_shop(world)
    with Engine(world, reference_grace="100ms", workers=workers) as engine:
        for value, key, _ in MESSAGES.values():
            world.send("inventory.warehouse" if b"stock_received" in value else "inventory.orders", value, key=key)
        world.send("inventory.warehouse", received(0, 7))
        world.flush()
        wait_for(world, 7)
        wanted = sum(max(1, named) for _, _, named in MESSAGES.values())
        until(lambda: len(world.read("inventory.dead_letters")) >= wanted, 60, f"{wanted} letters")
        assert engine.stop() == 0, engine.text()
    places = {record.value: record for topic in ("orders", "warehouse") for record in world.read(f"inventory.{topic}")}
    found = defaultdict(list)
    for letter in world.read("inventory.dead_letters"):
        found[letter.headers["topic"], letter.headers["partition"], letter.headers["offset"]].append(letter)
    for name, (value, key, named) in MESSAGES.items():
        topic = world.topic("inventory.warehouse" if b"stock_received" in value else "inventory.orders")
        letters = found[topic, str(places[value].partition), str(places[value].offset)]
        most = TIMES_MAX * (len(value) + len(key or b""))
        assert cost(letters) <= most, f"{name}: {len(letters)} letters, {cost(letters)} bytes of {most}"
        assert len({letter.headers.get("line_id", "") for letter in letters} - {""}) == named, name
        whole = [letter for letter in letters if letter.value == value]
        assert whole and all(letter.key == key for letter in whole), f"{name}: one has all of it"
        assert all(letter.value in (value, b"") for letter in letters), name


#: The mark is 250 ms and three times a quiet p99, and `python -m benchmarks bulky` measures it. What is to be seen here
#: is an order that stops all others, for 20 s: far from what a busy machine does to a single event.
STANDSTILL_S = 5.0
EVENTS = 40


def slowest_of(world: Any, engine: Engine, totals: range) -> float:
    """Receive one more of an item, again and again; give the longest time until it could be read, in seconds."""

    def readable_after(total: int) -> float:
        began = time.monotonic()
        world.send("inventory.warehouse", received(0, 1))
        until(lambda: promised(world) == total, 40, engine.text)
        return time.monotonic() - began

    return max(readable_after(total) for total in totals)


def test_a_very_large_order_stops_nobody_else(world: Any) -> None:
    open_shop(world, items=2)
    known = [clock(1)] * LINES
    with Engine(world) as engine:
        world.send("inventory.warehouse", received(0, 1))
        world.flush()
        wait_for(world, 1)
        quiet = slowest_of(world, engine, range(2, 2 + EVENTS))
        for number, items in enumerate((UNKNOWN, SCATTERED, known), 1):  # what is unknown is refused a second later
            world.send("inventory.orders", order(items, 900), key="SO-big")
            beside = slowest_of(world, engine, range(2 + number * EVENTS, 2 + (number + 1) * EVENTS))
            assert beside <= max(3 * quiet, STANDSTILL_S), f"{beside:.2f} s, {quiet:.2f} s without"
        until(lambda: len(world.read("inventory.dead_letters")) == 2 * LINES, 60, "the unknown lines' letters")
        assert engine.stop() == 0, engine.text()
