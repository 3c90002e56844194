"""`atp console`: serves the console until SIGTERM or Ctrl-C, then lets open pages go, and ends with 0."""

from __future__ import annotations

import logging
from typing import Final

import uvicorn

from flows.console.app import application
from flows.console.desk import Desk
from flows.log import Foreign, configure, get_log
from flows.runtime.listening import listening_socket
from flows.runtime.stop_signals import StopSignals
from schemas.settings import Settings

log = get_log(__name__)

#: Live pages hold one each.
CONNECTIONS_MAX: Final = 1_000
#: Open pages come again by themselves.
GRACE_S: Final = 2


def serve(settings: Settings) -> int:
    """Serve; the exit code. SettingsError if the token cannot be used, ListenProblem if the port cannot."""
    desk = Desk(settings)
    configure(settings, process="console")
    logging.getLogger("uvicorn.error").addFilter(Foreign("http_server", "see docs/console.md"))
    listening = listening_socket("console", settings.console.host, settings.console.port)
    signals = StopSignals()
    try:
        host, port = settings.console.host, listening.getsockname()[1]
        how = "replay and decisions need the token" if desk.access.can_change else "read-only: no console.token is set"
        log.info(f"listening on http://{f'[{host}]' if ':' in host else host}:{port} ({how})", kind="listening")
        server = uvicorn.Server(
            uvicorn.Config(
                application(desk),
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=GRACE_S,
                lifespan="on",
                loop="asyncio",
                ws="none",
            )
        )
        server.run(sockets=[listening])
        log.info(f"ended by {signals.name or 'its server'}", kind="ended")
        return 0 if signals.is_set() else 1
    finally:
        signals.restore()
        listening.close()
