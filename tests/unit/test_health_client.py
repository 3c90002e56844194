"""Where `metrics.host` names several machines, the engine is asked that runs, and not one that stands by for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from flows.embedded.child import free_port
from flows.monitoring.endpoint import Endpoint
from flows.monitoring.health_client import ask
from flows.monitoring.monitor import Monitor
from flows.settings import load_settings
from schemas.settings import Settings
from tests.running import until

#: For an answer: others share this machine.
PATIENCE_S = 60.0
#: Two machines, and one that is gone.
MACHINES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    known = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *given: Any, **more: Any) -> list[Any]:
        if host == "engine.example":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in reversed(MACHINES)]
        return known(host, port, *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return load_settings(None, {"metrics.host": "engine.example", "metrics.port": free_port()})


@pytest.fixture
def monitors(settings: Settings) -> Iterator[list[Monitor]]:
    """Of the first two, each with its endpoint."""
    with ExitStack() as stack:
        made = []
        for address in MACHINES[:2]:
            own = settings.model_copy(update={"metrics": settings.metrics.model_copy(update={"host": address})})
            monitor = Monitor(own)
            stack.callback(monitor.close)
            endpoint = Endpoint(own, monitor)
            endpoint.start()
            stack.callback(endpoint.close)
            until(lambda own=own: ask(own, "/healthz", PATIENCE_S)[0], 60, f"{address} answers")
            made.append(monitor)
        yield made


def test_the_one_that_runs_is_asked_whichever_it_is(settings: Settings, monitors: list[Monitor]) -> None:
    for runs, stands_by in (monitors, monitors[::-1]):
        stands_by.stands_by("it stands by for run 7", may_take_over=True)
        runs.begins(7, ["inventory.orders/0"], {})
        assert "atp_standby 0.0" in ask(settings, "/metrics", PATIENCE_S)[1]
        assert "1 of 1 input partitions" in ask(settings, "/readyz", PATIENCE_S)[1]


def test_where_all_stand_by_one_of_them_answers(settings: Settings, monitors: list[Monitor]) -> None:
    for monitor in monitors:
        monitor.stands_by("it stands by for run 7", may_take_over=True)
    assert ask(settings, "/readyz", PATIENCE_S)[1].count("it stands by for run 7") == 1


def test_where_none_answers_that_is_said(settings: Settings) -> None:
    assert ask(settings, "/healthz", PATIENCE_S)[1].startswith("nothing answers at engine.example:")
