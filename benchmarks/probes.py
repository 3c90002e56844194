"""The messages whose latency is measured: each has an item of its own, so that what comes out tells which one it was.

Probe n is due at `start + n / rate`, whether or not those before it have come through. In turn they take the number
that the web shop may promise to 0 (critical), down by one (high) and up by ten (normal).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from flows.traffic.profile import ITEMS, WAREHOUSE, Message, channel_code, location_code

PREFIX = "PROBE-"
CHANNEL = channel_code(0)
#: what the web shop withholds of every item, by the generator's policies
BUFFER = 2
AT_FIRST = 100
#: lane, quantity adjusted by, what may be promised then
KINDS = (("critical", -AT_FIRST, 0), ("high", -1, AT_FIRST - 1 - BUFFER), ("normal", 10, AT_FIRST + 10 - BUFFER))


def item_of(number: int) -> str:
    """Name the probe's item."""
    return f"{PREFIX}{number:07d}"


def lane_of(number: int) -> str:
    """Name the lane it must come out in."""
    return KINDS[number % len(KINDS)][0]


def expected(number: int) -> int:
    """Give what Redis shows once it was counted."""
    return KINDS[number % len(KINDS)][2]


def preparation(count: int) -> Iterator[Message]:
    """Give the items, and their first stock."""
    for number in range(count):
        item = item_of(number)
        yield ITEMS, item.encode(), b'{"item":"%s"}' % item.encode()
    for number in range(count):
        yield _event(number, "first", "stock_received", AT_FIRST)


def message(number: int) -> Message:
    """Give the probe itself, occurring now."""
    return _event(number, "probe", "stock_adjusted", KINDS[number % len(KINDS)][1])


def _event(number: int, kind: str, type_: str, quantity: int) -> Message:
    item = item_of(number)
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    value = (
        f'{{"event_id":"{kind}-{number}","type":"{type_}","source":"probe","occurred_at":"{moment}",'
        f'"item":"{item}","location":"{location_code(0)}","quantity":{quantity}}}'
    )
    return WAREHOUSE, item.encode(), value.encode()
