"""The demo's judge: what counts, what it adds up to, and that no wrong number passes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from flows.audit.compare import Report, Tally, compare_dead_letters, compare_position, compare_promises, percentile
from flows.audit.model import Model
from flows.audit.quantities import oversold
from flows.audit.reading import Record
from flows.demo import garbage, scenario, world
from flows.demo.scenario import Scenario

HOUR, MINUTE, DAY = 3_600_000_000, 60_000_000, 86_400_000_000
NOON = int(datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp()) * 1_000_000
SOURCES = {"shop-plugin": {"may_send": frozenset({"order_placed"})}}


class Desk:
    """Records events as Kafka would, and asks the model."""

    def __init__(self) -> None:
        self.reference: list[Record] = []
        self.events: list[Record] = []
        self.knows("locations", "north", location="north", sellable=False)
        for code in ("DC1", "DC2"):
            self.knows("locations", code, location=code, parent="north")
        self.knows("channels", "web", channel="web", locations=["north"], priority=1)
        self.knows("items", "SHOVEL", item="SHOVEL", conversions={"case": 12})
        self.knows("items", "CHEESE", item="CHEESE", base_uom="kg", scale=1)

    def knows(self, kind: str, key: str, **record: Any) -> None:
        self.told(f"inventory.{kind}", key.encode(), json.dumps(record).encode())

    def told(self, topic: str, key: bytes, value: bytes) -> None:
        """A reference record."""
        self.reference.append(Record((topic, 0, len(self.reference)), NOON, key, value))

    def raw(self, topic: str, value: bytes, minutes_later: int = 0) -> None:
        place = (f"inventory.{topic}", 0, len(self.events))
        self.events.append(Record(place, NOON + minutes_later * MINUTE, b"", value))

    def says(self, kind: str, minute: int = 0, topic: str = "warehouse", **fields: Any) -> None:
        """An event that occurred `minute` minutes after 11:00; of the shovel at DC1 unless told otherwise."""
        event = {
            "event_id": f"e{len(self.events)}",
            "type": kind,
            "source": "wms",
            "occurred_at": _text(NOON - HOUR + minute * MINUTE),
            "item": "SHOVEL",
            "location": "DC1",
        }
        self.raw(topic, json.dumps(event | fields).encode())

    def order(self, kind: str, minute: int = 0, **line: Any) -> None:
        head = {name: line.pop(name) for name in ("channel", "expires_at", "requested_at", "event_id") if name in line}
        lines = [{"line_id": "1", "item": "SHOVEL", **line}]
        self.says(kind, minute, "orders", item=None, location=None, order_id="SO-1", lines=lines, **head)

    @property
    def model(self) -> Model:
        """All that was told, taken in."""
        return self.accepted()[0]

    def accepted(self) -> tuple[Model, dict[tuple[str, int, int], list[tuple[str, str | None]]]]:
        """The model, and what it refused."""
        model = Model(24 * HOUR, 5 * MINUTE, SOURCES)
        return model, model.accept_all(self.reference, self.events)

    def codes(self) -> list[str]:
        return [code for refusals in self.accepted()[1].values() for code, _ in refusals]

    def position(self, item: str = "SHOVEL") -> dict[str, dict[str, int]]:
        return self.model.position(item, NOON)

    def at(self, location: str = "DC1", item: str = "SHOVEL") -> dict[str, int]:
        return self.position(item)[location]

    def promise(self, channel: str = "web", item: str = "SHOVEL") -> list[int]:
        promise = self.model.promise(item, channel, NOON)
        assert promise is not None
        return promise.by_day or [promise.atp]


def _text(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1_000_000, UTC).isoformat()


# --- what counts -----------------------------------------------------------------------------------------------------


def test_a_repeat_counts_once_and_a_contradiction_not_at_all() -> None:
    desk = Desk()
    for quantity, reason in ((5, "first"), (5, "again"), (6, "other")):
        desk.says("stock_received", event_id="same", quantity=quantity, reason=reason)
    model, refused = desk.accepted()
    assert model.duplicates == 1
    assert refused == {("inventory.warehouse", 0, 2): [("conflict", None)]}
    assert desk.at()["on_hand"] == 5


@pytest.mark.parametrize(
    ("age", "code"),
    [(24 * HOUR, None), (24 * HOUR + 1_000, "late"), (-5 * MINUTE, None), (-6 * MINUTE, "in_the_future")],
)
def test_lateness_is_between_log_time_and_event_time(age: int, code: str | None) -> None:
    desk = Desk()
    desk.says("stock_received", quantity=1, occurred_at=_text(NOON - age))
    assert desk.codes() == ([code] if code else [])


def test_log_time_never_runs_back_within_a_partition() -> None:
    desk = Desk()
    desk.raw("warehouse", b"garbage", minutes_later=30 * 60)
    desk.says("stock_received", quantity=1)
    assert set(desk.codes()) == {"not_json", "late"}


@pytest.mark.parametrize("index", range(len(garbage.CODES)), ids=garbage.CODES)
def test_each_kind_of_garbage_is_refused_with_its_code(index: int) -> None:
    desk = Desk()
    desk.knows("items", garbage.ITEM, item=garbage.ITEM)
    desk.knows("locations", garbage.PLACE, location=garbage.PLACE)
    # One in five of those that are too large really is.
    number = next(number for number in range(index, 1000, len(garbage.CODES)) if number % 5 == 0)
    for topic, _, value in garbage.flawed(number, NOON, NOON):
        desk.raw(topic.removeprefix("inventory."), value)
    code = garbage.CODES[index]
    assert desk.codes() == ["unknown_item" if code == "one_bad_line" else code]


def test_a_wrong_line_does_not_take_the_others_with_it() -> None:
    desk = Desk()
    desk.raw("orders", json.dumps({
        "event_id": "e", "type": "order_placed", "source": "shop", "occurred_at": _text(NOON), "order_id": "SO-1",
        "channel": "web", "lines": [
            {"line_id": "a", "item": "SHOVEL", "quantity": 2}, {"line_id": "b", "item": "SPADE", "quantity": 1}],
    }).encode())  # fmt: skip
    model, refused = desk.accepted()
    assert refused == {("inventory.orders", 0, 0): [("unknown_item", "b")]}
    assert [unit.quantity for unit in model.units_of["SHOVEL"]] == [2]


def test_events_are_taken_in_the_order_in_which_they_were_logged_whatever_their_topics() -> None:
    for first, quantity in (("warehouse", 1), ("orders", 2)):
        desk = Desk()
        desk.order("order_allocated", event_id="same", location="DC1", quantity=2)
        desk.says("pick_confirmed", event_id="same", order_id="SO-1", line_id="1", quantity=1)
        desk.events = [
            record._replace(timestamp_us=NOON + (0 if first in record.place[0] else MINUTE)) for record in desk.events
        ]
        model, refused = desk.accepted()
        assert [unit.quantity for unit in model.units.values()] == [quantity]
        assert list(refused.values()) == [[("conflict", None if first == "orders" else "1")]]


def test_reference_records_are_taken_in_the_order_in_which_they_name_each_other() -> None:
    desk = Desk()
    desk.reference.reverse()
    desk.reference = [record._replace(place=(record.place[0], 0, -at)) for at, record in enumerate(desk.reference)]
    desk.knows("channels", "web", channel="web", locations=["MOON"])
    model, refused = desk.accepted()
    assert refused == {("inventory.channels", 0, 6): [("bad_value", None)]}
    assert model.channels["web"]["locations"] == ["north"]


# --- what it adds up to ----------------------------------------------------------------------------------------------


def test_a_count_swallows_what_came_before_it_whenever_it_arrives() -> None:
    desk = Desk()
    desk.says("stock_received", 30, quantity=4)
    desk.says("stock_counted", 20, quantity=10)
    desk.says("stock_adjusted", 10, quantity=-3)
    assert desk.at()["on_hand"] == 14


def test_units_of_measure_are_converted_exactly() -> None:
    desk = Desk()
    desk.says("stock_received", quantity=2, uom="case")
    desk.says("stock_received", item="CHEESE", quantity="2.5")
    assert desk.at()["on_hand"] == 24
    assert desk.at(item="CHEESE")["on_hand"] == 25


def test_a_pick_and_the_shipment_of_it_are_one_deduction() -> None:
    desk = Desk()
    desk.says("stock_received", 0, quantity=10)
    desk.order("order_placed", 1, channel="web", quantity=3)
    desk.order("order_allocated", 2, location="DC1", quantity=3)
    assert desk.at() == {
        "on_hand": 10, "quarantined": 0, "soft_allocated": 0, "hard_reserved": 3, "in_transit": 0, "expected": 0,
        "withheld": 0, "available": 7,
    }  # fmt: skip
    desk.says("pick_confirmed", 3, order_id="SO-1", line_id="1", quantity=3)
    desk.says("shipment_confirmed", 4, order_id="SO-1", line_id="1", quantity=3)
    assert (desk.at()["on_hand"], desk.at()["hard_reserved"]) == (7, 0)
    assert desk.promise() == [7]


def test_a_cancelled_order_claims_nothing() -> None:
    desk = Desk()
    desk.says("stock_received", quantity=10)
    desk.order("order_cancelled", 5)
    desk.order("order_placed", 1, channel="web", quantity=3)
    assert desk.promise() == [10]


@pytest.mark.parametrize(("lapses", "atp"), [(-1, 10), (0, 10), (1, 7)])
def test_a_cart_lapses_when_its_time_has_come(lapses: int, atp: int) -> None:
    desk = Desk()
    desk.says("stock_received", quantity=10)
    desk.order("order_placed", 1, channel="web", quantity=3, expires_at=_text(NOON + lapses * MINUTE))
    assert desk.promise() == [atp]


def test_a_hold_withholds_and_its_release_gives_back() -> None:
    desk = Desk()
    desk.says("stock_received", quantity=10)
    desk.says("stock_status_changed", 1, quantity=4, from_status="available", to_status="quarantined")
    assert desk.promise() == [6]
    desk.says("stock_status_changed", 2, quantity=4, from_status="quarantined", to_status="available")
    assert desk.promise() == [10]


def test_a_recalled_lot_is_held_but_where_it_was_cleared() -> None:
    desk = Desk()
    for location in ("DC1", "DC2"):
        desk.says("stock_received", quantity=6, lot="L7", location=location)
    desk.says("lot_held", 1, lot="L7", location=None)
    desk.says("lot_released", 2, lot="L7", location="DC2")
    assert (desk.at("DC1")["quarantined"], desk.at("DC2")["quarantined"]) == (6, 0)


def test_a_transfer_is_on_hand_nowhere_until_it_arrives() -> None:
    desk = Desk()
    desk.says("stock_received", quantity=10)
    desk.says("transfer_shipped", 1, quantity=4, transfer_id="T1", to_location="DC2")
    assert (desk.at("DC1")["on_hand"], desk.at("DC2")["in_transit"], desk.promise()) == (6, 4, [6])
    desk.says("stock_received", 2, quantity=4, transfer_id="T1", location="DC2")
    assert (desk.at("DC2")["on_hand"], desk.at("DC2")["in_transit"], desk.promise()) == (4, 0, [10])


# --- promises --------------------------------------------------------------------------------------------------------


def test_expected_receipts_are_promised_from_their_day_on_and_no_day_breaks_a_later_one() -> None:
    desk = Desk()
    desk.knows("channels", "web", channel="web", locations=["north"], horizon_days=4)
    desk.says("stock_received", quantity=10)
    desk.says("receipt_expected", topic="supply", receipt_id="PO-1", quantity=5, eta=_text(NOON + 2 * DAY))
    desk.order("order_placed", channel="web", quantity=4, requested_at=_text(NOON + DAY))
    assert desk.promise() == [6, 6, 11, 11]


def test_one_locations_debt_takes_nothing_from_another() -> None:
    desk = Desk()
    desk.says("stock_adjusted", quantity=-5)
    desk.says("stock_received", quantity=7, location="DC2")
    assert desk.promise() == [7]


def test_the_most_specific_policy_wins() -> None:
    desk = Desk()
    desk.knows("channels", "web", channel="web", locations=["north"], buffer_quantity=1, buffer_percent=10, cap=50)
    desk.says("stock_received", quantity=41)
    assert desk.promise() == [35]  # 41 - 1 - ceil(4.1)
    desk.knows("channel_items", "web:SHOVEL", channel="web", item="SHOVEL", buffer_percent=0, minimum=41)
    assert desk.promise() == [0]  # 40, below the minimum
    desk.knows("channel_items", "web:SHOVEL", channel="web", item="SHOVEL", cap=7, safety_stock={"*": 2})
    assert desk.promise() == [7]


def test_a_protected_quantity_is_withheld_from_lower_channels_only() -> None:
    desk = Desk()
    desk.knows("channels", "store", channel="store", locations=["DC1"], priority=2, protected_quantity=4)
    desk.knows("channels", "edi", channel="edi", locations=["DC1"], priority=3)
    desk.says("stock_received", quantity=6)
    assert (desk.promise("store"), desk.promise("edi"), desk.promise("web")) == ([6], [2], [2])


def test_claims_beyond_what_is_there_are_oversold_units() -> None:
    desk = Desk()
    desk.says("stock_received", quantity=2)
    desk.order("order_placed", channel="web", quantity=5)
    assert oversold(desk.position()) == 3


# --- the comparison --------------------------------------------------------------------------------------------------


def test_every_kind_of_wrong_number_is_found() -> None:
    desk = Desk()
    desk.knows("channels", "edi", channel="edi", locations=["DC1"], horizon_days=2)
    desk.knows("channels", "shy", channel="shy", locations=["DC1"])
    desk.knows("channel_items", "shy:SHOVEL", channel="shy", item="SHOVEL", listed=False)
    desk.says("stock_received", quantity=6)
    right = {"web": "6", "edi": "6", "edi:by_day": "[6,6]", "_version": "7"}

    def differences(fields: dict[str, str]) -> int:
        tally = Tally()
        compare_promises("SHOVEL", desk.model, NOON, fields, tally)
        assert tally.total - tally.agree == len(tally.differences)
        return len(tally.differences)

    assert differences(right) == 0
    assert differences(right | {"web": "7"}) == 1
    assert differences(right | {"edi:by_day": "[6,5]"}) == 1
    assert differences(right | {"shy": "0"}) == 1
    assert differences(right | {"ghost": "1"}) == 1
    assert differences({}) == 2


def test_every_wrong_figure_of_a_position_is_found() -> None:
    desk = Desk()
    desk.says("stock_received", quantity=6)
    for fields, wrong in (
        ({"DC1:on_hand": "6", "DC1:available": "6", "_version": "7"}, 0),
        ({"DC1:on_hand": "6", "DC1:available": "5"}, 1),
        ({"DC1:on_hand": "5"}, 1),
        ({"DC1:on_hand": "6", "DC2:on_hand": "1"}, 1),
        ({}, 1),
    ):
        tally = Tally()
        compare_position("SHOVEL", desk.position(), fields, tally)
        assert len(tally.differences) == wrong


def test_every_dead_letter_that_is_missing_wrong_or_too_many_is_found() -> None:
    place = ("inventory.orders", 0, 7)
    refused = {place: [("unknown_item", "b")]}
    for letters, wrong in (
        ({(place, "b"): "unknown_item"}, 0),
        ({(place, "b"): "late"}, 1),
        ({(place, "b"): "unknown_item", (place, "a"): "unknown_item"}, 1),
        ({(place, ""): "unknown_item"}, 2),
        ({}, 1),
    ):
        tally = Tally()
        compare_dead_letters(refused, letters, tally)
        assert len(tally.differences) == wrong


def test_an_audit_of_nothing_is_not_right() -> None:
    assert not Report().is_right
    fine = {"agree": 1, "total": 1}
    assert Report(promises=Tally(**fine), positions=Tally(**fine), dead_letters=Tally(**fine)).is_right
    assert not Report(promises=Tally(**fine), positions=Tally(**fine), dead_letters=Tally(**fine), oversold=1).is_right
    assert not Report(promises=Tally(0, 1), positions=Tally(**fine), dead_letters=Tally(**fine)).is_right


@pytest.mark.parametrize(
    ("values", "share", "answer"),
    [
        ([], 0.99, 0),
        ([7], 0.5, 7),
        ([1, 2, 3, 4], 0.5, 2),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 102)), 0.99, 100),
    ],
)
def test_percentiles_are_by_nearest_rank(values: list[int], share: float, answer: int) -> None:
    assert percentile(values, share) == answer


# --- the script ------------------------------------------------------------------------------------------------------


def test_the_same_seed_plays_the_same_day() -> None:
    assert Scenario(20, 3, NOON).deliveries() == Scenario(20, 3, NOON).deliveries()
    assert Scenario(20, 3, NOON).deliveries() != Scenario(20, 4, NOON).deliveries()


def test_the_day_sells_only_what_is_there_and_nothing_is_late_by_accident() -> None:
    desk = Desk()
    for topic, key, value in world.reference():
        desk.told(topic, key, value)
    play = Scenario(20, 1, NOON)
    for delivery in play.deliveries():
        desk.raw(delivery.topic.removeprefix("inventory."), delivery.value)
    model, refused = desk.accepted()
    # One dead letter each, and none for anything else.
    assert sum(map(len, refused.values())) == scenario.GARBAGE_COUNT
    assert {code for refusals in refused.values() for code, _ in refusals} == set(garbage.CODES) - {"one_bad_line"}
    assert model.duplicates >= play.duplicates > 100
    for item in model.items:
        assert oversold(model.position(item, NOON)) == 0, item
