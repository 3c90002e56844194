"""The same job on our engine and on what one would otherwise pick: same topics, same run, all numbers checked.

    python -m benchmarks.peers [--events N] [--only ours kafka_streams ...] [--quick]

Exit codes: 0 all that ran gave the right numbers, 1 one failed or did not. A full run writes the report: all of them,
and not `--quick`.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import redis
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # not in its list of exports

from benchmarks.peers import contestants, judge, measure, table, workload
from benchmarks.peers.contestants import ALL, TOPICS, Contestant
from benchmarks.peers.environment import LeftOut
from flows.embedded import Servers
from flows.kafka import topics
from flows.kafka.sending import Sender
from flows.runtime.run import now
from flows.settings import load_settings
from schemas.settings import Settings
from schemas.topics import UPDATES

QUICK = 50_000


def main() -> int:
    """Measure, check, print and, unless the run is a quick or a partial one, write the report."""
    names = [contestant.name for contestant in ALL]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description="The same job on other tools.")
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} events; shows that it works, measures little")
    told = parser.parse_args()
    # An end by SIGTERM, too, takes the contestant and the servers along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    shape = workload.Shape(QUICK if told.quick else told.events, told.items, seed=told.seed)
    chosen = [contestant for contestant in ALL if contestant.name in told.only]
    with tempfile.TemporaryDirectory(prefix="atp-peers-") as name, Servers(Path(name) / "servers", progress=say) as up:
        found = compete(shape, chosen, up, Path(name))
    found["command"] = " ".join(["python -m benchmarks.peers", *sys.argv[1:]])
    print(table.markdown(found))
    if not told.quick and len(chosen) == len(ALL):
        table.write(found)
    return 1 if found["failed"] or any(result["wrong"] for result in found["results"]) else 0


def compete(shape: workload.Shape, chosen: list[Contestant], servers: Servers, folder: Path) -> dict[str, Any]:
    """Load the topics once, run each over them, check what each left."""
    engine = folder / "ours"
    engine.mkdir()
    settings = load_settings(None, contestants.engine_settings(servers.bootstrap_servers, servers.redis_url, engine))
    topics.create(settings)
    make_topics(settings, [contestants.output_topic(contestant) for contestant in chosen if not contestant.is_ours])
    sender = Sender(settings)
    prepared = 0.0
    if any(contestant.is_ours for contestant in chosen):
        for message in workload.reference(shape):
            sender.send(*message)
        sender.flush()
        say("Publishing the first numbers of all items, all 0 (ours only) ...")
        prepared = contestants.run_engine(servers.bootstrap_servers, servers.redis_url, engine, 0).cpu_s
    before = count_updates(settings) if prepared else 0
    say(f"Loading {shape.events:,} events ...")
    size = 0
    for message in workload.events(shape, now()):
        size += len(message[2])
        sender.send(*message)
    sender.flush()
    values = list(judge.read(servers.bootstrap_servers, [TOPICS + workload.WAREHOUSE]))
    assert len(values) == shape.events, f"{len(values)} events in Kafka, not {shape.events}"
    right = judge.expected(values)
    changes = judge.changes(values)
    del values
    results, left_out, failed = [], [], []
    for contestant in chosen:
        say(f"Running {contestant.title} ...")
        place = folder / contestant.name
        place.mkdir(exist_ok=True)
        reference_ms = measure.reference_loop_ms()
        cost = servers_cpu_s()
        try:
            run = contestants.run(contestant, servers.bootstrap_servers, servers.redis_url, place, shape.events)
        except LeftOut as reason:
            left_out.append(str(reason))
            say(str(reason))
            continue
        except measure.ContestantFailed as failure:  # the others are still worth having; the exit code tells
            failed.append(contestant.name)
            left_out.append(f"{contestant.title} is left out: it failed")
            say(str(failure))
            continue
        cost = servers_cpu_s() - cost
        verdict, updates = check(contestant, settings, right, shape)
        events = shape.events
        results.append(
            {
                "name": contestant.name,
                "title": contestant.title,
                "settings": contestant.settings,
                "events": events,
                "cpu_us": run.cpu_s / events * 1e6,
                "cpu_us_steady": (run.cpu_second_half_s - run.compiling_second_half_s) / events * 2e6,
                "cpu_us_second_half": run.cpu_second_half_s / events * 2e6,
                "events_per_s_second_half": events / 2 / run.seconds_second_half,
                "seconds": run.seconds,
                "reference_loop_ms": reference_ms,
                "rss_mb_max": run.rss_mb_max,
                "servers_cpu_us": cost / events * 1e6,
                "updates": updates - (before if contestant.is_ours else 0),
                "compared": verdict.compared,
                "wrong": verdict.wrong,
                "examples": verdict.examples,
            }
        )
        say(f"  {results[-1]['cpu_us_steady']:.1f} µs an event, {verdict.wrong} of {verdict.compared} numbers wrong")
    return {
        "shape": asdict(shape),
        "bytes_per_event": size / shape.events,
        "partitions": contestants.PARTITIONS,
        "changes": changes,
        "prepared_cpu_s": prepared,
        "machine": machine(),
        "results": results,
        "left_out": left_out,
        "failed": failed,
    }


def check(
    contestant: Contestant, settings: Settings, right: judge.Numbers, shape: workload.Shape
) -> tuple[judge.Verdict, int]:
    """Compare what a contestant published with what is right; ours in Kafka and in Redis."""
    servers = settings.kafka.bootstrap_servers
    if not contestant.is_ours:
        numbers, count = judge.last_numbers(judge.read(servers, [contestants.output_topic(contestant)]))
        return judge.compare(right, numbers), count
    numbers, count = judge.last_numbers(judge.read(servers, [settings.topic(name) for name in UPDATES]))
    in_kafka = judge.compare(right, numbers)
    with redis.Redis.from_url(settings.redis.url) as client:
        stored = judge.from_redis(client, settings.redis.prefix, map(workload.item_code, range(shape.items)))
    in_redis = judge.compare(right, stored)
    return max(in_kafka, in_redis, key=lambda verdict: verdict.wrong), count


def count_updates(settings: Settings) -> int:
    """Count what our engine has published so far."""
    return sum(1 for _ in judge.read(settings.kafka.bootstrap_servers, [settings.topic(name) for name in UPDATES]))


def make_topics(settings: Settings, names: list[str]) -> None:
    """Make the topics that the peers write to."""
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    wanted = [NewTopic(name, num_partitions=contestants.PARTITIONS, replication_factor=1) for name in names]
    for done in admin.create_topics(wanted).values() if wanted else []:
        done.result(30)


def servers_cpu_s() -> float:
    """Give what Kafka and Valkey have used so far; 0 where they were not started here."""
    children = psutil.Process().children()
    return sum(times.user + times.system for times in (child.cpu_times() for child in children))


def machine() -> str:
    """Say what this was measured on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    busy = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({model}), Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, {time.strftime('%Y-%m-%d', time.gmtime())}, "
        f"load average {busy:.1f} at its end"
    )


def say(sentence: str) -> None:
    """Tell who waits."""
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
