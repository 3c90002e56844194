"""What the sources say, by whom it is for. Bytewax takes each word as a pair: the key that routes it, and a message."""

from __future__ import annotations

from typing import NamedTuple

from flows.runtime.run import shard_key
from schemas.messages import Inbound, SourcesSeen, TopologyRecord

LISTENERS_KEY = "listener"
SOURCES_KEY = "sources"


class ToShard(NamedTuple):
    """For one shard; its key is the shard's."""

    key: str
    message: Inbound


class ToListener(NamedTuple):
    """For one of those through which every process hears what codes there are."""

    key: str
    message: TopologyRecord


class ToSources(NamedTuple):
    """For the one place that watches for sources that fall silent."""

    key: str
    message: SourcesSeen


Word = ToShard | ToListener | ToSources


def to_shard(shard: int, message: Inbound) -> ToShard:
    """Address a message to a shard, by its number."""
    return ToShard(shard_key(shard), message)


def to_listener(number: int, message: TopologyRecord) -> ToListener:
    """Address the topology to a listener, by its number."""
    return ToListener(f"{LISTENERS_KEY}{number}", message)


def to_sources(message: SourcesSeen) -> ToSources:
    """Tell who spoke."""
    return ToSources(SOURCES_KEY, message)
