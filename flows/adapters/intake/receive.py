"""`atp receive`: runs the HTTP server until SIGTERM or Ctrl-C, then answers who still waits, and ends with 0.

It starts without Kafka as well: whoever sends is told to come again, and nothing is lost.
"""

from __future__ import annotations

import logging
import socket
import threading
from typing import Final

import uvicorn

from flows.adapters.intake.counts import RECEIVE, Counts
from flows.adapters.intake.http_protocol import BoundedHeads
from flows.adapters.intake.raw import RawSender, RawTopics
from flows.adapters.intake.receiver import BODY_SECONDS_MAX, Readiness, Receiver, Source, sender_of
from flows.adapters.intake.secrets import Secrets
from flows.kafka.clients import KafkaProblem
from flows.kafka.topics import plan_of_raw
from flows.log import Foreign, configure, get_log
from flows.runtime.listening import listening_socket
from flows.runtime.stop_signals import StopSignals
from schemas.intake_settings import NONE
from schemas.settings import Settings, SettingsError

log = get_log(__name__)

#: Connections at once; a request on one more is told to come again. Each holds one message at most.
CONNECTIONS_MAX: Final = 512
#: How often Kafka is asked whether it is there, while nothing comes.
PROBE_S: Final = 5.0
PROBE_AWAY_S: Final = 1.0


def receive(settings: Settings) -> int:
    """Serve; the exit code. SettingsError if no source may send, or a secret cannot be had."""
    rules = {name: source.receive for name, source in settings.sources.items() if source.receive is not None}
    if not rules:
        raise SettingsError(
            "sources: expected at least one source with [sources.<name>.receive], got none: nobody could send anything"
        )
    plan_of_raw(settings, rules)
    sources = {name: Source(each, Secrets(name, each)) for name, each in rules.items()}
    configure(settings, process="receive")
    counts = Counts(RECEIVE, sources)
    signals = StopSignals()
    try:
        listening = listening_socket("receive", settings.receive.host, settings.receive.port)
        sender = RawSender(settings, settings.receive.kafka_timeout / 1_000_000)
        readiness = Readiness(counts)
        prober = _Prober(settings, sources, sender, readiness)
        try:
            counts.serve(settings, settings.receive.metrics_port)
            receiver = Receiver(settings, sources, sender_of(sender, readiness), counts, readiness)
            open_to_all = [name for name, each in rules.items() if each.signature == NONE]
            if open_to_all:
                log.warning(
                    f"anybody who reaches this port can send as {', '.join(open_to_all)}: signature is none",
                    kind="unsigned",
                    next="set signature and secret_files, or let nobody reach it but the sender",
                )
            log.info(
                f"listening on {settings.receive.host}:{settings.receive.port} for {', '.join(sources)}",
                kind="listening",
            )
            _serve(receiver, listening)
        finally:
            prober.close()
            sender.close()
            listening.close()
        log.info(f"ended by {signals.name or 'its server'}", kind="ended")
        return 0 if signals.is_set() else 1
    finally:
        signals.restore()


def _serve(receiver: Receiver, listening: socket.socket) -> None:
    """Serve until a signal: uvicorn takes it, answers who waits, and hands it on to `StopSignals`."""
    logging.getLogger("uvicorn.error").addFilter(Foreign("http_server", "see docs/intake.md"))
    server = uvicorn.Server(
        uvicorn.Config(
            receiver,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            # Who is behind a proxy is nowhere asked for.
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
            backlog=1024,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=int(BODY_SECONDS_MAX) + 5,
            lifespan="off",
            loop="asyncio",
            http=BoundedHeads,
            ws="none",
        )
    )
    server.run(sockets=[listening])


class _Prober:
    """Sees that the topics are there, then asks Kafka from time to time whether it is; a thread of its own."""

    def __init__(self, settings: Settings, sources: dict[str, Source], sender: RawSender, readiness: Readiness) -> None:
        self._topics = RawTopics(settings, sources)
        self._sender, self._readiness = sender, readiness
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._probe, name="prober", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._ended.set()
        self._thread.join(10.0)

    def _probe(self) -> None:
        while not self._ended.is_set():
            try:
                if self._readiness.problem:
                    self._topics.are_there = False  # somebody may have deleted one
                self._topics.make()
                self._sender.probe()
                self._readiness.is_well()
            except KafkaProblem as error:
                self._readiness.note(str(error))
            self._ended.wait(PROBE_AWAY_S if self._readiness.problem else PROBE_S)
