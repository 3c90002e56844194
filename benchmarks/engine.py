"""The engine under test: a process tree, the processor time it has used in all, its memory and its counters.

Processor time is user + system of the supervisor and every worker, also of those that have ended: a parent's account
holds its reaped children. What was killed together with its parent is read a moment before.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from types import TracebackType
from typing import Self

import psutil

from benchmarks.lab import Lab
from flows.embedded.child import die_with_parent

END_SECONDS_MAX = 60.0
WORKER = "flows.processes.worker"
COUNTERS = ("atp_units_total", "atp_epoch_commit_seconds_sum", "atp_epoch_commit_seconds_count")
APPLIED = "applied"
PATIENCE_S = 900.0


class EngineFailed(RuntimeError):
    """The engine ended when it should not have, or did not end when it should have; with the end of its log."""


class Engine:
    """`atp run` on a lab; a context manager that leaves no process behind."""

    def __init__(self, lab: Lab, *arguments: str, **overrides: object) -> None:
        self._lab = lab
        self._log = lab.folder / "engine.log"
        self._ended_cpu_s = 0.0
        self._workers: dict[int, psutil.Process] = {}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli", "run", *arguments],
                env=lab.environment(**overrides),
                cwd=lab.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - it takes no lock: one system call
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.runs():
            self.kill()
        if error is not None:
            error.add_note(f"the engine said:\n{self.text()}")

    # --- its life ----------------------------------------------------------------------------------------------------

    def runs(self) -> bool:
        """Say whether it is there; its account is closed when it is found to have ended."""
        if self._process.returncode is None:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self._ended_cpu_s = usage.ru_utime + usage.ru_stime
        return self._process.returncode is None

    def check(self) -> None:
        """Raise if it has ended."""
        if not self.runs():
            raise EngineFailed(f"the engine ended with {self._process.returncode}:\n{self.text()}")

    def finish(self, seconds: float = PATIENCE_S) -> None:
        """Wait for its own end, as with --until-caught-up."""
        deadline = time.monotonic() + seconds
        while self.runs():
            if time.monotonic() > deadline:
                self.kill()
                raise EngineFailed(f"the engine did not end within {seconds:.0f} s:\n{self.text()}")
            time.sleep(0.02)
        if self._process.returncode != 0:
            raise EngineFailed(f"the engine ended with {self._process.returncode}:\n{self.text()}")

    def stop(self) -> None:
        """End it as an operator would."""
        if self.runs():
            self._process.terminate()
        self.finish(END_SECONDS_MAX)

    def kill(self) -> None:
        """SIGKILL all of its processes in one moment."""
        everyone = self._tree()
        spent = self.cpu_s()
        for process in everyone:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        deadline = time.monotonic() + END_SECONDS_MAX
        while any(map(lives, everyone[1:])) and time.monotonic() < deadline:
            time.sleep(0.005)
        self._ended_cpu_s = spent

    def kill_worker(self) -> None:
        """SIGKILL one worker; the supervisor starts the cluster again."""
        next(process for process in self._tree() if WORKER in process.cmdline()).kill()

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self._process.pid

    # --- what it uses ------------------------------------------------------------------------------------------------

    def cpu_s(self) -> float:
        """Processor seconds so far, user + system, of all processes it ever had."""
        if not self.runs():
            return self._ended_cpu_s
        total = 0.0
        for process in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def rss_mb(self) -> float:
        """Resident memory of all its processes now."""
        total = 0
        for process in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total / 1e6

    def units(self) -> float:
        """Count the units judged so far: order lines and movements, whatever became of them."""
        return self.counters()["atp_units_total"]

    def counters(self) -> dict[str, float]:
        """Read some of the engine's own counters, added up over workers and labels; 0 while it does not answer."""
        found = dict.fromkeys((*COUNTERS, APPLIED), 0.0)
        address = f"http://127.0.0.1:{self._lab.metrics_port}/metrics"
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=3) as answer:
            for line in answer.read().decode().splitlines():
                name = line.partition("{")[0]
                if name in found:
                    value = float(line.rsplit(" ", 1)[1])
                    found[name] += value
                    if 'outcome="applied"' in line:
                        found[APPLIED] += value
        return found

    def text(self) -> str:
        """Give the end of what it wrote."""
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""

    def _tree(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            supervisor = psutil.Process(self._process.pid)
            return [supervisor, *supervisor.children(recursive=True)]
        return []


def lives(process: psutil.Process) -> bool:
    """Say whether it still holds anything; a zombie that init has not asked for its exit code yet does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
