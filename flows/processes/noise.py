"""Keeps what Rust and C write to standard error out of the log: a panic's hundred lines would hide the sentence.

It goes to a file beside the state, where who looks for a fault of the engine finds it; with log.level "debug" it stays
where it is. Python's own words (the log) go where they always went. The supervisor looks now and then that no file
grows beyond FILE_MAX: what is there then goes into its `.old`, as far as KEPT_MAX, and it begins anew.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from schemas.settings import Settings

#: A panic with its backtrace is some kilobytes: this much is a library that complains without end.
FILE_MAX = 8 * 1024 * 1024
#: Of such a file, its newest part.
KEPT_MAX = 1024 * 1024


def noise_file(settings: Settings, worker: int) -> Path:
    """Name the file of one worker; with `.old`, that of the worker before it."""
    return settings.state.dir / f"worker-{worker}.stderr"


def set_apart(settings: Settings, worker: int) -> None:
    """From now on only Python's log reaches standard error. Before the log is set up, and before threads write."""
    if settings.log.level == "debug":
        return
    path = noise_file(settings, worker)
    with suppress(OSError):  # a full disk: then it stays where it is
        if path.exists() and path.stat().st_size:
            path.replace(path.with_name(f"{path.name}.old"))
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        sys.stderr.flush()
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
        for theirs in (1, 2):  # some of it comes on standard output, which a worker has no other use for
            os.dup2(file, theirs)
        os.close(file)


def keep_small(settings: Settings) -> None:
    """Cut the workers' files that have become too large, while they are written to."""
    for path in settings.state.dir.glob("worker-*.stderr"):
        with suppress(OSError):  # there is none (yet), or it cannot be written
            size = path.stat().st_size
            if size <= FILE_MAX:
                continue
            with path.open("rb") as file:
                file.seek(size - KEPT_MAX)
                kept = file.read(KEPT_MAX)
            os.truncate(path, 0)  # what comes next is written to its end, wherever that is
            path.with_name(f"{path.name}.old").write_bytes(kept)


def keep_trace(error: BaseException) -> None:
    """Write an error's stack trace where the noise goes."""
    with suppress(OSError):
        os.write(2, "".join(traceback.format_exception(error)).encode(errors="backslashreplace"))


def after_death(settings: Settings, codes: list[int], first: int = 0) -> str:
    """Say what an operator does about workers that died; `first`: the number of the one whose code is the first."""
    advice = "nothing for one death (no number is lost); for many: exit code -9 is often too little memory"
    for number, code in enumerate(codes[: settings.workers], first):
        if code < 0 and code != -signal.SIGKILL:  # it died of itself, without a last word
            name = noise_file(settings, number).absolute()
            return f"{advice}, any other below 0 a fault: what it printed last is in {name}, soon {name.name}.old"
    return advice
