"""Decides whether a variance has the first cause that fits, and one that fits exactly (contract section 9, Causes)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from operators.rules.causes import DAY, EVIDENCE_MAX, Effect, Surroundings, cause_of
from operators.rules.reconciliation import ReconciliationFacts
from schemas.reconciled import Evidence, Judged

NOON = 100 * DAY


def row(theirs: int = 7, ours: int = 10, measure: str = "on_hand", **fields: Any) -> Judged:
    plain = {"place": "DC1", "lot": "", "is_absent": False} | fields
    return Judged(
        "erp",
        "S1",
        plain["place"],
        plain["lot"],
        NOON,
        NOON + 5,
        {measure: theirs} | fields.get("stated", {}),
        {measure: ours},
        [measure],
        plain["is_absent"],
    )


def unit(change: int, before: int = 1, twin: str = "", recorded: int = NOON) -> Effect:
    name = f"e{change}{before}"
    return Effect(NOON - before, change, recorded, Evidence("inventory.warehouse", 0, before % 1000, "wms", name), twin)


def cause(one: Judged, measure: str = "on_hand", **around: Any) -> str:
    return cause_of(one, measure, Surroundings(**around))[0]


@pytest.mark.parametrize(("theirs", "ours"), [(120, 10), (10, 120)])
def test_unit_one_is_the_other_times_a_conversion(theirs: int, ours: int) -> None:
    assert cause(row(theirs, ours), conversions=[Fraction(12)]) == "unit"
    assert cause(row(theirs, ours), conversions=[Fraction(1)]) == "unknown"


@pytest.mark.parametrize(("theirs", "ours"), [(0, 10), (10, 0)])
def test_unit_not_where_one_is_0(theirs: int, ours: int) -> None:
    assert cause(row(theirs, ours), conversions=[Fraction(12)]) == "unknown"


def test_sign_goes_before_everything_that_units_explain() -> None:
    assert cause(row(-10, 10), effects=[unit(-20)]) == "sign"


def test_lots_the_opposite_difference_at_another_lot() -> None:
    one, other = row(7, 10, lot="L1"), row(13, 10, lot="L2")
    assert cause(one, siblings=[one, other]) == "lots"
    assert cause(one, siblings=[one, row(12, 10, lot="L2")]) == "unknown"
    three = [one, row(11, 10, lot="L2"), row(12, 10, lot="L3")]
    assert cause(one, siblings=three) == "lots"


def test_locations_the_opposite_difference_elsewhere() -> None:
    one = row(7, 10)
    assert cause(one, siblings=[one, row(13, 10, place="DC2")]) == "locations"
    assert cause(one, siblings=[one, row(13, 10, place="DC2", lot="L1")]) == "unknown"


def test_statuses_as_much_on_hand_otherwise_quarantined() -> None:
    assert cause(row(4, 0, "quarantined", stated={"on_hand": 10}), "quarantined") == "statuses"
    assert cause(row(4, 0, "quarantined"), "quarantined") == "unknown"


def test_in_flight_what_was_logged_after_the_row() -> None:
    late = unit(3, recorded=NOON + 6)
    assert cause_of(row(7, 10), "on_hand", Surroundings(effects=[late])) == ("in_flight", [late.evidence])
    assert cause(row(7, 10), effects=[unit(3, recorded=NOON + 5)]) == "missing_there"
    facts = ReconciliationFacts(tolerance=Fraction(1))
    assert cause(row(8, 10), effects=[unit(3, recorded=NOON + 6)], facts=facts) == "in_flight"


def test_absent_goes_before_what_units_explain() -> None:
    assert cause(row(0, 10, is_absent=True), effects=[unit(10)]) == "absent"


@pytest.mark.parametrize(
    ("theirs", "effects", "expected"),
    [
        (13, [unit(3)], "doubled"),
        (13, [unit(3, DAY)], "unknown"),
        (13, [unit(3, DAY - 1)], "doubled"),
        (7, [unit(3)], "missing_there"),
        (7, [unit(3, 1, "same"), unit(3, 2, "same")], "doubled"),
        (7, [unit(3, 1, "one"), unit(3, 2, "other")], "missing_there"),
        (13, [unit(3, -1)], "missing_here"),
        (13, [unit(3, -DAY)], "missing_here"),
        (13, [unit(3, -DAY - 1)], "unknown"),
    ],
)
def test_units_of_the_day_explain_what_they_did(theirs: int, effects: list[Effect], expected: str) -> None:
    assert cause(row(theirs, 10), effects=effects) == expected


def test_missing_here_what_is_still_to_come_or_claimed() -> None:
    assert cause(row(15, 10), coming={5: []}) == "missing_here"
    assert cause(row(6, 10), coming={-4: []}) == "missing_here"


def test_stale_theirs_is_what_ours_was() -> None:
    assert cause(row(4, 10), was={4: NOON - 7}) == "stale"
    assert cause(row(5, 10), was={4: NOON - 7}) == "unknown"


@pytest.mark.parametrize("measure", ["atp", "available", "withheld"])
def test_all_but_goods_are_a_unit_a_sign_stale_or_unknown(measure: str) -> None:
    assert cause(row(7, 10, measure), measure, effects=[unit(3)]) == "unknown"
    assert cause(row(7, 10, measure), measure, is_before_last=True) == "stale"


def test_at_most_so_many_units_are_named() -> None:
    many = [unit(3, number) for number in range(1, EVIDENCE_MAX + 4)]
    assert len(cause_of(row(7, 10), "on_hand", Surroundings(effects=many))[1]) == EVIDENCE_MAX
