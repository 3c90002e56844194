"""Decides, on histories that shrink, whether the engine's numbers are the model's: a failure ends in a short story.

A history is a list of actions, an action a list of small numbers: which it is and what it needs to know. So shorter
lists and smaller numbers are simpler histories, and the simplest that fails is left in tests/failures/ as JSON.
Whatever lies there is told again by every run: keep a file as long as its mistake could come back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from flows.audit.model import Model
from operators import shard
from operators.rules import lines, lots
from tests import invariants
from tests.desk import instant
from tests.engine import Engine
from tests.histories import DAY, HOUR, MINUTE, SKEW, START, WINDOW, text_of
from tests.playing import FAILURES, agree, compare, failure_of, read

Picks = list[list[int]]

#: one action: which, and what it needs to know; what is missing is 0
ACTION = st.lists(st.integers(0, 20), min_size=1, max_size=9)
#: Lists of lists, because one list alone is mostly shorter than any two rules need to meet.
PICKS: st.SearchStrategy[Picks] = st.lists(st.lists(ACTION, max_size=6), max_size=6).map(
    lambda parts: [action for part in parts for action in part]
)
#: The model's answers cost as much as the history is long.
COMPARE_EVERY = 4

LOCATIONS = ("NORTH-1", "NORTH-2", "SOUTH")
AGO = (0, MINUTE, HOUR, 20 * HOUR, WINDOW, WINDOW + 1, -SKEW, -SKEW - 1)
STEPS = (MINUTE, HOUR, 9 * HOUR, 26 * HOUR, 8 * DAY)
FIRST: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("locations", "NORTH", {"location": "NORTH"}),
    ("locations", "NORTH-1", {"location": "NORTH-1", "parent": "NORTH"}),
    ("locations", "NORTH-2", {"location": "NORTH-2", "parent": "NORTH", "deducts_at": "pick"}),
    ("locations", "SOUTH", {"location": "SOUTH", "deducts_at": "shipment"}),
    ("items", "SHOVEL", {"item": "SHOVEL", "safety_stock": {"NORTH-2": 1}}),
    ("channels", "web", {"channel": "web", "locations": ["NORTH"], "horizon_days": 3, "promise_in_transit": True}),
    ("channels", "shop", {"channel": "shop", "locations": ["NORTH-1", "SOUTH"], "priority": 1}),
    ("channels", "edi", {"channel": "edi", "locations": ["SOUTH"], "buffer_percent": 10}),
)
CHANGES: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("channels", "shop", {"channel": "shop", "locations": ["NORTH-1"], "priority": 1, "protected_quantity": 3}),
    ("channels", "web", {"channel": "web", "locations": ["NORTH", "SOUTH"], "cap": 9}),
    ("channel_items", "web:SHOVEL", {"channel": "web", "item": "SHOVEL", "listed": False}),
    ("channel_items", "web:SHOVEL", {"channel": "web", "item": "SHOVEL", "safety_stock": {"*": 2}}),
    ("channel_items", "web:SHOVEL", None),
    ("locations", "NORTH-1", {"location": "NORTH-1", "sellable": False}),
    ("items", "SHOVEL", None),
    ("items", "SHOVEL", {"item": "SHOVEL", "low_stock_threshold": 4}),
)


class Teller:
    """Tells engine and model one history, and remembers it in words."""

    def __init__(self, picks: Picks) -> None:
        self.picks = picks
        self.action: list[int] = []
        self.engine = Engine(WINDOW, SKEW)
        self.model = Model(WINDOW, SKEW)
        self.now = self.engine.clock = START
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.story: list[str] = []
        for topic, key, record in FIRST:
            self.hand_record(topic, key, record)

    def pick(self, choices: Any) -> Any:
        return choices[self.action.pop(0) % len(choices)] if self.action else choices[0]

    def tell(self) -> None:
        for number, action in enumerate(self.picks, 1):
            self.action = list(action)
            self.pick(ACTIONS)(self)
            if not self.engine.shard.is_sweeping:
                invariants.hold(self.engine, self.model, self.story[-1] if self.story else "at first")
            if number % COMPARE_EVERY == 0:
                compare(self.engine, self.model, self.now, self.story[-1])
        compare(self.engine, self.model, self.now, "at the end")
        self.engine.resume()
        compare(self.engine, self.model, self.now, "after the last crash")
        assert self.engine.duplicates == self.model.duplicates

    # --- what can happen ---------------------------------------------------------------------------------------------

    def hand_record(self, topic: str, key: str, record: dict[str, Any] | None) -> None:
        raw = (f"inventory.{topic}", key.encode(), None if record is None else json.dumps(record).encode())
        assert bool(self.engine.reference(*raw)) == bool(self.model.reference(*raw)), raw

    def hand(self, topic: str, event: dict[str, Any]) -> None:
        self.story.append(f"{text_of(self.now)} {json.dumps(event)}")
        raw = (f"inventory.{topic}", json.dumps(event).encode(), self.now)
        mine, right = self.engine.event(*raw), self.model.event(*raw)
        assert agree(mine, right), f"{self.story[-1]}: {mine}, but the model says {right}"

    def event(self, topic: str, kind: str, **fields: Any) -> None:
        event = {
            "event_id": f"e{len(self.told)}",
            "type": kind,
            "source": "wms",
            "occurred_at": text_of(self.now - self.pick(AGO)),
            **fields,
        }
        self.told.append((topic, event))
        self.hand(topic, event)

    def place(self) -> dict[str, Any]:
        return {"item": "SHOVEL", "location": self.pick(LOCATIONS)}

    def quantity(self, least: int = 1) -> int:
        return int(self.pick(range(least, least + 8)))

    def lot(self) -> dict[str, Any]:
        return {"lot": self.pick((None, "L1"))}

    def receives(self) -> None:
        supply = self.pick(({}, {"receipt_id": "PO-1"}, {"transfer_id": "T-1"}, {"status": "quarantined"}))
        self.event("warehouse", "stock_received", **self.place(), quantity=self.quantity(), **supply, **self.lot())

    def adjusts(self) -> None:
        quantity = self.pick((-1, 2, -5))
        self.event("warehouse", "stock_adjusted", **self.place(), quantity=quantity, **self.lot())

    def counts(self) -> None:
        quarantined = self.pick((None, 0, 1))
        fields = {**self.place(), "quantity": self.quantity(0), "quarantined": quarantined, **self.lot()}
        self.event("warehouse", "stock_counted", **fields)

    def changes_status(self) -> None:
        before, after = self.pick((("available", "quarantined"), ("quarantined", "available")))
        fields = {**self.place(), "quantity": self.quantity(), "from_status": before, "to_status": after}
        self.event("warehouse", "stock_status_changed", **fields, **self.lot())

    def holds(self) -> None:
        kind = self.pick(("lot_held", "lot_released"))
        self.event("warehouse", kind, item="SHOVEL", lot="L1", location=self.pick((None, *LOCATIONS)))

    def ships_a_transfer(self) -> None:
        eta = self.pick((None, text_of(self.now + DAY), text_of(self.now - DAY)))
        fields = {**self.place(), "quantity": self.quantity(), "transfer_id": "T-1", "eta": eta}
        self.event("warehouse", "transfer_shipped", **fields, to_location=self.pick(LOCATIONS[::-1]))

    def closes_a_transfer(self) -> None:
        self.event("warehouse", "transfer_closed", **self.place(), transfer_id="T-1")

    def handles(self) -> None:
        kind = self.pick(("pick_confirmed", "shipment_confirmed"))
        fields = {**self.place(), "quantity": self.quantity(), "order_id": "SO-1", "line_id": self.pick(("1", "2"))}
        self.event("warehouse", kind, **fields, **self.lot())

    def orders(self) -> None:
        kind = self.pick(("order_placed", "order_allocated", "order_released", "order_cancelled"))
        line: dict[str, Any] = {"line_id": self.pick(("1", "2")), "item": "SHOVEL", "quantity": self.quantity()}
        line["location"] = self.pick(LOCATIONS if kind in ("order_allocated", "order_released") else (None, *LOCATIONS))
        event = {"order_id": "SO-1", "channel": self.pick(("web", "shop")), "lines": [line]}
        if kind == "order_placed":
            event["requested_at"] = self.pick((None, text_of(self.now + DAY), text_of(self.now + 9 * DAY)))
            event["expires_at"] = self.pick((None, text_of(self.now + HOUR), text_of(self.now)))
        self.event("orders", kind, **event)

    def expects(self) -> None:
        kind = self.pick(("receipt_expected", "receipt_cancelled"))
        fields = {**self.place(), "receipt_id": "PO-1"}
        if kind == "receipt_expected":
            fields |= {"quantity": self.quantity(0), "eta": text_of(self.now + self.pick((0, DAY, 5 * DAY, -DAY)))}
        self.event("supply", kind, **fields)

    def repeats(self) -> None:
        if not self.told:
            return self.waits()
        topic, event = self.pick(self.told)
        content = self.pick(({}, {"reason": "again"}, {"location": "SOUTH"}, {"occurred_at": text_of(self.now)}))
        if "occurred_at" in content and self.now - instant(event["occurred_at"]) > WINDOW:
            content = {}  # the engine may have forgotten the id by now, and the model never does
        return self.hand(topic, event | content)

    def waits(self) -> None:
        self.now += self.pick(STEPS)
        self.story.append(f"time passes to {text_of(self.now)}")
        self.engine.slowest = self.now
        self.engine.pass_time(self.now)

    def changes_policy(self) -> None:
        change = self.pick(CHANGES)
        self.story.append(f"record {change}")
        self.hand_record(*change)

    def writes_ahead(self) -> None:
        self.story.append("layer written ahead")
        self.engine.shard.write_ahead()

    def snapshots(self) -> None:
        self.story.append("snapshot")
        self.engine.shard.snapshot()

    def crashes(self) -> None:
        self.story.append("snapshot, crash, resume")
        self.engine.resume()


#: in the order of their simplicity: a history shrinks towards the first
ACTIONS: tuple[Callable[[Teller], None], ...] = (
    Teller.receives,
    Teller.adjusts,
    Teller.counts,
    Teller.orders,
    Teller.handles,
    Teller.expects,
    Teller.ships_a_transfer,
    Teller.changes_status,
    Teller.holds,
    Teller.closes_a_transfer,
    Teller.repeats,
    Teller.waits,
    Teller.changes_policy,
    Teller.writes_ahead,
    Teller.snapshots,
    Teller.crashes,
)


def tell(picks: Picks, seal_from: int = 1) -> None:
    """Tell a history; every snapshot a file, so that resuming reads files and the rest."""
    with patch.object(shard, "SEAL_FROM", seal_from):
        Teller(picks).tell()


def tell_or_write(picks: Picks, seal_from: int, name: str) -> None:
    """The last failure that is written is the one that could not be made any simpler."""
    try:
        tell(picks, seal_from)
    except Exception as error:
        write(FAILURES / f"{name}.json", picks, seal_from, error)
        raise


def write(path: Path, picks: Picks, seal_from: int, error: Exception) -> None:
    teller = Teller(picks)
    with patch.object(shard, "SEAL_FROM", seal_from), suppress(Exception):
        teller.tell()  # it failed before: the story up to there is what is wanted
    path.parent.mkdir(exist_ok=True)
    found = {"picks": picks, "seal_from": seal_from, "story": teller.story, "error": str(error)}
    path.write_text(json.dumps(found, indent=1) + "\n")


QUICK = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(PICKS, st.sampled_from((1, 400)))
def test_any_short_history_ends_in_the_models_numbers(picks: Picks, seal_from: int) -> None:
    tell_or_write(picks, seal_from, "short-history")


@pytest.mark.long
@pytest.mark.timeout(7200)
@settings(QUICK, max_examples=20_000, derandomize=False)
@given(PICKS, st.sampled_from((1, 400)))
def test_thousands_of_short_histories_end_in_the_models_numbers(picks: Picks, seal_from: int) -> None:
    tell_or_write(picks, seal_from, "long-run")


def test_histories_that_once_failed_do_so_no_more() -> None:
    for path in sorted(FAILURES.glob("*.json")):
        found = json.loads(path.read_text())
        try:
            if "picks" in found:
                tell(found["picks"], found["seal_from"])
            else:
                assert failure_of(read(found)) == ""
        except AssertionError as error:
            error.add_note(f"told by {path.name}: keep it until it is mended, and for as long as it could come back")
            raise


# The judge, judged


def fails(picks: Picks) -> bool:
    try:
        tell(picks)
    except AssertionError:
        return True
    return False


@pytest.mark.uncompiled
@pytest.mark.parametrize(
    ("owner", "name", "broken", "actions_max"),
    [
        (lots, "is_held", lambda item, lot, location: False, 2),
        (lines, "takes_nothing", lambda at, handling, is_pick: True, 1),
    ],
)
def test_a_planted_mistake_is_found_and_told_in_few_actions(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, broken: Any, actions_max: int
) -> None:
    monkeypatch.setattr(owner, name, broken)
    simplest = find(
        PICKS,
        fails,
        settings=settings(
            max_examples=500, deadline=None, derandomize=True, phases=[Phase.generate, Phase.shrink], database=None
        ),
    )
    teller = Teller(simplest)
    with pytest.raises(AssertionError):
        teller.tell()
    assert len(teller.story) <= actions_max, teller.story


@pytest.mark.uncompiled
def test_a_failure_is_written_so_that_it_can_be_told_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(globals(), "FAILURES", tmp_path / "failures")
    monkeypatch.setattr(lots, "is_held", lambda item, lot, location: False)
    held_and_received = [[ACTIONS.index(Teller.holds)], [0, 0, 0, 0, 1]]
    with pytest.raises(AssertionError):
        tell_or_write(held_and_received, 1, "planted")
    found = json.loads((tmp_path / "failures" / "planted.json").read_text())
    assert found["picks"] == held_and_received
    assert [("lot_held" in line, "stock_received" in line) for line in found["story"]] == [(True, False), (False, True)]
    assert "SHOVEL" in found["error"]
    with pytest.raises(AssertionError):
        test_histories_that_once_failed_do_so_no_more()
    monkeypatch.undo()
    tell(held_and_received)
