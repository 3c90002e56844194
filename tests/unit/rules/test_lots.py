"""Decides whether a held lot is kept out of what is available (contract section 4, Lots)."""

from __future__ import annotations

import itertools

import pytest

from operators.rules import lots
from schemas.state import Cell, Item, Moment, Place

MONDAY, TUESDAY, WEDNESDAY = 1, 2, 3


def told(*words: tuple[str, int, bool]) -> Item:
    """An item of whose lot L1 something was said: (location or "", when, held)."""
    item = Item("SERUM")
    for location, at, held in words:
        lots.hold(item, "L1", location, (at, f"e{at}", "qa"), held)
    return item


def cell(on_hand: int, quarantined: int = 0) -> Cell:
    found = Cell()
    found.on_hand, found.quarantined = on_hand, quarantined
    return found


def place(plain: Cell, **by_lot: Cell) -> Place:
    found = Place()
    found.on_hand, found.quarantined = plain.on_hand, plain.quarantined
    found.lots = dict(by_lot) or None
    return found


def test_a_lot_nobody_spoke_of_is_not_held() -> None:
    assert not lots.is_held(told(), "L1", "DC1")


def test_a_word_for_a_location_holds_there_alone() -> None:
    item = told(("DC1", MONDAY, True))
    assert lots.is_held(item, "L1", "DC1")
    assert not lots.is_held(item, "L1", "DC2")
    assert not lots.is_held(item, "L2", "DC1")


def test_a_word_without_a_location_holds_everywhere() -> None:
    item = told(("", MONDAY, True))
    assert lots.is_held(item, "L1", "DC1") and lots.is_held(item, "L1", "DC2")
    assert not lots.is_held(item, "L2", "DC1")


@pytest.mark.parametrize(
    ("words", "held_at_dc1", "held_at_dc2"),
    [
        ((("", MONDAY, True), ("DC1", TUESDAY, False)), False, True),
        ((("", WEDNESDAY, True), ("DC1", TUESDAY, False)), True, True),
        ((("", MONDAY, False), ("DC1", TUESDAY, True)), True, False),
        ((("", WEDNESDAY, False), ("DC1", TUESDAY, True)), False, False),
        ((("DC1", MONDAY, True), ("DC1", TUESDAY, False)), False, False),
        ((("", MONDAY, True), ("", TUESDAY, False)), False, False),
    ],
)
def test_the_newest_word_for_here_or_for_everywhere_says_whether_it_is_held(
    words: tuple[tuple[str, int, bool], ...], held_at_dc1: bool, held_at_dc2: bool
) -> None:
    for order in itertools.permutations(words):
        item = told(*order)
        assert (lots.is_held(item, "L1", "DC1"), lots.is_held(item, "L1", "DC2")) == (held_at_dc1, held_at_dc2)


@pytest.mark.parametrize(
    ("second", "held"),
    [
        ((TUESDAY, "a", "wms"), True),
        ((TUESDAY, "b", "erp"), True),
        ((TUESDAY, "b", "oms"), True),
        ((TUESDAY, "b", "wms"), False),
        ((TUESDAY, "c", "erp"), False),
    ],
)
@pytest.mark.parametrize(("first_at", "second_at"), [("DC1", "DC1"), ("", ""), ("DC1", ""), ("", "DC1")])
def test_words_of_one_moment_are_ordered_by_event_id_then_source(
    second: Moment, held: bool, first_at: str, second_at: str
) -> None:
    if second == (TUESDAY, "b", "oms") and first_at != second_at:
        return  # one unit says one thing
    item = Item("SERUM")
    lots.hold(item, "L1", first_at, (TUESDAY, "b", "oms"), True)
    lots.hold(item, "L1", second_at, second, False)
    assert lots.is_held(item, "L1", "DC1") is held


def test_a_location_has_what_its_cells_have() -> None:
    shelf = place(cell(10, 1), L1=cell(20, 2), L2=cell(40, 4))
    assert lots.physical(told(), "DC1", shelf) == (70, 7)
    assert lots.physical(told(), "DC1", place(cell(10, 1))) == (10, 1)


def test_all_of_a_held_lot_is_quarantined_and_no_more_than_that() -> None:
    shelf = place(cell(10, 1), L1=cell(20, 2), L2=cell(40, 4))
    item = told(("DC1", MONDAY, True))
    assert lots.physical(item, "DC1", shelf) == (70, 1 + 20 + 4)
    assert lots.physical(item, "DC2", shelf) == (70, 7)


def test_a_released_lot_has_its_own_quarantine_back() -> None:
    shelf = place(cell(0), L1=cell(20, 2))
    assert lots.physical(told(("DC1", MONDAY, True), ("DC1", TUESDAY, False)), "DC1", shelf) == (20, 2)


def test_a_held_lots_debt_is_its_quarantine_too_so_that_it_adds_nothing() -> None:
    on_hand, quarantined = lots.physical(told(("", MONDAY, True)), "DC1", place(cell(5), L1=cell(-3, 1)))
    assert on_hand - quarantined == 5
