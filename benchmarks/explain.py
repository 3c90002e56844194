"""How long `atp explain` takes beside a running engine under traffic: as a call, and as a command with Python's start.

    python -m benchmarks.explain [--items 20000] [--rate 300] [--times 200] [--ago 60]
    python -m benchmarks.explain --items 200000 --rate 1000 --ago 120    # the mark: 1,000,000 item/locations

The mark: 300 ms p99 of now, with at most 64 records and 1 MiB of Kafka; 2 s of a moment. Every cell of every item holds
stock, and the trail is on. Items are those that traffic names, and any; each is asked of now and of a moment some time
ago. `beyond`: of so many the trail was not enough, and all reference records were read.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from benchmarks.driver import Driver
from benchmarks.lab import Lab
from benchmarks.sampling import Sampler
from benchmarks.session import Session, Timetable
from benchmarks.statements import LOCATIONS, MINUTE, stock
from flows.inspection.explaining import explain
from flows.inspection.trail import NOW_RECORDS_MAX
from flows.inspection.trailed import NoTrail
from flows.runtime.run import now
from flows.traffic.profile import Profile, channel_code, item_code
from schemas.settings import Settings
from schemas.times import time_text

#: Commands are measured less often: each starts a Python.
COMMANDS = 20
#: for a million messages, on a machine that has other things to do
CATCH_UP_S = 3600.0
#: traffic before anything is asked, so that there is a past
WARM_S = 10.0


def spread(found: list[float]) -> dict[str, float]:
    """Give the middle, what 99 of 100 stay within, and the most."""
    ordered = sorted(found)
    if not ordered:
        return {}
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return {"p50": round(statistics.median(ordered), 1), "p99": round(p99, 1), "max": round(ordered[-1], 1)}


class Questions:
    """Asks while traffic goes on: in a process of its own, as whoever asks has."""

    def __init__(self, lab: Lab, told: argparse.Namespace) -> None:
        self._lab, self._told = lab, told
        self.answers: dict[str, dict[str, object]] = {}

    def __call__(self, start: float, driver: Driver, sampler: Sampler) -> None:
        """Do it: of now, then of moments of the past."""
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as asker:
            for name, wait_s in (("now", WARM_S), ("at", WARM_S + self._told.ago)):
                time.sleep(max(0.0, start + wait_s - time.monotonic()))
                told = (self._lab.settings, self._lab.environment(), self._told, name == "at")
                self.answers[name] = asker.submit(ask, *told).result()


def ask(settings: Settings, environment: dict[str, str], told: argparse.Namespace, is_past: bool) -> dict[str, object]:
    """Ask so many times, and say how long it took."""
    dice = random.Random(1)
    taken: list[float] = []
    commands: list[float] = []
    records: list[float] = []
    kib: list[float] = []
    differ = untold = 0
    for number in range(told.times):
        # Half of them those that traffic names most, which have the longest trails.
        item = item_code(dice.randrange(100 if number % 2 else told.items))
        channel = channel_code(dice.randrange(4))
        at = now() - round(dice.uniform(0, told.ago) * 1e6) if is_past else None
        began = time.monotonic()
        try:
            said = explain(settings, item, channel, at=at)
            taken.append((time.monotonic() - began) * 1000)
            differ += not said.agrees
            records.append(said.records_read)
            kib.append(said.bytes_read / 1024)
        except NoTrail:
            untold += 1
        if len(commands) < COMMANDS:
            when = ["--at", time_text(at)] if at is not None else []
            began = time.monotonic()
            subprocess.run(
                [sys.executable, "-m", "flows.cli", "explain", item, channel, "--json", *when],
                env=environment,
                stdout=subprocess.DEVNULL,
                check=False,
            )
            commands.append((time.monotonic() - began) * 1000)
    return {
        "ms": spread(taken),
        "command_ms": spread(commands),
        "records": spread(records),
        "kib": spread(kib),
        "beyond": sum(1 for read in records if read > NOW_RECORDS_MAX),
        "differ": differ,
        "no_trail": untold,
    }


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=300.0, help="events a second beside the questions")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--ago", type=float, default=60.0, help="how far back moments lie, in seconds, at most")
    told = parser.parse_args()
    seconds = 2 * WARM_S + told.ago + 60.0 + told.times * 1.2
    profile = Profile(round(told.rate * seconds), told.items, LOCATIONS)
    timetable = Timetable(profile, [(told.rate, seconds)], [], probe_rate=1.0, follow_kafka=False)
    with Lab(more={"trail.enabled": True}) as lab, Session(lab, profile, timetable.probe_count()) as session:
        lab.send(stock(told.items, now() - 60 * MINUTE))
        session.wait_until_caught_up(CATCH_UP_S)
        questions = Questions(lab, told)
        session.drive(timetable, questions)
        print(json.dumps({"items": told.items, "cells": told.items * LOCATIONS, **questions.answers}))


if __name__ == "__main__":
    main()
