"""Events whose every sum says which of them are in it: nothing lost, twice or taken back can hide in a number.

Each event of an item moves its stock at one of two locations by another power of four, up or down. The two first put so
much there that nothing falls below zero. So a promise over both locations, read anywhere, is a list of events; what
counts twice has a digit that no set of events could give.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import orjson
from confluent_kafka import Producer

PREFIX = "BULK-"
EAST, WEST = f"{PREFIX}EAST", f"{PREFIX}WEST"
BOTH_CHANNEL, EAST_CHANNEL = f"{PREFIX}both", f"{PREFIX}east"
#: Events of an item beside the two that begin it: 4^26 is below 2^53.
EVENTS_MAX = 24
_BASES = (1 << 2 * EVENTS_MAX) | (1 << 2 * (EVENTS_MAX + 1))
_EVERY_OTHER = 0xAAAA_AAAA_AAAA_AAAA
REPEATS = 0.05
POISONED = 0.004
#: What is left to be told is spread over so much time, at least: a long round ends slower than it began.
SPREAD_S = 60.0
#: Items that tell when everything before them has come through.
PINGS = 200


class Twice(Exception):
    """A number that no set of events sums to."""


class Poison(NamedTuple):
    """A message that cannot be used, and the code that its dead letter has."""

    topic: str
    value: bytes
    code: str


class Load:
    """What is sent, and what a number means. Quantities of an item are drawn from the seed when it is first told."""

    def __init__(self, seed: int, items: int) -> None:
        self.items = items
        dice = random.Random(seed)
        #: by item: the digits of events that take away; the digits of events at EAST
        everything = (1 << 2 * EVENTS_MAX) // 3
        self._down = [everything & _spread(dice.getrandbits(EVENTS_MAX)) for _ in range(items + PINGS)]
        self._east = [
            (1 << 2 * EVENTS_MAX) | (everything & _spread(dice.getrandbits(EVENTS_MAX))) for _ in range(items + PINGS)
        ]
        self._told = bytearray(items + PINGS)
        self.poisoned: dict[str, Poison] = {}

    def code(self, number: int) -> str:
        """Name an item."""
        return f"{PREFIX}{number}"

    def told(self, number: int) -> int:
        """Give the digits of all events of an item that were sent."""
        return _BASES | ((1 << 2 * self._told[number]) // 3)

    def is_told_out(self, number: int) -> bool:
        """Has the item no event left?"""
        return self._told[number] >= EVENTS_MAX

    def next_event(self, number: int, now: str) -> bytes:
        """Tell the next event of an item."""
        digit = 1 << 2 * self._told[number]
        self._told[number] += 1
        place = EAST if self._east[number] & digit else WEST
        return self._event(number, digit, place, -digit if self._down[number] & digit else digit, now)

    def beginnings(self, number: int, now: str) -> tuple[bytes, bytes]:
        """Tell the two events that an item begins with."""
        east, west = 1 << 2 * EVENTS_MAX, 1 << 2 * (EVENTS_MAX + 1)
        return self._event(number, east, EAST, east, now), self._event(number, west, WEST, west, now)

    def _event(self, number: int, digit: int, place: str, quantity: int, now: str) -> bytes:
        kind = "stock_received" if quantity > 0 else "stock_adjusted"
        return (
            f'{{"event_id":"b{number}-{digit.bit_length()}","type":"{kind}","source":"bulk","occurred_at":"{now}",'
            f'"item":"{PREFIX}{number}","location":"{place}","quantity":{quantity}}}'
        ).encode()

    def poison(self, dice: random.Random, now: str) -> tuple[str, Poison]:
        """Make a message that cannot be used, with a key of its own."""
        key = f"{PREFIX}POISON-{len(self.poisoned)}"
        head = {"event_id": key, "type": "stock_received", "source": "bulk", "occurred_at": now, "location": EAST}
        event = head | {"item": f"{PREFIX}0", "quantity": 1}
        code, value = dice.choice(
            (
                ("not_json", b'{"event_id": "torn'),
                ("not_an_object", b"[1, 2, 3]"),
                ("unknown_type", orjson.dumps(event | {"type": "stock_blessed"})),
                ("missing_field", orjson.dumps(head | {"item": f"{PREFIX}0"})),
                ("bad_value", orjson.dumps(event | {"quantity": "many"})),
                ("unsupported_version", orjson.dumps(event | {"schema_version": 99})),
                ("in_the_future", orjson.dumps(event | {"occurred_at": "2199-01-01T00:00:00Z"})),
                ("late", orjson.dumps(event | {"occurred_at": "2001-01-01T00:00:00Z"})),
            )
        )
        poison = Poison("inventory.warehouse", value, code)
        self.poisoned[key] = poison
        return key, poison

    # --- what a number says ------------------------------------------------------------------------------------------

    def events_in(self, number: int, quantity: int, east_only: bool = False) -> int:
        """Give the digits of the events that are in a sum; Twice if it is no sum of told events."""
        down = self._down[number] & self._east[number] if east_only else self._down[number]
        digits = (quantity + down) ^ down
        if digits < 0 or (quantity + down) & _EVERY_OTHER or digits & ~self.told(number):
            raise Twice(f"{quantity} is no sum of the events of {self.code(number)}")
        return digits

    def events_in_or_none(self, number: int, quantity: int) -> int | None:
        """Give the events that are in a sum, or that there are none such."""
        try:
            return self.events_in(number, quantity)
        except Twice:
            return None

    def sum_of(self, number: int, digits: int) -> int:
        """Give what events sum to."""
        down = self._down[number]
        return (digits & ~down) - (digits & down)

    def at_east(self, number: int) -> int:
        """Give the digits of the events at EAST."""
        return self._east[number]

    def total(self, number: int, east_only: bool = False) -> int:
        """Give the sum of all events that were sent."""
        told = self.told(number)
        return self.sum_of(number, told & self._east[number] if east_only else told)


def _spread(bits: int) -> int:
    """Put each bit at the place of a digit to the base of four."""
    return sum(1 << 2 * at for at in range(EVENTS_MAX) if bits >> at & 1)


class Clock:
    """The time as events carry it, a second ago; made anew at most a hundred times a second."""

    def __init__(self) -> None:
        self._at, self._text = 0.0, ""

    def text(self) -> str:
        """Give it."""
        moment = time.monotonic()
        if moment - self._at > 0.01:
            self._at = moment
            self._text = (datetime.now(UTC) - timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
        return self._text


class Pump(threading.Thread):
    """Sends the load at a pace, with repeats and poison among it. A context manager."""

    def __init__(
        self, load: Load, bootstrap_servers: str, topic: Callable[[str], str], partitions: int, rate: float, seed: int
    ) -> None:
        super().__init__(name="pump", daemon=True)
        self.load, self._topic, self._partitions, self.rate = load, topic, partitions, rate
        self._dice = random.Random(seed)
        self._clock = Clock()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "linger.ms": 5,
                "queue.buffering.max.messages": 2_000_000,
                "queue.buffering.max.kbytes": 1_048_576,
                "delivery.report.only.error": True,
                "on_delivery": self._refused,
                "log_level": 0,
            }
        )
        self._ended = threading.Event()
        self._lock = threading.Lock()
        #: what a reader looks at first: items that changed a moment ago
        self.recent: deque[int] = deque(maxlen=400)
        self._sent: deque[bytes] = deque(maxlen=2000)
        self.events = self.repeats = self.pings = 0
        self.seconds = 0.0
        self.undelivered: list[str] = []

    def _refused(self, error: object, _: object) -> None:
        self.undelivered.append(str(error))

    def begin(self) -> None:
        """Send what every item begins with, and wait for Kafka."""
        topic = self._topic("inventory.warehouse")
        for number in range(self.load.items + PINGS):
            for event in self.load.beginnings(number, self._clock.text()):
                self._produce(topic, event, self.load.code(number))
        self.flush()

    def flush(self) -> None:
        """Wait for Kafka."""
        self._producer.flush()

    def run(self) -> None:
        topic = self._topic("inventory.warehouse")
        load, dice, began = self.load, self._dice, time.monotonic()
        done, owed = 0, 0.0
        while not self._ended.wait(0.005):
            before, self.seconds = self.seconds, time.monotonic() - began
            left = load.items * EVENTS_MAX - self.events
            owed += min(1.0, self.seconds - before) * min(self.rate, left / SPREAD_S)
            behind, tries = int(owed), 0
            owed -= behind
            done += behind
            while behind > 0 and tries < 1000:
                draw, now = dice.random(), self._clock.text()
                if draw < POISONED:
                    key, poison = load.poison(dice, now)
                    self._produce(self._topic(poison.topic), poison.value, key)
                elif draw < POISONED + REPEATS and self._sent:
                    self._produce(topic, self._sent[dice.randrange(len(self._sent))], f"{PREFIX}again{done}")
                    self.repeats += 1
                else:
                    number = dice.randrange(load.items)
                    if load.is_told_out(number):
                        tries += 1
                        continue
                    event = load.next_event(number, now)
                    self._produce(topic, event, load.code(number))
                    self._sent.append(event)
                    self.recent.append(number)
                    self.events += 1
                behind -= 1
            self._producer.poll(0)
        self.flush()

    def ping(self) -> tuple[int, int]:
        """Send one event of an item of its own, the last of all so far in its partition; the item and its digits."""
        with self._lock:
            number = self.load.items + self.pings % PINGS
            self.pings += 1
        assert not self.load.is_told_out(number), "all pings are used up"
        event = self.load.next_event(number, self._clock.text())
        self._produce(self._topic("inventory.warehouse"), event, self.load.code(number))
        return number, self.load.told(number)

    def _produce(self, topic: str, value: bytes, key: str) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key)
                return
            except BufferError:
                self._producer.poll(0.1)

    def end(self) -> None:
        """Send no more."""
        self._ended.set()

    def finish(self) -> None:
        """Send no more; everything is with Kafka when this returns."""
        self.end()
        if self.is_alive():
            self.join()
        self.flush()
        assert not self.undelivered, f"Kafka refused {len(self.undelivered)} events: {self.undelivered[:3]}"
