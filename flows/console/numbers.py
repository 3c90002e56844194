"""Reads numbers from Redis for all pages, and keeps the last ones: while Redis is away they are shown, and since when.

Never SCAN, never KEYS: items are found by prefix in the set `engine:items`.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from typing import Any, Final, NamedTuple

import redis

from flows.inspection.claims import claims_in
from flows.inspection.items import BEHIND_ALL, nearest
from flows.inspection.lookup import FIGURES, ODD_BYTES, WHOLE, is_of_another_kind, is_promise
from flows.inspection.status import alive_in
from flows.readmodel.connecting import client
from schemas.setting_values import mask_url
from schemas.settings import Settings

#: A page waits no longer for Redis; one that is there answers in a millisecond.
TIMEOUT_S: Final = 1.0
#: While Redis was away a moment ago, pages do not each wait for it anew.
AGAIN_S: Final = 1.0
ITEMS_KEPT: Final = 2_000
FOUND_MAX: Final = 50
#: Items that are named where nothing begins as asked.
NEAR_MAX: Final = 5
#: What an item's scale may be.
SCALES: Final = frozenset("0123456")


class Item(NamedTuple):
    """What Redis had of an item."""

    code: str
    promises: dict[str, str]
    position: dict[str, str]
    claims: list[dict[str, Any]]
    #: UTC milliseconds
    read_ms: int

    @property
    def is_known(self) -> bool:
        """Is anything published of it?"""
        return bool(self.promises or self.position)

    @property
    def scale(self) -> int:
        """Quantities are in base UoM x 10^scale."""
        told = self.promises.get("_scale", "0")
        return int(told) if told in SCALES else 0

    @property
    def channels(self) -> list[str]:
        """Give the channels that have a number."""
        return sorted(name for name in self.promises if not name.startswith("_") and ":" not in name)

    @property
    def locations(self) -> list[str]:
        """Give the locations that have a figure; `*`: claims without a location."""
        return sorted({name.rpartition(":")[0] for name in self.position if ":" in name})

    def by_day(self, channel: str) -> list[int]:
        """Give a channel's numbers by day; empty where it has no horizon."""
        name = f"{channel}:by_day"
        told = self.promises.get(name, "[]")
        days: list[int] = json.loads(told) if is_promise(name, told) else []
        return days

    def promise(self, channel: str) -> int | None:
        """Give a channel's number; None where what stands there is none."""
        told = self.promises[channel]
        return int(told) if WHOLE.fullmatch(told) else None

    def figure(self, location: str, name: str) -> str:
        """Give a figure at a location, as it stands there."""
        return self.position.get(f"{location}:{name}", "0")

    def cells(self) -> dict[str, str]:
        """Give what changes while a page is looked at, by name."""
        told = {f"atp {name}": self.promises[name] for name in self.channels}
        told |= {f"days {name}": json.dumps(days) for name in self.channels if (days := self.by_day(name))}
        for location in self.locations:
            told |= {f"{name} {location}": self.figure(location, name) for name in FIGURES}
        return told


def _answer(found: Any) -> Any:
    """Give an answer of Redis; of a key that is none of the engine's, whoever wrote it, nothing."""
    if is_of_another_kind(found):
        return {}
    if isinstance(found, Exception):
        raise found
    return found


class Away(Exception):
    """Redis does not answer, and nothing of what was asked is known from before."""


class Numbers:
    """One pool of connections for all pages. Safe for many threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._prefix = settings.redis.prefix
        self._client: redis.Redis | None = None
        self._kept: OrderedDict[str, Item] = OrderedDict()
        self._lock = threading.Lock()
        self._tried_at = 0.0
        #: since when Redis is away, UTC milliseconds; None: it answers
        self.away_since_ms: int | None = None
        self.problem = ""

    def close(self) -> None:
        """Let go of Redis."""
        if self._client is not None:
            self._client.close()

    def item(self, code: str) -> Item:
        """Give an item as it is now, or as it was last; Away if it is not known."""
        return self.items([code])[0]

    def items(self, codes: list[str]) -> list[Item]:
        """Give several at once; Away if one of them is not known."""
        keys = [f"{self._prefix}{kind}:{code}" for code in codes for kind in ("atp", "position", "claims")]
        try:
            answers = self._ask([("HGETALL", key) for key in keys])
        except Away:
            with self._lock:
                kept = [self._kept.get(code) for code in codes]
            known = [item for item in kept if item is not None]
            if len(known) < len(codes):
                raise
            return known
        at = int(time.time() * 1000)
        found = [
            Item(code, promises, position, claims_in(claims), at)
            for code, promises, position, claims in zip(codes, answers[::3], answers[1::3], answers[2::3], strict=True)
        ]
        with self._lock:
            for item in found:
                if item.is_known:
                    self._kept[item.code] = item
                    self._kept.move_to_end(item.code)
            while len(self._kept) > ITEMS_KEPT:
                self._kept.popitem(last=False)
        return found

    def promises(self, codes: list[str]) -> list[dict[str, str]]:
        """Give what is promised of several items."""
        return self._ask([("HGETALL", f"{self._prefix}atp:{code}") for code in codes]) if codes else []

    def find(self, prefix: str, behind: str = "") -> list[str]:
        """Give the first codes that begin so, in the order of their bytes; `behind`: those after that one."""
        first = f"({behind}" if behind else f"[{prefix}" if prefix else "-"
        last = f"({prefix}{BEHIND_ALL}" if prefix else "+"
        key = f"{self._prefix}engine:items"
        [found] = self._ask([("ZRANGEBYLEX", key, first, last, "LIMIT", "0", str(FOUND_MAX + 1))])
        return list(found)

    def near(self, code: str) -> list[str]:
        """Give some codes that begin as this one does, as far as possible."""
        return nearest(code, self.find)[:NEAR_MAX]

    def alive(self) -> dict[str, str]:
        """Give what the engine says of itself; empty: it says nothing. Away: Redis does not answer."""
        return alive_in(self.fields("engine:alive"))

    def fields(self, key: str) -> dict[str, str]:
        """Give a whole hash, named without the prefix."""
        [found] = self._ask([("HGETALL", f"{self._prefix}{key}")])
        return dict(found)

    def _ask(self, commands: list[tuple[str, ...]]) -> list[Any]:
        """Give the answers of one round trip; Away where there is none, and at once where there was none just now."""
        if self.away_since_ms is not None and time.monotonic() - self._tried_at < AGAIN_S:
            raise Away(self.problem)
        try:
            if self._client is None:
                self._client = client(
                    self._settings,
                    TIMEOUT_S,
                    decode_responses=True,
                    encoding_errors=ODD_BYTES,
                    client_name="atp-console",
                )
            pipeline = self._client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            answers = [_answer(one) for one in pipeline.execute(raise_on_error=False)]
        except (redis.RedisError, OSError) as error:
            self._tried_at = time.monotonic()
            where = mask_url(self._settings.redis.url)
            self.problem = f"Redis at {where} does not answer: {' '.join(str(error).split()) or type(error).__name__}"
            if self.away_since_ms is None:
                self.away_since_ms = int(time.time() * 1000)
            raise Away(self.problem) from error
        self.away_since_ms = None
        return answers
