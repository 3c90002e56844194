"""Decides whether what comes back of an order line counts as the contract says (section 4, Order line): reversals,
partial cancellations, reopenings, and what may stay reserved."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from random import Random

import pytest

from operators.rules import lines
from schemas.state import Handling, Line, LineAt

SIX, SEVEN, EIGHT, NINE, TEN = 6, 7, 8, 9, 10


def line_at(*handled: tuple[str, int, str, int], deducts_at: str = "first", allocated: int = 0) -> LineAt:
    """Give a line at a location; `handled`: ("pick" or "ship", moment, lot, quantity below zero for a reversal)."""
    at = LineAt(deducts_at)
    at.allocated = allocated
    for number, (kind, moment, lot, quantity) in enumerate(handled):
        lines.handle(at, (moment, f"e{number:03}", lot, quantity), kind == "pick")
    return at


def line(demand: int = 0, **places: LineAt) -> Line:
    found = Line()
    found.placed = (SIX, "e", "oms")
    found.demand = demand
    found.at = places
    return found


def place(found: Line, at: int, demand: int, event_id: str = "e") -> None:
    lines.place(found, (at, event_id, "oms"), demand, "", "web", None, None, at)


def soft(found: Line) -> int:
    return lines.soft_allocated(found, lines.totals(found)[1])


def is_above_demand(found: Line) -> bool:
    return lines.claims_above_demand(found, *lines.totals(found))


def hard(found: Line, location: str) -> int:
    return lines.hard_reserved(found.at[location], lines.reservable(found, lines.totals(found)[0]))


# Reversals of picks and shipments


def test_a_reversed_pick_is_deducted_no_longer() -> None:
    at = line_at(("pick", SEVEN, "", 5), ("pick", EIGHT, "", -2))
    assert lines.deducted(at) == 3
    assert lines.deductions(at) == {("", SEVEN): 5, ("", EIGHT): -2}


def test_a_reversal_before_what_it_takes_back_ends_where_it_would_after_it() -> None:
    early = line_at(("pick", EIGHT, "", -5), ("pick", SEVEN, "", 5))
    assert (lines.deducted(early), sum(lines.deductions(early).values())) == (0, 0)


def test_of_a_lot_of_which_more_came_back_than_went_0_is_deducted() -> None:
    at = line_at(("pick", SEVEN, "A", -4), ("pick", EIGHT, "B", 3))
    assert (at.picked, lines.deducted(at)) == (3, 3)
    assert lines.deductions(at) == {("B", EIGHT): 3}


def test_what_exceeds_a_lots_picks_waits_for_those_that_come_later() -> None:
    at = line_at(("pick", SEVEN, "", -4), ("pick", EIGHT, "", 3), ("pick", NINE, "", 3))
    assert lines.deductions(at) == {("", NINE): 2}


def test_a_reversed_shipment_is_taken_from_the_last_shipment_of_its_lot_wherever_it_occurred() -> None:
    at = line_at(("ship", SEVEN, "A", 2), ("ship", NINE, "A", 3), ("ship", EIGHT, "B", 1), ("ship", SIX, "A", -3))
    # Of A only the shipment of 7 is left; one pick passes over the first unit shipped, which is A's.
    lines.handle(at, (TEN, "p", "C", 1), True)
    taken = {("A", SEVEN): 0, ("A", NINE): 2, ("B", EIGHT): 1, ("C", TEN): 1, ("A", TEN): -1}
    assert lines.deductions(at) == {step: change for step, change in taken.items() if change}


def test_an_unpick_of_shipped_goods_leaves_the_shipment_deducted() -> None:
    at = line_at(("pick", SEVEN, "", 5), ("ship", EIGHT, "", 5), ("pick", NINE, "", -5))
    assert lines.deducted(at) == 5
    assert sum(lines.deductions(at).values()) == 5


def test_a_voided_shipment_of_picked_goods_leaves_the_pick_deducted() -> None:
    at = line_at(("pick", SEVEN, "", 5), ("ship", EIGHT, "", 5), ("ship", NINE, "", -5))
    assert lines.deductions(at) == {("", SEVEN): 5}


@pytest.mark.parametrize(("deducts_at", "deducted"), [("first", 3), ("pick", 1), ("shipment", 3)])
def test_each_rule_counts_reversals_of_its_own(deducts_at: str, deducted: int) -> None:
    at = line_at(
        ("pick", SEVEN, "", 4),
        ("pick", EIGHT, "", -3),
        ("ship", SEVEN, "", 4),
        ("ship", NINE, "", -1),
        deducts_at=deducts_at,
    )
    assert lines.deducted(at) == deducted
    assert sum(lines.deductions(at).values()) == deducted


def slow_deductions(handled: list[tuple[bool, Handling]], deducts_at: str) -> dict[tuple[str, int], int]:
    """The contract's sentences unit by unit, at each moment anew."""

    def at_time(moment: int) -> dict[str, int]:
        known = [(is_pick, unit) for is_pick, unit in handled if unit[0] <= moment]
        picked: dict[str, int] = defaultdict(int)
        shipped: list[str] = []
        for is_pick, unit in sorted(known, key=lambda one: one[1]):
            if is_pick:
                picked[unit[2]] += unit[3]
            elif unit[3] > 0:
                shipped += [unit[2]] * unit[3]
        for is_pick, unit in known:
            if not is_pick and unit[3] < 0:
                for _ in range(-unit[3]):
                    if unit[2] in shipped:
                        del shipped[len(shipped) - 1 - shipped[::-1].index(unit[2])]
        by_lot: dict[str, int] = defaultdict(int)
        if deducts_at != "shipment":
            for lot, quantity in picked.items():
                by_lot[lot] += max(0, quantity)
        passed = {"first": sum(by_lot.values()), "pick": len(shipped), "shipment": 0}[deducts_at]
        for lot in shipped[passed:]:
            by_lot[lot] += 1
        return by_lot

    steps = {}
    before: dict[str, int] = {}
    for moment in sorted({unit[0] for _, unit in handled}):
        now = at_time(moment)
        for lot in {*now, *before}:
            if now.get(lot, 0) != before.get(lot, 0):
                steps[lot, moment] = now.get(lot, 0) - before.get(lot, 0)
        before = now
    return steps


@pytest.mark.parametrize("seed", range(300))
def test_deductions_are_the_contracts_at_each_moment_and_each_step_says_what_changed(seed: int) -> None:
    dice = Random(seed)
    at = LineAt(dice.choice(("first", "first", "pick", "shipment")))
    known: list[tuple[bool, Handling]] = []
    total: dict[tuple[str, int], int] = defaultdict(int)
    for number in range(dice.randint(1, 12)):
        is_pick = dice.random() < 0.5
        quantity = dice.choice((1, 2, 3, 5)) * dice.choice((1, 1, -1))
        handling = (dice.randint(1, 6), f"e{number:02}", dice.choice(("", "A", "B")), quantity)
        if lines.takes_nothing(at, handling, is_pick):
            lines.handle(at, handling, is_pick)
        elif lines.stands_alone(at, handling, is_pick):
            lines.handle(at, handling, is_pick)
            total[handling[2], handling[0]] += quantity
        else:
            for lot, moment, change in lines.take(at, handling, is_pick):
                total[lot, moment] += change
        known.append((is_pick, handling))
        right = slow_deductions(known, at.deducts_at)
        assert {step: change for step, change in total.items() if change} == right, known
        assert lines.deductions(at) == right
        assert lines.deducted(at) == sum(right.values())


def test_a_long_line_with_a_reversal_costs_what_changed_in_the_order_of_time() -> None:
    """1,000 picks and shipments of two lots, one reversal: before, each further one cost as much as all the moments."""

    def spent(count: int) -> float:
        at = LineAt("first")
        for number in range(count):
            lines.handle(at, (number, f"e{number:05}", "AB"[number % 2], 2), number % 4 < 2)
        lines.handle(at, (count, "r", "A", -1), True)
        best = float("inf")
        for number in range(5):
            began = time.perf_counter()
            lines.take(at, (count + 1 + number, f"z{number}", "B", 1), True)
            best = min(best, time.perf_counter() - began)
        return best

    assert spent(2_000) < 8 * spent(500), "four times as long a line costs about four times as much, not sixteen"


# What is wanted


def test_a_partial_cancellation_takes_off_what_is_wanted() -> None:
    found = line(10)
    lines.cancel_part(found, (SEVEN, "e", "oms"), 3)
    assert (lines.wanted(found), soft(found)) == (7, 7)
    lines.cancel_part(found, (EIGHT, "e", "oms"), 9)
    assert (lines.wanted(found), soft(found)) == (0, 0)


def test_a_partial_cancellation_counts_while_it_is_newer_than_the_newest_placing_in_any_order() -> None:
    for order in itertools.permutations(range(4)):
        found = Line()
        for step in order:
            if step == 0:
                place(found, SEVEN, 10)
            elif step == 1:
                lines.cancel_part(found, (EIGHT, "e", "oms"), 4)
            elif step == 2:
                place(found, NINE, 8)
            else:
                lines.cancel_part(found, (TEN, "e", "oms"), 1)
        assert lines.wanted(found) == 7, order


@pytest.mark.parametrize(("event_id", "wanted"), [("d", 5), ("f", 3)])
def test_of_one_moment_the_greater_event_id_is_the_newer(event_id: str, wanted: int) -> None:
    for is_first in (True, False):
        found = Line()
        if is_first:
            place(found, SEVEN, 5)
        lines.cancel_part(found, (SEVEN, event_id, "oms"), 2)
        if not is_first:
            place(found, SEVEN, 5)
        assert lines.wanted(found) == wanted


def test_of_cancellations_and_reopenings_the_newest_stands_in_any_order() -> None:
    words = ((SEVEN, True), (EIGHT, False), (NINE, True))
    for count in (1, 2, 3):
        for order in itertools.permutations(words[:count]):
            found = line(5)
            for at, is_cancellation in order:
                (lines.cancel if is_cancellation else lines.reopen)(found, (at, "e", "oms"))
            assert found.cancelled is words[count - 1][1]


def test_placing_again_does_not_revive_a_cancelled_line_and_is_told() -> None:
    found = line(5)
    lines.cancel(found, (SEVEN, "e", "oms"))
    assert not lines.is_demanded_after_cancellation(found)
    place(found, EIGHT, 6)
    assert (soft(found), lines.is_demanded_after_cancellation(found)) == (0, True)
    lines.reopen(found, (NINE, "e", "oms"))
    assert (soft(found), lines.is_demanded_after_cancellation(found)) == (6, False)


def test_a_cancelled_line_that_is_placed_with_nothing_is_no_doubt() -> None:
    found = line(5)
    lines.cancel(found, (SEVEN, "e", "oms"))
    place(found, EIGHT, 0)
    assert not lines.is_demanded_after_cancellation(found)


# What may stay reserved


def test_what_is_reserved_is_at_most_what_is_wanted_and_was_delivered_nowhere_at_each_location_alone() -> None:
    found = line(6, DC1=line_at(allocated=10), DC2=line_at(("pick", SEVEN, "", 2), allocated=5))
    assert (hard(found, "DC1"), hard(found, "DC2")) == (4, 3)
    assert soft(found) == 0


def test_a_line_that_was_never_placed_keeps_all_that_is_reserved() -> None:
    found = line(0, DC1=line_at(allocated=10))
    found.placed = None
    assert hard(found, "DC1") == 10
    assert not is_above_demand(found)


def test_an_order_that_shrank_holds_no_more_than_it_wants() -> None:
    found = line(10, DC1=line_at(allocated=10))
    place(found, SEVEN, 4)
    assert (hard(found, "DC1"), is_above_demand(found)) == (4, True)


def test_a_line_served_from_elsewhere_holds_nothing() -> None:
    found = line(5, DC1=line_at(allocated=5), DC2=line_at(("ship", SEVEN, "", 5)))
    assert (hard(found, "DC1"), is_above_demand(found)) == (0, True)
    assert lines.is_closed(found)


@pytest.mark.parametrize(("wanted", "is_above"), [(9, True), (10, False), (11, False)])
def test_more_claimed_than_wanted_is_told(wanted: int, is_above: bool) -> None:
    assert is_above_demand(line(wanted, DC1=line_at(allocated=7), DC2=line_at(allocated=3))) is is_above


def test_more_delivered_than_wanted_is_no_claim() -> None:
    assert not is_above_demand(line(3, DC1=line_at(("pick", SEVEN, "", 5), allocated=5)))


def test_a_cancelled_line_holds_nothing_and_claims_nothing_above() -> None:
    found = line(3, DC1=line_at(allocated=5))
    lines.cancel(found, (SEVEN, "e", "oms"))
    assert (hard(found, "DC1"), is_above_demand(found)) == (0, False)
