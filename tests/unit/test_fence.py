"""When a fence says that partitions are passed: events by themselves, and everything. What Kafka answers is given."""

from __future__ import annotations

import pytest

from flows.kafka.fence import Fence
from schemas.settings import Settings

EVENTS, STATEMENTS = "inventory.warehouse/0", "inventory.statements/0"
FIRST, SECOND = 1_000, 2_000


class Answered(Fence):
    """One that knows the ends without Kafka."""

    def __init__(self, ends: dict[str, int]) -> None:
        super().__init__(Settings(), [EVENTS], [STATEMENTS])
        self._answer = ends

    def _ask(self) -> None:
        self._ends = dict(self._answer)

    def passed(self, moment: int, **positions: int) -> tuple[int, int]:
        """Say up to when events, and up to when all are passed."""
        assert self._thread is not None
        self._thread.join()
        names = {"events": EVENTS, "statements": STATEMENTS}
        all_at = self.look(moment, {names[name]: position for name, position in positions.items()}, None)
        return self.first_passed_at, all_at


@pytest.fixture
def fence() -> Answered:
    """Ten events and a hundred messages of statements are there at FIRST."""
    fence = Answered({EVENTS: 10, STATEMENTS: 100})
    fence.want(FIRST)
    return fence


@pytest.mark.parametrize(
    ("events", "statements", "passed"),
    [(9, 100, (0, 0)), (9, 99, (0, 0)), (10, 99, (FIRST, 0)), (11, 0, (FIRST, 0)), (10, 100, (FIRST, FIRST))],
)
def test_events_are_passed_before_statements_are(
    fence: Answered, events: int, statements: int, passed: tuple[int, int]
) -> None:
    assert fence.passed(SECOND, events=events, statements=statements) == passed


def test_nothing_is_asked_anew_while_statements_are_not_passed(fence: Answered) -> None:
    fence.passed(FIRST, events=10, statements=50)
    fence.want(SECOND)
    assert fence.passed(SECOND, events=10, statements=99) == (FIRST, 0)
    assert fence.passed(SECOND, events=10, statements=100) == (FIRST, FIRST)
    fence.want(SECOND)
    assert fence.passed(SECOND, events=10, statements=100) == (SECOND, SECOND)
