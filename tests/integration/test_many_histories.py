"""Random histories by the thousand through the real dataflow: Kafka, Bytewax, snapshots, kills, Redis, Kafka again.

Each history is about two items of its own, and all are told at once, mixed. Afterwards the naive model reads the same
topics, and every number, position, update, version and dead letter is compared.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.judging import Judge, check_outputs, differences, now_us
from tests.running import Engine
from tests.stories import Stories, send

PARTITIONS = 8
#: histories a round, and events a history before repeats
MANY, LENGTH = 2_000, 40
FEW = 60
CATCH_UP_S = 900


def tell(world: Any, count: int, seed: int) -> None:
    world.create_topics(kafka__partitions=PARTITIONS)
    stories = Stories(count, LENGTH, seed, policies=True)
    stories.send_reference(world)
    sent = send(world, stories.events(), PARTITIONS)
    with Engine(world) as engine:
        engine.wait_for_workers()
        time.sleep(0.5 + seed % 3)  # somewhere on the way
        dead = engine.kill_worker()
        engine.wait_for_workers(besides=(dead,))
        time.sleep(0.5 + seed % 2)
        engine.kill_everything()
    began = now_us()
    with Engine(world, "--until-caught-up") as engine:
        assert engine.wait(CATCH_UP_S) == 0, engine.text()
    moments = (began, now_us())
    judge = Judge(world)
    wrong = differences(world, judge, moments)
    assert not wrong, f"seed {seed}: {len(wrong)} of {len(judge.items)} items: {wrong[:5]}"
    told = check_outputs(world, judge)
    broken = told.broken_chains()
    assert not broken, f"seed {seed}: {len(broken)} chains: {broken[:5]}"
    assert len(judge.items) == 2 * count
    assert judge.duplicates and judge.refused and sent >= count * LENGTH * 0.8, "the histories are too tame"


def test_many_histories_at_once_end_in_the_models_numbers(world: Any) -> None:
    tell(world, FEW, seed=7)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(101, 111))
def test_thousands_of_histories_at_once_end_in_the_models_numbers(world: Any, seed: int) -> None:
    tell(world, MANY, seed)
