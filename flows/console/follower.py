"""Reads Kafka for all pages: one consumer in one thread, from where each table begins to what comes. Commits nothing.

Updates are read from their end on: what they were before the console's start is not asked for. Exceptions, variances
and marks are read from the beginning, dead letters of a day. While Kafka is away, what was read is shown, and since
when; where a topic was made again, its reading begins again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from flows.console.tables import DAY_MS, Tables
from flows.errors import PlainError
from flows.kafka.clients import NO_LEADER, consumer_config
from flows.kafka.reading import Part
from flows.log import get_log
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, EXCEPTIONS, LANES, REPLAYS, VARIANCES

log = get_log(__name__)

POLL_MAX: Final = 1000
POLL_S: Final = 0.2
#: How often Kafka is asked whether it is there, and which topics are.
PROBE_S: Final = 3.0
PROBE_TIMEOUT_S: Final = 2.0
AGAIN_S: Final = 1.0
#: What librdkafka may hold in advance: half a second of the most that is published.
AHEAD_KB: Final = 8_192

Take = Callable[[Any], None]


class Follower:
    """Keeps the tables up to date from `start` to `close`."""

    def __init__(self, settings: Settings, tables: Tables) -> None:
        self._settings, self._tables = settings, tables
        self._takes: dict[str, Take] = {
            settings.topic(EXCEPTIONS): tables.take_exception,
            settings.topic(VARIANCES): tables.take_variance,
            settings.topic(DEAD_LETTERS): tables.take_letter,
            settings.topic(REPLAYS): tables.take_mark,
        }
        self._updates = {settings.topic(f"atp.updates.{lane}"): lane for lane in LANES}
        for topic, lane in self._updates.items():
            self._takes[topic] = partial(tables.take_update, lane=lane)
        self._next: dict[Part, int] = {}
        self._unread: set[Part] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="console follower", daemon=True)
        #: since when Kafka is away, UTC milliseconds; None: it answers
        self.away_since_ms: int | None = None
        self.problem = ""
        #: topics of the engine that are not there
        self.missing: tuple[str, ...] = ()
        self._has_begun = False
        #: messages that nobody of ours wrote
        self.skipped = 0

    @property
    def is_caught_up(self) -> bool:
        """Was each topic read to its end once?"""
        return self._has_begun and not self._unread

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, and let go of Kafka."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._follow()
            except (KafkaException, PlainError) as error:
                self._is_away(error)
                self._ended.wait(AGAIN_S)

    def _follow(self) -> None:
        own = {
            "group.id": f"{self._settings.kafka.group}-console",
            "client.id": "atp-console",
            "auto.offset.reset": "error",
            "queued.max.messages.kbytes": AHEAD_KB,
            "log_level": 0,
        }
        consumer = Consumer(consumer_config(self._settings, **own))
        try:
            known: set[Part] = set()
            probed_at = 0.0
            while not self._ended.is_set():
                if time.monotonic() - probed_at > PROBE_S:
                    there = self._probe(consumer)
                    if there != known:
                        known = there
                        self._assign(consumer, known)
                    probed_at = time.monotonic()
                for message in consumer.consume(POLL_MAX, POLL_S):
                    if not self._take(message):
                        probed_at, known = 0.0, set()
                        break
        finally:
            consumer.close()

    def _probe(self, consumer: Consumer) -> set[Part]:
        """Give the partitions that are there; KafkaException where Kafka is not."""
        topics = consumer.list_topics(timeout=PROBE_TIMEOUT_S).topics
        found = {name: topics[name] for name in self._takes if name in topics and topics[name].error is None}
        self.missing = tuple(sorted(self._takes.keys() - found.keys() - {self._settings.topic(REPLAYS)}))
        if self.away_since_ms is not None:
            log.info("Kafka answers again", kind="kafka")
        self.away_since_ms, self.problem = None, ""
        return {(name, partition) for name, topic in found.items() for partition in topic.partitions}

    def _is_away(self, error: Exception) -> None:
        self.problem = f"Kafka at {self._settings.kafka.bootstrap_servers} does not answer: {error}"
        if self.away_since_ms is None:
            self.away_since_ms = int(time.time() * 1000)
            log.warning(self.problem, kind="kafka", next="pages show what was known before; see atp check")

    def _assign(self, consumer: Consumer, parts: set[Part]) -> None:
        letters = self._settings.topic(DEAD_LETTERS)
        for part in [part for part in self._next if part not in parts]:
            del self._next[part]  # it was deleted: another one of its name begins anew
        day_ago = int(time.time() * 1000) - DAY_MS
        dated = [TopicPartition(*part, day_ago) for part in parts if part[0] == letters and part not in self._next]
        found = consumer.offsets_for_times(dated, timeout=PROBE_TIMEOUT_S) if dated else []
        begins = {(place.topic, place.partition): place.offset for place in found}
        places = []
        for part in sorted(parts):
            first = OFFSET_END if part[0] in self._updates else begins.get(part, OFFSET_BEGINNING)
            if part not in self._next and first != OFFSET_END:
                self._unread.add(part)
            places.append(TopicPartition(*part, self._next.get(part, first)))
        consumer.assign(places)
        self._unread &= parts
        self._has_begun = True

    def _take(self, message: Any) -> bool:
        """Take one; false where its topic is not what it was, and is to be looked at again."""
        part = (message.topic(), message.partition())
        error = message.error()
        if error is None:
            try:
                self._takes[part[0]](message)
            except Exception as strange:  # whatever one message is, those behind it are told
                self._skip(part, message.offset(), strange)
            self._next[part] = message.offset() + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            self._unread.discard(part)
            self._next.setdefault(part, message.offset())
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._next.pop(part, None)
            return False
        elif error.code() not in NO_LEADER:
            raise KafkaException(error)
        return True

    def _skip(self, part: Part, offset: int, strange: Exception) -> None:
        self.skipped += 1
        if self.skipped == 1:
            said = f"{part[0]}/{part[1]}/{offset} is none of the engine's: {type(strange).__name__}: {strange}"
            log.warning(said, kind="strange", next="pages show the others; who else writes to this topic?")
