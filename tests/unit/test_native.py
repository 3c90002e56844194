"""Decides whether what is said twice, in C and in Python, is the same; and whether the scanner is only ever right."""

from __future__ import annotations

from array import array
from typing import Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from operators import ids, ledger
from operators.route import shard_of
from operators.rules import native
from operators.scan import CODES_KEPT, Event, Scanner
from operators.shard import content_of, digest_of
from schemas.codes import parse_time
from schemas.state import Cell, Item, Line, LineAt, Place
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


@given(NUMBERS, NUMBERS, MAYBE, MAYBE, CODES, CODES, IDS, st.text(max_size=200))
def test_the_digest_of_a_unit_is_the_same_compiled_and_not(
    at: int, quantity: int, one: int | None, other: int | None, location: str, code: str, name: str, any_text: str
) -> None:
    unit = Unit(EventType.TRANSFER_SHIPPED, "SHOVEL", "wms", "e1", "", at, at, ORIGIN, location=location, lot=code)
    unit.order_id, unit.transfer_id, unit.eta, unit.status, unit.channel = name, any_text, other, "available", code
    unit.receipt_id, unit.to_location, unit.expires_at, unit.requested_at = name, location, one, at
    names = (location, code, "available", code, name, any_text, name, location)
    said = native.digest(unit.type, at, quantity, one, *names, other, one, at)
    assert digest_of(unit, quantity, one) == said
    assert 0 < said < 1 << 39
    assert sum(native.DIGEST_BITS) == 39 == 64 - ids.BUCKET_BITS


TEXTS = st.one_of(st.just(""), CODES, st.text(max_size=9), st.text("\u20acx", min_size=60, max_size=900))
SIZES = st.one_of(st.integers(0, 40), st.sampled_from([255, 256, 65_535, 65_536, 70_000]))
MOMENTS = st.one_of(st.none(), st.tuples(NUMBERS, TEXTS, TEXTS))
HANDLINGS = st.lists(st.tuples(NUMBERS, TEXTS, TEXTS, NUMBERS), max_size=3) | st.just([(1, "e", "", 2)] * 20)
JOURNALS = st.one_of(st.none(), st.lists(NUMBERS, max_size=9)).map(
    lambda numbers: None if numbers is None else array("q", [*numbers, *numbers])
)
encode = msgspec.msgpack.encode


def records(item: Item) -> dict[str, Any]:
    """What a snapshot writes of an item, and is it what MessagePack's own encoder would write of the same?"""
    raw = ledger.records_of(item)
    decoded: dict[str, Any] = msgspec.msgpack.decode(raw)
    assert encode(decoded) == raw
    return decoded


@given(NUMBERS, NUMBERS, MOMENTS, MOMENTS, st.tuples(*[NUMBERS] * 7), TEXTS, JOURNALS, JOURNALS, st.booleans())
def test_a_place_is_written_as_messagepack_has_it(
    on_hand: int,
    quarantined: int,
    count: Any,
    quarantine_count: Any,
    shown: tuple[int, ...],
    location: str,
    moves: Any,
    quarantine_moves: Any,
    is_lot: bool,
) -> None:
    item, place, lot = Item("SHOVEL"), Place(), Cell()
    item.places[location], place.lots = place, {"L1": lot}
    cell = lot if is_lot else place
    cell.on_hand, cell.quarantined, cell.count, cell.quarantine_count = on_hand, quarantined, count, quarantine_count
    cell.moves, cell.quarantine_moves, place.shown = moves, quarantine_moves, shown
    place.is_dirty, item.dirty = not is_lot, {("c", location, "L1")} if is_lot else None
    written = records(item)
    name = f"{ledger.SEPARATOR}{location}{ledger.SEPARATOR}{'L1' if is_lot else ''}"
    words = [None if word is None else list(word) for word in (count, quarantine_count)]
    assert written.pop(f"c{name}") == [on_hand, quarantined, *words, None if is_lot else list(shown)]
    journal = [0, (moves or array("q")).tobytes(), 0, (quarantine_moves or array("q")).tobytes()]
    assert written == ({f"m{name}": journal} if moves or quarantine_moves else {})


@given(SIZES, SIZES, SIZES)
def test_a_journal_is_written_from_where_it_was_added_to(stays: int, added: int, others: int) -> None:
    item, place = Item("SHOVEL"), Place()
    item.places["DC1"], place.is_dirty = place, True
    place.moves, place.recorded = array("q", range(stays + added)), stays
    place.quarantine_moves, place.quarantine_recorded = array("q", range(others)), -1
    written = records(item).get(f"m{ledger.SEPARATOR}DC1{ledger.SEPARATOR}")
    new, other = array("q", range(stays, stays + added)).tobytes(), array("q", range(others)).tobytes()
    assert written == [stays, new, 0, other]


@given(
    st.tuples(NUMBERS, NUMBERS, MOMENTS, MAYBE, MAYBE, st.booleans(), st.booleans()),
    st.tuples(TEXTS, TEXTS),
    st.dictionaries(TEXTS, st.tuples(TEXTS, st.tuples(*[NUMBERS] * 5), HANDLINGS, HANDLINGS), max_size=20),
    st.one_of(st.none(), st.tuples(NUMBERS, TEXTS, TEXTS, MAYBE)),
)
def test_an_order_line_is_written_as_messagepack_has_it(given_: Any, names: Any, places: Any, claimed: Any) -> None:
    item, line = Item("SHOVEL"), Line()
    line.demand, line.last_at, line.placed, line.expires_at, line.requested_at, line.cancelled, line.lapsed = given_
    line.location, line.channel = names
    line.claimed = claimed
    for location, (rule, figures, picks, shipments) in places.items():
        at = line.at[location] = LineAt(rule)
        at.allocated, at.released, at.picked, at.shipped, at.claimed = figures
        at.picks, at.shipments = picks, shipments
    item.lines, item.dirty = {("SO", "1"): line}, {("l", "SO", "1")}
    (written,) = records(item).values()
    assert encode(written) == encode(
        (
            line.demand, line.placed, *names, line.expires_at, line.requested_at, line.cancelled, line.lapsed,
            line.last_at,
            {where: (rule, *some[:4], picks, ships, some[4]) for where, (rule, some, picks, ships) in places.items()},
            claimed,
        )
    )  # fmt: skip


@given(
    NUMBERS,
    st.dictionaries(TEXTS, st.tuples(NUMBERS, st.one_of(st.none(), st.lists(NUMBERS, max_size=40).map(tuple)))),
    st.dictionaries(st.tuples(TEXTS, TEXTS, TEXTS), NUMBERS, max_size=20),
    NUMBERS,
    NUMBERS,
)
def test_an_item_is_written_as_messagepack_has_it(
    as_of: int, published: Any, exceptions: Any, unlocated: int, day: int
) -> None:
    item = Item("SHOVEL")
    item.as_of, item.published, item.open_exceptions = as_of, published, exceptions
    item.unlocated_shown, item.day_shown, item.is_dirty = unlocated, day, True
    (written,) = records(item).values()
    assert encode(written) == encode(
        (as_of, published, [(*key, seen) for key, seen in exceptions.items()], unlocated, day)
    )


@given(CODES, IDS, st.one_of(st.just(""), IDS), CODES)
def test_a_fingerprint_is_of_the_same_bytes_in_both_forms(source: str, event_id: str, line_id: str, item: str) -> None:
    expected = ids.content_fingerprint(native.joined(source, event_id, line_id, item)) & ids.MASK_60
    assert ids.unit_fingerprint(source, event_id, line_id, item) == expected


@given(st.binary(max_size=300))
def test_a_hash_is_the_librarys_whatever_the_length(content: bytes) -> None:
    assert ids.content_fingerprint(content) == xxh3_64_intdigest(content) == native.hashed(content)


@pytest.mark.parametrize("size", range(301))
def test_a_hash_is_the_librarys_at_each_length(size: int) -> None:
    content = bytes(at * 7 + size & 255 for at in range(size))
    assert ids.content_fingerprint(content) == xxh3_64_intdigest(content)


@pytest.mark.parametrize("size", [1, 100, 127, 128])
def test_a_fingerprint_of_long_names_is_the_librarys(size: int) -> None:
    names = ("s" * min(size, 64), "e" * size, "l" * size, "i" * min(size, 64))
    assert ids.unit_fingerprint(*names) == xxh3_64_intdigest("\x1f".join(names).encode()) & ids.MASK_60


@given(st.one_of(CODES, st.text(max_size=9)), st.integers(1, 4096))
def test_a_shard_goes_by_the_librarys_checksum(item: str, shards: int) -> None:
    assert shard_of(item, shards) == crc32(item.encode()) % shards == native.checksum(item) % shards


@given(st.one_of(IDS, st.sampled_from("1aZ")))
def test_an_id_is_read_as_it_stands(name: str) -> None:
    plain = name.replace('"', "_").replace("\\", "_")
    event = Scanner().read(message(event_id=plain, order_id=plain, surprise=plain))
    assert event is not None and event.event_id == event.order_id == plain


@given(st.lists(CODES, min_size=1, max_size=30))
def test_a_code_that_is_said_again_is_the_same_text_and_never_another(names: list[str]) -> None:
    scanner = Scanner()
    for code in [f"A{name}"[:64] for name in names]:
        one, two = (scanner.read(message(location=code, source=code, uom=code)) for _ in range(2))
        assert one is not None and two is not None
        assert one.location == one.source == one.uom == two.location == code
        assert one.location is two.location is one.source


def test_more_codes_than_are_kept_are_told_apart() -> None:
    scanner = Scanner()
    for number in range(3 * CODES_KEPT):
        event = scanner.read(message(location=f"DC{number}", lot=f"DC{number}"))
        assert event is not None and (event.location, event.lot) == (f"DC{number}", f"DC{number}")


@given(st.sampled_from("clt"), TEXTS, TEXTS)
def test_a_records_key_is_written_as_messagepack_has_it(kind: str, one: str, other: str) -> None:
    item = Item("SHOVEL")
    item.dirty = {(kind, one, other)}
    assert next(iter(records(item))) == ledger.SEPARATOR.join((kind, one, other))
    assert msgspec.msgpack.decode(native.packed_key(kind, one, other)) == ledger.SEPARATOR.join((kind, one, other))


@given(st.integers(0, 4_102_444_799_999_999), st.integers(0, 6))
def test_the_scanner_reads_times_as_the_parser_does(moment: int, places: int) -> None:
    text = time_text(moment, places)
    event = Scanner().read(message(occurred_at=text))
    assert event is not None and event.occurred_at == parse_time(text)


def time_text(moment: int, places: int) -> str:
    from schemas.times import time_text as whole

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
