"""Has units read again, of items that a statement differs in, and promises: by a process of its own, from Kafka.

Who explains variances wants to know which units there were; the state keeps what they did, and not what they were.
So that is read again where it stands: bounded in time by the day before and the day after the statement's moment, and
in what is handed on by the items. Who reads is flows/sources/past.py, started when the first statement wants to know.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from flows.log import get_log
from flows.runtime.run import KnownCodes, Run
from flows.sources.past import MESSAGES_MAX, Ask, Asked, Begin, Done, Found, TooLong
from flows.sources.sent import Anew, Promised
from flows.sources.words import Word, to_shard
from operators.coordinator import Search
from operators.route import shard_of
from schemas.reconciled import UnitsFound
from schemas.settings import Settings

log = get_log(__name__)

#: Searches that begin within so much of each other are read together, in microseconds.
TOGETHER = 3_600_000_000
END_S = 4.0
#: Words that may wait for the dataflow, which takes one each round: then the process that reads waits as well.
WAITING_MAX = 100
LOOK_EVERY_S = 0.2
COMMAND = (sys.executable, "-m", "flows.sources.past")


class Handed(NamedTuple):
    """Some of what a search found, as `Found` has it, and of what others found as well.

    `is_last`: there is no more. `is_whole`: all of it was read.
    """

    search: Search
    also: Sequence[Search] = ()
    units: Sequence[tuple[str, Any]] = ()
    sent: Sequence[Promised] = ()
    anew: Sequence[Anew] = ()
    is_last: bool = False
    is_whole: bool = True


class History:
    """One a process. `search` and `take` are called by the dataflow's thread."""

    def __init__(self, run: Run, known: KnownCodes) -> None:
        self._run, self._known = run, known
        self._asked: queue.SimpleQueue[Asked | None] = queue.SimpleQueue()
        self._found: queue.Queue[Handed] = queue.Queue(WAITING_MAX)
        self._thread: threading.Thread | None = None
        self._reader: _Child | None = None
        self._is_closed = False

    def search(self, search: Search, until: dict[str, int]) -> None:
        """Read again up to these offsets, by partition."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._main, name="history", daemon=True)
            self._thread.start()
        self._asked.put((search, until))

    def take(self) -> Handed | None:
        """Give what was found since, some at a time."""
        try:
            return self._found.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """End it."""
        self._is_closed = True
        self._asked.put(None)
        reader = self._reader
        if reader is not None:
            reader.hang_up()
        if self._thread is not None:
            self._thread.join(END_S)

    def _main(self) -> None:
        waiting: list[Asked] = []
        while not self._is_closed:
            new = [] if waiting else [self._asked.get()]
            while not self._asked.empty():
                new.append(self._asked.get())
            if None in new:
                break
            waiting += [one for one in new if one is not None]
            first = waiting[0][0].since
            together = [one for one in waiting if abs(one[0].since - first) <= TOGETHER]
            waiting = [one for one in waiting if abs(one[0].since - first) > TOGETHER]
            is_whole = self._read(together)
            for search, _ in together:
                self._hand_over(Handed(search, is_last=True, is_whole=is_whole))
        if self._reader is not None:
            self._reader.end()

    def _read(self, together: list[Asked]) -> bool:
        """Have it read and hand it on; was all of it read?"""
        problem, is_whole = "", False
        try:
            if self._reader is None:
                self._reader = _Child(self._run.settings)
            problem, is_whole = self._follow(self._reader.connection, together)
        except Exception as error:  # whatever it is: a statement does not wait for ever
            is_end = isinstance(error, (EOFError, OSError))
            problem = f"the process that reads it {'ended' if is_end else 'is not understood'} ({error or 'no word'})"
            if self._reader is not None:
                self._reader.end()
                self._reader = None
        if problem and not self._is_closed:
            names = ", ".join(name_of(search) for search, _ in together)
            log.warning(
                f"what explains {names} could not be read again, so that some causes stay unknown: {problem}",
                kind="kafka_read",
                next="see whether the brokers run: atp check",
            )
        return is_whole

    def _follow(self, connection: Connection[Any, Any], together: list[Asked]) -> Done:
        """Hand on what is found until all is; gives why it is not."""
        connection.send(Ask(together, self._known.locations, self._known.channels))
        while True:
            word: Found | TooLong | Done = connection.recv()
            if isinstance(word, Done):
                return word
            if isinstance(word, TooLong):
                say_too_many(together[word.search][0])
            else:
                first, *also = [together[number][0] for number in word.searches]
                self._hand_over(Handed(first, also, word.units, word.sent, word.anew))

    def _hand_over(self, handed: Handed) -> None:
        while not self._is_closed:
            with contextlib.suppress(queue.Full):
                return self._found.put(handed, timeout=LOOK_EVERY_S)


class _Child:
    """The process that reads, and the connection to it."""

    def __init__(self, settings: Settings) -> None:
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*COMMAND, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                pass_fds=(theirs.fileno(),),
                process_group=0,  # signals of a terminal are the supervisor's
            )
        self._socket = ours
        # Of a descriptor of its own: each closes what it opened.
        self.connection: Connection[Any, Any] = Connection(os.dup(ours.fileno()))
        # With all secrets: through this pair alone.
        self.connection.send(Begin(settings))

    def hang_up(self) -> None:
        """Let it end, from any thread: who waits for its word hears that there will be none."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """End it; by force where it does not."""
        self.hang_up()
        self._socket.close()
        self.connection.close()
        try:
            self._process.wait(END_S / 2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def words_of(found: Handed, shards: int) -> list[Word]:
    """Address what was found to the shards that know the items."""
    words: dict[int, UnitsFound] = {}
    also = [(search.source, search.statement_id) for search in found.also]

    def of(item: str) -> UnitsFound:
        shard = shard_of(item, shards)
        if shard not in words:
            words[shard] = UnitsFound(found.search.source, found.search.statement_id, [], False, [], [], also=also)
        return words[shard]

    for item, values in found.units:
        of(item).units.append(values)
    for sent in found.sent:
        of(sent[0]).sent.append(sent)
    for anew in found.anew:
        of(anew[0]).anew.append(anew)
    return [to_shard(shard, word) for shard, word in words.items()]


def name_of(search: Search) -> str:
    """Name the statement that a search is for."""
    return f"{search.source}:{search.statement_id}"


def say_too_many(search: Search) -> None:
    """Say that not all was looked at."""
    log.warning(
        f"{name_of(search)}: of the two days around it the first {MESSAGES_MAX} messages were looked at, and no more: "
        "what the others would explain stays unknown",
        kind="history_too_long",
        next="count what stays unknown, and send it as stock_counted: atp variances list --cause unknown",
    )
