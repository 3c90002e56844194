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
#: bytes a pair of fingerprints takes
WIDTH = 16
_pair = struct.Struct("<QQ").pack

NEW, DUPLICATE, CONFLICT = range(3)


def unit_fingerprint(source: str, event_id: str, line_id: str, item: str) -> int:
    """60 bits of the unit's identity. No field may hold the separator: codes and ids are printable."""
    return _digest(f"{source}\x1f{event_id}\x1f{line_id}\x1f{item}".encode()) & MASK_60


def content_fingerprint(content: str) -> int:
    """64 bits of what the unit says."""
    return _digest(content.encode())


class RememberedIds:
    """The ids of one shard, in hourly buckets by the hour after which nobody may repeat them acceptably."""

    __slots__ = ("buckets", "known")

    def __init__(self) -> None:
        self.known: set[int] = set()
        #: hour -> pairs of (unit fingerprint, content fingerprint), in order of arrival
        self.buckets: dict[int, bytearray] = {}

    def __len__(self) -> int:
        return len(self.known)

    def judge(self, unit: int, content: int, until: int) -> int:
        """NEW, DUPLICATE or CONFLICT. `until`: when the id may be forgotten; a true repeat has the same."""
        if unit not in self.known:
            return NEW
        sought = unit.to_bytes(8, "little")
        home = until // HOUR
        # A repeat that keeps its occurred_at is in the bucket that its own `until` names: look there first. A search
        # of bytes finds one of 15,000 ids in 60 us; only repeats pay it, and no second table is kept for them.
        for hour in (home, *(other for other in self.buckets if other != home)):
            bucket = self.buckets.get(hour)
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
        hour = until // HOUR
        bucket = self.buckets.get(hour)
        if bucket is None:
            bucket = self.buckets[hour] = bytearray()
        self.known.add(unit)
        bucket += _pair(unit, content)

    def restore(self, hour: int, pairs: bytes) -> None:
        """Add what a snapshot kept for one hour."""
        self.buckets.setdefault(hour, bytearray()).extend(pairs)
        self.known.update(memoryview(pairs).cast("Q")[::2])

    def forget(self, horizon: int) -> bool:
        """Drop every bucket that ends at or before `horizon` (the slowest partition's clock)."""
        gone = [hour for hour in self.buckets if (hour + 1) * HOUR <= horizon]
        for hour in gone:
            self.known.difference_update(memoryview(bytes(self.buckets.pop(hour))).cast("Q")[::2])
        return bool(gone)
