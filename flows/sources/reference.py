"""The reference topics as one source partition: read to their end in one batch, then followed.

What was accepted (locations, channels) and what waits is in its own snapshot: after compaction the older, right record
that a wrong newer one did not replace may be gone from Kafka.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from bytewax.inputs import StatefulSourcePartition
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from flows.kafka.clients import Complaints, KafkaProblem, consumer_config
from flows.log import get_log
from flows.runtime.run import Run, Stop, now
from flows.sources.words import Word, to_listener, to_shard, to_sources
from operators.reference import ReferenceTables
from operators.route import shard_of
from schemas.codes import TOO_LARGE
from schemas.messages import ItemRecord, SourcesSeen, TopologyRecord, UnitBatch
from schemas.replay import note_replay
from schemas.topics import REFERENCE
from schemas.units import Origin, Refusal

log = get_log(__name__)

#: Keys enough that every process of a cluster of 64 hosts one (chance that one has none: 64 x (63/64)^1024 = 6e-6).
LISTENERS = 1024
#: An event may come right behind the item it names: what waits meanwhile is bounded, and more is refused.
FOLLOW_EVERY = timedelta(milliseconds=10)
READ_TIMEOUT_S = 60.0
#: Changes of locations and channels that come one by one are handed on together: after one, the next follows when this
#: much time a byte of the tables has passed, about ten times what taking it costs a process (710 kB as 4 channels and
#: 10,000 locations have: 70 ms), and at most half of the reference grace, which events of new codes are held back for.
GATHER_US_A_BYTE = 1
FOREVER = 1 << 62


class _Saved(msgspec.Struct, array_like=True):
    """Positions, accepted tables, what waits; Kafka's ids of the topics that the positions are of; and rules."""

    positions: dict[str, int]
    tables: bytes
    waiting: list[tuple[str, Origin, int]]
    topic_ids: dict[str, str] = {}
    #: what is done about variances
    reconciliation: bytes = b""


_state = msgspec.msgpack.Decoder(_Saved)


class ReferencePart(StatefulSourcePartition[Word, bytes]):
    """Reads, accepts or refuses, and hands on reference records."""

    def __init__(self, run: Run, stop: Stop, state: bytes | None) -> None:
        self._run, self._stop = run, stop
        settings = run.settings
        self._kinds = {settings.topic(name): name.removeprefix("inventory.") for name in REFERENCE}
        self._positions: dict[str, int] = {}
        self._tables = ReferenceTables()
        #: what waited of a topic that was made again since: older than all that comes, whatever its offset says
        self._left: list[tuple[str, Origin]] = []
        self._complaints = Complaints()
        if state is not None:
            saved = _state.decode(state)
            # A topic made again under its name is read from its beginning: its offsets are other records. What it does
            # not hold stays until a tombstone comes: that a record is not there says nothing.
            again = {topic for topic, id in saved.topic_ids.items() if id and id != run.topic_ids.get(topic)}
            self._positions = {topic: at for topic, at in saved.positions.items() if topic not in again}
            self._tables = ReferenceTables(saved.tables, saved.reconciliation)
            self._tables.waiting = [entry for entry in saved.waiting if entry[1].topic not in again]
            self._left = [(kind, origin) for kind, origin, _ in saved.waiting if origin.topic in again]
        self._is_first = True
        #: locations or channels changed and were not handed on yet; when they may be (monotonic seconds)
        self._is_held = False
        self._hand_on_at = 0.0
        self._consumer = Consumer(
            # A position that is gone is no loss here: what stands is read again, and the same record changes nothing.
            consumer_config(settings, **{"auto.offset.reset": "earliest"})
        )
        #: positions of the last snapshot, and those that Kafka was told
        self._snapped: dict[str, int] | None = None
        self._told: dict[str, int] = {}
        self._consumer.assign(
            [TopicPartition(topic, 0, self._positions.get(topic, OFFSET_BEGINNING)) for topic in self._kinds]
        )

    def next_batch(self) -> Iterable[Word]:
        """Give everything up to the topics' ends at first, what is new after that."""
        if self._stop.is_set():
            raise StopIteration
        self._tell_progress()
        if self._is_first:
            records = self._read_to_end()
            grace = 0 if self._run.until_caught_up else self._run.settings.reference_grace
        else:
            if self._run.until_caught_up:
                raise StopIteration
            records = self._read()
            if not records and not self._tables.waiting and not self._is_held:
                return []
            grace = self._run.settings.reference_grace
        too_large = self._too_large(records)
        accepted, refusals, changed = self._accept(records, grace)
        refusals += too_large
        out: list[Word] = []
        shards = self._run.settings.shards
        self._is_held |= changed
        if self._is_first or (self._is_held and time.monotonic() >= self._hand_on_at):
            tables = self._tables.pack()
            gather_us = min(self._tables.size * GATHER_US_A_BYTE, grace // 2)
            self._is_held, self._hand_on_at = False, time.monotonic() + gather_us / 1e6
            message = TopologyRecord(tables)
            out.extend(to_listener(number, message) for number in range(LISTENERS))
            out.extend(to_shard(shard, TopologyRecord(tables, shard)) for shard in range(shards))
            if self._is_first and any(source.stale_after for source in self._run.settings.sources.values()):
                out.append(to_sources(SourcesSeen({})))
        self._is_first = False
        out.extend(to_shard(shard_of(record.item, shards), record) for record in accepted)
        if refusals:
            out.append(to_shard(0, UnitBatch("", -1, [], refusals)))
        return out

    def _accept(self, records: list[tuple[str, Origin]], grace: int) -> tuple[list[ItemRecord], list[Refusal], bool]:
        accepted: list[ItemRecord] = []
        refusals: list[Refusal] = []
        changed = False
        if self._left:
            accepted, refusals, changed = self._tables.accept(self._left, now(), 0)
            self._left = []
        more, refused, changes = self._tables.accept(records, now(), grace)
        return accepted + more, refusals + refused, changed or changes

    def _too_large(self, records: list[tuple[str, Origin]]) -> list[Refusal]:
        """Take out what is larger than any message may be."""
        most = self._run.settings.max_message_bytes
        refusals = []
        for record in [record for record in records if len(record[1].value or b"") > most]:
            records.remove(record)
            size = len(record[1].value or b"")
            refusals.append(Refusal(record[1], TOO_LARGE, f"value: expected at most {most} bytes, got {size}"))
        return refusals

    def _read_to_end(self) -> list[tuple[str, Origin]]:
        """Read what there is. With the consumer that goes on following, and so not with a reader that ends there."""
        records: list[tuple[str, Origin]] = []
        unread = set(self._kinds)
        deadline = time.monotonic() + READ_TIMEOUT_S
        while unread:
            before = len(records)
            unread -= self._consume(records, 0.1)
            if len(records) > before:
                deadline = time.monotonic() + READ_TIMEOUT_S
            elif time.monotonic() > deadline:
                raise KafkaProblem(f"reference topics {sorted(unread)} could not be read to their end: Kafka is silent")
            if self._stop.is_set():
                raise StopIteration
        return records

    def _read(self) -> list[tuple[str, Origin]]:
        records: list[tuple[str, Origin]] = []
        self._consume(records, 0)
        return records

    def _consume(self, records: list[tuple[str, Origin]], timeout_s: float) -> set[str]:
        """Append what came; returns the topics whose end was reached."""
        ended = set()
        try:
            messages: list[Any] = self._consumer.consume(10_000, timeout_s)
        except KafkaException as problem:
            raise KafkaProblem(f"reference topics cannot be read: {problem}") from problem
        for message in messages:
            error = message.error()
            topic = message.topic()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    ended.add(topic)
                    self._complaints.forget(topic)
                    self._positions[topic] = message.offset()
                elif self._complaints.is_new(topic, error):
                    log.warning(
                        f"reference data: {error}",
                        kind="reference_read",
                        next="reading goes on by itself; if this stays, see whether the brokers run: atp check",
                    )
                continue
            self._positions[topic] = message.offset() + 1
            origin = Origin(topic, 0, message.offset(), message.timestamp()[1], message.key(), message.value())
            headers = message.headers()
            if headers:
                note_replay(origin, headers)
            records.append((self._kinds[topic], origin))
            ended.discard(topic)
        return ended

    def next_awake(self) -> datetime | None:
        """Look for changes every 10 ms: enough for reference data, and the consumer costs nothing between."""
        return None if self._is_first else datetime.now(UTC) + FOLLOW_EVERY

    def snapshot(self) -> bytes:
        """Give positions, accepted tables and what waits."""
        self._snapped = dict(self._positions)
        saved = _Saved(
            self._positions,
            self._tables.pack(),
            self._tables.waiting,
            self._run.topic_ids,
            self._tables.pack_reconciliation(),
        )
        return msgspec.msgpack.encode(saved)

    def close(self) -> None:
        """Let go of the topics."""
        self._tell_progress()  # sent with the close
        self._consumer.close()

    def _tell_progress(self) -> None:
        """Tell Kafka the positions that went through every sink, as the event topics do: who sends asks for them."""
        snapped, self._snapped = self._snapped, None
        if snapped is None or snapped == self._told:
            return
        self._told = snapped
        offsets = [TopicPartition(topic, 0, position) for topic, position in snapped.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            log.warning(
                f"offsets of reference topics could not be committed: {error}",
                kind="offsets",
                next="recovery does not need them; allow the group kafka.group to be read if this stays",
            )
