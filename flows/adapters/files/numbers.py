"""Decides which number a cell of a table means, or that it could be two.

`1.000` is one in New York and a thousand in Hamburg, and nothing in the cell says where it was written. So:

1. What the command says (`--decimal`, `--thousands`) holds.
2. A table that is separated by commas has points before its decimals: a program that writes decimal commas has to
   separate by something else.
3. In any other table a number has to speak for itself: `1,5`, `1.234,56`, `1.234.567` and `0.125` can be read in one
   way only; `1.000` and `1,000` in two, and such a cell is refused with both of its meanings.

A mark of thousands stands before each three digits, from the first that there is. JSON Lines have JSON's numbers, and
nothing of this.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from schemas.settings import SettingsError

POINT, COMMA, SPACE, NONE = ".", ",", "space", "none"
DECIMALS: Final = (COMMA, POINT)
THOUSANDS: Final = (POINT, COMMA, SPACE, NONE)

#: What programs write between thousands: a space, or one at which no line ends (wide or narrow).
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " "})
_shape = re.compile(r"(-?)([0-9][0-9., ]*?)([eE][+-]?[0-9]+)?").fullmatch
_grouped = {
    mark: re.compile(rf"[1-9][0-9]{{0,2}}(?:{re.escape(mark)}[0-9]{{3}})+").fullmatch for mark in (".", ",", " ")
}


class TwoMeaningsError(ValueError):
    """A cell can be read as two numbers."""

    def __init__(self, text: str, mark: str) -> None:
        whole, small = text.replace(mark, ""), text.replace(mark, ".")
        other = COMMA if mark == POINT else POINT
        super().__init__(
            f"expected a number that can be read in one way, got {text}, which is {whole} or {small}: say --decimal "
            f"{other} for {whole}, --decimal {mark} for {small}"
        )


class Marks(NamedTuple):
    """What is known of a table's numbers: the mark before decimals and the one between thousands; empty if nothing."""

    decimal: str = ""
    thousands: str = ""


UNSAID: Final = Marks()


def marks_of(decimal: str | None, thousands: str | None) -> Marks:
    """Read what the command says; SettingsError if it cannot be."""
    if decimal is not None and decimal not in DECIMALS:
        raise SettingsError(f"--decimal: expected one of {' '.join(DECIMALS)}, got {decimal}")
    if thousands is not None and thousands not in THOUSANDS:
        raise SettingsError(f"--thousands: expected one of {' '.join(THOUSANDS)}, got {thousands}")
    if decimal is not None and decimal == thousands:
        raise SettingsError(f"--thousands: expected another mark than --decimal, got {thousands} for both")
    if decimal is None and thousands in DECIMALS:
        decimal = COMMA if thousands == POINT else POINT
    return Marks(decimal or "", thousands or "")


def of_table(said: Marks, delimiter: str) -> Marks:
    """Add what a table's own form tells."""
    if said == UNSAID and delimiter == ",":
        return Marks(POINT, "")
    return said


def read(text: str, marks: Marks) -> int | str:
    """Give an int, or JSON's text of a number; what is no number stays as it is, for the rule that says so.

    TwoMeaningsError if it could be two numbers.
    """
    if len(text) <= 18 and text.isascii() and text.isdigit():
        # Not what int() takes beyond JSON's grammar ("007").
        return int(text) if text[0] != "0" or text == "0" else text
    found = _shape(text.translate(_SPACES))
    if found is None:
        return text
    sign, body, exponent = found.groups()
    plain = _plain(body, marks, exponent is not None)
    if plain is None:
        return text
    told = sign + plain + (exponent or "")
    return int(told) if plain.isdigit() and len(told) <= 18 and exponent is None else told


def _plain(body: str, marks: Marks, has_exponent: bool) -> str | None:
    """Give digits with at most one point among them; None if it is no number by these marks."""
    whole, decimals, mark = body, "", ""
    points, commas = body.count(POINT), body.count(COMMA)
    if points or commas:
        last = POINT if body.rfind(POINT) > body.rfind(COMMA) else COMMA
        if (points if last == POINT else commas) == 1 and _may_be_decimal(body, last, marks, has_exponent):
            mark = last
            whole, _, decimals = body.rpartition(mark)
            if not decimals.isdigit():
                return None
    if not whole.isdigit():
        between = next((sign for sign in (" ", POINT, COMMA) if sign in whole), "")
        if between == mark or not _may_group(between, marks) or has_exponent or not _grouped[between](whole):
            return None
        whole = whole.replace(between, "")
    return f"{whole}.{decimals}" if mark else whole


def _may_be_decimal(body: str, mark: str, marks: Marks, has_exponent: bool) -> bool:
    """Does the one `mark`, the last of a number, stand before decimals? TwoMeaningsError if nobody can know."""
    if marks.decimal:
        return mark == marks.decimal
    if marks.thousands or has_exponent or not _grouped[mark](body):
        return mark != marks.thousands
    raise TwoMeaningsError(body, mark)


def _may_group(mark: str, marks: Marks) -> bool:
    """May it stand between thousands?"""
    said = " " if marks.thousands == SPACE else marks.thousands
    return bool(mark) and mark != marks.decimal and said in ("", mark)
