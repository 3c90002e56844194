"""Rounds what is not exact in an item's scale, so that nothing is promised that is not there (contract section 2).

Only for items with `rounding: safe`, and only where the exact conversion failed. What takes goods away, claims them or
keeps them back is rounded up, what brings or frees them down, towards minus infinity: so an event errs by less than one
smallest unit. A reversal is rounded the way its plain event is: it takes back as much as that one put in.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Final

from operators.rules.quantities import UnitsOfMeasure
from schemas.units import EventType, Unit

#: What is rounded up, and what of it down. Every other quantity is rounded down.
ROUNDED_UP: Final = frozenset(
    {
        EventType.ORDER_PLACED,
        EventType.ORDER_ALLOCATED,
        EventType.PICK_CONFIRMED,
        EventType.SHIPMENT_CONFIRMED,
        EventType.TRANSFER_SHIPPED,  # what leaves; what it puts in transit: down
        EventType.STOCK_WITHHELD,
    }
)
#: Up where it moves towards quarantined, down where it moves away.
BY_STATUS: Final = EventType.STOCK_STATUS_CHANGED
#: Down, as it is in no list above; its quarantined part up, and at most the rounded count.
COUNT: Final = EventType.STOCK_COUNTED


def round_safely(unit: Unit, measure: UnitsOfMeasure) -> tuple[int, int | None]:
    """Give (quantity, second) in base UoM x 10^scale; QuantityError where the unit of measure is unknown or at 2^53.

    `second` is a count's quarantined (None if it gives none), and what a transfer_shipped puts in transit where that is
    not the quantity, else None. A unit without a quantity gives 0.
    """
    if unit.quantity is None:
        return 0, None
    exact = measure.exact(unit.quantity, unit.uom)
    is_up = unit.type in ROUNDED_UP or (unit.type == BY_STATUS and unit.status == "quarantined")
    quantity = measure.limited(ceil(exact) if is_up else floor(exact), unit.quantity, unit.uom, "quantity")
    if unit.type == EventType.TRANSFER_SHIPPED:
        in_transit = floor(exact)
        return quantity, None if in_transit == quantity else in_transit
    if unit.type == COUNT and unit.quarantined is not None:
        return quantity, min(ceil(measure.exact(unit.quarantined, unit.uom)), quantity)
    return quantity, None
