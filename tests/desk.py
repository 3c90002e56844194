"""Moves what a test says in the warehouse's words into the naive model, and the model's answers back."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.audit.model import Model, Promise

HOUR, MINUTE = 3_600_000_000, 60_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOW = (NOON - EPOCH) // timedelta(microseconds=1)


def at(clock: str, day: int = 0) -> str:
    """A time of day, some days from today."""
    return f"{(NOON + timedelta(days=day)).date().isoformat()}T{clock}:00Z"


def instant(text: str) -> int:
    return (datetime.fromisoformat(text.replace("Z", "+00:00")) - EPOCH) // timedelta(microseconds=1)


class Desk:
    """A model that is spoken to in the warehouse's words; what is said happened at noon unless it is told otherwise."""

    def __init__(self, **settings: Any) -> None:
        self.model = Model(**{"dedup_window_us": 24 * HOUR, "max_clock_skew_us": 5 * MINUTE, **settings})
        self.numbers = itertools.count(1)
        for location in ("DC1", "DC2", "STORE"):
            self.knows("locations", location=location)
        self.knows("items", item="SHOVEL")
        self.knows("channels", channel="web", locations=["DC1"])

    def tells(self, topic: str, **record: Any) -> list[str]:
        key = f"{record['channel']}:{record['item']}" if topic == "channel_items" else record[topic[:-1]]
        return self.model.reference(f"inventory.{topic}", key.encode(), json.dumps(record).encode())

    def knows(self, topic: str, **record: Any) -> None:
        assert self.tells(topic, **record) == []

    def forgets(self, topic: str, key: str) -> None:
        assert self.model.reference(f"inventory.{topic}", key.encode(), None) == []

    def says(self, kind: str, recorded_at: int = NOW, **fields: Any) -> list[tuple[str, str | None]]:
        """The refusals of an event; its type decides the topic."""
        topic = "orders" if kind.startswith("order_") else "supply" if kind.startswith("receipt_") else "warehouse"
        event = {"event_id": f"e{next(self.numbers):03}", "type": kind, "source": "wms", "occurred_at": at("12:00")}
        return self.raw(topic, json.dumps(event | fields), recorded_at)

    def raw(self, topic: str, text: str, recorded_at: int = NOW) -> list[tuple[str, str | None]]:
        return self.model.event(f"inventory.{topic}", text.encode(), recorded_at)

    def did(self, kind: str, quantity: object = None, location: str | None = "DC1", **fields: Any) -> None:
        given: dict[str, Any] = {"item": "SHOVEL", "location": location, "quantity": quantity}
        assert self.says(kind, **(given | fields)) == []

    def order(self, kind: str, quantity: int | None = None, location: str | None = None, **fields: Any) -> None:
        line = {"line_id": "1", "item": "SHOVEL", "quantity": quantity, "location": location}
        given: dict[str, Any] = {"order_id": "SO-1", "channel": "web", "lines": [line]}
        assert self.says(kind, **(given | fields)) == []

    def did_line(self, kind: str, quantity: int, location: str = "DC1", **fields: Any) -> None:
        self.did(kind, quantity, location, **({"order_id": "SO-1", "line_id": "1"} | fields))

    def at(self, location: str, *names: str, now: int = NOW) -> Any:
        quantities = self.model.position("SHOVEL", now).get(location, {})
        answers = tuple(quantities.get(name, 0) for name in names)
        return answers[0] if len(names) == 1 else answers

    def on_hand(self, location: str = "DC1") -> int:
        return int(self.at(location, "on_hand"))

    def promise(self, channel: str = "web", now: int = NOW) -> Promise:
        promise = self.model.promise("SHOVEL", channel, now)
        assert promise is not None
        return promise

    def atp(self, channel: str = "web", now: int = NOW) -> int:
        return self.promise(channel, now).atp
