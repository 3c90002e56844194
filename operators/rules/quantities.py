"""Quantities as sent, in the item's units: exact or refused (contract section 1)."""

from __future__ import annotations

from fractions import Fraction

LIMIT = 2**53


class QuantityError(ValueError):
    """A quantity that cannot be used; `code` is the contract's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UnitsOfMeasure:
    """An item's base unit, its scale and what other units are worth in it."""

    __slots__ = ("base", "factors", "factor", "scale")

    def __init__(self, base: str, scale: int, conversions: dict[str, Fraction]) -> None:
        self.base = base
        self.scale = scale
        self.factor = 10**scale
        self.factors = {uom: worth * self.factor for uom, worth in conversions.items()}
        self.factors[base] = Fraction(self.factor)

    def convert(self, quantity: int | str, uom: str, field: str) -> int:
        """Give the quantity in base UoM x 10^scale, or raise QuantityError."""
        if type(quantity) is int and self.factor == 1 and (not uom or uom == self.base):
            if -LIMIT < quantity < LIMIT:
                return quantity
            raise QuantityError("bad_value", f"{field}: expected less than 2^53 in base units, got {quantity}")
        worth = self.factors.get(uom or self.base)
        if worth is None:
            known = ", ".join(sorted(self.factors))
            raise QuantityError("unknown_uom", f"uom: expected one of {known}, got {uom}")
        exact = Fraction(quantity) * worth
        if exact.denominator != 1:
            raise QuantityError(
                "quantity_not_exact",
                f"{field}: expected a multiple of 10^-{self.scale} {self.base}, got {quantity} {uom or self.base}",
            )
        if abs(exact.numerator) >= LIMIT:
            raise QuantityError(
                "bad_value", f"{field}: expected less than 2^53 after conversion, got {quantity} {uom or self.base}"
            )
        return int(exact.numerator)
