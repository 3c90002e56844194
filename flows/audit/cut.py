"""Reads from Redis what an audit compares: items' hashes, and up to which input offsets their numbers include events.

The two are read in one step of Redis. An engine that runs writes the offsets a moment before the numbers that belong to
them: what differs is looked at again until it stands still.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import redis

from flows.audit.fields import POSITION, PROMISES, Values, read_position, read_promises
from flows.errors import PlainError
from flows.kafka.parts import place_of
from flows.readmodel.connecting import client
from flows.readmodel.problem import redis_problem
from operators.route import shard_of
from schemas.settings import Settings

TIMEOUT_S = 10
READ_AT_ONCE = 200
PAGE = 1000
#: As the engine keeps it beside its numbers: offsets by partition, and the version under which Redis took them.
_offsets = msgspec.msgpack.Decoder(tuple[dict[str, int], int])


class CutProblem(PlainError):
    """Redis does not answer; the text says what would do."""


class Seen(NamedTuple):
    """What Redis had of an item at one moment. `reached`: the last offset of each (topic without prefix, partition)
    that the item's shard has taken; what is not named there has given it nothing.
    """

    hashes: dict[str, Values]
    version: tuple[str, str]
    #: ms since 1970, when the item's promises were written last; 0: never
    published_at: int
    reached: dict[tuple[str, int], int]
    #: UTC microseconds
    looked_at: int


class Cuts:
    """One connection to Redis. Closed by `with`."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._prefix = settings, settings.redis.prefix
        self._client = client(settings, TIMEOUT_S)

    def __enter__(self) -> Cuts:
        """Be closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of Redis."""
        self._client.close()

    def look(self, items: Sequence[str]) -> dict[str, Seen]:
        """Read items with what their numbers include; CutProblem if Redis does not answer."""
        found: dict[str, Seen] = {}
        with self._plainly():
            for at in range(0, len(items), READ_AT_ONCE):
                found |= self._look(items[at : at + READ_AT_ONCE])
        return found

    def _look(self, items: Sequence[str]) -> dict[str, Seen]:
        shards = sorted({shard_of(item, self._settings.shards) for item in items})
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hmget(f"{self._prefix}engine:reached", [f"{shard:04d}" for shard in shards])
        for item in items:
            pipeline.hgetall(f"{self._prefix}atp:{item}")
            pipeline.hgetall(f"{self._prefix}position:{item}")
        raw, *hashes = map(_answer, pipeline.execute(raise_on_error=False))
        reached = {shard: self._reached(one) for shard, one in zip(shards, raw, strict=True)}
        now = time.time_ns() // 1000
        found = {}
        for item, atp, position in zip(items, map(_text, hashes[::2]), map(_text, hashes[1::2]), strict=True):
            found[item] = Seen(
                {PROMISES: read_promises(atp), POSITION: read_position(position)},
                (atp.get("_version", ""), position.get("_version", "")),
                int(atp.get("_published_at", "0")),
                reached[shard_of(item, self._settings.shards)],
                now,
            )
        return found

    def _reached(self, raw: bytes | None) -> dict[tuple[str, int], int]:
        if not raw:
            return {}
        prefix = self._settings.topics.prefix
        found = {}
        for part, offset in _offsets.decode(raw)[0].items():
            topic, partition = place_of(part)
            found[topic.removeprefix(prefix), partition] = offset
        return found

    def is_alive(self) -> bool:
        """Does an engine write? Its word lapses 10 s after its last."""
        with self._plainly():
            return bool(self._client.hget(f"{self._prefix}engine:alive", "at"))

    def codes(self) -> Iterator[str]:
        """Give the items that are published, a page at a time."""
        first = b"-"
        with self._plainly():
            while True:
                page: Any = self._client.zrangebylex(f"{self._prefix}engine:items", first, b"+", 0, PAGE)
                yield from (code.decode("utf-8", "replace") for code in page)
                if len(page) < PAGE:
                    return
                first = b"(" + page[-1]

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        try:
            yield
        except (redis.RedisError, OSError) as error:
            raise CutProblem(str(redis_problem(self._settings, error))) from error


def _answer(found: Any) -> Any:
    """Give an answer of Redis; where somebody else made a key of another kind, a hash without any field."""
    if isinstance(found, redis.ResponseError) and str(found).startswith("WRONGTYPE"):
        return {}
    if isinstance(found, Exception):
        raise found
    return found


def _text(raw: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in raw.items()}


def included(places: Collection[Any], reached: dict[tuple[str, int], int]) -> list[Any]:
    """Give the messages that numbers include: those up to the offsets reached."""
    return [one for one in places if one.place[2] <= reached.get((one.place[0], one.place[1]), -1)]
