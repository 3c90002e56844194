"""Outputs: the documented shapes, and that the bytes we write have them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

import hiredis
import orjson
import pytest
from pydantic import ValidationError

from flows.publishing.messages import dead_letter_headers, exception_json, position_json, update_json
from flows.readmodel.slices import pack_slice
from operators.claims import claim_text
from operators.rules import lines
from operators.rules.days import days_in
from operators.rules.lanes import UNHURRIED_CHANGES
from operators.rules.native import places_text
from operators.rules.promise import Promise
from operators.shard import CAUSES as EVENT_CAUSES
from schemas.messages import ChannelUpdate, ExceptionNote, ItemUpdate, Outgoing
from schemas.outputs import (
    CAUSES,
    EXCEPTION_CODES,
    REDIS_ATP,
    REDIS_CLAIMS,
    REDIS_POSITION,
    Breakdown,
    Claim,
    DeadLetterHeaders,
    InventoryException,
    LocationFigures,
    Position,
    Update,
    all_schemas,
)
from schemas.settings import NAMES
from schemas.state import POSITION_FIELDS, Line, LineAt, Place
from schemas.units import EventType, Origin, Refusal

NOON = 1_750_000_000_123_456
TIME = "2025-06-15T15:06:40.123456Z"
VERSION = (3 << 32) + 17

UPDATE: dict[str, Any] = {
    "item": "MILK-1L",
    "channel": "web",
    "atp": 5,
    "previous": None,
    "lane": "normal",
    "cause": "stock_received",
    "as_of": TIME,
    "processed_at": TIME,
    "version": VERSION,
}
EXCEPTION: dict[str, Any] = {
    "code": "oversold",
    "state": "open",
    "item": "MILK-1L",
    "location": "DC",
    "quantities": {"on_hand": -2},
    "first_seen": TIME,
    "last_seen": TIME,
}
LETTER: dict[str, Any] = {
    "code": "late",
    "message": "occurred_at: expected later, got earlier",
    "topic": "inventory.warehouse",
    "partition": "0",
    "offset": "17",
    "timestamp": "1750000000123",
    "attempts": "1",
}


def without(shape: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {field: value for field, value in shape.items() if field != name}


def outgoing(change: ChannelUpdate, as_of: int = NOON, correlation_id: str = "") -> Outgoing:
    return Outgoing(0, "MILK-1L", change, as_of, correlation_id, VERSION, NOON, NOON)


def place(*shown: int) -> Place:
    found = Place()
    found.shown, found.is_shown = shown, True
    return found


def item_update(**fields: Any) -> ItemUpdate:
    given: dict[str, Any] = {
        "item": "MILK-1L",
        "as_of": NOON,
        "scale": 0,
        "day0": -1,
        "correlation_id": "",
        "channels": [],
        "fields": {},
        "places": None,
    }
    return ItemUpdate(**{**given, **fields})


def fits(schema: Mapping[str, Any], found: Mapping[str, str]) -> bool:
    """Is a hash of texts what a Redis description says? Enough of JSON Schema for these."""
    own = schema.get("properties", {})
    for name, value in found.items():
        rules = [own[name]] if name in own else []
        rules += [rule for names, rule in schema["patternProperties"].items() if re.search(names, name)]
        if not rules or not all(type(value) is str and re.search(rule.get("pattern", ""), value) for rule in rules):
            return False
    return set(schema.get("required", ())) <= set(found)


def hashes(updates: list[ItemUpdate]) -> dict[str, dict[str, str]]:
    """What Redis would hold of the slice."""
    packed = pack_slice(updates, "eu:", VERSION, NOON)
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(b"*2\r\n*%d\r\n%b*%d\r\n%b" % (packed.key_count, packed.keys, packed.word_count, packed.words))
    keys, texts = reader.gets()
    held: dict[str, dict[str, str]] = {}
    at = 0
    for key in keys:
        count = int(texts[at])
        values = texts[at + 1 : at + 1 + 2 * count]
        at += 1 + 2 * count
        at += 1 + int(texts[at])
        held[key] = dict(zip(values[::2], values[1::2], strict=True))
    assert at == len(texts)
    return held


def test_a_first_number_has_the_documented_shape() -> None:
    raw = update_json(outgoing(ChannelUpdate("web", 5, None, None, 2, "stock_received")))
    assert json.loads(raw) == UPDATE
    assert Update.model_validate_json(raw).atp == 5


def test_a_number_by_day_with_its_steps_has_the_documented_shape() -> None:
    steps = Promise(
        atp=[3, 4],
        available={"DC": [5, 6]},
        open=[5, 6],
        promise=[5, 6],
        withheld=[1, 1],
        withheld_above=[0, 0],
        free=[4, 5],
    )
    shown = orjson.dumps(dataclasses.asdict(steps))
    change = ChannelUpdate("web", 3, 9, (3, 4), 0, "order_placed", breakdown=shown)
    update = Update.model_validate_json(update_json(outgoing(change, correlation_id="cart-7")))
    assert (update.lane, update.previous, update.by_day, update.correlation_id) == ("critical", 9, [3, 4], "cart-7")
    assert update.breakdown is not None
    assert update.breakdown.available == {"DC": [5, 6]}


def test_a_number_before_any_event_has_no_as_of() -> None:
    raw = update_json(outgoing(ChannelUpdate("web", 0, None, None, 3, "reference"), as_of=-1))
    update = Update.model_validate_json(raw)
    assert (update.as_of, update.lane) == (None, "bulk")


def test_the_last_word_on_an_unlisted_item_has_the_documented_shape() -> None:
    update = Update.model_validate_json(update_json(outgoing(ChannelUpdate("web", 0, 4, None, 0, "unlisted", True))))
    assert (update.atp, update.previous, update.cause) == (0, 4, "unlisted")


def test_a_position_has_the_documented_shape() -> None:
    figures = {"DC": (10, 1, 2, 3, 4, 5, -4), "ST/1": (0, 0, 0, 0, 7, 0, 0)}
    update = item_update(
        scale=1, places=places_text({code: place(*shown) for code, shown in figures.items()}, {}), unlocated=6
    )
    raw = position_json(update, VERSION, NOON)
    position = Position.model_validate_json(raw)
    assert position.locations["DC"] == LocationFigures(
        on_hand=10, quarantined=1, soft_allocated=2, hard_reserved=3, in_transit=4, expected=5, withheld=0, available=-4
    )
    assert (position.unlocated.soft_allocated, position.scale, position.version) == (6, 1, VERSION)
    assert (position.as_of, position.processed_at) == (TIME, TIME)


@pytest.mark.parametrize(
    "note",
    [
        ExceptionNote("oversold", "MILK-1L", "DC", "", {"on_hand": 3, "hard_reserved": 5}, NOON, NOON, True),
        ExceptionNote("oversold", "MILK-1L", "DC", "", {}, NOON, NOON + 1, False),
        ExceptionNote("over_received", "MILK-1L", "DC", "PO-1", {"received": 5}, NOON, NOON, True),
        ExceptionNote("oversold", "MILK-1L", "*", "", {"soft_allocated": 5, "available": 3}, NOON, NOON, True),
        ExceptionNote("claims_above_demand", "MILK-1L", "", "SO-1 2", {"wanted": 5}, NOON, NOON, True),
        ExceptionNote("demand_after_cancellation", "MILK-1L", "", "SO-1 2", {"demand": 5}, NOON, NOON, True),
        ExceptionNote("lot_below_zero", "MILK-1L", "DC", "LOT/1", {"on_hand": -1}, NOON, NOON, True),
        ExceptionNote("conflict", "MILK-1L", "", "e-1", {"quantity": 1}, NOON, NOON, True, "WMS"),
        ExceptionNote("stale_source", "", "", "", {}, NOON, NOON, True, "WMS"),
        ExceptionNote("stale_source", "", "", "", {}, NOON, NOON, False, "WMS"),
    ],
)
def test_an_exception_has_the_documented_shape(note: ExceptionNote) -> None:
    told = InventoryException.model_validate_json(exception_json(note))
    assert (told.code, told.state == "open") == (note.code, note.is_open)
    assert (told.item or "", told.location or "", told.reference or "") == (note.item, note.location, note.reference)
    assert told.first_seen == TIME


@pytest.mark.parametrize("line_id", [None, "1"])
def test_a_dead_letter_has_the_documented_headers(line_id: str | None) -> None:
    origin = Origin("eu.inventory.orders", 3, 17, 1_750_000_000_123, None, b"?", 2)
    headers = dead_letter_headers(Refusal(origin, "unknown_item", "item: expected one, got MÜSLI", line_id))
    texts = {name: value.decode() for name, value in headers}
    assert len(texts) == len(headers)
    letter = DeadLetterHeaders.model_validate(texts)
    assert (letter.topic, letter.partition, letter.offset, letter.attempts) == ("eu.inventory.orders", "3", "17", "2")
    assert (letter.line_id, letter.message) == (line_id, "item: expected one, got MÜSLI")


def test_the_hash_of_promises_is_what_is_described() -> None:
    changes = [
        ChannelUpdate("web", 3, None, (3, 0, 12), 2, "stock_received"),
        ChannelUpdate("store/7", 0, 4, None, 0, "order_placed"),
    ]
    held = hashes([item_update(scale=2, day0=20_000, channels=changes)])
    assert held == {
        "eu:atp:MILK-1L": {
            "web": "3",
            "web:by_day": "[3,0,12]",
            "store/7": "0",
            "_version": str(VERSION),
            "_published_at": "1750000000123",
            "_as_of": "1750000000123",
            "_day0": "2024-10-04",
            "_scale": "2",
        }
    }
    assert fits(REDIS_ATP, held["eu:atp:MILK-1L"])


def test_the_hash_of_a_position_is_what_is_described() -> None:
    held = hashes([item_update(fields={"DC:on_hand": -3, "DC:available": -3, "*:soft_allocated": 2})])
    assert held["eu:position:MILK-1L"]["DC:on_hand"] == "-3"
    assert fits(REDIS_POSITION, held["eu:position:MILK-1L"])


def test_the_hash_of_claims_is_what_is_described() -> None:
    line = Line()
    lines.place(line, (NOON, "e", "oms"), 7, "DC", "web", NOON, NOON, 0)
    line.at["DC"] = LineAt("first")
    line.at["DC"].claimed, line.claimed = 2, (5, "DC", "web", 20_000)
    text = claim_text(line, days_in("UTC"))
    held = hashes([item_update(claims={"SO-1 1": text})])
    assert fits(REDIS_CLAIMS, held["eu:claims:MILK-1L"])
    assert not fits(REDIS_CLAIMS, {"SO-1": text}) and not fits(REDIS_CLAIMS, {"SO-1 1": 5})  # type: ignore[dict-item]
    claim = Claim.model_validate_json(str(text))
    assert (claim.soft, claim.hard, claim.location, claim.channel) == (5, {"DC": 2}, "DC", "web")
    assert (claim.since, claim.expires_at, claim.requested_day) == (TIME, TIME, TIME[:10])


@pytest.mark.parametrize(
    "found",
    [
        {"_version": "1"},
        {"_version": "1", "_published_at": "1", "web": "-1"},
        {"_version": "1", "_published_at": "1", "web": "1.5"},
        {"_version": "1", "_published_at": "1", "web:by_day": "[]"},
        {"_version": "1", "_published_at": "1", "web:by_week": "1"},
        {"_version": "1", "_published_at": "1", "_color": "white"},
        {"_version": "0", "_published_at": "1"},
        {"_version": "1", "_published_at": "1", "_scale": "0"},
    ],
)
def test_the_description_of_promises_lets_nothing_else_in(found: dict[str, str]) -> None:
    assert not fits(REDIS_ATP, found)


@pytest.mark.parametrize(
    "wrong",
    [
        {"atp": -1},
        {"atp": 2.0},
        {"atp": "5"},
        {"previous": -1},
        {"lane": "urgent"},
        {"cause": "whim"},
        {"as_of": "2025-06-15T15:06:40Z"},
        {"as_of": "2025-06-15T15:06:40.123456+00:00"},
        {"processed_at": None},
        {"version": 0},
        {"item": "two words"},
        {"correlation_id": ""},
        {"by_day": []},
        {"by_day": [4, 5]},
        {"by_day": [5] * 181},
        {"color": "white"},
    ],
)
def test_an_update_of_another_shape_is_refused(wrong: dict[str, Any]) -> None:
    Update.model_validate(UPDATE)
    with pytest.raises(ValidationError):
        Update.model_validate({**UPDATE, **wrong})


@pytest.mark.parametrize("name", list(UPDATE))
def test_an_update_says_all_it_has_to(name: str) -> None:
    with pytest.raises(ValidationError):
        Update.model_validate(without(UPDATE, name))


@pytest.mark.parametrize(
    "wrong",
    [
        {"code": "lost"},
        {"state": "over"},
        {"item": None},
        {"code": "stale_source"},
        {"code": "stale_source", "item": None},
        {"code": "conflict", "state": "closed"},
        {"quantities": {"on_hand": 1.5}},
        {"last_seen": "yesterday"},
    ],
)
def test_an_exception_of_another_shape_is_refused(wrong: dict[str, Any]) -> None:
    InventoryException.model_validate(EXCEPTION)
    with pytest.raises(ValidationError):
        InventoryException.model_validate({**EXCEPTION, **wrong})


@pytest.mark.parametrize(
    "wrong", [{"code": "odd"}, {"partition": "-1"}, {"offset": "x"}, {"attempts": "0"}, {"line_id": ""}, {"more": "x"}]
)
def test_headers_of_another_shape_are_refused(wrong: dict[str, Any]) -> None:
    DeadLetterHeaders.model_validate(LETTER)
    with pytest.raises(ValidationError):
        DeadLetterHeaders.model_validate({**LETTER, **wrong})


def test_the_shapes_name_what_the_engine_says() -> None:
    assert set(EVENT_CAUSES) - {""} | UNHURRIED_CHANGES | {"expiry"} == set(CAUSES)
    assert tuple(LocationFigures.model_fields) == POSITION_FIELDS
    assert set(Breakdown.model_fields) == {field.name for field in dataclasses.fields(Promise)}
    assert EXCEPTION_CODES == (
        "negative_on_hand",
        "oversold",
        "stale_source",
        "conflict",
        "over_received",
        "allocated_without_stock",
        "claims_above_demand",
        "demand_after_cancellation",
        "lot_below_zero",
        "statement_rejected",
        "held_too_long",
    )


def test_every_shape_is_described() -> None:
    schemas = all_schemas()
    assert set(schemas) == {
        *(kind.name.lower() for kind in EventType),
        *("statement_started", "stock_stated", "promise_stated", "statement_ended"),
        "inventory.decisions",
        "inventory.items",
        "inventory.locations",
        "inventory.channels",
        "inventory.channel_items",
        "inventory.reconciliation",
        "inventory.aliases",
        "inventory.documents",
        "inventory.variances",
        "inventory.statements.status",
        "atp.updates",
        "inventory.positions",
        "inventory.exceptions",
        "inventory.dead_letters",
        "redis.atp",
        "redis.position",
        "redis.claims",
        "redis.order",
        "redis.alive",
        "settings",
    }
    for name, schema in schemas.items():
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema", name
        assert schema["type"] == "object", name
        assert json.loads(json.dumps(schema)) == schema, name


def test_every_pattern_of_every_shape_compiles_and_is_anchored() -> None:
    def walk(part: object) -> None:
        if isinstance(part, dict):
            pattern = part.get("pattern")
            if isinstance(pattern, str):
                re.compile(pattern)
                assert pattern.startswith("^") and (pattern.endswith("$") or "://" in pattern), pattern
            for inner in part.values():
                walk(inner)
        elif isinstance(part, list):
            for inner in part:
                walk(inner)

    walk(all_schemas())


def test_required_fields_are_those_of_the_contract() -> None:
    schemas = all_schemas()
    common = {"event_id", "type", "source", "occurred_at"}
    assert set(schemas["stock_counted"]["required"]) == common | {"item", "location", "quantity"}
    assert set(schemas["order_placed"]["required"]) == common | {"order_id", "channel", "lines"}
    assert schemas["inventory.items"]["required"] == ["item"]
    assert schemas["inventory.channels"]["required"] == ["channel", "locations"]
    assert set(schemas["atp.updates"]["required"]) == set(UPDATE)


def test_settings_are_described_as_the_file_has_them() -> None:
    schema = all_schemas()["settings"]
    assert schema["properties"]["dedup_window"]["default"] == "1d"
    assert "required" not in schema
    for name in NAMES:
        place = schema
        for part in name.split("."):
            found = place["properties"][part]
            place = schema["$defs"][found["$ref"].rpartition("/")[2]] if "$ref" in found else found
        assert "default" in place, name
    assert schema["$defs"]["StateSettings"]["properties"]["epoch_interval"]["default"] == "1s"
