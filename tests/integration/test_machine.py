"""The machine is what goes wrong: its clock is set back, its disk is full or read-only, Redis may not write."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.running import Engine, until, why_not_ready
from tests.shop import clock, open_shop, promised, received, take_in, wait_for

COMPILER = shutil.which("cc") or shutil.which("gcc")
#: The wall clock of one process, set by what a file says: the seconds to add.
SHIFT_C = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static long shift(void) {
  char text[32] = {0};
  int file = open(getenv("SHIFT_FILE"), O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
  close(file);
  return atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int answer = real(clock, at);
  if (clock == CLOCK_REALTIME) at->tv_sec += shift();
  return answer;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}

/* Kafka's client waits until a time of day: the kernel has another one. */
int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
  static int (*real)(cnd_t *, mtx_t *, const struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "cnd_timedwait");
  struct timespec at = *until;
  at.tv_sec -= shift();
  return real(condition, mutex, &at);
}
"""
DISK_MB = 24


# --- the clock -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(COMPILER is None, reason="no C compiler: the shim that sets one process' clock cannot be built")
def test_a_clock_set_back_by_an_hour_costs_seconds(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shift, shim = world.folder / "shift", world.folder / "shift.so"
    shift.write_text("0")
    source = shim.with_suffix(".c")
    source.write_text(SHIFT_C)
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-O", "-o", str(shim), str(source), "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    monkeypatch.setenv("SHIFT_FILE", str(shift))
    open_shop(world)
    take_in(world, 0, 10)
    with Engine(world) as engine:
        monkeypatch.delenv("LD_PRELOAD")
        wait_for(world, 10)
        [worker] = engine.wait_for_workers()
        shift.write_text("-3600")
        take_in(world, 0, 5)
        wait_for(world, 15, seconds=60)  # a restart: 3 s, on a machine that has much else to do many more
        # It may have told the number before it looked at its clock again.
        until(lambda: "the clock was set back by 3600" in engine.text(), 60, engine.text)
        until(lambda: not worker.is_running(), 20, "it went on")
        take_in(world, 0, 1)
        wait_for(world, 16, seconds=20)
        shift.write_text("0")  # forward again is nothing to it
        take_in(world, 0, 1)
        wait_for(world, 17, seconds=20)
        assert engine.stop() == 0, engine.text()
        assert engine.text().count("the clock was set back") == 1


# --- the disk --------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of its own, small enough to be filled; skips where that is not allowed."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a disk of its own needs the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave nothing of a disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def deaths(engine: Engine) -> int:
    return engine.text().count("a worker died")


def test_a_full_disk_ends_the_worker_and_loses_nothing(world: Any) -> None:
    items = 200
    open_shop(world, items=items)
    with small_disk(world.folder / "disk") as disk:
        for number in range(items):
            world.send("inventory.warehouse", received(number, 10))
        world.flush()
        with Engine(world, state__dir=disk / "state", shards=2) as engine:
            wait_for(world, 10, number=items - 1)
            ballast = fill(disk)

            def goes_on_until_it_dies() -> bool:
                for number in range(items):
                    world.send("inventory.warehouse", received(number, 1))
                world.flush()
                time.sleep(0.1)
                sent[0] += 1
                return deaths(engine) > 0

            sent = [0]
            until(goes_on_until_it_dies, 40, lambda: f"a death\n{engine.text()}")
            engine.still_runs()
            assert "disk" in engine.text() or "space" in engine.text(), engine.text()
            time.sleep(2)
            engine.still_runs()
            ballast.unlink()
            for number in (0, items - 1):
                wait_for(world, 10 + sent[0], number=number, seconds=60)
            assert engine.stop() == 0, engine.text()
        assert {promised(world, number) for number in range(items)} == {10 + sent[0]}


def test_a_start_on_a_read_only_disk_says_so_and_loses_nothing(world: Any) -> None:
    open_shop(world)
    with small_disk(world.folder / "disk") as disk:
        take_in(world, 0, 10)
        with Engine(world, state__dir=disk / "state") as engine:
            wait_for(world, 10)
            assert engine.stop() == 0, engine.text()
        take_in(world, 0, 5)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with Engine(world, state__dir=disk / "state") as engine:
            assert engine.wait(20) == 2, engine.text()
            assert "cannot be written (Read-only file system)" in engine.text()
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        with Engine(world, state__dir=disk / "state") as engine:
            wait_for(world, 15)
            assert engine.stop() == 0, engine.text()


# --- Redis -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["out of memory", "read-only"])
def test_a_redis_that_takes_no_writes_is_waited_for(world: Any, trouble: str) -> None:
    from flows.processes.addresses import free_ports

    [port] = free_ports(1)
    open_shop(world, items=50)
    take_in(world, 0, 10)
    redis = world.redis
    before = redis.config_get("maxmemory")["maxmemory"]
    with Engine(world, metrics__port=port) as engine:
        wait_for(world, 10)
        [worker] = engine.wait_for_workers()
        try:
            if trouble == "read-only":
                redis.execute_command("REPLICAOF", "127.0.0.1", 1)
            else:
                redis.config_set("maxmemory", 1)
            for _ in range(100):
                for number in range(50):
                    world.send("inventory.warehouse", received(number, 1))
            world.flush()
            until(lambda: "redis has not taken" in why_not_ready(port), 30, lambda: f"unready\n{engine.text()}")
            taken = worker.memory_info().rss
            time.sleep(3)
            assert worker.memory_info().rss < taken + 50e6, "it takes more and more"
            assert promised(world) == 10
        finally:
            if trouble == "read-only":
                redis.execute_command("REPLICAOF", "NO", "ONE")
            else:
                redis.config_set("maxmemory", before)
        wait_for(world, 110, seconds=20)
        for number in range(1, 50):
            wait_for(world, 100, number=number, seconds=10)
        until(lambda: not why_not_ready(port), 20, lambda: why_not_ready(port))
        assert psutil.pid_exists(worker.pid), "it was restarted"
        assert engine.stop() == 0, engine.text()
    word = {"read-only": "read only", "out of memory": "maxmemory"}[trouble]
    assert word in engine.text(), engine.text()
    assert redis.exists(f"{world.redis_prefix}atp:{clock(0)}")
