"""Decides by a source's record of inventory.reconciliation: what agrees, what is done, who owns (contract section 9).

Rule 1: exact, whatever the scale: tolerances are fractions. Rule 2: at a location one source may correct a measure.
Rule 3: a source without a record has the defaults: nothing may differ, and differences are reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from operators.rules.topology import LocationFacts, children, expand

REPORT = "report"
CORRECT = "correct"


@dataclass(frozen=True, slots=True)
class ReconciliationFacts:
    """An accepted record of inventory.reconciliation. Quantities in base UoM."""

    tolerance: Fraction = Fraction(0)
    tolerance_percent: Fraction = Fraction(0)
    #: (measure, action), each other than report
    actions: tuple[tuple[str, str], ...] = ()
    #: where they hold, each for itself and all beneath it; None: everywhere
    locations: tuple[str, ...] | None = None
    max_rows_in_variance_percent: Fraction = Fraction(5)
    min_rows_percent_of_last: Fraction = Fraction(90)


#: What holds for a source that has no record.
DEFAULTS = ReconciliationFacts()


def agrees(facts: ReconciliationFacts, ours: int, theirs: int, scale: int) -> bool:
    """Is the difference within the tolerance? Figures in base UoM x 10^scale.

    |theirs - ours| <= max(tolerance, |ours| x tolerance_percent / 100).
    """
    if ours == theirs:
        return True
    if not (facts.tolerance or facts.tolerance_percent):
        return False
    bound: Fraction = max(facts.tolerance * 10**scale, abs(ours) * facts.tolerance_percent / 100)
    return abs(theirs - ours) <= bound


def action_at(facts: ReconciliationFacts, measure: str, location: str, locations: Mapping[str, LocationFacts]) -> str:
    """Give what is done about a variance of the measure there: report, hold, correct or ask."""
    action = dict(facts.actions).get(measure, REPORT)
    return action if action == REPORT or is_within(location, facts.locations, locations) else REPORT


def is_within(location: str, named: tuple[str, ...] | None, locations: Mapping[str, LocationFacts]) -> bool:
    """Is the location among the named ones or beneath one of them? Everything is, where none is named."""
    if named is None:
        return True
    while location:
        if location in named:
            return True
        facts = locations.get(location)
        location = facts.parent if facts is not None else ""
    return False


def contested(
    source: str,
    facts: ReconciliationFacts,
    others: Mapping[str, ReconciliationFacts],
    locations: Mapping[str, LocationFacts],
) -> tuple[str, str, str] | None:
    """Give a measure, a location and another source that corrects it there too, if there is one: one owner.

    `*` is the location where both correct everywhere.
    """
    own = {measure for measure, action in facts.actions if action == CORRECT}
    if not own:
        return None
    beneath = children(dict(locations))
    for other, theirs in sorted(others.items()):
        shared = own & {measure for measure, action in theirs.actions if action == CORRECT}
        if other == source or not shared:
            continue
        both = _both(facts.locations, theirs.locations, beneath)
        if both:
            return min(shared), min(both), other
    return None


def _both(left: tuple[str, ...] | None, right: tuple[str, ...] | None, beneath: dict[str, list[str]]) -> set[str]:
    """Give the locations of two scopes that both have."""
    if left is None and right is None:
        return {"*"}
    if left is None or right is None:
        return expand(left or right or (), beneath)
    return expand(left, beneath) & expand(right, beneath)
