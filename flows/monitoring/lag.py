"""How far the finished epochs are behind what Kafka holds, by input partition: in messages, and in seconds.

Asked of Kafka by the supervisor, so that it is told also while the workers wait for a Redis that is away. Messages: the
partition's end less the position that the last finished epoch has reached. Seconds: how long the oldest message beyond
that position has been there. While a partition has been at its end since we look, that is since when its end was seen
beyond the position; in a backlog, which was there before us, it is the Kafka timestamp of the last message read.

Behind (`engine:alive`): how long ago what was applied last was logged, or, where that is later, the partition was last
seen at its end. Nothing that was logged before is missing: where the two differ, lag errs by a look (2 s) to the short
side, this one to the long.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # not in its list of exports

from flows.kafka.clients import client_config
from flows.kafka.parts import place_of
from flows.monitoring.topic_watch import DELETED
from schemas.settings import Settings

EVERY_S = 2.0
TIMEOUT_S = 5.0
#: How soon a wait for Kafka notices that the engine ends.
WAIT_S = 0.1
#: Ends that are remembered of a partition: half an hour of them. Beyond, every other one is forgotten.
SEEN_MAX = 900
#: Kafka has told nothing for so long: by then nobody knows what else was logged.
ENDS_KNOWN_S = 10.0


class Row(NamedTuple):
    """What a worker says of one partition: the next offset of its last finished epoch, and its clock (seconds)."""

    position: int
    clock: float


class Lag(NamedTuple):
    """Of one partition."""

    messages: int
    seconds: float


def answered(answer: Any, ended: threading.Event) -> Any:
    """Give what Kafka answers; TimeoutError also when nobody wants to know any more."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return answer.result(WAIT_S)
        except TimeoutError:
            if ended.is_set() or time.monotonic() > deadline:
                raise


class PartitionLag:
    """One partition's ends as they were seen."""

    def __init__(self) -> None:
        self.end: int | None = None
        self._seen: deque[tuple[int, float]] = deque()
        self._was_at_end = False
        self._since: float | None = None
        self._told_at = self._at_end_at = 0.0
        #: since when another topic is in the place of the one that was read; None: it is the same
        self._another_since: float | None = None

    def saw(self, end: int, moment: float) -> None:
        """Take the partition's end (wall clock, seconds)."""
        if self._since is None:
            self._since = moment
        self._told_at = moment
        before = self.end
        if before is not None and end < before:
            self._got_shorter(end, moment)
        elif before is None or end > before:
            self._seen.append((end, moment))
            if len(self._seen) > SEEN_MAX:
                self._seen = deque(entry for number, entry in enumerate(self._seen) if not number % 2)
        self.end = end

    def _got_shorter(self, end: int, moment: float) -> None:
        """Another topic is in its place, or, rarely, it lost its newest messages: it is the first until `is_same`."""
        self.is_another(moment)
        seen_at = moment
        while self._seen and self._seen[-1][0] >= end:
            seen_at = self._seen.pop()[1]
        self._seen.append((end, seen_at))

    def is_same(self, moment: float) -> None:
        """The topic is still the one that was read, as was asked at `moment` (wall clock): it got shorter itself."""
        if self._another_since is not None and self._another_since < moment:
            self._another_since = None

    def is_another(self, moment: float) -> None:
        """Another topic is in its place: nothing of that one was read, and its end is not known yet."""
        if self._another_since is None:
            self._another_since = moment
            self.end = None

    def is_gone(self) -> None:
        """There is no such partition: nothing can be said of it."""
        self.end = None

    def lag(self, row: Row | None, moment: float) -> Lag | None:
        """Give the lag; None while the end is not known."""
        if self.end is None or self._since is None:
            return None
        if self._another_since is not None:
            return Lag(self.end, max(0.0, moment - self._another_since))
        position = row.position if row is not None else 0
        if position >= self.end:
            self._was_at_end = row is not None or self._was_at_end
            self._seen.clear()
            return Lag(0, 0.0)
        while self._seen and self._seen[0][0] <= position:
            self._seen.popleft()
        first = self._seen[0][1] if self._seen else self._since
        if not self._was_at_end and row is not None and row.clock > 0:
            first = min(first, row.clock)
        return Lag(self.end - position, max(0.0, moment - first))

    def behind(self, row: Row | None, moment: float) -> float | None:
        """Give for how long all that was logged is in: seconds, 0 at the end; None while the end is not known."""
        if self.end is None or self._since is None:
            return None
        position, clock = row if row is not None else (0, 0.0)
        if position >= self.end:
            self._at_end_at = self._told_at
            return 0.0
        return max(0.0, moment - (max(self._at_end_at, clock) or self._since))

    def begin_again(self) -> None:
        """The workers start anew: what they have not read is a backlog until they were at its end."""
        self._was_at_end = False
        self._another_since = None


class LagWatch:
    """Looks at the ends of all input partitions every two seconds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._parts: dict[str, PartitionLag] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        #: when Kafka last answered (wall clock); None: not yet
        self.told_at: float | None = None
        self._thread = threading.Thread(target=self._look, name="lag", daemon=True)

    def follow(self, parts: Iterable[str]) -> None:
        """Name the partitions "topic/partition" of a run that begins."""
        with self._lock:
            self._parts = {part: self._parts.get(part) or PartitionLag() for part in parts}
            for known in self._parts.values():
                known.begin_again()
        if not self._thread.is_alive() and not self._ended.is_set():
            self._thread.start()

    def lags(self, rows: Mapping[str, Row], lost: Mapping[str, str]) -> dict[str, Lag]:
        """Give each partition's lag, as far as it is known. `lost`: topics that were deleted, or made again."""
        moment = time.time()
        with self._lock:
            for part, known in self._parts.items():
                fate = lost.get(place_of(part)[0])
                if fate == DELETED:
                    known.is_gone()
                elif fate is not None:
                    known.is_another(moment)
            found = {part: known.lag(rows.get(part), moment) for part, known in self._parts.items()}
        return {part: lag for part, lag in found.items() if lag is not None}

    def confirm(self, topics: Collection[str], moment: float) -> None:
        """These topics are those that were read, as was asked at `moment` (wall clock, seconds)."""
        with self._lock:
            for part, known in self._parts.items():
                if place_of(part)[0] in topics:
                    known.is_same(moment)

    def behind(self, rows: Mapping[str, Row]) -> float:
        """Give how far behind the slowest partition is, in seconds, as far as it is known."""
        moment = time.time()
        with self._lock:
            found = [known.behind(rows.get(part), moment) for part, known in self._parts.items()]
        silence = moment - self.told_at if self.told_at is not None else 0.0
        slowest = max((seconds for seconds in found if seconds is not None), default=0.0)
        return max(slowest, silence) if silence > ENDS_KNOWN_S else slowest

    def close(self) -> None:
        """Look no more, and let go of Kafka: at the interpreter's end its threads must not call back any more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S)

    def _look(self) -> None:
        # What fails is seen by the age of what it told; librdkafka need not say it too.
        admin = AdminClient(client_config(self._settings, log_level=0))
        while not self._ended.is_set():
            with contextlib.suppress(KafkaException, TimeoutError):
                self._ask(admin)
            self._ended.wait(EVERY_S)

    def _ask(self, admin: Any) -> None:
        with self._lock:
            wanted = list(self._parts)
        places = {place_of(part): part for part in wanted}
        answers = admin.list_offsets(
            {TopicPartition(*place): OffsetSpec.latest() for place in places},  # type: ignore[no-untyped-call]
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=TIMEOUT_S,
        )
        ends: dict[str, int | None] = {}
        for at, answer in answers.items():
            try:
                ends[places[at.topic, at.partition]] = answered(answer, self._ended).offset
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
                ends[places[at.topic, at.partition]] = None
        moment = time.time()
        with self._lock:
            for part, end in ends.items():
                if part not in self._parts:
                    continue
                if end is None:
                    self._parts[part].is_gone()
                else:
                    self._parts[part].saw(end, moment)
        self.told_at = moment
