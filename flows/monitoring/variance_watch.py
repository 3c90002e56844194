"""What stands in variances and statements, as figures by source, cause and age: read from their topics alone.

Of each open or held variance a few numbers are kept under the hash of its key: a million of them take some 150 MB, and
what is decided or resolved takes nothing. Workers have no part in it, so that a scrape costs them nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from flows.errors import PlainError
from flows.kafka.reading import TopicReader, bounds
from flows.log import get_log
from schemas.settings import Settings
from schemas.topics import STATUSES, VARIANCES

log = get_log(__name__)

ITEMS: Final = "inventory.items"
#: Label values are bounded: the first sources have names.
SOURCES_MAX: Final = 60
OTHER: Final = "other"
HOUR_S: Final = 3600
#: Up to which age (seconds since it was first seen) a variance has which label; none above the last is `older`.
AGES: Final = ((86_400, "day"), (7 * 86_400, "week"))
OLDER, ALL_AGES = "older", "all"
UNSETTLED: Final = frozenset({"open", "held"})
UNKNOWN: Final = "unknown"
AGAIN_S = 5.0

Sample = tuple[str, dict[str, str], float]


class _Variance(msgspec.Struct):
    source: str
    item: str
    difference: int
    cause: str
    state: str
    first_seen: str


class _Status(msgspec.Struct):
    source: str
    verdict: str
    as_of: str | None = None


class _Item(msgspec.Struct):
    scale: int | str = 0
    unit_value: float | str | None = None


class _Entry(NamedTuple):
    """What one variance adds, and to which group."""

    group: tuple[str, str, str, int]
    units: float
    value: float


_read_variance = msgspec.json.Decoder(_Variance).decode
_read_status = msgspec.json.Decoder(_Status).decode
_read_item = msgspec.json.Decoder(_Item).decode


class VarianceTally:
    """Adds up what the topics say. `began`: since when (seconds since 1970) statements are awaited at the earliest."""

    def __init__(self, statement_every: dict[str, int], began: float) -> None:
        self._every, self._began = statement_every, began
        self._entries: dict[int, _Entry] = {}
        #: (source, cause, state, hour in which it was first seen) -> [how many, units, money]
        self._groups: dict[tuple[str, str, str, int], list[float]] = {}
        #: items whose figures are no plain pieces: 10^-scale, money a base unit
        self._items: dict[str, tuple[float, float]] = {}
        self._sources: dict[str, str] = {}
        #: source -> as_of of its newest accepted statement, seconds since 1970
        self._accepted: dict[str, float] = {}
        self._stating: set[str] = set()

    def item(self, key: bytes, value: bytes | None) -> None:
        """Take an item's record."""
        name = key.decode("utf-8", "replace")
        self._items.pop(name, None)
        if value is None:
            return
        try:
            record = _read_item(value)
            facts = (10.0 ** -int(record.scale), float(record.unit_value or 0))
        except (msgspec.DecodeError, ValueError):
            return  # refused elsewhere
        if facts != (1.0, 0.0):
            self._items[name] = facts

    def variance(self, key: bytes, value: bytes | None) -> None:
        """Take a variance's newest word."""
        name = hash(key)
        before = self._entries.pop(name, None)
        if before is not None:
            self._add(before, -1)
        if value is None:
            return
        try:
            said = _read_variance(value)
            hour = int(_seconds(said.first_seen)) // HOUR_S
        except (msgspec.DecodeError, ValueError):
            return  # nobody's but somebody else's
        if said.state in UNSETTLED:
            unit, worth = self._items.get(said.item, (1.0, 0.0))
            units = abs(said.difference) * unit
            entry = _Entry((self._label(said.source), said.cause, said.state, hour), units, units * worth)
            self._entries[name] = entry
            self._add(entry, 1)

    def status(self, key: bytes, value: bytes | None) -> None:
        """Take a statement's newest word."""
        if value is None:
            return
        try:
            said = _read_status(value)
        except msgspec.DecodeError:
            return
        source = self._label(said.source)
        self._stating.add(source)
        if said.verdict == "accepted" and said.as_of is not None:
            self._accepted[source] = max(self._accepted.get(source, 0.0), _seconds(said.as_of))

    def samples(self, now: float) -> Iterator[Sample]:
        """Give every figure; `now`: seconds since 1970."""
        totals: dict[tuple[str, str, str, str], list[float]] = {}
        for (source, cause, state, hour), figures in self._groups.items():
            sums = totals.setdefault((source, cause, state, age_of(now - hour * HOUR_S)), [0.0, 0.0, 0.0])
            for place, figure in enumerate(figures):
                sums[place] += figure
        for (source, cause, state, age), (count, units, value) in sorted(totals.items()):
            labels = {"source": source, "cause": cause, "state": state, "age": age}
            yield "atp_variances", labels, count
            yield "atp_variance_units", labels, units
            yield "atp_variance_value", labels, value
        yield from self._explained(totals)
        yield from self._statements(now)

    def _explained(self, totals: dict[tuple[str, str, str, str], list[float]]) -> Iterator[Sample]:
        units: dict[tuple[str, str], list[float]] = {(source, ALL_AGES): [0.0, 0.0] for source in self._stating}
        for (source, cause, _, age), figures in totals.items():
            for label in (age, ALL_AGES):
                sums = units.setdefault((source, label), [0.0, 0.0])
                sums[0] += figures[1]
                sums[1] += figures[1] if cause != UNKNOWN else 0.0
        for (source, age), (total, explained) in sorted(units.items()):
            percent = 100.0 * explained / total if total > 0 else 100.0
            yield "atp_variance_explained_percent", {"source": source, "age": age}, percent

    def _statements(self, now: float) -> Iterator[Sample]:
        for source, as_of in sorted(self._accepted.items()):
            yield "atp_statement_accepted_timestamp_seconds", {"source": source}, as_of
        for source, every in sorted(self._every.items()):
            since = self._accepted.get(self._label(source), self._began)
            yield "atp_statement_missing", {"source": source}, float(now - since > every / 1e6)

    def _add(self, entry: _Entry, sign: int) -> None:
        figures = self._groups.setdefault(entry.group, [0.0, 0.0, 0.0])
        figures[0] += sign
        figures[1] += sign * entry.units
        figures[2] += sign * entry.value
        if not figures[0]:
            del self._groups[entry.group]

    def _label(self, source: str) -> str:
        known = self._sources.get(source)
        if known is None:
            known = self._sources[source] = source if len(self._sources) < SOURCES_MAX else OTHER
        return known


def age_of(seconds: float) -> str:
    """Give the label of an age."""
    return next((label for limit, label in AGES if seconds < limit), OLDER)


class VarianceWatch:
    """Follows the topics in a thread of its own, from their beginning; asked by whoever scrapes."""

    def __init__(self, settings: Settings) -> None:
        every = {name: source.statement_every for name, source in settings.sources.items()}
        self._settings = settings
        self._tally = VarianceTally({name: each for name, each in every.items() if each is not None}, time.time())
        self._lock = threading.Lock()
        self._is_whole = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="variances", daemon=True)

    def start(self) -> None:
        """Begin, once; for nothing where statements are not compared."""
        if self._settings.reconciliation.enabled and not self._thread.is_alive() and not self._ended.is_set():
            self._thread.start()

    def close(self) -> None:
        """Follow no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(AGAIN_S)

    def samples(self) -> list[Sample]:
        """Give the figures; none before all that the topics hold was read."""
        with self._lock:
            return list(self._tally.samples(time.time())) if self._is_whole else []

    def _follow(self) -> None:
        topics = [ITEMS, VARIANCES, STATUSES]
        starts: dict[tuple[str, int], int] = {}
        while not self._ended.is_set():
            try:
                with TopicReader(self._settings, group="-variances") as reader:
                    if not self._is_whole:
                        spans = bounds(self._settings, topics)
                        # Items first: what a difference is worth goes by them.
                        for topic in topics:
                            part = {at: span for at, span in spans.items() if at[0] == self._settings.topic(topic)}
                            self._take(reader.read(part), starts)
                        starts = {at: starts.get(at, end) for at, (_, end) in spans.items()}
                        self._is_whole = True
                    self._take(reader.follow(starts, self._ended.is_set), starts)
            except PlainError as problem:  # Kafka is away, which workers say: it is read on when it is back
                log.debug(f"variances cannot be read: {problem}", kind="variances")
                self._ended.wait(AGAIN_S)

    def _take(self, messages: Iterable[Any], starts: dict[tuple[str, int], int]) -> None:
        takers = {
            self._settings.topic(ITEMS): self._tally.item,
            self._settings.topic(VARIANCES): self._tally.variance,
            self._settings.topic(STATUSES): self._tally.status,
        }
        for message in messages:
            with self._lock:
                takers[message.topic()](message.key() or b"", message.value())
            starts[message.topic(), message.partition()] = message.offset() + 1
            if self._ended.is_set():
                return


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
