"""What one copy of the state is: of which run and epoch, and every object it consists of. Its form is storage.

A copy is there from the moment its manifest is: that is written last. Objects never change; names tell what they hold,
so that what two copies have in common is there once.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from flows.storage.facts import ENGINE, Facts, of_version

#: Another one for every change that an older engine would misread.
VERSION: Final = 1
MANIFESTS: Final = "manifests"
_name = re.compile(rf"{MANIFESTS}/(\d{{8,}})-(\d{{12,}})\.json").fullmatch


class Part(msgspec.Struct, array_like=True, frozen=True):
    """An object, and where its bytes go in a file."""

    object: str
    offset: int
    size: int
    #: CRC-32 of its bytes, as they stand in the file
    checksum: int


class File(msgspec.Struct, array_like=True, frozen=True):
    """A file of the state directory: its parts in order, without a gap."""

    path: str
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return sum(part.size for part in self.parts)


class Manifest(msgspec.Struct, frozen=True):
    """One copy."""

    version: int
    #: of the engine that wrote it
    engine: str
    epoch: int
    #: when it was taken, microseconds since 1970
    taken_at: int
    facts: Facts
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """All bytes of it."""
        return sum(file.size for file in self.files)

    def objects(self) -> set[str]:
        """Name the objects it consists of."""
        return {part.object for file in self.files for part in file.parts}


class _Head(msgspec.Struct):
    version: int
    engine: str = ""


class OtherVersion(ValueError):
    """A manifest in a form that this engine does not read."""


class Place(NamedTuple):
    """Which copy: the order is that of their ages."""

    token: int
    epoch: int

    @property
    def name(self) -> str:
        """The name of its manifest."""
        return f"{MANIFESTS}/{self.token:08d}-{self.epoch:012d}.json"


def place_of(name: str) -> Place | None:
    """Tell which copy a manifest's name is of; None: it is none of ours."""
    found = _name(name)
    return Place(int(found[1]), int(found[2])) if found is not None else None


def write_manifest(manifest: Manifest) -> bytes:
    """Give a manifest as its object holds it."""
    return msgspec.json.encode(manifest)


def read_manifest(raw: bytes) -> Manifest:
    """Read what `write_manifest` gave; OtherVersion, or a ValueError that says why it cannot be read."""
    try:
        head = msgspec.json.decode(raw, type=_Head)
        if head.version == VERSION:
            return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error
    raise OtherVersion(
        f"a copy in form {head.version}, which {of_version(head.engine)} wrote; this is {of_version(ENGINE)}, which "
        f"reads form {VERSION}"
    )
