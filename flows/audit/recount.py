"""Decides one item's numbers again from the messages that name it, with the reference records in force.

Rule 1: nothing of the engine is imported. Rule 2: a message is judged by the clock of its partition, which is known to
whoever read all of the partition; so what does not name the item need not be kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from flows.audit.fields import POSITION, PROMISES, Difference, Values, differences, position, promises
from flows.audit.intake import MAX_BYTES, Unit
from flows.audit.quick import QuickModel
from flows.audit.reading import Fields, Place, Record
from flows.audit.records import REFERENCE_ORDER


class Logged(NamedTuple):
    """A message that names the item. `recorded_at`: the clock of its partition when it was logged."""

    recorded_at: int
    place: Place
    value: bytes


class Rights(NamedTuple):
    """What the settings say of who may say what, when, and whose days count; durations in microseconds."""

    dedup_window: int
    max_clock_skew: int
    sources: Mapping[str, Mapping[str, Any]] = {}
    max_bytes: int = MAX_BYTES
    time_zone: str = "UTC"


class Recount(QuickModel):
    """One item at a time; reference records are judged once for all of them."""

    def __init__(self, rights: Rights, reference: Iterable[Record]) -> None:
        super().__init__(*rights)
        #: every record of a key that the topics still have, oldest first; what is wrong is not among them
        self.history: dict[tuple[str, bytes], list[Record]] = defaultdict(list)
        for record in sorted(reference, key=lambda one: (REFERENCE_ORDER.index(one.place[0]), one.place)):
            if not self.reference(record.place[0], record.key, record.value):
                self.history[record.place[0], record.key].append(record)
        self._all_items = self.items
        self._all_of_channels: dict[str, dict[str, Fields]] = defaultdict(dict)
        for name, fields in self.channel_items.items():
            self._all_of_channels[name.partition(":")[2]][name] = fields

    def take(self, item: str, messages: Iterable[Logged]) -> list[tuple[Place, str]]:
        """Judge what names the item, in place of whichever was taken before; give what was refused of it, and why."""
        self.units, self.units_of, self.rules, self.logged = {}, defaultdict(list), {}, {}
        self.measures = {}
        self.items = {item: self._all_items[item]} if item in self._all_items else {}
        self.channel_items = dict(self._all_of_channels.get(item, {}))
        self.duplicates = 0
        self._only = item
        refused = []
        judge = super(QuickModel, self).event  # nothing is asked meanwhile
        for recorded_at, place, value in sorted(messages, key=lambda one: one[:2]):
            for code, _ in judge(place[0], value, recorded_at, place):
                refused.append((place, code))
        self.forget()
        return refused

    def compare(self, item: str, now_us: int, published: Mapping[str, Values]) -> list[Difference]:
        """Compare what was taken with what is published of it, hash by hash."""
        found = differences(PROMISES, promises(self, item, now_us), published[PROMISES])
        return found + differences(POSITION, position(self, item, now_us), published[POSITION])

    @contextmanager
    def only(self, item: str, units: list[Unit]) -> Iterator[None]:
        """Answer for a while as if these were all units of the item."""
        kept = self.units_of[item]
        self.units_of[item] = units
        self.forget()
        try:
            yield
        finally:
            self.units_of[item] = kept
            self.forget()

    @contextmanager
    def under(self, record: Record, item: str) -> Iterator[bool]:
        """Answer for a while as if another record of its key were in force; false where it would be refused."""
        kept = self.items, self.locations, self.channels, self.channel_items
        self.items, self.locations = dict(self.items), dict(self.locations)
        self.channels, self.channel_items = dict(self.channels), dict(self.channel_items)
        self.forget()
        try:
            yield not self.reference(record.place[0], record.key, record.value)
        finally:
            self.items, self.locations, self.channels, self.channel_items = kept
            self.forget()
