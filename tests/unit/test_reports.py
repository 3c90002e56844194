"""Decides what leaves behind the numbers: in order, some at a time, kept where Kafka's client has no room."""

from __future__ import annotations

from typing import Any

import pytest

from flows.monitoring.metrics import Metrics
from flows.publishing.notices import Notices
from flows.publishing.reports import REPORTS_AT_ONCE, ROOM_CHECK_S, Reports
from flows.runtime.clock import Clock
from schemas.messages import ExceptionNote
from schemas.units import Origin, Refusal


class Client:
    """Kafka's client: takes as many messages as there is room for."""

    def __init__(self) -> None:
        self.room = 10_000
        self.sent: list[str] = []

    def send_letter(self, letter: Any) -> bool:
        return self._send(dict(letter.headers)["code"].decode())

    def send_exception(self, note: ExceptionNote) -> bool:
        return self._send(note.code)

    def _send(self, what: str) -> bool:
        if len(self.sent) >= self.room:
            return False
        self.sent.append(what)
        return True


class Desk:
    def __init__(self) -> None:
        self.client, self.metrics = Client(), Metrics()
        self.freed: list[int] = []
        notices = Notices(self.metrics, False)
        self.reports = Reports(self.client, notices, self.metrics, self.freed.append, Clock())  # type: ignore[arg-type]

    def refuses(self, *codes: str, size: int = 7) -> None:
        refusals = [
            Refusal(Origin("inventory.orders", 0, offset, 1, None, b"{}"), code, "why")
            for offset, code in enumerate(codes)
        ]
        self.reports.refuse(size, refusals)

    def notes(self, code: str) -> None:
        self.reports.note([ExceptionNote(code, "SHOVEL", "EAST", "", {}, 1, 1, True)], {})


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_refusals_and_exceptions_leave_in_the_order_in_which_they_came(desk: Desk) -> None:
    desk.refuses("unknown_item", "bad_value")
    desk.notes("oversold")
    desk.refuses("late")
    assert desk.reports.send_some()
    assert desk.client.sent == ["unknown_item", "bad_value", "oversold", "late"]
    assert desk.reports.patience_s() is None


def test_the_bytes_of_a_batch_are_free_when_all_of_it_is_written(desk: Desk) -> None:
    desk.refuses("unknown_item", "bad_value", size=50)
    desk.client.room = 1
    assert not desk.reports.send_some()
    assert desk.freed == []
    desk.client.room = 2
    assert desk.reports.send_some()
    assert desk.freed == [50]


def test_what_has_no_room_is_sent_again_and_kafka_is_waited_for(desk: Desk) -> None:
    desk.client.room = 0
    desk.notes("oversold")
    assert desk.reports.patience_s() == 0
    assert not desk.reports.send_some()
    assert desk.reports.patience_s() == ROOM_CHECK_S
    assert not desk.reports.has_room and desk.metrics.kafka_waits_since is not None
    desk.client.room = 1
    assert desk.reports.send_some()
    assert desk.reports.has_room and desk.metrics.kafka_waits_since is None
    assert desk.client.sent == ["oversold"]


def test_no_more_than_some_leave_between_two_slices(desk: Desk) -> None:
    for _ in range(REPORTS_AT_ONCE + 1):
        desk.notes("oversold")
    assert not desk.reports.send_some()
    assert len(desk.client.sent) == REPORTS_AT_ONCE
    assert desk.reports.send_some()
