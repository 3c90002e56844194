"""Decides whether rows of statements wait as ranges, each until its own time, and none for another's."""

from __future__ import annotations

from flows.sources.waiting import SECOND, Range, Waiting, bucket_of

PART = "inventory.statements/0"


def test_rows_that_are_due_within_a_second_are_one_range() -> None:
    waiting = Waiting([])
    for offset in range(1_000):
        waiting.add(PART, offset, 10 * SECOND - offset, 5)
    [one] = waiting.ranges()
    assert (one.first, one.last, one.rows, one.due, one.clock) == (0, 999, 1_000, 10 * SECOND, 5)


def test_a_source_that_settles_long_keeps_nobody_waiting() -> None:
    waiting = Waiting([])
    for offset in range(10):
        waiting.add(PART, offset, (3 if offset % 2 else 9_000) * SECOND, 0)
    first = waiting.first_due(4 * SECOND)
    assert first is not None and (first.first, first.last, first.rows) == (1, 9, 5)
    waiting.remove(first)
    assert waiting.first_due(4 * SECOND) is None
    assert waiting and not waiting.is_due(0, 8_999 * SECOND)
    assert waiting.is_due(0, 9_000 * SECOND)


def test_what_waits_for_a_code_stands_alone() -> None:
    waiting = Waiting([])
    waiting.add_alone(PART, 4, 2 * SECOND, 1)
    waiting.add(PART, 5, 2 * SECOND, 1)
    assert [one.is_grace for one in waiting.ranges()] == [False, True]
    again = Waiting(waiting.ranges())
    found = again.first_due(2 * SECOND)
    assert found is not None and found.is_grace
    again.remove(found)
    assert [one.first for one in again.ranges()] == [5]


def test_a_moment_is_rounded_up_to_its_second() -> None:
    assert [bucket_of(at) for at in (0, 1, SECOND, SECOND + 1)] == [0, SECOND, SECOND, 2 * SECOND]


def test_a_range_is_kept_by_these_fields() -> None:
    assert Range.__struct_fields__ == ("part", "first", "last", "due", "clock", "rows", "is_grace")
