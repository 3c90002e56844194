"""Decides whether each unit counts once: late, ahead of its time, repeated or contradicted (contract section 3)."""

from __future__ import annotations

import pytest

from operators.ids import RememberedIds
from operators.rules import admission
from operators.rules.admission import CONFLICT, DUPLICATE, FOREVER, NEW, Windows

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOON = 1_795_435_200_000_000
WINDOW, SKEW = DAY, 5 * MINUTE
CLOCK, SAYS_TEN, SAYS_NINE = 1001, 10, 9


# The window


def test_a_source_has_its_own_window_or_the_common_one() -> None:
    windows = Windows(DAY, {"SLOW-CARRIER": 3 * DAY, "HASTY-TILL": HOUR})
    assert [windows.of(source) for source in ("SLOW-CARRIER", "HASTY-TILL", "WMS")] == [3 * DAY, HOUR, DAY]


def test_a_window_of_nothing_is_a_window() -> None:
    assert Windows(DAY, {"HASTY-TILL": 0}).of("HASTY-TILL") == 0


def test_without_windows_of_their_own_all_sources_have_the_common_one() -> None:
    assert Windows(DAY, {}).of("WMS") == DAY


@pytest.mark.parametrize(
    ("by_source", "widest"), [({}, DAY), ({"TILL": HOUR}, DAY), ({"TILL": HOUR, "CARRIER": 3 * DAY}, 3 * DAY)]
)
def test_the_widest_window_is_that_of_the_slowest_source(by_source: dict[str, int], widest: int) -> None:
    assert Windows(DAY, by_source).widest() == widest


# Late, in the future


@pytest.mark.parametrize(("age", "is_late"), [(WINDOW - 1, False), (WINDOW, False), (WINDOW + 1, True)])
def test_late_is_older_than_the_window_and_not_as_old(age: int, is_late: bool) -> None:
    assert admission.is_late(NOON - age, NOON, WINDOW) is is_late


@pytest.mark.parametrize(("ahead", "is_ahead"), [(SKEW - 1, False), (SKEW, False), (SKEW + 1, True)])
def test_in_the_future_is_further_ahead_than_clocks_may_differ(ahead: int, is_ahead: bool) -> None:
    assert admission.is_in_the_future(NOON + ahead, NOON, SKEW) is is_ahead


@pytest.mark.parametrize("at", [-WINDOW - 1, -WINDOW, -1, 0, 1, SKEW, SKEW + 1])
def test_in_time_is_neither_late_nor_in_the_future(at: int) -> None:
    is_wrong = admission.is_late(NOON + at, NOON, WINDOW) or admission.is_in_the_future(NOON + at, NOON, SKEW)
    assert admission.is_in_time(NOON + at, NOON, WINDOW, SKEW) is not is_wrong


def test_what_is_recorded_at_the_earliest_moment_is_accepted_and_a_moment_before_it_is_not() -> None:
    earliest = admission.first_recorded(NOON, SKEW)
    assert not admission.is_in_the_future(NOON, earliest, SKEW)
    assert admission.is_in_the_future(NOON, earliest - 1, SKEW)


def test_a_late_count_is_never_accepted_and_any_other_event_may_be() -> None:
    assert not admission.may_be_accepted_late("stock_counted")
    assert admission.may_be_accepted_late("stock_received") and admission.may_be_accepted_late("order_placed")


# Repeats


def test_a_repeat_is_a_duplicate_and_with_other_content_a_conflict() -> None:
    assert admission.repeat_of(SAYS_TEN, SAYS_TEN) == DUPLICATE
    assert admission.repeat_of(SAYS_TEN, SAYS_NINE) == CONFLICT
    assert len({NEW, DUPLICATE, CONFLICT}) == 3


@pytest.mark.parametrize("accepts_late", [False, True])
def test_an_id_is_known_until_its_repeats_are_late(accepts_late: bool) -> None:
    until = admission.known_until(NOON, NOON + HOUR, WINDOW, accepts_late)
    assert not admission.is_late(NOON, until, WINDOW)
    assert admission.is_late(NOON, until + 1, WINDOW)


@pytest.mark.parametrize(("age", "until"), [(WINDOW, NOON + WINDOW), (WINDOW + 1, FOREVER)])
def test_the_id_of_what_was_accepted_late_is_known_for_ever(age: int, until: int) -> None:
    assert admission.known_until(NOON, NOON + age, WINDOW, accepts_late=True) == until


@pytest.mark.parametrize("minutes", range(0, 2 * 24 * 60, 7))
def test_whenever_a_unit_is_repeated_it_is_known_or_late(minutes: int) -> None:
    again = NOON + minutes * MINUTE
    ids = RememberedIds()
    ids.remember(CLOCK, SAYS_TEN, admission.known_until(NOON, NOON, WINDOW, accepts_late=False))
    ids.forget(again)  # all that the slowest partition allows at that moment
    assert ids.recognize(CLOCK, SAYS_TEN) == DUPLICATE or admission.is_late(NOON, again, WINDOW)
