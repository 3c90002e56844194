"""The benchmark's common job: its workload is what it claims to be, and its judge finds what is wrong."""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from pathlib import Path

import orjson
import pytest

from benchmarks.peers import job, judge, measure, table, workload
from benchmarks.peers.contestants import ALL
from benchmarks.peers.workload import Shape

START_US = 1_800_000_000_000_000
SHAPE = Shape(events=10_000, items=1_000)


@pytest.fixture(scope="module")
def values() -> list[bytes]:
    return [value for _, _, value in workload.events(SHAPE, START_US)]


def event(event_id: str = "one", **other: object) -> bytes:
    whole = {"event_id": event_id, "type": "stock_received", "item": "SHOVEL", "location": "DC-1", "quantity": 10}
    return orjson.dumps({**whole, "status": "available", "occurred_at": "2026-01-01T00:00:00Z", **other})


def test_the_same_seed_gives_the_same_bytes(values: list[bytes]) -> None:
    assert [value for _, _, value in workload.events(SHAPE, START_US)] == values
    assert [value for _, _, value in workload.events(Shape(10_000, 1_000, seed=2), START_US)] != values


def test_the_workload_has_the_size_the_skew_and_the_repeats_it_claims(values: list[bytes]) -> None:
    events = [orjson.loads(value) for value in values]
    assert len(events) == SHAPE.events
    assert 230 < sum(map(len, values)) / len(values) < 270
    repeats = len(events) - len({one["event_id"] for one in events})
    assert 0.04 < repeats / len(events) < 0.06
    harmonic = sum(1 / rank for rank in range(1, SHAPE.items + 1))
    by_item = Counter(one["item"] for one in events)
    assert by_item["SKU-000000"] / len(events) == pytest.approx(1 / harmonic, rel=0.15)
    assert {one["type"] for one in events} == {"stock_received", "stock_adjusted", "stock_status_changed"}


def test_about_one_and_a_third_numbers_change_with_an_event(values: list[bytes]) -> None:
    assert 1.2 < judge.changes(values) / len(values) < 1.5


def test_a_repeat_has_the_bytes_of_its_first_delivery(values: list[bytes]) -> None:
    first: dict[str, bytes] = {}
    for value in values:
        assert first.setdefault(orjson.loads(value)["event_id"], value) == value


def test_the_job_and_the_judge_come_to_the_same_numbers(values: list[bytes]) -> None:
    seen: set[str] = set()
    known: dict[str, job.Figures] = {}
    published: list[bytes] = []
    for value in values:
        one = orjson.loads(value)
        if one["event_id"] not in seen:
            seen.add(one["event_id"])
            known[one["item"]], updates = job.changes(one, known.get(one["item"]) or job.nothing(), "")
            published += map(orjson.dumps, updates)
    random.Random(1).shuffle(published)
    numbers, count = judge.last_numbers(published)
    right = judge.expected(values)
    assert judge.compare(right, numbers) == judge.Verdict(len(right), 0, [])
    assert count == judge.changes(values)


def test_the_judge_counts_a_repeat_once_and_contains_the_debt_of_a_location() -> None:
    web, marketplace = ("SHOVEL", "web"), ("SHOVEL", "marketplace")
    right = judge.expected(
        [
            event(),
            event(),
            event("two", location="DC-2", quantity=25),
            event("three", type="stock_adjusted", location="DC-3", quantity=-7),
            event("four", type="stock_status_changed", location="DC-2", quantity=4, to_status="quarantined"),
        ]
    )
    assert right[web] == 10 + 21 - 2
    assert right[marketplace] == 21 - 3  # 10 % of 21, rounded up
    assert right["SHOVEL", "stores"] == 0


def test_the_judge_finds_a_number_that_is_wrong_missing_or_too_many() -> None:
    right = {("SHOVEL", "web"): 3, ("SHOVEL", "edi"): 0, ("RAKE", "web"): 1}
    assert judge.compare(right, {("SHOVEL", "web"): 3, ("RAKE", "web"): 1}).wrong == 0
    assert judge.compare(right, {("SHOVEL", "web"): 2, ("RAKE", "web"): 1}).wrong == 1
    assert judge.compare(right, {("SHOVEL", "web"): 3}).wrong == 1
    assert judge.compare(right, {**right, ("HOE", "web"): 1}).wrong == 1


def test_the_channels_of_the_java_program_are_those_of_the_job() -> None:
    folder = Path(job.__file__).parent / "kafka_streams/src/main/java/peers"
    found = re.findall(
        r'new Policy\("(\w+)", new int\[\] \{([\d, ]+)\}, (\d+), (\d+), ([\w.]+)\)',
        (folder / "Policy.java").read_text(),
    )
    channels = [
        job.Channel(
            code,
            tuple(map(int, places.split(","))),
            int(quantity),
            int(percent),
            None if cap == "Long.MAX_VALUE" else int(cap),
        )
        for code, places, quantity, percent, cap in found
    ]
    assert tuple(channels) == job.CHANNELS


def test_the_second_half_begins_where_half_of_the_events_were_through() -> None:
    samples = [measure.Sample(0.0, 0.0, 0), measure.Sample(10.0, 4.0, 400), measure.Sample(12.0, 5.0, 800)]
    assert measure.at_event(samples, 500) == measure.Sample(10.5, 4.25, 500, 0.0)


def test_the_last_progress_line_counts_and_an_unfinished_one_does_not(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("progress 100\nsomething else\nprogress 200\nprogress 3")
    assert measure.said(log) == 200


def test_a_contestant_that_fails_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(measure.ContestantFailed, match=r"(?s)ended with 7\..*no broker"):
        measure.run(["sh", "-c", "echo no broker; exit 7"], {}, tmp_path, 1, measure.said)


def test_what_a_child_of_a_contestant_used_is_counted(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\nprint('progress 10')"
    shell = ["/bin/sh", "-c", '"$0" -c "$1"; true', sys.executable, burn]
    run = measure.run(shell, {}, tmp_path, 10, measure.said)
    assert run.cpu_s >= 0.3


def test_the_table_gives_the_ratio_to_ours() -> None:
    result = {
        "events": 100,
        "cpu_us": 20.0,
        "cpu_us_steady": 10.0,
        "cpu_us_second_half": 10.0,
        "events_per_s_second_half": 1000.0,
        "rss_mb_max": 100,
        "updates": 136,
        "servers_cpu_us": 5.0,
        "compared": 40,
        "wrong": 0,
    }
    assert table.row({**result, "cpu_us_steady": 45.0}, result)[:2] == ["45.0", "4.50"]
    assert len({one.name for one in ALL}) == len(ALL)
