"""Removes what Redis and Kafka still say although it no longer follows from the inputs: a start from scratch ends so.

When every shard has said everything, what Redis holds with a version of an older run was said by nobody since. It goes
the way of all numbers: out of Redis first, then to Kafka with a last 0 (cause `unlisted`). What only Kafka's update
topics still hold gets a last 0 there, and an item without a position an empty one.

Redis may hold hashes of others under names like ours, above all with an empty prefix. Ours are named after an item's
code and say a version that a run of the engine gave, or hold nothing but what is named as ours is: this run took the
version from what is left of an item that it knows only as deleted. Nothing else is touched.

A step at a time, between the writes of new numbers: a million keys take seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from flows.publishing.tail import Tail
from operators.claims import AND_ORDER
from operators.claims import SEPARATOR as CLAIM_SEPARATOR
from operators.holdback import Value, restate
from operators.rules.lanes import CRITICAL
from schemas.codes import is_code
from schemas.messages import ChannelUpdate, ItemUpdate, Outgoing
from schemas.state import POSITION_FIELDS

#: Items of which Redis is asked in one round trip.
READ_ITEMS = 500
#: What of a hash goes with its last number.
POSITION_META = ("_version", "_as_of")
#: The first run's first: a version is the run's token, which begins with 1, and 32 bits of a count.
VERSION_MIN = 1 << 32


class Gone(NamedTuple):
    """One step's findings: what leaves Redis and then Kafka, what leaves Kafka alone, whose position is empty there."""

    updates: list[ItemUpdate]
    outgoing: list[tuple[str, ChannelUpdate]]
    positions: list[ItemUpdate]


class Hashes(Protocol):
    """A read model that shows what it holds under names like ours."""

    prefix: str

    def hashes(self, kind: str, cursor: str) -> tuple[list[str], str]: ...
    def values(self, wanted: Sequence[tuple[str, Sequence[str]]]) -> list[list[bytes | None]]: ...
    def all_of_each(self, keys: Sequence[str]) -> list[dict[bytes, bytes]]: ...


class Removal:
    """Finds what is no longer true of some shards' items."""

    def __init__(
        self,
        token: int,
        concerns: Callable[[str], bool],
        store: Hashes,
        patiently: Callable[..., Any],
        tail: Callable[[], Tail],
        positions: Callable[[], set[str]],
    ) -> None:
        self._oldest = token << 32
        self._concerns, self._store, self._patiently = concerns, store, patiently
        self._tail, self._positions = tail, positions
        #: how many items, and how many numbers of Kafka alone, were removed
        self.items = self.numbers = 0

    def steps(self) -> Iterator[Gone]:
        """Give what is no longer true, some of it at a time: before the next step it has to be written to Redis."""
        yield from self._of_orders()
        yield from self._of_claims()
        yield from self._of_redis("position:", self._position_gone)
        yield from self._of_redis("atp:", self._promises_gone)
        yield from self._of_updates()
        yield from self._of_positions()

    def _of_orders(self) -> Iterator[Gone]:
        """Remove from orders the lines that no run since the start said anything of."""
        cursor, is_begun = "0", False
        while cursor != "0" or not is_begun:
            page, cursor = self._patiently(self._store.hashes, "order:", cursor)
            is_begun = True
            held = self._patiently(self._store.all_of_each, [f"{self._store.prefix}order:{order}" for order in page])
            gone: dict[str, dict[str, str | None]] = {}
            for order, fields in zip(page, held, strict=True):
                for name, value in _texts(fields).items():
                    line, _, item = name.partition(CLAIM_SEPARATOR)
                    run = _run_of(value)
                    if run is not None and run < self._oldest >> 32 and is_code(item) and self._concerns(item):
                        gone.setdefault(item, {})[f"{order}{CLAIM_SEPARATOR}{line}"] = AND_ORDER
            yield Gone(
                [ItemUpdate(item, -1, 0, -1, "", [], {}, None, claims=lines) for item, lines in gone.items()], [], []
            )

    def _of_claims(self) -> Iterator[Gone]:
        """Remove what order lines claim of items whose positions nobody said since. Claims have no version."""
        for items in self._pages("claims:"):
            versions = self._patiently(
                self._store.values, [(f"{self._store.prefix}position:{item}", ("_version",)) for item in items]
            )
            stale = [item for item, [version] in zip(items, versions, strict=True) if _number(version) < self._oldest]
            held = self._patiently(self._store.all_of_each, [f"{self._store.prefix}claims:{item}" for item in stale])
            ours = [item for item, fields in zip(stale, held, strict=True) if _are_claims(fields)]
            yield Gone(
                [ItemUpdate(item, -1, 0, -1, "", [], {}, None, claims={}, has_all_claims=True) for item in ours], [], []
            )

    def _pages(self, kind: str) -> Iterator[list[str]]:
        """Walk through the items that have a hash of a kind."""
        cursor, is_begun = "0", False
        while cursor != "0" or not is_begun:
            page, cursor = self._patiently(self._store.hashes, kind, cursor)
            is_begun = True
            yield [item for item in page if is_code(item) and self._concerns(item)]

    def _of_redis(self, kind: str, gone: Callable[[str, dict[bytes, bytes]], ItemUpdate]) -> Iterator[Gone]:
        for items in self._pages(kind):
            keys = [f"{self._store.prefix}{kind}{item}" for item in items]
            versions = self._patiently(self._store.values, [(key, ("_version",)) for key in keys])
            stale = [
                item
                for item, [version] in zip(items, versions, strict=True)
                if version is None or VERSION_MIN <= _number(version) < self._oldest
            ]
            updates = []
            for at in range(0, len(stale), READ_ITEMS):
                some = stale[at : at + READ_ITEMS]
                hashes = self._patiently(
                    self._store.all_of_each, [f"{self._store.prefix}{kind}{item}" for item in some]
                )
                updates += [gone(item, held) for item, held in zip(some, hashes, strict=True) if _is_ours(kind, held)]
            self.items += len(updates)
            yield Gone(updates, [], [])

    def _position_gone(self, item: str, held: dict[bytes, bytes]) -> ItemUpdate:
        fields: dict[str, int | None] = dict.fromkeys(_texts(held))
        return ItemUpdate(item, -1, 0, -1, "", [], fields | dict.fromkeys(POSITION_META), "")

    def _promises_gone(self, item: str, held: dict[bytes, bytes]) -> ItemUpdate:
        changes = []
        for name, value in _texts(held).items():
            if not name.startswith("_") and ":" not in name:
                changes.append(ChannelUpdate(name, 0, _number(value), None, CRITICAL, "unlisted", True))
        return ItemUpdate(item, -1, 0, -1, "", changes, {}, None, is_gone=True)

    def _of_updates(self) -> Iterator[Gone]:
        """Unlist in Kafka what its update topics hold of channels that Redis does not have (any more)."""
        held: dict[str, list[tuple[str, Value]]] = {}
        for (item, channel), (version, value) in self._tail().items():
            if value is not None and version < self._oldest and self._concerns(item):
                held.setdefault(item, []).append((channel, value))
        items = list(held)
        for at in range(0, len(items), READ_ITEMS):
            some = items[at : at + READ_ITEMS]
            wanted = [(f"{self._store.prefix}atp:{item}", [channel for channel, _ in held[item]]) for item in some]
            outgoing = []
            for item, numbers in zip(some, self._patiently(self._store.values, wanted), strict=True):
                for (channel, before), number in zip(held[item], numbers, strict=True):
                    if number is None:
                        last = ChannelUpdate(channel, 0, before[0], None, CRITICAL, "unlisted", True)
                        change = restate(last, before)
                        assert change is not None, "there was a number before"
                        outgoing.append((item, change))
            self.numbers += len(outgoing)
            yield Gone([], outgoing, [])

    def _of_positions(self) -> Iterator[Gone]:
        """Empty in Kafka the positions of items of which Redis has none (any more)."""
        items = [item for item in self._positions() if self._concerns(item)]
        for at in range(0, len(items), READ_ITEMS):
            some = items[at : at + READ_ITEMS]
            wanted = [(f"{self._store.prefix}position:{item}", ("_version",)) for item in some]
            answers = self._patiently(self._store.values, wanted)
            empty = [item for item, [version] in zip(some, answers, strict=True) if version is None]
            yield Gone([], [], [ItemUpdate(item, -1, 0, -1, "", [], {}, "") for item in empty])


def outgoing(shard: int, item: str, change: ChannelUpdate, version: int, moment: int) -> Outgoing:
    """Give a last number as it goes to Kafka."""
    return Outgoing(shard, item, change, -1, "", version, moment, moment)


def _is_ours(kind: str, held: dict[bytes, bytes]) -> bool:
    """Did the engine write it? Without a version only where every field of it is such as the engine writes."""
    if b"_version" in held:
        return True
    fields = _texts(held)
    of_kind = _is_figure if kind == "position:" else _is_promise
    return 0 < len(fields) == len(held) and all(of_kind(*field) for field in fields.items())


def _are_claims(held: dict[bytes, bytes]) -> bool:
    """Is every field of a hash such as the engine writes of an order line?"""
    fields = _texts(held)
    return 0 < len(fields) == len(held) and all(
        name.count(CLAIM_SEPARATOR) == 1 and value.startswith(b'{"soft":') for name, value in fields.items()
    )


_ORDER = re.compile(rb'\{"run":(\d{1,10}),"state":"')


def _run_of(value: bytes) -> int | None:
    """Give which run said how a line stands; None where it is none of the engine's."""
    found = _ORDER.match(value)
    return None if found is None else int(found[1])


def _is_figure(name: str, value: bytes) -> bool:
    place, _, figure = name.rpartition(":")
    return is_code(place) and figure in POSITION_FIELDS and value.lstrip(b"-").isdigit()


def _is_promise(name: str, value: bytes) -> bool:
    channel, _, by_day = name.partition(":")
    return is_code(channel) and (value.startswith(b"[") if by_day == "by_day" else not by_day and value.isdigit())


def _texts(held: dict[bytes, bytes]) -> dict[str, bytes]:
    """Give the fields whose names are text: another one is none of ours."""
    found = {}
    for raw, value in held.items():
        with suppress(UnicodeDecodeError):
            found[raw.decode()] = value
    return found


def _number(raw: bytes | None) -> int:
    try:
        return int(raw or 0)
    except ValueError:
        return 0
