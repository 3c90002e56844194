"""`atp pick-up FOLDER`: sends what others leave in a folder, until SIGTERM or Ctrl-C.

1. What an earlier process had taken and not finished is sent first: the same bytes in the same cut.
2. A finished file is taken, read, cut where it is too large for one message, and sent.
3. When Kafka has all of it, and it is still what was read, it goes to `done`.

Killed between any two of these, nothing is lost: at worst a file is sent twice, and the translator, whose ids come from
what a document says, counts its lines once.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from flows.adapters.intake.counts import PICK_UP, Counts
from flows.adapters.intake.folder import (
    DONE,
    FAILED,
    TAKEN,
    Folder,
    FolderProblem,
    Read,
    Waiting,
    head_of,
    read,
    seen_of,
)
from flows.adapters.intake.raw import (
    KafkaWatch,
    RawMessage,
    RawSender,
    RawTopics,
    messages_of,
    raw_message,
    readable,
    refused_of,
    told_of,
    type_of,
    wait_for_topics,
)
from flows.kafka.sending import SendError
from flows.kafka.topics import plan_of_raw
from flows.log import configure, get_log
from flows.progress_bar import progress
from flows.runtime.run import now
from flows.runtime.stop_signals import StopSignals
from operators.adapters.cutting import HEAD_BYTES, TooLarge, cut
from schemas.codes import TOO_LARGE, is_code
from schemas.settings import Settings, SettingsError

log = get_log(__name__)

#: A part waits for Kafka so long; then the file is sent again from its begin.
SEND_SECONDS_MAX: Final = 30.0
#: Between two tries while Kafka is away, or a file cannot be moved.
RETRY_S: Final = 2.0
#: What opening says of a link, a folder, a device: somebody put it in the place of a file.
_NO_FILE: Final = frozenset({errno.ELOOP, errno.EINVAL, errno.EISDIR, errno.ENXIO})
#: Of a SHA-256, in the name of a file whose name is taken.
MARK_DIGITS: Final = 16

SendAll = Callable[[list[RawMessage]], None]


class PickUp:
    """Sends the files of one folder; `send_all` returns when Kafka has all messages, or raises SendError."""

    def __init__(
        self, settings: Settings, source: str, folder: Folder, send_all: SendAll, counts: Counts, shows: bool = False
    ) -> None:
        self._source, self._folder, self._send_all, self._counts = source, folder, send_all, counts
        self._shows = shows
        self._bytes_max = settings.max_message_bytes
        self._file_bytes_max = settings.pick_up.file_bytes_max
        known = settings.sources.get(source)
        self._heading_rows = known.heading_rows if known is not None else 1
        #: what was said already, and not again at each look
        self._told: set[tuple[bytes, str]] = set()
        #: taken files that Kafka has and that could not be moved: what they were
        self._sent: dict[bytes, object] = {}
        #: taken files that are not finished, since when
        self._stuck: dict[bytes, float] = {}

    def round(self, go_on: Callable[[], None] = lambda: None) -> int:
        """Send what is there and finished; gives how many files went to `done` or `failed`.

        OSError where the folder or a taken file cannot be handled now; SendError where Kafka does not take it. Either
        way a later round goes on with the same.
        """
        troubles: list[OSError] = []
        finished = 0
        for name in self._folder.left_over():
            go_on()
            finished += self._try(name, troubles)
        waiting = self._folder.look(time.monotonic())
        self._count(waiting)
        for name, why in waiting.odd:
            if self._tell(name, why, "give the file itself"):
                self._counts.refused(self._source, "not_a_file")
        for name in self._folder.waits_for_rights():
            self._tell(name, "it cannot be read", "give this user the right to read it")
        with self._progress(len(waiting.ready)) as advance:
            for name in waiting.ready:
                go_on()
                if self._folder.take(name):
                    finished += self._try(name, troubles)
                advance(1)
        if waiting.ready:
            self._count(self._folder.look(time.monotonic()))
        if finished:
            log.info(f"{finished} files done", kind="files_done")
        if troubles:
            raise troubles[0]
        return finished

    def _count(self, waiting: Waiting) -> None:
        """Say how many files wait, and the oldest for how long: those that are taken and could not be finished too."""
        moment = time.monotonic()
        self._stuck = {name: self._stuck.get(name, moment) for name in self._folder.left_over()}
        oldest = max(waiting.oldest_s, *(moment - since for since in self._stuck.values()), 0.0)
        self._counts.files(self._source, len(waiting.ready) + waiting.unready + len(self._stuck), oldest)

    def _try(self, name: bytes, troubles: list[OSError]) -> int:
        """Finish a taken file; one that cannot be handled now keeps no other waiting."""
        try:
            return self._finish(name)
        except OSError as error:
            troubles.append(error)
            return 0

    def _progress(self, count: int) -> AbstractContextManager[Callable[[int], None]]:
        if self._shows and count:
            return progress(count, f"sending from {self._folder.path}")
        return nullcontext(lambda _: None)

    def is_quiet(self) -> bool:
        """Is there nothing left that will ever be ready?"""
        waiting = self._folder.look(time.monotonic())
        if waiting.ready or self._folder.left_over():
            return False
        return waiting.unready <= len(self._folder.waits_for_rights())

    def _tell(self, name: bytes, why: str, remedy: str) -> bool:
        if (name, why) in self._told:
            return False
        if len(self._told) > 10_000:
            self._told.clear()
        self._told.add((name, why))
        log.warning(f"{_shown(name)} is left where it is: {why}", kind="file_left", next=remedy)
        return True

    def _finish(self, name: bytes) -> int:
        """Send a taken file and move it; 0 if it changed while it was sent, and has to go again."""
        path = self._folder.place(TAKEN, name)
        begun = time.perf_counter()
        try:
            found = read(path, self._file_bytes_max)
        except FileNotFoundError:
            return 0  # somebody took it away by hand
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            mark = hashlib.sha256(name).hexdigest()[:MARK_DIGITS]
            return self._fail(
                name, mark, "not_a_file", "expected a plain file, got another thing", "give the file itself"
            )
        if isinstance(found, int):
            mark = hashlib.sha256(name).hexdigest()[:MARK_DIGITS]
            told = (
                f"{TOO_LARGE}: expected at most {self._file_bytes_max:,} bytes (pick_up.file_bytes_max), got {found:,}"
            )
            head = head_of(path, min(HEAD_BYTES, self._bytes_max))
            message = raw_message(self._source, head, now(), type_of(os.fsdecode(name), head), os.fsdecode(name))
            self._send_all([refused_of(message, TooLarge("the file", found, head))])
            return self._fail(name, mark, "too_large", told, "raise pick_up.file_bytes_max, and put it back")
        mark = hashlib.sha256(found.raw).hexdigest()[:MARK_DIGITS]
        if not found.raw:
            # An empty file never means zero: more often its writer failed.
            return self._fail(name, mark, "empty", "empty: expected a document, got no bytes", "ask who left it")
        if self._sent.get(name) != found.seen:
            refused = self._send(name, found, begun)
            if refused:
                remedy = "raise max_message_bytes where the engine and the translator run, and put it back"
                return self._fail(name, mark, "too_large", refused, remedy)
            if seen_of(os.stat(path, follow_symlinks=False)) != found.seen:
                log.warning(
                    f"{_shown(name)} was written to while it was sent: it is sent again as it is now",
                    kind="file_changed",
                    next="have its sender write under another name, and rename it when it is finished",
                )
                return 0
            self._sent[name] = found.seen
        self._folder.finish(name, DONE, mark)
        self._sent.pop(name, None)
        return 1

    def _send(self, name: bytes, found: Read, begun: float) -> str:
        """Send it in as many messages as it takes; gives what of it could not go."""
        shown = os.fsdecode(name)
        result = cut(found.raw, self._bytes_max, self._heading_rows)
        message = raw_message(self._source, found.raw, now(), type_of(shown, found.raw), shown)
        messages = messages_of(message, found.raw, result)
        self._send_all(messages)
        seconds = time.perf_counter() - begun
        for each in messages:
            self._counts.sent(self._source, len(each.value), seconds)
        return told_of(result.refused)

    def _fail(self, name: bytes, mark: str, reason: str, told: str, remedy: str) -> int:
        kept = self._folder.finish(name, FAILED, mark, told)
        self._counts.refused(self._source, reason)
        log.error(f"{_shown(name)} went to {FAILED}/{_shown(kept)}: {told}", kind=f"file_{reason}", next=remedy)
        return 1


def _shown(name: bytes) -> str:
    return readable(os.fsdecode(name))


def pick_up(settings: Settings, path: Path, source: str, once: bool = False) -> int:
    """Do what `atp pick-up` says; the exit code. `once`: end when all that is there is finished and sent."""
    if not is_code(source):
        raise SettingsError(f"--source: expected a source's code, such as acme-edi, got {source}")
    plan_of_raw(settings, [source])
    configure(settings, process="pick-up", source=source)
    folder = Folder(path, settings.pick_up.settle / 1_000_000)
    signals = StopSignals()
    counts = Counts(PICK_UP, [source])
    sender = RawSender(settings, SEND_SECONDS_MAX)
    try:
        counts.serve(settings, settings.pick_up.metrics_port)
        log.info(f"looking into {path}", kind="looking")
        raw = RawTopics(settings, [source])
        if once:
            raw.make()
        else:
            wait_for_topics(raw, signals.is_set, signals.wait)
        worker = PickUp(
            settings, source, folder, lambda messages: sender.send_all(messages, signals.is_set), counts, once
        )
        return _rounds(settings, worker, signals, KafkaWatch(sender.probe, counts.kafka_is_up), once)
    finally:
        sender.close()
        folder.close()
        signals.restore()


def _rounds(settings: Settings, worker: PickUp, signals: StopSignals, watch: KafkaWatch, once: bool) -> int:
    def go_on() -> None:
        if signals.is_set():
            raise KeyboardInterrupt

    while not signals.is_set():
        wait_s = settings.pick_up.look_every / 1_000_000
        try:
            worker.round(go_on)
            watch.look()
            if once and worker.is_quiet():
                return 0
        except KeyboardInterrupt:
            break
        except SendError as error:
            if once:
                raise
            wait_s = RETRY_S
            watch.note(str(error))
        except OSError as error:
            if once:
                raise FolderProblem(f"the folder cannot be used: {error}") from error
            wait_s = RETRY_S
            log.error(
                f"the folder cannot be used now: {error}; trying on",
                kind="folder",
                next="see whether its disk is full, and whether this user may write there",
            )
        signals.wait(wait_s)
    log.info(f"ended by {signals.name}", kind="ended")
    return 1 if once else 0
