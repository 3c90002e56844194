"""How long `atp audit --all` takes: every item computed again from all events, beside an engine that wrote its numbers.

    python -m benchmarks.audit [--items 1000] [--events 200000]
    python -m benchmarks.audit --items 10000 --events 2000000    # the mark: at most 60 s

Prints one line of JSON: seconds and processor seconds of the command with Python's start, the most memory that one of
its processes had, and what it found. `--running` leaves the engine running beside it, with nothing to do.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.engine import Engine
from benchmarks.lab import Lab
from flows.traffic.profile import Profile

MARK_S = 60.0
#: An engine on a busy machine takes 100 us a message.
DRAIN_S_MAX = 7200.0


def audited(lab: Lab, *more: str) -> dict[str, Any]:
    """Audit all items by the command, and give what it said with what it took."""
    with tempfile.TemporaryFile() as said:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "audit", "--all", "--json", *more], env=lab.environment(), stdout=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - began
        said.seek(0)
        *differ, summary = said.read().decode().splitlines()
    found = json.loads(summary)
    return {
        "seconds": round(seconds, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "rss_mb_max": usage.ru_maxrss // 1024,
        "items": found["items"],
        "messages": found["messages"],
        "fields": found["fields"],
        "states": found["states"],
        "differ": len(differ),
        "exit_code": process.returncode,
    }


def main() -> None:
    """Fill topics and Redis, audit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--locations", type=int, default=5)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--zipf", type=float, default=1.0, help="0: all items are named alike")
    parser.add_argument("--engine-workers", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0, help="processes of the audit; 0: one a processor")
    parser.add_argument("--rate", type=int, default=0, help="messages of Kafka a second; 0: no limit")
    parser.add_argument("--running", action="store_true", help="the engine runs on meanwhile")
    told = parser.parse_args()
    profile = Profile(told.events, told.items, told.locations, told.channels, zipf=told.zipf)
    more = ["--workers", str(told.workers), "--rate", str(told.rate)]
    with Lab(told.engine_workers) as lab:
        lab.preload(profile, reference=True)
        began = time.monotonic()
        with Engine(lab, "--until-caught-up") as engine:
            engine.finish(DRAIN_S_MAX)
        drained_s = time.monotonic() - began
        with contextlib.ExitStack() as stack:
            if told.running:
                stack.enter_context(Engine(lab))
            found = audited(lab, *more)
    print(json.dumps({**found, "mark_s": MARK_S, "drained_s": round(drained_s, 1)}))
    sys.exit(found["exit_code"])


if __name__ == "__main__":
    main()
