"""An engine goes on elsewhere: on an empty disk from the copy of the state, and as the one that stood by."""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.processes.addresses import free_ports
from flows.remote.manifest import VERSION, Manifest, Place, write_manifest
from flows.remote.objects import open_objects
from flows.remote.taking_up import copies_in, manifest_at
from flows.storage.facts import ENGINE, Facts
from operators.ledger import FORMAT
from tests.running import Engine, frozen, until
from tests.shop import open_shop, promised, received, take_in, wait_for

#: Little to be taken up at a start, and copies soon.
FAST = {"shards": 4, "state__remote_every": "1s", "state__standby_after": "2s", "reference_grace": 0}


def settings_of(world: Any, **more: object) -> dict[str, object]:
    return {**FAST, "state__remote": str(world.folder / "remote"), **more}


def wait_for_copy(world: Any, settings: dict[str, object]) -> None:
    """Wait until a copy holds all that was in the inputs, as far as it is committed now."""
    loaded = world.settings(**settings)
    objects = open_objects(loaded)
    begun = [manifest_at(objects, place).epoch for place in copies_in(objects)[:1]]
    until(
        lambda: [place for place in copies_in(objects) if place.epoch > max(begun, default=0) + 1],
        60,
        f"a copy after epoch {begun}",
    )


@pytest.fixture
def bucket(world: Any) -> Iterator[dict[str, object]]:
    """An S3 that others wrote, with a bucket; gives the settings that name it."""
    [port] = free_ports(1)
    with ExitStack() as stack:
        server = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-p", str(port)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=world.env(),
            )
        )
        stack.callback(server.kill)
        address = f"http://127.0.0.1:{port}"
        until(lambda: answers(address), 60, "the S3 server answers")
        urllib.request.urlopen(urllib.request.Request(f"{address}/stock", method="PUT"), timeout=20).close()
        world.config.write_text(
            f'[state]\nremote = "s3://stock/atp"\n[state.remote_options]\nendpoint = "{address}"\n'
            'region = "us-east-1"\naccess_key_id = "anybody"\nsecret_access_key = "anything"\n'
        )
        yield dict(FAST)


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except OSError:
        return False
    return True


def loses_its_machine(world: Any, settings: dict[str, object]) -> None:
    """Run, copy, and lose processes and disk; then another machine has to go on as if nothing had happened."""
    open_shop(world)
    twice = received(0, 7)
    with Engine(world, **settings) as engine:
        take_in(world, 0, 20)
        world.send("inventory.warehouse", twice)
        world.flush()
        wait_for(world, 27)
        engine.wait_until_it_reads(world, world.settings(**settings))
        wait_for_copy(world, settings)
        take_in(world, 0, 100)  # after the newest copy, perhaps
        wait_for(world, 127)
        engine.kill_everything()
    shutil.rmtree(world.state_dir)
    elsewhere = {**settings, "state__dir": str(world.folder / "elsewhere")}
    world.send("inventory.warehouse", twice)  # once more, when its id is remembered by the copy alone
    take_in(world, 0, 1000)
    with Engine(world, **elsewhere) as engine:
        wait_for(world, 1127)
        assert "took up the state of run 1, epoch" in engine.text()
        engine.wait_until_it_reads(world, world.settings(**elsewhere))
        assert promised(world) == 1127
        assert engine.stop() == 0, engine.text()


def test_another_machine_goes_on_from_the_copy_in_a_folder(world: Any) -> None:
    loses_its_machine(world, settings_of(world))


def test_another_machine_goes_on_from_the_copy_in_a_bucket(world: Any, bucket: dict[str, object]) -> None:
    loses_its_machine(world, bucket)


def test_its_last_word_is_a_copy_of_all(world: Any) -> None:
    settings = settings_of(world, state__remote_every="1h")
    open_shop(world)
    with Engine(world, **settings) as engine:
        take_in(world, 0, 5)
        wait_for(world, 5)
        engine.wait_until_it_reads(world, world.settings(**settings))
        assert engine.stop() == 0, engine.text()
    objects = open_objects(world.settings(**settings))
    [place] = copies_in(objects)
    shutil.rmtree(world.state_dir)
    with Engine(world, "--until-caught-up", **settings) as engine:
        assert engine.wait(60) == 0, engine.text()
        assert f"of run {place.token}, epoch {place.epoch}, from" in engine.text()
    assert promised(world) == 5


def test_from_scratch_is_refused_where_a_copy_is_known(world: Any) -> None:
    settings = settings_of(world)
    open_shop(world)
    with Engine(world, "--until-caught-up", **settings) as engine:
        assert engine.wait(60) == 0, engine.text()
    shutil.rmtree(world.state_dir)
    with Engine(world, "--from-scratch", **settings) as engine:
        assert engine.wait(60) == 2, engine.text()
        assert "holds the state of run 1" in engine.text() and "it is taken up" in engine.text()
        assert "Traceback" not in engine.text()
    assert not (world.state_dir / "engine.json").exists()


def test_with_nothing_here_a_place_that_does_not_answer_ends_the_start(world: Any) -> None:
    [port] = free_ports(1)
    world.config.write_text(
        f'[state]\nremote = "s3://stock/atp"\n[state.remote_options]\nendpoint = "http://127.0.0.1:{port}"\n'
        'region = "us-east-1"\naccess_key_id = "anybody"\nsecret_access_key = "anything"\n'
    )
    open_shop(world)
    with Engine(world, **FAST) as engine:
        assert engine.wait(90) == 1, engine.text()
        assert "state.remote: manifests/ in s3://stock/atp cannot be listed" in engine.text()
        assert "anything" not in engine.text() and "Traceback" not in engine.text()


def at(world: Any, name: str, **more: object) -> dict[str, object]:
    """Give the settings of one of two machines."""
    return settings_of(world, state__dir=str(world.folder / name), **more)


def says(engine: Engine, words: str, count: int = 1) -> None:
    until(lambda: engine.text().count(words) >= count, 60, lambda: f"{words!r} {count} times\n{engine.text()}")


def test_who_stands_by_takes_over_when_the_machine_dies_and_waits_in_turn(world: Any) -> None:
    open_shop(world)
    with Engine(world, "--standby", **at(world, "one")) as one:
        take_in(world, 0, 10)
        wait_for(world, 10)
        with Engine(world, "--standby", **at(world, "two")) as two:
            says(two, "stands by: run 1 is alive")
            one.wait_until_it_reads(world, world.settings(**at(world, "one")))
            wait_for_copy(world, at(world, "one"))
            one.kill_everything()
            take_in(world, 0, 5)
            says(two, "taking over")
            says(two, "took up the state of run 1")
            wait_for(world, 15)
            with Engine(world, "--standby", **at(world, "one")) as again:
                says(again, "stands by: run 2 is alive")
                take_in(world, 0, 1)
                wait_for(world, 16)
                assert two.stop() == 0, two.text()  # as for an upgrade: the other takes over
                says(again, "took up the state of run 2")
                take_in(world, 0, 4)
                wait_for(world, 20)
                assert again.stop() == 0, again.text()


def test_who_comes_back_from_a_long_pause_writes_nothing_and_stands_by(world: Any) -> None:
    open_shop(world)
    with Engine(world, "--standby", **at(world, "one")) as one, ExitStack() as pause:
        take_in(world, 0, 10)
        wait_for(world, 10)
        one.wait_until_it_reads(world, world.settings(**at(world, "one")))
        wait_for_copy(world, at(world, "one"))
        with Engine(world, "--standby", **at(world, "two")) as two:
            says(two, "stands by: run 1 is alive")
            for process in [*one.workers(), psutil.Process(one.process.pid)]:
                pause.enter_context(frozen(process))
            says(two, "taking over")
            take_in(world, 0, 5)
            wait_for(world, 15)
            pause.close()
            says(one, "a newer run of the engine has taken over from run 1")
            says(one, "stands by: run 2 is alive")
            take_in(world, 0, 2)
            wait_for(world, 17)
            assert one.stop() == 0, one.text()
            assert two.stop() == 0, two.text()


def test_standing_by_goes_with_nothing_that_ends_by_itself(world: Any) -> None:
    with Engine(world, "--standby", "--until-caught-up") as engine:
        assert engine.wait(60) == 2
        assert "leave one out" in " ".join(engine.text().split())


def test_who_stands_by_for_a_newer_version_whose_state_it_cannot_read_says_so_and_ends(world: Any) -> None:
    open_shop(world)
    settings = settings_of(world, state__standby_after="1h")
    newer = Facts(FORMAT + 1, int(str(settings["shards"])), 99, engine="9.9.0")
    copy = write_manifest(Manifest(VERSION, "9.9.0", 5, 0, newer, ()))
    open_objects(world.settings(**settings)).put(Place(99, 5).name, copy)
    key = f"{world.redis_prefix}engine:alive"
    world.redis.hset(key, mapping={"run": "99", "at": "1", "ready": "1", "behind_ms": "0", "version": "9.9.0"})
    with Engine(world, "--standby", **settings) as engine:
        assert engine.wait(60) == 2, engine.text()
        assert f"stands by: run 99 is alive; it is atp-engine 9.9.0, and this is {ENGINE}" in engine.text()
        assert f"holds state of format {FORMAT + 1}, which atp-engine 9.9.0 wrote; this is" in engine.text()
        assert "run that version" in engine.text() and "Traceback" not in engine.text()
    assert not (world.state_dir / "engine.json").exists()


def test_a_copy_of_a_newer_run_is_taken_in_the_place_of_what_is_here(world: Any) -> None:
    open_shop(world)
    for name, quantity in (("one", 1), ("two", 2), ("one", 4)):
        take_in(world, 0, quantity)
        with Engine(world, "--until-caught-up", **at(world, name)) as engine:
            assert engine.wait(60) == 0, engine.text()
            text = engine.text()
    assert "took up the state of run 2" in text
    assert promised(world) == 7
    assert len(list((world.folder / "one").glob("older-*"))) == 1


def test_with_one_state_a_machine_goes_on_with_its_own(world: Any) -> None:
    open_shop(world)
    for quantity in (1, 2):
        take_in(world, 0, quantity)
        with Engine(world, "--until-caught-up", **settings_of(world)) as engine:
            assert engine.wait(60) == 0, engine.text()
            assert "took up" not in engine.text()
    assert promised(world) == 3
    assert Path(world.folder / "remote/manifests").is_dir()
