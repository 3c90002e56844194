"""What could not be used is found again, and sent again after a fix, without ever counting anything twice."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from tests.made_letters import Made
from tests.running import Engine, until
from tests.shop import ago, clock, event, open_shop, placed, promised, received, wait_for

WINDOW_S = 20


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def atp(world: Any, *arguments: str, **overrides: object) -> Done:
    """Run a command as an operator would."""
    result = CliRunner().invoke(app, list(arguments), env=world.env(**overrides))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def letters(world: Any, *arguments: str) -> list[dict[str, Any]]:
    done = atp(world, "dead-letters", "list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def wait_for_letters(world: Any, count: int) -> list[dict[str, Any]]:
    until(lambda: len(world.read("inventory.dead_letters")) >= count, 40, f"{count} dead letters")
    found = letters(world)
    assert len(found) == count
    return found


def know(world: Any, number: int) -> None:
    """Make an item known, and wait until the engine knows it."""
    world.send("inventory.items", {"item": clock(number)}, key=clock(number))
    world.flush()
    wait_for(world, 0, number)


def test_after_a_fix_what_was_refused_counts_once_however_often_it_is_sent_again(shop: Any) -> None:
    stray = received(7, 5)
    shop.send("inventory.warehouse", stray, key="a key", partition=1)
    shop.send("inventory.warehouse", b"{rubbish")
    shop.flush()
    found = {letter["code"]: letter for letter in wait_for_letters(shop, 2)}
    letter = found["unknown_item"]
    assert (letter["attempts"], letter["partition"], letter["key"]) == (1, 1, "a key")
    assert json.loads(letter["value"]) == stray
    assert [one["name"] for one in letters(shop, "--item", clock(7))] == [letter["name"]]
    assert [one["code"] for one in letters(shop, "--code", "not_json")] == ["not_json"]
    assert letters(shop, "--since", "2050-01-01T00:00:00Z") == []
    shown = atp(shop, "dead-letters", "show", letter["name"], "--json")
    assert json.loads(shown.stdout) == letter

    again = atp(shop, "dead-letters", "replay", letter["name"])  # too early: nothing was mended
    assert again.returncode == 0, again.stderr
    assert sorted(one["attempts"] for one in wait_for_letters(shop, 3)) == [1, 1, 2]
    know(shop, 7)
    dry = atp(shop, "dead-letters", "replay", "--item", clock(7), "--dry-run")
    assert "attempt 3" in dry.stdout and "1 would be sent, 0 refused" in dry.stdout
    for _ in range(2):
        done = atp(shop, "dead-letters", "replay", "--item", clock(7))
        assert (done.returncode, "1 sent, 0 refused" in done.stdout) == (0, True), done.stdout + done.stderr
    wait_for(shop, 5, 7)
    records = [record for record in shop.read("inventory.warehouse") if record.value == json.dumps(stray).encode()]
    assert [(record.key, record.partition) for record in records] == [(b"a key", 1)] * 4
    shop.send("inventory.warehouse", received(7, 1), partition=1)
    shop.flush()
    wait_for(shop, 6, 7)
    assert len(letters(shop)) == 3


def test_a_line_that_was_applied_stays_applied_once_when_its_neighbor_is_replayed(shop: Any) -> None:
    shop.send("inventory.warehouse", received(0, 10))
    order = placed(0, 3)
    order["lines"].append({"line_id": "2", "item": clock(8), "quantity": 4})
    shop.send("inventory.orders", order)
    shop.flush()
    wait_for(shop, 7)
    [letter] = wait_for_letters(shop, 1)
    assert letter["line_id"] == "2"
    know(shop, 8)
    shop.send("inventory.warehouse", received(8, 10))
    shop.flush()
    wait_for(shop, 10, 8)
    assert atp(shop, "dead-letters", "replay", "--all").returncode == 0
    wait_for(shop, 6, 8)
    assert promised(shop, 0) == 7


def test_a_line_whose_letter_has_no_bytes_is_shown_and_replayed_by_its_name(shop: Any) -> None:
    order = placed(7, 4)
    order["lines"] += [{"line_id": str(number), "item": clock(number), "quantity": 1} for number in (8, 9)]
    shop.send("inventory.orders", order, key="a key", partition=1)
    shop.flush()
    found = {letter["line_id"]: letter for letter in wait_for_letters(shop, 3)}
    light = [letter for letter in found.values() if letter["value"] is None]
    assert len(light) == 2, "one of them has the bytes"
    shown = json.loads(atp(shop, "dead-letters", "show", light[0]["name"], "--json").stdout)
    assert (json.loads(shown["value"]), shown["key"]) == (order, "a key")
    assert len(letters(shop, "--item", clock(9))) == 3, "as each with the bytes would be found"
    know(shop, 8)
    shop.send("inventory.warehouse", received(8, 5))
    shop.flush()
    wait_for(shop, 5, 8)
    done = atp(shop, "dead-letters", "replay", found["8"]["name"])
    assert (done.returncode, "1 sent, 0 refused" in done.stdout) == (0, True), done.stdout + done.stderr
    wait_for(shop, 4, 8)
    records = [record for record in shop.read("inventory.orders") if record.value == json.dumps(order).encode()]
    assert [(record.key, record.partition) for record in records] == [(b"a key", 1)] * 2


def test_bytes_that_no_letter_has_any_more_are_found_in_the_input_topic(shop: Any) -> None:
    from flows.letters.reading import parse, read, with_values

    order = placed(7, 4)
    shop.send("inventory.orders", order, key="a key", partition=1)
    shop.flush()
    headers = {"code": "unknown_item", "message": "m", "topic": shop.topic("inventory.orders"), "attempts": "1"}
    wait_for_letters(shop, 1)
    [own] = read(shop.settings())
    moments = {"its": own.logged_ms, "another": own.logged_ms - 1}
    for line, (moment, partition, offset) in {
        "no such offset": ("its", 1, 5),
        "no such partition": ("its", 99, 0),
        "of the topic before it was made again": ("another", 1, 0),
    }.items():
        place = {"partition": str(partition), "offset": str(offset), "line_id": line, "timestamp": str(moments[moment])}
        shop._producer.produce(shop.topic("inventory.dead_letters"), b"", headers={**headers, **place})
    shop.flush()
    until(lambda: len(shop.read("inventory.dead_letters")) == 4, 40, "the letter of the engine, and the three")
    given = {letter.line_id: letter for letter in read(shop.settings())}
    assert [given[line].is_lost for line in given].count(True) == 3, given
    place = {"partition": "1", "offset": "0", "line_id": "1"}
    alone = parse(Made({**headers, **place, "timestamp": str(own.logged_ms)}))
    unknown = parse(Made({**headers, **place, "timestamp": "0"}))
    assert alone is not None and unknown is not None
    for found in with_values(shop.settings(), [alone, unknown]):
        assert (found.value, found.key) == (json.dumps(order).encode(), b"a key")
    done = atp(shop, "dead-letters", "replay", given["of the topic before it was made again"].name)
    assert (done.returncode, "its bytes are nowhere any more" in done.stdout) == (1, True), done.stdout + done.stderr


def test_a_reference_record_is_not_replayed_over_a_newer_one(shop: Any) -> None:
    shop.send("inventory.channels", {"channel": "app", "locations": ["NORTH"]}, key="app")
    shop.flush()
    wait_for_letters(shop, 1)
    shop.send("inventory.channels", {"channel": "app", "locations": ["EAST"]}, key="app")
    shop.flush()
    done = atp(shop, "dead-letters", "replay", "--all")
    assert done.returncode == 1
    assert "a newer record of its key is there" in done.stdout


def test_commands_say_what_is_wrong(shop: Any) -> None:
    for arguments, code, sentence in (
        (("dead-letters", "replay"), 2, "say which"),
        (("dead-letters", "list", "--code", "unknown_itm"), 2, "unknown_item"),
        (("dead-letters", "list", "--since", "yesterday"), 2, "expected a duration"),
        (("dead-letters", "show", "9:9"), 1, "there is no dead letter 9:9"),
        (("dead-letters", "replay", "9:9"), 1, "no such dead letter"),
        (("republish",), 2, "say what"),
    ):
        done = atp(shop, *arguments)
        assert done.returncode == code, arguments
        assert sentence in " ".join((done.stdout + done.stderr).replace("│", " ").split()), (arguments, done.stderr)


# --- late ------------------------------------------------------------------------------------------------------------


def late(world: Any, *arguments: str) -> Done:
    return atp(world, "dead-letters", "replay", *arguments, dedup_window=f"{WINDOW_S}s")


def test_what_is_late_counts_only_where_it_is_accepted_and_proved_new(world: Any) -> None:
    open_shop(world, items=1)
    old = {"occurred_at": ago(3600)}
    count = event("stock_counted", item=clock(0), location="EAST", quantity=99, **old)
    order = placed(0, 2, **old)
    order["lines"].append({"line_id": "2", "item": clock(0), "quantity": 1})
    world.send("inventory.warehouse", received(0, 5, **old))
    world.send("inventory.warehouse", count)
    world.send("inventory.orders", order)
    fresh = received(0, 10, occurred_at=ago(1))
    world.send("inventory.warehouse", fresh)
    world.flush()
    with Engine(world, dedup_window=f"{WINDOW_S}s") as engine:
        wait_for(world, 10)
        found = wait_for_letters(world, 3)
        assert {letter["code"] for letter in found} == {"late"}
        done = late(world, "--all")
        assert (done.returncode, done.stdout.count("--accept-late")) == (1, 3), done.stdout
        done = late(world, "--all", "--accept-late")
        assert done.returncode == 1 and "2 sent, 1 refused" in done.stdout, done.stdout + done.stderr
        assert "a late count is never taken" in done.stdout
        wait_for(world, 10 + 5 - 3)
        done = late(world, "--all", "--accept-late")  # it was taken: that is in the topic for all to see
        assert "0 sent, 3 refused" in done.stdout, done.stdout
        assert done.stdout.count("has the same id and was not refused") == 2, done.stdout
        assert engine.stop() == 0, engine.text()
    # Whoever sends the same record past the command: the ids are remembered, also by the next run.
    marked = [record for record in world.read("inventory.warehouse") if "atp_replay" in record.headers]
    assert json.loads(marked[0].headers["atp_replay"])["late_accepted"] == [["", clock(0)]]
    with Engine(world, dedup_window=f"{WINDOW_S}s") as engine:
        for record in marked:
            world._producer.produce(
                world.topic("inventory.warehouse"), record.value, record.key, headers=dict(record.headers)
            )
        world.send("inventory.warehouse", received(0, 1, occurred_at=ago(1)))
        world.flush()
        engine.wait_until_it_reads(world, world.settings())
        wait_for(world, 13)
        assert engine.stop() == 0, engine.text()
    assert promised(world) == 13


def test_what_the_topics_do_not_reach_back_to_is_not_accepted(world: Any) -> None:
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    open_shop(world, items=1)
    for partition in (0, 1):
        for _ in range(2):
            world.send("inventory.warehouse", received(0, 5, occurred_at=ago(7200)), partition=partition)
    world.flush()
    with Engine(world, dedup_window=f"{WINDOW_S}s") as engine:
        engine.wait_until_it_reads(world, world.settings())
        wait_for_letters(world, 4)
        client = AdminClient({"bootstrap.servers": world.servers.bootstrap_servers})
        for done in client.delete_records([TopicPartition(world.topic("inventory.warehouse"), 0, 1)]).values():
            done.result(20)
        said = late(world, "--all", "--accept-late")
        assert "0 sent, 4 refused" in said.stdout, said.stdout + said.stderr
        assert said.stdout.count("does not reach back") == 4, said.stdout
        assert engine.stop() == 0, engine.text()
    assert promised(world) == 0


# --- saying it again ------------------------------------------------------------------------------------------------


def test_what_stands_is_published_again_on_request(shop: Any) -> None:
    def versions() -> list[int]:
        return [int(shop.redis.hget(f"{shop.redis_prefix}atp:{clock(n)}", "_version") or 0) for n in range(2)]

    def sent(number: int) -> list[str]:
        updates = [record.json() for record in shop.read("atp.updates.bulk")]
        return [update["cause"] for update in updates if update["item"] == clock(number)]

    before = versions()
    shop.redis.hset(f"{shop.redis_prefix}atp:{clock(1)}", "web", 777)  # somebody's hand
    done = atp(shop, "republish", "--item", clock(1))
    assert done.returncode == 0, done.stderr
    wait_for(shop, 1, 1, seconds=10)
    assert versions()[0] == before[0]
    until(lambda: sent(1)[-1:] == ["republish"], 10, lambda: f"an update: {sent(1)}")
    shop.redis.delete(f"{shop.redis_prefix}atp:{clock(0)}", f"{shop.redis_prefix}position:{clock(1)}")
    assert atp(shop, "republish", "--all").returncode == 0
    wait_for(shop, 0, 0, seconds=10)
    until(lambda: shop.redis.exists(f"{shop.redis_prefix}position:{clock(1)}"), 10, "its position")
    shop.redis.hset(f"{shop.redis_prefix}atp:{clock(1)}", "web", 777)
    assert atp(shop, "republish", "--channel", "web").returncode == 0
    wait_for(shop, 1, 1, seconds=10)


def test_a_request_that_no_engine_takes_is_withdrawn(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.readmodel import requests

    monkeypatch.setattr(requests, "ANSWER_TIMEOUT_S", 0.3)
    with pytest.raises(requests.RequestError, match="no engine took the request"):
        requests.ask_to_republish(world.settings(), "", "")
    assert not world.redis.exists(f"{world.redis_prefix}engine:requests")
