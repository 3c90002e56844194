"""How much of a doubtful unit is withheld, and whether a difference may be corrected by itself (contract section 9).

Rule 1: what is doubtful is not promised meanwhile; a hold never ends by time.
Rule 2: a correction that could promise what is not there asks a person first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: actions because of which something is withheld
HOLDING = ("hold", "ask")
#: causes that say that theirs is wrong, or not yet right
NOT_THEIRS = frozenset({"unit", "sign", "in_flight", "stale"})
#: causes that say that theirs may be wrong where it is more than ours
MAY_BE_OURS = frozenset({"doubled", "missing_there", "missing_here"})


def takes_part(measure: str, difference: int) -> bool:
    """May something be withheld because of such a difference: less on hand than ours, or more quarantined?"""
    return (measure == "on_hand" and difference < 0) or (measure == "quarantined" and difference > 0)


def held_of_row(figures: Mapping[str, tuple[int, int]]) -> int:
    """Give how much one row withholds. `figures`: measure -> (ours, theirs), of those that are to be held.

    Source: section 9, Actions: max(0, ours' on_hand - quarantined - (theirs' on_hand, at least 0, - quarantined)); what
    is not to be held is taken as ours, and so adds nothing.
    """
    total = 0
    if "on_hand" in figures:
        ours, theirs = figures["on_hand"]
        total += ours - max(0, theirs)
    if "quarantined" in figures:
        ours, theirs = figures["quarantined"]
        total += theirs - ours
    return max(0, total)


def withheld_at(rows: Iterable[tuple[str, int]]) -> int:
    """Give what is withheld of an item at a location: of (source, held) the greatest sum of a source."""
    sums: dict[str, int] = {}
    for source, held in rows:
        sums[source] = sums.get(source, 0) + held
    return max(sums.values(), default=0)


@dataclass(frozen=True, slots=True)
class Correctable:
    """A row with a measure that is to be corrected. Figures are of its cell as of the row's as_of.

    `differences`: measure -> cause, of those in variance. `wanted`: measures whose action is correct.
    `lots_there`: the row has no lot, and some lot is not 0 there.
    """

    ours_on_hand: int
    ours_quarantined: int
    theirs: Mapping[str, int]
    differences: Mapping[str, str]
    wanted: frozenset[str]
    is_lot_held: bool = False
    lots_there: bool = False
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """A stock_counted: what was there. `quarantined` None: it says nothing of that."""

    quantity: int
    quarantined: int | None
    measures: frozenset[str]


def correction(row: Correctable, by_person: bool = False) -> Count | None:
    """Give the count that corrects a row, with the measures that it corrects; the others act as `ask`.

    None: all of them ask. `by_person`: somebody decided, so that only what cannot be counted stands against it.
    """
    if row.lots_there or row.is_late:
        return None
    measures = set(row.wanted & row.differences.keys())
    if row.is_lot_held:
        measures.discard("quarantined")
    if not by_person:
        measures -= {measure for measure in measures if row.differences[measure] in NOT_THEIRS}
    stated = row.theirs.get("quarantined")
    if not by_person and stated is not None and stated > row.theirs.get("on_hand", row.ours_on_hand):
        return None
    raises = sum(_sign(one) * (row.theirs[one] - _ours(row, one)) for one in row.wanted & row.differences.keys()) > 0
    while True:
        if "on_hand" in row.differences and "on_hand" not in measures:
            return None  # a count says what is on hand, and that is not to be corrected
        if not measures:
            return None
        quantity = row.theirs["on_hand"] if "on_hand" in measures else row.ours_on_hand
        quarantined = row.theirs["quarantined"] if "quarantined" in measures else None
        if quantity < 0 or (quarantined is not None and not 0 <= quarantined <= quantity):
            return None
        doubtful = {measure for measure in measures if row.differences[measure] in MAY_BE_OURS}
        if by_person or not (raises and doubtful):
            return Count(quantity, quarantined, frozenset(measures))
        measures -= doubtful


def _sign(measure: str) -> int:
    return 1 if measure == "on_hand" else -1


def _ours(row: Correctable, measure: str) -> int:
    return row.ours_on_hand if measure == "on_hand" else row.ours_quarantined
