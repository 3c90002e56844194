"""Decides whether the naive model keeps quantities as section 4 of the contract says, in numbers worked out by hand."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.desk import NOW, Desk, at, instant


@pytest.fixture
def desk() -> Desk:
    return Desk()


# Counts and movements


def test_without_a_count_on_hand_is_all_changes(desk: Desk) -> None:
    desk.did("stock_received", 10)
    desk.did("stock_adjusted", -3, reason="broken")
    desk.did("return_received", 1, order_id="SO-9")
    assert desk.on_hand() == 8


@pytest.mark.parametrize(("clock", "on_hand"), [("09:59", 7), ("10:00", 7), ("10:01", 12)])
def test_only_what_happened_later_than_the_count_changes_it(desk: Desk, clock: str, on_hand: int) -> None:
    desk.did("stock_received", 5, occurred_at=at(clock))
    desk.did("stock_counted", 7, occurred_at=at("10:00"))
    assert desk.on_hand() == on_hand


def test_the_newest_count_stands_whenever_it_arrives(desk: Desk) -> None:
    desk.did("stock_counted", 7, occurred_at=at("10:00"))
    desk.did("stock_counted", 99, occurred_at=at("09:00"))
    assert desk.on_hand() == 7


def test_counts_of_the_same_moment_are_told_apart_by_event_id_and_then_source(desk: Desk) -> None:
    desk.did("stock_counted", 1, event_id="b", source="a")
    desk.did("stock_counted", 2, event_id="a", source="z")
    assert desk.on_hand() == 1
    desk.did("stock_counted", 3, event_id="b", source="b")
    assert desk.on_hand() == 3


def test_a_count_of_one_lot_leaves_the_others_alone(desk: Desk) -> None:
    desk.did("stock_received", 10, lot="L1", occurred_at=at("09:00"))
    desk.did("stock_received", 5, occurred_at=at("09:00"))
    desk.did("stock_counted", 8, lot="L1", occurred_at=at("10:00"))
    assert desk.on_hand() == 13
    desk.did("stock_counted", 0, occurred_at=at("10:00"))
    assert desk.on_hand() == 8


def test_a_count_that_is_silent_about_quarantine_leaves_it_as_it_was(desk: Desk) -> None:
    desk.did("stock_counted", 10, quarantined=4, occurred_at=at("08:00"))
    desk.did("stock_received", 2, status="quarantined", occurred_at=at("09:00"))
    desk.did("stock_counted", 20, occurred_at=at("10:00"))
    assert desk.at("DC1", "on_hand", "quarantined") == (20, 6)


def test_a_change_of_status_moves_nothing(desk: Desk) -> None:
    desk.did("stock_received", 10)
    desk.did("stock_status_changed", 4, from_status="available", to_status="quarantined")
    desk.did("stock_status_changed", 1, from_status="quarantined", to_status="available")
    assert desk.at("DC1", "on_hand", "quarantined", "available") == (10, 3, 7)


def test_a_debt_is_kept_and_shown(desk: Desk) -> None:
    desk.did("stock_adjusted", -3)
    assert desk.at("DC1", "on_hand", "available") == (-3, -3)
    assert desk.atp() == 0


# Order lines


def test_a_pick_and_its_shipment_deduct_once(desk: Desk) -> None:
    desk.did("stock_received", 10)
    desk.did_line("pick_confirmed", 4)
    desk.did_line("shipment_confirmed", 4)
    assert desk.on_hand() == 6
    desk.did_line("shipment_confirmed", 1)
    assert desk.on_hand() == 5


@pytest.mark.parametrize(("rule", "on_hand"), [("first", 7), ("pick", 8), ("shipment", 7)])
def test_a_location_deducts_at_what_it_says(desk: Desk, rule: str, on_hand: int) -> None:
    desk.knows("locations", location="DC1", deducts_at=rule)
    desk.did("stock_received", 10)
    desk.did_line("pick_confirmed", 2)
    desk.did_line("shipment_confirmed", 3)
    assert desk.on_hand() == on_hand


def test_a_change_of_deducts_at_acts_on_lines_first_seen_later(desk: Desk) -> None:
    desk.did("stock_received", 10)
    desk.did_line("pick_confirmed", 2)
    desk.knows("locations", location="DC1", deducts_at="shipment")
    desk.did_line("pick_confirmed", 3)
    assert desk.on_hand() == 5
    desk.did_line("pick_confirmed", 4, order_id="SO-2")
    assert desk.on_hand() == 5


def test_the_shipment_of_what_was_picked_before_the_count_is_in_the_count(desk: Desk) -> None:
    # D(10:00) = 4 picked, D(end) = max(4 picked, 5 shipped) = 5: one unit left after the count of 6.
    desk.did_line("pick_confirmed", 4, occurred_at=at("09:00"))
    desk.did("stock_counted", 6, occurred_at=at("10:00"))
    desk.did_line("shipment_confirmed", 5, occurred_at=at("11:00"))
    assert desk.on_hand() == 5


def test_a_pick_at_the_moment_of_the_count_is_in_the_count(desk: Desk) -> None:
    desk.did("stock_counted", 6, occurred_at=at("10:00"))
    desk.did_line("pick_confirmed", 4, occurred_at=at("10:00"))
    assert desk.on_hand() == 6


def test_an_allocation_takes_the_claim_over(desk: Desk) -> None:
    desk.did("stock_received", 10)
    desk.order("order_placed", 5, "DC1")
    desk.order("order_allocated", 3, "DC1")
    assert desk.at("DC1", "soft_allocated", "hard_reserved", "available") == (2, 3, 5)
    desk.order("order_released", 1, "DC1")
    assert desk.at("DC1", "soft_allocated", "hard_reserved", "available") == (3, 2, 5)
    desk.did_line("pick_confirmed", 2)
    assert desk.at("DC1", "on_hand", "soft_allocated", "hard_reserved", "available") == (8, 3, 0, 5)


def test_a_line_served_elsewhere_claims_nothing_at_home(desk: Desk) -> None:
    # Demand 5 at DC1; reserved 2 at DC2, shipped 2 from the store: 5 - 2 - 2 = 1 left.
    desk.order("order_placed", 5, "DC1")
    desk.order("order_allocated", 2, "DC2")
    desk.did_line("shipment_confirmed", 2, "STORE")
    assert desk.at("DC1", "soft_allocated") == 1
    assert desk.at("DC2", "hard_reserved") == 2
    assert desk.on_hand("STORE") == -2


def test_the_newest_revision_of_an_order_stands(desk: Desk) -> None:
    desk.order("order_placed", 2, "DC2", occurred_at=at("10:00"))
    desk.order("order_placed", 5, "DC1", occurred_at=at("09:00"))
    assert desk.at("DC2", "soft_allocated") == 2
    assert desk.at("DC1", "soft_allocated") == 0


def test_a_cancellation_may_arrive_first_and_is_for_good(desk: Desk) -> None:
    desk.order("order_cancelled")
    desk.order("order_placed", 5, "DC1")
    desk.order("order_allocated", 5, "DC1")
    assert desk.at("DC1", "soft_allocated", "hard_reserved") == (0, 0)
    desk.did_line("pick_confirmed", 5)
    assert desk.on_hand() == -5


@pytest.mark.parametrize(("moment", "claimed"), [(-1, 5), (0, 0), (1, 0)])
def test_a_claim_lapses_at_expires_at(desk: Desk, moment: int, claimed: int) -> None:
    desk.order("order_placed", 5, "DC1", expires_at=at("13:00"))
    assert desk.at("DC1", "soft_allocated", now=instant(at("13:00")) + moment) == claimed


def test_the_line_says_when_it_lapses_before_the_order_does(desk: Desk) -> None:
    line = {"line_id": "1", "item": "SHOVEL", "quantity": 5, "location": "DC1", "expires_at": at("12:30")}
    desk.order("order_placed", lines=[line, line | {"line_id": "2", "expires_at": None}], expires_at=at("13:00"))
    assert desk.at("DC1", "soft_allocated", now=instant(at("12:45"))) == 5


def test_a_reservation_does_not_lapse(desk: Desk) -> None:
    desk.order("order_placed", 5, "DC1", expires_at=at("11:00"))
    desk.order("order_allocated", 3, "DC1")
    assert desk.at("DC1", "soft_allocated", "hard_reserved") == (0, 3)


def test_a_claim_without_a_location_is_shown_under_the_star(desk: Desk) -> None:
    desk.order("order_placed", 5)
    assert desk.model.position("SHOVEL", NOW)["*"] == {"soft_allocated": 5}


# Lots


def test_a_held_lot_is_quarantined_in_full(desk: Desk) -> None:
    desk.did("stock_received", 10, lot="L1")
    desk.did("stock_received", 4, lot="L2", status="quarantined")
    desk.did("lot_held", lot="L1")
    assert desk.at("DC1", "on_hand", "quarantined", "available") == (14, 14, 0)
    desk.did("lot_released", lot="L1", location=None)
    assert desk.at("DC1", "on_hand", "quarantined", "available") == (14, 4, 10)


def test_the_newest_word_about_a_lot_stands_for_one_location_or_for_all(desk: Desk) -> None:
    for location in ("DC1", "DC2"):
        desk.did("stock_received", 10, location, lot="L1")
    desk.did("lot_released", None, "DC1", lot="L1", occurred_at=at("10:00"))
    desk.did("lot_held", None, None, lot="L1", occurred_at=at("09:00"))
    assert (desk.at("DC1", "quarantined"), desk.at("DC2", "quarantined")) == (0, 10)
    desk.did("lot_held", None, None, lot="L1", occurred_at=at("11:00"))
    assert (desk.at("DC1", "quarantined"), desk.at("DC2", "quarantined")) == (10, 10)


def test_a_held_lot_in_debt_takes_nothing_from_the_others(desk: Desk) -> None:
    desk.did("stock_received", 10, lot="L1")
    desk.did("stock_adjusted", -2, lot="L2")
    desk.did("lot_held", lot="L2")
    assert desk.at("DC1", "on_hand", "quarantined", "available") == (8, -2, 10)


def test_what_was_shipped_beyond_the_picks_falls_on_the_later_shipments_lots(desk: Desk) -> None:
    # 3 picked from L1, shipped 2 of L1 and then 4 of L2: the first 3 shipped are the picked ones, 3 of L2 deduct too.
    desk.did("stock_received", 10, lot="L1")
    desk.did("stock_received", 10, lot="L2")
    desk.did_line("shipment_confirmed", 4, lot="L2", occurred_at=at("11:00"))
    desk.did_line("shipment_confirmed", 2, lot="L1", occurred_at=at("10:00"))
    desk.did_line("pick_confirmed", 3, lot="L1")
    desk.did("lot_held", lot="L2")
    assert desk.at("DC1", "on_hand", "quarantined") == (14, 7)


def test_a_late_pick_moves_the_deduction_to_its_own_lot(desk: Desk) -> None:
    # Until 10:00 the line took 4 of L2 by shipment. The pick of 4 from L1 at 11:00 makes these the same goods.
    desk.did_line("shipment_confirmed", 4, lot="L2", occurred_at=at("09:00"))
    desk.did("stock_counted", 6, lot="L2", occurred_at=at("10:00"))
    desk.did("stock_counted", 10, lot="L1", occurred_at=at("10:00"))
    desk.did_line("pick_confirmed", 4, lot="L1", occurred_at=at("11:00"))
    assert desk.on_hand() == 16
    desk.did("lot_held", lot="L2")
    assert desk.at("DC1", "quarantined") == 10


# Transfers and receipts


def test_a_transfer_is_on_hand_nowhere_while_it_travels(desk: Desk) -> None:
    desk.did("stock_received", 10)
    desk.did("transfer_shipped", 6, transfer_id="T1", to_location="STORE")
    assert (desk.on_hand(), desk.at("STORE", "on_hand", "in_transit")) == (4, (0, 6))
    desk.did("stock_received", 2, "STORE", transfer_id="T1")
    assert desk.at("STORE", "on_hand", "in_transit") == (2, 4)
    desk.did("transfer_closed", None, "STORE", transfer_id="T1")
    assert desk.at("STORE", "on_hand", "in_transit") == (2, 0)


def test_a_transfer_may_be_received_before_it_was_shipped(desk: Desk) -> None:
    desk.did("stock_received", 6, "STORE", transfer_id="T1")
    assert desk.model.exceptions("SHOVEL", NOW) == set()
    desk.did("transfer_shipped", 6, transfer_id="T1", to_location="STORE")
    assert desk.at("STORE", "on_hand", "in_transit") == (6, 0)


def test_quarantined_goods_leave_quarantine_when_they_are_shipped(desk: Desk) -> None:
    desk.did("stock_counted", 10, quarantined=5, occurred_at=at("10:00"))
    desk.did("transfer_shipped", 3, transfer_id="T1", to_location="STORE", status="quarantined")
    assert desk.at("DC1", "on_hand", "quarantined") == (7, 2)


def test_a_receipt_is_expected_until_it_came_or_was_cancelled(desk: Desk) -> None:
    desk.did("receipt_expected", 10, receipt_id="PO-1", eta=at("12:00", 2), occurred_at=at("09:00"))
    desk.did("stock_received", 4, receipt_id="PO-1")
    assert desk.at("DC1", "on_hand", "expected") == (4, 6)
    desk.did("receipt_cancelled", None, receipt_id="PO-1", occurred_at=at("10:00"))
    assert desk.at("DC1", "expected") == 0
    desk.did("receipt_expected", 8, receipt_id="PO-1", eta=at("12:00", 2), occurred_at=at("11:00"))
    assert desk.at("DC1", "expected") == 4


# Exceptions


def test_each_exception_names_its_location(desk: Desk) -> None:
    desk.did("stock_adjusted", -1, "DC2")
    desk.did("stock_received", 5, receipt_id="PO-1")
    desk.did("receipt_expected", 4, receipt_id="PO-1", eta=at("12:00", 1))
    desk.order("order_placed", 3, "DC1")
    desk.order("order_allocated", 6, "DC1", order_id="SO-2")
    assert desk.model.exceptions("SHOVEL", NOW) == {
        ("negative_on_hand", "DC2", ""),
        ("oversold", "DC2", ""),
        ("oversold", "DC1", ""),
        ("allocated_without_stock", "DC1", ""),
        ("over_received", "DC1", "PO-1"),
    }


@pytest.mark.parametrize(("claimed", "found"), [(4, set()), (5, set()), (6, {("oversold", "DC1", "")})])
def test_oversold_begins_below_zero(desk: Desk, claimed: int, found: set[tuple[str, str, str]]) -> None:
    desk.did("stock_received", 5)
    desk.order("order_placed", claimed, "DC1")
    assert desk.model.exceptions("SHOVEL", NOW) == found


# Convergence


def test_the_same_events_in_any_order_with_any_repeats_give_the_same_answers() -> None:
    line = {"order_id": "SO-1", "line_id": "1"}
    lines = [{"line_id": "1", "item": "SHOVEL", "quantity": 3, "location": "DC1"}]
    goods: dict[str, Any] = {"item": "SHOVEL", "location": "DC1"}
    history: list[tuple[str, dict[str, Any]]] = [
        ("stock_counted", goods | {"quantity": 9, "occurred_at": at("10:00")}),
        ("pick_confirmed", goods | line | {"quantity": 2, "occurred_at": at("09:30")}),
        ("shipment_confirmed", goods | line | {"quantity": 3, "occurred_at": at("11:00")}),
        ("order_placed", {"order_id": "SO-1", "channel": "web", "lines": lines}),
        ("order_allocated", {"order_id": "SO-1", "lines": lines}),
    ]
    answers = set()
    for order in itertools.permutations(range(len(history))):
        desk = Desk()
        for number in (*order, order[0]):
            kind, event = history[number]
            assert desk.says(kind, event_id=f"h{number}", **event) == []
        answers.add((json.dumps(desk.model.position("SHOVEL", NOW)), repr(desk.promise()), desk.model.duplicates))
    # 9 counted, of 3 shipped 2 had been picked before: 8; the line is served in full.
    assert len(answers) == 1
    assert desk.at("DC1", "on_hand", "soft_allocated", "hard_reserved", "available") == (8, 0, 0, 8)
