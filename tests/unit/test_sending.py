"""Decides whether a sender knows what arrived, and a replay marks that and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from flows.kafka import sending
from flows.kafka.clients import KafkaProblem
from flows.kafka.sending import FLUSH_SECONDS_MAX, REFUSED_MAX, Refused, Sender, SendError
from flows.letters import replaying
from flows.letters.reading import parse
from flows.letters.replaying import Fate, send
from flows.settings import load_settings
from schemas.replay import read_header
from schemas.settings import Settings
from tests.made_letters import Made


class Sent:
    """A message as a delivery report has it."""

    def __init__(self, topic: str, value: Any, key: Any, partition: int, headers: Any, offset: int) -> None:
        self.told = (topic, key, value, partition)
        self.headers = list(headers or [])
        self._offset = offset

    def topic(self) -> str:
        return self.told[0]

    def partition(self) -> int:
        return max(0, self.told[3])

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 2, 777


class Kafka:
    """Takes what is sent, but for what it is told to refuse, to leave unanswered, or to have no room for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[Sent] = []
        self.configs: list[dict[str, Any]] = []
        self.refuses: Callable[[Sent], bool] = lambda _: False
        self.ignores: Callable[[Sent], bool] = lambda _: False
        self.is_full = 0
        self.clock = 1_000.0
        kafka = self

        class Producer:
            def __init__(self, config: dict[str, Any]) -> None:
                kafka.configs.append(config)
                self._config = config
                self._waiting: list[tuple[Sent, Any]] = []

            def produce(
                self, topic: str, value: Any, key: Any, partition: int, headers: Any = None, on_delivery: Any = None
            ) -> None:
                if kafka.is_full:
                    raise BufferError
                if value == b"too large":
                    raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
                sent = Sent(topic, value, key, partition, headers, len(kafka.sent))
                kafka.sent.append(sent)
                self._waiting.append((sent, on_delivery or self._config["on_delivery"]))

            def poll(self, _: float) -> None:
                kafka.is_full = max(0, kafka.is_full - 1)

            def flush(self, timeout: float) -> int:
                kafka.clock += timeout
                still = []
                for sent, report in self._waiting:
                    if kafka.ignores(sent):
                        still.append((sent, report))
                    elif kafka.refuses(sent):
                        report(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), sent)
                    elif not self._config["delivery.report.only.error"]:
                        report(None, sent)
                self._waiting = still
                return len(still)

        monkeypatch.setattr(sending, "Producer", Producer)
        monkeypatch.setattr(sending.time, "monotonic", lambda: self.clock)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    return Kafka(monkeypatch)


@pytest.fixture
def settings() -> Settings:
    return load_settings(None, {"topics.prefix": "p."})


def test_what_arrived_is_told_with_its_place(kafka: Kafka, settings: Settings) -> None:
    places: list[tuple[str, int, int]] = []
    sender = Sender(settings, lambda *place: places.append(place))
    sender.send("inventory.orders", b"k", b"v")
    sender.send("inventory.orders", None, None, 3)
    assert places == []
    sender.flush()
    assert places == [("p.inventory.orders", 0, 0), ("p.inventory.orders", 3, 1)]


def test_a_message_may_have_somebody_of_its_own_who_hears_of_it(kafka: Kafka, settings: Settings) -> None:
    heard: list[Any] = []
    kafka.refuses = lambda sent: sent.told[2] == b"2"
    sender = Sender(settings, lambda *_: None)
    for value in (b"1", b"2"):
        sender.send("inventory.orders", b"k", value, headers=[("a", b"b")], then=heard.append)
    assert sender.settle() == 0
    [one] = heard
    assert (one.told, one.headers) == (("p.inventory.orders", b"k", b"1", -1), [("a", b"b")])


def test_whoever_needs_all_of_it_is_told_of_the_first_that_is_refused_and_at_once(
    kafka: Kafka, settings: Settings
) -> None:
    kafka.refuses = lambda sent: sent.told[0] == "p.inventory.supply"
    kafka.ignores = lambda sent: sent.told[0] == "p.inventory.warehouse"
    sender = Sender(settings)
    for topic in ("inventory.orders", "inventory.supply", "inventory.warehouse"):
        sender.send(topic, None, b"v")
    began = kafka.clock
    with pytest.raises(SendError, match=r"^p\.inventory\.supply refused a message: "):
        sender.flush()
    assert kafka.clock - began < 1
    with pytest.raises(SendError):
        sender.poll()


def test_what_kafka_does_not_answer_for_has_not_arrived(kafka: Kafka, settings: Settings) -> None:
    kafka.ignores = lambda _: True
    sender = Sender(settings)
    sender.send("inventory.orders", None, b"v")
    with pytest.raises(SendError, match=r"^Kafka did not take 1 messages within 60 s: look at its log$"):
        sender.flush()
    assert sender.settle() == 1 and kafka.clock > 1_000 + 2 * FLUSH_SECONDS_MAX


def test_whoever_can_do_with_less_waits_for_the_rest_and_sees_a_few_of_the_refusals(
    kafka: Kafka, settings: Settings
) -> None:
    kafka.refuses = lambda sent: sent.offset() > 0
    sender = Sender(settings)
    for _ in range(10):
        sender.send("inventory.orders", None, b"v")
    assert sender.settle() == 0
    [refused] = set(sender.refused)
    assert len(sender.refused) == REFUSED_MAX
    assert isinstance(refused, Refused) and refused.topic == "p.inventory.orders" and refused.why


def test_a_full_queue_is_waited_for_until_it_is_over(kafka: Kafka, settings: Settings) -> None:
    kafka.is_full = 3
    Sender(settings).send("inventory.orders", None, b"v")
    assert len(kafka.sent) == 1
    kafka.is_full = 1_000
    with pytest.raises(KeyboardInterrupt):
        Sender(settings, is_over=lambda: kafka.is_full < 900).send("inventory.orders", None, b"v")


# --- replays ----------------------------------------------------------------------------------------------------------


def fate(number: int, value: bytes = b"v", partition: int = 0) -> Fate:
    told = {"code": "unknown_item", "message": "m", "topic": "p.inventory.orders", "partition": str(partition)}
    letter = parse(Made(told | {"offset": "5", "attempts": "1", "timestamp": "7"}, value, number))
    assert letter is not None
    return Fate(letter, 2, names=(f"n{number}", f"m{number}"))


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "create", lambda *_: None)
    monkeypatch.setattr(replaying, "bounds", lambda *_: {("p.inventory.orders", number): (0, 9) for number in range(2)})


def test_a_message_is_sent_again_as_it_was_and_all_of_its_letters_are_marked(
    kafka: Kafka, settings: Settings, marks: None
) -> None:
    told: list[int] = []
    send(settings, [fate(0, partition=1), fate(1, partition=7), fate(2)._replace(refusal="no")], told.append)
    message, other, *of_marks = kafka.sent
    assert message.told == ("p.inventory.orders", None, b"v", 1)
    assert other.told[3] == -1, "its partition is no more: any"
    replay = read_header(message.headers)
    assert replay is not None and replay.attempts == 2
    assert [mark.told[:2] for mark in of_marks] == [
        ("p.inventory.replays", name) for name in (b"n0", b"m0", b"n1", b"m1")
    ]
    mark = json.loads(of_marks[2].told[2])
    assert (mark["topic"], mark["partition"], mark["offset"], mark["logged_ms"]) == ("p.inventory.orders", 0, 1, 777)
    assert sum(told) == 2


def test_what_arrived_is_marked_though_other_messages_did_not(kafka: Kafka, settings: Settings, marks: None) -> None:
    kafka.refuses = lambda sent: sent.told[2] == b"refused"
    kafka.ignores = lambda sent: sent.told[2] == b"ignored"
    fates = [fate(number, value) for number, value in enumerate((b"too large", b"refused", b"ignored", b"v"))]
    with pytest.raises(KafkaProblem) as caught:
        send(settings, fates)
    text = str(caught.value)
    assert text.startswith("not all was sent (1 not acknowledged; ") and "; p.inventory.orders: " in text
    assert text.endswith("): try again, what arrived is a duplicate then")
    assert [sent.told[1] for sent in kafka.sent if sent.topic() == "p.inventory.replays"] == [b"n3", b"m3"]


def test_a_mark_that_cannot_be_made_is_said(kafka: Kafka, settings: Settings, marks: None) -> None:
    kafka.refuses = lambda sent: sent.topic() == "p.inventory.replays"
    with pytest.raises(
        KafkaProblem, match=r"^it was sent, and its letters could not be marked \(.+\): they still count"
    ):
        send(settings, [fate(0)])
    kafka.refuses, kafka.ignores = kafka.ignores, kafka.refuses
    with pytest.raises(KafkaProblem, match=r"could not be marked \(not acknowledged\): "):
        send(settings, [fate(0)])
