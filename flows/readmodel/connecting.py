"""Connects to Redis: to the server that the address names, or to the one that its Sentinels say is the primary now.

Every client of the engine is made here. Of Sentinels:

1. They are asked anew at each connect, and nothing is remembered: after a failover every broken connection finds the
   new primary by itself, and there is nothing to restart.
2. More than half of them are heard where that many answer, and the newest word counts (its `config-epoch`): one that
   was cut off together with the old primary, or has just come back, still names that one.
3. Whoever is named is asked whether it is a primary: one that was just made a replica serves older numbers.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool, SSLConnection, parse_url
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from flows.settings import redis_address
from schemas.setting_values import sentinel_url
from schemas.settings import Settings

SENTINEL_PORT: Final = 26_379
#: A Sentinel does little else than answer: one of three that are away costs so much at a connect, and no more.
SENTINEL_TIMEOUT_S: Final = 1.0
#: What the address says for the Sentinels alone.
OF_SENTINELS: Final = {"sentinel_username": "username", "sentinel_password": "password"}


class NoPrimary(MasterNotFoundError):
    """The Sentinels name none now; what was seen, and what would do where waiting does not."""

    def __init__(self, seen: str, remedy: str | None = None) -> None:
        super().__init__(seen)
        self.remedy = remedy


def client(settings: Settings, timeout_s: float, **options: Any) -> redis.Redis:
    """Give a client of redis-py for the read model; `close` lets go of its connections."""
    times = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    return redis.Redis.from_pool(pool(redis_address(settings.redis), **times, **options))


def pool(address: str, **options: Any) -> ConnectionPool:
    """Give a pool of connections to what an address names; `options`: as redis-py knows them."""
    found = sentinel_url(address)
    if found is None:
        return ConnectionPool.from_url(address, **options)
    parts = urlsplit(address)
    query = parse_qsl(parts.query, keep_blank_values=True)
    credentials = {OF_SENTINELS[name]: value for name, value in query if name in OF_SENTINELS}
    query = [(name, value) for name, value in query if name not in OF_SENTINELS]
    user, at, _ = parts.netloc.rpartition("@")
    _, _, database = parts.path.removeprefix("/").partition("/")
    # A server's address as redis-py reads it, but for the server.
    plain = (parts.scheme.partition("+")[0], f"{user}{at}primary", f"/{database}", urlencode(query), "")
    of_server: dict[str, Any] = parse_url(urlunsplit(plain))  # type: ignore[no-untyped-call]
    of_server.pop("host")
    has_tls = issubclass(of_server.pop("connection_class", redis.Connection), SSLConnection)
    tls = {name: value for name, value in of_server.items() if name.startswith("ssl_")} | {"ssl": has_tls}
    of_sentinel = credentials | (tls if has_tls else {})
    places = [_place(one) for one in found[1].split(",")]
    # The client's own classes are without types.
    sentinels = _Sentinels(places, sentinel_kwargs=of_sentinel | _QUICK)  # type: ignore[no-untyped-call]
    return SentinelConnectionPool(  # type: ignore[no-untyped-call]
        found[2], sentinels, ssl=has_tls, redis_connect_func=_get_in, **(of_server | options)
    )


#: Who answers at once or not at all; the next one is asked then.
_QUICK: Final[dict[str, Any]] = {
    "socket_timeout": SENTINEL_TIMEOUT_S,
    "socket_connect_timeout": SENTINEL_TIMEOUT_S,
    "retry": Retry(NoBackoff(), 0),
    "protocol": 2,
}


def _place(text: str) -> tuple[str, int]:
    host, port = re.fullmatch(r"(.*?)(?::([0-9]+))?", text).groups()  # type: ignore[union-attr]  # as the setting was read
    return host.strip("[]"), int(port or SENTINEL_PORT)


class _Sentinels(Sentinel):
    """Those who are asked where the primary is."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Give host and port of the primary; NoPrimary where there is none, or nobody who knows."""
        heard: list[dict[str, Any]] = []
        failures: list[str] = []
        failure: Exception | None = None
        for sentinel in list(self.sentinels):
            try:
                heard.append(dict(sentinel.sentinel_masters()))  # type: ignore[arg-type]  # RESP2: by name
            except (redis.RedisError, OSError) as error:
                failure = error
                failures.append(" ".join(str(error).split()) or type(error).__name__)
                self.sentinels.remove(sentinel)  # the last to be asked from now on
                self.sentinels.append(sentinel)
            finally:
                sentinel.connection_pool.disconnect()
            if 2 * len(heard) > len(self.sentinels):
                break
        if not heard:
            raise NoPrimary(f"no Sentinel answers ({'; '.join(failures)})", _remedy(failure)) from failure
        return _newest(service_name, heard)


def _newest(name: str, heard: list[dict[str, Any]]) -> tuple[str, int]:
    words = [masters[name] for masters in heard if name in masters]
    if not words:
        known = ", ".join(sorted({other for masters in heard for other in masters})) or "none at all"
        raise NoPrimary(
            f"the Sentinels know no primary called {name}, but {known}",
            "end redis.url with the name that stands in their `sentinel monitor` line, and the database's number",
        )
    epoch = max(word["config-epoch"] for word in words)
    newest = [word for word in words if word["config-epoch"] == epoch]
    for word in newest:
        if word["is_master"] and not word["is_sdown"] and not word["is_odown"]:
            return str(word["ip"]), int(word["port"])
    raise NoPrimary(
        f"the Sentinels say that {name} at {newest[0]['ip']}:{newest[0]['port']} is down, and name no other yet"
    )


def _remedy(failure: Exception | None) -> str:
    if isinstance(failure, redis.AuthenticationError) or "NOAUTH" in str(failure):
        return "set redis.sentinel_password_file (and redis.sentinel_username) to what the Sentinels ask for"
    if isinstance(failure, redis.exceptions.NoPermissionError):
        return "allow the user of redis.sentinel_username `SENTINEL MASTERS`"
    return "see whether they run and can be reached, and whether redis.url names them"


def _get_in(connection: Any) -> None:
    """Get in, and see that it is a primary."""
    connection.on_connect()
    connection.send_command("ROLE")
    try:
        role = connection.read_response()
    except redis.exceptions.NoPermissionError:
        return  # it goes by what a write is answered
    if role[0] not in (b"master", "master"):
        connection.disconnect()
        raise NoPrimary(f"{connection.host}:{connection.port}, which the Sentinels name, is a replica now")
