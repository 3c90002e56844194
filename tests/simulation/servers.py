"""A Redis and a Kafka in memory for the simulation: what the engine's functions do there, step by step, no network.

`MemoryRedis` answers the same commands as the real server with library.lua in it; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import hiredis
import redis

from flows.publishing.tail import MARGIN_MS, Tail
from flows.readmodel.port import Outage
from flows.readmodel.store import Argument, Store, library_version
from schemas.messages import Outgoing

#: as in library.lua
LIVES = 1 << 20
FENCE = "engine:fence"
Hashes = dict[str, dict[str, str]]
Fault = Callable[[str], None]
"""Called with "before" and "after" each step: raises to break it there, or waits."""


class MemoryRedis:
    """Hashes and the engine's functions; the set of all items is a hash of scores here.

    `is_fenced` false: a broken fence, which the explorer must find.
    """

    def __init__(self, is_fenced: bool = True) -> None:
        self.hashes: Hashes = {}
        self.has_library = False
        self.is_fenced = is_fenced
        #: of the run that wrote last
        self.writing_token = 0
        #: token -> how often its run began to write slices
        self.writes: dict[int, int] = {}
        #: told of each hash that a slice wrote, after the slice
        self.watch: Callable[[str], None] = lambda key: None

    def copy(self) -> Hashes:
        """Give what a backup or a replica holds."""
        return {key: dict(fields) for key, fields in self.hashes.items()}

    def execute(self, command: Sequence[Argument]) -> Any:
        """Answer one command as the real server does."""
        return self.run([word.decode() if isinstance(word, bytes) else str(word) for word in command])

    def run(self, words: list[str]) -> Any:
        """Answer one command, all of it text."""
        name, *rest = words
        if name == "FCALL":
            if not self.has_library:
                raise redis.ResponseError("ERR Function not found")
            count = int(rest[1])
            return getattr(self, rest[0])(rest[2 : 2 + count], rest[2 + count :])
        return getattr(self, name.lower())(*rest)

    # --- functions ---------------------------------------------------------------------------------------------------

    def atp_version(self, _: list[str], __: list[str]) -> bytes:
        return str(library_version()).encode()

    def atp_claim(self, keys: list[str], arguments: list[str]) -> bytes:
        held, asked, life = int(self._get(keys[0], "token") or 0), int(arguments[0]), self._get(keys[0], "life") or "0"
        items = self._get(keys[0], "items")
        token = max(held, asked) + 1
        if held < asked:
            life = str(token * LIVES)
        self.hashes[keys[0]] = {"token": str(token), "library": str(library_version()), "life": life}
        if items is not None:
            self._set(keys[0], {"items": items})
        return str(token).encode()

    def atp_reclaim(self, keys: list[str], arguments: list[str]) -> bytes:
        held, life = int(self._get(keys[0], "token") or 0), int(self._get(keys[0], "life") or 0)
        token, writer, known, taken, sent = int(arguments[0]), arguments[1], *map(int, arguments[2:5])
        if held > token and self.is_fenced:
            raise redis.ResponseError(f"FENCED {held}")
        is_whole = held == token and life == known and taken <= int(self._get(keys[0], writer) or 0) <= sent
        if not is_whole and not (held == token and life > known):
            life = max(life, known, token * LIVES) + 1
        version = str(library_version())
        self._set(keys[0], {"token": str(token), "library": version, writer: str(sent), "life": str(life)})
        return str(life).encode()

    def atp_write(self, keys: list[str], arguments: list[str]) -> bytes:
        token, writer, before, flush, *rest = arguments
        held, reached = int(self._get(keys[0], "token") or 0), self._get(keys[0], writer) or "0"
        if self.is_fenced:
            if held > int(token):
                self._set(keys[0], {"rejected": str(int(self._get(keys[0], "rejected") or 0) + 1)})
                raise redis.ResponseError(f"FENCED {held}")
            if held < int(token):
                raise redis.ResponseError(f"BEHIND token {held}")
            if reached != before:
                raise redis.ResponseError(f"BEHIND flush {reached}")
        words = iter(rest)
        for key in keys[1:]:
            count = int(next(words))
            if count < 0:
                self.hashes.pop(key, None)
            values = {next(words): next(words) for _ in range(abs(count))}
            is_new = count and len(values.keys() - self.hashes.get(key, {}).keys()) == abs(count)
            self._set(key, values)
            gone = [next(words) for _ in range(int(next(words)))]
            self.hdel(key, *gone)
            items, promises = self._listing(keys[0])
            if key.startswith(promises) and is_new:
                self._set(items, {key.removeprefix(promises): "0"})
            elif key.startswith(promises) and not count and gone and key not in self.hashes:
                self.hdel(items, key.removeprefix(promises))
        self._set(keys[0], {writer: flush})
        self.writing_token = int(token)
        for key in keys[1:]:
            self.watch(key)
        return b"OK"

    def atp_alive(self, keys: list[str], arguments: list[str]) -> bytes:
        token, at, behind, ready, version, _ = arguments
        key = keys[0].removesuffix(FENCE) + "engine:alive"
        held = max(int(self._get(keys[0], "token") or 0), int(self._get(key, "run") or 0))
        if held > int(token) and self.is_fenced:
            raise redis.ResponseError(f"FENCED {held}")
        known = int(self._get(keys[0], "token") or 0)
        if known < int(token):
            raise redis.ResponseError(f"BEHIND token {known}")
        self._set(key, {"at": at, "behind_ms": behind, "ready": ready, "version": version, "run": token})
        return (self._get(keys[0], "items") or "").encode()

    def atp_index(self, keys: list[str], arguments: list[str]) -> bytes:
        token, before, after = arguments
        held, word = int(self._get(keys[0], "token") or 0), self._get(keys[0], "items") or ""
        if held > int(token) and self.is_fenced:
            raise redis.ResponseError(f"FENCED {held}")
        if held < int(token):
            raise redis.ResponseError(f"BEHIND token {held}")
        if word != before:
            raise redis.ResponseError(f"BEHIND items {word}")
        items, promises = self._listing(keys[0])
        for key in keys[1:]:
            if key.startswith(promises) and key in self.hashes:
                self._set(items, {key.removeprefix(promises): "0"})
        self._set(keys[0], {"items": after})
        return b"OK"

    @staticmethod
    def _listing(fence: str) -> tuple[str, str]:
        prefix = fence.removesuffix(FENCE)
        return f"{prefix}engine:items", f"{prefix}atp:"

    # --- commands ----------------------------------------------------------------------------------------------------

    def function(self, *_: str) -> bytes:
        self.has_library = True
        return b"atp"

    def hget(self, key: str, field: str) -> bytes | None:
        return _raw(self._get(key, field))

    def hmget(self, key: str, *fields: str) -> list[bytes | None]:
        return [_raw(self._get(key, field)) for field in fields]

    def hgetall(self, key: str) -> list[bytes]:
        return [word.encode() for pair in self.hashes.get(key, {}).items() for word in pair]

    def hdel(self, key: str, *fields: str) -> int:
        gone = [self.hashes.get(key, {}).pop(field, None) for field in fields]
        if key in self.hashes and not self.hashes[key]:
            del self.hashes[key]
        return sum(value is not None for value in gone)

    def _get(self, key: str, field: str) -> str | None:
        return self.hashes.get(key, {}).get(field)

    def _set(self, key: str, fields: dict[str, str]) -> None:
        if fields:
            self.hashes.setdefault(key, {}).update(fields)


def _raw(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")


class MemoryStore(Store):
    """The production store, with its own flush numbers and errors; only the wire is another."""

    def __init__(self, server: MemoryRedis, fault: Fault, prefix: str, token: int, writer: str) -> None:
        super().__init__("redis://127.0.0.1:1", prefix, token, writer)
        self._server, self._fault = server, fault

    def _exchange(self, packed: Sequence[bytes]) -> list[Any]:
        answers: list[Any] = []
        if b"atp_write" in packed[0]:
            self._server.writes[self.token] = self._server.writes.get(self.token, 0) + 1
        for raw in packed:
            self._fault("before redis")
            reader = hiredis.Reader()
            reader.feed(raw)
            try:
                # Offsets are bytes of any kind: kept as one character a byte.
                answers.append(self._server.run([word.decode("latin-1") for word in reader.gets()]))
            except redis.ResponseError as error:
                answers.append(error)
            self._fault("after redis")
        return answers


class MemoryKafka:
    """One producer: what it sent is delivered lane by lane in order, at moments of the explorer's choice."""

    def __init__(self, log: Log, fault: Fault, choose: Callable[[int], int]) -> None:
        self._log, self._fault, self._choose = log, fault, choose
        self.buffers: dict[int, list[Outgoing]] = {}

    def send_update(self, update: Outgoing) -> str:
        self._fault("before kafka")
        self.buffers.setdefault(0 if self._log.is_in_order else update.change.lane, []).append(update)
        return ""

    def send_position(self, *_: object) -> None:
        """Positions are not looked at here."""

    def send_exception(self, _: object) -> bool:
        """Nor exceptions: they are delivered at least once."""
        return True

    def send_letter(self, _: object) -> bool:
        """Nor dead letters."""
        return True

    def poll(self) -> None:
        self.deliver(self._choose(4))

    def deliver(self, most: int) -> None:
        """Let some of what waits arrive."""
        for _ in range(most):
            lanes = [lane for lane, waiting in self.buffers.items() if waiting]
            if not lanes:
                return
            lane = lanes[self._choose(len(lanes))]
            update = self.buffers[lane].pop(0)
            self._log.append(update.change.lane, update)

    def flush(self) -> None:
        while any(self.buffers.values()):
            self._fault("before kafka")
            self.deliver(1)
        self._fault("after kafka")


class Log:
    """The update topics. `is_in_order`: what one producer sent arrives in that order, also in different topics."""

    def __init__(self, now: Callable[[], int], is_in_order: bool, newest_token: Callable[[], int]) -> None:
        self._now = now
        self._newest_token = newest_token
        self.is_in_order = is_in_order
        #: (when, lane, update)
        self.entries: list[tuple[int, int, Outgoing]] = []
        #: versions of which something arrived when a newer run had begun
        self.late: set[int] = set()

    def append(self, lane: int, update: Outgoing) -> None:
        self.entries.append((self._now(), lane, update))
        if update.version >> 32 < self._newest_token():
            self.late.add(update.version)

    def tail(self, _: object, moment: int) -> Tail:
        """As `updates_since` reads it."""
        newest: Tail = {}
        for when, _, update in self.entries:
            key = (update.item, update.change.channel)
            if when >= moment - MARGIN_MS * 1000 and (key not in newest or update.version >= newest[key][0]):
                change = update.change
                newest[key] = (update.version, None if change.removed else (change.atp, change.by_day))
        return newest


class Away(Outage):
    """The network's doing."""
