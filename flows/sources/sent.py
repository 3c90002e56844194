"""Reads again which promises were sent to Kafka, and when: what statements of channels are compared with.

The update topics are compacted: of each item and channel the newest of each lane is there for good, and says which one
was sent before it. What is newer than the engine's own word on it may still be there or not; nobody asks for that.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from flows.kafka.reading import TopicReader, bounds
from operators.coordinator import Search
from schemas.settings import Settings
from schemas.topics import UPDATES

#: Messages between two pauses.
READ_AT_ONCE = 500
PAUSE_MAX_S = 0.05
#: Of an item and channel so many are kept: the newest. A number changes less often while its statement is judged.
KEPT_EACH = 256


class _Update(msgspec.Struct, gc=False):
    """Of a message: what was sent, and before it."""

    atp: int
    version: int
    previous: int | None = None


_read = msgspec.json.Decoder(_Update).decode

Promised = tuple[str, str, int, int | None, int]
"""item, channel, atp, the one sent before, when"""
Anew = tuple[str, str, int]
"""item, channel, when first since the moment asked for"""


class Sent(NamedTuple):
    """What a search asks of promises; `is_whole`: all of it was read."""

    promised: list[Promised]
    anew: list[Anew]
    is_whole: bool = True


def read_sent(settings: Settings, search: Search, most: int, is_over: Callable[[], bool]) -> Sent:
    """Read it, `most` messages at most, with pauses as long as the work; KafkaProblem where Kafka does not give it.

    Times are those of the log, in UTC microseconds; of two in one millisecond the higher version is the later.
    """
    kept: dict[bytes, deque[tuple[int, int, int, int | None]]] = defaultdict(lambda: deque(maxlen=KEPT_EACH))
    first: dict[bytes, int] = {}
    wanted = {name.encode() for name in search.promises}
    since = search.anew_since
    count, began = 0, time.monotonic()
    with TopicReader(settings, "-history") as reader:
        spans = bounds(settings, list(UPDATES))
        if not wanted:
            spans = reader.since(spans, (since or 0) // 1000)
        for message in reader.read(spans):
            key, value, at = message.key() or b"", message.value(), message.timestamp()[1] * 1000
            if value is not None and since is not None and at > since:
                first[key] = min(at, first.get(key, at))
            if value is not None and key in wanted:
                said = _read(value)
                kept[key].append((said.version, at, said.atp, said.previous))
            count += 1
            if count % READ_AT_ONCE == 0:
                if is_over() or count >= most:
                    return Sent(_in_order(kept), [(*_names(key), at) for key, at in first.items()], is_whole=False)
                time.sleep(min(PAUSE_MAX_S, time.monotonic() - began))
                began = time.monotonic()
    return Sent(_in_order(kept), [(*_names(key), at) for key, at in first.items()])


def _names(key: bytes) -> tuple[str, str]:
    item, _, channel = key.decode().partition(":")
    return item, channel


def _in_order(kept: dict[bytes, deque[tuple[int, int, int, int | None]]]) -> list[Promised]:
    found: list[Promised] = []
    for key, sent in kept.items():
        last = 0
        for _, at, atp, previous in sorted(sent):
            last = max(at, last + 1)
            found.append((*_names(key), atp, previous, last))
    return found
