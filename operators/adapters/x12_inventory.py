"""X12 846, what a partner says it has: a statement as of the moment that it names, never a count."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from operators.adapters.account import Refused, Row
from operators.adapters.statement import say_statement
from operators.adapters.values import digest, make_id, number_of, plain
from operators.adapters.x12_parts import (
    Part,
    Reading,
    before,
    date_time,
    dtm,
    element,
    group_moment,
    item_of,
    lot_of,
    pairs_of,
    parts_of,
    party,
    refuse_all,
    uom_of,
)
from operators.adapters.x12_syntax import Segment
from schemas.codes import BAD_VALUE, MISSING_FIELD

_AS_OF = ("007", "366", "097")


def read_846(reading: Reading) -> None:
    """Inventory advice: a row of a statement for each line that measures something that is mapped."""
    parts = parts_of(reading.whole.segments, "LIN")
    try:
        identity, as_of, front = _head(reading)
        if not parts:
            raise Refused(MISSING_FIELD, "LIN: expected lines, got none")
    except Refused as refusal:
        if parts:
            refuse_all(reading, parts, "LIN", refusal)
        else:
            reading.account.refuse(reading.open(0, "BIA"), refusal.code, str(refusal))
        return
    rows, are_all_read = [], True
    common = party(front, reading.mapping.warehouse)
    for part in parts:
        number = reading.open(part.at, "LIN")
        try:
            row = _row(reading, part, number, common)
        except Refused as refusal:
            reading.account.refuse(number, refusal.code, str(refusal))
            are_all_read = False
        else:
            if row is None:
                reading.account.ignore(number, "no_measure")
            else:
                rows.append(row)
    # `all` says that what is missing is 0: only a list that was read whole can say so, and only of the places it names.
    is_all = reading.mapping.inventory_is_all and are_all_read
    places = sorted({row.key["location"] for row in rows}) if is_all else None
    say_statement(reading.account, reading.source, identity, as_of, rows, locations=places, is_all=is_all)


def _head(reading: Reading) -> tuple[str, str, Sequence[Segment]]:
    segment = reading.header("BIA", "LIN")
    front = before(reading.whole.segments, "LIN")
    own = element(segment, 3) or digest(repr(reading.whole.segments))
    identity = make_id("846", own, element(segment, 1) or "00")
    reading.account.document(identity)
    as_of = dtm(reading, front, _AS_OF)
    if not as_of and element(segment, 4):
        as_of = date_time(reading, element(segment, 4), element(segment, 5), "BIA04")
    as_of = as_of or group_moment(reading)
    if not as_of:
        raise Refused(MISSING_FIELD, "DTM*007: expected the moment of which it speaks, got nothing")
    return identity, as_of, front


def _row(reading: Reading, part: Part, number: int, common: str) -> Row | None:
    pairs = pairs_of(part.head, 2)
    measures: dict[str, Decimal] = {}
    units: set[str] = set()
    for segment in part.segments:
        measure = reading.mapping.measures.get(element(segment, 1)) if segment[0] == "QTY" else None
        if measure is None:
            continue
        amount = Decimal(number_of(element(segment, 2), "QTY02"))
        if amount < 0 and measure not in ("on_hand", "available"):
            raise Refused(BAD_VALUE, f"QTY02: expected {measure} of 0 or more, got {amount}")
        measures[measure] = measures.get(measure, Decimal(0)) + amount
        units.add(element(segment, 3).split(reading.whole.component)[0])
    if not measures:
        return None
    if len(units) > 1:
        raise Refused(BAD_VALUE, f"QTY03: expected one unit a line, got {' and '.join(sorted(units))}")
    theirs = party(part.segments, reading.mapping.warehouse) or common
    key = {
        "item": item_of(reading, pairs, "LIN03"),
        "location": reading.context.place(theirs, "N1*WH"),
        **uom_of(reading, units.pop(), "QTY03"),
    }
    if lot := lot_of(reading, pairs, part.segments):
        key["lot"] = lot
    return Row(number, key, {name: plain(amount) for name, amount in measures.items()})
