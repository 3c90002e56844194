"""Apply one unit to its item: the quantities change, and nothing else (contract sections 2 and 4).

Each effect is written as the table of section 2 has it. Order of arrival never matters: sums and newest words only.
Aggregates (claims, transit and expected by location) are taken out before a record changes and put back after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from sys import intern

from operators.rules import cells, lines, lots, supply
from operators.rules.days import Days
from operators.rules.topology import Topology
from schemas.state import (
    MOMENT_SEPARATOR,
    NOTHING,
    ROOM,
    SUM_MAX,
    Cell,
    Item,
    Line,
    LineAt,
    Moment,
    Place,
    Rare,
    Receipt,
    Transfer,
    Withheld,
    own,
)
from schemas.units import EventType, Unit

PICK_CONFIRMED, SHIPMENT_CONFIRMED = int(EventType.PICK_CONFIRMED), int(EventType.SHIPMENT_CONFIRMED)
ORDER_PLACED, ORDER_ALLOCATED = int(EventType.ORDER_PLACED), int(EventType.ORDER_ALLOCATED)
LOT_HELD = int(EventType.LOT_HELD)
RECEIPT_CANCELLED = int(EventType.RECEIPT_CANCELLED)


class Context:
    """What a rule may look at beside the item: days, the clock, and how far back a count may reach.

    `deducts`: as the topology has it, by location. `has_claims`: is it published what each order line claims?
    """

    __slots__ = ("days", "deducts", "has_claims", "horizon", "now")

    def __init__(self, topology: Topology, days: Days, now: int, horizon: int, has_claims: bool = False) -> None:
        self.deducts = topology.deducts
        self.days = days
        self.has_claims = has_claims
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
    kind = unit.type
    # Of ten units nine are of these; compiled, a call by way of the table costs as much as what it leads to.
    if kind in (PICK_CONFIRMED, SHIPMENT_CONFIRMED):
        _handled(item, unit, quantity, quarantined, context)
    elif kind == ORDER_PLACED:
        _placed(item, unit, quantity, quarantined, context)
    elif kind == ORDER_ALLOCATED:
        _allocated(item, unit, quantity, quarantined, context)
    else:
        EFFECTS[kind](item, unit, quantity, quarantined, context)
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
        weight += line.demand + (line.cancellations.cut if line.cancellations is not None else 0)
        for at in line.at.values():
            weight += abs(at.allocated) + abs(at.released) + _handled_units(at)
    for transfer in item.transfers.values():
        weight += abs(transfer.shipped) + abs(transfer.received)
    for receipt in item.receipts.values():
        weight += receipt.quantity + abs(receipt.received)
    if item.rare is not None:
        weight += sum([withheld.total for withheld in item.rare.withheld.values()])
    return weight


def _handled_units(at: LineAt) -> int:
    """Give what was picked and shipped at a location, and what of it was taken back."""
    if not at.has_reversals:
        return at.picked + at.shipped
    return sum([abs(handling[3]) for handling in (*at.picks, *at.shipments)])


def _moved(moves: Sequence[int] | None) -> int:
    """Give the sum of a journal's changes, whatever their sign."""
    return sum([abs(change) for change in (moves or ())[1::2]])


def mark(item: Item, kind: str, one: str, other: str) -> None:
    """Note that a record changed since the last snapshot: not the item's own, a place's or a line's that is there."""
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


def rare_of(item: Item) -> Rare:
    """What few items have beside the rest, new if this one had nothing of it."""
    if item.rare is None:
        item.rare = Rare()
    return item.rare


def _signed(unit: Unit, quantity: int) -> int:
    """A reversal counts with the opposite sign everywhere the plain unit counts."""
    return -quantity if unit.reversal else quantity


def _move(item: Item, unit: Unit, quantity: int, context: Context) -> None:
    quarantined = quantity if unit.status == "quarantined" else 0
    cells.move(cell_of(item, unit.location, unit.lot), unit.occurred_at, quantity, quarantined, context.horizon)


def _received(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    quantity = _signed(unit, quantity)
    _move(item, unit, quantity, context)
    if unit.receipt_id:
        receipt = take_receipt(item, unit.receipt_id, unit.location, context.days)
        receipt.received += quantity
        put_receipt(item, unit.receipt_id, unit.location, receipt, unit.occurred_at, context.days)
    if unit.transfer_id:
        transfer = take_transfer(item, unit.transfer_id, unit.location, context.days)
        transfer.received += quantity
        put_transfer(item, unit.transfer_id, unit.location, transfer, unit.occurred_at, context.days)


def _adjusted(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    _move(item, unit, _signed(unit, quantity), context)


def _counted(item: Item, unit: Unit, quantity: int, quarantined: int | None, context: Context) -> None:
    cells.count(cell_of(item, unit.location, unit.lot), _moment(unit), quantity, quarantined, context.horizon)


def _status_changed(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    towards = quantity if unit.status == "quarantined" else -quantity
    cells.move(cell_of(item, unit.location, unit.lot), unit.occurred_at, 0, towards, context.horizon)


def _lot_word(item: Item, unit: Unit, _: int, __: int | None, ___: Context) -> None:
    if (unit.lot, unit.location) in item.holds:
        lots.keep_word(rare_of(item), item, unit.lot, unit.location, _moment(unit), unit.type == LOT_HELD)
        mark(item, "g", unit.lot, unit.location)
    lots.hold(item, unit.lot, unit.location, _moment(unit), unit.type == LOT_HELD)
    mark(item, "h", unit.lot, unit.location)


def _lot_dated(item: Item, unit: Unit, _: int, __: int | None, ___: Context) -> None:
    lots.date(rare_of(item), unit.lot, _moment(unit), unit.best_before)
    mark(item, "d", unit.lot, "")


def _withheld(item: Item, unit: Unit, quantity: int, _: int | None, __: Context) -> None:
    withheld = withheld_of(item, unit.location)
    word, (known, before) = _moment(unit), withheld.words.get(unit.source, NOTHING_WITHHELD)
    if known is None or word > known:
        withheld.words[unit.source] = (word, quantity)
        withheld.total += quantity - before
        mark(item, "w", unit.location, unit.source)


def withheld_of(item: Item, location: str) -> Withheld:
    """What is withheld of the item at a location, new if it was nothing ever."""
    rare = rare_of(item)
    withheld = rare.withheld.get(location)
    if withheld is None:
        withheld = rare.withheld[intern(location)] = Withheld()
    return withheld


def _transfer_shipped(item: Item, unit: Unit, quantity: int, second: int | None, context: Context) -> None:
    # Rounded to the safe side, more leaves than what is put in transit (`second`).
    _move(item, unit, -_signed(unit, quantity), context)
    transfer = take_transfer(item, unit.transfer_id, unit.to_location, context.days)
    supply.ship(transfer, _moment(unit), quantity if second is None else second, unit.eta, unit.reversal)
    put_transfer(item, unit.transfer_id, unit.to_location, transfer, unit.occurred_at, context.days)


def _transfer_closed(item: Item, unit: Unit, _: int, __: int | None, context: Context) -> None:
    transfer = take_transfer(item, unit.transfer_id, unit.location, context.days)
    transfer.closed = True
    put_transfer(item, unit.transfer_id, unit.location, transfer, unit.occurred_at, context.days)


def _handled(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    """A pick or a shipment: on_hand goes by deduction, so that one fact from two systems counts once."""
    key = (unit.order_id, unit.line_id)
    line = line_of(item, key)
    at = line_at(line, unit.location, context.deducts)
    is_pick = unit.type == PICK_CONFIRMED
    word = f"{unit.event_id}{MOMENT_SEPARATOR}{unit.source}"
    handling = (unit.occurred_at, word, unit.lot, _signed(unit, quantity))
    if lines.takes_nothing(at, handling, is_pick):
        lines.handle(at, handling, is_pick)
    elif lines.stands_alone(
        at, handling, is_pick
    ):  # a line of a thousand picks must not look through all of them at each
        lines.handle(at, handling, is_pick)
        cells.move(cell_of(item, unit.location, unit.lot), unit.occurred_at, -quantity, 0, context.horizon)
    else:
        for lot, occurred_at, change in lines.take(at, handling, is_pick):
            cells.move(cell_of(item, unit.location, lot), occurred_at, -change, 0, context.horizon)
    _settle(item, key, line, unit, context)


# --- orders ------------------------------------------------------------------------------------------------------


def _placed(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    key = (unit.order_id, unit.line_id)
    line = line_of(item, key)
    word = _moment(unit)
    lines.place(line, word, quantity, unit.location, unit.channel, unit.expires_at, unit.requested_at, context.now)
    note_expiry(item, key, line)
    if unit.location:
        line_at(line, unit.location, context.deducts)  # first seen there: from now on its deducts_at is fixed
    _settle(item, key, line, unit, context)


def _allocated(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    key = (unit.order_id, unit.line_id)
    line = line_of(item, key)
    at = line_at(line, unit.location, context.deducts)
    at.allocated += _signed(unit, quantity)
    _settle(item, key, line, unit, context)


def _released(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    key = (unit.order_id, unit.line_id)
    line = line_of(item, key)
    at = line_at(line, unit.location, context.deducts)
    at.released += _signed(unit, quantity)
    _settle(item, key, line, unit, context)


def _cancelled(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    key = (unit.order_id, unit.line_id)
    line = line_of(item, key)
    if unit.location:
        line_at(line, unit.location, context.deducts)  # first seen there, as above
    if unit.quantity is None:
        lines.cancel(line, _moment(unit))
    else:
        lines.cancel_part(line, _moment(unit), quantity)
    _settle(item, key, line, unit, context)


def _reopened(item: Item, unit: Unit, _: int, __: int | None, context: Context) -> None:
    key = (unit.order_id, unit.line_id)
    line = line_of(item, key)
    if unit.location:
        line_at(line, unit.location, context.deducts)
    lines.reopen(line, _moment(unit))
    _settle(item, key, line, unit, context)


def _settle(item: Item, key: tuple[str, str], line: Line, unit: Unit, context: Context) -> None:
    if unit.occurred_at > line.last_at:
        line.last_at = unit.occurred_at
    settle_line(item, key, line, context.days)
    if context.has_claims:
        note_claim(item, key)


def line_of(item: Item, key: tuple[str, str]) -> Line:
    """The item's line by its order_id and line_id, marked as changed."""
    line = item.lines.get(key)
    if line is None:
        known = item.lines = own(item.lines)
        line = known[key] = Line()
    mark_line(item, key, line)
    return line


def mark_line(item: Item, key: tuple[str, str], line: Line) -> None:
    """Note that a line changed since the last snapshot; once, however often."""
    if not line.is_dirty:
        line.is_dirty = True
        if item.dirty_lines is None:
            item.dirty_lines = []
        item.dirty_lines.append(key)


def line_at(line: Line, location: str, deducts: dict[str, str]) -> LineAt:
    """The line at a location; its `deducts_at` is the one that `deducts` has when it is first seen there."""
    at = line.at.get(location)
    if at is None:
        at = line.at[location] = LineAt(deducts.get(location, "first"))
    return at


def note_expiry(item: Item, key: tuple[str, str], line: Line) -> None:
    """Keep at hand which lines will lapse."""
    if line.expires_at is not None and not line.lapsed:
        item.expiring = item.expiring or set()
        item.expiring.add(key)
    elif item.expiring:
        item.expiring.discard(key)


def note_claim(item: Item, key: tuple[str, str]) -> None:
    """Note that what a line claims is to be published again."""
    if item.claims_changed is None:
        item.claims_changed = set()
    item.claims_changed.add(key)


def settle_line(item: Item, key: tuple[str, str], line: Line, days: Days) -> None:
    """Bring the aggregates up to what the line claims now."""
    delivered, served = lines.totals(line)
    most = lines.reservable(line, delivered)
    for location, at in line.at.items():
        hard = lines.hard_reserved(at, most)
        if hard != at.claimed:
            place = place_of(item, location)
            place.hard_reserved += hard - at.claimed
            at.claimed = hard
    soft = lines.soft_allocated(line, served)
    claim = None
    if soft:
        day = days.day_of(line.requested_at) if line.requested_at is not None else None
        claim = (soft, line.location, line.channel, day)
    if claim != line.claimed:
        if line.claimed is not None:
            _claim(item, line.claimed, -1)
        if claim is not None:
            _claim(item, claim, 1)
        line.claimed = claim
    if lines.claims_above_demand(line, delivered, served) or lines.is_demanded_after_cancellation(line):
        rare_of(item).doubtful[key] = line
    elif item.rare is not None:
        item.rare.doubtful.pop(key, None)


def _claim(item: Item, claim: tuple[int, str, str, int | None], sign: int) -> None:
    soft, location, channel, day = claim
    if location:
        place = place_of(item, location)
        place.soft_allocated += sign * soft
        if day is not None:
            place.soft_by_day = _added(place.soft_by_day, day, sign * soft)
        return
    unlocated = item.unlocated = own(item.unlocated)
    total = unlocated.get(channel, 0) + sign * soft
    if total:
        unlocated[channel] = total
    else:
        unlocated.pop(channel, None)
    if day is not None:
        days = item.unlocated_by_day = own(item.unlocated_by_day)
        by_day = _added(days.get(channel), day, sign * soft)
        if by_day:
            days[channel] = by_day
        else:
            days.pop(channel, None)


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


def _expected(item: Item, unit: Unit, quantity: int, _: int | None, context: Context) -> None:
    receipt = take_receipt(item, unit.receipt_id, unit.location, context.days)
    if unit.type == RECEIPT_CANCELLED:
        supply.cancel(receipt, _moment(unit))
    else:
        supply.expect(receipt, _moment(unit), quantity, unit.eta, unit.part_of)
    put_receipt(item, unit.receipt_id, unit.location, receipt, unit.occurred_at, context.days)


def _nothing(_: Item, unit: Unit, __: int, ___: int | None, ____: Context) -> None:
    raise AssertionError(f"no event type has the number {unit.type}")


def take_transfer(item: Item, transfer_id: str, destination: str, days: Days) -> Transfer:
    """Take a transfer out of what is in transit to its destination, to be changed and put back."""
    mark(item, "t", transfer_id, destination)
    key = (transfer_id, destination)
    transfer = item.transfers.get(key)
    if transfer is None:
        transfers = item.transfers = own(item.transfers)
        transfer = transfers[key] = Transfer()
    count_transfer(item, destination, transfer, -1, days)
    return transfer


def put_transfer(
    item: Item, transfer_id: str, destination: str, transfer: Transfer, occurred_at: int, days: Days
) -> None:
    """Count a changed transfer again."""
    transfer.last_at = max(transfer.last_at, occurred_at)
    count_transfer(item, destination, transfer, 1, days)
    watch(item, "t", (transfer_id, destination), transfer)


def take_receipt(item: Item, receipt_id: str, location: str, days: Days) -> Receipt:
    """Take a receipt out of what is expected at its location, to be changed and put back."""
    mark(item, "r", receipt_id, location)
    key = (receipt_id, location)
    receipt = item.receipts.get(key)
    if receipt is None:
        receipts = item.receipts = own(item.receipts)
        receipt = receipts[key] = Receipt()
    count_receipt(item, key, receipt, -1, days)
    if receipt.part_of:
        count_part(item, location, receipt, -1, days)
    return receipt


def put_receipt(item: Item, receipt_id: str, location: str, receipt: Receipt, occurred_at: int, days: Days) -> None:
    """Count a changed receipt again."""
    receipt.last_at = max(receipt.last_at, occurred_at)
    count_receipt(item, (receipt_id, location), receipt, 1, days)
    watch(item, "r", (receipt_id, location), receipt)
    if receipt.part_of:
        count_part(item, location, receipt, 1, days)


def count_part(item: Item, location: str, receipt: Receipt, sign: int, days: Days) -> None:
    """Add (1) or take out (-1) what a receipt counts for in the order that it is a part of, and what follows there."""
    key = (receipt.part_of, location)
    order = item.receipts.get(key)
    if order is not None:
        count_receipt(item, key, order, -1, days)
    add_part(item, location, receipt, sign)
    if order is not None:
        count_receipt(item, key, order, 1, days)
        watch(item, "r", key, order)


def add_part(item: Item, location: str, receipt: Receipt, sign: int) -> None:
    """Add a part to the sums of its order, or take it out."""
    parts = rare_of(item).parts
    key = (receipt.part_of, location)
    counts, came = parts.get(key, NO_PARTS)
    counts += sign * supply.part(receipt)
    came += sign * supply.received(receipt)
    if counts or came:
        parts[key] = (counts, came)
    else:
        parts.pop(key, None)


def parts_of(item: Item, key: tuple[str, str]) -> tuple[int, int]:
    """What the parts of a receipt count for, and what was received of them."""
    return item.rare.parts.get(key, NO_PARTS) if item.rare is not None else NO_PARTS


def watch(item: Item, kind: str, key: tuple[str, str], record: Transfer | Receipt) -> None:
    """Keep at hand what is over-received, so that nobody looks through all transfers and receipts for it."""
    if supply.is_over_received(record, parts_of(item, key)[1] if kind == "r" else 0):
        over = item.over = own(item.over)
        over[kind, *key] = record
    elif item.over:
        own(item.over).pop((kind, *key), None)


def count_transfer(item: Item, destination: str, transfer: Transfer, sign: int, days: Days) -> None:
    """Add (1) or take out (-1) what a transfer has on the way."""
    quantity = supply.in_transit(transfer)
    if quantity:
        place = place_of(item, destination)
        place.in_transit += sign * quantity
        if transfer.eta is not None:
            place.in_transit_by_day = _added(place.in_transit_by_day, days.day_of(transfer.eta), sign * quantity)


def count_receipt(item: Item, key: tuple[str, str], receipt: Receipt, sign: int, days: Days) -> None:
    """Add (1) or take out (-1) what a receipt has still to come."""
    quantity = supply.expected(receipt, parts_of(item, key)[0])
    if quantity:
        place = place_of(item, key[1])
        place.expected += sign * quantity
        if receipt.eta is not None:
            place.expected_by_day = _added(place.expected_by_day, days.day_of(receipt.eta), sign * quantity)


def expire(item: Item, order_id: str, line_id: str, now: int, days: Days) -> bool:
    """Release a soft claim whose expires_at is reached; true if that changed anything."""
    line = item.lines.get((order_id, line_id))
    if line is None or line.lapsed or line.expires_at is None or line.expires_at > now:
        return False
    line.lapsed = True
    note_expiry(item, (order_id, line_id), line)
    settle_line(item, (order_id, line_id), line, days)
    mark_line(item, (order_id, line_id), line)
    return True


def forget(item: Item, horizon: int, closed_line_horizon: int, receipt_horizon: int, days: Days) -> bool:
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
    if item.rare is not None:
        for key in lots.forget_words(item.rare, item, horizon):
            mark(item, "g", *key)
            found = True
    for key in [k for k, ln in item.lines.items() if ln.last_at <= closed_line_horizon and lines.is_closed(ln)]:
        del own(item.lines)[key]
        if item.expiring:
            item.expiring.discard(key)
        if item.rare is not None:
            item.rare.doubtful.pop(key, None)
        mark(item, "l", *key)
        found = True
    for key in [
        k
        for k, transfer in item.transfers.items()
        if transfer.last_at <= receipt_horizon and (transfer.closed or transfer.shipped == transfer.received)
    ]:
        del own(item.transfers)[key]
        own(item.over).pop(("t", *key), None)
        mark(item, "t", *key)
        found = True
    for key in _done_receipts(item, receipt_horizon):
        take_receipt(item, *key, days)
        del own(item.receipts)[key]
        own(item.over).pop(("r", *key), None)
        found = True
    item.lines, item.over = item.lines or NOTHING, item.over or NOTHING
    item.transfers, item.receipts = item.transfers or NOTHING, item.receipts or NOTHING
    return found


def _done_receipts(item: Item, receipt_horizon: int) -> list[tuple[str, str]]:
    """Receipts of which nothing is to come, and was not for long.

    But for parts of an order that stays: without them it would expect their goods once more.
    """
    done = {
        key
        for key, receipt in item.receipts.items()
        if receipt.last_at <= receipt_horizon and not supply.expected(receipt, parts_of(item, key)[0])
    }
    while True:
        kept = set()
        for key in done:
            order = (item.receipts[key].part_of, key[1])
            if order in item.receipts and order not in done:
                kept.add(key)
        if not kept:
            return list(done)
        done -= kept


def doubts_of(item: Item) -> tuple[int, int]:
    """How many transfers, receipts and order lines of an item exceptions may speak of."""
    return (len(item.over), len(item.rare.doubtful) if item.rare is not None else 0)


NO_LOTS: dict[str, Cell] = {}
NO_PARTS = (0, 0)
NOTHING_WITHHELD: tuple[Moment | None, int] = (None, 0)
_EFFECTS: dict[int, Effect] = {
    EventType.STOCK_RECEIVED: _received,
    EventType.STOCK_ADJUSTED: _adjusted,
    EventType.STOCK_COUNTED: _counted,
    EventType.STOCK_STATUS_CHANGED: _status_changed,
    EventType.LOT_HELD: _lot_word,
    EventType.LOT_RELEASED: _lot_word,
    EventType.LOT_DATED: _lot_dated,
    EventType.STOCK_WITHHELD: _withheld,
    EventType.TRANSFER_SHIPPED: _transfer_shipped,
    EventType.TRANSFER_CLOSED: _transfer_closed,
    EventType.PICK_CONFIRMED: _handled,
    EventType.SHIPMENT_CONFIRMED: _handled,
    EventType.RETURN_RECEIVED: _adjusted,
    EventType.ORDER_PLACED: _placed,
    EventType.ORDER_ALLOCATED: _allocated,
    EventType.ORDER_RELEASED: _released,
    EventType.ORDER_CANCELLED: _cancelled,
    EventType.ORDER_REOPENED: _reopened,
    EventType.RECEIPT_EXPECTED: _expected,
    EventType.RECEIPT_CANCELLED: _expected,
}
#: by the number of the type
EFFECTS: list[Effect] = [_EFFECTS.get(kind, _nothing) for kind in range(max(_EFFECTS) + 1)]
