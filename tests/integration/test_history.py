"""The process that reads the past again: what it finds, and that neither its death nor the engine's leaves anything."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from flows.kafka.parts import part_name
from flows.kafka.reading import bounds
from flows.runtime.run import KnownCodes, Run
from flows.sources import history as past_history
from flows.sources.history import Handed, History, words_of
from flows.sources.past import Ask, Done, Reader
from operators.coordinator import Search
from schemas.codes import parse_time
from schemas.reconciled import UnitsFound
from schemas.topics import INPUTS
from schemas.units import Unit
from tests.running import Engine, frozen, until
from tests.shop import ago, clock, open_shop, received, take_in

ITEMS = 3


@contextmanager
def history_of(world: Any) -> Iterator[History]:
    """Give one that knows the shop's locations."""
    known = KnownCodes()
    known.locations = frozenset({"EAST", "WEST"})
    history = History(Run(world.settings()), known)
    try:
        yield history
    finally:
        history.close()


def ends(world: Any) -> dict[str, int]:
    """Say how far all inputs go."""
    return {part_name(*part): end for part, (_, end) in bounds(world.settings(), list(INPUTS)).items()}


def search_for(*numbers: int, until: float = 0) -> Search:
    """Ask for units of the last hour."""
    return Search("erp", "night", {clock(one) for one in numbers}, set(), parse_time(ago(3600)), parse_time(ago(until)))


def all_of(history: History) -> list[Handed]:
    """Wait for everything that one search hands over."""
    found: list[Handed] = []

    def is_through() -> bool:
        one = history.take()
        if one is not None:
            found.append(one)
        return bool(found) and found[-1].is_last

    until(is_through, 60, lambda: str(found))
    return found


def child() -> psutil.Process:
    """Find the process that reads."""
    (one,) = [one for one in psutil.Process().children() if "flows.sources.past" in one.cmdline()]
    return one


def test_it_finds_units_of_the_items_and_moments_that_are_asked_for(world: Any) -> None:
    open_shop(world, items=ITEMS)
    for number in range(ITEMS):
        take_in(world, number, 10 + number, occurred_at=ago(600))
    take_in(world, 1, 5, occurred_at=ago(7200))
    world.send("inventory.warehouse", b"{no event", key="x")
    world.flush()
    with history_of(world) as history:
        history.search(search_for(1, 2), ends(world))
        found = all_of(history)
        units = [Unit(*values) for one in found for _, values in one.units]
        assert sorted((unit.item, unit.quantity) for unit in units) == [(clock(1), 11), (clock(2), 12)]
        words = [word for one in found for word in words_of(one, 4)]
        assert sum(len(word.message.units) for word in words) == 2
        assert child().nice() > psutil.Process().nice(), "it takes what nobody else wants"


def test_what_two_statements_ask_for_is_told_once_for_both(world: Any) -> None:
    open_shop(world, items=ITEMS)
    for number in range(ITEMS):
        take_in(world, number, 10 + number, occurred_at=ago(600))
    both, one = search_for(0, 1), search_for(1, 2)
    told: list[Any] = []
    reader = Reader(world.settings(), told.append, lambda: False)
    reader.answer(Ask([(both, ends(world)), (one, ends(world))], {"EAST", "WEST"}, set()))
    units = {word.searches: [Unit(*values).quantity for _, values in word.units] for word in told[:-1]}
    assert (units, told[-1]) == ({(0,): [10], (0, 1): [11], (1,): [12]}, Done())


def test_the_words_for_the_shards_name_all_who_ask() -> None:
    night, noon = search_for(0), Search("shop", "noon", set(), set(), 0, 1)
    (word,) = words_of(Handed(night, [noon], [(clock(0), ())]), 4)
    assert isinstance(word.message, UnitsFound)
    assert (word.message.source, word.message.also) == ("erp", [("shop", "noon")])


#: The same process, but it has enough after ten messages.
IMPATIENT = "from flows.sources import past; past.READ_AT_ONCE, past.MESSAGES_MAX = 5, 10; past.main()"


def test_of_more_messages_than_it_reads_the_first_are_looked_at_and_the_log_says_so(
    world: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_shop(world, items=2, partitions=1)
    for number in range(30):
        world.send("inventory.warehouse", received(number % 2, 1, occurred_at=ago(600)))
    world.flush()
    with history_of(world) as history:
        history.search(search_for(0), ends(world))
        found = all_of(history)
        assert (sum(len(one.units) for one in found), found[-1].is_whole) == (15, True)
        assert "history_too_long" not in capsys.readouterr().out
    monkeypatch.setattr(past_history, "COMMAND", (sys.executable, "-c", IMPATIENT))
    with history_of(world) as history:
        history.search(search_for(0), ends(world))
        found = all_of(history)
        assert 0 < sum(len(one.units) for one in found) < 15, "what was read is handed on, and some was not"
        assert not found[-1].is_whole, "what the others did is not guessed"
        told = capsys.readouterr().out
    assert "erp:night: of the two days around it the first 20000000 messages were looked at" in told
    assert "history_too_long" in told
    assert "atp variances list --cause unknown" in told


def test_it_is_started_again_where_it_died_and_what_was_asked_meanwhile_stays_unknown(
    world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    open_shop(world, items=1)
    take_in(world, 0, 7, occurred_at=ago(600))
    with history_of(world) as history:
        history.search(search_for(0), ends(world))
        assert sum(len(one.units) for one in all_of(history)) == 1
        first = child()
        with frozen(first):
            history.search(search_for(0), ends(world))
            first.kill()
        assert sum(len(one.units) for one in all_of(history)) == 0
        assert "some causes stay unknown: the process that reads it ended" in capsys.readouterr().out
        history.search(search_for(0), ends(world))
        assert sum(len(one.units) for one in all_of(history)) == 1
        second = child()
        assert second.pid != first.pid
    assert not second.is_running() or second.status() == psutil.STATUS_ZOMBIE


def test_an_end_while_it_reads_is_an_end_at_once(world: Any) -> None:
    open_shop(world, items=1)
    take_in(world, 0, 7, occurred_at=ago(600))
    with history_of(world) as history:
        history.search(search_for(0), ends(world))
        all_of(history)
        reads = child()
        with frozen(reads):
            history.search(search_for(0), ends(world))
            history.close()
            until(lambda: not reads.is_running(), 30, "it does not end")


def test_it_does_not_outlive_an_engine_that_is_killed(world: Any) -> None:
    world.config.write_text('[sources.erp]\nsettle = "1s"\n')
    open_shop(world, items=2)
    for number in range(2):
        world.send("inventory.warehouse", received(number, 10, occurred_at=ago(600)))
    head = {"source": "erp", "statement_id": "night", "occurred_at": ago(30)}
    rows = [{"type": "stock_stated", "item": clock(number), "location": "EAST", "on_hand": 9} for number in range(2)]
    for name, said in enumerate([{"type": "statement_started"}, *rows, {"type": "statement_ended", "rows": 2}]):
        world.send("inventory.statements", {"event_id": f"night:{name}", **head, **said})
    world.flush()
    with Engine(world) as engine:
        engine.wait_for_workers()
        reads: list[psutil.Process] = []

        def is_there() -> bool:
            reads[:] = psutil.Process(engine.process.pid).children(recursive=True)
            reads[:] = [one for one in reads if "flows.sources.past" in one.cmdline()]
            return bool(reads)

        until(is_there, 60, engine.text)
        engine.kill_worker()
        until(lambda: not reads[0].is_running() or reads[0].status() == psutil.STATUS_ZOMBIE, 30, "it outlives it")
        engine.kill_everything()
