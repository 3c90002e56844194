"""Decides whether an order line claims and takes what the contract says (section 4, Order line)."""

from __future__ import annotations

import itertools
import time
from random import Random

import pytest

from operators.rules import lines
from schemas.state import Handling, Line, LineAt

SIX, SEVEN, EIGHT, NINE = 6, 7, 8, 9


def line_at(
    deducts_at: str = "first", allocated: int = 0, released: int = 0, picked: int = 0, shipped: int = 0, lot: str = ""
) -> LineAt:
    at = LineAt(deducts_at)
    at.allocated, at.released = allocated, released
    if picked:
        lines.handle(at, (SEVEN, "pick", lot, picked), True)
    if shipped:
        lines.handle(at, (EIGHT, "ship", lot, shipped), False)
    return at


def line(demand: int = 0, **places: LineAt) -> Line:
    found = Line()
    found.demand = demand
    found.at = places
    return found


def soft(found: Line) -> int:
    return lines.soft_allocated(found, lines.totals(found)[1])


def hard(found: Line, at: LineAt) -> int:
    return lines.hard_reserved(at, lines.reservable(found, lines.totals(found)[0]))


def place(
    found: Line,
    at: int = SEVEN,
    demand: int = 5,
    event_id: str = "e1",
    source: str = "oms",
    expires_at: int | None = None,
    now: int = SEVEN,
) -> None:
    lines.place(found, (at, event_id, source), demand, f"DC{demand}", f"web{demand}", expires_at, demand, now)


# What was deducted


@pytest.mark.parametrize(
    ("deducts_at", "picked", "shipped", "deducted"),
    [
        ("first", 4, 3, 4),
        ("first", 4, 4, 4),
        ("first", 4, 5, 5),
        ("pick", 4, 5, 4),
        ("pick", 0, 5, 0),
        ("shipment", 5, 4, 4),
        ("shipment", 5, 0, 0),
    ],
)
def test_the_same_goods_picked_and_shipped_are_deducted_once(
    deducts_at: str, picked: int, shipped: int, deducted: int
) -> None:
    assert lines.deducted(line_at(deducts_at, picked=picked, shipped=shipped)) == deducted


def test_picks_and_shipments_add_up() -> None:
    at = LineAt("first")
    for quantity in (1, 2):
        lines.handle(at, (SEVEN, f"p{quantity}", "", quantity), True)
        lines.handle(at, (EIGHT, f"s{quantity}", "", 10 * quantity), False)
    assert (at.picked, at.shipped) == (3, 30)
    assert [unit[3] for unit in at.picks] == [1, 2]
    assert [unit[3] for unit in at.shipments] == [10, 20]


# Hard reservations


@pytest.mark.parametrize(("picked", "reserved"), [(6, 1), (7, 0), (8, 0)])
def test_hard_is_what_was_allocated_less_released_less_deducted_never_below_zero(picked: int, reserved: int) -> None:
    assert hard(Line(), line_at(allocated=10, released=3, picked=picked)) == reserved


def test_a_shipment_that_does_not_deduct_leaves_the_reservation() -> None:
    assert hard(Line(), line_at("pick", allocated=5, shipped=5)) == 5
    assert hard(Line(), line_at("shipment", allocated=5, picked=5)) == 5


def test_a_cancelled_line_claims_nothing() -> None:
    at = line_at(allocated=5)
    found = line(demand=9, DC1=at)
    assert (hard(found, at), soft(found)) == (5, 4)
    found.cancelled = True
    assert (hard(found, at), soft(found)) == (0, 0)


# Soft claims


@pytest.mark.parametrize(("demand", "left"), [(4, 0), (5, 0), (6, 1)])
def test_soft_is_the_demand_no_location_reserved_never_below_zero(demand: int, left: int) -> None:
    assert soft(line(demand, DC1=line_at(allocated=5))) == left


def test_what_is_released_is_demanded_again() -> None:
    assert soft(line(10, DC1=line_at(allocated=10, released=4))) == 4


@pytest.mark.parametrize(("picked", "left"), [(5, 4), (6, 4), (7, 3)])
def test_at_a_location_the_greater_of_reserved_and_taken_serves_the_demand(picked: int, left: int) -> None:
    assert soft(line(10, DC1=line_at(allocated=6, picked=picked))) == left


def test_locations_serve_the_demand_together() -> None:
    found = line(20, DC1=line_at(allocated=6), DC2=line_at(picked=3), DC3=line_at(shipped=1))
    assert soft(found) == 10


def test_more_taken_at_one_location_does_not_eat_what_another_has_reserved() -> None:
    found = line(10, DC1=line_at(allocated=4, picked=9), DC2=line_at(allocated=3))
    assert soft(found) == 0
    assert hard(found, found.at["DC2"]) == 3


def test_a_release_before_its_allocation_asks_for_more_until_it_came() -> None:
    assert soft(line(10, DC1=line_at(released=4))) == 10
    assert hard(Line(), line_at(released=4)) == 0


def test_a_lapsed_line_claims_nothing_soft_and_keeps_its_reservation() -> None:
    at = line_at(allocated=5)
    found = line(9, DC1=at)
    found.lapsed = True
    assert (soft(found), hard(found, at)) == (0, 5)


def test_a_line_is_closed_when_it_claims_nothing() -> None:
    assert lines.is_closed(Line())
    assert not lines.is_closed(line(1))
    assert not lines.is_closed(line(1, DC1=line_at(allocated=1)))
    assert lines.is_closed(line(1, DC1=line_at(allocated=1, picked=1)))
    assert not lines.is_closed(line(1, DC1=line_at(picked=1), DC2=line_at(allocated=1)))


# The newest word


def test_the_newest_order_placed_says_everything() -> None:
    found = Line()
    place(found, SEVEN, 5, expires_at=100)
    place(found, EIGHT, 3)
    assert (found.demand, found.location, found.channel) == (3, "DC3", "web3")
    assert (found.expires_at, found.requested_at, found.placed) == (None, 3, (EIGHT, "e1", "oms"))
    place(found, SEVEN, 5, "e0", expires_at=100)
    assert (found.demand, found.expires_at) == (3, None)


@pytest.mark.parametrize(
    ("second", "demand"),
    [
        ((SEVEN, "b", "oms"), 5),
        ((EIGHT, "a", "wms"), 5),
        ((EIGHT, "b", "erp"), 5),
        ((EIGHT, "b", "oms"), 5),
        ((EIGHT, "b", "wms"), 3),
        ((EIGHT, "c", "erp"), 3),
    ],
)
def test_words_of_one_moment_are_ordered_by_event_id_then_source(second: tuple[int, str, str], demand: int) -> None:
    found = Line()
    place(found, EIGHT, 5, "b", "oms")
    place(found, second[0], 3, second[1], second[2])
    assert found.demand == demand


@pytest.mark.parametrize(("now", "is_lapsed"), [(EIGHT - 1, False), (EIGHT, True), (EIGHT + 1, True)])
def test_a_claim_lapses_when_its_expiry_is_reached(now: int, is_lapsed: bool) -> None:
    found = Line()
    place(found, SIX, 5, expires_at=EIGHT, now=now)
    assert found.lapsed is is_lapsed


def test_a_revision_without_expiry_revives_a_lapsed_claim() -> None:
    found = Line()
    place(found, SIX, 5, expires_at=SEVEN, now=NINE)
    assert soft(found) == 0
    place(found, EIGHT, 4, now=NINE)
    assert soft(found) == 4


# Which lot, and when: the steps of D


def steps(deducts_at: str, picks: list[Handling], shipments: list[Handling]) -> dict[tuple[str, int], int]:
    at = LineAt(deducts_at)
    for unit in picks:
        lines.handle(at, unit, True)
    for unit in shipments:
        lines.handle(at, unit, False)
    found = lines.deductions(at)
    assert sum(found.values()) == lines.deducted(at)
    return found


def test_a_single_pick_or_shipment_is_one_step() -> None:
    assert steps("first", [(SEVEN, "p", "L1", 4)], []) == {("L1", SEVEN): 4}
    assert steps("first", [], [(EIGHT, "s", "L2", 4)]) == {("L2", EIGHT): 4}


def test_goods_leave_with_the_first_of_pick_and_shipment() -> None:
    assert steps("first", [(SEVEN, "p", "", 4)], [(EIGHT, "s", "", 4)]) == {("", SEVEN): 4}
    assert steps("first", [(EIGHT, "p", "", 4)], [(SEVEN, "s", "", 4)]) == {("", SEVEN): 4}
    assert steps("first", [(SEVEN, "p", "", 4)], [(SEVEN, "s", "", 4)]) == {("", SEVEN): 4}


def test_where_a_rule_names_one_the_other_deducts_nothing() -> None:
    picks: list[Handling] = [(SEVEN, "p", "L1", 4)]
    shipments: list[Handling] = [(EIGHT, "s", "L2", 3)]
    assert steps("pick", picks, shipments) == {("L1", SEVEN): 4}
    assert steps("shipment", picks, shipments) == {("L2", EIGHT): 3}


def test_a_shipment_beyond_the_picks_deducts_the_rest_when_it_happened() -> None:
    found = steps("first", [(SEVEN, "p", "", 4)], [(EIGHT, "s1", "", 3), (NINE, "s2", "", 3)])
    assert found == {("", SEVEN): 4, ("", NINE): 2}


def test_picks_after_a_greater_shipment_deduct_only_what_goes_beyond_it() -> None:
    found = steps("first", [(EIGHT, "p1", "", 3), (NINE, "p2", "", 4)], [(SEVEN, "s", "", 5)])
    assert found == {("", SEVEN): 5, ("", NINE): 2}


def test_the_picks_own_lot_is_deducted_whatever_lot_the_shipment_names() -> None:
    assert steps("first", [(SEVEN, "p", "L1", 4)], [(EIGHT, "s", "L2", 4)]) == {("L1", SEVEN): 4}


def test_what_was_shipped_beyond_the_picks_falls_on_the_lots_that_those_shipments_name() -> None:
    found = steps("first", [(SIX, "p", "L1", 4)], [(EIGHT, "s2", "L3", 3), (SEVEN, "s1", "L2", 5)])
    assert found == {("L1", SIX): 4, ("L2", SEVEN): 1, ("L3", EIGHT): 3}


@pytest.mark.parametrize(("first", "second", "lot"), [("a", "b", "L2"), ("b", "a", "L1")])
def test_shipments_of_one_moment_are_passed_over_by_event_id(first: str, second: str, lot: str) -> None:
    found = steps("first", [(SIX, "p", "L0", 4)], [(SEVEN, first, "L1", 4), (SEVEN, second, "L2", 4)])
    assert found == {("L0", SIX): 4, (lot, SEVEN): 4}


def test_picks_of_equal_size_are_still_of_their_own_lots() -> None:
    assert steps("pick", [(SIX, "p", "L1", 4), (SEVEN, "q", "L2", 4)], []) == {("L1", SIX): 4, ("L2", SEVEN): 4}
    assert steps("first", [], [(SIX, "s", "L1", 4), (SEVEN, "t", "L2", 4)]) == {("L1", SIX): 4, ("L2", SEVEN): 4}


def test_a_later_pick_takes_over_from_the_lot_that_a_shipment_named() -> None:
    found = steps("first", [(EIGHT, "p", "L1", 4)], [(SEVEN, "s", "L2", 4)])
    assert found == {("L2", SEVEN): 4, ("L2", EIGHT): -4, ("L1", EIGHT): 4}


def test_a_later_pick_takes_over_only_as_many_units_as_it_has() -> None:
    found = steps("first", [(EIGHT, "p", "L1", 1)], [(SEVEN, "s", "L2", 4)])
    assert found == {("L2", SEVEN): 4, ("L2", EIGHT): -1, ("L1", EIGHT): 1}


def test_one_lot_gives_the_same_steps_as_the_rule_for_many() -> None:
    """Where all is of one lot, D(t) = max(P(t), S(t)) and the passing over of shipments agree."""
    units: list[tuple[Handling, bool]] = [
        ((SIX, "s1", "", 2), False),
        ((SEVEN, "p1", "", 3), True),
        ((EIGHT, "p2", "", 1), True),
        ((NINE, "s2", "", 5), False),
    ]
    for some in itertools.chain.from_iterable(itertools.combinations(units, n) for n in range(1, 5)):
        picks = [unit for unit, is_pick in some if is_pick]
        shipments = [unit for unit, is_pick in some if not is_pick]
        plain = steps("first", picks, shipments)
        for moment in (SIX, SEVEN, EIGHT, NINE):
            taken = sum(quantity for (_, at), quantity in plain.items() if at <= moment)
            picked = sum(unit[3] for unit in picks if unit[0] <= moment)
            shipped = sum(unit[3] for unit in shipments if unit[0] <= moment)
            assert taken == max(picked, shipped)


# The shortcut


KNOWN_PICKS: list[list[Handling]] = [
    [],
    [(SEVEN, "p", "L1", 4)],
    [(SEVEN, "p", "L1", 2), (SEVEN, "q", "L1", 2)],
]
KNOWN_SHIPMENTS: list[list[Handling]] = [[], [(SEVEN, "s", "L1", 2)]]
NEW: list[Handling] = [
    (moment, "n", lot, quantity) for moment in (SIX, SEVEN, EIGHT) for lot in ("L1", "L2") for quantity in (3, 4, 5)
]


def test_what_is_said_to_take_nothing_never_changes_a_step() -> None:
    shortcuts = 0
    rules = ("first", "pick", "shipment")
    for deducts_at, picks, shipments, new, is_pick in itertools.product(
        rules, KNOWN_PICKS, KNOWN_SHIPMENTS, NEW, (True, False)
    ):
        at = LineAt(deducts_at)
        for unit in picks:
            lines.handle(at, unit, True)
        for unit in shipments:
            lines.handle(at, unit, False)
        if lines.takes_nothing(at, new, is_pick):
            shortcuts += 1
            before = lines.deductions(at) if at.picks or at.shipments else {}
            lines.handle(at, new, is_pick)
            assert lines.deductions(at) == before, (deducts_at, picks, shipments, new, is_pick)
    assert shortcuts


def test_what_stands_alone_changes_its_own_step_and_no_other() -> None:
    shortcuts = 0
    rules = ("first", "pick", "shipment")
    for deducts_at, picks, shipments, new, is_pick in itertools.product(
        rules, KNOWN_PICKS, KNOWN_SHIPMENTS, NEW, (True, False)
    ):
        at = LineAt(deducts_at)
        for unit in picks:
            lines.handle(at, unit, True)
        for unit in shipments:
            lines.handle(at, unit, False)
        if lines.stands_alone(at, new, is_pick) and not lines.takes_nothing(at, new, is_pick):
            shortcuts += 1
            steps = lines.deductions(at) if at.picks or at.shipments else {}
            lines.handle(at, new, is_pick)
            own = new[2], new[0]
            assert lines.deductions(at) == steps | {own: steps.get(own, 0) + new[3]}
    assert shortcuts


def test_a_line_of_a_thousand_picks_and_shipments_of_two_lots_is_looked_through_once() -> None:
    at = LineAt("first")
    for number in range(1000):
        lines.handle(at, (number, "p", f"L{number % 2}", 1), True)
        lines.handle(at, (number, "s", f"L{number % 2}", 2), False)
    began = time.process_time()
    steps = lines.deductions(at)
    assert time.process_time() - began < 1, "it took 0.2 s for each of a thousand picks when all were looked at again"
    assert sum(steps.values()) == 2000


@pytest.mark.parametrize(
    ("shipment", "is_usual"),
    [
        ((SEVEN, "s", "L1", 4), True),
        ((EIGHT, "s", "L1", 4), True),
        ((EIGHT, "s", "L1", 3), True),
        ((EIGHT, "s", "L1", 5), False),
        ((SIX, "s", "L1", 4), False),
        ((EIGHT, "s", "L2", 4), False),
    ],
)
def test_the_usual_shipment_of_what_was_picked_takes_nothing(shipment: Handling, is_usual: bool) -> None:
    assert lines.takes_nothing(line_at(picked=4, lot="L1"), shipment, False) is is_usual


def test_a_pick_takes_nothing_only_where_shipments_deduct() -> None:
    pick: Handling = (SEVEN, "p", "", 1)
    assert [lines.takes_nothing(LineAt(rule), pick, True) for rule in ("first", "pick", "shipment")] == [
        False,
        False,
        True,
    ]
    assert [lines.takes_nothing(LineAt(rule), pick, False) for rule in ("first", "pick", "shipment")] == [
        False,
        True,
        False,
    ]


def test_a_second_shipment_is_no_shortcut() -> None:
    assert not lines.takes_nothing(line_at(picked=4, shipped=1), (NINE, "s", "", 1), False)


def test_picks_of_one_lot_at_one_moment_add_up_and_so_do_shipments() -> None:
    at = LineAt("first")
    for number, quantity in enumerate((3, 4)):
        lines.handle(at, (SEVEN, f"p{number}", "", quantity), True)
    assert lines.deductions(at) == {("", SEVEN): 7}
    for number, quantity in enumerate((5, 6)):
        lines.handle(at, (EIGHT, f"s{number}", "", quantity), False)
    assert lines.deductions(at) == {("", SEVEN): 7, ("", EIGHT): 4}


def steps_after(at: LineAt, changes: list[tuple[str, int, int]], steps: dict[tuple[str, int], int]) -> None:
    """Add changes of D to its steps, and compare them with what the rule gives for all picks and shipments."""
    for lot, moment, change in changes:
        steps[lot, moment] = steps.get((lot, moment), 0) + change
    assert {step: units for step, units in steps.items() if units} == lines.deductions(at)


@pytest.mark.parametrize(
    ("picked", "shipped"), [(("",), ("",)), (("L1",), ("",)), (("L1", "L2", ""), ("",)), (("L1", ""), ("L1", ""))]
)
@pytest.mark.parametrize("lead", [-3, 0, 3])
def test_what_one_more_changes_of_a_long_line_is_what_looking_through_gives(
    picked: tuple[str, ...], shipped: tuple[str, ...], lead: int
) -> None:
    for seed in range(8):
        random = Random(seed)
        handlings = [
            ((moment + lead * is_pick, f"{moment}{is_pick}", random.choice(lots), random.randint(1, 3)), is_pick)
            for moment in random.choices(range(10, 60), k=50)
            for is_pick, lots in ((True, picked), (False, shipped))
        ]
        if seed % 2:
            random.shuffle(handlings)
        at, steps = LineAt("first"), dict[tuple[str, int], int]()
        for handling, is_pick in handlings:
            steps_after(at, lines.take(at, handling, is_pick), steps)
        assert at.margins is not None


def test_blocks_of_a_long_line_are_split_and_passed_over() -> None:
    random = Random(1)
    moments = list(range(0, 2000, 2))
    random.shuffle(moments)
    at, steps = LineAt("first"), dict[tuple[str, int], int]()
    for number, moment in enumerate(moments):
        changes = lines.take(at, (moment, f"p{moment}", "", 1), True)
        changes += lines.take(at, (moment + 1, f"s{moment}", "", 1), False)
        for lot, when, change in changes:
            steps[lot, when] = steps.get((lot, when), 0) + change
        if number % 250 == 0:
            steps_after(at, [], steps)
    steps_after(at, [], steps)


@pytest.mark.parametrize("lots", [("",), ("L1", "")])
@pytest.mark.parametrize("is_shuffled", [False, True])
def test_a_line_of_thousands_costs_each_new_one_little(lots: tuple[str, ...], is_shuffled: bool) -> None:
    # Looked through at each one, it took 6 ms each at this length: half a minute of processor time.
    at = LineAt("first")
    order = list(range(2_000))
    if is_shuffled:
        Random(1).shuffle(order)
    began = time.process_time()
    for number in order:
        lines.take(at, (2 * number, f"p{number}", lots[0], 1), True)
        lines.take(at, (2 * number + 1, f"s{number}", lots[-1], 1), False)
    assert time.process_time() - began < 8
