"""Measures how an engine drains what lies in Kafka: the core of several scenarios.

1. The catalog is read and published; the engine ends.
2. The same engine starts and ends again with nothing to do: what a start costs.
3. The events are put into Kafka, and the engine drains them. Its processor time, less that of step 2, by messages.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from benchmarks.engine import Engine
from benchmarks.lab import Lab
from benchmarks.sampling import Sampler, Stalls
from benchmarks.scenario import Options, Run
from flows.traffic import day as traffic
from flows.traffic.profile import WAREHOUSE, Message, Profile, item_code, location_code, reference

STOCKED = 500


def drain(profile: Profile, options: Options, workers: int = 1, stocked: bool = False) -> Run:
    """Measure one backlog; `stocked`: every item/location holds stock before."""
    with Lab(workers, options.settings) as lab:
        lab.send(reference(profile))
        if stocked:
            lab.send(shelves(profile))
        with Engine(lab, "--until-caught-up") as engine, Sampler(lab, engine) as preparation:
            engine.finish()
        prepared_cpu_s = engine.cpu_s()
        started = time.monotonic()
        with Engine(lab, "--until-caught-up") as engine:
            engine.finish()
        start_s, start_cpu_s = time.monotonic() - started, engine.cpu_s()
        messages = lab.preload(profile)
        before = lab.traffic()
        with (
            Engine(lab, "--until-caught-up") as engine,
            Stalls(lab) as stalls,
            Sampler(lab, engine) as sampler,
        ):
            engine.finish()
        out = lab.traffic().since(before)
        cpu_s = engine.cpu_s()
    units = sampler.samples[-1][1]
    begun, done = sampler.busy()
    per_s = messages / (done - begun) if done > begun else float("nan")
    net_cpu_s = cpu_s - start_cpu_s
    figures = {
        "cpu_us_a_message": net_cpu_s / messages * 1e6,
        "cpu_us_a_unit": net_cpu_s / units * 1e6,
        "messages_per_s": per_s,
        "units_per_s": per_s * units / messages,
        "messages_per_cpu_s": messages / net_cpu_s,
        "rss_mb_max": sampler.rss_mb_max(),
        "updates_a_message": out.kafka_messages / messages,
        "redis_bytes_a_message": (out.redis_bytes - stalls.bytes_sent()) / messages,
        **({"kafka_bytes_a_message": out.kafka_bytes / messages} if out.kafka_bytes is not None else {}),
        **stalls.figures(),
        "epoch_commit_ms_mean": sampler.epoch_commit_ms(),
        "start_s": start_s,
        "start_cpu_s": start_cpu_s,
        "prepared_cpu_s": prepared_cpu_s,
        "prepared_rss_mb_max": preparation.rss_mb_max(),
        "applied_share": sampler.applied_share(),
        "messages": messages,
        "units": units,
    }
    return Run(figures, {"progress": [list(sample) for sample in sampler.samples]})


def shelves(profile: Profile) -> Iterator[Message]:
    """Count every item at every location once, some hours ago."""
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for number in range(profile.items):
        item = item_code(number)
        for place in range(profile.locations):
            value = (
                f'{{"event_id":"shelf-{number}-{place}","type":"stock_counted","source":"wms",'
                f'"occurred_at":"{moment}","item":"{item}","location":"{location_code(place)}","quantity":{STOCKED}}}'
            )
            yield WAREHOUSE, traffic.KEYS[(number * 7 + place) & 4095], value.encode()


def profile_of(options: Options, events: int, items: int, **more: float | str) -> Profile:
    """Give the usual traffic at this size."""
    return Profile(
        events=events, items=items, locations=options.locations, channels=options.channels, seed=options.seed,
        **{"zipf": options.zipf, "duplicates": 0.05, **more},
    )  # type: ignore[arg-type]  # fmt: skip
