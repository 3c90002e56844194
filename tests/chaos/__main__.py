"""Breaks a real engine again and again, and reads what it publishes: `python -m tests.chaos --help`.

Exits with 1 if a number was lost, counted twice, taken back or wrong, or if the engine did not come back.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.arena import Options
from tests.chaos.faults import FAULTS
from tests.chaos.report import is_clean, markdown, summary
from tests.chaos.rounds import draw, fight
from tests.chaos.servers import ChaosServers

#: Short ones meet their ends more often; in long ones a dead run is far ahead of its snapshot.
EPOCHS = ("100ms", "500ms", "2s")


def main() -> int:
    """Fight rounds until all loops are done."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--loops", type=int, default=50, help="faults in all (50)")
    parser.add_argument("--round", type=int, default=25, help="faults in a world; then all of it is judged (25)")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each has the next one (1)")
    parser.add_argument("--items", type=int, default=10_000, help="items, each at two locations (10,000)")
    parser.add_argument("--rate", type=float, default=2000, help="events a second (2000)")
    parser.add_argument("--stories", type=int, default=6, help="random histories judged by the naive model (6)")
    parser.add_argument("--workers", type=int, default=0, help="worker processes (1 and 2 by turns)")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--only", action="append", default=[], choices=sorted(FAULTS), help="nothing but this fault")
    guarantees = ("fence", "hold-back", "order", "barrier")
    parser.add_argument("--without", default="", choices=guarantees, help="a guarantee that the engine does without")
    parser.add_argument("--report", type=Path, default=Path(".cache/chaos"), help="folder of the report (.cache/chaos)")
    asked = parser.parse_args()
    asked.report.mkdir(parents=True, exist_ok=True)

    def say(sentence: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {sentence}", flush=True)

    rounds = []
    with tempfile.TemporaryDirectory(prefix="atp-chaos-") as work, ChaosServers(Path(work) / "servers") as servers:
        left, seed = asked.loops, asked.seed
        while left > 0:
            options = Options(
                seed=seed,
                items=asked.items,
                rate=asked.rate,
                stories=asked.stories,
                workers=asked.workers or 1 + seed % 2,
                epoch=EPOCHS[seed % len(EPOCHS)],
                shards=asked.shards,
                small_disk_mib=2048,
                without=asked.without,
            )
            count = min(left, asked.round)
            rounds.append(
                fight(
                    servers,
                    Path(work) / f"round-{seed}",
                    options,
                    lambda arena, dice, count=count: draw(dice, count, arena.has_small_disk, asked.only),
                    say,
                )
            )
            shutil.rmtree(Path(work) / f"round-{seed}", ignore_errors=True)
            log = rounds[-1].pop("log", None)
            if log is not None:
                (asked.report / Path(log).name).write_text(Path(log).read_text())
            report = summary(rounds)
            (asked.report / "chaos.json").write_text(json.dumps({"summary": report, "rounds": rounds}, indent=1))
            (asked.report / "chaos.md").write_text(markdown(report, rounds))
            left, seed = left - count, seed + 1
    print(markdown(report, rounds))
    print(f"Written to {asked.report}/chaos.md and chaos.json")
    return 0 if is_clean(report) else 1


if __name__ == "__main__":
    sys.exit(main())
