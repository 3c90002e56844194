"""Copies each committed state to the remote place, in the background of a running engine, and clears away older copies.

1. What is there already is not sent again: sealed segments have names of their own, layers grow by parts.
2. The manifest goes last: a copy that was cut short is none.
3. The two newest copies stay: whoever reads the older of them still finds all of it.
4. A file is held against the checksum of its snapshot before it goes up: no damaged one takes a whole one's place.
5. A run that finds a copy of a newer one writes nothing any more, and removes nothing.
"""

from __future__ import annotations

import shutil
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flows.log import get_log
from flows.remote.cut import Cut, CutFile, NoCut, read_part, take_cut
from flows.remote.manifest import MANIFESTS, VERSION, File, Manifest, Part, Place, place_of, write_manifest
from flows.remote.objects import Objects, open_objects
from flows.remote.taking_up import COMPRESSED, manifest_at
from flows.runtime.run import now
from flows.storage.facts import ENGINE
from schemas.settings import Settings

log = get_log(__name__)

#: where in the state directory a cut is put together
CUTS = "remote-cut"
#: Objects that go up side by side.
AT_ONCE = 4
KEPT_COPIES = 2
FOLDERS = ("segments", "layers", "recovery")
#: How long the end of an engine waits for the copy of what it wrote last.
END_PATIENCE_S = 30.0


class Superseded(Exception):
    """There is a copy of a newer run."""


class Copier:
    """Copies one state directory to one place. One thread."""

    def __init__(self, objects: Objects, state: Path) -> None:
        self._objects, self._state = objects, state
        #: what is there: asked anew for each copy, for a run that this one follows may have cleared away a moment ago
        self._there: set[str] = set()
        #: layer file -> its parts, in order
        self._layers: dict[str, list[Part]] = {}
        #: sealed file -> its one part
        self._sealed: dict[str, Part] = {}
        #: the newest copy that was made here
        self.place: Place | None = None
        #: bytes sent since the start
        self.sent = 0

    def copy(self) -> Manifest | None:
        """Make a copy of what is committed now; None where the newest copy is of this epoch already.

        NoCut: nothing to copy yet. Damaged: the disk has lost or changed something. RemoteProblem: the place does not
        take it. Superseded: of a newer run.
        """
        folder = self._state / CUTS
        try:
            cut = take_cut(self._state, folder)
            place = Place(cut.facts.token, cut.epoch)
            if place == self.place:
                return None
            self._copies(place)
            self._there = {name for beneath in FOLDERS for name in self._objects.names(beneath)}
            manifest = self._send(cut, place)
            self._objects.put(place.name, write_manifest(manifest))
            self.place = place
            self._clear_away(manifest, [one for one in self._copies(place) if one != place])
            return manifest
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _copies(self, place: Place) -> list[Place]:
        """Which copies there are, the oldest first; Superseded if one is of a newer run than `place`."""
        copies = sorted(one for name in self._objects.names(MANIFESTS) if (one := place_of(name)) is not None)
        if copies and copies[-1].token > place.token:
            raise Superseded(f"run {copies[-1].token} has copied its state to {self._objects.address}")
        return copies

    def _send(self, cut: Cut, place: Place) -> Manifest:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="remote") as pool:
            state = list(pool.map(self._send_state, cut.state))
            store = list(pool.map(lambda file: self._send_store(file, place), cut.store))
        return Manifest(VERSION, ENGINE, cut.epoch, now(), cut.facts, tuple(sorted([*state, *store], key=_path)))

    def _send_state(self, file: CutFile) -> File:
        if file.is_sealed:
            part = self._sealed.get(file.path)
            if part is None or part.object not in self._there:
                part = self._sealed[file.path] = self._put(file.path, file, 0, file.size)
            return File(file.path, (part,))
        parts = self._layers.setdefault(file.path, [])
        for part in parts:
            if part.object not in self._there:
                self._put_bytes(part.object, read_part(file, part.offset, part.size)[0])
        end = sum(part.size for part in parts)
        if end < file.size:
            name = f"layers/{Path(file.path).name}/{end:012d}-{file.size:012d}"
            parts.append(self._put(name, file, end, file.size - end))
        return File(file.path, tuple(part for part in parts if part.offset < file.size))

    def _send_store(self, file: CutFile, place: Place) -> File:
        name = f"recovery/{place.token:08d}-{place.epoch:012d}/{file.at.name}{COMPRESSED}"
        content, checksum = read_part(file, 0, file.size)
        self._put_bytes(name, zlib.compress(content, 1))
        return File(file.path, (Part(name, 0, file.size, checksum),))

    def _put(self, name: str, file: CutFile, offset: int, size: int) -> Part:
        content, checksum = read_part(file, offset, size)
        self._put_bytes(name, content)
        return Part(name, offset, size, checksum)

    def _put_bytes(self, name: str, content: bytes) -> None:
        if name in self._there:
            return
        self._objects.put(name, content)
        self._there.add(name)
        self.sent += len(content)

    def _clear_away(self, manifest: Manifest, older: list[Place]) -> None:
        """Remove copies but the newest, and what no copy consists of any more."""
        needed = manifest.objects()
        kept = older[-(KEPT_COPIES - 1) :]
        for one in kept:
            needed |= manifest_at(self._objects, one).objects()
        gone = [one.name for one in older if one not in kept]
        self._objects.delete(gone)
        unneeded = self._there - needed
        self._objects.delete(sorted(unneeded))
        self._there -= unneeded
        names = {file.path for file in manifest.files}
        self._sealed = {path: part for path, part in self._sealed.items() if path in names}
        self._layers = {path: parts for path, parts in self._layers.items() if path in names}


def _path(file: File) -> str:
    return file.path


class RemoteCopies:
    """Copies every so often, from a thread of its own, until it is closed; says how it goes, once a change."""

    def __init__(self, settings: Settings, copier: Copier | None = None) -> None:
        self._every_s = settings.state.remote_every / 1e6
        self._settings = settings
        self._copier = copier
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="remote-copies", daemon=True)
        self._is_away = self._has_told = self._is_last = False
        #: when the newest copy was taken, seconds since 1970; None: none was, by this engine
        self.copied_at: float | None = None
        self.failures = 0

    @property
    def sent_bytes(self) -> int:
        """Bytes sent since the start."""
        return 0 if self._copier is None else self._copier.sent

    def start(self) -> None:
        """Begin, once."""
        if self._thread.ident is None:
            self._thread.start()

    def close(self, is_over: bool = True) -> None:
        """Copy what was committed last, and end; waits for that, but not for ever. `is_over`: no newer run follows."""
        self._is_last = is_over
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(END_PATIENCE_S)

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            if not self._copy():
                return
        if self._is_last:
            self._copy()

    def _copy(self) -> bool:
        """Try once; False where there is no sense in going on."""
        try:
            if self._copier is None:
                self._copier = Copier(open_objects(self._settings), self._settings.state.dir)
            began = time.monotonic()
            manifest = self._copier.copy()
        except NoCut:
            return True
        except Superseded as error:
            log.warning(f"the state is not copied any more: {error}", kind="remote")
            return False
        except Exception as error:  # of the place, or of a disk that is full: the engine is not to suffer from it
            self.failures += 1
            if not self._is_away:
                self._is_away = True
                log.warning(
                    f"the state is not copied: {error}; trying again every {self._every_s:g} s",
                    kind="remote",
                    next="the engine goes on without; until it is copied again, the loss of this disk costs more time",
                )
            return True
        if manifest is not None:
            self.copied_at = manifest.taken_at / 1e6
            if self._is_away or not self._has_told:
                self._is_away, self._has_told = False, True
                log.info(
                    f"the state is copied to {self._settings.state.remote} (epoch {manifest.epoch}, "
                    f"{time.monotonic() - began:.1f} s)",
                    kind="remote",
                )
        return True
