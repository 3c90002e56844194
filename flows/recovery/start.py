"""How a run begins: with the state of the run before it, anew where nothing is known of one, or from scratch.

A folder that is empty, half empty or named by mistake must not be taken for a new engine: what would be counted from
there is wrong wherever the topics no longer hold everything, and ids that were seen would count again.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from flows.readmodel.store import Store
from flows.recovery.earlier_run import EarlierRun, earlier_run
from flows.settings import redis_address
from flows.storage.facts import StateRefused
from flows.storage.folder import StateFolder
from schemas.settings import Settings

RIGHT_OR_ANEW = "name the folder that holds its state in state.dir, or begin without it: atp run --from-scratch"


def look_for_earlier_run(settings: Settings, folder: StateFolder) -> None:
    """Refuse a start without state that must be somewhere; note in the folder whether this is its first one.

    StateRefused says what is known, and where from; Outage or KafkaProblem if it cannot be found out.
    """
    facts = folder.facts()
    if folder.epoch is not None:
        folder.note_first(False)
        return
    if facts.scratch is not None:
        return
    with closing(Store(redis_address(settings.redis), settings.redis.prefix)) as store:
        known = earlier_run(settings, store)
    if known.proves_state(facts.is_first):
        raise StateRefused(*refusal(settings, known))
    folder.note_first(True)


def refusal(settings: Settings, known: EarlierRun) -> tuple[str, str]:
    """Give what was seen of a state directory that lacks the state of a known run, and what would do."""
    path: Path = settings.state.dir
    from_here = "" if path.is_absolute() else f" (state.dir is {path}, and the current folder {os.getcwd()})"
    there = [name for name in ("engine.json", "recovery") if (path / name).exists()]
    holds = f"no snapshot beside {', '.join(there)}" if there else "no state"
    return f"state.dir: {path.absolute()} holds {holds}{from_here}, and an earlier run is known: {known}", RIGHT_OR_ANEW


def take_token(settings: Settings, folder: StateFolder) -> int:
    """Take the token of a new run. Outage or StoreError if Redis gives none.

    From scratch, whatever Redis holds counts as lost: its life ends, and every shard has to say everything again.
    """
    facts = folder.facts()
    with closing(Store(redis_address(settings.redis), settings.redis.prefix)) as store:
        if facts.scratch is None or folder.epoch is not None:
            return store.claim(facts.token)
        store.may_look_around()
        return store.claim(max(facts.token, store.held_token()) + 1)
