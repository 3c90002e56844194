"""What a channel may promise of an item, by day (contract section 5, steps 1 to 5).

Step 1  available(l, d), never below zero, so that one location's debt takes nothing from another.
Step 2  open[d]: their sum less the claims that name no location yet.
Step 3  promise[d] = min over t >= d of open[t]: nothing given away today breaks a promise for tomorrow.
Step 4  free[d]: what other channels' protected quantities leave.
Step 5  atp[d]: buffer, percent, cap, minimum.

Lots past their day: what is promised for day d is computed with the lots that are past their day on d, in each step
and also for the days after it. So the horizon is cut where a lot passes its day (a *span*), and each span is computed
by itself.

What it costs: available(l, d) changes only on days on which a claim or a supply of l falls due. So locations are added
up as *changes* by day, and every step is taken once for each *stretch* of days on which nothing changes: an item costs
its locations, claims and supplies, and the days once where they are written out; never locations times days. With
dated lots it costs that for each span.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from operators.rules.lots import Dated, past, physical
from operators.rules.policy import Policy
from operators.rules.topology import Topology
from schemas.state import Item, Place

#: day of the horizon -> by how much a quantity changes on it
Changes = dict[int, int]
#: a channel that protects: (priority, channel, protected quantity)
Rival = tuple[int, str, int]
#: above every safety stock that makes a difference: quantities are below 2^60, and a figure has room in 64 bits
SAFETY_MAX = 1 << 62
NO_DATED: Dated = []


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


@dataclass(slots=True)
class Steps:
    """The result of each step but the first, by stretch of days; `starts`: the first day of each."""

    days: int
    starts: list[int]
    open: list[int]
    promise: list[int]
    withheld: list[int]
    withheld_above: list[int]
    free: list[int]
    atp: list[int]

    def add(self, other: Steps, index: int) -> None:
        """Add one stretch of another; the caller says from which day on."""
        self.open.append(other.open[index])
        self.promise.append(other.promise[index])
        self.withheld.append(other.withheld[index])
        self.withheld_above.append(other.withheld_above[index])
        self.free.append(other.free[index])
        self.atp.append(other.atp[index])

    def by_day(self, quantities: list[int]) -> list[int]:
        """Write out one of the lists by day."""
        if len(self.starts) == 1:
            return quantities * self.days
        found: list[int] = []
        for quantity, start, end in zip(quantities, self.starts, (*self.starts[1:], self.days), strict=True):
            found += [quantity] * (end - start)
        return found

    def written_out(self, available: dict[str, list[int]]) -> Promise:
        """Give all steps by day, as a breakdown shows them."""
        return Promise(
            atp=self.by_day(self.atp),
            available=available,
            open=self.by_day(self.open),
            promise=self.by_day(self.promise),
            withheld=self.by_day(self.withheld),
            withheld_above=self.by_day(self.withheld_above),
            free=self.by_day(self.free),
        )


class View:
    """How channels see an item's locations: all that step 1 asks of a policy. Channels with one view share its sums."""

    __slots__ = ("everywhere", "horizon_days", "in_transit", "min_days_left", "safety", "shelves", "spans", "sums")

    def __init__(self, policy: Policy) -> None:
        self.horizon_days = policy.horizon_days
        self.min_days_left = policy.min_days_left
        self.in_transit = policy.promise_in_transit and policy.horizon_days > 0
        self.safety = bounded_map(policy.safety_stock)
        self.everywhere = min(policy.safety_everywhere, SAFETY_MAX)
        #: group of locations -> changes of the sum of step 1 over them, while an item is being evaluated
        self.sums: dict[int, Changes] | None = None
        #: groups at which the item is and that a channel sells from -> what follows from them, likewise
        self.shelves: dict[tuple[int, ...], Shelf] = {}
        #: of an item with dated lots, likewise
        self.spans: list[Span] = []

    @property
    def days(self) -> int:
        """How many days are promised: today alone where there is no horizon."""
        return max(1, self.horizon_days)

    def begin(self) -> None:
        """Forget what was of the last item."""
        self.sums = None
        if self.shelves:
            self.shelves = {}
        if self.spans:
            self.spans = []

    def sees_as(self, policy: Policy) -> bool:
        """Is step 1 the same under this policy?"""
        return (
            self.horizon_days == policy.horizon_days
            and self.min_days_left == policy.min_days_left
            and (policy.horizon_days == 0 or self.in_transit == policy.promise_in_transit)
            and self.everywhere == min(policy.safety_everywhere, SAFETY_MAX)
            and self.safety == policy.safety_stock
        )


def bounded_map(safety: dict[str, int]) -> dict[str, int]:
    """Give safety stocks that have room in 64 bits and the same effect; usually the same object."""
    if all([quantity <= SAFETY_MAX for quantity in safety.values()]):
        return safety
    return {code: min(quantity, SAFETY_MAX) for code, quantity in safety.items()}


def less_unlocated(total: int, unlocated: Mapping[str, int], sharing: Container[str]) -> int:
    """Step 2 for day 0: less the claims with no location of the channels that share a location, this one too."""
    for claimant, quantity in unlocated.items():
        if claimant in sharing:
            total -= quantity
    return total if total > 0 else 0


def sums_of(item: Item, view: View, topology: Topology, today: int) -> dict[int, Changes]:
    """Step 1, added up over each group of locations. `today`: days since 1970."""
    sums: dict[int, Changes] = {}
    rare = item.rare
    group_at, has_days, in_transit = topology.group_at, view.horizon_days > 0, view.in_transit
    safety, everywhere = view.safety, view.everywhere
    for location, place in item.places.items():
        group = group_at.get(location)
        if group is None:
            continue
        if place.lots:
            on_hand, quarantined, _ = physical(item, location, place)
        else:
            on_hand, quarantined = place.on_hand, place.quarantined
        free = on_hand - quarantined - place.hard_reserved - place.soft_allocated
        free -= safety.get(location, everywhere) if safety else everywhere
        if rare is not None:
            free -= withheld_at(item, location)
        changes = sums.get(group)
        if changes is None:
            changes = sums[group] = {0: 0}
        if has_days and (place.soft_by_day or place.expected_by_day or (in_transit and place.in_transit_by_day)):
            _add_by_day(changes, free, dues(place, view, today))
        elif free > 0:
            changes[0] += free
    return sums


def withheld_at(item: Item, location: str) -> int:
    """Units at a location that some source says are not to be promised."""
    withheld = item.rare.withheld.get(location) if item.rare is not None else None
    return withheld.total if withheld is not None else 0


@dataclass(slots=True)
class Span:
    """Days of the horizon, `start` to before `end`, on which the same lots are past their day; and what is on them."""

    start: int
    end: int
    sums: dict[int, Changes]
    shelves: dict[tuple[int, ...], Shelf]


def spans_of(item: Item, view: View, topology: Topology, today: int, dated: dict[str, Dated]) -> list[Span]:
    """Cut the horizon where a lot passes its day as the view sees it; step 1 is added up for each span.

    `dated`: by location, what `lots.dated` gives.
    """
    first_without = {last_day - view.min_days_left + 1 - today for units in dated.values() for last_day, _ in units}
    begins = sorted({0} | {day for day in first_without if 0 < day < view.days})
    spans = [Span(start, end, {}, {}) for start, end in zip(begins, (*begins[1:], view.days), strict=True)]
    for location, place in item.places.items():
        group = topology.group_at.get(location)
        if group is None:
            continue
        on_hand, quarantined, _ = physical(item, location, place)
        free = on_hand - quarantined - place.hard_reserved - place.soft_allocated - withheld_at(item, location)
        free -= view.safety.get(location, view.everywhere)
        changes = dues(place, view, today) if view.horizon_days else {}
        units = dated.get(location, NO_DATED)
        passed = 0
        for span in spans:
            while passed < len(units) and today + span.start > units[passed][0] - view.min_days_left:
                free -= units[passed][1]
                passed += 1
            _add_by_day(span.sums.setdefault(group, {0: 0}), free, changes.copy())
    return spans


def promise_by_span(
    item: Item,
    channel: str,
    policy: Policy,
    protecting: list[Rival],
    view: View,
    topology: Topology,
    today: int,
    dated: dict[str, Dated],
) -> Steps:
    """All steps for an item with dated lots: of each span's own computation the days of that span."""
    if not view.spans:
        view.spans = spans_of(item, view, topology, today, dated)
    found = Steps(view.days, [], [], [], [], [], [], [])
    for span in view.spans:
        view.sums, view.shelves = span.sums, span.shelves
        steps = promise(item, channel, policy, protecting, view, topology, today)
        for index, start in enumerate(steps.starts):
            end = steps.starts[index + 1] if index + 1 < len(steps.starts) else view.days
            if start < span.end and end > span.start:
                found.starts.append(max(start, span.start))
                found.add(steps, index)
    return found


def dues(place: Place, view: View, today: int) -> Changes:
    """What falls due at a location by day: supply, and claims of a later day, which day 0 is then free of."""
    changes: Changes = {}
    if place.soft_by_day:
        _add_claims(changes, place.soft_by_day, today, view.horizon_days)
    if place.expected_by_day:
        _add_supply(changes, place.expected_by_day, today, view.horizon_days)
    if view.in_transit and place.in_transit_by_day:
        _add_supply(changes, place.in_transit_by_day, today, view.horizon_days)
    return changes


def _add_claims(changes: Changes, by_day: dict[int, int], today: int, horizon_days: int) -> None:
    """Undated and past claims are due today, those after the last day on the last day; all count for today so far."""
    for day, quantity in by_day.items():
        due = min(day - today, horizon_days - 1)
        if due > 0:
            changes[0] = changes.get(0, 0) + quantity
            changes[due] = changes.get(due, 0) - quantity


def _add_supply(changes: Changes, by_day: dict[int, int], today: int, horizon_days: int) -> None:
    """What is overdue, undated or beyond the horizon does not count."""
    for day, quantity in by_day.items():
        if 0 <= day - today < horizon_days:
            changes[day - today] = changes.get(day - today, 0) + quantity


def _add_by_day(total: Changes, free: int, changes: Changes) -> None:
    """Add a location's quantity, never below zero, to a sum."""
    free += changes.pop(0, 0)
    before = max(0, free)
    total[0] += before
    for day in sorted(changes):
        free += changes[day]
        after = max(0, free)
        if after != before:
            total[day] = total.get(day, 0) + after - before
            before = after


class Shelf:
    """Steps 1 and 4 of all channels that see the same groups alike: what those that protect keep, ranked by priority.

    `kept[n]`: by stretch, what the first n of `protecting` keep together. So a channel's rivals cost it two look-ups.
    """

    __slots__ = ("available", "kept", "starts")

    def __init__(
        self, own: dict[int, Changes], starts: list[int], protecting: Iterable[Rival], topology: Topology
    ) -> None:
        groups = topology.groups
        self.starts = starts
        self.available = _levels(_sum(own.values()), starts)
        sums = {tuple(own): self.available}
        self.kept = [[0] * len(starts)]
        for _, channel, most in protecting:
            both = tuple([number for number in own if channel in groups[number]])
            shared = sums.get(both)
            if shared is None:
                shared = sums[both] = _levels(_sum([own[number] for number in both]), starts)
            self.kept.append([kept + min(most, level) for kept, level in zip(self.kept[-1], shared, strict=True)])


def promise(
    item: Item,
    channel: str,
    policy: Policy,
    protecting: list[Rival],
    view: View,
    topology: Topology,
    today: int,
) -> Steps:
    """All steps. `protecting`: the channels with a protected quantity that list the item, highest priority first.

    `view`: the channel's, with its sums.
    """
    assert view.sums is not None, "step 1 comes first"
    groups, sharing = topology.groups, topology.sharing[channel]
    seen = tuple([number for number in view.sums if channel in groups[number]])
    shelf = view.shelves.get(seen)
    if shelf is None:
        own = {number: view.sums[number] for number in seen}
        days = {0}.union(*own.values())
        if item.unlocated:  # of every claimant: a stretch more is no harm, and channels may share different ones
            days.update(*[unlocated_due(item, (code,), today, policy.horizon_days) for code in item.unlocated])
        shelf = view.shelves[seen] = Shelf(own, sorted(days), protecting, topology)
    starts = shelf.starts
    opened = shelf.available.copy()
    if item.unlocated:
        claimed = _levels(unlocated_due(item, sharing, today, policy.horizon_days), starts)
        opened = [a - b for a, b in zip(opened, claimed, strict=True)]
    opened = [quantity if quantity > 0 else 0 for quantity in opened]
    promised = opened.copy()
    for at in range(len(starts) - 2, -1, -1):
        promised[at] = min(promised[at], promised[at + 1])
    place = bisect_left(protecting, topology.rank(channel), key=_rank)
    withheld, withheld_above = shelf.kept[-1], shelf.kept[place]
    most = policy.protected_quantity
    if most:
        upto = shelf.kept[place + 1]
        withheld = [w - b + a for w, a, b in zip(withheld, withheld_above, upto, strict=True)]
    free = [
        max(quantity - kept, min(most, quantity - kept_above), 0)
        for quantity, kept, kept_above in zip(promised, withheld, withheld_above, strict=True)
    ]
    atp = [policy.allow(quantity) for quantity in free]
    return Steps(view.days, starts, opened, promised, withheld, withheld_above, free, atp)


def _rank(rival: Rival) -> tuple[int, str]:
    return rival[:2]


def _sum(parts: Iterable[Changes]) -> Changes:
    total: Changes = {}
    for changes in parts:
        for day, quantity in changes.items():
            total[day] = total.get(day, 0) + quantity
    return total


def unlocated_due(item: Item, sharing: Container[str], today: int, horizon_days: int) -> Changes:
    """Give by day what is claimed from no location yet by channels that share one."""
    total: Changes = {}
    for claimant, quantity in item.unlocated.items():
        if claimant in sharing:
            total[0] = total.get(0, 0) + quantity
            by_day = item.unlocated_by_day.get(claimant)
            if horizon_days and by_day:
                later: Changes = {}
                _add_claims(later, by_day, today, horizon_days)
                for day, change in later.items():
                    total[day] = total.get(day, 0) - change
    return total


def _levels(changes: Changes, starts: list[int]) -> list[int]:
    """Give the quantity itself in each stretch."""
    level = 0
    levels = []
    for start in starts:
        level += changes.get(start, 0)
        levels.append(level)
    return levels


def available_by_day(
    item: Item, channel: str, view: View, topology: Topology, today: int, dated: dict[str, Dated]
) -> dict[str, list[int]]:
    """Step 1 written out: for each location that the channel sells from, each day of its horizon."""
    found: dict[str, list[int]] = {}
    days = max(1, view.horizon_days)
    for location in topology.sells[channel]:
        place = item.places.get(location)
        if place is None:
            found[location] = [0] * days
            continue
        on_hand, quarantined, _ = physical(item, location, place)
        level = on_hand - quarantined - place.hard_reserved - place.soft_allocated
        level -= view.safety.get(location, view.everywhere) + withheld_at(item, location)
        changes = dues(place, view, today) if view.horizon_days else {}
        units = dated.get(location, NO_DATED)
        found[location] = []
        for day in range(days):
            level += changes.get(day, 0)
            gone = past(units, today + day, view.min_days_left) if units else 0
            found[location].append(max(0, level - gone))
    return found
