"""Decides whether a held lot is kept out of what is available (contract section 4, Lots)."""

from __future__ import annotations

import itertools

import pytest

from operators.rules import lots
from schemas.state import Cell, Item, Moment, Place, Rare

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
    assert lots.physical(told(), "DC1", shelf)[:2] == (70, 7)
    assert lots.physical(told(), "DC1", place(cell(10, 1)))[:2] == (10, 1)


def test_all_of_a_held_lot_is_quarantined_and_no_more_than_that() -> None:
    shelf = place(cell(10, 1), L1=cell(20, 2), L2=cell(40, 4))
    item = told(("DC1", MONDAY, True))
    assert lots.physical(item, "DC1", shelf)[:2] == (70, 1 + 20 + 4)
    assert lots.physical(item, "DC2", shelf)[:2] == (70, 7)


def test_a_released_lot_has_its_own_quarantine_back() -> None:
    shelf = place(cell(0), L1=cell(20, 2))
    assert lots.physical(told(("DC1", MONDAY, True), ("DC1", TUESDAY, False)), "DC1", shelf)[:2] == (20, 2)


def test_a_held_lots_debt_is_its_quarantine_too_so_that_it_adds_nothing() -> None:
    on_hand, quarantined, least = lots.physical(told(("", MONDAY, True)), "DC1", place(cell(5), L1=cell(-3, 1)))
    assert (on_hand - quarantined, least) == (5, -3)


# The day up to which a lot may be sold


def dated(*words: tuple[int, int | None], held: bool = False) -> Item:
    """An item of whose lot L1 the last day was said: (when, day or None)."""
    item = told(("", MONDAY, True)) if held else told()
    item.rare = Rare()
    for at, day in words:
        lots.date(item.rare, "L1", (at, f"e{at}", "qa"), day)
    return item


def at_dc1(item: Item, shelf: Place) -> lots.Dated:
    item.places["DC1"] = shelf
    found = lots.dated(item)
    assert set(found) <= {"DC1"}
    return found.get("DC1", [])


@pytest.mark.parametrize(
    ("words", "day"),
    [(((MONDAY, 5), (TUESDAY, 9)), 9), (((MONDAY, 5), (TUESDAY, None)), None), (((MONDAY, None), (TUESDAY, 5)), 5)],
)
def test_the_newest_word_on_a_lots_date_stands(words: tuple[tuple[int, int | None], ...], day: int | None) -> None:
    for order in itertools.permutations(words):
        item = dated(*order)
        assert item.rare is not None and item.rare.best_before["L1"][1] == day


def test_of_a_dated_lot_what_is_not_quarantined_has_its_day() -> None:
    shelf = place(cell(10, 1), L1=cell(20, 2), L2=cell(40, 4))
    assert at_dc1(dated((MONDAY, 5)), shelf) == [(5, 18)]
    assert at_dc1(dated((MONDAY, None)), shelf) == []
    assert at_dc1(told(), shelf) == []


@pytest.mark.parametrize("first", [{"L1": cell(20)}, {}, {"L1": cell(0)}])
def test_a_lot_without_a_day_or_goods_hides_no_other(first: dict[str, Cell]) -> None:
    item = dated((MONDAY, None if first and first["L1"].on_hand else 5))
    assert item.rare is not None
    lots.date(item.rare, "L2", (MONDAY, "e", "qa"), 7)
    assert at_dc1(item, place(cell(1), **first, L2=cell(3))) == [(7, 3)]


@pytest.mark.parametrize("there", [cell(0), cell(2, 2), cell(2, 3), cell(-1)])
def test_a_dated_lot_of_which_nothing_may_be_sold_has_none(there: Cell) -> None:
    assert at_dc1(dated((MONDAY, 5)), place(cell(10), L1=there)) == []


def test_a_held_lot_is_kept_out_already() -> None:
    assert at_dc1(dated((MONDAY, 5), held=True), place(cell(0), L1=cell(5))) == []


@pytest.mark.parametrize(
    ("day", "min_days_left", "units"), [(5, 0, 0), (6, 0, 7), (8, 0, 7), (9, 0, 10), (3, 2, 0), (4, 2, 7), (6, 3, 10)]
)
def test_a_lot_is_past_its_day_on_the_day_after_or_as_many_days_before_as_a_channel_wants(
    day: int, min_days_left: int, units: int
) -> None:
    assert lots.past([(5, 7), (8, 3)], day, min_days_left) == units
