"""SIGTERM and SIGINT, as something that can be asked and waited for."""

from __future__ import annotations

import contextlib
import os
import select
import signal


class StopSignals:
    """Takes the two signals from its making until `restore`. For the main thread alone.

    Not a `threading.Event`: its lock may be held by the very line that the handler interrupts, and then neither ever
    goes on (seen: 27 of 40 processes that did nothing but wait stayed for good).
    """

    def __init__(self) -> None:
        self._is_set = False
        #: the name of the first that came
        self.name = ""
        self._reads, self._writes = os.pipe()
        os.set_blocking(self._writes, False)
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}

    def _note(self, number: int = signal.SIGTERM, *_: object) -> None:
        self._is_set = True
        self.name = self.name or signal.Signals(number).name
        with contextlib.suppress(BlockingIOError):  # full of earlier signals: it wakes whoever waits all the same
            os.write(self._writes, b"!")

    def is_set(self) -> bool:
        """Did one come?"""
        return self._is_set

    def wait(self, seconds: float) -> None:
        """Wait for one, so long at most."""
        select.select([self._reads], [], [], seconds)

    def restore(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reads)
        os.close(self._writes)
