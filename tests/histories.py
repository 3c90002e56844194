"""Random histories in a small world where everything collides: seeded, so that each can be told again by its number."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = (datetime(2026, 11, 20, 22, 30, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)

ITEMS = ("SHOVEL", "ROPE")
LOCATIONS = ("NORTH", "NORTH-1", "NORTH-2", "SOUTH")
CHANNELS = ("edi", "shop", "web")
LOTS = (None, None, None, "L1", "L2")
SOURCES = ("wms", "oms", "erp")
WINDOW = 24 * HOUR
SKEW = 5 * MINUTE

Action = tuple[str, Any]


def text_of(moment: int) -> str:
    """A time as events carry it."""
    return (EPOCH + timedelta(microseconds=moment)).isoformat().replace("+00:00", "Z")


@dataclass
class History:
    """Tells one history. `only`: event types to choose from, for histories about one thing."""

    seed: int
    length: int = 120
    only: tuple[str, ...] = ()
    told: list[tuple[str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.now = START + self.random.randrange(0, 3 * HOUR)
        self.number = 0
        #: a few histories use every feature, most only some: features hide each other's mistakes
        self.features = {
            name: self.random.random() < 0.5
            for name in ("lots", "counts", "horizon", "protection", "buffers", "uom", "late", "jumps", "policies")
        }

    def actions(self) -> Iterator[Action]:
        """Give reference (topic, key, value), event (topic, value, recorded_at), time (now), and what has no value."""
        yield from (("reference", record) for record in self._first_reference())
        for _ in range(self.length):
            chance = self.random.random()
            if chance < 0.04:
                yield ("write_ahead" if chance > 0.03 else "snapshot" if chance > 0.015 else "resume", None)
            elif chance < 0.05 and self.features["policies"]:
                yield ("reference", self._policy_change())
            elif chance < 0.10:
                self.now += self._jump()
                yield ("time", self.now)
            elif chance < 0.18 and self.told:
                topic, value = self.random.choice(self.told)
                if self.random.random() < 0.3:
                    value = self._changed(value)
                yield ("event", (topic, value, self.now))
            else:
                self.now += self.random.randrange(0, 3 * MINUTE)
                topic, event = self._event()
                value = json.dumps(event).encode()
                self.told.append((topic, value))
                yield ("event", (topic, value, self.now))

    def _jump(self) -> int:
        if not self.features["jumps"]:
            return self.random.randrange(0, HOUR)
        return self.random.choice((1, MINUTE, 20 * MINUTE, 2 * HOUR, 9 * HOUR, 26 * HOUR))

    # --- reference data ----------------------------------------------------------------------------------------------

    def _first_reference(self) -> Iterator[tuple[str, bytes, bytes | None]]:
        choose = self.random.choice
        yield _record("locations", "NORTH", location="NORTH", sellable=choose((True, False)))
        for code in LOCATIONS[1:]:
            yield self._location(code)
        for item in ITEMS:
            yield self._item(item, self.random.randrange(0, 3) if self.features["uom"] else 0)
        for channel in CHANNELS:
            yield self._channel(channel)
        for _ in range(self.random.randrange(0, 3)):
            yield self._channel_item()

    def _location(self, code: str) -> tuple[str, bytes, bytes | None]:
        choose = self.random.choice
        record: dict[str, Any] = {"location": code}
        if code.startswith("NORTH-"):
            record["parent"] = "NORTH"
        if self.random.random() < 0.4:
            record["deducts_at"] = choose(("first", "pick", "shipment"))
        if self.random.random() < 0.2:
            record["sellable"] = choose((True, False))
        return _record("locations", code, **record)

    def _item(self, item: str, scale: int | None = None) -> tuple[str, bytes, bytes | None]:
        record: dict[str, Any] = {"item": item}
        if scale is None:
            scale = self.scales.get(item, 0)
        self.scales = {**getattr(self, "scales", {}), item: scale}
        if scale:
            record["scale"] = scale
        if self.features["uom"]:
            record["conversions"] = {"case": 12, "half": 0.5}
        if self.random.random() < 0.5:
            record["safety_stock"] = {self.random.choice((*LOCATIONS, "*")): self.random.randrange(0, 5)}
        if self.random.random() < 0.3:
            record["low_stock_threshold"] = self.random.randrange(0, 5)
        return _record("items", item, **record)

    def _channel(self, channel: str) -> tuple[str, bytes, bytes | None]:
        pick = self.random
        record: dict[str, Any] = {
            "channel": channel,
            "locations": pick.sample(LOCATIONS, pick.randrange(1, 4)),
        }
        if pick.random() < 0.5:
            record["priority"] = pick.choice((1, 2, 100))
        if self.features["horizon"] and pick.random() < 0.7:
            record["horizon_days"] = pick.choice((1, 2, 3, 5))
            record["promise_in_transit"] = pick.choice((True, False))
        if self.features["protection"] and pick.random() < 0.6:
            record["protected_quantity"] = pick.randrange(0, 15)
        if self.features["buffers"]:
            record |= self._policy()
        return _record("channels", channel, **record)

    def _policy(self) -> dict[str, Any]:
        pick = self.random
        record: dict[str, Any] = {}
        if pick.random() < 0.5:
            record["buffer_quantity"] = pick.randrange(0, 4)
        if pick.random() < 0.4:
            record["buffer_percent"] = pick.choice((0, 10, 12.5, 33, 100))
        if pick.random() < 0.4:
            record["cap"] = pick.randrange(5, 40)
        if pick.random() < 0.4:
            record["minimum"] = pick.randrange(0, 5)
        if pick.random() < 0.4:
            record["low_stock_threshold"] = pick.randrange(0, 10)
        return record

    def _channel_item(self) -> tuple[str, bytes, bytes | None]:
        pick = self.random
        channel, item = pick.choice(CHANNELS), pick.choice(ITEMS)
        record: dict[str, Any] = {"channel": channel, "item": item, **self._policy()}
        if pick.random() < 0.3:
            record["listed"] = pick.choice((True, False))
        if pick.random() < 0.3:
            record["safety_stock"] = {pick.choice((*LOCATIONS, "*")): pick.randrange(0, 5)}
        if self.features["protection"] and pick.random() < 0.5:
            record["protected_quantity"] = pick.randrange(0, 15)
        return ("inventory.channel_items", f"{channel}:{item}".encode(), json.dumps(record).encode())

    def _policy_change(self) -> tuple[str, bytes, bytes | None]:
        pick = self.random
        chance = pick.random()
        if chance < 0.3:
            return self._channel(pick.choice(CHANNELS))
        if chance < 0.5:
            return self._item(pick.choice(ITEMS))
        if chance < 0.7:
            return self._location(pick.choice(LOCATIONS[1:]))
        if chance < 0.85:
            return self._channel_item()
        if chance < 0.93:
            return ("inventory.channel_items", f"{pick.choice(CHANNELS)}:{pick.choice(ITEMS)}".encode(), None)
        if chance < 0.97:
            return ("inventory.channels", pick.choice(CHANNELS).encode(), None)
        return ("inventory.items", pick.choice(ITEMS).encode(), None)

    # --- events ------------------------------------------------------------------------------------------------------

    def _event(self) -> tuple[str, dict[str, Any]]:
        kinds = self.only or tuple(_WEIGHTS)
        weights = [1 if self.only else _WEIGHTS[kind] for kind in kinds]
        kind = self.random.choices(kinds, weights)[0]
        if kind == "stock_counted" and not self.features["counts"]:
            kind = "stock_received"
        self.number += 1
        pick = self.random
        ago = pick.choice((0, 0, MINUTE, HOUR, 6 * HOUR, 20 * HOUR))
        if self.features["late"] and pick.random() < 0.1:
            ago = pick.choice((WINDOW, WINDOW + 1, -SKEW, -SKEW - 1))
        event: dict[str, Any] = {
            "event_id": f"e{self.number:04}",
            "type": kind,
            "source": pick.choice(SOURCES),
            # few moments, so that ties happen
            "occurred_at": text_of(
                (self.now - ago) // MINUTE * MINUTE if abs(ago) < WINDOW - HOUR and ago >= 0 else self.now - ago
            ),
        }
        event |= getattr(self, f"_{kind}", self._single)(kind)
        topic = "orders" if kind.startswith("order_") else "supply" if kind.startswith("receipt_") else "warehouse"
        return f"inventory.{topic}", event

    def _quantity(self, least: int = 1) -> dict[str, Any]:
        pick = self.random
        quantity: Any = pick.choice((least, 1, 2, 3, 5, 8, 13, 40)) if least else pick.choice((0, 1, 2, 5, 20))
        found: dict[str, Any] = {"quantity": quantity}
        if self.features["uom"]:
            chance = pick.random()
            if chance < 0.2:
                found["uom"] = pick.choice(("case", "half", "each", "pallet"))
            elif chance < 0.4:
                found["quantity"] = pick.choice((0.5, "2.25", 1.125, "3.0"))
        return found

    def _where(self) -> dict[str, Any]:
        pick = self.random
        found: dict[str, Any] = {"item": pick.choice(ITEMS), "location": pick.choice(LOCATIONS)}
        if pick.random() < 0.01:
            found[pick.choice(("item", "location"))] = "NOWHERE"
        return found

    def _lot(self) -> dict[str, Any]:
        return {"lot": self.random.choice(LOTS)} if self.features["lots"] else {}

    def _status(self) -> dict[str, Any]:
        return {"status": "quarantined"} if self.random.random() < 0.2 else {}

    def _single(self, kind: str) -> dict[str, Any]:
        return {**self._where(), **self._quantity(), **self._lot(), **self._status()}

    def _stock_received(self, kind: str) -> dict[str, Any]:
        event = self._single(kind)
        chance = self.random.random()
        if chance < 0.3:
            event["receipt_id"] = self.random.choice(("PO-1", "PO-2"))
        elif chance < 0.5:
            event["transfer_id"] = self.random.choice(("T-1", "T-2"))
        return event

    def _stock_adjusted(self, kind: str) -> dict[str, Any]:
        event = self._single(kind)
        if self.random.random() < 0.5 and isinstance(event["quantity"], int):
            event["quantity"] = -event["quantity"]
        return event

    def _stock_counted(self, kind: str) -> dict[str, Any]:
        event = {**self._where(), **self._quantity(0), **self._lot()}
        if self.random.random() < 0.4 and isinstance(event["quantity"], int):
            event["quarantined"] = self.random.randrange(0, event["quantity"] + 2)
        return event

    def _stock_status_changed(self, kind: str) -> dict[str, Any]:
        towards = self.random.random() < 0.6
        pair = ("available", "quarantined") if towards else ("quarantined", "available")
        return {**self._where(), **self._quantity(), **self._lot(), "from_status": pair[0], "to_status": pair[1]}

    def _lot_held(self, kind: str) -> dict[str, Any]:
        event = {**self._where(), "lot": self.random.choice(("L1", "L2"))}
        if self.random.random() < 0.5:
            del event["location"]
        return event

    _lot_released = _lot_held

    def _transfer_shipped(self, kind: str) -> dict[str, Any]:
        event = {**self._single(kind), "to_location": self.random.choice(LOCATIONS)}
        event["transfer_id"] = self.random.choice(("T-1", "T-2"))
        if self.random.random() < 0.6:
            event["eta"] = self._day()
        return event

    def _transfer_closed(self, kind: str) -> dict[str, Any]:
        return {**self._where(), "transfer_id": self.random.choice(("T-1", "T-2"))}

    def _pick_confirmed(self, kind: str) -> dict[str, Any]:
        line = {"order_id": self.random.choice(("SO-1", "SO-2")), "line_id": self.random.choice(("1", "2"))}
        return {**self._where(), **self._quantity(), **self._lot(), **line}

    _shipment_confirmed = _pick_confirmed

    def _day(self) -> str:
        return text_of(self.now + self.random.randrange(-30, 130) * HOUR)

    def _order_placed(self, kind: str) -> dict[str, Any]:
        pick = self.random
        lines = []
        for line_id in pick.sample(("1", "2"), pick.randrange(1, 3)):
            line: dict[str, Any] = {
                "line_id": line_id,
                **self._where(),
                **self._quantity(0 if pick.random() < 0.1 else 1),
            }
            if pick.random() < 0.5 or kind == "order_cancelled":
                del line["location"]
            if kind in ("order_allocated", "order_released"):
                line["location"] = pick.choice(LOCATIONS)
            if kind == "order_placed" and pick.random() < 0.2:
                line["requested_at"] = self._day()
            lines.append(line)
        event: dict[str, Any] = {"order_id": pick.choice(("SO-1", "SO-2")), "lines": lines}
        if kind == "order_placed" or pick.random() < 0.3:
            event["channel"] = pick.choice(CHANNELS)
        if kind == "order_placed":
            if pick.random() < 0.3:
                event["expires_at"] = text_of(self.now + pick.choice((-HOUR, MINUTE, 15 * MINUTE, 5 * HOUR)))
            if pick.random() < 0.2:
                event["requested_at"] = self._day()
        return event

    _order_allocated = _order_released = _order_cancelled = _order_placed

    def _receipt_expected(self, kind: str) -> dict[str, Any]:
        event = {**self._where(), **self._quantity(0), "receipt_id": self.random.choice(("PO-1", "PO-2"))}
        return {**event, "eta": self._day()}

    def _receipt_cancelled(self, kind: str) -> dict[str, Any]:
        return {**self._where(), "receipt_id": self.random.choice(("PO-1", "PO-2"))}

    def _changed(self, value: bytes) -> bytes:
        """The same unit with other content, or with a change that does not count."""
        event = json.loads(value)
        if self.random.random() < 0.3:
            event["reason"] = f"again {self.random.random()}"
        elif "quantity" in event and isinstance(event["quantity"], int):
            event["quantity"] += 1
        elif "lines" in event and isinstance(event["lines"][0].get("quantity"), int):
            event["lines"][0]["quantity"] += 1
        return json.dumps(event).encode()


def _record(kind: str, key: str, **fields: Any) -> tuple[str, bytes, bytes | None]:
    return (f"inventory.{kind}", key.encode(), json.dumps(fields).encode())


_WEIGHTS = {
    "stock_received": 14,
    "stock_adjusted": 6,
    "stock_counted": 8,
    "stock_status_changed": 4,
    "lot_held": 3,
    "lot_released": 2,
    "transfer_shipped": 6,
    "transfer_closed": 1,
    "pick_confirmed": 9,
    "shipment_confirmed": 9,
    "return_received": 2,
    "order_placed": 16,
    "order_allocated": 12,
    "order_released": 5,
    "order_cancelled": 2,
    "receipt_expected": 6,
    "receipt_cancelled": 1,
}
