"""Says how a promise came about: the number of an item and channel on a day as a tree of terms (contract section 5).

Rule 1: no formula stands here. Each step is what `operators.rules` gives, called as the engine calls it; the tree takes
them apart and signs them, so that a term is the sum of those beneath it.
Rule 2: nothing is read here. What stands is an `Item` with its figures, and the policies as the engine has them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import accumulate

from operators.evaluate import Listing, Policies, Row, listing_of, override_facts
from operators.rules.lots import Dated, past, physical
from operators.rules.policy import Policy
from operators.rules.promise import (
    NO_DATED,
    Changes,
    Rival,
    Shelf,
    Steps,
    dues,
    promise,
    promise_by_span,
    sums_of,
    unlocated_due,
    withheld_at,
)
from operators.rules.statements import decimal_text
from schemas.state import Item, Place
from schemas.times import day_text


@dataclass(frozen=True, slots=True)
class Term:
    """One number of the tree: the sum of its children where it has any, and what it adds to the one above it."""

    #: what it is, such as `on_hand`; of a kind that occurs more than once with its own name in `of`
    name: str
    #: in base UoM x 10^scale; below zero where it takes something away
    value: int
    #: `value` in base UoM, as a decimal
    text: str
    #: one plain sentence
    says: str
    #: whose: a location, channel or order line; empty where there is one of the kind alone
    of: str = ""
    #: which record or event said so, as `topic/partition@offset` or in words; empty: it follows from its children
    said_by: str = ""
    children: tuple[Term, ...] = ()

    def adds_up(self) -> bool:
        """Is every term the sum of those beneath it?"""
        if self.children and sum(child.value for child in self.children) != self.value:
            return False
        return all(child.adds_up() for child in self.children)


#: an order line, how much it claims, and the day for which it is requested (days since 1970; None: none)
ClaimOfLine = tuple[str, int, int | None]
#: Order lines of one figure that are named one by one; the rest is one term.
LINES_MAX = 50


@dataclass(frozen=True, slots=True)
class Told:
    """Where the records stand that decide; each as `topic/partition@offset`, empty where that is not known.

    What is not known is named by topic and key.
    """

    item: str = ""
    channel: str = ""
    channel_item: str = ""
    #: (figure, location) -> which event moved it last
    moved: Mapping[tuple[str, str], str] = field(default_factory=dict)
    #: (figure, location or channel) -> what order lines claim in it
    lines: Mapping[tuple[str, str], Sequence[ClaimOfLine]] = field(default_factory=dict)


NOTHING_TOLD = Told()


@dataclass(frozen=True, slots=True)
class Protection:
    """What other channels keep of an item, as step 4 ranks them; by span of days, `start` to before `end`."""

    protecting: Sequence[Rival]
    shelves: Sequence[tuple[int, int, Shelf]]

    def kept_on(self, day: int) -> list[tuple[str, int]]:
        """Give each channel that protects with what it keeps on a day, the highest priority first."""
        shelf = next(shelf for start, end, shelf in self.shelves if start <= day < end)
        at = bisect_right(shelf.starts, day) - 1
        together = [kept[at] for kept in shelf.kept]
        return [
            (channel, upto - before)
            for (_, channel, _), before, upto in zip(self.protecting, together, together[1:], strict=False)
        ]


def steps_of(
    item: Item, channel: str, policies: Policies, today: int, dated: Mapping[str, Dated]
) -> tuple[Row, Steps, Protection] | None:
    """Give all steps for a channel as the engine takes them; None where it does not list the item."""
    listing: Listing = listing_of(item, policies)
    for row in listing.rows:
        if row.channel == channel:
            view, topology = row.view, policies.topology
            view.begin()
            if dated:
                by_location = dict(dated)
                steps = promise_by_span(
                    item, channel, row.policy, listing.protecting, view, topology, today, by_location
                )
                shelves = [(span.start, span.end, shelf) for span in view.spans for shelf in span.shelves.values()]
            else:
                view.sums = sums_of(item, view, topology, today)
                steps = promise(item, channel, row.policy, listing.protecting, view, topology, today)
                shelves = [(0, view.days, shelf) for shelf in view.shelves.values()]
            view.begin()
            return row, steps, Protection(listing.protecting, shelves)
    return None


def explained(
    item: Item,
    channel: str,
    policies: Policies,
    today: int,
    dated: Mapping[str, Dated],
    day: int = 0,
    scale: int = 0,
    told: Told = NOTHING_TOLD,
) -> Term | None:
    """Give the tree of a channel's number on a day of its horizon; None where it does not list the item.

    `today`: days since 1970; `day`: 0 is today. ValueError where the channel promises no such day.
    """
    found = steps_of(item, channel, policies, today, dated)
    if found is None:
        return None
    row, steps, protection = found
    if not 0 <= day < steps.days:
        last = "day 0 alone" if steps.days == 1 else f"days 0 to {steps.days - 1}"
        raise ValueError(f"day: expected one of what {channel} promises, {last}, got {day}")
    return _Tree(item, row, protection, policies, today, dated, scale, told).tree(steps, day)


class _Tree:
    """Takes the steps of one channel and item apart."""

    def __init__(
        self,
        item: Item,
        row: Row,
        protection: Protection,
        policies: Policies,
        today: int,
        dated: Mapping[str, Dated],
        scale: int,
        told: Told,
    ) -> None:
        self.item, self.row, self.policies, self.today, self.dated = item, row, policies, today, dated
        self.protection = protection
        self.scale, self.told = scale, told
        self.channel, self.policy = row.channel, row.policy
        raw = item.overrides.get(self.channel)
        self.override = override_facts(raw) if raw is not None else None
        #: the last day for which claims count on the day that is taken apart; None: all do
        self._due: int | None = None

    def tree(self, steps: Steps, day: int) -> Term:
        """Step 5, with all that is beneath it."""
        free = steps.by_day(steps.free)[day]
        atp = steps.by_day(steps.atp)[day]
        terms = [self._free(steps, day, free)]
        left = free
        for name, quantity, why in limits(self.policy, free):
            left += quantity
            terms.append(self._term(name, quantity, why, said_by=self._policy_record(name)))
        assert left == atp, f"step 5 of {self.item.code} for {self.channel}: expected {atp}, the limits make {left}"
        when = "today" if day == 0 else f"on {day_text(self.today + day)}"
        return self._term("atp", atp, f"may be promised through {self.channel} {when}", self.channel, children=terms)

    def _free(self, steps: Steps, day: int, free: int) -> Term:
        """Step 4."""
        promised = steps.by_day(steps.promise)[day]
        kept = steps.by_day(steps.withheld)[day]
        terms = [self._promise(day, promised)]
        if kept:
            says = "is protected for other channels"
            terms.append(self._term("protected_for_others", -kept, says, children=self._protected(day)))
            own = free - (promised - kept)
            if own:
                said = (
                    "more than there is cannot be kept from it"
                    if promised < kept and not self.policy.protected_quantity
                    else "its own protected quantity is kept for it"
                )
                terms.append(self._term("own_protection", own, said, said_by=self._policy_record("protected_quantity")))
        return self._term("free", free, "is there for this channel before its buffer and limits", children=terms)

    def _protected(self, day: int) -> list[Term]:
        """Name the channels that keep something, each with the record that says how much."""
        return [
            self._term("protected", -quantity, f"is protected for {rival}", rival, self._protecting_record(rival))
            for rival, quantity in self.protection.kept_on(day)
            if quantity and rival != self.channel
        ]

    def _promise(self, day: int, promised: int) -> Term:
        """Steps 1 to 3: of the days from this one on that on which least is open."""
        days = max(1, self.policy.horizon_days)
        places = [
            (location, self._levels(location, place, day, days))
            for location in self.policies.topology.sells[self.channel]
            if (place := self.item.places.get(location)) is not None
        ]
        sharing = self.policies.topology.sharing[self.channel]
        unlocated = {
            claimant: _summed(unlocated_due(self.item, (claimant,), self.today, self.policy.horizon_days), days)
            for claimant in sorted(self.item.unlocated)
            if claimant in sharing
        }
        opened = [
            max(0, sum(max(0, sum(parts[at].values())) for _, parts in places) - sum(x[at] for x in unlocated.values()))
            for at in range(days)
        ]
        least = min(range(day, days), key=lambda at: (opened[at], at))
        assert opened[least] == promised, (
            f"step 3 of {self.item.code} for {self.channel}: expected {promised}, its terms make {opened[least]}"
        )
        self._due = None if least == days - 1 else self.today + least
        terms = [
            self._location(location, parts[least], least) for location, parts in places if any(parts[least].values())
        ]
        for claimant, claimed in unlocated.items():
            if claimed[least]:
                says = f"order lines of {claimant} claim it from no location yet"
                lines = self._lines("soft_unlocated", claimant, claimed[least])
                terms.append(self._term("soft_unlocated", -claimed[least], says, claimant, children=lines))
        below = promised - sum(term.value for term in terms)
        if below:
            terms.append(self._term("below_zero", below, "claims beyond what there is count no further than to zero"))
        says = "is open at its locations"
        if least > day:
            says += f", on {day_text(self.today + least)}: the day from then on with the least"
        return self._term("promise", promised, says, children=terms)

    def _levels(self, location: str, place: Place, day: int, days: int) -> list[dict[str, int]]:
        """Step 1's parts at a location on each day, with the lots that are past their day on `day`."""
        view, item = self.row.view, self.item
        on_hand, quarantined, _ = physical(item, location, place)
        fixed = {
            "on_hand": on_hand,
            "quarantined": -quarantined,
            "past_their_day": -past(self.dated.get(location, NO_DATED), self.today + day, self.policy.min_days_left),
            "hard_reserved": -place.hard_reserved,
            "withheld": -withheld_at(item, location),
            "safety_stock": -view.safety.get(location, view.everywhere),
        }
        horizon = self.policy.horizon_days
        later = _summed(dues(_alone(place, "soft_by_day"), view, self.today), days) if horizon else [0] * days
        supply = _summed(dues(_alone(place, *SUPPLY), view, self.today), days) if horizon else [0] * days
        return [
            {**fixed, "soft_allocated": later[at] - place.soft_allocated, "supply": supply[at]} for at in range(days)
        ]

    def _location(self, location: str, parts: dict[str, int], least: int) -> Term:
        """Step 1 at a location, on the day that decides."""
        terms = []
        for name, quantity in parts.items():
            if quantity or name == "on_hand":
                said_by = self.told.moved.get((name, location), "")
                if name == "safety_stock":
                    said_by = self._safety_record()
                if name == "supply":
                    beneath = self._supply(self.item.places[location], least)
                else:
                    beneath = self._lines(name, location, -quantity)
                terms.append(self._term(name, quantity, PART_SAYS[name], location, said_by, beneath))
        total = sum(parts.values())
        if total < 0:
            terms.append(self._term("below_zero", -total, "one location's debt takes nothing from another", location))
        return self._term("available", max(0, total), f"is available at {location}", location, children=terms)

    def _supply(self, place: Place, least: int) -> list[Term]:
        """Name what comes up to a day of the horizon by the day on which it comes."""
        return [
            self._term(SUPPLY[by_day], quantity, SUPPLY_SAYS[by_day], day_text(self.today + day))
            for by_day in SUPPLY
            for day, quantity in sorted(dues(_alone(place, by_day), self.row.view, self.today).items())
            if quantity and day <= least
        ]

    def _lines(self, name: str, of: str, claimed: int) -> list[Term]:
        """Name the order lines that claim a figure, where what is known of them makes it up."""
        lines = [
            (line, quantity)
            for line, quantity, day in self.told.lines.get((name, of), ())
            if self._due is None or day is None or day <= self._due or name == "hard_reserved"
        ]
        if sum(quantity for _, quantity in lines) != claimed:
            return []
        terms = [self._term("order_line", -quantity, "claims it", line) for line, quantity in lines[:LINES_MAX]]
        rest = lines[LINES_MAX:]
        if rest:
            more = sum(quantity for _, quantity in rest)
            terms.append(self._term("order_lines", -more, f"{len(rest)} more order lines claim it"))
        return terms

    def _term(
        self,
        name: str,
        value: int,
        says: str,
        of: str = "",
        said_by: str = "",
        children: list[Term] | tuple[Term, ...] = (),
    ) -> Term:
        return Term(name, value, plain(value, self.scale), says, of, said_by, tuple(children))

    def _policy_record(self, name: str) -> str:
        """Which record gave a value of the policy: the most specific that has it."""
        if self.override is not None and getattr(self.override, name) is not None:
            return self.told.channel_item or self._own_record()
        channel = self.policies.topology.channels[self.channel]
        if getattr(channel, name) is not None:
            return self.told.channel or f"inventory.channels {self.channel}"
        return ""

    def _protecting_record(self, rival: str) -> str:
        raw = self.item.overrides.get(rival)
        if raw is not None and override_facts(raw).protected_quantity is not None:
            return f"inventory.channel_items {rival}:{self.item.code}"
        return f"inventory.channels {rival}"

    def _safety_record(self) -> str:
        if self.override is not None and self.override.safety_stock is not None:
            return self.told.channel_item or self._own_record()
        return self.told.item or f"inventory.items {self.item.code}"

    def _own_record(self) -> str:
        """Name the item's record in the channel by its key, where its place is not known."""
        return f"inventory.channel_items {self.channel}:{self.item.code}"


#: what a part of step 1 says, by its name
PART_SAYS = {
    "on_hand": "is on hand",
    "quarantined": "is quarantined, or of a lot that is held",
    "past_their_day": "is of lots past the last day that they may be sold",
    "hard_reserved": "is reserved for order lines that were allocated here",
    "withheld": "some source says is not to be promised",
    "safety_stock": "is kept as safety stock",
    "soft_allocated": "is claimed by order lines of this location",
    "supply": "is expected, or on its way, by then",
}


#: What comes, by where a location has it by day: what each is called in the tree, and what it says.
SUPPLY = {"expected_by_day": "expected", "in_transit_by_day": "in_transit"}
SUPPLY_SAYS = {"expected_by_day": "is expected that day", "in_transit_by_day": "arrives by transfer that day"}

#: step 5's limits in the order in which they are met: what sets each in a policy without, and what it says
LIMITS = {
    "buffer_quantity": (("buffer_quantity",), "is kept as this channel's buffer"),
    "buffer_percent": (("buffer_numerator", "buffer_denominator"), "is kept as this channel's buffer in percent"),
    "cap": (("cap",), "is above the cap"),
    "minimum": (("minimum",), "is below the minimum, so nothing is promised"),
}


def limits(policy: Policy, free: int) -> list[tuple[str, int, str]]:
    """Take step 5 apart: (name, what it adds, what it says) of each limit that changes something."""
    found = []
    limited = replace(policy, buffer_quantity=0, buffer_numerator=0, buffer_denominator=1, cap=None, minimum=0)
    left = limited.allow(free)
    for name, (fields, says) in LIMITS.items():
        limited = replace(limited, **{field: getattr(policy, field) for field in fields})
        allowed = limited.allow(free)
        if allowed != left:
            found.append((name, allowed - left, says))
            left = allowed
    return found


def _alone(place: Place, *names: str) -> Place:
    """Give a place with these of its figures by day alone."""
    alone = Place()
    for name in names:
        setattr(alone, name, getattr(place, name))
    return alone


def _summed(changes: Changes, days: int) -> list[int]:
    """Give what changes by day come to on each day."""
    return list(accumulate(changes.get(day, 0) for day in range(days)))


def plain(value: int, scale: int) -> str:
    """Give a quantity in base UoM x 10^scale as a decimal in base UoM."""
    return str(value) if not scale else decimal_text(Fraction(value, 10**scale))
