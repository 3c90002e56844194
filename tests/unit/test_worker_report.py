"""Supervisor and worker, asked and answered over one pair of sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from flows.monitoring.report import ReportClient, answer_on

PATIENCE_S = 10.0


@pytest.fixture
def pair() -> Iterator[tuple[ReportClient, socket.socket]]:
    ours, theirs = socket.socketpair()
    client = ReportClient(ours)
    yield client, theirs
    client.close()


def test_what_is_told_arrives_also_when_it_is_large(pair: tuple[ReportClient, socket.socket]) -> None:
    client, theirs = pair
    large = {"samples": ["x" * 1000] * 3000}
    answer_on(theirs, lambda: large)
    assert [client.ask(PATIENCE_S) for _ in range(3)] == [large] * 3


def test_an_answer_that_came_too_late_is_not_taken_for_the_next_one(
    pair: tuple[ReportClient, socket.socket],
) -> None:
    client, theirs = pair
    may_answer = threading.Event()
    answers: Iterator[dict[str, Any]] = iter([{"number": 1}, {"number": 2}])

    def tell() -> dict[str, Any]:
        may_answer.wait(PATIENCE_S)
        return next(answers)

    answer_on(theirs, tell)
    assert client.ask(0.05) is None
    may_answer.set()
    assert client.ask(PATIENCE_S) == {"number": 2}


def test_many_may_ask_at_once(pair: tuple[ReportClient, socket.socket]) -> None:
    client, theirs = pair
    answer_on(theirs, lambda: {"fine": True})
    said: list[Any] = []
    threads = [threading.Thread(target=lambda: said.append(client.ask(PATIENCE_S))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [{"fine": True}] * 8


def test_who_is_gone_does_not_answer(pair: tuple[ReportClient, socket.socket]) -> None:
    client, theirs = pair
    theirs.close()
    assert client.ask(PATIENCE_S) is None
