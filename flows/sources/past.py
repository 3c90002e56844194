"""Reads the past again in a process of its own: units of items that a statement differs in, and promises, from Kafka.

Beside the engine and not in it: decoding a day's messages takes an interpreter for minutes, and two threads that share
one hand it over hundreds of times in each round of the dataflow. It gets what nobody else wants of the processor, rests
as long as it works, and lets Kafka rest, too. It ends when its connection does, also where the engine was killed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Container
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.kafka.clients import KafkaProblem, consumer_config, span_of
from flows.kafka.parts import place_of
from flows.runtime.configs import decoder_config
from flows.sources.sent import Anew, Promised, Sent, read_sent
from operators.coordinator import Search
from operators.decode import CodeSets, Decoder
from schemas.settings import Settings
from schemas.units import Origin, Refusal, Unit

READ_AT_ONCE = 500
#: Messages that one search reads at most: a day of 2,000 a second would be 170 million, and hours. What lies beyond is
#: not looked at, and what it would have explained stays unknown.
MESSAGES_MAX = 20_000_000
TIMEOUT_S = 10.0
#: Units told at once.
UNITS_AT_ONCE = 500
#: The least that a process can have of the processor.
NICENESS = 19
REST_MAX_S = 0.05

#: a search, and up to which offsets it reads, by partition
Asked = tuple[Search, dict[str, int]]


class Begin(NamedTuple):
    """The first thing that the process is told."""

    settings: Settings


class Ask(NamedTuple):
    """Searches that are read together, and the codes that are known now."""

    asked: list[Asked]
    locations: Container[str]
    channels: Container[str]


class Found(NamedTuple):
    """Some of what searches found: (item, what `Unit.values` gives), promises that were sent, those sent anew.

    What several of them ask for is told once, for all of them: a day of what sells most may be a million units.
    """

    #: their places in `Ask.asked`
    searches: tuple[int, ...]
    units: list[tuple[str, Any]] = []  # noqa: RUF012 - never changed
    sent: list[Promised] = []  # noqa: RUF012
    anew: list[Anew] = []  # noqa: RUF012


class TooLong(NamedTuple):
    """Not all of what a search asks for was looked at."""

    search: int


class Done(NamedTuple):
    """That is all of an `Ask`; `problem`: why Kafka did not give the rest. `is_whole`: those were all units."""

    problem: str = ""
    is_whole: bool = True


class _Named(msgspec.Struct, gc=False):
    """Of a message: what names its items."""

    item: Any = None
    lines: Any = None


_named = msgspec.json.Decoder(_Named).decode


class Over(Exception):
    """Nobody wants to know any more."""


class Reader:
    """Answers what comes through one connection."""

    def __init__(self, settings: Settings, tell: Callable[[Found | TooLong | Done], None], is_over: Callable[[], bool]):
        self._settings, self._tell, self._is_over = settings, tell, is_over
        self._known = CodeSets(frozenset(), frozenset())
        self._decoder = Decoder(decoder_config(settings), self._known)

    def answer(self, ask: Ask) -> None:
        """Read what is asked for, and tell it, some at a time."""
        self._known.locations, self._known.channels = ask.locations, ask.channels
        try:
            is_whole = self._read([(number, *one) for number, one in enumerate(ask.asked) if one[0].items])
            for number, (search, _) in enumerate(ask.asked):
                if search.promises or search.anew_since is not None:
                    self._read_sent(number, search)
        except (KafkaException, KafkaProblem) as error:
            self._tell(Done(str(error) or type(error).__name__, is_whole=False))
        else:
            self._tell(Done(is_whole=is_whole))

    def _read_sent(self, number: int, search: Search) -> None:
        found: Sent = read_sent(self._settings, search, MESSAGES_MAX, self._is_over)
        if not found.is_whole:
            if self._is_over():
                raise Over
            self._tell(TooLong(number))
        for at in range(0, len(found.promised), UNITS_AT_ONCE):
            self._tell(Found((number,), sent=found.promised[at : at + UNITS_AT_ONCE]))
        for at in range(0, len(found.anew), UNITS_AT_ONCE):
            self._tell(Found((number,), anew=found.anew[at : at + UNITS_AT_ONCE]))

    def _read(self, asked: list[tuple[int, Search, dict[str, int]]]) -> bool:
        """Read once what all of them ask for: who states every shop by itself asks for the same days 100 times.

        True where that is all there was in these days: Kafka has not deleted some of it, and it was not too much.
        """
        if not asked:
            return True
        until: dict[str, int] = {}
        for _, _, ends in asked:
            for part, end in ends.items():
                until[part] = max(end, until.get(part, 0))
        since = min(search.since for _, search, _ in asked)
        items = set().union(*(search.items for _, search, _ in asked))
        #: which searches want them -> units that are not told yet
        units: dict[tuple[int, ...], list[tuple[str, Any]]] = {}
        consumer = Consumer(consumer_config(self._settings, **{"auto.offset.reset": "earliest"}))
        try:
            # What occurred at a moment was logged at the earliest so much before.
            starts, is_whole = self._starts(consumer, until, max(0, since - self._settings.max_clock_skew) // 1000)
            clocks = dict.fromkeys(starts, 0)
            consumer.assign([TopicPartition(*place_of(part), offset) for part, offset in starts.items()])
            parts = {place_of(part): part for part in starts}
            open_parts = set(starts)
            count = 0
            while open_parts and count < MESSAGES_MAX:
                if self._is_over():
                    raise Over
                began = time.monotonic()
                messages: list[Any] = consumer.consume(READ_AT_ONCE, 0.2)
                for message in messages:
                    part = parts[message.topic(), message.partition()]
                    error = message.error()
                    if error is not None:
                        if error.code() == KafkaError._PARTITION_EOF:
                            open_parts.discard(part)
                        continue
                    offset = message.offset()
                    if offset >= until[part]:
                        open_parts.discard(part)
                        continue
                    count += 1
                    clocks[part] = max(clocks[part], message.timestamp()[1] * 1000)
                    for unit in self._units_of(message, clocks[part], items):
                        wanted = [
                            number
                            for number, search, ends in asked
                            if offset < ends.get(part, 0) and _wants(search, unit)
                        ]
                        if wanted:
                            units.setdefault(tuple(wanted), []).append((unit.item, unit.values()))
                    if offset + 1 >= until[part]:
                        open_parts.discard(part)
                for searches, found in units.items():
                    while len(found) >= UNITS_AT_ONCE:
                        self._tell(Found(searches, found[:UNITS_AT_ONCE]))
                        del found[:UNITS_AT_ONCE]
                time.sleep(min(REST_MAX_S, time.monotonic() - began) if messages else 0)
            for searches, found in units.items():
                if found:
                    self._tell(Found(searches, found))
            for number, _, _ in asked if open_parts else ():
                self._tell(TooLong(number))
            return is_whole and not open_parts
        finally:
            consumer.close()

    def _starts(self, consumer: Consumer, until: dict[str, int], since_ms: int) -> tuple[dict[str, int], bool]:
        """Where each partition's records of that time begin, without those that have none; and are all still there?"""
        places = [TopicPartition(*place_of(part), since_ms) for part in until]
        found = consumer.offsets_for_times(places, timeout=TIMEOUT_S)
        starts = {}
        is_whole = True
        for part, place in zip(until, found, strict=True):
            end = until[part]
            low, _ = span_of(consumer, TopicPartition(place.topic, place.partition))
            start = place.offset if place.offset >= 0 else end
            start = max(start, low)
            is_whole = is_whole and not 0 < low >= start
            if start < end:
                starts[part] = start
        return starts, is_whole

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


def _names(value: bytes, items: set[str]) -> bool:
    try:
        said = _named(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if isinstance(said.lines, list):
        return any(isinstance(line, dict) and line.get("item") in items for line in said.lines if line)
    return isinstance(said.item, str) and said.item in items


def main() -> None:
    """Answer until the connection ends; its file descriptor is the one argument."""
    # Whoever ends the engine ends the connection.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(NICENESS)
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    try:
        begin: Begin = connection.recv()
        # While it answers nothing is asked of it: what can be read then is the connection's end.
        reader = Reader(begin.settings, connection.send, connection.poll)
        while True:
            reader.answer(connection.recv())
    except (EOFError, OSError, Over):
        return


if __name__ == "__main__":
    # By its name: what is sent is known by the module that it comes from, and the other side has no such __main__.
    from flows.sources import past  # noqa: PLW0406  # under its own name, on purpose

    past.main()
