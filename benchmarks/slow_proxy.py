"""A TCP proxy that holds back every answer by a fixed time, as a distant Redis would; throughput is not limited.

    python -m benchmarks.slow_proxy --to 127.0.0.1:6379 --delay-ms 5

Prints the port it listens on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
from types import TracebackType
from typing import Self

from benchmarks.lab import ROOT
from flows.embedded.child import die_with_parent

CHUNK = 65_536


class SlowProxy:
    """The proxy as a child process; a context manager."""

    def __init__(self, port: int, delay_ms: float) -> None:
        command = [sys.executable, "-m", "benchmarks.slow_proxy", "--to", f"127.0.0.1:{port}"]
        self._process = subprocess.Popen(
            [*command, "--delay-ms", str(delay_ms)], cwd=ROOT, stdout=subprocess.PIPE, text=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - it takes no lock: one system call
        )  # fmt: skip
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


async def _serve(host: str, port: int, delay_s: float) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(_pass_on(reader, there_writer, 0.0), _pass_on(there_reader, writer, delay_s))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Pass on each chunk when its time has come: one that waits holds back none behind it for longer than itself."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        chunk = b"begin"
        while chunk:
            try:
                chunk = await reader.read(CHUNK)
            except OSError:
                chunk = b""
            waiting.put_nowait((loop.time() + delay_s, chunk))

    async def write() -> None:
        while True:
            due, chunk = await waiting.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not chunk:
                break
            writer.write(chunk)
            await writer.drain()
        writer.close()

    with contextlib.suppress(OSError):
        await asyncio.gather(read(), write())


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--delay-ms", type=float, default=5.0)
    told = parser.parse_args()
    host, _, port = told.to.rpartition(":")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(host, int(port), told.delay_ms / 1000))


if __name__ == "__main__":
    main()
