"""What Redis and Kafka know of an earlier run: a start that lacks that run's state would publish wrong numbers.

Two kinds of knowledge. What was *read* shows that there was a snapshot once, for events flow only after the first one
is committed. What was *said* may also come from the very first moments of a run, which publishes what follows from
reference data alone; a run that died then has lost nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.kafka.clients import CONNECT_TIMEOUT_S, NO_LEADER, KafkaProblem, consumer_config, partitions_of
from flows.log import get_log
from flows.readmodel.store import Store
from schemas.settings import Settings
from schemas.topics import INPUTS, POSITIONS, UPDATES

log = get_log(__name__)

Answer = TypeVar("Answer")
#: A Kafka that was never asked for a group makes the topic of all groups first.
COORDINATOR_PATIENCE_S = 15.0
PASSING = NO_LEADER | {
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
}
#: Of each kind so many are named: a sentence is to be read.
NAMED_MAX = 2

_reached = msgspec.msgpack.Decoder(tuple[dict[str, int], int])


@dataclass(slots=True)
class EarlierRun:
    """What is known of one, by where it is known from; all empty: nothing is."""

    #: sentences that show that events were read, or that some are gone which only state can make up for
    read: list[str] = field(default_factory=list)
    #: sentences that show that something was published
    said: list[str] = field(default_factory=list)

    def proves_state(self, is_first: bool) -> bool:
        """Must there be state? `is_first`: the folder says of itself that its first epoch had not ended."""
        return bool(self.read or (self.said and not is_first))

    def __str__(self) -> str:
        return "; ".join([*self.read, *self.said])


def earlier_run(settings: Settings, store: Store) -> EarlierRun:
    """Ask Redis and Kafka; Outage or KafkaProblem where one does not answer."""
    found = EarlierRun()
    _ask_redis(store, found)
    _ask_kafka(settings, found)
    return found


def _ask_redis(store: Store, found: EarlierRun) -> None:
    key = store.reached_key()
    fields = store.all_of(key)
    if not fields:
        return
    token = int(store.ask("HGET", store.fence_key(), "token") or 0)
    offsets: dict[str, int] = {}
    for name, raw in fields.items():
        if b":" in name:
            continue  # the mark of a shard that is whole
        for part, offset in _offsets(raw).items():
            offsets[part] = max(offset, offsets.get(part, -1))
    if offsets:
        places = _some([f"{part} up to offset {offset}" for part, offset in sorted(offsets.items())])
        found.read.append(f"Redis ({key}) has what run {token} published after it had read {places}")
    else:
        found.said.append(f"Redis ({key}) has what run {token} published")


def _offsets(raw: bytes) -> dict[str, int]:
    try:
        return _reached.decode(raw)[0]
    except msgspec.DecodeError:
        return {}


def _ask_kafka(settings: Settings, found: EarlierRun) -> None:
    counts = partitions_of(settings, (*INPUTS, *UPDATES, POSITIONS))
    inputs = {settings.topic(name) for name in INPUTS}
    places = [TopicPartition(name, number) for name, count in counts.items() for number in range(count)]
    consumer = Consumer(consumer_config(settings, log_level=0))
    try:
        committed = _committed(settings, consumer, [place for place in places if place.topic in inputs])
        spans = {place: _span(consumer, place) for place in places}
    except KafkaException as error:
        raise KafkaProblem(
            f"Kafka does not tell what an earlier run has left in {settings.topics.prefix or 'its topics'} "
            f"({error.args[0]}): see whether all brokers run, and allow Describe on the topics"
        ) from error
    finally:
        consumer.close()
    read = [f"{_name(place)} up to offset {place.offset - 1}" for place in committed if place.offset > 0]
    if read:
        found.read.append(f"Kafka has it that the group {settings.kafka.group} has read {_some(read)}")
    late = [f"{_name(place)} at offset {low}" for place, (low, _) in spans.items() if place.topic in inputs and low]
    if late:
        found.read.append(f"Kafka no longer has the first events: it begins {_some(late)}")
    said: dict[str, int] = {}
    for place, (low, high) in spans.items():
        if place.topic not in inputs and high > low:
            said[place.topic] = said.get(place.topic, 0) + high - low
    if said:
        found.said.append(f"Kafka has {_some([f'{count} records in {name}' for name, count in sorted(said.items())])}")


def _committed(settings: Settings, consumer: Consumer, places: list[TopicPartition]) -> list[TopicPartition]:
    """Ask what the group has read. The engine can do without it, and so can this: there is more to know it by."""
    try:
        return _patiently(lambda: consumer.committed(places, timeout=CONNECT_TIMEOUT_S))
    except KafkaException as error:
        log.warning(
            f"Kafka does not tell what the group {settings.kafka.group} has read ({error.args[0]})",
            kind="offsets",
            next="allow Read on the group; without it an earlier run is known by Redis and the output topics alone",
        )
        return []


def _span(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    found: tuple[int, int] = _patiently(lambda: consumer.get_watermark_offsets(place, timeout=CONNECT_TIMEOUT_S))
    return found


def _patiently(ask: Callable[[], Answer]) -> Answer:
    """Ask again where the broker that has to answer is just being found: of a new Kafka, or while leaders change."""
    deadline = time.monotonic() + COORDINATOR_PATIENCE_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in PASSING or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _name(place: Any) -> str:
    return f"{place.topic}/{place.partition}"


def _some(names: list[str]) -> str:
    left = len(names) - NAMED_MAX
    return ", ".join(names[:NAMED_MAX]) + (f" and {left} more" if left > 0 else "")
