"""Follows an item through groups of its trail: what stood after each, and what each moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from flows.inspection.policy_changes import CHANGES_MAX, Changed, of_channel_items, of_item, of_topology
from flows.inspection.trail import Group, Touch, TrailEnds
from operators.explaining import ClaimOfLine, Told
from operators.rules.lots import Dated
from operators.rules.topology import Topology
from schemas.state import Item, Place, Rare, Withheld
from schemas.times import time_text
from schemas.units import EventType

#: the figures of a location in a frame, by their place there; the last four are by day
FIGURES = ("on_hand", "quarantined", "soft_allocated", "hard_reserved", "in_transit", "expected", "withheld")
BY_DAY = ("soft_by_day", "expected_by_day", "in_transit_by_day")


@dataclass(frozen=True, slots=True)
class Moved:
    """What one activation of the engine moved; the events in it were applied together."""

    at: str
    #: what it was where no event did it: `expiry`, `day_turn`, `reference`, ...
    cause: str
    #: each event or record of the item's in it, applied or not
    touches: tuple[dict[str, object], ...]
    #: which values of which records changed, the item's and those of channels and locations
    policy: tuple[Changed, ...]
    #: figure, as in `position:<item>` -> by how much it changed
    figures: dict[str, int]
    #: the channel's number before and after; None: it was not published
    before: int | None
    after: int | None

    @property
    def share(self) -> int:
        """By how much the number changed."""
        return (self.after or 0) - (self.before or 0)


class Replayed:
    """An item as it stood after the groups that were taken, oldest first; the first has a frame with records.

    `find`: gives the locations and channels of a moment, or raises TrailEnds; None: what changed of them is not told.
    """

    def __init__(self, item: str, channel: str, find: Callable[[int], Topology] | None = None) -> None:
        self._code, self._channel, self._find = item, channel, find
        self._places: dict[str, list[object]] = {}
        self._unlocated: dict[str, int] = {}
        self._unlocated_by_day: dict[str, dict[int, int]] = {}
        self.policy: bytes | None = None
        self.overrides: dict[str, bytes] = {}
        #: version and moment of the locations and channels in force
        self.topology: tuple[int, int] = (0, 0)
        #: channel -> its number as last published
        self.published: dict[str, int] = {}
        #: (figure, location) -> which event moved it last
        self.told: dict[tuple[str, str], str] = {}
        #: key of a record of the item's -> where it stands, of those that came in these groups
        self._records: dict[str, str] = {}
        self._is_begun = False
        #: had the newest group all places?
        self._has_places = False
        self._seen: set[tuple[str, int, int, str, str]] = set()

    def take(self, group: Group) -> Moved:
        """Bring it up to a group, and say what that moved."""
        before, figures_before = self.published.get(self._channel), self.figures()
        policy: tuple[Changed, ...] = ()
        self._has_places = group.frame is not None and group.frame[1] is not None
        if group.frame is not None:
            under = (self.policy, self.overrides, self.topology)
            self._take_frame(group)
            if self._is_begun:
                policy = tuple(islice(self._changes(*under), CHANGES_MAX))
            self._is_begun = True
        for name, value in (group.fields or {}).items():
            location, _, figure = name.rpartition(":")
            if location == "*":
                if not value:
                    self._unlocated, self._unlocated_by_day = {}, {}
            elif figure in FIGURES:
                place = self._places.setdefault(location, [0] * len(FIGURES))
                place.extend([0] * (len(FIGURES) - len(place)))
                place[FIGURES.index(figure)] = value or 0
        if group.frame is not None:  # behind the figures: what they say of claims from no location is a sum alone
            _, _, self._unlocated, self._unlocated_by_day, _ = group.frame
        for channel, number in group.changes.items():
            if number is None:
                self.published.pop(channel, None)
            else:
                self.published[channel] = number
        after = self.figures()
        moved = {
            name: after.get(name, 0) - figures_before.get(name, 0)
            for name in sorted(after.keys() | figures_before.keys())
            if after.get(name, 0) != figures_before.get(name, 0)
        }
        touches = self._fresh(group.touches)
        applied = [touch for touch in touches if not touch.outcome and touch.type]
        for name in moved if applied else ():
            location, _, figure = name.rpartition(":")
            here = [touch for touch in applied if touch.location == location] or applied
            self.told[figure, location] = here[-1].place
        self._records |= {touch.event_id: touch.place for touch in touches if not touch.type and not touch.outcome}
        told = tuple(said_of(touch) for touch in touches)
        return Moved(time_text(group.at), group.cause, told, policy, moved, before, self.published.get(self._channel))

    def _changes(
        self, policy: bytes | None, overrides: Mapping[str, bytes], topology: tuple[int, int]
    ) -> Iterator[Changed]:
        """Compare the records under which it stood with those under which it stands."""
        yield from of_channel_items(self._code, overrides, self.overrides)
        yield from of_item(self._code, policy, self.policy)
        if self._find is not None and topology[0] != self.topology[0]:
            try:
                yield from of_topology(self._find(topology[1]), self._find(self.topology[1]))
            except TrailEnds:
                return  # the numbers are known all the same

    def figures(self) -> dict[str, int]:
        """Give the figures that are not 0, as `position:<item>` names them."""
        found = {
            f"{location}:{name}": int(value)  # type: ignore[call-overload]
            for location, place in self._places.items()
            for name, value in zip(FIGURES, place, strict=False)
            if value
        }
        if self._unlocated:
            found["*:soft_allocated"] = sum(self._unlocated.values())
        return found

    def item(self) -> tuple[Item, dict[str, Dated]]:
        """Give it as the rules take it, and the units of dated lots by location."""
        item, dated = Item(self._code), {}
        item.policy, item.overrides = self.policy, self.overrides
        item.unlocated, item.unlocated_by_day = self._unlocated, self._unlocated_by_day
        for location, values in self._places.items():
            place = item.places[location] = Place()
            padded = [*values, *[0] * (len(FIGURES) - len(values))]
            for name, value in zip(FIGURES, padded, strict=False):
                if name != "withheld":
                    setattr(place, name, value)
            if padded[len(FIGURES) - 1]:
                item.rare = item.rare or Rare()
                withheld = item.rare.withheld[location] = Withheld()
                withheld.total = int(padded[len(FIGURES) - 1])  # type: ignore[call-overload]
            for name, value in zip(BY_DAY, values[len(FIGURES) :], strict=False):
                setattr(place, name, value)
            if len(values) > len(FIGURES) + len(BY_DAY):
                units = values[-1]
                dated[location] = [(day, quantity) for day, quantity in units]  # type: ignore[attr-defined]
        return item, dated

    def stand(self, records: tuple[Any, ...], position: Mapping[str, str]) -> None:
        """Take the records in force, and figures from `position:<item>` where the newest group has no places.

        What is by day is in the newest group, wherever something is.
        """
        self.policy, self.overrides, version, at, _ = records
        self.topology = (version, at)
        if self._has_places:
            return
        self._places = {}
        for name, value in position.items():
            location, _, figure = name.rpartition(":")
            if figure in FIGURES and location != "*":
                self._places.setdefault(location, [0] * len(FIGURES))[FIGURES.index(figure)] = int(value)

    def told_by(self, lines: dict[tuple[str, str], list[ClaimOfLine]]) -> Told:
        """Give which event moved each figure last, as far as the groups reach; `lines`: what order lines claim."""
        own = self._records.get(f"{self._channel}:{self._code}", "")
        return Told(self._records.get(self._code, ""), "", own, dict(self.told), lines)

    def _take_frame(self, group: Group) -> None:
        assert group.frame is not None
        records, places, *_ = group.frame
        if places is not None:
            self._places = {location: list(values) for location, values in places.items()}
        if records is not None:
            self.policy, self.overrides, version, at, published = records
            self.topology, self.published = (version, at), dict(published)

    def _fresh(self, touches: Iterable[Touch]) -> list[Touch]:
        """Leave out what is written again after a crash."""
        found = []
        for touch in touches:
            name = (touch.topic, touch.partition, touch.offset, touch.line, touch.event_id)
            if name not in self._seen:
                self._seen.add(name)
                found.append(touch)
        return found


def said_of(touch: Touch) -> dict[str, object]:
    """Give an event or record of reference data as JSON has it; what is empty left out."""
    found: dict[str, object] = {
        "topic": touch.topic,
        "partition": touch.partition,
        "offset": touch.offset,
        "event_id" if touch.type else "key": touch.event_id,
        "source": touch.source,
        "line_id": touch.line,
        "type": EventType(touch.type).name.lower() if touch.type else "record",
        "location": touch.location,
        "quantity": touch.quantity,
        "outcome": touch.outcome or "applied",
    }
    return {name: value for name, value in found.items() if value not in ("", None)}
