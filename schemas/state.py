"""State kept: what one item remembers, location by location. Plain data; `operators.rules` change it.

Everything here is either a *fact* (stored, newest-wins or summed) or an *aggregate* (derived from facts, rebuilt when
the item is read back). Quantities are integers in base UoM x 10^scale, times UTC microseconds.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from schemas.aside import Pasts

#: What orders two words on one thing: (occurred_at, event_id, source), the strings by their bytes.
Moment = tuple[int, str, str]


#: Where an item has nothing of a kind: one mapping for all, never changed. Whoever adds takes `own` of it first.
NOTHING: Mapping[Any, Any] = {}
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def own(known: Mapping[_Key, _Value]) -> dict[_Key, _Value]:
    """Give what may be changed: `known`, or a new one in place of the one that all items share."""
    return {} if known is NOTHING else known  # type: ignore[return-value]


class Cell:
    """Goods of one lot (or of no lot) at one location: the newest counts and the movements since."""

    __slots__ = (
        "count",
        "moves",
        "on_hand",
        "past",
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
        #: None but for a cell that was counted within the window
        self.past: Pasts | None = None


class Place(Cell):
    """One item at one location: the goods of no lot, those of lots, and the claims and supply that name the location.

    One object with its numbers in it: an item has as many as it has locations, and each read from memory counts.
    """

    __slots__ = (
        "expected", "expected_by_day", "hard_reserved", "in_transit", "in_transit_by_day", "is_dirty", "is_shown",
        "lots", "shown_available", "shown_expected", "shown_hard_reserved", "shown_in_transit", "shown_on_hand",
        "shown_quarantined", "shown_soft_allocated", "soft_allocated", "soft_by_day",
    )  # fmt: skip

    def __init__(self) -> None:
        self.on_hand = 0
        self.quarantined = 0
        self.count = None
        self.quarantine_count = None
        self.moves = None
        self.quarantine_moves = None
        self.recorded = 0
        self.quarantine_recorded = 0
        self.past = None
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
        #: the seven figures last published, each beside the one it shows
        self.shown_on_hand = 0
        self.shown_quarantined = 0
        self.shown_soft_allocated = 0
        self.shown_hard_reserved = 0
        self.shown_in_transit = 0
        self.shown_expected = 0
        self.shown_available = 0
        #: was any of them ever published?
        self.is_shown = False
        #: of this run alone: the goods of no lot, or what is shown, changed since the last snapshot
        self.is_dirty = False

    @property
    def shown(self) -> tuple[int, ...]:
        """The seven figures last published, in the order of SHOWN_FIELDS."""
        return tuple([getattr(self, f"shown_{name}") for name in SHOWN_FIELDS])

    @shown.setter
    def shown(self, figures: Sequence[int]) -> None:
        for name, figure in zip(SHOWN_FIELDS, figures, strict=True):
            setattr(self, f"shown_{name}", figure)


POSITION_FIELDS = (
    "on_hand",
    "quarantined",
    "soft_allocated",
    "hard_reserved",
    "in_transit",
    "expected",
    "withheld",
    "available",
)
#: Those that each place keeps as it showed them last: of what is withheld, which few items know, `Withheld` does.
SHOWN_FIELDS = tuple(name for name in POSITION_FIELDS if name != "withheld")
ZEROS = (0,) * len(SHOWN_FIELDS)

#: (occurred_at, event_id and source, lot, quantity), so that they sort as "newest" has it. A reversal's quantity is
#: below zero. Event_id and source are one text with MOMENT_SEPARATOR between, which sorts before what either may hold.
Handling = tuple[int, str, str, int]
MOMENT_SEPARATOR = "\x1f"


class LineAt:
    """One order line at one location: sums of what was allocated and released, and every pick and shipment."""

    __slots__ = (
        "allocated",
        "claimed",
        "deducts_at",
        "has_reversals",
        "margins",
        "picked",
        "picks",
        "released",
        "shipments",
        "shipped",
    )

    def __init__(self, deducts_at: str) -> None:
        #: the location's rule when the line was first seen there; later changes do not touch it
        self.deducts_at = deducts_at
        self.allocated = 0
        self.released = 0
        #: sums of picks and shipments, of each lot at least 0
        self.picked = 0
        self.shipped = 0
        self.picks: list[Handling] = NO_HANDLINGS
        self.shipments: list[Handling] = NO_HANDLINGS
        #: aggregate: the hard reservation that the place holds for it now
        self.claimed = 0
        #: aggregate: is any of the picks and shipments a reversal?
        self.has_reversals = False
        #: in memory alone: of a long line with picks and shipments `margins.Margins`, with reversals `lines.Sums`
        self.margins: Any = None


#: of a line at a location where nothing was picked or shipped yet; never changed
NO_HANDLINGS: list[Handling] = []


class Cancellations:
    """What was said of giving up an order line, whole or in part, and of taking it up again."""

    __slots__ = ("cut", "parts", "word")

    def __init__(self) -> None:
        #: the newest order_cancelled without a quantity or order_reopened; which of the two, `Line.cancelled` says
        self.word: Moment | None = None
        #: the partial cancellations that are newer than the newest order_placed, oldest first
        self.parts: list[tuple[Moment, int]] = []
        #: aggregate: their sum
        self.cut = 0


class Line:
    """One order line of one item."""

    __slots__ = (
        "at",
        "cancellations",
        "cancelled",
        "channel",
        "claimed",
        "demand",
        "expires_at",
        "is_dirty",
        "lapsed",
        "last_at",
        "location",
        "placed",
        "requested_at",
    )

    def __init__(self) -> None:
        self.demand = 0
        self.placed: Moment | None = None
        self.location = ""
        self.channel = ""
        self.expires_at: int | None = None
        self.requested_at: int | None = None
        self.cancelled = False
        #: None while nothing of it was ever cancelled or reopened, as with most
        self.cancellations: Cancellations | None = None
        #: expires_at was reached when we last looked
        self.lapsed = False
        self.last_at = 0
        self.at: dict[str, LineAt] = {}
        #: aggregate: the soft claim that is held for it now: quantity, location, channel, day
        self.claimed: tuple[int, str, str, int | None] | None = None
        #: of this run alone: changed since the last snapshot, and in its item's `dirty_lines`
        self.is_dirty = False


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
    #: the newest of receipt_expected and receipt_cancelled
    word: Moment | None = None
    last_at: int = 0
    #: the receipt_id of the order that it is a part of, as its newest receipt_expected says; "": of none
    part_of: str = ""
    #: its newest receipt_expected where `word` is a cancellation
    announced: Moment | None = None


class Withheld:
    """How much of an item at one location is not to be promised."""

    __slots__ = ("shown", "total", "words")

    def __init__(self) -> None:
        #: source -> its newest word and the quantity
        self.words: dict[str, tuple[Moment, int]] = {}
        #: aggregate: the sum over sources
        self.total = 0
        #: the figure last published
        self.shown = 0


class Rare:
    """What few items have beside the rest, so that the others need not have room for it."""

    __slots__ = ("best_before", "doubtful", "judged", "lot_words", "parts", "variances", "withheld")

    def __init__(self) -> None:
        #: lot -> the newest word on the last day that it may be sold, in days since 1970 (None: it has none)
        self.best_before: dict[str, tuple[Moment, int | None]] = {}
        #: by location
        self.withheld: dict[str, Withheld] = {}
        #: (lot, location or "") -> words on holding it before the newest that still matter
        self.lot_words: dict[tuple[str, str], list[tuple[Moment, bool]]] = {}
        #: rows of open statements in variance, and variances as they stand, both by their keys
        self.judged: dict[str, Any] = {}
        self.variances: dict[str, Any] = {}
        # aggregates
        #: (receipt id, location) of an order with parts -> what they count for, and what was received of them
        self.parts: dict[tuple[str, str], tuple[int, int]] = {}
        #: order lines that claim more than they may, or were placed again after they were cancelled
        self.doubtful: dict[tuple[str, str], Line] = {}


class Chain:
    """Where an item's trail stands (operators/trail.py); moments in UTC microseconds."""

    __slots__ = ("at", "is_dirty", "levels", "number", "records_at", "since_records", "topology_at")

    def __init__(self) -> None:
        #: the number of its newest group, and when that was
        self.number = 0
        self.at = 0
        #: by level, when the newest group there was
        self.levels: list[int] = NO_LEVELS
        # of this run alone
        #: when the topology was written down that its newest frame with records names; -1: another frame is due
        self.topology_at = -1
        #: how many groups it had since that frame, and when its group was
        self.since_records = self.records_at = 0
        #: changed since the last snapshot
        self.is_dirty = False


#: of a chain that no level above the first has a group of; never changed
NO_LEVELS: list[int] = [0, 0, 0, 0]


#: What an item may take on before its sums are looked at again: less than two of the largest quantities, so seldom
#: reached, and far below SUM_MAX, so that what was there before need not be known.
ROOM = 1 << 50
#: No sum of an item gets beyond this. A figure is four of them and a safety stock, and has room in 64 bits then.
SUM_MAX = 1 << 60


class Item:
    """All that is known of one item. Keys of the inner mappings are pairs of codes.

    Most items have nothing in most of these: those that are typed as mappings are shared until something is added, and
    a type checker finds whoever adds without taking `own` first. An empty dictionary takes 64 bytes.
    """

    __slots__ = (
        "as_of", "cause", "claims_changed", "code", "correlation_id", "day_shown", "dirty", "dirty_lines", "expiring",
        "has_new_policies", "holds", "is_dirty", "is_first", "is_noted", "is_touched", "lines", "listing", "measure",
        "open_exceptions", "over", "owes_claims", "overrides", "places", "policies", "policy", "published", "rare",
        "receipts", "room", "trail", "transfers", "units", "unlocated", "unlocated_by_day", "unlocated_shown", "wake",
    )  # fmt: skip

    def __init__(self, code: str) -> None:
        self.code = code
        self.places: dict[str, Place] = {}
        self.lines: Mapping[tuple[str, str], Line] = NOTHING
        self.transfers: Mapping[tuple[str, str], Transfer] = NOTHING
        self.receipts: Mapping[tuple[str, str], Receipt] = NOTHING
        #: (lot, location or "") -> (newest word, whether it holds)
        self.holds: Mapping[tuple[str, str], tuple[Moment, bool]] = NOTHING
        #: latest occurred_at applied; -1 while nothing was
        self.as_of = -1
        #: the accepted reference record as MessagePack; None: the item is not known (any more)
        self.policy: bytes | None = None
        #: channel -> accepted channel_items record as MessagePack
        self.overrides: Mapping[str, bytes] = NOTHING
        #: channel -> (atp, by_day) as last handed to the sink
        self.published: dict[str, tuple[int, tuple[int, ...] | None]] = {}
        #: day 0 of the published by_day arrays (days since 1970), -1 where there are none
        self.day_shown = -1
        #: (code, location, reference) -> first seen
        self.open_exceptions: Mapping[tuple[str, str, str], int] = NOTHING
        #: base unit and scale under which it got its state
        self.units: str | None = None
        #: None while nothing is written down of it
        self.trail: Chain | None = None
        #: None while it has nothing of the kind
        self.rare: Rare | None = None
        # aggregates
        #: lines whose soft claim will lapse
        self.expiring: set[tuple[str, str]] | None = None
        #: (kind, id, location) of transfers and receipts of which more came than was announced
        self.over: Mapping[tuple[str, str, str], Transfer | Receipt] = NOTHING
        #: channel -> soft claims with no location
        self.unlocated: Mapping[str, int] = NOTHING
        self.unlocated_by_day: Mapping[str, dict[int, int]] = NOTHING
        self.unlocated_shown = 0
        # of this run alone
        #: changed since the last snapshot: its own record, its policies, (kind, names) of others (not places and lines)
        self.is_dirty = False
        self.has_new_policies = False
        self.dirty: set[tuple[str, str, str]] | None = None
        self.dirty_lines: list[tuple[str, str]] | None = None
        #: how much may be added before its sums have to be looked at, lest one outgrow 64 bits
        self.room = ROOM
        #: when its first soft claim lapses, as the last snapshot says
        self.wake: int | None = None
        #: in the shard's list of what to write with the next snapshot, of what to evaluate
        self.is_noted = False
        self.is_touched = False
        #: an event was applied to it for the first time, and what is published does not say so yet
        self.is_first = False
        #: order lines whose claims may have changed since they were last published, where they are
        self.claims_changed: set[tuple[str, str]] | None = None
        #: what all of them claim is to be published, in place of what is there
        self.owes_claims = False
        self.cause = ""
        self.correlation_id = ""
        #: what follows from `policy` and `overrides`, when first needed: units of measure; listing, and its policies
        self.measure: object = None
        self.listing: object = None
        self.policies: object = None
