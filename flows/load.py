"""Sends generated traffic to the input topics at a given rate; returns when Kafka has acknowledged all of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from confluent_kafka import KafkaError, Message, Producer

from flows import traffic
from flows.kafka import client_config, partitions_of
from flows.runtime import now
from flows.traffic import Profile
from schemas.settings import Settings
from schemas.topics import INPUTS, REFERENCE

#: Messages between looks at the clock: 10 ms of them, at most.
BURST_MAX = 500
BURSTS_PER_SECOND = 100
FLUSH_SECONDS_MAX = 60.0
PROGRESS_AFTER_S = 2.0


class LoadError(RuntimeError):
    """Kafka did not take what was sent."""


class Report(NamedTuple):
    """What was sent, and how long it took until it was acknowledged."""

    events: int
    seconds: float


class Sender:
    """A producer that knows whether everything arrived."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
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
                    "delivery.report.only.error": True,
                    "on_delivery": self._failed,
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

    def poll(self) -> None:
        """Let librdkafka tell what failed."""
        self._producer.poll(0)
        self._check()

    def flush(self) -> None:
        """Wait until Kafka has everything; LoadError if it does not take it."""
        left = self._producer.flush(FLUSH_SECONDS_MAX)
        self._check()
        if left:
            raise LoadError(f"Kafka did not take {left} messages within {FLUSH_SECONDS_MAX:.0f} s: look at its log")

    def _failed(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and not self._problem:
            self._problem = f"{message.topic()} refused a message: {error.str()}"

    def _check(self) -> None:
        if self._problem:
            raise LoadError(self._problem)


def send(settings: Settings, profile: Profile, rate: int, with_reference: bool = True) -> Report:
    """Send `profile.events` messages at `rate` a second (0: as fast as Kafka takes them); a bar if it takes long."""
    partitions_of(settings, (*INPUTS, *REFERENCE))
    sender = Sender(settings)
    if with_reference:
        for topic, key, value in traffic.reference(profile):
            sender.send(topic, key, value)
        sender.flush()
    messages = traffic.events(profile, now(), rate)
    started = time.monotonic()
    with progress(profile.events, "sending") as advance:
        for count in _paced(sender, messages, rate, started):
            advance(count)
        sender.flush()
    return Report(profile.events, max(time.monotonic() - started, 1e-6))


def _paced(sender: Sender, messages: Iterable[traffic.Message], rate: int, started: float) -> Iterator[int]:
    """Send at the rate, in bursts; yield the size of each."""
    burst = max(1, min(BURST_MAX, rate // BURSTS_PER_SECOND)) if rate else BURST_MAX
    sent = 0
    send = sender.send
    for topic, key, value in messages:
        send(topic, key, value)
        sent += 1
        if sent % burst == 0:
            sender.poll()
            yield burst
            ahead = started + sent / rate - time.monotonic() if rate else 0.0
            if ahead > 0:
                time.sleep(ahead)
    yield sent % burst


@contextmanager
def progress(total: int, doing: str) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, from the moment that the work turns out to be long; nothing where nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(
        TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True
    )
    task = bar.add_task(doing, total=total)
    shown_from = time.monotonic() + PROGRESS_AFTER_S
    is_shown = False

    def advance(count: int) -> None:
        nonlocal is_shown
        bar.advance(task, count)
        if not is_shown and console.is_terminal and time.monotonic() > shown_from:
            is_shown = True
            bar.start()

    try:
        yield advance
    finally:
        if is_shown:
            bar.stop()
