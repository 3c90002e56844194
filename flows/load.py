"""Sends generated traffic to the input topics at a given rate; returns when Kafka has acknowledged all of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from confluent_kafka import KafkaError, Message, Producer

from flows import traffic
from flows.errors import PlainError
from flows.kafka import client_config, partitions_of
from flows.runtime import now
from flows.traffic import Profile
from schemas.settings import Settings
from schemas.topics import INPUTS, REFERENCE

#: Messages between looks at the clock: 10 ms of them, at most.
BURST_MAX = 500
BURSTS_PER_SECOND = 100
FLUSH_SECONDS_MAX = 60.0
#: Librdkafka waits where no signal is seen; so long Ctrl-C may wait too.
WAIT_S = 0.2
#: Where no bar can be drawn a line says how far it is, so often.
LINE_EVERY_S = 10.0
#: How long what was handed over may still go when a run is cut short.
LAST_FLUSH_S = 5.0


class LoadError(PlainError):
    """Kafka did not take what was sent."""


class Report(NamedTuple):
    """What was sent, and how long it took until it was acknowledged."""

    events: int
    seconds: float


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
def progress(total: int | None, doing: str) -> Iterator[Callable[[int], None]]:
    """A bar on standard error from the first moment on; where none can be drawn, a line every ten seconds.

    `total` None: how much there is to do is not known.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    shown = (MofNCompleteColumn(), TimeRemainingColumn()) if total is not None else ()
    bar = Progress(TextColumn(doing), BarColumn(), *shown, console=console, transient=True)
    task = bar.add_task(doing, total=total)
    done = 0
    line_at = time.monotonic() + LINE_EVERY_S

    def advance(count: int) -> None:
        nonlocal done, line_at
        bar.advance(task, count)
        done += count
        if not console.is_terminal and time.monotonic() > line_at:
            line_at = time.monotonic() + LINE_EVERY_S
            print(f"atp: {doing}: {done:,}" + (f" of {total:,}" if total is not None else ""), file=sys.stderr)

    if not console.is_terminal:
        yield advance
        return
    with bar:
        yield advance
