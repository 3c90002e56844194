"""A worker's process that loads what it needs while it is found out what it is to run."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flows.processes.errand import Errand, write_errand
from flows.processes.worker_output import WorkerOutput

#: What a worker wrote last is passed on within this; somebody else may hold the pipe of a dead one open.
OUTPUT_PATIENCE_S = 2.0


class Recruit:
    """A worker's process that does not know yet what it will run."""

    def __init__(self, command: Sequence[str], lock_descriptor: int, is_json: bool = False) -> None:
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._ours, theirs = socket.socketpair()
        self._descriptor = theirs.fileno()
        # Blocked from the worker's first moment, when it could not yet answer: what comes then waits until it can.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        try:
            with theirs:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE if is_json else None,
                    stderr=subprocess.STDOUT if is_json else None,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                    pass_fds=(lock_descriptor, self._descriptor),
                    # Signals of a terminal go to the supervisor alone, which passes one on.
                    process_group=0,
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._output = WorkerOutput(self.process) if is_json else None

    def told(self, errand: Errand) -> socket.socket:
        """Hand it what to run; gives our end of the pair that it is asked through."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died: whoever watches it sees that
            self.process.stdin.write(write_errand(replace(errand, report_descriptor=self._descriptor)))
            self.process.stdin.flush()  # and kept open: the worker ends when it closes
        return self._ours

    def dismiss(self) -> None:
        """End it, if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._output is not None:
            self._output.join(OUTPUT_PATIENCE_S)
        self._ours.close()
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
