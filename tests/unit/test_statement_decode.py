"""Decides whether messages of statements are read and judged as events are (contract sections 3 and 9)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from operators.decode import CodeSets, DecoderConfig
from operators.statement_decode import StatementDecoder
from schemas import codes
from schemas.stated import Stated
from schemas.statements import MEASURES, STATEMENT_TYPES
from schemas.units import Origin, Refusal

NOW = 1_738_324_800_000_000  # 2025-01-31T12:00:00Z
TOPIC = "inventory.statements"
HEAD = {"event_id": "r-1", "source": "erp", "occurred_at": "2025-01-31T11:00:00Z", "statement_id": "night-31"}
PLAIN: dict[str, dict[str, Any]] = {
    "statement_started": {"locations": ["dc-1"], "items": "all", "rows": 2},
    "stock_stated": {"item": "RETRO-CLOCK", "location": "dc-1", "on_hand": 12},
    "promise_stated": {"item": "RETRO-CLOCK", "channel": "web", "atp": 3},
    "statement_ended": {"rows": 2},
}


def message(name: str, **changes: Any) -> dict[str, Any]:
    return {**HEAD, "type": name, **PLAIN[name], **changes}


def decoder_of(**settings: Any) -> StatementDecoder:
    config = DecoderConfig({TOPIC: "statements"}, **settings)
    return StatementDecoder(config, CodeSets({"dc-1", "dc-2"}, {"web"}))


class Unjudged(StatementDecoder):
    """It fails where the fast path does not do."""

    _judge = None  # type: ignore[assignment]


class Slow(StatementDecoder):
    """It never takes the fast path."""

    def _read(self, value: bytes, origin: Origin, recorded_at: int) -> Stated | None:
        return None


def read(value: Any, decoder: StatementDecoder | None = None, at: int = NOW) -> Stated | Refusal:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    said = (decoder or decoder_of()).decode(Origin(TOPIC, 3, 4, NOW // 1000, None, raw), at, True)
    assert said is not None
    return said


def refused(value: Any, decoder: StatementDecoder | None = None) -> Refusal:
    said = read(value, decoder)
    assert isinstance(said, Refusal), said
    assert said.code in codes.REFUSAL_CODES
    return said


def stated(value: Any, decoder: StatementDecoder | None = None) -> Stated:
    said = read(value, decoder)
    assert isinstance(said, Stated), said
    return said


def test_every_message_says_what_its_fields_say() -> None:
    start = stated(message("statement_started"))
    assert (start.type, start.source, start.statement_id, start.event_id) == (
        "statement_started",
        "erp",
        "night-31",
        "r-1",
    )
    assert (start.as_of, start.locations, start.is_all_items, start.rows) == (NOW - 3_600_000_000, ("dc-1",), True, 2)
    assert not start.is_row
    bare = stated({**HEAD, "type": "statement_started"})
    assert (bare.locations, bare.is_all_items, bare.rows) == (None, False, None)
    row = stated(message("stock_stated", lot="L1", uom="box", quarantined="2.5", available=-3))
    assert (row.item, row.place, row.lot, row.uom) == ("RETRO-CLOCK", "dc-1", "L1", "box")
    assert dict(zip(MEASURES, row.figures, strict=True)) == {
        **dict.fromkeys(MEASURES),
        "on_hand": 12,
        "quarantined": "2.5",
        "available": -3,
    }
    promise = stated(message("promise_stated"))
    assert (promise.place, promise.figures, promise.is_row) == ("web", (3,), True)
    assert stated(message("statement_ended")).rows == 2


@pytest.mark.parametrize("name", ["stock_stated", "promise_stated"])
def test_a_plain_row_is_read_at_once_and_as_the_judge_would(name: str) -> None:
    usual = decoder_of()
    for changes in ({}, {"uom": "box"}, {"correlation_id": "c"}, {"reason": "why"}, {"schema_version": 1}):
        value = message(name, **changes)
        assert read(value, Unjudged(usual.config, usual.known)) == read(value, Slow(usual.config, usual.known))


@pytest.mark.parametrize(
    "changes",
    [
        {measure: 5 for measure in MEASURES},
        {"on_hand": -5},
        {"on_hand": None, "available": -5},
        {"on_hand": None, "withheld": 0},
        {"lot": "L-1", "on_hand": 0},
    ],
)
def test_whatever_measures_a_row_states_both_ways_read_the_same(changes: dict[str, Any]) -> None:
    usual = decoder_of()
    value = {name: said for name, said in message("stock_stated", **changes).items() if said is not None}
    assert read(value, Unjudged(usual.config, usual.known)) == read(value, Slow(usual.config, usual.known))


@pytest.mark.parametrize(
    "changes",
    [
        *({measure: -1} for measure in MEASURES if measure not in ("on_hand", "available")),
        {"on_hand": None},
        {"on_hand": 2**53},
        {"location": "dc-9"},
        {"item": "no item"},
        {"lot": "-"},
        {"statement_id": "two words"},
        {"reversal": True},
        {"occurred_at": "2025-01-31"},
        {"occurred_at": "2025-01-29T00:00:00Z"},
        {"schema_version": 2},
    ],
)
def test_what_is_wrong_with_a_row_never_passes_the_fast_path(changes: dict[str, Any]) -> None:
    usual = decoder_of()
    value = message("stock_stated", **changes)
    assert read(value) == read(value, Slow(usual.config, usual.known))


@pytest.mark.parametrize(
    ("name", "changes", "code", "told"),
    [
        ("stock_stated", {"on_hand": None}, "missing_field", "on_hand: expected at least one measure of on_hand, quar"),
        ("stock_stated", {"item": None}, "missing_field", "item: expected a value (stock_stated requires it)"),
        ("stock_stated", {"on_hand": "many"}, "bad_value", "on_hand: expected an integer, or a decimal"),
        ("stock_stated", {"expected": -1}, "bad_value", "expected: expected a quantity of 0 or more, got -1"),
        ("stock_stated", {"location": "dc-9"}, "unknown_location", "location: expected a location of inventory.loc"),
        ("stock_stated", {"reversal": True}, "bad_value", "reversal: expected nothing or false"),
        ("promise_stated", {"channel": "shop"}, "unknown_channel", "channel: expected a channel of inventory.channels"),
        ("promise_stated", {"atp": None}, "missing_field", "atp: expected a value (promise_stated requires it)"),
        ("promise_stated", {"atp": -1}, "bad_value", "atp: expected a quantity of 0 or more, got -1"),
        ("statement_started", {"items": "some"}, "bad_value", 'items: expected stated or all, got "some"'),
        ("statement_started", {"locations": []}, "bad_value", "locations: expected an array of 1 or more location"),
        ("statement_started", {"locations": ["dc-9"]}, "unknown_location", "locations[0]: expected a location"),
        ("statement_started", {"rows": 1.5}, "bad_value", "rows: expected a whole number of rows, 0 or more, got 1.5"),
        ("statement_started", {"statement_id": None}, "missing_field", "statement_id: expected a value"),
        ("statement_ended", {"rows": None}, "missing_field", "rows: expected a value (statement_ended requires it)"),
        ("statement_ended", {"rows": -1}, "bad_value", "rows: expected a whole number of rows, 0 or more, got -1"),
        ("statement_ended", {"schema_version": 2}, "unsupported_version", "schema_version: expected at most 1, got 2"),
        ("statement_ended", {"type": "statement_end"}, "unknown_type", "did you mean statement_ended?"),
        ("statement_ended", {"type": "stock_counted"}, "unknown_type", "type: expected a type of inventory.statements"),
        ("statement_ended", {"occurred_at": "2025-01-29T11:00:00Z"}, "late", "occurred_at: expected at most 86400 s"),
        ("statement_ended", {"occurred_at": "2025-02-01T11:00:00Z"}, "in_the_future", "occurred_at: expected at most"),
    ],
)
def test_what_is_wrong_is_told_as_of_an_event(name: str, changes: dict[str, Any], code: str, told: str) -> None:
    refusal = refused(message(name, **changes))
    assert (refusal.code, refusal.line_id) == (code, None)
    assert told in refusal.message and ", got " in refusal.message
    if refusal.code != "unknown_type":
        known = code != "unsupported_version"
        assert (refusal.source, refusal.type) == (("erp", name) if known else ("", ""))


@pytest.mark.parametrize(
    ("raw", "code"),
    [(b"{", "not_json"), (b"[1]", "not_an_object"), (b"{}", "missing_field"), (b'{"a":' + b"[" * 101, "not_json")],
)
def test_what_is_no_message_is_refused(raw: bytes, code: str) -> None:
    assert refused(raw).code == code
    assert refused(b" " * 200, decoder_of(max_message_bytes=100)).code == "too_large"


def test_the_first_thing_wrong_is_the_one_reported() -> None:
    bound = decoder_of(may_send={"erp": frozenset()}, source_locations={"erp": frozenset({"dc-2"})})
    wrong = message(
        "statement_ended", schema_version=2, statement_id="a b", occurred_at="2025-01-29T11:00:00Z", rows=-1
    )
    assert refused(wrong, bound).code == "unsupported_version"
    wrong["schema_version"] = 1
    assert refused(wrong, bound).message.startswith("statement_id: ")
    wrong["statement_id"] = "night"
    assert refused(wrong, bound).message.startswith("rows: ")
    wrong["rows"] = 1
    assert refused(wrong, bound).code == "not_allowed"
    assert refused(wrong).code == "late"


def test_of_a_row_what_stands_behind_the_items_record_travels_with_it() -> None:
    bound = decoder_of(may_send={"erp": frozenset({"statement_started"})})
    row = stated(message("stock_stated"), bound)
    assert row.verdict == (
        "not_allowed",
        "type: expected what source erp may send (statement_started), got stock_stated",
    )
    late = stated(message("stock_stated", occurred_at="2025-01-29T11:00:00Z"))
    assert late.verdict is not None and late.verdict[0] == "late"
    assert stated(message("stock_stated")).verdict is None


def test_a_source_states_its_own_locations_alone() -> None:
    bound = decoder_of(source_locations={"erp": frozenset({"dc-2"})})
    row = stated(message("stock_stated"), bound)
    assert row.verdict == ("not_allowed", "location: expected a location of source erp, got dc-1")
    assert stated(message("stock_stated", location="dc-2"), bound).verdict is None
    assert refused(message("statement_started"), bound).message.startswith("locations[0]: expected a location of sour")
    everywhere = {**HEAD, "type": "statement_started", "items": "all"}
    assert refused(everywhere, bound).code == "not_allowed"
    assert stated({**everywhere, "items": "stated"}, bound).locations is None
    assert stated(message("promise_stated"), bound).verdict is None


def test_a_source_has_its_own_window() -> None:
    wide = decoder_of(source_windows={"erp": 10 * 86_400_000_000})
    assert stated(message("stock_stated", occurred_at="2025-01-29T11:00:00Z"), wide).verdict is None


@pytest.mark.parametrize("name", sorted(STATEMENT_TYPES))
def test_what_nobody_knows_yet_goes_back_unless_it_is_final(name: str) -> None:
    unknown = {"stock_stated": {"location": "dc-9"}, "promise_stated": {"channel": "shop"}}
    unknown["statement_started"] = {"locations": ["dc-9"]}
    value = json.dumps(message(name, **unknown.get(name, {}))).encode()
    said = decoder_of().decode(Origin(TOPIC, 0, 1, NOW // 1000, None, value), NOW, False)
    assert (said is None) == (name in unknown)


def test_a_code_that_came_meanwhile_is_known() -> None:
    decoder = decoder_of()
    value = json.dumps(message("stock_stated", location="dc-9")).encode()
    origin = Origin(TOPIC, 0, 1, NOW // 1000, None, value)
    assert decoder.decode(origin, NOW, False) is None
    decoder.known.locations = {"dc-9"}
    assert isinstance(decoder.decode(origin, NOW, False), Stated)
