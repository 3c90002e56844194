"""What is measured of variances: by source, cause, state and age; units, money; statements that do not come."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from flows.monitoring.variance_watch import SOURCES_MAX, VarianceTally, age_of
from tests.statements import key_of, status, variance

HOUR, DAY = 3600.0, 86_400.0
NOW = datetime(2025, 2, 10, 12, tzinfo=UTC).timestamp()


def tally(**every: int) -> VarianceTally:
    return VarianceTally(every, NOW - HOUR)


def say(found: VarianceTally, *said: dict[str, Any]) -> None:
    for one in said:
        found.variance(key_of(one).encode(), json.dumps(one).encode())


def figures(found: VarianceTally, name: str) -> dict[tuple[str, ...], float]:
    return {tuple(labels.values()): value for what, labels, value in found.samples(NOW) if what == name}


def ago(seconds: float) -> str:
    return datetime.fromtimestamp(NOW - seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_variances_are_counted_by_source_cause_state_and_age() -> None:
    found = tally()
    say(
        found,
        variance(item="A", first_seen=ago(2 * HOUR)),
        variance(item="B", first_seen=ago(3 * HOUR), theirs=7),
        variance(item="C", first_seen=ago(2 * DAY), state="held"),
        variance(item="D", first_seen=ago(30 * DAY), source="3pl", cause="unknown"),
        variance(item="E", first_seen=ago(HOUR), state="resolved"),
        variance(item="F", first_seen=ago(HOUR), state="corrected"),
    )
    assert figures(found, "atp_variances") == {
        ("erp", "missing_there", "open", "day"): 2,
        ("erp", "missing_there", "held", "week"): 1,
        ("3pl", "unknown", "open", "older"): 1,
    }
    assert figures(found, "atp_variance_units")["erp", "missing_there", "open", "day"] == 7


def test_a_variance_counts_once_as_it_is_now_and_no_more_when_it_is_settled() -> None:
    found = tally()
    one = variance(first_seen=ago(HOUR))
    say(found, one, one, {**one, "theirs": 2, "difference": -10})
    assert figures(found, "atp_variance_units") == {("erp", "missing_there", "open", "day"): 10}
    say(found, {**one, "state": "held", "cause": "stale"})
    assert figures(found, "atp_variances") == {("erp", "stale", "held", "day"): 1}
    say(found, {**one, "state": "accepted"})
    assert not figures(found, "atp_variances")
    say(found, one)
    found.variance(key_of(one).encode(), None)
    assert not figures(found, "atp_variances")


def test_units_are_base_units_and_worth_what_the_item_says() -> None:
    found = tally()
    found.item(b"RETRO-CLOCK-0", b'{"item": "RETRO-CLOCK-0", "scale": 1, "unit_value": "2.50"}')
    found.item(b"BROKEN", b'{"item": "BROKEN", "scale": "many"}')
    say(found, variance(ours=125, theirs=5, first_seen=ago(HOUR)), variance(item="PLAIN", first_seen=ago(HOUR)))
    assert figures(found, "atp_variance_units") == {("erp", "missing_there", "open", "day"): 14}
    assert figures(found, "atp_variance_value") == {("erp", "missing_there", "open", "day"): 30}
    found.item(b"RETRO-CLOCK-0", None)
    say(found, variance(ours=125, theirs=5, first_seen=ago(HOUR)))
    assert figures(found, "atp_variance_units") == {("erp", "missing_there", "open", "day"): 122}


def test_how_much_is_explained_by_age_and_in_all() -> None:
    found = tally()
    found.status(b"erp:1", json.dumps(status("1")).encode())
    assert figures(found, "atp_variance_explained_percent") == {("erp", "all"): 100}
    say(
        found,
        variance(item="A", theirs=9, first_seen=ago(HOUR)),
        variance(item="B", theirs=11, cause="unknown", first_seen=ago(HOUR)),
        variance(item="C", theirs=8, cause="unknown", first_seen=ago(9 * DAY)),
    )
    assert figures(found, "atp_variance_explained_percent") == {
        ("erp", "all"): 37.5,
        ("erp", "day"): 75,
        ("erp", "older"): 0,
    }


def test_a_statement_is_missing_when_none_was_accepted_of_a_moment_within_the_time() -> None:
    day = int(DAY * 1e6)
    found = tally(erp=day, wms=day, early=int(HOUR / 2 * 1e6))
    assert figures(found, "atp_statement_missing") == {("early",): 1, ("erp",): 0, ("wms",): 0}
    for number, age in enumerate((DAY + HOUR, 2 * DAY)):
        found.status(f"erp:{number}".encode(), json.dumps(status(f"{number}", as_of=ago(age))).encode())
    rejected = status("9", as_of=ago(HOUR), verdict="rejected")
    found.status(b"erp:9", json.dumps(rejected).encode())
    assert figures(found, "atp_statement_missing")[("erp",)] == 1
    assert figures(found, "atp_statement_accepted_timestamp_seconds") == {("erp",): NOW - DAY - HOUR}
    found.status(b"erp:10", json.dumps(status("10", as_of=ago(DAY - HOUR))).encode())
    assert figures(found, "atp_statement_missing")[("erp",)] == 0


def test_what_is_none_of_the_engines_is_passed_over_and_sources_are_bounded() -> None:
    found = tally()
    found.variance(b"k", b"no JSON")
    found.variance(b"k", b'{"source": "erp"}')
    found.status(b"k", b"[]")
    assert not list(found.samples(NOW))
    for number in range(SOURCES_MAX + 5):
        say(found, variance(source=f"s-{number}", first_seen=ago(HOUR)))
    labels = {labels[0] for labels in figures(found, "atp_variances")}
    assert len(labels) == SOURCES_MAX + 1 and "other" in labels


def test_ages_have_bounds() -> None:
    assert [age_of(seconds) for seconds in (0, DAY - 1, DAY, 7 * DAY - 1, 7 * DAY)] == [
        *("day", "day"),
        *("week", "week"),
        "older",
    ]
