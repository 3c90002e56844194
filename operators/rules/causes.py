"""Why theirs and ours differ: the first cause that fits, with the units that say so (contract section 9, Causes).

Rule 1: a cause is a claim about figures: it fits exactly or not at all.
Rule 2: what an effect cannot be known of explains nothing: a cause is never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import msgspec

from operators.rules.reconciliation import DEFAULTS, ReconciliationFacts, agrees
from schemas.reconciled import Evidence, Judged

DAY = 86_400_000_000
#: how many units a variance names at most
EVIDENCE_MAX = 8
UNKNOWN = "unknown"
#: causes that no unit is needed for
BY_FIGURES = frozenset({"unit", "sign", "lots", "statuses", "locations"})
NOTHING: Mapping[int, Any] = MappingProxyType({})
#: measures that units have effects on
PHYSICAL = ("on_hand", "quarantined")


class Effect(msgspec.Struct, frozen=True):
    """What one unit did to a measure of the row: `change` at `occurred_at`.

    `twin`: what two units have in common that differ only in ids and times; "": nothing is known of that.
    """

    occurred_at: int
    change: int
    recorded_at: int | None = None
    evidence: Evidence | None = None
    twin: str = ""


class Surroundings(msgspec.Struct, frozen=True):
    """What a cause may look at beside the row and its measure.

    `conversions`: how many base units the item's other units of measure are. `siblings`: the statement's rows in
    variance of the same item, the row itself among them. `coming`: quantities that receipts and transfers still bring
    there, and below zero those that order lines still claim there, each by itself and with the units that said so.
    """

    conversions: Sequence[Fraction] = ()
    siblings: Sequence[Judged] = ()
    effects: Sequence[Effect] = ()
    #: ours as of as_of as it is known now, with what came since the row was judged; None: as it was judged
    now: int | None = None
    coming: Mapping[int, Sequence[Evidence]] = NOTHING
    #: what ours was at moments of the day up to as_of -> the last such moment
    was: Mapping[int, int] = NOTHING
    #: theirs is the promise that was sent before the last one
    is_before_last: bool = False
    #: what agrees, with figures in base UoM x 10^scale
    facts: ReconciliationFacts = DEFAULTS
    scale: int = 0


Cause = tuple[str, list[Evidence]]


def cause_of(row: Judged, measure: str, around: Surroundings) -> Cause:
    """Give the first cause that fits, and at most EVIDENCE_MAX units that say so."""
    theirs, ours = row.theirs[measure], row.ours[measure]
    if _is_other_unit(theirs, ours, around.conversions):
        return "unit", []
    if theirs == -ours:
        return "sign", []
    if measure not in PHYSICAL:
        return ("stale", []) if around.is_before_last else _of_before(row, theirs, around)
    if _is_at_another_lot(row, measure, around.siblings):
        return "lots", []
    if measure == "quarantined" and "on_hand" in row.theirs and "on_hand" not in row.differing:
        return "statuses", []
    if _is_at_another_location(row, measure, around.siblings):
        return "locations", []
    late = [effect for effect in around.effects if _is_in_flight(effect, row)]
    known = ours if around.now is None else around.now
    without = known - sum([effect.change for effect in late])
    if any(effect.change for effect in late) and agrees(around.facts, without, theirs, around.scale):
        return "in_flight", _named(late)
    if row.is_absent:
        return "absent", []
    return _of_units(row, theirs - ours, theirs, ours, around)


def _of_units(row: Judged, difference: int, theirs: int, ours: int, around: Surroundings) -> Cause:
    day = _day(row, around)
    after = [effect for effect in around.effects if row.as_of < effect.occurred_at <= row.as_of + DAY]
    same = [effect for effect in day if effect.change == difference]
    if same:
        return "doubled", _named(same)
    opposite = [effect for effect in day if effect.change == -difference]
    twins = _twins(opposite)
    if twins:
        return "doubled", _named(twins)
    if opposite:
        return "missing_there", _named(opposite)
    here = [effect for effect in after if effect.change == difference]
    if here or difference in around.coming:
        return "missing_here", [*_named(here), *around.coming.get(difference, ())][:EVIDENCE_MAX]
    return _of_before(row, theirs, around)


def _of_before(row: Judged, theirs: int, around: Surroundings) -> Cause:
    """Say whether theirs is what ours was at a moment of the day, with what changed it since."""
    if theirs not in around.was:
        return UNKNOWN, []
    return "stale", _named([one for one in _day(row, around) if one.occurred_at > around.was[theirs]])


def _day(row: Judged, around: Surroundings) -> list[Effect]:
    return [effect for effect in around.effects if row.as_of - DAY < effect.occurred_at <= row.as_of and effect.change]


def _is_other_unit(theirs: int, ours: int, conversions: Iterable[Fraction]) -> bool:
    if not theirs or not ours:
        return False
    return any(worth != 1 and (theirs == ours * worth or ours == theirs * worth) for worth in conversions)


def _difference(row: Judged, measure: str) -> int:
    return row.theirs[measure] - row.ours[measure]


def _is_moved(differences: list[int], own: int) -> bool:
    """Has another one exactly the opposite difference, or do all add up to 0? `differences`: own among them."""
    return len(differences) > 1 and (-own in differences or sum(differences) == 0)


def _is_at_another_lot(row: Judged, measure: str, siblings: Iterable[Judged]) -> bool:
    if not row.lot:
        return False
    same = [one for one in siblings if one.place == row.place and one.lot and measure in one.differing]
    return _is_moved([_difference(one, measure) for one in same], _difference(row, measure))


def _is_at_another_location(row: Judged, measure: str, siblings: Iterable[Judged]) -> bool:
    same = [one for one in siblings if one.lot == row.lot and measure in one.differing]
    return len({one.place for one in same}) > 1 and _is_moved(
        [_difference(one, measure) for one in same], _difference(row, measure)
    )


def _is_in_flight(effect: Effect, row: Judged) -> bool:
    return effect.recorded_at is not None and effect.recorded_at > row.recorded_at and effect.occurred_at <= row.as_of


def _twins(effects: Sequence[Effect]) -> list[Effect]:
    for one in effects:
        same = [other for other in effects if one.twin and other.twin == one.twin]
        if len(same) > 1:
            return same
    return []


def _named(effects: Iterable[Effect]) -> list[Evidence]:
    return [effect.evidence for effect in effects if effect.evidence is not None][:EVIDENCE_MAX]
