"""Says how far something long is: a bar on a terminal, a line now and then where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Where no bar can be drawn a line says how far it is, so often.
LINE_EVERY_S = 10.0


@contextmanager
def progress(total: int | None, doing: str) -> Iterator[Callable[[int], None]]:
    """A bar on standard error from the first moment on; where none can be drawn, a line every ten seconds.

    `total` None: how much there is to do is not known.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    shown = (MofNCompleteColumn(), TimeRemainingColumn()) if total is not None else ()
    bar = Progress(TextColumn(doing), BarColumn(), *shown, console=console, transient=True)
    task = bar.add_task(doing, total=total)
    done = 0
    line_at = time.monotonic() + LINE_EVERY_S

    def advance(count: int) -> None:
        nonlocal done, line_at
        bar.advance(task, count)
        done += count
        if not console.is_terminal and time.monotonic() > line_at:
            line_at = time.monotonic() + LINE_EVERY_S
            print(f"atp: {doing}: {done:,}" + (f" of {total:,}" if total is not None else ""), file=sys.stderr)

    if not console.is_terminal:
        yield advance
        return
    with bar:
        yield advance
