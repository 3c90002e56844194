"""Follows the update topics from their ends: what is published from now on, by lane. Commits nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson
from confluent_kafka import OFFSET_END, Consumer, KafkaError, TopicPartition

from flows.kafka.clients import KafkaProblem, consumer_config, partitions_of
from schemas.settings import Settings

if TYPE_CHECKING:
    from rich.text import Text

POLL_S = 0.2
POLL_MAX = 500
#: The columns and a usual cause.
COLUMNS_FROM = 105
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

    console = Console(highlight=False)
    console.print(f"following {', '.join(lanes)}; Ctrl-C ends it", style="dim")
    for shown, value in enumerate(updates(settings, lanes, item, channel), 1):
        for line in lines_of(orjson.loads(value), console.width):
            console.print(line, soft_wrap=True)
        if limit is not None and shown >= limit:
            return


def lines_of(update: dict[str, Any], width: int) -> list[Text]:
    """Give an update as it is shown: in columns where they fit, else in a line, else in two."""
    from rich.text import Text

    before = "new" if update["previous"] is None else str(update["previous"])
    moment, lane, item, channel = update["processed_at"][11:23], update["lane"], update["item"], update["channel"]
    line = Text()
    line.append(f"{moment}  ", style="dim")
    line.append(f"{lane:<8}", style=STYLES[lane])
    if width >= COLUMNS_FROM:
        line.append(f"  {item:<24} {channel:<16} {before:>8} -> {update['atp']:<8} ")
        line.append(str(update["cause"]), style="dim")
        return [line]
    what, change = f"  {item} {channel}", f"  {before} -> {update['atp']}  "
    line.append(what)
    rest = line if len(line) + len(change) + len(str(update["cause"])) <= width else Text()
    rest.append(change)
    rest.append(str(update["cause"]), style="dim")
    return [line] if rest is line else [line, rest]


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
