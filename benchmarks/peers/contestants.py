"""Names who takes part, how each is started, and with which settings."""

from __future__ import annotations

import os
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.peers import environment, measure
from benchmarks.peers.workload import WAREHOUSE
from flows.processes.addresses import free_ports

TOPICS, KEYS = "peers.", "peers:"
PARTITIONS = 4
#: How often our engine is asked how far it is: each answer is at its own cost.
ASK_S = 0.5


@dataclass(frozen=True)
class Contestant:
    """A tool, and what it was set to."""

    name: str
    title: str
    settings: str
    command: Callable[[Path], list[str]]
    is_ours: bool = False


def _engine(_: Path) -> list[str]:
    return [sys.executable, "-m", "flows.cli", "run", "--until-caught-up"]


def _bytewax(folder: Path) -> list[str]:
    from bytewax.recovery import init_db_dir

    recovery = folder / "recovery"
    recovery.mkdir()
    init_db_dir(recovery, 1)
    flow = "benchmarks.peers.bytewax_peer"
    return [sys.executable, "-m", "bytewax.run", flow, "-r", str(recovery), "-s", "10", "-b", "0"]


ALL: Final = (
    Contestant(
        "ours",
        "this engine",
        "one worker, recovery on, epoch 1 s, 64 shards; writes Redis (numbers and positions) and Kafka (updates in "
        "four lanes, merged, and positions); starts from state in which all items are known",
        _engine,
        is_ours=True,
    ),
    Contestant(
        "kafka_streams",
        "Kafka Streams 4.3.1, durable",
        "Processor API, Java 17, one thread, exactly_once_v2 (commits every 100 ms), RocksDB stores with changelogs "
        "(positions cached), a window store of 24 h for ids looked up by point, Jackson, lz4, heap 1 GB, SerialGC",
        lambda _: [*environment.kafka_streams(), "durable"],
    ),
    Contestant(
        "kafka_streams_memory",
        "Kafka Streams 4.3.1, nothing durable",
        "the same program, plain maps on the heap, no changelog, at least once: its upper bound",
        lambda _: [*environment.kafka_streams(), "memory"],
    ),
    Contestant(
        "quix",
        "Quix Streams 3.28.1",
        "one stateful function, exactly once, RocksDB with changelogs, ids with a TTL of 24 h, commits every 5 s, lz4",
        lambda _: environment.quix_streams(),
    ),
    Contestant(
        "bytewax",
        "plain Bytewax 0.21.1",
        "its own Kafka source and sink, one key an item, one event a datum, recovery on, epoch 10 s (its default), "
        "at least once",
        _bytewax,
    ),
)


def run(contestant: Contestant, bootstrap_servers: str, redis_url: str, folder: Path, events: int) -> measure.Run:
    """Run one of them over the loaded topic until it is through; LeftOut if it cannot run here."""
    command = contestant.command(folder)
    root = str(environment.ROOT)
    if contestant.is_ours:
        return run_engine(bootstrap_servers, redis_url, folder, events)
    told = {
        "PEER_BROKERS": bootstrap_servers,
        "PEER_INPUT": TOPICS + WAREHOUSE,
        "PEER_OUTPUT": output_topic(contestant),
        "PEER_GROUP": f"peers-{contestant.name.replace('_', '-')}",
        "PEER_STATE": str(folder / "state"),
        "PEER_EVENTS": str(events),
        "PYTHONPATH": root,
    }
    return measure.run(command, {**os.environ, **told}, folder, events, measure.said)


def run_engine(bootstrap_servers: str, redis_url: str, folder: Path, events: int) -> measure.Run:
    """Run our engine once, until it has caught up, with its state in `folder`."""
    port = free_ports(1)[0]
    given = {**engine_settings(bootstrap_servers, redis_url, folder), "metrics.port": str(port)}
    ours = {f"ATP_{name.replace('.', '__').upper()}": value for name, value in given.items()}
    told = {**os.environ, **ours, "PYTHONPATH": str(environment.ROOT), "ATP_CONFIG": ""}
    most, asked_at = 0.0, 0.0

    def applied(_: Path) -> float:
        nonlocal most, asked_at
        if time.monotonic() - asked_at >= ASK_S:
            most, asked_at = max(most, _units(port)), time.monotonic()
        return most

    return measure.run(_engine(folder), told, folder, events, applied)


def engine_settings(bootstrap_servers: str, redis_url: str, folder: Path) -> dict[str, str]:
    """Give the engine's settings that are not its defaults."""
    return {
        "kafka.bootstrap_servers": bootstrap_servers,
        "kafka.partitions": str(PARTITIONS),
        "redis.url": redis_url,
        "state.dir": str(folder / "state"),
        "topics.prefix": TOPICS,
        "redis.prefix": KEYS,
    }


def output_topic(contestant: Contestant) -> str:
    """Name the topic that a peer writes to."""
    return f"{TOPICS}updates.{contestant.name}"


def _units(port: int) -> float:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=1) as answer:
            text = answer.read().decode()
    except OSError:
        return 0.0
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("atp_units_total{"))
