"""State, topics and functions that do not belong together are noticed at the start, and said."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import msgspec
from confluent_kafka.admin import AdminClient, NewPartitions
from typer.testing import CliRunner

from flows.cli.app import app
from flows.readmodel.store import library, library_version
from tests.running import Engine, until
from tests.shop import clock, open_shop, promised, received, take_in, wait_for


@cache
def admin(world: Any) -> AdminClient:
    """One a world, kept: its answers end with it."""
    return AdminClient({"bootstrap.servers": world.servers.bootstrap_servers, "log_level": 0})


def findings(world: Any, **overrides: object) -> dict[str, dict[str, Any]]:
    result = CliRunner().invoke(app, ["check", "--json"], env=world.env(**overrides))
    return {one["subject"]: one for one in json.loads(result.stdout)["findings"]}


def refuses(world: Any, *sentences: str, code: int = 2, **overrides: object) -> None:
    """The engine ends at its start, and says that."""
    with Engine(world, **overrides) as engine:
        assert engine.wait(40) == code, engine.text()
        for sentence in sentences:
            assert sentence in engine.text(), engine.text()


def run_once(world: Any, **overrides: object) -> None:
    with Engine(world, "--until-caught-up", **overrides) as engine:
        assert engine.wait(40) == 0, engine.text()


def test_an_input_topic_made_again_is_not_read_in_its_middle(world: Any) -> None:
    open_shop(world, items=1)
    take_in(world, 0, 5)
    run_once(world)
    assert promised(world) == 5
    assert findings(world)["state and topics"]["ok"] and findings(world)["resume point"]["ok"]
    name = world.topic("inventory.warehouse")
    admin(world).delete_topics([name])[name].result(20)
    until(lambda: name not in admin(world).list_topics(timeout=10).topics, 20, "the topic's end")
    world.create_topics()
    for _ in range(6):  # more than there was, so that the old offset exists again
        world.send("inventory.warehouse", received(0, 100))
    world.flush()
    found = findings(world)["state and topics"]
    assert not found["ok"] and "was deleted and made again" in found["seen"], found
    refuses(world, f"topic {name} was deleted and made again", f"`atp topics accept {name}`", "--from-scratch")
    assert promised(world) == 5


def test_a_reference_topic_made_again_is_read_from_its_beginning(world: Any) -> None:
    open_shop(world, items=3)
    take_in(world, 0, 5)
    run_once(world)
    name = world.topic("inventory.items")
    admin(world).delete_topics([name])[name].result(20)
    until(lambda: name not in admin(world).list_topics(timeout=10).topics, 20, "the topic's end")
    world.create_topics()
    for number in (7, 0, 1, 2):  # the new item lies before the place where the old topic had been read to
        world.send("inventory.items", {"item": clock(number)}, key=clock(number))
    world.flush()
    take_in(world, 7, 9)
    with Engine(world, "--until-caught-up") as engine:
        assert engine.wait(40) == 0, engine.text()
        assert "was deleted and made again: it is read from its beginning" in engine.text()
    assert (promised(world), promised(world, 7)) == (5, 9)


def test_state_of_other_topics_or_another_cluster_is_refused(world: Any) -> None:
    open_shop(world, items=1)
    take_in(world, 0, 5)
    run_once(world)
    facts = world.state_dir / "engine.json"
    kept = msgspec.json.decode(facts.read_bytes())

    def rewrite(**changes: Any) -> None:
        facts.write_bytes(msgspec.json.encode({**kept, "inputs": {**kept["inputs"], **changes}}))

    rewrite(cluster="another-cluster")
    refuses(world, "belongs to the Kafka cluster another-cluster")
    assert not findings(world)["state and topics"]["ok"]
    rewrite(topics={f"elsewhere.{name}": one for name, one in kept["inputs"]["topics"].items()})
    refuses(world, "topics.prefix", "was made from elsewhere.")
    facts.write_bytes(msgspec.json.encode({**kept, "format": 99}))
    refuses(world, "format 99")
    assert not findings(world)["state format"]["ok"]
    facts.write_bytes(msgspec.json.encode({**kept, "inputs": None}))  # as a version wrote it that did not look
    run_once(world)
    assert msgspec.json.decode(facts.read_bytes())["inputs"] == kept["inputs"]


def test_new_partitions_are_noticed_while_it_runs_and_read_from_the_next_start(world: Any, monkeypatch: Any) -> None:
    env = world.env()
    monkeypatch.setattr(world, "env", lambda **_: {**env, "ATP_TEST_PARTITIONS_EVERY_S": "0.5"})
    open_shop(world, items=1)
    take_in(world, 0, 5)
    name = world.topic("inventory.warehouse")
    with Engine(world) as engine:
        wait_for(world, 5)
        admin(world).create_partitions([NewPartitions(name, 3)])[name].result(20)
        until(lambda: f"{name} has 3 partitions now, 2 when" in engine.text(), 20, engine.text)
        assert engine.stop() == 0, engine.text()
    world._producer = None  # it knows two partitions
    world.send("inventory.warehouse", received(0, 2), partition=2)
    world.flush()
    with Engine(world, "--until-caught-up") as engine:
        assert engine.wait(40) == 0, engine.text()
        assert f"{name} has 3 partitions now, 2 before: all are read" in engine.text()
    assert promised(world) == 7


def test_a_topic_that_no_longer_reaches_back_is_said_and_not_jumped_over(world: Any) -> None:
    from confluent_kafka import TopicPartition

    open_shop(world, items=1, partitions=1)
    take_in(world, 0, 5)
    run_once(world)
    for _ in range(3):
        world.send("inventory.warehouse", received(0, 1))
    world.flush()
    for done in admin(world).delete_records([TopicPartition(world.topic("inventory.warehouse"), 0, 3)]).values():
        done.result(20)
    found = findings(world)["resume point"]
    assert not found["ok"] and "the next offset is 1, and the oldest record there 3" in found["seen"], found
    refuses(world, "offset 1, where this engine has to go on, is not in Kafka any more", "raise the topic's", code=1)
    assert promised(world) == 5


def test_functions_of_a_newer_engine_are_not_replaced_and_older_ones_are(world: Any) -> None:
    open_shop(world, items=1)
    ours = library_version()
    newer = library().replace(f"local VERSION = '{ours}'", f"local VERSION = '{ours + 1}'")
    try:
        world.redis.function_load(newer, replace=True)
        assert f"version {ours + 1} is loaded" in findings(world)["redis library"]["seen"]
        refuses(world, f"Redis holds version {ours + 1} of the engine's functions", "FUNCTION DELETE atp", code=1)
        older = library().replace(f"local VERSION = '{ours}'", f"local VERSION = '{ours - 1}'")
        world.redis.function_load(older, replace=True)
        run_once(world)
        assert int(world.redis.fcall("atp_version", 0)) == ours
    finally:
        world.redis.function_load(library(), replace=True)
