"""More worker processes, or fewer: the same numbers, and nothing lost or counted twice where they change."""

from __future__ import annotations

from typing import Any

from tests.judging import Judge, Watcher, check_outputs, differences, now_us
from tests.running import Engine
from tests.stories import Feeder, Stories, send

PARTITIONS = 4
SHARDS = 64


def catch_up(world: Any, **overrides: object) -> tuple[int, int]:
    """Run until caught up; when it began and when it ended."""
    began = now_us()
    with Engine(world, "--until-caught-up", shards=SHARDS, **overrides) as engine:
        code = engine.wait(50)
        assert code == 0, f"exit code {code}:\n{engine.text()}"
    return began, now_us()


def test_two_workers_end_in_the_same_numbers_as_one(world: Any) -> None:
    world.create_topics(kafka__partitions=PARTITIONS)
    stories = Stories(16, 60, seed=21)
    stories.send_reference(world)
    send(world, stories.events(), PARTITIONS)
    moments = catch_up(world, workers=2)
    judge = Judge(world)
    wrong = differences(world, judge, moments)
    assert not wrong, f"{len(wrong)} of {len(judge.items)} items: {wrong[:5]}"
    assert not check_outputs(world, judge).broken_chains()


def test_workers_killed_taken_away_and_added_lose_and_repeat_nothing(world: Any) -> None:
    world.create_topics(kafka__partitions=PARTITIONS)
    stories = Stories(16, 90, seed=22)
    stories.send_reference(world)
    settings = world.settings()
    killed = 0
    with Watcher(world) as watcher:
        with Feeder(world, stories.events(), PARTITIONS, per_second=120):
            for workers in (2, 1, 2):
                with Engine(world, shards=SHARDS, workers=workers) as engine:
                    first = engine.wait_for_workers(workers)
                    engine.wait_until_it_reads(world, settings)
                    if not killed:
                        killed = first[0].pid
                        first[0].kill()  # and both begin again
                        engine.wait_for_workers(workers, besides=tuple(one.pid for one in first))
                        engine.wait_until_it_reads(world, settings)
                    assert engine.stop() == 0, engine.text()
        moments = catch_up(world, workers=1)
    assert not watcher.went_back, watcher.went_back[:5]
    judge = Judge(world)
    wrong = differences(world, judge, moments)
    assert not wrong, f"{len(wrong)} of {len(judge.items)} items: {wrong[:5]}"
    broken = check_outputs(world, judge).broken_chains()
    assert not broken, f"{len(broken)}: {broken[:5]}"
