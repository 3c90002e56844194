"""Builds an item of what is published of it in Redis, in the form in which the rules take it: as far as that tells."""

from __future__ import annotations

from datetime import date

from flows.inspection.claims import claims_in
from flows.inspection.policy_records import Records
from operators.evaluate import item_facts
from operators.explaining import ClaimOfLine
from operators.rules.lots import Dated
from operators.rules.policy import split_safety
from schemas.settings import Settings
from schemas.state import Item, Place, Rare, Withheld

EPOCH = date(1970, 1, 1).toordinal()
#: what a location's hash fields are called, but for `available`, which follows from them
FIGURES = ("on_hand", "quarantined", "soft_allocated", "hard_reserved", "in_transit", "expected", "withheld")


def lines_in(claims: dict[str, str]) -> dict[tuple[str, str], list[ClaimOfLine]]:
    """Give by figure what order lines claim, from the hash `claims:<item>`, the oldest first."""
    found: dict[tuple[str, str], list[ClaimOfLine]] = {}
    for claim in claims_in(claims):
        line = f"{claim['order_id']} {claim['line_id']}"
        requested = claim.get("requested_day")
        day = None if requested is None else date.fromisoformat(requested).toordinal() - EPOCH
        for location, quantity in claim["hard"].items():
            found.setdefault(("hard_reserved", location), []).append((line, quantity, None))
        if claim["soft"]:
            place = claim.get("location")
            key = ("soft_allocated", place) if place else ("soft_unlocated", claim.get("channel", ""))
            found.setdefault(key, []).append((line, claim["soft"], day))
    return found


def _by_day(lines: list[ClaimOfLine]) -> dict[int, int] | None:
    """Add up what is requested for a day, by that day; None where nothing is."""
    found: dict[int, int] = {}
    for _, quantity, day in lines:
        if day is not None:
            found[day] = found.get(day, 0) + quantity
    return found or None


class KnownItem:
    """The item as far as what is published tells, in the form in which the rules take it."""

    def __init__(
        self,
        code: str,
        records: Records,
        position: dict[str, str],
        claims: dict[str, str],
        settings: Settings,
        today: int,
    ) -> None:
        self.item = Item(code)
        self.item.policy, self.item.overrides = records.item, records.overrides
        self.dated: dict[str, Dated] = {}
        #: what is doubtful in any case; and where a channel promises by day
        self.doubts: list[str] = []
        self.doubts_of_days: list[str] = []
        self.lines = lines_in(claims)
        figures: dict[str, dict[str, int]] = {}
        for name, value in position.items():
            location, _, figure = name.rpartition(":")
            if location:
                figures.setdefault(location, {})[figure] = int(value)
        unlocated = figures.pop("*", {}).get("soft_allocated", 0)
        facts = item_facts(records.item) if records.item is not None else None
        safety, everywhere = split_safety(facts.safety_stock) if facts is not None else ({}, 0)
        for location, said in sorted(figures.items()):
            self._place(location, said, safety.get(location, everywhere), today)
        self._claims(unlocated, records, settings)

    def _place(self, location: str, said: dict[str, int], safety: int, today: int) -> None:
        place = self.item.places[location] = Place()
        on_hand, quarantined, soft, hard, in_transit, expected, withheld = (said.get(name, 0) for name in FIGURES)
        place.on_hand, place.quarantined, place.soft_allocated, place.hard_reserved = on_hand, quarantined, soft, hard
        place.in_transit, place.expected = in_transit, expected
        if withheld:
            rare = self.item.rare = self.item.rare or Rare()
            kept = rare.withheld[location] = Withheld()
            kept.total = withheld
        # `available` leaves out what is of lots past their day, which no other figure says.
        gone = on_hand - quarantined - soft - hard - withheld - safety - said.get("available", 0)
        if gone > 0:
            self.dated[location] = [(today - 1, gone)]
        elif gone < 0 and "available" in said:
            self.doubts.append(f"what is available at {location} is {-gone} more than its other figures make")
        if on_hand < 0:
            self.doubts.append(f"on hand at {location} is negative: something went out that never came in")
        lines = self.lines.get(("soft_allocated", location), [])
        if sum(quantity for _, quantity, _ in lines) == soft:
            place.soft_by_day = _by_day(lines)
        else:
            self.doubts_of_days.append(f"for which days the claims at {location} are is not known here")
        if expected or in_transit:
            self.doubts_of_days.append(f"on which days the supply of {location} comes is not known here")

    def _claims(self, unlocated: int, records: Records, settings: Settings) -> None:
        """Share out what is claimed from no location: by the lines' channels where claims are published."""
        if not unlocated:
            return
        by_channel = {
            channel: sum(quantity for _, quantity, _ in lines)
            for (name, channel), lines in self.lines.items()
            if name == "soft_unlocated"
        }
        if sum(by_channel.values()) == unlocated:
            self.item.unlocated = by_channel
            self.item.unlocated_by_day = {
                channel: by_day
                for channel in by_channel
                if (by_day := _by_day(self.lines["soft_unlocated", channel])) is not None
            }
            return
        channels = list(records.topology.channels)
        if channels:
            self.item.unlocated = {channels[0]: unlocated}
        if len(channels) > 1:
            why = "are not published (updates.claims)" if not settings.updates.claims else "do not add up to them"
            self.doubts.append(f"whose the claims from no location are is not known: the claims by order line {why}")
        self.doubts_of_days.append("for which days the claims from no location are is not known here")
