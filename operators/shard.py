"""One shard of items: admit, apply, promise. The stateful heart of the dataflow, without any IO.

Order in one activation: reference data, then units, then timers, then one evaluation of every item they touched. So
a hundred events on one item give one new number. What must survive a crash is in `snapshot()`: the ids beside the
quantities they protect.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from operators import ledger, position
from operators.claims import NO_ORDERS
from operators.conflicts import ORDER_TYPES, conflict_message
from operators.evaluate import Policies, evaluate, item_facts, measure_of, override_facts
from operators.ids import RememberedIds, bucket_of, content_fingerprint, first_kept, unit_fingerprint
from operators.reconciling.reconciler import Pace, Reconciler
from operators.reference import unpack_topology
from operators.rules import native
from operators.rules.admission import CONFLICT, DUPLICATE, Windows, is_late, known_until
from operators.rules.days import days_in
from operators.rules.lines import is_closed
from operators.rules.quantities import QuantityError
from operators.rules.rounding import round_safely
from operators.trail import Trail
from schemas.messages import (
    RECONCILED,
    ExceptionNote,
    Inbound,
    ItemRecord,
    ItemUpdate,
    Outcome,
    Republish,
    TopologyRecord,
    UnitBatch,
)
from schemas.state import NOTHING, Item, own
from schemas.units import EventType, Origin, Refusal, Unit, units_from, values_of

SECOND = 1_000_000
DAY = 86_400 * SECOND
#: Items a shard re-evaluates in one go when a policy changed or a day turned: with 64 shards that is 512 items, about
#: 5 ms, before urgent work gets its turn again.
SWEEP_SLICE = 8
SWEEP_PAUSE = 2_000
#: Locations of an item that weigh as much as another item in a slice: about what an item costs by itself.
SWEEP_PLACES = 64
#: Items at more locations than this are swept by turns over all shards of a process: 64 shards with one each at 10,000
#: locations would else keep urgent work waiting for half a second.
HEAVY_PLACES = 1_000
#: How long after a heavy item the next may follow, by its locations: about twice what four channels take, compiled.
TURN_US_A_PLACE = 2
#: bytes that a location takes in a snapshot, to guess how many an item has that was not touched yet
PLACE_BYTES = 64
#: How many units may wait for reference data that may be on its way; what comes beyond is judged at once.
PARKED_MAX = 1_000
#: Bytes of the messages that they came with, keys included, for all shards together: while they wait, they stand in
#: each snapshot. A message that names items of many shards waits in each of them.
PARKED_BYTES_MAX = 16 * 1024 * 1024
#: Unsealed bytes after which a shard's layers go to a segment file. They are in memory until then.
SEAL_FROM = 256 * 1024
#: The head of a layer in MessagePack: an array of three.
LAYER = b"\x93"
#: Segment files after which a shard's newest are merged into one.
MERGE_FROM = 6
#: How many times as large as an older one the newer ones must be together for it to be merged with them.
MERGE_RATIO = 2
#: Snapshots that must follow before files no longer named are deleted: the one that stopped naming them is committed.
RETIRE_AFTER = 3
TIDY_EVERY = 600 * SECOND
#: Between two looks at the items that no event touched in this run, some minutes after a start for the first time: to
#: read one from its bytes takes as long as to evaluate it.
COLD_TIDY_EVERY = DAY
#: What is in the bytes of every item with an order line, as the beginning of a record's key (operators/ledger.py).
LINE_KEY = f"l{ledger.SEPARATOR}".encode()
RECEIPT_RETENTION = 180 * DAY

#: how much of a sweep is taken where nothing else is to come
ALL = 1 << 62
#: An entry of a sweep: an item, the cause of looking at it, and what is said of it although unchanged (None: nothing,
#: "": all channels, else that channel).
Entry = tuple[str, str, str | None]
#: The end of a refill, behind the items that were to be said again for an emptied read model.
FILLED: Entry = ("", "refill", "")
#: The end of telling what order lines claim.
TOLD: Entry = ("", "claims", "")
#: In place of a cause: the item is not looked at, but forgets what the window allows.
TIDY = "tidy"
#: In place of a cause: what its order lines claim is said, which was not published so far.
CLAIMS = "claims"

_decoder = msgspec.msgpack.Decoder(tuple[dict[str, msgspec.Raw], dict[int, bytes], dict[str, int | None]])
_encode = msgspec.msgpack.Encoder().encode


#: Where a layer lies that is not sealed yet: file, offset, bytes, checksum (CRC-32).
Kept = tuple[str, int, int, int]
#: A layer that lies nowhere yet, or where this run does not write.
NOWHERE: Kept = ("", 0, 0, 0)


class Ticket(Protocol):
    """A segment being written; `result` is None until it is safe on disk, and raises if that failed."""

    def result(self) -> tuple[str, int, int] | None: ...


class Segments(Protocol):
    """Where layers are kept: at first with those of all shards, then sealed, in immutable, checksummed files of one.

    `keep`: safe when the epoch's snapshots are taken. `is_recent`: else it has to be kept again. `use`: what the next
    snapshot of a shard names.
    """

    def keep(self, layer: bytes) -> Kept: ...
    def read_kept(self, kept: Kept) -> bytes: ...
    def is_recent(self, kept: Kept) -> bool: ...
    def use(self, shard: int, kept: Iterable[Kept]) -> None: ...
    def seal(self, shard: int, layers: list[bytes]) -> Ticket: ...
    def merge(self, shard: int, segments: list[tuple[str, int, int]], ids_floor: int, is_oldest: bool) -> Ticket: ...
    def read(self, shard: int, segment: tuple[str, int, int]) -> list[bytes]: ...
    def retire(self, shard: int, segments: Iterable[tuple[str, int, int]]) -> None: ...
    def keep_only(self, shard: int, segments: Iterable[tuple[str, int, int]]) -> None: ...


class Turns:
    """When the next heavy item may be evaluated in a sweep; one for all shards of a process."""

    def __init__(self) -> None:
        self._free_at = 0

    def take(self, now: int, places: int) -> int:
        """Give when an item at so many locations has its turn."""
        at = max(now, self._free_at)
        self._free_at = at + places * TURN_US_A_PLACE
        return at


class Horizon(Protocol):
    """How far the slowest input partition has come: nothing recorded before it will be read again."""

    def recorded(self) -> int | None: ...
    def has_passed(self, part: str, offset: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class ShardConfig:
    """Settings a shard needs; durations in microseconds."""

    shards: int
    dedup_window: int
    source_windows: dict[str, int] = field(default_factory=dict)
    closed_line_retention: int = 7 * DAY
    reference_grace: int = SECOND
    breakdown: bool = False
    time_zone: str = "UTC"
    #: is it published what each order line claims?
    has_claims: bool = False
    #: is written down what touched each item?
    has_trail: bool = False
    #: and how it stands in its order?
    has_orders: bool = False
    #: how long after its as_of a row of a statement may be judged, at most
    settle: int = 0
    settles: dict[str, int] = field(default_factory=dict)
    #: after how long a hold is reported
    hold_alert: int = DAY
    #: so seldom is told what was found of a statement whose rows are being judged
    tell_every: int = 0
    #: the run's token
    run: int = 0
    turns: Turns = field(default_factory=Turns, compare=False)
    pace: Pace = field(default_factory=Pace, compare=False)

    @property
    def orders_run(self) -> int:
        """The run's token where it is published how orders stand, else NO_ORDERS."""
        return self.run if self.has_claims and self.has_orders else NO_ORDERS

    @property
    def told_in(self) -> str:
        """What decides how claims are written: they are said anew when it changes. Empty: they are not published."""
        if not self.has_claims:
            return ""
        return self.time_zone if self.orders_run == NO_ORDERS else f"{self.time_zone} orders"

    @property
    def widest_window(self) -> int:
        """How late any event may be."""
        return Windows(self.dedup_window, self.source_windows).widest()

    def settle_of(self, source: str) -> int:
        """How long a source's rows wait for events that are late."""
        return self.settles.get(source, self.settle)

    @property
    def reach(self) -> int:
        """How far back journals go: to what the oldest statement that is accepted is as of, when it is judged."""
        return self.widest_window + max(self.settle, max(self.settles.values(), default=0))


class Shard:
    """The state of one shard and what changes it."""

    def __init__(
        self,
        number: int,
        config: ShardConfig,
        segments: Segments,
        clock: Callable[[], int],
        horizon: Horizon,
        resume: bytes | None = None,
    ) -> None:
        self.number = number
        self.config = config
        self.clock = clock
        self.horizon = horizon
        self._windows = Windows(config.dedup_window, config.source_windows)
        self._days = days_in(config.time_zone)
        self._segments = segments
        self.items: dict[str, Item | list[Any]] = {}
        self.ids = RememberedIds()
        self.reached: dict[str, int] = {}
        self.policies: Policies | None = None
        self._expiries: list[tuple[int, str, str, str]] = []
        self._cold_wakes: list[tuple[int, str]] = []
        self._parked: list[tuple[int, Unit]] = []
        #: the bytes that they keep, and the items that they wait for
        self._parked_bytes = 0
        self._awaited: set[str] = set()
        self._sweep: deque[Entry] = deque()
        #: (version of the policies, day) all items were last evaluated under, and will be when the sweep is through
        self._evaluated: tuple[int, int] = (0, 0)
        self._sweep_target: tuple[int, int] | None = None
        #: was any lot of the shard ever given a date: then each day may change what its items promise
        self._has_dates = False
        #: were claims published of all items that have some; may there be some of before they were switched off?
        self._has_told_claims = True
        self._may_hold_older_claims = False
        #: items of which all claims were said since the replay began
        self._told_in_replay: set[str] = set()
        #: when the heavy item that is next in the sweep has its turn; 0: none was asked for
        self._turn_at = 0
        #: items to evaluate at the end of this activation, and to write with the next snapshot
        self._touched: list[Item] = []
        self._dirty: list[Item] = []
        self._journal_horizon = -(1 << 62)
        self._tidy_at = clock() + TIDY_EVERY
        self._cold_tidy_at = 0
        # what of the state is on disk
        self._sealed: list[tuple[str, int, int]] = []
        self._layers: list[bytes] = []
        self._kept: list[Kept] = []
        self._layers_size = 0
        #: buckets of ids below this one are forgotten, also those that sealed layers still hold
        self._ids_floor = 0
        self._sealing: tuple[Ticket, list[bytes], list[Kept]] | None = None
        self._merging: tuple[Ticket, int, int] | None = None
        self._retiring: list[tuple[int, list[tuple[str, int, int]]]] = []
        self._snapshots = 0
        self.counts: dict[tuple[str, str, str], int] = {}
        #: source -> units applied, by the number of their type: part of `counts`, in a form that costs less a unit
        self._applied: dict[str, list[int]] = {}
        self._recorded = (0, 0)
        self._refusals: list[Refusal] = []
        self._notes: list[ExceptionNote] = []
        #: a shard speaks once after each start, at its first word: what the sink still holds of it waits for that
        self._is_new = True
        #: None where it is switched off
        self._trail = Trail(number, config.run) if config.has_trail else None
        #: what statements say of the items, and what follows
        self.reconciler = Reconciler(self)
        #: how often it has said everything for an emptied read model, and not yet told so
        self._filled = 0
        self._replay_until: dict[str, int] = {}
        #: the read model lost this shard's numbers, and all have to be said again when the replay is through
        self._owes_refill = False
        #: items of which nothing was said since: whatever is said of one first is said in full
        self._unsaid: set[str] = set()
        if resume is not None:
            self._resume(resume)

    def replay(self, until: dict[str, int]) -> None:
        """Speak of every item in full while the state is behind what a crashed run has published.

        `until`: input partition -> the last offset that the published numbers include. Numbers that come back to
        their old selves on the way would not be told otherwise, and what was published between would stand for ever.
        """
        self._replay_until = {part: offset for part, offset in until.items() if self.reached.get(part, -1) < offset}

    # --- what comes in -------------------------------------------------------------------------------------------

    def process(self, messages: Iterable[Inbound]) -> Outcome | None:
        """Take what arrived, in the order of the module's first lines, and say what follows from it."""
        now = self.clock()
        reached: dict[str, int] = {}
        batches: list[UnitBatch] = []
        reconciled: list[Any] = []
        forced: dict[str, str] = {}
        for message in messages:
            if type(message) is UnitBatch:
                batches.append(message)
            elif type(message) is TopologyRecord:
                self._take_topology(message, now)
            elif type(message) is ItemRecord:
                self._take_item_record(message, now)
            elif type(message) is Republish:
                self._take_republish(message, forced)
            elif type(message) in RECONCILED:
                reconciled.append(message)
        if batches:
            context = self._context(now)
            for batch in batches:
                if batch.units:
                    self._note_age(batch.units[0].recorded_at, batch.units[-1].recorded_at)
                for unit in batch.units:
                    self._take(unit, context)
                for refusal in batch.refusals:
                    self._refusals.append(refusal)
                    key = (refusal.code, refusal.type or "unread", refusal.source)
                    self.counts[key] = self.counts.get(key, 0) + 1
                if batch.last_offset > self.reached.get(batch.partition, -1) and batch.partition:
                    self.reached[batch.partition] = reached[batch.partition] = batch.last_offset
        self._pass_time(now)
        for message in reconciled:
            self.reconciler.take(message)
        if self.reconciler.is_busy:
            self.reconciler.work()
        return self._outcome(now, reached, forced)

    def wake(self) -> Outcome | None:
        """A timer is due: expire, retry what is parked, go on with a sweep."""
        now = self.clock()
        self._pass_time(now)
        self.reconciler.pass_time(now)
        self.reconciler.work()
        forced = self._sweep_slice(now, SWEEP_SLICE)
        return self._outcome(now, {}, forced)

    def finish(self) -> Outcome | None:
        """The input has ended and nothing more will come: do all that waits for time or for reference data."""
        now = self.clock()
        self._pass_time(now)
        self._retry_parked(now, final=True)
        self.reconciler.work_off()
        if self._owes_refill:
            self._take_republish(Republish(cause="refill"), {})
        forced = self._sweep_slice(now, ALL)
        outcome = self._outcome(now, {}, forced)
        if outcome is None:
            outcome = Outcome(self.number, {}, [], [], [])
        outcome.ended = True
        return outcome

    @property
    def is_sweeping(self) -> bool:
        """Is a change of policy or day still on its way through the items?"""
        return bool(self._sweep)

    def next_wake(self) -> int | None:
        """When `wake` wants to be called, in UTC microseconds."""
        # Not before the topology, the first word to each shard, was heard: Bytewax wakes what it resumes in the epoch
        # of its state, before the sink has its own, and what is said then would be lost.
        if self._is_new or self.policies is None:
            return None
        wakes = []
        turn = self.reconciler.next_turn()
        if turn is not None:
            wakes.append(max(self.clock() + SWEEP_PAUSE, turn))
        if self._sweep:
            wakes.append(max(self.clock() + SWEEP_PAUSE, self._turn_at))
            return min(wakes)
        alert = self.reconciler.next_alert()
        if alert is not None:
            wakes.append(alert)
        if self._expiries:
            wakes.append(self._expiries[0][0])
        if self._cold_wakes:
            wakes.append(self._cold_wakes[0][0])
        if self._parked:
            wakes.append(self._parked[0][0])
        if self._has_days():
            wakes.append(self._days.start_of(self._evaluated[1] + 1))
        if len(self.ids) or self.items:
            wakes.append(self._tidy_at)
        return min(wakes, default=None)

    # --- units ---------------------------------------------------------------------------------------------------

    def _context(self, now: int) -> position.Context:
        assert self.policies is not None, f"shard {self.number}: an event came before the reference data"
        return position.Context(self.policies.topology, self._days, now, self._journal_horizon, self.config.has_claims)

    def _take(self, unit: Unit, context: position.Context, final: bool = False, deadline: int | None = None) -> None:
        """Admit one unit and apply it, or refuse it and leave no trace."""
        item = self.find(unit.item)
        if item is None or item.policy is None:
            if not final and self._park(unit, context.now, deadline):
                return
            self._refuse(unit, "unknown_item", f"item: expected an item of inventory.items, got {unit.item}")
            return
        measure = measure_of(item)
        quantity, quarantined = unit.quantity, unit.quarantined
        is_rounded = False
        try:
            amount = measure.convert(quantity, unit.uom, "quantity") if quantity is not None else 0
            quarantine = measure.convert(quarantined, unit.uom, "quarantined") if quarantined is not None else None
        except QuantityError as error:
            if error.code == "unknown_uom" and not final and self._park(unit, context.now, deadline):
                return
            if error.code != "quantity_not_exact" or not measure.is_safe:
                self._refuse(unit, error.code, str(error))
                return
            try:
                amount, quarantine = round_safely(unit, measure)
            except QuantityError as beyond:
                self._refuse(unit, beyond.code, str(beyond))
                return
            is_rounded = True
        if unit.verdict is not None:
            # A field of a line is named "lines[n].field": all else is wrong with all of the event.
            self._refuse(unit, *unit.verdict, whole=not unit.verdict[1].startswith("lines["))
            return
        identity = unit_fingerprint(unit.source, unit.event_id, unit.line_id, unit.item)
        content = content_fingerprint(content_of(unit, amount, quarantine))
        known = self.ids.recognize(identity, content)
        if known == _DUPLICATE:
            self._count("duplicate", unit)
            if self._trail is not None:
                self._trail.note(unit, amount, "duplicate")
            return
        if known == _CONFLICT:
            self._refuse(unit, "conflict", conflict_of(unit, amount, quarantine, self.ids.digest(identity)))
            self._notes.append(
                ExceptionNote(
                    "conflict",
                    unit.item,
                    unit.location,
                    unit.event_id,
                    {"quantity": amount},
                    context.now,
                    context.now,
                    True,
                    unit.source,
                )
            )
            return
        item.room -= abs(amount)
        if item.room < 0 and not position.has_room(item, amount):
            limit = f"a sum of at most 2^60 of {unit.item}"
            self._refuse(unit, "bad_value", f"quantity: expected {limit}, got {amount} beside what is there")
            return
        window = self._windows.of(unit.source)
        is_proved = is_late(unit.occurred_at, unit.recorded_at, window) and bool(unit.origin.late_accepted)
        until = known_until(unit.occurred_at, unit.recorded_at, window, is_proved)
        self.ids.remember(identity, content, until, digest_of(unit, amount, quarantine))
        position.apply(item, unit, amount, quarantine, context)
        if self._trail is not None:
            self._trail.note(unit, amount, "")
        if is_rounded:
            self._count("rounded", unit)
        if unit.type == LOT_DATED:
            self._has_dates = True
        item.cause = _CAUSES[unit.type]
        item.correlation_id = unit.correlation_id
        self._touch(item)
        by_type = self._applied.get(unit.source)
        if by_type is None:
            by_type = self._applied[unit.source] = [0] * len(_CAUSES)
        by_type[unit.type] += 1
        if unit.type == ORDER_PLACED and unit.expires_at is not None and unit.expires_at > context.now:
            heapq.heappush(self._expiries, (unit.expires_at, unit.item, unit.order_id, unit.line_id))

    def _touch(self, item: Item) -> None:
        if not item.is_touched:
            item.is_touched = True
            self._touched.append(item)

    def _note(self, item: Item) -> None:
        if not item.is_noted:
            item.is_noted = True
            self._dirty.append(item)

    def _park(self, unit: Unit, now: int, deadline: int | None) -> bool:
        """Let a unit wait for reference data that may be on its way; false if too many wait already."""
        if len(self._parked) >= PARKED_MAX or not self.config.reference_grace:
            return False
        parked = self._parked_bytes + self._adds(unit)
        if parked > PARKED_BYTES_MAX // self.config.shards:
            return False
        self._keep(deadline if deadline is not None else now + self.config.reference_grace, unit)
        return True

    def _adds(self, unit: Unit) -> int:
        """Give the bytes that waiting costs beside what waits already: units of one message share its bytes."""
        return 0 if self._parked and self._parked[-1][1].origin is unit.origin else unit.origin.size

    def _keep(self, deadline: int, unit: Unit) -> None:
        self._parked_bytes += self._adds(unit)
        self._parked.append((deadline, unit))
        self._awaited.add(unit.item)

    def _retry_parked(self, now: int, final: bool = False, item: str | None = None) -> None:
        parked, self._parked = self._parked, []
        self._parked_bytes, self._awaited = 0, set()
        context = self._context(now) if parked else None
        for deadline, unit in parked:
            assert context is not None
            if final or deadline <= now or unit.item == item:
                self._take(unit, context, final or deadline <= now, deadline)
            else:
                self._keep(deadline, unit)

    def _refuse(self, unit: Unit, code: str, message: str, whole: bool = False) -> None:
        """Refuse a unit; `whole`: for what is wrong with all of its event. Only an order's lines are named."""
        names_line = not whole and IS_ORDER[unit.type]
        self._refusals.append(Refusal(unit.origin, code, message, unit.line_id if names_line else None))
        self._count(code, unit)
        if self._trail is not None:
            self._trail.note(unit, 0, code)

    def _count(self, outcome: str, unit: Unit) -> None:
        key = (outcome, CAUSES[unit.type], unit.source)
        self.counts[key] = self.counts.get(key, 0) + 1

    def _note_age(self, first: int, last: int) -> None:
        """Keep the oldest and newest Kafka timestamp of an activation: what its numbers' latency is measured from."""
        oldest, newest = self._recorded
        self._recorded = (min(oldest, first) if oldest else first, max(newest, last))

    # --- reference data ------------------------------------------------------------------------------------------

    def _take_topology(self, message: TopologyRecord, now: int) -> None:
        topology = unpack_topology(message.tables)
        if self.policies is not None and topology.version == self.policies.topology.version:
            return
        self.policies = Policies(topology, self._days, self.config.orders_run)
        if self._trail is not None:
            self._trail.take_topology(message.tables, topology.version, now)
        if self.config.has_claims and not self._has_told_claims and TOLD not in self._sweep:
            self._sweep.extend((code, CLAIMS, "") for code in self.items)
            self._sweep.append(TOLD)
        self._start_sweep(now)

    def _start_sweep(self, now: int) -> None:
        assert self.policies is not None
        today = self._days.day_of(now)
        version = self.policies.version
        if self._evaluated == (version, today) or (self._evaluated[0] == version and not self._has_days()):
            self._evaluated = (version, today)
            return
        if self._trail is not None and (self._evaluated[1] != today or not self._evaluated[0]):
            self._trail.turn(now)
        cause = "reference" if self._evaluated[0] != version else "day_turn"
        # What an older sweep still had to do for these causes, this one does; a forced republish stays asked for.
        self._sweep = deque(entry for entry in self._sweep if entry[2] is not None)
        self._sweep.extend((code, cause, None) for code in self.items)
        self._sweep_target = (version, today)
        # Until it is through, items stand under this policy and that: also after a crash all are looked at again.
        self._evaluated = (0, today) if self.items else self._sweep_target

    def _has_days(self) -> bool:
        """Is there something to do for every item when a day begins?"""
        assert self.policies is not None
        return self.policies.has_horizon or self._has_dates or self._trail is not None

    def _take_item_record(self, message: ItemRecord, now: int) -> None:
        item = self.find(message.item)
        if item is None:
            if message.facts is None:
                return
            item = self.items[message.item] = Item(message.item)
        if message.channel:
            if item.overrides.get(message.channel) == message.facts:
                return
            if message.facts is None:
                own(item.overrides).pop(message.channel)
            elif not self._is_exact(item, message):
                return
            else:
                overrides = item.overrides = own(item.overrides)
                overrides[message.channel] = message.facts
        else:
            if item.policy == message.facts:
                return
            if message.facts is not None and not self._may_measure(item, message):
                return
            if item.policy is None and item.lines:
                item.owes_claims = self.config.has_claims  # they left with the tombstone
            item.policy = message.facts
            item.overrides = dict(item.overrides) or NOTHING
            if message.facts is None:
                self._unsaid.add(item.code)  # what leaves, leaves whole: also what is 0
        item.policies = item.listing = item.measure = None
        item.has_new_policies = True
        if self._trail is not None:
            self._trail.note_record(item, message.refusal_origin)
        item.cause = "reference"
        self._touch(item)
        if message.item in self._awaited:
            self._retry_parked(now, item=message.item)

    def _is_exact(self, item: Item, message: ItemRecord) -> bool:
        """False (and refused) where a quantity of the record is finer than the item's scale."""
        if item.policy is None or message.facts is None:
            return True
        scale = item_facts(item.policy).scale
        facts = override_facts(message.facts)
        given = (facts.buffer_quantity, facts.cap, facts.minimum, facts.low_stock_threshold, facts.protected_quantity)
        quantities = [*given, *(quantity for _, quantity in facts.safety_stock or ())]
        if all(quantity is None or (quantity * 10**scale).denominator == 1 for quantity in quantities):
            return True
        message_text = f"quantities: expected at most {scale} decimals (the scale of {message.item}), got more"
        self._refusals.append(Refusal(Origin(*message.refusal_origin), "bad_value", message_text))
        return False

    def _may_measure(self, item: Item, message: ItemRecord) -> bool:
        """False (and refused) where the record changes how a quantity already kept is measured."""
        assert message.facts is not None
        new = item_facts(message.facts)
        measure = f"{new.base_uom} {new.scale}"
        if item.units is None or item.as_of < 0 or item.units == measure:
            item.units = measure
            return True
        self._refusals.append(
            Refusal(
                Origin(*message.refusal_origin),
                "bad_value",
                f"base_uom, scale: expected {item.units} while the item has state, got {measure}",
            )
        )
        return False

    def _take_republish(self, message: Republish, forced: dict[str, str]) -> None:
        if message.cause in ("replay", "refill") and not message.item:
            self._unsaid = set(self.items)
        if message.cause == "replay":
            self.replay(message.until)
            self._owes_refill = True
            return
        if message.item:
            item = self.find(message.item)
            if item is not None:
                item.cause = message.cause
                self._touch(item)
                forced[message.item] = message.channel
            return
        self._sweep.extend((code, message.cause, message.channel) for code in self.items)
        if message.cause == "refill":
            self._sweep.append(FILLED)
            self._owes_refill = False

    # --- time ----------------------------------------------------------------------------------------------------

    def _pass_time(self, now: int) -> None:
        while self._cold_wakes and self._cold_wakes[0][0] <= now:
            self.find(heapq.heappop(self._cold_wakes)[1])
        while self._expiries and self._expiries[0][0] <= now:
            _, code, order_id, line_id = heapq.heappop(self._expiries)
            item = self.find(code)
            if item is not None and position.expire(item, order_id, line_id, now, self._days):
                if self.config.has_claims:
                    position.note_claim(item, (order_id, line_id))
                item.cause = "expiry"
                self._touch(item)
        if self._parked and self._parked[0][0] <= now and self.policies is not None:
            self._retry_parked(now)
        if self.policies is not None and not self._sweep and self._evaluated[1] != self._days.day_of(now):
            self._start_sweep(now)
        if now >= self._tidy_at:
            self._tidy(now)

    def _sweep_slice(self, now: int, most: int) -> dict[str, str]:
        forced: dict[str, str] = {}
        taken = 0
        while self._sweep and taken < most:
            entry = self._sweep[0]
            code, cause, channel = entry
            places = self._places_of(code)
            if places > HEAVY_PLACES and most != ALL:
                if not self._turn_at:
                    self._turn_at = self.config.turns.take(now, places)
                if self._turn_at > now:
                    break
                self._turn_at = 0
            self._sweep.popleft()
            if entry is TOLD:
                self._has_told_claims = True
            elif entry is FILLED:
                self._filled += 1  # of two requests within one slice each is answered: the writer counts them
            elif cause == TIDY:
                self._tidy_item(code)
            elif cause == CLAIMS:
                self._tell_claims(code)
            elif cause == "refill" and code not in self._unsaid:
                pass  # said meanwhile
            else:
                item = self.find(code)
                if item is not None:
                    if not item.is_touched:
                        item.cause = cause
                    self._touch(item)
                    if channel is not None:
                        forced[code] = channel
            taken += 1 + places // SWEEP_PLACES
        if taken and not self._sweep and self._sweep_target is not None:
            self._evaluated, self._sweep_target = self._sweep_target, None
        return forced

    def _tell_claims(self, code: str) -> None:
        item = self.find(code)
        # Without a line too, if some were published before it was switched off: what they claimed then may be gone.
        if item is not None and (item.lines or self._may_hold_older_claims):
            item.owes_claims = True
            if not item.is_touched:
                item.cause = "reference"
            self._touch(item)

    def _places_of(self, code: str) -> int:
        """At how many locations an item is; of one that was not touched yet, about as many."""
        item = self.items.get(code)
        if item is None:
            return 0
        if type(item) is list:
            return sum([len(raw) for raw in item]) // PLACE_BYTES
        return len(item.places)  # type: ignore[union-attr]

    def _tidy(self, now: int) -> None:
        """Forget what the window allows; items in slices, behind everything else."""
        self._tidy_at = now + TIDY_EVERY
        clock = self.horizon.recorded()
        if clock is None:
            return
        self.ids.forget(clock)
        self._ids_floor = max(self._ids_floor, first_kept(clock))
        self._journal_horizon = max(self._journal_horizon, clock - self.config.reach)
        if not self._sweep:
            looks_at_all = now >= self._cold_tidy_at
            if looks_at_all:
                self._cold_tidy_at = now + COLD_TIDY_EVERY
            self._sweep.extend(
                (code, TIDY, None) for code, item in self.items.items() if looks_at_all or type(item) is Item
            )

    def _is_owed_a_tidying(self, code: str, layers: list[Any]) -> bool:
        """Has an item that no event touched in this run an order line to be forgotten? Else it stays in its bytes."""
        if not any(LINE_KEY in bytes(layer) for layer in layers):
            return False
        horizon = self._closed_line_horizon()
        lines = ledger.decode_item(code, layers, self._days).lines.values()
        return any(line.last_at <= horizon and is_closed(line) for line in lines)

    def _closed_line_horizon(self) -> int:
        """Order lines that nothing was heard of since then are forgotten, where they claim nothing."""
        retention = max(self.config.closed_line_retention, self.config.widest_window)
        return self._journal_horizon + self.config.reach - retention

    def _tidy_item(self, code: str) -> None:
        item = self.items.get(code)
        if type(item) is list and self._is_owed_a_tidying(code, item):
            item = self.find(code)
        if type(item) is Item:
            raised = position.doubts_of(item)
            known = set(item.lines) if item.lines and self.config.orders_run != NO_ORDERS else None
            horizon = self._journal_horizon
            if position.forget(
                item,
                horizon,
                self._closed_line_horizon(),
                horizon + self.config.reach - RECEIPT_RETENTION,
                self._days,
            ):
                self._note(item)
                forgotten = known.difference(item.lines) if known is not None else ()
                for key in forgotten:  # it leaves its order
                    position.note_claim(item, key)
                if (forgotten or position.doubts_of(item) != raised) and not item.is_touched:
                    item.cause = "expiry"
                    self._touch(item)  # an exception of what is forgotten is over

    # --- what goes out -------------------------------------------------------------------------------------------

    def _outcome(self, now: int, reached: dict[str, int], forced: dict[str, str]) -> Outcome | None:
        updates: list[ItemUpdate] = []
        notes = self._notes
        if self._replay_until:
            forced = {item.code: "" for item in self._touched}
            self._replay_until = {
                part: offset
                for part, offset in self._replay_until.items()
                if self.reached.get(part, -1) < offset and not self.horizon.has_passed(part, offset)
            }
        if self._unsaid:
            for item in self._touched:
                if item.code in self._unsaid:
                    forced[item.code] = ""
                    self._unsaid.discard(item.code)
        if forced and self.config.has_claims:
            self._owe_claims(forced)
        if self._touched and self.policies is not None:
            policies, breakdown = self.policies, self.config.breakdown
            for item in self._touched:
                item.is_touched = False
                update, raised = evaluate(item, policies, now, breakdown, forced.get(item.code) if forced else None)
                item.correlation_id = ""  # of the event just told: what changes it next may be no event
                # Of an item without a record nothing is published: what touches it leaves no trail in Redis either.
                if self._trail is not None and (
                    update is not None or (item.policy is not None and self._trail.owes(item))
                ):
                    update = self._trail.say(item, update, policies, now)
                if update is not None:
                    update.recorded_at = self._recorded[0]
                    updates.append(update)
                if raised:
                    notes.extend(raised)
                if item.rare is not None and item.rare.variances:
                    self.reconciler.look(item)
                self._note(item)
            self._touched = []
        if self._trail is not None and self._trail.touches and self.policies is not None:
            for item in self._trail.left(self.find):
                updates.append(self._trail.say(item, None, self.policies, now))
                self._note(item)
        refusals, counts = self._refusals, self.counts
        if self._applied:
            for source, by_type in self._applied.items():
                for kind, units in enumerate(by_type):
                    if units:
                        counts["applied", CAUSES[kind], source] = units
            self._applied = {}
        if self._is_new:
            self.reconciler.begin(self.config.run)
        reconciled = self.reconciler.said() if self.reconciler.has_news else []
        if self._trail is not None:
            reconciled = [*reconciled, *self._trail.said(now)]
        if not (updates or notes or refusals or reached or counts or self._is_new or self._filled or reconciled):
            return None
        filled, self._filled, self._is_new = self._filled, 0, False
        recorded, self._recorded = self._recorded, (0, 0)
        self._refusals, self._notes, self.counts = [], [], {}
        return Outcome(
            self.number,
            reached,
            updates,
            refusals,
            notes,
            counts,
            recorded=recorded,
            filled=filled,
            reconciled=reconciled,
        )

    def _owe_claims(self, forced: dict[str, str]) -> None:
        """What is said in full says all claims, too; in a replay once, and from then on what changes."""
        for item in self._touched:
            if forced.get(item.code) == "" and item.code not in self._told_in_replay:
                item.owes_claims = True
                if self._replay_until:
                    self._told_in_replay.add(item.code)
        if not self._replay_until:
            self._told_in_replay.clear()

    def find(self, code: str) -> Item | None:
        """The item, decoded if it was not yet touched in this run."""
        item = self.items.get(code)
        if type(item) is list:
            decoded = ledger.decode_item(code, item, self._days)
            self.items[code] = decoded
            for order_id, line_id in decoded.expiring or ():
                expires_at = decoded.lines[order_id, line_id].expires_at or 0
                heapq.heappush(self._expiries, (expires_at, code, order_id, line_id))
            return decoded
        return item  # type: ignore[return-value]

    # --- snapshot and resume -------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Everything needed to go on from here: the changes not yet sealed, and the names of the sealed files."""
        self._snapshots += 1
        self._settle_files()
        self.write_ahead()
        return _encode(
            (
                ledger.FORMAT,
                self.config.shards,
                self.number,
                self.reached,
                self._evaluated,
                self._journal_horizon,
                self._ids_floor,
                self._sealed,
                self._kept_layers(),
                self._parked_values(),
                self._has_dates,
                self.config.told_in if self._has_told_claims else "",
                self.reconciler.snapshot(),
            )
        )

    def _kept_layers(self) -> list[Kept]:
        """Give where the layers lie that no sealed file holds; those that lie where nobody writes any more, again."""
        unsealed = [] if self._sealing is None else [self._sealing[1:]]
        unsealed.append((self._layers, self._kept))
        named: list[Kept] = []
        for layers, kept in unsealed:
            for index, place in enumerate(kept):
                if not self._segments.is_recent(place):
                    kept[index] = self._segments.keep(layers[index])
            named += kept
        self._segments.use(self.number, named)
        return named

    def _parked_values(self) -> list[tuple[int, tuple[Any, ...]]]:
        """What is written of the units that wait: (deadline, values), the bytes of a message with its first unit."""
        deadlines = [deadline for deadline, _ in self._parked]
        return list(zip(deadlines, values_of([unit for _, unit in self._parked]), strict=True))

    def write_ahead(self) -> None:
        """Add a layer with what changed since the last one; a snapshot soon after has only the rest to add."""
        layer = self._new_layer()
        if layer is not None:
            self._layers.append(layer)
            self._kept.append(self._segments.keep(layer))
            self._layers_size += len(layer)
        if self._layers_size >= SEAL_FROM and self._sealing is None:
            self._sealing = (self._segments.seal(self.number, self._layers), self._layers, self._kept)
            self._layers, self._kept, self._layers_size = [], [], 0

    def _new_layer(self) -> bytes | None:
        """What changed since the last snapshot; None if nothing did."""
        parts: list[bytes] = []
        wakes: dict[str, int | None] = {}
        for item in self._dirty:
            item.is_noted = False
            records = ledger.records_of(item)
            if records:
                parts.append(native.packed_text(item.code))
                parts.append(records)
                wake = ledger.wake_of(item)
                if wake != item.wake:
                    item.wake = wakes[item.code] = wake
        self._dirty = []
        ids = self.ids.news()
        if not parts and not ids:
            return None
        items = native.packed_map_size(len(parts) // 2) + b"".join(parts)
        return b"".join((LAYER, items, _encode(ids), _encode(wakes)))

    def _settle_files(self) -> None:
        """Name what was written since the last snapshot; let go of what two committed snapshots no longer name."""
        if self._sealing is not None:
            segment = self._sealing[0].result()
            if segment is not None:
                self._sealed.append(segment)
                self._sealing = None
        if self._merging is not None:
            merged = self._merging[0].result()
            if merged is not None:
                _, start, end = self._merging
                replaced = self._sealed[start:end]
                self._sealed[start:end] = [merged]
                self._retiring.append((self._snapshots + RETIRE_AFTER, replaced))
                self._merging = None
        else:
            start, end = first_to_merge(self._sealed), len(self._sealed)
            if end - start >= MERGE_FROM:
                ticket = self._segments.merge(self.number, self._sealed[start:end], self._ids_floor, start == 0)
                self._merging = (ticket, start, end)
        while self._retiring and self._retiring[0][0] <= self._snapshots:
            self._segments.retire(self.number, self._retiring.pop(0)[1])

    def _resume(self, raw: bytes) -> None:
        (
            version,
            shards,
            _,
            self.reached,
            evaluated,
            self._journal_horizon,
            self._ids_floor,
            sealed,
            unsealed,
            parked,
            *rest,
        ) = msgspec.msgpack.decode(raw)
        if version not in ledger.FORMATS or shards != self.config.shards:
            raise ValueError(
                f"shard {self.number}: the state was written in format {version} for {shards} shards, this engine "
                f"reads format {ledger.FORMAT} for {self.config.shards}: set shards={shards}, or name an empty "
                "folder in state.dir and start with --from-scratch"
            )
        # What an older format holds stands under the rules of today at once: all items are looked at again.
        self._evaluated = (evaluated[0] if version >= ledger.RULES_SINCE else 0, evaluated[1])
        self._has_dates, told_in = rest[:2] if rest else (False, "")
        self._has_told_claims = told_in == self.config.told_in  # a claim names its day
        self._may_hold_older_claims = bool(rest)
        self._sealed = [(name, size, checksum) for name, size, checksum in sealed]
        self._segments.keep_only(self.number, self._sealed)
        wakes: dict[str, int | None] = {}
        for segment in self._sealed:
            for layer in self._segments.read(self.number, segment):
                self._load(layer, wakes)
        # A snapshot of an older format holds them itself.
        self._layers = [
            layer if isinstance(layer, bytes) else self._segments.read_kept(tuple(layer)) for layer in unsealed
        ]
        for layer in self._layers:
            self._load(layer, wakes)
        self._kept, self._layers_size = [NOWHERE] * len(self._layers), sum(len(layer) for layer in self._layers)
        for (deadline, _), unit in zip(parked, units_from([values for _, values in parked]), strict=True):
            self._keep(deadline, unit)
        if len(rest) > 2 and rest[2]:
            self.reconciler = Reconciler(self, rest[2])
        self._cold_wakes = [(due, code) for code, due in wakes.items() if due is not None]
        heapq.heapify(self._cold_wakes)

    def _load(self, layer: bytes, wakes: dict[str, int | None]) -> None:
        items, ids, due = _decoder.decode(layer)
        for code, records in items.items():
            known = self.items.get(code)
            if known is None:
                self.items[code] = [records]
            else:
                assert type(known) is list
                known.append(records)
        for name, entries in ids.items():
            if bucket_of(name) >= self._ids_floor:
                self.ids.restore(name, entries)
        wakes.update(due)


def first_to_merge(segments: list[tuple[str, int, int]]) -> int:
    """Give where what is to be merged begins: fewer than MERGE_FROM segments from there on are not worth it yet.

    Among the newest or not, a segment is taken along where it is at most half as large as all newer ones together. So a
    byte is written again about once each time that its shard's state has tripled, and not at every merge.
    """
    start, total = len(segments), 0
    for index in range(len(segments) - 1, -1, -1):
        size = segments[index][1]
        if len(segments) - index < MERGE_FROM or MERGE_RATIO * size <= total:
            start = index
        total += size
    return start


def number_in(snapshot: bytes) -> int:
    """Which shard a snapshot is of."""
    number: int = msgspec.msgpack.decode(snapshot)[2]
    return number


def content_of(unit: Unit, quantity: int, quarantined: int | None) -> bytes:
    """What a repeat must say again: everything but reason, correlation_id, schema_version and a return's order_id.

    As MessagePack, which keeps the parts apart whatever they hold. What was added later stands behind the rest, and
    only where it is used: the ids of an older state know their repeats.
    """
    if IS_ORDER[unit.type]:
        content = native.packed_line(
            unit.type,
            unit.occurred_at,
            quantity,
            unit.location,
            unit.order_id,
            unit.channel,
            unit.expires_at,
            unit.requested_at,
        )
        if unit.reversal or (quantity == 0 and _is_of_a_part(unit)):
            return content + _encode(True)
        return content
    content = native.packed_movement(
        unit.type,
        unit.occurred_at,
        quantity,
        quarantined,
        unit.location,
        unit.lot,
        unit.status,
        "" if unit.type == RETURN_RECEIVED else unit.order_id,
        unit.transfer_id,
        unit.receipt_id,
        unit.to_location,
        unit.eta,
    )
    if unit.reversal or unit.part_of or unit.best_before is not None:
        return content + _encode((unit.reversal, unit.part_of, unit.best_before))
    return content


def _is_of_a_part(unit: Unit) -> bool:
    """Does it cancel a part of a line? One that is rounded to 0 does not say what a cancellation of the line says."""
    return unit.type == ORDER_CANCELLED and unit.quantity is not None


def digest_of(unit: Unit, quantity: int, quarantined: int | None) -> int:
    """Give the digest of what a unit says, its quantities converted; what a repeat need not say again has no part.

    What was added later goes into the groups that were there: a reversal has the opposite quantity (of 0: -1).
    """
    if unit.reversal or (quantity == 0 and _is_of_a_part(unit)):
        quantity = -quantity if quantity else -1
    return native.digest(
        unit.type,
        unit.occurred_at,
        quantity,
        quarantined,
        unit.location,
        unit.lot,
        unit.status,
        unit.channel,
        "" if unit.type == RETURN_RECEIVED else unit.order_id,
        unit.transfer_id,
        f"{unit.receipt_id}\x1f{unit.part_of}" if unit.part_of else unit.receipt_id,
        unit.to_location,
        unit.eta if unit.best_before is None else unit.best_before,
        unit.expires_at,
        unit.requested_at,
    )


def conflict_of(unit: Unit, quantity: int, quarantined: int | None, first: int) -> str:
    """Say what of a unit differs from the one that was applied first, whose digest is given."""
    return conflict_message(unit, quantity, quarantined, first, digest_of(unit, quantity, quarantined))


# Names that other modules import are objects, and these are typed once compiled.
_DUPLICATE, _CONFLICT = DUPLICATE, CONFLICT
#: by the number of the type: do orders' lines have it?
IS_ORDER = [kind in ORDER_TYPES for kind in range(max(EventType) + 1)]
LOT_DATED = int(EventType.LOT_DATED)
ORDER_PLACED = int(EventType.ORDER_PLACED)
ORDER_CANCELLED = int(EventType.ORDER_CANCELLED)
RETURN_RECEIVED = int(EventType.RETURN_RECEIVED)
#: by the number of the type
CAUSES = [EventType(kind).name.lower() if kind in set(EventType) else "" for kind in range(max(EventType) + 1)]
_CAUSES = CAUSES
