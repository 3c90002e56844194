"""What one worker process counts and measures. Plain numbers, so that counting costs next to nothing.

Written by the threads of the worker, read by the thread that reports to the supervisor: single reads and writes of
Python's own types, so no locks. Nothing here may fail or wait.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sized
from typing import Any

from flows.monitoring.catalog import BUCKETS_S, COUNTER, SPECS
from operators.lane_queue import LaneQueue
from operators.outbox import rank
from operators.rules.lanes import LANES
from schemas.codes import REFUSAL_CODES
from schemas.messages import ItemUpdate, Outcome, Outgoing
from schemas.outputs import EXCEPTION_CODES
from schemas.units import Refusal

SOURCES_MAX = 60
CHANNELS_MAX = 200
OTHER = "other"
#: an outcome that stands beside `applied`, and has a metric of its own
ROUNDED = "rounded"
UNKNOWN = "unknown"
#: Waiting updates that are looked through in one go, for depth and age by lane: 5 ms. More are looked at less often.
LANES_LOOK = 20_000
#: How many a second are worth reporting of what a producer tells.
KAFKA_REPORT_MS = 5_000

#: suffix behind the name, labels, value
Sample = tuple[str, dict[str, str], float]


class Tally:
    """One histogram: how many values, by bucket, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Take one value."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.total += seconds

    def samples(self, labels: dict[str, str]) -> list[Sample]:
        """Give buckets, each with all below it, then sum and count."""
        samples: list[Sample] = []
        running = 0
        for bound, count in zip((*BUCKETS_S, None), list(self.counts), strict=True):
            running += count
            samples.append(("_bucket", {**labels, "le": "+Inf" if bound is None else str(bound)}, running))
        return [*samples, ("_sum", labels, self.total), ("_count", labels, running)]


def tally_written(taken: list[tuple[int, ItemUpdate]], moment: int, to_redis: list[Tally]) -> None:
    """Note how late numbers are that Redis has taken at `moment`, by the most urgent lane of their item."""
    # What a shard said in one go has one oldest event: its bucket is looked up once.
    last, bucket, late_s = -1, 0, 0.0
    for _, update in taken:
        recorded = update.recorded_at
        if recorded and update.channels:
            if recorded != last:
                last = recorded
                late_s = (moment - recorded) / 1e6 if moment > recorded else 0.0
                bucket = bisect_left(BUCKETS_S, late_s)
            tally = to_redis[rank(update)]
            tally.counts[bucket] += 1
            tally.total += late_s


def count_sent(updates: list[Outgoing], oldest: list[int]) -> dict[str, list[int]]:
    """Count updates by channel, for each by lane; note in `oldest`, by lane, since when the first of them waited."""
    found: dict[str, list[int]] = {}
    for update in updates:
        change = update.change
        lane, since = change.lane, update.since
        counts = found.get(change.channel)
        if counts is None:
            counts = found[change.channel] = [0] * len(LANES)
        counts[lane] += 1
        if since < oldest[lane]:
            oldest[lane] = since
    return found


class Metrics:
    """What an operator watches of one worker; `flows.monitoring.catalog` says what each name means."""

    def __init__(self, sources: Iterable[str] = (), stale_sources: Iterable[str] = ()) -> None:
        self._sources = {name: name for name in sources}
        #: (source, type, outcome) as reported -> number, and newest Kafka timestamp (UTC microseconds)
        self._units: dict[tuple[str, str, str], list[int]] = {}
        #: the same by (outcome, type, source) as shards say it: one look-up a key, and no new objects
        self._by_key: dict[tuple[str, str, str], list[int]] = {}
        self._by_channel: dict[str, list[int]] = {}
        self._other_channels = [0] * len(LANES)
        # At 0 from the start: what appears with its first increase has no increase in Prometheus' eyes.
        self._exceptions = {(code, state): 0 for code in EXCEPTION_CODES for state in ("open", "closed")}
        self._open = {code: 0 for code in EXCEPTION_CODES if code != "conflict"}
        self._open |= {f"{STALE}{name}": 0 for name in stale_sources}
        self._dead_letters = dict.fromkeys(sorted(REFUSAL_CODES), 0)
        self._lanes: dict[str, tuple[int, float]] = {}
        self._lane_queue: LaneQueue | None = None
        self._looks_skipped = 0
        self.to_redis = [Tally() for _ in LANES]
        self.to_kafka = [Tally() for _ in LANES]
        self.redis_write, self.kafka_confirm = Tally(), Tally()
        self.redis_retries = self.redis_losses = 0
        self.kafka_retries = self.kafka_errors = 0
        self.fenced_flushes, self.fenced_at = 0, 0.0
        #: a newer run has taken over: this process ends
        self.is_fenced = False
        #: since when Redis takes no write, and since when an epoch waits for Kafka (monotonic clock); None: all is well
        self.redis_waits_since: float | None = None
        self.kafka_waits_since: float | None = None
        self._epoch, self._epoch_commit = Tally(), Tally()
        self._snapshot_at: float | None = None
        #: since when an epoch is ending, which lasts until its snapshots are safe (monotonic clock); None: none is
        self.commits_since: float | None = None
        #: when the last epoch was finished, by the wall clock and by the monotonic one
        self.epoch_at: tuple[float, float] | None = None
        self.snapshot_bytes = self.segment_bytes = 0
        #: what was written of what touched each item
        self.trail_records = self.trail_bytes = 0
        #: what is read when somebody asks
        self._live: dict[str, Callable[[], float]] = {}
        self._shards: list[tuple[Sized, Sized]] = []

    # --- events ------------------------------------------------------------------------------------------------------

    def count(self, outcome: Outcome) -> None:
        """Count what a shard said."""
        last = outcome.recorded[1]
        known = self._by_key
        for key, number in outcome.counts.items():
            cell = known.get(key) or self._cell(key)
            cell[0] += number
            if last > cell[1]:
                cell[1] = last
        for note in outcome.exceptions:
            about = (note.code, "open" if note.is_open else "closed")
            self._exceptions[about] = self._exceptions.get(about, 0) + 1

    def refused(self, refusal: Refusal) -> None:
        """Count what goes to the dead letters: a message, or a line of one."""
        self._dead_letters[refusal.code] = self._dead_letters.get(refusal.code, 0) + 1

    def _cell(self, key: tuple[str, str, str]) -> list[int]:
        """Give where an (outcome, type, source) is counted: number, and newest Kafka timestamp."""
        verdict, kind, named = key
        source = UNKNOWN if not named else self._sources.get(named)
        if source is None:
            if len(self._sources) >= SOURCES_MAX:
                return self._units.setdefault((OTHER, kind, verdict), [0, 0])
            source = self._sources[named] = named
        cell = self._by_key[key] = self._units.setdefault((source, kind, verdict), [0, 0])
        return cell

    def opened(self, about: str, change: int) -> None:
        """Note exceptions that are open now, by `about`: more (1) or less (-1)."""
        self._open[about] = self._open.get(about, 0) + change

    # --- numbers that leave ------------------------------------------------------------------------------------------

    def wrote(self, taken: list[tuple[int, ItemUpdate]], moment: int, seconds: float) -> None:
        """Note a slice that Redis has taken at `moment` (UTC microseconds)."""
        self.redis_write.observe(seconds)
        self.redis_waits_since = None
        tally_written(taken, moment, self.to_redis)

    def sent(self, updates: list[Outgoing], moment: int) -> None:
        """Count what went to Kafka."""
        oldest = [moment + 1] * len(LANES)
        for channel, counts in count_sent(updates, oldest).items():
            cells = self._by_channel.get(channel) or self._cells(channel)
            for lane, count in enumerate(counts):
                cells[lane] += count
        for lane, since in enumerate(oldest):
            if since <= moment:
                self.to_kafka[lane].observe((moment - since) / 1e6)

    def _cells(self, channel: str) -> list[int]:
        """Give where a channel's updates are counted, by lane."""
        if len(self._by_channel) >= CHANNELS_MAX:
            return self._other_channels
        return self._by_channel.setdefault(channel, [0] * len(LANES))

    def look_at(self, lanes: LaneQueue, moment: int) -> None:
        """Once a second, by the thread that owns the lanes: what waits, and for how long."""
        self._lane_queue = lanes
        if self._looks_skipped < len(lanes) // LANES_LOOK:
            self._looks_skipped += 1
            return
        self._looks_skipped = 0
        depth, oldest = [0] * len(LANES), [moment] * len(LANES)
        for update in lanes.waiting():
            lane = update.change.lane
            depth[lane] += 1
            if update.since < oldest[lane]:
                oldest[lane] = update.since
        self._lanes = {name: (depth[lane], (moment - oldest[lane]) / 1e6) for lane, name in enumerate(LANES)}

    def kafka_told(self, report: dict[str, Any]) -> None:
        """Take librdkafka's own statistics."""
        brokers = report.get("brokers", {}).values()
        self.kafka_retries = sum(broker.get("txretries", 0) for broker in brokers)
        self.kafka_errors = sum(broker.get("txerrs", 0) for broker in brokers)

    def fenced_others(self, total: int) -> None:
        """Take how many writes of older engines Redis has turned away."""
        if total > self.fenced_flushes:
            self.fenced_at = time.time()
        self.fenced_flushes = total

    # --- epochs and state --------------------------------------------------------------------------------------------

    def snapshot_taken(self) -> None:
        """An epoch of this process ends."""
        moment = self.commits_since = time.monotonic()
        if self._snapshot_at is not None:
            self._epoch.observe(moment - self._snapshot_at)
        self._snapshot_at = moment

    def epoch_finished(self) -> None:
        """It went through every sink, and its snapshots are safe."""
        moment = time.monotonic()
        self.commits_since = None
        if self._snapshot_at is not None:
            self._epoch_commit.observe(moment - self._snapshot_at)
        self.epoch_at = (time.time(), moment)

    def watch(self, name: str, ask: Callable[[], float]) -> None:
        """Read a gauge when somebody asks for it."""
        self._live[name] = ask

    def watch_shard(self, items: Sized, ids: Sized) -> None:
        """Read the size of a shard when somebody asks for it."""
        self._shards.append((items, ids))

    # --- what is reported --------------------------------------------------------------------------------------------

    def report(self) -> dict[str, list[Sample]]:
        """Give all samples by the metric's name."""
        since = time.monotonic()
        samples: dict[str, list[Sample]] = {
            "atp_units": [
                ("_total", {"source": source, "type": kind, "outcome": verdict}, cell[0])
                for (source, kind, verdict), cell in list(self._units.items())
                if verdict != ROUNDED
            ],
            "atp_rounded_units": [
                ("_total", {"source": source, "type": kind}, cell[0])
                for (source, kind, verdict), cell in list(self._units.items())
                if verdict == ROUNDED
            ],
            "atp_source_last_seen_timestamp_seconds": [
                ("", {"source": source}, moment / 1e6) for source, moment in self._last_seen().items()
            ],
            "atp_exceptions": [
                ("_total", {"code": code, "state": state}, number)
                for (code, state), number in list(self._exceptions.items())
            ],
            "atp_dead_letters": [
                ("_total", {"code": code}, number) for code, number in list(self._dead_letters.items())
            ],
            "atp_updates": [
                ("_total", {"channel": channel, "lane": LANES[lane]}, number)
                for channel, cells in [*list(self._by_channel.items()), (OTHER, self._other_channels)]
                for lane, number in enumerate(cells)
                if channel != OTHER or number
            ],
            "atp_lane_waiting_updates": [("", {"lane": lane}, depth) for lane, (depth, _) in self._lanes.items()],
            "atp_lane_oldest_waiting_seconds": [("", {"lane": lane}, age) for lane, (_, age) in self._lanes.items()],
            "atp_event_to_redis_seconds": _by_lane(self.to_redis),
            "atp_redis_to_kafka_seconds": _by_lane(self.to_kafka),
            "atp_redis_write_seconds": self.redis_write.samples({}),
            "atp_kafka_confirm_seconds": self.kafka_confirm.samples({}),
            "atp_epoch_seconds": self._epoch.samples({}),
            "atp_epoch_commit_seconds": self._epoch_commit.samples({}),
            "atp_epoch_ending_seconds": [("", {}, elapsed(self.commits_since, since))],
            "atp_redis_waiting_seconds": [("", {}, elapsed(self.redis_waits_since, since))],
            "atp_kafka_waiting_seconds": [("", {}, elapsed(self.kafka_waits_since, since))],
            "atp_redis_retries": [("_total", {}, self.redis_retries)],
            "atp_redis_losses": [("_total", {}, self.redis_losses)],
            "atp_kafka_retries": [("_total", {}, self.kafka_retries)],
            "atp_kafka_errors": [("_total", {}, self.kafka_errors)],
            "atp_fenced_flushes": [("_total", {}, self.fenced_flushes)],
            "atp_snapshot_bytes": [("_total", {}, self.snapshot_bytes)],
            "atp_segment_bytes": [("_total", {}, self.segment_bytes)],
            "atp_trail_records": [("_total", {}, self.trail_records)],
            "atp_trail_bytes": [("_total", {}, self.trail_bytes)],
            "atp_items": [("", {}, sum(len(items) for items, _ in list(self._shards)))],
            "atp_remembered_ids": [("", {}, sum(len(ids) for _, ids in list(self._shards)))],
        }
        if self.fenced_at:
            samples["atp_fenced_last_timestamp_seconds"] = [("", {}, self.fenced_at)]
        if self.epoch_at is not None:
            samples["atp_epoch_last_timestamp_seconds"] = [("", {}, self.epoch_at[0])]
        if self._lane_queue is not None:
            for name, of_lane in (("merged", self._lane_queue.merged), ("overdue", self._lane_queue.overdue)):
                samples[f"atp_updates_{name}"] = [("_total", {"lane": lane}, n) for lane, n in of_lane.items()]
        samples |= self._open_exceptions()
        for name, ask in self._live.items():
            samples[name] = [("_total" if SPECS[name].kind == COUNTER else "", {}, ask())]
        return samples

    def _last_seen(self) -> dict[str, int]:
        seen: dict[str, int] = {}
        for (source, _, _), cell in list(self._units.items()):
            if cell[1] > seen.get(source, 0) and source not in (OTHER, UNKNOWN):
                seen[source] = cell[1]
        return seen

    def _open_exceptions(self) -> dict[str, list[Sample]]:
        by_code: dict[str, int] = {}
        stale: list[Sample] = []
        for about, number in list(self._open.items()):
            code, _, source = about.partition(":")
            by_code[code] = by_code.get(code, 0) + number
            if source:
                stale.append(("", {"source": source}, number))
        return {
            "atp_exceptions_open": [("", {"code": code}, number) for code, number in by_code.items()],
            "atp_source_stale": stale,
        }


def _by_lane(tallies: list[Tally]) -> list[Sample]:
    return [sample for lane, tally in zip(LANES, tallies, strict=True) for sample in tally.samples({"lane": lane})]


def elapsed(since: float | None, moment: float) -> float:
    """Give for how long something goes on, 0 where it does not."""
    return 0.0 if since is None else max(0.0, moment - since)


STALE = "stale_source:"
