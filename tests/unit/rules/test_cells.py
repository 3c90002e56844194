"""Decides whether a cell keeps what counts and movements say, whatever came first (contract section 4, Counts)."""

from __future__ import annotations

import itertools
from array import array

import pytest

from operators.rules import cells
from operators.rules.cells import PRUNE_FROM
from schemas.state import Cell

LONG_AGO = -(1 << 62)
#: hours of a day in the warehouse; what is older than the horizon no count can precede
SIX, SEVEN, EIGHT, NINE, TEN = 6, 7, 8, 9, 10


def word(at: int, event_id: str = "count", source: str = "wms") -> tuple[int, str, str]:
    return (at, event_id, source)


def moved(cell: Cell, at: int, quantity: int, quarantined: int = 0, horizon: int = LONG_AGO) -> None:
    cells.move(cell, at, quantity, quarantined, horizon)


def counted(cell: Cell, at: int, quantity: int, quarantined: int | None = None, event_id: str = "count") -> None:
    cells.count(cell, word(at, event_id), quantity, quarantined, LONG_AGO)


def journal(moves: array[int] | None) -> list[tuple[int, int]]:
    flat = list(moves or ())
    return list(zip(flat[::2], flat[1::2], strict=True))


# Movements


def test_without_a_count_on_hand_is_all_changes() -> None:
    cell = Cell()
    moved(cell, EIGHT, 10)
    moved(cell, SIX, -3)
    assert (cell.on_hand, cell.quarantined) == (7, 0)


def test_a_quarantined_receipt_is_on_hand_and_quarantined() -> None:
    cell = Cell()
    moved(cell, EIGHT, 10, 10)
    assert (cell.on_hand, cell.quarantined) == (10, 10)


def test_a_change_of_status_alone_leaves_on_hand_as_it_is() -> None:
    cell = Cell()
    moved(cell, SEVEN, 10)
    moved(cell, EIGHT, 0, 4)
    assert (cell.on_hand, cell.quarantined) == (10, 4)
    assert journal(cell.moves) == [(SEVEN, 10)]
    assert journal(cell.quarantine_moves) == [(EIGHT, 4)]


def test_on_hand_may_go_below_zero_while_events_are_missing() -> None:
    cell = Cell()
    moved(cell, EIGHT, -4, -2)
    assert (cell.on_hand, cell.quarantined) == (-4, -2)


@pytest.mark.parametrize(("at", "on_hand"), [(EIGHT - 1, 20), (EIGHT, 20), (EIGHT + 1, 25)])
def test_a_movement_counts_only_if_it_is_later_than_the_count(at: int, on_hand: int) -> None:
    before, after = Cell(), Cell()
    moved(before, at, 5)
    counted(before, EIGHT, 20)
    counted(after, EIGHT, 20)
    moved(after, at, 5)
    assert before.on_hand == after.on_hand == on_hand


@pytest.mark.parametrize(("at", "quarantined"), [(EIGHT - 1, 2), (EIGHT, 2), (EIGHT + 1, 5)])
def test_a_quarantined_movement_counts_only_if_it_is_later_than_the_count(at: int, quarantined: int) -> None:
    before, after = Cell(), Cell()
    moved(before, at, 0, 3)
    counted(before, EIGHT, 20, 2)
    counted(after, EIGHT, 20, 2)
    moved(after, at, 0, 3)
    assert before.quarantined == after.quarantined == quarantined


# Counts


def test_a_count_replaces_what_was_there_before_it() -> None:
    cell = Cell()
    moved(cell, SIX, 50)
    counted(cell, EIGHT, 7)
    assert cell.on_hand == 7


def test_a_count_of_zero_is_a_count() -> None:
    cell = Cell()
    moved(cell, SIX, 50, 50)
    counted(cell, EIGHT, 0, 0)
    assert (cell.on_hand, cell.quarantined) == (0, 0)


def test_the_newest_count_stands_and_not_the_last_to_arrive() -> None:
    cell = Cell()
    counted(cell, NINE, 7, 1)
    counted(cell, EIGHT, 90, 80)
    assert (cell.on_hand, cell.quarantined) == (7, 1)


@pytest.mark.parametrize(
    ("second", "stands"),
    [
        ((EIGHT, "a", "wms"), 1),
        ((EIGHT, "b", "erp"), 1),
        ((EIGHT, "b", "oms"), 1),  # the same word again
        ((EIGHT, "b", "wms"), 2),
        ((EIGHT, "c", "erp"), 2),
        ((NINE, "a", "erp"), 2),
    ],
)
def test_counts_of_one_moment_are_ordered_by_event_id_then_source(second: tuple[int, str, str], stands: int) -> None:
    cell = Cell()
    cells.count(cell, (EIGHT, "b", "oms"), 1, 1, LONG_AGO)
    cells.count(cell, second, 2, 2, LONG_AGO)
    assert (cell.on_hand, cell.quarantined) == (stands, stands)


def test_a_count_that_says_nothing_of_quarantine_leaves_it_as_it_was() -> None:
    cell = Cell()
    moved(cell, SIX, 10, 10)
    counted(cell, EIGHT, 4)
    assert (cell.on_hand, cell.quarantined) == (4, 10)


def test_quarantined_comes_from_the_newest_count_that_gives_it() -> None:
    cell = Cell()
    counted(cell, NINE, 30)
    moved(cell, EIGHT, 0, 2)
    counted(cell, SEVEN, 90, 5)
    assert (cell.on_hand, cell.quarantined) == (30, 7)
    moved(cell, SIX, 0, 100)
    assert cell.quarantined == 7


def test_a_late_count_adds_up_the_movements_after_it() -> None:
    cell = Cell()
    for at, quantity, quarantined in ((SIX, 100, 50), (EIGHT, -3, 2), (NINE, 10, 1)):
        moved(cell, at, quantity, quarantined)
    counted(cell, SEVEN, 20, 4)
    assert (cell.on_hand, cell.quarantined) == (20 - 3 + 10, 4 + 2 + 1)


def test_any_order_of_counts_and_movements_ends_the_same() -> None:
    def history(cell: Cell, order: tuple[int, ...]) -> tuple[int, int]:
        says = (
            lambda: moved(cell, SIX, 5, 5),
            lambda: moved(cell, EIGHT, 7),
            lambda: moved(cell, NINE, 0, 2),
            lambda: counted(cell, SEVEN, 40, 3, "first"),
            lambda: counted(cell, EIGHT, 20, None, "second"),
        )
        for position in order:
            says[position]()
        return cell.on_hand, cell.quarantined

    ends = {history(Cell(), order) for order in itertools.permutations(range(5))}
    assert ends == {(20, 5)}


# The journal


def test_a_movement_that_no_count_can_precede_is_not_journaled() -> None:
    for at, kept in ((EIGHT - 1, []), (EIGHT, []), (EIGHT + 1, [(EIGHT + 1, 5)])):
        cell = Cell()
        moved(cell, at, 5, 5, horizon=EIGHT)
        assert (cell.on_hand, cell.quarantined) == (5, 5)
        assert journal(cell.moves) == journal(cell.quarantine_moves) == kept


def test_a_movement_inside_the_count_is_not_journaled() -> None:
    cell = Cell()
    counted(cell, EIGHT, 20, 2)
    moved(cell, EIGHT, 5, 5)
    assert cell.moves is None and cell.quarantine_moves is None


def test_a_count_clears_the_journal_of_what_it_includes() -> None:
    cell = Cell()
    for at in (SIX, SEVEN, EIGHT):
        moved(cell, at, at, at)
    counted(cell, SEVEN, 0, 0)
    assert journal(cell.moves) == journal(cell.quarantine_moves) == [(EIGHT, EIGHT)]
    counted(cell, EIGHT, 0, 0)
    assert cell.moves is None and cell.quarantine_moves is None


def test_forgetting_keeps_the_quantities_and_drops_what_is_at_or_before_the_horizon() -> None:
    cell = Cell()
    for at in (SIX, SEVEN, EIGHT):
        moved(cell, at, at, 1)
    assert cells.forget_moves(cell, SEVEN)
    assert journal(cell.moves) == [(EIGHT, EIGHT)]
    assert journal(cell.quarantine_moves) == [(EIGHT, 1)]
    assert (cell.on_hand, cell.quarantined) == (SIX + SEVEN + EIGHT, 3)


def test_forgetting_says_whether_anything_went() -> None:
    cell = Cell()
    assert not cells.forget_moves(cell, TEN)
    moved(cell, EIGHT, 1)
    moved(cell, EIGHT, 0, 1)
    assert not cells.forget_moves(cell, SEVEN)
    assert cells.forget_moves(cell, EIGHT)
    assert not cells.forget_moves(cell, TEN)
    moved(cell, NINE, 0, 1)
    assert cells.forget_moves(cell, TEN), "a quarantine journal alone is a journal too"


def test_a_count_at_the_horizon_still_finds_every_movement_after_it() -> None:
    whole, pruned = Cell(), Cell()
    for cell in (whole, pruned):
        for at in (SIX, SEVEN, EIGHT, NINE):
            moved(cell, at, at, 1)
    cells.forget_moves(pruned, SEVEN)
    for cell in (whole, pruned):
        counted(cell, SEVEN, 100, 10)
    assert (whole.on_hand, whole.quarantined) == (pruned.on_hand, pruned.quarantined) == (117, 12)


@pytest.mark.parametrize("is_quarantine", [False, True])
def test_a_journal_is_pruned_at_each_doubling_and_not_in_between(is_quarantine: bool) -> None:
    cell = Cell()

    def length() -> int:
        return len((cell.quarantine_moves if is_quarantine else cell.moves) or ())

    def add(at: int, horizon: int) -> None:
        moved(cell, at, 0 if is_quarantine else 1, 1 if is_quarantine else 0, horizon)

    pairs = PRUNE_FROM // 2
    for at in range(pairs - 1):
        add(at, LONG_AGO)
    assert length() == PRUNE_FROM - 2
    add(pairs, 9)  # the journal is as long as the first doubling now: entries 0..9 can go
    assert length() == PRUNE_FROM - 20
    while length() < PRUNE_FROM - 2:
        add(pairs, LONG_AGO)
    add(pairs, LONG_AGO)
    assert length() == PRUNE_FROM, "at the doubling nothing is old enough"
    add(pairs, pairs - 1)
    assert length() == PRUNE_FROM + 2, "between doublings nothing is looked through"


@pytest.mark.parametrize("is_quarantine", [False, True])
def test_a_journal_that_was_rewritten_is_recorded_anew(is_quarantine: bool) -> None:
    cell = Cell()
    for at in (SEVEN, EIGHT):
        moved(cell, at, 0 if is_quarantine else 1, 1 if is_quarantine else 0)
    cell.recorded = cell.quarantine_recorded = 4

    def recorded() -> int:
        return cell.quarantine_recorded if is_quarantine else cell.recorded

    cells.forget_moves(cell, SIX)
    assert recorded() == 4, "nothing went: what the last snapshot holds still holds"
    cells.forget_moves(cell, SEVEN)
    assert recorded() == -1
