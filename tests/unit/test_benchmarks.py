"""The benchmarks' own arithmetic: timetables, latency from the moment due, medians, marks, and a report that tells."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks import driver, probes, readers, report, results
from benchmarks.catalog import SCENARIOS, SHORT
from benchmarks.sampling import Sampler
from benchmarks.scenario import Mark
from benchmarks.slow_proxy import SlowProxy
from flows.traffic.profile import ITEMS, Profile, reference
from tests.conftest import ROOT
from tests.engine import Engine

HOUR = 3_600_000_000


# --- what is sent when ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("elapsed", "due"), [(0, 0), (5, 500), (10, 1000), (10.5, 1500), (12, 3000), (99, 3000)])
def test_the_driver_owes_what_its_phases_say_whatever_it_has_sent(elapsed: float, due: int) -> None:
    errand = driver.Errand("", {}, [(100, 10), (1000, 2)])
    assert errand.due(elapsed) == due
    assert (errand.events(), errand.seconds()) == (3000, 12)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_probe_takes_the_promise_to_what_its_reader_waits_for(number: int) -> None:
    moment = round(datetime.now(UTC).timestamp() * 1e6) + 1_000_000
    engine = Engine(24 * HOUR, HOUR // 12)
    for topic, key, value in reference(Profile(events=1, items=1)):
        assert engine.reference(topic, key, value) == []
    for topic, key, value in probes.preparation(number + 1):
        said = engine.reference(topic, key, value) if topic == ITEMS else engine.event(topic, value, moment)
        assert said == []
    item = probes.item_of(number)
    before = engine.promise(item, probes.CHANNEL, moment)
    topic, _, value = probes.message(number)
    assert engine.event(topic, value, moment) == []
    after = engine.promise(item, probes.CHANNEL, moment)
    assert before is not None and before.atp == probes.AT_FIRST - probes.BUFFER
    assert after is not None and after.atp == probes.expected(number)
    falls = after.atp < before.atp
    assert probes.lane_of(number) == ("critical" if after.atp == 0 else "high" if falls else "normal")


# --- what is measured -------------------------------------------------------------------------------------------------


def _errand(**more: Any) -> readers.Errand:
    given = {
        "kind": "redis", "address": "", "probe_rate": 10.0, "count": 40, "first_probe": 0,
        "windows": [("first", 0.0, 2.0), ("second", 2.0, 4.0)], "partitions": 1, "patience_s": 1.0,
    }  # fmt: skip
    return readers.Errand(**{**given, **more})


def test_latencies_are_kept_by_window_and_lane_and_second() -> None:
    record = readers.Record(_errand())
    for number in range(40):
        record.note(number, 0.010 if number < 20 else 0.500)
    account = record.account()
    first, second = account["windows"]["first"], account["windows"]["second"]
    assert first["all"]["count"] == second["all"]["count"] == 20
    assert first["critical"]["count"] == 7
    assert first["all"]["p99_ms"] == pytest.approx(10, rel=0.01)
    assert second["all"]["p50_ms"] == pytest.approx(500, rel=0.01)
    assert account["timeline"][0] == [0, 10.0, 10.0] and account["timeline"][3] == [3, 500.0, 500.0]
    # the last of the first window was heard at 1.91 s, the first of the second at 2.5 s
    assert account["silence_ms_max"] == pytest.approx(590, abs=1)


def test_latency_runs_from_when_a_probe_was_due_and_those_that_never_came_count() -> None:
    errand = _errand(count=2, probe_rate=1.0, patience_s=0.0)
    start = time.monotonic() - 3.0  # both are due, and patience is at its end
    waiting, record = readers._Waiting(errand, start), readers.Record(errand)
    assert not waiting.refresh()
    assert waiting.latency_s(1, start + 2.5) == pytest.approx(1.5)
    waiting.close(record)
    assert record.account()["lost"] == 2
    assert record.account()["windows"]["first"]["all"]["max_ms"] >= 2990


def test_the_slope_of_the_lag_is_messages_a_second() -> None:
    sampler = Sampler.__new__(Sampler)
    sampler.lags = [(n / 2, 100.0 + 30.0 * n) for n in range(20)]
    assert sampler.lag_slope(0, 10) == pytest.approx(60.0)


def test_a_redis_far_away_answers_late_and_completely() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def echo() -> None:
            connection, _ = server.accept()
            with connection:
                while chunk := connection.recv(65_536):
                    connection.sendall(chunk)

        threading.Thread(target=echo, daemon=True).start()
        with (
            SlowProxy(server.getsockname()[1], 50.0) as proxy,
            socket.create_connection(("127.0.0.1", proxy.port)) as client,
        ):
            sent = bytes(range(256)) * 4_000
            started = time.monotonic()
            threading.Thread(target=client.sendall, args=(sent,), daemon=True).start()
            heard = b""
            while len(heard) < len(sent):
                heard += client.recv(65_536)
            assert heard == sent
            assert time.monotonic() - started >= 0.05


# --- what is said of it -----------------------------------------------------------------------------------------------


def test_medians_and_spreads_leave_out_what_is_not_known() -> None:
    runs = [{"figures": {"a": value, "b": float("nan")}} for value in (3.0, 1.0, 2.0)]
    assert results.summary(runs) == {"a": {"median": 2.0, "least": 1.0, "most": 3.0}}


@pytest.mark.parametrize(("value", "is_met"), [(7.9, True), (8.0, True), (8.1, False)])
def test_a_mark_is_met_at_its_limit(value: float, is_met: bool) -> None:
    assert Mark("v", "f", 8.0, "").is_met(value, 8.0) is is_met
    assert Mark("v", "f", 8.0, "", more_is_better=True).is_met(-value, -8.0) is is_met


def _told(quick: bool = False) -> dict[str, Any]:
    sizes = dict.fromkeys(("events", "items", "rate", "seconds"))
    same = {"locations": 5, "channels": 4, "zipf": 1.0, "workers": 1, "settings": {}}
    return {"quick": quick, "runs": 1, "seed": 1, **sizes, **same}


def test_the_report_says_what_was_missed_and_what_was_not_measured(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run = {"figures": {"bytes_an_id": 120.0}, "series": {}}
    results.keep("ids", _told(), {"1M": [run], "10M": [run]}, folder)
    page = report.write(folder, with_plots=False).read_text()
    assert "| memory of a remembered id, of 10 M (bytes) | 120 | 100 |  | **missed** (by a factor of 1.2) |" in page
    assert "1 run (fewer than 3: no spread to speak of)" in page
    assert "| CPU a message all in | | 8 | 5 | not measured |" in page


def test_the_report_does_not_hold_a_quick_run_against_a_mark(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    results.keep("ids", _told(quick=True), {"10M": [{"figures": {"bytes_an_id": 90.0}, "series": {}}]}, folder)
    page = report.write(folder, with_plots=False).read_text()
    assert "| met, but not at the size and rate of the mark |" in page
    assert "**A quick run: it shows that the scenario works: no figure to quote.**" in page


def test_results_are_read_as_they_were_kept(tmp_path: Path) -> None:
    run = {"figures": {"x": 1234.5678, "y": float("inf")}, "series": {"lag": [[n, 2 * n] for n in range(1000)]}}
    results.keep("drain", _told(), {"usual": [run]}, tmp_path)
    read = results.read_all(tmp_path)["drain"]["variants"]["usual"]["runs"][0]
    assert read["figures"] == {"x": 1234.6, "y": None}
    assert 200 <= len(read["series"]["lag"]) <= results.SERIES_POINTS_MAX
    assert all(lag == 2 * n for n, lag in read["series"]["lag"])


def test_marks_speak_of_figures_that_their_scenario_shows() -> None:
    for scenario in SCENARIOS.values():
        for mark in scenario.marks:
            assert mark.figure in scenario.figures, f"{scenario.name}: {mark.figure}"
    assert set(SHORT) <= set(SCENARIOS)


# --- what they use of the engine --------------------------------------------------------------------------------------


def _uses(source: str) -> Iterator[tuple[str, str]]:
    """Give each (module of the engine, name in it) that a source uses, whether or not a test ever runs that line."""
    modules: dict[str, str] = {}
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in ("flows", "operators", "schemas"):
            for name in node.names:
                yield str(node.module), name.name
                modules[name.asname or name.name] = f"{node.module}.{name.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield modules[node.value.id], node.attr


def _is_there(module: str, name: str) -> bool:
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError:
        return True  # a class or function: what it has, is not looked at
    is_package = hasattr(found, "__path__")
    return hasattr(found, name) or (is_package and importlib.util.find_spec(f"{module}.{name}") is not None)


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").rglob("*.py")), ids=lambda path: path.stem)
def test_what_a_benchmark_uses_of_the_engine_is_there(path: Path) -> None:
    assert not [use for use in _uses(path.read_text("utf-8")) if not _is_there(*use)]


def test_a_use_of_what_has_moved_away_is_found() -> None:
    moved = "from flows.traffic import day as traffic\n\ndef send() -> None:\n    traffic.reference(None)\n"
    assert ("flows.traffic.day", "reference") in list(_uses(moved))
    assert not _is_there("flows.traffic.day", "reference")
