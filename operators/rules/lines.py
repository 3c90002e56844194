"""What an order line claims and what it took from the shelf (contract section 4, Order line).

At a location: A, R, P, S are sums of allocated, released, picked, shipped. D(t) = max(P(t), S(t)), or P(t), or S(t),
as the location's `deducts_at` says. hard = max(0, A - R - D), soft = max(0, demand - sum of max(A - R, D)).
"""

from __future__ import annotations

from collections import deque

from operators.rules.margins import Margins
from schemas.state import Handling, Line, LineAt, Moment

#: Picks and shipments of a line at a location from which on it is not looked through at each: below, that is cheaper.
MARGINS_FROM = 32


def deducted(at: LineAt) -> int:
    """D(infinity): the units this line took from on_hand at this location."""
    picked, shipped = at.picked, at.shipped
    if at.deducts_at == "pick":
        return picked
    if at.deducts_at == "shipment":
        return shipped
    return picked if picked > shipped else shipped


def hard_reserved(line: Line, at: LineAt) -> int:
    """Units reserved for the line at this location and not yet taken."""
    if line.cancelled:
        return 0
    left = at.allocated - at.released - deducted(at)
    return left if left > 0 else 0


def soft_allocated(line: Line) -> int:
    """Units demanded that no location has reserved or given yet."""
    if line.cancelled or line.lapsed:
        return 0
    left = line.demand
    for at in line.at.values():
        reserved, taken = at.allocated - at.released, deducted(at)
        left -= reserved if reserved > taken else taken
    return left if left > 0 else 0


def is_closed(line: Line) -> bool:
    """Nothing left to claim, now or (if it lapsed) ever again."""
    return soft_allocated(line) == 0 and all(hard_reserved(line, at) == 0 for at in line.at.values())


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


def handle(at: LineAt, handling: Handling, is_pick: bool) -> None:
    """Add a pick or a shipment."""
    if is_pick:
        at.picks = at.picks or []  # a list of its own: the empty one is shared
        at.picks.append(handling)
        at.picked += handling[3]
    else:
        at.shipments = at.shipments or []
        at.shipments.append(handling)
        at.shipped += handling[3]


def takes_nothing(at: LineAt, handling: Handling, is_pick: bool) -> bool:
    """True where a new handling surely changes no deduction: the usual shipment of what was picked before it."""
    if is_pick:
        return at.deducts_at == "shipment"
    if at.deducts_at == "pick":
        return True
    if at.deducts_at == "shipment" or len(at.picks) != 1 or at.shipments:
        return False
    occurred_at, _, lot, quantity = at.picks[0]
    return handling[0] >= occurred_at and handling[2] == lot and handling[3] <= quantity


def stands_alone(at: LineAt, is_pick: bool) -> bool:
    """True where a new handling is deducted as it stands: nothing of the other kind is there, or counts."""
    if is_pick:
        return at.deducts_at == "pick" or (at.deducts_at == "first" and not at.shipments)
    return at.deducts_at == "shipment" or (at.deducts_at == "first" and not at.picks)


def take(at: LineAt, handling: Handling, is_pick: bool) -> list[tuple[str, int, int]]:
    """Add one to a line that has picks and shipments, and give what that changes of D: (lot, occurred_at, units).

    A short line is looked through, before and after. A long one is not, but where its shipments name several lots and
    were ahead of its picks: then it depends on all of them which lot it fell on.
    """
    occurred_at, _, lot, quantity = handling
    margins = at.margins
    if margins is None and len(at.picks) + len(at.shipments) >= MARGINS_FROM:
        margins = at.margins = _margins_of(at, lot)
    if margins is not None:
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
