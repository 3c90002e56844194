"""Promises by stretches of days against the contract's sums for each location and each day, on items of every kind."""

from __future__ import annotations

import gc
import random
import time
from fractions import Fraction

import msgspec
import pytest

from operators.evaluate import Policies, evaluate
from operators.rules.days import days_in
from operators.rules.policy import ItemFacts, OverrideFacts, Policy, policies_of
from operators.rules.topology import ChannelFacts, LocationFacts, Topology
from schemas.state import Cell, Item, Place

TODAY = 20_000
DAY_US = 86_400_000_000
packed = msgspec.msgpack.Encoder(enc_hook=str).encode
CHANNELS = ("app", "edi", "shop", "web")


def naive(item: Item, channel: str, policies: dict[str, Policy], topology: Topology) -> list[int]:
    """Section 5 as it is written: every location, every day."""
    policy = policies[channel]
    horizon = policy.horizon_days
    days = range(max(1, horizon))

    def due(day: int) -> int:
        return min(max(day - TODAY, 0), days[-1])

    def claimed(total: int, by_day: dict[int, int] | None, d: int) -> int:
        return total - sum(quantity for day, quantity in (by_day or {}).items() if due(day) > d)

    def supplied(by_day: dict[int, int] | None, d: int) -> int:
        return sum(quantity for day, quantity in (by_day or {}).items() if horizon and 0 <= day - TODAY <= d)

    def available(location: str, d: int) -> int:
        place = item.places.get(location)
        if place is None:
            return 0
        cells: list[Cell] = [place, *(place.lots or {}).values()]
        base = sum(cell.on_hand - cell.quarantined for cell in cells) - place.hard_reserved
        base -= policy.safety_stock.get(location, policy.safety_everywhere)
        base += supplied(place.expected_by_day, d) - claimed(place.soft_allocated, place.soft_by_day, d)
        return max(0, base + (supplied(place.in_transit_by_day, d) if policy.promise_in_transit else 0))

    def sold(code: str) -> set[str]:
        return set(topology.sells[code])

    own = sold(channel)
    sharing = [code for code in topology.channels if code == channel or sold(code) & own]
    opened = [
        max(
            0,
            sum(available(location, d) for location in own)
            - sum(claimed(item.unlocated.get(code, 0), item.unlocated_by_day.get(code), d) for code in sharing),
        )
        for d in days
    ]
    atp = []
    for d in days:
        promised = min(opened[d:])
        withheld = above = 0
        for code in sharing:
            if code == channel or code not in policies:
                continue
            kept = min(policies[code].protected_quantity, sum(available(at, d) for at in own & sold(code)))
            withheld += kept
            above += kept if topology.rank(code) < topology.rank(channel) else 0
        atp.append(policy.allow(max(promised - withheld, min(policy.protected_quantity, promised - above), 0)))
    return atp


def some_days(dice: random.Random, most: int) -> dict[int, int] | None:
    """Days that are past, within every horizon, at the end of some, and beyond."""
    if dice.random() < 0.4:
        return None
    return {TODAY + dice.choice((-3, 0, 1, 2, 3, 4, 6, 7, 8, 30)): dice.randint(1, most) for _ in range(3)}


def some_place(dice: random.Random) -> Place:
    place = Place()
    place.on_hand, place.quarantined = dice.randint(-5, 30), dice.choice((0, 0, 3))
    place.hard_reserved = dice.choice((0, 0, 4))
    place.soft_by_day = some_days(dice, 9)
    place.soft_allocated = sum((place.soft_by_day or {}).values()) + dice.choice((0, 5))
    place.expected_by_day, place.in_transit_by_day = some_days(dice, 20), some_days(dice, 20)
    if dice.random() < 0.2:
        place.lots = {"L1": Cell()}
        place.lots["L1"].on_hand = dice.randint(-2, 9)
    return place


def some_channel(dice: random.Random, locations: list[str]) -> ChannelFacts:
    return ChannelFacts(
        locations=tuple(dice.sample(locations, dice.randint(1, len(locations)))),
        priority=dice.choice((1, 5, 5)),
        buffer_percent=Fraction(dice.choice((0, 10))),
        buffer_quantity=dice.choice((0, 2)),
        minimum=dice.choice((0, 3)),
        horizon_days=dice.choice((0, 1, 3, 8, 8)),
        promise_in_transit=dice.random() < 0.5,
        protected_quantity=dice.choice((0, 0, 12)),
    )


@pytest.mark.parametrize("seed", range(150))
def test_every_day_of_every_channel_is_the_contracts_sum_over_locations(seed: int) -> None:
    dice = random.Random(seed)
    locations = [f"L{number}" for number in range(dice.randint(1, 7))]
    facts = {code: LocationFacts(sellable=dice.random() < 0.9) for code in locations}
    topology = Topology(1, facts, {code: some_channel(dice, locations) for code in CHANNELS})
    item = Item("SHOVEL")
    item.places = {code: some_place(dice) for code in locations if dice.random() < 0.8}
    item.unlocated, item.unlocated_by_day = {}, {}
    for code in dice.sample(CHANNELS, 2):
        by_day = some_days(dice, 6)
        item.unlocated[code] = sum((by_day or {}).values()) + dice.choice((1, 4))
        if by_day:
            item.unlocated_by_day[code] = by_day
    record = ItemFacts(safety_stock=(("*", dice.choice((0, 1))), (locations[0], 3)))
    item.policy = packed(record)
    overrides = {}
    if dice.random() < 0.5:
        overrides["web"] = OverrideFacts(safety_stock=((locations[-1], Fraction(2)),))
    if dice.random() < 0.3:
        overrides["edi"] = OverrideFacts(listed=False)
    item.overrides = {code: packed(override) for code, override in overrides.items()}
    update, _ = evaluate(item, Policies(topology, days_in("UTC")), TODAY * DAY_US, breakdown=dice.random() < 0.5)
    assert update is not None
    policies = policies_of(record, overrides, topology)
    expected = {code: naive(item, code, policies, topology) for code in policies}
    assert {change.channel: change.atp for change in update.channels} == {code: n[0] for code, n in expected.items()}
    assert {change.channel: change.by_day for change in update.channels if change.by_day is not None} == {
        code: tuple(numbers) for code, numbers in expected.items() if policies[code].horizon_days
    }


# What an evaluation costs


def spent(locations: int, days: int, stocked: int, channels: int = 4, every: int = 10, protected: int = 0) -> float:
    """Seconds of one evaluation, the best of nine; each `every`-th location has a claim and supply of its own days."""
    codes = [f"L{number}" for number in range(locations)]
    facts = ChannelFacts(
        locations=tuple(codes), horizon_days=days, promise_in_transit=True, protected_quantity=protected
    )
    topology = Topology(1, dict.fromkeys(codes, LocationFacts()), {f"C{number}": facts for number in range(channels)})
    policies = Policies(topology, days_in("UTC"))
    item = Item("SHOVEL")
    item.policy = packed(ItemFacts())
    for number, code in enumerate(codes[:stocked]):
        place = item.places[code] = Place()
        place.on_hand = 10
        if number % every == 0:
            place.soft_allocated = 3
            place.soft_by_day = {TODAY + number % max(1, days): 3}
            place.expected_by_day = {TODAY + (number * 7) % max(1, days): 5}
    best = float("inf")
    gc.disable()  # what else this process holds must not be looked through in the middle, as the engine does not either
    try:
        for _ in range(9):
            for place in item.places.values():
                place.on_hand += 1
            started = time.process_time()
            update, _ = evaluate(item, policies, TODAY * DAY_US, False, "")
            best = min(best, time.process_time() - started)
            assert update is not None and len(update.channels) == channels
    finally:
        gc.enable()
    return best


def test_more_days_cost_days_and_not_days_times_locations() -> None:
    assert spent(2_000, 160, 2_000) < 4 * spent(2_000, 10, 2_000), "sixteen times the days"


def test_more_locations_cost_locations() -> None:
    """Not their square. Of 16 times the locations each costs twice as much as of a few, for they fit no cache: 32."""
    assert spent(8_000, 180, 8_000) < 100 * spent(500, 180, 500), "sixteen times the locations"


def test_a_location_at_which_the_item_never_was_costs_nothing() -> None:
    assert spent(20_000, 180, 5, protected=3) < 4 * spent(20, 180, 5, protected=3), "a thousand times the locations"


def test_channels_that_see_locations_alike_share_what_is_summed_over_them() -> None:
    assert spent(3_000, 180, 3_000, channels=8, protected=2) < 4 * spent(3_000, 180, 3_000, channels=1, protected=2)


def test_channels_that_protect_cost_channels_and_not_their_pairs() -> None:
    assert spent(20, 0, 5, channels=300, protected=2) < 40 * spent(20, 0, 5, channels=30, protected=2), "ten times them"
