"""Names the causes of what differs, once a statement's rows are all there and units that may say why are read again.

Who sells all day has thousands of units of the day: what all rows of an item are looked at with is gathered once, and
its rows get their causes one a turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

from msgspec.structs import replace

from operators import ours
from operators.effects import Applied, Claims, ItemUnits, Lazily, StillToCome, effects_of
from operators.evaluate import measure_of
from operators.reconciling.desk import Desk
from operators.reconciling.earlier import Earlier
from operators.reconciling.names import Key
from operators.rules import causes
from operators.rules.quantities import UnitsOfMeasure
from operators.rules.reconciliation import ReconciliationFacts
from operators.rules.statements import added_causes
from schemas.reconciled import ATP, CloseStatement, Evidence, Judged, Tally
from schemas.state import Item

#: An item of which more units are read again has its rows looked at one a turn: a unit takes some microseconds a row.
UNITS_AT_ONCE = 500
#: An item of which more units of the days are known is not asked what was available at each of their moments: 50 ms.
MOMENTS_MAX = 2_000
#: what `available` is on_hand less quarantined less
CLAIMING = ("hard_reserved", "soft_allocated", "withheld")


class Gathered:
    """Of a statement that is being closed: what is asked, and what was read again for it."""

    def __init__(self, message: CloseStatement) -> None:
        self.message = message
        #: units of items in variance
        self.units: dict[str, list[Applied]] = {}
        #: (item, channel) of promises in variance -> (when, atp, the one before) of what was sent
        self.sent: dict[tuple[str, str], list[tuple[int, int, int | None]]] = {}
        #: are those all units of their time?
        self.is_whole = True


class ItemInTurn:
    """An item whose rows get their causes: what all of them are looked at with, and which are left."""

    def __init__(self, step: tuple[Key, str], item: Item, rows: list[Judged], units: list[Applied]) -> None:
        self.step, self.item = step, item
        self.differing = rows
        self.left = deque(rows)
        self.units = ItemUnits(units)
        self.claims = Claims(item)
        self._applied = units
        self._earlier: Earlier | None = None

    @property
    def earlier(self) -> Earlier:
        """Give what its claims and supply were at moments of the day."""
        if self._earlier is None:
            self._earlier = Earlier(self.item, self._applied)
        return self._earlier


class Namer:
    """One a shard."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._shard = desk, desk.shard
        #: of statements that are being closed
        self.gathered: dict[Key, Gathered] = {}
        self._in_turn: ItemInTurn | None = None

    def begin(self) -> None:
        """A statement's causes are to be named, perhaps once more."""
        self._in_turn = None

    def name(self, key: Key, code: str) -> bool:
        """Name the causes of an item's rows, or where it has many units of one of them; true where that took a turn."""
        item, found = self._shard.find(code), self._desk.open[key]
        assert item is not None
        turn = self._in_turn
        if turn is None or turn.step != (key, code) or turn.item is not item:
            rows = [row for row in self._desk.rows_of(item, key) if not self._is_newly_sent(item, row, found.tally)]
            gathered = self.gathered.get(key)
            units = gathered.units.get(code, []) if gathered is not None else []
            turn = self._in_turn = ItemInTurn((key, code), item, [row for row in rows if row.differing], units)
        is_heavy = len(turn.units) > UNITS_AT_ONCE
        while turn.left:
            self._name_of(turn, turn.left.popleft(), found.tally)
            if is_heavy and turn.left:
                self._desk.work.appendleft(("cause", key, code))
                return True
        self._in_turn = None
        known = self.gathered.get(key)
        if known is not None:
            known.units.pop(code, None)  # nobody asks again
        return is_heavy

    def _name_of(self, turn: ItemInTurn, row: Judged, tally: Tally) -> None:
        item = turn.item
        facts = self._desk.rules_of(row.source)
        scale = measure_of(item).scale
        named: dict[str, str] = {}
        evidence: dict[str, list[Evidence]] = {}
        for name in row.differing:
            cause, known = self._cause_of(turn, row, name, facts)
            named[name] = cause
            if known:
                evidence[name] = known
            added_causes(tally.causes, {name: {cause: 1}})
            size = abs(row.theirs[name] - row.ours[name])
            tally.units = _added(tally.units, size, scale)
            if cause != causes.UNKNOWN:
                tally.explained = _added(tally.explained, size, scale)
        row.causes, row.evidence = named, evidence
        tally.absent += row.is_absent
        self._desk.changed(item, row)

    def _cause_of(self, turn: ItemInTurn, row: Judged, name: str, facts: ReconciliationFacts) -> causes.Cause:
        around = self.surroundings(turn.item, row, name, turn.differing, facts)
        found = causes.cause_of(row, name, around)
        if name == ATP or found[0] in causes.BY_FIGURES:
            return found  # no unit is asked
        if name not in causes.PHYSICAL:
            return causes.cause_of(row, name, self._with_earlier(around, turn, row, name))
        item, units = turn.item, turn.units
        horizon, days = self._shard._journal_horizon, self._shard._days
        effects = effects_of(item, row, name, units.at(row.place), horizon, days)
        around = replace(around, effects=effects, was=Lazily(lambda: self._was(item, row, name, units, effects)))
        if name == "on_hand":
            around = replace(around, coming=StillToCome(item, row.place, row.as_of, units, turn.claims))
        return causes.cause_of(row, name, around)

    def is_open_question(self, item: Item, row: Judged, rows: list[Judged]) -> bool:
        """May units tell why a row differs, as figures alone do not?"""
        facts = self._desk.rules_of(row.source)
        return any(
            causes.cause_of(row, name, self.surroundings(item, row, name, rows, facts))[0] not in causes.BY_FIGURES
            for name in row.differing
        )

    def surroundings(
        self, item: Item, row: Judged, name: str, siblings: list[Judged], facts: ReconciliationFacts
    ) -> causes.Surroundings:
        """Give what figures alone say."""
        measure = measure_of(item)
        return causes.Surroundings(
            conversions=_conversions(measure),
            siblings=siblings,
            now=self._desk.ours(item, row.place, row.lot, name, row.as_of) if name in causes.PHYSICAL else None,
            is_before_last=name == ATP and self._is_before_last(item, row),
            facts=facts,
            scale=measure.scale,
        )

    # --- promises ----------------------------------------------------------------------------------------------------

    def _is_before_last(self, item: Item, row: Judged) -> bool:
        """Is theirs the promise that was sent before the last one?"""
        sent = self._sent_until(item, row) or []
        return bool(sent) and max(sent)[2] == row.theirs[ATP]

    def _sent_until(self, item: Item, row: Judged) -> list[tuple[int, int, int | None]] | None:
        """What was sent until the row was judged; None where nothing at all is known to have been sent."""
        gathered = self.gathered.get((row.source, row.statement_id))
        sent = gathered.sent.get((item.code, row.place)) if gathered is not None else None
        if sent is None:
            return None
        return [one for one in sent if not row.judged_at or one[0] <= row.judged_at]

    def _is_newly_sent(self, item: Item, row: Judged, tally: Tally) -> bool:
        """Was a promise sent later than as_of - settle, or did a newer one wait? Then it is not compared after all."""
        if ATP not in row.differing:
            return False
        sent = self._sent_until(item, row)
        settle = self._shard.config.settle_of(row.source)
        # Where all that Kafka still has is newer, it is compacted, and what was sent before is not known.
        is_gone = sent is not None and not sent
        if not is_gone and (not sent or (max(sent)[0] <= row.as_of - settle and max(sent)[1] == row.ours[ATP])):
            return False
        tally.in_variance -= 1
        tally.not_compared += 1
        self._desk.drop(item, row)
        return True

    # --- what ours was -----------------------------------------------------------------------------------------------

    def _was(
        self, item: Item, row: Judged, name: str, units: ItemUnits, effects: Sequence[causes.Effect]
    ) -> dict[int, int]:
        """What ours was a day before, and after each unit of that day: quantity -> the last such moment."""
        if not (units or effects):
            return {}
        begin = row.as_of - causes.DAY
        moments = sorted({begin, *(moment for moment in units.moments() if begin < moment <= row.as_of)})
        if name == "on_hand":
            quantities = ours.on_hands(item, row.place, row.lot, moments, self._shard._journal_horizon)
        else:
            quantities = [self._desk.ours(item, row.place, row.lot, name, moment) for moment in moments]
        if quantities[0] is None:
            # Journals need not reach back so far: walked back, over what the day's units did.
            latest = self._desk.ours(item, row.place, row.lot, name, row.as_of)
            day = sum([one.change for one in effects if begin < one.occurred_at <= row.as_of])
            quantities[0] = None if latest is None else latest - day
        return {known: moment for moment, known in zip(moments, quantities, strict=True) if known is not None}

    def _with_earlier(
        self, around: causes.Surroundings, turn: ItemInTurn, row: Judged, name: str
    ) -> causes.Surroundings:
        """Add what a measure other than on_hand and quarantined was at moments of the day, as far as that is known."""
        gathered = self.gathered.get(turn.step[0])
        if gathered is None or not gathered.is_whole:
            return around
        if name == "available":
            return self._with_earlier_available(around, turn, row)
        steps = turn.earlier.steps(row.place, name, row.as_of)
        if steps is None or steps.there != row.ours[name]:
            return around
        return replace(around, effects=steps.effects, was=steps.was())

    def _with_earlier_available(
        self, around: causes.Surroundings, turn: ItemInTurn, row: Judged
    ) -> causes.Surroundings:
        """The same of what is available: on_hand less quarantined, less what is claimed and withheld."""
        item, as_of = turn.item, row.as_of
        claims = [turn.earlier.steps(row.place, name, as_of) for name in CLAIMING]
        known = [steps for steps in claims if steps is not None]
        dated = item.rare is not None and item.rare.best_before
        if len(known) < len(claims) or dated or len(turn.units) > MOMENTS_MAX:
            return around  # what of a lot was past its day by then depends on more than is known
        since = max(steps.since for steps in known)
        claimed = [effect for steps in known for effect in steps.effects if effect.occurred_at > since]
        claimed.sort(key=lambda effect: effect.occurred_at)
        units = [moment for moment in turn.units.moments() if since < moment <= as_of]
        moments = sorted({since, as_of, *units, *(effect.occurred_at for effect in claimed)})
        horizon, days = self._shard._journal_horizon, self._shard._days
        on_hand = ours.on_hands(item, row.place, "", moments, horizon)
        quarantined = [self._desk.ours(item, row.place, "", "quarantined", moment) for moment in moments]
        now = _less(on_hand[-1], quarantined[-1])
        if now is None or now - sum([steps.there for steps in known]) != row.ours["available"]:
            return around
        was: dict[int, int] = {}
        left, since_then = list(claimed), 0
        for place in range(len(moments) - 1, -1, -1):
            while left and left[-1].occurred_at > moments[place]:
                since_then += left.pop().change
            there = _less(on_hand[place], quarantined[place])
            if there is not None:
                was.setdefault(row.ours["available"] - (now - there) + since_then, moments[place])
        whole = replace(row, lot="")
        goods = [
            effect
            for name in causes.PHYSICAL
            for effect in effects_of(item, whole, name, turn.units.at(row.place), horizon, days)
        ]
        effects = sorted([*goods, *claimed], key=lambda effect: effect.occurred_at)
        return replace(around, effects=effects, was=was)


@lru_cache
def _conversions(measure: UnitsOfMeasure) -> list[Fraction]:
    """Give how many base units the other units of measure are."""
    return [factor / 10**measure.scale for uom, factor in measure.factors.items() if uom != measure.base]


def _added(sum_text: str, quantity: int, scale: int) -> str:
    """Add a quantity in base UoM x 10^scale to the text of a fraction."""
    if not scale and "/" not in sum_text:
        return str(int(sum_text) + quantity)
    return str(Fraction(sum_text) + Fraction(quantity, 10**scale))


def _less(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one - other
