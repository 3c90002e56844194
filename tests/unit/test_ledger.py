"""Decides whether an item that became bytes and came back is the same item, and whether an epoch costs what changed."""

from __future__ import annotations

from array import array
from typing import Any

import msgspec
import pytest

from operators import ledger, position
from operators.ledger import FORMAT, SEPARATOR, join_journals
from operators.rules.days import days_in
from operators.rules.topology import LocationFacts, Topology
from schemas.state import NOTHING, Cancellations, Cell, Item, Line, LineAt, Rare, Receipt, Transfer, Withheld
from schemas.units import EventType, Origin, Unit

HOUR, DAY = 3_600_000_000, 86_400_000_000
NOW = 20_000 * DAY
TOPOLOGY = Topology(1, {"DC2": LocationFacts(deducts_at="pick")}, {})
OF_RUN_ALONE = {
    "dirty",
    "is_dirty",
    "has_new_policies",
    "is_noted",
    "is_touched",
    "is_first",
    "cause",
    "correlation_id",
}
OF_RUN_ALONE |= {"measure", "listing", "policies", "wake"}


class Warehouse:
    """One item that units are applied to, and the layers that its snapshots left."""

    def __init__(self) -> None:
        self.item = Item("SERUM")
        self.layers: list[msgspec.Raw] = []
        self.events = 0

    def did(self, kind: EventType, quantity: int = 0, at: int = NOW, **fields: Any) -> None:
        self.events += 1
        given: dict[str, Any] = {"location": "DC1", "status": "available", **fields}
        quarantined = given.pop("counted_quarantined", None)
        given.setdefault("line_id", "")
        given = {"source": "wms", "quantity": quantity or None, **given}
        unit = Unit(
            kind, "SERUM", event_id=f"e{self.events:02}", origin=ORIGIN, occurred_at=at, recorded_at=at, **given
        )
        context = position.Context(TOPOLOGY, days_in("UTC"), NOW, NOW - DAY)
        position.apply(self.item, unit, quantity, quarantined, context)

    def snapshot(self) -> dict[str, Any]:
        """Add a layer, and say what is in it."""
        raw = ledger.records_of(self.item) or msgspec.msgpack.encode({})
        self.layers.append(msgspec.Raw(raw))
        decoded: dict[str, Any] = msgspec.msgpack.decode(raw)
        return {key.replace(SEPARATOR, " "): value for key, value in decoded.items()}

    def again(self) -> Item:
        return ledger.decode_item("SERUM", self.layers, days_in("UTC"))


ORIGIN = Origin("inventory.warehouse", 0, 0, 0, None, None)


def plain(thing: Any) -> Any:
    """Everything in an item but what belongs to one run, as plain data."""
    if isinstance(thing, array):
        return list(thing)
    if isinstance(thing, dict):
        return {key: plain(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple, set)):
        return sorted(map(plain, thing), key=repr)
    if isinstance(thing, (Transfer, Receipt)):
        return plain(msgspec.structs.asdict(thing))
    if not isinstance(thing, (Item, Cell, Line, LineAt, Cancellations, Rare, Withheld)):
        return thing
    names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    skipped = OF_RUN_ALONE | {"recorded", "quarantine_recorded", "margins"}
    return {name: plain(getattr(thing, name)) for name in names if name not in skipped}


@pytest.fixture
def full() -> Warehouse:
    """An item to which everything happened that can happen to one."""
    house = Warehouse()
    did = house.did
    did(EventType.STOCK_RECEIVED, 100, receipt_id="PO-1")
    did(EventType.STOCK_RECEIVED, 40, lot="L1", status="quarantined")
    did(EventType.STOCK_RECEIVED, 9, transfer_id="T-1")
    did(EventType.STOCK_COUNTED, 70, NOW - HOUR, counted_quarantined=7)
    did(EventType.STOCK_COUNTED, 30, NOW - HOUR, lot="L1")
    did(EventType.STOCK_STATUS_CHANGED, 3, status="quarantined")
    did(EventType.LOT_HELD, lot="L1", location="")
    did(EventType.LOT_RELEASED, lot="L1")
    did(EventType.TRANSFER_SHIPPED, 8, to_location="DC2", transfer_id="T-2", eta=NOW + DAY)
    did(EventType.TRANSFER_SHIPPED, 5, to_location="DC1", location="DC2", transfer_id="T-1")
    did(EventType.TRANSFER_CLOSED, transfer_id="T-3")
    order: dict[str, Any] = {"order_id": "SO-1", "line_id": "1", "channel": "web"}
    did(EventType.ORDER_PLACED, 20, location="", expires_at=NOW + HOUR, requested_at=NOW + 3 * DAY, **order)
    did(EventType.ORDER_ALLOCATED, 6, **order)
    did(EventType.ORDER_RELEASED, 1, **order)
    did(EventType.PICK_CONFIRMED, 2, order_id="SO-1", line_id="1", lot="L1")
    did(EventType.SHIPMENT_CONFIRMED, 3, order_id="SO-1", line_id="1")
    did(EventType.PICK_CONFIRMED, 2, order_id="SO-1", line_id="1", location="DC2")
    did(EventType.ORDER_PLACED, 4, order_id="SO-2", line_id="1", channel="web", expires_at=NOW - HOUR)
    did(EventType.ORDER_PLACED, 4, order_id="SO-3", line_id="1", channel="web", requested_at=NOW)
    did(EventType.ORDER_CANCELLED, order_id="SO-4", line_id="2")
    did(EventType.RECEIPT_EXPECTED, 150, receipt_id="PO-1", eta=NOW + 2 * DAY)
    did(EventType.RECEIPT_EXPECTED, 5, receipt_id="PO-2", location="DC2", eta=NOW)
    did(EventType.RECEIPT_CANCELLED, receipt_id="PO-3")
    did(EventType.RECEIPT_EXPECTED, 20, receipt_id="ASN-1", part_of="PO-1", eta=NOW + DAY)
    did(EventType.RECEIPT_EXPECTED, 30, receipt_id="ASN-2", part_of="PO-1", eta=NOW + DAY)
    did(EventType.RECEIPT_CANCELLED, receipt_id="ASN-2")
    did(EventType.STOCK_RECEIVED, 2, receipt_id="ASN-2")
    did(EventType.STOCK_RECEIVED, 1, receipt_id="ASN-2", reversal=True)
    did(EventType.ORDER_CANCELLED, 2, order_id="SO-5", line_id="1")
    did(EventType.ORDER_PLACED, 9, order_id="SO-5", line_id="1", channel="web", location="")
    did(EventType.ORDER_CANCELLED, 3, order_id="SO-5", line_id="1")
    did(EventType.ORDER_CANCELLED, order_id="SO-5", line_id="1")
    did(EventType.ORDER_REOPENED, order_id="SO-5", line_id="1")
    did(EventType.SHIPMENT_CONFIRMED, 4, order_id="SO-5", line_id="1", lot="L1")
    did(EventType.SHIPMENT_CONFIRMED, 1, order_id="SO-5", line_id="1", lot="L1", reversal=True)
    did(EventType.LOT_DATED, lot="L1", location="", best_before=NOW // DAY + 5)
    did(EventType.LOT_DATED, lot="L2", location="")
    did(EventType.STOCK_WITHHELD, 3)
    did(EventType.STOCK_WITHHELD, 4, source="qa")
    house.item.rare.withheld["DC1"].shown = 2
    position.mark(house.item, "w", "DC1", "")
    item = house.item
    item.policy, item.overrides, item.units = b"policy", {"web": b"facts"}, "each 0"
    item.published = {"web": (5, (5, 6)), "shop": (0, None)}
    item.open_exceptions = {("oversold", "DC1", ""): NOW}
    item.unlocated_shown, item.day_shown = 3, NOW // DAY
    item.places["DC1"].shown = (1, 2, 3, 4, 5, 6, 7)
    item.places["DC1"].is_shown = item.places["DC1"].is_dirty = item.is_dirty = item.has_new_policies = True
    return house


def test_what_an_item_is_given_no_other_item_has(full: Warehouse) -> None:
    full.snapshot()
    again = full.again()
    assert again.transfers and again.receipts and again.holds and again.over and again.lines and again.unlocated
    other, names = Item("RAKE"), set(Item.__slots__) - {"code", "as_of", "day_shown", "room"}
    assert [name for name in names if getattr(other, name)] == []
    assert NOTHING == {}


# There and back


def test_everything_that_is_kept_of_an_item_comes_back(full: Warehouse) -> None:
    full.snapshot()
    assert plain(full.again()) == plain(full.item)


def test_aggregates_are_not_stored_and_follow_again_from_the_facts(full: Warehouse) -> None:
    full.snapshot()
    again = full.again()
    one, two = again.places["DC1"], again.places["DC2"]
    assert (one.hard_reserved, one.soft_allocated, one.soft_by_day) == (2, 4, {NOW // DAY: 4})
    assert (again.unlocated, again.unlocated_by_day) == ({"web": 13 + 3}, {"web": {NOW // DAY + 3: 13}})
    assert (one.expected, one.expected_by_day) == (29 + 20, {NOW // DAY + 2: 29, NOW // DAY + 1: 20})
    assert again.rare is not None
    assert again.rare.parts == {("PO-1", "DC1"): (20 + 1, 1)}
    assert (again.rare.withheld["DC1"].total, again.rare.withheld["DC1"].shown) == (7, 2)
    assert (two.in_transit, two.in_transit_by_day, two.expected) == (8, {NOW // DAY + 1: 8}, 5)
    assert again.expiring == {("SO-1", "1")}
    assert set(again.over) == {("t", "T-1", "DC1")}
    assert again.over["t", "T-1", "DC1"] is again.transfers["T-1", "DC1"]


def test_a_decoded_item_goes_on_as_the_one_it_was(full: Warehouse) -> None:
    full.snapshot()
    twin = Warehouse()
    twin.item, twin.layers, twin.events = full.again(), list(full.layers), full.events
    for house in (full, twin):
        house.did(EventType.STOCK_COUNTED, 50, NOW - HOUR // 2)
        house.did(EventType.SHIPMENT_CONFIRMED, 4, order_id="SO-1", line_id="1", lot="L1")
        house.did(EventType.ORDER_CANCELLED, order_id="SO-1", line_id="1")
        house.did(EventType.STOCK_RECEIVED, 50, receipt_id="PO-1")
        house.snapshot()
    assert plain(twin.item) == plain(full.item) == plain(twin.again())


def test_an_item_of_which_only_a_policy_is_known_comes_back() -> None:
    house = Warehouse()
    house.item.policy = b"policy"
    house.item.has_new_policies = True
    assert house.snapshot() == {"y  ": [b"policy", {}, None]}
    again = house.again()
    assert (again.policy, again.as_of, again.published) == (b"policy", -1, {})


def test_a_part_is_kept_as_long_as_its_order_is_open() -> None:
    house = Warehouse()
    house.did(EventType.RECEIPT_EXPECTED, 100, receipt_id="PO-1", eta=NOW)
    house.did(EventType.RECEIPT_EXPECTED, 40, receipt_id="ASN-1", part_of="PO-1", eta=NOW)
    house.did(EventType.STOCK_RECEIVED, 40, receipt_id="ASN-1")
    position.forget(house.item, NOW, NOW, NOW, days_in("UTC"))
    assert house.item.places["DC1"].expected == 60
    house.did(EventType.STOCK_RECEIVED, 60, receipt_id="PO-1")
    position.forget(house.item, NOW, NOW, NOW, days_in("UTC"))
    assert (house.item.receipts, house.item.places["DC1"].expected) == ({}, 0)
    assert house.item.rare is not None and house.item.rare.parts == {}


@pytest.mark.parametrize("is_circle", [False, True])
def test_a_chain_of_parts_is_forgotten_from_its_head(is_circle: bool) -> None:
    house = Warehouse()
    house.did(EventType.RECEIPT_EXPECTED, 20, receipt_id="Q", eta=NOW, part_of="A" if is_circle else "")
    house.did(EventType.RECEIPT_EXPECTED, 10, receipt_id="P", part_of="Q", eta=NOW)
    house.did(EventType.RECEIPT_EXPECTED, 10, receipt_id="A", part_of="P", eta=NOW)
    house.did(EventType.STOCK_RECEIVED, 10, receipt_id="A")
    expected = house.item.places["DC1"].expected
    position.forget(house.item, NOW, NOW, NOW, days_in("UTC"))
    assert house.item.places["DC1"].expected == expected
    house.did(EventType.STOCK_RECEIVED, 20, receipt_id="Q")
    position.forget(house.item, NOW, NOW, NOW, days_in("UTC"))
    assert (house.item.receipts, house.item.places["DC1"].expected) == ({}, 0)


def test_a_line_cancelled_under_format_2_is_reopened_by_what_is_newer_than_all_it_was_told() -> None:
    house = Warehouse()
    house.did(EventType.ORDER_PLACED, 4, NOW - HOUR, order_id="SO-1", line_id="1", channel="web")
    house.did(EventType.ORDER_CANCELLED, 0, NOW - HOUR // 2, order_id="SO-1", line_id="1")
    key = ledger.SEPARATOR.join(("l", "SO-1", "1"))
    records = msgspec.msgpack.decode(ledger.records_of(house.item))
    records[key] = records[key][:11]
    house.layers = [msgspec.Raw(msgspec.msgpack.encode(records))]
    for at, is_cancelled in ((NOW - HOUR * 3 // 4, True), (NOW, False)):
        again = Warehouse()
        again.item = house.again()
        again.did(EventType.ORDER_REOPENED, 0, at, order_id="SO-1", line_id="1")
        assert again.item.lines["SO-1", "1"].cancelled is is_cancelled
        assert again.item.places["DC1"].soft_allocated == (0 if is_cancelled else 4)


# What a layer costs


def test_a_layer_holds_what_changed_and_nothing_else(full: Warehouse) -> None:
    full.snapshot()
    assert full.snapshot() == {}
    full.did(EventType.ORDER_CANCELLED, order_id="SO-3", line_id="1")
    assert set(full.snapshot()) == {"i  ", "l SO-3 1"}
    full.did(EventType.LOT_HELD, lot="L1")
    assert set(full.snapshot()) == {"i  ", "h L1 DC1", "g L1 DC1"}
    full.did(EventType.TRANSFER_CLOSED, transfer_id="T-2", location="DC2")
    assert set(full.snapshot()) == {"i  ", "t T-2 DC2"}
    full.did(EventType.RECEIPT_CANCELLED, receipt_id="PO-2", location="DC2")
    assert set(full.snapshot()) == {"i  ", "r PO-2 DC2"}
    full.did(EventType.STOCK_COUNTED, 5, lot="L9", location="DC2")
    assert set(full.snapshot()) == {"i  ", "c DC2 L9", "b DC2 L9"}
    assert plain(full.again()) == plain(full.item)


def test_of_a_journal_a_layer_holds_only_what_was_added() -> None:
    house = Warehouse()
    house.did(EventType.STOCK_RECEIVED, 5, NOW - 3 * HOUR)
    house.did(EventType.STOCK_RECEIVED, 6, NOW - 2 * HOUR, status="quarantined")
    assert house.snapshot()["m DC1 "] == [0, pairs((-3, 5), (-2, 6)), 0, pairs((-2, 6))]
    house.did(EventType.STOCK_ADJUSTED, -1, NOW - HOUR)
    assert house.snapshot()["m DC1 "] == [4, pairs((-1, -1)), 2, b""]
    house.did(EventType.STOCK_STATUS_CHANGED, 2, status="available")
    assert house.snapshot()["m DC1 "] == [4 + 2, b"", 2, pairs((0, -2))]
    house.did(EventType.STOCK_RECEIVED, 5, NOW - 3 * DAY)
    assert "m DC1 " not in house.snapshot(), "what is older than any count may be is in on_hand alone"
    assert plain(house.again()) == plain(house.item)


def test_a_journal_that_lost_its_beginning_is_written_anew() -> None:
    house = Warehouse()
    for hour in (3, 2, 1):
        house.did(EventType.STOCK_RECEIVED, hour, NOW - hour * HOUR, status="quarantined")
    house.snapshot()
    house.did(EventType.STOCK_COUNTED, 0, NOW - 2 * HOUR)
    assert house.snapshot()["m DC1 "] == [0, pairs((-1, 1)), 6, b""]
    assert plain(house.again()) == plain(house.item)
    position.forget(house.item, NOW - HOUR, 0, 0, days_in("UTC"))
    assert house.snapshot()["m DC1 "] == [0, b"", 0, b""]
    assert plain(house.again()) == plain(house.item)
    again = house.again().places["DC1"]
    assert (again.on_hand, again.quarantined, again.moves, again.quarantine_moves) == (1, 6, None, None)


def test_what_was_forgotten_does_not_come_back(full: Warehouse) -> None:
    full.did(EventType.PICK_CONFIRMED, 8, order_id="SO-2", line_id="1")
    full.did(EventType.TRANSFER_CLOSED, transfer_id="T-2", location="DC2")
    full.did(EventType.STOCK_RECEIVED, 50, receipt_id="PO-1")
    full.snapshot()
    position.forget(full.item, NOW, NOW, NOW, days_in("UTC"))
    records = full.snapshot()
    gone = {key for key, value in records.items() if value is None}
    forgotten = {"l SO-2 1", "l SO-4 2", "t T-2 DC2", "t T-3 DC1", "r PO-1 DC1", "r PO-3 DC1", "r ASN-2 DC1"}
    assert gone == forgotten | {"b DC1 ", "b DC1 L1"}
    again = full.again()
    assert set(again.lines) == {("SO-1", "1"), ("SO-3", "1"), ("SO-5", "1")}
    assert set(again.transfers) == {("T-1", "DC1")}
    assert set(again.receipts) == {("PO-2", "DC2"), ("ASN-1", "DC1")}
    assert plain(again) == plain(full.item)


def test_the_record_of_what_is_not_there_is_none() -> None:
    item = Item("SERUM")
    for key in ("c DC1 ", "c DC1 L1", "l SO-1 1", "t T-1 DC1", "r PO-1 DC1", "h L1 "):
        kind, one, other = key.split(" ")
        position.mark(item, kind, one, other)
    assert set(msgspec.msgpack.decode(ledger.records_of(item)).values()) == {None}
    position.place_of(item, "DC1")
    position.mark(item, "c", "DC1", "L1")
    assert set(msgspec.msgpack.decode(ledger.records_of(item)).values()) == {None}


# Journals put together


def pairs(*entries: tuple[int, int]) -> bytes:
    """Journal entries: (hours from now, change)."""
    return array("q", [number for hour, change in entries for number in (NOW + hour * HOUR, change)]).tobytes()


A, B, C = pairs((1, 1)), pairs((2, 2)), pairs((3, 3))


@pytest.mark.parametrize(
    ("older", "newer", "both"),
    [
        (None, (0, A, 2, b""), (0, A, 2, b"")),
        ((0, A, 0, B), (2, B, 2, C), (0, A + B, 0, B + C)),
        ((0, A, 0, B), (2, b"", 2, b""), (0, A, 0, B)),
        ((0, A + B, 0, A), (2, C, 0, b""), (0, A + C, 0, b"")),
        ((0, A + B, 0, A), (0, C, 0, C), (0, C, 0, C)),
        ((4, A, 4, A), (2, C, 4, C), (2, C, 4, C)),
        ((4, A, 2, A), (6, C, 4, C), (4, A + C, 2, A + C)),
    ],
)
def test_two_journal_records_in_a_row_say_what_one_can(older: Any, newer: Any, both: Any) -> None:
    assert join_journals(older, newer) == both


def test_journal_records_may_be_put_together_in_any_grouping() -> None:
    first, second, third = (0, A + B, 0, b""), (2, C, 0, A), (4, A, 2, B)
    left = join_journals(join_journals(first, second), third)
    assert left == join_journals(first, join_journals(second, third)) == (0, A + C + A, 0, A + B)


def test_a_journal_without_its_older_layers_is_not_guessed() -> None:
    house = Warehouse()
    house.did(EventType.STOCK_RECEIVED, 5)
    house.snapshot()
    house.did(EventType.STOCK_RECEIVED, 6)
    house.snapshot()
    del house.layers[0]
    with pytest.raises(AssertionError, match="older layers are missing"):
        house.again()


# The stored format


def test_these_records_are_format_4_and_were_format_1s() -> None:
    """State on disk must stay readable: whoever changes a shape raises FORMAT, and this test with it."""
    house = Warehouse()
    house.did(EventType.STOCK_COUNTED, 9, 5, lot="L1", counted_quarantined=2)
    house.did(EventType.ORDER_PLACED, 4, 6, order_id="SO-1", line_id="1", channel="web", expires_at=NOW + 1)
    house.did(EventType.PICK_CONFIRMED, 1, 7, order_id="SO-1", line_id="1")
    house.did(EventType.TRANSFER_SHIPPED, 3, 8, to_location="DC2", transfer_id="T-1", eta=9)
    house.did(EventType.RECEIPT_EXPECTED, 6, 9, receipt_id="PO-1", eta=10)
    house.did(EventType.LOT_HELD, 0, 10, lot="L1", location="")
    house.item.policy, house.item.units, house.item.overrides = b"p", "each 0", {"web": b"o"}
    house.item.published = {"web": (5, (5, 6))}
    house.item.open_exceptions = {("oversold", "DC1", ""): 11}
    house.item.has_new_policies = True
    assert FORMAT == 4
    assert house.snapshot() == {
        "c DC1 L1": [9, 2, [5, "e01", "wms"], [5, "e01", "wms"], None],
        "c DC1 ": [-4, 0, None, None, [0] * 7],
        "c DC2 ": [0, 0, None, None, [0] * 7],
        "l SO-1 1": [
            4,
            [6, "e02", "wms"],
            "DC1",
            "web",
            NOW + 1,
            None,
            False,
            False,
            7,
            {"DC1": ["first", 0, 0, 1, 0, [[7, "e03\x1fwms", "", 1]], [], 0]},
            [3, "DC1", "web", None],
        ],
        "t T-1 DC2": [3, 0, False, 9, [8, "e04", "wms"], 8],
        "r PO-1 DC1": [6, 0, False, 10, [9, "e05", "wms"], 9, "", None],
        "h L1 ": [[10, "e06", "wms"], True],
        "i  ": [10, {"web": [5, [5, 6]]}, [["oversold", "DC1", "", 11]], 0, -1],
        "y  ": [b"p", {"web": b"o"}, "each 0"],
    }
