"""Names of input partitions, as they are kept: in Bytewax' recovery state, beside published numbers, in progress.

A topic that was deleted and made again has other records under the same offsets. Where that was accepted, the topic
has a new generation, and its partitions other names: no old offset is ever compared with a new one. Generation 0 has
none in the name. Kafka allows no "#" in the name of a topic.
"""

from __future__ import annotations

MARK = "#"


def part_name(topic: str, partition: int, generation: int = 0) -> str:
    """Name a partition: "topic/partition", or "topic#generation/partition"."""
    return f"{topic}{MARK}{generation}/{partition}" if generation else f"{topic}/{partition}"


def place_of(part: str) -> tuple[str, int]:
    """Give the topic and the partition in Kafka."""
    name, _, partition = part.rpartition("/")
    return name.partition(MARK)[0], int(partition)
