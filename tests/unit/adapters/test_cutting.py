"""Files that are too large for one message: each part can be read by itself, and together they are the file."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.adapters.cutting import Cut, cut
from operators.adapters.x12_syntax import TransactionSet, sets_of

ISA = b"ISA*00*          *00*          *ZZ*ACME           *ZZ*US             *261130*0800*U*00401*000000001*0*P*>~"
GS = b"GS*PO*ACME*US*20261130*0800*1*X*004010~"


def joined(parts: Cut) -> bytes:
    return b"".join(part.value[part.heading :] for part in parts.parts)


def x12_set(number: int, lines: int = 1) -> bytes:
    rows = b"".join(b"PO1*%d*5*EA***SK*LAMP~" % (line + 1) for line in range(lines))
    return b"ST*850*%04d~BEG*00*SA*PO-%d**20261130~%sSE*%d*%04d~" % (number, number, rows, lines + 3, number)


def numbers(raw: bytes) -> list[str]:
    found = list(sets_of(raw))
    assert all(isinstance(one, TransactionSet) and one.is_closed for one in found)
    return [one.control for one in found if isinstance(one, TransactionSet)]


def test_what_fits_is_one_message_as_it_is() -> None:
    assert cut(b"item,quantity\nLAMP,1\n", 21) == Cut([(b"item,quantity\nLAMP,1\n", 0)], [])  # type: ignore[list-item]


def test_a_table_is_cut_between_rows_and_each_part_has_its_heading() -> None:
    raw = b"item,quantity\n" + b"".join(b"LAMP-%02d,%d\n" % (row, row % 7) for row in range(40))
    parts = cut(raw, 100)
    assert not parts.refused
    assert joined(parts) == raw
    assert all(len(part.value) <= 100 and part.value.startswith(b"item,quantity\n") for part in parts.parts)
    assert [part.heading for part in parts.parts] == [0] + [14] * (len(parts.parts) - 1)


def test_a_line_end_between_quotes_ends_no_row_and_a_length_in_inches_opens_none() -> None:
    rows = ['LAMP,"made of\nbrass"', 'RULER 5",3', 'NAIL,"2"" long, ""steel"""', "TABLE,1"]
    raw = ("item,note\n" + "\n".join(rows) + "\n").encode()
    parts = cut(raw, 40)
    assert joined(parts) == raw and len(parts.parts) > 2
    read = [row for part in parts.parts for row in list(csv.reader(io.StringIO(part.value.decode())))[1:]]
    assert read == list(csv.reader(io.StringIO(raw.decode())))[1:]


@given(
    st.lists(st.lists(st.text(alphabet='ab"\n\r,; é', max_size=6), min_size=2, max_size=3), min_size=1, max_size=20),
    st.integers(60, 200),
)
@settings(deadline=None, max_examples=200)
def test_any_table_that_was_written_as_one_is_read_the_same_in_parts(rows: list[list[str]], most: int) -> None:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([["item", "note", "more"], *rows])
    raw = written.getvalue().encode()
    parts = cut(raw, most)
    assert not parts.refused
    assert joined(parts) == raw
    read: list[list[str]] = []
    for index, part in enumerate(parts.parts):
        assert len(part.value) <= most
        found = list(csv.reader(io.StringIO(part.value.decode(), newline="")))
        assert found[0] == ["item", "note", "more"]
        assert part.heading == (len(b"item,note,more\n") if index else 0)
        read += found[1:]
    assert read == list(csv.reader(io.StringIO(raw.decode(), newline="")))[1:]


def test_json_lines_have_no_heading() -> None:
    raw = b"".join(b'{"item": "LAMP", "note": "a \\" b", "quantity": %d}\n' % row for row in range(20))
    parts = cut(raw, 120)
    assert joined(parts) == raw and len(parts.parts) == 10
    assert all(part.heading == 0 for part in parts.parts)


@pytest.mark.parametrize(
    "raw",
    [
        b"<doc>\n" * 50,
        b"[1,\n2]" * 50,
        b'{\n"a": [\n1]}' * 50,
        b"\x00\x01\n" * 100,
        b"x" * 200,
        b"ST|850|1\nSE|1|1\n" * 20,
        b"STX=ANA:1, a\n" * 20,
        b"some text\n" * 20,
    ],
)
def test_what_is_neither_table_nor_edi_is_refused_whole(raw: bytes) -> None:
    parts = cut(raw, 100)
    assert parts.parts == []
    assert [one.sentence for one in parts.refused] == [
        f"too_large: the file has {len(raw):,} bytes with what has to stand before it"
    ]


def test_a_table_with_a_row_that_no_message_can_hold_is_refused_whole() -> None:
    raw = b"item,note\nLAMP,1\nTABLE," + b"x" * 100 + b"\nNAIL,2\n"
    parts = cut(raw, 100)
    assert parts.parts == []
    assert [one.place for one in parts.refused] == ["row 3"]


def test_sets_are_cut_apart_with_the_envelope_of_each() -> None:
    raw = ISA + GS + b"".join(x12_set(number) for number in range(1, 9)) + b"GE*8*1~IEA*1*000000001~"
    parts = cut(raw, 400)
    assert joined(parts) == raw and len(parts.parts) > 2
    assert all(len(part.value) <= 400 and part.value.startswith(ISA + GS) for part in parts.parts)
    assert [one for part in parts.parts for one in numbers(part.value)] == numbers(raw)


def test_each_interchange_and_group_keeps_its_own_delimiters_and_partner() -> None:
    other = (ISA + GS.replace(b"ACME", b"OTHER") + x12_set(3) + x12_set(4)).replace(b"*", b"|").replace(b"~", b"!\r\n")
    raw = (
        ISA + GS + x12_set(1) + b"GE*1*1~\n" + GS.replace(b"ACME", b"THIRD") + x12_set(2) + b"GE*1*1~IEA*2*1~\n" + other
    )
    parts = cut(raw, 320)
    assert joined(parts) == raw
    read = [one for part in parts.parts for one in sets_of(part.value) if isinstance(one, TransactionSet)]
    assert [(one.control, one.sender) for one in read] == [
        ("0001", "ACME"), ("0002", "THIRD"), ("0003", "OTHER"), ("0004", "OTHER"),
    ]  # fmt: skip


def test_line_ends_as_terminators() -> None:
    raw = (ISA + GS + x12_set(1) + x12_set(2) + x12_set(3) + b"GE*3*1~").replace(b"~", b"\r\n")
    parts = cut(raw, 300)
    assert joined(parts) == raw and len(parts.parts) > 1
    assert [one for part in parts.parts for one in numbers(part.value)] == ["0001", "0002", "0003"]


def test_a_set_that_is_too_large_stays_out_and_the_others_go() -> None:
    raw = ISA + GS + x12_set(1) + x12_set(2, lines=30) + x12_set(3) + b"GE*3*1~IEA*1*1~"
    parts = cut(raw, 500)
    assert [one.place for one in parts.refused] == ["set 2 (ST*850*0002)"]
    assert [one for part in parts.parts for one in numbers(part.value)] == ["0001", "0003"]


def test_a_text_that_looks_like_a_set_is_none() -> None:
    raw = ISA + GS + x12_set(1).replace(b"PO-1", b"MAIN-ST*850*9") + x12_set(2) + b"GE*2*1~IEA*1*1~"
    parts = cut(raw, 300)
    assert [part.value[part.heading :][:20] for part in parts.parts] == [ISA[:20], b"ST*850*0002~BEG*00*S"]


def test_edifact_is_cut_between_messages() -> None:
    una, unb = b"UNA:+.? '", b"UNB+UNOC:3+ACME:14+US:14+261130:0800+1'"
    messages = [b"UNH+%d+ORDERS:D:96A:UN'BGM+220+PO?'UNH+%d'UNT+3+%d'" % (one, one, one) for one in range(1, 7)]
    raw = una + unb + b"".join(messages) + b"UNZ+6+1'"
    parts = cut(raw, 150)
    assert joined(parts) == raw and len(parts.parts) > 2
    for part in parts.parts:
        assert part.value.startswith(una + unb) and len(part.value) <= 150
        assert part.value.count(b"'UNH+") - part.value.count(b"?'UNH+") == part.value.count(b"UNT+")


def test_a_second_interchange_of_edifact_has_what_its_own_una_says() -> None:
    first = b"UNB+UNOC:3+ACME+US+261130:0800+1'UNH+1+ORDERS'UNT+2+1'UNZ+1+1'\r\n"
    second = b"UNA:*.? ~UNB*UNOC:3*OTHER*US*261130:0800*2~UNH*2*ORDERS~UNT*2*2~UNH*3*ORDERS~UNT*2*3~UNZ*2*2~"
    parts = cut(first + second, 80)
    assert joined(parts) == first + second
    assert [part.value[:9] for part in parts.parts] == [b"UNB+UNOC:", b"UNA:*.? ~", b"UNA:*.? ~"]


def test_the_same_bytes_are_cut_in_the_same_way() -> None:
    raw = b"item,quantity\n" + b"LAMP,1\n" * 1000
    assert cut(raw, 512) == cut(bytes(raw), 512)


@given(st.binary(max_size=400), st.integers(10, 120))
@settings(deadline=None, max_examples=300)
def test_whatever_comes_is_cut_or_refused_and_nothing_is_made_up(raw: bytes, most: int) -> None:
    for content in (raw, ISA + raw, b"UNB+" + raw, b"a,b\n" + raw):
        parts = cut(content, most)
        assert all(len(part.value) <= most for part in parts.parts)
        assert parts.refused or joined(parts) == content
