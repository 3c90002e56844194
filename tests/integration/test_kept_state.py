"""State that earlier versions wrote is read by this one. `tests/fixtures/make_state.py` makes a fixture."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from operators.ledger import FORMAT
from tests.fixtures.make_state import PARTITIONS, PREFIX, SETTINGS
from tests.judging import HOUR, Judge, differences, hashes, now_us
from tests.running import Engine, until
from tests.shop import ago

MINUTE = 60_000_000
FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
KEPT = sorted(FIXTURES.glob("state-*"))
#: What no passing of time changes: claims lapse, and with them what may be promised.
TIMELESS = ("on_hand", "quarantined", "in_transit", "hard_reserved")
#: Up to format 2 more was reserved than a line wants: these lines come under the rule of today at once.
CAPPED_FROM = 3


def figures(positions: dict[str, dict[str, str]], names: tuple[str, ...]) -> dict[str, dict[str, int]]:
    return {
        item: {name: int(text) for name, text in fields.items() if name.rpartition(":")[2] in names and int(text)}
        for item, fields in positions.items()
    }


def as_it_was_read(value: str) -> str:
    """Give an event as versions up to format 2 read it: every order_cancelled was one of the whole line."""
    if '"order_cancelled"' not in value:
        return value
    event = json.loads(value)
    for line in event["lines"]:
        line.pop("quantity", None)
    return json.dumps(event)


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.name)
def test_kept_state_is_read_and_goes_on(world: Any, kept: Path) -> None:
    world.topic_prefix = PREFIX
    world.create_topics(kafka__partitions=PARTITIONS)
    shutil.copytree(kept / "state", world.state_dir)
    facts = world.state_dir / "engine.json"
    known = msgspec.json.decode(facts.read_bytes())
    assert known["format"] <= FORMAT
    for topic, records in json.loads((kept / "topics.json").read_text()).items():
        for partition, key, value in records:
            text = value if known["format"] >= CAPPED_FROM else as_it_was_read(value)
            world.send(topic, text.encode(), key=key, partition=partition)
    world.flush()
    facts.write_bytes(msgspec.json.encode({**known, "inputs": None}))  # these topics stand in for the old ones
    numbers = json.loads((kept / "published.json").read_text())
    names = TIMELESS if known["format"] >= CAPPED_FROM else TIMELESS[:-1]
    expected = figures(numbers["position"], names)
    item = max(expected, key=lambda one: len(expected[one]))
    location = next(iter(expected[item])).partition(":")[0]
    with Engine(world, **SETTINGS) as engine:
        until(
            lambda: figures(hashes(world, "position"), names) == expected,
            60,
            lambda: f"{expected}, got {figures(hashes(world, 'position'), names)}\n{engine.text()}",
        )
        # And each promise, of each channel and day, as the naive model has it now: policies and claims were kept too.
        # What was in the future is so by the time of then (the newest accepted): these records were logged today.
        began = now_us()
        aged = began - 1000 * max(int(fields["_as_of"]) for fields in numbers["atp"].values())
        judge = Judge(world, 90 * 24 * HOUR + aged, MINUTE - aged)
        until(
            lambda: not differences(world, judge, (began, now_us())),
            30,
            lambda: "\n".join([*differences(world, judge, (began, now_us())), engine.text()]),
        )
        before = expected[item].get(f"{location}:on_hand", 0)
        world.send(
            "inventory.warehouse",
            {
                "event_id": "after-the-upgrade",
                "type": "stock_adjusted",
                "source": "upgrade",
                "occurred_at": ago(1),
                "item": item,
                "location": location,
                "quantity": 1000,
            },
        )
        world.flush()
        key = f"{world.redis_prefix}position:{item}"
        # In the item's scale, which some of the histories make finer than one.
        until(lambda: int(world.redis.hget(key, f"{location}:on_hand") or 0) >= before + 1000, 30, engine.text)
        assert engine.stop() == 0, engine.text()


def test_there_is_kept_state_of_this_format() -> None:
    formats = {msgspec.json.decode((kept / "state" / "engine.json").read_bytes())["format"] for kept in KEPT}
    assert FORMAT in formats, "run `python -m tests.fixtures.make_state tests/fixtures/state-N`"
