"""The faults, a function each: breaks something while everything runs, and mends it. What must follow is the arena's.

A fault gives what it did, for the report. The dice decide all that is left open, so that a seed tells it again; which
line the engine is at when it dies by the clock is not theirs.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import redis

from flows.remote.objects import open_objects
from flows.remote.taking_up import copies_in
from tests.chaos.arena import Arena, full, remount
from tests.chaos.trap import GROUP, NAMES, OF_RESUME, OF_SUPERVISOR, POINTS, SUPERVISOR, WORKER, Hit
from tests.running import Engine, until

Told = dict[str, Any]
Fault = Callable[[Arena, random.Random], Told]

ON_ITS_WAY = tuple(name for name in NAMES if name not in OF_RESUME | OF_SUPERVISOR)
#: On a machine that others share. What takes this long is stuck.
PATIENCE_S = 300.0
#: How long somebody may take to walk into a trap.
TRAP_SECONDS_MAX = 20.0
#: How long a run that woke up may go on before it finds out that it is the older one.
ZOMBIE_SECONDS_MAX = 45.0
#: Passes before a trap snaps. Points that are passed once an epoch or a shard's start come seldom.
PASSES_MAX = {
    "before a slice": 40, "slice under way": 40, "after a slice": 40, "after an update": 2000, "after a position": 1000,
    "before the flush": 4, "after the flush": 4, "before a sink's snapshot": 12, "after a sink's snapshot": 12,
    "before a shard's snapshot": 12, "after a shard's snapshot": 12, "after the commit": 4,
    "before a shard resumes": 3, "after a shard resumes": 3, "before a sink resumes": 3,
}  # fmt: skip


# --- kills ------------------------------------------------------------------------------------------------------------


def kill(arena: Arena, dice: random.Random) -> Told:
    """SIGKILL, at a chosen point or at a moment of the clock's."""
    if dice.random() < 0.3:
        return kill_at_random(arena, dice)
    return kill_at(arena, dice, dice.choice(NAMES))


def kill_at_random(arena: Arena, dice: random.Random, target: str | None = None) -> Told:
    """SIGKILL whenever the time is up."""
    target = target or dice.choices((WORKER, GROUP, SUPERVISOR), (4, 2, 1))[0]
    engine, worker = arena.engine, arena.worker()
    assert engine is not None
    time.sleep(dice.uniform(0.0, 0.8))
    began = time.monotonic()
    if target == WORKER:
        worker.kill()
        until(lambda: not _lives(worker), 10, "the worker's end")
    elif target == GROUP:
        engine.kill_everything()
    else:
        engine.process.kill()
    return _after_a_kill(arena, target, None, began)


def kill_at(arena: Arena, dice: random.Random, point: str, target: str | None = None) -> Told:
    """Set a trap at a point, wait until the engine has walked into it, and see that it is dead."""
    engine, trap = arena.engine, arena.trap
    assert engine is not None
    arena.worker()
    before = len(trap.hits())
    if point in OF_SUPERVISOR:
        target = SUPERVISOR
        engine.kill_everything()
        trap.set(point, target)
        arena.start_again()
    else:
        target = target or dice.choices((WORKER, GROUP, SUPERVISOR), (4, 2, 1))[0]
        passes = dice.randrange(1, 1 + PASSES_MAX.get(point, 1))
        trap.set(point, target, passes)
        if point in OF_RESUME:
            arena.worker().kill()
    deadline = time.monotonic() + TRAP_SECONDS_MAX
    while trap.is_set() and time.monotonic() < deadline:
        time.sleep(0.01)
    began = time.monotonic()
    if trap.is_set():
        trap.clear()
        return {"fault": "kill", "point": point, "target": target, "hit": False}
    until(lambda: len(trap.hits()) > before, 5, "the line of the dying")
    hit = trap.hits()[-1]
    assert hit.point == point, (hit, point)
    if target != SUPERVISOR:
        until(lambda: not _is_alive(hit.process), 10, f"the end of {hit}")
    return _after_a_kill(arena, target, hit, began)


def _after_a_kill(arena: Arena, target: str, hit: Hit | None, began: float) -> Told:
    engine = arena.engine
    assert engine is not None
    if target != WORKER:
        until(lambda: engine.process.poll() is not None, 10, "the supervisor's end")
        assert engine.process.returncode == -signal.SIGKILL, engine.process.returncode
        arena.start_again()
    token = arena.follower.token
    told: Told = {"fault": "kill", "target": target, "hit": hit is not None, "point": hit.point if hit else "random"}
    if hit is not None:
        told["process"] = hit.process
    told["caught up after (s)"] = round(arena.recovers(), 2)
    if arena.follower.token > token:
        told["first publication after (s)"] = round(arena.follower.token_at - began, 2)
    return told


def restarts(arena: Arena, dice: random.Random) -> Told:
    """Start and end it, again and again, by word and by force, before it has come to itself."""
    count = 5
    for _ in range(count):
        assert arena.engine is not None
        time.sleep(dice.uniform(0.1, 2.0))
        if dice.random() < 0.5 and arena.runs():
            arena.engine.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(Exception):
                arena.engine.process.wait(60)
        else:
            arena.engine.kill_everything()
        arena.start_again()
    return {"restarts": count}


# --- an older run -----------------------------------------------------------------------------------------------------


def freeze(arena: Arena, dice: random.Random) -> Told:
    """SIGSTOP, another on a copy of the state takes over, SIGCONT: the older one must end and write nothing."""
    older = arena.engine
    assert older is not None
    workers = older.wait_for_workers(arena.options.workers)
    time.sleep(dice.uniform(0.0, 0.5))
    for process in (psutil.Process(older.process.pid), *workers):
        process.suspend()
    copy = arena.world.state_dir.with_name(f"copy-{time.monotonic_ns()}")
    shutil.copytree(arena.world.state_dir, copy)
    arena.world.state_dir = copy
    newer = arena.start()
    took_over = arena.recovers()
    arena.follower.had_zombies = True
    order = [psutil.Process(older.process.pid), *workers]
    dice.shuffle(order)
    for process in order:
        process.resume()
    time.sleep(dice.uniform(0.5, 2.0))
    try:
        code = older.wait(ZOMBIE_SECONDS_MAX)
    finally:
        older.kill_everything()
        arena.texts.append(older.text())
    said = "a newer run of the engine has taken over" in older.text()
    if code != 2 or not said:
        arena.faults.note("ended", f"the older run ended with {code}: {older.text()[-1500:]}")
    assert newer is arena.engine
    return {"took over after (s)": round(took_over, 2), "the older one said so": said}


# --- Redis ------------------------------------------------------------------------------------------------------------


def _client(arena: Arena) -> redis.Redis:
    client: redis.Redis = redis.Redis.from_url(arena.servers.redis_url)
    return client


def redis_killed(arena: Arena, dice: random.Random) -> Told:
    """SIGKILL, and back with its data."""
    arena.servers.kill_redis()
    time.sleep(dice.uniform(0.0, 2.0))
    arena.servers.restart_redis(empty=False)
    return {}


def redis_frozen(arena: Arena, dice: random.Random) -> Told:
    """Takes connections, answers nothing: longer than an answer is waited for."""
    with arena.servers.stopped("redis"):
        time.sleep(6.0)
    return {"seconds": 6}


def redis_emptied(arena: Arena, dice: random.Random) -> Told:
    """FLUSHALL while it is written to."""
    arena.reader.redis_is_set_back()
    _client(arena).flushall()
    arena.reader.redis_is_set_back()
    return _filled_again(arena)


def redis_older(arena: Arena, dice: random.Random) -> Told:
    """An older copy in its place."""
    arena.servers.keep_redis()
    time.sleep(dice.uniform(0.5, 3.0))
    arena.reader.redis_is_set_back()
    arena.servers.bring_back_redis()
    arena.reader.redis_is_set_back()
    return _filled_again(arena)


def _filled_again(arena: Arena) -> Told:
    """Wait until each item is there again, its promises and its position of one time."""
    began = time.monotonic()
    arena.recovers()
    for _ in range(2):  # a worker that writes nothing notices with its heartbeat
        time.sleep(1.2)
        until(lambda: not arena.reader.torn(), PATIENCE_S, lambda: f"the refill: {arena.reader.torn()[:3]}")
    arena.reader.redis_is_filled()
    return {"filled again within (s)": round(time.monotonic() - began, 1)}


def redis_read_only(arena: Arena, dice: random.Random) -> Told:
    """A replica of nobody, as after a failover; then one without enough replicas of its own."""
    client = _client(arena)
    with _met(arena, "READONLY"):
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
    client.execute_command("REPLICAOF", "NO", "ONE")
    arena.recovers()  # it says once what it waits for
    with _met(arena, "NOREPLICAS"):
        client.config_set("min-replicas-to-write", 1)
    client.config_set("min-replicas-to-write", 0)
    return {}


def redis_out_of_memory(arena: Arena, dice: random.Random) -> Told:
    """maxmemory below what it holds, noeviction."""
    client = _client(arena)
    client.config_set("maxmemory-policy", "noeviction")
    with _met(arena, "OOM"):
        client.config_set("maxmemory", "100kb")
    client.config_set("maxmemory", 0)
    return {}


@contextlib.contextmanager
def _met(arena: Arena, code: str) -> Iterator[None]:
    """Wait until Redis has refused the engine something with this code; and a second longer."""
    client = _client(arena)

    def refused() -> int:
        told: dict[str, Any] = client.info("errorstats").get(f"errorstat_{code}", {})
        return int(told.get("count", 0))

    before = refused()
    yield
    try:
        until(lambda: refused() > before, 60, f"{code} from Redis")
        time.sleep(1.0)
    except AssertionError as error:
        arena.faults.note("not met", str(error))


def redis_functions_gone(arena: Arena, dice: random.Random) -> Told:
    """FUNCTION FLUSH."""
    _client(arena).execute_command("FUNCTION", "FLUSH")
    return {}


def redis_connections_cut(arena: Arena, dice: random.Random) -> Told:
    """CLIENT KILL of all, again and again."""
    for _ in range(10):
        _client(arena).execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        time.sleep(dice.uniform(0.0, 0.3))
    return {"cuts": 10}


# --- Kafka ------------------------------------------------------------------------------------------------------------


def kafka_killed(arena: Arena, dice: random.Random) -> Told:
    """SIGKILL, and started again."""
    arena.servers.kill_kafka()
    time.sleep(dice.uniform(0.0, 3.0))
    arena.servers.restart_kafka()
    return {}


def kafka_frozen(arena: Arena, dice: random.Random) -> Told:
    """Takes connections, does nothing."""
    with arena.servers.stopped("kafka"):
        time.sleep(5.0)
    return {"seconds": 5}


def kafka_slow(arena: Arena, dice: random.Random) -> Told:
    """Each word to and from it takes 200 ms more."""
    arena.servers.to_kafka.say("delay 200")
    try:
        time.sleep(4.0)
    finally:
        arena.servers.to_kafka.say("pass")
    return {"seconds": 4}


def kafka_disk_full(arena: Arena, dice: random.Random) -> Told:
    """Kafka can write no byte more: it gives up its log and ends, as on a full disk; then there is room again."""
    arena.servers.fill_kafkas_disk()
    process = arena.servers.kafka_server.process
    assert process is not None
    until(lambda: process.poll() is not None, 60, "Kafka's end")
    code = process.returncode
    time.sleep(1.0)
    arena.servers.restart_kafka()
    return {"Kafka's exit code": code}


def killed_while_redis_is_away(arena: Arena, dice: random.Random) -> Told:
    """Redis killed, then a worker or all of it; the engine starts before Redis does."""
    arena.servers.kill_redis()
    time.sleep(dice.uniform(0.0, 1.0))
    _kill_blindly(arena, dice)
    time.sleep(dice.uniform(0.0, 3.0))
    arena.servers.restart_redis(empty=False)
    return {}


def killed_while_kafka_is_away(arena: Arena, dice: random.Random) -> Told:
    """Kafka killed, then a worker or all of it; the engine starts before Kafka does."""
    arena.servers.kill_kafka()
    time.sleep(dice.uniform(0.0, 1.0))
    _kill_blindly(arena, dice)
    time.sleep(dice.uniform(0.0, 3.0))
    arena.servers.restart_kafka()
    return {}


def _kill_blindly(arena: Arena, dice: random.Random) -> None:
    assert arena.engine is not None
    if dice.random() < 0.5:
        arena.worker().kill()
    else:
        arena.engine.kill_everything()
        arena.start_again()


# --- the network ------------------------------------------------------------------------------------------------------


def _network(proxy: str, word: str, seconds: float) -> Fault:
    def fault(arena: Arena, dice: random.Random) -> Told:
        one = getattr(arena.servers, f"to_{proxy}")
        for _ in range(3):
            one.say(word)
            time.sleep(dice.uniform(0.2, 1.0) * seconds)
            one.say("pass")
            time.sleep(dice.uniform(0.0, 0.3))
        return {"times": 3}

    fault.__doc__ = f"The network to {proxy}: {word}, three times."
    return fault


def machine_lost(arena: Arena, dice: random.Random) -> Told:
    """All processes and the state's disk are gone at once: another machine begins with the newest copy."""
    assert arena.engine is not None
    objects = open_objects(arena.settings)
    until(lambda: copies_in(objects), 60, "a copy of the state")
    time.sleep(dice.uniform(0.0, 1.5))
    arena.engine.kill_everything()
    shutil.rmtree(arena.world.state_dir)
    arena.start_again()
    return {"copy": copies_in(objects)[0].name}


# --- the state's disk -------------------------------------------------------------------------------------------------


def disk_full(arena: Arena, dice: random.Random) -> Told:
    """No room for state: the engine must say so and go on when there is."""
    assert arena.engine is not None
    worker = arena.worker()
    if arena.has_small_disk:
        with full(arena.disk):
            _meets_a_full_disk(arena, worker)
        return {"how": "a small file system, filled (ENOSPC)"}
    for one in arena.engine.workers():
        _, hard = resource.prlimit(one.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(one.pid, resource.RLIMIT_FSIZE, (1, hard))
    _meets_a_full_disk(arena, worker)
    return {"how": "RLIMIT_FSIZE (EFBIG): no rights to mount a file system"}


def _meets_a_full_disk(arena: Arena, worker: psutil.Process) -> None:
    with contextlib.suppress(AssertionError):
        until(lambda: not _lives(worker), 60, "a worker's end")
        time.sleep(6.0)  # and started again into the same
        return
    arena.faults.note("not met", "a full disk was not noticed")


def disk_read_only(arena: Arena, dice: random.Random) -> Told:
    """The state's disk comes back read-only: the start is refused with a sentence; then it is writable again."""
    assert arena.engine is not None and arena.has_small_disk
    arena.engine.kill_everything()
    remount(arena.disk, "ro")
    try:
        arena.start_again()
        code = arena.engine.wait(30)
        said = arena.engine.text()
    finally:
        remount(arena.disk, "rw")
    if code == 0 or "Traceback" in said or "state.dir" not in said:
        arena.faults.note("ended", f"on a read-only disk it ended with {code}: {said[-1500:]}")
    arena.start_again()
    return {"exit code": code, "said": said.strip()[-300:]}


def segments_damaged(arena: Arena, dice: random.Random) -> Told:
    """Torn, missing, one bit flipped: each refuses the start with the file's name, and nothing is published."""
    assert arena.engine is not None
    until(lambda: list(_segments(arena.world.state_dir)), PATIENCE_S, "a sealed segment")
    time.sleep(1.0)
    arena.engine.kill_everything()
    whole = arena.world.state_dir
    damage: dict[str, Callable[[Path], Any]] = {
        "torn": lambda file: os.truncate(file, file.stat().st_size // 2),
        "missing": lambda file: file.unlink(),
        "bit flipped": lambda file: _flip(file, dice),
    }
    told: Told = {}
    for name, harm in damage.items():
        copy = whole.with_name(f"damaged-{name.replace(' ', '-')}-{time.monotonic_ns()}")
        shutil.copytree(whole, copy)
        # The newest snapshot names the files that were written last for good; a half-written one it does not know.
        files = list(_segments(copy))
        assert files, "no segment was sealed yet"
        for file in files:
            harm(file)
        engine = Engine(arena.world, state__dir=copy)
        try:
            code = engine.wait(60)
        finally:
            engine.kill_everything()
            shutil.rmtree(copy)
        said = next((line for line in engine.text().splitlines() if "state file" in line), "")
        told[name] = f"exit code {code}; {len(files)} files"
        if code != 1 or not said:
            arena.faults.note("ended", f"segments {name}: it ended with {code}: {engine.text()[-1500:]}")
    arena.start_again()
    return told


def _segments(state: Path) -> Iterator[Path]:
    return (file for file in (state / "segments").rglob("*.[sl][ea][gy]") if file.stat().st_size)


def _flip(file: Path, dice: random.Random) -> None:
    content = bytearray(file.read_bytes())
    at = dice.randrange(len(content))
    content[at] ^= 1 << dice.randrange(8)
    file.write_bytes(content)


# --- the clock --------------------------------------------------------------------------------------------------------


CLOCK = "CHAOS_CLOCK"
STEPS_S = (15, -15, 0)


def clock_stepped(arena: Arena, dice: random.Random) -> Told:
    """The engine's wall clock on by 15 s, back by 30, then right again; that of Kafka stays right."""
    assert arena.engine is not None
    arena.engine.stop(60)
    step = arena.folder / "clock"
    step.write_bytes(bytes(8))
    library = arena.folder / "clock.so"
    compiler = shutil.which("cc") or shutil.which("gcc")
    arena.world.more = {CLOCK: str(step)}
    if compiler is not None:
        source = Path(__file__).with_name("clock.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source)], check=True)
        arena.world.more["LD_PRELOAD"] = str(library)
    arena.start_again()
    arena.recovers()
    waited = []
    try:
        for seconds in STEPS_S:
            with step.open("r+b") as file:
                file.write(seconds.to_bytes(8, sys.byteorder, signed=True))
            time.sleep(2.0)
            waited.append(round(arena.recovers(), 1))
    finally:
        arena.world.more = {}
    arena.engine.kill_everything()
    arena.start_again()
    how = "every clock_gettime of the engine" if compiler else "Python's clock in the engine: no C compiler"
    return {"how": how, "caught up after each (s)": waited}


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _is_alive(process: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return _lives(psutil.Process(process))
    return False


#: name -> the fault, and how often it is drawn
FAULTS: dict[str, tuple[Fault, int]] = {
    "kill": (kill, 40),
    "restarts in a loop": (restarts, 2),
    "frozen, another takes over, woken": (freeze, 4),
    "Redis killed": (redis_killed, 2),
    "Redis frozen": (redis_frozen, 1),
    "Redis emptied": (redis_emptied, 3),
    "Redis replaced by an older copy": (redis_older, 3),
    "Redis read-only": (redis_read_only, 2),
    "Redis out of memory": (redis_out_of_memory, 2),
    "Redis without functions": (redis_functions_gone, 2),
    "Redis drops connections": (redis_connections_cut, 2),
    "Kafka killed": (kafka_killed, 2),
    "Kafka frozen": (kafka_frozen, 1),
    "Kafka slow": (kafka_slow, 1),
    "Kafka's disk full": (kafka_disk_full, 1),
    "killed while Redis is away": (killed_while_redis_is_away, 3),
    "killed while Kafka is away": (killed_while_kafka_is_away, 2),
    "network to Redis slow": (_network("redis", "delay 50", 2), 1),
    "network to Redis held": (_network("redis", "hold", 2), 1),
    "network to Redis loses answers": (_network("redis", "swallow", 2), 2),
    "network to Redis cut": (_network("redis", "cut", 2), 2),
    "network to Kafka held": (_network("kafka", "hold", 3), 1),
    "network to Kafka loses answers": (_network("kafka", "swallow", 2), 1),
    "network to Kafka cut": (_network("kafka", "cut", 2), 2),
    "network to Kafka narrow": (_network("kafka", "throttle 300", 3), 1),
    "state's disk full": (disk_full, 2),
    "state's disk read-only": (disk_read_only, 1),
    "segments damaged": (segments_damaged, 2),
    "machine and disk lost": (machine_lost, 2),
    "clock stepped": (clock_stepped, 1),
}


def run(arena: Arena, name: str, dice: random.Random) -> Told:
    """Break one thing, and wait until all has come through again."""
    began = time.monotonic()
    fault, _ = FAULTS[name]
    told = fault(arena, dice)
    told.setdefault("fault", name)
    if name != "kill" or "caught up after (s)" not in told:
        told["caught up after (s)"] = round(arena.recovers(), 2)
    told["seconds"] = round(time.monotonic() - began, 2)
    return told


__all__ = ["FAULTS", "POINTS", "kill_at", "run"]
