"""What touched an item, kept so that any of its numbers of the last day can be explained: one shard's trail.

Each activation of a shard that touches items writes one record, of a group an item: which units touched it (applied,
repeated or refused), the figures and numbers that changed, and now and then a *frame*, all that the item's numbers
follow from. The group names the moment of the group that the item had before: a chain backwards, that is followed by a
look-up of each moment (`flows.inspection.trail`). Every eighth names those of 8, 64, 512, ... groups before as well:
any moment of 10,000 groups is some 40 look-ups away.

Rule 1: a chain is part of the item's state. After a crash an item's first group names the one that its snapshot knew;
        what was written between is written again, and told apart by its run.
Rule 2: no group depends on more than the newest frame before it, and frames come often enough for 64 records.
Rule 3: switched off it costs one comparison a unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from operators import position
from operators.rules.lots import Dated, physical
from operators.rules.lots import dated as units_by_day
from schemas.messages import ItemUpdate
from schemas.reconciled import Reported
from schemas.state import Item
from schemas.topics import TRAIL
from schemas.units import Unit

if TYPE_CHECKING:
    from operators.evaluate import Policies

#: Groups of an item between two frames, and places of an item that weigh as much as another group: a frame of 10,000
#: locations is 300 kB.
FRAME_EVERY = 16
#: Groups after which a record is closed: at 120 bytes each 16 KB, so that 64 records are 1 MiB.
GROUPS_MAX = 128
#: Every so many groups of an item the next level of its chain has one, and so many levels there are above the first.
SKIP, LEVELS = 8, 4
#: The field of `position:<item>` that says when its newest group was: in microseconds, 53 bits.
HEAD = "_trail"
FORMAT = 1

_encode = msgspec.msgpack.Encoder().encode


class Trail:
    """What one shard writes of its items."""

    def __init__(self, shard: int, run: int) -> None:
        self._shard, self._run = shard, run
        #: item -> what touched it in this activation
        self._touches: dict[str, list[tuple[Any, ...]]] = {}
        #: item -> its groups since its last frame; what is not in it gets a frame
        self._since_frame: dict[str, int] = {}
        #: when the locations and channels in force were written down, and which they are
        self._topology_at = 0
        self._topology = 0
        self._last_at = 0
        self._groups: list[tuple[Any, ...]] = []
        self._said: list[Reported] = []

    def note(self, unit: Unit, quantity: int, outcome: str) -> None:
        """Note that a unit touched its item; `outcome`: "" where it was applied, else why it was not."""
        origin = unit.origin
        touch = (
            origin.topic,
            origin.partition,
            origin.offset,
            unit.event_id,
            unit.source,
            unit.line_id or unit.order_id,
            unit.type,
            unit.location,
            -quantity if unit.reversal else quantity,
            outcome,
        )
        touches = self._touches.get(unit.item)
        if touches is None:
            self._touches[unit.item] = [touch]
        else:
            touches.append(touch)

    def note_record(self, item: str, origin: Any) -> None:
        """Note that another record of reference data stands for an item; origin: topic, partition, offset, ..."""
        self._since_frame.pop(item, None)
        if origin is not None:
            touch = (origin[0], origin[1], origin[2], "", "", "", 0, "", 0, "")
            self._touches.setdefault(item, []).append(touch)

    def take_topology(self, tables: bytes, version: int, now: int) -> None:
        """Write down which locations and channels are in force from now on."""
        if version == self._topology:
            return
        self._topology, self._topology_at = version, self._moment(now)
        self._since_frame.clear()
        self._write((FORMAT, self._run, self._topology_at, tables))

    def __contains__(self, item: str) -> bool:
        """Did anything touch the item in this activation?"""
        return item in self._touches

    def rest(self, find: Callable[[str], Item | None], policies: Policies, now: int) -> list[ItemUpdate]:
        """Write the groups of items at which something was refused or repeated, and nothing applied.

        Gives updates that move their heads alone. What touched an item that nobody knows stands in the dead letters.
        """
        updates = []
        for code in list(self._touches):
            item = find(code)
            if item is None or item.policy is None:
                del self._touches[code]
            else:
                updates.append(self.say(item, None, policies, now))
        return updates

    def say(self, item: Item, update: ItemUpdate | None, policies: Policies, now: int) -> ItemUpdate:
        """Write an item's group; gives its update with where its trail begins, a new one where it had none."""
        at = self._moment(now)
        code = item.code
        touches = self._touches.pop(code, NO_TOUCHES)
        since = self._since_frame.get(code, -1)
        rare = item.rare is not None or len(item.unlocated) > 0 or policies.has_horizon
        has_policy = since < 0 or since >= FRAME_EVERY + len(item.places)
        frame = self._frame(item, has_policy) if rare or has_policy else None
        self._since_frame[code] = 0 if has_policy else since + 1
        if update is None:
            update = ItemUpdate(code, item.as_of, 0, item.day_shown, "", [], {}, None, item.unlocated_shown)
        fields = update.fields if frame is None else None
        changes = [(change.channel, None if change.removed else change.atp) for change in update.channels]
        known = item.trail
        if known is None:
            known = item.trail = [0] * (LEVELS + 2)
        number = known[0] + 1
        # All levels where the next one has this group, else the last group alone.
        has_levels = number % SKIP == 0
        chain = known[1:] if has_levels else known[1:2]
        cause = "" if touches else item.cause
        self._groups.append((code, at, number, chain, cause, touches, fields, changes, frame))
        if len(self._groups) >= GROUPS_MAX:
            self._seal(at)
        known[0], known[1] = number, at
        if has_levels:
            for level in range(1, LEVELS + 1):
                if number % SKIP**level == 0:
                    known[level + 1] = at
        position.mark(item, "x", "", "")
        if not update.is_gone:
            update.fields = {**update.fields, HEAD: at}
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

    def _frame(self, item: Item, has_policy: bool) -> tuple[Any, ...]:
        """Give all that the item's numbers follow from; its records and the topology only where they are due."""
        records = None
        if has_policy:
            published = {channel: value[0] for channel, value in item.published.items()}
            records = (item.policy, item.overrides, self._topology, self._topology_at, published)
        units = units_by_day(item) if item.rare is not None else NO_UNITS
        places = {location: _figures(item, location, units) for location in item.places}
        return records, places, item.unlocated, item.unlocated_by_day, item.unlocated_shown

    def _seal(self, at: int) -> None:
        groups, self._groups = self._groups, []
        self._write((FORMAT, self._run, at, groups))

    def _write(self, record: tuple[Any, ...]) -> None:
        self._said.append(Reported(TRAIL, str(self._shard), _encode(record)))


NO_TOUCHES: list[tuple[Any, ...]] = []
NO_UNITS: dict[str, Dated] = {}


def _figures(item: Item, location: str, units: dict[str, Dated]) -> tuple[Any, ...]:
    """Give the figures at a location, and by day where there is something by day; what is empty at the end left out."""
    place = item.places[location]
    if place.lots:
        on_hand, quarantined, _ = physical(item, location, place)
    else:
        on_hand, quarantined = place.on_hand, place.quarantined
    withheld = item.rare.withheld.get(location) if item.rare is not None else None
    figures = [
        on_hand,
        quarantined,
        place.soft_allocated,
        place.hard_reserved,
        place.in_transit,
        place.expected,
        withheld.total if withheld is not None else 0,
        place.soft_by_day,
        place.expected_by_day,
        place.in_transit_by_day,
        units.get(location),
    ]
    while figures and not figures[-1]:
        figures.pop()
    return tuple(figures)
