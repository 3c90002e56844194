"""What reconciling writes, as JSON: variances, statuses, events that withhold and correct (contract section 9)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import orjson

from operators.rules.holds import Count
from operators.rules.statements import decimal_text, explained_percent
from schemas.reconciled import ATP, Standing
from schemas.times import time_text
from schemas.variances import OWN_SOURCE


def variance_json(item: str, one: Standing) -> bytes:
    """Give a variance as it stands; quantities in base UoM x 10^scale."""
    message: dict[str, Any] = {
        "id": one.id,
        "source": one.source,
        "statement_id": one.statement_id,
        "item": item,
        "channel" if one.measure == ATP else "location": one.place,
    }
    if one.lot:
        message["lot"] = one.lot
    message |= {
        "measure": one.measure,
        "as_of": time_text(one.as_of),
        "ours": one.ours,
        "theirs": one.theirs,
        "difference": one.difference,
        "cause": one.cause,
        "evidence": [
            {
                "topic": found.topic,
                "partition": found.partition,
                "offset": found.offset,
                "source": found.source,
                "event_id": found.event_id,
                **({"line_id": found.line_id} if found.line_id else {}),
            }
            for found in one.evidence
        ],
        "action": one.action or None,
        "state": one.state,
    }
    if one.decided_by:
        message["decided_by"] = one.decided_by
    if one.reason:
        message["reason"] = one.reason
    message["first_seen"] = time_text(one.first_seen)
    message["last_seen"] = time_text(one.last_seen)
    return orjson.dumps(message)


def status_json(
    source: str,
    statement_id: str,
    *,
    as_of: int | None,
    rows: int | None,
    counts: Mapping[str, int],
    causes: Mapping[str, Mapping[str, int]],
    units: Fraction,
    explained: Fraction,
    started: int | None,
    ended: int | None,
    verdict: str,
    reasons: list[str],
) -> bytes:
    """Give what is known of a statement. `counts`: seen, agreed and so on; `units` in base UoM."""
    return orjson.dumps(
        {
            "source": source,
            "statement_id": statement_id,
            "as_of": None if as_of is None else time_text(as_of),
            "rows": rows,
            **counts,
            "causes": causes,
            "units": decimal_text(units),
            "started": None if started is None else time_text(started),
            "ended": None if ended is None else time_text(ended),
            "verdict": verdict,
            "reasons": reasons,
            "explained_percent": explained_percent(units, explained),
        }
    )


def hold_event(item: str, location: str, quantity: int, moment: int, scale: int) -> bytes:
    """Give the stock_withheld that says how much is withheld from now on. Its id is of its moment: one a decision."""
    return orjson.dumps(
        {
            "event_id": "hold-" + hashlib.sha256(f"{item}:{location}:{moment}".encode()).hexdigest()[:32],
            "type": "stock_withheld",
            "source": OWN_SOURCE,
            "occurred_at": time_text(moment),
            "item": item,
            "location": location,
            "quantity": _said(quantity, scale),
            "reason": "variance",
        }
    )


def count_event(
    item: str, one: Standing, count: Count, event_id: str, occurred_at: int, reason: str, scale: int
) -> bytes:
    """Give the stock_counted that corrects a row. Its id is the variance's, so that a repeat is one."""
    message: dict[str, Any] = {
        "event_id": event_id,
        "type": "stock_counted",
        "source": OWN_SOURCE,
        "occurred_at": time_text(occurred_at),
        "item": item,
        "location": one.place,
    }
    if one.lot:
        message["lot"] = one.lot
    message["quantity"] = _said(count.quantity, scale)
    if count.quarantined is not None:
        message["quarantined"] = _said(count.quarantined, scale)
    message["reason"] = reason or f"statement {one.source} {one.statement_id}"
    return orjson.dumps(message)


def _said(quantity: int, scale: int) -> int | str:
    """Give a quantity as it is sent: in the base UoM, exact."""
    return quantity if not scale else decimal_text(Fraction(quantity, 10**scale))
