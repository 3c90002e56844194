"""Decides whether a bounded read gives all that there is, and says which partition it lacks where it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from flows.adapters.files import known
from flows.audit import compare
from flows.kafka import reading
from flows.kafka.clients import KafkaProblem, span_of
from flows.kafka.reading import WHOLE, ReadProblem, TopicReader
from flows.publishing import tail
from schemas.settings import Settings

FORBIDDEN = KafkaError.TOPIC_AUTHORIZATION_FAILED


class Told:
    """A message, or what a consumer says in place of one."""

    def __init__(self, partition: int, offset: int, value: Any = None, error: int | None = None) -> None:
        self._place, self._value, self._error = ("t", partition, offset), value, error

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._place[2]

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes | None:
        return None if self._value is None else json.dumps(self._value).encode()

    def error(self) -> KafkaError | None:
        return None if self._error is None else KafkaError(self._error)


def end(partition: int) -> Told:
    return Told(partition, -1, error=KafkaError._PARTITION_EOF)


class Kafka:
    """Gives these polls, one a second, and nothing afterwards."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.polls: list[list[Told]] = []
        self.assigned: list[tuple[int, int]] = []
        self.config: dict[str, Any] = {}
        self.clock = 1_000.0
        self.times: Any = lambda places: places
        kafka = self

        class Consumer:
            def __init__(self, config: dict[str, Any]) -> None:
                kafka.config = config

            def assign(self, places: list[TopicPartition]) -> None:
                kafka.assigned = [(place.partition, place.offset) for place in places]

            def consume(self, *_: Any) -> list[Told]:
                kafka.clock += 1
                return kafka.polls.pop(0) if kafka.polls else []

            def offsets_for_times(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
                return kafka.times(places)

            def close(self) -> None:
                pass

        monkeypatch.setattr(reading, "Consumer", Consumer)
        monkeypatch.setattr(reading.time, "monotonic", lambda: self.clock)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    return Kafka(monkeypatch)


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate({"kafka": {"bootstrap_servers": "nowhere:1"}})


def read(settings: Settings, spans: dict[tuple[str, int], tuple[int, int]], **more: Any) -> Iterator[tuple[int, int]]:
    with TopicReader(settings, **more) as reader:
        for message in reader.read(spans):
            yield message.partition(), message.offset()


def all_but_the_problem(found: Iterator[tuple[int, int]]) -> tuple[list[tuple[int, int]], ReadProblem]:
    given = []
    with pytest.raises(ReadProblem) as caught:
        for one in found:
            given.append(one)
    return given, caught.value


def test_a_span_ends_before_its_end_and_nothing_beyond_is_given(kafka: Kafka, settings: Settings) -> None:
    kafka.polls = [[Told(0, 3), Told(1, 0)], [Told(0, 4), Told(0, 5), end(1)]]
    spans = {("t", 0): (3, 5), ("t", 1): (0, 9), ("t", 2): (7, 7)}
    assert list(read(settings, spans)) == [(0, 3), (1, 0), (0, 4)]
    assert kafka.assigned == [(0, 3), (1, 0)], "an empty span is not asked for"


def test_where_the_last_of_a_span_was_compacted_away_the_next_message_ends_it(kafka: Kafka, settings: Settings) -> None:
    kafka.polls = [[Told(0, 3), Told(0, 8)]]
    assert list(read(settings, {("t", 0): (0, 5)})) == [(0, 3)]


def test_a_whole_partition_ends_where_its_end_is_reached(kafka: Kafka, settings: Settings) -> None:
    kafka.polls = [[Told(0, 3)], [end(0)]]
    assert list(read(settings, {("t", 0): WHOLE})) == [(0, 3)]


def test_silence_is_as_long_as_it_is_said_to_be_and_names_the_partitions(kafka: Kafka, settings: Settings) -> None:
    kafka.polls = [[end(0)], *[[] for _ in range(10)], [Told(1, 0)]]
    spans = {("t", number): WHOLE for number in range(6)}
    began = kafka.clock
    given, problem = all_but_the_problem(read(settings, spans, silence_s=10.0))
    assert given == [], "the message came in the twelfth second"
    assert kafka.clock - began == 11
    assert str(problem) == "t/1, t/2, t/3 and 2 more could not be read to the end: Kafka is silent for 10 s"
    assert len(problem.parts) == 5


def test_as_long_as_something_comes_it_is_read_on(kafka: Kafka, settings: Settings) -> None:
    kafka.polls = [poll for offset in range(5) for poll in ([], [], [Told(0, offset)])]
    assert len(list(read(settings, {("t", 0): (0, 5)}, silence_s=3.0))) == 5


def test_what_a_reader_does_with_a_message_is_not_kafkas_silence(kafka: Kafka, settings: Settings) -> None:
    kafka.polls = [[Told(0, 0)], [], [Told(0, 1)]]
    for _ in read(settings, {("t", 0): (0, 2)}, silence_s=3.0):
        kafka.clock += 100


def test_what_can_be_read_is_given_before_it_is_said_what_cannot(kafka: Kafka, settings: Settings) -> None:
    kafka.polls = [[Told(0, -1, error=FORBIDDEN), Told(1, 0)], [Told(1, 1)], [end(1)]]
    given, problem = all_but_the_problem(read(settings, {("t", 0): WHOLE, ("t", 1): WHOLE}))
    assert given == [(1, 0), (1, 1)]
    assert problem.parts == [("t", 0)] and str(problem).startswith("t/0 cannot be read: ")
    assert not kafka.polls, "and at once"


@pytest.mark.parametrize("error", [FORBIDDEN, KafkaError.LEADER_NOT_AVAILABLE])
def test_what_passes_is_no_problem(kafka: Kafka, settings: Settings, error: int) -> None:
    kafka.polls = [[Told(0, -1, error=error)], [Told(0, 0), end(0)], [end(1)]]
    assert list(read(settings, {("t", 0): WHOLE, ("t", 1): WHOLE})) == [(0, 0)]


def test_a_topic_that_lost_its_oldest_messages_meanwhile_is_not_read_as_whole(kafka: Kafka, settings: Settings) -> None:
    kafka.polls = [[Told(0, -1, error=KafkaError._AUTO_OFFSET_RESET)]]
    _, problem = all_but_the_problem(read(settings, {("t", 0): (0, 9)}))
    assert str(problem) == "t/0 lost its oldest messages while it was read: try again"


# --- each reader's own meaning ----------------------------------------------------------------------------------------


def test_the_tail_makes_do_with_what_there_is(
    kafka: Kafka, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def update(version: int) -> dict[str, Any]:
        return {"item": "A", "channel": "web", "atp": version, "version": version, "cause": "event"}

    said: list[tuple[str, str]] = []
    monkeypatch.setattr(tail, "partitions_of", lambda *_: {"t": 3})
    monkeypatch.setattr(tail.log, "warning", lambda text, kind, **_: said.append((kind, text)))
    kafka.times = lambda places: [TopicPartition("t", 0, 4), TopicPartition("t", 1, 0), TopicPartition("t", 2, -1)]
    kafka.polls = [[Told(0, 4, update(7)), Told(0, 5, update(6)), Told(0, 6), end(0)]]
    began = kafka.clock
    assert tail.updates_since(settings, 10_000_000) == {("A", "web"): (7, (7, None))}
    assert kafka.assigned == [(0, 4), (1, 0)], "nothing was sent to the third"
    text = "the tail of 1 output partitions could not be read; `previous` may be one number old"
    assert said == [("tail", text)] and kafka.clock - began < 13
    assert (kafka.config["group.id"], kafka.config["auto.offset.reset"]) == (settings.kafka.group, "earliest")


def test_where_kafka_does_not_tell_where_the_tail_begins_the_worker_may_be_started_again(
    kafka: Kafka, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def times(_: Any) -> Any:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    kafka.times = times
    monkeypatch.setattr(tail, "partitions_of", lambda *_: {"t": 1})
    with pytest.raises(KafkaException):
        tail.updates_since(settings, 0)


def test_an_import_reads_reference_topics_to_their_ends(
    kafka: Kafka, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "partitions_of", lambda *_: {})
    monkeypatch.setattr(Settings, "topic", lambda *_: "t")
    kafka.polls = [[Told(0, 0, 1), Told(0, 1), end(0)], [end(0)], [Told(0, 0, 2)]]
    found = known.read_reference(settings)
    assert next(found) == ("locations", [(b"k", b"1"), (b"k", None)])
    assert next(found) == ("channels", [])
    with pytest.raises(KafkaProblem, match="t/0 could not be read to the end: Kafka is silent for 30 s"):
        next(found)


def test_an_audit_reads_by_partition_and_offset_what_a_topic_holds(
    kafka: Kafka, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "bounds", lambda *_: {("t", 0): (0, 2), ("t", 1): (0, 1)})
    kafka.polls = [[Told(1, 0), Told(0, 0)], [Told(0, 1)]]
    found = compare.read(settings, "t")
    assert [(message.partition(), message.offset()) for message in found] == [(0, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize(
    "code", [KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC, KafkaError.LEADER_NOT_AVAILABLE]
)
def test_a_partition_that_a_client_has_not_heard_of_yet_is_asked_for_again(code: int) -> None:
    class Client:
        asked = 0

        def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
            self.asked += 1
            if self.asked < 3:
                raise KafkaException(KafkaError(code))
            return 2, 7

    client: Any = Client()
    assert span_of(client, TopicPartition("a", 0)) == (2, 7) and client.asked == 3
    if code != KafkaError.LEADER_NOT_AVAILABLE:
        never: Any = Client()
        with pytest.raises(KafkaException):
            span_of(never, TopicPartition("a", 0), is_there=False)
        assert never.asked == 1
