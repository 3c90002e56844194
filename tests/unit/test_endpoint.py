"""The endpoint's port and thread: taken when it can be had, given back by the end, whenever that comes."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from flows.monitoring.endpoint import STANDBY, Endpoint
from flows.monitoring.monitor import Monitor
from flows.settings import load_settings
from schemas.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "atp.toml").touch()
    return load_settings(tmp_path / "atp.toml", {"metrics.port": port, "state.dir": str(tmp_path / "state")})


@pytest.fixture
def monitor(settings: Settings) -> Iterator[Monitor]:
    monitor = Monitor(settings)
    yield monitor
    monitor.close()


def taken(settings: Settings) -> socket.socket:
    """Take the endpoint's port; raises if something still has it."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", settings.metrics.port))
    held.listen()
    return held


def test_it_serves_and_gives_its_port_back(settings: Settings, monitor: Monitor) -> None:
    endpoint = Endpoint(settings, monitor)
    endpoint.start()
    deadline = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{settings.metrics.port}/", timeout=5) as answer:
                assert b"/metrics" in answer.read()
            break
        except OSError:
            assert time.monotonic() < deadline, "it does not serve"
            time.sleep(0.02)
    endpoint.close()
    taken(settings).close()


def test_metrics_of_some_names_are_given_alone(settings: Settings, monitor: Monitor) -> None:
    endpoint = Endpoint(settings, monitor)
    endpoint.start()
    try:
        asked(settings, "/readyz")

        def names(question: str) -> set[str]:
            with urllib.request.urlopen(f"http://127.0.0.1:{settings.metrics.port}/metrics{question}") as answer:
                text = answer.read().decode()
            return {family.name for family in text_string_to_metric_families(text)}

        whole = names("")
        assert {"atp_run_token", "atp_worker_restarts", "process_open_fds"} < whole
        some = "?name[]=atp_run_token&name[]=atp_worker_restarts_total&name[]=process_open_fds&name[]=no_such"
        assert names(some) == {"atp_run_token", "atp_worker_restarts", "process_open_fds"}
        assert names("?name[]=no_such") == set()
    finally:
        endpoint.close()


def asked(settings: Settings, path: str) -> tuple[int, dict[str, Any]]:
    """Ask until something answers."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{settings.metrics.port}{path}", timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as answer:
            return answer.code, json.loads(answer.read())
        except OSError:
            assert time.monotonic() < deadline, "it does not serve"
            time.sleep(0.02)


def test_who_stands_by_is_not_ready_but_well_where_it_could_take_over(settings: Settings, monitor: Monitor) -> None:
    endpoint = Endpoint(settings, monitor)
    endpoint.start()
    try:
        for says, here, either in (
            (lambda: monitor.stands_by("it stands by for run 7", may_take_over=False), 503, 503),
            (lambda: monitor.stands_by("it stands by for run 7", may_take_over=True), 503, 200),
            (lambda: monitor.waits("it takes over"), 503, 503),
        ):
            says()
            assert asked(settings, "/healthz")[0] == 200
            assert asked(settings, "/readyz")[0] == here
            assert asked(settings, f"/readyz?{STANDBY}")[0] == either
        monitor.stands_by("it stands by for run 7", may_take_over=True)
        assert asked(settings, "/readyz")[1]["reasons"][0] == "workers: it stands by for run 7"
        assert asked(settings, f"/readyz?{STANDBY}")[1] == {"ready": True, "reasons": [], "checks": {"stands_by": True}}
        samples = {metric.name: [sample.value for sample in metric.samples] for metric in monitor.collect()}
        assert samples["atp_standby"] == [1] and "atp_ready" not in samples, "no alert rings for it"
        monitor.begins(8, [], {})
        samples = {metric.name: [sample.value for sample in metric.samples] for metric in monitor.collect()}
        assert samples["atp_standby"] == [0] and 0 in samples["atp_ready"]
        assert asked(settings, f"/readyz?{STANDBY}")[0] == 503, "as any engine that has not caught up"
    finally:
        endpoint.close()


@pytest.mark.parametrize("pause_s", [0.0, 0.0005, 0.002, 0.02])
def test_one_closed_while_it_starts_leaves_nothing(settings: Settings, monitor: Monitor, pause_s: float) -> None:
    for _ in range(4):
        endpoint = Endpoint(settings, monitor)
        endpoint.start()
        time.sleep(pause_s)
        endpoint.close()
        assert not [thread for thread in threading.enumerate() if thread.name == "endpoint"]
        taken(settings).close()


def test_it_says_that_its_port_is_taken_and_nothing_after_its_end(settings: Settings, monitor: Monitor) -> None:
    with taken(settings), capture_logs() as lines:
        endpoint = Endpoint(settings, monitor)
        endpoint.start()
        deadline = time.monotonic() + 10
        while not lines and time.monotonic() < deadline:
            time.sleep(0.01)
        endpoint.close()
        assert not [thread for thread in threading.enumerate() if thread.name == "endpoint"]
    assert [line["kind"] for line in lines] == ["metrics_port"]
    assert f":{settings.metrics.port} cannot be used" in lines[0]["event"]
