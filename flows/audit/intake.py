"""Decides for the naive model what counts: judges reference records and events, and keeps every unit that passes.

Rule 1: nothing of the engine is imported, so that a mistake of the engine cannot also be a mistake of its judge.
Rule 2: only what cannot be derived again is stored: the accepted units with their converted quantities (conversions act
on later events only), the deduction rule that a location had when an order line was first seen there, and the reference
records in force.
Rule 3: ids are remembered for ever; that the engine forgets some may not change what is accepted.

Quantities are ints in base UoM times 10^scale, times and durations ints in UTC microseconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any

from flows.audit.reading import CODE, LIMIT, Fields, Place, Record, Refused, flag, integer, number, read_object, take

MAX_BYTES = 1_048_576
REFERENCE_ORDER = ("inventory.locations", "inventory.channels", "inventory.items", "inventory.channel_items")
"""The order in which reference records name each other."""

Refusal = tuple[str, str | None]
"""(code, line_id); without a line_id all of a message was refused."""

# Which fields each type has beside those of every event; "!" marks a required one. Quantities have a table below.
MOVE = "item! location! lot status"
PICK = "item! location! lot order_id! line_id!"
LINE = "line_id! item! location"
FIELDS = {
    "inventory.warehouse": {
        "stock_received": f"{MOVE} receipt_id transfer_id",
        "stock_adjusted": MOVE,
        "stock_counted": "item! location! lot",
        "stock_status_changed": "item! location! lot from_status! to_status!",
        "lot_held": "item! lot! location",
        "lot_released": "item! lot! location",
        "transfer_shipped": f"{MOVE} transfer_id! to_location! eta",
        "transfer_closed": "item! location! lot transfer_id!",
        "pick_confirmed": PICK,
        "shipment_confirmed": PICK,
        "return_received": f"{MOVE} order_id",
    },
    "inventory.orders": {
        "order_placed": f"{LINE} expires_at requested_at",
        "order_allocated": f"{LINE}!",
        "order_released": f"{LINE}!",
        "order_cancelled": LINE,
    },
    "inventory.supply": {
        "receipt_expected": "item! location! receipt_id! eta!",
        "receipt_cancelled": "item! location! receipt_id!",
    },
}
QUANTITY: dict[str, Callable[[int], bool]] = {
    **dict.fromkeys(("stock_received", "stock_status_changed", "transfer_shipped", "pick_confirmed"), lambda q: q > 0),
    **dict.fromkeys(("shipment_confirmed", "return_received", "order_allocated", "order_released"), lambda q: q > 0),
    **dict.fromkeys(("stock_counted", "order_placed", "receipt_expected"), lambda q: q >= 0),
    "stock_adjusted": lambda q: q != 0,
}
POLICY = ("buffer_quantity", "buffer_percent", "cap", "minimum", "low_stock_threshold", "protected_quantity")


@dataclass(frozen=True)
class Unit:
    """One accepted unit, with its quantities converted and its defaults filled in."""

    kind: str
    source: str
    event_id: str
    line_id: str
    item: str
    occurred_at: int
    content: Fields

    @property
    def rank(self) -> tuple[int, str, str]:
        """Give what decides which of two is the newest: the greatest."""
        return self.occurred_at, self.event_id, self.source

    def get(self, name: str) -> Any:
        """Give a field, None if it is absent."""
        return self.content.get(name)

    @property
    def quantity(self) -> int:
        """Give its quantity in base UoM times 10^scale."""
        return int(self.content["quantity"])


class Intake:
    """Judges reference records and events one at a time, each by what was accepted before it.

    `sources`: what named sources are bound to, as far as they are: dedup_window_us, may_send (types), locations.
    """

    def __init__(
        self,
        dedup_window_us: int,
        max_clock_skew_us: int,
        sources: Mapping[str, Mapping[str, Any]] | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.dedup_window_us = dedup_window_us
        self.max_clock_skew_us = max_clock_skew_us
        self.sources = sources or {}
        self.max_bytes = max_bytes
        self.duplicates = 0
        self.units: dict[tuple[str, str, str, str], Unit] = {}
        #: the same, by item
        self.units_of: dict[str, list[Unit]] = defaultdict(list)
        self.rules: dict[tuple[str, str, str, str], str] = {}
        self.measures: dict[str, tuple[str, int]] = {}
        self.items: dict[str, Fields] = {}
        self.locations: dict[str, Fields] = {}
        self.channels: dict[str, Fields] = {}
        self.channel_items: dict[str, Fields] = {}

    def accept_all(self, reference: Iterable[Record], events: Iterable[Record]) -> dict[Place, list[Refusal]]:
        """Judge all that topics hold, in the order in which it was logged; give what was refused, by where it lies.

        Reference data is taken first, whenever it came: right where an unknown code was waited for, and where neither
        conversions nor `deducts_at` changed while events came.
        """
        refused: dict[Place, list[Refusal]] = {}
        for record in sorted(reference, key=lambda record: (REFERENCE_ORDER.index(record.place[0]), record.place)):
            codes = self.reference(record.place[0], record.key, record.value)
            if codes:
                refused[record.place] = [(code, None) for code in codes]
        clocks: dict[tuple[str, int], int] = defaultdict(int)
        logged = []
        for record in sorted(events, key=lambda record: record.place):
            partition = record.place[:2]
            clocks[partition] = max(clocks[partition], record.timestamp_us)
            logged.append((clocks[partition], record.place, record.value))
        for recorded_at, place, value in sorted(logged, key=lambda one: one[:2]):
            refusals = self.event(place[0], value or b"", recorded_at)
            if refusals:
                refused[place] = refusals
        return refused

    # Reference data: what is wrong is refused, and the older record stays in force.

    def reference(self, topic: str, key: bytes, value: bytes | None) -> list[str]:
        """Give the codes of what is wrong with a record, none if it is now in force; None as value deletes."""
        kind = topic.removeprefix("inventory.")
        in_force: dict[str, Fields] = getattr(self, kind)
        name = key.decode(errors="replace")
        if value is None:
            in_force.pop(name, None)
            return []
        try:
            record = read_object(value)
            codes = ("channel", "item") if kind == "channel_items" else (kind[:-1],)
            if name != ":".join(take(record, code, True) for code in codes):
                raise Refused("bad_value")
            in_force[name] = getattr(self, f"_{kind}")(record)
        except Refused:
            return ["bad_value"]
        return []

    def _items(self, record: Fields) -> Fields:
        item, scale = record["item"], integer(record, "scale", 0, 0, 6)
        base = take(record, "base_uom") or "each"
        if self.measures.get(item, (base, scale)) != (base, scale):
            raise Refused("bad_value")
        conversions = {uom: number(factor) for uom, factor in self._map(record, "conversions").items()}
        if any(not CODE.fullmatch(uom) or factor <= 0 for uom, factor in conversions.items()):
            raise Refused("bad_value")
        return {
            "measure": (base, scale),
            "conversions": {**conversions, base: Fraction(1)},
            **self._limits(record, scale, ("low_stock_threshold", "safety_stock")),
        }

    def _locations(self, record: Fields) -> Fields:
        location, parent = record["location"], take(record, "parent")
        above = parent
        if parent is not None and parent not in self.locations:
            raise Refused("bad_value")
        while above is not None:
            if above == location:
                raise Refused("bad_value")
            above = self.locations.get(above, {}).get("parent")
        rule = record.get("deducts_at", "first")
        if rule not in ("first", "pick", "shipment"):
            raise Refused("bad_value")
        return {"parent": parent, "sellable": flag(record, "sellable", True), "deducts_at": rule}

    def _channels(self, record: Fields) -> Fields:
        locations = record.get("locations")
        if not isinstance(locations, list) or any(
            not isinstance(location, str) or location not in self.locations for location in locations
        ):
            raise Refused("bad_value")
        if "max_updates_per_second" in record and number(record["max_updates_per_second"]) <= 0:
            raise Refused("bad_value")
        return {
            "locations": locations,
            "priority": integer(record, "priority", 100, 1),
            "horizon_days": integer(record, "horizon_days", 0, 0, 180),
            "promise_in_transit": flag(record, "promise_in_transit", False),
            **self._limits(record, 0, POLICY),
        }

    def _channel_items(self, record: Fields) -> Fields:
        if record["channel"] not in self.channels:
            raise Refused("bad_value")
        # While the item is not known its scale is not either: then the finest that an item may have is the limit.
        scale = self.items[record["item"]]["measure"][1] if record["item"] in self.items else 6
        return {"listed": flag(record, "listed", True), **self._limits(record, scale, (*POLICY, "safety_stock"))}

    def _limits(self, record: Fields, scale: int, names: tuple[str, ...]) -> Fields:
        """The named limits of a record in base units, as far as they are given."""

        def exact(value: object) -> Fraction:
            base = number(value)
            if base < 0 or base * 10**scale >= LIMIT or (base * 10**scale).denominator != 1:
                raise Refused("bad_value")
            return base

        policy: Fields = {}
        for name in names:
            if name not in record:
                continue
            if name == "buffer_percent":
                policy[name] = number(record[name])
                if not 0 <= policy[name] <= 100:
                    raise Refused("bad_value")
            elif name == "safety_stock":
                policy[name] = {location: exact(value) for location, value in self._map(record, name).items()}
                if any(location != "*" and location not in self.locations for location in policy[name]):
                    raise Refused("bad_value")
            else:
                policy[name] = exact(record[name])
        if "minimum" in policy and "cap" in policy and policy["minimum"] > policy["cap"]:
            raise Refused("bad_value")
        return policy

    @staticmethod
    def _map(record: Fields, name: str) -> Fields:
        value = record.get(name, {})
        if not isinstance(value, dict):
            raise Refused("bad_value")
        return {key: entry for key, entry in value.items() if entry is not None}

    # Events: each line of an order stands alone, everything else is one unit.

    def event(self, topic: str, value: bytes, recorded_at_us: int) -> list[Refusal]:
        """Judge an event; give what of it was refused."""
        try:
            if len(value) > self.max_bytes:
                raise Refused("too_large")
            record = read_object(value)
            kind = self._kind(topic, record)
            occurred_at = take(record, "occurred_at", required=True)
            head = (kind, take(record, "source", required=True), take(record, "event_id", required=True), occurred_at)
            take(record, "correlation_id")
            if topic == "inventory.orders":
                return self._order(topic, head, record, recorded_at_us)
            content = self._content(topic, kind, record, {})
            self._check_source(head[1], kind, content)
            self._check_time(head[1], occurred_at, recorded_at_us)
            self._admit(head, content)
        except Refused as refused:
            return [(refused.code, None)]
        return []

    @staticmethod
    def _kind(topic: str, record: Fields) -> str:
        if integer(record, "schema_version", 1, 1) > 1:
            raise Refused("unsupported_version")
        kind = record.get("type")
        if kind is None:
            raise Refused("missing_field")
        if not isinstance(kind, str) or kind not in FIELDS[topic]:
            raise Refused("unknown_type")
        return kind

    def _order(self, topic: str, head: tuple[str, str, str, int], record: Fields, recorded_at: int) -> list[Refusal]:
        """What is wrong with all of an order is said once and first; then every line is judged on its own."""
        kind, source, _, occurred_at = head
        placed = kind == "order_placed"
        shared = {"order_id": take(record, "order_id", True), "channel": take(record, "channel", placed)}
        shared |= {name: take(record, name) for name in ("uom", *(("expires_at", "requested_at") if placed else ()))}
        lines = record.get("lines")
        if lines is None:
            raise Refused("missing_field")
        if not isinstance(lines, list) or not 1 <= len(lines) <= 1000:
            raise Refused("bad_value")
        if shared["channel"] is not None and shared["channel"] not in self.channels:
            raise Refused("unknown_channel")
        self._check_source(source, kind, {})
        self._check_time(source, occurred_at, recorded_at)
        refusals: list[Refusal] = []
        for line in lines:
            line_id = None
            try:
                if not isinstance(line, dict):
                    raise Refused("bad_value")
                line = {name: entry for name, entry in line.items() if entry is not None}
                line_id = take(line, "line_id", required=True)
                content = self._content(topic, kind, line, shared)
                self._check_source(source, kind, content)
                self._admit(head, content)
            except Refused as refused:
                refusals.append((refused.code, line_id))
        return refusals

    def _content(self, topic: str, kind: str, record: Fields, shared: Fields) -> Fields:
        """All that a unit says, defaults filled in and its quantities converted; what is absent is left out."""
        content = {name: entry for name, entry in shared.items() if entry is not None}
        for name in (*FIELDS[topic][kind].split(), "uom"):
            entry = take(record, name.rstrip("!"), required=name.endswith("!"))
            if entry is not None:
                content[name.rstrip("!")] = entry
        if " status" in FIELDS[topic][kind]:
            content.setdefault("status", "available")
        if kind in QUANTITY and "quantity" not in record:
            raise Refused("missing_field")
        if (
            {"receipt_id", "transfer_id"} <= content.keys()
            or ("from_status" in content and content["from_status"] == content["to_status"])
            or ("to_location" in content and content["to_location"] == content["location"])
        ):
            raise Refused("bad_value")
        if content["item"] not in self.items:
            raise Refused("unknown_item")
        if any(name in content and content[name] not in self.locations for name in ("location", "to_location")):
            raise Refused("unknown_location")
        uom = content.pop("uom", None)
        if kind in QUANTITY:
            self._measure(kind, record, content, uom)
        return content

    def _measure(self, kind: str, record: Fields, content: Fields, uom: str | None) -> None:
        base, scale = self.items[content["item"]]["measure"]
        factor = self.items[content["item"]]["conversions"].get(uom or base)
        if factor is None:
            raise Refused("unknown_uom")
        for name in ("quantity", "quarantined") if kind == "stock_counted" else ("quantity",):
            if name in record:
                exact = number(record[name]) * factor * 10**scale
                if abs(exact) >= LIMIT or not QUANTITY[kind](ceil(exact) if exact > 0 else floor(exact)):
                    raise Refused("bad_value")
                if exact.denominator != 1:
                    raise Refused("quantity_not_exact")
                content[name] = int(exact)
        if "quarantined" in content and content["quarantined"] > content["quantity"]:
            raise Refused("bad_value")

    def _check_source(self, source: str, kind: str, content: Fields) -> None:
        """A named source may say only its types, and only of its locations; it may not speak of every location."""
        bounds = self.sources.get(source, {})
        if bounds.get("may_send") is not None and kind not in bounds["may_send"]:
            raise Refused("not_allowed")
        everywhere = kind in ("lot_held", "lot_released") and "location" not in content
        if bounds.get("locations") is not None and (
            everywhere or ("location" in content and content["location"] not in bounds["locations"])
        ):
            raise Refused("not_allowed")

    def _check_time(self, source: str, occurred_at: int, recorded_at: int) -> None:
        window = self.sources.get(source, {}).get("dedup_window_us")
        if recorded_at - occurred_at > (self.dedup_window_us if window is None else window):
            raise Refused("late")
        if occurred_at - recorded_at > self.max_clock_skew_us:
            raise Refused("in_the_future")

    def _admit(self, head: tuple[str, str, str, int], content: Fields) -> None:
        kind, source, event_id, occurred_at = head
        if kind == "return_received":
            content.pop("order_id", None)
        unit = Unit(kind, source, event_id, content.get("line_id", ""), content["item"], occurred_at, content)
        key = (source, event_id, unit.line_id, unit.item)
        known = self.units.get(key)
        if known is not None:
            if known != unit:
                raise Refused("conflict")
            self.duplicates += 1
            return
        self.units[key] = unit
        self.units_of[unit.item].append(unit)
        self.measures[unit.item] = self.items[unit.item]["measure"]
        if "order_id" in content and "location" in content:
            line = (unit.item, content["order_id"], unit.line_id, content["location"])
            self.rules.setdefault(line, self.locations[content["location"]]["deducts_at"])
