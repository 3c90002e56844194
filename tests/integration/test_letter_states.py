"""What became of dead letters: which are open, which were sent again and what of it, which could be sent again now."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
from typing import Any

import pytest

from schemas.remedies import REMEDIES
from tests.integration.test_dead_letters import atp, know, letters, wait_for_letters
from tests.running import Engine, until
from tests.shop import ago, clock, open_shop, placed, promised, received, take_in, wait_for

pytestmark = pytest.mark.timeout(300)


def states(world: Any, *arguments: str) -> list[tuple[str, str, int]]:
    """Give (code, state, attempts) of each letter, oldest first."""
    found = letters(world, "--oldest-first", *arguments)
    return [(one["code"], one["state"], one["attempts"]) for one in found]


def summary(world: Any, *arguments: str) -> dict[tuple[str, str], dict[str, Any]]:
    done = atp(world, "dead-letters", "summary", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {(row["code"], row["source"]): row for row in rows}


def test_a_letter_knows_what_became_of_it_and_the_open_ones_are_counted(shop: Any) -> None:
    stray = received(7, 5)
    shop.send("inventory.warehouse", stray, partition=1)
    shop.send("inventory.warehouse", b"{rubbish")
    shop.flush()
    wait_for_letters(shop, 2)
    assert {state for _, state, _ in states(shop)} == {"open"}
    assert atp(shop, "dead-letters", "replay", "--code", "unknown_item").returncode == 0  # too early
    wait_for_letters(shop, 3)
    told = [one for one in states(shop) if one[0] == "unknown_item"]
    assert told == [("unknown_item", "refused_again", 1), ("unknown_item", "open", 2)]
    [first, second] = [one for one in letters(shop, "--oldest-first") if one["code"] == "unknown_item"]
    assert first["refused_again_by"] == second["name"] and second["sent_again_at"] is None

    rows = summary(shop)
    assert set(rows) == {("unknown_item", "wms"), ("not_json", "")}
    row = rows["unknown_item", "wms"]
    assert (row["open"], row["replayed"], row["refused_again"], row["could_go_now"]) == (1, 1, 1, 0)
    assert (row["open_last_hour"], row["open_older"]) == (1, 0)
    assert row["next"] == REMEDIES["unknown_item"]
    nothing = atp(shop, "dead-letters", "replay", "--known")
    assert "0 sent, 0 refused" in nothing.stdout, nothing.stdout

    know(shop, 7)
    assert summary(shop)["unknown_item", "wms"]["could_go_now"] == 1
    assert "atp dead-letters replay --known" in atp(shop, "dead-letters", "summary").stdout
    done = atp(shop, "dead-letters", "replay", "--known")
    assert (done.returncode, "1 sent, 0 refused" in done.stdout) == (0, True), done.stdout + done.stderr
    wait_for(shop, 5, 7)
    applied = [("unknown_item", "applied", 1), ("unknown_item", "applied", 2)]
    until(lambda: [one for one in states(shop) if one[0] == "unknown_item"] == applied, 30, lambda: f"{states(shop)}")
    assert summary(shop)["unknown_item", "wms"]["open"] == 0
    assert "0 sent" in atp(shop, "dead-letters", "replay", "--known").stdout
    assert [one[:2] for one in states(shop, "--open")] == [("not_json", "open")]


def test_what_is_sent_while_no_engine_reads_is_pending(world: Any) -> None:
    open_shop(world)
    world.send("inventory.warehouse", received(7, 5))
    world.flush()
    with Engine(world, reference_grace=0) as engine:
        wait_for_letters(world, 1)
        assert engine.stop() == 0, engine.text()
    assert atp(world, "dead-letters", "replay", "--all").returncode == 0
    assert states(world) == [("unknown_item", "pending", 1)]


def test_all_that_was_unknown_is_looked_up(world: Any) -> None:
    open_shop(world, items=2)
    # The channel's record may be read before the location's, which is in another topic: it waits so long for it.
    with Engine(world, reference_grace="3s"):
        order = placed(0, 3, channel="app")
        order["lines"].append({"line_id": "2", "item": clock(1), "quantity": 4})
        world.send("inventory.warehouse", received(0, 5) | {"location": "NORTH"})
        world.send("inventory.warehouse", received(0, 2, uom="box"))
        world.send("inventory.orders", order)
        world.flush()
        wait_for_letters(world, 3)
        assert {code for code, _, _ in states(world)} == {"unknown_location", "unknown_uom", "unknown_channel"}
        assert not any(row["could_go_now"] for row in summary(world).values())
        world.send("inventory.locations", {"location": "NORTH"}, key="NORTH")
        world.send("inventory.items", {"item": clock(0), "conversions": {"box": 12}}, key=clock(0))
        world.send("inventory.channels", {"channel": "app", "locations": ["EAST", "NORTH"]}, key="app")
        world.flush()
        until(lambda: promised(world, 0, "app") is not None, 20, "the new channel")
        assert all(row["could_go_now"] == 1 for row in summary(world).values())
        assert "3 sent, 0 refused" in atp(world, "dead-letters", "replay", "--known").stdout
        until(lambda: promised(world, 0, "app") == 5 + 24 - 3, 20, "what they say")


def test_the_list_is_newest_first_and_as_long_as_was_asked_for(shop: Any) -> None:
    for number in range(7):
        shop.send("inventory.warehouse", received(7, number + 1, source=f"s{number}"), partition=number % 2)
        shop.flush()
        until(lambda n=number: len(shop.read("inventory.dead_letters")) > n, 20, "its letter")  # type: ignore[misc]
    assert [one["source"] for one in letters(shop)] == [f"s{number}" for number in reversed(range(7))]
    assert [one["source"] for one in letters(shop, "--limit", "3")] == ["s6", "s5", "s4"]
    assert [one["source"] for one in letters(shop, "--limit", "2", "--oldest-first")] == ["s0", "s1"]
    assert [one["source"] for one in letters(shop, "--limit", "1", "--source", "s2")] == ["s2"]
    assert all(one["state"] == "open" and one["written_at"].endswith("Z") for one in letters(shop, "--limit", "2"))
    text = atp(shop, "dead-letters", "list", "--limit", "1").stdout
    assert " s6 " in text and "newest first" not in text and f"unknown_item: {REMEDIES['unknown_item']}" in text
    assert "newest first" in atp(shop, "dead-letters", "list").stdout


def test_where_that_is_set_the_engine_sends_again_by_itself_what_has_become_known_and_only_that(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = world.env(reference_grace=0, dead_letters__replay_known="true")
    monkeypatch.setattr(world, "env", lambda **_: {**env, "ATP_TEST_REPLAY_KNOWN_EVERY_S": "0.2"})
    open_shop(world, items=1)
    with Engine(world) as engine:
        take_in(world, 0, 1)
        wait_for(world, 1)
        world.send("inventory.warehouse", received(7, 5))
        world.send("inventory.warehouse", received(8, 5))
        world.flush()
        wait_for_letters(world, 2)
        know(world, 7)
        wait_for(world, 5, 7)
        engine.kill_everything()
    # A kill between the sending and its mark: it is sent once more, and is a duplicate.
    for record in world.read("inventory.replays"):
        world.send("inventory.replays", None, key=record.key)
    with Engine(world) as engine:
        world.send("inventory.items", {"item": clock(9)}, key=clock(9))
        world.flush()
        until(lambda: len(world.read("inventory.warehouse")) >= 5, 60, "what is sent again")
        world.send("inventory.warehouse", received(7, 1))
        world.flush()
        wait_for(world, 6, 7)
        assert engine.stop() == 0, engine.text()
    assert len(world.read("inventory.dead_letters")) == 2
    assert sum(clock(8).encode() in (one.value or b"") for one in world.read("inventory.warehouse")) == 1


def test_by_itself_no_message_is_tried_for_ever(world: Any) -> None:
    from confluent_kafka import Producer

    from flows.letters.known_replay import TRIES_MAX, KnownReplay

    open_shop(world, items=1)
    told = {"code": "unknown_item", "message": "m", "topic": world.topic("inventory.warehouse"), "partition": "0"}
    producer = Producer({"bootstrap.servers": world.servers.bootstrap_servers})
    again = KnownReplay(world.settings())
    for attempt in range(1, TRIES_MAX + 2):  # an engine that refuses it every time
        headers = [(name, value.encode()) for name, value in told.items()]
        headers += [("offset", str(attempt).encode()), ("attempts", str(attempt).encode())]
        producer.produce(
            world.topic("inventory.dead_letters"), json.dumps(received(0, 1, event_id="e")), None, 0, headers=headers
        )
        assert producer.flush(20) == 0
        assert again.look() == (attempt < TRIES_MAX)
    assert again.look() == 0


def test_it_follows_what_comes(shop: Any) -> None:
    shop.send("inventory.warehouse", received(7, 1, source="before"))
    shop.flush()
    wait_for_letters(shop, 1)
    command = shop.command("dead-letters", "list", "--follow", "--json")
    with subprocess.Popen(command, env=shop.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["source"] == "before"
            shop.send("inventory.warehouse", received(7, 1, source="after"))
            shop.flush()
            assert json.loads(process.stdout.readline())["source"] == "after"
            process.send_signal(2)
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_a_long_read_tells_how_far_it_is_and_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import progress_line

    def told(stream: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(progress_line, "FIRST_AFTER_S", 0.0)
            patch.setattr(progress_line.sys, "stderr", stream)
            line = progress_line.ProgressLine("reading", 200)
            line.add(50)
            line.end()

    piped = io.StringIO()
    told(piped)
    assert piped.getvalue() == ""
    reads, writes = pty.openpty()
    try:
        with os.fdopen(writes, "w") as terminal:
            told(terminal)
            assert "reading: 50 of 200 (25 %)" in os.read(reads, 1000).decode()
    finally:
        os.close(reads)


def test_of_a_conflict_it_finds_what_stands_and_says_field_by_field_what_differs(shop: Any) -> None:
    stands = received(0, 5, event_id="note/1", reason="first")
    shop.send("inventory.warehouse", stands, partition=1)
    order = placed(0, 1, event_id="SO-1")
    order["lines"].append({"line_id": "2", "item": clock(1), "quantity": 1})
    shop.send("inventory.orders", order)
    shop.flush()
    wait_for(shop, 4)
    others = [
        stands | {"quantity": 7, "location": "WEST", "occurred_at": ago(30), "reason": "second"},
        stands | {"quantity": "8", "status": "available"},
    ]
    for other in others:  # the second finds what stands, and not the first, which does not
        shop.send("inventory.warehouse", json.dumps(other).replace("/", "\\/").encode(), partition=0)
        shop.flush()
    changed = json.loads(json.dumps(order))
    changed["lines"][1]["quantity"] = 3
    shop.send("inventory.orders", changed)
    shop.flush()
    found = {(one["topic"], one["offset"]): one for one in wait_for_letters(shop, 3)}
    assert {one["code"] for one in found.values()} == {"conflict"}
    warehouse, orders = shop.topic("inventory.warehouse"), shop.topic("inventory.orders")
    offsets = sorted(offset for topic, offset in found if topic == warehouse)

    def shown(topic: str, offset: int, *arguments: str) -> Any:
        done = atp(shop, "dead-letters", "show", found[topic, offset]["name"], *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    place = next(one for one in shop.read("inventory.warehouse") if one.value == json.dumps(stands).encode())
    first = json.loads(shown(warehouse, offsets[0], "--json"))
    assert first["stands_at"] == f"{warehouse}/1/{place.offset}"
    assert {one["field"]: (one["stands"], one["came"]) for one in first["differences"]} == {
        "quantity": (5, 7),
        "location": ("EAST", "WEST"),
        "occurred_at": (stands["occurred_at"], others[0]["occurred_at"]),
    }
    second = json.loads(shown(warehouse, offsets[1], "--json"))
    assert second["stands_at"] == first["stands_at"]
    assert second["differences"] == [{"field": "quantity", "stands": 5, "came": "8"}]
    [line] = [one for (topic, _), one in found.items() if topic == orders]
    assert line["line_id"] == "2"
    text = shown(orders, line["offset"])
    assert "quantity: 1 stands, 3 came" in text and REMEDIES["conflict"] in text
