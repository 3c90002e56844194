"""Sections 4 and 5 by hand: what a handful of events means, sent in order and backwards, read from Redis.

Each story is told of two items, the second one backwards: the end has to be the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.conftest import World
from tests.contract.lab import NOON_ZONE, Lab

NOW = datetime.now(UTC)
#: Days are judged at the time of the run: a story about days must not be told over midnight.
NOON = datetime.combine(NOW.astimezone(NOON_ZONE).date(), time(12), NOON_ZONE)

Event = tuple[str, dict[str, Any]]


def at(seconds_ago: float) -> str:
    return (NOW - timedelta(seconds=seconds_ago)).isoformat().replace("+00:00", "Z")


def on(days: int) -> str:
    """Give noon of a day to come."""
    return (NOON + timedelta(days=days)).isoformat()


def goods(type: str, quantity: Any, ago: float, **fields: Any) -> Event:
    return "warehouse", {"type": type, "quantity": quantity, "location": "DC1", "occurred_at": at(ago), **fields}


def placed(quantity: int, ago: float, **fields: Any) -> Event:
    return line("order_placed", quantity, ago, **fields)


def line(type: str, quantity: int, ago: float, order_id: str = "SO-1", channel: str = "web", **fields: Any) -> Event:
    lines = [{"line_id": "1", "quantity": quantity, **fields}]
    return "orders", {
        "type": type, "order_id": order_id, "channel": channel, "occurred_at": at(ago), "lines": lines
    }  # fmt: skip


def handled(type: str, quantity: int, ago: float, **fields: Any) -> Event:
    return goods(type, quantity, ago, **{"order_id": "SO-1", "line_id": "1", **fields})


def supply(type: str, ago: float, **fields: Any) -> Event:
    return "supply", {"type": type, "receipt_id": "PO-1", "location": "DC1", "occurred_at": at(ago), **fields}


class Story(NamedTuple):
    """What is told of an item, and what must be read in the end: figures that are not 0, numbers of channels."""

    name: str
    events: list[Event]
    figures: dict[str, int]
    atp: dict[str, int | list[int]]
    item: Mapping[str, Any] = MappingProxyType({})
    channel_items: Sequence[dict[str, Any]] = ()


LEFT = "DC1:available"
STORIES = [
    Story(
        "a movement at the moment of a count is inside it",
        [goods("stock_received", 10, 300), goods("stock_counted", 7, 200), goods("stock_adjusted", -1, 200),
         goods("stock_adjusted", -1, 199.999999)],
        {"DC1:on_hand": 6, LEFT: 6}, {"web": 6},
    ),
    Story(
        "of two counts at one moment the greater event_id stands",
        [goods("stock_counted", 5, 200, event_id="b"), goods("stock_counted", 8, 200, event_id="a")],
        {"DC1:on_hand": 5, LEFT: 5}, {"web": 5},
    ),
    Story(
        "of two counts of one event_id the greater source stands",
        [goods("stock_counted", 5, 200, event_id="a", source="wms-2"), goods("stock_counted", 8, 200, event_id="a")],
        {"DC1:on_hand": 5, LEFT: 5}, {"web": 5},
    ),
    Story(
        "quarantined is what the newest count that gives it says",
        [goods("stock_received", 10, 300, status="quarantined"), goods("stock_counted", 8, 200),
         goods("stock_counted", 6, 250, quarantined=1), goods("stock_adjusted", 2, 100, status="quarantined")],
        {"DC1:on_hand": 10, "DC1:quarantined": 3, LEFT: 7}, {"web": 7},
    ),
    Story(
        "without a lot a count is of what carries none",
        [goods("stock_received", 10, 300, lot="L1"), goods("stock_received", 3, 300), goods("stock_counted", 5, 200)],
        {"DC1:on_hand": 15, LEFT: 15}, {"web": 15},
    ),
    Story(
        "a held lot adds nothing, wherever it was released it does",
        [goods("stock_received", 10, 300, lot="L1"), goods("stock_received", 10, 300, lot="L1", location="DC2"),
         ("warehouse", {"type": "lot_held", "lot": "L1", "occurred_at": at(200)}),
         ("warehouse", {"type": "lot_released", "lot": "L1", "location": "DC2", "occurred_at": at(100)}),
         goods("stock_status_changed", 4, 50, lot="L1", from_status="available", to_status="quarantined")],
        {"DC1:on_hand": 10, "DC1:quarantined": 10, "DC2:on_hand": 10, "DC2:available": 10}, {"web": 10},
    ),
    Story(
        "a line is cancelled for good",
        [goods("stock_received", 10, 300), line("order_cancelled", None, 250), placed(4, 200), placed(5, 100),
         line("order_allocated", 5, 90, location="DC1")],
        {"DC1:on_hand": 10, LEFT: 10}, {"web": 10},
    ),
    Story(
        "the newest revision stands, with its location and channel",
        [goods("stock_received", 10, 300), placed(9, 250), placed(3, 100, location="DC1"),
         placed(4, 200, channel="days")],
        {"DC1:on_hand": 10, "DC1:soft_allocated": 3, LEFT: 7}, {"web": 7, "days": [7, 7, 7]},
    ),
    Story(
        "a claim without a location counts in every channel that shares one",
        [goods("stock_received", 10, 300), placed(4, 200, channel="days")],
        {"DC1:on_hand": 10, LEFT: 10, "*:soft_allocated": 4}, {"web": 6, "days": [6, 6, 6], "far": 0},
    ),
    Story(
        "a claim lapses, what is reserved does not",
        [goods("stock_received", 10, 300), placed(4, 200, expires_at=at(1)),
         line("order_allocated", 1, 150, location="DC1")],
        {"DC1:on_hand": 10, "DC1:hard_reserved": 1, LEFT: 9}, {"web": 9},
    ),
    Story(
        "what is released is demanded still",
        [goods("stock_received", 10, 300), placed(5, 200), line("order_allocated", 5, 150, location="DC1"),
         line("order_released", 2, 100, location="DC1")],
        {"DC1:on_hand": 10, "DC1:hard_reserved": 3, LEFT: 7, "*:soft_allocated": 2}, {"web": 5},
    ),
    Story(
        "pick and shipment are one fact",
        [goods("stock_received", 10, 300), placed(5, 200), line("order_allocated", 5, 150, location="DC1"),
         handled("pick_confirmed", 3, 100), handled("shipment_confirmed", 5, 90), handled("pick_confirmed", 2, 80)],
        {"DC1:on_hand": 5, LEFT: 5}, {"web": 5},
    ),
    Story(
        "a count between pick and shipment lacks the goods",
        [goods("stock_received", 10, 400), handled("pick_confirmed", 4, 300), goods("stock_counted", 6, 200),
         handled("shipment_confirmed", 4, 100)],
        {"DC1:on_hand": 6, LEFT: 6}, {"web": 6},
    ),
    Story(
        "what is shipped beyond the picks falls on the lots of the later shipments",
        [goods("stock_received", 10, 400, lot="L1"), goods("stock_received", 10, 400, lot="L2"),
         handled("pick_confirmed", 3, 300, lot="L1"), handled("shipment_confirmed", 2, 200, lot="L1", event_id="s1"),
         handled("shipment_confirmed", 4, 200, lot="L2", event_id="s2"),
         ("warehouse", {"type": "lot_held", "lot": "L2", "occurred_at": at(100)})],
        {"DC1:on_hand": 14, "DC1:quarantined": 7, LEFT: 7}, {"web": 7},
    ),
    Story(
        "where only shipments deduct a pick ends nothing",
        [goods("stock_received", 10, 300, location="SHIP"), line("order_allocated", 4, 200, location="SHIP"),
         handled("pick_confirmed", 4, 100, location="SHIP"), handled("shipment_confirmed", 1, 90, location="SHIP")],
        {"SHIP:on_hand": 9, "SHIP:hard_reserved": 3, "SHIP:available": 6}, {"web": 0, "all": 6},
    ),
    Story(
        "where only picks deduct a shipment does nothing",
        [goods("stock_received", 10, 300, location="PICK"), handled("shipment_confirmed", 9, 100, location="PICK"),
         handled("pick_confirmed", 1, 90, location="PICK")],
        {"PICK:on_hand": 9, "PICK:available": 9}, {"all": 9},
    ),
    Story(
        "a transfer is nowhere on hand until it is received, and closed for good",
        [goods("stock_received", 10, 300), goods("transfer_shipped", 6, 200, transfer_id="T-1", to_location="DC2"),
         goods("stock_received", 4, 150, location="DC2", transfer_id="T-1"),
         goods("transfer_shipped", 3, 200, transfer_id="T-2", to_location="DC2"),
         ("warehouse", {"type": "transfer_closed", "transfer_id": "T-2", "location": "DC2", "occurred_at": at(250)})],
        {"DC1:on_hand": 1, LEFT: 1, "DC2:on_hand": 4, "DC2:available": 4, "DC2:in_transit": 2}, {"web": 5},
    ),
    Story(
        "a receipt is what its newest word says, less what came",
        [supply("receipt_expected", 300, quantity=10, eta=on(1)), goods("stock_received", 4, 250, receipt_id="PO-1"),
         supply("receipt_cancelled", 200), supply("receipt_expected", 100, quantity=5, eta=on(1))],
        {"DC1:on_hand": 4, LEFT: 4, "DC1:expected": 1}, {"web": 4, "days": [4, 5, 5]},
    ),
    Story(
        "a cancelled receipt is expected no more",
        [supply("receipt_expected", 300, quantity=10, eta=on(1)), supply("receipt_cancelled", 200)],
        {}, {"days": [0, 0, 0]},
    ),
    Story(
        "days: overdue claims today, far ones on the last day, overdue and undated supply never",
        [goods("stock_received", 10, 300), placed(3, 200, requested_at=on(1), location="DC1"),
         placed(2, 200, requested_at=on(9), order_id="SO-2"), placed(1, 200, requested_at=on(-1), order_id="SO-3"),
         supply("receipt_expected", 300, quantity=5, eta=on(2)),
         supply("receipt_expected", 300, quantity=90, eta=on(-1), receipt_id="PO-2"),
         goods("transfer_shipped", 70, 200, transfer_id="T-1", location="DC2", to_location="DC1")],
        {"DC1:on_hand": 10, "DC1:soft_allocated": 3, LEFT: 7, "DC1:expected": 95, "DC1:in_transit": 70,
         "*:soft_allocated": 3, "DC2:on_hand": -70, "DC2:available": -70},
        {"days": [6, 6, 9], "transit": [6, 6, 9], "web": 4},
    ),
    Story(
        "transit counts from the day of its eta where the channel says so",
        [goods("transfer_shipped", 7, 200, transfer_id="T-1", location="FAR", to_location="DC1", eta=on(1))],
        {"FAR:on_hand": -7, "FAR:available": -7, "DC1:in_transit": 7}, {"days": [0, 0, 0], "transit": [0, 7, 7]},
    ),
    Story(
        "nothing given away today breaks a promise of tomorrow",
        [goods("stock_received", 10, 300), placed(8, 200, requested_at=on(1)),
         supply("receipt_expected", 300, quantity=6, eta=on(2))],
        {"DC1:on_hand": 10, LEFT: 10, "*:soft_allocated": 8, "DC1:expected": 6}, {"days": [2, 2, 8], "web": 2},
    ),
    Story(
        "one location's debt takes nothing from another, an unsellable one is not promised",
        [goods("stock_received", 5, 300), goods("stock_adjusted", -9, 200, location="DC2"),
         goods("stock_received", 50, 300, location="SHED")],
        {"DC1:on_hand": 5, LEFT: 5, "DC2:on_hand": -9, "DC2:available": -9, "SHED:on_hand": 50, "SHED:available": 50},
        {"web": 5, "all": 5},
    ),
    Story(
        "the most specific value that is given wins",
        [goods("stock_received", 10, 300), goods("stock_received", 10, 300, location="DC2")],
        {"DC1:on_hand": 10, LEFT: 8, "DC2:on_hand": 10, "DC2:available": 5},
        {"web": 19, "all": 13, "days": [7, 7, 7]},
        item={"safety_stock": {"*": 2, "DC2": 5}},
        channel_items=[{"channel": "web", "safety_stock": {"DC1": 1}}, {"channel": "days", "buffer_percent": "0.1"}],
    ),
    Story(
        "buffer, percentage rounded up, cap, minimum",
        [goods("stock_received", 10, 300)],
        {"DC1:on_hand": 10, LEFT: 10}, {"web": 5, "all": 0, "days": [3, 3, 3]},
        channel_items=[
            {"channel": "web", "buffer_quantity": 1, "buffer_percent": 33.3},
            {"channel": "all", "buffer_quantity": 1, "minimum": 10},
            {"channel": "days", "cap": 3, "minimum": 3},
        ],
    ),
    Story(
        "what other channels protect is withheld, the higher priority first",
        [goods("stock_received", 10, 300)],
        {"DC1:on_hand": 10, LEFT: 10}, {"days": [6, 6, 6], "web": 4, "all": 0, "transit": [0, 0, 0]},
        channel_items=[{"channel": "days", "protected_quantity": 6}, {"channel": "web", "protected_quantity": 5}],
    ),
    Story(
        "scale and units",
        [goods("stock_received", 2.5, 300), goods("stock_received", "1.00", 200, uom="roll"),
         placed(1, 100, uom="roll")],
        {"DC1:on_hand": 3250, LEFT: 3250, "*:soft_allocated": 3000}, {"web": 150},
        item={"base_uom": "m", "scale": 2, "conversions": {"roll": 30}},
        channel_items=[{"channel": "web", "buffer_quantity": 1}],
    ),
]  # fmt: skip


def tell(lab: Lab, story: Story, item: str, events: list[tuple[int, Event]]) -> None:
    lab.reference("items", {"item": item, **story.item})
    for record in story.channel_items:
        lab.reference("channel_items", {"item": item, **record})
    for number, (topic, said) in events:
        event = {"event_id": f"e{number}", "source": "wms", **said}
        if topic == "orders":
            event["lines"] = [{**one, "item": item} for one in event["lines"]]
        else:
            event["item"] = item
        lab.put(topic, event)


def test_numbers_follow_from_what_was_said_and_not_from_its_order(world: World) -> None:
    lab = Lab(world)
    for location in ("ROOT", "DC1", "DC2", "SHED", "PICK", "SHIP", "FAR"):
        lab.reference("locations", {
            "location": location,
            "parent": None if location in ("ROOT", "FAR") else "ROOT",
            "sellable": location != "SHED",
            "deducts_at": {"PICK": "pick", "SHIP": "shipment"}.get(location, "first"),
        })  # fmt: skip
    days = {"locations": ["DC1"], "horizon_days": 3}
    for channel, policy in {
        "web": {"locations": ["DC1", "DC2"], "priority": 2},
        "all": {"locations": ["ROOT", "DC1"]},
        "days": {**days, "priority": 1},
        "transit": {**days, "promise_in_transit": True},
        "far": {"locations": ["FAR"]},
    }.items():
        lab.reference("channels", {"channel": channel, **policy})
    for number, story in enumerate(STORIES):
        events = list(enumerate(story.events))
        tell(lab, story, f"I{number}/told", events)
        tell(lab, story, f"I{number}/backwards", events[::-1])
    lab.catch_up("--workers", "2", time_zone=NOON_ZONE.key)
    assert lab.codes() == {}
    wrong = []
    for number, story in enumerate(STORIES):
        for item in (f"I{number}/told", f"I{number}/backwards"):
            figures, numbers = lab.figures(item), lab.hash("atp", item)
            found: dict[str, Any] = {
                channel: json.loads(numbers[f"{channel}:by_day" if isinstance(quantity, list) else channel])
                for channel, quantity in story.atp.items()
            }
            if figures != story.figures or found != story.atp:
                wrong.append(f"{item} {story.name}: {figures} {found}, expected {story.figures} {story.atp}")
    assert not wrong, "\n".join(wrong)
    assert not lab.misfits()
