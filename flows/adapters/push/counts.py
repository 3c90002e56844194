"""What `atp push` counts, and where Prometheus reads it; safe from any thread."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from flows.adapters.intake.counts import serve
from flows.monitoring.catalog import COUNTER
from flows.monitoring.push_catalog import PUSH
from schemas.settings import Settings


class PushCounts:
    """Counts of one process. All are there from the start: what appears with its first increase has had none."""

    def __init__(self, sources: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._metrics: dict[str, Any] = {
            spec.name: (Counter if spec.kind == COUNTER else Gauge)(
                spec.name, spec.help, spec.labels, registry=self.registry
            )
            for spec in PUSH.specs
        }
        for source in sources:
            for spec in PUSH.specs:
                if spec.labels == ("source",):
                    self._metrics[spec.name].labels(source)
            for reason in ("stale", "refused"):
                self._metrics["atp_push_refused"].labels(source, reason)

    def set(self, source: str, count: int) -> None:
        """The shop took so many numbers."""
        self._metrics["atp_push_numbers"].labels(source).inc(count)

    def refused(self, source: str, reason: str, count: int = 1) -> None:
        """The shop did not take so many."""
        self._metrics["atp_push_refused"].labels(source, reason).inc(count)

    def throttled(self, source: str) -> None:
        """A request waits for its budget."""
        self._metrics["atp_push_throttled"].labels(source).inc()

    def failed(self, source: str, failures: int) -> None:
        """A request failed, so often in a row."""
        self._metrics["atp_push_failures"].labels(source).set(failures)

    def state(self, source: str, waiting: int, oldest_s: float, refused: int, unknown: int) -> None:
        """A round came to its end: what is due."""
        self.failed(source, 0)
        for name, value in (
            ("waiting", waiting),
            ("oldest_seconds", oldest_s),
            ("parked", refused),
            ("without_alias", unknown),
        ):
            self._metrics[f"atp_push_{name}"].labels(source).set(value)

    def rising(self, source: str, count: int, seconds: float, unread: int) -> None:
        """So many numbers wait to rise, for so long, and so many orders are unread."""
        for name, value in (("rising", count), ("rising_seconds", seconds), ("orders_unread", unread)):
            self._metrics[f"atp_push_{name}"].labels(source).set(value)

    def serve(self, settings: Settings) -> None:
        """Serve them while the process runs."""
        serve(self.registry, settings, settings.push.metrics_port, "push")
