"""What an intake process counts, and where Prometheus reads it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from flows.log import get_log
from flows.monitoring.catalog import BUCKETS_S, COUNTER, HISTOGRAM
from flows.monitoring.intake_catalog import INTAKE
from schemas.settings import Settings

log = get_log(__name__)

RECEIVE: Final = "receive"
PICK_UP: Final = "pick_up"
POLL: Final = "poll"
#: What is refused before anybody knows whose it is.
UNKNOWN: Final = "unknown"
#: The reasons by way, 0 from the start: what appears with its first increase has no increase in Prometheus' eyes.
REASONS: Final = {
    RECEIVE: ("unsigned", "forged", "stale", "too_large", "empty", "slow", "kafka_away", "unknown_source"),
    PICK_UP: ("too_large", "empty", "not_a_file"),
    POLL: ("too_large", "unusable"),
}
#: Metrics of one way alone.
_OF_ONE: Final = {
    "atp_intake_files_waiting": PICK_UP,
    "atp_intake_oldest_file_seconds": PICK_UP,
    "atp_intake_poll_timestamp_seconds": POLL,
    "atp_intake_poll_failures": POLL,
}


class Counts:
    """Counts of one process; safe from any thread."""

    def __init__(self, way: str, sources: Iterable[str]) -> None:
        self._way = way
        self.registry = CollectorRegistry()
        self._metrics: dict[str, Any] = {}
        self._of_sent: dict[str, tuple[Any, ...]] = {}
        for spec in INTAKE.specs:
            if _OF_ONE.get(spec.name, way) != way:
                continue
            if spec.kind == HISTOGRAM:
                made: Any = Histogram(spec.name, spec.help, spec.labels, registry=self.registry, buckets=BUCKETS_S)
            else:
                kind = Counter if spec.kind == COUNTER else Gauge
                made = kind(spec.name, spec.help, spec.labels, registry=self.registry)
            self._metrics[spec.name] = made
        self.kafka_is_up(True)
        for source in sources:
            self._begin(source)
        if way == RECEIVE:
            self._metrics["atp_intake_refused"].labels(way, UNKNOWN, "unknown_source")

    def _begin(self, source: str) -> None:
        for name in ("atp_intake_messages", "atp_intake_bytes", "atp_intake_seconds"):
            self._metrics[name].labels(self._way, source)
        self._metrics["atp_intake_last_timestamp_seconds"].labels(self._way, source).set(time.time())
        for reason in REASONS[self._way]:
            if reason != "unknown_source":
                self._metrics["atp_intake_refused"].labels(self._way, source, reason)
        if self._way == POLL:
            self._metrics["atp_intake_poll_timestamp_seconds"].labels(source).set(time.time())
            self._metrics["atp_intake_poll_failures"].labels(source)

    def sent(self, source: str, size: int, seconds: float) -> None:
        """Kafka has a message of so many bytes."""
        found = self._of_sent.get(source)
        if found is None:
            # Looked up once: by labels it costs more than counting does.
            found = self._of_sent[source] = tuple(
                self._metrics[f"atp_intake_{name}"].labels(self._way, source)
                for name in ("messages", "bytes", "last_timestamp_seconds", "seconds")
            )
        messages, sizes, last, took = found
        messages.inc()
        sizes.inc(size)
        last.set(time.time())
        took.observe(seconds)

    def refused(self, source: str, reason: str) -> None:
        """Something was not taken."""
        self._metrics["atp_intake_refused"].labels(self._way, source, reason).inc()

    def kafka_is_up(self, is_up: bool) -> None:
        """Kafka answers, or does not."""
        self._metrics["atp_intake_kafka_up"].labels(self._way).set(is_up)

    def files(self, source: str, waiting: int, oldest_s: float) -> None:
        """So many files wait, the oldest for so long."""
        self._metrics["atp_intake_files_waiting"].labels(source).set(waiting)
        self._metrics["atp_intake_oldest_file_seconds"].labels(source).set(oldest_s)

    def polled(self, source: str, failures: int, is_end: bool = False) -> None:
        """A request was answered (no failures), or failed again; `is_end`: it was the round's last."""
        self._metrics["atp_intake_poll_failures"].labels(source).set(failures)
        if is_end:
            self._metrics["atp_intake_poll_timestamp_seconds"].labels(source).set(time.time())

    def serve(self, settings: Settings, port: int) -> None:
        """Serve them at `metrics.host` while the process runs."""
        serve(self.registry, settings, port, self._way)


def serve(registry: CollectorRegistry, settings: Settings, port: int, section: str) -> None:
    """Serve metrics while the process runs; a port that is taken costs the metrics alone, and 0 is none."""
    if not port:
        return
    try:
        start_http_server(port, settings.metrics.host, registry)
    except OSError as error:
        log.error(
            f"{section}.metrics_port: {settings.metrics.host}:{port} cannot be used ({error}): running without metrics",
            kind="metrics_port",
            next=f"free the port, or set {section}.metrics_port or metrics.host, and start it again",
        )
