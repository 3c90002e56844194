"""Decides whether a resumed shard stays silent until its numbers are no older than the published ones (G3)."""

from __future__ import annotations

from typing import Any

import pytest

from operators.holdback import HeldShard, restate
from operators.rules.lanes import BULK, CRITICAL, HIGH, NORMAL
from schemas.messages import ChannelUpdate, ItemUpdate

Days = tuple[int, ...] | None


def change(atp: int, previous: int | None = 0, channel: str = "web", **fields: Any) -> ChannelUpdate:
    return ChannelUpdate(channel, atp, previous, fields.pop("by_day", None), NORMAL, "stock_received", **fields)


def update(item: str, *changes: ChannelUpdate, **fields: int | None) -> ItemUpdate:
    return ItemUpdate(item, 0, 0, -1, "", list(changes), dict(fields), None)


def passed(**offsets: int) -> Any:
    """Says of an input partition whether it was read that far."""
    return lambda part, offset: offsets.get(part, -1) >= offset


NOWHERE = passed()


# How long it is held


@pytest.mark.parametrize(("reached", "is_through"), [(9, False), (10, True), (11, True)])
def test_a_shard_is_held_until_its_state_is_as_far_as_what_is_published(reached: int, is_through: bool) -> None:
    assert HeldShard({"orders": 10}, {"orders": reached}).is_through(NOWHERE) is is_through
    held = HeldShard({"orders": 10}, {"orders": 2})
    held.note({"orders": reached})
    assert held.is_through(NOWHERE) is is_through


def test_every_partition_must_be_as_far() -> None:
    held = HeldShard({"orders": 10, "supply": 5}, {"orders": 10, "warehouse": 99})
    assert not held.is_through(NOWHERE)
    held.note({"supply": 4, "warehouse": 100})
    assert not held.is_through(NOWHERE)
    held.note({"supply": 5})
    assert held.is_through(NOWHERE)


def test_a_partition_that_never_reached_the_shard_is_waited_for_too() -> None:
    assert not HeldShard({"orders": 0}, {}).is_through(NOWHERE)
    assert HeldShard({}, {}).is_through(NOWHERE)


@pytest.mark.parametrize(("read", "is_through"), [(9, False), (10, True), (11, True)])
def test_an_input_that_passed_there_needs_no_record_for_this_shard(read: int, is_through: bool) -> None:
    assert HeldShard({"orders": 10}, {}).is_through(passed(orders=read)) is is_through


def test_one_partition_may_be_reached_and_another_passed() -> None:
    held = HeldShard({"orders": 10, "supply": 5}, {})
    assert not held.is_through(passed(supply=5))
    held.note({"orders": 10})
    assert held.is_through(passed(supply=5))


# What is held


def test_what_is_held_is_merged_by_item() -> None:
    held = HeldShard({"orders": 10}, {}, [update("A", change(5, 3), a=1)])
    held.add([update("A", change(7, 5), b=2), update("B", change(1))])
    assert set(held.updates) == {"A", "B"}
    assert held.updates["A"].fields == {"a": 1, "b": 2}
    assert [(said.atp, said.previous) for said in held.updates["A"].channels] == [(7, 3)]


def test_a_number_that_came_back_to_its_old_self_is_kept_for_what_is_published_may_be_another() -> None:
    held = HeldShard({"orders": 10}, {})
    held.add([update("A", change(5, 3))])
    held.add([update("A", change(3, 5))])
    assert [(said.atp, said.forced) for said in held.updates["A"].channels] == [(3, True)]


def test_holding_back_changes_nothing_of_what_was_said() -> None:
    said = update("A", change(5, 3))
    HeldShard({"orders": 10}, {}, [said])
    assert not said.channels[0].forced


# What is said in the end


def test_what_readers_have_already_is_not_said_again() -> None:
    assert restate(change(5, 3), (5, None)) is None
    assert restate(change(5, 3, by_day=(5, 6)), (5, (5, 6))) is None
    assert restate(change(5, 3, forced=True), (5, None)) is None


@pytest.mark.parametrize(
    ("before", "lane"),
    [
        ((9, None), HIGH),
        ((3, None), NORMAL),
        ((0, None), HIGH),
        (None, NORMAL),
        ((5, (5, 6)), NORMAL),
    ],
)
def test_a_number_is_judged_against_what_readers_really_have(before: tuple[int, Days] | None, lane: int) -> None:
    said = restate(change(5, 1, forced=True), before)
    assert said is not None
    expected = before if before is not None else (None, None)
    assert (said.atp, said.previous, said.previous_by_day) == (5, *expected)
    assert (said.lane, said.forced) == (lane, False)


def test_the_threshold_and_the_cause_still_count() -> None:
    low = restate(change(5, 9, low_stock_threshold=5), (6, None))
    assert low is not None and low.lane == CRITICAL
    unhurried = change(5, 9)
    unhurried.cause = "day_turn"
    risen = restate(unhurried, (4, None))
    assert risen is not None and risen.lane == BULK


def test_days_alone_are_a_change() -> None:
    said = restate(change(5, 5, by_day=(5, 6)), (5, (5, 7)))
    assert said is not None
    assert (said.lane, said.previous_by_day) == (HIGH, (5, 7))


@pytest.mark.parametrize(("before", "lane"), [((5, None), CRITICAL), ((0, (0, 3)), NORMAL)])
def test_an_item_unlisted_meanwhile_is_taken_from_those_who_have_it(before: tuple[int, Days], lane: int) -> None:
    said = restate(change(0, 9, removed=True), before)
    assert said is not None
    assert (said.removed, said.lane, said.previous, said.previous_by_day) == (True, lane, *before)


def test_an_item_unlisted_that_nobody_has_is_not_mentioned() -> None:
    assert restate(change(0, 9, removed=True), None) is None
