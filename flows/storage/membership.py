"""Whose part of a cluster's state a directory holds, and whether that is what the settings say.

Each machine keeps the state of its own shards, and some of the files of the recovery store. Which worker has which
shard follows from how many workers there are, and from their order: so both stay for the life of the state.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from flows.runtime.machines import Machines
from schemas.settings import SettingsError

ANEW = "or begin anew: empty folders in state.dir, and atp run --from-scratch"


class Membership(msgspec.Struct, frozen=True):
    """Whose part it is."""

    #: made up by the machine that led the first run: the same in all parts of one cluster's state
    id: str
    machines: int
    this: int
    #: on each machine
    workers: int

    def __str__(self) -> str:
        return f"machine {self.this} of {self.machines}, with workers={self.workers} on each"


def check_membership(path: Path, kept: Membership | None, machines: Machines | None) -> None:
    """Refuse a directory that holds another part than this machine's; SettingsError says which, and what would do."""
    if kept is None and machines is None:
        return
    if machines is None:
        raise SettingsError(
            f"cluster.machines: none, but {path} holds the state of {kept}: set cluster.machines as it was, {ANEW}"
        )
    if kept is None:
        raise SettingsError(
            f"cluster.machines: {len(machines.names)} machines, but {path} holds the state of an engine on one "
            f"machine alone: leave cluster.machines out, {ANEW}"
        )
    now = Membership(kept.id, len(machines.names), machines.this, machines.workers)
    if kept != now:
        raise SettingsError(
            f"cluster.this, cluster.machines, workers: {path} holds the state of {kept}, and this is {now}: set them "
            f"as they were, {ANEW}"
        )


def own_parts(machines: Machines, count: int) -> set[int]:
    """Which files of a recovery store of so many a machine keeps."""
    return {number for number in range(count) if number % len(machines.names) == machines.this}
