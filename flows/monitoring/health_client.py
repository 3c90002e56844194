"""Asks the engine on this machine how it is, as `atp health` and the container's health check do.

Where `metrics.host` is the name of several machines, that one is asked whose workers run: the others stand by.
"""

from __future__ import annotations

import http.client
import json
import socket

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
    try:
        status, said = _get(_address(ANYWHERE.get(host, host), port, timeout_s), port, host, path, timeout_s)
    except (OSError, http.client.HTTPException) as error:
        return False, f"nothing answers at {host}:{port} ({error}): see whether `atp run` runs there, and its log"
    return status == 200, said


def _address(host: str, port: int, timeout_s: float) -> str:
    """Find out which machine of that name to ask; OSError where there is none of that name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(where[0]) for *_, where in found))
    if len(addresses) == 1:
        return host
    answers: dict[str, bool] = {}
    for address in addresses:
        try:
            answers[address] = bool(json.loads(_get(address, port, host, "/readyz", timeout_s)[1])["checks"]["workers"])
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
            continue  # it is not there, or no engine
    return max(answers, key=lambda one: answers[one], default=host)


def _get(address: str, port: int, host: str, path: str, timeout_s: float) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"Host": f"{host}:{port}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode().strip()
    finally:
        connection.close()


def read_metrics(settings: Settings) -> str | None:
    """Give what the engine on this machine counts, as Prometheus reads it; None where nothing answers."""
    if not settings.metrics.port:
        return None
    is_there, said = ask(settings, "/metrics")
    return said if is_there else None
