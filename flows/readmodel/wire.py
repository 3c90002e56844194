"""One round trip to the read model, in which a thread lets go of the interpreter once and not twice.

While the dataflow computes, whoever let go waits up to half a millisecond until the interpreter comes back.
"""

from __future__ import annotations

import socket

from flows.readmodel import native


def exchange(line: socket.socket, out: bytes) -> bytes:
    """Send all over a plain connection that waits, and give what comes first of the answer; nothing: it was closed.

    OSError as the connection's own methods have it, BlockingIOError where the kernel's timeout has passed.
    """
    return native.exchange(line, out)
