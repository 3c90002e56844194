"""Brings the newest copy of the state to this machine, and puts it where an engine goes on from.

1. It is gathered in a folder of its own, each file checked, before any of it counts; what is there already of an
   earlier look is used, so an engine that stands by has little left to fetch.
2. It is put in place so that a crash in between leaves a directory without an epoch, which is taken up anew.
"""

from __future__ import annotations

import os
import shutil
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flows.log import get_log
from flows.remote.manifest import MANIFESTS, File, Manifest, OtherVersion, Part, Place, place_of, read_manifest
from flows.remote.objects import HELP, Missing, Objects, RemoteProblem, open_objects
from flows.storage.facts import FACTS, FOLDER_MODE, StateRefused, give_to_owner, write_facts
from flows.storage.folder import SEGMENTS, StateFolder, tighten
from flows.storage.recovery_store import RECOVERY
from schemas.settings import Settings

log = get_log(__name__)

#: where in the state directory a copy is gathered
INCOMING = "incoming"
#: what the folder held before is kept under names that begin with this
OLDER = "older"
COMPRESSED = ".z"
AT_ONCE = 8
#: Somebody clears older copies away while one is read: then there is a newer one.
TRIES = 5


def copies_in(objects: Objects) -> list[Place]:
    """Which copies are there, the newest first?"""
    places = [place for name in objects.names(MANIFESTS) if (place := place_of(name)) is not None]
    return sorted(places, reverse=True)


def manifest_at(objects: Objects, place: Place) -> Manifest:
    """Read a manifest; Missing if it is gone, RemoteProblem if it cannot be read.

    StateRefused where a version wrote it, or the state that it is of, whose formats this one does not read.
    """
    try:
        manifest = read_manifest(objects.get(place.name))
        unread = manifest.facts.unread()
    except OtherVersion as error:
        unread = str(error)
    except ValueError as error:
        raise RemoteProblem(
            f"state.remote: {place.name} in {objects.address} cannot be read ({error}): remove it, and the copy before "
            f"it is taken; or {HELP}"
        ) from error
    if unread:
        raise StateRefused(
            f"state.remote: {objects.address} holds {unread}",
            "run that version, or name an empty place in state.remote",
        )
    return manifest


def gather(objects: Objects, state: Path) -> Manifest | None:
    """Bring the newest whole copy into the folder beside the state; None where there is none.

    The one before it is taken where an object of it is gone: two engines that clear away at once can do that. Not where
    a newer version wrote it: StateRefused.
    """
    folder = state / INCOMING
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    gone: Missing | None = None
    for _ in range(TRIES):
        for place in copies_in(objects):
            try:
                manifest = manifest_at(objects, place)
                _fetch(objects, manifest, folder)
                return manifest
            except Missing as error:
                gone = error
        if gone is None:
            return None
    assert gone is not None
    raise gone


def take_up(settings: Settings, folder: StateFolder) -> Manifest | None:
    """Put the newest copy in the place of what a state directory holds; None where there is no copy.

    The directory is locked by the caller. RemoteProblem where the place does not answer or a file is not what it should
    be; StateRefused where the copy is of another engine.
    """
    objects = open_objects(settings)
    began = time.monotonic()
    manifest = gather(objects, folder.path)
    if manifest is None:
        return None
    if manifest.facts.shards != settings.shards:
        raise StateRefused(
            f"state.remote: {objects.address} holds state that was made with shards={manifest.facts.shards}, set is "
            f"shards={settings.shards}",
            f"set shards={manifest.facts.shards}, or name an empty place in state.remote",
        )
    _put_in_place(manifest, folder)
    log.info(
        f"took up the state of run {manifest.facts.token}, epoch {manifest.epoch}, from {objects.address}: "
        f"{manifest.size / 1e6:.1f} MB in {time.monotonic() - began:.1f} s",
        kind="remote",
    )
    return manifest


def _fetch(objects: Objects, manifest: Manifest, folder: Path) -> None:
    wanted = {file.path for file in manifest.files}
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if str(path.relative_to(folder)) not in wanted:
            path.unlink()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="remote") as pool:
        for _ in pool.map(lambda file: _fetch_file(objects, file, folder / file.path), manifest.files):
            pass


def _fetch_file(objects: Objects, file: File, path: Path) -> None:
    """Make a file what it should be; what is right of it already stays."""
    there = path.stat().st_size if path.exists() else 0
    is_store = any(part.object.endswith(COMPRESSED) for part in file.parts)
    if is_store:
        there = 0  # each epoch changes it in its middle
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    with path.open("r+b" if there else "wb") as to:
        for part in file.parts:
            if part.offset + part.size <= there:
                to.seek(part.offset)
                if zlib.crc32(to.read(part.size)) == part.checksum:
                    continue
            to.seek(part.offset)
            to.write(_content(objects, part))
        to.truncate(file.size)
        to.flush()
        os.fsync(to.fileno())
    give_to_owner(path)


def _content(objects: Objects, part: Part) -> bytes:
    content = objects.get(part.object)
    if part.object.endswith(COMPRESSED):
        try:
            content = zlib.decompress(content)
        except zlib.error:
            content = b""
    if len(content) != part.size or zlib.crc32(content) != part.checksum:
        raise RemoteProblem(
            f"state.remote: {part.object} in {objects.address} is damaged (expected {part.size} bytes with checksum "
            f"{part.checksum:08x}, got {len(content)} with {zlib.crc32(content):08x}): remove the newest manifest, and "
            f"the copy before it is taken; or {HELP}"
        )
    return content


def _put_in_place(manifest: Manifest, folder: StateFolder) -> None:
    """Move what was gathered to where it belongs, the recovery store last: with it the directory has an epoch."""
    incoming = folder.path / INCOMING
    for older in folder.path.glob(f"{OLDER}-*"):  # one is enough to look at; they would fill the disk
        shutil.rmtree(older, ignore_errors=True)
    folder.put_aside((RECOVERY, SEGMENTS, FACTS), OLDER)
    (incoming / SEGMENTS).mkdir(mode=FOLDER_MODE, exist_ok=True)
    (incoming / SEGMENTS).rename(folder.path / SEGMENTS)
    write_facts(folder.path / FACTS, manifest.facts)
    (incoming / RECOVERY).rename(folder.path / RECOVERY)
    descriptor = os.open(folder.path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    shutil.rmtree(incoming, ignore_errors=True)
    tighten(folder.path)
    folder.survey()
