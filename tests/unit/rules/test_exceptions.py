"""Decides whether what is wrong with an item's numbers is seen, and only that (contract section 7)."""

from __future__ import annotations

import pytest

from operators.rules import exceptions, supply
from schemas.state import Item, Receipt, Transfer


def wrong(on_hand: int = 0, quarantined: int = 0, hard: int = 0, soft: int = 0) -> set[str]:
    found: dict[exceptions.Key, dict[str, int]] = {}
    exceptions.at_location(found, "DC1", on_hand, quarantined, hard, soft)
    figures = {"on_hand": on_hand, "quarantined": quarantined, "hard_reserved": hard, "soft_allocated": soft}
    assert all(key[1:] == ("DC1", "") and value == figures for key, value in found.items())
    return {code for code, _, _ in found}


@pytest.mark.parametrize(("on_hand", "codes"), [(-1, {"negative_on_hand", "oversold"}), (0, set()), (1, set())])
def test_less_than_nothing_on_hand(on_hand: int, codes: set[str]) -> None:
    assert wrong(on_hand) == codes


@pytest.mark.parametrize(("soft", "codes"), [(2, set()), (3, set()), (4, {"oversold"})])
def test_oversold_is_more_claimed_than_there_is(soft: int, codes: set[str]) -> None:
    assert wrong(10, 2, 5, soft) == codes


@pytest.mark.parametrize(("hard", "codes"), [(7, set()), (8, set()), (9, {"oversold", "allocated_without_stock"})])
def test_allocated_without_stock_is_more_reserved_than_can_be_picked(hard: int, codes: set[str]) -> None:
    assert wrong(10, 2, hard) == codes


def test_quarantine_counts_against_what_can_be_sold() -> None:
    assert wrong(10, 11) == {"oversold"}


def test_a_debt_without_a_reservation_is_no_allocation() -> None:
    assert wrong(-5) == {"negative_on_hand", "oversold"}
    assert wrong(-5, 0, 1) == {"negative_on_hand", "oversold", "allocated_without_stock"}


def test_a_negative_quarantine_makes_no_debt_good() -> None:
    assert wrong(-5, -5) == {"negative_on_hand"}


def test_what_was_over_received_is_named_with_what_was_announced() -> None:
    item = Item("SHOVEL")
    transfer, receipt = Transfer(), Receipt()
    supply.ship(transfer, (1, "e", "wms"), 5, None)
    transfer.received = 6
    supply.expect(receipt, (1, "e", "erp"), 7, None, False)
    receipt.received = 9
    item.over = {("t", "T-1", "DC2"): transfer, ("r", "PO-1", "DC1"): receipt}
    found: dict[exceptions.Key, dict[str, int]] = {}
    exceptions.over_received(found, item)
    assert found == {
        ("over_received", "DC2", "T-1"): {"shipped": 5, "received": 6},
        ("over_received", "DC1", "PO-1"): {"expected": 7, "received": 9},
    }
