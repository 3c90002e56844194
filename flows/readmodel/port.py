"""What the writer needs of a read model: fenced writes in order, and what it says of itself.

Delivery: at least once, in the order given, and never from a run whose token is not the newest. Each call raises:

    StoreError
    ├── Fenced        a newer run holds the token: this process must stop
    ├── Behind        it lost writes of this run (restarted empty, or failed over): fill it again
    └── Outage        it does not answer or refuses for now: wait and repeat
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from flows.errors import PlainError
from operators.holdback import Value
from schemas.messages import ItemUpdate

#: one call's writes, in the read model's own form: the writer hands them back as it got them
Packed = Any


class StoreError(PlainError):
    """Something is wrong with the read model."""


class Fenced(StoreError):
    """A newer run of the engine holds the token."""


class Behind(StoreError):
    """The read model does not hold what this run wrote last."""


class Outage(StoreError):
    """It cannot be reached, or says that it cannot serve now."""


class Published(NamedTuple):
    """What channels read of an item."""

    version: int  # 0: there is nothing
    numbers: dict[str, Value]  # channel -> (atp, by_day)


class ReadModel(Protocol):
    """Where channels read, as the writer sees it. Not for use by two threads at once."""

    @property
    def life(self) -> int: ...  # how often it had lost something when this writer last looked

    def join(self) -> None: ...  # begin to write in a run whose token was taken
    def reclaim(self) -> bool: ...  # go on in one that lost the token; false: nothing else was lost

    # What one call writes, all or nothing: numbers, and in front of them which offsets (by shard, packed) they include.
    def pack(
        self, updates: Sequence[ItemUpdate], offsets: Mapping[int, bytes], version: int, moment: int
    ) -> Packed: ...
    def write_slices(self, slices: list[Packed]) -> None: ...  # in order; each leaves the list when it is taken
    def write_offsets(self, offsets: Mapping[int, bytes]) -> None: ...
    def mark(self, lives: Mapping[int, int]) -> None: ...  # shard -> the life in which it was filled to the end
    def look(self) -> None: ...  # write nothing: find out whether all that was written is there

    def reached(self, shard: int) -> tuple[bytes | None, bool]: ...  # its packed offsets; is all of it there?
    def versions(self, items: Sequence[str]) -> list[int]: ...  # 0: it has no numbers of the item
    def published(self, items: Sequence[str]) -> list[Published]: ...
    def publish(self, messages: Sequence[tuple[str, str]]) -> None: ...  # (lane, JSON) to whoever listens
    def close(self) -> None: ...
