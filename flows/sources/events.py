"""The event topics as source partitions, one for each Kafka partition; one of a process polls for all of them.

Delivery: at least once from the offsets in recovered state; the shards drop what repeats. Nothing is emitted before
the first snapshot, so that reference data, read whole in the first epoch, is there before the first event is judged.
A wake-up of the dataflow costs more than what a poll brings, so the others sleep; Bytewax takes their snapshots all
the same, each with its own position. The one that polls fixes what all of them say as it takes its own, so that none
says what was read in the next epoch. Bytewax asks none for more before all have taken theirs: twice is safe here.
Offsets are also committed to Kafka, after the epoch that held them went through every sink, so that its own tools
show the lag; recovery does not use them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from bytewax.inputs import StatefulSourcePartition
from confluent_kafka import OFFSET_BEGINNING, TIMESTAMP_LOG_APPEND_TIME, KafkaError

from flows.kafka.clients import KafkaProblem
from flows.kafka.parts import place_of
from flows.log import get_log
from flows.monitoring.metrics import Metrics
from flows.monitoring.topic_watch import Doubts
from flows.runtime.configs import decoder_config
from flows.runtime.early_layers import EarlyLayers
from flows.runtime.progress import PartProgress
from flows.runtime.run import Shared, now
from flows.sources.consumer import READ_HELP, EventReader
from flows.sources.words import Word, to_shard, to_sources
from operators.decode import Decoder
from operators.route import split
from schemas.messages import SourcesSeen, UnitBatch
from schemas.replay import note_replay
from schemas.units import Origin, Refusal, Unit

log = get_log(__name__)

#: Messages of a partition that may wait for a location or channel that may be on its way, and their bytes, keys
#: included: they stand in each snapshot while they wait. More are judged at once.
PARKED_MAX = 1000
PARKED_BYTES_MAX = 2 * 1024 * 1024
#: A partition at its end tells the time: what it brings later is logged later, give or take the brokers' clocks.
IDLE_MARGIN = 5 * 60 * 1_000_000
#: From one poll to the next, in microseconds, if the first did not bring all that one may, and once nothing has come
#: for so long: a wake-up of the dataflow takes 40 to 80, whatever it brings.
POLL_EVERY, POLL_EVERY_IDLE, IDLE_AFTER = 2_000, 5_000, 100_000
#: How soon a partition that is polled for notices that it is to end, in microseconds; all of a process at one moment.
LOOK_EVERY = 50_000

_state = msgspec.msgpack.Decoder(tuple[int, int, list[tuple[int, Origin, int]]])


class EventPart(StatefulSourcePartition[Word, bytes]):
    """One partition of one event topic: decodes what was read of it, splits it by shard, and keeps its position."""

    def __init__(self, reader: SharedReader, part: str, state: bytes | None) -> None:
        self._reader = reader
        self.name = part
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
        #: how many snapshots were taken, and the number and bytes of one that was fixed and not taken yet
        self._snapshots, self._fixed = 0, (0, b"")
        #: the position that a snapshot said last
        self._packed = 0
        self._caught_up = False
        self._log_append = False
        self._topology: object = None
        #: why this partition cannot be gone on with, if that was seen
        self._gap = ""
        self._open()

    def _open(self) -> None:
        start = self._position if self._position >= 0 else OFFSET_BEGINNING
        self._reader.consumer.open(self._topic, self._partition, start)
        self._position = max(self._position, 0)
        self._reader.join(self)

    @property
    def is_through(self) -> bool:
        """Is all read that was there when the run began, by a run that is to catch up?"""
        return self._end is not None and self._position >= self._end and not (self._parked or self._before)

    @property
    def waits(self) -> bool:
        """Is there something to do although nothing comes?"""
        return bool(self._parked or self._before or self._gap)

    def next_batch(self) -> Iterable[Word]:
        """Give what came since of all partitions of this process, if this one polls for them."""
        if self._reader.leader is self:
            return self._reader.next_batch(self._snapshots > 0)
        if self._reader.stop.is_set() or (self._snapshots and self.is_through and self._reader.is_told()):
            raise StopIteration
        return []

    def next_awake(self) -> datetime | None:
        """Poll again soon, or at once while there is more; who does not poll sleeps."""
        if self._reader.leader is self:
            return self._reader.next_awake()
        return datetime.fromtimestamp((now() // LOOK_EVERY + 1) * LOOK_EVERY / 1e6, UTC)

    def read(self, out: list[Word]) -> None:
        """Add what was read of this partition since, one batch a shard."""
        if self._before and not self._follows():
            return
        if self._gap:
            self._end_at_gap()
        units: list[Unit] = []
        refusals: list[Refusal] = []
        if self._parked:
            self._retry_parked(units, refusals)
        messages = self._take()
        if messages:
            self._decode(messages, units, refusals)
        if units or refusals:
            self._split(units, refusals, out)

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
            self._reader.consumer.complaints.forget(self.name)
            end: int = message.offset() if self._end is None else min(message.offset(), self._end)
            return max(position, end)  # what lies between are transaction markers; what came later is the next run's
        if code == KafkaError._AUTO_OFFSET_RESET:
            self._gap = (
                f"{self.name}: offset {position}, where this engine has to go on, is not in Kafka any more "
                f"({message.error().str()}): raise the topic's retention; to go on without what is lost, name "
                "an empty folder in state.dir and start with --from-scratch"
            )
        elif self._reader.consumer.complaints.is_new(self.name, message.error()):
            log.warning(f"{self.name}: {message.error()}", kind="kafka_read", next=READ_HELP)
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
        batches = split(units, self.name, shards)
        if self._reader.watched:
            self._reader.note_sources(units)
        if refusals:
            # What names no item has no shard of its own: any will do, the same for a partition.
            shard = self._partition % shards
            batch = batches.setdefault(shard, UnitBatch(self.name, refusals[-1].origin.offset, []))
            batch.refusals.extend(refusals)
        out.extend(to_shard(shard, batch) for shard, batch in batches.items())

    def fix(self, number: int) -> PartProgress:
        """Fix what the snapshot with this number says, unless it was taken already; gives how far that is.

        A snapshot that was taken before may say less than was read in this epoch: Bytewax visits the partitions one
        after another. What is read again then repeats, in shards that have it in the same epoch's snapshots. So may
        the progress that is told be ahead of where a crash begins again: what is forgotten by it, is forgotten in the
        next epoch's snapshots only, and those begin at least there.
        """
        if self._caught_up and self._log_append and not self._parked:
            self._clock = max(self._clock, now() - IDLE_MARGIN)
        if self._reader.leader is self or self._snapshots < number:
            self._fixed = (number, self._pack())
        return PartProgress(self._position, self._clock, self._caught_up)

    def snapshot(self) -> bytes:
        """Give the next offset, the clock and what is parked; from the first one on, events flow."""
        self._snapshots += 1
        if self._reader.leader is self:
            self._reader.end_epoch(self._snapshots)
        number, fixed = self._fixed
        if number != self._snapshots:
            return self._pack()
        self._fixed = (0, b"")
        return fixed

    def _pack(self) -> bytes:
        self._packed = self._position
        return msgspec.msgpack.encode((self._position, self._clock, self._parked))

    def close(self) -> None:
        """Let go of the partition; Bytewax does it too where the dataflow fails."""
        self._reader.leave(self)
        if self._snapshots:  # at the end of input no call follows that would tell of the last snapshot
            self._reader.consumer.commit(self._topic, self._partition, self._packed)
        self._reader.consumer.close(self._topic, self._partition)


class EndedPart(EventPart):
    """A partition of a topic that is no more: tells its clock and what it parked, and ends. Nothing is read."""

    def _open(self) -> None:
        self._position = self._end = max(self._position, 0)
        self._reader.progress.note(self.name, PartProgress(self._position, self._clock, True))

    def next_batch(self) -> Iterable[Word]:
        """Give what was parked and is judged now."""
        out: list[Word] = []
        if self._snapshots and not self._reader.stop.is_set():
            self.read(out)
            if out or not self.is_through:
                return out
        elif not self._reader.stop.is_set():
            return out
        if self._reader.leader is None:  # nobody else would tell who spoke
            return self._reader.say_last()
        raise StopIteration

    def next_awake(self) -> None:
        """Ask again at once, as any source is asked: it does not last long."""

    def _take(self) -> list[Any]:
        return []

    def close(self) -> None:
        """Nothing was opened."""


class SharedReader:
    """The consumer and decoder of all event partitions of a process. `prepare`: tells the sink that an epoch ends."""

    def __init__(self, shared: Shared, metrics: Metrics, early: EarlyLayers, prepare: Callable[[], None]) -> None:
        run, settings = shared.run, shared.run.settings
        self._metrics, self._early, self._prepare = metrics, early, prepare
        self.run, self.known, self.progress = run, shared.known, shared.progress
        self._shared = shared
        self._mailbox, self.stop = shared.mailbox, shared.stop
        self.doubts = Doubts(settings, run.topic_ids)
        self.consumer = EventReader(run)
        self.decoder = Decoder(decoder_config(settings), shared.known)
        self.watched = frozenset(name for name, source in settings.sources.items() if source.stale_after)
        self._parts: list[EventPart] = []
        #: the partition that polls for all of this process, and tells its epochs
        self.leader: EventPart | None = None
        #: may the next poll bring more at once? When was the last, and the last that brought anything?
        self._has_more, self._polled_at, self._busy_at = False, 0, 0
        #: does a partition wait for something else than what Kafka brings?
        self._waits = True
        #: how far each was at the last snapshot, until that is told
        self._snapped: list[tuple[str, PartProgress]] = []
        #: when each watched source was heard last, until that is told
        self._seen: dict[str, int] = {}
        shared.progress.expect(run.ends)

    def join(self, part: EventPart) -> None:
        """Poll for one more partition."""
        self._parts.append(part)
        self.leader = self.leader or part

    def leave(self, part: EventPart) -> None:
        """Poll for one less; who polled hands that on, in the middle of an epoch: what it held is not yet finished."""
        self._parts.remove(part)
        if self.leader is part:
            self._snapped = []
            self.leader = self._parts[0] if self._parts else None

    def next_batch(self, is_open: bool) -> list[Word]:
        """Give what came since of all partitions; nothing before they are open."""
        self._polled_at = now()
        if self.stop.is_set():
            return self.say_last()
        if not is_open:
            return []
        out: list[Word] = []
        if self._snapped:
            self._tell_progress(out)
        out.extend(to_shard(*asked) for asked in self._mailbox.take())
        count, self._has_more = self.consumer.poll()
        if not self._has_more:
            self._early.step()
        if count or self._waits:
            for part in self._parts:
                part.read(out)
            self._waits = any(part.waits for part in self._parts)
        if out:
            self._busy_at = self._polled_at
        elif self.run.until_caught_up and all(part.is_through for part in self._parts) and self.is_told():
            return self.say_last()
        return out

    def is_told(self) -> bool:
        """Is nobody left who waits to hear how far events are read? Statements wait for it, here or elsewhere."""
        if self._shared.has_statements or not self.run.has_statements:
            return not self._shared.has_statements
        rows = self.progress.own_rows()
        return all(part.name in rows and rows[part.name].position >= self.run.ends[part.name] for part in self._parts)

    def next_awake(self) -> datetime | None:
        """Give when to poll next; None: at once."""
        if self._has_more:
            return None
        every = POLL_EVERY if self._polled_at - self._busy_at < IDLE_AFTER else POLL_EVERY_IDLE
        return datetime.fromtimestamp((self._polled_at + every) / 1e6, UTC)

    def say_last(self) -> list[Word]:
        """Tell who spoke since the last snapshot, and end."""
        if not self._seen:
            raise StopIteration
        seen, self._seen = self._seen, {}
        return [to_sources(SourcesSeen(seen))]

    def note_sources(self, units: list[Unit]) -> None:
        """Note when watched sources spoke last: partitions are not read equally far."""
        seen = self._seen
        for unit in units:
            if unit.source in self.watched and unit.recorded_at > seen.get(unit.source, 0):
                seen[unit.source] = unit.recorded_at

    def end_epoch(self, number: int) -> None:
        """Fix what the snapshot with this number says of each partition."""
        self._metrics.snapshot_taken()
        self._prepare()
        self._early.begin()
        self._snapped = [(part.name, part.fix(number)) for part in self._parts]

    def _tell_progress(self, out: list[Word]) -> None:
        """Tell what the last snapshot held: Bytewax asks who took it for more when it went through every sink."""
        snapped, self._snapped = self._snapped, []
        self._metrics.epoch_finished()
        for name, row in snapped:
            self.progress.note(name, row)
            self.consumer.commit(*place_of(name), row.position)
        if self._seen:
            out.append(to_sources(SourcesSeen(self._seen)))
            self._seen = {}
