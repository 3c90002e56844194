"""What is asked of the shop's API, and what its answers say."""

from __future__ import annotations

from typing import Any

import pytest

from operators.adapters.pushing import Change, Fault, Target
from operators.adapters.shop_api import (
    Unreadable,
    errors_of,
    faults_of,
    levels_of,
    moment_of,
    orders_of,
    orders_request,
    set_request,
    throttle_of,
)

HERE = Target("gid://shopify/InventoryItem/1", "gid://shopify/Location/1")
THERE = Target("gid://shopify/InventoryItem/2", "gid://shopify/Location/1")


@pytest.mark.parametrize(("version", "before"), [("2025-10", "compareQuantity"), ("2026-01", "compareQuantity")])
def test_before_2026_04_a_quantity_is_compared_by_name(version: str, before: str) -> None:
    request = set_request(f"https://s.example/admin/api/{version}/graphql.json", [Change(HERE, 5, 3)], "k")
    told = request["variables"]["input"]
    assert told["ignoreCompareQuantity"] is False
    assert told["quantities"] == [
        {"inventoryItemId": HERE.item_id, "locationId": HERE.location_id, "quantity": 5, before: 3}
    ]
    assert "@idempotent" not in request["query"] and "key" not in request["variables"]


@pytest.mark.parametrize("version", ["2026-04", "2027-01", "unstable"])
def test_since_then_it_says_what_it_changes_from_and_has_a_key(version: str) -> None:
    request = set_request(f"https://s.example/admin/api/{version}/graphql.json", [Change(HERE, 5, 3)], "k")
    told = request["variables"]["input"]
    assert "ignoreCompareQuantity" not in told and told["quantities"][0]["changeFromQuantity"] == 3
    assert "@idempotent(key: $key)" in request["query"] and request["variables"]["key"] == "k"


def test_levels_are_read_and_what_has_none_says_why() -> None:
    quantities = [{"name": "available", "quantity": -2}]
    nodes: list[Any] = [{"id": "1", "inventoryLevel": {"quantities": quantities}}, {"id": "2", "inventoryLevel": None}]
    assert levels_of({"data": {"nodes": nodes}}, [HERE, THERE]) == {
        HERE: -2,
        THERE: "the shop does not stock it at that location",
    }
    assert levels_of({"data": {"nodes": [None]}}, [HERE]) == {HERE: "the shop has no such item"}


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"data": None},
        {"data": {"nodes": []}},
        {"data": {"nodes": [{"inventoryLevel": {"quantities": []}}]}},
        {"data": {"nodes": [{"inventoryLevel": {"quantities": [{"name": "available", "quantity": 1.5}]}}]}},
    ],
)
def test_levels_that_are_none_are_not_guessed(answer: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        levels_of(answer, [HERE])


def test_orders_come_in_pages() -> None:
    nodes = [{"legacyResourceId": "7", "updatedAt": "2026-01-01T00:00:01Z"}]
    page: dict[str, Any] = {"nodes": nodes, "pageInfo": {"hasNextPage": True, "endCursor": "c"}}
    assert orders_of({"data": {"orders": page}}) == ([("7", 1_767_225_601_000_000)], "c")
    page["pageInfo"] = {"hasNextPage": False, "endCursor": "c"}
    assert orders_of({"data": {"orders": page}}).after is None
    assert orders_request(1_767_225_601_999_999, None)["variables"]["since"] == "updated_at:>='2026-01-01T00:00:01Z'"


def test_a_fault_names_its_place_or_none() -> None:
    errors: list[dict[str, Any]] = [
        {"code": "X", "field": ["input", "quantities", "3", "quantity"], "message": "m"},
        {"code": None, "field": None, "message": "n"},
    ]
    answer = {"data": {"inventorySetQuantities": {"userErrors": errors}}}
    assert faults_of(answer) == [Fault(3, "X", "m"), Fault(None, "", "n")]
    assert faults_of({"data": {"inventorySetQuantities": {"userErrors": []}}}) == []
    with pytest.raises(Unreadable):
        faults_of({"data": {"inventorySetQuantities": None}})


def test_a_throttled_request_says_what_it_would_have_cost() -> None:
    cost = {"requestedQueryCost": 101, "throttleStatus": {"currentlyAvailable": 9.0, "restoreRate": 50.0}}
    throttled = [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]
    assert throttle_of({"extensions": {"cost": cost}}) == (101.0, 9.0, 50.0, False)
    assert throttle_of({"errors": throttled, "extensions": {"cost": cost}}) == (101.0, 9.0, 50.0, True)
    assert throttle_of({"errors": throttled}) == (1.0, 0.0, 1.0, True)
    assert throttle_of({"data": {}}) is None


@pytest.mark.parametrize(("errors", "said"), [(None, ""), ([{"message": "a"}, {"message": "b"}], "a; b"), ("no", "no")])
def test_what_is_wrong_with_a_request_is_told(errors: Any, said: str) -> None:
    assert errors_of({"errors": errors}) == said


@pytest.mark.parametrize(("said", "is_time"), [("2026-01-01T00:00:00Z", True), ("2026-01-01", False), (None, False)])
def test_a_time_has_an_offset(said: str | None, is_time: bool) -> None:
    assert (moment_of(said) is not None) == is_time
