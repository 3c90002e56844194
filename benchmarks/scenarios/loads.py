"""Scenarios under a steady or changing load: latency at a rate, capacity and 70 % of it, a peak, a policy change."""

from __future__ import annotations

import time
from functools import partial

import orjson

from benchmarks.backlog import profile_of
from benchmarks.driver import Driver
from benchmarks.lab import Lab
from benchmarks.sampling import Sampler
from benchmarks.scenario import Mark, Measured, Options, Run, Scenario
from benchmarks.session import Session, Timetable
from flows.traffic.profile import CHANNELS, Profile

FIGURES = (
    "p50_ms", "p99_ms", "p99_9_ms", "max_ms", "critical_p99_ms", "high_p99_ms", "normal_p99_ms",
    "critical_kafka_p99_ms", "high_kafka_p99_ms", "normal_kafka_p99_ms", "cpu_us_a_message", "rate", "rss_mb_max",
    "epoch_commit_ms_mean", "probes", "probes_lost", "silence_ms_max", "driver_behind_ms_max",
)  # fmt: skip
ITEMS, ITEMS_QUICK = 100_000, 5_000
RATE, RATE_QUICK = 20_000, 1_000
WARM_UP_S = 20.0
PROBE_RATE = 150.0
#: A step counts as kept up with while the lag grows by less than this share of the rate.
SLOPE_COARSE, SLOPE_FINE = 0.05, 0.01
RAMP_FACTOR = 1.25
HOLD_TRIES = 4


def profile(options: Options) -> Profile:
    """Give the usual traffic; the driver sets how much of it."""
    return profile_of(options, 1, options.pick(options.items, ITEMS, ITEMS_QUICK))


def _latency(options: Options) -> Measured:
    rate = options.pick(options.rate, RATE, RATE_QUICK)
    seconds = options.pick(options.seconds, 25.0, 8.0)
    usual = profile(options)
    timetable = steady(usual, rate, seconds)
    with Lab(options.workers, options.settings) as lab, Session(lab, usual, timetable.probe_count()) as session:
        return {"steady": _measured(session, timetable, "steady", rate)}


def steady(usual: Profile, rate: float, seconds: float) -> Timetable:
    """Give a timetable of one rate, looked at after a warm-up."""
    phases = [(rate, WARM_UP_S + seconds)]
    return Timetable(usual, phases, [("steady", WARM_UP_S, WARM_UP_S + seconds)], PROBE_RATE)


def _measured(session: Session, timetable: Timetable, window: str, rate: float) -> Run:
    return session.drive(timetable).run(window, rate)


def _capacity(options: Options) -> Measured:
    hold_s = options.pick(options.seconds, 60.0, 10.0)
    usual = profile(options)
    probes = 2 * steady(usual, 1, hold_s).probe_count()
    with Lab(options.workers, options.settings) as lab, Session(lab, usual, probes) as session:
        ramp, coarse = find_capacity(session, options)
        held = _hold(session, usual, coarse, hold_s)
        session.wait_until_caught_up()
        rate = round(0.7 * held.figures["rate"])
        at_70 = _measured(session, steady(usual, rate, hold_s), "steady", rate)
    ramp.figures["capacity_per_s"] = held.figures["rate"]
    return {"ramp": ramp, "hold": held, "steady-70": at_70}


def find_capacity(session: Session, options: Options) -> tuple[Run, float]:
    """Raise the rate step by step until the lag grows; give the last rate that was kept up with."""
    step_s = options.pick(None, 10.0, 5.0)
    first = float(options.pick(options.rate, 2_000, 1_000))
    rates = [first * RAMP_FACTOR**n for n in range(options.pick(None, 24, 8))]
    slopes: list[float] = []

    def watch(start: float, driver: Driver, sampler: Sampler) -> None:
        for number, rate in enumerate(rates):
            end = (number + 1) * step_s
            time.sleep(max(0.0, start + end - time.monotonic()))
            slopes.append(sampler.lag_slope(end - 0.75 * step_s, end) / rate)
            print(f"  {rate:,.0f}/s: the lag grew by {slopes[-1]:.1%} of it", flush=True)
            if slopes[-1] > SLOPE_COARSE:
                driver.stop()
                return

    timetable = Timetable(profile(options), [(rate, step_s) for rate in rates], [], probe_rate=0, follow_kafka=False)
    outcome = session.drive(timetable, watch)
    session.wait_until_caught_up()
    kept_up = [rate for rate, slope in zip(rates, slopes, strict=False) if slope <= SLOPE_COARSE]
    capacity = kept_up[-1] if kept_up else first / RAMP_FACTOR
    series = {"lag": outcome.sampler.lags, "rates": [[n * step_s, rate] for n, rate in enumerate(rates[: len(slopes)])]}
    return Run({"coarse_per_s": capacity, "cpu_us_a_message": outcome.cpu_s / outcome.messages * 1e6}, series), capacity


def _hold(session: Session, usual: Profile, rate: float, seconds: float) -> Run:
    """Hold the rate; where the lag grows by more than 1 % of it, a lower one. The slope tells if none was kept."""
    for _ in range(HOLD_TRIES):
        timetable = Timetable(usual, [(rate, WARM_UP_S + seconds)], [], probe_rate=0, follow_kafka=False)
        outcome = session.drive(timetable)
        slope = outcome.sampler.lag_slope(WARM_UP_S, WARM_UP_S + seconds) / rate
        session.wait_until_caught_up()
        figures = {"rate": rate, "slope": slope, "cpu_us_a_message": outcome.cpu_s / outcome.messages * 1e6}
        print(f"  held {rate:,.0f}/s: the lag grew by {slope:.1%} of it", flush=True)
        if slope <= SLOPE_FINE:
            break
        rate *= 0.85
    return Run(figures, {"lag": outcome.sampler.lags})


def _peak(options: Options) -> Measured:
    usual = profile(options)
    before_s, peak_s = options.pick(None, (15.0, 60.0), (5.0, 5.0))
    with Lab(options.workers, options.settings) as lab:
        after_s = options.pick(options.seconds, 90.0, 15.0)
        probes = round((before_s + peak_s + after_s) * PROBE_RATE) + 10
        with Session(lab, usual, probes) as session:
            capacity = find_capacity(session, options)[1] if options.rate is None else options.rate
            base = capacity * 0.12
            phases = [(base, before_s), (10 * base, peak_s), (base, after_s)]
            windows = [
                ("before", 2.0, before_s), ("peak", before_s, before_s + peak_s),
                ("after", before_s + peak_s, before_s + peak_s + after_s),
            ]  # fmt: skip
            outcome = session.drive(Timetable(usual, phases, windows, PROBE_RATE, patience_s=300.0))
    ended = before_s + peak_s
    usual_ms = outcome.latency("before")["p99_ms"]
    late = [second for second, _, worst in outcome.redis["timeline"] if second >= ended and worst > 2 * usual_ms + 50]
    figures = {
        **outcome.figures("peak"),
        "rate": base,
        "before_p99_ms": usual_ms,
        "after_p99_ms": outcome.latency("after")["p99_ms"],
        "recovered_after_s": (max(late) + 1 - ended) if late else 0.0,
        "lag_max": max((lag for _, lag in outcome.sampler.lags), default=0.0),
    }
    return {"peak": Run(figures, outcome.series())}


def _policy_change(options: Options) -> Measured:
    rate = options.pick(options.rate, 5_000, 500)
    seconds = options.pick(options.seconds, 20.0, 6.0)
    usual = profile(options)
    windows = [("before", WARM_UP_S, WARM_UP_S + seconds), ("change", WARM_UP_S + seconds, WARM_UP_S + 2 * seconds)]
    change = partial(_channel, "marketplace", ["REGION-1", "REGION-2"])
    extra = [
        # Twice, so that most of the window is under change also where it is quick.
        (WARM_UP_S + seconds * part, CHANNELS, "marketplace", change(buffer_percent=percent))
        for part, percent in ((1.0, 15), (1.5, 20))
    ]
    phases = [(float(rate), WARM_UP_S + 2 * seconds)]
    timetable = Timetable(usual, phases, windows, PROBE_RATE, extra=extra)
    with Lab(options.workers, options.settings) as lab, Session(lab, usual, timetable.probe_count()) as session:
        before = lab.traffic()
        outcome = session.drive(timetable)
        out = lab.traffic().since(before)
    quiet = {lane: outcome.latency("before", lane).get("p99_ms", 0.0) for lane in ("critical", "high")}
    busy = {lane: outcome.latency("change", lane).get("p99_ms", 0.0) for lane in ("critical", "high")}
    figures = {
        **outcome.figures("change"),
        "rate": rate,
        "urgent_ratio": max(busy[lane] / max(quiet[lane], 0.001) for lane in busy),
        **{f"before_{lane}_p99_ms": value for lane, value in quiet.items()},
        "updates_a_message": out.kafka_messages / outcome.messages,
    }
    return {"change": Run(figures, outcome.series())}


def _channel(code: str, locations: list[str], **policy: object) -> str:
    value = {"channel": code, "locations": locations, "priority": 3, "cap": 500, **policy}
    return orjson.dumps(value).decode()


SCENARIOS = (
    Scenario(
        "latency",
        "Latency at a fixed rate",
        "From the moment an event was due to be sent until its number can be read in Redis, and until the update came "
        "from Kafka, by lane; 150 of the events a second are timed, the load runs beside them.",
        _latency,
        FIGURES,
        (
            Mark("steady", "p99_ms", 25, "p99 event to readable, 20,000 messages/s (ms)", 10),
            Mark("steady", "p99_9_ms", 60, "p99.9 event to readable, 20,000 messages/s (ms)", 25),
        ),
        ("latency", "timeline"),
    ),
    Scenario(
        "capacity",
        "Capacity, and 70 % of it",
        "The rate rises until the lag grows; the highest at which it grows by less than 1 % of the load is held, then "
        "70 % of that with latency.",
        _capacity,
        ("capacity_per_s", "coarse_per_s", "slope", *FIGURES),
        (
            Mark("steady-70", "p99_ms", 25, "p99 event to readable at 70 % load (ms)", 10),
            Mark("steady-70", "p99_9_ms", 60, "p99.9 event to readable at 70 % load (ms)", 25),
        ),
        ("lag", "latency"),
    ),
    Scenario(
        "peak",
        "Ten times the load for a minute",
        "From 12 % of capacity to 120 % and back.",
        _peak,
        ("recovered_after_s", "lag_max", "before_p99_ms", "after_p99_ms", *FIGURES),
        (Mark("peak", "recovered_after_s", 30, "seconds until latency is as before, after 10 times the load"),),
        ("timeline", "lag"),
    ),
    Scenario(
        "policy-change",
        "Policy change over the whole catalog",
        "A channel's buffer changes for every item while the load goes on: urgent lanes' p99 must not double.",
        _policy_change,
        ("urgent_ratio", "before_critical_p99_ms", "before_high_p99_ms", *FIGURES),
        (Mark("change", "urgent_ratio", 2.0, "urgent lanes' p99 during a policy change against before"),),
        ("timeline",),
    ),
)
