"""When the engine is well, and what it says where it is not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from flows.monitoring.health import (
    EPOCH_END_MAX_S,
    HANGS_AFTER_S,
    LAG_MAX_S,
    UNSEEN_MAX_S,
    WAIT_MAX_S,
    Facts,
    alive,
    answer,
    ready,
    sees_redis,
)
from flows.monitoring.lag import Lag
from flows.processes.worker import worker_report

WELL: dict[str, Any] = {
    "held_shards": 0,
    "redis_waits_s": 0.0,
    "kafka_waits_s": 0.0,
    "epoch_age_s": 1.0,
    "epoch_ends_s": 0.0,
    "is_fenced": False,
}
PART = "inventory.orders/0"
FACTS = Facts("", {0: WELL, 1: WELL}, {}, {PART: Lag(3, 1.0)}, frozenset([PART]), frozenset([PART]))


def reasons(facts: Facts) -> list[str]:
    reasons: list[str] = answer(ready(facts), "ready")["reasons"]
    return reasons


def with_worker(**changed: Any) -> Facts:
    return replace(FACTS, states={0: WELL, 1: {**WELL, **changed}})


def test_all_is_well() -> None:
    assert answer(ready(FACTS), "ready") == {
        "ready": True,
        "reasons": [],
        "checks": {"workers": True, "topics": True, "caught_up": True, "writing": True, "not_fenced": True},
    }


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (replace(FACTS, phase="Redis cannot be used"), "workers: Redis cannot be used"),
        (replace(FACTS, states={0: WELL, 1: None}), "workers: no answer from worker 1"),
        (replace(FACTS, lost={"t": "deleted"}), "topics: topic t was deleted: nothing comes from it"),
        (replace(FACTS, lost={"t": "made_again"}), "topics: topic t was deleted and made again: the new one is not"),
        (replace(FACTS, told=frozenset()), "caught_up: starting: 1 of 1 input partitions"),
        (replace(FACTS, parts=frozenset()), "caught_up: starting: 0 of 0 input partitions"),
        (with_worker(held_shards=7), "caught_up: 7 shards are read again"),
        (with_worker(filling_shards=3), "caught_up: 3 shards are filled in again"),
        (with_worker(from_scratch_shards=2), "caught_up: 2 shards have not yet removed what is no longer true"),
        (replace(FACTS, lags={}), "caught_up: Kafka has not told yet"),
        (replace(FACTS, lags={PART: Lag(9, LAG_MAX_S + 1)}), f"caught_up: {PART} is 9 messages and 31 s behind"),
        (with_worker(redis_waits_s=WAIT_MAX_S + 1), "writing: redis has not taken what worker 1 writes for 6 s"),
        (with_worker(kafka_waits_s=WAIT_MAX_S + 1), "writing: kafka has not taken what worker 1 writes for 6 s"),
        (with_worker(epoch_age_s=16), "writing: worker 1 has not finished an epoch for 16 s"),
        (
            with_worker(epoch_ends_s=EPOCH_END_MAX_S + 1),
            "writing: worker 1 has been ending an epoch for 6 s (at most 5 s)",
        ),
        (with_worker(is_fenced=True), "not_fenced: a newer run has taken over from worker 1"),
    ],
)
def test_each_thing_that_is_wrong_is_said_once(facts: Facts, reason: str) -> None:
    [said] = reasons(facts)
    assert said.startswith(reason)


def test_workers_that_end_an_epoch_with_one_that_waits_for_a_server_wait_for_that_server() -> None:
    ending = {**WELL, "epoch_ends_s": EPOCH_END_MAX_S + 1}
    for states in ({0: ending, 1: {**WELL, "redis_waits_s": 4.9}}, {0: ending, 1: {**ending, "redis_waits_s": 4.9}}):
        [said] = reasons(replace(FACTS, states=states))
        assert said.startswith("writing: redis has not taken what worker 1 writes for 5 s")
    [said] = reasons(replace(FACTS, states={0: ending, 1: {**WELL, "redis_waits_s": 0.1}}))
    assert said.startswith("writing: worker 0 has been ending an epoch")


def test_at_the_limit_it_is_still_well() -> None:
    assert not reasons(replace(FACTS, lags={PART: Lag(9, LAG_MAX_S)}))
    assert not reasons(with_worker(redis_waits_s=WAIT_MAX_S, kafka_waits_s=WAIT_MAX_S, epoch_age_s=15))
    assert not reasons(with_worker(epoch_ends_s=EPOCH_END_MAX_S))


def test_who_waits_for_redis_is_ready_a_while_yet_and_has_not_seen_what_stands_there() -> None:
    for seconds in (0.0, UNSEEN_MAX_S):
        assert sees_redis(with_worker(redis_waits_s=seconds))
    waiting = with_worker(redis_waits_s=UNSEEN_MAX_S + 0.1)
    assert not reasons(waiting) and not sees_redis(waiting)


def test_long_epochs_may_take_long() -> None:
    assert not reasons(replace(with_worker(epoch_age_s=500), epoch_interval_s=60))


def test_a_restart_is_asked_for_only_where_a_worker_hangs() -> None:
    assert answer(alive(replace(FACTS, phase="starting")), "alive")["alive"]
    assert answer(alive(replace(FACTS, silence_s={1: HANGS_AFTER_S})), "alive")["alive"]
    assert answer(alive(replace(FACTS, silence_s={1: HANGS_AFTER_S + 1})), "alive") == {
        "alive": False,
        "reasons": ["workers_answer: worker 1 has not answered for 61 s"],
        "checks": {"workers_answer": False},
    }


def test_a_worker_says_how_many_of_its_shards_still_remove_what_is_no_longer_true() -> None:
    metrics = SimpleNamespace(
        report=lambda: {"atp_from_scratch_shards": [("", {}, 2.0)]},
        redis_waits_since=None,
        kafka_waits_since=None,
        epoch_at=None,
        commits_since=None,
        is_fenced=False,
    )
    publisher = SimpleNamespace(held_shards=lambda: 0, filling_shards=lambda: 0)
    worker: Any = SimpleNamespace(metrics=metrics, publisher=publisher, progress=SimpleNamespace(rows=dict))
    state = worker_report(worker)["state"]
    assert reasons(replace(FACTS, states={0: WELL, 1: state}))[0].startswith("caught_up: 2 shards have not yet removed")
