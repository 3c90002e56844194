"""Which sources have been quiet for longer than they may (contract section 7, stale_source)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from schemas.messages import ExceptionNote

SECOND = 1_000_000


class StaleSources:
    """When each watched source was last heard, and which are reported as quiet."""

    def __init__(self, stale_after: dict[str, int], resume: bytes | None = None) -> None:
        self.stale_after = stale_after
        #: when each was last heard; below 0: never, and counted from that moment
        self.last_seen: dict[str, int] = {}
        self.quiet_since: dict[str, int] = {}
        if resume is not None:
            self.last_seen, self.quiet_since = msgspec.msgpack.decode(
                resume, type=tuple[dict[str, int], dict[str, int]]
            )

    def hear(self, seen: Iterable[dict[str, int]], now: int) -> list[ExceptionNote]:
        """Note when sources spoke; closes what is over. A source never heard is counted from when we began."""
        for source in self.stale_after:
            self.last_seen.setdefault(source, -now)
        notes = []
        for some in seen:
            for source, moment in some.items():
                if moment > self.last_seen.get(source, 0):
                    self.last_seen[source] = moment
        for source, first_seen in list(self.quiet_since.items()):
            if source not in self.stale_after or abs(self.last_seen[source]) + self.stale_after[source] > now:
                del self.quiet_since[source]
                notes.append(ExceptionNote("stale_source", "", "", "", {}, first_seen, now, False, source))
        return notes

    def check(self, now: int) -> list[ExceptionNote]:
        """Raise each source that has been quiet for too long, once."""
        notes = []
        for source, limit in self.stale_after.items():
            last = self.last_seen.get(source)
            if last is not None and source not in self.quiet_since and abs(last) + limit <= now:
                self.quiet_since[source] = now
                silent = {"silent_seconds": (now - abs(last)) // SECOND}
                notes.append(ExceptionNote("stale_source", "", "", "", silent, now, now, True, source))
        return notes

    def next_check(self) -> int | None:
        """When the next source will have been quiet for too long."""
        return min(
            (
                abs(self.last_seen[source]) + limit
                for source, limit in self.stale_after.items()
                if source in self.last_seen and source not in self.quiet_since
            ),
            default=None,
        )

    def snapshot(self) -> bytes:
        """Give what is needed to go on."""
        return msgspec.msgpack.encode((self.last_seen, self.quiet_since))
