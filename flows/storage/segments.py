"""Sealed layers of state on disk: immutable, checksummed files in `state.dir`/segments/<shard>/.

Written by a background thread (write to a temporary name, fsync, rename, fsync of the folder), so that an epoch never
waits for them; a snapshot names a file only after that. A file that is torn, changed or missing stops the start with
its name: state is never guessed.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

from flows.storage.facts import RESTORE
from flows.storage.layers import LayerError, LayerFiles
from operators.ids import bucket_of
from operators.ledger import join_records
from operators.shard import Kept

Segment = tuple[str, int, int]
#: the folder of what is not sealed yet, beside those of the shards
LAYERS = "layers"
_layer = msgspec.msgpack.Decoder(tuple[dict[str, msgspec.Raw], dict[int, bytes], dict[str, int | None]])
_records = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
_file = msgspec.msgpack.Decoder(list[bytes])
NIL = msgspec.msgpack.encode(None)


class SegmentError(RuntimeError):
    """A sealed file is not what the snapshot says it is."""


class FileTicket:
    """A segment on its way to the disk."""

    def __init__(self, future: Future[Segment]) -> None:
        self._future = future

    def result(self) -> Segment | None:
        """Give the segment once it is safe, None before; raises what went wrong."""
        return self._future.result() if self._future.done() else None


class SegmentFiles:
    """The segment files of all shards of one state directory. One writer thread: the disk is one."""

    def __init__(self, folder: Path, token: int, worker: int = 0) -> None:
        self._folder = folder
        self._run = f"{token:08d}-{worker:02d}"
        self._counter = 0
        #: bytes written since the start
        self.written = 0
        #: what could not be read
        self.failure: SegmentError | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="segments")
        self._layers = LayerFiles(folder / LAYERS, token, worker)
        #: see `LayerFiles`; `sync`: an epoch ends
        self.keep, self.is_recent, self.use = self._layers.keep, self._layers.is_recent, self._layers.use
        self.sync = self._layers.sync

    def read_kept(self, kept: Kept) -> bytes:
        """Read a layer that was not sealed yet, checked."""
        try:
            return self._layers.read(kept)
        except LayerError as error:
            self.failure = SegmentError(str(error))
            raise self.failure from error

    def seal(self, shard: int, layers: list[bytes]) -> FileTicket:
        """Write layers, oldest first, as one file; `result` names it when it is safe."""
        return FileTicket(self._thread.submit(self._write, shard, self._name(), layers))

    def merge(self, shard: int, segments: list[Segment], ids_floor: int, is_oldest: bool) -> FileTicket:
        """Write one file that holds what neighboring ones hold, oldest first, without ids older than the floor."""
        return FileTicket(self._thread.submit(self._merge, shard, self._name(), segments, ids_floor, is_oldest))

    def read(self, shard: int, segment: Segment) -> list[bytes]:
        """Read sealed layers, checked; oldest first."""
        try:
            return self._read(shard, segment)
        except SegmentError as error:
            self.failure = error
            raise

    def _read(self, shard: int, segment: Segment) -> list[bytes]:
        name, size, checksum = segment
        path = self._path(shard) / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SegmentError(f"state file {path} cannot be read ({error}): {RESTORE}") from error
        if len(content) != size or zlib.crc32(content) != checksum:
            raise SegmentError(
                f"state file {path} is damaged (expected {size} bytes with checksum {checksum:08x}, got {len(content)} "
                f"with {zlib.crc32(content):08x}): {RESTORE}"
            )
        return _file.decode(content)

    def retire(self, shard: int, segments: Iterable[Segment]) -> None:
        """Delete files that no committed snapshot names any more."""
        for name, _, _ in segments:
            (self._path(shard) / name).unlink(missing_ok=True)

    def keep_only(self, shard: int, segments: Iterable[Segment]) -> None:
        """Delete what a crash left behind: files the snapshot resumed from does not name."""
        named = {name for name, _, _ in segments}
        folder = self._path(shard)
        if folder.is_dir():
            for path in folder.iterdir():
                if path.name not in named:
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """Wait for what is being written."""
        self._thread.shutdown(wait=True)
        self._layers.close()

    def _name(self) -> str:
        self._counter += 1
        return f"{self._run}-{self._counter:08d}.seg"

    def _path(self, shard: int) -> Path:
        return self._folder / f"{shard:04d}"

    def _merge(self, shard: int, name: str, segments: list[Segment], ids_floor: int, is_oldest: bool) -> Segment:
        layers = [layer for segment in segments for layer in self.read(shard, segment)]
        return self._write(shard, name, [merge_layers(layers, ids_floor, is_oldest)])

    def _write(self, shard: int, name: str, layers: list[bytes]) -> Segment:
        content = msgspec.msgpack.encode(layers)
        folder = self._path(shard)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / (name + ".tmp")
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(folder / name)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.written += len(content)
        return (name, len(content), zlib.crc32(content))


def merge_layers(layers: Iterable[bytes], ids_floor: int, is_oldest: bool) -> bytes:
    """Give one layer that holds what the given ones hold, oldest first, without ids older than the floor.

    `is_oldest`: nothing lies beneath, so what is gone need not be remembered as gone.
    """
    #: the records of an item, or as they came: most items are in one layer alone
    items: dict[str, msgspec.Raw | dict[str, msgspec.Raw]] = {}
    ids: dict[int, list[bytes]] = {}
    wakes: dict[str, int | None] = {}
    for layer in layers:
        layer_items, layer_ids, layer_wakes = _layer.decode(layer)
        for code, raw in layer_items.items():
            known = items.get(code)
            if known is None:
                items[code] = raw
                continue
            if isinstance(known, msgspec.Raw):
                known = items[code] = _records.decode(known)
            known |= join_records(known, _records.decode(raw))
        for bucket, pairs in layer_ids.items():
            if bucket_of(bucket) >= ids_floor:
                ids.setdefault(bucket, []).append(pairs)
        wakes.update(layer_wakes)
    if is_oldest:
        for code, some in items.items():
            if isinstance(some, dict):
                items[code] = _without_gone(some)
            elif NIL in bytes(some):  # somewhere in it, as a record or not
                items[code] = _without_gone(_records.decode(some))
        wakes = {code: due for code, due in wakes.items() if due is not None}
    joined = {bucket: b"".join(pairs) for bucket, pairs in ids.items()}
    return msgspec.msgpack.encode((items, joined, wakes))


def _without_gone(records: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    return {key: raw for key, raw in records.items() if bytes(raw) != NIL}


def named_in(snapshot: bytes) -> tuple[int, list[Segment], list[Kept]]:
    """Give a shard's number and what its snapshot (`Shard.snapshot`) names: sealed files, and places in layer files."""
    _, _, shard, _, _, _, _, sealed, unsealed, *_ = msgspec.msgpack.decode(snapshot)
    kept = [(name, offset, size, checksum) for name, offset, size, checksum in unsealed]
    return shard, [(name, size, checksum) for name, size, checksum in sealed], kept
