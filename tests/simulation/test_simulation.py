"""Thousands of schedules: killed, held and cut off at every step, and no number lost, counted twice or taken back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import structlog

from flows.publishing.errors import PublisherError
from flows.publishing.publisher import Publisher
from flows.readmodel.store import library
from operators.holdback import HeldShard
from tests.simulation.explorer import PRODUCTION, Broken, Faults, explore, silence
from tests.simulation.instance import Parts
from tests.simulation.servers import MemoryKafka, MemoryRedis, MemoryStore

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

    def __init__(self, *told: Any, **named: Any) -> None:
        super().__init__(*told, **named)
        writer, flush, now = self.writer, named["kafka"]().flush, named["clock"].now
        write_slices, write_all = writer.write_slices, writer.write_all

        def kafka_first() -> None:
            waiting: list[Any] = []
            writer.write_all = waiting.extend  # type: ignore[method-assign]
            write_slices()
            self.lanes.send_updates(now(), linger=False)
            flush()
            write_all(waiting)

        writer.write_slices = kafka_first  # type: ignore[method-assign]


class NeverFlushed(MemoryKafka):
    """Lets a snapshot run ahead of what Kafka has confirmed."""

    def flush(self) -> None:
        """All is well."""


class NoMarks(MemoryStore):
    """Forgets which shards were being filled in when it died."""

    def reached(self, shard: int) -> tuple[bytes | None, bool]:
        return super().reached(shard)[0], True


class NeverCompared(Publisher):
    """Believes in a Redis that Kafka is ahead of."""

    def __init__(self, *told: Any, **named: Any) -> None:
        super().__init__(*told, **named)
        self.trust.compare = self.believe  # type: ignore[method-assign]

    def believe(self) -> None:
        """Nothing can be wrong."""
        self.trust.is_compared = True


class OpenedTwice(Publisher):
    """Is given what was kept of a shard after the shard has spoken."""

    def open(self, shard: int, state: bytes | None) -> None:
        super().open(shard, None)
        super().open(shard, state)


def test_a_shard_that_speaks_before_what_was_kept_of_it_is_there_ends_the_worker() -> None:
    with pytest.raises(PublisherError, match="spoke before what was kept"):
        explore(0, STORIES["nothing"], Parts(OpenedTwice))


def is_found(text: str, faults: Faults, parts: Parts = PRODUCTION, **broken: bool) -> bool:
    """Does a schedule end with a fault of which that is said?"""
    for seed in range(FOUND_WITHIN):
        try:
            explore(seed, faults, parts, **broken)
        except Broken as error:
            if text in str(error):
                return True
    return False


def test_without_the_fence_an_older_run_is_seen_to_overwrite() -> None:
    assert is_found("went back", Faults(hold=0.02), is_fenced=False)


def test_without_the_hold_back_numbers_are_seen_to_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldShard, "is_through", lambda held, has_passed: True)  # it takes any state for the newest
    assert is_found("went back", Faults(hold=0))


@pytest.mark.parametrize(
    ("broken", "faults", "said"),
    [
        (Parts(publisher=KafkaFirst), Faults(hold=0, kill=0.03), "previous None after 0"),
        (Parts(kafka=NeverFlushed), Faults(hold=0, kill=0.03), "Kafka ends with nothing"),
        (Parts(store=NoMarks), Faults(hold=0, redis=0.05), "Kafka ends with"),
        (Parts(publisher=NeverCompared), Faults(hold=0, kill=0.02, redis=0.1, copies=0.25), "went back"),
    ],
    ids=["Kafka first", "no barrier", "no marks", "never compared"],
)
def test_a_protocol_with_a_part_switched_off_is_found_out(broken: Parts, faults: Faults, said: str) -> None:
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
