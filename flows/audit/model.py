"""Decides every number a second time, from the plain list of facts: contract sections 4 and 5, read straight off.

Nothing here comes from the engine. There is no running total and no forgetting: one pass over an item's facts gives its
position, and from that follow its promises. Quantities in base UoM x 10^scale, times in UTC microseconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import Any

from flows.audit.intake import Book, Unit

DAY = 86_400_000_000
NEVER, FOREVER = -(1 << 80), 1 << 80
FIGURES = ("on_hand", "quarantined", "soft_allocated", "hard_reserved", "in_transit", "expected")


@dataclass(slots=True)
class Place:
    """An item at a location; dated quantities as (day or None, quantity)."""

    on_hand: int = 0
    quarantined: int = 0
    hard_reserved: int = 0
    soft: list[tuple[int | None, int]] = field(default_factory=list)
    expected: list[tuple[int | None, int]] = field(default_factory=list)
    in_transit: list[tuple[int | None, int]] = field(default_factory=list)

    def figures(self) -> dict[str, int]:
        """As position:<item> shows them."""
        return {
            "on_hand": self.on_hand,
            "quarantined": self.quarantined,
            "soft_allocated": sum(q for _, q in self.soft),
            "hard_reserved": self.hard_reserved,
            "in_transit": sum(q for _, q in self.in_transit),
            "expected": sum(q for _, q in self.expected),
        }


@dataclass(slots=True)
class Position:
    """An item everywhere, and the claims that name no location, by channel."""

    places: dict[str, Place] = field(default_factory=lambda: defaultdict(Place))
    unlocated: dict[str, list[tuple[int | None, int]]] = field(default_factory=lambda: defaultdict(list))

    def oversold(self) -> int:
        """Units that orders claim beyond what is there to give."""
        free = -sum(q for claims in self.unlocated.values() for _, q in claims)
        for place in self.places.values():
            figures = place.figures()
            free += figures["on_hand"] - figures["quarantined"]
            free -= figures["hard_reserved"] + figures["soft_allocated"]
        return max(0, -free)


def position(units: Iterable[Unit], book: Book, now: int) -> Position:
    """Fold an item's facts into what is where."""
    found = Position()
    lines: dict[tuple[str, str], list[Unit]] = defaultdict(list)
    #: (location, lot) -> (at, change of on_hand, change of quarantined)
    moves: dict[tuple[str, str], list[tuple[int, int, int]]] = defaultdict(list)
    counts: dict[tuple[str, str], list[Unit]] = defaultdict(list)
    words: list[Unit] = []
    supplies: dict[tuple[str, str, str], list[Unit]] = defaultdict(list)
    for unit in units:
        kind, cell = unit.type, (unit.get("location") or "", unit.get("lot") or "")
        if kind in ("stock_received", "stock_adjusted", "return_received", "transfer_shipped"):
            change = -unit.quantity if kind == "transfer_shipped" else unit.quantity
            moves[cell].append((unit.at, change, change if unit.get("status") == "quarantined" else 0))
        elif kind == "stock_status_changed":
            moves[cell].append(
                (unit.at, 0, unit.quantity if unit.get("to_status") == "quarantined" else -unit.quantity)
            )
        elif kind == "stock_counted":
            counts[cell].append(unit)
        elif kind in ("lot_held", "lot_released"):
            words.append(unit)
        elif "order_id" in unit.facts:
            lines[unit.facts["order_id"], unit.line_id].append(unit)
        if unit.get("transfer_id"):
            supplies["transfer", unit.facts["transfer_id"], unit.get("to_location") or cell[0]].append(unit)
        if unit.get("receipt_id"):
            supplies["receipt", unit.facts["receipt_id"], cell[0]].append(unit)
    for handled in lines.values():
        _line(handled, book, now, found, moves)
    for cell in moves.keys() | counts.keys():
        _cell(cell, moves[cell], counts[cell], words, found.places[cell[0]])
    for (kind, _, location), told in supplies.items():
        _supply(kind, told, found.places[location])
    return found


def _line(
    units: list[Unit], book: Book, now: int, found: Position, moves: dict[Any, list[tuple[int, int, int]]]
) -> None:
    """What an order line holds, claims, and took from the shelves."""
    is_cancelled = any(unit.type == "order_cancelled" for unit in units)
    served = 0
    for location in {unit.facts["location"] for unit in units if unit.type in _AT_A_LOCATION}:
        here = [unit for unit in units if unit.get("location") == location]
        reserved = _total(here, "order_allocated") - _total(here, "order_released")
        rule = book.locations[location].get("deducts_at", "first")
        taken = 0
        for (lot, at), quantity in _deductions(here, rule).items():
            moves[location, lot].append((at, -quantity, 0))
            taken += quantity
        served += max(reserved, taken)
        if not is_cancelled:
            found.places[location].hard_reserved += max(0, reserved - taken)
    placed = max((unit for unit in units if unit.type == "order_placed"), key=lambda u: u.rank, default=None)
    if placed is None or is_cancelled or (placed.get("expires_at") or FOREVER) <= now:
        return
    left = placed.quantity - served
    if left > 0:
        day = None if placed.get("requested_at") is None else placed.facts["requested_at"] // DAY
        if placed.get("location"):
            found.places[placed.facts["location"]].soft.append((day, left))
        else:
            found.unlocated[placed.facts["channel"]].append((day, left))


_AT_A_LOCATION = ("order_allocated", "order_released", "pick_confirmed", "shipment_confirmed")


def _deductions(units: list[Unit], rule: str) -> dict[tuple[str, int], int]:
    """The steps of D by lot: (lot, at) -> units taken then."""
    picks = [u for u in units if u.type == "pick_confirmed" and rule != "shipment"]
    shipments = sorted((u for u in units if u.type == "shipment_confirmed" and rule != "pick"), key=lambda u: u.rank)
    steps: dict[tuple[str, int], int] = {}
    before: dict[str, int] = {}
    for at in sorted({unit.at for unit in (*picks, *shipments)}):
        by_lot: dict[str, int] = defaultdict(int)
        passed_over = 0
        for unit in picks:
            if unit.at <= at:
                by_lot[unit.get("lot") or ""] += unit.quantity
                passed_over += unit.quantity
        for unit in shipments:
            if unit.at <= at:
                picked = min(passed_over, unit.quantity)
                passed_over -= picked
                by_lot[unit.get("lot") or ""] += unit.quantity - picked
        for lot in by_lot.keys() | before.keys():
            change = by_lot.get(lot, 0) - before.get(lot, 0)
            if change:
                steps[lot, at] = change
        before = dict(by_lot)
    return steps


def _cell(
    cell: tuple[str, str], moves: list[tuple[int, int, int]], counts: list[Unit], words: list[Unit], place: Place
) -> None:
    """The newest count, and what changed after it."""
    location, lot = cell
    count = max(counts, key=lambda unit: unit.rank, default=None)
    since = count.at if count else NEVER
    on_hand = (count.quantity if count else 0) + sum(change for at, change, _ in moves if at > since)
    told = max((unit for unit in counts if "quarantined" in unit.facts), key=lambda unit: unit.rank, default=None)
    since = told.at if told else NEVER
    quarantined = (told.facts["quarantined"] if told else 0) + sum(change for at, _, change in moves if at > since)
    about = [u for u in words if u.get("lot") == lot and u.get("location") in (None, location)]
    word = max(about, key=lambda unit: unit.rank, default=None)
    if word is not None and word.type == "lot_held":
        quarantined = on_hand
    place.on_hand += on_hand
    place.quarantined += quarantined


def _supply(kind: str, units: list[Unit], place: Place) -> None:
    """What of a transfer or a receipt is still to come."""
    received = _total(units, "stock_received")
    if kind == "receipt":
        word = max((u for u in units if u.type.startswith("receipt_")), key=lambda u: u.rank, default=None)
        if word is not None and word.type == "receipt_expected":
            place.expected.append((word.facts["eta"] // DAY, max(0, word.quantity - received)))
        return
    shipped = max((u for u in units if u.type == "transfer_shipped"), key=lambda u: u.rank, default=None)
    if shipped is not None and not any(u.type == "transfer_closed" for u in units):
        eta = shipped.get("eta")
        left = max(0, _total(units, "transfer_shipped") - received)
        place.in_transit.append((None if eta is None else eta // DAY, left))


def _total(units: Iterable[Unit], kind: str) -> int:
    return sum(unit.quantity for unit in units if unit.type == kind)


# --- promises --------------------------------------------------------------------------------------------------------


def sells(channel: str, book: Book) -> set[str]:
    """The sellable locations a channel names or that lie beneath one it names."""
    named = set(book.channels[channel].get("locations", ()))
    found = set()
    for code, record in book.locations.items():
        above: str | None = code
        while above is not None and above not in named:
            above = book.locations.get(above, {}).get("parent")
        if above is not None and record.get("sellable", True):
            found.add(code)
    return found


def is_listed(item: str, channel: str, book: Book) -> bool:
    """Does the channel list the item?"""
    return item in book.items and bool(book.channel_items.get(f"{channel}:{item}", {}).get("listed", True))


def promise(item: str, channel: str, at: Position, book: Book, now: int) -> list[int]:
    """What the channel may promise: by day where it has a horizon, else one number."""
    own = book.channels[channel]
    horizon, today = int(own.get("horizon_days", 0)), now // DAY
    last = max(1, horizon) - 1
    mine = sells(channel, book)
    shared = {other: sells(other, book) & mine for other in book.channels}

    def due(claims: list[tuple[int | None, int]], d: int) -> int:
        return sum(q for day, q in claims if min(max((day or today) - today, 0), last) <= d)

    def supply(coming: list[tuple[int | None, int]], d: int) -> int:
        return sum(q for day, q in coming if day is not None and 0 <= day - today <= d) if horizon else 0

    def available(location: str, d: int) -> int:
        place = at.places.get(location) or Place()
        quantity = place.on_hand - place.quarantined - place.hard_reserved - _safety(item, channel, location, book)
        quantity += supply(place.expected, d) - due(place.soft, d)
        if own.get("promise_in_transit", False):
            quantity += supply(place.in_transit, d)
        return max(0, quantity)

    here = {location: [available(location, d) for d in range(last + 1)] for location in mine}
    claimants = {channel} | {other for other, places in shared.items() if places}
    opened = [
        max(0, sum(days[d] for days in here.values()) - sum(due(at.unlocated.get(c, []), d) for c in claimants))
        for d in range(last + 1)
    ]
    rivals = [c for c in book.channels if c != channel and shared[c] and is_listed(item, c, book)]

    def rank(code: str) -> tuple[int, str]:
        return int(book.channels[code].get("priority", 100)), code

    def withheld(d: int, by: list[str]) -> int:
        return sum(min(_given(item, c, "protected_quantity", book), sum(here[x][d] for x in shared[c])) for c in by)

    above = [c for c in rivals if rank(c) < rank(channel)]
    protected = _given(item, channel, "protected_quantity", book)
    answer = []
    for d in range(last + 1):
        promised = min(opened[d:])
        free = max(promised - withheld(d, rivals), min(protected, promised - withheld(d, above)), 0)
        answer.append(_limited(item, channel, free, book))
    return answer


def _limited(item: str, channel: str, free: int, book: Book) -> int:
    """Buffers, then cap, then minimum."""
    atp = free - _given(item, channel, "buffer_quantity", book)
    percent = _most_specific(item, channel, "buffer_percent", book)
    atp -= ceil(free * Fraction(percent or 0) / 100)
    if _most_specific(item, channel, "cap", book) is not None:
        atp = min(atp, _given(item, channel, "cap", book))
    return atp if atp > 0 and atp >= _given(item, channel, "minimum", book) else 0


def _most_specific(item: str, channel: str, name: str, book: Book) -> Any:
    value = book.channel_items.get(f"{channel}:{item}", {}).get(name)
    return book.channels[channel].get(name) if value is None else value


def _given(item: str, channel: str, name: str, book: Book) -> int:
    return _scaled(item, _most_specific(item, channel, name, book) or 0, book)


def _scaled(item: str, quantity: Any, book: Book) -> int:
    return int(Fraction(quantity) * 10 ** int(book.items[item].get("scale", 0)))


def _safety(item: str, channel: str, location: str, book: Book) -> int:
    stock = book.channel_items.get(f"{channel}:{item}", {}).get("safety_stock")
    if stock is None:
        stock = book.items[item].get("safety_stock", {})
    return _scaled(item, stock.get(location, stock.get("*", 0)), book)
