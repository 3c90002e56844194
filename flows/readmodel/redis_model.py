"""Redis (or Valkey) as the writer's read model: keys, fields and how they are packed, over `Store`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from flows.readmodel.port import Published
from flows.readmodel.requests import take_requests
from flows.readmodel.slices import Slice, bulk_bytes, pack_slice
from flows.readmodel.store import Argument, Store, life_field
from flows.runtime.mailbox import ShardRequest
from flows.runtime.run import shard_key
from operators.holdback import Value
from schemas.messages import ItemUpdate

_days = msgspec.json.Decoder(tuple[int, ...])


def _published(fields: dict[bytes, bytes]) -> Published:
    """Read `atp:<item>`: `<channel>` and `<channel>:by_day`, and what begins with `_` is of the item."""
    numbers: dict[str, Value] = {}
    for raw, value in fields.items():
        channel = raw.decode()
        if not channel.startswith("_") and ":" not in channel:
            days = fields.get(raw + b":by_day")
            numbers[channel] = (int(value), None if days is None else _days.decode(days))
    return Published(int(fields.get(b"_version", 0)), numbers)


class RedisModel:
    """`flows.readmodel.port.ReadModel`, and what the processes of a run tell each other through Redis."""

    def __init__(self, store: Store) -> None:
        self._store, self._prefix = store, store.prefix
        self._reached_key = store.reached_key()
        self._packed_reached_key = bulk_bytes(self._reached_key)

    @property
    def life(self) -> int:
        """How often Redis had lost something when this writer last looked."""
        return self._store.life

    def join(self) -> None:
        """Begin writing in a run whose token others took."""
        self._store.join()

    def reclaim(self) -> bool:
        """Go on with this run's token in a Redis that lost it; false if nothing else was lost."""
        return self._store.reclaim()

    def pack(self, updates: Sequence[ItemUpdate], offsets: Mapping[int, bytes], version: int, moment: int) -> Slice:
        """Give a slice; in front of it which input offsets the numbers here include."""
        one = pack_slice(updates, self._prefix, version, moment)
        if offsets:
            words = [bulk_bytes(len(offsets))]
            for shard, packed in offsets.items():
                words += (bulk_bytes(shard_key(shard)), bulk_bytes(packed))
            words.append(bulk_bytes(0))
            one.key_count += 1
            one.keys = self._packed_reached_key + one.keys
            one.word_count += len(words)
            one.words = b"".join(words) + one.words
        return one

    def write_slices(self, slices: list[Slice]) -> None:
        """Write slices in one round trip, in their order; each is taken out of `slices` when Redis has it."""
        self._store.write_slices(slices)

    def write_offsets(self, offsets: Mapping[int, bytes]) -> None:
        """Say which input offsets the numbers here include."""
        self._write_reached({shard_key(shard): packed for shard, packed in offsets.items()})

    def mark(self, lives: Mapping[int, int]) -> None:
        """Say in which of Redis' lives shards were filled to the end; -1: in none."""
        self._write_reached({life_field(shard): life for shard, life in lives.items()})

    def look(self) -> None:
        """Write nothing: find out whether Redis has what this run wrote last, and whether a newer run came."""
        self._store.write([], [])

    def _write_reached(self, fields: Mapping[str, Argument]) -> None:
        flat = [part for field in fields.items() for part in field]
        self._store.write([self._reached_key], [len(fields), *flat, 0])

    def reached(self, shard: int) -> tuple[bytes | None, bool]:
        """Read which offsets the shard's published numbers include, and whether all of its numbers are there."""
        return self._store.reached(shard)

    def versions(self, items: Sequence[str]) -> list[int]:
        """Read the versions of items' numbers; 0 where there are none."""
        answers = self._store.values([(f"{self._prefix}atp:{item}", ("_version",)) for item in items])
        return [int(version or 0) for [version] in answers]

    def published(self, items: Sequence[str]) -> list[Published]:
        """Read all that channels read of items."""
        return [
            _published(fields) for fields in self._store.all_of_each([f"{self._prefix}atp:{item}" for item in items])
        ]

    def publish(self, messages: Sequence[tuple[str, str]]) -> None:
        """Send updates by lane to whoever listens."""
        self._store.publish([(f"{self._prefix}atp.{lane}", message) for lane, message in messages])

    def close(self) -> None:
        """Let go of the connection."""
        self._store.close()

    # --- beside the numbers ------------------------------------------------------------------------------------------

    def tell_progress(self, rows: dict[str, bytes]) -> None:
        """Tell the other processes of the run how far partitions are."""
        self._store.put(self._store.progress_key(), rows)

    def progress(self) -> dict[str, bytes]:
        """Hear how far partitions are, by their names."""
        return {part.decode(): raw for part, raw in self._store.all_of(self._store.progress_key()).items()}

    def rejected(self) -> int:
        """Read how many writes of older runs were turned away since the newest token was taken."""
        return self._store.rejected()

    def take_requests(self, shards: int, clock: Callable[[], int]) -> list[ShardRequest]:
        """Take what people asked for."""
        return take_requests(self._store, shards, clock)
