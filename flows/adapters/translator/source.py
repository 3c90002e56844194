"""Aliases to their end first, then raw messages; both go on from where the last snapshot stands.

One source with two parts, because Bytewax ends the epochs of each source by a timer of its own, and sources whose
timers drift apart wait for each other. Which raw topics there are is asked now and then: a source that begins to send
needs no restart.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from flows.adapters.translator.shared import Shared
from flows.adapters.translator.words import NOBODY, AliasNews, Raw
from flows.kafka.clients import CONNECT_TIMEOUT_S, NO_LEADER, Complaints, KafkaProblem, consumer_config, span_of
from flows.log import get_log
from operators.adapters.retelling import Again, Became, unpack_became
from schemas.codes import is_code
from schemas.documents import AGAIN_HEADER, BECAME_HEADER
from schemas.settings import Settings
from schemas.topics import ALIASES, RAW
from schemas.units import Origin

log = get_log(__name__)

ALIASES_PART, RAW_PART = "aliases", "raw"
#: Messages that are taken at a time: a megabyte each at most, and what they become is in memory until it is sent.
POLL_MAX: Final = 100
ALIASES_POLL_MAX: Final = 10_000
DISCOVER_EVERY_S: Final = 5.0
DISCOVER_TIMEOUT_S: Final = 1.0
READ_TIMEOUT_S: Final = 60.0
#: How long a poll waits where nothing comes; the dataflow idles in steps of 1 ms by itself.
POLL_S: Final = 0.0

Word = AliasNews | Raw
_positions = msgspec.msgpack.Decoder(dict[str, int])
_again = msgspec.json.Decoder(Again)


def parts_there(settings: Settings, consumer: Consumer, timeout_s: float = CONNECT_TIMEOUT_S) -> list[tuple[str, int]]:
    """Give the partitions of all raw topics that there are; KafkaProblem if Kafka does not tell."""
    prefix = settings.topic(f"{RAW}.")
    try:
        topics = consumer.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise KafkaProblem(f"Kafka does not tell which raw topics there are: {error}") from error
    return sorted(
        (name, partition)
        for name, facts in topics.items()
        if name.startswith(prefix) and is_code(name.removeprefix(prefix)) and facts.error is None
        for partition in facts.partitions
    )


def translator_group(settings: Settings) -> str:
    """The consumer group under which the translator's lag shows."""
    return f"{settings.kafka.group}-translator"


class TranslatorSource(FixedPartitionedSource[Word, bytes]):
    """inventory.aliases, and all of inventory.raw.*."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def list_parts(self) -> list[str]:
        """Two: one process reads everything."""
        return [ALIASES_PART, RAW_PART]

    def build_part(
        self, step_id: str, for_part: str, resume_state: bytes | None
    ) -> StatefulSourcePartition[Word, bytes]:
        """Go on where the last snapshot was."""
        positions = _positions.decode(resume_state) if resume_state else {}
        return (AliasesPart if for_part == ALIASES_PART else RawPart)(self._shared, positions)


class _Part(StatefulSourcePartition[Word, bytes]):
    """One consumer, and its positions by "topic/partition"."""

    def __init__(self, shared: Shared, positions: dict[str, int], reset: str) -> None:
        self._shared = shared
        self._positions = positions
        self._consumer = Consumer(
            consumer_config(
                shared.settings, **{"group.id": translator_group(shared.settings), "auto.offset.reset": reset}
            )
        )
        self._complaints = Complaints()
        self._snapped: dict[str, int] | None = None

    def _poll(self, most: int, timeout_s: float) -> list[Any]:
        try:
            return self._consumer.consume(most, timeout_s)
        except KafkaException as problem:
            raise KafkaProblem(f"topics cannot be read: {problem}") from problem

    def _complain(self, message: Any) -> None:
        error = message.error()
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise KafkaProblem(
                f"topic {message.topic()} does not go on where it was read last ({error.str()}): it was made again, or "
                f"lost messages; name an empty folder in translator.dir, and everything is read again: what was said "
                "once counts once"
            )
        if error.code() not in NO_LEADER and self._complaints.is_new(message.topic(), error):
            log.warning(
                f"kafka: {error}",
                kind="kafka_read",
                next="reading goes on by itself; if this stays, see whether the brokers run: atp check",
            )

    def snapshot(self) -> bytes:
        """Give the positions."""
        self._snapped = dict(self._positions)
        return msgspec.msgpack.encode(self._positions)

    def _tell_progress(self) -> None:
        """Tell Kafka what went through the sink: its tools show the lag by it."""
        snapped, self._snapped = self._snapped, None
        if not snapped:
            return
        offsets = []
        for part, position in snapped.items():
            topic, _, number = part.rpartition("/")
            offsets.append(TopicPartition(topic, int(number), position))
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            log.warning(
                f"offsets of raw topics could not be committed: {error}",
                kind="offsets",
                next="recovery does not need them; allow the group to be read if this stays",
            )

    def close(self) -> None:
        """Let go of the topics."""
        self._tell_progress()
        self._consumer.close()


class AliasesPart(_Part):
    """inventory.aliases."""

    def __init__(self, shared: Shared, positions: dict[str, int]) -> None:
        # A position that is gone is no loss here: what stands is read again, and the same record changes nothing.
        super().__init__(shared, positions, "earliest")
        self._topic = shared.settings.topic(ALIASES)
        self._part = f"{self._topic}/0"
        self._is_first = True
        self._consumer.assign([TopicPartition(self._topic, 0, positions.get(self._part, OFFSET_BEGINNING))])

    def next_batch(self) -> Iterable[Word]:
        """Give everything up to the end at first, what is new after that."""
        if self._shared.stop.is_set():
            raise StopIteration
        self._tell_progress()
        records: dict[str, list[Origin]] = {}
        if not self._is_first:
            if self._shared.until_caught_up:
                raise StopIteration
            self._consume(records, 0)
            return [AliasNews(source, news) for source, news in records.items()]
        deadline = time.monotonic() + READ_TIMEOUT_S
        while not self._consume(records, 0.1):
            if self._shared.stop.is_set():
                raise StopIteration
            if time.monotonic() > deadline:
                raise KafkaProblem(f"topic {self._topic} could not be read to its end: Kafka is silent")
        self._is_first = False
        sources = dict.fromkeys([*records, *sorted(self._shared.unread)])
        return [AliasNews(source, records.get(source, []), is_read=True) for source in sources]

    def _consume(self, records: dict[str, list[Origin]], timeout_s: float) -> bool:
        """Add what came; says whether the end was reached."""
        for message in self._poll(ALIASES_POLL_MAX, timeout_s):
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                self._positions[self._part] = message.offset()
                return True
            if error is not None:
                self._complain(message)
                continue
            self._positions[self._part] = message.offset() + 1
            key = message.key()
            source = (key or b"").partition(b":")[0].decode("utf-8", "replace")
            origin = Origin(self._topic, 0, message.offset(), message.timestamp()[1], key, message.value())
            records.setdefault(source if is_code(source) else NOBODY, []).append(origin)
        return False


class RawPart(_Part):
    """All raw topics."""

    def __init__(self, shared: Shared, positions: dict[str, int]) -> None:
        super().__init__(shared, positions, "error")
        self._read: set[tuple[str, int]] = set()
        self._prefix = shared.settings.topic(f"{RAW}.")
        self._ends: dict[tuple[str, int], int] = {}
        self._discovered_at = time.monotonic()
        # Without an answer nothing would seem to be there, and a run until all is translated would end at once.
        self._take_new(parts_there(shared.settings, self._consumer))
        if shared.until_caught_up:
            self._ends = {part: self._end_of(part) for part in self._read}

    def next_batch(self) -> Iterable[Word]:
        """Give what has come, once the aliases are there."""
        shared = self._shared
        if shared.stop.is_set():
            raise StopIteration
        self._tell_progress()
        if shared.unread:
            return []
        if shared.until_caught_up and self._is_at_end():
            raise StopIteration
        if not shared.until_caught_up and time.monotonic() - self._discovered_at > DISCOVER_EVERY_S:
            self._discover()
        if not self._read:
            return []
        out = []
        for message in self._poll(POLL_MAX, POLL_S):
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            error = message.error()
            if error is None:
                self._positions[f"{topic}/{partition}"] = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                # The end may be behind the last message: marks of transactions stand there, or what was deleted.
                self._pass_over(f"{topic}/{partition}", offset)
                continue
            else:
                self._complain(message)
                continue
            out.append(raw_of(message, topic.removeprefix(self._prefix)))
        return out

    def _end_of(self, part: tuple[str, int]) -> int:
        """Ask where it ends, for as long as aliases are waited for: a broker that is busy answers late."""
        deadline = time.monotonic() + READ_TIMEOUT_S
        while True:
            try:
                return span_of(self._consumer, TopicPartition(*part))[1]
            except KafkaException as error:
                if error.args[0].code() != KafkaError._TIMED_OUT or time.monotonic() > deadline:
                    raise KafkaProblem(f"Kafka does not tell where {part[0]}/{part[1]} ends: {error}") from error

    def _pass_over(self, part: str, end: int) -> None:
        if end > self._positions.get(part, 0):
            self._positions[part] = end

    def _is_at_end(self) -> bool:
        ends = self._ends | self._shared.later_ends
        return all(self._positions.get(f"{topic}/{number}", 0) >= end for (topic, number), end in ends.items())

    def _discover(self) -> None:
        self._discovered_at = time.monotonic()
        try:
            self._take_new(parts_there(self._shared.settings, self._consumer, DISCOVER_TIMEOUT_S))
        except KafkaProblem as problem:
            log.warning(
                str(problem),
                kind="kafka_read",
                next="it is asked again by itself; if this stays, see whether the brokers run: atp check",
            )

    def _take_new(self, found: list[tuple[str, int]]) -> None:
        new = [part for part in found if part not in self._read]
        if new:
            self._read.update(new)
            # Never read is read from the first that is there: OFFSET_BEGINNING is no position to be lost.
            self._consumer.incremental_assign(
                [TopicPartition(*part, self._positions.get("{}/{}".format(*part), OFFSET_BEGINNING)) for part in new]
            )


def raw_of(message: Any, source: str) -> Raw:
    """Give a raw message with its headers; those of one that is sent again are taken apart."""
    value, key = message.value(), message.key()
    origin = Origin(message.topic(), message.partition(), message.offset(), message.timestamp()[1], key, value)
    headers: dict[str, str] = {}
    again: Again | None = None
    before: Became | None = None
    for name, said in message.headers() or ():
        content = said or b""
        if name == BECAME_HEADER:
            before = unpack_became(content)
        elif name == AGAIN_HEADER:
            try:
                again = _again.decode(content)
            except msgspec.DecodeError:
                log.warning(
                    f"{message.topic()}/{message.partition()}/{message.offset()}: its header {AGAIN_HEADER} cannot be "
                    "read: taken as a new message",
                    kind="header",
                    next="let nobody but atp write that header",
                )
        else:
            headers[name.lower()] = content.decode("utf-8", "replace")
    return Raw(source, origin, headers, again, before)
