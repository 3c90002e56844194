"""The trail's chain: each group has a moment of its own, and any of ten thousand is a few steps away."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from flows.inspection.trail import Group, TrailEnds, TrailReader, group_of
from operators.evaluate import Policies
from operators.rules.days import days_in
from operators.rules.topology import Topology
from operators.trail import GROUPS_MAX, HEAD, Trail
from schemas.state import Item
from schemas.units import Origin, Unit

POLICIES = Policies(Topology(1, {}, {}), days_in("UTC"))


class Remembered(TrailReader):
    """A reader of groups that are at hand, which counts how many it asks for."""

    def __init__(self, groups: list[Group]) -> None:
        self.by_moment = {group.at: group for group in groups}
        self.asked = 0

    def group(self, at: int, patience_s: float = 0.0) -> Group:
        self.asked += 1
        if at not in self.by_moment:
            raise TrailEnds("not there")
        return self.by_moment[at]


def told(count: int, clock: Any) -> tuple[list[Group], int]:
    """Have a trail of so many groups written; give them, and where it begins."""
    trail, item = Trail(0, 1), Item("RETRO-CLOCK")
    item.policy = msgspec.msgpack.encode({})
    head = 0
    groups = []
    for number in range(count):
        origin = Origin("inventory.warehouse", 0, number, 0, None, None)
        trail.note(Unit(1, item.code, "wms", f"e{number}", "", 0, 0, origin, location="EAST"), 1, "")
        head = trail.say(item, None, POLICIES, clock(number)).fields[HEAD] or 0
        for said in trail.said(clock(number)):
            _, run, _, body = msgspec.msgpack.decode(said.value)
            groups += [group_of(values, run) for values in body]
    return groups, head


def test_a_clock_that_stands_still_or_falls_gives_each_group_a_moment_of_its_own() -> None:
    groups, head = told(50, lambda number: 1_000_000 - number)
    moments = [group.at for group in groups]
    assert moments == sorted(set(moments)) and head == moments[-1]
    assert [group.chain[0] for group in groups] == [0, *moments[:-1]]


def test_any_moment_of_ten_thousand_groups_is_a_few_steps_away() -> None:
    groups, head = told(10_000, lambda number: 1_000_000 + 1_000 * number)
    for wanted in (0, 1, 7, 8, 4_095, 4_096, 4_097, 5_555, 9_998, 9_999):
        reader = Remembered(groups)
        found, newer = reader.latest(head, groups[wanted].at + 10)
        assert found.number == wanted + 1 and all(group.at > found.at for group in newer)
        assert reader.asked <= 64, reader.asked
    back = list(Remembered(groups).back(groups[-1]))
    assert [group.number for group in back] == list(range(10_000, 0, -1))


def test_frames_come_often_enough_and_records_hold_no_more_than_they_may() -> None:
    groups, _ = told(100, lambda number: number + 1)
    framed = [number for number, group in enumerate(groups) if group.records is not None]
    assert framed[0] == 0 and all(later - earlier <= 17 for earlier, later in itertools.pairwise(framed))
    trail = Trail(0, 1)
    for number in range(GROUPS_MAX + 1):
        item = Item(f"RETRO-CLOCK-{number}")
        trail.say(item, None, POLICIES, 1)
    assert [len(msgspec.msgpack.decode(said.value)[3]) for said in trail.said(1)] == [GROUPS_MAX, 1]
