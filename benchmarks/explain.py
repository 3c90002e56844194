"""How long `atp explain` takes with a running engine: in one process, and as a command with Python's start in it.

python -m benchmarks.explain --channel web --times 200 --ago 3600

Settings are those of `atp.toml` and the environment; the engine runs with `trail.enabled`, and has published items.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time

import redis

from flows.inspection.explaining import explain
from flows.inspection.trailed import NoTrail
from flows.settings import load_settings, redis_address
from schemas.times import time_text

#: Commands are measured less often: each starts a Python.
COMMANDS = 20


def milliseconds(taken: list[float]) -> dict[str, float]:
    """Give the middle, the slowest hundredth and the slowest."""
    ordered = sorted(taken)
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return {"p50": round(statistics.median(ordered), 1), "p99": round(p99, 1), "max": round(ordered[-1], 1)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channel", default="web")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--ago", type=float, default=0, help="of moments up to so many seconds ago; 0: of now")
    told = parser.parse_args()
    settings = load_settings()
    with redis.Redis.from_url(redis_address(settings.redis), decode_responses=True) as client:
        key = f"{settings.redis.prefix}engine:items"
        count = int(client.zcard(key))  # type: ignore[arg-type]
        dice = random.Random(1)
        ranks = [dice.randrange(count) for _ in range(told.times)]
        items = [client.zrange(key, rank, rank)[0] for rank in ranks]  # type: ignore[index]
    taken: list[float] = []
    commands: list[float] = []
    differ = untold = 0
    for item in items:
        at = None if not told.ago else time.time_ns() // 1000 - int(dice.uniform(0, told.ago) * 1e6)
        began = time.monotonic()
        try:
            differ += not explain(settings, item, told.channel, at=at).agrees
        except NoTrail:
            untold += 1
        taken.append((time.monotonic() - began) * 1000)
        if len(commands) < COMMANDS:
            when = ["--at", time_text(at)] if at is not None else []
            began = time.monotonic()
            subprocess.run(
                [sys.executable, "-m", "flows.cli", "explain", item, told.channel, "--json", *when],
                stdout=subprocess.DEVNULL,
                check=False,
            )
            commands.append((time.monotonic() - began) * 1000)
    print(
        json.dumps(
            {
                "items": count,
                "asked": len(items),
                "ms": milliseconds(taken),
                "command_ms": milliseconds(commands),
                "differ": differ,
                "no_trail": untold,
            }
        )
    )


if __name__ == "__main__":
    main()
