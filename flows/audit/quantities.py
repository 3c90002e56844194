"""Decides for the naive model how much is where: positions and exceptions, as section 4 of the contract reads.

There is no running total, no cache and no forgetting here: a question costs as much as an item's history is long, and
the code can be read beside the contract.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from flows.audit.intake import Unit
from flows.audit.lines import (
    FOREVER,
    Lines,
    deducted,
    ended,
    newest,
    placed,
    total,
    wanted,
)
from flows.audit.reading import Fields, day_of


@dataclass(frozen=True)
class Supply:
    """Goods on their way to a location: an expected receipt or a transfer."""

    reference: str
    location: str
    quantity: int
    eta: int | None
    is_transfer: bool
    received_above: bool


@dataclass(frozen=True)
class Receipt:
    """What was said of a receipt at a location. `is_expected`: the newest word on it is no cancellation."""

    quantity: int
    received: int
    eta: int | None
    part_of: str | None
    is_expected: bool


class Quantities(Lines):
    """Answers what is where from the plain list of what was accepted."""

    def as_of(self, item: str) -> int | None:
        """Give the latest time at which anything that was applied to the item occurred."""
        return max((unit.occurred_at for unit in self._units(item)), default=None)

    # Cells: what lies where, lot by lot.

    def _in_cell(self, item: str, location: str, lot: str | None) -> list[Unit]:
        """What names a cell."""
        return [unit for unit in self._at(item, location) if unit.content.get("lot") == lot]

    def _movements(self, item: str, location: str, lot: str | None) -> Iterator[tuple[int, int, int]]:
        """(occurred_at, change of on_hand, change of quarantined) of a cell, without what order lines took."""
        for unit in self._in_cell(item, location, lot):
            if unit.kind in ("stock_received", "stock_adjusted", "return_received", "transfer_shipped"):
                change = -unit.change if unit.kind == "transfer_shipped" else unit.change
                yield unit.occurred_at, change, change if unit.content["status"] == "quarantined" else 0
            elif unit.kind == "stock_status_changed":
                towards = unit.content["to_status"] == "quarantined"
                yield unit.occurred_at, 0, unit.quantity if towards else -unit.quantity

    def _cell(self, item: str, location: str, lot: str | None) -> tuple[int, int]:
        """(on_hand, quarantined) of a cell: the newest count and what changed after it."""
        counts = [unit for unit in self._in_cell(item, location, lot) if unit.kind == "stock_counted"]
        count = newest(counts)
        since, on_hand = (count.occurred_at, count.quantity) if count else (-FOREVER, 0)
        on_hand += sum(change for at, change, _ in self._movements(item, location, lot) if at > since)
        gone = self._gone(item)
        for key, _, units, rule in self._parts_at(item, location):
            on_hand -= gone[key, location].get(lot, 0)
            if count is not None:
                on_hand += deducted(units, rule, since).get(lot, 0)
        if lot is not None and self._held(item, lot, location):
            return on_hand, on_hand
        told = newest(unit for unit in counts if "quarantined" in unit.content)
        since, quarantined = (told.occurred_at, told.content["quarantined"]) if told else (-FOREVER, 0)
        return on_hand, quarantined + sum(q for at, _, q in self._movements(item, location, lot) if at > since)

    def _held(self, item: str, lot: str, location: str) -> bool:
        word = newest(
            unit
            for unit in self._of_kind(item, "lot_held", "lot_released")
            if unit.get("lot") == lot and unit.get("location") in (None, location)
        )
        return word is not None and word.kind == "lot_held"

    def _ledger(self, item: str, location: str) -> tuple[int, int]:
        """(on_hand, quarantined) of a location over all of its cells."""
        cells = [self._cell(item, location, lot) for lot in self._lots(item, location)]
        return sum(on_hand for on_hand, _ in cells), sum(quarantined for _, quarantined in cells)

    def _lots(self, item: str, location: str) -> set[str | None]:
        """The lots that units name there; None is what carries no lot."""
        return {unit.content.get("lot") for unit in self._at(item, location)}

    def _best_before(self, item: str, lot: str | None) -> int | None:
        """The last day on which a lot may be sold, None where it has none."""
        word = newest(unit for unit in self._of_kind(item, "lot_dated") if unit.get("lot") == lot)
        return None if word is None else word.get("best_before")

    def _dated(self, item: str, location: str) -> list[tuple[int, int]]:
        """(best before, what is there and not quarantined) of each lot at a location that has a date."""
        dated = []
        for lot in self._lots(item, location) - {None}:
            best_before = self._best_before(item, lot)
            if best_before is not None:
                on_hand, quarantined = self._cell(item, location, lot)
                dated.append((best_before, max(0, on_hand - quarantined)))
        return dated

    def _withheld(self, item: str, location: str) -> int:
        """What is not promised there: the sum over sources of what each said last."""
        words = self._of_kind(item, "stock_withheld")
        here = sorted((word for word in words if word.content["location"] == location), key=lambda word: word.rank)
        return sum({word.source: word.quantity for word in here}.values())

    # Supply: what is on its way.

    def _supplies(self, item: str) -> list[Supply]:
        return self._expected(item) + self._in_transit(item)

    def _receipts(self, item: str) -> dict[tuple[str, str], Receipt]:
        """By (receipt_id, location): what was said of each receipt, and what came of it."""
        named: dict[tuple[str, str], list[Unit]] = defaultdict(list)
        for unit in self._units(item):
            if "receipt_id" in unit.content:
                named[unit.content["receipt_id"], unit.content["location"]].append(unit)
        receipts = {}
        for (reference, location), here in named.items():
            word = newest(unit for unit in here if unit.kind != "stock_received")
            announced = newest(unit for unit in here if unit.kind == "receipt_expected")
            receipts[reference, location] = Receipt(
                quantity=0 if announced is None else announced.quantity,
                received=max(0, total(here, "stock_received")),
                eta=None if announced is None else announced.content["eta"],
                part_of=None if announced is None else announced.get("part_of"),
                is_expected=word is not None and word.kind == "receipt_expected",
            )
        return receipts

    def _expected(self, item: str) -> list[Supply]:
        receipts = self._receipts(item)
        parts_of: dict[tuple[str | None, str], list[Receipt]] = defaultdict(list)
        for (_, at), part in receipts.items():
            parts_of[part.part_of, at].append(part)
        supplies = []
        for (reference, location), receipt in receipts.items():
            if not receipt.is_expected:
                continue
            parts = parts_of.get((reference, location), [])
            # What a shipment notice says is on its way under its own number, or came under it: the order waits for the
            # rest. Of a notice that was called off the order waits for all that did not come.
            under_way = sum(max(part.quantity, part.received) if part.is_expected else part.received for part in parts)
            left = max(0, receipt.quantity - receipt.received - under_way)
            came = receipt.received + sum(part.received for part in parts)
            supplies.append(Supply(reference, location, left, receipt.eta, False, came > receipt.quantity))
        return supplies

    def _in_transit(self, item: str) -> list[Supply]:
        transfers: dict[tuple[str, str], list[Unit]] = defaultdict(list)
        for unit in self._units(item):
            if "transfer_id" in unit.content:
                to = unit.get("to_location") or unit.content["location"]
                transfers[unit.content["transfer_id"], to].append(unit)
        supplies = []
        for (reference, location), here in transfers.items():
            shipments = [unit for unit in here if unit.kind == "transfer_shipped"]
            word = newest(unit for unit in shipments if "reversal" not in unit.content)
            if word is not None:
                sent, came = sum(unit.transit for unit in shipments), max(0, total(here, "stock_received"))
                closed = any(unit.kind == "transfer_closed" for unit in here)
                waiting = 0 if closed else max(0, sent - came)
                supplies.append(Supply(reference, location, waiting, word.get("eta"), True, came > max(0, sent)))
        return supplies

    # Positions and exceptions.

    def position(self, item: str, now_us: int) -> dict[str, dict[str, int]]:
        """Give every quantity at every location that an applied unit names; "*" holds claims on no location yet."""
        if item not in self.items:
            return {}
        claims, supplies, today = self._claims(item, now_us), self._supplies(item), day_of(now_us, self.zone)
        named = {unit.get(name) for unit in self._units(item) for name in ("location", "to_location")} - {None}
        position = {}
        for location in sorted(map(str, named)):
            on_hand, quarantined = self._ledger(item, location)
            past_their_day = sum(there for best_before, there in self._dated(item, location) if today > best_before)
            hard, withheld = self._hard(item, location), self._withheld(item, location)
            soft = sum(claim.quantity for claim in claims if claim.location == location)
            here = [supply for supply in supplies if supply.location == location]
            position[location] = {
                "on_hand": on_hand,
                "quarantined": quarantined,
                "soft_allocated": soft,
                "hard_reserved": hard,
                "in_transit": sum(supply.quantity for supply in here if supply.is_transfer),
                "expected": sum(supply.quantity for supply in here if not supply.is_transfer),
                "withheld": withheld,
                "available": on_hand
                - quarantined
                - past_their_day
                - soft
                - hard
                - withheld
                - self.safety_stock(item, location, None),
            }
        nowhere = sum(claim.quantity for claim in claims if claim.location is None)
        return position | ({"*": {"soft_allocated": nowhere}} if nowhere else {})

    def exceptions(self, item: str, now_us: int) -> set[tuple[str, str, str]]:
        """Give (code, location, reference) of what does not add up now; the reference is empty where there is none."""
        found: set[tuple[str, str, str]] = set()
        if item not in self.items:
            return found
        position = self.position(item, now_us)
        to_give = 0
        for location, at in position.items():
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
            if any(location in self.sellable(channel) for channel in self.channels):
                to_give += max(0, unheld - at["hard_reserved"] - at["soft_allocated"])
            for lot in self._lots(item, location) - {None}:
                if self._cell(item, location, lot)[0] < 0:
                    found.add(("lot_below_zero", location, str(lot)))
        if "*" in position and position["*"]["soft_allocated"] > to_give:
            found.add(("oversold", "*", ""))
        found |= {("over_received", s.location, s.reference) for s in self._supplies(item) if s.received_above}
        return found | self._orders_in_doubt(item)

    def _orders_in_doubt(self, item: str) -> set[tuple[str, str, str]]:
        """Lines that hold more than they want, and cancelled ones that were placed again since."""
        found = set()
        served, taken = self._served(item), self._taken(item)
        for key, units in self._lines(item).items():
            order, cancellation = placed(units), ended(units)
            if order is None:
                continue
            if cancellation is None:
                if served[key] > max(wanted(units), taken[key]):
                    found.add(("claims_above_demand", "", " ".join(key)))
            elif order.rank > cancellation.rank and order.quantity > 0:
                found.add(("demand_after_cancellation", "", " ".join(key)))
        return found

    # Where goods may be sold.

    def sellable(self, channel: str) -> set[str]:
        """Give the sellable locations that a channel lists, or that lie beneath one that it lists."""
        listed = set(self.channels[channel]["locations"])

        def above(location: str) -> Iterator[str]:
            while location:
                yield location
                location = self.locations.get(location, {}).get("parent") or ""

        return {place for place, own in self.locations.items() if own["sellable"] and listed & set(above(place))}

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
