"""Decides whether updates leave for Kafka in the order of their harm, merged, and within each channel's budget."""

from __future__ import annotations

import random

import pytest

from operators.lane_queue import BUDGET_STEP, BUDGET_WINDOW, SECOND, Budget, LaneQueue, LaneTimes
from operators.rules.lanes import BULK, CRITICAL, HIGH, LANES, NORMAL
from schemas.messages import ChannelUpdate, Outgoing

MS = 1_000
NOON = 43_200 * SECOND
TIMES = LaneTimes(linger_normal=50 * MS, linger_bulk=SECOND, max_wait=5 * SECOND)


def outgoing(
    item: str, lane: int, since: int = NOON, atp: int = 5, previous: int | None = 9, channel: str = "web"
) -> Outgoing:
    change = ChannelUpdate(channel, atp, previous, None, lane, "stock_received")
    return Outgoing(0, item, change, since, "", since, since, since)


@pytest.fixture
def queue() -> LaneQueue:
    return LaneQueue(TIMES)


def add(
    queue: LaneQueue,
    item: str,
    lane: int,
    now: int = NOON,
    atp: int = 5,
    previous: int | None = 9,
    channel: str = "web",
) -> None:
    queue.add(outgoing(item, lane, now, atp, previous, channel), now)


def leaving(queue: LaneQueue, now: int = NOON, linger: bool = True) -> list[str]:
    return [update.item for update in queue.due(now, linger)]


# Lingers


def test_what_a_lane_may_wait_by_default() -> None:
    assert LaneTimes() == LaneTimes(50 * MS, SECOND, 5 * SECOND)


@pytest.mark.parametrize("lane", [CRITICAL, HIGH])
def test_critical_and_high_leave_at_once(queue: LaneQueue, lane: int) -> None:
    add(queue, "SHOVEL", lane)
    assert queue.next_due() == 0
    assert leaving(queue) == ["SHOVEL"]
    assert (len(queue), queue.next_due(), leaving(queue)) == (0, None, [])


@pytest.mark.parametrize(("lane", "linger"), [(NORMAL, 50 * MS), (BULK, SECOND)])
def test_normal_and_bulk_leave_when_their_linger_is_over(queue: LaneQueue, lane: int, linger: int) -> None:
    add(queue, "SHOVEL", lane)
    assert queue.next_due() == NOON + linger
    assert leaving(queue, NOON + linger - 1) == []
    assert leaving(queue, NOON + linger) == ["SHOVEL"]
    assert queue.next_due() is None


def test_next_due_is_the_earliest_of_both_lingers(queue: LaneQueue) -> None:
    add(queue, "A", BULK, NOON - SECOND + 10)
    add(queue, "B", NORMAL)
    assert queue.next_due() == NOON + 10
    add(queue, "C", NORMAL, NOON - 50 * MS)
    assert leaving(queue, NOON + 10) == ["A"], "what came later stands behind what came first"
    assert queue.next_due() == NOON + 50 * MS


def test_a_normal_update_does_not_wait_behind_a_bulk_one(queue: LaneQueue) -> None:
    add(queue, "B", BULK)
    add(queue, "N", NORMAL)
    assert leaving(queue, NOON + 50 * MS) == ["N"]


def test_unless_it_is_said_otherwise_what_may_linger_lingers(queue: LaneQueue) -> None:
    add(queue, "N", NORMAL)
    assert queue.due(NOON) == []


def test_an_urgent_update_does_not_take_the_lingering_with_it(queue: LaneQueue) -> None:
    add(queue, "B", BULK)
    add(queue, "H", HIGH)
    assert leaving(queue) == ["H"]
    assert (len(queue), queue.next_due()) == (1, NOON + SECOND)


def test_at_the_end_nothing_lingers(queue: LaneQueue) -> None:
    add(queue, "B", BULK)
    add(queue, "N", NORMAL)
    assert leaving(queue, NOON, linger=False) == ["N", "B"]


def test_what_leaves_together_leaves_by_lane_and_within_a_lane_as_it_came(queue: LaneQueue) -> None:
    for item, lane in (("B", BULK), ("N", NORMAL), ("H1", HIGH), ("C", CRITICAL), ("H2", HIGH)):
        add(queue, item, lane)
    assert leaving(queue, NOON + SECOND) == ["C", "H1", "H2", "N", "B"]


# Merging


def test_waiting_updates_of_one_item_and_channel_are_merged(queue: LaneQueue) -> None:
    add(queue, "SHOVEL", NORMAL, NOON, atp=10, previous=9)
    add(queue, "SHOVEL", NORMAL, NOON + 10 * MS, atp=12, previous=10)
    add(queue, "SHOVEL", NORMAL, NOON + 10 * MS, atp=3, previous=2, channel="shop")
    assert len(queue) == 2
    web, shop = queue.due(NOON + 60 * MS)
    assert (web.change.atp, web.change.previous, web.version, web.since) == (12, 9, NOON + 10 * MS, NOON)
    assert (shop.change.channel, shop.change.atp) == ("shop", 3)


def test_a_merged_update_waits_no_longer_than_the_first_would_have(queue: LaneQueue) -> None:
    for late in range(10):
        add(queue, "SHOVEL", NORMAL, NOON + late * 10 * MS, atp=10 + late, previous=9 + late)
        assert leaving(queue, NOON + late * 10 * MS) == ([] if late < 5 else ["SHOVEL"] if late == 5 else [])


def test_it_leaves_in_the_most_urgent_of_their_lanes(queue: LaneQueue) -> None:
    add(queue, "SHOVEL", BULK, atp=10, previous=9)
    add(queue, "SHOVEL", HIGH, atp=8, previous=10)
    (update,) = queue.due(NOON)
    assert (update.change.lane, update.change.atp, update.change.previous) == (HIGH, 8, 9)
    assert leaving(queue, NOON + 2 * SECOND) == [], "its place among the lingering is empty"


def test_a_less_urgent_change_does_not_hold_up_an_urgent_one(queue: LaneQueue) -> None:
    queue.limit({"web": 0.1})
    add(queue, "FIRST", HIGH)
    assert leaving(queue) == ["FIRST"]
    add(queue, "SHOVEL", HIGH, atp=8, previous=9)
    assert leaving(queue) == []
    add(queue, "SHOVEL", NORMAL, atp=9, previous=8)
    assert len(queue) == 0, "back to what Kafka has"
    add(queue, "SHOVEL", HIGH, atp=8, previous=9)
    add(queue, "SHOVEL", BULK, atp=10, previous=8)
    queue.limit({})
    assert [(update.change.lane, update.change.atp) for update in queue.due(NOON)] == [(HIGH, 10)]


def test_a_number_that_came_back_is_not_sent(queue: LaneQueue) -> None:
    add(queue, "SHOVEL", NORMAL, atp=10, previous=9)
    add(queue, "SHOVEL", HIGH, atp=9, previous=10)
    assert len(queue) == 0
    assert leaving(queue, NOON + SECOND) == []
    add(queue, "SHOVEL", HIGH, NOON + SECOND, atp=7, previous=9)
    assert leaving(queue, NOON + SECOND) == ["SHOVEL"]


# Budgets


def test_a_channel_without_a_budget_sends_what_it_has(queue: LaneQueue) -> None:
    queue.limit({"shop": 1.0})
    for number in range(1000):
        add(queue, f"I{number}", HIGH)
    assert len(queue.due(NOON)) == 1000


def test_a_budget_is_ten_times_the_rate_in_ten_seconds(queue: LaneQueue) -> None:
    queue.limit({"web": 2.0})
    for number in range(50):
        add(queue, f"I{number:02}", HIGH)
    assert leaving(queue) == [f"I{number:02}" for number in range(20)]
    assert queue.next_due() == NOON + BUDGET_STEP
    assert leaving(queue, NOON + BUDGET_WINDOW) == []
    assert len(leaving(queue, NOON + BUDGET_WINDOW + BUDGET_STEP)) == 20
    assert len(leaving(queue, NOON + 2 * (BUDGET_WINDOW + BUDGET_STEP))) == 10
    assert (len(queue), queue.next_due()) == (0, None)


def test_critical_leaves_at_once_and_is_charged_to_the_budget(queue: LaneQueue) -> None:
    queue.limit({"web": 1.0})
    for number in range(15):
        add(queue, f"C{number:02}", CRITICAL)
    assert len(leaving(queue)) == 15
    add(queue, "HIGH", HIGH)
    assert leaving(queue) == []
    add(queue, "CRITICAL", CRITICAL)
    assert leaving(queue) == ["CRITICAL"]
    assert leaving(queue, NOON + BUDGET_WINDOW) == []
    assert leaving(queue, NOON + BUDGET_WINDOW + BUDGET_STEP) == ["HIGH"]


@pytest.mark.parametrize(("spent", "leaves"), [(8, ["HIGH", "NEXT"]), (9, ["HIGH"]), (10, []), (11, [])])
def test_what_is_left_of_a_budget_is_spent_to_its_last(queue: LaneQueue, spent: int, leaves: list[str]) -> None:
    queue.limit({"web": 1.0})
    for number in range(spent):
        add(queue, f"C{number:02}", CRITICAL)
    queue.due(NOON)
    add(queue, "HIGH", HIGH)
    add(queue, "NEXT", HIGH)
    assert leaving(queue) == leaves


def test_higher_lanes_spend_a_budget_first(queue: LaneQueue) -> None:
    queue.limit({"web": 0.2})
    for item, lane in (("B", BULK), ("N", NORMAL), ("H", HIGH), ("C", CRITICAL)):
        add(queue, item, lane)
    assert leaving(queue, NOON + SECOND) == ["C", "H"]
    assert leaving(queue, NOON + SECOND + BUDGET_WINDOW + BUDGET_STEP) == ["N", "B"]


@pytest.mark.parametrize(
    ("waited", "goes_first"), [(5 * SECOND - 1, False), (5 * SECOND, False), (5 * SECOND + 1, True)]
)
def test_what_waited_longer_than_max_wait_goes_before_newer_ones_of_any_lane_but_critical(
    queue: LaneQueue, waited: int, goes_first: bool
) -> None:
    queue.limit({"web": 0.1})
    add(queue, "SPENDS", HIGH, NOON - BUDGET_WINDOW - BUDGET_STEP)
    queue.due(NOON - BUDGET_WINDOW - BUDGET_STEP)
    add(queue, "OLD", BULK, NOON - waited)
    add(queue, "HIGH", HIGH, NOON)
    add(queue, "CRITICAL", CRITICAL, NOON)
    queue.limit({"web": 0.2})
    assert leaving(queue) == (["CRITICAL", "OLD"] if goes_first else ["CRITICAL", "HIGH"])


def test_the_last_of_a_budget_is_for_critical_whatever_waited_too_long(queue: LaneQueue) -> None:
    queue.limit({"web": 0.1})
    add(queue, "OLD", BULK, NOON - 6 * SECOND)
    add(queue, "CRITICAL", CRITICAL)
    assert leaving(queue) == ["CRITICAL"]


def test_of_those_that_waited_too_long_the_oldest_goes_first_whatever_its_lane(queue: LaneQueue) -> None:
    queue.limit({"web": 0.1})
    add(queue, "SPENDS", HIGH, NOON)
    queue.due(NOON)
    add(queue, "BULK", BULK, NOON + 1)
    add(queue, "HIGH", HIGH, NOON + 2)
    assert leaving(queue, NOON + 2 * SECOND) == []
    sent = [leaving(queue, NOON + n * (BUDGET_WINDOW + BUDGET_STEP)) for n in (1, 2)]
    assert sent == [["BULK"], ["HIGH"]]


def test_what_had_to_wait_too_long_is_counted_by_lane(queue: LaneQueue) -> None:
    queue.limit({"web": 0.1})
    for item, lane in (("H1", HIGH), ("H2", HIGH), ("N", NORMAL)):
        add(queue, item, lane)
    for n in range(3):
        queue.due(NOON + n * (BUDGET_WINDOW + BUDGET_STEP))
    assert queue.overdue == {"critical": 0, "high": 1, "normal": 1, "bulk": 0}
    assert tuple(queue.overdue) == LANES


@pytest.mark.parametrize(("waited", "overdue"), [(5 * SECOND - 1, 0), (5 * SECOND, 0), (5 * SECOND + 1, 1)])
def test_a_wait_of_exactly_max_wait_is_not_too_long(queue: LaneQueue, waited: int, overdue: int) -> None:
    queue.limit({"web": 1.0})
    add(queue, "OLD", HIGH, NOON - waited)
    queue.due(NOON)
    assert queue.overdue["high"] == overdue


def test_channels_have_budgets_of_their_own(queue: LaneQueue) -> None:
    queue.limit({"web": 0.1, "shop": 0.2})
    for channel in ("web", "shop", "edi"):
        for number in range(3):
            add(queue, f"{channel}{number}", HIGH, channel=channel)
    assert leaving(queue) == ["edi0", "edi1", "edi2", "web0", "shop0", "shop1"]


def test_a_blocked_update_that_becomes_critical_leaves(queue: LaneQueue) -> None:
    queue.limit({"web": 0.1})
    add(queue, "SPENDS", HIGH)
    add(queue, "SHOVEL", HIGH, atp=3, previous=9)
    assert leaving(queue) == ["SPENDS"]
    add(queue, "SHOVEL", CRITICAL, atp=0, previous=3)
    assert [(update.item, update.change.previous) for update in queue.due(NOON)] == [("SHOVEL", 9)]


def test_a_budget_may_change_while_updates_wait_for_it(queue: LaneQueue) -> None:
    queue.limit({"web": 0.1})
    for number in range(5):
        add(queue, f"I{number}", HIGH)
    assert leaving(queue) == ["I0"]
    queue.limit({"web": 0.3})
    assert leaving(queue) == ["I1", "I2"], "what was spent stays charged"
    queue.limit({})
    assert queue.next_due() == 0
    assert leaving(queue) == ["I3", "I4"]
    queue.limit({"web": 0.1})
    add(queue, "NEW", HIGH)
    assert leaving(queue) == ["NEW"], "a budget that was taken away and given again is a new one"


def test_a_rate_below_one_in_ten_seconds_is_slow_and_not_nothing(queue: LaneQueue) -> None:
    """A rate is divided by the number of workers: a share of a twentieth of a second must not mean never."""
    queue.limit({"web": 0.05})
    for number in range(3):
        add(queue, f"I{number}", HIGH)
    sent = {moment: leaving(queue, NOON + moment * SECOND) for moment in range(0, 61, 5)}
    assert [moment for moment, some in sent.items() if some] == [0, 25, 50]


def test_at_the_end_budgets_still_hold(queue: LaneQueue) -> None:
    queue.limit({"web": 0.1})
    add(queue, "A", BULK)
    add(queue, "B", BULK)
    assert leaving(queue, NOON, linger=False) == ["A"]
    assert queue.next_due() == NOON + BUDGET_STEP


@pytest.mark.parametrize("seed", range(5))
def test_no_ten_seconds_see_more_than_ten_times_the_rate_but_for_critical(seed: int) -> None:
    chance = random.Random(seed)
    rate = chance.choice((0.5, 1.3, 3.0))
    queue = LaneQueue(TIMES)
    queue.limit({"web": rate})
    now, added = NOON, 0
    sent: list[tuple[int, int]] = []
    for _ in range(1000):
        now += chance.choice((0, 1, 7 * MS, 90 * MS, 200 * MS))
        for _ in range(chance.randrange(3)):
            added += 1
            add(queue, f"I{added}", chance.choices((CRITICAL, HIGH, NORMAL, BULK), (1, 40, 40, 40))[0], now)
        sent.extend((now, update.change.lane) for update in queue.due(now))
    for index, (end, lane) in enumerate(sent):
        if lane != CRITICAL:
            window = [moment for moment, _ in sent[: index + 1] if moment > end - BUDGET_WINDOW]
            assert len(window) <= rate * 10
    slow = sum(lane != CRITICAL for _, lane in sent)
    assert slow >= (rate * 10 - 5) * (now - NOON) // (BUDGET_WINDOW + 2 * BUDGET_STEP) - 10, "a budget is there to use"


def test_a_budget_counts_in_steps() -> None:
    assert (BUDGET_WINDOW, BUDGET_STEP) == (10 * SECOND, SECOND // 10)
    budget = Budget(1.0)
    assert budget.left(NOON) == 10
    for late in (0, 0, BUDGET_STEP - 1, BUDGET_STEP):
        budget.spend(NOON + late)
    assert budget.left(NOON + BUDGET_STEP) == 6
    assert budget.left(NOON + BUDGET_WINDOW + BUDGET_STEP - 1) == 6
    assert budget.left(NOON + BUDGET_WINDOW + BUDGET_STEP) == 9
    assert budget.left(NOON + BUDGET_WINDOW + 2 * BUDGET_STEP) == 10


# What a snapshot keeps


def test_what_waits_survives_a_restart_and_keeps_its_age(queue: LaneQueue) -> None:
    add(queue, "N", NORMAL, NOON)
    add(queue, "H", HIGH, NOON + 1)
    assert [update.item for update in queue.waiting()] == ["N", "H"]
    assert len(queue) == 2, "asking takes nothing away"
    again = LaneQueue(TIMES)
    again.restore(queue.waiting(), NOON + 10 * SECOND)
    assert leaving(again, NOON + 10 * SECOND) == ["H"]
    (update,) = again.due(NOON + 10 * SECOND + 50 * MS)
    assert (update.item, update.since) == ("N", NOON)
