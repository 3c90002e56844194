"""Once a second: finds out that Redis lost data although nothing is written; tells progress, hears it and requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from flows.monitoring.metrics import Metrics
from flows.publishing.patience import Patience
from flows.publishing.writer import Writer
from flows.runtime.clock import Clock
from flows.runtime.mailbox import ShardRequest
from flows.runtime.progress import PartProgress
from flows.runtime.run import Shared
from operators.lane_queue import LaneQueue

HEARTBEAT_S = 1.0

_row = msgspec.msgpack.Decoder(tuple[int, PartProgress])
_encode = msgspec.msgpack.Encoder().encode


class Exchange(Protocol):
    """What the processes of a run, and people, tell each other beside the numbers."""

    def tell_progress(self, rows: dict[str, bytes]) -> None: ...
    def progress(self) -> dict[str, bytes]: ...
    def rejected(self) -> int: ...
    def take_requests(self, shards: int, clock: Callable[[], int]) -> list[ShardRequest]: ...


class Heartbeat:
    """Of one process. Used by the writer's thread alone."""

    def __init__(
        self, shared: Shared, exchange: Exchange, writer: Writer, queue: LaneQueue, patience: Patience, clock: Clock,
        metrics: Metrics,
    ) -> None:  # fmt: skip
        self._run, self._progress, self._mailbox = shared.run, shared.progress, shared.mailbox
        self._exchange, self._writer, self._queue = exchange, writer, queue
        self._patience, self._clock, self._metrics = patience, clock, metrics
        self._beat_at = 0.0

    def due_in_s(self) -> float:
        """Give in how many seconds the next one is due."""
        return max(0.0, self._beat_at + HEARTBEAT_S - self._clock.monotonic())

    def is_due(self) -> bool:
        """Is it time for one?"""
        return self._clock.monotonic() - self._beat_at >= HEARTBEAT_S

    def begin(self) -> None:
        """Begin one: the next is due a second from now, however long this one takes."""
        self._beat_at = self._clock.monotonic()

    def beat(self) -> None:
        """Look, tell and hear."""
        if not self._writer.has_written:
            self._writer.look()
        self._writer.has_written = False
        if self._run.workers > 1:
            self._exchange_progress()
        self._metrics.look_at(self._queue, self._clock.now())
        if not self._run.worker:
            self._metrics.fenced_others(self._patience.ask(self._exchange.rejected))
            shards = self._run.settings.shards
            self._mailbox.put(self._patience.ask(self._exchange.take_requests, shards, self._clock.now))

    def _exchange_progress(self) -> None:
        token = self._run.token
        mine = {part: _encode((token, row)) for part, row in self._progress.own_rows().items()}
        self._patience.ask(self._exchange.tell_progress, mine)
        for part, raw in self._patience.ask(self._exchange.progress).items():
            of, row = _row.decode(raw)
            if of == token:
                self._progress.hear(part, row)
