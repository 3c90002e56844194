"""The dataflow for Bytewax's own runner: `python -m bytewax.run flows.availability:flow -r ... -s ... -b ...`.

For one process. A cluster needs one token for all its processes: `atp run` takes it for them, sets the recovery
directory up and starts them again when one dies.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from flows.belonging import inputs_now, mismatch
from flows.kafka import input_ends
from flows.log import configure
from flows.runtime import Run
from flows.state_folder import StateFolder
from flows.store import Store
from flows.wiring import Worker
from schemas.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from bytewax.dataflow import Dataflow


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
    return Worker(Run(settings, token, ends=input_ends(settings), topic_ids=inputs.ids())), folder


def __getattr__(name: str) -> Dataflow:
    if name == "flow":
        return build()[0].flow
    raise AttributeError(name)
