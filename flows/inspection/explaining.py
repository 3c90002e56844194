"""Explains a published number: what stands in Redis and in the reference topics, as a tree of terms.

The formula is the engine's (`operators.explaining`); here is gathered what it is asked about, compared with what is
published, and said what is doubtful. Nothing is written and nothing committed.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from flows.inspection.doubtful import OpenHere, doubts_about, gather
from flows.inspection.known_item import KnownItem
from flows.inspection.lookup import hashes
from flows.inspection.policy_records import Records, read_records
from flows.inspection.replayed import Moved
from flows.inspection.standing import PUBLISHED, standing
from flows.inspection.status import alive_in
from operators.evaluate import Policies, measure_in
from operators.explaining import Term, Told, explained, plain
from operators.reference import common_part
from operators.rules.days import days_in
from operators.rules.topology import Topology
from schemas.settings import Settings
from schemas.times import day_text

#: An engine writes `engine:alive` twice a second; numbers are doubtful where what was applied last is older than this.
BEHIND_MS = 5_000


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a number is what it is, or why there is none."""

    item: str
    channel: str
    #: of the horizon; 0 is today
    day: int
    #: that day's date
    date: str
    #: quantities are in base UoM x 10^scale
    scale: int
    base_uom: str
    #: what a channel reads; None where nothing is published for it
    published: int | None
    #: its root's value is what the terms come to; None where nothing is known to add up
    tree: Term | None
    #: do the terms come to the published number?
    agrees: bool
    #: plain sentences: why there is no number or why it differs, and what else is doubtful
    doubts: tuple[str, ...]
    #: the version of what was read, as in Redis; None where nothing is published
    version: int | None = None
    #: the moment it is of; None: now
    at: str | None = None
    #: what touched it last, the newest first, and how far back the trail was read: empty where there is no trail
    moved: tuple[Moved, ...] = ()
    reach: str = ""
    #: what is known of the item: published, tombstoned, parked, unpublished or never_seen
    state: str = PUBLISHED
    #: where it is none that is published: some whose codes begin as its does
    near: tuple[str, ...] = ()
    #: what is open of the item; of a moment that has passed nothing is said of this and what follows
    exceptions: tuple[OpenHere, ...] = ()
    #: sources that are silent for longer than they may be
    stale_sources: tuple[str, ...] = ()
    #: Redis has the number, and Kafka perhaps not yet
    waits: bool = False
    #: what was read of Kafka for all of this
    records_read: int = 0
    bytes_read: int = 0


def explain(settings: Settings, item: str, channel: str, day: int = 0, at: int | None = None) -> Explanation:
    """Explain what is published now, or was at a moment (UTC microseconds).

    LookupProblem or KafkaProblem where a server does not answer; ValueError where the channel does not promise that
    day; NoTrail where nothing is known of the moment.
    """
    if at is not None:
        return _explained(settings, item, channel, day, at)
    with ThreadPoolExecutor(1) as beside:  # servers are waited for in both
        gathered = beside.submit(gather, settings, item, channel)
        found = _explained(settings, item, channel, day, at)
        if found.state != PUBLISHED:
            return found
        now = gathered.result()
        more = doubts_about(settings, item, now, found.published if day == 0 else None)
    return replace(
        found,
        records_read=found.records_read + now.newest.records_read,
        bytes_read=found.bytes_read + now.newest.bytes_read,
        doubts=(*found.doubts, *more.sentences),
        exceptions=more.exceptions,
        stale_sources=more.stale_sources,
        waits=more.waits,
    )


def _explained(settings: Settings, item: str, channel: str, day: int, at: int | None) -> Explanation:
    """Explain it by its terms."""
    untold = ""
    if at is not None or settings.trail.enabled:
        from flows.inspection.trailed import NoTrail, explain_by_trail

        try:
            return explain_by_trail(settings, item, channel, day, at)
        except NoTrail as problem:
            if at is not None:
                raise
            untold = str(problem)
    records = read_records(settings, item)
    names = [f"atp:{item}", f"position:{item}", f"claims:{item}", "engine:alive"]
    promises, position, claims, alive = hashes(settings, names, steady=3)
    today = days_in(settings.time_zone).day_of(time.time_ns() // 1000)
    doubts = list(doubts_of_engine(alive))
    published = published_in(promises, channel, day)
    scale = int(promises.get("_scale", "0"))
    known = KnownItem(item, records, position, claims, settings, today)
    doubts += known.doubts
    tree = None
    if records.item is not None and channel in records.topology.channels:
        told = Told(
            records.item_at,
            records.channel_at.get(channel, ""),
            records.override_at.get(channel, ""),
            lines=known.lines,
        )
        policies = Policies(records.topology, days_in(settings.time_zone))
        tree = explained(known.item, channel, policies, today, known.dated, day, scale, told)
        if channel_horizon(records, channel):
            doubts += known.doubts_of_days
        if untold:
            read = f"{records.records_read} records of the reference topics, all there are, were read instead"
            doubts.append(f"{untold}: {read}")
    base_uom = measure_in(common_part(records.item)).base if records.item is not None else ""
    agrees = tree is not None and published is not None and tree.value == published
    if not agrees:
        doubts.insert(
            0, why_not(item, channel, records.topology, records.item, records.is_deleted, tree, published, scale)
        )
    version = promises.get("_version")
    state = PUBLISHED
    near: tuple[str, ...] = ()
    if records.item is None:
        known_of = standing(settings, item)
        if known_of.state != PUBLISHED:
            state, near, doubts[0] = known_of.state, known_of.near, known_of.sentence
            if near:
                doubts.insert(1, f"published are: {', '.join(near)}")
    return Explanation(
        item,
        channel,
        day,
        day_text(today + day),
        scale,
        base_uom,
        published,
        tree,
        agrees,
        tuple(doubts),
        int(version) if version is not None else None,
        state=state,
        near=near,
        records_read=records.records_read,
        bytes_read=records.bytes_read,
    )


def channel_horizon(records: Records, channel: str) -> int:
    """Give how many days a channel promises; 0: today alone."""
    return records.topology.channels[channel].horizon_days


def published_in(promises: dict[str, str], channel: str, day: int) -> int | None:
    by_day = promises.get(f"{channel}:by_day")
    if by_day is not None:
        numbers = json.loads(by_day)
        return int(numbers[day]) if day < len(numbers) else None
    return int(promises[channel]) if channel in promises and day == 0 else None


def why_not(
    item: str, channel: str, topology: Topology, policy: bytes | None, is_deleted: bool, tree: Term | None,
    published: int | None, scale: int,
) -> str:  # fmt: skip
    """Say in one sentence why the terms do not come to a published number."""
    if channel not in topology.channels:
        known = ", ".join(sorted(topology.channels)) or "none"
        return f"{channel} is no channel of inventory.channels; there are: {known}"
    if policy is None:
        gone = "was deleted from" if is_deleted else "has no record in"
        return f"{item} {gone} inventory.items, so nothing is promised of it"
    if tree is None:
        all_the_same = f", though {plain(published, scale)} is published" if published else ""
        return f"{channel} does not list {item}{all_the_same}"
    if published is None:
        return f"nothing is published of {item} for {channel}: no engine has said it yet, or the key in Redis is gone"
    return (
        f"the terms come to {tree.text}, published is {plain(published, scale)}: a change is on its way, what is known "
        "of the terms is not all (see below), or Redis was changed by hand: atp republish --item says it again"
    )


def doubts_of_engine(alive: dict[str, str]) -> list[str]:
    """Say why what is published may be old, as the engine tells of itself."""
    alive = alive_in(alive)
    if not alive:
        return ["no engine runs (engine:alive is absent): what is published may be old"]
    found = []
    if alive.get("ready") != "1":
        found.append("the engine is not ready: it has not caught up since it started")
    behind_ms = int(alive.get("behind_ms", "0"))
    if behind_ms > BEHIND_MS:
        found.append(f"the engine is {behind_ms / 1000:.1f} s behind its inputs: newer events are not in this number")
    return found
