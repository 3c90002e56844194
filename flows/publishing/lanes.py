"""Moves what Redis has to Kafka: numbers when their lane and their channel's budget allow, positions after a while.

A batch goes through at once: what is done for each number is done in `LaneQueue`, and here only where a number has to
be restated first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from flows.monitoring.metrics import Metrics
from flows.publishing.kafka_writer import OutgoingKafka
from flows.publishing.messages import position_json
from flows.publishing.restating import Restating
from flows.publishing.shards import Shards
from flows.runtime.run import KnownCodes
from operators.lane_queue import LaneQueue, LaneTimes, outgoing
from operators.rules.lanes import LANES
from schemas.messages import ItemUpdate, Outgoing
from schemas.settings import Settings


class Lanes:
    """What a process has for Kafka. Used by the writer's thread alone."""

    def __init__(
        self,
        settings: Settings,
        workers: int,
        known: KnownCodes,
        shards: Shards,
        restating: Restating,
        kafka: OutgoingKafka,
        metrics: Metrics,
    ) -> None:
        lanes = settings.lanes
        self.queue = LaneQueue(LaneTimes(lanes.linger_normal, lanes.linger_bulk, lanes.max_wait))
        self._positions_linger = lanes.linger_positions
        self._pubsub = settings.updates.pubsub
        self._workers, self._known = workers, known
        self._unsure, self._restating, self._restated = shards.unsure, restating, restating.items
        self._kafka, self._metrics = kafka, metrics
        #: item -> its newest position as JSON. Encoded while its parts are at hand, every fourth in vain: fetched from
        #: memory again when it leaves, 200 ms later, one took twice as long.
        self._positions: dict[str, str] = {}
        self._positions_due: deque[tuple[int, str]] = deque()
        self._budgeted: object = None

    def forward(self, taken: list[tuple[int, ItemUpdate]], version: int, moment: int) -> None:
        """Take what Redis has."""
        if self._restated or self._unsure:
            for shard, update in taken:
                self._forward_one(shard, update, version, moment)
            return
        self.queue.add_all(taken, version, moment)
        for _, update in taken:
            if update.places is not None:
                self.keep_position(update, version, moment)

    def _forward_one(self, shard: int, update: ItemUpdate, version: int, moment: int) -> None:
        """Take one of many that Redis has, while some of them have to be restated."""
        if update.item in self._restated or shard in self._unsure:
            self._restated.discard(update.item)
            for change in self._restating.changes(shard, update, version):
                self.queue.add(outgoing(shard, update, change, version, moment), moment)
        else:
            self.queue.add_all([(shard, update)], version, moment)
        if update.places is not None:
            self.keep_position(update, version, moment)

    def add(self, update: Outgoing, moment: int) -> None:
        """Take a number that is for Kafka alone."""
        self.queue.add(update, moment)

    def keep_position(self, update: ItemUpdate, version: int, moment: int) -> None:
        """Take an item's whole position; of several that wait the newest leaves."""
        if update.item not in self._positions:
            self._positions_due.append((moment + self._positions_linger, update.item))
        self._positions[update.item] = position_json(update, version, moment)

    def restore(self, updates: Iterable[Outgoing], moment: int) -> None:
        """Take back what a snapshot kept."""
        self.queue.restore(updates, moment)

    def next_due(self) -> int | None:
        """Give when there is something to send."""
        due = self.queue.next_due()
        if not self._positions_due:
            return due
        return self._positions_due[0][0] if due is None else min(due, self._positions_due[0][0])

    def send_updates(self, moment: int, linger: bool = True) -> list[tuple[str, str]]:
        """Send what may leave by now; gives it as (lane, JSON) for those who listen, where that is wished."""
        self._set_budgets()
        updates = self.queue.due(moment, linger)
        heard: list[tuple[str, str]] = []
        for update in updates:
            value = self._kafka.send_update(update)
            if self._pubsub:
                heard.append((LANES[update.change.lane], value))
        if updates:
            self._metrics.sent(updates, moment)
        return heard

    def send_positions(self, moment: int, linger: bool = True) -> None:
        """Send the positions that have waited long enough; `linger` false: all."""
        while self._positions_due and (not linger or self._positions_due[0][0] <= moment):
            item = self._positions_due.popleft()[1]
            self._kafka.send_position(item, self._positions.pop(item))

    def has_sent(self, numbers: set[tuple[str, str]], positions: set[str]) -> bool:
        """Does nothing of these (item, channel) and items wait any more?"""
        waiting = {(update.item, update.change.channel) for update in self.queue.waiting()}
        return numbers.isdisjoint(waiting) and positions.isdisjoint(self._positions)

    def waiting_by_shard(self) -> dict[int, list[Outgoing]]:
        """Give what still waits, by design: part of the shards' snapshots."""
        by_shard: dict[int, list[Outgoing]] = {}
        for update in self.queue.waiting():
            by_shard.setdefault(update.shard, []).append(update)
        return by_shard

    def _set_budgets(self) -> None:
        topology = self._known.topology
        if topology is not None and topology is not self._budgeted:
            self._budgeted = topology
            self.queue.limit(
                {
                    code: facts.max_updates_per_second / self._workers
                    for code, facts in topology.channels.items()
                    if facts.max_updates_per_second is not None
                }
            )
