"""The fast shapes: what a plainly good message looks like, read in one pass of compiled code.

These accept less than schemas.events on purpose, and never more: no nulls, no fractions, no numbers as text. Whoever
reads with them treats a failure as "look closer", never as a verdict. An absent text is empty; one that was sent
empty fails, because the models would refuse it.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from schemas.codes import ID_LENGTH_MAX, LINES_MAX, NESTING_MAX, QUANTITY_LIMIT, SCHEMA_VERSION

Short = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Long = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_LENGTH_MAX)]
Whole = Annotated[int, msgspec.Meta(gt=-QUANTITY_LIMIT, lt=QUANTITY_LIMIT)]
#: A sign that no quantity was sent, outside the range of Whole: one comparison tells, where None would cost a union.
ABSENT: Final = QUANTITY_LIMIT
#: What is shorter and yet has all that every event needs (over 80 bytes) has no room for NESTING_MAX pairs of brackets.
#: Counting them would take a tenth of the time of a message of the usual 150 to 250 bytes.
SHALLOW_BYTES: Final = 2 * NESTING_MAX + 80


class SingleEvent(msgspec.Struct, gc=False):
    """A warehouse or supply event."""

    event_id: Long
    type: str
    source: Short
    occurred_at: str
    item: Short
    location: Short = ""
    quantity: Whole = ABSENT
    uom: Short = ""
    lot: Short = ""
    status: Short = ""
    order_id: Long = ""
    line_id: Long = ""
    transfer_id: Long = ""
    receipt_id: Long = ""
    to_location: Short = ""
    eta: Short = ""
    quarantined: Whole = ABSENT
    from_status: Short = ""
    to_status: Short = ""
    correlation_id: Long = ""
    reason: str = ""
    schema_version: Annotated[int, msgspec.Meta(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    reversal: bool = False
    part_of: Long = ""
    best_before: Short = ""


class Line(msgspec.Struct, gc=False):
    """A line of an order event."""

    line_id: Long
    item: Short
    quantity: Whole = ABSENT
    location: Short = ""
    uom: Short = ""
    expires_at: Short = ""
    requested_at: Short = ""
    reversal: bool = False


class OrderEvent(msgspec.Struct, gc=False):
    """An event of inventory.orders."""

    event_id: Long
    type: str
    source: Short
    occurred_at: str
    order_id: Long
    lines: Annotated[list[Line], msgspec.Meta(min_length=1, max_length=LINES_MAX)]
    channel: Short = ""
    uom: Short = ""
    expires_at: Short = ""
    requested_at: Short = ""
    correlation_id: Long = ""
    reason: str = ""
    schema_version: Annotated[int, msgspec.Meta(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    reversal: bool = False


read_single: Final = msgspec.json.Decoder(SingleEvent).decode
read_order: Final = msgspec.json.Decoder(OrderEvent).decode


def are_ids(joined: str) -> bool:
    """Of several ids in a row at once; their lengths were checked when they were read."""
    return joined.isascii() and joined.isprintable() and " " not in joined
