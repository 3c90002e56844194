"""Whatever dies, and whenever: nothing is lost, nothing counts twice, no published number goes back in time."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from tests.judging import Judge, Watcher, check_outputs, differences, now_us
from tests.running import Engine, until
from tests.shop import clock, open_shop, placed, take_in, wait_for
from tests.stories import Feeder, Stories

PARTITIONS = 8


def catch_up(world: Any, **overrides: object) -> tuple[int, int]:
    """Run until caught up; when it began and when it ended."""
    began = now_us()
    with Engine(world, "--until-caught-up", **overrides) as engine:
        code = engine.wait(50)
        assert code == 0, f"exit code {code}:\n{engine.text()}"
    return began, now_us()


def kill_now_and_then(
    world: Any, deaths: tuple[int, ...], dice: random.Random, settings: Any, **overrides: object
) -> None:
    """Lives of a supervisor: so many workers die in each, and everything at once at its end."""
    for deaths_of_workers in deaths:
        with Engine(world, **overrides) as engine:
            dead: tuple[int, ...] = ()
            for _ in range(deaths_of_workers):
                engine.wait_for_workers(besides=dead)
                engine.wait_until_it_reads(world, settings)
                time.sleep(dice.uniform(0.0, 0.6))  # anywhere between two epochs, or within one
                dead = (*dead, engine.kill_worker())
            engine.wait_for_workers(besides=dead)
            engine.wait_until_it_reads(world, settings)
            time.sleep(dice.uniform(0.0, 0.3))
            engine.kill_everything()


@pytest.mark.parametrize(
    ("seed", "deaths", "overrides"),
    [(1, (2, 1), {}), (2, (2,), {"state__epoch_interval": "300ms", "lanes__linger_normal": "200ms"})],
    ids=["short epochs", "long epochs and lingers"],
)
def test_killed_again_and_again_every_number_is_right_at_the_end(
    world: Any, seed: int, deaths: tuple[int, ...], overrides: dict[str, object]
) -> None:
    settings = world.settings(**overrides)
    world.create_topics(kafka__partitions=PARTITIONS)
    stories = Stories(15, 90, seed)
    stories.send_reference(world)
    with Watcher(world) as watcher:
        with Feeder(world, stories.events(), PARTITIONS, per_second=120):
            kill_now_and_then(world, deaths, random.Random(seed), settings, **overrides)
        moments = catch_up(world, **overrides)
    assert watcher.looks > 10
    assert not watcher.went_back, f"{len(watcher.went_back)} times: {watcher.went_back[:5]}"
    judge = Judge(world)
    wrong = differences(world, judge, moments)
    assert not wrong, f"{len(wrong)} of {len(judge.items)} items: {wrong[:5]}"
    assert judge.duplicates and judge.refused, "the histories are too tame"
    told = check_outputs(world, judge)
    broken = told.broken_chains()
    assert not broken, f"{len(broken)} of {sum(map(len, told.by_key.values()))}: {broken[:5]}"


def test_what_left_just_before_a_crash_is_known_however_late_the_next_start(world: Any) -> None:
    """Nothing is sent a second time, not even what a budget held up when the snapshot was taken and let go after it."""
    open_shop(world, items=2, max_updates_per_second=1)
    take_in(world, 0, 1000)
    take_in(world, 1, 10)

    def sent() -> list[int]:
        return [record.json()["atp"] for record in world.read("atp.updates.high")]

    def sell(left: int) -> None:
        world.send("inventory.orders", placed(0, 1))
        world.flush()
        wait_for(world, left, seconds=5)

    with Engine(world, state__epoch_interval="3s") as engine:
        wait_for(world, 1000)
        for sold in range(1, 14):
            sell(1000 - sold)
        assert sent()[-1] > 987, "the budget holds nothing up"
        until(lambda: sent()[-1] == 987, 20, lambda: f"the last number: {sent()}")
        take_in(world, 1, 5)
        sell(986)
        until(lambda: sent()[-1] == 986, 5, lambda: f"a newer number: {sent()}")
        engine.kill_everything()
    died = time.monotonic()
    take_in(world, 0, 100)
    until(lambda: time.monotonic() - died > 6, 10, "more time than clocks may differ by")
    catch_up(world)
    told = check_outputs(world, Judge(world))
    assert not told.broken_chains(), told.broken_chains()
    numbers = {key: [update["atp"] for update in updates] for key, updates in told.by_key.items()}
    assert numbers[f"{clock(0)}:web"][-3:] == [987, 986, 1086]
    assert numbers[f"{clock(1)}:web"][-2:] == [10, 15]
