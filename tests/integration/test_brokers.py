"""Kafka has three brokers, of which one after the other dies, or two at once: nothing is lost, nothing goes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.inspection.kafka_findings import kafka_findings
from flows.processes.addresses import free_ports
from tests.brokers import BROKERS, Brokers, ReplicatedWorld
from tests.conftest import World, revived
from tests.judging import Watcher
from tests.running import until, why_not_ready
from tests.trading import ENDLESS, reads_on, trade

#: Three Java runtimes start, and each of them twice.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

#: A broker that was killed looks through its logs first, and leaders move, on a machine that others share.
RECOVER_SECONDS_MAX = 180.0
AWAY = "kafka has not taken what worker 0 writes"


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    with Brokers(tmp_path_factory.mktemp("brokers")) as three:
        yield three


@pytest.fixture
def world(request: pytest.FixtureRequest, brokers: Brokers, tmp_path: Path) -> Iterator[World]:
    yield from revived(brokers, lambda: ReplicatedWorld(brokers, request.node.name, tmp_path))


def test_brokers_die_one_after_the_other_and_every_number_is_right(world: Any, brokers: Brokers) -> None:
    settings = world.settings()
    with Watcher(world) as watcher, trade(world, 41, ENDLESS, per_second=15) as engine:
        [worker] = engine.wait_for_workers()
        for number in range(BROKERS):
            brokers.kill(number)
            reads_on(engine, settings, RECOVER_SECONDS_MAX)
            assert not brokers.brokers[number].runs(), "it went on without it"
            brokers.bring_back(number)
        reads_on(engine, settings, RECOVER_SECONDS_MAX)
        assert engine.wait_for_workers() == [worker], "it was restarted"
    assert not watcher.went_back, watcher.went_back[:5]


def test_a_worker_that_dies_while_a_broker_is_away_is_started_again_without_it(world: Any, brokers: Brokers) -> None:
    settings = world.settings()
    with Watcher(world) as watcher, trade(world, 42, ENDLESS, per_second=15) as engine:
        brokers.kill(1)
        killed = engine.kill_worker()
        engine.wait_for_workers(besides=(killed,))
        reads_on(engine, settings, RECOVER_SECONDS_MAX)
        assert not brokers.brokers[1].runs(), "it went on without it"
        brokers.bring_back(1)
    assert not watcher.went_back, watcher.went_back[:5]


def test_two_brokers_of_three_away_are_waited_for_and_that_is_said(world: Any, brokers: Brokers) -> None:
    [port] = free_ports(1)
    settings = world.settings()
    with Watcher(world) as watcher, trade(world, 43, ENDLESS, per_second=15, metrics__port=port) as engine:
        [worker] = engine.wait_for_workers()
        until(lambda: not why_not_ready(port), 60, engine.text)
        brokers.kill(0, 1)
        until(lambda: AWAY in why_not_ready(port), 60, lambda: f"{why_not_ready(port)}\n{engine.text()}")
        until(lambda: "Kafka has not taken" in engine.text(), 60, engine.text)
        brokers.bring_back(0, 1)
        reads_on(engine, settings, RECOVER_SECONDS_MAX)
        until(lambda: not why_not_ready(port), 60, lambda: f"{why_not_ready(port)}\n{engine.text()}")
        assert engine.wait_for_workers() == [worker], "it was restarted"
    assert not watcher.went_back, watcher.went_back[:5]


def test_fewer_in_sync_than_a_topic_wants_are_waited_for(world: Any, brokers: Brokers) -> None:
    """The brokers say no and mean "not now": a message that the engine gave up would be lost."""
    [port] = free_ports(1)
    settings = world.settings()
    with Watcher(world) as watcher, trade(world, 44, ENDLESS, per_second=15, metrics__port=port) as engine:
        [worker] = engine.wait_for_workers()
        outputs = [name for name in brokers.topics(world.topic_prefix) if ".atp.updates." in name]
        brokers.want_in_sync(outputs, BROKERS)
        brokers.kill(1)
        until(lambda: AWAY in why_not_ready(port), 60, lambda: f"{why_not_ready(port)}\n{engine.text()}")
        brokers.want_in_sync(outputs, 2)
        reads_on(engine, settings, RECOVER_SECONDS_MAX)
        assert not brokers.brokers[1].runs(), "it went on without it"
        brokers.bring_back(1)
        assert engine.wait_for_workers() == [worker], "it was restarted"
    assert not watcher.went_back, watcher.went_back[:5]


def test_topics_are_made_so_that_two_copies_acknowledge(world: Any, brokers: Brokers) -> None:
    world.create_topics()
    settings = world.settings()

    def told() -> list[str]:
        return [f"{one.seen}: {one.remedy}" for one in kafka_findings(settings) if one.subject == "replication"]

    # Whichever broker is asked knows of a topic, and of what became of its settings, a moment later.
    until(lambda: told() == ["3 of each partition, on a cluster of 3 brokers: "], 30, lambda: f"well: {told()}")
    brokers.want_in_sync([world.topic("inventory.orders")], 1)
    until(lambda: "inventory.orders. That broker lost" in "".join(told()), 30, lambda: f"a warning: {told()}")
