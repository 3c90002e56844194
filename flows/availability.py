"""The dataflow for Bytewax's own runner: `python -m bytewax.run flows.availability:flow -r ... -s ... -b ...`.

For one process. A cluster needs one token for all its processes: `atp run` takes it for them, sets the recovery
directory up and starts them again when one dies.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from flows.alive import Alive
from flows.beginning import look_for_earlier_run, take_token
from flows.belonging import inputs_now, mismatch
from flows.kafka import input_ends
from flows.log import configure, get_log
from flows.monitor import Member, Monitor
from flows.runtime import Run
from flows.state_folder import UMASK, StateFolder
from flows.wiring import Worker
from flows.worker import told
from schemas.settings import SettingsError, load_settings
from schemas.topics import INPUTS

if TYPE_CHECKING:
    from bytewax.dataflow import Dataflow

log = get_log(__name__)


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
        return told(self._worker)

    def close(self) -> None:
        """Nothing to let go of."""


@cache
def build() -> tuple[Worker, StateFolder]:
    """Take a run token and build the dataflow from atp.toml and the environment. Once a process."""
    settings = load_settings()
    configure(settings)
    os.umask(UMASK)
    folder = StateFolder(settings)
    folder.open()
    inputs = inputs_now(settings)
    known = folder.facts().inputs
    wrong = mismatch(settings, known, inputs) if known is not None else None
    if wrong is not None:
        raise SettingsError(str(wrong))
    look_for_earlier_run(settings, folder)
    folder.make_store()
    token = take_token(settings, folder)
    folder.keep_token(token, inputs)
    log.info(folder.found(), kind="state")
    begun = folder.facts().scratch
    scratch = (begun.token, frozenset(begun.left)) if begun is not None else None
    ends, ended = inputs.named(input_ends(settings)), inputs.ended(map(settings.topic, INPUTS))
    worker = Worker(Run(settings, token, ends=ends, topic_ids=inputs.ids(), ended=ended, scratch=scratch))
    _say_how_fresh(worker)
    return worker, folder


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
    raise AttributeError(name)
