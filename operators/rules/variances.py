"""What becomes of a variance: by the next statement, by what becomes known of ours, by a person (contract section 9).

Rule 1: everything that may change a state is in STEPS; what is not there is no step.
Rule 2: later means a greater (as_of, statement_id). A key shows the latest accepted statement that has it.
Rule 3: a rejected statement only adds keys that are not there or resolved, and resolves nothing.
"""

from __future__ import annotations

import msgspec

from schemas.reconciled import Standing

OPEN, HELD, CORRECTED, ACCEPTED, REJECTED, RESOLVED = "open", "held", "corrected", "accepted", "rejected", "resolved"

#: what happens -> state before -> state after, before the rules of its action look at it (open may become held then)
STEPS: dict[str, dict[str, str]] = {
    "differs": dict.fromkeys((OPEN, HELD, CORRECTED, ACCEPTED, REJECTED, RESOLVED), OPEN),
    "differs_as_before": dict.fromkeys((OPEN, HELD, CORRECTED, REJECTED, RESOLVED), OPEN) | {ACCEPTED: ACCEPTED},
    "agrees": dict.fromkeys((OPEN, HELD, CORRECTED, ACCEPTED, REJECTED), RESOLVED),
    "holds": {OPEN: HELD, HELD: HELD},
    "holds_nothing": {OPEN: OPEN, HELD: OPEN},
    "becomes_equal": {OPEN: RESOLVED, HELD: RESOLVED},
    "is_counted_since": {OPEN: RESOLVED, HELD: RESOLVED},
    "correct": {OPEN: CORRECTED, HELD: CORRECTED},
    "accept": {OPEN: ACCEPTED, HELD: ACCEPTED},
    "reject": {OPEN: REJECTED, HELD: REJECTED},
    "undo": {CORRECTED: REJECTED},  # ours stands again: as of as_of it is theirs that was counted
}


def after(state: str, step: str) -> str | None:
    """Give the state that a step leads to; None where it cannot be taken, and nothing changes."""
    return STEPS[step].get(state)


def is_later(as_of: int, statement_id: str, than: Standing) -> bool:
    """Is a statement later than the one that a key shows? `as_of` and what was last seen are the statements' own."""
    return (as_of, statement_id) > (than.last_seen, than.statement_id)


def by_accepted(known: Standing | None, new: Standing) -> Standing:
    """Give what stands under a key when an accepted statement differs there. `new`: first and last seen as of it."""
    if known is None or known.state == RESOLVED:
        return new
    if not is_later(new.last_seen, new.statement_id, known) and known.action:
        return msgspec.structs.replace(known, first_seen=min(known.first_seen, new.first_seen))
    step = "differs_as_before" if known.difference == new.difference else "differs"
    state = after(known.state, step)
    assert state is not None
    found = msgspec.structs.replace(
        new, state=state, first_seen=min(known.first_seen, new.first_seen), held_since=known.held_since
    )
    if state == ACCEPTED:
        return msgspec.structs.replace(
            found, decided_by=known.decided_by, reason=known.reason, action=known.action, held_since=0
        )
    return found


def by_rejected(known: Standing | None, new: Standing) -> Standing | None:
    """Give what stands under a key when a rejected statement differs there; None: what stood."""
    return new if known is None or known.state == RESOLVED else None


def by_agreeing(known: Standing, as_of: int, statement_id: str) -> Standing | None:
    """Give what stands when a later accepted statement agrees; None: what stood."""
    state = after(known.state, "agrees")
    if state is None or not is_later(as_of, statement_id, known):
        return None
    return msgspec.structs.replace(known, state=state, decided_by="rule", reason="", held_since=0)
