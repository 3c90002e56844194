"""Listens to what the engine says while the play runs: updates by lane, latency, what was dropped and why."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from flows.audit.compare import headers_of
from flows.kafka.clients import consumer_config, partitions_of
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, EXCEPTIONS, INPUTS, LANES, UPDATES

RECENT = 400
#: Lanes that leave at once: only there does the time in Kafka say what the engine took.
PROMPT = frozenset({"critical", "high"})


class Tail(threading.Thread):
    """Reads inputs and outputs of one engine from their beginnings; figures are read by the view while it runs."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="tail", daemon=True)
        self._settings = settings
        self._halt = threading.Event()
        self._appended: dict[str, int] = {}
        self._seen: set[bytes] = set()
        self.events = 0
        self.duplicates = 0
        self.lanes: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.exceptions: Counter[str] = Counter()
        self.latencies: deque[int] = deque(maxlen=RECENT)
        self.last_update_ms = 0
        self.latest: deque[dict[str, Any]] = deque(maxlen=8)
        self.problem = ""

    def run(self) -> None:
        """Listen until told to stop."""
        try:
            self._listen()
        except Exception as error:  # a thread has nobody to tell: the demo asks
            self.problem = f"the live view lost Kafka: {error}"

    def halt(self) -> None:
        """Stop listening."""
        self._halt.set()

    def _listen(self) -> None:
        settings = self._settings
        inputs = {settings.topic(name) for name in INPUTS}
        lanes = {settings.topic(name): lane for name, lane in zip(UPDATES, LANES, strict=True)}
        dead_letters, exceptions = settings.topic(DEAD_LETTERS), settings.topic(EXCEPTIONS)
        parts = partitions_of(settings, (*INPUTS, *UPDATES, DEAD_LETTERS, EXCEPTIONS))
        consumer = Consumer(consumer_config(settings, **{"group.id": f"{settings.kafka.group}-demo", "log_level": 0}))
        try:
            consumer.assign(
                [
                    TopicPartition(name, number, OFFSET_BEGINNING)
                    for name, count in parts.items()
                    for number in range(count)
                ]
            )
            while not self._halt.is_set():
                for message in consumer.consume(500, 0.05):
                    topic = message.topic()
                    error = message.error()
                    if error is not None:
                        if error.code() != KafkaError._PARTITION_EOF and error.fatal():
                            raise RuntimeError(error.str())
                    elif topic in inputs:
                        self._event(message)
                    elif topic in lanes:
                        self._update(message, lanes[topic])
                    elif topic == dead_letters:
                        self._dead_letter(message)
                    elif topic == exceptions:
                        note = orjson.loads(message.value() or b"{}")
                        if note.get("state") == "open":
                            self.exceptions[str(note.get("code"))] += 1
        finally:
            consumer.close()

    def _event(self, message: Message) -> None:
        self.events += 1
        value = message.value() or b""
        if value in self._seen:
            self.duplicates += 1
        self._seen.add(value)
        try:
            event = orjson.loads(value)
        except orjson.JSONDecodeError:
            return  # garbage is part of the play
        if isinstance(event, dict) and "correlation_id" in event:
            appended = message.timestamp()[1]
            known = self._appended.setdefault(event["correlation_id"], appended)
            self._appended[event["correlation_id"]] = min(known, appended)

    def _update(self, message: Message, lane: str) -> None:
        self.lanes[lane] += 1
        update = orjson.loads(message.value() or b"{}")
        sent_ms = message.timestamp()[1]
        self.last_update_ms = max(self.last_update_ms, sent_ms)
        self.latest.append(update)
        appended = self._appended.get(update.get("correlation_id", ""))
        if lane in PROMPT and appended is not None:
            self.latencies.append(max(0, sent_ms - appended))

    def _dead_letter(self, message: Message) -> None:
        self.dropped[headers_of(message).get("code", "?")] += 1
