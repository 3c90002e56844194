"""What a state directory says of itself: format and version, shards, the newest run, the topics it was made from."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from flows.kafka.identity import Inputs
from flows.storage.membership import Membership
from operators.ledger import FORMATS
from schemas.settings import SettingsError

#: The version that runs, whatever lies in its place on the disk by now.
ENGINE: Final = version("atp-engine")
FACTS = "engine.json"
#: For the engine's user alone.
FOLDER_MODE, FILE_MODE, UMASK = 0o700, 0o600, 0o077
#: The two ways on from state that cannot be used.
RESTORE = "restore state.dir from its backup, or name an empty folder in state.dir and start with --from-scratch"
#: The ways on with what a newer version wrote.
RUN_OTHER = "run that version, or restore what was backed up before the upgrade"


class StateRefused(SettingsError):
    """There is no start with this state directory as it is: what was seen, and what would do."""

    def __init__(self, seen: str, remedy: str) -> None:
        super().__init__(f"{seen}: {remedy}")
        self.seen, self.remedy = seen, remedy


class Scratch(msgspec.Struct):
    """A start from scratch that is not yet through: it goes on whatever dies, without being asked for again."""

    #: of the run that began it: what Redis holds of older runs no longer follows from anything; 0: not yet taken
    token: int
    #: shards that have not yet said everything and removed what is no longer true
    left: list[int]


class Facts(msgspec.Struct, omit_defaults=True):
    """What a state directory says of itself."""

    format: int
    shards: int
    token: int = 0
    #: the topics it was made from; None: not yet, or by a version that did not say
    inputs: Inputs | None = None
    #: its first epoch was not yet over when this was written
    is_first: bool = False
    scratch: Scratch | None = None
    #: of which cluster's state it holds a part; None: all of it
    cluster: Membership | None = None
    #: the version of the engine that wrote it last; empty: one that did not say
    engine: str = ""

    def unread(self) -> str:
        """Say what keeps this version from reading the state; empty: it can."""
        if self.format in FORMATS:
            return ""
        return (
            f"state of format {self.format}, which {of_version(self.engine)} wrote; this is {of_version(ENGINE)}, "
            f"which reads formats {FORMATS[0]} to {FORMATS[-1]}"
        )


def of_version(engine: str) -> str:
    """Name an engine by its version."""
    return f"atp-engine {engine}" if engine else "another version of atp-engine"


def read_facts(path: Path) -> Facts | None:
    """Read them; None where there are none. StateRefused if they are not what an engine of any version wrote."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateRefused(
            f"state.dir: {path.absolute()} cannot be read ({error.strerror})", "allow this user to, or " + RESTORE
        ) from error
    try:
        return msgspec.json.decode(raw, type=Facts)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # also of another shape
        what = f"is damaged ({error})" if raw else "is empty"
        raise StateRefused(f"state.dir: {path.absolute()} {what}", RESTORE) from error


def write_facts(path: Path, facts: Facts) -> None:
    """Write them, safe on disk when this returns."""
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(msgspec.json.encode(facts))
        file.flush()
        os.fsync(file.fileno())
    temporary.chmod(FILE_MODE)
    give_to_owner(temporary)
    temporary.rename(path)


def give_to_owner(path: Path) -> None:
    """Leave a file that root makes to whoever owns its folder: the engine's user goes on with it."""
    if os.geteuid() != 0:
        return
    with suppress(OSError):  # a file system without owners
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Let nobody else change the facts meanwhile: the supervisor and its workers do."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
