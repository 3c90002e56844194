"""How fast one engine drains a backlog: real Kafka in and out, Valkey, recovery on.

    python -m benchmarks.drain --events 300000 --items 100000

Prints one line of JSON: messages and units a second from the first to the last one applied, and the worker's memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from flows import load, topics
from flows.embedded import Servers
from flows.supervisor import free_ports
from flows.traffic import Profile
from schemas.settings import Settings, load_settings

SAMPLE_S = 0.1


def overrides(servers: Servers, folder: Path, workers: int, port: int) -> dict[str, object]:
    """Give the settings of the measured engine."""
    return {
        "kafka.bootstrap_servers": servers.bootstrap_servers,
        "redis.url": servers.redis_url,
        "state.dir": str(folder / "state"),
        "metrics.port": port,
        "workers": workers,
        "topics.prefix": "bench.",
        "redis.prefix": "bench:",
    }


def environment(given: dict[str, object]) -> dict[str, str]:
    """Give them as an environment for a child process."""
    root = str(Path(__file__).resolve().parent.parent)
    ours = {f"ATP_{name.replace('.', '__').upper()}": str(value) for name, value in given.items()}
    return {**os.environ, **ours, "PYTHONPATH": root, "ATP_CONFIG": ""}


def units_applied(port: int) -> float:
    """Read how many units were judged so far."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=3) as answer:
            text = answer.read().decode()
    except OSError:
        return 0.0
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("atp_units_total{"))


def drain(given: dict[str, object], port: int) -> dict[str, Any]:
    """Run the engine until it has caught up; sample what it did."""
    profile_to = os.environ.get("ATP_BENCH_PROFILE")
    command = [sys.executable, "-m", "flows.cli", "run", "--until-caught-up"]
    started = time.monotonic()
    engine = subprocess.Popen(command, env=environment(given))
    samples: list[tuple[float, float]] = []
    memory = 0
    cpu: dict[float, float] = {}
    while engine.poll() is None:
        time.sleep(SAMPLE_S)
        samples.append((time.monotonic(), units_applied(port)))
        for child in psutil.Process(engine.pid).children(recursive=True) if engine.poll() is None else []:
            try:
                memory = max(memory, child.memory_info().rss)
                times = child.cpu_times()
                cpu[samples[-1][0]] = times.user + times.system
            except psutil.NoSuchProcess:
                continue
    assert engine.returncode == 0, f"the engine ended with {engine.returncode} (profile: {profile_to})"
    total = max((count for _, count in samples), default=0.0)
    busy = [moment for moment, count in samples if count > 0]
    done = next((moment for moment, count in samples if count >= total), 0.0)
    return {
        "seconds_in_all": round(time.monotonic() - started, 2),
        "units": total,
        "busy_s": round(done - busy[0], 2) if busy else 0.0,
        "first": samples and next((count for _, count in samples if count), 0.0),
        "rss_mb_max": memory // 1_000_000,
        "cpu_s": round(cpu.get(done, 0.0) - cpu.get(busy[0], 0.0), 1) if busy else 0.0,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--locations", type=int, default=5)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--zipf", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=1)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Servers(Path(name) / "servers", progress=print) as servers:
        port = free_ports(1)[0]
        given = overrides(servers, Path(name), told.workers, port)
        settings: Settings = load_settings(None, given)
        topics.create(settings)
        profile = Profile(
            items=told.items, locations=told.locations, channels=told.channels, zipf=told.zipf, events=told.events
        )
        report = load.send(settings, profile, rate=0, with_reference=True)
        print(f"sent {report.events} messages in {report.seconds:.1f} s", flush=True)
        result = drain(given, port)
        result["messages"] = told.events
        rate = (result["units"] - result["first"]) / result["busy_s"] if result["busy_s"] else 0.0
        result["units_per_s"] = round(rate)
        result["messages_per_s"] = round(rate * told.events / max(1.0, result["units"]))
        print(json.dumps(result))


if __name__ == "__main__":
    main()
