"""How far back the trail reaches (operators/trail.py), as Kafka has it: asked by the supervisor once a minute."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # not in its list of exports

from flows.kafka.clients import client_config
from flows.monitoring.lag import TIMEOUT_S, answered
from schemas.settings import Settings
from schemas.topics import TRAIL

EVERY_S = 60.0
#: While nothing is known.
AGAIN_S = 5.0

Sample = tuple[str, dict[str, str], float]


class TrailWatch:
    """Looks at the oldest record of each partition, where a trail is written at all."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        #: when the oldest record was written (seconds since 1970); None: not known, or there is none
        self._oldest: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="trail", daemon=True)

    def start(self) -> None:
        """Begin, once; for nothing where no trail is written."""
        if self._settings.trail.enabled and not self._thread.is_alive() and not self._ended.is_set():
            self._thread.start()

    def close(self) -> None:
        """Look no more, and let go of Kafka."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S)

    def samples(self) -> Iterator[Sample]:
        """Give what is known."""
        if self._oldest is not None:
            yield "atp_trail_oldest_timestamp_seconds", {}, self._oldest

    def _look(self) -> None:
        admin = AdminClient(client_config(self._settings, log_level=0))  # who is away says it elsewhere
        parts = [TopicPartition(self._settings.topic(TRAIL), number) for number in range(self._settings.shards)]
        while not self._ended.is_set():
            with contextlib.suppress(KafkaException, TimeoutError):
                # Since ever: the first record of each, and when it was written.
                answers = admin.list_offsets(
                    dict.fromkeys(parts, OffsetSpec.for_timestamp(0)), request_timeout=TIMEOUT_S
                )
                told = [answered(answer, self._ended) for answer in answers.values()]
                written = [first.timestamp for first in told if first.offset >= 0 and first.timestamp > 0]
                self._oldest = min(written) / 1000 if written else None
            self._ended.wait(AGAIN_S if self._oldest is None else EVERY_S)
