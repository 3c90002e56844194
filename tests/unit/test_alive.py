"""The word on how fresh the numbers are: written whatever stands still, ready only while that is known."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from flows.monitoring.monitor import Freshness
from flows.processes import alive as alive_module
from flows.processes.alive import Alive
from flows.readmodel.item_walk import WHOLE, ItemWalk
from flows.readmodel.port import Behind, Fenced, Outage
from flows.settings import load_settings
from tests.running import until


class Fake:
    """A monitor and a store in one; what the store was told is in `told`."""

    def __init__(self) -> None:
        self.has_workers = self.is_ready = True
        self.is_answering = threading.Event()
        self.is_answering.set()
        self.told: list[tuple[int, int, bool]] = []
        #: the newest token that the fence holds
        self.held = 0
        self.failure: Exception | None = None
        self.token = 0
        self.asked = 0

    def freshness(self) -> Freshness:
        self.asked += 1
        is_ready = self.is_ready if self.is_answering.is_set() else True
        self.is_answering.wait(30)
        return Freshness(is_ready, 7)

    def beat(self, at_ms: int, behind_ms: int, is_ready: bool, version: str, lapses_ms: int) -> str:
        if self.failure is not None:
            raise self.failure
        assert at_ms > 1_700_000_000_000
        assert lapses_ms == 10_000
        assert version
        self.told.append((self.token, behind_ms, is_ready))
        return WHOLE

    def held_token(self) -> int:
        return self.held

    def close(self) -> None:
        """Nothing to let go of."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    for name, seconds in (("EVERY_S", 0.01), ("ASK_EVERY_S", 0.02), ("KNOWN_FOR_S", 0.3)):
        monkeypatch.setattr(alive_module, name, seconds)
    return Fake()


@pytest.fixture
def alive(fake: Fake) -> Iterator[Alive]:
    settings: Any = load_settings()
    one = Alive(settings, fake, lambda *_: fake)  # type: ignore[arg-type]
    yield one
    fake.is_answering.set()
    one.close()


def test_nothing_is_said_before_a_run_has_begun(alive: Alive, fake: Fake) -> None:
    alive.close()
    assert fake.told == []


def test_it_says_ready_under_the_runs_token_and_at_the_end_not_ready(alive: Alive, fake: Fake) -> None:
    alive.begins(5)
    until(lambda: (5, 7, True) in fake.told, 5, lambda: str(fake.told))
    alive.begins(6)
    until(lambda: (6, 7, True) in fake.told, 5, lambda: str(fake.told))
    alive.close()
    assert fake.told[-1] == (6, 7, False)


def test_it_goes_on_while_nobody_answers_and_is_not_ready_after_a_while(alive: Alive, fake: Fake) -> None:
    alive.begins(5)
    until(lambda: (5, 7, True) in fake.told, 5, lambda: str(fake.told))
    fake.is_answering.clear()
    until(lambda: fake.told[-1] == (5, 7, False), 5, lambda: str(fake.told))
    before = len(fake.told)
    until(lambda: len(fake.told) > before + 3, 5, "more words")


def test_without_workers_it_is_not_ready_at_once(alive: Alive, fake: Fake) -> None:
    alive.begins(5)
    until(lambda: (5, 7, True) in fake.told, 5, lambda: str(fake.told))
    fake.has_workers = False
    before = len(fake.told)
    until(lambda: len(fake.told) > before + 1, 5, "more words")
    assert fake.told[-1] == (5, 7, False)


@pytest.mark.parametrize("failure", [Outage("Redis does not answer"), Behind("BEHIND functions")])
def test_a_redis_that_is_away_is_tried_again(alive: Alive, fake: Fake, failure: Exception) -> None:
    fake.failure = failure
    alive.begins(5)
    until(lambda: fake.asked > 3, 5, "it goes on")
    fake.failure = None
    until(lambda: (5, 7, True) in fake.told, 5, lambda: str(fake.told))


def test_a_run_that_was_followed_says_nothing_more_and_the_next_of_its_own_does(alive: Alive, fake: Fake) -> None:
    fake.failure = Fenced("FENCED 9")
    alive.begins(5)
    until(lambda: alive._fenced == 5, 5, "it was told")
    fake.failure = None
    alive.begins(10)
    until(lambda: (10, 7, True) in fake.told, 5, lambda: str(fake.told))
    assert not [word for word in fake.told if word[0] == 5]


def test_of_a_run_that_begins_nothing_is_known_whatever_the_one_before_was(alive: Alive, fake: Fake) -> None:
    alive.begins(5)
    until(lambda: (5, 7, True) in fake.told, 5, lambda: str(fake.told))
    fake.is_answering.clear()
    asked = fake.asked
    until(lambda: fake.asked > asked, 5, "it is asked of the run before")
    alive.begins(6)
    until(lambda: fake.told[-1][0] == 6, 5, lambda: str(fake.told))
    assert (6, 7, True) not in fake.told, "what was known of the run before was said of this one"
    fake.is_ready = False
    fake.is_answering.set()  # and the answer that comes now is of the run before, too
    until(lambda: fake.asked > asked + 2, 5, "it is asked of this run")
    assert (6, 7, True) not in fake.told
    fake.is_ready = True
    until(lambda: (6, 7, True) in fake.told, 5, lambda: str(fake.told))


@pytest.mark.parametrize(("held", "is_followed"), [(9, True), (5, False), (0, False)])
def test_it_says_that_a_run_is_followed_where_the_fence_says_so(
    alive: Alive, fake: Fake, held: int, is_followed: bool
) -> None:
    fake.failure, fake.held = Fenced("FENCED 9"), held
    alive.begins(5)
    until(lambda: alive._fenced == 5, 5, "it was told")
    assert alive.is_followed(5) == is_followed
    assert not alive.is_followed(6)


class Keys:
    """A store with a walk of three slices."""

    def __init__(self) -> None:
        self.token = 5
        self.word = ""
        self.listed: list[bytes] = []
        self.failure: Exception | None = None

    def promises(self, cursor: bytes, count: int) -> tuple[bytes, list[bytes]]:
        return {b"0": (b"17", [b"a"]), b"17": (b"4", []), b"4": (b"0", [b"b"])}[cursor]

    def list_items(self, keys: list[bytes], before: str, after: str) -> None:
        if self.failure is not None:
            raise self.failure
        if before != self.word:
            raise Behind(f"BEHIND items {self.word}")
        self.word = after
        self.listed += keys


def test_a_walk_goes_through_all_keys_once_and_then_rests() -> None:
    keys = Keys()
    walk = ItemWalk(keys)  # type: ignore[arg-type]
    words = [""]
    while walk.goes_on(words[-1]):
        words.append(walk.slice(words[-1]))
    assert (words[-1], len(set(words))) == (WHOLE, 4)
    assert keys.listed == [b"a", b"b"]


def test_a_walk_that_another_run_left_half_way_begins_again() -> None:
    keys = Keys()
    keys.word = "4.2"
    walk = ItemWalk(keys)  # type: ignore[arg-type]
    while walk.goes_on(keys.word):
        walk.slice(keys.word)
    assert keys.listed == [b"a", b"b"]


def test_a_walk_whose_line_broke_begins_again_and_one_that_is_refused_rests() -> None:
    keys, clock = Keys(), [0.0]
    walk = ItemWalk(keys, lambda: clock[0])  # type: ignore[arg-type]
    walk.slice("")
    keys.failure = Outage("Redis does not answer: gone")
    with pytest.raises(Outage):
        walk.slice(keys.word)
    keys.failure = Outage("Redis refused: NOPERM")
    assert walk.slice(keys.word) == keys.word
    assert not walk.goes_on(keys.word)
    clock[0] = 31.0
    keys.failure = None
    while walk.goes_on(keys.word):
        walk.slice(keys.word)
    assert keys.listed == [b"a", b"a", b"b"]
