"""What single units did to a measure of a row: from units read again in Kafka, and the state that they went into.

A unit's effect is what the measure was at its occurred_at, with it less without it. So of a pick and its shipment the
first has it, and of those of one moment each what it adds to the others; a count has one, what it jumped; and what a
later count of its cell covers has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from operators import position
from operators.ours import ours_of
from operators.rules import lines, supply
from operators.rules.causes import PHYSICAL, Effect
from operators.rules.days import Days
from schemas.reconciled import Evidence, Judged
from schemas.state import MOMENT_SEPARATOR, Cell, Item, Line, LineAt, Moment
from schemas.units import EventType, Unit

#: what a unit of the type does is its quantity; of all others it is looked up in the journals
PLAIN = {
    int(EventType.STOCK_RECEIVED): 1,
    int(EventType.STOCK_ADJUSTED): 1,
    int(EventType.RETURN_RECEIVED): 1,
    int(EventType.TRANSFER_SHIPPED): -1,
}
TRANSFER_SHIPPED, RECEIPT_EXPECTED = int(EventType.TRANSFER_SHIPPED), int(EventType.RECEIPT_EXPECTED)
STATUS_CHANGED = int(EventType.STOCK_STATUS_CHANGED)
COUNTED = int(EventType.STOCK_COUNTED)
LOT_WORDS = frozenset({int(EventType.LOT_HELD), int(EventType.LOT_RELEASED)})
PICK_CONFIRMED = int(EventType.PICK_CONFIRMED)
HANDLED = frozenset({PICK_CONFIRMED, int(EventType.SHIPMENT_CONFIRMED)})
#: (unit, quantity, quarantined), converted
Applied = tuple[Unit, int, int | None]
#: what announced something: its kind, its code, and where to or which line
Key = tuple[str, str, str]
RECEIPT, TRANSFER, LINE = "receipt", "transfer", "line"


def effects_of(
    item: Item, row: Judged, measure: str, units: Iterable[Applied], horizon: int, days: Days
) -> list[Effect]:
    """Give what each applied unit did to a measure of the row, oldest first."""
    if measure not in PHYSICAL:
        return []
    found: list[Effect] = []
    plain: dict[int, int] = {}
    others: list[Applied] = []
    for applied in units:
        if applied[0].type not in PLAIN and applied[0].type != STATUS_CHANGED:
            others.append(applied)
            continue
        change = _change(item, row, measure, applied, horizon, days)
        plain[applied[0].occurred_at] = plain.get(applied[0].occurred_at, 0) + change
        _note(found, applied, change)
    for applied in others:
        taken = _taken(item, row, measure, applied[0])
        if taken is not None:
            _note(found, applied, -taken)
            continue
        change = _change(item, row, measure, applied, horizon, days)
        _note(found, applied, change - plain.get(applied[0].occurred_at, 0) if change else 0)
    found.sort(key=lambda effect: effect.occurred_at)
    return found


def _note(found: list[Effect], applied: Applied, change: int) -> None:
    unit, quantity, _ = applied
    if change:
        found.append(Effect(unit.occurred_at, change, unit.recorded_at, named(unit), _twin(unit, quantity)))


def named(unit: Unit) -> Evidence:
    """Give where a unit's message stands."""
    origin = unit.origin
    return Evidence(origin.topic, origin.partition, origin.offset, unit.source, unit.event_id, unit.line_id)


class ItemUnits:
    """The units of an item that were read again, by what is asked of them."""

    def __init__(self, applied: Sequence[Applied]) -> None:
        self._said = applied
        self._at: dict[str, list[Applied]] | None = None
        self._of: dict[Key, list[Unit]] | None = None

    def __len__(self) -> int:
        return len(self._said)

    def moments(self) -> set[int]:
        """Give when they occurred."""
        return {unit.occurred_at for unit, _, _ in self._said}

    def at(self, location: str) -> list[Applied]:
        """Give those that name a location, and words on lots everywhere, oldest logged first.

        Each once: repeats are read again as well.
        """
        if self._at is None:
            first: dict[tuple[str, str, str], Applied] = {}
            for applied in sorted(self._said, key=_logged):
                unit = applied[0]
                first.setdefault((unit.source, unit.event_id, unit.line_id), applied)
            self._at = {}
            for applied in first.values():
                unit = applied[0]
                if unit.location or unit.type in LOT_WORDS:
                    self._at.setdefault(unit.location, []).append(applied)
        if "" not in self._at:
            return self._at.get(location, [])
        return sorted([*self._at.get(location, ()), *self._at[""]], key=_logged)

    def of(self, key: Key) -> list[Unit]:
        """Give those that announced a receipt or a transfer to a place, or are of an order line."""
        if self._of is None:
            self._of = {}
            for unit, _, _ in self._said:
                self._of.setdefault((LINE, unit.order_id, unit.line_id), []).append(unit)
                to = unit.to_location or unit.location
                if unit.type == RECEIPT_EXPECTED:
                    self._of.setdefault((RECEIPT, unit.receipt_id, to), []).append(unit)
                elif unit.type == TRANSFER_SHIPPED:
                    self._of.setdefault((TRANSFER, unit.transfer_id, to), []).append(unit)
        return self._of.get(key, [])


class StillToCome(Mapping[int, list[Evidence]]):
    """What each receipt and transfer still brings to a location, and below zero what each order line claims there.

    By quantity, with those units that announced it: a line's hard part, its soft part (lapsed ones by as_of have none)
    and both. What is 0 is left out. It is gathered when it is first looked into: of most rows nobody asks.
    """

    def __init__(self, item: Item, location: str, as_of: int, units: ItemUnits, claims: Claims) -> None:
        self._item, self._location, self._as_of, self._units, self._claims = item, location, as_of, units, claims
        self._keys: dict[int, list[Key]] | None = None

    def __getitem__(self, quantity: int) -> list[Evidence]:
        return [named(unit) for key in self._gathered()[quantity] for unit in self._units.of(key)]

    def __iter__(self) -> Iterator[int]:
        return iter(self._gathered())

    def __len__(self) -> int:
        return len(self._gathered())

    def _gathered(self) -> dict[int, list[Key]]:
        if self._keys is None:
            item = self._item
            keys: dict[int, list[Key]] = {}
            for (receipt_id, at), receipt in item.receipts.items():
                if at == self._location:
                    coming = supply.expected(receipt, position.parts_of(item, (receipt_id, at))[0])
                    _add(keys, coming, (RECEIPT, receipt_id, at))
            for (transfer_id, at), transfer in item.transfers.items():
                if at == self._location:
                    _add(keys, supply.in_transit(transfer), (TRANSFER, transfer_id, at))
            for claim, order_id, line_id in self._claims.at(self._location, self._as_of):
                _add(keys, -claim, (LINE, order_id, line_id))
            self._keys = keys
        return self._keys


class Claims:
    """What each order line of an item claims at its places: all lines are looked at once for all rows."""

    def __init__(self, item: Item) -> None:
        self._item = item
        self._as_of = -1
        self._at: dict[str, list[tuple[int, str, str]]] = {}

    def at(self, location: str, as_of: int) -> list[tuple[int, str, str]]:
        """Give (quantity, order, line): of each line there its hard part, its soft part and both, each value once."""
        if self._as_of != as_of:
            self._as_of, self._at = as_of, {}
            for (order_id, line_id), line in self._item.lines.items():
                self._note(line, order_id, line_id)
        return self._at.get(location, [])

    def _note(self, line: Line, order_id: str, line_id: str) -> None:
        soft = 0
        if line.location and (line.expires_at is None or line.expires_at > self._as_of):
            soft = lines.soft_allocated(line, lines.totals(line)[1])
        if soft and line.location not in line.at:
            self._at.setdefault(line.location, []).append((soft, order_id, line_id))
        for place, there in line.at.items():
            hard = there.claimed
            own = soft if place == line.location else 0
            for claim in {hard, own, hard + own}:
                if claim:
                    self._at.setdefault(place, []).append((claim, order_id, line_id))


class Lazily(Mapping[int, int]):
    """A mapping that is made when it is first looked into."""

    def __init__(self, make: Callable[[], dict[int, int]]) -> None:
        self._make = make
        self._made: dict[int, int] | None = None

    def _known(self) -> dict[int, int]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __getitem__(self, key: int) -> int:
        return self._known()[key]

    def __iter__(self) -> Iterator[int]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())


def _add(keys: dict[int, list[Key]], quantity: int, key: Key) -> None:
    if quantity:
        keys.setdefault(quantity, []).append(key)


def _logged(applied: Applied) -> tuple[int, int]:
    origin = applied[0].origin
    return applied[0].recorded_at, origin.offset


def _change(item: Item, row: Judged, measure: str, applied: Applied, horizon: int, days: Days) -> int:
    unit, quantity, _ = applied
    kind = unit.type
    if kind in LOT_WORDS:
        touches = (not unit.location or unit.location == row.place) and row.lot in ("", unit.lot)
        if measure != "quarantined" or not touches:
            return 0
        return _jump(item, row, measure, unit.occurred_at, horizon, days)
    if unit.location != row.place or (row.lot and unit.lot != row.lot and kind not in HANDLED):
        return 0
    if _is_covered(item, unit, measure, row.as_of):
        return 0
    if kind == STATUS_CHANGED:
        towards = quantity if unit.status == "quarantined" else -quantity
        return towards if measure == "quarantined" else 0
    sign = PLAIN.get(kind)
    if sign is not None:
        signed = -sign * quantity if unit.reversal else sign * quantity
        return signed if measure == "on_hand" or unit.status == "quarantined" else 0
    if kind in HANDLED or kind == COUNTED:
        return _jump(item, row, measure, unit.occurred_at, horizon, days)
    return 0


def _taken(item: Item, row: Judged, measure: str, unit: Unit) -> int | None:
    """Give what a pick or a shipment adds to D of its line at its moment; None where that is to be looked up."""
    if measure != "on_hand" or unit.type not in HANDLED or unit.location != row.place:
        return None
    line = item.lines.get((unit.order_id, unit.line_id))
    at = line.at.get(row.place) if line is not None else None
    if at is None:
        return None  # forgotten: the journals still know
    is_pick = unit.type == PICK_CONFIRMED
    own = at.picks if is_pick else at.shipments
    name = f"{unit.event_id}{MOMENT_SEPARATOR}{unit.source}"
    found = [one for one in own if one[:3] == (unit.occurred_at, name, unit.lot)]
    if not found:
        return None
    if _is_covered(item, unit, measure, row.as_of):
        return 0
    others = list(own)
    others.remove(found[0])
    without = LineAt(at.deducts_at)
    without.picks, without.shipments = (others, at.shipments) if is_pick else (at.picks, others)
    without.has_reversals = lines.has_reversal([*without.picks, *without.shipments])
    return _taken_until(at, row.lot, unit.occurred_at) - _taken_until(without, row.lot, unit.occurred_at)


def _taken_until(at: LineAt, lot: str, moment: int) -> int:
    steps = lines.deductions(at).items() if at.picks or at.shipments else ()
    return sum([units for (fell_on, when), units in steps if when <= moment and lot in ("", fell_on)])


def _jump(item: Item, row: Judged, measure: str, moment: int, horizon: int, days: Days) -> int:
    there = ours_of(item, row.place, row.lot, measure, moment, horizon, days)
    before = ours_of(item, row.place, row.lot, measure, moment - 1, horizon, days)
    return 0 if there is None or before is None else there - before


def _is_covered(item: Item, unit: Unit, measure: str, as_of: int) -> bool:
    """Does a later count of the unit's cell, up to as_of, stand over it?"""
    place = item.places.get(unit.location)
    cell: Cell | None = place
    if place is not None and unit.lot:
        cell = (place.lots or {}).get(unit.lot)
    if cell is None:
        return False
    newest = cell.quarantine_count if measure == "quarantined" else cell.count
    aside = None
    if cell.past is not None:
        aside = cell.past.quarantined if measure == "quarantined" else cell.past.on_hand
    words: list[Moment] = [newest] if newest is not None else []
    words += [word for word, _ in aside.counts] if aside is not None else []
    if aside is not None and aside.base_at >= unit.occurred_at:
        return True
    own = (unit.occurred_at, unit.event_id, unit.source)
    if unit.type == COUNTED:
        return any(own < word and word[0] <= as_of for word in words)
    return any(unit.occurred_at <= word[0] <= as_of for word in words)


def _twin(unit: Unit, quantity: int) -> str:
    """Give what two units have in common that differ only in ids and times."""
    return "\x1f".join(
        map(
            str,
            (
                unit.type,
                unit.source,
                unit.location,
                unit.to_location,
                unit.lot,
                quantity,
                unit.status,
                unit.reversal,
                unit.order_id,
                unit.line_id,
                unit.receipt_id,
                unit.transfer_id,
            ),
        )
    )
