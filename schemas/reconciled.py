"""What reconciling keeps and passes on: rows that differ, variances as they stand, and the words between its parts.

    statements source ──Rows, CloseStatement, VerdictFell, Decided──► shards ──Reported──► sink ──► Kafka
            ▲                                                                                │
            └──────────────────────────────── Tally (inventory.statements.tallies) ◄─────────┘

Quantities are integers in base UoM x 10^scale, times UTC microseconds. Arrays here are storage formats.
"""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.stated import Stated
from schemas.statements import MEASURES
from schemas.units import Origin

#: the measure of a promise_stated, and where it stands behind those of a stock_stated
ATP = "atp"
ALL_MEASURES = (*MEASURES, ATP)


class Evidence(msgspec.Struct, array_like=True, gc=False):
    """A unit that explains a variance, by where its message stands in Kafka."""

    topic: str
    partition: int
    offset: int
    source: str
    event_id: str
    line_id: str = ""


class Judged(msgspec.Struct, array_like=True, gc=False):
    """A row of an open statement that is in variance, until the verdict.

    `place`: its location or channel. Figures by measure: only of those that were compared.
    """

    source: str
    statement_id: str
    place: str
    lot: str
    as_of: int
    #: the row's Kafka timestamp; of an absent row that of the statement's end
    recorded_at: int
    theirs: dict[str, int]
    ours: dict[str, int]
    #: measures whose difference is beyond the tolerance
    differing: list[str]
    is_absent: bool = False
    causes: dict[str, str] = {}
    evidence: dict[str, list[Evidence]] = {}
    #: by the engine's clock; 0: by a version that did not keep it
    judged_at: int = 0


class Standing(msgspec.Struct, array_like=True, gc=False):
    """A variance as it stands under its key."""

    id: str
    source: str
    statement_id: str
    place: str
    lot: str
    measure: str
    as_of: int
    ours: int
    theirs: int
    cause: str
    evidence: list[Evidence]
    #: what the rules made of it: report, hold, ask, correct; "": nothing, of a rejected statement
    action: str
    state: str
    decided_by: str
    reason: str
    first_seen: int
    last_seen: int
    #: the difference up to which it agrees
    tolerance: str = "0"
    #: it agrees up to so many percent of ours as well, as text of a fraction
    tolerance_percent: str = "0"
    #: when it was first held without a break; 0: it is not
    held_since: int = 0

    @property
    def difference(self) -> int:
        """Theirs less ours."""
        return self.theirs - self.ours

    @property
    def is_live(self) -> bool:
        """Does it still follow what becomes known of ours?"""
        return self.state in ("open", "held")


class Rules(msgspec.Struct, array_like=True, tag=10):
    """The accepted records of inventory.reconciliation, as `ReferenceTables.pack_reconciliation` gives them."""

    packed: bytes


class Rows(msgspec.Struct, array_like=True, tag=6):
    """Rows of statements that are due, of items of one shard."""

    rows: list[Stated]
    #: as_of of the first message of each one's statement: an id that is used anew is another statement
    born: list[int]


class CloseStatement(msgspec.Struct, array_like=True, tag=7):
    """All rows of a statement are judged: find what was not stated, and name causes."""

    source: str
    statement_id: str
    as_of: int
    #: Kafka timestamp of its end
    ended_at: int
    #: codes that the start named; None: all locations
    locations: list[str] | None
    #: what is not stated is 0
    is_whole: bool
    #: 1: all rows are judged, count them; 2: all that was announced is there, so find what was not stated
    round: int
    born: int
    #: rows that were refused before a shard saw them, each by item, place and lot with spaces between
    refused: list[str] = []


class UnitsFound(msgspec.Struct, array_like=True, tag=11):
    """Units of items in variance, read again: of the day before and after the statement's moment."""

    source: str
    statement_id: str
    #: as `Unit.values` gives each
    units: list[Any]
    #: all of them are there: causes can be named
    is_last: bool
    #: promises that were sent: item, channel, atp, the one sent before, when
    sent: list[tuple[str, str, int, int | None, int]] = []
    #: promises that were sent since those that agree must have been sent: item, channel, when first
    anew: list[tuple[str, str, int]] = []
    #: of the last: all units of these days were read; else nobody knows what the others did
    is_whole: bool = True
    #: other statements that the units were read for as well: source, statement_id
    also: list[tuple[str, str]] = []


class VerdictFell(msgspec.Struct, array_like=True, tag=8):
    """The verdict on a statement: from here on its variances stand."""

    source: str
    statement_id: str
    as_of: int
    is_accepted: bool


class Decided(msgspec.Struct, array_like=True, tag=9):
    """What a person decided on a variance."""

    key: str
    item: str
    id: str
    decision: str
    decided_by: str
    reason: str
    decided_at: int
    origin: Origin


class Tally(msgspec.Struct, array_like=True):
    """What one shard has found of one statement so far, in all: so a repeat is harmless."""

    run: int
    shard: int
    source: str
    statement_id: str
    agreed: int = 0
    in_variance: int = 0
    not_compared: int = 0
    refused: int = 0
    duplicates: int = 0
    conflicts: int = 0
    #: which round of closing it answers: causes of rows of these items wait for their units
    round: int = 0
    wanted: list[str] = []
    #: "item:channel" of promises in variance: of what was sent for these
    promises: list[str] = []
    #: as_of of the first and of the last of their rows
    span: tuple[int, int] = (0, 0)
    #: what follows is there once it was closed
    is_closed: bool = False
    absent: int = 0
    #: measure -> cause -> rows
    causes: dict[str, dict[str, int]] = {}
    #: sum of |difference|, and of those with a cause other than unknown, as texts of fractions in base UoM
    units: str = "0"
    explained: str = "0"
    #: the last as_of of promises that agree; 0: there are none
    promised: int = 0


class Reported(msgspec.Struct, array_like=True):
    """A message for Kafka behind the numbers; `topic` without its prefix."""

    topic: str
    key: str
    value: bytes
    #: by which moment Kafka finds it, in ms; 0: by that at which it is sent
    at_ms: int = 0
