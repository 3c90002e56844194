"""Where servers of ours listen: an answer in two parts does not wait for the reader's delayed acknowledgement."""

from __future__ import annotations

import asyncio
import socket

import pytest

from flows.runtime.listening import ListenProblem, listening_socket

LOOPBACK = "127.0.0.1"


def test_a_connection_that_asyncio_accepts_sends_at_once() -> None:
    async def accepted() -> int:
        said: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def met(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            one = writer.get_extra_info("socket")
            said.set_result(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with listening_socket("receive", LOOPBACK, 0) as listening:
            async with await asyncio.start_server(met, sock=listening):
                _, writer = await asyncio.open_connection(LOOPBACK, listening.getsockname()[1])
                found = await said
                writer.close()
        return found

    assert asyncio.run(accepted()) != 0


def test_a_port_that_is_taken_is_said_with_the_setting_that_would_do() -> None:
    with listening_socket("console", LOOPBACK, 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenProblem, match=f"console.port: {LOOPBACK}:{port} cannot be listened on.*console.host"):
            listening_socket("console", LOOPBACK, port)
