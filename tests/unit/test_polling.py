"""One event partition of a process polls for all of them; where each begins again is never ahead of what was read."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaError
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.kafka.clients import Complaints
from flows.monitoring.metrics import Metrics
from flows.runtime.early_layers import EarlyLayers
from flows.runtime.progress import PartProgress
from flows.runtime.run import Run, Shared, now
from flows.settings import load_settings
from flows.sources.consumer import POLL_MAX, POLLS_EACH, EventReader
from flows.sources.events import LOOK_EVERY, POLL_EVERY, POLL_EVERY_IDLE, EventPart, SharedReader
from flows.sources.words import ToShard
from schemas.messages import Republish, SourcesSeen, UnitBatch

PARTS = [f"inventory.orders/{number}" for number in range(3)]


class Message:
    """What came of a partition: nothing that can be read as an event."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def error(self) -> Any:
        return None

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 2, 1_000 + self._offset

    def key(self) -> None:
        return None

    def value(self) -> bytes:
        return b"no event"

    def headers(self) -> None:
        return None


class EndOfPartition(Message):
    """What librdkafka says at the end of a partition, whose next offset it names."""

    def error(self) -> Any:
        return KafkaError(KafkaError._PARTITION_EOF)


class Log:
    """A consumer in memory: what is appended is read by the next poll."""

    def __init__(self) -> None:
        self.complaints = Complaints()
        self.ends: dict[tuple[str, int], int] = {}
        self.queues: dict[tuple[str, int], list[Message]] = {}
        self.committed: dict[tuple[str, int], int] = {}
        self.has_more = False
        self.polls = 0

    def open(self, topic: str, partition: int, offset: int) -> None:
        self.ends[topic, partition] = max(0, offset)
        self.queues[topic, partition] = []

    def append(self, part: int, count: int = 1) -> None:
        place = ("inventory.orders", part)
        self.queues[place] += [Message(self.ends[place] + number) for number in range(count)]
        self.ends[place] += count

    def poll(self) -> tuple[int, bool]:
        self.polls += 1
        return sum(map(len, self.queues.values())), self.has_more

    def take(self, topic: str, partition: int) -> list[Message]:
        queue, self.queues[topic, partition] = self.queues[topic, partition], []
        return queue

    def commit(self, topic: str, partition: int, position: int) -> None:
        self.committed[topic, partition] = position

    def close(self, topic: str, partition: int) -> None:
        del self.queues[topic, partition]


class Process:
    """A process with three partitions, as Bytewax drives them."""

    def __init__(self, until_caught_up: bool = False, ends: int = 0, **settings: Any) -> None:
        run = Run(load_settings(None, settings), ends=dict.fromkeys(PARTS, ends), until_caught_up=until_caught_up)
        self.shared = Shared(run)
        self.reader: Any = SharedReader(self.shared, Metrics(), EarlyLayers(1_000_000), lambda: None)
        self.log = self.reader.consumer = Log()
        self.parts = [EventPart(self.reader, part, None) for part in PARTS]
        self.leader, *self.others = self.parts

    def epoch(self) -> list[bytes]:
        return [part.snapshot() for part in self.parts]

    def read(self) -> dict[str, int]:
        """Let the one poll; gives the last offset that was read of each partition."""
        found = {}
        for word in self.leader.next_batch():
            if type(word) is ToShard and type(word.message) is UnitBatch:
                found[word.message.partition] = max(refusal.origin.offset for refusal in word.message.refusals)
        return found


class Spoken(NamedTuple):
    """What was read of a unit."""

    source: str
    recorded_at: int


def position(kept: bytes) -> int:
    found: int = msgspec.msgpack.decode(kept)[0]
    return found


@pytest.fixture
def process() -> Process:
    return Process()


# --- who polls


def test_one_reads_what_came_of_all(process: Process) -> None:
    process.epoch()
    for part in range(3):
        process.log.append(part, part + 1)
    assert [list(part.next_batch()) for part in process.others] == [[], []]
    assert process.log.polls == 0
    assert process.read() == {PARTS[0]: 0, PARTS[1]: 1, PARTS[2]: 2}
    assert process.read() == {}


def test_nothing_is_read_before_the_first_snapshot(process: Process) -> None:
    process.log.append(0)
    assert process.read() == {}
    process.epoch()
    assert process.read() == {PARTS[0]: 0}


def test_it_polls_again_soon_or_at_once_while_there_is_more_and_the_others_sleep(process: Process) -> None:
    def next_poll() -> int:
        awake = process.leader.next_awake()
        assert awake is not None
        polled_at: int = process.reader._polled_at
        return round(awake.timestamp() * 1e6 - polled_at)

    process.epoch()
    process.read()
    assert next_poll() == POLL_EVERY_IDLE, "nothing has come for long"
    process.log.append(2)
    process.read()
    assert next_poll() == POLL_EVERY
    begun, later = now(), [part.next_awake() for part in process.others]
    assert all(awake is not None and awake.timestamp() * 1e6 % LOOK_EVERY < 1 for awake in later), "at one moment"
    assert all(awake is not None and awake.timestamp() * 1e6 > begun for awake in later)
    process.log.has_more = True
    process.read()
    assert process.leader.next_awake() is None


def test_what_shards_are_asked_for_reaches_them(process: Process) -> None:
    from flows.runtime.mailbox import ShardRequest

    process.epoch()
    process.shared.mailbox.put([ShardRequest(3, Republish(cause="refill"))])
    [word] = process.leader.next_batch()
    assert type(word) is ToShard and word.message == Republish(cause="refill")


# --- what snapshots say


def test_a_snapshot_taken_after_the_one_that_polls_does_not_say_what_was_read_since(process: Process) -> None:
    process.epoch()
    process.log.append(1, 5)
    process.read()
    process.leader.snapshot()
    process.log.append(1, 7)
    process.read()
    assert position(process.others[0].snapshot()) == 5, "what was read in the next epoch would be lost"
    assert [position(kept) for kept in process.epoch()] == [0, 12, 0]


def test_a_snapshot_taken_before_the_one_that_polls_says_less_at_most(process: Process) -> None:
    process.epoch()
    process.log.append(1, 5)
    process.read()
    early = process.others[0].snapshot()
    process.log.append(1, 7)
    process.read()
    process.leader.snapshot()
    assert position(early) == 5
    process.log.append(1)
    process.read()
    assert [position(kept) for kept in process.epoch()] == [0, 13, 0], "the next one is fixed again"


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), max_size=4),
            st.permutations(range(3)),
            st.integers(0, 2),
        ),
        max_size=6,
    )
)
def test_where_a_partition_begins_again_is_never_ahead_of_what_the_epoch_read(
    epochs: list[tuple[list[tuple[int, int]], list[int], int]],
) -> None:
    process = Process()
    process.epoch()
    read = dict.fromkeys(PARTS, 0)
    for arrivals, order, polled_between in epochs:
        for part, count in arrivals:
            process.log.append(part, count)
            read |= {name: offset + 1 for name, offset in process.read().items()}
        kept = {}
        for number, at in enumerate(order):
            kept[PARTS[at]] = position(process.parts[at].snapshot())
            if process.parts[at] is process.leader:
                read_in_epoch = dict(read)
            if number == polled_between:
                process.log.append(order[-1])
                read |= {name: offset + 1 for name, offset in process.read().items()}
        assert all(kept[name] <= read_in_epoch[name] for name in PARTS)
    process.read()
    ends = {PARTS[part]: end for (_, part), end in process.log.ends.items()}
    assert [position(kept) for kept in process.epoch()] == list(ends.values())


# --- what is told of it


def test_progress_is_told_when_the_next_batch_is_asked_for(process: Process) -> None:
    process.epoch()
    process.log.append(2, 4)
    process.read()
    process.epoch()
    assert process.shared.progress.rows()[PARTS[2]].position == 0, "the sinks may not have it yet"
    process.read()
    assert process.shared.progress.rows()[PARTS[2]] == PartProgress(4, 1_003_000, False)
    assert process.log.committed["inventory.orders", 2] == 4


def test_of_a_source_the_newest_moment_is_told_whichever_partition_was_read_last() -> None:
    process = Process(sources={"wms": {"stale_after": "1m"}})
    process.reader.note_sources([Spoken("wms", 9), Spoken("erp", 9)])
    process.reader.note_sources([Spoken("wms", 4)])
    process.epoch()
    [word] = process.leader.next_batch()
    assert word.message == SourcesSeen({"wms": 9})


# --- ends


def test_all_end_when_they_are_told_to(process: Process) -> None:
    process.epoch()
    process.shared.stop.set()
    for part in (process.others[0], process.leader, process.others[1]):
        with pytest.raises(StopIteration):
            part.next_batch()
        part.snapshot()
        part.close()
    assert process.log.queues == {}


def test_who_catches_up_ends_with_the_last_of_them() -> None:
    process = Process(until_caught_up=True, ends=2)
    process.epoch()
    process.log.append(1, 2)
    process.read()
    with pytest.raises(StopIteration):
        process.others[0].next_batch()
    process.others[0].snapshot()
    process.others[0].close()
    assert process.log.committed["inventory.orders", 1] == 2
    assert process.read() == {} and list(process.others[1].next_batch()) == []
    process.log.append(0, 2)
    process.log.append(2, 3)  # one more than there was when the run began
    process.read()
    for part in (process.leader, process.others[1]):
        with pytest.raises(StopIteration):
            part.next_batch()
        assert position(part.snapshot()) == 2
        part.close()


def test_the_end_of_a_partition_passes_over_nothing_that_came_since_the_run_began() -> None:
    process = Process(until_caught_up=True, ends=2)
    process.epoch()
    process.log.append(0, 5)  # three more than there were when the run began, and read before the others are through
    process.log.queues["inventory.orders", 0].append(EndOfPartition(5))
    process.read()
    assert position(process.leader.snapshot()) == 2, "the next run reads what came"
    other = Process()
    other.epoch()
    other.log.append(0, 2)
    other.log.queues["inventory.orders", 0].append(EndOfPartition(3))  # a transaction's marker stands at 2
    other.read()
    assert position(other.leader.snapshot()) == 3


def test_who_polled_hands_that_on_and_what_its_last_snapshot_held_is_not_told() -> None:
    process = Process(until_caught_up=True, ends=1)
    process.epoch()
    process.read()
    process.log.append(0)
    process.log.append(1)
    process.log.append(2)
    process.read()
    with pytest.raises(StopIteration):
        process.leader.next_batch()
    process.leader.snapshot()
    process.leader.close()
    next_one = process.others[0]
    assert process.reader.leader is next_one
    with pytest.raises(StopIteration):
        next_one.next_batch()
    assert {row.position for row in process.shared.progress.rows().values()} == {0}, "the sinks do not have it yet"


def test_a_dataflow_that_fails_commits_what_a_snapshot_said_and_not_what_was_read_since(process: Process) -> None:
    process.epoch()
    process.log.append(1, 5)
    process.read()
    process.epoch()
    process.log.append(1, 7)
    process.read()
    process.others[0].close()
    assert process.log.committed["inventory.orders", 1] == 5


# --- how much is taken at once


class Backlog:
    """A client of Kafka that has more each time it is asked."""

    def __init__(self, messages: int) -> None:
        self.left = messages

    def consume(self, most: int, timeout: float) -> list[Waiting]:
        taken = min(most, self.left)
        self.left -= taken
        return [Waiting()] * taken


class Waiting:
    """A message of which only where it comes from is asked."""

    def topic(self) -> str:
        return "inventory.orders"

    def partition(self) -> int:
        return 0


@pytest.mark.parametrize("partitions", [1, 3])
def test_of_a_backlog_so_many_polls_are_taken_at_once_for_each_partition(partitions: int) -> None:
    reader = EventReader(cast(Run, None))
    reader._queues = {("inventory.orders", number): [] for number in range(partitions)}
    backlog = Backlog(1_000_000)
    reader._consumer = cast(Consumer, backlog)

    assert reader.poll() == (POLL_MAX * POLLS_EACH * partitions, True)


def test_what_does_not_fill_a_poll_is_all_there_is_for_now() -> None:
    reader = EventReader(cast(Run, None))
    reader._queues = {("inventory.orders", 0): []}
    reader._consumer = cast(Consumer, Backlog(POLL_MAX + 1))

    assert reader.poll() == (POLL_MAX + 1, True)
    assert reader.poll() == (0, False)
