"""What events may say of the way back: taken back, cut down, opened again, dated, withheld, counted once."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from operators.conflicts import REVERSIBLE_TYPES, conflict_message
from operators.decode import CodeSets, Decoder, DecoderConfig
from operators.scan import Event, Scanner
from operators.shard import content_of, digest_of
from schemas.codes import parse_date, parse_time
from schemas.event_table import EVENTS, REVERSIBLE
from schemas.outputs import all_schemas
from schemas.units import UNIT_FIELDS, EventType, Origin, Refusal, Unit, unit_from, units_from, values_of

NOW_TEXT = "2025-01-31T12:00:00Z"
NOW = parse_time(NOW_TEXT)
TOPICS = {"warehouse": "warehouse", "orders": "orders", "supply": "supply"}
LINE = {"line_id": "1", "item": "RETRO-CLOCK", "location": "DC1", "quantity": 2}
#: What each type says here; fields that a type does not know are passed over.
SAID: dict[str, Any] = {
    "event_id": "evt-1", "source": "wms", "occurred_at": NOW_TEXT, "item": "RETRO-CLOCK", "location": "DC1",
    "quantity": 5, "from_status": "available", "to_status": "quarantined", "to_location": "DC2", "order_id": "SO-1",
    "line_id": "1", "channel": "web", "lines": [LINE], "eta": "2025-02-03T00:00:00Z",
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    **{key: {"transfer_id": "TR-1"} for key in ("transfer_shipped", "transfer_closed")},
    **{key: {"receipt_id": "PO-1"} for key in ("receipt_expected", "receipt_cancelled")},
    **{key: {"lot": "LOT-7"} for key in ("lot_held", "lot_released", "lot_dated")},
}
ORDERS = sorted(name for name, spec in EVENTS.items() if spec.is_order)


def says(name: str, **changes: Any) -> dict[str, Any]:
    return {"type": name, **SAID, **OWN.get(name, {}), **changes}


def line(name: str, **changes: Any) -> dict[str, Any]:
    return says(name, lines=[{**LINE, **changes}])


def read(value: dict[str, Any], **settings: Any) -> tuple[list[Unit], list[Refusal]]:
    units: list[Unit] = []
    refusals: list[Refusal] = []
    origin = Origin(EVENTS[value["type"]].kind, 0, 1, NOW // 1000, None, json.dumps(value).encode())
    decoder = Decoder(DecoderConfig(TOPICS, **settings), CodeSets({"DC1", "DC2"}, {"web"}))
    assert decoder.decode(origin, NOW, units, refusals, final=True)
    return units, refusals


def unit_of(value: dict[str, Any], **settings: Any) -> Unit:
    units, refusals = read(value, **settings)
    assert not refusals
    (unit,) = units
    return unit


def refused(value: dict[str, Any]) -> str:
    """What is told of a bad value."""
    units, refusals = read(value)
    assert not units
    (refusal,) = refusals
    assert refusal.code == "bad_value"
    return refusal.message


# --- reversal --------------------------------------------------------------------------------------------------------


def test_seven_types_may_be_taken_back() -> None:
    assert {
        "stock_received",
        "transfer_shipped",
        "return_received",
        "pick_confirmed",
        "shipment_confirmed",
        "order_allocated",
        "order_released",
    } == REVERSIBLE
    assert len(REVERSIBLE_TYPES) == 7


@pytest.mark.parametrize("name", sorted(REVERSIBLE))
def test_a_reversal_keeps_its_quantity_above_zero(name: str) -> None:
    quantity = 2 if name in ORDERS else 5
    unit = unit_of(says(name, reversal=True))
    assert (unit.reversal, unit.quantity) == (True, quantity)
    assert not unit_of(says(name)).reversal
    for wrong in (0, -1):
        value = line(name, quantity=wrong) if name in ORDERS else says(name, quantity=wrong)
        assert "quantity: expected a quantity above 0" in refused({**value, "reversal": True})


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_false_and_null_take_nothing_back(name: str) -> None:
    for nothing in (False, None):
        unit = unit_of(says(name, reversal=nothing))
        unit.origin = Origin("", 0, 0, 0, None, None)
        plain = unit_of(says(name))
        plain.origin = unit.origin
        assert unit == plain


@pytest.mark.parametrize("name", sorted(set(EVENTS) - REVERSIBLE))
def test_no_other_type_is_taken_back(name: str) -> None:
    assert refused(says(name, reversal=True)) == (
        "reversal: expected nothing or false (this type has no reversal), got true"
    )


@pytest.mark.parametrize("wrong", [1, 0, "true", "", [], {}, 1.5])
@pytest.mark.parametrize("name", sorted(EVENTS))
def test_a_reversal_is_true_or_false(name: str, wrong: Any) -> None:
    assert refused(says(name, reversal=wrong)).startswith("reversal: expected true or false, got ")


def test_a_reversal_of_an_order_is_of_all_its_lines() -> None:
    lines = [{**LINE, "line_id": str(number)} for number in (1, 2, 3)]
    for name in ("order_allocated", "order_released"):
        units, refusals = read(says(name, lines=lines, reversal=True))
        assert ([unit.reversal for unit in units], refusals) == ([True] * 3, [])


@pytest.mark.parametrize("name", ORDERS)
def test_a_reversal_does_not_stand_on_a_line(name: str) -> None:
    for wrong in (True, "false", 0):
        value = says(name, lines=[{**LINE, "line_id": "1"}, {**LINE, "line_id": "2", "reversal": wrong}])
        (unit,), (refusal,) = read(value)
        assert (unit.line_id, refusal.line_id, refusal.code) == ("1", "2", "bad_value")
        assert refusal.message.startswith("lines[1].reversal: expected nothing or false (a reversal stands on the ")
    assert not unit_of(line(name, reversal=False)).reversal
    assert unit_of(line("order_allocated", reversal=False) | {"reversal": True}).reversal


def test_no_spelling_of_a_name_hides_a_reversal() -> None:
    for plain, spelled in (
        ("reversal", r"\u0072eversal"),
        ("reversal", r"reversa\u006C"),
        ("part_of", r"part\u005fof"),
    ):
        value = (
            says("stock_received", reversal=True) if plain == "reversal" else says("receipt_expected", part_of="PO-9")
        )
        kind = EVENTS[value["type"]].kind
        raw = json.dumps(value).replace(f'"{plain}"', f'"{spelled}"').encode()
        units: list[Unit] = []
        decoder = Decoder(DecoderConfig(TOPICS), CodeSets({"DC1"}, ()))
        assert decoder.decode(Origin(kind, 0, 1, 0, None, raw), NOW, units, [], final=True)
        assert (units[0].reversal, units[0].part_of) == ((True, "") if plain == "reversal" else (False, "PO-9"))


# --- cancellations and reopenings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "meant"), [(1, 1), (3, 3), ("0.5", "0.5"), (2.0, 2), (None, None)])
def test_a_cancellation_may_be_of_a_part(sent: Any, meant: Any) -> None:
    assert unit_of(line("order_cancelled", quantity=sent)).quantity == meant


@pytest.mark.parametrize("wrong", [0, -1, "0.0", "-0.5", "many", True, [], {}])
def test_a_cancellation_of_nothing_or_less_is_a_bad_value(wrong: Any) -> None:
    assert refused(line("order_cancelled", quantity=wrong)).startswith("lines[0].quantity: expected ")


def test_parts_and_whole_lines_are_cancelled_in_one_event() -> None:
    whole = {"line_id": "2", "item": "LAMP"}
    units, refusals = read(says("order_cancelled", lines=[LINE, whole, {**LINE, "line_id": "3", "quantity": 0}]))
    assert [(unit.line_id, unit.quantity) for unit in units] == [("1", 2), ("2", None)]
    assert [(refusal.line_id, refusal.code) for refusal in refusals] == [("3", "bad_value")]


@pytest.mark.parametrize("quantity", [None, 0, 1, -5, 2.5, "many", True, [], {}, 10**80])
def test_a_reopening_has_no_quantity_whatever_is_sent(quantity: Any) -> None:
    unit = unit_of(line("order_reopened", quantity=quantity))
    assert (unit.type, unit.quantity, unit.order_id, unit.line_id) == (EventType.ORDER_REOPENED, None, "SO-1", "1")
    assert (unit.location, unit.uom) == ("DC1", "")


def test_a_reopening_needs_neither_channel_nor_location() -> None:
    value = says("order_reopened", channel=None, lines=[{"line_id": "1", "item": "LAMP", "uom": "case"}])
    unit = unit_of(value)
    assert (unit.channel, unit.location, unit.uom, unit.item) == ("", "", "case", "LAMP")


# --- lots, what is withheld, parts of receipts -----------------------------------------------------------------------


def test_a_lot_is_dated_wherever_it_is() -> None:
    unit = unit_of(says("lot_dated", best_before="2025-08-31", location="MOON"))
    assert (unit.lot, unit.location, unit.best_before) == ("LOT-7", "", parse_date("2025-08-31"))
    assert unit.quantity is None


@pytest.mark.parametrize("name", sorted(set(EVENTS) - {"lot_dated"}))
def test_another_types_date_is_an_unknown_field(name: str) -> None:
    assert unit_of(says(name, best_before="soon")).best_before is None


def test_a_lot_without_a_date_has_none() -> None:
    assert unit_of(says("lot_dated")).best_before is None
    assert unit_of(says("lot_dated", best_before=None)).best_before is None


@pytest.mark.parametrize("wrong", ["2025-02-29", "20250831", "2025-08-31T00:00:00Z", "", "soon", 20_331, False])
def test_a_best_before_is_a_day_of_the_calendar(wrong: Any) -> None:
    assert refused(says("lot_dated", best_before=wrong)).startswith("best_before: expected a date of the calendar ")


def test_what_is_dated_is_a_lot() -> None:
    (refusal,) = read(says("lot_dated", lot=None))[1]
    assert (refusal.code, refusal.message) == (
        "missing_field",
        "lot: expected a value (lot_dated requires it), got nothing",
    )


def test_a_source_of_some_locations_dates_no_lot() -> None:
    """It would speak for all locations at once, as a lot_held without a location does."""
    bound = {"source_locations": {"wms": frozenset({"DC1"})}}
    assert unit_of(says("lot_dated"), **bound).verdict == (
        "not_allowed",
        "type: expected a type that source wms may say of its own locations, got lot_dated, which is of all of them",
    )
    assert unit_of(says("stock_withheld"), **bound).verdict is None
    assert (unit_of(says("stock_withheld", location="DC2"), **bound).verdict or ("",))[0] == "not_allowed"


@pytest.mark.parametrize("name", ["lot_dated", "stock_withheld", "order_reopened"])
def test_a_source_may_be_bound_not_to_send_the_new_types(name: str) -> None:
    usual = frozenset(EVENTS) - {name}
    assert (unit_of(says(name), may_send={"wms": usual}).verdict or ("",))[0] == "not_allowed"
    assert unit_of(says(name), may_send={"wms": frozenset({name})}).verdict is None


@pytest.mark.parametrize(("quantity", "passes"), [(-1, False), (0, True), (1, True), ("-0.5", False), ("0.5", True)])
def test_so_much_or_nothing_is_withheld_but_never_less(quantity: Any, passes: bool) -> None:
    value = says("stock_withheld", quantity=quantity, reason="under investigation")
    if passes:
        unit = unit_of(value)
        assert (unit.quantity, unit.location, unit.lot, unit.status) == (quantity, "DC1", "", "")
    else:
        assert refused(value).startswith("quantity: expected a quantity of 0 or more, got ")


@pytest.mark.parametrize("lot", ["LOT-7", "", 7, False])
def test_what_is_withheld_is_of_no_lot(lot: Any) -> None:
    expected = "lot: expected nothing (what is withheld is of a location, not of a lot), got "
    assert refused(says("stock_withheld", lot=lot)).startswith(expected)
    assert unit_of(says("stock_withheld", lot=None)).lot == ""


def test_what_is_withheld_is_so_much_at_a_location() -> None:
    for field in ("location", "quantity", "item"):
        (refusal,) = read(says("stock_withheld", **{field: None}))[1]
        assert (refusal.code, refusal.message.split(":")[0]) == ("missing_field", field)


def test_a_receipt_may_be_a_part_of_another() -> None:
    assert unit_of(says("receipt_expected", part_of="PO-9")).part_of == "PO-9"
    assert unit_of(says("receipt_expected", part_of=None)).part_of == ""
    assert refused(says("receipt_expected", part_of="PO-1")) == (
        'part_of: expected another receipt than receipt_id, got "PO-1"'
    )
    for wrong in ("", "PO 9", 9, True):
        assert refused(says("receipt_expected", part_of=wrong)).startswith("part_of: expected an id ")


@pytest.mark.parametrize("name", sorted(set(EVENTS) - {"receipt_expected"}))
def test_no_other_type_is_a_part(name: str) -> None:
    assert unit_of(says(name, part_of="a b")).part_of == ""


# --- what is stored and compared -------------------------------------------------------------------------------------


def made(kind: EventType, quantity: int | None = 4, **changes: Any) -> Unit:
    unit = Unit(kind, "RETRO-CLOCK", "wms", "evt-1", "", NOW, NOW, Origin("t", 0, 1, 2, b"k", b"v"), quantity)
    unit.location = "DC1"
    for name, value in changes.items():
        setattr(unit, name, value)
    return unit


def contents(*units: Unit, quantity: int = 4) -> list[bytes]:
    return [content_of(unit, quantity, None) for unit in units]


def test_a_unit_of_an_older_state_is_read() -> None:
    unit = made(EventType.STOCK_RECEIVED, lot="L1")
    short = unit.values()[: UNIT_FIELDS.index("verdict") + 1]
    assert UNIT_FIELDS[-3:] == ("reversal", "part_of", "best_before")
    assert unit_from(msgspec.msgpack.decode(msgspec.msgpack.encode(short))) == unit


def test_a_unit_that_waits_keeps_what_it_says() -> None:
    units = [
        made(EventType.RECEIPT_EXPECTED, part_of="PO-9"),
        made(EventType.PICK_CONFIRMED, reversal=True),
        made(EventType.LOT_DATED, None, best_before=-1),
    ]
    kept = units_from(msgspec.msgpack.decode(msgspec.msgpack.encode(values_of(units))))
    assert kept == units
    assert [unit.reversal for unit in kept] == [False, True, False]


def test_what_uses_nothing_new_has_the_content_that_it_had() -> None:
    """Bytes of before: the ids of an older state know their repeats."""
    plain = content_of(made(EventType.STOCK_RECEIVED, lot="L1", status="available"), 4, None)
    assert plain == msgspec.msgpack.encode((1, NOW, 4, None, "DC1", "L1", "available", "", "", "", "", None))
    cancelled = content_of(made(EventType.ORDER_CANCELLED, None, order_id="SO-1"), 0, None)
    assert cancelled == msgspec.msgpack.encode((23, NOW, 0, "DC1", "SO-1", "", None, None))


@pytest.mark.parametrize("kind", sorted(REVERSIBLE_TYPES))
def test_a_reversal_is_another_content(kind: int) -> None:
    plain, back = made(EventType(kind)), made(EventType(kind), reversal=True)
    for quantity in (0, 1, 4, 2**53 - 1):
        assert len(set(contents(plain, back, quantity=quantity))) == 2
        assert digest_of(plain, quantity, None) != digest_of(back, quantity, None)


def test_a_part_and_a_date_are_content() -> None:
    expected = [made(EventType.RECEIPT_EXPECTED, receipt_id="PO-1", part_of=part) for part in ("", "PO-8", "PO-9")]
    dated = [made(EventType.LOT_DATED, None, lot="L1", best_before=day) for day in (None, -1, 0, 20_000)]
    assert len(set(contents(*expected))) == 3
    assert len(set(contents(*dated, quantity=0))) == 4


def test_a_cancellation_of_a_part_is_none_of_the_whole_even_if_0_is_left_of_it() -> None:
    whole, part = made(EventType.ORDER_CANCELLED, None), made(EventType.ORDER_CANCELLED, "0.25")  # type: ignore[arg-type]
    assert len({content_of(whole, 0, None), content_of(part, 0, None), content_of(part, 1, None)}) == 3
    assert digest_of(whole, 0, None) != digest_of(part, 0, None)


def told(first: Unit, second: Unit, before: int = 4, after: int = 4) -> str:
    digests = digest_of(first, before, None), digest_of(second, after, None)
    return conflict_message(second, after, None, *digests)


def test_a_conflict_names_the_reversal() -> None:
    plain, back = made(EventType.PICK_CONFIRMED), made(EventType.PICK_CONFIRMED, reversal=True)
    stands = "quantity or reversal: expected what event evt-1 of wms said first, which stands (hash "
    assert told(plain, back).startswith(stands) and ", got a reversal of 4 (hash " in told(plain, back)
    assert told(back, plain).startswith(stands) and ", got 4 (hash " in told(back, plain)
    assert told(plain, plain, after=5).startswith("quantity: expected ")
    assert told(made(EventType.STOCK_COUNTED), made(EventType.STOCK_COUNTED), 4, 5).startswith("quantity: expected ")


def test_a_conflict_names_the_part_the_date_and_the_whole() -> None:
    expected = made(EventType.RECEIPT_EXPECTED, receipt_id="PO-1", eta=NOW)
    part = made(EventType.RECEIPT_EXPECTED, receipt_id="PO-1", part_of="PO-9", eta=NOW)
    assert told(expected, part).startswith("receipt_id or part_of: expected ")
    assert ", got PO-1 PO-9 (hash " in told(expected, part)
    undated, dated = (made(EventType.LOT_DATED, None, lot="L1", best_before=day) for day in (None, 20_331))
    assert told(undated, dated, 0, 0).startswith("best_before: expected ")
    assert ", got 2025-08-31 (hash " in told(undated, dated, 0, 0)
    whole, some = made(EventType.ORDER_CANCELLED, None), made(EventType.ORDER_CANCELLED, 3)
    assert told(some, whole, 3, 0).startswith("quantity: expected ") and ", got none (hash " in told(some, whole, 3, 0)


def test_a_conflict_of_another_type_names_what_the_first_had() -> None:
    first = made(EventType.STOCK_RECEIVED, lot="L1", status="available")
    assert told(first, made(EventType.RECEIPT_EXPECTED)).startswith("type, lot or status or quarantined or channel: ")


# --- the scanner -----------------------------------------------------------------------------------------------------


def scanned(value: dict[str, Any], **spelled: str) -> Event | None:
    """What the scanner reads; `spelled`: fields as JSON text."""
    parts = [json.dumps(value)[1:-1], *(f'"{name}":{text}' for name, text in spelled.items())]
    return Scanner().read(f"{{{','.join(parts)}}}".encode())


@pytest.mark.parametrize(("text", "is_back"), [("true", True), ("false", False), ("  true  ", True)])
def test_the_scanner_reads_a_reversal(text: str, is_back: bool) -> None:
    event = scanned(says("stock_received", lines=None) | {"lines": [LINE]}, reversal=text)
    assert event is not None and event.reversal is is_back
    again = scanned(says("stock_received") | {"reversal": not is_back}, reversal=text)
    assert again is not None and again.reversal is is_back, "the last of a repeated key counts"


@pytest.mark.parametrize("text", ["null", "1", "0", '"true"', '""', "truex", "tru", "True", "t", "falsey", "[]", "-"])
def test_the_scanner_leaves_other_reversals_to_others(text: str) -> None:
    assert scanned(says("stock_received"), reversal=text) is None


@pytest.mark.parametrize("text", ["true", "false", "1", '"true"', '""', "null"])
def test_the_scanner_leaves_a_reversal_on_a_line_to_others(text: str) -> None:
    raw = json.dumps(says("order_allocated")).replace(
        '"line_id": "1", "item"', f'"reversal": {text}, "line_id": "1", "item"'
    )
    assert raw.count('"reversal"') == 1
    assert Scanner().read(raw.encode()) is None


def test_the_scanner_reads_parts_and_dates() -> None:
    event = scanned(says("receipt_expected", part_of="PO-9", best_before="2025-08-31"))
    assert event is not None
    assert (event.part_of, event.best_before, event.receipt_id) == ("PO-9", "2025-08-31", "PO-1")
    assert scanned(says("receipt_expected", part_of="")) is None
    assert scanned(says("receipt_expected", part_of="PO 9")) is None
    assert scanned(says("receipt_expected", part_of=9)) is None


@pytest.mark.parametrize("end", [b"", b"t", b"true", b"true ", b"fals", b"false", b"true,", b'true,"'])
def test_a_reversal_that_ends_too_soon_is_not_read(end: bytes) -> None:
    assert Scanner().read(json.dumps(says("stock_received")).encode()[:-1] + b',"reversal":' + end) is None


# --- what is published -----------------------------------------------------------------------------------------------


def test_every_shape_that_is_printed_says_what_is_new() -> None:
    schemas = all_schemas()
    for name in EVENTS:
        reversal = schemas[name]["properties"]["reversal"]
        assert (reversal.get("type"), reversal.get("const")) == (
            ("boolean", None) if name in REVERSIBLE else (None, False)
        )
        assert "reversal" not in schemas[name]["required"]
    assert schemas["lot_dated"]["properties"]["best_before"]["anyOf"][0] == {"type": "string", "format": "date"}
    assert "location" not in schemas["lot_dated"]["properties"]
    assert set(schemas["stock_withheld"]["required"]) >= {"item", "location", "quantity"}
    assert "part_of" in schemas["receipt_expected"]["properties"]
    cancelled = schemas["order_cancelled"]["$defs"]["CancelledLine"]
    assert "quantity" in cancelled["properties"] and "quantity" not in cancelled["required"]
    assert "quantity" not in schemas["order_reopened"]["$defs"]["OrderLine"]["properties"]
