"""Decides whether garbage in cycles is freed where it can be afforded, and long-lived state looked through once."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from flows.runtime.cycles import AMONG_MAX, look_for_cycles


class Node:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """As in a worker: nobody else looks, and what the tests made before is out of the way."""
    gc.disable()
    gc.collect()
    yield
    gc.unfreeze()
    gc.enable()


def test_a_cycle_that_nobody_holds_is_freed() -> None:
    node = weakref.ref(Node())
    assert node() is not None
    look_for_cycles()
    assert node() is None


def test_where_much_was_made_nothing_is_looked_through() -> None:
    state = [[number] for number in range(2 * AMONG_MAX)]
    frozen = gc.get_freeze_count()
    look_for_cycles()
    assert gc.get_freeze_count() >= frozen + len(state)
    assert gc.get_count()[0] < AMONG_MAX, "the next look counts anew"


def test_the_next_look_finds_what_came_since() -> None:
    state = [[number] for number in range(2 * AMONG_MAX)]
    look_for_cycles()
    node = weakref.ref(Node())
    look_for_cycles()
    assert node() is None
    assert len(state) == 2 * AMONG_MAX
