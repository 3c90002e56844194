"""One engine on several machines: any death ends the run on all of them, it goes on, and every number is right."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import Any

import psutil
import pytest

from tests.judging import Judge, Watcher, check_outputs, differences, now_us
from tests.machines import Cluster, says
from tests.running import frozen
from tests.stories import Feeder, Stories, send

PARTITIONS = 4
READY = "ready: "


def begun(world: Any, count: int, length: int, seed: int) -> Stories:
    """Make the topics and send the reference data of some stories."""
    world.create_topics(kafka__partitions=PARTITIONS)
    stories = Stories(count, length, seed=seed)
    stories.send_reference(world)
    return stories


def ends(cluster: Cluster) -> int:
    """Stop all machines and have them catch up; give when that began."""
    cluster.stop()
    began = now_us()
    cluster.catch_up()
    return began


def is_right(world: Any, moments: tuple[int, ...]) -> None:
    """Compare all that is published with the naive model."""
    judge = Judge(world)
    wrong = differences(world, judge, moments)
    assert not wrong, f"{len(wrong)} of {len(judge.items)} items: {wrong[:5]}"
    broken = check_outputs(world, judge).broken_chains()
    assert not broken, f"{len(broken)}: {broken[:5]}"


@pytest.mark.timeout(300)
def test_two_machines_lose_a_worker_and_then_a_machine_and_every_number_is_right(world: Any) -> None:
    stories = begun(world, 8, 60, seed=31)
    with Watcher(world) as watcher, Cluster(world, 2) as cluster:
        with Feeder(world, stories.events(), PARTITIONS, per_second=120):
            cluster.start()
            leader, absent = cluster.machines[0], f"machine 1 ({cluster.names[1]}) has not come"
            says(leader, READY)
            cluster.wait_until_it_reads()
            first = cluster.machines[1].kill_worker()
            cluster.machines[1].wait_for_workers(1, besides=(first,))
            says(leader, READY, 2)
            cluster.wait_until_it_reads()
            before = leader.text().count(absent)
            cluster.machines[1].kill_everything()
            says(leader, absent, before + 1)
            cluster.start_one(1)
            says(leader, READY, 3)
            cluster.wait_until_it_reads()
        began = ends(cluster)
    assert not watcher.went_back, watcher.went_back[:5]
    is_right(world, (began, now_us()))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_machine_that_leads_dies_another_stands_still_and_both_come_back(world: Any) -> None:
    stories = begun(world, 8, 60, seed=32)
    with Watcher(world) as watcher, Cluster(world, 3) as cluster:
        with Feeder(world, stories.events(), PARTITIONS, per_second=60):
            cluster.start()
            cluster.wait_until_it_reads()
            cluster.machines[0].kill_everything()
            cluster.start_one(0)
            says(cluster.machines[0], READY)
            still = cluster.machines[2]
            with ExitStack() as pause:
                for process in [*still.workers(), psutil.Process(still.process.pid)]:
                    pause.enter_context(frozen(process))
                says(cluster.machines[0], f"machine 2 ({cluster.names[2]}) was not heard of")
            says(cluster.machines[0], READY, 2)
            for machine in (0, 1, 2):
                killed = cluster.machines[machine].kill_worker()
                cluster.machines[machine].wait_for_workers(1, besides=(killed,))
                cluster.wait_until_it_reads()
        began = ends(cluster)
    assert not watcher.went_back, watcher.went_back[:5]
    is_right(world, (began, now_us()))


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_links_are_slow_cut_held_and_dead_one_way_and_every_number_is_right(world: Any) -> None:
    stories = begun(world, 8, 60, seed=35)
    with Watcher(world) as watcher, Cluster(world, 2, has_links=True) as cluster:
        with Feeder(world, stories.events(), PARTITIONS, per_second=30):
            cluster.start()
            leader = cluster.machines[0]
            says(leader, READY)
            cluster.wait_until_it_reads()
            cluster.say_to_links("delay 100")
            cluster.wait_until_it_reads()
            for word in ("once", "hold", "swallow", "cut"):
                before = leader.text().count(READY)
                cluster.say_to_links(word)
                if word in ("hold", "swallow"):
                    # Nothing says that it is broken: that no epoch ends does.
                    says(leader, "waits for no server: a link is cut", leader.text().count("a link is cut") + 1)
                cluster.say_to_links("pass")
                says(leader, READY, before + 1)
                cluster.wait_until_it_reads()
        began = ends(cluster)
    assert not watcher.went_back, watcher.went_back[:5]
    is_right(world, (began, now_us()))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_one_machine_is_stopped_and_the_others_wait_for_it(world: Any) -> None:
    stories = begun(world, 4, 40, seed=33)
    send(world, stories.events(), PARTITIONS)
    with Cluster(world, 2) as cluster:
        cluster.start()
        cluster.wait_until_it_reads()
        assert cluster.machines[1].stop() == 0, cluster.machines[1].text()
        says(cluster.machines[0], f"machine 1 ({cluster.names[1]}) has not come")
        cluster.machines[0].still_runs()
        cluster.start_one(1)
        says(cluster.machines[0], READY, 2)
        began = ends(cluster)
    is_right(world, (began, now_us()))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_what_does_not_fit_together_is_refused_with_a_sentence(world: Any) -> None:
    stories = begun(world, 4, 40, seed=34)
    send(world, stories.events(), PARTITIONS)
    with Cluster(world, 2, shards=8) as cluster:
        cluster.start()
        cluster.wait_until_it_reads()
        twin = cluster._all.enter_context(_twin(cluster, world))
        assert twin.wait(60) == 2 and "another engine says that it is machine 1" in twin.text(), twin.text()
        cluster.stop()
        # other settings on one of them
        leader = cluster.start_one(0)
        other = cluster.start_one(1, dedup_window="12h")
        assert other.wait(60) == 2 and "dedup_window is 1d there and 12h here" in other.text(), other.text()
        says(leader, "does not fit: dedup_window is 12h there and 1d here")
        assert leader.stop() == 0
        # each with the other's disk
        swapped = cluster.start_one(1, state__dir=str(cluster.state_dir(0)))
        assert swapped.wait(60) == 2 and "holds the state of machine 0 of 2" in swapped.text(), swapped.text()
        # one alone, on a part of the state
        alone = cluster.start_one(0, cluster__machines="")
        assert alone.wait(60) == 2 and "cluster.machines: none, but" in alone.text(), alone.text()
        # a disk is lost: said by who leads; then all begin anew
        shutil.rmtree(cluster.state_dir(1))
        leader = cluster.start_one(0)
        cluster.start_one(1)
        assert leader.wait(60) == 2, leader.text()
        assert f"machine 1 ({cluster.names[1]}) holds no state, and the others do" in leader.text()
        cluster.machines[1].kill_everything()
        shutil.rmtree(cluster.state_dir(0))
        shutil.rmtree(cluster.state_dir(1), ignore_errors=True)
        leader = cluster.start_one(0)
        cluster.start_one(1)
        assert leader.wait(60) == 2 and "an earlier run is known" in leader.text(), leader.text()
        cluster.machines[1].kill_everything()
        began = now_us()
        cluster.start("--until-caught-up", "--from-scratch")
        assert [engine.wait(120) for engine in cluster.machines] == [0, 0]
    judge = Judge(world)
    wrong = differences(world, judge, (began, now_us()))
    assert not wrong, f"{len(wrong)} of {len(judge.items)} items: {wrong[:5]}"


def _twin(cluster: Cluster, world: Any) -> Any:
    from tests.running import Engine

    return Engine(world, **cluster.settings(1, state__dir=str(world.folder / "twin")))
