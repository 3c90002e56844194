"""What is measured of the translator, and the endpoint that serves it: /metrics and /healthz."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from flows.log import get_log
from flows.monitoring.catalog import COUNTER, SPECS
from operators.adapters.account import Translation, record_of
from schemas.settings import Settings

log = get_log(__name__)

Labels = tuple[str, ...]


class TranslatorMetrics:
    """Plain numbers, written by the dataflow's thread and read by the endpoint's."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._values: dict[str, dict[Labels, float]] = {name: {} for name in SPECS if name.startswith("atp_translate_")}
        for name, source in settings.sources.items():
            if source.document_every is not None:
                self._set("atp_translate_document_every_seconds", source.document_every / 1e6, name)
                # Silent from the start on is silent: it is counted from here.
                self._set("atp_translate_document_last_timestamp_seconds", now(), name)

    def accounted(self, source: str, whole: Translation, is_again: bool) -> None:
        """A message is accounted for. Of one that is read again only that is counted: its lines were."""
        if is_again:
            self._add("atp_translate_again_documents", 1, source)
            return
        record = record_of(whole, None)
        self._add("atp_translate_documents", 1, source, whole.kind)
        self._set("atp_translate_document_last_timestamp_seconds", self._now(), source)
        counts = {"event": record["event_lines"], "statement": record["statement_lines"]}
        counts |= {"ignored": sum(record["ignored"].values()), "refused": sum(record["refused"].values())}
        for fate, count in counts.items():
            self._add("atp_translate_lines", count, source, fate)
        for code, count in record["refused"].items():
            self._add("atp_translate_refused_lines", count, source, code)

    def waiting(self, source: str, count: int) -> None:
        """So many messages of the source wait for aliases."""
        self._set("atp_translate_waiting_documents", count, source)

    def _add(self, name: str, count: float, *labels: str) -> None:
        values = self._values[name]
        values[labels] = values.get(labels, 0) + count

    def _set(self, name: str, value: float, *labels: str) -> None:
        self._values[name][labels] = value

    def collect(self) -> Iterator[Metric]:
        """Give everything, as a registry of the Prometheus client wants it."""
        for name, values in self._values.items():
            spec = SPECS[name]
            family = (CounterMetricFamily if spec.kind == COUNTER else GaugeMetricFamily)(
                name, spec.help, labels=spec.labels
            )
            for labels, value in list(values.items()):
                family.add_metric(labels, value)
            yield family

    def describe(self) -> Iterable[Any]:
        """Nothing: what there is shows when it is asked for."""
        return ()


class MetricsEndpoint:
    """Serves while the translator runs; a port that is taken is no reason not to translate."""

    def __init__(self, settings: Settings, metrics: TranslatorMetrics) -> None:
        self._server: WSGIServer | None = None
        port, host = settings.translator.metrics_port, settings.metrics.host
        if not port:
            return
        registry = CollectorRegistry()
        registry.register(metrics)
        try:
            self._server, _ = start_http_server(port, host, registry)
        except OSError as error:
            log.error(
                f"translator.metrics_port: {host}:{port} cannot be used ({error}): running without metrics",
                kind="metrics_port",
                next="free the port, or set translator.metrics_port, and start again",
            )

    def close(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
