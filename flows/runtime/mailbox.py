"""What the sink asks of shards, on its way back: from the writer's thread to the dataflow of the same process.

    writer ──ShardRequest──► Mailbox ──► the event partition that polls ──by shard──► Shard.process

What is asked is a `Republish`: say everything again, or one item, or speak in full up to some offsets. Nothing
of it is kept in a snapshot: what a dead run's sink had asked for, the next one finds out again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

from schemas.messages import Republish


class ShardRequest(NamedTuple):
    """What one shard is asked for."""

    shard: int
    request: Republish


class Mailbox:
    """The requests of one process: the writer puts, the event partition that polls takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[ShardRequest] = []

    def __len__(self) -> int:
        return len(self._requests)

    def put(self, requests: Iterable[ShardRequest]) -> None:
        """Ask shards for something."""
        with self._lock:
            self._requests.extend(requests)

    def take(self) -> list[ShardRequest]:
        """Take what was asked for since."""
        if not self._requests:
            return []
        with self._lock:
            requests, self._requests = self._requests, []
        return requests
