"""`python -m benchmarks SCENARIO ...`: measures, keeps the results, writes the report.

Without a name: drain, latency at a fixed rate and one peer (about eight minutes). `--all`: every scenario, every peer.
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import report, results
from benchmarks.catalog import SCENARIOS, SHORT
from benchmarks.scenario import Options, Scenario

#: so that `make bench` ends within ten, with a peer
MINUTES = 7.0
ONE_PEER = ["--quick", "--only", "ours", "kafka_streams"]


def main() -> int:
    """Run what was asked for; exit code 1 if one of them could not be measured."""
    options, names, told = _parse()
    # Ended by a supervisor's patience, it must still stop its servers and remove its folders.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = results_folder(told.results, options.quick)
    failed = []
    started = time.monotonic()
    for number, name in enumerate(names, 1):
        # Each may use its part of the time, and what those before it left.
        until = started + 60 * told.minutes * number / len(names) if told.minutes else None
        try:
            run(SCENARIOS[name], options, folder, until)
        except Exception as error:  # the others are still worth having; the exit code tells
            if told.strict:
                raise
            print(f"{name} could not be measured: {error}", file=sys.stderr, flush=True)
            for note in getattr(error, "__notes__", ()):
                print(note, file=sys.stderr, flush=True)
            failed.append(name)
    if told.peers and not _peers([] if told.all and not options.quick else ONE_PEER):
        failed.append("peers")
    if not told.no_report:
        print(f"report: {report.write(folder)}", flush=True)
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def results_folder(told: str | None, quick: bool) -> Path:
    """Give where results are kept: what was asked for, else beside the report, or out of its way if sizes are small."""
    if told is not None:
        return Path(told)
    return results.QUICK_FOLDER if quick else results.FOLDER


def run(scenario: Scenario, options: Options, folder: Path, until: float | None = None) -> None:
    """Measure one scenario as often as asked, or as time allows but once; print its figures, keep them."""
    variants: dict[str, list[dict[str, Any]]] = {}
    took = 0.0
    for number in range(options.runs):
        started = time.monotonic()
        if number and until is not None and started + took > until:
            print(f"{scenario.name}: {number} of {options.runs} runs, because time is up", flush=True)
            break
        for variant, measured in scenario.measure(options).items():
            variants.setdefault(variant, []).append(asdict(measured))
            shown = ", ".join(
                f"{name} {measured.figures[name]:,.4g}" for name in scenario.figures if name in measured.figures
            )
            print(f"{scenario.name} {variant} ({number + 1}/{options.runs}): {shown}", flush=True)
        took = time.monotonic() - started
        print(f"  took {took:.0f} s", flush=True)
        # After each run, so that an interrupted series leaves what it has.
        results.keep(scenario.name, asdict(options), variants, folder)


def _peers(arguments: list[str]) -> bool:
    if importlib.util.find_spec("benchmarks.peers") is None:
        print("peers: benchmarks/peers is not here, so nothing is compared", flush=True)
        return True
    return subprocess.run([sys.executable, "-m", "benchmarks.peers", *arguments], check=False).returncode == 0


def _parse() -> tuple[Options, list[str], argparse.Namespace]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"of: {', '.join(SCENARIOS)}")
    parser.add_argument("--all", action="store_true", help="every scenario")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works: no figures to quote")
    parser.add_argument("--runs", type=int, help="of each scenario (default 3; 1 with --quick)")
    parser.add_argument(
        "--minutes", type=float, help=f"start no further run beyond (default {MINUTES:g} without names)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int)
    parser.add_argument("--items", type=int)
    parser.add_argument("--locations", type=int, default=5)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--zipf", type=float, default=1.0)
    parser.add_argument("--rate", type=int, help="messages a second")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the engine")
    parser.add_argument(
        "--results",
        help=f"where results are kept (default: {results.FOLDER}, which the report is made from; with --quick "
        f"{results.QUICK_FOLDER})",
    )
    parser.add_argument("--no-report", action="store_true")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, help="compare with peers too")
    parser.add_argument("--strict", action="store_true", help="end at the first scenario that cannot be measured")
    told = parser.parse_args()
    unknown = [name for name in told.scenario if name not in SCENARIOS]
    if unknown:
        parser.error(f"unknown scenario {unknown[0]}: expected one of {', '.join(SCENARIOS)}")
    wrong = [text for text in told.set if "=" not in text]
    if wrong:
        parser.error(f"--set {wrong[0]}: expected NAME=VALUE")
    if told.minutes is None and not told.scenario and not told.all:
        told.minutes = MINUTES
    if told.peers is None:
        told.peers = not told.scenario
    names = told.scenario or (list(SCENARIOS) if told.all else list(SHORT))
    options = Options(
        quick=told.quick, runs=told.runs or (1 if told.quick else 3), seed=told.seed, events=told.events,
        items=told.items, locations=told.locations, channels=told.channels, zipf=told.zipf, rate=told.rate,
        seconds=told.seconds, workers=told.workers, settings=dict(text.split("=", 1) for text in told.set),
    )  # fmt: skip
    return options, names, told


if __name__ == "__main__":
    sys.exit(main())
