"""Reads units again, of items that a statement differs in, and promises: from Kafka, on its own thread, with pauses.

Who explains variances wants to know which units there were; the state keeps what they did, and not what they were.
So that is read again where it stands: bounded in time by the day before and the day after the statement's moment, and
in what is handed on by the items. Nothing of the events' own way is made slower by that, but for what it takes of the
processor: a pause as long as the work follows each batch.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.kafka.clients import KafkaProblem, consumer_config, span_of
from flows.kafka.parts import place_of
from flows.log import get_log
from flows.runtime.configs import decoder_config
from flows.runtime.run import Run
from flows.sources.sent import Anew, Promised, Sent, read_sent
from flows.sources.words import Word, to_shard
from operators.coordinator import Search
from operators.decode import CodeSets, Decoder
from operators.route import shard_of
from schemas.reconciled import UnitsFound
from schemas.units import Origin, Refusal, Unit

log = get_log(__name__)

READ_AT_ONCE = 500
#: Messages that one search reads at most: a day of 2,000 a second would be 170 million, and hours. What lies beyond is
#: not looked at, and what it would have explained stays unknown.
MESSAGES_MAX = 20_000_000
TIMEOUT_S = 10.0
#: Units handed on at once.
UNITS_AT_ONCE = 500


#: a search, and up to which offsets it reads, by partition
Asked = tuple[Search, dict[str, int]]
#: Searches that begin within so much of each other are read together, in microseconds.
TOGETHER = 3_600_000_000


class _Named(msgspec.Struct, gc=False):
    """Of a message: what names its items."""

    item: Any = None
    lines: Any = None


_named = msgspec.json.Decoder(_Named).decode


class Found(NamedTuple):
    """Units of a search, or promises that were sent; `is_last`: there are no more."""

    search: Search
    units: list[Unit]
    is_last: bool
    sent: list[Promised] = []  # noqa: RUF012 - never changed
    anew: list[Anew] = []  # noqa: RUF012


class History:
    """One a process. `search` and `take` are called by the dataflow's thread."""

    def __init__(self, run: Run, known: CodeSets) -> None:
        self._run = run
        self._decoder = Decoder(decoder_config(run.settings), known)
        self._asked: queue.SimpleQueue[Asked | None] = queue.SimpleQueue()
        self._found: queue.SimpleQueue[Found] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def search(self, search: Search, until: dict[str, int]) -> None:
        """Read again up to these offsets, by partition."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._main, name="history", daemon=True)
            self._thread.start()
        self._asked.put((search, until))

    def take(self) -> Found | None:
        """Give what was found since, some at a time."""
        try:
            return self._found.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """End it."""
        self._is_closed = True
        self._asked.put(None)
        if self._thread is not None:
            self._thread.join(TIMEOUT_S)

    def _main(self) -> None:
        waiting: list[Asked] = []
        while not self._is_closed:
            new = [] if waiting else [self._asked.get()]
            while not self._asked.empty():
                new.append(self._asked.get())
            if None in new:
                return
            waiting += [one for one in new if one is not None]
            first = waiting[0][0].since
            together = [one for one in waiting if abs(one[0].since - first) <= TOGETHER]
            waiting = [one for one in waiting if abs(one[0].since - first) > TOGETHER]
            try:
                self._read([one for one in together if one[0].items])
                for search, _ in together:
                    if search.promises or search.anew_since is not None:
                        self._read_sent(search)
            except (KafkaException, KafkaProblem) as error:
                names = ", ".join(name_of(search) for search, _ in together)
                log.warning(
                    f"what explains {names} could not be read again, so that some causes stay unknown: {error}",
                    kind="kafka_read",
                    next="see whether the brokers run: atp check",
                )
            for search, _ in together:
                self._found.put(Found(search, [], True))

    def _read_sent(self, search: Search) -> None:
        found: Sent = read_sent(self._run.settings, search, MESSAGES_MAX, lambda: self._is_closed)
        if not found.is_whole and not self._is_closed:
            say_too_many(search)
        for at in range(0, len(found.promised), UNITS_AT_ONCE):
            self._found.put(Found(search, [], False, found.promised[at : at + UNITS_AT_ONCE]))
        for at in range(0, len(found.anew), UNITS_AT_ONCE):
            self._found.put(Found(search, [], False, [], found.anew[at : at + UNITS_AT_ONCE]))

    def _read(self, asked: list[Asked]) -> None:
        """Read once what all of them ask for: who states every shop by itself asks for the same days 100 times."""
        if not asked:
            return
        settings = self._run.settings
        until: dict[str, int] = {}
        for _, ends in asked:
            for part, end in ends.items():
                until[part] = max(end, until.get(part, 0))
        since = min(search.since for search, _ in asked)
        items = set().union(*(search.items for search, _ in asked))
        units: list[list[Unit]] = [[] for _ in asked]
        consumer = Consumer(consumer_config(settings, **{"auto.offset.reset": "earliest"}))
        try:
            # What occurred at a moment was logged at the earliest so much before.
            since_ms = max(0, since - settings.max_clock_skew) // 1000
            starts = self._starts(consumer, until, since_ms)
            clocks = dict.fromkeys(starts, 0)
            consumer.assign([TopicPartition(*place_of(part), offset) for part, offset in starts.items()])
            parts = {place_of(part): part for part in starts}
            open_parts = set(starts)
            count = 0
            while open_parts and count < MESSAGES_MAX and not self._is_closed:
                began = time.monotonic()
                messages: list[Any] = consumer.consume(READ_AT_ONCE, 0.2)
                for message in messages:
                    part = parts[message.topic(), message.partition()]
                    error = message.error()
                    if error is not None:
                        if error.code() == KafkaError._PARTITION_EOF:
                            open_parts.discard(part)
                        continue
                    if message.offset() >= until[part]:
                        open_parts.discard(part)
                        continue
                    count += 1
                    clocks[part] = max(clocks[part], message.timestamp()[1] * 1000)
                    for unit in self._units_of(message, clocks[part], items):
                        for (search, ends), found in zip(asked, units, strict=True):
                            if message.offset() < ends.get(part, 0) and _wants(search, unit):
                                found.append(unit)
                    if message.offset() + 1 >= until[part]:
                        open_parts.discard(part)
                for (search, _), found in zip(asked, units, strict=True):
                    while len(found) >= UNITS_AT_ONCE:
                        self._found.put(Found(search, found[:UNITS_AT_ONCE], False))
                        del found[:UNITS_AT_ONCE]
                time.sleep(min(0.05, time.monotonic() - began) if messages else 0)
            for (search, _), found in zip(asked, units, strict=True):
                if found:
                    self._found.put(Found(search, found, False))
                if open_parts and not self._is_closed:
                    say_too_many(search)
        finally:
            consumer.close()

    def _starts(self, consumer: Consumer, until: dict[str, int], since_ms: int) -> dict[str, int]:
        """Where each partition's records of that time begin; without those that have none."""
        places = [TopicPartition(*place_of(part), since_ms) for part in until]
        found = consumer.offsets_for_times(places, timeout=TIMEOUT_S)
        starts = {}
        for part, place in zip(until, found, strict=True):
            end = until[part]
            low, _ = span_of(consumer, TopicPartition(place.topic, place.partition))
            start = place.offset if place.offset >= 0 else end
            start = max(start, low)
            if start < end:
                starts[part] = start
        return starts

    def _units_of(self, message: Any, clock: int, items: set[str]) -> list[Unit]:
        value = message.value()
        if value is None or not _names(value, items):
            return []
        origin = Origin(
            message.topic(), message.partition(), message.offset(), message.timestamp()[1], message.key(), value
        )
        units: list[Unit] = []
        refusals: list[Refusal] = []
        self._decoder.decode(origin, clock, units, refusals, True)
        bare = origin.without_bytes()
        found = []
        for unit in units:
            if unit.item in items:
                unit.origin = bare
                found.append(unit)
        return found


def _wants(search: Search, unit: Unit) -> bool:
    return unit.item in search.items and search.since < unit.occurred_at <= search.until


def words_of(found: Found, shards: int) -> list[Word]:
    """Address what was found to the shards that know the items."""
    words: dict[int, UnitsFound] = {}

    def of(item: str) -> UnitsFound:
        shard = shard_of(item, shards)
        if shard not in words:
            words[shard] = UnitsFound(found.search.source, found.search.statement_id, [], False, [], [])
        return words[shard]

    for unit in found.units:
        of(unit.item).units.append(unit.values())
    for sent in found.sent:
        of(sent[0]).sent.append(sent)
    for anew in found.anew:
        of(anew[0]).anew.append(anew)
    return [to_shard(shard, word) for shard, word in words.items()]


def name_of(search: Search) -> str:
    """Name the statement that a search is for."""
    return f"{search.source}:{search.statement_id}"


def say_too_many(search: Search) -> None:
    """Say that not all was looked at."""
    log.warning(
        f"{name_of(search)}: of the two days around it the first {MESSAGES_MAX} messages were looked at, and no more: "
        "what the others would explain stays unknown",
        kind="history_too_long",
        next="look at those days with: atp explain ITEM LOCATION",
    )


def _names(value: bytes, items: set[str]) -> bool:
    try:
        said = _named(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if isinstance(said.lines, list):
        return any(isinstance(line, dict) and line.get("item") in items for line in said.lines if line)
    return isinstance(said.item, str) and said.item in items
