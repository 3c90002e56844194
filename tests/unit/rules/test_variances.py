"""Decides whether a variance takes the steps that it may, and no other (contract section 9, Variances)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from operators.rules.variances import STEPS, after, by_accepted, by_agreeing, by_rejected, is_later
from schemas.reconciled import Standing

STATES = ("open", "held", "corrected", "accepted", "rejected", "resolved")


def standing(statement: str = "S1", seen: int = 10, **fields: Any) -> Standing:
    plain = Standing(
        "id", "erp", statement, "DC1", "", "on_hand", seen, 10, 7, "unknown", [], "report", "open", "", "", seen, seen
    )
    return msgspec.structs.replace(plain, **fields)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("state", STATES)
def test_only_what_is_in_the_table_is_a_step(step: str, state: str) -> None:
    assert after(state, step) == STEPS[step].get(state)
    assert after(state, step) in (None, *STATES)


@pytest.mark.parametrize("decision", ["correct", "accept", "reject"])
@pytest.mark.parametrize("state", ["corrected", "accepted", "rejected", "resolved"])
def test_a_person_decides_about_what_is_open_or_held_alone(decision: str, state: str) -> None:
    assert after(state, decision) is None
    assert after("open", decision) == after("held", decision) is not None


@pytest.mark.parametrize(
    ("seen", "statement", "later"), [(11, "S0", True), (10, "S2", True), (10, "S1", False), (9, "S9", False)]
)
def test_later_is_a_greater_moment_and_then_a_greater_name(seen: int, statement: str, later: bool) -> None:
    assert is_later(seen, statement, standing()) is later


@pytest.mark.parametrize("state", STATES)
def test_a_later_accepted_one_with_another_difference_opens_anew_and_keeps_when_it_was_first_seen(state: str) -> None:
    found = by_accepted(standing(state=state), standing("S2", 20, theirs=6))
    assert (found.state, found.statement_id, found.last_seen) == ("open", "S2", 20)
    assert found.first_seen == (20 if state == "resolved" else 10)


def test_what_was_accepted_stays_so_while_the_difference_is_the_same() -> None:
    known = standing(state="accepted", decided_by="ana", reason="known")
    found = by_accepted(known, standing("S2", 20))
    assert (found.state, found.decided_by, found.reason, found.last_seen) == ("accepted", "ana", "known", 20)
    assert by_accepted(known, standing("S2", 20, theirs=6)).state == "open"


def test_an_older_accepted_one_only_moves_when_it_was_first_seen() -> None:
    known = standing(seen=10, state="held")
    assert by_accepted(known, standing("S0", 5, theirs=1)) == msgspec.structs.replace(known, first_seen=5)


def test_what_a_rejected_one_added_gives_way_to_an_accepted_one() -> None:
    assert by_accepted(standing(action=""), standing("S0", 5)).statement_id == "S0"


@pytest.mark.parametrize("state", STATES)
def test_a_rejected_one_only_adds_what_is_not_there_or_resolved(state: str) -> None:
    new = standing("S2", 20, action="")
    assert by_rejected(None, new) == new
    assert by_rejected(standing(state=state), new) == (new if state == "resolved" else None)


@pytest.mark.parametrize("state", STATES)
def test_a_later_one_that_agrees_resolves(state: str) -> None:
    found = by_agreeing(standing(state=state), 20, "S2")
    if state == "resolved":
        assert found is None
    else:
        assert found is not None and found.state == "resolved"
    assert by_agreeing(standing(state=state), 5, "S0") is None
