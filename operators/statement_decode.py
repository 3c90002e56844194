"""Turns one message of inventory.statements into what it states, or into a refusal.

The order of judgment, the codes and the sentences are those of events (operators/decode.py). What stands behind the
checks that only the item's record can make (unknown_item, unknown_uom, quantity_not_exact) travels with a row as its
verdict. A start and an end name no item: theirs is told here.

Rule 1: the fast path may say that a row is good and nothing else; `_judge` alone decides about the others.
Rule 2: a location or channel that is not known may be on its way: unless `final`, the message goes back to the caller.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from operators.decode import (
    SOURCES_MAX,
    CodeSets,
    DecoderConfig,
    RefusedError,
    Rights,
    Verdict,
    identified,
    not_allowed_type,
    rights_by_source,
    shaped,
    time_verdict,
)
from operators.rules.admission import is_in_time
from schemas import codes
from schemas.codes import match_code, parse_code, parse_time
from schemas.stated import Stated, StatedRow, read_row
from schemas.statements import MEASURES, STATEMENT_TYPES
from schemas.units import Origin, Refusal
from schemas.wire import ABSENT, SHALLOW_BYTES, are_ids

STOCK_STATED: Final = "stock_stated"
PROMISE_STATED: Final = "promise_stated"
STARTED: Final = "statement_started"
#: what a row that states on_hand alone says of the other measures
NOTHING_ELSE: Final = (None,) * (len(MEASURES) - 1)
#: A name that another module imports is an object, and this is a plain number once compiled.
_ABSENT = ABSENT


class StatementDecoder:
    """Reads messages of statements."""

    def __init__(self, config: DecoderConfig, known: CodeSets) -> None:
        self.config = config
        self.known = known
        self._unbound, self._named = rights_by_source(config)
        self._rights: dict[str, Rights] = {}
        #: the last as_of that was read, as text and in microseconds: rows of a statement share it
        self._said_at, self._as_of = "", 0

    def decode(self, origin: Origin, recorded_at: int, final: bool) -> Stated | Refusal | None:
        """Give what the message states, or why it cannot be used.

        None where it names a location or channel that is not known and not `final`: it may be on its way.
        """
        value = origin.value
        if value is not None and len(value) <= self.config.max_message_bytes:
            try:
                row = self._read(value, origin, recorded_at)
            except (msgspec.DecodeError, ValueError, RecursionError):
                row = None  # unusual or wrong: the judge tells which
            if row is not None:
                return row
        return self._judge(origin, recorded_at, final)

    def _rights_of(self, source: str) -> Rights:
        rights = self._rights.get(source)
        if rights is None:
            parse_code(source)
            if len(self._rights) >= SOURCES_MAX:
                self._rights.clear()
            rights = self._rights[source] = self._named.get(source, self._unbound)
        return rights

    def _read(self, value: bytes, origin: Origin, recorded_at: int) -> Stated | None:
        """Read a plain row that is good as it stands."""
        if not value.isascii():
            value.decode()  # msgspec passes over what it need not keep, also over broken UTF-8
        if len(value) >= SHALLOW_BYTES and value.count(b"{") + value.count(b"[") > codes.NESTING_MAX:
            return None
        row = read_row(value)
        if row.reversal or not are_ids(row.event_id + row.statement_id + row.correlation_id):
            return None
        if not match_code(row.item) or (row.lot and not match_code(row.lot)) or (row.uom and not match_code(row.uom)):
            return None
        rights = self._rights_of(row.source)
        if rights.may_send is not None and row.type not in rights.may_send:
            return None
        if row.occurred_at != self._said_at:
            self._as_of = parse_time(row.occurred_at)
            self._said_at = row.occurred_at
        as_of = self._as_of
        if not is_in_time(as_of, recorded_at, rights.window, self.config.max_clock_skew):
            return None
        if row.type == STOCK_STATED:
            place = row.location
            if place not in self.known.locations:
                return None
            if rights.locations is not None and place not in rights.locations:
                return None
            figures = _figures_of(row)
            if figures is None:
                return None
        elif row.type == PROMISE_STATED:
            place = row.channel
            if place not in self.known.channels or not 0 <= row.atp < _ABSENT:
                return None
            figures = (row.atp,)
        else:
            return None
        return Stated(
            row.type,
            row.source,
            row.statement_id,
            row.event_id,
            as_of,
            recorded_at,
            origin,
            row.item,
            place,
            row.lot if row.type == STOCK_STATED else "",
            row.uom,
            figures,
            correlation_id=row.correlation_id,
        )

    # --- the judge -----------------------------------------------------------------------------------------------

    def _judge(self, origin: Origin, recorded_at: int, final: bool) -> Stated | Refusal | None:
        """Decide about any message, in the order of events."""
        source, kind = "", ""
        try:
            message, kind = identified(origin, self.config.max_message_bytes, STATEMENT_TYPES)
            said = message.get("source")
            source = said if isinstance(said, str) and match_code(said) else ""
            return self._judge_named(origin, recorded_at, final, message, kind)
        except RefusedError as refused:
            refusal = refused.of(origin)
            if source:
                refusal.source, refusal.type = source, kind
            return refusal

    def _judge_named(
        self, origin: Origin, recorded_at: int, final: bool, message: dict[str, Any], kind: str
    ) -> Stated | None:
        said: Any = shaped(STATEMENT_TYPES[kind], message, kind)
        unknown = self._unknown(said)
        if unknown is not None:
            if not final:
                return None
            raise RefusedError(*unknown)
        rights = self._rights_of(said.source)
        verdict = (
            not_allowed_type(rights, kind, said.source)
            or _not_allowed_location(rights, said, kind)
            or time_verdict(rights, self.config.max_clock_skew, said.occurred_at, recorded_at)
        )
        item = getattr(said, "item", "")
        if verdict is not None and not item:
            raise RefusedError(*verdict)
        scope = getattr(said, "locations", None)
        return Stated(
            kind,
            said.source,
            said.statement_id,
            said.event_id,
            said.occurred_at,
            recorded_at,
            origin,
            item,
            str(getattr(said, "location", "") or getattr(said, "channel", "")),
            getattr(said, "lot", None) or "",
            said.uom or "",
            _figures(said, kind),
            verdict,
            None if scope is None else tuple(scope),
            getattr(said, "items", "") == "all",
            getattr(said, "rows", None),
            said.correlation_id or "",
        )

    def _unknown(self, said: Any) -> tuple[str, str] | None:
        """What of the codes that it names nobody knows (yet)."""
        location = getattr(said, "location", None)
        named = [("location", location)] if location else []
        named += [(f"locations[{number}]", code) for number, code in enumerate(getattr(said, "locations", None) or ())]
        for name, code in named:
            if code not in self.known.locations:
                return codes.UNKNOWN_LOCATION, f"{name}: expected a location of inventory.locations, got {code}"
        channel = getattr(said, "channel", None)
        if channel is not None and channel not in self.known.channels:
            return codes.UNKNOWN_CHANNEL, f"channel: expected a channel of inventory.channels, got {channel}"
        return None


def _figures_of(row: StatedRow) -> tuple[int | None, ...] | None:
    """Give what a row states; None where that is nothing, or below zero where it may not be. ABSENT is the most."""
    on_hand, available = row.on_hand, row.available
    others = (row.quarantined, row.hard_reserved, row.soft_allocated, row.in_transit, row.expected, row.withheld)
    least = min(others)
    if least < 0:
        return None
    if least == _ABSENT and available == _ABSENT:
        return None if on_hand == _ABSENT else (on_hand, *NOTHING_ELSE)
    return tuple([None if figure == _ABSENT else figure for figure in (on_hand, *others, available)])


def _figures(said: Any, kind: str) -> tuple[int | str | None, ...]:
    if kind == STOCK_STATED:
        return tuple(getattr(said, name) for name in MEASURES)
    return (said.atp,) if kind == PROMISE_STATED else ()


def _not_allowed_location(rights: Rights, said: Any, kind: str) -> Verdict | None:
    """A source speaks for its own locations: not for all of them at once, as a start of all items would."""
    if rights.locations is None:
        return None
    location = getattr(said, "location", None)
    if location and location not in rights.locations:
        return codes.NOT_ALLOWED, f"location: expected a location of source {said.source}, got {location}"
    if kind != STARTED:
        return None
    if said.locations is None:
        if said.items != "all":
            return None
        expected = f"those that source {said.source} may speak for, where items is all"
        return codes.NOT_ALLOWED, f"locations: expected {expected}, got nothing"
    for number, code in enumerate(said.locations):
        if code not in rights.locations:
            return codes.NOT_ALLOWED, f"locations[{number}]: expected a location of source {said.source}, got {code}"
    return None
