"""Whatever memory there is: nothing is forgotten early. The engine says so, stops cleanly, and goes on with more."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from flows.monitoring.memory import WARN_AT
from tests.running import START_SECONDS_MAX, Engine
from tests.shop import open_shop, promised, received, take_in, wait_for
from tests.stories import Feeder, send

#: more than ever needed: 20,000 take 18 MB
EVENTS_MAX = 100_000
REPEATS = 5_000
#: the warning comes a little before an engine at rest; the stop, an eighth above it, some 8 MB after
BELOW = 3_000_000


def receipts() -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    pattern = received(0, 1)
    for number in range(EVENTS_MAX):
        name = f"many-{number:05}"
        yield "inventory.warehouse", name.encode(), {**pattern, "event_id": name}


def test_an_engine_out_of_memory_stops_cleanly_and_goes_on_with_more(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 7)
    with Engine(world) as engine:
        wait_for(world, 7)
        (worker,) = engine.wait_for_workers()
        at_rest = worker.memory_info().rss
        assert engine.stop() == 0
    all_of_them = list(receipts())
    with Engine(world, memory_limit=int((at_rest - BELOW) / WARN_AT)) as engine:
        engine.wait_for_workers()
        runs = (message for message in all_of_them if engine.process.poll() is None)
        with Feeder(world, runs, 2, per_second=4_000) as feeder:
            assert engine.wait(START_SECONDS_MAX) == 1
        text = engine.text()
    # That a warning comes first is tested with a clock: on a busy machine an eighth may pass between two looks.
    assert "so the engine stops, with its state safe" in text, text
    assert "memory_limit" in text and "starting again" not in text, text
    assert feeder.sent < EVENTS_MAX
    # The first of them once more: what was read before the stop is known, and what came after it is not lost.
    send(world, islice(all_of_them, REPEATS), 2)
    with Engine(world, "--until-caught-up") as engine:
        assert engine.wait(60) == 0, engine.text()
    assert promised(world) == 7 + max(feeder.sent, REPEATS)
