"""What is wrong with an item's numbers now (contract section 7, inventory.exceptions)."""

from __future__ import annotations

from operators.rules import lines, supply
from schemas.state import Item, Place, Transfer

#: (code, location, reference: a transfer's or receipt's id, a lot, or order_id and line_id with a space between)
Key = tuple[str, str, str]


def at_location(
    found: dict[Key, dict[str, int]], location: str, on_hand: int, quarantined: int, hard: int, soft: int
) -> None:
    """Add what is wrong at one location. Called where any of the figures is out of order, so rarely."""
    figures = {"on_hand": on_hand, "quarantined": quarantined, "hard_reserved": hard, "soft_allocated": soft}
    if on_hand < 0:
        found["negative_on_hand", location, ""] = figures
    if on_hand - quarantined - hard - soft < 0:
        found["oversold", location, ""] = figures
    if hard > on_hand - quarantined and hard > 0:
        found["allocated_without_stock", location, ""] = figures


def over_received(found: dict[Key, dict[str, int]], item: Item) -> None:
    """Add the item's transfers and receipts of which more came than was announced."""
    for (_, reference, location), record in item.over.items():
        if isinstance(record, Transfer):
            figures = {"shipped": record.shipped, "received": supply.received(record)}
        else:
            figures = {"expected": record.quantity, "received": supply.received(record)}
            of_parts = item.rare.parts.get((reference, location)) if item.rare is not None else None
            if of_parts is not None:
                figures["received_of_parts"] = of_parts[1]
        found["over_received", location, reference] = figures


def lots_below_zero(found: dict[Key, dict[str, int]], location: str, place: Place) -> None:
    """Add the lots at a location of which more went than was there."""
    for lot, cell in (place.lots or {}).items():
        if cell.on_hand < 0:
            found["lot_below_zero", location, lot] = {"on_hand": cell.on_hand}


def oversold_everywhere(found: dict[Key, dict[str, int]], unlocated: int, sellable: int) -> None:
    """Add that more is claimed with no location than all locations that channels sell from have left. As above."""
    found["oversold", "*", ""] = {"soft_allocated": unlocated, "available": sellable}


def doubtful_lines(found: dict[Key, dict[str, int]], item: Item) -> None:
    """Add the order lines whose words contradict each other."""
    if item.rare is None:
        return
    for key, line in item.rare.doubtful.items():
        reference = " ".join(key)
        delivered, served = lines.totals(line)
        if lines.claims_above_demand(line, delivered, served):
            found["claims_above_demand", "", reference] = {
                "wanted": lines.wanted(line),
                "claimed": served,
                "delivered": delivered,
            }
        if lines.is_demanded_after_cancellation(line):
            found["demand_after_cancellation", "", reference] = {"demand": line.demand}
