"""What touched an item, kept so that any of its numbers of the last day can be explained: one shard's trail.

Each activation of a shard that touches items writes one record, of a group an item: which units touched it (applied,
repeated or refused), the figures and numbers that changed, and now and then a *frame*, all that the item's numbers
follow from. The group names the moment of the group that the item had before: a chain backwards, that is followed by a
look-up of each moment (`flows.inspection.trail`), by which Kafka finds the record. Every eighth names those of 8, 64,
512, ... groups before as well: any moment of 10,000 groups is some 40 look-ups away. Each names the newest group that
has records: what is in force is one look-up away.

Rule 1: a chain is part of the item's state. After a crash an item's first group names the one that its snapshot knew;
        what was written between is written again, and told apart by its run.
Rule 2: no group depends on more than the newest frame before it that has records, and what moved since. These come
        often enough for 64 records.
Rule 3: switched off it costs one comparison a unit.
Rule 4: what is written is bytes at once (`operators.native`): no object a unit waits for the end of the activation.
Rule 5: each day has a frame of each item, so that what stood at a moment of the last day follows from what was written
        in the last two, however seldom an item is touched: when a day turns, all are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from operators import native
from operators.evaluate import Policies, measure_of
from operators.rules.lots import Dated, physical
from operators.rules.lots import dated as units_by_day
from schemas.messages import ItemUpdate, item_update
from schemas.reconciled import Reported
from schemas.state import Chain, Item, Place
from schemas.topics import TRAIL
from schemas.units import Unit

#: Groups of an item between two frames with records, and places of an item that weigh as much as another group: a frame
#: of 10,000 locations is 300 kB.
FRAME_EVERY = 16
#: A record is closed behind the group with which it has so many bytes: 64 records are 1 MiB.
RECORD_BYTES = 16_384
#: Every so many groups of an item the next level of its chain has one, and so many levels there are above the first.
SKIP, LEVELS = 8, 4
#: The field of `position:<item>` that says when its newest group was: in microseconds, 53 bits.
HEAD = "_trail"
#: 3: a group says how long before it the newest one with records was. 2: the frame of a group need not have places,
#: where the figures that moved say them. Of 1 it always has.
FORMAT = 3
FORMATS = (1, 2, 3)
#: in place of when the topology of a frame was written down: there is no frame yet, or another is due
NO_FRAME = -1
#: in place of a topology's version: none was written down yet
NO_TOPOLOGY = 0

_encode = msgspec.msgpack.Encoder().encode


class Trail:
    """What one shard writes of its items."""

    def __init__(self, shard: int, run: int) -> None:
        self._key, self._run = str(shard), run
        #: item -> what touched it in this activation, as `native.packed_touch` gives it
        self.touches: dict[str, list[bytes]] = {}
        #: when the locations and channels in force were written down, which they are, and both as MessagePack
        self._topology_at = 0
        self._topology = NO_TOPOLOGY
        self._tables = b""
        #: when the day began that each item has to have a group of
        self._day_at = 0
        self._standing = _encode(0) + _encode(0)
        self._last_at = 0
        #: of the record that is being written
        self._groups: list[bytes] = []
        self._size = 0
        self._said: list[Reported] = []

    def note(self, unit: Unit, quantity: int, outcome: str) -> None:
        """Note that a unit touched its item; `outcome`: "" where it was applied, else why it was not."""
        origin = unit.origin
        signed = -quantity if unit.reversal else quantity
        touch = native.packed_touch(origin.topic, origin.partition, origin.offset, unit, signed, outcome)
        touches = self.touches.get(unit.item)
        if touches is None:
            self.touches[unit.item] = [touch]
        else:
            touches.append(touch)

    def note_record(self, item: Item, origin: Any) -> None:
        """Note that another record of reference data stands for an item; origin: topic, partition, offset, ..."""
        if item.trail is not None:
            item.trail.topology_at = NO_FRAME
        if origin is not None:
            touch = _encode((origin[0], origin[1], origin[2], (origin[4] or b"").decode(), "", "", 0, "", 0, ""))
            self.touches.setdefault(item.code, []).append(touch)

    def take_topology(self, tables: bytes, version: int, now: int) -> None:
        """Write down which locations and channels are in force from now on; each item's next group has a frame."""
        if version == self._topology:
            return
        self._topology, self._topology_at, self._tables = version, self._moment(now), tables
        self._standing = _encode(version) + _encode(self._topology_at)
        self._write(self._topology_at, _encode((FORMAT, self._run, self._topology_at, tables)))

    def turn(self, now: int) -> None:
        """A day begins: what is in force is written down again, and each item has a group with a frame to come."""
        if self._topology != NO_TOPOLOGY and self._topology_at < now:  # else it was right now
            version, self._topology = self._topology, NO_TOPOLOGY
            self.take_topology(self._tables, version, now)
        self._day_at = self._moment(now)

    def owes(self, item: Item) -> bool:
        """Is a group of an item to be written, also where no number and no figure of it moved?"""
        return item.code in self.touches or item.trail is None or item.trail.at < self._day_at

    def left(self, find: Callable[[str], Item | None]) -> list[Item]:
        """Give the items at which something was refused or repeated in this activation, and nothing applied.

        What touched an item that nobody knows stands in the dead letters.
        """
        known = []
        for code in list(self.touches):
            item = find(code)
            if item is None or item.policy is None:
                del self.touches[code]
            else:
                known.append(item)
        return known

    def say(self, item: Item, update: ItemUpdate | None, policies: Policies, now: int) -> ItemUpdate:
        """Write an item's group; gives its update with where its trail begins, a new one where it had none."""
        at = self._moment(now)
        chain = item.trail
        if chain is None:
            chain = item.trail = Chain()
        if update is None:
            scale = measure_of(item).scale if item.policy is not None else 0
            update = item_update(item.code, item.as_of, scale, item.day_shown, "", item.unlocated_shown)
            update.is_gone = item.policy is None
        touches = self.touches.pop(item.code, NO_TOUCHES)
        cause = "" if touches else item.cause
        has_records = chain.topology_at != self._topology_at or chain.since_records >= _FRAME_EVERY + len(item.places)
        # Figures by day, and units of lots by day, are not among those that are told to have moved.
        has_places = has_records or item.rare is not None or policies.has_horizon or item.policy is None
        frame = self._frame(item, has_records, has_places) if has_places or item.unlocated else None
        number = chain.number + 1
        # All levels where the next one has this group, else the last group alone.
        has_levels = number % _SKIP == 0
        fields = None if has_places else update.fields
        if has_records:
            chain.topology_at, chain.since_records, chain.records_at = self._topology_at, 0, at
        else:
            chain.since_records += 1
        group = native.packed_group(item.code, at, chain, has_levels, cause, touches, fields, update.channels, frame)
        self._groups.append(group)
        self._size += len(group)
        if self._size >= _RECORD_BYTES:
            self._seal(at)
        chain.number, chain.at = number, at
        if has_levels:
            chain.levels = _levels_at(number, at, chain.levels)
        chain.is_dirty = True
        if not update.is_gone:
            update.fields[HEAD] = at
        return update

    def said(self, now: int) -> list[Reported]:
        """Give what is to be written."""
        if self._groups:
            self._seal(self._moment(now))
        said, self._said = self._said, []
        return said

    def _moment(self, now: int) -> int:
        """Give a moment of its own, above all before it whatever the clock does: groups are known by theirs."""
        self._last_at = max(self._last_at + 1, now)
        return self._last_at

    def _frame(self, item: Item, has_records: bool, has_places: bool) -> bytes:
        """Give all that the item's numbers follow from; its records and its places where they are due."""
        records = places = None
        if has_records:
            records = native.packed_records(item.policy, item.overrides, self._standing, item.published)
        if has_places:
            units = units_by_day(item) if item.rare is not None else NO_UNITS
            places = [_figures(item, location, place, units) for location, place in item.places.items()]
        by_day = _encode(item.unlocated_by_day) if item.unlocated_by_day else NOTHING
        return native.packed_frame(records, places, item.unlocated, by_day, item.unlocated_shown)

    def _seal(self, at: int) -> None:
        groups, self._groups, self._size = self._groups, [], 0
        self._write(at, native.packed_record(FORMAT, self._run, at, groups))

    def _write(self, at: int, record: bytes) -> None:
        self._said.append(Reported(TRAIL, self._key, record, at // 1000))


NO_TOUCHES: list[bytes] = []
NO_UNITS: dict[str, Dated] = {}
#: an empty mapping
NOTHING = _encode({})
# Names that other modules import are objects, and these are numbers once compiled.
_FRAME_EVERY, _RECORD_BYTES, _SKIP = FRAME_EVERY, RECORD_BYTES, SKIP


def _levels_at(number: int, at: int, levels: list[int]) -> list[int]:
    """Give the moments of the last group of each level, with the group of a number, which is of the first at least."""
    found = list(levels)
    step = SKIP
    for level in range(LEVELS):
        if number % step:
            break
        found[level] = at
        step *= SKIP
    return found


def _figures(item: Item, location: str, place: Place, units: dict[str, Dated]) -> bytes:
    """Give a location and its figures, by day where something is by day."""
    if place.lots:
        on_hand, quarantined, _ = physical(item, location, place)
    else:
        on_hand, quarantined = place.on_hand, place.quarantined
    withheld = 0
    if item.rare is not None and location in item.rare.withheld:
        withheld = item.rare.withheld[location].total
    by_day: list[Any] = [place.soft_by_day, place.expected_by_day, place.in_transit_by_day, units.get(location)]
    while by_day and not by_day[-1]:
        by_day.pop()
    return native.packed_figures(location, on_hand, quarantined, place, withheld, [_encode(days) for days in by_day])
