"""What one message becomes: units that say exactly what was sent, or the first thing that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from operators.decode import SOURCES_MAX, CodeSets, Decoder, DecoderConfig
from schemas import codes
from schemas.codes import NESTING_MAX, parse_time
from schemas.event_table import EVENTS, REVERSIBLE
from schemas.units import EventType, Origin, Refusal, Unit
from schemas.wire import SHALLOW_BYTES

SECOND = 1_000_000
HOUR = 3600 * SECOND
NOW_TEXT = "2025-01-31T12:00:00Z"
NOW = parse_time(NOW_TEXT)
TOPICS = {"warehouse": "warehouse", "orders": "orders", "supply": "supply"}

HEAD = {"event_id": "evt-1", "source": "wms", "occurred_at": NOW_TEXT}
CLOCK = {"item": "RETRO-CLOCK", "location": "dc-1"}
LINE = {"line_id": "1", "item": "RETRO-CLOCK", "quantity": 2, "location": "dc-1"}
PLAIN: dict[str, dict[str, Any]] = {
    "stock_received": {**CLOCK, "quantity": 5},
    "stock_adjusted": {**CLOCK, "quantity": -5},
    "stock_counted": {**CLOCK, "quantity": 5},
    "stock_status_changed": {**CLOCK, "quantity": 5, "from_status": "available", "to_status": "quarantined"},
    "lot_held": {"item": "RETRO-CLOCK", "lot": "lot-7"},
    "lot_released": {"item": "RETRO-CLOCK", "lot": "lot-7", "location": "dc-1"},
    "transfer_shipped": {**CLOCK, "transfer_id": "tr-1", "to_location": "dc-2", "quantity": 5},
    "transfer_closed": {**CLOCK, "transfer_id": "tr-1"},
    "pick_confirmed": {**CLOCK, "order_id": "order-1", "line_id": "1", "quantity": 5},
    "shipment_confirmed": {**CLOCK, "order_id": "order-1", "line_id": "1", "quantity": 5},
    "return_received": {**CLOCK, "quantity": 5},
    "lot_dated": {"item": "RETRO-CLOCK", "lot": "lot-7", "best_before": "2025-08-31"},
    "stock_withheld": {**CLOCK, "quantity": 5},
    "order_placed": {"order_id": "order-1", "channel": "web", "lines": [LINE]},
    "order_allocated": {"order_id": "order-1", "lines": [LINE]},
    "order_released": {"order_id": "order-1", "lines": [LINE]},
    "order_cancelled": {"order_id": "order-1", "lines": [{"line_id": "1", "item": "RETRO-CLOCK"}]},
    "order_reopened": {"order_id": "order-1", "lines": [{"line_id": "1", "item": "RETRO-CLOCK"}]},
    "receipt_expected": {**CLOCK, "receipt_id": "po-1", "quantity": 5, "eta": "2025-02-03T00:00:00Z"},
    "receipt_cancelled": {**CLOCK, "receipt_id": "po-1"},
}
SINGLE = [name for name, spec in EVENTS.items() if spec.line is None]
ORDERS = [name for name, spec in EVENTS.items() if spec.line is not None]


def decoder_of(**settings: Any) -> Decoder:
    return Decoder(DecoderConfig(TOPICS, **settings), CodeSets({"dc-1", "dc-2", "shop-1"}, {"web", "store"}))


def message(name: str, **changes: Any) -> dict[str, Any]:
    return {**HEAD, "type": name, **PLAIN[name], **changes}


def order(name: str, *lines: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    return message(name, lines=[{**LINE, **line} for line in lines], **changes)


def origin_of(value: Any, topic: str) -> Origin:
    raw = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return Origin(topic, 3, 42, NOW // 1000, b"key", raw)


def topic_of(value: Any) -> str:
    name = value.get("type") if isinstance(value, dict) else None
    return EVENTS[name].kind if isinstance(name, str) and name in EVENTS else "warehouse"


def read(value: Any, topic: str = "", decoder: Decoder | None = None) -> tuple[list[Unit], list[Refusal]]:
    units: list[Unit] = []
    refusals: list[Refusal] = []
    origin = origin_of(value, topic or topic_of(value))
    assert (decoder or decoder_of()).decode(origin, NOW, units, refusals, final=True)
    assert all(made.origin is origin for made in [*units, *refusals])
    return units, refusals


def unit_of(value: Any, decoder: Decoder | None = None) -> Unit:
    units, refusals = read(value, decoder=decoder)
    assert not refusals
    (unit,) = units
    return unit


def refusal_of(value: Any, topic: str = "", decoder: Decoder | None = None) -> Refusal:
    units, refusals = read(value, topic, decoder)
    assert not units
    (refusal,) = refusals
    assert refusal.code in codes.REFUSAL_CODES
    assert ": expected " in refusal.message
    assert ", got " in refusal.message
    return refusal


def verdict_of(value: Any, decoder: Decoder | None = None) -> str | None:
    verdict = unit_of(value, decoder).verdict
    return None if verdict is None else verdict[0]


# --- what a good message says ----------------------------------------------------------------------------------------


class Unjudged(Decoder):
    """It fails where the fast path does not do."""

    _judge = None  # type: ignore[assignment]


def unjudged() -> Decoder:
    usual = decoder_of()
    return Unjudged(usual.config, usual.known)


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_a_plain_message_of_each_type_takes_the_fast_path(name: str) -> None:
    unit = unit_of(message(name), unjudged())
    assert unit.type == EVENTS[name].number
    assert (unit.item, unit.source, unit.event_id) == ("RETRO-CLOCK", "wms", "evt-1")
    assert (unit.occurred_at, unit.recorded_at, unit.verdict) == (NOW, NOW, None)


@pytest.mark.parametrize("name", sorted(REVERSIBLE))
def test_a_reversal_takes_the_fast_path(name: str) -> None:
    assert unit_of(message(name, reversal=True), unjudged()).reversal


def test_what_else_is_usual_on_the_way_back_takes_the_fast_path() -> None:
    assert unit_of(order("order_cancelled", {"quantity": 1}), unjudged()).quantity == 1
    assert unit_of(order("order_reopened", {"quantity": 1}), unjudged()).quantity is None
    assert unit_of(message("receipt_expected", part_of="po-9"), unjudged()).part_of == "po-9"


def test_each_type_is_tested() -> None:
    assert set(PLAIN) == set(EVENTS) == {number.name.lower() for number in EventType}


def test_a_receipt_says_all_that_it_says() -> None:
    unit = unit_of(message("stock_received", lot="lot-7", status="quarantined", receipt_id="po-1", uom="case",
                           correlation_id="trace-9", reason="dented"))  # fmt: skip
    assert unit == Unit(
        EventType.STOCK_RECEIVED, "RETRO-CLOCK", "wms", "evt-1", "", NOW, NOW, unit.origin, 5, "dc-1", "lot-7", "case",
        status="quarantined", receipt_id="po-1", correlation_id="trace-9",
    )  # fmt: skip


def test_a_transfer_says_where_to_and_when() -> None:
    unit = unit_of(message("transfer_shipped", eta="2025-02-03T01:00:00+01:00"))
    assert (unit.location, unit.to_location, unit.transfer_id) == ("dc-1", "dc-2", "tr-1")
    assert unit.eta == parse_time("2025-02-03T00:00:00Z")


def test_a_pick_belongs_to_the_events_own_line() -> None:
    unit = unit_of(message("pick_confirmed", line_id="7"))
    assert (unit.order_id, unit.line_id, unit.quantity) == ("order-1", "7", 5)


def test_a_status_change_has_the_status_moved_to() -> None:
    assert unit_of(message("stock_status_changed")).status == "quarantined"
    back = message("stock_status_changed", from_status="quarantined", to_status="available")
    assert unit_of(back).status == "available"


@pytest.mark.parametrize("name", ["stock_received", "stock_adjusted", "transfer_shipped", "return_received"])
def test_what_moves_is_available_unless_it_says_quarantined(name: str) -> None:
    assert unit_of(message(name)).status == "available"
    assert unit_of(message(name, status="quarantined")).status == "quarantined"
    assert unit_of(message(name, status=None)).status == "available"


def test_a_lot_without_location_is_held_everywhere() -> None:
    assert unit_of(message("lot_held")).location == ""
    assert unit_of(message("lot_held", location="dc-2")).location == "dc-2"


def test_a_count_may_say_what_of_it_is_quarantined() -> None:
    assert unit_of(message("stock_counted")).quarantined is None
    assert unit_of(message("stock_counted", quarantined=0)).quarantined == 0
    assert unit_of(message("stock_counted", quarantined="2.5")).quarantined == "2.5"


def test_an_order_gives_a_unit_a_line() -> None:
    units, refusals = read(
        order("order_placed", {"line_id": "1"}, {"line_id": "2", "item": "LAMP", "quantity": 0, "location": None})
    )
    assert not refusals
    assert [(unit.line_id, unit.item, unit.quantity, unit.location) for unit in units] == [
        ("1", "RETRO-CLOCK", 2, "dc-1"),
        ("2", "LAMP", 0, ""),
    ]
    assert {(unit.order_id, unit.channel) for unit in units} == {("order-1", "web")}


def test_a_line_overrides_its_order() -> None:
    early, late = "2025-02-01T00:00:00Z", "2025-02-09T00:00:00Z"
    units, _ = read(
        order(
            "order_placed",
            {"line_id": "1"},
            {"line_id": "2", "uom": "pallet", "expires_at": late, "requested_at": late},
            uom="case",
            expires_at=early,
            requested_at=early,
        )
    )
    assert [(unit.uom, unit.expires_at, unit.requested_at) for unit in units] == [
        ("case", parse_time(early), parse_time(early)),
        ("pallet", parse_time(late), parse_time(late)),
    ]


def test_a_line_that_is_repeated_is_left_to_the_shard() -> None:
    units, refusals = read(order("order_placed", {}, {}))
    assert (len(units), refusals) == (2, [])


@pytest.mark.parametrize(
    ("sent", "meant"), [("7", 7), ("7.0", 7), ('"7"', 7), ("2.50", "2.5"), ('"2.50"', "2.5"), ("70e-1", 7),
                        ("9007199254740993.5", "9007199254740993.5"), ("12345678901234567890", 12345678901234567890)]
)  # fmt: skip
def test_a_quantity_keeps_its_exact_value(sent: str, meant: int | str) -> None:
    text = json.dumps(message("stock_received", quantity=-1)).replace("-1,", f"{sent},").replace("-1}", f"{sent}}}")
    units, _ = read(text.encode(), "warehouse")
    assert [unit.quantity for unit in units] == [meant]


# --- nulls, unknown fields, repeated keys ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_a_null_is_an_absent_field_and_an_unknown_field_is_no_field(name: str) -> None:
    plain, _ = read(message(name))
    optional = dict.fromkeys(
        field
        for field, info in EVENTS[name].head.model_fields.items()
        if not info.is_required() and field not in PLAIN[name]
    )
    nulls, _ = read(message(name, **optional))
    unknown, _ = read(message(name, Item="x", extra={"quantity": [None, {"a": 1.5}]}, **{"": 0}))
    assert len(plain) == len(nulls) == len(unknown) == 1
    for other in (*nulls, *unknown):
        other.origin = plain[0].origin
        assert other == plain[0]


def test_a_field_of_another_type_is_unknown_here() -> None:
    unit = unit_of(message("stock_counted", status="banana", eta=5, order_id=[], line_id="9", to_location="moon"))
    assert (unit.status, unit.eta, unit.order_id, unit.line_id, unit.to_location) == ("", None, "", "", "")


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_a_required_field_that_is_absent_or_null_is_missing(name: str) -> None:
    for field, info in EVENTS[name].head.model_fields.items():
        if info.is_required():
            absent = message(name)
            del absent[field]
            for value in (absent, message(name, **{field: None})):
                refusal = refusal_of(value, EVENTS[name].kind)
                assert refusal.code == "missing_field"
                assert refusal.message.startswith(f"{field}: ")
                assert refusal.message.endswith("got nothing")


def test_the_last_of_a_repeated_key_counts() -> None:
    text = json.dumps(message("stock_received"))
    assert [unit.quantity for unit in read((text[:-1] + ', "quantity": 8}').encode(), "warehouse")[0]] == [8]
    assert [unit.quantity for unit in read(('{"quantity": "x",' + text[1:]).encode(), "warehouse")[0]] == [5]
    assert refusal_of((text[:-1] + ', "quantity": null}').encode(), "warehouse").code == "missing_field"
    assert refusal_of((text[:-1] + ', "type": "lot_held"}').encode(), "warehouse").message.startswith("lot: ")


# --- size, JSON, object, version, type -------------------------------------------------------------------------------


@pytest.mark.parametrize(("room", "is_refused"), [(-1, True), (0, False), (1, False)])
def test_a_message_may_be_as_large_as_the_limit(room: int, is_refused: bool) -> None:
    value = json.dumps(message("stock_received")).encode()
    decoder = decoder_of(max_message_bytes=len(value) + room)
    units, refusals = read(value, "warehouse", decoder)
    assert [refusal.code for refusal in refusals] == (["too_large"] if is_refused else [])
    assert len(units) == (not is_refused)


def test_size_comes_before_json() -> None:
    assert refusal_of(b"{" * 11, decoder=decoder_of(max_message_bytes=10)).code == "too_large"


@pytest.mark.parametrize(
    "value",
    [None, b"", b"{", b"not json", b'{"a": NaN}', b'{"a": -Infinity}', b"\xef\xbb\xbf{}", b'{"a": "\xff"}', b"[" * 5000,
     b'{"a": 01}', b"{}{}", b"{}\x00"],
)  # fmt: skip
def test_what_is_not_json_is_refused(value: bytes | None) -> None:
    refusal = refusal_of(value)
    assert (refusal.code, refusal.line_id) == ("not_json", None)
    assert refusal.message.startswith("value: expected ")


def test_bytes_that_are_not_utf8_are_found_where_nobody_looks() -> None:
    value = json.dumps(message("stock_received", note="grxn")).encode()
    assert refusal_of(value.replace(b"grxn", b"gr\xfcn"), "warehouse").code == "not_json"
    assert not read(value.replace(b"grxn", b"gr\xc3\xbcn"), "warehouse")[1]


def test_nesting_is_limited_where_nobody_looks() -> None:
    deep: Any = 1
    for _ in range(99):
        deep = [deep]
    assert not read(message("stock_received", note=deep))[1]
    assert refusal_of(message("stock_received", note=[deep])).code == "not_json"
    many = order("order_placed", *[{"line_id": str(number)} for number in range(200)])
    assert len(read(many)[0]) == 200
    assert refusal_of({**many, "note": [deep]}).code == "not_json"
    assert len(read({**many, "note": deep})[0]) == 200


def test_no_message_is_both_short_and_deeply_nested() -> None:
    small = {"event_id": "e", "source": "s", "item": "i", "lot": "l", "type": "lot_held", "occurred_at": NOW_TEXT}
    value = json.dumps(small, separators=(",", ":")).encode()
    assert unit_of(small).lot == "l"
    deepest = value[:-1] + b',"":' + b"[" * NESTING_MAX + b"]" * NESTING_MAX + b"}"
    assert len(deepest) > SHALLOW_BYTES
    assert refusal_of(deepest, "warehouse").code == "not_json"


@pytest.mark.parametrize("value", [b"[]", b"1", b'"stock_received"', b"null", b"true", b"2.5"])
def test_what_is_no_object_is_refused(value: bytes) -> None:
    assert refusal_of(value).code == "not_an_object"


@pytest.mark.parametrize("version", [1, 1.0, None])
def test_version_1_is_spoken_and_the_default(version: Any) -> None:
    assert unit_of(message("stock_received", schema_version=version)).quantity == 5


@pytest.mark.parametrize("version", [0, -1, 1.5, "1", True, [], 10**80 + 0.5])
def test_a_version_is_an_integer_of_1_or_more(version: Any) -> None:
    assert refusal_of(message("stock_received", schema_version=version)).code in ("bad_value", "unsupported_version")


@pytest.mark.parametrize("version", [2, 3.0, 10**30])
def test_a_higher_version_is_not_supported(version: Any) -> None:
    assert refusal_of(message("stock_received", schema_version=version)).code == "unsupported_version"


def test_version_comes_before_type() -> None:
    assert refusal_of({"schema_version": 2, "type": "banana"}).code == "unsupported_version"
    assert refusal_of({"schema_version": 0}).message.startswith("schema_version: ")


@pytest.mark.parametrize("name", ["banana", "", "STOCK_RECEIVED", 5, [], True, "\ud800"])
def test_a_type_that_nobody_knows_is_unknown(name: Any) -> None:
    assert refusal_of({**HEAD, "type": name}).code == "unknown_type"


@pytest.mark.parametrize("name", [None, ...])
def test_a_message_without_type_misses_it(name: Any) -> None:
    value = {**HEAD, "type": name} if name is None else HEAD
    assert refusal_of(value).code == "missing_field"


@pytest.mark.parametrize("topic", sorted(TOPICS))
@pytest.mark.parametrize("name", sorted(EVENTS))
def test_a_type_belongs_to_one_topic(topic: str, name: str) -> None:
    _, refusals = read(message(name), topic)
    assert [refusal.code for refusal in refusals] == ([] if EVENTS[name].kind == topic else ["unknown_type"])


def test_a_near_type_is_suggested() -> None:
    assert "did you mean stock_received?" in refusal_of({**HEAD, "type": "stock_recieved"}).message


# --- fields and codes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("event_id", "a b"),
        ("event_id", ""),
        ("event_id", 7),
        ("event_id", "x" * 129),
        ("source", "w ms"),
        ("source", "-"),
        ("occurred_at", "2025-01-31T12:00:00"),
        ("occurred_at", "yesterday"),
        ("occurred_at", 1_738_324_800),
        ("correlation_id", "\u00e9"),
        ("uom", ""),
        ("reason", 5),
        ("item", "RETRO CLOCK"),
        ("item", "x" * 65),
        ("location", ""),
        ("lot", "lot:7"),
        ("status", "broken"),
        ("status", True),
        ("receipt_id", ""),
        ("transfer_id", "x" * 129),
        ("quantity", "many"),
        ("quantity", True),
        ("quantity", [5]),
        ("quantity", "5 "),
    ],
)
def test_a_bad_value_names_its_field(field: str, wrong: Any) -> None:
    refusal = refusal_of(message("stock_received", **{field: wrong}))
    assert refusal.code == "bad_value"
    assert refusal.message.startswith(f"{field}: expected ")


@pytest.mark.parametrize(
    ("name", "low"), [("stock_received", 1), ("stock_counted", 0), ("stock_status_changed", 1), ("transfer_shipped", 1),
                      ("pick_confirmed", 1), ("shipment_confirmed", 1), ("return_received", 1), ("receipt_expected", 0)]
)  # fmt: skip
def test_quantities_have_a_least_value(name: str, low: int) -> None:
    assert refusal_of(message(name, quantity=low - 1)).message.startswith("quantity: ")
    assert unit_of(message(name, quantity=low)).quantity == low
    assert unit_of(message(name, quantity=low + 1)).quantity == low + 1
    assert refusal_of(message(name, quantity="-0.5")).code == "bad_value"
    assert unit_of(message(name, quantity="0.5")).quantity == "0.5"


@pytest.mark.parametrize(("name", "low"), [("order_placed", 0), ("order_allocated", 1), ("order_released", 1)])
def test_quantities_of_lines_have_a_least_value(name: str, low: int) -> None:
    assert refusal_of(order(name, {"quantity": low - 1})).message.startswith("lines[0].quantity: ")
    assert unit_of(order(name, {"quantity": low})).quantity == low
    assert unit_of(order(name, {"quantity": low + 1})).quantity == low + 1


@pytest.mark.parametrize(("quantity", "passes"), [(-1, True), (0, False), (1, True), ("0.0", False), ("-0.1", True)])
def test_an_adjustment_changes_something(quantity: Any, passes: bool) -> None:
    units, refusals = read(message("stock_adjusted", quantity=quantity))
    assert (len(units), len(refusals)) == ((1, 0) if passes else (0, 1))


@pytest.mark.parametrize(
    ("quarantined", "passes"),
    [(4, True), (5, True), (6, False), ("4.9", True), ("5.0", True), ("5.1", False), (-1, False)],
)
def test_no_more_is_quarantined_than_was_counted(quarantined: Any, passes: bool) -> None:
    units, refusals = read(message("stock_counted", quantity=5, quarantined=quarantined))
    assert (len(units), [refusal.code for refusal in refusals]) == ((1, []) if passes else (0, ["bad_value"]))


@pytest.mark.parametrize(
    ("field", "contradiction"),
    [
        ("transfer_id", message("stock_received", receipt_id="po-1", transfer_id="tr-1")),
        ("quarantined", message("stock_counted", quantity=1, quarantined=2)),
        ("to_status", message("stock_status_changed", from_status="quarantined")),
        ("to_location", message("transfer_shipped", to_location="dc-1")),
    ],
)
def test_what_contradicts_itself_is_a_bad_value(field: str, contradiction: dict[str, Any]) -> None:
    refusal = refusal_of(contradiction)
    assert (refusal.code, refusal.message.split(":")[0]) == ("bad_value", field)


@pytest.mark.parametrize(("count", "passes"), [(0, False), (1, True), (999, True), (1000, True), (1001, False)])
def test_an_order_has_1_to_1000_lines(count: int, passes: bool) -> None:
    units, refusals = read(order("order_placed", *[{"line_id": str(number)} for number in range(count)]))
    assert len(units) == (count if passes else 0)
    assert [(refusal.code, refusal.line_id) for refusal in refusals] == ([] if passes else [("bad_value", None)])


@pytest.mark.parametrize("lines", [{}, "1", 5, True, {"0": LINE}])
def test_lines_are_an_array(lines: Any) -> None:
    assert refusal_of(message("order_placed", lines=lines)).message.startswith("lines: expected an array ")


# --- what is known and what is not -----------------------------------------------------------------------------------


UNKNOWN = [
    ("unknown_location", "location", message("stock_received", location="moon")),
    ("unknown_location", "location", message("lot_held", location="moon")),
    ("unknown_location", "to_location", message("transfer_shipped", to_location="moon")),
    ("unknown_location", "lines[0].location", order("order_placed", {"location": "moon"})),
    ("unknown_location", "lines[0].location", order("order_cancelled", {"location": "moon"})),
    ("unknown_channel", "channel", message("order_placed", channel="bazaar")),
    ("unknown_channel", "channel", message("order_allocated", channel="bazaar")),
    ("unknown_location", "location", message("receipt_expected", location="moon")),
]


@pytest.mark.parametrize(("code", "field", "value"), UNKNOWN)
def test_a_location_or_channel_must_be_known(code: str, field: str, value: dict[str, Any]) -> None:
    refusal = refusal_of(value)
    assert (refusal.code, refusal.message.split(":")[0]) == (code, field)
    assert refusal.message.endswith(("got moon", "got bazaar"))


@pytest.mark.parametrize(("code", "field", "value"), UNKNOWN)
def test_what_is_not_known_yet_is_left_to_be_read_again(code: str, field: str, value: dict[str, Any]) -> None:
    decoder, units, refusals = decoder_of(), list[Unit](), list[Refusal]()
    origin = origin_of(value, topic_of(value))
    assert not decoder.decode(origin, NOW, units, refusals, final=False)
    assert (units, refusals) == ([], [])
    decoder.known.locations, decoder.known.channels = {"dc-1", "dc-2", "moon"}, {"web", "bazaar"}
    assert decoder.decode(origin, NOW, units, refusals, final=False)
    assert (len(units), refusals) == (1, [])


def test_one_unknown_line_holds_the_whole_order_back() -> None:
    value = order("order_placed", {"line_id": "1"}, {"line_id": "2", "location": "moon"}, {"line_id": "3", "item": ""})
    units, refusals = list[Unit](), list[Refusal]()
    assert not decoder_of().decode(origin_of(value, "orders"), NOW, units, refusals, final=False)
    assert (units, refusals) == ([], [])


def test_what_is_wrong_anyway_does_not_wait() -> None:
    for value in (
        message("stock_received", location="moon", quantity=0),
        order("order_placed", {"location": "moon"}, {}, occurred_at="2025-01-01T00:00:00Z"),
    ):
        units, refusals = list[Unit](), list[Refusal]()
        assert decoder_of().decode(origin_of(value, topic_of(value)), NOW, units, refusals, final=False)
        assert (len(units), len(refusals)) == (0, 1)


# --- not_allowed, late, in_the_future --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lag", "code"),
    [
        (24 * HOUR - 1, None),
        (24 * HOUR, None),
        (24 * HOUR + 1, "late"),
        (-300 * SECOND + 1, None),
        (-300 * SECOND, None),
        (-300 * SECOND - 1, "in_the_future"),
    ],
)
def test_an_event_is_late_or_in_the_future_beyond_its_bounds(lag: int, code: str | None) -> None:
    units: list[Unit] = []
    for value in (message("stock_received"), message("order_placed")):
        assert decoder_of().decode(origin_of(value, topic_of(value)), NOW + lag, units, [], final=False)
    assert [unit.verdict and unit.verdict[0] for unit in units] == [code, code]
    assert [unit.recorded_at for unit in units] == [NOW + lag] * 2


@pytest.mark.parametrize(("lag", "code"), [(HOUR - 1, None), (HOUR, None), (HOUR + 1, "late")])
def test_a_source_may_have_a_window_of_its_own(lag: int, code: str | None) -> None:
    decoder = decoder_of(source_windows={"pos": HOUR})
    units: list[Unit] = []
    for source in ("pos", "wms"):
        origin = origin_of(message("stock_received", source=source), "warehouse")
        assert decoder.decode(origin, NOW + lag, units, [], final=False)
    assert [unit.verdict and unit.verdict[0] for unit in units] == [code, None]


def test_lateness_is_told_in_times() -> None:
    unit = unit_of(message("stock_received", occurred_at="2025-01-01T00:00:00Z"))
    assert unit.verdict == (
        "late",
        "occurred_at: expected at most 86400 s before recorded_at 2025-01-31T12:00:00Z, got 2025-01-01T00:00:00Z",
    )
    assert verdict_of(message("stock_received", occurred_at="9999-12-31T23:59:59.999999Z")) == "in_the_future"
    assert verdict_of(message("stock_received", occurred_at="0001-01-01T00:00:00Z")) == "late"


def test_a_bound_source_may_send_only_its_types() -> None:
    decoder = decoder_of(may_send={"wms": frozenset({"stock_received", "order_placed"})})
    assert verdict_of(message("stock_received"), decoder) is None
    assert verdict_of(message("stock_counted"), decoder) == "not_allowed"
    assert verdict_of(message("stock_counted", source="erp"), decoder) is None
    assert verdict_of(message("order_placed"), decoder) is None
    assert verdict_of(message("order_cancelled"), decoder) == "not_allowed"
    assert verdict_of(message("stock_received"), decoder_of(may_send={"wms": frozenset()})) == "not_allowed"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (message("stock_received", location="dc-1"), None),
        (message("stock_received", location="dc-2"), "not_allowed"),
        (message("transfer_shipped", location="dc-1", to_location="dc-2"), None),
        (message("transfer_shipped", location="dc-2", to_location="dc-1"), "not_allowed"),
        (message("transfer_shipped", location="dc-1", to_location="shop-1"), None),
        (message("lot_held"), "not_allowed"),
        (message("lot_held", location="dc-1"), None),
        (message("lot_held", location="dc-2"), "not_allowed"),
        (order("order_placed", {"location": None}), None),
        (order("order_placed", {"location": "dc-1"}), None),
        (order("order_placed", {"location": "dc-2"}), "not_allowed"),
        (message("receipt_expected", location="dc-2"), "not_allowed"),
        (message("stock_received", location="dc-2", source="erp"), None),
    ],
)
def test_a_bound_source_speaks_for_its_own_locations_wherever_its_goods_go(
    value: dict[str, Any], code: str | None
) -> None:
    decoder = decoder_of(source_locations={"wms": frozenset({"dc-1", "shop-1"})})
    assert verdict_of(value, decoder) == code


def test_the_first_thing_wrong_is_the_one_reported() -> None:
    bound = decoder_of(may_send={"wms": frozenset({"stock_received"})}, source_locations={"wms": frozenset({"dc-1"})})
    late = {"occurred_at": "2025-01-01T00:00:00Z"}
    assert refusal_of(message("stock_counted", quantity=-1, location="moon", **late), decoder=bound).code == "bad_value"
    assert refusal_of(message("stock_counted", location="moon", **late), decoder=bound).code == "unknown_location"
    assert verdict_of(message("stock_counted", **late), bound) == "not_allowed"
    assert verdict_of(message("stock_received", location="dc-2", **late), bound) == "not_allowed"
    assert verdict_of(message("stock_received", **late), bound) == "late"


def test_no_number_of_sources_fills_the_memory() -> None:
    decoder = decoder_of(source_windows={"pos": HOUR})
    for number in range(SOURCES_MAX + 2):
        assert decoder._rights_of(f"s{number}").window == 24 * HOUR
    assert len(decoder._rights) <= SOURCES_MAX
    assert decoder._rights_of("pos").window == HOUR


# --- one line and all lines ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "field", "line"),
    [
        ("bad_value", "lines[1].quantity", {"quantity": -1}),
        ("bad_value", "lines[1].item", {"item": "RETRO CLOCK"}),
        ("bad_value", "lines[1].uom", {"uom": ""}),
        ("bad_value", "lines[1].expires_at", {"expires_at": "soon"}),
        ("missing_field", "lines[1].item", {"item": None}),
        ("missing_field", "lines[1].quantity", {"quantity": None}),
        ("unknown_location", "lines[1].location", {"location": "moon"}),
    ],
)
def test_a_wrong_line_takes_no_other_with_it(code: str, field: str, line: dict[str, Any]) -> None:
    units, refusals = read(order("order_placed", {"line_id": "a"}, {"line_id": "b", **line}, {"line_id": "c"}))
    assert [unit.line_id for unit in units] == ["a", "c"]
    (refusal,) = refusals
    assert (refusal.code, refusal.line_id, refusal.message.split(":")[0]) == (code, "b", field)


@pytest.mark.parametrize("name", ["order_allocated", "order_released"])
def test_an_allocation_names_its_location(name: str) -> None:
    refusal = refusal_of(order(name, {"location": None}))
    assert (refusal.code, refusal.line_id) == ("missing_field", "1")


def test_a_line_of_a_location_that_the_source_may_not_name_is_judged_alone() -> None:
    decoder = decoder_of(source_locations={"wms": frozenset({"dc-1"})})
    units, refusals = read(
        order("order_placed", {"line_id": "a"}, {"line_id": "b", "location": "dc-2"}), decoder=decoder
    )
    assert not refusals
    assert [(unit.line_id, unit.verdict and unit.verdict[0]) for unit in units] == [("a", None), ("b", "not_allowed")]


@pytest.mark.parametrize("line_id", ["a b", 7, "", None, ["x"], "x" * 129])
def test_a_line_whose_id_is_wrong_is_named_by_its_place(line_id: Any) -> None:
    units, refusals = read(order("order_placed", {"line_id": "a"}, {"line_id": line_id}))
    assert [unit.line_id for unit in units] == ["a"]
    (refusal,) = refusals
    assert refusal.line_id is None
    assert refusal.message.startswith("lines[1].line_id: expected ")


@pytest.mark.parametrize("line", [None, 5, "1", [LINE]])
def test_a_line_is_an_object(line: Any) -> None:
    units, refusals = read(message("order_placed", lines=[LINE, line]))
    assert len(units) == 1
    assert [(refusal.code, refusal.message.split(":")[0]) for refusal in refusals] == [("bad_value", "lines[1]")]


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("missing_field", {"order_id": None}),
        ("missing_field", {"channel": None}),
        ("bad_value", {"uom": "-"}),
        ("bad_value", {"requested_at": "soon"}),
        ("unknown_channel", {"channel": "bazaar"}),
        ("late", {"occurred_at": "2025-01-01T00:00:00Z"}),
        ("in_the_future", {"occurred_at": "2025-02-01T00:00:00Z"}),
        ("not_allowed", {"source": "bound"}),
    ],
)
def test_what_is_wrong_with_all_of_an_order_is_refused_once(code: str, changes: dict[str, Any]) -> None:
    decoder = decoder_of(may_send={"bound": frozenset({"order_cancelled"})})
    value = order("order_placed", {"line_id": "a"}, {"line_id": "b", "quantity": -1}, **changes)
    refusal = refusal_of(value, decoder=decoder)
    assert (refusal.code, refusal.line_id) == (code, None)


def test_a_single_line_leaves_the_shard_its_say_before_it_is_late() -> None:
    unit = unit_of(order("order_placed", {"uom": "banana"}, occurred_at="2025-01-01T00:00:00Z"))
    assert (unit.uom, unit.verdict and unit.verdict[0]) == ("banana", "late")


def test_a_refused_pick_is_refused_as_an_event() -> None:
    assert refusal_of(message("pick_confirmed", location="moon")).line_id is None


# --- what a message of an error may be -------------------------------------------------------------------------------


@pytest.mark.parametrize("evil", ["\n\r\t\x00", "\u202e", "\ud800", "x" * 500_000])
def test_an_error_is_one_short_line_of_ascii_whatever_was_sent(evil: str) -> None:
    for value in (
        message("stock_received", item=evil),
        {**HEAD, "type": evil},
        message("order_placed", lines=[{"line_id": evil}]),
    ):
        told = refusal_of(value, topic_of(value)).message
        assert told.isascii()
        assert told.isprintable()
        assert len(told) < 600


def test_supply_has_no_lots_so_a_lot_there_is_an_unknown_field() -> None:
    assert unit_of(message("receipt_expected", lot="L1")).lot == ""
    assert unit_of(message("receipt_cancelled", lot="L1")).lot == ""
