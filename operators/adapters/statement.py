"""Rows of a document as a statement (contract section 9): a start, each item's place once, an end that counts them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from operators.adapters.account import Account, Row
from operators.adapters.values import plain, sub_id
from schemas.codes import BAD_VALUE


def say_statement(
    account: Account,
    source: str,
    statement_id: str,
    as_of: str,
    rows: Iterable[Row],
    *,
    locations: list[str] | None = None,
    is_all: bool = False,
) -> None:
    """Say the rows. Lines about the same item, place and lot are one row: their measures add up, for so many are there.

    `is_all`: the document has every item of its locations. The caller may say so only where the mapping does and no
    line was refused. Without a row nothing is said: an empty document never means zero.
    """
    together: dict[tuple[str, ...], Row] = {}
    of_row: dict[tuple[str, ...], list[int]] = {}
    for row in rows:
        name = tuple(row.key.get(part, "") for part in ("item", "location", "channel", "lot"))
        first = together.get(name)
        if first is None:
            together[name] = row
            of_row[name] = [row.line]
        elif first.key != row.key:
            account.refuse(
                row.line, BAD_VALUE, f"uom: expected {first.key.get('uom')} as before, got {row.key.get('uom')}"
            )
            is_all = False
        else:
            together[name] = Row(first.line, first.key, _sum(first.measures, row.measures))
            of_row[name].append(row.line)
    if not together:
        return
    head: dict[str, Any] = {"source": source, "occurred_at": as_of, "statement_id": statement_id}
    start = {**head, "event_id": sub_id(statement_id, "start"), "type": "statement_started", "rows": len(together)}
    if locations is not None:
        start["locations"] = locations
    if is_all:
        start["items"] = "all"
    account.say(start)
    for name, row in together.items():
        kind = "promise_stated" if "channel" in row.key else "stock_stated"
        body = {**head, "event_id": sub_id(statement_id, "row", *name), "type": kind, **row.key, **row.measures}
        account.say(body, *of_row[name])
    end = {**head, "event_id": sub_id(statement_id, "end"), "type": "statement_ended", "rows": len(together)}
    account.say(end)


def _sum(left: dict[str, int | str], right: dict[str, int | str]) -> dict[str, int | str]:
    summed = dict(left)
    for name, number in right.items():
        summed[name] = plain(Decimal(summed[name]) + Decimal(number)) if name in summed else number
    return summed
