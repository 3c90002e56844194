"""Decides which dead letters may be sent again, and sends them: the original bytes, key and partition, and one header.

Rule 1: one message is sent once, however many dead letters speak of it. What of it was applied is a duplicate then.
Rule 2: what would be late by now is sent only where that is accepted, and only where the input topics prove that the
        unit was never applied: every record there with its id has a dead letter that refuses it.
Rule 3: a late count is never sent, and a reference record only while it is the newest of its key.
What cannot be proved is refused: nobody remembers the id of a late unit any more.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaException, Message

from flows.kafka.clients import KafkaProblem
from flows.kafka.sending import ANY_PARTITION, Sender
from flows.kafka.topics import create
from flows.letters.reading import DeadLetter, Place, Wanted, bounds, read_topics
from flows.letters.states import Mark, encode_mark
from flows.recovery.accepting import accepted_at_ms
from flows.runtime.configs import windows_of
from operators.rules.admission import first_recorded, is_late, may_be_accepted_late
from schemas import codes
from schemas.codes import parse_json, parse_time
from schemas.replay import Replay, header, read_header
from schemas.settings import Settings
from schemas.topics import ALIASES, DECISIONS, INPUTS, RAW, REFERENCE, REPLAYS, STATEMENTS

#: Refusals of all of an event, where they name no line.
WHOLE = frozenset(
    {
        codes.NOT_JSON,
        codes.NOT_AN_OBJECT,
        codes.UNKNOWN_TYPE,
        codes.UNSUPPORTED_VERSION,
        codes.TOO_LARGE,
        codes.UNKNOWN_CHANNEL,
        codes.NOT_ALLOWED,
        codes.LATE,
        codes.IN_THE_FUTURE,
    }
)
#: Brokers' clocks may differ; a history that begins this much before it had to is long enough.
CLOCKS_MARGIN_MS = 3_600_000
#: What librdkafka has to say of its connections goes to the log, as it does for the engine.
CLIENT_LOG_LEVEL = 6

Named = tuple[str, str]
"""(line_id, item)"""
Content = tuple[str, bytes | None, bytes]
"""(topic, key, digest of the value)"""


class Fate(NamedTuple):
    """What becomes of one message: sent again, or why not."""

    letter: DeadLetter
    attempts: int
    refusal: str = ""
    late_accepted: tuple[Named, ...] = ()
    #: the letters that speak of it
    names: tuple[str, ...] = ()


class _Event(NamedTuple):
    """What of an event's bytes decides about a replay."""

    source: str
    event_id: str
    type: str
    occurred_at: int
    units: tuple[Named, ...]


def decide(settings: Settings, letters: list[DeadLetter], wanted: Wanted, accept_late: bool, now_us: int) -> list[Fate]:
    """Say of each message that is asked for what becomes of it."""
    chosen: dict[Content, DeadLetter] = {}
    attempts: Counter[Content] = Counter()
    names: dict[Content, list[str]] = defaultdict(list)
    for letter in letters:  # oldest first: the newest word on a message stands
        message = letter.content
        attempts[message] = max(attempts[message], letter.attempts)
        names[message].append(letter.name)
        if wanted.has(letter):
            chosen[message] = letter
    references = {settings.topic(name) for name in (*REFERENCE, ALIASES)}
    newest = _newest_references(settings, {letter.origin[0] for letter in chosen.values()} & references)
    windows, stated = windows_of(settings), settings.topic(STATEMENTS)
    fates: list[Fate] = []
    late: list[tuple[int, _Event]] = []
    for message, letter in chosen.items():
        fate = Fate(letter, attempts[message] + 1, names=tuple(names[message]))
        if letter.is_lost:
            fate = fate._replace(refusal="its bytes are nowhere any more: no letter has them, nor its topic")
        elif letter.origin[0].startswith(settings.topic(f"{RAW}.")):
            # The whole message would be sent as if it were new: its account would forget what its lines became.
            fate = fate._replace(refusal="a line of a raw message: atp translate --replay tries it again, and only it")
        elif letter.origin[0] in references:
            if newest.get((letter.origin[0], letter.key)) != letter.origin[2]:
                fate = fate._replace(refusal="a newer record of its key is there: it would undo that one")
        else:
            event = read_event(letter.value)
            if letter.code == codes.CONFLICT:
                fate = fate._replace(refusal="its id was applied with other content: the first stands")
            elif event is not None and is_late(event.occurred_at, now_us, windows.of(event.source)):
                if letter.origin[0] == stated:
                    fate = fate._replace(refusal="what the engine had at its moment is not known any more: state anew")
                elif not accept_late:
                    fate = fate._replace(refusal="it is late by now: --accept-late, if it is to count all the same")
                elif not may_be_accepted_late(event.type):
                    fate = fate._replace(refusal="a late count is never taken: what happened after it is forgotten")
                else:
                    late.append((len(fates), event))
        fates.append(fate)
    if late:
        history = _History(settings, letters, {(event.source, event.event_id) for _, event in late})
        for index, event in late:
            proved, refusal = history.proves(event)
            fates[index] = fates[index]._replace(refusal=refusal, late_accepted=proved)
    return fates


def send(settings: Settings, fates: Iterable[Fate], tell: Callable[[int], None] = lambda _: None) -> None:
    """Send what is not refused, wait until Kafka has it, and mark its letters; KafkaProblem says what was not taken."""
    fates = [fate for fate in fates if not fate.refusal]
    if fates:
        create(settings, [REPLAYS])  # first: where it cannot be made, nothing is sent that nobody could mark
    failed: list[str] = []
    sent: list[tuple[Fate, Mark]] = []
    sender = Sender(settings, lambda *_: tell(1), log_level=CLIENT_LOG_LEVEL)
    counts: Counter[str] = Counter(topic for topic, _ in bounds(settings, [*INPUTS, STATEMENTS, DECISIONS, *REFERENCE]))
    at = datetime.now(UTC)

    def arrived(fate: Fate, message: Message) -> None:
        place = (message.topic() or "", message.partition() or 0, message.offset() or 0)
        logged_ms = max(0, message.timestamp()[1])
        sent.append((fate, Mark(fate.attempts, int(at.timestamp() * 1000), *place, logged_ms)))

    for fate in fates:
        letter = fate.letter
        topic, partition, _ = letter.origin
        mark = header(Replay(fate.attempts, letter.name, at.isoformat(), list(fate.late_accepted)))
        place = partition if partition < counts[topic] else ANY_PARTITION
        name = topic.removeprefix(settings.topics.prefix)
        try:
            sender.send(name, letter.key, letter.value, place, [mark], partial(arrived, fate))
        except KafkaException as error:
            failed.append(f"{letter.name}: {error}")
    left = sender.settle()
    failed += [f"{topic}: {why}" for topic, why in sender.refused]
    _mark(settings, sent)
    if left or failed:
        raise KafkaProblem(
            f"not all was sent ({left} not acknowledged; {'; '.join(failed[:5]) or 'none refused'}): try again, what "
            "arrived is a duplicate then"
        )


def _mark(settings: Settings, sent: list[tuple[Fate, Mark]]) -> None:
    """Write down where letters were sent to. After the sending: a mark without a message would hide an open letter."""
    if not sent:
        return
    sender = Sender(settings, log_level=CLIENT_LOG_LEVEL)
    for fate, mark in sent:
        for name in fate.names or (fate.letter.name,):
            sender.send(REPLAYS, name.encode(), encode_mark(mark))
    if sender.settle() or sender.refused:
        why = sender.refused[0].why if sender.refused else "not acknowledged"
        raise KafkaProblem(
            f"it was sent, and its letters could not be marked ({why}): they still count as open; sent again they are "
            "duplicates"
        )


def read_event(value: bytes | None) -> _Event | None:
    """Give what of an event decides about its replay; None where it cannot be read."""
    try:
        event: Any = parse_json(value or b"")
        source, event_id, kind = event["source"], event["event_id"], event["type"]
        occurred_at = parse_time(event["occurred_at"])
        lines = event.get("lines")
        if lines is None:
            units: tuple[Named, ...] = (("", str(event["item"])),)
        else:
            units = tuple((str(line["line_id"]), str(line["item"])) for line in lines)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if not (isinstance(source, str) and isinstance(event_id, str) and isinstance(kind, str)):
        return None
    return _Event(source, event_id, kind, occurred_at, units)


def _newest_references(settings: Settings, topics: set[str]) -> dict[tuple[str, bytes | None], int]:
    names = [name for name in (*REFERENCE, ALIASES) if settings.topic(name) in topics]
    newest: dict[tuple[str, bytes | None], int] = {}
    for message in read_topics(settings, names) if names else ():
        newest[message.topic(), message.key()] = message.offset()
    return newest


class _Head(msgspec.Struct):
    source: str = ""
    event_id: str = ""


_read_head = msgspec.json.Decoder(_Head).decode


class _Record(NamedTuple):
    """A record of an input topic, and which of its units may be late."""

    place: Place
    logged_ms: int
    event: _Event
    accepted: frozenset[Named]


class _History:
    """What the input topics still hold of some ids, and what became of it."""

    def __init__(self, settings: Settings, letters: list[DeadLetter], ids: set[tuple[str, str]]) -> None:
        self._skew = settings.max_clock_skew
        self._refused: dict[Place, list[DeadLetter]] = defaultdict(list)
        # A topic that was made again does not hold what came before, and its places are other records'.
        again = accepted_at_ms(settings)
        for letter in letters:
            if letter.written_ms >= again.get(letter.origin[0], 0):
                self._refused[letter.origin].append(letter)
        self._records: dict[tuple[str, str], list[_Record]] = defaultdict(list)
        #: of partitions that lost their beginning: when their oldest record was logged, None where nobody can say
        self._begin: dict[tuple[str, int], int | None] = {}
        places = bounds(settings, list(INPUTS))
        for place, (low, _) in places.items():
            if low > 0:
                self._begin[place] = None
        seen: set[tuple[str, int]] = set()
        for message in read_topics(settings, list(INPUTS)):
            place = (message.topic(), message.partition())
            if place not in seen:
                seen.add(place)
                kind, logged_ms = message.timestamp()
                if place in self._begin and kind == TIMESTAMP_LOG_APPEND_TIME:
                    self._begin[place] = logged_ms
            value = message.value() or b""
            try:
                head = _read_head(value)
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass  # unusual, or nothing of ours: read as the engine reads it
            else:
                if (head.source, head.event_id) not in ids:
                    continue
            event = read_event(value)
            if event is not None and (event.source, event.event_id) in ids:
                replay = read_header(message.headers() or ())
                accepted = frozenset(replay.late_accepted) if replay is not None else frozenset()
                record = _Record((*place, message.offset()), message.timestamp()[1], event, accepted)
                self._records[event.source, event.event_id].append(record)

        for topic, partition in places:
            if topic in again:
                since = self._begin.get((topic, partition), 0)
                self._begin[topic, partition] = None if since is None else max(since, again[topic])

    def proves(self, event: _Event) -> tuple[tuple[Named, ...], str]:
        """Give the units that were certainly never applied, or, where there are none, why that cannot be said."""
        oldest = first_recorded(event.occurred_at, self._skew) // 1000 - CLOCKS_MARGIN_MS
        for (topic, partition), logged_ms in self._begin.items():
            if logged_ms is None or logged_ms > oldest:
                return (), f"{topic}/{partition} does not reach back to when it happened: it may have been applied"
        proved = []
        doubt = ""
        for unit in event.units:
            doubts = [
                record.place
                for record in self._records[event.source, event.event_id]
                if unit in record.event.units and not self._is_refused(record, unit)
            ]
            if doubts:
                topic, partition, offset = doubts[0]
                doubt = f"{topic}/{partition}/{offset} has the same id and was not refused: it was, or may be, applied"
            else:
                proved.append(unit)
        return tuple(proved), "" if proved else doubt

    def _is_refused(self, record: _Record, unit: Named) -> bool:
        """Does a dead letter say that this record's unit was not applied?"""
        units = record.event.units
        if sum(unit[0] == line_id for line_id, _ in units) > 1:
            return False  # a letter names a line, and this line is there twice
        for letter in self._refused[record.place]:
            if not letter.may_be_of(record.logged_ms):
                continue
            if letter.line_id is not None:
                if letter.line_id == unit[0]:
                    return True
            elif len(units) == 1 or (letter.code in WHOLE and unit not in record.accepted):
                return True
        return False


def now_us() -> int:
    """Give the wall clock in UTC microseconds."""
    return time.time_ns() // 1000
