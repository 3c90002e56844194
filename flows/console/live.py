"""Tells open pages what changed, by server-sent events: one look for all of them, twice a second, while any is open.

A page watches one thing, by name. Each thing is read once however many watch it, what changed is encoded once, and a
page that does not take its news in time gets the newest and not all of them. A change is on the page within a second.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from starlette.concurrency import run_in_threadpool

from flows.log import get_log

log = get_log(__name__)

EVERY_S: Final = 0.5
#: So that proxies see that the connection lives.
SILENCE_S: Final = 15.0
WATCHERS_MAX: Final = 500
#: What a browser waits before it comes again.
HELLO: Final = b"retry: 2000\n\n"


class Picture(NamedTuple):
    """What a page shows of a thing."""

    #: what changes in place, by the name of its cell
    cells: dict[str, str]
    #: what makes the page another one: its rows, above all
    shape: str


class TooMany(Exception):
    """So many pages are open that no more are told."""


class _Watched:
    """One thing: its picture as it was last seen, and who watches it."""

    def __init__(self) -> None:
        self.picture: Picture | None = None
        self.number = 0
        #: by number of the picture: the newest are enough for all but the slowest
        self.news = b""
        self.watchers = 0
        self.changed = asyncio.Event()


class Hub:
    """All that is watched. `look` maps names to pictures; called in a thread, once at a time."""

    def __init__(self, look: Callable[[Collection[str]], Mapping[str, Picture]], every_s: float = EVERY_S) -> None:
        self._look, self._every_s = look, every_s
        self._watched: dict[str, _Watched] = {}
        self._someone = asyncio.Event()
        self._has_ended = False

    @property
    def watchers(self) -> int:
        """Say how many pages are open."""
        return sum(watched.watchers for watched in self._watched.values())

    async def run(self) -> None:
        """Look, and tell, until cancelled."""
        is_told = False
        while True:
            if not self._watched:
                self._someone.clear()
                await self._someone.wait()
            try:
                pictures = await run_in_threadpool(self._look, tuple(self._watched))
                is_told = False
            except Exception as error:  # the next look may do; without this task no page would be told again
                pictures = {}
                if not is_told:
                    is_told = True
                    log.warning(f"open pages are not told: {type(error).__name__}: {error}", kind="live")
            for name, picture in pictures.items():
                if (watched := self._watched.get(name)) is not None:
                    _tell(watched, picture)
            await asyncio.sleep(self._every_s)

    def close(self) -> None:
        """Let all pages go."""
        self._has_ended = True
        for watched in self._watched.values():
            watched.changed.set()

    async def watch(self, name: str) -> AsyncIterator[bytes]:
        """Give what a page is told, from all of it on; TooMany."""
        if self.watchers >= WATCHERS_MAX:
            raise TooMany
        watched = self._watched.setdefault(name, _Watched())
        watched.watchers += 1
        self._someone.set()
        try:
            yield HELLO
            told = -1
            if watched.picture is not None:
                told = watched.number
                yield _encoded({"cells": watched.picture.cells, "shape": watched.picture.shape})
            while not self._has_ended:
                changed = watched.changed
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), SILENCE_S)
                if self._has_ended:
                    return
                if watched.number == told or watched.picture is None:
                    yield b":\n\n"
                elif watched.number == told + 1:
                    told = watched.number
                    yield watched.news
                else:  # it missed some
                    told = watched.number
                    yield _encoded({"cells": watched.picture.cells, "shape": watched.picture.shape})
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                self._watched.pop(name, None)


def _tell(watched: _Watched, picture: Picture) -> None:
    before = watched.picture
    if picture == before:
        return
    if before is None:
        news = picture.cells
    else:
        news = {cell: text for cell, text in picture.cells.items() if before.cells.get(cell) != text}
    watched.picture = picture
    watched.number += 1
    watched.news = _encoded({"cells": news, "shape": picture.shape})
    watched.changed.set()
    watched.changed = asyncio.Event()


def _encoded(news: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(news, separators=(",", ":")).encode() + b"\n\n"
