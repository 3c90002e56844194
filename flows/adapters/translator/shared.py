"""What the translator's steps know together. One process, whose dataflow is one thread: no locks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flows.adapters.translating.readers import Reader, reader_of
from flows.runtime.run import Stop
from schemas.settings import Settings

if TYPE_CHECKING:
    from flows.adapters.translator.metrics import TranslatorMetrics


class Lookup:
    """A source's aliases as adapters ask for them; it notes what is asked for in vain."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], str] = {}
        self.missing: set[tuple[str, str]] = set()

    def ours(self, source: str, kind: str, theirs: str) -> str | None:
        """Our code for theirs, or None."""
        ours = self.rows.get((kind, theirs))
        if ours is None:
            self.missing.add((kind, theirs))
        return ours


@dataclass
class Shared:
    """One run of the translator."""

    settings: Settings
    metrics: TranslatorMetrics
    until_caught_up: bool = False
    stop: Stop = field(default_factory=Stop)
    lookups: dict[str, Lookup] = field(default_factory=dict)
    #: sources whose aliases have not yet been read
    unread: set[str] = field(default_factory=set)
    #: partitions that end later than was found at the start, because messages were sent again since
    later_ends: dict[tuple[str, int], int] = field(default_factory=dict)
    _readers: dict[str, Reader] = field(default_factory=dict)

    def lookup(self, source: str) -> Lookup:
        """The aliases of a source."""
        return self.lookups.setdefault(source, Lookup())

    def reader(self, source: str) -> Reader:
        """How its messages are read now."""
        reader = self._readers.get(source)
        if reader is None:
            reader = self._readers[source] = reader_of(self.settings, source, self.lookup(source))
        return reader

    def forget_known(self, source: str) -> None:
        """Aliases of it changed: what its context has looked up is looked up anew."""
        reader = self._readers.get(source)
        if reader is not None:
            self._readers[source] = Reader(replace(reader.context, _known={}), reader.kind)
