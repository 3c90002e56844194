"""Decides which day a moment belongs to (contract section 1, Days)."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from operators.rules.days import Days

EPOCH = date(1970, 1, 1).toordinal()


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp()) * 1_000_000


def number(text: str) -> int:
    return date.fromisoformat(text).toordinal() - EPOCH


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("UTC", "2026-11-30T23:59:59+00:00", "2026-11-30"),
        ("UTC", "2026-12-01T00:00:00+00:00", "2026-12-01"),
        ("Asia/Tokyo", "2026-11-30T14:59:59+00:00", "2026-11-30"),
        ("Asia/Tokyo", "2026-11-30T15:00:00+00:00", "2026-12-01"),
        ("America/New_York", "2026-12-01T04:59:59+00:00", "2026-11-30"),
        ("Asia/Kathmandu", "2026-11-30T18:15:00+00:00", "2026-12-01"),
        # the clocks of New York were set back in the night before, and forward in March
        ("America/New_York", "2026-11-01T05:30:00+00:00", "2026-11-01"),
        ("America/New_York", "2026-03-08T04:59:59+00:00", "2026-03-07"),
        ("UTC", "1969-12-31T23:59:59+00:00", "1969-12-31"),
        ("Asia/Tokyo", "1969-12-31T15:00:00+00:00", "1970-01-01"),
    ],
)
def test_a_moment_is_of_the_day_that_it_falls_on_there(zone: str, at: str, day: str) -> None:
    assert Days(zone).day_of(moment(at)) == number(day)


def test_a_microsecond_before_midnight_is_of_the_day_before() -> None:
    days = Days("Europe/Berlin")
    midnight = days.start_of(number("2026-12-01"))
    assert (days.day_of(midnight - 1), days.day_of(midnight)) == (number("2026-11-30"), number("2026-12-01"))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "America/Sao_Paulo"])
def test_each_day_of_years_begins_where_the_one_before_ends(zone: str) -> None:
    days = Days(zone)
    for day in range(number("2017-01-01"), number("2027-12-31")):
        start = days.start_of(day)
        assert (days.day_of(start - 1), days.day_of(start)) == (day - 1, day)


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-30", 24)])
def test_a_day_has_the_hours_that_it_has(day: str, hours: int) -> None:
    days = Days("Europe/Berlin")
    assert days.start_of(number(day) + 1) - days.start_of(number(day)) == hours * 3_600_000_000


@pytest.mark.parametrize("at", [-62_135_596_800_000_000, 253_402_300_799_999_999])
def test_the_first_and_the_last_moment_that_can_be_written_have_a_day_everywhere(at: int) -> None:
    for zone in ("America/New_York", "Asia/Tokyo"):
        assert Days(zone).day_of(at) in (at // 86_400_000_000 - 1, at // 86_400_000_000, at // 86_400_000_000 + 1)
