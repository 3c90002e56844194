"""Which machines one engine runs on, which of them this one is, and where their workers find each other."""

from __future__ import annotations

import re
import socket
from typing import NamedTuple

from schemas.cluster_settings import host_and_port
from schemas.settings import Settings, SettingsError

#: Runs take turns with two sets of ports: what is left of one run never reaches the next.
SETS = 2
_ordinal = re.compile(r".*-([0-9]{1,4})").fullmatch


class Machines(NamedTuple):
    """The machines of one engine, seen from one of them."""

    #: as they are listed, the one that leads first
    names: tuple[str, ...]
    this: int
    #: on each of them
    workers: int
    #: the first port, where a name has none of its own
    port: int
    #: what this one listens on; None: its own name
    bind: str | None

    @property
    def leads(self) -> bool:
        """Is this the one that leads?"""
        return self.this == 0

    @property
    def total(self) -> int:
        """How many workers there are on all machines."""
        return len(self.names) * self.workers

    @property
    def others(self) -> list[int]:
        """All but this one."""
        return [machine for machine in range(len(self.names)) if machine != self.this]

    def called(self, machine: int) -> str:
        """Name a machine as a sentence does."""
        return f"machine {machine} ({self.names[machine]})"

    def numbers(self, machine: int) -> range:
        """Give the numbers of a machine's workers among all workers."""
        return range(machine * self.workers, (machine + 1) * self.workers)

    def addresses(self, run: int) -> tuple[str, ...]:
        """Give where each worker of a run is found; this machine's own as it listens on them."""
        found = []
        for machine, name in enumerate(self.names):
            host, port = host_and_port(name)
            if machine == self.this and self.bind is not None:
                host = self.bind
            first = (port or self.port) + run % SETS * self.workers
            found += [f"{host}:{first + worker}" for worker in range(self.workers)]
        return tuple(found)

    def ports(self) -> range:
        """Give all ports that this machine may be asked on."""
        first = host_and_port(self.names[self.this])[1] or self.port
        return range(first, first + SETS * self.workers)


def machines_of(settings: Settings) -> Machines | None:
    """Give the machines that the settings name; None where the engine runs on one alone.

    SettingsError where they do not say which of them this one is.
    """
    cluster = settings.cluster
    if len(cluster.machines) < 2:
        return None
    this = _this(cluster.machines, cluster.this, socket.gethostname())
    return Machines(cluster.machines, this, settings.workers, cluster.port, cluster.bind)


def _this(names: tuple[str, ...], said: str, host_name: str) -> int:
    """Which of these is meant, by its place or name; by the host's name where nothing is said."""
    listed = ", ".join(f"{place} {name}" for place, name in enumerate(names))
    if said != "auto":
        if said in names:
            return names.index(said)
        found = [place for place, name in enumerate(names) if host_and_port(name)[0] == said]
        if said.isdecimal() and int(said) < len(names):
            found = [int(said)]
        if len(found) != 1:
            raise SettingsError(f"cluster.this: expected one of cluster.machines ({listed}), got {said}")
        return found[0]
    hosts = [host_and_port(name)[0] for name in names]
    label = host_name.partition(".")[0]
    found = [place for place, host in enumerate(hosts) if host == host_name]
    found = found or [place for place, host in enumerate(hosts) if host.partition(".")[0] == label]
    if len(found) == 1:
        return found[0]
    ordinal = _ordinal(label)
    if ordinal is not None and int(ordinal[1]) < len(names):
        return int(ordinal[1])
    raise SettingsError(
        f"cluster.this: the host's name ({host_name}) does not say which of cluster.machines ({listed}) this one is: "
        "set its place or its name"
    )
