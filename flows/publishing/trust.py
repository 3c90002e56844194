"""Decides when Redis is believed about a shard, and has the shard say again what it cannot be believed about (G3, G6).

What Redis says of itself is believed only while three things hold: it knew the last run, the shard is marked as whole
in Redis' present life, and nothing in Kafka or in the snapshot is newer. Else nobody knows what readers have seen. Then
the shard is held back until it is past all that any earlier run can have read, and says everything (`_doubt`).

What each shard's standing may become is in `operators/rules/trust.py`; here is what brings it about.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from flows.log import get_log
from flows.monitoring.metrics import Metrics
from flows.publishing.errors import PublisherError
from flows.publishing.handover import Handover
from flows.publishing.restating import Restating
from flows.publishing.saved import Saved, unpack, unpack_offsets
from flows.publishing.shards import OpenShard, Shards
from flows.publishing.tail import KnownTail
from flows.publishing.writer import Writer
from flows.runtime.clock import Clock
from flows.runtime.mailbox import ShardRequest
from flows.runtime.run import Shared
from operators.holdback import HeldShard
from operators.route import shard_of
from operators.rules.trust import Standing, Step
from schemas.messages import ItemUpdate, Outcome, Republish

log = get_log(__name__)

#: Items of which Redis is asked in one round trip.
READ_ITEMS = 500
LOSS_HELP = "find out why Redis lost data (restart without persistence, failover, eviction)"


class Trust:
    """Of one process. Used by the writer's thread alone."""

    def __init__(
        self,
        shared: Shared,
        shards: Shards,
        writer: Writer,
        restating: Restating,
        tail: KnownTail,
        handover: Handover,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        #: were the shards that are open compared with Kafka's tail?
        self.is_compared = False
        #: a start from scratch distrusts Redis on purpose: no loss
        self.is_from_scratch = shared.run.scratch is not None and bool(shared.run.scratch[1])
        self._run, self._progress, self._mailbox = shared.run, shared.progress, shared.mailbox
        self._shards, self._writer, self._restating = shards, writer, restating
        self._tail, self._handover, self._metrics, self._clock = tail, handover, metrics, clock
        self._has_answers = False
        #: shards that were held back and are through, and their items that differ: one line when all are
        self._through = [0, 0]
        writer.on_loss = self.lose

    # --- a start -----------------------------------------------------------------------------------------------------

    def open(self, number: int, raw: bytes | None) -> Saved:
        """Take a shard up where the last run's snapshot left it; gives what that kept."""
        if number in self._shards:
            raise PublisherError(
                f"shard {number} spoke before what was kept of it was there: what it said would be lost"
            )
        saved = unpack(raw)
        # A moment still to come: the clock was set back, and by how much nobody knows. Kafka is asked from the start.
        saved_at = saved.saved_at if saved.saved_at <= self._clock.now() else 0
        self._tail.reach_back(saved_at, was_held=saved.held is not None)
        for about, count in saved.open.items():
            self._metrics.opened(about, count)
        published, is_whole = self._writer.reached(number)
        until, version = unpack_offsets(published)
        # A crash before the first snapshot: nothing to be behind of, but what it says first, readers may have.
        if raw is None and published is None and is_whole:
            self._shards.add(number, OpenShard(saved, None, False), Step.BEGIN)
        else:
            held = HeldShard(until, saved.reached, saved.held[1] if saved.held else ())
            self._shards.add(number, OpenShard(saved, held, raw is not None), Step.RESUME)
        self.is_compared = False
        if not is_whole:
            self._doubt([number])
        elif version < saved.version:
            self._writer.unmark([number])
            self._doubt([number])
        return saved

    def compare(self) -> None:
        """Distrust Redis where Kafka is ahead of it: Redis was first, so it is an older copy, whatever it says."""
        self.is_compared = True
        trusted = [number for number, shard in self._shards.items() if shard.standing is Standing.HELD]
        if trusted and self._is_older(set(trusted)):  # what goes for one item goes for all that is in this Redis
            self._writer.unmark(trusted)
            self._doubt(trusted)

    def _is_older(self, trusted: set[int]) -> bool:
        """Has Kafka a newer number of an item of these shards than Redis?"""
        newer: dict[str, int] = {}
        for (item, _), (version, value) in self._tail.updates().items():
            number = shard_of(item, self._run.settings.shards)
            if value is not None and number in trusted and version > self._shards[number].saved_version:
                newer[item] = max(newer.get(item, 0), version)
        items = list(newer)
        for at in range(0, len(items), READ_ITEMS):
            some = items[at : at + READ_ITEMS]
            if any(held < newer[item] for item, held in zip(some, self._writer.versions(some), strict=True)):
                return True
        return False

    # --- held back ---------------------------------------------------------------------------------------------------

    def hold(self, shard: OpenShard, outcome: Outcome) -> None:
        """Take what a shard says that is held back."""
        assert shard.held is not None
        shard.held.note(outcome.reached)
        shard.held.add(outcome.updates)
        if outcome.ended:
            shard.held.until.clear()

    def release_held(self) -> None:
        """Let go the shards that are as far as what readers have."""
        if not self.is_compared or not self._shards.held_back:
            return
        is_any_released = False
        for number, shard in list(self._shards.held_back.items()):
            held = shard.held
            if held is not None and shard.has_spoken and held.is_through(self._progress.has_passed):
                is_any_released = self._release(number, shard, list(held.updates.values())) or is_any_released
        if is_any_released and not self._shards.held_back:
            shards, items = self._through
            self._through = [0, 0]
            log.info(
                f"caught up with what was published before: {items} items of {shards} shards differ",
                kind="caught_up",
                shards=shards,
                items=items,
            )

    def _release(self, number: int, shard: OpenShard, updates: list[ItemUpdate]) -> bool:
        """Let a shard go; false: Redis is not what it was when it was read."""
        if updates:
            self._tail.updates()
            updates = self._compared(number, updates)
            if shard.standing is Standing.HELD:
                self._writer.look()
                if shard.standing is not Standing.HELD:
                    return False  # what was read was not what the last run wrote
            self._restating.items.update(update.item for update in updates)
        with self._handover.changing():  # a snapshot sees it held back or written, never in between
            self._shards.take_step(number, Step.RELEASE)
            self._writer.give(number, updates, shard.reached)
            shard.has_news = True
        if shard.standing is Standing.RESTATING:
            self._ask_for_all([number])
        self._through[0] += 1
        self._through[1] += len(updates)
        return True

    def _compared(self, shard: int, updates: list[ItemUpdate]) -> list[ItemUpdate]:
        """Compare updates with what Redis holds; of an item that is spoken of in full, unlist what is there besides."""
        compared = []
        for at in range(0, len(updates), READ_ITEMS):
            some = updates[at : at + READ_ITEMS]
            there = self._writer.published([update.item for update in some])
            compared += [self._restating.compared(shard, *pair) for pair in zip(some, there, strict=True)]
        return compared

    # --- a loss ------------------------------------------------------------------------------------------------------

    def lose(self, what: str) -> None:
        """Redis was found to have lost what this run wrote: have every shard say it again."""
        self._tell_loss(what)
        held = list(self._shards.held_back)
        if held:
            self._doubt(held)
        rest = [number for number, shard in self._shards.items() if shard.held is None]
        for number in rest:
            self._shards.take_step(number, Step.LOSE)
        self._ask_for_all(rest)

    def _doubt(self, shards: Collection[int]) -> None:
        """Hold shards back until they are past all that an earlier run can have read: they say everything then."""
        is_known = bool(self._shards.unsure)
        ends = {part: end - 1 for part, end in self._run.ends.items() if end}
        for number in shards:
            self._shards.take_step(number, Step.DOUBT)
            shard = self._shards[number]
            assert shard.held is not None
            shard.held.hold(ends, shard.reached)
        if not is_known:
            if self.is_from_scratch:
                log.info(
                    "from scratch: nothing is published until everything is read that the inputs held at this start",
                    kind="from_scratch",
                )
            else:
                self._tell_loss("Redis does not have all that was published")
        self._mailbox.put(ShardRequest(shard, Republish(cause="replay", until=ends)) for shard in shards)

    def _tell_loss(self, what: str) -> None:
        self._metrics.redis_losses += 1
        log.warning(f"{what}: filling it again", kind="redis_lost", next=LOSS_HELP)

    # --- what is said again ------------------------------------------------------------------------------------------

    def _ask_for_all(self, shards: Iterable[int]) -> None:
        """Have shards say everything again; they are not marked as whole until that is written."""
        requests = []
        for number in shards:
            self._shards[number].asked += 1
            requests.append(ShardRequest(number, Republish(cause="refill")))
        self._mailbox.put(requests)

    def hear_answers(self, number: int, times: int) -> None:
        """Note that a shard has said everything, so often."""
        self._shards.take_step(number, Step.ANSWER)
        self._shards[number].answers += times
        self._has_answers = True

    def mark_filled(self) -> None:
        """Mark shards as whole that have said everything as often as they were asked, now that it is written."""
        if not self._has_answers:
            return
        through = []
        self._has_answers = False
        for number, shard in self._shards.items():
            if not shard.answers:
                continue
            if shard.held is not None:
                self._has_answers = True  # counts when it is released
                continue
            if shard.answers >= shard.asked:
                self._shards.take_step(number, Step.MARK)
                through.append(number)
            shard.asked, shard.answers = max(0, shard.asked - shard.answers), 0
        if through:
            self._writer.mark(through)
            log.info(
                f"Redis is filled again with {len(through)} shards, {self._shards.filling()} to go", kind="refilled"
            )

    def is_said(self, shards: Collection[int]) -> bool:
        """Have these shards said everything, and is it written?"""
        return all(self._shards[shard].standing is Standing.WHOLE for shard in shards)
