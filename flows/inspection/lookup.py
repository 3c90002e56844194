"""Reads an item's promises and position from Redis, exactly as a channel would."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import redis

from flows.errors import PlainError
from flows.readable import readable
from flows.readmodel.connecting import client
from flows.readmodel.problem import redis_problem
from schemas.settings import Settings

TIMEOUT_S = 5
#: Looks at hashes that are to have stood together: each a fraction of a millisecond.
LOOKS_MAX = 8
#: Bytes that are no UTF-8 are shown as `\\xff`, whoever wrote them into Redis; typed so, they are looked for as that.
ODD_BYTES = "backslashreplace"
WHOLE = re.compile(r"-?[0-9]{1,18}")
#: fields of `atp:<item>` and `position:<item>` beside the numbers that are whole numbers too
ABOUT = frozenset({"_version", "_as_of", "_published_at", "_scale", "_trail"})
Hashes = tuple[dict[str, str], dict[str, str]]
NOTHING: Hashes = ({}, {})
FIGURES = (
    "on_hand",
    "quarantined",
    "soft_allocated",
    "hard_reserved",
    "in_transit",
    "expected",
    "withheld",
    "available",
)


class LookupProblem(PlainError):
    """Redis does not answer; the text says what would do."""


class StrangeValue(LookupProblem):
    """Redis answers with something that no engine writes; the text says where, and what would do."""


def show(settings: Settings, names: list[str], channel: str | None, as_json: bool) -> int:
    """Print the numbers of items; exit code 1 where nothing is published of one.

    Of two names the second is a channel if it is one of the first's, else another item.
    """
    found = read(settings, names)
    if channel is None and len(names) == 2:
        promises, _ = found[names[0]]
        if names[1] in _channels(promises) or found[names[1]] == NOTHING:
            channel = names.pop()
    missing = 0
    for item in names:
        promises, position = found[item]
        if channel is not None:
            is_there = _show_channel(item, channel, promises, as_json, is_alone=len(names) == 1)
        else:
            is_there = _show_item(item, promises, position, as_json)
        missing += not is_there
    return 1 if missing else 0


def _show_item(item: str, promises: dict[str, str], position: dict[str, str], as_json: bool) -> bool:
    """Print all that is known of an item; false where that is nothing."""
    if not promises and not position:
        _complain(f"nothing is published of {item}", {})
        return False
    if as_json:
        print(json.dumps({"item": item, "atp": _plain(promises), "position": _plain(position)}))
    else:
        _print_tables(item, promises, position)
    return True


def _show_channel(item: str, channel: str, promises: dict[str, str], as_json: bool, is_alone: bool) -> bool:
    """Print one channel's number of an item, behind the item's code where there are several."""
    if channel not in _channels(promises):
        _complain(f"nothing is published of {item} for {channel}", promises)
        return False
    if as_json:
        answer: dict[str, Any] = {"item": item, "channel": channel, "atp": int(promises[channel])}
        by_day = promises.get(f"{channel}:by_day")
        if by_day is not None:
            answer["by_day"] = json.loads(by_day)
        print(json.dumps(answer))
    else:
        print(promises[channel] if is_alone else f"{item} {promises[channel]}")
    return True


def _channels(promises: dict[str, str]) -> list[str]:
    return sorted(name for name in promises if not name.startswith("_") and ":" not in name)


def read(settings: Settings, items: list[str]) -> dict[str, Hashes]:
    """Map each item to its hashes atp:<item> and position:<item>."""
    answers = hashes(settings, [f"{kind}:{item}" for item in items for kind in ("atp", "position")])
    return dict(zip(items, zip(answers[::2], answers[1::2], strict=True), strict=True))


def hashes(
    settings: Settings, keys: list[str], steady: int = 0, only: Mapping[str, Sequence[str]] | None = None
) -> list[dict[str, str]]:
    """Read hashes, named without the prefix; LookupProblem if Redis does not answer, or with what is no number.

    `steady`: so many of them, the first, are given as they stood together: read until two looks in a row are the same,
    for a reader of numbers has no right to a transaction. Of what changes all the time the last look is given.
    `only`: which fields of a key are asked for, where it is not all of them.
    """
    store = client(settings, TIMEOUT_S, decode_responses=True, encoding_errors=ODD_BYTES)
    try:
        answers: list[dict[str, str]] = []
        for _ in range(LOOKS_MAX if steady else 1):
            before = answers
            answers = _asked(store, settings.redis.prefix, keys, only or {})
            if before and before[:steady] == answers[:steady]:
                break
    except (redis.RedisError, OSError) as error:
        raise LookupProblem(str(redis_problem(settings, error))) from error
    finally:
        store.close()
    for key, fields in zip(keys, answers, strict=True):
        _judge(key, fields)
    return answers


def _asked(
    client: redis.Redis, prefix: str, keys: list[str], only: Mapping[str, Sequence[str]]
) -> list[dict[str, str]]:
    """Give hashes, or some of their fields, in one round trip."""
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        if key in only:
            pipeline.hmget(f"{prefix}{key}", only[key])
        else:
            pipeline.hgetall(f"{prefix}{key}")
    answers: list[dict[str, str]] = []
    for key, found in zip(keys, pipeline.execute(raise_on_error=False), strict=True):
        if is_of_another_kind(found):
            raise StrangeValue(f"{key} in Redis is no hash, as the engine writes it: {_remedy(key)}")
        if isinstance(found, Exception):
            raise found
        if key in only:
            found = {name: value for name, value in zip(only[key], found, strict=True) if value is not None}
        answers.append(found)
    return answers


def is_of_another_kind(answer: object) -> bool:
    """Does Redis say that a key holds no hash, or no set? Then somebody else wrote it."""
    return isinstance(answer, redis.ResponseError) and str(answer).startswith("WRONGTYPE")


def _judge(key: str, fields: Mapping[str, str]) -> None:
    """Refuse what is no number where the engine writes one: no sum could be made of it."""
    kind = key.partition(":")[0]
    if kind not in ("atp", "position"):
        return
    for name, value in fields.items():
        if not (is_promise(name, value) if kind == "atp" else is_figure(name, value)):
            raise StrangeValue(f"{key} in Redis has {value[:64]!r} in {name}, which no engine writes: {_remedy(key)}")


def _remedy(key: str) -> str:
    item = key.partition(":")[2]
    return (
        f"somebody else did; atp verify {item} says what it ought to be, atp republish --item {item} says it again"
        if key.startswith(("atp:", "position:"))
        else "somebody else did: who may write there (docs/security.md)?"
    )


def is_promise(name: str, value: str) -> bool:
    """Can that stand in a field of `atp:<item>`?"""
    if name.endswith(":by_day"):
        try:
            days = json.loads(value)
        except (ValueError, RecursionError):
            return False
        return isinstance(days, list) and all(type(day) is int for day in days)
    if name.startswith("_"):
        return name not in ABOUT or WHOLE.fullmatch(value) is not None
    return WHOLE.fullmatch(value) is not None


def is_figure(name: str, value: str) -> bool:
    """Can that stand in a field of `position:<item>`?"""
    is_number = name in ABOUT or (name.rpartition(":")[0] and not name.startswith("_"))
    return not is_number or WHOLE.fullmatch(value) is not None


def _plain(fields: dict[str, str]) -> dict[str, Any]:
    """Numbers as numbers, lists as lists, dates and what is none of the engine's as they are."""
    is_text = {name: name.startswith("_") and name not in ABOUT for name in fields}
    return {name: value if is_text[name] else json.loads(value) for name, value in fields.items()}


def _complain(sentence: str, promises: dict[str, str]) -> None:
    channels = _channels(promises)
    hint = f"; it is for: {', '.join(channels)}" if channels else ""
    print(readable(f"atp: {sentence}{hint}"), file=sys.stderr)


def _print_tables(item: str, promises: dict[str, str], position: dict[str, str]) -> None:
    from rich.console import Console

    from flows.tables import table

    console = Console(highlight=False)
    scale = int(promises.get("_scale", "0"))
    note = f" (numbers x 10^{scale})" if scale else ""
    rows = []
    for name in _channels(promises):
        days = promises.get(f"{name}:by_day")
        rows.append((name, promises[name], " ".join(map(str, json.loads(days))) if days else ""))
    console.print(table(console, ("channel", "atp", "by day"), rows, f"{item}{note}", keeps=(1,)))
    places = sorted({name.rpartition(":")[0] for name in position if ":" in name})
    if places:
        heads = ("location", *(field.replace("_", " ") for field in FIGURES))
        figures = [(place, *(position.get(f"{place}:{field}", "0") for field in FIGURES)) for place in places]
        console.print(table(console, heads, figures, keeps=(1, len(FIGURES))))
    facts = [f"version {promises['_version']}"] if "_version" in promises else []
    for name, word in (("_as_of", "as of"), ("_published_at", "published")):
        if name in promises:
            moment = datetime.fromtimestamp(int(promises[name]) / 1000, UTC)
            facts.append(f"{word} {moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}Z")
    console.print(", ".join(facts), style="dim")
