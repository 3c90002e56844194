"""What each setting moves: the usual backlog with one setting changed at a time, and latency with some of them."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.backlog import drain, profile_of
from benchmarks.lab import Lab
from benchmarks.scenario import Measured, Options, Scenario
from benchmarks.scenarios.loads import profile, steady
from benchmarks.session import Session

DEFAULT = "defaults"
#: name of the variant: the one setting that differs
DRAINED: dict[str, dict[str, object]] = {
    DEFAULT: {},
    "epoch_interval=250ms": {"state.epoch_interval": "250ms"},
    "epoch_interval=5s": {"state.epoch_interval": "5s"},
    "shards=16": {"shards": 16},
    "shards=256": {"shards": 256},
    "partitions=2": {"kafka.partitions": 2},
    "partitions=24": {"kafka.partitions": 24},
    "linger_normal=500ms": {"lanes.linger_normal": "500ms"},
    "linger_positions=2s": {"lanes.linger_positions": "2s"},
    "breakdown": {"updates.breakdown": "true"},
}
TIMED: dict[str, dict[str, object]] = {
    DEFAULT: {},
    "epoch_interval=250ms": {"state.epoch_interval": "250ms"},
    "epoch_interval=5s": {"state.epoch_interval": "5s"},
    "shards=16": {"shards": 16},
    "shards=256": {"shards": 256},
    "linger_normal=5ms": {"lanes.linger_normal": "5ms"},
}


def _drained(options: Options) -> Measured:
    events = options.pick(options.events, 200_000, 30_000)
    items = options.pick(options.items, 50_000, 5_000)
    profile_ = profile_of(options, events, items)
    runs = {}
    for name, changed in DRAINED.items():
        runs[name] = drain(profile_, replace(options, settings={**options.settings, **changed}), options.workers)
        print(f"  {name}: {runs[name].figures['cpu_us_a_message']:.1f} us a message", flush=True)
    usual = runs[DEFAULT].figures["cpu_us_a_message"]
    for run in runs.values():
        run.figures["cost_ratio"] = run.figures["cpu_us_a_message"] / usual
    return runs


def _timed(options: Options) -> Measured:
    rate = options.pick(options.rate, 1_000, 300)
    seconds = options.pick(options.seconds, 20.0, 6.0)
    timetable = steady(profile(options), rate, seconds)
    found = {}
    for name, changed in TIMED.items():
        with (
            Lab(options.workers, {**options.settings, **changed}) as lab,
            Session(lab, timetable.profile, timetable.probe_count()) as session,
        ):
            outcome = session.drive(timetable)
            found[name] = outcome.run("steady", rate)
    return found


SCENARIOS = (
    Scenario(
        "tuning-drain", "What settings move: a backlog", "50,000 items, one setting changed at a time.", _drained,
        (
            "cost_ratio", "cpu_us_a_message", "messages_per_s", "epoch_commit_ms_mean", "rss_mb_max",
            "updates_a_message", "redis_bytes_a_message", "kafka_bytes_a_message",
        ),
        (), ("bars",),
    ),
    Scenario(
        "tuning-latency", "What settings move: latency", "1,000 messages/s, one setting changed at a time.", _timed,
        (
            "p50_ms", "p99_ms", "p99_9_ms", "normal_kafka_p50_ms", "normal_kafka_p99_ms", "cpu_us_a_message",
            "epoch_commit_ms_mean",
        ),
        (), ("timeline",),
    ),
)  # fmt: skip
