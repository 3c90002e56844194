"""The published shapes of events: one model a type, nothing forgotten, and a JSON Schema that says the same."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from operators.shapes import FAST
from schemas.codes import parse_time
from schemas.event_table import EVENTS
from schemas.events import ANY_EVENT, Event, OrderHead, StockReceived, TransferShipped, parse_lines, parse_version
from schemas.units import EventType

RECEIPT: dict[str, Any] = {
    "type": "stock_received",
    "event_id": "evt-1",
    "source": "wms",
    "occurred_at": "2025-01-31T12:00:00Z",
    "item": "RETRO-CLOCK",
    "location": "dc-1",
    "quantity": 5,
}
ORDER: dict[str, Any] = {
    "type": "order_placed",
    "event_id": "evt-2",
    "source": "oms",
    "occurred_at": "2025-01-31T12:00:00Z",
    "order_id": "order-1",
    "channel": "web",
    "lines": [{"line_id": "1", "item": "RETRO-CLOCK", "quantity": 2}],
}


def test_every_type_has_one_model_and_one_topic() -> None:
    assert {spec.number for spec in EVENTS.values()} == set(EventType)
    for name, spec in EVENTS.items():
        assert spec.name == name
        assert get_args(spec.model.model_fields["type"].annotation) == (name,)
        assert spec.kind == {1: "warehouse", 2: "orders", 3: "supply"}[1 if spec.number < 20 else spec.number // 10]
        assert (spec.line is not None) == (spec.kind == "orders") == issubclass(spec.model, OrderHead)
        assert issubclass(spec.model, spec.head)


def test_the_fast_path_knows_the_same_types() -> None:
    assert {name: fast.type for name, fast in FAST.items()} == {name: spec.number for name, spec in EVENTS.items()}


#: Contract section 2: the required fields of each type beside those of every event.
REQUIRED = {
    "stock_received": "item location quantity",
    "stock_adjusted": "item location quantity",
    "stock_counted": "item location quantity",
    "stock_status_changed": "item location quantity from_status to_status",
    "lot_held": "item lot",
    "lot_released": "item lot",
    "transfer_shipped": "item transfer_id location to_location quantity",
    "transfer_closed": "item transfer_id location",
    "pick_confirmed": "item order_id line_id location quantity",
    "shipment_confirmed": "item order_id line_id location quantity",
    "return_received": "item location quantity",
    "lot_dated": "item lot",
    "stock_withheld": "item location quantity",
    "order_placed": "order_id channel lines",
    "order_allocated": "order_id lines",
    "order_released": "order_id lines",
    "order_cancelled": "order_id lines",
    "order_reopened": "order_id lines",
    "receipt_expected": "receipt_id item location quantity eta",
    "receipt_cancelled": "receipt_id item location",
}
REQUIRED_OF_LINES = {
    "order_placed": "line_id item quantity",
    "order_allocated": "line_id item location quantity",
    "order_released": "line_id item location quantity",
    "order_cancelled": "line_id item",
    "order_reopened": "line_id item",
}


def required_of(model: type[Any]) -> set[str]:
    return {name for name, info in model.model_fields.items() if info.is_required()}


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_a_type_requires_what_the_contract_requires(name: str) -> None:
    common = {"event_id", "type", "source", "occurred_at"}
    spec = EVENTS[name]
    assert required_of(spec.model) == required_of(spec.head) == common | set(REQUIRED[name].split())
    if spec.line is not None:
        assert required_of(spec.line) == set(REQUIRED_OF_LINES[name].split())


def test_an_event_is_told_by_its_type() -> None:
    event = ANY_EVENT.validate_python(RECEIPT)
    assert isinstance(event, StockReceived)
    assert (event.quantity, event.status, event.lot) == (5, "available", None)
    assert event.occurred_at == parse_time("2025-01-31T12:00:00Z")


@pytest.mark.parametrize("changes", [{"type": "banana"}, {"type": None}, {"type": 5}])
def test_no_other_type_is_an_event(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ANY_EVENT.validate_python({**RECEIPT, **changes})


def test_null_is_absent_and_unknown_is_ignored() -> None:
    event = ANY_EVENT.validate_python({**RECEIPT, "lot": None, "status": None, "schema_version": None, "extra": [1]})
    assert event == ANY_EVENT.validate_python(RECEIPT)
    with pytest.raises(ValidationError, match="Field required"):
        ANY_EVENT.validate_python({**RECEIPT, "quantity": None})
    line = {**ORDER["lines"][0], "quantity": None}
    with pytest.raises(ValidationError, match="Field required"):
        ANY_EVENT.validate_python({**ORDER, "lines": [line]})


def test_the_lines_of_an_order_are_judged_with_it() -> None:
    assert ANY_EVENT.validate_python(ORDER).lines[0].quantity == 2
    for lines in ([], {}, [5], [{}], ORDER["lines"] * 1001):
        with pytest.raises(ValidationError):
            ANY_EVENT.validate_python({**ORDER, "lines": lines})


@pytest.mark.parametrize("quantity", [1, "1", 1.0, "0.5", 10**30])
def test_a_receipt_takes_any_quantity_above_zero(quantity: Any) -> None:
    ANY_EVENT.validate_python({**RECEIPT, "quantity": quantity})


@pytest.mark.parametrize("quantity", [0, -1, "0.0", "-0.5", "five", True, [], {}])
def test_a_receipt_takes_no_other_quantity(quantity: Any) -> None:
    with pytest.raises(ValidationError, match="expected "):
        ANY_EVENT.validate_python({**RECEIPT, "quantity": quantity})


def test_events_read_the_same_from_json_text() -> None:
    assert ANY_EVENT.validate_json(json.dumps(RECEIPT)) == ANY_EVENT.validate_python(RECEIPT)


def test_an_event_cannot_be_changed() -> None:
    event = ANY_EVENT.validate_python(RECEIPT)
    with pytest.raises(ValidationError):
        event.quantity = 6
    assert event.quantity == 5


@pytest.mark.parametrize(("version", "passes"), [(0, False), (1, True), (2, False), ("1", False), (1.0, True)])
def test_only_version_1_is_spoken(version: Any, passes: bool) -> None:
    if passes:
        ANY_EVENT.validate_python({**RECEIPT, "schema_version": version})
    else:
        with pytest.raises(ValidationError):
            ANY_EVENT.validate_python({**RECEIPT, "schema_version": version})


def test_a_version_is_read_even_if_it_is_not_spoken() -> None:
    assert parse_version(2) == 2
    with pytest.raises(ValueError, match="expected an integer of 1 or more, got 0"):
        parse_version(0)


@pytest.mark.parametrize(("count", "passes"), [(0, False), (1, True), (1000, True), (1001, False)])
def test_lines_are_1_to_1000(count: int, passes: bool) -> None:
    if passes:
        assert len(parse_lines([{}] * count)) == count
    else:
        with pytest.raises(ValueError, match=f"expected 1 to 1000 lines, got {count}"):
            parse_lines([{}] * count)


def test_a_transfer_to_where_it_is_contradicts_itself() -> None:
    shipped = {**RECEIPT, "type": "transfer_shipped", "transfer_id": "tr-1", "to_location": "dc-2"}
    assert isinstance(ANY_EVENT.validate_python(shipped), TransferShipped)
    with pytest.raises(ValidationError, match="to_location: expected another location than location"):
        ANY_EVENT.validate_python({**shipped, "to_location": "dc-1"})


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_every_model_has_a_json_schema_with_the_same_fields(name: str) -> None:
    model: type[Event] = EVENTS[name].model
    schema = model.model_json_schema()
    assert set(schema["properties"]) == set(model.model_fields)
    assert set(schema["required"]) == required_of(model)
    assert schema["properties"]["type"]["const"] == name
    assert schema["properties"]["occurred_at"]["format"] == "date-time"
    json.dumps(schema)


def test_the_union_of_all_events_has_a_json_schema() -> None:
    assert set(ANY_EVENT.json_schema()["discriminator"]["mapping"]) == set(EVENTS)
