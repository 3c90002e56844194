"""What Kafka already has of the updates sent after a crashed run's last snapshot: so that `previous` is true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from flows.kafka.clients import KafkaProblem, partitions_of
from flows.kafka.reading import WHOLE, Part, ReadProblem, Span, TopicReader
from flows.log import get_log
from operators.holdback import Value
from schemas.settings import Settings
from schemas.topics import POSITIONS, UPDATES

log = get_log(__name__)

#: Clocks of producer and snapshot may differ by this.
MARGIN_MS = 5_000
#: Numbers wait for it.
SILENCE_S = 10.0


#: (item, channel) -> version and value of the newest update; None: unlisted
Tail = dict[tuple[str, str], tuple[int, Value | None]]


def updates_since(settings: Settings, moment: int) -> Tail:
    """Map (item, channel) to the newest update sent since `moment` (UTC microseconds)."""
    newest: Tail = {}

    def take(message: Any) -> None:
        update = orjson.loads(message.value())
        key = (update["item"], update["channel"])
        if key not in newest or update["version"] >= newest[key][0]:
            days = update.get("by_day")
            value = (update["atp"], tuple(days) if days is not None else None)
            newest[key] = (update["version"], None if update["cause"] == "unlisted" else value)

    _read_since(settings, UPDATES, moment, take)
    return newest


class KnownTail:
    """The tail of the update topics, as far back as it is needed, read once. Used by the writer's thread alone."""

    def __init__(self, settings: Settings, read: Callable[[Settings, int], Tail]) -> None:
        self._settings, self._read = settings, read
        self._tail: Tail | None = None
        self._from = 0
        #: when the last run's newest snapshot was taken, 0: there is none
        self._saved_at = 0
        #: from when on a shard that the last run still held back has to look at what Kafka has
        self._held_since: int | None = None

    def reach_back(self, saved_at: int, was_held: bool) -> None:
        """Take in when a shard's snapshot was taken, or when one began that says of itself where it began."""
        if not was_held:
            self._saved_at = max(self._saved_at, saved_at)
        else:
            before = saved_at if self._held_since is None else self._held_since
            self._held_since = min(saved_at, before)

    def since(self) -> int:
        """Give from when on it has to be known."""
        if self._held_since is None:
            return self._saved_at
        return min(self._held_since, self._saved_at) if self._saved_at else self._held_since

    def updates(self) -> Tail:
        """Give what was sent since then; it may be added to."""
        return self._back_to(self.since())

    def all_updates(self) -> Tail:
        """Give all that the topics hold."""
        return self._back_to(0)

    def _back_to(self, since: int) -> Tail:
        if self._tail is None or since < self._from:
            self._tail, self._from = self._read(self._settings, since), since
        return self._tail


def items_with_positions(settings: Settings) -> set[str]:
    """Give the items of which the newest position in Kafka has a location."""
    newest: dict[str, tuple[int, bool]] = {}

    def take(message: Any) -> None:
        position = orjson.loads(message.value())
        item, version = position["item"], position["version"]
        if version >= newest.get(item, (0, False))[0]:
            newest[item] = (version, bool(position["locations"]))

    _read_since(settings, (POSITIONS,), 0, take)
    return {item for item, (_, has_places) in newest.items() if has_places}


def _read_since(settings: Settings, topics: Sequence[str], moment: int, take: Callable[[Any], None]) -> None:
    """Hand over every message of some topics since `moment`, in each partition's order."""
    since_ms = max(0, moment // 1000 - MARGIN_MS)
    counts = partitions_of(settings, topics)
    # Where the oldest of it is gone meanwhile, the rest is what there is to know. The client may say what it lacks.
    more = {"auto.offset.reset": "earliest", "log_level": 6}
    with TopicReader(settings, group="", silence_s=SILENCE_S, **more) as reader:
        spans = _since(reader, counts, since_ms)
        try:
            for message in reader.read(spans):
                if message.value() is not None:
                    take(message)
        except ReadProblem as problem:
            log.warning(
                f"the tail of {len(problem.parts)} output partitions could not be read; `previous` may be one number "
                "old",
                kind="tail",
                next="nothing, unless a reader depends on `previous`; see whether all brokers run",
            )


def _since(reader: TopicReader, counts: dict[str, int], since_ms: int) -> dict[Part, Span]:
    parts = {(topic, number): WHOLE for topic, count in counts.items() for number in range(count)}
    try:
        return reader.since(parts, since_ms)
    except KafkaProblem as problem:
        # An outage: of what the client raised the worker is started again; a KafkaProblem would end the run.
        raise problem.__cause__ or problem from None
