"""Reads which reference records stand for an item: its own, its channels' and those of all locations and channels."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from flows.kafka.reading import read_topics
from operators.reference import ReferenceTables, unpack_topology
from operators.rules.topology import Topology
from schemas.settings import Settings
from schemas.topics import REFERENCE
from schemas.units import Origin

#: locations, channels, items and channel_items, by how their topics are called
KINDS = ("locations", "channels", "items", "channel_items")


@dataclass(slots=True)
class Records:
    """What the reference topics say; records as the engine packs them, each with where it stands."""

    topology: Topology
    #: the item's own; None where it has none
    item: bytes | None = None
    item_at: str = ""
    #: had it a record that was deleted?
    is_deleted: bool = False
    #: channel -> the record of the item in it
    overrides: dict[str, bytes] = field(default_factory=dict)
    override_at: dict[str, str] = field(default_factory=dict)
    channel_at: dict[str, str] = field(default_factory=dict)
    #: what was read of Kafka for it
    records_read: int = 0
    bytes_read: int = 0


def read_records(settings: Settings, item: str) -> Records:
    """Read the reference topics to their ends; KafkaProblem where Kafka does not give them."""
    names = {settings.topic(name): name.removeprefix("inventory.") for name in REFERENCE}
    topics = [name for name in REFERENCE if name.removeprefix("inventory.") in KINDS]
    taken: list[tuple[str, Origin]] = []
    ours, behind = item.encode(), b":" + item.encode()
    records_read = bytes_read = 0
    for message in read_topics(settings, topics):
        records_read += 1
        bytes_read += len(message.value() or b"")
        kind, key = names[message.topic()], message.key() or b""
        if (kind == "items" and key != ours) or (kind == "channel_items" and not key.endswith(behind)):
            continue
        origin = Origin(message.topic(), 0, message.offset(), message.timestamp()[1], message.key(), message.value())
        taken.append((kind, origin))
    found = in_force(taken, item)
    found.records_read, found.bytes_read = records_read, bytes_read
    return found


def in_force(taken: list[tuple[str, Origin]], item: str) -> Records:
    """Judge records as the engine does, and give those that stand."""
    tables = ReferenceTables()
    accepted, refusals, _ = tables.accept(taken, time.time_ns() // 1000, 0)
    refused = {(refusal.origin.topic, refusal.origin.offset) for refusal in refusals}
    records = Records(unpack_topology(tables.pack()))
    for record in accepted:
        if record.item != item:
            continue
        where = record.refusal_origin
        at = f"{where[0]}/{where[1]}@{where[2]}" if where is not None else ""
        if record.channel:
            if record.facts is None:
                records.overrides.pop(record.channel, None)
            else:
                records.overrides[record.channel], records.override_at[record.channel] = record.facts, at
        else:
            records.item, records.item_at, records.is_deleted = record.facts, at, record.facts is None
    for kind, origin in taken:
        if kind == "channels" and (origin.topic, origin.offset) not in refused:
            records.channel_at[(origin.key or b"").decode()] = f"{origin.topic}/{origin.partition}@{origin.offset}"
    return records
