"""What an order line claims and what it took from the shelf (contract section 4, Order line).

At a location: A, R, P, S are sums of allocated, released, picked, shipped, reversals taken off. D(t) = max(P(t), S(t)),
or P(t), or S(t), as the location's `deducts_at` says. wanted = max(0, demand - partial cancellations that count).
hard = max(0, A - R - D), of a line that was placed at most max(0, wanted - sum of D). soft = max(0, wanted - sum of
max(A - R, D)). Both are 0 while the line is cancelled, soft also from `expires_at` on.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque

from operators.rules.margins import Margins
from schemas.state import Cancellations, Handling, Line, LineAt, Moment

#: Picks and shipments of a line at a location from which on it is not looked through at each: below, that is cheaper.
MARGINS_FROM = 32
#: more than can be reserved: of a line that was not placed yet
NO_LIMIT = 1 << 62
#: before any moment
FIRST = -(1 << 62)


def deducted(at: LineAt) -> int:
    """D(infinity): the units this line took from on_hand at this location."""
    picked, shipped = at.picked, at.shipped
    if at.deducts_at == "first":
        return picked if picked > shipped else shipped
    return picked if at.deducts_at == "pick" else shipped


def wanted(line: Line) -> int:
    """Units of the demand that were not cancelled since."""
    if line.cancellations is None:
        return line.demand
    left = line.demand - line.cancellations.cut
    return left if left > 0 else 0


def totals(line: Line) -> tuple[int, int]:
    """Over locations, what was delivered: sum of D; and what was reserved or delivered: sum of max(A - R, D)."""
    delivered = served = 0
    for at in line.at.values():
        reserved, taken = at.allocated - at.released, deducted(at)
        delivered += taken
        served += reserved if reserved > taken else taken
    return delivered, served


def reservable(line: Line, delivered: int) -> int:
    """How much may stay reserved at any one location: what is wanted and was delivered nowhere yet.

    `delivered`, and `served` of the next ones: its `totals`.
    """
    if line.cancelled:
        return 0
    if line.placed is None:
        return NO_LIMIT
    left = wanted(line) - delivered
    return left if left > 0 else 0


def hard_reserved(at: LineAt, most: int) -> int:
    """Units reserved for a line at this location and not yet taken; `most`: its `reservable`."""
    left = at.allocated - at.released - deducted(at)
    if left > most:
        left = most
    return left if left > 0 else 0


def soft_allocated(line: Line, served: int) -> int:
    """Units wanted that no location has reserved or given yet."""
    if line.cancelled or line.lapsed:
        return 0
    left = wanted(line) - served
    return left if left > 0 else 0


def claims_above_demand(line: Line, delivered: int, served: int) -> bool:
    """Is more reserved or delivered than is wanted, so that somebody should say what is right?"""
    if served <= delivered or line.placed is None or line.cancelled:
        return False
    return served > wanted(line)


def is_demanded_after_cancellation(line: Line) -> bool:
    """Was a cancelled line placed again since, which alone revives nothing?"""
    if not line.cancelled or line.placed is None or line.cancellations is None or line.demand <= 0:
        return False
    return line.cancellations.word is None or line.placed > line.cancellations.word


def is_closed(line: Line) -> bool:
    """Nothing left to claim, now or (if it lapsed) ever again."""
    delivered, served = totals(line)
    if soft_allocated(line, served):
        return False
    most = reservable(line, delivered)
    return all(hard_reserved(at, most) == 0 for at in line.at.values())


def place(
    line: Line,
    word: Moment,
    demand: int,
    location: str,
    channel: str,
    expires_at: int | None,
    requested_at: int | None,
    now: int,
) -> None:
    """The newest order_placed says what is demanded, where, by whom and until when."""
    if line.placed is not None and word <= line.placed:
        return
    line.placed = word
    line.demand = demand
    line.location = location
    line.channel = channel
    line.expires_at = expires_at
    line.requested_at = requested_at
    line.lapsed = expires_at is not None and expires_at <= now
    if line.cancellations is not None and line.cancellations.parts:
        _forget_parts(line.cancellations, word)


def cancel(line: Line, word: Moment) -> None:
    """An order_cancelled without a quantity."""
    _close(line, word, True)


def reopen(line: Line, word: Moment) -> None:
    """An order_reopened."""
    _close(line, word, False)


def _close(line: Line, word: Moment, is_cancelled: bool) -> None:
    """Of cancellations without a quantity and reopenings the newest stands."""
    cancellations = _cancellations_of(line)
    if cancellations.word is None or word > cancellations.word:
        cancellations.word = word
        line.cancelled = is_cancelled


def cancel_part(line: Line, word: Moment, quantity: int) -> None:
    """An order_cancelled with a quantity: it counts while it is newer than the newest order_placed."""
    if line.placed is not None and word <= line.placed:
        return
    cancellations = _cancellations_of(line)
    insort(cancellations.parts, (word, quantity))
    cancellations.cut += quantity


def _forget_parts(cancellations: Cancellations, placed: Moment) -> None:
    """Drop what the newest order_placed has in it already: a newer one can only drop more."""
    stays = bisect_right(cancellations.parts, placed, key=_moment_of)
    cancellations.cut -= sum([quantity for _, quantity in cancellations.parts[:stays]])
    del cancellations.parts[:stays]


def _moment_of(part: tuple[Moment, int]) -> Moment:
    return part[0]


def _cancellations_of(line: Line) -> Cancellations:
    if line.cancellations is None:
        line.cancellations = Cancellations()
    return line.cancellations


def handle(at: LineAt, handling: Handling, is_pick: bool) -> None:
    """Add a pick or a shipment, or a reversal of either, whose quantity is below zero."""
    quantity = handling[3]
    if quantity < 0 and not at.has_reversals:
        at.has_reversals = True
        at.margins = None
    sums = _sums_of(at) if at.has_reversals else None
    if is_pick:
        at.picks = at.picks or []  # a list of its own: the empty one is shared
        at.picks.append(handling)
        at.picked += quantity
    else:
        at.shipments = at.shipments or []
        at.shipments.append(handling)
        at.shipped += quantity
    if sums is not None:
        sums.add(handling, is_pick)
        at.picked, at.shipped = sum(left_of(sums.picked).values()), sum(left_of(sums.shipped).values())


class Sums:
    """Of a line with reversals at a location: what was picked and shipped by lot, less reversals; in memory alone."""

    __slots__ = ("newest", "picked", "shipped")

    def __init__(self, at: LineAt) -> None:
        self.newest = FIRST
        self.picked: dict[str, int] = {}
        self.shipped: dict[str, int] = {}
        for handling in at.picks:
            self.add(handling, True)
        for handling in at.shipments:
            self.add(handling, False)

    def add(self, handling: Handling, is_pick: bool) -> None:
        """Add one, whenever it occurred."""
        moment, _, lot, quantity = handling
        by_lot = self.picked if is_pick else self.shipped
        by_lot[lot] = by_lot.get(lot, 0) + quantity
        self.newest = max(self.newest, moment)


def _sums_of(at: LineAt) -> Sums:
    if at.margins is None:
        at.margins = Sums(at)
    sums: Sums = at.margins
    return sums


def left_of(by_lot: dict[str, int]) -> dict[str, int]:
    """Leave out lots of which no more went than came back."""
    return {lot: quantity for lot, quantity in by_lot.items() if quantity > 0}


def has_reversal(handlings: list[Handling]) -> bool:
    """Was any of the picks or shipments taken back?"""
    return any([handling[3] < 0 for handling in handlings])


def takes_nothing(at: LineAt, handling: Handling, is_pick: bool) -> bool:
    """True where a new handling surely changes no deduction: the usual shipment of what was picked before it."""
    if at.deducts_at != "first":
        return is_pick if at.deducts_at == "shipment" else not is_pick
    occurred_at, _, lot, quantity = handling
    if is_pick or at.has_reversals or len(at.picks) != 1 or at.shipments or quantity < 0:
        return False
    pick = at.picks[0]
    picked_at, _, picked_lot, picked = pick
    return occurred_at >= picked_at and quantity <= picked and lot == picked_lot


def stands_alone(at: LineAt, handling: Handling, is_pick: bool) -> bool:
    """True where a new handling is deducted as it stands: nothing of the other kind is there, or counts."""
    quantity = handling[3]
    if at.has_reversals or quantity < 0:
        return False  # how much of it counts depends on what it takes back, and on what is taken back
    if at.deducts_at == "first":
        return not (at.shipments if is_pick else at.picks)
    return is_pick if at.deducts_at == "pick" else not is_pick


def take(at: LineAt, handling: Handling, is_pick: bool) -> list[tuple[str, int, int]]:
    """Add one to a line that has picks and shipments, and give what that changes of D: (lot, occurred_at, units).

    A short line is looked through, before and after. A long one is not, but where its shipments name several lots and
    were ahead of its picks: then it depends on all of them which lot it fell on.
    """
    occurred_at, _, lot, quantity = handling
    margins = at.margins
    has_reversals = at.has_reversals or quantity < 0
    if margins is None and not has_reversals and len(at.picks) + len(at.shipments) >= MARGINS_FROM:
        margins = at.margins = _margins_of(at, lot)
    if margins is not None and not has_reversals:
        if not is_pick and margins.lot != lot:
            margins.lot = None
        shipped_lot = margins.lot
        is_ahead = shipped_lot is None and margins.is_ahead(occurred_at, 0 if is_pick else quantity)
        changes = margins.add(occurred_at, quantity, is_pick)
        if shipped_lot is not None:
            handle(at, handling, is_pick)
            return _fell_on(shipped_lot, handling, is_pick, changes)
        if is_ahead:  # each pick fell on its own lot, and passed over shipments
            handle(at, handling, is_pick)
            return [(lot, occurred_at, quantity)] if is_pick else []
    if has_reversals and occurred_at >= _newest(at):  # as mostly: it changes what is taken by then, and nothing before
        before = _taken(at, occurred_at)
        handle(at, handling, is_pick)
        after = _taken(at, occurred_at)
    elif has_reversals:
        before = _steps_from(at, occurred_at)
        handle(at, handling, is_pick)
        after = _steps_from(at, occurred_at)
    else:
        before = deductions(at)
        handle(at, handling, is_pick)
        after = deductions(at)
    steps = [(step, after.get(step, 0) - before.get(step, 0)) for step in after.keys() | before.keys()]
    return [(step[0], step[1], change) for step, change in steps if change]


def _fell_on(
    shipped_lot: str, handling: Handling, is_pick: bool, changes: list[tuple[int, int]]
) -> list[tuple[str, int, int]]:
    """Say which lots changes of D fall on where all shipments name one: a pick takes its own lot in place of that."""
    occurred_at, _, lot, quantity = handling
    if not is_pick or lot == shipped_lot:
        return [(shipped_lot, moment, change) for moment, change in changes]
    found = [(lot, occurred_at, quantity)]
    instead = -quantity
    for moment, change in changes:
        if moment == occurred_at:
            instead += change
        else:
            found.append((shipped_lot, moment, change))
    if instead:
        found.append((shipped_lot, occurred_at, instead))
    return found


def _margins_of(at: LineAt, lot: str) -> Margins:
    """Begin with what there is; `lot`: of the new one, which is the first shipment where there is none."""
    lots = {unit[2] for unit in at.shipments} or {lot}
    handled = [(unit[0], unit[3]) for unit in at.picks] + [(unit[0], -unit[3]) for unit in at.shipments]
    return Margins(handled, lots.pop() if len(lots) == 1 else None)


def deductions(at: LineAt) -> dict[tuple[str, int], int]:
    """The steps of D by lot: (lot, occurred_at) -> units taken (negative where a later pick shifts the lot)."""
    picks = [] if at.deducts_at == "shipment" else at.picks
    shipments = [] if at.deducts_at == "pick" else at.shipments
    if at.has_reversals:
        return _steps_with_reversals(picks, shipments, FIRST)
    if len(picks) + len(shipments) == 1:
        occurred_at, _, lot, quantity = (picks or shipments)[0]
        return {(lot, occurred_at): quantity}
    lots = {unit[2] for unit in picks} | {unit[2] for unit in shipments}
    if len(lots) == 1:
        return _single_lot_steps(lots.pop(), picks, shipments)
    return _lot_steps(sorted(picks), sorted(shipments))


def _single_lot_steps(lot: str, picks: list[Handling], shipments: list[Handling]) -> dict[tuple[str, int], int]:
    changes: dict[int, list[int]] = {}
    for occurred_at, _, _, quantity in picks:
        changes.setdefault(occurred_at, [0, 0])[0] += quantity
    for occurred_at, _, _, quantity in shipments:
        changes.setdefault(occurred_at, [0, 0])[1] += quantity
    steps: dict[tuple[str, int], int] = {}
    picked = shipped = before = 0
    for occurred_at in sorted(changes):
        picked += changes[occurred_at][0]
        shipped += changes[occurred_at][1]
        taken = max(picked, shipped)
        if taken != before:
            steps[lot, occurred_at] = taken - before
            before = taken
    return steps


def _lot_steps(picks: list[Handling], shipments: list[Handling]) -> dict[tuple[str, int], int]:
    """Walk through the moments once. What picks pass over is a prefix of the sorted shipments, and only grows."""
    steps: dict[tuple[str, int], int] = {}
    #: shipments up to the moment that are not passed over yet: lot, units
    rest: deque[tuple[str, int]] = deque()
    to_pass_over = picked = shipped = 0
    for moment in sorted({unit[0] for unit in picks} | {unit[0] for unit in shipments}):
        changes: dict[str, int] = {}
        while picked < len(picks) and picks[picked][0] == moment:
            _, _, lot, quantity = picks[picked]
            changes[lot] = changes.get(lot, 0) + quantity
            to_pass_over += quantity
            picked += 1
        while shipped < len(shipments) and shipments[shipped][0] == moment:
            _, _, lot, quantity = shipments[shipped]
            changes[lot] = changes.get(lot, 0) + quantity
            rest.append((lot, quantity))
            shipped += 1
        while to_pass_over and rest:
            lot, quantity = rest.popleft()
            passed = min(to_pass_over, quantity)
            changes[lot] = changes.get(lot, 0) - passed
            to_pass_over -= passed
            if quantity > passed:
                rest.appendleft((lot, quantity - passed))
        for lot, change in changes.items():
            if change:
                steps[lot, moment] = change
    return steps


def _newest(at: LineAt) -> int:
    if at.has_reversals:
        return _sums_of(at).newest
    return max([unit[0] for unit in (*at.picks, *at.shipments)], default=FIRST)


def _taken(at: LineAt, moment: int) -> dict[tuple[str, int], int]:
    """What was taken by lot in all, as one step at a moment."""
    if at.has_reversals:
        sums = _sums_of(at)
        picked, shipped = left_of(sums.picked), left_of(sums.shipped)
        if at.deducts_at == "shipment":
            picked = {}
        elif at.deducts_at == "pick":
            shipped = {}
        taken = picked
        for lot, quantity in _beyond_picks(sum(picked.values()), shipped, at.shipments).items():
            taken[lot] = taken.get(lot, 0) + quantity
    else:
        taken = {}
        for (lot, _), quantity in deductions(at).items():
            taken[lot] = taken.get(lot, 0) + quantity
    return {(lot, moment): quantity for lot, quantity in taken.items()}


def _steps_from(at: LineAt, since: int) -> dict[tuple[str, int], int]:
    """The steps of D from a moment on, of a line with reversals: those before it depend on nothing that comes then."""
    picks = [] if at.deducts_at == "shipment" else at.picks
    shipments = [] if at.deducts_at == "pick" else at.shipments
    return _steps_with_reversals(picks, shipments, since)


def _steps_with_reversals(picks: list[Handling], shipments: list[Handling], since: int) -> dict[tuple[str, int], int]:
    """Apply the rule at each moment from `since` on: what came back is off its lot, of shipments the last of that lot.

    So what is left of a lot's shipments are the first of them. A moment costs all units up to it only where shipments
    beyond the picks name several lots. What is handled in the order of time looks at one moment.
    """
    picks, shipments = sorted(picks), sorted(shipments)
    steps: dict[tuple[str, int], int] = {}
    picked_of: dict[str, int] = {}
    shipped_of: dict[str, int] = {}
    taken: dict[str, int] = {}
    rest: list[Handling] = []
    pick = shipment = 0
    moments = sorted({unit[0] for unit in picks} | {unit[0] for unit in shipments})
    # From the last moment before: what was taken by then.
    for moment in moments[max(0, bisect_left(moments, since) - 1) :]:
        while pick < len(picks) and picks[pick][0] <= moment:
            _, _, lot, quantity = picks[pick]
            picked_of[lot] = picked_of.get(lot, 0) + quantity
            pick += 1
        while shipment < len(shipments) and shipments[shipment][0] <= moment:
            _, _, lot, quantity = shipments[shipment]
            shipped_of[lot] = shipped_of.get(lot, 0) + quantity
            rest.append(shipments[shipment])
            shipment += 1
        now = left_of(picked_of)
        for lot, quantity in _beyond_picks(sum(now.values()), left_of(shipped_of), rest).items():
            now[lot] = now.get(lot, 0) + quantity
        for lot in now.keys() | taken.keys() if moment >= since else ():
            change = now.get(lot, 0) - taken.get(lot, 0)
            if change:
                steps[lot, moment] = change
        taken = now
    return steps


def _beyond_picks(picked: int, shipped: dict[str, int], shipments: list[Handling]) -> dict[str, int]:
    """Give by lot what was shipped beyond so many picked units. `shipped`: what of each lot did not come back."""
    beyond = sum(shipped.values()) - picked
    if beyond <= 0:
        return {}
    if picked == 0:
        return shipped
    if len(shipped) == 1:
        return dict.fromkeys(shipped, beyond)
    found: dict[str, int] = {}
    left = dict(shipped)
    for _, _, lot, units in sorted(shipments):
        quantity = min(units, left.get(lot, 0))
        if quantity > 0:
            left[lot] -= quantity
            passed = min(picked, quantity)
            picked -= passed
            if quantity > passed:
                found[lot] = found.get(lot, 0) + quantity - passed
    return found
