"""Makes what a supervisor asks of the other machines: nothing, where there are none."""

from __future__ import annotations

from flows.monitoring.monitor import Monitor
from flows.processes.alone import Alone
from flows.processes.follower import Follower
from flows.processes.leader import Leader
from flows.processes.party import Party
from flows.processes.preparation import Preparation
from flows.runtime.machines import machines_of
from flows.storage.folder import StateFolder
from schemas.settings import Settings, SettingsError


def leads_here(settings: Settings, standby: bool) -> bool:
    """Does this machine lead, as one alone does? SettingsError where several machines are to stand by."""
    machines = machines_of(settings)
    if machines is not None and standby:
        raise SettingsError("--standby: expected none where cluster.machines names several, got it: leave one out")
    return machines is None or machines.leads


def party_of(
    settings: Settings, folder: StateFolder, monitor: Monitor, preparation: Preparation, until_caught_up: bool
) -> Party:
    """Give the party of this machine; SettingsError where another process is this machine, too."""
    machines = machines_of(settings)
    if machines is None:
        return Alone(preparation)
    if machines.leads:
        return Leader(settings, folder, machines, preparation, until_caught_up)
    return Follower(settings, folder, machines, monitor)
