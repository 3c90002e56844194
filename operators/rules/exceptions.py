"""What is wrong with an item's numbers now (contract section 7, inventory.exceptions)."""

from __future__ import annotations

from schemas.state import Item, Transfer

#: (code, location, transfer or receipt id or "")
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
            figures = {"shipped": record.shipped, "received": record.received}
        else:
            figures = {"expected": record.quantity, "received": record.received}
        found["over_received", location, reference] = figures
