"""Sections 6 and 7: lanes, previous, versions, unlisting, exceptions and their ends, and sums beyond 2^53."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.conftest import World
from tests.contract.lab import NOON_ZONE, Lab, moment
from tests.running import Engine, until

MOST = 2**53 - 1


@pytest.fixture
def lab(world: World) -> Lab:
    """Two locations, a channel that sells from the first one, and an item."""
    lab = Lab(world)
    for location in ("DC1", "DC2"):
        lab.reference("locations", {"location": location})
    lab.reference("channels", {"channel": "web", "locations": ["DC1"], "low_stock_threshold": 5})
    lab.reference("items", {"item": "SHOVEL"})
    return lab


class Desk:
    """Sends events with ids of their own."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.sent = 0

    def says(self, type: str, quantity: int | None, topic: str = "warehouse", **fields: Any) -> None:
        self.sent += 1
        head = {"event_id": f"e{self.sent}", "type": type, "source": "wms", "occurred_at": moment(30)}
        goods = {"item": "SHOVEL", "location": "DC1", "quantity": quantity}
        self.lab.put(topic, head | goods | fields)

    def orders(self, type: str, *lines: dict[str, Any], **fields: Any) -> None:
        self.sent += 1
        head = {"event_id": f"e{self.sent}", "type": type, "source": "oms", "occurred_at": moment(30)}
        numbered = [{"line_id": str(n), "item": "SHOVEL", **one} for n, one in enumerate(lines)]
        self.lab.put("orders", head | {"order_id": f"SO-{self.sent}", "channel": "web", "lines": numbered} | fields)


def test_each_change_leaves_by_its_lane_with_the_value_before(lab: Lab) -> None:
    desk = Desk(lab)
    heard = lab.world.redis.pubsub()
    heard.psubscribe(f"{lab.world.redis_prefix}*")
    told: list[tuple[Any, ...]] = []
    switches = {"updates__pubsub": "true", "updates__breakdown": "true", "state__epoch_interval": "100ms"}
    switches["time_zone"] = NOON_ZONE.key

    def next_update(atp: int, channel: str = "web") -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            while (message := heard.get_message()) is not None:
                if message["type"] == "pmessage":
                    update: dict[str, Any] = json.loads(message["data"])
                    assert message["channel"] == f"{lab.world.redis_prefix}atp.{update['lane']}"
                    told.append((update["channel"], update["atp"], update["previous"], update["lane"], update["cause"]))
                    if (update["channel"], update["atp"]) == (channel, atp):
                        return update
            return None

        return until(there, 40, lambda: f"{channel} {atp} in {told}")

    lab.world.flush()
    with Engine(lab.world, **switches, **lab.env) as engine:
        assert next_update(0)["as_of"] is None
        for quantity, atp in ((10, 10), (-4, 6), (-1, 5), (-1, 4), (2, 6), (-20, 0), (29, 15)):
            desk.says("stock_adjusted", quantity, correlation_id=f"c{quantity}")
            lab.world.flush()
            update = next_update(atp)
            assert update["correlation_id"] == f"c{quantity}"
            assert update["breakdown"]["atp"] == [atp] and update["breakdown"]["available"] == {"DC1": [atp]}
        for record, atp in (({"buffer_quantity": 2}, 13), ({}, 15), ({"horizon_days": 2}, 15)):
            lab.reference("channels", {"channel": "web", "locations": ["DC1"], "low_stock_threshold": 5, **record})
            lab.world.flush()
            update = next_update(atp)
            assert "correlation_id" not in update
            assert update.get("by_day") == ([15, 15] if "horizon_days" in record else None)
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        desk.says("receipt_expected", 5, "supply", receipt_id="PO-1", eta=tomorrow)
        lab.world.flush()
        assert next_update(15)["by_day"] == [15, 20]
        desk.says("receipt_cancelled", None, "supply", receipt_id="PO-1", occurred_at=moment(20))
        lab.world.flush()
        assert next_update(15)["by_day"] == [15, 15]
        lab.reference("channel_items", {"channel": "web", "item": "SHOVEL", "listed": False})
        lab.world.flush()
        assert next_update(0)["cause"] == "unlisted"
        until(lambda: "web" not in lab.hash("atp", "SHOVEL"), 20, "web leaves Redis")
        lab.put("channel_items", None, "web:SHOVEL")
        lab.world.flush()
        assert next_update(15)["previous"] is None
        assert engine.stop() == 0
    assert told == [
        ("web", 0, None, "bulk", "reference"),
        ("web", 10, 0, "high", "stock_adjusted"),
        ("web", 6, 10, "high", "stock_adjusted"),
        ("web", 5, 6, "critical", "stock_adjusted"),
        ("web", 4, 5, "high", "stock_adjusted"),
        ("web", 6, 4, "normal", "stock_adjusted"),
        ("web", 0, 6, "critical", "stock_adjusted"),
        ("web", 15, 0, "high", "stock_adjusted"),
        ("web", 13, 15, "high", "reference"),
        ("web", 15, 13, "bulk", "reference"),
        ("web", 15, 15, "normal", "reference"),
        ("web", 15, 15, "normal", "receipt_expected"),
        ("web", 15, 15, "high", "receipt_cancelled"),
        ("web", 0, 15, "critical", "unlisted"),
        ("web", 15, None, "bulk", "reference"),
    ]
    sent = lab.updates()
    assert [(u["channel"], u["atp"], u["previous"], u["lane"], u["cause"]) for u in sent] == told
    versions = [update["version"] for update in sent]
    assert versions == sorted(set(versions))
    held = lab.hash("atp", "SHOVEL")
    assert (held["_version"], held["web:by_day"]) == (str(versions[-1]), "[15,15]")
    assert held["_day0"] == datetime.now(NOON_ZONE).date().isoformat()
    assert not lab.misfits()


def test_an_exception_is_told_once_and_once_more_when_it_is_over(lab: Lab) -> None:
    lab.world.config.write_text('[sources.gate]\nstale_after = "1s"\n')
    desk = Desk(lab)
    read = 0

    def news() -> list[tuple[str, str, str]]:
        """Catch up, and give what is new as (code, state, what it is about)."""
        nonlocal read
        lab.catch_up()
        found = sorted(lab.exceptions(), key=lambda one: one["last_seen"])
        new, read = found[read:], len(found)
        assert all(one["first_seen"] <= one["last_seen"] for one in new)
        return sorted(
            (one["code"], one["state"], one.get("reference") or one.get("location") or one["source"]) for one in new
        )

    desk.says("stock_adjusted", -3)
    desk.says("receipt_expected", 3, "supply", receipt_id="PO-1", eta=moment(-9999), location="DC2")
    desk.says("stock_received", 4, receipt_id="PO-1", location="DC2")
    desk.says("transfer_shipped", 2, transfer_id="T-1", to_location="DC2")
    desk.says("stock_received", 3, transfer_id="T-1", location="DC2")
    desk.orders("order_allocated", {"quantity": 20, "location": "DC2"}, order_id="SO-1")
    same = {"event_id": "same", "occurred_at": moment(30), "location": "DC2"}
    desk.says("stock_received", 1, **same)
    desk.says("stock_received", 2, **same)
    desk.says("stock_received", 1, source="gate", location="DC2")
    opened = [
        ("allocated_without_stock", "DC2"), ("negative_on_hand", "DC1"), ("over_received", "PO-1"),
        ("over_received", "T-1"), ("oversold", "DC1"), ("oversold", "DC2"),
    ]  # fmt: skip
    found = news()
    assert [one for one in found if one[0] not in ("conflict", "stale_source")] == [
        (code, "open", about) for code, about in opened
    ]
    assert ("conflict", "open", "same") in found
    time.sleep(1.5)
    silent = [one for one in found if one[0] == "stale_source"] or news()
    assert silent == [("stale_source", "open", "gate")]
    lab.world.config.write_text('[sources.gate]\nstale_after = "1h"\n')  # however slow this machine is
    desk.says("stock_adjusted", 9)
    desk.says(
        "receipt_expected", 4, "supply", receipt_id="PO-1", eta=moment(-9999), location="DC2", occurred_at=moment(9)
    )
    desk.says("transfer_shipped", 1, transfer_id="T-1", to_location="DC2")
    desk.orders("order_cancelled", {}, order_id="SO-1")
    desk.says("stock_received", 1, source="gate", location="DC2")
    assert news() == sorted([(code, "closed", about) for code, about in opened] + [("stale_source", "closed", "gate")])
    assert not lab.misfits()


def test_time_that_passed_between_two_runs_is_caught_up_with(lab: Lab) -> None:
    desk = Desk(lab)
    desk.says("stock_received", 10)
    desk.orders("order_placed", {"quantity": 4}, expires_at=moment(-5))
    ends_at = time.monotonic() + 5
    lab.catch_up()
    first = lab.hash("atp", "SHOVEL")
    time.sleep(max(0.0, ends_at - time.monotonic()))
    for key in lab.world.redis.scan_iter(f"{lab.world.redis_prefix}*"):
        lab.world.redis.unlink(key)  # and a Redis that came back empty is filled again
    lab.catch_up()
    assert first["web"] in ("6", "10")
    held = lab.hash("atp", "SHOVEL")
    assert held["web"] == "10"
    assert int(held["_version"]) > int(first["_version"])
    assert lab.hash("position", "SHOVEL")["DC1:on_hand"] == "10"


def test_sums_are_exact_far_beyond_what_one_event_may_say_and_what_leads_beyond_is_refused(lab: Lab) -> None:
    for item in ("ROPE", "NAIL"):
        lab.reference("items", {"item": item})
    desk = Desk(lab)
    for _ in range(100):
        desk.says("stock_received", MOST, item="NAIL")
    desk.orders("order_allocated", *({"quantity": MOST, "item": "ROPE", "location": "DC1"} for _ in range(300)))
    for _ in range(2):  # the second run reads the state of the first
        lab.catch_up()
        assert lab.figures("NAIL")["DC1:on_hand"] == 100 * MOST
        assert lab.hash("atp", "NAIL")["web"] == str(100 * MOST)
        assert lab.figures("ROPE") == {"DC1:hard_reserved": 128 * MOST, "DC1:available": -128 * MOST}
        refused = [("bad_value", str(number)) for number in range(128, 300)]
        assert [one for letters in lab.codes().values() for one in letters] == refused
        desk.says("stock_adjusted", -1, item="NAIL", location="DC2")
        desk.says("stock_adjusted", 1, item="NAIL", location="DC2")
    (position,) = [record.json() for record in lab.world.read("inventory.positions") if record.key == b"NAIL"][-1:]
    assert position["locations"]["DC1"]["on_hand"] == 100 * MOST
    assert not lab.misfits()


@pytest.fixture
def with_times_of_senders(lab: Lab) -> Iterator[Lab]:
    """Input topics that take the timestamps of their senders, as somebody else may have made them."""
    admin = AdminClient({"bootstrap.servers": lab.world.servers.bootstrap_servers})
    entry = ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource(ResourceType.TOPIC, lab.world.topic("inventory.warehouse"), incremental_configs=[entry])
    for done in admin.incremental_alter_configs([topic]).values():
        done.result(10)
    yield lab


def test_recorded_at_is_the_largest_timestamp_so_far(with_times_of_senders: Lab) -> None:
    lab = with_times_of_senders
    lab.world.flush()
    producer = Producer({"bootstrap.servers": lab.world.servers.bootstrap_servers, "enable.idempotence": True})
    day, minute = 86_400_000_000, 60_000_000
    start_ms = time.time_ns() // 1_000_000 - 3_600_000
    codes: list[str | None] = []
    for recorded_ms, occurred, code in (
        (0, -day, None), (0, -day - 1, "late"), (0, 5 * minute, None), (0, 5 * minute + 1, "in_the_future"),
        (10_000, 0, None), (0, -day + 5_000_000, "late"), (0, 5 * minute + 5_000_000, None), (-start_ms + 1, 0, None),
    ):  # fmt: skip
        at = datetime(1970, 1, 1) + timedelta(microseconds=start_ms * 1000 + occurred)
        event = {
            "event_id": f"r{len(codes)}", "type": "stock_received", "source": "wms", "item": "SHOVEL",
            "location": "DC1", "quantity": 1, "occurred_at": f"{at.isoformat(timespec='microseconds')}Z",
        }  # fmt: skip
        topic = lab.world.topic("inventory.warehouse")
        producer.produce(topic, json.dumps(event), partition=0, timestamp=start_ms + recorded_ms)
        producer.flush(30)
        codes.append(code)
    lab.catch_up()
    found = {place[1]: [code for code, _ in told] for place, told in lab.codes().items()}
    assert found == {number: [code] for number, code in enumerate(codes) if code}
    assert lab.hash("position", "SHOVEL")["_as_of"] == str(start_ms + 305_000)
