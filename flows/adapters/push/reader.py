"""Follows what the pusher needs of Kafka, in one consumer: updates, aliases, scales, budgets, and the shop's orders.

Compacted topics are read whole at each start, for the newest number of each item is needed to know that an older one is
old. What of it has to be set is told by the positions that were committed: what stands behind them is new.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from flows.adapters.intake.poller import SECOND
from flows.kafka.clients import (
    CONNECT_TIMEOUT_S,
    NO_LEADER,
    Complaints,
    KafkaProblem,
    consumer_config,
    partitions_of,
    span_of,
)
from flows.log import get_log
from flows.runtime.run import now as wall_clock
from operators.adapters.account import Refused
from operators.adapters.alias_records import judge_alias
from operators.adapters.order_gate import Ends, Orders
from operators.adapters.pushing import Book, Part
from operators.adapters.shop_api import moment_of
from schemas.reference import ReferenceError, parse_reference
from schemas.settings import Settings
from schemas.topics import ALIASES, UPDATES, raw_topic

log = get_log(__name__)

ITEMS: Final = "inventory.items"
CHANNELS: Final = "inventory.channels"
POLL_MAX: Final = 1000
POLL_S: Final = 0.05
COMMIT_EVERY_S: Final = 2.0


class _Update(msgspec.Struct):
    item: str
    channel: str
    atp: int
    version: int


class _Order(msgspec.Struct):
    id: int | str = ""
    updated_at: str = ""
    orders: list[_Order] = []


_update = msgspec.json.Decoder(_Update)
_order = msgspec.json.Decoder(_Order)


def group_of(settings: Settings, source: str) -> str:
    """The consumer group under which a shop's positions are kept."""
    return f"{settings.kafka.group}-push-{source}"


class Reader:
    """One shop's consumer. KafkaProblem where a topic is missing, or Kafka does not answer at the start."""

    def __init__(
        self, settings: Settings, source: str, book: Book, orders: Orders, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._source, self._book, self._orders, self._clock = settings, source, book, orders, clock
        self._updates = {settings.topic(name) for name in UPDATES}
        self._alias_part: Part = (settings.topic(ALIASES), 0)
        self._channels = settings.topic(CHANNELS)
        self._raw = settings.topic(raw_topic(source))
        self._complaints = Complaints()
        counts = partitions_of(settings, [*UPDATES, ALIASES, ITEMS, CHANNELS, raw_topic(source)])
        self._consumer = Consumer(
            consumer_config(settings, **{"group.id": group_of(settings, source), "auto.offset.reset": "earliest"})
        )
        parts = [TopicPartition(name, number) for name, count in counts.items() for number in range(count)]
        try:
            self._committed = self._find_committed([part for part in parts if part.topic != self._raw])
            starts = [
                TopicPartition(part.topic, part.partition, OFFSET_BEGINNING)
                for part in parts
                if part.topic != self._raw
            ]
            starts += self._consumer.offsets_for_times(
                [
                    TopicPartition(part.topic, part.partition, orders.since // 1000)
                    for part in parts
                    if part.topic == self._raw
                ],
                timeout=CONNECT_TIMEOUT_S,
            )
            self._consumer.assign(starts)
        except KafkaException as error:
            self._consumer.close()
            raise KafkaProblem(f"Kafka does not tell where to go on: {error}") from error
        self.positions: dict[Part, int] = {}
        self._unread = {(part.topic, part.partition) for part in parts}
        self._told: dict[Part, int] = {}
        self._commit_at = clock() + COMMIT_EVERY_S

    def _find_committed(self, parts: list[TopicPartition]) -> dict[Part, int]:
        found = self._consumer.committed(parts, timeout=CONNECT_TIMEOUT_S)
        return {(part.topic, part.partition): part.offset for part in found if part.offset >= 0}

    def close(self) -> None:
        """Let go of Kafka."""
        self.commit(is_last=True)
        self._consumer.close()

    def is_complete(self) -> bool:
        """Was all of it read to its end once? Before that an older number may look like the newest."""
        return not self._unread

    def take(self, timeout_s: float = POLL_S) -> int:
        """Hear what came; gives how many messages."""
        try:
            messages: list[Any] = self._consumer.consume(POLL_MAX, timeout_s)
        except KafkaException as problem:
            raise KafkaProblem(f"topics cannot be read: {problem}") from problem
        for message in messages:
            part = (message.topic(), message.partition())
            error = message.error()
            if error is None:
                self._complaints.forget(part)
                self._hear(part, message)
                self.positions[part] = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self.positions[part] = message.offset()
                self._unread.discard(part)
            elif error.code() not in NO_LEADER and self._complaints.is_new(part, error):
                log.warning(
                    f"kafka: {error}",
                    kind="kafka_read",
                    next="reading goes on by itself; if this stays, see whether the brokers run: atp check",
                )
        return len(messages)

    def _hear(self, part: Part, message: Any) -> None:
        value, offset = message.value(), message.offset()
        is_new = offset >= self._committed.get(part, 0)
        moment = self._clock()
        if part[0] in self._updates:
            if value is None:
                return  # an item that is gone was set to 0 before its record went
            try:
                update = _update.decode(value)
            except msgspec.DecodeError:
                self._complain(part, offset, "an update")
                return
            self._book.take_number(
                (update.item, update.channel), update.version, update.atp, part, offset, is_new, moment
            )
        elif part == self._alias_part:
            try:
                alias = judge_alias(message.key(), value, self._settings.max_message_bytes)
            except Refused:
                return  # the translator says so
            if alias.source == self._source and alias.kind == "item":
                self._book.take_alias(alias.theirs, alias.ours, part, offset, is_new, moment)
        elif part[0] == self._raw:
            self._hear_order(value or b"")
        elif part[0] == self._channels:
            self._hear_channel(message.key(), value)
        elif value is not None:
            try:
                record: Any = parse_reference("items", message.key(), value)
            except ReferenceError:
                return  # the engine says so, and keeps what it had
            self._book.take_scale(record.item, record.scale, moment)

    def _hear_channel(self, key: bytes | None, value: bytes | None) -> None:
        if value is None:
            self._book.take_budget((key or b"").decode("utf-8", "replace"), False)
            return
        try:
            record: Any = parse_reference("channels", key, value)
        except ReferenceError:
            return  # the engine says so, and keeps what it had
        self._book.take_budget(record.channel, record.max_updates_per_second is not None)

    def _hear_order(self, value: bytes) -> None:
        try:
            told = _order.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return  # no order: what it is, is the translator's to say
        for order in (told, *told.orders):
            moment = moment_of(order.updated_at)
            if order.id != "" and moment is not None:
                self._orders.read(str(order.id), moment)

    def _complain(self, part: Part, offset: int, what: str) -> None:
        log.error(
            f"{part[0]}/{part[1]}/{offset}: expected {what} of the engine's, got other text: passed over",
            kind="unreadable",
            next="let nobody but the engine write there",
        )

    def commit(self, is_last: bool = False) -> None:
        """Tell Kafka, now and then, before what nothing is due any more."""
        if not is_last and self._clock() < self._commit_at:
            return
        self._commit_at = self._clock() + COMMIT_EVERY_S
        if not self.is_complete():
            return
        marks = self._book.marks()
        wanted = {
            part: min(position, marks.get(part, position))
            for part, position in self.positions.items()
            if part[0] in self._updates or part == self._alias_part
        }
        changed = {part: offset for part, offset in wanted.items() if self._told.get(part) != offset}
        if not changed:
            return
        try:
            offsets = [TopicPartition(*part, offset) for part, offset in changed.items()]
            if is_last:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            self._told |= changed
        except KafkaException as error:
            log.warning(
                f"positions could not be committed: {error}",
                kind="offsets",
                next="the next start sets some numbers once more, which changes none; let the group be read",
            )

    def ends(self, topics: set[str]) -> Ends:
        """Ask where all partitions of topics begin and end now."""
        counts = partitions_of(self._settings, sorted(topics))
        try:
            return {
                (name, number): span_of(self._consumer, TopicPartition(name, number))
                for name, count in counts.items()
                for number in range(count)
            }
        except KafkaException as error:
            raise KafkaProblem(f"Kafka does not tell where topics end: {error}") from error


def since(orders_back: int) -> int:
    """Give the moment from which on orders have to be read, in UTC microseconds, whole seconds."""
    return (wall_clock() - orders_back) // SECOND * SECOND
