"""The read model in Redis (or Valkey): one fenced, ordered stream of writes from this process.

Delivery: at least once, in the order given, and never from a run whose token is not the newest. A write that may or
may not have arrived is repeated; the flush number tells whether it had. What it raises is in `flows/readmodel/port.py`.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib import resources
from typing import Any

import hiredis
import redis

from flows.log import get_log
from flows.readmodel.connecting import pool
from flows.readmodel.port import Behind, Fenced, Outage, StoreError
from flows.readmodel.slices import Slice, bulk_bytes
from flows.readmodel.wire import exchange

log = get_log(__name__)

Argument = str | bytes | int
#: What is read from the connection at a time: the answers to all slices on their way, many times over.
READ_BYTES = 65_536
#: Keys that one SCAN looks at: half a millisecond of Redis.
SCAN_KEYS = 1000
CONNECT_TIMEOUT_S = 3
#: Longer than any slice takes, and short enough that a Redis which hangs is noticed within one health check.
ANSWER_TIMEOUT_S = 5


def life_field(shard: int) -> str:
    """Name the mark of a shard that is whole: in which of Redis' lives it was last filled to the end."""
    return f"{shard:04d}:life"


@cache
def library() -> str:
    """Give the server-side functions' source."""
    return resources.files(__package__).joinpath("library.lua").read_text("utf-8")


@cache
def library_version() -> int:
    """Give the version that the functions' source says it is."""
    found = re.search(r"^local VERSION = '(\d+)'$", library(), re.MULTILINE)
    assert found is not None, "library.lua does not say its version"
    return int(found[1])


class Store:
    """One connection to the read model, and the fence in front of it. Not for use by two threads at once."""

    def __init__(self, url: str, prefix: str = "", token: int = 0, writer: str = "0") -> None:
        self.prefix = prefix
        self.token = token
        self._writer = f"flush:{writer}"
        #: number of the last slice that Redis has said it took, and of the last that was sent
        self._flush = self._sent = 0
        #: how often Redis had lost something when this writer last looked; whoever finds that out changes it there
        self.life = 0
        self._pool = pool(
            url,
            protocol=2,
            decode_responses=False,
            socket_timeout=ANSWER_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            **({} if url.startswith("unix:") else {"socket_keepalive": True}),
            client_name=f"atp-engine-{writer}",
        )
        self._connection: Any = None
        self._reader = hiredis.Reader()
        self._fence = f"{prefix}engine:fence"
        self._packed_fence = bulk_bytes(self._fence)

    def fence_key(self) -> str:
        """Name the hash that holds the newest run's token."""
        return self._fence

    def reached_key(self) -> str:
        """Name the hash that says, by shard, which input offsets the numbers here include."""
        return f"{self.prefix}engine:reached"

    def items_key(self) -> str:
        """Name the sorted set of all items that have an `atp:` hash, for look-ups by prefix."""
        return f"{self.prefix}engine:items"

    def alive_key(self) -> str:
        """Name the hash that says how fresh the numbers are, for as long as somebody keeps them so."""
        return f"{self.prefix}engine:alive"

    def progress_key(self) -> str:
        """Name the hash through which the processes of a run tell each other how far their partitions are."""
        return f"{self.prefix}engine:progress"

    # --- the fence ---------------------------------------------------------------------------------------------------

    def claim(self, at_least: int) -> int:
        """Take the token of a new run: above `at_least` and above every run that Redis knows."""
        self.token = int(self._with_library("FCALL", "atp_claim", 1, self._fence, at_least))
        self._flush = self._sent = 0
        return self.token

    def reclaim(self) -> bool:
        """Go on with this run's token in a Redis that lost it; false if nothing else was lost."""
        # With a number that no slice had: one still on its way, by a connection that broke, then follows from nothing.
        flushes = (self._flush, self._sent)
        command = ("FCALL", "atp_reclaim", 1, self._fence, self.token, self._writer, self.life, *flushes)
        before, self.life = self.life, int(self._with_library(*command))
        self._flush = self._sent
        return self.life != before

    def write(self, keys: Sequence[str], arguments: Sequence[Argument]) -> None:
        """Write one slice, all or nothing: `arguments` for each key as `atp_write` wants them."""
        packed_keys = b"".join([bulk_bytes(key) for key in keys])
        packed_words = b"".join([bulk_bytes(word) for word in arguments])
        self.write_slices([Slice(len(keys), packed_keys, len(arguments), packed_words)])

    def write_slices(self, slices: list[Slice]) -> None:
        """Write slices in one round trip, in their order; each is taken out of `slices` when Redis has it.

        Whatever it raises speaks of the first that is left: it and those behind it are to be written again.
        """
        first = self._flush + 1
        self._sent = max(self._sent, self._flush + len(slices))
        answers = self._exchange([self._call(one, first + n) for n, one in enumerate(slices)])
        failure: StoreError | None = None
        taken = 0
        for answer in answers:
            if isinstance(answer, Exception):
                failure = self._error(answer)
                if not self._has(first + taken, failure):
                    break
                failure = None
            taken += 1
        self._flush += taken
        del slices[:taken]
        if failure is not None:
            raise failure

    def _has(self, flush: int, error: StoreError) -> bool:
        """Was it refused because Redis has it already: the answer to an earlier try was lost, not the write?"""
        held = re.fullmatch(r"BEHIND flush (\d+)", str(error))
        return isinstance(error, Behind) and held is not None and flush <= int(held[1]) <= self._sent

    def _call(self, one: Slice, flush: int) -> bytes:
        """Give a slice as the command that writes it as number `flush`."""
        head = b"*%d\r\n$5\r\nFCALL\r\n$9\r\natp_write\r\n" % (8 + one.key_count + one.word_count)
        numbers = [bulk_bytes(word) for word in (self.token, self._writer, flush - 1, flush)]
        return b"".join([head, bulk_bytes(one.key_count + 1), self._packed_fence, one.keys, *numbers, one.words])

    def join(self) -> None:
        """Begin writing in a run whose token others took: find where this writer's flushes stand."""
        held = self._ask("HMGET", self._fence, "token", self._writer, "life")
        if held[0] is None or int(held[0]) < self.token:
            raise Behind(f"BEHIND token {held[0]!r}")
        if int(held[0]) > self.token:
            raise Fenced(f"FENCED {int(held[0])}")
        self._flush = self._sent = int(held[1] or 0)
        self.life = int(held[2] or 0)

    def beat(self, at_ms: int, behind_ms: int, is_ready: bool, version: str, lapses_ms: int) -> str:
        """Say how fresh the numbers are, under this token; gives what the fence says of the set of all items."""
        facts = (at_ms, behind_ms, int(is_ready), version, lapses_ms)
        word: bytes = self._ask("FCALL", "atp_alive", 1, self._fence, self.token, *facts)
        return word.decode()

    def list_items(self, keys: Sequence[bytes], before: str, after: str) -> None:
        """Add to the set of all items those of these `atp:` hashes that are there; Behind if its word is another."""
        self._ask("FCALL", "atp_index", 1 + len(keys), self._fence, *keys, self.token, before, after)

    def promises(self, cursor: bytes, count: int) -> tuple[bytes, list[bytes]]:
        """Walk on through the `atp:` hashes: the next cursor (b"0": that was all) and some of their keys."""
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", self.prefix) + "atp:*"
        cursor, keys = self._ask("SCAN", cursor, "MATCH", pattern, "COUNT", count)
        return cursor, keys

    def held_token(self) -> int:
        """Read the newest run's token; 0 where there was none."""
        return int(self._ask("HGET", self._fence, "token") or 0)

    def rejected(self) -> int:
        """Read how many writes of older runs were turned away since the newest token was taken."""
        return int(self._ask("HGET", self._fence, "rejected") or 0)

    # --- reading -----------------------------------------------------------------------------------------------------

    def reached(self, shard: int) -> tuple[bytes | None, bool]:
        """Read which offsets the shard's published numbers include, and whether all of its numbers are there."""
        raw, life = self._ask("HMGET", self.reached_key(), f"{shard:04d}", life_field(shard))
        return raw, int(life or 0) == self.life

    def values(self, wanted: Sequence[tuple[str, Sequence[str]]]) -> list[list[bytes | None]]:
        """Read fields of several hashes in one round trip."""
        return self._ask_all([("HMGET", key, *fields) for key, fields in wanted])

    def all_of(self, key: str) -> dict[bytes, bytes]:
        """Read a whole hash."""
        return self.all_of_each([key])[0]

    def all_of_each(self, keys: Sequence[str]) -> list[dict[bytes, bytes]]:
        """Read whole hashes in one round trip."""
        answers = self._ask_all([("HGETALL", key) for key in keys])
        return [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in answers]

    def hashes(self, kind: str, cursor: str) -> tuple[list[str], str]:
        """Give some of what follows the prefix and `kind` in keys of hashes, and where to go on: "0" begins and ends.

        A key may come twice. What is not UTF-8 is somebody else's, and left out.
        """
        head = f"{self.prefix}{kind}"
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", head) + "*"
        found, keys = self._ask("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_KEYS, "TYPE", "hash")
        names = []
        for key in keys:
            with suppress(UnicodeDecodeError):
                names.append(key.decode()[len(head) :])
        return names, found.decode()

    def may_look_around(self) -> None:
        """Find out whether this user may ask which keys there are; StoreError if not."""
        try:
            self._ask("SCAN", "0", "COUNT", 1)
        except Outage as error:
            if "NOPERM" not in str(error):
                raise
            raise StoreError(
                f"{error}: a start from scratch removes what no longer follows from the inputs, and has to find it; "
                "give its user +scan"
            ) from error

    def put(self, key: str, fields: dict[str, bytes]) -> None:
        """Write fields that are no published numbers, unfenced."""
        if fields:
            self._ask("HSET", key, *[part for pair in fields.items() for part in pair])

    def publish(self, messages: Sequence[tuple[str, str]]) -> None:
        """Send Pub/Sub messages in one round trip. Whoever does not listen misses them."""
        self._ask_all([("PUBLISH", channel, message) for channel, message in messages])

    def ask(self, *command: Argument) -> Any:
        """Send any command; the answer as Redis gives it."""
        return self._ask(*command)

    def close(self) -> None:
        """Let go of the connection."""
        self._drop()
        self._pool.disconnect()

    # --- the wire ----------------------------------------------------------------------------------------------------

    def held_library(self) -> int | None:
        """Give the version of the functions that Redis holds; None if it holds none."""
        try:
            return int(self._ask("FCALL", "atp_version", 0))
        except Behind:
            return None

    def _with_library(self, *command: Argument) -> Any:
        """Load the functions and call one; again where somebody removed them in between."""
        while True:
            self._load_library()
            with suppress(Behind):
                return self._ask(*command)

    def _load_library(self) -> None:
        held, ours = self.held_library(), library_version()
        if held is not None and held > ours:
            raise StoreError(
                f"Redis holds version {held} of the engine's functions, and this engine has {ours}: a newer engine was "
                "here; run that version, or remove its functions (FUNCTION DELETE atp)"
            )
        if held is not None and held < ours:
            log.warning(f"Redis held version {held} of the engine's functions: replaced by {ours}", kind="library")
        self._ask("FUNCTION", "LOAD", "REPLACE", library())

    def _ask(self, *command: Argument) -> Any:
        return self._ask_all([command])[0]

    def _ask_all(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        answers = self._exchange([b"*%d\r\n%b" % (len(c), b"".join(map(bulk_bytes, c))) for c in commands])
        for answer in answers:
            if isinstance(answer, Exception):
                raise self._error(answer)
        return answers

    def _exchange(self, packed: Sequence[bytes]) -> list[Any]:
        """Send commands at once and give their answers; what Redis refuses is an exception among them."""
        answers: list[Any] = []
        if not packed:
            return answers
        try:
            connection = self._connection
            if connection is None:
                connection = self._connection = self._pool.get_connection()
                self._reader = hiredis.Reader()
                _let_the_kernel_time(connection._sock)
            # Past the client, which takes 15 µs a slice to send and to read "OK" (CPU; slices of 13 items).
            line, reader = connection._sock, self._reader
            out = b"".join(packed)
            if type(line) is socket.socket:
                data = exchange(line, out)
            else:  # encrypted
                line.sendall(out)
                data = line.recv(READ_BYTES)
            while True:
                if not data:
                    raise OSError("it closed the connection")
                reader.feed(data)
                while len(answers) < len(packed) and (answer := reader.gets()) is not False:
                    answers.append(answer)
                if len(answers) == len(packed):
                    break
                data = line.recv(READ_BYTES)
        except BlockingIOError as error:
            self._drop()
            raise Outage(f"Redis does not answer within {ANSWER_TIMEOUT_S} s") from error
        except (redis.RedisError, hiredis.HiredisError, OSError) as error:
            self._drop()
            raise Outage(f"Redis does not answer: {error}") from error
        return answers

    def _error(self, error: Exception) -> StoreError:
        text = str(error)
        if isinstance(error, redis.ReadOnlyError) or text.startswith("READONLY"):  # as the client or its parser says it
            self._drop()  # a primary that became a replica keeps its connections: the name may lead elsewhere by now
        for word, kind in (("FENCED", Fenced), ("BEHIND", Behind)):
            at = text.find(word)
            if at >= 0:
                return kind(text[at:].split(" script:", maxsplit=1)[0].strip())
        if "Function not found" in text:
            return Behind("BEHIND functions")
        return Outage(f"Redis refused: {text}")

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
            self._pool.release(connection)


def _let_the_kernel_time(connection: Any) -> None:
    """Leave a plain connection's timeout to the kernel: Python's own asks first, and lets go of the interpreter twice.

    While the dataflow computes, each time costs up to half a millisecond until the interpreter comes back.
    """
    if type(connection) is socket.socket:
        timeout = struct.pack("@ll", ANSWER_TIMEOUT_S, 0)
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
