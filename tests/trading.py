"""An engine that follows random histories while a test breaks its servers; afterwards every number has to be right."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from confluent_kafka import KafkaException

from flows.kafka.clients import KafkaProblem
from schemas.settings import Settings
from tests.judging import Judge, check_outputs, differences, now_us, without_dead_letter
from tests.running import START_SECONDS_MAX, Engine, committed, ends, until
from tests.stories import Feeder, Stories

PARTITIONS = 4
#: More than is told: for as long as it takes.
ENDLESS = 5000


@contextmanager
def trade(
    world: Any, seed: int, length: int = 110, per_second: float = 120, count: int = 8, **overrides: object
) -> Iterator[Engine]:
    """An engine that follows a few random histories, told while the body runs; afterwards every number is right.

    `length`: of each; ENDLESS: they are told for as long as the body runs, and end with it.
    """
    world.create_topics(kafka__partitions=PARTITIONS)
    stories = Stories(count, length, seed)
    stories.send_reference(world)
    settings = world.settings(**overrides)
    is_over = False
    told = itertools.takewhile(lambda _: length < ENDLESS or not is_over, stories.events())
    with Engine(world, "--wait", **overrides) as engine:  # servers that were started just now may not answer at once
        with Feeder(world, told, PARTITIONS, per_second):
            try:
                reads_on(engine, settings)
                yield engine
            finally:
                is_over = True
        reads_on(engine, settings)
        began = now_us()
        judge = Judge(world)
        until(lambda: not differences(world, judge, (began, now_us())), 10, lambda: _differ(world, judge))
        until(lambda: not without_dead_letter(world, judge), 20, lambda: f"{without_dead_letter(world, judge)}")
        assert engine.stop() == 0, engine.text()
    sent = check_outputs(world, judge)
    broken = sent.broken_chains()
    assert not broken, f"{len(broken)} of {sum(map(len, sent.by_key.values()))}: {broken[:5]}"


def reads_on(engine: Engine, settings: Settings, seconds: float = START_SECONDS_MAX) -> None:
    """Wait until the engine has committed what is in the input topics now, whichever broker may be away."""
    wanted: dict[str, int] = {}

    def has_read() -> bool:
        engine.still_runs()
        with suppress(KafkaException, KafkaProblem):
            wanted.update({} if wanted else ends(settings))
            done = committed(settings)
            return all(done.get(part, 0) >= end for part, end in wanted.items())
        return False

    until(has_read, seconds, lambda: f"read up to {wanted}\n{engine.text()}")


def _differ(world: Any, judge: Judge) -> str:
    wrong = differences(world, judge, (now_us(),))
    return f"the model's numbers: {len(wrong)} differ: {wrong[:3]}"
