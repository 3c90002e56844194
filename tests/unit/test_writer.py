"""Decides what the writer does until the read model has taken what it writes: waits, tells of a loss, or ends."""

from __future__ import annotations

import time
from typing import Any

import pytest

from flows.monitoring.metrics import Metrics
from flows.publishing import writer as writer_module
from flows.publishing.errors import PublisherError
from flows.publishing.patience import PAUSE_MAX_S, PAUSE_S, Patience
from flows.publishing.saved import Saved, unpack_offsets
from flows.publishing.shards import OpenShard, Shards
from flows.publishing.writer import SLICES_AT_ONCE, Writer
from flows.readmodel.port import Behind, Fenced, Outage, ReadModel
from flows.runtime.clock import Clock
from flows.runtime.run import Run, Stop
from flows.settings import load_settings
from operators.rules.lanes import CRITICAL, NORMAL
from operators.rules.trust import Step
from schemas.messages import ChannelUpdate, ItemUpdate
from tests.fake_read_model import FakeReadModel

TOKEN = 3
FIRST = (TOKEN << 32) + 1


class Slept(Clock):
    """Notes how long it was slept, and passes that time at once."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def monotonic(self) -> float:
        return time.monotonic() + sum(self.pauses)


class Desk:
    """A writer over a read model in memory, one shard, and what it handed on."""

    def __init__(self, **run: Any) -> None:
        self.model, self.shards, self.stop, self.clock = FakeReadModel(), Shards(), Stop(), Slept()
        self.shards.add(0, OpenShard(Saved(0, [], {}, None), None, False), Step.BEGIN)
        self.metrics, self.newest = Metrics(), TOKEN
        self.forwarded: list[tuple[str, int]] = []
        self.losses: list[str] = []
        model: ReadModel = self.model
        self.writer = Writer(
            Run(load_settings(None, {}), TOKEN, **run), self.shards, model, self.forward, lambda: self.newest,
            Patience(self.metrics, self.stop, self.clock), self.metrics, self.clock, slice_fields=1,
        )  # fmt: skip
        self.writer.on_loss = self.losses.append

    def forward(self, taken: list[tuple[int, ItemUpdate]], version: int, moment: int) -> None:
        assert not self.model.faults
        self.forwarded += [(update.item, version) for _, update in taken]

    def says(self, *items: str, lane: int = NORMAL, offset: int = 1) -> None:
        change = ChannelUpdate("web", 1, 2, None, lane, "order_placed")
        updates = [ItemUpdate(item, 0, 0, -1, "", [change], {}, None) for item in items]
        self.writer.outbox.add(0, updates, {"orders": offset})


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_most_urgent_is_written_first_and_handed_on_under_its_version(desk: Desk) -> None:
    desk.says("A", "B")
    desk.says("C", lane=CRITICAL)
    desk.writer.write_slices()
    assert desk.forwarded == [("C", FIRST), ("A", FIRST + 1), ("B", FIRST + 2)]
    assert desk.model.numbers == dict(desk.forwarded)


def test_a_few_slices_are_on_their_way_at_once_and_no_more(desk: Desk) -> None:
    desk.says(*(f"I{number}" for number in range(SLICES_AT_ONCE + 1)))
    desk.writer.write_slices()
    assert (len(desk.model.numbers), len(desk.writer.outbox)) == (SLICES_AT_ONCE, 1)


def test_the_offsets_reached_go_with_the_first_slice(desk: Desk) -> None:
    desk.says("A", "B", offset=4)
    desk.writer.write_slices()
    assert unpack_offsets(desk.model.offsets[0]) == ({"orders": 4}, FIRST)
    assert desk.shards[0].version == FIRST


def test_an_outage_is_waited_out_with_everything_kept(desk: Desk) -> None:
    desk.says("A")
    desk.model.faults = [Outage("away")] * 8
    desk.writer.write_slices()
    assert desk.forwarded == [("A", FIRST)] and desk.metrics.redis_retries == 8
    assert desk.clock.pauses == [min(PAUSE_MAX_S, PAUSE_S * 2**n) for n in range(8)]
    assert desk.metrics.redis_waits_since is None


def test_at_its_end_a_process_waits_no_longer_than_it_may(desk: Desk) -> None:
    desk.says("A")
    desk.stop.set()
    desk.model.faults = [Outage("away")] * 1000
    with pytest.raises(Outage):
        desk.writer.write_slices()
    assert 10 < sum(desk.clock.pauses) < 13


def test_a_loss_is_told_of_before_the_rest_is_written_and_nothing_is_left_out(desk: Desk) -> None:
    desk.says("A", "B")
    desk.model.faults = [Behind("BEHIND flush 7")]
    desk.writer.write_slices()
    assert desk.losses == ["Redis lost what this run wrote (BEHIND flush 7)"]
    assert [item for item, _ in desk.forwarded] == ["A", "B"]


def test_a_lost_token_alone_is_no_loss(desk: Desk) -> None:
    desk.model.reclaim = lambda: False  # type: ignore[method-assign]
    desk.model.faults = [Behind("BEHIND token")]
    desk.writer.look()
    assert desk.losses == []


def test_a_run_until_caught_up_ends_with_a_loss_of_what_it_wrote() -> None:
    desk = Desk(until_caught_up=True)
    desk.says("A")
    desk.model.faults = [Behind("BEHIND flush 7")]
    with pytest.raises(PublisherError, match="run again"):
        desk.writer.write_slices()


def test_a_newer_run_ends_this_one_although_redis_took_the_write(desk: Desk) -> None:
    desk.newest = TOKEN + 1
    desk.says("A")
    with pytest.raises(Fenced):
        desk.writer.write_slices()
    assert desk.forwarded == []


def test_a_newer_run_is_found_before_the_token_is_taken_back(desk: Desk) -> None:
    desk.newest = TOKEN + 1
    desk.model.faults = [Behind("BEHIND token")]
    with pytest.raises(Fenced):
        desk.writer.look()
    assert desk.model.life == 1


def test_a_flush_ends_with_the_version_of_those_that_said_something(desk: Desk) -> None:
    desk.writer.close_flush()
    assert desk.model.offsets == {}
    desk.shards[0].has_news, desk.shards[0].reached = True, {"orders": 6}
    desk.writer.next_version()
    desk.writer.close_flush()
    assert unpack_offsets(desk.model.offsets[0]) == ({"orders": 6}, FIRST + 1)
    desk.writer.next_version()
    desk.writer.close_flush()
    assert unpack_offsets(desk.model.offsets[0])[1] == FIRST + 1, "it has said nothing since"


def test_versions_that_are_used_up_end_the_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "COUNTER_MAX", 1)
    assert desk.writer.next_version() == FIRST
    with pytest.raises(PublisherError, match="used up its versions"):
        desk.writer.next_version()
