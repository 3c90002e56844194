"""Which units were applied, so that none is applied twice (contract section 3).

A unit is known by a 60-bit fingerprint of (source, event_id, line_id, item), its content by one of 64 bits. 60 bits
because such an int takes 32 bytes where a 64-bit one takes 48. Per shard, ten million ids give a chance of 1e-11 an
event that a new unit looks like a known one; it is then refused as a conflict and can be seen and replayed, not lost.

Memory for each id: 32 (int) + about 38 (set slot) + 16 (the packed pair) = 86 bytes.
"""

from __future__ import annotations

import struct

from xxhash import xxh3_64_intdigest as _digest

HOUR = 3_600_000_000
MASK_60 = (1 << 60) - 1
#: Buckets an hour: repeats are looked for in one of them. At 20,000 units a second and 64 shards, one search of an
#: hour's only bucket took longer than all else that is done for a unit.
SPLIT = 16
#: bytes a pair of fingerprints takes
WIDTH = 16
_pair = struct.Struct("<QQ").pack

NEW, DUPLICATE, CONFLICT = range(3)


def unit_fingerprint(source: str, event_id: str, line_id: str, item: str) -> int:
    """60 bits of the unit's identity. No field may hold the separator: codes and ids are printable."""
    return _digest(f"{source}\x1f{event_id}\x1f{line_id}\x1f{item}".encode()) & MASK_60


def content_fingerprint(content: bytes) -> int:
    """64 bits of what the unit says."""
    return _digest(content)


class RememberedIds:
    """The ids of one shard, in buckets by the hour after which nobody may repeat them acceptably, SPLIT an hour."""

    __slots__ = ("_told", "buckets", "known")

    def __init__(self) -> None:
        self.known: set[int] = set()
        #: bucket -> pairs of (unit fingerprint, content fingerprint), in order of arrival
        self.buckets: dict[int, bytearray] = {}
        #: bucket that grew since the last `news` -> its size then
        self._told: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.known)

    def judge(self, unit: int, content: int, until: int) -> int:
        """NEW, DUPLICATE or CONFLICT. `until`: when the id may be forgotten; a true repeat has the same."""
        if unit not in self.known:
            return NEW
        sought = unit.to_bytes(8, "little")
        home = bucket_of(unit, until)
        # A repeat that keeps its occurred_at is in the bucket that its own `until` names: look there first. A search
        # of bytes finds one of 1,000 ids in 4 us; only repeats pay it, and no second table is kept for them.
        for number in (home, *(other for other in self.buckets if other != home)):
            bucket = self.buckets.get(number)
            if bucket is None:
                continue
            at = bucket.find(sought)
            while at >= 0 and at % WIDTH:
                at = bucket.find(sought, at + 1)
            if at >= 0:
                return DUPLICATE if bucket[at + 8 : at + 16] == content.to_bytes(8, "little") else CONFLICT
        raise AssertionError(f"id {unit:x} is known but in no bucket")

    def remember(self, unit: int, content: int, until: int) -> None:
        """Note an applied unit."""
        number = until // HOUR * SPLIT + (unit & SPLIT - 1)  # bucket_of, without the call
        bucket = self.buckets.get(number)
        if bucket is None:
            bucket = self.buckets[number] = bytearray()
        if number not in self._told:
            self._told[number] = len(bucket)
        self.known.add(unit)
        bucket += _pair(unit, content)

    def news(self) -> dict[int, bytes]:
        """Give, by bucket, what was remembered since this was last asked: a layer of the shard's snapshot."""
        news = {number: bytes(self.buckets[number][size:]) for number, size in self._told.items()}
        self._told.clear()
        return news

    def restore(self, number: int, pairs: bytes) -> None:
        """Add what a snapshot kept of one bucket."""
        self.buckets.setdefault(number, bytearray()).extend(pairs)
        self.known.update(memoryview(pairs).cast("Q")[::2])

    def forget(self, horizon: int) -> bool:
        """Drop every bucket whose hour ends at or before `horizon` (the slowest partition's clock)."""
        floor = first_kept(horizon)
        gone = [number for number in self.buckets if number < floor]
        for number in gone:
            self.known.difference_update(memoryview(bytes(self.buckets.pop(number))).cast("Q")[::2])
            self._told.pop(number, None)
        return bool(gone)


def bucket_of(unit: int, until: int) -> int:
    """Give the number of an id's bucket: hours since 1970, split by the fingerprint's lowest bits."""
    return until // HOUR * SPLIT + (unit & SPLIT - 1)


def first_kept(horizon: int) -> int:
    """Give the lowest bucket that holds an id which something recorded at `horizon` or later may repeat."""
    return horizon // HOUR * SPLIT
