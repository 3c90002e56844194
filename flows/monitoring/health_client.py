"""Asks the engine on this machine how it is, as `atp health` and the container's health check do."""

from __future__ import annotations

import http.client

from schemas.settings import Settings, SettingsError

#: Longer than the engine takes to hear its workers.
TIMEOUT_S = 4.0
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def ask(settings: Settings, path: str, timeout_s: float = TIMEOUT_S) -> tuple[bool, str]:
    """Give whether all is well, and the answer's JSON, or a sentence where there is none."""
    host, port = settings.metrics.host, settings.metrics.port
    if not port:
        raise SettingsError(
            "metrics.port: expected a port to ask the engine at, got 0 (switched off): set metrics.port where the "
            "engine runs, and here"
        )
    connection = http.client.HTTPConnection(ANYWHERE.get(host, host), port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status == 200, answer.read().decode().strip()
    except (OSError, http.client.HTTPException) as error:
        return False, f"nothing answers at {host}:{port} ({error}): see whether `atp run` runs there, and its log"
    finally:
        connection.close()


def read_metrics(settings: Settings) -> str | None:
    """Give what the engine on this machine counts, as Prometheus reads it; None where nothing answers."""
    if not settings.metrics.port:
        return None
    is_there, said = ask(settings, "/metrics")
    return said if is_there else None
