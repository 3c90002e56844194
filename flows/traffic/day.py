"""Decides what realistic traffic looks like: a seeded warehouse and its shops, as Kafka messages.

The same profile and start give the same bytes, in any process. One round places one order, moves older orders on
(allocated, picked, shipped or cancelled), and now and then receives, transfers, counts or adjusts stock. What is
delivered is then disturbed: a share repeated, a share out of order, a share unusable.

Stock is tracked, so that shelves are refilled where they run low and most promises stay above zero.
"""

from __future__ import annotations

import heapq
import itertools
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

from flows.traffic.profile import (
    FLAWS,
    ORDERS,
    SUPPLY,
    WAREHOUSE,
    Message,
    Profile,
    channel_code,
    item_code,
    location_code,
)

SECOND = 1_000_000
HOUR = 3_600 * SECOND
#: Longer than this before `now`, and events would come near the default lateness of 24 h.
SPAN_MAX = 20 * HOUR
#: How many orders are between the steps of an order's life: a few seconds at a thousand messages a second.
ORDERS_UNTIL_ALLOCATED, ORDERS_UNTIL_PICKED, ORDERS_UNTIL_SHIPPED = 40, 120, 60
CANCELLED_SHARE = 0.08
LINES = (1, 2, 3, 4, 5, 6, 7)  # 4 on average
QUANTITIES = (1, 1, 1, 1, 2, 2, 3, 5)  # 2 on average
REFILL = 240
LOW = 40
#: How far a message may be delivered behind its place.
SHUFFLED_BY_MAX, REPEATED_BY_MAX = 300, 1_000
#: Enough for any number of partitions; made once, because a key a message would cost as much as its value.
KEYS = tuple(b"%03x" % number for number in range(4096))


def events(profile: Profile, now: int, per_second: float = 0.0) -> Iterator[Message]:
    """Give exactly `profile.events` messages whose events all occurred before `now` (UTC microseconds).

    `per_second`: how densely they occurred; 0, or too thin to fit into SPAN_MAX: spread over an hour, or SPAN_MAX.
    """
    step = SECOND / per_second if per_second else HOUR / profile.events
    step = min(step, SPAN_MAX / profile.events)
    disturbed = _disturb(profile, _Day(profile, now - round(step * profile.events), step, now).messages())
    return itertools.islice(disturbed, profile.events)


def _disturb(profile: Profile, messages: Iterator[Message]) -> Iterator[Message]:
    """Repeat some, deliver some later; keys are random, so that an item's events lie on every partition."""
    random = Random(f"{profile.seed}/delivery").random
    number = 0
    postponed: list[tuple[int, int, str, bytes]] = []
    duplicates, either = profile.duplicates, profile.duplicates + profile.shuffled
    for topic, _, value in messages:
        number += 1
        while postponed and postponed[0][0] <= number:
            _, _, late_topic, late_value = heapq.heappop(postponed)
            yield late_topic, KEYS[number * 7 & 4095], late_value
        chance = random()
        if chance < either:
            by = 1 + int(random() * (REPEATED_BY_MAX if chance < duplicates else SHUFFLED_BY_MAX))
            heapq.heappush(postponed, (number + by, number, topic, value))
            if chance >= duplicates:
                continue
        # The low bits of the same draw: as random, and for nothing.
        yield topic, KEYS[int(chance * 4_294_967_296) & 4095], value


def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class _Day:
    """The undisturbed course of things, without end."""

    def __init__(self, profile: Profile, start: int, step: float, now: int) -> None:
        self._profile = profile
        self._start, self._step, self._now = start, step, now
        self._rng = Random(f"{profile.seed}/day")
        self._number = 0
        self._prefix = f"{profile.seed}-"
        self._second, self._second_text = -1, ""
        weights = itertools.accumulate(1 / rank**profile.zipf for rank in range(1, profile.items + 1))
        self._popularity = array("d", weights)
        self._codes = [item_code(number) for number in range(profile.items)]
        self._places = [location_code(number) for number in range(profile.locations)]
        self._channels = [channel_code(number) for number in range(profile.channels)]
        flash = profile.flash_sale
        if flash is not None and flash not in self._codes:
            self._codes.append(flash)
        self._flash = self._codes.index(flash) if flash is not None else -1
        #: units on the shelf less what is promised to orders; -1: never stocked
        self._stock = array("q", [-1]) * (len(self._codes) * profile.locations)
        #: units on the shelf, as a count would find them
        self._on_hand = array("q", [0]) * len(self._stock)
        # With n lines in other orders and a share f of orders for it alone, its share of lines is f / (f + (1 - f) n).
        share, others = profile.flash_share, 3.8
        self._flash_alone = others * share / (1 + (others - 1) * share)
        #: ten other messages a round, of which this many counts make the wanted share
        self._counts_a_round = 10 * profile.snapshots / (1 - profile.snapshots)
        self._counted = 0
        self._flaws = itertools.cycle(FLAWS)

    def messages(self) -> Iterator[Message]:
        """One order a round, and what follows from those before."""
        placed: deque[tuple[int, str, list[tuple[int, int]]]] = deque()
        allocated: deque[tuple[int, list[tuple[int, int, int]]]] = deque()
        picked: deque[tuple[int, list[tuple[int, int, int]]]] = deque()
        transfers: deque[tuple[int, int, int, int]] = deque()
        rng = self._rng
        chance = rng.random
        for order in itertools.count(1):
            lines = self._basket()
            yield from self._stocked(lines)
            channel = self._channels[int(chance() * len(self._channels))]
            yield self._placed(order, channel, lines)
            placed.append((order, channel, lines))
            if len(placed) > ORDERS_UNTIL_ALLOCATED:
                older, of, wanted = placed.popleft()
                if chance() < CANCELLED_SHARE:
                    yield self._cancelled(older, of, wanted)
                else:
                    taken = [(item, self._take(item, quantity), quantity) for item, quantity in wanted]
                    yield self._allocated(older, of, taken)
                    allocated.append((older, taken))
            if len(allocated) > ORDERS_UNTIL_PICKED:
                older, taken = allocated.popleft()
                for item, place, quantity in taken:
                    self._on_hand[item * len(self._places) + place] -= quantity
                yield from self._handled("pick_confirmed", "wms", older, taken)
                picked.append((older, taken))
            if len(picked) > ORDERS_UNTIL_SHIPPED:
                older, taken = picked.popleft()
                yield from self._handled("shipment_confirmed", "carrier", older, taken)
            if chance() < 0.04:
                yield self._transfer(order, transfers)
            if len(transfers) > 50:
                yield self._arrived(*transfers.popleft())
            if chance() < 0.05:
                yield self._correction()
            # Ten messages a round on average.
            if chance() < self._profile.invalid * 10:
                yield self._flawed(next(self._flaws))
            while self._counted < order * self._counts_a_round:
                yield self._snapshot()

    # --- what is chosen ----------------------------------------------------------------------------------------------

    def _item(self) -> int:
        popularity = self._popularity
        return bisect_left(popularity, self._rng.random() * popularity[-1])

    def _basket(self) -> list[tuple[int, int]]:
        chance = self._rng.random
        if self._flash_alone and chance() < self._flash_alone:
            return [(self._flash, QUANTITIES[int(chance() * len(QUANTITIES))])]
        items = {self._item(): 0 for _ in range(LINES[int(chance() * len(LINES))])}
        if self._flash >= 0 and not self._flash_alone and chance() < 0.5:
            items[self._flash] = 0
        return [(item, QUANTITIES[int(chance() * len(QUANTITIES))]) for item in items]

    def _stocked(self, lines: list[tuple[int, int]]) -> Iterator[Message]:
        """Refill one shelf of each item that runs low there: about what orders take away."""
        stock, places = self._stock, len(self._places)
        for item, _ in lines:
            place = int(self._rng.random() * places)
            left = stock[item * places + place]
            if left < LOW:
                stock[item * places + place] = max(left, 0) + REFILL
                self._on_hand[item * places + place] += REFILL
                yield self._moved("stock_received", item, place, REFILL)

    def _take(self, item: int, quantity: int) -> int:
        """Choose the location that has most, and reserve there."""
        places = len(self._places)
        first = item * places
        shelf = self._stock[first : first + places]
        place = shelf.index(max(shelf))
        self._stock[first + place] -= quantity
        return place

    # --- what is said ------------------------------------------------------------------------------------------------

    def _head(self, kind: str, source: str, seconds_ago: int = 0) -> str:
        self._number = number = self._number + 1
        moment = min(self._start + int(number * self._step), self._now) - seconds_ago * SECOND
        second, rest = divmod(moment, SECOND)
        if second != self._second:
            self._second, self._second_text = second, _second_text(second)
        return (
            f'{{"event_id":"{self._prefix}{number}","type":"{kind}","source":"{source}",'
            f'"occurred_at":"{self._second_text}.{rest:06d}Z",'
        )

    def _whose(self, order: int) -> str:
        return f'"order_id":"SO-{self._prefix}{order}"'

    def _placed(self, order: int, channel: str, lines: list[tuple[int, int]]) -> Message:
        codes = self._codes
        text = ",".join(
            [f'{{"line_id":"{n}","item":"{codes[item]}","quantity":{q}}}' for n, (item, q) in enumerate(lines, 1)]
        )
        head = self._head("order_placed", "shop")
        return (
            ORDERS,
            b"",
            f'{head}"order_id":"SO-{self._prefix}{order}","channel":"{channel}","lines":[{text}]}}'.encode(),
        )

    def _allocated(self, order: int, channel: str, taken: list[tuple[int, int, int]]) -> Message:
        codes, places = self._codes, self._places
        text = ",".join(
            [
                f'{{"line_id":"{n}","item":"{codes[item]}","location":"{places[place]}","quantity":{q}}}'
                for n, (item, place, q) in enumerate(taken, 1)
            ]
        )
        head = self._head("order_allocated", "oms")
        return (
            ORDERS,
            b"",
            f'{head}"order_id":"SO-{self._prefix}{order}","channel":"{channel}","lines":[{text}]}}'.encode(),
        )

    def _cancelled(self, order: int, channel: str, lines: list[tuple[int, int]]) -> Message:
        codes = self._codes
        text = ",".join([f'{{"line_id":"{n}","item":"{codes[item]}"}}' for n, (item, _) in enumerate(lines, 1)])
        head = self._head("order_cancelled", "shop")
        return (
            ORDERS,
            b"",
            f'{head}"order_id":"SO-{self._prefix}{order}","channel":"{channel}","lines":[{text}]}}'.encode(),
        )

    def _handled(self, kind: str, source: str, order: int, taken: list[tuple[int, int, int]]) -> Iterator[Message]:
        for n, (item, place, quantity) in enumerate(taken, 1):
            head = self._head(kind, source)
            yield (
                WAREHOUSE,
                b"",
                f'{head}"order_id":"SO-{self._prefix}{order}","line_id":"{n}","item":"{self._codes[item]}",'
                f'"location":"{self._places[place]}","quantity":{quantity}}}'.encode(),
            )

    def _moved(self, kind: str, item: int, place: int, quantity: int, more: str = "", ago_s: int = 0) -> Message:
        head = self._head(kind, "wms", ago_s)
        return (
            WAREHOUSE,
            b"",
            f'{head}"item":"{self._codes[item]}","location":"{self._places[place]}","quantity":{quantity}{more}}}'.encode(),
        )

    def _transfer(self, number: int, transfers: deque[tuple[int, int, int, int]]) -> Message:
        places = len(self._places)
        item, quantity = self._item(), 10
        place = self._take(item, quantity)
        if places == 1:
            self._stock[item * places + place] += quantity
            self._on_hand[item * places + place] += 1
            return self._moved("return_received", item, place, 1)
        to = (place + 1 + int(self._rng.random() * (places - 1))) % places
        transfers.append((number, item, to, quantity))
        self._on_hand[item * places + place] -= quantity
        more = f',"transfer_id":"TR-{self._prefix}{number}","to_location":"{self._places[to]}"'
        return self._moved("transfer_shipped", item, place, quantity, more)

    def _arrived(self, number: int, item: int, to: int, quantity: int) -> Message:
        at = item * len(self._places) + to
        self._stock[at] = max(self._stock[at], 0) + quantity
        self._on_hand[at] += quantity
        return self._moved("stock_received", item, to, quantity, f',"transfer_id":"TR-{self._prefix}{number}"')

    def _correction(self) -> Message:
        chance = self._rng.random()
        item, place = self._item(), int(self._rng.random() * len(self._places))
        at = item * len(self._places) + place
        if chance < 0.4:
            self._stock[at] = self._on_hand[at] = counted = max(self._stock[at], LOW)
            return self._moved("stock_counted", item, place, counted)
        if chance < 0.6:
            self._on_hand[at] -= 1
            return self._moved("stock_adjusted", item, place, -1, ',"reason":"breakage"')
        if chance < 0.7:
            more = ',"from_status":"available","to_status":"quarantined"'
            return self._moved("stock_status_changed", item, place, 1, more)
        if chance < 0.85:
            self._on_hand[at] += 1
            return self._moved("return_received", item, place, 1)
        head = self._head("receipt_expected", "erp")
        eta = _second_text((self._now + 48 * HOUR) // SECOND)
        return (
            SUPPLY,
            b"",
            f'{head}"receipt_id":"PO-{self._prefix}{self._number}","item":"{self._codes[item]}",'
            f'"location":"{self._places[place]}","quantity":{REFILL},"eta":"{eta}Z"}}'.encode(),
        )

    def _snapshot(self) -> Message:
        """Count the next shelf: as a rule it holds what is known; quantities below zero are for others to repair."""
        at = self._counted % len(self._on_hand)
        self._counted += 1
        item, place = divmod(at, len(self._places))
        if self._counted % 20 == 0 or self._on_hand[at] < 0:
            self._on_hand[at] = max(0, self._on_hand[at]) + 1
        return self._moved("stock_counted", item, place, self._on_hand[at])

    def _flawed(self, flaw: str) -> Message:
        """A message that the engine refuses with the code `flaw`."""
        if flaw == "not_json":
            return WAREHOUSE, b"", b'{"event_id":"torn","type":"stock_rec'
        if flaw == "not_an_object":
            return WAREHOUSE, b"", b'["stock_received"]'
        if flaw == "late":
            return self._moved("stock_received", 0, 0, 1, ago_s=40 * 3600)
        _, _, value = self._moved("stock_received", 0, 0, 7)
        code, place = self._codes[0].encode(), self._places[0].encode()
        swaps = {
            "unknown_type": (b'"stock_received"', b'"stock_teleported"'),
            "missing_field": (b',"quantity":7', b""),
            "bad_value": (b'"quantity":7', b'"quantity":-7'),
            "unknown_item": (b'"item":"' + code, b'"item":"NO-SUCH-' + code),
            "unknown_location": (b'"location":"' + place, b'"location":"NO-SUCH-' + place),
            "unknown_uom": (b'"quantity":7', b'"quantity":7,"uom":"barrel"'),
            "quantity_not_exact": (b'"quantity":7', b'"quantity":7.5'),
        }
        return WAREHOUSE, b"", value.replace(*swaps[flaw])
