"""Decides whether variances, statuses and decisions have the shape that the contract's section 9 gives them."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from schemas import variances
from schemas.outputs import InventoryException
from schemas.variances import Decision, StatementStatus, Variance, row_id, split_key, units_text, variance_key

AT = "2025-01-31T11:00:00.000000Z"
VARIANCE: dict[str, Any] = {
    "id": row_id("erp", "night-31", "RETRO-CLOCK", "dc-1", ""),
    "source": "erp",
    "statement_id": "night-31",
    "item": "RETRO-CLOCK",
    "location": "dc-1",
    "measure": "on_hand",
    "as_of": AT,
    "ours": 12,
    "theirs": 10,
    "difference": -2,
    "cause": "missing_there",
    "evidence": [
        {"topic": "inventory.warehouse", "partition": 0, "offset": 5, "source": "wms", "event_id": "rcpt-1"},
    ],
    "action": "hold",
    "state": "held",
    "decided_by": "rule",
    "first_seen": AT,
    "last_seen": AT,
}
STATUS: dict[str, Any] = {
    "source": "erp",
    "statement_id": "night-31",
    "as_of": AT,
    "rows": 2,
    "seen": 2,
    "agreed": 1,
    "in_variance": 1,
    "not_compared": 0,
    "refused": 0,
    "absent": 0,
    "duplicates": 0,
    "conflicts": 0,
    "causes": {"on_hand": {"missing_there": 1}},
    "units": "2",
    "started": AT,
    "ended": None,
    "verdict": "pending",
    "reasons": [],
    "explained_percent": 100.0,
}
DECISION: dict[str, Any] = {
    "key": "erp:RETRO-CLOCK:dc-1::on_hand",
    "id": VARIANCE["id"],
    "decision": "accept",
    "decided_by": "Ada",
    "decided_at": AT,
    "decision_id": "d-1",
}


def test_a_variance_is_known_by_its_key_and_its_rows_id() -> None:
    assert variance_key("erp", "RETRO-CLOCK", "dc-1", "", "on_hand") == "erp:RETRO-CLOCK:dc-1::on_hand"
    assert split_key("erp:RETRO-CLOCK:dc-1::on_hand") == ("erp", "RETRO-CLOCK", "dc-1", "", "on_hand")
    for wrong in ("erp:RETRO-CLOCK:dc-1:on_hand", "erp:X:dc-1::weight", ":X:dc-1::on_hand", "erp:X:dc-1:L:on_hand:"):
        assert split_key(wrong) is None
    named = hashlib.sha256(b"erp:night-31:RETRO-CLOCK:dc-1:L1").hexdigest()[:32]
    assert row_id("erp", "night-31", "RETRO-CLOCK", "dc-1", "L1") == named


def test_shapes_are_as_the_contract_has_them() -> None:
    Variance.model_validate(VARIANCE)
    StatementStatus.model_validate(STATUS)
    Decision.model_validate(DECISION)
    promise = {**VARIANCE, "channel": "web", "measure": "atp"}
    del promise["location"]
    Variance.model_validate(promise)


@pytest.mark.parametrize(
    "wrong",
    [
        {"difference": 2},
        {"channel": "web"},
        {"location": None},
        {"measure": "atp"},
        {"cause": "magic"},
        {"state": "closed"},
        {"action": "fix"},
        {"id": "0"},
        {"evidence": [VARIANCE["evidence"][0]] * 9},
        {"ours": "12"},
        {"more": 1},
    ],
)
def test_a_variance_of_another_shape_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Variance.model_validate({**VARIANCE, **wrong})


@pytest.mark.parametrize(
    "wrong", [{"verdict": "maybe"}, {"reasons": ["bad"]}, {"units": "1e3"}, {"seen": -1}, {"explained_percent": 101}]
)
def test_a_status_of_another_shape_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StatementStatus.model_validate({**STATUS, **wrong})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"decision": "acept"}, 'expected accept, correct, reject or undo, got "acept"; did you mean accept?'),
        ({"key": "erp"}, "expected the key of a variance"),
        ({"id": "zz"}, "expected the id of a variance, 32 hex digits"),
        ({"decided_by": " "}, "expected who decides"),
        ({"decided_by": "a\nb"}, "expected who decides"),
        ({"decided_at": "today"}, "expected an RFC 3339 time"),
    ],
)
def test_a_wrong_decision_is_told(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Decision.model_validate({**DECISION, **wrong})
    assert told in str(caught.value.errors()[0]["ctx"]["error"])


def test_words_stand_in_the_shapes_and_in_the_tables_alike() -> None:
    assert get_args(variances.Measure) == variances.ALL_MEASURES
    assert get_args(variances.Cause) == variances.VARIANCE_CAUSES
    assert get_args(variances.Reason) == variances.REASONS
    fields = Variance.model_fields
    assert get_args(fields["state"].annotation) == variances.STATES
    assert get_args(get_args(fields["action"].annotation)[0]) == variances.ACTIONS
    assert get_args(StatementStatus.model_fields["verdict"].annotation) == variances.VERDICTS


@pytest.mark.parametrize(
    ("units", "text"), [("0", "0"), ("12", "12"), ("100", "100"), ("2.50", "2.5"), ("1E+3", "1000"), ("3.000", "3")]
)
def test_units_are_plain_decimal_text(units: str, text: str) -> None:
    assert units_text(Decimal(units)) == text


def test_a_rejected_statement_is_told_with_its_reasons() -> None:
    told: dict[str, Any] = {
        "code": "statement_rejected",
        "state": "open",
        "source": "erp",
        "reference": "erp night-31",
        "quantities": {},
        "reasons": ["not_ended"],
        "first_seen": AT,
        "last_seen": AT,
    }
    InventoryException.model_validate(told)
    for wrong in ({"reasons": ["tired"]}, {"item": "X"}, {"source": None}, {"code": "stale_source"}):
        with pytest.raises(ValidationError):
            InventoryException.model_validate({**told, **wrong})
    held = {**told, "code": "held_too_long", "item": "X", "location": "dc-1", "reasons": None, "reference": None}
    InventoryException.model_validate(held)
