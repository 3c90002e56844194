"""The guard against a slower engine: processor time of the hot path by that of a fixed loop, both measured here."""

from __future__ import annotations

import pytest

from benchmarks import hot_path

HINT = (
    "If that is what a change is worth, record it: python -m benchmarks.hot_path --record. Profile: "
    "python -m cProfile -s tottime -m benchmarks.hot_path"
)


def test_the_hot_path_is_not_clearly_slower_than_recorded() -> None:
    limit = hot_path.recorded() * hot_path.TOLERANCE
    measured = hot_path.ratio()
    if measured > limit:  # a neighbor may have been busy through all of it; a slower engine is slow again
        measured = min(measured, hot_path.ratio())
    assert measured <= limit, f"{measured:.2f} times the reference loop, at most {limit:.2f} is allowed. {HINT}"


def test_the_guard_sees_a_hot_path_that_does_everything_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slower(hot_path.HotPath):
        """With shards of its own for each time: repeats would be dropped as duplicates, and cost next to nothing."""

        def __init__(self, messages: list[hot_path.Message]) -> None:
            super().__init__(messages)
            self._others = [Usual(messages), Usual(messages)]

        def run(self) -> int:
            return super().run() + sum(other.run() for other in self._others)

    Usual = hot_path.HotPath
    once = hot_path.ratio(4)
    monkeypatch.setattr(hot_path, "HotPath", Slower)
    assert hot_path.ratio(4) > hot_path.TOLERANCE * once


def test_the_reference_loop_is_the_one_that_was_recorded_with() -> None:
    assert hot_path.reference_loop(1000) == 13_884
