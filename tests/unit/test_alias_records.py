"""Records of aliases: what they say, and which are refused with what code."""

from __future__ import annotations

import json

import pytest

from operators.adapters.account import Refused
from operators.adapters.alias_records import AliasRecord, judge_alias

MOST = 1000


def judge(key: str | None, value: object) -> AliasRecord:
    raw = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return judge_alias(None if key is None else key.encode(), raw, MOST)


def test_says_our_code_for_theirs() -> None:
    said = {"source": "acme", "kind": "item", "theirs": "RAKE", "ours": "R-1"}
    assert judge("acme:item:RAKE", said) == ("acme", "item", "RAKE", "R-1")


def test_the_key_says_it_all_but_ours() -> None:
    assert judge("acme:item:RAKE", {"ours": "R-1"}) == ("acme", "item", "RAKE", "R-1")


def test_theirs_may_hold_colons_and_any_letters() -> None:
    assert judge("acme:item:urn:epc:id:sgtin:1", {"ours": "A"}).theirs == "urn:epc:id:sgtin:1"
    assert judge("acme:item:Крышка 5", {"ours": "A"}).theirs == "Крышка 5"


def test_padding_is_no_part_of_theirs() -> None:
    assert judge("acme:item:  RAKE  ", {"ours": "A"}).theirs == "RAKE"


def test_a_tombstone_deletes() -> None:
    assert judge("acme:item:RAKE", None).ours is None


@pytest.mark.parametrize(("length", "is_taken"), [(255, True), (256, True), (257, False)])
def test_theirs_has_at_most_256_bytes(length: int, is_taken: bool) -> None:
    theirs = "é" * (length // 2) + "x" * (length % 2)
    assert len(theirs.encode()) == length
    if is_taken:
        assert judge(f"acme:item:{theirs}", {"ours": "A"}).theirs == theirs
    else:
        with pytest.raises(Refused, match="at most 256 bytes"):
            judge(f"acme:item:{theirs}", {"ours": "A"})


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        (None, {"ours": "A"}, "bad_value"),
        ("acme", {"ours": "A"}, "bad_value"),
        ("acme:item", {"ours": "A"}, "bad_value"),
        ("acme:item:", {"ours": "A"}, "bad_value"),
        ("acme:item:  ", {"ours": "A"}, "bad_value"),
        ("a b:item:RAKE", {"ours": "A"}, "bad_value"),
        ("acme:colour:RED", {"ours": "A"}, "bad_value"),
        ("acme:item:RAKE", {"ours": "A", "theirs": "HOE"}, "bad_value"),
        ("acme:item:RAKE", {"ours": "A", "source": "other"}, "bad_value"),
        ("acme:item:RAKE", {"ours": "A", "kind": "lot"}, "bad_value"),
        ("acme:item:RAKE", {"ours": "not a code"}, "bad_value"),
        ("acme:item:RAKE", {"ours": 5}, "bad_value"),
        ("acme:status:OK", {"ours": "fine"}, "bad_value"),
        ("acme:item:RAKE", {}, "missing_field"),
        ("acme:item:RAKE", {"ours": None}, "missing_field"),
        ("acme:item:RAKE", b"{", "not_json"),
        ("acme:item:RAKE", [], "not_an_object"),
        ("acme:item:RAKE", b'{"ours":"' + b"A" * MOST + b'"}', "too_large"),
    ],
)
def test_what_is_wrong_is_refused_with_its_code(key: str | None, value: object, code: str) -> None:
    with pytest.raises(Refused) as refusal:
        judge(key, value)
    assert refusal.value.code == code


def test_a_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(Refused, match="UTF-8"):
        judge_alias(b"acme:item:\xff", b'{"ours":"A"}', MOST)


@pytest.mark.parametrize("ours", ["available", "quarantined"])
def test_a_status_is_one_of_the_two(ours: str) -> None:
    assert judge("acme:status:S1", {"ours": ours}).ours == ours
