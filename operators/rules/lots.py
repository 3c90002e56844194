"""Which lots are held, and what that does to what is quarantined (contract section 4, Lots)."""

from __future__ import annotations

from schemas.state import Item, Moment, Place


def hold(item: Item, lot: str, location: str, word: Moment, held: bool) -> None:
    """Note a lot_held (held) or lot_released; an empty location means every location."""
    known = item.holds.get((lot, location))
    if known is None or word > known[0]:
        item.holds[lot, location] = (word, held)


def is_held(item: Item, lot: str, location: str) -> bool:
    """What the newest word for the lot says, be it for this location or for all."""
    here, everywhere = item.holds.get((lot, location)), item.holds.get((lot, ""))
    if here is None or (everywhere is not None and everywhere[0] > here[0]):
        here = everywhere
    return here is not None and here[1]


def physical(item: Item, location: str, place: Place) -> tuple[int, int]:
    """(on_hand, quarantined) of all cells at a location; a held lot's quarantined is its on_hand."""
    on_hand, quarantined = place.on_hand, place.quarantined
    if place.lots:
        for lot, cell in place.lots.items():
            on_hand += cell.on_hand
            held = bool(item.holds) and is_held(item, lot, location)
            quarantined += cell.on_hand if held else cell.quarantined
    return on_hand, quarantined
