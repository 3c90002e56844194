"""Words of the shop's Admin API (GraphQL): what is asked, and what an answer says.

Written by its public documentation, for versions from 2025-01 on. From 2026-04 on a quantity has `changeFromQuantity`
and a request a key of its own; before that, `compareQuantity`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from operators.adapters.pushing import Change, Fault, Target

#: The first version with `changeFromQuantity`; both text and order of versions are those of dates.
CHANGE_FROM_SINCE: Final = "2026-04"
_version = re.compile(r"/api/([0-9]{4}-[0-9]{2}|unstable)/").search

LEVELS: Final = (
    "query($ids: [ID!]!, $location: ID!) { nodes(ids: $ids) { ... on InventoryItem { id "
    'inventoryLevel(locationId: $location) { quantities(names: ["available"]) { name quantity } } } } }'
)
ORDERS: Final = (
    "query($since: String!, $after: String) { orders(first: 250, after: $after, sortKey: UPDATED_AT, query: $since) "
    "{ nodes { legacyResourceId updatedAt } pageInfo { hasNextPage endCursor } } }"
)
_RESULT: Final = "{ userErrors { code field message } }"
_SET: Final = "mutation($input: InventorySetQuantitiesInput!) { inventorySetQuantities(input: $input) " + _RESULT + " }"
_SET_WITH_KEY: Final = (
    "mutation($input: InventorySetQuantitiesInput!, $key: String!) { inventorySetQuantities(input: $input) "
    "@idempotent(key: $key) " + _RESULT + " }"
)

Request = dict[str, Any]


class Unreadable(ValueError):
    """An answer is none that the documentation knows; the text says what was expected."""


class Throttle(NamedTuple):
    """What the shop says of our budget, in points: what the request cost, what is left, what comes back a second."""

    cost: float
    available: float
    restore_rate: float
    was_refused: bool


class OrderPage(NamedTuple):
    """Orders (number, UTC microseconds of their last change), and where the next page begins."""

    orders: list[tuple[str, int]]
    after: str | None


def levels_request(targets: Sequence[Target]) -> Request:
    """Ask what the shop has; all at one location."""
    assert len({target.location_id for target in targets}) == 1, "a request is about one location"
    ids = [target.item_id for target in targets]
    return {"query": LEVELS, "variables": {"ids": ids, "location": targets[0].location_id}}


def orders_request(since: int, after: str | None) -> Request:
    """Ask which orders changed since a moment (UTC microseconds)."""
    moment = datetime.fromtimestamp(since // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"query": ORDERS, "variables": {"since": f"updated_at:>='{moment}'", "after": after}}


def set_request(url: str, changes: Sequence[Change], key: str) -> Request:
    """Ask to set numbers where the shop still has what we compare with; `key` is this request's own."""
    found = _version(url)
    is_new = found is not None and found[1] >= CHANGE_FROM_SINCE
    before = "changeFromQuantity" if is_new else "compareQuantity"
    told: Request = {
        "name": "available",
        "reason": "correction",
        "referenceDocumentUri": f"gid://atp-engine/Push/{key}",
    }
    if not is_new:
        told["ignoreCompareQuantity"] = False
    told["quantities"] = [
        {
            "inventoryItemId": change.target.item_id,
            "locationId": change.target.location_id,
            "quantity": change.quantity,
            before: change.before,
        }
        for change in changes
    ]
    if is_new:
        return {"query": _SET_WITH_KEY, "variables": {"input": told, "key": key}}
    return {"query": _SET, "variables": {"input": told}}


def throttle_of(answer: Mapping[str, Any]) -> Throttle | None:
    """Read what an answer says of our budget; None where it says nothing."""
    errors = answer.get("errors")
    was_refused = isinstance(errors, list) and any(
        isinstance(error, dict) and (error.get("extensions") or {}).get("code") == "THROTTLED" for error in errors
    )
    cost = (answer.get("extensions") or {}).get("cost") or {}
    status = cost.get("throttleStatus") or {}
    try:
        return Throttle(
            float(cost["requestedQueryCost"]),
            float(status["currentlyAvailable"]),
            float(status["restoreRate"]),
            was_refused,
        )
    except (KeyError, TypeError, ValueError):
        return Throttle(1.0, 0.0, 1.0, True) if was_refused else None


def errors_of(answer: Mapping[str, Any]) -> str:
    """Give what is wrong with a request as a whole; empty where nothing is."""
    errors = answer.get("errors")
    if not errors:
        return ""
    given = errors if isinstance(errors, list) else [errors]
    return "; ".join(
        str(error.get("message", error) if isinstance(error, dict) else error)[:200] for error in given[:5]
    )


def levels_of(answer: Mapping[str, Any], targets: Sequence[Target]) -> dict[Target, int | str]:
    """Give of each what the shop has, or why it has none. Unreadable where the answer is none of these."""
    nodes = _at(answer, "data", "nodes")
    if not isinstance(nodes, list) or len(nodes) != len(targets):
        raise Unreadable(f"data.nodes: expected {len(targets)} of them, got other")
    found: dict[Target, int | str] = {}
    for target, node in zip(targets, nodes, strict=True):
        if not isinstance(node, dict) or not node:
            found[target] = "the shop has no such item"
            continue
        level = node.get("inventoryLevel")
        if level is None:
            found[target] = "the shop does not stock it at that location"
            continue
        quantities = _at(level, "quantities")
        told = [one.get("quantity") for one in quantities if one.get("name") == "available"]
        if len(told) != 1 or type(told[0]) is not int:
            raise Unreadable("quantities: expected available once, with a whole number, got other")
        found[target] = told[0]
    return found


def orders_of(answer: Mapping[str, Any]) -> OrderPage:
    """Read a page of orders; Unreadable where it is none."""
    page = _at(answer, "data", "orders")
    told = _at(page, "pageInfo")
    orders = []
    for node in _at(page, "nodes"):
        moment = moment_of(node.get("updatedAt"))
        if moment is None:
            raise Unreadable("orders.nodes.updatedAt: expected a time with an offset, got other")
        orders.append((str(node.get("legacyResourceId")), moment))
    return OrderPage(orders, told.get("endCursor") if told.get("hasNextPage") else None)


def faults_of(answer: Mapping[str, Any]) -> list[Fault]:
    """Give why numbers were not set; nothing: they are. Unreadable where the answer does not say."""
    told = _at(answer, "data", "inventorySetQuantities", "userErrors")
    found = []
    for error in told:
        path = error.get("field") or []
        place = next((int(step) for step in path if isinstance(step, str) and step.isdigit()), None)
        found.append(Fault(place, str(error.get("code") or ""), str(error.get("message") or "")[:300]))
    return found


def moment_of(said: object) -> int | None:
    """Read a time with an offset as UTC microseconds; None where it is none."""
    try:
        moment = datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        return None
    return None if moment is None or moment.tzinfo is None else int(moment.timestamp() * 1_000_000)


def _at(document: Any, *path: str) -> Any:
    for step in path:
        document = document.get(step) if isinstance(document, dict) else None
    if document is None:
        raise Unreadable(f"{'.'.join(path)}: expected it in the answer, got none")
    return document
