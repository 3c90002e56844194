"""Decides what happens on the demo's day: who stocks, orders, picks, ships and errs, and when it is delivered.

A small simulation: each action happens at a moment of the day, changes the warehouse, and leaves messages. It tracks
what is free, so that only what is there is sold. Hours of the day are compressed into the seconds of the play; all
events lie in the past, the latest ten minutes before the curtain.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random

import orjson

from flows.demo.garbage import flawed
from flows.demo.world import (
    DAY,
    FLASH_COUNT,
    HOUR,
    ITEM_COUNT,
    LOCATIONS,
    NORTH,
    SECOND,
    SELLS,
    Clock,
    item_code,
    scale_of,
    text,
)  # fmt: skip

WAREHOUSE, ORDERS, SUPPLY = "inventory.warehouse", "inventory.orders", "inventory.supply"
#: The share of the play at which each thing happens.
OPENED, SALE_FROM, RESTOCKED, HELD, GARBAGE, KILLED, RELEASED, SALE_UNTIL, CLOSED = (
    0.10, 0.22, 0.36, 0.42, 0.48, 0.55, 0.74, 0.80, 0.92
)  # fmt: skip
FLASH_STOCK, FLASH_RESTOCK = 40, 60
ORDERS_PER_SECOND = 40
DUPLICATES, SHUFFLED = 0.03, 0.10
SHUFFLED_BY_S, REPEATED_BY_S = 2.0, 6.0
GARBAGE_COUNT = 400


@dataclass(order=True, slots=True)
class Delivery:
    """A message and the second of the play at which it is handed to Kafka."""

    at: float
    number: int
    topic: str = field(compare=False)
    key: bytes = field(compare=False)
    value: bytes = field(compare=False)


class Scenario:
    """One day, decided in full before it is played."""

    def __init__(self, seconds: float, seed: int, curtain: int) -> None:
        self.seconds = seconds
        self.clock = Clock(seconds, curtain)
        self._rng = Random(seed)
        self._curtain = curtain
        self._numbers = itertools.count(1)
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._deliveries: list[Delivery] = []
        #: what may still be sold, and what lies on the shelf, by (item, location), scaled
        self._free: dict[tuple[int, str], int] = defaultdict(int)
        self._shelf: dict[tuple[int, str], int] = defaultdict(int)
        self._popularity = list(accumulate(1 / (rank + 1) for rank in range(ITEM_COUNT - FLASH_COUNT)))
        self.duplicates = 0

    def deliveries(self) -> list[Delivery]:
        """Play it through; all messages, in order of delivery."""
        self._plan()
        while self._agenda:
            at, _, act = heapq.heappop(self._agenda)
            act(at)
        self._deliveries.sort()
        return self._deliveries

    def _plan(self) -> None:
        span = self.seconds
        for number in range(ITEM_COUNT):
            self._at(OPENED * span * (0.1 + 0.8 * self._rng.random()), self._opening(number))
        orders = int(ORDERS_PER_SECOND * span * (CLOSED - OPENED))
        for index in range(orders):
            self._at(span * (OPENED + (CLOSED - OPENED) * index / orders), self._order)
        for act, times in (
            (self._delivery_announced, 40), (self._transfer, 40), (self._return, 30), (self._count, 60),
            (self._cart, 80), (self._damage, 20), (self._future_order, 40),
        ):  # fmt: skip
            for _ in range(times):
                self._at(span * (OPENED + (CLOSED - OPENED) * self._rng.random()), act)
        self._at(RESTOCKED * span, self._restock)
        for number in range(FLASH_COUNT, FLASH_COUNT + 12):
            self._at(HELD * span, self._quality_hold(number))
        self._at(HELD * span, self._recall)
        for index in range(GARBAGE_COUNT):
            self._at(span * (GARBAGE + 0.2 * index / GARBAGE_COUNT), self._garbage)

    def _at(self, at: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._agenda, (min(at, self.seconds * 0.99), next(self._numbers), act))

    # --- sending -----------------------------------------------------------------------------------------------------

    def _send(self, at: float, topic: str, kind: str, source: str, **fields: object) -> None:
        number = next(self._numbers)
        event = {
            "event_id": f"e{number}",
            "type": kind,
            "source": source,
            # A few microseconds apart, so that the order of the day is also the order of the events.
            "occurred_at": text(self.clock.occurred(at) + number % 1000),
            "correlation_id": f"c{number}",
            **fields,
        }
        self._deliver(at, topic, orjson.dumps(event), disturb=True)

    def _deliver(self, at: float, topic: str, value: bytes, disturb: bool = False, key: bytes = b"") -> None:
        chance = self._rng.random
        when = at
        if disturb and chance() < SHUFFLED:
            when += SHUFFLED_BY_S * chance()
        self._hand_over(when, topic, value, key)
        if disturb and chance() < DUPLICATES:
            self.duplicates += 1
            self._hand_over(when + REPEATED_BY_S * chance(), topic, value, key)

    def _hand_over(self, at: float, topic: str, value: bytes, key: bytes) -> None:
        number = next(self._numbers)
        own_key = key or b"%08x" % self._rng.getrandbits(32)
        self._deliveries.append(Delivery(min(at, self.seconds), number, topic, own_key, value))

    def _move(self, at: float, kind: str, item: int, location: str, quantity: int, **fields: object) -> None:
        self._send(
            at,
            WAREHOUSE,
            kind,
            "wms",
            item=item_code(item),
            location=location,
            quantity=_shown(item, quantity),
            **fields,
        )

    # --- what happens ------------------------------------------------------------------------------------------------

    def _opening(self, number: int) -> Callable[[float], None]:
        def act(at: float) -> None:
            for location in LOCATIONS:
                if number < FLASH_COUNT:
                    quantity = FLASH_STOCK
                else:
                    quantity = (8 + 160 // (number - FLASH_COUNT + 1)) * 10 ** scale_of(number)
                self._free[number, location] = self._shelf[number, location] = quantity
                self._move(at, "stock_counted", number, location, quantity, quarantined=0)

        return act

    def _choose(self) -> int:
        return FLASH_COUNT + self._rng.choices(range(ITEM_COUNT - FLASH_COUNT), cum_weights=self._popularity)[0]

    def _order(self, at: float) -> None:
        rng = self._rng
        channel = rng.choice(("web", "web", "web", "marketplace", "stores", "edi"))
        taken = []
        for item in {self._choose() for _ in range(rng.randint(1, 5))}:
            quantity = rng.choice((1, 1, 1, 2, 3)) * (5 if scale_of(item) else 1)
            place = max(SELLS[channel], key=lambda location: self._free[item, location])
            if self._free[item, place] >= quantity:
                self._free[item, place] -= quantity
                taken.append((item, place, quantity))
        if not taken:
            return
        order = f"SO-{next(self._numbers)}"
        lines = [
            {"line_id": str(n), "item": item_code(item), "quantity": _shown(item, quantity)}
            for n, (item, _, quantity) in enumerate(taken, 1)
        ]
        self._send(at, ORDERS, "order_placed", "shop", order_id=order, channel=channel, lines=lines)
        later = at + rng.uniform(0.5, 2.0)
        if rng.random() < 0.1:
            self._at(later, lambda when: self._cancel(when, order, taken))
        else:
            self._at(later, lambda when: self._allocate(when, order, taken))

    def _cancel(self, at: float, order: str, taken: list[tuple[int, str, int]]) -> None:
        lines = [{"line_id": str(n), "item": item_code(item)} for n, (item, _, _) in enumerate(taken, 1)]
        self._send(at, ORDERS, "order_cancelled", "shop", order_id=order, lines=lines)
        for item, place, quantity in taken:
            self._free[item, place] += quantity

    def _allocate(self, at: float, order: str, taken: list[tuple[int, str, int]]) -> None:
        lines = [
            {"line_id": str(n), "item": item_code(item), "location": place, "quantity": _shown(item, quantity)}
            for n, (item, place, quantity) in enumerate(taken, 1)
        ]
        self._send(at, ORDERS, "order_allocated", "oms", order_id=order, lines=lines)
        for n, (item, place, quantity) in enumerate(taken, 1):
            if self._rng.random() < 0.85:
                self._at(at + self._rng.uniform(1, 4), self._handle("pick_confirmed", order, n, item, place, quantity))

    def _handle(self, kind: str, order: str, n: int, item: int, place: str, quantity: int) -> Callable[[float], None]:
        def act(at: float) -> None:
            source = "wms" if kind == "pick_confirmed" else "carrier"
            self._send(
                at, WAREHOUSE, kind, source, order_id=order, line_id=str(n), item=item_code(item), location=place,
                quantity=_shown(item, quantity),
            )  # fmt: skip
            if kind == "pick_confirmed":
                self._shelf[item, place] -= quantity
                self._at(
                    at + self._rng.uniform(0.5, 3), self._handle("shipment_confirmed", order, n, item, place, quantity)
                )

        return act

    def _cart(self, at: float) -> None:
        """A claim that lapses: some before it is read, some while the play runs, some long after it."""
        item = self._choose()
        place = max(LOCATIONS, key=lambda location: self._free[item, location])
        quantity = 10 ** scale_of(item)
        if self._free[item, place] < quantity:
            return
        self._free[item, place] -= quantity
        # Nothing lapses while the books are audited: then "now" would be in dispute.
        soon = self._curtain + int(min(at + 4, self.seconds - 2) * SECOND)
        lapses = self._rng.choice((self._curtain - HOUR, soon, self._curtain + 6 * HOUR))
        line = {"line_id": "1", "item": item_code(item), "quantity": _shown(item, quantity), "location": place}
        self._send(
            at, ORDERS, "order_placed", "shop", order_id=f"CART-{next(self._numbers)}", channel="web", lines=[line],
            expires_at=text(lapses),
        )  # fmt: skip

    def _future_order(self, at: float) -> None:
        item = self._choose()
        place = max(LOCATIONS, key=lambda location: self._free[item, location])
        quantity = 2 * 10 ** scale_of(item)
        if self._free[item, place] < quantity:
            return
        self._free[item, place] -= quantity
        line = {"line_id": "1", "item": item_code(item), "quantity": _shown(item, quantity)}
        day = self._curtain + self._rng.randint(1, 5) * DAY
        self._send(
            at, ORDERS, "order_placed", "shop", order_id=f"PRE-{next(self._numbers)}", channel="web", lines=[line],
            requested_at=text(day),
        )  # fmt: skip

    def _delivery_announced(self, at: float) -> None:
        item, place, rng = self._choose(), self._rng.choice(LOCATIONS), self._rng
        receipt, cases = f"PO-{next(self._numbers)}", rng.randint(1, 4)
        facts = {"receipt_id": receipt, "item": item_code(item), "location": place, "uom": "case"}
        eta = text(self._curtain + rng.randint(0, 5) * DAY)
        self._send(at, SUPPLY, "receipt_expected", "erp", quantity=cases, eta=eta, **facts)
        outcome = rng.random()
        if outcome < 0.2:
            self._send(
                at + 2, SUPPLY, "receipt_cancelled", "erp", receipt_id=receipt, item=item_code(item), location=place
            )
        elif outcome < 0.7:
            # Not added to what is free: a repeat or a detour must not let the script sell before it is there.
            self._send(at + 3, WAREHOUSE, "stock_received", "wms", quantity=cases, **facts)

    def _transfer(self, at: float) -> None:
        item, rng = self._choose(), self._rng
        start, end = rng.sample(LOCATIONS, 2)
        quantity = min(self._free[item, start], 5 * 10 ** scale_of(item))
        if quantity <= 0:
            return
        self._free[item, start] -= quantity
        transfer = f"TR-{next(self._numbers)}"
        eta = text(self._curtain + rng.randint(0, 2) * DAY)
        self._move(at, "transfer_shipped", item, start, quantity, to_location=end, transfer_id=transfer, eta=eta)
        self._shelf[item, start] -= quantity
        if rng.random() < 0.6:
            self._at(at + 3, lambda when: self._arrive(when, item, end, quantity, transfer))
        elif rng.random() < 0.3:
            self._send(
                at + 4, WAREHOUSE, "transfer_closed", "wms", item=item_code(item), transfer_id=transfer, location=end
            )

    def _arrive(self, at: float, item: int, place: str, quantity: int, transfer: str) -> None:
        self._move(at, "stock_received", item, place, quantity, transfer_id=transfer)
        self._shelf[item, place] += quantity

    def _return(self, at: float) -> None:
        item, place = self._choose(), self._rng.choice(LOCATIONS)
        status = self._rng.choice(("available", "quarantined"))
        self._move(at, "return_received", item, place, 10 ** scale_of(item), status=status, reason="changed their mind")
        self._shelf[item, place] += 10 ** scale_of(item)

    def _count(self, at: float) -> None:
        """Somebody counts a shelf; the count tells nothing new, and every movement around it must be placed right."""
        item, place = self._rng.randrange(ITEM_COUNT // 2, ITEM_COUNT), self._rng.choice(LOCATIONS)
        if place != "S-STORE1":  # goods there leave the books with the shipment, after they left the shelf
            self._move(at, "stock_counted", item, place, max(0, self._shelf[item, place]))

    def _damage(self, at: float) -> None:
        item, place = self._choose(), self._rng.choice(LOCATIONS)
        quantity = 10 ** scale_of(item)
        if self._free[item, place] >= quantity:
            self._free[item, place] -= quantity
            self._shelf[item, place] -= quantity
            self._move(at, "stock_adjusted", item, place, -quantity, reason="damaged")

    def _restock(self, at: float) -> None:
        for item in range(FLASH_COUNT):
            self._move(at, "stock_received", item, "N-DC1", FLASH_RESTOCK)

    def _quality_hold(self, item: int) -> Callable[[float], None]:
        def act(at: float) -> None:
            for place in LOCATIONS:
                quantity = self._free[item, place]
                if quantity > 0:
                    self._free[item, place] = 0
                    self._move(
                        at, "stock_status_changed", item, place, quantity, from_status="available",
                        to_status="quarantined", reason="supplier reports a fault",
                    )  # fmt: skip
                    self._at(RELEASED * self.seconds, self._release(item, place, quantity))

        return act

    def _release(self, item: int, place: str, quantity: int) -> Callable[[float], None]:
        def act(at: float) -> None:
            self._free[item, place] += quantity
            self._move(
                at, "stock_status_changed", item, place, quantity, from_status="quarantined", to_status="available"
            )

        return act

    def _recall(self, at: float) -> None:
        """A lot arrives in two places and is held everywhere but where it was cleared."""
        item = ITEM_COUNT - 10
        for place in NORTH:
            self._move(at - 1, "stock_received", item, place, 6, lot="LOT-7")
        self._send(at, WAREHOUSE, "lot_held", "quality", item=item_code(item), lot="LOT-7", reason="recall")
        self._send(at + 2, WAREHOUSE, "lot_released", "quality", item=item_code(item), lot="LOT-7", location=NORTH[0])

    def _garbage(self, at: float) -> None:
        number = next(self._numbers)
        for topic, key, value in flawed(number, self.clock.occurred(at), self._curtain):
            self._deliver(at, topic, value, key=key)


def _shown(item: int, quantity: int) -> object:
    """A scaled quantity as an event says it: 15 at scale 1 is the text "1.5"."""
    if not scale_of(item):
        return quantity
    sign = "-" if quantity < 0 else ""
    return f"{sign}{abs(quantity) // 10}.{abs(quantity) % 10}"
