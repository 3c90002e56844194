"""Which lots are held or past their day, and what that does to what may be promised (contract section 4, Lots)."""

from __future__ import annotations

from schemas.state import Item, Moment, Place, Rare, own


def hold(item: Item, lot: str, location: str, word: Moment, held: bool) -> None:
    """Note a lot_held (held) or lot_released; an empty location means every location."""
    known = item.holds.get((lot, location))
    if known is None or word > known[0]:
        holds = item.holds = own(item.holds)
        holds[lot, location] = (word, held)


def is_held(item: Item, lot: str, location: str) -> bool:
    """What the newest word for the lot says, be it for this location or for all."""
    here, everywhere = item.holds.get((lot, location)), item.holds.get((lot, ""))
    if here is None or (everywhere is not None and everywhere[0] > here[0]):
        here = everywhere
    return here is not None and here[1]


def keep_word(rare: Rare, item: Item, lot: str, location: str, word: Moment, held: bool) -> None:
    """Put aside what a word on a lot replaces, or the word itself where a newer one stands: for what was then."""
    newest = item.holds[lot, location]
    older = (word, held) if word < newest[0] else newest
    words = rare.lot_words.setdefault((lot, location), [])
    if older[0] != max(word, newest[0]) and older not in words:
        words.append(older)


def forget_words(rare: Rare, item: Item, horizon: int) -> list[tuple[str, str]]:
    """Drop words that no moment after `horizon` can ask for; gives the (lot, location) of which any went.

    Of those up to the horizon the newest is what was in force there: it stays while a newer word stands against it.
    """
    changed = []
    for key, words in list(rare.lot_words.items()):
        if item.holds[key][0][0] <= horizon:
            rare.lot_words.pop(key)
            changed.append(key)
            continue
        before = max((word for word, _ in words if word[0] <= horizon), default=None)
        kept = [entry for entry in words if entry[0][0] > horizon or entry[0] == before]
        if len(kept) < len(words):
            rare.lot_words[key] = kept
            changed.append(key)
    return changed


def was_held(item: Item, lot: str, location: str, moment: int) -> bool:
    """What the newest word for the lot said, of those that occurred up to a moment."""
    found: tuple[Moment, bool] | None = None
    for key in ((lot, location), (lot, "")):
        newest = item.holds.get(key)
        if newest is None:
            continue
        for entry in (newest, *(item.rare.lot_words.get(key, ()) if item.rare is not None else ())):
            if entry[0][0] <= moment and (found is None or entry[0] > found[0]):
                found = entry
    return found is not None and found[1]


def physical(item: Item, location: str, place: Place) -> tuple[int, int, int]:
    """(on_hand, quarantined) of all cells at a location, and the least on_hand of a lot, at most 0.

    A held lot's quarantined is its on_hand.
    """
    on_hand, quarantined, least = place.on_hand, place.quarantined, 0
    if place.lots:
        for lot, cell in place.lots.items():
            on_hand += cell.on_hand
            least = min(least, cell.on_hand)
            held = bool(item.holds) and is_held(item, lot, location)
            quarantined += cell.on_hand if held else cell.quarantined
    return on_hand, quarantined, least


def date(rare: Rare, lot: str, word: Moment, last_day: int | None) -> None:
    """A lot_dated: the newest word on a lot stands. `last_day`: its best_before in days since 1970; None: none."""
    known = rare.best_before.get(lot)
    if known is None or word > known[0]:
        rare.best_before[lot] = (word, last_day)


#: (best_before, units at one location) each, the earliest first
Dated = list[tuple[int, int]]


def dated(item: Item) -> dict[str, Dated]:
    """By location, units that may be sold up to a day: max(0, on_hand - quarantined) of each lot that has a date.

    Locations without any are left out; a held lot has none.
    """
    found: dict[str, Dated] = {}
    if item.rare is None or not item.rare.best_before:
        return found
    best_before = item.rare.best_before
    for location, place in item.places.items():
        if not place.lots:
            continue
        units = []
        for lot, cell in place.lots.items():
            if cell.on_hand > cell.quarantined and lot in best_before:
                last_day = best_before[lot][1]
                if last_day is not None and not is_held(item, lot, location):
                    units.append((last_day, cell.on_hand - cell.quarantined))
        if units:
            found[location] = sorted(units)
    return found


def past(units: Dated, day: int, min_days_left: int = 0) -> int:
    """How many of them may no longer be sold on a day, through a channel that wants so many days left."""
    return sum([quantity for last_day, quantity in units if day > last_day - min_days_left])
