"""What generated traffic is made of: how much of which kind, and the reference data that its events name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

WAREHOUSE, ORDERS, SUPPLY = "inventory.warehouse", "inventory.orders", "inventory.supply"
ITEMS, LOCATIONS, CHANNELS = "inventory.items", "inventory.locations", "inventory.channels"
Message = tuple[str, bytes, bytes]
"""(topic without prefix, key, value)"""
KNOWN_CHANNELS = ("web", "marketplace", "store", "edi")
#: Of the share that is unusable: one of each in turn.
FLAWS = (
    "not_json",
    "not_an_object",
    "unknown_type",
    "missing_field",
    "bad_value",
    "unknown_item",
    "unknown_location",
    "unknown_uom",
    "quantity_not_exact",
    "late",
)


@dataclass(frozen=True, slots=True)
class Profile:
    """How much traffic of which kind. `events` counts every message, also repeated and unusable ones.

    `flash_share`: the flash sale's share of all order lines; 0: half of all orders want it beside what else they want.
    `snapshots`: the share of counts that go through the whole catalog shelf by shelf; 95 % of them say nothing new.
    """

    events: int
    items: int = 1000
    locations: int = 5
    channels: int = 4
    seed: int = 1
    zipf: float = 1.0
    flash_sale: str | None = None
    duplicates: float = 0.015
    invalid: float = 0.001
    shuffled: float = 0.02
    flash_share: float = 0.0
    snapshots: float = 0.0


def item_code(number: int) -> str:
    """Name the item that is number `number` by popularity."""
    return f"SKU-{number:06d}"


def location_code(number: int) -> str:
    """Name a location."""
    return f"DC-{number + 1}"


def channel_code(number: int) -> str:
    """Name a channel."""
    return KNOWN_CHANNELS[number] if number < len(KNOWN_CHANNELS) else f"channel-{number + 1}"


def reference(profile: Profile) -> Iterator[Message]:
    """Give the records that the events name: regions, locations beneath them, channels, items."""
    for number in range(2):
        yield _record(LOCATIONS, f"REGION-{number + 1}", location=f"REGION-{number + 1}", sellable=False)
    for number in range(profile.locations):
        code = location_code(number)
        yield _record(LOCATIONS, code, location=code, parent=f"REGION-{number % 2 + 1}")
    policies: tuple[dict[str, object], ...] = (
        {"priority": 1, "buffer_quantity": 2},
        {"priority": 3, "buffer_percent": 10, "cap": 500},
        {"priority": 2, "minimum": 3},
        {"priority": 4, "buffer_quantity": 5, "low_stock_threshold": 20},
    )
    for number in range(profile.channels):
        code = channel_code(number)
        regions = ["REGION-1", "REGION-2"] if number % 4 < 2 else [f"REGION-{number % 2 + 1}"]
        yield _record(CHANNELS, code, channel=code, locations=regions, **policies[number % 4])
    for number in range(profile.items):
        code = item_code(number)
        yield _record(ITEMS, code, item=code, safety_stock={"*": 2} if number % 5 == 0 else {})
    flash = profile.flash_sale
    if flash is not None and flash not in {item_code(number) for number in range(profile.items)}:
        yield _record(ITEMS, flash, item=flash)


def _record(topic: str, key: str, **value: object) -> Message:
    return topic, key.encode(), orjson.dumps(value)
