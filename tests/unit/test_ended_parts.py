"""Parts of a topic that is no more, and those that follow them: what was parked is judged, and no clock falls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from flows.kafka.clients import Complaints
from flows.runtime.progress import PartProgress, Progress
from flows.runtime.run import KnownCodes, Run, Stop, now
from flows.settings import load_settings
from flows.sources.events import EndedPart, EventPart
from schemas.units import Origin

OLD, NEW = "inventory.orders/0", "inventory.orders#1/0"


class Reader:
    """A consumer to which nothing comes."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, int, int]] = []
        self.committed: list[tuple[str, int, int]] = []
        self.complaints = Complaints()

    def open(self, *place: Any) -> None:
        self.opened.append(place)

    def take(self, topic: str, partition: int) -> list[Any]:
        return []

    def commit(self, *place: Any) -> None:
        self.committed.append(place)

    def close(self, topic: str, partition: int) -> None:
        pass


class Source(SimpleNamespace):
    """What parts share, without servers."""

    def __init__(self) -> None:
        run = Run(load_settings(None, {}), ends={NEW: 0}, ended=(OLD,))
        super().__init__(
            run=run, consumer=Reader(), progress=Progress(), stop=Stop(), known=KnownCodes(), watched=frozenset(),
            leader=self, join=lambda part: None, decoder=self,
        )  # fmt: skip
        self.progress.expect(run.ends)
        self.finals: list[bool] = []

    def decode(self, origin: Origin, clock: int, units: list[Any], refusals: list[Any], final: bool) -> bool:
        self.finals.append(final)
        return final


@pytest.fixture
def source() -> Any:
    return Source()


def kept(position: int, clock: int, *parked: Any) -> bytes:
    return msgspec.msgpack.encode((position, clock, list(parked)))


def test_an_ended_part_reads_nothing_tells_its_clock_and_ends(source: Any) -> None:
    part = EndedPart(source, OLD, kept(7, 5_000))
    assert list(part.next_batch()) == []  # the first epoch is the reference data's
    assert part.snapshot() == kept(7, 5_000)
    with pytest.raises(StopIteration):
        part.next_batch()
    part.close()
    assert not source.consumer.opened and not source.consumer.committed
    assert source.progress.rows() == {OLD: PartProgress(7, 5_000, True)}
    assert source.progress.has_passed(OLD, 99)
    assert source.progress.recorded() is None, "it counted as a partition that is read"


def test_an_ended_part_judges_what_it_parked_before_it_ends(source: Any) -> None:
    origin = Origin("inventory.orders", 0, 3, 4, None, b"{}")
    part = EndedPart(source, OLD, kept(7, 5_000, (now() + 60_000_000, origin, 1)))
    part.snapshot()
    source.known.topology = object()
    assert list(part.next_batch()) == []
    assert source.finals == [False]
    part._parked = [(0, origin, 1)]  # its grace is over
    with pytest.raises(StopIteration):
        part.next_batch()
    assert source.finals == [False, True]


def test_a_part_begins_with_the_clock_of_the_topic_before_it_and_not_before_that_is_known(source: Any) -> None:
    part = EventPart(source, NEW, None)
    assert source.consumer.opened == [("inventory.orders", 0, -2)]
    assert part.snapshot() == kept(0, 0)
    assert not part._follows()
    again = EventPart(source, NEW, part.snapshot())  # killed before it was known
    again.snapshot()
    assert not again._follows()
    EndedPart(source, OLD, kept(7, 5_000))
    again.read([])
    assert again.snapshot() == kept(0, 5_000)
    later = EventPart(source, NEW, kept(1, 9_000))
    assert later._before == (), "its own clock is known"
