"""`atp verify` and `atp audit` on real servers: what is right agrees, what is wrong is found and named rightly."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from flows.audit import verifying
from operators.route import shard_of
from tests.integration.test_looking import atp
from tests.running import Engine, until
from tests.shop import clock, event, open_shop, placed, received, send_channel, take_in, wait_for

pytestmark = pytest.mark.timeout(300)

ITEM = clock(0)


@pytest.fixture
def filled(world: Any) -> Any:
    """A shop after a busy moment, with no engine running: its numbers stand."""
    open_shop(world, items=3, buffer_quantity=1)
    for number in range(3):
        take_in(world, number, 20)
        world.send("inventory.warehouse", received(number, 4) | {"location": "WEST", "lot": "L1"})
    world.send("inventory.orders", placed(0, 3, order_id="SO-1"))
    line = {"line_id": "1", "item": ITEM, "quantity": 2, "location": "EAST"}
    world.send("inventory.orders", event("order_allocated", order_id="SO-1", lines=[line], source="oms"))
    twice = event("stock_adjusted", item=ITEM, location="EAST", quantity=-2, reason="broken")
    for _ in range(2):  # the second is a duplicate, which is counted once
        world.send("inventory.warehouse", twice)
    world.flush()
    catch_up(world)
    return world


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of an engine that does not run stand still at once."""
    monkeypatch.setattr(verifying, "STILL_S", 0.2)


def catch_up(world: Any) -> None:
    with Engine(world, "--until-caught-up") as engine:
        assert engine.wait(90) == 0, engine.text()


def verified(world: Any, *more: str) -> tuple[int, dict[str, Any]]:
    done = atp(world, "verify", ITEM, *more, "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def audited(world: Any, *more: str) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    done = atp(world, "audit", "--all", *more, "--json")
    assert "Traceback" not in done.stderr, done.stderr
    *found, summary = map(json.loads, done.stdout.splitlines())
    return done.returncode, found, summary


def only_cause(world: Any) -> dict[str, Any]:
    """Give the one cause that verify names, and make sure that the audit names the same one of the same item."""
    code, said = verified(world)
    assert code == 1 and said["verdict"] == "differs", said
    [cause] = said["causes"]
    code, found, summary = audited(world)
    assert code == 1 and [one["item"] for one in found] == [ITEM], found
    assert [one["cause"] for one in found[0]["causes"]] == [cause["cause"]]
    assert summary["states"] == {"agrees": 2, "differs": 1}
    assert isinstance(cause, dict)
    return cause


def key(world: Any, hash_name: str) -> str:
    return f"{world.redis_prefix}{hash_name}:{ITEM}"


def say_in_kafka(world: Any, **figures: int) -> None:
    """Have Redis and Kafka both say other figures of EAST, as an engine would that has counted wrongly."""
    store = world.redis
    name = key(world, "position")
    for figure, quantity in figures.items():
        store.hset(name, f"EAST:{figure}", quantity)
    held = {field: int(value) for field, value in store.hgetall(name).items() if ":" in field}
    locations: dict[str, dict[str, int]] = {}
    for field, value in held.items():
        place, figure = field.split(":")
        if place != "*":
            locations.setdefault(place, {})[figure] = value
    said = {
        "item": ITEM,
        "version": int(store.hget(name, "_version")),
        "as_of": None,
        "processed_at": "2026-01-01T00:00:00.000000Z",
        "scale": 0,
        "locations": locations,
        "unlocated": {"soft_allocated": held.get("*:soft_allocated", 0)},
    }
    world.send("inventory.positions", said, key=ITEM)
    world.flush()


def test_what_is_right_agrees_also_while_the_engine_runs_on(filled: Any) -> None:
    code, said = verified(filled)
    assert (code, said["verdict"], said["is_cut"], said["unread"]) == (0, "agrees", False, 0), said
    fields = {(one["hash"], one["field"]): one for one in said["fields"]}
    assert all(one["agrees"] for one in fields.values()), fields
    assert fields["atp", "web"]["recomputed"] == 20 - 2 + 4 - 3 - 1
    assert fields["position", "EAST:hard_reserved"]["published"] == 2
    shown = atp(filled, "verify", ITEM, "web")
    assert shown.returncode == 0 and "every number agrees" in shown.stdout and "position" not in shown.stdout
    told = atp(filled, "explain", ITEM, "web", "--verify")
    assert told.returncode == 0 and "published: 18" in told.stdout and "every number agrees" in told.stdout, told
    assert atp(filled, "explain", ITEM, "web", "--verify", "--at", "2026-03-01T02:00:00Z").returncode == 2
    code, found, summary = audited(filled)
    assert (code, found, summary["states"]) == (0, [], {"agrees": 3})
    with Engine(filled) as engine:
        wait_for(filled, 18)
        for number in range(60):
            filled.send("inventory.warehouse", received(number % 3, 1))
        filled.flush()
        code, found, summary = audited(filled, "--rate", "2000", "--workers", "2")
        assert (code, found) == (0, []), (found, engine.text()[-2000:])
        assert engine.stop() == 0, engine.text()
    table = atp(filled, "audit", "--sample", "2", "--seed", "1")
    assert table.returncode == 0 and "2 of 3 items: 2 agrees" in table.stdout


def test_events_that_are_not_taken_up_yet_are_left_out_and_told(filled: Any) -> None:
    take_in(filled, 0, 5)
    code, said = verified(filled)
    assert (code, said["verdict"], said["unread"]) == (0, "agrees", 1), said


def test_a_number_that_somebody_changed_in_redis_is_found(filled: Any) -> None:
    filled.redis.hset(key(filled, "atp"), "web", 99)
    for value in (b"", b"\xff", b"[]", b'{"item": "%b", "version": "x"}' % ITEM.encode()):  # none of the engine's
        filled.send("atp.updates.high", value, key=f"{ITEM}:web")
        filled.send("inventory.positions", value, key=ITEM)
    filled.flush()
    cause = only_cause(filled)
    assert cause["cause"] == "changed_in_redis" and cause["fields"] == [{"hash": "atp", "field": "web"}]
    shown = atp(filled, "audit", "--all")
    assert shown.returncode == 1 and "changed_in_redis" in shown.stdout and "99" in shown.stdout


def test_a_wrong_field_of_a_position_is_found(filled: Any) -> None:
    filled.redis.hset(key(filled, "position"), "WEST:quarantined", 7)
    filled.redis.hset(key(filled, "position"), "NORTH:on_hand", "<script>")
    cause = verified(filled)[1]["causes"]
    assert {(one["cause"], one["fields"][0]["field"]) for one in cause} == {
        ("changed_in_redis", "WEST:quarantined"),
        ("changed_in_redis", "NORTH:on_hand"),
    }


def test_an_event_that_was_lost_on_the_way_is_named(filled: Any) -> None:
    lost = received(0, 5) | {"event_id": "GRN-LOST"}
    filled.send("inventory.warehouse", lost, partition=0)
    filled.flush()
    # As an engine leaves it that has passed the event and not counted it.
    reached = f"{filled.redis_prefix}engine:reached"
    shard = f"{shard_of(ITEM, filled.settings().shards):04d}"
    client = type(filled.redis).from_url(filled.servers.redis_url)
    offsets, version = msgspec.msgpack.decode(client.hget(reached, shard))
    offsets[f"{filled.topic_prefix}inventory.warehouse/0"] = 1_000
    client.hset(reached, shard, msgspec.msgpack.encode((offsets, version)))
    cause = only_cause(filled)
    assert cause["cause"] == "not_counted", cause
    assert [one["event_id"] for one in cause["events"]] == ["GRN-LOST"]
    assert {"hash": "atp", "field": "web"} in cause["fields"]


def test_an_event_that_was_counted_twice_is_named(filled: Any) -> None:
    figures = {"on_hand": 20 - 2 - 2, "available": 20 - 2 - 2 - 2}
    say_in_kafka(filled, **figures)
    cause = only_cause(filled)
    assert cause["cause"] == "counted_twice", cause
    assert [one["type"] for one in cause["events"]] == ["stock_adjusted"]


def test_a_policy_that_was_changed_back_is_named(filled: Any) -> None:
    """The buffer goes to 4 and back to 1; the engine's numbers are those of 4."""
    send_channel(filled, buffer_quantity=4)
    catch_up(filled)
    send_channel(filled, buffer_quantity=1)
    code, said = verified(filled)
    assert code == 1, said
    [cause] = said["causes"]
    assert cause["cause"] == "older_record" and cause["record"]["key"] == "web", cause
    assert cause["record"]["newest_offset"] == cause["record"]["offset"] + 1
    code, found, summary = audited(filled)
    assert code == 1 and len(found) == 3 and summary["causes"] == {"older_record": 3}, found
    catch_up(filled)
    assert verified(filled)[0] == 0


def test_what_is_not_published_is_answered_as_everywhere(filled: Any) -> None:
    done = atp(filled, "verify", "RETRO-CLOCK-9")
    assert done.returncode == 1 and "never seen" in done.stderr and ITEM in done.stderr
    none = atp(filled, "verify", "<script>alert(1)</script>" + "x" * 64)
    assert none.returncode == 1 and "is no item" in none.stderr
    both = atp(filled, "audit", "--all", "--sample", "3")
    assert both.returncode == 2


def test_topics_that_do_not_reach_back_are_told_and_nothing_is_called_wrong(filled: Any) -> None:
    from confluent_kafka import OFFSET_END, TopicPartition
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": filled.servers.bootstrap_servers})
    topic = filled.topic("inventory.warehouse")
    gone = [TopicPartition(topic, partition, OFFSET_END) for partition in range(2)]
    for done in admin.delete_records(gone).values():
        done.result(30)
    until(lambda: verified(filled)[1]["is_cut"], 60, "the topics are cut")
    code, said = verified(filled)
    assert code == 1 and said["verdict"] == "not_provable", said
    assert {one["cause"] for one in said["causes"]} <= {"not_provable"}
    shown = atp(filled, "verify", ITEM)
    assert "retention has taken what was logged first" in shown.stdout
