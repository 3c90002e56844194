"""Decides whether a source's rules say what agrees, what is done, and who owns (contract section 9)."""

from __future__ import annotations

from fractions import Fraction

import pytest

from operators.rules.reconciliation import DEFAULTS, ReconciliationFacts, action_at, agrees, contested, is_within
from operators.rules.topology import LocationFacts

TREE = {"EU": LocationFacts(), "DE": LocationFacts("EU"), "DE-1": LocationFacts("DE"), "US": LocationFacts()}


def correcting(*locations: str, measure: str = "on_hand") -> ReconciliationFacts:
    return ReconciliationFacts(actions=((measure, "correct"),), locations=locations or None)


@pytest.mark.parametrize(
    ("tolerance", "percent", "ours", "theirs", "scale", "expected"),
    [
        (0, 0, 7, 7, 0, True),
        (0, 0, 7, 8, 0, False),
        (2, 0, 7, 5, 0, True),
        (2, 0, 7, 9, 0, True),
        (2, 0, 7, 4, 0, False),
        (0, 10, 100, 110, 0, True),
        (0, 10, 100, 111, 0, False),
        (0, 10, -100, -110, 0, True),
        (0, 10, 100, 89, 0, False),
        # the greater of the two counts
        (5, 10, 100, 90, 0, True),
        (15, 10, 100, 85, 0, True),
        # in base UoM, whatever the scale
        (Fraction(1, 2), 0, 1000, 1500, 3, True),
        (Fraction(1, 2), 0, 1000, 1501, 3, False),
        # exact: a third of a percent of 300 is one
        (0, Fraction(1, 3), 300, 301, 0, True),
        (0, Fraction(1, 3), 299, 300, 0, False),
        # nothing is a percentage of nothing
        (0, 100, 0, 1, 0, False),
    ],
)
def test_what_differs_by_the_tolerance_agrees_and_by_more_does_not(
    tolerance: Fraction | int, percent: Fraction | int, ours: int, theirs: int, scale: int, expected: bool
) -> None:
    facts = ReconciliationFacts(Fraction(tolerance), Fraction(percent))
    assert agrees(facts, ours, theirs, scale) is expected


def test_a_source_without_a_record_reports_every_difference() -> None:
    assert not agrees(DEFAULTS, 10**9, 10**9 + 1, 6)
    assert action_at(DEFAULTS, "on_hand", "DE", TREE) == "report"
    assert (DEFAULTS.max_rows_in_variance_percent, DEFAULTS.min_rows_percent_of_last) == (5, 90)


def test_outside_its_locations_a_source_is_only_heard() -> None:
    facts = ReconciliationFacts(actions=(("on_hand", "hold"),), locations=("DE",))
    assert action_at(facts, "on_hand", "DE", TREE) == action_at(facts, "on_hand", "DE-1", TREE) == "hold"
    assert action_at(facts, "on_hand", "EU", TREE) == action_at(facts, "on_hand", "US", TREE) == "report"
    assert action_at(facts, "quarantined", "DE", TREE) == "report"
    assert action_at(ReconciliationFacts(actions=(("on_hand", "ask"),)), "on_hand", "US", TREE) == "ask"


def test_a_location_is_within_those_above_it() -> None:
    assert is_within("DE-1", ("EU",), TREE) and is_within("EU", ("EU",), TREE)
    assert not is_within("EU", ("DE",), TREE)
    assert not is_within("DE", (), TREE), "none is named, so none is"
    assert is_within("ANYWHERE", None, TREE)
    assert is_within("GONE", ("GONE",), TREE), "a location whose record was deleted is still itself"


def test_two_sources_cannot_correct_a_measure_at_one_location() -> None:
    others = {"erp": correcting("EU")}
    assert contested("wms", correcting("DE-1"), others, TREE) == ("on_hand", "DE-1", "erp")
    assert contested("wms", correcting("US"), others, TREE) is None
    assert contested("wms", correcting(), others, TREE) == ("on_hand", "DE", "erp")
    assert contested("wms", correcting(), {"erp": correcting()}, TREE) == ("on_hand", "*", "erp")
    assert contested("wms", correcting(measure="quarantined"), others, TREE) is None
    assert contested("erp", correcting(), others, TREE) is None, "its own record is replaced"
    holding = ReconciliationFacts(actions=(("on_hand", "hold"),))
    assert contested("wms", holding, others, TREE) is None, "holding is no owning"
