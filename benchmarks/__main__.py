"""Runs the benchmarks one after another: `python -m benchmarks`, about five minutes."""

from __future__ import annotations

import subprocess
import sys

RUNS = (
    ("in_process", "--events", "200000"),
    ("memory",),
    ("drain", "--events", "400000", "--items", "100000"),
    ("latency", "--rate", "1000", "--seconds", "20"),
)


def main() -> int:
    """Run them all; the exit code of the first that fails."""
    for name, *arguments in RUNS:
        print(f"python -m benchmarks.{name} {' '.join(arguments)}", flush=True)
        code = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
