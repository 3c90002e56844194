"""The job on plain Bytewax: its own Kafka connectors, one key an item, one event a datum, as its documentation teaches.

State, ids included, is an item's own and is recovered from Bytewax's SQLite store; an epoch every 10 seconds, which is
its default. Output is at least once. Run by `python -m bytewax.run benchmarks.peers.bytewax_peer -r FOLDER -s 10 -b 0`.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow

from benchmarks.peers.job import WINDOW, Figures, Tally, changes, milliseconds, nothing

WINDOW_MS = int(WINDOW.total_seconds() * 1000)
BROKERS = [os.environ["PEER_BROKERS"]]
TALLY = Tally(int(os.environ["PEER_EVENTS"]))

State = tuple[dict[str, int], Figures]
"""ids with the time of their event, oldest first; figures"""


def parse(message: Any) -> tuple[str, dict[str, Any]]:
    """Read one event; its item is its key."""
    TALLY.one_more()
    event = orjson.loads(message.value)
    return event["item"], event


def apply(state: State | None, event: dict[str, Any]) -> tuple[State, list[dict[str, Any]]]:
    """Apply one event to the state of its item."""
    ids, figures = state or ({}, nothing())
    if event["event_id"] in ids:
        return (ids, figures), []
    occurred = milliseconds(event["occurred_at"])
    while (oldest := next(iter(ids), None)) is not None and ids[oldest] < occurred - WINDOW_MS:
        del ids[oldest]
    ids[event["event_id"]] = occurred
    figures, updates = changes(event, figures, datetime.now(UTC).isoformat())
    return (ids, figures), updates


def to_message(update: tuple[str, dict[str, Any]]) -> KafkaSinkMessage[bytes, bytes]:
    """Write one update."""
    item, change = update
    return KafkaSinkMessage(f"{item}:{change['channel']}".encode(), orjson.dumps(change))


flow = Dataflow("atp")
events = kop.input("events", flow, brokers=BROKERS, topics=[os.environ["PEER_INPUT"]], tail=False)
op.raises("unreadable", events.errs)
keyed = op.map("parse", events.oks, parse)
updates = op.stateful_flat_map("promise", keyed, apply)
messages = op.map("write", updates, to_message)
kop.output("updates", messages, brokers=BROKERS, topic=os.environ["PEER_OUTPUT"])
