"""Reference data: which records come into force, which go to the dead letters and leave the older one standing."""

from __future__ import annotations

import json
from typing import Any

from tests.conftest import World
from tests.contract.lab import Lab, moment

#: (topic, record, the code it is refused with or None)
RECORDS: list[tuple[str, dict[str, Any], str | None]] = [
    ("locations", {"location": "DC1", "parent": "DC1"}, "bad_value"),
    ("locations", {"location": "TOP"}, None),
    ("locations", {"location": "MIDDLE", "parent": "TOP"}, None),
    ("locations", {"location": "LOW", "parent": "MIDDLE"}, None),
    ("locations", {"location": "TOP", "parent": "LOW"}, "bad_value"),
    ("locations", {"location": "LOST", "parent": "NOWHERE"}, "bad_value"),
    ("locations", {"location": "EARLY", "parent": "LATER"}, None),
    ("locations", {"location": "LATER"}, None),
    ("locations", {"location": "DC1", "deducts_at": "never"}, "bad_value"),
    ("locations", {"location": "DC1", "sellable": "true"}, "bad_value"),
    ("locations", {"location": "DC2", "parent": None, "sellable": None, "deducts_at": None, "color": "red"}, None),
    ("locations", {"location": "DC2", "x": "y" * (1 << 20)}, "too_large"),
    ("channels", {"channel": "web", "locations": ["DC1", "NOWHERE"]}, "bad_value"),
    ("channels", {"channel": "web"}, "bad_value"),
    ("channels", {"channel": "web", "locations": ["a b"]}, "bad_value"),
    ("channels", {"channel": "empty", "locations": []}, None),
    ("channels", {"channel": "twice", "locations": ["TOP", "MIDDLE", "MIDDLE"]}, None),
    *(
        ("channels", {"channel": "web", "locations": ["DC1"], name: value}, "bad_value")
        for name, values in {
            "priority": (0, 1.5, "x"), "horizon_days": (-1, 181, 1.5, True), "buffer_quantity": (-1, 1.5, 2**53),
            "buffer_percent": (-1, 100.5), "cap": (-1, 1.5), "minimum": (-1, 0.5), "low_stock_threshold": (-1, 0.5),
            "protected_quantity": (-1, 0.5), "max_updates_per_second": (0, -1), "promise_in_transit": (1, "yes"),
        }.items()
        for value in values
    ),
    ("channels", {"channel": "web", "locations": ["DC1"], "buffer_quantity": "2.0", "buffer_percent": 12.5}, None),
    ("channels", {"channel": "half-year", "locations": ["DC1"], "horizon_days": 180, "cap": 2**53 - 1}, None),
    ("items", {"item": "SHOVEL", "scale": 7}, "bad_value"),
    ("items", {"item": "SHOVEL", "scale": 1.5}, "bad_value"),
    ("items", {"item": "SHOVEL", "base_uom": ""}, "bad_value"),
    ("items", {"item": "SHOVEL", "conversions": {"case": 0}}, "bad_value"),
    ("items", {"item": "SHOVEL", "conversions": {"case": -1}}, "bad_value"),
    ("items", {"item": "SHOVEL", "conversions": {"a b": 1}}, "bad_value"),
    ("items", {"item": "SHOVEL", "conversions": {"each": 2}}, "bad_value"),
    ("items", {"item": "SHOVEL", "conversions": []}, "bad_value"),
    ("items", {"item": "SHOVEL", "safety_stock": {"NOWHERE": 1}}, "bad_value"),
    ("items", {"item": "SHOVEL", "safety_stock": {"*": -1}}, "bad_value"),
    ("items", {"item": "SHOVEL", "safety_stock": {"*": 1.5}}, "bad_value"),
    ("items", {"item": "SHOVEL", "low_stock_threshold": 0.5}, "bad_value"),
    ("items", {"item": "SHOVEL", "safety_stock": {"*": 1, "DC2": 2}, "conversions": {"each": 1, "case": None}}, None),
    ("items", {"item": "ROPE", "scale": 1, "safety_stock": {"*": 2.5}}, None),
    ("channel_items", {"channel": "nope", "item": "SHOVEL"}, "bad_value"),
    ("channel_items", {"channel": "web", "item": "SHOVEL", "cap": 1.5}, "bad_value"),
    ("channel_items", {"channel": "web", "item": "SHOVEL", "safety_stock": {"NOWHERE": 1}}, "bad_value"),
    ("channel_items", {"channel": "web", "item": "SHOVEL", "listed": "no"}, "bad_value"),
    ("channel_items", {"channel": "web", "item": "ROPE", "cap": 1.5}, None),
    ("channel_items", {"channel": "web", "item": "NOT-YET", "cap": 1}, None),
]  # fmt: skip


def test_a_wrong_record_goes_to_the_dead_letters_and_the_older_one_stays_in_force(world: World) -> None:
    lab = Lab(world)
    for location in ("DC1", "DC2"):
        lab.reference("locations", {"location": location})
    lab.reference("channels", {"channel": "web", "locations": ["DC1"], "buffer_quantity": 7})
    lab.reference("items", {"item": "SHOVEL"})
    expected = {lab.reference(topic, record): code for topic, record, code in RECORDS}
    for topic, value, key in (
        ("locations", {"location": "DC1"}, "DC2"), ("locations", "text", "DC1"), ("locations", "[]", "DC1"),
        ("locations", b"", "DC1"), ("items", {"item": "SHOVEL"}, "ROPE"), ("channels", "{}", "web"),
        ("channel_items", {"channel": "web", "item": "SHOVEL"}, "SHOVEL:web"),
    ):  # fmt: skip
        expected[lab.put(topic, value, key)] = "bad_value"
    for topic, key in (("locations", "UNKNOWN"), ("items", "UNKNOWN"), ("channel_items", "no colon")):
        expected[lab.put(topic, None, key)] = None
    lab.catch_up()
    found = {place: [code for code, _ in codes] for place, codes in lab.codes().items()}
    assert found == {place: [code] for place, code in expected.items() if code}
    # A safety stock of 2 at DC2 and of 1 elsewhere, a buffer of 2 and an eighth rounded up: 20 - 1 - 2 - 3.
    for quantity, item in ((20, "SHOVEL"), (2.5, "ROPE")):
        lab.put("warehouse", {
            "event_id": item, "type": "stock_received", "source": "wms", "item": item, "location": "DC1",
            "quantity": quantity, "occurred_at": moment(),
        })  # fmt: skip
    lab.catch_up()
    assert lab.hash("atp", "SHOVEL")["web"] == "14"
    assert lab.hash("atp", "ROPE")["web"] == "0"
    assert set(json.loads(lab.hash("atp", "SHOVEL")["half-year:by_day"])) == {19}
    assert not lab.misfits()
    _while_the_item_has_state(lab)


def _while_the_item_has_state(lab: Lab) -> None:
    """Base unit and scale stay; conversions change for later events; a tombstone unlists and keeps the state."""
    refused = [
        lab.reference("items", {"item": "SHOVEL", "base_uom": "kg"}),
        lab.reference("items", {"item": "SHOVEL", "scale": 1}),
    ]
    lab.reference("items", {"item": "SHOVEL", "conversions": {"case": 10}})
    lab.put("warehouse", {
        "event_id": "cases", "type": "stock_received", "source": "wms", "item": "SHOVEL", "location": "DC1",
        "quantity": 1, "uom": "case", "occurred_at": moment(),
    })  # fmt: skip
    lab.catch_up()
    assert all(lab.codes()[place] == [("bad_value", None)] for place in refused)
    assert lab.figures("SHOVEL")["DC1:on_hand"] == 30
    lab.put("items", None, "SHOVEL")
    lab.catch_up()
    assert lab.hash("atp", "SHOVEL") == lab.hash("position", "SHOVEL") == {}
    last = {update["channel"]: update for update in lab.updates("SHOVEL")}
    assert {(update["atp"], update["cause"]) for update in last.values()} == {(0, "unlisted")}
    refused = [lab.reference("items", {"item": "SHOVEL", "scale": 1})]
    lab.reference("items", {"item": "SHOVEL"})
    lab.catch_up()
    assert lab.codes()[refused[0]] == [("bad_value", None)]
    assert lab.figures("SHOVEL") == {"DC1:on_hand": 30, "DC1:available": 30}
    back = [update for update in lab.updates("SHOVEL") if update["channel"] == "half-year"][-1]
    assert (back["atp"], back["previous"], back["lane"], back["cause"]) == (30, None, "bulk", "reference")
