"""Reads an item's trail (operators/trail.py) by look-ups: from its newest group back, along the chain.

A group is found by its moment: Kafka says where in the shard's partition what was written since then begins, and the
group is in the first record, or among those of the same millisecond. Nothing is scanned but those; what is read in all
has a bound, and beyond it, or where the topic no longer reaches back, the trail ends and says so.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.kafka.clients import CONNECT_TIMEOUT_S, KafkaProblem, consumer_config, partitions_of
from operators.reference import unpack_topology
from operators.route import shard_of
from operators.rules.topology import Topology
from operators.trail import FORMATS, FRAME_EVERY
from schemas.settings import Settings
from schemas.topics import TRAIL

#: What a look-up may read: 64 records of 16 KB. An explanation of what stands now may read no more of Kafka in all, its
#: doubts included: mostly 20 records, and 35 and 468 KiB at most
#: (`python -m benchmarks.explain --items 200000 --rate 1000 --ago 60 --times 150`).
RECORDS_MAX = 64
NOW_RECORDS_MAX, NOW_BYTES_MAX = RECORDS_MAX, 1 << 20
#: What of this is left for the records in force, when the way back to what moved the item is cut short; and when it is.
FORCE_RECORDS, FORCE_BYTES = 8, 160 << 10
BACK_S = 0.1
#: Look-ups of one question, each some milliseconds.
LOOKUPS_MAX = 4_000
#: How long a newest group may be on its way: Redis is written before Kafka.
ON_ITS_WAY_S = 2.0
POLL_S = 0.05
#: A fetch that waits for more at the end of the log holds up the next look-up for as long, which reads elsewhere.
FETCH_WAIT_MS = 1
#: Where a group is not found by its moment: a record of format 2 has the moment at which it was sent, and that of a
#: group may be some microseconds ahead of the clock.
SLACK_MS = 5

_decode = msgspec.msgpack.Decoder().decode


@dataclass(frozen=True, slots=True)
class Touch:
    """A unit, or a record of reference data, that touched an item."""

    topic: str
    partition: int
    offset: int
    #: of a record of reference data its key
    event_id: str
    source: str
    #: line_id, or the order's id where the unit has none
    line: str
    #: the number of its type; 0: a record of reference data
    type: int
    location: str
    #: in base UoM x 10^scale
    quantity: int
    #: "" where it was applied, else why it was not: `duplicate` or a code of contract section 7
    outcome: str

    @property
    def place(self) -> str:
        """Where its message stands."""
        return f"{self.topic}/{self.partition}@{self.offset}"


@dataclass(frozen=True, slots=True)
class Group:
    """What one activation did to an item; moments in UTC microseconds."""

    at: int
    number: int
    #: the moments of groups before: of the last one, and where the group has them of the last of each level
    chain: tuple[int, ...]
    #: what touched it where no unit did: `expiry`, `day_turn`, `reference`, ...
    cause: str
    touches: tuple[Touch, ...]
    #: figures that changed, as in `position:<item>`; None where there is a frame with places
    fields: dict[str, int | None] | None
    #: channel -> its new number; None: it does not list the item any more
    changes: dict[str, int | None]
    #: all that the item's numbers follow from; its records and its places each may be None: what stood before stands
    frame: tuple[Any, ...] | None
    #: when the newest group was that has records, itself or one before; 0: it does not say
    records_at: int
    #: the run that wrote it
    run: int

    @property
    def records(self) -> tuple[Any, ...] | None:
        """(item's record, its channels' records, topology, its moment, numbers published), where it has them."""
        return self.frame[0] if self.frame is not None else None


class TrailEnds(Exception):
    """The trail does not reach further back; the text says why."""


class TrailReader:
    """Looks up one item's groups. Used within one question, and closed.

    `records_max`, `bytes_max`: what all look-ups together may read; None: each has its own bound alone. Who uses it
    sets and moves them.
    """

    def __init__(self, settings: Settings, item: str) -> None:
        self._item = item
        self.records_max: int | None = None
        self.bytes_max: int | None = None
        name = settings.topic(TRAIL)
        count = partitions_of(settings, [TRAIL])[name]
        shard = str(shard_of(item, settings.shards)).encode()
        # As Kafka's client places what has a key.
        self._part, self._key = (name, zlib.crc32(shard) % count), shard
        self._consumer = Consumer(
            consumer_config(
                settings,
                **{
                    "group.id": f"{settings.kafka.group}-trail",
                    "auto.offset.reset": "earliest",
                    "log_level": 0,
                    "fetch.message.max.bytes": 65_536,
                    "fetch.wait.max.ms": FETCH_WAIT_MS,
                    "queued.min.messages": 100,
                },
            )
        )
        #: moment -> a group, or the locations and channels in force
        self._groups: dict[int, Group] = {}
        self._topologies: dict[int, Topology] = {}
        #: how many look-ups were made, and what they read
        self._lookups = self.records_read = self.bytes_read = 0

    def __enter__(self) -> TrailReader:
        """Be closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of Kafka."""
        self._consumer.close()

    def group(self, at: int, patience_s: float = 0.0) -> Group:
        """Give the group of a moment; TrailEnds where it is not there (any more)."""
        known = self._groups.get(at)
        if known is not None:
            return known
        for slack_ms, seconds in ((0, patience_s), (SLACK_MS, 0.0)):
            for _ in self._records(at, seconds, slack_ms):
                known = self._groups.get(at)
                if known is not None:
                    return known
        raise TrailEnds("the topic no longer has what was before")

    def topology(self, at: int) -> Topology:
        """Give the locations and channels that were written down at a moment; TrailEnds likewise."""
        if at in self._topologies:
            return self._topologies[at]
        for slack_ms in (0, SLACK_MS):
            for said_at, body in self._records(at, 0.0, slack_ms):
                if said_at == at and isinstance(body, bytes):
                    found = self._topologies[at] = unpack_topology(body)
                    return found
        raise TrailEnds("which locations and channels were in force then is not in the topic any more")

    def latest(self, head: int, moment: int) -> tuple[Group, list[Group]]:
        """Give the newest group up to a moment, and newer ones on the way to it; TrailEnds where there is none."""
        group = self.group(head, ON_ITS_WAY_S)
        newer: list[Group] = []
        while group.at > moment:
            newer.append(group)
            before = [at for at in group.chain if at > moment]
            step = min(before, default=group.chain[0])
            if not step:
                raise TrailEnds("nothing touched the item before")
            found = self.group(step)
            if found.at <= moment and found.run != group.run:
                found = self._orphans(found, moment, group.at)[-1]
            group = found
        return group, newer

    def back(self, group: Group) -> Iterator[Group]:
        """Give a group and those before it, newest first, with those that a crash cut off the chain."""
        while True:
            yield group
            if not group.chain[0]:
                return
            before = self.group(group.chain[0])
            if before.run != group.run:
                *older, newest = self._orphans(before, group.at - 1, group.at)
                yield from reversed([*older[1:], newest] if older else [])
            group = before

    def _orphans(self, last: Group, moment: int, before: int) -> list[Group]:
        """Give a group and those of its run behind it that the next run does not know, up to a moment."""
        for said_at, _ in self._records(last.at, 0.0):
            if said_at >= before:
                break
        found = [g for g in self._groups.values() if g.run == last.run and last.at < g.at <= moment]
        return [last, *sorted(found, key=lambda g: g.at)]

    def _records(self, at: int, patience_s: float, slack_ms: int = 0) -> Iterator[tuple[int, Any]]:
        """Give the shard's records written since a moment, as (moment, groups or tables); bounded."""
        self._lookups += 1
        if self._lookups > LOOKUPS_MAX:
            raise TrailEnds(f"more than {LOOKUPS_MAX} look-ups would be needed")
        try:
            [place] = self._consumer.offsets_for_times(
                [TopicPartition(*self._part, max(0, at // 1000 - slack_ms))], timeout=CONNECT_TIMEOUT_S
            )
            if place.offset < 0:
                low, end = self._consumer.get_watermark_offsets(TopicPartition(*self._part), CONNECT_TIMEOUT_S)
                place.offset = max(low, end - 1)
            self._consumer.assign([place])
            silent_s, limit_s, read = 0.0, SILENCE_S, 0
            while read < RECORDS_MAX:
                self._check_bound()
                message = self._consumer.poll(POLL_S)
                error = message.error() if message is not None else None
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    silent_s, limit_s = 0.0, patience_s
                elif error is not None:
                    raise KafkaProblem(f"{self._part[0]} cannot be read: {error.str()}")
                if message is None or error is not None:
                    if silent_s >= limit_s:
                        return
                    silent_s += POLL_S
                    continue
                silent_s = 0.0
                read += 1
                self.records_read += 1
                self.bytes_read += len(message.value() or b"")
                if message.key() == self._key:
                    yield self._keep(message.value() or b"")
        except KafkaException as error:
            raise KafkaProblem(f"{self._part[0]} cannot be read: {error}") from error

    def _check_bound(self) -> None:
        for read, most, what in (
            (self.records_read, self.records_max, "records"),
            (self.bytes_read, self.bytes_max, "bytes"),
        ):
            if most is not None and read >= most:
                raise TrailEnds(f"{read} {what} of it were read, which is as much as may be for what stands now")

    def _keep(self, raw: bytes) -> tuple[int, Any]:
        form, run, at, body = _decode(raw)
        if form not in FORMATS:
            raise TrailEnds(f"a record is of format {form}, which another version of the engine wrote")
        if isinstance(body, list):
            for values in body:
                if values[0] == self._item:
                    group = group_of(values, run)
                    self._groups[group.at] = group
        return at, body


def group_of(values: Any, run: int) -> Group:
    """Give a group as it was written (operators/trail.py), by which run."""
    _, at, number, chain, cause, touches, fields, changes, frame, *since_records = values
    return Group(
        at,
        number,
        tuple(chain),
        cause,
        tuple(Touch(*touch) for touch in touches),
        fields,
        dict(changes),
        tuple(frame) if frame is not None else None,
        at - since_records[0] if since_records else 0,
        run,
    )


#: How long Kafka may give nothing before a look-up gives up.
SILENCE_S = 5.0


def standing_at(reader: TrailReader, group: Group) -> list[Group]:
    """Give the groups from the newest frame with records at a group on, oldest first; TrailEnds if there is none."""
    groups: list[Group] = []
    for before in reader.back(group):
        groups.append(before)
        if before.records is not None:
            return groups[::-1]
        if len(groups) > 4 * FRAME_EVERY + 4096:
            break
    raise TrailEnds("no frame of the item is in the topic any more")


def as_far_as_read(reader: TrailReader, group: Group, seconds: float) -> tuple[list[Group], bool]:
    """Give the groups from the newest frame with records at a group on, oldest first, or those that may be read.

    Is it the frame that they begin with? It is not looked for where so many seconds have gone by.
    """
    groups: list[Group] = []
    until = time.monotonic() + seconds
    with contextlib.suppress(TrailEnds):
        for before in reader.back(group):
            groups.append(before)
            if before.records is not None:
                return groups[::-1], True
            if time.monotonic() > until:
                break
    return groups[::-1], False


def with_older(reader: TrailReader, groups: list[Group], least: int) -> list[Group]:
    """Give groups that begin with a frame from an older frame on, so that at least so many are behind it.

    Fewer where the trail does not reach so far. Of the oldest it is known what stood after it, and not what it moved.
    """
    older: list[Group] = []
    framed = 0
    if len(groups) <= least:
        with contextlib.suppress(TrailEnds):
            for before in islice(reader.back(groups[0]), 1, None):
                older.append(before)
                if before.records is not None:
                    framed = len(older)
                    if framed + len(groups) > least:
                        break
    return older[:framed][::-1] + groups
