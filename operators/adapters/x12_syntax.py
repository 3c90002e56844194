"""X12 as it is really sent: bytes in, transaction sets of segments of elements out, whatever is wrong around them.

Delimiters are those of each interchange's own ISA. A byte order mark, indentation, line ends between segments or as
their end, a missing last terminator, an ISA whose fields are not padded, sets without a group or without any
envelope, control counts that are wrong and several interchanges in a file are all read. A set without its end (SE) is
given with `is_closed` False: nobody knows what was cut off. What stands outside of every set is given as `Stray`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from operators.adapters.account import Refused
from schemas.codes import BAD_VALUE, show

Segment = list[str]
#: Segments around sets, which are no lines of anything.
ENVELOPE: Final = frozenset({"ISA", "ISB", "ISE", "GS", "GE", "IEA", "TA1", "TA3", "S1S", "S1E", "S2S", "S2E"})
_ISA_ELEMENTS: Final = 16
#: Spaces and tabs that are looked back over for the end of what stood before an ISA.
_INDENT_MAX: Final = 256
#: What may stand around an interchange. Not all that Python takes for white space: that has delimiters of old systems.
_AROUND: Final = "\ufeff\x00 \t\r\n"
_isa = re.compile(r"ISA(?=[^A-Za-z0-9 \t\r\n])")
_recognized = re.compile(rb"[\s\x00]*(?:\xef\xbb\xbf)?\s*(?:ISA|GS|ST)[^A-Za-z0-9\s]").match


class TransactionSet(NamedTuple):
    """One transaction set."""

    #: ST01, such as 850
    code: str
    #: ST02
    control: str
    #: the partner: GS02, else ISA06, else nothing
    sender: str
    #: GS04 and GS05
    group_date: str
    group_time: str
    #: without ST and SE
    segments: list[Segment]
    #: number of its ST in the file, from 1
    first: int
    is_closed: bool
    #: what parts an element's components (ISA16)
    component: str


class Stray(NamedTuple):
    """Segments, or text, that belong to no set."""

    first: int
    text: str
    problem: str


class _Delimiters(NamedTuple):
    element: str
    terminator: str
    component: str = ">"
    #: where the text's first segment begins that they are read from
    start: int = 0


def recognizes(head: bytes) -> bool:
    """Does it begin as X12 does: with ISA, GS or ST and a delimiter?"""
    return _recognized(head) is not None


def text_of(raw: bytes) -> str:
    """The text: UTF-8, else Latin-1, in which every byte is a character."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def sets_of(raw: bytes) -> Iterator[TransactionSet | Stray]:
    """Give every transaction set in its order, and what stands outside of them."""
    number = 0
    for part in _interchanges(text_of(raw)):
        try:
            delimiters = _delimiters(part)
        except Refused as refusal:
            yield Stray(number + 1, part[:200], str(refusal))
            number += 1
            continue
        segments = _segments(part, delimiters)
        yield from _sets(segments, number, delimiters.component)
        number += len(segments)


def _interchanges(text: str) -> Iterator[str]:
    """Cut the text before each ISA that begins a segment."""
    starts = [0]
    terminator = ""
    for found in _isa.finditer(text):
        at = found.start()
        if at and not _begins(text, at, terminator):
            continue
        if text[starts[-1] : at].strip(_AROUND):
            starts.append(at)
        try:
            terminator = _delimiters(text[at : at + 1024]).terminator
        except Refused:
            terminator = ""
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield text[start:end].strip(_AROUND)


def _begins(text: str, at: int, terminator: str) -> bool:
    """Does a segment begin here: at a line's begin, or behind a terminator?"""
    before = text[max(0, at - _INDENT_MAX) : at].rstrip(" \t\ufeff\x00")
    return not before or before[-1] in "\r\n" or (terminator != "" and before.endswith(terminator))


def _delimiters(text: str) -> _Delimiters:
    """Read them from ISA; without one, from GS or ST. Refused says why they cannot be."""
    tag = next((tag for tag in ("ISA", "GS", "ST") if text.startswith(tag)), "")
    if not tag or len(text) <= len(tag) or text[len(tag)].isalnum() or text[len(tag)] in _AROUND:
        raise Refused(BAD_VALUE, f"ISA: expected ISA, GS or ST and a delimiter, got {show(text[:20])}")
    element = text[len(tag)]
    terminator = ""
    if tag == "ISA":
        parts = text[:1024].split(element, _ISA_ELEMENTS)
        if len(parts) <= _ISA_ELEMENTS:
            raise Refused(BAD_VALUE, f"ISA: expected {_ISA_ELEMENTS} elements, got {len(parts) - 1}")
        terminator = _behind(parts[_ISA_ELEMENTS][1:])
        rest = text[len(element.join(parts[:_ISA_ELEMENTS])) + 2 :]
        # Some leave the component separator away: what stands in its place ends every line, and is the terminator.
        component = parts[_ISA_ELEMENTS][:1]
        if (
            terminator == "\n"
            and component.strip(_AROUND)
            and rest.lstrip(_AROUND).split("\n", 1)[0].rstrip(_AROUND).endswith(component)
        ):
            return _Delimiters(element, component)
        component = component if component.strip(_AROUND) and not component.isalnum() else ">"
        if terminator and not terminator.isalnum() and _goes_on(rest, terminator, element):
            return _Delimiters(element, terminator, component)
    # An ISA that was shortened or filled up by hand: the first segment behind it tells.
    star = re.escape(element)
    found = re.search(
        rf"(?:GS{star}(?:[^{star}]*{star}){{7}}|ST{star}[0-9]{{3}}{star})[A-Za-z0-9]*([^A-Za-z0-9])", text[:4096]
    )
    if found is None or (found[1] == element and tag != "ST"):
        raise Refused(BAD_VALUE, f"ISA16: expected a segment terminator behind it, got {show(terminator)}")
    return _Delimiters(element, _behind(found[1]) or "\n", start=found.start())


def _behind(text: str) -> str:
    """The terminator that a text begins with; a line's end is one, however it is written."""
    return "\n" if text[:1] in ("\r", "\n") else text[:1]


def _goes_on(rest: str, terminator: str, element: str) -> bool:
    """Does another segment follow the terminator of ISA, and end in the same?"""
    following = rest.removeprefix(terminator).lstrip(" \t\r\n")
    if not following:
        return True
    tag = following.split(element, 1)[0]
    return len(tag) <= 3 and tag.isalnum() and (terminator in following or terminator == "\n")


def _segments(text: str, delimiters: _Delimiters) -> list[Segment]:
    element, terminator, text = delimiters.element, delimiters.terminator, text[delimiters.start :]
    if terminator == "\n":
        lines = text.replace("\r", "\n").split("\n")
    else:
        if "\n" in text or "\r" in text:
            text = text.replace("\r", "").replace("\n", "")
        lines = text.split(terminator)
    return [line.strip(" \t\ufeff\x00").split(element) for line in lines if line.strip(_AROUND)]


def _sets(segments: list[Segment], before: int, component: str) -> Iterator[TransactionSet | Stray]:
    interchange = sender = group_date = group_time = ""
    start = stray = -1
    for index, segment in enumerate(segments):
        tag = segment[0]
        if start >= 0:
            if tag not in _ENDS:
                continue
            yield _set(
                segments[start:index], sender, group_date, group_time, before + start + 1, tag == "SE", component
            )
            start = -1
            if tag == "SE":
                continue
        if (tag not in _ENDS and tag not in ENVELOPE) or tag == "SE":
            stray = index if stray < 0 else stray
            continue
        if stray >= 0:
            yield _stray(segments, stray, index, before)
            stray = -1
        if tag == "ST":
            start = index
        elif tag == "ISA":
            interchange = sender = segment[6].strip() if len(segment) > 6 else ""
        elif tag == "GS":
            sender = (segment[2].strip() if len(segment) > 2 else "") or interchange
            group_date, group_time = [*segment[4:6], "", ""][:2]
        elif tag == "GE":
            sender, group_date, group_time = interchange, "", ""
    if start >= 0:
        yield _set(segments[start:], sender, group_date, group_time, before + start + 1, False, component)
    if stray >= 0:
        yield _stray(segments, stray, len(segments), before)


_ENDS: Final = frozenset({"SE", "ST", "GS", "GE", "IEA", "ISA"})


def _set(
    segments: list[Segment], sender: str, date: str, time: str, first: int, is_closed: bool, component: str
) -> TransactionSet:
    head = segments[0]
    code = head[1].strip() if len(head) > 1 else ""
    control = head[2].strip() if len(head) > 2 else ""
    return TransactionSet(code, control, sender, date, time, segments[1:], first, is_closed, component)


def _stray(segments: list[Segment], start: int, end: int, before: int) -> Stray:
    text = " ".join(segments[start])[:200]
    told = f"ST: expected a transaction set around it, got {end - start} segments outside of any: {show(text)}"
    return Stray(before + start + 1, text, told)
