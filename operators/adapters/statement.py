"""Rows of a document as a statement (contract section 9): a start, each item's place once, an end that counts them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from operators.adapters.account import Account, Fact, Row
from operators.adapters.values import plain, sub_id
from schemas.codes import BAD_VALUE


class FilePart(NamedTuple):
    """Which part of a file that was cut for its size; `document` is the whole file's SHA-256."""

    document: str
    part: int
    parts: int


def start_of(head: dict[str, Any], rows: int, locations: list[str] | None, is_all: bool) -> dict[str, Any]:
    """Begin a statement. `head`: source, statement_id, occurred_at."""
    start = {**head, "event_id": sub_id(head["statement_id"], "start"), "type": "statement_started", "rows": rows}
    if locations is not None:
        start["locations"] = locations
    if is_all:
        start["items"] = "all"
    return start


def end_of(head: dict[str, Any], rows: int) -> dict[str, Any]:
    """End a statement of so many rows."""
    return {**head, "event_id": sub_id(head["statement_id"], "end"), "type": "statement_ended", "rows": rows}


def say_part(
    account: Account,
    part: FilePart,
    head: dict[str, Any] | None,
    rows: int,
    locations: list[str] | None,
    is_all: bool,
) -> None:
    """Have a part of a file counted; its last one ends the statement (`part_memory`)."""
    data = {
        "part": part.part,
        "parts": part.parts,
        "rows": rows,
        "is_all": is_all,
        "locations": locations,
        "head": head,
    }
    account.remember(Fact("file_part", part.document, f"{part.part:09d}", part.document, data, ()))


def say_statement(
    account: Account,
    source: str,
    statement_id: str,
    as_of: str,
    rows: Iterable[Row],
    *,
    locations: list[str] | None = None,
    is_all: bool = False,
    part: FilePart | None = None,
) -> None:
    """Say the rows. Lines about the same item, place and lot are one row: their measures add up, for so many are there.

    `is_all`: the document has every item of its locations. The caller may say so only where the mapping does and no
    line was refused. Without a row nothing is said: an empty document never means zero. Of a `part` of a file the rows
    alone are said here; what has the same name in two parts cannot be added up, and the statement contradicts itself.
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
    head: dict[str, Any] = {"source": source, "occurred_at": as_of, "statement_id": statement_id}
    if part is None and together:
        account.say(start_of(head, len(together), locations, is_all))
    for name, row in together.items():
        kind = "promise_stated" if "channel" in row.key else "stock_stated"
        body = {**head, "event_id": sub_id(statement_id, "row", *name), "type": kind, **row.key, **row.measures}
        account.say(body, *of_row[name])
    if part is not None:
        say_part(account, part, head if together else None, len(together), locations, is_all)
    elif together:
        account.say(end_of(head, len(together)))


def _sum(left: dict[str, int | str], right: dict[str, int | str]) -> dict[str, int | str]:
    summed = dict(left)
    for name, number in right.items():
        summed[name] = plain(Decimal(summed[name]) + Decimal(number)) if name in summed else number
    return summed
