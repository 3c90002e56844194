"""What all EDIFACT messages share: one being read, its parties, references and dates, the item and lot of a line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from operators.adapters.account import Account, Refused
from operators.adapters.context import Context
from operators.adapters.edifact_mapping import EdifactMapping
from operators.adapters.edifact_syntax import MessageText, Segment
from operators.adapters.values import moment
from schemas.codes import BAD_VALUE, MISSING_FIELD, show

_digits = re.compile(r"[0-9]+").fullmatch
_zone = re.compile(r"([+-])?([0-9]{2})([0-9]{2})?").fullmatch


@dataclass(slots=True)
class Reading:
    """One message on its way into an account."""

    whole: MessageText
    context: Context
    account: Account
    mapping: EdifactMapping
    items: dict[tuple[tuple[str, str], ...], str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Whose word it is."""
        return self.context.source

    def open(self, index: int, tag: str) -> int:
        """Open a line at the message's segment `index` (from 0); its place is `reference:segment:tag`."""
        return self.account.line(f"{self.whole.reference}:{self.whole.first + 1 + index}:{tag}")

    def channel(self) -> str:
        """Whose orders they are: the source's channel, else the partner that the interchange names, else the source."""
        if self.context.channel is not None:
            return self.context.channel
        return self.context.ours("channel", self.whole.sender or self.source, "UNB02")


class Part(NamedTuple):
    """A line of a message: its LIN and what follows it, up to the next."""

    at: int
    segments: Sequence[Segment]

    @property
    def head(self) -> Segment:
        """Its LIN."""
        return self.segments[0]


def value(segment: Segment, element: int, component: int = 1) -> str:
    """A component of an element, both from 1; empty if it is not there."""
    if element < len(segment) and component <= len(segment[element]):
        return segment[element][component - 1].strip()
    return ""


def parts_of(segments: Sequence[Segment]) -> list[Part]:
    """Cut the message at each LIN; CPS and UNS end a line."""
    parts: list[Part] = []
    start = -1
    for index, segment in enumerate(segments):
        tag = segment[0][0]
        if tag not in ("LIN", "CPS", "UNS"):
            continue
        if start >= 0:
            parts.append(Part(start, segments[start:index]))
        start = index if tag == "LIN" else -1
    if start >= 0:
        parts.append(Part(start, segments[start:]))
    return parts


def before(segments: Sequence[Segment]) -> Sequence[Segment]:
    """The head of a message: what stands before its first line."""
    end = next((index for index, segment in enumerate(segments) if segment[0][0] == "LIN"), len(segments))
    return segments[:end]


def header(reading: Reading) -> Segment:
    """BGM; Refused without one, or without a number in it."""
    for segment in reading.whole.segments:
        if segment[0][0] == "BGM":
            if not value(segment, 2):
                raise Refused(MISSING_FIELD, "BGM02: expected the document's number, got nothing")
            return segment
        if segment[0][0] == "LIN":
            break
    raise Refused(MISSING_FIELD, f"BGM: expected this segment in {reading.whole.kind}, got none")


def party(segments: Iterable[Segment], qualifiers: Sequence[str]) -> str:
    """The id that NAD gives a party (its name without one); the first qualifier that is there wins."""
    found: dict[str, str] = {}
    for segment in segments:
        if segment[0][0] == "NAD":
            found.setdefault(value(segment, 1), value(segment, 2) or value(segment, 3) or value(segment, 4))
    return next((found[one] for one in qualifiers if found.get(one)), "")


def reference(segments: Iterable[Segment], qualifiers: Sequence[str]) -> str:
    """The number that RFF gives under the first of these qualifiers that is there."""
    found: dict[str, str] = {}
    for segment in segments:
        if segment[0][0] == "RFF":
            found.setdefault(value(segment, 1, 1), value(segment, 1, 2))
    return next((found[one] for one in qualifiers if found.get(one)), "")


def quantities(segments: Iterable[Segment]) -> dict[str, tuple[str, str]]:
    """QTY by its qualifier: (number, unit); the first of a qualifier counts."""
    found: dict[str, tuple[str, str]] = {}
    for segment in segments:
        if segment[0][0] == "QTY":
            found.setdefault(value(segment, 1, 1), (value(segment, 1, 2), value(segment, 1, 3)))
    return found


def ids_of(part: Part) -> tuple[tuple[str, str], ...]:
    """(qualifier, number) of LIN and PIA."""
    ids = [(value(part.head, 3, 2), value(part.head, 3, 1))]
    for segment in part.segments:
        if segment[0][0] == "PIA":
            ids += [(value(segment, at, 2), value(segment, at, 1)) for at in range(2, len(segment))]
    return tuple(pair for pair in ids if pair[1])


def item_of(reading: Reading, ids: tuple[tuple[str, str], ...]) -> str:
    """The item that a line's numbers name."""
    known = reading.items.get(ids)
    if known is not None:
        return known
    if not ids:
        raise Refused(MISSING_FIELD, "LIN03: expected an item's number there or in PIA, got nothing")
    by_qualifier = dict(reversed(ids))
    ordered = [by_qualifier[one] for one in reading.mapping.item_qualifiers if one in by_qualifier]
    ordered += [number for _, number in ids if number not in ordered]
    theirs = next((one for one in ordered if reading.context.has("item", one)), ordered[0])
    ours = reading.items[ids] = reading.context.ours("item", theirs, "LIN03")
    return ours


def lot_of(reading: Reading, segments: Iterable[Segment]) -> str:
    """The lot that a line names, or nothing."""
    theirs = reference(segments, reading.mapping.lot_qualifiers)
    return reading.context.ours("lot", theirs, "RFF+BT") if theirs else ""


def uom_of(reading: Reading, theirs: str) -> dict[str, str]:
    """The unit of measure as a field, or no field."""
    return {"uom": reading.context.ours("uom", theirs, "QTY")} if theirs else {}


def dtm(reading: Reading, segments: Iterable[Segment], qualifiers: Sequence[str]) -> str:
    """The moment of the first DTM with one of these qualifiers, in their order; nothing if there is none."""
    found: dict[str, Segment] = {}
    for segment in segments:
        if segment[0][0] == "DTM":
            found.setdefault(value(segment, 1, 1), segment)
    for qualifier in qualifiers:
        if qualifier in found and value(found[qualifier], 1, 2):
            return _moment(reading, found[qualifier], f"DTM+{qualifier}")
    return ""


def _moment(reading: Reading, segment: Segment, what: str) -> str:
    text, form = value(segment, 1, 2), value(segment, 1, 3)
    date, time, zone = text[:8], text[8:], ""
    if form in ("101", "201", "202"):
        date, time = ("20" if text < "50" else "19") + text[:6], text[6:]
    elif form in ("303", "304"):
        length = 4 if form == "303" else 6
        time, zone = text[8 : 8 + length], text[8 + length :]
    elif form not in ("102", "203", "204", ""):
        raise Refused(BAD_VALUE, f"{what}: expected a date of form 102, 203, 204 or 303, got {show(form)}")
    if not (_digits(date) and len(date) == 8):
        raise Refused(BAD_VALUE, f"{what}: expected a date as CCYYMMDD, got {show(text)}")
    offset = None
    if (found := _zone(zone)) is not None:
        seconds = int(found[2]) * 3600 + int(found[3] or 0) * 60
        offset = -seconds if found[1] == "-" else seconds
    elif zone == "UTC":
        offset = 0
    day = int(date[:4]), int(date[4:6]), int(date[6:])
    return moment(reading.context, what, *day, _time_us(time, what) if time else None, offset)


def _time_us(time: str, what: str) -> int:
    if not (_digits(time) and len(time) in (4, 6)):
        raise Refused(BAD_VALUE, f"{what}: expected a time as HHMM or HHMMSS, got {show(time)}")
    hours, minutes, seconds = int(time[:2]), int(time[2:4]), int(time[4:6] or 0)
    if hours > 23 or minutes > 59 or seconds > 59:
        raise Refused(BAD_VALUE, f"{what}: expected a time of the day, got {show(time)}")
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000


def needed(text: str, what: str, expected: str) -> str:
    """The text; Refused if it is empty."""
    if not text:
        raise Refused(MISSING_FIELD, f"{what}: expected {expected}, got nothing")
    return text


def each_line(reading: Reading, parts: Sequence[Part], read: Callable[[int, Part], Any]) -> list[tuple[int, Any]]:
    """Open a line a part and read it (by its place among the parts); what cannot be read is refused and left out."""
    lines = []
    for place, part in enumerate(parts):
        number = reading.open(part.at, "LIN")
        try:
            lines.append((number, read(place, part)))
        except Refused as refusal:
            reading.account.refuse(number, refusal.code, str(refusal))
    return lines


def refuse_all(reading: Reading, parts: Sequence[Part], refusal: Refused) -> None:
    """The same is wrong with all lines: with their head; a message without lines is one."""
    for part in parts:
        reading.account.refuse(reading.open(part.at, "LIN"), refusal.code, str(refusal))
    if not parts:
        reading.account.refuse(reading.open(-1, "UNH"), refusal.code, str(refusal))
