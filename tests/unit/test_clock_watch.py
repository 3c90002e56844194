"""A clock that is set back is noticed; one that is slewed, or set forward, is nobody's business."""

from __future__ import annotations

from flows.monitoring.clock_watch import STEP_MIN_S, ClockWatch


class Clocks:
    """A wall clock that can be set, beside one that cannot."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_800_000_000.0, 50.0
        self.steps: list[float] = []
        self.watch = ClockWatch(lambda step: self.steps.append(round(step, 3)), lambda: self.wall, lambda: self.steady)

    def pass_time(self, seconds: float, set_by: float = 0.0) -> None:
        self.steady += seconds
        self.wall += seconds + set_by
        self.watch.look()


def test_time_that_passes_is_no_step() -> None:
    clocks = Clocks()
    for _ in range(10):
        clocks.pass_time(1000)
    assert clocks.steps == []


def test_a_step_back_is_told_once_and_with_its_size() -> None:
    clocks = Clocks()
    clocks.pass_time(0.25, set_by=-30)
    clocks.pass_time(0.25)
    assert clocks.steps == [30]


def test_only_a_step_that_is_worth_a_restart_counts() -> None:
    clocks = Clocks()
    clocks.pass_time(0.25, set_by=-STEP_MIN_S + 0.01)
    assert clocks.steps == []
    clocks.pass_time(0.25, set_by=-0.01)  # and many small ones are one
    assert clocks.steps == [STEP_MIN_S]


def test_set_forward_and_back_again_is_a_step_back() -> None:
    clocks = Clocks()
    clocks.pass_time(0.25, set_by=30)
    assert clocks.steps == []
    clocks.pass_time(0.25, set_by=-30)
    assert clocks.steps == [30]
