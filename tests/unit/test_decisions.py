"""Decides whether a person's decision is read, or refused with its bytes and a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from operators.decisions import SIZE_MAX, read_decision
from schemas.reconciled import Decided
from schemas.units import Origin, Refusal

GOOD = {
    "key": "erp:SHOVEL:EAST::on_hand",
    "id": "0" * 32,
    "decision": "accept",
    "decided_by": "ana",
    "decided_at": "2026-11-23T12:00:00Z",
    "decision_id": "d1",
}


def read(value: bytes | None) -> Decided | Refusal:
    return read_decision(Origin("inventory.decisions", 0, 3, 1, b"key", value))


def test_a_decision_says_who_decided_what_of_which_item() -> None:
    found = read(json.dumps(GOOD | {"reason": "known"}).encode())
    assert isinstance(found, Decided)
    assert (found.item, found.decision, found.decided_by, found.reason) == ("SHOVEL", "accept", "ana", "known")


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"id": None}, "missing_field", "id"),
        ({"key": "erp"}, "bad_value", "source:item:location:lot:measure"),
        ({"decision": "perhaps"}, "bad_value", "accept, correct, reject or undo"),
        ({"decided_by": " "}, "bad_value", "decided_by"),
        ({"decided_at": "today"}, "bad_value", "decided_at"),
    ],
)
def test_a_wrong_one_is_refused_by_its_field(change: dict[str, Any], code: str, words: str) -> None:
    found = read(json.dumps(GOOD | change).encode())
    assert isinstance(found, Refusal)
    assert found.code == code and words in found.message
    assert found.origin.offset == 3


@pytest.mark.parametrize(
    ("value", "code"),
    [(None, "not_json"), (b"{", "not_json"), (b"[]", "not_an_object"), (b" " * (SIZE_MAX + 1), "too_large")],
)
def test_what_is_no_object_is_refused(value: bytes | None, code: str) -> None:
    found = read(value)
    assert isinstance(found, Refusal) and found.code == code
