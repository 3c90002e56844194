"""Decides whether the naive model takes back what did not happen after all: reversals, cancellations, dates, roundings.

Each number is worked out by hand from the words of the contract that are marked as added later.
"""

from __future__ import annotations

import itertools
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from flows.audit.reading import day_of
from tests.desk import HOUR, NOW, Desk, at, instant

LINE: dict[str, Any] = {"order_id": "SO-1", "line_id": "1"}
GOODS: dict[str, Any] = {"item": "SHOVEL", "location": "DC1"}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def date(days: int) -> str:
    """A date some days from today."""
    return at("00:00", days)[:10]


def exceptions(desk: Desk) -> set[tuple[str, str, str]]:
    return desk.model.exceptions("SHOVEL", NOW)


# Reversals


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_receipt_booked_twice_is_taken_back_before_or_after_it_arrives(desk: Desk, order: tuple[int, ...]) -> None:
    told: list[dict[str, Any]] = [{"quantity": 10}, {"quantity": 4, "reversal": True}]
    for number in order:
        desk.did("stock_received", receipt_id="PO-1", **told[number])
    desk.did("receipt_expected", 20, receipt_id="PO-1", eta=at("12:00", 1))
    assert desk.at("DC1", "on_hand", "expected") == (6, 14)


def test_a_reversed_quarantined_return_leaves_quarantine_too(desk: Desk) -> None:
    desk.did("return_received", 5, status="quarantined")
    desk.did("return_received", 2, status="quarantined", reversal=True)
    assert desk.at("DC1", "on_hand", "quarantined") == (3, 3)


@pytest.mark.parametrize(("clock", "on_hand"), [("09:59", 7), ("10:00", 7), ("10:01", 4)])
def test_a_reversal_counts_when_it_happened_and_not_when_the_plain_one_did(
    desk: Desk, clock: str, on_hand: int
) -> None:
    desk.did("stock_received", 3, occurred_at=at("09:00"))
    desk.did("stock_counted", 7, occurred_at=at("10:00"))
    desk.did("stock_received", 3, reversal=True, occurred_at=at(clock))
    assert desk.on_hand() == on_hand


def test_a_reversed_transfer_brings_the_goods_back_and_is_no_word_on_the_eta(desk: Desk) -> None:
    desk.knows("channels", channel="web", locations=["DC2"], horizon_days=3, promise_in_transit=True)
    sent = {"transfer_id": "T1", "to_location": "DC2", "status": "quarantined"}
    desk.did("stock_counted", 10, quarantined=8, occurred_at=at("08:00"))
    desk.did("transfer_shipped", 6, eta=at("12:00", 1), occurred_at=at("09:00"), **sent)
    desk.did("transfer_shipped", 2, eta=at("12:00", 2), occurred_at=at("10:00"), reversal=True, **sent)
    assert desk.at("DC1", "on_hand", "quarantined") == (6, 4)
    assert desk.at("DC2", "in_transit") == 4
    assert desk.promise().by_day == [0, 4, 4]


def test_reversed_allocations_and_releases_change_their_sums(desk: Desk) -> None:
    desk.did("stock_received", 10)
    desk.order("order_placed", 5, "DC1")
    desk.order("order_allocated", 5, "DC1")
    desk.order("order_released", 3, "DC1")
    desk.order("order_released", 2, "DC1", reversal=True)
    assert desk.at("DC1", "soft_allocated", "hard_reserved") == (1, 4)
    desk.order("order_allocated", 4, "DC1", reversal=True)
    assert desk.at("DC1", "soft_allocated", "hard_reserved") == (5, 0)


def test_an_unpick_and_a_voided_shipment_put_the_goods_back(desk: Desk) -> None:
    desk.did("stock_received", 10)
    desk.did_line("pick_confirmed", 4)
    desk.did_line("shipment_confirmed", 4)
    desk.did_line("pick_confirmed", 4, reversal=True)
    assert desk.on_hand() == 6  # max(0 picked, 4 shipped)
    desk.did_line("shipment_confirmed", 3, reversal=True)
    assert desk.on_hand() == 9


@pytest.mark.parametrize("kind", ["pick_confirmed", "shipment_confirmed"])
def test_what_exceeds_a_lots_sum_is_not_taken_back_at_all(desk: Desk, kind: str) -> None:
    # L1: 2 - 5 is 0 and not -3; L2: 4. So 4 were taken, and none of L1.
    desk.did_line(kind, 2, lot="L1")
    desk.did_line(kind, 4, lot="L2")
    desk.did_line(kind, 5, lot="L1", reversal=True)
    assert desk.on_hand() == -4
    assert exceptions(desk) >= {("lot_below_zero", "DC1", "L2")}
    assert ("lot_below_zero", "DC1", "L1") not in exceptions(desk)


def test_a_reversal_without_a_lot_is_of_what_carries_none(desk: Desk) -> None:
    desk.did_line("pick_confirmed", 4, lot="L1")
    desk.did_line("pick_confirmed", 4, reversal=True)
    assert desk.on_hand() == -4


@pytest.mark.parametrize("clock", ["08:00", "12:00"])
def test_a_reversed_shipment_is_taken_from_the_last_of_its_lot_whenever_it_happened(desk: Desk, clock: str) -> None:
    # Shipped in this order: 2 of L1, 2 of L2, 2 of L1. Taken back are 3 of L1: the last 2 and 1 of the first. What is
    # left is 1 of L1, 2 of L2; 2 were picked without a lot: they are passed over, and 1 of L2 deducts.
    for number, lot in enumerate(("L1", "L2", "L1")):
        desk.did_line("shipment_confirmed", 2, lot=lot, occurred_at=at(f"09:0{number}"))
    desk.did_line("pick_confirmed", 2)
    desk.did_line("shipment_confirmed", 3, lot="L1", reversal=True, occurred_at=at(clock))
    assert desk.on_hand() == -3
    assert exceptions(desk) >= {("lot_below_zero", "DC1", "L2")}
    assert ("lot_below_zero", "DC1", "L1") not in exceptions(desk)


def test_a_reversal_after_the_count_puts_back_what_the_count_did_not_find(desk: Desk) -> None:
    # D(10:00) = 4, D(end) = 1: three came back after the count of 6.
    desk.did_line("shipment_confirmed", 4, occurred_at=at("09:00"))
    desk.did("stock_counted", 6, occurred_at=at("10:00"))
    desk.did_line("shipment_confirmed", 3, reversal=True, occurred_at=at("11:00"))
    assert desk.on_hand() == 9


def test_up_to_a_count_more_may_be_taken_back_than_was_there(desk: Desk) -> None:
    # Up to 10:00: max(0, 0 - 3) = 0. In all: 4 - 3 = 1, so one left after the count.
    desk.did_line("pick_confirmed", 3, reversal=True, occurred_at=at("09:00"))
    desk.did("stock_counted", 6, occurred_at=at("10:00"))
    desk.did_line("pick_confirmed", 4, occurred_at=at("11:00"))
    assert desk.on_hand() == 5


@pytest.mark.parametrize(("rule", "on_hand"), [("first", -3), ("pick", -1), ("shipment", -3)])
def test_reversals_follow_the_rule_of_the_location(desk: Desk, rule: str, on_hand: int) -> None:
    # P = 3 - 2 = 1, S = 4 - 1 = 3.
    desk.knows("locations", location="DC1", deducts_at=rule)
    desk.did_line("pick_confirmed", 3)
    desk.did_line("pick_confirmed", 2, reversal=True)
    desk.did_line("shipment_confirmed", 4)
    desk.did_line("shipment_confirmed", 1, reversal=True)
    assert desk.on_hand() == on_hand


@pytest.mark.parametrize("kind", ["stock_adjusted", "stock_counted", "transfer_closed", "lot_dated", "stock_withheld"])
def test_what_has_no_reversal_may_only_say_that_it_is_none(desk: Desk, kind: str) -> None:
    event: dict[str, Any] = {**GOODS, "quantity": 1, "transfer_id": "T1"}
    event |= {"lot": "L1"} if kind == "lot_dated" else {}
    assert desk.says(kind, **event, reversal=True) == [("bad_value", None)]
    assert desk.says(kind, **event, reversal=False) == []


@pytest.mark.parametrize("said", ["true", 1, 0, [], {}])
def test_a_reversal_is_true_or_false(desk: Desk, said: object) -> None:
    assert desk.says("stock_received", **GOODS, quantity=1, reversal=said) == [("bad_value", None)]


def test_a_reversal_stands_on_the_order_and_not_on_its_lines(desk: Desk) -> None:
    line = {"line_id": "1", **GOODS, "quantity": 1}
    lines = [line | {"reversal": True}, line | {"line_id": "2", "reversal": False}, line | {"line_id": "3"}]
    assert desk.says("order_allocated", order_id="SO-1", lines=lines) == [("bad_value", "1")]
    assert desk.says("order_placed", order_id="SO-1", channel="web", lines=lines, reversal=True) == [
        ("bad_value", None)
    ]


def test_a_reversal_is_part_of_the_content(desk: Desk) -> None:
    received: dict[str, Any] = {**GOODS, "quantity": 1, "event_id": "x"}
    assert desk.says("stock_received", **received) == []
    assert desk.says("stock_received", **received, reversal=False) == []
    assert desk.says("stock_received", **received, reversal=True) == [("conflict", None)]
    assert (desk.on_hand(), desk.model.duplicates) == (1, 1)


# Cancellations in part, reopenings


def test_a_partial_cancellation_takes_so_much_off_what_is_wanted(desk: Desk) -> None:
    desk.order("order_placed", 10, "DC1", occurred_at=at("09:00"))
    desk.order("order_cancelled", 3, occurred_at=at("10:00"))
    desk.order("order_cancelled", 2, occurred_at=at("11:00"))
    assert desk.at("DC1", "soft_allocated") == 5
    desk.order("order_cancelled", 9)
    assert desk.at("DC1", "soft_allocated") == 0


def test_a_revision_says_what_is_wanted_since(desk: Desk) -> None:
    desk.order("order_placed", 10, "DC1", occurred_at=at("09:00"))
    desk.order("order_cancelled", 3, occurred_at=at("10:00"))
    desk.order("order_placed", 8, "DC1", occurred_at=at("11:00"))
    assert desk.at("DC1", "soft_allocated") == 8


@pytest.mark.parametrize(("event_id", "claimed"), [("a", 10), ("z", 7)])
def test_of_the_same_moment_the_ids_say_which_is_newer(desk: Desk, event_id: str, claimed: int) -> None:
    desk.order("order_cancelled", 3, event_id=event_id)
    desk.order("order_placed", 10, "DC1", event_id="m")
    assert desk.at("DC1", "soft_allocated") == claimed


@pytest.mark.parametrize(
    ("quantity", "code"), [(0, "bad_value"), (-1, "bad_value"), ("x", "bad_value"), (0.5, "quantity_not_exact")]
)
def test_a_partial_cancellation_is_of_more_than_0(desk: Desk, quantity: object, code: str) -> None:
    lines = [{"line_id": "1", "item": "SHOVEL", "quantity": quantity}]
    assert desk.says("order_cancelled", order_id="SO-1", lines=lines) == [(code, "1")]


def test_with_and_without_a_quantity_are_two_contents(desk: Desk) -> None:
    desk.order("order_cancelled", 3, event_id="x")
    lines = [{"line_id": "1", "item": "SHOVEL"}]
    told: dict[str, Any] = {"event_id": "x", "order_id": "SO-1", "channel": "web", "lines": lines}
    assert desk.says("order_cancelled", **told) == [("conflict", "1")]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_newest_of_cancellation_and_reopening_stands_in_any_order(desk: Desk, order: tuple[int, ...]) -> None:
    told: list[tuple[str, int | None, str]] = [
        ("order_placed", 5, "09:00"),
        ("order_cancelled", None, "10:00"),
        ("order_reopened", None, "11:00"),
    ]
    for number in order:
        kind, quantity, clock = told[number]
        desk.order(kind, quantity, "DC1", occurred_at=at(clock))
    assert desk.at("DC1", "soft_allocated") == 5
    desk.order("order_cancelled", occurred_at=at("11:30"))
    assert desk.at("DC1", "soft_allocated") == 0


def test_a_late_payment_does_not_revive_a_cancelled_order(desk: Desk) -> None:
    desk.order("order_cancelled", occurred_at=at("10:00"))
    desk.order("order_placed", 5, "DC1", occurred_at=at("11:00"))
    assert desk.at("DC1", "soft_allocated") == 0
    assert exceptions(desk) == {("demand_after_cancellation", "", "SO-1 1")}


def test_a_partial_cancellation_cancels_nothing_that_was_reopened(desk: Desk) -> None:
    desk.order("order_placed", 5, "DC1", occurred_at=at("08:00"))
    desk.order("order_cancelled", occurred_at=at("09:00"))
    desk.order("order_reopened", occurred_at=at("10:00"))
    desk.order("order_cancelled", 2, occurred_at=at("11:00"))
    assert desk.at("DC1", "soft_allocated") == 3


@pytest.mark.parametrize("quantity", [-1, 0, "all", 2.5, [1]])
def test_a_quantity_of_a_reopening_is_ignored(desk: Desk, quantity: object) -> None:
    lines = [{"line_id": "1", "item": "SHOVEL", "quantity": quantity}]
    assert desk.says("order_reopened", event_id="x", order_id="SO-1", lines=lines) == []
    del lines[0]["quantity"]
    assert desk.says("order_reopened", event_id="x", order_id="SO-1", lines=lines) == []
    assert desk.model.duplicates == 1


# What is kept reserved


def test_what_was_delivered_elsewhere_is_not_kept_reserved(desk: Desk) -> None:
    # Wanted 5; 5 allocated at DC1, 3 shipped from the store: of the 5 at most 5 - 3 = 2 are kept.
    desk.order("order_placed", 5, "DC1")
    desk.order("order_allocated", 5, "DC1")
    desk.did_line("shipment_confirmed", 3, "STORE")
    assert desk.at("DC1", "soft_allocated", "hard_reserved") == (0, 2)


def test_the_limit_is_each_locations_own(desk: Desk) -> None:
    # 4 at DC1 and 4 at DC2 of a demand of 5: neither is above it, and nobody can say which of them is wrong.
    desk.order("order_placed", 5)
    desk.order("order_allocated", 4, "DC1")
    desk.order("order_allocated", 4, "DC2")
    assert (desk.at("DC1", "hard_reserved"), desk.at("DC2", "hard_reserved")) == (4, 4)
    assert exceptions(desk) >= {("claims_above_demand", "", "SO-1 1")}


def test_what_is_not_wanted_any_more_is_not_kept_reserved(desk: Desk) -> None:
    desk.order("order_placed", 5, occurred_at=at("09:00"))
    desk.order("order_allocated", 5, "DC1")
    desk.order("order_cancelled", 2)
    assert desk.at("DC1", "soft_allocated", "hard_reserved") == (0, 3)


def test_before_the_order_is_known_all_that_was_allocated_is_kept(desk: Desk) -> None:
    desk.order("order_cancelled", 2, occurred_at=at("11:00"))
    desk.order("order_allocated", 5, "DC1")
    assert desk.at("DC1", "hard_reserved") == 5
    desk.order("order_placed", 0, occurred_at=at("10:00"))
    assert desk.at("DC1", "hard_reserved") == 0


def test_a_reopened_line_has_its_reservation_back(desk: Desk) -> None:
    desk.order("order_allocated", 5, "DC1")
    desk.order("order_cancelled", occurred_at=at("10:00"))
    assert desk.at("DC1", "hard_reserved") == 0
    desk.order("order_reopened", occurred_at=at("11:00"))
    assert desk.at("DC1", "hard_reserved") == 5


# Withheld


def test_withheld_is_the_sum_of_each_sources_newest_word(desk: Desk) -> None:
    desk.did("stock_received", 20)
    desk.did("stock_withheld", 3, occurred_at=at("11:00"))
    desk.did("stock_withheld", 9, occurred_at=at("10:00"))
    desk.did("stock_withheld", 4, source="erp", occurred_at=at("09:00"), reason="samples")
    assert desk.at("DC1", "on_hand", "withheld", "available") == (20, 7, 13)
    assert (desk.atp(), exceptions(desk)) == (13, set())
    desk.did("stock_withheld", 0, occurred_at=at("11:30"))
    assert desk.at("DC1", "withheld") == 4


def test_what_is_withheld_is_of_a_location_and_no_lot(desk: Desk) -> None:
    assert desk.says("stock_withheld", **GOODS, quantity=1, lot="L1") == [("bad_value", None)]
    assert desk.says("stock_withheld", **GOODS, quantity=-1) == [("bad_value", None)]
    assert desk.says("stock_withheld", **GOODS) == [("missing_field", None)]
    desk.did("stock_withheld", 2, "DC2", lot=None)
    assert (desk.at("DC1", "withheld"), desk.at("DC2", "withheld", "available")) == (0, (2, -2))


# Dates of lots


@pytest.mark.parametrize(("days", "atp"), [(-1, 2), (0, 12), (1, 12)])
def test_a_lot_may_be_sold_up_to_its_day(desk: Desk, days: int, atp: int) -> None:
    desk.did("stock_received", 10, lot="L1")
    desk.did("stock_received", 2)
    desk.did("lot_dated", None, None, lot="L1", best_before=date(days))
    assert desk.at("DC1", "on_hand", "quarantined", "available") == (12, 0, atp)
    assert desk.atp() == atp


@pytest.mark.parametrize(("days", "atp"), [(1, 2), (2, 12), (3, 12)])
def test_a_channel_may_want_days_left(desk: Desk, days: int, atp: int) -> None:
    desk.knows("channels", channel="web", locations=["DC1"], min_days_left=2)
    desk.did("stock_received", 10, lot="L1")
    desk.did("stock_received", 2, lot="L2")
    desk.did("lot_dated", None, None, lot="L1", best_before=date(days))
    assert (desk.atp(), desk.at("DC1", "available")) == (atp, 12)


def test_the_newest_word_on_a_lots_date_stands_and_may_be_that_it_has_none(desk: Desk) -> None:
    desk.did("stock_received", 10, lot="L1")
    desk.did("lot_dated", None, None, lot="L1", best_before=date(-1), occurred_at=at("10:00"))
    desk.did("lot_dated", None, None, lot="L1", best_before=date(5), occurred_at=at("09:00"))
    assert desk.atp() == 0
    desk.did("lot_dated", None, None, lot="L1", occurred_at=at("11:00"))
    assert desk.atp() == 10


def test_a_lot_past_its_day_in_debt_or_held_adds_and_takes_nothing(desk: Desk) -> None:
    desk.did("stock_received", 5)
    desk.did("stock_adjusted", -2, lot="L1")
    desk.did("stock_received", 7, lot="L2")
    desk.did("lot_held", lot="L2")
    for lot in ("L1", "L2"):
        desk.did("lot_dated", None, None, lot=lot, best_before=date(-1))
    # 10 on hand, 7 of them held; the debt of 2 stays one: 10 - 7 - 0.
    assert desk.at("DC1", "on_hand", "quarantined", "available") == (10, 7, 3)
    assert desk.atp() == 3


def test_what_is_quarantined_of_a_lot_past_its_day_is_not_counted_twice(desk: Desk) -> None:
    desk.did("stock_received", 6, lot="L1")
    desk.did("stock_received", 4, lot="L1", status="quarantined")
    desk.did("lot_dated", None, None, lot="L1", best_before=date(-1))
    assert desk.at("DC1", "on_hand", "quarantined", "available") == (10, 4, 0)


def test_what_is_past_its_day_tomorrow_can_be_given_away_today(desk: Desk) -> None:
    # Lot of 6 up to today, 4 without a date, 5 claimed for tomorrow. Today: min(10, 10 - 5) = 5, for the lot may be
    # given today; seen from tomorrow without the lot: max(0, 4 - 5) = 0.
    desk.knows("channels", channel="web", locations=["DC1"], horizon_days=3)
    desk.did("stock_received", 6, lot="L1")
    desk.did("stock_received", 4)
    desk.did("lot_dated", None, None, lot="L1", best_before=date(0))
    desk.order("order_placed", 5, "DC1", requested_at=at("12:00", 1))
    promise = desk.promise()
    assert promise.available == {"DC1": [10, 0, 0]}
    assert promise.by_day == [5, 0, 0]


def test_what_is_protected_for_another_is_seen_with_ones_own_days_left(desk: Desk) -> None:
    # web wants 2 days left and so sees 4 of the 10; vip protects 9 of what it can have: web leaves it min(9, 4).
    desk.knows("channels", channel="web", locations=["DC1"], min_days_left=2)
    desk.knows("channels", channel="vip", locations=["DC1"], protected_quantity=9)
    desk.did("stock_received", 6, lot="L1")
    desk.did("stock_received", 4)
    desk.did("lot_dated", None, None, lot="L1", best_before=date(1))
    assert (desk.promise().withheld, desk.atp(), desk.atp("vip")) == ([4], 0, 10)


@pytest.mark.parametrize(
    "said", ["2026-11-31", "2026-1-05", "20261105", "2026-11-05T00:00:00Z", "0000-01-01", 20261105]
)
def test_a_date_is_one_of_the_calendar(desk: Desk, said: object) -> None:
    assert desk.says("lot_dated", item="SHOVEL", lot="L1", best_before=said) == [("bad_value", None)]


def test_a_date_is_of_a_lot_at_every_location(desk: Desk) -> None:
    assert desk.says("lot_dated", item="SHOVEL", best_before=date(1)) == [("missing_field", None)]
    desk.did("lot_dated", None, "no such place", lot="L1", best_before=date(1), event_id="x")
    desk.did("lot_dated", None, None, lot="L1", best_before=date(1), event_id="x")
    assert desk.model.duplicates == 1
    bound = Desk(sources={"wms": {"locations": {"DC1"}}})
    assert bound.says("lot_dated", item="SHOVEL", lot="L1") == [("not_allowed", None)]


# Receipts in parts


def expect(desk: Desk, quantity: int, receipt_id: str, **fields: Any) -> None:
    desk.did("receipt_expected", quantity, receipt_id=receipt_id, eta=at("12:00", 1), **fields)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_an_order_and_the_notices_of_its_parts_are_counted_once(desk: Desk, order: tuple[int, ...]) -> None:
    # 20 ordered; 2 of it came under its own number; one notice of 8, of which 3 came; one of 4, of which 5 came.
    # Part 1 waits for 5, part 2 for none; the order for 20 - 2 - max(8, 3) - max(4, 5) = 5.
    told = [(20, "PO-1", None), (8, "ASN-1", "PO-1"), (4, "ASN-2", "PO-1")]
    for number in order:
        if number < len(told):
            quantity, receipt_id, part_of = told[number]
            expect(desk, quantity, receipt_id, part_of=part_of)
        else:
            for quantity, receipt_id in ((2, "PO-1"), (3, "ASN-1"), (5, "ASN-2")):
                desk.did("stock_received", quantity, receipt_id=receipt_id)
    assert desk.at("DC1", "on_hand", "expected") == (10, 10)
    assert exceptions(desk) == {("over_received", "DC1", "ASN-2")}


def test_of_a_cancelled_part_only_what_came_counts(desk: Desk) -> None:
    expect(desk, 20, "PO-1")
    expect(desk, 8, "ASN-1", part_of="PO-1", occurred_at=at("10:00"))
    desk.did("stock_received", 3, receipt_id="ASN-1")
    desk.did("receipt_cancelled", None, receipt_id="ASN-1", occurred_at=at("11:00"))
    assert desk.at("DC1", "expected") == 17


def test_a_part_goes_with_the_newest_word_that_expects_it(desk: Desk) -> None:
    expect(desk, 20, "PO-1")
    expect(desk, 20, "PO-2")
    expect(desk, 8, "ASN-1", part_of="PO-1", occurred_at=at("10:00"))
    expect(desk, 8, "ASN-1", part_of="PO-2", occurred_at=at("09:00"))
    assert desk.at("DC1", "expected") == 12 + 20 + 8
    expect(desk, 8, "ASN-1", occurred_at=at("11:00"))
    assert desk.at("DC1", "expected") == 20 + 20 + 8


def test_only_direct_parts_at_the_same_location_count(desk: Desk) -> None:
    expect(desk, 20, "PO-1")
    expect(desk, 8, "ASN-1", part_of="PO-1")
    expect(desk, 3, "BOX-1", part_of="ASN-1")
    expect(desk, 9, "ASN-2", part_of="PO-1", location="DC2")
    # 20 - 8, 8 - 3, 3
    assert (desk.at("DC1", "expected"), desk.at("DC2", "expected")) == (12 + 5 + 3, 9)


def test_nothing_is_a_part_of_itself(desk: Desk) -> None:
    told: dict[str, Any] = {**GOODS, "quantity": 5, "receipt_id": "PO-1", "eta": at("12:00", 1)}
    assert desk.says("receipt_expected", **told, part_of="PO-1") == [("bad_value", None)]
    assert desk.says("receipt_expected", **told, part_of="", event_id="x") == [("bad_value", None)]
    assert desk.says("receipt_expected", **told, event_id="x") == []
    assert desk.says("receipt_expected", **told, part_of="PO-2", event_id="x") == [("conflict", None)]


@pytest.mark.parametrize(("came", "found"), [(4, set()), (5, set()), (6, {("over_received", "DC1", "PO-1")})])
def test_an_order_is_over_received_by_all_that_came_under_it(
    desk: Desk, came: int, found: set[tuple[str, str, str]]
) -> None:
    expect(desk, 10, "PO-1")
    expect(desk, 9, "ASN-1", part_of="PO-1")
    desk.did("stock_received", 5, receipt_id="ASN-1")
    desk.did("stock_received", came, receipt_id="PO-1")
    assert exceptions(desk) == found


@pytest.mark.parametrize("name", ["receipt_id", "transfer_id"])
def test_a_sum_of_received_below_0_counts_as_0(desk: Desk, name: str) -> None:
    desk.did("stock_received", 3, "DC2", reversal=True, **{name: "X"})
    if name == "receipt_id":
        expect(desk, 5, "X", location="DC2")
    else:
        desk.did("transfer_shipped", 5, transfer_id="X", to_location="DC2")
    assert sum(desk.at("DC2", "in_transit", "expected")) == 5
    desk.did("stock_received", 4, "DC2", **{name: "X"})
    assert sum(desk.at("DC2", "in_transit", "expected")) == 4


def test_a_reversal_ends_an_over_receipt(desk: Desk) -> None:
    expect(desk, 5, "PO-1")
    desk.did("stock_received", 6, receipt_id="PO-1")
    assert exceptions(desk) == {("over_received", "DC1", "PO-1")}
    desk.did("stock_received", 1, receipt_id="PO-1", reversal=True)
    assert exceptions(desk) == set()


# Rounding


@pytest.fixture
def sheets() -> Desk:
    """A desk whose item is counted in whole base units, of which a sheet is a third, and rounded safely."""
    desk = Desk()
    desk.knows("items", item="SHOVEL", conversions={"sheet": "1/3"}, rounding="safe")
    return desk


@pytest.mark.parametrize(("quantity", "on_hand"), [(2, 0), (3, 1), (4, 1), (5, 1)])
def test_what_comes_in_is_rounded_down(sheets: Desk, quantity: int, on_hand: int) -> None:
    sheets.did("stock_received", quantity, uom="sheet")
    assert sheets.on_hand() == on_hand


@pytest.mark.parametrize(("quantity", "on_hand"), [(4, 1), (1, 0), (-1, -1), (-3, -1), (-4, -2)])
def test_an_adjustment_is_rounded_down_also_below_0(sheets: Desk, quantity: int, on_hand: int) -> None:
    sheets.did("stock_adjusted", quantity, uom="sheet")
    assert sheets.on_hand() == on_hand


@pytest.mark.parametrize("kind", ["pick_confirmed", "shipment_confirmed"])
def test_what_goes_out_is_rounded_up_and_its_reversal_like_it(sheets: Desk, kind: str) -> None:
    sheets.did_line(kind, 4, uom="sheet")
    assert sheets.on_hand() == -2
    sheets.did_line(kind, 4, uom="sheet", reversal=True)
    assert sheets.on_hand() == 0


def test_the_reversal_of_what_came_in_is_rounded_down_like_it(sheets: Desk) -> None:
    sheets.did("stock_received", 5, uom="sheet")
    sheets.did("stock_received", 5, uom="sheet", reversal=True)
    assert sheets.on_hand() == 0


def test_a_transfer_takes_more_than_it_brings(sheets: Desk) -> None:
    sent = {"transfer_id": "T1", "to_location": "DC2", "uom": "sheet"}
    sheets.did("transfer_shipped", 7, **sent)
    assert (sheets.on_hand(), sheets.at("DC2", "in_transit")) == (-3, 2)
    sheets.did("transfer_shipped", 4, reversal=True, **sent)
    assert (sheets.on_hand(), sheets.at("DC2", "in_transit")) == (-1, 1)


def test_orders_are_rounded_up_and_what_is_given_up_down(sheets: Desk) -> None:
    sheets.order("order_placed", 16, "DC1", uom="sheet", occurred_at=at("09:00"))
    assert sheets.at("DC1", "soft_allocated") == 6
    sheets.order("order_cancelled", 5, uom="sheet")
    assert sheets.at("DC1", "soft_allocated") == 5
    sheets.order("order_allocated", 10, "DC1", uom="sheet")
    assert sheets.at("DC1", "soft_allocated", "hard_reserved") == (1, 4)
    sheets.order("order_released", 5, "DC1", uom="sheet")
    assert sheets.at("DC1", "soft_allocated", "hard_reserved") == (2, 3)
    sheets.did("receipt_expected", 5, receipt_id="PO-1", eta=at("12:00", 1), uom="sheet")
    assert sheets.at("DC1", "expected") == 1


def test_into_quarantine_is_rounded_up_and_out_of_it_down(sheets: Desk) -> None:
    sheets.did("stock_status_changed", 4, from_status="available", to_status="quarantined", uom="sheet")
    assert sheets.at("DC1", "quarantined") == 2
    sheets.did("stock_status_changed", 5, from_status="quarantined", to_status="available", uom="sheet")
    assert sheets.at("DC1", "quarantined") == 1


def test_withheld_is_rounded_up(sheets: Desk) -> None:
    sheets.did("stock_withheld", 4, uom="sheet")
    assert sheets.at("DC1", "withheld") == 2


@pytest.mark.parametrize(
    ("counted", "bad", "on_hand", "quarantined"), [(8, 4, 2, 2), (8, 7, 2, 2), (2, 1, 0, 0), (6, 1, 2, 1)]
)
def test_the_quarantined_part_of_a_count_is_rounded_up_at_most_to_the_count(
    sheets: Desk, counted: int, bad: int, on_hand: int, quarantined: int
) -> None:
    sheets.did("stock_counted", counted, quarantined=bad, uom="sheet")
    assert sheets.at("DC1", "on_hand", "quarantined") == (on_hand, quarantined)


def test_signs_and_contradictions_are_judged_before_rounding(sheets: Desk) -> None:
    told: dict[str, Any] = {**GOODS, "uom": "sheet"}
    assert sheets.says("stock_received", **told, quantity=-1) == [("bad_value", None)]
    assert sheets.says("stock_counted", **told, quantity=7, quarantined=8) == [("bad_value", None)]
    assert sheets.says("stock_withheld", **told, quantity=-1) == [("bad_value", None)]


def test_contents_are_compared_after_rounding(sheets: Desk) -> None:
    told: dict[str, Any] = {**GOODS, "event_id": "x"}
    assert sheets.says("stock_received", **told, uom="sheet", quantity=4) == []
    assert sheets.says("stock_received", **told, uom="sheet", quantity=5) == []
    assert sheets.says("stock_received", **told, quantity=1) == []
    assert sheets.says("stock_received", **told, quantity=2) == [("conflict", None)]
    assert sheets.model.duplicates == 2


def test_what_rounds_to_0_is_applied_and_changes_nothing(sheets: Desk) -> None:
    sheets.order("order_placed", 5, "DC1", occurred_at=at("09:00"))
    sheets.order("order_cancelled", 1, uom="sheet", occurred_at=at("10:00"))
    sheets.did("stock_received", "1e-99", occurred_at=at("11:00"))
    assert sheets.at("DC1", "on_hand", "soft_allocated") == (0, 5)
    assert sheets.model.as_of("SHOVEL") == instant(at("11:00"))
    sheets.did("pick_confirmed", "1e-99", **LINE)
    assert sheets.on_hand() == -1


def test_rounding_up_ends_below_2_to_the_53(sheets: Desk) -> None:
    almost: dict[str, Any] = {**GOODS, "quantity": "9007199254740991.5"}
    assert sheets.says("stock_received", **almost) == []
    assert sheets.says("stock_withheld", **almost) == [("bad_value", None)]


def test_without_safe_rounding_it_is_refused(desk: Desk) -> None:
    desk.knows("items", item="SHOVEL", conversions={"sheet": "1/3", "ream": "3/2"})
    desk.did("stock_received", 6, uom="sheet")
    assert desk.says("stock_received", **GOODS, quantity=4, uom="sheet") == [("quantity_not_exact", None)]
    desk.did("stock_received", 2, uom="ream")
    assert desk.on_hand() == 5


@pytest.mark.parametrize("worth", ["1/0", "0/1", "-1/3", "1/-3", "+1/3", "1.5/2", "1/2/3", "1 / 3", "/3", "1/", "01/3"])
def test_a_ratio_is_two_whole_numbers_of_at_least_1(desk: Desk, worth: str) -> None:
    assert desk.tells("items", item="SHOVEL", conversions={"sheet": worth}) == ["bad_value"]


# Channels and items


def test_an_explicit_channel_lists_what_it_is_told_to(desk: Desk) -> None:
    desk.did("stock_received", 5)
    desk.knows("channels", channel="web", locations=["DC1"], listing="explicit")
    assert desk.model.promise("SHOVEL", "web", NOW) is None
    desk.knows("channel_items", channel="web", item="SHOVEL", cap=3)
    assert desk.model.promise("SHOVEL", "web", NOW) is None
    desk.knows("channel_items", channel="web", item="SHOVEL", cap=3, listed=True)
    assert desk.atp() == 3
    desk.knows("channels", channel="web", locations=["DC1"])
    desk.knows("channel_items", channel="web", item="SHOVEL", listed=None)
    assert desk.atp() == 5


def test_an_explicit_channel_protects_nothing_of_what_it_does_not_list(desk: Desk) -> None:
    desk.knows("channels", channel="vip", locations=["DC1"], protected_quantity=4, listing="explicit")
    desk.did("stock_received", 5)
    assert desk.atp() == 5
    desk.knows("channel_items", channel="vip", item="SHOVEL", listed=True)
    assert desk.atp() == 1


@pytest.mark.parametrize(
    ("topic", "record"),
    [
        ("channels", {"channel": "web", "locations": ["DC1"], "listing": "some"}),
        ("channels", {"channel": "web", "locations": ["DC1"], "min_days_left": -1}),
        ("channels", {"channel": "web", "locations": ["DC1"], "min_days_left": 1.5}),
        ("items", {"item": "SHOVEL", "rounding": "up"}),
        ("items", {"item": "SHOVEL", "unit_value": -1}),
        ("items", {"item": "SHOVEL", "unit_value": "much"}),
    ],
)
def test_what_a_record_cannot_say_leaves_the_older_one(desk: Desk, topic: str, record: dict[str, Any]) -> None:
    desk.did("stock_received", 5)
    assert desk.tells(topic, **record) == ["bad_value"]
    assert desk.atp() == 5


def test_what_an_item_is_worth_changes_no_number(desk: Desk) -> None:
    desk.did("stock_received", 5)
    desk.knows("items", item="SHOVEL", unit_value="12.3456789")
    assert desk.atp() == 5


# Days


@pytest.mark.parametrize(
    ("zone", "text", "day"),
    [
        ("UTC", "2026-10-25T23:59:59.999999Z", "2026-10-25"),
        ("Europe/Berlin", "2026-10-24T21:59:59Z", "2026-10-24"),
        ("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25"),
        ("Europe/Berlin", "2026-10-25T22:59:59Z", "2026-10-25"),  # 25 hours long
        ("Europe/Berlin", "2026-10-25T23:00:00Z", "2026-10-26"),
        ("America/New_York", "2026-11-24T04:59:59Z", "2026-11-23"),
        ("Asia/Kathmandu", "2026-11-23T18:15:00Z", "2026-11-24"),
        ("Pacific/Kiritimati", "9999-12-31T23:59:59Z", "9999-12-32"),  # beyond what a local time can be written as
    ],
)
def test_a_moment_belongs_to_the_day_that_it_falls_on_there(zone: str, text: str, day: str) -> None:
    beyond = day.endswith("32")
    days = instant(f"{'9999-12-31' if beyond else day}T00:00:00Z") // (24 * HOUR) + beyond
    assert day_of(instant(text), ZoneInfo(zone)) == days


def test_days_of_supply_claims_and_lots_are_those_of_the_time_zone() -> None:
    # Noon in London is 23:00 in Melbourne: an hour later it is tomorrow there.
    desk = Desk(time_zone="Australia/Melbourne")
    desk.knows("channels", channel="web", locations=["DC1"], horizon_days=3)
    desk.did("stock_received", 10, lot="L1")
    desk.did("lot_dated", None, None, lot="L1", best_before=date(1))
    desk.did("receipt_expected", 4, receipt_id="PO-1", eta=at("13:00"))
    desk.order("order_placed", 3, "DC1", requested_at=at("13:00", 1))
    # Days 23, 24, 25: the supply is due on the 24th, the claim on the 25th, when the lot is past its day.
    assert desk.promise().available == {"DC1": [10, 14, 1]}
    later = NOW + HOUR
    assert desk.promise(now=later).available == {"DC1": [14, 1, 1]}
    assert desk.at("DC1", "available", now=later) == 7
    assert desk.at("DC1", "available", now=later + 24 * HOUR) == -3


def test_a_day_is_as_long_as_the_clocks_there_make_it() -> None:
    desk = Desk(time_zone="Europe/Berlin")
    desk.knows("channels", channel="web", locations=["DC1"], horizon_days=2)
    # The day with 25 hours begins on the 24th at 22:00 UTC; what comes 24.5 hours later comes on the same day.
    now = instant("2026-10-24T22:00:00Z")
    lines = {**GOODS, "quantity": 4, "receipt_id": "PO-1", "eta": "2026-10-25T22:30:00Z"}
    assert desk.says("receipt_expected", now, occurred_at="2026-10-24T22:00:00Z", **lines) == []
    assert desk.promise(now=now).by_day == [4, 4]
    assert desk.promise(now=now - 1).by_day == [0, 4]


# Exceptions


@pytest.mark.parametrize(("claimed", "found"), [(7, set()), (8, set()), (9, {("oversold", "*", "")})])
def test_claims_from_nowhere_yet_are_oversold_above_what_can_be_sold_anywhere(
    desk: Desk, claimed: int, found: set[tuple[str, str, str]]
) -> None:
    # DC1: 10 - 2 claimed there = 8; the debt of DC2 takes nothing from it; the store is in no channel.
    desk.knows("channels", channel="shop", locations=["DC2"])
    desk.did("stock_received", 10)
    desk.did("stock_received", 50, "STORE")
    desk.did("stock_adjusted", -3, "DC2")
    desk.order("order_placed", 2, "DC1", order_id="SO-2")
    desk.order("order_placed", claimed)
    assert exceptions(desk) - {("negative_on_hand", "DC2", ""), ("oversold", "DC2", "")} == found


@pytest.mark.parametrize(("allocated", "is_found"), [(4, False), (5, False), (6, True)])
def test_a_line_that_holds_more_than_it_wants_is_told(desk: Desk, allocated: int, is_found: bool) -> None:
    desk.did("stock_received", 20)
    desk.order("order_placed", 6, "DC1", occurred_at=at("09:00"))
    desk.order("order_cancelled", 1)
    desk.order("order_allocated", allocated, "DC1")
    assert exceptions(desk) == ({("claims_above_demand", "", "SO-1 1")} if is_found else set())


def test_what_was_delivered_beyond_the_demand_is_no_claim(desk: Desk) -> None:
    # max(A - R, D) = D = 7, and that is not above max(5, 7); with 1 more reserved elsewhere it is.
    desk.did("stock_received", 20)
    desk.order("order_placed", 5, "DC1")
    desk.did_line("pick_confirmed", 7)
    assert exceptions(desk) == set()
    desk.order("order_allocated", 1, "DC2")
    assert exceptions(desk) == {("claims_above_demand", "", "SO-1 1")}
    desk.order("order_cancelled")
    assert exceptions(desk) == set()


def test_a_line_that_was_never_placed_claims_nothing_above_its_demand(desk: Desk) -> None:
    desk.did("stock_received", 20)
    desk.order("order_allocated", 9, "DC1")
    assert exceptions(desk) == set()


@pytest.mark.parametrize(
    ("clock", "quantity", "is_found"), [("09:00", 5, False), ("11:00", 5, True), ("11:00", 0, False)]
)
def test_demand_after_a_cancellation_is_told_until_it_is_reopened(
    desk: Desk, clock: str, quantity: int, is_found: bool
) -> None:
    desk.order("order_cancelled", occurred_at=at("10:00"))
    desk.order("order_placed", quantity, "DC1", occurred_at=at(clock))
    assert exceptions(desk) == ({("demand_after_cancellation", "", "SO-1 1")} if is_found else set())
    desk.did("stock_received", 20)
    desk.order("order_reopened")
    assert exceptions(desk) == set()


def test_a_lot_below_0_is_told_where_the_location_is_not(desk: Desk) -> None:
    desk.did("stock_received", 10)
    desk.did("stock_adjusted", -2, lot="L1")
    assert exceptions(desk) == {("lot_below_zero", "DC1", "L1")}
    desk.did("stock_received", 2, lot="L1")
    assert exceptions(desk) == set()
