"""How a run begins where there is a remote place: with the state of the newest run, wherever that ran."""

from __future__ import annotations

from flows.log import get_log
from flows.remote.objects import RemoteProblem, open_objects
from flows.remote.taking_up import copies_in, take_up
from flows.storage.facts import FACTS, StateRefused, read_facts
from flows.storage.folder import StateFolder
from schemas.settings import Settings

log = get_log(__name__)


def refuse_from_scratch(settings: Settings) -> None:
    """Refuse to begin anew where there is a copy of a run's state; RemoteProblem if that cannot be found out.

    Not where a start from scratch goes on that was begun before: its state is copied as any other.
    """
    if settings.state.remote is None:
        return
    facts = read_facts(settings.state.dir / FACTS)
    if facts is not None and facts.scratch is not None:
        return
    copies = copies_in(open_objects(settings))
    if copies:
        raise StateRefused(
            f"--from-scratch: {settings.state.remote} holds the state of run {copies[0].token} (epoch "
            f"{copies[0].epoch}), which it would throw away",
            "start without --from-scratch, and it is taken up; to begin anew all the same, name an empty place in "
            "state.remote",
        )


def begin_with_newest(settings: Settings, folder: StateFolder) -> None:
    """Take up a copy where the state directory holds nothing, or the state of an older run than the copy's.

    RemoteProblem where the place does not answer and nothing is here to go on with.
    """
    if settings.state.remote is None:
        return
    facts = folder.facts()
    is_new = folder.epoch is None and facts.scratch is None
    try:
        copies = copies_in(open_objects(settings))
        if copies and (is_new or copies[0].token > facts.token):
            take_up(settings, folder)
    except RemoteProblem as error:
        if is_new:
            raise
        log.warning(
            f"{error}; going on with what is here: {folder.found()}",
            kind="remote",
            next="if another machine ran meanwhile its state is newer: nothing is lost, the inputs are read again from "
            "where this state ends",
        )
