"""Measures one run of one contestant: the processor time of all its processes, its memory, how far it was when.

Processor time (user and system) is what the kernel charged to the process and to its children, taken when it has ended:
nothing that it puts off to its last second is left out. The second half is from the moment at which half of the events
were through until that end, so that the start of a process, a compiler that warms up and empty tables fall into the
first half; it includes the end of the process.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

SAMPLE_S = 0.1
TIMEOUT_S = 3600.0
LOG_TAIL = 4000
TICKS = os.sysconf("SC_CLK_TCK")


class Sample(NamedTuple):
    """How far it was at a moment, and what it had cost by then."""

    moment_s: float
    cpu_s: float
    events: float
    compiling_s: float = 0.0


class Run(NamedTuple):
    """What a run took."""

    seconds: float
    cpu_s: float
    cpu_second_half_s: float
    #: of that, what a JIT compiler's threads took; the rest is what it costs in the long run
    compiling_second_half_s: float
    seconds_second_half: float
    rss_mb_max: int


class ContestantFailed(RuntimeError):
    """It did not end well; the message has the end of its log."""


def run(
    command: list[str], environment: Mapping[str, str], folder: Path, events: int, progress: Callable[[Path], float]
) -> Run:
    """Run a command until it ends by itself; `progress` reads how many events are through, given its log."""
    log = folder / "log.txt"
    with log.open("wb") as out:
        started = time.monotonic()
        process = subprocess.Popen(command, env=dict(environment), cwd=folder, stdout=out, stderr=subprocess.STDOUT)
    samples = [Sample(started, 0.0, 0.0)]
    memory = 0
    compilers: dict[str, float] = {}
    try:
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                process.returncode = os.waitstatus_to_exitcode(status)
                break
            if time.monotonic() - started > TIMEOUT_S:
                raise ContestantFailed(f"{command[0]} did not end within {TIMEOUT_S:.0f} s.{tail(log)}")
            cpu, resident = _now(process.pid)
            memory = max(memory, resident)
            compilers.update(_compilers(process.pid))
            samples.append(Sample(time.monotonic(), cpu, progress(log), sum(compilers.values())))
            time.sleep(SAMPLE_S)
    except BaseException:
        end(process)
        raise
    over = time.monotonic()
    if process.returncode != 0:
        raise ContestantFailed(f"{command[0]} ended with {process.returncode}.{tail(log)}")
    total = usage.ru_utime + usage.ru_stime
    half = at_event(samples, events / 2)
    through = at_event(samples, events)
    return Run(
        over - started,
        total,
        total - half.cpu_s,
        samples[-1].compiling_s - half.compiling_s,
        through.moment_s - half.moment_s,
        memory // 1_000_000,
    )


def at_event(samples: list[Sample], event: float) -> Sample:
    """Interpolate the moment and the cost at which an event was through; the last sample if that was not seen."""
    for before, after in itertools.pairwise(samples):
        if after.events >= event > before.events:
            share = (event - before.events) / (after.events - before.events)
            return Sample(
                before.moment_s + share * (after.moment_s - before.moment_s),
                before.cpu_s + share * (after.cpu_s - before.cpu_s),
                event,
                before.compiling_s + share * (after.compiling_s - before.compiling_s),
            )
    return samples[-1]


def reference_loop_ms() -> float:
    """Time a fixed loop, in milliseconds of processor time: how fast this machine is just now, shared as it is."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        total = 0
        for number in range(1_000_000):
            total += number & 3
        best = min(best, time.process_time() - began)
    return best * 1e3


def said(log: Path) -> float:
    """Read how far a peer said it is: its last line "progress N"."""
    with log.open("rb") as lines:
        lines.seek(max(0, log.stat().st_size - LOG_TAIL))
        text = lines.read().decode(errors="replace")
    for line in reversed(text.split("\n")[:-1]):
        if line.startswith("progress "):
            return float(line.split()[1])
    return 0.0


def tail(log: Path) -> str:
    """Give the end of a log, to be shown after a sentence."""
    return f" The end of its log:\n{log.read_text(errors='replace')[-LOG_TAIL:]}"


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children."""
    with contextlib.suppress(psutil.NoSuchProcess):
        ours = psutil.Process(process.pid)
        for one in [*ours.children(recursive=True), ours]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()


def _compilers(pid: int) -> dict[str, float]:
    """Give the processor seconds of each thread that compiles (the JVM's C1 and C2); they come and go."""
    found = {}
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = task.read_text().rpartition(")")
            if "(C1 Compiler" in name or "(C2 Compiler" in name:
                fields = rest.split()
                found[task.parent.name] = (int(fields[11]) + int(fields[12])) / TICKS
    return found


def _now(pid: int) -> tuple[float, int]:
    """Give processor seconds and resident bytes of a process and its descendants."""
    cpu, memory = 0.0, 0
    with contextlib.suppress(psutil.NoSuchProcess):
        ours = psutil.Process(pid)
        for one in [ours, *ours.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                cpu += times.user + times.system
                if one.pid == pid:  # what has ended already, of the engine's supervisor
                    cpu += times.children_user + times.children_system
                memory += one.memory_info().rss
    return cpu, memory
