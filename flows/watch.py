"""Follows the update topics from their ends: what is published from now on, by lane. Commits nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import orjson
from confluent_kafka import OFFSET_END, Consumer, KafkaError, TopicPartition

from flows.kafka import KafkaProblem, consumer_config, partitions_of
from schemas.settings import Settings

POLL_S = 0.2
POLL_MAX = 500
STYLES = {"critical": "bold red", "high": "yellow", "normal": "green", "bulk": "dim"}


def follow(
    settings: Settings, lanes: tuple[str, ...], item: str | None, channel: str | None, limit: int | None, as_json: bool
) -> None:
    """Print each update as it comes; returns after `limit` of them."""
    if as_json:
        for shown, value in enumerate(updates(settings, lanes, item, channel), 1):
            sys.stdout.buffer.write(value + b"\n")
            sys.stdout.buffer.flush()
            if limit is not None and shown >= limit:
                return
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.print(f"following {', '.join(lanes)}; Ctrl-C ends it", style="dim")
    for shown, value in enumerate(updates(settings, lanes, item, channel), 1):
        update = orjson.loads(value)
        before = "new" if update["previous"] is None else str(update["previous"])
        line = Text()
        line.append(f"{update['processed_at'][11:23]}  ", style="dim")
        line.append(f"{update['lane']:<8}", style=STYLES[update["lane"]])
        line.append(f"  {update['item']:<24} {update['channel']:<16} {before:>8} -> {update['atp']:<8} ")
        line.append(str(update["cause"]), style="dim")
        console.print(line, soft_wrap=True)
        if limit is not None and shown >= limit:
            return


def updates(settings: Settings, lanes: tuple[str, ...], item: str | None, channel: str | None) -> Iterator[bytes]:
    """Give the JSON of each update from now on, for ever."""
    topics = partitions_of(settings, [f"atp.updates.{lane}" for lane in lanes])
    consumer = Consumer(consumer_config(settings, **{"group.id": f"{settings.kafka.group}-watch"}))
    try:
        consumer.assign(
            [TopicPartition(name, number, OFFSET_END) for name, count in topics.items() for number in range(count)]
        )
        while True:
            for message in consumer.consume(POLL_MAX, POLL_S):
                error = message.error()
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF and error.fatal():
                        raise KafkaProblem(f"{message.topic()}: {error.str()}")
                    continue
                value, key = message.value(), message.key()
                if value is None or key is None:
                    continue  # compacted topics may hold tombstones
                of_item, _, of_channel = key.decode().partition(":")
                if item in (None, of_item) and channel in (None, of_channel):
                    yield value
    finally:
        consumer.close()
