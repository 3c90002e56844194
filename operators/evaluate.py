"""The promise step: what of an item has to be published after it changed.

Compares what stands now with what was last handed to the sink, channel by channel and figure by figure; an unchanged
number is not published (contract section 6).
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
import orjson

from operators.position import ITSELF
from operators.rules import exceptions, lanes
from operators.rules.lots import physical
from operators.rules.policy import ItemFacts, OverrideFacts, Policy, policies_of
from operators.rules.promise import less_unlocated, promise
from operators.rules.quantities import UnitsOfMeasure
from operators.rules.topology import Topology
from schemas.messages import ChannelUpdate, ExceptionNote, ItemUpdate
from schemas.state import POSITION_FIELDS, ZEROS, Item

#: causes that hurry nobody: rises and first values go to the bulk lane
UNHURRIED = frozenset({"reference", "day_turn", "republish", "refill"})
DAY = 86_400_000_000

_facts = msgspec.msgpack.Decoder(ItemFacts, dec_hook=lambda kind, value: kind(value))
_override = msgspec.msgpack.Decoder(OverrideFacts, dec_hook=lambda kind, value: kind(value))
FIELD_NAMES = tuple(f":{name}" for name in POSITION_FIELDS)


@lru_cache(maxsize=65536)
def item_facts(raw: bytes) -> ItemFacts:
    """The accepted record; most items share a handful of shapes, so equal bytes give one object."""
    return _facts.decode(raw)


@lru_cache(maxsize=65536)
def override_facts(raw: bytes) -> OverrideFacts:
    """The accepted channel_items record."""
    return _override.decode(raw)


@lru_cache(maxsize=4096)
def units_of(raw: bytes) -> UnitsOfMeasure:
    """The item's units of measure."""
    facts = item_facts(raw)
    return UnitsOfMeasure(facts.base_uom, facts.scale, dict(facts.conversions))


class Row:
    """One channel that lists an item: its policy, and how its number is found."""

    __slots__ = ("allow", "channel", "is_stepwise", "low_stock_threshold", "policy", "sharing")

    def __init__(self, channel: str, policy: Policy, topology: Topology, is_stepwise: bool) -> None:
        self.channel = channel
        self.policy = policy
        self.allow = policy.allow
        self.low_stock_threshold = policy.low_stock_threshold
        self.sharing = tuple(topology.shared[channel])
        #: time-phased, protected or with a safety stock of its own: all of the contract's steps; else a sum
        self.is_stepwise = is_stepwise


class Listing:
    """The channels that list an item under one topology, arranged for one pass over the item's places."""

    __slots__ = ("everywhere", "policies", "rows", "rows_at", "safety")

    def __init__(self, facts: ItemFacts, policies: dict[str, Policy], topology: Topology) -> None:
        self.policies = policies
        self.safety = dict(facts.safety_stock)
        self.everywhere = self.safety.pop("*", 0)
        is_protected = any(policy.protected_quantity for policy in policies.values())
        self.rows: list[Row] = []
        #: location -> rows that sell from it
        self.rows_at: dict[str, list[int]] = {}
        for channel, policy in policies.items():
            own_safety = policy.safety_stock != self.safety or policy.safety_everywhere != self.everywhere
            is_stepwise = bool(is_protected or policy.horizon_days or own_safety)
            if not is_stepwise:
                for location in topology.sells[channel]:
                    self.rows_at.setdefault(location, []).append(len(self.rows))
            self.rows.append(Row(channel, policy, topology, is_stepwise))


class Policies:
    """The policies of items under one topology; items with the same records share them."""

    __slots__ = ("_plain", "has_horizon", "topology")

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._plain: dict[bytes, Listing] = {}
        self.has_horizon = any(facts.horizon_days for facts in topology.channels.values())

    def of(self, item: Item) -> Listing:
        """Give the channels that list the item; none where the item is not known."""
        if item.policy is None:
            return UNLISTED
        if item.overrides:
            known = item.policies
            if isinstance(known, tuple) and known[0] is self:
                return known[1]  # type: ignore[no-any-return]
            facts = item_facts(item.policy)
            overrides = {channel: override_facts(raw) for channel, raw in item.overrides.items()}
            found = Listing(facts, policies_of(facts, overrides, self.topology), self.topology)
            item.policies = (self, found)
            return found
        plain = self._plain.get(item.policy)
        if plain is None:
            facts = item_facts(item.policy)
            plain = self._plain[item.policy] = Listing(facts, policies_of(facts, {}, self.topology), self.topology)
        return plain


UNLISTED = Listing(ItemFacts(), {}, Topology(0, {}, {}))


def evaluate(
    item: Item, policies: Policies, now: int, breakdown: bool, force: str | None = None
) -> tuple[ItemUpdate | None, list[ExceptionNote]]:
    """Bring what is published of an item up to what stands; None where nothing changed.

    `force`: publish again although unchanged: `""` every channel, else that channel alone.
    """
    listing = policies.of(item)
    rows = listing.rows
    today = now // DAY
    found: dict[exceptions.Key, dict[str, int]] = {}
    totals = [0] * len(rows)
    fields = _figures(item, listing, totals, found, force is not None) if item.policy is not None else _withdrawn(item)
    unhurried = item.cause in UNHURRIED
    updates: list[ChannelUpdate] = []
    published = item.published
    for row, total in zip(rows, totals, strict=True):
        channel = row.channel
        days: tuple[int, ...] | None = None
        shown: bytes | None = None
        if row.is_stepwise or breakdown:
            steps = promise(item, channel, listing.policies, policies.topology, today)
            atp = steps.atp[0]
            if row.policy.horizon_days:
                days = tuple(steps.atp)
            if breakdown:
                shown = orjson.dumps(_breakdown(steps))
        else:
            # Steps 1, 2 and 5 for day 0: `totals` is step 1 summed up.
            if item.unlocated:
                total = less_unlocated(total, item.unlocated, channel, row.sharing)
            atp = row.allow(total)
        before = published.get(channel)
        value = (atp, days)
        if before == value and not (force == "" or force == channel):
            continue
        lane = lanes.lane(before, atp, days, row.low_stock_threshold, unhurried)
        if before is None:
            previous, previous_days, forced = None, None, False
        else:
            previous, previous_days = before
            forced = before == value
            if forced:
                lane = lanes.BULK
        updates.append(
            ChannelUpdate(
                channel,
                atp,
                previous,
                days,
                lane,
                item.cause,
                False,
                shown,
                previous_days,
                row.low_stock_threshold,
                forced,
            )
        )
        published[channel] = value
    if len(published) > len(rows):
        _unlist(published, listing.policies, updates)
    if updates:
        item.dirty.add(ITSELF)
    notes = _exceptions(item, found, now) if found or item.open_exceptions else NO_NOTES
    day0 = today if policies.has_horizon and any(days for _, days in published.values()) else -1
    if not updates and not fields and day0 == item.day_shown:
        return None, notes
    if day0 != item.day_shown:
        item.day_shown = day0
        item.dirty.add(ITSELF)
    places = (
        [(code, place.shown) for code, place in item.places.items() if place.shown is not ZEROS] if fields else None
    )
    return (
        ItemUpdate(
            item.code,
            item.as_of,
            units_of(item.policy).scale if item.policy is not None else 0,
            day0,
            item.correlation_id,
            updates,
            fields,
            places,
            item.unlocated_shown,
            item.policy is None,
            is_whole=force == "",
        ),
        notes,
    )


NO_NOTES: list[ExceptionNote] = []


def _unlist(
    published: dict[str, tuple[int, tuple[int, ...] | None]], listed: dict[str, Policy], updates: list[ChannelUpdate]
) -> None:
    """A channel that lists the item no longer gets a last number: 0."""
    for channel in [code for code in published if code not in listed]:
        previous, previous_days = published.pop(channel)
        lane = lanes.CRITICAL if previous else lanes.NORMAL
        updates.append(ChannelUpdate(channel, 0, previous, None, lane, "unlisted", True, previous_by_day=previous_days))


def _figures(
    item: Item, listing: Listing, totals: list[int], found: dict[exceptions.Key, dict[str, int]], everything: bool
) -> dict[str, int | None]:
    """Give the figures that changed, by field; add what may be promised to `totals`, what is wrong to `found`."""
    fields: dict[str, int | None] = {}
    safety, everywhere, rows_at = listing.safety, listing.everywhere, listing.rows_at
    for location, place in item.places.items():
        if place.lots:
            on_hand, quarantined = physical(item, location, place)
        else:
            cell = place.cell
            on_hand, quarantined = cell.on_hand, cell.quarantined
        hard, soft = place.hard_reserved, place.soft_allocated
        free = on_hand - quarantined - hard - soft
        if free < 0 or on_hand < 0 or (hard and hard > on_hand - quarantined):
            exceptions.at_location(found, location, on_hand, quarantined, hard, soft)
        free -= safety.get(location, everywhere) if safety else everywhere
        if free > 0:
            for row in rows_at.get(location, ()):
                totals[row] += free
        now_shown = (on_hand, quarantined, soft, hard, place.in_transit, place.expected, free)
        was = place.shown
        if now_shown != was or everything:
            for name, figure, before in zip(FIELD_NAMES, now_shown, was, strict=True):
                if figure != before or everything:
                    fields[location + name] = figure
            place.shown = now_shown
            item.dirty.add(("c", location, ""))
    if item.over:
        exceptions.over_received(found, item)
    if item.unlocated or item.unlocated_shown or everything:
        unlocated = sum(item.unlocated.values())
        if unlocated != item.unlocated_shown or everything:
            fields["*:soft_allocated"] = unlocated
            item.unlocated_shown = unlocated
            item.dirty.add(ITSELF)
    return fields


def _withdrawn(item: Item) -> dict[str, int | None]:
    """Every figure of a tombstoned item leaves; its state stays, should the item come back."""
    fields: dict[str, int | None] = {}
    for location, place in item.places.items():
        if place.shown is not ZEROS:
            fields |= dict.fromkeys([location + name for name in FIELD_NAMES])
            place.shown = ZEROS
            item.dirty.add(("c", location, ""))
    if item.unlocated_shown:
        fields["*:soft_allocated"] = None
        item.unlocated_shown = 0
        item.dirty.add(ITSELF)
    return fields


def _exceptions(item: Item, found: dict[exceptions.Key, dict[str, int]], now: int) -> list[ExceptionNote]:
    """Raise each exception once and close it when it is over."""
    notes = []
    for key, figures in found.items():
        if key not in item.open_exceptions:
            item.open_exceptions[key] = now
            item.dirty.add(ITSELF)
            notes.append(ExceptionNote(key[0], item.code, key[1], key[2], figures, now, now, True))
    for key in [known for known in item.open_exceptions if known not in found]:
        first_seen = item.open_exceptions.pop(key)
        item.dirty.add(ITSELF)
        notes.append(ExceptionNote(key[0], item.code, key[1], key[2], {}, first_seen, now, False))
    return notes


def _breakdown(steps: object) -> dict[str, object]:
    return {
        name: getattr(steps, name)
        for name in ("available", "open", "promise", "withheld", "withheld_above", "free", "atp")
    }
