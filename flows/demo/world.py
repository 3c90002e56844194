"""Decides what the demo's world is made of: items, places and channels, their policies, and how its time runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
DAY_LENGTH, BEFORE_CURTAIN = 8 * HOUR, 10 * MINUTE
ITEM_COUNT, FLASH_COUNT = 300, 3
LOCATIONS = ("N-DC1", "N-DC2", "S-DC1", "S-STORE1", "S-STORE2")
NORTH, SOUTH = LOCATIONS[:2], LOCATIONS[2:]
#: channel -> where it sells from
SELLS = {"web": LOCATIONS, "marketplace": NORTH, "stores": SOUTH[1:], "edi": (NORTH[0], SOUTH[0])}
CHANNELS: dict[str, dict[str, Any]] = {
    "web": {"locations": ["north", "south"], "priority": 1, "buffer_quantity": 2, "horizon_days": 7,
            "promise_in_transit": True, "low_stock_threshold": 10},
    "marketplace": {"locations": ["north"], "priority": 3, "buffer_percent": 10, "cap": 40, "minimum": 3},
    "stores": {"locations": ["S-STORE1", "S-STORE2"], "priority": 2, "protected_quantity": 2},
    "edi": {"locations": ["N-DC1", "S-DC1"], "priority": 4, "buffer_quantity": 5, "max_updates_per_second": 100},
}  # fmt: skip
#: What the plugin is allowed to say (the demo's configuration); everything else of it is refused.
MAY_SEND = {"shop-plugin": frozenset({"order_placed"})}


def item_code(number: int) -> str:
    """Name the item that is number `number` by popularity; the first are on sale."""
    return f"FLASH-{number + 1}" if number < FLASH_COUNT else f"SKU-{number:03d}"


def text(moment: int) -> str:
    """RFC 3339 of UTC microseconds."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)).isoformat(timespec="microseconds")


@dataclass(frozen=True, slots=True)
class Clock:
    """Compresses the day: the second of the play -> when things occurred, UTC microseconds."""

    seconds: float
    curtain: int

    def occurred(self, at: float) -> int:
        """When what happens at this second of the play occurred."""
        span = DAY_LENGTH - BEFORE_CURTAIN
        return self.curtain - DAY_LENGTH + int(span * min(at / self.seconds, 1.0))


def reference() -> Iterator[tuple[str, bytes, bytes]]:
    """Give all reference records: two regions, five locations, four channels, 300 items, some exceptions."""

    def record(topic: str, key: str, **value: object) -> tuple[str, bytes, bytes]:
        return f"inventory.{topic}", key.encode(), orjson.dumps(value)

    for region in ("north", "south"):
        yield record("locations", region, location=region, sellable=False)
    rules = {"N-DC2": {"deducts_at": "pick"}, "S-STORE1": {"deducts_at": "shipment"}}
    for code in LOCATIONS:
        region = "north" if code in NORTH else "south"
        yield record("locations", code, location=code, parent=region, **rules.get(code, {}))
    for code, policy in CHANNELS.items():
        yield record("channels", code, channel=code, **policy)
    for number in range(ITEM_COUNT):
        code = item_code(number)
        if scale_of(number):
            yield record("items", code, item=code, base_uom="kg", scale=1, conversions={"case": 12.5})
        else:
            safety = {"*": 1} if number % 7 == 5 else {}
            yield record("items", code, item=code, conversions={"case": 12}, safety_stock=safety)
        if number % 40 == 11:
            yield record("channel_items", f"marketplace:{code}", channel="marketplace", item=code, listed=False)
        if number % 40 == 17:
            yield record("channel_items", f"web:{code}", channel="web", item=code, cap=15, safety_stock={"N-DC1": 4})


def scale_of(number: int) -> int:
    """Some items are weighed."""
    return 1 if number % 50 == 49 else 0
