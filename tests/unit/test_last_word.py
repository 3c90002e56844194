"""What a worker process says when a part of it dies, and with which code it ends."""

from __future__ import annotations

import threading

import pytest

from flows.kafka.clients import KafkaProblem
from flows.processes import worker
from flows.processes.worker import FENCED, INCURABLE, LastWord
from flows.readmodel.port import Fenced
from flows.runtime.run import Stop
from flows.storage.segments import SegmentError
from schemas.settings import Settings


def wrapped(cause: Exception) -> Exception:
    """Give an error as Bytewax hands it on."""
    error = RuntimeError("a step raised")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Fenced("FENCED 2"), FENCED),
        (wrapped(Fenced("FENCED 2")), FENCED),
        (KafkaProblem("no topic"), INCURABLE),
        (wrapped(SegmentError("torn")), INCURABLE),
        (ValueError("anything"), 1),
    ],
)
def test_the_code_says_whether_a_restart_would_help(error: Exception, code: int) -> None:
    assert LastWord(Settings(), 0).say(error) == code


def test_only_who_is_first_comes_back() -> None:
    last_word = LastWord(Settings(), 0)
    codes: list[int] = []
    for _ in range(2):
        threading.Thread(target=lambda: codes.append(last_word.say(Fenced("FENCED 2"))), daemon=True).start()
    second = threading.Thread(target=lambda: codes.append(last_word.say(Fenced("FENCED 2"))), daemon=True)
    second.start()
    second.join(0.3)
    assert codes == [FENCED] and second.is_alive()


def test_what_fails_ends_the_process_at_once_on_its_own_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(worker, "leave", left.append)
    stop = Stop()
    stop.on_failure = LastWord(Settings(), 0).end
    error = Fenced("FENCED 2")
    stop.fail(error)
    assert (left, stop.failure) == ([FENCED], error)
