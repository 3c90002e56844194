"""Says what became of each dead letter: nothing yet, sent again, in force, or refused once more.

Nothing of it is kept by the engine. A newer letter of the same message tells that it was refused again; a mark that
`atp dead-letters replay` leaves in a topic of its own tells where it was sent to, and Kafka how far the engine has read
there: what was read and not refused was applied, or had been before. A mark that is lost, by a kill between the sending
and the mark, leaves a letter open: sent once more it is a duplicate, which counts nothing.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from flows.kafka.clients import CONNECT_TIMEOUT_S, KafkaProblem, consumer_config, partitions_of
from flows.kafka.reading import Part, Place, TopicReader, bounds
from flows.letters.known_codes import known_now
from flows.letters.raw_lines import used_since
from flows.letters.reading import DeadLetter
from schemas.settings import Settings
from schemas.topics import INPUTS, REPLAYS

OPEN: Final = "open"
SENT: Final = "sent"
PENDING: Final = "pending"
APPLIED: Final = "applied"
REFUSED_AGAIN: Final = "refused_again"
STATES: Final = (OPEN, PENDING, SENT, APPLIED, REFUSED_AGAIN)
"""Nothing was sent since; sent and not read yet; sent, a reference record, of which no position is told; read and not
refused; refused by a newer letter."""

#: A message that is read may still wait for what it names (reference_grace), and its letter for the epoch's end.
SETTLE_MS = 2_000


class Mark(msgspec.Struct, omit_defaults=True):
    """What the topic of marks holds under a letter's name."""

    #: how often it was tried with this sending
    attempts: int
    #: when it was sent, UTC milliseconds
    at_ms: int
    topic: str
    partition: int
    offset: int
    #: when Kafka logged it there, UTC milliseconds; 0: a mark from before that was noted
    logged_ms: int = 0

    @property
    def place(self) -> Place:
        """Give where it was sent to."""
        return (self.topic, self.partition, self.offset)


class State(NamedTuple):
    """What became of a letter."""

    word: str
    #: the letter that refuses it again
    again: str = ""
    #: when it was sent again, UTC milliseconds; 0: not, or by hand
    sent_ms: int = 0


_decode = msgspec.json.Decoder(Mark).decode
encode_mark = msgspec.json.Encoder().encode


def states_of(settings: Settings, letters: list[DeadLetter]) -> dict[str, State]:
    """Map the name of each letter to what became of it. `letters`: oldest first, with all that are newer."""
    marks = read_marks(settings)
    read_to = committed(settings, {mark.topic for mark in marks.values()})
    inputs = {settings.topic(name) for name in INPUTS}
    by_origin: dict[Place, list[DeadLetter]] = defaultdict(list)
    by_content: dict[Any, list[DeadLetter]] = defaultdict(list)
    for letter in letters:
        by_origin[letter.origin].append(letter)
        by_content[letter.content].append(letter)
    used = used_since(settings, letters)
    settled_ms = int(time.time() * 1000) - SETTLE_MS - settings.reference_grace // 1000

    def state(letter: DeadLetter) -> State:
        if letter.name in used:
            return State(APPLIED)
        mark = marks.get(letter.name)
        sent_ms = mark.at_ms if mark is not None else 0
        others = [one for one in by_origin[mark.place] if one.may_be_of(mark.logged_ms)] if mark is not None else ()
        tries = (*others, *(one for one in by_content[letter.content] if one.attempts > letter.attempts))
        again = [one for one in tries if one.name != letter.name and letter.speaks_of(one.line_id)]
        if mark is None or any(one.attempts >= mark.attempts for one in again):
            return State(REFUSED_AGAIN, again[-1].name, sent_ms) if again else State(OPEN)
        if mark.topic not in inputs:
            return State(SENT, "", sent_ms)
        is_read = read_to.get((mark.topic, mark.partition), 0) > mark.offset and mark.at_ms < settled_ms
        return State(APPLIED if is_read else PENDING, "", sent_ms)

    return {letter.name: state(letter) for letter in letters}


def read_marks(settings: Settings) -> dict[str, Mark]:
    """Map the name of each letter that was sent again to the newest mark. Without the topic: nothing was."""
    try:
        spans = bounds(settings, [REPLAYS])
    except KafkaProblem:
        partitions_of(settings, INPUTS)  # the topic is younger than the others; what else is wrong is said
        return {}
    marks: dict[str, Mark] = {}
    with TopicReader(settings) as reader:
        for message in reader.read(spans):
            name = (message.key() or b"").decode("utf-8", "replace")
            try:
                marks[name] = _decode(message.value() or b"")
            except msgspec.DecodeError:
                marks.pop(name, None)  # taken back, or somebody else's
    return marks


def committed(settings: Settings, topics: Iterable[str]) -> dict[Part, int]:
    """Map each partition to the offset that the engine's finished epochs have read up to."""
    wanted = set(topics)
    if not wanted:
        return {}
    counts = {name: count for name, count in partitions_of(settings, INPUTS).items() if name in wanted}
    places = [TopicPartition(name, partition) for name, count in counts.items() for partition in range(count)]
    consumer = Consumer(consumer_config(settings, log_level=0))
    try:
        found = consumer.committed(places, timeout=CONNECT_TIMEOUT_S) if places else []
    except KafkaException as error:
        raise KafkaProblem(f"Kafka does not tell what the group {settings.kafka.group} has read: {error}") from error
    finally:
        consumer.close()
    return {(place.topic, place.partition): place.offset for place in found}


def worth_sending(settings: Settings, letters: list[DeadLetter], states: dict[str, State]) -> list[DeadLetter]:
    """Give the open letters whose unknown code has become known."""
    lacking = [letter for letter in letters if letter.needs and states[letter.name].word == OPEN]
    known = known_now(settings, {need for letter in lacking for need in letter.needs})
    return [letter for letter in lacking if known.issuperset(letter.needs)]
