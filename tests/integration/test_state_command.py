"""`atp state --as-of`: what there was at a moment, from Kafka alone; and what it says where that cannot be told."""

from __future__ import annotations

import csv
import io
from typing import Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.shop import ago, event, open_shop
from tests.statements import Done, atp


def rows(done: Done) -> dict[tuple[str, str, str], dict[str, str]]:
    assert done.code == 0, done.out + done.err
    return {(one["item"], one["location"], one["lot"]): one for one in csv.DictReader(io.StringIO(done.out))}


def test_what_there_was_is_added_up_from_kafka_as_of_a_moment(world: Any) -> None:
    open_shop(world)
    world.send("inventory.locations", {"location": "EAST-1", "parent": "EAST"}, key="EAST-1")
    world.send("inventory.items", {"item": "HOSE", "scale": 1}, key="HOSE")

    def warehouse(minutes: float, kind: str, **fields: Any) -> None:
        said = event(kind, **{"item": "HOSE", "location": "EAST", "occurred_at": ago(60 * minutes), **fields})
        world.send("inventory.warehouse", said, key="HOSE", partition=0)
        world.flush()

    warehouse(50, "stock_counted", quantity="10.5")
    warehouse(40, "stock_received", quantity=4, lot="L1", location="EAST-1")
    warehouse(40, "lot_held", lot="L1", location="EAST-1")
    warehouse(30, "stock_adjusted", quantity=-2)
    warehouse(35, "stock_adjusted", quantity=100, source="liar")
    (refused,) = [one for one in world.read("inventory.warehouse") if one.json()["source"] == "liar"]
    warehouse(45, "stock_withheld", quantity=1)
    warehouse(44, "stock_withheld", quantity=5, source="reconciliation")
    order = {"order_id": "SO-1", "channel": "web", "lines": [{"line_id": "1", "item": "HOSE", "quantity": 3}]}
    placed = event("order_placed", **order, occurred_at=ago(60 * 45), expires_at=ago(60 * 20))
    placed["lines"][0]["location"] = "EAST"
    world.send("inventory.orders", placed)
    world.flush()
    _refuse(world, refused)
    then = rows(atp(world, "state", "--as-of", ago(60 * 25), "--lots"))
    assert set(then) == {("HOSE", "EAST", ""), ("HOSE", "EAST-1", ""), ("HOSE", "EAST-1", "L1")}
    east = then["HOSE", "EAST", ""]
    assert [east[name] for name in ("on_hand", "soft_allocated", "withheld", "available")] == [
        "8.5",
        "3.0",
        "1.0",
        "4.5",
    ]
    lot = then["HOSE", "EAST-1", "L1"]
    assert (lot["on_hand"], lot["quarantined"], lot["available"]) == ("4.0", "4.0", "")
    earlier = rows(atp(world, "state", "--as-of", ago(60 * 42)))
    assert {name[1]: one["on_hand"] for name, one in earlier.items()} == {"EAST": "10.5"}
    later = rows(atp(world, "state", "--as-of", ago(60 * 10), "--location", "EAST-1"))
    assert set(later) == {("HOSE", "EAST-1", "")}
    assert rows(atp(world, "state", "--as-of", ago(60 * 10)))["HOSE", "EAST", ""]["soft_allocated"] == "0.0", "lapsed"
    before = atp(world, "state", "--as-of", ago(60 * 600))
    assert rows(before) == {} and "0 rows as of" in before.err
    soon = atp(world, "state", "--as-of", ago(60))
    assert "events of before may still come: ask again when 10m have passed" in soon.err
    for arguments, told in (
        (("--as-of", "noon"), "--as-of: expected an RFC 3339 time"),
        (("--as-of", ago(-3600)), "--as-of: expected a moment that has come"),
        (
            ("--as-of", ago(60), "--location", "MARS"),
            "--location: expected a location of inventory.locations, got MARS",
        ),
    ):
        wrong = atp(world, "state", *arguments)
        assert wrong.code == 2 and told in wrong.err and not wrong.out, wrong.out + wrong.err
    _trim(world)
    gone = atp(world, "state", "--as-of", ago(60 * 10))
    assert gone.code == 1 and not gone.out
    assert "what there was cannot be added up: Kafka has deleted events" in gone.err and "begins at 2" in gone.err


def _refuse(world: Any, record: Any) -> None:
    """Write the dead letter that an engine would have written of a record."""
    from confluent_kafka import Consumer, Producer

    topic = world.topic("inventory.warehouse")
    consumer = Consumer({"bootstrap.servers": world.servers.bootstrap_servers, "group.id": "x", "log_level": 0})
    consumer.assign([TopicPartition(topic, record.partition, record.offset)])
    message = None
    while message is None:
        message = consumer.poll(1)
    consumer.close()
    place = {
        "topic": topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": message.timestamp()[1],
    }
    headers = {"code": "not_allowed", "message": "type: expected nothing, got it", "attempts": 1, **place}
    producer = Producer({"bootstrap.servers": world.servers.bootstrap_servers, "log_level": 0})
    told = [(name, str(value).encode()) for name, value in headers.items()]
    producer.produce(world.topic("inventory.dead_letters"), record.value, record.key, headers=told)
    assert producer.flush(30) == 0


def _trim(world: Any) -> None:
    admin = AdminClient({"bootstrap.servers": world.servers.bootstrap_servers, "log_level": 0})
    place = TopicPartition(world.topic("inventory.warehouse"), 0, 2)
    for done in admin.delete_records([place]).values():
        done.result(30)
