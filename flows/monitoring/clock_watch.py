"""Notices that the machine's clock was set back, and ends the worker: the engine beneath would stand still until then.

Bytewax goes by the wall clock. Set back by 30 s, its sources and epochs wait for 30 s; set back by a day, for a day. A
run that starts afterwards goes by the new time at once. What is in flight is as safe as in any other crash.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from flows.log import get_log

log = get_log(__name__)

LOOK_EVERY_S = 0.25
#: A step back that is worth a restart, which takes about as long. Time servers slew what is less.
STEP_MIN_S = 1.0


class ClockWatch:
    """Compares the wall clock with one that cannot be set; calls `end` with the step when it went back."""

    def __init__(
        self,
        end: Callable[[float], None],
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._end, self._wall, self._steady = end, wall, steady
        self._ahead = wall() - steady()

    def look(self) -> None:
        """Compare once."""
        ahead = self._wall() - self._steady()
        step = self._ahead - ahead
        if step >= STEP_MIN_S:
            self._ahead = ahead
            self._end(step)
        elif step < 0:
            self._ahead = ahead  # set forward, or the machine slept: nobody waits for anything

    def start(self) -> None:
        """Go on looking, in a thread that does not outlive the process."""
        threading.Thread(target=self._keep_looking, name="clock", daemon=True).start()

    def _keep_looking(self) -> None:
        while True:
            time.sleep(LOOK_EVERY_S)
            self.look()


def end_worker(step: float) -> None:
    """Say it, and end at once: the dataflow's own end would wait for the clock as well."""
    log.error(
        f"the clock was set back by {step:.1f} s: the worker ends",
        kind="clock",
        next="it is started again by itself and goes on by the new time; let a time server slew the clock, not step it",
    )
    logging.shutdown()
    os._exit(1)
