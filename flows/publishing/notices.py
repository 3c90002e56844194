"""What the writer tells the operator about refusals and exceptions: in the log, seldom, and in the metrics."""

from __future__ import annotations

import time
from typing import Any

from flows.log import get_log
from flows.monitoring.metrics import STALE, Metrics
from schemas.messages import ExceptionNote
from schemas.remedies import REMEDIES
from schemas.units import Refusal

log = get_log(__name__)

#: Refusals come in thousands a second when a sender breaks: of each code, one line in this time says how many.
EVERY_S = 15.0
#: Of a refused message, where the log is to show it.
PAYLOAD_MAX = 500


class Notices:
    """Of one process."""

    def __init__(self, metrics: Metrics, shows_payload: bool) -> None:
        self._metrics = metrics
        self._shows_payload = shows_payload
        #: code -> when it may be told again, and how many were not told
        self._refused: dict[str, list[float]] = {}

    def refused(self, refusal: Refusal) -> None:
        """Something went to the dead letters. What it held is told only where that is asked for."""
        known = self._refused.setdefault(refusal.code, [0.0, 0])
        known[1] += 1
        moment = time.monotonic()
        if moment < known[0]:
            return
        count, known[0], known[1] = int(known[1]), moment + EVERY_S, 0
        origin = refusal.origin
        more: dict[str, Any] = {"source": refusal.source} if refusal.source else {}
        if self._shows_payload:
            value = (origin.value or b"")[:PAYLOAD_MAX]
            more |= {"message": refusal.message, "payload": value.decode(errors="replace")}
        log.warning(
            f"refused: {refusal.code}",
            kind=f"refused.{refusal.code}",
            count=count,
            topic=origin.topic,
            partition=origin.partition,
            offset=origin.offset,
            **more,
            next=REMEDIES[refusal.code],
        )

    def noted(self, note: ExceptionNote, known: dict[str, int]) -> None:
        """Keep in `known` how many exceptions are open. A conflict is told once and is no state: it never closes."""
        if note.code == "conflict":
            return
        is_stale = note.code == "stale_source"
        about = f"{STALE}{note.source}" if is_stale else note.code
        change = 1 if note.is_open else -1
        known[about] = known.get(about, 0) + change
        self._metrics.opened(about, change)
        if note.code == "statement_rejected" and note.is_open:
            log.warning(
                f"a statement of source {note.source} was rejected: {', '.join(note.reasons)}",
                kind=f"rejected.{note.source}",
                next="nothing was held or corrected because of it; atp statements --verdict rejected says why",
            )
        if is_stale and note.is_open:
            log.warning(
                f"source {note.source} has fallen silent: nothing came from it for longer than its stale_after",
                kind=f"silent.{note.source}",
                next="ask its owner whether it runs and reaches Kafka; until then numbers stand as it last said",
            )
