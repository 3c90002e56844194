"""Work on whole statements in turns: how long one is, who has the next, and that the last of it is done at the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from operators.reconciling.reconciler import TURN_US, Pace, Reconciler
from schemas.reconciled import VerdictFell
from tests.reconciling_engine import Reconciling

NOON = 1_700_000_000_000_000
HOUR = 3_600_000_000
STATEMENT = ("erp", "night-1")
#: how long one item takes in these tests, by their clock: it goes on with each look at it
STEP_US = TURN_US // 4


def ticking(step: int) -> Callable[[], int]:
    """A clock that goes on by so much each time that it is read."""
    now = NOON

    def clock() -> int:
        nonlocal now
        now += step
        return now

    return clock


@pytest.fixture
def busy() -> Reconciler:
    """A shard with a hundred items of one statement to look at."""
    engine = Reconciling(24 * HOUR, HOUR)
    engine.shard.clock = ticking(STEP_US)
    reconciler: Reconciler = engine.shard.reconciler
    reconciler.desk.open_statement(STATEMENT, NOON)
    reconciler.desk.work.extend(("absent", STATEMENT, f"SHOVEL-{number}") for number in range(100))
    return reconciler


def test_a_turn_ends_when_its_time_is_over(busy: Reconciler) -> None:
    busy.work()
    assert 90 < len(busy.desk.work) < 100


def test_a_shard_does_nothing_before_its_next_turn(busy: Reconciler) -> None:
    busy.work()
    left, turn = len(busy.desk.work), busy.next_turn()
    assert turn is not None
    busy.desk.shard.clock = lambda: turn - 1
    busy.work()
    assert len(busy.desk.work) == left
    busy.desk.shard.clock = lambda: turn
    busy.work()
    assert len(busy.desk.work) < left


def test_who_has_no_work_has_no_turn(busy: Reconciler) -> None:
    busy.work_off()
    assert (len(busy.desk.work), busy.next_turn()) == (0, None)


def test_shards_that_ask_at_once_have_turns_one_after_another_with_a_rest_as_long_between_them() -> None:
    pace = Pace()
    pace.note(TURN_US)
    assert [pace.take(NOON) for _ in range(3)] == [NOON, NOON + 2 * TURN_US, NOON + 4 * TURN_US]


def test_whoever_asks_late_waits_for_nobody() -> None:
    pace = Pace()
    pace.note(TURN_US)
    pace.take(NOON)
    assert pace.take(NOON + 3 * TURN_US) == NOON + 3 * TURN_US


def test_a_clock_that_went_back_costs_no_rest() -> None:
    pace = Pace()
    pace.note(-HOUR)
    assert [pace.take(NOON), pace.take(NOON)] == [NOON, NOON]


def test_a_verdict_goes_before_the_work_on_other_statements(busy: Reconciler) -> None:
    busy.desk.open_statement(("shop", "noon"), NOON).items.update(("RAKE", "HOE"))
    busy.take(VerdictFell("shop", "noon", NOON, True))
    first = [busy.desk.work[number] for number in range(4)]
    assert [(kind, code) for kind, _, code in first] == [
        ("apply", "HOE"),
        ("apply", "RAKE"),
        ("end", ""),
        ("absent", "SHOVEL-0"),
    ]


def test_what_is_due_before_its_turn_is_not_kept_waiting(busy: Reconciler) -> None:
    busy.work()
    engine = busy.desk.shard
    engine._is_new = False
    turn = busy.next_turn()
    assert turn is not None
    engine.clock = lambda: turn - HOUR
    engine._parked.append((turn - 10, None))
    assert engine.next_wake() == turn - 10
