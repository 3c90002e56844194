"""Decides whether what is doubtful is withheld, and corrected only where nothing could be promised too much by it."""

from __future__ import annotations

from typing import Any

import pytest

from operators.rules.holds import Correctable, Count, correction, held_of_row, takes_part, withheld_at

BOTH = frozenset({"on_hand", "quarantined"})


@pytest.mark.parametrize(
    ("figures", "held"),
    [
        ({"on_hand": (10, 7)}, 3),
        ({"on_hand": (10, 12)}, 0),
        ({"on_hand": (10, -4)}, 10),
        ({"quarantined": (1, 4)}, 3),
        ({"quarantined": (4, 1)}, 0),
        ({"on_hand": (10, 7), "quarantined": (0, 2)}, 5),
        ({"on_hand": (10, 12), "quarantined": (0, 3)}, 1),
        ({}, 0),
    ],
)
def test_what_a_row_withholds(figures: dict[str, tuple[int, int]], held: int) -> None:
    assert held_of_row(figures) == held


@pytest.mark.parametrize(
    ("measure", "difference", "takes"),
    [("on_hand", -1, True), ("on_hand", 1, False), ("quarantined", 1, True), ("quarantined", -1, False)],
)
def test_which_difference_may_withhold(measure: str, difference: int, takes: bool) -> None:
    assert takes_part(measure, difference) is takes


def test_at_a_location_the_greatest_sum_of_a_source_is_withheld() -> None:
    assert withheld_at([("erp", 2), ("wms", 3), ("erp", 2)]) == 4
    assert withheld_at([]) == 0


def row(theirs: Any = 7, cause: str = "unknown", **fields: Any) -> Correctable:
    plain: dict[str, Any] = {
        "ours_on_hand": 10,
        "ours_quarantined": 2,
        "theirs": theirs if isinstance(theirs, dict) else {"on_hand": theirs},
        "differences": {"on_hand": cause},
        "wanted": BOTH,
    }
    return Correctable(**plain | fields)


def test_a_difference_becomes_a_count_of_what_is_theirs() -> None:
    assert correction(row()) == Count(7, None, frozenset({"on_hand"}))
    two = row(theirs={"on_hand": 7, "quarantined": 1}, differences={"on_hand": "unknown", "quarantined": "unknown"})
    assert correction(two) == Count(7, 1, BOTH)


@pytest.mark.parametrize("cause", ["unit", "sign", "in_flight", "stale"])
def test_a_cause_that_says_theirs_is_wrong_asks_and_a_person_may_do_it_all_the_same(cause: str) -> None:
    assert correction(row(cause=cause)) is None
    assert correction(row(cause=cause), by_person=True) == Count(7, None, frozenset({"on_hand"}))


@pytest.mark.parametrize("cause", ["doubled", "missing_there", "missing_here"])
def test_what_would_raise_what_may_be_promised_asks(cause: str) -> None:
    assert correction(row(12, cause)) is None
    assert correction(row(7, cause)) is not None
    assert correction(row(12)) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"theirs": {"on_hand": -1}},
        {"theirs": {"on_hand": 3, "quarantined": 4}, "differences": {"on_hand": "unknown", "quarantined": "unknown"}},
        {"lots_there": True},
        {"is_late": True},
        {"wanted": frozenset({"quarantined"})},
    ],
)
def test_what_cannot_be_counted_is_not_corrected(change: dict[str, Any]) -> None:
    assert correction(row(**change)) is None
    assert correction(row(**change), by_person=True) is None


def test_quarantined_of_a_held_lot_asks() -> None:
    differences = {"quarantined": "unknown"}
    assert correction(row(theirs={"quarantined": 5}, differences=differences)) == Count(
        10, 5, frozenset({"quarantined"})
    )
    assert correction(row(theirs={"quarantined": 5}, differences=differences, is_lot_held=True)) is None


def test_theirs_that_contradicts_itself_asks_and_a_person_may_count_what_is_on_hand() -> None:
    said = row(theirs={"on_hand": 3, "quarantined": 4}, wanted=frozenset({"on_hand"}))
    assert correction(said) is None
    assert correction(said, by_person=True) == Count(3, None, frozenset({"on_hand"}))
