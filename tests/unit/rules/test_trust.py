"""Decides each step of what Redis' word about a shard is worth, and that no other can be taken."""

from __future__ import annotations

from itertools import product

import pytest

from operators.rules.trust import FILLING, HELD_BACK, TABLE, UNSURE, IllegalStep, Standing, Step, after

NEW, HELD, DOUBTED, RESTATING, REFILLING, WHOLE = Standing
BEGIN, RESUME, DOUBT, RELEASE, LOSE, ANSWER, MARK = Step

LEGAL = {
    "a shard of which nothing was ever published is whole": (NEW, BEGIN, WHOLE),
    "a shard of which something was is held back": (NEW, RESUME, HELD),
    "a held shard is doubted where Redis lost what was published": (HELD, DOUBT, DOUBTED),
    "a held shard that is as far as Redis is whole": (HELD, RELEASE, WHOLE),
    "an answer of a held shard waits": (HELD, ANSWER, HELD),
    "a doubted shard may be doubted again": (DOUBTED, DOUBT, DOUBTED),
    "a doubted shard says everything when it is released": (DOUBTED, RELEASE, RESTATING),
    "an answer of a doubted shard waits": (DOUBTED, ANSWER, DOUBTED),
    "a second loss leaves a shard that restates unsure": (RESTATING, LOSE, RESTATING),
    "a shard that restates has answered once of several times": (RESTATING, ANSWER, RESTATING),
    "a shard that has restated everything is whole": (RESTATING, MARK, WHOLE),
    "Redis may lose again what it is refilled with": (REFILLING, LOSE, REFILLING),
    "a shard that refills has answered once of several times": (REFILLING, ANSWER, REFILLING),
    "a shard that has refilled Redis is whole": (REFILLING, MARK, WHOLE),
    "a whole shard refills a Redis that lost it": (WHOLE, LOSE, REFILLING),
    "an answer that nobody waits for changes nothing": (WHOLE, ANSWER, WHOLE),
    "a whole shard may be marked as such again": (WHOLE, MARK, WHOLE),
}
ILLEGAL = sorted(set(product(Standing, Step)) - {(at, step) for at, step, _ in LEGAL.values()}, key=str)


@pytest.mark.parametrize(("standing", "step", "follows"), LEGAL.values(), ids=LEGAL)
def test_a_step_leads_where_the_table_says(standing: Standing, step: Step, follows: Standing) -> None:
    assert after(standing, step) is follows


def test_every_row_of_the_table_has_a_name_here() -> None:
    assert {(at, step): follows for at, step, follows in LEGAL.values()} == TABLE


@pytest.mark.parametrize(("standing", "step"), ILLEGAL, ids=lambda value: value.value)
def test_any_other_step_raises_and_names_both(standing: Standing, step: Step) -> None:
    before = dict(TABLE)
    with pytest.raises(IllegalStep, match=f"{standing.value} cannot take the step '{step.value}'"):
        after(standing, step)
    assert before == TABLE


def test_a_released_shard_is_never_held_back_again() -> None:
    released = set(Standing) - HELD_BACK - {NEW}
    assert all(after(at, step) in released for at, step in TABLE if at in released)


def test_from_everywhere_a_shard_becomes_whole() -> None:
    reached = {WHOLE}
    for _ in Standing:
        reached |= {at for (at, _), follows in TABLE.items() if follows in reached}
    assert reached == set(Standing)


def test_a_whole_shard_owes_nothing() -> None:
    assert WHOLE not in HELD_BACK | UNSURE | FILLING
    assert HELD_BACK | FILLING | {NEW, WHOLE} == set(Standing)
    assert UNSURE < HELD_BACK | FILLING, "what is unsure is held back or says everything again"
