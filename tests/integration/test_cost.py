"""What one message may cost: in dead letters, in memory, and in the time of others. The bounds stand in docs/guarantees.md."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.running import Engine, until
from tests.shop import ago, clock, event, open_shop, received, wait_for

LINES = 1_000
#: What all dead letters of a message may take, as a multiple of it.
TIMES_MAX = 8


def order(items: list[str], padding: int = 0, line: dict[str, Any] | None = None) -> bytes:
    """Give an order of a line for each item, as short as JSON can be, each line longer by so many bytes."""
    more = {"note": "x" * padding} if padding else {}
    lines = [{"line_id": str(n), "item": item, "quantity": 1, **more, **(line or {})} for n, item in enumerate(items)]
    head = {"event_id": "big", "type": "order_placed", "source": "oms", "occurred_at": ago(1), "order_id": "SO-big"}
    return json.dumps({**head, "channel": "web", "lines": lines}, separators=(",", ":")).encode()


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


@pytest.mark.parametrize(
    ("value", "key", "named"),
    [
        (order(UNKNOWN, 900), b"SO-big", LINES),
        (order(SCATTERED, 900), b"SO-big", LINES),
        (order(UNKNOWN), b"SO-big", LINES),
        (order(SCATTERED), None, LINES),
        (order(SCATTERED), b"k" * 100_000, LINES),
        (order(UNKNOWN, line={"quantity": "a lot"}), b"SO-big", LINES),
        # Lines that hold nothing: letters of their own would be larger than 8 times such a line.
        (order([]).replace(b'"lines":[]', b'"lines":[' + b",".join([b"{}"] * LINES) + b"]"), None, 0),
    ],
    ids=["long-lines", "long-lines-of-many-items", "short-lines", "many-items", "large-key", "bad-lines", "empty-lines"],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_all_letters_of_a_message_take_at_most_eight_times_its_size(
    world: Any, value: bytes, key: bytes | None, named: int, workers: int
) -> None:
    open_shop(world)
    with Engine(world, reference_grace="100ms", workers=workers) as engine:
        world.send("inventory.orders", value, key=key)
        world.send("inventory.warehouse", received(0, 7))
        world.flush()
        wait_for(world, 7)

        def lines() -> set[str]:
            return {letter.headers.get("line_id", "") for letter in world.read("inventory.dead_letters")}

        until(lambda: len(lines() - {""}) == named and lines(), 60, lambda: f"{named} lines, got {len(lines())}")
        assert engine.stop() == 0, engine.text()
    found = world.read("inventory.dead_letters")
    assert cost(found) <= TIMES_MAX * (len(value) + len(key or b"")), f"{len(found)} letters, {cost(found)} bytes"
    whole = [letter for letter in found if letter.value == value]
    assert whole and all(letter.key == key for letter in whole), "one has all of it"
    assert all(letter.value in (value, b"") for letter in found)
