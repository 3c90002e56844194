"""Random histories in a small world where everything collides: seeded, so that each can be told again by its number."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_of(year: int, month: int, day: int, hour: int, minute: int = 0) -> int:
    """A UTC time in microseconds."""
    return (datetime(year, month, day, hour, minute, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


START = moment_of(2026, 11, 20, 22, 30)
#: Where days are counted, and when a history begins there: hours before its clocks change, so that a day is not 24 h.
ZONES = {
    "UTC": START,
    "Europe/Berlin": moment_of(2026, 10, 24, 20),  # the 25th has 25 hours
    "America/New_York": moment_of(2026, 3, 7, 22),  # the 8th has 23
    "America/Santiago": moment_of(2026, 9, 5, 20),  # the 6th has no midnight: it begins at one
    "Australia/Lord_Howe": moment_of(2026, 10, 3, 9),  # half an hour
    "Asia/Kathmandu": START,  # 5 hours and 45 minutes, all year
}

ITEMS = ("SHOVEL", "ROPE")
LOCATIONS = ("NORTH", "NORTH-1", "NORTH-2", "SOUTH")
CHANNELS = ("edi", "shop", "web")
LOTS = (None, None, None, "L1", "L2")
SOURCES = ("wms", "oms", "erp")
WINDOW = 24 * HOUR
SKEW = 5 * MINUTE
#: Shorter than a line with nothing left to claim is kept: what is said of one that may be forgotten has no one answer.
DAYS_MAX = 6
RECEIPTS = ("PO-1", "PO-2", "PO-3")
#: the channel that only lists what it is told to, where a history has such a one
EXPLICIT = "edi"
REVERSIBLE = (
    *("stock_received", "transfer_shipped", "return_received", "pick_confirmed", "shipment_confirmed"),
    *("order_allocated", "order_released"),
)

Action = tuple[str, Any]


def text_of(moment: int) -> str:
    """A time as events carry it."""
    return (EPOCH + timedelta(microseconds=moment)).isoformat().replace("+00:00", "Z")


@dataclass
class History:
    """Tells one history. `only`: event types to choose from, for histories about one thing.

    `time_zone`: what to set where it is judged; where nobody sets it, days of UTC do as well.
    """

    seed: int
    length: int = 120
    only: tuple[str, ...] = ()
    told: list[tuple[str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.number = 0
        #: what is told when something else was: a reversal, or what was taken back before it was said
        self.later: list[tuple[str, dict[str, Any]]] = []
        self.scales: dict[str, int] = {}
        self.roundings: dict[str, str] = {}
        #: a few histories use every feature, most only some: features hide each other's mistakes
        self.features = {
            name: self.random.random() < 0.5
            for name in (
                *("lots", "counts", "horizon", "protection", "buffers", "uom", "late", "jumps", "policies"),
                *("returns", "parts", "dates", "withheld", "rounding", "listing", "zone"),
            )
        }
        self.features["horizon"] |= self.features["zone"]  # without days ahead a zone shows in little
        self.time_zone = self.random.choice(tuple(ZONES)) if self.features["zone"] else "UTC"
        self.now = ZONES[self.time_zone] + self.random.randrange(0, 3 * HOUR)

    def actions(self) -> Iterator[Action]:
        """Give reference (topic, key, value), event (topic, value, recorded_at), time (now), and what has no value."""
        last = self.now + DAYS_MAX * DAY
        yield from (("reference", record) for record in self._first_reference())
        for _ in range(self.length):
            chance = self.random.random()
            if chance < 0.04:
                yield ("write_ahead" if chance > 0.03 else "snapshot" if chance > 0.015 else "resume", None)
            elif chance < 0.05 and self.features["policies"]:
                yield ("reference", self._policy_change())
            elif chance < 0.10:
                self.now = max(self.now, min(self.now + self._jump(), last))
                yield ("time", self.now)
            elif chance < 0.18 and self.told:
                topic, value = self.random.choice(self.told)
                if self.random.random() < 0.3:
                    value = self._changed(value)
                yield ("event", (topic, value, self.now))
            else:
                self.now += self.random.randrange(0, 3 * MINUTE)
                if self.later and self.random.random() < 0.3:
                    topic, event = self.later.pop(self.random.randrange(len(self.later)))
                else:
                    topic, event = self._taken_back(*self._event())
                value = json.dumps(event).encode()
                self.told.append((topic, value))
                yield ("event", (topic, value, self.now))

    def _jump(self) -> int:
        if not self.features["jumps"]:
            return self.random.randrange(0, HOUR)
        to_midnight = max(1, self._midnight(1) - self.now)
        return self.random.choice(
            (1, MINUTE, 20 * MINUTE, 2 * HOUR, 9 * HOUR, 26 * HOUR, to_midnight, max(1, to_midnight - 1))
        )

    def _midnight(self, days: int) -> int:
        """When a day begins there, some days from today."""
        zone = ZoneInfo(self.time_zone)
        today = (EPOCH + timedelta(microseconds=self.now)).astimezone(zone).date()
        begins = datetime.combine(today + timedelta(days=days), time(), zone)
        return (begins.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)

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
        self.scales[item] = scale
        # An item keeps its scale, its rounding and its conversions: where several topics are read at once, what an
        # event means may not depend on which of them came first.
        self.roundings.setdefault(item, self.random.choice(("refuse", "safe", "safe")))
        if scale:
            record["scale"] = scale
        if self.features["uom"]:
            record["conversions"] = {"case": 12, "half": 0.5}
            if self.features["rounding"]:
                record["conversions"] |= {"third": "1/3", "sleeve": "35/8"}
                record["rounding"] = self.roundings[item]
        if self.random.random() < 0.1:
            record["unit_value"] = self.random.choice((0, 12.95, "0.0042"))
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
        if self.features["listing"] and channel == EXPLICIT:
            record["listing"] = pick.choice(("explicit", "explicit", "all"))
        if self.features["dates"] and pick.random() < 0.5:
            record["min_days_left"] = pick.choice((0, 1, 2, 4))
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
        if pick.random() < (0.6 if self.features["listing"] else 0.3):
            record["listed"] = pick.choice((True, True, False) if channel == EXPLICIT else (True, False))
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
        if chance < 0.96:
            return ("inventory.channels", pick.choice(CHANNELS).encode(), None)
        if chance < 0.98:
            return self._wrong()
        return ("inventory.items", pick.choice(ITEMS).encode(), None)

    def _wrong(self) -> tuple[str, bytes, bytes | None]:
        """A record that is refused, so that the older one stays in force."""
        pick = self.random
        item, channel = pick.choice(ITEMS), pick.choice(CHANNELS)
        wrong = pick.choice(({"conversions": {"third": "1/0"}}, {"rounding": "up"}, {"unit_value": -1}, None))
        if wrong is not None:
            return _record("items", item, item=item, scale=self.scales[item], **wrong)
        return _record("channels", channel, channel=channel, locations=["SOUTH"], min_days_left=-1)

    # --- events ------------------------------------------------------------------------------------------------------

    def _event(self) -> tuple[str, dict[str, Any]]:
        kinds = self.only or tuple(kind for kind in _WEIGHTS if self.features.get(_FEATURE.get(kind, ""), True))
        weights = [1 if self.only else _WEIGHTS[kind] for kind in kinds]
        kind = self.random.choices(kinds, weights)[0]
        pick = self.random
        ago = pick.choice((0, 0, MINUTE, HOUR, 6 * HOUR, 20 * HOUR))
        if self.features["late"] and pick.random() < 0.1:
            ago = pick.choice((WINDOW, WINDOW + 1, -SKEW, -SKEW - 1))
        event: dict[str, Any] = {
            "event_id": self._id(),
            "type": kind,
            "source": pick.choice(SOURCES),
            # few moments, so that ties happen
            "occurred_at": text_of(
                (self.now - ago) // MINUTE * MINUTE if abs(ago) < WINDOW - HOUR and ago >= 0 else self.now - ago
            ),
        }
        if self.told and pick.random() < 0.1:
            # another word of the same moment: which is the newest, the ids decide
            event["occurred_at"] = json.loads(pick.choice(self.told)[1])["occurred_at"]
        event |= getattr(self, f"_{kind}", self._single)(kind)
        if pick.random() < 0.01:
            event["reversal"] = pick.choice((True, False, "true", 1))
        topic = "orders" if kind.startswith("order_") else "supply" if kind.startswith("receipt_") else "warehouse"
        return f"inventory.{topic}", event

    def _id(self) -> str:
        """An id of its own, that sorts before or after the others whenever it is told."""
        self.number += 1
        return f"{self.random.choice('aez')}{self.number:04}"

    def _taken_back(self, topic: str, event: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """What is told now; what takes it back, in whole or in part, may come later or have come before it."""
        pick = self.random
        if not self.features["returns"] or event["type"] not in REVERSIBLE:
            return topic, event
        chance = pick.random()
        if chance < 0.1:  # of goods that never moved, maybe
            return topic, {**event, "reversal": True}
        if chance > 0.45:
            return topic, event
        reversal = {**json.loads(json.dumps(event)), "event_id": self._id(), "reversal": True}
        told_at = datetime.fromisoformat(event["occurred_at"])
        happened = (told_at - EPOCH) // timedelta(microseconds=1)
        reversal["occurred_at"] = text_of(pick.choice((happened, happened + MINUTE, happened - MINUTE, self.now)))
        for line in reversal.get("lines", [reversal]):
            if isinstance(line["quantity"], int) and pick.random() < 0.5:
                line["quantity"] = pick.randrange(1, line["quantity"] + 3)
        if chance < 0.2:
            self.later.append((topic, event))
            return topic, reversal
        self.later.append((topic, reversal))
        return topic, event

    def _quantity(self, least: int = 1) -> dict[str, Any]:
        pick = self.random
        quantity: Any = pick.choice((least, 1, 2, 3, 5, 8, 13, 40)) if least else pick.choice((0, 1, 2, 5, 20))
        found: dict[str, Any] = {"quantity": quantity}
        if self.features["uom"]:
            chance = pick.random()
            if chance < 0.2:
                found["uom"] = pick.choice(("case", "half", "each", "pallet"))
            elif chance < 0.35 and self.features["rounding"]:
                found["uom"] = pick.choice(("third", "sleeve"))
            elif chance < 0.5:
                found["quantity"] = pick.choice((0.5, "2.25", 1.125, "3.0", "0.001"))
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
            event |= self._receipt()
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

    def _lot_dated(self, kind: str) -> dict[str, Any]:
        pick = self.random
        event = {"item": pick.choice(ITEMS), "lot": pick.choice(("L1", "L2"))}
        if pick.random() < 0.85:
            day = EPOCH + timedelta(microseconds=self.now, days=pick.randrange(-2, 7))
            event["best_before"] = day.date().isoformat()
        return event

    def _stock_withheld(self, kind: str) -> dict[str, Any]:
        event = {**self._where(), **self._quantity(0)}
        return event | ({"lot": "L1"} if self.random.random() < 0.02 else {})

    def _transfer_shipped(self, kind: str) -> dict[str, Any]:
        event = {**self._single(kind), "to_location": self.random.choice(LOCATIONS)}
        event["transfer_id"] = self.random.choice(("T-1", "T-2"))
        if self.random.random() < 0.6:
            event["eta"] = self._day()
        return event

    def _transfer_closed(self, kind: str) -> dict[str, Any]:
        return {**self._where(), "transfer_id": self.random.choice(("T-1", "T-2"))}

    def _pick_confirmed(self, kind: str) -> dict[str, Any]:
        if self.features["returns"] and self.random.random() < 0.5:
            # one line with many of them: which lot a reversal is taken from only shows among others
            where = {"item": ITEMS[0], "location": LOCATIONS[3], "order_id": "SO-1", "line_id": "1"}
            lot = {"lot": self.random.choice(LOTS[2:])} if self.features["lots"] else {}
            return {**where, "quantity": self.random.randrange(1, 6), **lot}
        line = {"order_id": self.random.choice(("SO-1", "SO-2")), "line_id": self.random.choice(("1", "2"))}
        return {**self._where(), **self._quantity(), **self._lot(), **line}

    _shipment_confirmed = _pick_confirmed

    def _day(self) -> str:
        if self.features["zone"] and self.random.random() < 0.6:
            # claims and supply about the same few midnights: one day more or less only shows where they meet
            return text_of(self._midnight(self.random.randrange(0, 3)) - self.random.randrange(0, 2))
        if self.random.random() < 0.2:
            return text_of(self._midnight(self.random.randrange(-1, 6)) - self.random.randrange(0, 2))
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
            if pick.random() < 0.5 or kind in ("order_cancelled", "order_reopened"):
                del line["location"]
            if kind == "order_cancelled" and (pick.random() < 0.25 or not self.features["returns"]):
                del line["quantity"]
            if kind == "order_reopened" and pick.random() < 0.7:
                line["quantity"] = pick.choice((None, -1, "all", [2]))
            if pick.random() < 0.01:
                line["reversal"] = pick.choice((True, False))
            if kind in ("order_allocated", "order_released"):
                line["location"] = pick.choice(LOCATIONS)
            if kind == "order_placed" and pick.random() < (0.4 if self.features["zone"] else 0.2):
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

    _order_allocated = _order_released = _order_cancelled = _order_reopened = _order_placed

    def _receipt(self) -> dict[str, Any]:
        """Which receipt, and with parts where, so that they meet."""
        if self.features["parts"]:
            return {"receipt_id": self.random.choice(RECEIPTS), "location": self.random.choice(LOCATIONS[2:])}
        return {"receipt_id": self.random.choice(RECEIPTS[:2])}

    def _receipt_expected(self, kind: str) -> dict[str, Any]:
        event = {**self._where(), **self._quantity(0), **self._receipt(), "eta": self._day()}
        if self.features["parts"] and self.random.random() < 0.6:
            event["part_of"] = self.random.choice(RECEIPTS)
            if event["part_of"] == event["receipt_id"] and self.random.random() < 0.9:
                del event["part_of"]
        return event

    def _receipt_cancelled(self, kind: str) -> dict[str, Any]:
        return {**self._where(), **self._receipt()}

    def _changed(self, value: bytes) -> bytes:
        """The same unit with other content, or with a change that does not count."""
        event = json.loads(value)
        chance = self.random.random()
        if chance < 0.3:
            event["reason"] = f"again {self.random.random()}"
        elif chance < 0.4:
            event["reversal"] = event.get("reversal") is None and event["type"] in REVERSIBLE
        elif chance < 0.5 and "best_before" in event:
            del event["best_before"]
        elif chance < 0.5 and "part_of" in event:
            del event["part_of"]
        elif chance < 0.5 and event["type"] == "order_cancelled":
            event["lines"][0].pop("quantity", None)
        elif "quantity" in event and isinstance(event["quantity"], int):
            event["quantity"] += 1
        elif "lines" in event and isinstance(event["lines"][0].get("quantity"), int):
            event["lines"][0]["quantity"] += 1
        return json.dumps(event).encode()


def _record(kind: str, key: str, **fields: Any) -> tuple[str, bytes, bytes | None]:
    return (f"inventory.{kind}", key.encode(), json.dumps(fields).encode())


_WEIGHTS = {
    "stock_received": 18,
    "stock_adjusted": 6,
    "stock_counted": 8,
    "stock_status_changed": 4,
    "lot_held": 3,
    "lot_released": 2,
    "lot_dated": 4,
    "stock_withheld": 4,
    "transfer_shipped": 6,
    "transfer_closed": 1,
    "pick_confirmed": 9,
    "shipment_confirmed": 9,
    "return_received": 2,
    "order_placed": 20,
    "order_allocated": 12,
    "order_released": 5,
    "order_cancelled": 4,
    "order_reopened": 3,
    "receipt_expected": 8,
    "receipt_cancelled": 2,
}
#: what is told only in histories that have the feature
_FEATURE = {"stock_counted": "counts", "lot_dated": "dates", "stock_withheld": "withheld", "order_reopened": "returns"}
