"""Plays the flash sale live: shoppers who trust what Redis says, and buy until it says 0.

Each order is placed only if the promise covers it, and the next one of an item only when Redis shows the one before.
So every unit is promised once if, and only if, the engine's numbers are right, also across a kill.
"""

from __future__ import annotations

import itertools
import threading
import time
from random import Random

import orjson
import redis

from flows.demo.world import FLASH_COUNT, SECOND, Clock, item_code, text
from flows.kafka.sending import Sender

CHANNELS = ("web", "marketplace", "stores", "edi")
PAUSE_S = 0.03
POLL_S = 0.001
#: Longer than any restart: then the engine is not coming back, and the audit will say so.
PATIENCE_S = 30.0


class Shoppers(threading.Thread):
    """Buys from `start_at` to `end_at` (seconds of the play)."""

    def __init__(
        self, sender: Sender, store: redis.Redis, prefix: str, clock: Clock, curtain_at: float, seed: int
    ) -> None:
        super().__init__(name="shoppers", daemon=True)
        self._sender, self._store, self._prefix, self._clock = sender, store, prefix, clock
        self._curtain_at = curtain_at
        self._rng = Random(f"{seed}/shoppers")
        self._halt = threading.Event()
        self.span = (0.0, 0.0)
        self.bought: dict[str, int] = {item_code(number): 0 for number in range(FLASH_COUNT)}
        self.orders = 0
        self.sent_away = 0
        #: seconds from handing an order to Kafka's client until Redis shows it
        self.waits: list[float] = []
        self.problem = ""

    def run(self) -> None:
        """Shop until the sale ends."""
        try:
            self._shop()
        except Exception as error:  # a thread has nobody to tell: the demo asks
            self.problem = f"the shoppers gave up: {error}"

    def halt(self) -> None:
        """Send everybody home."""
        self._halt.set()

    def _shop(self) -> None:
        start, end = self.span
        for number in itertools.count(1):
            at = time.monotonic() - self._curtain_at
            if at >= end or self._halt.is_set():
                return
            if at < start:
                self._halt.wait(min(0.1, start - at))
                continue
            self._visit(number, at)
            self._halt.wait(PAUSE_S)

    def _visit(self, number: int, at: float) -> None:
        item, channel = self._rng.choice(list(self.bought)), self._rng.choice(CHANNELS)
        wanted = self._rng.choice((1, 1, 2))
        promised = int(self._value(f"atp:{item}", channel))
        quantity = min(wanted, promised)
        if quantity <= 0:
            self.sent_away += 1
            return
        line = {"line_id": "1", "item": item, "quantity": quantity}
        order = {
            "event_id": f"flash-{number}",
            "type": "order_placed",
            "source": "shop",
            "occurred_at": text(self._clock.occurred(at) // SECOND * SECOND + number % SECOND),
            "correlation_id": f"flash-{number}",
            "order_id": f"FL-{number}",
            "channel": channel,
            "lines": [line],
        }
        began = time.monotonic()
        self._sender.send("inventory.orders", b"%d" % number, orjson.dumps(order))
        self._sender.poll()
        self.orders += 1
        self.bought[item] += quantity
        # Nobody else orders these items without a location: what is claimed is what we claimed.
        while int(self._value(f"position:{item}", "*:soft_allocated")) < self.bought[item]:
            if time.monotonic() - began > PATIENCE_S:
                raise TimeoutError(f"order FL-{number} did not show in Redis within {PATIENCE_S:.0f} s")
            if self._halt.is_set():
                return
            time.sleep(POLL_S)
        self.waits.append(time.monotonic() - began)

    def _value(self, key: str, field: str) -> str:
        value = self._store.hget(f"{self._prefix}{key}", field)
        return value.decode() if isinstance(value, bytes) else "0"
