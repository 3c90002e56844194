"""What files would become, without Kafka: each is a raw message, and one memory serves them all, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from flows.adapters.translating.aliases import read_aliases
from flows.adapters.translating.readers import reader_of, source_of
from flows.errors import PlainError
from operators.adapters.account import Translation
from operators.adapters.context import NoAliases
from operators.adapters.kinds import translate
from operators.adapters.memory import Dictionary, resolve
from schemas.settings import Settings, SettingsError

#: More than anybody sends in one file, and less than would fill this machine's memory.
FILE_BYTES_MAX = 1_000_000_000


class UnreadableFile(PlainError):
    """A file that went away, or cannot be read."""


class Wishes(NamedTuple):
    """What the command says beside its files."""

    source: str | None = None
    kind: str | None = None
    mapping: str | None = None
    aliases: Path | None = None


class Document(NamedTuple):
    """A file, and what it would become."""

    path: Path
    source: str
    translation: Translation


def documents(settings: Settings, paths: Sequence[Path], wishes: Wishes) -> Iterator[Document]:
    """Give what each file would become, one after the other.

    Without a file of aliases their codes stand for ours, unless the source's settings say otherwise: what Kafka has
    of aliases is not asked. SettingsError tells what is wrong with the command, before anything is given.
    """
    source = source_of(settings, wishes.source)
    aliases = read_aliases(wishes.aliases, source) if wishes.aliases else NoAliases()
    reader = reader_of(
        settings,
        source,
        aliases,
        kind=wishes.kind,
        mapping=wishes.mapping,
        default_mode=None if wishes.aliases else "first",
    )
    for path in paths:
        if not path.is_file():
            raise SettingsError(f"FILE: expected a file, got {path}")
    memory = Dictionary()

    def each() -> Iterator[Document]:
        for path in paths:
            raw = _read(path)
            yield Document(path, source, resolve(translate(raw, reader.context, reader.kind), source, memory))

    return each()


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise UnreadableFile(f"{path}: expected a file of at most {FILE_BYTES_MAX:,} bytes: split it")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read ({error})") from None
