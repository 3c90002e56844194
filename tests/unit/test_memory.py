"""Decides whether a worker that runs short of memory says so in time, and then ends once."""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from flows.monitoring.memory import WARN_EVERY_S, MemoryWatch, available_bytes, resident_bytes, share_of
from flows.settings import load_settings

LIMIT = 1_000_000_000


class Room:
    """A watch over memory and time that a test sets."""

    def __init__(self) -> None:
        self.taken = 0
        self.now = 100.0
        self.ends = 0
        self.watch = MemoryWatch(LIMIT, self.end, lambda: self.taken, lambda: self.now)

    def end(self) -> None:
        self.ends += 1

    def look(self, share: float) -> None:
        self.taken = round(share * LIMIT)
        self.watch.look()


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def said() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as lines:
        yield lines


@pytest.mark.parametrize(
    ("share", "levels", "ends"),
    [(0.7999, [], 0), (0.80, ["warning"], 0), (0.8999, ["warning"], 0), (0.90, ["error"], 1), (2.0, ["error"], 1)],
)
def test_it_warns_first_and_then_ends(
    room: Room, said: list[MutableMapping[str, Any]], share: float, levels: list[str], ends: int
) -> None:
    room.look(share)
    assert ([line["log_level"] for line in said], room.ends, room.watch.has_ended_it) == (levels, ends, bool(ends))


def test_the_warning_says_how_much_how_long_and_what_would_do(room: Room, said: list[MutableMapping[str, Any]]) -> None:
    room.look(0.85)
    (line,) = said
    for part in ("850 MB of 1000 MB (85%)", "at 90% the engine stops"):
        assert part in line["event"]
    for part in ("never forgotten early", "memory_limit"):
        assert part in line["next"]


def test_it_does_not_warn_all_the_time(room: Room, said: list[MutableMapping[str, Any]]) -> None:
    for passed, count in ((0.0, 1), (1.0, 1), (WARN_EVERY_S - 1.1, 1), (0.2, 2)):
        room.now += passed
        room.look(0.85)
        assert len(said) == count


def test_it_asks_for_the_end_once(room: Room) -> None:
    for _ in range(3):
        room.look(0.95)
    assert room.ends == 1


def test_workers_share_the_limit() -> None:
    none = Path(os.devnull)
    assert share_of(load_settings(none, {"memory_limit": "3GB", "workers": 3})) == 1_000_000_000
    assert share_of(load_settings(none, {"workers": 2})) == available_bytes() // 2


def test_a_process_takes_what_the_system_says() -> None:
    assert resident_bytes() == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)


@pytest.mark.parametrize(
    ("files", "right"),
    [
        ({}, None),
        ({"memory.max": "max"}, None),
        ({"memory.max": "700000000"}, 700_000_000),
        ({"memory/memory.limit_in_bytes": "600000000"}, 600_000_000),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ({"jobs/atp/memory.max": "500000000", "jobs/memory.max": "max"}, 500_000_000),
        ({"jobs/atp/memory.max": "max", "jobs/memory.max": "400000000", "memory.max": "800000000"}, 400_000_000),
        ({"other/memory.max": "300000000"}, None),
    ],
)
def test_the_smallest_limit_above_the_process_counts(tmp_path: Path, files: dict[str, str], right: Any) -> None:
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    membership = tmp_path / "membership"
    membership.write_text("0::/jobs/atp\n")
    machine = psutil.virtual_memory().total
    assert available_bytes(tmp_path / "cgroup", membership) == (right or machine)
    assert available_bytes(tmp_path / "nothing", tmp_path / "nobody") == machine
