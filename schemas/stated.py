"""What a message of a statement says once it is read: what decoding hands on, and how a plain row is read at once."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from schemas.codes import SCHEMA_VERSION
from schemas.units import Origin
from schemas.wire import ABSENT, Long, Short, Whole


class Stated(msgspec.Struct, array_like=True, gc=False):
    """One message of a statement. Times are UTC microseconds; an absent text is empty.

    `figures`: of a row of goods, what it states by the order of schemas.statements.MEASURES, of a promise its atp
    alone: as sent and not yet converted (an int, or the exact decimal as text), None where nothing is stated.
    `verdict` is a refusal that stands behind the checks of item, uom and quantity: (code, message).
    """

    #: statement_started | stock_stated | promise_stated | statement_ended
    type: str
    source: str
    statement_id: str
    event_id: str
    #: occurred_at: a row's own moment, a statement's by its start
    as_of: int
    #: the largest Kafka timestamp of the partition until then: what `late` goes by
    recorded_at: int
    origin: Origin
    item: str = ""
    #: the location, of a promise the channel
    place: str = ""
    lot: str = ""
    uom: str = ""
    figures: tuple[int | str | None, ...] = ()
    verdict: tuple[str, str] | None = None
    #: of a start: what it is about (None: everywhere), and whether what is not stated is 0
    locations: tuple[str, ...] | None = None
    is_all_items: bool = False
    #: of a start or an end: how many there are
    rows: int | None = None
    correlation_id: str = ""

    @property
    def is_row(self) -> bool:
        """Does it state figures?"""
        return bool(self.figures)


class StatedRow(msgspec.Struct, gc=False):
    """The plain shape of a row: less than the models accept, and never more (see schemas/wire.py)."""

    event_id: Long
    type: str
    source: Short
    occurred_at: str
    statement_id: Long
    item: Short
    location: Short = ""
    channel: Short = ""
    lot: Short = ""
    uom: Short = ""
    on_hand: Whole = ABSENT
    quarantined: Whole = ABSENT
    hard_reserved: Whole = ABSENT
    soft_allocated: Whole = ABSENT
    in_transit: Whole = ABSENT
    expected: Whole = ABSENT
    withheld: Whole = ABSENT
    available: Whole = ABSENT
    atp: Whole = ABSENT
    correlation_id: Long = ""
    reason: str = ""
    schema_version: Annotated[int, msgspec.Meta(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    reversal: bool = False


read_row: Final = msgspec.json.Decoder(StatedRow).decode
