"""State kept: what one item remembers, location by location. Plain data; `operators.rules` change it.

Everything here is either a *fact* (stored, newest-wins or summed) or an *aggregate* (derived from facts, rebuilt when
the item is read back). Quantities are integers in base UoM x 10^scale, times UTC microseconds.
"""

from __future__ import annotations

from array import array

import msgspec

#: What orders two words on one thing: (occurred_at, event_id, source), the strings by their bytes.
Moment = tuple[int, str, str]


class Cell:
    """Goods of one lot (or of no lot) at one location: the newest counts and the movements since."""

    __slots__ = (
        "count",
        "moves",
        "on_hand",
        "quarantine_count",
        "quarantine_moves",
        "quarantine_recorded",
        "quarantined",
        "recorded",
    )

    def __init__(self) -> None:
        self.on_hand = 0
        self.quarantined = 0
        self.count: Moment | None = None
        self.quarantine_count: Moment | None = None
        #: occurred_at, change, occurred_at, change, ... later than the count and young enough to matter to a later one
        self.moves: array[int] | None = None
        self.quarantine_moves: array[int] | None = None
        #: how much of each journal the last snapshot holds; -1: it holds another journal than this
        self.recorded = 0
        self.quarantine_recorded = 0


class Place:
    """One item at one location: its cells and the claims and supply that name the location."""

    __slots__ = (
        "cell",
        "expected",
        "expected_by_day",
        "hard_reserved",
        "in_transit",
        "in_transit_by_day",
        "lots",
        "shown",
        "soft_allocated",
        "soft_by_day",
    )

    def __init__(self) -> None:
        self.cell = Cell()
        self.lots: dict[str, Cell] | None = None
        # aggregates
        self.hard_reserved = 0
        self.soft_allocated = 0
        #: the part of soft_allocated that is requested for a day (days since 1970), by that day
        self.soft_by_day: dict[int, int] | None = None
        self.in_transit = 0
        self.in_transit_by_day: dict[int, int] | None = None
        self.expected = 0
        self.expected_by_day: dict[int, int] | None = None
        #: the seven figures last published, in the order of POSITION_FIELDS
        self.shown: tuple[int, ...] = ZEROS


POSITION_FIELDS = (
    "on_hand",
    "quarantined",
    "soft_allocated",
    "hard_reserved",
    "in_transit",
    "expected",
    "available",
)
ZEROS = (0,) * len(POSITION_FIELDS)

#: (occurred_at, event_id, lot, quantity)
Handling = tuple[int, str, str, int]


class LineAt(msgspec.Struct, array_like=True, gc=False):
    """One order line at one location: sums of what was allocated and released, and every pick and shipment."""

    #: the location's rule when the line was first seen there; later changes do not touch it
    deducts_at: str
    allocated: int = 0
    released: int = 0
    #: sums of picks and shipments
    picked: int = 0
    shipped: int = 0
    picks: list[Handling] = []
    shipments: list[Handling] = []
    #: aggregate: the hard reservation that the place holds for it now
    claimed: int = 0


class Line(msgspec.Struct, array_like=True, gc=False):
    """One order line of one item."""

    demand: int = 0
    placed: Moment | None = None
    location: str = ""
    channel: str = ""
    expires_at: int | None = None
    requested_at: int | None = None
    cancelled: bool = False
    #: expires_at was reached when we last looked
    lapsed: bool = False
    last_at: int = 0
    at: dict[str, LineAt] = {}
    #: aggregate: the soft claim that is held for it now: quantity, location, channel, day
    claimed: tuple[int, str, str, int | None] | None = None


class Transfer(msgspec.Struct, array_like=True, gc=False):
    """Goods on the way to one destination under one transfer id."""

    shipped: int = 0
    received: int = 0
    closed: bool = False
    eta: int | None = None
    #: the newest transfer_shipped; None while none is known
    word: Moment | None = None
    last_at: int = 0


class Receipt(msgspec.Struct, array_like=True, gc=False):
    """Supply to come to one location under one receipt id."""

    quantity: int = 0
    received: int = 0
    cancelled: bool = False
    eta: int | None = None
    word: Moment | None = None
    last_at: int = 0


class Item:
    """All that is known of one item. Keys of the inner mappings are pairs of codes."""

    __slots__ = (
        "as_of",
        "cause",
        "code",
        "correlation_id",
        "day_shown",
        "dirty",
        "expiring",
        "holds",
        "lines",
        "open_exceptions",
        "over",
        "overrides",
        "places",
        "policy",
        "published",
        "receipts",
        "touched",
        "transfers",
        "unlocated",
        "unlocated_by_day",
        "unlocated_shown",
        "policies",
        "units",
    )

    def __init__(self, code: str) -> None:
        self.code = code
        self.places: dict[str, Place] = {}
        self.lines: dict[tuple[str, str], Line] = {}
        self.transfers: dict[tuple[str, str], Transfer] = {}
        self.receipts: dict[tuple[str, str], Receipt] = {}
        #: (lot, location or "") -> (newest word, whether it holds)
        self.holds: dict[tuple[str, str], tuple[Moment, bool]] = {}
        #: latest occurred_at applied; -1 while nothing was
        self.as_of = -1
        #: the accepted reference record as JSON bytes; None: the item is not known (any more)
        self.policy: bytes | None = None
        #: channel -> accepted channel_items record as JSON bytes
        self.overrides: dict[str, bytes] = {}
        #: channel -> (atp, by_day) as last handed to the sink
        self.published: dict[str, tuple[int, tuple[int, ...] | None]] = {}
        #: day 0 of the published by_day arrays (days since 1970), -1 where there are none
        self.day_shown = -1
        #: (code, location, reference) -> first seen
        self.open_exceptions: dict[tuple[str, str, str], int] = {}
        # aggregates
        #: lines whose soft claim will lapse
        self.expiring: set[tuple[str, str]] | None = None
        #: (kind, id, location) of transfers and receipts of which more came than was announced
        self.over: dict[tuple[str, str, str], Transfer | Receipt] = {}
        #: channel -> soft claims with no location
        self.unlocated: dict[str, int] = {}
        self.unlocated_by_day: dict[str, dict[int, int]] = {}
        self.unlocated_shown = 0
        # of this run alone
        #: what changed since the last snapshot: (kind of record, its names)
        self.dirty: set[tuple[str, str, str]] = set()
        self.touched = False
        self.cause = ""
        self.correlation_id = ""
        self.units: object = None
        self.policies: object = None
