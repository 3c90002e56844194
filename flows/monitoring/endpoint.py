"""The one HTTP endpoint of an engine: /metrics for Prometheus, /healthz and /readyz for whoever restarts and routes.

Reads only, and answers nothing else. Bound to loopback unless the settings say otherwise.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.metrics_core import Metric

from flows.log import get_log
from flows.monitoring import health
from flows.monitoring.monitor import Monitor
from schemas.settings import Settings

log = get_log(__name__)

#: A port that is taken is tried again this often: it may be an engine that is just ending.
RETRY_S = 2.0
#: A client that says nothing is let go.
IDLE_S = 10.0

Start = Callable[[str, list[tuple[str, str]]], Any]
#: With this question /readyz also says yes where the engine stands by and could take over.
STANDBY = "standby"
INDEX = "atp-engine: /metrics (Prometheus), /healthz (alive), /readyz (caught up, writing, not fenced)\n"


class _Told:
    """What Prometheus' client asks of a registry; `?name[]=` asks for metrics of some names, as it does elsewhere."""

    def __init__(self, monitor: Monitor, names: Collection[str] = ()) -> None:
        self._monitor, self._names = monitor, names

    def collect(self) -> Iterator[Metric]:
        return self._monitor.collect(self._names)

    def restricted_registry(self, names: Iterable[str]) -> _Told:
        return _Told(self._monitor, frozenset(names))


class Endpoint:
    """Serves from its own threads until it is closed."""

    def __init__(self, settings: Settings, monitor: Monitor) -> None:
        self._host, self._port = settings.metrics.host, settings.metrics.port
        self._monitor = monitor
        self._metrics = make_wsgi_app(_Told(monitor))
        self._server: WSGIServer | None = None
        #: Held while the server is bound: a close either sees the server or keeps it from being there.
        self._binding = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="endpoint", daemon=True)

    def start(self) -> None:
        """Serve, as soon as the port can be had: numbers are worth more than their counters."""
        if self._port:
            self._thread.start()

    def close(self) -> None:
        """Serve no more; the port is free and the thread has said its last when this returns."""
        with self._binding:
            self._ended.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        if self._thread.is_alive():
            self._thread.join(IDLE_S)

    def _serve(self) -> None:
        is_told = False
        while not self._ended.is_set():
            try:
                with self._binding:
                    if self._ended.is_set():
                        return
                    self._server = self._bind()
            except OSError as error:
                if not is_told:
                    is_told = True
                    log.error(
                        f"metrics.port: {self._host}:{self._port} cannot be used ({error}): running without metrics "
                        "and health until it can",
                        kind="metrics_port",
                        next="free the port, or set metrics.port or metrics.host",
                    )
                self._ended.wait(RETRY_S)
                continue
            if is_told:
                log.info(f"metrics.port: {self._host}:{self._port} serves now", kind="metrics_port")
            self._server.serve_forever(poll_interval=0.2)
            return

    def _bind(self) -> WSGIServer:
        family = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)[0][0]
        kind = type("Server", (_Server,), {"address_family": family})
        return make_server(self._host, self._port, self._answer, kind, _QuietHandler)

    def _answer(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _said(start, "405 Method Not Allowed", "text/plain", "only GET\n")
        if path == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, start)
            return answer
        if path == "/healthz":
            return _checked(start, self._monitor.alive(), "alive")
        if path == "/readyz":
            asks_for_either = environ.get("QUERY_STRING") == STANDBY
            return _checked(start, self._monitor.in_place() if asks_for_either else self._monitor.ready(), "ready")
        return _said(start, "200 OK" if path == "/" else "404 Not Found", "text/plain", INDEX)


def _checked(start: Start, checks: list[health.Check], word: str) -> Iterable[bytes]:
    said = health.answer(checks, word)
    status = "200 OK" if said[word] else "503 Service Unavailable"
    return _said(start, status, "application/json", json.dumps(said) + "\n")


def _said(start: Start, status: str, kind: str, text: str) -> Iterable[bytes]:
    body = text.encode()
    start(status, [("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]


class _Server(ThreadingMixIn, WSGIServer):
    """One thread a question: a slow scrape must not keep a health check waiting."""

    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    timeout = IDLE_S

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: who asks every few seconds is no news."""
