"""Decides which lines of a raw message that is read again are told, and which stay as they were.

Rule 1: a line that became events or rows of a statement is not tried again by a replay: it counts once.
Rule 2: a redo takes back what a line had become before it tells it anew, under ids that tell the two apart; a line that
        became the same again is left alone, and one that became what has no reversal stands, and is said to.
Rule 3: an account is of all lines, whichever of them were tried this time.

Lines are known by their places (of equal places, by how many stand before).
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec
import xxhash

from operators.adapters.account import EVENT, IGNORED, REFUSED, STATEMENT, Message, Translation
from operators.adapters.values import sub_id
from schemas.codes import CONFLICT
from schemas.event_table import REVERSIBLE

REPLAY: Final = "replay"
REDO: Final = "redo"
#: Reasons of lines of which an earlier document, or this one in another envelope, has said all there is.
_SAID_ELSEWHERE: Final = frozenset({"repeated", "older", "unchanged"})
_SAID: Final = (EVENT, STATEMENT)
MEMORY: Final = "m"


class OldLine(msgspec.Struct, array_like=True):
    """What became of a line. Stored: fields are added at the end."""

    place: str
    fate: str
    reason: str
    message: str
    #: of what the adapter made of it, before any memory: the same again is no change; begins with MEMORY if one spoke
    digest: str


class Became(msgspec.Struct, array_like=True):
    """What became of a raw message. Stored in Kafka: fields are added at the end."""

    lines: list[OldLine]
    #: (event or statement's message, numbers of the lines)
    output: list[tuple[dict[str, Any], tuple[int, ...]]]
    #: how often it was told anew
    redone: int = 0


_became = msgspec.msgpack.Decoder(Became)


def pack_became(became: Became) -> bytes:
    """Give it as the header has it: compressed MessagePack as text, as all headers are."""
    return base64.b64encode(zlib.compress(msgspec.msgpack.encode(became), 6))


def unpack_became(raw: bytes) -> Became | None:
    """Give what was packed; None for other bytes."""
    try:
        return _became.decode(zlib.decompress(base64.b64decode(raw, validate=True)))
    except (binascii.Error, zlib.error, msgspec.DecodeError, UnicodeDecodeError):
        return None


class Again(msgspec.Struct, omit_defaults=True):
    """What a raw message that is sent again says of itself, as JSON in its header."""

    #: REPLAY or REDO
    does: str
    #: of the first message: where it lies, and when Kafka logged it (UTC milliseconds)
    topic: str
    partition: int
    offset: int
    timestamp: int
    #: try what was refused under this code, or ignored for this reason, alone
    code: str | None = None


class Retold(NamedTuple):
    """What is told of a message this time."""

    #: facts and messages of the lines that are tried
    translation: Translation
    #: lines that stay as they were, by number
    kept: dict[int, OldLine]
    #: what kept lines became, with their numbers now; they are not sent again
    standing: list[Message]
    #: events that take back what was said
    reversals: list[dict[str, Any]]
    #: digest of each line
    digests: list[str]
    #: lines that stand, and were told to change: (number, code, sentence)
    stood: list[tuple[int, str, str]]
    redone: int


def keys_of(places: Iterable[str]) -> list[tuple[str, int]]:
    """What each line is known by."""
    counts: Counter[str] = Counter()
    keys = []
    for place in places:
        keys.append((place, counts[place]))
        counts[place] += 1
    return keys


def digests_of(translation: Translation) -> list[str]:
    """A digest a line of all that the adapter made of it."""
    said: list[list[str]] = [[line.fate] for line in translation.lines]
    # Once for all lines that share it: an order's lines are in one message, or in one fact.
    for message in translation.output:
        _note(said, message.lines, message.body)
    for fact in translation.facts:
        _note(said, fact.lines, [fact.rule, fact.key, fact.order, fact.identity, fact.data])
    remembered = {number for fact in translation.facts for number in fact.lines}
    return [
        (MEMORY if number in remembered else "") + xxhash.xxh3_64_hexdigest(" ".join(one).encode())
        for number, one in enumerate(said)
    ]


def _note(said: list[list[str]], lines: tuple[int, ...], what: object) -> None:
    digest = xxhash.xxh3_64_hexdigest(json.dumps(what, sort_keys=True).encode())
    for number in lines:
        said[number].append(digest)


def first_told(translation: Translation) -> Retold:
    """Tell all of a message that comes for the first time."""
    return Retold(translation, {}, [], [], digests_of(translation), [], 0)


def retell(translation: Translation, before: Became, does: str, code: str | None) -> Retold:
    """Choose what is told of a message that was read before."""
    digests = digests_of(translation)
    numbers_before = {key: number for number, key in enumerate(keys_of(line.place for line in before.lines))}
    old_numbers = [numbers_before.get(key) for key in keys_of(line.place for line in translation.lines)]
    chooser = _Redo if does == REDO else _Replay
    choice = chooser(translation, before, old_numbers, digests, code)
    kept = choice.kept
    _keep_statements(translation, before, old_numbers, kept)
    now_of = {old: now for now, old in enumerate(old_numbers) if old is not None and now in kept}
    standing = []
    for body, of in before.output:
        numbers = tuple(now_of[number] for number in of if number in now_of)
        if numbers or not of:
            standing.append(Message(body, numbers))
    for number, line in enumerate(translation.lines):
        if number in kept:
            line.fate, line.reason, line.message = kept[number].fate, kept[number].reason, kept[number].message
    output = [one for message in translation.output if (one := _without(message, kept)) is not None]
    redone = before.redone + (does == REDO)
    if does == REDO:
        output = [_renamed(message, redone) for message in output]
    facts = [fact for fact in translation.facts if any(number not in kept for number in fact.lines)]
    places = [len(output)] * len(facts)
    told = Translation(translation.kind, translation.documents, translation.lines, output, facts, places)
    reversals = [_reversal(body, redone) for body in choice.undone]
    return Retold(told, kept, standing, reversals, digests, choice.stood, redone)


def _keep_statements(
    translation: Translation, before: Became, old_numbers: list[int | None], kept: dict[int, OldLine]
) -> None:
    """Leave a statement that was sent as it is: it says how many rows it has, and the next one has what it lacked."""
    sent = {body["statement_id"] for body, _ in before.output if "statement_id" in body}
    translation.output[:], late = (
        [message for message in translation.output if message.body.get("statement_id") not in sent],
        [message for message in translation.output if message.body.get("statement_id") in sent],
    )
    for message in late:
        for number in message.lines:
            old = old_numbers[number]
            place = translation.lines[number].place
            kept[number] = OldLine(place, IGNORED, "statement_sent", "", "") if old is None else before.lines[old]


class _Replay:
    """Tries what was refused or ignored, and only that."""

    def __init__(
        self,
        translation: Translation,
        before: Became,
        old_numbers: list[int | None],
        digests: list[str],
        code: str | None,
    ) -> None:
        self.undone: list[dict[str, Any]] = []
        self.stood: list[tuple[int, str, str]] = []
        self.kept: dict[int, OldLine] = {}
        for number, old_number in enumerate(old_numbers):
            if old_number is not None:
                old = before.lines[old_number]
                if old.fate in _SAID or code not in (None, old.reason):
                    self.kept[number] = old


class _Redo:
    """Takes back what was said and says it anew, line by line; lines that share a message go together."""

    def __init__(
        self,
        translation: Translation,
        before: Became,
        old_numbers: list[int | None],
        digests: list[str],
        code: str | None,
    ) -> None:
        self.undone = []
        self.stood = []
        self.kept = {}
        groups = _Groups(len(before.lines))
        for _, of in before.output:
            groups.join(of)
        now_of = {old: now for now, old in enumerate(old_numbers) if old is not None}
        told = [message.lines for message in translation.output] + [fact.lines for fact in translation.facts]
        for now in told:
            groups.join([old for number in now if (old := old_numbers[number]) is not None])
        outputs: dict[int, list[dict[str, Any]]] = {}
        for body, of in before.output:
            if of:
                outputs.setdefault(groups.of(of[0]), []).append(body)
        for group, members in groups.all().items():
            lines = [before.lines[number] for number in members]
            if code is not None and not any(line.reason == code for line in lines):
                changes = False
            else:
                changes = any(
                    number not in now_of or before.lines[number].digest != digests[now_of[number]] for number in members
                )
            bodies = outputs.get(group, [])
            stands = self._stands(lines, bodies) if changes else None
            if changes and stands is None:
                self.undone += bodies
                continue
            for number in members:
                if number in now_of:
                    self.kept[now_of[number]] = before.lines[number]
                    if stands is not None and before.lines[number].digest != digests[now_of[number]]:
                        self.stood.append((now_of[number], CONFLICT, stands))

    undone: list[dict[str, Any]]
    stood: list[tuple[int, str, str]]
    kept: dict[int, OldLine]

    @staticmethod
    def _stands(lines: list[OldLine], bodies: list[dict[str, Any]]) -> str | None:
        fixed = sorted({body["type"] for body in bodies} - REVERSIBLE)
        if fixed:
            return f"line: expected one that became what has a reversal, got {', '.join(fixed)}: it stands"
        if any(line.fate in _SAID and line.digest.startswith(MEMORY) for line in lines):
            return "line: expected one that says all by itself, got one that changed what is remembered: it stands"
        if any(line.fate == IGNORED and line.reason in _SAID_ELSEWHERE for line in lines):
            return "line: expected one that this message said, got one that an earlier message said: it stands"
        return None


class _Groups:
    """Which lines go together."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def of(self, number: int) -> int:
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number

    def join(self, numbers: Iterable[int]) -> None:
        first = None
        for number in numbers:
            if first is None:
                first = self.of(number)
            self._parents[self.of(number)] = first

    def all(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for number in range(len(self._parents)):
            found.setdefault(self.of(number), []).append(number)
        return found


def _without(message: Message, kept: dict[int, OldLine]) -> Message | None:
    """Leave lines that are kept out of a message; None where it has no other."""
    numbers = tuple(number for number in message.lines if number not in kept)
    if message.lines and not numbers:
        return None
    lines = message.body.get("lines")
    if numbers != message.lines and lines is not None and len(lines) == len(message.lines):
        left = [line for number, line in zip(message.lines, lines, strict=True) if number not in kept]
        return Message({**message.body, "lines": left}, numbers)
    return Message(message.body, numbers)


def _renamed(message: Message, redone: int) -> Message:
    body = message.body
    return Message({**body, "event_id": sub_id(body["event_id"], "redo", str(redone))}, message.lines)


def _reversal(body: dict[str, Any], redone: int) -> dict[str, Any]:
    """Take it back at the moment of which it spoke: what is told anew never happened otherwise."""
    back = {**body, "event_id": sub_id(body["event_id"], "undo", str(redone))}
    if back.pop("reversal", False):
        return back
    return {**back, "reversal": True}


def settle_kept(translation: Translation, retold: Retold) -> Translation:
    """Give the account of all lines once every fact is settled: those that were not tried are as they were."""
    for number, old in retold.kept.items():
        line = translation.lines[number]
        line.fate, line.reason, line.message = old.fate, old.reason, old.message
    tried = [message for message in translation.output if not message.lines or not _all_kept(message, retold)]
    return Translation(translation.kind, translation.documents, translation.lines, [*retold.standing, *tried])


def _all_kept(message: Message, retold: Retold) -> bool:
    return all(number in retold.kept for number in message.lines)


def became_of(whole: Translation, retold: Retold) -> Became:
    """Give what a later run has to know of the message."""
    lines = [
        OldLine(
            line.place,
            line.fate,
            line.reason,
            line.message,
            retold.kept[number].digest if number in retold.kept else digest,
        )
        for number, (line, digest) in enumerate(zip(whole.lines, retold.digests, strict=True))
    ]
    return Became(lines, [(message.body, message.lines) for message in whole.output], retold.redone)


def refused_lines(whole: Translation, retold: Retold, before: Became | None) -> list[tuple[str, str, str]]:
    """(place, code, sentence) of each line that has to go to the dead letters now: no letter says it yet."""
    known: set[tuple[str, str, str]] = set()
    if before is not None:
        known = {(line.place, line.reason, line.message) for line in before.lines if line.fate == REFUSED}
    refused = [
        (line.place, line.reason, line.message)
        for number, line in enumerate(whole.lines)
        if line.fate == REFUSED and number not in retold.kept
    ]
    stood = [(whole.lines[number].place, code, told) for number, code, told in retold.stood]
    return [one for one in refused if one not in known] + stood
