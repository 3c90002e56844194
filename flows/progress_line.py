"""Says on a terminal how far a long read is: one line on standard error that is written over, from the first second."""

from __future__ import annotations

import sys
import time

EVERY_S = 0.2
#: What is over before that needs no line.
FIRST_AFTER_S = 0.5


class ProgressLine:
    """Counts; shows nothing where standard error is no terminal."""

    def __init__(self, what: str, of: int | None = None) -> None:
        self._what, self._of = what, of
        self._is_shown = sys.stderr.isatty()
        self._done = 0
        self._due = time.monotonic() + FIRST_AFTER_S
        self._width = 0

    def expect(self, of: int) -> None:
        """Say how many there are."""
        self._of = of

    def add(self, count: int = 1) -> None:
        """So many more were read."""
        self._done += count
        if self._is_shown and time.monotonic() >= self._due:
            self._due = time.monotonic() + EVERY_S
            share = f" of {self._of:,} ({100 * self._done // max(self._of, 1)} %)" if self._of is not None else ""
            line = f"{self._what}: {self._done:,}{share}"
            self._width = max(self._width, len(line))
            print(f"\r{line:<{self._width}}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Take the line away."""
        if self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=sys.stderr, flush=True)
            self._width = 0
