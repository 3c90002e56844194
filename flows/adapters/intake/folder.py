"""A folder in which others leave files: which are finished, whose turn it is, where each goes.

    FOLDER/name          left by others; finished when size and time stayed the same for `settle`
    FOLDER/.taken/name   ours: being sent, or was when we were killed
    FOLDER/done/name     Kafka has all of it
    FOLDER/failed/name   it cannot be sent as it is; `name.reason.txt` beside it says why

Rule 1: a file is in exactly one of them, since it moves by rename alone.
Rule 2: what is taken is out of its writer's reach: another file of the same name is another file.
Rule 3: what was sent goes to `done` only if it is still what was sent; else it is sent again as it is now.
Rule 4: nothing of another's is overwritten. A second `name` in `done` has the begin of its SHA-256 in its name.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from flows.adapters.intake.raw import readable
from flows.errors import PlainError

TAKEN: Final = ".taken"
DONE: Final = "done"
FAILED: Final = "failed"
LOCK: Final = ".atp-pick-up.lock"
REASON: Final = ".reason.txt"
#: Names under which programs write what is not finished.
UNFINISHED: Final = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".swp", ".lock", "~")
NAME_BYTES_MAX: Final = 255


class FolderProblem(PlainError):
    """The folder cannot be used."""


class Seen(NamedTuple):
    """A file as a look sees it: as long as all of this stays, nobody writes."""

    inode: int
    size: int
    changed_at: int


class Waiting(NamedTuple):
    """A look into the folder."""

    ready: list[bytes]
    #: not finished, or not readable yet
    unready: int
    oldest_s: float
    #: (name, why) of what will never be taken
    odd: list[tuple[bytes, str]]


class Folder:
    """One folder, locked for this process alone. FolderProblem if it cannot be used."""

    def __init__(self, path: Path, settle_s: float) -> None:
        self.path, self._settle_s = path, settle_s
        self._root = os.fsencode(path)
        #: name -> as it was first seen so, and when that was; and when the name was first seen at all
        self._looks: dict[bytes, tuple[Seen, float, float]] = {}
        self._lock = -1
        try:
            if not path.is_dir():
                raise FolderProblem(f"expected a folder, got {path}: make it, or name another")
            for name in (TAKEN, DONE, FAILED):
                (path / name).mkdir(exist_ok=True)
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise FolderProblem(f"another atp pick-up works in {path}: end it, or name another folder") from None
        except OSError as error:
            self.close()
            raise FolderProblem(
                f"{path} cannot be used ({error}): files are renamed in it, so it has to be ours to write"
            ) from error

    def close(self) -> None:
        """Give it back."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def place(self, where: str, name: bytes) -> bytes:
        """Give the path of a name in one of the folders."""
        return os.path.join(self._root, os.fsencode(where), name)

    def left_over(self) -> list[bytes]:
        """Name what was taken and not finished: by a process that was killed, or that could not move it."""
        with os.scandir(self.place(TAKEN, b"")) as entries:
            return sorted(os.fsencode(entry.name) for entry in entries)

    def look(self, now_s: float) -> Waiting:
        """Say what is there; `now_s` of a clock that never goes back."""
        ready: list[tuple[int, bytes]] = []
        odd: list[tuple[bytes, str]] = []
        looks: dict[bytes, tuple[Seen, float, float]] = {}
        unready = 0
        for name, told in self._entries():
            if not stat.S_ISREG(told.st_mode):
                if not stat.S_ISDIR(told.st_mode):
                    odd.append((name, "it is no plain file (links are not followed)"))
                continue
            seen = Seen(told.st_ino, told.st_size, told.st_mtime_ns)
            before = self._looks.get(name)
            since, first = (now_s, now_s) if before is None else (before[1] if before[0] == seen else now_s, before[2])
            looks[name] = (seen, since, first)
            if now_s - since < self._settle_s or not os.access(self.place("", name), os.R_OK):
                unready += 1
            else:
                ready.append((told.st_mtime_ns, name))
        self._looks = looks
        oldest = min((first for _, _, first in looks.values()), default=now_s)
        return Waiting([name for _, name in sorted(ready)], unready, now_s - oldest, odd)

    def _entries(self) -> Iterator[tuple[bytes, os.stat_result]]:
        with os.scandir(self._root) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(b".") or name.lower().endswith(tuple(map(os.fsencode, UNFINISHED))):
                    continue
                with contextlib.suppress(FileNotFoundError):  # its writer gave it another name just now
                    yield name, entry.stat(follow_symlinks=False)

    def is_unreadable(self, name: bytes) -> bool:
        """Is it there, and not for us to read?"""
        return not os.access(self.place("", name), os.R_OK) and os.path.lexists(self.place("", name))

    def waits_for_rights(self) -> list[bytes]:
        """Name what is there and cannot be read."""
        return [name for name in self._looks if self.is_unreadable(name)]

    def take(self, name: bytes) -> bool:
        """Make a file ours; False if it is gone, or one of that name is ours already."""
        target = self.place(TAKEN, name)
        if os.path.lexists(target):
            return False
        try:
            os.rename(self.place("", name), target)
        except FileNotFoundError:
            return False
        self._looks.pop(name, None)
        return True

    def finish(self, name: bytes, where: str, mark: str, reason: str = "") -> bytes:
        """Move what is taken to `done` or `failed`; gives the name it has there. OSError if that cannot be.

        `mark`: what tells it from another file of that name, in letters and digits.
        """
        found = name
        if os.path.lexists(self.place(where, name)):
            stem, dot, ending = name.rpartition(b".")
            stem, ending = (stem, dot + ending) if stem and len(ending) < 20 else (name, b"")
            tail = b"-" + mark.encode() + ending
            found = stem[: NAME_BYTES_MAX - len(REASON) - len(tail)] + tail
        if reason:
            # The log has it too: on a full disk the note is less than the file's move.
            note = found[: NAME_BYTES_MAX - len(REASON)] + os.fsencode(REASON)
            with contextlib.suppress(OSError), open(self.place(where, note), "w", encoding="utf-8") as out:
                out.write(f"{readable(os.fsdecode(name))}: {reason}\n")
        # A file of that name and mark is the same file.
        os.replace(self.place(TAKEN, name), self.place(where, found))
        return found


class Read(NamedTuple):
    """A taken file's bytes, and what it was when they were read."""

    raw: bytes
    seen: Seen


def read(path: bytes, bytes_max: int) -> Read | int:
    """Read a file that is no link; its size, where it has more bytes than that. OSError if it cannot be read."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(handle, "rb") as data:
        told = os.fstat(handle)
        if not stat.S_ISREG(told.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        if told.st_size > bytes_max:
            return told.st_size
        raw = data.read(bytes_max + 1)
        if len(raw) > bytes_max:
            return len(raw)
        return Read(raw, seen_of(os.fstat(handle)))


def head_of(path: bytes, bytes_max: int) -> bytes:
    """Read a file's first bytes. OSError if it cannot be read."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as data:
        return data.read(bytes_max)


def seen_of(told: os.stat_result) -> Seen:
    """Give what a look at a file remembers."""
    return Seen(told.st_ino, told.st_size, told.st_mtime_ns)
