"""Where messages went: runs of offsets by partition. A million of them take no more room than the gaps between."""

from __future__ import annotations

from bisect import bisect_right


class Places:
    """Filled by a producer's delivery reports."""

    def __init__(self) -> None:
        #: (topic, partition) -> [first offset, offset after the last] of each run, as they were reported
        self._runs: dict[tuple[str, int], list[list[int]]] = {}
        self.count = 0

    def add(self, topic: str, partition: int, offset: int) -> None:
        """Take one."""
        self.count += 1
        runs = self._runs.setdefault((topic, partition), [])
        if runs and runs[-1][1] == offset:
            runs[-1][1] = offset + 1
        else:
            runs.append([offset, offset + 1])
            if len(runs) > 1 and runs[-2][0] > offset:
                runs.sort()

    def has(self, topic: str, partition: int, offset: int) -> bool:
        """Is it one of these?"""
        runs = self._runs.get((topic, partition))
        if runs is None:
            return False
        place = bisect_right(runs, [offset, 1 << 62]) - 1
        return place >= 0 and offset < runs[place][1]

    def ends(self) -> dict[tuple[str, int], int]:
        """Map each partition to the offset after the last message there."""
        return {where: max(end for _, end in runs) for where, runs in self._runs.items()}

    def beyond(self, positions: dict[tuple[str, int], int]) -> int:
        """Count the messages that lie at or after a position of their partition, 0 where there is none."""
        return sum(
            max(0, end - max(first, positions.get(where, 0)))
            for where, runs in self._runs.items()
            for first, end in runs
        )
