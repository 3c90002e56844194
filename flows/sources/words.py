"""What the sources say, by whom it is for. Bytewax takes each word as a pair: the key that routes it, and a message."""

from __future__ import annotations

from typing import NamedTuple

from flows.runtime.run import shard_key
from schemas.messages import Inbound, Outcome, SourcesSeen, TopologyRecord
from schemas.reconciled import Rules

LISTENERS_KEY = "listener"
SOURCES_KEY = "sources"


class ToShard(NamedTuple):
    """For one shard; its key is the shard's."""

    key: str
    message: Inbound


class ToListener(NamedTuple):
    """For one of those through which every process hears what codes there are."""

    key: str
    message: TopologyRecord | Rules


class ToSources(NamedTuple):
    """For the one place that watches for sources that fall silent."""

    key: str
    message: SourcesSeen


class ToSink(NamedTuple):
    """For a shard's part of the sink, past the shard."""

    key: str
    message: Outcome


Word = ToShard | ToListener | ToSources | ToSink


def to_shard(shard: int, message: Inbound) -> ToShard:
    """Address a message to a shard, by its number."""
    return ToShard(shard_key(shard), message)


def to_listener(number: int, message: TopologyRecord | Rules) -> ToListener:
    """Address what every process has to know to a listener, by its number."""
    return ToListener(f"{LISTENERS_KEY}{number}", message)


def to_sources(message: SourcesSeen) -> ToSources:
    """Tell who spoke."""
    return ToSources(SOURCES_KEY, message)


def to_sink(outcome: Outcome) -> ToSink:
    """Address what is to be written, of no shard: that of the first writes it."""
    return ToSink(shard_key(outcome.shard), outcome)
