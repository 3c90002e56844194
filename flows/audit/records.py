"""Decides for the naive model which reference records are in force; what is wrong is refused, the older one stays."""

from __future__ import annotations

from fractions import Fraction

from flows.audit.reading import CODE, LIMIT, Fields, Refused, factor, flag, integer, number, read_object, take

REFERENCE_ORDER = ("inventory.locations", "inventory.channels", "inventory.items", "inventory.channel_items")
"""The order in which reference records name each other."""
POLICY = ("buffer_quantity", "buffer_percent", "cap", "minimum", "low_stock_threshold", "protected_quantity")


class Records:
    """The reference records in force, by their keys."""

    def __init__(self) -> None:
        #: (base unit, scale) under which an item got its first unit
        self.measures: dict[str, tuple[str, int]] = {}
        self.items: dict[str, Fields] = {}
        self.locations: dict[str, Fields] = {}
        self.channels: dict[str, Fields] = {}
        self.channel_items: dict[str, Fields] = {}

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
        conversions = {uom: factor(worth) for uom, worth in self._map(record, "conversions").items()}
        if not all(map(CODE.fullmatch, conversions)):
            raise Refused("bad_value")
        if "unit_value" in record and number(record["unit_value"]) < 0:  # for reports: no number here comes from it
            raise Refused("bad_value")
        return {
            "measure": (base, scale),
            "conversions": {**conversions, base: 1},
            "rounding": self._choice(record, "rounding", ("refuse", "safe")),
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
        rule = self._choice(record, "deducts_at", ("first", "pick", "shipment"))
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
            "listing": self._choice(record, "listing", ("all", "explicit")),
            "min_days_left": integer(record, "min_days_left", 0, 0),
            **self._limits(record, 0, POLICY),
        }

    def _channel_items(self, record: Fields) -> Fields:
        if record["channel"] not in self.channels:
            raise Refused("bad_value")
        # While the item is not known its scale is not either: then the finest that an item may have is the limit.
        scale = self.items[record["item"]]["measure"][1] if record["item"] in self.items else 6
        # A record that is silent about it lists the item, but not in a channel that wants to be told.
        listed = {"listed": flag(record, "listed", True)} if "listed" in record else {}
        return {**listed, **self._limits(record, scale, (*POLICY, "safety_stock"))}

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
    def _choice(record: Fields, name: str, choices: tuple[str, ...]) -> str:
        """One of some words; the first is the default."""
        value = record.get(name, choices[0])
        if value not in choices:
            raise Refused("bad_value")
        return str(value)

    @staticmethod
    def _map(record: Fields, name: str) -> Fields:
        value = record.get(name, {})
        if not isinstance(value, dict):
            raise Refused("bad_value")
        return {key: entry for key, entry in value.items() if entry is not None}
