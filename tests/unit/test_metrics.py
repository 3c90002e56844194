"""What is counted, and that its labels stay few."""

from __future__ import annotations

import pytest

from flows.monitoring.catalog import BUCKETS_S, COUNTER, HISTOGRAM, SPECS
from flows.monitoring.metrics import CHANNELS_MAX, SOURCES_MAX, Metrics, Sample, Tally
from operators.lane_queue import LaneQueue, LaneTimes
from operators.rules.lanes import CRITICAL, HIGH, NORMAL
from schemas.codes import REFUSAL_CODES
from schemas.messages import ChannelUpdate, ItemUpdate, Outcome, Outgoing

SECOND = 1_000_000


def change(channel: str = "web", lane: int = HIGH) -> ChannelUpdate:
    return ChannelUpdate(channel, 5, 6, None, lane, "order_placed")


def outgoing(channel: str = "web", lane: int = HIGH, since: int = 0, item: str = "SHOVEL") -> Outgoing:
    return Outgoing(1, item, change(channel, lane), 0, "", 1, since, since)


def heard(counts: dict[tuple[str, str, str], int]) -> Outcome:
    return Outcome(0, {}, [], [], [], counts, recorded=(8 * SECOND, 9 * SECOND))


def values(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    return {tuple(labels.values()): number for _, labels, number in metrics.report()[name]}


def one(samples: list[Sample], suffix: str, **labels: str) -> float:
    [found] = [number for end, have, number in samples if end == suffix and have == labels]
    return found


def test_a_histogram_counts_each_value_in_its_bucket_and_all_above() -> None:
    tally = Tally()
    for seconds in (0.0005, 0.001, 0.0011, 61):
        tally.observe(seconds)
    samples = tally.samples({"lane": "high"})
    assert one(samples, "_bucket", lane="high", le="0.001") == 2
    assert one(samples, "_bucket", lane="high", le="0.0025") == 3
    assert one(samples, "_bucket", lane="high", le="60.0") == 3
    assert one(samples, "_bucket", lane="high", le="+Inf") == one(samples, "_count", lane="high") == 4
    assert abs(one(samples, "_sum", lane="high") - 61.0026) < 1e-9


def test_units_are_counted_by_source_type_and_outcome_and_sources_are_seen() -> None:
    metrics = Metrics()
    for _ in range(2):
        metrics.count(heard({("applied", "stock_received", "wms"): 3, ("not_json", "unread", ""): 1}))
    assert values(metrics, "atp_units") == {
        ("wms", "stock_received", "applied"): 6,
        ("unknown", "unread", "not_json"): 2,
    }
    assert values(metrics, "atp_source_last_seen_timestamp_seconds") == {("wms",): 9.0}


def test_sources_beyond_the_first_are_other_but_for_those_that_the_settings_name() -> None:
    metrics = Metrics(sources=["erp"])
    for number in range(SOURCES_MAX + 40):
        metrics.count(heard({("applied", "stock_received", f"s{number}"): 1}))
    metrics.count(heard({("applied", "stock_received", "erp"): 1}))
    sources = {labels[0]: number for labels, number in values(metrics, "atp_units").items()}
    assert len(sources) == SOURCES_MAX + 1
    assert (sources["erp"], sources["other"]) == (1, 41)


def test_channels_beyond_the_first_are_other() -> None:
    metrics = Metrics()
    metrics.sent([outgoing(f"c{number}") for number in range(CHANNELS_MAX + 5)], SECOND)
    channels = values(metrics, "atp_updates")
    assert len({channel for channel, _ in channels}) == CHANNELS_MAX + 1
    assert channels["other", "high"] == 5


def test_a_number_is_as_late_as_the_oldest_event_behind_it_and_time_alone_is_not_late() -> None:
    metrics = Metrics()
    by_event = ItemUpdate("SHOVEL", 0, 0, -1, "", [change(lane=NORMAL), change("edi", CRITICAL)], {}, None)
    by_event.recorded_at = 10 * SECOND
    by_time = ItemUpdate("ROPE", 0, 0, -1, "", [change()], {}, None)
    only_figures = ItemUpdate("TENT", 0, 0, -1, "", [], {}, None, recorded_at=10 * SECOND)
    metrics.wrote([(1, by_event), (1, by_time), (1, only_figures)], 12 * SECOND, 0.004)
    samples = metrics.report()["atp_event_to_redis_seconds"]
    assert (one(samples, "_count", lane="critical"), one(samples, "_sum", lane="critical")) == (1, 2.0)
    assert sum(number for suffix, _, number in samples if suffix == "_count") == 1


def test_what_waits_is_told_by_lane() -> None:
    lanes = LaneQueue(LaneTimes())
    lanes.add(outgoing(lane=NORMAL, since=1 * SECOND), 0)
    lanes.add(outgoing(lane=NORMAL, since=2 * SECOND, item="ROPE"), 0)
    lanes.add(outgoing(lane=NORMAL, since=3 * SECOND, item="ROPE"), 0)
    metrics = Metrics()
    metrics.look_at(lanes, 5 * SECOND)
    assert values(metrics, "atp_lane_waiting_updates") == {("critical",): 0, ("high",): 0, ("normal",): 2, ("bulk",): 0}
    assert values(metrics, "atp_lane_oldest_waiting_seconds")["normal",] == 4
    assert values(metrics, "atp_updates_merged")["normal",] == 1


def test_every_code_is_there_before_it_happens() -> None:
    assert {labels[0] for labels in values(Metrics(), "atp_dead_letters")} == set(REFUSAL_CODES)
    assert values(Metrics(stale_sources=["wms"]), "atp_source_stale") == {("wms",): 0}


def test_silent_sources_are_open_exceptions_with_a_name() -> None:
    metrics = Metrics(stale_sources=["wms", "erp"])
    metrics.opened("stale_source:wms", 1)
    metrics.opened("oversold", 3)
    assert values(metrics, "atp_source_stale") == {("wms",): 1, ("erp",): 0}
    codes = values(metrics, "atp_exceptions_open")
    assert (codes["stale_source",], codes["oversold",], codes["negative_on_hand",]) == (1, 3, 0)
    assert ("conflict",) not in codes  # a word and no state


def test_what_is_reported_is_in_the_catalog_with_its_labels() -> None:
    metrics = Metrics(stale_sources=["wms"])
    metrics.count(heard({("applied", "stock_received", "wms"): 3}))
    metrics.sent([outgoing()], SECOND)
    metrics.look_at(LaneQueue(LaneTimes()), SECOND)
    metrics.snapshot_taken()
    metrics.epoch_finished()
    metrics.fenced_others(1)
    for name, samples in metrics.report().items():
        spec = SPECS[name]
        for suffix, labels, _ in samples:
            assert {"worker", *labels} - {"le"} == set(spec.labels), name
            ends = {COUNTER: ("_total",), HISTOGRAM: ("_bucket", "_sum", "_count")}.get(spec.kind, ("",))
            assert suffix in ends, name


def test_buckets_resolve_a_millisecond_to_a_minute() -> None:
    assert (BUCKETS_S[0], BUCKETS_S[-1]) == (0.001, 60.0)
    assert list(BUCKETS_S) == sorted(set(BUCKETS_S))


def test_an_epoch_that_is_ending_is_told_of_until_it_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 100.0
    monkeypatch.setattr("flows.monitoring.metrics.time.monotonic", lambda: moment)
    metrics = Metrics()

    def ending() -> float:
        ((_, _, seconds),) = metrics.report()["atp_epoch_ending_seconds"]
        return seconds

    assert ending() == 0
    for _ in range(2):
        metrics.snapshot_taken()
        moment += 7
        assert ending() == 7
        metrics.epoch_finished()
        assert ending() == 0
