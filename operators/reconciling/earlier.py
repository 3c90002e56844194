"""What reservations, claims and supply were at moments of the day up to a statement's: each record is wound back.

The day's units are read again in Kafka. A line or a receipt of which neither they nor the state say anything before its
first word of the day had not begun by then. What a source withholds it says again and again: before its first word of
the day nobody knows what stood.

Rule: what is not known is left out. A moment is not asked then, and a cause is never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from operators import ours, position
from operators.effects import Applied, named
from operators.reconciling.rewound import (
    ALLOCATED,
    CANCELLED,
    PLACED,
    RELEASED,
    REOPENED,
    SHIPPED,
    Figure,
    Name,
    claimed,
    line_since,
    on_its_way,
    receipt_since,
    reserved,
    to_come,
    word_of,
)
from operators.rules import supply
from operators.rules.causes import DAY, Effect
from schemas.reconciled import Evidence
from schemas.state import Item, Line, Moment, Receipt, Transfer
from schemas.units import EventType
from schemas.variances import OWN_SOURCE

#: How often a unit of the day is looked at for one row at most, about 0.1 s: each record is wound back to each of its
#: units. Of more, what was earlier stays unknown.
LOOKS_MAX = 20_000
OF_LINES = frozenset(
    {PLACED, ALLOCATED, RELEASED, CANCELLED, REOPENED, EventType.PICK_CONFIRMED, EventType.SHIPMENT_CONFIRMED}
)
WITHHELD = EventType.STOCK_WITHHELD


class Steps(NamedTuple):
    """How a figure of a place changed up to as_of, oldest first; from `since` on all of it is known.

    `there`: what it was as of as_of. Where that is not what a row was judged by, something came that is not known here.
    """

    effects: list[Effect]
    since: int
    there: int

    def was(self) -> dict[int, int]:
        """Give what the figure was -> the last such moment."""
        found: dict[int, int] = {}
        figure = self.there
        for place, effect in enumerate(reversed(self.effects)):
            later = self.effects[len(self.effects) - place] if place else None
            if later is None or later.occurred_at != effect.occurred_at:
                found.setdefault(figure, effect.occurred_at)
            figure -= effect.change
        found.setdefault(figure, self.since)
        return found


class Earlier:
    """The day's units of an item, by the records that they changed."""

    def __init__(self, item: Item, units: Iterable[Applied]) -> None:
        self._item = item
        self._lines: dict[Name, list[Applied]] = {}
        self._transfers: dict[Name, list[Applied]] = {}
        self._receipts: dict[Name, list[Applied]] = {}
        #: by location and source
        self._withheld: dict[tuple[str, str], list[Applied]] = {}
        #: location -> order lines that name it and changed, or may have lapsed
        self._lines_at: dict[str, list[Name]] | None = None
        for applied in _once(units):
            unit = applied[0]
            if unit.type in OF_LINES:
                self._lines.setdefault((unit.order_id, unit.line_id), []).append(applied)
            elif unit.type == WITHHELD and unit.source != OWN_SOURCE:
                self._withheld.setdefault((unit.location, unit.source), []).append(applied)
            if unit.transfer_id:
                to = unit.to_location if unit.type == SHIPPED else unit.location
                self._transfers.setdefault((unit.transfer_id, to), []).append(applied)
            if unit.receipt_id:
                self._receipts.setdefault((unit.receipt_id, unit.location), []).append(applied)

    def steps(self, place: str, measure: str, as_of: int) -> Steps | None:
        """Give how a measure other than on_hand, quarantined and available changed in the day up to as_of.

        None: it cannot be known.
        """
        begin = as_of - DAY
        if measure in ("hard_reserved", "soft_allocated"):
            return self._claims(place, measure, begin, as_of)
        if measure == "in_transit":
            return self._in_transit(place, begin, as_of)
        if measure == "expected":
            return self._expected(place, begin, as_of)
        assert measure == "withheld", measure
        return self._withheld_at(place, begin, as_of)

    # --- order lines -------------------------------------------------------------------------------------------------

    def _claims(self, place: str, measure: str, begin: int, as_of: int) -> Steps | None:
        names = [name for name in self._changed_lines().get(place, []) if self._may_change(name, begin, as_of)]
        if not _can_be_known(names, self._lines, self._item.lines, begin):
            return None
        found = self._now(place, measure, begin)
        for name in names:
            line, units = self._item.lines[name], self._lines.get(name, [])
            moments = _moments(units)
            for lapses in {line.expires_at, *(applied[0].expires_at for applied in units)}:
                if lapses is not None:
                    moments.setdefault(lapses, None)
            if measure == "hard_reserved":
                figure, now = reserved(line, units, place), line.at[place].claimed if place in line.at else 0
            else:
                claim = line.claimed
                figure, now = claimed(line, units, place), claim[0] if claim is not None and claim[1] == place else 0
            found = _joined(found, line_since(line, units, begin), moments, figure, as_of, now)
        return _in_order(found, as_of)

    def _now(self, place: str, measure: str, begin: int) -> Steps:
        """Begin with what is there now."""
        there = self._item.places.get(place)
        return Steps([], begin, getattr(there, measure) if there is not None else 0)

    def _may_change(self, name: Name, begin: int, as_of: int) -> bool:
        if name in self._lines:
            return True
        line = self._item.lines[name]
        return line.expires_at is not None and begin < line.expires_at and (line.expires_at <= as_of or line.lapsed)

    def _changed_lines(self) -> dict[str, list[Name]]:
        if self._lines_at is None:
            self._lines_at = {}
            for name, line in self._item.lines.items():
                units = self._lines.get(name, ())
                if units or line.expires_at is not None:
                    self._note(name, {*line.at, line.location, *(applied[0].location for applied in units)})
            for name in self._lines.keys() - self._item.lines.keys():
                self._note(name, {applied[0].location for applied in self._lines[name]})
        return self._lines_at

    def _note(self, name: Name, places: Iterable[str]) -> None:
        assert self._lines_at is not None
        for place in places:
            self._lines_at.setdefault(place, []).append(name)

    # --- transfers and receipts --------------------------------------------------------------------------------------

    def _in_transit(self, place: str, begin: int, as_of: int) -> Steps | None:
        names = [name for name in self._transfers if name[1] == place]
        if not _can_be_known(names, self._transfers, self._item.transfers, begin):
            return None
        found = self._now(place, "in_transit", begin)
        for name in names:
            transfer, units = self._item.transfers[name], self._transfers[name]
            figure = on_its_way(transfer, units)
            found = _joined(found, begin, _moments(units), figure, as_of, supply.in_transit(transfer))
        return _in_order(found, as_of)

    def _expected(self, place: str, begin: int, as_of: int) -> Steps | None:
        names = [name for name in self._receipts if name[1] == place]
        if not _can_be_known(names, self._receipts, self._item.receipts, begin):
            return None
        there = {name: receipt for name, receipt in self._item.receipts.items() if name[1] == place}
        has_parts = any(receipt.part_of for receipt in there.values()) or any(
            applied[0].part_of for name in names for applied in self._receipts[name]
        )
        found = self._now(place, "expected", begin)
        if has_parts and len(there) * sum([len(self._receipts[name]) for name in names]) > LOOKS_MAX:
            return None
        # What is expected of an order depends on its parts: these are wound back together.
        for group in [list(there)] if names and has_parts else [[name] for name in names]:
            records = {name: (there[name], self._receipts.get(name, [])) for name in group}
            units = [applied for _, units in records.values() for applied in units]
            since = max(receipt_since(receipt, own, begin) for receipt, own in records.values())
            now = sum([supply.expected(there[name], position.parts_of(self._item, name)[0]) for name in group])
            found = _joined(found, since, _moments(units), to_come(records), as_of, now)
        return _in_order(found, as_of)

    # --- what is withheld --------------------------------------------------------------------------------------------

    def _withheld_at(self, place: str, begin: int, as_of: int) -> Steps | None:
        rare = self._item.rare
        words = rare.withheld[place].words if rare is not None and place in rare.withheld else {}
        found = Steps([], begin, ours.withheld(self._item, place))
        for (location, source), units in self._withheld.items():
            if location != place:
                continue
            if source not in words:
                return None
            said = sorted([(word_of(applied[0]), applied[1]) for applied in units])
            if words[source] not in said:
                said = sorted([*said, words[source]])
            since = max(begin, said[0][0][0])
            found = _joined(found, since, _moments(units), _newest(said), as_of, words[source][1])
        return _in_order(found, as_of)


def _can_be_known(
    names: list[Name],
    units: Mapping[Name, list[Applied]],
    records: Mapping[Name, Line] | Mapping[Name, Transfer] | Mapping[Name, Receipt],
    begin: int,
) -> bool:
    """Is each of them still there with all units of the day, and are they not too many?"""
    if sum([len(units.get(name, ())) ** 2 for name in names]) > LOOKS_MAX:
        return False
    for name in names:
        record = records.get(name)
        if record is None:
            return False  # forgotten
        last_at = record.last_at
        if last_at > begin and all(applied[0].occurred_at != last_at for applied in units.get(name, ())):
            return False  # it had another unit since what was read again
    return True


def _once(units: Iterable[Applied]) -> Iterable[Applied]:
    """Leave out repeats, which are read again as well: of the same unit the first that was logged counts."""
    first: dict[tuple[str, str, str], Applied] = {}
    for applied in sorted(units, key=lambda one: (one[0].recorded_at, one[0].origin.offset)):
        unit = applied[0]
        first.setdefault((unit.source, unit.event_id, unit.line_id), applied)
    return first.values()


def _joined(
    before: Steps, since: int, moments: Mapping[int, Evidence | None], figure: Figure, as_of: int, now: int
) -> Steps:
    """Add the steps of one record, whose figure is known from `since` on, and is `now` by all that is known."""
    since = max(before.since, since)
    there = figure(since)
    for moment in sorted([moment for moment in moments if since < moment <= as_of]):
        known = figure(moment)
        if known != there:
            before.effects.append(Effect(moment, known - there, None, moments[moment]))
        there = known
    return Steps(before.effects, since, before.there + there - now)


def _in_order(found: Steps, as_of: int) -> Steps | None:
    """Leave out what came before all of it is known; None where it was not known by then."""
    if found.since > as_of:
        return None
    effects = [effect for effect in found.effects if effect.occurred_at > found.since]
    return found._replace(effects=sorted(effects, key=lambda effect: effect.occurred_at))


def _moments(units: Iterable[Applied]) -> dict[int, Evidence | None]:
    return {unit.occurred_at: named(unit) for unit, _, _ in units}


def _newest(said: Sequence[tuple[Moment, int]]) -> Figure:
    return lambda moment: max([one for one in said if one[0][0] <= moment])[1]
