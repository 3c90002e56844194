"""The account of one raw message: its documents, each of their lines in exactly one place, and what is said of them.

A line becomes events, rows of a statement, is ignored for a reason, or is refused with a code: exactly one of these
(contract section 10). What a line means only in the light of earlier documents is a `Fact`: it waits here until a
memory says what it becomes (operators/adapters/memory.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

#: Where a line ends; WAITING is for facts, and never left after a memory has seen them.
EVENT: Final = "event"
STATEMENT: Final = "statement"
IGNORED: Final = "ignored"
REFUSED: Final = "refused"
WAITING: Final = "waiting"
STATEMENT_TYPES: Final = frozenset({"statement_started", "stock_stated", "promise_stated", "statement_ended"})
#: of a place, which goes into the dead letter as its line_id
PLACE_MAX: Final = 128


class Refused(ValueError):
    """What cannot be used: one of the contract's codes, and a sentence: the field, what was expected, what came."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Message(NamedTuple):
    """An event (contract section 2) or a statement's message (section 9), and the lines that it says."""

    body: dict[str, Any]
    #: numbers of the lines; none for a statement's start and end
    lines: tuple[int, ...]


class Fact(NamedTuple):
    """What means something only beside what was said before; plain data, so that a keyed step can carry it.

    `rule` names a function of memory.RULES. `key` is what is remembered (an order, a document's line), unique within
    a source. `order` sorts the documents of one key as text, newest last. `identity` is the document's: the same
    again with the same data is a repeat. `data` is JSON, as the rule describes it.
    """

    rule: str
    key: str
    order: str
    identity: str
    data: dict[str, Any]
    lines: tuple[int, ...]


@dataclass(slots=True)
class Line:
    """One line of a document, and where it ended."""

    #: segment, element or path: printable ASCII without spaces, at most 128; the dead letter's line_id
    place: str
    fate: str = ""
    #: why it was ignored, or the code of its refusal
    reason: str = ""
    #: a refusal's sentence
    message: str = ""


@dataclass(slots=True)
class Translation:
    """What a raw message became."""

    kind: str
    documents: list[str]
    lines: list[Line]
    output: list[Message]
    facts: list[Fact] = field(default_factory=list)
    #: of each fact, how many messages of `output` stand before what it becomes
    places: list[int] = field(default_factory=list)

    def ignored(self) -> dict[str, int]:
        """How many lines were ignored, by reason."""
        return dict(Counter(line.reason for line in self.lines if line.fate == IGNORED))

    def refused(self) -> dict[str, int]:
        """How many lines were refused, by code."""
        return dict(Counter(line.reason for line in self.lines if line.fate == REFUSED))

    def bodies(self) -> list[dict[str, Any]]:
        """Give what goes out, in its order."""
        return [message.body for message in self.output]


class Account:
    """Takes every line once. An adapter makes one a raw message and ends it with `finish`."""

    __slots__ = ("_documents", "_facts", "_kind", "_lines", "_output", "_places")

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._documents: dict[str, None] = {}
        self._lines: list[Line] = []
        self._output: list[Message] = []
        self._facts: list[Fact] = []
        self._places: list[int] = []

    def document(self, identity: str) -> None:
        """Name a document that is in it; its kind, number, version or purpose, never its envelope."""
        self._documents[identity] = None

    def line(self, place: str) -> int:
        """Open a line; its number is for the calls below, of which exactly one has to follow."""
        self._lines.append(Line(placed(place)))
        return len(self._lines) - 1

    def say(self, body: dict[str, Any], *lines: int) -> None:
        """The lines become this event, or this row of a statement; a line may become several."""
        fate = STATEMENT if body["type"] in STATEMENT_TYPES else EVENT
        for number in lines:
            self._end(number, fate)
        self._output.append(Message(body, lines))

    def ignore(self, number: int, reason: str) -> None:
        """The line means nothing to an inventory; `reason` is a word like `no_quantity`."""
        self._end(number, IGNORED, reason)

    def refuse(self, number: int, code: str, message: str) -> None:
        """The line cannot be used."""
        self._end(number, REFUSED, code, message)

    def refuse_all(self, numbers: Iterable[int], refusal: Refused) -> None:
        """The same is wrong with all of them: with their head."""
        for number in numbers:
            self._end(number, REFUSED, refusal.code, str(refusal))

    def remember(self, fact: Fact) -> None:
        """What its lines become is said by the memory of its key."""
        for number in fact.lines:
            self._end(number, WAITING)
        self._facts.append(fact)
        self._places.append(len(self._output))

    def _end(self, number: int, fate: str, reason: str = "", message: str = "") -> None:
        line = self._lines[number]
        if line.fate and not (line.fate == fate and fate in (EVENT, STATEMENT)):
            raise AssertionError(f"{line.place} is {line.fate} already, and was to be {fate}: a line ends once")
        line.fate, line.reason, line.message = fate, reason, message

    def finish(self) -> Translation:
        """End the account; a line without an end is a mistake of the adapter, not of the message."""
        left = [line.place for line in self._lines if not line.fate]
        if left or not self._lines:
            raise AssertionError(f"{self._kind}: lines without an end: {left or 'no line at all'}")
        return Translation(self._kind, list(self._documents), self._lines, self._output, self._facts, self._places)


class Row(NamedTuple):
    """What a document states of one item at one location."""

    line: int
    #: item, location or channel, lot?, uom?
    key: dict[str, str]
    #: measure -> number
    measures: dict[str, int | str]


def placed(text: str) -> str:
    """A place as a line_id: what is not printable ASCII becomes `?`, a space `_`; at most 128 characters."""
    if text.isascii() and text.isprintable() and " " not in text:
        return text[:PLACE_MAX]
    return "".join("_" if char == " " else char if "!" <= char <= "~" else "?" for char in text)[:PLACE_MAX]


def one_line(kind: str, place: str, refusal: Refused, documents: Sequence[str] = ()) -> Translation:
    """What cannot be divided into lines is one line, refused."""
    account = Account(kind)
    for identity in documents:
        account.document(identity)
    account.refuse(account.line(place), refusal.code, str(refusal))
    return account.finish()


def record_of(translation: Translation, received_at: str | None) -> dict[str, Any]:
    """The fields of `inventory.documents`: lines = event_lines + statement_lines + all ignored + all refused."""
    fates = Counter(line.fate for line in translation.lines)
    kinds = Counter(message.body["type"] in STATEMENT_TYPES for message in translation.output)
    return {
        "kind": translation.kind,
        "documents": translation.documents,
        "received_at": received_at,
        "lines": len(translation.lines),
        "event_lines": fates[EVENT],
        "statement_lines": fates[STATEMENT],
        "ignored": translation.ignored(),
        "refused": translation.refused(),
        "events": kinds[False],
        "statements": kinds[True],
    }


def refusals_of(translation: Translation) -> list[Mapping[str, str]]:
    """Every refused line as its dead letter will name it."""
    return [
        {"code": line.reason, "message": line.message, "line_id": line.place}
        for line in translation.lines
        if line.fate == REFUSED
    ]
