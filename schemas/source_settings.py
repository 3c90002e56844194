"""What the settings say of one source: what it may send, how its documents are read, how it is asked and told."""

from __future__ import annotations

from typing import Annotated, Final

from schemas.intake_settings import (
    OF_DOCUMENTS,
    SourcePollSettings,
    SourceReceiveSettings,
)
from schemas.push_settings import SourcePushSettings
from schemas.setting_section import Section
from schemas.setting_values import LOCATIONS, NAME, SECOND, TIME_ZONE, TYPES, Window, duration, whole
from schemas.source_values import ALIASES, CODE, MOMENT, TIME_OF_DAY

#: How long a statement waits for events of before its moment, if its source says nothing else.
SETTLE: Final = 600 * SECOND


class SourceSettings(Section):
    """What one source may do. A source that is not named is not bound."""

    dedup_window: Window | None = None
    """In place of the general one."""
    may_send: Annotated[frozenset[str], TYPES] | None = None
    """The types of events that it may send; all if absent."""
    locations: Annotated[frozenset[str], LOCATIONS] | None = None
    """The locations that it may speak for; all if absent."""
    stale_after: Annotated[int, duration("10ms", "400d", "15m")] | None = None
    """Silent for longer, it is reported as `stale_source`."""
    receive: SourceReceiveSettings | None = None
    """What it sends to `atp receive`."""
    poll: SourcePollSettings | None = None
    """What `atp poll` asks it for."""
    push: SourcePushSettings | None = None
    """What `atp push` sets at it."""
    heading_rows: Annotated[int, whole(0, 1000)] = 1
    """Rows at the head of its tables, which each part of a table that is cut for its size begins with."""
    kind: Annotated[str, NAME] | None = None
    """What its raw messages are (`x12`, `edifact` and so on, see docs/connecting.md); else their content says it."""
    mapping: Annotated[str, NAME] | None = None
    """How its raw messages are read: the name of a mapping that comes with `atp`, or a file (TOML)."""
    time_zone: Annotated[str, TIME_ZONE] | None = None
    """Of the times in its documents that have no offset; without it such a line is refused."""
    time_of_day: Annotated[int, TIME_OF_DAY] | None = None
    """Of the dates in its documents that have no time, such as `23:59`; without it such a line is refused."""
    aliases: Annotated[dict[str, str], ALIASES] | None = None
    """`only`: its codes are what `inventory.aliases` says (the default for items); `first`: else they are ours."""
    location: Annotated[str, CODE] | None = None
    """Where the goods of its documents are that name no place."""
    to_location: Annotated[str, CODE] | None = None
    """Where its transfers go that name no destination."""
    channel: Annotated[str, CODE] | None = None
    """Whose orders its orders are; else the partner that they come from."""
    counted_at: Annotated[int, MOMENT] | None = None
    """Of a database: what moved since then is said also where only a snapshot shows it; a count has what was before."""
    settle: Annotated[int, duration("0s", "400d", "10m")] = SETTLE
    """How long after the moment that a statement of it speaks of events of before may still come."""
    document_every: Annotated[int, duration("1s", "400d", "24h")] | None = None
    """With no document of it for longer, one is missing: a metric of `atp translate` and an alert say so."""
    statement_every: Annotated[int, duration("1s", "400d", "24h")] | None = None
    """With no accepted statement of it for longer, one is missing: a metric and an alert say so."""

    def has_documents(self) -> bool:
        """Tell whether anything is said of its documents: then it has a raw topic."""
        return any(getattr(self, name) is not None for name in OF_DOCUMENTS)
