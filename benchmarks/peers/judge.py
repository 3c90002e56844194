"""Judges what a peer left behind: the last number of each item and channel, against one recomputed from the input.

The recomputation shares nothing with the peers but the list of channels: it keeps every event of an item and adds them
up at the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from benchmarks.peers import job
from benchmarks.peers.job import CHANNELS, LOCATIONS, Figures

Numbers = dict[tuple[str, str], int]
"""(item, channel) to what it may promise; what is absent is 0."""
#: `consume` waits this long for a full thousand; the silence after which Kafka is taken to be gone is longer.
CONSUME_S, SILENCE_S = 0.2, 60.0


class Verdict(NamedTuple):
    """How many numbers agree, and some that do not."""

    compared: int
    wrong: int
    examples: list[str]


def expected(values: Iterable[bytes]) -> Numbers:
    """Recompute every number from the input, repeats left out."""
    seen: set[str] = set()
    physical: dict[tuple[str, str], int] = {}
    barred: dict[tuple[str, str], int] = {}
    for value in values:
        event = orjson.loads(value)
        if event["event_id"] in seen:
            continue
        seen.add(event["event_id"])
        cell = event["item"], event["location"]
        match event:
            case {"type": "stock_status_changed", "to_status": "quarantined", "quantity": quantity}:
                barred[cell] = barred.get(cell, 0) + quantity
            case {"type": "stock_status_changed", "quantity": quantity}:
                barred[cell] = barred.get(cell, 0) - quantity
            case {"type": "stock_received" | "stock_adjusted", "status": status, "quantity": quantity}:
                physical[cell] = physical.get(cell, 0) + quantity
                if status == "quarantined":
                    barred[cell] = barred.get(cell, 0) + quantity
            case _:
                raise ValueError(f"no rule for {event}")
    numbers: Numbers = {}
    for item in {item for item, _ in physical.keys() | barred.keys()}:
        for channel in CHANNELS:
            cells = [(item, LOCATIONS[place]) for place in channel.places]
            free = sum(max(0, physical.get(cell, 0) - barred.get(cell, 0)) for cell in cells)
            held_back = channel.buffer_quantity - (-free * channel.buffer_percent // 100)
            numbers[item, channel.code] = max(0, min(free - held_back, free if channel.cap is None else channel.cap))
    return numbers


def changes(values: Iterable[bytes]) -> int:
    """Count the updates of a tool that publishes each change as it happens."""
    seen: set[str] = set()
    known: dict[str, Figures] = {}
    count = 0
    for value in values:
        event = orjson.loads(value)
        if event["event_id"] not in seen:
            seen.add(event["event_id"])
            known[event["item"]], updates = job.changes(event, known.get(event["item"]) or job.nothing(), "")
            count += len(updates)
    return count


def last_numbers(updates: Iterable[bytes]) -> tuple[Numbers, int]:
    """Give the number with the highest version of each item and channel, and how many updates there were."""
    best: dict[tuple[str, str], tuple[int, int]] = {}
    count = 0
    for value in updates:
        update = orjson.loads(value)
        key = update["item"], update["channel"]
        count += 1
        if key not in best or update["version"] > best[key][0]:
            best[key] = update["version"], update["atp"]
    return {key: atp for key, (_, atp) in best.items()}, count


def compare(right: Mapping[tuple[str, str], int], found: Mapping[tuple[str, str], int]) -> Verdict:
    """Compare all numbers that either knows; one that is missing is 0."""
    keys = right.keys() | found.keys()
    wrong = [key for key in keys if right.get(key, 0) != found.get(key, 0)]
    examples = [
        f"{item} {channel}: {found.get((item, channel))}, not {right.get((item, channel))}"
        for item, channel in sorted(wrong)[:5]
    ]
    return Verdict(len(keys), len(wrong), examples)


def from_redis(client: Any, prefix: str, items: Iterable[str]) -> Numbers:
    """Read what our engine wrote to Redis, as a channel would."""
    numbers: Numbers = {}
    names = [channel.code for channel in CHANNELS]
    pipe = client.pipeline(transaction=False)
    codes = list(items)
    for begin in range(0, len(codes), 1000):
        some = codes[begin : begin + 1000]
        for item in some:
            pipe.hmget(f"{prefix}atp:{item}", names)
        for item, values in zip(some, pipe.execute(), strict=True):
            numbers.update({(item, name): int(value) for name, value in zip(names, values, strict=True) if value})
    return numbers


def read(bootstrap_servers: str, topics: Iterable[str]) -> Iterator[bytes]:
    """Give every committed value of some topics, each partition in order, up to its present end."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "peers-judge",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    try:
        parts = []
        for topic in topics:
            known = consumer.list_topics(topic, timeout=SILENCE_S).topics[topic]
            parts += [TopicPartition(topic, number, OFFSET_BEGINNING) for number in known.partitions]
        consumer.assign(parts)
        left = len(parts)
        heard = time.monotonic()
        while left:
            messages = consumer.consume(1000, CONSUME_S)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE_S:
                raise TimeoutError(f"Kafka gave nothing for {SILENCE_S:.0f} s, with {left} partitions unread")
            for message in messages:
                error = message.error()
                if error is None:
                    yield message.value() or b"null"
                elif error.name() == "_PARTITION_EOF":
                    left -= 1
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()
