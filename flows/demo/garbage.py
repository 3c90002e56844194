"""Decides which unusable messages the demo sends: one of each code of the contract in turn, and why each is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson

WAREHOUSE, ORDERS = "inventory.warehouse", "inventory.orders"
HOUR, DAY = 3_600_000_000, 86_400_000_000
ITEM, PLACE = "SKU-250", "N-DC1"
TOO_LARGE_BYTES = 1_048_577
CODES = (
    "not_json", "not_an_object", "unknown_type", "unsupported_version", "missing_field", "bad_value", "unknown_item",
    "unknown_location", "unknown_channel", "unknown_uom", "quantity_not_exact", "not_allowed", "late",
    "in_the_future", "conflict", "one_bad_line", "too_large",
)  # fmt: skip


def flawed(number: int, occurred_at: int, curtain: int) -> list[tuple[str, bytes, bytes]]:
    """Give the messages (topic, key, value) of garbage number `number`; what occurred lies before `curtain`.

    A key stays the same where the order of two messages decides which of them is refused.
    """
    code = CODES[number % len(CODES)]
    key = b"garbage-%d" % number
    event = {
        "event_id": f"g{number}",
        "type": "stock_adjusted",
        "source": "wms",
        "occurred_at": _text(occurred_at),
        "item": ITEM,
        "location": PLACE,
        "quantity": 1,
    }
    changes: dict[str, dict[str, object]] = {
        "unknown_type": {"type": "stock_teleported"},
        "unsupported_version": {"schema_version": 9},
        "missing_field": {"quantity": None},
        "bad_value": {"quantity": "many"},
        "unknown_item": {"item": "NO-SUCH-ITEM"},
        "unknown_location": {"location": "NO-SUCH-PLACE"},
        "unknown_uom": {"uom": "barrel"},
        "quantity_not_exact": {"quantity": 0.5},
        "not_allowed": {"source": "shop-plugin"},
        "late": {"occurred_at": _text(curtain - 30 * HOUR)},
        "in_the_future": {"occurred_at": _text(curtain + 2 * DAY)},
    }
    if code in changes:
        return [(WAREHOUSE, key, orjson.dumps(event | changes[code]))]
    if code == "not_json":
        return [(WAREHOUSE, key, b'{"event_id": "torn off in the mid')]
    if code == "not_an_object":
        return [(WAREHOUSE, key, b'"hello?"')]
    if code == "too_large":
        # Rarely: a megabyte each.
        size = TOO_LARGE_BYTES if number % 5 == 0 else 0
        padded = orjson.dumps(event | {"quantity": None, "reason": "x" * size})
        return [(WAREHOUSE, key, padded)]
    if code == "conflict":
        event |= {"event_id": f"g{number}-twice"}
        return [(WAREHOUSE, key, orjson.dumps(event)), (WAREHOUSE, key, orjson.dumps(event | {"quantity": 2}))]
    lines = [
        {"line_id": "good", "item": ITEM, "quantity": 0},
        {"line_id": "bad", "item": "NO-SUCH-ITEM", "quantity": 1},
    ]
    order = {"type": "order_placed", "source": "shop", "order_id": f"G-{number}", "channel": "web", "lines": lines}
    if code == "unknown_channel":
        order |= {"channel": "no-such-channel"}
    return [(ORDERS, key, orjson.dumps({"event_id": f"g{number}", "occurred_at": _text(occurred_at), **order}))]


def _text(moment: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)).isoformat()
