"""One record of an item as it was at a moment: what it is, less the units of it that are later.

Of an order line, a transfer or a receipt the state keeps sums and newest words. Later units are taken off the sums, and
a newest word that is later makes way for the one before it, as far as that is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from operators.effects import Applied
from operators.rules import lines, supply
from schemas.state import Line, LineAt, Moment, Receipt, Transfer
from schemas.units import EventType, Unit

PLACED, ALLOCATED, RELEASED = EventType.ORDER_PLACED, EventType.ORDER_ALLOCATED, EventType.ORDER_RELEASED
CANCELLED, REOPENED = EventType.ORDER_CANCELLED, EventType.ORDER_REOPENED
SHIPPED, CLOSED = EventType.TRANSFER_SHIPPED, EventType.TRANSFER_CLOSED
EXPECTED, GIVEN_UP = EventType.RECEIPT_EXPECTED, EventType.RECEIPT_CANCELLED
RECEIVED = EventType.STOCK_RECEIVED

#: Of an order line its order and line, of a transfer or a receipt its id and where to.
Name = tuple[str, str]
#: What a record comes to at a moment.
Figure = Callable[[int], int]
#: Receipts with their units.
Records = dict[Name, tuple[Receipt, list[Applied]]]


def word_of(unit: Unit) -> Moment:
    """Give what orders a unit among other words on the same thing."""
    return (unit.occurred_at, unit.event_id, unit.source)


def _signed(unit: Unit, quantity: int) -> int:
    return -quantity if unit.reversal else quantity


# --- one order line ----------------------------------------------------------------------------------------------


def reserved(line: Line, units: list[Applied], place: str) -> Figure:
    """Give how much of an order line was reserved at a place."""

    def figure(moment: int) -> int:
        then = line_at(line, units, moment)
        at = then.at.get(place)
        return 0 if at is None else lines.hard_reserved(at, lines.reservable(then, lines.totals(then)[0]))

    return figure


def claimed(line: Line, units: list[Applied], place: str) -> Figure:
    """Give how much more an order line claimed at a place, if it named that."""

    def figure(moment: int) -> int:
        then = line_at(line, units, moment)
        return lines.soft_allocated(then, lines.totals(then)[1]) if then.location == place else 0

    return figure


def line_since(line: Line, units: list[Applied], begin: int) -> int:
    """From when on it is known what a line claimed: words before the first of the day may be lost."""
    since = begin
    placed = min([word_of(unit) for unit, _, _ in units if unit.type == PLACED], default=line.placed)
    if placed is not None and placed[0] > begin:
        before = line_at(line, units, begin)
        if any(at.allocated or at.released or at.picks or at.shipments for at in before.at.values()):
            since = placed[0]  # it had begun: how much was wanted by then is not known
    closings = [(word_of(unit), unit.type) for unit, _, _ in units if _closes(unit)]
    if closings and min(closings)[1] == REOPENED:
        since = max(since, min(closings)[0][0])  # it had been cancelled, or not
    return since


def _closes(unit: Unit) -> bool:
    return unit.type == REOPENED or (unit.type == CANCELLED and unit.quantity is None)


def line_at(line: Line, units: Iterable[Applied], moment: int) -> Line:
    """Give an order line as it was at a moment, from what it is and the units of it that may be later."""
    then = Line()
    parts: dict[Moment, int] = {}
    if line.placed is not None and line.placed[0] <= moment:
        wish = (line.demand, line.location, line.channel, line.expires_at, line.requested_at)
        lines.place(then, line.placed, *wish, moment)
    if line.cancellations is not None:
        word = line.cancellations.word
        if word is not None and word[0] <= moment:
            (lines.cancel if line.cancelled else lines.reopen)(then, word)
        parts = {part: quantity for part, quantity in line.cancellations.parts if part[0] <= moment}
    later: dict[str, tuple[int, int]] = {}
    for unit, quantity, _ in units:
        if unit.occurred_at > moment:
            allocated, released = later.get(unit.location, (0, 0))
            if unit.type == ALLOCATED:
                later[unit.location] = (allocated + _signed(unit, quantity), released)
            elif unit.type == RELEASED:
                later[unit.location] = (allocated, released + _signed(unit, quantity))
        elif unit.type == PLACED:
            wish = (quantity, unit.location, unit.channel, unit.expires_at, unit.requested_at)
            lines.place(then, word_of(unit), *wish, moment)
        elif _closes(unit):
            (lines.reopen if unit.type == REOPENED else lines.cancel)(then, word_of(unit))
        elif unit.type == CANCELLED:
            parts[word_of(unit)] = quantity
    for part, quantity in parts.items():
        lines.cancel_part(then, part, quantity)
    for location, at in line.at.items():
        then.at[location] = _handled_by(at, moment, *later.get(location, (0, 0)))
    return then


def _handled_by(at: LineAt, moment: int, allocated: int, released: int) -> LineAt:
    """Give a line at a location as it was, less what was allocated and released later."""
    then = LineAt(at.deducts_at)
    then.allocated, then.released = at.allocated - allocated, at.released - released
    for is_pick, handlings in ((True, at.picks), (False, at.shipments)):
        for handling in handlings:
            if handling[0] <= moment:
                lines.handle(then, handling, is_pick)
    return then


# --- one transfer, and receipts ----------------------------------------------------------------------------------


def on_its_way(transfer: Transfer, units: list[Applied]) -> Figure:
    """Give how much of a transfer was on its way."""
    closings = [unit.occurred_at for unit, _, _ in units if unit.type == CLOSED]

    def figure(moment: int) -> int:
        shipped, received = transfer.shipped, transfer.received
        for unit, quantity, second in units:
            if unit.occurred_at > moment and unit.type == SHIPPED:
                shipped -= _signed(unit, quantity if second is None else second)
            elif unit.occurred_at > moment and unit.type == RECEIVED:
                received -= _signed(unit, quantity)
        is_closed = min(closings) <= moment if closings else transfer.closed
        return supply.in_transit(Transfer(shipped, received, is_closed))

    return figure


def to_come(records: Records) -> Figure:
    """Give how much was expected of receipts: those of one place, and of an order with parts all of them."""

    def figure(moment: int) -> int:
        then = {name: receipt_at(receipt, units, moment) for name, (receipt, units) in records.items()}
        parts: dict[Name, int] = {}
        for (_, place), receipt in then.items():
            if receipt.part_of:
                order = (receipt.part_of, place)
                parts[order] = parts.get(order, 0) + supply.part(receipt)
        return sum([supply.expected(receipt, parts.get(name, 0)) for name, receipt in then.items()])

    return figure


def receipt_since(receipt: Receipt, units: list[Applied], begin: int) -> int:
    """From when on it is known what was expected: words before the first of the day may be lost."""
    words = [(word_of(unit), unit.type) for unit, _, _ in units if unit.type in (EXPECTED, GIVEN_UP)]
    if receipt.cancelled and receipt.word is not None and receipt.word[0] > begin:
        words.append((receipt.word, GIVEN_UP))
    if not words or (receipt.word is not None and receipt.word[0] <= begin):
        return begin
    first, kind = min(words)
    has_begun = kind == GIVEN_UP or receipt_at(receipt, units, begin).received != 0
    return max(begin, first[0]) if has_begun else begin


def receipt_at(receipt: Receipt, units: Iterable[Applied], moment: int) -> Receipt:
    """Give a receipt as it was at a moment, from what it is and the units of it that may be later."""
    then = Receipt(received=receipt.received)
    if receipt.word is not None and receipt.word[0] <= moment:
        if receipt.cancelled:
            then.part_of, then.announced = receipt.part_of, receipt.announced
            then.word, then.cancelled = receipt.word, True
        else:
            supply.expect(then, receipt.word, receipt.quantity, receipt.eta, receipt.part_of)
    for unit, quantity, _ in units:
        if unit.type == RECEIVED:
            then.received -= _signed(unit, quantity) if unit.occurred_at > moment else 0
        elif unit.occurred_at > moment:
            continue
        elif unit.type == GIVEN_UP:
            supply.cancel(then, word_of(unit))
        elif unit.type == EXPECTED:
            supply.expect(then, word_of(unit), quantity, unit.eta, unit.part_of)
    return then
