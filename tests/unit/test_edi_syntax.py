"""EDI as it is really sent: whatever is wrong around a document, what is whole in it counts; nothing goes unsaid."""

from __future__ import annotations

import re
import time

import pytest

from operators.adapters import edifact_syntax, x12_syntax
from operators.adapters.kinds import kind_of
from tests.documents import become, edifact, fates, x12

ORDER = """850
BEG*00*SA*PO-1**20240110
PO1*1*5*EA***VN*SHOVEL
PO1*2*7*EA***VN*RAKE
"""
OTHER = ORDER.replace("PO-1", "PO-2")
ORDERS = """ORDERS
BGM+220+PO-1+9
DTM+137:20240110:102
LIN+1++SHOVEL:SA
QTY+21:5:PCE
LIN+2++RAKE:SA
QTY+21:7:PCE
UNS+S
"""
PLAIN = become(x12(ORDER)).bodies()
PLAIN_EDIFACT = become(edifact(ORDERS)).bodies()


def written(text: bytes, **changes: str) -> bytes:
    """The same with other delimiters."""
    return text.decode().translate({ord(old): new for old, new in changes.items()}).encode()


X12_WAYS = {
    "a byte order mark": b"\xef\xbb\xbf" + x12(ORDER),
    "indentation": re.sub(rb"(?m)^", b"   \t", x12(ORDER)),
    "no line ends": x12(ORDER, end="~"),
    "a newline as terminator": x12(ORDER, end="\n"),
    "carriage return and newline as terminator": x12(ORDER, end="\r\n"),
    "a carriage return as terminator": x12(ORDER, end="\r"),
    "a terminator and carriage returns": x12(ORDER, end="~\r\n"),
    "a terminator beyond ASCII": x12(ORDER, end="\u00d6"),
    "other delimiters": x12(ORDER).replace(b"*", b"|").replace(b"~", b"!"),
    "control characters as delimiters": x12(ORDER).replace(b"*", b"\x1d").replace(b"~", b"\x1c"),
    "no last terminator": x12(ORDER).rstrip(b"~\n"),
    "lines wrapped at 80": b"\n".join(x12(ORDER, end="~")[at : at + 80] for at in range(0, 4000, 80)).rstrip(b"\n"),
    "blank lines": x12(ORDER, end="~\n\n  \n"),
    "an ISA that is not padded": re.sub(rb" +\*", b"*", x12(ORDER)),
    "no group": re.sub(rb"G[SE]\*[^~]*~\n", b"", x12(ORDER)),
    "a wrong count of segments": re.sub(rb"SE\*\d+", b"SE*99", x12(ORDER)),
    "wrong control counts": x12(ORDER).replace(b"GE*1", b"GE*7").replace(b"IEA*1", b"IEA*7"),
    "an end without its group's": re.sub(rb"GE\*[^~]*~\n", b"", x12(ORDER)),
    "no end of the interchange": re.sub(rb"IEA\*[^~]*~\n", b"", x12(ORDER)),
    "no component separator": x12(ORDER).replace(b"*P*>~", b"*P*~"),
}


@pytest.mark.parametrize("way", X12_WAYS)
def test_x12_is_read_as_it_is_sent(way: str) -> None:
    raw = X12_WAYS[way]
    assert kind_of(raw, {}).name == "x12"  # type: ignore[union-attr]
    assert [{**body, "channel": "ACME"} for body in become(raw).bodies()] == PLAIN


def test_a_bare_set_is_read() -> None:
    raw = re.sub(rb"(ISA|GS|GE|IEA)\*[^~]*~\n", b"", x12(ORDER))
    assert raw.startswith(b"ST*")
    # Nobody says whose order it is: the source.
    assert become(raw).bodies() == [{**PLAIN[0], "channel": "acme"}]


def test_interchanges_have_each_their_own_delimiters() -> None:
    second = x12(OTHER, sender="OTHER", control="000000002").replace(b"*", b"|").replace(b"~", b"!")
    for between in (b"", b"\n", b"\r\n  "):
        bodies = become(x12(ORDER) + between + second).bodies()
        assert [(body["order_id"], body["channel"]) for body in bodies] == [("PO-1", "ACME"), ("PO-2", "OTHER")]


def test_a_text_that_looks_like_an_interchange_is_text() -> None:
    raw = x12(ORDER.replace("PO1*1", "MSG*VISA*ISA*accepted\nPO1*1"))
    assert become(raw).bodies() == PLAIN


@pytest.mark.parametrize("cut", [b"SE*", b"PO1*2", b"*RAKE"])
def test_what_was_cut_off_is_refused_and_the_sets_before_it_count(cut: bytes) -> None:
    raw = x12(ORDER, OTHER)
    at = raw.rindex(cut)
    result = become(raw[:at])
    assert result.bodies() == PLAIN
    assert set(fates(result)[2:]) == {"bad_value"} and "cut off" in result.lines[-1].message


def test_a_set_whose_begin_was_lost_is_said_and_the_others_count() -> None:
    raw = x12(ORDER, OTHER).replace(b"ST*850*0001", b"SX*850*0001")
    result = become(raw)
    assert [body["order_id"] for body in result.bodies()] == ["PO-2"]
    assert fates(result) == ["bad_value", "event", "event"]
    assert "outside of any" in result.lines[0].message


def test_a_set_that_begins_before_the_last_has_ended_was_cut_off() -> None:
    result = become(re.sub(rb"SE\*5\*0001~\n", b"", x12(ORDER, OTHER)))
    assert fates(result) == ["bad_value", "bad_value", "event", "event"]


@pytest.mark.parametrize("raw", [b"", b"   ", b"hello", b"\x00" * 50, b"{}", b"\xff\xfe" * 9])
def test_what_is_nothing_of_ours_is_one_line_refused(raw: bytes) -> None:
    result = become(raw)
    assert fates(result) == ["bad_value"] and result.kind == "unknown"


def test_an_interchange_without_documents_is_ignored_and_without_terminators_refused() -> None:
    assert fates(become(re.sub(rb"(?s)ST.*SE\*\d+\*\d+~\n", b"", x12(ORDER)))) == ["no_transaction_set"]
    assert fates(become(x12(ORDER, end=""))) == ["bad_value"]


EDIFACT_WAYS = {
    "a byte order mark": b"\xef\xbb\xbf" + edifact(ORDERS),
    "no UNA": edifact(ORDERS).split(b"\n", 1)[1],
    "tabs between segments": edifact(ORDERS, end="'\t\r\n\t"),
    "no line ends": edifact(ORDERS, end="'"),
    "other delimiters": written(edifact(ORDERS), **{":": "|", "+": "*", "'": "~"}),
    "no last terminator": edifact(ORDERS).rstrip(b"'\n"),
    "lines wrapped at 35": b"\n".join(edifact(ORDERS, end="'")[at : at + 35] for at in range(0, 1200, 35)).rstrip(),
    "a group": edifact(ORDERS).replace(b"UNH+1", b"UNG+ORDERS+A+B+240110:1200+1+UN+D:96A'\nUNH+1"),
    "wrong counts": re.sub(rb"UNT\+\d+", b"UNT+99", edifact(ORDERS)).replace(b"UNZ+1", b"UNZ+5"),
    "letters that UNOA does not have": edifact(ORDERS.replace("LIN+1", "FTX+AAI+++\u6d4b\u8bd5 \u00fc\nLIN+1", 1)),
    "a decimal comma": edifact(ORDERS.replace(":5:", ":5,0:")).replace(b"UNA:+.?", b"UNA:+,?"),
    "a decimal comma without UNA": edifact(ORDERS.replace(":5:", ":5,0:")).split(b"\n", 1)[1],
}


@pytest.mark.parametrize("way", EDIFACT_WAYS)
def test_edifact_is_read_as_it_is_sent(way: str) -> None:
    raw = EDIFACT_WAYS[way]
    assert kind_of(raw, {}).name == "edifact"  # type: ignore[union-attr]
    assert become(raw).bodies() == PLAIN_EDIFACT


def test_a_comma_where_una_says_a_point_is_no_number() -> None:
    assert fates(become(edifact(ORDERS.replace(":5:", ":5,000:")))) == ["bad_value", "event"]


def test_what_is_released_is_text() -> None:
    body = become(edifact(ORDERS.replace("SHOVEL", "SHO?'VE?+L??")), None).lines[0]
    assert body.reason == "unknown_alias" and "SHO'VE+L?" in body.message


def test_edifact_interchanges_have_each_their_own_delimiters() -> None:
    other = edifact(ORDERS.replace("PO-1", "PO-2"), sender="OTHER")
    second = written(other, **{":": "|", "+": "*", "'": "~"})
    for raw in (edifact(ORDERS) + second, edifact(ORDERS) + b"\n" + other.split(b"\n", 1)[1]):
        bodies = become(raw).bodies()
        assert [(body["order_id"], body["channel"]) for body in bodies] == [("PO-1", "ACME"), ("PO-2", "OTHER")]


def test_messages_that_were_cut_off_are_refused_and_the_others_count() -> None:
    raw = edifact(ORDERS, ORDERS.replace("PO-1", "PO-2"))
    result = become(raw[: raw.rindex(b"UNT")])
    assert result.bodies() == PLAIN_EDIFACT and fates(result)[2:] == ["bad_value", "bad_value"]
    lost = become(raw.replace(b"UNH+1", b"UNX+1"))
    assert fates(lost) == ["bad_value", "event", "event"]


@pytest.mark.parametrize(
    "raw",
    [
        b"ISA*" * 100_000,
        x12(ORDER)[:120] * 5_000,
        b"ISA" + b"*" * 1_000_000,
        b"UNA:+.? '" * 100_000,
        b"UNB+UNOA" * 100_000,
        b"UNA:+.? 'UNB+" + b"?" * 1_000_000,
        b"ST*850*0001~" + b"PO1~" * 200_000,
        b"GS*" + b"A" * 1_000_000,
    ],
    ids=["many ISA", "many interchanges", "one ISA", "many UNA", "many UNB", "release", "many lines", "long"],
)
def test_hostile_text_costs_no_more_than_its_length(raw: bytes) -> None:
    started = time.process_time()
    for read in (x12_syntax.sets_of, edifact_syntax.messages_of):
        for _ in read(raw):
            pass
    # A megabyte takes a tenth of a second; what grows with its square would take minutes.
    assert time.process_time() - started < 5
