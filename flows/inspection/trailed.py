"""Explains numbers by the trail: what stood at a moment, and what moved a number between two."""

from __future__ import annotations

import time
from dataclasses import dataclass

from flows.errors import PlainError
from flows.inspection.doubtful import reads_at_most
from flows.inspection.explaining import Explanation, doubts_of_engine, published_in, why_not
from flows.inspection.known_item import lines_in
from flows.inspection.lookup import hashes
from flows.inspection.replayed import Moved, Replayed
from flows.inspection.trail import (
    BACK_S,
    FORCE_BYTES,
    FORCE_RECORDS,
    NOW_BYTES_MAX,
    NOW_RECORDS_MAX,
    ON_ITS_WAY_S,
    Group,
    TrailEnds,
    TrailReader,
    as_far_as_read,
    standing_at,
    with_older,
)
from operators.evaluate import Policies, item_facts
from operators.explaining import explained, plain
from operators.rules.days import days_in
from operators.trail import HEAD
from schemas.settings import Settings
from schemas.times import day_text, time_text

#: How many of the last moves an explanation has.
MOVED_MAX = 5
#: How many groups of a span are told one by one.
MOVES_MAX = 10_000
#: How many events and changes of records a line names.
TOLD_MAX = 4


class NoTrail(PlainError):
    """The trail says nothing of what was asked; the text says why, and what would do."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What moved a number between two moments."""

    item: str
    channel: str
    since: str
    until: str
    scale: int
    #: the numbers then; None: nothing was published
    before: int | None
    after: int | None
    #: what moved the item, oldest first; their shares add up to the difference
    moves: tuple[Moved, ...]
    #: what else moved it is not known: before the first of them the trail ends
    doubts: tuple[str, ...]


def explain_by_trail(settings: Settings, item: str, channel: str, day: int, at: int | None) -> Explanation:
    """Explain a number by the item's trail; NoTrail where that does not tell it.

    For what stands now no more is read than NOW_RECORDS_MAX and NOW_BYTES_MAX leave beside what is doubted: where they
    do not reach back to a frame, Redis says the figures, and what moved the item is told as far as it was read.
    """
    names = [f"atp:{item}", f"position:{item}", f"claims:{item}", "engine:alive"]
    promises, position, claims, alive = hashes(settings, names, steady=3)
    head = int(position.get(HEAD, "0"))
    if not head:
        raise NoTrail(_no_head(settings, item))
    moment = time.time_ns() // 1000 if at is None else at
    with TrailReader(settings, item) as reader:
        try:
            if at is None:
                replayed, moves, reach = _now(settings, reader, item, channel, position)
            else:
                groups = standing_at(reader, reader.latest(head, at)[0])
                groups = with_older(reader, groups, 1)  # what moved it last is told, and no look-up more is made
                replayed, moves = _replayed(item, channel, groups, reader)
                reach = groups[0].at
            topology = reader.topology(replayed.topology[1])
        except TrailEnds as end:
            if at is None:
                raise NoTrail(f"what stands of {item} cannot be told by its trail: {end}") from None
            raise NoTrail(f"what stood of {item} at {time_text(moment)} cannot be told: {end}") from None
    today = days_in(settings.time_zone).day_of(moment)
    standing, dated = replayed.item()
    facts = item_facts(replayed.policy) if replayed.policy is not None else None
    scale, unit = (facts.scale, facts.base_uom) if facts is not None else (0, "")
    policies = Policies(topology, days_in(settings.time_zone))
    tree = None
    if channel in topology.channels and facts is not None:
        tree = explained(
            standing,
            channel,
            policies,
            today,
            dated,
            day,
            scale,
            replayed.told_by(lines_in(claims) if at is None else {}),
        )
    published = published_in(promises, channel, day) if at is None else replayed.published.get(channel)
    doubts = doubts_of_engine(alive) if at is None else []
    if at is not None and day:
        published = None if tree is None else tree.value
        doubts.append("what was published for a later day is not kept: the terms say what it was")
    agrees = tree is not None and tree.value == published
    if not agrees:
        reason = why_not(item, channel, topology, replayed.policy, True, tree, published, scale)
        doubts.insert(0, reason)
    for name, quantity in replayed.figures().items():
        if name.endswith(":on_hand") and quantity < 0:
            doubts.append(f"on hand at {name[:-8]} is negative: something went out that never came in")
    version = promises.get("_version")
    return Explanation(
        item,
        channel,
        day,
        day_text(today + day),
        scale,
        unit,
        published,
        tree,
        agrees,
        tuple(doubts),
        int(version) if version is not None and at is None else None,
        time_text(at) if at is not None else None,
        tuple(moves[::-1][:MOVED_MAX]),
        f"read back to {time_text(reach)}",
        records_read=reader.records_read,
        bytes_read=reader.bytes_read,
    )


def _now(
    settings: Settings, reader: TrailReader, item: str, channel: str, position: dict[str, str]
) -> tuple[Replayed, list[Moved], int]:
    """Give what stands, what moved it last, and how far back was read; within what an explanation may read."""
    records, size = reads_at_most(settings)
    records, size = NOW_RECORDS_MAX - records, NOW_BYTES_MAX - size
    reader.records_max, reader.bytes_max = records - FORCE_RECORDS, size - FORCE_BYTES
    head = reader.group(int(position[HEAD]), ON_ITS_WAY_S)
    groups, is_whole = as_far_as_read(reader, head, BACK_S)
    reader.records_max, reader.bytes_max = records, size
    in_force = groups[0]
    if not is_whole:
        if not head.records_at:
            raise TrailEnds("an earlier version of the engine wrote its newest entry")
        in_force = reader.group(head.records_at)
    assert in_force.records is not None
    if in_force.records[0] is None:
        raise NoTrail(f"the trail of {item} ends with its record")  # the rest is looked for elsewhere
    if not is_whole:
        replayed = Replayed(item, channel, reader.topology)
        moves = [replayed.take(group) for group in groups]
        replayed.stand(in_force.records, position)
        return replayed, moves[_known_from(groups) :], groups[0].at
    if len(groups) == 1:  # what moved it last is told, where no bound is reached
        groups = with_older(reader, groups, 1)
    replayed, moves = _replayed(item, channel, groups, reader)
    return replayed, moves, groups[0].at


def _known_from(groups: list[Group]) -> int:
    """Give from which on all that groups moved, oldest first, stands in those before as well: so by how much."""
    known: set[str] = set()
    first = 0
    for number, group in enumerate(groups):
        moved = {*(group.fields or ()), *group.changes}
        if group.fields is None or not moved <= known:
            first = number + 1
        known |= moved
    return first


def difference(settings: Settings, item: str, channel: str, since: int, until: int) -> Difference:
    """Say what moved a number between two moments (UTC microseconds); NoTrail where that is not known.

    ValueError where the second is not later.
    """
    if until <= since:
        raise ValueError(f"to: expected a moment after {time_text(since)}, got {time_text(until)}")
    [position] = hashes(settings, [f"position:{item}"])
    head = int(position.get(HEAD, "0"))
    if not head:
        raise NoTrail(_no_head(settings, item))
    doubts: list[str] = []
    with TrailReader(settings, item) as reader:
        try:
            last, _ = reader.latest(head, until)
        except TrailEnds as end:
            raise NoTrail(f"what stood of {item} at {time_text(until)} cannot be told: {end}") from None
        groups = _back_to(reader, last, since, doubts)
        replayed, moves = _replayed(item, channel, groups, reader)
    between = [move for group, move in zip(groups[-len(moves) :], moves, strict=False) if group.at > since]
    facts = item_facts(replayed.policy) if replayed.policy is not None else None
    before = between[0].before if between else replayed.published.get(channel)
    return Difference(
        item,
        channel,
        time_text(since),
        time_text(until),
        facts.scale if facts is not None else 0,
        before,
        replayed.published.get(channel),
        tuple(move for move in between if move.share or move.touches or move.policy or move.figures),
        tuple(doubts),
    )


def _back_to(reader: TrailReader, last: Group, since: int, doubts: list[str]) -> list[Group]:
    """Give the groups from a frame at or before a moment to the last one, oldest first; as far as the trail reaches."""
    groups: list[Group] = []
    framed = 0
    try:
        for group in reader.back(last):
            groups.append(group)
            if group.records is not None:
                framed = len(groups)
                if group.at <= since:
                    break
            if len(groups) >= MOVES_MAX:
                doubts.append(f"more than {MOVES_MAX} groups of events lie between: what was first is left out")
                break
    except TrailEnds as end:
        doubts.append(f"the trail reaches back no further than {time_text(groups[-1].at)}: {end}")
    if not framed:
        raise NoTrail(f"what stood before {time_text(groups[-1].at)} cannot be told: the trail has no frame before")
    if groups[framed - 1].at > since and not doubts:
        doubts.append(f"nothing is known of before {time_text(groups[framed - 1].at)}: the trail begins there")
    return groups[framed - 1 :: -1]


def _replayed(item: str, channel: str, groups: list[Group], reader: TrailReader) -> tuple[Replayed, list[Moved]]:
    """Give what stands after groups that begin with a frame, and what each moved: of the oldest it may not be known."""
    replayed = Replayed(item, channel, reader.topology)
    moves = [replayed.take(group) for group in groups]
    return replayed, moves[1:] if groups[0].chain[0] else moves


def _no_head(settings: Settings, item: str) -> str:
    if not settings.trail.enabled:
        return (
            f"what touched {item} is not written down: set trail.enabled, make the topic (atp topics create) and start "
            "the engine again; from then on numbers of the last day can be explained"
        )
    return f"nothing touched {item} since trail.enabled was set, or nothing is published of it"


def moved_line(move: Moved, scale: int) -> str:
    """Give what moved an item as one line."""
    numbers = f"{'-' if move.before is None else plain(move.before, scale)} -> "
    numbers += "-" if move.after is None else plain(move.after, scale)
    figures = ", ".join(f"{name} {'+' if by > 0 else ''}{plain(by, scale)}" for name, by in move.figures.items())
    told = [changed.text for changed in move.policy] + [_touch_text(touch) for touch in move.touches]
    who = "; ".join(told[:TOLD_MAX]) or move.cause
    more = f" and {len(told) - TOLD_MAX} more" if len(told) > TOLD_MAX else ""
    return f"{move.at}  {numbers}  {who}{more}" + (f"  [{figures}]" if figures else "")


def _touch_text(touch: dict[str, object]) -> str:
    where = f"{touch['topic']}/{touch['partition']}@{touch['offset']}"
    outcome = "" if touch["outcome"] == "applied" else f" ({touch['outcome']})"
    who = " ".join(str(touch[name]) for name in ("event_id", "key", "source") if name in touch)
    return f"{touch['type']}{outcome} {who + ' ' if who else ''}{where}"
