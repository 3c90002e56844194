"""Which address is asked next, and how long one waits after a failure."""

from __future__ import annotations

import random

import pytest

from operators.adapters.paging import (
    WAIT_MAX_S,
    Unusable,
    linked,
    next_page,
    patience,
    read_page,
    value_at,
    with_parameter,
)

BASE = "https://shop.example/orders.json?limit=50"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("page.next", "abc"),
        ("orders.-1.id", "900719925474099312"),
        ("orders.0.id", "1"),
        ("orders.2.id", None),
        ("orders.-3.id", None),
        ("page.none", None),
        ("page.empty", None),
        ("page.next.deeper", None),
        ("orders.first", None),
        ("page.half", "1.5"),
    ],
)
def test_a_value_by_its_path(path: str, found: str | None) -> None:
    body = (
        b'{"page": {"next": "abc", "none": null, "empty": "", "half": 1.5}, "orders": [{"id": 1}, '
        b'{"id": 900719925474099312}]}'
    )
    assert value_at(read_page(body), path) == found


@pytest.mark.parametrize("document", [{"next": True}, {"next": {}}, {"next": []}, {"next": "x" * 3000}])
def test_what_is_no_text_and_no_number_is_said(document: object) -> None:
    with pytest.raises(Unusable, match=r"^next: expected"):
        value_at(document, "next")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": 1', b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_said(body: bytes) -> None:
    with pytest.raises(Unusable, match=r"^expected JSON"):
        read_page(body)


@pytest.mark.parametrize(
    ("link", "found"),
    [
        ('<https://shop.example/a?b=1,2>; rel="next"', "https://shop.example/a?b=1,2"),
        ('<https://shop.example/p>; rel="previous", </n?x=1>; rel="next"', "/n?x=1"),
        ("<a>; title=x; REL=Next", "a"),
        ('<a>; rel="prev next"', "a"),
        ('<a>; rel="nextish"', None),
        ("<a>", None),
        ("", None),
        ("<" * 100_000, None),
    ],
)
def test_the_next_page_of_a_link_header(link: str, found: str | None) -> None:
    assert linked(link) == found


def test_a_cursor_takes_the_place_of_the_one_before() -> None:
    first = next_page(BASE, BASE, "a b&c", "cursor")
    assert first == "https://shop.example/orders.json?limit=50&cursor=a+b%26c"
    assert next_page(first, first, "d", "cursor") == "https://shop.example/orders.json?limit=50&cursor=d"
    assert with_parameter("https://h/?limit=5", "limit", "6") == "https://h/?limit=6"


def test_a_next_page_may_be_relative_and_never_elsewhere() -> None:
    assert next_page(BASE, BASE, "?page=2", None) == "https://shop.example/orders.json?page=2"
    assert next_page(BASE, BASE, None, None) is None
    for elsewhere in (
        "https://evil.example/x",
        "http://shop.example/x",
        "https://shop.example:8443/",
        "//evil/x",
        "file:///x",
    ):
        with pytest.raises(Unusable, match=r"^next: expected a page at https://shop\.example, got one at"):
            next_page(BASE, BASE, elsewhere, None)


def test_waits_double_up_to_a_limit_and_are_drawn() -> None:
    draw = random.Random(1)
    for failures in range(1, 2000):
        most = min(WAIT_MAX_S, 2.0 ** (failures - 1)) if failures < 30 else WAIT_MAX_S
        assert most / 2 <= patience(failures, draw) <= most
    assert len({patience(3, draw) for _ in range(50)}) > 40


def test_what_the_server_asks_for_is_the_least() -> None:
    draw = random.Random(1)
    assert all(120.0 <= patience(1, draw, 120.0) <= 121.0 for _ in range(100))
    assert patience(9, draw, 0.0) <= 1.0
