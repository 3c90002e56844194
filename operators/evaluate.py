"""The promise step: what of an item has to be published after it changed.

Compares what stands now with what was last handed to the sink, channel by channel and figure by figure; an unchanged
number is not published (contract section 6).
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
import orjson
import xxhash

from operators import position
from operators.claims import AND_ORDER, NO_ORDERS, SEPARATOR, claims_of
from operators.reference import common_part, unpack_override
from operators.rules import exceptions, lanes, native
from operators.rules.days import Days
from operators.rules.lanes import UNHURRIED_CAUSES
from operators.rules.lots import Dated, past, physical
from operators.rules.lots import dated as units_by_day
from operators.rules.policy import ItemFacts, OverrideFacts, Policy, policies_of, split_safety
from operators.rules.promise import (
    NO_DATED,
    Rival,
    View,
    available_by_day,
    bounded_map,
    less_unlocated,
    promise,
    promise_by_span,
    sums_of,
)
from operators.rules.quantities import UnitsOfMeasure
from operators.rules.topology import Topology
from schemas.messages import ChannelUpdate, ExceptionNote, ItemUpdate, channel_update, item_update
from schemas.state import NOTHING, POSITION_FIELDS, SHOWN_FIELDS, ZEROS, Item, Place, own

#: Numbers of step 1 that an update's breakdown shows: a location each day. Beyond them (100 kB in each update) it is
#: left out, and the other steps stay.
BREAKDOWN_MAX = 20_000

_facts = msgspec.msgpack.Decoder(ItemFacts, dec_hook=lambda kind, value: kind(value))


@lru_cache(maxsize=65536)
def item_facts(raw: bytes) -> ItemFacts:
    """The accepted record; most items share a handful of shapes, so equal bytes give one object."""
    return _facts.decode(raw)


@lru_cache(maxsize=65536)
def override_facts(raw: bytes) -> OverrideFacts:
    """The accepted channel_items record."""
    return unpack_override(raw)


@lru_cache(maxsize=4096)
def measure_in(raw: bytes) -> UnitsOfMeasure:
    """The units of measure that an accepted record gives, but for its `unit_value`."""
    facts = item_facts(raw)
    return UnitsOfMeasure(facts.base_uom, facts.scale, dict(facts.conversions), facts.rounding == "safe")


class Row:
    """One channel that lists an item: its policy, how its number is found, and the number on its way."""

    __slots__ = (
        "buffer",
        "cap",
        "channel",
        "denominator",
        "is_simple",
        "is_stepwise",
        "low_stock_threshold",
        "minimum",
        "numerator",
        "policy",
        "sharing",
        "total",
        "view",
    )

    def __init__(self, channel: str, policy: Policy, topology: Topology, is_stepwise: bool, view: View) -> None:
        self.channel = channel
        self.policy = policy
        self.view = view
        self.low_stock_threshold = bounded(policy.low_stock_threshold)
        self.sharing = topology.sharing[channel]
        #: time-phased, protected or with a safety stock of its own: all of the contract's steps; else a sum
        self.is_stepwise = is_stepwise
        #: the policy's step 5 in whole numbers that cannot overflow 64 bits: quantities are below 2^53
        self.is_simple = policy.buffer_numerator < SIMPLE_BELOW and policy.buffer_denominator < SIMPLE_BELOW
        self.buffer = bounded(policy.buffer_quantity)
        self.numerator = policy.buffer_numerator if self.is_simple else 0
        self.denominator = policy.buffer_denominator if self.is_simple else 1
        self.cap = NO_CAP if policy.cap is None else bounded(policy.cap)
        self.minimum = bounded(policy.minimum)
        #: step 1 summed up over the channel's locations, while an item is being evaluated
        self.total = 0


SIMPLE_BELOW = 1000
NO_CAP = 1 << 62
#: What may still be multiplied by a buffer's percentage in 64 bits: times SIMPLE_BELOW it stays below 2^63. A sum of
#: quantities may reach it, though no quantity does.
SIMPLE_TOTAL = 1 << 53


def bounded(quantity: int) -> int:
    """Give a quantity of a policy, or one that has the same effect on every number that can occur in 64 bits."""
    return min(quantity, NO_CAP)


def allow(row: Row, free: int) -> int:
    """Step 5, as Policy.allow has it."""
    if not row.is_simple or free >= SIMPLE_TOTAL:
        return row.policy.allow(free)
    atp = free - row.buffer
    if row.numerator:
        atp -= (free * row.numerator + row.denominator - 1) // row.denominator
    if atp > row.cap:
        atp = row.cap
    return atp if atp >= row.minimum and atp > 0 else 0


class Listing:
    """The channels that list an item under one topology, arranged for one pass over the item's places."""

    __slots__ = (
        "_rows_by_group",
        "_topology",
        "everywhere",
        "policies",
        "protecting",
        "rows",
        "rows_at",
        "safety",
        "views",
    )

    def __init__(self, facts: ItemFacts, policies: dict[str, Policy], topology: Topology) -> None:
        self.policies = policies
        safety, everywhere = split_safety(facts.safety_stock)
        #: location -> safety stock there, and at every location not named
        self.safety = bounded_map(safety)
        self.everywhere = bounded(everywhere)
        #: channels that keep something from others, highest priority first
        self.protecting: list[Rival] = sorted(
            (*topology.rank(channel), policy.protected_quantity)
            for channel, policy in policies.items()
            if policy.protected_quantity
        )
        self.rows: list[Row] = []
        self.views: list[View] = []
        for channel, policy in policies.items():
            own_safety = policy.safety_everywhere != everywhere or policy.safety_stock != safety
            is_stepwise = bool(self.protecting or policy.horizon_days or own_safety)
            self.rows.append(Row(channel, policy, topology, is_stepwise, self._view_of(policy)))
        #: location -> rows that are sums and sell from it; grows with the locations at which the listing's items are
        self.rows_at: dict[str, list[Row]] = {}
        self._topology = topology
        self._rows_by_group: dict[int, list[Row]] = {}

    def _view_of(self, policy: Policy) -> View:
        for view in self.views:
            if view.sees_as(policy):
                return view
        view = View(policy)
        self.views.append(view)
        return view

    def rows_of(self, location: str) -> list[Row]:
        """Find the rows of a location when an item of the listing is first there: other locations cost nothing."""
        group = self._topology.group_at.get(location)
        rows = NO_ROWS
        if group is not None:
            known = self._rows_by_group.get(group)
            if known is None:
                channels = self._topology.groups[group]
                known = [row for row in self.rows if not row.is_stepwise and row.channel in channels]
                self._rows_by_group[group] = known
            rows = known
        self.rows_at[location] = rows
        return rows


NO_ROWS: list[Row] = []


class Policies:
    """The policies of items under one topology and time zone; items with the same records share them.

    `version`: tells them from those of another topology or time zone, also after a restart.
    """

    __slots__ = ("_plain", "days", "has_horizon", "orders_run", "topology", "version")

    def __init__(self, topology: Topology, days: Days, orders_run: int = NO_ORDERS) -> None:
        self.topology = topology
        self.days = days
        #: the run's token where it is published how orders stand, else NO_ORDERS
        self.orders_run = orders_run
        self.version = topology.version
        if not days.is_utc:
            self.version = xxhash.xxh3_64_intdigest(f"{topology.version} {days.name}".encode()) >> 1
        self._plain: dict[bytes, Listing] = {}
        self.has_horizon = any(facts.horizon_days for facts in topology.channels.values())

    def of(self, item: Item) -> Listing:
        """Give the channels that list the item; none where the item is not known."""
        if item.policy is None:
            return UNLISTED
        if item.overrides:
            facts = item_facts(item.policy)
            overrides = {channel: override_facts(raw) for channel, raw in item.overrides.items()}
            return Listing(facts, policies_of(facts, overrides, self.topology), self.topology)
        shared = common_part(item.policy)
        plain = self._plain.get(shared)
        if plain is None:
            facts = item_facts(shared)
            plain = self._plain[shared] = Listing(facts, policies_of(facts, {}, self.topology), self.topology)
        return plain


UNLISTED = Listing(ItemFacts(), {}, Topology(0, {}, {}))


def listing_of(item: Item, policies: Policies) -> Listing:
    """The item's listing, found once for each policy it stands under."""
    if item.policies is not policies:
        item.listing = policies.of(item)
        item.policies = policies
    listing: Listing = item.listing  # type: ignore[assignment]
    return listing


def measure_of(item: Item) -> UnitsOfMeasure:
    """The item's units of measure, found once for each of its records."""
    if item.measure is None:
        assert item.policy is not None
        item.measure = measure_in(common_part(item.policy))
    measure: UnitsOfMeasure = item.measure  # type: ignore[assignment]
    return measure


def evaluate(
    item: Item, policies: Policies, now: int, breakdown: bool, force: str | None = None
) -> tuple[ItemUpdate | None, list[ExceptionNote]]:
    """Bring what is published of an item up to what stands; None where nothing changed.

    `force`: publish again although unchanged: `""` every channel, else that channel alone.
    """
    listing = listing_of(item, policies)
    rows = listing.rows
    today = policies.days.day_of(now)
    dated = units_by_day(item) if item.rare is not None else NOTHING_DATED
    has_dates = len(dated) > 0
    found: dict[exceptions.Key, dict[str, int]] = {}
    for row in rows:
        row.total = 0
    for view in listing.views:
        view.begin()
    in_full = force is not None
    if item.policy is not None:
        fields = _figures(item, listing, policies.topology, today, dated, found, in_full)
    else:
        fields = _withdrawn(item, in_full)
    has_all_claims = item.owes_claims
    claims = _claims(item, policies) if has_all_claims or item.claims_changed else None
    unhurried = item.cause in UNHURRIED_CAUSES
    updates: list[ChannelUpdate] = []
    published = item.published
    for row in rows:
        channel = row.channel
        days: tuple[int, ...] | None = None
        shown: bytes | None = None
        if row.is_stepwise or breakdown or has_dates:
            view = row.view
            if has_dates:
                steps = promise_by_span(
                    item, channel, row.policy, listing.protecting, view, policies.topology, today, dated
                )
            else:
                if view.sums is None:
                    view.sums = sums_of(item, view, policies.topology, today)
                steps = promise(item, channel, row.policy, listing.protecting, view, policies.topology, today)
            atp = steps.atp[0]
            if view.horizon_days:
                days = tuple(steps.by_day(steps.atp))
            if breakdown:
                available = {}
                if len(policies.topology.sells[channel]) * steps.days <= BREAKDOWN_MAX:
                    available = available_by_day(item, channel, view, policies.topology, today, dated)
                shown = orjson.dumps(steps.written_out(available))
        else:
            # Steps 1, 2 and 5 for day 0: `total` is step 1 summed up.
            free = row.total
            if item.unlocated:
                free = less_unlocated(free, item.unlocated, row.sharing)
            atp = allow(row, free)
        before = published.get(channel)
        is_forced = force is not None and (force == "" or force == channel)
        if before is not None and not is_forced:
            shown_atp = before[0]
            if shown_atp == atp and before[1] == days:
                continue
        lane = lanes.lane(before, atp, days, row.low_stock_threshold, unhurried)
        value = PAIRS[atp] if days is None and atp < PAIRS_MAX else (atp, days)
        if before is None:
            previous, previous_days, forced = None, None, False
        else:
            previous, previous_days = before
            forced = before == value
            if forced:
                lane = lanes.BULK
        updates.append(
            channel_update(
                channel,
                atp,
                previous,
                days,
                lane,
                item.cause,
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
        item.is_dirty = True
    notes = _exceptions(item, found, now) if found or item.open_exceptions else NO_NOTES
    day0 = -1
    if policies.has_horizon and any([value[1] for value in published.values()]):
        day0 = today
    leaves = in_full and item.policy is None
    is_first = item.is_first
    if is_first:
        item.is_first = False
        if not fields:  # something of its position, so that it says up to when events are in it
            fields["*:soft_allocated"] = item.unlocated_shown
    # Claims alone are none: no line of these has one, and where one had any, another figure or claim changed with it.
    has_claims = claims is not None and (has_all_claims or any([text is not None for text in claims.values()]))
    if not updates and not fields and not has_claims and day0 == item.day_shown and not leaves:
        return None, notes
    if day0 != item.day_shown:
        item.day_shown = day0
        item.is_dirty = True
    scale = measure_of(item).scale if item.policy is not None else 0
    update = item_update(item.code, item.as_of, scale, day0, item.correlation_id, item.unlocated_shown)
    update.channels = updates
    update.fields = fields
    if fields:
        update.places = places_json(item)
    update.is_gone = item.policy is None
    update.is_whole = force == ""
    update.is_first = is_first and len(published) > 0
    update.claims = claims
    update.has_all_claims = has_all_claims
    return update, notes


def _claims(item: Item, policies: Policies) -> dict[str, str | None]:
    """Give what order lines claim that changed; where the item owes them, of all that claim something."""
    changed, item.claims_changed = item.claims_changed, None
    if not item.owes_claims:
        return claims_of(item, changed or (), policies.days, policies.orders_run)
    item.owes_claims = False
    if item.policy is None:  # what is published of it leaves whole
        if policies.orders_run == NO_ORDERS:
            return {}
        return {SEPARATOR.join(key): AND_ORDER for key in item.lines}
    said = claims_of(item, item.lines, policies.days, policies.orders_run)
    # Those that went since it was last spoken of are named too: their orders are elsewhere.
    gone = claims_of(item, [key for key in changed or () if key not in item.lines], policies.days, policies.orders_run)
    return {key: text for key, text in (gone | said).items() if text is not None}


def places_json(item: Item) -> str:
    """Give the figures of each location that ever had some, as JSON: one text instead of ten tuples."""
    withheld = NOTHING_WITHHELD
    if item.rare is not None and item.rare.withheld:
        withheld = {location: one.shown for location, one in item.rare.withheld.items()}
    return native.places_text(item.places, withheld)


def withheld_shown(item: Item, location: str) -> int:
    """Give what was last published as withheld at a location."""
    withheld = item.rare.withheld.get(location) if item.rare is not None else None
    return withheld.shown if withheld is not None else 0


#: (atp, no days) of small numbers, shared: most items have such in each channel, and a pair takes 56 bytes
PAIRS_MAX = 4096
PAIRS: list[tuple[int, tuple[int, ...] | None]] = [(atp, None) for atp in range(PAIRS_MAX)]
NO_NOTES: list[ExceptionNote] = []
NOTHING_DATED: dict[str, Dated] = {}
NOTHING_WITHHELD: dict[str, int] = {}


def _unlist(
    published: dict[str, tuple[int, tuple[int, ...] | None]], listed: dict[str, Policy], updates: list[ChannelUpdate]
) -> None:
    """A channel that lists the item no longer gets a last number: 0."""
    for channel in [code for code in published if code not in listed]:
        previous, previous_days = published.pop(channel)
        lane = lanes.CRITICAL if previous else lanes.NORMAL
        updates.append(ChannelUpdate(channel, 0, previous, None, lane, "unlisted", True, previous_by_day=previous_days))


def _figures(
    item: Item,
    listing: Listing,
    topology: Topology,
    today: int,
    dated: dict[str, Dated],
    found: dict[exceptions.Key, dict[str, int]],
    everything: bool,
) -> dict[str, int | None]:
    """Give the figures that changed, by field; add what may be promised to rows' totals, what is wrong to `found`."""
    fields: dict[str, int | None] = {}
    safety, everywhere, rows_at = listing.safety, listing.everywhere, listing.rows_at
    rare = item.rare
    has_unlocated = len(item.unlocated) > 0
    group_at = topology.group_at
    sellable = 0
    for location, place in item.places.items():
        if place.lots:
            on_hand, quarantined, least = physical(item, location, place)
            if least < 0:
                exceptions.lots_below_zero(found, location, place)
        else:
            on_hand, quarantined = place.on_hand, place.quarantined
        hard, soft = place.hard_reserved, place.soft_allocated
        free = on_hand - quarantined - hard - soft
        if free < 0 or on_hand < 0 or (hard > 0 and hard > on_hand - quarantined):
            exceptions.at_location(found, location, on_hand, quarantined, hard, soft)
        if has_unlocated and free > 0 and location in group_at:
            sellable += free
        if safety:
            free -= safety.get(location, everywhere)
        else:
            free -= everywhere
        if rare is not None:
            free -= _withheld(item, fields, location, place, everything)
            if dated:
                free -= past(dated.get(location, NO_DATED), today)
        if free > 0:
            rows = rows_at.get(location)
            if rows is None:
                rows = listing.rows_of(location)
            for row in rows:
                row.total += free
        if (
            everything
            or on_hand != place.shown_on_hand
            or quarantined != place.shown_quarantined
            or soft != place.shown_soft_allocated
            or hard != place.shown_hard_reserved
            or place.in_transit != place.shown_in_transit
            or place.expected != place.shown_expected
            or free != place.shown_available
        ):
            _show(fields, location, place, on_hand, quarantined, free, everything)
    if item.over:
        exceptions.over_received(found, item)
    if rare is not None and rare.doubtful:
        exceptions.doubtful_lines(found, item)
    if has_unlocated or item.unlocated_shown or everything:
        unlocated = sum(item.unlocated.values())
        if unlocated > sellable:
            exceptions.oversold_everywhere(found, unlocated, sellable)
        if unlocated != item.unlocated_shown or everything:
            fields["*:soft_allocated"] = unlocated
            item.unlocated_shown = unlocated
            item.is_dirty = True
    return fields


def _withheld(item: Item, fields: dict[str, int | None], location: str, place: Place, everything: bool) -> int:
    """Give what is withheld at a place; add it to `fields` if it changed."""
    assert item.rare is not None
    withheld = item.rare.withheld.get(location)
    if withheld is None:
        return 0
    if everything or withheld.total != withheld.shown:
        fields[f"{location}:withheld"] = withheld.shown = withheld.total
        position.mark(item, "w", location, "")
        place.is_shown = True
        place.is_dirty = True
    return withheld.total


def _show(
    fields: dict[str, int | None],
    location: str,
    place: Place,
    on_hand: int,
    quarantined: int,
    available: int,
    everything: bool,
) -> None:
    """Add a place's figures that changed to `fields`."""
    names = _names.get(location)
    if names is None:
        names = _names[location] = tuple([f"{location}:{name}" for name in SHOWN_FIELDS])
    if everything or on_hand != place.shown_on_hand:
        fields[names[0]] = place.shown_on_hand = on_hand
    if everything or quarantined != place.shown_quarantined:
        fields[names[1]] = place.shown_quarantined = quarantined
    if everything or place.soft_allocated != place.shown_soft_allocated:
        fields[names[2]] = place.shown_soft_allocated = place.soft_allocated
    if everything or place.hard_reserved != place.shown_hard_reserved:
        fields[names[3]] = place.shown_hard_reserved = place.hard_reserved
    if everything or place.in_transit != place.shown_in_transit:
        fields[names[4]] = place.shown_in_transit = place.in_transit
    if everything or place.expected != place.shown_expected:
        fields[names[5]] = place.shown_expected = place.expected
    if everything or available != place.shown_available:
        fields[names[6]] = place.shown_available = available
    place.is_shown = True
    place.is_dirty = True


#: location -> the names of its figures in Redis
_names: dict[str, tuple[str, ...]] = {}


def _withdrawn(item: Item, everything: bool) -> dict[str, int | None]:
    """Every figure of a tombstoned item leaves; its state stays, should the item come back.

    `everything`: also what is 0, of which the state does not say whether it is shown.
    """
    fields: dict[str, int | None] = {}
    for location, place in item.places.items():
        if place.is_shown or everything:
            fields |= dict.fromkeys([f"{location}:{name}" for name in POSITION_FIELDS])
            place.shown = ZEROS
            withheld = item.rare.withheld.get(location) if item.rare is not None else None
            if withheld is not None and withheld.shown:
                withheld.shown = 0
                position.mark(item, "w", location, "")
            place.is_shown = False
            place.is_dirty = True
    if item.unlocated_shown or (everything and item.as_of >= 0):
        fields["*:soft_allocated"] = None
        item.unlocated_shown = 0
        item.is_dirty = True
    return fields


def _exceptions(item: Item, found: dict[exceptions.Key, dict[str, int]], now: int) -> list[ExceptionNote]:
    """Raise each exception once and close it when it is over."""
    notes = []
    for key, figures in found.items():
        if key not in item.open_exceptions:
            opened = item.open_exceptions = own(item.open_exceptions)
            opened[key] = now
            item.is_dirty = True
            notes.append(ExceptionNote(key[0], item.code, key[1], key[2], figures, now, now, True))
    for key in [known for known in item.open_exceptions if known not in found]:
        first_seen = own(item.open_exceptions).pop(key)
        item.is_dirty = True
        notes.append(ExceptionNote(key[0], item.code, key[1], key[2], {}, first_seen, now, False))
    item.open_exceptions = item.open_exceptions or NOTHING
    return notes
