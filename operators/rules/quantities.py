"""Quantities as sent, in the item's units: exact or refused (contract section 1)."""

from __future__ import annotations

from fractions import Fraction

from schemas.codes import QUANTITY_LIMIT

#: As objects that are at hand: a quantity may have more than 64 bits, so it is compared as the object that it is.
_LEAST, _MOST = 1 - QUANTITY_LIMIT, QUANTITY_LIMIT - 1


class QuantityError(ValueError):
    """A quantity that cannot be used; `code` is the contract's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UnitsOfMeasure:
    """An item's base unit, its scale and what other units are worth in it."""

    __slots__ = ("base", "base_worth", "factors", "is_safe", "scale", "whole")

    def __init__(self, base: str, scale: int, conversions: dict[str, Fraction], is_safe: bool = False) -> None:
        self.base = base
        self.scale = scale
        #: what is not exact is rounded to the safe side (operators/rules/rounding.py) instead of refused
        self.is_safe = is_safe
        self.factors = {uom: worth * 10**scale for uom, worth in conversions.items()}
        self.base_worth = 10**scale
        self.factors[base] = Fraction(self.base_worth)
        #: the factors that are whole, by which most quantities are multiplied
        self.whole = {uom: worth.numerator for uom, worth in self.factors.items() if worth.denominator == 1}

    def convert(self, quantity: int | str, uom: str, field: str) -> int:
        """Give the quantity in base UoM x 10^scale, or raise QuantityError."""
        if type(quantity) is int:
            times = self.whole.get(uom) if uom else self.base_worth
            if times is not None:
                converted: int = quantity * times
                if _LEAST <= converted <= _MOST:
                    return converted
        exact = self.exact(quantity, uom)
        if exact.denominator != 1:
            raise QuantityError(
                "quantity_not_exact",
                f"{field}: expected a multiple of 10^-{self.scale} {self.base}, got {quantity} {uom or self.base}",
            )
        return self.limited(exact.numerator, quantity, uom, field)

    def exact(self, quantity: int | str, uom: str) -> Fraction:
        """Give the quantity in base UoM x 10^scale, a fraction where it is not whole; QuantityError: unknown_uom."""
        worth = self.factors.get(uom or self.base)
        if worth is None:
            known = ", ".join(sorted(self.factors))
            raise QuantityError("unknown_uom", f"uom: expected one of {known}, got {uom}")
        exact: Fraction = Fraction(quantity) * worth
        return exact

    def limited(self, converted: int, quantity: int | str, uom: str, field: str) -> int:
        """Give what a quantity was converted to, or raise QuantityError where it is too large."""
        if abs(converted) >= QUANTITY_LIMIT:
            raise QuantityError(
                "bad_value", f"{field}: expected less than 2^53 after conversion, got {quantity} {uom or self.base}"
            )
        return converted
