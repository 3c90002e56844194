"""A trap that the harness sets and the engine walks into: at which point, at which pass, and who dies there.

A page of memory that both sides map. The engine's process writes the point's name to a file that it opened at its
start, and only then sends the signal: what stands in that file did happen there.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

#: name -> where it is; the worker's own are passed on its way, the supervisor's at a start
POINTS = {
    "before a slice": "nothing of it left for Redis",
    "slice under way": "sent to Redis, the answer not read",
    "after a slice": "Redis has it, Kafka's client not",
    "after an update": "some of a slice's numbers given to Kafka's client, not confirmed",
    "after a position": "a position given to Kafka's client",
    "before the flush": "Redis has all, Kafka has confirmed nothing since",
    "after the flush": "Redis and Kafka have all, no snapshot yet",
    "before a sink's snapshot": "shards' states may be taken, the barrier not passed",
    "after a sink's snapshot": "some of the epoch's snapshots made",
    "before a shard's snapshot": "inside the snapshot",
    "after a shard's snapshot": "inside the snapshot",
    "after the commit": "the epoch is on disk",
    "layers not synced": "inside the snapshot: layers written, and lost as by a power failure; the epoch not committed",
    "layers synced": "inside the snapshot: layers safe, the epoch not committed",
    "segment not synced": "a segment's bytes written, not safe, not named",
    "segment not in its folder": "a segment renamed, its folder not synced",
    "before a shard resumes": "inside the resume",
    "after a shard resumes": "inside the resume",
    "before a sink resumes": "inside the resume",
    "before joining": "inside the resume: the writer has not spoken to Redis",
    "after joining": "inside the resume: the writer has found its place in Redis",
    "before Kafka's tail": "inside the resume: what Kafka was sent last is not read yet",
    "after Kafka's tail": "inside the resume: what Kafka was sent last is known",
    "after the token": "the supervisor: Redis has given a token, the state directory does not know",
    "token kept": "the supervisor: the token is on disk, no worker knows what to run",
}
NAMES = tuple(POINTS)
OF_SUPERVISOR = frozenset({"after the token", "token kept"})
OF_RESUME = frozenset(name for name, where in POINTS.items() if where.startswith("inside the resume"))

WORKER, GROUP, SUPERVISOR = "worker", "group", "supervisor"
TARGETS = (WORKER, GROUP, SUPERVISOR)

_PAGE = struct.Struct("<BBBxI")
FOLDER = "CHAOS_FOLDER"


class Hit(NamedTuple):
    """A line of the file: what was killed where, by which process."""

    point: str
    target: str
    process: int


class Trap:
    """Both ends of it: `set` is the harness's, `passes` the engine's."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / "trap"
        if not page.exists():
            page.write_bytes(bytes(mmap.PAGESIZE))
        with page.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), _PAGE.size)
        self._hits_path = folder / "hits"
        self._hits = os.open(self._hits_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    # --- the harness's side ------------------------------------------------------------------------------------------

    def set(self, point: str, target: str, passes: int = 1) -> None:
        """Kill the target when this point is passed for so many times."""
        self.clear()
        self._page[: _PAGE.size] = _PAGE.pack(0, NAMES.index(point), TARGETS.index(target), passes)
        self._page[0] = 1

    def clear(self) -> None:
        """Take the trap away."""
        self._page[0] = 0

    def is_set(self) -> bool:
        """Has nobody walked into it yet?"""
        return bool(self._page[0])

    def hits(self) -> list[Hit]:
        """Read what the dying wrote."""
        lines = self._hits_path.read_text("utf-8").splitlines()
        return [Hit(point, target, int(process)) for point, target, process in (line.split("\t") for line in lines)]

    # --- the engine's side -------------------------------------------------------------------------------------------

    def passes(self, point: str, dying: Callable[[], None] | None = None) -> None:
        """Come by this point; die here if it was so wished, after `dying`.

        Whoever takes something along dies himself, also where the target is another: a worker that lived on for the
        milliseconds until it notices that its supervisor is gone could commit what it has just destroyed.
        """
        page = self._page
        if not page[0] or page[1] != NAMES.index(point):
            return
        # Two workers pass a point at once, and one is to die there. Who dies under the lock lets go of it.
        fcntl.flock(self._hits, fcntl.LOCK_EX)
        try:
            is_set, number, target, left = _PAGE.unpack(page[: _PAGE.size])
            if not is_set or number != NAMES.index(point):
                return
            if left > 1:
                page[: _PAGE.size] = _PAGE.pack(1, number, target, left - 1)
                return
            page[0] = 0
            if dying is not None:
                dying()
            os.write(self._hits, f"{point}\t{TARGETS[target]}\t{os.getpid()}\n".encode())
            _kill(TARGETS[target], point in OF_SUPERVISOR, dying is not None)
        finally:
            fcntl.flock(self._hits, fcntl.LOCK_UN)


def _kill(target: str, is_supervisor: bool, takes_along: bool) -> None:
    ours = os.getpid()
    supervisor = ours if is_supervisor else os.getppid()
    if target == GROUP:
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        for process in {supervisor, *map(int, children)} - {ours}:
            os.kill(process, signal.SIGKILL)
    if target == SUPERVISOR:
        os.kill(supervisor, signal.SIGKILL)
    if target != SUPERVISOR or takes_along:
        os.kill(ours, signal.SIGKILL)
