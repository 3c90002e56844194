"""What tells rows, statements and variances apart: keys within an item, and fingerprints among the shard's ids."""

from __future__ import annotations

from typing import Any

import msgspec

from operators.ids import RememberedIds, unit_fingerprint
from operators.rules.admission import CONFLICT, DUPLICATE
from schemas.reconciled import ATP, Judged, Standing
from schemas.state import Item
from schemas.variances import OWN_SOURCE, variance_key

STOCK_STATED, PROMISE_STATED = "stock_stated", "promise_stated"
#: between the names of a row of an open statement; no code or id holds it
SPACE = " "

#: A statement: its source, and its id.
Key = tuple[str, str]


def replaced(standing: Standing, **fields: Any) -> Standing:
    """Give a copy with other values for some fields."""
    return msgspec.structs.replace(standing, **fields)


def key_of(item: Item, standing: Standing) -> str:
    """Give the key under which a variance of an item stands."""
    return variance_key(standing.source, item.code, standing.place, standing.lot, standing.measure)


def judged_key(row: Judged) -> str:
    """Name a row of an open statement within its item."""
    kind = ATP if ATP in row.theirs else ""
    return SPACE.join((row.source, row.statement_id, row.place, row.lot, kind))


def fingerprint_of(source: str, statement_id: str, born: int, item: str, place: str, lot: str, kind: str) -> int:
    """60 bits of a row's identity, beside those of units."""
    return named_fingerprint(row_name(source, born), statement_id, item, place, lot, kind)


def row_name(source: str, born: int) -> str:
    """Give what the rows of a statement have in common."""
    return f"row {source} {born}"


def named_fingerprint(name: str, statement_id: str, item: str, place: str, lot: str, kind: str) -> int:
    """Give `fingerprint_of`, for whoever has many rows of a statement, from `row_name`."""
    measured = ATP if kind == PROMISE_STATED else ""
    return unit_fingerprint(name, statement_id, f"{place} {lot} {measured}", item)


def lots_marker(source: str, statement_id: str, born: int, item: str, place: str) -> int:
    """60 bits that say: the statement has a row with a lot of the item there."""
    return unit_fingerprint(lots_name_of(source, born), statement_id, place, item)


def lots_name_of(source: str, born: int) -> str:
    """Give what the markers of a statement's lots have in common."""
    return f"lots {source} {born}"


def anew_marker(source: str, statement_id: str, born: int, item: str, channel: str) -> int:
    """60 bits that say: a promise that agreed is not compared after all, and was taken off what agrees."""
    return unit_fingerprint(f"anew {source} {born}", statement_id, channel, item)


def is_known(ids: RememberedIds, identity: int) -> bool:
    """Is a fingerprint remembered, whatever was said with it?"""
    return ids.recognize(identity, 0) in (DUPLICATE, CONFLICT)


def is_corrected(ids: RememberedIds, item: Item, identity: str) -> bool:
    """Was the count that corrects a row applied? `identity`: the row's id, which its count has too."""
    return is_known(ids, unit_fingerprint(OWN_SOURCE, identity, "", item.code))
