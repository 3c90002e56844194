"""What is on hand in a cell: the newest count and every movement later than it (contract section 4, Counts).

Rule 1: a movement counts if its occurred_at is later than the newest count's; equal is inside the count.
Rule 2: order of arrival means nothing: a count that comes late sums the movements after it from the journal.
Rule 3: the journal keeps a movement only while a count that could still be accepted might come before it; what
        is older is in `on_hand` already and every such count swallows it whole.
"""

from __future__ import annotations

from array import array

from operators.rules import native, past
from schemas.state import Cell, Moment

#: A journal shorter than this is not worth pruning: 32 pairs are 512 bytes.
PRUNE_FROM = 64
#: what a journal begins as
EMPTY = array("q")
# A name that others import is an object, and this is a plain number once compiled.
_PRUNE_FROM = PRUNE_FROM


def move(cell: Cell, occurred_at: int, quantity: int, quarantined: int, horizon: int) -> None:
    """Add a movement. `horizon`: no count at or before it can be accepted any more."""
    if quantity and cell.count is not None and _is_inside(cell.count, occurred_at):
        if cell.past is not None:
            past.move(cell.past.on_hand, occurred_at, quantity)
    elif quantity:
        cell.on_hand += quantity
        if occurred_at > horizon:
            moves = cell.moves
            if moves is None:
                moves = cell.moves = native.fresh(EMPTY)
            native.append_pair(moves, occurred_at, quantity)
            if _is_due_for_pruning(moves):
                _replace_moves(cell, _after(moves, horizon))
    if quarantined and cell.quarantine_count is not None and _is_inside(cell.quarantine_count, occurred_at):
        if cell.past is not None:
            past.move(cell.past.quarantined, occurred_at, quarantined)
    elif quarantined:
        cell.quarantined += quarantined
        if occurred_at > horizon:
            moves = cell.quarantine_moves
            if moves is None:
                moves = cell.quarantine_moves = native.fresh(EMPTY)
            native.append_pair(moves, occurred_at, quarantined)
            if _is_due_for_pruning(moves):
                _replace_quarantine_moves(cell, _after(moves, horizon))


def count(cell: Cell, word: Moment, quantity: int, quarantined: int | None, horizon: int) -> None:
    """Set what was there at the count's moment, if no newer count is known. What was before is put aside for a while.

    `horizon`: no statement is as of a moment before it.
    """
    if word[0] > horizon:
        past.count(cell, word, quantity, quarantined, horizon)
    if cell.count is None or word > cell.count:
        cell.count = word
        _replace_moves(cell, _after(cell.moves, word[0]))
        cell.on_hand = quantity + _sum(cell.moves)
    if quarantined is not None and (cell.quarantine_count is None or word > cell.quarantine_count):
        cell.quarantine_count = word
        _replace_quarantine_moves(cell, _after(cell.quarantine_moves, word[0]))
        cell.quarantined = quarantined + _sum(cell.quarantine_moves)


def forget_moves(cell: Cell, horizon: int) -> bool:
    """Drop journal entries no acceptable count can precede; true if any went."""
    is_past = cell.past is not None and past.forget(cell, horizon)
    before = _size(cell.moves) + _size(cell.quarantine_moves)
    if not before:
        return is_past
    _replace_moves(cell, _after(cell.moves, horizon))
    _replace_quarantine_moves(cell, _after(cell.quarantine_moves, horizon))
    return is_past or _size(cell.moves) + _size(cell.quarantine_moves) != before


def _is_inside(word: Moment, occurred_at: int) -> bool:
    """Rule 1, of a count and a movement."""
    counted_at = word[0]
    return occurred_at <= counted_at


def _is_due_for_pruning(moves: array[int]) -> bool:
    # At each doubling, so that the cost stays constant for each movement however long the journal is.
    size = len(moves)
    return size >= _PRUNE_FROM and size & (size - 1) == 0


def _replace_moves(cell: Cell, kept: array[int] | None) -> None:
    if _size(kept) != _size(cell.moves):
        cell.moves = kept
        cell.recorded = -1


def _replace_quarantine_moves(cell: Cell, kept: array[int] | None) -> None:
    if _size(kept) != _size(cell.quarantine_moves):
        cell.quarantine_moves = kept
        cell.quarantine_recorded = -1


def _size(moves: array[int] | None) -> int:
    return len(moves) if moves is not None else 0


def _after(moves: array[int] | None, moment: int) -> array[int] | None:
    if not moves:
        return None
    kept = native.fresh(EMPTY)
    for position in range(0, len(moves), 2):
        if moves[position] > moment:
            native.append_pair(kept, moves[position], moves[position + 1])
    return kept if kept else None


def _sum(moves: array[int] | None) -> int:
    return sum(moves[1::2]) if moves else 0
