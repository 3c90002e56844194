"""Decides whether what an event says changes the item it is about, and only that (contract sections 2 and 4)."""

from __future__ import annotations

from typing import Any, cast

import pytest

from flows.audit.model import Model
from tests.desk import HOUR, MINUTE, NOW, Desk, at
from tests.engine import Engine

DAY = 24 * HOUR


class House(Desk):
    """A desk with the engine behind it, and what it has published so far."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(DAY, 5 * MINUTE)
        self.engine.clock = NOW
        self.model = cast(Model, self.engine)
        for location in ("DC1", "DC2", "STORE"):
            self.knows("locations", location=location)
        self.knows("items", item="SHOVEL")
        self.knows("channels", channel="web", locations=["DC1"])

    def changes(self, kind: str, *given: Any, **fields: Any) -> set[str]:
        """Which figures an event changed, as `DC1:on_hand`."""
        before = dict(self.engine.figures.get("SHOVEL", {}))
        self.did(kind, *given, **fields)
        after = self.engine.figures.get("SHOVEL", {})
        return {name for name in before | after if before.get(name, 0) != after.get(name, 0)}

    def said(self) -> list[int]:
        """What the channel is told by the next words."""
        found: list[int] = []
        honest = self.engine._said

        def listen(outcome: Any) -> Any:
            if outcome is not None:
                found.extend(change.atp for update in outcome.updates for change in update.channels)
            return honest(outcome)

        self.engine._said = listen  # type: ignore[method-assign]
        return found


@pytest.fixture
def house() -> House:
    return House()


def test_a_count_without_a_lot_counts_what_carries_no_lot(house: House) -> None:
    house.did("stock_received", 10, lot="L1", occurred_at=at("08:00"))
    house.did("stock_received", 3, occurred_at=at("08:00"))
    house.did("stock_counted", 5, occurred_at=at("09:00"))
    assert house.on_hand() == 15
    house.did("stock_counted", 8, lot="L1", occurred_at=at("09:00"))
    assert house.on_hand() == 13


@pytest.mark.parametrize("first", ["order_placed", "order_allocated", "pick_confirmed"])
def test_deducts_at_is_that_of_the_first_event_of_the_line_there(house: House, first: str) -> None:
    house.knows("locations", location="DC1", deducts_at="shipment")
    house.did("stock_received", 10)
    if first == "pick_confirmed":
        house.did_line(first, 2)
    else:
        house.order(first, 2, "DC1")
    house.knows("locations", location="DC1", deducts_at="pick")
    house.did_line("pick_confirmed", 2)
    assert house.on_hand() == 10, "the line is older than the change"
    house.did_line("shipment_confirmed", 2)
    assert house.on_hand() == 8
    house.did_line("pick_confirmed", 1, order_id="SO-2")
    assert house.on_hand() == 7, "a line first seen after it"


def test_a_line_at_another_location_has_the_rule_of_that_one(house: House) -> None:
    house.knows("locations", location="DC2", deducts_at="shipment")
    house.did("stock_received", 10)
    house.did("stock_received", 10, "DC2")
    house.did_line("pick_confirmed", 1)
    house.did_line("pick_confirmed", 1, "DC2")
    assert (house.on_hand("DC1"), house.on_hand("DC2")) == (9, 10)


def test_an_event_changes_the_figures_that_its_type_says(house: House) -> None:
    here = {"DC1:on_hand", "DC1:available"}
    line = {"order_id": "SO-1", "line_id": "1"}
    assert house.changes("stock_received", 20) == here
    assert house.changes("stock_received", 5, status="quarantined") == {"DC1:on_hand", "DC1:quarantined"}
    assert house.changes("stock_adjusted", -1) == here
    assert house.changes("stock_status_changed", 2, from_status="available", to_status="quarantined") == {
        "DC1:quarantined",
        "DC1:available",
    }
    assert house.changes("transfer_shipped", 3, transfer_id="T-1", to_location="DC2") == {*here, "DC2:in_transit"}
    assert house.changes("stock_received", 1, "DC2", transfer_id="T-1") == {
        "DC2:in_transit",
        "DC2:on_hand",
        "DC2:available",
    }
    assert house.changes("transfer_closed", None, "DC2", transfer_id="T-1") == {"DC2:in_transit"}
    assert house.changes("receipt_expected", 4, receipt_id="PO-1", eta=at("08:00", 1)) == {"DC1:expected"}
    assert house.changes("stock_received", 1, receipt_id="PO-1") == {*here, "DC1:expected"}
    assert house.changes("receipt_cancelled", receipt_id="PO-1", occurred_at=at("12:01")) == {"DC1:expected"}
    assert house.changes("pick_confirmed", 1, **line) == here
    assert house.changes("shipment_confirmed", 1, **line) == set()
    assert house.changes("return_received", 1, order_id="SO-1") == here


def test_an_unchanged_number_is_not_said_again(house: House) -> None:
    said = house.said()
    house.did("stock_received", 10)
    house.did("stock_received", 10, "DC2")  # web does not sell from there
    house.did("stock_adjusted", 1, status="quarantined")
    assert said == [10]
    house.did("stock_adjusted", 1)
    assert said == [10, 11]


def test_what_is_wrong_is_raised_once_and_closed_when_it_is_over(house: House) -> None:
    engine = house.engine  # it fails where an exception is raised twice, or closed and not open
    house.did("stock_adjusted", -5)
    house.did("stock_adjusted", -1)
    assert engine.raised == {("SHOVEL", code, "DC1", "") for code in ("negative_on_hand", "oversold")}
    engine.resume()
    house.did("stock_adjusted", 1)
    assert len(engine.raised) == 2
    house.did("stock_received", 5)
    assert engine.raised == set()
    house.did("stock_adjusted", -1)
    assert len(engine.raised) == 2
