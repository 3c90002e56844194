"""Section 8: the command `atp`, its settings and its exit codes."""

from __future__ import annotations

import json
import signal
import time

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from tests.conftest import World
from tests.contract.lab import Lab
from tests.running import Engine

NOBODY = "127.0.0.1:1"


def test_topics_are_made_as_the_contract_wants_them(world: World) -> None:
    lab = Lab(world)
    admin = AdminClient({"bootstrap.servers": world.servers.bootstrap_servers})
    inputs = (
        "inventory.warehouse", "inventory.orders", "inventory.supply", "inventory.statements", "inventory.decisions",
    )  # fmt: skip
    reference = (
        "inventory.items", "inventory.locations", "inventory.channels", "inventory.channel_items",
        "inventory.reconciliation", "inventory.aliases",
    )  # fmt: skip
    updates = tuple(f"atp.updates.{lane}" for lane in ("critical", "high", "normal", "bulk"))
    told = ("inventory.positions", "inventory.variances", "inventory.statements.status", "inventory.documents")
    others = ("inventory.exceptions", "inventory.dead_letters", "inventory.statements.tallies")
    names = [world.topic(name) for name in (*inputs, *reference, *updates, *told, *others)]
    known = admin.list_topics(timeout=10).topics
    assert {name for name in known if name.startswith(world.topic_prefix)} == set(names)
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    found = {
        resource.name: {name: entry.value for name, entry in done.result(10).items()}
        for resource, done in admin.describe_configs(asked).items()
    }
    assert all(found[world.topic(name)]["message.timestamp.type"] == "LogAppendTime" for name in inputs)
    for_ever = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    assert all(for_ever.items() <= found[world.topic(name)].items() for name in inputs)
    compacted = (*reference, *updates, *told)
    assert all(found[world.topic(name)]["cleanup.policy"] == "compact" for name in compacted)
    assert all(len(known[world.topic(name)].partitions) == 1 for name in reference)
    assert all(int(found[world.topic(name)]["max.message.bytes"]) > 1_048_576 for name in inputs)
    assert int(found[world.topic("inventory.dead_letters")]["max.message.bytes"]) > 1_048_576
    assert lab.atp("topics", "create").returncode == 0, "what is there already is no fault"
    assert lab.atp("check").returncode == 0


def test_catching_up_with_nothing_ends_well_and_publishes_nothing(world: World) -> None:
    lab = Lab(world)
    lab.catch_up("--workers", "3")
    assert lab.updates() == [] and lab.exceptions() == [] and lab.codes() == {}


def test_sigint_ends_it_with_exit_code_0(world: World) -> None:
    lab = Lab(world)
    with Engine(world, **lab.env) as engine:
        engine.wait_for_workers()
        findings = json.loads(lab.atp("check", "--json").stdout)["findings"]
        (seen,) = (finding["seen"] for finding in findings if finding["subject"] == "engine")
        assert f"runs on {world.state_dir}" in seen and seen.startswith("one ")
        engine.process.send_signal(signal.SIGINT)
        assert engine.wait(30) == 0, engine.text()


@pytest.mark.parametrize(
    "absent", [{"kafka__bootstrap_servers": NOBODY}, {"redis__url": f"redis://{NOBODY}/0"}], ids=["kafka", "redis"]
)
def test_without_kafka_or_redis_it_ends_with_1_and_a_sentence_that_names_the_setting(
    world: World, absent: dict[str, object]
) -> None:
    lab = Lab(world)
    began = time.monotonic()
    done = lab.atp("run", **absent)
    assert (done.returncode, time.monotonic() - began < 15) == (1, True), "5 s of waiting and the start of Python"
    (sentence,) = done.stderr.strip().splitlines()
    assert NOBODY in sentence and ("kafka.bootstrap_servers" in sentence or "redis.url" in sentence)


def test_settings_come_from_the_file_then_the_environment_then_flags(world: World) -> None:
    world.config.write_text(
        'dedup_window = "nonsense"\nclosed_line_retention = "600"\nworkers = 1\n'
        '[state]\nepoch_interval = "50ms"\n[sources.wms]\nstale_after = "1.5h"\nmay_send = ["stock_counted"]\n'
    )
    lab = Lab.__new__(Lab)
    lab.world, lab.env = world, {}
    wrong = lab.atp("check", "--json")
    assert wrong.returncode == 2 and "dedup_window" in wrong.stderr
    done = lab.atp(
        "check", "--json", "--set", "workers=2", dedup_window="5m", workers=3, state__epoch_interval="1500ms"
    )
    said = json.loads(done.stdout)["settings"]
    assert done.returncode == 1, "the topics are missing"
    assert (said["dedup_window"], said["workers"], said["state"]["epoch_interval"]) == ("5m", 2, "1500ms")
    assert said["closed_line_retention"] == "10m"
    assert said["sources"]["wms"].items() >= {"may_send": ["stock_counted"], "stale_after": "90m"}.items()


def test_lines_that_are_forgotten_before_the_widest_window_ends_are_refused(world: World) -> None:
    lab = Lab.__new__(Lab)
    lab.world, lab.env = world, {}
    done = lab.atp("run", dedup_window="5m", closed_line_retention="299s")
    assert done.returncode == 2 and "closed_line_retention" in done.stderr, done.stderr


def test_what_is_wrong_with_settings_or_usage_ends_with_2(world: World) -> None:
    lab = Lab.__new__(Lab)
    lab.world, lab.env = world, {}
    for arguments in (("run", "--nope"), ("run", "--config", "/does/not/exist.toml")):
        done = lab.atp(*arguments)
        assert done.returncode == 2 and done.stderr.strip(), arguments
    every: dict[str, object] = {
        "dedup_window": "abc", "workers": 0, "metrics__port": 70_000, "redis__url": "http://x", "nonsense": 1,
        "state__epoch_interval": "1x",
    }  # fmt: skip
    done = lab.atp("run", **every)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    for name in ("dedup_window", "workers", "metrics.port", "redis.url", "NONSENSE", "state.epoch_interval"):
        assert name in done.stderr
