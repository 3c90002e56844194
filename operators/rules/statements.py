"""When a row is due, whether it agrees, and what becomes of its statement (contract section 9).

Rule 1: a row agrees by its own as_of, whatever came since; nothing of a statement is counted.
Rule 2: a statement that is not whole, contradicts itself or is absurd changes nothing: an empty file never means zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

#: What speaks against a statement, in the order in which it is said.
REASONS = (
    "not_started",
    "not_ended",
    "rows_missing",
    "rows_too_many",
    "contradicts_itself",
    "empty",
    "fewer_than_last",
    "too_many_in_variance",
)


def due_at(recorded_at: int, as_of: int, settle: int) -> int:
    """Give J, when a row is judged at the earliest: its Kafka timestamp, or as_of + settle where that is later."""
    return max(recorded_at, as_of + settle)


def reasons_against(
    *,
    has_start: bool,
    has_end: bool,
    said: tuple[int | None, int | None],
    seen: int,
    refused: int,
    conflicts: int,
    in_variance: int,
    absent: int,
    last_taken: int | None,
    most_in_variance_percent: int | Fraction,
    least_of_last_percent: int | Fraction,
) -> list[str]:
    """Give why a statement is rejected, in the order of REASONS; an empty list accepts it.

    `said`: how many rows its start and its end announced. `last_taken`: what the last accepted statement of all items
    of the same locations took; None where there is none, or this one is not of all items. One row in variance, absent
    or not, is never too many.
    """
    taken = seen - refused
    announced = [rows for rows in said if rows is not None]
    differing = in_variance + absent
    found = {
        "not_started": not has_start,
        "not_ended": not has_end,
        "rows_missing": any(seen < rows for rows in announced),
        "rows_too_many": any(seen > rows for rows in announced),
        "contradicts_itself": conflicts > 0,
        "empty": taken < 1,
        "fewer_than_last": last_taken is not None and 100 * taken < least_of_last_percent * last_taken,
        "too_many_in_variance": differing > 1 and 100 * differing > most_in_variance_percent * (taken + absent),
    }
    return [reason for reason in REASONS if found[reason]]


def explained_percent(units: Fraction, explained: Fraction) -> float:
    """Give how much of what differs has a cause, in percent of units, one decimal, rounded down; 100 if nothing does.

    `units`, `explained`: sums of |difference| in base UoM.
    """
    if not units:
        return 100.0
    return (1000 * explained // units) / 10


def decimal_text(quantity: Fraction) -> str:
    """Give the shortest decimal text of a quantity of at most six decimals."""
    whole = quantity * 10**6
    assert whole.denominator == 1
    digits = f"{abs(whole.numerator):07d}"
    text = f"{digits[:-6]}.{digits[-6:]}".rstrip("0").rstrip(".")
    return f"-{text}" if quantity < 0 else text


def added_causes(sums: dict[str, dict[str, int]], more: Mapping[str, Mapping[str, int]]) -> None:
    """Add rows by measure and cause to sums of them."""
    for measure, causes in more.items():
        known = sums.setdefault(measure, {})
        for cause, rows in causes.items():
            known[cause] = known.get(cause, 0) + rows
