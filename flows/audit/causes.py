"""Decides for the naive model why a row differs: the causes of section 9 in their order, each a question of its own.

Rule 1: a cause is named once, when all rows of a statement are judged; the first that fits is the one.
Rule 2: a cause that points at units gives all of them that fit; which of them really did it nobody can know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from flows.audit.intake import Unit
from flows.audit.model import Model
from flows.audit.past import Cell, Past, counted_at, day_after, day_before, effect, figure_at, until
from flows.audit.reading import DAY_US
from flows.audit.stated import COUNTED, PROMISE


@dataclass(frozen=True)
class Difference:
    """A measure of a row that is in variance, with what its causes ask of it.

    `logged_at`: when the row was logged, for one that is absent when the statement's end was. `sent_before`: of a
    promise, the atp that was sent before the one it is compared with. `limit`: by how much it may differ and agree.
    """

    cell: Cell
    as_of: int
    ours: int
    theirs: int
    logged_at: int
    limit: Callable[[int], Fraction | int]
    is_absent: bool = False
    on_hand_agrees: bool = False
    sent_before: int | None = None

    @property
    def size(self) -> int:
        """Give theirs - ours."""
        return self.theirs - self.ours


Finding = list[Unit] | None
"""The units that explain it; None where the cause does not fit."""


def _unit(model: Model, one: Difference, others: list[Difference]) -> Finding:
    if not one.ours or not one.theirs:
        return None
    worths = [worth for worth in model.items[one.cell.item]["conversions"].values() if worth != 1]
    fits = any(one.ours * worth == one.theirs or one.theirs * worth == one.ours for worth in worths)
    return [] if fits else None


def _sign(model: Model, one: Difference, others: list[Difference]) -> Finding:
    return [] if one.theirs == -one.ours else None


def _add_up(one: Difference, group: list[Difference]) -> bool:
    """Whether another of them differs exactly the other way, or all of them together by nothing."""
    if len(group) < 2:
        return False
    return any(other.size == -one.size for other in group if other is not one) or sum(d.size for d in group) == 0


def _lots(model: Model, one: Difference, others: list[Difference]) -> Finding:
    own = one.cell
    if own.lot is None:
        return None
    group = [
        other
        for other in others
        if other.cell.lot is not None
        and (other.cell.item, other.cell.place, other.cell.measure) == (own.item, own.place, own.measure)
    ]
    return [] if _add_up(one, group) else None


def _statuses(model: Model, one: Difference, others: list[Difference]) -> Finding:
    return [] if one.cell.measure == "quarantined" and one.on_hand_agrees else None


def _locations(model: Model, one: Difference, others: list[Difference]) -> Finding:
    own = one.cell
    group = [
        other
        for other in others
        if (other.cell.item, other.cell.lot, other.cell.measure) == (own.item, own.lot, own.measure)
    ]
    return [] if _add_up(one, group) else None


def _in_flight(model: Model, one: Difference, others: list[Difference]) -> Finding:
    units = until(model.units_of.get(one.cell.item, []), one.as_of)
    since = [unit for unit in units if model.logged[unit.key][0] > one.logged_at]
    if not since:
        return None
    then = counted_at(model, one.cell, one.as_of, [unit for unit in units if unit not in since])
    if abs(one.theirs - then) > one.limit(then):
        return None
    return [unit for unit in since if unit.get("location") in (None, one.cell.place)]


def _absent(model: Model, one: Difference, others: list[Difference]) -> Finding:
    return [] if one.is_absent else None


def _is_said_twice(one: Unit, other: Unit) -> bool:
    """Whether two units say the same of the same order, receipt or transfer, by the same source, under other ids."""
    return one.event_id != other.event_id and _said(one) == _said(other)


def _said(unit: Unit) -> tuple[object, ...]:
    times = ("occurred_at", "eta", "expires_at", "requested_at")
    return unit.kind, unit.source, unit.item, {k: v for k, v in unit.content.items() if k not in times}


def _doubled(model: Model, one: Difference, others: list[Difference]) -> Finding:
    units = day_before(model, one.cell.item, one.as_of)
    effects = [(unit, effect(model, one.cell, unit, one.as_of)) for unit in units]
    by_them = [unit for unit, did in effects if did == one.size]
    same = [unit for unit, did in effects if did == -one.size]
    by_us = [unit for unit in same if any(_is_said_twice(unit, other) for other in same)]
    return by_them or by_us or None


def _missing_there(model: Model, one: Difference, others: list[Difference]) -> Finding:
    units = day_before(model, one.cell.item, one.as_of)
    return [unit for unit in units if effect(model, one.cell, unit, one.as_of) == -one.size] or None


def _missing_here(model: Model, one: Difference, others: list[Difference]) -> Finding:
    cell = one.cell
    later = day_after(model, cell.item, one.as_of)
    found = [unit for unit in later if effect(model, cell, unit, unit.occurred_at) == one.size]
    if cell.measure == "on_hand":
        now = Past(model, cell.item, model.units_of.get(cell.item, []))
        for quantity, units in now.still_to_come(cell.item, cell.place):
            if quantity == one.size:
                found += units
        for claims, units in now.still_claimed(cell.item, cell.place, one.as_of):
            if -one.size in claims:
                found += units
    return found or None


def _stale(model: Model, one: Difference, others: list[Difference]) -> Finding:
    if one.cell.measure == PROMISE:
        return [] if one.sent_before is not None and one.theirs == one.sent_before else None
    units = day_before(model, one.cell.item, one.as_of)
    placed = [unit for unit in model.units_of.get(one.cell.item, []) if "expires_at" in unit.content]
    lapses = {int(unit.content["expires_at"]) for unit in placed}
    moments = {one.as_of - DAY_US} | {unit.occurred_at for unit in units}
    moments |= {lapse for lapse in lapses if one.as_of - DAY_US < lapse <= one.as_of}
    fits = [moment for moment in moments if figure_at(model, one.cell, moment) == one.theirs]
    return [unit for unit in units if unit.occurred_at > max(fits)] if fits else None


Question = Callable[[Model, Difference, list[Difference]], Finding]
ANYWHERE: dict[str, Question] = {"unit": _unit, "sign": _sign}
OF_COUNTED: dict[str, Question] = {
    "lots": _lots,
    "statuses": _statuses,
    "locations": _locations,
    "in_flight": _in_flight,
    "absent": _absent,
    "doubled": _doubled,
    "missing_there": _missing_there,
    "missing_here": _missing_here,
}
LAST: dict[str, Question] = {"stale": _stale}


def cause_of(model: Model, one: Difference, others: list[Difference]) -> tuple[str, list[Unit]]:
    """Give the first cause that fits, and the units that explain it; `others`: all differences of the statement."""
    asked = ANYWHERE | (OF_COUNTED if one.cell.measure in COUNTED else {}) | LAST
    for name, question in asked.items():
        found = question(model, one, others)
        if found is not None:
            return name, found
    return "unknown", []
