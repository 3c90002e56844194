"""Runs the code blocks of a page as its reader would, with this machine's addresses in place of the page's.

A line of shell that ends in `# -> text` is tried until it prints just that: the engine takes a moment. A program whose
last lines are comments `-> text` is tried until it prints those. A block marked `text` is for reading only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.conftest import ROOT
from tests.running import until

PATIENCE_S = 60
SESSION_SECONDS_MAX = 200
_block = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_told = re.compile(r"^(.*?)\s+# -> (.*)$")
_SHELL = """\
set -euo pipefail
trap 'jobs -p | xargs -r kill 2>/dev/null; wait' EXIT
expect() {
  local got=
  for _ in $(seq 300); do
    got=$(eval "$2" 2>/dev/null) && [ "$got" = "$1" ] && return 0
    sleep 0.2
  done
  echo "line $3: expected $1 from: $2; got: $got" >&2
  exit 1
}
"""


class Snippet(NamedTuple):
    """One block of a page: its language, text, and the line on which it begins."""

    language: str
    text: str
    line: int


class Reader:
    """Somebody at a shell in a folder of their own, who has this project installed."""

    def __init__(self, folder: Path, replaced: Mapping[str, str], variables: Mapping[str, str]) -> None:
        self.folder = folder
        self._replaced = replaced
        tools = folder / "tools"
        tools.mkdir(parents=True, exist_ok=True)
        if (real := shutil.which("redis-cli")) is not None:
            shim = tools / "redis-cli"
            shim.write_text(f'#!/bin/sh\nexec {real} -u "$REDIS" "$@"\n')
            shim.chmod(0o755)
        atp = tools / "atp"
        atp.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m flows.cli "$@"\n')
        atp.chmod(0o755)
        others = {name: value for name, value in os.environ.items() if not name.startswith("ATP_")}
        path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.env = {**others, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **variables, "PATH": path}

    def shell(self, page: str, text: str | None = None, seconds: float = SESSION_SECONDS_MAX) -> None:
        """Run all shell blocks of a page as one session; fail with what it said."""
        lines = [_SHELL]
        for snippet in blocks(page, "sh") if text is None else [Snippet("sh", text, 0)]:
            for number, line in enumerate(self._localized(snippet.text).splitlines(), snippet.line):
                told = _told.match(line)
                lines.append(f"expect {shlex.quote(told[2])} {shlex.quote(told[1])} {number}" if told else line)
        script = self.folder / "page.sh"
        script.write_text("\n".join(lines) + "\n")
        said = self.folder / "said.log"
        with said.open("wb") as log:  # a file: a pipe would stay open for as long as anything in the background lives
            shell = subprocess.Popen(
                ["bash", str(script)],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code: int | str = shell.wait(seconds)
            except subprocess.TimeoutExpired:
                code = "no end"
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(shell.pid, signal.SIGKILL)  # the session's group: ours alone
                shell.wait()
        logs = "".join(f"\n{log.name}: {log.read_text(errors='replace')[-3000:]}" for log in self.folder.glob("*.log"))
        assert code == 0, f"{page}: {code}{logs}"

    def program(self, snippet: Snippet, command: list[str], suffix: str) -> None:
        """Run a program until it prints what the page says."""
        file = self.folder / f"snippet{suffix}"
        file.write_text(self._localized(snippet.text))
        expected = "\n".join(re.findall(r"^(?:#|//) -> (.*)$", snippet.text, re.M))
        said = ""

        def is_true() -> bool:
            nonlocal said
            done = subprocess.run(
                [*command, str(file)],
                cwd=self.folder,
                env=self.env,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            said = done.stdout + done.stderr
            return done.returncode == 0 and done.stdout.strip() == expected

        until(is_true, PATIENCE_S, lambda: f"line {snippet.line}: expected {json.dumps(expected)}, got {said}")

    def _localized(self, text: str) -> str:
        for here, there in self._replaced.items():
            text = text.replace(here, there)
        return text


def blocks(page: str, *languages: str) -> list[Snippet]:
    """Give the blocks of a page in these languages (all, if none is named)."""
    text = (ROOT / page).read_text("utf-8")
    found = [Snippet(m[1], m[2], text[: m.start()].count("\n") + 2) for m in _block.finditer(text)]
    return [snippet for snippet in found if not languages or snippet.language in languages]
