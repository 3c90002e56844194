"""Logging: one line for each thing an operator would act on; JSON for machines, plain text on a terminal.

Every line has `event`, the sentence; `kind`, what it is about, for filters; `next`, where something failed: what to do.
Of one kind at most `BURST` lines a minute are written; the first one after that says how many were not. What messages
hold is never in them, unless log.payload is on.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import MutableMapping
from typing import Any

import structlog

from schemas.settings import Settings

BURST = 5
SPAN_S = 60.0
#: Kinds are few; should somebody make them up by the thousand, the oldest are forgotten.
KINDS_MAX = 1000

Line = MutableMapping[str, Any]


def get_log(name: str) -> Any:
    """Give a module's log; `kind` names what a line is about."""
    return structlog.stdlib.get_logger(name)


class Limiter:
    """Lets `BURST` lines of a kind through in any minute."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[deque[float], list[int]]] = {}

    def admit(self, kind: str, moment: float) -> int | None:
        """Give how many lines of the kind were left out before this one; None: leave this one out too."""
        known = self._kinds.get(kind)
        if known is None:
            if len(self._kinds) >= KINDS_MAX:
                del self._kinds[next(iter(self._kinds))]
            known = self._kinds[kind] = (deque(maxlen=BURST), [0])
        written, left_out = known
        if len(written) == BURST and moment - written[0] < SPAN_S:
            left_out[0] += 1
            return None
        written.append(moment)
        before, left_out[0] = left_out[0], 0
        return before

    def __call__(self, _: Any, __: str, line: Line) -> Line:
        """Be a processor of structlog."""
        kind = line.get("kind")
        if kind is None:
            return line
        before = self.admit(str(kind), time.monotonic())
        if before is None:
            raise structlog.DropEvent
        if before:
            line["left_out"] = before
        return line


class Foreign(logging.Filter):
    """Gives the lines of a library that has a word for everything a kind and advice, and lets few of them through."""

    def __init__(self, kind: str, next: str) -> None:
        super().__init__()
        self._kind, self._next = kind, next
        self._limiter = Limiter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Be a filter of a logger."""
        before = self._limiter.admit(self._kind, time.monotonic())
        if before is None:
            return False
        record.kind, record.next = self._kind, self._next
        if before:
            record.left_out = before
        return True


def is_json(settings: Settings) -> bool:
    """Does every line have to be JSON?"""
    return settings.log.format == "json" or (settings.log.format == "auto" and not sys.stderr.isatty())


def configure(settings: Settings, **always: Any) -> None:
    """Set up the process's log on standard error; `always` is in every line.

    Python's warnings and what nobody caught go there too: a log that is half JSON is no JSON.
    """

    def sign(_: Any, __: str, line: Line) -> Line:
        return {**line, **always}

    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(allow=("kind", "next", "left_out")),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        sign,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            Limiter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if is_json(settings)
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log.level.upper())
    logging.captureWarnings(True)
    if is_json(settings):
        sys.excepthook = _uncaught
        threading.excepthook = lambda told: _uncaught(
            told.exc_type, told.exc_value, told.exc_traceback, told.thread.name if told.thread is not None else ""
        )


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: Any, thread: str = "main") -> None:
    if issubclass(kind, SystemExit):
        return
    get_log(__name__).critical(
        f"nobody caught {kind.__name__}: {error}",
        kind="uncaught",
        thread=thread,
        exc_info=(kind, error, trace),
        next="this is a fault of the engine: keep the log and the state directory, and report it",
    )
