"""The demo's engine on several machines: loopback ports, each with an `atp run` and a state directory of its own."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from pathlib import Path

from flows.demo.engine import Engine
from flows.embedded.child import free_port
from flows.runtime.machines import SETS

HOST = "127.0.0.1"
#: Of a name of `cluster.machines`, behind its first port: one worker a machine.
PORTS = SETS
TRIES_MAX = 100


class Cluster:
    """What `Engine` is, of several machines; one of them is killed. `start` starts those that do not run."""

    def __init__(self, settings: Mapping[str, object], folder: Path, config: Path, machines: int) -> None:
        names = [f"{HOST}:{port}" for port in _first_ports(machines)]
        self.machines = []
        for machine in range(machines):
            place = folder / f"machine-{machine}"
            place.mkdir()
            own = {"cluster.machines": ",".join(names), "cluster.this": machine, "state.dir": place / "state"}
            self.machines.append(Engine({**settings, **own}, place, config))
        self.log = self.machines[0].log
        self.killed_words = f"machine {machines - 1} of {machines} is gone, and the run ends on the others"
        self.started_words = f"machine {machines - 1} is started again with its own disk; all go on together"

    def start(self, *flags: str) -> None:
        """Start it where it does not run; returns at once."""
        for machine in self.machines:
            if not machine.runs():
                machine.start(*flags)

    def require(self) -> None:
        """Raise EngineError if one ended by itself."""
        for machine in self.machines:
            machine.require()

    def kill(self) -> int:
        """SIGKILL to the last machine and its workers at once; give how many processes that were."""
        return self.machines[-1].kill()

    def stop(self) -> None:
        """SIGTERM to all, and wait; EngineError if one does not end well."""
        for machine in self.machines:
            machine.ask_to_end()
        for machine in self.machines:
            machine.stop()

    def catch_up(self, seconds_max: float) -> None:
        """Run until everything sent so far is published; EngineError if that fails."""
        for machine in self.machines:
            machine.start("--until-caught-up")
        for machine in self.machines:
            machine.wait_for_end(seconds_max, "with --until-caught-up")

    def close(self) -> None:
        """End all; never raises."""
        for machine in self.machines:
            machine.ask_to_end()
        for machine in self.machines:
            machine.close()


def _first_ports(count: int) -> list[int]:
    """Give ports of which the next one is free as well, as far as one can know."""
    found: list[int] = []
    for _ in range(TRIES_MAX):
        first = free_port()
        taken = {port + more for port in found for more in range(PORTS)}
        if not taken & set(range(first, first + PORTS)) and all(map(_is_free, range(first, first + PORTS))):
            found.append(first)
        if len(found) == count:
            return found
    raise OSError(f"no {PORTS} free ports in a row were found on {HOST}")


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError, OverflowError), socket.socket() as one:
        one.bind((HOST, port))
        return True
    return False
