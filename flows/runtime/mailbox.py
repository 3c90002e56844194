"""Requests that one process has for its shards, handed from the publisher's thread to the dataflow."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any


class Control:
    """A mailbox: the publisher puts, an event partition of the same process takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: list[tuple[str, Any]] = []

    def put(self, messages: Iterable[tuple[str, Any]]) -> None:
        """Ask shards, by key, for something."""
        with self._lock:
            self._messages.extend(messages)

    def take(self) -> list[tuple[str, Any]]:
        """Take what was asked for since."""
        if not self._messages:
            return []
        with self._lock:
            messages, self._messages = self._messages, []
        return messages
