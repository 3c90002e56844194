"""What the trail says of an item after each activation is what the engine published: any history, days, crashes."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from flows.inspection.replayed import Replayed
from flows.inspection.trail import group_of
from operators.evaluate import Policies
from operators.explaining import explained
from operators.reference import unpack_topology
from operators.rules.days import days_in
from operators.shard import Shard
from operators.trail import HEAD
from schemas.messages import Outcome, TopologyRecord
from schemas.topics import TRAIL
from schemas.units import Refusal
from tests import playing
from tests.engine import Engine
from tests.histories import History


class TrailedEngine(Engine):
    """An engine whose trail is read after each of its words, and compared with what readers have."""

    compared = 0

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.config = dataclasses.replace(self.config, has_trail=True)
        self.shard = Shard(0, self.config, self.segments, lambda: self.clock, self)
        self.groups: dict[str, list[Any]] = {}
        self.topologies: dict[int, bytes] = {}
        self._take([TopologyRecord(self.tables.pack(), 0)])

    def _said(self, outcome: Outcome | None) -> list[Refusal]:
        refusals = super()._said(outcome)
        if outcome is None or not hasattr(self, "groups"):
            return refusals
        for said in outcome.reconciled:
            if said.topic == TRAIL:
                _, run, at, body = msgspec.msgpack.decode(said.value)
                if isinstance(body, bytes):
                    self.topologies[at] = body
                for values in body if isinstance(body, list) else ():
                    self.groups.setdefault(values[0], []).append(group_of(values, run))
        for update in outcome.updates:
            head = self.figures[update.item].pop(HEAD, None)
            if not update.is_gone:
                assert head == self.groups[update.item][-1].at
                self._compare(update.item)
        return refusals

    def _compare(self, item: str) -> None:
        """Tell the item anew from its newest frame with records, and from there on what moved it."""
        groups = self.groups[item]
        first = max(number for number, group in enumerate(groups) if group.records is not None)
        assert len(groups) - first <= 1 + 16 + len(self.figures[item])
        replayed = Replayed(item, "")
        for group in groups[first:]:
            replayed.take(group)
        shown = {name: value for name, value in self.figures[item].items() if value and ":available" not in name}
        assert replayed.figures() == shown
        standing, dated = replayed.item()
        days = days_in(self.config.time_zone)
        policies = Policies(unpack_topology(self.topologies[replayed.topology[1]]), days)
        published = {channel: number.atp for (code, channel), number in self.numbers.items() if code == item}
        assert replayed.published == published
        for channel, atp in published.items():
            numbers = self.numbers[item, channel].by_day or [atp]
            for day, number in enumerate(numbers):
                tree = explained(standing, channel, policies, days.day_of(self.clock), dated, day)
                assert tree is not None and tree.value == number and tree.adds_up(), (channel, day, number, tree)
                TrailedEngine.compared += 1


def tell(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playing, "Engine", TrailedEngine)
    before = TrailedEngine.compared
    playing.play(playing.tale_of(History(seed)))
    assert TrailedEngine.compared > before


@pytest.mark.long
def test_in_many_histories_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(12, 400):
        tell(seed, monkeypatch)


@pytest.mark.parametrize("seed", range(12))
def test_the_trail_tells_every_number_and_figure_anew(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(seed, monkeypatch)
