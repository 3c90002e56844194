"""One shard on its own: a clock in the hand, disks in memory, and words to say to it."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

from operators.reference import ReferenceTables, packed
from operators.rules.policy import ItemFacts, OverrideFacts
from operators.rules.topology import ChannelFacts, LocationFacts
from operators.shard import Shard, ShardConfig
from schemas.messages import Inbound, ItemRecord, ItemUpdate, Outcome, TopologyRecord, UnitBatch
from schemas.units import EventType, Origin, Unit
from tests.engine import MemorySegments

SECOND, HOUR, DAY = 1_000_000, 3_600_000_000, 86_400_000_000
NOON = 20_000 * DAY + 12 * HOUR
WINDOW = 24 * HOUR
ORIGIN = Origin("inventory.warehouse", 3, 7, 9, b"key", b"value")

EACH = packed(ItemFacts(conversions=(("case", Fraction(12)),)))
HALVES = packed(ItemFacts(scale=1))


def topology(number: int = 0, **channels: ChannelFacts) -> TopologyRecord:
    """Two locations; the channels given, or the web that sells from both."""
    tables = ReferenceTables()
    tables.locations = {"DC1": LocationFacts(), "DC2": LocationFacts(deducts_at="pick")}
    tables.channels = channels or {"web": ChannelFacts(("DC1", "DC2"))}
    return TopologyRecord(tables.pack(), number)


def knows(item: str = "SHOVEL", facts: bytes | None = EACH, channel: str = "") -> ItemRecord:
    return ItemRecord(item, channel, facts, ("inventory.items", 0, 1, 2, item.encode(), b"{}"))


def lists(item: str, **policy: Any) -> ItemRecord:
    return knows(item, packed(OverrideFacts(**policy)), "web")


numbers = itertools.count(1)


def unit(kind: EventType = EventType.STOCK_RECEIVED, quantity: Any = 10, **fields: Any) -> Unit:
    """Something that happened at noon to the shovel in the first warehouse."""
    at = fields.pop("at", NOON)
    said = {
        "item": "SHOVEL",
        "source": "wms",
        "event_id": f"e{next(numbers)}",
        "line_id": "",
        "location": "DC1",
        "status": "available",
        "quantity": quantity,
        "origin": ORIGIN,
        **fields,
    }
    return Unit(type=kind, occurred_at=at, recorded_at=at, **said)


def order(kind: EventType = EventType.ORDER_PLACED, quantity: Any = 3, **fields: Any) -> Unit:
    return unit(kind, quantity, **{"order_id": "SO-1", "line_id": "1", "channel": "web", "status": "", **fields})


class Floor:
    """One shard with a clock in the hand, disks in memory, and a note of the last number of each item."""

    def __init__(self, **config: Any) -> None:
        self.now = NOON
        self.slowest: int | None = NOON
        self.config = ShardConfig(shards=4, dedup_window=WINDOW, **config)
        self.segments = MemorySegments()
        self.offsets = itertools.count()
        self.numbers: dict[str, int] = {}
        self.sent: list[ItemUpdate] = []
        self.open()

    def recorded(self) -> int | None:
        return self.slowest

    def has_passed(self, part: str, offset: int) -> bool:
        return False

    def open(self, resume: bytes | None = None) -> None:
        self.shard = Shard(2, self.config, self.segments, lambda: self.now, self, resume)

    def takes(self, *messages: Inbound) -> Outcome:
        return self.said(self.shard.process(messages))

    def hears(self, *units: Unit, partition: str = "inventory.warehouse/0") -> Outcome:
        return self.takes(UnitBatch(partition, next(self.offsets), list(units)))

    def said(self, outcome: Outcome | None) -> Outcome:
        outcome = outcome or Outcome(2, {}, [], [], [])
        assert outcome.shard == 2
        self.sent.extend(outcome.updates)
        for update in outcome.updates:
            for change in update.channels:
                self.numbers[f"{update.item} {change.channel}"] = change.atp
        return outcome

    def codes(self, *units: Unit) -> list[str]:
        return [refusal.code for refusal in self.hears(*units).refusals]

    def waits(self, until: int) -> list[Outcome]:
        """Let the clock run to `until`, and wake the shard whenever it asks for it."""
        outcomes: list[Outcome] = []
        for _ in range(10_000):
            due = self.shard.next_wake()
            if due is None or due > until:
                self.now = max(self.now, until)
                return outcomes
            self.now = max(self.now, due)
            outcomes.append(self.said(self.shard.wake()))
        raise AssertionError("a shard that always wants to be woken")

    def crashes(self) -> None:
        """All that is not in the snapshot is lost."""
        self.open(self.shard.snapshot())
        self.takes(topology())

    @property
    def atp(self) -> int:
        return self.numbers["SHOVEL web"]
