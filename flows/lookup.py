"""Reads an item's promises and position from Redis, exactly as a channel would."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

import redis

from flows.redis_problem import redis_problem
from schemas.settings import Settings

TIMEOUT_S = 5


class LookupProblem(RuntimeError):
    """Redis does not answer; the text says what would do."""


def show(settings: Settings, item: str, channel: str | None, as_json: bool) -> int:
    """Print an item's numbers; exit code 1 where nothing is published of it."""
    promises, position = read(settings, item)
    if channel is not None:
        if channel not in promises:
            _complain(f"nothing is published of {item} for {channel}", promises)
            return 1
        by_day = promises.get(f"{channel}:by_day")
        if as_json:
            answer: dict[str, Any] = {"item": item, "channel": channel, "atp": int(promises[channel])}
            if by_day is not None:
                answer["by_day"] = json.loads(by_day)
            print(json.dumps(answer))
        else:
            print(promises[channel])
        return 0
    if not promises and not position:
        _complain(f"nothing is published of {item}", {})
        return 1
    if as_json:
        print(json.dumps({"item": item, "atp": _plain(promises), "position": _plain(position)}))
    else:
        _print_tables(item, promises, position)
    return 0


def read(settings: Settings, item: str) -> tuple[dict[str, str], dict[str, str]]:
    """Give the hashes atp:<item> and position:<item>."""
    client = redis.Redis.from_url(
        settings.redis.address(), decode_responses=True, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
    )
    try:
        pipeline = client.pipeline(transaction=False)
        for kind in ("atp", "position"):
            pipeline.hgetall(f"{settings.redis.prefix}{kind}:{item}")
        promises, position = pipeline.execute()
    except (redis.RedisError, OSError) as error:
        raise LookupProblem(str(redis_problem(settings, error))) from error
    finally:
        client.close()
    return promises, position


def _plain(fields: dict[str, str]) -> dict[str, Any]:
    """Numbers as numbers, lists as lists, dates as they are."""
    return {name: value if name == "_day0" else json.loads(value) for name, value in fields.items()}


def _complain(sentence: str, promises: dict[str, str]) -> None:
    channels = [name for name in promises if not name.startswith("_") and ":" not in name]
    hint = f"; it is for: {', '.join(sorted(channels))}" if channels else ""
    print(f"atp: {sentence}{hint}", file=sys.stderr)


def _print_tables(item: str, promises: dict[str, str], position: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    scale = int(promises.get("_scale", "0"))
    note = f" (numbers x 10^{scale})" if scale else ""
    table = Table("channel", "atp", "by day", title=f"{item}{note}", title_justify="left")
    for name in sorted(name for name in promises if not name.startswith("_") and ":" not in name):
        days = promises.get(f"{name}:by_day")
        table.add_row(name, promises[name], " ".join(map(str, json.loads(days))) if days else "")
    table.columns[1].justify = "right"
    console = Console()
    console.print(table)
    fields = ("on_hand", "quarantined", "soft_allocated", "hard_reserved", "in_transit", "expected", "available")
    places = Table("location", *(field.replace("_", " ") for field in fields))
    for place in sorted({name.rpartition(":")[0] for name in position if ":" in name}):
        places.add_row(place, *(position.get(f"{place}:{field}", "0") for field in fields))
    for column in places.columns[1:]:
        column.justify = "right"
    if places.rows:
        console.print(places)
    facts = [f"version {promises['_version']}"] if "_version" in promises else []
    for name, word in (("_as_of", "as of"), ("_published_at", "published")):
        if name in promises:
            moment = datetime.fromtimestamp(int(promises[name]) / 1000, UTC)
            facts.append(f"{word} {moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}Z")
    console.print(", ".join(facts), style="dim")
