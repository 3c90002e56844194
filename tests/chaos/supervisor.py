"""The production supervisor with traps of its own, which starts workers with traps: `python -m tests.chaos.supervisor`.

Its settings are those of the environment. After a death it starts again at once, so that a loop takes seconds;
CHAOS_PAUSES=production leaves the pauses as they are.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flows.processes import supervisor
from flows.readmodel.store import Store
from flows.settings import load_settings
from flows.storage.folder import StateFolder
from tests.chaos.trap import FOLDER, Trap
from tests.chaos.worker import WITHOUT, step_clock, switch_off, wrap

PAUSES = "CHAOS_PAUSES"
WORKER = (sys.executable, "-m", "tests.chaos.worker")


def main() -> int:
    """Run until ended."""
    step_clock()
    trap = Trap(Path(os.environ[FOLDER]))
    if os.environ.get(WITHOUT) == "fence":
        switch_off("fence", trap)
    wrap(Store, "claim", None, lambda: trap.passes("after the token"))
    wrap(StateFolder, "keep_token", None, lambda: trap.passes("token kept"))
    if os.environ.get(PAUSES) != "production":
        supervisor.RESTART_PAUSES_S = (0.1, 0.3, 0.5)  # type: ignore[assignment]
    settings = load_settings(Path(os.environ["ATP_CONFIG"]))
    return supervisor.run(settings, until_caught_up="--until-caught-up" in sys.argv, wait=True, worker=WORKER)


if __name__ == "__main__":
    sys.exit(main())
