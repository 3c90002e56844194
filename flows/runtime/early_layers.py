"""Layers of state written ahead of an epoch's end, in the pauses that the input leaves.

At the end of an epoch the source waits while every shard encodes what changed. Most of that can be done shortly
before: late enough that little changes again, early enough that little is left. Under full load there are no pauses,
and everything is encoded once, at the end.
"""

from __future__ import annotations

import time

from operators.shard import Shard

#: From which part of an epoch on, and until when all shards should be through: an item that changes in between is
#: encoded twice, one that changes afterwards makes the source wait.
FIRST, LAST = 0.85, 0.98
#: Shards in one pause: each is 0.1 to 0.5 ms in which no event is read.
AT_ONCE = 2
#: Between two such, at least: a source that polls more often asks each time.
EVERY_S = 0.001


class EarlyLayers:
    """The shards of a process, one after another, once an epoch."""

    def __init__(self, epoch_interval: int) -> None:
        self._epoch_s = epoch_interval / 1e6
        self._shards: list[Shard] = []
        self._began_at = time.monotonic()
        self._next = 0
        self._stepped_at = 0.0

    def watch(self, shard: Shard) -> None:
        """Take a shard in."""
        self._shards.append(shard)

    def begin(self) -> None:
        """An epoch begins."""
        self._began_at = time.monotonic()
        self._next = 0

    def step(self) -> None:
        """There is a pause: do what is due by now."""
        moment = time.monotonic()
        if moment - self._stepped_at < EVERY_S:
            return
        self._stepped_at = moment
        part = (moment - self._began_at) / self._epoch_s
        due = min(int((part - FIRST) / (LAST - FIRST) * len(self._shards)), len(self._shards), self._next + AT_ONCE)
        while self._next < due:
            self._shards[self._next].write_ahead()
            self._next += 1
