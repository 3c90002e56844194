"""Asks the same question again and again for `--watch`, shows what changed, and outlasts servers that are away."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.live import Live

from flows.cli.options import complain
from flows.errors import PlainError

#: Between two looks.
EVERY_S = 1.0
Answer = TypeVar("Answer")


def watch(
    ask: Callable[[], Answer],
    picture: Callable[[Console, Answer], RenderableType],
    line: Callable[[Answer], str] | None,
    console: Console | None = None,
    every_s: float = EVERY_S,
    news: Callable[[Answer], object] = lambda answer: answer,
) -> int:
    """Show the answer and each that differs from the one before, until Ctrl-C; 0.

    `line`: the answer for a script, None to show it to people. `news`: what of an answer has to differ, where some of
    it always does, as an age; a screen shows that too. While a server is away, what was last known stays, and it is
    said once what is wrong and since when; it goes on by itself.
    """
    console = console or Console(highlight=False)
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        live = None
        if line is None and console.is_terminal:
            live = stack.enter_context(Live(console=console, auto_refresh=False))
        show = _shower(picture, line, console, live)
        _look_on(ask, show, threading.Event(), every_s, news if live is None else None)
    return 0


def _shower(
    picture: Callable[[Console, Answer], RenderableType],
    line: Callable[[Answer], str] | None,
    console: Console,
    live: Live | None,
) -> Callable[[Answer], None]:
    def show(answer: Answer) -> None:
        if line is not None:
            print(line(answer), flush=True)
        elif live is not None:
            live.update(picture(console, answer), refresh=True)
        else:
            console.print(picture(console, answer))

    return show


def _look_on(
    ask: Callable[[], Answer],
    show: Callable[[Answer], None],
    over: threading.Event,
    every_s: float,
    news: Callable[[Answer], object] | None,
) -> None:
    shown: list[object] = []
    known_at = "never"
    is_away = False
    while not over.is_set():
        try:
            answer = ask()
        except PlainError as error:
            if not is_away:
                is_away = True
                complain(f"{error}; last known: {known_at}; trying on")
        else:
            if is_away:
                is_away = False
                complain("it answers again")
            known_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            if news is None:
                show(answer)
            elif [news(answer)] != shown:
                shown = [news(answer)]
                show(answer)
        over.wait(every_s)
