"""The trail's chain: each group has a moment of its own, and any of ten thousand is a few steps away."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.inspection.trail import Group, TrailEnds, TrailReader, group_of
from operators.evaluate import Policies
from operators.rules.days import days_in
from operators.rules.topology import Topology
from operators.trail import FORMAT, FRAME_EVERY, HEAD, RECORD_BYTES, Trail
from schemas.messages import ChannelUpdate, ItemUpdate
from schemas.state import Item, Place
from schemas.units import EventType, Origin, Unit
from tests.floor import HALVES, HOUR, NOON, Floor, knows, order, topology, unit

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
    for number in range(1_000):
        item = Item(f"RETRO-CLOCK-{number}")
        trail.say(item, None, POLICIES, 5_000_000)
    records = trail.said(5_000_000)
    assert sum(len(msgspec.msgpack.decode(said.value)[3]) for said in records) == 1_000
    assert all(RECORD_BYTES <= len(said.value) < RECORD_BYTES + 100 for said in records[:-1])
    assert len(records[-1].value) < RECORD_BYTES and len(records) > 2
    assert all(said.at_ms == msgspec.msgpack.decode(said.value)[2] // 1000 for said in records)


def test_a_group_names_the_newest_one_that_has_records() -> None:
    groups, _ = told(100, lambda number: 1_000_000 + 1_000 * number)
    newest = 0
    for group in groups:
        newest = group.at if group.records is not None else newest
        assert group.records_at == newest
    assert len({group.records_at for group in groups}) == 6


TEXTS = st.one_of(
    st.just(""), st.text(max_size=9), st.text("AZ09._-/", min_size=1, max_size=64), st.just("\u20ac" * 800)
)
NUMBERS = st.one_of(st.integers(-(1 << 60), 1 << 60), st.integers(-300, 300))
FIGURES = ("on_hand", "quarantined", "soft_allocated", "hard_reserved", "in_transit", "expected")


@settings(deadline=None)  # a busy machine is no error
@given(
    st.tuples(TEXTS, NUMBERS, NUMBERS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, st.booleans(), NUMBERS, TEXTS),
    st.tuples(TEXTS, st.one_of(st.none(), st.binary(max_size=300)), st.dictionaries(TEXTS, st.binary(max_size=300))),
    st.dictionaries(TEXTS, st.tuples(*[NUMBERS] * 6), max_size=20),
    st.tuples(st.dictionaries(TEXTS, NUMBERS, max_size=20), NUMBERS, st.dictionaries(TEXTS, st.tuples(NUMBERS))),
    st.tuples(st.dictionaries(TEXTS, st.one_of(st.none(), NUMBERS), max_size=20), st.lists(st.tuples(TEXTS, NUMBERS))),
    st.integers(0, 20),
)
def test_a_record_is_written_as_messagepack_has_it(
    of_unit: Any, of_item: Any, places: Any, claims: Any, moved: Any, before: int
) -> None:
    topic, partition, offset, event_id, source, line, order, location, is_reversal, quantity, outcome = of_unit
    code, policy, overrides = of_item
    unlocated, shown, published = claims
    fields, changes = moved
    trail, item = Trail(3, 77), Item(code)
    item.policy, item.overrides, item.unlocated, item.unlocated_shown = policy, overrides, unlocated, shown
    item.published = {channel: (atp, None) for channel, (atp,) in published.items()}
    for place, figures in places.items():
        item.places[place] = Place()
        for name, figure in zip(FIGURES, figures, strict=True):
            setattr(item.places[place], name, figure)
    origin = Origin(topic, partition, offset, 0, None, None)
    unit = Unit(EventType.PICK_CONFIRMED, code, source, event_id, line, 0, 0, origin, location=location)
    unit.order_id, unit.reversal = order, is_reversal
    whole = [*places.values()]
    framed = {
        place: figures[: max((n + 1 for n in range(6) if figures[n]), default=0)] for place, figures in places.items()
    }
    at, levels, records_at = 0, [0, 0, 0, 0], 0
    for number in range(1, before + 3):
        trail.note(unit, quantity, outcome)
        update = ItemUpdate(code, 0, 0, -1, "", [], dict(fields), None, is_gone=policy is None)
        update.channels = [ChannelUpdate(channel, atp, None, None, 0, "", atp % 3 == 0) for channel, atp in changes]
        trail.say(item, update, POLICIES, 1_000_000 + number)
        [said] = trail.said(1_000_000 + number)
        decoded = msgspec.msgpack.decode(said.value)
        assert said.key == "3" and msgspec.msgpack.encode(decoded) == said.value
        has_records = (number - 1) % (FRAME_EVERY + len(whole) + 1) == 0
        has_places = has_records or policy is None
        records = [policy, overrides, 0, 0, {channel: atp for channel, (atp,) in published.items()}]
        frame = [records if has_records else None, framed if has_places else None, unlocated, {}, shown]
        chain = [at, *levels] if number % 8 == 0 else [at]
        at = decoded[3][0][1]
        records_at = at if has_records else records_at
        levels = [at if number % 8 ** (level + 1) == 0 else known for level, known in enumerate(levels)]
        touch = [topic, partition, offset, event_id, source, line or order, 9, location]
        touch += [-quantity if is_reversal else quantity, outcome]
        group = [code, at, number, chain, "", [touch], None if has_places else fields]
        group += [
            [[c, None if atp % 3 == 0 else atp] for c, atp in changes],
            frame if has_places or unlocated else None,
            at - records_at,
        ]
        assert encode(decoded) == encode([FORMAT, 77, decoded[2], [group]])
        assert update.fields.get(HEAD) == (None if policy is None else at)


encode = msgspec.msgpack.encode


def test_what_was_only_repeated_says_the_items_scale_and_is_in_the_state_too() -> None:
    floor = Floor(reference_grace=0, has_trail=True)
    floor.takes(topology(), knows(facts=HALVES))
    first = unit(quantity=5, event_id="once")
    floor.hears(first)
    floor.shard.snapshot()
    outcome = floor.hears(first)
    [update] = outcome.updates
    assert (update.channels, list(update.fields), update.scale) == ([], [HEAD], 1)
    floor.crashes()
    item = floor.shard.find("SHOVEL")
    assert item is not None and item.trail is not None
    assert (item.trail.number, item.trail.at) == (3, update.fields[HEAD])


def test_claims_from_no_location_do_not_have_all_places_written_again() -> None:
    floor = Floor(reference_grace=0, has_trail=True)
    floor.takes(topology(), knows())
    floor.hears(unit(quantity=5), order(quantity=2, location=""))
    outcome = floor.hears(unit(quantity=5))
    [group] = [group_of(values, 0) for said in outcome.reconciled for values in msgspec.msgpack.decode(said.value)[3]]
    assert group.frame == (None, None, {"web": 2}, {}, 2) and group.fields == {"DC1:on_hand": 10, "DC1:available": 10}


def test_each_day_has_a_frame_of_each_item_however_seldom_it_is_touched() -> None:
    floor = Floor(reference_grace=0, has_trail=True)
    floor.takes(topology(), knows(), knows("ROPE"))
    floor.hears(unit(quantity=5), unit(quantity=7, item="ROPE"))
    floor.waits(NOON + 12 * HOUR - 1)
    for day in range(2):
        if day == 1:
            floor.crashes()
        floor.sent.clear()
        outcomes = floor.waits(NOON + (12 + 24 * day) * HOUR)
        bodies = [msgspec.msgpack.decode(said.value)[3] for outcome in outcomes for said in outcome.reconciled]
        assert isinstance(bodies[0], bytes), "what is in force is written down again, before the items"
        frames = {values[0]: group_of(values, 0) for body in bodies[1:] for values in body}
        assert frames.keys() == {"ROPE", "SHOVEL"}
        for group in frames.values():
            assert group.cause == "day_turn" and group.records is not None and group.frame is not None
            assert group.frame[1], "its figures"
        assert {update.item: update.fields[HEAD] for update in floor.sent} == {
            item: group.at for item, group in frames.items()
        }
        assert not any(update.channels for update in floor.sent)
        assert not [said for outcome in floor.waits(floor.now + 11 * HOUR) for said in outcome.reconciled]
