"""A very large order beside ordinary events: what it costs them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

from benchmarks.backlog import profile_of
from benchmarks.lab import Lab
from benchmarks.scenario import Mark, Measured, Options, Run, Scenario
from benchmarks.session import Session, Timetable
from flows.traffic.profile import ORDERS, channel_code, item_code

ITEMS = 5_000
LINES = 1_000
BYTES = 960_000
PROBES = 100
PROBE_RATE = 50.0
WINDOW_S = PROBES / PROBE_RATE
WARM_UP_S = 5.0
#: Between an order and the next quiet window: what waits for its items is refused a second after it.
REST_S = 2.0
#: how the order's lines name items
KINDS: dict[str, Callable[[int], str]] = {
    "one-unknown": lambda _: "NOBODY-KNOWS",
    "many-unknown": lambda number: f"NOBODY-KNOWS-{number}",
    "one-known": lambda _: item_code(0),
    "many-known": item_code,
}


def order(name: str) -> str:
    """Give an order of 1,000 lines, 960 KB."""
    item_of = KINDS[name]
    lines = [{"line_id": str(number), "item": item_of(number), "quantity": 1, "note": ""} for number in range(LINES)]
    moment = datetime.now(UTC).isoformat()
    head = {"event_id": f"bulky-{name}", "type": "order_placed", "source": "bulky", "occurred_at": moment}
    whole = {**head, "order_id": f"SO-{name}", "channel": channel_code(0), "lines": lines}
    padding = (BYTES - len(orjson.dumps(whole))) // LINES
    for line in lines:
        line["note"] = "x" * padding
    return orjson.dumps(whole).decode()


def _bulky(options: Options) -> Measured:
    windows: list[tuple[str, float, float]] = []
    extra: list[tuple[float, str, str, str]] = []
    at = WARM_UP_S
    for name in KINDS:
        windows += [(f"{name}-quiet", at, at + WINDOW_S), (name, at + WINDOW_S, at + 2 * WINDOW_S)]
        extra.append((at + WINDOW_S, ORDERS, f"SO-{name}", order(name)))
        at += 2 * WINDOW_S + REST_S
    rate = float(options.pick(options.rate, 20, 20))
    timetable = Timetable(
        profile_of(options, 1, options.pick(options.items, ITEMS, ITEMS)),
        [(rate, at)],
        windows,
        PROBE_RATE,
        extra,
        follow_kafka=False,
    )
    with (
        Lab(options.workers, options.settings) as lab,
        Session(lab, timetable.profile, timetable.probe_count()) as session,
    ):
        before = lab.traffic()
        outcome = session.drive(timetable)
        time.sleep(REST_S)
        print(f"  {lab.traffic().since(before)}", flush=True)
    found = {}
    for name in KINDS:
        quiet, beside = outcome.latency(f"{name}-quiet"), outcome.latency(name)
        figures = {
            "slowest_ms": beside["max_ms"],
            "quiet_p99_ms": quiet["p99_ms"],
            "times_quiet": beside["max_ms"] / quiet["p99_ms"],
            "p50_ms": beside["p50_ms"],
            "probes": beside["count"],
            "epoch_commit_ms_mean": outcome.sampler.epoch_commit_ms(),
        }
        found[name] = Run(figures, outcome.series())
    return found


SCENARIOS = (
    Scenario(
        "bulky", "A very large order beside ordinary events",
        "An order of 1,000 lines, 960 KB, of one or of many items, unknown or known, and 50 events a second of other "
        "items. `slowest_ms`: the slowest of the 100 that follow the order, from when it was due until it is readable "
        "in Redis; `quiet_p99_ms` of the 100 before it.", _bulky,
        ("slowest_ms", "quiet_p99_ms", "times_quiet", "p50_ms", "epoch_commit_ms_mean", "probes"),
        tuple(
            mark
            for name in KINDS
            for mark in (
                Mark(name, "slowest_ms", 250, f"slowest of 100 events beside a 960 KB order, {name} (ms)"),
                Mark(name, "times_quiet", 3, f"the same, as a multiple of the p99 of 100 quiet ones, {name}"),
            )
        ),
    ),
)  # fmt: skip
