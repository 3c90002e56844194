"""Reading reference topics: records that come one by one cost a topology now and then, and not each time."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from flows.sources import reference as reference_source
from flows.sources.reference import ReferencePart
from operators.reference import unpack_topology
from schemas.messages import TopologyRecord

LOCATIONS = 400


class Message:
    def __init__(self, kind: str, offset: int, value: dict[str, Any]) -> None:
        self._topic, self._offset, self._value = f"inventory.{kind}s", offset, value
        self._key = value[kind].encode()

    def error(self) -> None:
        return None

    def topic(self) -> str:
        return self._topic

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return (1, 1_700_000_000_000)

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return json.dumps(self._value).encode()

    def headers(self) -> None:
        return None


class Topics:
    """A consumer that gives one record a poll."""

    def __init__(self, *_: Any) -> None:
        self.waiting: list[Message] = []

    def assign(self, _: Any) -> None:
        pass

    def consume(self, *_: Any) -> list[Message]:
        return [self.waiting.pop(0)] if self.waiting else []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    moment = [1_000.0]
    monkeypatch.setattr(reference_source, "Consumer", Topics)
    monkeypatch.setattr(reference_source.time, "monotonic", lambda: moment[0])
    monkeypatch.setattr(ReferencePart, "_read_to_end", lambda self: [])
    return moment


class Quiet:
    def is_set(self) -> bool:
        return False


class Settings:
    shards = 1
    reference_grace = 1_000_000
    max_message_bytes = 1 << 20
    sources: ClassVar[dict[str, Any]] = {}

    class kafka:
        group = "atp"

    def topic(self, name: str) -> str:
        return name


class Engine:
    settings = Settings()
    topic_ids: ClassVar[dict[str, str]] = {}
    until_caught_up = False


@pytest.fixture
def part(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> ReferencePart:
    monkeypatch.setattr(reference_source, "consumer_config", lambda *_, **__: {})
    part = ReferencePart(Engine(), Quiet(), None)  # type: ignore[arg-type]
    part.next_batch()
    return part


def poll(part: ReferencePart) -> TopologyRecord | None:
    """What one poll says to the one shard of locations and channels."""
    said = [word for key, word in part.next_batch() if type(word) is TopologyRecord and word.shard == 0]
    assert len(said) <= 1
    return said[0] if said else None


def test_the_first_change_after_a_quiet_time_is_handed_on_at_once(part: ReferencePart, clock: list[float]) -> None:
    clock[0] += 1
    part._consumer.waiting = [Message("location", 0, {"location": "DC1"})]  # type: ignore[attr-defined]
    assert poll(part) is not None
    assert poll(part) is None


def test_records_that_come_one_by_one_are_handed_on_together(part: ReferencePart, clock: list[float]) -> None:
    name = "a-location-with-quite-a-long-name-{}"
    part._consumer.waiting = [  # type: ignore[attr-defined]
        Message("location", number, {"location": name.format(number)}) for number in range(LOCATIONS)
    ]
    said = []
    for _ in range(LOCATIONS + 200):
        clock[0] += 0.001
        topology = poll(part)
        if topology is not None:
            said.append(topology)
    assert 2 <= len(said) <= LOCATIONS // 5, "not one for each record"
    assert len(unpack_topology(said[-1].tables).locations) == LOCATIONS, "and none is left out in the end"


def test_no_change_is_held_longer_than_half_of_what_events_wait_for_it(
    part: ReferencePart, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_source, "GATHER_US_A_BYTE", 10**9)
    clock[0] += 1
    waiting = part._consumer.waiting = [Message("location", 0, {"location": "DC1"})]  # type: ignore[attr-defined]
    assert poll(part) is not None
    waiting.append(Message("location", 1, {"location": "DC2"}))
    assert poll(part) is None
    clock[0] += 0.499
    assert poll(part) is None
    clock[0] += 0.002
    topology = poll(part)
    assert topology is not None and set(unpack_topology(topology.tables).locations) == {"DC1", "DC2"}
