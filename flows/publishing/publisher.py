"""The one writer of a process: Redis in slices, most urgent first, then Kafka; a barrier before each snapshot.

The protocol, numbered here and below:
1. What shards say is merged in the outbox (or held back, while a resumed shard is behind what is published). What was
   refused and exceptions wait for Kafka behind all numbers.
2. Slices are written to Redis: token checked, each all or nothing and only after the one before; the first of a flush
   carries the offsets reached.
3. What Redis took goes to the lane queue, and from there to Kafka when its lane and its channel's budget allow.
4. `snapshot` of any shard waits until 1 to 3 are done and Kafka has confirmed: no snapshot runs ahead of the writes.
An outage is waited out with everything kept; a newer run's token ends this process.

Here is the order of these steps. What each of them does is beside it: `trust` (1: whether Redis is believed), `writer`
(2), `lanes` (3), `reports` (what is behind the numbers), `handover` (from the dataflow's thread to the writer's).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from flows.monitoring.metrics import Metrics
from flows.publishing.from_scratch import FromScratch
from flows.publishing.handover import Handover, Opening, Refusals, Said
from flows.publishing.heartbeat import Heartbeat
from flows.publishing.kafka_writer import OutgoingKafka
from flows.publishing.lanes import Lanes
from flows.publishing.notices import Notices
from flows.publishing.patience import Patience
from flows.publishing.reports import Reports
from flows.publishing.restating import Restating
from flows.publishing.saved import Saved, pack, unpack_offsets
from flows.publishing.shards import Shards
from flows.publishing.tail import KnownTail, Tail, updates_since
from flows.publishing.trust import Trust
from flows.publishing.writer import SLICE_FIELDS, Writer
from flows.readmodel.port import Fenced
from flows.readmodel.redis_model import RedisModel
from flows.readmodel.store import Store
from flows.runtime.clock import Clock
from flows.runtime.cycles import look_for_cycles
from flows.runtime.run import Shared, Stop
from flows.settings import redis_address
from flows.storage.newest_run import NewestRun
from schemas.messages import Outcome, Outgoing
from schemas.settings import Settings
from schemas.units import Refusal

HELD_CHECK_S = 0.05
#: Between two looks whether a budget lets go what waits at the very end.
BUDGET_CHECK_S = 0.05


class Publisher:
    """Takes outcomes from the dataflow's thread, writes them from its own.

    `has_thread` false: whoever made it calls `join`, `work` and `barrier` itself, before each `snapshot`.
    """

    def __init__(
        self,
        shared: Shared,
        metrics: Metrics,
        connect: Callable[..., Store] = Store,
        kafka: Callable[[Settings, Stop, Metrics], OutgoingKafka] = OutgoingKafka,
        read_tail: Callable[[Settings, int], Tail] = updates_since,
        newest_run: Callable[[], int] | None = None,
        *,
        clock: Clock | None = None,
        after_epoch: Callable[[], None] = look_for_cycles,
        slice_fields: int = SLICE_FIELDS,
        has_thread: bool = True,
    ) -> None:
        run, settings = shared.run, shared.run.settings
        clock = clock or Clock()
        self._run, self._stop, self._metrics, self._clock = run, shared.stop, metrics, clock
        self._connect, self._after_epoch = connect, after_epoch
        self._address = (redis_address(settings.redis), settings.redis.prefix)
        store = connect(*self._address, run.token, str(run.worker))
        self._model = RedisModel(store)
        self._reader: RedisModel | None = None
        self._kafka = kafka(settings, shared.stop, metrics)
        self._patience = Patience(metrics, shared.stop, clock)
        self.handover, self._shards = Handover(), Shards()
        self._tail = KnownTail(settings, read_tail)
        restating = Restating(self._shards, self._tail)
        #: what a test may look at, or take a part of away, to see that it is missed: handover, lanes, writer, trust
        self.lanes = Lanes(settings, run.workers, shared.known, self._shards, restating, self._kafka, metrics)
        self.writer = Writer(
            run, self._shards, self._model, self.lanes.forward, newest_run or NewestRun(settings.state.dir).token,
            self._patience, metrics, clock, slice_fields,
        )  # fmt: skip
        self.trust = Trust(
            shared, self._shards, self.writer, restating, self._tail, self.handover, metrics, clock
        )  # fmt: skip
        self._from_scratch = FromScratch(
            run, self._shards, self.trust, self.writer, self.lanes, restating, self._tail, self._kafka, store,
            self._patience, clock,
        )  # fmt: skip
        notices = Notices(metrics, settings.log.payload)
        self._reports = Reports(self._kafka, notices, metrics, self.handover.free_bytes, clock)
        self._heartbeat = Heartbeat(
            shared, self._model, self.writer, self.lanes.queue, self._patience, clock, metrics
        )  # fmt: skip
        #: what waited for Kafka when the last run's snapshots were taken
        self._restored: list[Outgoing] = []
        self._thread = threading.Thread(target=self._main, name="publisher", daemon=True)
        self._has_thread, self._is_started = has_thread, False
        metrics.watch("atp_outbox_items", lambda: len(self.writer.outbox))
        metrics.watch("atp_inbox_outcomes", lambda: len(self.handover))
        metrics.watch("atp_held_shards", self.held_shards)
        metrics.watch("atp_from_scratch_shards", self._from_scratch.left)

    # --- the dataflow's side -----------------------------------------------------------------------------------------

    def published(self, shard: int) -> dict[str, int]:
        """Read which input offsets the published numbers of a shard include. By a connection of its own."""
        if self._reader is None:
            self._reader = RedisModel(self._connect(*self._address))
        raw, _ = self._patience.ask(self._reader.reached, shard)
        return unpack_offsets(raw)[0]

    def open(self, shard: int, state: bytes | None) -> None:
        """Take a shard up where the last run's snapshot left it."""
        self._start()
        self.handover.post(Opening(shard, state))

    def _start(self) -> None:
        if self._has_thread and not self._is_started:
            self._is_started = True
            self._thread.start()

    def refuse(self, refusals: list[Refusal]) -> None:
        """Take what could not be used; waits if too much of it waits to be written."""
        self._start()
        size = sum(origin.size for origin in {refusal.origin.place: refusal.origin for refusal in refusals}.values())
        self.handover.take_bytes(size)
        self.handover.post(Refusals(size, refusals))

    def take(self, shard: int, outcome: Outcome) -> None:
        """Take what a shard said; waits if the writer is too far behind."""
        self.handover.post(Said(shard, outcome))

    def prepare(self) -> None:
        """An epoch ends: begin step 4, while the shards encode what changed."""
        self.handover.prepare()

    def settle(self) -> None:
        """Wait until all that was taken is written."""
        with self.handover.settled():
            pass

    def snapshot(self, shard: int) -> bytes:
        """Wait until all that was taken is written (step 4); give what of the shard still waits, by design."""
        with self.handover.settled() as waiting:
            known = self._shards[shard]
            held = None if known.held is None else (known.held.until, list(known.held.updates.values()))
            # Held back, it has not yet looked at what Kafka was sent: the next run must begin where this one did.
            saved_at = self._clock.now() if held is None else self._tail.since()
            state = pack(Saved(saved_at, waiting.get(shard, []), known.reached, held, known.open, known.version))
            self._metrics.snapshot_bytes += len(state)
            return state

    @property
    def has_written_events(self) -> bool:
        """Was anything withheld or corrected in this run, so that an input has grown?"""
        return self._kafka.has_written_events

    def held_shards(self) -> int:
        """Give how many shards are read again, up to what is published. From any thread."""
        return len(self._shards.held_back)

    def filling_shards(self) -> int:
        """Give how many shards have not yet said everything again for a Redis that lost it. From any thread."""
        return self._shards.filling()

    def waiting(self) -> int:
        """Give how much is not written: outcomes, items for Redis, numbers for Kafka. From any thread."""
        return len(self.handover) + len(self.writer.outbox) + len(self.lanes.queue)

    def drain(self) -> None:
        """The input has ended: from now on nothing lingers; without a stop, budgets are waited for too."""
        self.handover.end_input()

    def close(self) -> None:
        """End the writer, everything written that can be."""
        self.handover.close()
        if self._is_started:
            self._thread.join()
        self._model.close()
        if self._reader is not None:
            self._reader.close()

    # --- the writer's side -------------------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            self.join()
            while self.handover.wait(self._patience_s):
                self.work()
                if self.handover.is_barrier_wanted:
                    self.barrier()
        except BaseException as error:  # handed to the dataflow's thread, which raises it
            self._metrics.is_fenced = isinstance(error, Fenced)
            self._stop.fail(error)
            self.handover.fail(error)

    def _patience_s(self) -> float:
        if self._from_scratch.has_steps:
            return 0.0
        patience = self._heartbeat.due_in_s()
        if self._shards.held_back:
            patience = min(patience, HELD_CHECK_S)
        reports = self._reports.patience_s()
        if reports is not None:
            patience = min(patience, reports)
        due = self.lanes.next_due()
        if due is not None:
            patience = min(patience, max(0, due - self._clock.now()) / 1e6)
        return patience

    def join(self) -> None:
        """Begin to write, in a run whose token was taken."""
        self.writer.join()

    def work(self) -> None:
        """Write what is there, urgent first; return when nothing is left to be written now."""
        while True:
            self._take_inbox()
            # Each time: what came while numbers were written may be a shard's last, and a barrier may come next.
            self.trust.release_held()
            if not self.writer.outbox:
                break
            self.writer.write_slices()
        self.trust.mark_filled()
        if self._from_scratch.is_needed:
            self._from_scratch.remove_some()
        self._send_due()
        self._reports.send_some()
        if self._heartbeat.is_due():
            self._heartbeat.begin()
            self._from_scratch.end_if_sent()  # an engine without input settles nothing
            self._heartbeat.beat()
        self._kafka.poll()

    def barrier(self) -> None:
        """Step 4: everything that may leave has left, and Kafka has confirmed it."""
        self._restore()
        if not self.trust.is_compared:
            self.trust.compare()
        is_to_end = self.handover.has_ended and self._run.until_caught_up
        if self._from_scratch.is_needed and is_to_end:
            while self._from_scratch.remove_some():
                pass
        self.writer.close_flush()
        is_patient = is_to_end and not self._stop.is_set()
        while True:
            self._send_due(linger=False)
            if not is_patient or not self.lanes.queue or self._stop.is_set():
                break
            self._clock.sleep(BUDGET_CHECK_S)  # a budget holds updates up, and nothing may be left at the end
        while not self._reports.send_some():
            if not self._reports.has_room:
                self._kafka.make_room()
        self._kafka.flush()
        self._from_scratch.end_if_sent()
        waiting = self.lanes.waiting_by_shard()
        self._after_epoch()
        self.handover.settle(waiting)

    def _restore(self) -> None:
        """Take up what waited, once all shards of the last run are known: but for what left after their snapshots."""
        waiting, self._restored = self._restored, []
        if waiting:
            tail = self._tail.updates()
            none = (0, None)
            fresh = [u for u in waiting if tail.get((u.item, u.change.channel), none)[0] < u.version]
            self.lanes.restore(fresh, self._clock.now())

    # 1. what shards say

    def _take_inbox(self) -> None:
        for entry in self.handover.take():
            if type(entry) is Said:
                self._take_outcome(entry.shard, entry.outcome)
            elif type(entry) is Refusals:
                self._reports.refuse(entry.size, entry.refusals)
            elif type(entry) is Opening:
                self._restored += self.trust.open(entry.shard, entry.state).waiting

    def _take_outcome(self, number: int, outcome: Outcome) -> None:
        shard = self._shards[number]
        shard.has_spoken = True
        shard.reached.update(outcome.reached)
        self._reports.note(outcome.exceptions, shard.open)
        if outcome.reconciled:
            self._reports.tell(outcome.reconciled)
        self._metrics.count(outcome)
        if outcome.filled:
            self.trust.hear_answers(number, outcome.filled)
        if shard.held is not None:
            self.trust.hold(shard, outcome)
        elif outcome.updates:
            self.writer.give(number, outcome.updates, shard.reached)
            shard.has_news = True

    # 3. Kafka

    def _send_due(self, linger: bool = True) -> None:
        moment = self._clock.now()
        heard = self.lanes.send_updates(moment, linger)
        if heard:
            self.writer.publish(heard)
        self.lanes.send_positions(moment, linger)
