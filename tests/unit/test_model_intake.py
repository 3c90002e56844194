"""Decides whether the naive model accepts and refuses what sections 1 to 3 of the contract say."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.desk import HOUR, MINUTE, NOW, Desk, at, instant

ROOT = Path(__file__).parents[2]


@pytest.fixture
def desk() -> Desk:
    return Desk()


# Units, once


def test_a_repeat_is_dropped_and_counted(desk: Desk) -> None:
    desk.did("stock_received", 5, event_id="x", reason="delivery")
    desk.did("stock_received", 5.0, event_id="x", occurred_at="2026-11-23T13:00:00+01:00", status="available", lot=None)
    assert (desk.on_hand(), desk.model.duplicates) == (5, 1)


@pytest.mark.parametrize("change", [{"quantity": 6}, {"location": "DC2"}, {"occurred_at": at("11:59")}, {"lot": "L1"}])
def test_the_same_id_with_other_content_is_a_conflict(desk: Desk, change: dict[str, Any]) -> None:
    event: dict[str, Any] = {"event_id": "x", "item": "SHOVEL", "location": "DC1", "quantity": 5}
    assert desk.says("stock_received", **event) == []
    assert desk.says("stock_received", **(event | change)) == [("conflict", None)]
    assert desk.on_hand() == 5


def test_one_id_from_two_sources_or_for_two_items_is_two_units(desk: Desk) -> None:
    desk.knows("items", item="RAKE")
    desk.did("stock_received", 5, event_id="x")
    desk.did("stock_received", 5, event_id="x", source="erp")
    desk.did("stock_received", 5, event_id="x", item="RAKE")
    assert (desk.on_hand(), desk.model.duplicates) == (10, 0)


def test_lines_stand_alone_and_the_refusal_names_the_line(desk: Desk) -> None:
    lines = [
        {"line_id": "1", "item": "SHOVEL", "quantity": 2, "location": "DC1"},
        {"line_id": "2", "item": "TEAPOT", "quantity": 2},
        {"line_id": "3", "item": "SHOVEL", "quantity": -2},
        {"item": "SHOVEL", "quantity": 1},
    ]
    refusals = desk.says("order_placed", order_id="SO-1", channel="web", lines=lines)
    assert refusals == [("unknown_item", "2"), ("bad_value", "3"), ("missing_field", None)]
    assert desk.at("DC1", "soft_allocated") == 2


def test_what_was_refused_may_be_sent_again(desk: Desk) -> None:
    event: dict[str, Any] = {"event_id": "x", "item": "RAKE", "location": "DC1", "quantity": 5}
    assert desk.says("stock_received", **event) == [("unknown_item", None)]
    desk.knows("items", item="RAKE")
    assert desk.says("stock_received", **event) == []


@pytest.mark.parametrize(("moment", "code"), [(-1, None), (0, None), (1, "late")])
def test_late_begins_beyond_the_window(desk: Desk, moment: int, code: str | None) -> None:
    refusals = desk.says("stock_received", NOW + 24 * HOUR + moment, item="SHOVEL", location="DC1", quantity=1)
    assert refusals == ([(code, None)] if code else [])


@pytest.mark.parametrize(("moment", "code"), [(1, None), (0, None), (-1, "in_the_future")])
def test_the_future_begins_beyond_the_skew(desk: Desk, moment: int, code: str | None) -> None:
    refusals = desk.says("stock_received", NOW - 5 * MINUTE + moment, item="SHOVEL", location="DC1", quantity=1)
    assert refusals == ([(code, None)] if code else [])


def test_a_repeat_outside_the_window_is_late_and_not_a_duplicate(desk: Desk) -> None:
    event: dict[str, Any] = {"event_id": "x", "item": "SHOVEL", "location": "DC1", "quantity": 5}
    assert desk.says("stock_received", **event) == []
    assert desk.says("stock_received", NOW + 25 * HOUR, **event) == [("late", None)]
    assert desk.model.duplicates == 0


def test_a_named_source_has_its_own_window_types_and_locations() -> None:
    bounds = {"dedup_window_us": HOUR, "may_send": {"stock_received", "lot_held"}, "locations": {"DC1"}}
    desk = Desk(sources={"wms": bounds})
    goods: dict[str, Any] = {"item": "SHOVEL", "location": "DC1", "quantity": 1}
    assert desk.says("stock_received", **goods) == []
    assert desk.says("stock_received", NOW + HOUR + 1, **goods) == [("late", None)]
    assert desk.says("stock_adjusted", **goods) == [("not_allowed", None)]
    assert desk.says("stock_received", **(goods | {"location": "DC2"})) == [("not_allowed", None)]
    assert desk.says("lot_held", item="SHOVEL", lot="L1") == [("not_allowed", None)]
    assert desk.says("stock_adjusted", **goods, source="erp") == []


def test_what_is_wrong_with_a_whole_order_is_said_once(desk: Desk) -> None:
    lines = [{"line_id": str(n), "item": "SHOVEL", "quantity": 1} for n in range(3)]
    assert desk.says("order_placed", order_id="SO-1", channel="shop", lines=lines) == [("unknown_channel", None)]
    assert desk.says("order_placed", NOW + 25 * HOUR, order_id="SO-1", channel="web", lines=lines) == [("late", None)]
    assert desk.says("order_placed", order_id="SO-1", channel="web", lines=[]) == [("bad_value", None)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "not_json"),
        ('{"quantity": NaN}', "not_json"),
        ("[]", "not_an_object"),
        ('{"schema_version": 2, "type": "no_such"}', "unsupported_version"),
        ('{"schema_version": 0}', "bad_value"),
        ("{}", "missing_field"),
        ('{"type": "order_placed"}', "unknown_type"),
        ('{"type": 7}', "unknown_type"),
        ('{"type": "stock_received"}', "missing_field"),
        (" " * 1_048_577, "too_large"),
    ],
)
def test_what_cannot_be_read_is_refused_by_the_first_thing_wrong(desk: Desk, text: str, code: str) -> None:
    assert desk.raw("warehouse", text) == [(code, None)]


@pytest.mark.parametrize(
    ("kind", "change", "code"),
    [
        ("stock_received", {"location": None}, "missing_field"),
        ("stock_received", {"quantity": None}, "missing_field"),
        ("stock_received", {"quantity": 0}, "bad_value"),
        ("stock_received", {"quantity": True}, "bad_value"),
        ("stock_received", {"quantity": "five"}, "bad_value"),
        ("stock_received", {"quantity": 2**53}, "bad_value"),
        ("stock_received", {"quantity": 1.5}, "quantity_not_exact"),
        ("stock_received", {"uom": "pallet"}, "unknown_uom"),
        ("stock_received", {"location": "MOON"}, "unknown_location"),
        ("stock_received", {"location": "-DC1"}, "bad_value"),
        ("stock_received", {"lot": "L" * 65}, "bad_value"),
        ("stock_received", {"event_id": "with space"}, "bad_value"),
        ("stock_received", {"status": "lost"}, "bad_value"),
        ("stock_received", {"occurred_at": "2026-11-23T12:00:00"}, "bad_value"),
        ("stock_received", {"occurred_at": "2026-11-23T12:00:60Z"}, "bad_value"),
        ("stock_received", {"occurred_at": "2026-11-31T12:00:00Z"}, "bad_value"),
        ("stock_received", {"occurred_at": "2026-11-23 12:00:00Z"}, "bad_value"),
        ("stock_received", {"receipt_id": "PO-1", "transfer_id": "T1"}, "bad_value"),
        ("stock_adjusted", {"quantity": 0}, "bad_value"),
        ("stock_counted", {"quantity": 5, "quarantined": 6}, "bad_value"),
        ("stock_counted", {"quantity": 5, "quarantined": -1}, "bad_value"),
        ("stock_status_changed", {"from_status": "available", "to_status": "available"}, "bad_value"),
        ("transfer_shipped", {"transfer_id": "T1", "to_location": "DC1"}, "bad_value"),
        ("transfer_shipped", {"transfer_id": "T1", "to_location": "MOON"}, "unknown_location"),
        ("lot_held", {"quantity": None}, "missing_field"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_code(desk: Desk, kind: str, change: dict[str, Any], code: str) -> None:
    event: dict[str, Any] = {"item": "SHOVEL", "location": "DC1", "quantity": 5} | change
    assert desk.says(kind, **event) == [(code, None)]
    assert desk.model.units == {}


def test_a_quantity_is_exact_in_the_items_scale_after_conversion(desk: Desk) -> None:
    desk.knows("items", item="SHOVEL", base_uom="kg", scale=1, conversions={"bag": 12.5, "g": "0.001"})
    desk.did("stock_received", 3, uom="bag")
    desk.did("stock_received", 200, uom="g")
    assert desk.on_hand() == 377
    assert desk.says("stock_received", item="SHOVEL", location="DC1", quantity=1.1, uom="bag") == [
        ("quantity_not_exact", None)
    ]


def test_a_change_of_conversions_acts_on_later_events_only(desk: Desk) -> None:
    desk.knows("items", item="SHOVEL", conversions={"box": 10})
    desk.did("stock_received", 1, uom="box", event_id="x")
    desk.knows("items", item="SHOVEL", conversions={"box": 12})
    desk.did("stock_received", 1, uom="box")
    assert desk.on_hand() == 22
    repeat: dict[str, Any] = {"event_id": "x", "item": "SHOVEL", "location": "DC1", "quantity": 1, "uom": "box"}
    assert desk.says("stock_received", **repeat) == [("conflict", None)]


def test_the_line_names_its_uom_before_the_order_does(desk: Desk) -> None:
    desk.knows("items", item="SHOVEL", conversions={"box": 10, "pair": 2})
    line = {"line_id": "1", "item": "SHOVEL", "quantity": 1, "location": "DC1"}
    desk.order("order_placed", lines=[line, line | {"line_id": "2", "uom": "pair"}], uom="box")
    assert desk.at("DC1", "soft_allocated") == 12


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-11-23T11:59:59.9999999z", "2026-11-23T11:59:59.999999Z"),
        ("2026-11-23T01:30:00-05:30", "2026-11-23T07:00:00Z"),
        ("2026-11-22T23:59:60Z", "2026-11-23T00:00:00Z"),
        ("2026-11-23T05:29:60+05:30", "2026-11-23T00:00:00Z"),
    ],
)
def test_a_time_is_an_instant_to_the_microsecond(desk: Desk, text: str, same: str) -> None:
    desk.did("stock_received", 1, event_id="x", occurred_at=text)
    desk.did("stock_received", 1, event_id="x", occurred_at=same)
    assert (desk.model.duplicates, desk.model.as_of("SHOVEL")) == (1, instant(same))


def test_as_of_is_the_latest_time_that_was_applied(desk: Desk) -> None:
    assert desk.model.as_of("SHOVEL") is None
    desk.did("stock_received", 1, occurred_at=at("11:00"))
    desk.did("stock_received", 1, occurred_at=at("09:00"))
    assert desk.says("stock_received", item="SHOVEL", location="MOON", quantity=1) == [("unknown_location", None)]
    assert desk.model.as_of("SHOVEL") == instant(at("11:00"))


def test_a_limit_on_size_of_ones_own_is_in_bytes() -> None:
    desk = Desk(max_bytes=100)
    assert desk.raw("warehouse", "{" + " " * 98 + "}") == [("missing_field", None)]
    assert desk.raw("warehouse", "{" + " " * 99 + "}") == [("too_large", None)]


@pytest.mark.parametrize("name", ["reading", "records", "intake", "lines", "quantities", "model"])
def test_the_model_is_made_of_nothing_but_python_and_itself(name: str) -> None:
    tree = ast.parse((ROOT / "flows" / "audit" / f"{name}.py").read_text())
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    own = {f"flows.audit.{other}" for other in ("reading", "records", "intake", "lines", "quantities")}
    assert modules and {module for module in modules if module.partition(".")[0] not in sys.stdlib_module_names} <= own


# Reference data


@pytest.mark.parametrize(
    ("topic", "record"),
    [
        ("locations", {"location": "DC1", "parent": "DC1"}),
        ("locations", {"location": "DC1", "parent": "MOON"}),
        ("locations", {"location": "DC1", "sellable": "yes"}),
        ("locations", {"location": "DC1", "deducts_at": "never"}),
        ("items", {"item": "SHOVEL", "scale": 7}),
        ("items", {"item": "SHOVEL", "safety_stock": {"MOON": 1}}),
        ("items", {"item": "SHOVEL", "safety_stock": {"DC1": 1.5}}),
        ("items", {"item": "SHOVEL", "conversions": {"box": 0}}),
        ("channels", {"channel": "web"}),
        ("channels", {"channel": "web", "locations": ["MOON"]}),
        ("channels", {"channel": "web", "locations": ["DC1"], "horizon_days": 181}),
        ("channels", {"channel": "web", "locations": ["DC1"], "buffer_percent": 101}),
        ("channels", {"channel": "web", "locations": ["DC1"], "minimum": 6, "cap": 5}),
        ("channels", {"channel": "web", "locations": ["DC1"], "priority": 0}),
        ("channels", {"channel": "web", "locations": ["DC1"], "cap": 1.5}),
        ("channel_items", {"channel": "market", "item": "SHOVEL"}),
    ],
)
def test_a_wrong_record_is_refused_and_the_older_one_stays(desk: Desk, topic: str, record: dict[str, Any]) -> None:
    desk.did("stock_received", 5)
    assert desk.tells(topic, **record) == ["bad_value"]
    assert desk.atp() == 5


def test_parents_may_not_run_in_a_circle(desk: Desk) -> None:
    desk.knows("locations", location="DC2", parent="DC1")
    desk.knows("locations", location="STORE", parent="DC2")
    assert desk.tells("locations", location="DC1", parent="STORE") == ["bad_value"]


def test_the_measure_of_an_item_is_fixed_once_it_has_state(desk: Desk) -> None:
    desk.knows("items", item="SHOVEL", scale=2)
    desk.knows("items", item="SHOVEL")
    desk.did("stock_received", 5)
    assert desk.tells("items", item="SHOVEL", scale=2) == ["bad_value"]
    desk.forgets("items", "SHOVEL")
    assert desk.tells("items", item="SHOVEL", base_uom="kg") == ["bad_value"]
    desk.knows("items", item="SHOVEL", base_uom="each")
    assert desk.on_hand() == 5


def test_the_key_must_be_the_records_own(desk: Desk) -> None:
    assert desk.model.reference("inventory.items", b"RAKE", b'{"item": "SHOVEL"}') == ["bad_value"]
    assert desk.model.reference("inventory.items", b"RAKE", b"{") == ["bad_value"]
    assert desk.model.reference("inventory.items", b"RAKE", b'{"item": "RAKE"}') == []
