"""How far behind: in messages, and since when."""

from __future__ import annotations

import pytest

from flows.kafka.identity import TopicFacts
from flows.monitoring.lag import SEEN_MAX, Lag, LagWatch, PartitionLag, Row
from flows.monitoring.topic_watch import unchanged
from flows.settings import load_settings

NOON = 1_800_000_000.0


@pytest.fixture
def lag() -> PartitionLag:
    return PartitionLag()


def test_nothing_is_known_before_kafka_has_told(lag: PartitionLag) -> None:
    assert lag.lag(Row(5, NOON), NOON) is None


def test_at_the_end_there_is_no_lag_however_old_the_last_message(lag: PartitionLag) -> None:
    lag.saw(5, NOON)
    assert lag.lag(Row(5, NOON - 9_000), NOON) == Lag(0, 0.0)
    assert lag.lag(Row(6, NOON - 9_000), NOON) == Lag(0, 0.0)  # its end was asked for before the last message


def test_after_a_quiet_hour_a_message_is_as_old_as_we_have_seen_it(lag: PartitionLag) -> None:
    lag.saw(5, NOON)
    lag.lag(Row(5, NOON - 3_600), NOON)
    lag.saw(6, NOON + 2)
    lag.saw(9, NOON + 4)
    assert lag.lag(Row(5, NOON - 3_600), NOON + 5) == Lag(4, 3.0)
    assert lag.lag(Row(6, NOON + 1), NOON + 5) == Lag(3, 1.0)


def test_a_backlog_is_as_old_as_the_message_read_last(lag: PartitionLag) -> None:
    lag.saw(1000, NOON)
    assert lag.lag(Row(10, NOON - 7_200), NOON) == Lag(990, 7_200.0)


def test_a_backlog_of_which_nothing_was_read_is_as_old_as_our_look_at_it(lag: PartitionLag) -> None:
    lag.saw(1000, NOON)
    assert lag.lag(None, NOON + 30) == Lag(1000, 30.0)


def test_who_begins_again_has_a_backlog_again(lag: PartitionLag) -> None:
    lag.saw(5, NOON)
    lag.lag(Row(5, NOON - 60), NOON)
    lag.begin_again()
    lag.saw(9, NOON + 1)
    assert lag.lag(Row(5, NOON - 60), NOON + 1) == Lag(4, 61.0)


def test_what_is_remembered_is_bounded_and_its_oldest_stays(lag: PartitionLag) -> None:
    lag.saw(1, NOON)
    lag.lag(Row(1, NOON), NOON)
    for number in range(3 * SEEN_MAX):
        lag.saw(number + 2, NOON + number)
    assert len(lag._seen) <= SEEN_MAX
    assert lag.lag(Row(1, NOON), NOON + 5_000) == Lag(3 * SEEN_MAX, 5_000.0)


# --- behind: for how long all that was logged is in -----------------------------------------------------------------


def test_behind_is_unknown_until_kafka_has_told_and_nothing_at_the_end(lag: PartitionLag) -> None:
    assert lag.behind(Row(5, NOON), NOON) is None
    lag.saw(5, NOON)
    assert lag.behind(Row(5, NOON - 9_000), NOON + 1) == 0.0
    assert lag.behind(Row(6, NOON - 9_000), NOON + 1) == 0.0


def test_a_partition_with_nothing_in_it_is_at_its_end(lag: PartitionLag) -> None:
    lag.saw(0, NOON)
    assert lag.behind(None, NOON + 60) == 0.0


def test_in_a_backlog_it_is_how_long_ago_the_last_that_was_applied_was_logged(lag: PartitionLag) -> None:
    lag.saw(1000, NOON)
    assert lag.behind(Row(10, NOON - 7_200), NOON) == 7_200.0
    assert lag.behind(Row(600, NOON - 60), NOON + 1) == 61.0


def test_after_a_quiet_hour_it_is_how_long_ago_the_end_was_seen_and_not_an_hour(lag: PartitionLag) -> None:
    lag.saw(5, NOON)
    assert lag.behind(Row(5, NOON - 3_600), NOON) == 0.0
    lag.saw(6, NOON + 2)
    assert lag.behind(Row(5, NOON - 3_600), NOON + 3) == 3.0, "what was logged by the look at noon is in"


def test_a_backlog_of_which_nothing_was_applied_is_as_old_as_our_look_at_it(lag: PartitionLag) -> None:
    lag.saw(1000, NOON)
    assert lag.behind(None, NOON + 30) == 30.0


def test_of_another_topic_in_its_place_all_is_unread(lag: PartitionLag) -> None:
    lag.saw(100, 1000.0)
    assert lag.lag(Row(100, 990.0), 1000.0) == Lag(0, 0.0)
    lag.saw(3, 1010.0)  # it got shorter: no topic does
    assert lag.lag(Row(100, 990.0), 1011.0) == Lag(3, 1.0)
    lag.saw(200, 1012.0)
    assert lag.lag(Row(100, 990.0), 1013.0) == Lag(200, 3.0)


def test_a_topic_that_got_shorter_and_is_the_same_has_the_lag_that_it_has(lag: PartitionLag) -> None:
    lag.saw(100, 1000.0)
    assert lag.lag(Row(90, 990.0), 1001.0) is not None
    lag.saw(95, 1010.0)  # it lost its newest messages
    lag.is_same(1009.0)  # asked before that
    assert lag.lag(Row(95, 990.0), 1015.0) == Lag(95, 5.0)
    lag.is_same(1012.0)
    assert lag.lag(Row(95, 990.0), 1015.0) == Lag(0, 0.0)
    lag.saw(97, 1020.0)
    assert lag.lag(Row(95, 990.0), 1024.0) == Lag(2, 4.0), "as old as we have seen it, and not as the lost ones"


def test_of_what_is_left_of_a_topic_that_got_shorter_the_age_is_known_still(lag: PartitionLag) -> None:
    lag.saw(50, 1000.0)
    lag.lag(Row(50, 990.0), 1000.0)
    lag.saw(70, 1010.0)
    lag.saw(90, 1020.0)
    lag.saw(60, 1030.0)
    lag.is_same(1031.0)
    assert lag.lag(Row(50, 990.0), 1040.0) == Lag(10, 30.0)
    lag.saw(80, 1050.0)
    assert lag.lag(Row(60, 990.0), 1060.0) == Lag(20, 10.0)


def test_a_watch_hears_which_topics_are_the_same() -> None:
    watch = LagWatch(load_settings())
    watch._parts = {f"{topic}/0": PartitionLag() for topic in ("a", "b")}
    for part in watch._parts.values():
        part.saw(9, 1000.0)
        part.saw(5, 1001.0)
    watch.confirm({"a"}, 1002.0)
    rows = {part: Row(5, 990.0) for part in watch._parts}
    assert {part: lag.messages for part, lag in watch.lags(rows, {}).items()} == {"a/0": 0, "b/0": 5}


def test_only_a_topic_with_the_id_that_it_had_is_certainly_the_same() -> None:
    known = {name: TopicFacts("1", 2) for name in "abc"} | {"d": TopicFacts("", 2)}
    found = {"a": TopicFacts("1", 2), "b": TopicFacts("2", 2), "c": None, "d": TopicFacts("", 2)}
    assert unchanged(known, found) == {"a"}


def test_a_topic_that_is_told_to_be_another_has_no_known_end_until_kafka_is_asked(lag: PartitionLag) -> None:
    lag.saw(100, 1000.0)
    lag.is_another(1001.0)
    assert lag.lag(Row(100, 990.0), 1001.0) is None
    lag.saw(150, 1002.0)
    lag.is_another(1003.0)
    assert lag.lag(Row(100, 990.0), 1004.0) == Lag(150, 3.0)


def test_of_a_topic_that_is_gone_no_lag_is_told(lag: PartitionLag) -> None:
    lag.saw(100, 1000.0)
    lag.is_gone()
    assert lag.lag(Row(100, 990.0), 1001.0) is None
