"""What single units did to a measure of a row: from units read again in Kafka, and the state that they went into.

A unit's effect is what the measure was at its occurred_at, with it less without it. So of a pick and its shipment the
first has it, and of those of one moment each what it adds to the others; a count has one, what it jumped; and what a
later count of its cell covers has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from operators import position
from operators.ours import ours_of
from operators.rules import lines, supply
from operators.rules.causes import PHYSICAL, Effect
from operators.rules.days import Days
from schemas.reconciled import Evidence, Judged
from schemas.state import MOMENT_SEPARATOR, Cell, Item, LineAt, Moment
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


def still_to_come(item: Item, location: str, as_of: int, units: Sequence[Unit]) -> dict[int, list[Evidence]]:
    """Give what each receipt and transfer still brings to a location, and below zero what each order line claims there.

    By quantity, with those units that announced it: a line's hard part, its soft part (lapsed ones by as_of have none)
    and both. What is 0 is left out.
    """
    found: dict[int, list[Evidence]] = {}
    for (receipt_id, at), receipt in item.receipts.items():
        if at == location:
            said = [unit for unit in there_of(units, RECEIPT_EXPECTED, location) if unit.receipt_id == receipt_id]
            _add(found, supply.expected(receipt, position.parts_of(item, (receipt_id, at))[0]), said)
    for (transfer_id, at), transfer in item.transfers.items():
        if at == location:
            said = [unit for unit in there_of(units, TRANSFER_SHIPPED, location) if unit.transfer_id == transfer_id]
            _add(found, supply.in_transit(transfer), said)
    for (order_id, line_id), line in item.lines.items():
        there = line.at.get(location)
        hard = there.claimed if there is not None else 0
        soft = 0
        if line.location == location and (line.expires_at is None or line.expires_at > as_of):
            soft = lines.soft_allocated(line, lines.totals(line)[1])
        said = [unit for unit in units if (unit.order_id, unit.line_id) == (order_id, line_id)]
        for claim in {hard, soft, hard + soft}:
            _add(found, -claim, said)
    return found


def there_of(units: Sequence[Unit], kind: int, location: str) -> list[Unit]:
    """Give the units of a type that bring something to a location."""
    return [unit for unit in units if unit.type == kind and (unit.to_location or unit.location) == location]


def _add(found: dict[int, list[Evidence]], quantity: int, units: Iterable[Unit]) -> None:
    if quantity:
        found.setdefault(quantity, []).extend(named(unit) for unit in units)


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
