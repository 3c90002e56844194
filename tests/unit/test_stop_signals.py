"""The supervisor's signals: noticed whatever it does at that moment, and given back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flows.runtime.stop_signals import StopSignals

ROOT = Path(__file__).resolve().parents[2]
#: Does nothing but wait: the signal finds it inside of `wait`. With an Event, two of three such processes stayed.
WAITING = """
from flows.runtime.stop_signals import StopSignals
signals = StopSignals()
print("waits", flush=True)
while not signals.is_set():
    signals.wait(0)
"""


def test_no_moment_is_the_wrong_one_for_a_signal() -> None:
    for _ in range(20):
        process = subprocess.Popen([sys.executable, "-c", WAITING], cwd=ROOT, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_and_stays_noticed(number: signal.Signals) -> None:
    signals = StopSignals()
    try:
        assert not signals.is_set()
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        began = time.monotonic()
        signals.wait(30)
        assert time.monotonic() - began < 10
        assert signals.is_set()
        signals.wait(30)
        assert time.monotonic() - began < 10
    finally:
        signals.restore()


def test_more_signals_than_a_pipe_holds_are_as_good_as_one() -> None:
    signals = StopSignals()
    try:
        for _ in range(70_000):
            signals._note()
        assert signals.is_set()
    finally:
        signals.restore()


def test_without_a_signal_the_wait_ends_by_itself_and_the_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    signals = StopSignals()
    began = time.monotonic()
    signals.wait(0.05)
    assert time.monotonic() - began >= 0.05
    assert not signals.is_set()
    assert signal.getsignal(signal.SIGTERM) == signals._note
    signals.restore()
    assert signal.getsignal(signal.SIGTERM) == before
