"""The state directory: one engine at a time, one shard count for life, and the token of the last run."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

import msgspec

from flows.belonging import Inputs
from flows.errors import PlainError
from operators.ledger import FORMAT, FORMATS
from schemas.settings import Settings, SettingsError

#: Orphans of a killed supervisor end within a second; a live engine does not.
LOCK_WAIT_S = 10.0
FACTS = "engine.json"


class Busy(PlainError):
    """Another engine runs on this state directory."""


class _Facts(msgspec.Struct, omit_defaults=True):
    format: int
    shards: int
    token: int = 0
    #: the topics it was made from; None: not yet, or by a version that did not say
    inputs: Inputs | None = None


class NewestRun:
    """Which run was the last to take the token over a state directory: read again only where it changed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FACTS
        self._read: tuple[int, int] | None = None
        self._token = 0

    def token(self) -> int:
        """Give its token; 0 where there was none yet."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return 0
        version = (found.st_ino, found.st_mtime_ns)
        if version != self._read:
            self._token = msgspec.json.decode(self._path.read_bytes(), type=_Facts).token
            self._read = version
        return self._token


class StateFolder:
    """Locked from `open` until every process that inherited the lock is gone."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.path: Path = settings.state.dir
        self._lock: IO[str] | None = None

    def open(self) -> None:
        """Make, lock and check it; SettingsError if it belongs to other settings, Busy if it is in use."""
        from bytewax.recovery import init_db_dir

        from flows.worker import recovery_folder

        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "lock").open("a+")
        except OSError as error:
            raise SettingsError(
                f"state.dir: {self.path} cannot be written ({error.strerror}): name a directory that this user may "
                "write, on a local disk"
            ) from error
        self._take_lock()
        facts = self.facts()
        if facts.shards != self._settings.shards or facts.format not in FORMATS:
            raise SettingsError(
                f"shards: {self._settings.shards}, but {self.path} was made with shards={facts.shards} in format "
                f"{facts.format} (this engine reads format {FORMAT}): set shards={facts.shards}, or name an empty "
                "state.dir and replay"
            )
        folder = recovery_folder(self.path)
        if not folder.is_dir():
            fresh = folder.with_suffix(".new")
            fresh.mkdir(exist_ok=True)
            for left in fresh.iterdir():
                left.unlink()
            init_db_dir(  # type: ignore[no-untyped-call]  # Bytewax does not type it
                fresh, self._settings.state.recovery_partitions
            )
            fresh.rename(folder)

    def _take_lock(self) -> None:
        assert self._lock is not None
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Busy(
                        f"state.dir {self.path} is in use by another engine: stop it first, or name another state.dir"
                    ) from None
                time.sleep(0.1)

    @property
    def lock_descriptor(self) -> int:
        """Give the lock's file descriptor, for workers to inherit: the lock lasts as long as any of them."""
        assert self._lock is not None
        return self._lock.fileno()

    def facts(self) -> _Facts:
        """Read what the directory says of itself; of a new one, what it will say."""
        path = self.path / FACTS
        if path.is_file():
            return msgspec.json.decode(path.read_bytes(), type=_Facts)
        return _Facts(FORMAT, self._settings.shards)

    def keep_token(self, token: int, inputs: Inputs | None = None) -> None:
        """Remember the token, and what is read, safe on disk before anything is written with it."""
        facts = self.facts()
        facts.token = token
        facts.format = FORMAT  # what is written from now on, an older engine does not read
        if inputs is not None:
            facts.inputs = inputs
        temporary = self.path / f"{FACTS}.tmp"
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(facts))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self.path / FACTS)

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
