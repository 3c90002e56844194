"""A worker with traps at its seams, and with a guarantee switched off if so wished: `python -m tests.chaos.worker`.

It is the production worker: what is wrapped here calls what it wraps. The switches prove that the harness would find
the fault that each guarantee prevents.
"""

from __future__ import annotations

import functools
import inspect
import logging
import mmap
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import redis.connection

from tests.chaos.trap import FOLDER, Trap

WITHOUT = "CHAOS_WITHOUT"


def around(
    wrapped: Callable[..., Any], before: Callable[[], None] | None, after: Callable[[], None] | None
) -> Callable[..., Any]:
    """Put calls around a function."""

    @functools.wraps(wrapped)
    def call(*arguments: Any, **named: Any) -> Any:
        if before is not None:
            before()
        answer = wrapped(*arguments, **named)
        if after is not None:
            after()
        return answer

    return call


def wrap(owner: Any, name: str, before: Callable[[], None] | None, after: Callable[[], None] | None) -> None:
    """Put calls around a method."""
    setattr(owner, name, around(getattr(owner, name), before, after))


def set_traps(trap: Trap) -> None:
    """Wrap the seams of a worker."""
    from flows.dataflow import graph, steps
    from flows.publishing import kafka_writer
    from flows.publishing.publisher import Publisher
    from flows.publishing.tail import updates_since
    from flows.readmodel import store
    from flows.sources import consumer
    from flows.storage import layers, segments
    from operators import shard

    shard.SEAL_FROM = 32 * 1024  # a round is short, and segments are to be sealed in it

    def at(point: str) -> Callable[[], None]:
        return lambda: trap.passes(point)

    # Redis. While a slice is written, reading an answer comes after sending it.
    is_writing = False

    def begin() -> None:
        nonlocal is_writing
        trap.passes("before a slice")
        is_writing = True

    def end() -> None:
        nonlocal is_writing
        is_writing = False
        trap.passes("after a slice")

    def under_way() -> None:
        if is_writing:
            trap.passes("slice under way")

    connect = redis.connection.Connection._connect
    seen = lambda connection: ReadsSeen(connect(connection), under_way)  # noqa: E731
    redis.connection.Connection._connect = seen  # type: ignore[method-assign]
    wrap(store.Store, "write_slices", begin, end)
    wrap(store.Store, "join", at("before joining"), at("after joining"))
    # Kafka
    sink = kafka_writer.OutgoingKafka
    wrap(sink, "send_update", None, at("after an update"))
    wrap(sink, "send_position", None, at("after a position"))
    wrap(sink, "flush", at("before the flush"), at("after the flush"))
    tail = around(updates_since, at("before Kafka's tail"), at("after Kafka's tail"))
    graph.Publisher = functools.partial(Publisher, read_tail=tail)  # type: ignore[misc, assignment]
    # the snapshot
    wrap(steps.PublishPart, "snapshot", at("before a sink's snapshot"), at("after a sink's snapshot"))
    wrap(steps.ShardStep, "snapshot", at("before a shard's snapshot"), at("after a shard's snapshot"))
    wrap(consumer.EventReader, "commit", at("after the commit"), None)
    segments.os = SyncsSeen(trap)  # type: ignore[assignment]
    layers.os = LayerSyncsSeen(trap)  # type: ignore[assignment]
    # the resume
    _wrap_resume(steps.ShardStep, "resume", at("before a shard resumes"), at("after a shard resumes"))
    _wrap_resume(steps.PublishPart, "state", at("before a sink resumes"), None)


class ReadsSeen:
    """A socket to Redis, and what to do before an answer is read from it."""

    def __init__(self, socket: Any, before: Callable[[], None]) -> None:
        self._socket, self._before = socket, before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def recv(self, *arguments: Any) -> bytes:
        self._before()
        data: bytes = self._socket.recv(*arguments)
        return data


class SyncsSeen:
    """The `os` of the segments: each file is synced, then its folder."""

    def __init__(self, trap: Trap) -> None:
        self._trap = trap

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fsync(self, descriptor: int) -> None:
        is_folder = Path(f"/proc/self/fd/{descriptor}").is_dir()
        self._trap.passes("segment not in its folder" if is_folder else "segment not synced")
        os.fsync(descriptor)


class LayerSyncsSeen:
    """The `os` of the layers: who dies before a sync takes along what the disk would not have after a power failure."""

    def __init__(self, trap: Trap) -> None:
        self._trap = trap
        #: file -> how long it was at its last sync
        self._safe: dict[int, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fdatasync(self, descriptor: int) -> None:
        file = os.fstat(descriptor).st_ino
        self._trap.passes("layers not synced", lambda: os.ftruncate(descriptor, self._safe.get(file, 0)))
        os.fdatasync(descriptor)
        self._safe[file] = os.fstat(descriptor).st_size
        self._trap.passes("layers synced")


def _wrap_resume(step: Any, name: str, before: Callable[[], None], after: Callable[[], None] | None) -> None:
    build = step.__init__
    signature = inspect.signature(build)

    @functools.wraps(build)
    def call(self: Any, *arguments: Any, **named: Any) -> None:
        is_resumed = signature.bind(self, *arguments, **named).arguments.get(name) is not None
        if is_resumed:
            before()
        build(self, *arguments, **named)
        if is_resumed and after is not None:
            after()

    step.__init__ = call


# --- guarantees switched off ------------------------------------------------------------------------------------------


def switch_off(guarantee: str, trap: Trap) -> None:
    """Do without a guarantee. The traps are wrapped around what is left."""
    from flows.sources import consumer

    switches: dict[str, Callable[[], None]] = {
        "": lambda: None,
        "fence": _no_fence,
        "hold-back": _no_hold_back,
        "order": lambda: _kafka_first(trap),
        "barrier": _no_barrier,
    }
    switches[guarantee]()
    if guarantee:
        # A replay that is taken in one bite has no numbers between the old and the new that could be seen to go back.
        consumer.POLL_MAX, consumer.POLLS_EACH = 20, 1


def _no_fence() -> None:
    """Redis takes what any run writes."""
    from flows.publishing.writer import Writer
    from flows.readmodel import store

    source = store.library()
    for check in (
        "if held > token then",
        "if held < token then",
        "if (fence[2] or '0') ~= args[3] then",
    ):
        assert check in source, f"the functions have no line {check!r} any more"
        source = source.replace(check, "if false then")
    store.library = lambda: source
    # Its second net: a run looks into its state directory for a newer one's token.
    Writer.be_newest = lambda self: None  # type: ignore[method-assign]


def _no_hold_back() -> None:
    """A resumed shard takes itself for the newest: Redis seems to have no offsets beyond its own."""
    from flows.readmodel.store import Store

    reached = Store.reached

    def nothing(self: Store, shard: int) -> tuple[bytes | None, bool]:
        raw, is_filling = reached(self, shard)
        if raw is not None:
            _, version = msgspec.msgpack.decode(raw, type=tuple[dict[str, int], int])
            raw = msgspec.msgpack.encode(({}, version))
        return raw, is_filling

    Store.reached = nothing  # type: ignore[method-assign]


def _kafka_first(trap: Trap) -> None:
    """Redis gets its slices when Kafka has confirmed what they say."""
    from flows.publishing.kafka_writer import OutgoingKafka
    from flows.publishing.trust import Trust
    from flows.readmodel.store import Store

    def believe(self: Trust) -> None:
        self.is_compared = True

    # Its second net: a resumed run finds out that Kafka is ahead of Redis.
    Trust.compare = believe  # type: ignore[method-assign]

    write, flush = Store.write_slices, OutgoingKafka.flush
    waiting: list[tuple[Store, list[Any]]] = []

    def wait(self: Store, slices: list[Any]) -> None:
        waiting.append((self, slices.copy()))
        slices.clear()

    Store.write_slices = wait  # type: ignore[method-assign]

    def late(self: OutgoingKafka) -> None:
        flush(self)
        trap.passes("after the flush")
        for one in waiting:
            write(*one)
        waiting.clear()

    OutgoingKafka.flush = late  # type: ignore[method-assign]


def _no_barrier() -> None:
    """A snapshot does not wait for Kafka, whose client takes its time."""
    from flows.publishing import kafka_writer
    from flows.publishing.kafka_writer import OutgoingKafka

    config = kafka_writer.client_config
    kafka_writer.client_config = lambda settings, **more: config(settings, **more) | {"linger.ms": 1500}
    OutgoingKafka.flush = lambda self: None  # type: ignore[method-assign]


def step_clock() -> None:
    """Where the whole process's clock could not be stepped (see clock.c): Python's."""
    path = os.environ.get("CHAOS_CLOCK")
    if path is None or "LD_PRELOAD" in os.environ:
        return
    with Path(path).open("rb") as file:
        page = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    true = time.time_ns
    time.time_ns = lambda: true() + int.from_bytes(page[:8], sys.byteorder, signed=True) * 1_000_000_000


def main() -> int:
    """Run one errand."""
    from flows.processes import worker

    step_clock()
    trap = Trap(Path(os.environ[FOLDER]))
    switch_off(os.environ.get(WITHOUT, ""), trap)
    set_traps(trap)
    return worker.main()


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)  # as the production worker does
