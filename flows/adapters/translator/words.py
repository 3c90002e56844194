"""What the translator's steps pass on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from operators.adapters.account import Fact, Translation
from operators.adapters.remembered import Settled
from operators.adapters.retelling import Again, Became, Retold
from schemas.units import Origin, Refusal

#: Keys of the memory's shards. Fixed for the life of the folder: a key's shard is a number of its hash.
SHARDS = 1024
#: The keys of the steps of which there is one.
ACCOUNTS, SINK = "accounts", "translated"
#: of records of aliases whose key names no source
NOBODY = "?"


@dataclass(slots=True)
class Raw:
    """A raw message, and of one that is sent again what it is to be."""

    source: str
    origin: Origin
    #: lower-case names, as text
    headers: dict[str, str]
    again: Again | None = None
    before: Became | None = None

    @property
    def first(self) -> Origin:
        """Where the message lies that dead letters name: the first of those that are the same one sent again."""
        again = self.again
        if again is None:
            return self.origin
        place = (again.topic, again.partition, again.offset, again.timestamp)
        return Origin(*place, self.origin.key, self.origin.value, self.origin.attempts)


@dataclass(slots=True)
class AliasNews:
    """Records of aliases of one source, oldest first; with `is_read` all are there that were at the start."""

    source: str
    records: list[Origin]
    is_read: bool = False


@dataclass(slots=True)
class Opened:
    """A message was translated as far as it can be without a memory."""

    name: str
    raw: Raw
    retold: Retold
    #: aliases that were looked for in vain: (kind, theirs)
    missing: frozenset[tuple[str, str]]


@dataclass(slots=True)
class ToMemory:
    """A fact on its way to the shard that remembers its key."""

    name: str
    number: int
    source: str
    fact: Fact


@dataclass(slots=True)
class FromMemory:
    """What the fact became."""

    name: str
    number: int
    settled: Settled


class Waiting(msgspec.Struct, array_like=True):
    """A raw message that some of whose lines wait for aliases. Stored: fields are added at the end."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    missing: list[tuple[str, str]]
    #: header of the account
    became: bytes


@dataclass(slots=True)
class Accounted:
    """All that a message became."""

    raw: Raw
    whole: Translation
    #: what is sent now: (type, body)
    output: list[dict[str, Any]]
    refusals: list[Refusal]
    became: bytes
    missing: frozenset[tuple[str, str]]


@dataclass(slots=True)
class TryAgain:
    """An alias came for which a message waited."""

    source: str
    waiting: Waiting


@dataclass(slots=True)
class AliasRefused:
    """A record of an alias that cannot be used."""

    refusal: Refusal


@dataclass(slots=True)
class Ready:
    """The aliases of a source are read."""

    source: str
