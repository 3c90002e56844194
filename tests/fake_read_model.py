"""A read model in a dictionary: takes what the writer writes, or fails as it is told to (`flows.readmodel.port`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.readmodel.port import Published


class FakeReadModel:
    """`faults`: raised one by one, each in place of a write; after them everything is taken."""

    def __init__(self) -> None:
        self.life = 1
        self.faults: list[Exception] = []
        #: item -> the version of its numbers
        self.numbers: dict[str, int] = {}
        self.offsets: dict[int, bytes] = {}
        self.lives: dict[int, int] = {}
        self.heard: list[tuple[str, str]] = []

    def join(self) -> None:
        self._may_fail()

    def reclaim(self) -> bool:
        self.life += 1
        return True

    def pack(self, updates: Sequence[Any], offsets: Mapping[int, bytes], version: int, moment: int) -> Any:
        return dict.fromkeys([update.item for update in updates], version), offsets

    def write_slices(self, slices: list[Any]) -> None:
        while slices:
            self._may_fail()
            numbers, offsets = slices.pop(0)
            self.numbers |= numbers
            self.offsets |= offsets

    def write_offsets(self, offsets: Mapping[int, bytes]) -> None:
        self._may_fail()
        self.offsets |= offsets

    def mark(self, lives: Mapping[int, int]) -> None:
        self._may_fail()
        self.lives |= lives

    def look(self) -> None:
        self._may_fail()

    def reached(self, shard: int) -> tuple[bytes | None, bool]:
        return self.offsets.get(shard), self.lives.get(shard, 0) == self.life or not self.lives

    def versions(self, items: Sequence[str]) -> list[int]:
        return [self.numbers.get(item, 0) for item in items]

    def published(self, items: Sequence[str]) -> list[Published]:
        return [Published(version, {}) for version in self.versions(items)]

    def publish(self, messages: Sequence[tuple[str, str]]) -> None:
        self.heard += messages

    def close(self) -> None:
        """Nothing is open."""

    def _may_fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)
