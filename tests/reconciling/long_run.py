"""Plays statements by the thousand to engine and model, on all cores: histories, or planted faults.

    python -m tests.reconciling.long_run histories --true 1000 --spoiled 1000
    python -m tests.reconciling.long_run faults --planted 10000

Ends with 1 at the first that fails, and says its number: it can be told again by that alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from dataclasses import asdict
from typing import Any

from tests.reconciling.faults import plant
from tests.reconciling.histories import StatedHistory
from tests.reconciling.playing import found_by, play, same, side_for

CHUNK = 10
FIRST = 1_000


def play_one(told: tuple[int, bool]) -> dict[str, Any] | str:
    """What a history was made of, or why it failed."""
    seed, is_true = told
    try:
        return asdict(play(StatedHistory(seed, is_true=is_true)))
    except Exception as error:  # whatever it is: a KeyError of the engine is a failure too
        return f"StatedHistory({seed}, is_true={is_true}): {type(error).__name__}: {error}"


def plant_one(seed: int) -> dict[str, Any] | str:
    """What the engine made of a fault, or how it differs from what the model makes of it."""
    try:
        planted = plant(seed)
        model, engine = side_for(planted)
        found_by(planted, model)
        found = found_by(planted, engine)
        same(model, engine, planted.name)
        return {"planted": 1, "found": int(found.is_found), "named": int(found.is_named), planted.fault: found.is_named}
    except Exception as error:
        return f"plant({seed}): {type(error).__name__}: {error}"


def main() -> int:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("histories", "faults"))
    parser.add_argument("--true", type=int, default=1_000)
    parser.add_argument("--spoiled", type=int, default=1_000)
    parser.add_argument("--planted", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=FIRST)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    told = parser.parse_args()
    began = time.monotonic()
    sums: dict[str, Counter[str]] = {"true": Counter(), "spoiled": Counter(), "planted": Counter()}
    with multiprocessing.Pool(told.processes) as pool:
        if told.what == "faults":
            seeds = range(told.first, told.first + told.planted)
            results = (("planted", result) for result in pool.imap_unordered(plant_one, seeds, CHUNK))
        else:
            histories = [(told.first + number, True) for number in range(told.true)]
            histories += [(told.first + number, False) for number in range(told.spoiled)]
            kinds = ["true"] * told.true + ["spoiled"] * told.spoiled
            results = zip(kinds, pool.imap(play_one, histories, CHUNK), strict=True)  # type: ignore[assignment]
        for kind, result in results:
            if isinstance(result, str):
                pool.terminate()
                print(result, file=sys.stderr)
                return 1
            if kind != "planted":
                sums[kind]["histories"] += 1
            for name, count in result.items():
                sums[kind].update(count if isinstance(count, dict) else {name: int(count)})
    seconds = round(time.monotonic() - began)
    if told.what == "faults":
        print(json.dumps({**sums["planted"], "seconds": seconds}))
    else:
        print(json.dumps({"true": sums["true"], "spoiled": sums["spoiled"], "seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
