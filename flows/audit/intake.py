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
from fractions import Fraction
from math import ceil, floor
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from flows.audit.reading import (
    LIMIT,
    Fields,
    Place,
    Record,
    Refused,
    TooFine,
    exact,
    flag,
    integer,
    read_object,
    take,
    without_nulls,
)
from flows.audit.records import REFERENCE_ORDER, Records

MAX_BYTES = 1_048_576

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
        "lot_dated": "item! lot! best_before",
        "stock_withheld": "item! location!",
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
        "order_reopened": LINE,
    },
    "inventory.supply": {
        "receipt_expected": "item! location! receipt_id! eta! part_of",
        "receipt_cancelled": "item! location! receipt_id!",
    },
}
#: the same, split: (field, is it required)
ASKED = {
    kind: tuple((name.rstrip("!"), name.endswith("!")) for name in (*names.split(), "uom"))
    for kinds in FIELDS.values()
    for kind, names in kinds.items()
}
HAS_STATUS = {kind for kinds in FIELDS.values() for kind, names in kinds.items() if "status" in names.split()}
QUANTITY: dict[str, Callable[[int], bool]] = {
    **dict.fromkeys(("stock_received", "stock_status_changed", "transfer_shipped", "pick_confirmed"), lambda q: q > 0),
    **dict.fromkeys(("shipment_confirmed", "return_received", "order_allocated", "order_released"), lambda q: q > 0),
    **dict.fromkeys(("stock_counted", "order_placed", "receipt_expected", "stock_withheld"), lambda q: q >= 0),
    "order_cancelled": lambda q: q > 0,
    "stock_adjusted": lambda q: q != 0,
}
MAY_LACK_QUANTITY = ("order_cancelled",)
"""Without one a line is cancelled; with one, so much less of it is wanted."""
REVERSIBLE = (
    *("stock_received", "transfer_shipped", "return_received", "pick_confirmed", "shipment_confirmed"),
    *("order_allocated", "order_released"),
)
ROUNDED_UP = (
    *("order_placed", "order_allocated", "pick_confirmed", "shipment_confirmed", "transfer_shipped"),
    "stock_withheld",
)
"""Where an item is rounded safely: these, and what goes into quarantine; all else is rounded down."""
EVERYWHERE = ("lot_held", "lot_released", "lot_dated")
"""What may name no location speaks of every one."""


class Unit(NamedTuple):
    """One accepted unit, with its quantities converted and its defaults filled in."""

    kind: str
    source: str
    event_id: str
    line_id: str
    item: str
    occurred_at: int
    content: Fields

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Give what makes it one unit: the same again is a duplicate or a conflict."""
        return self.source, self.event_id, self.line_id, self.item

    @property
    def rank(self) -> tuple[int, str, str]:
        """Give what decides which of two is the newest: the greatest."""
        return self.occurred_at, self.event_id, self.source

    def get(self, name: str) -> Any:
        """Give a field, None if it is absent."""
        return self.content.get(name)

    @property
    def quantity(self) -> int:
        """Give its quantity in base UoM times 10^scale, as it was said."""
        return int(self.content["quantity"])

    @property
    def change(self) -> int:
        """Give what it adds wherever its quantity is summed: a reversal takes as much away."""
        return -self.quantity if "reversal" in self.content else self.quantity

    @property
    def transit(self) -> int:
        """Give what a transfer_shipped adds to what is in transit: less than it took, where that was rounded."""
        put: int = self.content.get("put_in_transit", self.quantity)
        return -put if "reversal" in self.content else put


class Intake(Records):
    """Judges reference records and events one at a time, each by what was accepted before it.

    `sources`: what named sources are bound to, as far as they are: dedup_window_us, may_send (types), locations.
    `time_zone`: whose days count, an IANA name.
    """

    def __init__(
        self,
        dedup_window_us: int,
        max_clock_skew_us: int,
        sources: Mapping[str, Mapping[str, Any]] | None = None,
        max_bytes: int = MAX_BYTES,
        time_zone: str = "UTC",
    ) -> None:
        super().__init__()
        self.dedup_window_us = dedup_window_us
        self.max_clock_skew_us = max_clock_skew_us
        self.sources = sources or {}
        self.max_bytes = max_bytes
        self.zone = ZoneInfo(time_zone)
        self.duplicates = 0
        self.units: dict[tuple[str, str, str, str], Unit] = {}
        #: the same, by item
        self.units_of: dict[str, list[Unit]] = defaultdict(list)
        self.rules: dict[tuple[str, str, str, str], str] = {}
        #: by unit: when it was logged, and where it lies
        self.logged: dict[tuple[str, str, str, str], tuple[int, Place | None]] = {}
        self._where: tuple[int, Place | None] = (0, None)
        #: whose lines of an order are judged; None: each
        self._only: str | None = None

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
            refusals = self.event(place[0], value or b"", recorded_at, place)
            if refusals:
                refused[place] = refusals
        return refused

    # Events: each line of an order stands alone, everything else is one unit.

    def event(self, topic: str, value: bytes, recorded_at_us: int, place: Place | None = None) -> list[Refusal]:
        """Judge an event; give what of it was refused. `place`: where it lies, for those who ask what explains it."""
        self._where = recorded_at_us, place
        try:
            if len(value) > self.max_bytes:
                raise Refused("too_large")
            record = read_object(value)
            kind = self._kind(topic, record)
            occurred_at = take(record, "occurred_at", required=True)
            head = (kind, take(record, "source", required=True), take(record, "event_id", required=True), occurred_at)
            take(record, "correlation_id")
            is_reversal = flag(record, "reversal", False)
            if is_reversal and kind not in REVERSIBLE:
                raise Refused("bad_value")
            shared: Fields = {"reversal": True} if is_reversal else {}
            if topic == "inventory.orders":
                return self._order(topic, head, record, shared, recorded_at_us)
            content = self._content(kind, record, shared)
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

    def _order(
        self, topic: str, head: tuple[str, str, str, int], record: Fields, shared: Fields, recorded_at: int
    ) -> list[Refusal]:
        """What is wrong with all of an order is said once and first; then every line is judged on its own."""
        kind, source, _, occurred_at = head
        placed = kind == "order_placed"
        shared = {**shared, "order_id": take(record, "order_id", True), "channel": take(record, "channel", placed)}
        shared |= {name: take(record, name) for name in ("uom", *(("expires_at", "requested_at") if placed else ()))}
        common = without_nulls(shared)
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
            if self._only is not None and not (isinstance(line, dict) and line.get("item") == self._only):
                continue
            line_id = None
            try:
                if not isinstance(line, dict):
                    raise Refused("bad_value")
                line = without_nulls(line)
                line_id = take(line, "line_id", required=True)
                if flag(line, "reversal", False):  # it stands on the event, for all of its lines
                    raise Refused("bad_value")
                content = self._content(kind, line, common)
                self._check_source(source, kind, content)
                self._admit(head, content)
            except Refused as refused:
                refusals.append((refused.code, line_id))
        return refusals

    def _content(self, kind: str, record: Fields, shared: Fields) -> Fields:
        """All that a unit says, defaults filled in and its quantities converted; what is absent is left out."""
        content = dict(shared)
        for name, is_required in ASKED[kind]:
            if is_required or name in record:
                content[name] = take(record, name, is_required)
        if kind in HAS_STATUS:
            content.setdefault("status", "available")
        if kind in QUANTITY and "quantity" not in record and kind not in MAY_LACK_QUANTITY:
            raise Refused("missing_field")
        if (
            {"receipt_id", "transfer_id"} <= content.keys()
            or ("part_of" in content and content["part_of"] == content["receipt_id"])
            or (kind == "stock_withheld" and "lot" in record)
            or ("from_status" in content and content["from_status"] == content["to_status"])
            or ("to_location" in content and content["to_location"] == content["location"])
        ):
            raise Refused("bad_value")
        if content["item"] not in self.items:
            raise Refused("unknown_item")
        for name in ("location", "to_location"):
            if name in content and content[name] not in self.locations:
                raise Refused("unknown_location")
        uom = content.pop("uom", None)
        if kind in QUANTITY and "quantity" in record:
            self._measure(kind, record, content, uom)
        return content

    def _measure(self, kind: str, record: Fields, content: Fields, uom: str | None) -> None:
        item = self.items[content["item"]]
        base, scale = item["measure"]
        worth = item["conversions"].get(uom or base)
        if worth is None:
            raise Refused("unknown_uom")
        names = ("quantity", "quarantined") if kind == "stock_counted" else ("quantity",)
        said: dict[str, Fraction | int] = {}
        for name in names:
            if name in record:
                try:
                    said[name] = exact(record[name]) * worth * 10**scale
                except TooFine as fine:
                    if item["rounding"] != "safe":
                        raise
                    said[name] = Fraction(-1 if fine.is_negative else 1, LIMIT)
        # Signs and contradictions are those of what was said, not of what it is rounded to.
        for quantity in said.values():
            if not -LIMIT < quantity < LIMIT or not QUANTITY[kind](ceil(quantity) if quantity > 0 else floor(quantity)):
                raise Refused("bad_value")
            if quantity.denominator != 1 and item["rounding"] != "safe":
                raise Refused("quantity_not_exact")
        if "quarantined" in said and said["quarantined"] > said["quantity"]:
            raise Refused("bad_value")
        self._round(kind, said, content)

    @staticmethod
    def _round(kind: str, said: Mapping[str, Fraction | int], content: Fields) -> None:
        """To the safe side: nothing is promised that is not there. What is exact stays as it is."""
        quantity = said["quantity"]
        up = kind in ROUNDED_UP or content.get("to_status") == "quarantined"
        content["quantity"] = ceil(quantity) if up else floor(quantity)
        if abs(content["quantity"]) >= LIMIT:
            raise Refused("bad_value")
        if "quarantined" in said:
            content["quarantined"] = min(ceil(said["quarantined"]), content["quantity"])
        if kind == "transfer_shipped" and floor(quantity) != content["quantity"]:
            content["put_in_transit"] = floor(quantity)

    def _check_source(self, source: str, kind: str, content: Fields) -> None:
        """A named source may say only its types, and only of its locations; it may not speak of every location."""
        bounds = self.sources.get(source, {})
        if bounds.get("may_send") is not None and kind not in bounds["may_send"]:
            raise Refused("not_allowed")
        everywhere = kind in EVERYWHERE and "location" not in content
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
        key = unit.key
        known = self.units.get(key)
        if known is not None:
            if known != unit:
                raise Refused("conflict")
            self.duplicates += 1
            return
        self.units[key] = unit
        self.logged[key] = self._where
        self.units_of[unit.item].append(unit)
        self.measures[unit.item] = self.items[unit.item]["measure"]
        if "order_id" in content and "location" in content:
            line = (unit.item, content["order_id"], unit.line_id, content["location"])
            self.rules.setdefault(line, self.locations[content["location"]]["deducts_at"])
