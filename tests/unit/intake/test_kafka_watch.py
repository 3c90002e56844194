"""Whether Kafka is there is asked from time to time, told to the metrics, and said once."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from flows.adapters.intake import raw
from flows.adapters.intake.raw import KafkaWatch
from flows.kafka.clients import KafkaProblem


def test_it_is_asked_now_and_then_and_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(raw.time, "monotonic", lambda: clock[0])
    told: list[bool] = []
    asked: list[float] = []
    is_there = [False]

    def probe() -> None:
        asked.append(clock[0])
        if not is_there[0]:
            raise KafkaProblem("Kafka is away")

    watch = KafkaWatch(probe, told.append)
    with capture_logs() as lines:
        for _ in range(40):
            watch.look()
            clock[0] += 1.0
        is_there[0] = True
        for _ in range(20):
            watch.look()
            clock[0] += 1.0
    assert asked == [100.0 + 5 * turn for turn in range(1, 12)]
    assert told == [False] * 7 + [True] * 4
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("error", "Kafka is away; trying on"),
        ("info", "Kafka answers again"),
    ]
