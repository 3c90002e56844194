"""The engine's numbers against the naive model's: any order, repeats, conflicts, policy changes, time, crashes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flows.audit.model import Model
from operators.rules import lots
from operators.rules.policy import Policy
from tests import invariants
from tests.engine import Engine
from tests.histories import SKEW, WINDOW, History
from tests.playing import Tale, failure_of, plain, play, read, shortened, tale_of, write

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", range(60))
def test_a_random_history_ends_in_the_models_numbers(seed: int) -> None:
    play(tale_of(History(seed)))


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_ten_thousand_random_histories_end_in_the_models_numbers() -> None:
    command = [sys.executable, "-m", "tests.long_run", "--histories", "10000", "--length", "200", "--first", "1000"]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert json.loads(run.stdout)["histories"] == 10_000


# The judges, judged


def test_the_histories_hold_what_they_are_there_for() -> None:
    total = [play(tale_of(History(seed))) for seed in range(12)]
    for name in ("events", "refused", "duplicates", "policy_changes", "jumps", "layers", "snapshots", "resumes"):
        assert sum(getattr(played, name) for played in total) > 12, name


def failing_seed() -> Tale:
    for seed in range(40):
        tale = tale_of(History(seed))
        if failure_of(tale):
            return tale
    raise AssertionError("a planted mistake was not found in 40 histories")


@pytest.mark.uncompiled
def test_a_failure_is_written_short_and_can_be_told_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lots, "is_held", lambda item, lot, location: False)
    tale = failing_seed()
    path = write(tale, tmp_path / "failures")
    told = json.loads(path.read_text())
    assert "position of" in told["error"]
    # what the shop is made of cannot be left out without the rest: a place, an item, goods in a lot, a word on it
    assert len(told["actions"]) <= 6 < len(tale.actions)
    assert sum("lot_held" in json.dumps(action) for action in told["actions"]) == 1
    assert failure_of(read(told)) == told["error"]
    monkeypatch.undo()
    assert failure_of(read(told)) == ""


def test_a_tale_is_shortened_to_what_fails_alone() -> None:
    tale = Tale("numbers", 0, 1, False, tuple(("time", number) for number in range(100)))

    def fails(shorter: Tale) -> str:
        left = {what for _, what in shorter.actions}
        return "both are there" if {13, 77} <= left else ""

    assert [what for _, what in shortened(tale, fails).actions] == [13, 77]


@pytest.fixture
def told() -> tuple[Engine, Model]:
    """An engine and a model that agree, and hold something of everything."""
    engine, model = Engine(WINDOW, SKEW), Model(WINDOW, SKEW)
    tale = tale_of(History(2, 150))
    engine.clock = tale.clock
    for action, what in tale.actions:
        if action in ("reference", "event"):
            getattr(engine, action)(*what)
            getattr(model, action)(*what)
    engine.pass_time(engine.clock)
    invariants.hold(engine, model, "before")
    return engine, model


def any_number(engine: Engine) -> tuple[str, str]:
    return next(iter(sorted(engine.numbers)))


@pytest.mark.parametrize("spoiled", ["atp", "a day", "a figure", "available", "an aggregate", "a day's part", "claims"])
def test_an_invariant_that_does_not_hold_is_noticed(told: tuple[Engine, Model], spoiled: str) -> None:
    engine, model = told
    key = any_number(engine)
    item = engine.shard.find(key[0])
    assert item is not None
    location, place = next((code, place) for code, place in item.places.items() if place.hard_reserved)
    if spoiled == "atp":
        engine.numbers[key] = replace(engine.numbers[key], atp=-1)
    elif spoiled == "a day":
        engine.numbers[key] = replace(engine.numbers[key], by_day=[engine.numbers[key].atp] * 9)
    elif spoiled == "a figure":
        engine.figures[key[0]][f"{location}:hard_reserved"] = -1
    elif spoiled == "available":
        engine.figures[key[0]][f"{location}:available"] += 1
    elif spoiled == "an aggregate":
        place.hard_reserved += 1
    elif spoiled == "a day's part":
        place.soft_by_day = {20_000: place.soft_allocated + 1}
    else:
        item.unlocated = {**item.unlocated, "web": item.unlocated.get("web", 0) + 1}
    with pytest.raises(AssertionError):
        invariants.hold(engine, model, "after")


@pytest.mark.uncompiled
@pytest.mark.parametrize("seed", [4, 7])
def test_a_promise_beyond_reach_is_noticed(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """One unit more than there is, from every channel: the invariants see it without the model's numbers."""
    honest = Policy.allow
    monkeypatch.setattr(Policy, "allow", lambda self, free: honest(self, free) + 10_000)
    assert "promises" in failure_of(tale_of(History(seed)))


def test_a_tale_survives_being_written() -> None:
    tales = [tale_of(History(seed)) for seed in range(12)]
    assert {action for tale in tales for action, _ in tale.actions} == {
        "reference",
        "event",
        "time",
        "write_ahead",
        "snapshot",
        "resume",
    }
    for tale in tales:
        assert read(json.loads(json.dumps(plain(tale)))) == tale
