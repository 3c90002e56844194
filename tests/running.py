"""Runs the engine as a process of its own for tests: starts it, kills it, freezes it, and never leaves one behind."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import psutil

from schemas.settings import Settings

#: Python, Bytewax, Kafka's client and a first epoch: 2 s on an idle machine, much more while others share it.
START_SECONDS_MAX = 60.0
#: More than the supervisor gives its workers: by then it has ended them by force, and said where they stood.
END_SECONDS_MAX = 45.0
POLL_S = 0.02
#: The least that is waited for a condition before a test fails: a busy or stolen-from machine stands still for seconds.
#: How fast something has to be is asserted apart, by those tests that are about it.
PATIENCE_S = 30.0

Answer = TypeVar("Answer")


def until(ask: Callable[[], Answer], seconds: float, what: str | Callable[[], str]) -> Answer:
    """Ask again and again until the answer is true, and give it; fail the test after so many seconds, or PATIENCE_S."""
    seconds = max(seconds, PATIENCE_S)
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(POLL_S)


class Engine:
    """`atp run` in a world; a context manager that ends whatever still runs."""

    started = 0

    def __init__(self, world: Any, *arguments: str, command: str = "run", **overrides: object) -> None:
        Engine.started += 1
        self.log = world.folder / f"engine-{Engine.started}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                world.command(command, *arguments),
                env=world.env(**overrides),
                cwd=world.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        #: every worker that was ever seen: what has to be gone at the end
        self._seen: dict[int, psutil.Process] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill_everything()
        if error is not None:
            error.add_note(f"the engine said:\n{self.text()[-6000:]}")

    def text(self) -> str:
        """Give what it wrote to its standard output and error."""
        return self.log.read_text(errors="replace")

    # --- its processes -----------------------------------------------------------------------------------------------

    def workers(self) -> list[psutil.Process]:
        """Give the worker processes that live now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children():
                self._seen.setdefault(child.pid, child)
        return [one for one in self._seen.values() if _lives(one)]

    def wait_for_workers(self, count: int = 1, besides: tuple[int, ...] = ()) -> list[psutil.Process]:
        """Wait for new workers."""

        def there() -> list[psutil.Process]:
            self.still_runs()
            found = [one for one in self.workers() if one.pid not in besides]
            return found if len(found) == count else []

        return until(there, START_SECONDS_MAX, lambda: f"{count} workers\n{self.text()}")

    def still_runs(self) -> None:
        """Fail the test if it has ended."""
        assert self.process.poll() is None, f"the engine ended with {self.process.returncode}:\n{self.text()}"

    def kill_worker(self) -> int:
        """SIGKILL a worker; the supervisor starts another."""
        worker = self.wait_for_workers()[0]
        worker.kill()
        with contextlib.suppress(psutil.TimeoutExpired):
            worker.wait(5)  # the supervisor's child: it reaps it, or it becomes a zombie that we do not wait for
        return worker.pid

    def kill_everything(self) -> None:
        """SIGKILL the supervisor and all of its workers in the same moment."""
        everyone = self.workers()
        if self.process.poll() is None:
            self.process.kill()
        for worker in everyone:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
                worker.resume()
        self.process.wait(END_SECONDS_MAX)
        until(lambda: not self.workers(), END_SECONDS_MAX, "the workers' end")

    # --- its life ----------------------------------------------------------------------------------------------------

    def wait_until_it_reads(self, world: Any, settings: Settings) -> None:
        """Wait until it has committed an epoch that held everything which was in the input topics at the call."""
        wanted = ends(settings)

        def is_there() -> bool:
            self.still_runs()
            done = committed(settings)
            return all(done.get(part, 0) >= end for part, end in wanted.items())

        until(is_there, START_SECONDS_MAX, lambda: f"offsets {wanted}, got {committed(settings)}\n{self.text()}")

    def stop(self, seconds: float = END_SECONDS_MAX) -> int:
        """SIGTERM, as an operator's system does it; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float) -> int:
        """Wait for its own end; the exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the engine did not end within {seconds:g} s:\n{self.text()}") from None


@contextlib.contextmanager
def frozen(process: psutil.Process) -> Iterator[None]:
    """Stop a process as a long pause of its machine would, and let it go on."""
    process.suspend()
    # The signal is on its way: a thread on another processor may still answer for a moment.
    until(lambda: is_stopped(process), 10, f"{process} stopped")
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


def is_stopped(process: psutil.Process) -> bool:
    """Do none of its threads run any more?"""
    states = set()
    for thread in Path(f"/proc/{process.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            states.add((thread / "stat").read_text().rpartition(")")[2].split()[0])
    return states == {"T"}


def ends(settings: Settings) -> dict[str, int]:
    """Map each input partition "topic/partition" to its end."""
    from flows.kafka.clients import KafkaProblem, input_ends

    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            return input_ends(settings)
        except KafkaProblem:  # topics that were made just now have no leader for a moment
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)


def committed(settings: Settings) -> dict[str, int]:
    """Map each input partition to the position that the engine's consumer group has committed to Kafka."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": settings.kafka.group, "log_level": 0}
    )
    try:
        parts = [part.rpartition("/") for part in ends(settings)]
        found = consumer.committed([TopicPartition(topic, int(number)) for topic, _, number in parts], timeout=10)
        return {f"{place.topic}/{place.partition}": place.offset for place in found if place.offset >= 0}
    finally:
        consumer.close()


def why_not_ready(port: int) -> str:
    """Give the reasons that /readyz gives; empty: it is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    return "" if answer.status == 200 else " ".join(json.loads(text)["reasons"])


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
