"""Where a round is fought: a world on the real servers, an engine with traps, the load, the readers and the verdict."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from flows.kafka.clients import partitions_of
from schemas.topics import DEAD_LETTERS, UPDATES
from tests.chaos.load import BOTH_CHANNEL, EAST, EAST_CHANNEL, PINGS, PREFIX, WEST, Load, Pump
from tests.chaos.readers import Faults, KafkaFollower, RedisReader
from tests.chaos.servers import ChaosServers
from tests.chaos.trap import FOLDER, Trap
from tests.chaos.worker import WITHOUT
from tests.conftest import World
from tests.judging import Judge, check_outputs, differences, now_us, without_dead_letter
from tests.running import Engine, committed, ends, until
from tests.stories import Feeder, Stories

PARTITIONS = 4
RECOVER_SECONDS_MAX = 300.0
#: The model's work grows with the length of a history: so many events, and so many a second of all of them.
STORY_LENGTH, STORY_RATE = 300, 20.0
MIB = 1 << 20


@dataclass
class Options:
    """What a round is like."""

    seed: int = 1
    items: int = 1000
    rate: float = 1500.0
    stories: int = 6
    workers: int = 1
    shards: int = 8
    epoch: str = "100ms"
    #: state on a small disk of its own, which can be filled and made read-only
    small_disk_mib: int = 0
    #: a guarantee that the workers do without
    without: str = ""


class ChaosWorld(World):
    """A world whose engine has traps and reaches the servers through the network that can be broken."""

    def __init__(self, servers: ChaosServers, name: str, folder: Path, options: Options) -> None:
        super().__init__(servers, name, folder)
        self._options = options
        self.traps = folder / "traps"
        self.more: dict[str, str] = {}

    def overrides(self, **overrides: object) -> dict[str, object]:
        options = self._options
        ours = {"shards": options.shards, "workers": options.workers, "state.epoch_interval": options.epoch}
        # Beside every fault: what copies the state must neither be harmed by it nor do harm.
        ours |= {"state.remote": str(self.folder / "remote"), "state.remote_every": "1s"}
        return super().overrides(**{"kafka__partitions": PARTITIONS, **overrides}) | ours

    def env(self, **overrides: object) -> dict[str, str]:
        servers: Any = self.servers
        far = {
            "kafka__bootstrap_servers": f"127.0.0.1:{servers.kafka_server.outer}",
            "redis__url": f"redis://127.0.0.1:{servers.to_redis.port}/0",
        }
        traps = {FOLDER: str(self.traps), WITHOUT: self._options.without}
        return super().env(**far, **overrides) | traps | self.more

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tests.chaos.supervisor", *arguments]

    def flush(self, seconds: float = RECOVER_SECONDS_MAX) -> None:
        super().flush(seconds)

    def concerns(self, key: bytes | str) -> bool:
        """The naive model judges the stories; the load has its own arithmetic. Places and channels are for both."""
        text = key.decode(errors="replace") if isinstance(key, bytes) else key
        return not text.startswith(PREFIX) or text in (EAST, WEST, BOTH_CHANNEL, EAST_CHANNEL)


class Arena:
    """One round. A context manager: at its start everything runs and is quiet; `finish` gives the verdict."""

    def __init__(self, servers: ChaosServers, folder: Path, options: Options, log: Callable[[str], None]) -> None:
        self.servers, self.options, self.log = servers, options, log
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.world = ChaosWorld(servers, f"chaos-{options.seed}", folder, options)
        self._stack = contextlib.ExitStack()
        self.has_small_disk = False
        if options.small_disk_mib:
            self._mount(options.small_disk_mib)
        self.trap = Trap(self.world.traps)
        self.faults = Faults()
        self.engine: Engine | None = None
        self.texts: list[str] = []
        self.kills: list[dict[str, Any]] = []
        self.rss_max = 0

    def _mount(self, size: int) -> None:
        disk = self.folder / "disk"
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "chaos", str(disk)]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            self._stack.callback(subprocess.run, ["umount", "-l", str(disk)], check=False)
            self.has_small_disk = True
            self.world.state_dir = disk / "state"

    @property
    def disk(self) -> Path:
        """Give where the small disk is mounted."""
        return self.folder / "disk"

    def __enter__(self) -> Self:
        world, options = self.world, self.options
        world.create_topics()
        self.settings = world.settings()
        stories = Stories(options.stories, STORY_LENGTH, options.seed)
        stories.send_reference(world)
        for place in (EAST, WEST):
            world.send("inventory.locations", {"location": place}, key=place)
        both = {"channel": BOTH_CHANNEL, "locations": [EAST, WEST], "low_stock_threshold": 5 << 48}
        world.send("inventory.channels", both, key=BOTH_CHANNEL)
        world.send("inventory.channels", {"channel": EAST_CHANNEL, "locations": [EAST]}, key=EAST_CHANNEL)
        self.load = Load(options.seed, options.items)
        for number in range(options.items + PINGS):
            code = self.load.code(number)
            world.send("inventory.items", {"item": code}, key=code)
        world.flush()
        near = self.servers.bootstrap_servers
        self.pump = Pump(self.load, near, world.topic, PARTITIONS, options.rate, options.seed)
        self.pump.begin()
        topics = partitions_of(self.settings, UPDATES)
        self.follower = KafkaFollower(near, topics, self.load, self.faults)
        self.reader = RedisReader(
            self.servers.redis_url, world.redis_prefix, self.load, self.pump, self.faults, options.seed
        )
        self._is_over = False
        told = itertools.takewhile(lambda _: not self._is_over, stories.events())
        self._story_feed = Feeder(world, told, PARTITIONS, per_second=STORY_RATE)
        self.start()
        self.follower.start()
        self._until(lambda: self._is_read_to(ends(self.settings)), 300, "the beginning is read")
        self._until(lambda: self.reader.holds(0, self.load.told(0)), 60, "the first numbers are there")
        self.reader.start()
        self.pump.start()
        self._story_feed.start()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._ended = threading.Event()
        self._sampler.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self.pump.end()
        self._is_over = True
        self.trap.clear()
        if self.engine is not None:
            self.engine.kill_everything()
            if error is not None:
                error.add_note(f"the engine said:\n{self.engine.text()[-5000:]}")
        self.servers.mend()
        self.reader.close()
        self.follower.close()
        if kind is None:
            self.world.close()
        self._stack.close()

    # --- the engine --------------------------------------------------------------------------------------------------

    def start(self) -> Engine:
        """Start an engine on the state that there is."""
        self.engine = Engine(self.world)
        return self.engine

    def runs(self) -> bool:
        """Say whether the supervisor lives."""
        return self.engine is not None and self.engine.process.poll() is None

    def start_again(self) -> None:
        """Start the engine after its supervisor was ended; the old workers have to be gone by themselves."""
        assert self.engine is not None
        older = self.engine
        older.process.wait(30)
        self._until(lambda: not older.workers(), 20, "the orphans' end")
        self.texts.append(older.text())
        self.start()

    def worker(self) -> psutil.Process:
        """Give a worker that lives."""
        assert self.engine is not None
        return self.engine.wait_for_workers(self.options.workers)[0]

    def said(self) -> str:
        """Give all that the engines of this round wrote."""
        return "\n".join(self.texts) + ("" if self.engine is None else self.engine.text())

    def _sample(self) -> None:
        while not self._ended.wait(0.25):
            engine = self.engine
            if engine is None:
                continue
            with contextlib.suppress(psutil.Error, OSError):
                for one in psutil.Process(engine.process.pid).children():
                    self.rss_max = max(self.rss_max, one.memory_info().rss)

    # --- waiting -----------------------------------------------------------------------------------------------------

    def _until(self, ask: Callable[[], Any], seconds: float, what: str) -> None:
        def text() -> str:
            return f"{what}\n{self.engine.text()[-4000:] if self.engine else ''}"

        until(ask, seconds, text)

    def _is_read_to(self, wanted: dict[str, int]) -> bool:
        self._must_run()
        done = committed(self.settings)
        return all(done.get(part, 0) >= end for part, end in wanted.items())

    def _must_run(self) -> None:
        if not self.runs():
            assert self.engine is not None
            self.faults.note(
                "ended", f"the engine ended with {self.engine.process.returncode}: {self.engine.text()[-1500:]}"
            )
            self.start_again()

    def recovers(self, seconds: float = RECOVER_SECONDS_MAX) -> float:
        """Send an event and wait until Redis and Kafka tell it; how long that took."""
        number, digits = self.pump.ping()
        began = time.monotonic()
        key = f"{self.load.code(number)}:{BOTH_CHANNEL}"

        def is_told() -> bool:
            self._must_run()
            if self.follower.newest.get(key, (0, 0, 0))[2] != digits:
                return False
            with contextlib.suppress(Exception):  # Redis may still be away
                return self.reader.holds(number, digits)
            return False

        try:
            self._until(is_told, seconds, f"{self.load.code(number)} with its last event")
        except AssertionError as error:
            self.faults.note("stuck", str(error))
            raise
        return time.monotonic() - began

    # --- the verdict -------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """No more faults: wait for the end of all topics, and hold everything against what was sent."""
        self.trap.clear()
        self.servers.mend()
        self.pump.finish()
        self._is_over = True
        self._story_feed.finish()
        self._until(lambda: self._is_read_to(ends(self.settings)), 300, "all is read")
        with contextlib.suppress(AssertionError):
            self._until(lambda: not self._differing(), 30, "all numbers right")
        for sentence in self._differing():
            self.faults.note("lost", sentence)
        self.reader.look_at_everything()
        self._judge_poison()
        if self.options.stories:
            self._judge_stories()
        assert self.engine is not None
        code = self.engine.stop(60)
        if code != 0:
            self.faults.note("ended", f"SIGTERM gave {code}: {self.engine.text()[-1500:]}")

    def _differing(self) -> list[str]:
        """Say where the ends of Redis and Kafka are not the sum of all that was sent."""
        found = []
        redis, prefix = self.world.redis, self.world.redis_prefix
        pipeline = redis.pipeline(transaction=False)
        everything = range(self.load.items + PINGS)
        for number in everything:
            pipeline.hmget(f"{prefix}atp:{self.load.code(number)}", BOTH_CHANNEL, EAST_CHANNEL)
            pipeline.hmget(f"{prefix}position:{self.load.code(number)}", f"{EAST}:on_hand", f"{WEST}:on_hand")
        answers = pipeline.execute()
        for number, promised, position in zip(everything, answers[::2], answers[1::2], strict=True):
            at_east = self.load.total(number, True)
            if [int(text or 0) for text in position] != [at_east, self.load.total(number) - at_east]:
                found.append(f"Redis ends with {position} on hand for {self.load.code(number)}")
            for channel, text in zip((BOTH_CHANNEL, EAST_CHANNEL), promised, strict=True):
                key, right = f"{self.load.code(number)}:{channel}", self.load.total(number, channel == EAST_CHANNEL)
                if text is None or int(text) != right:
                    found.append(f"Redis ends with {text} for {key}, all events sum to {right}")
                version, told, _ = self.follower.newest.get(key, (0, None, 0))
                if told != right:
                    found.append(f"Kafka ends with {told} for {key} at version {version}, all events sum to {right}")
        return found

    def _judge_poison(self) -> None:
        poisoned = self.load.poisoned

        def without_letter() -> set[str]:
            self.world.concerns = lambda key: _text(key) in poisoned  # type: ignore[method-assign]
            try:
                letters = {
                    (_text(letter.key), letter.value, letter.headers["code"])
                    for letter in self.world.read(DEAD_LETTERS)
                }
            finally:
                del self.world.concerns
            return {key for key, poison in poisoned.items() if (key, poison.value, poison.code) not in letters}

        with contextlib.suppress(AssertionError):
            self._until(lambda: not without_letter(), 20, "all dead letters")
        for key in without_letter():
            self.faults.note("lost", f"no dead letter for {poisoned[key]}")

    def _judge_stories(self) -> None:
        began = now_us()
        judge = Judge(self.world)
        try:
            until(lambda: not differences(self.world, judge, (began, now_us())), 20, "the model's numbers")
            until(lambda: not without_dead_letter(self.world, judge), 20, "the model's refusals")
        except AssertionError:
            for sentence in differences(self.world, judge, (began, now_us())):
                self.faults.note("wrong", f"the model says otherwise: {sentence}")
            for place in without_dead_letter(self.world, judge):
                self.faults.note("lost", f"no dead letter for {place}")
            return
        if not self.follower.had_zombies:
            try:
                check_outputs(self.world, judge)
            except AssertionError as error:
                self.faults.note("wrong", f"the stories: {str(error)[:1500]}")

    def figures(self) -> dict[str, Any]:
        """Give what this round was."""
        return {
            "options": asdict(self.options),
            "events": self.pump.events,
            "repeats": self.pump.repeats,
            "poison": len(self.load.poisoned),
            "seconds": round(self.pump.seconds, 1),
            "story events": self._story_feed.sent,
            "updates followed": self.follower.updates,
            "values read in Redis": self.reader.values,
            "late from zombies": self.follower.late_from_zombies,
            "memory of a worker at most (MiB)": round(self.rss_max / MIB),
            "faults": dict(self.faults.counts),
            "examples": self.faults.examples,
        }


def _text(key: bytes | str | None) -> str:
    return key.decode(errors="replace") if isinstance(key, bytes) else key or ""


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    """Fill a disk to its last byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(MIB))
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(512))
    try:
        yield
    finally:
        ballast.unlink()


def remount(disk: Path, how: str) -> None:
    """Make a disk read-only ("ro") or not ("rw")."""
    command = ["mount", "-o", f"remount,{how}", str(disk)]
    # A process may be gone for its parent while its last thread still closes its files.
    until(lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0, 20, f"{disk} {how}")
    assert os.path.ismount(disk)
