"""Decides whether the naive model promises what section 5 of the contract says, in numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.desk import HOUR, NOW, Desk, at, instant


@pytest.fixture
def desk() -> Desk:
    return Desk()


# Promises


def test_every_item_in_force_has_a_promise_from_the_start(desk: Desk) -> None:
    assert (desk.atp(), desk.promise().by_day) == (0, None)
    assert desk.model.promise("SHOVEL", "market", NOW) is None
    assert desk.model.promise("RAKE", "web", NOW) is None


def test_an_unlisted_or_forgotten_item_has_no_promise(desk: Desk) -> None:
    desk.did("stock_received", 5)
    desk.knows("channel_items", channel="web", item="SHOVEL", listed=False)
    assert desk.model.promise("SHOVEL", "web", NOW) is None
    desk.forgets("channel_items", "web:SHOVEL")
    assert desk.atp() == 5
    desk.forgets("items", "SHOVEL")
    assert desk.model.promise("SHOVEL", "web", NOW) is None
    assert desk.model.position("SHOVEL", NOW) == {}


def test_the_debt_of_one_location_takes_nothing_from_another(desk: Desk) -> None:
    desk.knows("channels", channel="web", locations=["DC1", "DC2"])
    desk.did("stock_received", 5)
    desk.did("stock_adjusted", -9, "DC2")
    assert desk.promise().available == {"DC1": [5], "DC2": [0]}
    assert desk.atp() == 5


def test_a_parent_stands_for_itself_and_all_beneath_it(desk: Desk) -> None:
    desk.knows("locations", location="EU", sellable=False)
    desk.knows("locations", location="DC2", parent="EU")
    desk.knows("locations", location="STORE", parent="DC2")
    desk.knows("channels", channel="web", locations=["EU", "EU"])
    for location, quantity in (("EU", 1), ("DC1", 2), ("DC2", 4), ("STORE", 8)):
        desk.did("stock_received", quantity, location)
    assert desk.promise().available == {"DC2": [4], "STORE": [8]}
    desk.knows("locations", location="DC2", parent="EU", sellable=False)
    assert desk.atp() == 8


def test_safety_stock_of_the_star_holds_for_each_location_not_named(desk: Desk) -> None:
    desk.knows("items", item="SHOVEL", safety_stock={"*": 3, "DC2": 1})
    desk.knows("channels", channel="web", locations=["DC1", "DC2"])
    desk.did("stock_received", 10)
    desk.did("stock_received", 10, "DC2")
    assert desk.promise().available == {"DC1": [7], "DC2": [9]}
    assert desk.at("DC1", "available") == 7
    desk.knows("channel_items", channel="web", item="SHOVEL", safety_stock={"DC1": 5})
    assert desk.promise().available == {"DC1": [5], "DC2": [10]}
    assert desk.at("DC1", "available") == 7


def test_a_claim_from_no_location_is_shared_by_channels_that_share_one(desk: Desk) -> None:
    desk.knows("channels", channel="market", locations=["DC1", "DC2"])
    desk.knows("channels", channel="stores", locations=["STORE"])
    for location in ("DC1", "DC2", "STORE"):
        desk.did("stock_received", 10, location)
    desk.order("order_placed", 4)
    assert [desk.atp(channel) for channel in ("web", "market", "stores")] == [6, 16, 10]
    desk.order("order_placed", 25, order_id="SO-2")
    assert [desk.atp(channel) for channel in ("web", "market", "stores")] == [0, 0, 10]


def horizon(desk: Desk, days: int = 4, **channel: Any) -> None:
    desk.knows("channels", channel="web", locations=["DC1"], horizon_days=days, **channel)


def test_no_day_may_break_a_later_promise(desk: Desk) -> None:
    # 10 now, 8 wanted on day 2, 5 more on day 3: 10 10 2 7 would be open, and 2 is what day 0 may give away.
    horizon(desk)
    desk.did("stock_received", 10)
    desk.order("order_placed", 8, "DC1", requested_at=at("08:00", 2))
    desk.did("receipt_expected", 5, receipt_id="PO-1", eta=at("23:59", 3))
    assert desk.promise().open == [10, 10, 2, 7]
    assert desk.promise().by_day == [2, 2, 2, 7]


@pytest.mark.parametrize(("day", "open_by_day"), [(-1, [5] * 4), (0, [5] * 4), (1, [9, 5, 5, 5]), (9, [9, 9, 9, 5])])
def test_a_claim_is_due_today_at_the_earliest_and_on_the_last_day_at_the_latest(
    desk: Desk, day: int, open_by_day: list[int]
) -> None:
    horizon(desk)
    desk.did("stock_received", 9)
    desk.order("order_placed", 4, "DC1", requested_at=at("00:00", day))
    assert desk.promise().open == open_by_day


@pytest.mark.parametrize(("day", "open_by_day"), [(-1, [0] * 4), (0, [4] * 4), (1, [0, 4, 4, 4]), (4, [0] * 4)])
def test_supply_counts_from_its_day_and_never_when_overdue(desk: Desk, day: int, open_by_day: list[int]) -> None:
    horizon(desk)
    desk.did("receipt_expected", 4, receipt_id="PO-1", eta=at("00:00", day))
    assert desk.promise().open == open_by_day


def test_without_a_horizon_no_supply_counts_and_every_claim_is_due(desk: Desk) -> None:
    desk.did("stock_received", 9)
    desk.did("receipt_expected", 4, receipt_id="PO-1", eta=at("12:00"))
    desk.order("order_placed", 2, "DC1", requested_at=at("12:00", 30))
    assert (desk.atp(), desk.promise().by_day) == (7, None)


def test_supply_pays_a_locations_debt_before_it_is_available(desk: Desk) -> None:
    horizon(desk, 2)
    desk.did("stock_adjusted", -3)
    desk.did("receipt_expected", 5, receipt_id="PO-1", eta=at("12:00", 1))
    assert desk.promise().by_day == [0, 2]


@pytest.mark.parametrize(("promised", "eta", "by_day"), [(True, 1, [0, 6]), (False, 1, [0, 0]), (True, None, [0, 0])])
def test_transit_counts_where_the_channel_says_so_and_the_eta_is_known(
    desk: Desk, promised: bool, eta: int | None, by_day: list[int]
) -> None:
    horizon(desk, 2, promise_in_transit=promised)
    arrival = None if eta is None else at("12:00", eta)
    desk.did("transfer_shipped", 6, "DC2", transfer_id="T1", to_location="DC1", eta=arrival)
    assert desk.promise().by_day == by_day


def test_the_eta_of_a_transfer_is_that_of_its_newest_shipment(desk: Desk) -> None:
    horizon(desk, 3, promise_in_transit=True)
    parts = {"transfer_id": "T1", "to_location": "DC1"}
    desk.did("transfer_shipped", 2, "DC2", eta=at("12:00", 2), occurred_at=at("11:00"), **parts)
    desk.did("transfer_shipped", 3, "DC2", eta=at("12:00", 1), occurred_at=at("10:00"), **parts)
    assert desk.promise().by_day == [0, 0, 5]
    desk.did("transfer_shipped", 1, "DC2", **parts)
    assert desk.promise().by_day == [0, 0, 0]


def test_at_midnight_utc_the_days_move_on(desk: Desk) -> None:
    horizon(desk, 3)
    desk.did("receipt_expected", 4, receipt_id="PO-1", eta=at("12:00", 1))
    midnight = instant(at("00:00", 1))
    assert desk.promise(now=midnight - 1).by_day == [0, 4, 4]
    assert desk.promise(now=midnight).by_day == [4, 4, 4]
    assert desk.promise(now=midnight + 24 * HOUR).by_day == [0, 0, 0]


# Protection, buffers, cap, minimum


def test_a_protected_quantity_is_withheld_from_the_others(desk: Desk) -> None:
    desk.knows("channels", channel="vip", locations=["DC1"], protected_quantity=4, priority=1)
    desk.did("stock_received", 10)
    assert (desk.atp("web"), desk.atp("vip")) == (6, 10)
    desk.order("order_placed", 7, "DC1", channel="vip")
    assert (desk.atp("web"), desk.atp("vip")) == (0, 3)


def test_a_floor_of_lower_priority_yields_to_the_higher_one(desk: Desk) -> None:
    # 10 in all. shop protects 6, vip 7: vip max(10-6, min(7, 10)) = 7; shop max(10-7, min(6, 10-7)) = 3; web 10-13 = 0.
    desk.knows("channels", channel="vip", locations=["DC1"], protected_quantity=7, priority=1)
    desk.knows("channels", channel="shop", locations=["DC1"], protected_quantity=6, priority=2)
    desk.did("stock_received", 10)
    assert [desk.atp(channel) for channel in ("vip", "shop", "web")] == [7, 3, 0]
    assert (desk.promise("shop").withheld, desk.promise("shop").withheld_above) == ([7], [7])
    assert (desk.promise("vip").withheld, desk.promise("vip").withheld_above) == ([6], [0])


def test_of_equal_priority_the_code_that_sorts_first_goes_first(desk: Desk) -> None:
    desk.knows("channels", channel="a", locations=["DC1"], protected_quantity=7)
    desk.knows("channels", channel="b", locations=["DC1"], protected_quantity=7)
    desk.did("stock_received", 10)
    assert [desk.atp(channel) for channel in ("a", "b")] == [7, 3]


def test_only_what_lies_at_shared_locations_can_be_withheld(desk: Desk) -> None:
    desk.knows("channels", channel="web", locations=["DC1", "DC2"])
    desk.knows("channels", channel="vip", locations=["DC2", "STORE"], protected_quantity=50)
    desk.did("stock_received", 10)
    desk.did("stock_received", 5, "DC2")
    assert desk.atp("web") == 10
    desk.knows("channel_items", channel="vip", item="SHOVEL", listed=False)
    assert desk.atp("web") == 15


def test_buffers_then_cap_then_minimum(desk: Desk) -> None:
    desk.did("stock_received", 21)
    limits: dict[str, Any] = {"channel": "web", "locations": ["DC1"], "buffer_quantity": 2, "buffer_percent": 10}
    desk.knows("channels", **limits)
    assert desk.atp() == 21 - 2 - 3
    desk.knows("channels", **limits, cap=12)
    assert desk.atp() == 12
    desk.knows("channels", **limits, minimum=16)
    assert desk.atp() == 16
    desk.knows("channels", **limits, minimum=17)
    assert desk.atp() == 0


def test_the_most_specific_limit_that_is_given_wins(desk: Desk) -> None:
    desk.did("stock_received", 20)
    desk.knows("channels", channel="web", locations=["DC1"], buffer_quantity=5, cap=10)
    desk.knows("channel_items", channel="web", item="SHOVEL", buffer_quantity=0, cap=None)
    assert desk.atp() == 10
    desk.knows("channel_items", channel="web", item="SHOVEL", cap=30)
    assert desk.atp() == 15


def test_limits_are_in_base_units_and_promises_in_the_items_scale(desk: Desk) -> None:
    desk.knows("items", item="SHOVEL", base_uom="kg", scale=1, safety_stock={"*": 2.5})
    desk.knows("channels", channel="web", locations=["DC1"], buffer_quantity=3)
    desk.did("stock_received", "20.5")
    assert desk.promise().available == {"DC1": [180]}
    assert desk.atp() == 150
