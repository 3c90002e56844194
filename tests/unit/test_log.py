"""What is logged: seldom, by kind, with what to do, and never what a message held."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from flows.log import BURST, SPAN_S, Limiter, configure, get_log
from flows.monitoring.metrics import Metrics
from flows.publishing import notices
from flows.publishing.notices import Notices
from flows.settings import load_settings
from schemas.messages import ExceptionNote
from schemas.units import Origin, Refusal


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[io.StringIO]:
    """What goes to standard error; the logging of other tests is put back."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    (tmp_path / "atp.toml").touch()
    configure(load_settings(tmp_path / "atp.toml"), worker=3)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_line_is_json_where_no_terminal_is_and_says_who_and_what_next(written: io.StringIO) -> None:
    get_log("flows.test").warning("Redis is away", kind="redis_away", next="start it")
    get_log("flows.test").debug("not at this level", kind="quiet")
    [line] = lines(written)
    assert line["timestamp"].endswith("Z")
    del line["timestamp"]
    assert line == {
        "event": "Redis is away",
        "kind": "redis_away",
        "next": "start it",
        "level": "warning",
        "logger": "flows.test",
        "worker": 3,
    }


def test_what_other_libraries_log_looks_the_same(written: io.StringIO) -> None:
    logging.getLogger("elsewhere").warning("count %d", 7)
    [line] = lines(written)
    assert (line["event"], line["level"], line["worker"]) == ("count 7", "warning", 3)


def test_of_one_kind_some_lines_a_minute_and_then_how_many_were_left_out() -> None:
    limiter = Limiter()
    assert [limiter.admit("a", float(moment)) for moment in range(BURST + 2)] == [0] * BURST + [None, None]
    assert limiter.admit("b", 7.0) == 0
    assert limiter.admit("a", SPAN_S + 0.5) == 2
    assert limiter.admit("a", SPAN_S + 1.5) == 0


def test_lines_left_out_are_not_written(written: io.StringIO) -> None:
    for number in range(BURST + 10):
        get_log("flows.test").warning(f"again {number}", kind="again")
    assert len(lines(written)) == BURST


def refusal(code: str = "late", payload: bytes = b'{"secret": "4711"}') -> Refusal:
    return Refusal(Origin("inventory.orders", 2, 17, 0, b"key-4711", payload), code, "got 4711", None, "wms", "x")


def test_a_refusal_is_told_without_what_the_message_held(written: io.StringIO) -> None:
    Notices(Metrics(), shows_payload=False).refused(refusal())
    [line] = lines(written)
    assert "4711" not in written.getvalue()
    assert (line["kind"], line["source"], line["partition"], line["offset"]) == ("refused.late", "wms", 2, 17)
    assert line["next"]


def test_with_it_where_that_is_asked_for(written: io.StringIO) -> None:
    Notices(Metrics(), shows_payload=True).refused(refusal(payload=b'{"secret": "4711"}' * 1000))
    [line] = lines(written)
    assert line["message"] == "got 4711" and len(line["payload"]) == notices.PAYLOAD_MAX


def test_thousands_of_refusals_are_two_lines_with_their_number(
    written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1000.0
    monkeypatch.setattr(notices.time, "monotonic", lambda: moment)
    told = Notices(Metrics(), shows_payload=False)
    for _ in range(5000):
        told.refused(refusal())
    moment += notices.EVERY_S
    told.refused(refusal())
    assert [line["count"] for line in lines(written)] == [1, 5000]


def test_a_silent_source_is_told_by_name(written: io.StringIO) -> None:
    known: dict[str, int] = {}
    told = Notices(Metrics(), shows_payload=False)
    told.noted(ExceptionNote("stale_source", "", "", "", {}, 1, 1, True, "wms"), known)
    told.noted(ExceptionNote("oversold", "SHOVEL", "DC1", "", {}, 1, 1, True), known)
    told.noted(ExceptionNote("conflict", "SHOVEL", "DC1", "e1", {}, 1, 1, True, "wms"), known)
    assert known == {"stale_source:wms": 1, "oversold": 1}
    told.noted(ExceptionNote("stale_source", "", "", "", {}, 1, 2, False, "wms"), known)
    assert known == {"stale_source:wms": 0, "oversold": 1}
    [line] = lines(written)
    assert "source wms has fallen silent" in line["event"] and line["next"]
