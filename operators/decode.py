"""Turns one Kafka message into units that a shard can apply, or into refusals.

Order of judgment (contract section 3): size, JSON, object, version, type, fields and codes, what is known and what is
not, [item, uom and quantity: the shard], not_allowed, late, in_the_future. What comes behind the shard's checks
travels with the unit as its verdict, so that the first thing wrong is the one that is reported.

Rule 1: what is wrong with all of an event gives one refusal without line_id; a wrong line takes no other with it.
Rule 2: the fast path may say that a message is good and nothing else; `_judge` alone decides about the others.
Rule 3: a location or channel that is not known may be on its way: unless `final`, the message goes back to the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from operators.rules.admission import Windows, is_in_the_future, is_in_time, is_late, may_be_accepted_late
from operators.scan import IS_COMPILED, Event, Line, Scanner
from operators.shapes import FAST, FastType, fill_unit
from schemas import codes, wire
from schemas.codes import NESTING_MAX, SCHEMA_VERSION, is_id, match_code, mismatch, near_match, parse_time
from schemas.event_table import EVENTS, REVERSIBLE, EventSpec
from schemas.events import Shape, parse_version
from schemas.units import UNIT_FIELDS, EventType, Origin, Refusal, Unit, plain_unit, unit_name
from schemas.wire import SHALLOW_BYTES, OrderEvent, SingleEvent, are_ids, read_order, read_single

SECOND: Final = 1_000_000
#: Sources that no setting names share one rule; this many of their codes are remembered as well-formed.
SOURCES_MAX: Final = 10_000

Verdict = tuple[str, str]


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """Settings that decoding needs; durations in microseconds. A source that is not named is not bound."""

    #: full topic name -> warehouse | orders | supply
    topic_kinds: Mapping[str, str]
    max_message_bytes: int = 1_048_576
    max_clock_skew: int = 300 * SECOND
    dedup_window: int = 86_400 * SECOND
    source_windows: Mapping[str, int] = field(default_factory=dict)
    #: source -> event types it may send
    may_send: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: source -> locations it may name
    source_locations: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(slots=True)
class CodeSets:
    """The codes of locations and channels that an event may name. The owner may replace either at any time."""

    locations: Container[str]
    channels: Container[str]


class Rights:
    """What holds for one source."""

    __slots__ = ("locations", "may_send", "window")

    def __init__(
        self, window: int, may_send: frozenset[str] | None = None, locations: frozenset[str] | None = None
    ) -> None:
        self.window = window
        self.may_send = may_send
        self.locations = locations


def rights_by_source(config: DecoderConfig) -> tuple[Rights, dict[str, Rights]]:
    """Give what holds for sources that no setting names, and for each of the others."""
    windows = Windows(config.dedup_window, config.source_windows)
    named = {
        source: Rights(windows.of(source), config.may_send.get(source), config.source_locations.get(source))
        for source in {*config.source_windows, *config.may_send, *config.source_locations}
    }
    return Rights(windows.common), named


class Decoder:
    """Reads messages of the input topics."""

    def __init__(self, config: DecoderConfig, known: CodeSets) -> None:
        self.config = config
        self.known = known
        self._unbound, self._named = rights_by_source(config)
        self._rights: dict[str, Rights] = {}
        self._skew = config.max_clock_skew
        self._size_max = config.max_message_bytes
        self._scanner = Scanner()
        #: by topic: all that the fast path must know of each type
        self._fast_topics = {
            topic: (kind == "orders", {name: FAST[name] for name, spec in EVENTS.items() if spec.kind == kind})
            for topic, kind in config.topic_kinds.items()
        }

    def decode(self, origin: Origin, recorded_at: int, units: list[Unit], refusals: list[Refusal], final: bool) -> bool:
        """Append what the message says to `units` and what of it cannot be used to `refusals`.

        False, with nothing appended, where it names a location or channel that is not known and not `final`.
        """
        value = origin.value
        if value is not None and len(value) <= self._size_max:
            is_order, types = self._fast_topics[origin.topic]
            try:
                event = self._scanner.read(value) if IS_COMPILED else None
                if event is None:
                    event = read_closer(value, is_order)
                if event is None:
                    pass
                elif is_order:
                    if self._take_order(origin, event, recorded_at, units, types):
                        return True
                else:
                    unit = self._take_single(origin, event, recorded_at, types)
                    if unit is not None:
                        units.append(unit)
                        return True
            except (msgspec.DecodeError, ValueError, RecursionError):
                pass  # unusual or wrong: the judge tells which
        return self._judge(origin, recorded_at, units, refusals, final)

    def _name(self, refusals: list[Refusal], source: object, kind: str) -> None:
        """Say who is to blame, where a code of a source could be read."""
        if isinstance(source, str) and match_code(source):
            for refusal in refusals:
                refusal.source, refusal.type = source, kind

    def _rights_of(self, source: str) -> Rights:
        """The rights of a source, by its well-formed code."""
        rights = self._rights.get(source)
        if rights is None:
            codes.parse_code(source)
            if len(self._rights) >= SOURCES_MAX:
                self._rights.clear()
            rights = self._rights[source] = self._named.get(source, self._unbound)
        return rights

    # --- the fast path: units, or "look closer" ------------------------------------------------------------------

    def _take_single(self, origin: Origin, event: Event, recorded_at: int, types: dict[str, FastType]) -> Unit | None:
        fast = types.get(event.type)
        if fast is None or not event.item:
            return None
        if event.reversal and event.type not in REVERSIBLE:
            return None
        rights = self._rights.get(event.source) or self._rights_of(event.source)
        locations = self.known.locations
        if rights is not self._unbound and not _may(rights, event.type, event.location):
            return None
        if event.location not in locations and (event.location or not fast.anywhere):
            return None
        if not is_in_time(event.occurred_at, recorded_at, rights.window, self._skew):
            return None
        unit = plain_unit(
            fast.type, event.item, event.source, event.event_id, "", event.occurred_at, recorded_at, origin
        )
        unit.location = event.location
        unit.uom = event.uom
        unit.correlation_id = event.correlation_id
        unit.reversal = event.reversal
        if fast.has_lot:
            unit.lot = event.lot
        return unit if fill_unit(fast, unit, event, locations) else None

    def _take_order(
        self, origin: Origin, event: Event, recorded_at: int, units: list[Unit], types: dict[str, FastType]
    ) -> bool:
        fast = types.get(event.type)
        lines = event.lines
        if fast is None or lines is None or not event.order_id:
            return False
        channel = event.channel
        known_locations = self.known.locations
        is_placed = fast.is_placed
        if channel not in self.known.channels and (channel or is_placed):
            return False
        if event.reversal and event.type not in REVERSIBLE:
            return False
        rights = self._rights.get(event.source) or self._rights_of(event.source)
        if rights.may_send is not None and event.type not in rights.may_send:
            return False
        if not is_in_time(event.occurred_at, recorded_at, rights.window, self._skew):
            return False
        expires_at = parse_time(event.expires_at) if is_placed and event.expires_at else None
        requested_at = parse_time(event.requested_at) if is_placed and event.requested_at else None
        least = 0 if is_placed else 1
        parts = []
        for line in lines:
            location = line.location
            if location not in known_locations and (location or fast.needs_location):
                return False
            if location and rights.locations is not None and location not in rights.locations:
                return False
            if fast.needs_quantity and not least <= line.quantity < ABSENT:
                return False
            unit = plain_unit(
                fast.type, line.item, event.source, event.event_id, line.line_id, event.occurred_at, recorded_at, origin
            )
            if fast.needs_quantity:
                unit.quantity = line.quantity
            elif line.quantity != ABSENT and fast.type == ORDER_CANCELLED:
                if line.quantity < 1:
                    return False
                unit.quantity = line.quantity
            unit.reversal = event.reversal
            unit.location = location
            unit.uom = line.uom or event.uom
            unit.order_id = event.order_id
            unit.channel = channel
            unit.correlation_id = event.correlation_id
            if is_placed:
                unit.expires_at = parse_time(line.expires_at) if line.expires_at else expires_at
                unit.requested_at = parse_time(line.requested_at) if line.requested_at else requested_at
            parts.append(unit)
        origin.lines = len(lines)
        units += parts
        return True

    # --- the judge -----------------------------------------------------------------------------------------------

    def _judge(self, origin: Origin, recorded_at: int, units: list[Unit], refusals: list[Refusal], final: bool) -> bool:
        """Decide about any message, in the order of the module's first lines."""
        try:
            own = self._fast_topics[origin.topic][1]
            message, kind = identified(origin, self._size_max, own)
        except RefusedError as refused:
            refusals.append(refused.of(origin))
            return True
        spec = EVENTS[kind]
        before = len(refusals)
        is_judged = self._judge_named(origin, recorded_at, units, refusals, final, message, spec)
        self._name(refusals[before:], message.get("source"), spec.name)
        return is_judged

    def _judge_named(
        self,
        origin: Origin,
        recorded_at: int,
        units: list[Unit],
        refusals: list[Refusal],
        final: bool,
        message: dict[str, Any],
        spec: EventSpec,
    ) -> bool:
        try:
            head: Any = shaped(spec.head, message, spec.name)
        except RefusedError as refused:
            refusals.append(refused.of(origin))
            return True
        channel = getattr(head, "channel", None)
        if channel is not None and channel not in self.known.channels:
            if not final:
                return False
            got = f"channel: expected a channel of inventory.channels, got {channel}"
            refusals.append(Refusal(origin, codes.UNKNOWN_CHANNEL, got))
            return True
        rights = self._rights_of(head.source)
        of_type = not_allowed_type(rights, spec.name, head.source)
        of_time = time_verdict(rights, self._skew, head.occurred_at, recorded_at)
        # A replay may bring what is late, unit by unit and proved new.
        is_waivable = of_time is not None and of_time[0] == codes.LATE and may_be_accepted_late(spec.name)
        waived = origin.late_accepted if is_waivable else ()
        of_event = of_type or (None if waived else of_time)
        if of_event is not None and spec.is_order and len(head.lines) > 1:
            refusals.append(Refusal(origin, *of_event))
            return True
        parts, refused_lines = _parts(head, spec)
        origin.lines = len(parts) + len(refused_lines)
        ready: list[Unit] = []
        for name, part in parts:
            unknown = self._unknown_location(part, name)
            if unknown is not None:
                if not final:
                    return False
                named = part.get("line_id") if spec.is_order else None
                refused_lines.append(RefusedError(codes.UNKNOWN_LOCATION, unknown, named))
                continue
            unit = Unit(spec.number, source=head.source, event_id=head.event_id, occurred_at=head.occurred_at,
                        recorded_at=recorded_at, origin=origin, correlation_id=head.correlation_id or "",
                        **{"line_id": "", **part})  # fmt: skip
            is_waived = bool(waived) and unit_name(unit.line_id, unit.item) in waived
            unit.verdict = (
                of_type
                or _not_allowed_location(rights, part, name, head.source, spec)
                or (None if is_waived else of_time)
            )
            ready.append(unit)
        units += ready
        refusals += [refused.of(origin) for refused in refused_lines]
        return True

    def _unknown_location(self, part: Mapping[str, Any], name: str) -> str | None:
        for place in _PLACES:
            location = part.get(place)
            if location and location not in self.known.locations:
                return f"{name}{place}: expected a location of inventory.locations, got {location}"
        return None


def identified(origin: Origin, size_max: int, own: Collection[str]) -> tuple[dict[str, Any], str]:
    """Give a message's object and its type, one of its topic's own; RefusedError says what is wrong with all of it."""
    value = origin.value
    if value is None:
        raise RefusedError(codes.NOT_JSON, f"value: {mismatch('a JSON object', None)}")
    if len(value) > size_max:
        raise RefusedError(codes.TOO_LARGE, f"value: expected at most {size_max} bytes, got {len(value)}")
    try:
        message = codes.parse_json(value)
    except ValueError as error:
        raise RefusedError(codes.NOT_JSON, f"value: {error}") from None
    if not isinstance(message, dict):
        raise RefusedError(codes.NOT_AN_OBJECT, f"value: {mismatch('an object', message)}")
    version = message.get("schema_version")
    if version is not None:
        try:
            number = parse_version(version)
        except ValueError as error:
            raise RefusedError(codes.BAD_VALUE, f"schema_version: {error}") from None
        if number > SCHEMA_VERSION:
            wrong = mismatch(f"at most {SCHEMA_VERSION}", version)
            raise RefusedError(codes.UNSUPPORTED_VERSION, f"schema_version: {wrong}")
    name = message.get("type")
    if name is None:
        raise RefusedError(codes.MISSING_FIELD, f"type: {mismatch('a type of event', None)}")
    if not isinstance(name, str) or name not in own:
        hint = near_match(name[:64], own) if isinstance(name, str) else ""
        wrong = mismatch(f"a type of {origin.topic} ({', '.join(own)})", name)
        raise RefusedError(codes.UNKNOWN_TYPE, f"type: {wrong}{hint}")
    return message, name


def time_verdict(rights: Rights, skew: int, occurred_at: int, recorded_at: int) -> Verdict | None:
    """Say why a time is not accepted, if so."""
    if is_late(occurred_at, recorded_at, rights.window):
        limit = f"at most {rights.window / SECOND:.15g} s before recorded_at {_iso(recorded_at)}"
        return codes.LATE, f"occurred_at: expected {limit}, got {_iso(occurred_at)}"
    if is_in_the_future(occurred_at, recorded_at, skew):
        limit = f"at most {skew / SECOND:.15g} s after recorded_at {_iso(recorded_at)}"
        return codes.IN_THE_FUTURE, f"occurred_at: expected {limit}, got {_iso(occurred_at)}"
    return None


def read_closer(value: bytes, is_order: bool) -> Event | None:
    """Read what the scanner would not: escapes, other alphabets, other ways to write a time.

    None, or an error of msgspec or ValueError, where the judge has to look.
    """
    if not value.isascii():
        value.decode()  # msgspec passes over what it need not keep, also over broken UTF-8
    if is_order:
        order = read_order(value)
        # Each line is an object, and with the event's two brackets that is all the nesting of an ordinary message.
        brackets = value.count(b"{") + value.count(b"[")
        return _order_of(order) if brackets <= NESTING_MAX or brackets == len(order.lines) + 2 else None
    if len(value) < SHALLOW_BYTES or value.count(b"{") + value.count(b"[") <= NESTING_MAX:
        return _single_of(read_single(value))
    return None


def _single_of(said: SingleEvent) -> Event | None:
    ids = said.event_id + said.correlation_id + said.order_id + said.line_id + said.transfer_id + said.receipt_id
    if not are_ids(ids + said.part_of) or not match_code(said.item):
        return None
    if (said.uom and not match_code(said.uom)) or (said.lot and not match_code(said.lot)):
        return None
    event = Event()
    event.event_id = said.event_id
    event.type = said.type
    event.source = said.source
    event.occurred_at = parse_time(said.occurred_at)
    event.item = said.item
    event.location = said.location
    event.quantity = said.quantity
    event.uom = said.uom
    event.lot = said.lot
    event.status = said.status
    event.order_id = said.order_id
    event.line_id = said.line_id
    event.transfer_id = said.transfer_id
    event.receipt_id = said.receipt_id
    event.to_location = said.to_location
    event.eta = said.eta
    event.quarantined = said.quarantined
    event.from_status = said.from_status
    event.to_status = said.to_status
    event.reversal = said.reversal
    event.part_of = said.part_of
    event.best_before = said.best_before
    event.correlation_id = said.correlation_id
    return event


def _order_of(said: OrderEvent) -> Event | None:
    if not are_ids(said.event_id + said.order_id + said.correlation_id) or (said.uom and not match_code(said.uom)):
        return None
    event = Event()
    event.event_id = said.event_id
    event.type = said.type
    event.source = said.source
    event.occurred_at = parse_time(said.occurred_at)
    event.order_id = said.order_id
    event.channel = said.channel
    event.uom = said.uom
    event.expires_at = said.expires_at
    event.requested_at = said.requested_at
    event.reversal = said.reversal
    event.correlation_id = said.correlation_id
    lines = []
    for told in said.lines:
        if not match_code(told.item) or not are_ids(told.line_id) or (told.uom and not match_code(told.uom)):
            return None
        if told.reversal:
            return None
        line = Line()
        line.line_id = told.line_id
        line.item = told.item
        line.quantity = told.quantity
        line.location = told.location
        line.uom = told.uom
        line.expires_at = told.expires_at
        line.requested_at = told.requested_at
        lines.append(line)
    event.lines = lines
    return event


class RefusedError(Exception):
    """A refusal on its way out: whoever decodes a message turns it into one."""

    def __init__(self, code: str, message: str, line_id: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.line_id = code, message, line_id

    def of(self, origin: Origin) -> Refusal:
        return Refusal(origin, self.code, self.message, self.line_id)


def shaped(shape: type[Shape], value: object, kind: str, name: str = "", line_id: str | None = None) -> Shape:
    """Give the value read as that shape, or the first thing that is wrong with it; `kind` is the type of event."""
    if not isinstance(value, dict):
        raise RefusedError(codes.BAD_VALUE, f"{name[:-1]}: {mismatch('an object', value)}", line_id)
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
    where = name + "".join(f"{part}" for part in first["loc"])
    if first["type"] == "missing" and not first["loc"]:
        raise RefusedError(codes.MISSING_FIELD, f"{name}{first['msg']}", line_id)  # one of several is required
    if first["type"] == "missing":
        wrong = mismatch(f"a value ({kind} requires it)", None)
        raise RefusedError(codes.MISSING_FIELD, f"{where}: {wrong}", line_id)
    told = str(first["ctx"]["error"])
    # A contradiction is told of the whole object and names its field itself.
    raise RefusedError(codes.BAD_VALUE, f"{where}: {told}" if first["loc"] else f"{name}{told}", line_id)


def _parts(head: Any, spec: EventSpec) -> tuple[list[tuple[str, dict[str, Any]]], list[RefusedError]]:
    """Field values by unit, each with what to put in front of a field's name, and the lines that have no shape."""
    if spec.line is None:
        return [("", _taken(head, spec))], []
    inherited = {
        "order_id": head.order_id,
        "channel": head.channel or "",
        "uom": head.uom or "",
        "expires_at": getattr(head, "expires_at", None),
        "requested_at": getattr(head, "requested_at", None),
        "reversal": head.reversal,
    }
    parts, refused = [], []
    for number, raw in enumerate(head.lines):
        name = f"lines[{number}]."
        line_id = raw.get("line_id") if isinstance(raw, dict) else None
        usable = line_id if isinstance(line_id, str) and is_id(line_id) else None
        try:
            line = shaped(spec.line, raw, spec.name, name, usable)
        except RefusedError as error:
            refused.append(error)
        else:
            parts.append((name, {**inherited, **_taken(line, spec)}))
    return parts, refused


def _taken(shape: Any, spec: EventSpec) -> dict[str, Any]:
    taken = {name: getattr(shape, name) for name in _UNIT_FIELDS[spec.number] if getattr(shape, name) is not None}
    if spec.number is EventType.STOCK_STATUS_CHANGED:
        taken["status"] = shape.to_status
    return taken


def not_allowed_type(rights: Rights, kind: str, source: str) -> Verdict | None:
    """Say why a source may not send the type, if so."""
    if rights.may_send is None or kind in rights.may_send:
        return None
    allowed = ", ".join(sorted(rights.may_send)) or "nothing"
    return codes.NOT_ALLOWED, f"type: expected what source {source} may send ({allowed}), got {kind}"


def _not_allowed_location(
    rights: Rights, part: Mapping[str, Any], name: str, source: str, spec: EventSpec
) -> Verdict | None:
    """A source speaks for its own locations: not for where its goods go to, and not for all locations at once."""
    if rights.locations is None:
        return None
    location = part.get("location")
    if location and location not in rights.locations:
        return codes.NOT_ALLOWED, f"{name}location: expected a location of source {source}, got {location}"
    if spec.number is EventType.LOT_DATED:
        expected = f"a type that source {source} may say of its own locations"
        return codes.NOT_ALLOWED, f"type: expected {expected}, got {spec.name}, which is of all of them"
    if not location and part.get("lot"):
        return codes.NOT_ALLOWED, f"{name}location: expected one that source {source} may speak for, got nothing"
    return None


def _iso(instant: int) -> str:
    return f"{(datetime(1970, 1, 1) + timedelta(microseconds=instant)).isoformat()}Z"


ORDER_CANCELLED = int(EventType.ORDER_CANCELLED)
#: a plain number once compiled, as names that are imported are not
ABSENT = wire.ABSENT
_PLACES = ("location", "to_location")
#: What a unit takes over by name from the event's model, or for orders from the line's: there a reversal is no field.
_UNIT_FIELDS = {
    spec.number: tuple(
        name
        for name in UNIT_FIELDS
        if name in (spec.line or spec.model).model_fields
        and name not in ("type", "source", "event_id", "occurred_at", "correlation_id")
        and not (spec.is_order and name == "reversal")
    )
    for spec in EVENTS.values()
}


def _may(rights: Rights, name: str, location: str) -> bool:
    """Of the fast path, stricter than the verdicts: a single event of a bound source must name one of its locations."""
    if rights.may_send is not None and name not in rights.may_send:
        return False
    return rights.locations is None or location in rights.locations
