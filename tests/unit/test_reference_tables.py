"""Judging reference records side by side: what is accepted, what waits, and what leaves the older word in force."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import permutations
from typing import Any

import msgspec
import pytest

from operators import reference
from operators.evaluate import item_facts
from operators.reference import (
    ReferenceTables,
    common_part,
    packed,
    unpack_override,
    unpack_reconciliation,
    unpack_topology,
)
from operators.rules.policy import ItemFacts, OverrideFacts
from operators.rules.reconciliation import ReconciliationFacts
from operators.rules.topology import ChannelFacts, LocationFacts
from schemas.messages import ItemRecord
from schemas.reference import HORIZON_DAYS_MAX
from schemas.units import Origin, Refusal

NOON = 1_750_000_000_000_000
SECOND = 1_000_000
KEY_FIELDS = {
    "items": ("item",),
    "locations": ("location",),
    "channels": ("channel",),
    "channel_items": ("channel", "item"),
    "reconciliation": ("source",),
}


class Desk:
    """A reader of the reference topics: gives each record the next offset of its topic."""

    def __init__(self, tables: ReferenceTables | None = None, grace: int = SECOND) -> None:
        self.tables = tables or ReferenceTables()
        self.grace = grace
        self.offsets = dict.fromkeys(KEY_FIELDS, 0)

    def record(self, kind: str, key: str, value: object) -> tuple[str, Origin]:
        offset = self.offsets[kind]
        self.offsets[kind] = offset + 1
        raw = None if value is None else json.dumps(value).encode()
        return kind, Origin(f"inventory.{kind}", 0, offset, NOON // 1000, key.encode(), raw)

    def say(self, kind: str, **fields: Any) -> tuple[str, Origin]:
        return self.record(kind, ":".join(str(fields[name]) for name in KEY_FIELDS[kind]), fields)

    def delete(self, kind: str, key: str) -> tuple[str, Origin]:
        return self.record(kind, key, None)

    def accept(self, *records: tuple[str, Origin], at: int = NOON) -> tuple[list[ItemRecord], list[Refusal], bool]:
        return self.tables.accept(list(records), at, self.grace)


def messages(refused: list[Refusal]) -> list[str]:
    assert all(refusal.code == "bad_value" for refusal in refused)
    return [refusal.message for refusal in refused]


def test_locations_and_channels_come_into_force() -> None:
    desk = Desk()
    accepted, refused, changed = desk.accept(
        desk.say("locations", location="EU", sellable=False),
        desk.say("locations", location="DC", parent="EU", deducts_at="pick"),
        desk.say(
            "channels",
            channel="web",
            locations=["EU"],
            priority=2,
            buffer_percent=12.5,
            cap=9,
            horizon_days=7,
            promise_in_transit=True,
            max_updates_per_second=0.5,
        ),
    )
    assert (accepted, refused, changed) == ([], [], True)
    assert desk.tables.locations == {"EU": LocationFacts("", False, "first"), "DC": LocationFacts("EU", True, "pick")}
    assert desk.tables.channels == {
        "web": ChannelFacts(
            locations=("EU",),
            priority=2,
            buffer_percent=Fraction(25, 2),
            cap=9,
            horizon_days=7,
            promise_in_transit=True,
            max_updates_per_second=0.5,
        )
    }


def test_a_threshold_that_was_not_given_leaves_the_word_to_the_item() -> None:
    desk = Desk()
    desk.accept(
        desk.say("channels", channel="silent", locations=[]),
        desk.say("channels", channel="null", locations=[], low_stock_threshold=None),
        desk.say("channels", channel="zero", locations=[], low_stock_threshold=0),
    )
    thresholds = {code: facts.low_stock_threshold for code, facts in desk.tables.channels.items()}
    assert thresholds == {"silent": None, "null": None, "zero": 0}


def test_items_are_handed_on_in_their_own_units() -> None:
    desk = Desk()
    accepted, refused, changed = desk.accept(
        desk.say("locations", location="DC"),
        desk.say(
            "items",
            item="FLOUR",
            base_uom="kg",
            scale=1,
            conversions={"sack": "12.5", "gram": "0.001"},
            safety_stock={"*": 0, "DC": 2.5},
            low_stock_threshold=10,
        ),
    )
    assert (refused, changed) == ([], True)
    assert [(record.item, record.channel) for record in accepted] == [("FLOUR", "")]
    assert accepted[0].facts is not None
    assert item_facts(accepted[0].facts) == ItemFacts(
        base_uom="kg",
        scale=1,
        conversions=(("gram", Fraction(1, 1000)), ("sack", Fraction(25, 2))),
        safety_stock=(("*", 0), ("DC", 25)),
        low_stock_threshold=100,
    )
    # what the shard needs for a refusal of its own: the change of a scale while the item has state
    origin = Origin(*accepted[0].refusal_origin)
    assert (origin.topic, origin.offset, origin.key) == ("inventory.items", 0, b"FLOUR")


def test_channel_items_are_handed_on_exactly() -> None:
    desk = Desk()
    accepted, refused, _ = desk.accept(
        desk.say("locations", location="DC"),
        desk.say("channels", channel="web", locations=["DC"]),
        desk.say(
            "channel_items", channel="web", item="FLOUR", cap="2.5", safety_stock={"DC": 0.1, "*": 1}, listed=False
        ),
    )
    assert refused == []
    assert [(record.item, record.channel) for record in accepted] == [("FLOUR", "web")]
    assert accepted[0].facts is not None
    assert unpack_override(accepted[0].facts) == OverrideFacts(
        cap=Fraction(5, 2), safety_stock=(("*", Fraction(1)), ("DC", Fraction(1, 10))), listed=False
    )


def facts_of(desk: Desk, kind: str, **fields: Any) -> bytes:
    (accepted,), refused, _ = desk.accept(desk.say(kind, **fields))
    assert refused == [] and accepted.facts is not None
    return accepted.facts


def test_what_is_rounded_and_what_a_unit_is_worth_are_handed_on() -> None:
    raw = facts_of(
        Desk(), "items", item="COLA", base_uom="case", conversions={"can": "1/12"}, rounding="safe", unit_value="19.99"
    )
    assert item_facts(raw) == ItemFacts(
        base_uom="case", conversions=(("can", Fraction(1, 12)),), rounding="safe", unit_value=Fraction(1999, 100)
    )


def test_a_channel_says_which_items_it_lists_and_how_long_a_lot_must_keep() -> None:
    desk = Desk()
    desk.accept(
        desk.say("channels", channel="web", locations=[]),
        desk.say("channels", channel="club", locations=[], listing="explicit", min_days_left=30),
    )
    channels = ReferenceTables(desk.tables.pack()).channels
    assert channels == desk.tables.channels
    assert [(facts.listing, facts.min_days_left) for facts in channels.values()] == [("explicit", 30), ("all", 0)]


@pytest.mark.parametrize(
    ("said", "listed"),
    [({}, None), ({"cap": 5}, None), ({"listed": None}, None), ({"listed": True}, True), ({"listed": False}, False)],
)
def test_whether_listed_was_given_is_handed_on(said: dict[str, Any], listed: bool | None) -> None:
    desk = Desk()
    desk.accept(desk.say("channels", channel="web", locations=[]))
    assert unpack_override(facts_of(desk, "channel_items", channel="web", item="FLOUR", **said)).listed is listed


# What the first version stored of these records. A record that uses nothing newer is stored in the same bytes, so an
# upgrade finds no item's facts changed, and the topology in the version that it had.
FLOUR = (
    b"\x85\xa8base_uom\xa2kg\xa5scale\x01\xabconversions\x91\x92\xa4sack\xa425/2\xacsafety_stock\x91\x92\xa2DC\x19"
    b"\xb3low_stock_threshold\xc0"
)
FLOUR_ON_WEB = (
    b"\x88\xafbuffer_quantity\xc0\xaebuffer_percent\xc0\xa3cap\xa35/2\xa7minimum\xc0\xb3low_stock_threshold\xc0"
    b"\xb2protected_quantity\xc0\xacsafety_stock\xc0\xa6listed\xc3"
)
TABLES = (
    b"\x92\x81\xa2DC\x83\xa6parent\xa0\xa8sellable\xc3\xaadeducts_at\xa5first\x81\xa3web\x8b\xa9locations\x91\xa2DC"
    b"\xa8priorityd\xafbuffer_quantity\xc0\xaebuffer_percent\xa425/2\xa3cap\t\xa7minimum\xc0\xb3low_stock_threshold"
    b"\xc0\xachorizon_days\x00\xb2promise_in_transit\xc2\xb2protected_quantity\xc0\xb6max_updates_per_second\xc0"
)


def test_records_that_say_nothing_new_are_stored_in_the_bytes_that_they_always_were() -> None:
    desk = Desk()
    desk.accept(
        desk.say("locations", location="DC"),
        desk.say("channels", channel="web", locations=["DC"], cap=9, buffer_percent=12.5),
    )
    item = {"item": "FLOUR", "base_uom": "kg", "scale": 1, "conversions": {"sack": "12.5"}, "safety_stock": {"DC": 2.5}}
    assert facts_of(desk, "items", **item) == FLOUR
    assert facts_of(desk, "items", **item, rounding="refuse", unit_value=None) == FLOUR
    assert facts_of(desk, "channel_items", channel="web", item="FLOUR", cap="2.5") == FLOUR_ON_WEB
    unlisted = facts_of(desk, "channel_items", channel="web", item="FLOUR", cap="2.5", listed=False)
    assert unlisted == FLOUR_ON_WEB[:-1] + b"\xc2"
    assert desk.tables.pack() == TABLES
    assert unpack_topology(TABLES).version == 5876946612818994355


def test_what_the_first_version_stored_can_be_read() -> None:
    assert item_facts(FLOUR) == ItemFacts("kg", 1, (("sack", Fraction(25, 2)),), (("DC", 25),))
    assert unpack_override(FLOUR_ON_WEB) == OverrideFacts(cap=Fraction(5, 2)), (
        "perhaps given, so never counted as given"
    )
    assert unpack_override(FLOUR_ON_WEB[:-1] + b"\xc2") == OverrideFacts(cap=Fraction(5, 2), listed=False)
    assert ReferenceTables(TABLES).channels == {
        "web": ChannelFacts(("DC",), cap=9, buffer_percent=Fraction(25, 2), listing="all", min_days_left=0)
    }


def test_items_that_differ_in_what_a_unit_is_worth_have_the_rest_in_common() -> None:
    plain = ItemFacts("kg", 1, (("unit_value", Fraction(2)),))
    raw = packed(plain)
    assert common_part(raw) == raw
    for value in (Fraction(0), Fraction(1, 3)):
        worth = packed(ItemFacts("kg", 1, (("unit_value", Fraction(2)),), unit_value=value))
        assert worth != raw and common_part(worth) == raw
    assert common_part(FLOUR) is FLOUR


def test_topics_read_side_by_side_may_name_what_another_says_later_in_the_same_batch() -> None:
    desk = Desk()
    records = [
        desk.say("channel_items", channel="web", item="FLOUR", safety_stock={"ST-1": 1}),
        desk.say("items", item="FLOUR", safety_stock={"DC": 1}),
        desk.say("channels", channel="web", locations=["ST-1", "DC"]),
        desk.say("locations", location="ST-1", parent="DC"),
        desk.say("locations", location="DC", parent="EU"),
        desk.say("locations", location="EU"),
    ]
    expected = None
    for order in permutations(records):
        tables = ReferenceTables()
        accepted, refused, changed = tables.accept(list(order), NOON, 0)
        assert (refused, changed, tables.waiting) == ([], True, [])
        result = (tables.pack(), sorted((record.item, record.channel, record.facts) for record in accepted))
        expected = expected or result
        assert result == expected


def test_a_channel_waits_for_its_location_within_the_grace() -> None:
    desk = Desk()
    assert desk.accept(desk.say("channels", channel="web", locations=["DC"])) == ([], [], False)
    assert desk.accept(at=NOON + SECOND - 1) == ([], [], False)
    assert len(desk.tables.waiting) == 1
    assert desk.accept(desk.say("locations", location="DC"), at=NOON + SECOND - 1) == ([], [], True)
    assert desk.tables.channels["web"].locations == ("DC",)
    assert desk.tables.waiting == []


def test_after_the_grace_what_named_the_unknown_is_a_bad_value() -> None:
    desk = Desk()
    named = desk.say("channels", channel="web", locations=["DC"])
    desk.accept(named)
    accepted, refused, changed = desk.accept(at=NOON + SECOND)
    assert (accepted, changed) == ([], False)
    assert messages(refused) == ["location: expected a location of inventory.locations, got DC"]
    assert refused[0].origin == named[1]
    assert desk.accept(desk.say("locations", location="DC"), at=NOON + SECOND) == ([], [], True)
    assert desk.tables.channels == {}


def test_without_a_grace_it_is_one_at_once() -> None:
    desk = Desk(grace=0)
    _, refused, _ = desk.accept(
        desk.say("channels", channel="web", locations=["DC"]),
        desk.say("locations", location="ST-1", parent="EU"),
        desk.say("items", item="FLOUR", safety_stock={"*": 1, "DC": 1}),
        desk.say("channel_items", channel="app", item="FLOUR"),
    )
    assert sorted(messages(refused)) == [
        "channel: expected a channel of inventory.channels, got app",
        "location: expected a location of inventory.locations, got DC",
        "location: expected a location of inventory.locations, got DC",
        "parent: expected a location of inventory.locations, got EU",
    ]
    assert desk.tables.waiting == []


def test_each_waits_for_its_own_grace() -> None:
    desk = Desk()
    desk.accept(desk.say("channels", channel="web", locations=["A"]))
    desk.accept(desk.say("channels", channel="app", locations=["B"]), at=NOON + SECOND // 2)
    assert messages(desk.accept(at=NOON + SECOND)[1]) == ["location: expected a location of inventory.locations, got A"]
    assert desk.accept(at=NOON + SECOND + SECOND // 2 - 1)[1] == []
    assert len(desk.accept(at=NOON + SECOND + SECOND // 2)[1]) == 1


def test_a_circle_of_parents_is_refused_and_the_older_word_stays() -> None:
    desk = Desk()
    desk.accept(
        desk.say("locations", location="EU"),
        desk.say("locations", location="DC", parent="EU"),
        desk.say("locations", location="ST-1", parent="DC"),
    )
    before = desk.tables.pack()
    accepted, refused, changed = desk.accept(desk.say("locations", location="EU", parent="ST-1"))
    assert (accepted, changed) == ([], False)
    assert messages(refused) == ["parent: expected no circle, got ST-1, which is beneath it"]
    assert desk.tables.pack() == before


def test_a_location_is_not_its_own_parent() -> None:
    desk = Desk()
    _, refused, changed = desk.accept(desk.say("locations", location="DC", parent="DC"))
    assert len(refused) == 1
    assert (changed, desk.tables.locations, desk.tables.waiting) == (False, {}, [])


def test_a_circle_of_newcomers_never_comes_into_force() -> None:
    desk = Desk()
    records = (desk.say("locations", location="A", parent="B"), desk.say("locations", location="B", parent="A"))
    assert desk.accept(*records) == ([], [], False)
    _, refused, _ = desk.accept(at=NOON + SECOND)
    assert len(refused) == 2
    assert desk.tables.locations == {}


def test_a_circle_through_a_deleted_location_is_refused_too() -> None:
    desk = Desk()
    desk.accept(desk.say("locations", location="A"), desk.say("locations", location="B", parent="A"))
    desk.accept(desk.delete("locations", "A"))
    _, refused, _ = desk.accept(desk.say("locations", location="A", parent="B"))
    assert len(refused) == 1
    assert "A" not in desk.tables.locations


def test_a_tree_may_be_turned_around_step_by_step() -> None:
    desk = Desk()
    desk.accept(desk.say("locations", location="A"), desk.say("locations", location="B", parent="A"))
    _, refused, changed = desk.accept(
        desk.say("locations", location="B"), desk.say("locations", location="A", parent="B")
    )
    assert (refused, changed) == ([], True)
    assert desk.tables.locations["A"].parent == "B"


@pytest.mark.parametrize(
    "wrong",
    [
        {"locations": ["DC"], "priority": 0},
        {"locations": ["DC"], "cap": 1, "minimum": 2},
        {"locations": ["NOWHERE"], "priority": 1},
        {"priority": 1},
    ],
)
def test_a_wrong_record_leaves_the_older_one_in_force(wrong: dict[str, Any]) -> None:
    desk = Desk(grace=0)
    desk.accept(desk.say("locations", location="DC"), desk.say("channels", channel="web", locations=["DC"], priority=7))
    before = desk.tables.pack()
    _, refused, changed = desk.accept(desk.say("channels", channel="web", **wrong))
    assert (len(refused), changed) == (1, False)
    assert refused[0].code == "bad_value"
    assert desk.tables.pack() == before


def test_a_wrong_record_among_others_stops_nothing() -> None:
    desk = Desk()
    accepted, refused, changed = desk.accept(
        desk.record("locations", "DC", "not an object"),
        desk.record("items", "TEA", {"item": "COFFEE"}),
        desk.say("locations", location="ST-1"),
        desk.say("items", item="FLOUR"),
    )
    assert len(refused) == 2
    assert [record.item for record in accepted] == ["FLOUR"]
    assert (changed, list(desk.tables.locations)) == (True, ["ST-1"])


def test_the_newest_record_of_a_key_stands() -> None:
    desk = Desk()
    desk.accept(
        desk.say("locations", location="DC", deducts_at="pick"),
        desk.say("locations", location="DC", deducts_at="shipment"),
    )
    assert desk.tables.locations["DC"].deducts_at == "shipment"


def test_what_waited_does_not_overwrite_what_came_after_it() -> None:
    desk = Desk()
    desk.accept(desk.say("locations", location="DC"))
    desk.accept(desk.say("channels", channel="web", locations=["LATER"], priority=1))
    desk.accept(desk.say("channels", channel="web", locations=["DC"], priority=2))
    desk.accept(desk.say("locations", location="LATER"))
    assert desk.tables.channels["web"].priority == 2
    assert desk.accept(at=NOON + 2 * SECOND) == ([], [], False)


def test_what_waited_stands_if_what_came_after_it_was_wrong() -> None:
    desk = Desk()
    desk.accept(desk.say("channels", channel="web", locations=["LATER"], priority=1))
    _, refused, _ = desk.accept(desk.say("channels", channel="web", locations=["LATER"], priority=0))
    assert len(refused) == 1
    desk.accept(desk.say("locations", location="LATER"))
    assert desk.tables.channels["web"].priority == 1


@pytest.mark.parametrize("at_once", [True, False])
def test_what_waited_until_it_was_history_is_refused_if_what_it_names_never_came(at_once: bool) -> None:
    desk = Desk()
    desk.accept(desk.say("locations", location="DC"))
    wrong = desk.say("items", item="FLOUR", safety_stock={"NOWHERE": 1})
    right = desk.say("items", item="FLOUR", safety_stock={"DC": 1})
    refused = []
    for records in [(wrong, right)] if at_once else [(wrong,), (right,)]:
        refused += desk.accept(*records)[1]
    assert messages(refused) == ["location: expected a location of inventory.locations, got NOWHERE"]
    assert refused[0].origin == wrong[1]


def test_a_tombstone_ends_what_waited_for_the_same_key() -> None:
    desk = Desk()
    desk.accept(desk.say("channels", channel="web", locations=["LATER"]))
    desk.accept(desk.delete("channels", "web"))
    assert desk.accept(desk.say("locations", location="LATER"))[1] == []
    assert desk.tables.channels == {}


def test_a_tombstone_deletes() -> None:
    desk = Desk()
    desk.accept(desk.say("locations", location="DC"), desk.say("channels", channel="web", locations=["DC"]))
    assert desk.accept(desk.delete("channels", "web")) == ([], [], True)
    assert desk.accept(desk.delete("locations", "DC")) == ([], [], True)
    assert desk.tables.pack() == ReferenceTables().pack()
    assert desk.accept(desk.delete("locations", "DC"), desk.delete("channels", "web")) == ([], [], False)


def test_tombstones_of_items_are_handed_on() -> None:
    desk = Desk()
    accepted, refused, changed = desk.accept(desk.delete("items", "FLOUR"), desk.delete("channel_items", "web:FLOUR"))
    assert accepted == [ItemRecord("FLOUR", "", None), ItemRecord("FLOUR", "web", None)]
    assert (refused, changed) == ([], False)


@pytest.mark.parametrize("key", [b"\xff\xfe", b"", b"web", b":", None])
def test_a_tombstone_of_nothing_known_does_nothing(key: bytes | None) -> None:
    desk = Desk()
    desk.accept(desk.say("locations", location="DC"))
    before = desk.tables.pack()
    for kind in ("locations", "channels", "channel_items"):
        assert desk.tables.accept([(kind, Origin("t", 0, 9, 0, key, None))], NOON, SECOND) == ([], [], False)
    assert desk.tables.pack() == before


def test_saying_the_same_again_changes_nothing() -> None:
    desk = Desk()
    records = (desk.say("locations", location="DC"), desk.say("channels", channel="web", locations=["DC"]))
    assert desk.accept(*records)[2] is True
    again = (desk.say("locations", location="DC"), desk.say("channels", channel="web", locations=["DC"]))
    assert desk.accept(*again)[2] is False


def test_equal_tables_give_equal_bytes_and_these_give_the_tables_back() -> None:
    def fill(*order: int) -> ReferenceTables:
        desk = Desk()
        records = [
            desk.say("locations", location="EU"),
            desk.say("locations", location="DC", sellable=False, deducts_at="shipment"),
            desk.say("channels", channel="web", locations=["EU"], buffer_percent="33.3", protected_quantity=5),
            desk.say("channels", channel="app", locations=["DC", "EU"], max_updates_per_second=2, minimum=1),
        ]
        desk.accept(*(records[index] for index in order))
        return desk.tables

    tables = fill(0, 1, 2, 3)
    assert fill(3, 2, 1, 0).pack() == tables.pack()
    again = ReferenceTables(tables.pack())
    assert again.locations == tables.locations
    assert again.channels == tables.channels
    assert again.channels["web"].buffer_percent == Fraction(333, 10)
    assert again.pack() == tables.pack()
    topology = unpack_topology(tables.pack())
    assert topology.sells == {"web": ("EU",), "app": ("EU",)}
    assert topology.version == unpack_topology(fill(1, 0, 3, 2).pack()).version
    assert topology.version != unpack_topology(fill(0).pack()).version


def test_reloaded_tables_go_on_where_the_others_were() -> None:
    desk = Desk()
    desk.accept(desk.say("locations", location="DC"), desk.say("channels", channel="web", locations=["LATER"]))
    packed = msgspec.msgpack.encode((desk.tables.pack(), desk.tables.waiting))
    kept, waiting = msgspec.msgpack.decode(packed, type=tuple[bytes, list[tuple[str, Origin, int]]])
    again = Desk(ReferenceTables(kept))
    again.tables.waiting = waiting
    again.offsets["locations"] = 1
    assert again.accept(again.say("locations", location="LATER", parent="DC"), at=NOON + 1) == ([], [], True)
    assert again.tables.channels["web"].locations == ("LATER",)


def test_a_deep_tree_sent_upside_down_comes_into_force_whole() -> None:
    desk = Desk()
    names = [f"L{number}" for number in range(60)]
    records = [
        desk.say("locations", location=name, **({"parent": names[number - 1]} if number else {}))
        for number, name in enumerate(names)
    ]
    _, refused, _ = desk.accept(*reversed(records))
    assert refused == []
    assert set(desk.tables.locations) == set(names)


# How much there may be


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test reaches."""
    for name, most in (("LOCATIONS_MAX", 3), ("CHANNELS_MAX", 2), ("PAIRS_MAX", 5)):
        monkeypatch.setattr(reference, name, most)


def test_what_is_too_much_is_refused_with_the_number_that_stands_for_it(small: None) -> None:
    desk = Desk()
    said = [desk.say("locations", location=f"L{number}") for number in range(4)]
    _, refused, _ = desk.tables.accept(said, NOON, 0)
    assert [one.message for one in refused] == ["location: expected at most 3 locations, got one more (L3)"]
    _, refused, _ = desk.tables.accept(
        [desk.say("channels", channel=f"C{number}", locations=[]) for number in range(3)], NOON, 0
    )
    assert [one.message for one in refused] == [
        "channel: expected at most 5 locations x channels, got 6 with this one",
        "channel: expected at most 5 locations x channels, got 6 with this one",
    ]
    desk.tables.accept([desk.delete("locations", "L0"), desk.delete("locations", "L1")], NOON, 0)
    _, refused, _ = desk.tables.accept(
        [desk.say("channels", channel=f"C{number}", locations=[]) for number in range(1, 3)], NOON, 0
    )
    assert [one.message for one in refused] == ["channel: expected at most 2 channels, got one more (C2)"]
    _, refused, _ = desk.tables.accept([desk.say("locations", location=f"L{number}") for number in (3, 4)], NOON, 0)
    assert [one.message for one in refused] == [
        "location: expected at most 5 locations x channels, got 6 with this one"
    ]
    assert sorted(desk.tables.locations) == ["L2", "L3"] and sorted(desk.tables.channels) == ["C0", "C1"]


def test_what_is_known_may_always_be_said_anew(small: None) -> None:
    desk = Desk()
    desk.tables.accept([desk.say("locations", location=f"L{number}") for number in range(3)], NOON, 0)
    _, refused, changed = desk.tables.accept([desk.say("locations", location="L1", sellable=False)], NOON, 0)
    assert (refused, changed) == ([], True)


def test_four_channels_of_ten_thousand_locations_and_180_days_are_far_below_the_limits() -> None:
    assert reference.LOCATIONS_MAX >= 10 * 10_000
    assert reference.PAIRS_MAX >= 10 * 4 * 10_000
    assert HORIZON_DAYS_MAX == 180


def test_large_tables_are_handed_on_and_kept_compressed_and_mean_the_same() -> None:
    tables = ReferenceTables()
    tables.locations = {f"location-{number}": LocationFacts() for number in range(2_000)}
    tables.channels = {"web": ChannelFacts(tuple(tables.locations))}
    packed = tables.pack()
    assert len(packed) < tables.size / 4 and tables.pack() is packed
    assert unpack_topology(packed).locations == tables.locations
    again = ReferenceTables(packed)
    assert (again.locations, again.channels) == (tables.locations, tables.channels)
    assert again.pack() == packed


def test_tables_stored_as_they_are_have_the_version_they_had() -> None:
    tables = ReferenceTables()
    tables.locations = {f"location-{number}": LocationFacts() for number in range(2_000)}
    plain = reference.packed((tables.locations, {}))
    assert ReferenceTables(plain).locations == tables.locations
    tables.locations = dict(sorted(tables.locations.items()))
    plain = reference.packed((tables.locations, {}))
    assert unpack_topology(plain).version == unpack_topology(tables.pack()).version


def test_a_change_is_in_what_is_packed_next() -> None:
    desk = Desk()
    desk.tables.accept([desk.say("locations", location="DC1")], NOON, 0)
    before = desk.tables.pack()
    desk.tables.accept([desk.delete("locations", "DC1")], NOON, 0)
    assert desk.tables.pack() != before
    assert unpack_topology(desk.tables.pack()).locations == {}


# --- what is done about variances -----------------------------------------------------------------------------------


def with_places() -> Desk:
    desk = Desk()
    desk.accept(
        desk.say("locations", location="EU"),
        desk.say("locations", location="DC", parent="EU"),
        desk.say("locations", location="US"),
    )
    return desk


def test_rules_of_reconciliation_come_into_force_and_change_no_promise() -> None:
    desk = with_places()
    before = desk.tables.pack()
    said = desk.say(
        "reconciliation",
        source="erp",
        tolerance="0.5",
        tolerance_percent=1,
        actions={"on_hand": "correct", "available": "report", "quarantined": "hold"},
        locations=["EU"],
        max_rows_in_variance_percent=10,
    )
    assert desk.accept(said) == ([], [], False)
    assert desk.tables.pack() == before
    facts = desk.tables.reconciliation["erp"]
    assert facts == ReconciliationFacts(
        Fraction(1, 2), Fraction(1), (("on_hand", "correct"), ("quarantined", "hold")), ("EU",), Fraction(10)
    )
    assert facts.min_rows_percent_of_last == 90
    assert desk.tables.has_new_reconciliation
    desk.tables.has_new_reconciliation = False
    desk.accept(desk.delete("reconciliation", "erp"))
    assert not desk.tables.reconciliation and desk.tables.has_new_reconciliation


def test_rules_of_reconciliation_are_stored_apart_and_read_again() -> None:
    desk = with_places()
    assert desk.tables.pack_reconciliation() == b""
    desk.accept(desk.say("reconciliation", source="erp", tolerance=3, actions={"on_hand": "ask"}))
    raw = desk.tables.pack_reconciliation()
    assert unpack_reconciliation(raw) == desk.tables.reconciliation
    again = ReferenceTables(desk.tables.pack(), raw)
    assert again.reconciliation == desk.tables.reconciliation and again.has_new_reconciliation
    assert again.pack_reconciliation() == raw


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"actions": {"on_hand": "fix"}}, 'actions: expected report, hold, correct or ask, got "fix", at "on_hand"'),
        ({"actions": {"onhand": "hold"}}, "did you mean on_hand?"),
        ({"actions": {"atp": "hold"}}, "actions: expected report (only on_hand and quarantined are held or corrected)"),
        ({"actions": ["on_hand"]}, "actions: expected an object of measures, each with an action, got an array"),
        ({"tolerance": -1}, "tolerance: expected a quantity of 0 or more"),
        ({"tolerance_percent": 101}, "tolerance_percent: expected a percentage of 0 to 100, got 101"),
        ({"min_rows_percent_of_last": "x"}, "min_rows_percent_of_last: expected"),
        ({"locations": "EU"}, 'locations: expected an array of location codes, got "EU"'),
    ],
)
def test_a_wrong_rule_of_reconciliation_leaves_the_older_in_force(fields: dict[str, Any], told: str) -> None:
    desk = with_places()
    desk.accept(desk.say("reconciliation", source="erp", tolerance=7))
    accepted, refused, _ = desk.accept(desk.say("reconciliation", source="erp", **fields))
    assert not accepted
    (message,) = messages(refused)
    assert told in message
    assert desk.tables.reconciliation["erp"].tolerance == 7


def test_an_unknown_location_of_a_rule_is_waited_for_and_then_refused() -> None:
    desk = with_places()
    said = desk.say("reconciliation", source="erp", locations=["MARS"], actions={"on_hand": "hold"})
    assert desk.accept(said) == ([], [], False)
    _, refused, _ = desk.accept(at=NOON + SECOND)
    assert messages(refused) == ["location: expected a location of inventory.locations, got MARS"]
    later = desk.say("reconciliation", source="erp", locations=["MARS"])
    desk.accept(later)
    desk.accept(desk.say("locations", location="MARS"))
    assert desk.tables.reconciliation["erp"].locations == ("MARS",)


def test_a_second_source_that_corrects_the_same_is_refused() -> None:
    desk = with_places()
    desk.accept(desk.say("reconciliation", source="erp", actions={"on_hand": "correct"}, locations=["EU"]))
    _, refused, _ = desk.accept(
        desk.say("reconciliation", source="wms", actions={"on_hand": "correct"}, locations=["DC"])
    )
    assert messages(refused) == [
        "actions: expected one source that corrects on_hand at DC, where erp does; got wms as well"
    ]
    assert list(desk.tables.reconciliation) == ["erp"]
    elsewhere = desk.say("reconciliation", source="wms", actions={"on_hand": "correct"}, locations=["US"])
    assert desk.accept(elsewhere) == ([], [], False)
    everywhere = desk.say("reconciliation", source="erp", actions={"on_hand": "correct"})
    assert "at US, where wms does" in messages(desk.accept(everywhere)[1])[0]
    assert desk.tables.reconciliation["erp"].locations == ("EU",)
