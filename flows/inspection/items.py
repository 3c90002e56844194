"""Finds items by the beginning of their code, in the set `engine:items` (contract section 7)."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator

import redis

from flows.inspection.lookup import ODD_BYTES, TIMEOUT_S, LookupProblem
from flows.readable import readable
from flows.readmodel.connecting import client
from flows.readmodel.item_walk import WHOLE
from flows.readmodel.problem import redis_problem
from schemas.settings import Settings

#: Asked for at a time: a tenth of a millisecond of Redis' time.
PAGE = 1000
#: An item's code is no longer.
CODE_MAX = 64
#: Sorts behind whatever a code may have in it.
BEHIND_ALL = "~"


def show(settings: Settings, prefix: str, limit: int | None, as_json: bool) -> int:
    """Print the codes that begin so, one a line, in the order of their bytes; exit code 1 where there is none."""
    store = client(settings, TIMEOUT_S, decode_responses=True, encoding_errors=ODD_BYTES)
    shown = 0
    try:
        for item in codes(store, f"{settings.redis.prefix}engine:items", prefix):
            if limit is not None and shown == limit:
                _note(f"these are the first {limit}, there are more")
                return 0
            print(json.dumps({"item": item}) if as_json else item)
            shown += 1
        doubt = _doubt(store, f"{settings.redis.prefix}engine:fence")
    except BrokenPipeError:
        raise  # of who reads the list; a client of Redis says it in its own words
    except (redis.RedisError, OSError) as error:
        raise LookupProblem(str(redis_problem(settings, error))) from error
    finally:
        store.close()
    if doubt:
        _note(doubt)
    if not shown:
        _note(f"no item that is published begins with {prefix}" if prefix else "nothing is published")
    return 0 if shown else 1


def find(settings: Settings, prefix: str, limit: int) -> list[str]:
    """Give the first codes that begin so, in the order of their bytes; LookupProblem if Redis does not answer."""
    store = client(settings, TIMEOUT_S, decode_responses=True, encoding_errors=ODD_BYTES)
    try:
        return list(itertools.islice(codes(store, f"{settings.redis.prefix}engine:items", prefix), limit))
    except (redis.RedisError, OSError) as error:
        raise LookupProblem(str(redis_problem(settings, error))) from error
    finally:
        store.close()


def nearest(code: str, begin: Callable[[str], list[str]]) -> list[str]:
    """Give those items that share the longest beginning with a code; `begin`: the first items that begin so.

    Where some begin with so much of it, some begin with less: so a code takes seven questions, and not one a sign.
    """
    found: list[str] = []
    low, high = 0, min(len(code), CODE_MAX)
    while low < high:
        length = (low + high + 1) // 2
        some = begin(code[:length])
        if some:
            found, low = some, length
        else:
            high = length - 1
    return found


def codes(store: redis.Redis, key: str, prefix: str) -> Iterator[str]:
    """Give the members that begin so, a page at a time: Redis serves others in between."""
    first = f"[{prefix}" if prefix else "-"
    last = f"({prefix}{BEHIND_ALL}" if prefix else "+"
    while True:
        page: list[str] = store.zrangebylex(key, first, last, 0, PAGE)  # type: ignore[assignment]
        yield from page
        if len(page) < PAGE:
            return
        first = f"({page[-1]}"


def _doubt(store: redis.Redis, fence: str) -> str:
    """Say what keeps the list from being all there is; empty where nothing does."""
    try:
        is_whole = store.hget(fence, "items") == WHOLE
    except redis.exceptions.NoPermissionError:  # such as a channel's user: the list is right as far as it goes
        return f"it is not known whether the set of all items is complete: this user of Redis may not read {fence}"
    if is_whole:
        return ""
    return "the set of all items is not complete: the engine completes it while it runs; does it? atp status"


def _note(sentence: str) -> None:
    print(readable(f"atp: {sentence}"), file=sys.stderr)
