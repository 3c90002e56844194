"""Decides whether configuration, Kafka, Redis and the state directory fit together, before anything runs on them."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path

from flows.inspection.finding import Finding
from flows.inspection.kafka_findings import kafka_findings
from flows.inspection.redis_findings import redis_findings
from flows.inspection.state_findings import state_findings
from flows.inspection.status import read_alive
from schemas.settings import Settings


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything; never raises for what is wrong."""
    yield Finding("configuration", True, "read, every setting known and in range")
    answers = True
    for finding in kafka_findings(settings):
        answers &= finding.subject != "kafka" or finding.is_ok
        yield finding
    yield from redis_findings(settings)
    yield from state_findings(settings, answers)
    yield running(settings)


def running(settings: Settings) -> Finding:
    """Say whether an engine runs: on this state directory, by its lock; with this Redis, by what it says of itself."""
    here = is_locked(settings.state.dir)
    said, _ = read_alive(settings)
    where = f"runs on {settings.state.dir}" if here else "runs with this Redis and prefix, on another state.dir"
    if said:
        ready = "ready" if said.get("ready") == "1" else "not ready"
        behind = f", {int(said['behind_ms']) / 1000:.1f} s behind" if said.get("behind_ms", "").isdigit() else ""
        version = f" {said['version']}" if said.get("version") else ""
        return Finding("engine", True, f"one{version} {where}: {ready}{behind}")
    if here:
        return Finding("engine", True, f"one {where}")
    silent = "" if said is None else ", and none says in Redis that it does"
    return Finding("engine", True, f"none runs on {settings.state.dir}{silent}")


def is_locked(folder: Path) -> bool:
    """Does a process hold the lock of a state directory? Takes nothing, and makes nothing."""
    try:
        with (folder / "lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    except OSError:
        pass  # no such folder, or not ours to look into: other findings say so
    return False
