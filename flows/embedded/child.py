"""Runs one server as a child process: a port that stays, a log that explains, and an end no later than its parent's."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from flows.errors import PlainError

HOST = "127.0.0.1"
START_ATTEMPTS = 3  # a port that was free may be taken before the server binds it
STOP_SECONDS_MAX = 15.0
LOG_TAIL_LINES = 15
PORTS_TRIED_MAX = 200
PR_SET_PDEATHSIG = 1

Progress = Callable[[str], None]


class ServerError(PlainError):
    """A server cannot be fetched, started or, because it was given, ended. The text says which, why and what to do."""


class Server:
    """A child process on a fixed port, with a folder and a log of its own."""

    name = ""
    start_seconds_max = 0.0

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder = folder
        self.port = 0
        self.progress = progress
        self.process: subprocess.Popen[bytes] | None = None
        self._log = folder / "server.log"
        self._log_start = 0

    def start_first(self) -> None:
        """Choose ports and start; with other ports if someone was quicker."""
        for attempt in range(1, START_ATTEMPTS + 1):
            self.choose_ports()
            try:
                return self.restart()
            except ServerError:
                if attempt == START_ATTEMPTS or not self._port_was_taken():
                    raise

    def restart(self) -> None:
        """Start on the chosen ports and wait until it answers."""
        self.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.launch(self.command())
        deadline = time.monotonic() + self.start_seconds_max
        while not self.answers():
            if not self.runs():
                raise ServerError(f"{self.name} ended while starting.{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self.name} did not answer within {self.start_seconds_max:g} s.{self.log_tail()}")
            time.sleep(0.05)

    def runs(self) -> bool:
        """Say whether the process is there; it may be too busy to answer."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """End it in good order, or with SIGKILL if that takes too long."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def choose_ports(self) -> None:
        """Set the ports, once for all starts."""
        self.port = free_port()

    def command(self) -> list[str]:
        """Write the configuration, give the command line."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Say whether clients are served."""
        raise NotImplementedError

    def launch(self, command: list[str]) -> None:
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            try:
                self.process = subprocess.Popen(
                    command,
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # A Ctrl-C in the terminal must end the engine before the servers it writes to.
                    start_new_session=True,
                    preexec_fn=die_with_parent(),  # noqa: PLW1509 - it takes no lock: one system call
                )
            except OSError as error:
                raise ServerError(f"{self.name} cannot be started: {error}") from error

    def log_tail(self) -> str:
        with contextlib.suppress(FileNotFoundError), self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
            if lines:
                return f" The end of {self._log}:\n" + "\n".join(f"  {line}" for line in lines[-LOG_TAIL_LINES:])
        return f" {self._log} says nothing."

    def _port_was_taken(self) -> bool:
        return "already in use" in self.log_tail()


def free_port() -> int:
    """Find a port that nobody listens on.

    Not from the range that outgoing connections use: there, while a server is down, a client that tries to come back
    can be given that very port as its own, and so keep the server from it, or talk to itself.
    """
    try:
        words = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        ceiling = int(words[0]) if int(words[0]) > 20_000 else 65_535
    except (OSError, ValueError, IndexError):
        ceiling = 32_768
    for _ in range(PORTS_TRIED_MAX):
        port = random.randrange(10_000, ceiling)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise ServerError(f"No free port found on {HOST} below {ceiling} in {PORTS_TRIED_MAX} tries.")


def accepts(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


def die_with_parent() -> Callable[[], None] | None:
    """Give what the child runs before its program; elsewhere than on Linux `atexit` has to do."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: afterwards a lock may be held for ever
    parent = os.getpid()

    def bind_to_parent() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended between the fork and the line above
            os._exit(1)

    return bind_to_parent
