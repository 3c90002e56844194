"""Decides, once an epoch, whether Python looks for garbage that refers to itself.

State is a forest of long-lived objects without cycles; messages have none either. What is alive after a look is not
looked through again, so that a look costs in proportion to what an epoch made. Where that is much, it is new state: a
look took 10 to 45 ms an epoch and found nothing, but for 32 objects at the start (python -m benchmarks.peers).
"""

from __future__ import annotations

import gc

#: Objects an epoch may have made for cycles to be looked for among them: 3 ms.
AMONG_MAX = 10_000


def look_for_cycles() -> None:
    """Free what an epoch left behind in cycles, if it made little; what is alive now is not looked through again."""
    if gc.get_count()[0] <= AMONG_MAX:
        gc.collect()
        gc.freeze()
    else:
        gc.freeze()
        gc.collect(0)  # of what came since, nothing: only the count begins again
