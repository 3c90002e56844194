"""What is told behind the numbers: what was refused and exceptions, in the order in which they came, some at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from flows.monitoring.metrics import Metrics
from flows.publishing.kafka_writer import OutgoingKafka
from flows.publishing.letters import Letter, Letters
from flows.publishing.notices import Notices
from flows.runtime.clock import Clock
from schemas.messages import ExceptionNote
from schemas.reconciled import Reported
from schemas.units import Refusal

#: Dead letters and exceptions that are written between two slices: 1 ms in which nothing more urgent leaves.
REPORTS_AT_ONCE = 100
#: Between two looks for room in the producer.
ROOM_CHECK_S = 0.01


class Reports:
    """Of one process. Used by the writer's thread alone. `free_bytes` is told when a batch's messages are written."""

    def __init__(
        self, kafka: OutgoingKafka, notices: Notices, metrics: Metrics, free_bytes: Callable[[int], None], clock: Clock
    ) -> None:
        self._kafka, self._notices, self._metrics = kafka, notices, metrics
        self._free_bytes, self._clock = free_bytes, clock
        self._letters = Letters()
        #: behind the refusals of a batch: how many bytes its messages have
        self._waiting: deque[Refusal | ExceptionNote | Reported | int] = deque()
        self._unsent: deque[Letter] = deque()
        #: did Kafka's client take what came last?
        self.has_room = True
        metrics.watch("atp_reports_waiting", lambda: len(self._waiting) + len(self._unsent))

    def refuse(self, size: int, refusals: list[Refusal]) -> None:
        """Take what could not be used, and the bytes of its messages."""
        self._waiting.extend(refusals)
        self._waiting.append(size)

    def note(self, notes: list[ExceptionNote], open_now: dict[str, int]) -> None:
        """Take exceptions raised and over; `open_now` counts those of their shard."""
        self._waiting.extend(notes)
        for note in notes:
            self._notices.noted(note, open_now)

    def tell(self, reported: list[Reported]) -> None:
        """Take what reconciling says."""
        self._waiting.extend(reported)

    def patience_s(self) -> float | None:
        """Give how soon there is something to write; None: when something comes."""
        if not (self._waiting or self._unsent):
            return None
        return 0.0 if self.has_room else ROOM_CHECK_S

    def send_some(self) -> bool:
        """Write some of it; true: nothing is left."""
        for _ in range(REPORTS_AT_ONCE):
            if self._unsent:
                is_sent = self._kafka.send_letter(self._unsent[0])
                if is_sent:
                    self._unsent.popleft()
            elif not self._waiting:
                break
            else:
                report = self._waiting[0]
                if type(report) is Refusal:
                    self._write_letters()
                    continue
                if type(report) is int:
                    self._waiting.popleft()
                    self._free_bytes(report)
                    continue
                if type(report) is Reported:
                    is_sent = self._kafka.send_reported(report)
                else:
                    assert type(report) is ExceptionNote
                    is_sent = self._kafka.send_exception(report)
                if is_sent:
                    self._waiting.popleft()
            self._note_room(is_sent)
            if not is_sent:
                break
        return not (self._waiting or self._unsent)

    def _write_letters(self) -> None:
        refusals: list[Refusal] = []
        while self._waiting and len(refusals) < REPORTS_AT_ONCE:
            refusal = self._waiting[0]
            if type(refusal) is not Refusal:
                break
            self._waiting.popleft()
            self._metrics.refused(refusal)
            self._notices.refused(refusal)
            refusals.append(refusal)
        self._unsent.extend(self._letters.of(refusals))

    def _note_room(self, has_room: bool) -> None:
        if has_room != self.has_room:
            self.has_room = has_room
            self._metrics.kafka_waits_since = None if has_room else self._clock.monotonic()
