"""A producer that knows what arrived: for everything that sends and then has to say so."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import KafkaError, Message, Producer

from flows.errors import PlainError
from flows.kafka.clients import client_config
from schemas.settings import Settings

FLUSH_SECONDS_MAX = 60.0
#: Librdkafka waits where no signal is seen; so long Ctrl-C may wait too.
WAIT_S = 0.2
#: How long what was handed over may still go when a run is cut short.
LAST_FLUSH_S = 5.0


class LoadError(PlainError):
    """Kafka did not take what was sent."""


class Sender:
    """A producer that knows whether everything arrived, and with `arrived` where: (topic, partition, offset).

    `is_over` is asked wherever it waits, and ends it by KeyboardInterrupt. Whoever hears of arrivals has to note
    signals in this way: an exception that a signal raises inside of a delivery report becomes an error of the client.
    """

    def __init__(
        self,
        settings: Settings,
        arrived: Callable[[str, int, int], None] | None = None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings = settings
        self._arrived = arrived
        self._is_over = is_over
        self._topics: dict[str, str] = {}
        self._problem = ""
        self._producer = Producer(
            client_config(
                settings,
                **{
                    "linger.ms": 5,
                    "acks": "all",
                    "enable.idempotence": True,
                    "compression.type": "lz4",
                    "queue.buffering.max.messages": 200_000,
                    # Also what is too large on purpose: the broker or the engine refuses it, not we.
                    "message.max.bytes": 100_000_000,
                    "delivery.report.only.error": arrived is None,
                    "on_delivery": self._reported,
                    "log_level": 2,
                },
            )
        )

    def send(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Hand over one message; waits while the producer's queue is full."""
        name = self._topics.get(topic) or self._topics.setdefault(topic, self._settings.topic(topic))
        while True:
            try:
                self._producer.produce(name, value, key)
                return
            except BufferError:
                self._producer.poll(0.05)
                self.go_on()

    def poll(self) -> None:
        """Let librdkafka tell what failed."""
        self._producer.poll(0)
        self._check()
        self.go_on()

    def go_on(self) -> None:
        """Say nothing, or that it is over."""
        if self._is_over():
            raise KeyboardInterrupt

    def flush(self) -> None:
        """Wait until Kafka has everything; LoadError if it does not take it."""
        deadline = time.monotonic() + FLUSH_SECONDS_MAX
        while (left := self._producer.flush(WAIT_S)) and time.monotonic() < deadline and not self._problem:
            self.go_on()
        self._check()
        if left:
            raise LoadError(f"Kafka did not take {left} messages within {FLUSH_SECONDS_MAX:.0f} s: look at its log")

    def give_up(self) -> None:
        """Let what was handed over still go, for a moment, and drop the rest."""
        self._producer.flush(LAST_FLUSH_S)
        self._producer.purge()
        self._producer.flush(LAST_FLUSH_S)

    def _reported(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            if self._arrived is not None:
                self._arrived(message.topic() or "", message.partition() or 0, message.offset() or 0)
        elif not self._problem:
            self._problem = f"{message.topic()} refused a message: {error.str()}"

    def _check(self) -> None:
        if self._problem:
            raise LoadError(self._problem)
