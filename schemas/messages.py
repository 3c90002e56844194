"""What flows between the steps: batches in, one outcome a shard and activation out."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from schemas.reconciled import CloseStatement, Decided, Reported, Rows, Rules, UnitsFound, VerdictFell
from schemas.state import SHOWN_FIELDS
from schemas.units import Refusal, Unit


class UnitBatch(msgspec.Struct, array_like=True, tag=1):
    """The units of one poll of one input partition that belong to one shard.

    `refusals`: messages that could not even be read, so that no unit and no shard follows from them; they travel with
    the batch of any shard. `partition` is empty and `last_offset` -1 where nothing of an input partition is reached.
    """

    partition: str
    last_offset: int
    units: list[Unit]
    refusals: list[Refusal] = []


class ItemRecord(msgspec.Struct, array_like=True, tag=2):
    """A judged record of inventory.items (channel empty) or inventory.channel_items; facts None: a tombstone."""

    item: str
    channel: str
    facts: bytes | None
    refusal_origin: Any = None


class TopologyRecord(msgspec.Struct, array_like=True, tag=3):
    """All accepted locations and channels, for one shard (or, -1, for a process)."""

    tables: bytes
    shard: int = -1


class Republish(msgspec.Struct, array_like=True, tag=4):
    """Publish again what stands: all of it, or one item's, or one channel's."""

    item: str = ""
    channel: str = ""
    cause: str = "republish"
    #: with cause "replay": speak in full of what is touched up to these offsets; of the rest when asked again
    until: dict[str, int] = {}


#: those that concern statements
OfStatements = Rows | Rules | CloseStatement | UnitsFound | VerdictFell | Decided
Inbound = UnitBatch | ItemRecord | TopologyRecord | Republish | OfStatements
#: their types
RECONCILED = (Rows, Rules, CloseStatement, UnitsFound, VerdictFell, Decided)


class ChannelUpdate:
    """A new number for one channel.

    `previous`, `previous_by_day`: what was handed to the sink before (None: nothing). `removed`: the channel does not
    list the item any more. `forced`: to be written although nothing changed.
    """

    __slots__ = (
        "channel",
        "atp",
        "previous",
        "by_day",
        "lane",
        "cause",
        "removed",
        "breakdown",
        "previous_by_day",
        "low_stock_threshold",
        "forced",
    )

    def __init__(
        self,
        channel: str,
        atp: int,
        previous: int | None,
        by_day: tuple[int, ...] | None,
        lane: int,
        cause: str,
        removed: bool = False,
        breakdown: bytes | None = None,
        previous_by_day: tuple[int, ...] | None = None,
        low_stock_threshold: int = 0,
        forced: bool = False,
    ) -> None:
        self.channel = channel
        self.atp = atp
        self.previous = previous
        self.by_day = by_day
        self.lane = lane
        self.cause = cause
        self.removed = removed
        self.breakdown = breakdown
        self.previous_by_day = previous_by_day
        self.low_stock_threshold = low_stock_threshold
        self.forced = forced

    def values(self) -> tuple[Any, ...]:
        """Give all fields in their order: a storage format."""
        return tuple([getattr(self, name) for name in CHANNEL_UPDATE_FIELDS])

    def __reduce__(self) -> tuple[Any, ...]:
        return ChannelUpdate, self.values()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChannelUpdate) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash((self.channel, self.atp))

    def __repr__(self) -> str:
        return f"ChannelUpdate{self.values()!r}"


def channel_update(
    channel: str,
    atp: int,
    previous: int | None,
    by_day: tuple[int, ...] | None,
    lane: int,
    cause: str,
    breakdown: bytes | None,
    previous_by_day: tuple[int, ...] | None,
    low_stock_threshold: int,
    forced: bool,
) -> ChannelUpdate:
    """Give a number for a channel that lists the item. Past the constructor, which would pack and unpack arguments."""
    one: ChannelUpdate = ChannelUpdate.__new__(ChannelUpdate)
    one.channel = channel
    one.atp = atp
    one.previous = previous
    one.by_day = by_day
    one.lane = lane
    one.cause = cause
    one.removed = False
    one.breakdown = breakdown
    one.previous_by_day = previous_by_day
    one.low_stock_threshold = low_stock_threshold
    one.forced = forced
    return one


CHANNEL_UPDATE_FIELDS: tuple[str, ...] = tuple(ChannelUpdate.__slots__)


class ItemUpdate:
    """All that changed of one item in one activation of its shard."""

    __slots__ = (
        "item",
        "as_of",
        "scale",
        "day0",
        "correlation_id",
        "channels",
        "fields",
        "places",
        "unlocated",
        "is_gone",
        "recorded_at",
        "is_whole",
        "is_first",
        "claims",
        "has_all_claims",
    )

    def __init__(
        self,
        item: str,
        as_of: int,
        scale: int,
        day0: int,
        correlation_id: str,
        channels: list[ChannelUpdate],
        fields: dict[str, int | None],
        places: str | None,
        unlocated: int = 0,
        is_gone: bool = False,
        recorded_at: int = 0,
        is_whole: bool = False,
        is_first: bool = False,
        claims: dict[str, str | None] | None = None,
        has_all_claims: bool = False,
    ) -> None:
        self.item = item
        self.as_of = as_of
        self.scale = scale
        #: day 0 of its by_day arrays (days since 1970), -1 where there are none
        self.day0 = day0
        self.correlation_id = correlation_id
        self.channels = channels
        #: fields of position:<item> that changed; None: gone
        self.fields = fields
        #: the whole position as JSON, the figures of each location, without braces; None if nothing changed
        self.places = places
        self.unlocated = unlocated
        #: the item is not known any more: nothing of it stays published
        self.is_gone = is_gone
        #: Kafka timestamp of the oldest event behind it (UTC microseconds); 0 where there is none
        self.recorded_at = recorded_at
        #: does it speak of every channel that lists the item, and of every figure?
        self.is_whole = is_whole
        #: the first event was applied to the item: what channels read says so, also where no number of it changed
        self.is_first = is_first
        #: fields of claims:<item> that changed, as JSON each; None: gone, or (for all of them) that nothing changed
        self.claims = claims
        #: do they take the place of all that is there?
        self.has_all_claims = has_all_claims

    def values(self) -> tuple[Any, ...]:
        """Give all fields in their order: a storage format, and what another worker is sent."""
        return tuple([getattr(self, name) for name in ITEM_UPDATE_FIELDS])

    def __reduce__(self) -> tuple[Any, ...]:
        return ItemUpdate, self.values()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ItemUpdate) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash((self.item, self.as_of))

    def __repr__(self) -> str:
        return f"ItemUpdate{self.values()!r}"


def item_update(item: str, as_of: int, scale: int, day0: int, correlation_id: str, unlocated: int) -> ItemUpdate:
    """Give an update that says nothing yet. Past the constructor, as above."""
    one: ItemUpdate = ItemUpdate.__new__(ItemUpdate)
    one.item = item
    one.as_of = as_of
    one.scale = scale
    one.day0 = day0
    one.correlation_id = correlation_id
    one.channels = []
    one.fields = {}
    one.places = None
    one.unlocated = unlocated
    one.is_gone = False
    one.recorded_at = 0
    one.is_whole = False
    one.is_first = False
    one.claims = None
    one.has_all_claims = False
    return one


ITEM_UPDATE_FIELDS: tuple[str, ...] = tuple(ItemUpdate.__slots__)


class Outgoing:
    """One update on its way to Kafka, and since when it waits."""

    __slots__ = ("shard", "item", "change", "as_of", "correlation_id", "version", "processed_at", "since")

    def __init__(
        self,
        shard: int,
        item: str,
        change: ChannelUpdate,
        as_of: int,
        correlation_id: str,
        version: int,
        processed_at: int,
        since: int,
    ) -> None:
        self.shard = shard
        self.item = item
        self.change = change
        self.as_of = as_of
        self.correlation_id = correlation_id
        self.version = version
        self.processed_at = processed_at
        self.since = since

    def values(self) -> tuple[Any, ...]:
        """Give all fields in their order: a storage format."""
        return tuple([getattr(self, name) for name in OUTGOING_FIELDS])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outgoing) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash((self.item, self.version))

    def __repr__(self) -> str:
        return f"Outgoing{self.values()!r}"


OUTGOING_FIELDS: tuple[str, ...] = tuple(Outgoing.__slots__)


Message = TypeVar("Message", ChannelUpdate, ItemUpdate)


def replace(one: Message, **fields: Any) -> Message:
    """Give a copy with other values for some fields."""
    copy = type(one)(*one.values())
    for name, value in fields.items():
        setattr(copy, name, value)
    return copy


# What a snapshot keeps of these: hooks for msgspec, which knows no class that Cython has compiled.


def to_values(what: Any) -> tuple[Any, ...]:
    """Give what is written of one."""
    values: tuple[Any, ...] = what.values()
    return values


def from_values(kind: type, values: Any) -> Any:
    """Build one from what was written of it."""
    if kind is Outgoing:
        shard, item, change, *others = values
        return Outgoing(shard, item, _change_from(change), *others)
    if kind is ItemUpdate:
        item, as_of, scale, day0, correlation_id, channels, fields, places, *others = values
        if isinstance(places, list):  # of a version that wrote them as (location, seven figures)
            whole = {code: dict(zip(SHOWN_FIELDS, figures, strict=True)) for code, figures in places}
            places = msgspec.json.encode(whole)[1:-1].decode()
        changes = [_change_from(change) for change in channels]
        return ItemUpdate(item, as_of, scale, day0, correlation_id, changes, fields, places, *others)
    return kind(values)


def _change_from(values: list[Any]) -> ChannelUpdate:
    # A compiled field of tuples takes no list.
    fields: list[Any] = [tuple(value) if isinstance(value, list) else value for value in values]
    return ChannelUpdate(*fields)


class ExceptionNote(msgspec.Struct, array_like=True):
    """One exception raised or over."""

    code: str
    item: str
    location: str
    reference: str
    quantities: dict[str, int]
    first_seen: int
    last_seen: int
    is_open: bool
    source: str = ""
    #: why a statement was rejected
    reasons: list[str] = []


class Refused(msgspec.Struct, array_like=True):
    """What could not be used, on its way to where all refusals of a message meet."""

    refusals: list[Refusal]


class Outcome(msgspec.Struct, array_like=True):
    """What one activation of one shard has to say to the sink."""

    shard: int
    #: input partition -> last offset that reached this shard
    reached: dict[str, int]
    updates: list[ItemUpdate]
    refusals: list[Refusal]
    exceptions: list[ExceptionNote]
    #: (outcome, type, source) -> units
    counts: dict[tuple[str, str, str], int] = {}
    ended: bool = False
    #: Kafka timestamps of its oldest and newest event; 0 where there is none
    recorded: tuple[int, int] = (0, 0)
    #: how many requests to say everything, for an emptied read model, are met: what they asked for is said, with this
    #: or before
    filled: int = 0
    #: what reconciling has to write, behind the numbers
    reconciled: list[Reported] = []


class SourcesSeen(msgspec.Struct, array_like=True, tag=5):
    """When records of sources that must not fall silent were last seen (recorded_at)."""

    seen: dict[str, int]
