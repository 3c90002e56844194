"""The topics of statements and decisions as one source partition: the one place where whole statements are judged.

Delivery: at least once from the offsets in recovered state; shards know the rows that repeat. A row that is not due
waits in Kafka: what is kept of it is a range of offsets, one for all rows of a partition that are due within the same
second. When that time has come, and every event partition is read up to what it held then, the range is read again.
So it is in a later epoch than the events before it, and every shard has those. A row that is read later than that, for
much was sent at once, is handed on as it comes: but behind those of its statement that wait, for of two that say
different things the first stands.
What shards find comes back through inventory.statements.tallies, from this run alone: nothing of that topic is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from bytewax.inputs import StatefulSourcePartition
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from flows.kafka.clients import Complaints, KafkaProblem, consumer_config, span_of
from flows.kafka.fence import Fence
from flows.kafka.parts import part_name, place_of
from flows.log import get_log
from flows.runtime.configs import coordinator_config, decoder_config
from flows.runtime.run import Shared, now
from flows.sources.history import History, words_of
from flows.sources.waiting import Range, Waiting, bucket_of
from flows.sources.words import Word, to_shard, to_sink
from operators.coordinator import Coordinator, named_in
from operators.decisions import read_decision
from operators.reference import unpack_reconciliation
from operators.route import shard_of
from operators.rules.statements import due_at
from operators.statement_decode import StatementDecoder
from schemas.messages import Outcome, UnitBatch
from schemas.reconciled import Decided, Rows, Tally, UnitsFound
from schemas.replay import note_replay
from schemas.stated import Stated
from schemas.topics import DECISIONS, STATEMENTS, TALLIES
from schemas.units import Origin, Refusal

log = get_log(__name__)

#: Messages that are taken at one of the source's turns: 2 ms, in which no event is taken. While rows that are due are
#: read again, so few new ones: what waits becomes less, and what people decide still comes in.
READ_AT_ONCE, READ_BESIDE = 250, 50
EVERY, EVERY_IDLE = timedelta(milliseconds=2), timedelta(milliseconds=20)
METADATA_TIMEOUT_S = 30.0
RowsByShard = dict[int, Rows]


class _Saved(msgspec.Struct, array_like=True):
    """Positions and clocks by partition, what waits, and what is known of statements."""

    positions: dict[str, int]
    clocks: dict[str, int]
    waiting: list[Range]
    coordinator: bytes


_state = msgspec.msgpack.Decoder(_Saved)
_tally = msgspec.msgpack.Decoder(Tally)


class StatementsPart(StatefulSourcePartition[Word, bytes]):
    """Reads statements and decisions, hands rows on when they are due, and says what becomes of statements."""

    def __init__(self, shared: Shared, state: bytes | None) -> None:
        self._run, self._stop, self._known, self._progress = shared.run, shared.stop, shared.known, shared.progress
        self._shared = shared
        settings = shared.run.settings
        self._decoder = StatementDecoder(decoder_config(settings), shared.known)
        saved = _state.decode(state) if state is not None else _Saved({}, {}, [], b"")
        self._positions, self._clocks = saved.positions, saved.clocks
        self._waiting = Waiting(saved.waiting)
        self.coordinator = Coordinator(
            coordinator_config(settings), now, shared.run.token, saved.coordinator if saved.coordinator else None
        )
        self._snapshots, self._is_snapped = 0, False
        #: snapshots whose epochs went through every sink, and how many were taken when shards were told something last
        self._finished = self._told = 0
        #: the next offset of the tallies
        self._tallied = 0
        self._statements, self._decisions = settings.topic(STATEMENTS), settings.topic(DECISIONS)
        self._tallies = settings.topic(TALLIES)
        self._complaints = Complaints()
        self._head = Consumer(consumer_config(settings, **{"auto.offset.reset": "earliest"}))
        self._again: Consumer | None = None
        self._reading: Range | None = None
        self._ends = self._open()
        self._fence = Fence(settings, shared.run.ends, self._ends)
        #: everything that was due by then is handed on or waits; all events of before are known
        self._ready_until = self._known_until = 0
        self._rules = b""
        self._history = History(shared.run, shared.known)
        self._is_busy = False
        shared.has_statements = shared.run.until_caught_up

    def _open(self) -> dict[str, int]:
        """Begin to read; gives where the partitions ended when the run began."""
        try:
            topics = self._head.list_topics(timeout=METADATA_TIMEOUT_S).topics
            ends: dict[str, int] = {}
            assigned = []
            for name in (self._statements, self._decisions, self._tallies):
                for number in topics[name].partitions:
                    place = TopicPartition(name, number)
                    end = span_of(self._head, place)[1]
                    if name == self._tallies:
                        self._tallied = end
                        assigned.append(TopicPartition(name, number, end))
                        continue
                    part = part_name(name, number)
                    ends[part] = end
                    start = self._positions.get(part, OFFSET_BEGINNING)
                    assigned.append(TopicPartition(name, number, start))
            self._head.assign(assigned)
        except (KafkaException, KeyError) as error:
            raise KafkaProblem(f"topics of statements cannot be read: {error}; run `atp topics create`") from error
        return ends

    # --- Bytewax' side -----------------------------------------------------------------------------------------------

    def next_batch(self) -> Iterable[Word]:
        """Go on with everything that can go on; nothing before reference data is there."""
        if self._stop.is_set():
            raise StopIteration
        if not self._snapshots:
            return []
        if not self._run.settings.reconciliation.enabled:
            if not self._run.until_caught_up:
                return []
            self._shared.has_statements = False
            raise StopIteration
        if self._is_snapped:
            self._is_snapped, self._finished = False, self._snapshots
            self.coordinator.epoch_finished()
        self._hear_rules()
        out: list[Word] = []
        rows: RowsByShard = {}
        count = self._read_head(rows, out, READ_BESIDE if self._has_due(self._known_until) else READ_AT_ONCE)
        self._look_at_fence()
        count += self._read_again(rows)
        out.extend(to_shard(shard, found) for shard, found in rows.items())
        self._take_history(out)
        words = self.coordinator.step(self._ready_until if not self._has_due(self._ready_until) else 0)
        shards = self._run.settings.shards
        for word in words.to_shards:
            out.extend(to_shard(shard, word) for shard in range(shards))
        for search in words.searches:
            self._history.search(search, self._read_ends())
        if words.reported or words.notes:
            out.append(to_sink(Outcome(0, {}, [], [], words.notes, reconciled=words.reported)))
        if words.refusals:
            out.append(to_shard(0, UnitBatch("", -1, [], words.refusals)))
        self._is_busy = count > 0 or bool(out)
        if out:
            self._told = self._snapshots
        if not out and self._run.until_caught_up and self._is_through():
            self._shared.has_statements = False
            raise StopIteration
        return out

    def next_awake(self) -> datetime | None:
        """Look again soon."""
        return datetime.now(UTC) + (EVERY if self._is_busy else EVERY_IDLE)

    def snapshot(self) -> bytes:
        """Give positions, what waits and what is known of statements."""
        self._snapshots += 1
        self._is_snapped = True
        waiting = self._waiting.ranges()
        return msgspec.msgpack.encode(_Saved(self._positions, self._clocks, waiting, self.coordinator.snapshot()))

    def close(self) -> None:
        """Let go of the topics."""
        self._history.close()
        self._fence.close()
        self._head.close()
        if self._again is not None:
            self._again.close()

    def _read_ends(self) -> dict[str, int]:
        """Give how far the events' partitions are read, in finished epochs."""
        rows = self._progress.rows()
        return {part: rows[part].position for part in self._run.ends if part in rows}

    def _take_history(self, out: list[Word]) -> None:
        """Hand on units that were read again."""
        found = self._history.take()
        if found is None:
            return
        shards = self._run.settings.shards
        out.extend(words_of(found, shards))
        if found.is_last:
            search = found.search
            last = UnitsFound(search.source, search.statement_id, [], True, is_whole=found.is_whole)
            out.extend(to_shard(shard, last) for shard in range(shards))

    def _is_through(self) -> bool:
        """Is all done that was due: of what was there when the run began, and of what follows from it?"""
        if any(self._positions.get(part, 0) < end for part, end in self._ends.items()):
            return False
        if not (self._waiting or self.coordinator.statements):
            return True
        if self._finished <= self._told:
            return False  # what shards say to what they were told may not be written yet
        if self._tallied < span_of(self._head, TopicPartition(self._tallies, 0))[1]:
            return False
        until = self._fence.passed_at
        return until >= self._fence.first_wanted and not self._has_due(until) and not self.coordinator.is_due(until)

    def _hear_rules(self) -> None:
        rules = self._known.rules
        if rules != self._rules:
            self._rules = rules
            self.coordinator.rules = unpack_reconciliation(rules)

    # --- what is new -------------------------------------------------------------------------------------------------

    def _read_head(self, rows: RowsByShard, out: list[Word], most: int) -> int:
        try:
            messages: list[Any] = self._head.consume(most, 0)
        except KafkaException as problem:
            raise KafkaProblem(f"topics of statements cannot be read: {problem}") from problem
        decided: dict[int, list[Decided]] = {}
        for message in messages:
            topic, error = message.topic(), message.error()
            if error is not None:
                self._note_error(message, error)
            elif topic == self._tallies:
                self._tallied = message.offset() + 1
                self.coordinator.tally(_tally.decode(message.value()))
            else:
                part = part_name(topic, message.partition())
                offset = message.offset()
                if self._run.until_caught_up and offset >= self._ends[part]:
                    continue  # came after the run began: the next run's
                self._positions[part] = offset + 1
                origin = _origin_of(message)
                if topic == self._decisions:
                    self._take_decision(origin, decided)
                else:
                    clock = self._clocks[part] = max(self._clocks.get(part, 0), origin.timestamp_ms * 1000)
                    self._take_new(part, origin, clock, rows)
        for shard, found in decided.items():
            out.extend(to_shard(shard, one) for one in found)
        return len(messages)

    def _note_error(self, message: Any, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._complaints.forget(message.topic())
            if message.topic() != self._tallies:
                part = part_name(message.topic(), message.partition())
                end = message.offset()
                if self._run.until_caught_up:
                    end = min(end, self._ends[part])
                self._positions[part] = max(self._positions.get(part, 0), end)
        elif self._complaints.is_new(message.topic(), error):
            log.warning(
                f"statements: {error}",
                kind="kafka_read",
                next="reading goes on by itself; if this stays, see whether the brokers run: atp check",
            )

    def _take_decision(self, origin: Origin, decided: dict[int, list[Decided]]) -> None:
        said = read_decision(origin)
        if isinstance(said, Refusal):
            self.coordinator.refuse(said, "", "", "")
        else:
            decided.setdefault(shard_of(said.item, self._run.settings.shards), []).append(said)

    def _take_new(self, part: str, origin: Origin, clock: int, rows: RowsByShard) -> None:
        said = self._decoder.decode(origin, clock, False)
        if said is None:
            self._waiting.add_alone(part, origin.offset, now() + self._run.settings.reference_grace, clock)
        elif isinstance(said, Refusal):
            self._refuse(said, origin)
        elif not said.is_row:
            self.coordinator.hear(said)
        else:
            due = self._due(said, origin)
            if due <= self._known_until and not self.coordinator.is_waiting(said):
                self._hand_on(said, rows)
            else:
                self._waiting.add(part, origin.offset, due, clock)
                self.coordinator.wait_for(said.source, said.statement_id, said.as_of)

    def _refuse(self, refusal: Refusal, origin: Origin) -> None:
        place = f"{origin.topic}/{origin.partition}/{origin.offset}"
        self.coordinator.refuse(refusal, *named_in(origin.value, place))

    def _due(self, row: Stated, origin: Origin) -> int:
        """Give J, in microseconds; what is refused in any case does not wait."""
        recorded = origin.timestamp_ms * 1000
        if row.verdict is not None:
            return recorded
        return due_at(recorded, row.as_of, self._run.settings.settle_of(row.source))

    def _hand_on(self, row: Stated, rows: RowsByShard) -> None:
        if self.coordinator.admits(row):
            found = rows.setdefault(shard_of(row.item, self._run.settings.shards), Rows([], []))
            found.rows.append(row)
            found.born.append(self.coordinator.born(row))

    # --- what is due -------------------------------------------------------------------------------------------------

    def _has_due(self, until: int) -> bool:
        return self._reading is not None or self._waiting.is_due(0, until)

    def _look_at_fence(self) -> None:
        """Ask where the inputs end once something is due, and wait until that is read, in a finished epoch."""
        moment = now()
        next_over = self.coordinator.next_due()
        is_wanted = self._waiting.is_due(self._known_until, moment) or (
            next_over is not None and self._ready_until < next_over <= moment
        )
        if self._run.until_caught_up:
            is_wanted = is_wanted or bool(self._fence.first_wanted == 0 and self.coordinator.statements)
        positions = {part: row.position for part, row in self._progress.rows().items()}
        positions |= self._positions
        caps = self._run.ends | self._ends if self._run.until_caught_up else None
        if is_wanted:
            self._fence.want(moment)
        passed = self._fence.look(moment, positions, caps)
        self._ready_until = max(self._ready_until, passed)
        self._known_until = max(self._known_until, self._fence.first_passed_at)

    def _read_again(self, rows: RowsByShard) -> int:
        if self._reading is None:
            self._reading = self._waiting.first_due(self._known_until)
            if self._reading is None:
                return 0
            self._seek(self._reading)
        assert self._again is not None
        try:
            messages: list[Any] = self._again.consume(READ_AT_ONCE, 0)
        except KafkaException as problem:
            raise KafkaProblem(f"topics of statements cannot be read: {problem}") from problem
        found = self._reading
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    self._note_error(message, error)
                continue
            offset = message.offset()
            if offset > found.last:
                break
            origin = _origin_of(message)
            found.clock = max(found.clock, origin.timestamp_ms * 1000)
            found.first = offset + 1
            self._take_again(found, origin, rows)
        if found.first > found.last:
            self._reading = None
            self._waiting.remove(found)
        return len(messages)

    def _seek(self, wanted: Range) -> None:
        if self._again is None:
            self._again = Consumer(consumer_config(self._run.settings, **{"auto.offset.reset": "earliest"}))
        topic, partition = place_of(wanted.part)
        self._again.assign([TopicPartition(topic, partition, wanted.first)])

    def _take_again(self, found: Range, origin: Origin, rows: RowsByShard) -> None:
        said = self._decoder.decode(origin, found.clock, True)
        if isinstance(said, Refusal):
            if found.is_grace:
                self._refuse(said, origin)
            return
        if said is None:
            return
        if not said.is_row:
            if found.is_grace:
                self.coordinator.hear(said)
            return
        due = self._due(said, origin)
        if found.is_grace and due > self._known_until:
            self._waiting.add(found.part, origin.offset, due, found.clock)
            self.coordinator.wait_for(said.source, said.statement_id, said.as_of)
        elif found.is_grace or bucket_of(due) == found.due:
            if not found.is_grace:
                self.coordinator.wait_for(said.source, said.statement_id, said.as_of, -1)
            self._hand_on(said, rows)


def _origin_of(message: Any) -> Origin:
    place = (message.topic(), message.partition(), message.offset())
    origin = Origin(*place, message.timestamp()[1], message.key(), message.value())
    headers = message.headers()
    if headers:
        note_replay(origin, headers)
    return origin
