"""Decides for the naive model what becomes of a variance, and what is withheld or corrected because of it.

Rule 1: a key shows the latest accepted statement that has it; later is the greater (as_of, statement_id).
Rule 2: what is withheld follows from the variances as they stand, and is worked out anew each time.
Rule 3: nothing here is done. What is decided is given back as the events that say it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import sha256
from typing import Any

from flows.audit.intake import Unit
from flows.audit.model import Model
from flows.audit.past import Cell, Past, newest_count, ours_at, until
from flows.audit.reading import Fields
from flows.audit.stated import COUNTED

LIVE = ("open", "held")
WITHHOLDING = ("hold", "ask")
DOUBTFUL = ("unit", "sign", "in_flight", "stale")
"""A count is not written because of these: a person is asked."""
NOT_UPWARDS = ("doubled", "missing_there", "missing_here")
"""Nor because of these, where it would make more of what may be promised."""

VarianceKey = tuple[str, str, str, str, str]
"""(source, item, location or channel, lot or empty, measure)"""
Limit = Callable[[int], Fraction | int]


def id_of(source: str, statement_id: str, item: str, place: str, lot: str | None) -> str:
    """Give the id of a row's variances: the first 32 hex digits of a SHA-256."""
    return sha256(f"{source}:{statement_id}:{item}:{place}:{lot or ''}".encode()).hexdigest()[:32]


@dataclass
class Variance:
    """One measure that differs, as it stands. `limit`: by how much it may differ and agree, in force at its verdict."""

    key: VarianceKey
    id: str
    statement_id: str
    #: the statement's, and the row's own
    stated_as_of: int
    as_of: int
    ours: int
    theirs: int
    cause: str
    evidence: list[Unit]
    limit: Limit
    action: str | None = None
    state: str = "open"
    decided_by: str | None = None
    reason: str | None = None
    first_seen: int = 0
    last_seen: int = 0
    #: beside rows with lots one without a lot is compared, and nothing is done because of it
    is_apart: bool = False
    #: what the row says of both counted measures, as far as it says it
    row: dict[str, int] = field(default_factory=dict)

    @property
    def difference(self) -> int:
        """Give theirs - ours."""
        return self.theirs - self.ours

    @property
    def age(self) -> tuple[int, str]:
        """Give what decides which of two statements is the later: the greater."""
        return self.stated_as_of, self.statement_id

    @property
    def cell(self) -> Cell:
        """Give what it speaks of."""
        _, item, place, lot, measure = self.key
        return Cell(item, place, lot or None, measure)

    @property
    def agrees(self) -> bool:
        """Whether it differs no more than it may."""
        return abs(self.difference) <= self.limit(self.ours)


@dataclass(frozen=True)
class Correction:
    """A stock_counted that is written for a row: as of as_of, in the name of source reconciliation."""

    event_id: str
    as_of: int
    item: str
    location: str
    lot: str | None
    quantity: int
    quarantined: int | None


class Book:
    """All variances, and what is withheld because of them. Rows of one statement come together, by `settle`."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.variances: dict[VarianceKey, Variance] = {}
        #: by (item, location): what source reconciliation was last told to withhold
        self.withheld: dict[tuple[str, str], int] = {}
        #: since when something has been withheld there without a break
        self.held_since: dict[tuple[str, str], int] = {}
        self.corrections: list[Correction] = []

    # Statements.

    def note(self, found: Variance) -> Variance | None:
        """Take what an accepted statement says of a key; None where a later one stands there."""
        known = self.variances.get(found.key)
        found.first_seen = found.last_seen = found.stated_as_of
        if known is not None and known.state != "resolved":
            if known.age > found.age:
                known.first_seen = min(known.first_seen, found.stated_as_of)
                return None
            found.first_seen = known.first_seen
            if known.state == "accepted" and known.difference == found.difference:
                found.state, found.decided_by, found.reason = "accepted", known.decided_by, known.reason
                found.action = known.action
        self.variances[found.key] = found
        if found.state == "open" and is_counted_since(self.model, found):
            found.state = "resolved"
        return found

    def note_rejected(self, found: Variance) -> None:
        """Take what a rejected statement says of a key: only where nothing stands there, and nothing is done."""
        known = self.variances.get(found.key)
        if known is None or known.state == "resolved":
            found.first_seen = found.last_seen = found.stated_as_of
            found.action = None
            self.variances[found.key] = found
            if is_counted_since(self.model, found):
                found.state = "resolved"

    def agrees(self, key: VarianceKey, as_of: int, statement_id: str) -> None:
        """Take that an accepted statement agrees: a variance of an earlier one is over."""
        known = self.variances.get(key)
        if known is not None and known.age < (as_of, statement_id):
            known.state = "resolved"

    def act(self, rows: Iterable[list[Variance]], action_of: Callable[[Cell], str]) -> None:
        """Decide what is done about the rows of an accepted statement; `action_of`: what its source's record says."""
        for row in rows:
            for variance in [variance for variance in row if variance.state != "accepted"]:
                may_act = variance.cell.measure in COUNTED and not variance.is_apart
                variance.action = action_of(variance.cell) if may_act else "report"
            open_ones = [variance for variance in row if variance.state in LIVE]
            more = sum(
                variance.difference if variance.cell.measure == "on_hand" else -variance.difference
                for variance in open_ones
                if variance.action == "correct"
            )
            for variance in open_ones:
                if variance.action == "correct" and not self._is_plain(variance, more):
                    variance.action = "ask"
            # A count says both: what differs on hand and is not corrected would be corrected with the quarantined part.
            if any(v.cell.measure == "on_hand" and v.action != "correct" for v in open_ones):
                for variance in open_ones:
                    if variance.action == "correct":
                        variance.action = "ask"
            corrected = [variance for variance in open_ones if variance.action == "correct"]
            if corrected:
                self.corrections.append(count_of(self.model, corrected))
                for variance in corrected:
                    variance.state, variance.decided_by = "corrected", "rule"

    def _is_plain(self, variance: Variance, more: int) -> bool:
        """Whether a correction needs no person; `more`: what it would add to what is on hand and not quarantined."""
        theirs = variance.row
        contradicts_itself = theirs.get("quarantined", 0) > theirs.get("on_hand", self._on_hand(variance))
        beside = theirs.get("on_hand")
        if variance.cause in DOUBTFUL or contradicts_itself or not is_countable(self.model, variance, beside):
            return False
        return more <= 0 or variance.cause not in NOT_UPWARDS

    def _on_hand(self, variance: Variance) -> int:
        cell = variance.cell
        past = Past(self.model, cell.item, until(self.model.units_of.get(cell.item, []), variance.as_of))
        return past.counted(cell.item, cell.place, cell.lot, "on_hand")

    # What came since.

    def look_again(self) -> None:
        """Say of every open variance what is ours as of as_of as it is known now."""
        for variance in self.variances.values():
            if variance.state not in LIVE:
                continue
            ours = ours_at(self.model, variance.cell, variance.as_of) if variance.key[4] != "atp" else None
            if ours is not None:
                variance.ours = ours
            if variance.agrees or is_counted_since(self.model, variance):
                variance.state = "resolved"

    # People.

    def decide(self, key: VarianceKey, identity: str, decision: str, who: str, reason: str | None, now: int) -> bool:
        """Take what a person decided; whether it was taken."""
        variance = self.variances.get(key)
        before = ("corrected",) if decision == "undo" else LIVE
        if variance is None or variance.id != identity or variance.state not in before:
            return False
        window = max(
            self.model.dedup_window_us,
            *(bounds.get("dedup_window_us") or 0 for bounds in self.model.sources.values()),
            0,
        )
        if decision in ("correct", "undo") and now - variance.as_of > window:
            return False
        if decision == "correct":
            row = self._row(variance)
            blocked = any(v is not variance and v.cell.measure == "on_hand" for v in row)
            if blocked or not is_countable(self.model, variance):
                return False
            self.corrections.append(count_of(self.model, [variance]))
        elif decision == "undo":
            undone = undoing(self.model, variance)
            if not 0 <= (undone.quarantined or 0) <= undone.quantity:
                return False
            self.corrections.append(undone)
        after = {"correct": "corrected", "accept": "accepted", "reject": "rejected", "undo": "rejected"}
        variance.state = after[decision]
        variance.decided_by, variance.reason = who, reason
        return True

    def _row(self, variance: Variance) -> list[Variance]:
        return [v for v in self.variances.values() if v.id == variance.id and v.state in LIVE]

    # What is withheld.

    def held_too_long(self, now: int, alert: int) -> set[tuple[str, str]]:
        """Give where something has been withheld for longer than that."""
        return {at for at, since in self.held_since.items() if now - since > alert}

    def hold(self, now: int) -> dict[tuple[str, str], int]:
        """Say which open variances are held, and give what is to be withheld now where that has changed."""
        rows: dict[str, list[Variance]] = {}
        for variance in self.variances.values():
            if variance.state in LIVE and variance.action in WITHHOLDING:
                rows.setdefault(variance.id, []).append(variance)
        sums: dict[tuple[str, str], dict[str, int]] = {}
        for row in rows.values():
            source, item, place, _, _ = row[0].key
            amount = held_by(self.model, row)
            by_source = sums.setdefault((item, place), {})
            by_source[source] = by_source.get(source, 0) + amount
            for variance in row:
                takes_part = variance.difference < 0 if variance.key[4] == "on_hand" else variance.difference > 0
                variance.state = "held" if amount > 0 and takes_part else "open"
        changed = {}
        for at in sums.keys() | self.withheld.keys():
            amount = max(sums.get(at, {}).values(), default=0)
            if amount != self.withheld.get(at, 0):
                changed[at] = self.withheld[at] = amount
                if amount:
                    self.held_since.setdefault(at, now)
                else:
                    self.held_since.pop(at, None)
        return changed


def held_by(model: Model, row: list[Variance]) -> int:
    """Give what a row withholds: what may be promised of ours less what may be of theirs, never below 0."""
    one = row[0]
    _, item, place, lot, _ = one.key
    past = Past(model, item, until(model.units_of.get(item, []), one.as_of))
    on_hand, quarantined = (past.counted(item, place, lot or None, measure) for measure in COUNTED)
    theirs = {variance.cell.measure: variance.theirs for variance in row}
    their_on_hand = max(0, theirs["on_hand"]) if "on_hand" in theirs else on_hand
    return max(0, on_hand - quarantined - (their_on_hand - theirs.get("quarantined", quarantined)))


def is_counted_since(model: Model, variance: Variance) -> bool:
    """Whether the same cell was counted later than as_of: then nothing is in doubt any more.

    A row without a lot speaks of what carries none where no lot is there.
    """
    cell = variance.cell
    if cell.measure not in COUNTED:
        return False
    units = model.units_of.get(cell.item, [])
    if cell.lot is None and has_lots(model, variance):
        return False
    count = newest_count(units, cell, cell.lot)
    return count is not None and count.occurred_at > variance.as_of


def has_lots(model: Model, variance: Variance) -> bool:
    """Whether some lot of the item is not 0 there as of as_of."""
    cell = variance.cell
    past = Past(model, cell.item, until(model.units_of.get(cell.item, []), variance.as_of))
    return bool(past.lots_there(cell.item, cell.place))


def is_countable(model: Model, variance: Variance, beside: int | None = None) -> bool:
    """Whether a count can say what they say of it; `beside`: the on_hand that it says too, if that is not ours."""
    cell = variance.cell
    if cell.measure not in COUNTED or variance.is_apart:
        return False
    if cell.lot is None and has_lots(model, variance):
        return False
    past = Past(model, cell.item, until(model.units_of.get(cell.item, []), variance.as_of))
    if cell.measure == "quarantined" and cell.lot is not None and past.is_held(cell.item, cell.lot, cell.place):
        return False
    if cell.measure == "on_hand":
        return variance.theirs >= 0
    return variance.theirs <= (past.counted(cell.item, cell.place, cell.lot, "on_hand") if beside is None else beside)


def undoing(model: Model, corrected: Variance) -> Correction:
    """Give the count that takes a correction back: what ours was, a microsecond later."""
    cell, moment = corrected.cell, corrected.as_of + 1
    past = Past(model, cell.item, until(model.units_of.get(cell.item, []), moment))
    on_hand = past.counted(cell.item, cell.place, cell.lot, "on_hand")
    is_of_on_hand = cell.measure == "on_hand"
    return Correction(
        f"{corrected.id}.undo",
        moment,
        cell.item,
        cell.place,
        cell.lot,
        corrected.ours if is_of_on_hand else on_hand,
        None if is_of_on_hand else corrected.ours,
    )


def count_of(model: Model, corrected: list[Variance]) -> Correction:
    """Give the one count that corrects a row: theirs where it is corrected, ours where it is not."""
    one = corrected[0]
    cell = one.cell
    theirs: Fields = {variance.cell.measure: variance.theirs for variance in corrected}
    past = Past(model, cell.item, until(model.units_of.get(cell.item, []), one.as_of))
    on_hand: Any = theirs.get("on_hand", past.counted(cell.item, cell.place, cell.lot, "on_hand"))
    return Correction(one.id, one.as_of, cell.item, cell.place, cell.lot, on_hand, theirs.get("quarantined"))
