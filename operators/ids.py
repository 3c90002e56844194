"""Which units were applied, so that none is applied twice (contract section 3).

A unit is known by a 60-bit fingerprint of (source, event_id, line_id, item), its content by one of 64 bits. Per shard,
ten million ids give a chance of 1e-11 an event that a new unit looks like a known one; it is then refused as a conflict
and can be seen and replayed, not lost.

They lie in one table of numbers (unit, content, bucket and digest) with open addressing: 24 bytes an entry, a half to
three quarters of them used, so 32 to 48 bytes an id; a Python set and the pairs beside it took 86. A bucket is the hour
after which nobody may repeat the id acceptably; it is forgotten as a whole. Ids that may go before that, as those of a
statement's rows with the verdict, are in buckets of their own beside it. The digest decides nothing: it has a few bits
of each field of the content, so that a conflict can say which differs. It fills what a bucket leaves free of its
number.
"""

from __future__ import annotations

from array import array

from operators.rules import native
from operators.rules.admission import NEW, repeat_of

HOUR = 3_600_000_000
MASK_60 = (1 << 60) - 1
#: Numbers of buckets an hour. Units have the first; what may be dropped before its hour has one of the others.
SPLIT = 16
#: numbers an entry of the table takes
ENTRY = 3
#: bytes a pair of fingerprints takes in a snapshot, and with the digest
PAIR, TRIPLE = 16, 24
#: Bits of an entry's third number that are its bucket: until the year 2209, and what is never forgotten is the last.
BUCKET_BITS = 25
BUCKET_MAX = (1 << BUCKET_BITS) - 1
#: What a snapshot's name of a bucket has above its number where digests are with the pairs. Before there were digests,
#: no number was that large (2^35 for what is never forgotten).
WITH_DIGESTS = 1 << 40
#: entries a table begins with: 384 bytes, times the shards
CAPACITY_MIN = 16
#: A table grows by a half when three quarters of it are used: then finding nothing reads 8.5 entries, one beside the
#: other (Knuth, The Art of Computer Programming, 6.4, linear probing).
FULL_AT, FULL_OF = 3, 4
#: Entries of news whose memory is kept for the next epoch.
NEWS_KEPT = 4096

# Names that other modules import are objects, and these are plain numbers once compiled.
_HOUR, _SPLIT, _MASK = HOUR, SPLIT, MASK_60
_BITS, _MAX, _WITH_DIGESTS = BUCKET_BITS, BUCKET_MAX, WITH_DIGESTS


def unit_fingerprint(source: str, event_id: str, line_id: str, item: str) -> int:
    """60 bits of the unit's identity. No field may hold the separator: codes and ids are printable."""
    return native.hashed_names(source, event_id, line_id, item) & _MASK


def content_fingerprint(content: bytes) -> int:
    """64 bits of what the unit says."""
    return native.hashed(content)


class RememberedIds:
    """The ids of one shard, each in the bucket of the hour in which it may be forgotten."""

    __slots__ = ("_capacity", "_floor", "_news", "_news_size", "_size", "_table")

    def __init__(self) -> None:
        self._capacity = CAPACITY_MIN
        self._size = 0
        #: ENTRY numbers an entry; a unit of 0 is a free one
        self._table = _numbers(CAPACITY_MIN)
        #: what was remembered since `news` was last asked, in order of arrival; grows, and is used again
        self._news = _numbers(CAPACITY_MIN)
        self._news_size = 0
        #: buckets below are forgotten
        self._floor = 0

    def __len__(self) -> int:
        return self._size

    def recognize(self, unit: int, content: int) -> int:
        """Say what a unit is beside what was applied: NEW, DUPLICATE or CONFLICT."""
        at = self._place(unit)
        if self._table[at] == 0:
            return NEW
        return repeat_of(self._table[at + 1], content)

    def digest(self, unit: int) -> int:
        """Give the digest of what a known unit said; 0 if it was remembered without."""
        return self._table[self._place(unit) + 2] >> _BITS

    def remember(self, unit: int, content: int, until: int, digest: int = 0) -> None:
        """Note an applied unit. `until`: when the id may be forgotten."""
        number = until // _HOUR * _SPLIT
        if number > _MAX:
            number = _MAX
        number |= digest << _BITS
        self.remember_in(unit, content, number)

    def remember_in(self, unit: int, content: int, number: int) -> None:
        """The same of a unit in a bucket of one's own, as `own_bucket` gives it."""
        self._insert(unit, content, number)
        at = self._news_size * ENTRY
        if at == len(self._news):
            self._news = _longer(self._news)
        self._news[at] = unit
        self._news[at + 1] = content
        self._news[at + 2] = number
        self._news_size += 1

    def news(self) -> dict[int, bytes]:
        """Give, by bucket, what was remembered since this was last asked: a layer of the snapshot.

        Triples (unit, content, digest) under a bucket's number and WITH_DIGESTS; pairs where there is no digest.
        """
        found: dict[int, bytes] = {}
        news, end = self._news, self._news_size * ENTRY
        numbers: set[int] = set()
        last = 0
        at = 2
        while at < end:  # compiled, a range by ENTRY would make an object a step
            number = news[at] & _MAX
            if number >= self._floor:
                if news[at] > _MAX:
                    number |= _WITH_DIGESTS
                if number != last or not numbers:  # as a rule it is the one before it
                    numbers.add(number)
                    last = number
            at += ENTRY
        for name in numbers:
            found[name] = _numbers_of(news, end, name)
        self._news_size = 0
        if len(news) > NEWS_KEPT * ENTRY:
            self._news = _numbers(CAPACITY_MIN)
        return found

    def restore(self, name: int, entries: bytes) -> None:
        """Add what a snapshot kept under the name of one bucket."""
        numbers = array("Q", entries)
        number = bucket_of(name)
        if number > _MAX:
            number = _MAX
        if name < _WITH_DIGESTS:
            for at in range(0, len(numbers), 2):
                self._insert(numbers[at], numbers[at + 1], number)
        else:
            for at in range(0, len(numbers), 3):
                self._insert(numbers[at], numbers[at + 1], number | numbers[at + 2] << _BITS)

    def forget(self, horizon: int) -> bool:
        """Drop every bucket whose hour ends at or before `horizon` (the slowest partition's clock)."""
        floor = first_kept(horizon)
        kept = at = 0
        end = self._capacity * ENTRY
        while at < end:
            if self._table[at] != 0 and self._table[at + 2] & _MAX >= floor:
                kept += 1
            at += ENTRY
        if kept == self._size:
            return False
        capacity = CAPACITY_MIN
        while kept * FULL_OF >= capacity * FULL_AT:
            capacity += capacity // 2
        self._floor = floor
        self._rebuild(capacity, floor)
        return True

    def drop(self, buckets: array[int]) -> bool:
        """Drop all ids of these buckets before their hour; true if there were any. Looks at every entry."""
        kept = at = 0
        end = self._capacity * ENTRY
        count = len(buckets)
        while at < end:
            if self._table[at] != 0:
                kept += 1
                number = self._table[at + 2] & _MAX
                for place in range(count):
                    if buckets[place] == number:
                        self._table[at] = 0  # the table is built anew before it is looked into
                        kept -= 1
                        break
            at += ENTRY
        if kept == self._size:
            return False
        capacity = CAPACITY_MIN
        while kept * FULL_OF >= capacity * FULL_AT:
            capacity += capacity // 2
        self._rebuild(capacity, 0)
        return True

    def _place(self, unit: int) -> int:
        """Where the unit's entry begins, or the free one that it would get."""
        # Its upper 32 of 60 bits as a share of the table: a table of any size, and no division.
        entry = (unit >> 28) * self._capacity >> 32
        while self._table[entry * ENTRY] != 0 and self._table[entry * ENTRY] != unit:
            entry += 1
            if entry == self._capacity:
                entry = 0
        return entry * ENTRY

    def _insert(self, unit: int, content: int, number: int) -> None:
        at = self._place(unit)
        if self._table[at] == 0:
            self._size += 1
        self._table[at] = unit
        self._table[at + 1] = content
        self._table[at + 2] = number
        if self._size * FULL_OF >= self._capacity * FULL_AT:
            self._rebuild(self._capacity + self._capacity // 2, 0)

    def _rebuild(self, capacity: int, floor: int) -> None:
        """Move the entries of buckets from `floor` on to a table of another size."""
        old, end = self._table, self._capacity * ENTRY
        self._table = _numbers(capacity)
        self._capacity, self._size = capacity, 0
        at = 0
        while at < end:
            if old[at] != 0 and old[at + 2] & _MAX >= floor:
                to = self._place(old[at])
                self._table[to] = old[at]
                self._table[to + 1] = old[at + 1]
                self._table[to + 2] = old[at + 2]
                self._size += 1
            at += ENTRY


def _numbers(entries: int) -> array[int]:
    return array("Q", bytes(8 * ENTRY * entries))


def _longer(numbers: array[int]) -> array[int]:
    size = len(numbers)
    longer = _numbers(2 * size // ENTRY)
    for at in range(size):
        longer[at] = numbers[at]
    return longer


def _numbers_of(news: array[int], end: int, name: int) -> bytes:
    """Give the entries of one bucket as bytes; the usual case is that all are of one."""
    numbers = array("Q", bytes(TRIPLE * (end // ENTRY)))
    view = numbers
    number, has_digests = name & _MAX, name > _MAX
    size = at = 0
    while at < end:
        if news[at + 2] & _MAX == number and (news[at + 2] > _MAX) == has_digests:
            view[size] = news[at]
            view[size + 1] = news[at + 1]
            size += 2
            if has_digests:
                view[size] = news[at + 2] >> _BITS
                size += 1
        at += ENTRY
    return numbers[:size].tobytes()


def own_bucket(until: int, split: int) -> int:
    """Give a bucket of the hour that units are not in. `split`: 1 to SPLIT - 1."""
    return min(until // HOUR * SPLIT + split, BUCKET_MAX)


def bucket_of(name: int) -> int:
    """Give the number of the bucket that a snapshot names."""
    return name & (_WITH_DIGESTS - 1)


def first_kept(horizon: int) -> int:
    """Give the lowest bucket that holds an id which something recorded at `horizon` or later may repeat."""
    return horizon // _HOUR * _SPLIT
