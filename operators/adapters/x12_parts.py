"""What all X12 documents share: a set being read, its parties and dates, the item and lot of a line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from operators.adapters.account import Account, Refused
from operators.adapters.context import Context
from operators.adapters.values import moment
from operators.adapters.x12_mapping import X12Mapping
from operators.adapters.x12_syntax import Segment, TransactionSet
from schemas.codes import BAD_VALUE, MISSING_FIELD, show

_HOUR: Final = 3600
#: X12's time codes that are an offset by themselves, in hours east of UTC; the others are the source's own clock.
OFFSETS: Final = {
    "UT": 0, "GM": 0, "ZZ": None, "LT": None,
    "ES": -5, "ED": -4, "CS": -6, "CD": -5, "MS": -7, "MD": -6, "PS": -8, "PD": -7, "AS": -9, "AD": -8, "HS": -10,
    "TS": -4, "TD": -3, "NS": None, "ND": None,
}  # fmt: skip
#: LIN has 15 pairs, PO1 and POC ten.
PAIRS_MAX: Final = 15
_digits = re.compile(r"[0-9]+").fullmatch


@dataclass(slots=True)
class Reading:
    """One transaction set on its way into an account."""

    whole: TransactionSet
    context: Context
    account: Account
    mapping: X12Mapping
    #: product ids -> item, of this message
    items: dict[tuple[str, ...], str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Whose word it is."""
        return self.context.source

    def open(self, index: int, tag: str) -> int:
        """Open a line at the set's segment `index` (from 0); its place is `control:segment:tag`."""
        return self.account.line(f"{self.whole.control}:{self.whole.first + 1 + index}:{tag}")

    def header(self, tag: str, first_line: str = "") -> Segment:
        """The first segment of this name, before the first line; Refused without one."""
        for segment in self.whole.segments:
            if segment[0] == tag:
                return segment
            if segment[0] == first_line:
                break
        raise Refused(MISSING_FIELD, f"{tag}: expected this segment in a {self.whole.code}, got none")

    def channel(self) -> str:
        """Whose orders they are: the source's channel, else the partner as the envelope names it, else the source."""
        if self.context.channel is not None:
            return self.context.channel
        return self.context.ours("channel", self.whole.sender or self.source, "GS02")


def element(segment: Segment, number: int) -> str:
    """An element by its number from 1; empty if it is not there."""
    return segment[number].strip() if number < len(segment) else ""


def required(segment: Segment, number: int, what: str) -> str:
    """As element; Refused if it is empty."""
    text = element(segment, number)
    if not text:
        raise Refused(MISSING_FIELD, f"{segment[0]}{number:02d}: expected {what}, got nothing")
    return text


def party(segments: Iterable[Segment], qualifiers: Sequence[str]) -> str:
    """What the party's N1 says it is called: its id (N104), else its name; the first qualifier that is there wins."""
    found: dict[str, str] = {}
    for segment in segments:
        if segment[0] == "N1" and len(segment) > 2:
            found.setdefault(segment[1].strip(), element(segment, 4) or element(segment, 2))
    return next((found[one] for one in qualifiers if found.get(one)), "")


def pairs_of(segment: Segment, start: int, pairs: int = PAIRS_MAX) -> tuple[str, ...]:
    """Product ids as qualifier, id, qualifier, id ... from element `start`, but empty ones; at most `pairs`.

    Behind those of a warehouse's segments stand lots and weights, which look like more of them.
    """
    flat: list[str] = []
    for index in range(start, min(len(segment) - 1, start + 2 * pairs), 2):
        if segment[index + 1]:
            flat += (segment[index].strip(), segment[index + 1])
    return tuple(flat)


def item_of(reading: Reading, pairs: tuple[str, ...], what: str, upc_case: str = "") -> str:
    """The item that a line's product ids name; `upc_case`: the code that warehouses' segments have before them."""
    if upc_case:
        pairs = (*pairs, "UI", upc_case)
    known = reading.items.get(pairs)
    if known is not None:
        return known
    ids = dict(zip(pairs[-2::-2], pairs[::-2], strict=True))
    if not ids:
        raise Refused(MISSING_FIELD, f"{what}: expected a product id, got nothing")
    context = reading.context
    ordered = [ids[one] for one in reading.mapping.item_qualifiers if one in ids]
    ordered += [one for one in ids.values() if one not in ordered]
    theirs = next((one for one in ordered if context.has("item", one)), ordered[0])
    ours = reading.items[pairs] = context.ours("item", theirs, what)
    return ours


def lot_of(reading: Reading, pairs: tuple[str, ...], segments: Iterable[Segment], given: str = "") -> str:
    """The lot that a line names, or nothing: its own element, a product id, or REF and N9 behind it."""
    qualifiers = reading.mapping.lot_qualifiers
    theirs = given
    for index in range(0, len(pairs), 2):
        if not theirs and pairs[index] in qualifiers:
            theirs = pairs[index + 1]
    for segment in segments:
        if not theirs and segment[0] in ("REF", "N9") and element(segment, 1) in qualifiers:
            theirs = element(segment, 2)
    return reading.context.ours("lot", theirs, "lot") if theirs.strip() else ""


def uom_of(reading: Reading, theirs: str, what: str) -> dict[str, str]:
    """The unit of measure as a field, or no field."""
    return {"uom": reading.context.ours("uom", theirs, what)} if theirs.strip() else {}


def date_time(reading: Reading, date: str, time: str, what: str, code: str = "") -> str:
    """RFC 3339 of a date (CCYYMMDD or YYMMDD), a time (HHMM, HHMMSS, HHMMSSDD, or nothing) and X12's time code."""
    if not (_digits(date) and len(date) in (6, 8)):
        raise Refused(BAD_VALUE, f"{what}: expected a date as CCYYMMDD, got {show(date)}")
    if len(date) == 6:
        date = ("20" if date < "50" else "19") + date
    offset = OFFSETS.get(code)
    return moment(
        reading.context,
        what,
        int(date[:4]),
        int(date[4:6]),
        int(date[6:]),
        _time_us(time, what) if time else None,
        None if offset is None else offset * _HOUR,
    )


def _time_us(time: str, what: str) -> int:
    if not (_digits(time) and len(time) in (4, 6, 7, 8)):
        raise Refused(BAD_VALUE, f"{what}: expected a time as HHMM or HHMMSS, got {show(time)}")
    hours, minutes, seconds = int(time[:2]), int(time[2:4]), int(time[4:6] or 0)
    if hours > 23 or minutes > 59 or seconds > 59:
        raise Refused(BAD_VALUE, f"{what}: expected a time of the day, got {show(time)}")
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + int(time[6:].ljust(2, "0")) * 10_000


def dtm(reading: Reading, segments: Iterable[Segment], qualifiers: Sequence[str]) -> str:
    """The moment of the first DTM with one of these qualifiers, in their order; nothing if there is none."""
    found = {element(segment, 1): segment for segment in reversed(list(segments)) if segment[0] == "DTM"}
    for qualifier in qualifiers:
        segment = found.get(qualifier)
        if segment is None:
            continue
        date, time, code = element(segment, 2), element(segment, 3), element(segment, 4)
        if not date and element(segment, 5) in ("D8", "DT", "RTS"):
            period = element(segment, 6)
            date, time = period[:8], period[8:]
        return date_time(reading, date, time, f"DTM*{qualifier}", code)
    return ""


def g62(reading: Reading, segments: Iterable[Segment], qualifiers: Sequence[str]) -> str:
    """As dtm, of G62, which warehouses use."""
    found = {element(segment, 1): segment for segment in reversed(list(segments)) if segment[0] == "G62"}
    for qualifier in qualifiers:
        segment = found.get(qualifier)
        if segment is not None and element(segment, 2):
            return date_time(reading, element(segment, 2), element(segment, 4), f"G62*{qualifier}", element(segment, 5))
    return ""


def group_moment(reading: Reading) -> str:
    """When the group was made; nothing without one. For documents that have no date of their own."""
    whole = reading.whole
    return date_time(reading, whole.group_date.strip(), whole.group_time.strip(), "GS04") if whole.group_date else ""


class Part(NamedTuple):
    """A line of a set: its segment and what follows it, up to the next."""

    at: int
    #: its own number: the LX before it, or nothing
    number: str
    segments: Sequence[Segment]

    @property
    def head(self) -> Segment:
        """The segment that it begins with."""
        return self.segments[0]


def parts_of(segments: Sequence[Segment], tag: str) -> list[Part]:
    """Cut the set at each segment of this name, and at LX, which numbers what comes behind it."""
    parts: list[Part] = []
    number, start, own = "", -1, ""
    for index, segment in enumerate(segments):
        name = segment[0]
        if name != tag and name != "LX":
            continue
        if start >= 0:
            parts.append(Part(start, own, segments[start:index]))
            start = -1
        if name == tag:
            start, own = index, number
        else:
            number = element(segment, 1)
    if start >= 0:
        parts.append(Part(start, own, segments[start:]))
    return parts


def before(segments: Sequence[Segment], tag: str) -> Sequence[Segment]:
    """The head of a set: what stands before its first line."""
    tags = (tag, "LX")
    end = next((index for index, segment in enumerate(segments) if segment[0] in tags), len(segments))
    return segments[:end]


Line = tuple[int, Any]


def each_line(reading: Reading, parts: Sequence[Part], tag: str, read: Callable[[int, Part], Any]) -> list[Line]:
    """Open a line a part and read it (by its place among the parts); what cannot be read is refused and left out."""
    lines = []
    for place, part in enumerate(parts):
        number = reading.open(part.at, tag)
        try:
            lines.append((number, read(place, part)))
        except Refused as refusal:
            reading.account.refuse(number, refusal.code, str(refusal))
    return lines


def refuse_all(reading: Reading, parts: Sequence[Part], tag: str, refusal: Refused) -> None:
    """The same is wrong with all lines: with their head."""
    for part in parts:
        reading.account.refuse(reading.open(part.at, tag), refusal.code, str(refusal))
