"""Runs the engine as its users do, by `atp run` in a process of its own; and kills it as nobody should.

Whatever happens, it does not outlive the process that made this object.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from flows.embedded.child import die_with_parent
from flows.errors import PlainError

STOP_SECONDS_MAX = 45.0
LOG_LINES = 20


class EngineError(PlainError):
    """The engine did not do what it was asked; the text holds the end of its log."""


class Engine:
    """One engine on one state directory. `start` belongs in the main thread: Linux ends a child with its thread."""

    def __init__(self, settings: Mapping[str, object], folder: Path, config: Path) -> None:
        root = str(Path(__file__).resolve().parent.parent.parent)
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._env = {
            **os.environ,
            **{f"ATP_{name.replace('.', '__').upper()}": str(value) for name, value in settings.items()},
            "ATP_CONFIG": str(config),
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
        }
        self.log = folder / "engine.log"
        self.killed_words = "the engine and its workers are gone"
        self.started_words = "the engine is started again on the state it left behind"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str) -> None:
        """Start it; returns at once."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli", "run", *flags],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is for the demo, which ends the engine in good order
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - it takes no lock: one system call
            )

    def runs(self) -> bool:
        """Is the process there?"""
        return self._process is not None and self._process.poll() is None

    def require(self) -> None:
        """Raise EngineError if it ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise EngineError(f"the engine ended by itself with exit code {self._process.returncode}{self._tail()}")

    def kill(self) -> int:
        """SIGKILL to it and to all of its workers at once; give how many processes that were."""
        if self._process is None:
            return 0
        doomed = [self._process.pid, *_descendants(self._process.pid)]
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        return len(doomed)

    def stop(self) -> None:
        """SIGTERM, and wait; EngineError if it does not end well."""
        if self._process is not None:
            self._process.terminate()
            self.wait_for_end(STOP_SECONDS_MAX, "after SIGTERM")

    def ask_to_end(self) -> None:
        """SIGTERM; returns at once."""
        if self._process is not None:
            self._process.terminate()

    def catch_up(self, seconds_max: float) -> None:
        """Run until everything sent so far is published; EngineError if that fails."""
        self.start("--until-caught-up")
        self.wait_for_end(seconds_max, "with --until-caught-up")

    def close(self) -> None:
        """End it, in good order if it can still be had; never raises."""
        if self._process is None:
            return
        self._process.terminate()
        deadline = time.monotonic() + 10
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        self.kill()

    def wait_for_end(self, seconds_max: float, how: str) -> None:
        """Wait until it ends by itself; EngineError if it does not, or not well."""
        assert self._process is not None
        try:
            code = self._process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            self.kill()
            raise EngineError(f"the engine did not end within {seconds_max:.0f} s {how}{self._tail()}") from None
        self._process = None
        if code != 0:
            raise EngineError(f"the engine ended with exit code {code} {how}{self._tail()}")

    def _tail(self) -> str:
        lines = self.log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:] if self.log.exists() else []
        return f". The end of {self.log}:\n" + "\n".join(f"  {line}" for line in lines)


def _descendants(pid: int) -> list[int]:
    """All processes beneath one, where the system tells (Linux); elsewhere workers end with their supervisor."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, children.read_text().split()):
                found += [child, *_descendants(child)]
    return found
