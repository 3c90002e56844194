"""Decides every number of the contract a second time, naively: what each channel may promise, as section 5 reads.

What counts is decided by `intake`, what is where by `quantities`. Lists by day have one entry for each day of the
horizon, or one for today.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from flows.audit.lines import Claim
from flows.audit.quantities import Quantities
from flows.audit.reading import Fields, day_of


@dataclass(frozen=True)
class Promise:
    """What a channel may promise of an item, with every step of section 5 on the way.

    `available` and `open` of a day are as that day has them, with the lots that are past their day on it.
    """

    atp: int
    by_day: list[int] | None
    available: dict[str, list[int]]
    open: list[int]
    promise: list[int]
    withheld: list[int]
    withheld_above: list[int]
    free: list[int]


class Model(Quantities):
    """Answers every question from the plain list of what was accepted and the reference data in force."""

    def _lists(self, channel: str, item: str) -> bool:
        own: Fields = self.channel_items.get(f"{channel}:{item}", {})
        listed: bool = own.get("listed", self.channels[channel]["listing"] == "all")
        return item in self.items and listed

    def _limit(self, item: str, channel: str, name: str) -> Fraction | None:
        """The most specific limit that is given, in base units."""
        own: Fields = self.channel_items.get(f"{channel}:{item}", {})
        value: Fraction | None = own.get(name, self.channels[channel].get(name))
        return value

    def _protected(self, item: str, channel: str) -> int:
        return ceil(self._scaled(item, self._limit(item, channel, "protected_quantity") or 0))

    def promise(self, item: str, channel: str, now_us: int) -> Promise | None:
        """Give what the channel may promise, None where it does not list the item."""
        if channel not in self.channels or not self._lists(channel, item):
            return None
        own = self.channels[channel]
        sellable = self.sellable(channel)
        horizon = own["horizon_days"]
        days = range(max(1, horizon))
        today = day_of(now_us, self.zone)
        claims = self._claims(item, now_us)
        supplies = [supply for supply in self._supplies(item) if supply.quantity]

        def due(claim: Claim) -> int:
            on = today if claim.requested_at is None else day_of(claim.requested_at, self.zone)
            return min(max(on - today, 0), days[-1])

        def supply_until(location: str, day: int) -> int:
            return sum(
                supply.quantity
                for supply in supplies
                if supply.location == location
                and horizon > 0
                and (own["promise_in_transit"] or not supply.is_transfer)
                and supply.eta is not None
                and 0 <= day_of(supply.eta, self.zone) - today <= day
            )

        #: by location: what is left on each day while every lot may be sold, and what of it may not be on each day
        left, past_their_day = {}, {}
        for location in sorted(sellable):
            on_hand, quarantined = self._ledger(item, location)
            kept = self._hard(item, location) + self._withheld(item, location)
            kept += self.safety_stock(item, location, channel)
            left[location] = [
                on_hand
                - quarantined
                - kept
                - sum(claim.quantity for claim in claims if claim.location == location and due(claim) <= day)
                + supply_until(location, day)
                for day in days
            ]
            dated = self._dated(item, location)
            past_their_day[location] = [
                sum(there for best_before, there in dated if today + day > best_before - own["min_days_left"])
                for day in days
            ]

        def available_at(location: str, day: int, seen_from: int) -> int:
            """On a day, without the lots that are past their day on the day that it is seen from."""
            return max(0, left[location][day] - past_their_day[location][seen_from])

        shared = {other: self.sellable(other) & sellable for other in self.channels}
        sharing = {channel} | {other for other, places in shared.items() if places}
        nowhere = [claim for claim in claims if claim.location is None and claim.channel in sharing]
        claimed = [sum(claim.quantity for claim in nowhere if due(claim) <= day) for day in days]

        def open_on(day: int, seen_from: int) -> int:
            return max(0, sum(available_at(location, day, seen_from) for location in left) - claimed[day])

        available = {location: [available_at(location, day, day) for day in days] for location in left}
        opened = [open_on(day, day) for day in days]
        # What a lot that is past its day later on can still give today is given away first.
        promise = [min(open_on(later, day) for later in days[day:]) for day in days]

        def withheld(for_channels: Iterable[str]) -> list[int]:
            protecting = [c for c in for_channels if c != channel and self._lists(c, item) and shared[c]]
            return [
                sum(min(self._protected(item, c), sum(available[at][day] for at in shared[c])) for c in protecting)
                for day in days
            ]

        def precedence(other: str) -> tuple[int, str]:
            return self.channels[other]["priority"], other

        by_all = withheld(self.channels)
        by_higher = withheld(c for c in self.channels if precedence(c) < precedence(channel))
        protected = self._protected(item, channel)
        free = [max(promise[d] - by_all[d], min(protected, promise[d] - by_higher[d]), 0) for d in days]
        atp = [self._limited(item, channel, quantity) for quantity in free]
        return Promise(atp[0], atp if horizon else None, available, opened, promise, by_all, by_higher, free)

    def _limited(self, item: str, channel: str, free: int) -> int:
        """Buffers, then cap, then minimum: step 5."""
        buffer = self._scaled(item, self._limit(item, channel, "buffer_quantity") or 0)
        percent = self._limit(item, channel, "buffer_percent") or Fraction(0)
        cap = self._limit(item, channel, "cap")
        minimum = self._limit(item, channel, "minimum")
        atp = free - ceil(buffer) - ceil(free * percent / 100)
        if cap is not None:
            atp = min(atp, floor(self._scaled(item, cap)))
        if minimum is not None and atp < self._scaled(item, minimum):
            return 0
        return max(0, atp)
