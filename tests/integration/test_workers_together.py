"""Workers of one engine tell each other how far they are, for as long as they read."""

from __future__ import annotations

from typing import Any

from tests.running import Engine
from tests.shop import clock, open_shop, received, take_in, wait_for

ITEMS = 40
#: Read for longer than the second between two heartbeats: what is heard first is not the end.
EVENTS = 60_000


def test_two_workers_are_ready_after_reading_for_long_what_came_while_they_were_away(world: Any) -> None:
    """Redis lost everything meanwhile: each shard waits for both workers' partitions to be read to their ends."""
    open_shop(world, items=ITEMS, partitions=4)
    take_in(world, 0, 1)
    with Engine(world, "--until-caught-up", workers=2) as engine:
        assert engine.wait(60) == 0, engine.text()
    world.servers.kill_redis()
    world.servers.restart_redis(empty=True)
    for number in range(EVENTS):
        world.send("inventory.warehouse", received(number % ITEMS, 1), key=clock(number % ITEMS))
    world.flush(60)
    each = EVENTS // ITEMS
    with Engine(world, workers=2, state__epoch_interval="10ms") as engine:
        for number in range(ITEMS):
            wait_for(world, each + (number == 0), number, 60)
        assert engine.stop() == 0, engine.text()
