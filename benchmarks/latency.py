"""From an event's send until its number can be read in Redis, under a steady load: real Kafka, Valkey, recovery on.

    python -m benchmarks.latency --rate 5000 --seconds 30

A prober sends one receipt every 20 ms for an item of its own and reads Redis until the number is there; the load runs
beside it in a process of its own. Prints one line of JSON, milliseconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import orjson
import redis
from confluent_kafka import Producer

from benchmarks.drain import environment, overrides
from flows import load, topics
from flows.embedded import Servers
from flows.supervisor import free_ports
from flows.traffic import Profile
from schemas.settings import load_settings

PROBES = 200
PROBE_EVERY_S = 0.02
PATIENCE_S = 20.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--items", type=int, default=100_000)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Servers(Path(name) / "servers", progress=print) as servers:
        given = overrides(servers, Path(name), 1, free_ports(1)[0])
        settings = load_settings(None, given)
        topics.create(settings)
        load.send(settings, Profile(items=told.items, events=1), rate=0, with_reference=True)
        producer = Producer({"bootstrap.servers": servers.bootstrap_servers, "linger.ms": 0, "acks": "all"})
        for number in range(PROBES):
            code = f"PROBE-{number:03}"
            producer.produce("bench.inventory.items", orjson.dumps({"item": code}), code)
        producer.flush()
        engine = subprocess.Popen([sys.executable, "-m", "flows.cli", "run"], env=environment(given))
        reader = redis.Redis.from_url(servers.redis_url)
        _wait(reader, f"bench:atp:PROBE-{PROBES - 1:03}")
        traffic = subprocess.Popen(
            [
                sys.executable, "-m", "flows.cli", "load", "--no-reference", "--rate", str(told.rate),
                "--events", str(told.rate * (told.seconds + 5)), "--items", str(told.items),
            ],
            env=environment(given), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            time.sleep(3)
            waits = _probe(producer, reader, told.seconds)
        finally:
            for process in (traffic, engine):
                process.terminate()
                process.wait(60)
        waits.sort()
        at = {f"p{share}": round(1000 * waits[int(len(waits) * share / 100)], 1) for share in (50, 90, 95, 99)}
        print(json.dumps({"rate": told.rate, "probes": len(waits), **at, "max": round(1000 * waits[-1], 1)}))


def _wait(reader: redis.Redis, key: str) -> None:
    deadline = time.monotonic() + 120
    while not reader.exists(key):
        assert time.monotonic() < deadline, f"{key} did not appear"
        time.sleep(0.1)
    time.sleep(2)


def _probe(producer: Producer, reader: redis.Redis, seconds: int) -> list[float]:
    waits = []
    stop = time.monotonic() + seconds
    sent = 0
    while time.monotonic() < stop:
        item, wanted = f"PROBE-{sent % PROBES:03}", 10 * (sent // PROBES + 1)
        sent += 1
        event = {
            "event_id": f"probe-{sent}", "type": "stock_received", "source": "probe", "item": item,
            "occurred_at": datetime.now(UTC).isoformat(), "location": "DC-1", "quantity": 10,
        }  # fmt: skip
        started = time.monotonic()
        producer.produce("bench.inventory.warehouse", orjson.dumps(event), item)
        producer.poll(0)
        while int(reader.hget(f"bench:position:{item}", "DC-1:on_hand") or 0) < wanted:
            if time.monotonic() - started > PATIENCE_S:
                raise TimeoutError(f"{item} did not reach {wanted}")
            time.sleep(0.0005)
        waits.append(time.monotonic() - started)
        time.sleep(max(0.0, PROBE_EVERY_S - waits[-1]))
    return waits


if __name__ == "__main__":
    main()
