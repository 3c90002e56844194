"""What an adapter knows beside the bytes: whose message it is, what settings say of its sender, ours for theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol
from zoneinfo import ZoneInfo

from operators.adapters.account import Refused
from schemas.codes import BAD_VALUE, MISSING_FIELD, UNKNOWN_ALIAS, is_code, show
from schemas.events import STATUSES

AliasKind = Literal["item", "location", "channel", "uom", "status", "lot"]
ALIAS_KINDS: Final[tuple[AliasKind, ...]] = ("item", "location", "channel", "uom", "status", "lot")
#: of theirs, in UTF-8
ALIAS_BYTES_MAX: Final = 256
#: Names whose answer is kept: enough for a day of one partner, and bounded.
KNOWN_MAX: Final = 100_000


class Aliases(Protocol):
    """Where aliases are looked up: the reference topic, or a table."""

    def ours(self, source: str, kind: str, theirs: str) -> str | None:
        """Our code for theirs, exactly as they write it, or None."""


class NoAliases:
    """No alias at all."""

    def ours(self, source: str, kind: str, theirs: str) -> str | None:
        """Give nothing."""
        return None


@dataclass(frozen=True)
class AliasTable:
    """Aliases by (source, kind, theirs)."""

    rows: Mapping[tuple[str, str, str], str]

    def ours(self, source: str, kind: str, theirs: str) -> str | None:
        """Our code for theirs, or None."""
        return self.rows.get((source, kind, theirs))


@dataclass(frozen=True)
class Context:
    """How messages of one source are read. One serves many messages; what it looked up it keeps."""

    source: str
    #: of dates and times without an offset; None: such ones are refused
    time_zone: ZoneInfo | None = None
    #: microseconds after midnight, of dates without a time; None: such ones are refused
    time_of_day: int | None = None
    #: `only` or `first` by kind of alias
    alias_modes: Mapping[str, str] = field(default_factory=dict)
    aliases: Aliases = field(default_factory=NoAliases)
    #: where goods are if a message names no place; where a transfer goes; whose orders they are
    location: str | None = None
    to_location: str | None = None
    channel: str | None = None
    #: UTC microseconds: what moved before is in a count; None: so is all that only a snapshot of a database shows
    counted_at: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: a model of the kind's own, or None: the kind's default
    mapping: Any = None
    _known: dict[tuple[str, str], str] = field(default_factory=dict, repr=False, compare=False)

    def ours(self, kind: AliasKind, theirs: str, what: str = "") -> str:
        """Our code for theirs; Refused with unknown_alias if there is none, missing_field if theirs is empty.

        Theirs is exact but for padding. Where the source's mode is `first`, a code is taken as ours without an alias.
        """
        known = self._known.get((kind, theirs))
        if known is not None:
            return known
        stripped = theirs.strip()
        if not stripped:
            raise Refused(MISSING_FIELD, f"{what or kind}: expected {_ARTICLE[kind]}, got nothing")
        if len(stripped.encode("utf-8", "surrogatepass")) > ALIAS_BYTES_MAX:
            raise Refused(BAD_VALUE, f"{what or kind}: expected at most {ALIAS_BYTES_MAX} bytes, got {show(stripped)}")
        ours = self.aliases.ours(self.source, kind, stripped)
        if ours is None:
            takes_theirs = self.alias_modes.get(kind, "only" if kind == "item" else "first") == "first"
            is_ours = stripped in STATUSES if kind == "status" else is_code(stripped)
            if not (takes_theirs and is_ours):
                raise Refused(
                    UNKNOWN_ALIAS,
                    f"{what or kind}: expected {_ARTICLE[kind]} with an alias {self.source}:{kind}:{stripped[:80]}, "
                    f"got {show(stripped)}",
                )
            ours = stripped
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[kind, theirs] = ours
        return ours

    def has(self, kind: AliasKind, theirs: str) -> bool:
        """Is there an alias for it (a code that may be taken as ours is none)?"""
        return self.aliases.ours(self.source, kind, theirs.strip()) is not None

    def place(self, theirs: str, what: str) -> str:
        """Where: what the message names, else the source's location; Refused with missing_field without either."""
        if theirs.strip():
            return self.ours("location", theirs, what)
        if self.location is None:
            raise Refused(
                MISSING_FIELD,
                f"{what}: expected a location, got nothing: the message names none, and sources.{self.source}.location "
                "is not set",
            )
        return self.location


_ARTICLE: Final = {
    "item": "an item",
    "location": "a location",
    "channel": "a channel",
    "uom": "a unit of measure",
    "status": "a status",
    "lot": "a lot",
}
