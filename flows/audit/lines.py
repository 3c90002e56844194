"""Decides for the naive model what order lines took, hold and still ask for, as section 4 of the contract reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from flows.audit.intake import Intake, Unit

FOREVER = 2**80
"""Later than any time that RFC 3339 can write, and more than any quantity."""

LineKey = tuple[str, str]
"""(order_id, line_id); the item is the one that was asked about."""
Part = tuple[LineKey, str, list[Unit], str]
"""An order line at one location: (line, location, what names both, the deduction rule that holds for it there)"""


@dataclass(frozen=True)
class Claim:
    """What an order line still asks for beyond its reservations; from no location yet where location is None."""

    channel: str
    location: str | None
    quantity: int
    requested_at: int | None


def newest(units: Iterable[Unit]) -> Unit | None:
    """Give the newest of some units, None of none."""
    return max(units, key=lambda unit: unit.rank, default=None)


def total(units: Iterable[Unit], kind: str) -> int:
    """Sum what one type of event adds, reversals subtracted."""
    return sum(unit.change for unit in units if unit.kind == kind)


def reserved(units: Iterable[Unit]) -> int:
    """Give what was allocated and not released: A - R."""
    units = list(units)
    return total(units, "order_allocated") - total(units, "order_released")


def by_lot(units: Iterable[Unit], kind: str) -> dict[str | None, int]:
    """Sum what one type of event adds, lot by lot; reversals of more than there was take nothing back."""
    sums: dict[str | None, int] = defaultdict(int)
    for unit in units:
        if unit.kind == kind:
            sums[unit.get("lot")] += unit.change
    return {lot: max(0, quantity) for lot, quantity in sums.items()}


def shipped(units: Iterable[Unit]) -> list[tuple[str | None, int]]:
    """Give what was shipped and not taken back, (lot, units), oldest first: reversals take the last of their lot."""
    shipments = sorted((unit for unit in units if unit.kind == "shipment_confirmed"), key=lambda unit: unit.rank)
    left = [(unit.get("lot"), unit.quantity) for unit in shipments if "reversal" not in unit.content]
    for reversal in shipments:
        if "reversal" in reversal.content:
            to_take = reversal.quantity
            for number in reversed(range(len(left))):
                lot, quantity = left[number]
                if lot == reversal.get("lot"):
                    taken = min(to_take, quantity)
                    left[number] = (lot, quantity - taken)
                    to_take -= taken
    return left


def deducted(units: Iterable[Unit], rule: str, until: int) -> dict[str | None, int]:
    """What an order line took from on_hand at one location by a time, by lot: D(t) of section 4."""
    units = [unit for unit in units if unit.occurred_at <= until]
    if not units:
        return {}
    picked = by_lot(units, "pick_confirmed")
    taken: dict[str | None, int] = defaultdict(int, {} if rule == "shipment" else picked)
    # What was picked and then shipped is the same goods: only what was shipped beyond the picks deducts.
    to_pass_over = {"first": sum(picked.values()), "shipment": 0, "pick": FOREVER}[rule]
    for lot, quantity in shipped(units):
        passed_over = min(to_pass_over, quantity)
        to_pass_over -= passed_over
        taken[lot] += quantity - passed_over
    return taken


def ended(units: Iterable[Unit]) -> Unit | None:
    """Give the cancellation that stands for an order line, None where it is not cancelled."""
    word = newest(
        unit
        for unit in units
        if unit.kind == "order_reopened" or (unit.kind == "order_cancelled" and "quantity" not in unit.content)
    )
    return word if word is not None and word.kind == "order_cancelled" else None


def placed(units: Iterable[Unit]) -> Unit | None:
    """Give the order_placed that stands for an order line, None while there is none."""
    return newest(unit for unit in units if unit.kind == "order_placed")


def wanted(units: Iterable[Unit]) -> int:
    """Give what an order line demands without what was given up since it was last placed; it was placed."""
    units = list(units)
    order = placed(units)
    assert order is not None, "nothing is wanted before an order is placed"
    given_up = [unit for unit in units if unit.kind == "order_cancelled" and "quantity" in unit.content]
    return max(0, order.quantity - sum(unit.quantity for unit in given_up if unit.rank > order.rank))


class Lines(Intake):
    """Answers whose the units are from the plain list of what was accepted."""

    def _units(self, item: str) -> list[Unit]:
        return self.units_of.get(item, [])

    def _at(self, item: str, location: str) -> list[Unit]:
        """What names a location."""
        return [unit for unit in self._units(item) if unit.content.get("location") == location]

    def _of_kind(self, item: str, *kinds: str) -> list[Unit]:
        return [unit for unit in self._units(item) if unit.kind in kinds]

    def _lines(self, item: str) -> dict[LineKey, list[Unit]]:
        lines: dict[LineKey, list[Unit]] = defaultdict(list)
        for unit in self._units(item):
            if "order_id" in unit.content:
                lines[unit.content["order_id"], unit.line_id].append(unit)
        return lines

    def _parts(self, item: str) -> list[Part]:
        """Every order line at every location that its units name."""
        parts = []
        for key, units in self._lines(item).items():
            for location in sorted({unit.content["location"] for unit in units if "location" in unit.content}):
                here = [unit for unit in units if unit.get("location") == location]
                parts.append((key, location, here, self.rules[item, *key, location]))
        return parts

    def _parts_at(self, item: str, location: str) -> list[Part]:
        return [part for part in self._parts(item) if part[1] == location]

    def _gone(self, item: str) -> dict[tuple[LineKey, str], dict[str | None, int]]:
        """By (line, location): what it took from on_hand there, by lot."""
        return {(key, location): deducted(units, rule, FOREVER) for key, location, units, rule in self._parts(item)}

    def _cancelled(self, item: str) -> set[LineKey]:
        return {key for key, units in self._lines(item).items() if ended(units) is not None}

    def _taken(self, item: str) -> dict[LineKey, int]:
        """What each line took from on_hand, over all locations."""
        taken: dict[LineKey, int] = defaultdict(int)
        for (key, _), by_lots in self._gone(item).items():
            taken[key] += sum(by_lots.values())
        return taken

    def _served(self, item: str) -> dict[LineKey, int]:
        """What each line was given or is kept for it, over all locations."""
        served: dict[LineKey, int] = defaultdict(int)
        gone = self._gone(item)
        for key, location, units, _ in self._parts(item):
            served[key] += max(reserved(units), sum(gone[key, location].values()))
        return served

    def _hard(self, item: str, location: str) -> int:
        lines, cancelled, taken = self._lines(item), self._cancelled(item), self._taken(item)
        gone = self._gone(item)
        hard = 0
        for key, _, units, _ in self._parts_at(item, location):
            if key in cancelled:
                continue
            kept = max(0, reserved(units) - sum(gone[key, location].values()))
            # Of an order that is not known yet nobody can say that it wants less.
            if placed(lines[key]) is not None:
                kept = min(kept, max(0, wanted(lines[key]) - taken[key]))
            hard += kept
        return hard

    def _claims(self, item: str, now: int) -> list[Claim]:
        served, cancelled = self._served(item), self._cancelled(item)
        claims = []
        for key, units in self._lines(item).items():
            order = placed(units)
            if order is None or key in cancelled or order.content.get("expires_at", FOREVER) <= now:
                continue
            left = wanted(units) - served[key]
            if left > 0:
                content = order.content
                claims.append(Claim(content["channel"], order.get("location"), left, order.get("requested_at")))
        return claims
