"""Scenarios that drain a backlog: the usual one, by skew, by size, by workers, a flash sale, a flood of snapshots."""

from __future__ import annotations

from benchmarks.backlog import drain, profile_of
from benchmarks.scenario import Mark, Measured, Options, Run, Scenario

FIGURES = (
    "cpu_us_a_message", "cpu_us_a_unit", "messages_per_s", "rss_mb_max", "updates_a_message",
    "redis_bytes_a_message", "kafka_bytes_a_message", "epoch_commit_ms_mean", "stall_ms_p50", "stall_ms_max", "start_s",
)  # fmt: skip
ITEMS, EVENTS, EVENTS_QUICK = 100_000, 400_000, 60_000


def _usual(options: Options) -> Measured:
    events = options.pick(options.events, EVENTS, EVENTS_QUICK)
    items = options.pick(options.items, ITEMS, ITEMS // 10)
    return {"usual": drain(profile_of(options, events, items), options, options.workers)}


def _skew(options: Options) -> Measured:
    events = options.pick(options.events, EVENTS, EVENTS_QUICK)
    items = options.pick(options.items, ITEMS, ITEMS // 10)
    return {f"zipf-{zipf}": drain(profile_of(options, events, items, zipf=zipf), options) for zipf in (0.7, 0.9, 1.1)}


def _flash_sale(options: Options) -> Measured:
    events = options.pick(options.events, EVENTS, EVENTS_QUICK)
    items = options.pick(options.items, ITEMS, ITEMS // 10)
    plain = drain(profile_of(options, events, items), options)
    sale = drain(profile_of(options, events, items, flash_sale="FLASH-1", flash_share=0.3), options)
    return {"without": plain, "flash-sale": _compared(sale, plain)}


def _snapshot_flood(options: Options) -> Measured:
    events = options.pick(options.events, EVENTS, EVENTS_QUICK)
    items = options.pick(options.items, ITEMS, ITEMS // 10)
    plain = drain(profile_of(options, events, items), options)
    flood = drain(profile_of(options, events, items, snapshots=0.9), options)
    return {"without": plain, "flood": _compared(flood, plain)}


def _size(options: Options) -> Measured:
    # Items; each at five locations that hold stock.
    sizes = options.pick(None, {"10k": 2_000, "100k": 20_000, "1M": 200_000}, {"10k": 2_000, "50k": 10_000})
    events = options.pick(options.events, 300_000, 40_000)
    runs = {
        name: drain(profile_of(options, events, items), options, stocked=True) for name, items in sizes.items()
    }  # fmt: skip
    names = list(runs)
    return {names[0]: runs[names[0]]} | {name: _compared(runs[name], runs[names[0]]) for name in names[1:]}


def _workers(options: Options) -> Measured:
    events = options.pick(options.events, EVENTS, EVENTS_QUICK)
    items = options.pick(options.items, ITEMS, ITEMS // 10)
    one = drain(profile_of(options, events, items), options, 1)
    two = drain(profile_of(options, events, items), options, 2)
    two.figures["speed_of_one"] = two.figures["messages_per_s"] / one.figures["messages_per_s"]
    return {"1": one, "2": _compared(two, one)}


def _compared(run: Run, to: Run) -> Run:
    """Add how the cost compares with that of another run of the same repetition."""
    run.figures["cost_ratio"] = run.figures["cpu_us_a_message"] / to.figures["cpu_us_a_message"]
    return run


SCENARIOS = (
    Scenario(
        "drain",
        "Draining a backlog",
        "100,000 items at 5 locations, 4 channels, 5 % sent twice, recovery on, Redis and Kafka written: what an "
        "engine that was down has to make up for.",
        _usual,
        FIGURES,
        (
            Mark("usual", "cpu_us_a_message", 8, "CPU a message all in", 5),
            Mark("usual", "messages_per_s", 120_000, "messages a second drained by one worker", 200_000, True),
        ),
        ("progress",),
    ),
    Scenario(
        "skew", "Skew", "The same at Zipf 0.7, 0.9 and 1.1.", _skew, FIGURES,
        (Mark("zipf-0.7", "cpu_us_a_message", 8, "CPU a message at Zipf 0.7", 5),), ("bars",),
    ),
    Scenario(
        "flash-sale", "Flash sale on one item", "One item takes 30 % of all order lines.", _flash_sale,
        ("cost_ratio", *FIGURES),
        (Mark("flash-sale", "cost_ratio", 1.2, "cost a message in a flash sale against none"),), ("bars",),
    ),
    Scenario(
        "snapshot-flood", "Snapshot flood", "Nine of ten messages are counts, and 95 % of those say nothing new.",
        _snapshot_flood, ("cost_ratio", *FIGURES),
        (Mark("flood", "cost_ratio", 1.0, "cost a message in a flood of snapshots against none"),), ("bars",),
    ),
    Scenario(
        "size", "Size of the state", "Every item/location holds stock before; Zipf over all items.", _size,
        ("cost_ratio", "prepared_rss_mb_max", *FIGURES),
        (
            Mark("1M", "cost_ratio", 1.5, "growth of cost from 10 k to 1 M item/locations", 1.2),
            Mark("1M", "rss_mb_max", 1500, "memory, 1 M item/locations and their 1 M ids (MB)", 700),
            Mark("1M", "epoch_commit_ms_mean", 15, "epoch's stall with 1 M item/locations (ms, mean)"),
        ),
        ("bars", "stalls"),
    ),
    Scenario(
        "workers", "Two workers", "Kafka, Valkey and both workers share the machine's cores.", _workers,
        ("speed_of_one", "cost_ratio", *FIGURES),
        (Mark("2", "speed_of_one", 1.0, "speed of two workers against one", 1.8, True),), ("bars",),
    ),
)  # fmt: skip
