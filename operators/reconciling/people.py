"""What a person decides on a variance: taken, or refused with a sentence that says what would do (section 9, ask)."""

from __future__ import annotations

from operators import position
from operators.reconciling.counts import count_of, say_count
from operators.reconciling.desk import Desk
from operators.reconciling.names import is_corrected, replaced
from operators.reconciling.standing import Standings
from operators.rules import causes, holds, variances
from schemas.reconciled import Decided, Standing
from schemas.state import Item
from schemas.units import Refusal
from schemas.variances import OWN_SOURCE


class Decisions:
    """One a shard."""

    def __init__(self, desk: Desk, standings: Standings) -> None:
        self._desk, self._shard, self._standings = desk, desk.shard, standings

    def take(self, said: Decided) -> None:
        """Take one, if it is about what stands there now."""
        item = self._shard.find(said.item)
        known = item.rare.variances.get(said.key) if item is not None and item.rare is not None else None
        if item is None or known is None:
            return self._refuse(said, "bad_value", f"key: expected a variance, got {said.key}")
        if known.id != said.id:
            text = f"id: expected {known.id}, the variance that stands there now, got {said.id}"
            return self._refuse(said, "conflict", text)
        state = variances.after(known.state, said.decision)
        if state is None:
            text = f"decision: expected one that a variance that is {known.state} can take, got {said.decision}"
            return self._refuse(said, "conflict", text)
        if said.decision in ("correct", "undo"):
            refusal = self._count(item, known, said)
            if refusal is not None:
                return self._refuse(said, *refusal)
        decided = replaced(known, state=state, decided_by=said.decided_by, reason=said.reason, held_since=0)
        self._desk.put(item, said.key, decided)
        self._standings.write(item, [decided])
        self._shard._note(item)
        return None

    def _refuse(self, said: Decided, code: str, message: str) -> None:
        self._desk.refuse(Refusal(said.origin, code, message, None, said.decided_by, said.decision))

    def _count(self, item: Item, known: Standing, said: Decided) -> tuple[str, str] | None:
        """Write the count that a person decided on; (code, sentence) where it cannot be."""
        if known.measure not in causes.PHYSICAL:
            return (
                "bad_value",
                f"key: expected one of on_hand or quarantined, which can be counted, got {known.measure}",
            )
        window = self._shard._windows.of(OWN_SOURCE)
        if self._shard.clock() - known.as_of > window:
            return "late", (
                "as_of: the count would be late, and refused: count what is there now, and send a stock_counted"
            )
        row = [one for one in position.rare_of(item).variances.values() if one.id == known.id]
        was_counted = is_corrected(self._shard.ids, item, known.id)
        judged = {one.measure: one.ours for one in row} if was_counted else {}
        if said.decision == "undo":
            return self._undo(item, known, row, said.reason)
        stated = {one.measure: one.theirs for one in row}
        found = count_of(self._desk, item, row, {known.measure}, judged, stated, by_person=True)
        if found is None:
            return "bad_value", (
                "key: what was stated cannot be counted: below 0, quarantined above on hand, a held lot, stock of lots "
                "without their names, or an on_hand that differs too and is to be corrected first"
            )
        done = any(one.state == variances.CORRECTED and one.id == known.id for one in row)
        event_id = f"{known.id}.{known.measure}" if done else known.id
        say_count(self._desk, item, known, found, event_id, known.as_of, said.reason)
        return None

    def _undo(self, item: Item, known: Standing, row: list[Standing], reason: str) -> tuple[str, str] | None:
        """Count what ours was, 1 us later. Of two counts of that moment the greater id stands: the second has it."""
        moment = known.as_of + 1
        is_second = any(one.state == variances.REJECTED for one in row if one.measure != known.measure)
        there = self._desk.ours(item, known.place, known.lot, "on_hand", moment) or 0
        count = holds.Count(
            known.ours if known.measure == "on_hand" else there,
            known.ours if known.measure == "quarantined" else None,
            frozenset({known.measure}),
        )
        if count.quantity < 0 or not 0 <= (count.quarantined or 0) <= count.quantity:
            return "bad_value", (
                "key: expected an ours that can be counted, at least 0 and quarantined at most on_hand, got on_hand "
                f"{count.quantity}, quarantined {count.quarantined or 0}: send a stock_adjusted, or count what is there"
            )
        event_id = f"{known.id}.undo.2" if is_second else f"{known.id}.undo"
        say_count(self._desk, item, known, count, event_id, moment, reason)
        return None
