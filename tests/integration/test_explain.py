"""Why a number is what it is, asked as an operator does, of a running engine on real Kafka and Redis."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from flows.embedded.child import free_port
from flows.inspection import doubtful
from flows.inspection.explained_view import day_of, lines_of
from flows.inspection.explaining import explain
from tests.running import Engine, until
from tests.shop import clock, event, open_shop, placed, received, take_in, wait_for


def ask(world: Any, *words: str, code: int = 0) -> str:
    """Ask on the command line."""
    done = subprocess.run(
        world.command("explain", *words),
        env=world.env(),
        cwd=world.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def names(term: dict[str, Any]) -> dict[str, int]:
    """Give every term of a tree by its name and what it is of."""
    found = {f"{term['name']} {term.get('of', '')}".strip(): term["value"]}
    for child in term.get("children", ()):
        found |= names(child)
    return found


def test_a_number_is_explained_with_what_the_records_say_and_the_terms_add_up(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 20)
    with Engine(world):
        wait_for(world, 20)
        world.send("inventory.orders", placed(0, 5, order_id="SO-A"))
        withheld = event("stock_withheld", item=clock(0), location="EAST", quantity=2, source="wms")
        world.send("inventory.warehouse", withheld)
        wait_for(world, 13)
        key = f"web:{clock(0)}"
        world.send("inventory.channel_items", {"channel": "web", "item": clock(0), "buffer_quantity": 3}, key=key)
        wait_for(world, 10)
        said = json.loads(ask(world, clock(0), "web", "--json"))
        assert said["agrees"] and said["published"] == 10 and said["tree"]["value"] == 10, said
        terms = names(said["tree"])
        assert terms["on_hand EAST"] == 20 and terms["withheld EAST"] == -2 and terms["buffer_quantity"] == -3, terms
        assert terms["soft_unlocated web"] == -5 and terms["order_line SO-A 1"] == -5
        text = "\n".join(lines_of(explain(world.settings(), clock(0), "web")))
        assert "buffer quantity" in text and "inventory.channel_items/0@" in text and "published: 10" in text, text

        world.redis.hset(f"{world.redis_prefix}atp:{clock(0)}", "web", 11)
        found = explain(world.settings(), clock(0), "web")
        assert not found.agrees and found.published == 11 and "the terms come to 10" in found.doubts[0], found

        with pytest.raises(ValueError, match="day 0 alone, got 3"):
            explain(world.settings(), clock(0), "web", 3)
        assert "is no channel of inventory.channels; there are: " in explain(world.settings(), clock(0), "no").doubts[0]
        assert f"published are: {clock(0)}" in ask(world, f"{clock(0)}9", "web", code=1)
        assert explain(world.settings(), "NEVER-SEEN", "web").state == "never_seen"
        world.send("inventory.warehouse", event("stock_received", item="EARLY", location="EAST", quantity=1))
        world.flush()
        assert explain(world.settings(), "EARLY", "web").state == "parked"
        world.send("inventory.items", None, key=clock(0))
        world.flush()
        until(
            lambda: explain(world.settings(), clock(0), "web").state == "tombstoned",
            60,
            lambda: str(explain(world.settings(), clock(0), "web")),
        )
    until(
        lambda: any("no engine runs" in doubt for doubt in explain(world.settings(), clock(1), "web").doubts),
        60,
        "an engine that ended is still said to run",
    )


def test_what_is_open_who_is_silent_and_what_waits_is_doubted(world: Any) -> None:
    world.config.write_text('[sources.erp]\nstale_after = "1s"\n')
    port = free_port()
    # One update in a quarter of an hour: the first number of all takes it.
    open_shop(world, max_updates_per_second=0.001)
    take_in(world, 0, 20, source="erp")
    with Engine(world, metrics__port=port):
        wait_for(world, 20)
        goods = event("stock_received", item=clock(0), location="WEST", quantity=1, receipt_id="PO-1")
        world.send("inventory.supply", event("receipt_expected", item=clock(0), location="WEST", quantity=1,
                   receipt_id="PO-1", eta="2026-01-01T00:00:00Z"))  # fmt: skip
        world.send("inventory.warehouse", goods)
        world.send("inventory.warehouse", {**goods, "event_id": "AGAIN"})  # more than was ordered
        world.send("inventory.warehouse", event("stock_adjusted", item=clock(0), location="EAST", quantity=-23))
        world.send("inventory.warehouse", event("stock_adjusted", item=clock(0), location="WEST", quantity=7))
        wait_for(world, 9)
        for number in (10, 11):  # rises, which the budget holds up
            world.send("inventory.warehouse", received(0, 1, source="wms") | {"location": "WEST"})
            wait_for(world, number)
        wrong = {("negative_on_hand", "EAST"), ("oversold", "EAST"), ("over_received", "WEST")}
        for asked in (world.settings(metrics__port=port), world.settings()):  # with the engine's endpoint, and without

            def is_doubted(asked: Any = asked) -> bool:
                found = explain(asked, clock(0), "web")
                codes = {(one.code, one.location) for one in found.exceptions}
                return codes == wrong and found.stale_sources == ("erp",) and found.waits

            until(is_doubted, 60, lambda asked=asked: str(explain(asked, clock(0), "web")))
            said = "\n".join(lines_of(explain(asked, clock(0), "web")))
            assert "note: over_received of PO-1 at WEST is open since 20" in said, said
            assert "note: erp is silent for longer than its stale_after" in said and "update" in said, said
        told = json.loads(ask(world, clock(0), "web", "--json"))
        assert told["stale_sources"] == ["erp"] and told["waits"] is True
        assert {(one["code"], one["location"]) for one in told["exceptions"]} == wrong

        # Much of the same item that is over since: what is open lies further back than is read, and that is said.
        over = {"code": "over_received", "item": clock(0), "state": "closed", "location": "EAST", "reference": "PO-9"}
        over |= {"first_seen": "2026-01-01T00:00:00Z", "last_seen": "2026-01-01T00:00:00Z", "quantities": {}}
        for _ in range(2 * doubtful.OF_ITEM):
            world.send("inventory.exceptions", over, key=clock(0))
        world.flush()
        found = explain(world.settings(), clock(0), "web")
        assert {one.code for one in found.exceptions} == {"negative_on_hand", "oversold"}, found
        assert any("atp exceptions --item" in doubt for doubt in found.doubts), found


def test_a_day_is_a_number_or_a_date_from_today_on() -> None:
    assert day_of("0", "UTC") == 0 and day_of("17", "UTC") == 17
    with pytest.raises(ValueError, match="expected a number of days from today or a date"):
        day_of("soon", "UTC")
    with pytest.raises(ValueError, match="expected today or later, got 2020-01-01"):
        day_of("2020-01-01", "UTC")
