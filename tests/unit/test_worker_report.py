"""Supervisor and worker, asked and answered over one pair of sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from flows.monitoring.report import Correspondent, answer_on

PATIENCE_S = 10.0


@pytest.fixture
def pair() -> Iterator[tuple[Correspondent, socket.socket]]:
    ours, theirs = socket.socketpair()
    correspondent = Correspondent(ours)
    yield correspondent, theirs
    correspondent.close()


def test_what_is_told_arrives_also_when_it_is_large(pair: tuple[Correspondent, socket.socket]) -> None:
    correspondent, theirs = pair
    large = {"samples": ["x" * 1000] * 3000}
    answer_on(theirs, lambda: large)
    assert [correspondent.ask(PATIENCE_S) for _ in range(3)] == [large] * 3


def test_an_answer_that_came_too_late_is_not_taken_for_the_next_one(
    pair: tuple[Correspondent, socket.socket],
) -> None:
    correspondent, theirs = pair
    may_answer = threading.Event()
    answers: Iterator[dict[str, Any]] = iter([{"number": 1}, {"number": 2}])

    def tell() -> dict[str, Any]:
        may_answer.wait(PATIENCE_S)
        return next(answers)

    answer_on(theirs, tell)
    assert correspondent.ask(0.05) is None
    may_answer.set()
    assert correspondent.ask(PATIENCE_S) == {"number": 2}


def test_many_may_ask_at_once(pair: tuple[Correspondent, socket.socket]) -> None:
    correspondent, theirs = pair
    answer_on(theirs, lambda: {"fine": True})
    said: list[Any] = []
    threads = [threading.Thread(target=lambda: said.append(correspondent.ask(PATIENCE_S))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [{"fine": True}] * 8


def test_who_is_gone_does_not_answer(pair: tuple[Correspondent, socket.socket]) -> None:
    correspondent, theirs = pair
    theirs.close()
    assert correspondent.ask(PATIENCE_S) is None
