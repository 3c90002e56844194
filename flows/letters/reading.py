"""Reads the dead letters, and finds those somebody asks for. Changes nothing."""

from __future__ import annotations

import hashlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

from flows.kafka.reading import Part, Place, Span, TopicReader, bounds, read_topics
from flows.letters.known_codes import Need, needs_of
from flows.letters.originals import Original, ask
from flows.progress_line import ProgressLine
from schemas.codes import parse_json
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS

__all__ = [
    "DeadLetter",
    "Place",
    "Wanted",
    "bounds",
    "follow",
    "newest",
    "read",
    "read_topics",
    "with_values",
    "without_values",
]

#: Messages of a partition that are read at once from the newest back.
CHUNK = 500
#: What --follow shows of what is there already.
FOLLOW_SHOWS = 10
#: Of messages whose letters are only counted, the bytes that are at hand for their other letters.
AT_HAND_BYTES = 32_000_000
#: What a message weighs there beside its key and value.
OVERHEAD_BYTES = 1_000


class _Head(msgspec.Struct):
    source: str = ""


_read_head = msgspec.json.Decoder(_Head).decode


class DeadLetter(msgspec.Struct, frozen=True):
    """One dead letter: where it lies, what it says, and the original bytes."""

    partition: int
    offset: int
    #: when it was written, UTC milliseconds
    written_ms: int
    code: str
    message: str
    origin: Place
    line_id: str | None
    attempts: int
    key: bytes | None
    value: bytes | None
    #: when Kafka logged the original, UTC milliseconds; 0: it does not say
    logged_ms: int = 0
    #: who sent the original, as far as it can be read
    source: str = ""
    #: of the original's value
    digest: bytes = b""
    #: what it named that was not known
    needs: tuple[Need, ...] = ()
    #: its bytes are kept in another letter of the same message
    is_light: bool = False

    @property
    def name(self) -> str:
        """Give the name under which `show` and `replay` find it."""
        return f"{self.partition}:{self.offset}"

    @property
    def original(self) -> Original:
        """Say which message it is about: letters of the same message have the same."""
        return self.origin, max(0, self.logged_ms)

    @property
    def is_lost(self) -> bool:
        """Are its bytes nowhere any more, as far as it was looked for them?"""
        return self.is_light and not self.value

    def may_be_of(self, logged_ms: int) -> bool:
        """Can it be about what Kafka logged at its origin at that moment (0: not known)? Topics are made again."""
        return self.logged_ms <= 0 or logged_ms <= 0 or self.logged_ms == logged_ms

    @property
    def content(self) -> tuple[str, bytes | None, bytes]:
        """Give what is the same of a message however often it is sent again."""
        return (self.origin[0], self.key, self.digest)

    def speaks_of(self, line_id: str | None) -> bool:
        """Is it about that line? What is about all of an event is about each of its lines."""
        return None in (line_id, self.line_id) or line_id == self.line_id

    def items(self) -> set[str]:
        """Give the items that the original names, as far as it can be read."""
        found = {self.key.decode("utf-8", "replace").rpartition(":")[2]} if self.key else set()
        return found | items_in(self.value or b"")


@lru_cache(maxsize=16)
def items_in(value: bytes) -> frozenset[str]:
    """Give the items that an event names. A thousand letters of one order share its bytes, and are asked in a row."""
    found: set[str] = set()
    try:
        event = parse_json(value)
    except ValueError:
        return frozenset()
    if isinstance(event, dict):
        lines = event.get("lines")
        for part in (event, *(lines if isinstance(lines, list) else ())):
            if isinstance(part, dict) and isinstance(part.get("item"), str):
                found.add(part["item"])
    return frozenset(found)


class Wanted(msgspec.Struct, frozen=True):
    """Which dead letters are asked for; what is not given is any."""

    names: frozenset[str] = frozenset()
    code: str | None = None
    item: str | None = None
    #: written at or after, UTC milliseconds
    since_ms: int = 0
    source: str | None = None

    def has(self, letter: DeadLetter) -> bool:
        """Is it one of those?"""
        return (
            (not self.names or letter.name in self.names)
            and self.code in (None, letter.code)
            and letter.written_ms >= self.since_ms
            and self.source in (None, letter.source)
            and (self.item is None or self.item in letter.items())
        )


def read(settings: Settings, keeps_values: bool = True) -> list[DeadLetter]:
    """Give all dead letters there are, oldest first; for counting without their bytes, which may be gigabytes."""
    spans = bounds(settings, [DEAD_LETTERS])
    line = ProgressLine("reading dead letters", sum(end - low for low, end in spans.values()))
    try:
        with TopicReader(settings) as reader:
            if not keeps_values:
                return in_order(without_values(settings, reader, spans, line.add))
            found = [letter for one in reader.read(spans, line.add) if (letter := parse(one)) is not None]
    finally:
        line.end()
    return in_order(with_values(settings, found))


def newest(settings: Settings, wanted: Wanted, limit: int) -> list[DeadLetter]:
    """Give the newest that are wanted, at most so many, and all that are newer than the last of them; oldest first.

    Read from the ends back: a topic of millions answers as fast as a small one.
    """
    spans = bounds(settings, [DEAD_LETTERS])
    line = ProgressLine("reading dead letters, from the newest back")
    found: list[DeadLetter] = []
    hits: dict[Part, int] = dict.fromkeys(spans, 0)
    left: dict[Part, Span] = dict(spans)
    try:
        with TopicReader(settings) as reader:
            for chunks in reader.read_back(left, max(CHUNK, limit), line.add):
                for part, messages in chunks.items():
                    fresh = [letter for message in messages if (letter := parse(message)) is not None]
                    found += fresh
                    # An empty value is found in an older letter of the same message.
                    hits[part] += sum(wanted.has(letter) for letter in fresh)
                    is_old = bool(fresh) and fresh[-1].written_ms < wanted.since_ms
                    if is_old or (hits[part] >= limit and (not fresh or not fresh[-1].is_light)):
                        left.pop(part, None)
    finally:
        line.end()
    return in_order(with_values(settings, found))


def follow(settings: Settings, wanted: Wanted) -> Iterator[DeadLetter]:
    """Give what is wanted of the newest there are, then each as it comes, for ever."""
    starts = {part: end for part, (_, end) in bounds(settings, [DEAD_LETTERS]).items()}
    before = [letter for letter in newest(settings, wanted, FOLLOW_SHOWS) if wanted.has(letter)]
    known: dict[Original, DeadLetter] = {}
    yield from (letter for letter in before[-FOLLOW_SHOWS:] if letter.offset < starts[_part(settings, letter)])
    with TopicReader(settings) as reader:
        for message in reader.follow(starts):
            letter = parse(message)
            if letter is None:
                continue
            if not letter.is_light:
                known = {letter.original: letter}  # letters of one message come one after the other
            [letter] = with_values(settings, [letter], known)
            if wanted.has(letter):
                yield letter


def in_order(letters: Iterable[DeadLetter]) -> list[DeadLetter]:
    """Give them oldest first."""
    return sorted(letters, key=lambda letter: (letter.written_ms, letter.partition, letter.offset))


def with_values(
    settings: Settings, letters: list[DeadLetter], known: dict[Original, DeadLetter] | None = None
) -> list[DeadLetter]:
    """Give each its message's bytes: of several about one message some leave them to another of them.

    Where that one is gone, the message itself is asked for; KafkaProblem if Kafka cannot be asked. What is nowhere any
    more keeps its empty value.
    """
    whole = {**(known or {}), **{letter.original: letter for letter in letters if not letter.is_light}}
    lost = {letter.original for letter in letters if letter.is_light} - whole.keys()
    told = {original: (key, value) for original, key, value in ask(settings, lost)} if lost else {}
    filled = []
    for letter in letters:
        if letter.is_light and letter.original in whole:
            letter = _like(letter, whole[letter.original])
        elif letter.is_light and letter.original in told:
            letter = _filled(letter, *told[letter.original])
        filled.append(letter)
    return filled


def without_values(
    settings: Settings, reader: TopicReader, spans: dict[Part, Span], tell: Callable[[int], None] = lambda _: None
) -> list[DeadLetter]:
    """Give the letters of spans as `with_values` would, and leave their bytes out, which may be gigabytes.

    What the bytes say of each letter is read while they are at hand. A letter whose message's bytes were not, when it
    was read, waits: they are read a second time, and what no letter has is asked for, a message at a time.
    """
    found: dict[str, DeadLetter] = {}
    waiting: dict[Original, list[DeadLetter]] = defaultdict(list)
    at_hand = _AtHand()

    def keep(letter: DeadLetter) -> None:
        found[letter.name] = msgspec.structs.replace(letter, value=None)

    for letter in filter(None, map(parse, reader.read(spans, tell))):
        if not letter.is_light:
            at_hand.add(letter)
            for one in waiting.pop(letter.original, ()):
                keep(_like(one, letter))
        elif (whole := at_hand.get(letter.original)) is not None:
            letter = _like(letter, whole)
        else:
            waiting[letter.original].append(letter)
        keep(letter)
    offsets: dict[Part, list[int]] = defaultdict(list)
    for letter in found.values() if waiting else ():
        if not letter.is_light and letter.original in waiting:
            offsets[_part(settings, letter)].append(letter.offset)
    again = {part: (min(of), max(of) + 1) for part, of in offsets.items()}
    for letter in filter(None, map(parse, reader.read(again))) if again else ():
        for one in waiting.pop(letter.original, ()) if not letter.is_light else ():
            keep(_like(one, letter))
    for original, key, value in ask(settings, list(waiting)) if waiting else ():
        for one in waiting[original]:
            keep(_filled(one, key, value))
    return list(found.values())


class _AtHand:
    """The newest letters with bytes, as many as `AT_HAND_BYTES` hold."""

    def __init__(self) -> None:
        self._letters: OrderedDict[Original, DeadLetter] = OrderedDict()
        self._size = 0
        self.get = self._letters.get

    def add(self, letter: DeadLetter) -> None:
        if (older := self._letters.pop(letter.original, None)) is not None:
            self._size -= self._size_of(older)
        self._letters[letter.original] = letter
        self._size += self._size_of(letter)
        while self._size > AT_HAND_BYTES:
            self._size -= self._size_of(self._letters.popitem(last=False)[1])

    @staticmethod
    def _size_of(letter: DeadLetter) -> int:
        return OVERHEAD_BYTES + len(letter.key or b"") + len(letter.value or b"")


def _like(letter: DeadLetter, one: DeadLetter) -> DeadLetter:
    """Give a letter with the bytes of another one of its message."""
    needs = needs_of(letter.code, letter.origin[0], letter.line_id, one.value)
    return msgspec.structs.replace(
        letter, key=one.key, value=one.value, source=one.source, digest=one.digest, needs=needs
    )


def _filled(letter: DeadLetter, key: bytes | None, value: bytes | None) -> DeadLetter:
    """Give a letter with the bytes that the message itself has."""
    needs = needs_of(letter.code, letter.origin[0], letter.line_id, value)
    source, digest = _source_of(value), _digest_of(value)
    return msgspec.structs.replace(letter, key=key, value=value, source=source, digest=digest, needs=needs)


def parse(message: Any) -> DeadLetter | None:
    """Give a message of the topic as a letter; None where it is somebody else's."""
    try:
        said = {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers() or ()}
        code, topic, line_id, value = said["code"], said["topic"], said.get("line_id"), message.value()
        origin, logged_ms = (topic, int(said["partition"]), int(said["offset"])), int(said.get("timestamp", "0"))
        return DeadLetter(
            message.partition(),
            message.offset(),
            message.timestamp()[1],
            code,
            said["message"],
            origin,
            line_id,
            int(said.get("attempts", "1")),
            message.key(),
            value,
            logged_ms,
            _source_of(value),
            # Without its bytes it is like no letter but those of the same message.
            _digest_of(value if value != b"" else repr((origin, logged_ms)).encode()),
            needs_of(code, topic, line_id, value),
            value == b"",
        )
    except (KeyError, ValueError):
        return None


def _source_of(value: bytes | None) -> str:
    try:
        return _read_head(value or b"").source
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _digest_of(value: bytes | None) -> bytes:
    return hashlib.blake2b(value or b"", digest_size=16).digest()


def _part(settings: Settings, letter: DeadLetter) -> Part:
    return settings.topic(DEAD_LETTERS), letter.partition
