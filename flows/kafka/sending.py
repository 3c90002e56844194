"""A producer that knows what arrived: for everything that sends and then has to say so."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, Message, Producer

from flows.errors import PlainError
from flows.kafka.clients import client_config
from schemas.settings import Settings

FLUSH_SECONDS_MAX = 60.0
#: Librdkafka waits where no signal is seen; so long Ctrl-C may wait too.
WAIT_S = 0.2
#: How long what was handed over may still go when a run is cut short.
LAST_FLUSH_S = 5.0
#: Of what is refused so many are kept: a sentence is to be read.
REFUSED_MAX = 5
ANY_PARTITION = -1

Header = tuple[str, str | bytes | None]


class SendError(PlainError):
    """Kafka did not take what was sent."""


class Refused(NamedTuple):
    """A message that Kafka did not take: its full topic name, and why."""

    topic: str
    why: str


class Sender:
    """A producer that knows whether everything arrived, and with `arrived` where: (topic, partition, offset).

    `is_over` is asked wherever it waits, and ends it by KeyboardInterrupt. Whoever hears of arrivals has to note
    signals in this way: an exception that a signal raises inside of a delivery report becomes an error of the client.
    `more`: settings of the client.
    """

    def __init__(
        self,
        settings: Settings,
        arrived: Callable[[str, int, int], None] | None = None,
        is_over: Callable[[], bool] = lambda: False,
        **more: Any,
    ) -> None:
        #: the first of what Kafka did not take
        self.refused: list[Refused] = []
        self._settings = settings
        self._arrived = arrived
        self._is_over = is_over
        self._topics: dict[str, str] = {}
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
                    "message.max.bytes": 1_000_000_000,
                    "delivery.report.only.error": arrived is None,
                    "on_delivery": self._reported,
                    "log_level": 2,
                }
                | more,
            )
        )

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int = ANY_PARTITION,
        headers: list[Header] | None = None,
        then: Callable[[Message], None] | None = None,
    ) -> None:
        """Hand over one message; waits while the producer's queue is full.

        `then` gets it when Kafka has it, with its place and time; for a sender that hears of arrivals.
        """
        name = self._topics.get(topic) or self._topics.setdefault(topic, self._settings.topic(topic))
        report = None if then is None else partial(self._reported, then=then)
        while True:
            try:
                self._producer.produce(name, value, key, partition, headers=headers, on_delivery=report)
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
        """Wait until Kafka has everything; SendError if it does not take it."""
        left = self._wait(lambda: bool(self.refused))
        self._check()
        if left:
            raise SendError(f"Kafka did not take {left} messages within {FLUSH_SECONDS_MAX:.0f} s: look at its log")

    def settle(self) -> int:
        """Wait until Kafka has taken or refused each message; give how many it does not answer for."""
        return self._wait(lambda: False)

    def give_up(self) -> None:
        """Let what was handed over still go, for a moment, and drop the rest."""
        self._producer.flush(LAST_FLUSH_S)
        self._producer.purge()
        self._producer.flush(LAST_FLUSH_S)

    def _wait(self, is_enough: Callable[[], bool]) -> int:
        deadline = time.monotonic() + FLUSH_SECONDS_MAX
        while (left := self._producer.flush(WAIT_S)) and time.monotonic() < deadline and not is_enough():
            self.go_on()
        return left

    def _reported(
        self, error: KafkaError | None, message: Message, then: Callable[[Message], None] | None = None
    ) -> None:
        if error is None:
            if then is not None:
                then(message)
            if self._arrived is not None:
                self._arrived(message.topic() or "", message.partition() or 0, message.offset() or 0)
        elif len(self.refused) < REFUSED_MAX:
            self.refused.append(Refused(message.topic() or "", error.str()))

    def _check(self) -> None:
        if self.refused:
            topic, why = self.refused[0]
            raise SendError(f"{topic} refused a message: {why}")
