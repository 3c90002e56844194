"""How the engine is, on one screen: what is known is said, what is not is left out, and where one looked is named."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from flows.cli import status_view
from flows.cli.status_view import picture, show, span
from flows.inspection.status import Facts, Look, facts, parsed
from flows.settings import load_settings
from schemas.settings import Settings

NOON = 1_800_000_000.0
SCRAPE = """\
# TYPE atp_build_info gauge
atp_build_info{version="1.2.3",bytewax_version="0.21.1",python_version="3.12"} 1.0
# TYPE atp_run_token gauge
atp_run_token 17.0
# TYPE process_start_time_seconds gauge
process_start_time_seconds{worker="0"} 1799999900.0
process_start_time_seconds{worker="supervisor"} 1799990000.0
# TYPE atp_worker_up gauge
atp_worker_up{worker="0"} 1.0
atp_worker_up{worker="1"} 0.0
# TYPE atp_worker_restarts counter
atp_worker_restarts_total 3.0
# TYPE atp_input_lag_seconds gauge
atp_input_lag_seconds{topic="inventory.orders",partition="0"} 0.0
atp_input_lag_seconds{topic="inventory.orders",partition="1"} 41.25
# TYPE atp_input_lag_messages gauge
atp_input_lag_messages{topic="inventory.orders",partition="0"} 0.0
atp_input_lag_messages{topic="inventory.orders",partition="1"} 12345.0
# TYPE atp_lane_waiting_updates gauge
atp_lane_waiting_updates{worker="0",lane="critical"} 0.0
atp_lane_waiting_updates{worker="0",lane="bulk"} 300.0
atp_lane_waiting_updates{worker="1",lane="bulk"} 40.0
# TYPE atp_lane_oldest_waiting_seconds gauge
atp_lane_oldest_waiting_seconds{worker="0",lane="bulk"} 0.5
atp_lane_oldest_waiting_seconds{worker="1",lane="bulk"} 0.9
# TYPE atp_exceptions_open gauge
atp_exceptions_open{worker="0",code="negative_on_hand"} 1.0
atp_exceptions_open{worker="1",code="negative_on_hand"} 2.0
atp_exceptions_open{worker="0",code="oversold"} 0.0
# TYPE atp_units counter
atp_units_total{worker="0",source="wms",type="stock_received",outcome="applied"} %d
# TYPE atp_updates counter
atp_updates_total{worker="0",channel="web",lane="high"} 50.0
# TYPE atp_dead_letters counter
atp_dead_letters_total{worker="0",code="late"} 4.0
# TYPE atp_epoch_last_timestamp_seconds gauge
atp_epoch_last_timestamp_seconds{worker="0"} 1799999999.5
atp_epoch_last_timestamp_seconds{worker="1"} 1799999995.0
# TYPE atp_items gauge
atp_items{worker="0"} 1000.0
atp_items{worker="1"} 1200.0
# TYPE atp_state_bytes gauge
atp_state_bytes 12000000.0
"""
READY = {"ready": True, "reasons": [], "checks": {}}
ALIVE = {"at": str(int(NOON * 1000) - 400), "behind_ms": "120", "ready": "1", "version": "1.2.3", "run": "17"}


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    config = tmp_path / "atp.toml"
    config.touch()
    return load_settings(config, {"redis.prefix": "shop:", "state.dir": str(tmp_path / "state")})


def seen(units: int = 1000, at: float = NOON, **changed: Any) -> Look:
    look = Look(at, READY, "", parsed(SCRAPE % units), ALIVE, "")
    return look._replace(**changed)


SILENT: dict[str, Any] = {"ready": None, "unheard": "nothing answers at 127.0.0.1:9464", "samples": {}}


def test_what_a_running_engine_says_is_summed_up_over_its_workers(settings: Settings) -> None:
    said = facts(settings, seen(3000), seen(1000, NOON - 2))
    assert said["runs"] and said["ready"] and not said["notes"]
    assert (said["version"], said["run"], said["since"]) == ("1.2.3", 17, "2027-01-15T05:13:20Z")
    assert said["workers"] == {"up": 1, "of": 2, "restarts": 3}
    assert said["lag"] == {"messages": 12345, "seconds": 41.2, "slowest": "inventory.orders/1"}
    assert said["lanes"]["bulk"] == {"waiting": 340, "oldest_s": 0.9}
    assert said["lanes"]["critical"] == {"waiting": 0, "oldest_s": 0.0}
    assert said["exceptions"] == {"negative_on_hand": 3}
    assert said["dead_letters"] == 4
    assert said["last_epoch"]["age_s"] == 5.0, "the slowest worker's"
    assert said["rates"] == {"events_per_s": 1000.0, "updates_per_s": 0.0, "dead_letters_per_s": 0.0}
    assert said["behind_ms"] == 120
    assert json.loads(json.dumps(said)) == said


def test_reasons_are_said_where_it_is_not_ready(settings: Settings) -> None:
    reasons = ["writing: redis has not taken what worker 1 writes for 6 s"]
    said = facts(settings, seen(ready={"ready": False, "reasons": reasons}))
    assert (said["runs"], said["ready"], said["reasons"]) == (True, False, reasons)
    assert reasons[0] in shown(said, 200)


def test_where_only_redis_tells_that_is_said_and_what_is_not_known_is_left_out(settings: Settings) -> None:
    said = facts(settings, seen(**SILENT))
    assert (said["runs"], said["ready"], said["run"], said["behind_ms"]) == (True, True, 17, 120)
    assert "another machine" in " ".join(said["notes"])
    assert not {"lag", "lanes", "exceptions", "last_epoch", "rates", "workers"} & said.keys()


def test_where_nothing_answers_and_redis_has_nothing_nothing_runs(settings: Settings) -> None:
    said = facts(settings, seen(alive={}, **SILENT))
    assert said["runs"] is False
    assert said["notes"] == [
        "nothing answers at 127.0.0.1:9464",
        "there is no shop:engine:alive in Redis at redis://localhost:6379/0",
    ]


def test_a_word_that_is_some_seconds_old_is_no_engine_that_runs(settings: Settings) -> None:
    old = {**ALIVE, "at": str(int(NOON * 1000) - 6000)}
    said = facts(settings, seen(alive=old, **SILENT))
    assert said["runs"] is False
    assert "6 s ago" in said["notes"][-1]


def test_a_redis_that_is_away_does_not_hide_what_the_endpoint_says(settings: Settings) -> None:
    said = facts(settings, seen(alive=None, unread="Redis at redis://h does not answer (refused)"))
    assert said["runs"] and said["run"] == 17
    assert said["notes"] == ["Redis at redis://h does not answer (refused)"]
    assert "behind_ms" not in said


def test_two_engines_are_told_apart(settings: Settings) -> None:
    said = facts(settings, seen(alive={**ALIVE, "run": "18"}))
    assert "run 17 answers at the endpoint" in said["notes"][0]


def test_what_is_no_scrape_is_nothing() -> None:
    assert parsed("<html>500 { }</html>") == {}


def shown(said: Facts, columns: int) -> str:
    console = Console(width=columns, highlight=False, record=True, file=io.StringIO())
    console.print(picture(said))
    return console.export_text()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_nothing_is_cut_off_on_any_screen(settings: Settings, columns: int) -> None:
    reasons = ["caught_up: inventory.orders/1 is 12345 messages and 41 s behind (at most 30 s)"]
    look = seen(3000, ready={"ready": False, "reasons": reasons})
    text = shown(facts(settings, look, seen(1000, NOON - 2)), columns)
    assert max(map(len, text.splitlines())) <= columns
    words = "".join(text.split())
    for expected in (
        "NOT READY",
        reasons[0],
        "1.2.3, run 17",
        "1 of 2 answer, 3 restarts",
        "12,345 messages unread, inventory.orders/1 the slowest (41.2 s)",
        "1,000 events/s, 0 updates/s, 0 dead letters/s",
        "critical 0, high 0, normal 0, bulk 340 (0.9 s)",
        "3 open: negative_on_hand 3",
        "5.0 s ago",
        "2,200",
        "12.0 MB",
        "prefix shop:",
    ):
        assert "".join(expected.split()) in words, expected
    assert "…" not in text


def test_a_screen_is_enough(settings: Settings) -> None:
    assert len(shown(facts(settings, seen(3000), seen(1000, NOON - 2)), 80).splitlines()) <= 24


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0.4 s"), (59, "59 s"), (60, "1 min"), (3 * 3600 + 240, "3 h 4 min"), (200_000, "2 d 7 h")],
)
def test_a_length_of_time_is_said_in_its_largest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_script_gets_one_object_a_line_and_1_where_nothing_runs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(status_view, "RATE_S", 0.0)
    looks = iter([seen(1000), seen(2000, NOON + 1), seen(alive={}, **SILENT)])
    monkeypatch.setattr(status_view, "look", lambda _: next(looks))
    assert show(settings, watch=False, as_json=True) == 0
    assert show(settings, watch=False, as_json=True) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["rates"]["events_per_s"], second["runs"]) == (1000.0, False)


def test_watching_goes_on_until_it_is_interrupted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(status_view, "WATCH_S", 0.0)
    looks = iter([seen(1000), seen(2000, NOON + 1), seen(2000, NOON + 2)])

    def look(_: Settings) -> Look:
        found = next(looks, None)
        if found is None:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(status_view, "look", look)
    assert show(settings, watch=True, as_json=True) == 0
    rates = [json.loads(line)["rates"]["events_per_s"] for line in capsys.readouterr().out.splitlines()]
    assert rates == [1000.0, 0.0]
