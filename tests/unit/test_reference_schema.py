"""Reference records: what is accepted, kept exact, and told when it is refused."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from schemas.reference import Channel, ChannelItem, Item, Location, Record, ReferenceError, parse_reference


def item(**fields: Any) -> Record:
    return parse_reference("items", b"MILK-1L", json.dumps({"item": "MILK-1L", **fields}).encode())


def location(**fields: Any) -> Record:
    return parse_reference("locations", b"DC-NORTH", json.dumps({"location": "DC-NORTH", **fields}).encode())


def channel(**fields: Any) -> Record:
    value = {"channel": "web", "locations": ["DC-NORTH"], **fields}
    return parse_reference("channels", b"web", json.dumps(value).encode())


def channel_item(**fields: Any) -> Record:
    value = {"channel": "web", "item": "MILK-1L", **fields}
    return parse_reference("channel_items", b"web:MILK-1L", json.dumps(value).encode())


MAKERS = {"items": item, "locations": location, "channels": channel, "channel_items": channel_item}


def refusal(kind: str, **fields: Any) -> str:
    with pytest.raises(ReferenceError) as caught:
        MAKERS[kind](**fields)
    assert caught.value.code == "bad_value"
    return str(caught.value)


def raw_refusal(kind: str, key: bytes | None, value: bytes) -> str:
    with pytest.raises(ReferenceError) as caught:
        parse_reference(kind, key, value)
    assert caught.value.code == "bad_value"
    return str(caught.value)


def test_an_item_needs_no_more_than_its_code() -> None:
    assert item() == Item(item="MILK-1L")
    record = item()
    assert isinstance(record, Item)
    assert (record.base_uom, record.scale, record.conversions, record.safety_stock) == ("each", 0, {}, {})
    assert (record.low_stock_threshold, record.rounding, record.unit_value) == (None, "refuse", None)


def test_a_location_needs_no_more_than_its_code() -> None:
    record = location()
    assert isinstance(record, Location)
    assert (record.parent, record.sellable, record.deducts_at) == (None, True, "first")


def test_a_channel_needs_to_say_where_it_sells_from() -> None:
    record = channel()
    assert isinstance(record, Channel)
    assert record.locations == ["DC-NORTH"]
    assert (record.priority, record.low_stock_threshold, record.horizon_days) == (100, 0, 0)
    assert record.promise_in_transit is False
    assert (record.buffer_quantity, record.buffer_percent, record.cap, record.minimum) == (None, None, None, None)
    assert (record.protected_quantity, record.max_updates_per_second) == (None, None)
    assert (record.listing, record.min_days_left) == ("all", 0)
    assert raw_refusal("channels", b"web", b'{"channel": "web"}') == "locations: expected a value, got nothing"
    assert refusal("channels", locations=None) == "locations: expected a value, got nothing"


def test_a_channel_item_says_only_what_differs() -> None:
    record = channel_item(listed=False, cap="2.5")
    assert isinstance(record, ChannelItem)
    assert record.model_fields_set == {"channel", "item", "listed", "cap"}
    assert (record.cap, record.listed, record.safety_stock) == (Decimal("2.5"), False, None)


def test_a_null_is_a_field_that_is_absent() -> None:
    record = channel(low_stock_threshold=None, cap=None, minimum=3)
    assert record.model_fields_set == {"channel", "locations", "minimum"}
    assert item(base_uom=None, scale=None, safety_stock=None) == item()
    assert item(safety_stock={"DC-NORTH": None, "*": 2}) == item(safety_stock={"*": 2})


def test_unknown_fields_do_not_matter() -> None:
    assert item(color="white", schema_version=7) == item()


def test_numbers_stay_exact() -> None:
    value = b'{"item": "MILK-1L", "scale": 2, "conversions": {"pallet": 0.1, "tank": "1234567890.000001"}, '
    value += (
        b'"safety_stock": {"*": 0.10, "DC-NORTH": "2.50", "DC-SOUTH": 45035996273704.95}, "low_stock_threshold": 1e1}'
    )
    record = parse_reference("items", b"MILK-1L", value)
    assert isinstance(record, Item)
    assert record.conversions == {"pallet": Decimal("0.1"), "tank": Decimal("1234567890.000001")}
    assert record.safety_stock == {
        "*": Decimal("0.1"),
        "DC-NORTH": Decimal("2.5"),
        "DC-SOUTH": Decimal("45035996273704.95"),
    }
    assert record.low_stock_threshold == 10


@pytest.mark.parametrize(
    ("worth", "exact"),
    [
        ("1/12", Fraction(1, 12)),
        ("10/4", Fraction(5, 2)),
        ("7/1", Fraction(7)),
        ("9007199254740991/9007199254740991", Fraction(1)),
        ("2.5", Fraction(5, 2)),
        (12, Fraction(12)),
        (0.1, Fraction(1, 10)),
    ],
)
def test_a_conversion_is_a_number_or_a_ratio_of_two_whole_numbers(worth: object, exact: Fraction) -> None:
    record = item(conversions={"box": worth})
    assert isinstance(record, Item)
    assert Fraction(record.conversions["box"]) == exact


@pytest.mark.parametrize(
    "ratio",
    [
        "0/3",
        "3/0",
        "-1/3",
        "1/-3",
        "1.5/2",
        "1/2.5",
        "1 / 2",
        "1/2/3",
        "01/2",
        "+1/2",
        "1/",
        "/2",
        "a/b",
        "1e3/2",
        "\u0661/2",
        "1/2\n",
        f"{2**53}/1",
        f"1/{2**53}",
        "9" * 17 + "/1",
    ],
)
def test_what_is_no_ratio_is_told_with_what_came(ratio: str) -> None:
    told = refusal("items", conversions={"box": ratio})
    assert told.startswith(
        'conversions: expected a ratio "n/d" of two whole numbers of 1 or more, below 9007199254740992'
    )
    assert "got " in told and told.endswith(', at "box"') and len(told) < 300


@pytest.mark.parametrize("one", ["1/1", "3/3", "1", 1, 1.0])
def test_the_base_unit_is_worth_one_however_that_is_written(one: object) -> None:
    assert isinstance(item(conversions={"each": one}), Item)


@pytest.mark.parametrize(
    ("value", "kept"), [(0, "0"), ("19.99", "19.99"), (0.000000000001, "1e-12"), (2**53 - 1, "9007199254740991")]
)
def test_what_a_unit_is_worth_may_have_more_decimals_than_a_quantity(value: object, kept: str) -> None:
    record = item(unit_value=value)
    assert isinstance(record, Item)
    assert record.unit_value == Decimal(kept)


@pytest.mark.parametrize(("days", "kept"), [(0, 0), ("30", 30), (36_500, 36_500), (None, 0)])
def test_days_that_may_have_to_be_left(days: object, kept: int) -> None:
    record = channel(min_days_left=days)
    assert isinstance(record, Channel)
    assert record.min_days_left == kept


def test_words_of_the_record_are_as_they_stand() -> None:
    record, seller = item(rounding="safe"), channel(listing="explicit")
    assert isinstance(record, Item) and isinstance(seller, Channel)
    assert (record.rounding, seller.listing) == ("safe", "explicit")


def test_listed_is_true_where_it_is_not_given_and_that_can_be_told_from_a_true_that_was() -> None:
    silent, null, given = channel_item(), channel_item(listed=None), channel_item(listed=True)
    for record in (silent, null, given):
        assert isinstance(record, ChannelItem)
        assert record.listed is True
    assert ["listed" in record.model_fields_set for record in (silent, null, given)] == [False, False, True]


@pytest.mark.parametrize("scale", [0, 6, "3", 2.0])
def test_scales_that_can_be(scale: object) -> None:
    record = item(scale=scale)
    assert isinstance(record, Item)
    assert record.scale == int(float(str(scale)))


@pytest.mark.parametrize(
    ("kind", "fields", "told"),
    [
        ("items", {"scale": 7}, "scale: expected an integer of 0 to 6, got 7"),
        ("items", {"scale": -1}, "scale: expected an integer of 0 to 6, got -1"),
        ("items", {"scale": 0.5}, "scale: expected an integer of 0 to 6, got 0.5"),
        ("items", {"scale": True}, "scale: expected an integer of 0 to 6, got true"),
        ("items", {"base_uom": "kg m"}, "base_uom: expected a code of 1 to 64 characters"),
        ("items", {"item": ""}, "item: expected a code of 1 to 64 characters"),
        ("items", {"item": 7}, "item: expected a code of 1 to 64 characters"),
        (
            "items",
            {"conversions": {"box": 0}},
            'conversions: expected a number above 0, below 9007199254740992, got 0, at "box"',
        ),
        ("items", {"conversions": {"a box": 1}}, 'got "a box", at "a box"'),
        ("items", {"conversions": ["box"]}, "conversions: expected an object of units of measure"),
        (
            "items",
            {"conversions": {"each": 2}},
            "conversions: expected 1 or nothing for the base unit of measure each, got 2",
        ),
        (
            "items",
            {"conversions": {"each": "3/2"}},
            'conversions: expected 1 or nothing for the base unit of measure each, got "3/2"',
        ),
        ("items", {"conversions": {"box": "dozen"}}, "conversions: expected an integer, or a decimal"),
        ("items", {"rounding": "save"}, 'rounding: expected refuse or safe, got "save"; did you mean safe?'),
        ("items", {"rounding": True}, "rounding: expected refuse or safe, got true"),
        ("items", {"unit_value": -1}, "unit_value: expected a number of 0 or more, below 9007199254740992, got -1"),
        ("items", {"unit_value": 2**53}, "unit_value: expected a number of 0 or more, below 9007199254740992"),
        ("items", {"unit_value": "0.0000000000001"}, "unit_value: expected a number of at most 12 decimals"),
        ("items", {"unit_value": "19.99 EUR"}, "unit_value: expected an integer, or a decimal"),
        ("items", {"safety_stock": 5}, "safety_stock: expected an object of locations, each with a quantity, got 5"),
        (
            "items",
            {"safety_stock": {"*": -1}},
            'expected a quantity of 0 or more, below 9007199254740992, got -1, at "*"',
        ),
        ("items", {"safety_stock": {"": 1}}, "safety_stock: expected a code"),
        (
            "items",
            {"safety_stock": {"DC-NORTH": 2.5}},
            'safety_stock, at "DC-NORTH": expected a quantity of at most 0 decimals (the item\'s scale), got 2.5',
        ),
        (
            "items",
            {"scale": 1, "low_stock_threshold": 2.55},
            "low_stock_threshold: expected a quantity of at most 1 decimals (the item's scale), got 2.55",
        ),
        (
            "items",
            {"scale": 1, "low_stock_threshold": 2**53 // 10 + 1},
            "low_stock_threshold: expected less than 9007199254740992 after scaling by 10^1",
        ),
        ("items", {"low_stock_threshold": "many"}, "low_stock_threshold: expected an integer, or a decimal"),
        ("locations", {"parent": ""}, "parent: expected a code of 1 to 64 characters"),
        ("locations", {"sellable": "yes"}, 'sellable: expected true or false, got "yes"'),
        ("locations", {"sellable": 1}, "sellable: expected true or false, got 1"),
        (
            "locations",
            {"deducts_at": "picked"},
            'deducts_at: expected first, pick or shipment, got "picked"; did you mean pick?',
        ),
        ("channels", {"locations": "DC-NORTH"}, 'locations: expected an array of location codes, got "DC-NORTH"'),
        ("channels", {"locations": ["DC NORTH"]}, "locations: expected a code of 1 to 64 characters"),
        ("channels", {"locations": ["*"]}, "locations: expected a code of 1 to 64 characters"),
        ("channels", {"priority": 0}, "priority: expected an integer of 1 to 1000000, got 0"),
        ("channels", {"priority": 1.5}, "priority: expected an integer of 1 to 1000000, got 1.5"),
        ("channels", {"horizon_days": 181}, "horizon_days: expected an integer of 0 to 180, got 181"),
        ("channels", {"horizon_days": -1}, "horizon_days: expected an integer of 0 to 180, got -1"),
        ("channels", {"min_days_left": -1}, "min_days_left: expected an integer of 0 to 9007199254740991, got -1"),
        (
            "channels",
            {"min_days_left": 2**53},
            "min_days_left: expected an integer of 0 to 9007199254740991, got 9007199254740992",
        ),
        ("channels", {"min_days_left": 1.5}, "min_days_left: expected an integer of 0 to 9007199254740991, got 1.5"),
        ("channels", {"listing": "explict"}, 'expected all or explicit, got "explict"; did you mean explicit?'),
        ("channels", {"listing": ["all"]}, "listing: expected all or explicit, got an array"),
        ("channels", {"buffer_quantity": 2.5}, "buffer_quantity: expected a whole quantity"),
        ("channels", {"buffer_quantity": -1}, "buffer_quantity: expected a quantity of 0 or more"),
        (
            "channels",
            {"cap": 2**53},
            "cap: expected a quantity of 0 or more, below 9007199254740992, got 9007199254740992",
        ),
        ("channels", {"buffer_percent": 100.5}, "buffer_percent: expected a percentage of 0 to 100, got 100.5"),
        ("channels", {"buffer_percent": -0.1}, "buffer_percent: expected a percentage of 0 to 100, got -0.1"),
        ("channels", {"cap": 1, "minimum": 2}, "minimum: expected at most the cap of 1, got 2"),
        ("channels", {"max_updates_per_second": 0}, "max_updates_per_second: expected a number above 0"),
        ("channels", {"max_updates_per_second": "fast"}, "max_updates_per_second: expected an integer, or a decimal"),
        ("channels", {"promise_in_transit": "true"}, 'promise_in_transit: expected true or false, got "true"'),
        ("channel_items", {"cap": 1.5, "minimum": "1.6"}, "minimum: expected at most the cap of 1.5, got 1.6"),
        ("channel_items", {"cap": 0.0000001}, "cap: expected a quantity of at most 6 decimals, got 1e-07"),
        ("channel_items", {"listed": 0}, "listed: expected true or false, got 0"),
        ("channel_items", {"protected_quantity": -2}, "protected_quantity: expected a quantity of 0 or more"),
        ("channel_items", {"safety_stock": {"*": []}}, "safety_stock: expected an integer, or a decimal"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(kind: str, fields: dict[str, Any], told: str) -> None:
    message = refusal(kind, **fields)
    assert told in message
    assert message.startswith(next(reversed(fields)))


@pytest.mark.parametrize(("percent", "kept"), [(0, "0"), (100, "100"), ("33.3", "33.3"), (0.1, "0.1")])
def test_percentages_at_their_ends(percent: object, kept: str) -> None:
    record = channel(buffer_percent=percent)
    assert isinstance(record, Channel)
    assert record.buffer_percent == Decimal(kept)


def test_a_minimum_may_equal_the_cap() -> None:
    record = channel(cap=5, minimum=5)
    assert isinstance(record, Channel)
    assert (record.cap, record.minimum) == (5, 5)


def test_zero_is_given_and_not_absent() -> None:
    assert "low_stock_threshold" in channel(low_stock_threshold=0).model_fields_set
    record = channel_item(cap=0)
    assert isinstance(record, ChannelItem)
    assert record.cap == 0


def test_a_location_named_twice_counts_once() -> None:
    record = channel(locations=["ST-2", "DC-NORTH", "ST-2"])
    assert isinstance(record, Channel)
    assert record.locations == ["ST-2", "DC-NORTH"]


def test_a_channel_may_sell_from_nowhere() -> None:
    record = channel(locations=[])
    assert isinstance(record, Channel)
    assert record.locations == []


@pytest.mark.parametrize(
    ("kind", "key", "value", "told"),
    [
        ("items", b"TEA", {"item": "MILK"}, 'key: expected MILK, as the value says, got "TEA"'),
        ("items", None, {"item": "MILK"}, "key: expected MILK, as the value says, got nothing"),
        ("items", b"\xff", {"item": "MILK"}, 'key: expected MILK, as the value says, got "\\ufffd"'),
        ("locations", b"dc", {"location": "DC"}, 'key: expected DC, as the value says, got "dc"'),
        ("channels", b"shop", {"channel": "web", "locations": []}, 'expected web, as the value says, got "shop"'),
        (
            "channel_items",
            b"MILK:web",
            {"channel": "web", "item": "MILK"},
            'expected web:MILK, as the value says, got "MILK:web"',
        ),
        (
            "channel_items",
            b"web",
            {"channel": "web", "item": "MILK"},
            'expected web:MILK, as the value says, got "web"',
        ),
    ],
)
def test_the_key_must_say_what_the_value_says(kind: str, key: bytes | None, value: object, told: str) -> None:
    assert told in raw_refusal(kind, key, json.dumps(value).encode())


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"", "value: expected JSON in UTF-8"),
        (b"{", "value: expected JSON in UTF-8"),
        (b'{"item": "\xff"}', "value: expected JSON in UTF-8, got bytes that are not UTF-8"),
        (b'{"item": "MILK", "scale": NaN}', "value: expected JSON in UTF-8, got NaN"),
        (b'["MILK"]', "value: expected an object, got an array"),
        (b'"MILK"', 'value: expected an object, got "MILK"'),
        (b"null", "value: expected an object, got nothing"),
        (b"[" * 100_000, "levels of nesting"),
    ],
)
def test_what_is_no_json_object_is_a_bad_value(value: bytes, told: str) -> None:
    assert told in raw_refusal("items", b"MILK", value)


@pytest.mark.parametrize("number", [b"1e999999999", b"9" * 100_000, b"1e-999999999", b'"1e999999999"'])
def test_hostile_numbers_are_refused_at_once(number: bytes) -> None:
    told = raw_refusal("items", b"MILK", b'{"item": "MILK", "low_stock_threshold": ' + number + b"}")
    assert told.startswith("low_stock_threshold: expected")
    assert len(told) < 300


def test_a_hostile_ratio_is_refused_at_once() -> None:
    told = refusal("items", conversions={"box": "9" * 100_000 + "/" + "9" * 100_000})
    assert told.startswith("conversions: expected a ratio") and len(told) < 300


def test_the_last_of_a_repeated_key_counts() -> None:
    record = parse_reference("items", b"MILK", b'{"item": "TEA", "item": "MILK"}')
    assert isinstance(record, Item)
    assert record.item == "MILK"
