"""Which day a moment belongs to (contract section 1, Days): a day is a date of the setting `time_zone`.

Days are numbered by their dates, 0 is 1970-01-01: so the d-th day after today is today's number plus d, whatever hours
the days between have where clocks are set.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

SECOND = 1_000_000
DAY = 86_400 * SECOND
_EPOCH = date(1970, 1, 1).toordinal()


class Days:
    """The days of one time zone; `zone` is an IANA name."""

    __slots__ = ("_zone", "is_utc", "name")

    def __init__(self, name: str = "UTC") -> None:
        self.name = name
        #: the plain case: a division, where a look at the zone's rules costs a microsecond
        self.is_utc = name == "UTC"
        self._zone = ZoneInfo(name)

    def day_of(self, moment: int) -> int:
        """Give the number of the day on which a moment (UTC microseconds) falls."""
        if self.is_utc:
            return moment // DAY
        try:
            return datetime.fromtimestamp(moment // SECOND, self._zone).toordinal() - _EPOCH
        except (OverflowError, ValueError):  # on the first or last day that a date can name
            return moment // DAY

    def start_of(self, day: int) -> int:
        """Give the moment (UTC microseconds) at which a day begins."""
        if self.is_utc:
            return day * DAY
        local = date.fromordinal(day + _EPOCH)
        return int(datetime(local.year, local.month, local.day, tzinfo=self._zone).timestamp()) * SECOND


@lru_cache(maxsize=16)
def days_in(name: str) -> Days:
    """Give the days of a time zone; one object a zone."""
    return Days(name)
