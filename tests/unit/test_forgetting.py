"""Decides whether what is remembered goes when the window allows and not before, so that weeks cost what a day costs.

Time is injected: weeks pass in seconds. What may be forgotten must never have been needed: everything that is still
acceptable is said again, or said late, just before and just after.
"""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from operators import shard
from operators.shard import RECEIPT_RETENTION, TIDY_EVERY
from schemas.state import Item
from tests.engine import Code, Engine

SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
NOON = 20_780 * DAY + 12 * HOUR
WINDOW = DAY
#: an id goes with the hour that its window ends in, at the tidying that follows
SLACK = HOUR + TIDY_EVERY
RETENTION = 7 * DAY
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class House:
    """An engine over weeks; what is said happens when it is said unless told otherwise."""

    def __init__(self, **sources: dict[str, Any]) -> None:
        self.engine = Engine(WINDOW, 5 * MINUTE, sources)
        self.engine.clock = self.now = NOON
        self.numbers = itertools.count(1)
        for topic, record in (
            ("locations", {"location": "DC1"}),
            ("locations", {"location": "DC2", "deducts_at": "shipment"}),
            ("channels", {"channel": "web", "locations": ["DC1", "DC2"]}),
            ("items", {"item": "SHOVEL"}),
        ):
            key = str(record[topic[:-1]]).encode()
            assert self.engine.reference(f"inventory.{topic}", key, json.dumps(record).encode()) == []

    def say(self, kind: str, at: int | None = None, event_id: str | None = None, **fields: Any) -> list[Code]:
        moment = self.now if at is None else at
        event = {
            "event_id": event_id or f"e{next(self.numbers)}",
            "type": kind,
            "source": "wms",
            "occurred_at": (EPOCH + timedelta(microseconds=moment)).isoformat(),
            "item": "SHOVEL",
            "location": "DC1",
            **fields,
        }
        return self.hand(event)

    def hand(self, event: dict[str, Any]) -> list[Code]:
        kind = event["type"]
        topic = "orders" if kind.startswith("order_") else "supply" if kind.startswith("receipt_") else "warehouse"
        return self.engine.event(f"inventory.{topic}", json.dumps(event).encode(), self.now)

    def did(self, kind: str, quantity: int, at: int | None = None, **fields: Any) -> None:
        assert self.say(kind, at, quantity=quantity, **fields) == []

    def order(self, kind: str, quantity: int = 1, order_id: str = "SO-1", location: str | None = None) -> None:
        line = {"line_id": "1", "item": "SHOVEL", "quantity": quantity, "location": location}
        assert self.say(kind, order_id=order_id, channel="web", lines=[line], item=None, location=None) == []

    def pass_to(self, moment: int) -> None:
        """Let the clock and the slowest partition come to a moment, and the shard do what is due."""
        self.now = self.engine.slowest = moment
        self.engine.pass_time(moment)

    def settle(self) -> None:
        """Let the tidying that is due be done, with the clock where it is allowed to be."""
        for _ in range(3):
            self.pass_to(self.now + TIDY_EVERY)

    @property
    def item(self) -> Item:
        item = self.engine.shard.find("SHOVEL")
        assert item is not None
        return item

    @property
    def on_hand(self) -> int:
        return self.engine.position("SHOVEL", self.now)["DC1"]["on_hand"]

    @property
    def ids(self) -> int:
        return len(self.engine.shard.ids)

    def remembered(self) -> dict[str, int]:
        """How many entries of each kind are in memory."""
        cells = [cell for place in self.item.places.values() for cell in (place, *(place.lots or {}).values())]
        return {
            "ids": self.ids,
            "pairs": len(self.engine.shard.ids),
            "moves": sum(len(cell.moves or ()) + len(cell.quarantine_moves or ()) for cell in cells) // 2,
            "lines": len(self.item.lines),
            "transfers": len(self.item.transfers),
            "receipts": len(self.item.receipts),
            "expiries": len(self.engine.shard._expiries),
        }


@pytest.fixture
def house() -> House:
    return House()


# Ids


def test_an_id_is_known_as_long_as_its_repeat_would_be_accepted(house: House) -> None:
    event = {
        "event_id": "once",
        "type": "stock_received",
        "source": "wms",
        "occurred_at": (EPOCH + timedelta(microseconds=NOON)).isoformat(),
        "item": "SHOVEL",
        "location": "DC1",
        "quantity": 5,
    }
    assert house.hand(event) == []
    for after in range(0, WINDOW + 1, 2 * HOUR):
        house.pass_to(NOON + after)
        assert house.hand(event) == []
    assert house.now == NOON + WINDOW
    assert (house.engine.duplicates, house.on_hand) == (13, 5)
    for after in (1, HOUR, 2 * HOUR, DAY, 30 * DAY):
        house.pass_to(NOON + WINDOW + after)
        assert house.hand(event) == [("late", None)]
    assert (house.engine.duplicates, house.on_hand, house.ids) == (13, 5, 0)


def test_an_id_goes_soon_after_nobody_could_repeat_it(house: House) -> None:
    house.did("stock_received", 5)
    house.pass_to(NOON + WINDOW)
    assert house.ids == 1
    house.pass_to(NOON + WINDOW + SLACK)
    assert house.ids == 0
    assert house.on_hand == 5


def test_an_event_from_the_future_is_known_for_as_long_again(house: House) -> None:
    event_at = NOON + 5 * MINUTE
    house.did("stock_received", 5, event_at, event_id="early")
    house.pass_to(event_at + WINDOW)
    assert house.say("stock_received", event_at, "early", quantity=5) == []
    assert (house.engine.duplicates, house.on_hand) == (1, 5)


def test_in_a_backlog_an_id_outlives_the_window_until_the_slowest_partition_has_passed_it(house: House) -> None:
    house.did("stock_received", 5, event_id="once")
    house.engine.pass_time(NOON + 10 * DAY)  # the wall clock; one partition still stands at noon
    assert house.ids == 1
    assert house.say("stock_received", NOON, "once", quantity=5) == []
    assert house.engine.duplicates == 1


def test_a_source_with_a_longer_window_is_known_for_longer() -> None:
    house = House(erp={"dedup_window_us": 3 * WINDOW})
    house.did("stock_received", 5, event_id="fast")
    house.did("stock_received", 7, event_id="slow", source="erp")
    house.pass_to(NOON + WINDOW + SLACK)
    assert house.ids == 1
    assert house.say("stock_received", NOON, "slow", quantity=7, source="erp") == []
    assert house.say("stock_received", NOON, "fast", quantity=5) == [("late", None)]
    house.pass_to(NOON + 3 * WINDOW)
    assert house.say("stock_received", NOON, "slow", quantity=7, source="erp") == []
    assert (house.engine.duplicates, house.on_hand) == (2, 12)
    house.pass_to(NOON + 3 * WINDOW + SLACK)
    assert house.ids == 0


# Journals


def test_a_late_count_finds_every_movement_it_could_come_before(house: House) -> None:
    for hour in range(0, 25, 2):
        house.pass_to(NOON + hour * HOUR)
        house.did("stock_received", 1, status="quarantined")
    house.settle()
    house.pass_to(house.now)
    # the oldest moment that a count may still speak of, and those around it
    oldest = house.now - WINDOW
    later = sum(NOON + hour * HOUR > oldest for hour in range(0, 25, 2))
    assert 0 < later < 13
    assert house.say("stock_counted", oldest - 1, quantity=0, quarantined=0) == [("late", None)]
    assert house.say("stock_counted", oldest, quantity=0, quarantined=0) == []
    assert house.engine.position("SHOVEL", house.now)["DC1"]["on_hand"] == later
    assert house.engine.position("SHOVEL", house.now)["DC1"]["quarantined"] == later


def test_a_journal_keeps_a_window_of_movements_and_no_more(house: House) -> None:
    for hour in range(24 * 7):
        house.pass_to(NOON + hour * HOUR)
        house.did("stock_received", 1, status="quarantined" if hour % 2 else "available")
    house.settle()
    inside = sum(NOON + hour * HOUR > house.now - WINDOW for hour in range(24 * 7))
    halves = sum(NOON + hour * HOUR > house.now - WINDOW for hour in range(1, 24 * 7, 2))
    assert house.remembered()["moves"] <= inside + halves + 1
    assert house.on_hand == 24 * 7
    house.pass_to(house.now + WINDOW + SLACK)
    assert house.remembered()["moves"] == 0
    assert house.on_hand == 24 * 7


# Order lines


def closed_line(house: House) -> None:
    house.did("stock_received", 10)
    house.order("order_placed", 3)
    house.order("order_allocated", 3, location="DC1")
    house.did("pick_confirmed", 3, order_id="SO-1", line_id="1")


@pytest.mark.parametrize("after", [0, DAY, RETENTION - 1])
def test_a_shipment_within_the_retention_deducts_nothing_again(house: House, after: int) -> None:
    closed_line(house)
    house.pass_to(NOON + after)
    house.did("shipment_confirmed", 3, order_id="SO-1", line_id="1")
    assert house.on_hand == 7


def test_a_line_with_nothing_left_to_claim_is_forgotten_after_the_retention(house: House) -> None:
    closed_line(house)
    house.pass_to(NOON + RETENTION - 1)
    assert house.remembered()["lines"] == 1
    house.pass_to(NOON + RETENTION)
    house.settle()
    assert house.remembered()["lines"] == 0
    assert house.on_hand == 7
    house.did("shipment_confirmed", 3, order_id="SO-1", line_id="1")
    assert house.on_hand == 4, "after the retention it deducts again, as the contract says"


def test_a_later_event_on_a_line_begins_its_retention_anew(house: House) -> None:
    closed_line(house)
    house.pass_to(NOON + 5 * DAY)
    house.did("shipment_confirmed", 3, order_id="SO-1", line_id="1")
    house.pass_to(NOON + 12 * DAY - 1)
    assert house.remembered()["lines"] == 1
    house.pass_to(NOON + 12 * DAY)
    house.settle()
    assert house.remembered()["lines"] == 0


@pytest.mark.parametrize("kind", ["demanded", "allocated"])
def test_a_line_that_claims_something_is_never_forgotten(house: House, kind: str) -> None:
    house.did("stock_received", 10)
    house.order("order_placed", 3)
    if kind == "allocated":
        house.order("order_allocated", 3, location="DC1")
    house.pass_to(NOON + 400 * DAY)
    house.settle()
    assert house.remembered()["lines"] == 1
    answer = house.engine.promise("SHOVEL", "web", house.now)
    assert answer is not None and answer.atp == 7


@pytest.mark.parametrize("how", ["cancelled", "lapsed"])
def test_a_line_that_was_given_up_is_forgotten_too(house: House, how: str) -> None:
    line = {"line_id": "1", "item": "SHOVEL", "quantity": 3}
    expires_at = (EPOCH + timedelta(microseconds=NOON + HOUR)).isoformat()
    assert house.say("order_placed", order_id="SO-1", channel="web", lines=[line], expires_at=expires_at) == []
    if how == "cancelled":
        house.order("order_cancelled")
    house.pass_to(NOON + RETENTION)
    house.settle()
    assert house.remembered()["lines"] == house.remembered()["expiries"] == 0


def test_a_window_longer_than_the_retention_keeps_lines_as_long_as_itself() -> None:
    house = House(erp={"dedup_window_us": 2 * RETENTION})
    closed_line(house)
    house.pass_to(NOON + RETENTION + SLACK)
    house.settle()
    assert house.remembered()["lines"] == 1
    house.pass_to(NOON + 2 * RETENTION)
    house.settle()
    assert house.remembered()["lines"] == 0


# Transfers and receipts


def test_what_is_still_on_its_way_is_never_forgotten(house: House) -> None:
    eta = "2026-12-01T12:00:00Z"
    house.did("transfer_shipped", 5, transfer_id="T-1", to_location="DC2")
    house.did("receipt_expected", 9, receipt_id="PO-1", eta=eta)
    house.pass_to(NOON + 3 * RECEIPT_RETENTION)
    house.settle()
    assert (house.remembered()["transfers"], house.remembered()["receipts"]) == (1, 1)
    house.did("stock_received", 2, transfer_id="T-1", location="DC2")
    house.did("stock_received", 4, receipt_id="PO-1")
    position = house.engine.position("SHOVEL", house.now)
    assert (position["DC2"]["in_transit"], position["DC1"]["expected"]) == (3, 5)


def test_done_transfers_and_receipts_go_after_their_retention(house: House) -> None:
    eta = "2026-12-01T12:00:00Z"
    house.did("transfer_shipped", 5, transfer_id="T-1", to_location="DC2")
    house.did("stock_received", 5, transfer_id="T-1", location="DC2")
    house.did("transfer_shipped", 5, transfer_id="T-2", to_location="DC2")
    assert house.say("transfer_closed", transfer_id="T-2", location="DC2") == []
    house.did("receipt_expected", 9, receipt_id="PO-1", eta=eta)
    house.did("stock_received", 10, receipt_id="PO-1")
    house.did("receipt_expected", 9, receipt_id="PO-2", eta=eta)
    assert house.say("receipt_cancelled", receipt_id="PO-2") == []
    house.pass_to(NOON + RECEIPT_RETENTION - 1)
    assert (house.remembered()["transfers"], house.remembered()["receipts"]) == (2, 2)
    assert house.engine.exceptions("SHOVEL", house.now) == {("over_received", "DC1", "PO-1")}
    house.pass_to(NOON + RECEIPT_RETENTION)
    house.settle()
    assert (house.remembered()["transfers"], house.remembered()["receipts"]) == (0, 0)
    house.did("stock_received", 1)
    assert house.engine.exceptions("SHOVEL", house.now) == set(), "what is forgotten is over"


# Weeks


def test_weeks_of_business_cost_what_one_window_costs(house: House) -> None:
    peaks: list[dict[str, int]] = []
    for day in range(28):
        for hour in range(0, 24, 2):
            house.pass_to(NOON + day * DAY + hour * HOUR)
            name = f"SO-{day}-{hour}"
            house.did("stock_received", 3, lot=f"L{hour % 3}" if hour % 3 else None)
            house.order("order_placed", 2, name)
            house.order("order_allocated", 2, name, "DC1")
            house.did("pick_confirmed", 2, order_id=name, line_id="1")
            house.did("shipment_confirmed", 2, order_id=name, line_id="1")
            house.did("stock_status_changed", 1, from_status="available", to_status="quarantined")
        if day % 5 == 4:
            house.engine.resume()
        peaks.append(house.remembered())
    for kind in ("ids", "pairs", "moves", "lines"):
        assert max(peak[kind] for peak in peaks[14:]) <= max(peak[kind] for peak in peaks[8:14]), kind
    events = 28 * 12
    position = house.engine.position("SHOVEL", house.now)["DC1"]
    assert (position["on_hand"], position["quarantined"], position["hard_reserved"]) == (events, events, 0)
    house.pass_to(house.now + RETENTION)
    house.settle()
    house.engine.resume()
    assert house.remembered() == dict.fromkeys(house.remembered(), 0)
    position = house.engine.position("SHOVEL", house.now)["DC1"]
    assert (position["on_hand"], position["quarantined"]) == (events, events)


def test_the_snapshot_comes_back_down_with_what_was_forgotten(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard, "SEAL_FROM", 1)

    def stored() -> int:
        sealed = sum(len(layer) for layers in house.engine.segments.files.values() for layer in layers)
        return sealed + len(house.engine.shard.snapshot())

    def business(days: range) -> None:
        for day in days:
            for hour in range(24):
                house.pass_to(NOON + day * DAY + hour * HOUR)
                name = f"SO-{day}-{hour}"
                house.did("stock_received", 3)
                house.did("pick_confirmed", 2, order_id=name, line_id="1")
                house.engine.shard.snapshot()

    business(range(10))
    first = stored()
    business(range(10, 40))
    assert stored() < 3 * first, "forty days take no more room than a few windows and retentions"
