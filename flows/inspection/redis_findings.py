"""What `atp check` finds out about Redis: whether it answers, is new enough, and lets the engine do what it has to."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import redis

from flows.inspection.finding import Finding
from flows.readmodel.connecting import client
from flows.readmodel.port import StoreError
from flows.readmodel.problem import redis_problem
from flows.readmodel.store import Store, library_version
from flows.settings import redis_address
from schemas.setting_values import mask_url
from schemas.settings import Settings

REDIS_MAJOR_MIN = 7
REDIS_TIMEOUT_S = 5
#: A library under a name of its own, loaded, called and removed again: the only true test of rights.
PROBE = "#!lua name={name}\nredis.register_function('{name}', function() return 'usable' end)\n"


def redis_findings(settings: Settings) -> Iterator[Finding]:
    """Look at Redis, without changing anything that is there."""
    where = mask_url(settings.redis.url)
    server = client(settings, REDIS_TIMEOUT_S)
    try:
        facts: dict[str, Any] = server.info()
    except (redis.RedisError, OSError) as error:
        problem = redis_problem(settings, error)
        yield Finding("redis", False, problem.seen, problem.remedy)
        return
    name, version = _product(facts)
    if int(str(facts.get("redis_version", "0")).partition(".")[0]) < REDIS_MAJOR_MIN:
        yield Finding(
            "redis", False, f"{name} {version} at {where} has no functions", "use Redis 7.0 or later, or Valkey"
        )
        return
    yield Finding("redis", True, f"{name} {version} at {where}")
    if int(facts.get("cluster_enabled", 0)):
        yield Finding("redis cluster", False, "cluster mode: a slice spans hash slots", "name a server without it")
    probe = f"atp_check_{uuid.uuid4().hex}"  # two checks at once must not remove each other's
    try:
        server.function_load(PROBE.format(name=probe), replace=True)
        server.fcall(probe, 0)
        server.function_delete(probe)
    except (redis.RedisError, OSError) as error:
        yield Finding(
            "redis functions",
            False,
            f"not usable ({error})",
            "name a primary, and give the user the rights of the line `user atp` in docs/security.md",
        )
    else:
        yield Finding("redis functions", True, "can be loaded and called")
        yield from _library(settings)
        yield _listing_rights(server, settings.redis.prefix)
    policy = str(facts.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        yield Finding("redis memory", False, f"maxmemory-policy {policy} throws numbers away", "set it to noeviction")
    server.close()


def _listing_rights(server: Any, prefix: str) -> Finding:
    """Ask for what `engine:items` and `engine:alive` are kept with, in ways that change nothing."""
    commands: tuple[tuple[str | int, ...], ...] = (
        ("EXISTS", f"{prefix}engine:items"),
        ("ZADD", f"{prefix}engine:items", "XX", 0, "a name with spaces is no item"),
        ("ZREM", f"{prefix}engine:items", "a name with spaces is no item"),
        ("PEXPIRE", f"{prefix}engine:nothing", 1),
        ("SCAN", 0, "COUNT", 1),
    )
    refused = []
    for command in commands:
        try:
            server.execute_command(*command)
        except (redis.RedisError, OSError) as error:
            refused.append(f"{command[0]}: {error}")
    if not refused:
        return Finding("redis rights", True, "engine:items and engine:alive can be kept")
    return Finding(
        "redis rights",
        False,
        f"engine:items or engine:alive cannot be kept ({'; '.join(refused)})",
        "give the user the rights that docs/security.md lists; engine:items has to be a sorted set, or absent",
    )


def _library(settings: Settings) -> Iterator[Finding]:
    store = Store(redis_address(settings.redis), settings.redis.prefix)
    try:
        held, ours = store.held_library(), library_version()
    except StoreError as error:
        yield Finding("redis library", False, f"cannot be asked for its version ({error})", "allow +fcall")
        return
    finally:
        store.close()
    if held is None:
        yield Finding("redis library", True, "not loaded yet: the start does it")
    elif held > ours:
        yield Finding(
            "redis library",
            False,
            f"version {held} is loaded, this engine has {ours}: a newer engine was here",
            "run that version, or remove the library: FUNCTION DELETE atp",
        )
    else:
        yield Finding("redis library", True, f"version {held}" + ("" if held == ours else f"; the start loads {ours}"))


def _product(facts: dict[str, Any]) -> tuple[str, str]:
    if "valkey_version" in facts:
        return "Valkey", str(facts["valkey_version"])
    return "Redis", str(facts.get("redis_version", "?"))
