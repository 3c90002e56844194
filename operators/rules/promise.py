"""What a channel may promise of an item, by day (contract section 5, steps 1 to 5).

Step 1  available(l, d), never below zero, so that one location's debt takes nothing from another.
Step 2  open[d]: their sum less the claims that name no location yet.
Step 3  promise[d] = min over t >= d of open[t]: nothing given away today breaks a promise for tomorrow.
Step 4  free[d]: what other channels' protected quantities leave.
Step 5  atp[d]: buffer, percent, cap, minimum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from operators.rules.lots import physical
from operators.rules.policy import Policy
from operators.rules.topology import Topology
from schemas.state import Item, Place


@dataclass(slots=True)
class Promise:
    """The result of each step; lists by day, day 0 first."""

    atp: list[int]
    available: dict[str, list[int]]
    open: list[int]
    promise: list[int]
    withheld: list[int]
    withheld_above: list[int]
    free: list[int]


def less_unlocated(total: int, unlocated: Mapping[str, int], channel: str, sharing: Iterable[str]) -> int:
    """Step 2 for day 0: less the claims with no location of this channel and of those it shares a location with."""
    total -= unlocated.get(channel, 0)
    for other in sharing:
        total -= unlocated.get(other, 0)
    return total if total > 0 else 0


def promise(item: Item, channel: str, policies: Mapping[str, Policy], topology: Topology, today: int) -> Promise:
    """All steps by day. `policies`: of every channel that lists the item. `today`: days since 1970, UTC."""
    policy = policies[channel]
    days = max(1, policy.horizon_days)
    available = {
        location: available_by_day(item.places.get(location), item, location, policy, today)
        for location in topology.sells[channel]
    }
    opened = [sum(by_day[d] for by_day in available.values()) for d in range(days)]
    sharing = topology.shared[channel]
    for claimant in (channel, *sharing):
        total = item.unlocated.get(claimant, 0)
        if total:
            due = due_by_day(total, item.unlocated_by_day.get(claimant), today, policy.horizon_days)
            opened = [opened[d] - due[d] for d in range(days)]
    opened = [max(0, quantity) for quantity in opened]
    promised = opened.copy()
    for d in range(days - 2, -1, -1):
        promised[d] = min(promised[d], promised[d + 1])
    withheld, withheld_above = [0] * days, [0] * days
    for other, shared in sharing.items():
        rival = policies.get(other)
        if rival is None or not rival.protected_quantity:
            continue
        above = topology.outranks(other, channel)
        for d in range(days):
            kept = min(rival.protected_quantity, sum(available[location][d] for location in shared))
            withheld[d] += kept
            if above:
                withheld_above[d] += kept
    own = policy.protected_quantity
    free = [max(promised[d] - withheld[d], min(own, promised[d] - withheld_above[d]), 0) for d in range(days)]
    return Promise([policy.allow(q) for q in free], available, opened, promised, withheld, withheld_above, free)


def available_by_day(place: Place | None, item: Item, location: str, policy: Policy, today: int) -> list[int]:
    """Step 1 at one location, for each day of the channel's horizon (one day without a horizon)."""
    days = max(1, policy.horizon_days)
    if place is None:
        return [0] * days
    on_hand, quarantined = physical(item, location, place)
    base = on_hand - quarantined - place.hard_reserved - policy.safety_at(location)
    if policy.horizon_days == 0:
        return [max(0, base - place.soft_allocated)]
    due = due_by_day(place.soft_allocated, place.soft_by_day, today, days)
    supply = supply_by_day(place.expected_by_day, today, days)
    if policy.promise_in_transit:
        supply = [a + b for a, b in zip(supply, supply_by_day(place.in_transit_by_day, today, days), strict=True)]
    return [max(0, base - due[d] + supply[d]) for d in range(days)]


def due_by_day(total: int, by_day: dict[int, int] | None, today: int, horizon_days: int) -> list[int]:
    """Soft claims due up to each day: undated and past ones today, those after the last day on the last day."""
    days = max(1, horizon_days)
    due = [total] * days
    if by_day:
        for day, quantity in by_day.items():
            for d in range(min(max(0, day - today), days - 1)):
                due[d] -= quantity
    return due


def supply_by_day(by_day: dict[int, int] | None, today: int, days: int) -> list[int]:
    """Supply due in today..d for each day d; what is overdue or undated does not count."""
    supply = [0] * days
    if by_day:
        for day, quantity in by_day.items():
            if 0 <= day - today < days:
                supply[day - today] += quantity
        for d in range(1, days):
            supply[d] += supply[d - 1]
    return supply
