"""Which way a quantity is rounded that the item's scale cannot say (contract section 2, `rounding: safe`).

The numbers are in halves of an each: 5 halves are 2.5, so 2 down and 3 up.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from operators.rules.quantities import QuantityError, UnitsOfMeasure
from operators.rules.rounding import round_safely
from schemas.codes import QUANTITY_LIMIT as LIMIT
from schemas.units import EventType, Origin, Unit

EACH = UnitsOfMeasure("each", 0, {"half": Fraction(1, 2), "can": Fraction(1, 12)}, True)
#: What says how much, and how it is rounded, but for what a status or a second number decides.
UP = ("order_placed", "order_allocated", "pick_confirmed", "shipment_confirmed", "transfer_shipped", "stock_withheld")
DOWN = (
    "stock_received",
    "stock_adjusted",
    "stock_counted",
    "return_received",
    "order_released",
    "order_cancelled",
    "receipt_expected",
)
OF_NO_QUANTITY = (
    "lot_held",
    "lot_released",
    "lot_dated",
    "transfer_closed",
    "order_reopened",
    "receipt_cancelled",
)
REVERSIBLE = (
    "stock_received",
    "transfer_shipped",
    "return_received",
    "pick_confirmed",
    "shipment_confirmed",
    "order_allocated",
    "order_released",
)


def unit(type: str, quantity: int | str | None = 5, uom: str = "half", **given: Any) -> Unit:
    origin = Origin("inventory.warehouse", 0, 7, 1_700_000_000_000, b"key", b"{}")
    return Unit(EventType[type.upper()], "SHOVEL", "wms", "e-1", "", 5, 6, origin, quantity, uom=uom, **given)


def rounded(type: str, quantity: int | str | None = 5, uom: str = "half", **given: Any) -> tuple[int, int | None]:
    return round_safely(unit(type, quantity, uom, **given), EACH)


def refused(made: Unit) -> tuple[str, str]:
    with pytest.raises(QuantityError) as caught:
        round_safely(made, EACH)
    return caught.value.code, str(caught.value)


def test_every_event_type_has_its_direction() -> None:
    named = {*UP, *DOWN, *OF_NO_QUANTITY, "stock_status_changed"}
    assert named == {kind.name.lower() for kind in EventType}


@pytest.mark.parametrize("type", UP)
def test_what_takes_claims_or_keeps_back_is_rounded_up(type: str) -> None:
    assert rounded(type)[0] == 3


@pytest.mark.parametrize("type", DOWN)
def test_what_brings_or_frees_is_rounded_down(type: str) -> None:
    assert rounded(type) == (2, None)


@pytest.mark.parametrize(("towards", "quantity"), [("quarantined", 3), ("available", 2)])
def test_a_change_of_status_is_rounded_up_towards_quarantined_and_down_away_from_it(
    towards: str, quantity: int
) -> None:
    assert rounded("stock_status_changed", status=towards) == (quantity, None)


@pytest.mark.parametrize("type", ["stock_received", "stock_adjusted", "return_received"])
def test_what_comes_in_quarantined_is_rounded_down_all_the_same(type: str) -> None:
    assert rounded(type, status="quarantined") == (2, None)


def test_what_a_transfer_puts_in_transit_is_rounded_down() -> None:
    assert rounded("transfer_shipped", 5) == (3, 2)
    assert rounded("transfer_shipped", 1) == (1, 0)
    assert rounded("transfer_shipped", 6) == (3, None), "exact: the two are the same"


@pytest.mark.parametrize(
    ("counted", "quarantined", "expected"),
    [
        (5, 3, (2, 2)),  # 2.5 counted, 1.5 of it quarantined
        (5, 2, (2, 1)),
        (5, 1, (2, 1)),
        (5, 5, (2, 2)),  # 2.5 would be 3: at most the rounded count
        (6, 5, (3, 3)),
        (5, 0, (2, 0)),
        (1, 1, (0, 0)),
        (5, None, (2, None)),
    ],
)
def test_of_a_count_the_quarantined_part_is_rounded_up_and_at_most_the_count(
    counted: int, quarantined: int | None, expected: tuple[int, int | None]
) -> None:
    assert rounded("stock_counted", counted, quarantined=quarantined) == expected


@pytest.mark.parametrize(("halves", "quantity"), [(-5, -3), (-1, -1), (-4, -2), (1, 0), (5, 2)])
def test_an_adjustment_is_rounded_towards_minus_infinity(halves: int, quantity: int) -> None:
    assert rounded("stock_adjusted", halves) == (quantity, None)


@pytest.mark.parametrize("type", REVERSIBLE)
def test_a_reversal_is_rounded_the_way_its_plain_event_is(type: str) -> None:
    assert rounded(type, reversal=True) == rounded(type)


@pytest.mark.parametrize("type", DOWN)
def test_what_rounds_to_nothing_is_nothing(type: str) -> None:
    assert rounded(type, 1) == (0, None)


@pytest.mark.parametrize("type", [*UP, *DOWN])
def test_what_is_exact_stays_as_it_is(type: str) -> None:
    assert rounded(type, 4) == (2, None)


@pytest.mark.parametrize("type", OF_NO_QUANTITY)
def test_without_a_quantity_there_is_nothing_to_round(type: str) -> None:
    assert rounded(type, None, "") == (0, None)


@pytest.mark.parametrize(("sent", "up", "down"), [("0.000001", 1, 0), ("12.999999", 2, 1), (13, 2, 1), (11, 1, 0)])
def test_it_errs_by_less_than_one_smallest_unit(sent: int | str, up: int, down: int) -> None:
    assert (rounded("order_placed", sent, "can")[0], rounded("stock_received", sent, "can")[0]) == (up, down)


def test_the_smallest_unit_is_that_of_the_scale() -> None:
    kilos = UnitsOfMeasure("kg", 2, {"third": Fraction(1, 3)}, True)
    assert round_safely(unit("order_placed", 1, "third"), kilos) == (34, None)
    assert round_safely(unit("stock_received", 1, "third"), kilos) == (33, None)


def test_what_was_rounded_has_to_stay_below_2_to_the_53() -> None:
    highest = 2 * LIMIT - 1  # half an each below the limit
    assert rounded("stock_received", highest) == (LIMIT - 1, None)
    assert refused(unit("order_placed", highest)) == (
        "bad_value",
        f"quantity: expected less than 2^53 after conversion, got {highest} half",
    )
    assert rounded("stock_adjusted", 1 - 2 * (LIMIT - 1)) == (1 - LIMIT, None)
    assert refused(unit("stock_adjusted", -highest))[0] == "bad_value"
    assert refused(unit("stock_received", 2 * LIMIT + 1))[0] == "bad_value"
    assert rounded("stock_counted", highest, quarantined=highest) == (LIMIT - 1, LIMIT - 1)


def test_a_unit_of_measure_that_nobody_knows_is_told_as_without_rounding() -> None:
    made = unit("stock_received", 1, "pallet")
    with pytest.raises(QuantityError) as caught:
        EACH.convert(1, "pallet", "quantity")
    assert (
        refused(made)
        == (caught.value.code, str(caught.value))
        == (
            "unknown_uom",
            "uom: expected one of can, each, half, got pallet",
        )
    )
