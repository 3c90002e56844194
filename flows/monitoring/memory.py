"""Watches a worker's memory, so that it ends while it still can, and nothing is forgotten early for want of room.

An id, a movement or an open claim that was dropped too soon would be a number that is wrong for ever. So the state
is never made smaller than the contract wants it: first a warning, with what would help, and then a clean stop, from
which the engine goes on where there is more room.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from flows.log import get_log
from schemas.settings import Settings

log = get_log(__name__)

#: Shares of the limit. What is between the second and all of it is room for the last epoch's snapshot.
WARN_AT = 0.80
STOP_AT = 0.90
#: 60,000 new ids a second take 6 MB: the limit has to be small before so much is missed between two looks.
LOOK_EVERY_S = 0.5
WARN_EVERY_S = 600.0
CGROUPS = Path("/sys/fs/cgroup")
#: A limit of the first version of cgroups that says "none" is close to 2^63.
UNLIMITED = 1 << 60

ADVICE = (
    "what may still be repeated or corrected is never forgotten early; give it more memory (memory_limit, or the "
    "container's), or shorten dedup_window or closed_line_retention"
)


class MemoryWatch:
    """Looks at how much memory this process takes; warns at `WARN_AT` of its share, asks for the end at `STOP_AT`."""

    def __init__(
        self,
        limit: int,
        end: Callable[[], None],
        resident: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._end = limit, end
        self._resident = resident or resident_bytes
        self._clock = clock
        self._warned_at: float | None = None
        self.has_ended_it = False

    def look(self) -> None:
        """Compare once."""
        taken = self._resident()
        if taken < WARN_AT * self._limit or self.has_ended_it:
            return
        figures = f"{taken / 1e6:.0f} MB of {self._limit / 1e6:.0f} MB ({taken / self._limit:.0%})"
        if taken >= STOP_AT * self._limit:
            self.has_ended_it = True
            log.error(
                f"memory: a worker takes {figures}, so the engine stops, with its state safe",
                kind="memory",
                next=ADVICE,
            )
            self._end()
        elif self._warned_at is None or self._clock() - self._warned_at >= WARN_EVERY_S:
            self._warned_at = self._clock()
            log.warning(
                f"memory: a worker takes {figures}; at {STOP_AT:.0%} the engine stops", kind="memory", next=ADVICE
            )

    def start(self) -> None:
        """Go on looking, in a thread that does not outlive the process."""
        threading.Thread(target=self._keep_looking, name="memory", daemon=True).start()

    def _keep_looking(self) -> None:
        while not self.has_ended_it:
            self.look()
            time.sleep(LOOK_EVERY_S)


def share_of(settings: Settings) -> int:
    """Give what one worker may take: its part of the setting, else of what the machine or the container has."""
    return (settings.memory_limit or available_bytes()) // settings.workers


def resident_bytes() -> int:
    """Give what this process takes of real memory now."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def available_bytes(cgroups: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> int:
    """Give the machine's memory, or the smallest limit that a container or a service manager puts on it."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_limits(cgroups, membership)])


def _limits(cgroups: Path, membership: Path) -> Iterator[int]:
    places = [cgroups / "memory.max", cgroups / "memory" / "memory.limit_in_bytes"]
    try:
        own = next(line[3:] for line in membership.read_text("utf-8").splitlines() if line.startswith("0::/"))
    except (OSError, StopIteration):
        own = "/"
    folder = cgroups / own.strip("/")
    while folder != cgroups:
        places.append(folder / "memory.max")
        folder = folder.parent
    for place in places:
        try:
            limit = int(place.read_text("ascii"))
        except (OSError, ValueError):  # not there, or "max"
            continue
        if limit < UNLIMITED:
            yield limit
