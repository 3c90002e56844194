"""A request's head has limits: a header without end and a client that says nothing are let go, all else is answered."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from flows.adapters.intake import http_protocol
from flows.adapters.intake.http_protocol import HEAD_BYTES_MAX, BoundedHeads

SECONDS_MAX = 30.0


async def _length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    listening = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Route("/", _length, methods=["POST"])])
    config = uvicorn.Config(app, http=BoundedHeads, log_config=None, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()
    server.should_exit = True
    thread.join(SECONDS_MAX)
    assert not thread.is_alive()


def is_closed(client: socket.socket) -> bool:
    """Wait until the other side has closed it; an answer before that is none of ours to see."""
    try:
        while client.recv(65_536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def post(client: socket.socket, body: bytes, header: bytes = b"x") -> bytes:
    """Send a request, and give the answer's body."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX-A: %b\r\nContent-Length: %d\r\n\r\n" % (header, len(body))
    client.sendall(head + body)
    said = b""
    while b"\r\n\r\n" not in said or said.endswith(b"\r\n\r\n"):
        piece = client.recv(65_536)
        assert piece, said
        said += piece
    return said.partition(b"\r\n\r\n")[2]


def test_requests_with_large_bodies_on_one_connection_are_answered(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=SECONDS_MAX) as client:
        for size in (0, 10, 1_000_000, 70_000, 1):
            assert post(client, b"b" * size) == str(size).encode()
        assert post(client, b"", header=b"h" * 60_000) == b"0"


def test_a_header_without_end_is_let_go(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=SECONDS_MAX) as client:
        assert post(client, b"first") == b"5"
        client.sendall(b"POST / HTTP/1.1\r\nX-A: ")
        sent = 0
        try:
            while sent < 100 * HEAD_BYTES_MAX:
                client.sendall(b"a" * 4096)
                sent += 4096
        except ConnectionError:
            return
        raise AssertionError("it took all of it")


@pytest.mark.parametrize("begin", [b"", b"POST / HTTP/1.1\r\nHost:"])
def test_who_says_nothing_or_stops_in_the_head_is_let_go(
    address: tuple[str, int], begin: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS_MAX", 0.2)
    with socket.create_connection(address, timeout=SECONDS_MAX) as client:
        client.sendall(begin)
        assert is_closed(client)


def test_who_stops_in_the_second_head_is_let_go_too(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS_MAX", 0.5)
    with socket.create_connection(address, timeout=SECONDS_MAX) as client:
        assert post(client, b"first") == b"5"
        begun = time.monotonic()
        client.sendall(b"POST / HT")
        assert is_closed(client)
        assert time.monotonic() - begun >= 0.4
