"""What the steps of one worker process share: settings, what is known, and the connections. One instance a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from flows.runtime.mailbox import Mailbox
from flows.runtime.progress import Progress
from operators import decode
from operators.rules.topology import Topology
from schemas.settings import Settings


def now() -> int:
    """Give the wall clock in UTC microseconds."""
    return time.time_ns() // 1000


def shard_key(shard: int) -> str:
    """Give the Bytewax key of a shard."""
    return f"{shard:04d}"


def desk_key(desk: int) -> str:
    """Give the Bytewax key of a desk, where dead letters are written. They sort behind the shards."""
    return f"desk{desk:02d}"


class KnownCodes(decode.CodeSets):
    """Codes that events may name; replaced as a whole when the topology changes."""

    def __init__(self) -> None:
        super().__init__(frozenset(), frozenset())
        self.topology: Topology | None = None
        #: what is done about variances, as the reference tables pack it
        self.rules = b""

    def update(self, topology: Topology) -> None:
        """Take what is in force now."""
        self.topology = topology
        self.locations = frozenset(topology.locations)
        self.channels = frozenset(topology.channels)


@dataclass(slots=True)
class Run:
    """What a worker process is told at its start."""

    settings: Settings
    token: int = 0
    worker: int = 0
    workers: int = 1
    until_caught_up: bool = False
    #: input partition, named as `flows.kafka.parts` says -> end offset when the run began
    ends: dict[str, int] = field(default_factory=dict)
    #: topic -> Kafka's id of it, which another topic of the same name would not have
    topic_ids: dict[str, str] = field(default_factory=dict)
    #: partitions of topics that were made again since, which recovered state still holds
    ended: tuple[str, ...] = ()
    #: a start from scratch that is not through: the token of the run that began it, and the shards that are left
    scratch: tuple[int, frozenset[int]] | None = None
    #: were there statements or decisions when the run began?
    has_statements: bool = False


class Stop:
    """The wish to end: set by a signal, seen by the sources."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.since = 0.0
        #: what a part of this process died of: of a cluster Bytewax tells only that threads panicked
        self.failure: BaseException | None = None
        #: called with it at once, on the thread that fails: a dataflow to which nothing comes would never look
        self.on_failure: Callable[[BaseException], None] | None = None

    def set(self) -> None:
        """Ask for the end."""
        self.since = time.monotonic()
        self._event.set()

    def fail(self, error: BaseException) -> None:
        """Note what a part of this process died of, and tell who wants to know; may not come back."""
        self.failure = error
        if self.on_failure is not None:
            self.on_failure(error)

    def is_set(self) -> bool:
        """Was the end asked for?"""
        return self._event.is_set()


@dataclass(slots=True)
class Shared:
    """What the threads of one worker share, made at its start.

    Its metrics are not among it: they are a room above this one, and go beside it.
    """

    run: Run
    known: KnownCodes = field(default_factory=KnownCodes)
    progress: Progress = field(default_factory=Progress)
    mailbox: Mailbox = field(default_factory=Mailbox)
    stop: Stop = field(default_factory=Stop)
    #: while catching up: this process still judges statements, and asks how far events are read
    has_statements: bool = False
