"""Says why Redis cannot be used, and what would do: one sentence for each cause, the same whoever meets it.

A client's own words name neither the setting nor the way out, and a server that speaks TLS to one that does not looks
like a network that is lost: there the server is asked what it speaks (`flows.probe`).
"""

from __future__ import annotations

import socket
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

import redis

from flows.probe import answers_plainly, speaks_tls
from flows.readmodel.connecting import NoPrimary
from schemas.setting_values import mask_url
from schemas.settings import Settings

DEFAULT_PORT = 6379
FAILOVER = "they name another within their down-after-milliseconds; if not, see whether one of its replicas runs"
START = "start Redis 7.0 or later or Valkey there, or set redis.url"


class RedisProblem(NamedTuple):
    """What is wrong with Redis, in one sentence of two halves."""

    seen: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.seen}: {self.remedy}"


def redis_problem(settings: Settings, error: BaseException) -> RedisProblem:
    """Tell what kept a client out of Redis. May ask the server once more, for 4 s at most; never raises."""
    where = f"Redis at {mask_url(settings.redis.url)}"
    errors = _chain(error)
    text = _text(errors)
    return (
        _by_sentinels(where, settings, errors)
        or _refused(where, errors, text, _has_password(settings))
        or _certificate(where, errors, text)
        or _nowhere(where, settings, errors)
        or _other_language(where, settings, errors)
        or _silent(where, errors, text)
        or RedisProblem(f"{where} cannot be used ({text})", START)
    )


def remedy_of(error: BaseException) -> str | None:
    """Give what would do where Redis itself says why it lets nobody in; asks nobody, for an engine that runs."""
    errors = _chain(error)
    nobody = _no_primary(errors)
    if nobody is not None:
        return nobody.remedy
    found = _refused("Redis", errors, _text(errors), has_password=True)
    return found.remedy if found is not None else None


def _chain(error: BaseException | None) -> list[BaseException]:
    """Give an error and those behind it, the outermost first."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _text(errors: list[BaseException]) -> str:
    """Give Redis' own words, or the client's: those of the first that is theirs."""
    theirs = next((one for one in errors if isinstance(one, redis.RedisError)), errors[0])
    return str(theirs).removeprefix("Redis refused: ").removeprefix("Redis does not answer: ")


def _no_primary(errors: list[BaseException]) -> NoPrimary | None:
    return next((one for one in errors if isinstance(one, NoPrimary)), None)


def _by_sentinels(where: str, settings: Settings, errors: list[BaseException]) -> RedisProblem | None:
    """There is no way to the primary, or none that is known."""
    if not settings.redis.has_sentinels:
        return None
    nobody = _no_primary(errors)
    if nobody is not None:
        return RedisProblem(f"{where}: {nobody}", nobody.remedy or FAILOVER)
    if any(isinstance(one, (ConnectionRefusedError, socket.gaierror)) for one in errors):
        return RedisProblem(f"{where}: the primary that its Sentinels name does not answer ({_text(errors)})", FAILOVER)
    return None


def _refused(where: str, errors: list[BaseException], text: str, has_password: bool) -> RedisProblem | None:
    """It answered, and what it said was no."""
    kinds = tuple(type(one) for one in errors)
    if "NOPERM" in text or any(issubclass(kind, redis.exceptions.NoPermissionError) for kind in kinds):
        return RedisProblem(
            f"{where} does not allow its user what is needed ({text})",
            "give the user the rights that docs/security.md lists",
        )
    is_stranger = any(issubclass(kind, redis.AuthenticationError) for kind in kinds)
    if "Authentication required" in text or "NOAUTH" in text or (is_stranger and not has_password):
        return RedisProblem(
            f"{where} asks for a password, and none is set", "set redis.username and redis.password_file"
        )
    if is_stranger:
        return RedisProblem(
            f"{where} refuses the password, or the user is not known there",
            "set redis.username and redis.password_file to a user that is there and its password",
        )
    if "DB index" in text or "SELECT is not allowed" in text:
        return RedisProblem(
            f"{where} has no database of that number ({text})",
            "end redis.url with one that it has: /0 is always there, and its own setting `databases` says how many are",
        )
    return None


def _certificate(where: str, errors: list[BaseException], text: str) -> RedisProblem | None:
    """They speak TLS with each other, and one does not trust the other."""
    said = " ".join([text, *map(str, errors)])
    if "certificate required" in said.lower() or "handshake failure" in said.lower():
        return RedisProblem(
            f"{where} asks for a certificate of ours, or does not take the one it was shown",
            "set redis.tls_cert_file and redis.tls_key_file",
        )
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in errors) or "CERTIFICATE_VERIFY_FAILED" in said:
        if "ostname mismatch" in said or "IP address mismatch" in said:
            return RedisProblem(
                f"{where} shows a certificate for another name", "name the server in redis.url as its certificate does"
            )
        return RedisProblem(
            f"{where} shows a certificate that nobody known vouches for",
            "set redis.tls_ca_file to the certificate of who vouches for the server",
        )
    return None


def _nowhere(where: str, settings: Settings, errors: list[BaseException]) -> RedisProblem | None:
    """Nothing is there: neither the name nor the port."""
    host, port = _place(settings)
    if any(isinstance(one, socket.gaierror) for one in errors):
        return RedisProblem(
            f"{where}: the host name {host} cannot be resolved",
            "correct the name in redis.url, or have this machine's DNS know it",
        )
    if any(isinstance(one, ConnectionRefusedError) for one in errors):
        return RedisProblem(
            f"{where} does not answer: nothing listens on {f'port {port} of {host}' if host else 'that socket'}",
            f"{START} to where it runs",
        )
    if any(isinstance(one, FileNotFoundError) for one in errors):
        return RedisProblem(f"{where}: there is no such socket", "start it, or name the socket it has in redis.url")
    return None


def _other_language(where: str, settings: Settings, errors: list[BaseException]) -> RedisProblem | None:
    """One of the two speaks TLS, and the other does not."""
    host, port = _place(settings)
    if not host or not any(isinstance(one, (OSError, redis.ConnectionError, redis.TimeoutError)) for one in errors):
        return None
    if settings.redis.url.startswith(("rediss:", "rediss+sentinel:")):
        if answers_plainly(host, port, b"PING\r\n", b"+-"):
            return RedisProblem(
                f"{where} answers without TLS, and redis.url asks for TLS",
                "begin redis.url with redis://, or give the server TLS",
            )
    elif speaks_tls(host, port):
        return RedisProblem(
            f"{where} speaks TLS, and redis.url does not ask for it",
            "begin redis.url with rediss://, and set redis.tls_ca_file if its certificate is not of a public authority",
        )
    return None


def _silent(where: str, errors: list[BaseException], text: str) -> RedisProblem | None:
    timed_out = any(isinstance(one, (redis.TimeoutError, TimeoutError, BlockingIOError)) for one in errors)
    if timed_out or "within" in text:
        return RedisProblem(
            f"{where} does not answer in time",
            "see whether it hangs, and whether a firewall is between; else set redis.url",
        )
    return None


def _has_password(settings: Settings) -> bool:
    ours = settings.redis
    return ours.password is not None or ours.password_file is not None or "@" in ours.url


def _place(settings: Settings) -> tuple[str, int]:
    parts = urlsplit(settings.redis.url)
    if parts.scheme == "unix" or settings.redis.has_sentinels:
        return "", 0  # there is nobody to ask, or it is not known who
    return parts.hostname or "localhost", parts.port or DEFAULT_PORT
