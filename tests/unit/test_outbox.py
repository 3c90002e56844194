"""Decides whether the read model gets the newest numbers, the most urgent first, and none that came to nothing."""

from __future__ import annotations

import pytest

from operators.outbox import ONLY_FIGURES, Outbox, is_moot, merge, merge_channels, rank, size
from operators.rules.lanes import BULK, CRITICAL, HIGH, NORMAL
from schemas.messages import ChannelUpdate, ItemUpdate, replace

Days = tuple[int, ...] | None


def change(
    atp: int,
    previous: int | None,
    lane: int = NORMAL,
    channel: str = "web",
    by_day: Days = None,
    previous_by_day: Days = None,
    forced: bool = False,
    removed: bool = False,
    cause: str = "stock_received",
    threshold: int = 0,
) -> ChannelUpdate:
    return ChannelUpdate(channel, atp, previous, by_day, lane, cause, removed, None, previous_by_day, threshold, forced)


def update(item: str, *changes: ChannelUpdate, as_of: int = 0, **fields: int | None) -> ItemUpdate:
    places = '"DC1":{"on_hand":1}' if fields else None
    return ItemUpdate(item, as_of, 0, -1, "", list(changes), dict(fields), places)


def items(outbox: Outbox, fields_max: int = 10_000) -> list[str]:
    return [taken.item for _, taken in outbox.slice(fields_max)[0]]


# One item


def test_what_takes_the_place_of_all_keeps_a_number_that_came_back() -> None:
    whole = replace(update("A", change(5, 9), change(1, 1, channel="edi", forced=True)), is_whole=True)
    merged = merge(whole, update("A", change(9, 5)))
    assert merged.is_whole
    assert {one.channel: (one.atp, one.forced) for one in merged.channels} == {"web": (9, True), "edi": (1, True)}
    assert [one.channel for one in merge(update("A", change(5, 9)), update("A", change(9, 5))).channels] == []


# One item and channel


def test_of_two_waiting_numbers_the_newer_leaves_against_what_was_before_both() -> None:
    old = change(5, 9, HIGH, by_day=(5, 5), previous_by_day=(9, 9), cause="old", threshold=1)
    new = change(7, 5, NORMAL, by_day=(7, 8), previous_by_day=(5, 5), cause="new", threshold=3)
    merged = merge_channels(old, new)
    assert (merged.atp, merged.previous, merged.by_day, merged.previous_by_day) == (7, 9, (7, 8), (9, 9))
    assert (merged.cause, merged.low_stock_threshold, merged.channel) == ("new", 3, "web")


@pytest.mark.parametrize(("old", "new"), [(CRITICAL, BULK), (BULK, CRITICAL), (CRITICAL, CRITICAL)])
def test_it_leaves_in_the_most_urgent_of_their_lanes(old: int, new: int) -> None:
    assert merge_channels(change(5, 9, old), change(7, 5, new)).lane == CRITICAL


def test_the_breakdown_is_the_newer_ones() -> None:
    old, new = change(5, 9), change(7, 5)
    old.breakdown, new.breakdown = b"old", b"new"
    assert merge_channels(old, new).breakdown == b"new"


def test_what_must_be_written_stays_so_when_it_is_merged() -> None:
    assert merge_channels(change(5, 9, forced=True), change(7, 5)).forced
    assert merge_channels(change(5, 9), change(7, 5, forced=True)).forced
    assert not merge_channels(change(5, 9), change(7, 5)).forced


def test_unlisted_after_a_change_is_unlisted_against_what_was_before_both() -> None:
    merged = merge_channels(change(5, 9, HIGH), change(0, 5, CRITICAL, removed=True))
    assert (merged.removed, merged.atp, merged.previous, merged.lane) == (True, 0, 9, CRITICAL)


def test_listed_again_it_starts_anew_with_no_previous() -> None:
    merged = merge_channels(change(0, 5, CRITICAL, removed=True), change(8, None, BULK))
    assert (merged.removed, merged.atp, merged.previous, merged.lane) == (False, 8, None, CRITICAL)


def test_unlisted_listed_and_unlisted_again_what_is_published_still_goes() -> None:
    outbox = Outbox()
    for said in (change(0, 5, CRITICAL, removed=True), change(8, None, BULK), change(0, 8, CRITICAL, removed=True)):
        outbox.add(1, [update("SHOVEL", said)], None)
    ((_, left),) = outbox.slice(100)[0]
    assert [(said.removed, said.atp) for said in left.channels] == [(True, 0)]


def test_listed_and_unlisted_before_anybody_saw_it_is_moot() -> None:
    outbox = Outbox()
    for said in (change(8, None, BULK), change(0, 8, CRITICAL, removed=True)):
        outbox.add(1, [update("SHOVEL", said)], None)
    ((_, left),) = outbox.slice(100)[0]
    assert left.channels == []


def test_listed_again_without_a_horizon_the_days_published_before_are_known_to_be_gone() -> None:
    unlisted = change(0, 5, CRITICAL, removed=True, previous_by_day=(5, 6))
    assert merge_channels(unlisted, change(8, None, BULK)).previous_by_day == (5, 6)


@pytest.mark.parametrize(
    ("same", "expected"),
    [
        (change(5, 5), True),
        (change(5, 6), False),
        (change(0, None), False),
        (change(5, 5, forced=True), False),
        (change(0, 0, removed=True), False),
        (change(5, 5, by_day=(5, 6), previous_by_day=(5, 6)), True),
        (change(5, 5, by_day=(5, 7), previous_by_day=(5, 6)), False),
        (change(5, 5, by_day=None, previous_by_day=(5, 6)), False),
    ],
)
def test_a_number_that_came_back_to_what_is_published_is_moot(same: ChannelUpdate, expected: bool) -> None:
    assert is_moot(same) is expected


# One item


def test_merging_keeps_the_newest_of_each_channel_and_of_each_figure() -> None:
    old = update("SHOVEL", change(5, 9, HIGH), change(3, 4, HIGH, "shop"), as_of=1, a=1, b=2)
    new = update("SHOVEL", change(6, 5), change(2, None, BULK, "edi"), as_of=2, b=3, c=None)
    new.unlocated, new.is_gone, new.correlation_id, new.day0, new.scale = 4, True, "c-9", 77, 2
    merged = merge(old, new)
    numbers = [(change.channel, change.atp, change.previous) for change in merged.channels]
    assert numbers == [("web", 6, 9), ("shop", 3, 4), ("edi", 2, None)]
    assert merged.fields == {"a": 1, "b": 3, "c": None}
    assert (merged.as_of, merged.unlocated, merged.is_gone, merged.correlation_id) == (2, 4, True, "c-9")
    assert (merged.item, merged.day0, merged.scale) == ("SHOVEL", 77, 2)


def test_a_number_that_came_back_is_not_written_and_its_figures_are() -> None:
    merged = merge(update("SHOVEL", change(5, 9), a=1), update("SHOVEL", change(9, 5), a=2))
    assert (merged.channels, merged.fields) == ([], {"a": 2})


def test_the_whole_position_is_the_newest_known() -> None:
    old, new = update("SHOVEL", a=1), update("SHOVEL", change(1, 2))
    assert merge(old, new).places == old.places
    newer = update("SHOVEL", a=2)
    newer.places = '"DC1":{"on_hand":2}'
    assert merge(old, newer).places == newer.places


def test_an_items_rank_is_its_most_urgent_lane_and_figures_alone_come_last() -> None:
    assert rank(update("SHOVEL", change(1, 0, BULK), change(1, 0, HIGH, "shop"))) == HIGH
    assert rank(update("SHOVEL", a=1)) == ONLY_FIGURES > BULK


def test_size_is_the_hash_fields_it_takes() -> None:
    meta = len(("_version", "_published_at", "_as_of")), len(("_version", "_as_of"))
    assert size(update("SHOVEL", change(1, 0), change(1, 0, BULK, "shop"), a=1, b=2, c=3)) == 2 + meta[0] + 3 + meta[1]
    assert size(update("SHOVEL", change(1, 0, by_day=(1, 2)))) == 2 + meta[0]
    assert size(update("SHOVEL", a=1)) == 1 + meta[1]


# What waits


def test_the_most_urgent_leave_first_and_within_a_lane_the_oldest() -> None:
    outbox = Outbox()
    ranked = (("F", None), ("B", BULK), ("N", NORMAL), ("H1", HIGH), ("C", CRITICAL), ("H2", HIGH))
    for item, lane in ranked:
        outbox.add(1, [update(item, change(1, 2, lane)) if lane is not None else update(item, a=1)], None)
    assert (len(outbox), bool(outbox)) == (6, True)
    assert items(outbox) == ["C", "H1", "H2", "N", "B", "F"]
    assert (len(outbox), bool(outbox), items(outbox)) == (0, False, [])


def test_a_slice_takes_as_many_items_as_fit_and_never_none() -> None:
    outbox = Outbox()
    one = size(update("A", change(1, 2)))
    for item in "ABCDE":
        outbox.add(1, [update(item, change(1, 2))], None)
    assert items(outbox, one - 1) == ["A"]
    assert items(outbox, 2 * one - 1) == ["B"]
    assert items(outbox, 2 * one) == ["C", "D"]
    assert items(outbox, 2 * one) == ["E"]


def test_a_slice_that_is_full_leaves_the_less_urgent_waiting() -> None:
    outbox = Outbox()
    outbox.add(1, [update("BIG", change(1, 2, NORMAL), **{f"f{n}": n for n in range(50)})], None)
    outbox.add(1, [update("SMALL", change(1, 2, HIGH))], None)
    assert items(outbox, 20) == ["SMALL"]
    assert items(outbox, 20) == ["BIG"]


def test_an_item_that_became_more_urgent_moves_up_and_leaves_once() -> None:
    outbox = Outbox()
    outbox.add(1, [update("A", change(5, 4, NORMAL)), update("B", change(5, 4, NORMAL))], None)
    outbox.add(1, [update("B", change(0, 5, CRITICAL))], None)
    taken, _ = outbox.slice(10_000)
    assert [(shard, said.item, said.channels[0].atp, said.channels[0].previous) for shard, said in taken] == [
        (1, "B", 0, 4),
        (1, "A", 5, 4),
    ]
    assert items(outbox) == []


def test_an_item_that_left_and_came_back_has_the_place_of_its_new_lane() -> None:
    outbox = Outbox()
    outbox.add(1, [update("A", change(5, 4, BULK))], None)
    outbox.add(1, [update("A", change(0, 5, CRITICAL))], None)
    assert items(outbox) == ["A"]
    outbox.add(1, [update("A", change(1, 0, NORMAL)), update("B", change(1, 2, HIGH))], None)
    assert items(outbox) == ["B", "A"]


def test_an_item_whose_numbers_came_back_still_brings_its_figures() -> None:
    outbox = Outbox()
    outbox.add(1, [update("A", change(5, 9, HIGH), a=1)], None)
    outbox.add(1, [update("A", change(9, 5, HIGH), a=2)], None)
    ((_, said),) = outbox.slice(100)[0]
    assert (said.channels, said.fields) == ([], {"a": 2})


# The offsets


def test_what_was_reached_leaves_with_the_first_slice() -> None:
    outbox = Outbox()
    outbox.add(1, [update("A", change(1, 2)), update("B", change(1, 2))], {"in/0": 5})
    outbox.add(2, [update("C", change(1, 2))], {"in/0": 4})
    taken, reached = outbox.slice(1)
    assert (len(taken), reached) == (1, {1: {"in/0": 5}, 2: {"in/0": 4}})
    assert outbox.slice(10_000)[1] == {}


def test_what_was_reached_leaves_also_where_no_number_changed() -> None:
    outbox = Outbox()
    outbox.add(1, [], {"in/0": 5})
    assert not outbox
    assert outbox.slice(100) == ([], {1: {"in/0": 5}})


def test_of_one_shard_the_newest_offsets_stand_and_no_news_changes_nothing() -> None:
    outbox = Outbox()
    outbox.add(1, [], {"in/0": 5})
    outbox.add(1, [], {"in/0": 6, "in/1": 1})
    outbox.add(1, [], None)
    assert outbox.slice(100)[1] == {1: {"in/0": 6, "in/1": 1}}


def test_that_an_item_had_its_first_event_is_not_lost_while_it_waits() -> None:
    first = replace(update("A", **{"*:soft_allocated": 0}), is_first=True)
    assert merge(first, update("A", change(5, 9))).is_first
    assert merge(update("A", change(5, 9)), first).is_first
    assert not merge(update("A", change(5, 9)), update("A", change(7, 5))).is_first
    assert size(first) > size(update("A", **{"*:soft_allocated": 0}))
