"""Counters and gauges of one worker process, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from flows.runtime import now
from operators.lane_queue import Outgoing
from operators.rules.lanes import LANES
from schemas.messages import Outcome

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class Metrics:
    """What an operator watches. Names are part of the public interface."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._units = Counter(
            "atp_units", "Units judged, by what became of them", ["outcome", "type"], registry=self.registry
        )
        self._updates = Counter("atp_updates", "Updates sent to Kafka", ["lane"], registry=self.registry)
        self._wait = Histogram(
            "atp_kafka_wait_seconds",
            "From written to Redis to handed to Kafka",
            ["lane"],
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._exceptions = Counter(
            "atp_exceptions", "Exceptions raised and closed", ["code", "state"], registry=self.registry
        )
        self._outbox = Gauge("atp_outbox_items", "Items waiting to be written to Redis", registry=self.registry)
        self._queue = Gauge("atp_lane_queue_updates", "Updates waiting to be sent to Kafka", registry=self.registry)

    def serve(self, host: str, port: int) -> None:
        """Serve them over HTTP."""
        start_http_server(port, addr=host, registry=self.registry)

    def count(self, outcome: Outcome) -> None:
        """Count what a shard said."""
        for (verdict, kind), number in outcome.counts.items():
            self._units.labels(verdict, kind).inc(number)
        for note in outcome.exceptions:
            self._exceptions.labels(note.code, "open" if note.is_open else "closed").inc()

    def sent(self, updates: Iterable[Outgoing]) -> None:
        """Count what went to Kafka."""
        moment = now()
        waits: dict[int, list[int]] = {}
        for update in updates:
            waits.setdefault(update.change.lane, []).append(moment - update.since)
        for lane, some in waits.items():
            self._updates.labels(LANES[lane]).inc(len(some))
            observe = self._wait.labels(LANES[lane]).observe
            observe(max(some) / 1e6)

    def state(self, outbox: int, queue: int) -> None:
        """Note what waits."""
        self._outbox.set(outbox)
        self._queue.set(queue)
