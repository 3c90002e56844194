"""What `atp state` adds up is what the naive model has of the events until then, whatever came later."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flows.audit.model import Model
from flows.reconciling.state import Fold, Refusals
from flows.settings import load_settings
from schemas.codes import parse_time
from schemas.statements import MEASURES
from tests.histories import ITEMS, SKEW, WINDOW, History

HISTORIES = 40


class Logged:
    """A message as Kafka gives it."""

    def __init__(self, topic: str, offset: int, recorded_at: int, value: bytes) -> None:
        self._said = (topic, offset, recorded_at, value)

    def topic(self) -> str:
        return self._said[0]

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._said[1]

    def timestamp(self) -> tuple[int, int]:
        return (2, self._said[2] // 1000)

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes:
        return self._said[3]

    def headers(self) -> None:
        return None


def told(seed: int) -> tuple[list[tuple[str, bytes, bytes | None]], list[tuple[str, bytes, int]]]:
    """Give the reference records that a history begins with, and its events; no word on policies changes later."""
    reference: list[tuple[str, bytes, bytes | None]] = []
    events: list[tuple[str, bytes, int]] = []
    for kind, what in History(seed).actions():
        if kind == "reference" and not events:
            reference.append(what)
        elif kind == "event":
            topic, value, recorded_at = what
            events.append((topic, value, recorded_at // 1000 * 1000))  # Kafka's timestamps are milliseconds
    return reference, events


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_what_is_added_up_is_what_the_model_has_of_the_events_until_then(seed: int) -> None:
    reference, events = told(seed)
    whole = Model(WINDOW, SKEW, {})
    for record in reference:
        whole.reference(*record)
    good = []
    for topic, value, recorded_at in events:
        refused = whole.event(topic, value, recorded_at)
        if not any(code == "conflict" for code, _ in refused):
            good.append((topic, value, recorded_at))
    as_of = good[len(good) * 2 // 3][2]
    then = Model(WINDOW, SKEW, {})
    for record in reference:
        then.reference(*record)
    for topic, value, recorded_at in good:
        if _occurred_at(value) <= as_of:
            then.event(topic, value, recorded_at)
    fold = Fold(load_settings(None, {}), as_of)
    kinds: dict[str, list[tuple[bytes | None, bytes | None]]] = {}
    for topic, key, value in reference:
        kinds.setdefault(topic.removeprefix("inventory."), []).append((key, value))
    fold.know((kind, kinds[kind]) for kind in ("locations", "channels", "items") if kind in kinds)
    messages = [Logged(topic, number, at, value) for number, (topic, value, at) in enumerate(good)]
    for first in range(0, len(messages), 7):
        fold.take(messages[first : first + 7], Refusals())
    found = {(one.item, one.location): dict(zip(MEASURES, one.figures, strict=True)) for one in fold.figures((), False)}
    for item in ITEMS:
        for location, figures in then.position(item, as_of).items():
            if location == "*":
                continue
            ours = found.pop((item, location), dict.fromkeys(MEASURES, 0))
            names = [name for name in MEASURES if name != "available"]
            assert {name: ours[name] for name in names} == {name: figures.get(name, 0) for name in names}, item
    assert not found, "nothing is where the model has nothing"


def _occurred_at(value: bytes) -> int:
    try:
        said: Any = json.loads(value)
        return parse_time(said["occurred_at"])
    except (ValueError, KeyError, TypeError):
        return 0  # what cannot be read is refused anyway
