"""The event topics as source partitions, one for each Kafka partition, over one consumer a process.

Delivery: at least once from the offsets in recovered state; the shards drop what repeats. Nothing is emitted before
the first snapshot, so that reference data, read whole in the first epoch, is there before the first event is judged.
Offsets are also committed to Kafka, after the epoch that held them went through every sink, so that its own tools
show the lag; recovery does not use them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from bytewax.inputs import StatefulSourcePartition
from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from flows.kafka.clients import Complaints, KafkaProblem, consumer_config
from flows.kafka.parts import place_of
from flows.log import get_log
from flows.monitoring.metrics import Metrics
from flows.monitoring.topic_watch import Doubts
from flows.runtime.configs import decoder_config
from flows.runtime.early_layers import EarlyLayers
from flows.runtime.progress import PartProgress
from flows.runtime.run import Run, Shared, now
from flows.sources.words import Word, to_shard, to_sources
from operators.decode import Decoder
from operators.route import split
from schemas.messages import SourcesSeen, UnitBatch
from schemas.replay import note_replay
from schemas.units import Origin, Refusal, Unit

log = get_log(__name__)

#: Measured sweet spot of confluent-kafka; larger is slower.
POLL_MAX = 1000
#: How often it is asked in a row while there is more: in a backlog each partition then has enough for a batch that its
#: shards' cost is spread over (python -m benchmarks.peers --only ours, CPU an event: 1 poll 27.5 us, 8 polls 21.0).
POLLS_MAX = 8
#: Messages of a partition that may wait for a location or channel that may be on its way, and their bytes, keys
#: included: they stand in each snapshot while they wait. More are judged at once.
PARKED_MAX = 1000
PARKED_BYTES_MAX = 2 * 1024 * 1024
#: A partition at its end tells the time: what it brings later is logged later, give or take the brokers' clocks.
IDLE_MARGIN = 5 * 60 * 1_000_000
COMMIT_EVERY = 1_000_000
READ_HELP = "reading goes on by itself; if this stays, see whether the brokers run: atp check"

_state = msgspec.msgpack.Decoder(tuple[int, int, list[tuple[int, Origin, int]]])


class EventReader:
    """The one consumer of this process, and a queue for each of its partitions."""

    def __init__(self, run: Run, early: EarlyLayers) -> None:
        self._run, self._early = run, early
        self._consumer: Consumer | None = None
        self._queues: dict[tuple[str, int], list[Any]] = {}
        self._commits: dict[tuple[str, int], int] = {}
        self._committed_at = 0
        self.complaints = Complaints()

    def open(self, topic: str, partition: int, offset: int) -> None:
        """Begin to read a partition at an offset."""
        if self._consumer is None:
            self._consumer = Consumer(consumer_config(self._run.settings, **{"auto.offset.reset": "error"}))
        self._queues[topic, partition] = []
        self._consumer.incremental_assign([TopicPartition(topic, partition, offset)])

    def take(self, topic: str, partition: int) -> list[Any]:
        """Give what has come for one partition; asks Kafka for more when nothing waits."""
        queue = self._queues[topic, partition]
        if not queue:
            self._poll()
            queue = self._queues[topic, partition]
        if queue:
            self._queues[topic, partition] = []
        return queue

    def _poll(self) -> None:
        assert self._consumer is not None
        for _ in range(POLLS_MAX):
            messages: list[Any] = self._consumer.consume(POLL_MAX, 0)
            self._sort(messages)
            if len(messages) < POLL_MAX:
                self._early.step()
                break

    def _sort(self, messages: list[Any]) -> None:
        last: tuple[str, int] | None = None
        queue: list[Any] = []
        for message in messages:
            where = (message.topic(), message.partition())
            if where != last:
                if where not in self._queues:
                    error = message.error()
                    is_wrong = error is not None and error.code() != KafkaError._PARTITION_EOF
                    if is_wrong and self.complaints.is_new(where, error):
                        log.warning(f"kafka: {error}", kind="kafka_read", next=READ_HELP)
                    continue  # of a partition that has ended for us
                last, queue = where, self._queues[where]
            queue.append(message)

    def commit(self, topic: str, partition: int, position: int) -> None:
        """Note a position that went through every sink; told to Kafka once a second."""
        self._commits[topic, partition] = position
        moment = now()
        if moment - self._committed_at >= COMMIT_EVERY:
            self._committed_at = moment
            self._send_commits()

    def _send_commits(self) -> None:
        if self._consumer is None or not self._commits:
            return
        offsets = [TopicPartition(*where, position) for where, position in self._commits.items()]
        self._commits = {}
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            log.warning(
                f"offsets could not be committed (lag shown by Kafka's tools will be too high): {error}",
                kind="offsets",
                next="recovery does not need them; allow the group kafka.group to be read if this stays",
            )

    def close(self, topic: str, partition: int) -> None:
        """Stop reading a partition; with the last one, the consumer goes."""
        self._queues.pop((topic, partition), None)
        if not self._queues and self._consumer is not None:
            self._send_commits()  # sent with the close
            self._consumer.close()
            self._consumer = None


class EventPart(StatefulSourcePartition[Word, bytes]):
    """One partition of one event topic: reads, decodes, splits by shard."""

    def __init__(self, reader: SharedReader, part: str, state: bytes | None) -> None:
        self._reader = reader
        self._part = part
        self._topic, self._partition = place_of(part)
        #: the parts of earlier topics of this name, until their clocks are known here
        self._before: tuple[str, ...] = ()
        self._end = reader.run.ends.get(part) if reader.run.until_caught_up else None
        self._position, self._clock = -1, 0
        self._parked: list[tuple[int, Origin, int]] = []
        self._parked_bytes = 0
        if state is not None:
            self._position, self._clock, self._parked = _state.decode(state)
            self._parked_bytes = sum(origin.size for _, origin, _ in self._parked)
        if not self._clock:
            self._before = tuple(name for name in reader.run.ended if place_of(name)[0] == self._topic)
        self._is_open = False
        self._caught_up = False
        self._log_append = False
        self._topology: object = None
        self._is_due = False
        self._snapped: PartProgress | None = None
        self._seen: dict[str, int] = {}
        #: why this partition cannot be gone on with, if that was seen
        self._gap = ""
        self._open()

    def _open(self) -> None:
        start = self._position if self._position >= 0 else OFFSET_BEGINNING
        self._reader.consumer.open(self._topic, self._partition, start)
        self._position = max(self._position, 0)

    def next_batch(self) -> Iterable[Word]:
        """Give what came since, one batch a shard."""
        reader = self._reader
        if reader.stop.is_set():
            return self._say_last()
        if not self._is_open or (self._before and not self._follows()):
            return []
        out: list[Word] = []
        if self._snapped is not None:
            self._tell_progress(out)
        out.extend(to_shard(*asked) for asked in reader.mailbox.take())
        units: list[Unit] = []
        refusals: list[Refusal] = []
        if self._parked:
            self._retry_parked(units, refusals)
        if self._gap:
            self._end_at_gap()
        messages = self._take()
        if messages:
            self._decode(messages, units, refusals)
        if units or refusals:
            self._split(units, refusals, out)
        elif not out and self._end is not None and self._position >= self._end and not self._parked:
            return self._say_last()
        return out

    def _take(self) -> list[Any]:
        return self._reader.consumer.take(self._topic, self._partition)

    def _follows(self) -> bool:
        """Begin with the clock of the topic before: ids that it let the shards forget must be late here as well."""
        rows = self._reader.progress.rows()
        if any(part not in rows for part in self._before):
            return False  # another worker has it, and tells within a second
        self._clock = max(self._clock, *(rows[part].clock for part in self._before))
        self._before = ()
        return True

    def _say_last(self) -> list[Word]:
        """Tell who spoke since the last snapshot, and end."""
        if not self._seen:
            raise StopIteration
        seen, self._seen = self._seen, {}
        return [to_sources(SourcesSeen(seen))]

    def _decode(self, messages: list[Any], units: list[Unit], refusals: list[Refusal]) -> None:
        decode = self._reader.decoder.decode
        clock, position = self._clock, self._position
        topic, partition = self._topic, self._partition
        for message in messages:
            if message.error() is not None:
                position = self._note_error(message, position)
                continue
            offset = message.offset()
            if self._end is not None and offset >= self._end:
                position = max(position, self._end)
                continue  # came after the run began: the next run's
            kind, timestamp_ms = message.timestamp()
            recorded = timestamp_ms * 1000
            if recorded > clock:
                clock = recorded
            self._caught_up = False
            self._log_append = kind == TIMESTAMP_LOG_APPEND_TIME
            origin = Origin(topic, partition, offset, timestamp_ms, message.key(), message.value())
            headers = message.headers()
            if headers:
                note_replay(origin, headers)
            position = offset + 1
            if not decode(origin, clock, units, refusals, False):
                self._park(origin, clock, units, refusals)
        self._clock, self._position = clock, position

    def _note_error(self, message: Any, position: int) -> int:
        code = message.error().code()
        if code == KafkaError._PARTITION_EOF:
            self._caught_up = True
            self._reader.consumer.complaints.forget(self._part)
            end: int = message.offset()
            return max(position, end)  # what lies between are transaction markers
        if code == KafkaError._AUTO_OFFSET_RESET:
            self._gap = (
                f"{self._part}: offset {position}, where this engine has to go on, is not in Kafka any more "
                f"({message.error().str()}): raise the topic's retention; to go on without what is lost, name "
                "an empty folder in state.dir and start with --from-scratch"
            )
        elif self._reader.consumer.complaints.is_new(self._part, message.error()):
            log.warning(f"{self._part}: {message.error()}", kind="kafka_read", next=READ_HELP)
        return position

    def _end_at_gap(self) -> None:
        """End where records were lost. Not where the topic is another one: the supervisor says so, the others go on."""
        if self._reader.doubts.is_another(self._topic) is False:
            problem = KafkaProblem(self._gap)
            self._reader.stop.fail(problem)
            raise problem

    def _park(self, origin: Origin, clock: int, units: list[Unit], refusals: list[Refusal]) -> None:
        grace = self._reader.run.settings.reference_grace
        size = origin.size
        if grace and len(self._parked) < PARKED_MAX and self._parked_bytes + size <= PARKED_BYTES_MAX:
            self._parked_bytes += size
            self._parked.append((now() + grace, origin, clock))
        else:
            self._reader.decoder.decode(origin, clock, units, refusals, True)

    def _retry_parked(self, units: list[Unit], refusals: list[Refusal]) -> None:
        moment = now()
        topology = self._reader.known.topology
        if topology is self._topology and self._parked[0][0] > moment:
            return
        self._topology = topology
        parked, self._parked = self._parked, []
        for deadline, origin, clock in parked:
            if not self._reader.decoder.decode(origin, clock, units, refusals, deadline <= moment):
                self._parked.append((deadline, origin, clock))
        self._parked_bytes = sum(origin.size for _, origin, _ in self._parked)

    def _split(self, units: list[Unit], refusals: list[Refusal], out: list[Word]) -> None:
        shards = self._reader.run.settings.shards
        batches = split(units, self._part, shards)
        watched = self._reader.watched
        if watched:
            for unit in units:
                if unit.source in watched:
                    self._seen[unit.source] = unit.recorded_at
        if refusals:
            # What names no item has no shard of its own: any will do, the same for a partition.
            shard = self._partition % shards
            batch = batches.setdefault(shard, UnitBatch(self._part, refusals[-1].origin.offset, []))
            batch.refusals.extend(refusals)
        out.extend(to_shard(shard, batch) for shard, batch in batches.items())

    def _tell_progress(self, out: list[Word]) -> None:
        assert self._snapped is not None
        row, self._snapped = self._snapped, None
        if self._reader.timekeeper == self._part:
            self._reader.metrics.epoch_finished()
        self._reader.progress.note(self._part, row)
        self._reader.consumer.commit(self._topic, self._partition, row.position)
        if self._seen:
            out.append(to_sources(SourcesSeen(self._seen)))
            self._seen = {}

    def snapshot(self) -> bytes:
        """Give the next offset, the clock and what is parked; from the first one on, events flow."""
        self._is_open = True
        self._reader.timekeeper = self._reader.timekeeper or self._part
        if self._reader.timekeeper == self._part:
            self._reader.metrics.snapshot_taken()
            self._reader.early.begin()
        if self._caught_up and self._log_append and not self._parked:
            self._clock = max(self._clock, now() - IDLE_MARGIN)
        self._snapped = PartProgress(self._position, self._clock, self._caught_up)
        return msgspec.msgpack.encode((self._position, self._clock, self._parked))

    def close(self) -> None:
        """Let go of the partition."""
        if self._reader.timekeeper == self._part:
            self._reader.timekeeper = ""
        if self._snapped is not None:  # at the end of input no call follows that would tell of the last snapshot
            self._reader.consumer.commit(self._topic, self._partition, self._snapped.position)
        self._reader.consumer.close(self._topic, self._partition)


class EndedPart(EventPart):
    """A partition of a topic that is no more: tells its clock and what it parked, and ends. Nothing is read."""

    def _open(self) -> None:
        self._position = self._end = max(self._position, 0)
        self._reader.progress.note(self._part, PartProgress(self._position, self._clock, True))

    def _take(self) -> list[Any]:
        return []

    def snapshot(self) -> bytes:
        """Give what is still parked."""
        self._is_open = True
        return msgspec.msgpack.encode((self._position, self._clock, self._parked))

    def close(self) -> None:
        """Nothing was opened."""


class SharedReader:
    """What all event partitions of a process read with: one consumer, one decoder, and who tells the epochs."""

    def __init__(self, shared: Shared, metrics: Metrics, early: EarlyLayers) -> None:
        run, settings = shared.run, shared.run.settings
        self.metrics = metrics
        #: the partition that tells the epochs of this process: all end theirs together
        self.timekeeper = ""
        self.run, self.known, self.progress = run, shared.known, shared.progress
        self.mailbox, self.stop = shared.mailbox, shared.stop
        self.early = early
        self.doubts = Doubts(settings, run.topic_ids)
        self.consumer = EventReader(run, early)
        self.decoder = Decoder(decoder_config(settings), shared.known)
        self.watched = frozenset(name for name, source in settings.sources.items() if source.stale_after)
        shared.progress.expect(run.ends)
