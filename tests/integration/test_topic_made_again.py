"""A topic that is read is deleted, and made again, while the engine runs: noticed, said, and gone on with.

What was counted stays: a record that is sent again into the new topic is a duplicate, a new one counts once.
"""

from __future__ import annotations

import contextlib
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from flows.cli.app import app
from flows.processes.addresses import free_ports
from tests.integration.test_identity import admin, findings, refuses
from tests.running import Engine, until
from tests.shop import clock, event, open_shop, promised, received, take_in, wait_for


def delete(world: Any, topic: str) -> str:
    """Delete a topic; gives its full name."""
    name = world.topic(topic)
    admin(world).delete_topics([name])[name].result(20)
    until(lambda: name not in admin(world).list_topics(timeout=10).topics, 20, "the topic's end")
    world._producer = None  # it knows the old one
    return name


def make_again(world: Any, topic: str) -> str:
    """Delete a topic, and make another of its name."""
    name = delete(world, topic)
    world.create_topics()
    return name


def accept(world: Any, topic: str, **overrides: object) -> Result:
    return CliRunner().invoke(app, ["topics", "accept", topic], env=world.env(**overrides))


def send(world: Any, *events: dict[str, Any], topic: str = "inventory.warehouse", partition: int = 0) -> None:
    for one in events:
        world.send(topic, one, partition=partition)
    world.flush()


def ask(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


@pytest.fixture(autouse=True)
def few_shards(world: Any, monkeypatch: Any) -> None:
    """Fewer shards than usual: these engines start often. And they look more often than every ten seconds."""
    env = world.env
    more = {"ATP_TEST_PARTITIONS_EVERY_S": "0.5"}
    monkeypatch.setattr(world, "env", lambda **changed: {**env(**{"shards": 4, **changed}), **more})


class Watched:
    """An engine with a metrics port, and what it says there."""

    def __init__(self, world: Any) -> None:
        [self.port] = free_ports(1)
        self._world = world

    @contextlib.contextmanager
    def engine(self, **overrides: object) -> Iterator[Engine]:
        with Engine(self._world, metrics__port=self.port, **overrides) as engine:
            yield engine

    def readiness(self) -> dict[str, Any]:
        return json.loads(ask(self.port, "/readyz"))

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.readiness()["ready"])
        return False

    def reason(self) -> str:
        """Give what is said of the topics; empty where nothing is."""
        return " ".join(one for one in self.readiness()["reasons"] if one.startswith("topics:"))

    def samples(self, name: str) -> dict[str, float]:
        found = re.findall(rf"^{name}\{{(.*)\}} (\S+)$", ask(self.port, "/metrics"), re.MULTILINE)
        return {labels: float(value) for labels, value in found}


def test_a_topic_that_is_deleted_and_made_again_is_said_and_gone_on_with_when_accepted(world: Any) -> None:
    open_shop(world, items=2)
    first = [received(0, 5), received(0, 7), received(1, 1)]
    send(world, *first)
    watched = Watched(world)
    with watched.engine() as engine:
        wait_for(world, 12)
        until(watched.is_ready, 40, lambda: str(watched.readiness()))
        name = delete(world, "inventory.warehouse")
        until(lambda: f"topic {name} was deleted: " in watched.reason(), 30, engine.text)
        lags = [labels for labels in watched.samples("atp_input_lag_messages") if "warehouse" in labels]
        assert not lags, "a lag of a topic that is not there"
        world.create_topics()
        until(lambda: f"topic {name} was deleted and made again: " in watched.reason(), 30, engine.text)
        assert watched.samples("atp_input_topic_lost") == {f'reason="made_again",topic="{name}"': 1.0}
        assert f"atp topics accept {name}" in watched.reason()
        send(world, received(0, 100), *first)  # one more than there was: the old offset exists again

        def lag() -> float:
            return sum(n for labels, n in watched.samples("atp_input_lag_messages").items() if "warehouse" in labels)

        until(lambda: lag() == 4, 20, lambda: f"lag {lag()}")
        assert engine.text().count('"topic_lost"') == 2, engine.text()
        assert engine.text().count('"kafka_read"') <= 2, engine.text()
        [worker] = engine.wait_for_workers()
        answer = accept(world, "inventory.warehouse")
        assert answer.exit_code == 0 and "is read from its beginning" in answer.output, answer.output
        wait_for(world, 112)
        until(watched.is_ready, 40, lambda: str(watched.readiness()))
        assert not watched.samples("atp_input_topic_lost")
        parts = re.findall('partition="(.)",topic="[^"]*warehouse"', ask(watched.port, "/metrics"))
        assert set(parts) == {"0", "1"}
        assert worker.pid not in [one.pid for one in engine.workers()]
        send(world, received(1, 3))
        wait_for(world, 4, number=1)
        assert engine.stop() == 0, engine.text()
    assert not world.read("inventory.dead_letters")


def test_a_stopped_engine_goes_on_with_a_topic_that_was_made_again_twice(world: Any) -> None:
    open_shop(world, items=1)
    first, second, third = received(0, 1), received(0, 10), received(0, 100)
    send(world, first)
    catch_up(world, 1)
    name = make_again(world, "inventory.warehouse")
    send(world, first, second)
    refuses(world, f"topic {name} was deleted and made again", f"atp topics accept {name}")
    assert f"atp topics accept {name}" in findings(world)["state and topics"]["remedy"]
    answer = accept(world, "inventory.warehouse")
    assert answer.exit_code == 0 and "start the engine" in answer.output, answer.output
    again = accept(world, name)
    assert again.exit_code == 1 and "there is nothing to accept" in again.output, again.output
    catch_up(world, 11, workers=2)
    make_again(world, "inventory.warehouse")
    assert accept(world, name).exit_code == 0
    make_again(world, "inventory.warehouse")  # and not one run in between
    other = make_again(world, "inventory.supply")
    send(world, second, third, first)
    answer = accept(world, name)
    assert answer.exit_code == 0 and f"atp topics accept {other}" in answer.output, answer.output
    assert accept(world, other).exit_code == 0
    catch_up(world, 111)
    catch_up(world, 111)  # parts that are no more are in what is kept, and must not stop a start
    kept = msgspec.json.decode((world.state_dir / "engine.json").read_bytes())["inputs"]["topics"]
    assert len(kept[name]["earlier"]) == 3
    assert "earlier" not in kept[world.topic("inventory.orders")]
    assert not world.read("inventory.dead_letters")


def catch_up(world: Any, quantity: int, **overrides: object) -> None:
    """Read all there is, and end."""
    with Engine(world, "--until-caught-up", **overrides) as engine:
        assert engine.wait(60) == 0, engine.text()
    assert promised(world) == quantity


def test_an_engine_killed_right_after_a_topic_was_accepted_begins_at_the_new_ones_beginning(world: Any) -> None:
    open_shop(world, items=1, partitions=4)
    first = [received(0, 1), received(0, 10)]
    send(world, *first, partition=1)
    watched = Watched(world)
    with watched.engine(workers=2) as engine:
        wait_for(world, 11)
        name = make_again(world, "inventory.warehouse")  # with two partitions
        until(lambda: f"topic {name} was deleted and made again" in engine.text(), 30, engine.text)
        send(world, received(0, 100), *first, partition=1)
        answer = accept(world, name)
        assert answer.exit_code == 0, answer.output
        engine.kill_everything()
    with Engine(world, workers=2) as engine:
        wait_for(world, 111)
        engine.kill_everything()
    send(world, received(0, 1000), *first)
    catch_up(world, 1111)


def test_what_waited_in_a_topic_that_is_no_more_is_judged_all_the_same(world: Any) -> None:
    open_shop(world, items=1)
    late = event("stock_received", item=clock(0), location="NORTH", quantity=4)
    send(world, received(0, 1), late)
    with Engine(world, reference_grace="60s") as engine:
        wait_for(world, 1)
        engine.wait_until_it_reads(world, world.settings())
        assert engine.stop() == 0, engine.text()
    make_again(world, "inventory.warehouse")
    assert accept(world, "inventory.warehouse").exit_code == 0
    world.send("inventory.locations", {"location": "NORTH"}, key="NORTH")
    world.send("inventory.channels", {"channel": "web", "locations": ["EAST", "WEST", "NORTH"]}, key="web")
    world.flush()
    with Engine(world, workers=2, reference_grace="60s") as engine:
        wait_for(world, 5)
        assert engine.stop() == 0, engine.text()
    send(world, late)
    catch_up(world, 5)


def test_a_reference_topic_made_again_while_it_runs_is_said_and_read_when_accepted(world: Any) -> None:
    open_shop(world, items=2)
    take_in(world, 0, 5)
    watched = Watched(world)
    with watched.engine() as engine:
        wait_for(world, 5)
        name = make_again(world, "inventory.items")
        until(lambda: f"topic {name} was deleted and made again" in watched.reason(), 30, engine.text)
        for number in (7, 8, 9):
            world.send("inventory.items", {"item": clock(number)}, key=clock(number))
        world.flush()
        answer = accept(world, "inventory.items")
        assert answer.exit_code == 0 and "until a tombstone" in answer.output, answer.output
        take_in(world, 7, 9)
        wait_for(world, 9, number=7)
        take_in(world, 0, 1)
        wait_for(world, 6)  # the item that the new topic does not hold
        until(watched.is_ready, 40, lambda: str(watched.readiness()))
        assert engine.stop() == 0, engine.text()


def test_a_topic_that_cannot_be_accepted_is_refused_with_a_sentence(world: Any) -> None:
    open_shop(world, items=1)
    nowhere = accept(world, "inventory.orders")
    assert nowhere.exit_code == 2 and "holds no state of an engine" in nowhere.output, nowhere.output
    take_in(world, 0, 5)
    with Engine(world) as engine:
        wait_for(world, 5)
        same = accept(world, "inventory.orders")
        assert same.exit_code == 1 and "there is nothing to accept" in same.output, same.output
        other = accept(world, "atp.updates.high")
        assert other.exit_code == 1 and "is not a topic that the engine reads" in other.output, other.output
        delete(world, "inventory.orders")
        gone = accept(world, "inventory.orders")
        assert gone.exit_code == 1 and "does not exist: run `atp topics create`" in gone.output, gone.output
        assert engine.stop() == 0, engine.text()


def test_catching_up_ends_with_a_sentence_where_a_topic_is_gone(world: Any) -> None:
    open_shop(world, items=1)
    late = event("stock_received", item=clock(0), location="NORTH", quantity=4)
    send(world, late)
    with Engine(world, "--until-caught-up", reference_grace="60s") as engine:
        engine.wait_until_it_reads(world, world.settings())  # and waits for a location that may be on its way
        name = delete(world, "inventory.warehouse")
        assert engine.wait(40) == 1, engine.text()
        assert f"topic {name} was deleted" in engine.text()
