"""The Kafka side of the sink: produces, and knows when everything is delivered.

Delivery: at least once, in order within a key. An update that cannot be delivered fails the epoch, so that no snapshot
runs ahead of what was written; an outage is waited out by librdkafka itself, which never gives a message up.
"""

from __future__ import annotations

import time
from typing import Any

import orjson
from confluent_kafka import KafkaError, Message, Producer

from flows.kafka.clients import client_config
from flows.log import get_log
from flows.monitoring.metrics import KAFKA_REPORT_MS, Metrics
from flows.publishing.letters import Letter
from flows.publishing.messages import address, exception_json, update_json
from flows.runtime.run import Stop
from operators.rules.lanes import LANES
from schemas.messages import ExceptionNote, Outgoing
from schemas.reconciled import Reported
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, EXCEPTIONS, POSITIONS, TRAIL, WAREHOUSE

log = get_log(__name__)

#: What may wait in the producer: seconds of full load, and a bound on memory while Kafka is away.
QUEUE_MESSAGES = 200_000
QUEUE_KBYTES = 131_072
#: The trail has a partition a shard, and each batch of a partition is a request of its own: together with the numbers
#: its records held them up. 1,000 units a second on 2 busy cores: 11,600 requests and 94 ms from Kafka's client to its
#: word for 90 of 100 numbers, with a client and a linger of its own 4,700 and 6 ms.
TRAIL_LINGER_MS = 20
#: How long a process that was asked to end waits for Kafka before it gives up (the next run sends it again).
LAST_WAIT_S = 10.0
#: A wait for Kafka that is worth a line in the log, and how often it is said again.
PATIENCE_S = 10.0
#: How soon a failure is noticed between epochs; their end asks in any case.
POLL_EVERY_S = 0.05


class DeliveryError(RuntimeError):
    """Kafka refused a message for good."""


class OutgoingKafka:
    """One producer a process, and one for the trail where there is one. Used by the publisher's thread alone."""

    def __init__(self, settings: Settings, stop: Stop, metrics: Metrics) -> None:
        self._stop = stop
        self._settings = settings
        #: was anything withheld or corrected: an input has grown by that
        self.has_written_events = False
        self._metrics = metrics
        self._lanes = [settings.topic(f"atp.updates.{lane}") for lane in LANES]
        self._positions = settings.topic(POSITIONS)
        self._exceptions = settings.topic(EXCEPTIONS)
        self._dead_letters = settings.topic(DEAD_LETTERS)
        self._failure: str | None = None
        self._polled_at = 0.0
        config: dict[str, Any] = client_config(
            settings,
            **{
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 2,
                "batch.num.messages": 10_000,
                "queue.buffering.max.messages": QUEUE_MESSAGES,
                "queue.buffering.max.kbytes": QUEUE_KBYTES,
                "message.timeout.ms": 0,
                "message.max.bytes": 1_000_000_000,
                "compression.type": "lz4",
                # Only failures come back: cheaper than a callback a message, and as safe.
                "delivery.report.only.error": True,
                "on_delivery": self._report,
            },
        )
        told = {
            "statistics.interval.ms": KAFKA_REPORT_MS,
            "stats_cb": lambda text: metrics.kafka_told(orjson.loads(text)),
        }
        self._producers = [Producer(config | told)]
        if settings.trail.enabled:
            self._producers.append(Producer(config | {"linger.ms": TRAIL_LINGER_MS}))
        self._produce, self._produce_trail = self._producers[0].produce, self._producers[-1].produce
        metrics.watch("atp_kafka_queue_messages", self._waiting)

    def send_update(self, update: Outgoing) -> str:
        """Send one number; returns its JSON."""
        value = update_json(update)
        lane, key = address(update)
        topic = self._lanes[lane]
        try:
            self._produce(topic, value, key)
        except BufferError:
            self._send(topic, key, value)
        return value

    def send_position(self, item: str, value: str) -> None:
        """Send an item's whole position, as JSON."""
        try:
            self._produce(self._positions, value, item)
        except BufferError:
            self._send(self._positions, item, value)

    def send_exception(self, note: ExceptionNote) -> bool:
        """Send an exception raised or over; false: there is no room, and it has to be sent again."""
        try:
            self._produce(self._exceptions, exception_json(note), note.item or note.source)
        except BufferError:
            return False
        return True

    def send_reported(self, reported: Reported) -> bool:
        """Send what reconciling says; false: there is no room, and it has to be sent again."""
        produce = self._produce_trail if reported.topic == TRAIL else self._produce
        try:
            produce(self._settings.topic(reported.topic), reported.value, reported.key, timestamp=reported.at_ms)
        except BufferError:
            return False
        self.has_written_events |= reported.topic == WAREHOUSE
        if reported.topic == TRAIL:
            self._metrics.trail_records += 1
            self._metrics.trail_bytes += len(reported.value)
        return True

    def send_letter(self, letter: Letter) -> bool:
        """Keep what could not be used; false: there is no room, and it has to be sent again."""
        try:
            self._produce(self._dead_letters, letter.value, letter.key, headers=list(letter.headers))
        except BufferError:
            return False
        return True

    def make_room(self) -> None:
        """Wait a moment for Kafka to take some of what waits."""
        for producer in self._producers:
            producer.poll(0.05 / len(self._producers))
        self._check()
        if self._stop.is_set() and time.monotonic() - self._stop.since > LAST_WAIT_S:
            raise DeliveryError("Kafka takes nothing: the next run sends it again")

    def poll(self) -> None:
        """Let librdkafka tell what failed: a call lets go of the interpreter, so not after each poll of the input."""
        moment = time.monotonic()
        if moment - self._polled_at < POLL_EVERY_S:
            return
        self._polled_at = moment
        for producer in self._producers:
            producer.poll(0)
        self._check()

    def flush(self) -> None:
        """Wait until everything sent is delivered."""
        began = self._metrics.kafka_waits_since = time.monotonic()
        told_at = began
        while any(producer.flush(1.0) > 0 for producer in self._producers):
            self._check()
            moment = time.monotonic()
            if moment - told_at >= PATIENCE_S:
                told_at = moment
                log.warning(
                    f"Kafka has not taken {self._waiting()} messages for {moment - began:.0f} s; waiting",
                    kind="kafka_away",
                    next="see whether all brokers run and replicas are in sync; nothing is lost meanwhile",
                )
            if self._stop.is_set() and moment - self._stop.since > LAST_WAIT_S:
                raise DeliveryError("Kafka did not take everything before the end: the next run sends it again")
        self._metrics.kafka_waits_since = None
        self._metrics.kafka_confirm.observe(time.monotonic() - began)
        self._check()

    def _send(self, topic: str, key: str, value: str) -> None:
        while True:
            try:
                self._produce(topic, value, key)
                return
            except BufferError:
                self.make_room()

    def _waiting(self) -> int:
        return sum(map(len, self._producers))

    def _report(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failure is None:
            self._failure = f"{message.topic()} refused a message of {len(message.value() or b'')} bytes: {error.str()}"

    def _check(self) -> None:
        if self._failure is not None:
            raise DeliveryError(self._failure)
