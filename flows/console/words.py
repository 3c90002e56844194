"""Puts numbers and moments into words, the same on every page. Times are UTC, and say so once a page."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from flows.inspection.lookup import WHOLE


def quantity(value: int | str, scale: int) -> str:
    """Give a quantity in its unit: 25 at scale 1 is 2.5; what is no number is shown as it is."""
    if isinstance(value, str) and not WHOLE.fullmatch(value):
        return value
    number = int(value)
    if not scale:
        return str(number)
    whole, part = divmod(abs(number), 10**scale)
    return f"{'-' if number < 0 else ''}{whole}.{part:0{scale}d}"


def signed(value: int, scale: int) -> str:
    """Give by how much a quantity changed, in its unit."""
    return f"{'+' if value > 0 else ''}{quantity(value, scale)}"


def clock(moment_ms: int | None) -> str:
    """Give a moment of today by its time, another one by its date as well; empty for none."""
    if moment_ms is None:
        return ""
    try:
        moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(moment_ms)  # nobody's time
    is_today = moment.date() == datetime.now(UTC).date()
    return moment.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S")


def short(text: str | None) -> str:
    """Give a time that is text (RFC 3339, UTC) to the second."""
    return f"{text[:10]} {text[11:19]}" if text else ""


def span(seconds: float) -> str:
    """Give how long something takes or took, as coarse as a person says it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def age(moment_ms: int) -> str:
    """Say how long ago a moment was."""
    return f"{span(max(0.0, time.time() - moment_ms / 1000))} ago"


def rate(value: float) -> str:
    """Give how often a second."""
    return f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.1f}"
