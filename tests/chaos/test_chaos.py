"""The short version: each fault once, kills at points of every kind, and proofs that the harness would find a fault."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import faults
from tests.chaos.arena import Arena, Options
from tests.chaos.faults import FAULTS
from tests.chaos.report import WRONG, is_clean, markdown, summary
from tests.chaos.rounds import fight
from tests.chaos.servers import ChaosServers
from tests.chaos.trap import POINTS

pytestmark = pytest.mark.timeout(600)

#: A point of each part of the way: Redis, Kafka, between them, the snapshot, its files, the resume, the supervisor.
KILLED_AT = (
    "slice under way",
    "after a slice",
    "after an update",
    "after the flush",
    "after a shard's snapshot",
    "after the commit",
    "layers not synced",
    "layers synced",
    "segment not synced",
    "after a shard resumes",
    "before Kafka's tail",
    "after the token",
)
OF_REDIS = tuple(name for name in FAULTS if "Redis" in name)
OF_KAFKA = tuple(name for name in FAULTS if "Kafka" in name)
OTHERS = tuple(name for name in FAULTS if name not in OF_REDIS + OF_KAFKA + ("kill",))


@pytest.fixture(scope="module")
def chaos_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosServers]:
    """Servers of their own: they are broken in ways from which the others' tests would suffer."""
    with ChaosServers(tmp_path_factory.mktemp("chaos-servers")) as both:
        yield both


def fight_one(servers: ChaosServers, folder: Path, names: tuple[str, ...], **options: Any) -> dict[str, Any]:
    asked = Options(**{"items": 400, "rate": 300.0, "stories": 3, "small_disk_mib": 256} | options)

    def suited(arena: Arena, dice: random.Random) -> list[str]:
        # Without the right to mount a file system there is none that could be read-only.
        return [name for name in names if arena.has_small_disk or name != "state's disk read-only"]

    return fight(servers, folder / "round", asked, suited, lambda sentence: print(sentence, flush=True))


@pytest.mark.parametrize("names", [OF_REDIS, OF_KAFKA, OTHERS], ids=["Redis", "Kafka", "the rest"])
def test_each_fault_once_and_nothing_lost_twice_or_backwards(
    chaos_servers: ChaosServers, tmp_path: Path, names: tuple[str, ...]
) -> None:
    round_ = fight_one(chaos_servers, tmp_path, names, seed=1, workers=1 + (names == OTHERS))
    report = summary([round_])
    assert is_clean(report), markdown(report, [round_])
    assert set(report["faults"]) >= set(names) - {"state's disk read-only"}


def test_killed_at_chosen_points_and_nothing_lost_twice_or_backwards(
    chaos_servers: ChaosServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = iter(KILLED_AT)
    monkeypatch.setitem(FAULTS, "kill", (lambda arena, dice: faults.kill_at(arena, dice, next(points)), 1))
    round_ = fight_one(chaos_servers, tmp_path, ("kill",) * len(KILLED_AT), seed=2, workers=2)
    report = summary([round_])
    assert is_clean(report), markdown(report, [round_])
    assert report["by point"] == dict.fromkeys(KILLED_AT, 1)
    # The dying wrote it themselves, in a file that they had opened before.
    assert [hit[0] for hit in round_["hits"]] == list(KILLED_AT)
    assert report["of them without a line of the dying"] == 0


# --- the harness proves itself: with a guarantee switched off, it finds the fault -------------------------------------


def found_without(
    servers: ChaosServers, folder: Path, guarantee: str, break_it: Callable[[Arena], None], **options: Any
) -> dict[str, int]:
    """What is found in an engine that does without a guarantee, by kind."""
    asked = Options(**{"items": 400, "rate": 400.0, "stories": 0, "without": guarantee} | options)
    with Arena(servers, folder / "round", asked, print) as arena:
        break_it(arena)
        arena.finish()
        print(arena.faults.examples[:5])
        return {kind: arena.faults.counts[kind] for kind in WRONG}


@pytest.mark.long
def test_without_the_fence_an_older_run_is_seen_to_overwrite(
    chaos_servers: ChaosServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "ZOMBIE_SECONDS_MAX", 3.0)

    def wake_an_older_run(arena: Arena) -> None:
        with pytest.raises(AssertionError, match="did not end"):
            faults.freeze(arena, random.Random(1))

    assert found_without(chaos_servers, tmp_path, "fence", wake_an_older_run)["backwards"]


@pytest.mark.long
@pytest.mark.parametrize(("guarantee", "point"), [("hold-back", "before the flush"), ("order", "after the flush")])
def test_without_hold_back_or_order_numbers_are_seen_to_go_back(
    chaos_servers: ChaosServers, tmp_path: Path, guarantee: str, point: str
) -> None:
    def kill_until_found(arena: Arena) -> None:
        for seed in range(8):
            # In a long epoch under load the dead run was many batches ahead of its snapshot.
            faults.kill_at(arena, random.Random(seed), point, "worker")
            if arena.faults.counts["backwards"]:
                return

    busy = {"items": 3000, "rate": 3000.0, "epoch": "3s"}
    assert found_without(chaos_servers, tmp_path, guarantee, kill_until_found, **busy)["backwards"]


@pytest.mark.long
def test_without_the_barrier_numbers_are_seen_to_be_lost(chaos_servers: ChaosServers, tmp_path: Path) -> None:
    def kill_behind_a_commit(arena: Arena) -> None:
        time.sleep(1.0)
        faults.kill_at(arena, random.Random(1), "after the commit", "worker")

    assert found_without(chaos_servers, tmp_path, "barrier", kill_behind_a_commit, items=3000)["lost"]


def test_every_point_says_where_it_is() -> None:
    assert all(POINTS.values()) and len(set(POINTS)) == len(POINTS)
