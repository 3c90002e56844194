"""Requests of people to a running engine, left in Redis under the engine's prefix and taken with its heartbeat.

Redis, because the engine and whoever looks after it reach it already; a hash, because every server has those. A request
is taken by worker 0 alone, once, within about a second, and answered; what nobody takes is withdrawn by the asker.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import msgspec

from flows.log import get_log
from flows.readmodel.port import Outage, StoreError
from flows.readmodel.problem import redis_problem
from flows.readmodel.store import Store
from flows.runtime.mailbox import ShardRequest
from flows.runtime.run import now
from flows.settings import redis_address
from operators.route import shard_of
from schemas.messages import Republish
from schemas.settings import Settings

log = get_log(__name__)

#: Heartbeats come every second; a barrier of the engine may hold one up.
ANSWER_TIMEOUT_S = 15.0
ASK_EVERY_S = 0.05
#: What is older was left by an asker that died: nobody waits for it.
EXPIRES_AFTER = 60_000_000


class Request(msgspec.Struct, array_like=True):
    """Publish again: one item's numbers, one channel's, one of one, or (both empty) everything."""

    asked_at: int
    item: str
    channel: str


class RequestError(StoreError):
    """Nobody took the request; the text says what would do."""


def ask_to_republish(settings: Settings, item: str, channel: str) -> None:
    """Ask the running engine, and wait until it has taken the request."""
    store = Store(redis_address(settings.redis), settings.redis.prefix, writer="asker")
    name = uuid.uuid4().hex
    try:
        store.put(requests_key(store), {name: msgspec.msgpack.encode(Request(now(), item, channel))})
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while store.ask("HGET", requests_key(store), name) is not None:
            if time.monotonic() > deadline:
                store.ask("HDEL", requests_key(store), name)
                raise RequestError(
                    f"no engine took the request within {ANSWER_TIMEOUT_S:g} s: is one running with this redis.url and "
                    f"redis.prefix ({settings.redis.prefix or 'none'})?"
                )
            time.sleep(ASK_EVERY_S)
    except Outage as error:
        raise RequestError(str(redis_problem(settings, error))) from error
    finally:
        store.close()


def requests_key(store: Store) -> str:
    """Name the hash in which requests wait."""
    return f"{store.prefix}engine:requests"


def take_requests(store: Store, shards: int, clock: Callable[[], int] = now) -> list[ShardRequest]:
    """Take what was asked for since: for each shard, what it is to say again."""
    wanted: list[ShardRequest] = []
    for name, raw in store.all_of(requests_key(store)).items():
        store.ask("HDEL", requests_key(store), name)
        try:
            request = msgspec.msgpack.decode(raw, type=Request)
        except msgspec.DecodeError:
            log.warning(f"a request that nobody can read was left in {requests_key(store)}", kind="request")
            continue
        if clock() - request.asked_at > EXPIRES_AFTER:
            continue
        what = f"item {request.item or 'any'}, channel {request.channel or 'any'}"
        log.info(f"asked to publish again: {what}", kind="request")
        concerned = [shard_of(request.item, shards)] if request.item else range(shards)
        wanted.extend(ShardRequest(shard, Republish(request.item, request.channel)) for shard in concerned)
    return wanted
