"""Decides whether a judge of stock agrees with worked examples that others have published.

Each vector is a history in steps: reference data, then for each step what was said by `now` and what must then be
answered. A judge is anything with the four methods of `Judge`; a second implementation is one more line in `JUDGES`.

Sources:
- Microsoft Learn, Dynamics 365 Supply Chain Management, "Inventory Visibility on-hand change schedules and available to
  promise", learn.microsoft.com/en-us/dynamics365/supply-chain/inventory/inventory-visibility-available-to-promise
- IBM Sterling Intelligent Promising, Inventory Visibility: reservations that expire
- GS1 EPCIS 2.0, example 9.6.1, github.com/gs1/EPCIS, JSON/Example_9.6.1-ObjectEvent.jsonld
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest

from flows.audit.model import Model
from tests.engine import Engine

TODAY = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Event = Mapping[str, Any]


class Promised(Protocol):
    @property
    def atp(self) -> int: ...
    @property
    def by_day(self) -> list[int] | None: ...


class Judge(Protocol):
    """What a vector needs of an implementation; quantities are ints, times UTC microseconds."""

    def reference(self, topic: str, key: bytes, value: bytes | None) -> Iterable[object]: ...
    def event(self, topic: str, value: bytes, recorded_at_us: int) -> Iterable[object]: ...
    def promise(self, item: str, channel: str, now_us: int) -> Promised | None: ...
    def position(self, item: str, now_us: int) -> Mapping[str, Mapping[str, int]]: ...


@dataclass(frozen=True)
class Step:
    """What was said until `now`, and what has to be answered then."""

    now: datetime
    said: tuple[tuple[str, Event], ...] = ()
    atp: int | None = None
    by_day: list[int] | None = None
    position: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Vector:
    name: str
    reference: tuple[tuple[str, Mapping[str, Any]], ...]
    steps: tuple[Step, ...]
    item: str = "SHOVEL"
    channel: str = "web"


def microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def check(judge: Judge, vector: Vector) -> None:
    """Tells the judge the vector's history and compares every answer on the way."""
    for topic, record in vector.reference:
        key = record[topic[:-1]]
        refused = judge.reference(f"inventory.{topic}", key.encode(), json.dumps(record).encode())
        assert list(refused) == [], (vector.name, key)
    said = 0
    for number, step in enumerate(vector.steps, start=1):
        where = f"{vector.name}, step {number}"
        now = microseconds(step.now)
        for topic, event in step.said:
            said += 1
            head = {"event_id": f"vector-{said}", "source": "published", "occurred_at": step.now.isoformat()}
            refused = judge.event(f"inventory.{topic}", json.dumps(head | dict(event)).encode(), now)
            assert list(refused) == [], where
        promise = judge.promise(vector.item, vector.channel, now)
        assert promise is not None, where
        if step.atp is not None:
            assert promise.atp == step.atp, where
        if step.by_day is not None:
            assert promise.by_day == step.by_day, where
        position = judge.position(vector.item, now)
        for location, quantities in step.position.items():
            answered = position.get(location, {})
            assert {name: answered.get(name, 0) for name in quantities} == quantities, where


def received(location: str, quantity: int, **more: str) -> tuple[str, Event]:
    event = {"type": "stock_received", "item": "SHOVEL", "location": location, "quantity": quantity}
    return "warehouse", event | more


def demanded(quantity: int, order_id: str, **more: str) -> tuple[str, Event]:
    line = {"line_id": "1", "item": "SHOVEL", "quantity": quantity, "location": "DC1"}
    return "orders", {"type": "order_placed", "order_id": order_id, "channel": "web", "lines": [line | more]}


def expected(quantity: int, receipt_id: str, eta: datetime) -> tuple[str, Event]:
    event = {"type": "receipt_expected", "item": "SHOVEL", "location": "DC1", "receipt_id": receipt_id}
    return "supply", event | {"quantity": quantity, "eta": eta.isoformat()}


def on_day(number: int) -> datetime:
    """Noon of a day of the published example, whose day 1 is the day on which the schedule is asked for."""
    return TODAY.replace(hour=12) + timedelta(days=number - 1)


def requested(number: int) -> dict[str, str]:
    return {"requested_at": on_day(number).isoformat()}


def reference(horizon_days: int = 0) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    return (
        ("locations", {"location": "DC1"}),
        ("locations", {"location": "STORE"}),
        ("items", {"item": "SHOVEL"}),
        ("channels", {"channel": "web", "locations": ["DC1", "STORE"], "horizon_days": horizon_days}),
    )


DYNAMICS_SCHEDULE = Vector(
    # Microsoft's day 1 is today, index 0 here: 20 on hand less the 3 scheduled for day 1 is 17 on that same day.
    # A scheduled decrease is a claim with requested_at, a scheduled increase an expected receipt with an eta.
    name="a schedule of seven days",
    reference=reference(horizon_days=7),
    steps=(
        Step(TODAY, (received("DC1", 20), demanded(3, "SO-1", **requested(1))), by_day=[17] * 7, atp=17),
        Step(TODAY + timedelta(minutes=1), (expected(10, "PO-1", on_day(3)),), by_day=[17, 17, *[27] * 5], atp=17),
        Step(
            TODAY + timedelta(minutes=2),
            (demanded(15, "SO-2", **requested(4)), expected(1, "PO-2", on_day(5)), expected(3, "PO-3", on_day(6))),
            by_day=[12, 12, 12, 12, 13, 16, 16],
            atp=12,
        ),
    ),
)

STERLING_HOLD = Vector(
    # IBM's reservation: of 100 units a cart holds 20 for 15 minutes, and nobody confirms it.
    name="a hold of fifteen minutes",
    reference=reference(),
    steps=(
        Step(TODAY, (received("DC1", 100),), atp=100),
        Step(
            TODAY,
            (demanded(20, "CART-1", expires_at=(TODAY + timedelta(minutes=15)).isoformat()),),
            atp=80,
            position={"DC1": {"on_hand": 100, "soft_allocated": 20, "available": 80}},
        ),
        Step(TODAY + timedelta(minutes=15, microseconds=-1), atp=80),
        Step(
            TODAY + timedelta(minutes=15),
            atp=100,
            position={"DC1": {"on_hand": 100, "soft_allocated": 0, "available": 100}},
        ),
    ),
)

EPCIS_SHIPMENT = Vector(
    # GS1's object events: business step "shipping", disposition "in_transit", for two serialized units; a day later
    # "receiving" for one of them. The other one is in transit, and on hand nowhere.
    name="two shipped, one received",
    reference=reference(),
    steps=(
        Step(TODAY - timedelta(days=3), (received("DC1", 2),), atp=2),
        Step(
            TODAY - timedelta(days=2),
            (
                (
                    "warehouse",
                    {"type": "transfer_shipped", "transfer_id": "1152", "item": "SHOVEL", "quantity": 2}
                    | {"location": "DC1", "to_location": "STORE"},
                ),
            ),
            atp=0,
            position={"DC1": {"on_hand": 0}, "STORE": {"on_hand": 0, "in_transit": 2}},
        ),
        Step(
            TODAY - timedelta(days=1),
            (received("STORE", 1, transfer_id="1152"),),
            atp=1,
            position={"DC1": {"on_hand": 0}, "STORE": {"on_hand": 1, "in_transit": 1, "available": 1}},
        ),
    ),
)

VECTORS = (DYNAMICS_SCHEDULE, STERLING_HOLD, EPCIS_SHIPMENT)


def model() -> Judge:
    return Model(dedup_window_us=86_400_000_000, max_clock_skew_us=300_000_000)


def engine() -> Judge:
    return Engine(dedup_window_us=86_400_000_000, max_clock_skew_us=300_000_000)


JUDGES: dict[str, Callable[[], Judge]] = {"model": model, "engine": engine}


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name.replace(" ", "-"))
def test_agrees_with_the_published_example(vector: Vector, judge: Callable[[], Judge]) -> None:
    check(judge(), vector)


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
def test_a_wrong_answer_would_be_noticed(judge: Callable[[], Judge]) -> None:
    wrong = Vector("one unit too many", reference(), (Step(TODAY, (received("DC1", 2),), atp=3),))
    with pytest.raises(AssertionError, match="one unit too many, step 1"):
        check(judge(), wrong)
