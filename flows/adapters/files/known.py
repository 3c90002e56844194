"""Reads the reference topics from beginning to end, as they are now."""

from __future__ import annotations

from collections.abc import Iterator

from flows.kafka.clients import partitions_of
from flows.kafka.reading import WHOLE, TopicReader
from schemas.settings import Settings
from schemas.topics import REFERENCE

SILENCE_S_MAX = 30.0

Record = tuple[bytes | None, bytes | None]


def read_reference(settings: Settings) -> Iterator[tuple[str, list[Record]]]:
    """Give (kind, records) of each topic in the order in which they name each other; KafkaProblem if it cannot."""
    partitions_of(settings, REFERENCE)
    more = {"auto.offset.reset": "earliest"}
    with TopicReader(settings, group="-import", silence_s=SILENCE_S_MAX, **more) as reader:
        for kind in ("locations", "channels", "items", "channel_items"):
            part = (settings.topic(f"inventory.{kind}"), 0)
            yield kind, [(message.key(), message.value()) for message in reader.read({part: WHOLE})]
