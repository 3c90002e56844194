"""Decides whether what leaves the engine has the shape that section 7 of the contract gives it."""

from __future__ import annotations

import json
from typing import Any

import hiredis
import pytest

from flows.publishing.messages import dead_letter_headers, exception_json, position_json, update_json
from flows.readmodel.slices import pack_slice
from operators.evaluate import places_json
from operators.rules.lanes import BULK, CRITICAL, HIGH, NORMAL
from schemas import outputs
from schemas.messages import ChannelUpdate, ExceptionNote, ItemUpdate, Outgoing
from schemas.state import SHOWN_FIELDS, Item, Place
from schemas.times import day_text, time_text
from schemas.units import Origin, Refusal

DAY = 86_400_000_000
NOON = 20_780 * DAY + DAY // 2
VERSION = 7 * 2**32 + 9


def change(atp: int = 5, previous: int | None = 9, **fields: Any) -> ChannelUpdate:
    given = {"channel": "web", "by_day": None, "lane": HIGH, "cause": "pick_confirmed", **fields}
    return ChannelUpdate(atp=atp, previous=previous, **given)


def update(*changes: ChannelUpdate, **fields: Any) -> ItemUpdate:
    given = {"item": "SHOVEL", "as_of": NOON + 1999, "scale": 0, "day0": -1, "correlation_id": "", **fields}
    return ItemUpdate(channels=list(changes), **{"fields": {}, "places": None, **given})


def words_of(packed: bytes, count: int) -> list[str]:
    """Read words as Redis does."""
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(b"*%d\r\n%b" % (count, packed))
    words: list[str] = reader.gets()
    assert len(words) == count and not reader.has_data()
    return words


class Redis:
    """Does with arguments what the script does: hashes with their new values, and what was deleted."""

    def __init__(self, *updates: ItemUpdate, prefix: str = "") -> None:
        packed = pack_slice(updates, prefix, VERSION, NOON + 2_000_999)
        keys = words_of(packed.keys, packed.key_count)
        left = words_of(packed.words, packed.word_count)
        self.hashes: dict[str, dict[str, str]] = {}
        self.deleted: dict[str, set[str]] = {}
        #: keys of which nothing older stays
        self.replaced: set[str] = set()
        for key in keys:
            count = int(left.pop(0))
            if count < 0:
                self.replaced.add(key)
                count = -count
            pairs, left = left[: 2 * count], left[2 * count :]
            self.hashes[key] = dict(zip(pairs[::2], pairs[1::2], strict=True))
            assert len(self.hashes[key]) == count, "no field twice"
            count = int(left.pop(0))
            self.deleted[key], left = set(left[:count]), left[count:]
            assert len(self.deleted[key]) == count
            both = self.deleted[key] & set(self.hashes[key])
            assert both <= {"_"}, "what goes at once is there so that the rest is replaced, also by nothing"
            for field in both:
                del self.hashes[key][field]
        assert left == []


# Times


def test_times_are_utc_with_all_their_microseconds() -> None:
    assert time_text(NOON) == "2026-11-23T12:00:00.000000Z"
    assert time_text(NOON + 1) == "2026-11-23T12:00:00.000001Z"
    assert time_text(NOON - 1) == "2026-11-23T11:59:59.999999Z"
    assert time_text(0) == "1970-01-01T00:00:00.000000Z"


def test_days_are_dates() -> None:
    assert (day_text(0), day_text(NOON // DAY)) == ("1970-01-01", "2026-11-23")


# Redis


def test_a_number_and_what_every_reader_may_check_it_by() -> None:
    redis = Redis(update(change()))
    assert redis.hashes == {
        "atp:SHOVEL": {
            "web": "5",
            "_version": str(VERSION),
            "_published_at": str((NOON + 2_000_000) // 1000),
            "_as_of": str(NOON // 1000 + 1),
        }
    }
    assert redis.deleted == {"atp:SHOVEL": {"_day0", "_scale"}}


def test_the_prefix_is_put_in_front_as_it_stands() -> None:
    redis = Redis(update(change(), fields={"DC1:on_hand": 1}), prefix="eu:")
    assert list(redis.hashes) == ["eu:atp:SHOVEL", "eu:position:SHOVEL"]


def test_before_any_event_there_is_no_as_of() -> None:
    redis = Redis(update(change(0, None), as_of=-1, fields={"DC1:on_hand": 0}))
    assert all("_as_of" not in fields for fields in redis.hashes.values())
    assert "_as_of" in Redis(update(change(), as_of=0)).hashes["atp:SHOVEL"]


def test_days_come_as_json_with_the_date_of_the_first() -> None:
    redis = Redis(update(change(by_day=(5, 6, 70)), day0=NOON // DAY, scale=2))
    fields = redis.hashes["atp:SHOVEL"]
    assert (fields["web:by_day"], fields["_day0"], fields["_scale"]) == ("[5,6,70]", "2026-11-23", "2")
    assert redis.deleted["atp:SHOVEL"] == set()


@pytest.mark.parametrize(
    ("fields", "is_deleted"),
    [({}, False), ({"previous_by_day": (5, 6)}, True), ({"forced": True}, True)],
)
def test_days_that_are_no_longer_promised_are_deleted(fields: dict[str, Any], is_deleted: bool) -> None:
    deleted = Redis(update(change(**fields))).deleted["atp:SHOVEL"]
    assert ("web:by_day" in deleted) is is_deleted


def test_an_unlisted_channel_leaves_and_the_others_stay() -> None:
    redis = Redis(update(change(0, removed=True), change(3, channel="shop")))
    assert redis.deleted["atp:SHOVEL"] == {"web", "web:by_day", "_day0", "_scale"}
    assert {"web", "shop"} & set(redis.hashes["atp:SHOVEL"]) == {"shop"}


def test_a_turned_day_is_written_also_where_no_number_changed() -> None:
    assert Redis(update(day0=NOON // DAY)).hashes["atp:SHOVEL"]["_day0"] == "2026-11-23"
    assert Redis(update()).hashes == {}
    assert Redis(update(day0=0)).hashes["atp:SHOVEL"]["_day0"] == "1970-01-01"


def test_claims_are_fields_of_their_own_hash_and_nothing_else_is() -> None:
    redis = Redis(update(claims={"SO-1 1": '{"soft":2}', "SO-2 1": None}), prefix="eu:")
    assert redis.hashes == {"eu:claims:SHOVEL": {"SO-1 1": '{"soft":2}'}}
    assert redis.deleted == {"eu:claims:SHOVEL": {"SO-2 1"}}
    assert Redis(update(claims={})).hashes == {}


def test_how_a_line_stands_is_a_field_of_its_order_also_where_it_claims_nothing() -> None:
    claims: dict[str, str | None] = {
        "SO-1 1": '{"soft":2}\n{"run":7}',
        "SO-3 2": '\n{"run":7,"state":"delivered"}',
        "SO-2 1": "\n",
    }
    redis = Redis(update(claims=claims), prefix="eu:")
    assert redis.hashes == {
        "eu:claims:SHOVEL": {"SO-1 1": '{"soft":2}'},
        "eu:order:SO-1": {"1 SHOVEL": '{"run":7}'},
        "eu:order:SO-2": {},
        "eu:order:SO-3": {"2 SHOVEL": '{"run":7,"state":"delivered"}'},
    }
    assert redis.deleted["eu:claims:SHOVEL"] == {"SO-3 2", "SO-2 1"}
    assert redis.deleted["eu:order:SO-2"] == {"1 SHOVEL"}


@pytest.mark.parametrize("held", [{}, {"SO-1 1": '{"soft":2}'}])
def test_claims_said_in_full_take_the_place_of_all_also_where_there_are_none(held: dict[str, str | None]) -> None:
    redis = Redis(update(claims=held, has_all_claims=True))
    assert (redis.hashes, redis.replaced) == ({"claims:SHOVEL": held}, {"claims:SHOVEL"})


def test_what_is_said_in_full_takes_the_place_of_all_and_leaves_out_what_is_0() -> None:
    fields = {"EAST:on_hand": 4, "EAST:expected": 0}
    partly, whole = Redis(update(change(0), fields=fields)), Redis(update(change(0), fields=fields, is_whole=True))
    assert (partly.replaced, whole.replaced) == (set(), {"atp:SHOVEL", "position:SHOVEL"})
    assert whole.hashes["atp:SHOVEL"] == partly.hashes["atp:SHOVEL"]
    assert whole.hashes["atp:SHOVEL"]["web"] == "0"
    assert partly.hashes["position:SHOVEL"].keys() - whole.hashes["position:SHOVEL"].keys() == {"EAST:expected"}


def test_figures_that_changed_and_no_others() -> None:
    redis = Redis(update(fields={"DC1:on_hand": 4, "DC1:available": -2, "DC2:on_hand": None}))
    assert redis.hashes == {
        "position:SHOVEL": {
            "DC1:on_hand": "4",
            "DC1:available": "-2",
            "_version": str(VERSION),
            "_as_of": str(NOON // 1000 + 1),
        }
    }
    assert redis.deleted == {"position:SHOVEL": {"DC2:on_hand"}}


def test_an_item_that_is_gone_leaves_nothing_behind() -> None:
    redis = Redis(update(change(0, removed=True), fields={"DC1:on_hand": None}, is_gone=True))
    assert redis.hashes == {"atp:SHOVEL": {}, "position:SHOVEL": {}}
    assert redis.deleted == {
        "atp:SHOVEL": {"web", "web:by_day", "_version", "_published_at", "_as_of", "_day0", "_scale"},
        "position:SHOVEL": {"DC1:on_hand", "_version", "_as_of"},
    }


def test_an_item_that_is_gone_leaves_nothing_behind_where_no_channel_is_left_to_speak_of() -> None:
    redis = Redis(update(is_gone=True))
    assert redis.deleted == {"atp:SHOVEL": {"_version", "_published_at", "_as_of", "_day0", "_scale"}}


def test_a_slice_of_many_items_keeps_them_apart() -> None:
    redis = Redis(
        update(change(1), fields={"DC1:on_hand": 1}),
        update(change(2, by_day=(2, 3)), item="ROPE", day0=1),
        update(fields={"DC1:on_hand": 3}, item="AXE"),
    )
    assert list(redis.hashes) == ["atp:SHOVEL", "position:SHOVEL", "atp:ROPE", "position:AXE"]
    assert redis.hashes["atp:ROPE"]["web"] == "2"
    assert redis.hashes["position:AXE"]["DC1:on_hand"] == "3"


# Kafka


def outgoing(said: ChannelUpdate, **fields: Any) -> dict[str, Any]:
    given = {"as_of": NOON, "correlation_id": "", "version": VERSION, "processed_at": NOON + 5, "since": 0, **fields}
    found: dict[str, Any] = json.loads(update_json(Outgoing(shard=0, item="SHOVEL", change=said, **given)))
    outputs.Update.model_validate(found)
    return found


def test_an_update_says_the_number_why_and_since_when() -> None:
    assert outgoing(change()) == {
        "item": "SHOVEL",
        "channel": "web",
        "atp": 5,
        "previous": 9,
        "lane": "high",
        "cause": "pick_confirmed",
        "as_of": "2026-11-23T12:00:00.000000Z",
        "processed_at": "2026-11-23T12:00:00.000005Z",
        "version": VERSION,
    }


@pytest.mark.parametrize(("lane", "name"), [(CRITICAL, "critical"), (HIGH, "high"), (NORMAL, "normal"), (BULK, "bulk")])
def test_an_update_names_its_lane(lane: int, name: str) -> None:
    assert outgoing(change(lane=lane))["lane"] == name


def test_a_first_number_has_no_previous_and_maybe_no_as_of() -> None:
    found = outgoing(change(0, None), as_of=-1)
    assert (found["previous"], found["as_of"]) == (None, None)


def test_what_an_update_may_have_besides() -> None:
    steps = {name: [5] for name in ("open", "promise", "withheld", "withheld_above", "free", "atp")}
    shown = json.dumps({"available": {"DC1": [5]}, **steps}).encode()
    found = outgoing(change(by_day=(5, 6), breakdown=shown), correlation_id="c-1")
    assert (found["by_day"], found["correlation_id"]) == ([5, 6], "c-1")
    assert found["breakdown"] == {"available": {"DC1": [5]}, **steps}


def places_of(figures: dict[str, tuple[int, ...]]) -> str:
    item = Item("SHOVEL")
    for code, shown in figures.items():
        place = item.places[code] = Place()
        place.shown, place.is_shown = shown, True
    return places_json(item)


def test_a_position_is_whole() -> None:
    places = places_of({"DC1": (1, 2, 3, 4, 5, 6, -7), "DC2": (0, 0, 0, 0, 0, 0, 0), "DC3": (8, 0, 0, 0, 0, 0, 8)})
    raw = position_json(update(places=places, unlocated=8, scale=1), VERSION, NOON)
    found = json.loads(raw)
    outputs.Position.model_validate(found)
    names = (*SHOWN_FIELDS[:-1], "withheld", "available")
    assert found == {
        "item": "SHOVEL",
        "version": VERSION,
        "as_of": "2026-11-23T12:00:00.001999Z",
        "processed_at": "2026-11-23T12:00:00.000000Z",
        "scale": 1,
        "locations": {
            "DC1": dict(zip(names, (1, 2, 3, 4, 5, 6, 0, -7), strict=True)),
            "DC2": dict.fromkeys(names, 0),
            "DC3": {**dict.fromkeys(names, 0), "on_hand": 8, "available": 8},
        },
        "unlocated": {"soft_allocated": 8},
    }
    assert json.loads(position_json(update(places="", as_of=-1), 1, NOON))["as_of"] is None


def exception(**fields: Any) -> dict[str, Any]:
    given = {
        "code": "oversold",
        "item": "SHOVEL",
        "location": "DC1",
        "reference": "",
        "quantities": {"on_hand": -1},
        "first_seen": NOON,
        "last_seen": NOON + 1,
        "is_open": True,
        **fields,
    }
    found: dict[str, Any] = json.loads(exception_json(ExceptionNote(**given)))
    outputs.InventoryException.model_validate(found)
    return found


def test_an_exception_says_what_is_wrong_where_and_since_when() -> None:
    assert exception() == {
        "code": "oversold",
        "state": "open",
        "item": "SHOVEL",
        "location": "DC1",
        "quantities": {"on_hand": -1},
        "first_seen": "2026-11-23T12:00:00.000000Z",
        "last_seen": "2026-11-23T12:00:00.000001Z",
    }


def test_an_exception_that_is_over_says_so() -> None:
    assert exception(is_open=False, quantities={})["state"] == "closed"


def test_an_exception_names_only_what_it_is_about() -> None:
    stale = exception(code="stale_source", item="", location="", quantities={}, source="wms")
    assert (stale["source"], "item" in stale, "location" in stale, "reference" in stale) == ("wms", False, False, False)
    assert exception(code="over_received", reference="PO-1")["reference"] == "PO-1"


# Dead letters


def test_a_dead_letter_says_why_and_where_from() -> None:
    origin = Origin("inventory.orders", 3, 41, 1_700_000_000_123, b"key", b"value", attempts=2)
    headers = dead_letter_headers(Refusal(origin, "bad_value", "quantity: expected a number, got …", "1"))
    assert dict(headers) == {
        "code": b"bad_value",
        "message": "quantity: expected a number, got …".encode(),
        "topic": b"inventory.orders",
        "partition": b"3",
        "offset": b"41",
        "timestamp": b"1700000000123",
        "attempts": b"2",
        "line_id": b"1",
    }


def test_a_dead_letter_of_a_whole_event_names_no_line_and_the_one_of_an_empty_line_does() -> None:
    origin = Origin("inventory.orders", 0, 0, 0, None, None)
    assert "line_id" not in dict(dead_letter_headers(Refusal(origin, "late", "no")))
    assert dict(dead_letter_headers(Refusal(origin, "late", "no", "")))["line_id"] == b""


def test_text_that_no_encoding_can_write_breaks_no_header() -> None:
    origin = Origin("inventory.orders", 0, 0, 0, None, None)
    assert dict(dead_letter_headers(Refusal(origin, "bad_value", "got \ud800", None)))["message"] == b"got ?"


def test_a_first_event_that_changed_no_number_says_up_to_when_events_are_in() -> None:
    redis = Redis(update(fields={"*:soft_allocated": 0}, is_first=True))
    meta = {"_version": str(VERSION), "_as_of": str((NOON + 1999) // 1000)}
    published = {"_published_at": str((NOON + 2_000_000) // 1000)}
    assert redis.hashes == {"atp:SHOVEL": meta | published, "position:SHOVEL": meta | {"*:soft_allocated": "0"}}
    assert "atp:SHOVEL" not in Redis(update(fields={"*:soft_allocated": 0})).hashes
