"""How much may wait in an input partition for a location or channel: in number and in bytes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flows.sources import events
from flows.sources.events import PARKED_BYTES_MAX, PARKED_MAX, EventPart
from schemas.units import Origin, Refusal, Unit

SECOND = 1_000_000


class Source:
    """All of an input that a partition's waiting needs; nothing is known until `is_known` says so."""

    def __init__(self) -> None:
        self.run = SimpleNamespace(
            ends={}, ended=(), until_caught_up=False, settings=SimpleNamespace(reference_grace=SECOND)
        )
        self.consumer = SimpleNamespace(open=lambda *_: None)
        self.known = SimpleNamespace(topology=None)
        self.leader = None
        self.decoder = self
        self.join = lambda part: None
        self.is_known = False
        self.judged: list[Origin] = []

    def decode(self, origin: Origin, clock: int, units: list[Unit], refusals: list[Refusal], final: bool) -> bool:
        if final or self.is_known:
            self.judged.append(origin)
        return final or self.is_known


def part(source: Any, state: bytes | None = None) -> EventPart:
    return EventPart(source, "inventory.orders/0", state)


def park(one: EventPart, *sizes: int) -> None:
    for number, size in enumerate(sizes):
        one._park(Origin("inventory.orders", 0, number, 1, None, bytes(size)), 1, [], [])


def test_so_many_bytes_wait_and_what_does_not_fit_is_judged_at_once() -> None:
    source = Source()
    one = part(source)
    park(one, PARKED_BYTES_MAX - 10, 11, 10, 1)
    assert [len(origin.value or b"") for origin in source.judged] == [11, 1]
    resumed = part(source, one.snapshot())
    park(resumed, 1)
    assert len(source.judged) == 3, "what waits is known again after a crash"


def test_so_many_messages_wait() -> None:
    source = Source()
    park(part(source), *[1] * (PARKED_MAX + 1))
    assert len(source.judged) == 1


def test_what_goes_on_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source()
    one = part(source)
    park(one, PARKED_BYTES_MAX)
    source.is_known, source.known.topology = True, object()
    one._retry_parked([], [])
    source.is_known = False
    monkeypatch.setattr(events, "now", lambda: 1)
    park(one, PARKED_BYTES_MAX)
    assert len(source.judged) == 1
