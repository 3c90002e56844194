"""Statements judged by the engine and by the naive model: histories, planted faults, any order, repeats, kills."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from operators.reconciling import naming
from tests.reconciling import faults
from tests.reconciling.engine_side import EngineSide
from tests.reconciling.faults import PLANS, Planted, plant
from tests.reconciling.histories import SETTLES, StatedHistory
from tests.reconciling.kills import KilledSide
from tests.reconciling.long_run import FIRST
from tests.reconciling.playing import found_by, in_order, play, same, side_for
from tests.reconciling.story import Action, did, ended, row, rule, started, time, world

ROOT = Path(__file__).parents[2]
#: how many of the planted faults have to be named by what was planted: the rest fits something else as well
NAMED_MIN = 0.95
#: and of each kind alone
NAMED_OF_KIND_MIN = 0.9


@pytest.mark.parametrize("seed", range(20))
def test_a_true_statement_has_no_variance_whatever_came_late(seed: int) -> None:
    played = play(StatedHistory(seed))
    assert played.rows > 0


@pytest.mark.parametrize("seed", range(20))
def test_what_becomes_of_any_statement_is_what_the_model_says(seed: int) -> None:
    play(StatedHistory(seed, is_true=False))


@pytest.mark.parametrize("seed", range(6))
def test_items_whose_units_fill_a_turn_are_judged_as_all_others(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "UNITS_AT_ONCE", 0)
    play(StatedHistory(100 + seed, is_true=False))


@pytest.mark.parametrize("seed", range(2 * len(PLANS)))
def test_a_planted_fault_is_found_and_nothing_else(seed: int) -> None:
    planted = plant(seed)
    model, engine = side_for(planted)
    assert found_by(planted, model).is_found
    assert found_by(planted, engine).is_found
    same(model, engine, planted.name)


@pytest.mark.parametrize("seed", range(6))
def test_a_true_statement_of_an_estate_agrees(seed: int) -> None:
    engine = EngineSide()
    for action in faults.truth(seed):
        engine.tell(action)
    assert engine.variances() == {}
    assert engine.status("erp:S1")["verdict"] == "accepted"


@pytest.mark.long
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("what", ["histories", "faults"])
def test_thousands_of_histories_and_planted_faults(what: str) -> None:
    command = [sys.executable, "-m", "tests.reconciling.long_run", what]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 0, run.stdout
    told = json.loads(run.stdout)
    if what == "histories":
        assert told["true"]["histories"] == 1_000
        assert told["true"]["in_variance"] == told["true"]["variances"] == 0
    else:
        assert told["planted"] == told["found"] == 10_000
        assert told["named"] >= NAMED_MIN * told["planted"]
        # Each kind by itself: none is so rare that its being misnamed could hide behind the others.
        assert {fault for fault in PLANS if told[fault] < NAMED_OF_KIND_MIN * (told["planted"] // len(PLANS))} == set()


# Any order, twice, killed


CORRECTED = rule(faults.SOURCE, actions={"on_hand": "correct", "quarantined": "correct"})


def corrected(planted: Planted) -> list[Action]:
    """The same, by a record that lets what differs be corrected."""
    told = list(planted.told)
    last = max(number for number, (kind, _) in enumerate(told) if kind == "reference")
    return [*told[: last + 1], CORRECTED, *told[last + 1 :]]


def shuffled(told: list[Action], pick: random.Random, again: int) -> list[Action]:
    """The same with the statement's messages in another order, each so many times more."""
    places = [number for number, (kind, _) in enumerate(told) if kind == "statement"]
    messages = [told[number] for number in places] * (1 + again)
    pick.shuffle(messages)
    return [*told[: places[0]], *messages, *told[places[-1] + 1 :]]


def told_to(side: EngineSide, told: list[Action]) -> EngineSide:
    for action in told:
        side.tell(action)
    return side


def outcome(side: EngineSide) -> tuple[Any, ...]:
    """What is left in the end."""
    return side.variances(), side.withheld(), in_order(side.corrections)


@pytest.mark.parametrize("seed", range(len(PLANS)))
def test_shuffled_and_told_twice_a_statement_comes_to_the_same(seed: int) -> None:
    told, pick = corrected(plant(seed)), random.Random(seed)
    # Of what was logged between two of its messages nobody knows any more that it was: so all of them come at once.
    expected = outcome(told_to(EngineSide(), told))
    assert outcome(told_to(EngineSide(), shuffled(told, pick, 0))) == expected
    assert outcome(told_to(EngineSide(), shuffled(told, pick, 1))) == expected


@pytest.mark.parametrize("seed", range(len(PLANS)))
def test_killed_in_the_middle_it_comes_to_the_same_and_corrects_once(seed: int) -> None:
    told = corrected(plant(seed))
    expected = outcome(told_to(EngineSide(), told))
    killed = KilledSide(seed, 12)
    told_to(killed, told)
    killed.kill()
    assert killed.kills > 3
    assert outcome(killed) == expected
    counts = [event["event_id"] for event in killed.engine.sent if event["type"] == "stock_counted"]
    once = {
        (event["event_id"], json.dumps(event, sort_keys=True))
        for event in killed.engine.sent
        if event["event_id"] in counts
    }
    assert len(once) == len(set(counts)), "an id under which two things were said"
    assert killed.refusals == []


@pytest.mark.parametrize("killed_at", range(6))
def test_a_row_that_is_read_again_behind_a_crash_counts_once(killed_at: int) -> None:
    told = (
        did("10:00", "stock_received", 10),
        started("12:00", "12:01"),
        row("12:00", "12:01", on_hand=10),
        row("12:00", "12:02", on_hand=10, event_id="delivered-twice"),
        ended("12:00", "12:03", 1),
        time("12:10"),
    )
    side = KilledSide(killed_at, 0)
    told_to(side, [*world()])
    for number, action in enumerate(told):
        side.engine.kill_every = int(number == killed_at)
        side.tell(action)
    assert side.kills == 1
    status = side.status("erp:S1")
    counts = {name: status[name] for name in ("seen", "agreed", "duplicates", "conflicts")}
    assert (status["verdict"], counts) == ("accepted", {"seen": 1, "agreed": 1, "duplicates": 1, "conflicts": 0})
    assert side.variances() == {}


@pytest.mark.long
@pytest.mark.timeout(7_200)
def test_killed_a_hundred_times_in_the_middle_it_comes_to_the_same_and_corrects_once() -> None:
    kills = 0
    for seed in range(FIRST, FIRST + len(PLANS)):
        told = corrected(plant(seed))
        expected = outcome(told_to(EngineSide(), told))
        killed = KilledSide(seed, 8)
        told_to(killed, told)
        killed.kill()
        kills += killed.kills
        assert outcome(killed) == expected, seed
        assert killed.refusals == [], seed
        said = [event for event in killed.engine.sent if event["type"] == "stock_counted"]
        assert len({json.dumps(event, sort_keys=True) for event in said}) == len({event["event_id"] for event in said})
    assert kills >= 100


@pytest.mark.parametrize("seed", range(8))
def test_killed_in_the_middle_of_a_history_a_true_statement_has_no_variance(seed: int) -> None:
    history = StatedHistory(seed)
    killed = KilledSide(seed, 30, None, SETTLES, history.time_zone, history.clock)
    for action in history.actions():
        if action[0] not in ("snapshot", "write_ahead", "resume"):
            killed.tell(action)
    assert killed.kills > 0
    assert killed.variances() == {}


# The judges, judged


MISTAKES = {
    "whatever is stated agrees": ("reconciling.rows.agrees", lambda *_: True),
    "what is counted later is not left out": ("ours.ours_of", lambda item, place, lot, name, *_: 0),
    "nothing is ever held": ("rules.holds.held_of_row", lambda figures: 0),
    "every cause is unknown": ("rules.causes.cause_of", lambda *_: ("unknown", [])),
}


@pytest.mark.uncompiled
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_planted_in_the_engine_is_noticed(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, wrong = MISTAKES[mistake]
    monkeypatch.setattr(f"operators.{target}", wrong)

    def is_noticed(seed: int) -> bool:
        model, engine = side_for(plant(seed))
        found_by(plant(seed), model)
        try:
            found_by(plant(seed), engine)
            same(model, engine, mistake)
        except AssertionError:
            return True
        return False

    assert any(is_noticed(seed) for seed in range(len(PLANS)))


def test_the_histories_hold_what_they_are_there_for() -> None:
    total = [play(StatedHistory(seed, is_true=False)) for seed in range(100, 110)]
    names = ("rows", "agreed", "in_variance", "variances", "corrections", "decisions", "held", "not_compared", "aged")
    for name in names:
        assert sum(getattr(played, name) for played in total) > 0, name


def test_each_kind_of_fault_takes_its_turn() -> None:
    assert [plant(seed).fault for seed in range(len(PLANS))] == list(PLANS)
    assert plant(5).told == plant(5).told
