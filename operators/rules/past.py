"""What a cell held at a moment that a statement speaks of (contract section 9, ours).

Rule 1: what occurred after the moment is left out, counts among it: the newest count up to the moment, and the changes
        after that up to the moment, are what was there.
Rule 2: what the newest count swallowed is put aside (`Pasts`) while a statement may still ask for a moment before it.
Rule 3: what is not known any more is None, never a guess.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TypeAlias

from schemas.aside import Past, Pasts
from schemas.state import Cell, Moment

#: occurred_at, change, occurred_at, change ...
Journal: TypeAlias = "array[int] | None"
#: before any event
NEVER = -(1 << 62)
#: Journals of so many numbers are summed once, and then only what came since: an item that sells all day has 100,000
#: of them, and each of its events is to be held against each open variance of it.
LONG = 512
SUMMED_MAX = 4096
#: (identity of a journal, moment) -> the journal, how much of it is summed, the sum of what is later than the moment.
#: Journals only grow; one that is pruned is another one.
_summed: dict[tuple[int, int], tuple[array[int], int, int]] = {}


def on_hand(cell: Cell, moment: int, horizon: int) -> int | None:
    """Give a cell's on_hand as of a moment; None where the state does not reach back. `horizon`: journals begin there.

    Source: contract section 4, Counts, for the units with occurred_at up to the moment.
    """
    return _at(
        cell.count, cell.on_hand, cell.moves, cell.past.on_hand if cell.past is not None else None, moment, horizon
    )


def quarantined(cell: Cell, moment: int, horizon: int) -> int | None:
    """Give a cell's quarantined as of a moment; None where the state does not reach back."""
    return _at(
        cell.quarantine_count,
        cell.quarantined,
        cell.quarantine_moves,
        cell.past.quarantined if cell.past is not None else None,
        moment,
        horizon,
    )


def _at(
    count: Moment | None, now: int, moves: array[int] | None, past: Past | None, moment: int, horizon: int
) -> int | None:
    if count is None or count[0] <= moment:
        return now - _after(moves, moment) if moment >= horizon else None
    return None if past is None else _of_past(past, moment)


def on_hands(cell: Cell, moments: Sequence[int], horizon: int) -> list[int | None]:
    """Give a cell's on_hand as of each of many moments: as `on_hand`, and each journal is walked once."""
    aside = cell.past.on_hand if cell.past is not None else None
    times, sums = _running(_pairs(cell.moves))
    older, older_sums = _running(aside.moves) if aside is not None else ([], [0])
    found: list[int | None] = []
    for moment in moments:
        known = None
        if cell.count is None or cell.count[0] <= moment:
            if moment >= horizon:
                known = cell.on_hand - (sums[-1] - sums[bisect_right(times, moment)])
        elif aside is not None and moment >= aside.since:
            start, quantity = _started(aside, moment)
            known = quantity + older_sums[bisect_right(older, moment)] - older_sums[bisect_right(older, start)]
        found.append(known)
    return found


def _running(entries: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Give the moments of changes in order, and what the first n of them add up to, from n = 0 on."""
    ordered = sorted(entries)
    return [at for at, _ in ordered], [0, *accumulate([change for _, change in ordered])]


def _of_past(past: Past, moment: int) -> int | None:
    if moment < past.since:
        return None
    start, quantity = _started(past, moment)
    return quantity + sum([change for at, change in past.moves if start < at <= moment])


def _started(past: Past, moment: int) -> tuple[int, int]:
    """Give the newest word up to a moment, and the quantity that it gave."""
    known = max((entry for entry in past.counts if entry[0][0] <= moment), default=None)
    return (known[0][0], known[1]) if known is not None else (past.base_at, past.base)


def move(past: Past | None, occurred_at: int, change: int) -> None:
    """Note a change that is not later than the newest count."""
    if past is None or occurred_at <= past.base_at:
        return
    if occurred_at <= past.since:
        past.base += change
    else:
        past.moves.append((occurred_at, change))


def count(cell: Cell, word: Moment, quantity: int, quarantined: int | None, horizon: int) -> None:
    """Put aside what a count is about to swallow, or the count itself where a newer one stands."""
    if cell.past is None:
        cell.past = Pasts()
    cell.past.on_hand = _counted(cell.past.on_hand, cell.count, cell.on_hand, cell.moves, word, quantity, horizon)
    if quarantined is not None:
        cell.past.quarantined = _counted(
            cell.past.quarantined,
            cell.quarantine_count,
            cell.quarantined,
            cell.quarantine_moves,
            word,
            quarantined,
            horizon,
        )


def _counted(
    past: Past | None,
    newest: Moment | None,
    now: int,
    moves: array[int] | None,
    word: Moment,
    quantity: int,
    horizon: int,
) -> Past | None:
    if newest is not None and word <= newest:
        if past is not None and word[0] > past.base_at and word != newest:
            past.counts.append((word, quantity))
        elif past is None and word != newest:
            # Of a state that put nothing aside: from this count on it is known, but for what was swallowed since.
            past = Past(quantity, word[0], newest[0])
        return past
    before = now - _after(moves, NEVER)
    if past is None:
        start = newest[0] if newest is not None else NEVER
        past = Past(before, start, max(start, horizon))
    elif newest is not None:
        past.counts.append((newest, before))
    past.moves.extend(entry for entry in _pairs(moves) if entry[0] <= word[0])
    return past


def forget(cell: Cell, horizon: int) -> bool:
    """Drop what no moment after `horizon` can ask for; true if anything went. Nothing left is written so once."""
    pasts = cell.past
    if pasts is None:
        return False
    before = _size(pasts.on_hand) + _size(pasts.quarantined)
    pasts.on_hand = _shortened(pasts.on_hand, cell.count, horizon)
    pasts.quarantined = _shortened(pasts.quarantined, cell.quarantine_count, horizon)
    return _size(pasts.on_hand) + _size(pasts.quarantined) != before


def _shortened(past: Past | None, newest: Moment | None, horizon: int) -> Past | None:
    if past is None or newest is None or newest[0] <= horizon:
        return None
    if horizon <= past.since:
        return past
    base = _of_past(past, horizon)
    assert base is not None
    start = max((word[0] for word, _ in past.counts if word[0] <= horizon), default=past.base_at)
    return Past(
        base,
        start,
        horizon,
        [entry for entry in past.counts if entry[0][0] > horizon],
        [entry for entry in past.moves if entry[0] > horizon],
    )


def _size(past: Past | None) -> int:
    return 0 if past is None else 1 + len(past.counts) + len(past.moves)


def _pairs(moves: Journal) -> list[tuple[int, int]]:
    numbers = list(moves) if moves is not None else []
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _after(moves: Journal, moment: int) -> int:
    """Sum the changes of a journal that are later than a moment."""
    if not moves:
        return 0
    size = len(moves)
    if size < LONG:
        return _sum_after(moves, 0, moment)
    key = (id(moves), moment)
    known = _summed.get(key)
    if known is not None and known[0] is moves:
        total = known[2] + _sum_after(moves, known[1], moment)
    else:
        if len(_summed) >= SUMMED_MAX:
            _summed.clear()
        total = _sum_after(moves, 0, moment)
    _summed[key] = (moves, size, total)
    return total


def _sum_after(moves: array[int], begin: int, moment: int) -> int:
    total = 0
    numbers = moves
    for position in range(begin, len(moves), 2):
        if numbers[position] > moment:
            total += numbers[position + 1]
    return total
