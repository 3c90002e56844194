"""Draws the report's plots: small SVG files, the same bytes for the same results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

Content = dict[str, Any]
SIZE = (7.0, 2.8)
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "atp-engine",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}
#: where the shares of a latency curve stand: one step a nine
NINES = {0: 0.0, 50: 0.3, 90: 1.0, 99: 2.0, 99.9: 3.0, 99.99: 4.0}
NAMES = {
    "cpu_us_a_message": "CPU a message, µs",
    "bytes_an_id": "bytes an id",
    "epoch_commit_ms_mean": "an epoch's stall, ms",
    "rss_mb_max": "MB",
}


def draw(kind: str, content: Content, path: Path) -> bool:
    """Draw one plot of a scenario's results; False where they hold nothing for it."""
    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=SIZE)
        try:
            if not KINDS[kind](axes, content):
                return False
            figure.tight_layout()
            figure.savefig(path, metadata={"Date": None})
        finally:
            pyplot.close(figure)
    # A blank at a line's end is no drawing, and a diff's noise.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
    return True


def _series(content: Content, name: str) -> list[tuple[str, Any]]:
    """Give a series of each variant's first run."""
    found = []
    for variant, measured in content["variants"].items():
        series = measured["runs"][0].get("series", {}).get(name)
        if series:
            found.append((variant, series))
    return found


def _progress(axes: Any, content: Content) -> bool:
    for measured in content["variants"].values():
        for number, run in enumerate(measured["runs"], 1):
            points = run["series"].get("progress", [])
            axes.plot([p[0] for p in points], [p[1] / 1000 for p in points], label=f"run {number}")
    axes.set_xlabel("seconds since the start")
    axes.set_ylabel("thousand units judged")
    axes.legend()
    return True


def _bars(axes: Any, content: Content) -> bool:
    first = next(iter(content["variants"].values()))["summary"]
    return _bars_of(axes, content, "bytes_an_id" if "bytes_an_id" in first else "cpu_us_a_message")


def _stalls(axes: Any, content: Content) -> bool:
    return _bars_of(axes, content, "epoch_commit_ms_mean")


def _bars_of(axes: Any, content: Content, figure: str) -> bool:
    known = {name: v["summary"][figure] for name, v in content["variants"].items() if figure in v["summary"]}
    medians = [one["median"] for one in known.values()]
    spread = [
        [one["median"] - one["least"] for one in known.values()],
        [one["most"] - one["median"] for one in known.values()],
    ]
    axes.barh(list(known), medians, xerr=spread, height=0.55, color="#4c78a8", ecolor="#333333", capsize=3)
    axes.invert_yaxis()
    axes.set_xlabel(f"{NAMES[figure]} (median, least and most)")
    return bool(known)


def _latency(axes: Any, content: Content) -> bool:
    drawn = False
    for variant, windows in _series(content, "curves"):
        for window, lanes in windows.items():
            for lane, curve in lanes.items():
                if window == "outside" or lane == "all":
                    continue
                several = len(content["variants"]) > 1
                label = f"{variant} {lane}" if several else lane
                axes.plot([_nines(share) for share, _ in curve], [max(ms, 0.01) for _, ms in curve], label=label)
                drawn = True
    axes.set_xticks(list(NINES.values()), [f"{share:g} %" for share in NINES])
    axes.set_yscale("log")
    axes.set_xlabel("share of events that were readable in Redis within")
    axes.set_ylabel("ms from due")
    axes.legend(fontsize=7)
    return drawn


def _nines(share: float) -> float:
    import math

    return 4.3 if share >= 100 else -math.log10(1 - share / 100)


def _timeline(axes: Any, content: Content) -> bool:
    series = _series(content, "timeline")
    for variant, points in series:
        seconds = [p[0] for p in points]
        axes.plot(seconds, [max(p[2], 0.01) for p in points], label=f"{variant}: worst of each second")
        axes.plot(seconds, [max(p[1], 0.01) for p in points], label=f"{variant}: median", linestyle="--")
    axes.set_yscale("log")
    axes.set_xlabel("seconds since the start, by when the event was due")
    axes.set_ylabel("ms from due")
    axes.legend(fontsize=7)
    return bool(series)


def _lag(axes: Any, content: Content) -> bool:
    series = _series(content, "lag")
    for variant, points in series:
        axes.plot([p[0] for p in points], [p[1] for p in points], label=variant)
    axes.set_xlabel("seconds since the start")
    axes.set_ylabel("messages not yet published")
    axes.legend()
    return bool(series)


KINDS: dict[str, Callable[[Any, Content], bool]] = {
    "progress": _progress,
    "bars": _bars,
    "stalls": _stalls,
    "latency": _latency,
    "timeline": _timeline,
    "lag": _lag,
}
