"""A start without the state that a known run has kept is refused; one from scratch says everything, and no more."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

from flows.cli.app import app
from flows.inspection.state_findings import state_findings
from flows.readmodel.store import Store
from flows.recovery.earlier_run import EarlierRun, earlier_run
from flows.settings import redis_address
from flows.storage.facts import read_facts
from flows.storage.recovery_store import committed_epoch
from schemas.topics import UPDATES
from tests.running import Engine, until
from tests.shop import clock, open_shop, promised, received, take_in, wait_for

#: Little to be taken up at a start.
FEW = {"shards": 4, "state__recovery_partitions": 2}


def findings(world: Any, **overrides: object) -> dict[str, dict[str, Any]]:
    result = CliRunner().invoke(app, ["check", "--json"], env=world.env(**FEW, **overrides))
    return {one["subject"]: one for one in json.loads(result.stdout)["findings"]}


def run_once(world: Any, *arguments: str, **overrides: object) -> str:
    with Engine(world, "--until-caught-up", *arguments, **FEW | overrides) as engine:
        assert engine.wait(60) == 0, engine.text()
        return engine.text()


def refused(world: Any, *arguments: str, code: int = 2, **overrides: object) -> str:
    with Engine(world, *arguments, **FEW | overrides) as engine:
        assert engine.wait(40) == code, engine.text()
        assert "Traceback" not in engine.text(), engine.text()
        return engine.text()


def known(world: Any, **overrides: object) -> EarlierRun:
    settings = world.settings(**FEW, **overrides)
    with closing(Store(redis_address(settings.redis), settings.redis.prefix)) as store:
        return earlier_run(settings, store)


def number_of(world: Any, item: int) -> dict[str, str]:
    found: dict[str, str] = world.redis.hgetall(f"{world.redis_prefix}atp:{clock(item)}")
    return found


def updates_of(world: Any, item: int) -> list[dict[str, Any]]:
    """Read what Kafka has of an item's channel, by version, as who follows all lanes would."""
    records = [record for topic in UPDATES for record in world.read(topic)]
    updates = [record.json() for record in records if record.json()["item"] == clock(item)]
    return sorted(updates, key=lambda update: int(update["version"]))


def newest_position(world: Any, item: int) -> dict[str, Any]:
    found = [record.json() for record in world.read("inventory.positions") if record.key == clock(item).encode()]
    position: dict[str, Any] = max(found, key=lambda one: one["version"])
    return position


def without_recovery(state: Path) -> None:
    shutil.rmtree(state / "recovery")


def without_facts(state: Path) -> None:
    (state / "engine.json").unlink()


def with_an_empty_store(state: Path) -> None:
    from bytewax.recovery import init_db_dir

    without_recovery(state)
    (state / "recovery").mkdir()
    init_db_dir(state / "recovery", 2)


def without_anything(state: Path) -> None:
    shutil.rmtree(state)


LOSSES: tuple[tuple[Callable[[Path], None], str], ...] = (
    (without_recovery, "holds no snapshot beside engine.json"),
    (with_an_empty_store, "holds no snapshot beside engine.json, recovery"),
    (without_facts, "and its engine.json is missing"),
    (without_anything, "holds no state"),
)


@pytest.mark.parametrize("lose, what", LOSSES, ids=[lose.__name__ for lose, _ in LOSSES])
def test_a_start_that_lacks_the_state_of_a_known_run_is_refused(
    world: Any, lose: Callable[[Path], None], what: str
) -> None:
    open_shop(world)
    take_in(world, 0, 5)
    assert f"state in {world.state_dir}: new" in run_once(world)
    lose(world.state_dir)
    said = refused(world, "--wait")
    assert what in said and str(world.state_dir) in said, said
    assert "--from-scratch" in said and '"next": ' in said, said
    finding = next(one for one in state_findings(world.settings(**FEW), True) if not one.is_ok)
    assert what in finding.seen and "--from-scratch" in finding.remedy, finding
    assert promised(world) == 5


def test_bytewaxs_own_runner_refuses_it_too(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 5)
    run_once(world)
    without_anything(world.state_dir)
    command = [sys.executable, "-m", "bytewax.run", "flows.availability:flow"]
    options = ["-r", str(world.state_dir / "recovery"), "-s", "1", "-b", "0"]
    done = subprocess.run(
        [*command, *options],
        check=False,
        env=world.env(**FEW),
        cwd=world.folder,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 2, done.stderr
    assert "an earlier run is known" in done.stderr and "Traceback" not in done.stderr
    assert promised(world) == 5


def test_the_start_names_the_state_it_found_and_where_it_looked(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 5)
    run_once(world)
    kept = world.folder / "kept"
    shutil.copytree(world.state_dir, kept)
    # A relative folder leads elsewhere from another current one.
    said = refused(world, state__dir="state/state")
    assert f"{world.folder / 'state' / 'state'} holds no state (state.dir is state/state, and the current" in said
    assert f"{world.redis_prefix}engine:reached" in said and "run 1 published" in said, said
    take_in(world, 0, 2)
    said = run_once(world)
    assert f"state in {world.state_dir}: of run 1, epoch " in said
    assert promised(world) == 7
    assert all(one["ok"] for name, one in findings(world).items() if name.startswith(("state", "earlier")))
    # An older back-up is behind what Redis says, and catches up in silence.
    shutil.rmtree(world.state_dir)
    shutil.copytree(kept, world.state_dir)
    run_once(world)
    assert promised(world) == 7


def test_what_redis_or_kafka_or_the_inputs_know_is_enough_by_itself(world: Any) -> None:
    open_shop(world, partitions=1)
    assert not known(world).proves_state(False)
    take_in(world, 0, 5)
    run_once(world)
    elsewhere = {"redis__prefix": f"{world.redis_prefix}elsewhere:"}
    both = known(world)
    assert f"Redis ({world.redis_prefix}engine:reached) has what run 1 published after it had read" in both.read[0]
    assert f"the group {world.group} has read {world.topic('inventory.warehouse')}/0 up to offset 0" in both.read[1]
    assert "records in" in both.said[0] and world.topic("atp.updates.bulk") in both.said[0]
    assert known(world, **elsewhere).proves_state(True)
    only_said = known(world, kafka__group=f"{world.group}-2", **elsewhere)
    assert not only_said.read and only_said.said
    assert only_said.proves_state(False) and not only_said.proves_state(True)
    shorten(world, 1)
    begun_late = known(world, kafka__group=f"{world.group}-2", **elsewhere)
    assert f"it begins {world.topic('inventory.warehouse')}/0 at offset 1" in begun_late.read[0]
    assert begun_late.proves_state(True)


def shorten(world: Any, offset: int) -> None:
    """Remove what stands before an offset, as retention does."""
    admin = AdminClient({"bootstrap.servers": world.servers.bootstrap_servers, "log_level": 0})
    for done in admin.delete_records([TopicPartition(world.topic("inventory.warehouse"), 0, offset)]).values():
        done.result(20)


def test_a_run_that_died_before_its_first_epoch_was_kept_starts_again(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 5)
    with Engine(world, **FEW | {"state__epoch_interval": "60s"}) as engine:
        until(lambda: promised(world) == 0, 40, engine.text)  # what follows from reference data alone
        engine.kill_everything()
    facts = read_facts(world.state_dir / "engine.json")
    assert facts is not None and facts.is_first
    assert committed_epoch(world.state_dir / "recovery") is None
    with Engine(world, **FEW) as engine:
        wait_for(world, 5)
        until(lambda: not (read_facts(world.state_dir / "engine.json") or facts).is_first, 20, engine.text)
        engine.kill_everything()


def test_a_start_from_scratch_says_everything_and_removes_what_is_no_longer_true(world: Any) -> None:
    open_shop(world, items=3, partitions=1)
    take_in(world, 1, 7)
    for number, quantity in ((0, 5), (2, 9)):
        take_in(world, number, quantity)
    run_once(world)
    assert [promised(world, number) for number in range(3)] == [5, 7, 9]
    shutil.rmtree(world.state_dir)
    shorten(world, 1)  # of the first item nothing is known any more, and the last one is not sold any more
    world.send("inventory.items", None, key=clock(2))
    world.flush()
    stray = f"{world.redis_prefix}position:{clock(8)}"  # of an older engine, whose items are gone
    world.redis.hset(stray, mapping={"EAST:on_hand": 1, "_version": 1 << 32})
    assert "begins" in refused(world)
    run_once(world, "--from-scratch")
    assert [promised(world, number) for number in range(3)] == [5, 0, None]
    assert not number_of(world, 2) and not world.redis.exists(stray)
    for number, quantity in ((1, 7), (2, 9)):
        figures = world.redis.hkeys(f"{world.redis_prefix}position:{clock(number)}")
        assert not [name for name in figures if not name.startswith("_")]
        assert newest_position(world, number)["locations"] == {}
        updates = updates_of(world, number)
        assert (0, quantity) in [(update["atp"], update["previous"]) for update in updates], updates
        assert updates[-1]["atp"] == 0, updates
    assert updates_of(world, 2)[-1]["cause"] == "unlisted"
    assert newest_position(world, 0)["locations"]["EAST"]["on_hand"] == 5
    facts = read_facts(world.state_dir / "engine.json")
    assert facts is not None and facts.scratch is None and not facts.is_first
    assert "holds state" in refused(world, "--from-scratch")
    take_in(world, 0, 1)
    run_once(world)
    assert promised(world) == 6


def test_what_only_kafka_has_of_an_older_run_gets_a_last_zero_from_scratch(world: Any) -> None:
    open_shop(world, items=2, partitions=1)
    take_in(world, 1, 7)
    take_in(world, 0, 5)
    run_once(world)
    shutil.rmtree(world.state_dir)
    shorten(world, 1)
    world.send("inventory.items", None, key=clock(1))
    world.flush()
    for key in world.redis.scan_iter(f"{world.redis_prefix}*"):
        world.redis.delete(key)
    assert "has read" in refused(world)
    run_once(world, "--from-scratch")
    update = updates_of(world, 1)[-1]
    assert (update["atp"], update["previous"], update["cause"], update["lane"]) == (0, 7, "unlisted", "critical")
    assert newest_position(world, 1)["locations"] == {}
    assert promised(world) == 5 and updates_of(world, 0)[-1]["atp"] == 5


def test_a_start_from_scratch_publishes_nothing_on_the_way_and_survives_kills_without_being_asked_again(
    world: Any,
) -> None:
    receipts = 6000
    open_shop(world, items=2, partitions=1)
    for _ in range(receipts):
        world.send("inventory.warehouse", received(0, 1))
    world.flush()
    run_once(world)
    shutil.rmtree(world.state_dir)
    stale = f"{world.redis_prefix}atp:{clock(7)}"
    world.redis.hset(stale, mapping={"web": 3, "_version": 1 << 32})
    state, seen = world.state_dir, set()

    def is_on_its_way() -> bool:
        seen.add(promised(world))
        return state.is_dir() and committed_epoch(state / "recovery") is not None

    def is_through() -> bool:
        seen.add(promised(world))
        facts = read_facts(state / "engine.json")
        return facts is not None and facts.scratch is None

    with Engine(world, "--from-scratch", **FEW) as engine:
        until(is_on_its_way, 40, engine.text)
        engine.kill_everything()
    facts = read_facts(state / "engine.json")
    assert facts is not None and facts.scratch is not None and len(facts.scratch.left) == 4, facts
    take_in(world, 0, 1)
    with Engine(world, "--from-scratch", **FEW) as engine:  # as a service that is started so again
        until(lambda: "nothing is published until everything is read" in engine.text(), 40, engine.text)
        engine.kill_worker()
        until(is_through, 60, engine.text)
        wait_for(world, receipts + 1)
        assert engine.stop() == 0, engine.text()
    assert seen <= {receipts, receipts + 1}, seen
    assert not world.redis.exists(stale)
    run_once(world)
    assert promised(world) == receipts + 1


def test_facts_that_cannot_be_read_are_said_in_a_sentence(world: Any) -> None:
    open_shop(world)
    run_once(world)
    path = world.state_dir / "engine.json"
    kept = path.read_bytes()
    for content in (b"", b"no JSON", b"\xff\xfe", b"[1]", b'{"format":"one","shards":4}', b'{"format":1}'):
        path.write_bytes(content)
        said = refused(world)
        assert f"state.dir: {path}" in said and "restore state.dir" in said, said
        assert len(said.splitlines()) <= 3, said
        assert [one for one in state_findings(world.settings(**FEW), True) if not one.is_ok]
    path.write_bytes(b'{"format":99,"shards":4,"token":"of another shape"}')
    refused(world)
    path.write_bytes(kept)
    run_once(world)


def test_a_damaged_recovery_store_is_said_and_ends_the_engine(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 5)
    run_once(world)
    kept = world.folder / "kept"
    shutil.copytree(world.state_dir, kept)
    part = world.state_dir / "recovery" / "part-1.sqlite3"
    damages: tuple[Callable[[], object], ...] = (
        lambda: os.truncate(part, part.stat().st_size // 2),
        lambda: os.truncate(part, 0),
        lambda: part.write_bytes(b"no database" * 1000),
        part.unlink,
    )
    for damage in damages:
        damage()
        said = refused(world)
        assert part.name in said and "restore state.dir from its backup" in said, said
        assert len(said.splitlines()) <= 3, said
        assert [one for one in state_findings(world.settings(**FEW), True) if not one.is_ok]
        shutil.rmtree(world.state_dir)
        shutil.copytree(kept, world.state_dir)
    part.unlink()
    said = run_once(world, "--from-scratch")
    assert "lies in" in said and list(world.state_dir.glob("unusable-*/recovery/part-0.sqlite3"))
    assert promised(world) == 5


#: Events of one shard that are more than `SEAL_FROM` bytes of layers.
SEALED_AFTER = 12_000


def test_state_is_for_the_engines_user_alone(world: Any) -> None:
    open_shop(world, partitions=1)
    for _ in range(SEALED_AFTER):
        world.send("inventory.warehouse", received(0, 1))
    world.flush()
    world.state_dir.mkdir(mode=0o755)
    (world.state_dir / "recovery").mkdir(mode=0o755)
    with Engine(world, **FEW | {"shards": 1}) as engine:
        wait_for(world, SEALED_AFTER)
        until(lambda: list(world.state_dir.glob("segments/*/*.seg")), 40, engine.text)
        assert engine.stop() == 0, engine.text()
    assert not loose(world.state_dir)
    (world.state_dir / "of-somebody-else").touch()
    for path in world.state_dir.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)  # as earlier versions left it
    run_once(world, shards=1)
    assert loose(world.state_dir) == {"of-somebody-else"}


#: What makes a worker's shards fail at their first word, as a fault of the engine would.
PLANTED = """
import sys, threading, time

def plant():
    while not hasattr(sys.modules.get("flows.dataflow.steps"), "ShardStep"):
        time.sleep(0.005)
    def fail(self, values):
        raise ValueError("a planted fault")
    sys.modules["flows.dataflow.steps"].ShardStep.on_batch = fail

if "flows.processes.worker" in sys.orig_argv:
    threading.Thread(target=plant, daemon=True).start()
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_dies_says_why_in_one_line(world: Any, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    open_shop(world)
    planted = world.folder / "planted"
    planted.mkdir()
    (planted / "sitecustomize.py").write_text(PLANTED)
    env = world.env(**FEW, workers=workers)
    monkeypatch.setattr(world, "env", lambda **_: {**env, "PYTHONPATH": f"{planted}:{env['PYTHONPATH']}"})
    with Engine(world) as engine:
        until(lambda: "a worker died" in engine.text(), 60, engine.text)
        lines = engine.text().splitlines()
    before = lines[: next(n for n, line in enumerate(lines) if '"restart"' in line)]
    told = [json.loads(line) for line in before]  # nothing but the log
    died = [line for line in told if line["kind"] == "worker_failed"]
    assert 1 <= len(died) <= workers and len(told) <= 2 + workers, told
    assert all("failed: ValueError: a planted fault" in line["event"] for line in died), died
    kept = sorted(world.state_dir.glob("worker-*.stderr*"))
    assert any("a planted fault" in path.read_text(errors="replace") for path in kept), kept


def test_a_damaged_file_of_layers_is_said_first_and_ends_the_engine(world: Any) -> None:
    open_shop(world, partitions=1)
    for _ in range(SEALED_AFTER):
        world.send("inventory.warehouse", received(0, 1))
    world.flush()
    with Engine(world, **FEW | {"shards": 1}) as engine:
        until(lambda: list(world.state_dir.glob("segments/*/*.seg")), 60, engine.text)
        wait_for(world, SEALED_AFTER)
        world.send("inventory.warehouse", received(0, 1))  # what is not sealed yet
        world.flush()
        wait_for(world, SEALED_AFTER + 1)
        assert engine.stop() == 0, engine.text()
    for kind in ("layers/*.lay", "*/*.seg"):
        file = max(world.state_dir.glob(f"segments/{kind}"))
        whole = file.read_bytes()
        for damage in (lambda file=file: os.truncate(file, file.stat().st_size - 1), file.unlink):
            damage()
            said = refused(world, code=1, shards=1)
            assert f"state file {file} " in said.splitlines()[1], said
            assert len(said.splitlines()) <= 3, said
        file.write_bytes(whole)
    run_once(world, shards=1)


def loose(folder: Path) -> set[str]:
    """Name what others have a right to."""
    return {path.name for path in (folder, *folder.rglob("*")) if stat.S_IMODE(path.stat().st_mode) & 0o077}


@pytest.fixture(autouse=True)
def _shared_umask() -> Any:
    """As a login has it, whoever runs the tests."""
    before = os.umask(0o022)
    yield
    os.umask(before)
