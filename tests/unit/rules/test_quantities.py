"""Decides whether a quantity as sent becomes the exact one in the item's units, or is refused (contract section 1)."""

from __future__ import annotations

from fractions import Fraction

import pytest

from operators.rules.quantities import QuantityError, UnitsOfMeasure
from schemas.codes import QUANTITY_LIMIT as LIMIT

EACH = UnitsOfMeasure("each", 0, {"case": Fraction(12), "half": Fraction(1, 2), "third": Fraction(1, 3)})
KILOS = UnitsOfMeasure("kg", 2, {"g": Fraction(1, 1000), "bag": Fraction(5, 2)})


def refused(units: UnitsOfMeasure, quantity: int | str, uom: str = "", field: str = "quantity") -> tuple[str, str]:
    with pytest.raises(QuantityError) as caught:
        units.convert(quantity, uom, field)
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize(
    ("units", "quantity", "uom", "expected"),
    [
        (EACH, 7, "", 7),
        (EACH, 7, "each", 7),
        (EACH, -7, "", -7),
        (EACH, 0, "case", 0),
        (EACH, 2, "case", 24),
        (EACH, "0.25", "case", 3),
        (EACH, 4, "half", 2),
        (EACH, 9, "third", 3),
        (KILOS, 7, "", 700),
        (KILOS, 7, "kg", 700),
        (KILOS, "200.5", "kg", 20050),
        (KILOS, "-0.01", "", -1),
        (KILOS, 10, "g", 1),
        (KILOS, 3, "bag", 750),
    ],
)
def test_a_quantity_is_kept_in_base_units_times_the_scale(
    units: UnitsOfMeasure, quantity: int | str, uom: str, expected: int
) -> None:
    converted = units.convert(quantity, uom, "quantity")
    assert (converted, type(converted)) == (expected, int)


@pytest.mark.parametrize(
    ("units", "quantity", "uom"),
    [(EACH, "0.5", ""), (EACH, 1, "half"), (EACH, 1, "third"), (KILOS, "0.001", ""), (KILOS, 1, "g")],
)
def test_what_is_not_exact_in_the_items_scale_is_refused(units: UnitsOfMeasure, quantity: int | str, uom: str) -> None:
    assert refused(units, quantity, uom)[0] == "quantity_not_exact"


def test_a_unit_of_measure_the_item_does_not_know_is_refused_with_those_it_knows() -> None:
    code, message = refused(EACH, 1, "pallet")
    assert code == "unknown_uom"
    assert message == "uom: expected one of case, each, half, third, got pallet"


@pytest.mark.parametrize("sign", [1, -1])
def test_quantities_stay_below_2_to_the_53_so_that_every_reader_sees_them_exactly(sign: int) -> None:
    assert LIMIT == 2**53
    assert EACH.convert(sign * (LIMIT - 1), "", "quantity") == sign * (LIMIT - 1)
    assert EACH.convert(sign * (LIMIT - 1), "each", "quantity") == sign * (LIMIT - 1)
    for quantity in (LIMIT, LIMIT + 1):
        assert refused(EACH, sign * quantity)[0] == "bad_value"


@pytest.mark.parametrize("sign", [1, -1])
def test_the_limit_holds_after_conversion(sign: int) -> None:
    assert EACH.convert(sign * 2 * (LIMIT - 1), "half", "quantity") == sign * (LIMIT - 1)
    assert refused(EACH, sign * 2 * LIMIT, "half")[0] == "bad_value"
    assert refused(EACH, sign * 2 * (LIMIT + 1), "half")[0] == "bad_value"
    assert refused(KILOS, sign * (LIMIT // 100 + 1))[0] == "bad_value"
    assert KILOS.convert(sign * (LIMIT // 100), "", "quantity") == sign * (LIMIT // 100) * 100


def test_a_conversion_that_names_the_base_unit_changes_nothing_of_it() -> None:
    units = UnitsOfMeasure("each", 0, {"each": Fraction(12)})
    assert units.convert(3, "each", "quantity") == units.convert(3, "", "quantity") == 3


def test_the_message_names_the_field_what_was_expected_and_what_came() -> None:
    assert refused(EACH, "0.5", "", "quarantined") == (
        "quantity_not_exact",
        "quarantined: expected a multiple of 10^-0 each, got 0.5 each",
    )
    assert refused(EACH, LIMIT, "", "quarantined")[1].startswith(
        "quarantined: expected less than 2^53 after conversion"
    )
    assert refused(KILOS, LIMIT, "bag", "quarantined")[1] == (
        f"quarantined: expected less than 2^53 after conversion, got {LIMIT} bag"
    )
    assert refused(KILOS, LIMIT)[1] == f"quantity: expected less than 2^53 after conversion, got {LIMIT} kg"


def test_a_ratio_that_no_decimal_can_say_is_exact() -> None:
    cans = UnitsOfMeasure("case", 2, {"can": Fraction(1, 12)})
    assert [cans.convert(sent, "can", "quantity") for sent in (12, 3, -6, "1.5e1")] == [100, 25, -50, 125]
    assert refused(cans, 1, "can")[0] == "quantity_not_exact"


def test_before_it_is_judged_a_quantity_is_a_fraction() -> None:
    assert EACH.exact(1, "half") == Fraction(1, 2)
    assert EACH.exact("-0.5", "case") == -6
    assert KILOS.exact(1, "g") == Fraction(1, 10)
    with pytest.raises(QuantityError) as caught:
        EACH.exact(1, "pallet")
    assert caught.value.code == "unknown_uom"


@pytest.mark.parametrize("converted", [LIMIT, -LIMIT, LIMIT + 1])
def test_what_was_converted_has_to_stay_below_2_to_the_53(converted: int) -> None:
    assert EACH.limited(LIMIT - 1, 1, "", "quantity") == LIMIT - 1
    assert EACH.limited(1 - LIMIT, 1, "", "quantity") == 1 - LIMIT
    with pytest.raises(
        QuantityError, match=r"^quantity: expected less than 2\^53 after conversion, got 7 case$"
    ) as caught:
        EACH.limited(converted, 7, "case", "quantity")
    assert caught.value.code == "bad_value"


def test_nothing_is_rounded_that_is_not_asked_for() -> None:
    assert EACH.is_safe is False
    safe = UnitsOfMeasure("each", 0, {"half": Fraction(1, 2)}, True)
    assert safe.is_safe is True
    assert refused(safe, 1, "half")[0] == "quantity_not_exact", "rounding is another step: the exact one comes first"


def test_units_of_measure_are_what_the_record_says() -> None:
    kilos = UnitsOfMeasure("kg", 2, {"bag": Fraction(5, 2)})
    assert (kilos.base, kilos.scale) == ("kg", 2)
    assert kilos.factors == {"kg": 100, "bag": 250}
    assert [kilos.convert("1.5", uom, "quantity") for uom in ("", "kg", "bag")] == [150, 150, 375]
