"""Ids, numbers and times of other systems' documents: the same always means the same, and nothing is guessed."""

from __future__ import annotations

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from operators.adapters.account import Account, Fact, Refused
from operators.adapters.memory import Dictionary, cumulative, resolve, seen
from operators.adapters.values import id_of, line_keys, make_id, moment, number_of, plain, positive, sub_id
from operators.adapters.whole_order import whole_order
from schemas.codes import is_id
from tests.documents import context


def test_ids_are_ids_whatever_the_parts_and_differ_where_these_do() -> None:
    parts = [
        ("a", "b"),
        ("a:b",),
        ("a b",),
        ("a%20b", ""),
        ("\u6d4b\u8bd5",),
        ("",),
        ("x" * 500,),
        ("x" * 501,),
        ("\ud800",),
    ]
    ids = [make_id(*one) for one in parts] + [
        sub_id(make_id("a"), "b", "c"),
        sub_id("x" * 128, "1"),
        sub_id("x" * 128, "2"),
    ]
    assert len(set(ids)) == len(ids)
    assert all(is_id(one) for one in ids if one)
    assert id_of(" PO-1 ", "BEG03") == "PO-1" and is_id(id_of("\u00fc" * 300, "BEG03"))
    with pytest.raises(Refused, match="BEG03: expected a number or name, got nothing"):
        id_of("  ", "BEG03")


def test_lines_are_known_by_their_number_else_by_what_they_say() -> None:
    assert line_keys(["1", "2"], ["a", "b"]) == ["1", "2"]
    same = line_keys(["", "", ""], ["a", "b", "a"])
    assert len(set(same)) == 3 and same[0].endswith(".1") and same[2].endswith(".2")
    assert line_keys(["", ""], ["a", "a"], ["9", "5"]) == list(reversed(line_keys(["", ""], ["a", "a"], ["5", "9"])))
    twice = line_keys(["1", "1", "2"], ["a", "b", "c"])
    assert twice[2] == "2" and twice == list(reversed(line_keys(["2", "1", "1"], ["c", "b", "a"])))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5),
        ("007", 7),
        (".5", "0.5"),
        ("-3", -3),
        ("+3", 3),
        ("2.50", "2.5"),
        ("5.", 5),
        ("0", 0),
        ("-0.0", 0),
        (" 5 ", 5),
    ],
)
def test_numbers_are_exact(text: str, number: int | str) -> None:
    assert number_of(text, "QTY") == number


@pytest.mark.parametrize(
    "text", ["", "five", "1e5", "--1", "1,5", ".", "-", "9" * 40, "1" * 10_000, "0x5", "5 5", "\u0665"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=r"^QTY: expected a number"):
        number_of(text, "QTY")


def test_a_decimal_comma_is_one_where_the_document_says_so() -> None:
    assert number_of("1,5", "QTY", ",") == "1.5" == number_of("1.5", "QTY", ",")
    with pytest.raises(Refused):
        number_of("1.000,5", "QTY", ",")
    with pytest.raises(Refused, match="above 0"):
        positive("0", "QTY")
    assert plain(Decimal("7.50")) == "7.5" and plain(Decimal("1E2")) == 100


def test_a_time_is_that_of_the_source_s_clock() -> None:
    berlin = context(time_zone=ZoneInfo("Europe/Berlin"))
    assert moment(berlin, "DTM", 2024, 7, 1) == "2024-07-01T10:00:00Z"
    assert moment(berlin, "DTM", 2024, 1, 1, 0) == "2023-12-31T23:00:00Z"
    # the hour that comes twice is its first, and an offset that is given stands
    assert moment(berlin, "DTM", 2024, 10, 27, int(2.5 * 3600) * 1_000_000) == "2024-10-27T00:30:00Z"
    assert moment(berlin, "DTM", 2024, 7, 1, 0, -5 * 3600) == "2024-07-01T05:00:00Z"
    for day in ((2024, 2, 30), (0, 1, 1), (2024, 13, 1)):
        with pytest.raises(Refused, match="a date of the calendar"):
            moment(berlin, "DTM", *day)
    with pytest.raises(Refused, match="years 1 to 9999"):
        moment(berlin, "DTM", 1, 1, 1, 0)


def test_a_line_ends_once_and_none_is_forgotten() -> None:
    account = Account("test")
    line = account.line("first line \u00fc")
    with pytest.raises(AssertionError, match="without an end"):
        account.finish()
    account.ignore(line, "reason")
    with pytest.raises(AssertionError, match="ends once"):
        account.refuse(line, "bad_value", "")
    assert account.finish().lines[0].place == "first_line_?"
    with pytest.raises(AssertionError, match="no line at all"):
        Account("test").finish()


def fact(rule: str, order: str, **data: object) -> Fact:
    return Fact(rule, "key", order, f"doc:{order}", dict(data), (0,))


SHIPPED = {"type": "shipment_confirmed", "source": "acme", "item": "HOE"}


def test_a_cumulative_quantity_is_told_by_its_differences() -> None:
    first = cumulative(None, fact("cumulative", "1", value="5", event=SHIPPED))
    assert [(one.body["quantity"], one.body["event_id"]) for one in first.messages] == [(5, "key:1")]
    more = cumulative(first.known, fact("cumulative", "3", value="7.5", event=SHIPPED))
    assert [one.body["quantity"] for one in more.messages] == ["2.5"]
    assert cumulative(more.known, fact("cumulative", "2", value="6", event=SHIPPED)).fates == [("ignored", "older", "")]
    assert cumulative(more.known, fact("cumulative", "3", value="7.5", event=SHIPPED)).fates[0][1] == "repeated"
    assert cumulative(more.known, fact("cumulative", "3", value="8", event=SHIPPED)).fates[0][1] == "conflict"
    assert cumulative(more.known, fact("cumulative", "4", value="7.5", event=SHIPPED)).fates[0][1] == "unchanged"
    less = cumulative(more.known, fact("cumulative", "4", value="7", event=SHIPPED))
    assert less.messages[0].body["reversal"] and less.messages[0].body["quantity"] == "0.5"


def test_what_was_seen_is_not_said_again() -> None:
    first = seen(None, fact("seen", "1", content="a", events=[SHIPPED]))
    assert len(first.messages) == 1
    assert seen(first.known, fact("seen", "2", content="a", events=[SHIPPED])).fates[0][1] == "repeated"
    assert seen(first.known, fact("seen", "0", content="b", events=[SHIPPED])).fates[0][1] == "older"
    assert len(seen(first.known, fact("seen", "2", content="b", events=[SHIPPED])).messages) == 1


def order(version: str, *lines: tuple[str, int]) -> Fact:
    rows = [{"line_id": name, "item": "HOE", "quantity": quantity} for name, quantity in lines]
    head = {"source": "acme", "order_id": "SO-1", "channel": "web", "occurred_at": "2024-01-10T12:00:00Z"}
    return Fact(
        "whole_order", "SO-1", version, f"order:{version}", {"head": head, "lines": rows}, tuple(range(len(rows)))
    )


def test_of_a_whole_order_what_changed_is_said_what_is_left_out_cancelled_and_what_is_back_reopened() -> None:
    first = whole_order(None, order("1", ("1", 5), ("2", 7)))
    assert [one.body["type"] for one in first.messages] == ["order_placed"]
    second = whole_order(first.known, order("2", ("1", 6)))
    assert [(one.body["type"], one.body["lines"][0]["line_id"]) for one in second.messages] == [
        ("order_placed", "1"),
        ("order_cancelled", "2"),
    ]
    third = whole_order(second.known, order("3", ("1", 6), ("2", 7)))
    assert [one.body["type"] for one in third.messages] == ["order_reopened", "order_placed"]
    assert [fate[1] for fate in third.fates] == ["unchanged", ""]
    assert whole_order(third.known, order("2", ("1", 1))).fates[0][1] == "older"
    assert whole_order(third.known, order("3", ("1", 6), ("2", 7))).fates == [("ignored", "repeated", "")] * 2
    assert whole_order(third.known, order("3", ("1", 9))).fates[0][1] == "conflict"


def test_what_is_remembered_of_one_source_is_nothing_to_another() -> None:
    memory = Dictionary()
    said = []
    for source in ("acme", "other", "acme"):
        account = Account("test")
        account.line("1")
        account.remember(order("1", ("1", 5)))
        said.append(len(resolve(account.finish(), source, memory).output))
    assert said == [1, 1, 0]
