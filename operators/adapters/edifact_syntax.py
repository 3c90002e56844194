"""EDIFACT as it is really sent: bytes in, messages of segments of elements of components out.

Delimiters are those of each interchange's UNA, else the usual ones. A byte order mark, line ends and tabs between
segments, wrapped lines, letters that the syntax level does not have, a missing last terminator, messages without an
interchange and several interchanges in a file are all read. A message without its end (UNT) has `is_closed` False.
What stands outside of every message is given as `Stray`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from operators.adapters.x12_syntax import Stray, text_of
from schemas.codes import show

#: elements, each of components; the first has the segment's name
Segment = list[list[str]]
_AROUND: Final = "\ufeff\x00 \t\r\n"
_ENVELOPE: Final = frozenset({"UNA", "UNB", "UNG", "UNE", "UNZ"})
_ENDS: Final = frozenset({"UNT", "UNH", "UNB", "UNG", "UNE", "UNZ"})
#: Where an interchange begins: at a line, or behind what ends a segment.
_start = re.compile(r"(?:UNA[^A-Za-z0-9]{4}.[^A-Za-z0-9]|UNB(?=[^A-Za-z0-9 \t\r\n]))", re.DOTALL)
_recognized = re.compile(rb"[\s\x00]*(?:\xef\xbb\xbf)?\s*(?:UNA[^A-Za-z0-9\s]{3}|UN[BH][^A-Za-z0-9\s])").match
#: Letters for what was released, of an area of Unicode that means nothing by itself.
_RELEASED: Final = 0xE000
_private = re.compile("[\ue000-\ue003]")


class Delimiters(NamedTuple):
    """What UNA says."""

    component: str = ":"
    element: str = "+"
    #: without UNA both are allowed, and one that names another mark takes a point too
    decimal: str = ","
    release: str = "?"
    terminator: str = "'"


class MessageText(NamedTuple):
    """One message."""

    #: UNH02's first component, such as ORDERS
    kind: str
    #: UNH01
    reference: str
    #: UNB02, or nothing
    sender: str
    #: without UNH and UNT
    segments: list[Segment]
    #: number of its UNH in the file, from 1
    first: int
    is_closed: bool
    #: what stands before decimals
    decimal: str


def recognizes(head: bytes) -> bool:
    """Does it begin as EDIFACT does: with UNA, UNB or UNH and a delimiter?"""
    return _recognized(head) is not None


def messages_of(raw: bytes) -> Iterator[MessageText | Stray]:
    """Give every message in its order, and what stands outside of them."""
    number = 0
    for part in _interchanges(text_of(raw)):
        delimiters, text = _delimiters(part)
        segments = _segments(text, delimiters)
        yield from _messages(segments, number, delimiters.decimal)
        number += len(segments)


def _interchanges(text: str) -> Iterator[str]:
    """Cut the text before each UNA, and before each UNB that has none."""
    starts = [0]
    has_una = False
    for found in _start.finditer(text):
        at = found.start()
        before = text[max(0, at - 64) : at].rstrip(_AROUND)
        # Behind a letter or a digit it is a piece of some text, unless a line begins with it.
        if at and before and before[-1].isalnum() and text[at - 1] not in "\r\n":
            continue
        is_una = found[0].startswith("UNA")
        if not is_una and has_una:
            has_una = False
            continue
        has_una = is_una
        if text[starts[-1] : at].strip(_AROUND):
            starts.append(at)
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield text[start:end].strip(_AROUND)


def _delimiters(text: str) -> tuple[Delimiters, str]:
    """Read UNA and take it off; without one, or where it says the same of two, they are the usual ones."""
    if text.startswith("UNA") and len(text) >= 9:
        component, element, decimal, release, terminator = text[3], text[4], text[5], text[6], text[8]
        found = Delimiters(component, element, decimal, release.strip(_AROUND), terminator)
        if len({component, element, terminator, found.release}) == 4 and not (component + element).isalnum():
            return found, text[9:]
        return Delimiters(), text[9:]
    return Delimiters(), text


def _segments(text: str, delimiters: Delimiters) -> list[Segment]:
    component, element, _, release, terminator = delimiters
    if terminator not in "\r\n":
        text = text.replace("\r", "").replace("\n", "")
    restore: dict[int, str] = {}
    if release and release in text:
        text = _private.sub("\ufffd", text)
        marks = {mark: chr(_RELEASED + place) for place, mark in enumerate((component, element, terminator, release))}
        restore = {ord(private): mark for mark, private in marks.items()}
        text = re.sub(re.escape(release) + "(.)", lambda found: marks.get(found[1], found[1]), text, flags=re.DOTALL)
    segments = []
    for line in text.split(terminator):
        stripped = line.strip(_AROUND)
        if not stripped:
            continue
        segment = [part.split(component) for part in stripped.split(element)]
        if restore and _private.search(stripped):
            segment = [[value.translate(restore) for value in part] for part in segment]
        segments.append(segment)
    return segments


def _messages(segments: list[Segment], before: int, decimal: str) -> Iterator[MessageText | Stray]:
    sender = ""
    start = stray = -1
    for index, segment in enumerate(segments):
        tag = segment[0][0]
        if start >= 0:
            if tag not in _ENDS:
                continue
            yield _message(segments[start:index], sender, before + start + 1, tag == "UNT", decimal)
            start = -1
            if tag == "UNT":
                continue
        if (tag not in _ENDS and tag not in _ENVELOPE) or tag == "UNT":
            stray = index if stray < 0 else stray
            continue
        if stray >= 0:
            yield _stray(segments, stray, index, before)
            stray = -1
        if tag == "UNH":
            start = index
        elif tag == "UNB":
            sender = segment[2][0].strip() if len(segment) > 2 else ""
    if start >= 0:
        yield _message(segments[start:], sender, before + start + 1, False, decimal)
    if stray >= 0:
        yield _stray(segments, stray, len(segments), before)


def _message(segments: list[Segment], sender: str, first: int, is_closed: bool, decimal: str) -> MessageText:
    head = segments[0]
    reference = head[1][0].strip() if len(head) > 1 else ""
    kind = head[2][0].strip() if len(head) > 2 else ""
    return MessageText(kind, reference, sender, segments[1:], first, is_closed, decimal)


def _stray(segments: list[Segment], start: int, end: int, before: int) -> Stray:
    text = "+".join(":".join(part) for part in segments[start])[:200]
    told = f"UNH: expected a message around it, got {end - start} segments outside of any: {show(text)}"
    return Stray(before + start + 1, text, told)
