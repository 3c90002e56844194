"""The demo's nightly file is true but for the faults that it says it has."""

from __future__ import annotations

from typing import Any

from flows.demo.night import file_of


def position(scale: int = 0, **on_hand: int) -> dict[str, Any]:
    return {"scale": scale, "locations": {code: {"on_hand": figure} for code, figure in on_hand.items()}}


def received(number: int, item: str, quantity: int, at: str = "10:00", **fields: Any) -> dict[str, Any]:
    head = {"event_id": f"e{number}", "type": "stock_received", "source": "wms", "occurred_at": at}
    return {**head, "item": item, "location": "N", "quantity": quantity, **fields}


POSITIONS = {"A": position(N=30, S=7), "B": position(N=48), "C": position(N=5), "D": position(1, N=125)}


def test_three_figures_are_wrong_and_all_others_true() -> None:
    counted = {**received(2, "B", 9), "type": "stock_counted", "occurred_at": "11:00"}
    file = file_of(POSITIONS, [counted, received(1, "A", 6), received(3, "B", 4)])
    assert file.faults == {("A", "N"): "missing_there", ("B", "N"): "unit", ("C", "N"): "sign"}
    assert file.rows == {
        ("A", "N"): "24",
        ("A", "S"): "7",
        ("B", "N"): "4",
        ("C", "N"): "-5",
        ("D", "N"): "12.5",
    }


def test_a_delivery_that_is_counted_since_or_has_one_like_it_is_no_fault_to_plant() -> None:
    counted = {**received(2, "A", 30, "11:00"), "type": "stock_counted"}
    assert "missing_there" not in file_of(POSITIONS, [received(1, "A", 6), counted]).faults.values()
    twice = [received(1, "A", 6), received(2, "A", 6)]
    assert "missing_there" not in file_of(POSITIONS, twice).faults.values()
    repeated = [received(1, "A", 6), received(1, "A", 6)]
    assert file_of(POSITIONS, repeated).rows["A", "N"] == "24"
