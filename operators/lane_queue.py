"""What waits to go to Kafka, by lane: merged by item and channel, with lingers and budgets (contract section 6).

Critical and high leave at once, normal and bulk within their lingers. A channel with a budget of b updates a second
sends at most 10 x b in any 10 s: higher lanes spend it first, critical leaves at once and is charged to it, and what
waited longer than `max_wait` goes before newer updates of any lane but critical.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from operators.outbox import is_moot, is_unchanged, merge_channels
from operators.rules.lanes import CRITICAL, HIGH, LANES, NORMAL
from schemas.messages import ChannelUpdate, ItemUpdate, Outgoing

SECOND = 1_000_000
BUDGET_WINDOW = 10 * SECOND
#: A budget is counted in steps of 100 ms; what was sent within a step stays charged until the whole step is 10 s old.
BUDGET_STEP = SECOND // 10


@dataclass(frozen=True, slots=True)
class LaneTimes:
    """How long what may wait; microseconds."""

    linger_normal: int = 50_000
    linger_bulk: int = SECOND
    max_wait: int = 5 * SECOND


class Budget:
    """What one channel may still send: at most `per_second` x 10 in any 10 s."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._spent: deque[list[int]] = deque()
        self._total = 0

    def left(self, now: int) -> int:
        """Give how many updates may leave now (negative: critical ones overdrew it)."""
        # A rate below one in ten seconds is one in a longer time, not none.
        most = max(1, int(self.per_second * 10))
        window = max(BUDGET_WINDOW, int(most / self.per_second * SECOND))
        oldest = now // BUDGET_STEP - window // BUDGET_STEP
        while self._spent and self._spent[0][0] < oldest:
            self._total -= self._spent.popleft()[1]
        return most - self._total

    def spend(self, now: int) -> None:
        """Charge one update."""
        step = now // BUDGET_STEP
        if self._spent and self._spent[-1][0] == step:
            self._spent[-1][1] += 1
        else:
            self._spent.append([step, 1])
        self._total += 1


Key = tuple[str, str]


class LaneQueue:
    """All updates of a process that Redis has and Kafka has not."""

    def __init__(self, times: LaneTimes) -> None:
        self.times = times
        self._waiting: dict[Key, Outgoing] = {}
        #: what may wait, in order of arrival: (due, key)
        self._lingering: tuple[deque[tuple[int, Key]], deque[tuple[int, Key]]] = (deque(), deque())
        #: what leaves at once, in order of arrival; a key may be there twice, and leaves once
        self._now: list[Key] = []
        #: channel -> keys that its budget holds up
        self._blocked: dict[str, dict[Key, None]] = {}
        self._budgets: dict[str, Budget] = {}
        #: when blocked channels are looked at again
        self._retry_at = 0
        #: lane -> how many waited longer than max_wait
        self.overdue: dict[str, int] = dict.fromkeys(LANES, 0)
        #: lane -> how many took the place of one that waited
        self.merged: dict[str, int] = dict.fromkeys(LANES, 0)

    def __len__(self) -> int:
        return len(self._waiting)

    def limit(self, rates: dict[str, float]) -> None:
        """Set the budgets of channels, in updates a second; a channel not named has none."""
        for channel in [known for known in self._budgets if known not in rates]:
            del self._budgets[channel]
            for key in self._blocked.pop(channel, {}):
                self._now.append(key)
        for channel, rate in rates.items():
            budget = self._budgets.get(channel)
            if budget is None:
                self._budgets[channel] = Budget(rate)
            else:
                budget.per_second = rate

    def add_all(self, taken: list[tuple[int, ItemUpdate]], version: int, now: int) -> None:
        """Take all changes of items that Redis has now, by their shards."""
        waiting = self._waiting
        for shard, update in taken:
            item = update.item
            for change in update.channels:
                if change.forced and is_for_redis_alone(change):
                    continue
                one = outgoing(shard, update, change, version, now)
                key = (item, change.channel)
                if waiting.setdefault(key, one) is one:
                    self._place(key, change.lane, now)
                else:
                    self.add(one, now)

    def add(self, update: Outgoing, now: int) -> None:
        """Take one update that Redis has now."""
        key = (update.item, update.change.channel)
        waiting = self._waiting
        known = waiting.get(key)
        lane = update.change.lane
        if known is not None:
            self.merged[LANES[lane]] += 1
            update.change = merge_channels(known.change, update.change)
            update.since = known.since
            if is_moot(update.change):
                del waiting[key]
                return
            lane = update.change.lane
            if known.change.lane == lane:
                waiting[key] = update
                return  # it has its place already
        waiting[key] = update
        self._place(key, lane, now)

    def _place(self, key: Key, lane: int, now: int) -> None:
        if lane <= HIGH:
            self._now.append(key)
        elif lane == NORMAL:
            self._lingering[0].append((now + self.times.linger_normal, key))
        else:
            self._lingering[1].append((now + self.times.linger_bulk, key))

    def next_due(self) -> int | None:
        """Give when `due` has something to say."""
        if self._now:
            return 0
        dues = [queue[0][0] for queue in self._lingering if queue]
        if any(self._blocked.values()):
            dues.append(self._retry_at)
        return min(dues, default=None)

    def due(self, now: int, linger: bool = True) -> list[Outgoing]:
        """Take what may leave, most urgent first. `linger` false: nothing lingers any more, budgets still hold."""
        self._retry_at = now + BUDGET_STEP
        ready = self._now
        self._now = []
        for queue in self._lingering:
            while queue and (not linger or queue[0][0] <= now):
                ready.append(queue.popleft()[1])
        if not ready and not self._blocked:
            return []
        by_lane: list[list[Outgoing]] = [[] for _ in LANES]
        waiting, budgets = self._waiting, self._budgets
        for key in ready:
            if budgets and key[1] in budgets:
                if key in waiting:
                    self._blocked.setdefault(key[1], {})[key] = None
                continue
            update = waiting.pop(key, None)
            if update is not None:
                by_lane[update.change.lane].append(update)
        for channel in list(self._blocked):
            self._spend(channel, now, by_lane)
        return [update for some in by_lane for update in some]

    def _spend(self, channel: str, now: int, by_lane: list[list[Outgoing]]) -> None:
        keys, budget = self._blocked[channel], self._budgets[channel]
        waiting = self._waiting
        updates = [waiting[key] for key in keys if key in waiting]
        updates.sort(key=self._urgency(now))
        left = budget.left(now)
        for update in updates:
            if left <= 0 and update.change.lane != CRITICAL:
                break
            key = (update.item, channel)
            del waiting[key]
            del keys[key]
            if now - update.since > self.times.max_wait:
                self.overdue[LANES[update.change.lane]] += 1
            budget.spend(now)
            left -= 1
            by_lane[update.change.lane].append(update)
        if not keys:
            del self._blocked[channel]
        elif len(keys) > len(waiting):
            self._blocked[channel] = {key: None for key in keys if key in waiting}

    def _urgency(self, now: int) -> Callable[[Outgoing], tuple[int, int]]:
        horizon = now - self.times.max_wait

        def urgency(update: Outgoing) -> tuple[int, int]:
            lane = update.change.lane
            if lane == CRITICAL:
                return (CRITICAL, update.since)
            if update.since < horizon:
                return (CRITICAL + 1, update.since)
            return (lane + 1, update.since)

        return urgency

    def waiting(self) -> list[Outgoing]:
        """Give (and keep) all that waits: part of the shards' snapshots."""
        return list(self._waiting.values())

    def restore(self, updates: Iterable[Outgoing], now: int) -> None:
        """Take back what a snapshot kept."""
        for update in updates:
            self.add(update, now)


def outgoing(shard: int, update: ItemUpdate, change: ChannelUpdate, version: int, now: int) -> Outgoing:
    """Give what goes to Kafka of one change that Redis has."""
    # Past the constructor, whose arguments would be packed and unpacked: two thirds of it, compiled.
    one: Outgoing = Outgoing.__new__(Outgoing)
    one.shard = shard
    one.item = update.item
    one.change = change
    one.as_of = update.as_of
    one.correlation_id = update.correlation_id
    one.version = version
    one.processed_at = now
    one.since = now
    return one


def is_for_redis_alone(change: ChannelUpdate) -> bool:
    """Is it written again for Redis' sake, and Kafka has it?"""
    return change.forced and change.cause != "republish" and is_unchanged(change)
