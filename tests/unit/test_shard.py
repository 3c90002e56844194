"""Decides whether a shard admits each unit once, refuses without a trace, and survives a crash whole (section 3)."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from operators import shard as shard_module
from operators.conflicts import conflict_message
from operators.ids import content_fingerprint, unit_fingerprint
from operators.reference import packed
from operators.rules.lanes import BULK, NORMAL
from operators.rules.policy import ItemFacts
from operators.rules.topology import ChannelFacts
from operators.shard import (
    MERGE_FROM,
    PARKED_BYTES_MAX,
    PARKED_MAX,
    SWEEP_PAUSE,
    SWEEP_SLICE,
    TIDY_EVERY,
    Shard,
    ShardConfig,
    content_of,
    digest_of,
    first_to_merge,
    number_in,
)
from schemas.messages import Outcome, Republish, UnitBatch
from schemas.state import Item, Place
from schemas.units import EventType, Origin, Refusal, Unit
from tests.floor import (
    DAY,
    EACH,
    HALVES,
    HOUR,
    NOON,
    ORIGIN,
    SECOND,
    WINDOW,
    Floor,
    knows,
    lists,
    order,
    topology,
    unit,
)


@pytest.fixture
def floor() -> Floor:
    """A floor without patience for reference data, that knows the shovel."""
    floor = Floor(reference_grace=0)
    floor.takes(topology(), knows())
    return floor


@pytest.fixture
def patient() -> Floor:
    """A floor that waits a second for an item it does not know."""
    floor = Floor()
    floor.takes(topology())
    return floor


# Admission


WRONG: dict[str, dict[str, Any]] = {
    "unknown_item": {"item": "NOBODY"},
    "unknown_uom": {"uom": "pallet"},
    "quantity_not_exact": {"quantity": "0.5"},
    "bad_value": {"quantity": 2**53},
    "not_allowed": {"verdict": ("not_allowed", "the source may not say this")},
    "conflict": {"event_id": "known"},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_unit_that_cannot_be_used_is_refused_with_its_code(floor: Floor, wrong: str) -> None:
    assert floor.codes(unit(event_id="known", quantity=4)) == []
    assert floor.codes(unit(**WRONG[wrong])) == [wrong]
    assert floor.atp == 4


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("unknown_item", "unknown_uom"),
        ("unknown_item", "not_allowed"),
        ("unknown_uom", "quantity_not_exact"),
        ("unknown_uom", "not_allowed"),
        ("quantity_not_exact", "not_allowed"),
        ("bad_value", "not_allowed"),
        ("not_allowed", "conflict"),
    ],
)
def test_a_unit_wrong_twice_over_is_refused_for_what_is_checked_first(floor: Floor, first: str, second: str) -> None:
    floor.hears(unit(event_id="known", quantity=4))
    assert floor.codes(unit(**(WRONG[second] | WRONG[first]))) == [first]


@pytest.mark.parametrize("verdict", ["late", "in_the_future"])
def test_what_is_late_is_checked_before_what_is_known(floor: Floor, verdict: str) -> None:
    floor.hears(unit(event_id="known"))
    assert floor.codes(unit(event_id="known", verdict=(verdict, "too far"))) == [verdict]
    assert floor.codes(unit(event_id="known", quantity=4, verdict=(verdict, "too far"))) == [verdict]
    assert floor.codes(unit(event_id="known", uom="pallet", verdict=(verdict, "too far"))) == ["unknown_uom"]


def test_a_count_is_measured_in_both_its_quantities(floor: Floor) -> None:
    assert floor.codes(unit(EventType.STOCK_COUNTED, 2, quarantined=1, uom="case")) == []
    assert floor.atp == 12
    assert floor.codes(unit(EventType.STOCK_COUNTED, 3, quarantined="0.5")) == ["quantity_not_exact"]


def test_the_quantity_is_converted_by_the_items_own_units(floor: Floor) -> None:
    floor.takes(knows("ROPE", HALVES))
    assert floor.codes(unit(quantity=2, uom="case"), unit(quantity="2.5", item="ROPE")) == []
    assert floor.numbers == {"SHOVEL web": 24, "ROPE web": 25}


def test_an_event_without_a_quantity_has_nothing_to_convert(floor: Floor) -> None:
    assert floor.codes(unit(EventType.LOT_HELD, None, lot="L1", uom="pallet")) == []


def test_a_repeat_is_dropped_and_counted(floor: Floor) -> None:
    said = unit(event_id="once")
    first, second = floor.hears(said), floor.hears(said)
    assert (first.counts, second.counts) == (
        {("applied", "stock_received", "wms"): 1},
        {("duplicate", "stock_received", "wms"): 1},
    )
    assert (second.refusals, second.updates, floor.atp) == ([], [], 10)


def test_repeats_in_one_batch_are_dropped_too(floor: Floor) -> None:
    said = unit(event_id="once")
    assert floor.hears(said, said, said).counts["duplicate", "stock_received", "wms"] == 2
    assert floor.atp == 10


def test_the_unit_is_source_event_line_and_item(floor: Floor) -> None:
    floor.takes(knows("ROPE"))
    same: dict[str, Any] = {"event_id": "e", "quantity": 10}
    floor.hears(unit(**same), unit(**same, source="erp"), unit(**same, item="ROPE"), unit(**same, line_id="2"))
    assert floor.numbers == {"SHOVEL web": 30, "ROPE web": 10}


def test_a_conflict_is_refused_and_reported_and_the_first_stands(floor: Floor) -> None:
    floor.hears(unit(event_id="once", quantity=4))
    outcome = floor.hears(unit(event_id="once", quantity=5))
    ((note,), (refusal,)) = outcome.exceptions, outcome.refusals
    assert (note.code, note.item, note.location, note.reference) == ("conflict", "SHOVEL", "DC1", "once")
    assert (note.quantities, note.source, note.is_open) == ({"quantity": 5}, "wms", True)
    assert (note.first_seen, note.last_seen) == (NOON, NOON)
    assert (refusal.code, refusal.origin, refusal.line_id) == ("conflict", ORIGIN, None)
    assert outcome.counts == {("conflict", "stock_received", "wms"): 1}
    assert floor.atp == 4


STANDS = "expected what event once of wms said first, which stands"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantity": 5}, r"quantity: {stands} \(hash ..\), got 5 \(hash ..\)"),
        ({"quantity": Decimal("0.5"), "uom": "case"}, r"quantity: {stands} \(hash ..\), got 6 \(hash ..\)"),
        ({"at": NOON + SECOND}, r"occurred_at: {stands} \(hash ..\), got 2024-10-04T12:00:01.000000Z \(hash ..\)"),
        ({"location": "DC2"}, r"location: {stands} \(hash ..\), got DC2 \(hash ..\)"),
        ({"kind": EventType.STOCK_ADJUSTED}, r"type: {stands} \(stock_received\), got stock_adjusted"),
        (
            {"lot": "L1"},
            r"lot or status or quarantined: {stands} \(hash ..\), got L1 available \(hash ..\)",
        ),
        (
            {"receipt_id": "PO-7"},
            r"order_id or transfer_id or receipt_id or to_location: {stands} \(hash ..\), got PO-7 \(hash ..\)",
        ),
        (
            {"quantity": 5, "location": "DC2"},
            r"quantity, location: {stands} \(hash .., hash ..\), got 5 \(hash ..\), DC2 \(hash ..\)",
        ),
    ],
)
@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_conflict_names_the_field_that_differs_and_what_stands(
    floor: Floor, change: dict[str, Any], message: str, is_resumed: bool
) -> None:
    floor.hears(unit(event_id="once", quantity=4))
    if is_resumed:
        floor.open(floor.shard.snapshot())
        floor.takes(topology(2))
    (refusal,) = floor.hears(unit(**{"event_id": "once", "quantity": 4, **change})).refusals
    assert re.fullmatch(message.format(stands=STANDS), refusal.message), refusal.message


def test_a_conflict_of_an_orders_line_names_what_orders_have(floor: Floor) -> None:
    floor.hears(order(event_id="once", expires_at=NOON + HOUR))
    (refusal,) = floor.hears(order(event_id="once", channel="shop", expires_at=NOON + 2 * HOUR)).refusals
    assert refusal.message.startswith(f"channel, expires_at or requested_at: {STANDS}")
    assert "got shop (hash" in refusal.message and "2024-10-04T14:00:00.000000Z (hash" in refusal.message


def test_a_conflict_with_an_id_of_before_digests_says_that_the_field_is_not_known(floor: Floor) -> None:
    said = unit(event_id="once", quantity=4)
    floor.hears(said)
    name = unit_fingerprint("wms", "once", "", "SHOVEL")
    floor.shard.ids.remember(name, content_fingerprint(content_of(said, 4, None)), NOON + WINDOW)
    (refusal,) = floor.hears(unit(event_id="once", quantity=5)).refusals
    assert refusal.message == (
        f"event_id: {STANDS}, got other content (the first is from before fields were told apart)"
    )


def test_a_conflict_whose_field_looks_alike_says_so() -> None:
    said = unit(event_id="once", quantity=4)
    digest = digest_of(said, 4, None)
    assert conflict_message(said, 4, None, digest, digest) == (
        f"event_id: {STANDS}, got other content (what differs looks alike)"
    )


def test_only_an_orders_lines_are_named_in_a_refusal(floor: Floor) -> None:
    lines = [order(line_id=str(n), item="NOBODY" if n == 2 else "SHOVEL", event_id="o") for n in (1, 2, 3)]
    picked = order(EventType.PICK_CONFIRMED, item="NOBODY")
    assert [(refusal.code, refusal.line_id) for refusal in floor.hears(*lines, picked).refusals] == [
        ("unknown_item", "2"),
        ("unknown_item", None),
    ]


@pytest.mark.parametrize(
    ("verdict", "message", "line_id"),
    [
        ("late", "occurred_at: no", None),
        ("in_the_future", "occurred_at: no", None),
        ("not_allowed", "type: no", None),
        ("not_allowed", "lines[0].location: no", "1"),
    ],
)
def test_what_is_wrong_with_all_of_an_event_names_no_line(
    floor: Floor, verdict: str, message: str, line_id: str | None
) -> None:
    (refusal,) = floor.hears(order(verdict=(verdict, message))).refusals
    assert (refusal.code, refusal.message, refusal.line_id) == (verdict, message, line_id)


def test_messages_that_nobody_could_read_are_passed_on(floor: Floor) -> None:
    unreadable = Refusal(ORIGIN, "not_json", "no")
    assert floor.takes(UnitBatch("p", 0, [], [unreadable])).refusals == [unreadable]


# What a repeat must say again


FIELDS: dict[str, Any] = {
    "at": NOON - 1,
    "location": "DC2",
    "order_id": "SO-9",
    "channel": "shop",
    "expires_at": NOON + 9,
    "requested_at": NOON + 9,
    "lot": "L9",
    "status": "quarantined",
    "transfer_id": "T-9",
    "receipt_id": "PO-9",
    "to_location": "DC2",
    "eta": NOON + 9,
    "correlation_id": "c-9",
    "uom": "case",
    "recorded": 5,
}
OF_ORDERS = {"at", "location", "order_id", "channel", "expires_at", "requested_at"}
OF_OTHERS = {"at", "location", "order_id", "lot", "status", "transfer_id", "receipt_id", "to_location", "eta"}


def differing(kind: EventType) -> set[str]:
    """The fields that make another content."""
    plain = content_of(unit(kind), 5, None)
    found = {
        name
        for name, value in FIELDS.items()
        if name != "recorded" and content_of(unit(kind, **{name: value}), 5, None) != plain
    }
    assert content_of(unit(kind), 6, None) != plain
    return found


def test_all_that_counts_makes_another_content_and_nothing_else() -> None:
    assert differing(EventType.ORDER_PLACED) == OF_ORDERS
    assert differing(EventType.STOCK_RECEIVED) == OF_OTHERS
    assert differing(EventType.PICK_CONFIRMED) == OF_OTHERS
    assert differing(EventType.RETURN_RECEIVED) == OF_OTHERS - {"order_id"}


def test_the_type_and_what_was_quarantined_are_content_too() -> None:
    assert content_of(unit(EventType.LOT_HELD), 0, None) != content_of(unit(EventType.LOT_RELEASED), 0, None)
    counts = {content_of(unit(EventType.STOCK_COUNTED), 5, quarantined) for quarantined in (None, 0, 1)}
    assert len(counts) == 3
    orders = {content_of(order(kind), 5, None) for kind in (EventType.ORDER_ALLOCATED, EventType.ORDER_RELEASED)}
    assert len(orders) == 2


# No trace


def strip(snapshot: bytes) -> Any:
    """A snapshot without how far its input was read."""
    fields = msgspec.msgpack.decode(snapshot)
    assert fields[3] != {}
    return fields[:3] + fields[4:]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("kind", [EventType.STOCK_RECEIVED, EventType.PICK_CONFIRMED, EventType.ORDER_PLACED])
def test_a_refused_unit_leaves_no_trace_in_the_state(floor: Floor, wrong: str, kind: EventType) -> None:
    floor.hears(unit(event_id="known", line_id="1", quantity=4))
    before = strip(floor.shard.snapshot())
    outcome = floor.hears(order(kind, **WRONG[wrong]))
    assert [refusal.code for refusal in outcome.refusals] == [wrong]
    assert (outcome.updates, floor.shard.next_wake()) == ([], NOON + TIDY_EVERY)
    assert strip(floor.shard.snapshot()) == before


def test_a_refused_unit_may_be_sent_again(floor: Floor) -> None:
    again = unit(event_id="again", uom="pallet")
    assert floor.codes(again) == ["unknown_uom"]
    floor.takes(knows(facts=packed(ItemFacts(conversions=(("pallet", Fraction(100)),)))))
    assert floor.codes(again) == []
    assert floor.atp == 1000


def test_a_duplicate_leaves_no_trace_either(floor: Floor) -> None:
    said = unit(event_id="once")
    floor.hears(said)
    before = strip(floor.shard.snapshot())
    floor.hears(said)
    assert strip(floor.shard.snapshot()) == before


# Offsets


def test_a_shard_knows_how_far_each_partition_reached_it(floor: Floor) -> None:
    first = floor.takes(UnitBatch("a/0", 5, []), UnitBatch("b/0", 2, []))
    assert first.reached == {"a/0": 5, "b/0": 2}
    again = floor.takes(UnitBatch("a/0", 5, [unit()]), UnitBatch("b/0", 3, [unit()]))
    assert again.reached == {"b/0": 3}
    assert floor.takes(UnitBatch("a/0", 4, [unit()])).reached == {}
    assert floor.shard.reached == {"a/0": 5, "b/0": 3}


def test_a_batch_of_no_partition_reaches_nothing(floor: Floor) -> None:
    assert floor.takes(UnitBatch("", -1, [unit()])).reached == {}
    assert floor.shard.reached == {}


def test_reached_survives_a_crash(floor: Floor) -> None:
    floor.takes(UnitBatch("a/0", 5, [unit()]))
    floor.crashes()
    assert floor.shard.reached == {"a/0": 5}
    assert floor.takes(UnitBatch("a/0", 5, [unit()])).reached == {}


# Waiting for reference data


def test_a_unit_waits_for_an_item_that_may_be_on_its_way(patient: Floor) -> None:
    assert patient.codes(unit()) == []
    assert patient.shard.next_wake() == NOON + SECOND
    patient.now += SECOND // 2
    outcome = patient.takes(knows())
    assert outcome.refusals == []
    assert outcome.counts == {("applied", "stock_received", "wms"): 1}
    assert patient.atp == 10


@pytest.mark.parametrize(
    ("waited", "codes"), [(SECOND - 1, []), (SECOND, ["unknown_item"]), (SECOND + 1, ["unknown_item"])]
)
def test_it_waits_for_the_grace_and_no_longer(patient: Floor, waited: int, codes: list[str]) -> None:
    patient.hears(unit())
    patient.now += waited
    assert [refusal.code for refusal in patient.said(patient.shard.wake()).refusals] == codes
    assert [refusal.code for refusal in patient.takes(knows()).refusals] == []
    assert patient.atp == (0 if codes else 10)


def test_a_refusal_after_waiting_leaves_no_trace(patient: Floor) -> None:
    patient.hears(unit(event_id="again"))
    patient.waits(NOON + 2 * SECOND)
    assert patient.shard.items == {}
    patient.takes(knows())
    assert patient.codes(unit(event_id="again")) == []
    assert patient.atp == 10


def test_units_of_one_item_go_on_in_the_order_they_came(patient: Floor) -> None:
    patient.hears(unit(event_id="once", quantity=4), unit(event_id="once", quantity=5))
    outcome = patient.takes(knows())
    assert [refusal.code for refusal in outcome.refusals] == ["conflict"]
    assert patient.atp == 4


def test_another_items_record_changes_nothing_for_those_that_wait(patient: Floor) -> None:
    patient.hears(unit())
    assert patient.takes(knows("ROPE")).counts == {}
    assert patient.shard.next_wake() == NOON + SECOND


def test_a_unit_waits_for_a_unit_of_measure_too(patient: Floor) -> None:
    patient.takes(knows())
    assert patient.codes(unit(uom="pallet", quantity=2)) == []
    patient.takes(knows(facts=packed(ItemFacts(conversions=(("pallet", Fraction(100)),)))))
    assert patient.atp == 200


def test_a_record_that_does_not_help_lengthens_no_wait(patient: Floor) -> None:
    patient.takes(knows())
    patient.hears(unit(uom="pallet"))
    patient.now += SECOND // 2
    patient.hears(unit(item="NOBODY"))
    patient.takes(knows(facts=packed(ItemFacts(low_stock_threshold=3))))
    assert patient.shard.next_wake() == NOON + SECOND
    (first, second) = patient.waits(NOON + 2 * SECOND)
    assert [refusal.code for refusal in first.refusals] == ["unknown_uom"]
    assert [refusal.code for refusal in second.refusals] == ["unknown_item"]


def test_only_so_many_may_wait_and_the_others_are_judged_at_once(patient: Floor) -> None:
    units = [unit() for _ in range(PARKED_MAX + 2)]
    assert patient.codes(*units) == ["unknown_item"] * 2
    assert patient.takes(knows()).counts == {("applied", "stock_received", "wms"): PARKED_MAX}


def message_of(size: int, offset: int = 0) -> Origin:
    return Origin("inventory.orders", 0, offset, NOON // 1000, b"key", bytes(size - 3), lines=2)


def test_only_so_many_bytes_may_wait_and_the_others_are_judged_at_once(patient: Floor) -> None:
    most = PARKED_BYTES_MAX // patient.config.shards
    first, last, more = message_of(most - 10, 1), message_of(10, 2), message_of(4, 3)
    assert patient.codes(*[unit(origin=first) for _ in range(3)]) == [], "units of one message share its bytes"
    assert patient.codes(unit(origin=last), unit(origin=more)) == ["unknown_item"]
    patient.crashes()
    assert patient.codes(unit(origin=more)) == ["unknown_item"]
    assert patient.takes(knows()).counts == {("applied", "stock_received", "wms"): 4}
    assert patient.codes(unit(item="NOBODY", origin=first), unit(item="NOBODY", origin=last)) == []


def test_units_of_one_message_stand_in_a_snapshot_with_its_bytes_once(patient: Floor) -> None:
    whole = message_of(100_000)
    patient.hears(*[unit(item=f"NOBODY-{number}", origin=whole) for number in range(500)])
    assert 100_000 < len(patient.shard.snapshot()) < 250_000
    patient.crashes()
    outcome = patient.said(patient.shard.finish())
    assert len(outcome.refusals) == 500
    assert all(refusal.origin == whole for refusal in outcome.refusals)
    assert len({id(refusal.origin) for refusal in outcome.refusals}) == 1, "and in memory"


def test_without_a_grace_nothing_waits(floor: Floor) -> None:
    assert floor.codes(unit(item="NOBODY")) == ["unknown_item"]


def test_what_waits_survives_a_crash(patient: Floor) -> None:
    said = unit(event_id="waits")
    patient.hears(said)
    patient.crashes()
    assert patient.shard.next_wake() == NOON + SECOND
    patient.takes(knows())
    assert patient.atp == 10
    assert patient.hears(said).counts == {("duplicate", "stock_received", "wms"): 1}


def test_at_the_end_of_the_input_nothing_waits_any_more(patient: Floor) -> None:
    patient.hears(unit())
    outcome = patient.said(patient.shard.finish())
    assert ([refusal.code for refusal in outcome.refusals], outcome.ended) == (["unknown_item"], True)
    assert patient.said(patient.shard.finish()).ended


# Time


@pytest.mark.parametrize("after", [-1, 0, 1])
def test_a_soft_claim_lapses_exactly_when_its_expiry_is_reached(floor: Floor, after: int) -> None:
    expires_at = NOON + HOUR
    floor.hears(unit(), order(expires_at=expires_at))
    assert (floor.atp, floor.shard.next_wake()) == (7, NOON + TIDY_EVERY)
    floor.waits(expires_at - 1)
    assert floor.atp == 7
    floor.now = expires_at + after
    floor.said(floor.shard.wake())
    assert floor.atp == (7 if after < 0 else 10)


def test_the_shard_asks_to_be_woken_for_the_next_expiry(floor: Floor) -> None:
    floor.hears(order(expires_at=NOON + 9 * SECOND), order(expires_at=NOON + 5 * SECOND, order_id="SO-2"))
    assert floor.shard.next_wake() == NOON + 5 * SECOND
    (outcome, *_) = floor.waits(NOON + 6 * SECOND)
    assert outcome.updates[0].fields["DC1:soft_allocated"] == 3
    assert floor.shard.next_wake() == NOON + 9 * SECOND


def test_an_event_after_the_expiry_sees_the_claim_gone(floor: Floor) -> None:
    floor.hears(unit(), order(expires_at=NOON + SECOND))
    floor.now += SECOND
    outcome = floor.hears(unit(quantity=1))
    assert floor.atp == 11
    assert [change.cause for update in outcome.updates for change in update.channels] == ["expiry"]


def test_a_claim_that_is_over_when_it_comes_claims_nothing(floor: Floor) -> None:
    floor.hears(unit(), order(expires_at=NOON))
    assert floor.atp == 10
    floor.hears(order(expires_at=NOON + 1, order_id="SO-2"))
    assert floor.atp == 7


def test_a_revision_may_lengthen_or_shorten_a_claims_life(floor: Floor) -> None:
    floor.hears(unit(), order(expires_at=NOON + 5 * SECOND), order(expires_at=NOON + 5 * SECOND, order_id="SO-2"))
    floor.hears(order(expires_at=NOON + 9 * SECOND, at=NOON + 1))
    floor.hears(order(expires_at=NOON + 2 * SECOND, at=NOON + 1, order_id="SO-2"))
    atp = {}
    for second in (1, 2, 5, 8, 9):
        floor.waits(NOON + second * SECOND)
        atp[second] = floor.atp
    assert atp == {1: 4, 2: 7, 5: 7, 8: 7, 9: 10}


def test_a_claim_lapses_also_after_a_crash_on_an_item_nobody_touched(floor: Floor) -> None:
    floor.hears(unit(), order(expires_at=NOON + HOUR))
    floor.waits(NOON + 1)
    floor.crashes()
    floor.waits(NOON + HOUR - 1)
    assert floor.atp == 7
    floor.waits(NOON + HOUR)
    assert floor.atp == 10


BY_DAY = ChannelFacts(("DC1",), horizon_days=2)


def midnight(floor: Floor, items: int) -> int:
    """Items with a claim for tomorrow, and the coming midnight."""
    floor.takes(topology(web=BY_DAY), *(knows(f"I{number:02}") for number in range(items)))
    for number in range(items):
        floor.hears(unit(item=f"I{number:02}"), order(item=f"I{number:02}", requested_at=NOON + DAY))
    return NOON + 12 * HOUR


def test_a_day_turns_in_slices_so_that_urgent_work_has_its_turn(floor: Floor) -> None:
    at_midnight = midnight(floor, 2 * SWEEP_SLICE)  # and the shovel
    floor.waits(at_midnight - 1)
    floor.sent.clear()
    assert floor.shard.next_wake() == at_midnight
    floor.now = at_midnight
    slices: list[int] = []
    while not slices or floor.shard.is_sweeping:
        slices.append(len(floor.said(floor.shard.wake()).updates))
        assert not floor.shard.is_sweeping or floor.shard.next_wake() == floor.now + SWEEP_PAUSE
    assert slices == [SWEEP_SLICE, SWEEP_SLICE, 1]
    assert {update.day0 for update in floor.sent} == {at_midnight // DAY}
    assert {change.cause for update in floor.sent for change in update.channels} <= {"day_turn"}


@pytest.mark.parametrize(("before", "turned"), [(1, False), (0, True), (-1, True)])
def test_the_day_turns_at_midnight_utc(floor: Floor, before: int, turned: bool) -> None:
    at_midnight = midnight(floor, 1)
    floor.waits(NOON + SECOND)
    floor.sent.clear()
    floor.now = at_midnight - before
    floor.said(floor.shard.wake())
    assert [update.day0 for update in floor.sent] == ([at_midnight // DAY] * 2 if turned else [])


def test_without_a_horizon_no_day_turns(floor: Floor) -> None:
    floor.hears(unit())
    floor.waits(NOON + 1)
    floor.sent.clear()
    floor.waits(NOON + 3 * DAY)
    assert floor.sent == []


def test_an_event_in_a_sweep_is_not_kept_waiting(floor: Floor) -> None:
    at_midnight = midnight(floor, 3 * SWEEP_SLICE)
    floor.waits(at_midnight - 1)
    floor.now = at_midnight
    floor.said(floor.shard.wake())
    last = f"I{3 * SWEEP_SLICE - 1:02}"
    (update,) = floor.hears(unit(item=last, quantity=1, at=at_midnight)).updates
    assert (update.item, update.day0) == (last, at_midnight // DAY)


def test_a_sweep_that_a_crash_interrupts_is_done_again(floor: Floor) -> None:
    at_midnight = midnight(floor, 2 * SWEEP_SLICE)
    floor.waits(at_midnight - 1)
    floor.now = at_midnight
    floor.sent.clear()
    floor.said(floor.shard.wake())
    floor.open(floor.shard.snapshot())
    floor.takes(topology(web=BY_DAY))
    floor.waits(at_midnight + SECOND)
    assert {update.item for update in floor.sent if update.day0 == at_midnight // DAY} == set(floor.shard.items)


# Policies that change


def filled(floor: Floor, items: int) -> None:
    floor.takes(*(knows(f"I{number:02}") for number in range(items)))
    floor.hears(*(unit(item=f"I{number:02}") for number in range(items)))
    floor.waits(floor.now + SECOND)


CAPPED = ChannelFacts(("DC1", "DC2"), cap=4)
OPEN = ChannelFacts(("DC1", "DC2"))


def test_a_new_topology_is_taken_through_all_items(floor: Floor) -> None:
    filled(floor, 3 * SWEEP_SLICE)
    floor.sent.clear()
    floor.takes(topology(web=CAPPED))
    assert floor.shard.is_sweeping
    floor.waits(floor.now + SECOND)
    assert not floor.shard.is_sweeping
    assert {code: atp for code, atp in floor.numbers.items() if atp != 4} == {"SHOVEL web": 0}
    assert {change.cause for update in floor.sent for change in update.channels} == {"reference"}


def test_the_same_topology_again_changes_nothing(floor: Floor) -> None:
    filled(floor, 3)
    floor.takes(topology())
    assert not floor.shard.is_sweeping


def test_a_topology_that_comes_back_in_the_middle_of_a_sweep_reaches_every_item(floor: Floor) -> None:
    filled(floor, 3 * SWEEP_SLICE)
    floor.takes(topology(web=CAPPED))
    floor.said(floor.shard.wake())
    assert 4 in floor.numbers.values()
    floor.takes(topology(web=OPEN))
    floor.waits(floor.now + SECOND)
    assert 4 not in floor.numbers.values()
    floor.takes(topology(web=CAPPED))
    floor.waits(floor.now + SECOND)
    assert set(floor.numbers.values()) == {0, 4}


def test_a_topology_that_comes_back_after_a_crash_in_the_middle_of_a_sweep_reaches_every_item(floor: Floor) -> None:
    filled(floor, 3 * SWEEP_SLICE)
    floor.takes(topology(web=CAPPED))
    floor.said(floor.shard.wake())
    floor.open(floor.shard.snapshot())
    floor.takes(topology(web=OPEN))
    floor.waits(floor.now + SECOND)
    assert set(floor.numbers.values()) == {0, 10}


def test_a_crash_in_the_middle_of_a_sweep_loses_none_of_it(floor: Floor) -> None:
    filled(floor, 3 * SWEEP_SLICE)
    floor.takes(topology(web=CAPPED))
    floor.said(floor.shard.wake())
    floor.open(floor.shard.snapshot())
    floor.takes(topology(web=CAPPED))
    floor.waits(floor.now + SECOND)
    assert set(floor.numbers.values()) == {0, 4}


def test_a_new_topology_in_the_middle_of_a_republish_loses_none_of_it(floor: Floor) -> None:
    filled(floor, 3 * SWEEP_SLICE)
    floor.takes(Republish())
    done = {update.item for update in floor.said(floor.shard.wake()).updates}
    floor.sent.clear()
    floor.takes(topology(web=CAPPED))
    floor.waits(floor.now + SECOND)
    in_full = {update.item for update in floor.sent if "DC1:on_hand" in update.fields}
    assert (len(done), in_full) == (SWEEP_SLICE, set(floor.shard.items) - done)
    assert set(floor.numbers.values()) == {0, 4}


def test_a_republish_says_everything_again_in_slices(floor: Floor) -> None:
    filled(floor, 2 * SWEEP_SLICE)
    before = dict(floor.numbers)
    floor.sent.clear()
    floor.numbers.clear()
    floor.takes(Republish())
    slices = [len(outcome.updates) for outcome in floor.waits(floor.now + SECOND)]
    assert slices == [SWEEP_SLICE, SWEEP_SLICE, 1]
    assert floor.numbers == before
    for update in floor.sent:
        (change,) = update.channels
        assert (change.lane, change.forced, change.cause, change.previous) == (BULK, True, "republish", change.atp)
        assert update.item == "SHOVEL" or update.fields["DC1:on_hand"] == 10


def test_a_republish_of_one_channel_says_nothing_of_the_others(floor: Floor) -> None:
    floor.takes(topology(web=OPEN, shop=OPEN))
    filled(floor, 2)
    floor.sent.clear()
    floor.takes(Republish(channel="shop"))
    floor.waits(floor.now + SECOND)
    assert [(u.item, [change.channel for change in u.channels]) for u in floor.sent] == [
        (item, ["shop"]) for item in ("SHOVEL", "I00", "I01")
    ]


def test_a_republish_of_one_item_is_answered_at_once(floor: Floor) -> None:
    filled(floor, 2)
    (update,) = floor.takes(Republish("I01", cause="refill")).updates
    assert [(change.atp, change.cause) for change in update.channels] == [(10, "refill")]
    assert floor.takes(Republish("NOBODY")).updates == []


def test_in_a_refill_what_changes_first_is_said_in_full_and_once(floor: Floor) -> None:
    floor.takes(topology(web=OPEN, shop=OPEN))
    filled(floor, 20)
    floor.sent.clear()
    floor.takes(Republish(cause="refill"))
    (update,) = floor.hears(unit(item="I15", quantity=1)).updates
    assert update.is_whole and {change.channel: change.atp for change in update.channels} == {"web": 11, "shop": 11}
    (update,) = floor.hears(unit(item="I15", quantity=1)).updates
    assert not update.is_whole, "it was said already"
    while floor.shard.is_sweeping:
        floor.waits(floor.now + SECOND)
    told = [update.item for update in floor.sent if update.is_whole]
    assert sorted(told) == sorted(["SHOVEL", *(f"I{number:02}" for number in range(20))])


@pytest.mark.parametrize("between", [0, 1], ids=["at once", "in the middle of it"])
def test_a_refill_is_answered_as_often_as_it_was_asked_for(floor: Floor, between: int) -> None:
    filled(floor, 1)
    floor.takes(Republish(cause="refill"))
    answers = 0
    if between:  # the second time the shard says everything anew, and what it had said until then once more
        answers += floor.hears(unit(item="I00", quantity=1)).filled
    floor.takes(Republish(cause="refill"))
    floor.sent.clear()
    answers += sum(outcome.filled for outcome in floor.waits(floor.now + SECOND))
    assert answers == 2
    assert sorted(update.item for update in floor.sent) == ["I00", "SHOVEL"]


def test_a_shard_asked_twice_answers_twice_when_its_input_ends(floor: Floor) -> None:
    filled(floor, 1)
    floor.takes(Republish(cause="refill"), Republish(cause="refill"))
    outcome = floor.shard.finish()
    assert outcome is not None and outcome.filled == 2


def test_a_replay_is_said_in_full_and_the_rest_when_the_input_ends(floor: Floor) -> None:
    filled(floor, 3)
    floor.sent.clear()
    floor.takes(Republish(cause="replay", until={"inventory.warehouse/0": 1 << 40}))
    assert floor.sent == []
    (update,) = floor.hears(unit(item="I01", quantity=1)).updates
    assert update.is_whole
    outcome = floor.shard.finish()
    assert outcome is not None and outcome.filled
    assert {update.item for update in outcome.updates} >= {"SHOVEL", "I00", "I02"}


# Item records


def test_an_items_first_record_publishes_a_first_number(floor: Floor) -> None:
    (update,) = floor.takes(knows("ROPE")).updates
    (change,) = update.channels
    assert (change.atp, change.previous, change.lane, change.cause) == (0, None, BULK, "reference")


def test_the_same_record_again_says_nothing(floor: Floor) -> None:
    assert floor.takes(knows(), knows()).updates == []
    floor.takes(lists("SHOVEL", cap=Fraction(3)))
    floor.hears(unit())
    assert floor.atp == 3
    assert floor.takes(lists("SHOVEL", cap=Fraction(3))).updates == []


def test_a_pairs_record_comes_and_goes(floor: Floor) -> None:
    floor.hears(unit())
    floor.takes(lists("SHOVEL", cap=Fraction(3)))
    assert floor.atp == 3
    floor.takes(lists("SHOVEL", minimum=Fraction(3)))
    assert floor.atp == 10
    floor.takes(knows("SHOVEL", None, "web"))
    assert floor.takes(knows("SHOVEL", None, "web")).updates == []
    assert floor.atp == 10


def test_a_pairs_record_may_come_before_its_item(floor: Floor) -> None:
    assert floor.takes(lists("ROPE", cap=Fraction(3))).updates == []
    floor.takes(knows("ROPE"))
    floor.hears(unit(item="ROPE"))
    assert floor.numbers["ROPE web"] == 3


@pytest.mark.parametrize(
    "policy",
    [
        *({name: Fraction(1, 2)} for name in ("buffer_quantity", "cap", "minimum", "low_stock_threshold")),
        {"protected_quantity": Fraction(1, 2)},
        {"safety_stock": (("DC1", Fraction(1, 2)),)},
    ],
)
def test_a_pairs_quantity_finer_than_the_items_scale_is_refused_and_the_older_record_stands(
    floor: Floor, policy: dict[str, Any]
) -> None:
    floor.takes(lists("SHOVEL", cap=Fraction(3)))
    floor.hears(unit())
    outcome = floor.takes(lists("SHOVEL", **policy))
    ((refusal,), updates) = outcome.refusals, outcome.updates
    assert (refusal.code, refusal.origin.key, updates, floor.atp) == ("bad_value", b"SHOVEL", [], 3)
    floor.takes(knows("ROPE", HALVES))
    assert floor.takes(lists("ROPE", **policy)).refusals == []


def test_the_base_unit_and_the_scale_may_not_change_while_the_item_has_state(floor: Floor) -> None:
    assert floor.takes(knows(facts=HALVES)).refusals == [], "nothing is measured in it yet"
    assert floor.takes(knows(facts=EACH)).refusals == []
    floor.hears(unit())
    for facts in (HALVES, packed(ItemFacts(base_uom="kg"))):
        outcome = floor.takes(knows(facts=facts))
        assert [(refusal.code, refusal.origin.key) for refusal in outcome.refusals] == [("bad_value", b"SHOVEL")]
        assert "each 0" in outcome.refusals[0].message
        assert outcome.updates == []
    floor.takes(knows(facts=None))
    assert len(floor.takes(knows(facts=HALVES)).refusals) == 1, "a tombstone takes no state away"
    assert floor.takes(knows(facts=packed(ItemFacts(safety_stock=(("*", 1),))))).refusals == []
    assert floor.atp == 9
    floor.crashes()
    assert len(floor.takes(knows(facts=HALVES)).refusals) == 1


def test_a_tombstone_takes_everything_published_away_and_keeps_the_state(floor: Floor) -> None:
    floor.hears(unit(), order(location=""))
    (update,) = floor.takes(knows(facts=None)).updates
    assert [(change.atp, change.removed, change.cause) for change in update.channels] == [(0, True, "unlisted")]
    assert (update.is_gone, set(update.fields.values())) == (True, {None})
    assert set(update.fields) > {"DC1:on_hand", "*:soft_allocated"}
    assert floor.codes(unit(event_id="meanwhile")) == ["unknown_item"]
    (update,) = floor.takes(knows()).updates
    assert [(change.atp, change.previous) for change in update.channels] == [(7, None)]
    assert (update.fields["DC1:on_hand"], update.fields["*:soft_allocated"], update.is_gone) == (10, 3, False)


def test_figures_that_are_0_leave_with_a_tombstone_too_also_after_a_resume(floor: Floor) -> None:
    floor.hears(unit(quantity=5), order(location=""), order(EventType.ORDER_CANCELLED, location=""))
    floor.hears(unit(EventType.STOCK_ADJUSTED, -5))
    floor.crashes()
    (update,) = floor.takes(knows(facts=None)).updates
    assert (update.is_gone, set(update.fields.values())) == (True, {None})
    assert {"DC1:on_hand", "DC1:available", "*:soft_allocated"} < set(update.fields)
    assert floor.waits(floor.now + HOUR) is not None
    assert floor.sent[-1] is update, "said once"


def test_an_item_that_no_channel_lists_any_more_leaves_with_its_tombstone(floor: Floor) -> None:
    floor.takes(lists("SHOVEL", listed=False))
    (update,) = floor.takes(knows(facts=None)).updates
    assert (update.is_gone, update.channels, update.fields) == (True, [], {})


def test_the_tombstone_of_an_unknown_item_means_nothing(floor: Floor) -> None:
    floor.takes(knows("ROPE", None))
    assert set(floor.shard.items) == {"SHOVEL"}


def test_an_unlisted_pair_has_a_last_number_and_then_none(floor: Floor) -> None:
    floor.hears(unit())
    (update,) = floor.takes(lists("SHOVEL", listed=False)).updates
    assert [(change.atp, change.previous, change.removed) for change in update.channels] == [(0, 10, True)]
    assert floor.hears(unit()).updates[0].channels == []
    (update,) = floor.takes(lists("SHOVEL", listed=True)).updates
    assert [(change.atp, change.previous, change.lane) for change in update.channels] == [(20, None, BULK)]


# What goes out


def test_a_shard_speaks_once_after_its_start_and_then_only_when_it_has_something_to_say() -> None:
    floor = Floor()
    assert floor.shard.next_wake() is None
    assert floor.shard.process([topology()]) == Outcome(2, {}, [], [], [])
    assert floor.shard.process([topology()]) is None
    assert floor.shard.next_wake() is None
    assert floor.shard.wake() is None


def test_a_hundred_events_on_one_item_give_one_number(floor: Floor) -> None:
    outcome = floor.hears(*(unit(quantity=1, correlation_id=f"c{number}") for number in range(100)))
    (update,) = outcome.updates
    (change,) = update.channels
    assert (change.atp, change.previous, change.cause, change.lane) == (100, 0, "stock_received", 1)
    assert (update.correlation_id, update.as_of) == ("c99", NOON)
    assert outcome.counts == {("applied", "stock_received", "wms"): 100}


def test_what_no_event_caused_has_no_correlation_id(floor: Floor) -> None:
    floor.hears(unit(correlation_id="c-1"))
    floor.hears(order(expires_at=NOON + SECOND, correlation_id="c-2"))
    floor.takes(lists("SHOVEL", buffer_quantity=Fraction(1)))
    floor.waits(NOON + 2 * SECOND)
    said = [(change.cause, update.correlation_id) for update in floor.sent for change in update.channels]
    assert said[1:] == [("stock_received", "c-1"), ("order_placed", "c-2"), ("reference", ""), ("expiry", "")]


def test_a_number_that_did_not_change_is_not_said_again(floor: Floor) -> None:
    floor.hears(unit())
    update = floor.hears(unit(status="quarantined")).updates[0]
    assert update.channels == []
    assert update.fields == {"DC1:on_hand": 20, "DC1:quarantined": 10}
    assert floor.hears(unit(EventType.LOT_HELD, None, lot="L1")).updates == []


def test_as_of_is_the_latest_time_applied_and_not_the_last(floor: Floor) -> None:
    floor.hears(unit())
    assert floor.hears(unit(at=NOON - HOUR)).updates[0].as_of == NOON


def test_while_it_replays_what_was_published_a_shard_speaks_of_every_item_in_full(floor: Floor) -> None:
    floor.takes(UnitBatch("a/0", 5, [unit()]))
    floor.open(floor.shard.snapshot())
    floor.shard.replay({"a/0": 7, "b/0": 1})
    floor.takes(topology())
    (update,) = floor.takes(UnitBatch("a/0", 6, [unit(EventType.LOT_HELD, None, lot="L1")])).updates
    assert [(change.atp, change.forced) for change in update.channels] == [(10, True)]
    assert update.fields["DC1:on_hand"] == 10
    floor.takes(UnitBatch("a/0", 7, []), UnitBatch("b/0", 1, []))
    assert floor.hears(unit(EventType.LOT_HELD, None, lot="L2")).updates == []


# Snapshots


def test_a_snapshot_names_its_shard(floor: Floor) -> None:
    assert number_in(floor.shard.snapshot()) == 2


@pytest.mark.parametrize("shards", [3, 5])
def test_a_snapshot_of_another_number_of_shards_is_refused(floor: Floor, shards: int) -> None:
    raw = floor.shard.snapshot()
    floor.config = ShardConfig(shards=shards, dedup_window=WINDOW)
    with pytest.raises(ValueError, match=r"for 4 shards, .* set shards=4"):
        floor.open(raw)


def test_a_snapshot_of_another_format_is_refused(floor: Floor) -> None:
    fields = msgspec.msgpack.decode(floor.shard.snapshot())
    with pytest.raises(ValueError, match="written in format 99"):
        floor.open(msgspec.msgpack.encode([99, *fields[1:]]))


def test_ids_are_known_after_a_resume(floor: Floor) -> None:
    said = [unit(quantity=1) for _ in range(20)]
    for number, one in enumerate(said):
        floor.hears(one)
        if number % 3 == 0:
            floor.crashes()
    floor.crashes()
    assert floor.hears(*said).counts == {("duplicate", "stock_received", "wms"): 20}
    assert floor.codes(unit(event_id=said[0].event_id, quantity=9)) == ["conflict"]
    assert floor.atp == 20


def test_what_is_resumed_waits_for_its_first_word_and_then_does_what_time_brought_meanwhile(floor: Floor) -> None:
    """Bytewax wakes what it resumes before the sink has its own state: what is said then would be lost."""
    floor.hears(unit(), order(expires_at=NOON + SECOND))
    assert floor.atp == 7
    raw = floor.shard.snapshot()
    floor.now = NOON + HOUR
    floor.open(raw)
    assert floor.shard.next_wake() is None
    (update,) = floor.takes(topology()).updates
    assert (update.channels[0].atp, update.channels[0].cause) == (10, "expiry")
    assert floor.shard.next_wake() is not None


def seals(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(shard_module, "SEAL_FROM", size)


@pytest.mark.parametrize("size", [1, 700, 1 << 30])
def test_state_is_whole_however_much_of_it_is_sealed(floor: Floor, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    seals(monkeypatch, size)
    said: list[Unit] = []
    for step in range(120):
        said.append(unit(quantity=1, lot=f"L{step % 5}" if step % 2 else "", at=NOON - step * SECOND))
        floor.hears(said[-1])
        if step % 10 == 0:
            said.append(order(order_id=f"SO-{step}", quantity=1, location=""))
            floor.hears(said[-1])
        floor.shard.snapshot()
        if step % 17 == 0:
            floor.crashes()
    floor.crashes()
    assert floor.hears(*said).counts == {
        ("duplicate", "stock_received", "wms"): 120,
        ("duplicate", "order_placed", "wms"): 12,
    }
    item = floor.shard.find("SHOVEL")
    assert item is not None
    place = item.places["DC1"]
    assert (place.on_hand, sum(cell.on_hand for cell in (place.lots or {}).values())) == (60, 60)
    assert (len(item.lines), item.unlocated, floor.atp) == (12, {"web": 12}, 108)
    floor.hears(unit(EventType.STOCK_COUNTED, 0, at=NOON - 60 * SECOND))
    assert item.places["DC1"].on_hand == 30, "the journal is whole too"


def test_layers_are_sealed_when_they_are_large_and_stay_in_the_snapshot_until_that_is_safe(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seals(monkeypatch, 1)
    floor.hears(unit())
    first = msgspec.msgpack.decode(floor.shard.snapshot())
    assert (first[7], len(first[8]), len(floor.segments.files)) == ([], 1, 1)
    second = msgspec.msgpack.decode(floor.shard.snapshot())
    assert (second[7], second[8]) == ([], first[8]), "not on the disk yet"
    third = msgspec.msgpack.decode(floor.shard.snapshot())
    assert (len(third[7]), third[8]) == (1, [])


def test_small_layers_are_not_sealed(floor: Floor) -> None:
    for _ in range(50):
        floor.hears(unit())
        raw = floor.shard.snapshot()
    assert (floor.segments.files, len(msgspec.msgpack.decode(raw)[8])) == ({}, 50)


def test_an_epoch_in_which_nothing_happened_adds_no_layer(floor: Floor) -> None:
    floor.hears(unit())
    sizes = [len(floor.shard.snapshot()) for _ in range(3)]
    assert sizes[0] == sizes[1] == sizes[2]


def test_segments_are_merged_and_the_merged_ones_retired(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    seals(monkeypatch, 1)
    named: list[list[Any]] = []
    for _ in range(200):
        floor.hears(unit(quantity=1))
        named.append(msgspec.msgpack.decode(floor.shard.snapshot())[7])
    assert max(map(len, named)) < 40, "without merging there would be a hundred"
    assert len(floor.segments.files) < 60, "what nobody names is deleted"
    floor.crashes()
    floor.hears(unit(quantity=1))
    assert floor.atp == 201


def test_a_file_is_kept_until_the_snapshots_that_name_it_cannot_be_resumed_from(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seals(monkeypatch, 1)
    last: list[bytes] = []
    for _ in range(120):
        floor.hears(unit(quantity=1))
        last = [*last[-2:], floor.shard.snapshot()]
        for raw in last:
            for name, _, _ in msgspec.msgpack.decode(raw)[7]:
                assert name in floor.segments.files


def test_a_crash_leaves_no_files_that_nobody_names(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    seals(monkeypatch, 1)
    for _ in range(40):
        floor.hears(unit(quantity=1))
        raw = floor.shard.snapshot()
    floor.open(raw)
    assert set(floor.segments.files) == {name for name, _, _ in msgspec.msgpack.decode(raw)[7]}


def test_a_write_that_failed_stops_the_shard(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    seals(monkeypatch, 1)

    class Broken:
        def result(self) -> tuple[str, int, int] | None:
            raise OSError("no space left")

    seal: Callable[..., Any] = lambda shard, layers: Broken()  # noqa: E731 - a disk in a line
    monkeypatch.setattr(floor.segments, "seal", seal)
    floor.hears(unit())
    floor.shard.snapshot()
    with pytest.raises(OSError, match="no space left"):
        floor.shard.snapshot()


@pytest.mark.parametrize(
    ("sizes", "start"),
    [
        ([], 0),
        ([9], 0),
        ([1] * 5, 0),
        ([1] * 6, 0),
        ([1, 1, 1, 1, 1, 9], 0),
        ([100, 1, 1, 1, 1, 1], 1),
        ([100, 1, 1, 1, 1, 1, 1], 1),
        ([3, 1, 1, 1, 1, 1, 1], 0),
        ([4, 1, 1, 1, 1, 1, 1], 1),
        ([100, 7, 6, 1, 1, 1, 1, 1, 1], 3),
        ([100, 6, 6, 1, 1, 1, 1, 1, 1], 1),
        ([9, 7, 6, 1, 1, 1, 1, 1, 1], 0),
    ],
)
def test_what_is_merged_is_half_as_large_as_all_that_is_newer(sizes: list[int], start: int) -> None:
    assert first_to_merge([(f"{number}", size, 0) for number, size in enumerate(sizes)]) == start


def test_a_large_state_is_seldom_written_again_for_small_changes() -> None:
    sizes, written = [1000], 0
    for _ in range(500):
        sizes.append(1)
        start = first_to_merge([(f"{number}", size, 0) for number, size in enumerate(sizes)])
        if len(sizes) - start >= MERGE_FROM:
            written += sum(sizes[start:])
            sizes[start:] = [sum(sizes[start:])]
    assert sum(sizes) == 1500
    assert len(sizes) <= 25
    assert written < 5 * 500


# Forgetting


def test_the_shard_asks_to_be_woken_to_tidy(floor: Floor) -> None:
    floor.hears(unit())
    assert floor.shard.next_wake() == NOON + TIDY_EVERY
    floor.waits(NOON + TIDY_EVERY)
    assert floor.shard.next_wake() == NOON + 2 * TIDY_EVERY


def test_ids_go_when_the_slowest_partition_has_passed_them(floor: Floor) -> None:
    said = unit(event_id="once")
    floor.hears(said)
    floor.waits(NOON + 3 * WINDOW)
    assert len(floor.shard.ids) == 1, "the clock on the wall has no say"
    floor.slowest = NOON + WINDOW + HOUR - 1
    floor.waits(floor.now + TIDY_EVERY)
    assert len(floor.shard.ids) == 1
    floor.slowest += HOUR
    floor.waits(floor.now + TIDY_EVERY)
    assert len(floor.shard.ids) == 0


def test_nothing_is_forgotten_while_nobody_knows_how_far_the_slowest_is(floor: Floor) -> None:
    floor.hears(unit())
    floor.slowest = None
    floor.waits(NOON + 3 * WINDOW)
    assert len(floor.shard.ids) == 1
    assert floor.shard.items["SHOVEL"].places["DC1"].moves is not None  # type: ignore[union-attr]


def test_a_source_may_have_a_window_of_its_own() -> None:
    floor = Floor(reference_grace=0, source_windows={"erp": 3 * WINDOW})
    floor.takes(topology(), knows())
    floor.hears(unit(), unit(source="erp"))
    floor.slowest = NOON + WINDOW + HOUR
    floor.waits(NOON + WINDOW + HOUR)
    assert len(floor.shard.ids) == 1
    assert floor.config.widest_window == 3 * WINDOW
    item = floor.shard.find("SHOVEL")
    assert item is not None and len(item.places["DC1"].moves or ()) == 4, "a count of the slow source may come"
    floor.slowest = NOON + 3 * WINDOW + HOUR
    floor.waits(NOON + 3 * WINDOW + HOUR)
    assert len(floor.shard.ids) == 0
    assert item.places["DC1"].moves is None


def test_a_longer_default_window_is_the_widest() -> None:
    assert ShardConfig(shards=1, dedup_window=WINDOW, source_windows={"erp": HOUR}).widest_window == WINDOW
    assert ShardConfig(shards=1, dedup_window=WINDOW).widest_window == WINDOW


def test_lane_of_a_first_number_by_an_event_is_normal(floor: Floor) -> None:
    floor.takes(topology(shop=OPEN))
    floor.waits(floor.now + SECOND)
    floor.takes(knows("ROPE"))
    floor.takes(topology(shop=OPEN, web=OPEN))
    (update,) = floor.hears(unit(item="ROPE")).updates
    assert {change.channel: change.lane for change in update.channels} == {"shop": 1, "web": NORMAL}


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("released_first", [False, True])
def test_a_location_has_figures_once_it_is_named_in_whatever_order_it_was(
    floor: Floor, released_first: bool, crashes: bool
) -> None:
    """Reserved and given back, or given back and reserved: nothing is left, and both leave the same."""
    floor.takes(knows(facts=packed(ItemFacts(safety_stock=(("DC2", 4),)))))
    words = [order(EventType.ORDER_ALLOCATED, location="DC2"), order(EventType.ORDER_RELEASED, location="DC2")]
    for word in reversed(words) if released_first else words:
        floor.hears(word)
        if crashes:
            floor.crashes()
    floor.takes(knows(facts=packed(ItemFacts(safety_stock=(("DC2", 5),)))))
    shown = {field: figure for update in floor.sent for field, figure in update.fields.items() if figure}
    assert shown["DC2:available"] == -5


@pytest.mark.parametrize(
    "first",
    [
        {"kind": EventType.STOCK_COUNTED, "quantity": 0},
        {"kind": EventType.LOT_HELD, "quantity": None, "lot": "L1", "location": "", "status": ""},
        {"kind": EventType.STOCK_RECEIVED, "quantity": 5, "location": "DC9"},
    ],
    ids=lambda first: str(first["kind"].name),
)
@pytest.mark.parametrize("is_listed", [True, False])
def test_the_first_event_of_an_item_is_said_also_where_no_number_changed(
    first: dict[str, Any], is_listed: bool
) -> None:
    floor = Floor()
    floor.takes(topology())
    floor.takes(*([] if is_listed else [lists("SHOVEL", listed=False)]), knows())
    (said,) = floor.hears(unit(**first)).updates
    assert (said.as_of, said.is_first, bool(said.fields)) == (NOON, is_listed, True)
    assert not floor.hears(unit(EventType.STOCK_COUNTED, 0, at=NOON + 1)).updates or first["quantity"]
    floor.open(floor.shard.snapshot())
    floor.takes(topology())
    assert not any(said.is_first for said in floor.hears(unit(**first, at=NOON + 2)).updates), "it was said before"


# Items at thousands of locations


def spread(code: str, places: int) -> Item:
    item = Item(code)
    item.policy = EACH
    item.places = {f"L{number}": Place() for number in range(places)}
    return item


def sweeping(floor: Floor, shard: Shard, *items: Item) -> None:
    """A shard that has to look at all of its items again, as after a change of channels."""
    shard.process([topology(2)])
    shard.items = {item.code: item for item in items}
    shard.process([topology(2, web=ChannelFacts(("DC1",)))])
    assert shard.is_sweeping


def test_an_item_at_many_locations_fills_its_slice_of_a_sweep() -> None:
    floor = Floor()
    sweeping(floor, floor.shard, *(spread(f"item-{number}", 256) for number in range(8)))
    slices = 0
    while floor.shard.is_sweeping:
        floor.shard.wake()
        slices += 1
    assert slices == 4, "eight small items are one slice; at 256 locations each, two are"


def test_items_at_thousands_of_locations_take_turns_over_all_shards_of_a_process() -> None:
    floor = Floor()
    other = Shard(2, floor.config, floor.segments, lambda: floor.now, floor)
    for shard in (floor.shard, other):
        sweeping(floor, shard, spread("WIDE", 5_000), spread("NARROW", 1))
        shard.wake()
    assert other.is_sweeping, "the other's wide item waits until the first shard's is through"
    due = other.next_wake()
    assert due is not None and floor.now < due <= floor.now + 5_000 * 10
    floor.now = due
    other.wake()
    floor.now += SECOND
    while floor.shard.is_sweeping or other.is_sweeping:
        floor.shard.wake()
        other.wake()


def test_nothing_waits_for_its_turn_when_all_input_has_ended() -> None:
    floor = Floor()
    sweeping(floor, floor.shard, *(spread(f"WIDE-{number}", 2_000) for number in range(3)))
    outcome = floor.shard.finish()
    assert outcome is not None and not floor.shard.is_sweeping


@pytest.mark.parametrize(("version", "is_read"), [(1, True), (2, True), (3, True), (4, True), (5, False)])
def test_a_snapshot_of_the_format_before_is_read_and_one_of_a_later_is_not(version: int, is_read: bool) -> None:
    floor = Floor()
    floor.takes(topology(2), knows())
    floor.hears(unit(quantity=4))
    snapshot = msgspec.msgpack.encode((version, *msgspec.msgpack.decode(floor.shard.snapshot())[1:]))
    if is_read:
        floor.open(snapshot)
        assert len(floor.shard.ids) == 1
    else:
        with pytest.raises(ValueError, match="format 5"):
            floor.open(snapshot)
