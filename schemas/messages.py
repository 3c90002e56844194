"""What flows between the steps: batches in, one outcome a shard and activation out."""

from __future__ import annotations

from typing import Any

import msgspec

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


Inbound = UnitBatch | ItemRecord | TopologyRecord | Republish


class ChannelUpdate(msgspec.Struct, array_like=True, gc=False):
    """A new number for one channel.

    `previous`, `previous_by_day`: what was handed to the sink before (None: nothing). `removed`: the channel does not
    list the item any more. `forced`: to be written although nothing changed.
    """

    channel: str
    atp: int
    previous: int | None
    by_day: tuple[int, ...] | None
    lane: int
    cause: str
    removed: bool = False
    breakdown: bytes | None = None
    previous_by_day: tuple[int, ...] | None = None
    low_stock_threshold: int = 0
    forced: bool = False


class ItemUpdate(msgspec.Struct, array_like=True):
    """All that changed of one item in one activation of its shard."""

    item: str
    as_of: int
    scale: int
    #: day 0 of its by_day arrays (days since 1970), -1 where there are none
    day0: int
    correlation_id: str
    channels: list[ChannelUpdate]
    #: fields of position:<item> that changed; None: gone
    fields: dict[str, int | None]
    #: the whole position: (location, seven figures), None if nothing of it changed
    places: list[tuple[str, tuple[int, ...]]] | None
    unlocated: int = 0
    #: the item is not known any more: nothing of it stays published
    is_gone: bool = False
    #: Kafka timestamp of the oldest event behind it (UTC microseconds); 0 where there is none
    recorded_at: int = 0
    #: does it speak of every channel that lists the item, and of every figure?
    is_whole: bool = False


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
    #: everything asked for to fill an emptied read model is said, with this or before
    filled: bool = False


class SourcesSeen(msgspec.Struct, array_like=True, tag=5):
    """When records of sources that must not fall silent were last seen (recorded_at)."""

    seen: dict[str, int]
