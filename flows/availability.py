"""The dataflow for Bytewax's own runner: `python -m bytewax.run flows.availability:flow -r ... -s ... -b ...`.

For one process. A cluster needs one token for all its processes: `atp run` takes it for them, sets the recovery
directory up and starts them again when one dies.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING

from flows.beginning import look_for_earlier_run, take_token
from flows.belonging import inputs_now, mismatch
from flows.kafka import input_ends
from flows.log import configure, get_log
from flows.runtime import Run
from flows.state_folder import UMASK, StateFolder
from flows.wiring import Worker
from schemas.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from bytewax.dataflow import Dataflow

log = get_log(__name__)


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
    run = Run(settings, token, ends=input_ends(settings), topic_ids=inputs.ids(), scratch=scratch)
    return Worker(run), folder


def __getattr__(name: str) -> Dataflow:
    if name == "flow":
        try:
            return build()[0].flow
        except SettingsError as error:
            print(error, file=sys.stderr)
            raise SystemExit(2) from None
    raise AttributeError(name)
