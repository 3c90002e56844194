"""`python -m tests.simulation [SCHEDULES] [FIRST_SEED]`: so many of each story; exits with 1 if one broke."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter

from tests.simulation.explorer import Broken, explore, silence
from tests.simulation.test_simulation import STORIES


def main(schedules: int, first: int) -> int:
    """Play them, and say what happened in them."""
    silence()
    if hasattr(os, "sched_setaffinity"):
        # Its threads take turns, one at a time: on one core that is twice as fast.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    broken = 0
    for name, faults in STORIES.items():
        began, happened, commits = time.monotonic(), Counter[str](), 0
        for seed in range(first, first + schedules):
            try:
                world = explore(seed, faults)
            except Broken as error:
                broken += 1
                print(f"BROKEN  {name}: {error}", flush=True)
            else:
                happened.update(world.happened)
                commits += world.commits
        seconds = time.monotonic() - began
        print(f"{name}: {schedules} schedules in {seconds:.0f} s, {commits} epochs; {dict(sorted(happened.items()))}")
    print(f"{broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    sys.exit(main(numbers[0] if numbers else 5000, numbers[1] if len(numbers) > 1 else 0))
