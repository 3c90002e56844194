"""What changed in an epoch, of all shards of a process, in one file that is synced once before the epoch is committed.

A snapshot names each of its layers by file, place, size and checksum, until a segment holds it. Within a snapshot they
would be written again in each epoch, in pages of Bytewax' SQLite: 2,300 writes and six syncs an epoch at 2,500
messages/s (strace), for all of which the source waits.

1. `keep` appends: what is written and not synced, no committed snapshot names.
2. `sync` comes before the last shard's snapshot of an epoch is handed over (`flows/runtime/epoch_end.py`), so that the
   epoch is committed after it.
3. A file is deleted RETIRE_AFTER epochs after no shard of this process names it any more; those of the run that this
   one resumed from, so long after it began: each shard, reached in a run's first epoch, writes again what it had there.
   So all that a committed epoch names is of one run, and what others left, each too short for that, goes at once.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

from flows.storage.facts import FILE_MODE, RESTORE
from operators.shard import RETIRE_AFTER, Kept

#: A file of this size is followed by another: 64 shards write their layers again from two files before, 16 MB at most.
FILE_BYTES = 64 * 1024 * 1024
#: What waits for the disk in memory: enough for one call to be worth it.
WRITE_FROM = 128 * 1024
NAME = re.compile(r"(\d{8,})-\d{2,}-\d{8}\.lay")


class LayerError(RuntimeError):
    """What a snapshot names is not there as it says."""


class LayerFiles:
    """Those of one process. Used by the dataflow's thread alone."""

    def __init__(self, folder: Path, token: int, worker: int = 0, file_bytes: int = FILE_BYTES) -> None:
        self._folder, self._token, self._file_bytes = folder, token, file_bytes
        self._run = f"{token:08d}-{worker:02d}"
        #: bytes written since the start
        self.written = 0
        self._number = 0
        self._name, self._descriptor = "", -1
        #: the two newest files: asked for each layer of each shard at the end of an epoch
        self._recent: tuple[str, ...] = ()
        #: how long the file is with all that waits, and what waits to be written to it
        self._size = 0
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._is_synced = True
        self._syncs = 0
        #: the runs of which shards resumed
        self._resumed: set[int] = set()
        #: file -> the shards that name it
        self._users: dict[str, set[int]] = {}
        #: file -> since which sync nobody names it
        self._unused: dict[str, int] = {}

    def keep(self, layer: bytes) -> Kept:
        """Append a layer; it is safe after the next `sync`."""
        if self._descriptor < 0:
            self._open()
        kept = (self._name, self._size, len(layer), zlib.crc32(layer))
        self._waiting.append(layer)
        self._waiting_bytes += len(layer)
        self._size += len(layer)
        self._is_synced = False
        if self._waiting_bytes >= WRITE_FROM:
            self._write()
        return kept

    def read(self, kept: Kept) -> bytes:
        """Give what a snapshot of an earlier run names; LayerError, naming the file, if it is not there as it says."""
        name, offset, size, checksum = kept
        path = self._folder / name
        self._resumed.add(_run_of(name))
        try:
            with path.open("rb") as file:
                file.seek(offset)
                layer = file.read(size)
        except OSError as error:
            raise LayerError(f"state file {path} cannot be read ({error}): {RESTORE}") from error
        if len(layer) != size or zlib.crc32(layer) != checksum:
            raise LayerError(
                f"state file {path} is damaged (expected {size} bytes with checksum {checksum:08x} at {offset}, got "
                f"{len(layer)} with {zlib.crc32(layer):08x}): {RESTORE}"
            )
        return layer

    def is_recent(self, kept: Kept) -> bool:
        """Is it in one of the two newest files of this run? What is not has to be kept again."""
        return kept[0] in self._recent

    def use(self, shard: int, kept: Iterable[Kept]) -> None:
        """Note what the snapshot of a shard names from now on."""
        names = {name for name, _, _, _ in kept}
        for name, users in self._users.items():
            if name not in names:
                users.discard(shard)
        for name in names:
            self._users.setdefault(name, set()).add(shard)

    def sync(self) -> None:
        """Make safe all that was kept; waits for the disk, if there is anything."""
        if self._is_synced:
            return
        self._write()
        os.fdatasync(self._descriptor)
        self._is_synced = True
        self._syncs += 1
        if self._size >= self._file_bytes:
            os.close(self._descriptor)
            self._descriptor = -1
        self._retire()

    def close(self) -> None:
        """Let go of the file. What is not synced, nothing names."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        self._number += 1
        before, self._name = self._name, f"{self._run}-{self._number:08d}.lay"
        self._recent = (self._name, before) if before else (self._name,)
        self._folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
        self._descriptor = os.open(self._folder / self._name, flags, FILE_MODE)
        self._size = 0
        self._users[self._name] = set()
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # the file is found after a power failure, too
        finally:
            os.close(folder)

    def _write(self) -> None:
        content = memoryview(b"".join(self._waiting))
        self._waiting, self._waiting_bytes = [], 0
        self.written += len(content)
        while content:
            content = content[os.write(self._descriptor, content) :]

    def _retire(self) -> None:
        """Delete what no committed snapshot names."""
        for name, users in list(self._users.items()):
            if users or name == self._name:
                self._unused.pop(name, None)
            elif self._syncs >= self._unused.setdefault(name, self._syncs) + RETIRE_AFTER:
                (self._folder / name).unlink(missing_ok=True)
                del self._users[name], self._unused[name]
        if self._syncs == 1 and self._resumed:
            self._delete_older(self._resumed)
        elif self._syncs == RETIRE_AFTER + 1:
            self._delete_older(set())

    def _delete_older(self, but_of: set[int]) -> None:
        for path in self._folder.iterdir():
            run = _run_of(path.name)
            if 0 <= run < self._token and run not in but_of:
                path.unlink(missing_ok=True)


def _run_of(name: str) -> int:
    """Give the token of the run that wrote a file; -1: it is none of ours."""
    found = NAME.fullmatch(name)
    return int(found[1]) if found is not None else -1
