"""Writes what the peers' run measured: JSON for machines, a Markdown table with ratios for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REPORT = Path(__file__).resolve().parent.parent / "report"
HEAD = (
    "CPU µs/event, steady",
    "times ours",
    "with JIT",
    "whole run",
    "events/s, second half",
    "memory MB",
    "updates/event",
    "servers' CPU µs/event",
    "numbers right",
)


def row(result: dict[str, Any], ours: dict[str, Any] | None) -> list[str]:
    """Give the cells of one contestant."""
    ratio = f"{result['cpu_us_steady'] / ours['cpu_us_steady']:.2f}" if ours else ""
    right = f"{result['compared'] - result['wrong']:,} of {result['compared']:,}"
    return [
        f"{result['cpu_us_steady']:.1f}",
        ratio,
        f"{result['cpu_us_second_half']:.1f}",
        f"{result['cpu_us']:.1f}",
        f"{result['events_per_s_second_half']:,.0f}",
        f"{result['rss_mb_max']:,}",
        f"{result['updates'] / result['events']:.2f}",
        f"{result['servers_cpu_us']:.1f}",
        right,
    ]


def markdown(found: dict[str, Any]) -> str:
    """Give the page."""
    results = found["results"]
    ours = next((result for result in results if result["name"] == "ours"), None)
    shape = found["shape"]
    lines = [
        "# The same job on what one would otherwise pick",
        "",
        f"{shape['events']:,} events of {found['bytes_per_event']:.0f} bytes on average, {shape['items']:,} items "
        f"(Zipf {shape['zipf']}), 5 locations, 4 channels, {shape['duplicates']:.0%} repeats, seed {shape['seed']}, "
        f"{found['partitions']} partitions; every change published would be "
        f"{found['changes'] / shape['events']:.2f} updates an event.",
        f"Made by `{found['command']}` on {found['machine']}.",
        "",
        "| | " + " | ".join(HEAD) + " |",
        "|---|" + "---:|" * len(HEAD),
    ]
    lines += [f"| {result['title']} | " + " | ".join(row(result, ours)) + " |" for result in results]
    lines += [
        "",
        "CPU is user and system time of all processes of a contestant, as the kernel counts it at their end, "
        'divided by the events. "With JIT": the second half of the events alone, up to the end of the process, so '
        'that start and warming up are left out. "Steady": that without the threads of the JVM\'s compilers, which '
        "in a long run fall silent; the ratio is to this. Servers: Kafka and Valkey, while it ran.",
        "",
        "A fixed loop in Python took "
        + ", ".join(f"{result['reference_loop_ms']:.0f}" for result in results)
        + " ms of CPU before each: how fast the machine was, shared as it was. Compare rates only on a quiet machine.",
        "",
        "Not the same work: the peers write Kafka only, a change each; ours writes Redis too, and each item's "
        "position, merges updates that wait for the same number, checks times and codes against reference data, and "
        "knows orders, lots, transfers and counts, which this job does not use. Its first numbers (all 0) were "
        f"published before, in a run of its own over the reference data ({found['prepared_cpu_s']:.1f} s of CPU).",
        "",
    ]
    lines += [f"- **{result['title']}**: {result['settings']}." for result in results]
    lines += [f"- {sentence}" for sentence in found["left_out"]]
    return "\n".join(lines) + "\n"


def write(found: dict[str, Any]) -> None:
    """Write both files of the report."""
    (REPORT / "results").mkdir(parents=True, exist_ok=True)
    (REPORT / "results" / "peers.json").write_text(json.dumps(found, indent=2) + "\n")
    (REPORT / "peers.md").write_text(markdown(found))
