"""Decides what every peer is given: seeded warehouse events of one item each, and the reference data behind them.

The same shape and the same start give the same bytes. Keys are items, so that a peer whose state is by item needs no
second topic to bring an item's events together. A repeat has the bytes of its first delivery.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

import orjson

from benchmarks.peers.job import CHANNELS, LOCATIONS

Message = tuple[str, bytes, bytes]
"""(topic without prefix, key, value)"""

WAREHOUSE = "inventory.warehouse"
MICROSECOND = 1_000_000
#: All events occurred in the half hour before the start: far inside the window in which ids are remembered.
SPAN_US = 1800 * MICROSECOND
#: Items are drawn this many at a time: `choices` is cheap in bulk.
DRAWN = 10_000
#: A repeat comes after at most this many other events.
REPEATED_BY_MAX = 1_000
LOW, RECEIPTS, ADJUSTMENTS = 8, 0.30, 0.90


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of what. `events` counts every message, also the repeated ones."""

    events: int
    items: int = 100_000
    zipf: float = 1.0
    duplicates: float = 0.05
    seed: int = 1


def item_code(number: int) -> str:
    """Name the item that is number `number` by popularity."""
    return f"SKU-{number:06d}"


def reference(shape: Shape) -> Iterator[Message]:
    """Give the records that make our engine apply the policies which the peers have built in."""
    for code in LOCATIONS:
        yield _record("inventory.locations", code, {"location": code})
    for channel in CHANNELS:
        policy = {
            "channel": channel.code,
            "locations": [LOCATIONS[place] for place in channel.places],
            "buffer_quantity": channel.buffer_quantity,
            "buffer_percent": channel.buffer_percent,
        }
        if channel.cap is not None:
            policy["cap"] = channel.cap
        yield _record("inventory.channels", channel.code, policy)
    for number in range(shape.items):
        code = item_code(number)
        yield _record("inventory.items", code, {"item": code})


def events(shape: Shape, start_us: int) -> Iterator[Message]:
    """Give exactly `shape.events` messages whose events all occurred in the half hour before `start_us` (UTC)."""
    random = Random(shape.seed)
    recent: deque[Message] = deque(maxlen=REPEATED_BY_MAX)
    fresh = _fresh(shape, start_us, random)
    for _ in range(shape.events):
        if recent and random.random() < shape.duplicates:
            yield recent[random.randrange(len(recent))]
        else:
            message = next(fresh)
            recent.append(message)
            yield message


def _fresh(shape: Shape, start_us: int, random: Random) -> Iterator[Message]:
    weights = list(itertools.accumulate(1 / rank**shape.zipf for rank in range(1, shape.items + 1)))
    #: what is left to take at an item's place, so that most numbers stay above zero, as in a warehouse
    available: dict[int, int] = {}
    quarantined: dict[int, int] = {}
    draw = random.random
    for count in itertools.count():
        if count % DRAWN == 0:
            drawn = iter(random.choices(range(shape.items), cum_weights=weights, k=DRAWN))
        item = next(drawn)
        place = int(draw() * len(LOCATIONS))
        cell = item * len(LOCATIONS) + place
        left = available.get(cell, 0)
        what = draw()
        if left < LOW or what < RECEIPTS:
            quantity = 1 + int(draw() * (40 if left < LOW else 12))
            kind, detail = "stock_received", f'"quantity":{quantity},"status":"available","reason":"delivery"'
            available[cell] = left + quantity
        elif what < ADJUSTMENTS:
            quantity = -1 - int(draw() * 5) if draw() < 0.9 else 1 + int(draw() * 3)
            kind, detail = "stock_adjusted", f'"quantity":{quantity},"status":"available","reason":"cycle count"'
            available[cell] = left + quantity
        else:
            held = quarantined.get(cell, 0)
            back = held > 0 and draw() < 0.6
            quantity = 1 + int(draw() * min(held if back else 4, 4))
            moved = (
                '"from_status":"quarantined","to_status":"available"'
                if back
                else ('"from_status":"available","to_status":"quarantined"')
            )
            kind, detail = "stock_status_changed", f'"quantity":{quantity},{moved},"reason":"inspection"'
            available[cell] = left + (quantity if back else -quantity)
            quarantined[cell] = held + (-quantity if back else quantity)
        unique = f"{random.getrandbits(128):032x}"
        code = item_code(item)
        moment = start_us - SPAN_US + count * SPAN_US // shape.events
        yield (
            WAREHOUSE,
            code.encode(),
            (
                f'{{"event_id":"{unique[:8]}-{unique[8:12]}-{unique[12:16]}-{unique[16:20]}-{unique[20:]}",'
                f'"type":"{kind}","source":"wms-{place + 1}","occurred_at":"{_text(moment)}",'
                f'"item":"{code}","location":"{LOCATIONS[place]}",{detail},"schema_version":1}}'
            ).encode(),
        )


def _text(moment_us: int) -> str:
    seconds, micros = divmod(moment_us, MICROSECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"


def _record(topic: str, code: str, value: dict[str, object]) -> Message:
    return topic, code.encode(), orjson.dumps(value)
