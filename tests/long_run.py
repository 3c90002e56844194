"""Plays thousands of seeded histories to engine and model, on all cores, and says how many and how long it took.

    python -m tests.long_run --histories 10000 --length 200 --first 1000 --processes 2

Ends with 1 at the first history that fails, having written the shortest form of it to tests/failures/.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from dataclasses import asdict
from functools import partial

from tests.histories import History
from tests.playing import FAILURES, Played, failure_of, play, tale_of, write

CHUNK = 20
SAY_EVERY_S = 60.0


def play_seed(seed: int, length: int) -> Played | int:
    """What the history was made of, or its seed if it failed."""
    try:
        return play(tale_of(History(seed, length)))
    except Exception:
        return seed


def main() -> int:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--first", type=int, default=1_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    told = parser.parse_args()
    began = said = time.monotonic()
    total = Played()
    seeds = range(told.first, told.first + told.histories)
    with multiprocessing.Pool(told.processes) as pool:
        results = pool.imap_unordered(partial(play_seed, length=told.length), seeds, CHUNK)
        for number, result in enumerate(results, 1):
            if isinstance(result, int):
                pool.terminate()
                tale = tale_of(History(result, told.length))
                print(f"seed {result} fails: {failure_of(tale)}", file=sys.stderr)
                print(f"its shortest form is in {write(tale, FAILURES)}", file=sys.stderr)
                return 1
            for name, count in asdict(result).items():
                setattr(total, name, getattr(total, name) + count)
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                print(f"{number} of {told.histories} histories in {said - began:.0f} s", file=sys.stderr)
    seconds = round(time.monotonic() - began)
    print(json.dumps({"histories": told.histories, **asdict(total), "seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
