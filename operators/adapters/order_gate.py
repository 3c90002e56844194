"""Decides when a number may rise at a shop: when no order of that shop is unread.

A shop takes the units of an order off its number by itself, at once. The engine hears of the order later, and until
then its number is too high by these units. A number that falls does no harm. One that rises would sell them again. So:

1. We look what the shop has.
2. We ask the shop which orders changed since the last time. Each has to stand in the shop's raw topic as it is now.
3. What stood in the raw topic then has to be translated, what the translator had written then has to be applied by the
   engine, and what the engine had published then has to be read by us.
4. We look again. By how much it fell since 1 is taken off the newest number, which is set where the shop still has what
   this look found.

An order that came before 2 is in the number. One that came after 1 made what the shop has fall, and is taken off in 4;
or it comes after that look, and what is set is refused. There is no third kind; one that is both is taken off twice,
which errs on the safe side until the next rise. What the shop's search finds late is caught by `order_wait`: what fell
so shortly before 1 is taken off too. So a number rises however fast it sells.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from operators.adapters.pushing import Part, Target

SECOND: Final = 1_000_000
#: Orders are asked for again from a little before the newest that was known: the shop's search finds some late.
OVERLAP: Final = 120 * SECOND

Ends = dict[Part, tuple[int, int]]
"""Of each partition the first offset and the end."""


class Stage(IntEnum):
    """What a rise waits for."""

    ORDERS = 0
    TRANSLATED = 1
    APPLIED = 2
    READ = 3
    OPEN = 4


class Orders:
    """Which orders of the shop were read, and which have to be. Times in UTC microseconds."""

    def __init__(self, since: int) -> None:
        self.since = since
        self._read: dict[str, int] = {}
        self._known: dict[str, int] = {}

    def read(self, order_id: str, updated_at: int) -> None:
        """An order stands in the raw topic, as it was then."""
        if updated_at > self._read.get(order_id, -1):
            self._read[order_id] = updated_at
        if updated_at >= self._known.get(order_id, updated_at + 1):
            del self._known[order_id]

    def known(self, order_id: str, updated_at: int) -> None:
        """The shop says that there is an order, as it was then."""
        if self._read.get(order_id, -1) < updated_at:
            self._known[order_id] = max(updated_at, self._known.get(order_id, 0))
        self.since = max(self.since, updated_at - OVERLAP)

    def unread(self) -> list[str]:
        """Name those that the shop has and the raw topic has not."""
        return list(self._known)

    def forget(self) -> None:
        """Forget what will not be asked for again."""
        self._read = {name: moment for name, moment in self._read.items() if moment >= self.since - OVERLAP}


def is_reached(ends: Ends, positions: Mapping[Part, int]) -> bool:
    """Is everything read that was there? What holds nothing needs no position."""
    return all(low >= end or positions.get(part, -1) >= end for part, (low, end) in ends.items())


class Ticket:
    """Numbers that want to rise, with what the shop had, on their way through the stages."""

    def __init__(self, levels: dict[Target, int], now: float) -> None:
        self.levels, self.begun_at = levels, now
        self.stage = Stage.ORDERS
        self.ends: Ends = {}

    def enter(self, stage: Stage, ends: Ends) -> None:
        """Go on: `ends` is what has to be reached there, as it was asked for after the stage before was over."""
        assert stage == self.stage + 1, "each stage's ends are asked for when the one before it is over"
        self.stage, self.ends = stage, ends
