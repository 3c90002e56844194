"""uvicorn's protocol with what it has no limit for: how large the head of a request is, and how long it takes.

Without them one connection fills the memory with a header that never ends, or is held for ever by saying nothing.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: What servers commonly allow; a webhook's head has some 1,000 bytes.
HEAD_BYTES_MAX: Final = 65_536
HEAD_SECONDS_MAX: Final = 10.0


class BoundedHeads(HttpToolsProtocol):
    """Closes a connection whose next request's head is too large, or does not come to its end in time.

    A connection that was used and is idle is left to uvicorn's own timeout, which is longer.
    """

    _head_bytes = 0
    _is_in_head = True
    #: does the piece at hand belong to nothing but a head?
    _is_all_head = True
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Wait for the first request."""
        super().connection_made(transport)
        self._be_patient()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._be_done()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before a head's end."""
        if self._is_in_head and self._patience is None:
            self._be_patient()
        self._is_all_head = self._is_in_head
        super().data_received(data)
        # A piece that has some of a body is no head's alone; what it may hold of the next head is less than a piece.
        self._head_bytes = self._head_bytes + len(data) if self._is_all_head else 0
        if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.transport.close()

    def on_headers_complete(self) -> None:
        """It came to its end."""
        self._is_in_head = self._is_all_head = False
        self._be_done()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What comes next is a head."""
        self._is_in_head = True
        super().on_message_complete()

    def _be_patient(self) -> None:
        self._patience = self.loop.call_later(HEAD_SECONDS_MAX, self.transport.close)

    def _be_done(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
