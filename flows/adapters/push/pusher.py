"""One shop's rounds. Nothing is kept on disk: what is due is known from Kafka, what the shop has from the shop.

1. Hear what came from Kafka. Until all of it was read once, nothing is set.
2. Of what is due, ask what the shop has. What is there already is done; what falls is set at once.
3. What rises waits for its turn, as `order_gate` says. The shop is read once more then: what it took off by itself
   since is taken off the number, which is set where the shop still has what it had.
4. Commit what nothing before is due of. Killed anywhere, some numbers are set again, to what they are.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from flows.adapters.intake.poller import Failure
from flows.adapters.push.chain import Chain
from flows.adapters.push.counts import PushCounts
from flows.adapters.push.reader import Reader
from flows.adapters.push.shop import Shop
from flows.kafka.clients import KafkaProblem
from flows.log import get_log
from operators.adapters import paging
from operators.adapters.order_gate import Orders, Stage, Ticket, is_reached
from operators.adapters.pushing import STALE, Book, Change, Fault, Key, Target, changes_that_fall, halves
from schemas.push_settings import SourcePushSettings
from schemas.setting_values import SECOND

log = get_log(__name__)

#: Numbers that wait for their turn to rise together: as many as ten of the largest requests set.
RISING_MAX: Final = 2_500
#: How often it is asked how far others are, while a rise waits.
LOOK_S: Final = 0.2
#: How often the shop is asked for orders while one is unread.
ASK_S: Final = 5.0
#: Looks into Kafka before a round, of 1,000 messages each: a full topic must not keep numbers from being set.
TAKES_MAX: Final = 50


class Pusher:
    """One shop. `wait` says whether it is over; `clock` never goes back."""

    def __init__(
        self,
        source: str,
        rules: SourcePushSettings,
        book: Book,
        orders: Orders,
        shop: Shop,
        reader: Reader,
        chain: Chain,
        promised: Callable[[Sequence[Key]], dict[Key, int | None]],
        counts: PushCounts,
        wait: Callable[[float], bool],
        clock: Callable[[], float] = time.monotonic,
        draw: random.Random | None = None,
    ) -> None:
        self._source, self._rules, self._book, self._orders = source, rules, book, orders
        self._shop, self._reader, self._chain, self._promised, self._counts = shop, reader, chain, promised, counts
        self._wait, self._clock, self._draw = wait, clock, draw or random.Random()
        self._order_wait_s = rules.order_wait / SECOND
        self._ticket: Ticket | None = None
        self._rising_since: float | None = None
        self._asked_at = -1e18
        self._looked_at = -1e18
        self._failures = 0
        self._told: set[Target] = set()

    def run(self, once: bool = False) -> bool:
        """Set numbers until it is over; with `once` until nothing is due. Is all of it set?"""
        while True:
            try:
                for _ in range(TAKES_MAX):
                    if not self._reader.take() or self._wait(0):
                        break
                if self._reader.is_complete():
                    self._round()
                    self._failures = 0
                self._reader.commit()
                self._tell()
            except (Failure, KafkaProblem) as error:
                if self._wait(self._after(error)):
                    return False
                continue
            waiting, _, refused, _ = self._book.counts(self._clock())
            if once and self._reader.is_complete() and not waiting:
                return not refused
            pause_s = self._rules.every / SECOND if self._reader.is_complete() else 0.0
            if self._wait(min(pause_s, LOOK_S) if self._ticket is not None else pause_s):
                return False

    def _after(self, error: Exception) -> float:
        """Say what failed; gives the seconds to wait."""
        told = error.retry_after_s if isinstance(error, Failure) else None
        if isinstance(error, Failure) and str(error) in ("throttled", "its budget is used up"):
            self._counts.throttled(self._source)
            return (told or 0.0) + self._draw.uniform(0, 0.1)
        self._failures += 1
        self._counts.failed(self._source, self._failures)
        wait_s = paging.patience(self._failures, self._draw, told)
        log.error(
            f"{self._source}: {error}; {self._failures} in a row, tried again in {wait_s:.1f} s",
            kind="push_failed",
            next=(error.remedy if isinstance(error, Failure) else "") or "it is tried again by itself",
        )
        return wait_s

    def _round(self) -> None:
        """Do what can be done now."""
        self._step()
        held = self._ticket.levels if self._ticket is not None else {}
        now = self._clock()
        if now - self._looked_at < self._rules.every / SECOND:
            return
        self._looked_at = now
        due = [target for target in self._book.due(now) if not self._is_held(target, held)]
        rising: dict[Target, int] = {}
        try:
            for batch in self._batches(due):
                levels = self._levels(batch)
                wanted = {target: number for target in batch if (number := self._book.wanted(target)) is not None}
                for target, level in levels.items():
                    if wanted.get(target) == level:
                        self._book.is_set(target, level)
                self._set(changes_that_fall(wanted, levels))
                since = self._clock() - self._order_wait_s
                rising |= {
                    target: level
                    for target, level in levels.items()
                    if wanted.get(target, level) - self._book.fallen(target, since) > level
                }
                if len(rising) >= RISING_MAX or self._wait(0):
                    break
        finally:  # what was seen before a request failed goes on: begun anew each time, a small budget would never do
            if rising and self._ticket is None:
                self._ticket, self._asked_at = Ticket(rising, self._clock()), -1e18
        if rising:
            self._step()

    def _is_held(self, target: Target, held: dict[Target, int]) -> bool:
        """Does it wait for its turn to rise? What falls below what the shop has does not."""
        wanted = self._book.wanted(target)
        return target in held and wanted is not None and wanted >= held[target]

    def _batches(self, due: list[Target]) -> list[list[Target]]:
        """Put together what one request may ask and set: of one location, and alone what was refused before."""
        alone = [[target] for target in due if self._book.was_refused(target)]
        found = []
        for location in dict.fromkeys(target.location_id for target in due):
            of_it = iter([one for one in due if one.location_id == location and not self._book.was_refused(one)])
            while batch := list(islice(of_it, self._rules.batch)):
                found.append(batch)
        return found + alone

    def _levels(self, batch: list[Target]) -> dict[Target, int]:
        found = {}
        for target, level in self._shop.levels(batch).items():
            if isinstance(level, str):
                self._park(target, Fault(0, "NO_LEVEL", level))
            else:
                self._book.saw(target, level, self._clock())
                found[target] = level
        return found

    def _set(self, changes: Sequence[Change]) -> None:
        """Set numbers, in ever smaller parts where they are refused."""
        size = self._rules.batch
        stack = [list(changes[at : at + size]) for at in range(0, len(changes), size)]
        while stack:
            batch = stack.pop()
            faults = self._shop.set(batch)
            if not faults:
                for change in batch:
                    self._book.is_set(change.target, change.quantity)
                    self._told.discard(change.target)
                self._counts.set(self._source, len(batch))
            elif stale := {fault.place for fault in faults if fault.code in STALE}:
                # Somebody bought it just now: the next look sees what is there, and it is still due.
                self._counts.refused(self._source, "stale", len(stale))
                rest = [change for place, change in enumerate(batch) if place not in stale and len(batch) > 1]
                stack += [rest] if len(rest) < len(batch) and rest else []
            elif len(batch) > 1:
                stack += reversed(halves(batch, faults))
            else:
                self._park(batch[0].target, faults[0])

    def _park(self, target: Target, fault: Fault) -> None:
        failures = self._book.failures(target) + 1
        wait_s = paging.patience(failures, self._draw)
        self._book.park(target, failures, self._clock() + wait_s)
        self._counts.refused(self._source, "refused")
        if target not in self._told:
            self._told.add(target)
            log.error(
                f"{self._source}: {target.item_id} at {target.location_id} was refused: {fault.message} "
                f"({fault.code}); tried again in {wait_s:.0f} s and ever later, others go on",
                kind="push_refused",
                next="put it right at the shop, or correct the alias",
            )

    def _step(self) -> None:
        """Bring what wants to rise as far as it goes now."""
        ticket = self._ticket
        if ticket is None:
            self._rising_since = None
            return
        if self._rising_since is None:
            self._rising_since = ticket.begun_at
        if ticket.stage is Stage.ORDERS and not self._all_orders_are_read():
            return
        while ticket.stage is not Stage.OPEN:
            if ticket.stage is not Stage.ORDERS and not self._is_reached(ticket):
                return
            following = Stage(ticket.stage + 1)
            topics = self._chain.topics.get(following)
            ticket.enter(following, self._reader.ends(topics) if topics is not None else {})
        # Where a request fails the turn stays: what the shop has is compared, so an order that came since is noticed.
        self._raise(ticket)
        self._ticket = self._rising_since = None

    def _raise(self, ticket: Ticket) -> None:
        """Set what still rises, less what the shop took off since, of which nothing that was read may know."""
        due = set(self._book.due(self._clock()))
        targets = [target for target in ticket.levels if target in due]  # others were set by an earlier try
        since = ticket.begun_at - self._order_wait_s
        promised = self._promised(self._book.budgeted(targets))
        for batch in self._batches(targets):
            changes = []
            for target, level in self._levels(batch).items():
                wanted = self._book.wanted(target, promised)
                if wanted is None:
                    continue
                rise = wanted - self._book.fallen(target, since)
                if wanted == level:
                    self._book.is_set(target, level)
                elif wanted < level:
                    changes.append(Change(target, wanted, level))
                elif rise > level:
                    changes.append(Change(target, rise, level))
            self._set(changes)

    def _is_reached(self, ticket: Ticket) -> bool:
        positions = (
            self._reader.positions if ticket.stage is Stage.READ else self._chain.positions(ticket.stage, ticket.ends)
        )
        return is_reached(ticket.ends, positions)

    def _all_orders_are_read(self) -> bool:
        """Ask the shop once for each turn, and again now and then while it has an order that we have not."""
        now = self._clock()
        assert self._ticket is not None, "asked only for what wants to rise"
        if self._asked_at < self._ticket.begun_at or (self._orders.unread() and now - self._asked_at >= ASK_S):
            for order_id, updated_at in self._shop.orders(self._orders.since):
                self._orders.known(order_id, updated_at)
            self._asked_at = now
            self._orders.forget()
        return not self._orders.unread()

    def _tell(self) -> None:
        now = self._clock()
        waiting, oldest_s, refused, unknown = self._book.counts(now)
        held = len(self._ticket.levels) if self._ticket is not None else 0
        held_s = now - self._rising_since if self._rising_since is not None else 0.0
        self._counts.state(self._source, waiting, oldest_s, refused, unknown)
        self._counts.rising(self._source, held, held_s, len(self._orders.unread()))
