"""The dataflow for Bytewax's own runner: `python -m bytewax.run flows.availability:flow -r ... -s ... -b ...`.

For one process. A cluster needs one token for all its processes: `atp run` takes it for them, sets the recovery
directory up and starts them again when one dies.
"""

from __future__ import annotations

import atexit
import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from flows.alive import Alive
from flows.belonging import inputs_now, mismatch
from flows.kafka import input_ends
from flows.log import configure
from flows.monitor import Member, Monitor
from flows.runtime import Run
from flows.state_folder import StateFolder
from flows.store import Store
from flows.wiring import Worker
from flows.worker import told
from schemas.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from bytewax.dataflow import Dataflow


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
    folder = StateFolder(settings)
    folder.open()
    inputs = inputs_now(settings)
    known = folder.facts().inputs
    wrong = mismatch(settings, known, inputs) if known is not None else None
    if wrong is not None:
        raise SettingsError(str(wrong))
    store = Store(settings.redis.address(), settings.redis.prefix)
    token = store.claim(folder.facts().token)
    store.close()
    folder.keep_token(token, inputs)
    worker = Worker(Run(settings, token, ends=input_ends(settings), topic_ids=inputs.ids()))
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
        return build()[0].flow
    raise AttributeError(name)
