"""The tree of a number: its terms add up to what the engine publishes, for items and policies of every kind."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction

import pytest

from operators.evaluate import Policies, evaluate
from operators.explaining import Term, explained
from operators.rules.days import days_in
from operators.rules.lots import dated
from operators.rules.policy import ItemFacts, OverrideFacts
from operators.rules.topology import ChannelFacts, LocationFacts, Topology
from schemas.state import Item, Place, Rare, Withheld
from tests.property.test_promise_by_day import CHANNELS, DAY_US, TODAY, packed, some_channel, some_days, some_place


def some_item(dice: random.Random) -> tuple[Item, Topology]:
    """An item with lots, dates, claims, supply and withheld units at some locations, under channels that share them."""
    locations = [f"L{number}" for number in range(dice.randint(1, 5))]
    facts = {code: LocationFacts(sellable=dice.random() < 0.9) for code in locations}
    topology = Topology(1, facts, {code: some_channel(dice, locations) for code in CHANNELS})
    item = Item("SHOVEL")
    item.places = {code: some_place(dice) for code in locations if dice.random() < 0.8}
    item.unlocated, item.unlocated_by_day = {}, {}
    for code in dice.sample(CHANNELS, dice.randint(0, 2)):
        by_day = some_days(dice, 6)
        item.unlocated[code] = sum((by_day or {}).values()) + dice.choice((1, 4))
        if by_day:
            item.unlocated_by_day[code] = by_day
    if dice.random() < 0.4:
        item.rare = Rare()
        item.rare.best_before["L1"] = ((0, "", ""), TODAY + dice.choice((-1, 0, 2, 5)))
        withheld = item.rare.withheld[dice.choice(locations)] = Withheld()
        withheld.total = dice.randint(0, 5)
    item.policy = packed(ItemFacts(safety_stock=(("*", dice.choice((0, 1))), (locations[0], 3))))
    overrides = {
        "web": OverrideFacts(safety_stock=((locations[-1], Fraction(2)),)),
        "edi": OverrideFacts(listed=False),
        "app": OverrideFacts(cap=Fraction(dice.randint(3, 9)), buffer_percent=Fraction(5)),
    }
    item.overrides = {code: packed(override) for code, override in overrides.items() if dice.random() < 0.4}
    return item, topology


def compared(dice: random.Random) -> Iterator[tuple[Term, int]]:
    """Give the tree of each day of each channel of an item beside the number that is published of it."""
    item, topology = some_item(dice)
    policies = Policies(topology, days_in("UTC"))
    update, _ = evaluate(item, policies, TODAY * DAY_US, breakdown=False)
    units = dated(item)
    for change in update.channels if update is not None else ():
        for day, number in enumerate(change.by_day or (change.atp,)):
            tree = explained(item, change.channel, policies, TODAY, units, day)
            assert tree is not None
            yield tree, number


@pytest.mark.parametrize("seed", range(20))
def test_the_terms_add_up_to_the_number_that_is_published(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(50):
        for tree, number in compared(dice):
            assert tree.value == number and tree.adds_up(), tree


@pytest.mark.long
def test_the_terms_add_up_in_a_million_cases() -> None:
    dice = random.Random(1)
    cases = 0
    while cases < 1_000_000:
        for tree, number in compared(dice):
            assert tree.value == number and tree.adds_up(), tree
            cases += 1


def test_what_is_protected_for_others_is_told_by_channel_with_the_record_that_says_so() -> None:
    item = Item("SHOVEL")
    item.policy = packed(ItemFacts())
    item.places = {"L0": Place()}
    item.places["L0"].on_hand = 20
    protecting = {"edi": 4, "shop": 30, "web": 2}
    channels = {code: ChannelFacts(locations=("L0",), protected_quantity=kept) for code, kept in protecting.items()}
    item.overrides = {"shop": packed(OverrideFacts(protected_quantity=Fraction(3)))}
    policies = Policies(Topology(1, {"L0": LocationFacts()}, channels), days_in("UTC"))
    tree = explained(item, "web", policies, TODAY, {})
    assert tree is not None and tree.adds_up()
    [free] = tree.children
    [_, protected] = free.children
    assert [(one.of, one.value, one.said_by) for one in protected.children] == [
        ("edi", -4, "inventory.channels edi"),
        ("shop", -3, "inventory.channel_items shop:SHOVEL"),
    ]


def test_no_tree_of_a_channel_that_does_not_list_the_item_and_no_day_beyond_its_horizon() -> None:
    item = Item("SHOVEL")
    item.policy = packed(ItemFacts())
    item.overrides = {"edi": packed(OverrideFacts(listed=False))}
    channels = {code: ChannelFacts(locations=("L0",), horizon_days=3) for code in ("edi", "web")}
    policies = Policies(Topology(1, {"L0": LocationFacts()}, channels), days_in("UTC"))
    assert explained(item, "edi", policies, TODAY, {}) is None
    with pytest.raises(ValueError, match="days 0 to 2, got 3"):
        explained(item, "web", policies, TODAY, {}, 3)
