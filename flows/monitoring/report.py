"""How a worker tells its supervisor how it is: over a pair of sockets that it was born with, when it is asked.

Nobody else can listen or ask, and there is no port or file to take or to leave behind. A question is a number of four
bytes; the answer repeats it, says its length in four more, and is JSON. An answer that comes after its question was
given up is passed over by that number.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import orjson

_question = struct.Struct("!I")
_head = struct.Struct("!II")
#: An answer is some tens of kilobytes; one beyond this is not an answer.
ANSWER_MAX = 64 * 1024 * 1024
NUMBERS = 1 << 32


def answer_on(pair_end: socket.socket, tell: Callable[[], dict[str, Any]]) -> None:
    """Answer in a thread of its own, until the other end closes."""

    def serve() -> None:
        with pair_end:
            while len(question := pair_end.recv(_question.size, socket.MSG_WAITALL)) == _question.size:
                answer = orjson.dumps(tell())
                pair_end.sendall(_head.pack(*_question.unpack(question), len(answer)) + answer)

    def quietly() -> None:
        try:
            serve()
        except OSError:
            return  # the supervisor is gone, and another thread ends this process

    threading.Thread(target=quietly, name="report", daemon=True).start()


class ReportClient:
    """The supervisor's end of one worker's pair. For several threads, one after the other."""

    def __init__(self, pair_end: socket.socket) -> None:
        self._end = pair_end
        self._lock = threading.Lock()
        self._number = 0
        self._received = bytearray()
        #: when it answered last (monotonic clock): at its birth it has nothing to answer for yet
        self.answered_at = time.monotonic()

    def ask(self, patience_s: float) -> dict[str, Any] | None:
        """Give what the worker says; None if it does not answer in time, or not any more."""
        deadline = time.monotonic() + patience_s
        if not self._lock.acquire(timeout=patience_s):
            return None
        try:
            self._number = (self._number + 1) % NUMBERS
            self._end.settimeout(max(0.01, deadline - time.monotonic()))
            self._end.sendall(_question.pack(self._number))
            while True:
                answer = self._take()
                if answer is not None:
                    self.answered_at = time.monotonic()
                    return answer
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._end.settimeout(left)
                received = self._end.recv(1 << 18)
                if not received:
                    return None
                self._received += received
        except OSError:  # it took too long, or the worker is gone
            return None
        finally:
            self._lock.release()

    def _take(self) -> dict[str, Any] | None:
        """Take the answer to the last question from what was received; pass older ones over."""
        received = self._received
        while len(received) >= _head.size:
            number, length = _head.unpack_from(received)
            if length > ANSWER_MAX:
                raise OSError("not an answer")
            if len(received) < _head.size + length:
                return None
            body = bytes(received[_head.size : _head.size + length])
            del received[: _head.size + length]
            if number == self._number:
                answer: dict[str, Any] = orjson.loads(body)
                return answer
        return None

    def close(self) -> None:
        """Let go of it: a question that is being asked ends without an answer."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()
