"""What is set at a shop, and when a number may rise: the rules alone."""

from __future__ import annotations

import pytest

from operators.adapters.order_gate import OVERLAP, Orders, Stage, Ticket, is_reached
from operators.adapters.pushing import FALLS_MAX, Book, Change, Fault, Target, changes_that_fall, halves, pause_s

WEB = "gid://shopify/Location/1"
LAMP, ROPE = "gid://shopify/InventoryItem/1", "gid://shopify/InventoryItem/2"
HIGH, BULK, ALIASES = ("atp.updates.high", 0), ("atp.updates.bulk", 0), ("inventory.aliases", 0)


def book() -> Book:
    made = Book({"web": WEB})
    made.take_alias(LAMP, "LAMP", ALIASES, 0, False, 0)
    made.take_alias(ROPE, "ROPE", ALIASES, 1, False, 0)
    return made


def test_the_greatest_version_stands_whatever_lane_it_came_by() -> None:
    here = book()
    here.take_number(("LAMP", "web"), 7, 5, HIGH, 3, True, 0)
    here.take_number(("LAMP", "web"), 6, 50, BULK, 9, True, 0)
    assert here.wanted(Target(LAMP, WEB)) == 5
    assert here.marks() == {HIGH: 3}


def test_an_older_number_behind_the_committed_position_does_not_come_back() -> None:
    here = book()
    here.take_number(("LAMP", "web"), 6, 50, BULK, 9, True, 0)
    here.take_number(("LAMP", "web"), 7, 5, HIGH, 3, False, 0)
    assert list(here.due(0)) == [] and here.marks() == {}


def test_channels_that_go_nowhere_are_not_kept() -> None:
    here = book()
    here.take_number(("LAMP", "b2b"), 1, 5, HIGH, 0, True, 0)
    assert list(here.due(0)) == []


def test_what_is_set_is_due_no_longer_and_lets_its_position_go() -> None:
    here = book()
    here.take_number(("LAMP", "web"), 1, 5, HIGH, 3, True, 0)
    here.take_number(("ROPE", "web"), 2, 8, HIGH, 4, True, 0)
    here.is_set(Target(LAMP, WEB), 5)
    assert list(here.due(0)) == [Target(ROPE, WEB)] and here.marks() == {HIGH: 4}


def test_a_number_that_changed_while_it_was_set_is_still_due() -> None:
    here = book()
    here.take_number(("LAMP", "web"), 1, 5, HIGH, 3, True, 0)
    here.take_number(("LAMP", "web"), 2, 4, HIGH, 6, True, 0)
    here.is_set(Target(LAMP, WEB), 5)
    assert list(here.due(0)) == [Target(LAMP, WEB)] and here.marks() == {HIGH: 6}


def test_two_products_of_the_shop_that_are_one_item_both_get_its_number() -> None:
    here = book()
    here.take_alias(ROPE, "LAMP", ALIASES, 2, True, 0)
    here.take_number(("LAMP", "web"), 1, 5, HIGH, 3, True, 0)
    here.is_set(Target(LAMP, WEB), 5)
    assert set(here.due(0)) == {Target(LAMP, WEB), Target(ROPE, WEB)}
    here.is_set(Target(ROPE, WEB), 5)
    assert list(here.due(0)) == [] and here.marks() == {}


def test_an_alias_that_comes_later_makes_its_item_due_and_holds_its_own_position() -> None:
    here = Book({"web": WEB})
    here.take_number(("LAMP", "web"), 1, 5, HIGH, 3, False, 0)
    here.take_alias(LAMP, "LAMP", ALIASES, 8, True, 0)
    assert list(here.due(0)) == [Target(LAMP, WEB)] and here.marks() == {ALIASES: 8}
    here.take_number(("LAMP", "web"), 2, 6, HIGH, 4, True, 0)
    assert here.marks() == {HIGH: 4, ALIASES: 8}
    here.take_alias(LAMP, None, ALIASES, 9, True, 0)
    assert list(here.due(0)) == [] and here.marks() == {}


@pytest.mark.parametrize(("scale", "atp", "wanted"), [(0, 7, 7), (1, 25, 2), (1, 9, 0), (3, 2_999, 2)])
def test_parts_of_a_unit_are_not_sold(scale: int, atp: int, wanted: int) -> None:
    here = book()
    here.take_scale("LAMP", scale, 0)
    here.take_number(("LAMP", "web"), 1, atp, HIGH, 0, True, 0)
    assert here.wanted(Target(LAMP, WEB)) == wanted


def test_a_shop_is_told_no_more_than_it_can_hold() -> None:
    here = book()
    here.take_number(("LAMP", "web"), 1, 2**52, HIGH, 0, True, 0)
    assert here.wanted(Target(LAMP, WEB)) == 1_000_000_000


def test_what_was_refused_waits_and_counts_as_refused() -> None:
    here = book()
    here.take_number(("LAMP", "web"), 1, 5, HIGH, 0, True, 0)
    here.park(Target(LAMP, WEB), 1, until=10)
    assert list(here.due(9)) == [] and list(here.due(10)) == [Target(LAMP, WEB)]
    assert here.counts(9) == (0, 0, 1, 0)
    assert here.marks() == {HIGH: 0}, "a restart tries it again"


def test_what_has_no_alias_is_counted_apart_and_holds_up_nothing() -> None:
    here = book()
    here.take_number(("SAND", "web"), 1, 5, HIGH, 0, True, 0)
    assert here.counts(9) == (0, 0, 0, 1) and here.marks() == {}


def test_only_what_falls_may_be_set_at_once() -> None:
    lamp, rope = Target(LAMP, WEB), Target(ROPE, WEB)
    assert changes_that_fall({lamp: 3, rope: 9}, {lamp: 4, rope: 8}) == [Change(lamp, 3, 4)]
    assert changes_that_fall({lamp: 4}, {lamp: 4, rope: 8}) == []


def test_what_fell_by_itself_is_known_with_its_moment() -> None:
    here, lamp = book(), Target(LAMP, WEB)
    for level, moment in ((9, 0), (7, 100), (8, 110), (7, 120)):
        here.saw(lamp, level, moment)
    assert [here.fallen(lamp, since) for since in (0, 99, 100, 119, 120)] == [3, 3, 1, 1, 0]


def test_of_many_falls_the_oldest_count_longer_and_none_is_lost() -> None:
    here, lamp = book(), Target(LAMP, WEB)
    for moment in range(FALLS_MAX + 11):
        here.saw(lamp, 1000 - moment, moment)
    assert here.fallen(lamp, 0) == FALLS_MAX + 10
    assert here.fallen(lamp, 10) == FALLS_MAX + 10 and here.fallen(lamp, 11) == FALLS_MAX - 1


def test_what_we_set_lower_ourselves_did_not_fall_by_itself() -> None:
    here = book()
    here.saw(Target(LAMP, WEB), 9, 0)
    here.is_set(Target(LAMP, WEB), 7)
    here.saw(Target(LAMP, WEB), 7, 1)
    assert here.fallen(Target(LAMP, WEB), -1) == 0


@pytest.mark.parametrize(("promised", "wanted"), [(4, 4), (5, 5), (9, 5), (None, None)])
def test_with_a_budget_it_rises_at_most_to_what_is_promised_now(promised: int | None, wanted: int | None) -> None:
    here, lamp = book(), Target(LAMP, WEB)
    here.take_number(("LAMP", "web"), 1, 5, HIGH, 3, True, 0)
    assert here.budgeted([lamp]) == []
    here.take_budget("web", True)
    assert here.budgeted([lamp, Target(ROPE, WEB)]) == [("LAMP", "web")]
    assert here.wanted(lamp, {("LAMP", "web"): promised}) == wanted and here.wanted(lamp, {}) == 5
    here.take_budget("web", False)
    assert here.budgeted([lamp]) == []


def test_only_what_does_not_rise_gets_old() -> None:
    here, lamp = book(), Target(LAMP, WEB)
    here.take_number(("LAMP", "web"), 1, 5, HIGH, 3, True, 0)
    assert here.counts(400)[:2] == (1, 400), "what was not looked at may have to fall"
    here.saw(lamp, 3, 400)
    assert here.counts(400)[:2] == (1, 0)
    here.saw(lamp, 6, 500)
    assert here.counts(500)[:2] == (1, 500)


def changes(count: int) -> list[Change]:
    return [Change(Target(f"gid://shopify/InventoryItem/{number}", WEB), number, 0) for number in range(count)]


@pytest.mark.parametrize("bad", range(7))
@pytest.mark.parametrize("is_named", [False, True])
def test_halving_ends_with_the_bad_one_alone_and_all_others_set(bad: int, is_named: bool) -> None:
    stack, done, alone, requests = [changes(7)], [], [], 0
    while stack:
        batch = stack.pop()
        requests += 1
        places = [place for place, change in enumerate(batch) if change.quantity == bad]
        faults = [Fault(place if is_named else None, "INTERNAL", "") for place in places]
        if not faults:
            done += batch
        elif len(batch) == 1:
            alone += batch
        else:
            parts = halves(batch, faults)
            assert sorted(one for part in parts for one in part) == sorted(batch) and all(
                len(part) < len(batch) for part in parts
            )
            stack += parts
    assert [change.quantity for change in alone] == [bad]
    assert sorted(done + alone) == sorted(changes(7))
    assert requests <= (3 if is_named else 7)


def test_where_all_are_named_or_a_place_is_none_of_ours_it_is_halved() -> None:
    batch = changes(4)
    assert halves(batch, [Fault(place, "X", "") for place in range(4)]) == [batch[:2], batch[2:]]
    assert halves(batch, [Fault(99, "X", "")]) == [batch[:2], batch[2:]]


@pytest.mark.parametrize(("cost", "left", "rate", "pause"), [(10, 10, 50, 0), (10, 9, 50, 0.02), (10, 0, 0, 0)])
def test_the_budget_says_how_long_to_wait(cost: float, left: float, rate: float, pause: float) -> None:
    assert pause_s(cost, left, rate) == pytest.approx(pause)


def test_an_order_is_unread_until_it_stands_in_the_raw_topic_as_it_is_now() -> None:
    orders = Orders(since=0)
    orders.read("1", 100)
    orders.known("1", 100)
    assert orders.unread() == []
    orders.known("1", 200)
    orders.known("2", 150)
    assert orders.unread() == ["1", "2"]
    orders.read("1", 199)
    assert orders.unread() == ["1", "2"]
    orders.read("1", 201)
    orders.read("2", 150)
    assert orders.unread() == []


def test_orders_are_asked_for_again_from_a_little_before_the_newest() -> None:
    orders = Orders(since=0)
    orders.known("1", 5 * OVERLAP)
    assert orders.since == 4 * OVERLAP
    orders.read("1", 5 * OVERLAP)
    orders.read("2", OVERLAP)
    orders.forget()
    orders.known("1", 5 * OVERLAP)
    assert orders.unread() == [], "what may be asked for again is remembered"


def test_a_partition_is_reached_at_its_end_and_one_without_messages_at_once() -> None:
    part, other = ("inventory.orders", 0), ("inventory.orders", 1)
    assert is_reached({part: (0, 0), other: (5, 5)}, {})
    assert not is_reached({part: (0, 3)}, {})
    assert not is_reached({part: (0, 3)}, {part: 2})
    assert is_reached({part: (0, 3)}, {part: 3})


def test_no_stage_is_passed_over() -> None:
    ticket = Ticket({}, 0)
    with pytest.raises(AssertionError):
        ticket.enter(Stage.APPLIED, {})
    assert ticket.stage is Stage.ORDERS
