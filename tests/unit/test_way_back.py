"""Decides whether a shard promises what it may after goods, orders and words came back (contract sections 4 to 7)."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest

from operators.evaluate import Policies
from operators.reference import packed, unpack_topology
from operators.rules.days import days_in
from operators.rules.policy import ItemFacts, OverrideFacts
from operators.rules.topology import ChannelFacts
from schemas.messages import ExceptionNote, Outcome, Republish, UnitBatch
from schemas.state import Item
from schemas.units import EventType
from tests.floor import DAY, HOUR, NOON, Floor, knows, lists, order, topology, unit

TODAY = NOON // DAY
LINE: dict[str, Any] = {"order_id": "SO-1", "line_id": "1", "status": ""}


@pytest.fixture
def floor() -> Floor:
    """A floor without patience for reference data, that knows the shovel."""
    return stocked()


def stocked(stock: int = 0, **config: Any) -> Floor:
    floor = Floor(reference_grace=0, **config)
    floor.takes(topology(), knows())
    if stock:
        floor.hears(unit(quantity=stock, at=NOON - HOUR))
    return floor


def figure(floor: Floor, name: str) -> int | None:
    """The figure of the shovel that was said last."""
    for update in reversed(floor.sent):
        if name in update.fields:
            return update.fields[name]
    return None


def raised(*outcomes: Outcome) -> list[tuple[str, str, str, bool]]:
    notes: list[ExceptionNote] = [note for outcome in outcomes for note in outcome.exceptions]
    return [(note.code, note.location, note.reference, note.is_open) for note in notes]


# Reversals


@pytest.mark.parametrize("is_first", [True, False])
def test_a_receipt_booked_twice_is_taken_back_also_before_it_came(floor: Floor, is_first: bool) -> None:
    back = unit(quantity=4, reversal=True, receipt_id="PO-1")
    expected = unit(EventType.RECEIPT_EXPECTED, 10, receipt_id="PO-1", eta=NOON + DAY)
    units = [unit(quantity=4, receipt_id="PO-1", event_id=f"r{n}") for n in (1, 2)]
    floor.hears(expected, *([back, *units] if is_first else [*units, back]))
    assert (floor.atp, figure(floor, "DC1:on_hand"), figure(floor, "DC1:expected")) == (4, 4, 6)


def test_a_reversed_quarantined_receipt_is_off_both_figures(floor: Floor) -> None:
    floor.hears(unit(quantity=5, status="quarantined"), unit(quantity=2, status="quarantined", reversal=True))
    assert (figure(floor, "DC1:on_hand"), figure(floor, "DC1:quarantined"), floor.atp) == (3, 3, 0)


def test_a_transfer_that_never_left_is_taken_back_at_both_ends(floor: Floor) -> None:
    sent: dict[str, Any] = {"transfer_id": "T-1", "to_location": "DC2"}
    floor.hears(unit(quantity=10), unit(EventType.TRANSFER_SHIPPED, 6, eta=NOON + DAY, **sent))
    assert (figure(floor, "DC1:on_hand"), figure(floor, "DC2:in_transit")) == (4, 6)
    floor.hears(unit(EventType.TRANSFER_SHIPPED, 6, reversal=True, **sent))
    assert (figure(floor, "DC1:on_hand"), figure(floor, "DC2:in_transit")) == (10, 0)


def test_a_reversed_allocation_and_a_reversed_release_count_the_other_way(floor: Floor) -> None:
    floor.hears(unit(quantity=10), order(quantity=8), order(EventType.ORDER_ALLOCATED, 8))
    floor.hears(order(EventType.ORDER_ALLOCATED, 3, reversal=True))
    assert figure(floor, "DC1:hard_reserved") == 5
    floor.hears(order(EventType.ORDER_RELEASED, 2))
    assert figure(floor, "DC1:hard_reserved") == 3
    floor.hears(order(EventType.ORDER_RELEASED, 2, reversal=True))
    assert (figure(floor, "DC1:hard_reserved"), floor.atp) == (5, 2)


def test_a_reversal_is_other_content_than_what_it_takes_back(floor: Floor) -> None:
    floor.hears(unit(quantity=4, event_id="e"))
    assert floor.codes(unit(quantity=4, event_id="e", reversal=True)) == ["conflict"]


def test_an_unpick_before_a_count_is_inside_the_count(floor: Floor) -> None:
    picked = unit(EventType.PICK_CONFIRMED, 4, at=NOON - 3 * HOUR, **LINE)
    back = unit(EventType.PICK_CONFIRMED, 4, at=NOON - HOUR, reversal=True, **LINE)
    count = unit(EventType.STOCK_COUNTED, 10, at=NOON - 2 * HOUR)
    for units in ([picked, back, count], [count, back, picked], [back, count, picked]):
        again = stocked()
        again.hears(*units)
        assert figure(again, "DC1:on_hand") == 14, "the goods came back after they were counted"
    assert floor.numbers == {"SHOVEL web": 0}


# Lines that shrink, end and come back


def test_a_partial_cancellation_frees_its_units_and_a_revision_says_all_anew(floor: Floor) -> None:
    floor.hears(unit(quantity=10), order(quantity=8, at=NOON - 3))
    floor.hears(order(EventType.ORDER_CANCELLED, 3, at=NOON - 2))
    assert floor.atp == 5
    floor.hears(order(quantity=7, at=NOON - 1))
    assert floor.atp == 3


def test_a_cancelled_line_that_is_reopened_claims_again(floor: Floor) -> None:
    floor.hears(unit(quantity=10), order(quantity=8, at=NOON - 3))
    floor.hears(order(EventType.ORDER_CANCELLED, None, at=NOON - 2))
    assert floor.atp == 10
    floor.hears(order(EventType.ORDER_REOPENED, None, at=NOON - 1))
    assert floor.atp == 2


def test_a_late_paid_does_not_revive_a_refunded_order_and_is_told(floor: Floor) -> None:
    floor.hears(unit(quantity=10), order(quantity=8, at=NOON - 4))
    floor.hears(order(EventType.ORDER_CANCELLED, None, at=NOON - 3))
    outcome = floor.hears(order(quantity=8, at=NOON - 2))
    assert floor.atp == 10
    assert raised(outcome) == [("demand_after_cancellation", "", "SO-1 1", True)]
    assert outcome.exceptions[0].quantities == {"demand": 8}
    outcome = floor.hears(order(EventType.ORDER_REOPENED, None, at=NOON - 1))
    assert (floor.atp, raised(outcome)) == (2, [("demand_after_cancellation", "", "SO-1 1", False)])


def test_a_reservation_left_behind_when_the_order_shrank_is_free_and_told(floor: Floor) -> None:
    floor.hears(unit(quantity=10), order(quantity=8, at=NOON - 4), order(EventType.ORDER_ALLOCATED, 8))
    outcome = floor.hears(order(quantity=5, at=NOON - 3))
    assert (floor.atp, figure(floor, "DC1:hard_reserved")) == (5, 5)
    assert raised(outcome) == [("claims_above_demand", "", "SO-1 1", True)]
    assert outcome.exceptions[0].quantities == {"wanted": 5, "claimed": 8, "delivered": 0}
    outcome = floor.hears(order(EventType.ORDER_RELEASED, 3))
    assert raised(outcome) == [("claims_above_demand", "", "SO-1 1", False)]


def test_a_line_cancelled_in_a_thousand_parts_costs_what_changed() -> None:
    floor = stocked(5_000)
    floor.hears(order(quantity=2_000, at=NOON - 2_000))
    for number in range(1_000):
        floor.hears(order(EventType.ORDER_CANCELLED, 1, at=NOON - number))
        if number % 100 == 0:
            floor.hears(order(EventType.ORDER_CANCELLED, None, at=NOON + 2 * number))
            floor.hears(order(EventType.ORDER_REOPENED, None, at=NOON + 2 * number + 1))
    assert floor.atp == 5_000 - 1_000


# Withheld


def test_what_sources_withhold_adds_up_and_the_newest_word_of_each_stands(floor: Floor) -> None:
    withheld = EventType.STOCK_WITHHELD
    floor.hears(unit(quantity=10), unit(withheld, 3, at=NOON - 2), unit(withheld, 2, source="qa", at=NOON - 2))
    assert (floor.atp, figure(floor, "DC1:withheld"), figure(floor, "DC1:available")) == (5, 5, 5)
    floor.hears(unit(withheld, 9, at=NOON - 3))
    assert floor.atp == 5
    floor.hears(unit(withheld, 0, at=NOON - 1))
    assert (floor.atp, figure(floor, "DC1:withheld"), figure(floor, "DC1:on_hand")) == (8, 2, 10)


def test_what_is_withheld_stays_so_through_a_crash_and_is_not_said_again(floor: Floor) -> None:
    floor.hears(unit(quantity=10), unit(EventType.STOCK_WITHHELD, 3))
    floor.crashes()
    outcome = floor.hears(unit(quantity=1))
    (update,) = outcome.updates
    assert (floor.atp, update.fields) == (8, {"DC1:on_hand": 11, "DC1:available": 8})
    assert '"withheld":3' in str(update.places)


def test_what_is_withheld_is_off_each_days_promise() -> None:
    floor = Floor(reference_grace=0)
    floor.takes(topology(web=ChannelFacts(("DC1",), horizon_days=2)), knows())
    floor.hears(unit(quantity=10), unit(EventType.STOCK_WITHHELD, 4))
    assert floor.sent[-1].channels[0].by_day == (6, 6)


# Lots past their day


def dated(days: int | None, **fields: Any) -> Any:
    last = None if days is None else TODAY + days
    return unit(EventType.LOT_DATED, None, location="", lot="L1", best_before=last, **fields)


@pytest.mark.parametrize(("days", "atp"), [(-1, 3), (0, 8), (1, 8), (None, 8)])
def test_a_lot_is_sold_up_to_its_day(floor: Floor, days: int | None, atp: int) -> None:
    floor.hears(unit(quantity=5, lot="L1"), unit(quantity=3), dated(days))
    assert (floor.atp, figure(floor, "DC1:available")) == (atp, atp)
    assert not figure(floor, "DC1:quarantined")


def test_the_newest_word_on_a_lots_date_stands(floor: Floor) -> None:
    floor.hears(unit(quantity=5, lot="L1"), dated(-1, at=NOON - 1))
    assert floor.atp == 0
    floor.hears(dated(None, at=NOON - 2))
    assert floor.atp == 0
    floor.hears(dated(None, at=NOON))
    assert floor.atp == 5


def test_a_channel_that_wants_days_left_sells_less(floor: Floor) -> None:
    floor.takes(topology(web=ChannelFacts(("DC1",)), picky=ChannelFacts(("DC1",), min_days_left=3)))
    floor.hears(unit(quantity=5, lot="L1"), unit(quantity=3), dated(2))
    assert floor.numbers == {"SHOVEL web": 8, "SHOVEL picky": 3}
    assert figure(floor, "DC1:available") == 8


def test_a_held_lot_counts_once(floor: Floor) -> None:
    floor.hears(unit(quantity=5, lot="L1"), unit(quantity=3), dated(-1), unit(EventType.LOT_HELD, None, lot="L1"))
    assert (floor.atp, figure(floor, "DC1:quarantined")) == (3, 5)


def test_when_the_day_turns_a_lot_leaves_without_a_word_also_after_a_crash(floor: Floor) -> None:
    floor.hears(unit(quantity=5, lot="L1"), unit(quantity=3), dated(0))
    floor.crashes()
    floor.waits((TODAY + 1) * DAY - 1)
    assert floor.atp == 8
    floor.waits((TODAY + 1) * DAY + HOUR)
    assert floor.atp == 3
    assert floor.sent[-1].channels[0].cause == "day_turn"


def test_each_day_is_promised_with_the_lots_that_are_past_their_day_then() -> None:
    floor = Floor(reference_grace=0)
    floor.takes(topology(web=ChannelFacts(("DC1",), horizon_days=4)), knows())
    floor.hears(unit(quantity=5, lot="L1"), unit(quantity=3), dated(1))
    assert floor.sent[-1].channels[0].by_day == (8, 8, 3, 3)
    # What expires is given away first: a claim for the last day takes from what is left then, and from today what has
    # to be kept for it.
    floor.hears(order(quantity=2, location="", requested_at=NOON + 3 * DAY))
    assert floor.sent[-1].channels[0].by_day == (6, 6, 1, 1)


def test_lots_leave_one_after_the_other_beside_what_is_withheld() -> None:
    floor = Floor(reference_grace=0)
    floor.takes(topology(web=ChannelFacts(("DC1",), horizon_days=6)), knows())
    for lot, quantity, days in (("L1", 1, 0), ("L2", 2, 1), ("L3", 4, 2), ("L4", 8, 4)):
        last = unit(EventType.LOT_DATED, None, location="", lot=lot, best_before=TODAY + days)
        floor.hears(unit(quantity=quantity, lot=lot), last)
    floor.hears(unit(quantity=20))
    assert floor.sent[-1].channels[0].by_day == (35, 34, 32, 28, 28, 20)
    floor.hears(unit(EventType.STOCK_WITHHELD, 5), unit(EventType.STOCK_WITHHELD, 50, location="DC2"))
    assert floor.sent[-1].channels[0].by_day == (30, 29, 27, 23, 23, 15)


def test_a_breakdown_shows_what_is_left_of_a_dated_lot_by_day() -> None:
    floor = Floor(reference_grace=0, breakdown=True)
    floor.takes(topology(web=ChannelFacts(("DC1",), horizon_days=3)), knows())
    floor.hears(unit(quantity=5, lot="L1"), unit(quantity=3), dated(0))
    steps = json.loads(floor.sent[-1].channels[0].breakdown or b"")
    assert (steps["available"], steps["open"]) == ({"DC1": [8, 3, 3]}, [8, 3, 3])


# Parts of an order


def test_a_shipment_notice_and_its_order_are_expected_once(floor: Floor) -> None:
    order_of_goods = unit(EventType.RECEIPT_EXPECTED, 10, receipt_id="PO-1", eta=NOON)
    notice = unit(EventType.RECEIPT_EXPECTED, 6, receipt_id="ASN-1", part_of="PO-1", eta=NOON)
    for units in ([order_of_goods, notice], [notice, order_of_goods]):
        again = stocked()
        again.hears(*units)
        assert figure(again, "DC1:expected") == 10
        again.hears(unit(quantity=6, receipt_id="ASN-1"))
        assert figure(again, "DC1:expected") == 4
        again.crashes()
        again.hears(unit(quantity=1, receipt_id="PO-1"))
        assert figure(again, "DC1:expected") == 3
    assert floor.numbers == {"SHOVEL web": 0}


def test_more_received_than_ordered_over_all_parts_is_told_and_a_reversal_ends_it(floor: Floor) -> None:
    floor.hears(
        unit(EventType.RECEIPT_EXPECTED, 10, receipt_id="PO-1", eta=NOON),
        unit(EventType.RECEIPT_EXPECTED, 6, receipt_id="ASN-1", part_of="PO-1", eta=NOON),
        unit(quantity=6, receipt_id="ASN-1"),
    )
    outcome = floor.hears(unit(quantity=5, receipt_id="PO-1"))
    assert raised(outcome) == [("over_received", "DC1", "PO-1", True)]
    assert outcome.exceptions[0].quantities == {"expected": 10, "received": 5, "received_of_parts": 6}
    outcome = floor.hears(unit(quantity=1, receipt_id="ASN-1", reversal=True))
    assert raised(outcome) == [("over_received", "DC1", "PO-1", False)]


# Doubts


def test_claims_with_no_location_above_what_all_locations_have_left_are_told(floor: Floor) -> None:
    floor.hears(unit(quantity=4), unit(quantity=3, location="DC2"))
    outcome = floor.hears(order(quantity=8, location=""))
    assert raised(outcome) == [("oversold", "*", "", True)]
    (note,) = outcome.exceptions
    assert note.quantities == {"soft_allocated": 8, "available": 7}
    assert raised(floor.hears(unit(quantity=1))) == [("oversold", "*", "", False)]


def test_a_location_that_no_channel_sells_from_does_not_serve_them(floor: Floor) -> None:
    floor.takes(topology(web=ChannelFacts(("DC1",))))
    outcome = floor.hears(unit(quantity=9, location="DC2"), order(quantity=1, location=""))
    assert raised(outcome) == [("oversold", "*", "", True)]


def test_a_lot_of_which_more_went_than_was_there_is_told(floor: Floor) -> None:
    outcome = floor.hears(unit(quantity=5), unit(EventType.STOCK_ADJUSTED, -2, lot="L1"))
    assert raised(outcome) == [("lot_below_zero", "DC1", "L1", True)]
    assert outcome.exceptions[0].quantities == {"on_hand": -2}
    assert raised(floor.hears(unit(quantity=2, lot="L1"))) == [("lot_below_zero", "DC1", "L1", False)]


# Rounding, listing


def test_what_is_not_exact_is_rounded_to_the_safe_side_and_counted(floor: Floor) -> None:
    floor.takes(knows(facts=packed(ItemFacts(conversions=(("third", Fraction(1, 3)),), rounding="safe"))))
    outcome = floor.hears(unit(quantity=10, uom="third"))
    assert (floor.atp, outcome.refusals) == (3, [])
    assert outcome.counts["rounded", "stock_received", "wms"] == 1
    floor.hears(order(quantity=1, uom="third"))
    assert floor.atp == 2
    assert floor.codes(unit(quantity=2**55, uom="third")) == ["bad_value"]


def test_a_transfer_leaves_with_more_than_it_brings_and_a_reversal_undoes_both(floor: Floor) -> None:
    floor.takes(knows(facts=packed(ItemFacts(conversions=(("third", Fraction(1, 3)),), rounding="safe"))))
    sent: dict[str, Any] = {"transfer_id": "T-1", "to_location": "DC2", "uom": "third"}
    floor.hears(unit(quantity=10), unit(EventType.TRANSFER_SHIPPED, 4, **sent))
    assert (figure(floor, "DC1:on_hand"), figure(floor, "DC2:in_transit")) == (8, 1)
    floor.hears(unit(EventType.TRANSFER_SHIPPED, 4, reversal=True, **sent))
    assert (figure(floor, "DC1:on_hand"), figure(floor, "DC2:in_transit")) == (10, 0)


def test_an_explicit_channel_lists_what_it_is_told_to() -> None:
    floor = Floor(reference_grace=0)
    floor.takes(topology(web=ChannelFacts(("DC1",), listing="explicit")), knows())
    floor.hears(unit(quantity=4))
    assert floor.numbers == {}
    assert not floor.sent[-1].channels
    floor.takes(lists("SHOVEL", cap=Fraction(3)))
    assert not floor.sent[-1].channels
    floor.takes(knows("SHOVEL", packed(OverrideFacts(listed=True, cap=Fraction(3))), "web"))
    assert floor.atp == 3


# Days


def test_days_are_those_of_the_time_zone() -> None:
    floor = Floor(reference_grace=0, time_zone="America/New_York")
    floor.takes(topology(web=ChannelFacts(("DC1",), horizon_days=2)), knows())
    floor.now = TODAY * DAY + 3 * HOUR  # of the day before, there
    floor.hears(unit(quantity=5, at=floor.now), order(quantity=2, at=floor.now, requested_at=TODAY * DAY + 5 * HOUR))
    update = floor.sent[-1]
    assert (update.day0, update.channels[0].by_day) == (TODAY - 1, (3, 3))
    assert floor.shard.items["SHOVEL"].places["DC1"].soft_by_day == {TODAY: 2}  # type: ignore[union-attr]


def test_in_another_time_zone_everything_is_looked_at_again() -> None:
    floor = stocked(5)
    state = floor.shard.snapshot()
    other = Floor(reference_grace=0, time_zone="Asia/Tokyo")
    other.segments = floor.segments
    other.open(state)
    other.takes(topology())
    assert other.shard.is_sweeping
    again = Floor(reference_grace=0)
    again.segments = floor.segments
    again.open(state)
    again.takes(topology())
    assert not again.shard.is_sweeping


def test_policies_of_two_time_zones_are_told_apart() -> None:
    facts = unpack_topology(topology().tables)
    assert len({Policies(facts, days_in(zone)).version for zone in ("UTC", "Asia/Tokyo", "Europe/Berlin")}) == 3


# Whose is it


def claims(floor: Floor) -> dict[str, Any]:
    """What a reader has of the claims on the shovel."""
    held: dict[str, str] = {}
    for update in floor.sent:
        if update.claims is None:
            continue
        if update.has_all_claims:
            held = {}
        for line, text in update.claims.items():
            if text is None:
                held.pop(line, None)
            else:
                held[line] = text
    return {line: json.loads(text) for line, text in held.items()}


def test_each_line_says_what_it_claims_until_it_claims_nothing() -> None:
    floor = stocked(20, has_claims=True)
    floor.hears(order(quantity=5, location="", expires_at=NOON + HOUR, requested_at=NOON + DAY))
    floor.hears(order(EventType.ORDER_ALLOCATED, 2))
    floor.hears(order(quantity=1, order_id="SO-2", location="DC2"))
    assert claims(floor) == {
        "SO-1 1": {
            "soft": 3,
            "hard": {"DC1": 2},
            "channel": "web",
            "since": "2024-10-04T12:00:00.000000Z",
            "requested_day": "2024-10-05",
            "expires_at": "2024-10-04T13:00:00.000000Z",
        },
        "SO-2 1": {
            "soft": 1,
            "hard": {},
            "location": "DC2",
            "channel": "web",
            "since": "2024-10-04T12:00:00.000000Z",
        },
    }
    floor.waits(NOON + 2 * HOUR)
    assert claims(floor)["SO-1 1"]["soft"] == 0
    floor.hears(order(EventType.SHIPMENT_CONFIRMED, 2, channel=""))
    floor.hears(order(EventType.ORDER_CANCELLED, None, order_id="SO-2"))
    assert claims(floor) == {}


def orders(floor: Floor) -> dict[str, Any]:
    """What a reader has of orders, by order, line and item."""
    held: dict[str, str] = {}
    for update in floor.sent:
        for line, text in (update.claims or {}).items():
            order_said = (text or "").partition("\n")[2]
            if order_said:
                held[f"{line} {update.item}"] = order_said
            else:
                held.pop(f"{line} {update.item}", None)
    return {line: json.loads(text) for line, text in held.items()}


def test_each_line_says_how_it_stands_until_it_is_forgotten() -> None:
    floor = stocked(20, has_claims=True, has_orders=True, run=7)
    floor.hears(order(quantity=5, location="", event_id="placed-1"))
    floor.hears(order(EventType.ORDER_ALLOCATED, 2))
    said = orders(floor)["SO-1 1 SHOVEL"]
    assert {**said, "placed": said["placed"]["event_id"], "last_at": ""} == {
        "run": 7,
        "state": "open",
        "last_at": "",
        "ordered": 5,
        "placed": "placed-1",
        "allocated": {"DC1": 2},
    }
    floor.hears(order(EventType.SHIPMENT_CONFIRMED, 5, channel=""))
    said = orders(floor)["SO-1 1 SHOVEL"]
    assert (said["state"], said["delivered"]) == ("delivered", {"DC1": 5})
    floor.hears(order(quantity=1, order_id="SO-2"), order(EventType.ORDER_CANCELLED, None, order_id="SO-2"))
    assert orders(floor)["SO-2 1 SHOVEL"]["state"] == "cancelled"
    floor.hears(order(EventType.ORDER_ALLOCATED, 1, order_id="SO-3"))
    assert orders(floor)["SO-3 1 SHOVEL"]["state"] == "unplaced"


@pytest.mark.parametrize("is_cold", [False, True])
def test_a_finished_line_leaves_its_order_when_it_is_forgotten_also_of_an_item_that_nothing_touched_since_a_start(
    is_cold: bool,
) -> None:
    floor = stocked(20, has_claims=True, has_orders=True, run=7)
    floor.takes(knows("ROPE"))
    floor.hears(order(quantity=5), order(EventType.SHIPMENT_CONFIRMED, 5, channel=""))
    floor.hears(order(quantity=1, order_id="SO-2"), order(quantity=1, order_id="SO-3", item="ROPE"))
    if is_cold:
        floor.crashes()
    floor.slowest = NOON + 8 * DAY
    floor.waits(NOON + HOUR)
    assert set(orders(floor)) == {"SO-2 1 SHOVEL", "SO-3 1 ROPE"}
    assert isinstance(floor.shard.items["ROPE"], list) == is_cold, "of which nothing was to be forgotten"


def test_with_its_tombstone_an_items_lines_leave_their_orders() -> None:
    floor = stocked(20, has_claims=True, has_orders=True, run=7)
    floor.hears(order(quantity=5))
    assert orders(floor)
    floor.takes(knows(facts=None))
    assert not orders(floor)
    floor.takes(knows())
    assert set(orders(floor)) == {"SO-1 1 SHOVEL"}


def test_a_line_that_never_claimed_anything_is_not_spoken_of() -> None:
    floor = stocked(5, has_claims=True)
    outcome = floor.hears(order(EventType.ORDER_CANCELLED, None))
    assert outcome.updates == []


def test_claims_that_were_never_published_are_told_when_they_are_to_be() -> None:
    floor = stocked(20)
    floor.hears(order(quantity=5))
    assert claims(floor) == {}
    told = Floor(reference_grace=0, has_claims=True)
    told.segments = floor.segments
    told.open(floor.shard.snapshot())
    told.takes(topology())
    told.waits(NOON + HOUR)
    assert set(claims(told)) == {"SO-1 1"}
    again = Floor(reference_grace=0, has_claims=True)
    again.segments = floor.segments
    again.open(told.shard.snapshot())
    again.takes(topology())
    assert not again.shard.is_sweeping
    elsewhere = Floor(reference_grace=0, has_claims=True, time_zone="Asia/Tokyo")
    elsewhere.segments = floor.segments
    elsewhere.open(told.shard.snapshot())
    elsewhere.takes(topology())
    elsewhere.waits(NOON + 2 * HOUR)
    assert set(claims(elsewhere)) == {"SO-1 1"}, "a claim names its day"


def test_with_its_tombstone_an_items_claims_leave_whole() -> None:
    floor = stocked(20, has_claims=True)
    floor.hears(order(quantity=5))
    (update,) = floor.takes(knows(facts=None)).updates
    assert (update.is_gone, update.has_all_claims, update.claims) == (True, True, {})


def test_claims_of_an_item_that_comes_back_are_said_again() -> None:
    floor = stocked(20, has_claims=True)
    floor.hears(order(quantity=5))
    floor.takes(knows(facts=None))
    assert claims(floor) == {}
    floor.takes(knows())
    assert set(claims(floor)) == {"SO-1 1"}


def test_a_claim_that_ends_while_one_channel_is_said_again_goes_too() -> None:
    floor = stocked(20, has_claims=True)
    floor.hears(order(quantity=5), order(quantity=2, order_id="SO-2", expires_at=NOON + HOUR))
    ended = order(EventType.ORDER_CANCELLED, None)
    floor.takes(Republish("SHOVEL", "web"), UnitBatch("inventory.orders/0", 99, [ended]))
    assert set(claims(floor)) == {"SO-2 1"}
    floor.takes(Republish(channel="web"))
    floor.waits(NOON + 2 * HOUR)
    assert claims(floor) == {}


def test_switched_off_and_on_again_what_was_claimed_before_goes() -> None:
    floor = stocked(20, has_claims=True)
    floor.hears(order(quantity=5), order(quantity=2, order_id="SO-2"))
    silent = Floor(reference_grace=0)
    silent.segments, silent.sent = floor.segments, floor.sent
    silent.open(floor.shard.snapshot())
    silent.takes(topology())
    silent.hears(order(EventType.ORDER_CANCELLED, None))
    assert set(claims(silent)) == {"SO-1 1", "SO-2 1"}
    again = Floor(reference_grace=0, has_claims=True)
    again.segments, again.sent = floor.segments, floor.sent
    again.open(silent.shard.snapshot())
    again.takes(topology())
    again.waits(NOON + HOUR)
    assert set(claims(again)) == {"SO-2 1"}


def test_where_claims_are_not_published_nothing_of_them_is_kept() -> None:
    floor = stocked(20)
    floor.hears(order(quantity=2, expires_at=NOON + HOUR))
    floor.waits(NOON + 2 * HOUR)
    item = floor.shard.items["SHOVEL"]
    assert isinstance(item, Item) and (item.claims_changed, item.owes_claims) == (None, False)


def test_in_a_replay_all_claims_are_said_once_and_then_what_changes() -> None:
    floor = stocked(20, has_claims=True)
    for number in range(20):
        floor.hears(order(quantity=1, order_id=f"SO-{number}"))
    floor.crashes()
    floor.shard.replay({"inventory.orders/0": 1_000})
    for number in (20, 21):
        said = UnitBatch("inventory.orders/0", number, [order(quantity=1, order_id=f"SO-{number}")])
        (update,) = floor.takes(said).updates
        assert (update.is_whole, update.has_all_claims) == (True, number == 20)
        assert update.claims is not None and len(update.claims) == (21 if number == 20 else 1)
    assert len(claims(floor)) == 22


# What is forgotten


def test_an_exception_of_a_line_that_is_forgotten_is_over() -> None:
    floor = stocked(20)
    floor.hears(order(quantity=5, at=NOON - 2), order(EventType.ORDER_CANCELLED, None, at=NOON - 1))
    assert raised(floor.hears(order(quantity=5, at=NOON))) == [("demand_after_cancellation", "", "SO-1 1", True)]
    floor.slowest = NOON + 10 * DAY
    outcomes = floor.waits(NOON + 10 * DAY)
    assert raised(*outcomes) == [("demand_after_cancellation", "", "SO-1 1", False)]


def forgotten() -> Floor:
    """A floor that shipped a line and has forgotten it."""
    floor = stocked(20)
    floor.hears(order(quantity=8), order(EventType.SHIPMENT_CONFIRMED, 8, channel=""))
    floor.slowest = NOON + 10 * DAY
    floor.waits(NOON + 10 * DAY)
    item = floor.shard.items["SHOVEL"]
    assert isinstance(item, Item) and item.lines == {}
    return floor


def test_a_reopening_of_a_forgotten_line_finds_no_demand() -> None:
    floor = forgotten()
    floor.hears(order(EventType.ORDER_REOPENED, None, at=floor.now))
    assert floor.atp == 12
    floor.hears(order(quantity=3, at=floor.now))
    assert floor.atp == 9


def test_a_reversal_on_a_forgotten_line_takes_nothing_back() -> None:
    floor = forgotten()
    floor.hears(order(EventType.SHIPMENT_CONFIRMED, 8, at=floor.now, channel="", reversal=True))
    assert (floor.atp, figure(floor, "DC1:on_hand")) == (12, 12)


def test_a_placing_after_a_line_is_forgotten_begins_a_new_one() -> None:
    floor = forgotten()
    floor.hears(order(quantity=8, at=floor.now))
    assert floor.atp == 4
    floor.hears(order(EventType.SHIPMENT_CONFIRMED, 8, at=floor.now, channel=""))
    assert (floor.atp, figure(floor, "DC1:on_hand")) == (4, 4)


# Which shipment is the newer


def test_of_one_moment_and_event_id_the_source_says_which_shipment_picks_pass_over() -> None:
    for sources in (("a", "b"), ("b", "a")):
        floor = stocked()
        floor.hears(unit(EventType.PICK_CONFIRMED, 2, **LINE))
        for source in sources:
            lot = {"a": "L2", "b": "L1"}[source]
            floor.hears(unit(EventType.SHIPMENT_CONFIRMED, 2, event_id="x", source=source, lot=lot, **LINE))
        lots = floor.shard.items["SHOVEL"].places["DC1"].lots  # type: ignore[union-attr]
        assert lots is not None and {lot: cell.on_hand for lot, cell in lots.items() if cell.on_hand} == {"L1": -2}
