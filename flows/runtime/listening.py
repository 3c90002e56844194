"""The socket on which a server of ours listens for HTTP."""

from __future__ import annotations

import socket

from flows.errors import PlainError


class ListenProblem(PlainError):
    """The address cannot be listened on."""


def listening_socket(room: str, host: str, port: int) -> socket.socket:
    """Give a socket bound to the address; `room`: where its settings `host` and `port` are. ListenProblem says why not.

    Its protocol is named, not left at 0: asyncio sets TCP_NODELAY only on sockets that say TCP, and those it accepts
    inherit what this one says. Without it the second part of an answer waits for the reader's delayed acknowledgement
    of the first: 40 ms, measured as the middle of all webhooks.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        raise ListenProblem(
            f"{room}.port: {host}:{port} cannot be listened on ({error}): free it, or set {room}.port or {room}.host"
        ) from error
    return listening
