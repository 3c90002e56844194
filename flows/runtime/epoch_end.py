"""Says when the last shard of an epoch is asked for its snapshot: then all that they kept is made safe, at once.

Bytewax asks each shard that something reached since the last snapshot, one after another, and commits the epoch when
all have answered: so what is synced before the last answer is safe before the commit.
"""

from __future__ import annotations

from collections.abc import Callable


class EpochEnd:
    """Of the shards of one process. Used by the dataflow's thread alone."""

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._reached: set[int] = set()
        self._is_ending = False

    def reach(self, shard: int) -> None:
        """Something reached a shard: it will be asked."""
        if self._is_ending:
            self._is_ending = False
            if self._reached:  # whoever was not asked must not keep the next epochs from being safe
                self._reached.clear()
                self._sync()
        self._reached.add(shard)

    def answer(self, shard: int) -> None:
        """A shard is asked, and all it has is kept; with the last one all is made safe before this returns."""
        self._is_ending = True
        self._reached.discard(shard)
        if not self._reached:
            self._sync()
