"""Knows when partitions are read up to what they held at a moment: their ends are asked for after it, and then passed.

Asking costs a round trip a broker, on its own thread: the dataflow's goes on meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from flows.kafka.clients import consumer_config
from flows.kafka.parts import place_of
from flows.log import get_log
from schemas.settings import Settings

log = get_log(__name__)

ASK_TIMEOUT_S = 10.0


class Fence:
    """Of one process. Its methods are called by one thread alone.

    `first`: partitions of which it is known by themselves as well that they are passed, before the others are.
    """

    def __init__(self, settings: Settings, first: Iterable[str], others: Iterable[str]) -> None:
        self._settings, self._first = settings, list(first)
        self._parts = [*self._first, *others]
        self._thread: threading.Thread | None = None
        self._consumer: Consumer | None = None
        self._asked_at = 0
        self._ends: dict[str, int] | None = None
        #: the moment up to which everything was passed, up to which the first were; the first one that was asked for
        self.passed_at = self.first_passed_at = self.first_wanted = 0

    def want(self, moment: int) -> None:
        """Ask where the partitions end now, unless an answer is awaited."""
        self.first_wanted = self.first_wanted or moment
        if self._asked_at:
            return
        self._asked_at, self._ends = moment, None
        self._thread = threading.Thread(target=self._ask, name="fence", daemon=True)
        self._thread.start()

    def look(self, moment: int, positions: Mapping[str, int], caps: Mapping[str, int] | None) -> int:
        """Give the moment up to which all partitions are read (UTC microseconds).

        `positions`: next offset a partition, of finished epochs. `caps`: where reading ends in any case.
        """
        if self._asked_at and self._thread is not None and not self._thread.is_alive():
            ends = self._ends
            if ends is None:
                self._asked_at = 0  # Kafka did not say: asked again with the next wish
                return self.passed_at
            ahead = {part for part, end in ends.items() if positions.get(part, 0) < _capped(part, end, caps)}
            if ahead.isdisjoint(self._first):
                self.first_passed_at = self._asked_at
            if not ahead:
                self.passed_at, self._asked_at = self._asked_at, 0
        return self.passed_at

    def _ask(self) -> None:
        try:
            if self._consumer is None:
                self._consumer = Consumer(consumer_config(self._settings, log_level=0))
            ends = {}
            for part in self._parts:
                topic, partition = place_of(part)
                place = TopicPartition(topic, partition)
                ends[part] = self._consumer.get_watermark_offsets(place, timeout=ASK_TIMEOUT_S)[1]
            self._ends = ends
        except KafkaException as error:
            log.warning(
                f"Kafka does not tell where the inputs end: {error}",
                kind="kafka_read",
                next="it is asked again; statements wait meanwhile",
            )

    def close(self) -> None:
        """Let go of the connection."""
        if self._thread is not None:
            self._thread.join(ASK_TIMEOUT_S)
        if self._consumer is not None:
            self._consumer.close()


def _capped(part: str, end: int, caps: Mapping[str, int] | None) -> int:
    return end if caps is None else min(end, caps.get(part, end))
