"""What a replay's header may change: how often it was tried, and which of its units may be late."""

from __future__ import annotations

import json
from typing import Any

import pytest

from operators.decode import CodeSets, Decoder, DecoderConfig
from operators.ids import RememberedIds
from operators.rules.admission import DUPLICATE, FOREVER, NEW
from schemas.codes import LATE
from schemas.replay import HEADER, Replay, header, note_replay, read_header
from schemas.units import Origin, Refusal, Unit, unit_name

NOW = 1_800_000_000_000_000
DAY = 86_400_000_000
OLD = "2027-01-01T00:00:00Z"  # two weeks before


def origin(topic: str, event: dict[str, Any], *accepted: tuple[str, str]) -> Origin:
    names = tuple(unit_name(*one) for one in accepted)
    return Origin(topic, 0, 1, NOW // 1000, None, json.dumps(event).encode(), 2, names)


def decode(topic: str, event: dict[str, Any], *accepted: tuple[str, str]) -> tuple[list[Unit], list[Refusal]]:
    kinds = {"inventory.warehouse": "warehouse", "inventory.orders": "orders"}
    decoder = Decoder(DecoderConfig(kinds), CodeSets(frozenset({"EAST"}), frozenset({"web"})))
    units: list[Unit] = []
    refusals: list[Refusal] = []
    assert decoder.decode(origin(topic, event, *accepted), NOW, units, refusals, True)
    return units, refusals


def stock(kind: str = "stock_received", **fields: Any) -> dict[str, Any]:
    head = {"event_id": "e1", "type": kind, "source": "wms", "occurred_at": OLD}
    return head | {"item": "CLOCK", "location": "EAST", "quantity": 5} | fields


def order(*lines: str) -> dict[str, Any]:
    told = [{"line_id": line, "item": "CLOCK", "quantity": 1} for line in lines]
    head = {"event_id": "e1", "type": "order_placed", "source": "oms", "occurred_at": OLD}
    return head | {"order_id": "SO-1", "channel": "web", "lines": told}


def test_the_header_says_what_it_was_told() -> None:
    mark = Replay(3, "1:7", "2027-01-15T08:00:00+00:00", [("1", "CLOCK")])
    name, value = header(mark)
    assert name == HEADER
    assert read_header([("other", b"x"), (name, value)]) == mark
    one = Origin("inventory.orders", 0, 0, 0, None, b"")
    note_replay(one, [(name, value)])
    assert (one.attempts, one.late_accepted) == (3, (unit_name("1", "CLOCK"),))


@pytest.mark.parametrize("value", [None, b"", b"rubbish", b'{"attempts":"many","of":"","at":""}', b"{}", b"\xff"])
def test_a_header_that_is_none_of_ours_changes_nothing(value: bytes | None) -> None:
    one = Origin("inventory.orders", 0, 0, 0, None, b"")
    note_replay(one, [(HEADER, value), ("attempts", b"9")])
    assert (one.attempts, one.late_accepted) == (1, ())


def test_late_stays_late_unless_this_very_unit_is_accepted() -> None:
    for accepted in ((), (("", "OTHER"),), (("1", "CLOCK"),)):
        [unit], refusals = decode("inventory.warehouse", stock(), *accepted)
        assert unit.verdict is not None and unit.verdict[0] == LATE and not refusals
    [unit], refusals = decode("inventory.warehouse", stock(), ("", "CLOCK"))
    assert unit.verdict is None and not refusals


def test_a_late_count_is_late_whatever_the_header_says() -> None:
    [unit], _ = decode("inventory.warehouse", stock("stock_counted"), ("", "CLOCK"))
    assert unit.verdict is not None and unit.verdict[0] == LATE


def test_of_a_late_order_the_accepted_lines_count_and_the_others_are_late() -> None:
    units, refusals = decode("inventory.orders", order("1", "2"))
    assert not units and [refusal.code for refusal in refusals] == [LATE]
    units, refusals = decode("inventory.orders", order("1", "2"), ("2", "CLOCK"))
    assert not refusals
    assert {unit.line_id: unit.verdict and unit.verdict[0] for unit in units} == {"1": LATE, "2": None}


def test_acceptance_excuses_lateness_and_nothing_else() -> None:
    units, refusals = decode("inventory.warehouse", stock(location="NORTH"), ("", "CLOCK"))
    assert not units and [refusal.code for refusal in refusals] == ["unknown_location"]


def test_ids_accepted_late_are_never_forgotten() -> None:
    ids = RememberedIds()
    ids.remember(7, 1, FOREVER)
    ids.remember(8, 1, NOW)
    ids.forget(NOW + 400 * DAY)
    assert ids.recognize(8, 1) == NEW
    assert ids.recognize(7, 1) == DUPLICATE
