"""Reads what a person decided on a variance, or says what is wrong with it (contract section 9, ask)."""

from __future__ import annotations

from typing import Any

from operators.decode import RefusedError, shaped
from schemas import codes
from schemas.reconciled import Decided
from schemas.units import Origin, Refusal
from schemas.variances import Decision, split_key

#: A decision is a few texts: what is longer is none.
SIZE_MAX = 64 * 1024


def read_decision(origin: Origin) -> Decided | Refusal:
    """Give the decision of a message of inventory.decisions, or why it cannot be used."""
    try:
        return _read(origin)
    except RefusedError as refused:
        return refused.of(origin)


def _read(origin: Origin) -> Decided:
    value = origin.value
    if value is None:
        raise RefusedError(codes.NOT_JSON, "value: expected a JSON object, got nothing")
    if len(value) > SIZE_MAX:
        raise RefusedError(codes.TOO_LARGE, f"value: expected at most {SIZE_MAX} bytes, got {len(value)}")
    try:
        message = codes.parse_json(value)
    except ValueError as error:
        raise RefusedError(codes.NOT_JSON, f"value: {error}") from None
    if not isinstance(message, dict):
        raise RefusedError(codes.NOT_AN_OBJECT, "value: expected an object, got something else")
    said: Any = shaped(Decision, message, "a decision")
    names = split_key(said.key)
    assert names is not None
    return Decided(
        said.key, names[1], said.id, said.decision, said.decided_by, said.reason or "", said.decided_at, origin
    )
