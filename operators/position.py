"""Apply one unit to its item: the quantities change, and nothing else (contract sections 2 and 4).

Each effect is written as the table of section 2 has it. Order of arrival never matters: sums and newest words only.
Aggregates (claims, transit and expected by location) are taken out before a record changes and put back after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from sys import intern

from operators.rules import cells, lines, lots, supply
from operators.rules.topology import Topology
from schemas.state import ROOM, SUM_MAX, Cell, Item, Line, LineAt, Moment, Place, Receipt, Transfer
from schemas.units import EventType, Unit

DAY = 86_400_000_000


PICK_CONFIRMED = int(EventType.PICK_CONFIRMED)
LOT_HELD = int(EventType.LOT_HELD)
RECEIPT_CANCELLED = int(EventType.RECEIPT_CANCELLED)


class Context:
    """What a rule may look at beside the item: the topology, the clock, and how far back a count may still reach."""

    __slots__ = ("horizon", "now", "topology")

    def __init__(self, topology: Topology, now: int, horizon: int) -> None:
        self.topology = topology
        self.now = now
        #: no count with occurred_at at or before it can be accepted any more
        self.horizon = horizon


Effect = Callable[[Item, Unit, int, int | None, Context], None]


def apply(item: Item, unit: Unit, quantity: int, quarantined: int | None, context: Context) -> None:
    """Change the item by one admitted unit whose quantities are converted already."""
    # A location has figures once an applied unit names it, whatever else was known by then: so order means nothing.
    if unit.location and unit.location not in item.places:
        open_place(item, unit.location)
    if unit.to_location and unit.to_location not in item.places:
        open_place(item, unit.to_location)
    EFFECTS[unit.type](item, unit, quantity, quarantined, context)
    if unit.occurred_at > item.as_of:
        if item.as_of < 0:
            item.is_first = True
        item.as_of = unit.occurred_at
    item.is_dirty = True


def has_room(item: Item, quantity: int) -> bool:
    """May so much be added without any sum getting beyond SUM_MAX? Looks at every sum; asked when `room` is used up."""
    left = SUM_MAX - weight_of(item) - abs(quantity)
    item.room = min(ROOM, max(left, 0))
    return left >= 0


def weight_of(item: Item) -> int:
    """Give what no sum of the item is beyond, whatever of it a late count may leave out."""
    weight = 0
    for place in item.places.values():
        for cell in (place, *(place.lots or NO_LOTS).values()):
            weight += max(abs(cell.on_hand), _moved(cell.moves))
            weight += max(abs(cell.quarantined), _moved(cell.quarantine_moves))
    for line in item.lines.values():
        weight += line.demand
        for at in line.at.values():
            weight += at.allocated + at.released + at.picked + at.shipped
    for transfer in item.transfers.values():
        weight += transfer.shipped + transfer.received
    for receipt in item.receipts.values():
        weight += receipt.quantity + receipt.received
    return weight


def _moved(moves: Sequence[int] | None) -> int:
    """Give the sum of a journal's changes, whatever their sign."""
    return sum([abs(change) for change in (moves or ())[1::2]])


def mark(item: Item, kind: str, one: str, other: str) -> None:
    """Note that a record other than the item's own and its places' changed since the last snapshot."""
    if item.dirty is None:
        item.dirty = set()
    item.dirty.add((kind, one, other))


def place_of(item: Item, location: str) -> Place:
    """The item's place at a location, new if it was never there."""
    place = item.places.get(location)
    if place is None:
        # One string for all items: each message brings its own copy of the code, 53 bytes.
        place = item.places[intern(location)] = Place()
    return place


def open_place(item: Item, location: str) -> None:
    """Begin a place, to be kept also where it holds nothing yet."""
    place_of(item, location).is_dirty = True


def cell_of(item: Item, location: str, lot: str) -> Cell:
    """The cell (item, location, lot), marked as changed."""
    place = place_of(item, location)
    if not lot:
        place.is_dirty = True
        return place
    mark(item, "c", location, lot)
    if place.lots is None:
        place.lots = {}
    cell = place.lots.get(lot)
    if cell is None:
        cell = place.lots[lot] = Cell()
    return cell


def _moment(unit: Unit) -> Moment:
    return (unit.occurred_at, unit.event_id, unit.source)


# --- warehouse ---------------------------------------------------------------------------------------------------


def _move(item: Item, unit: Unit, quantity: int, context: Context) -> None:
    quarantined = quantity if unit.status == "quarantined" else 0
    cells.move(cell_of(item, unit.location, unit.lot), unit.occurred_at, quantity, quarantined, context.horizon)


def _received(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    _move(item, unit, quantity, context)
    if unit.receipt_id:
        receipt = take_receipt(item, unit.receipt_id, unit.location)
        receipt.received += quantity
        put_receipt(item, unit.receipt_id, unit.location, receipt, unit.occurred_at)
    if unit.transfer_id:
        transfer = take_transfer(item, unit.transfer_id, unit.location)
        transfer.received += quantity
        put_transfer(item, unit.transfer_id, unit.location, transfer, unit.occurred_at)


def _adjusted(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    _move(item, unit, quantity, context)


def _counted(item: Item, unit: Unit, quantity: int, quarantined: int | None, _: Context) -> None:
    cells.count(cell_of(item, unit.location, unit.lot), _moment(unit), quantity, quarantined)


def _status_changed(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    towards = quantity if unit.status == "quarantined" else -quantity
    cells.move(cell_of(item, unit.location, unit.lot), unit.occurred_at, 0, towards, context.horizon)


def _lot_word(item: Item, unit: Unit, _: int, __: int | None, ___: Context) -> None:
    lots.hold(item, unit.lot, unit.location, _moment(unit), unit.type == LOT_HELD)
    mark(item, "h", unit.lot, unit.location)


def _transfer_shipped(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    _move(item, unit, -quantity, context)
    transfer = take_transfer(item, unit.transfer_id, unit.to_location)
    supply.ship(transfer, _moment(unit), quantity, unit.eta)
    put_transfer(item, unit.transfer_id, unit.to_location, transfer, unit.occurred_at)


def _transfer_closed(item: Item, unit: Unit, _: int, __: int | None, ___: Context) -> None:
    transfer = take_transfer(item, unit.transfer_id, unit.location)
    transfer.closed = True
    put_transfer(item, unit.transfer_id, unit.location, transfer, unit.occurred_at)


def _handled(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    """A pick or a shipment: on_hand goes by deduction, so that one fact from two systems counts once."""
    line = line_of(item, unit.order_id, unit.line_id)
    at = line_at(line, unit.location, context.topology)
    is_pick = unit.type == PICK_CONFIRMED
    handling = (unit.occurred_at, unit.event_id, unit.lot, quantity)
    if lines.takes_nothing(at, handling, is_pick):
        lines.handle(at, handling, is_pick)
    elif lines.stands_alone(at, is_pick):  # a line of a thousand picks must not look through all of them at each
        lines.handle(at, handling, is_pick)
        cells.move(cell_of(item, unit.location, unit.lot), unit.occurred_at, -quantity, 0, context.horizon)
    else:
        for lot, occurred_at, change in lines.take(at, handling, is_pick):
            cells.move(cell_of(item, unit.location, lot), occurred_at, -change, 0, context.horizon)
    _settle(item, line, unit)


# --- orders ------------------------------------------------------------------------------------------------------


def _placed(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    line = line_of(item, unit.order_id, unit.line_id)
    word = _moment(unit)
    lines.place(line, word, quantity, unit.location, unit.channel, unit.expires_at, unit.requested_at, context.now)
    note_expiry(item, (unit.order_id, unit.line_id), line)
    if unit.location:
        line_at(line, unit.location, context.topology)  # first seen there: from now on its deducts_at is fixed
    _settle(item, line, unit)


def _allocated(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    line = line_of(item, unit.order_id, unit.line_id)
    at = line_at(line, unit.location, context.topology)
    at.allocated += quantity
    _settle(item, line, unit)


def _released(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    line = line_of(item, unit.order_id, unit.line_id)
    at = line_at(line, unit.location, context.topology)
    at.released += quantity
    _settle(item, line, unit)


def _cancelled(item: Item, unit: Unit, _: int, __: int | None, ___: Context) -> None:
    line = line_of(item, unit.order_id, unit.line_id)
    line.cancelled = True
    _settle(item, line, unit)


def _settle(item: Item, line: Line, unit: Unit) -> None:
    if unit.occurred_at > line.last_at:
        line.last_at = unit.occurred_at
    settle_line(item, line)


def line_of(item: Item, order_id: str, line_id: str) -> Line:
    """The line (item, order_id, line_id), marked as changed."""
    mark(item, "l", order_id, line_id)
    key = (order_id, line_id)
    line = item.lines.get(key)
    if line is None:
        line = item.lines[key] = Line()
    return line


def line_at(line: Line, location: str, topology: Topology) -> LineAt:
    """The line at a location; `deducts_at` is taken when it is first seen there."""
    at = line.at.get(location)
    if at is None:
        at = line.at[location] = LineAt(topology.deducts_at(location))
    return at


def note_expiry(item: Item, key: tuple[str, str], line: Line) -> None:
    """Keep at hand which lines will lapse."""
    if line.expires_at is not None and not line.lapsed:
        item.expiring = item.expiring or set()
        item.expiring.add(key)
    elif item.expiring:
        item.expiring.discard(key)


def settle_line(item: Item, line: Line) -> None:
    """Bring the aggregates up to what the line claims now."""
    for location, at in line.at.items():
        hard = lines.hard_reserved(line, at)
        if hard != at.claimed:
            place = place_of(item, location)
            place.hard_reserved += hard - at.claimed
            at.claimed = hard
    soft = lines.soft_allocated(line)
    claim = None
    if soft:
        day = line.requested_at // DAY if line.requested_at is not None else None
        claim = (soft, line.location, line.channel, day)
    if claim != line.claimed:
        if line.claimed is not None:
            _claim(item, line.claimed, -1)
        if claim is not None:
            _claim(item, claim, 1)
        line.claimed = claim


def _claim(item: Item, claim: tuple[int, str, str, int | None], sign: int) -> None:
    soft, location, channel, day = claim
    if location:
        place = place_of(item, location)
        place.soft_allocated += sign * soft
        if day is not None:
            place.soft_by_day = _added(place.soft_by_day, day, sign * soft)
        return
    total = item.unlocated.get(channel, 0) + sign * soft
    if total:
        item.unlocated[channel] = total
    else:
        item.unlocated.pop(channel, None)
    if day is not None:
        by_day = _added(item.unlocated_by_day.get(channel), day, sign * soft)
        if by_day:
            item.unlocated_by_day[channel] = by_day
        else:
            item.unlocated_by_day.pop(channel, None)


def _added(by_day: dict[int, int] | None, day: int, change: int) -> dict[int, int] | None:
    if by_day is None:
        by_day = {}
    quantity = by_day.get(day, 0) + change
    if quantity:
        by_day[day] = quantity
    else:
        by_day.pop(day, None)
    return by_day or None


# --- supply ------------------------------------------------------------------------------------------------------


def _expected(item: Item, unit: Unit, quantity: int, _: int | None, __: Context) -> None:
    receipt = take_receipt(item, unit.receipt_id, unit.location)
    is_cancelled = unit.type == RECEIPT_CANCELLED
    supply.expect(receipt, _moment(unit), quantity, unit.eta, is_cancelled)
    put_receipt(item, unit.receipt_id, unit.location, receipt, unit.occurred_at)


def _nothing(_: Item, unit: Unit, __: int, ___: int | None, ____: Context) -> None:
    raise AssertionError(f"no event type has the number {unit.type}")


def take_transfer(item: Item, transfer_id: str, destination: str) -> Transfer:
    """Take a transfer out of what is in transit to its destination, to be changed and put back."""
    mark(item, "t", transfer_id, destination)
    key = (transfer_id, destination)
    transfer = item.transfers.get(key)
    if transfer is None:
        transfer = item.transfers[key] = Transfer()
    count_transfer(item, destination, transfer, -1)
    return transfer


def put_transfer(item: Item, transfer_id: str, destination: str, transfer: Transfer, occurred_at: int) -> None:
    """Count a changed transfer again."""
    transfer.last_at = max(transfer.last_at, occurred_at)
    count_transfer(item, destination, transfer, 1)
    watch(item, "t", (transfer_id, destination), transfer)


def take_receipt(item: Item, receipt_id: str, location: str) -> Receipt:
    """Take a receipt out of what is expected at its location, to be changed and put back."""
    mark(item, "r", receipt_id, location)
    key = (receipt_id, location)
    receipt = item.receipts.get(key)
    if receipt is None:
        receipt = item.receipts[key] = Receipt()
    count_receipt(item, location, receipt, -1)
    return receipt


def put_receipt(item: Item, receipt_id: str, location: str, receipt: Receipt, occurred_at: int) -> None:
    """Count a changed receipt again."""
    receipt.last_at = max(receipt.last_at, occurred_at)
    count_receipt(item, location, receipt, 1)
    watch(item, "r", (receipt_id, location), receipt)


def watch(item: Item, kind: str, key: tuple[str, str], record: Transfer | Receipt) -> None:
    """Keep at hand what is over-received, so that nobody looks through all transfers and receipts for it."""
    if supply.is_over_received(record):
        item.over[kind, *key] = record
    elif item.over:
        item.over.pop((kind, *key), None)


def count_transfer(item: Item, destination: str, transfer: Transfer, sign: int) -> None:
    """Add (1) or take out (-1) what a transfer has on the way."""
    quantity = supply.in_transit(transfer)
    if quantity:
        place = place_of(item, destination)
        place.in_transit += sign * quantity
        if transfer.eta is not None:
            place.in_transit_by_day = _added(place.in_transit_by_day, transfer.eta // DAY, sign * quantity)


def count_receipt(item: Item, location: str, receipt: Receipt, sign: int) -> None:
    """Add (1) or take out (-1) what a receipt has still to come."""
    quantity = supply.expected(receipt)
    if quantity:
        place = place_of(item, location)
        place.expected += sign * quantity
        if receipt.eta is not None:
            place.expected_by_day = _added(place.expected_by_day, receipt.eta // DAY, sign * quantity)


def expire(item: Item, order_id: str, line_id: str, now: int) -> bool:
    """Release a soft claim whose expires_at is reached; true if that changed anything."""
    line = item.lines.get((order_id, line_id))
    if line is None or line.lapsed or line.expires_at is None or line.expires_at > now:
        return False
    line.lapsed = True
    note_expiry(item, (order_id, line_id), line)
    settle_line(item, line)
    mark(item, "l", order_id, line_id)
    return True


def forget(item: Item, horizon: int, closed_line_horizon: int, receipt_horizon: int) -> bool:
    """Drop what no acceptable event can need: old journal entries, closed lines, balanced transfers, done receipts.

    True if anything went.
    """
    found = False
    for location, place in item.places.items():
        if cells.forget_moves(place, horizon):
            place.is_dirty = True
            found = True
        for lot, cell in (place.lots or NO_LOTS).items():
            if cells.forget_moves(cell, horizon):
                mark(item, "c", location, lot)
                found = True
    for key in [k for k, ln in item.lines.items() if ln.last_at <= closed_line_horizon and lines.is_closed(ln)]:
        del item.lines[key]
        if item.expiring:
            item.expiring.discard(key)
        mark(item, "l", *key)
        found = True
    for key in [
        k
        for k, transfer in item.transfers.items()
        if transfer.last_at <= receipt_horizon and (transfer.closed or transfer.shipped == transfer.received)
    ]:
        del item.transfers[key]
        item.over.pop(("t", *key), None)
        mark(item, "t", *key)
        found = True
    for key in [
        k for k, receipt in item.receipts.items() if receipt.last_at <= receipt_horizon and not supply.expected(receipt)
    ]:
        del item.receipts[key]
        item.over.pop(("r", *key), None)
        mark(item, "r", *key)
        found = True
    return found


NO_LOTS: dict[str, Cell] = {}
_EFFECTS: dict[int, Effect] = {
    EventType.STOCK_RECEIVED: _received,
    EventType.STOCK_ADJUSTED: _adjusted,
    EventType.STOCK_COUNTED: _counted,
    EventType.STOCK_STATUS_CHANGED: _status_changed,
    EventType.LOT_HELD: _lot_word,
    EventType.LOT_RELEASED: _lot_word,
    EventType.TRANSFER_SHIPPED: _transfer_shipped,
    EventType.TRANSFER_CLOSED: _transfer_closed,
    EventType.PICK_CONFIRMED: _handled,
    EventType.SHIPMENT_CONFIRMED: _handled,
    EventType.RETURN_RECEIVED: _adjusted,
    EventType.ORDER_PLACED: _placed,
    EventType.ORDER_ALLOCATED: _allocated,
    EventType.ORDER_RELEASED: _released,
    EventType.ORDER_CANCELLED: _cancelled,
    EventType.RECEIPT_EXPECTED: _expected,
    EventType.RECEIPT_CANCELLED: _expected,
}
#: by the number of the type
EFFECTS: list[Effect] = [_EFFECTS.get(kind, _nothing) for kind in range(max(_EFFECTS) + 1)]
