"""Scenarios in which something is wrong: a slow Redis, a kill under load, ids by the million."""

from __future__ import annotations

import gc
import time
from functools import partial
from urllib.parse import urlparse

import psutil

from benchmarks import backlog
from benchmarks.driver import Driver
from benchmarks.lab import Lab
from benchmarks.sampling import Sampler
from benchmarks.scenario import Mark, Measured, Options, Run, Scenario
from benchmarks.scenarios.loads import FIGURES, PROBE_RATE, WARM_UP_S, profile, steady
from benchmarks.session import Outcome, Session, Timetable
from benchmarks.slow_proxy import SlowProxy
from flows.runtime.run import now
from operators.ids import RememberedIds

SLOW_MS = 5.0
OUTAGE_S = 10.0


def _slow_redis(options: Options) -> Measured:
    rate = options.pick(options.rate, 5_000, 500)
    seconds = options.pick(options.seconds, 30.0, 6.0)
    usual = profile(options)
    timetable = steady(usual, rate, seconds)
    found = {}
    for variant in ("near", "5-ms-away"):
        with Lab(options.workers, options.settings) as lab:
            port = urlparse(lab.servers.redis_url).port
            assert port is not None
            with SlowProxy(port, SLOW_MS if variant == "5-ms-away" else 0.0) as proxy:
                address = {"redis.url": f"redis://127.0.0.1:{proxy.port}/0"}
                with Session(lab, usual, timetable.probe_count(), **address) as session:
                    outcome = session.drive(timetable)
        slope = outcome.sampler.lag_slope(WARM_UP_S, WARM_UP_S + seconds) / rate
        found[variant] = Run({**outcome.figures("steady"), "rate": rate, "slope": slope}, outcome.series())
    away, near = found["5-ms-away"].figures, found["near"].figures
    away["p99_added_ms"] = away["p99_ms"] - near["p99_ms"]
    return found


def _kill(options: Options) -> Measured:
    rate = options.pick(options.rate, 2_000, 300)
    items = options.pick(options.items, 200_000, 5_000)
    after_s = options.pick(options.seconds, 30.0, 15.0)
    usual = backlog.profile_of(options, 1, items)
    kill_at = WARM_UP_S + 5.0
    found = {}
    with Lab(options.workers, options.settings) as lab:
        lab.send(backlog.shelves(usual))
        probes = 3 * round((kill_at + after_s + OUTAGE_S) * PROBE_RATE)
        with Session(lab, usual, probes) as session:
            # (variant, times the rate, seconds until it is started again)
            for variant, times, away_s in (("everything", 1, 0.0), ("worker", 1, 0.0), ("outage", 2, OUTAGE_S)):
                back_at = kill_at + away_s
                windows = [("before", WARM_UP_S, kill_at - 1), ("after", back_at + after_s / 2, back_at + after_s)]
                timetable = Timetable(
                    usual, [(float(times * rate), back_at + after_s)], windows, PROBE_RATE, patience_s=120.0
                )
                strike = partial(_strike, session, kill_at, away_s, variant == "worker")
                outcome = session.drive(timetable, strike)
                facts = {"rate": float(times * rate), "item_locations": float(items * options.locations)}
                found[variant] = Run(facts | _after_a_kill(outcome, kill_at, away_s), outcome.series())
    return found


def _strike(
    session: Session, kill_at: float, away_s: float, worker_alone: bool, start: float, driver: Driver, sampler: Sampler
) -> None:
    time.sleep(max(0.0, start + kill_at - time.monotonic()))
    if worker_alone:
        session.engine.kill_worker()
        return
    session.engine.kill()
    time.sleep(away_s)
    session.restart()
    sampler.engine = session.engine


def _after_a_kill(outcome: Outcome, kill_at: float, away_s: float) -> dict[str, float]:
    usual_ms = outcome.latency("before")["p99_ms"]
    late = [second for second, _, worst in outcome.redis["timeline"] if second > kill_at and worst > 2 * usual_ms + 50]
    figures = {
        **outcome.figures("after"),
        "back_after_s": outcome.redis["silence_ms_max"] / 1000 - away_s,
        "caught_up_after_s": max(late) + 1 - kill_at - away_s if late else 0.0,
        "before_p99_ms": usual_ms,
    }
    del figures["cpu_us_a_message"]  # of two engines, and a restart
    return figures


def _ids(options: Options) -> Measured:
    counts = options.pick(None, {"1M": 1_000_000, "10M": 10_000_000}, {"1M": 1_000_000})
    found = {}
    for variant, count in counts.items():
        gc.collect()
        process = psutil.Process()
        before = process.memory_info().rss
        ids, moment = RememberedIds(), now()
        started = time.process_time()
        for number in range(count):
            ids.remember((number * 2_654_435_761) & ((1 << 60) - 1) | 1 << 59, number, moment)
        spent = time.process_time() - started
        figures = {
            "bytes_an_id": (process.memory_info().rss - before) / count,
            "us_an_id": spent / count * 1e6,
            "ids": count,
        }
        found[variant] = Run(figures)
        del ids
    return found


SCENARIOS = (
    Scenario(
        "slow-redis", "Redis five milliseconds away", "Every answer of Redis is held back by 5 ms.", _slow_redis,
        ("p99_added_ms", "slope", *FIGURES),
        (
            Mark("5-ms-away", "slope", 0.01, "growth of lag with a slow Redis, share of the load"),
            Mark("5-ms-away", "p99_added_ms", 50, "p99 added by a Redis 5 ms away (ms)"),
        ),
        ("latency", "timeline"),
    ),
    Scenario(
        "kill", "kill -9 and catching up",
        "Killed under load with 1 M item/locations: everything, and started again at once; then the worker alone, "
        "which the supervisor starts again; then everything, started again after ten seconds at twice the load. "
        "`back_after_s`: from the last number before to the first one after, as a reader of Redis sees it, and "
        "`caught_up_after_s` to the last late one, both without those ten seconds.", _kill,
        ("back_after_s", "caught_up_after_s", "before_p99_ms", "item_locations", *FIGURES),
        (
            Mark("everything", "back_after_s", 3, "everything killed to first publication, 1 M item/locations (s)", 1),
            Mark("worker", "back_after_s", 3, "worker killed to first publication, 1 M item/locations (s)", 1),
            Mark("outage", "caught_up_after_s", 5, "start after an outage of 10 s to caught up, 4,000 messages/s (s)"),
            Mark("everything", "probes_lost", 0, "probes lost in a kill"),
        ),
        ("timeline",),
    ),
    Scenario(
        "ids", "Remembered ids", "One shard's table of ids, filled in process.", _ids,
        ("bytes_an_id", "us_an_id", "ids"),
        (Mark("10M", "bytes_an_id", 100, "memory of a remembered id, of 10 M (bytes)"),), ("bars",),
    ),
)  # fmt: skip
