"""Reads for an audit what Kafka holds of some items: the messages that name them, reference records, newest words out.

Own consumers without a group: nothing is committed, and the engine notices nothing. A message is looked through as
bytes, and only what may name one of the items is kept. `rate` bounds how many messages a second are asked of Kafka.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from flows.audit.fields import POSITION, PROMISES, Values
from flows.audit.reading import Record
from flows.audit.records import REFERENCE_ORDER
from flows.audit.recount import Logged
from flows.kafka.reading import Part, Span, TopicReader, bounds
from flows.progress_line import ProgressLine
from schemas.settings import Settings
from schemas.topics import INPUTS, POSITIONS, UPDATES

SILENCE_S = 60.0
#: What stands behind each key `item`, as JSON is written by nearly everybody; what escapes anything is kept as it is.
NAMED = re.compile(rb'"item"\s*:\s*"([^"\\]+)"')
FIGURES = (
    "on_hand",
    "quarantined",
    "soft_allocated",
    "hard_reserved",
    "in_transit",
    "expected",
    "withheld",
    "available",
)


class Pace:
    """Lets a reader read no more than so many messages a second; 0: as many as there are."""

    def __init__(self, rate: int, line: ProgressLine) -> None:
        self._rate, self._line = rate, line
        self._began, self._read = time.monotonic(), 0
        self._never = threading.Event()

    def tell(self, count: int) -> None:
        """So many more were read: wait, if that was too fast."""
        self._line.add(count)
        self._read += count
        if self._rate:
            ahead_s = self._read / self._rate - (time.monotonic() - self._began)
            if ahead_s > 0:
                self._never.wait(ahead_s)


class _Kept:
    """Messages: their bytes in one piece, and of each four numbers.

    As objects of their own they would take twice as much, and a process that inherits them would copy them when it
    looks at them.
    """

    def __init__(self) -> None:
        #: of each: its clock, the number of its partition, its offset, where it ends
        self._places = array("q")
        self._values = bytearray()

    def add(self, clock: int, part: int, offset: int, value: bytes) -> int:
        """Keep one more, and give its number."""
        self._values += value
        self._places.extend((clock, part, offset, len(self._values)))
        return len(self._places) // 4 - 1

    def messages(self, numbers: Iterable[int], parts: Sequence[tuple[str, int]]) -> list[Logged]:
        """Give some; `parts`: (topic without prefix, partition) by number."""
        places, found = self._places, []
        with memoryview(self._values) as values:
            for at in numbers:
                clock, part, offset, end = places[4 * at : 4 * at + 4]
                begin = places[4 * at - 1] if at else 0
                found.append(Logged(clock, (*parts[part], offset), bytes(values[begin:end])))
        return found


class Intake:
    """What names some items, read up to some point, and further when asked."""

    def __init__(self, settings: Settings, items: Collection[str], rate: int = 0) -> None:
        self._settings, self._rate = settings, rate
        self._items = {item.encode(): item for item in items}
        self._only = next(iter(self._items)) if len(self._items) == 1 else b""
        self._kept = _Kept()
        #: item -> the numbers of the messages that name it; a message with several items is kept once
        self._named: dict[str, array[int]] = defaultdict(lambda: array("I"))
        #: (topic without prefix, partition) by number
        self._parts: list[tuple[str, int]] = []
        #: up to where each partition was read
        self.ends: dict[Part, int] = {}
        #: where each partition begins, and when what stands there was logged (UTC microseconds; 0: nothing does)
        self.begins: dict[Part, tuple[int, int]] = {}
        self.messages = 0
        self._clocks: dict[Part, int] = defaultdict(int)

    def of(self, item: str) -> list[Logged]:
        """Give the messages that name an item."""
        return self._kept.messages(self._named.get(item, ()), self._parts)

    def count(self, item: str) -> int:
        """Count them."""
        return len(self._named.get(item, ()))

    def read_on(self, what: str = "reading events") -> set[str]:
        """Read to where the input topics end now; give the items of which something came."""
        spans = bounds(self._settings, list(INPUTS))
        new: dict[Part, Span] = {part: (self.ends.get(part, low), end) for part, (low, end) in spans.items()}
        self.begins |= {part: (low, 0) for part, (low, _) in spans.items() if part not in self.begins}
        line = ProgressLine(what, sum(end - low for low, end in new.values()))
        pace = Pace(self._rate, line)
        prefix = self._settings.topics.prefix
        numbers = {part: self._number(part[0].removeprefix(prefix), part[1]) for part in spans}
        touched: set[str] = set()
        try:
            with TopicReader(self._settings, "-audit", SILENCE_S) as reader:
                for message in reader.read(new, pace.tell):
                    part = (message.topic(), message.partition())
                    logged = message.timestamp()[1] * 1000
                    if not self.begins[part][1]:
                        self.begins[part] = (self.begins[part][0], logged)
                    clock = self._clocks[part] = max(self._clocks[part], logged)
                    self.messages += 1
                    value = message.value()
                    named = self._names(value)
                    if not named:
                        continue
                    number = self._kept.add(clock, numbers[part], message.offset(), value)
                    for item in named:
                        self._named[item].append(number)
                    touched.update(named)
        finally:
            line.end()
        self.ends |= {part: end for part, (_, end) in spans.items()}
        return touched

    def _number(self, topic: str, partition: int) -> int:
        if (topic, partition) not in self._parts:
            self._parts.append((topic, partition))
        return self._parts.index((topic, partition))

    def _names(self, value: bytes | None) -> Collection[str]:
        """Give those of the items that a message may name."""
        if value is None:
            return ()
        if b"\\" in value:
            return _spelled_out(value, self._items)
        if self._only:
            return (self._items[self._only],) if b'"%b"' % self._only in value else ()
        items = self._items
        found = NAMED.findall(value)
        if len(found) == 1:
            return (items[found[0]],) if found[0] in items else ()
        return {items[raw] for raw in found if raw in items}


def _spelled_out(value: bytes, items: dict[bytes, str]) -> set[str]:
    """The same where something in the message is escaped."""
    try:
        event = json.loads(value)
    except (ValueError, RecursionError):
        return set()
    if not isinstance(event, dict):
        return set()
    lines = event.get("lines")
    named = [event.get("item")]
    named += [line.get("item") for line in lines if isinstance(line, dict)] if isinstance(lines, list) else []
    return {item for item in named if isinstance(item, str) and item.encode("utf-8", "replace") in items}


def reference_records(settings: Settings, is_wanted: Callable[[str, str], bool]) -> list[Record]:
    """Read the reference topics; of items and channel_items those of wanted items. `is_wanted`: (topic, item)."""
    records = []
    line = ProgressLine("reading reference data")
    try:
        with TopicReader(settings, "-audit", SILENCE_S) as reader:
            for name in REFERENCE_ORDER:
                for message in reader.read(bounds(settings, [name]), line.add):
                    key = message.key() or b""
                    item = key.decode("utf-8", "replace").rpartition(":")[2]
                    if name in ("inventory.items", "inventory.channel_items") and not is_wanted(name, item):
                        continue
                    place = (name, message.partition(), message.offset())
                    records.append(Record(place, message.timestamp()[1] * 1000, key, message.value()))
    finally:
        line.end()
    return records


def item_codes(settings: Settings) -> set[str]:
    """Give the items that have a record in force."""
    found: set[str] = set()
    with TopicReader(settings, "-audit", SILENCE_S) as reader:
        for message in reader.read(bounds(settings, ["inventory.items"])):
            code = (message.key() or b"").decode("utf-8", "replace")
            if message.value() is None:
                found.discard(code)
            else:
                found.add(code)
    return found


def newest_words(settings: Settings, items: Collection[str], rate: int = 0) -> dict[str, dict[str, Values]]:
    """Give what the engine's newest words in Kafka say of items, by hash, as `fields` has it."""
    wanted = {item.encode() for item in items}
    found: dict[str, dict[str, Values]] = {item: {PROMISES: {}, POSITION: {}} for item in items}
    newest: dict[tuple[str, str], int] = {}
    spans = bounds(settings, [*UPDATES, POSITIONS])
    line = ProgressLine("reading what was published", sum(end - low for low, end in spans.values()))
    pace = Pace(rate, line)
    try:
        with TopicReader(settings, "-audit", SILENCE_S) as reader:
            for message in reader.read(spans, pace.tell):
                raw, value = message.key() or b"", message.value()
                item = raw.partition(b":")[0]
                if item not in wanted or value is None:
                    continue
                _note(found, newest, value)
    finally:
        line.end()
    return found


def _note(found: dict[str, dict[str, Values]], newest: dict[tuple[str, str], int], value: bytes) -> None:
    """Take a word on an item, if it is its newest; what is none of the engine's is no word of it."""
    with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError, RecursionError):
        said = json.loads(value)
        at = (said["item"], said.get("channel", ""))
        if said["version"] >= newest.get(at, 0):
            of = found[said["item"]]
            if "channel" in said:
                _note_promise(of[PROMISES], said)
            else:
                of[POSITION] = _figures(said)
            newest[at] = said["version"]


def _note_promise(fields: Values, said: dict[str, Any]) -> None:
    channel, cause, atp = said["channel"], said["cause"], said["atp"]
    fields.pop(f"{channel}:by_day", None)
    if cause == "unlisted":
        fields.pop(channel, None)
        return
    fields[channel] = atp
    if "by_day" in said:
        fields[f"{channel}:by_day"] = said["by_day"]


def _figures(said: dict[str, Any]) -> Values:
    fields: Values = {
        f"{location}:{name}": figures[name]
        for location, figures in said["locations"].items()
        for name in FIGURES
        if name in figures
    }
    fields["*:soft_allocated"] = said["unlocated"]["soft_allocated"]
    return fields
