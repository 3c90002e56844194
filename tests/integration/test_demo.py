"""The demo plays its day to the end and finds every number right, on one machine and on three."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("machines", [1, 3])
def test_the_day_is_played_and_every_number_is_right(machines: int, tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ATP_")}
    root = Path(__file__).resolve().parents[2]
    played = subprocess.run(
        [sys.executable, "-m", "flows.cli", "demo", "--seconds", "30", "--machines", str(machines)],
        cwd=tmp_path,
        env={**clean, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = " ".join((played.stdout + played.stderr).split())
    assert played.returncode == 0, said
    assert "Every number is right." in said
    lost = "the engine and its workers are gone" if machines == 1 else "machine 2 of 3 is gone"
    assert lost in said
