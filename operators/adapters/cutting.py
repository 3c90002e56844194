"""Decides where a file that is too large for one message may be cut: between rows, or between transaction sets.

Each part can be read by itself, so each begins with what the file began with: a table's heading rows, the envelope
(ISA and GS; UNA, UNB and UNG) of the sets in it. `heading` says how many bytes of a part are such a repetition; what
stands behind them, of all parts together, is the file byte for byte.

What is no table and no EDI (XML, one JSON document, a binary) cannot be cut. A row or set that is larger than a message
with its heading cannot go at all; of sets the others do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from schemas.codes import TOO_LARGE

#: What may stand in front of the first segment.
_LEADING: Final = b"\xef\xbb\xbf \t\r\n\x00"
_ISA_ELEMENTS: Final = 16
_ISA_BYTES_MAX: Final = 1024
#: Looked at for bytes that text does not have.
_HEAD_BYTES: Final = 65_536
#: Of what is too large so much is told, and of each so many bytes are kept: enough to see what it was.
_REFUSED_MAX: Final = 1_000
HEAD_BYTES: Final = 4_096


#: Segments with which EDI begins, whole or not; TRADACOMS too.
_EDI: Final = re.compile(rb"(?:ISA|GS|ST|UN[ABGH]|STX)[^A-Za-z0-9\s]")


class Part(NamedTuple):
    """A piece of a file that is a message of its own."""

    value: bytes
    #: bytes at its beginning that an earlier part has already; 0 in what was not cut
    heading: int = 0


class TooLarge(NamedTuple):
    """A piece that no message can hold."""

    #: what it is and where, for people
    place: str
    size: int
    #: its first bytes
    head: bytes = b""

    @property
    def sentence(self) -> str:
        """Say what is wrong, with the code."""
        return f"{TOO_LARGE}: {self.place} has {self.size:,} bytes with what has to stand before it"


class Cut(NamedTuple):
    """What becomes of a file."""

    parts: list[Part]
    refused: list[TooLarge]


class _Piece(NamedTuple):
    """A row or set, with the span of what belongs before it."""

    start: int
    end: int
    heading: bytes
    place: str


def cut(raw: bytes, bytes_max: int, heading_rows: int = 1) -> Cut:
    """Cut a file into messages of at most so many bytes each; a file that fits is one part, as it is.

    The same bytes with the same limit are always cut in the same way. Of a table with a row that is too large nothing
    is given: its rows are one document. Of sets all that fit are.
    """
    if len(raw) <= bytes_max:
        return Cut([Part(raw)], [])
    if _is_x12(raw):
        found = _joined(raw, _sets(raw, _x12_marks(raw)), bytes_max)
    elif _is_edifact(raw):
        found = _joined(raw, _sets(raw, _edifact_marks(raw)), bytes_max)
    elif _is_table(raw):
        found = _joined(raw, _rows(raw, heading_rows), bytes_max)
        return Cut([], found.refused) if found.refused else found
    else:
        found = Cut([], [])
    return (
        found
        if found.parts
        else Cut([], found.refused or [TooLarge("the file", len(raw), raw[: min(HEAD_BYTES, bytes_max)])])
    )


def _joined(raw: bytes, pieces: Iterable[_Piece], bytes_max: int) -> Cut:
    """Put as many neighbors as fit into each part. A file may have millions of rows: no list of them is made."""
    parts: list[Part] = []
    refused: list[TooLarge] = []
    start = end = -1
    heading = b""
    for piece in pieces:
        if end != piece.start or len(heading) + piece.end - start > bytes_max:
            if start >= 0:
                parts.append(Part(heading + raw[start:end], len(heading)))
            start, heading = piece.start, piece.heading
        end = piece.end
        size = len(piece.heading) + end - piece.start
        if size > bytes_max:
            if len(refused) < _REFUSED_MAX:
                stop = min(piece.end, piece.start + min(HEAD_BYTES, bytes_max))
                refused.append(TooLarge(piece.place, size, raw[piece.start : stop]))
            start = end = -1
    if start >= 0:
        parts.append(Part(heading + raw[start:end], len(heading)))
    return Cut(parts, refused)


def _is_table(raw: bytes) -> bool:
    """Is it text in rows? JSON Lines are; one JSON document, XML and EDI without its envelope are not."""
    head = raw[:_HEAD_BYTES]
    begin = head.lstrip(_LEADING)
    if b"\x00" in head or begin[:1] in (b"<", b"["):
        return False
    if begin[:1] == b"{":
        return begin.partition(b"\n")[0].rstrip(b" \t\r").endswith(b"}")
    if _EDI.match(begin):
        return False
    # Lines alone make no table: what other formats say in several lines must not be torn apart.
    return re.match(rb"[^\r\n]*[,;\t|][^\r\n]*[\r\n]", begin) is not None


def _rows(raw: bytes, heading_rows: int) -> Iterator[_Piece]:
    """Give each row, the first with the heading rows before it; a line's end between quotes is none."""
    mark = b"\n" if b"\n" in raw[:_HEAD_BYTES] else b"\r"
    is_json = raw[:_HEAD_BYTES].lstrip(_LEADING)[:1] == b"{"
    heading_left = 0 if is_json else heading_rows
    heading = b""
    start = row = 0
    for found in (_lines(mark) if is_json else _table_rows(mark)).finditer(raw):
        stop = found.end()
        if stop == found.start():
            continue
        row += 1
        if row <= heading_left:
            heading = raw[:stop]
            continue
        yield _Piece(start, stop, heading if start else b"", f"row {row}")
        start = stop
    if start < len(raw):
        yield _Piece(start, len(raw), b"", f"row {row}")


def _lines(mark: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"[^%b]*+(?:%b|\Z)" % (mark, mark))


def _table_rows(mark: bytes) -> re.Pattern[bytes]:
    """A quote opens at a field's begin alone, for 5" is a length; one that is never closed opens nothing."""
    bare = rb"[^,;\t|%b]*+" % mark
    field = rb'(?> *+"(?:[^"]|"")*+"%b|%b)' % (bare, bare)
    return re.compile(rb"(?>%b(?:[,;\t|]%b)*+)(?:%b|\Z)" % (field, field, mark))


class _Mark(NamedTuple):
    """Where a segment begins and ends that opens an interchange (0), a group in it (1), or a set (2)."""

    start: int
    end: int
    level: int


def _sets(raw: bytes, marks: Iterator[_Mark]) -> Iterator[_Piece]:
    """Give each set with what is around it: what opens before it belongs to it, what closes behind it too."""
    interchange = group = heading = b""
    begun: int | None = None
    found: list[tuple[int, bytes, int]] = []
    for start, end, level in marks:
        if level == 2:
            found.append((start, interchange + group, start) if begun is None else (begun, heading, start))
            begun = None
            continue
        if begun is None:
            begun, heading = start, b"" if level == 0 else interchange
        if level == 0:
            interchange, group = raw[start:end], b""
        else:
            group = raw[start:end]
    for index, (begin, before, at) in enumerate(found):
        stop = found[index + 1][0] if index + 1 < len(found) else len(raw)
        named = re.split(rb"[\r\n~']", raw[at : at + 24])[0].decode("latin-1")
        yield _Piece(begin if index else 0, stop, before if index else b"", f"set {index + 1} ({named})")


def _is_x12(raw: bytes) -> bool:
    return re.match(rb"ISA[^A-Za-z0-9\s]", raw[:_HEAD_BYTES].lstrip(_LEADING)) is not None


def _x12_marks(raw: bytes) -> Iterator[_Mark]:
    """Find what opens; each interchange has delimiters of its own."""
    begins: list[tuple[int, bytes, bytes]] = []
    for found in re.finditer(rb"ISA([^A-Za-z0-9\s])", raw):
        at = found.start()
        before = raw[max(0, at - 256) : at].rstrip(b" \t\x00\xef\xbb\xbf")
        if begins and before[-1:] not in (b"\r", b"\n", begins[-1][2]):
            continue
        parts = raw[at : at + _ISA_BYTES_MAX].split(found[1], _ISA_ELEMENTS)
        if len(parts) <= _ISA_ELEMENTS or not (ends := parts[_ISA_ELEMENTS][1:2]) or ends.isalnum():
            continue
        begins.append((at, found[1], b"\n" if ends in b"\r\n" else ends))
    for index, (at, element, ends) in enumerate(begins):
        stop = begins[index + 1][0] if index + 1 < len(begins) else len(raw)
        # The last element is the component separator, which the terminator stands behind.
        envelope = raw[at : at + _ISA_BYTES_MAX].split(element, _ISA_ELEMENTS)
        isa_end = raw.find(ends, at + len(element.join(envelope[:_ISA_ELEMENTS])) + 2) + 1
        yield _Mark(at, isa_end or stop, 0)
        opener = re.compile(rb"(?<=" + re.escape(ends) + rb")[ \t\r\n]*(GS|ST)" + re.escape(element))
        for segment in opener.finditer(raw, at, stop):
            end = raw.find(ends, segment.start(1), stop) + 1
            yield _Mark(segment.start(1), end or stop, 1 if segment[1] == b"GS" else 2)


def _is_edifact(raw: bytes) -> bool:
    return re.match(rb"UN[AB][^A-Za-z0-9\s]", raw[:_HEAD_BYTES].lstrip(_LEADING)) is not None


def _edifact_marks(raw: bytes) -> Iterator[_Mark]:
    """Find what opens; what UNA says holds for its own interchange."""
    begins = [
        found.start()
        for found in re.finditer(rb"UNA[^A-Za-z0-9\s]|UNB[^A-Za-z0-9\s]", raw)
        if _ends_before(raw, found.start())
    ]
    # UNB belongs to the UNA that stands right before it.
    begins = [at for index, at in enumerate(begins) if not index or raw[begins[index - 1] :][:3] != b"UNA"]
    for index, at in enumerate(begins):
        stop = begins[index + 1] if index + 1 < len(begins) else len(raw)
        has_una = raw[at : at + 3] == b"UNA"
        told = raw[at + 3 : at + 9] if has_una else b":+.? '"
        element, release, ends = told[1:2], told[3:4], told[5:6]
        behind = rb"(?<=" + re.escape(ends) + rb")"
        unb = re.compile(rb"UNB" + re.escape(element)).search(raw, at, stop)
        yield _Mark(at, _segment_end(raw, unb.start() if unb else at, stop, release, ends), 0)
        opener = re.compile(behind + rb"[ \t\r\n]*(UNG|UNH)" + re.escape(element))
        for segment in opener.finditer(raw, at, stop):
            if _is_released(raw, segment.start() - 1, release):
                continue
            end = _segment_end(raw, segment.start(1), stop, release, ends)
            yield _Mark(segment.start(1), end, 1 if segment[1] == b"UNG" else 2)


def _ends_before(raw: bytes, at: int) -> bool:
    """Does nothing, or another segment's end, stand before it?"""
    before = raw[max(0, at - 256) : at]
    bare = before.rstrip(_LEADING)
    return not bare or not (bare[-1:].isalnum() or bare[-1:] in b"+:?")


def _is_released(raw: bytes, at: int, release: bytes) -> bool:
    """Is the byte there taken for itself, by an odd number of release characters before it?"""
    count = 0
    while release.strip() and at - count > 0 and raw[at - count - 1 : at - count] == release:
        count += 1
    return count % 2 == 1


def _segment_end(raw: bytes, start: int, stop: int, release: bytes, ends: bytes) -> int:
    position = start
    while (found := raw.find(ends, position, stop)) >= 0:
        if not _is_released(raw, found, release):
            return found + 1
        position = found + 1
    return stop
