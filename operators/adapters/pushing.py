"""Decides what is set at a shop: which numbers are due, which of them fall or rise, and what to do with a refusal.

1. The newest number of an item and channel counts, whatever lane it came by; versions tell.
2. A number is set only where the shop has what it had when we looked (compare-and-set).
3. A number that falls is set at once. One that rises waits until every order of the shop is read (`order_gate`).
4. What the shop refuses is halved until the bad one stands alone. That one waits, ever longer; the others do not.
5. Units that the shop took off by itself a moment ago are taken off what rises: their order may not be found yet.
6. A channel with a budget (`max_updates_per_second`) rises at most to what Redis has: its falls may wait for Kafka.
7. A position in Kafka is committed once nothing before it is due. What is set twice is set to the same number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

#: What the shop's API takes; a larger number says no more to a shop.
QUANTITY_MAX: Final = 1_000_000_000
#: Of each number's falls so many are told apart; older ones then count as long as the next.
FALLS_MAX: Final = 100
ITEM_PREFIX: Final = "gid://shopify/InventoryItem/"
#: What the shop says where its number is another than the one we compared with, before and since 2026-04.
STALE: Final = frozenset({"COMPARE_QUANTITY_STALE", "CHANGE_FROM_QUANTITY_STALE"})

Key = tuple[str, str]
"""(item, channel)"""
Part = tuple[str, int]
"""(topic, partition)"""


class Target(NamedTuple):
    """Where the shop keeps a number; both as it names them."""

    item_id: str
    location_id: str


class Change(NamedTuple):
    """A number to be set where the shop has `before`."""

    target: Target
    quantity: int
    before: int


class Fault(NamedTuple):
    """What the shop says is wrong: of the change at that place in the request, or of all of it."""

    place: int | None
    code: str
    message: str


class _Number(NamedTuple):
    version: int
    atp: int


class _Due(NamedTuple):
    """What made it due: an update, an alias or neither (a scale); each with its place in Kafka."""

    update: tuple[Part, int] | None = None
    alias: tuple[Part, int] | None = None


class _Parked(NamedTuple):
    failures: int
    until: float


def changes_that_fall(wanted: dict[Target, int], levels: dict[Target, int]) -> list[Change]:
    """Give what may be set at once: what is lower than what the shop has."""
    return [
        Change(target, wanted[target], level)
        for target, level in levels.items()
        if target in wanted and wanted[target] < level
    ]


def halves(batch: Sequence[Change], faults: Iterable[Fault]) -> list[list[Change]]:
    """Give the parts in which a batch of at least two that was refused is tried again: both are smaller than it.

    What the shop names stands apart from the rest; where it names nothing, or all, the batch is halved.
    """
    assert len(batch) > 1, "what stands alone is not halved"
    named = {fault.place for fault in faults if fault.place is not None}
    bad = [change for place, change in enumerate(batch) if place in named]
    if 0 < len(bad) < len(batch):
        return [[change for place, change in enumerate(batch) if place not in named], bad]
    middle = len(batch) // 2
    return [list(batch[:middle]), list(batch[middle:])]


def pause_s(cost: float, available: float, restore_rate: float) -> float:
    """Give the seconds until the shop lets a request of that cost through, by its own account of what is left."""
    return 0.0 if available >= cost or restore_rate <= 0 else (cost - available) / restore_rate


class Book:
    """What is known of the numbers of one shop. `now` is in seconds of a clock that never goes back."""

    def __init__(self, locations: dict[str, str]) -> None:
        self._locations = locations
        self._numbers: dict[Key, _Number] = {}
        self._ids: dict[str, set[str]] = {}
        self._item_of: dict[str, str] = {}
        self._scales: dict[str, int] = {}
        #: channels whose updates may wait on their way to Kafka
        self._budgeted: set[str] = set()
        #: what is not known to be at the shop, and the offsets that made it so
        self._due: dict[Key, _Due] = {}
        self._since: dict[Key, float] = {}
        self._parked: dict[Target, _Parked] = {}
        #: what the shop had, as we last saw or set it; when it fell without us, and by how much
        self._seen: dict[Target, int] = {}
        self._falls: dict[Target, list[tuple[float, int]]] = {}

    def take_number(self, key: Key, version: int, atp: int, part: Part, offset: int, is_new: bool, now: float) -> None:
        """Hear an update; `is_new`: it is not known to be at the shop already."""
        known = self._numbers.get(key)
        if key[1] not in self._locations or (known is not None and known.version >= version):
            return
        self._numbers[key] = _Number(version, atp)
        alias = self._due[key].alias if key in self._due else None
        if is_new or alias is not None:
            self._make_due(key, _Due((part, offset) if is_new else None, alias), now)
        else:
            self._due.pop(key, None)
            self._since.pop(key, None)

    def _make_due(self, key: Key, due: _Due, now: float) -> None:
        self._due[key] = due
        self._since.setdefault(key, now)

    def take_alias(self, theirs: str, ours: str | None, part: Part, offset: int, is_new: bool, now: float) -> None:
        """Hear that an item of the shop is ours, or is not any more."""
        if not theirs.startswith(ITEM_PREFIX):
            return
        before = self._item_of.pop(theirs, None)
        if before is not None:
            self._ids[before].discard(theirs)
        if ours is None:
            return
        self._item_of[theirs] = ours
        self._ids.setdefault(ours, set()).add(theirs)
        if is_new:
            for key in self._keys(ours):
                self._make_due(key, self._due.get(key, _Due())._replace(alias=(part, offset)), now)

    def take_scale(self, item: str, scale: int, now: float) -> None:
        """Hear how many decimals an item's numbers have."""
        if scale == self._scales.get(item, 0):
            return
        self._scales[item] = scale
        for key in self._keys(item):
            if key in self._numbers:
                self._make_due(key, self._due.get(key, _Due()), now)

    def take_budget(self, channel: str, is_limited: bool) -> None:
        """Hear whether a channel's updates may wait for a budget."""
        (self._budgeted.add if is_limited else self._budgeted.discard)(channel)

    def budgeted(self, targets: Iterable[Target]) -> list[Key]:
        """Give items and channels of these whose newest update may not be in Kafka yet."""
        keys = map(self._key_of, targets)
        return sorted({key for key in keys if key is not None and key[1] in self._budgeted})

    def _key_of(self, target: Target) -> Key | None:
        item = self._item_of.get(target.item_id)
        for channel, location in self._locations.items():
            if item is not None and location == target.location_id and (item, channel) in self._numbers:
                return item, channel
        return None

    def _keys(self, item: str) -> list[Key]:
        return [(item, channel) for channel in self._locations]

    def _targets(self, key: Key) -> list[Target]:
        return [Target(found, self._locations[key[1]]) for found in sorted(self._ids.get(key[0], ()))]

    def wanted(self, target: Target, promised: Mapping[Key, int | None] | None = None) -> int | None:
        """Give the number that the shop is to have, in whole base units; None if there is none any more.

        `promised`: what is promised now of some items and channels: it is not to be above that; None has no number.
        """
        key = self._key_of(target)
        if key is None:
            return None
        atp = self._numbers[key].atp
        if promised is not None and key in promised:
            now = promised[key]
            if now is None:
                return None
            atp = min(atp, now)
        unit: int = 10 ** self._scales.get(key[0], 0)
        return min(QUANTITY_MAX, atp // unit)

    def due(self, now: float) -> Iterator[Target]:
        """Give what is to be looked at: not what waits after a refusal, and not what the shop does not know as ours."""
        for key in list(self._due):
            if key not in self._numbers:
                continue  # an alias came before its item's first number
            for target in self._targets(key):
                if (parked := self._parked.get(target)) is None or parked.until <= now:
                    yield target

    def was_refused(self, target: Target) -> bool:
        """Did the shop refuse it the last time? Then it goes alone."""
        return target in self._parked

    def saw(self, target: Target, level: int, now: float) -> None:
        """Hear what the shop has; where that is less than it was, somebody bought it."""
        fell = self._seen.get(target, level) - level
        if fell > 0:
            falls = self._falls.setdefault(target, [])
            falls.append((now, fell))
            if len(falls) > FALLS_MAX:
                (_, first), (at, second) = falls[:2]
                falls[:2] = [(at, first + second)]
        self._seen[target] = level

    def fallen(self, target: Target, since: float) -> int:
        """Give the units by which it was seen to have fallen by itself after that moment."""
        return sum(units for at, units in self._falls.get(target, ()) if at > since)

    def is_set(self, target: Target, quantity: int) -> None:
        """The shop has it now."""
        self._seen[target] = quantity
        self._parked.pop(target, None)
        if self.wanted(target) == quantity:
            self._settle(target)

    def _settle(self, target: Target) -> None:
        """What is due is no longer, once all of its places have it."""
        item = self._item_of[target.item_id]
        for key in self._keys(item):
            if key in self._due and all(self._seen.get(one) == self.wanted(one) for one in self._targets(key)):
                del self._due[key]
                self._since.pop(key, None)

    def park(self, target: Target, failures: int, until: float) -> None:
        """The shop refuses it: it waits."""
        self._parked[target] = _Parked(failures, until)

    def failures(self, target: Target) -> int:
        """How often it was refused in a row."""
        parked = self._parked.get(target)
        return 0 if parked is None else parked.failures

    def marks(self) -> dict[Part, int]:
        """Give, of each partition, the first offset that is not dealt with."""
        found: dict[Part, int] = {}
        for key, due in self._due.items():
            if key not in self._numbers or not self._ids.get(key[0]):
                continue  # nothing can be set for it before something else comes, and that makes it due anew
            for part, offset in filter(None, due):
                found[part] = min(offset, found.get(part, offset))
        return found

    def counts(self, now: float) -> tuple[int, float, int, int]:
        """Give how many wait, for how many seconds the oldest that does not rise, how many are refused, and unknown."""
        waiting = refused = unknown = 0
        oldest = now
        for key in self._due:
            targets = self._targets(key)
            if key not in self._numbers:
                continue
            if not targets:
                unknown += 1
            elif any(target in self._parked for target in targets):
                refused += 1
            else:
                waiting += 1
                if not all(self._rises(target) for target in targets):
                    oldest = min(oldest, self._since.get(key, now))
        return waiting, now - oldest, refused, unknown

    def _rises(self, target: Target) -> bool:
        """Is it known that the shop has no more than it may sell?"""
        wanted, seen = self.wanted(target), self._seen.get(target)
        return wanted is not None and seen is not None and wanted >= seen
