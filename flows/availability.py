"""The dataflow for Bytewax's own runner: `python -m bytewax.run flows.availability:flow -r ... -s ... -b ...`.

For one process. A cluster needs one token for all its processes: `atp run` takes it for them, sets the recovery
directory up and starts them again when one dies. Nor does anybody look here whether a topic was made again, and a start
from scratch is not begun here.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from flows.dataflow.graph import Worker
from flows.errors import PlainError
from flows.kafka.clients import input_ends
from flows.kafka.identity import Inputs, changes, inputs_now, why_not
from flows.log import configure, get_log
from flows.monitoring.monitor import Member, Monitor
from flows.processes.alive import Alive
from flows.processes.noise import keep_trace
from flows.processes.worker import causes, leave, worker_report
from flows.readmodel.port import Fenced, Outage
from flows.readmodel.problem import redis_problem
from flows.recovery.start import look_for_earlier_run, take_token
from flows.runtime.run import Run
from flows.settings import load_settings
from flows.storage.facts import UMASK
from flows.storage.folder import StateFolder
from schemas.settings import Settings, SettingsError
from schemas.topics import INPUTS

if TYPE_CHECKING:
    from bytewax.dataflow import Dataflow

log = get_log(__name__)

#: How often it is looked whether the first epoch has ended.
FIRST_EPOCH_EVERY_S = 1.0


class _Oneself:
    """Answers for the only worker, in its own process."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @property
    def answered_at(self) -> float:
        """When it answered last (monotonic clock)."""
        return time.monotonic()

    def ask(self, _: float) -> dict[str, Any]:
        """Give what the worker says of itself."""
        return worker_report(self._worker)

    def close(self) -> None:
        """Nothing to let go of."""


@cache
def build() -> tuple[Worker, StateFolder]:
    """Take a run token and build the dataflow from atp.toml and the environment. Once a process.

    SettingsError or another PlainError if it cannot start.
    """
    settings = load_settings()
    configure(settings)
    os.umask(UMASK)
    folder = StateFolder(settings)
    folder.open()
    inputs = _inputs(settings, folder)
    with _in_words(settings):
        look_for_earlier_run(settings, folder)
        folder.make_store()
        token = take_token(settings, folder)
        folder.keep_token(token, inputs)
    log.info(folder.found(), kind="state")
    begun = folder.facts().scratch
    scratch = (begun.token, frozenset(begun.left)) if begun is not None else None
    ends, ended = inputs.named(input_ends(settings)), inputs.ended(map(settings.topic, INPUTS))
    worker = Worker(Run(settings, token, ends=ends, topic_ids=inputs.ids(), ended=ended, scratch=scratch))
    worker.stop.on_failure = _last_word(token)
    _note_first_epoch(folder, worker)
    _say_how_fresh(worker)
    return worker, folder


def _inputs(settings: Settings, folder: StateFolder) -> Inputs:
    """Find out what there is to read; SettingsError if the state does not belong to it."""
    inputs = inputs_now(settings)
    known = folder.facts().inputs
    if known is not None:
        wrong = why_not(settings, known, inputs)
        if wrong is not None:
            raise SettingsError(str(wrong))
        for change in changes(settings, known, inputs):
            log.warning(change, kind="topics_changed")
    inputs.carry(known)
    return inputs


@contextmanager
def _in_words(settings: Settings) -> Iterator[None]:
    """Say why Redis or the disk cannot be used as `atp run` says it."""
    try:
        yield
    except Outage as error:
        raise PlainError(str(redis_problem(settings, error))) from error
    except OSError as error:
        raise PlainError(
            f"state.dir: {settings.state.dir} cannot be written ({error.strerror or error}): make room on its disk, "
            "and see whether it is mounted for writing"
        ) from error


def _last_word(token: int) -> Callable[[BaseException], None]:
    """Give what ends the process when a thread of it dies: a dataflow to which nothing comes would never look."""
    is_said = threading.Lock()

    def end(error: BaseException) -> None:
        is_said.acquire()  # whoever comes second waits for the end
        is_fenced = any(isinstance(cause, Fenced) for cause in causes(error))
        if is_fenced:
            log.error(
                f"a newer run of the engine has taken over from run {token}: this one ends, nothing of it was written "
                "since",
                kind="fenced",
                next="find the other engine that uses this Redis and prefix, and stop one of the two; leave this one "
                "stopped",
            )
        else:
            keep_trace(error)
            log.error(
                f"the engine failed: {type(error).__name__}: {' '.join(str(error).split())}",
                kind="worker_failed",
                next="start it again: nothing is lost; if it fails again and again, see what atp check says",
            )
        leave(2 if is_fenced else 1)

    return end


def _note_first_epoch(folder: StateFolder, worker: Worker) -> None:
    """Note when the first epoch is kept: from then on a folder without it is a mistake.

    The recovery store itself is not asked: Bytewax has it open in this process with an SQLite of its own, whose locks
    are gone as soon as another closes the file.
    """
    if not folder.facts().is_first:
        return

    def watch() -> None:
        ends: set[tuple[float, float]] = set()
        while len(ends) < 2:  # when the second has ended too, the first is committed as a whole
            time.sleep(FIRST_EPOCH_EVERY_S)
            ended = worker.metrics.epoch_at
            if ended is not None:
                ends.add(ended)
        with suppress(SettingsError, OSError):
            folder.note_first(False)

    threading.Thread(target=watch, name="first epoch", daemon=True).start()


def _say_how_fresh(worker: Worker) -> None:
    """Write `engine:alive` while this process lives, as the supervisor of `atp run` does."""
    run = worker.run
    monitor = Monitor(run.settings)
    alive = Alive(run.settings, monitor)
    monitor.begins(run.token, run.ends, {0: Member(os.getpid(), _Oneself(worker))})
    alive.begins(run.token)
    atexit.register(monitor.close)
    atexit.register(alive.close)


def __getattr__(name: str) -> Dataflow:
    if name == "flow":
        try:
            return build()[0].flow
        except SettingsError as error:
            print(error, file=sys.stderr)
            raise SystemExit(2) from None
        except PlainError as error:
            print(error, file=sys.stderr)
            raise SystemExit(1) from None
    raise AttributeError(name)
