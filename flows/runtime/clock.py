"""The two clocks of a process and its sleep, as an argument: a test, or the simulation, gives its own."""

from __future__ import annotations

import time


class Clock:
    """This machine's."""

    def now(self) -> int:
        """Give the wall clock in UTC microseconds."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Give seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
