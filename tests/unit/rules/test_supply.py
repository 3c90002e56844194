"""Decides whether transfers and expected receipts promise what is really on its way (contract section 4)."""

from __future__ import annotations

import itertools

import pytest

from operators.rules import supply
from schemas.state import Receipt, Transfer

MONDAY, TUESDAY, WEDNESDAY = 1, 2, 3


def transfer(shipped: int = 0, received: int = 0, closed: bool = False) -> Transfer:
    found = Transfer()
    if shipped:
        supply.ship(found, (MONDAY, "e1", "wms"), shipped, TUESDAY)
    found.received = received
    found.closed = closed
    return found


def receipt(quantity: int | None = None, received: int = 0, cancelled: bool = False) -> Receipt:
    found = Receipt()
    if quantity is not None:
        supply.expect(found, (MONDAY, "e1", "erp"), quantity, TUESDAY, "")
        found.cancelled = cancelled
    found.received = received
    return found


# Transfers


@pytest.mark.parametrize(("received", "in_transit"), [(9, 1), (10, 0), (11, 0)])
def test_in_transit_is_what_was_shipped_and_not_received(received: int, in_transit: int) -> None:
    assert supply.in_transit(transfer(10, received)) == in_transit


def test_what_arrives_before_its_shipment_is_known_is_not_in_transit_below_zero() -> None:
    early = transfer(0, 10)
    assert supply.in_transit(early) == 0
    supply.ship(early, (MONDAY, "e1", "wms"), 12, None)
    assert supply.in_transit(early) == 2


def test_a_closed_transfer_brings_nothing_more_for_good() -> None:
    closed = transfer(10, 4, closed=True)
    assert supply.in_transit(closed) == 0
    supply.ship(closed, (WEDNESDAY, "e2", "wms"), 50, WEDNESDAY)
    assert supply.in_transit(closed) == 0


def test_shipments_add_up_and_the_newest_ones_eta_stands_also_when_it_has_none() -> None:
    says = ((MONDAY, 5, TUESDAY), (TUESDAY, 3, WEDNESDAY), (WEDNESDAY, 2, None))
    for order in itertools.permutations(says):
        found = Transfer()
        for at, quantity, eta in order:
            supply.ship(found, (at, "e", "wms"), quantity, eta)
        assert (found.shipped, found.eta, found.word) == (10, None, (WEDNESDAY, "e", "wms"))


@pytest.mark.parametrize(
    ("second", "eta"),
    [
        ((TUESDAY, "a", "wms"), MONDAY),
        ((TUESDAY, "b", "erp"), MONDAY),
        ((TUESDAY, "b", "oms"), MONDAY),
        ((TUESDAY, "b", "wms"), WEDNESDAY),
        ((TUESDAY, "c", "erp"), WEDNESDAY),
    ],
)
def test_shipments_of_one_moment_are_ordered_by_event_id_then_source(second: tuple[int, str, str], eta: int) -> None:
    found = Transfer()
    supply.ship(found, (TUESDAY, "b", "oms"), 1, MONDAY)
    supply.ship(found, second, 1, WEDNESDAY)
    assert (found.shipped, found.eta) == (2, eta)


# Receipts


@pytest.mark.parametrize(("received", "expected"), [(9, 1), (10, 0), (11, 0)])
def test_expected_is_what_was_announced_and_not_received(received: int, expected: int) -> None:
    assert supply.expected(receipt(10, received)) == expected


def test_a_cancelled_receipt_brings_nothing_while_the_cancellation_is_the_newest_word() -> None:
    found = receipt(10)
    supply.cancel(found, (TUESDAY, "e2", "erp"))
    assert supply.expected(found) == 0
    supply.expect(found, (WEDNESDAY, "e3", "erp"), 7, MONDAY, "")
    assert (supply.expected(found), found.eta, found.cancelled) == (7, MONDAY, False)


def test_the_newest_word_on_a_receipt_stands_whatever_came_last() -> None:
    says = ((MONDAY, 5, False), (TUESDAY, 0, True), (WEDNESDAY, 8, False))
    for order in itertools.permutations(says):
        found = Receipt()
        for at, quantity, cancelled in order:
            if cancelled:
                supply.cancel(found, (at, "e", "erp"))
            else:
                supply.expect(found, (at, "e", "erp"), quantity, at, "")
        assert (found.quantity, found.eta, found.cancelled) == (8, WEDNESDAY, False)


@pytest.mark.parametrize(
    ("second", "quantity"),
    [
        ((TUESDAY, "a", "wms"), 1),
        ((TUESDAY, "b", "erp"), 1),
        ((TUESDAY, "b", "oms"), 1),
        ((TUESDAY, "b", "wms"), 2),
        ((TUESDAY, "c", "erp"), 2),
    ],
)
def test_words_of_one_moment_are_ordered_by_event_id_then_source(second: tuple[int, str, str], quantity: int) -> None:
    found = Receipt()
    supply.expect(found, (TUESDAY, "b", "oms"), 1, None, "")
    supply.expect(found, second, 2, None, "")
    assert found.quantity == quantity


# More than announced


@pytest.mark.parametrize(("received", "is_over"), [(9, False), (10, False), (11, True)])
def test_over_received_is_more_than_announced(received: int, is_over: bool) -> None:
    assert supply.is_over_received(receipt(10, received)) is is_over
    assert supply.is_over_received(transfer(10, received)) is is_over
    assert supply.is_over_received(transfer(10, received, closed=True)) is is_over


def test_where_nothing_was_announced_yet_it_is_early_and_not_over() -> None:
    assert not supply.is_over_received(receipt(None, 5))
    assert not supply.is_over_received(transfer(0, 5))


def test_a_cancelled_receipt_is_not_over_received() -> None:
    assert not supply.is_over_received(receipt(10, 11, cancelled=True))


def test_a_cancelled_receipt_brings_nothing_whatever_was_expected() -> None:
    left = receipt(5)
    assert supply.expected(left) == 5
    left.cancelled = True
    assert supply.expected(left) == 0


# Reversals


def test_a_sum_of_received_below_zero_counts_as_0() -> None:
    assert supply.expected(receipt(10, -4)) == 10
    assert supply.in_transit(Transfer(shipped=10, received=-4, word=(MONDAY, "e", "wms"))) == 10


def test_a_reversed_shipment_takes_off_and_says_no_eta() -> None:
    found = Transfer()
    supply.ship(found, (MONDAY, "e1", "wms"), 10, MONDAY)
    supply.ship(found, (TUESDAY, "e2", "wms"), 4, TUESDAY, reversal=True)
    assert (supply.in_transit(found), found.eta, found.word) == (6, MONDAY, (MONDAY, "e1", "wms"))


def test_a_reversal_before_what_it_takes_back_leaves_nothing_in_transit() -> None:
    found = Transfer()
    supply.ship(found, (TUESDAY, "e2", "wms"), 4, None, reversal=True)
    assert (supply.in_transit(found), found.word) == (0, None)
    supply.ship(found, (MONDAY, "e1", "wms"), 4, MONDAY)
    assert (supply.in_transit(found), found.eta) == (0, MONDAY)


def test_a_transfer_of_which_nothing_came_is_not_over_received() -> None:
    found = Transfer()
    supply.ship(found, (MONDAY, "e1", "wms"), 5, None)
    supply.ship(found, (TUESDAY, "e2", "wms"), 7, None, reversal=True)
    assert not supply.is_over_received(found)
    found.received = 1
    assert supply.is_over_received(found)


# Parts of an order


def test_what_is_in_parts_is_not_expected_twice() -> None:
    assert supply.expected(receipt(10, 1), in_parts=4) == 5
    assert supply.expected(receipt(10, 1), in_parts=12) == 0


@pytest.mark.parametrize(
    ("quantity", "received", "cancelled", "counts"),
    [(4, 0, False, 4), (4, 3, False, 4), (4, 6, False, 6), (4, 3, True, 3), (4, -1, True, 0), (4, -1, False, 4)],
)
def test_a_part_counts_for_the_greater_of_its_quantity_and_what_came(
    quantity: int, received: int, cancelled: bool, counts: int
) -> None:
    assert supply.part(receipt(quantity, received, cancelled)) == counts


def test_what_came_of_the_parts_counts_towards_what_is_over_received() -> None:
    assert not supply.is_over_received(receipt(10, 4), of_parts=6)
    assert supply.is_over_received(receipt(10, 4), of_parts=7)


def test_the_newest_receipt_expected_says_what_it_is_a_part_of_also_beneath_a_cancellation() -> None:
    says = ((MONDAY, "PO-1"), (TUESDAY, "PO-2"), (WEDNESDAY, None))
    for order in itertools.permutations(says):
        found = Receipt()
        for at, part_of in order:
            if part_of is None:
                supply.cancel(found, (at, "e", "erp"))
            else:
                supply.expect(found, (at, "e", "erp"), 5, at, part_of)
        assert (found.part_of, found.cancelled, supply.expected(found)) == ("PO-2", True, 0), order


def test_a_receipt_that_is_expected_anew_is_a_part_of_what_the_new_word_says() -> None:
    says = ((MONDAY, "PO-1"), (TUESDAY, None), (WEDNESDAY, ""))
    for order in itertools.permutations(says):
        found = Receipt()
        for at, part_of in order:
            if part_of is None:
                supply.cancel(found, (at, "e", "erp"))
            else:
                supply.expect(found, (at, "e", "erp"), 5, at, part_of)
        assert (found.part_of, found.cancelled, found.announced) == ("", False, None), order
