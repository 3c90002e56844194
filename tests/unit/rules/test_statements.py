"""Decides whether a statement is judged when it is due, and believed only when it is whole (contract section 9)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from operators.rules.statements import added_causes, decimal_text, due_at, explained_percent, reasons_against

WHOLE: dict[str, Any] = {
    "has_start": True,
    "has_end": True,
    "said": (100, 100),
    "seen": 100,
    "refused": 0,
    "conflicts": 0,
    "in_variance": 0,
    "absent": 0,
    "last_taken": None,
    "most_in_variance_percent": 5,
    "least_of_last_percent": 90,
}


@pytest.mark.parametrize(("recorded", "due"), [(10, 15), (15, 15), (16, 16)])
def test_a_row_is_due_when_it_has_settled_and_was_logged(recorded: int, due: int) -> None:
    assert due_at(recorded, 10, 5) == due


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({}, []),
        ({"has_start": False}, ["not_started"]),
        ({"has_end": False}, ["not_ended"]),
        ({"said": (None, 101)}, ["rows_missing"]),
        ({"said": (101, 100)}, ["rows_missing"]),
        ({"said": (None, 99)}, ["rows_too_many"]),
        ({"said": (99, 101)}, ["rows_missing", "rows_too_many"]),
        ({"conflicts": 1}, ["contradicts_itself"]),
        ({"seen": 0, "said": (0, 0)}, ["empty"]),
        ({"refused": 100}, ["empty"]),
        ({"last_taken": 111}, []),
        ({"last_taken": 112}, ["fewer_than_last"]),
        ({"in_variance": 5}, []),
        ({"in_variance": 6}, ["too_many_in_variance"]),
        ({"in_variance": 3, "absent": 2}, []),
        ({"in_variance": 3, "absent": 3}, ["too_many_in_variance"]),
        ({"seen": 1, "said": (1, 1), "in_variance": 1}, []),
        ({"seen": 1, "said": (1, 1), "in_variance": 1, "absent": 1}, ["too_many_in_variance"]),
        ({"has_start": False, "has_end": False, "seen": 0}, ["not_started", "not_ended", "rows_missing", "empty"]),
    ],
)
def test_a_statement_is_believed_only_when_it_is_whole_and_not_absurd(
    change: dict[str, Any], reasons: list[str]
) -> None:
    assert reasons_against(**WHOLE | change) == reasons


@pytest.mark.parametrize(
    ("units", "explained", "percent"),
    [(0, 0, 100.0), (3, 2, 66.6), (3, 3, 100.0), (3, 0, 0.0), (Fraction(1, 2), Fraction(1, 3), 66.6)],
)
def test_what_is_explained_is_rounded_down_to_one_decimal(units: Any, explained: Any, percent: float) -> None:
    assert explained_percent(Fraction(units), Fraction(explained)) == percent


@pytest.mark.parametrize(
    ("quantity", "text"),
    [(0, "0"), (12, "12"), (Fraction(5, 2), "2.5"), (Fraction(-1, 1000000), "-0.000001"), (100, "100")],
)
def test_a_quantity_is_the_shortest_decimal_text(quantity: Any, text: str) -> None:
    assert decimal_text(Fraction(quantity)) == text


def test_rows_add_up_by_measure_and_cause() -> None:
    sums = {"on_hand": {"unit": 1}}
    added_causes(sums, {"on_hand": {"unit": 2, "sign": 1}, "atp": {"stale": 1}})
    assert sums == {"on_hand": {"unit": 3, "sign": 1}, "atp": {"stale": 1}}
