"""Thousands of schedules: killed, held and cut off at every step, and no number lost, counted twice or taken back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import structlog

from flows.publishing import publisher
from flows.publishing.publisher import Publisher, PublisherError
from flows.readmodel.store import library
from operators.holdback import HeldShard
from tests.simulation.explorer import Broken, Faults, explore, silence
from tests.simulation.servers import MemoryRedis

SEEDS = 120
#: Within so many schedules a broken protocol is found out.
FOUND_WITHIN = 1500

STORIES = {
    "nothing": Faults(0, 0, 0),
    "kills": Faults(hold=0),
    "kills and pauses": Faults(),
    "kills, pauses, and a Redis that is emptied or goes back": Faults(redis=0.03),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Without the log."""
    silence()
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("story", STORIES, ids=list(STORIES))
def test_nothing_is_lost_counted_twice_or_taken_back(story: str) -> None:
    happened: dict[str, int] = {}
    for seed in range(SEEDS if story != "nothing" else 10):
        for what, times in explore(seed, STORIES[story]).happened.items():
            happened[what] = happened.get(what, 0) + times
    if "kills" in story:
        moments = {what.partition(" ")[2] for what in happened if what.startswith("kill")}
        assert moments >= {
            "before redis",
            "after redis",
            "before kafka",
            "after kafka",
            "before commit",
            "after commit",
        }


@pytest.mark.parametrize("seed", [808_333, 813_578, 917_915])
def test_what_once_broke_does_not_any_more(seed: int) -> None:
    """Two froze a run with a number in Kafka's client, Redis older then; one wrote a slice again."""
    explore(seed, STORIES["kills, pauses, and a Redis that is emptied or goes back"])


# --- the explorer proves itself: a protocol with a part switched off is found out ------------------------------------


class KafkaFirst(Publisher):
    """Writes to Kafka what Redis does not say yet."""

    def _write_slices(self) -> None:
        write = self._write_all
        waiting: list[Any] = []
        self._write_all = waiting.extend  # type: ignore[method-assign]
        try:
            super()._write_slices()
        finally:
            self._write_all = write  # type: ignore[method-assign]
        self._send_due(linger=False)
        self._kafka.flush()
        self._write_all(waiting)


class NoBarrier(Publisher):
    """Lets a snapshot run ahead of what Kafka has confirmed."""

    def _settle(self) -> None:
        self._kafka.flush = lambda: None  # type: ignore[method-assign]
        super()._settle()


class NeverBehind(HeldShard):
    """Takes any resumed state for the newest."""

    def is_through(self, has_passed: Any) -> bool:
        return True


class NoMarks(Publisher):
    """Forgets which shards were being filled in when it died."""

    def _open(self, number: int, raw: bytes | None) -> None:
        reached = self._store.reached
        self._store.reached = lambda shard: (reached(shard)[0], True)  # type: ignore[method-assign]
        super()._open(number, raw)
        self._store.reached = reached  # type: ignore[method-assign]


class NeverCompared(Publisher):
    """Believes in a Redis that Kafka is ahead of."""

    def _compare(self) -> None:
        self._is_compared = True


class OpenedTwice(Publisher):
    """Is given what was kept of a shard after the shard has spoken."""

    def _open(self, number: int, raw: bytes | None) -> None:
        super()._open(number, None)
        super()._open(number, raw)


def test_a_shard_that_speaks_before_what_was_kept_of_it_is_there_ends_the_worker() -> None:
    with pytest.raises(PublisherError, match="spoke before what was kept"):
        explore(0, STORIES["nothing"], OpenedTwice)


def is_found(text: str, faults: Faults, publisher_class: type[Publisher] = Publisher, **broken: bool) -> bool:
    """Does a schedule end with a fault of which that is said?"""
    for seed in range(FOUND_WITHIN):
        try:
            explore(seed, faults, publisher_class, **broken)
        except Broken as error:
            if text in str(error):
                return True
    return False


def test_without_the_fence_an_older_run_is_seen_to_overwrite() -> None:
    assert is_found("went back", Faults(hold=0.02), is_fenced=False)


def test_without_the_hold_back_numbers_are_seen_to_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "HeldShard", NeverBehind)
    assert is_found("went back", Faults(hold=0))


@pytest.mark.parametrize(
    ("broken", "faults", "said"),
    [
        (KafkaFirst, Faults(hold=0, kill=0.03), "previous None after 0"),
        (NoBarrier, Faults(hold=0, kill=0.03), "Kafka ends with nothing"),
        (NoMarks, Faults(hold=0, redis=0.05), "Kafka ends with"),
        (NeverCompared, Faults(hold=0, kill=0.02, redis=0.1, copies=0.25), "went back"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_protocol_with_a_part_switched_off_is_found_out(broken: type[Publisher], faults: Faults, said: str) -> None:
    assert is_found(said, faults, broken)


# --- the memory's functions are the server's ------------------------------------------------------------------------


def test_the_functions_in_memory_answer_as_the_real_ones_do(servers: Any) -> None:
    real = redis.Redis.from_url(servers.redis_url)
    dice = random.Random(5)
    prefix = "simulation-compared:"
    fence = f"{prefix}engine:fence"
    keys = [f"{prefix}{name}" for name in ("atp:a", "atp:b", "position:a")]
    items, alive = f"{prefix}engine:items", f"{prefix}engine:alive"
    memory = MemoryRedis()
    memory.has_library = True
    real.delete(fence, items, alive, *keys)
    real.function_load(library(), replace=True)

    def answer(execute: Any, command: list[Any]) -> Any:
        try:
            return execute(command)
        except redis.ResponseError as error:
            return str(error).split(" script:")[0].removeprefix("ERR ").strip()

    answers = set()
    for _ in range(3000):
        draw = dice.random()
        token, writer = dice.randrange(1, 6), f"flush:{dice.randrange(2)}"
        if draw < 0.02:
            command: list[Any] = ["FCALL", "atp_claim", 1, fence, dice.randrange(4)]
            if draw < 0.01:
                real.delete(fence)
                memory.hashes.pop(fence, None)
        elif draw < 0.06:
            life = memory.hashes.get(fence, {}).get("life", 0) if dice.random() < 0.5 else dice.randrange(3)
            taken = dice.randrange(3)
            command = ["FCALL", "atp_reclaim", 1, fence, token, writer, life, taken, taken + dice.randrange(2)]
        elif draw < 0.1:
            # it lapses long after the test: the one in memory has no clock
            command = ["FCALL", "atp_alive", 1, fence, token, 1000, 20, dice.randrange(2), "1.0", 3_600_000]
        elif draw < 0.14:
            some = [*dice.sample(keys, dice.randrange(3)), *([f"{prefix}atp:none"] if dice.random() < 0.3 else [])]
            held = memory.hashes.get(fence, {}).get("token", 0) if dice.random() < 0.8 else token
            word = memory.hashes.get(fence, {}).get("items", "") if dice.random() < 0.8 else "7.1"
            command = ["FCALL", "atp_index", 1 + len(some), fence, *some, held, word, dice.choice(("7.1", "whole"))]
        else:
            some = dice.sample(keys, dice.randrange(3))
            flush = int(memory.hashes.get(fence, {}).get(writer, 0)) if dice.random() < 0.8 else dice.randrange(3)
            held = memory.hashes.get(fence, {}).get("token", 0) if dice.random() < 0.8 else token
            words: list[Any] = []
            for _ in some:
                values = [(dice.choice("xyz"), dice.randrange(100)) for _ in range(dice.randrange(3))]
                gone = [dice.choice("xyz") for _ in range(dice.randrange(2))]
                words += [
                    -len(values) if dice.random() < 0.2 else len(values),
                    *[part for pair in values for part in pair],
                    len(gone),
                    *gone,
                ]
            command = ["FCALL", "atp_write", 1 + len(some), fence, *some, held, writer, flush, flush + 1, *words]
        expected = answer(lambda words: real.execute_command(*words), command)
        got = answer(memory.execute, command)
        assert got == expected, command
        answers.add(str(got).split()[0])
        assert set(memory.hashes.get(items, {})) == {item.decode() for item in real.zrange(items, 0, -1)}, command
        for key in (fence, alive, *keys):
            held_there = {name.decode(): value.decode() for name, value in real.hgetall(key).items()}
            assert memory.hashes.get(key, {}) == held_there, command
    assert {"FENCED", "BEHIND"} <= answers
    assert real.pttl(alive) > 0
    real.delete(fence, items, alive, *keys)
