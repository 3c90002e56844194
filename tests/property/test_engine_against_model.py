"""The engine's numbers against the naive model's: any order, repeats, conflicts, policy changes, time, crashes."""

from __future__ import annotations

import pytest

from operators import shard
from tests.engine import Code, Engine
from tests.histories import CHANNELS, ITEMS, LOCATIONS, SKEW, WINDOW, History
from tests.model import Model

CHECK_EVERY = 15
FIGURES = ("on_hand", "quarantined", "soft_allocated", "hard_reserved", "in_transit", "expected", "available")


def compare(engine: Engine, model: Model, now: int, where: str) -> None:
    """Every number and every exception of every item, side by side."""
    for item in ITEMS:
        ours, theirs = engine.position(item, now), model.position(item, now)
        for location in (*LOCATIONS, "*"):
            names = FIGURES if location != "*" else ("soft_allocated",)
            mine = {name: ours.get(location, {}).get(name, 0) for name in names}
            right = {name: theirs.get(location, {}).get(name, 0) for name in names}
            if location not in ours and location != "*":
                right["available"] = 0  # nothing was ever there: no figures, rather than a safety stock's debt
            assert mine == right, f"{where}: position of {item} at {location}"
        for channel in CHANNELS:
            answer, expected = engine.promise(item, channel, now), model.promise(item, channel, now)
            if expected is None:
                assert answer is None, f"{where}: {item} in {channel} is not listed"
            else:
                assert answer is not None, f"{where}: {item} in {channel} is listed"
                assert (answer.atp, answer.by_day) == (expected.atp, expected.by_day), f"{where}: {item} in {channel}"
        assert engine.exceptions(item, now) == model.exceptions(item, now), f"{where}: exceptions of {item}"


def agree(mine: list[Code], right: list[Code]) -> bool:
    """Equal; or, where a unit is wrong twice over, refused by both (what was applied is compared as numbers)."""
    return sorted(mine, key=str) == sorted(right, key=str) or bool(mine and right)


def play(history: History) -> None:
    """Tell both the same history, and compare answers on the way."""
    shard.SEAL_FROM = (1, 500, 65_536)[history.seed % 3]  # every snapshot a file, now and then, never
    engine = Engine(WINDOW, SKEW)
    model = Model(WINDOW, SKEW)
    engine.clock = history.now
    for step, (action, what) in enumerate(history.actions()):
        where = f"seed {history.seed}, step {step}, {action} {what}"
        if action == "reference":
            assert bool(engine.reference(*what)) == bool(model.reference(*what)), where
        elif action == "event":
            mine, right = engine.event(*what), model.event(*what)
            assert agree(mine, right), f"{where}: {mine} {right}"
        elif action == "time":
            engine.pass_time(what)
        elif action == "snapshot":
            engine.shard.snapshot()
        else:
            engine.resume()
        if step % CHECK_EVERY == 0:
            compare(engine, model, engine.clock, where)
    engine.resume()
    compare(engine, model, engine.clock, f"seed {history.seed}, at the end")
    assert engine.duplicates == model.duplicates


@pytest.mark.parametrize("seed", range(60))
def test_a_random_history_ends_in_the_models_numbers(seed: int) -> None:
    play(History(seed))


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_thousands_of_random_histories_end_in_the_models_numbers() -> None:
    for seed in range(1_000, 3_000):
        play(History(seed, length=200))
