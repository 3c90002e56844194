"""An engine on several machines for tests: loopback addresses, each with a state directory and processes of its own."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flows.runtime.machines import SETS
from schemas.cluster_settings import ClusterSettings
from tests.chaos.proxy import Proxy
from tests.running import Engine, until

#: Who shares a busy machine with other tests is silent for seconds at times; the rest as in other tests.
FAST = {"reference_grace": 0, "cluster__silent_after": "8s"}


class Cluster:
    """Machines by their place. A context manager that ends whatever still runs.

    `has_links`: what leads to a machine goes through a network that can be broken (`links`).
    """

    def __init__(self, world: Any, count: int, workers: int = 1, has_links: bool = False, **settings: object) -> None:
        self._world, self.workers, self._settings = world, workers, settings
        self._has_links = has_links
        network = f"127.{random.randint(60, 250)}.{random.randint(1, 250)}"  # nobody else's ports are there
        self.names = [f"{network}.{machine + 1}" for machine in range(count)]
        #: what they listen on themselves, where links lead to their names
        self._own_names = [f"{network}.{machine + 101}" for machine in range(count)]
        self.machines: list[Engine] = []
        self._all = ExitStack()

    def __enter__(self) -> Self:
        first = ClusterSettings().port
        self.links = [
            self._all.enter_context(Proxy(port, port, name, own))
            for name, own in zip(self.names, self._own_names, strict=True)
            for port in range(first, first + SETS * self.workers)
            if self._has_links
        ]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._all.close()
        if error is not None:
            for machine, engine in enumerate(self.machines):
                error.add_note(f"machine {machine} said:\n{engine.text()[-4000:]}")

    def settings(self, machine: int, **more: object) -> dict[str, object]:
        """Give what is set on a machine."""
        return {
            **FAST,
            "workers": self.workers,
            "cluster__machines": ",".join(self.names),
            "cluster__this": machine,
            **({"cluster__bind": self._own_names[machine]} if self._has_links else {}),
            "state__dir": str(self.state_dir(machine)),
            **self._settings,
            **more,
        }

    def state_dir(self, machine: int) -> Path:
        """Give where a machine keeps its part."""
        return self._world.folder / f"machine-{machine}"

    def start(self, *arguments: str) -> None:
        """Start the engine on all machines."""
        self.machines = []
        for machine in range(len(self.names)):
            self.machines.append(self.start_one(machine, *arguments))

    def start_one(self, machine: int, *arguments: str, **more: object) -> Engine:
        """Start the engine on one machine; it takes the place of what ran there before."""
        engine = self._all.enter_context(Engine(self._world, *arguments, **self.settings(machine, **more)))
        if machine < len(self.machines):
            self.machines[machine] = engine
        return engine

    def say_to_links(self, word: str) -> None:
        """Break the network between the machines, or mend it: a word of tests/chaos/proxy.py."""
        for link in self.links:
            link.say(word)

    def wait_until_it_reads(self) -> None:
        """Wait until it has committed what was in the input topics at the call."""
        self.machines[0].wait_until_it_reads(self._world, self._world.settings(**self.settings(0)))

    def catch_up(self) -> None:
        """Run on all machines until caught up."""
        self.start("--until-caught-up")
        codes = [engine.wait(120) for engine in self.machines]
        assert not any(codes), codes

    def stop(self) -> None:
        """Stop the machine that leads, then the others."""
        for engine in self.machines:
            assert engine.stop() == 0, engine.text()


def says(engine: Engine, words: str, count: int = 1) -> None:
    """Wait until an engine's log has these words so often."""
    until(lambda: engine.text().count(words) >= count, 180, lambda: f"{words!r} {count} times\n{engine.text()}")
