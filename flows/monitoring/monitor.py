"""What the supervisor knows of its workers and of the input, as metrics and as health: one answer for all processes."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric

from flows.kafka.parts import place_of
from flows.monitoring import health
from flows.monitoring.catalog import SPECS, WORKER
from flows.monitoring.lag import LagWatch, Row
from flows.monitoring.memory import share_of
from flows.monitoring.trail_watch import TrailWatch
from flows.monitoring.variance_watch import VarianceWatch
from schemas.settings import Settings

#: Within what a scrape (10 s by default) and a health check (3 s in the container) must have their answer.
PATIENCE_S = 2.0
#: Walking through the state directory costs milliseconds: not at every scrape.
SIZE_EVERY_S = 30.0

Report = dict[str, Any]


class ReportSource(Protocol):
    """Where a worker is asked for its report: `ReportClient` in flows/monitoring/report.py."""

    @property
    def answered_at(self) -> float:
        """When it answered last (monotonic clock)."""

    def ask(self, patience_s: float, /) -> Report | None:
        """Give what it says; None if it does not answer in time."""

    def close(self) -> None:
        """Let go of it."""


class RemoteWitness(Protocol):
    """What is asked of the copies of the state: `RemoteCopies` in flows/remote/copying.py."""

    @property
    def copied_at(self) -> float | None:
        """When the newest was taken, seconds since 1970; None: none was yet."""

    @property
    def sent_bytes(self) -> int:
        """Bytes sent so far."""

    @property
    def failures(self) -> int:
        """Copies that failed so far."""


class Member(NamedTuple):
    """One worker process."""

    #: 0: on another machine
    pid: int
    reports: ReportSource


class Freshness(NamedTuple):
    """What `engine:alive` says: can the numbers be trusted now, and how far they are behind."""

    is_ready: bool
    behind_ms: int


class Monitor:
    """Asked by the endpoint's threads, told by the supervisor's."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._members: dict[int, Member] = {}
        #: the workers that there should be
        self._numbers: Collection[int] = range(settings.workers)
        self._phase = "starting"
        #: another engine runs, and this one could take over from it
        self._stands_by = self._may_take_over = False
        self._parts: frozenset[str] = frozenset()
        self._token = 0
        self._restarts = 0
        #: input topics that were deleted, or made again
        self._lost: Mapping[str, str] = {}
        self._is_kept = False
        self._copies: RemoteWitness | None = None
        self._lag = LagWatch(settings)
        self._variances = VarianceWatch(settings)
        self._trail = TrailWatch(settings)
        self._pool = ThreadPoolExecutor(max(2, settings.workers), thread_name_prefix="ask")
        self._size: tuple[float, int] = (-SIZE_EVERY_S, 0)
        #: the newest row of each partition: what is in Redis stays there while workers are started again
        self._rows: dict[str, Row] = {}

    # --- the supervisor's side ---------------------------------------------------------------------------------------

    def waits(self, reason: str) -> None:
        """No worker runs, for that reason."""
        self._phase, self._stands_by, self._may_take_over = reason, False, False

    def stands_by(self, reason: str, may_take_over: bool) -> None:
        """No worker runs, for another engine does; whether this one has all that it takes to follow it."""
        self._phase, self._stands_by, self._may_take_over = reason, True, may_take_over
        self._copies = None  # of a run that this one had before

    def finds(self, is_kept: bool) -> None:
        """This start found state to go on with, or none."""
        self._is_kept = is_kept

    def begins(self, token: int, parts: Iterable[str], members: dict[int, Member]) -> None:
        """The workers of a run have been started."""
        self._parts, self._token = frozenset(parts), token
        self._lag.follow(self._parts)
        self._variances.start()
        self._trail.start()
        with self._lock:
            self._members = members
        self._numbers = sorted(members)
        self._phase, self._stands_by, self._may_take_over = "", False, False

    def ends(self, reason: str) -> None:
        """The workers are gone."""
        self._phase = reason
        with self._lock:
            members, self._members = self._members, {}
        for member in members.values():
            member.reports.close()

    def restarts(self) -> None:
        """They will be started again."""
        self._restarts += 1

    def loses(self, topics: Mapping[str, str]) -> None:
        """These topics are not what they were when the run began; what became of each."""
        self._lost = topics

    def copies(self, copies: RemoteWitness) -> None:
        """The state is copied to elsewhere, which is asked of this."""
        self._copies = copies

    def confirms(self, topics: Collection[str], moment: float) -> None:
        """These are what they were, as was asked at `moment` (wall clock, seconds)."""
        self._lag.confirm(topics, moment)

    def close(self) -> None:
        """Look and ask no more."""
        self._lag.close()
        self._variances.close()
        self._trail.close()
        self._pool.shutdown(wait=False)

    # --- health ------------------------------------------------------------------------------------------------------

    def alive(self) -> list[health.Check]:
        """Would a restart help?"""
        return health.alive(self._facts(self._ask()))

    def ready(self) -> list[health.Check]:
        """Can the numbers be trusted now?"""
        return health.ready(self._facts(self._ask()))

    def in_place(self) -> list[health.Check]:
        """Can the numbers be trusted now, or could it take over from the engine that it stands by for?"""
        return [health.Check("stands_by")] if self._may_take_over else self.ready()

    @property
    def has_workers(self) -> bool:
        """Do workers run, as far as is known without asking them?"""
        return not self._phase

    def freshness(self) -> Freshness:
        """Ask the workers, which takes up to PATIENCE_S where one does not answer. For one thread."""
        reports = self._ask()
        for part, row in _rows(reports.values()).items():
            self._rows[part] = max(self._rows.get(part, row), row)
        facts = self._facts(reports)
        is_ready = all(check.is_ok for check in health.ready(facts)) and health.sees_redis(facts)
        return Freshness(is_ready, int(self._lag.behind(self._rows) * 1000))

    def reports(self) -> dict[int, Report | None]:
        """Ask the workers how they are, by number; None where one does not answer."""
        return self._ask()

    def _ask(self) -> dict[int, Report | None]:
        with self._lock:
            members = dict(self._members)
        asked = {number: self._pool.submit(member.reports.ask, PATIENCE_S) for number, member in members.items()}
        return {number: future.result() for number, future in asked.items()}

    def _facts(self, reports: Mapping[int, Report | None]) -> health.Facts:
        rows = _rows(reports.values())
        moment = time.monotonic()
        with self._lock:
            silence = {
                number: moment - member.reports.answered_at
                for number, member in self._members.items()
                if reports.get(number) is None
            }
        return health.Facts(
            phase=self._phase,
            states={number: report["state"] if report else None for number, report in reports.items()},
            silence_s=silence,
            lags=self._lag.lags(rows, self._lost),
            lost=self._lost,
            told=frozenset(rows) & self._parts,
            parts=self._parts,
            epoch_interval_s=self._settings.state.epoch_interval / 1e6,
        )

    # --- metrics -----------------------------------------------------------------------------------------------------

    def collect(self, names: Collection[str] = ()) -> Iterator[Metric]:
        """Give everything, as a registry of the Prometheus client wants it; or metrics of these names alone."""
        for family in chain(self._families().values(), self._processes()):
            if not names or not {family.name, f"{family.name}_total"}.isdisjoint(names):
                yield family

    def _families(self) -> dict[str, Metric]:
        reports = self._ask()
        facts = self._facts(reports)
        families: dict[str, Metric] = {}
        for number, report in sorted(reports.items()):
            if report is not None:
                for name, samples in report["samples"].items():
                    for suffix, labels, value in samples:
                        _add(families, name, suffix, {WORKER: str(number), **labels}, value)
        for name, labels, value in self._own(reports, facts):
            _add(families, name, "_total" if SPECS[name].kind == "counter" else "", labels, value)
        return families

    def _own(
        self, reports: Mapping[int, Report | None], facts: health.Facts
    ) -> Iterator[tuple[str, dict[str, str], float]]:
        for part, lag in sorted(facts.lags.items()):
            topic, partition = place_of(part)
            labels = {"topic": topic, "partition": str(partition)}
            yield "atp_input_lag_messages", labels, lag.messages
            yield "atp_input_lag_seconds", labels, lag.seconds
        for topic, fate in sorted(self._lost.items()):
            yield "atp_input_topic_lost", {"topic": topic, "reason": fate}, 1
        if self._lag.told_at is not None:
            yield "atp_input_ends_timestamp_seconds", {}, self._lag.told_at
        yield "atp_standby", {}, float(self._stands_by)
        for check in () if self._stands_by else health.ready(facts):
            yield "atp_ready", {"check": check.name}, float(check.is_ok)
        for number in self._numbers:
            yield "atp_worker_up", {"worker": str(number)}, float(reports.get(number) is not None)
        yield from self._variances.samples()
        yield from self._trail.samples()
        yield "atp_worker_restarts", {}, self._restarts
        yield "atp_run_token", {}, self._token
        yield "atp_memory_limit_bytes", {}, share_of(self._settings)
        yield "atp_state_bytes", {}, self._state_bytes()
        yield "atp_state_kept", {}, float(self._is_kept)
        if self._copies is not None:
            if self._copies.copied_at is not None:
                yield "atp_remote_copied_timestamp_seconds", {}, self._copies.copied_at
            yield "atp_remote_sent_bytes", {}, self._copies.sent_bytes
            yield "atp_remote_failures", {}, self._copies.failures
        versions = {
            "version": version("atp-engine"),
            "bytewax_version": version("bytewax"),
            "python_version": platform.python_version(),
        }
        yield "atp_build_info", versions, 1

    def _processes(self) -> Iterator[Metric]:
        """What the operating system says of each process, told apart by `worker`."""
        with self._lock:
            pids = {str(number): member.pid for number, member in self._members.items() if member.pid}
        families: dict[str, Metric] = {}
        for name, pid in {**pids, "supervisor": os.getpid()}.items():
            for metric in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                known = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                for sample in metric.samples:
                    known.add_sample(sample.name, {WORKER: name, **sample.labels}, sample.value)
        yield from families.values()

    def _state_bytes(self) -> int:
        moment = time.monotonic()
        if moment - self._size[0] >= SIZE_EVERY_S:
            self._size = (moment, _size_of(self._settings.state.dir))
        return self._size[1]


def _add(families: dict[str, Metric], name: str, suffix: str, labels: dict[str, str], value: float) -> None:
    family = families.get(name)
    if family is None:
        spec = SPECS[name]
        family = families[name] = Metric(name, spec.help, spec.kind)
    family.add_sample(name + suffix, labels, value)


def _rows(reports: Iterable[Report | None]) -> dict[str, Row]:
    """Give each partition's newest row: workers know of each other's through Redis, a moment later."""
    rows: dict[str, Row] = {}
    for report in reports:
        for part, (position, clock) in (report or {}).get("rows", {}).items():
            row = Row(position, clock / 1e6)
            rows[part] = max(rows.get(part, row), row)
    return rows


def _size_of(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(path, name)).st_size
            except OSError:
                continue  # merged away in this moment
    return total
