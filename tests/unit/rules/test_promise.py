"""Decides whether a channel promises what section 5 says, step by step, from a history to each number."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from flows.audit.model import Model
from operators.evaluate import evaluate
from operators.rules.promise import less_unlocated
from tests.desk import HOUR, MINUTE, NOW, Desk, at
from tests.engine import Engine

DAY = 24 * HOUR


class Shop(Desk):
    """A desk with the engine behind it: one location DC1 that the web sells from, and others it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(DAY, 5 * MINUTE)
        self.engine.clock = NOW
        self.model = cast(Model, self.engine)
        for location in ("DC1", "DC2", "STORE"):
            self.knows("locations", location=location)
        self.knows("items", item="SHOVEL")
        self.knows("channels", channel="web", locations=["DC1"])

    def steps(self, channel: str = "web") -> dict[str, Any]:
        """Every step of the channel's promise as `updates.breakdown` shows it; the short way must end the same."""
        short, by_day = self.promise(channel).atp, self.promise(channel).by_day
        item = self.engine.shard.find("SHOVEL")
        assert item is not None and self.engine.shard.policies is not None
        update, _ = evaluate(item, self.engine.shard.policies, self.engine.clock, True, channel)
        assert update is not None
        (change,) = update.channels
        assert change.breakdown is not None
        steps: dict[str, Any] = json.loads(change.breakdown)
        assert (steps["atp"][0], change.atp) == (short, short)
        assert by_day is None or steps["atp"] == by_day
        return steps

    def days(self, channel: str = "web") -> list[int]:
        by_day = self.promise(channel).by_day
        assert by_day is not None
        return by_day

    def order_for(self, quantity: int, requested_at: str | None = None, **fields: Any) -> None:
        """A claim of an order of its own."""
        self.count = getattr(self, "count", 0) + 1
        location = fields.pop("location", None)
        self.order(
            "order_placed", quantity, location, order_id=f"SO-{self.count:03}", requested_at=requested_at, **fields
        )


@pytest.fixture
def shop() -> Shop:
    return Shop()


# Step 1: what is available at a location


def test_available_is_on_hand_less_everything_that_stands_against_it(shop: Shop) -> None:
    shop.knows("items", item="SHOVEL", safety_stock={"DC1": 1})
    shop.did("stock_received", 100)
    assert shop.steps()["available"] == {"DC1": [99]}
    shop.did("stock_status_changed", 10, from_status="available", to_status="quarantined")
    assert shop.steps()["available"] == {"DC1": [89]}
    shop.order("order_allocated", 20, "DC1")
    assert shop.steps()["available"] == {"DC1": [69]}
    shop.order_for(30, location="DC1")
    assert shop.steps()["available"] == {"DC1": [39]}
    assert shop.atp() == 39


@pytest.mark.parametrize(("debt", "available"), [(4, 1), (5, 0), (6, 0)])
def test_the_debt_of_one_location_takes_nothing_from_another(shop: Shop, debt: int, available: int) -> None:
    shop.knows("channels", channel="web", locations=["DC1", "DC2"])
    shop.did("stock_received", 7)
    shop.did("stock_received", 5, "DC2")
    shop.order_for(debt, location="DC2")
    assert shop.steps()["available"] == {"DC1": [7], "DC2": [available]}
    assert shop.atp() == 7 + available


def test_only_the_channels_own_sellable_locations_count(shop: Shop) -> None:
    shop.did("stock_received", 5)
    shop.did("stock_received", 50, "DC2")
    assert shop.atp() == 5
    shop.knows("locations", location="DC1", sellable=False)
    assert shop.atp() == 0


def test_a_pairs_safety_stock_is_this_channels_alone(shop: Shop) -> None:
    shop.knows("channels", channel="shop", locations=["DC1"])
    shop.knows("items", item="SHOVEL", safety_stock={"*": 2})
    shop.knows("channel_items", channel="web", item="SHOVEL", safety_stock={"DC1": 5})
    shop.did("stock_received", 20)
    assert (shop.atp("web"), shop.atp("shop")) == (15, 18)


def test_without_a_horizon_supply_is_no_promise_and_every_claim_is_due(shop: Shop) -> None:
    shop.knows("channels", channel="web", locations=["DC1"], promise_in_transit=True)
    shop.did("stock_received", 10)
    shop.did("receipt_expected", 100, receipt_id="PO-1", eta=at("18:00"))
    shop.did("transfer_shipped", 100, "DC2", to_location="DC1", transfer_id="T-1", eta=at("18:00"))
    shop.order_for(4, at("12:00", 30), location="DC1")
    shop.order_for(1, at("12:00", 30))
    assert shop.atp() == 5
    assert shop.promise().by_day is None


# Step 1 by day: when claims are due


@pytest.fixture
def week(shop: Shop) -> Shop:
    """Four days of promises, and a hundred on hand."""
    shop.knows("channels", channel="web", locations=["DC1"], horizon_days=4)
    shop.did("stock_received", 100)
    return shop


@pytest.mark.parametrize("location", ["DC1", None])
@pytest.mark.parametrize(
    ("requested_at", "open_by_day"),
    [
        (None, [90, 90, 90, 90]),
        (at("23:59", -1), [90, 90, 90, 90]),
        (at("00:00"), [90, 90, 90, 90]),
        (at("23:59"), [90, 90, 90, 90]),
        (at("00:00", 1), [100, 90, 90, 90]),
        (at("23:59", 2), [100, 100, 90, 90]),
        (at("00:00", 3), [100, 100, 100, 90]),
        (at("00:00", 4), [100, 100, 100, 90]),
        (at("00:00", 99), [100, 100, 100, 90]),
    ],
)
def test_a_claim_is_due_on_its_day_today_or_on_the_last_day(
    week: Shop, location: str | None, requested_at: str | None, open_by_day: list[int]
) -> None:
    week.order_for(10, requested_at, location=location)
    steps = week.steps()
    assert steps["open"] == open_by_day
    assert steps["available"] == {"DC1": open_by_day if location else [100] * 4}
    assert week.days() == [90] * 4, "what is claimed for a later day cannot be given away today"


def test_claims_of_many_days_add_up(week: Shop) -> None:
    for quantity, day in ((1, 0), (2, 1), (4, 2), (8, 3), (16, 7)):
        week.order_for(quantity, at("08:00", day), location="DC1")
        week.order_for(quantity * 2, at("08:00", day))
    assert week.steps()["open"] == [100 - 3, 100 - 9, 100 - 21, 100 - 93]


def test_hard_reservations_count_at_once_whatever_day_they_are_for(week: Shop) -> None:
    week.order("order_placed", 10, "DC1", requested_at=at("08:00", 3))
    assert week.steps()["open"] == [100, 100, 100, 90]
    week.order("order_allocated", 10, "DC1")
    assert week.steps()["open"] == [90, 90, 90, 90]


def test_a_day_that_passes_makes_its_claims_due_today(week: Shop) -> None:
    week.order_for(10, at("08:00", 1), location="DC1")
    week.did("receipt_expected", 5, receipt_id="PO-1", eta=at("08:00", 1))
    assert week.steps()["open"] == [100, 95, 95, 95]
    week.engine.pass_time(NOW + 13 * HOUR)
    assert week.steps()["open"] == [95, 95, 95, 95]
    week.engine.pass_time(NOW + 37 * HOUR)
    assert week.steps()["open"] == [90, 90, 90, 90], "overdue supply does not count, overdue claims do"


# Step 1 by day: when supply counts


@pytest.mark.parametrize(
    ("eta", "open_by_day"),
    [
        (at("23:59", -1), [100, 100, 100, 100]),
        (at("00:00"), [107, 107, 107, 107]),
        (at("00:00", 1), [100, 107, 107, 107]),
        (at("23:59", 3), [100, 100, 100, 107]),
        (at("00:00", 4), [100, 100, 100, 100]),
    ],
)
def test_a_receipt_counts_from_the_day_of_its_eta_and_not_when_overdue(
    week: Shop, eta: str, open_by_day: list[int]
) -> None:
    week.did("receipt_expected", 7, receipt_id="PO-1", eta=eta)
    assert week.steps()["open"] == open_by_day


def test_transit_counts_only_where_the_channel_promises_it_and_only_with_an_eta(week: Shop) -> None:
    week.did("transfer_shipped", 7, "DC2", to_location="DC1", transfer_id="T-1", eta=at("08:00", 2))
    week.did("transfer_shipped", 9, "DC2", to_location="DC1", transfer_id="T-2")
    assert week.steps()["open"] == [100, 100, 100, 100]
    week.knows("channels", channel="web", locations=["DC1"], horizon_days=4, promise_in_transit=True)
    assert week.steps()["open"] == [100, 100, 107, 107]
    week.did("receipt_expected", 2, receipt_id="PO-1", eta=at("08:00", 1))
    assert week.steps()["open"] == [100, 102, 109, 109]


def test_supply_fills_a_debt_before_it_is_a_promise(week: Shop) -> None:
    week.did("stock_adjusted", -110)
    week.did("receipt_expected", 15, receipt_id="PO-1", eta=at("08:00", 1))
    assert week.steps()["available"] == {"DC1": [0, 5, 5, 5]}


def test_supply_is_not_available_to_quarantine_or_safety(week: Shop) -> None:
    week.knows("items", item="SHOVEL", safety_stock={"DC1": 3})
    week.did("receipt_expected", 15, receipt_id="PO-1", eta=at("08:00", 1))
    assert week.steps()["available"] == {"DC1": [97, 112, 112, 112]}


def test_a_horizon_of_one_day_is_today_with_todays_supply(shop: Shop) -> None:
    shop.knows("channels", channel="web", locations=["DC1"], horizon_days=1)
    shop.did("receipt_expected", 5, receipt_id="PO-1", eta=at("23:59"))
    shop.did("receipt_expected", 9, receipt_id="PO-2", eta=at("00:00", 1))
    shop.order_for(2, at("12:00", 1), location="DC1")
    assert shop.days() == [3]


# Step 2: claims that name no location yet


def test_a_claim_with_no_location_is_open_to_every_channel_that_shares_a_location(shop: Shop) -> None:
    shop.knows("channels", channel="market", locations=["DC1", "DC2"])
    shop.knows("channels", channel="store", locations=["STORE"])
    for location in ("DC1", "DC2", "STORE"):
        shop.did("stock_received", 10, location)
    shop.order_for(4)
    assert [shop.steps(channel)["open"] for channel in ("web", "market", "store")] == [[6], [16], [10]]
    shop.order_for(3, channel="market")
    assert [shop.steps(channel)["open"] for channel in ("web", "market", "store")] == [[3], [13], [10]]
    shop.order_for(2, channel="store")
    assert [shop.steps(channel)["open"] for channel in ("web", "market", "store")] == [[3], [13], [8]]


@pytest.mark.parametrize(("claim", "opened"), [(9, 1), (10, 0), (11, 0)])
def test_open_is_never_below_zero(shop: Shop, claim: int, opened: int) -> None:
    shop.did("stock_received", 10)
    shop.order_for(claim)
    assert shop.steps()["open"] == [opened]


# Step 3: the promise


def test_nothing_is_given_away_today_that_a_later_day_needs(week: Shop) -> None:
    week.order_for(60, at("08:00", 2), location="DC1")
    week.did("receipt_expected", 30, receipt_id="PO-1", eta=at("08:00", 3))
    steps = week.steps()
    assert steps["open"] == [100, 100, 40, 70]
    assert steps["promise"] == [40, 40, 40, 70]


def test_supply_lifts_only_the_days_from_its_own(week: Shop) -> None:
    week.did("receipt_expected", 30, receipt_id="PO-1", eta=at("08:00", 1))
    week.did("receipt_expected", 5, receipt_id="PO-2", eta=at("08:00", 3))
    assert week.steps()["promise"] == [100, 130, 130, 135]


# Step 4: protection


def protecting(shop: Shop, stock: int = 100, /, **protected: int) -> None:
    """The web, a shop above it and a store below it, all from DC1."""
    for channel, priority in (("shop", 1), ("web", 5), ("zoo", 9)):
        shop.knows(
            "channels",
            channel=channel,
            locations=["DC1"],
            priority=priority,
            protected_quantity=protected.get(channel, 0),
        )
    shop.did("stock_received", stock)


def test_what_other_channels_protect_is_withheld(shop: Shop) -> None:
    protecting(shop, shop=20, zoo=5)
    assert [shop.steps(channel)["withheld"] for channel in ("shop", "web", "zoo")] == [[5], [25], [20]]
    assert [shop.steps(channel)["withheld_above"] for channel in ("shop", "web", "zoo")] == [[0], [20], [20]]
    assert [shop.atp(channel) for channel in ("shop", "web", "zoo")] == [95, 75, 80]


@pytest.mark.parametrize(("stock", "web"), [(24, 0), (25, 0), (26, 1)])
def test_free_is_never_below_zero(shop: Shop, stock: int, web: int) -> None:
    protecting(shop, stock, shop=20, zoo=5)
    assert shop.atp("web") == web


def test_a_protected_channel_keeps_its_own_against_all_but_higher_ones(shop: Shop) -> None:
    protecting(shop, 30, shop=20, web=15, zoo=40)
    # the shop: min(20, 30), the web: min(15, 30 - 20), the zoo: min(40, 30 - 35); without protection all have less
    assert [shop.atp(channel) for channel in ("shop", "web", "zoo")] == [20, 10, 0]


def test_its_own_protection_is_at_most_what_is_promised(shop: Shop) -> None:
    protecting(shop, 10, shop=20, zoo=40)
    assert [shop.atp(channel) for channel in ("shop", "web", "zoo")] == [10, 0, 0]


def test_more_may_be_free_than_the_protected_quantity(shop: Shop) -> None:
    protecting(shop, 100, web=15)
    assert shop.atp("web") == 100


def test_on_a_tie_of_priorities_the_code_that_sorts_first_is_higher(shop: Shop) -> None:
    for channel in ("web", "app"):
        shop.knows("channels", channel=channel, locations=["DC1"], priority=5, protected_quantity=10)
    shop.did("stock_received", 10)
    assert (shop.atp("app"), shop.atp("web")) == (10, 0)


def test_protection_reaches_no_further_than_what_the_shared_locations_have(shop: Shop) -> None:
    shop.knows("channels", channel="web", locations=["DC1", "DC2"])
    shop.knows("channels", channel="shop", locations=["DC2", "STORE"], priority=1, protected_quantity=50)
    for location, quantity in (("DC1", 30), ("DC2", 4), ("STORE", 90)):
        shop.did("stock_received", quantity, location)
    assert shop.steps("web")["withheld"] == [4]
    assert shop.atp("web") == 30


def test_the_shared_locations_are_computed_as_this_channel_computes_them(shop: Shop) -> None:
    shop.knows("channels", channel="shop", locations=["DC1"], priority=1, protected_quantity=50)
    shop.knows("channel_items", channel="web", item="SHOVEL", safety_stock={"DC1": 8})
    shop.did("stock_received", 20)
    assert shop.steps("web")["withheld"] == [12]
    assert shop.steps("shop")["available"] == {"DC1": [20]}


def test_a_channel_that_does_not_list_the_item_or_shares_nothing_withholds_nothing(shop: Shop) -> None:
    protecting(shop, 100, shop=20)
    shop.knows("channels", channel="far", locations=["DC2"], priority=1, protected_quantity=30)
    assert shop.atp("web") == 80
    shop.knows("channel_items", channel="shop", item="SHOVEL", listed=False)
    assert shop.atp("web") == 100


def test_protection_is_withheld_day_by_day(week: Shop) -> None:
    week.knows("channels", channel="shop", locations=["DC1"], priority=1, protected_quantity=120)
    week.did("receipt_expected", 50, receipt_id="PO-1", eta=at("08:00", 2))
    steps = week.steps()
    assert steps["withheld"] == steps["withheld_above"] == [100, 100, 120, 120]
    assert week.days() == [0, 0, 30, 30]


def test_own_protection_holds_day_by_day(week: Shop) -> None:
    week.knows("channels", channel="web", locations=["DC1"], horizon_days=4, protected_quantity=60)
    week.knows("channels", channel="shop", locations=["DC1"], priority=1, protected_quantity=70)
    week.knows("channels", channel="zoo", locations=["DC1"], priority=999, protected_quantity=999)
    week.did("receipt_expected", 50, receipt_id="PO-1", eta=at("08:00", 2))
    assert week.days() == [30, 30, 60, 60]
    assert week.steps()["free"] == [30, 30, 60, 60]


# Step 5 by day


def test_buffers_cap_and_minimum_hold_on_every_day(week: Shop) -> None:
    week.knows(
        "channels",
        channel="web",
        locations=["DC1"],
        horizon_days=4,
        buffer_quantity=5,
        buffer_percent=10,
        cap=120,
        minimum=40,
    )
    week.order_for(60, at("08:00"), location="DC1")
    week.did("receipt_expected", 11, receipt_id="PO-1", eta=at("08:00", 1))
    week.did("receipt_expected", 4, receipt_id="PO-2", eta=at("08:00", 2))
    week.did("receipt_expected", 99, receipt_id="PO-3", eta=at("08:00", 3))
    steps = week.steps()
    assert steps["free"] == [40, 51, 55, 154]
    # 40-5-4 and 51-5-6 and 55-5-6 and 154-5-16
    assert steps["atp"] == [0, 40, 44, 120]


# The short way and the whole one


def test_channels_of_one_item_may_be_plain_protected_and_by_day_side_by_side(shop: Shop) -> None:
    shop.knows("channels", channel="days", locations=["DC1"], horizon_days=2)
    shop.knows("channels", channel="plain", locations=["DC1", "DC2"])
    shop.did("stock_received", 10)
    shop.did("stock_received", 5, "DC2")
    shop.order_for(3, at("08:00", 1))
    assert [shop.steps(channel)["atp"] for channel in ("web", "days", "plain")] == [[7], [7, 7], [12]]
    shop.knows("channel_items", channel="plain", item="SHOVEL", protected_quantity=4)
    assert [shop.steps(channel)["atp"] for channel in ("web", "days", "plain")] == [[3], [3, 3], [12]]


@pytest.mark.parametrize(("total", "open_today"), [(9, 1), (8, 0), (7, 0)])
def test_claims_with_no_location_leave_nothing_below_zero_the_short_way_too(total: int, open_today: int) -> None:
    assert less_unlocated(total, {"web": 5, "shop": 3, "far": 100}, {"web", "shop", "quiet"}) == open_today


def test_what_is_free_is_never_below_zero_also_where_more_is_withheld_than_there_is(shop: Shop) -> None:
    shop.knows("channels", channel="shop", locations=["DC1"], priority=1, protected_quantity=8)
    shop.knows("channels", channel="edi", locations=["DC1"], priority=2, protected_quantity=8)
    shop.did("stock_received", 10)
    steps = shop.steps("web")
    assert (steps["withheld"], steps["withheld_above"], steps["free"]) == ([16], [16], [0])
