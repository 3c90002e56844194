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
from schemas.variances import OWN_SOURCE

#: What the engine writes because of statements, under a source of its own.
OWN_TYPES = ("stock_withheld", "stock_counted")


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything; never raises for what is wrong."""
    yield Finding("configuration", True, "read, every setting known and in range")
    yield from own_words(settings)
    answers = True
    for finding in kafka_findings(settings):
        answers &= finding.subject != "kafka" or finding.is_ok
        yield finding
    yield from redis_findings(settings)
    yield from state_findings(settings, answers)
    yield running(settings)


def own_words(settings: Settings) -> Iterator[Finding]:
    """Warn where the settings of its own source would have the engine refuse what it holds and corrects."""
    own = settings.sources.get(OWN_SOURCE)
    if own is None or not settings.reconciliation.enabled:
        return
    table = f"[sources.{OWN_SOURCE}]"
    missing = [kind for kind in OWN_TYPES if own.may_send is not None and kind not in own.may_send]
    if missing:
        yield Finding(
            "reconciling",
            True,
            f"{table} may_send leaves out {' and '.join(missing)}: the engine would refuse its own holds and "
            "corrections as not_allowed",
            f"take may_send out of {table}, or add {' and '.join(missing)} to it",
            is_warning=True,
        )
    if own.locations is not None:
        named = ", ".join(sorted(own.locations)) or "none"
        yield Finding(
            "reconciling",
            True,
            f"{table} locations names {named}: elsewhere the engine would refuse its own holds and corrections as "
            "not_allowed",
            f"take locations out of {table}; where actions hold says the source's record in inventory.reconciliation",
            is_warning=True,
        )


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
