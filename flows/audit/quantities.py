"""Decides for the naive model how much is where: positions and exceptions, as section 4 of the contract reads.

There is no running total, no cache and no forgetting here: a question costs as much as an item's history is long, and
the code can be read beside the contract.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from flows.audit.intake import Intake, Unit
from flows.audit.reading import Fields

FOREVER = 2**80
"""Later than any time that RFC 3339 can write, and more than any quantity."""

LineKey = tuple[str, str]
"""(order_id, line_id); the item is the one that was asked about."""


@dataclass(frozen=True)
class Claim:
    """What an order line still asks for beyond its reservations; from no location yet where location is None."""

    channel: str
    location: str | None
    quantity: int
    requested_at: int | None


@dataclass(frozen=True)
class Supply:
    """Goods on their way to a location: an expected receipt or a transfer."""

    reference: str
    location: str
    quantity: int
    eta: int | None
    is_transfer: bool
    received_above: bool


def newest(units: Iterable[Unit]) -> Unit | None:
    """Give the newest of some units, None of none."""
    return max(units, key=lambda unit: unit.rank, default=None)


def total(units: Iterable[Unit], kind: str) -> int:
    """Sum the quantities of one type of event."""
    return sum(unit.quantity for unit in units if unit.kind == kind)


def reserved(units: Iterable[Unit]) -> int:
    """Give what was allocated and not released: A - R."""
    units = list(units)
    return total(units, "order_allocated") - total(units, "order_released")


def deducted(units: Iterable[Unit], rule: str, until: int) -> dict[str | None, int]:
    """What an order line took from on_hand at one location by a time, by lot: D(t) of section 4."""
    units = [unit for unit in units if unit.occurred_at <= until]
    picks = [unit for unit in units if unit.kind == "pick_confirmed"]
    shipments = sorted((unit for unit in units if unit.kind == "shipment_confirmed"), key=lambda unit: unit.rank)
    by_lot: dict[str | None, int] = defaultdict(int)
    if rule != "shipment":
        for unit in picks:
            by_lot[unit.get("lot")] += unit.quantity
    # What was picked and then shipped is the same goods: only what was shipped beyond the picks deducts.
    passed_over = {"first": total(picks, "pick_confirmed"), "shipment": 0, "pick": FOREVER}[rule]
    for unit in shipments:
        picked = min(passed_over, unit.quantity)
        passed_over -= picked
        by_lot[unit.get("lot")] += unit.quantity - picked
    return by_lot


class Quantities(Intake):
    """Answers what is where from the plain list of what was accepted."""

    def _units(self, item: str) -> list[Unit]:
        return self.units_of.get(item, [])

    def as_of(self, item: str) -> int | None:
        """Give the latest time at which anything that was applied to the item occurred."""
        return max((unit.occurred_at for unit in self._units(item)), default=None)

    # Order lines: what they took, what they hold, what they still ask for.

    def _lines(self, item: str) -> dict[LineKey, list[Unit]]:
        lines: dict[LineKey, list[Unit]] = defaultdict(list)
        for unit in self._units(item):
            if "order_id" in unit.content:
                lines[unit.content["order_id"], unit.line_id].append(unit)
        return lines

    def _parts(self, item: str) -> Iterator[tuple[LineKey, str, list[Unit], str]]:
        """Every order line at every location that its units name, with the deduction rule that holds for it there."""
        for key, units in self._lines(item).items():
            for location in sorted({unit.content["location"] for unit in units if "location" in unit.content}):
                here = [unit for unit in units if unit.get("location") == location]
                yield key, location, here, self.rules[item, *key, location]

    def _cancelled(self, item: str) -> set[LineKey]:
        return {key for key, units in self._lines(item).items() if any(u.kind == "order_cancelled" for u in units)}

    def _hard(self, item: str, location: str) -> int:
        cancelled = self._cancelled(item)
        return sum(
            max(0, reserved(units) - sum(deducted(units, rule, FOREVER).values()))
            for key, at, units, rule in self._parts(item)
            if at == location and key not in cancelled
        )

    def _claims(self, item: str, now: int) -> list[Claim]:
        served: dict[LineKey, int] = defaultdict(int)
        for key, _, units, rule in self._parts(item):
            served[key] += max(reserved(units), sum(deducted(units, rule, FOREVER).values()))
        cancelled = self._cancelled(item)
        claims = []
        for key, units in self._lines(item).items():
            placed = newest(unit for unit in units if unit.kind == "order_placed")
            if placed is None or key in cancelled or placed.content.get("expires_at", FOREVER) <= now:
                continue
            left = placed.quantity - served[key]
            if left > 0:
                content = placed.content
                claims.append(Claim(content["channel"], placed.get("location"), left, placed.get("requested_at")))
        return claims

    # Cells: what lies where, lot by lot.

    def _movements(self, item: str, location: str, lot: str | None) -> Iterator[tuple[int, int, int]]:
        """(occurred_at, change of on_hand, change of quarantined) of a cell, without what order lines took."""
        for unit in self._units(item):
            if unit.get("location") != location or unit.get("lot") != lot:
                continue
            if unit.kind in ("stock_received", "stock_adjusted", "return_received", "transfer_shipped"):
                change = -unit.quantity if unit.kind == "transfer_shipped" else unit.quantity
                yield unit.occurred_at, change, change if unit.content["status"] == "quarantined" else 0
            elif unit.kind == "stock_status_changed":
                towards = unit.content["to_status"] == "quarantined"
                yield unit.occurred_at, 0, unit.quantity if towards else -unit.quantity

    def _cell(self, item: str, location: str, lot: str | None) -> tuple[int, int]:
        """(on_hand, quarantined) of a cell: the newest count and what changed after it."""
        counts = [
            unit
            for unit in self._units(item)
            if unit.kind == "stock_counted" and unit.content["location"] == location and unit.get("lot") == lot
        ]
        count = newest(counts)
        since, on_hand = (count.occurred_at, count.quantity) if count else (-FOREVER, 0)
        on_hand += sum(change for at, change, _ in self._movements(item, location, lot) if at > since)
        for _, at_location, units, rule in self._parts(item):
            if at_location == location:
                on_hand -= deducted(units, rule, FOREVER).get(lot, 0) - deducted(units, rule, since).get(lot, 0)
        if lot is not None and self._held(item, lot, location):
            return on_hand, on_hand
        told = newest(unit for unit in counts if "quarantined" in unit.content)
        since, quarantined = (told.occurred_at, told.content["quarantined"]) if told else (-FOREVER, 0)
        return on_hand, quarantined + sum(q for at, _, q in self._movements(item, location, lot) if at > since)

    def _held(self, item: str, lot: str, location: str) -> bool:
        word = newest(
            unit
            for unit in self._units(item)
            if unit.kind in ("lot_held", "lot_released")
            and unit.get("lot") == lot
            and unit.get("location") in (None, location)
        )
        return word is not None and word.kind == "lot_held"

    def _ledger(self, item: str, location: str) -> tuple[int, int]:
        """(on_hand, quarantined) of a location over all of its cells."""
        lots = {unit.get("lot") for unit in self._units(item) if unit.get("location") == location}
        cells = [self._cell(item, location, lot) for lot in lots]
        return sum(on_hand for on_hand, _ in cells), sum(quarantined for _, quarantined in cells)

    # Supply: what is on its way.

    def _supplies(self, item: str) -> list[Supply]:
        units = self._units(item)
        supplies = []
        receipts = {(unit.get("receipt_id"), unit.get("location")) for unit in units if "receipt_id" in unit.content}
        for reference, location in receipts:
            here = [u for u in units if u.get("receipt_id") == reference and u.content["location"] == location]
            word = newest(unit for unit in here if unit.kind != "stock_received")
            if word is not None and word.kind == "receipt_expected":
                left = word.quantity - total(here, "stock_received")
                supplies.append(Supply(reference, location, max(0, left), word.content["eta"], False, left < 0))
        transfers = {
            (unit.get("transfer_id"), unit.get("to_location") or unit.get("location"))
            for unit in units
            if "transfer_id" in unit.content
        }
        for reference, location in transfers:
            here = [
                unit
                for unit in units
                if unit.get("transfer_id") == reference
                and (unit.get("to_location") or unit.get("location")) == location
            ]
            shipped = newest(unit for unit in here if unit.kind == "transfer_shipped")
            if shipped is not None:
                left = total(here, "transfer_shipped") - total(here, "stock_received")
                closed = any(unit.kind == "transfer_closed" for unit in here)
                waiting = 0 if closed else max(0, left)
                supplies.append(Supply(reference, location, waiting, shipped.get("eta"), True, left < 0))
        return supplies

    # Positions and exceptions.

    def position(self, item: str, now_us: int) -> dict[str, dict[str, int]]:
        """Give every quantity at every location that an applied unit names; "*" holds claims on no location yet."""
        if item not in self.items:
            return {}
        claims, supplies = self._claims(item, now_us), self._supplies(item)
        named = {unit.get(name) for unit in self._units(item) for name in ("location", "to_location")} - {None}
        position = {}
        for location in sorted(map(str, named)):
            on_hand, quarantined = self._ledger(item, location)
            hard = self._hard(item, location)
            soft = sum(claim.quantity for claim in claims if claim.location == location)
            here = [supply for supply in supplies if supply.location == location]
            position[location] = {
                "on_hand": on_hand,
                "quarantined": quarantined,
                "soft_allocated": soft,
                "hard_reserved": hard,
                "in_transit": sum(supply.quantity for supply in here if supply.is_transfer),
                "expected": sum(supply.quantity for supply in here if not supply.is_transfer),
                "available": on_hand - quarantined - soft - hard - self.safety_stock(item, location, None),
            }
        nowhere = sum(claim.quantity for claim in claims if claim.location is None)
        return position | ({"*": {"soft_allocated": nowhere}} if nowhere else {})

    def exceptions(self, item: str, now_us: int) -> set[tuple[str, str, str]]:
        """Give (code, location, reference) of what does not add up now; the reference is empty where there is none."""
        found = set()
        for location, at in self.position(item, now_us).items():
            if location == "*":
                continue
            unheld = at["on_hand"] - at["quarantined"]
            if at["on_hand"] < 0:
                found.add(("negative_on_hand", location, ""))
            if unheld - at["hard_reserved"] - at["soft_allocated"] < 0:
                found.add(("oversold", location, ""))
            # A debt alone is no allocation: without a reservation there is nothing to report here.
            if at["hard_reserved"] > max(0, unheld):
                found.add(("allocated_without_stock", location, ""))
        supplies = self._supplies(item) if item in self.items else []
        return found | {("over_received", s.location, s.reference) for s in supplies if s.received_above}

    # What is kept back.

    def _scaled(self, item: str, base: Fraction | int) -> Fraction:
        scale: int = self.items[item]["measure"][1]
        return base * Fraction(10) ** scale

    def safety_stock(self, item: str, location: str, channel: str | None) -> int:
        """Give what is kept back at a location: the channel's own word on the item, else the item's."""
        own: Fields = self.channel_items.get(f"{channel}:{item}", {})
        stock: dict[str, Fraction] = (own if "safety_stock" in own else self.items[item]).get("safety_stock") or {}
        return ceil(self._scaled(item, stock.get(location, stock.get("*", Fraction(0)))))


def oversold(position: Mapping[str, Mapping[str, int]]) -> int:
    """Give how many units of an item orders claim beyond what there is to give, over all locations."""
    free = 0
    for at in position.values():
        free += at.get("on_hand", 0) - at.get("quarantined", 0) - at.get("hard_reserved", 0) - at["soft_allocated"]
    return max(0, -free)
