"""Decides whether a verdict rests on what every shard has found and kept, in this run, and on nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from operators.coordinator import Coordinator, CoordinatorConfig, Words
from operators.rules.admission import Windows
from schemas.reconciled import CloseStatement, Tally, UnitsFound, VerdictFell
from schemas.stated import Stated
from schemas.units import Origin

HOUR = 3_600_000_000
MINUTE = HOUR // 60
SETTLE = 10 * MINUTE
AS_OF = 100 * HOUR
KEY = ("erp", "night-1")


def said(kind: str, at: int = AS_OF, recorded: int = AS_OF, **fields: Any) -> Stated:
    origin = Origin("inventory.statements", 0, 1, recorded // 1000, None, b"{}")
    return Stated(kind, *KEY, f"{kind}{at}", at, recorded, origin, **fields)


class Desk:
    """A coordinator of two shards, and the clock on its wall."""

    def __init__(self, resume: bytes | None = None, run: int = 7, clock: int = AS_OF) -> None:
        self.clock = clock
        config = CoordinatorConfig(2, Windows(24 * HOUR, {}), SETTLE)
        self.coordinator = Coordinator(config, lambda: self.clock, run, resume)

    def tells(self, shard: int, run: int = 7, **found: Any) -> None:
        self.coordinator.tally(Tally(run, shard, *KEY, **found))

    def step(self, until: int = 0) -> Words:
        return self.coordinator.step(until)

    def epoch(self) -> None:
        self.coordinator.snapshot()
        self.coordinator.epoch_finished()

    def status(self, words: Words) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(words.reported[-1].value)
        return found


def announced(rows: int = 4) -> Desk:
    desk = Desk()
    desk.coordinator.hear(said("statement_started"))
    desk.coordinator.hear(said("statement_ended", rows=rows))
    return desk


def closed(desk: Desk, **found: Any) -> None:
    for number in (1, 2):
        for shard in (0, 1):
            desk.tells(shard, agreed=2, round=1, is_closed=number == 2, **found)
        desk.step()


def test_it_is_closed_when_as_many_rows_as_said_are_judged() -> None:
    desk = announced()
    desk.tells(0, agreed=2)
    assert desk.step().to_shards == []
    desk.tells(1, agreed=1, in_variance=1)
    [close] = desk.step().to_shards
    assert type(close) is CloseStatement and close.round == 1


def test_a_repeated_tally_changes_nothing() -> None:
    desk = announced()
    for _ in range(2):
        desk.tells(0, agreed=2)
    assert desk.step().to_shards == []


def test_a_tally_of_another_run_is_not_believed() -> None:
    desk = announced()
    for shard in (0, 1):
        desk.tells(shard, run=6, agreed=2)
    assert desk.step().to_shards == []


def test_the_verdict_waits_until_all_that_it_rests_on_is_in_a_finished_epoch() -> None:
    desk = announced()
    closed(desk)
    assert desk.step().to_shards == []
    desk.coordinator.epoch_finished()  # of one that began before the last tally came
    assert desk.step().to_shards == []
    desk.epoch()
    assert desk.step().to_shards == [], "it is decided, and that is not kept yet"
    desk.step()
    desk.epoch()
    words = desk.step()
    assert words.to_shards == [VerdictFell(*KEY, AS_OF, True)]
    assert (desk.status(words)["verdict"], desk.status(words)["agreed"]) == ("accepted", 4)


def test_units_are_read_again_only_where_something_is_to_be_explained() -> None:
    desk = announced()
    closed(desk)
    other = announced()
    for shard in (0, 1):
        other.tells(shard, agreed=2)
    other.step()
    other.tells(0, agreed=2, round=1, wanted=["SHOVEL"], span=(AS_OF, AS_OF))
    other.tells(1, agreed=2, round=1)
    [search] = other.step().searches
    assert (search.items, search.since, search.until) == ({"SHOVEL"}, AS_OF - 24 * HOUR, AS_OF + 24 * HOUR)


def test_nothing_is_searched_where_nothing_differs() -> None:
    desk = announced()
    for shard in (0, 1):
        desk.tells(shard, agreed=2)
    desk.step()
    for shard in (0, 1):
        desk.tells(shard, agreed=2, round=1)
    words = desk.step()
    assert words.searches == [] and words.to_shards == [UnitsFound(*KEY, [], True)]


@pytest.mark.parametrize(("until", "is_over"), [(AS_OF + SETTLE - 1, False), (AS_OF + SETTLE, True)])
def test_with_rows_missing_it_is_over_when_it_has_settled(until: int, is_over: bool) -> None:
    desk = announced()
    desk.tells(0, agreed=1)
    assert bool(desk.step(until).to_shards) is is_over


@pytest.mark.parametrize(("after", "is_over"), [(0, False), (1, True)])
def test_without_an_end_it_is_over_when_it_would_be_late(after: int, is_over: bool) -> None:
    desk = Desk()
    desk.coordinator.hear(said("statement_started"))
    assert bool(desk.step(AS_OF + 24 * HOUR + after).to_shards) is is_over


def test_rows_that_are_not_due_are_waited_for() -> None:
    desk = announced()
    desk.coordinator.wait_for(*KEY, AS_OF)
    assert desk.step(AS_OF + HOUR).to_shards == []
    desk.coordinator.wait_for(*KEY, AS_OF, -1)
    assert desk.step(AS_OF + HOUR).to_shards != []


def decided() -> Desk:
    desk = announced()
    closed(desk)
    for _ in range(2):
        desk.step()
        desk.epoch()
        words = desk.step()
    assert words.to_shards
    return desk


@pytest.mark.parametrize(("at", "figure"), [(AS_OF, "duplicates"), (AS_OF + 1, "conflicts")])
def test_what_comes_after_the_verdict_is_a_duplicate_or_a_conflict(at: int, figure: str) -> None:
    desk = decided()
    assert not desk.coordinator.admits(said("stock_stated", at, item="SHOVEL", place="EAST"))
    status = desk.status(desk.step())
    assert (status[figure], status["verdict"], status["seen"]) == (1, "accepted", 4)


def test_an_id_may_be_used_anew_when_what_it_named_would_be_late() -> None:
    desk = decided()
    desk.clock = AS_OF + 24 * HOUR + 1
    row = said("stock_stated", desk.clock, item="SHOVEL", place="EAST")
    assert desk.coordinator.admits(row)
    assert desk.coordinator.born(row) == desk.clock


def test_after_a_crash_it_is_closed_anew_and_decided_once() -> None:
    desk = announced()
    for shard in (0, 1):
        desk.tells(shard, agreed=2)
    desk.step()
    again = Desk(desk.coordinator.snapshot(), run=8)
    [close] = again.step().to_shards
    assert type(close) is CloseStatement
    kept = announced()
    closed(kept)
    kept.step()
    kept.epoch()
    kept.step()
    said_again = Desk(kept.coordinator.snapshot(), run=8)
    said_again.step()
    said_again.epoch()
    assert said_again.step().to_shards == [VerdictFell(*KEY, AS_OF, True)], "decided, and not said before the crash"
    later = Desk(decided().coordinator.snapshot(), run=8)
    assert later.step().to_shards == []
    assert not later.coordinator.admits(said("stock_stated", item="SHOVEL", place="EAST"))


def test_a_second_end_with_other_rows_contradicts() -> None:
    desk = announced(0)
    desk.coordinator.hear(said("statement_ended", rows=0))
    desk.coordinator.hear(said("statement_ended", rows=3))
    desk.clock += HOUR
    words = desk.step()
    status = desk.status(words)
    assert (status["duplicates"], status["conflicts"]) == (1, 1)
    assert [refusal.code for refusal in words.refusals] == ["conflict"]
