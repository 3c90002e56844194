"""Decides whether a change travels as urgently as the harm it prevents (contract section 6)."""

from __future__ import annotations

import pytest

from operators.rules.lanes import BULK, CRITICAL, HIGH, LANES, NORMAL, Days, lane


def judged(before: int, after: int, threshold: int = 0, unhurried: bool = False) -> str:
    return LANES[lane((before, None), after, None, threshold, unhurried)]


def by_day(before: Days, after: Days, unhurried: bool = False) -> str:
    """Day 0 is the same before and after; only the days behind it differ."""
    return LANES[lane((5, before), 5, after, 0, unhurried)]


def test_the_lanes_are_numbered_from_the_most_urgent() -> None:
    assert (CRITICAL, HIGH, NORMAL, BULK) == (0, 1, 2, 3)
    assert LANES == ("critical", "high", "normal", "bulk")


@pytest.mark.parametrize(
    ("before", "after", "threshold", "expected"),
    [
        (1, 0, 0, "critical"),
        (9, 0, 5, "critical"),
        (4, 0, 5, "critical"),  # already low, and now nothing
        (6, 4, 5, "critical"),
        (6, 5, 5, "critical"),
        (7, 6, 5, "high"),
        (5, 4, 5, "high"),  # was at the threshold already
        (4, 3, 5, "high"),
        (9, 8, 0, "high"),
    ],
)
def test_a_fall_to_nothing_or_to_low_stock_is_critical_and_any_other_is_high(
    before: int, after: int, threshold: int, expected: str
) -> None:
    assert judged(before, after, threshold) == expected
    assert judged(before, after, threshold, unhurried=True) == expected, "a fall is urgent whatever caused it"


@pytest.mark.parametrize(("before", "expected"), [(0, "high"), (1, "normal"), (2, "normal")])
def test_a_rise_from_nothing_is_high_and_any_other_is_normal(before: int, expected: str) -> None:
    assert judged(before, 3) == expected
    assert judged(before, 3, threshold=5) == expected
    assert judged(before, 3, unhurried=True) == "bulk"


@pytest.mark.parametrize("atp", [0, 1, 100])
def test_the_first_value_is_normal_and_bulk_where_nobody_hurries(atp: int) -> None:
    assert lane(None, atp, None, 5, False) == NORMAL
    assert lane(None, atp, None, 5, True) == BULK


def test_if_only_by_day_changes_a_fall_on_any_day_is_high_and_else_it_is_normal() -> None:
    assert by_day((5, 9, 9), (5, 9, 10)) == "normal"
    assert by_day((5, 9, 9), (5, 9, 8)) == "high"
    assert by_day((5, 9, 9), (5, 8, 90)) == "high", "a rise on another day makes no fall good"
    assert by_day((5, 9, 9), (5, 8, 90), unhurried=True) == "high"


def test_a_horizon_that_comes_or_goes_is_no_fall() -> None:
    assert by_day(None, (5, 0, 0)) == "normal"
    assert by_day((5, 9), None) == "normal"


def test_a_horizon_of_another_length_is_compared_day_by_day_as_far_as_both_reach() -> None:
    assert by_day((5, 9, 9), (5, 9)) == "normal"
    assert by_day((5, 9), (5, 8, 8)) == "high"


def test_day_0_decides_before_any_other_day() -> None:
    assert LANES[lane((5, (5, 9)), 6, (6, 0), 0, False)] == "normal"
    assert LANES[lane((5, (5, 9)), 4, (4, 90), 0, False)] == "high"
