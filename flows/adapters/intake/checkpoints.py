"""Keeps how far polling is with a source: one small file, replaced whole, never written in place.

It is stored after Kafka has what it stands for. Killed in between, a page is asked for and sent again, as the same
document.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

import msgspec

from flows.errors import PlainError

VERSION: Final = 1


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far it is. A stored format: fields are added at the end, with a default."""

    version: int
    #: of the settings; another address begins anew
    url: str
    #: the page that comes next, while a round is not at its end
    next: str | None = None
    #: from where on to ask: of finished rounds, and as the round under way has seen it so far
    since: str | None = None
    seen: str | None = None
    #: of the last first page: the server's mark of it, and the SHA-256 of what was sent
    etag: str | None = None
    digest: str | None = None


class CheckpointProblem(PlainError):
    """What is kept cannot be used."""


class Checkpoints:
    """The file of one source, locked for this process alone. CheckpointProblem if it cannot be used."""

    def __init__(self, folder: Path, source: str) -> None:
        #: of the file; without it polling begins anew
        self.path = folder / f"{source}.json"
        self._folder = folder
        self._lock = -1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / f"{source}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise CheckpointProblem(
                f"another atp poll asks {source}: end it, or name another folder in poll.dir"
            ) from None
        except OSError as error:
            self.close()
            raise CheckpointProblem(
                f"poll.dir: {folder} cannot be used ({error}): name another, or make it ours"
            ) from error

    def close(self) -> None:
        """Give it back."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def load(self, url: str) -> Checkpoint:
        """Give what is kept, or the begin if there is nothing, or of another address."""
        try:
            kept = msgspec.json.decode(self.path.read_bytes(), type=Checkpoint)
        except FileNotFoundError:
            return Checkpoint(VERSION, url)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise CheckpointProblem(
                f"{self.path}: expected what atp poll keeps there, got other text ({error}): remove it to ask for "
                "everything again, which counts nothing twice"
            ) from error
        if kept.version != VERSION:
            raise CheckpointProblem(
                f"{self.path}: expected version {VERSION}, got {kept.version}: it was kept by another version of atp"
            )
        return kept if kept.url == url else Checkpoint(VERSION, url)

    def store(self, checkpoint: Checkpoint) -> None:
        """Keep it: on disk when this returns, and never less there than the one before. OSError if it cannot be."""
        fresh = self.path.with_suffix(".json.new")
        with fresh.open("wb") as out:
            out.write(msgspec.json.encode(checkpoint))
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self.path)
        handle = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, handle)
            os.fsync(handle)
