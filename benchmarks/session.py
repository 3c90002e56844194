"""One engine under one timetable: starts it, prepares probes, drives load at intended times, reads what comes out."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks import probes
from benchmarks.driver import Driver
from benchmarks.engine import Engine
from benchmarks.lab import Lab
from benchmarks.readers import Reader
from benchmarks.sampling import Sampler
from benchmarks.scenario import Run
from flows.traffic.profile import Profile, reference

START_SECONDS_MAX = 600.0
START_IN_S = 1.0
SEEDS_APART = 1_000_000
Phases = list[tuple[float, float]]
Windows = list[tuple[str, float, float]]
During = Callable[[float, Driver, Sampler], None]


@dataclass(frozen=True, slots=True)
class Timetable:
    """What is sent when, and which spans are looked at apart. Rates are messages a second."""

    profile: Profile
    phases: Phases
    windows: Windows
    probe_rate: float = 150.0
    #: (seconds after the start, topic, key, value)
    extra: list[tuple[float, str, str, str]] = field(default_factory=list)
    patience_s: float = 60.0
    follow_kafka: bool = True

    def seconds(self) -> float:
        """How long it takes."""
        return sum(seconds for _, seconds in self.phases)

    def probe_count(self) -> int:
        """How many probes that makes: those that are due before the end."""
        return math.ceil(self.seconds() * self.probe_rate)


@dataclass(slots=True)
class Outcome:
    """What was seen."""

    redis: dict[str, Any]
    updates: dict[str, Any]
    driver: dict[str, float]
    sampler: Sampler
    #: processor seconds between the start of the load and the end of the last probe, and what came in meanwhile
    cpu_s: float
    messages: float

    def latency(self, window: str, lane: str = "all", where: str = "redis") -> dict[str, float]:
        """Give percentiles of one window and lane, without the curve."""
        found = (self.redis if where == "redis" else self.updates).get("windows", {}).get(window, {}).get(lane, {})
        return {name: value for name, value in found.items() if name != "curve"}

    def figures(self, window: str) -> dict[str, float]:
        """Give the usual figures of one window."""
        all_ = self.latency(window)
        figures = {
            "p50_ms": all_.get("p50_ms", math.nan),
            "p99_ms": all_.get("p99_ms", math.nan),
            "p99_9_ms": all_.get("p99.9_ms", math.nan),
            "max_ms": all_.get("max_ms", math.nan),
            "probes": all_.get("count", 0),
            "probes_lost": self.redis["lost"],
            "silence_ms_max": self.redis["silence_ms_max"],
            "cpu_us_a_message": self.cpu_s / self.messages * 1e6,
            "rss_mb_max": self.sampler.rss_mb_max(),
            "epoch_commit_ms_mean": self.sampler.epoch_commit_ms(),
            "applied_share": self.sampler.applied_share(),  # after a kill: of the new processes
            "driver_behind_ms_max": self.driver["probe_behind_ms_max"],
        }
        for lane in ("critical", "high", "normal"):
            figures[f"{lane}_p99_ms"] = self.latency(window, lane).get("p99_ms", math.nan)
            in_kafka = self.latency(window, lane, "updates")
            if in_kafka:
                figures[f"{lane}_kafka_p50_ms"] = in_kafka["p50_ms"]
                figures[f"{lane}_kafka_p99_ms"] = in_kafka["p99_ms"]
        return figures

    def run(self, window: str, rate: float) -> Run:
        """Give all of it for one window."""
        return Run({**self.figures(window), "rate": rate}, self.series())

    def series(self) -> dict[str, Any]:
        """Give what plots are made of."""
        curves = {
            window: {lane: figures["curve"] for lane, figures in lanes.items()}
            for window, lanes in self.redis["windows"].items()
        }
        return {"timeline": self.redis["timeline"], "curves": curves, "lag": self.sampler.lags}


class Session:
    """An engine that runs and has caught up; `drive` may be called several times. A context manager."""

    def __init__(self, lab: Lab, profile: Profile, probes_in_all: int, **engine: object) -> None:
        self.lab = lab
        self._profile = profile
        self._used = self._drives = 0
        self._stack = contextlib.ExitStack()
        lab.send(reference(profile))
        lab.send(probes.preparation(probes_in_all))
        self._last = probes.item_of(probes_in_all - 1)
        self._overrides = engine
        self.engine = Engine(lab, **engine)

    def __enter__(self) -> Session:
        self._stack.callback(lambda: self.engine.runs() and self.engine.kill())
        try:
            self._wait_until_prepared()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def restart(self) -> None:
        """Start another engine where the last one was; the processor time of both counts."""
        self.engine = Engine(self.lab, **self._overrides)

    def wait_until_caught_up(self, seconds: float = START_SECONDS_MAX, below: int = 1) -> float:
        """Wait until the committed offsets are within `below` messages of the end; give how long it took."""
        started = time.monotonic()
        while self.lab.lag() >= below:
            self.engine.check()
            if time.monotonic() - started > seconds:
                raise TimeoutError(f"the engine had not caught up after {seconds:.0f} s")
            time.sleep(0.1)
        return time.monotonic() - started

    def drive(self, timetable: Timetable, during: During | None = None) -> Outcome:
        """Send by the timetable and measure; `during` is called once it begins."""
        count, rate = timetable.probe_count(), timetable.probe_rate
        first, self._used = self._used, self._used + count
        more = {"probe_rate": rate, "first_probe": first, "extra": timetable.extra}
        # Ids of its own: those of an earlier drive, at other times, would all be refused as conflicts.
        profile = replace(timetable.profile, seed=timetable.profile.seed + SEEDS_APART * self._drives)
        self._drives += 1
        driver = Driver(self.lab, profile, timetable.phases, **more)
        kinds = ("redis", "updates") if timetable.follow_kafka else ("redis",)
        kinds = kinds if count else ()
        readers = {}
        try:
            for kind in kinds:
                readers[kind] = Reader(
                    self.lab, kind, rate, count, timetable.windows, first, timetable.patience_s
                )  # fmt: skip
            driver.wait_until_ready()
            with Sampler(self.lab, self.engine, with_lag=True) as sampler:
                start = time.monotonic() + START_IN_S
                cpu_before = self.engine.cpu_s()
                driver.start(start)
                for reader in readers.values():
                    reader.start(start)
                sampler.started = start
                if during is not None:
                    during(start, driver, sampler)
                sent = driver.finish()
                seen = {kind: reader.finish() for kind, reader in readers.items()}
                self.wait_until_caught_up(below=max(1, int(timetable.phases[-1][0])))
                cpu_s = self.engine.cpu_s() - cpu_before
            return Outcome(
                seen.get("redis", {}),
                seen.get("updates", {}),
                sent,
                sampler,
                cpu_s,
                max(1.0, sent["sent"] + sent["probes"]),
            )
        finally:
            driver.end()
            for reader in readers.values():
                reader.end()

    def _wait_until_prepared(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        key = f"{self.lab.settings.redis.prefix}atp:{self._last}"
        wanted = probes.AT_FIRST - probes.BUFFER
        while int(self.lab.redis.hget(key, probes.CHANNEL) or 0) != wanted:
            self.engine.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._last} did not appear within {START_SECONDS_MAX:.0f} s")
            time.sleep(0.1)
        self.wait_until_caught_up()
        time.sleep(1.0)  # one more epoch, so that the preparation's snapshot is not in the measurement
