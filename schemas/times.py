"""Moments and days as text: RFC 3339 in UTC, with microseconds."""

from __future__ import annotations

from datetime import UTC, datetime

DAY_S = 86_400
#: seconds as text: those of a few hours of events
SECONDS_MAX = 20_000
_seconds: dict[int, str] = {}
_THREE_DIGITS = [f"{number:03d}" for number in range(1000)]


def _second(seconds: int) -> str:
    text = _seconds.get(seconds)
    if text is None:
        if len(_seconds) >= SECONDS_MAX:
            _seconds.clear()
        text = _seconds[seconds] = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return text


def time_text(moment: int) -> str:
    """Give UTC microseconds as RFC 3339."""
    seconds = moment // 1_000_000
    micros = moment - seconds * 1_000_000
    millis = micros // 1000
    return f"{_second(seconds)}.{_THREE_DIGITS[millis]}{_THREE_DIGITS[micros - millis * 1000]}Z"


def day_text(day: int) -> str:
    """Give days since 1970 as a date."""
    return _second(day * DAY_S)[:10]
