"""Decides whether a cell knows what was in it at a moment before its counts (contract section 9, ours)."""

from __future__ import annotations

import itertools
import random

import pytest

from operators.rules import cells, lots, past
from operators.rules.past import NEVER
from schemas.state import Cell, Item, Rare

SIX, SEVEN, EIGHT, NINE, TEN = 6, 7, 8, 9, 10


def counted(cell: Cell, at: int, quantity: int, quarantined: int | None = None, horizon: int = NEVER) -> None:
    cells.count(cell, (at, f"c{at}", "wms"), quantity, quarantined, horizon)


def test_what_happened_later_is_left_out_and_what_happened_at_the_moment_is_not() -> None:
    cell = Cell()
    for at, change in ((SIX, 10), (EIGHT, -3)):
        cells.move(cell, at, change, change, NEVER)
    assert [past.on_hand(cell, at, NEVER) for at in (5, SIX, SEVEN, EIGHT)] == [0, 10, 10, 7]
    assert [past.quarantined(cell, at, NEVER) for at in (5, SIX, SEVEN, EIGHT)] == [0, 10, 10, 7]


def test_a_later_count_hides_nothing_of_before() -> None:
    cell = Cell()
    cells.move(cell, SIX, 10, 0, NEVER)
    counted(cell, EIGHT, 100, 4)
    cells.move(cell, TEN, -1, 0, NEVER)
    assert [past.on_hand(cell, at, NEVER) for at in (SIX, SEVEN, EIGHT, NINE, TEN)] == [10, 10, 100, 100, 99]
    assert [past.quarantined(cell, at, NEVER) for at in (SEVEN, EIGHT)] == [0, 4]


def test_in_any_order_the_same_was_there() -> None:
    steps = [("move", SIX, 10), ("count", SEVEN, 50), ("move", EIGHT, -5), ("count", NINE, 7), ("move", TEN, 1)]
    moments = (5, SIX, SEVEN, EIGHT, NINE, TEN)
    for order in itertools.permutations(steps):
        cell = Cell()
        for kind, at, quantity in order:
            if kind == "move":
                cells.move(cell, at, quantity, 0, NEVER)
            else:
                counted(cell, at, quantity)
        assert [past.on_hand(cell, at, NEVER) for at in moments] == [0, 10, 50, 45, 7, 8], order


def test_before_the_journals_reach_nothing_is_known() -> None:
    cell = Cell()
    cells.move(cell, SIX, 10, 0, SEVEN)
    cells.move(cell, EIGHT, 10, 0, SEVEN)
    assert past.on_hand(cell, SIX, SEVEN) is None
    assert past.on_hand(cell, SEVEN, SEVEN) == 10


@pytest.mark.parametrize("seed", range(20))
def test_many_moments_at_once_are_each_what_it_is_alone(seed: int) -> None:
    dice, cell = random.Random(seed), Cell()
    horizon = dice.choice([NEVER, 10])
    for _ in range(40):
        if dice.random() < 0.15:
            counted(cell, dice.randrange(40), dice.randrange(100), horizon=horizon)
        else:
            cells.move(cell, dice.randrange(40), dice.randrange(-9, 10), 0, horizon)
    moments = list(range(-1, 45))
    assert past.on_hands(cell, moments, horizon) == [past.on_hand(cell, at, horizon) for at in moments]


def test_of_a_long_journal_only_what_came_since_is_summed_and_a_pruned_one_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(past, "LONG", 4)
    monkeypatch.setattr(past, "SUMMED_MAX", 3)
    dice, cell = random.Random(1), Cell()
    told: list[tuple[int, int]] = []
    for number in range(300):
        at, change = dice.randrange(100), dice.randrange(-9, 10)
        told.append((at, change))
        cells.move(cell, at, change, 0, NEVER)
        if number % 100 == 99:
            cells.forget_moves(cell, number // 10)  # another journal: what was summed of the old one counts no more
        for moment in dice.sample(range(30, 100), 2):
            assert past.on_hand(cell, moment, NEVER) == sum(c for t, c in told if t <= moment)


def test_what_is_put_aside_is_forgotten_behind_the_horizon_and_not_before() -> None:
    cell = Cell()
    cells.move(cell, SIX, 10, 0, NEVER)
    cells.move(cell, SEVEN, 5, 0, NEVER)
    counted(cell, NINE, 1)
    assert not past.forget(cell, 5) or past.on_hand(cell, SEVEN, 5) == 15
    assert past.forget(cell, SIX)
    assert past.on_hand(cell, SIX, SIX) == 10
    assert past.on_hand(cell, SEVEN, SIX) == 15
    assert past.forget(cell, NINE)
    assert past.on_hand(cell, EIGHT, NINE) is None
    assert past.on_hand(cell, NINE, NINE) == 1


def test_a_change_that_comes_after_its_count_is_put_aside_as_well() -> None:
    cell = Cell()
    counted(cell, NINE, 5)
    cells.move(cell, SEVEN, 3, 2, NEVER)
    assert (cell.on_hand, past.on_hand(cell, EIGHT, NEVER)) == (5, 3)


@pytest.mark.parametrize(("moment", "held"), [(5, False), (SIX, True), (SEVEN, False), (EIGHT, True), (TEN, True)])
def test_a_lot_was_held_as_the_newest_word_until_then_said(moment: int, held: bool) -> None:
    words = [(SIX, True), (SEVEN, False), (EIGHT, True)]
    for order in itertools.permutations(words):
        item = Item("SERUM")
        item.rare = Rare()
        for at, holds in order:
            word = (at, f"e{at}", "qa")
            if ("L1", "") in item.holds:
                lots.keep_word(item.rare, item, "L1", "", word, holds)
            lots.hold(item, "L1", "", word, holds)
        assert lots.was_held(item, "L1", "DC1", moment) is held


def test_words_that_no_moment_can_ask_for_are_forgotten() -> None:
    item, rare = Item("SERUM"), Rare()
    item.rare = rare
    for at, holds in ((SIX, True), (SEVEN, False), (EIGHT, True), (NINE, False)):
        word = (at, f"e{at}", "qa")
        if ("L1", "") in item.holds:
            lots.keep_word(rare, item, "L1", "", word, holds)
        lots.hold(item, "L1", "", word, holds)
    assert lots.forget_words(rare, item, SEVEN) == [("L1", "")]
    assert [word[0] for word, _ in rare.lot_words["L1", ""]] == [SEVEN, EIGHT]
    assert lots.was_held(item, "L1", "DC1", SEVEN) is False
    assert lots.forget_words(rare, item, EIGHT) == [("L1", "")]
    assert [word[0] for word, _ in rare.lot_words["L1", ""]] == [EIGHT]
    assert lots.was_held(item, "L1", "DC1", EIGHT) is True  # in force until nine, however old it is
    assert lots.forget_words(rare, item, NINE) == [("L1", "")]
    assert rare.lot_words == {}
