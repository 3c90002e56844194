"""Where the processes of a cluster find each other."""

from __future__ import annotations

import socket


def free_ports(count: int) -> list[int]:
    """Give TCP ports of the loopback interface that are free now."""
    sockets = []
    try:
        for _ in range(count):
            one = socket.socket()
            one.bind(("127.0.0.1", 0))
            sockets.append(one)
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
