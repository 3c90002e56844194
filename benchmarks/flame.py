"""Where a worker's time goes while it drains a backlog, as flame graphs by py-spy: compiled, and the sources plain.

    python -m benchmarks.flame [--events 400000] [--seconds 10]

Writes `report/flame-compiled.svg` (with the C frames) and `report/flame-plain.svg`. py-spy has to be allowed to look
into another process: root, or `kernel.yama.ptrace_scope` 0.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks import lab as laboratory
from benchmarks.engine import Engine
from benchmarks.lab import ROOT, Lab
from flows.traffic.profile import Profile, reference

REPORT = Path(__file__).resolve().parent / "report"
SPY = Path(sys.executable).with_name("py-spy")
PACKAGES = ("flows", "operators", "schemas")
START_S = 60.0
TITLE = "A worker that drains a backlog"
#: what a worker does before it is at full speed is left out
WARM_UP_S = 3.0


def main() -> int:
    """Record both."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flame", description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=10)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        plain = Path(name)
        for package in PACKAGES:
            shutil.copytree(ROOT / package, plain / package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        for kind, sources in (("compiled", ROOT), ("plain", plain)):
            target = REPORT / f"flame-{kind}.svg"
            record(sources, target, Profile(events=told.events, items=told.items), told.seconds)
            print(f"{target} ({target.stat().st_size // 1000} kB)", flush=True)
    return 0


def record(sources: Path, target: Path, profile: Profile, seconds: int) -> None:
    """Drain a backlog by an engine of these sources, and look at its worker meanwhile."""
    laboratory.ROOT = sources
    try:
        with Lab() as lab:
            lab.send(reference(profile))
            with Engine(lab, "--until-caught-up") as engine:
                engine.finish()
            lab.preload(profile)
            with Engine(lab, "--until-caught-up"):
                worker = found(str(lab.folder))
                time.sleep(WARM_UP_S)
                command = [SPY, "record", "--pid", str(worker), "--duration", str(seconds), "--rate", "200", "--gil"]
                command += ["--native"] if sources == ROOT else []
                command += ["--output", str(target)]
                subprocess.run(command, check=True, capture_output=True)
        # The title says the command, with the folders of the machine it ran on; the script is others' work.
        drawn = target.read_text().replace(" ".join(map(str, command)), TITLE).replace(' onload="init(evt)"', "")
        target.write_text(re.sub("<script.*</script>", "", drawn, flags=re.DOTALL))
    finally:
        laboratory.ROOT = ROOT


def found(folder: str) -> int:
    """Find the worker of the engine that runs in a folder."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        for process in psutil.Process().children(recursive=True):
            if "flows.processes.worker" in process.cmdline() and process.cwd() == folder:
                return process.pid
        time.sleep(0.1)
    raise RuntimeError("no worker was started")


if __name__ == "__main__":
    sys.exit(main())
