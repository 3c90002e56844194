"""What an audit reads of Kafka: no faster than it may, and of what is none of the engine's nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flows.audit.fields import POSITION, PROMISES
from flows.audit.gathering import Pace, _note
from flows.progress_line import ProgressLine


class Waits:
    """A clock that stands still, and what was waited by it."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def wait(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.mark.parametrize(("rate", "waited"), [(0, []), (1000, [0.5, 2.0]), (10, [50.0, 200.0])])
def test_no_more_messages_a_second_are_read_than_asked_for(
    rate: int, waited: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.audit.gathering.time.monotonic", lambda: 7.0)
    pace, waits = Pace(rate, ProgressLine("reading")), Waits()
    monkeypatch.setattr(pace, "_never", waits)
    pace.tell(500)
    pace.tell(1500)
    assert waits.seconds == waited


@pytest.mark.parametrize(
    "strange",
    [b"", b"{", b"[]", b"null", b"5", b"\xff", b"[" * 100_000, b'{"item": "A"}', b'{"item": "A", "version": 9}',
     b'{"item": "B", "version": 9, "channel": "web"}', b'{"item": "A", "version": "x", "channel": "web", "atp": 1}',
     b'{"item": [], "version": 9}', b'{"item": "A", "version": 9, "channel": "web"}'],
)  # fmt: skip
def test_what_no_engine_wrote_is_no_word_of_it(strange: bytes) -> None:
    found: dict[str, dict[str, dict[str, Any]]] = {"A": {PROMISES: {}, POSITION: {}}}
    newest: dict[tuple[str, str], int] = {}
    word = {"item": "A", "version": 3, "channel": "web", "atp": 5, "cause": "stock_received"}
    for value in (json.dumps(word).encode(), strange, json.dumps(word | {"version": 4, "atp": 6}).encode()):
        _note(found, newest, value)
    assert found == {"A": {PROMISES: {"web": 6}, POSITION: {}}}
