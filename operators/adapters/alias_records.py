"""Judges records of `inventory.aliases`: what they say, or what is wrong with them (contract section 10)."""

from __future__ import annotations

from typing import Final, NamedTuple

from operators.adapters.account import Refused
from operators.adapters.context import ALIAS_BYTES_MAX, ALIAS_KINDS
from schemas.codes import (
    BAD_VALUE,
    CODE_EXPECTED,
    MISSING_FIELD,
    NOT_AN_OBJECT,
    NOT_JSON,
    TOO_LARGE,
    is_code,
    parse_json,
    show,
)
from schemas.events import STATUSES

#: of a source: more is a mistake in a loop, and every alias is in memory
ALIASES_MAX: Final = 1_000_000


class AliasRecord(NamedTuple):
    """What a record says."""

    source: str
    kind: str
    theirs: str
    #: None: there is no such alias any more
    ours: str | None


def judge_alias(key: bytes | None, value: bytes | None, bytes_max: int) -> AliasRecord:
    """Give what a record says; Refused with a code of the contract, and then the older record stays in force."""
    if len(value or b"") > bytes_max:
        raise Refused(TOO_LARGE, f"value: expected at most {bytes_max} bytes, got {len(value or b'')}")
    source, kind, theirs = _named(key)
    if value is None:
        return AliasRecord(source, kind, theirs, None)
    try:
        fields = parse_json(value)
    except ValueError as error:
        raise Refused(NOT_JSON, f"value: {error}") from None
    if not isinstance(fields, dict):
        raise Refused(NOT_AN_OBJECT, f"value: expected an object, got {show(fields)}")
    for name, said in (("source", source), ("kind", kind), ("theirs", theirs)):
        if fields.get(name) not in (None, said):
            raise Refused(BAD_VALUE, f"{name}: expected {show(said)}, as the key says, got {show(fields[name])}")
    ours = fields.get("ours")
    if ours is None:
        raise Refused(MISSING_FIELD, f"ours: expected {CODE_EXPECTED}, got nothing")
    if not isinstance(ours, str) or not is_code(ours):
        raise Refused(BAD_VALUE, f"ours: expected {CODE_EXPECTED}, got {show(ours)}")
    if kind == "status" and ours not in STATUSES:
        raise Refused(BAD_VALUE, f"ours: expected one of {', '.join(sorted(STATUSES))}, got {show(ours)}")
    return AliasRecord(source, kind, theirs, ours)


def _named(key: bytes | None) -> tuple[str, str, str]:
    expected = "source:kind:theirs"
    try:
        text = (key or b"").decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(BAD_VALUE, f"key: expected {expected} in UTF-8, got other bytes") from None
    source, _, rest = text.partition(":")
    kind, _, theirs = rest.partition(":")
    if not is_code(source) or not theirs.strip():
        raise Refused(BAD_VALUE, f"key: expected {expected}, got {show(text or None)}")
    if kind not in ALIAS_KINDS:
        raise Refused(BAD_VALUE, f"key: expected a kind of {', '.join(ALIAS_KINDS)}, got {show(kind or None)}")
    if len(theirs.encode()) > ALIAS_BYTES_MAX:
        raise Refused(BAD_VALUE, f"key: expected theirs of at most {ALIAS_BYTES_MAX} bytes, got {show(theirs)}")
    return source, kind, theirs.strip()
