"""Completes the set `engine:items` where numbers are in Redis that its keeper (library.lua) has not seen come.

That is so once, after an engine that did not keep the set; and where it could not be kept for a while. The walk:
1. SCAN goes through the keys in slices and meets every `atp:` hash that is there from its beginning to its end.
2. A slice is added in one step that looks at each hash again: what left meanwhile stays out. What comes meanwhile adds
   itself.
3. Each slice leaves its own word in the fence, and the last one WHOLE. A slice that does not find the word of the one
   before it is in a Redis that went back, or in which the set could not be kept: the walk begins again.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from flows.log import get_log
from flows.readmodel.port import Behind, Fenced, StoreError
from flows.readmodel.store import Store

log = get_log(__name__)

#: as in library.lua
WHOLE = "whole"
#: Keys a slice looks at. On a busy machine 500 took 4.4 ms of Redis' time (17 us an item), so this holds
#: others up for less than 2 ms.
SLICE_KEYS = 200
#: A walk that Redis refuses (no right to SCAN, another kind of key in the set's place) is tried again after so long.
REFUSED_PAUSE_S = 30.0


class ItemWalk:
    """One walk after another, a slice at a time, until the set is whole. For one thread."""

    def __init__(self, store: Store, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store, self._monotonic = store, monotonic
        self._numbers = itertools.count(1)
        self._cursor, self._word, self._found = b"0", "", 0
        self._rests_until = 0.0
        self._is_told = False

    def goes_on(self, word: str) -> bool:
        """Is there anything to do, where the fence says that?"""
        return word != WHOLE and self._monotonic() >= self._rests_until

    def slice(self, word: str) -> str:
        """Go on by a slice from where the fence says that; gives what it says now.

        Fenced where a newer run has begun. An Outage is kept from the caller where Redis refuses the walk alone.
        """
        if word != self._word:
            self._begin()
        try:
            cursor, keys = self._store.promises(self._cursor, SLICE_KEYS)
            after = WHOLE if cursor == b"0" else f"{self._store.token}.{next(self._numbers)}"
            self._store.list_items(keys, word, after)
        except (Fenced, Behind):
            self._begin()
            raise
        except StoreError as error:
            self._begin()
            if "refused" not in str(error):
                raise
            self._rests_until = self._monotonic() + REFUSED_PAUSE_S
            if not self._is_told:
                self._is_told = True
                log.warning(
                    f"engine:items cannot be kept ({error}): items are not found by prefix; numbers are not concerned",
                    kind="items",
                    next="give the user the rights that docs/security.md lists (+scan +zadd +zrem +exists)",
                )
            return word
        self._cursor, self._word, self._found = cursor, after, self._found + len(keys)
        if after == WHOLE:
            self._is_told = False
            if self._found:
                log.info(f"engine:items is complete: {self._found} items were in Redis before", kind="items")
            self._begin()
        return after

    def _begin(self) -> None:
        self._cursor, self._word, self._found = b"0", "", 0
