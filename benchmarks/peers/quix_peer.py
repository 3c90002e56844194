"""The job on Quix Streams: a stateful function, state in RocksDB with changelog topics, exactly once.

Runs in an environment of its own (see environment.py); `python -m benchmarks.peers.quix_peer` there.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from quixstreams import Application, State

from benchmarks.peers.job import WINDOW, Tally, changes, nothing

TALLY = Tally(int(os.environ["PEER_EVENTS"]))


def apply(event: dict[str, Any], state: State) -> list[dict[str, Any]]:
    """Apply one event to the state of its item; give an update for each number that changed."""
    id_key = f"id:{event['event_id']}"
    if state.exists(id_key):
        return []
    state.set(id_key, 1, ttl=WINDOW)
    figures, updates = changes(event, state.get("figures") or nothing(), datetime.now(UTC).isoformat())
    state.set("figures", figures)
    return updates


def counted(topic: str, partition: int, offset: int) -> None:
    """Stop after the last event; the application commits before it ends."""
    if TALLY.one_more():
        app.stop()


app = Application(
    broker_address=os.environ["PEER_BROKERS"],
    consumer_group=os.environ["PEER_GROUP"],
    auto_offset_reset="earliest",
    processing_guarantee="exactly-once",
    state_dir=os.environ["PEER_STATE"],
    auto_create_topics=True,
    on_message_processed=counted,
    producer_extra_config={"compression.type": "lz4"},
    loglevel="WARNING",
)
source = app.topic(os.environ["PEER_INPUT"], value_deserializer="json", key_deserializer="str")
sink = app.topic(os.environ["PEER_OUTPUT"], value_serializer="json", key_serializer="str")
stream = app.dataframe(source)
stream = stream.apply(apply, stateful=True, expand=True)
stream = stream.to_topic(sink, key=lambda update: f"{update['item']}:{update['channel']}")

if __name__ == "__main__":
    app.run()
