"""Stands in for systemctl where no systemd runs: starts and stops what a unit file says, with the unit's patience.

    systemctl.py start|stop|restart|enable|disable [--now] NAME
    systemctl.py daemon-reload

In the environment: UNITS (folder of unit files), MACHINE (folder that stands for the root of the machine's files; what
lies in etc/systemd/system/NAME.service.d there changes the unit), PROGRAMS (folder in place of the one that the unit
starts its program from), LOG (where its output goes).
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

MACHINE = os.environ["MACHINE"]
#: of the file systems that a unit names folders in
OWN = ("/etc/", "/var/lib")


class Unit:
    """A unit file, its paths those of this machine."""

    def __init__(self, name: str) -> None:
        changes = sorted(Path(MACHINE, "etc/systemd/system", f"{name}.service.d").glob("*.conf"))
        files = [Path(os.environ["UNITS"]) / f"{name}.service", *changes]
        self._text = "\n".join(file.read_text("utf-8") for file in files)
        self._note = Path(MACHINE, f"{name}.pid")

    def said(self, name: str) -> list[list[str]]:
        """Give the words of each line with a directive; one without words takes back what was said before."""
        found: list[list[str]] = []
        for line in re.findall(rf"^{name}=(.*)$", self._text, re.M):
            words = [self._here(word) for word in shlex.split(line)]
            found = [*found, words] if words else []
        return found

    def _here(self, word: str) -> str:
        if MACHINE in word:  # of a file that was written on this machine
            return word
        word = word.replace("%S", "/var/lib")
        for folder in OWN:
            word = word.replace(folder, f"{MACHINE}{folder}")
        return re.sub(r"^/opt/[\w-]+/bin", os.environ["PROGRAMS"], word)

    def start(self) -> None:
        """Make its state folder, and run its command in the background."""
        (folder,), (mode,) = self.said("StateDirectory")[0], self.said("StateDirectoryMode")[0]
        state = Path(MACHINE, "var/lib", folder)
        state.mkdir(mode=int(mode, 8), exist_ok=True)
        given = dict(word.split("=", 1) for words in self.said("Environment") for word in words)
        with Path(os.environ["LOG"]).open("ab") as log:
            started = subprocess.Popen(
                self.said("ExecStart")[0], env={**os.environ, **given}, cwd=state, stdout=log, stderr=log
            )
        self._note.write_text(str(started.pid))

    def stop(self) -> None:
        """Ask for its end, and wait for it as long as systemd would."""
        if not self._note.exists() or not _lives(pid := int(self._note.read_text())):
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + float(self.said("TimeoutStopSec")[0][0])
        while _lives(pid):
            if time.monotonic() > deadline:
                sys.exit(f"{pid} did not end in time")
            time.sleep(0.05)

    def restart(self) -> None:
        """End it where it runs, and start it."""
        self.stop()
        self.start()


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


if __name__ == "__main__":
    verb = sys.argv[1]
    if verb != "daemon-reload":
        unit = Unit(sys.argv[-1])
        does = {
            "start": unit.start,
            "enable": unit.start,
            "restart": unit.restart,
            "stop": unit.stop,
            "disable": unit.stop,
        }
        does[verb]()
