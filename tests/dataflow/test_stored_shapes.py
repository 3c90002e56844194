"""The fields of everything that is written to disk or handed to another process, by name and order.

An array's fields are known by their place, a map's by their name: a field that moves or is renamed reads as its
default: all safety stocks are 0 after an upgrade. A new field goes to the end, with a default, and into the list.
"""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from flows.kafka.identity import Inputs, TopicFacts
from flows.publishing.saved import Saved, pack_offsets, unpack_offsets
from flows.readmodel.requests import Request
from flows.runtime.progress import PartProgress
from flows.sources import events
from flows.sources import reference as reference_source
from operators import evaluate, reference
from operators.rules import lanes
from operators.rules.policy import ItemFacts, OverrideFacts
from operators.rules.topology import ChannelFacts, LocationFacts
from schemas.messages import ExceptionNote, ItemRecord, Outcome, Refused, Republish, SourcesSeen, TopologyRecord
from schemas.units import UNIT_FIELDS, Origin, Refusal, Unit, unit_from


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (ItemFacts, "base_uom scale conversions safety_stock low_stock_threshold rounding unit_value"),
        (
            OverrideFacts,
            "buffer_quantity buffer_percent cap minimum low_stock_threshold protected_quantity safety_stock listed",
        ),
        (LocationFacts, "parent sellable deducts_at"),
        (
            ChannelFacts,
            "locations priority buffer_quantity buffer_percent cap minimum low_stock_threshold horizon_days "
            "promise_in_transit protected_quantity max_updates_per_second listing min_days_left",
        ),
    ],
)
def test_what_is_kept_of_reference_records_is_known_by_its_names(kind: type, names: str) -> None:
    assert " ".join(one.name for one in fields(kind)) == names


def test_facts_are_maps_on_disk() -> None:
    item = ItemFacts("kg", 1, (("case", Fraction(5, 2)),), (("EAST", 40),), 7)
    raw = reference.packed(item)
    assert msgspec.msgpack.decode(raw) == {
        "base_uom": "kg",
        "scale": 1,
        "conversions": [["case", "5/2"]],
        "safety_stock": [["EAST", 40]],
        "low_stock_threshold": 7,
    }
    assert evaluate.item_facts(raw) == item
    override = OverrideFacts(cap=Fraction(5), safety_stock=(("*", Fraction(1, 2)),))
    raw = reference.packed(override)
    assert msgspec.msgpack.decode(raw)["safety_stock"] == [["*", "1/2"]]
    assert reference.unpack_override(raw) == override


def test_fields_that_came_later_are_left_out_where_nothing_is_said_of_them() -> None:
    tables = reference.ReferenceTables()
    tables.locations, tables.channels = {"DC": LocationFacts()}, {"web": ChannelFacts(("DC",))}
    for raw in (reference.packed(ItemFacts()), reference.packed(OverrideFacts()), tables.pack()):
        for name in (*reference.LATER, reference.LISTED_GIVEN):
            assert name.encode() not in raw, name
    item = ItemFacts(rounding="safe", unit_value=Fraction(1999, 100))
    raw = reference.packed(item)
    assert {name: msgspec.msgpack.decode(raw)[name] for name in ("rounding", "unit_value")} == {
        "rounding": "safe",
        "unit_value": "1999/100",
    }
    assert evaluate.item_facts(raw) == item
    tables.channels = {"web": ChannelFacts(("DC",), listing="explicit", min_days_left=14)}
    tables = reference.ReferenceTables(reference.packed((tables.locations, tables.channels)))
    assert tables.channels == {"web": ChannelFacts(("DC",), listing="explicit", min_days_left=14)}


@pytest.mark.parametrize(
    ("listed", "stored"),
    [(None, {"listed": True}), (True, {"listed": True, "listed_given": True}), (False, {"listed": False})],
)
def test_whether_an_item_is_listed_is_stored_as_it_was_and_beside_it_that_it_was_given(
    listed: bool | None, stored: dict[str, bool]
) -> None:
    raw = reference.packed(OverrideFacts(listed=listed))
    said = msgspec.msgpack.decode(raw)
    assert {name: value for name, value in said.items() if name.startswith("listed")} == stored
    assert reference.unpack_override(raw) == OverrideFacts(listed=listed)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Saved, "saved_at waiting reached held open version"),
        (reference_source._Saved, "positions tables waiting topic_ids reconciliation"),
        (PartProgress, "position clock caught_up"),
        (Request, "asked_at item channel"),
        (Republish, "item channel cause until"),
        (ItemRecord, "item channel facts refusal_origin"),
        (TopologyRecord, "tables shard"),
        (SourcesSeen, "seen"),
        (Refused, "refusals"),
        (ExceptionNote, "code item location reference quantities first_seen last_seen is_open source"),
        (Outcome, "shard reached updates refusals exceptions counts ended recorded filled"),
        (Origin, "topic partition offset timestamp_ms key value attempts late_accepted"),
        (Refusal, "origin code message line_id source type"),
    ],
)
def test_arrays_begin_with_these_fields_in_this_order(kind: type, names: str) -> None:
    assert kind.__struct_config__.array_like or kind is Republish
    assert " ".join(one.name for one in msgspec.structs.fields(kind)).startswith(names)


def test_what_a_partition_of_events_keeps() -> None:
    waiting = Origin("inventory.orders", 0, 7, 1_700_000_000_000, b"key", b"{}")
    raw = msgspec.msgpack.encode((8, 9, [(10, waiting, 11)]))
    assert events._state.decode(raw)[:3] == (8, 9, [(10, waiting, 11)])


def test_the_offsets_that_redis_keeps_of_a_shard() -> None:
    raw = msgspec.msgpack.encode(({"inventory.orders/0": 3}, 7))
    assert pack_offsets({"inventory.orders/0": 3}, 7) == raw
    assert unpack_offsets(raw) == ({"inventory.orders/0": 3}, 7)


def test_what_the_state_directory_says_of_topics() -> None:
    assert [one.name for one in msgspec.structs.fields(Inputs)][:2] == ["cluster", "topics"]
    assert [one.name for one in msgspec.structs.fields(TopicFacts)][:2] == ["id", "partitions"]


def test_the_numbers_of_lanes_which_waiting_updates_are_stored_with() -> None:
    assert (lanes.CRITICAL, lanes.HIGH, lanes.NORMAL, lanes.BULK) == (0, 1, 2, 3)
    assert lanes.LANES == ("critical", "high", "normal", "bulk")


def unit(**given: Any) -> Unit:
    origin = Origin("inventory.orders", 0, 7, 1_700_000_000_000, b"key", b"{}")
    return Unit(20, "SHOVEL", "shop", "e-1", "l-1", 5, 6, origin, **given)


@pytest.mark.parametrize("verdict", [None, ("late", "occurred_at: too long ago")])
def test_a_stored_unit_is_read_by_the_names_of_its_fields(verdict: tuple[str, str] | None) -> None:
    before = unit(verdict=verdict)
    assert unit_from(msgspec.msgpack.decode(msgspec.msgpack.encode(before.values()))) == before


def test_a_unit_that_an_earlier_version_stored_lacks_only_what_came_later() -> None:
    before = unit(channel="web", quantity=3)
    upto = UNIT_FIELDS.index("channel") + 1
    read = unit_from(msgspec.msgpack.decode(msgspec.msgpack.encode(before.values()[:upto])))
    assert read == before
