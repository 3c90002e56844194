"""Judge reference records: which are accepted, which wait for another, which are wrong (contract section 2).

A wrong record leaves the older one in force. A record that names a location or channel not (yet) known waits for a
while, because topics are read side by side: at start until all are read, later for the reference grace.
"""

from __future__ import annotations

import zlib
from dataclasses import fields, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

import msgspec
import xxhash

from operators.rules.policy import ItemFacts, OverrideFacts
from operators.rules.reconciliation import REPORT, ReconciliationFacts, contested
from operators.rules.topology import ChannelFacts, LocationFacts, Topology, has_cycle
from schemas.messages import ItemRecord
from schemas.reference import (
    Channel,
    ChannelItem,
    Item,
    Location,
    Reconciliation,
    Record,
    ReferenceError,
    parse_reference,
)
from schemas.units import Origin, Refusal

_encode = msgspec.msgpack.Encoder(enc_hook=str).encode
_tables = msgspec.msgpack.Decoder(
    tuple[dict[str, LocationFacts], dict[str, ChannelFacts]], dec_hook=lambda kind, value: kind(value)
)
_item = msgspec.msgpack.Decoder(ItemFacts, dec_hook=lambda kind, value: kind(value))
_reconciliation = msgspec.msgpack.Decoder(dict[str, ReconciliationFacts], dec_hook=lambda kind, value: kind(value))

#: Fields that came later, each with the default at which it is left out: what says nothing of them is stored in the
#: bytes that it always was, so that an upgrade writes no item's facts anew and no topology has another version.
LATER = {"rounding": "refuse", "unit_value": None, "listing": "all", "min_days_left": 0}
NAMES = {kind: [field.name for field in fields(kind)] for kind in (ItemFacts, OverrideFacts, ChannelFacts)}
LATER_OF = {kind: [name for name in names if name in LATER] for kind, names in NAMES.items()}
#: Stored beside `listed` where the record has `listed: true` in it. `listed` alone is true also where it was not
#: given: it was before channels could ask for it, and stays so.
LISTED_GIVEN = "listed_given"

#: Sizes beyond which a record is refused (docs/tuning.md has what they cost): one more would be bearable, a mistake in
#: a loop would not. Each channel may sell from each location, so their product is what a change of either costs.
LOCATIONS_MAX = 100_000
CHANNELS_MAX = 1_000
PAIRS_MAX = 1_000_000
#: Tables above this are handed on and stored compressed: with 10,000 locations and 4 channels 116 kB instead of 711, in
#: every epoch's snapshot and to every shard of another process.
COMPRESS_FROM = 16 * 1024
#: What MessagePack's array of two begins with, and what compressed tables do not.
PLAIN = 0x92


def packed(facts: object) -> bytes:
    """Give facts, of one record or tables of them, as MessagePack, fractions as text; equal ones as equal bytes."""
    return _encode(_stored(facts) if isinstance(facts, (ItemFacts, OverrideFacts)) else facts)


def unpack_override(raw: bytes) -> OverrideFacts:
    """Give what `packed` was given. Of what an earlier version stored, `listed: true` is taken as not given.

    It may have been either. So an explicit channel lists nothing by mistake; what it is to list it has to be told.
    """
    said = msgspec.msgpack.decode(raw)
    if said.get("listed") and not said.get(LISTED_GIVEN):
        said["listed"] = None
    return msgspec.convert(said, OverrideFacts, dec_hook=lambda kind, value: kind(value))


def common_part(raw: bytes) -> bytes:
    """Give packed facts of an item without what is its own alone, its unit value: what items may share goes by this."""
    if b"unit_value" not in raw:
        return raw
    return packed(replace(_item.decode(raw), unit_value=None))


def _stored(facts: ItemFacts | OverrideFacts | ChannelFacts) -> dict[str, Any]:
    said = {name: getattr(facts, name) for name in NAMES[type(facts)]}
    if isinstance(facts, OverrideFacts):
        said["listed"] = facts.listed is not False
        if facts.listed:
            said[LISTED_GIVEN] = True
    for name in LATER_OF[type(facts)]:
        if said[name] == LATER[name]:
            del said[name]
    return said


@lru_cache(maxsize=4)
def unpack_topology(tables: bytes) -> Topology:
    """All locations and channels; one object for all shards of a process. Its version is its content's."""
    plain = _inflated(tables)
    locations, channels = _tables.decode(plain)
    return Topology(xxhash.xxh3_64_intdigest(plain) >> 1, locations, channels)


def _inflated(tables: bytes) -> bytes:
    return tables if tables[0] == PLAIN else zlib.decompress(tables)


def unpack_reconciliation(raw: bytes) -> dict[str, ReconciliationFacts]:
    """Give what `ReferenceTables.pack_reconciliation` gave, by source."""
    return _reconciliation.decode(raw) if raw else {}


class ReferenceTables:
    """The accepted locations and channels, what is done about variances, and the records that wait for them."""

    def __init__(self, tables: bytes | None = None, reconciliation: bytes = b"") -> None:
        self.locations: dict[str, LocationFacts] = {}
        self.channels: dict[str, ChannelFacts] = {}
        #: by source; apart from the tables, for no promise depends on it
        self.reconciliation = unpack_reconciliation(reconciliation)
        #: has it changed since somebody took it? Whoever hands it on says that it did.
        self.has_new_reconciliation = bool(self.reconciliation)
        if tables is not None:
            self.locations, self.channels = _tables.decode(_inflated(tables))
        self.waiting: list[tuple[str, Origin, int]] = []
        self._changed = False
        self._packed: bytes | None = None
        #: bytes of the tables as they were last packed, before they are compressed
        self.size = 0

    def pack(self) -> bytes:
        """The tables as bytes; equal tables give equal bytes, and the same object while nothing changes."""
        if self._packed is None:
            channels = {code: _stored(facts) for code, facts in sorted(self.channels.items())}
            plain = packed((dict(sorted(self.locations.items())), channels))
            self.size = len(plain)
            self._packed = plain if len(plain) < COMPRESS_FROM else zlib.compress(plain, 1)
        return self._packed

    def pack_reconciliation(self) -> bytes:
        """Give what is done about variances as bytes, empty where nothing is said; equal rules give equal bytes."""
        return packed(dict(sorted(self.reconciliation.items()))) if self.reconciliation else b""

    def accept(
        self, records: list[tuple[str, Origin]], now: int, grace: int
    ) -> tuple[list[ItemRecord], list[Refusal], bool]:
        """Accept or refuse new records and those that wait, until nothing changes any more.

        Returns records for items, refusals, and whether locations or channels changed.
        """
        if not records and all(deadline > now for _, _, deadline in self.waiting):
            return [], [], False  # nothing came that any of them waits for
        accepted: list[ItemRecord] = []
        refused: list[Refusal] = []
        self._changed = False
        # Locations first, then channels: what others name.
        pending = self.waiting + [(kind, origin, now + grace) for kind, origin in records]
        pending.sort(key=lambda entry: _ORDER[entry[0]])
        newest: dict[tuple[str, bytes | None], int] = {}
        superseded: list[tuple[str, Origin]] = []
        while True:
            unresolved: list[tuple[str, Origin, int]] = []
            reasons: dict[int, str] = {}
            for kind, origin, deadline in pending:
                if origin.offset < newest.get((kind, origin.key), -1):
                    superseded.append((kind, origin))  # a newer record of the same key is in force
                    continue
                refusals = len(refused)
                reason = self._accept_one(kind, origin, accepted, refused)
                if reason is None and len(refused) == refusals:
                    newest[kind, origin.key] = origin.offset
                if reason is not None:
                    reasons[len(unresolved)] = reason
                    unresolved.append((kind, origin, deadline))
            if not unresolved or len(unresolved) == len(pending):
                break
            pending = unresolved
        # What waited until it was history may have been wrong all the same.
        for kind, origin in superseded:
            reason = self._missing(_parsed(kind, origin))
            if reason is not None:
                refused.append(Refusal(origin, "bad_value", reason))
        if self._changed:
            self._packed = None
        self.waiting = []
        for index, (kind, origin, deadline) in enumerate(unresolved):
            if deadline <= now:
                refused.append(Refusal(origin, "bad_value", reasons[index]))
            else:
                self.waiting.append((kind, origin, deadline))
        return accepted, refused, self._changed

    def _accept_one(self, kind: str, origin: Origin, accepted: list[ItemRecord], refused: list[Refusal]) -> str | None:
        """None if the record was accepted or refused; else what it waits for."""
        if origin.value is None:
            self._delete(kind, origin, accepted)
            return None
        try:
            record = parse_reference(kind, origin.key, origin.value)
        except ReferenceError as error:
            refused.append(Refusal(origin, getattr(error, "code", "bad_value"), str(error)))
            return None
        if isinstance(record, Location) and self._closes_circle(record, origin, refused):
            return None
        excess = self._excess(record)
        if excess is not None:
            refused.append(Refusal(origin, "bad_value", excess))
            return None
        missing = self._missing(record)
        if missing is not None:
            return missing
        if isinstance(record, Reconciliation):
            self._take_reconciliation(record, origin, refused)
            return None
        where = (origin.topic, origin.partition, origin.offset, origin.timestamp_ms, origin.key, origin.value)
        if isinstance(record, Location):
            self._take_location(record)
        elif isinstance(record, Channel):
            self._take_channel(record)
        elif isinstance(record, Item):
            accepted.append(ItemRecord(record.item, "", packed(item_facts_of(record)), where))
        else:
            accepted.append(ItemRecord(record.item, record.channel, packed(override_facts_of(record)), where))
        return None

    def _excess(self, record: Record) -> str | None:
        """What there would be too much of with the record."""
        locations, channels = len(self.locations), len(self.channels)
        if isinstance(record, Location) and record.location not in self.locations:
            if locations >= LOCATIONS_MAX:
                return f"location: expected at most {LOCATIONS_MAX} locations, got one more ({record.location})"
            name, pairs = "location", (locations + 1) * channels
        elif isinstance(record, Channel) and record.channel not in self.channels:
            if channels >= CHANNELS_MAX:
                return f"channel: expected at most {CHANNELS_MAX} channels, got one more ({record.channel})"
            name, pairs = "channel", locations * (channels + 1)
        else:
            return None
        if pairs <= PAIRS_MAX:
            return None
        return f"{name}: expected at most {PAIRS_MAX} locations x channels, got {pairs} with this one"

    def _missing(self, record: Record) -> str | None:
        """What the record names and nobody knows (yet)."""
        if isinstance(record, Location):
            if record.parent and record.parent not in self.locations:
                return f"parent: expected a location of inventory.locations, got {record.parent}"
            return None
        if isinstance(record, Channel):
            return self._unknown_location(record.locations)
        if isinstance(record, Reconciliation):
            return self._unknown_location(record.locations or ())
        if isinstance(record, ChannelItem) and record.channel not in self.channels:
            return f"channel: expected a channel of inventory.channels, got {record.channel}"
        return self._unknown_location(code for code in record.safety_stock or {} if code != "*")

    def _unknown_location(self, codes: object) -> str | None:
        for code in codes:  # type: ignore[attr-defined]
            if code not in self.locations:
                return f"location: expected a location of inventory.locations, got {code}"
        return None

    def _closes_circle(self, record: Location, origin: Origin, refused: list[Refusal]) -> bool:
        parent = record.parent
        if not parent or not has_cycle(record.location, parent, self.locations):
            return False
        refused.append(Refusal(origin, "bad_value", f"parent: expected no circle, got {parent}, which is beneath it"))
        return True

    def _take_location(self, record: Location) -> None:
        facts = LocationFacts(record.parent or "", record.sellable, record.deducts_at)
        if self.locations.get(record.location) != facts:
            self.locations[record.location] = facts
            self._changed = True

    def _take_channel(self, record: Channel) -> None:
        given = record.model_fields_set
        facts = ChannelFacts(
            locations=tuple(record.locations),
            priority=record.priority,
            buffer_quantity=record.buffer_quantity,
            buffer_percent=_fraction(record.buffer_percent),
            cap=record.cap,
            minimum=record.minimum,
            low_stock_threshold=record.low_stock_threshold if "low_stock_threshold" in given else None,
            horizon_days=record.horizon_days,
            promise_in_transit=record.promise_in_transit,
            protected_quantity=record.protected_quantity,
            max_updates_per_second=(
                float(record.max_updates_per_second) if record.max_updates_per_second is not None else None
            ),
            listing=record.listing,
            min_days_left=record.min_days_left,
        )
        if self.channels.get(record.channel) != facts:
            self.channels[record.channel] = facts
            self._changed = True

    def _take_reconciliation(self, record: Reconciliation, origin: Origin, refused: list[Refusal]) -> None:
        facts = reconciliation_facts_of(record)
        owner = contested(record.source, facts, self.reconciliation, self.locations)
        if owner is not None:
            measure, location, other = owner
            where = "everywhere" if location == "*" else f"at {location}"
            told = f"one source that corrects {measure} {where}, where {other} does; got {record.source} as well"
            refused.append(Refusal(origin, "bad_value", f"actions: expected {told}"))
        elif self.reconciliation.get(record.source) != facts:
            self.reconciliation[record.source] = facts
            self.has_new_reconciliation = True

    def _delete(self, kind: str, origin: Origin, accepted: list[ItemRecord]) -> None:
        code = (origin.key or b"").decode("utf-8", "replace")
        if kind == "locations":
            self._changed |= self.locations.pop(code, None) is not None
        elif kind == "channels":
            self._changed |= self.channels.pop(code, None) is not None
        elif kind == "items":
            accepted.append(ItemRecord(code, "", None))
        elif kind == "reconciliation":
            self.has_new_reconciliation |= self.reconciliation.pop(code, None) is not None
        else:
            channel, _, item = code.partition(":")
            if channel and item:
                accepted.append(ItemRecord(item, channel, None))


def _parsed(kind: str, origin: Origin) -> Record:
    """A record that was read before and is not wrong in itself."""
    assert origin.value is not None, f"a tombstone waits for nothing: {origin}"
    return parse_reference(kind, origin.key, origin.value)


def _fraction(value: Decimal | Fraction | None) -> Fraction | None:
    return None if value is None else Fraction(value)


def item_facts_of(record: Item) -> ItemFacts:
    """The record in the item's own units, exact (the schema refused what is not)."""
    factor = 10**record.scale
    threshold = record.low_stock_threshold
    return ItemFacts(
        base_uom=record.base_uom,
        scale=record.scale,
        conversions=tuple(sorted([(uom, Fraction(worth)) for uom, worth in record.conversions.items()])),
        # At most 22 digits: a Decimal has 28.
        safety_stock=tuple(sorted([(code, int(quantity * factor)) for code, quantity in record.safety_stock.items()])),
        low_stock_threshold=None if threshold is None else int(threshold * factor),
        rounding=record.rounding,
        unit_value=_fraction(record.unit_value),
    )


def override_facts_of(record: ChannelItem) -> OverrideFacts:
    """The record's given values; scaled where the item's scale is known."""
    stock = record.safety_stock
    return OverrideFacts(
        buffer_quantity=_fraction(record.buffer_quantity),
        buffer_percent=_fraction(record.buffer_percent),
        cap=_fraction(record.cap),
        minimum=_fraction(record.minimum),
        low_stock_threshold=_fraction(record.low_stock_threshold),
        protected_quantity=_fraction(record.protected_quantity),
        safety_stock=(None if stock is None else tuple(sorted([(code, Fraction(q)) for code, q in stock.items()]))),
        listed=record.listed if "listed" in record.model_fields_set else None,
    )


def reconciliation_facts_of(record: Reconciliation) -> ReconciliationFacts:
    """The record's values, exact; what is only reported is left out."""
    return ReconciliationFacts(
        tolerance=Fraction(record.tolerance),
        tolerance_percent=Fraction(record.tolerance_percent),
        actions=tuple(sorted((measure, action) for measure, action in record.actions.items() if action != REPORT)),
        locations=None if record.locations is None else tuple(record.locations),
        max_rows_in_variance_percent=Fraction(record.max_rows_in_variance_percent),
        min_rows_percent_of_last=Fraction(record.min_rows_percent_of_last),
    )


_ORDER = {"locations": 0, "channels": 1, "items": 2, "channel_items": 3, "reconciliation": 4}
