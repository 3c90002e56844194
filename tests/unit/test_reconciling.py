"""What becomes of statements, from rows to variances, holds and corrections: the engine's own rules without servers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from operators.reconciling import desk, earlier
from schemas.times import time_text
from tests.reconciling_engine import Reconciling

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
NOON = 1_700_000_000 * SECOND


class Estate:
    """One warehouse with two locations, and an ERP that states what it has."""

    def __init__(self, **settings: Any) -> None:
        self.engine = Reconciling(24 * HOUR, 5 * MINUTE, **settings)
        self.number = 0
        self.put("locations", "EAST", {"location": "EAST"})
        self.put("locations", "WEST", {"location": "WEST"})
        self.put("channels", "web", {"channel": "web", "locations": ["EAST", "WEST"]})
        self.put("items", "SHOVEL", {"item": "SHOVEL", "conversions": {"case": 12}})

    def put(self, topic: str, key: str, value: dict[str, Any]) -> None:
        assert self.engine.reference(f"inventory.{topic}", key.encode(), json.dumps(value).encode()) == []

    def rules(self, source: str = "erp", **fields: Any) -> None:
        self.put("reconciliation", source, {"source": source, **fields})

    def event(self, kind: str, at: int, recorded: int | None = None, **fields: Any) -> None:
        self.number += 1
        value = {
            "event_id": f"e{self.number}",
            "type": kind,
            "source": "wms",
            "occurred_at": time_text(at),
            "item": "SHOVEL",
            "location": "EAST",
        } | fields
        topic = "orders" if kind.startswith("order") else "warehouse"
        refused = self.engine.event(
            f"inventory.{topic}", json.dumps(value).encode(), at if recorded is None else recorded
        )
        assert refused == []

    def say(self, kind: str, as_of: int = NOON, recorded: int | None = None, **fields: Any) -> str | None:
        self.number += 1
        value = {
            "event_id": f"s{self.number}",
            "type": kind,
            "source": "erp",
            "statement_id": "night-1",
            "occurred_at": time_text(as_of),
        } | fields
        return self.engine.stated(json.dumps(value).encode(), NOON + SECOND if recorded is None else recorded)

    def row(self, as_of: int = NOON, recorded: int | None = None, **fields: Any) -> str | None:
        return self.say("stock_stated", as_of, recorded, **{"item": "SHOVEL", "location": "EAST"} | fields)

    def state(self, *rows: dict[str, Any], as_of: int = NOON, statement: str = "night-1", **start: Any) -> None:
        recorded = as_of + SECOND
        self.say("statement_started", as_of, recorded, statement_id=statement, **start)
        for row in rows:
            self.row(as_of, recorded, statement_id=statement, **row)
        self.say("statement_ended", as_of, recorded, statement_id=statement, rows=len(rows))
        self.engine.judge(as_of + 11 * MINUTE)

    def variance(self, key: str = "erp:SHOVEL:EAST::on_hand") -> dict[str, Any]:
        return self.engine.variances[key]

    def status(self, statement: str = "night-1") -> dict[str, Any]:
        return self.engine.statuses[f"erp:{statement}"]

    def withheld(self, location: str = "EAST") -> int:
        return self.engine.position("SHOVEL", self.engine.clock).get(location, {}).get("withheld", 0)


@pytest.fixture
def estate() -> Estate:
    estate = Estate()
    estate.event("stock_received", NOON - HOUR, quantity=10)
    return estate


def test_a_statement_that_agrees_is_accepted_and_leaves_no_variance(estate: Estate) -> None:
    estate.state({"on_hand": 10})
    assert estate.status() | {"verdict": "accepted", "seen": 1, "agreed": 1, "in_variance": 0} == estate.status()
    assert estate.engine.variances == {}


def test_what_happened_after_the_statements_moment_is_left_out(estate: Estate) -> None:
    estate.event("stock_adjusted", NOON + MINUTE, quantity=-4)
    estate.state({"on_hand": 10})
    assert estate.status()["agreed"] == 1


def test_an_event_that_came_late_and_occurred_before_is_not_missed(estate: Estate) -> None:
    estate.event("stock_adjusted", NOON - MINUTE, NOON + 5 * MINUTE, quantity=-4)
    estate.state({"on_hand": 6})
    assert estate.status()["agreed"] == 1


def test_a_count_after_the_moment_is_left_out_and_what_it_swallowed_is_not(estate: Estate) -> None:
    estate.event("stock_adjusted", NOON - MINUTE, quantity=-1)
    estate.event("stock_counted", NOON + MINUTE, quantity=100)
    estate.state({"on_hand": 9})
    assert estate.status()["agreed"] == 1


def test_a_difference_is_a_variance_and_counted_by_its_cause(estate: Estate) -> None:
    estate.state({"on_hand": 7})
    found = estate.variance()
    assert (found["ours"], found["theirs"], found["difference"], found["state"]) == (10, 7, -3, "open")
    assert (found["action"], found["cause"]) == ("report", "unknown")
    assert estate.status()["causes"] == {"on_hand": {"unknown": 1}}
    assert (estate.status()["units"], estate.status()["explained_percent"]) == ("3", 0.0)


def test_a_later_statement_that_agrees_resolves(estate: Estate) -> None:
    estate.state({"on_hand": 7})
    estate.state({"on_hand": 10}, as_of=NOON + HOUR, statement="night-2")
    assert estate.variance()["state"] == "resolved"


def test_an_open_variance_follows_what_becomes_known(estate: Estate) -> None:
    estate.state({"on_hand": 7})
    estate.event("stock_adjusted", NOON - MINUTE, NOON + HOUR, quantity=-1)
    assert (estate.variance()["ours"], estate.variance()["state"]) == (9, "open")
    estate.event("stock_adjusted", NOON - MINUTE, NOON + HOUR, quantity=-2)
    assert (estate.variance()["ours"], estate.variance()["state"]) == (7, "resolved")


@pytest.mark.parametrize(
    ("theirs", "cause"),
    [(120, "unit"), (-10, "sign"), (0, "missing_there"), (20, "doubled")],
)
def test_causes_that_figures_alone_show(estate: Estate, theirs: int, cause: str) -> None:
    estate.state({"on_hand": theirs})
    assert estate.variance()["cause"] == cause


def claimed(estate: Estate, *, orders: int = 1) -> None:
    for number in range(orders):
        line = {"line_id": "1", "item": "SHOVEL", "quantity": 2, "location": "EAST"}
        order = {"order_id": f"SO-{number}", "channel": "web", "lines": [line], "item": None, "location": None}
        estate.event("order_placed", NOON - 30 * MINUTE + number, **order)
    estate.state({"soft_allocated": 0})


def test_what_was_claimed_earlier_is_asked_where_every_unit_is_read(estate: Estate) -> None:
    claimed(estate)
    assert estate.variance("erp:SHOVEL:EAST::soft_allocated")["cause"] == "stale"
    assert len(estate.variance("erp:SHOVEL:EAST::soft_allocated")["evidence"]) == 1


def test_what_was_claimed_earlier_is_not_guessed_where_units_are_not_read(estate: Estate) -> None:
    estate.engine.is_whole = False
    claimed(estate)
    assert estate.variance("erp:SHOVEL:EAST::soft_allocated")["cause"] == "unknown"


@pytest.mark.parametrize(("most", "cause"), [(5, "stale"), (4, "unknown")])
def test_of_more_units_than_may_be_looked_at_what_was_claimed_is_unknown(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, most: int, cause: str
) -> None:
    monkeypatch.setattr(earlier, "LOOKS_MAX", most)
    claimed(estate, orders=5)
    assert estate.variance("erp:SHOVEL:EAST::soft_allocated")["cause"] == cause


def test_a_doubtful_unit_is_withheld_until_the_variance_is_over(estate: Estate) -> None:
    estate.rules(actions={"on_hand": "hold"})
    estate.state({"on_hand": 7})
    assert (estate.variance()["state"], estate.withheld()) == ("held", 3)
    estate.event("stock_adjusted", NOON - MINUTE, NOON + HOUR, quantity=-1)
    estate.engine.settle()
    assert (estate.variance()["state"], estate.withheld()) == ("held", 2)
    estate.state({"on_hand": 9}, as_of=NOON + HOUR, statement="night-2")
    assert (estate.variance()["state"], estate.withheld()) == ("resolved", 0)


def test_a_correction_makes_ours_theirs_as_of_the_moment(estate: Estate) -> None:
    estate.rules(actions={"on_hand": "correct"})
    estate.event("stock_adjusted", NOON + MINUTE, quantity=-1)
    estate.state({"on_hand": 7})
    assert (estate.variance()["state"], estate.variance()["decided_by"]) == ("corrected", "rule")
    assert estate.engine.position("SHOVEL", estate.engine.clock)["EAST"]["on_hand"] == 6
    assert estate.engine.sent[0]["event_id"] == estate.variance()["id"]


def test_what_could_promise_too_much_asks(estate: Estate) -> None:
    estate.rules(actions={"on_hand": "correct"})
    estate.state({"on_hand": 20})
    assert (estate.variance()["state"], estate.variance()["action"]) == ("open", "ask")
    assert estate.engine.sent == []


def test_a_person_corrects_what_was_asked(estate: Estate) -> None:
    estate.rules(actions={"on_hand": "ask"})
    estate.state({"on_hand": 7})
    assert estate.withheld() == 3
    said = {
        "key": "erp:SHOVEL:EAST::on_hand",
        "id": estate.variance()["id"],
        "decision": "correct",
        "decided_by": "ana",
        "decided_at": time_text(NOON + HOUR),
        "decision_id": "d1",
        "reason": "counted by hand",
    }
    assert estate.engine.decide(said) is None
    found = estate.variance()
    assert (found["state"], found["decided_by"], found["reason"]) == ("corrected", "ana", "counted by hand")
    assert estate.engine.position("SHOVEL", estate.engine.clock)["EAST"]["on_hand"] == 7
    assert estate.withheld() == 0
    assert estate.engine.decide(said) == "conflict"
    assert estate.engine.decide(said | {"decision": "undo"}) is None
    assert estate.engine.position("SHOVEL", estate.engine.clock)["EAST"]["on_hand"] == 10
    assert estate.variance()["state"] == "rejected"


def test_rows_that_come_by_few_are_told_of_together_and_the_verdict_is_later_by_that_at_most(estate: Estate) -> None:
    estate.engine.config = replace(estate.engine.config, tell_every=SECOND // 5)
    estate.engine.resume()
    late = NOON + HOUR
    estate.say("statement_started", NOON, late)
    estate.row(NOON, late, on_hand=10)
    estate.engine.judge(late)
    assert estate.status()["seen"] == 1
    estate.row(NOON, late + SECOND // 10, location="WEST", on_hand=0)
    estate.say("statement_ended", NOON, late + SECOND // 10, rows=2)
    estate.engine.judge(late + SECOND // 10)
    assert (estate.status()["seen"], estate.status()["verdict"]) == (1, "pending")
    assert estate.engine.shard.next_wake() == late + SECOND // 5
    estate.engine.judge(late + SECOND // 5)
    assert (estate.status()["seen"], estate.status()["verdict"]) == (2, "accepted")


@pytest.mark.parametrize("first", ["on_hand", "quarantined"])
def test_taking_back_both_measures_of_a_row_gives_what_was_there_in_either_order(estate: Estate, first: str) -> None:
    estate.event("stock_status_changed", NOON - HOUR, quantity=1, from_status="available", to_status="quarantined")
    estate.rules(actions={"on_hand": "correct", "quarantined": "correct"}, max_rows_in_variance_percent=100)
    estate.state({"on_hand": 7, "quarantined": 3})

    def there() -> tuple[int, int]:
        figures = estate.engine.position("SHOVEL", estate.engine.clock)["EAST"]
        return figures["on_hand"], figures["quarantined"]

    assert there() == (7, 3)
    second = "quarantined" if first == "on_hand" else "on_hand"
    for number, measure in enumerate((first, second)):
        key = f"erp:SHOVEL:EAST::{measure}"
        said = {"key": key, "id": estate.variance(key)["id"], "decision": "undo", "decided_by": "ana"}
        assert estate.engine.decide({**said, "decided_at": time_text(NOON + HOUR), "decision_id": f"d{number}"}) is None
    assert there() == (10, 1)
    assert estate.engine.letters == []


def test_what_was_not_stated_is_zero_where_all_items_are_meant(estate: Estate) -> None:
    estate.put("items", "RAKE", {"item": "RAKE"})
    estate.event("stock_received", NOON - HOUR, item="RAKE", quantity=2)
    estate.state({"on_hand": 10}, items="all")
    assert estate.status()["absent"] == 1
    assert estate.variance("erp:RAKE:EAST::on_hand")["theirs"] == 0
    assert estate.variance("erp:RAKE:EAST::on_hand")["cause"] == "absent"


def test_an_empty_statement_changes_nothing_and_is_complained_of(estate: Estate) -> None:
    estate.state(items="all")
    assert (estate.status()["verdict"], estate.status()["reasons"]) == ("rejected", ["empty"])
    assert [key[1] for key in estate.engine.raised] == ["statement_rejected"]
    estate.state({"on_hand": 10}, as_of=NOON + HOUR, statement="night-2", items="all")
    assert estate.engine.raised == set()


@pytest.mark.parametrize("where", range(4))
def test_a_crash_anywhere_changes_nothing(where: int) -> None:
    estate = Estate()
    estate.rules(actions={"on_hand": "hold"})
    estate.event("stock_received", NOON - HOUR, quantity=10)
    estate.event("stock_counted", NOON + MINUTE, quantity=50)
    steps = [
        lambda: estate.say("statement_started"),
        lambda: estate.row(on_hand=7),
        lambda: estate.say("statement_ended", rows=1),
        lambda: estate.engine.judge(NOON + 11 * MINUTE),
    ]
    for number, step in enumerate(steps):
        if number == where:
            estate.engine.resume()
        step()
    estate.engine.resume()
    assert (estate.status()["verdict"], estate.variance()["ours"]) == ("accepted", 10)
    estate.state({"on_hand": 10}, statement="night-2", as_of=NOON + SECOND)
    assert (estate.variance()["state"], estate.withheld()) == ("resolved", 0)


def test_the_same_row_again_is_a_duplicate_and_another_one_a_conflict(estate: Estate) -> None:
    estate.say("statement_started")
    estate.row(on_hand=10)
    estate.row(on_hand=10)
    estate.row(on_hand=9)
    estate.say("statement_ended", rows=1)
    estate.engine.judge(NOON + 11 * MINUTE)
    status = estate.status()
    assert (status["seen"], status["duplicates"], status["conflicts"]) == (1, 1, 1)
    assert (status["verdict"], status["reasons"]) == ("rejected", ["contradicts_itself"])


def test_of_a_judged_row_nothing_is_remembered_behind_the_verdict(estate: Estate) -> None:
    before = len(estate.engine.shard.ids)
    estate.state({"on_hand": 10}, {"location": "WEST", "lot": "L1", "on_hand": 0})
    assert len(estate.engine.shard.ids) == before
    estate.row(on_hand=10)
    estate.row(on_hand=9)
    estate.engine.judge(NOON + 12 * MINUTE)
    assert (estate.status()["duplicates"], estate.status()["seen"]) == (2, 2)
    estate.engine.resume()
    assert len(estate.engine.shard.ids) == before, "what is on disk of it is dropped as well"


def test_the_rows_of_an_open_statement_stay_known_where_another_one_has_its_verdict(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "SPLIT", 2)  # both have their fingerprints in one bucket
    estate.say("statement_started", statement_id="slow")
    estate.row(on_hand=10, statement_id="slow")
    estate.engine.judge(NOON + 11 * MINUTE)
    estate.state({"on_hand": 10}, statement="night-2")
    estate.engine.resume()
    estate.row(on_hand=10, statement_id="slow")
    estate.row(on_hand=9, statement_id="slow")
    estate.engine.judge(NOON + 12 * MINUTE)
    assert (estate.status("slow")["duplicates"], estate.status("slow")["conflicts"]) == (1, 1)
    assert estate.status("slow")["seen"] == 1


def test_a_truncated_statement_waits_until_it_has_settled_and_is_rejected(estate: Estate) -> None:
    estate.say("statement_started")
    estate.row(on_hand=7)
    estate.say("statement_ended", rows=2)
    estate.engine.judge(NOON + 10 * MINUTE)
    assert estate.status()["verdict"] == "pending"
    estate.engine.judge(NOON + 11 * MINUTE)
    assert estate.status()["reasons"] == ["rows_missing"]
    assert (estate.variance()["state"], estate.variance()["action"]) == ("open", None)


def test_a_row_with_an_unknown_item_is_refused_and_counted(estate: Estate) -> None:
    estate.state({"on_hand": 10}, {"on_hand": 1, "item": "GHOST"})
    assert (estate.status()["refused"], estate.status()["seen"]) == (1, 2)
    assert [letter.code for letter in estate.engine.letters] == ["unknown_item"]
