"""A copy of all that a committed epoch consists of, taken beside a running engine and without its knowledge.

1. A read transaction on every file of Bytewax' recovery store: in write-ahead mode it sees one moment, and holds nobody
   up. Over several files those moments may differ; that is found out, and the cut taken anew.
2. The newest snapshots of the shards name the files of state. A file is deleted only when two committed epochs do not
   name it any more, so it is linked (or copied) before that.
3. Of a file that grows, as much as the snapshots name is safe on disk: it was synced before they were committed.
"""

from __future__ import annotations

import io
import os
import pickle
import shutil
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from flows.storage.facts import FACTS, FOLDER_MODE, RESTORE, Facts, read_facts
from flows.storage.folder import SEGMENTS
from flows.storage.recovery_store import RECOVERY, committed_epoch
from flows.storage.segments import LAYERS, Segment, named_in

#: A cut over several files of the store is taken anew so often before somebody has to look.
TRIES = 20
SHARD_STEP = "atp.shard"


class NoCut(Exception):
    """There is nothing to copy yet, or what is there moved on while it was looked at."""


class Damaged(Exception):
    """A file is not what the snapshots say it is."""


class Piece(NamedTuple):
    """Bytes of a file as a snapshot names them."""

    offset: int
    size: int
    #: CRC-32
    checksum: int


@dataclass(frozen=True, slots=True)
class CutFile:
    """A file as of the cut."""

    #: within the state directory
    path: str
    #: where its bytes can be read
    at: Path
    size: int
    #: it never changes under this name; else it grows
    is_sealed: bool
    #: what the snapshots say of its bytes
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """All that one epoch consists of."""

    epoch: int
    facts: Facts
    #: of the recovery store, which every epoch changes
    store: tuple[CutFile, ...]
    #: sealed segments, and layers that grow
    state: tuple[CutFile, ...]


def take_cut(state: Path, into: Path) -> Cut:
    """Copy what belongs together into an empty folder on the same disk; NoCut where there is nothing (yet)."""
    for _ in range(TRIES):
        if into.exists():
            shutil.rmtree(into)
        into.mkdir(mode=FOLDER_MODE, parents=True)
        try:
            return _take(state, into)
        except FileNotFoundError:
            continue  # two epochs have passed meanwhile: the disk is slow
    raise NoCut(f"{TRIES} times what an epoch consists of was deleted before it could be linked")


def _take(state: Path, into: Path) -> Cut:
    store = _copy_store(state / RECOVERY, into)
    epoch = committed_epoch(into, is_thorough=False)
    if epoch is None:
        raise NoCut("no epoch is committed yet")
    _check_commits(store, epoch)
    sealed, grown = _named(store, epoch)
    files: list[CutFile] = []
    for shard, (name, size, checksum) in sealed:
        path = f"{SEGMENTS}/{shard:04d}/{name}"
        at = _link(state / path, into / f"{shard:04d}-{name}")
        files.append(CutFile(path, at, size, True, (Piece(0, size, checksum),)))
    for name, pieces in grown.items():
        path = f"{SEGMENTS}/{LAYERS}/{name}"
        size = max(piece.offset + piece.size for piece in pieces)
        files.append(CutFile(path, _link(state / path, into / name), size, False, tuple(sorted(pieces))))
    # After the store: a token that is older than the epoch would be doubted, one that is newer is not.
    facts = read_facts(state / FACTS)
    if facts is None:
        raise NoCut(f"{FACTS} is not there yet")
    parts = tuple(CutFile(f"{RECOVERY}/{path.name}", path, path.stat().st_size, False) for path in store)
    return Cut(epoch, facts, parts, tuple(files))


def _copy_store(folder: Path, into: Path) -> list[Path]:
    """Copy the store's files as of (nearly) one moment."""
    paths = sorted(folder.glob("part-*.sqlite3"))
    if not paths:
        raise NoCut("there is no recovery store yet")
    copies: list[Path] = []
    with ExitStack() as stack:
        opened = []
        for path in paths:
            source = stack.enter_context(
                closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None))
            )
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM parts").fetchone()  # from here on it sees this moment
            opened.append(source)
        for path, source in zip(paths, opened, strict=True):
            copy = into / path.name
            with closing(sqlite3.connect(copy)) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")  # one file, whole by itself
            copies.append(copy)
    return copies


def _check_commits(store: list[Path], epoch: int) -> None:
    """What a file of the store has let go of, no other may need: else the moments differ too much."""
    for path in store:
        with closing(sqlite3.connect(path)) as copy:
            newest = copy.execute("SELECT max(commit_epoch) FROM commits").fetchone()[0]
        if newest is not None and newest > epoch:
            raise FileNotFoundError(f"{path.name} is at epoch {newest}, others at {epoch}")


def _named(store: list[Path], epoch: int) -> tuple[list[tuple[int, Segment]], dict[str, list[Piece]]]:
    """Give the sealed files of each shard, and what of each layer file is needed."""
    sealed: list[tuple[int, Segment]] = []
    grown: dict[str, list[Piece]] = {}
    for snapshot in _snapshots(store, epoch):
        shard, segments, kept = named_in(snapshot)
        sealed += [(shard, segment) for segment in segments]
        for name, *piece in kept:
            grown.setdefault(name, []).append(Piece(*piece))
    return sealed, grown


def _snapshots(store: list[Path], epoch: int) -> Iterator[bytes]:
    """Give the snapshot of each shard that a run would resume from."""
    newest: dict[str, tuple[int, bytes | None]] = {}
    for path in store:
        with closing(sqlite3.connect(path)) as copy:
            rows = copy.execute(
                "SELECT state_key, snap_epoch, ser_change FROM snaps WHERE step_id = ? AND snap_epoch < ?",
                (SHARD_STEP, epoch),
            )
            for key, at, raw in rows:
                if key not in newest or newest[key][0] < at:
                    newest[key] = (at, raw)
    for _, raw in newest.values():
        if raw is not None:
            yield _Bytes(io.BytesIO(raw)).load()


class _Bytes(pickle.Unpickler):
    """Bytewax pickles the bytes that it is given: nothing else is expected here, and nothing is imported."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse every class."""
        raise pickle.UnpicklingError(f"expected bytes, got {module}.{name}")


def _link(path: Path, to: Path) -> Path:
    try:
        os.link(path, to)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        shutil.copyfile(path, to)
    return to


def read_part(file: CutFile, offset: int, size: int) -> tuple[bytes, int]:
    """Read some bytes of a file, and their CRC-32; Damaged if they are not what the snapshots name.

    A copy must not take the place of a whole one where a disk has lost or changed a bit.
    """
    with file.at.open("rb") as source:
        source.seek(offset)
        content = source.read(size)
    if len(content) != size:
        raise Damaged(f"state file {file.path} has {len(content)} bytes at {offset}, expected {size}: {RESTORE}")
    view = memoryview(content)
    for piece in file.pieces:
        begin, end = piece.offset - offset, piece.offset - offset + piece.size
        if begin >= 0 and end <= size and zlib.crc32(view[begin:end]) != piece.checksum:
            raise Damaged(f"state file {file.path} is damaged ({piece.size} bytes at {piece.offset}): {RESTORE}")
    return content, zlib.crc32(content)
