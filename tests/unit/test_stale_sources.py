"""Decides whether a source that fell silent is reported once, and once more when it speaks again (section 7)."""

from __future__ import annotations

import pytest

from operators.stale_sources import StaleSources
from schemas.messages import ExceptionNote

MINUTE = 60_000_000
NOON = 720 * MINUTE


@pytest.fixture
def watch() -> StaleSources:
    """The warehouse system speaks every 10 minutes, the shop's every 30; both were heard at noon."""
    watch = StaleSources({"wms": 10 * MINUTE, "shop": 30 * MINUTE})
    assert watch.hear([{"wms": NOON, "shop": NOON}], NOON) == []
    return watch


def told(notes: list[ExceptionNote]) -> list[tuple[str, bool, int, int]]:
    """Give source, whether it is silent, since when that is known, and when the source was heard last."""
    assert all((note.code, note.item, note.location) == ("stale_source", "", "") for note in notes)
    assert all(
        note.first_seen == note.last_seen and set(note.quantities) == {"silent_seconds"}
        for note in notes
        if note.is_open
    )
    assert all(note.quantities == {} for note in notes if not note.is_open)
    return [
        (
            note.source,
            note.is_open,
            note.first_seen,
            note.last_seen - 1_000_000 * note.quantities.get("silent_seconds", 0),
        )
        for note in notes
    ]


@pytest.mark.parametrize(
    ("after", "is_stale"), [(10 * MINUTE - 1, False), (10 * MINUTE, True), (10 * MINUTE + 1_000_000, True)]
)
def test_a_source_is_stale_when_it_was_silent_for_as_long_as_it_may(
    watch: StaleSources, after: int, is_stale: bool
) -> None:
    assert told(watch.check(NOON + after)) == ([("wms", True, NOON + after, NOON)] if is_stale else [])


def test_it_is_reported_once(watch: StaleSources) -> None:
    assert len(watch.check(NOON + 11 * MINUTE)) == 1
    assert watch.check(NOON + 12 * MINUTE) == []
    assert told(watch.check(NOON + 30 * MINUTE)) == [("shop", True, NOON + 30 * MINUTE, NOON)]


def test_it_is_over_when_the_source_speaks_again(watch: StaleSources) -> None:
    silent, spoke = NOON + 11 * MINUTE, NOON + 15 * MINUTE
    watch.check(silent)
    assert watch.hear([{"shop": spoke}], spoke) == []
    assert told(watch.hear([{"wms": spoke}], spoke)) == [("wms", False, silent, spoke)]
    assert watch.hear([{"wms": spoke + 1}], spoke + 1) == []
    assert told(watch.check(spoke + 1 + 10 * MINUTE)) == [("wms", True, spoke + 1 + 10 * MINUTE, spoke + 1)]


@pytest.mark.parametrize(("spoke", "is_over"), [(5 * MINUTE - 1, False), (5 * MINUTE, False), (5 * MINUTE + 1, True)])
def test_old_news_does_not_end_it(watch: StaleSources, spoke: int, is_over: bool) -> None:
    watch.check(NOON + 11 * MINUTE)
    assert bool(watch.hear([{"wms": NOON + spoke}], NOON + 15 * MINUTE)) is is_over


def test_the_latest_word_counts_whatever_order_they_come_in(watch: StaleSources) -> None:
    watch.hear([{"wms": NOON + 5 * MINUTE}, {"wms": NOON + 2 * MINUTE}], NOON + 6 * MINUTE)
    watch.hear([{"wms": NOON + 1 * MINUTE}], NOON + 6 * MINUTE)
    assert watch.check(NOON + 15 * MINUTE - 1) == []
    assert told(watch.check(NOON + 15 * MINUTE)) == [("wms", True, NOON + 15 * MINUTE, NOON + 5 * MINUTE)]


def test_a_source_never_heard_is_counted_from_the_beginning() -> None:
    watch = StaleSources({"wms": 10 * MINUTE})
    assert watch.check(NOON) == [], "nothing was heard yet, not even silence"
    assert watch.hear([], NOON) == []
    assert watch.check(NOON + 10 * MINUTE - 1) == []
    assert told(watch.check(NOON + 10 * MINUTE)) == [("wms", True, NOON + 10 * MINUTE, NOON)]


def test_a_source_whose_last_word_was_before_the_beginning_is_counted_from_that() -> None:
    watch = StaleSources({"wms": 10 * MINUTE})
    watch.hear([], NOON)
    assert watch.hear([{"wms": NOON - 8 * MINUTE}], NOON) == []
    assert told(watch.check(NOON + 2 * MINUTE)) == [("wms", True, NOON + 2 * MINUTE, NOON - 8 * MINUTE)]


def test_a_source_nobody_watches_may_be_silent(watch: StaleSources) -> None:
    watch.hear([{"erp": NOON}], NOON)
    assert [note.source for note in watch.check(NOON + 600 * MINUTE)] == ["wms", "shop"]


def test_next_check_is_when_the_next_source_will_be_stale(watch: StaleSources) -> None:
    assert watch.next_check() == NOON + 10 * MINUTE
    watch.hear([{"wms": NOON + 25 * MINUTE}], NOON + 25 * MINUTE)
    assert watch.next_check() == NOON + 30 * MINUTE
    watch.check(NOON + 30 * MINUTE)
    assert watch.next_check() == NOON + 35 * MINUTE
    watch.check(NOON + 35 * MINUTE)
    assert watch.next_check() is None
    assert StaleSources({}).next_check() is None
    assert StaleSources({"wms": MINUTE}).next_check() is None


def test_a_restart_remembers_who_spoke_and_who_was_reported(watch: StaleSources) -> None:
    watch.check(NOON + 11 * MINUTE)
    again = StaleSources({"wms": 10 * MINUTE, "shop": 30 * MINUTE}, watch.snapshot())
    assert again.check(NOON + 12 * MINUTE) == []
    assert again.next_check() == NOON + 30 * MINUTE
    assert told(again.hear([{"wms": NOON + 13 * MINUTE}], NOON + 13 * MINUTE)) == [
        ("wms", False, NOON + 11 * MINUTE, NOON + 13 * MINUTE)
    ]


def test_a_source_that_is_no_longer_watched_is_no_longer_reported(watch: StaleSources) -> None:
    watch.check(NOON + 11 * MINUTE)
    again = StaleSources({"shop": 30 * MINUTE}, watch.snapshot())
    assert told(again.hear([], NOON + 12 * MINUTE)) == [("wms", False, NOON + 11 * MINUTE, NOON + 12 * MINUTE)]
    assert again.quiet_since == {}


def test_a_longer_patience_ends_what_a_shorter_one_reported(watch: StaleSources) -> None:
    watch.check(NOON + 11 * MINUTE)
    again = StaleSources({"wms": 60 * MINUTE}, watch.snapshot())
    assert told(again.hear([], NOON + 12 * MINUTE)) == [("wms", False, NOON + 11 * MINUTE, NOON + 12 * MINUTE)]
