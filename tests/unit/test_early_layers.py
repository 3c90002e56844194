"""When layers are written ahead: late in the epoch, a few at once, each shard once."""

from __future__ import annotations

from typing import Any

import pytest

from flows.runtime import early_layers
from flows.runtime.early_layers import AT_ONCE, FIRST, LAST, EarlyLayers

SHARDS = 64
EPOCH = 1_000_000


class Shard:
    """Counts how often it wrote ahead."""

    def __init__(self) -> None:
        self.layers = 0

    def write_ahead(self) -> None:
        self.layers += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A clock to be set: seconds."""
    time = {"s": 100.0}
    monkeypatch.setattr(early_layers.time, "monotonic", lambda: time["s"])
    return time


def one_epoch(early: Any, clock: dict[str, float], pause_s: float = 0.002) -> list[int]:
    """Give how many were written at each pause of an epoch."""
    early.begin()
    began, found = clock["s"], []
    while clock["s"] < began + EPOCH / 1e6:
        before = sum(shard.layers for shard in early.shards)
        early.step()
        found.append(sum(shard.layers for shard in early.shards) - before)
        clock["s"] += pause_s
    return found


def watched() -> Any:
    early: Any = EarlyLayers(EPOCH)
    early.shards = [Shard() for _ in range(SHARDS)]
    for shard in early.shards:
        early.watch(shard)
    return early


def test_each_shard_writes_once_an_epoch_between_first_and_last(clock: dict[str, float]) -> None:
    early = watched()
    for epoch in (1, 2, 3):
        written = one_epoch(early, clock)
        assert [shard.layers for shard in early.shards] == [epoch] * SHARDS
        assert not sum(written[: int(FIRST * 500)]) and not sum(written[int(LAST * 500) + 2 :])


def test_a_pause_takes_a_few_shards_at_most(clock: dict[str, float]) -> None:
    """Where pauses are rare, what is due has piled up: it is not made up for at once."""
    early = watched()
    written = one_epoch(early, clock, pause_s=0.05)
    assert max(written) == AT_ONCE and 0 < sum(written) < SHARDS


def test_partitions_that_ask_in_one_round_are_one_pause(clock: dict[str, float]) -> None:
    early = watched()
    early.begin()
    clock["s"] += LAST * EPOCH / 1e6
    for _ in range(24):
        early.step()
    assert sum(shard.layers for shard in early.shards) == AT_ONCE


def test_without_shards_there_is_nothing_to_do(clock: dict[str, float]) -> None:
    early = EarlyLayers(EPOCH)
    clock["s"] += 0.9
    early.step()
