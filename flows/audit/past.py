"""Decides for the naive model what was where at a moment that has passed, and what one unit did to it.

Rule 1: what happened later than the moment is left out of the list of units, and the same questions are asked of what
is left. Nothing is taken back and nothing is kept. Rule 2: when and in what order units came does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flows.audit.intake import Unit
from flows.audit.model import Model
from flows.audit.quantities import Quantities
from flows.audit.reading import DAY_US
from flows.audit.stated import COUNTED, RECONCILER


class Past(Quantities):
    """Answers what would be where if only some of an item's units had been applied."""

    def __init__(self, model: Model, item: str, units: Iterable[Unit]) -> None:
        super().__init__(model.dedup_window_us, model.max_clock_skew_us)
        self._model = model
        self.items, self.locations, self.channels = model.items, model.locations, model.channels
        self.channel_items, self.zone, self.rules = model.channel_items, model.zone, model.rules
        self.units_of[item] = list(units)

    def counted(self, item: str, location: str, lot: str | None, measure: str) -> int:
        """Give on_hand or quarantined of a lot there; without a lot of all lots, and of what carries none, together."""
        both = self._ledger(item, location) if lot is None else self._cell(item, location, lot)
        return both[COUNTED.index(measure)]

    def lots_there(self, item: str, location: str) -> set[str]:
        """Give the lots of which on_hand there is not 0."""
        lots = {lot for lot in self._lots(item, location) if lot is not None}
        return {lot for lot in lots if self._cell(item, location, lot)[0] != 0}

    def lots_known(self, item: str, location: str) -> set[str]:
        """Give the lots that were ever named there."""
        return {lot for lot in self._lots(item, location) if lot is not None}

    def is_held(self, item: str, lot: str, location: str) -> bool:
        """Whether the newest word on a lot there holds it."""
        return self._held(item, lot, location)

    def still_to_come(self, item: str, location: str) -> Iterator[tuple[int, list[Unit]]]:
        """What each receipt and each transfer still brings there, with the units that announced it."""
        units = self._units(item)
        for supply in self._supplies(item):
            if supply.location == location:
                kind, name, at = ("receipt_expected", "receipt_id", "location")
                if supply.is_transfer:
                    kind, name, at = ("transfer_shipped", "transfer_id", "to_location")
                yield (
                    supply.quantity,
                    [u for u in units if u.kind == kind and u.get(name) == supply.reference and u.get(at) == location],
                )

    def still_claimed(self, item: str, location: str, now: int) -> Iterator[tuple[set[int], list[Unit]]]:
        """What each order line still claims there: its hard part, its soft part, both; and its units."""
        for units in self._lines(item).values():
            # A line alone claims what it claims among others: none takes from another.
            alone = Past(self._model, item, units)
            hard = alone._hard(item, location)
            soft = sum(claim.quantity for claim in alone._claims(item, now) if claim.location == location)
            yield {hard, soft, hard + soft}, units


@dataclass(frozen=True)
class Cell:
    """What a row speaks of: one measure of an item at a location (or in a channel), of a lot or of all."""

    item: str
    place: str
    lot: str | None
    measure: str


def until(units: Iterable[Unit], moment: int) -> list[Unit]:
    """Give what had happened by a moment, the moment included."""
    return [unit for unit in units if unit.occurred_at <= moment]


def counted_at(model: Model, cell: Cell, moment: int, units: Iterable[Unit] | None = None) -> int:
    """Give on_hand or quarantined as of a moment; `units`: in place of all that were applied to the item."""
    known = model.units_of.get(cell.item, []) if units is None else units
    past = Past(model, cell.item, until(known, moment))
    return past.counted(cell.item, cell.place, cell.lot, cell.measure)


def ours_at(model: Model, cell: Cell, moment: int) -> int | None:
    """Give what is ours as of a moment; None where it cannot be said any more, because something later is known."""
    if cell.measure in COUNTED:
        return counted_at(model, cell, moment)
    if any(unit.occurred_at > moment for unit in model.units_of.get(cell.item, [])):
        return None
    return figure_at(model, cell, moment)


def figure_at(model: Model, cell: Cell, moment: int) -> int:
    """Give what a measure was at a moment, by what had happened by then.

    What source `reconciliation` withholds is no word of a system on what there is, and safety stock is nobody's word.
    """
    if cell.measure in COUNTED:
        return counted_at(model, cell, moment)
    units = until(model.units_of.get(cell.item, []), moment)
    own = [unit for unit in units if not (unit.kind == "stock_withheld" and unit.source == RECONCILER)]
    past = Past(model, cell.item, own)
    figures = past.position(cell.item, moment).get(cell.place, {})
    figure = figures.get(cell.measure, 0)
    if cell.measure == "available" and figures:
        figure += past.safety_stock(cell.item, cell.place, None)
    return figure


def newest_count(units: Iterable[Unit], cell: Cell, lot: str | None) -> Unit | None:
    """Give the newest count of what carries a lot (or none) there that gives the cell's measure, None of none."""
    counts = [
        unit
        for unit in units
        if unit.kind == "stock_counted" and unit.get("location") == cell.place and unit.get("lot") == lot
    ]
    if cell.measure == "quarantined":
        counts = [unit for unit in counts if "quarantined" in unit.content]
    return max(counts, key=lambda unit: unit.rank, default=None)


def effect(model: Model, cell: Cell, unit: Unit, as_of: int) -> int:
    """Give what a unit did to a measure: what it was at the unit's own moment, with it less without it.

    A count that stands over a unit (later than it, up to as_of) leaves nothing of its effect.
    """
    if unit.get("location") not in (None, cell.place):
        return 0
    known = model.units_of[cell.item]
    count = newest_count(until(known, as_of), cell, unit.get("lot"))
    if count is not None and count is not unit and count.occurred_at >= unit.occurred_at:
        return 0
    there = until(known, unit.occurred_at)
    with_it = counted_at(model, cell, unit.occurred_at, there)
    return with_it - counted_at(model, cell, unit.occurred_at, [other for other in there if other is not unit])


def day_before(model: Model, item: str, as_of: int) -> list[Unit]:
    """Give the units of the day up to as_of."""
    return [unit for unit in model.units_of.get(item, []) if as_of - DAY_US < unit.occurred_at <= as_of]


def day_after(model: Model, item: str, as_of: int) -> list[Unit]:
    """Give the units of the day after as_of, as far as they were applied."""
    return [unit for unit in model.units_of.get(item, []) if as_of < unit.occurred_at <= as_of + DAY_US]
