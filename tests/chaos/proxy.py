"""A network that can be broken: a process that passes TCP connections on, and obeys words on its standard input.

pass            everything goes through (at the start)
delay MS        every chunk is held back by so much, both ways
hold            nothing goes through any more; what waits goes on at the next word
swallow         what is sent arrives, and no answer comes back: connections are cut at the next word
cut             all connections end, new ones are refused
once            all connections end, new ones are taken
throttle KB     so many KiB a second, each way and connection
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from types import TracebackType
from typing import Self

from flows.embedded.child import HOST, die_with_parent

CHUNK = 65_536


class Proxy:
    """The proxy as a child process; a context manager."""

    def __init__(self, port: int, target: int, host: str = HOST, target_host: str = HOST) -> None:
        self.port = port
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.proxy", f"{host}:{port}", f"{target_host}:{target}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - it takes no lock: one system call
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def say(self, word: str) -> None:
        """Break the network, or mend it; it is so when this returns."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()


class _Network:
    def __init__(self, place: tuple[str, int], target: tuple[str, int]) -> None:
        self._place, self._target = place, target
        self._word, self._amount = "pass", 0.0
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, *self._place)

    async def obey(self, line: str) -> None:
        word, _, amount = line.partition(" ")
        if word in ("cut", "once") or self._word == "swallow":
            for pair in list(self._pairs):
                for writer in pair:
                    writer.transport.abort()
        self._word, self._amount = ("pass" if word == "once" else word), float(amount or 0)
        if word == "cut":
            if self._server is not None:
                self._server.close()
                self._server = None
        else:
            await self.listen()
        if word == "hold":
            self._is_open.clear()
        else:
            self._is_open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, there_writer)
        self._pairs.add(pair)
        try:
            with contextlib.suppress(OSError):
                await asyncio.gather(
                    self._pass_on(reader, there_writer, True), self._pass_on(there_reader, writer, False)
                )
        finally:
            self._pairs.discard(pair)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_request: bool) -> None:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256)

        async def read() -> None:
            chunk = b"begin"
            while chunk:
                try:
                    chunk = await reader.read(CHUNK)
                except OSError:
                    chunk = b""
                await waiting.put((loop.time(), chunk))

        async def write() -> None:
            while True:
                came, chunk = await waiting.get()
                if self._word == "delay":
                    await asyncio.sleep(max(0.0, came + self._amount / 1000 - loop.time()))
                elif self._word == "throttle":
                    await asyncio.sleep(len(chunk) / (self._amount * 1024))
                await self._is_open.wait()
                if not chunk:
                    break
                if self._word == "swallow" and not is_request:
                    continue
                writer.write(chunk)
                await writer.drain()
            writer.close()

        await asyncio.gather(read(), write())


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


async def _serve(place: str, target: str) -> None:
    network = _Network(_place(place), _place(target))
    await network.listen()
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await network.obey(line.strip())
        print("done", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(sys.argv[1], sys.argv[2]))
