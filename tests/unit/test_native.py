"""Decides whether what is said twice, in C and in Python, is the same; and whether the scanner is only ever right."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators import ids
from operators.rules import native
from operators.scan import Event, Scanner
from operators.shard import content_of
from schemas.codes import parse_time
from schemas.units import EventType, Origin, Unit
from schemas.wire import read_single

CODES = st.text("AZaz09._-/", min_size=1, max_size=64)
IDS = st.text([chr(code) for code in range(0x21, 0x7F)], min_size=1, max_size=128)
NUMBERS = st.one_of(st.integers(-(1 << 60), 1 << 60), st.sampled_from([1 << n for n in range(60)])).flatmap(
    lambda number: st.sampled_from([number - 1, number, -number, -number - 1])
)
MAYBE = st.one_of(st.none(), NUMBERS)
ORIGIN = Origin("inventory.warehouse", 0, 0, 0, None, None)


@given(NUMBERS, NUMBERS, MAYBE, MAYBE, CODES, CODES, IDS, IDS)
def test_what_a_unit_says_is_packed_as_messagepack_has_it(
    at: int, quantity: int, one: int | None, other: int | None, location: str, code: str, name: str, order: str
) -> None:
    unit = Unit(EventType.TRANSFER_SHIPPED, "SHOVEL", "wms", "e1", "", at, at, ORIGIN, location=location, lot=code)
    unit.order_id, unit.transfer_id, unit.eta = order, name, other
    packed = content_of(unit, quantity, one)
    said = (unit.type, at, quantity, one, location, code, "", order, name, "", "", other)
    assert packed == msgspec.msgpack.encode(said)
    unit = Unit(EventType.ORDER_PLACED, "SHOVEL", "oms", "e1", "1", at, at, ORIGIN, location=location, channel=code)
    unit.order_id, unit.expires_at, unit.requested_at = order, one, other
    assert content_of(unit, quantity, None) == msgspec.msgpack.encode(
        (unit.type, at, quantity, location, order, code, one, other)
    )


@given(CODES, IDS, st.one_of(st.just(""), IDS), CODES)
def test_a_fingerprint_is_of_the_same_bytes_in_both_forms(source: str, event_id: str, line_id: str, item: str) -> None:
    expected = ids.content_fingerprint(native.joined(source, event_id, line_id, item)) & ids.MASK_60
    assert ids.unit_fingerprint(source, event_id, line_id, item) == expected


@given(st.integers(0, 4_102_444_799_999_999), st.integers(0, 6))
def test_the_scanner_reads_times_as_the_parser_does(moment: int, places: int) -> None:
    text = time_text(moment, places)
    event = Scanner().read(message(occurred_at=text))
    assert event is not None and event.occurred_at == parse_time(text)


def time_text(moment: int, places: int) -> str:
    from flows.encode import time_text as whole

    text = whole(moment)[:-1]
    return (text[:19] if places == 0 else text[: 20 + places]) + "Z"


def message(**fields: object) -> bytes:
    given_ = {
        "event_id": "e1", "type": "stock_received", "source": "wms", "occurred_at": "2025-01-31T12:00:00Z",
        "item": "SHOVEL", "location": "DC1", "quantity": 5, **fields,
    }  # fmt: skip
    return msgspec.json.encode(given_)


@pytest.mark.parametrize(
    "wrong",
    [
        "2025-02-29T12:00:00Z", "2025-13-01T12:00:00Z", "2025-00-01T12:00:00Z", "2025-01-31T24:00:00Z",
        "2025-01-31T12:60:00Z", "2025-01-31T12:00:60Z", "2025-01-31T12:00:00", "2025-01-31T12:00:00.Z",
        "2025-01-31 12:00:00Z", "1969-12-31T23:59:59Z", "2025-01-32T12:00:00Z", "2025-01-31T12:00:00.1234567Z",
    ],
)  # fmt: skip
def test_the_scanner_leaves_other_times_to_others(wrong: str) -> None:
    assert Scanner().read(message(occurred_at=wrong)) is None


def test_leap_days_are_days() -> None:
    for text in ("2024-02-29T00:00:00Z", "2000-02-29T23:59:59.5Z", "2024-03-01T00:00:00Z", "2100-03-01T00:00:00Z"):
        event = Scanner().read(message(occurred_at=text))
        assert event is not None and event.occurred_at == parse_time(text)
    assert Scanner().read(message(occurred_at="2100-02-29T00:00:00Z")) is None


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"{}", b"[]", b'{"event_id"', b'{"event_id":', b'{"event_id":"', b'{"event_id":"e', b'{"quantity":',
     b'{"quantity":-', b'{"quantity":1', b'{"lines":[', b'{"lines":[{', b'{"lines":[{"line_id":"1"', b"  ", b"{ \n"],
)  # fmt: skip
def test_a_message_that_ends_too_soon_is_not_read(raw: bytes) -> None:
    assert Scanner().read(raw) is None


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_byte_changed_anywhere_never_makes_the_scanner_say_what_the_decoder_would_not(at: int, byte: int) -> None:
    raw = bytearray(message(lot="L1", correlation_id="trace-1", reason="recount", uom="each", status="available"))
    raw[at % len(raw)] = byte
    event = Scanner().read(bytes(raw))
    if event is not None and event.item:  # who has no item is looked at more closely
        said = read_single(bytes(raw))
        for name in Event.__slots__:
            if hasattr(said, name) and name != "occurred_at":
                assert getattr(event, name) == getattr(said, name), name
        assert event.occurred_at == parse_time(said.occurred_at)
