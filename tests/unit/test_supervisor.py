"""The supervisor takes no token from a run that took one from it, and says what to do about a death."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.processes import preparation, supervisor
from flows.processes.noise import after_death
from flows.processes.party import StartError
from flows.processes.supervisor import MISUSED, _Supervisor
from flows.processes.worker import FENCED
from flows.readmodel.port import Fenced, Outage
from flows.settings import load_settings


class Fence:
    """A Redis that holds a token; `lost`: it takes one and its answer is lost."""

    def __init__(self) -> None:
        self.held, self.claims, self.turned_away = 0, 0, 0
        self.failure: Exception | None = None
        self.lost = False

    def __call__(self, *_: object) -> Fence:
        return self

    def held_token(self) -> int:
        if self.failure is not None:
            raise self.failure
        return self.held

    def take(self, *_: object) -> int:
        self.claims += 1
        self.held += 1
        if self.lost:
            raise Outage("Redis does not answer")
        return self.held

    def write(self, keys: list[str], arguments: list[str]) -> None:
        self.turned_away += 1
        raise Fenced(f"FENCED {self.held}")

    def close(self) -> None:
        """Nothing to let go of."""


class Signals:
    """Nobody asked for the end, until `name` says what did."""

    name = ""

    def is_set(self) -> bool:
        return bool(self.name)

    def wait(self, seconds: float) -> None:
        """Not here."""


class Watched:
    """Workers that end one look after they were told to; a diary, a monitor and who says how fresh all is."""

    loses = confirms = None

    def __init__(self) -> None:
        self.said: list[str] = []
        self.followed = -1
        #: looks after which they are gone; None: nobody told them to end
        self.looks: int | None = None
        self.at_signal: Callable[[], None] = lambda: None

    def is_followed(self, token: int) -> bool:
        return token == self.followed

    def stopping(self, signal: str) -> None:
        self.said.append(signal)

    def poll(self) -> int | None:
        if self.looks is None:
            return None
        self.looks -= 1
        return 0 if self.looks < 0 else None

    def send_signal(self, number: int) -> None:
        self.at_signal()
        self.looks = 1


@pytest.fixture
def fence(monkeypatch: pytest.MonkeyPatch) -> Fence:
    fence = Fence()
    monkeypatch.setattr(supervisor, "Store", fence)
    monkeypatch.setattr(preparation, "Store", fence)
    monkeypatch.setattr(preparation, "take_token", fence.take)
    return fence


@pytest.fixture
def watched() -> Any:
    return Watched()


@pytest.fixture
def one(tmp_path: Path, watched: Any) -> _Supervisor:
    config = tmp_path / "atp.toml"
    config.touch()
    settings = load_settings(config, {"state.dir": str(tmp_path), "workers": 2})
    signals: Any = Signals()
    return _Supervisor(settings, watched, signals, watched, watched, False, True, ["true"], watched)


def test_the_first_start_takes_over_from_whoever_was_there(fence: Fence, one: _Supervisor) -> None:
    fence.held = 7
    assert one._preparation._claim() == 8


def test_who_starts_its_workers_again_goes_on_behind_its_own_token(fence: Fence, one: _Supervisor) -> None:
    assert [one._preparation._claim(), one._preparation._claim()] == [1, 2]
    fence.held = 0  # Redis lost it
    assert one._preparation._claim() == 1


def test_who_was_taken_over_from_does_not_take_it_back(fence: Fence, one: _Supervisor) -> None:
    one._preparation._claim()
    fence.held = 5
    with pytest.raises(Fenced):
        one._preparation._claim()
    with pytest.raises(Fenced):
        one._preparation.errands()  # before it asks Kafka
    assert (fence.claims, fence.held) == (1, 5)


def test_a_redis_that_does_not_say_is_waited_for(fence: Fence, one: _Supervisor) -> None:
    one._preparation._claim()
    fence.failure = Outage("Redis does not answer")
    with pytest.raises(StartError):
        one._preparation._claim()
    assert fence.claims == 1


def test_a_token_that_may_be_its_own_is_nobody_elses(fence: Fence, one: _Supervisor) -> None:
    one._preparation._claim()
    fence.lost = True
    with pytest.raises(StartError):
        one._preparation._claim()
    fence.lost = False
    assert one._preparation._claim() == 3


def test_the_run_ends_with_the_code_of_a_wrong_configuration(
    fence: Fence, one: _Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    one._preparation._claim()
    fence.held = 5
    monkeypatch.setattr(one, "_recruit", lambda count: None)
    assert one._run() == MISUSED == 2
    assert fence.turned_away == 1, "the newer run is told of it"


def test_a_death_by_a_fault_of_the_machine_code_says_where_to_look(one: _Supervisor) -> None:
    assert "worker-1.stderr" in after_death(one._settings, [0, -signal.SIGSEGV, 1])
    for codes in ([0, 1, 1], [-signal.SIGKILL, 0, 1]):
        assert "stderr" not in after_death(one._settings, codes)


def test_workers_that_are_started_again_are_no_end_that_was_asked_for(one: _Supervisor, watched: Any) -> None:
    one._is_anew = True
    assert one._watch([watched]) == [0]
    assert watched.said == []


def test_an_end_that_is_asked_for_while_workers_are_started_again_is_said(one: _Supervisor, watched: Any) -> None:
    one._is_anew = True
    watched.at_signal = lambda: setattr(one._asked, "name", "SIGTERM")
    assert one._watch([watched]) == [0]
    assert set(watched.said) == {"SIGTERM"}


def test_workers_of_a_run_that_was_followed_are_not_waited_for(one: _Supervisor, watched: Any) -> None:
    one._preparation.token = watched.followed = 7
    assert one._watch([watched]) == [FENCED]
