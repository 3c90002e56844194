"""Makes whatever a worker's process writes one JSON object a line, also what no Python of ours has written.

Rust's panics, librdkafka's complaints, a traceback of Python that is just starting, a word of the C library: they go
to the process's standard error as they like. The supervisor reads it through a pipe, passes on what is JSON already,
and says the rest as lines of its own log, what comes in one breath as one line. A process that is killed in the middle
of a line loses nothing: the pipe outlives it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import select
import subprocess
import sys
import threading

from flows.log import get_log

log = get_log(__name__)

READ_BYTES = 65_536
#: Lines that follow each other so closely are one message: a traceback, a panic with its backtrace.
BREATH_S = 0.1
#: Of one such message; the rest is left out, and said to be.
MESSAGE_MAX = 16_384
#: librdkafka's own: level, time, what it is about, which client, the text.
_librdkafka = re.compile(r"%([0-7])\|[0-9.]+\|([A-Z_0-9]+)\|([^|]*)\| ?(.*)").fullmatch
CRITICAL_MAX, WARNING_MAX = 3, 5
#: What workers of a cluster say while one of them is not there yet: so it is at every healthy start.
_meeting = re.compile(
    r"worker \d+:\s+(error connecting to worker \d+: .*; retrying|connection (to|from) worker \d+)"
).match


class WorkerOutput:
    """The reading end of one worker's standard output and error; read by a thread until the process has ended."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None, "the worker was not started with a pipe"
        self._end = process.stdout.fileno()
        self._process = process
        self._loose: list[str] = []
        self._thread = threading.Thread(target=self._read, name="output", daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait until all that was written is passed on."""
        self._thread.join(seconds)

    def _read(self) -> None:
        rest = b""
        while True:
            if not select.select([self._end], [], [], BREATH_S)[0]:
                self._say_loose()
                continue
            data = os.read(self._end, READ_BYTES)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._take(line)
        self._take(rest)
        self._say_loose()

    def _take(self, raw: bytes) -> None:
        line = raw.decode("utf-8", "replace").rstrip()
        if not line:
            return
        if line.startswith("{") and _is_object(line):
            self._say_loose()
            # Whoever read our log may be gone. Read on all the same: a worker whose pipe is full waits for ever.
            with contextlib.suppress(OSError, ValueError):
                print(line, file=sys.stderr, flush=True)
            return
        if _meeting(line):
            log.debug(line, kind="workers_meet", pid=self._process.pid)
            return
        told = _librdkafka(line)
        if told is None:
            self._loose.append(line)
            return
        self._say_loose()
        level, about, client, text = int(told[1]), told[2], told[3], told[4]
        weight = logging.ERROR if level <= CRITICAL_MAX else logging.WARNING if level <= WARNING_MAX else logging.INFO
        log.log(weight, text, kind=f"kafka_client.{about.lower()}", client=client, pid=self._process.pid)

    def _say_loose(self) -> None:
        if not self._loose:
            return
        text = "\n".join(self._loose)
        self._loose.clear()
        log.warning(
            text if len(text) <= MESSAGE_MAX else f"{text[:MESSAGE_MAX]} ... ({len(text) - MESSAGE_MAX} more)",
            kind="worker_output",
            pid=self._process.pid,
            next="what a part of a worker says that knows no log; if the worker ends, a line says so and why",
        )


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
