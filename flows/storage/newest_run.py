"""What workers look up, and note, in the facts of their state directory while they run."""

from __future__ import annotations

from pathlib import Path

from flows.storage.facts import FACTS, changing, read_facts, write_facts


def scratch_is_through(folder: Path, shards: set[int]) -> int:
    """Note that shards have said everything after a start from scratch; give how many are left."""
    with changing(folder):
        facts = read_facts(folder / FACTS)
        if facts is None or facts.scratch is None:
            return 0
        facts.scratch.left = [shard for shard in facts.scratch.left if shard not in shards]
        left = len(facts.scratch.left)
        if not left:
            facts.scratch = None
        write_facts(folder / FACTS, facts)
        return left


class NewestRun:
    """Which run was the last to take the token over a state directory: read again only where it changed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FACTS
        self._read: tuple[int, int] | None = None
        self._token = 0

    def token(self) -> int:
        """Give its token; 0 where there was none yet."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return 0
        version = (found.st_ino, found.st_mtime_ns)
        if version != self._read:
            facts = read_facts(self._path)
            self._token = facts.token if facts is not None else self._token
            self._read = version
        return self._token
