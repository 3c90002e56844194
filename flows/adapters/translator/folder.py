"""The folder in which the translator keeps what it remembers: one process at a time, readable by its user alone."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import IO

from flows.errors import PlainError
from flows.storage.facts import FOLDER_MODE
from flows.storage.recovery_store import RECOVERY, StoreDamage, committed_epoch
from schemas.settings import Settings, SettingsError


class Busy(PlainError):
    """Another translator runs on this folder."""


class TranslatorFolder:
    """Holds the lock from its opening to its end."""

    def __init__(self, settings: Settings) -> None:
        self.path: Path = settings.translator_dir()
        self.name = "translator.dir" if settings.translator.dir else "state.dir"
        self._lock: IO[bytes] | None = None

    @property
    def store(self) -> Path:
        """Where Bytewax keeps its snapshots."""
        return self.path / RECOVERY

    def open(self) -> bool:
        """Take the lock, make what is missing; says whether there is something to go on with.

        SettingsError if the folder cannot be used, Busy if another process does.
        """
        from bytewax.recovery import init_db_dir

        try:
            self.path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            self._lock = (self.path / "lock").open("ab")
        except OSError as error:
            raise SettingsError(
                f"{self.name}: expected a folder that can be written, got {self.path} ({error.strerror or error}): "
                "allow this user to, or name another in translator.dir"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                f"{self.name}: {self.path} is in use by another atp translate: stop it first, or name another folder "
                "in translator.dir"
            ) from None
        try:
            if list(self.store.glob("part-*.sqlite3")):
                epoch = committed_epoch(self.store)
                self._forget_from(epoch or 0)
                return epoch is not None
        except (StoreDamage, sqlite3.Error) as error:
            raise SettingsError(
                f"{self.name}: {error}: restore {self.path} from its backup, or remove it: then all raw messages are "
                "translated again, under the ids that they had"
            ) from None
        fresh = self.store.with_suffix(".new")
        fresh.mkdir(mode=FOLDER_MODE, exist_ok=True)
        for left in fresh.iterdir():
            left.unlink()
        init_db_dir(fresh, 1)  # type: ignore[no-untyped-call]  # Bytewax does not type it
        if self.store.is_dir():
            os.rmdir(self.store)
        fresh.rename(self.store)
        return False

    def _forget_from(self, epoch: int) -> None:
        """Take out what an epoch that never ended had already stored.

        The store does not say which run a snapshot is of. The next run's epoch of that number may not come to all the
        keys; what the dead one had stored of the others would then pass for this one's: facts would be known that no
        account tells of.
        """
        for path in self.store.glob("part-*.sqlite3"):
            with closing(sqlite3.connect(path)) as store, store:
                store.execute("DELETE FROM snaps WHERE snap_epoch >= ?", (epoch,))

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            self._lock.close()
