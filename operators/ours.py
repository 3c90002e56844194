"""Ours: what a measure of an item was at a moment that a statement speaks of (contract section 9, ours).

On hand and quarantined are as of the moment, whatever came since. Everything else is only known while nothing later was
applied to the item; days and expiries are as of the moment, too. What is not known is None: not compared, no variance.
"""

from __future__ import annotations

from collections.abc import Sequence

from operators.rules import lines, lots, past
from operators.rules.days import Days
from schemas.state import Cell, Item, Place
from schemas.variances import OWN_SOURCE

NO_LOTS: dict[str, Cell] = {}


def ours_of(item: Item, location: str, lot: str, measure: str, as_of: int, horizon: int, days: Days) -> int | None:
    """Give a measure in base UoM x 10^scale; None where it cannot be known. An unknown location or lot has nothing.

    `lot`: only on_hand and quarantined have one; "" is all lots together. `horizon`: journals reach back to there.
    """
    place = item.places.get(location)
    if measure == "on_hand":
        return 0 if place is None else _on_hand(item, place, lot, as_of, horizon)
    if measure == "quarantined":
        return 0 if place is None else _quarantined(item, location, place, lot, as_of, horizon)
    if item.as_of > as_of:
        return None
    if place is None:
        return 0
    if measure == "hard_reserved":
        return place.hard_reserved
    if measure == "in_transit":
        return place.in_transit
    if measure == "expected":
        return place.expected
    if measure == "withheld":
        return withheld(item, location)
    if measure == "soft_allocated":
        return soft_allocated(item, location, place, as_of)
    assert measure == "available", measure
    on_hand, quarantined, _ = lots.physical(item, location, place)
    sold_out = lots.past(lots.dated(item).get(location, []), days.day_of(as_of))
    soft = soft_allocated(item, location, place, as_of)
    return on_hand - quarantined - sold_out - soft - place.hard_reserved - withheld(item, location)


def _cells(place: Place, lot: str) -> list[tuple[str, Cell]]:
    if lot:
        cell = (place.lots or NO_LOTS).get(lot)
        return [(lot, cell)] if cell is not None else []
    return [("", place), *(place.lots or NO_LOTS).items()]


def _on_hand(item: Item, place: Place, lot: str, as_of: int, horizon: int) -> int | None:
    if not lot and not place.lots:
        return cell_on_hand(item, place, as_of, horizon)
    total = 0
    for _, cell in _cells(place, lot):
        quantity = cell_on_hand(item, cell, as_of, horizon)
        if quantity is None:
            return None
        total += quantity
    return total


def on_hands(item: Item, location: str, lot: str, moments: Sequence[int], horizon: int) -> list[int | None]:
    """Give on_hand as of each of many moments; as `ours_of`."""
    place = item.places.get(location)
    totals: list[int | None] = [0] * len(moments)
    for _, cell in _cells(place, lot) if place is not None else ():
        quantities = past.on_hands(cell, moments, horizon)
        for number, moment in enumerate(moments):
            quantity = cell.on_hand if item.as_of <= moment else quantities[number]
            total = totals[number]
            totals[number] = None if total is None or quantity is None else total + quantity
    return totals


def cell_on_hand(item: Item, cell: Cell, as_of: int, horizon: int) -> int | None:
    """Give one cell's on_hand as of a moment: of all lots of a place each is one."""
    return cell.on_hand if item.as_of <= as_of else past.on_hand(cell, as_of, horizon)


def _quarantined(item: Item, location: str, place: Place, lot: str, as_of: int, horizon: int) -> int | None:
    total = 0
    for code, cell in _cells(place, lot):
        if code and item.holds and lots.was_held(item, code, location, as_of):
            quantity = cell_on_hand(item, cell, as_of, horizon)
        elif item.as_of <= as_of:
            quantity = cell.quarantined
        else:
            quantity = past.quarantined(cell, as_of, horizon)
        if quantity is None:
            return None
        total += quantity
    return total


def has_lots(item: Item, location: str, as_of: int, horizon: int) -> bool:
    """Is some lot of the item not 0 at a location as of a moment? What is not known counts as not 0."""
    place = item.places.get(location)
    if place is None or not place.lots:
        return False
    for cell in place.lots.values():  # noqa: SIM110 - what is called from C holds no generator
        if cell_on_hand(item, cell, as_of, horizon) != 0:
            return True
    return False


def is_counted_since(item: Item, location: str, lot: str, measure: str, as_of: int, horizon: int) -> bool:
    """Was the row's own cell counted after as_of? A row without lot has one only where no lot is not 0."""
    place = item.places.get(location)
    if place is None or (not lot and has_lots(item, location, as_of, horizon)):
        return False
    cell = (place.lots or NO_LOTS).get(lot) if lot else place
    if cell is None:
        return False
    count = cell.quarantine_count if measure == "quarantined" else cell.count
    return count is not None and count[0] > as_of


def soft_allocated(item: Item, location: str, place: Place, as_of: int) -> int:
    """Give the soft claims at a location as of a moment: what lapsed since counts, what lapsed until then does not."""
    total: int = place.soft_allocated
    for line in item.lines.values():
        if line.expires_at is None or line.location != location or line.lapsed == (line.expires_at <= as_of):
            continue
        _, served = lines.totals(line)
        if line.lapsed:
            line.lapsed = False
            total += lines.soft_allocated(line, served)
            line.lapsed = True
        else:
            total -= lines.soft_allocated(line, served)
    return total


def withheld(item: Item, location: str) -> int:
    """Give what is withheld at a location, but for what reconciling itself withholds."""
    known = item.rare.withheld.get(location) if item.rare is not None else None
    if known is None:
        return 0
    return sum([quantity for source, (_, quantity) in known.words.items() if source != OWN_SOURCE])


def own_hold(item: Item, location: str) -> tuple[int, int]:
    """Give what reconciling withholds at a location, and the moment of that word; (0, -1) where there is none."""
    known = item.rare.withheld.get(location) if item.rare is not None else None
    if known is None or OWN_SOURCE not in known.words:
        return 0, -1
    word, quantity = known.words[OWN_SOURCE]
    return quantity, word[0]
