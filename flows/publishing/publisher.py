"""The one writer of a process: Redis in slices, most urgent first, then Kafka; a barrier before each snapshot.

The protocol, numbered here and below:
1. What shards say is merged in the outbox (or held back, while a resumed shard is behind what is published). What was
   refused and exceptions wait for Kafka behind all numbers.
2. Slices are written to Redis: token checked, each all or nothing and only after the one before; the first of a flush
   carries the offsets reached.
3. What Redis took goes to the lane queue, and from there to Kafka when its lane and its channel's budget allow.
4. `snapshot` of any shard waits until 1 to 3 are done and Kafka has confirmed: no snapshot runs ahead of the writes.
An outage is waited out with everything kept; a newer run's token ends this process.

What Redis says of itself is believed only while three things hold: it knew the last run, the shard is marked as whole
in Redis' present life, and nothing in Kafka or in the snapshot is newer. Else nobody knows what readers have seen. Then
the shard is held back until it is past all that any earlier run can have read, and says everything (`_distrust`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import msgspec

from flows.log import get_log
from flows.monitoring.metrics import Metrics
from flows.publishing.kafka_writer import LAST_WAIT_S, OutgoingKafka
from flows.publishing.letters import Letter, Letters
from flows.publishing.messages import position_json
from flows.publishing.notices import Notices
from flows.publishing.removal import Gone, Removal, outgoing
from flows.publishing.tail import Tail, items_with_positions, updates_since
from flows.readmodel.requests import take_requests
from flows.readmodel.slices import Slice, bulk_bytes, pack_slice
from flows.readmodel.store import Behind, Fenced, Outage, Store, life_field
from flows.runtime.cycles import look_for_cycles
from flows.runtime.progress import PartProgress
from flows.runtime.run import Shared, Stop, now, shard_key
from flows.settings import redis_address
from flows.storage.folder import NewestRun, scratch_is_through
from operators.holdback import HeldShard, Value, restate
from operators.lane_queue import LaneQueue, LaneTimes, is_for_redis_alone
from operators.outbox import Outbox
from operators.route import shard_of
from operators.rules.lanes import BULK, CRITICAL, LANES
from schemas.messages import (
    ChannelUpdate,
    ExceptionNote,
    ItemUpdate,
    Outcome,
    Outgoing,
    Republish,
    from_values,
    replace,
    to_values,
)
from schemas.settings import Settings
from schemas.units import Refusal

log = get_log(__name__)

#: Fields a slice writes: 100 to 200 keep Redis free for others (a call of 1000 holds it for 2 ms).
SLICE_FIELDS = 160
#: Slices that may be on their way together: what a more urgent one has to let pass, 1 ms. One by one, each waits for
#: the interpreter twice, up to half a millisecond each time, while the dataflow computes.
SLICES_AT_ONCE = 4
HEARTBEAT_S = 1.0
HELD_CHECK_S = 0.05
#: Items of which Redis is asked in one round trip.
READ_ITEMS = 500
#: Dead letters and exceptions that are written between two slices: 1 ms in which nothing more urgent leaves.
WORDS_AT_ONCE = 100
#: Bytes of refused messages that may wait to be written before the dataflow is made to wait: a bound on memory while
#: Kafka is away or slow.
WORDS_BYTES_MAX = 64 * 1024 * 1024
#: Between two looks for room in the producer.
ROOM_CHECK_S = 0.01
#: Outcomes that may wait before the dataflow is made to wait: a bound on memory while Redis is away.
INBOX_MAX = 20_000
COUNTER_MAX = (1 << 32) - 1

LOSS_HELP = "find out why Redis lost data (restart without persistence, failover, eviction)"
REDIS_HELP = "see whether Redis runs and takes writes (memory, disk, primary): atp check; nothing is lost meanwhile"


class _Saved(msgspec.Struct, array_like=True):
    """What a snapshot keeps of a shard: when, what waits for Kafka, how far it was, what is held back and open."""

    saved_at: int
    waiting: list[Outgoing]
    reached: dict[str, int]
    held: tuple[dict[str, int], list[ItemUpdate]] | None
    #: exceptions open now, by code (a silent source: by its name too)
    open: dict[str, int] = {}
    #: under which Redis last took the offsets: a Redis that has a lower one is older than this snapshot
    version: int = 0


_state = msgspec.msgpack.Decoder(_Saved, dec_hook=from_values)
_offsets = msgspec.msgpack.Decoder(tuple[dict[str, int], int])
_encode = msgspec.msgpack.Encoder(enc_hook=to_values).encode


class PublisherError(RuntimeError):
    """The writer has ended; the reason is its cause."""


class _Shard:
    """What the writer knows of one shard."""

    __slots__ = ("has_spoken", "held", "is_resumed", "open", "reached", "saved_version", "version")

    def __init__(self, saved: _Saved, held: HeldShard | None, is_resumed: bool) -> None:
        self.held = held
        self.is_resumed = is_resumed
        self.reached = saved.reached
        #: under which Redis last took `reached`
        self.version = self.saved_version = saved.version
        #: exceptions open now, by code
        self.open = saved.open
        #: in this run; every shard does at its start
        self.has_spoken = False


class Publisher:
    """Takes outcomes from the dataflow's thread, writes them from its own."""

    def __init__(
        self,
        shared: Shared,
        metrics: Metrics,
        connect: Callable[..., Store] = Store,
        kafka: Callable[[Settings, Stop, Metrics], OutgoingKafka] = OutgoingKafka,
        read_tail: Callable[[Settings, int], Tail] = updates_since,
        newest_run: Callable[[], int] | None = None,
    ) -> None:
        run, stop, settings = shared.run, shared.stop, shared.run.settings
        self._newest_run = newest_run or NewestRun(settings.state.dir).token
        self._run, self._known, self._progress = run, shared.known, shared.progress
        self._control, self._stop = shared.control, stop
        self._metrics = metrics
        self._notices = Notices(metrics, settings.log.payload)
        self._connect = connect
        self._store = connect(redis_address(settings.redis), settings.redis.prefix, run.token, str(run.worker))
        self._reader: Store | None = None
        self._kafka = kafka(settings, stop, metrics)
        self._updates_since = read_tail
        self._prefix = settings.redis.prefix
        self._pubsub = settings.updates.pubsub
        lanes = settings.lanes
        self._lanes = LaneQueue(LaneTimes(lanes.linger_normal, lanes.linger_bulk, lanes.max_wait))
        self._positions_linger = lanes.linger_positions
        self._outbox = Outbox()
        self._letters = Letters()
        #: refusals and exceptions to be written, and, behind those of a batch, how many bytes its messages have
        self._words: deque[Any] = deque()
        self._unsent: deque[Letter] = deque()
        self._words_bytes = 0
        self._has_room = True
        self._shards: dict[int, _Shard] = {}
        #: item -> its newest position as JSON. Encoded while its parts are at hand, every fourth in vain: fetched from
        #: memory again when it leaves, 200 ms later, one took twice as long.
        self._positions: dict[str, str] = {}
        self._positions_due: deque[tuple[int, str]] = deque()
        self._restated: set[str] = set()
        #: (item, channel) of which Redis said what Kafka never got: the dead run's message may still be on its way, so
        #: the next number goes out above it even if Kafka has that one already
        self._doubtful: set[tuple[str, str]] = set()
        #: shard -> how often it was asked to say everything for a Redis that lost it, and has not yet
        self._filling: dict[int, int] = {}
        #: shards that have, once
        self._filled: list[int] = []
        #: shards of which Redis cannot tell what was published: Kafka's own tail is asked, until they are whole again
        self._uncertain: set[int] = set()
        #: were the shards that are open compared with Kafka's tail?
        self._is_compared = False
        #: shards that said something since the last snapshot
        self._spoken: set[int] = set()
        #: shards that were held back and are through, and their items that differ: one line when all are
        self._through = [0, 0]
        self._tail: Tail | None = None
        #: what waited for Kafka when the last run's snapshots were taken
        self._restored: list[Outgoing] = []
        #: when the last run's newest snapshot was taken, 0: there is none
        self._saved_at = 0
        #: from when on a shard that the last run still held back has to look at what Kafka has
        self._held_since: int | None = None
        self._tail_from = 0
        #: shards of a start from scratch that have not yet removed what is no longer true
        self._left: frozenset[int] = run.scratch[1] if run.scratch is not None else frozenset()
        #: those that do so now, and what they still have to do; None: nothing but to wait until Kafka has it
        self._removing: frozenset[int] = frozenset()
        self._removal: Removal | None = None
        self._removals: Iterator[Gone] | None = None
        #: (item, channel) of the last numbers that this sends, and items of the empty positions
        self._last_words: set[tuple[str, str]] = set()
        self._last_positions: set[str] = set()
        self._counter = 0
        self._budgeted: object = None
        self._beat_at = 0.0
        self._wrote_since_beat = False
        # between the two threads
        self._condition = threading.Condition()
        self._inbox: list[tuple[str, int, Any]] = []
        self._barrier_wanted = False
        self._drain = False
        self._failure: BaseException | None = None
        self._is_clean = True
        self._states: dict[int, list[Outgoing]] = {}
        self._is_closing = False
        self._thread = threading.Thread(target=self._main, name="publisher", daemon=True)
        self._is_started = False
        metrics.watch("atp_outbox_items", lambda: len(self._outbox))
        metrics.watch("atp_inbox_outcomes", lambda: len(self._inbox))
        metrics.watch("atp_held_shards", self.held_shards)
        metrics.watch("atp_from_scratch_shards", lambda: len(self._left & set(self._shards)))

    # --- the dataflow's side -----------------------------------------------------------------------------------------

    def published(self, shard: int) -> dict[str, int]:
        """Read which input offsets the published numbers of a shard include. By a connection of its own."""
        if self._reader is None:
            self._reader = self._connect(redis_address(self._run.settings.redis), self._run.settings.redis.prefix)
        raw, _ = self._patiently(self._reader.reached, shard)
        return _offsets.decode(raw)[0] if raw else {}

    def open(self, shard: int, state: bytes | None) -> None:
        """Take a shard up where the last run's snapshot left it."""
        self._start()
        self._post("open", shard, state)

    def _start(self) -> None:
        if not self._is_started:
            self._is_started = True
            self._thread.start()

    def refuse(self, refusals: list[Refusal]) -> None:
        """Take what could not be used; waits if too much of it waits to be written."""
        self._start()
        size = sum(origin.size for origin in {refusal.origin.place: refusal.origin for refusal in refusals}.values())
        with self._condition:
            while self._words_bytes > WORDS_BYTES_MAX and self._failure is None:
                self._condition.wait(1.0)
            self._words_bytes += size
        self._post("refused", -1, (size, refusals))

    def settle(self) -> None:
        """Wait until all that was taken is written."""
        with self._condition:
            self._wait_until_clean()

    def _wait_until_clean(self) -> None:
        while not self._is_clean:
            self._raise_failure()
            self._barrier_wanted = True
            self._condition.notify_all()
            self._condition.wait(1.0)
        self._raise_failure()

    def take(self, shard: int, outcome: Outcome) -> None:
        """Take what a shard said; waits if the writer is too far behind."""
        self._post("outcome", shard, outcome)

    def snapshot(self, shard: int) -> bytes:
        """Wait until all that was taken is written (step 4); give what of the shard still waits, by design."""
        with self._condition:
            self._wait_until_clean()
            known = self._shards[shard]
            held = None if known.held is None else (known.held.until, list(known.held.updates.values()))
            # Held back, it has not yet looked at what Kafka was sent: the next run must begin where this one did.
            saved_at = now() if held is None else self._since()
            waiting = self._states.get(shard, [])
            state = _encode(_Saved(saved_at, waiting, known.reached, held, known.open, known.version))
            self._metrics.snapshot_bytes += len(state)
            return state

    def held_shards(self) -> int:
        """Give how many shards are read again, up to what is published. From any thread."""
        return sum(one.held is not None for one in list(self._shards.values()))

    def filling_shards(self) -> int:
        """Give how many shards have not yet said everything again for a Redis that lost it. From any thread."""
        return len(self._filling)

    def drain(self) -> None:
        """The input has ended: from now on nothing lingers; without a stop, budgets are waited for too."""
        with self._condition:
            self._drain = True

    def close(self) -> None:
        """End the writer, everything written that can be."""
        with self._condition:
            self._is_closing = True
            self._condition.notify_all()
        if self._is_started:
            self._thread.join()
        self._store.close()
        if self._reader is not None:
            self._reader.close()

    def _post(self, kind: str, shard: int, what: Any) -> None:
        with self._condition:
            while len(self._inbox) >= INBOX_MAX and self._failure is None:
                self._condition.wait(1.0)
            self._raise_failure()
            self._is_clean = False
            self._inbox.append((kind, shard, what))
            self._condition.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise PublisherError(str(self._failure)) from self._failure

    # --- the writer's side -------------------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            self._join()
            while True:
                with self._condition:
                    if not (self._inbox or self._barrier_wanted or self._is_closing):
                        self._condition.wait(self._patience_s())
                    if self._is_closing and not self._inbox and not self._barrier_wanted:
                        return
                self._work()
                if self._barrier_wanted:
                    self._settle()
        except BaseException as error:  # handed to the dataflow's thread, which raises it
            self._metrics.is_fenced = isinstance(error, Fenced)
            self._stop.fail(error)
            with self._condition:
                self._failure = error
                self._condition.notify_all()

    def _patience_s(self) -> float:
        if self._removing and self._removals is not None:
            return 0.0
        patience = max(0.0, self._beat_at + HEARTBEAT_S - time.monotonic())
        if any(shard.held is not None for shard in self._shards.values()):
            patience = min(patience, HELD_CHECK_S)
        if self._words or self._unsent:
            patience = min(patience, 0.0 if self._has_room else ROOM_CHECK_S)
        moment = now()
        dues = [self._lanes.next_due(), self._positions_due[0][0] if self._positions_due else None]
        for due in dues:
            if due is not None:
                patience = min(patience, max(0, due - moment) / 1e6)
        return patience

    def _work(self) -> None:
        """Write what is there, urgent first; return when nothing is left to be written now."""
        while True:
            self._take_inbox()
            # Each time: what came while numbers were written may be a shard's last, and a barrier may come next.
            self._release_held()
            if not self._outbox:
                break
            self._write_slices()
        if self._filled:
            self._note_filled()
        if self._left:
            self._remove_some()
        self._send_due()
        self._send_words()
        if time.monotonic() - self._beat_at >= HEARTBEAT_S:
            self._beat()
        self._kafka.poll()

    def _settle(self) -> None:
        """Step 4: everything that may leave has left, and Kafka has confirmed it."""
        self._restore()
        if not self._is_compared:
            self._compare()
        if self._left and self._drain and self._run.until_caught_up:
            while self._remove_some():
                pass
        self._close_flush()
        patient = self._drain and not self._stop.is_set() and self._run.until_caught_up
        while True:
            self._send_due(linger=False)
            if not patient or not self._lanes or self._stop.is_set():
                break
            time.sleep(0.05)  # a budget holds updates up, and nothing may be left waiting at the end
        while not self._send_words():
            if not self._has_room:
                self._kafka.make_room()
        self._kafka.flush()
        if self._removing and self._removals is None:
            self._end_removal()
        by_shard: dict[int, list[Outgoing]] = {}
        for update in self._lanes.waiting():
            by_shard.setdefault(update.shard, []).append(update)
        look_for_cycles()
        with self._condition:
            self._states = by_shard
            self._barrier_wanted = False
            self._is_clean = not self._inbox
            self._condition.notify_all()

    # 1. what shards say

    def _take_inbox(self) -> None:
        if not self._inbox:
            return
        with self._condition:
            entries, self._inbox = self._inbox, []
            if len(entries) >= INBOX_MAX:
                self._condition.notify_all()
        for kind, shard, what in entries:
            if kind == "outcome":
                self._take_outcome(shard, what)
            elif kind == "refused":
                size, refusals = what
                self._words.extend(refusals)
                self._words.append(size)
            else:
                self._open(shard, what)

    def _take_outcome(self, number: int, outcome: Outcome) -> None:
        shard = self._shards[number]
        shard.has_spoken = True
        shard.reached.update(outcome.reached)
        self._words.extend(outcome.exceptions)
        for note in outcome.exceptions:
            self._notices.noted(note, shard.open)
        self._metrics.count(outcome)
        if outcome.filled:
            self._filled += [number] * outcome.filled
        if shard.held is None:
            if outcome.updates:
                self._outbox.add(number, outcome.updates, shard.reached)
                self._spoken.add(number)
        else:
            shard.held.note(outcome.reached)
            shard.held.add(outcome.updates)
            if outcome.ended:
                shard.held.until.clear()

    def _open(self, number: int, raw: bytes | None) -> None:
        if number in self._shards:
            raise PublisherError(
                f"shard {number} spoke before what was kept of it was there: what it said would be lost"
            )
        saved = _Saved(0, [], {}, None) if raw is None else _state.decode(raw)
        # A moment still to come: the clock was set back, and by how much nobody knows. Kafka is asked from the start.
        saved_at = saved.saved_at if saved.saved_at <= now() else 0
        if saved.held is None:
            self._saved_at = max(self._saved_at, saved_at)
        else:
            before = saved_at if self._held_since is None else self._held_since
            self._held_since = min(saved_at, before)
        for about, count in saved.open.items():
            self._metrics.opened(about, count)
        published, is_whole = self._patiently(self._store.reached, number)
        until, version = _offsets.decode(published) if published else ({}, 0)
        held = HeldShard(until, saved.reached, saved.held[1] if saved.held else ())
        # A crash before the first snapshot: nothing to be behind of, but what it says first, readers may have.
        is_new = raw is None and published is None and is_whole
        self._shards[number] = _Shard(saved, None if is_new else held, raw is not None)
        self._restored += saved.waiting
        self._is_compared = False
        if not is_whole:
            self._distrust([number])
        elif version < saved.version:
            self._unmark([number])
            self._distrust([number])

    def _compare(self) -> None:
        """Distrust Redis where Kafka is ahead of it: Redis was first, so it is an older copy, whatever it says."""
        self._is_compared = True
        trusted = {number for number, shard in self._shards.items() if shard.held is not None} - self._uncertain
        if not trusted:
            return
        newer: dict[str, int] = {}
        for (item, _), (version, value) in self._read_tail().items():
            number = shard_of(item, self._run.settings.shards)
            if value is not None and number in trusted and version > self._shards[number].saved_version:
                newer[item] = max(newer.get(item, 0), version)
        items, is_older = list(newer), False
        for at in range(0, len(items), READ_ITEMS):
            some = items[at : at + READ_ITEMS]
            wanted = [(f"{self._prefix}atp:{item}", ("_version",)) for item in some]
            for item, [held] in zip(some, self._patiently(self._store.values, wanted), strict=True):
                is_older = is_older or int(held or 0) < newer[item]
            if is_older:
                break
        if is_older:  # what goes for one item goes for all that is in this Redis
            self._unmark(trusted)
            self._distrust(trusted)

    def _unmark(self, shards: Collection[int]) -> None:
        """Write down that shards are not whole: a crash must not make the next run believe in them."""
        marks = [part for shard in shards for part in (life_field(shard), -1)]
        self._write([self._store.reached_key()], [len(shards), *marks, 0])

    def _distrust(self, shards: Collection[int]) -> None:
        """Hold shards back until they are past all that an earlier run can have read: they say everything then."""
        if not self._uncertain:
            if self._left:
                log.info(
                    "from scratch: nothing is published until everything is read that the inputs held at this start",
                    kind="from_scratch",
                )
            else:
                self._tell_loss("Redis does not have all that was published")
        ends = {part: end - 1 for part, end in self._run.ends.items() if end}
        for number in shards:
            shard = self._shards[number]
            assert shard.held is not None, f"shard {number} is not held back"
            shard.held.hold(ends, shard.reached)
            self._uncertain.add(number)
        self._control.put((shard_key(shard), Republish(cause="replay", until=ends)) for shard in shards)

    def _tell_loss(self, what: str) -> None:
        self._metrics.redis_losses += 1
        log.warning(f"{what}: filling it again", kind="redis_lost", next=LOSS_HELP)

    def _release_held(self) -> None:
        if not self._is_compared:
            return
        released = False
        for number, shard in self._shards.items():
            held = shard.held
            if held is None or not shard.has_spoken or not held.is_through(self._progress.has_passed):
                continue
            updates = list(held.updates.values())
            if updates:
                self._read_tail()
                updates = self._with_leftovers(number, updates)
                if number not in self._uncertain:
                    self._write([], [])
                    if number in self._uncertain:
                        continue  # what was read was not what the last run wrote
                self._restated.update(update.item for update in updates)
            with self._condition:  # a snapshot sees it held back or written, never in between
                self._outbox.add(number, updates, shard.reached)
                self._spoken.add(number)
                shard.held = None
                self._is_clean = False
            if number in self._uncertain:
                self._fill([number])
            self._through[0] += 1
            self._through[1] += len(updates)
            released = True
        if released and not self.held_shards():
            shards, items = self._through
            self._through = [0, 0]
            log.info(
                f"caught up with what was published before: {items} items of {shards} shards differ",
                kind="caught_up",
                shards=shards,
                items=items,
            )

    def _read_tail(self) -> Tail:
        since = self._since()
        if self._tail is None or since < self._tail_from:
            self._tail, self._tail_from = self._updates_since(self._run.settings, since), since
        return self._tail

    def _since(self) -> int:
        if self._held_since is None:
            return self._saved_at
        return min(self._held_since, self._saved_at) if self._saved_at else self._held_since

    def _restore(self) -> None:
        """Take up what waited, once all shards of the last run are known: but for what left after their snapshots."""
        waiting, self._restored = self._restored, []
        if waiting:
            tail = self._read_tail()
            none = (0, None)
            fresh = [u for u in waiting if tail.get((u.item, u.change.channel), none)[0] < u.version]
            self._lanes.restore(fresh, now())

    def _with_leftovers(self, shard: int, updates: list[ItemUpdate]) -> list[ItemUpdate]:
        """Compare updates with what Redis holds; of an item that is spoken of in full, unlist what is there besides."""
        compared = []
        for at in range(0, len(updates), READ_ITEMS):
            some = updates[at : at + READ_ITEMS]
            keys = [f"{self._prefix}atp:{update.item}" for update in some]
            there = self._patiently(self._store.all_of_each, keys)
            compared += [self._with_leftover(shard, *pair) for pair in zip(some, there, strict=True)]
        return compared

    def _with_leftover(self, shard: int, update: ItemUpdate, held: dict[bytes, bytes]) -> ItemUpdate:
        if not update.channels:
            return update
        spoken = {change.channel for change in update.channels}
        written = max(int(held.get(b"_version", 0)), self._shards[shard].saved_version)
        for change in update.channels:
            key = (update.item, change.channel)
            raw, days = held.get(change.channel.encode()), held.get(f"{change.channel}:by_day".encode())
            by_day = tuple(msgspec.json.decode(days, type=list[int])) if days is not None else None
            # Written after the snapshot, and what Kafka has is another one: that may be on its way.
            is_on_its_way = written > max(self._shards[shard].saved_version, self._read_tail().get(key, (0, None))[0])
            is_another = raw is not None and self._before(shard, update.item, change) != (int(raw), by_day)
            if is_on_its_way or is_another or shard in self._uncertain:
                self._doubtful.add(key)
        leftovers: list[ChannelUpdate] = []
        if not update.is_whole:
            return update
        for raw, value in held.items():
            name = raw.decode()
            if name.startswith("_") or ":" in name:
                continue
            if name not in spoken:
                leftovers.append(ChannelUpdate(name, 0, int(value), None, CRITICAL, "unlisted", True))
        return replace(update, channels=[*update.channels, *leftovers]) if leftovers else update

    # 2. Redis

    def _write_slices(self) -> None:
        """Write the most urgent of what waits, and hand it on."""
        moment = now()
        written: list[tuple[list[tuple[int, ItemUpdate]], int]] = []
        slices: list[Slice] = []
        while self._outbox and len(slices) < SLICES_AT_ONCE:
            taken, reached = self._outbox.slice(SLICE_FIELDS)
            version = self._next_version()
            one = pack_slice([update for _, update in taken], self._prefix, version, moment)
            if reached:
                self._add_reached(one, reached, version)
            slices.append(one)
            written.append((taken, version))
        began = time.monotonic()
        self._write_all(slices)
        seconds = time.monotonic() - began
        arrived = now()
        for taken, version in written:
            self._metrics.wrote(taken, arrived, seconds)
            self._forward_all(taken, version, moment)

    def _add_reached(self, one: Slice, reached: dict[int, dict[str, int]], version: int) -> None:
        """Put in front of a slice which input offsets the numbers here include."""
        words = [bulk_bytes(len(reached))]
        for shard, parts in reached.items():
            words += (bulk_bytes(shard_key(shard)), bulk_bytes(_encode((parts, version))))
            self._shards[shard].version = version
        words.append(bulk_bytes(0))
        one.key_count += 1
        one.keys = bulk_bytes(self._store.reached_key()) + one.keys
        one.word_count += len(words)
        one.words = b"".join(words) + one.words

    def _next_version(self) -> int:
        if self._counter >= COUNTER_MAX:
            raise PublisherError("this run has used up its versions: the next one goes on with new ones")
        self._counter += 1
        return (self._run.token << 32) + self._counter

    def _offsets_of(self, reached: dict[int, dict[str, int]], version: int) -> list[Any]:
        offsets: list[Any] = [len(reached)]
        for shard, parts in reached.items():
            offsets += (shard_key(shard), _encode((parts, version)))
            self._shards[shard].version = version
        return [*offsets, 0]

    def _write(self, keys: list[str], arguments: list[Any]) -> None:
        """Write one slice until Redis has taken it."""
        self._until_taken(lambda: self._store.write(keys, arguments))

    def _write_all(self, slices: list[Slice]) -> None:
        """Write slices until Redis has taken them all."""
        self._until_taken(lambda: self._store.write_slices(slices))

    def _until_taken(self, write: Callable[[], None]) -> None:
        pause_s, since = 0.02, time.monotonic()
        is_told = False
        while True:
            # From the first try on: a Redis that hangs is known to hang before the answer's time is out.
            self._metrics.redis_waits_since = since
            try:
                write()
                self._be_newest()
                self._wrote_since_beat = True
                self._metrics.redis_waits_since = None
                if is_told:
                    log.info(f"Redis is back after {time.monotonic() - since:.1f} s", kind="redis_back")
                return
            except Behind as error:
                self._refill(error)
            except Outage as error:
                self._metrics.redis_retries += 1
                if not is_told:
                    log.warning(f"{error}; waiting, with everything kept", kind="redis_away", next=REDIS_HELP)
                    is_told = True
                self._wait_or_end(pause_s, error)
                pause_s = min(1.0, pause_s * 2)

    def _wait_or_end(self, pause_s: float, error: Exception) -> None:
        if self._stop.is_set() and time.monotonic() - self._stop.since > LAST_WAIT_S:
            raise error
        time.sleep(pause_s)

    def _patiently(self, ask: Any, *arguments: Any) -> Any:
        pause_s, since = 0.02, time.monotonic()
        is_told = False
        while True:
            self._metrics.redis_waits_since = since
            try:
                answer = ask(*arguments)
                self._metrics.redis_waits_since = None
                if is_told:
                    log.info(f"Redis is back after {time.monotonic() - since:.1f} s", kind="redis_back")
                return answer
            except Outage as error:
                if not is_told:
                    log.warning(f"{error}; waiting, with everything kept", kind="redis_away", next=REDIS_HELP)
                    is_told = True
                self._wait_or_end(pause_s, error)
                pause_s = min(1.0, pause_s * 2)

    def _be_newest(self) -> None:
        """End this run if a newer one has begun: Redis cannot tell, should it lose the token meanwhile."""
        newest = self._newest_run()
        if newest > self._run.token:
            raise Fenced(f"FENCED {newest}")

    def _reclaim(self) -> bool:
        self._be_newest()
        is_lost: bool = self._patiently(self._store.reclaim)
        self._be_newest()  # a process may be frozen for as long as it likes between two lines
        return is_lost

    def _refill(self, why: Behind) -> None:
        if self._run.until_caught_up and self._counter:
            raise PublisherError("Redis lost what was written while catching up: run again")
        if not self._reclaim():
            return
        self._tell_loss(f"Redis lost what this run wrote ({why})")
        held = [number for number, shard in self._shards.items() if shard.held is not None]
        if held:
            self._distrust(held)
        self._fill(self._shards.keys() - set(held))

    def _fill(self, shards: Iterable[int]) -> None:
        """Have shards say everything again; they are not marked as whole until that is written."""
        for shard in shards:
            self._filling[shard] = self._filling.get(shard, 0) + 1
            self._control.put([(shard_key(shard), Republish(cause="refill"))])

    def _note_filled(self) -> None:
        """Mark shards as whole that have said everything, now that it is written."""
        done = [shard for shard in self._filled if self._shards[shard].held is None]
        self._filled = [shard for shard in self._filled if self._shards[shard].held is not None]
        for shard in done:
            self._filling[shard] = self._filling.get(shard, 1) - 1
        through = [shard for shard in set(done) if self._filling[shard] <= 0]
        for shard in through:
            del self._filling[shard]
            self._uncertain.discard(shard)
        if through:
            marks = [part for shard in through for part in (life_field(shard), self._store.life)]
            self._write([self._store.reached_key()], [len(through), *marks, 0])
            log.info(f"Redis is filled again with {len(through)} shards, {len(self._filling)} to go", kind="refilled")

    def _remove_some(self) -> bool:
        """Remove some of what is no longer true, once its shards have said everything; is there more to do?"""
        if not self._removing:
            mine = self._left & self._shards.keys()
            if not (mine and self._is_compared and self._is_said(mine)):
                return False
            self._begin_removal(mine)
        elif not self._is_said(self._removing):  # Redis lost it meanwhile: from the beginning, when it is full again
            self._removing = frozenset()
            return False
        if self._removals is None:
            return False
        gone = next(self._removals, None)
        if gone is None:
            self._removals = None
            return False
        moment = now()
        shards = self._run.settings.shards
        for update in gone.updates:
            self._restated.add(update.item)
            self._last_words.update((update.item, change.channel) for change in update.channels)
            if update.places is not None:
                self._last_positions.add(update.item)
            self._outbox.add(shard_of(update.item, shards), [update], None)
        while self._outbox:
            self._write_slices()
        if gone.outgoing or gone.positions:
            version = self._next_version()
            for item, change in gone.outgoing:
                self._last_words.add((item, change.channel))
                self._lanes.add(outgoing(shard_of(item, shards), item, change, version, moment), moment)
            for update in gone.positions:
                self._last_positions.add(update.item)
                self._keep_position(update, version, moment)
        return True

    def _is_said(self, shards: Collection[int]) -> bool:
        """Have these shards said everything, and is it written?"""
        return not any(
            shard in self._uncertain or shard in self._filling or self._shards[shard].held is not None
            for shard in shards
        )

    def _begin_removal(self, shards: frozenset[int]) -> None:
        assert self._run.scratch is not None
        settings = self._run.settings

        def whole_tail() -> Tail:
            if self._tail is None or self._tail_from > 0:
                self._tail, self._tail_from = self._updates_since(settings, 0), 0
            return self._tail

        self._removal = Removal(
            self._run.scratch[0],
            lambda item: shard_of(item, settings.shards) in shards,
            self._store,
            self._patiently,
            whole_tail,
            lambda: items_with_positions(settings),
        )
        self._removing, self._removals = shards, self._removal.steps()

    def _end_removal(self) -> None:
        """Note that it is through, when Kafka has all of it."""
        waiting = {(update.item, update.change.channel) for update in self._lanes.waiting()}
        if not self._last_words.isdisjoint(waiting) or not self._last_positions.isdisjoint(self._positions):
            return
        self._kafka.flush()
        self._last_words, self._last_positions = set(), set()
        assert self._removal is not None
        items, numbers = self._removal.items, self._removal.numbers
        left = scratch_is_through(self._run.settings.state.dir, set(self._removing))
        self._left, self._removing = self._left - self._removing, frozenset()
        log.info(
            f"from scratch: everything is said; {items} hashes that are no longer true were removed from Redis, and "
            f"{numbers} numbers that Kafka alone had; {left} shards to go",
            kind="from_scratch",
        )

    def _join(self) -> None:
        try:
            self._patiently(self._store.join)
        except Behind:
            self._reclaim()

    def _close_flush(self) -> None:
        """Say in Redis which version a snapshot's numbers end with: a copy that says less has lost some of them."""
        newest = (self._run.token << 32) + self._counter
        spoken = [shard for shard in self._spoken if self._shards[shard].version < newest]
        self._spoken = set()
        if spoken:
            version = self._next_version()
            arguments = self._offsets_of({shard: self._shards[shard].reached for shard in spoken}, version)
            self._write([self._store.reached_key()], arguments)

    # 3. Kafka

    def _forward_all(self, taken: list[tuple[int, ItemUpdate]], version: int, moment: int) -> None:
        """Hand on to the lanes what Redis has."""
        if self._restated or self._uncertain:
            for shard, update in taken:
                self._forward(shard, update, version, moment)
            return
        self._lanes.add_all(taken, version, moment)
        for _, update in taken:
            if update.places is not None:
                self._keep_position(update, version, moment)

    def _keep_position(self, update: ItemUpdate, version: int, moment: int) -> None:
        if update.item not in self._positions:
            self._positions_due.append((moment + self._positions_linger, update.item))
        self._positions[update.item] = position_json(update, version, moment)

    def _forward(self, shard: int, update: ItemUpdate, version: int, moment: int) -> None:
        is_restated = update.item in self._restated or shard in self._uncertain
        self._restated.discard(update.item)
        for change in update.channels:
            if is_restated:
                key = (update.item, change.channel)
                before = self._before(shard, update.item, change)
                restated = restate(change, before)
                if restated is None:
                    # Of a Redis that lost numbers nobody knows what an older run still has on its way to Kafka: what
                    # stands goes out above it, once.
                    is_unsure = shard in self._uncertain and change.forced and not change.removed
                    if not is_unsure and key not in self._doubtful:
                        continue
                    previous, days = before or (None, None)
                    restated = replace(change, previous=previous, previous_by_day=days, lane=BULK, forced=True)
                self._doubtful.discard(key)
                change = restated
                value = None if change.removed else (change.atp, change.by_day)
                self._read_tail()[key] = (version, value)
            elif is_for_redis_alone(change):
                continue
            self._lanes.add(
                Outgoing(shard, update.item, change, update.as_of, update.correlation_id, version, moment, moment),
                moment,
            )
        if update.places is not None:
            self._keep_position(update, version, moment)

    def _before(self, shard: int, item: str, change: Any) -> Value | None:
        """Give what readers had before a resumed shard's change."""
        sent = self._read_tail().get((item, change.channel))
        # An older one was sent by a run before the snapshot, however late it arrived: the state knows better.
        if sent is not None and sent[0] > self._shards[shard].saved_version:
            return sent[1]
        if not self._shards[shard].is_resumed or change.previous is None:
            return None  # of a shard without a snapshot the tail holds everything
        return (change.previous, change.previous_by_day)

    def _send_words(self) -> bool:
        """Write some of what was refused and of the exceptions, behind all numbers; true: nothing of it is left."""
        for _ in range(WORDS_AT_ONCE):
            if self._unsent:
                is_sent = self._kafka.send_letter(self._unsent[0])
                if is_sent:
                    self._unsent.popleft()
            elif not self._words:
                break
            elif type(self._words[0]) is Refusal:
                self._write_letters()
                continue
            elif type(self._words[0]) is ExceptionNote:
                is_sent = self._kafka.send_exception(self._words[0])
                if is_sent:
                    self._words.popleft()
            else:
                with self._condition:
                    self._words_bytes -= self._words.popleft()
                    self._condition.notify_all()
                continue
            self._note_room(is_sent)
            if not is_sent:
                break
        return not (self._words or self._unsent)

    def _write_letters(self) -> None:
        refusals: list[Refusal] = []
        while self._words and len(refusals) < WORDS_AT_ONCE and type(self._words[0]) is Refusal:
            refusal = self._words.popleft()
            self._metrics.refused(refusal)
            self._notices.refused(refusal)
            refusals.append(refusal)
        self._unsent.extend(self._letters.of(refusals))

    def _note_room(self, has_room: bool) -> None:
        if has_room != self._has_room:
            self._has_room = has_room
            self._metrics.kafka_waits_since = None if has_room else time.monotonic()

    def _send_due(self, linger: bool = True) -> None:
        topology = self._known.topology
        if topology is not None and topology is not self._budgeted:
            self._budgeted = topology
            self._lanes.limit(
                {
                    code: facts.max_updates_per_second / self._run.workers
                    for code, facts in topology.channels.items()
                    if facts.max_updates_per_second is not None
                }
            )
        moment = now()
        updates = self._lanes.due(moment, linger)
        heard: list[tuple[str, str]] = []
        for update in updates:
            value = self._kafka.send_update(update)
            if self._pubsub:
                heard.append((f"{self._prefix}atp.{LANES[update.change.lane]}", value))
        if updates:
            self._metrics.sent(updates, moment)
        if heard:
            self._patiently(self._store.publish, heard)
        while self._positions_due and (not linger or self._positions_due[0][0] <= moment):
            item = self._positions_due.popleft()[1]
            self._kafka.send_position(item, self._positions.pop(item))

    def _beat(self) -> None:
        """Once a second: notice a Redis that lost its data although nothing is written, tell and hear progress."""
        self._beat_at = time.monotonic()
        if self._removing and self._removals is None:  # an engine without input settles nothing
            self._end_removal()
        if not self._wrote_since_beat:
            self._write([], [])
        self._wrote_since_beat = False
        if self._run.workers > 1:
            key = self._store.progress_key()
            token = self._run.token
            mine = {part: _encode((token, row)) for part, row in self._progress.rows().items()}
            self._patiently(self._store.put, key, mine)
            for part, raw in self._patiently(self._store.all_of, key).items():
                of, row = msgspec.msgpack.decode(raw, type=tuple[int, PartProgress])
                if of == token:
                    self._progress.note(part.decode(), row)
        self._metrics.look_at(self._lanes, now())
        if not self._run.worker:
            self._metrics.fenced_others(self._patiently(self._store.rejected))
            self._control.put(self._patiently(take_requests, self._store, self._run.settings.shards))
