"""What came out: figures for people in Markdown, everything in JSON."""

from __future__ import annotations

import os
import platform
import statistics
from collections import Counter
from typing import Any

from tests.chaos.faults import FAULTS
from tests.chaos.trap import POINTS

WRONG = ("lost", "twice", "backwards", "two contents", "wrong", "ended", "stuck", "not met")


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum the rounds up."""
    told = [one for part in rounds for one in part["told"]]
    traps = [one for one in told if one["fault"] == "kill"]
    kills = [one for one in traps if one["hit"] or one["point"] == "random"]
    chosen = [one for one in kills if one["hit"]]
    faults: Counter[str] = Counter()
    for part in rounds:
        faults.update(part["faults"])
    first = sorted(one["first publication after (s)"] for one in kills if "first publication after (s)" in one)
    lines = [hit for part in rounds for hit in part["hits"]]
    # Each chosen kill has its line, written by the dying process itself.
    processes = Counter((point, process) for point, _, process in lines)
    unproven = [one for one in chosen if not processes[one["point"], one["process"]]]
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "seeds": [part["options"]["seed"] for part in rounds],
        "rounds": len(rounds),
        "faults": dict(Counter(one["fault"] for one in told)),
        "kills": len(kills),
        "kills at a chosen point": len(chosen),
        "of them without a line of the dying": len(unproven),
        "by point": dict(Counter(one["point"] for one in kills)),
        "by target": dict(Counter(one["target"] for one in kills)),
        "traps that nobody walked into": len(traps) - len(kills),
        "first publication after a kill (s)": None
        if not first
        else {
            "median": statistics.median(first),
            "p95": first[min(len(first) - 1, int(len(first) * 0.95))],
            "most": first[-1],
        },
        "events": sum(part["events"] for part in rounds),
        "repeats": sum(part["repeats"] for part in rounds),
        "poison": sum(part["poison"] for part in rounds),
        "story events": sum(part["story events"] for part in rounds),
        "events a second": round(sum(p["events"] for p in rounds) / max(1.0, sum(p["seconds"] for p in rounds))),
        "updates followed": sum(part["updates followed"] for part in rounds),
        "values read in Redis": sum(part["values read in Redis"] for part in rounds),
        "late from zombies": sum(part["late from zombies"] for part in rounds),
        "memory of a worker at most (MiB)": max(part["memory of a worker at most (MiB)"] for part in rounds),
        "wrong": {kind: faults[kind] for kind in WRONG},
        "failures": [failure for part in rounds for failure in part["failures"]],
    }


def is_clean(report: dict[str, Any]) -> bool:
    """Was nothing found?"""
    return not any(report["wrong"].values()) and not report["failures"]


def markdown(report: dict[str, Any], rounds: list[dict[str, Any]]) -> str:
    """Write it for people."""
    lines = ["# Chaos", "", f"{report['machine']}; seeds {report['seeds']}", ""]
    lines += ["| | |", "|---|---|"]
    for name, value in report.items():
        if name not in ("machine", "seeds", "faults", "by point", "failures", "wrong"):
            lines.append(f"| {name} | {value} |")
    lines += [f"| **{kind}** | **{count}** |" for kind, count in report["wrong"].items()]
    lines += ["", "| killed at | times | where that is |", "|---|---|---|"]
    for point, times in sorted(report["by point"].items(), key=lambda pair: -pair[1]):
        lines.append(f"| {point} | {times} | {POINTS.get(point, 'by the clock')} |")
    lines += ["", "| fault | times | what it does |", "|---|---|---|"]
    for name, (fault, _) in FAULTS.items():
        what = (fault.__doc__ or "").splitlines()[0]
        lines.append(f"| {name} | {report['faults'].get(name, 0)} | {what} |")
    examples = [example for part in rounds for example in part["examples"]]
    if examples or report["failures"]:
        lines += ["", "## Found", "", *(f"- {sentence[:600]}" for sentence in [*report["failures"], *examples][:60])]
    return "\n".join(lines) + "\n"
