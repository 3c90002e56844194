"""What may come in and what is refused, byte for byte: every sentence of sections 1 to 3 that one message can show.

All messages go into one run. Each case says which (code, line_id) its dead letters have; none: it was used.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest

from flows.embedded import Servers
from tests.conftest import Record, World
from tests.contract.lab import Lab, moment

Codes = list[tuple[str, str | None]]
ABSENT = ...
MOST = 2**53 - 1
DAY = 86_400

USED: Codes = []


def whole(code: str) -> Codes:
    """Give the one dead letter of what is wrong with all of an event."""
    return [(code, None)]


BAD, MISSING, NOT_JSON = whole("bad_value"), whole("missing_field"), whole("not_json")
INEXACT, LATE, EARLY = whole("quantity_not_exact"), whole("late"), whole("in_the_future")
UNKNOWN_TYPE, UNKNOWN_LOCATION = whole("unknown_type"), whole("unknown_location")
UNKNOWN_ITEM, UNKNOWN_UOM = whole("unknown_item"), whole("unknown_uom")

_numbers = itertools.count(1)


class Case(NamedTuple):
    """One message, and what becomes of it."""

    name: str
    topic: str
    value: Any
    codes: Codes
    key: bytes | None = None


def event(type: str = "stock_received", **fields: Any) -> dict[str, Any]:
    """Give a good event with an id of its own, changed by `fields`."""
    head = {"event_id": f"e{next(_numbers)}", "type": type, "source": "wms", "occurred_at": moment()}
    goods = {"item": "SHOVEL", "location": "DC1", "quantity": 1}
    return {name: value for name, value in (head | goods | fields).items() if value is not ABSENT}


def line(line_id: Any = "1", **fields: Any) -> dict[str, Any]:
    """Give a line of an order."""
    goods = {"line_id": line_id, "item": "SHOVEL", "quantity": 1}
    return {name: value for name, value in (goods | fields).items() if value is not ABSENT}


def order(type: str = "order_placed", lines: Any = None, **fields: Any) -> dict[str, Any]:
    """Give an order's event."""
    number = next(_numbers)
    head = {
        "event_id": f"o{number}",
        "type": type,
        "source": "oms",
        "occurred_at": moment(),
        "order_id": f"SO-{number}",
    }
    body = {"channel": "web", "lines": [line()] if lines is None else lines}
    return {name: value for name, value in (head | body | fields).items() if value is not ABSENT}


def ending(given: dict[str, Any], text: str) -> str:
    """Give an event as JSON with more text before its last brace."""
    return f"{json.dumps(given)[:-1]},{text}}}"


def sized(bytes_wanted: int) -> str:
    """Give an event of exactly that many bytes."""
    start = f'{json.dumps(event())[:-1]},"x":"'
    return f'{start}{"y" * (bytes_wanted - len(start) - 2)}"}}'


def cases() -> Iterator[Case]:
    yield from readable()
    yield from heads()
    yield from quantities()
    yield from times()
    yield from single_events()
    yield from orders()


def readable() -> Iterator[Case]:
    def case(name: str, value: Any, codes: Codes, key: bytes | None = None) -> Case:
        return Case(name, "warehouse", value, codes, key)

    good = json.dumps(event())
    yield case("a tombstone", None, NOT_JSON)
    yield case("no bytes", b"", NOT_JSON)
    yield case("a byte order mark", b"\xef\xbb\xbf" + good.encode(), NOT_JSON)
    yield case("utf-16", good.encode("utf-16"), NOT_JSON)
    yield case("broken utf-8 where nobody looks", json.dumps(event(x="Z")).encode().replace(b"Z", b"\xff"), NOT_JSON)
    yield case("NaN", good.replace('"quantity": 1', '"quantity": NaN'), NOT_JSON)
    yield case("Infinity where nobody looks", json.dumps(event(x=float("inf"))), NOT_JSON)
    yield case("two documents", good + good, NOT_JSON)
    yield case("a comma too many", f"{good[:-1]},}}", NOT_JSON)
    yield case("spaces around", f" \n{json.dumps(event())}\t ", USED)
    for scalar in ("null", "1", '"x"', "true", "[]"):
        yield case(f"the JSON value {scalar}", scalar, whole("not_an_object"))
    yield case("exactly 1 MiB", sized(1 << 20), USED)
    yield case("1 MiB and a byte", sized((1 << 20) + 1), whole("too_large"))
    yield case("too large before not JSON", b"x" * ((1 << 20) + 1), whole("too_large"))
    yield case("the last of a repeated key counts", ending(event(quantity=0), '"quantity":3'), USED)
    yield case("the last of a repeated key is null", ending(event(), '"quantity":null'), MISSING)
    yield case("the last of a repeated type counts", ending(event(), '"type":"nope"'), UNKNOWN_TYPE)
    yield case("unknown fields", event(foo={"a": [1, None]}, eta=5, lines=7, line_id=[]), USED)
    yield case("a number without end where nobody looks", ending(event(), '"x":1e99999'), USED)
    yield case("any key", event(quantity=0), BAD, b"\xff\x00")


def heads() -> Iterator[Case]:
    def case(name: str, codes: Codes, **fields: Any) -> Case:
        return Case(name, "warehouse", event(**fields), codes)

    for field in ("event_id", "source", "occurred_at", "item", "location", "quantity"):
        yield case(f"no {field}", MISSING, **{field: ABSENT})
        yield case(f"null as {field}", MISSING, **{field: None})
        for wrong in ("", [1], True, {}):
            yield case(f"{json.dumps(wrong)} as {field}", BAD, **{field: wrong})
    yield Case("no type", "warehouse", {**event(), "type": None}, MISSING)
    yield Case("a number as type", "warehouse", {**event(), "type": 5}, UNKNOWN_TYPE)
    yield case("a type in capitals", UNKNOWN_TYPE, type="STOCK_RECEIVED")
    yield Case("a type on a topic not its own", "supply", event(), UNKNOWN_TYPE)
    yield Case("an order on the warehouse's topic", "warehouse", order(), UNKNOWN_TYPE)
    yield case("version 1.0", USED, schema_version=1.0)
    yield case("version null", USED, schema_version=None)
    for version in (2, 10**30):
        yield case(f"version {version}", whole("unsupported_version"), schema_version=version)
    yield case("version before type", whole("unsupported_version"), schema_version=2, type="nope")
    for version in (0, -1, 1.5, True, "1"):
        yield case(f"version {version!r}", BAD, schema_version=version)
    for field, most in (("event_id", 128), ("correlation_id", 128), ("source", 64), ("lot", 64)):
        yield case(f"{most} characters as {field}", USED, **{field: "x" * most})
        yield case(f"{most + 1} characters as {field}", BAD, **{field: "x" * (most + 1)})
    yield case("64 characters as item", UNKNOWN_ITEM, item="x" * 64)
    yield case("65 characters as item", BAD, item="x" * 65)
    yield case("every mark in an id", USED, event_id="!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    for wrong in ("a b", "a\n", "é", "a\x7f", "\u0000"):
        yield case(f"{wrong!r} as event_id", BAD, event_id=wrong)
    yield case("every mark in a code", USED, source="9a/b._-")
    for wrong in ("-a", "_a", ".a", "/a", "a:b", "a b", "a\n", "\u0663", "é", "*"):
        yield case(f"{wrong!r} as source", BAD, source=wrong)
        yield case(f"{wrong!r} as location", BAD, location=wrong)
    yield case("an unknown location before an unknown item", UNKNOWN_LOCATION, location="NOWHERE", item="NOTHING")
    yield case("a wrong quantity before an unknown item", BAD, item="NOTHING", quantity="x")
    yield case("an unknown item before an inexact quantity", UNKNOWN_ITEM, item="NOTHING", quantity=1.5)
    yield case("a reason in any language", USED, reason="gr\u00fc\u00df " * 300)


def quantities() -> Iterator[Case]:
    for text, codes in {
        "0": BAD, "-1": BAD, "-0": BAD, "true": BAD, "[]": BAD, "null": MISSING, '""': BAD, '"one"': BAD, '" 1"': BAD,
        '"+1"': BAD, '"01"': BAD, '"1."': BAD, '".5"': BAD, '"NaN"': BAD, '"0x1"': BAD, '"1_0"': BAD, '"\u0661"': BAD,
        "1.0": USED, '"1"': USED, '"1.0"': USED, "1e0": USED, "10e-1": USED, "1E+0": USED, f"1.{'0' * 5000}": USED,
        "1.5": INEXACT, '"0.5"': INEXACT, "0.99999999999999999999": INEXACT, f"{MOST}.5": INEXACT, "1e-30": INEXACT,
        str(MOST): USED, f'"{MOST}.00"': USED, str(MOST + 1): BAD, "9" * 23: BAD, "9" * 5000: BAD, "1e400": BAD,
        "1e999999999": BAD, str(-MOST): BAD,
    }.items():  # fmt: skip
        literal = json.dumps(event()).replace('"quantity": 1', f'"quantity": {text}')
        yield Case(f"quantity {text[:40]}", "warehouse", literal, codes)
    for fields, codes in (
        ({"uom": "each"}, USED), ({"uom": "Each"}, UNKNOWN_UOM), ({"uom": "pallet"}, UNKNOWN_UOM),
        ({"uom": "a b"}, BAD),
        ({"uom": "case", "quantity": 0.25}, USED), ({"uom": "case", "quantity": 0.1}, INEXACT),
        ({"uom": "half", "quantity": 2}, USED), ({"uom": "half", "quantity": 1}, INEXACT),
        ({"uom": "case", "quantity": MOST}, BAD),
        ({"item": "ROPE", "quantity": 2.5}, USED), ({"item": "ROPE", "quantity": "2.50"}, USED),
        ({"item": "ROPE", "quantity": 0.0005}, INEXACT), ({"item": "ROPE", "quantity": 1, "uom": "mm"}, USED),
        ({"item": "ROPE", "quantity": 0.5, "uom": "mm"}, INEXACT),
        ({"item": "ROPE", "quantity": MOST // 1000 + 1}, BAD),
        # 20 digits that wait for an item or a unit which may be on its way
        ({"item": "NOTHING", "quantity": 10**30}, UNKNOWN_ITEM), ({"uom": "pallet", "quantity": 10**30}, UNKNOWN_UOM),
    ):  # fmt: skip
        yield Case(f"quantity {fields}", "warehouse", event(**fields), codes)


def times() -> Iterator[Case]:
    now = moment()
    for text, codes in {
        f"{now[:-1]}z": USED, now.replace("T", "t"): USED, f"{now[:-1]}+00:00": USED, f"{now[:-1]}-00:00": USED,
        f"{now[:-1]}789Z": USED, f"{now[:19]}Z": USED, now[:-1]: BAD, f"{now[:-1]}+0000": BAD, f"{now[:-1]}+00": BAD,
        f"{now[:19]}.Z": BAD, f"{now[:19]},5Z": BAD, now[:10]: BAD, f"{now[:16]}Z": BAD, f"{now} ": BAD,
        "1700000000": BAD,
        "2026-02-30T00:00:00Z": BAD, "2026-01-01T24:00:00Z": BAD, "2026-13-01T00:00:00Z": BAD,
        "0000-01-01T00:00:00Z": BAD,
        f"{now[:-1]}+24:00": BAD, f"{now[:-1]}+23:60": BAD, "9999-12-31T23:59:59.999999Z": EARLY,
        "0001-01-01T00:00:00Z": LATE, moment(DAY + 30): LATE, moment(DAY - 7_200): USED, moment(-21_600): EARLY,
        moment(-30): USED, "2016-12-31T23:59:60Z": LATE, "2016-12-31T22:59:60Z": BAD,
    }.items():  # fmt: skip
        yield Case(f"occurred_at {text}", "warehouse", event(occurred_at=text), codes)
    yield Case("occurred_at as a number", "warehouse", event(occurred_at=1_700_000_000), BAD)
    nepal = (datetime.now(UTC) - timedelta(seconds=60)).astimezone(timezone(timedelta(hours=5, minutes=45)))
    yield Case("an odd offset", "warehouse", event(occurred_at=nepal.isoformat()), USED)
    late = {"occurred_at": moment(DAY + 3600)}
    yield Case("an unknown item before late", "warehouse", event(item="NOTHING", **late), UNKNOWN_ITEM)
    yield Case("an inexact quantity before late", "warehouse", event(quantity=1.5, **late), INEXACT)
    yield Case(
        "not allowed before late", "warehouse", event("stock_adjusted", source="gate", **late), whole("not_allowed")
    )
    yield Case("a source's own window", "warehouse", event(source="slow", occurred_at=moment(2 * DAY)), USED)


def single_events() -> Iterator[Case]:
    def case(name: str, codes: Codes, type: str, **fields: Any) -> Case:
        return Case(f"{type}: {name}", "warehouse", event(type, **fields), codes)

    yield case("quarantined", USED, "stock_received", status="quarantined")
    yield case("another status", BAD, "stock_received", status="broken")
    yield case("receipt and transfer", BAD, "stock_received", receipt_id="r", transfer_id="t")
    yield case("receipt, and null as transfer", USED, "stock_received", receipt_id="r", transfer_id=None)
    yield case("0", BAD, "stock_adjusted", quantity=0)
    yield case("least", USED, "stock_adjusted", quantity=-MOST)
    yield case("less than least", BAD, "stock_adjusted", quantity=-MOST - 1)
    yield case("0", USED, "stock_counted", item="ROPE", quantity=0)
    yield case("below 0", BAD, "stock_counted", quantity=-1)
    yield case("all of it quarantined", USED, "stock_counted", item="ROPE", quantity=1, quarantined=1)
    yield case("more than all quarantined", BAD, "stock_counted", quantity=1, quarantined=2)
    yield case("inexact quarantined", INEXACT, "stock_counted", quantity=1, quarantined=0.5)
    both = {"from_status": "available", "to_status": "quarantined"}
    yield case("towards", USED, "stock_status_changed", **both)
    yield case("nowhere", BAD, "stock_status_changed", **(both | {"to_status": "available"}))
    yield case("from nowhere", MISSING, "stock_status_changed", to_status="quarantined")
    for type in ("lot_held", "lot_released"):
        yield case("everywhere", USED, type, location=ABSENT, quantity=ABSENT, lot="L1")
        yield case("no lot", MISSING, type, quantity=ABSENT)
        yield case("unknown location", UNKNOWN_LOCATION, type, location="NOWHERE", lot="L1")
    there = {"transfer_id": "T-1", "to_location": "DC2"}
    yield case("no eta", USED, "transfer_shipped", **there, eta=None)
    yield case("another eta", BAD, "transfer_shipped", **there, eta="soon")
    yield case("to itself", BAD, "transfer_shipped", **(there | {"to_location": "DC1"}))
    yield case("to nowhere", UNKNOWN_LOCATION, "transfer_shipped", **(there | {"to_location": "NOWHERE"}))
    yield case("no destination", MISSING, "transfer_shipped", transfer_id="T-1")
    yield case("no transfer_id", MISSING, "transfer_shipped", to_location="DC2")
    yield case("no quantity", USED, "transfer_closed", transfer_id="T-1", quantity=ABSENT)
    yield case("no location", MISSING, "transfer_closed", transfer_id="T-1", location=ABSENT)
    for type in ("pick_confirmed", "shipment_confirmed"):
        yield case("of a line", USED, type, order_id="SO-X", line_id="1")
        yield case("0", BAD, type, order_id="SO-X", line_id="1", quantity=0)
        for field in ("order_id", "line_id", "location"):
            yield case(f"no {field}", MISSING, type, **({"order_id": "SO-X", "line_id": "1"} | {field: ABSENT}))
    yield case("without an order", USED, "return_received")
    yield case("a wrong order", BAD, "return_received", order_id="a b")
    eta = moment(-3600)
    for name, codes, fields in (
        ("0", USED, {"quantity": 0}), ("below 0", BAD, {"quantity": -1}), ("no eta", MISSING, {"eta": ABSENT}),
        ("no receipt_id", MISSING, {"receipt_id": ABSENT}),
    ):  # fmt: skip
        expected = event("receipt_expected", **({"receipt_id": "PO-1", "eta": eta} | fields))
        yield Case(f"receipt_expected: {name}", "supply", expected, codes)
    cancelled = {"receipt_id": "PO-1", "quantity": ABSENT}
    yield Case("receipt_cancelled", "supply", event("receipt_cancelled", **cancelled), USED)
    yield Case(
        "receipt_cancelled: no location", "supply", event("receipt_cancelled", **cancelled, location=ABSENT), MISSING
    )
    yield case("its source may not", whole("not_allowed"), "stock_adjusted", source="gate")
    yield case("its source may not there", whole("not_allowed"), "stock_received", source="gate", location="DC2")
    yield case("its source may", USED, "stock_received", source="gate")
    same = event(event_id="twice", quantity=5)
    again = {"occurred_at": f"{same['occurred_at'][:-1]}+00:00", "quantity": "5.0", "uom": "each", "reason": "x"}
    yield Case("the first of an id", "warehouse", same, USED)
    yield Case("a duplicate in other words", "warehouse", same | again | {"correlation_id": "y"}, USED)
    yield Case("the same id of another source", "warehouse", same | {"source": "wms2"}, USED)
    for other in ({"quantity": 6}, {"lot": "L1"}, {"location": "DC2"}, {"type": "return_received"}):
        yield Case(f"a conflict: {other}", "warehouse", same | other, whole("conflict"))
    returned = event("return_received", order_id="SO-1")
    yield Case("a return", "warehouse", returned, USED)
    yield Case("a return repeated for another order", "warehouse", returned | {"order_id": "SO-2"}, USED)


def orders() -> Iterator[Case]:
    def case(name: str, codes: Codes, *given: Any, **fields: Any) -> Case:
        return Case(f"order: {name}", "orders", order(*given, **fields), codes)

    here = {"location": "DC1"}
    yield case("no channel", MISSING, channel=ABSENT)
    yield case("an unknown channel", whole("unknown_channel"), channel="nope")
    yield case("a wrong channel", BAD, channel="a b")
    yield case(
        "an unknown channel before a wrong line", whole("unknown_channel"), channel="nope", lines=[line(quantity=-1)]
    )
    yield case("an allocation needs no channel", USED, "order_allocated", [line(**here)], channel=ABSENT)
    yield case("no order_id", MISSING, order_id=ABSENT)
    yield case("no lines", MISSING, lines=ABSENT)
    for wrong in ([], {}, "1", 5):
        yield case(f"{wrong!r} as lines", BAD, lines=wrong)
    yield case("1,000 lines", USED, lines=[line(str(number)) for number in range(1000)])
    yield case("1,001 lines", BAD, lines=[line(str(number)) for number in range(1001)])
    yield case("lines that are none", BAD + BAD, lines=[5, None, line("2")])
    yield case("a line without an id", MISSING, lines=[line(ABSENT), line("2")])
    yield case("a line with a wrong id", BAD, lines=[line("a b"), line("2")])
    yield case(
        "lines stand alone",
        [
            ("bad_value", "2"), ("unknown_item", "3"), ("unknown_location", "4"), ("unknown_uom", "5"),
            ("quantity_not_exact", "6"), ("missing_field", "7"), ("missing_field", "8"), ("bad_value", "9"),
        ],
        lines=[
            line("1"), line("2", quantity=-1), line("3", item="NOTHING"), line("4", location="NOWHERE"),
            line("5", uom="pallet"), line("6", quantity=0.5), line("7", quantity=ABSENT), line("8", item=ABSENT),
            line("9", expires_at="soon"), line("10"),
        ],
    )  # fmt: skip
    yield case("a demand of 0", USED, lines=[line(quantity=0)])
    for type in ("order_allocated", "order_released"):
        yield case(f"{type} of 0", [("bad_value", "1")], type, [line(quantity=0, **here)])
        yield case(f"{type} nowhere", [("missing_field", "1")], type, [line()])
    yield case("cancelled in part", USED, "order_cancelled", [line(quantity=1)], channel=ABSENT)
    yield case("cancelled by nothing", [("bad_value", "1")], "order_cancelled", [line(quantity=0)], channel=ABSENT)
    yield case("cancelled by no number", [("bad_value", "1")], "order_cancelled", [line(quantity="x")], channel=ABSENT)
    yield case("reopened with any quantity", USED, "order_reopened", [line(quantity="x")], channel=ABSENT)
    yield case("an order taken back", [("bad_value", None)], reversal=True)
    yield case("a line taken back", [("bad_value", "1")], "order_allocated", [line(reversal=True, **here)])
    yield case("an allocation taken back", USED, "order_allocated", [line(**here)], reversal=True)
    yield case("the event's unit", USED, uom="case", lines=[line("1"), line("2", uom="each")])
    yield case("a wrong expires_at", BAD, expires_at="soon")
    yield case("nulls", USED, expires_at=None, requested_at=None)
    yield case("expired before it came", USED, expires_at="0001-01-01T00:00:00Z", requested_at="0001-01-01T00:00:00Z")
    last = "9999-12-31T23:59:59.999999Z"
    yield case("for the end of time", USED, expires_at=last, requested_at=last)
    two = [line("1"), line("2")]
    yield case("late", LATE, lines=two, occurred_at=moment(DAY + 30))
    yield case("late, of one line", LATE, occurred_at=moment(DAY + 30))
    yield case("in the future", EARLY, lines=two, occurred_at=moment(-21_600))
    yield case("a type its source may not send", whole("not_allowed"), "order_cancelled", two, source="gate")
    yield case("a type its source may not send, of one line", whole("not_allowed"), "order_cancelled", source="gate")
    bound = [line("1", location="DC2"), line("2", **here)]
    yield case("a location its source may not name", [("not_allowed", "1")], lines=bound, source="gate")
    yield case("one line twice", USED, lines=[line(), line()])
    yield case("one line in two words", [("conflict", "1")], lines=[line(), line(quantity=2)])
    yield case("one line_id of two items", USED, lines=[line(), line(item="ROPE")])


CASES = list(cases())


def named(case: Case) -> str:
    """Name a test; without the moment, for every process that collects the tests has to find the same ones."""
    is_moment = case.name.startswith("occurred_at")
    return re.sub(r"[0-9]", "0", case.name) if is_moment else case.name


NAMES = [f"{number}-{named(one)}"[:70].encode("ascii", "replace").decode() for number, one in enumerate(CASES)]


class Told(NamedTuple):
    """What the run left."""

    places: list[tuple[str, int]]
    letters: dict[tuple[str, int], list[Record]]
    lab: Lab


@pytest.fixture(scope="module")
def told(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    world = World(servers, "intake", tmp_path_factory.mktemp("intake"))
    world.config.write_text(
        '[sources.gate]\nmay_send = ["stock_received", "order_placed"]\nlocations = ["DC1"]\n'
        '[sources.slow]\ndedup_window = "72h"\n'
    )
    lab = Lab(world)
    for location in ("DC1", "DC2"):
        lab.reference("locations", {"location": location})
    lab.reference("channels", {"channel": "web", "locations": ["DC1", "DC2"]})
    lab.reference("items", {"item": "SHOVEL", "conversions": {"case": 12, "half": 0.5}})
    lab.reference("items", {"item": "ROPE", "base_uom": "m", "scale": 3, "conversions": {"mm": "0.001"}})
    places = [lab.put(one.topic, one.value, one.key) for one in CASES]
    lab.catch_up()
    yield Told(places, lab.letters(), lab)
    world.close()


@pytest.mark.parametrize("number", range(len(CASES)), ids=NAMES)
def test_a_message_is_used_or_refused_with_the_first_thing_wrong(told: Told, number: int) -> None:
    letters = told.letters.get(told.places[number], [])
    found = [(letter.headers["code"], letter.headers.get("line_id")) for letter in letters]
    assert sorted(found, key=str) == sorted(CASES[number].codes, key=str), [one.headers["message"] for one in letters]


def test_a_dead_letter_has_the_original_bytes_and_says_where_they_were(told: Told) -> None:
    for one, place in zip(CASES, told.places, strict=True):
        for letter in told.letters.get(place, []):
            raw = one.value.encode() if isinstance(one.value, str) else one.value
            # Of an event of several lines one letter has the bytes; the others may leave them to it.
            own = json.dumps(raw).encode() if isinstance(raw, dict) else raw
            assert letter.value in (own, b"") and own in {other.value for other in told.letters[place]}, one.name
            assert letter.key == one.key
            said = dict(letter.headers)
            message, stamp = said.pop("message"), said.pop("timestamp")
            assert message and stamp.isdigit()
            assert said.pop("code") in {code for code, _ in one.codes}
            assert said.pop("line_id", "1").isprintable()
            topic = told.lab.world.topic(f"inventory.{place[0]}")
            assert said == {"topic": topic, "partition": "0", "offset": str(place[1]), "attempts": "1"}


def test_a_refused_unit_may_be_sent_again_and_an_applied_one_is_not_applied_again(told: Told) -> None:
    lab = told.lab
    before = lab.figures("SHOVEL")
    number = next(index for index, one in enumerate(CASES) if one.name == "order: lines stand alone")
    again = json.loads(json.dumps(CASES[number].value))
    again["lines"][1]["quantity"] = 7  # line 2 was refused for its quantity
    place = lab.put("orders", again)
    lab.catch_up()
    grown = {name: figure - before.get(name, 0) for name, figure in lab.figures("SHOVEL").items()}
    assert {name: change for name, change in grown.items() if change} == {"*:soft_allocated": 7}
    refused = [line_id for _, line_id in lab.codes()[place]]
    assert sorted(map(str, refused)) == ["3", "4", "5", "6", "7", "8", "9"]
