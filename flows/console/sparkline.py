"""Draws the values of an hour, or since the console's start, as a step line: SVG made here, without any script."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from flows.console.history import Past
from flows.console.words import clock, quantity

WIDTH, HEIGHT = 168, 28
_EDGE: Final = 2
#: A line of seconds would say nothing.
MINUTE_MS: Final = 60_000
#: More steps than this are not to be told apart on so few pixels.
STEPS_MAX: Final = 400


def sparkline(past: Past, now_ms: int, scale: int) -> Markup:
    """Give the picture, and its words for who does not see it."""
    points = past.points[-STEPS_MAX:]
    words = told(past, scale)
    if not points:
        return Markup('<span class="faint">{}</span>').format(words)
    high, width_ms = max(1, *(point.atp for point in points)), max(MINUTE_MS, now_ms - past.since_ms)

    def x(at_ms: int) -> float:
        return round(WIDTH * min(1.0, max(0.0, 1 - (now_ms - at_ms) / width_ms)), 1)

    def y(atp: int) -> float:
        return round(HEIGHT - _EDGE - (HEIGHT - 2 * _EDGE) * atp / high, 1)

    path = [f"M{x(max(points[0].at_ms, past.since_ms))} {y(points[0].atp)}"]
    path += [f"H{x(point.at_ms)}V{y(point.atp)}" for point in points[1:]]
    path.append(f"H{WIDTH}")
    return Markup(
        f'<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{words}"><path d="{"".join(path)}"/></svg>'
    )


def told(past: Past, scale: int) -> str:
    """Say the same in words."""
    if not past.points:
        return f"no value since {clock(past.since_ms)}"
    values = [point.atp for point in past.points]
    changes = len(values) - 1
    plural = "" if changes == 1 else "s"
    return (
        f"since {clock(past.since_ms)}: {changes} change{plural}, lowest {quantity(min(values), scale)}, "
        f"highest {quantity(max(values), scale)}"
    )
