"""Decides whether a channel's policy is the most specific one given, and does to a quantity what step 5 says."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from operators.rules.policy import ItemFacts, OverrideFacts, Policy, effective, lists, policies_of
from operators.rules.topology import ChannelFacts, LocationFacts, Topology


def policy(
    item: ItemFacts | None = None, channel: ChannelFacts | None = None, override: OverrideFacts | None = None
) -> Policy:
    return effective(item or ItemFacts(), channel or ChannelFacts(), override)


def allowing(**given: Any) -> Policy:
    return policy(channel=ChannelFacts(**given))


def by_channel(name: str, value: int) -> ChannelFacts:
    given: dict[str, Any] = {name: value}
    return ChannelFacts(**given)


def by_pair(name: str, value: str) -> OverrideFacts:
    given: dict[str, Any] = {name: Fraction(value)}
    return OverrideFacts(**given)


# Step 5


def test_without_a_policy_all_that_is_free_may_be_promised() -> None:
    assert [policy().allow(free) for free in (0, 1, 100)] == [0, 1, 100]


@pytest.mark.parametrize(("free", "atp"), [(4, 0), (5, 0), (6, 1), (100, 95)])
def test_the_buffer_is_taken_off_and_never_gives_less_than_nothing(free: int, atp: int) -> None:
    assert allowing(buffer_quantity=5).allow(free) == atp


@pytest.mark.parametrize(("free", "atp"), [(0, 0), (1, 0), (9, 8), (10, 9), (11, 9), (20, 18), (21, 18), (100, 90)])
def test_the_percentage_is_of_what_is_free_and_rounded_up(free: int, atp: int) -> None:
    assert allowing(buffer_percent=Fraction(10)).allow(free) == atp


@pytest.mark.parametrize(
    ("percent", "free", "atp"), [("12.5", 8, 7), ("12.5", 9, 7), ("33.3", 1000, 667), ("0.1", 1, 0), ("100", 7, 0)]
)
def test_a_percentage_may_be_a_fraction_and_is_exact(percent: str, free: int, atp: int) -> None:
    assert allowing(buffer_percent=Fraction(percent)).allow(free) == atp


def test_buffer_and_percentage_add_up_and_the_percentage_is_of_all_that_is_free() -> None:
    assert allowing(buffer_quantity=5, buffer_percent=Fraction(10)).allow(100) == 85


@pytest.mark.parametrize(("free", "atp"), [(6, 6), (7, 7), (8, 7)])
def test_the_cap_is_the_most_that_is_promised(free: int, atp: int) -> None:
    assert allowing(cap=7).allow(free) == atp


def test_a_cap_of_zero_is_a_cap() -> None:
    assert allowing(cap=0).allow(9) == 0


@pytest.mark.parametrize(("free", "atp"), [(6, 0), (7, 7), (8, 8)])
def test_below_the_minimum_nothing_is_promised(free: int, atp: int) -> None:
    assert allowing(minimum=7).allow(free) == atp


def test_the_cap_comes_after_the_buffers_and_the_minimum_after_the_cap() -> None:
    assert allowing(buffer_quantity=5, cap=10).allow(12) == 7
    assert allowing(buffer_quantity=5, cap=10).allow(16) == 10
    assert allowing(cap=3, minimum=4).allow(100) == 0
    assert allowing(buffer_quantity=5, minimum=4).allow(8) == 0
    assert allowing(buffer_quantity=5, minimum=4).allow(9) == 4


# Which value stands


NAMES = ("buffer_quantity", "cap", "minimum", "low_stock_threshold", "protected_quantity")


@pytest.mark.parametrize("name", NAMES)
def test_the_most_specific_value_that_is_given_wins(name: str) -> None:
    general, specific = by_channel(name, 7), by_pair(name, "3")
    assert getattr(policy(channel=general), name) == 7
    assert getattr(policy(channel=general, override=OverrideFacts()), name) == 7
    assert getattr(policy(channel=general, override=specific), name) == 3
    assert getattr(policy(override=specific), name) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_zero_that_is_given_wins_too(name: str) -> None:
    assert getattr(policy(channel=by_channel(name, 7), override=by_pair(name, "0")), name) == 0


@pytest.mark.parametrize("name", NAMES)
def test_defaults_come_last(name: str) -> None:
    assert getattr(policy(), name) == (None if name == "cap" else 0)


def test_the_percentage_given_for_the_item_wins_also_as_zero() -> None:
    channel = ChannelFacts(buffer_percent=Fraction(50))
    assert policy(channel=channel).allow(10) == 5
    assert policy(channel=channel, override=OverrideFacts(buffer_percent=Fraction(20))).allow(10) == 8
    assert policy(channel=channel, override=OverrideFacts(buffer_percent=Fraction(0))).allow(10) == 10
    assert policy(override=OverrideFacts(buffer_percent=Fraction(30))).allow(10) == 7


@pytest.mark.parametrize(
    ("of_pair", "of_channel", "of_item", "stands"),
    [(3, 5, 9, 3), (0, 5, 9, 0), (None, 5, 9, 5), (None, 0, 9, 0), (None, None, 9, 9), (None, None, None, 0)],
)
def test_the_low_stock_threshold_comes_from_the_pair_then_the_channel_then_the_item(
    of_pair: int | None, of_channel: int | None, of_item: int | None, stands: int
) -> None:
    found = policy(
        ItemFacts(low_stock_threshold=of_item),
        ChannelFacts(low_stock_threshold=of_channel),
        OverrideFacts(low_stock_threshold=None if of_pair is None else Fraction(of_pair)),
    )
    assert found.low_stock_threshold == stands


def test_horizon_transit_and_the_days_left_of_a_lot_are_the_channels() -> None:
    found = allowing(horizon_days=3, promise_in_transit=True, min_days_left=14)
    assert (found.horizon_days, found.promise_in_transit, found.min_days_left) == (3, True, 14)
    assert (policy().horizon_days, policy().promise_in_transit, policy().min_days_left) == (0, False, 0)


# Scale


@pytest.mark.parametrize("name", NAMES)
def test_policies_are_in_base_units_and_scaled_as_the_item_is(name: str) -> None:
    item = ItemFacts(scale=2)
    assert getattr(policy(item, by_channel(name, 7)), name) == 700
    assert getattr(policy(item, override=by_pair(name, "2.5")), name) == 250


@pytest.mark.parametrize("name", NAMES)
def test_what_is_finer_than_the_scale_errs_on_the_side_that_promises_less(name: str) -> None:
    found = policy(override=by_pair(name, "2.5"))
    assert getattr(found, name) == (2 if name == "cap" else 3)


def test_safety_stock_finer_than_the_scale_is_rounded_up() -> None:
    assert policy(override=OverrideFacts(safety_stock=(("DC1", Fraction("2.5")),))).safety_at("DC1") == 3
    everywhere = OverrideFacts(safety_stock=(("*", Fraction("2.5")),))
    assert policy(ItemFacts(scale=1), override=everywhere).safety_at("DC1") == 25


# Safety stock


def test_the_stars_safety_stock_is_for_each_location_not_named() -> None:
    found = policy(ItemFacts(safety_stock=(("*", 4), ("DC1", 9), ("DC2", 0))))
    assert [found.safety_at(code) for code in ("DC1", "DC2", "DC3")] == [9, 0, 4]
    assert policy(ItemFacts(safety_stock=(("DC1", 9),))).safety_at("DC3") == 0


def test_a_pairs_safety_stock_stands_in_place_of_the_items_and_is_not_merged_with_it() -> None:
    item = ItemFacts(safety_stock=(("*", 4), ("DC1", 9)))
    found = policy(item, override=OverrideFacts(safety_stock=(("DC2", Fraction(1)),)))
    assert [found.safety_at(code) for code in ("DC1", "DC2", "DC3")] == [0, 1, 0]
    assert policy(item, override=OverrideFacts(safety_stock=())).safety_at("DC1") == 0
    assert policy(item, override=OverrideFacts(cap=Fraction(1))).safety_at("DC1") == 9


# Listing


def test_every_channel_lists_an_item_unless_it_says_otherwise() -> None:
    topology = Topology(1, {"DC1": LocationFacts()}, {"web": ChannelFacts(("DC1",), cap=5), "shop": ChannelFacts()})
    assert set(policies_of(ItemFacts(), {}, topology)) == {"web", "shop"}
    assert set(policies_of(ItemFacts(), {"web": OverrideFacts(listed=False)}, topology)) == {"shop"}
    overrides = {"web": OverrideFacts(minimum=Fraction(2)), "gone": OverrideFacts()}
    found = policies_of(ItemFacts(scale=1), overrides, topology)
    assert set(found) == {"web", "shop"}
    assert (found["web"].cap, found["web"].minimum, found["shop"].cap) == (50, 20, None)


@pytest.mark.parametrize(
    ("listing", "override", "is_listed"),
    [
        ("all", None, True),
        ("all", OverrideFacts(cap=Fraction(1)), True),
        ("all", OverrideFacts(listed=True), True),
        ("all", OverrideFacts(listed=False), False),
        ("explicit", None, False),
        ("explicit", OverrideFacts(cap=Fraction(1)), False),
        ("explicit", OverrideFacts(listed=True), True),
        ("explicit", OverrideFacts(listed=False), False),
    ],
)
def test_an_explicit_channel_lists_only_what_a_record_says_it_lists(
    listing: str, override: OverrideFacts | None, is_listed: bool
) -> None:
    channel = ChannelFacts(("DC1",), listing=listing)
    assert lists(channel, override) is is_listed
    topology = Topology(1, {"DC1": LocationFacts()}, {"web": channel})
    overrides = {} if override is None else {"web": override}
    assert set(policies_of(ItemFacts(), overrides, topology)) == ({"web"} if is_listed else set())
