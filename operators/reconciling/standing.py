"""Variances as they stand: what becomes known later changes them, and because of them something is withheld.

An open or held variance says ours as of its moment as it is known now, until it agrees or its cell was counted since.
What is withheld of an item at a location follows from all of its variances, and is asked for until the item's own state
says so. What is withheld for too long is reported.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache

from operators import ours, position
from operators.evaluate import measure_of
from operators.reconciled_json import hold_event, variance_json
from operators.reconciling.desk import Desk
from operators.reconciling.names import is_corrected, key_of, replaced
from operators.rules import causes, holds, variances
from operators.rules.reconciliation import ReconciliationFacts, agrees
from schemas.messages import ExceptionNote
from schemas.reconciled import ATP, Standing
from schemas.state import Item
from schemas.topics import VARIANCES, WAREHOUSE
from schemas.variances import OWN_SOURCE

LIVE = (variances.OPEN, variances.HELD)
#: the tolerance of what agrees only where ours is theirs
EXACT = "0"
#: (item, location, quantity): what was last asked to be withheld
Asked = tuple[str, str, int]
#: (item, location, since when something is withheld, when that was reported; 0: not yet)
Held = tuple[str, str, int, int]


class Standings:
    """One a shard."""

    def __init__(self, desk: Desk, asked: Iterable[Asked] = (), held: Iterable[Held] = ()) -> None:
        self._desk, self._shard = desk, desk.shard
        self._asked = {(item, location): quantity for item, location, quantity in asked}
        self._held = {(item, location): (since, told) for item, location, since, told in held}
        #: (since, item, location) of what was not reported yet, the oldest first; some may be over
        self._alerts = deque(sorted((since, *key) for key, (since, told) in self._held.items() if not told))

    def asked(self) -> list[Asked]:
        """Give what was asked and is not there yet, for a snapshot."""
        return [(*key, quantity) for key, quantity in self._asked.items()]

    def held(self) -> list[Held]:
        """Give where something is withheld, for a snapshot."""
        return [(*key, *since) for key, since in self._held.items()]

    # --- what becomes known later ------------------------------------------------------------------------------------

    def look(self, item: Item) -> None:
        """An item changed: its open variances say ours as it is known now."""
        assert item.rare is not None
        changed = []
        #: (place, lot, measure, as_of) -> ours, where it was not counted since: many statements may speak of one moment
        known: dict[tuple[str, str, str, int], int | None] = {}
        for key, standing in item.rare.variances.items():
            if standing.state not in LIVE:
                continue
            if standing.tolerance == EXACT == standing.tolerance_percent:
                cell = (standing.place, standing.lot, standing.measure, standing.as_of)
                if cell not in known:
                    known[cell] = self._uncounted(item, *cell)
                if known[cell] == standing.ours != standing.theirs:
                    continue  # as it stood
            followed = self.followed(item, standing)
            if followed != standing:
                changed.append((key, followed))
        for key, followed in changed:
            self._desk.put(item, key, followed)
        own = any(OWN_SOURCE in there.words for there in item.rare.withheld.values())
        if changed or own:
            self.write(item, [followed for _, followed in changed])

    def _uncounted(self, item: Item, place: str, lot: str, measure: str, as_of: int) -> int | None:
        """Give ours of a measure; None where that is not known, or was counted since."""
        if self._is_counted_since(item, place, lot, measure, as_of):
            return None
        return self._desk.ours(item, place, lot, measure, as_of)

    def _is_counted_since(self, item: Item, place: str, lot: str, measure: str, as_of: int) -> bool:
        if measure not in causes.PHYSICAL:
            return False
        return ours.is_counted_since(item, place, lot, measure, as_of, self._shard._journal_horizon)

    def followed(self, item: Item, standing: Standing) -> Standing:
        """Give a live variance with ours as it is known now: resolved where it agrees, or was counted since."""
        if not standing.is_live or self._awaits_decision(item, standing):
            return standing
        now = self._desk.ours(item, standing.place, standing.lot, standing.measure, standing.as_of)
        if now is not None and now != standing.ours and standing.measure != ATP:
            standing = replaced(standing, ours=now)
        step = None
        if agrees(
            _within(standing.tolerance, standing.tolerance_percent),
            standing.ours,
            standing.theirs,
            measure_of(item).scale,
        ):
            step = "becomes_equal"
        elif self._is_counted_since(item, standing.place, standing.lot, standing.measure, standing.as_of):
            step = "is_counted_since"
        if step is None:
            return standing
        state = variances.after(standing.state, step)
        assert state is not None
        return replaced(standing, state=state, decided_by="rule", held_since=0)

    def _awaits_decision(self, item: Item, standing: Standing) -> bool:
        """Has its own correction come, and not yet who decided it? So it is after a crash, until that is read."""
        if not is_corrected(self._shard.ids, item, standing.id):
            return False
        row = [one for one in position.rare_of(item).variances.values() if one.id == standing.id]
        return all(one.state != variances.CORRECTED for one in row)

    # --- what is withheld --------------------------------------------------------------------------------------------

    def write(self, item: Item, changed: list[Standing]) -> None:
        """Bring what is withheld up to the variances, and write those that changed."""
        keys = {key_of(item, one) for one in changed}
        rare = position.rare_of(item)
        rows: dict[tuple[str, str], list[tuple[str, Standing]]] = {}
        at: dict[str, list[tuple[str, int]]] = {}
        for key, one in rare.variances.items():
            if one.state == variances.HELD or (one.state == variances.OPEN and one.action in holds.HOLDING):
                rows.setdefault((one.id, one.place), []).append((key, one))
            elif one.state == variances.OPEN:
                at.setdefault(one.place, [])  # nothing is withheld because of it, and perhaps something was
        for (_, place), row in rows.items():
            held = holds.held_of_row(
                {one.measure: (one.ours, one.theirs) for _, one in row if one.action in holds.HOLDING}
            )
            at.setdefault(place, []).append((row[0][1].source, held))
            for key, one in row:
                takes = held > 0 and one.action in holds.HOLDING and holds.takes_part(one.measure, one.difference)
                state = variances.after(one.state, "holds" if takes else "holds_nothing")
                if state is not None and state != one.state:
                    self._desk.put(item, key, replaced(one, state=state, decided_by="rule" if takes else ""))
                    keys.add(key)
        for place in at.keys() | rare.withheld.keys():
            self._hold(item, place, holds.withheld_at(at.get(place, ())))
        for key in sorted(keys):
            self._desk.say(VARIANCES, key, variance_json(item.code, rare.variances[key]))

    def _hold(self, item: Item, location: str, wanted: int) -> None:
        """Ask for what is to be withheld at a location, unless that is there or on its way."""
        key = (item.code, location)
        there, word_at = ours.own_hold(item, location)
        asked = self._asked.get(key)
        if asked is not None and asked == there:
            self._asked.pop(key)
            asked = None
        if wanted == (there if asked is None else asked):
            return
        now = max(self._shard.clock(), word_at + 1)
        self._asked[key] = wanted
        self._desk.say(WAREHOUSE, item.code, hold_event(item.code, location, wanted, now, measure_of(item).scale))
        if wanted and key not in self._held:
            self._held[key] = (now, 0)
            self._alerts.append((now, *key))
        elif not wanted and key in self._held:
            since, told = self._held.pop(key)
            if told:
                self._complain(item.code, location, since, now, False)

    # --- what is withheld for too long -------------------------------------------------------------------------------

    def next_alert(self) -> int | None:
        """When the next hold is too long, in UTC microseconds."""
        if not self._alerts:
            return None
        alert: int = self._alerts[0][0] + self._shard.config.hold_alert
        return alert

    def pass_time(self, now: int) -> None:
        """Report what is held for too long."""
        while self._alerts and self._alerts[0][0] + self._shard.config.hold_alert <= now:
            since, code, location = self._alerts.popleft()
            if self._held.get((code, location)) == (since, 0):
                self._held[code, location] = (since, now)
                self._complain(code, location, since, now, True)

    def _complain(self, code: str, location: str, since: int, now: int, is_open: bool) -> None:
        item = self._shard.find(code)
        there = ours.own_hold(item, location)[0] if item is not None else 0
        held = {"held": self._asked.get((code, location), there)}
        self._shard._notes.append(ExceptionNote("held_too_long", code, location, "", held, since, now, is_open))


@lru_cache
def _within(tolerance: str, tolerance_percent: str) -> ReconciliationFacts:
    """Give what agrees, from how it is kept: an item with open variances is held against them at each of its events."""
    return ReconciliationFacts(Fraction(tolerance), Fraction(tolerance_percent))
